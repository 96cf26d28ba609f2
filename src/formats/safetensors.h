/**
 * @file
 * Tensors on disk: safetensors, in one file or in several with an index.
 *
 *     struct od_safetensors *st = NULL;
 *     status = od_safetensors_open("llama/", &st, err);
 *     const struct od_tensor_info *info = od_safetensors_find(st, "lm_head.weight");
 *     status = od_safetensors_read_f32(st, info, weights, err);
 *     od_safetensors_close(st);
 *
 * Opening reads the headers and holds the files open; data is read with pread when it is asked
 * for, straight into the caller's memory.
 *
 * @source https://huggingface.co/docs/safetensors (format); the index of sharded checkpoints as
 *         Hugging Face's libraries write it.
 * @thread An open od_safetensors may be read from several threads at once.
 */
#ifndef OD_FORMATS_SAFETENSORS_H
#define OD_FORMATS_SAFETENSORS_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "formats/dtype.h"

/** Limits on what is read. */
enum {
    OD_TENSOR_RANK_MAX = 8,
    OD_TENSOR_NAME_MAX_BYTES = 1024,
    OD_SAFETENSORS_SHARDS_MAX = 512,
    OD_SAFETENSORS_TENSORS_MAX = 1 << 20,
    OD_SAFETENSORS_HEADER_MAX_BYTES = 100 * 1000 * 1000
};

/** Names of a model's files in its folder. */
#define OD_SAFETENSORS_FILE  "model.safetensors"
#define OD_SAFETENSORS_INDEX "model.safetensors.index.json"

/** An open checkpoint. */
struct od_safetensors;

/** One tensor of an open checkpoint. */
struct od_tensor_info {
    const char *name;
    enum od_dtype dtype;
    int rank;                           ///< 0 for a scalar
    int64_t shape[OD_TENSOR_RANK_MAX];  ///< [rank], outermost first; row-major data
    int64_t count;                      ///< product of the shape
    size_t size_bytes;                  ///< count * od_dtype_size(dtype)
    int shard;                          ///< private: which file
    uint64_t offset;                    ///< private: of its first byte in that file
};

/**
 * Open a .safetensors file, an index (.index.json), or a folder that holds model.safetensors or
 * model.safetensors.index.json. Every header is checked: types, shapes, offsets without gap or
 * overlap up to the end of the file, and with an index that each tensor is where the index says.
 *
 * @memory Gives *ret: od_safetensors_close. Holds one file descriptor for each file.
 * @error  OD_E_NOT_FOUND, OD_E_IO, OD_E_FORMAT, OD_E_UNSUPPORTED (dtype), OD_E_LIMIT, OD_E_MEMORY.
 */
enum od_status od_safetensors_open(const char *path, struct od_safetensors **ret,
                                   struct od_error *err) OD_MUST_CHECK;
/** Close the files; NULL is allowed. */
void od_safetensors_close(struct od_safetensors *st);

/** Number of tensors. */
size_t od_safetensors_count(const struct od_safetensors *st);
/** Number of files. */
size_t od_safetensors_shard_count(const struct od_safetensors *st);
/** Tensor `index` in the order of files and of offsets in them. @memory Borrowed from `st`. */
const struct od_tensor_info *od_safetensors_get(const struct od_safetensors *st, size_t index);
/** The tensor of that name, or NULL. @memory Borrowed from `st`. */
const struct od_tensor_info *od_safetensors_find(const struct od_safetensors *st, const char *name);
/** Text under `key` in the header's `__metadata__` (the first file that has it), or NULL.
 *  @memory Borrowed from `st`. */
const char *od_safetensors_metadata(const struct od_safetensors *st, const char *key);

/**
 * Read all elements as float into `out` [info->count]; F16 and BF16 are exact in float.
 * @error OD_E_UNSUPPORTED when the dtype is not F32, F16 or BF16; OD_E_IO.
 */
