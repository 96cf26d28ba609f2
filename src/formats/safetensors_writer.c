// Writes the format that safetensors.c describes. The header is padded with blanks so that the
// data starts at a multiple of 8; shards of a checkpoint have the names
// model-00001-of-00003.safetensors and so on, as Hugging Face's libraries give them.

#include <assert.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"
#include "formats/dtype.h"
#include "formats/half.h"
#include "formats/json.h"
#include "formats/safetensors.h"

enum { LENGTH_BYTES = 8, ALIGN_BYTES = 8, PIECE_ELEMENTS = 32 * 1024, SHARD_NAME_BYTES = 64 };

struct out_shard {
    struct od_writer writer;
    size_t first;  // tensors [first, first + count)
    size_t count;
};

struct od_safetensors_writer {
    struct od_safetensors_plan plan;
    struct out_shard *shards;
    size_t shard_count;
    size_t shard;     // being written
    size_t tensor;    // being written, absolute
    int64_t element;  // values of it that were written
};

static enum od_status no_memory(struct od_error *err, const char *path)
{
    return od_fail(err, OD_E_MEMORY, "no memory to write '%s'", path);
}

// Elements and bytes of a tensor that check_tensor has passed.
static int64_t count_of(const struct od_tensor_out *tensor)
{
    int64_t count = 1;
    for (int i = 0; i < tensor->rank; i++) {
        count *= tensor->shape[i];
    }
    return count;
}

static size_t bytes_of(const struct od_tensor_out *tensor)
{
    return (size_t)count_of(tensor) * od_dtype_size(tensor->dtype);
}

static enum od_status check_tensor(const struct od_tensor_out *tensor, struct od_error *err)
{
    const size_t name_bytes = strlen(tensor->name);
    if (name_bytes == 0 || name_bytes > OD_TENSOR_NAME_MAX_BYTES ||
        strcmp(tensor->name, "__metadata__") == 0 ||
        od_utf8_invalid_at(tensor->name, name_bytes) != name_bytes) {
        return od_fail(err, OD_E_ARGUMENT, "'%.80s' is no name for a tensor", tensor->name);
    }
    if (!od_dtype_is_float(tensor->dtype) && tensor->dtype != OD_DTYPE_U8) {
        return od_fail(err, OD_E_ARGUMENT, "tensor '%s' cannot be written as %s", tensor->name,
                       od_dtype_name(tensor->dtype));
    }
    if (tensor->rank < 0 || tensor->rank > OD_TENSOR_RANK_MAX) {
        return od_fail(err, OD_E_ARGUMENT, "tensor '%s' has %d dimensions, at most %d are possible",
                       tensor->name, tensor->rank, (int)OD_TENSOR_RANK_MAX);
    }
    int64_t count = (int64_t)od_dtype_size(tensor->dtype);
    for (int i = 0; i < tensor->rank; i++) {
        if (!od_count_mul(count, tensor->shape[i], &count)) {
            return od_fail(err, OD_E_ARGUMENT, "tensor '%s' has an impossible shape", tensor->name);
        }
    }
    return OD_OK;
}

// What is sorted by name.
struct name_entry {
    const struct od_tensor_out *tensor;
};

static int by_name(const void *a, const void *b)
{
    const struct name_entry *x = a;
    const struct name_entry *y = b;
    return strcmp(x->tensor->name, y->tensor->name);
}

// The tensors sorted by name. @memory Gives *ret: od_free.
static enum od_status sort_tensors(const struct od_safetensors_plan *plan, struct name_entry **ret,
                                   struct od_error *err)
{
    struct name_entry *sorted = od_alloc(plan->count, sizeof *sorted);
    if (!sorted) {
        return no_memory(err, plan->path);
    }
    for (size_t i = 0; i < plan->count; i++) {
        sorted[i].tensor = &plan->tensors[i];
    }
    qsort(sorted, plan->count, sizeof *sorted, by_name);
    *ret = sorted;
    return OD_OK;
}

