// A GGUF file, version 2 or 3 (they differ only in that 3 may be big endian, which is not read):
//
//   u32 "GGUF"   u32 version   u64 number of tensors   u64 number of keys
//   keys         text key, u32 type, value
//   tensors      text name, u32 rank, u64 size of each dimension (innermost first), u32 type,
//                u64 offset in the data
//   padding to a multiple of the alignment (key general.alignment, 32 when absent), then the data
//
//   text    u64 size in bytes, UTF-8 without NUL behind
//   value   0 u8   1 i8   2 u16   3 i16   4 u32   5 i32   6 f32   7 bool (one byte, 0 or 1)
//           8 text   9 list: u32 type, u64 number, that many values   10 u64   11 i64   12 f64
//
// All numbers are little endian. The data of a tensor begins at a multiple of the alignment, right
// behind the padded data of the tensor before. Nothing but padding may stand behind the last one.
//
// Limits: those of gguf.h.
//
// Source: ggml, docs/gguf.md.

#include "formats/gguf.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"
#include "formats/ggml.h"
#include "formats/gguf_internal.h"

enum { VERSION_FIRST = 2, VERSION_LAST = 3, ALIGNMENT = 32, PIECE_BYTES = 34 << 15 };

#define FIRST_READ_BYTES ((size_t)1 << 20)
#define ARENA_MAX_BYTES  ((size_t)1 << 30)

struct od_gguf {
    char *name;
    int fd;                      // -1: the whole file is in memory
    char *header;                // owned: the start of the file, when it was read; else NULL
    const unsigned char *bytes;  // start of the file
    size_t size;                 // how much of it is in memory
    uint64_t file_bytes;
    uint32_t version;
    struct od_arena arena;
    struct od_gguf_value *values;           // [value_count]
    const struct od_gguf_value **by_key;    // [value_count], sorted
    struct od_gguf_tensor *tensors;         // [tensor_count]
    const struct od_gguf_tensor **by_name;  // [tensor_count], sorted
    size_t value_count;
    size_t tensor_count;
};

// Where the header is being read.
struct reader {
    const struct od_gguf *gguf;
    size_t at;
    bool cut;  // more than is in memory was asked for
};

static enum od_status no_memory(const struct od_gguf *gguf, struct od_error *err)
{
    return od_fail(err, OD_E_MEMORY, "no memory for the header of '%s'", gguf->name);
}

static enum od_status take(struct reader *reader, uint64_t size, const unsigned char **ret,
                           struct od_error *err)
{
    if (size > reader->gguf->size - reader->at) {
        reader->cut = true;
        return od_fail(err, OD_E_FORMAT, "'%s': byte %zu: the file ends inside its header",
                       reader->gguf->name, reader->at);
    }
    *ret = reader->gguf->bytes + reader->at;
    reader->at += (size_t)size;
    return OD_OK;
}

static enum od_status take_number(struct reader *reader, size_t size, uint64_t *ret,
                                  struct od_error *err)
{
    const unsigned char *bytes = NULL;
    const enum od_status status = take(reader, size, &bytes, err);
    if (status == OD_OK) {
        *ret = od_gguf_number(bytes, size);
    }
    return status;
}

// A name, copied with a NUL behind it.
static enum od_status take_name(struct reader *reader, struct od_arena *arena, size_t max_bytes,
                                const char *what, const char **ret, struct od_error *err)
{
    const struct od_gguf *gguf = reader->gguf;
    const unsigned char *bytes = NULL;
    uint64_t size = 0;
    const size_t at = reader->at;
    enum od_status status = take_number(reader, 8, &size, err);
    if (status == OD_OK && size > max_bytes) {
        status = od_fail(err, OD_E_LIMIT, "'%s': byte %zu: a %s has %" PRIu64 " bytes, at most %zu",
                         gguf->name, at, what, size, max_bytes);
    }
    if (status == OD_OK) {
        status = take(reader, size, &bytes, err);
    }
    if (status != OD_OK) {
        return status;
    }
    if (size == 0 || memchr(bytes, '\0', (size_t)size) ||
        od_utf8_invalid_at((const char *)bytes, (size_t)size) != size) {
        return od_fail(err, OD_E_FORMAT, "'%s': byte %zu: a %s is empty or no UTF-8", gguf->name,
                       at, what);
    }
    *ret = od_arena_memdup(arena, bytes, (size_t)size);
    return *ret ? OD_OK : no_memory(gguf, err);
}

