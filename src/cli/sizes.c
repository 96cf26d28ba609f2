#include "cli/sizes.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "base/text.h"
#include "base/threads.h"
#include "cli/options.h"
#include "device/cuda/cuda.h"
#include "infer/engine.h"

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

enum od_status od_address_read(const char *text, struct od_cli_address *ret, struct od_error *err)
{
    static const char here[] = "127.0.0.1";
    const char *colon = strrchr(text, ':');
    const char *port = colon ? colon + 1 : text;
    const char *host = colon ? text : here;
    size_t size = colon ? (size_t)(colon - text) : sizeof here - 1;
    if (size >= 2 && host[0] == '[' && host[size - 1] == ']') {
        host++;
        size -= 2;
    } else if (memchr(host, ':', size)) {
        size = 0;  // an IPv6 address without brackets: where does it end?
    }
    const size_t digits = strspn(port, "0123456789");
    const long number = digits > 0 && digits < 6 ? strtol(port, NULL, 10) : -1;
    if (size == 0 || size >= OD_CLI_HOST_BYTES || number < 0 || number > OD_CLI_PORT_MAX ||
        port[digits] != '\0') {
        return od_fail(err, OD_E_ARGUMENT,
                       "'%.60s' is no address to listen on: write 8081, 0.0.0.0:8081 or [::1]:8081",
                       text);
    }
    memcpy(ret->host, host, size);
    ret->host[size] = '\0';
    ret->port = (int)number;
    return OD_OK;
}

void od_address_url(const struct od_cli_address *address, char out[OD_CLI_URL_BYTES])
{
    const bool is_ipv6 = strchr(address->host, ':') != NULL;
    (void)snprintf(out, OD_CLI_URL_BYTES, "http://%s%s%s:%d/", is_ipv6 ? "[" : "", address->host,
                   is_ipv6 ? "]" : "", address->port);
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

enum od_status od_cli_engine(const struct od_cli *cli, const char *vram,
                             struct od_engine_options *options, struct od_error *err)
{
    struct od_cli_device device = {0};
    uint64_t max_bytes = 0;
    enum od_status status = od_cli_device(cli, &device, err);
    if (status == OD_OK && vram) {
        status = od_size_read(vram, &max_bytes, err);
    }
    if (status == OD_OK) {
        options->threads = (int)cli->threads;
        options->no_vector = cli->no_vector;
        // A GPU's answers are those of bf16: who wants them says so.
        options->on_gpu = device.on_gpu && !device.optional;
        options->gpu = device.gpu;
        options->max_bytes = max_bytes;
    }
    return status;
}
