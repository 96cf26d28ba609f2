#include "cli/sizes.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "base/text.h"
#include "base/threads.h"
#include "cli/options.h"
#include "device/cuda/cuda.h"

enum od_status od_size_read(const char *text, uint64_t *ret_bytes, struct od_error *err)
{
    return od_parse_size(text, ret_bytes)
               ? OD_OK
               : od_fail(err, OD_E_ARGUMENT, "'%.60s' is no size: write 24GB, 800MB or 16GiB",
                         text);
}

enum od_status od_time_read(const char *text, double *ret_seconds, struct od_error *err)
{
    return od_parse_time(text, ret_seconds)
               ? OD_OK
               : od_fail(err, OD_E_ARGUMENT, "'%.60s' is no time: write 24h, 90min or 45s", text);
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