// Bytes of a value of a type with a fixed size, 0 for others.
static size_t type_size(uint32_t type)
{
    static const unsigned char sizes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    return type < sizeof sizes ? sizes[type] : 0;
}

static enum od_status skip_items(struct reader *reader, uint32_t type, uint64_t count, int depth,
                                 struct od_error *err);

static enum od_status take_list(struct reader *reader, uint32_t *ret_items, uint64_t *ret_count,
                                size_t *ret_at, int depth, struct od_error *err)
{
    uint64_t items = 0;
    uint64_t count = 0;
    if (depth == OD_GGUF_DEPTH_MAX) {
        return od_fail(err, OD_E_LIMIT, "'%s': byte %zu: lists are nested more than %d deep",
                       reader->gguf->name, reader->at, (int)OD_GGUF_DEPTH_MAX);
    }
    enum od_status status = take_number(reader, 4, &items, err);
    if (status == OD_OK) {
        status = take_number(reader, 8, &count, err);
    }
    if (status != OD_OK) {
        return status;
    }
    *ret_items = (uint32_t)items;
    *ret_count = count;
    *ret_at = reader->at;
    return skip_items(reader, (uint32_t)items, count, depth + 1, err);
}

static enum od_status skip_booleans(struct reader *reader, uint64_t count, struct od_error *err)
{
    const unsigned char *bytes = NULL;
    const size_t at = reader->at;
    const enum od_status status = take(reader, count, &bytes, err);
    for (uint64_t i = 0; status == OD_OK && i < count; i++) {
        if (bytes[i] > 1) {
            return od_fail(err, OD_E_FORMAT, "'%s': byte %" PRIu64 ": a truth value is %d",
                           reader->gguf->name, at + i, (int)bytes[i]);
        }
    }
    return status;
}

// Move over `count` values of a type, checking them. Every member takes a byte at least, so a count
// that is too large ends at the end of the file.
static enum od_status skip_items(struct reader *reader, uint32_t type, uint64_t count, int depth,
                                 struct od_error *err)
{
    const unsigned char *bytes = NULL;
    const size_t size = type_size(type);
    enum od_status status = OD_OK;
    if (type == OD_GGUF_BOOL) {
        return skip_booleans(reader, count, err);
    }
    if (size > 0) {
        return take(reader, count > UINT64_MAX / size ? UINT64_MAX : count * size, &bytes, err);
    }
    if (type != OD_GGUF_TEXT && type != OD_GGUF_LIST) {
        return od_fail(err, OD_E_FORMAT, "'%s': byte %zu: a value of type %" PRIu32,
                       reader->gguf->name, reader->at, type);
    }
    for (uint64_t i = 0; i < count && status == OD_OK; i++) {
        uint64_t length = 0;
        uint32_t items;
        size_t at;
        if (type == OD_GGUF_LIST) {
            status = take_list(reader, &items, &length, &at, depth, err);
            continue;
        }
        status = take_number(reader, 8, &length, err);
        if (status == OD_OK) {
            status = take(reader, length, &bytes, err);
        }
    }
    return status;
}

static enum od_status take_value(struct reader *reader, struct od_gguf *gguf,
                                 struct od_gguf_value *ret, struct od_error *err)
{
    uint64_t type = 0;
    uint32_t items = 0;
    uint64_t count = 1;
    size_t at = 0;
    enum od_status status =
        take_name(reader, &gguf->arena, OD_GGUF_KEY_MAX_BYTES, "key", &ret->key, err);
    if (status == OD_OK) {
        status = take_number(reader, 4, &type, err);
    }
    if (status == OD_OK && type == OD_GGUF_LIST) {
        status = take_list(reader, &items, &count, &at, 0, err);
    } else if (status == OD_OK) {
        at = reader->at;
        status = skip_items(reader, (uint32_t)type, 1, 0, err);
    }
    if (status == OD_OK) {
        ret->type = (enum od_gguf_type)type;
        ret->items = (enum od_gguf_type)items;
        ret->count = count;
        ret->bytes = gguf->bytes + at;
        ret->size = reader->at - at;
    }
    if (status == OD_OK && type == OD_GGUF_TEXT) {
        ret->text = od_arena_memdup(&gguf->arena, ret->bytes + 8, ret->size - 8);
        status = ret->text ? OD_OK : no_memory(gguf, err);
    }
    return status;
}

