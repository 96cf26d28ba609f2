/**
 * @file
 * GGUF: one file with a model's tensors, its tokenizer and its settings, read and written.
 *
 *     struct od_gguf *gguf = NULL;
 *     status = od_gguf_open("model.gguf", &gguf, err);
 *     const struct od_gguf_tensor *tensor = od_gguf_find_tensor(gguf, "output_norm.weight");
 *     status = od_gguf_read_f32(gguf, tensor, weights, err);
 *     od_gguf_close(gguf);
 *
 * Opening reads what stands before the data and holds the file open; data is read when it is asked
 * for. The format itself is described at the top of gguf.c.
 *
 * @source https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
 * @thread An open od_gguf may be read from several threads at once; a writer has one owner.
 */
#ifndef OD_FORMATS_GGUF_H
#define OD_FORMATS_GGUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"
#include "formats/ggml.h"

/** Limits on what is read and written. */
enum {
    OD_GGUF_RANK_MAX = 4,
    OD_GGUF_KEYS_MAX = 1 << 16,
    OD_GGUF_TENSORS_MAX = 1 << 18,
    OD_GGUF_KEY_MAX_BYTES = 1024,
    OD_GGUF_NAME_MAX_BYTES = 63,  ///< ggml's own: 64 with a NUL
    OD_GGUF_DEPTH_MAX = 4,        ///< lists in lists
    OD_GGUF_ALIGNMENT_MAX = 1 << 16,
    OD_GGUF_HEADER_MAX_BYTES = 1 << 30
};

/** Types of a value, by their numbers in the file. */
enum od_gguf_type {
    OD_GGUF_U8 = 0,
    OD_GGUF_I8,
    OD_GGUF_U16,
    OD_GGUF_I16,
    OD_GGUF_U32,
    OD_GGUF_I32,
    OD_GGUF_F32,
    OD_GGUF_BOOL,
    OD_GGUF_TEXT,
    OD_GGUF_LIST,
    OD_GGUF_U64,
    OD_GGUF_I64,
    OD_GGUF_F64
};

/** A key and its value. */
struct od_gguf_value {
    const char *key;
    enum od_gguf_type type;      ///< of a list: OD_GGUF_LIST
    enum od_gguf_type items;     ///< of a list: type of its members
    uint64_t count;              ///< of a list: members; else 1
    const unsigned char *bytes;  ///< the value, or the first member, as it is in the file
    size_t size;                 ///< bytes of it, or of all members
    const char *text;            ///< of a text: with a NUL behind it; else NULL
};

/** A tensor. */
struct od_gguf_tensor {
    const char *name;
    uint32_t type;                    ///< see od_ggml_info
    int rank;                         ///< 1 or more
    int64_t shape[OD_GGUF_RANK_MAX];  ///< [rank], outermost first (the file has them reversed)
    int64_t count;                    ///< product of the shape
    size_t size_bytes;
    uint64_t offset;  ///< private: in the file
};

/** An open file. */
struct od_gguf;

/** True when a path names a GGUF file by its ending. */
bool od_gguf_is_path(const char *path);

/**
 * Open a file of version 2 or 3, little endian. All of its header is checked: types, sizes, counts,
 * texts, names that stand twice, and that tensors lie behind each other up to the end of the file.
 *
 * @memory Gives *ret: od_gguf_close. Holds one file descriptor.
 * @error  OD_E_NOT_FOUND, OD_E_IO, OD_E_FORMAT, OD_E_UNSUPPORTED (version, byte order, type of a
 *         tensor), OD_E_LIMIT, OD_E_MEMORY.
 */
enum od_status od_gguf_open(const char *path, struct od_gguf **ret,
                            struct od_error *err) OD_MUST_CHECK;
/** The same for a file in memory; `name` stands in messages. @memory Keeps `bytes`. */
enum od_status od_gguf_parse(const void *bytes, size_t size, const char *name, struct od_gguf **ret,
                             struct od_error *err) OD_MUST_CHECK;
/** Release; NULL is allowed. */
void od_gguf_close(struct od_gguf *gguf);

/** Name of the file, for messages. @memory Borrowed from `gguf`, as all that follows. */
const char *od_gguf_name(const struct od_gguf *gguf);
uint32_t od_gguf_version(const struct od_gguf *gguf);
size_t od_gguf_key_count(const struct od_gguf *gguf);
/** Value `index` in the order of the file. */
const struct od_gguf_value *od_gguf_get(const struct od_gguf *gguf, size_t index);
/** The value of a key, or NULL. */
const struct od_gguf_value *od_gguf_find(const struct od_gguf *gguf, const char *key);

/** Values with their type checked; the fallback when the key is absent. Integers may be of any size
 *  that holds them, numbers integers or floats. @error OD_E_FORMAT for another type. */
enum od_status od_gguf_int_or(const struct od_gguf *gguf, const char *key, int64_t fallback,
                              int64_t *ret, struct od_error *err) OD_MUST_CHECK;