static enum od_status check_plan(const struct od_safetensors_plan *plan, struct od_error *err)
{
    struct name_entry *sorted = NULL;
    if (plan->count > OD_SAFETENSORS_TENSORS_MAX) {
        return od_fail(err, OD_E_LIMIT, "%zu tensors are too many for '%s'", plan->count,
                       plan->path);
    }
    size_t total = 0;
    for (size_t i = 0; i < plan->count; i++) {
        const enum od_status status = check_tensor(&plan->tensors[i], err);
        if (status != OD_OK) {
            return status;
        }
        if (!od_size_add(total, bytes_of(&plan->tensors[i]), &total) || total > INT64_MAX) {
            return od_fail(err, OD_E_ARGUMENT, "the tensors of '%s' have too many elements",
                           plan->path);
        }
    }
    for (size_t i = 0; i < plan->metadata_count; i++) {
        for (size_t k = 0; k < i; k++) {
            if (strcmp(plan->metadata[i].key, plan->metadata[k].key) == 0) {
                return od_fail(err, OD_E_ARGUMENT, "the metadata key '%s' is given twice",
                               plan->metadata[i].key);
            }
        }
    }
    enum od_status status = sort_tensors(plan, &sorted, err);
    for (size_t i = 1; i < plan->count && status == OD_OK; i++) {
        if (strcmp(sorted[i - 1].tensor->name, sorted[i].tensor->name) == 0) {
            status =
                od_fail(err, OD_E_ARGUMENT, "tensor '%s' is given twice", sorted[i].tensor->name);
        }
    }
    od_free(sorted);
    return status;
}

// Tensors from `first` on that go into one shard; at least one while there are any.
static size_t shard_length(const struct od_safetensors_plan *plan, size_t first)
{
    size_t bytes = 0;
    size_t count = 0;
    if (plan->max_shard_bytes == 0) {
        return plan->count - first;
    }
    for (; first + count < plan->count; count++) {
        const size_t more = bytes_of(&plan->tensors[first + count]);
        if (count > 0 && more > 0 &&
            (bytes >= plan->max_shard_bytes || more > plan->max_shard_bytes - bytes)) {
            break;
        }
        bytes += more;
    }
    return count;
}

static void put_tensor_entry(struct od_json_writer *w, const struct od_tensor_out *tensor,
                             uint64_t begin)
{
    od_json_key(w, tensor->name);
    od_json_object_begin(w);
    od_json_member_text(w, "dtype", od_dtype_name(tensor->dtype));
    od_json_key(w, "shape");
    od_json_array_begin(w);
    for (int i = 0; i < tensor->rank; i++) {
        od_json_put_int(w, tensor->shape[i]);
    }
    od_json_array_end(w);
    od_json_key(w, "data_offsets");
    od_json_array_begin(w);
    od_json_put_int(w, (int64_t)begin);
    od_json_put_int(w, (int64_t)(begin + bytes_of(tensor)));
    od_json_array_end(w);
    od_json_object_end(w);
}

static enum od_status build_header(const struct od_safetensors_plan *plan,
                                   const struct out_shard *shard, struct od_buf *out,
                                   struct od_error *err)
{
    struct od_json_writer w;
    uint64_t at = 0;
    od_json_writer_init(&w, out, OD_JSON_COMPACT, /* ascii= */ false);
    od_json_object_begin(&w);
    if (plan->metadata_count > 0) {
        od_json_key(&w, "__metadata__");
        od_json_object_begin(&w);
        for (size_t i = 0; i < plan->metadata_count; i++) {
            od_json_member_text(&w, plan->metadata[i].key, plan->metadata[i].value);
        }
        od_json_object_end(&w);
    }
    for (size_t i = shard->first; i < shard->first + shard->count; i++) {
        const struct od_tensor_out *tensor = &plan->tensors[i];
        if (at % od_dtype_size(tensor->dtype) != 0) {
            return od_fail(err, OD_E_ARGUMENT,
                           "tensor '%s' would start at byte %" PRIu64
                           " of the data, not aligned to %s; put the wider types first",
                           tensor->name, at, od_dtype_name(tensor->dtype));
        }
        put_tensor_entry(&w, tensor, at);
        at += bytes_of(tensor);
    }
    od_json_object_end(&w);
    while (!out->failed && (LENGTH_BYTES + out->size) % ALIGN_BYTES != 0) {
        od_buf_putc(out, ' ');
    }
    return od_buf_check(out, err);
}

