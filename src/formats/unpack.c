// Three streams, as far as this file looks at them:
//
//   gzip    member := 1F 8B (magic) 08 (deflate) flags ... deflate data ... CRC-32 (4) size (4)
//           file   := member+ zero*      zeros are padding
//   zstd    frame  := 28 B5 2F FD (magic) header block+ checksum?; or a frame to skip
//           file   := frame+
//   xz      stream := FD 37 7A 58 5A 00 (magic) flags block* index footer
//           file   := stream+, with zeros in fours between and behind them
//
// The libraries check headers, sums and sizes; a file that ends inside a member, frame or stream, or
// goes on with something else, is broken.
#include "formats/unpack.h"

// zlib then takes its input as const.
#define ZLIB_CONST

#include <lzma.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <zconf.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "base/memory.h"
#include "base/status.h"

enum { OUT_BYTES = 1 << 17, GZIP_WINDOW_BITS = 15 + 16 };

struct od_unpacker {
    enum od_packing packing;
    const char *path;
    od_unpack_sink sink;
    void *context;
    unsigned char *out;  // [OUT_BYTES]
    uint64_t in_bytes;
    uint64_t out_bytes;
    bool in_member;   // bytes of a member or frame are expected
    bool any_member;  // one was complete
    z_stream gzip;
    bool gzip_open;
    ZSTD_DStream *zstd;
    lzma_stream xz;
    lzma_allocator xz_allocator;
};

enum od_packing od_packing_of(const unsigned char *bytes, size_t size)
{
    static const unsigned char zstd[] = {0x28, 0xB5, 0x2F, 0xFD};
    static const unsigned char xz[] = {0xFD, '7', 'z', 'X', 'Z', 0x00};
    if (size >= 2 && bytes[0] == 0x1F && bytes[1] == 0x8B) {
        return OD_PACKING_GZIP;
    }
    if (size >= sizeof zstd && memcmp(bytes, zstd, sizeof zstd) == 0) {
        return OD_PACKING_ZSTD;
    }
    if (size >= sizeof xz && memcmp(bytes, xz, sizeof xz) == 0) {
        return OD_PACKING_XZ;
    }
    return OD_PACKING_NONE;
}

static const char *packing_name(enum od_packing packing)
{
    switch (packing) {
    case OD_PACKING_GZIP: return "gzip";
    case OD_PACKING_ZSTD: return "zstd";
    case OD_PACKING_XZ: return "xz";
    case OD_PACKING_NONE: break;
    }
    return "packing";
}

static void *gzip_alloc(void *opaque, uInt items, uInt size)
{
    (void)opaque;
    return od_alloc(items, size);
}

static void *xz_alloc(void *opaque, size_t items, size_t size)
{
    (void)opaque;
    return od_alloc(items, size);
}

static void library_free(void *opaque, void *memory)
{
    (void)opaque;
    od_free(memory);
}

static enum od_status no_memory(const struct od_unpacker *u, struct od_error *err)
{
    return od_fail(err, OD_E_MEMORY, "no memory to unpack '%s'", u->path);
}

static enum od_status broken(const struct od_unpacker *u, const char *why, struct od_error *err)
{
    return od_fail(
        err, OD_E_FORMAT, "'%s' is broken %s: %s%s", u->path, packing_name(u->packing),
        u->any_member && u->packing == OD_PACKING_GZIP ? "behind its first member: " : "", why);
}

// Hand on `size` bytes of u->out.
static enum od_status give(struct od_unpacker *u, size_t size, struct od_error *err)
{
    u->out_bytes += size;
    if (u->out_bytes > OD_UNPACK_FREE_BYTES && u->out_bytes / OD_UNPACK_RATIO_MAX > u->in_bytes) {
        return od_fail(err, OD_E_LIMIT,
                       "'%s' unpacks to more than %d times its size: it is no data file", u->path,
                       (int)OD_UNPACK_RATIO_MAX);
    }
    return size > 0 ? u->sink(u->context, u->out, size, err) : OD_OK;
}

