// gzip as RFC 1952 has it, as far as this file looks at it:
//
//   member := 1F 8B (magic) 08 (deflate) flags ... deflate data ... CRC-32 (4) size mod 2^32 (4)
//   file   := member+ zero*      members are unpacked one after the other, zeros are padding
//
// zlib checks the header, the sum and the size of each member; a file that ends inside a member or
// goes on with something else than a member or zeros is broken.

#include "formats/text_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <zconf.h>
#include <zlib.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/status.h"

enum { CHUNK_BYTES = 1 << 17, GZIP_WINDOW_BITS = 15 + 16 };

struct reader {
    const char *path;
    size_t max_bytes;
    struct od_buf text;
    z_stream zip;
    bool zip_open;       // inflateInit2 has been called
    bool in_member;      // bytes of a member are expected
    bool any_member;     // one member was complete
    unsigned char *in;   // [CHUNK_BYTES]
    unsigned char *out;  // [CHUNK_BYTES]
};

static void *zip_alloc(void *opaque, uInt items, uInt size)
{
    (void)opaque;
    return od_alloc(items, size);
}

static void zip_free(void *opaque, void *memory)
{
    (void)opaque;
    od_free(memory);
}

static enum od_status append(struct reader *r, const void *bytes, size_t size, struct od_error *err)
{
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

static enum od_status zip_begin(struct reader *r, struct od_error *err)
{
    r->zip.zalloc = zip_alloc;
    r->zip.zfree = zip_free;
    if (inflateInit2(&r->zip, GZIP_WINDOW_BITS) != Z_OK) {
        return od_fail(err, OD_E_MEMORY, "no memory to unpack '%s'", r->path);
    }
    r->zip_open = true;
    r->in_member = true;
    r->out = od_alloc(CHUNK_BYTES, 1);
    if (!r->out) {
        return od_fail(err, OD_E_MEMORY, "no memory to unpack '%s'", r->path);
    }
    return OD_OK;
}

// Between members: zeros are skipped, anything else starts a member (zlib checks the magic).
static void zip_next_member(struct reader *r)
{
    while (r->zip.avail_in > 0 && *r->zip.next_in == 0) {
        r->zip.next_in++;
        r->zip.avail_in--;
    }
    if (r->zip.avail_in > 0) {
        (void)inflateReset(&r->zip);  // fails only for a stream that was never opened
        r->in_member = true;
    }
}

static enum od_status unpack(struct reader *r, size_t size, struct od_error *err)
{
    r->zip.next_in = r->in;
    r->zip.avail_in = (uInt)size;
    for (;;) {
        if (!r->in_member) {
            zip_next_member(r);
        }
        if (!r->in_member) {
            return OD_OK;
        }
        r->zip.next_out = r->out;
        r->zip.avail_out = CHUNK_BYTES;
        const int result = inflate(&r->zip, Z_NO_FLUSH);
        if (result == Z_MEM_ERROR) {
            return od_fail(err, OD_E_MEMORY, "no memory to unpack '%s'", r->path);
        }
        if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR) {
            return od_fail(err, OD_E_FORMAT, "'%s' is broken gzip: %s%s", r->path,
                           r->any_member ? "behind its first member: " : "",
                           r->zip.msg ? r->zip.msg : "no reason given");
        }
        const size_t got = CHUNK_BYTES - r->zip.avail_out;
        const enum od_status status = append(r, r->out, got, err);
        if (status != OD_OK) {
            return status;
        }
        if (result == Z_STREAM_END) {
            r->in_member = false;
            r->any_member = true;
        } else if (r->zip.avail_out > 0) {
            return OD_OK;  // room was left: zlib wants more input
        }
    }
}

static enum od_status read_all(struct reader *r, int fd, struct od_error *err)
{
    bool first = true;
    for (;;) {
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
        enum od_status status = OD_OK;
        if (first && size >= 2 && r->in[0] == 0x1F && r->in[1] == 0x8B) {
            status = zip_begin(r, err);
        }
        first = false;
        if (status == OD_OK) {
            status = r->zip_open ? unpack(r, size, err) : append(r, r->in, size, err);
        }
        if (status != OD_OK) {
            return status;
        }
        if (size < CHUNK_BYTES) {
            break;
        }
    }
    if (r->in_member) {
        return od_fail(err, OD_E_FORMAT, "'%s' is broken gzip: it ends too early", r->path);
    }
    return OD_OK;
}

enum od_status od_text_find(const char *path, char *out, size_t out_bytes, struct od_error *err)
{
    const char *ending = "";
    if (!od_path_exists(path)) {
        char zipped[OD_PATH_MAX_BYTES];
        const int length = snprintf(zipped, sizeof zipped, "%s.gz", path);
        if (length < 0 || (size_t)length >= sizeof zipped || !od_path_exists(zipped)) {
            return od_fail(err, OD_E_NOT_FOUND, "there is no file '%s' and no '%s.gz'", path, path);
        }
        ending = ".gz";
    }
    const int length = snprintf(out, out_bytes, "%s%s", path, ending);
    if (length < 0 || (size_t)length >= out_bytes) {
        return od_fail(err, OD_E_LIMIT, "path is too long: '%.100s...'", path);
    }
    return OD_OK;
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
    if (r.zip_open) {
        (void)inflateEnd(&r.zip);
    }
    od_free(r.in);
    od_free(r.out);
    od_buf_release(&r.text);
    (void)close(fd);  // only read from
    return status;
}