static void shard_name(const struct od_safetensors_writer *writer, size_t index,
                       char out[SHARD_NAME_BYTES])
{
    if (writer->shard_count == 1) {
        (void)snprintf(out, SHARD_NAME_BYTES, "%s", OD_SAFETENSORS_FILE);
    } else {
        (void)snprintf(out, SHARD_NAME_BYTES, "model-%05zu-of-%05zu.safetensors", index + 1,
                       writer->shard_count);
    }
}

static enum od_status start_shard(struct od_safetensors_writer *writer, size_t index,
                                  struct od_error *err)
{
    struct out_shard *shard = &writer->shards[index];
    char path[OD_PATH_MAX_BYTES];
    char name[SHARD_NAME_BYTES];
    struct od_buf header;
    uint64_t length = 0;

    od_buf_init(&header, OD_SAFETENSORS_HEADER_MAX_BYTES);
    enum od_status status = build_header(&writer->plan, shard, &header, err);
    if (status != OD_OK) {
        goto done;
    }
    if (writer->plan.max_shard_bytes > 0) {
        shard_name(writer, index, name);
        status = od_path_join(path, writer->plan.path, name, err);
        if (status == OD_OK) {
            status = od_writer_open(&shard->writer, path, err);
        }
    } else {
        status = od_writer_open(&shard->writer, writer->plan.path, err);
    }
    if (status != OD_OK) {
        goto done;
    }
    length = header.size;
    status = od_writer_write(&shard->writer, &length, sizeof length, err);
    if (status == OD_OK) {
        status = od_writer_write(&shard->writer, od_buf_text(&header), header.size, err);
    }

done:
    od_buf_release(&header);
    return status;
}

// Split the tensors over the shards.
static enum od_status split(struct od_safetensors_writer *writer, struct od_error *err)
{
    const struct od_safetensors_plan *plan = &writer->plan;
    size_t shards = 0;
    size_t at = 0;
    do {
        at += shard_length(plan, at);
        shards++;
    } while (at < plan->count);
    if (shards > OD_SAFETENSORS_SHARDS_MAX) {
        return od_fail(err, OD_E_LIMIT, "'%s' would need %zu files, at most %d are possible",
                       plan->path, shards, (int)OD_SAFETENSORS_SHARDS_MAX);
    }
    writer->shards = od_alloc(shards, sizeof *writer->shards);
    if (!writer->shards) {
        return no_memory(err, plan->path);
    }
    writer->shard_count = shards;
    at = 0;
    for (size_t i = 0; i < shards; i++) {
        writer->shards[i].writer.fd = -1;
        writer->shards[i].first = at;
        writer->shards[i].count = shard_length(plan, at);
        at += writer->shards[i].count;
    }
    return OD_OK;
}

// Move on to the next tensor that has values; stops at plan.count.
static void skip_complete(struct od_safetensors_writer *writer)
{
    const struct od_safetensors_plan *plan = &writer->plan;
    while (writer->tensor < plan->count &&
           writer->element == count_of(&plan->tensors[writer->tensor])) {
        writer->tensor++;
        writer->element = 0;
        const struct out_shard *shard = &writer->shards[writer->shard];
        if (writer->tensor == shard->first + shard->count &&
            writer->shard + 1 < writer->shard_count) {
            writer->shard++;
        }
    }
}