// Shape, type and size of a tensor; its offset still counts from the start of the data.
static enum od_status take_tensor(struct reader *reader, struct od_gguf *gguf,
                                  struct od_gguf_tensor *ret, struct od_error *err)
{
    uint64_t rank = 0;
    uint64_t type = 0;
    enum od_status status = take_name(reader, &gguf->arena, OD_GGUF_NAME_MAX_BYTES,
                                      "name of a tensor", &ret->name, err);
    if (status == OD_OK) {
        status = take_number(reader, 4, &rank, err);
    }
    if (status != OD_OK) {
        return status;
    }
    if (rank < 1 || rank > OD_GGUF_RANK_MAX) {
        return od_fail(err, OD_E_LIMIT, "'%s': tensor '%s' has %" PRIu64 " dimensions, not 1 to %d",
                       gguf->name, ret->name, rank, (int)OD_GGUF_RANK_MAX);
    }
    ret->rank = (int)rank;
    ret->count = 1;
    for (int i = (int)rank - 1; i >= 0; i--) {
        uint64_t size = 0;
        status = take_number(reader, 8, &size, err);
        if (status != OD_OK) {
            return status;
        }
        if (size < 1 || size > INT64_MAX || !od_count_mul(ret->count, (int64_t)size, &ret->count)) {
            return od_fail(err, OD_E_FORMAT, "'%s': the shape of tensor '%s' makes no sense",
                           gguf->name, ret->name);
        }
        ret->shape[i] = (int64_t)size;
    }
    status = take_number(reader, 4, &type, err);
    if (status == OD_OK) {
        status = take_number(reader, 8, &ret->offset, err);
    }
    ret->type = (uint32_t)type;
    return status;
}

static enum od_status check_size(const struct od_gguf *gguf, struct od_gguf_tensor *tensor,
                                 struct od_error *err)
{
    const struct od_ggml_info *info = od_ggml_info(tensor->type);
    if (!info) {
        return od_fail(err, OD_E_UNSUPPORTED, "'%s': tensor '%s' has the unknown type %" PRIu32,
                       gguf->name, tensor->name, tensor->type);
    }
    if (tensor->shape[tensor->rank - 1] % info->block != 0 ||
        !od_size_mul((size_t)(tensor->count / info->block), (size_t)info->bytes,
                     &tensor->size_bytes)) {
        return od_fail(err, OD_E_FORMAT,
                       "'%s': rows of tensor '%s' (%" PRId64 ") are no blocks of %s", gguf->name,
                       tensor->name, tensor->shape[tensor->rank - 1], info->name);
    }
    return OD_OK;
}

// Tensors lie behind each other from `data` on, each padded.
static enum od_status place_tensors(struct od_gguf *gguf, size_t header_bytes, struct od_error *err)
{
    int64_t alignment = ALIGNMENT;
    enum od_status status = od_gguf_int_or(gguf, "general.alignment", ALIGNMENT, &alignment, err);
    if (status == OD_OK && (alignment < 1 || alignment > OD_GGUF_ALIGNMENT_MAX ||
                            (alignment & (alignment - 1)) != 0)) {
        status =
            od_fail(err, OD_E_FORMAT, "'%s': general.alignment is %" PRId64, gguf->name, alignment);
    }
    const uint64_t mask = (uint64_t)alignment - 1;
    const uint64_t data = ((uint64_t)header_bytes + mask) & ~mask;
    uint64_t expected = 0;
    for (size_t i = 0; i < gguf->tensor_count && status == OD_OK; i++) {
        struct od_gguf_tensor *tensor = &gguf->tensors[i];
        status = check_size(gguf, tensor, err);
        if (status != OD_OK) {
            break;
        }
        if (tensor->offset != expected) {
            return od_fail(err, OD_E_FORMAT,
                           "'%s': tensor '%s' begins at %" PRIu64 " of the data, not at %" PRIu64,
                           gguf->name, tensor->name, tensor->offset, expected);
        }
        if (data > gguf->file_bytes || expected > gguf->file_bytes - data ||
            tensor->size_bytes > gguf->file_bytes - data - expected) {
            return od_fail(err, OD_E_FORMAT, "'%s': tensor '%s' ends after the file", gguf->name,
                           tensor->name);
        }
        tensor->offset = data + expected;
        expected = (expected + tensor->size_bytes + mask) & ~mask;
    }
    if (status == OD_OK && gguf->file_bytes > data && gguf->file_bytes - data > expected) {
        status = od_fail(err, OD_E_FORMAT, "'%s': %" PRIu64 " bytes stand behind the last tensor",
                         gguf->name, gguf->file_bytes - data - expected);
    }
    return status;
}

