/**
 * @file
 * Speed of training steps on a GPU beside the card's own ceiling: random weights of a known shape,
 * documents of exactly so many tokens, all of them learned.
 *
 * The ceiling is the mean of bf16 products of 8192 x 8192 x 8192 on normal data, three seconds warm,
 * right before and right after the steps, in the same process. Floating-point operations are those
 * that the method needs: 4 N + 6 P for LoRA (P adapter weights), 6 N for full tuning, N without the
 * embedding table, and 7 S H D L for causal attention over documents of S tokens; what is computed
 * twice counts once.
 *
 * @thread One owner.
 */
#ifndef OD_FLOW_BENCH_TRAIN_GPU_H
#define OD_FLOW_BENCH_TRAIN_GPU_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "ops/gpu.h"

struct od_bench_train_gpu_options {
    const char *shape;     ///< name of a shape
    bool lora;             ///< on all linear layers; false: full
    int64_t rank;          ///< of the adapters; 0: 16
    enum od_quant quant;   ///< of the frozen weights
    uint64_t max_bytes;    ///< cap on what the process may take on the card; 0: none
    int64_t document;      ///< S
    int64_t documents;     ///< per pass
    int64_t accumulation;  ///< passes per step
    int64_t layers;        ///< instead of the shape's; 0: all
    int64_t steps;
    int gpu;
    bool no_library;
    bool no_tuning;  ///< cuBLASLt's first choice instead of the measured one
    bool profile;
};

struct od_bench_train_gpu_result {
    char shape[32];
    char gpu[128];
    char driver[32];
    char library[64];
    int64_t parameters;
    int64_t tokens_per_step;
    double step_s;  ///< median
    double tokens_per_s;
    double flops_per_token;
    double ceiling_before;  ///< FLOP/s
    double ceiling_after;
    double share;  ///< of the mean of both
    double loss;
    double predicted_s;   ///< of a step, from the operations and the card's rates; 0: not known
    const char *keep;     ///< what layers keep for the backward pass
    int64_t lean_layers;  ///< that keep one level less
    uint64_t host_bytes;  ///< pinned memory of the host
    uint64_t plan_bytes;
    uint64_t driver_peak_bytes;  ///< that the driver counts as taken since before the plan
    uint64_t process_bytes;      ///< NVML; 0: not known
    uint64_t weight_hash;
    double energy_j;                    ///< per step; negative: not known
    double part_ms[OD_GPU_PART_COUNT];  ///< with `profile`: of one step
    double
        floor_ms[OD_GPU_PART_COUNT];  ///< at the measured ceiling and the card's bandwidth; 0: none
};

/** FLOP/s of large products on normal data, after some seconds of them. */
enum od_status od_bench_ceiling(int gpu, double *ret, struct od_error *err) OD_MUST_CHECK;

enum od_status od_bench_train_gpu(const struct od_bench_train_gpu_options *options,
                                  struct od_bench_train_gpu_result *ret,
                                  struct od_error *err) OD_MUST_CHECK;

#endif
