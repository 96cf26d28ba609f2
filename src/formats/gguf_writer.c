// Writes a GGUF file of version 3; the format stands at the top of gguf.c.

#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/status.h"
#include "formats/ggml.h"
#include "formats/gguf.h"
#include "formats/half.h"

enum { VERSION = 3, ALIGNMENT = 32, PENDING_VALUES = 8192 };

struct od_gguf_writer {
    struct od_writer file;
    const struct od_gguf_out *tensors;  // [count], kept
    size_t count;
    size_t index;     // tensor that is being written
    int64_t left;     // of its values
    uint64_t data;    // bytes of data written so far
    int64_t pending;  // values that wait in `values`
    float values[PENDING_VALUES];
    unsigned char bytes[PENDING_VALUES * sizeof(float)];
};

static void put_number(struct od_buf *out, uint64_t value, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        od_buf_putc(out, (char)(unsigned char)(value >> (8 * i) & 0xFFu));
    }
}

static void put_text(struct od_buf *out, const char *text, size_t size)
{
    put_number(out, size, 8);
    od_buf_append(out, text, size);
}

void od_gguf_keys_init(struct od_gguf_keys *keys)
{
    *keys = (struct od_gguf_keys){0};
    od_buf_init(&keys->bytes, OD_GGUF_HEADER_MAX_BYTES);
}

void od_gguf_keys_release(struct od_gguf_keys *keys)
{
    od_buf_release(&keys->bytes);
    keys->count = 0;
}

static void put_key(struct od_gguf_keys *keys, const char *key, enum od_gguf_type type)
{
    put_text(&keys->bytes, key, strlen(key));
    put_number(&keys->bytes, (uint64_t)type, 4);
    keys->count++;
}

void od_gguf_put_text(struct od_gguf_keys *keys, const char *key, const char *text)
{
    put_key(keys, key, OD_GGUF_TEXT);
    put_text(&keys->bytes, text, strlen(text));
}

void od_gguf_put_u32(struct od_gguf_keys *keys, const char *key, uint32_t value)
{
    put_key(keys, key, OD_GGUF_U32);
    put_number(&keys->bytes, value, 4);
}

void od_gguf_put_f32(struct od_gguf_keys *keys, const char *key, float value)
{
    put_key(keys, key, OD_GGUF_F32);
    put_number(&keys->bytes, od_f32_bits(value), 4);
}

void od_gguf_put_bool(struct od_gguf_keys *keys, const char *key, bool value)
{
    put_key(keys, key, OD_GGUF_BOOL);
    put_number(&keys->bytes, value, 1);
}

void od_gguf_put_list(struct od_gguf_keys *keys, const char *key, enum od_gguf_type items,
                      uint64_t count)
{
    put_key(keys, key, OD_GGUF_LIST);
    put_number(&keys->bytes, (uint64_t)items, 4);
    put_number(&keys->bytes, count, 8);
}

void od_gguf_put_text_item(struct od_gguf_keys *keys, const char *text, size_t size)
{
    put_text(&keys->bytes, text, size);
}

void od_gguf_put_i32_item(struct od_gguf_keys *keys, int32_t value)
{
    put_number(&keys->bytes, (uint32_t)value, 4);
}

void od_gguf_put_u8_items(struct od_gguf_keys *keys, const void *bytes, size_t count)
{
    od_buf_append(&keys->bytes, bytes, count);
}

void od_gguf_put_f32_item(struct od_gguf_keys *keys, float value)
{
    put_number(&keys->bytes, od_f32_bits(value), 4);
}