static int compare_keys(const void *a, const void *b)
{
    const struct od_gguf_value *const *left = a;
    const struct od_gguf_value *const *right = b;
    return strcmp((*left)->key, (*right)->key);
}

static int compare_names(const void *a, const void *b)
{
    const struct od_gguf_tensor *const *left = a;
    const struct od_gguf_tensor *const *right = b;
    return strcmp((*left)->name, (*right)->name);
}

static enum od_status sort_keys(struct od_gguf *gguf, struct od_error *err)
{
    for (size_t i = 0; i < gguf->value_count; i++) {
        gguf->by_key[i] = &gguf->values[i];
    }
    qsort(gguf->by_key, gguf->value_count, sizeof(*gguf->by_key), compare_keys);
    for (size_t i = 1; i < gguf->value_count; i++) {
        if (strcmp(gguf->by_key[i - 1]->key, gguf->by_key[i]->key) == 0) {
            return od_fail(err, OD_E_FORMAT, "'%s' has the key '%s' twice", gguf->name,
                           gguf->by_key[i]->key);
        }
    }
    return OD_OK;
}

static enum od_status sort_names(struct od_gguf *gguf, struct od_error *err)
{
    for (size_t i = 0; i < gguf->tensor_count; i++) {
        gguf->by_name[i] = &gguf->tensors[i];
    }
    qsort(gguf->by_name, gguf->tensor_count, sizeof(*gguf->by_name), compare_names);
    for (size_t i = 1; i < gguf->tensor_count; i++) {
        if (strcmp(gguf->by_name[i - 1]->name, gguf->by_name[i]->name) == 0) {
            return od_fail(err, OD_E_FORMAT, "'%s' has the tensor '%s' twice", gguf->name,
                           gguf->by_name[i]->name);
        }
    }
    return OD_OK;
}

// Version and counts; room for what follows.
static enum od_status take_start(struct reader *reader, struct od_gguf *gguf, struct od_error *err)
{
    const unsigned char *magic = NULL;
    uint64_t numbers[3] = {0};  // version, tensors, keys
    enum od_status status = take(reader, 4, &magic, err);
    for (int i = 0; i < 3 && status == OD_OK; i++) {
        status = take_number(reader, i == 0 ? 4 : 8, &numbers[i], err);
    }
    if (gguf->size >= 4 && memcmp(gguf->bytes, "GGUF", 4) != 0) {
        return od_fail(err, OD_E_FORMAT, "'%s' is no GGUF file", gguf->name);
    }
    if (status != OD_OK) {
        return status;
    }
    if (numbers[0] < VERSION_FIRST || numbers[0] > VERSION_LAST) {
        const bool swapped = numbers[0] == (uint64_t)VERSION_LAST << 24;
        return od_fail(err, OD_E_UNSUPPORTED,
                       "'%s' is %s; versions 2 and 3, little endian, are read", gguf->name,
                       swapped ? "big endian" : "of another version of GGUF");
    }
    if (numbers[1] > OD_GGUF_TENSORS_MAX || numbers[2] > OD_GGUF_KEYS_MAX) {
        return od_fail(
            err, OD_E_LIMIT,
            "'%s' has %" PRIu64 " tensors and %" PRIu64 " keys; at most %d and %d are read",
            gguf->name, numbers[1], numbers[2], (int)OD_GGUF_TENSORS_MAX, (int)OD_GGUF_KEYS_MAX);
    }
    gguf->version = (uint32_t)numbers[0];
    gguf->tensor_count = (size_t)numbers[1];
    gguf->value_count = (size_t)numbers[2];
    gguf->values = od_arena_alloc(&gguf->arena, gguf->value_count, sizeof(*gguf->values));
    gguf->by_key = od_arena_alloc(&gguf->arena, gguf->value_count, sizeof(void *));
    gguf->tensors = od_arena_alloc(&gguf->arena, gguf->tensor_count, sizeof(*gguf->tensors));
    gguf->by_name = od_arena_alloc(&gguf->arena, gguf->tensor_count, sizeof(void *));
    return gguf->values && gguf->by_key && gguf->tensors && gguf->by_name ? OD_OK
                                                                          : no_memory(gguf, err);
}

