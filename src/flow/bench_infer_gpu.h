/**
 * @file
 * Speed of serving on a GPU beside what the card can do: random weights of a known shape, prompts and
 * generation through the machine that the engine uses, without the sampler.
 *
 * Prompts are compared with the rate of large products (bench_train_gpu.h), generation with the speed of
 * memory: a copy of a gigabyte, read and written. Bytes of a step are the weights of all products once,
 * and the keys and values of all positions. Operations of a prompt are two for each weight and token and
 * 2 S H D L for causal attention over S tokens; the head counts for one row.
 *
 * @thread One owner.
 */
#ifndef OD_FLOW_BENCH_INFER_GPU_H
#define OD_FLOW_BENCH_INFER_GPU_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "ops/gpu.h"

/** Sequences at a time that generation is measured with. */
enum { OD_BENCH_INFER_GPU_BATCHES = 2 };

struct od_bench_infer_gpu_options {
    const char *shape;   ///< name of a shape
    uint64_t max_bytes;  ///< cap on what the process may take on the card; 0: none
    int64_t prompt;      ///< tokens of a prompt, and of each sequence when it generates
    int64_t layers;      ///< instead of the shape's; 0: all
    int64_t steps;       ///< that are timed
    int gpu;
    bool no_library;
    bool profile;
};

/** One way to take products. */
struct od_bench_infer_gpu_speed {
    double prompt_tokens_per_s;
    double prompt_share;  ///< of the ceiling of products
    double tokens_per_s[OD_BENCH_INFER_GPU_BATCHES];
    double share[OD_BENCH_INFER_GPU_BATCHES];  ///< of the speed of memory
    /// With `profile`: milliseconds of a prompt, then of a step of each batch.
    double part_ms[1 + OD_BENCH_INFER_GPU_BATCHES][OD_GPU_PART_COUNT];
};

struct od_bench_infer_gpu_result {
    char shape[32];
    char gpu[128];
    char driver[32];
    double ceiling;       ///< FLOP/s, the mean of before and after
    double memory_bytes;  ///< a second
    int64_t batch[OD_BENCH_INFER_GPU_BATCHES];
    struct od_bench_infer_gpu_speed invariant;
    struct od_bench_infer_gpu_speed fastest;  ///< without batch invariance
};

enum od_status od_bench_infer_gpu(const struct od_bench_infer_gpu_options *options,
                                  struct od_bench_infer_gpu_result *ret,
                                  struct od_error *err) OD_MUST_CHECK;

#endif
