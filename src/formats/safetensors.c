// A file (all numbers little-endian):
//
//   offset  size  what
//   0       8     N, bytes of the header, 2 <= N <= 100,000,000
//   8       N     header: a JSON object, starts with '{', may end with blanks
//   8 + N   rest  data
//
//   header := {"NAME": {"dtype": "F32", "shape": [2, 3], "data_offsets": [begin, end]}, ...
//              "__metadata__": {"key": "text", ...}}                         (optional)
//
// Offsets count from the start of the data. Sorted by begin, tensors follow each other without a
// gap, the first begins at 0 and the last ends with the file; end - begin is the product of the
// shape times the size of the type. Names are unique.
//
// An index of a checkpoint in several files, in the same folder:
//
//   {"metadata": {"total_size": bytes}, "weight_map": {"NAME": "FILE", ...}}
//
// Each tensor is in the file that the map names, and files hold no others.

#include "formats/safetensors.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/status.h"
#include "formats/dtype.h"
#include "formats/half.h"
#include "formats/json.h"

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "floats are read as they are in the file");

enum {
    LENGTH_BYTES = 8,
    HEADER_MIN_BYTES = 2,
    PIECE_ELEMENTS = 32 * 1024,
    INDEX_MAX_BYTES = 256 * 1024 * 1024,
    ARENA_MAX_BYTES = 1024 * 1024 * 1024
};

struct shard {
    const char *path;  // in the arena
    const char *name;  // its last part
    int fd;
    uint64_t data_offset;
    uint64_t data_bytes;
};

// What is sorted by name.
struct name_entry {
    const struct od_tensor_info *info;
};

struct pair {
    const char *key;
    const char *value;
};

struct od_safetensors {
    struct od_arena arena;  // names, paths, metadata
    struct shard *shards;
    size_t shard_count;
    struct od_tensor_info *infos;  // by shard and offset
    size_t count;
    size_t capacity;
    struct name_entry *by_name;  // [count], sorted by name
    struct pair *metadata;
    size_t metadata_count;
};

static enum od_status no_memory(struct od_error *err, const char *path)
{
    return od_fail(err, OD_E_MEMORY, "no memory for the tensors of '%s'", path);
}

// Read exactly `size` bytes at `offset`.
static enum od_status read_at(int fd, const char *path, uint64_t offset, void *out, size_t size,
                              struct od_error *err)
{
    char *at = out;
    while (size > 0) {
        const ssize_t got = pread(fd, at, size, (off_t)offset);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return od_fail(err, OD_E_IO, "cannot read '%s': %s", path, strerror(errno));
        }
        if (got == 0) {
            return od_fail(err, OD_E_IO, "'%s' ended at byte %" PRIu64 " while it was read", path,
                           offset);
        }
        at += got;
        offset += (uint64_t)got;
        size -= (size_t)got;
    }
    return OD_OK;
}

static enum od_status parse_shape(const json_t *shape, const char *path,
                                  struct od_tensor_info *info, struct od_error *err)
{
    if (!json_is_array(shape)) {
        return od_fail(err, OD_E_FORMAT, "'%s': tensor '%s' has no 'shape' list", path, info->name);
    }
    const size_t rank = json_array_size(shape);
    if (rank > OD_TENSOR_RANK_MAX) {
        return od_fail(err, OD_E_LIMIT,
                       "'%s': tensor '%s' has %zu dimensions, at most %d can be read", path,
                       info->name, rank, (int)OD_TENSOR_RANK_MAX);
    }
    info->rank = (int)rank;
    info->count = 1;
    for (size_t i = 0; i < rank; i++) {
        const json_t *size = json_array_get(shape, i);
        info->shape[i] = json_is_integer(size) ? json_integer_value(size) : -1;
        if (info->shape[i] < 0) {
            return od_fail(err, OD_E_FORMAT,
                           "'%s': tensor '%s': dimension %zu is no integer from 0 up", path,
                           info->name, i);
        }
        if (!od_count_mul(info->count, info->shape[i], &info->count)) {
            return od_fail(err, OD_E_LIMIT, "'%s': tensor '%s' has too many elements", path,
                           info->name);
        }
    }
    return OD_OK;
}

