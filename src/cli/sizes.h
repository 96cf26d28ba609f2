/**
 * @file
 * What several commands read from their command line: sizes with units, addresses, and the device.
 *
 * @thread Re-entrant: no state outside the arguments.
 */
#ifndef OD_CLI_SIZES_H
#define OD_CLI_SIZES_H

#include <stdint.h>

#include "base/status.h"
#include "cli/options.h"
#include "infer/engine.h"

/** Bytes from "24GB" (10^9), "24GiB" (2^30), "800MB" or a plain number. */
enum od_status od_size_read(const char *text, uint64_t *ret_bytes,
                            struct od_error *err) OD_MUST_CHECK;

/** Seconds from "24h", "90min", "45s" or a plain number of seconds. */
enum od_status od_time_read(const char *text, double *ret_seconds,
                            struct od_error *err) OD_MUST_CHECK;

enum { OD_CLI_HOST_BYTES = 256, OD_CLI_PORT_MAX = 65535, OD_CLI_URL_BYTES = 300 };

/** Where a command listens. */
struct od_cli_address {
    char host[OD_CLI_HOST_BYTES];
    int port;  ///< 0: any that is free
};
/** Read PORT (on 127.0.0.1), HOST:PORT or [ADDRESS]:PORT. */
enum od_status od_address_read(const char *text, struct od_cli_address *ret,
                               struct od_error *err) OD_MUST_CHECK;

/** http://HOST:PORT/ */
void od_address_url(const struct od_cli_address *address, char out[OD_CLI_URL_BYTES]);

/** Where --device says to compute. */
struct od_cli_device {
    bool on_gpu;
    bool optional;  ///< --device auto: the CPU will do where the GPU cannot
    int gpu;
};
/** Read --device and --threads. auto takes a GPU where one can be used.
 *  @error OD_E_NOT_FOUND with the reason when a GPU is asked for and none can be used. */
enum od_status od_cli_device(const struct od_cli *cli, struct od_cli_device *ret,
                             struct od_error *err) OD_MUST_CHECK;
/** Refuse a --device that this command cannot use, and a number of threads that makes no sense. */
enum od_status od_cli_cpu_only(const struct od_cli *cli, struct od_error *err) OD_MUST_CHECK;
/** Where an engine computes: --device and --threads, and what it may take of a card (NULL: what is
 *  free). auto is the CPU. Sets those members of `options`. */
enum od_status od_cli_engine(const struct od_cli *cli, const char *vram,
                             struct od_engine_options *options, struct od_error *err) OD_MUST_CHECK;

#endif