static enum od_status start_library(struct od_unpacker *u, struct od_error *err)
{
    switch (u->packing) {
    case OD_PACKING_GZIP:
        u->gzip.zalloc = gzip_alloc;
        u->gzip.zfree = library_free;
        u->gzip_open = inflateInit2(&u->gzip, GZIP_WINDOW_BITS) == Z_OK;
        return u->gzip_open ? OD_OK : no_memory(u, err);
    case OD_PACKING_ZSTD:
        u->zstd = ZSTD_createDStream();
        if (!u->zstd || ZSTD_isError(ZSTD_DCtx_setParameter(u->zstd, ZSTD_d_windowLogMax,
                                                            OD_UNPACK_WINDOW_LOG_MAX))) {
            return no_memory(u, err);
        }
        return OD_OK;
    case OD_PACKING_XZ:
        u->xz_allocator = (lzma_allocator){.alloc = xz_alloc, .free = library_free};
        u->xz = (lzma_stream)LZMA_STREAM_INIT;
        u->xz.allocator = &u->xz_allocator;
        return lzma_stream_decoder(&u->xz, OD_UNPACK_MEMORY_BYTES, LZMA_CONCATENATED) == LZMA_OK
                   ? OD_OK
                   : no_memory(u, err);
    case OD_PACKING_NONE: break;
    }
    return od_fail(err, OD_E_ARGUMENT, "'%s' is not packed", u->path);
}

enum od_status od_unpacker_create(enum od_packing packing, const char *path, od_unpack_sink sink,
                                  void *context, struct od_unpacker **ret, struct od_error *err)
{
    struct od_unpacker *u = od_alloc(1, sizeof *u);
    if (!u) {
        return od_fail(err, OD_E_MEMORY, "no memory to unpack '%s'", path);
    }
    *u = (struct od_unpacker){
        .packing = packing, .path = path, .sink = sink, .context = context, .in_member = true};
    u->out = od_alloc(OUT_BYTES, 1);
    const enum od_status status = u->out ? start_library(u, err) : no_memory(u, err);
    if (status != OD_OK) {
        od_unpacker_free(u);
        return status;
    }
    *ret = u;
    return OD_OK;
}

void od_unpacker_free(struct od_unpacker *unpacker)
{
    if (!unpacker) {
        return;
    }
    if (unpacker->gzip_open) {
        (void)inflateEnd(&unpacker->gzip);
    }
    ZSTD_freeDStream(unpacker->zstd);
    lzma_end(&unpacker->xz);
    od_free(unpacker->out);
    od_free(unpacker);
}

// Between members: zeros are skipped, anything else starts a member (zlib checks the magic).
static void gzip_next_member(struct od_unpacker *u)
{
    while (u->gzip.avail_in > 0 && *u->gzip.next_in == 0) {
        u->gzip.next_in++;
        u->gzip.avail_in--;
    }
    if (u->gzip.avail_in > 0) {
        (void)inflateReset(&u->gzip);  // fails only for a stream that was never opened
        u->in_member = true;
    }
}

static enum od_status push_gzip(struct od_unpacker *u, const void *bytes, size_t size,
                                struct od_error *err)
{
    u->gzip.next_in = bytes;
    u->gzip.avail_in = (uInt)size;
    for (;;) {
        if (!u->in_member) {
            gzip_next_member(u);
        }
        if (!u->in_member) {
            return OD_OK;
        }
        u->gzip.next_out = u->out;
        u->gzip.avail_out = OUT_BYTES;
        const int result = inflate(&u->gzip, Z_NO_FLUSH);
        if (result == Z_MEM_ERROR) {
            return no_memory(u, err);
        }
        if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR) {
            return broken(u, u->gzip.msg ? u->gzip.msg : "no reason given", err);
        }
        const enum od_status status = give(u, OUT_BYTES - u->gzip.avail_out, err);
        if (status != OD_OK) {
            return status;
        }
        if (result == Z_STREAM_END) {
            u->in_member = false;
            u->any_member = true;
        } else if (u->gzip.avail_out > 0) {
            return OD_OK;  // room was left: zlib wants more input
        }
    }
}

