/**
 * @file
 * `oneday bench infer`, one of the commands of cmd_bench.c.
 *
 * @thread One owner: the main thread.
 */
#ifndef OD_CLI_BENCH_INFER_H
#define OD_CLI_BENCH_INFER_H

#include "cli/options.h"

/** Run it; gives the exit code. */
int od_bench_infer_run(struct od_cli *cli, int argc, char **argv);

#endif
