/**
 * @file
 * Between a program's tensors and files: base weights, fresh weights, adapters.
 *
 * Base weights are read from a model folder (safetensors, one file or shards) or a GGUF file. Names, shapes and
 * types must be those of the model: a missing or an extra tensor and a value that is no number are
 * errors that name it. Adapters have PEFT's layout and names.
 *
 * @source Hugging Face transformers (names of weights), PEFT (adapter_config.json).
 * @thread Re-entrant: distinct objects from distinct threads.
 */
#ifndef OD_MODEL_WEIGHTS_H
#define OD_MODEL_WEIGHTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/file.h"
#include "base/status.h"
#include "base/threads.h"
#include "formats/dtype.h"
#include "model/program.h"
#include "ops/gpu_draw.h"

/** Philox streams of this file. */
enum { OD_STREAM_INIT = 0x494E4954 };
/** Values that od_weights_init_file draws at a time. */
enum { OD_WEIGHTS_INIT_PIECE = 4 << 20 };

/** Read the base weights of `folder`, or of a GGUF file, into `tensors` (by tensor number). */
enum od_status od_weights_read(const struct od_program *program, float *const *tensors,
                               const char *folder, struct od_error *err) OD_MUST_CHECK;

/** Where weights go that are not kept in host memory: pieces in the order of their elements. */
struct od_weight_sink {
    void *context;
    size_t piece_bytes;  ///< at most so many at a time
    /** Memory for the next piece, or NULL after a failure. */
    void *(*buffer)(void *context, struct od_error *err);
    /** `count` values of `dtype` from element `first` of the part lie in the buffer. */
    void (*put)(void *context, const struct od_part *part, enum od_dtype dtype, int64_t first,
                int64_t count);
    /** A quantised part, whole. */
    enum od_status (*put_codes)(void *context, const struct od_part *part, const uint8_t *codes,
                                const uint8_t *scales, struct od_error *err);
    struct od_pool *pool;  ///< that quantises; NULL: this thread
    /** After a part; *ret_bad tells how many of its values were no numbers. */
    enum od_status (*finish)(void *context, uint64_t *ret_bad, struct od_error *err);
};
/** As od_weights_read, piece by piece into a sink. */
enum od_status od_weights_stream(const struct od_program *program, const char *folder,
                                 const struct od_weight_sink *sink,
                                 struct od_error *err) OD_MUST_CHECK;

/** Fresh base weights: normal(0, init_std) for matrices, 1 for norms; element i of tensor t is
 *  drawn from (seed, t, i) alone. */
enum od_status od_weights_init(const struct od_program *program, float *const *tensors,
                               uint64_t seed, struct od_error *err) OD_MUST_CHECK;

/** Elements [first, first + count) of base weight `part` (its index in program->weights) as
 *  od_weights_init draws them; `first` is even. */
void od_weights_init_values(const struct od_program *program, int32_t part, uint64_t seed,
                            int64_t first, int64_t count, float *to);

/** The same on all threads of a pool. */
void od_weights_init_pool(struct od_pool *pool, const struct od_program *program, int32_t part,
                          uint64_t seed, int64_t first, int64_t count, float *to);

/** A whole part as it lies in memory; pool may be NULL. Of a part that files hold transposed, the
 *  values above are those of the file's order. */
enum od_status od_weights_init_part(struct od_pool *pool, const struct od_program *program,
                                    int32_t part, uint64_t seed, float *to,
                                    struct od_error *err) OD_MUST_CHECK;

/** Write fresh base weights as one safetensors file of bf16, holding only a piece in memory. A GPU
 *  draws the matrices, the pool where it is NULL: the same file. */
enum od_status od_weights_init_file(struct od_pool *pool, struct od_gpu_draw *gpu,
                                    const struct od_program *program, uint64_t seed,
                                    const char *path, struct od_error *err) OD_MUST_CHECK;

/** Fresh adapters as PEFT makes them: A uniform(-1/sqrt(K), 1/sqrt(K)), B zero; of the embedding A
 *  zero, B normal(0, 1). */
void od_adapters_init(const struct od_program *program, float *const *tensors, uint64_t seed);

/** Write parts (program->weights or program->adapters) as one safetensors file. */
enum od_status od_parts_write(const struct od_part *parts, int32_t count, float *const *tensors,
                              const char *path, enum od_dtype dtype,
                              struct od_error *err) OD_MUST_CHECK;
/** Read exactly these parts from one safetensors file. */
enum od_status od_parts_read(const struct od_part *parts, int32_t count, float *const *tensors,
                             const char *path, struct od_error *err) OD_MUST_CHECK;