static enum od_status push_zstd(struct od_unpacker *u, const void *bytes, size_t size,
                                struct od_error *err)
{
    ZSTD_inBuffer in = {.src = bytes, .size = size};
    for (;;) {
        ZSTD_outBuffer out = {.dst = u->out, .size = OUT_BYTES};
        const size_t result = ZSTD_decompressStream(u->zstd, &out, &in);
        if (ZSTD_isError(result)) {
            const ZSTD_ErrorCode code = ZSTD_getErrorCode(result);
            if (code == ZSTD_error_memory_allocation) {
                return no_memory(u, err);
            }
            if (code == ZSTD_error_frameParameter_windowTooLarge) {
                return od_fail(err, OD_E_LIMIT, "'%s' needs a window of more than 2^%d bytes",
                               u->path, (int)OD_UNPACK_WINDOW_LOG_MAX);
            }
            return broken(u, ZSTD_getErrorName(result), err);
        }
        u->in_member = result != 0;
        const enum od_status status = give(u, out.pos, err);
        if (status != OD_OK || (in.pos == in.size && (result == 0 || out.pos < out.size))) {
            return status;
        }
    }
}

static enum od_status run_xz(struct od_unpacker *u, const void *bytes, size_t size,
                             lzma_action action, struct od_error *err)
{
    u->xz.next_in = bytes;
    u->xz.avail_in = size;
    for (;;) {
        u->xz.next_out = u->out;
        u->xz.avail_out = OUT_BYTES;
        const lzma_ret result = lzma_code(&u->xz, action);
        if (result == LZMA_MEM_ERROR) {
            return no_memory(u, err);
        }
        if (result == LZMA_MEMLIMIT_ERROR) {
            return od_fail(err, OD_E_LIMIT, "'%s' needs more than %d MiB to be unpacked", u->path,
                           (int)OD_UNPACK_MEMORY_BYTES >> 20);
        }
        if (result != LZMA_OK && result != LZMA_STREAM_END && result != LZMA_BUF_ERROR) {
            return broken(u,
                          result == LZMA_OPTIONS_ERROR ? "it uses what this library lacks"
                                                       : "its data is corrupt",
                          err);
        }
        const size_t got = OUT_BYTES - u->xz.avail_out;
        const enum od_status status = give(u, got, err);
        if (status != OD_OK) {
            return status;
        }
        u->in_member = result != LZMA_STREAM_END;
        if (result == LZMA_STREAM_END || (u->xz.avail_in == 0 && u->xz.avail_out > 0)) {
            return OD_OK;
        }
    }
}

enum od_status od_unpacker_push(struct od_unpacker *unpacker, const void *bytes, size_t size,
                                struct od_error *err)
{
    unpacker->in_bytes += size;
    if (size == 0) {
        return OD_OK;
    }
    switch (unpacker->packing) {
    case OD_PACKING_GZIP: return push_gzip(unpacker, bytes, size, err);
    case OD_PACKING_ZSTD: return push_zstd(unpacker, bytes, size, err);
    case OD_PACKING_XZ: return run_xz(unpacker, bytes, size, LZMA_RUN, err);
    case OD_PACKING_NONE: break;
    }
    return unpacker->sink(unpacker->context, bytes, size, err);
}

enum od_status od_unpacker_finish(struct od_unpacker *unpacker, struct od_error *err)
{
    enum od_status status = OD_OK;
    if (unpacker->packing == OD_PACKING_XZ) {
        status = run_xz(unpacker, "", 0, LZMA_FINISH, err);
    }
    if (status == OD_OK && unpacker->in_member) {
        return od_fail(err, OD_E_FORMAT, "'%s' is broken %s: it ends too early", unpacker->path,
                       packing_name(unpacker->packing));
    }
    return status;
}
