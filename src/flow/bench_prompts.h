/**
 * @file
 * What sharing is worth: questions with five examples in front, as MMLU is asked, with the beginnings
 * that they share computed once, and with every prompt computed whole.
 *
 * Both happen in this process, one after the other, on the same weights, with the same callers; the
 * answers must be the same. Beside the times, rows that the engine computed are counted: those depend
 * on nothing but the prompts.
 *
 * @source Hendrycks et al., "Measuring Massive Multitask Language Understanding", 2021; prompts as HELM
 *         builds them.
 * @thread One owner: starts and ends threads of its own.
 */
#ifndef OD_FLOW_BENCH_PROMPTS_H
#define OD_FLOW_BENCH_PROMPTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

enum { OD_BENCH_PROMPTS_MAX = 4096, OD_BENCH_CALLERS_MAX = 64 };

struct od_bench_prompts_options {
    const char *model;      ///< folder, run or GGUF file; NULL: random weights of `shape`
    const char *shape;      ///< name (bench_shapes.h), or a config.json
    const char *tokenizer;  ///< folder, of a shape; NULL: the byte tokenizer
    int threads;            ///< 0: all processors
    bool allow_vector;
    bool on_gpu;  ///< which is then `gpu`, of which `max_bytes` may be taken [what is free]
    int gpu;
    uint64_t max_bytes;
    const char *data;     ///< folder with mmlu/; NULL: questions are made up
    const char *subject;  ///< of MMLU
    int64_t prompts;      ///< at most so many
    int callers;          ///< that ask at a time
};

/** What was measured in one way. */
struct od_bench_prompts_side {
    int64_t computed;  ///< rows, of prompts and answers
    double seconds;
    double prompts_per_s;
    double cpu_s;  ///< processor time of a prompt, of all threads
};

struct od_bench_prompts_result {
    int64_t prompts;
    int64_t tokens;    ///< of all prompts
    int64_t examples;  ///< least that any of them has in front
    int threads;
    struct od_bench_prompts_side whole;
    struct od_bench_prompts_side shared;
};

/** @error OD_E_ARGUMENT for a count out of range; those of the data and of od_engine_open;
 *         OD_E_REFUSED when an answer differs. */
enum od_status od_bench_prompts(const struct od_bench_prompts_options *options,
                                struct od_bench_prompts_result *ret,
                                struct od_error *err) OD_MUST_CHECK;

#endif
