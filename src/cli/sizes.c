#include "cli/sizes.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "base/threads.h"
#include "cli/options.h"
#include "device/cuda/cuda.h"

enum od_status od_size_read(const char *text, uint64_t *ret_bytes, struct od_error *err)
{
    static const struct {
        const char *name;
        double bytes;
    } units[] = {{"", 1.0},       {"B", 1.0},         {"kB", 1e3},
                 {"MB", 1e6},     {"GB", 1e9},        {"TB", 1e12},
                 {"KiB", 1024.0}, {"MiB", 1048576.0}, {"GiB", 1073741824.0},
                 {"G", 1e9},      {"M", 1e6}};
    char *end = NULL;
    const double value = strtod(text, &end);
    if (end != text && value > 0.0) {
        while (*end == ' ') {
            end++;
        }
        for (size_t i = 0; i < OD_COUNT_OF(units); i++) {
            if (strcmp(end, units[i].name) == 0 && value * units[i].bytes < 1e18) {
                *ret_bytes = (uint64_t)(value * units[i].bytes);
                return OD_OK;
            }
        }
    }
    return od_fail(err, OD_E_ARGUMENT, "'%.60s' is no size: write 24GB, 800MB or 16GiB", text);
}

enum od_status od_time_read(const char *text, double *ret_seconds, struct od_error *err)
{
    static const struct {
        const char *name;
        double seconds;
    } units[] = {{"", 1.0}, {"s", 1.0}, {"min", 60.0}, {"m", 60.0}, {"h", 3600.0}, {"d", 86400.0}};
    char *end = NULL;
    const double value = strtod(text, &end);
    for (size_t i = 0; end != text && value > 0.0 && i < OD_COUNT_OF(units); i++) {
        if (strcmp(end, units[i].name) == 0 && value < 1e9) {
            *ret_seconds = value * units[i].seconds;
            return OD_OK;
        }
    }
    return od_fail(err, OD_E_ARGUMENT, "'%.60s' is no time: write 24h, 90min or 45s", text);
}

static enum od_status check_threads(const struct od_cli *cli, struct od_error *err)
{
    if (cli->threads < 0 || cli->threads > OD_THREADS_MAX) {
        return od_fail(err, OD_E_ARGUMENT, "threads must be 0 (all) to %d", OD_THREADS_MAX);
    }
    return OD_OK;
}

enum od_status od_cli_cpu_only(const struct od_cli *cli, struct od_error *err)
{
    if (strcmp(cli->device, "auto") != 0 && strcmp(cli->device, "cpu") != 0) {
        return od_fail(err, OD_E_UNSUPPORTED,
                       "device '%.60s' is not there for this command yet: use --device cpu",
                       cli->device);
    }
    return check_threads(cli, err);
}

enum od_status od_cli_device(const struct od_cli *cli, struct od_cli_device *ret,
                             struct od_error *err)
{
    struct od_cli_device device = {0};
    if (strcmp(cli->device, "auto") == 0) {
        device.optional = true;
        device.on_gpu = od_cuda_count(NULL) > 0;
    } else if (strncmp(cli->device, "cuda", 4) == 0) {
        // cuda or cuda:N, as the command line was checked for
        const long number = cli->device[4] == ':' ? strtol(cli->device + 5, NULL, 10) : 0;
        const int count = od_cuda_count(err);
        if (count == 0) {
            return OD_E_NOT_FOUND;
        }
        if (number < 0 || number >= count) {
            return od_fail(err, OD_E_NOT_FOUND, "there is no GPU %ld: this machine has %d", number,
                           count);
        }
        device.on_gpu = true;
        device.gpu = (int)number;
    }
    const enum od_status status = check_threads(cli, err);
    if (status == OD_OK) {
        *ret = device;
    }
    return status;
}