enum od_status od_gguf_number_or(const struct od_gguf *gguf, const char *key, double fallback,
                                 double *ret, struct od_error *err) OD_MUST_CHECK;
enum od_status od_gguf_bool_or(const struct od_gguf *gguf, const char *key, bool fallback,
                               bool *ret, struct od_error *err) OD_MUST_CHECK;
/** A text without a NUL inside. @memory Borrowed. */
enum od_status od_gguf_text_or(const struct od_gguf *gguf, const char *key, const char *fallback,
                               const char **ret, struct od_error *err) OD_MUST_CHECK;
/** A list whose members have this type; *ret is NULL when the key is absent. */
enum od_status od_gguf_list(const struct od_gguf *gguf, const char *key, enum od_gguf_type items,
                            const struct od_gguf_value **ret, struct od_error *err) OD_MUST_CHECK;

/** Walk over a list of texts: `*at` is 0 first; false at its end. The text has no NUL behind it. */
bool od_gguf_next_text(const struct od_gguf_value *list, size_t *at, const char **ret_text,
                       size_t *ret_size);
/** Member `index` (below `count`) of a list of I32, U32 or F32. */
int64_t od_gguf_int_at(const struct od_gguf_value *list, uint64_t index);
float od_gguf_f32_at(const struct od_gguf_value *list, uint64_t index);

size_t od_gguf_tensor_count(const struct od_gguf *gguf);
const struct od_gguf_tensor *od_gguf_get_tensor(const struct od_gguf *gguf, size_t index);
const struct od_gguf_tensor *od_gguf_find_tensor(const struct od_gguf *gguf, const char *name);

/** All elements as float into `out` [tensor->count].
 *  @error OD_E_UNSUPPORTED for a type that is not converted, OD_E_IO, OD_E_MEMORY. */
enum od_status od_gguf_read_f32(const struct od_gguf *gguf, const struct od_gguf_tensor *tensor,
                                float *out, struct od_error *err) OD_MUST_CHECK;
/** The bytes as they are into `out` [tensor->size_bytes]. */
enum od_status od_gguf_read_raw(const struct od_gguf *gguf, const struct od_gguf_tensor *tensor,
                                void *out, struct od_error *err) OD_MUST_CHECK;

/** Keys and values to be written. Like od_buf: check once, by od_gguf_create. */
struct od_gguf_keys {
    struct od_buf bytes;  ///< private
    uint64_t count;       ///< private
};
void od_gguf_keys_init(struct od_gguf_keys *keys);
void od_gguf_keys_release(struct od_gguf_keys *keys);
void od_gguf_put_text(struct od_gguf_keys *keys, const char *key, const char *text);
void od_gguf_put_u32(struct od_gguf_keys *keys, const char *key, uint32_t value);
void od_gguf_put_f32(struct od_gguf_keys *keys, const char *key, float value);
void od_gguf_put_bool(struct od_gguf_keys *keys, const char *key, bool value);
/** A list: begin with the number of its members, then put exactly so many of that type. */
void od_gguf_put_list(struct od_gguf_keys *keys, const char *key, enum od_gguf_type items,
                      uint64_t count);
void od_gguf_put_text_item(struct od_gguf_keys *keys, const char *text, size_t size);
void od_gguf_put_i32_item(struct od_gguf_keys *keys, int32_t value);
void od_gguf_put_u8_items(struct od_gguf_keys *keys, const void *bytes, size_t count);
void od_gguf_put_f32_item(struct od_gguf_keys *keys, float value);

/** A tensor to be written. */
struct od_gguf_out {
    char name[OD_GGUF_NAME_MAX_BYTES + 1];
    uint32_t
        type;  ///< one that od_ggml_converts; the innermost dimension is a multiple of its block
    int rank;
    int64_t shape[OD_GGUF_RANK_MAX];  ///< [rank], outermost first
};

/** Writes a file piece by piece. */
struct od_gguf_writer;

/**
 * Start a file of version 3 with an alignment of 32. Nothing appears under `path` before the commit.
 * @memory Gives *ret: od_gguf_commit or od_gguf_abort. Borrows `keys`; keeps `tensors` [count].
 * @error  OD_E_ARGUMENT for a name twice, a type or a shape that cannot be written.
 */
enum od_status od_gguf_create(const char *path, const struct od_gguf_keys *keys,
                              const struct od_gguf_out *tensors, size_t count,
                              struct od_gguf_writer **ret, struct od_error *err) OD_MUST_CHECK;
/** Append `count` values: all tensors' values in their order, in pieces of any size. */
enum od_status od_gguf_put(struct od_gguf_writer *writer, const float *values, int64_t count,
                           struct od_error *err) OD_MUST_CHECK;
/** Put the file in place and free the writer, also on failure. @error OD_E_ARGUMENT when values are
 *  missing. */
enum od_status od_gguf_commit(struct od_gguf_writer *writer, struct od_error *err) OD_MUST_CHECK;
/** Drop what was written and free the writer; NULL is allowed. */
void od_gguf_abort(struct od_gguf_writer *writer);

#endif