static enum od_status parse_offsets(const json_t *offsets, const struct shard *shard,
                                    struct od_tensor_info *info, struct od_error *err)
{
    const json_t *begin = json_array_get(offsets, 0);
    const json_t *end = json_array_get(offsets, 1);
    if (json_array_size(offsets) != 2 || !json_is_integer(begin) || !json_is_integer(end)) {
        return od_fail(err, OD_E_FORMAT, "'%s': tensor '%s' has no pair of 'data_offsets'",
                       shard->path, info->name);
    }
    const int64_t first = json_integer_value(begin);
    const int64_t last = json_integer_value(end);
    if (first < 0 || last < first) {
        return od_fail(err, OD_E_FORMAT,
                       "'%s': tensor '%s' has data_offsets [%" PRId64 ", %" PRId64 "]", shard->path,
                       info->name, first, last);
    }
    if ((uint64_t)last > shard->data_bytes) {
        return od_fail(err, OD_E_FORMAT,
                       "'%s': tensor '%s' ends at byte %" PRId64 " of %" PRIu64
                       " bytes of data; the file was cut short",
                       shard->path, info->name, last, shard->data_bytes);
    }
    size_t want = 0;
    if (!od_size_mul((size_t)info->count, od_dtype_size(info->dtype), &want) ||
        want != (size_t)(last - first)) {
        return od_fail(err, OD_E_FORMAT,
                       "'%s': tensor '%s': %" PRId64
                       " elements of %s do not fill data_offsets "
                       "[%" PRId64 ", %" PRId64 "]",
                       shard->path, info->name, info->count, od_dtype_name(info->dtype), first,
                       last);
    }
    info->size_bytes = want;
    info->offset = shard->data_offset + (uint64_t)first;
    return OD_OK;
}

static enum od_status parse_tensor(struct od_safetensors *st, const char *name, const json_t *value,
                                   struct od_error *err)
{
    const int shard_index = (int)st->shard_count - 1;
    const struct shard *shard = &st->shards[shard_index];
    struct od_tensor_info *info = &st->infos[st->count];
    if (strlen(name) > OD_TENSOR_NAME_MAX_BYTES) {
        return od_fail(err, OD_E_LIMIT, "'%s': the name of tensor '%.40s...' is too long",
                       shard->path, name);
    }
    *info =
        (struct od_tensor_info){.shard = shard_index, .name = od_arena_strdup(&st->arena, name)};
    if (!info->name) {
        return no_memory(err, shard->path);
    }
    const json_t *dtype = json_object_get(value, "dtype");
    if (!json_is_string(dtype)) {
        return od_fail(err, OD_E_FORMAT, "'%s': tensor '%s' has no 'dtype'", shard->path, name);
    }
    if (!od_dtype_find(json_string_value(dtype), &info->dtype)) {
        return od_fail(err, OD_E_UNSUPPORTED, "'%s': tensor '%s' has the unknown dtype '%.32s'",
                       shard->path, name, json_string_value(dtype));
    }
    enum od_status status = parse_shape(json_object_get(value, "shape"), shard->path, info, err);
    if (status == OD_OK) {
        status = parse_offsets(json_object_get(value, "data_offsets"), shard, info, err);
    }
    if (status == OD_OK) {
        st->count++;
    }
    return status;
}

static enum od_status parse_metadata(struct od_safetensors *st, json_t *object, const char *path,
                                     struct od_error *err)
{
    if (!json_is_object(object)) {
        return od_fail(err, OD_E_FORMAT, "'%s': '__metadata__' must be an object", path);
    }
    const size_t count = st->metadata_count + json_object_size(object);
    struct pair *more = od_realloc(st->metadata, count, sizeof *more);
    if (!more) {
        return no_memory(err, path);
    }
    st->metadata = more;
    for (void *at = json_object_iter(object); at; at = json_object_iter_next(object, at)) {
        const char *key = json_object_iter_key(at);
        const char *value = json_string_value(json_object_iter_value(at));
        if (!value) {
            return od_fail(err, OD_E_FORMAT, "'%s': '__metadata__': '%s' must be a text", path,
                           key);
        }
        struct pair *pair = &st->metadata[st->metadata_count];
        pair->key = od_arena_strdup(&st->arena, key);
        pair->value = od_arena_strdup(&st->arena, value);
        if (!pair->key || !pair->value) {
            return no_memory(err, path);
        }
        st->metadata_count++;
    }
    return OD_OK;
}

static int by_offset(const void *a, const void *b)
{
    const struct od_tensor_info *x = a;
    const struct od_tensor_info *y = b;
    if (x->offset != y->offset) {
        return x->offset < y->offset ? -1 : 1;
    }
    // An empty tensor stands in front of the one that starts at the same place.
    if (x->size_bytes != y->size_bytes) {
        return x->size_bytes < y->size_bytes ? -1 : 1;
    }
    return strcmp(x->name, y->name);
}