static uint64_t padded(uint64_t size)
{
    return (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static enum od_status check_tensor(const struct od_gguf_out *tensor, int64_t *ret_count,
                                   uint64_t *ret_bytes, struct od_error *err)
{
    const struct od_ggml_info *info = od_ggml_info(tensor->type);
    int64_t count = 1;
    bool good = od_ggml_converts(tensor->type) && tensor->rank >= 1 &&
                tensor->rank <= OD_GGUF_RANK_MAX && tensor->name[0] != '\0' &&
                memchr(tensor->name, '\0', sizeof tensor->name);
    for (int i = 0; good && i < tensor->rank; i++) {
        good = tensor->shape[i] > 0 && od_count_mul(count, tensor->shape[i], &count);
    }
    if (!good || tensor->shape[tensor->rank - 1] % info->block != 0 || count > INT64_MAX / 8) {
        return od_fail(err, OD_E_ARGUMENT, "tensor '%.63s' cannot be written in its type and shape",
                       tensor->name);
    }
    *ret_count = count;
    *ret_bytes = (uint64_t)(count / info->block) * (uint64_t)info->bytes;
    return OD_OK;
}

static int compare_names(const void *a, const void *b)
{
    const struct od_gguf_out *const *left = a;
    const struct od_gguf_out *const *right = b;
    return strcmp((*left)->name, (*right)->name);
}

static enum od_status check_names(const struct od_gguf_out *tensors, size_t count,
                                  struct od_error *err)
{
    const struct od_gguf_out **sorted = od_alloc(count, sizeof(*sorted));
    enum od_status status = OD_OK;
    if (!sorted) {
        return od_fail(err, OD_E_MEMORY, "no memory for the names of %zu tensors", count);
    }
    for (size_t i = 0; i < count; i++) {
        sorted[i] = &tensors[i];
    }
    if (count > 0) {
        qsort(sorted, count, sizeof(*sorted), compare_names);
    }
    for (size_t i = 1; i < count && status == OD_OK; i++) {
        if (strcmp(sorted[i - 1]->name, sorted[i]->name) == 0) {
            status = od_fail(err, OD_E_ARGUMENT, "two tensors are named '%s'", sorted[i]->name);
        }
    }
    od_free(sorted);
    return status;
}

// Everything in front of the data.
static enum od_status put_header(struct od_buf *out, const struct od_gguf_keys *keys,
                                 const struct od_gguf_out *tensors, size_t count,
                                 struct od_error *err)
{
    uint64_t offset = 0;
    od_buf_puts(out, "GGUF");
    put_number(out, VERSION, 4);
    put_number(out, count, 8);
    put_number(out, keys->count, 8);
    od_buf_append(out, keys->bytes.bytes, keys->bytes.size);
    for (size_t i = 0; i < count; i++) {
        const struct od_gguf_out *tensor = &tensors[i];
        int64_t values;
        uint64_t bytes;
        const enum od_status status = check_tensor(tensor, &values, &bytes, err);
        if (status != OD_OK) {
            return status;
        }
        put_text(out, tensor->name, strlen(tensor->name));
        put_number(out, (uint64_t)tensor->rank, 4);
        for (int dimension = tensor->rank - 1; dimension >= 0; dimension--) {
            put_number(out, (uint64_t)tensor->shape[dimension], 8);
        }
        put_number(out, tensor->type, 4);
        put_number(out, offset, 8);
        offset += padded(bytes);
    }
    while (out->size % ALIGNMENT != 0 && !out->failed) {
        od_buf_putc(out, '\0');
    }
    return od_buf_check(out, err);
}

static void next_tensor(struct od_gguf_writer *writer)
{
    uint64_t bytes;
    if (writer->index < writer->count) {
        // Checked by put_header; it cannot fail again.
        (void)!check_tensor(&writer->tensors[writer->index], &writer->left, &bytes, NULL);
    }
}

enum od_status od_gguf_create(const char *path, const struct od_gguf_keys *keys,
                              const struct od_gguf_out *tensors, size_t count,
                              struct od_gguf_writer **ret, struct od_error *err)
{
    struct od_buf header;
    struct od_gguf_writer *writer = od_alloc(1, sizeof(*writer));
    if (!writer) {
        return od_fail(err, OD_E_MEMORY, "no memory to write '%s'", path);
    }
    writer->file.fd = -1;
    writer->tensors = tensors;
    writer->count = count;
    od_buf_init(&header, (size_t)2 * OD_GGUF_HEADER_MAX_BYTES);
    enum od_status status = od_buf_check(&keys->bytes, err);
    if (status == OD_OK) {
        status = check_names(tensors, count, err);
    }
    if (status == OD_OK) {
        status = put_header(&header, keys, tensors, count, err);
    }
    if (status == OD_OK) {
        status = od_writer_open(&writer->file, path, err);
    }
    if (status == OD_OK) {
        status = od_writer_write(&writer->file, od_buf_text(&header), header.size, err);
    }
    od_buf_release(&header);
    if (status != OD_OK) {
        od_gguf_abort(writer);
        return status;
    }
    next_tensor(writer);
    *ret = writer;
    return OD_OK;
}

// Write the waiting values, which end a block; pad behind the last one of a tensor.
static enum od_status flush(struct od_gguf_writer *writer, struct od_error *err)
{
    static const unsigned char zeros[ALIGNMENT];
    const uint32_t type = writer->tensors[writer->index].type;
    const struct od_ggml_info *info = od_ggml_info(type);
    const size_t size = (size_t)(writer->pending / info->block) * (size_t)info->bytes;
    od_ggml_from_f32(type, writer->values, writer->pending, writer->bytes);
    enum od_status status = od_writer_write(&writer->file, writer->bytes, size, err);
    writer->pending = 0;
    writer->data += size;
    if (status == OD_OK && writer->left == 0) {
        const uint64_t padding = padded(writer->data) - writer->data;
        status = od_writer_write(&writer->file, zeros, (size_t)padding, err);
        writer->data += padding;
        writer->index++;
        next_tensor(writer);
    }
    return status;
}

enum od_status od_gguf_put(struct od_gguf_writer *writer, const float *values, int64_t count,
                           struct od_error *err)
{
    enum od_status status = OD_OK;
    while (count > 0 && status == OD_OK) {
        if (writer->index == writer->count) {
            return od_fail(err, OD_E_ARGUMENT, "'%s': %" PRId64 " values too many",
                           writer->file.path, count);
        }
        int64_t take = PENDING_VALUES - writer->pending;  // whole blocks fit into it
        take = take < count ? take : count;
        take = take < writer->left ? take : writer->left;
        memcpy(writer->values + writer->pending, values, (size_t)take * sizeof *values);
        writer->pending += take;
        writer->left -= take;
        values += take;
        count -= take;
        if (writer->pending == PENDING_VALUES || writer->left == 0) {
            status = flush(writer, err);
        }
    }
    return status;
}

enum od_status od_gguf_commit(struct od_gguf_writer *writer, struct od_error *err)
{
    enum od_status status = OD_OK;
    if (writer->index < writer->count) {
        status = od_fail(err, OD_E_ARGUMENT, "'%s': values of tensor '%s' are missing",
                         writer->file.path, writer->tensors[writer->index].name);
    }
    if (status == OD_OK) {
        status = od_writer_commit(&writer->file, err);
    }
    od_gguf_abort(writer);
    return status;
}

void od_gguf_abort(struct od_gguf_writer *writer)
{
    if (writer) {
        od_writer_abort(&writer->file);
        od_free(writer);
    }
}