// Read the header from what is in memory; *ret_cut tells that more of the file would help.
static enum od_status read_header(struct od_gguf *gguf, bool *ret_cut, struct od_error *err)
{
    struct reader reader = {.gguf = gguf};
    od_arena_release(&gguf->arena);
    enum od_status status = take_start(&reader, gguf, err);
    for (size_t i = 0; i < gguf->value_count && status == OD_OK; i++) {
        status = take_value(&reader, gguf, &gguf->values[i], err);
    }
    for (size_t i = 0; i < gguf->tensor_count && status == OD_OK; i++) {
        status = take_tensor(&reader, gguf, &gguf->tensors[i], err);
    }
    *ret_cut = reader.cut;
    if (status == OD_OK) {
        status = sort_keys(gguf, err);
    }
    if (status == OD_OK) {
        status = sort_names(gguf, err);
    }
    return status == OD_OK ? place_tensors(gguf, reader.at, err) : status;
}

static enum od_status read_at(const struct od_gguf *gguf, uint64_t offset, void *out, size_t size,
                              struct od_error *err)
{
    unsigned char *to = out;
    if (gguf->fd < 0) {
        memcpy(out, gguf->bytes + offset, size);
        return OD_OK;
    }
    while (size > 0) {
        const ssize_t got = pread(gguf->fd, to, size, (off_t)offset);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            return od_fail(err, OD_E_IO, "cannot read '%s' at byte %" PRIu64 ": %s", gguf->name,
                           offset, got < 0 ? strerror(errno) : "it became shorter");
        }
        to += got;
        offset += (uint64_t)got;
        size -= (size_t)got;
    }
    return OD_OK;
}

static enum od_status open_file(struct od_gguf *gguf, struct od_error *err)
{
    struct stat info;
    gguf->fd = open(gguf->name, O_RDONLY | O_CLOEXEC);
    if (gguf->fd < 0) {
        return od_fail(err, errno == ENOENT ? OD_E_NOT_FOUND : OD_E_IO, "cannot open '%s': %s",
                       gguf->name, strerror(errno));
    }
    if (fstat(gguf->fd, &info) != 0) {
        return od_fail(err, OD_E_IO, "cannot read '%s': %s", gguf->name, strerror(errno));
    }
    if (!S_ISREG(info.st_mode)) {
        return od_fail(err, OD_E_ARGUMENT, "'%s' is no file", gguf->name);
    }
    gguf->file_bytes = (uint64_t)info.st_size;
    return OD_OK;
}

// How long the header is shows only when it has been read: more and more of the file is taken.
static enum od_status load_header(struct od_gguf *gguf, struct od_error *err)
{
    enum od_status status = open_file(gguf, err);
    bool cut = true;
    for (size_t want = FIRST_READ_BYTES; status == OD_OK && cut; want *= 8) {
        const size_t size = gguf->file_bytes < want ? (size_t)gguf->file_bytes : want;
        if (size > OD_GGUF_HEADER_MAX_BYTES) {
            return od_fail(err, OD_E_LIMIT, "the header of '%s' is longer than %d bytes",
                           gguf->name, (int)OD_GGUF_HEADER_MAX_BYTES);
        }
        od_free(gguf->header);
        gguf->header = od_alloc(size, 1);
        gguf->bytes = (const unsigned char *)gguf->header;
        gguf->size = size;
        if (!gguf->header) {
            return no_memory(gguf, err);
        }
        status = read_at(gguf, 0, gguf->header, size, err);
        if (status == OD_OK) {
            status = read_header(gguf, &cut, err);
            cut = cut && size < gguf->file_bytes;
            status = cut ? OD_OK : status;
        }
    }
    return status;
}

static enum od_status create(const char *name, struct od_gguf **ret, struct od_error *err)
{
    struct od_gguf *gguf = od_alloc(1, sizeof(*gguf));
    char *copy = od_strdup(name);
    if (!gguf || !copy) {
        od_free(copy);
        od_free(gguf);
        return od_fail(err, OD_E_MEMORY, "no memory to open '%s'", name);
    }
    od_arena_init(&gguf->arena, ARENA_MAX_BYTES);
    gguf->name = copy;
    gguf->fd = -1;
    *ret = gguf;
    return OD_OK;
}

bool od_gguf_is_path(const char *path)
{
    const size_t size = strlen(path);
    return size > 5 && strcmp(path + size - 5, ".gguf") == 0;
}