// No gap, no overlap, nothing behind the last tensor. Sorts infos[first..count).
static enum od_status check_layout(struct od_safetensors *st, size_t first, struct od_error *err)
{
    const struct shard *shard = &st->shards[st->shard_count - 1];
    uint64_t at = shard->data_offset;
    if (st->count > first) {
        qsort(st->infos + first, st->count - first, sizeof *st->infos, by_offset);
    }
    for (size_t i = first; i < st->count; i++) {
        const struct od_tensor_info *info = &st->infos[i];
        if (info->offset != at) {
            return od_fail(err, OD_E_FORMAT, "'%s': tensor '%s' %s at byte %" PRIu64 " of the data",
                           shard->path, info->name,
                           info->offset < at ? "overlaps the one before" : "leaves a gap before it",
                           info->offset - shard->data_offset);
        }
        at += info->size_bytes;
    }
    if (at != shard->data_offset + shard->data_bytes) {
        return od_fail(err, OD_E_FORMAT,
                       "'%s': the tensors end at byte %" PRIu64 " of %" PRIu64 " bytes of data",
                       shard->path, at - shard->data_offset, shard->data_bytes);
    }
    return OD_OK;
}

static enum od_status parse_header(struct od_safetensors *st, const char *text, size_t size,
                                   struct od_error *err)
{
    const char *path = st->shards[st->shard_count - 1].path;
    const size_t first = st->count;
    json_t *root = NULL;
    size_t capacity = 0;
    struct od_tensor_info *more = NULL;

    enum od_status status = od_json_parse(text, size, path, &root, err);
    if (status != OD_OK) {
        return status;
    }
    capacity = st->count + json_object_size(root);
    if (capacity > OD_SAFETENSORS_TENSORS_MAX) {
        status = od_fail(err, OD_E_LIMIT, "'%s': more than %d tensors", path,
                         (int)OD_SAFETENSORS_TENSORS_MAX);
        goto done;
    }
    more = od_realloc(st->infos, capacity, sizeof *more);
    if (!more) {
        status = no_memory(err, path);
        goto done;
    }
    st->infos = more;
    for (void *at = json_object_iter(root); at && status == OD_OK;
         at = json_object_iter_next(root, at)) {
        const char *name = json_object_iter_key(at);
        json_t *value = json_object_iter_value(at);
        if (strcmp(name, "__metadata__") == 0) {
            status = parse_metadata(st, value, path, err);
        } else {
            status = parse_tensor(st, name, value, err);
        }
    }
    if (status == OD_OK) {
        status = check_layout(st, first, err);
    }

done:
    json_decref(root);
    return status;
}

static enum od_status read_header(struct od_safetensors *st, uint64_t file_bytes,
                                  struct od_error *err)
{
    struct shard *shard = &st->shards[st->shard_count - 1];
    unsigned char length[LENGTH_BYTES];
    uint64_t size = 0;
    if (file_bytes < LENGTH_BYTES) {
        return od_fail(err, OD_E_FORMAT, "'%s' has %" PRIu64 " bytes: no safetensors file",
                       shard->path, file_bytes);
    }
    enum od_status status = read_at(shard->fd, shard->path, 0, length, sizeof length, err);
    if (status != OD_OK) {
        return status;
    }
    memcpy(&size, length, sizeof size);
    if (size > file_bytes - LENGTH_BYTES || size < HEADER_MIN_BYTES) {
        return od_fail(err, OD_E_FORMAT,
                       "'%s' has a header of %" PRIu64 " bytes in %" PRIu64
                       " bytes: cut short, or no safetensors file",
                       shard->path, size, file_bytes);
    }
    if (size > OD_SAFETENSORS_HEADER_MAX_BYTES) {
        return od_fail(err, OD_E_LIMIT,
                       "'%s': the header has %" PRIu64 " bytes, at most %d are read", shard->path,
                       size, (int)OD_SAFETENSORS_HEADER_MAX_BYTES);
    }
    shard->data_offset = LENGTH_BYTES + size;
    shard->data_bytes = file_bytes - shard->data_offset;
    char *text = od_alloc((size_t)size, 1);
    if (!text) {
        return no_memory(err, shard->path);
    }
    status = read_at(shard->fd, shard->path, LENGTH_BYTES, text, (size_t)size, err);
    if (status == OD_OK && text[0] != '{') {
        status = od_fail(err, OD_E_FORMAT, "'%s': the header does not start with '{'", shard->path);
    }
    if (status == OD_OK) {
        status = parse_header(st, text, (size_t)size, err);
    }
    od_free(text);
    return status;
}

