/**
 * @file
 * What `oneday bench infer` does on a GPU.
 *
 * @thread One owner: the main thread.
 */
#ifndef OD_CLI_BENCH_INFER_GPU_H
#define OD_CLI_BENCH_INFER_GPU_H

#include "base/status.h"
#include "cli/options.h"
#include "flow/bench_infer_gpu.h"

/** Measure and print: lines of text, or with --json a line for each way to take products. */
enum od_status od_bench_infer_gpu_run(const struct od_cli *cli,
                                      const struct od_bench_infer_gpu_options *options,
                                      struct od_error *err) OD_MUST_CHECK;

#endif