enum od_status od_safetensors_read_f32(const struct od_safetensors *st,
                                       const struct od_tensor_info *info, float *out,
                                       struct od_error *err) OD_MUST_CHECK;
/** As od_safetensors_read_f32 for `count` elements from element `first` on. */
enum od_status od_safetensors_read_f32_part(const struct od_safetensors *st,
                                            const struct od_tensor_info *info, int64_t first,
                                            int64_t count, float *out,
                                            struct od_error *err) OD_MUST_CHECK;
/** Read the bytes as they are in the file into `out` [info->size_bytes], little-endian. */
enum od_status od_safetensors_read_raw(const struct od_safetensors *st,
                                       const struct od_tensor_info *info, void *out,
                                       struct od_error *err) OD_MUST_CHECK;

/** The same for `count` elements from element `first` on. */
enum od_status od_safetensors_read_raw_part(const struct od_safetensors *st,
                                            const struct od_tensor_info *info, int64_t first,
                                            int64_t count, void *out,
                                            struct od_error *err) OD_MUST_CHECK;

/** A tensor to be written. */
struct od_tensor_out {
    const char *name;
    enum od_dtype dtype;  ///< F32, F16, BF16: values are rounded to it (nearest, ties even); or U8
    int rank;
    int64_t shape[OD_TENSOR_RANK_MAX];
    const float *data;     ///< [product of shape]; not used by od_safetensors_create
    const uint8_t *bytes;  ///< of U8: the same, instead of `data`
};

/** A key and a text for `__metadata__`. */
struct od_text_pair {
    const char *key;
    const char *value;
};

/** What is written, and where. */
struct od_safetensors_plan {
    const char *path;  ///< a file; with max_shard_bytes > 0 a folder that exists, best an empty one
    const struct od_tensor_out *tensors;  ///< [count], written in this order
    size_t count;
    const struct od_text_pair *metadata;  ///< [metadata_count]
    size_t metadata_count;
    /** 0: one file. Otherwise shards of at most so many bytes of tensors (a larger tensor gets a
     *  shard of its own) and an index; one shard becomes model.safetensors without an index. */
    size_t max_shard_bytes;
};

/** Writes a checkpoint piece by piece. */
struct od_safetensors_writer;

/**
 * Start writing. Headers go out at once; nothing appears under its name before the commit.
 * @memory Gives *ret: od_safetensors_commit or od_safetensors_abort. Borrows everything in `plan`
 *         until then.
 * @error  OD_E_ARGUMENT for a name twice, a dtype that is not written, a shape that makes no sense or
 *         a tensor that would not be aligned to its type (put wider types first).
 */
enum od_status od_safetensors_create(const struct od_safetensors_plan *plan,
                                     struct od_safetensors_writer **ret,
                                     struct od_error *err) OD_MUST_CHECK;
/** Append `count` values: all tensors' values in the order of the plan, in pieces of any size. Not of
 *  U8: OD_E_ARGUMENT. */
enum od_status od_safetensors_put(struct od_safetensors_writer *writer, const float *values,
                                  int64_t count, struct od_error *err) OD_MUST_CHECK;
/**
 * Put the files in place (shards, then the index) and free the writer, also on failure. After a
 * failure a single file is the old one or, when only the sync of its folder failed, the new one,
 * never a part; shards that were put in place are removed again.
 * @error OD_E_ARGUMENT when values are missing.
 */
enum od_status od_safetensors_commit(struct od_safetensors_writer *writer,
                                     struct od_error *err) OD_MUST_CHECK;
/** Drop what was written and free the writer; NULL is allowed. */
void od_safetensors_abort(struct od_safetensors_writer *writer);

/** Write tensors that are in memory: create, put each `data`, commit. */
enum od_status od_safetensors_write(const struct od_safetensors_plan *plan,
                                    struct od_error *err) OD_MUST_CHECK;

#endif