// Open one file and add its tensors. There is room in st->shards.
static enum od_status add_file(struct od_safetensors *st, const char *path, struct od_error *err)
{
    struct stat info;
    struct shard *shard = &st->shards[st->shard_count];
    *shard = (struct shard){.fd = -1, .path = od_arena_strdup(&st->arena, path)};
    if (!shard->path) {
        return no_memory(err, path);
    }
    shard->name = strrchr(shard->path, '/') ? strrchr(shard->path, '/') + 1 : shard->path;
    shard->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (shard->fd < 0) {
        return od_fail(err, errno == ENOENT ? OD_E_NOT_FOUND : OD_E_IO, "cannot open '%s': %s",
                       path, strerror(errno));
    }
    st->shard_count++;
    if (fstat(shard->fd, &info) != 0) {
        return od_fail(err, OD_E_IO, "cannot read '%s': %s", path, strerror(errno));
    }
    if (!S_ISREG(info.st_mode)) {
        return od_fail(err, OD_E_ARGUMENT, "'%s' is no file", path);
    }
    return read_header(st, (uint64_t)info.st_size, err);
}

static int by_name(const void *a, const void *b)
{
    const struct name_entry *x = a;
    const struct name_entry *y = b;
    return strcmp(x->info->name, y->info->name);
}

static enum od_status sort_names(struct od_safetensors *st, const char *path, struct od_error *err)
{
    st->by_name = od_alloc(st->count, sizeof *st->by_name);
    if (!st->by_name) {
        return no_memory(err, path);
    }
    for (size_t i = 0; i < st->count; i++) {
        st->by_name[i].info = &st->infos[i];
    }
    qsort(st->by_name, st->count, sizeof *st->by_name, by_name);
    for (size_t i = 1; i < st->count; i++) {
        const struct od_tensor_info *a = st->by_name[i - 1].info;
        const struct od_tensor_info *b = st->by_name[i].info;
        if (strcmp(a->name, b->name) == 0) {
            return od_fail(err, OD_E_FORMAT, "tensor '%s' is in '%s' and in '%s'", a->name,
                           st->shards[a->shard].path, st->shards[b->shard].path);
        }
    }
    return OD_OK;
}

// Shard files stand beside the index: a path in the map could reach anywhere.
static bool is_plain_name(const char *name)
{
    return name[0] != '\0' && !strchr(name, '/') && strcmp(name, ".") != 0 &&
           strcmp(name, "..") != 0;
}

// Open the shard with file name `name` in `folder` unless it is open.
static enum od_status need_shard(struct od_safetensors *st, const char *folder, const char *name,
                                 struct od_error *err)
{
    char path[OD_PATH_MAX_BYTES];
    for (size_t i = 0; i < st->shard_count; i++) {
        if (strcmp(st->shards[i].name, name) == 0) {
            return OD_OK;
        }
    }
    if (st->shard_count == OD_SAFETENSORS_SHARDS_MAX) {
        return od_fail(err, OD_E_LIMIT, "'%s': more than %d files", folder,
                       (int)OD_SAFETENSORS_SHARDS_MAX);
    }
    const enum od_status status = od_path_join(path, folder, name, err);
    if (status != OD_OK) {
        return status;
    }
    return add_file(st, path, err);
}

// Every tensor of the map is in its file, and no tensor is in a file without standing in the map.
static enum od_status check_index(const struct od_safetensors *st, json_t *map, const char *path,
                                  struct od_error *err)
{
    for (void *at = json_object_iter(map); at; at = json_object_iter_next(map, at)) {
        const char *name = json_object_iter_key(at);
        const char *file = json_string_value(json_object_iter_value(at));
        const struct od_tensor_info *info = od_safetensors_find(st, name);
        if (!info) {
            return od_fail(err, OD_E_FORMAT, "'%s': tensor '%s' is not in '%s'", path, name, file);
        }
        if (strcmp(st->shards[info->shard].name, file) != 0) {
            return od_fail(err, OD_E_FORMAT, "'%s': tensor '%s' is in '%s' and not in '%s'", path,
                           name, st->shards[info->shard].name, file);
        }
    }
    for (size_t i = 0; i < st->count; i++) {
        if (!json_object_get(map, st->infos[i].name)) {
            return od_fail(err, OD_E_FORMAT, "'%s': tensor '%s' of '%s' is not in the index", path,
                           st->infos[i].name, st->shards[st->infos[i].shard].name);
        }
    }
    return OD_OK;
}

