/**
 * @file
 * Between a program's tensors and files: base weights, fresh weights, adapters.
 *
 * Base weights are read from a model folder (safetensors, one file or shards). Names, shapes and
 * types must be those of the model: a missing or an extra tensor and a value that is no number are
 * errors that name it. Adapters have PEFT's layout and names.
 *
 * @source Hugging Face transformers (names of weights), PEFT (adapter_config.json).
 * @thread Re-entrant: distinct objects from distinct threads.
 */
#ifndef OD_MODEL_WEIGHTS_H
#define OD_MODEL_WEIGHTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/file.h"
#include "base/status.h"
#include "base/threads.h"
#include "formats/dtype.h"
#include "model/program.h"

/** Philox streams of this file. */
enum { OD_STREAM_INIT = 0x494E4954 };

/** Read the base weights of `folder` into `tensors` (by tensor number). */
enum od_status od_weights_read(const struct od_program *program, float *const *tensors,
                               const char *folder, struct od_error *err) OD_MUST_CHECK;

/** Fresh base weights: normal(0, init_std) for matrices, 1 for norms; element i of tensor t is
 *  drawn from (seed, t, i) alone. */
void od_weights_init(const struct od_program *program, float *const *tensors, uint64_t seed);

/** Fresh adapters as PEFT makes them: A uniform(-1/sqrt(K), 1/sqrt(K)), B zero. */
void od_adapters_init(const struct od_program *program, float *const *tensors, uint64_t seed);

/** Write parts (program->weights or program->adapters) as one safetensors file. */
enum od_status od_parts_write(const struct od_part *parts, int32_t count, float *const *tensors,
                              const char *path, enum od_dtype dtype,
                              struct od_error *err) OD_MUST_CHECK;
/** Read exactly these parts from one safetensors file. */
enum od_status od_parts_read(const struct od_part *parts, int32_t count, float *const *tensors,
                             const char *path, struct od_error *err) OD_MUST_CHECK;

/** What adapter_config.json says. */
struct od_adapter_config {
    int64_t r;
    double alpha;
    bool rslora;
    unsigned targets;                    ///< bits of enum od_target
    char base_model[OD_PATH_MAX_BYTES];  ///< base_model_name_or_path
};
enum od_status od_adapter_config_read(const char *folder, struct od_adapter_config *ret,
                                      struct od_error *err) OD_MUST_CHECK;
enum od_status od_adapter_config_write(const struct od_adapter_config *config, const char *folder,
                                       struct od_error *err) OD_MUST_CHECK;
/** alpha / r, or alpha / sqrt(r). */
float od_adapter_scale(const struct od_adapter_config *config);

/**
 * W [rows, k] += scale * B [rows, r] A [r, k], all row-major, on the threads of the pool.
 * @order In double: each sum over r in order, times `scale`, added to W and rounded once.
 */
enum od_status od_adapter_add(struct od_pool *pool, float *w, const float *a, const float *b,
                              int64_t rows, int64_t k, int64_t r, double scale,
                              struct od_error *err) OD_MUST_CHECK;

/** Add the adapter in `folder` to base weights in memory, see od_adapter_add. `program` may be of
 *  any mode; its weights are changed. */
enum od_status od_adapter_merge(struct od_pool *pool, const struct od_program *program,
                                float *const *tensors, const char *folder,
                                struct od_error *err) OD_MUST_CHECK;

#endif