enum od_status od_gguf_open(const char *path, struct od_gguf **ret, struct od_error *err)
{
    struct od_gguf *gguf = NULL;
    enum od_status status = create(path, &gguf, err);
    if (status == OD_OK) {
        status = load_header(gguf, err);
    }
    if (status != OD_OK) {
        od_gguf_close(gguf);
        return status;
    }
    *ret = gguf;
    return OD_OK;
}

enum od_status od_gguf_parse(const void *bytes, size_t size, const char *name, struct od_gguf **ret,
                             struct od_error *err)
{
    struct od_gguf *gguf = NULL;
    bool cut;
    enum od_status status = create(name, &gguf, err);
    if (status == OD_OK) {
        gguf->bytes = bytes;
        gguf->size = size;
        gguf->file_bytes = size;
        status = read_header(gguf, &cut, err);
    }
    if (status != OD_OK) {
        od_gguf_close(gguf);
        return status;
    }
    *ret = gguf;
    return OD_OK;
}

void od_gguf_close(struct od_gguf *gguf)
{
    if (!gguf) {
        return;
    }
    if (gguf->fd >= 0) {
        (void)close(gguf->fd);  // only read from
    }
    od_arena_release(&gguf->arena);
    od_free(gguf->header);
    od_free(gguf->name);
    od_free(gguf);
}

const char *od_gguf_name(const struct od_gguf *gguf)
{
    return gguf->name;
}

uint32_t od_gguf_version(const struct od_gguf *gguf)
{
    return gguf->version;
}

size_t od_gguf_key_count(const struct od_gguf *gguf)
{
    return gguf->value_count;
}

const struct od_gguf_value *od_gguf_get(const struct od_gguf *gguf, size_t index)
{
    return &gguf->values[index];
}

const struct od_gguf_value *od_gguf_find(const struct od_gguf *gguf, const char *key)
{
    const struct od_gguf_value wanted = {.key = key};
    const struct od_gguf_value *pointer = &wanted;
    const struct od_gguf_value **found = gguf->value_count == 0
                                             ? NULL
                                             : bsearch(&pointer, gguf->by_key, gguf->value_count,
                                                       sizeof(*gguf->by_key), compare_keys);
    return found ? *found : NULL;
}

size_t od_gguf_tensor_count(const struct od_gguf *gguf)
{
    return gguf->tensor_count;
}

const struct od_gguf_tensor *od_gguf_get_tensor(const struct od_gguf *gguf, size_t index)
{
    return &gguf->tensors[index];
}

const struct od_gguf_tensor *od_gguf_find_tensor(const struct od_gguf *gguf, const char *name)
{
    const struct od_gguf_tensor wanted = {.name = name};
    const struct od_gguf_tensor *pointer = &wanted;
    const struct od_gguf_tensor **found = gguf->tensor_count == 0
                                              ? NULL
                                              : bsearch(&pointer, gguf->by_name, gguf->tensor_count,
                                                        sizeof(*gguf->by_name), compare_names);
    return found ? *found : NULL;
}

enum od_status od_gguf_read_raw(const struct od_gguf *gguf, const struct od_gguf_tensor *tensor,
                                void *out, struct od_error *err)
{
    return read_at(gguf, tensor->offset, out, tensor->size_bytes, err);
}

enum od_status od_gguf_read_f32(const struct od_gguf *gguf, const struct od_gguf_tensor *tensor,
                                float *out, struct od_error *err)
{
    const struct od_ggml_info *info = od_ggml_info(tensor->type);
    enum od_status status = OD_OK;
    if (!od_ggml_converts(tensor->type)) {
        return od_fail(err, OD_E_UNSUPPORTED,
                       "'%s': tensor '%s' is %s; F32, F16, BF16 and Q8_0 are read", gguf->name,
                       tensor->name, info->name);
    }
    // A piece is a whole number of blocks of every type.
    unsigned char *piece = od_alloc(PIECE_BYTES, 1);
    if (!piece) {
        return no_memory(gguf, err);
    }
    const size_t per_piece = PIECE_BYTES / (size_t)info->bytes * (size_t)info->bytes;
    for (size_t done = 0; done < tensor->size_bytes && status == OD_OK;) {
        const size_t left = tensor->size_bytes - done;
        const size_t size = left < per_piece ? left : per_piece;
        const int64_t count = (int64_t)(size / (size_t)info->bytes) * info->block;
        status = read_at(gguf, tensor->offset + done, piece, size, err);
        if (status == OD_OK) {
            od_ggml_to_f32(tensor->type, piece, count, out);
            out += count;
            done += size;
        }
    }
    od_free(piece);
    return status;
}
