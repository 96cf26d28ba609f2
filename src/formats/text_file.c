#include "formats/text_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/status.h"
#include "formats/unpack.h"

enum { CHUNK_BYTES = 1 << 17 };

/** Endings that a file may have behind its name, in the order in which they are looked for. */
static const char *const endings[] = {"", ".gz", ".zst", ".xz"};

struct reader {
    const char *path;
    size_t max_bytes;
    struct od_buf text;
    struct od_unpacker *unpacker;  // NULL: the file is not packed
    unsigned char *in;             // [CHUNK_BYTES]
};

static enum od_status append(void *context, const void *bytes, size_t size, struct od_error *err)
{
    struct reader *r = context;
    if (size > r->max_bytes - r->text.size) {
        return od_fail(err, OD_E_LIMIT, "'%s' holds more than %zu bytes of text", r->path,
                       r->max_bytes);
    }
    od_buf_append(&r->text, bytes, size);
    if (r->text.failed) {
        return od_fail(err, OD_E_MEMORY, "no memory to read '%s'", r->path);
    }
    return OD_OK;
}

// Fill r->in from the file; *ret_size below CHUNK_BYTES is its end.
static enum od_status read_chunk(struct reader *r, int fd, size_t *ret_size, struct od_error *err)
{
    size_t size = 0;
    while (size < CHUNK_BYTES) {
        const ssize_t got = read(fd, r->in + size, CHUNK_BYTES - size);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return od_fail(err, OD_E_IO, "cannot read '%s': %s", r->path, strerror(errno));
        }
        if (got == 0) {
            break;
        }
        size += (size_t)got;
    }
    *ret_size = size;
    return OD_OK;
}

static enum od_status read_all(struct reader *r, int fd, struct od_error *err)
{
    bool first = true;
    size_t size = CHUNK_BYTES;
    enum od_status status = OD_OK;
    while (status == OD_OK && size == CHUNK_BYTES) {
        status = read_chunk(r, fd, &size, err);
        const enum od_packing packing =
            status == OD_OK && first ? od_packing_of(r->in, size) : OD_PACKING_NONE;
        first = false;
        if (packing != OD_PACKING_NONE) {
            status = od_unpacker_create(packing, r->path, append, r, &r->unpacker, err);
        }
        if (status == OD_OK) {
            status = r->unpacker ? od_unpacker_push(r->unpacker, r->in, size, err)
                                 : append(r, r->in, size, err);
        }
    }
    return status == OD_OK && r->unpacker ? od_unpacker_finish(r->unpacker, err) : status;
}

enum od_status od_text_find(const char *path, char *out, size_t out_bytes, struct od_error *err)
{
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++) {
        char found[OD_PATH_MAX_BYTES];
        int length = snprintf(found, sizeof found, "%s%s", path, endings[i]);
        if (length < 0 || (size_t)length >= sizeof found || !od_path_exists(found)) {
            continue;
        }
        length = snprintf(out, out_bytes, "%s", found);
        if (length < 0 || (size_t)length >= out_bytes) {
            return od_fail(err, OD_E_LIMIT, "path is too long: '%.100s...'", path);
        }
        return OD_OK;
    }
    return od_fail(err, OD_E_NOT_FOUND, "there is no file '%s' and no '%s.gz'", path, path);
}

enum od_status od_text_read(const char *path, size_t max_bytes, char **ret_text, size_t *ret_size,
                            struct od_error *err)
{
    char found[OD_PATH_MAX_BYTES];
    struct reader r = {.path = found, .max_bytes = max_bytes};
    char *text = NULL;
    size_t size = 0;
    int fd = -1;

    od_buf_init(&r.text, max_bytes);
    enum od_status status = od_text_find(path, found, sizeof found, err);
    if (status != OD_OK) {
        return status;
    }
    fd = open(found, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return od_fail(err, errno == ENOENT ? OD_E_NOT_FOUND : OD_E_IO, "cannot open '%s': %s",
                       found, strerror(errno));
    }
    r.in = od_alloc(CHUNK_BYTES, 1);
    if (!r.in) {
        status = od_fail(err, OD_E_MEMORY, "no memory to read '%s'", found);
        goto done;
    }
    status = read_all(&r, fd, err);
    if (status != OD_OK) {
        goto done;
    }
    size = r.text.size;
    text = od_buf_take(&r.text);
    if (!text) {
        status = od_fail(err, OD_E_MEMORY, "no memory to read '%s'", found);
        goto done;
    }
    *ret_text = text;
    *ret_size = size;

done:
    od_unpacker_free(r.unpacker);
    od_free(r.in);
    od_buf_release(&r.text);
    (void)close(fd);  // only read from
    return status;
}
