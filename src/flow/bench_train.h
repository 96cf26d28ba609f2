/**
 * @file
 * Speed of training steps on random weights and random tokens: tokens per second beside the
 * machine's fused-multiply-add peak of the same seconds, plan bytes and the real peak.
 *
 * @thread One owner.
 */
#ifndef OD_FLOW_BENCH_TRAIN_H
#define OD_FLOW_BENCH_TRAIN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

/** What to measure. */
struct od_bench_train_options {
    int64_t channels;  ///< C; heads of 32, feed-forward 8/3 C rounded up to 8
    int64_t layers;
    int64_t vocab;
    int64_t tokens;  ///< per step, in documents of `document` tokens, all learned
    int64_t document;
    bool lora;  ///< rank 16 on all linear layers; false: full
    int threads;
    bool allow_vector;
    double seconds;  ///< of steps
};

struct od_bench_train_result {
    int64_t parameters;
    int64_t steps;
    int threads;
    double tokens_per_s;
    double flops_per_token;  ///< of linear layers and head; attention apart
    double peak_flops;       ///< of all threads, measured between steps
    double share;            ///< flops_per_token * tokens_per_s / peak_flops, median of rounds
    uint64_t plan_bytes;
    uint64_t real_peak_bytes;   ///< highest resident size of the process
    uint64_t step_allocations;  ///< heap allocations during steps
};

enum od_status od_bench_train(const struct od_bench_train_options *options,
                              struct od_bench_train_result *ret,
                              struct od_error *err) OD_MUST_CHECK;

#endif