static enum od_status add_index(struct od_safetensors *st, const char *path, struct od_error *err)
{
    char folder[OD_PATH_MAX_BYTES];
    char *text = NULL;
    size_t size = 0;
    json_t *root = NULL;
    json_t *map = NULL;
    char *slash = NULL;

    enum od_status status = od_file_read(path, INDEX_MAX_BYTES, &text, &size, err);
    if (status == OD_OK) {
        status = od_json_parse(text, size, path, &root, err);
    }
    if (status != OD_OK) {
        goto done;
    }
    map = json_object_get(root, "weight_map");
    if (!json_is_object(map)) {
        status = od_fail(err, OD_E_FORMAT, "'%s' has no 'weight_map'", path);
        goto done;
    }
    (void)snprintf(folder, sizeof folder, "%s", path);
    slash = strrchr(folder, '/');
    if (slash) {
        slash[slash == folder ? 1 : 0] = '\0';
    } else {
        (void)snprintf(folder, sizeof folder, ".");
    }
    for (void *at = json_object_iter(map); at && status == OD_OK;
         at = json_object_iter_next(map, at)) {
        const char *file = json_string_value(json_object_iter_value(at));
        if (!file || !is_plain_name(file)) {
            status = od_fail(err, OD_E_FORMAT, "'%s': tensor '%s' names no file of the folder",
                             path, json_object_iter_key(at));
        } else {
            status = need_shard(st, folder, file, err);
        }
    }
    if (status == OD_OK) {
        status = sort_names(st, path, err);
    }
    if (status == OD_OK) {
        status = check_index(st, map, path, err);
    }

done:
    json_decref(root);
    od_free(text);
    return status;
}

static bool ends_with(const char *text, const char *ending)
{
    const size_t size = strlen(text);
    const size_t ending_size = strlen(ending);
    return size >= ending_size && strcmp(text + size - ending_size, ending) == 0;
}

// Which file `path` stands for.
static enum od_status resolve(const char *path, char out[OD_PATH_MAX_BYTES], struct od_error *err)
{
    if (!od_path_is_dir(path)) {
        const int length = snprintf(out, OD_PATH_MAX_BYTES, "%s", path);
        return length < OD_PATH_MAX_BYTES
                   ? OD_OK
                   : od_fail(err, OD_E_LIMIT, "path is too long: '%.100s...'", path);
    }
    enum od_status status = od_path_join(out, path, OD_SAFETENSORS_FILE, err);
    if (status == OD_OK && !od_path_exists(out)) {
        status = od_path_join(out, path, OD_SAFETENSORS_INDEX, err);
    }
    if (status == OD_OK && !od_path_exists(out)) {
        status = od_fail(err, OD_E_NOT_FOUND, "'%s' holds neither %s nor %s", path,
                         OD_SAFETENSORS_FILE, OD_SAFETENSORS_INDEX);
    }
    return status;
}

enum od_status od_safetensors_open(const char *path, struct od_safetensors **ret,
                                   struct od_error *err)
{
    char file[OD_PATH_MAX_BYTES];
    struct od_safetensors *st = NULL;
    enum od_status status = resolve(path, file, err);
    if (status != OD_OK) {
        return status;
    }
    st = od_alloc(1, sizeof *st);
    if (!st) {
        return no_memory(err, path);
    }
    od_arena_init(&st->arena, ARENA_MAX_BYTES);
    st->shards = od_alloc(OD_SAFETENSORS_SHARDS_MAX, sizeof *st->shards);
    if (!st->shards) {
        status = no_memory(err, path);
    } else if (ends_with(file, ".index.json")) {
        status = add_index(st, file, err);
    } else {
        status = add_file(st, file, err);
        if (status == OD_OK) {
            status = sort_names(st, file, err);
        }
    }
    if (status != OD_OK) {
        od_safetensors_close(st);
        return status;
    }
    *ret = st;
    return OD_OK;
}

void od_safetensors_close(struct od_safetensors *st)
{
    if (!st) {
        return;
    }
    assert(st->shards || st->shard_count == 0);
    for (size_t i = 0; i < st->shard_count; i++) {
        (void)close(st->shards[i].fd);  // only read from
    }
    od_free(st->shards);
    od_free(st->infos);
    od_free(st->by_name);
    od_free(st->metadata);
    od_arena_release(&st->arena);
    od_free(st);
}

