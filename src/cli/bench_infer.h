/**
 * @file
 * `oneday bench infer` and `oneday bench prompts`, commands of cmd_bench.c.
 *
 * @thread One owner: the main thread.
 */
#ifndef OD_CLI_BENCH_INFER_H
#define OD_CLI_BENCH_INFER_H

#include "base/status.h"
#include "cli/options.h"
#include "flow/bench_infer_gpu.h"

/** Run bench infer; gives the exit code. */
int od_bench_infer_run(struct od_cli *cli, int argc, char **argv);

/** The GPU's part of it: measure and print. */
enum od_status od_bench_infer_gpu_run(const struct od_cli *cli,
                                      const struct od_bench_infer_gpu_options *options,
                                      struct od_error *err);

/** Run bench prompts; gives the exit code. */
int od_bench_prompts_run(struct od_cli *cli, int argc, char **argv);

#endif
