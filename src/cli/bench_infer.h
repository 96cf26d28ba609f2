/**
 * @file
 * `oneday bench infer` and `oneday bench prompts`, commands of cmd_bench.c.
 *
 * @thread One owner: the main thread.
 */
#ifndef OD_CLI_BENCH_INFER_H
#define OD_CLI_BENCH_INFER_H

#include "cli/options.h"

/** Run bench infer; gives the exit code. */
int od_bench_infer_run(struct od_cli *cli, int argc, char **argv);

/** Run bench prompts; gives the exit code. */
int od_bench_prompts_run(struct od_cli *cli, int argc, char **argv);

#endif