size_t od_safetensors_count(const struct od_safetensors *st)
{
    return st->count;
}

size_t od_safetensors_shard_count(const struct od_safetensors *st)
{
    return st->shard_count;
}

const struct od_tensor_info *od_safetensors_get(const struct od_safetensors *st, size_t index)
{
    assert(index < st->count);
    return &st->infos[index];
}

const struct od_tensor_info *od_safetensors_find(const struct od_safetensors *st, const char *name)
{
    size_t low = 0;
    size_t high = st->count;
    assert(st->by_name || high == 0);
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const int order = strcmp(name, st->by_name[middle].info->name);
        if (order == 0) {
            return st->by_name[middle].info;
        }
        if (order < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return NULL;
}

const char *od_safetensors_metadata(const struct od_safetensors *st, const char *key)
{
    for (size_t i = 0; i < st->metadata_count; i++) {
        if (strcmp(st->metadata[i].key, key) == 0) {
            return st->metadata[i].value;
        }
    }
    return NULL;
}

enum od_status od_safetensors_read_raw(const struct od_safetensors *st,
                                       const struct od_tensor_info *info, void *out,
                                       struct od_error *err)
{
    const struct shard *shard = &st->shards[info->shard];
    return read_at(shard->fd, shard->path, info->offset, out, info->size_bytes, err);
}

static enum od_status check_part(const struct od_tensor_info *info, int64_t first, int64_t count,
                                 struct od_error *err)
{
    if (first < 0 || count < 0 || first > info->count - count) {
        return od_fail(err, OD_E_ARGUMENT,
                       "tensor '%s' has no %" PRId64 " elements from element %" PRId64 " on",
                       info->name, count, first);
    }
    return OD_OK;
}

enum od_status od_safetensors_read_raw_part(const struct od_safetensors *st,
                                            const struct od_tensor_info *info, int64_t first,
                                            int64_t count, void *out, struct od_error *err)
{
    const struct shard *shard = &st->shards[info->shard];
    const uint64_t size = od_dtype_size(info->dtype);
    const enum od_status status = check_part(info, first, count, err);
    return status == OD_OK ? read_at(shard->fd, shard->path, info->offset + (uint64_t)first * size,
                                     out, (uint64_t)count * size, err)
                           : status;
}

enum od_status od_safetensors_read_f32_part(const struct od_safetensors *st,
                                            const struct od_tensor_info *info, int64_t first,
                                            int64_t count, float *out, struct od_error *err)
{
    const struct shard *shard = &st->shards[info->shard];
    const uint64_t size = od_dtype_size(info->dtype);
    uint16_t piece[PIECE_ELEMENTS] = {0};
    const enum od_status fits = check_part(info, first, count, err);
    if (fits != OD_OK) {
        return fits;
    }
    if (!od_dtype_is_float(info->dtype)) {
        return od_fail(err, OD_E_UNSUPPORTED,
                       "tensor '%s' of '%s' is %s and cannot be read as float", info->name,
                       shard->path, od_dtype_name(info->dtype));
    }
    const uint64_t offset = info->offset + (uint64_t)first * size;
    if (info->dtype == OD_DTYPE_F32) {
        return read_at(shard->fd, shard->path, offset, out, (size_t)count * sizeof *out, err);
    }
    for (int64_t done = 0; done < count;) {
        const int64_t left = count - done;
        const size_t part = left < PIECE_ELEMENTS ? (size_t)left : PIECE_ELEMENTS;
        const enum od_status status =
            read_at(shard->fd, shard->path, offset + (uint64_t)done * size, piece,
                    part * sizeof *piece, err);
        if (status != OD_OK) {
            return status;
        }
        if (info->dtype == OD_DTYPE_BF16) {
            for (size_t i = 0; i < part; i++) {
                out[(size_t)done + i] = od_bf16_to_f32(piece[i]);
            }
        } else {
            for (size_t i = 0; i < part; i++) {
                out[(size_t)done + i] = od_f16_to_f32(piece[i]);
            }
        }
        done += (int64_t)part;
    }
    return OD_OK;
}

enum od_status od_safetensors_read_f32(const struct od_safetensors *st,
                                       const struct od_tensor_info *info, float *out,
                                       struct od_error *err)
{
    return od_safetensors_read_f32_part(st, info, 0, info->count, out, err);
}