enum od_status od_safetensors_create(const struct od_safetensors_plan *plan,
                                     struct od_safetensors_writer **ret, struct od_error *err)
{
    struct od_safetensors_writer *writer = NULL;
    enum od_status status = check_plan(plan, err);
    if (status != OD_OK) {
        return status;
    }
    writer = od_alloc(1, sizeof *writer);
    if (!writer) {
        return no_memory(err, plan->path);
    }
    writer->plan = *plan;
    status = split(writer, err);
    for (size_t i = 0; i < writer->shard_count && status == OD_OK; i++) {
        status = start_shard(writer, i, err);
    }
    if (status != OD_OK) {
        od_safetensors_abort(writer);
        return status;
    }
    skip_complete(writer);
    *ret = writer;
    return OD_OK;
}

// Write values of one tensor.
static enum od_status put_values(struct od_writer *out, enum od_dtype dtype, const float *values,
                                 size_t count, struct od_error *err)
{
    uint16_t piece[PIECE_ELEMENTS];
    if (dtype == OD_DTYPE_F32) {
        return od_writer_write(out, values, count * sizeof *values, err);
    }
    for (size_t done = 0; done < count;) {
        const size_t part = count - done < PIECE_ELEMENTS ? count - done : PIECE_ELEMENTS;
        if (dtype == OD_DTYPE_BF16) {
            for (size_t i = 0; i < part; i++) {
                piece[i] = od_f32_to_bf16(values[done + i]);
            }
        } else {
            for (size_t i = 0; i < part; i++) {
                piece[i] = od_f32_to_f16(values[done + i]);
            }
        }
        const enum od_status status = od_writer_write(out, piece, part * sizeof *piece, err);
        if (status != OD_OK) {
            return status;
        }
        done += part;
    }
    return OD_OK;
}

enum od_status od_safetensors_put(struct od_safetensors_writer *writer, const float *values,
                                  int64_t count, struct od_error *err)
{
    const struct od_safetensors_plan *plan = &writer->plan;
    while (count > 0) {
        if (writer->tensor == plan->count) {
            return od_fail(err, OD_E_ARGUMENT, "more values than the tensors of '%s' hold",
                           plan->path);
        }
        const struct od_tensor_out *tensor = &plan->tensors[writer->tensor];
        if (tensor->dtype == OD_DTYPE_U8) {
            return od_fail(err, OD_E_ARGUMENT, "tensor '%s' holds bytes, no values", tensor->name);
        }
        const int64_t left = count_of(tensor) - writer->element;
        const int64_t part = left < count ? left : count;
        const enum od_status status = put_values(&writer->shards[writer->shard].writer,
                                                 tensor->dtype, values, (size_t)part, err);
        if (status != OD_OK) {
            return status;
        }
        values += part;
        count -= part;
        writer->element += part;
        skip_complete(writer);
    }
    return OD_OK;
}

// All of the next tensor, which is one of bytes.
static enum od_status put_bytes(struct od_safetensors_writer *writer, const uint8_t *bytes,
                                size_t count, struct od_error *err)
{
    const enum od_status status =
        od_writer_write(&writer->shards[writer->shard].writer, bytes, count, err);
    if (status == OD_OK) {
        writer->element += (int64_t)count;
        skip_complete(writer);
    }
    return status;
}

static size_t shard_of(const struct od_safetensors_writer *writer, size_t tensor)
{
    size_t shard = 0;
    while (tensor >= writer->shards[shard].first + writer->shards[shard].count) {
        shard++;
    }
    return shard;
}

