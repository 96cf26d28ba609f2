/**
 * @file
 * Whole model folders: look at one, make one with random weights.
 *
 * @thread Re-entrant: no state outside the arguments.
 */
#ifndef OD_FLOW_MODEL_FILES_H
#define OD_FLOW_MODEL_FILES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"

/**
 * Describe a model folder or a GGUF file, as text or as one JSON object: family, sizes, parameters,
 * types of tensors, tokenizer, memory to run it. @error what makes it unusable, after what could be
 * said.
 */
enum od_status od_model_inspect(const char *folder, bool tensors, bool json, struct od_buf *out,
                                struct od_error *err) OD_MUST_CHECK;

/** What a new model is made of. */
struct od_model_init {
    const char *config;     ///< file
    const char *tokenizer;  ///< folder whose tokenizer is copied; NULL: the byte tokenizer
    const char *output;     ///< folder that does not exist yet
    uint64_t seed;
    int threads;
    bool on_gpu;  ///< weights are drawn on card `gpu`: the same bits, sooner
    bool gpu_optional;
    int gpu;
};

/** Write a model folder: random weights in bf16 and a tokenizer.
 *  @error OD_E_REFUSED when `output` exists. */
enum od_status od_model_make(const struct od_model_init *init, struct od_error *err) OD_MUST_CHECK;
/** The same on the CPU. */
enum od_status od_model_init(const char *config, const char *tokenizer, uint64_t seed, int threads,
                             const char *output, struct od_error *err) OD_MUST_CHECK;

#endif