/** The values of a part [rows, cols] into a sink. */
enum od_status od_values_send(const struct od_part *part, const float *values,
                              const struct od_weight_sink *sink,
                              struct od_error *err) OD_MUST_CHECK;

/** Bytes of the codes and of the scales of a quantised part. */
size_t od_quant_code_bytes(const struct od_part *part);
size_t od_quant_scale_bytes(const struct od_part *part);
/** Codes and scales of a quantised part from its values [rows, cols]; pool may be NULL. */
enum od_status od_quant_encode(struct od_pool *pool, const struct od_part *part,
                               const float *values, uint8_t *codes, uint8_t *scales,
                               struct od_error *err) OD_MUST_CHECK;
/** The same into a sink. */
enum od_status od_quant_send(const struct od_part *part, const float *values,
                             const struct od_weight_sink *sink, struct od_error *err) OD_MUST_CHECK;
/** The same into the memory of the part's tensors. */
enum od_status od_quant_store(const struct od_part *part, const float *values,
                              float *const *tensors, struct od_error *err) OD_MUST_CHECK;

/** Put in place of the weights of linear layers, in memory as float, what a base that holds them
 *  quantised computes with. @error OD_E_UNSUPPORTED for a matrix that has no 4-bit form. */
enum od_status od_weights_round(struct od_pool *pool, const struct od_program *program,
                                enum od_quant quant, float *const *tensors,
                                struct od_error *err) OD_MUST_CHECK;

/** What adapter_config.json says. */
struct od_adapter_config {
    int64_t r;
    double alpha;
    double dropout;  ///< in training; has no effect afterwards
    bool rslora;
    unsigned targets;            ///< bits of enum od_target
    struct od_layer_set layers;  ///< layers_to_transform
    unsigned saved;              ///< modules_to_save, bits of enum od_saved
    bool tied;                   ///< ensure_weight_tying: both saved modules are one
    const char *embedding;       ///< what a saved embedding is written as; NULL: embed_tokens
    char base_model[OD_PATH_MAX_BYTES];  ///< base_model_name_or_path
};
enum od_status od_adapter_config_read(const char *folder, struct od_adapter_config *ret,
                                      struct od_error *err) OD_MUST_CHECK;
enum od_status od_adapter_config_write(const struct od_adapter_config *config, const char *folder,
                                       struct od_error *err) OD_MUST_CHECK;
/** Give a model with a tied head a head of its own where the adapter in `folder` makes head and
 *  embedding differ: with matrices on one of them, or one of them in full. A GGUF file never does. */
enum od_status od_adapter_untie(const char *folder, struct od_spec *spec,
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

/** An adapter's matrices for rows [row, row + rows) of the weight in `tensor` [.., k]. Those of an
 *  embedding lie turned: `a` is PEFT's lora_embedding_B, `b` its lora_embedding_A, each transposed. */
struct od_adapter_layer {
    int32_t tensor;
    int64_t row;
    int64_t rows;
    int64_t k;
    float *a;     ///< [r, k]
    float *b;     ///< [rows, r]
    float *full;  ///< [rows, k] takes the weight's place before a and b, where they are, are added
};

/** An adapter in memory, beside the weights that it is for. */
struct od_adapter {
    int64_t r;
    float scale;
    struct od_adapter_layer *layers;  ///< in the order of program->weights
    int64_t layer_count;
};

/** Read the adapter in `folder`. Each of its tensors must belong to a layer of the program.
 *  @memory Fills `ret`: od_adapter_release. */
enum od_status od_adapter_open(const struct od_program *program, const char *folder,
                               struct od_adapter *ret, struct od_error *err) OD_MUST_CHECK;
void od_adapter_release(struct od_adapter *adapter);

/** Read program->adapters from an adapter's file. What it has below adapters of embedding and head must
 *  be the base's weights, which are in `tensors` as floats; where the program has them in bf16, to that.
 *  @error OD_E_REFUSED where they differ, OD_E_FORMAT where `tensors` has NULL for them. */
enum od_status od_adapter_read(const struct od_program *program, float *const *tensors,
                               const char *path, struct od_error *err) OD_MUST_CHECK;

/** Add the adapter in `folder` to base weights in memory, see od_adapter_add; what it has in full
 *  takes the weight's place. `program` may be of
 *  any mode; its weights are changed. */
enum od_status od_adapter_merge(struct od_pool *pool, const struct od_program *program,
                                float *const *tensors, const char *folder,
                                struct od_error *err) OD_MUST_CHECK;

#endif