static enum od_status build_index(const struct od_safetensors_writer *writer, struct od_buf *out,
                                  struct od_error *err)
{
    const struct od_safetensors_plan *plan = &writer->plan;
    struct name_entry *sorted = NULL;
    struct od_json_writer w;
    uint64_t total = 0;
    const enum od_status status = sort_tensors(plan, &sorted, err);
    if (status != OD_OK) {
        return status;
    }
    for (size_t i = 0; i < plan->count; i++) {
        total += bytes_of(&plan->tensors[i]);
    }
    od_json_writer_init(&w, out, OD_JSON_INDENT_2, /* ascii= */ false);
    od_json_object_begin(&w);
    od_json_key(&w, "metadata");
    od_json_object_begin(&w);
    od_json_member_int(&w, "total_size", (int64_t)total);
    od_json_object_end(&w);
    od_json_key(&w, "weight_map");
    od_json_object_begin(&w);
    for (size_t i = 0; i < plan->count; i++) {
        char name[SHARD_NAME_BYTES];
        shard_name(writer, shard_of(writer, (size_t)(sorted[i].tensor - plan->tensors)), name);
        od_json_member_text(&w, sorted[i].tensor->name, name);
    }
    od_json_object_end(&w);
    od_json_object_end(&w);
    od_buf_putc(out, '\n');
    od_free(sorted);
    return od_buf_check(out, err);
}

// Write the index beside its place; nothing to do with one shard.
static enum od_status start_index(const struct od_safetensors_writer *writer,
                                  struct od_writer *index, struct od_error *err)
{
    char path[OD_PATH_MAX_BYTES];
    struct od_buf text;
    od_buf_init(&text, SIZE_MAX / 2);
    enum od_status status = build_index(writer, &text, err);
    if (status == OD_OK) {
        status = od_path_join(path, writer->plan.path, OD_SAFETENSORS_INDEX, err);
    }
    if (status == OD_OK) {
        status = od_writer_open(index, path, err);
    }
    if (status == OD_OK) {
        status = od_writer_write(index, od_buf_text(&text), text.size, err);
    }
    od_buf_release(&text);
    return status;
}

enum od_status od_safetensors_commit(struct od_safetensors_writer *writer, struct od_error *err)
{
    enum od_status status = OD_OK;
    struct od_writer index = {.fd = -1};
    const bool many = writer->shard_count > 1;
    size_t placed = 0;

    if (writer->tensor < writer->plan.count) {
        status = od_fail(err, OD_E_ARGUMENT, "tensor '%s' of '%s' misses values",
                         writer->plan.tensors[writer->tensor].name, writer->plan.path);
        goto done;
    }
    if (many) {
        status = start_index(writer, &index, err);
    }
    while (placed < writer->shard_count && status == OD_OK) {
        status = od_writer_commit(&writer->shards[placed].writer, err);
        placed++;
    }
    if (many && status == OD_OK) {
        status = od_writer_commit(&index, err);
    }
    if (many && status != OD_OK) {
        // Some of a checkpoint is worse than none: another index would take it for its own.
        for (size_t i = 0; i < placed; i++) {
            (void)unlink(writer->shards[i].writer.path);
        }
    }

done:
    od_writer_abort(&index);
    od_safetensors_abort(writer);
    return status;
}

void od_safetensors_abort(struct od_safetensors_writer *writer)
{
    if (!writer) {
        return;
    }
    for (size_t i = 0; i < writer->shard_count; i++) {
        od_writer_abort(&writer->shards[i].writer);
    }
    od_free(writer->shards);
    od_free(writer);
}

enum od_status od_safetensors_write(const struct od_safetensors_plan *plan, struct od_error *err)
{
    struct od_safetensors_writer *writer = NULL;
    enum od_status status = od_safetensors_create(plan, &writer, err);
    if (status != OD_OK) {
        return status;
    }
    for (size_t i = 0; i < plan->count && status == OD_OK; i++) {
        const struct od_tensor_out *tensor = &plan->tensors[i];
        status = tensor->dtype == OD_DTYPE_U8 && bytes_of(tensor) > 0
                     ? put_bytes(writer, tensor->bytes, bytes_of(tensor), err)
                     : od_safetensors_put(writer, tensor->data, count_of(tensor), err);
    }
    if (status != OD_OK) {
        od_safetensors_abort(writer);
        return status;
    }
    return od_safetensors_commit(writer, err);
}
