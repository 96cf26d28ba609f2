/**
 * @file
 * Between a program and GGUF files: the facts of a model, its weights, adapters.
 *
 * Names and keys are those of llama.cpp's architectures: "llama" (families llama and mistral),
 * "qwen2", "qwen3", "gpt2". In "llama", rotary positions turn neighbouring pairs of a head there, and its two
 * halves here; so the rows of query and key projections change
 * places: row h D + 2 i + j of the file is row h D + j D / 2 + i of ours (h head, D head size,
 * i < D / 2, j < 2). The same holds for the B of an adapter on them, and for their biases, which files of
 * "llama" may have, as they may have those of all other products.
 *
 * @source ggml's documentation of GGUF; the files that llama.cpp's converters write.
 * @thread Re-entrant: distinct objects from distinct threads.
 */
#ifndef OD_MODEL_GGUF_MODEL_H
#define OD_MODEL_GGUF_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "base/threads.h"
#include "formats/gguf.h"
#include "model/program.h"
#include "model/spec.h"
#include "model/weights.h"

/** The name in a GGUF file of a weight in Hugging Face's naming; false when it has none. */
bool od_gguf_weight_name(const char *name, char out[OD_GGUF_NAME_MAX_BYTES + 1]);

/** Type by the name that the command line uses ("f32", "f16", "bf16", "q8_0"); false for others. */
bool od_gguf_type_of(const char *name, uint32_t *ret_type);

/** Put the facts of a model under the keys of its architecture; `type` is that of its matrices. */
enum od_status od_spec_put_gguf(const struct od_spec *spec, const char *name, uint32_t type,
                                struct od_gguf_keys *keys, struct od_error *err) OD_MUST_CHECK;

/** The facts of a model out of a file. @error OD_E_UNSUPPORTED for another architecture, positions
 *  scaled in a way that is not here, and experts. */
enum od_status od_spec_of_gguf(const struct od_gguf *gguf, struct od_spec *ret,
                               struct od_error *err) OD_MUST_CHECK;
/** The same out of the file at `path`. */
enum od_status od_spec_read_gguf(const char *path, struct od_spec *ret,
                                 struct od_error *err) OD_MUST_CHECK;

/**
 * Write a model folder's weights as a GGUF file, a piece at a time. Norms, biases and learned
 * positions stay F32; matrices get
 * `type`, or F16 where their rows are no whole blocks of it.
 * @param program  Of any mode without quantised weights; only its parts are used.
 */
enum od_status od_weights_write_gguf(const struct od_program *program, const char *folder,
                                     const char *path, uint32_t type,
                                     const struct od_gguf_keys *keys,
                                     struct od_error *err) OD_MUST_CHECK;

/** Read the base weights into `tensors` (by tensor number), quantised where the program says so;
 *  every tensor of the file must be one of the model's. */
enum od_status od_weights_read_gguf(const struct od_program *program, float *const *tensors,
                                    const struct od_gguf *gguf, struct od_error *err) OD_MUST_CHECK;
/** The same into a sink, as F32; one weight is in memory at a time. */
enum od_status od_weights_stream_gguf(const struct od_program *program,
                                      const struct od_weight_sink *sink, const struct od_gguf *gguf,
                                      struct od_error *err) OD_MUST_CHECK;

/** Write an adapter folder as a GGUF file (general.type "adapter"). Its alpha is such that alpha / r
 *  is the adapter's scale. */
enum od_status od_adapter_write_gguf(const struct od_program *program, const char *folder,
                                     const char *path, uint32_t type,
                                     struct od_error *err) OD_MUST_CHECK;

/** Add the adapter in a GGUF file to base weights in memory, see od_adapter_add. */
enum od_status od_adapter_merge_gguf(struct od_pool *pool, const struct od_program *program,
                                     float *const *tensors, const char *path,
                                     struct od_error *err) OD_MUST_CHECK;

/** Read the adapter in a GGUF file; all its matrices have one rank. See od_adapter_open.
 *  @memory Fills `ret`: od_adapter_release. */
enum od_status od_adapter_open_gguf(const struct od_program *program, const char *path,
                                    struct od_adapter *ret, struct od_error *err) OD_MUST_CHECK;
/** The same out of an open file. */
enum od_status od_adapter_read_gguf(const struct od_program *program, const struct od_gguf *gguf,
                                    struct od_adapter *ret, struct od_error *err) OD_MUST_CHECK;

#endif
