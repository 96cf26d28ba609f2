/**
 * @file
 * Shapes of known models, which the benchmarks fill with random weights.
 *
 * @thread Re-entrant: no state.
 */
#ifndef OD_FLOW_BENCH_SHAPES_H
#define OD_FLOW_BENCH_SHAPES_H

#include "model/spec.h"

/** The names, for help texts. */
#define OD_BENCH_SHAPES                                                             \
    "llama-2-7b, mistral-7b, llama-3-8b, llama-2-13b, qwen2.5-14b, codellama-34b, " \
    "llama-2-70b, gpt2-1.5b, gpt2-124m, tinyllama-1.1b, llama-160m"

/** The shape of that name, without begin and end tokens; NULL: not known. @memory Static. */
const struct od_spec *od_bench_shape(const char *name);

#endif
