// Goal: what zstd and xz pack is unpacked to the same bytes, however the stream is cut into pieces;
// broken streams, bombs and decoders that want too much memory are refused.
// Method: streams packed here with the libraries, cut and changed byte by byte.
#include "formats/unpack.h"

#include <lzma.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <zstd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/status.h"
#include "formats/text_file.h"
#include "support.h"

enum { PACKED_MAX_BYTES = 1 << 20, LARGE_BYTES = 500003, XZ_PRESET_DEFAULT = 6 };

static void pack(struct od_buf *out, enum od_packing packing, const void *bytes, size_t size)
{
    static uint8_t packed[PACKED_MAX_BYTES];
    size_t used = 0;
    if (packing == OD_PACKING_ZSTD) {
        ZSTD_CCtx *context = ZSTD_createCCtx();
        assert_non_null(context);
        assert_false(ZSTD_isError(ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1)));
        used = ZSTD_compress2(context, packed, sizeof packed, bytes, size);
        assert_false(ZSTD_isError(used));
        (void)ZSTD_freeCCtx(context);
    } else {
        assert_int_equal(lzma_easy_buffer_encode(XZ_PRESET_DEFAULT, LZMA_CHECK_CRC64, NULL, bytes,
                                                 size, packed, &used, sizeof packed),
                         LZMA_OK);
    }
    od_buf_append(out, packed, used);
    assert_false(out->failed);
}

static enum od_status take(void *context, const void *bytes, size_t size, struct od_error *err)
{
    od_buf_append(context, bytes, size);
    return od_buf_check(context, err);
}

// Unpack in pieces of `piece` bytes.
static enum od_status unpack(const void *bytes, size_t size, size_t piece, struct od_buf *out,
                             struct od_error *err)
{
    struct od_unpacker *unpacker = NULL;
    od_buf_reset(out);
    enum od_status status =
        od_unpacker_create(od_packing_of(bytes, size), "a", take, out, &unpacker, err);
    for (size_t at = 0; status == OD_OK && at < size; at += piece) {
        const size_t rest = size - at;
        status =
            od_unpacker_push(unpacker, (const char *)bytes + at, rest < piece ? rest : piece, err);
    }
    if (status == OD_OK) {
        status = od_unpacker_finish(unpacker, err);
    }
    od_unpacker_free(unpacker);
    return status;
}

static const enum od_packing packings[] = {OD_PACKING_ZSTD, OD_PACKING_XZ};

static void any_pieces(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_buf packed;
    struct od_buf text;
    static char large[LARGE_BYTES];
    static const size_t pieces[] = {1, 7, 4096, 1 << 20};
    for (size_t i = 0; i < sizeof large; i++) {
        large[i] = (char)(i * i / 7 % 251);
    }
    od_buf_init(&packed, 4 << 20);
    od_buf_init(&text, 4 << 20);
    for (size_t p = 0; p < 2; p++) {
        od_buf_reset(&packed);
        pack(&packed, packings[p], large, sizeof large);
        pack(&packed, packings[p], "", 0);
        pack(&packed, packings[p], "more", 4);
        assert_int_equal(od_packing_of((unsigned char *)packed.bytes, packed.size), packings[p]);
        for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
            assert_ok(unpack(packed.bytes, packed.size, pieces[i], &text, &err), &err);
            assert_int_equal(text.size, sizeof large + 4);
            assert_memory_equal(text.bytes, large, sizeof large);
            assert_memory_equal(text.bytes + sizeof large, "more", 4);
        }
    }
    od_buf_release(&packed);
    od_buf_release(&text);
}

static void broken(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_buf packed;
    struct od_buf text;
    od_buf_init(&packed, 1 << 20);
    od_buf_init(&text, 1 << 20);
    for (size_t p = 0; p < 2; p++) {
        od_buf_reset(&packed);
        pack(&packed, packings[p], "some text, some text", 20);
        for (size_t cut = 6; cut < packed.size; cut++) {
            assert_int_equal(unpack(packed.bytes, cut, 3, &text, &err), OD_E_FORMAT);
        }
        for (size_t at = 6; at < packed.size; at++) {
            packed.bytes[at] ^= 0x10;
            const enum od_status status = unpack(packed.bytes, packed.size, 100, &text, &err);
            // A changed size of a zstd window changes nothing that is read.
            assert_true(status != OD_OK || strcmp(od_buf_text(&text), "some text, some text") == 0);
            packed.bytes[at] ^= 0x10;
        }
        od_buf_puts(&packed, "xyz");
        assert_int_equal(unpack(packed.bytes, packed.size, 100, &text, &err), OD_E_FORMAT);
    }
    assert_int_equal(unpack("plain", 5, 5, &text, &err), OD_E_ARGUMENT);
    od_buf_release(&packed);
    od_buf_release(&text);
}

static void bombs(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_buf packed;
    struct od_buf text;
    const size_t size = (size_t)OD_UNPACK_FREE_BYTES + (1 << 20);
    char *zeros = od_alloc(size, 1);
    assert_non_null(zeros);
    od_buf_init(&packed, 1 << 20);
    od_buf_init(&text, 2 * size);
    for (size_t p = 0; p < 2; p++) {
        od_buf_reset(&packed);
        pack(&packed, packings[p], zeros, OD_UNPACK_FREE_BYTES);
        assert_ok(unpack(packed.bytes, packed.size, 4096, &text, &err), &err);
        assert_int_equal(text.size, OD_UNPACK_FREE_BYTES);
        od_buf_reset(&packed);
        pack(&packed, packings[p], zeros, size);
        assert_true(packed.size < size / OD_UNPACK_RATIO_MAX);
        assert_int_equal(unpack(packed.bytes, packed.size, 4096, &text, &err), OD_E_LIMIT);
        assert_string_equal(err.message,
                            "'a' unpacks to more than 2000 times its size: it is no data file");
    }
    od_free(zeros);
    od_buf_release(&packed);
    od_buf_release(&text);
}

// Heads of streams whose decoders ask for too much: nothing is allocated for them.
static void greedy_decoders(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_buf text;
    od_buf_init(&text, 1 << 20);
    // Magic; no content size, no checksum; window: exponent 18 (2^28), mantissa 0; a block.
    static const unsigned char zstd[] = {0x28, 0xB5, 0x2F, 0xFD, 0x00, 18 << 3, 0x01, 0x00, 0x00};
    assert_int_equal(unpack(zstd, sizeof zstd, 100, &text, &err), OD_E_LIMIT);
    assert_string_equal(err.message, "'a' needs a window of more than 2^27 bytes");
    // An xz stream with a dictionary of 512 MiB.
    uint8_t packed[512];
    lzma_options_lzma options;
    lzma_stream stream = LZMA_STREAM_INIT;
    assert_false(lzma_lzma_preset(&options, 0));
    options.dict_size = 512U << 20;
    const lzma_filter filters[] = {{.id = LZMA_FILTER_LZMA2, .options = &options},
                                   {.id = LZMA_VLI_UNKNOWN}};
    assert_int_equal(lzma_stream_encoder(&stream, filters, LZMA_CHECK_CRC32), LZMA_OK);
    stream.next_in = (const uint8_t *)"text";
    stream.avail_in = 4;
    stream.next_out = packed;
    stream.avail_out = sizeof packed;
    assert_int_equal(lzma_code(&stream, LZMA_FINISH), LZMA_STREAM_END);
    const size_t size = sizeof packed - stream.avail_out;
    lzma_end(&stream);
    assert_int_equal(unpack(packed, size, 100, &text, &err), OD_E_LIMIT);
    assert_string_equal(err.message, "'a' needs more than 256 MiB to be unpacked");
    od_buf_release(&text);
}

static void found_by_name(void **state)
{
    (void)state;
    static const char *const endings[] = {".zst", ".xz"};
    for (size_t p = 0; p < 2; p++) {
        struct od_error err = {0};
        struct od_buf packed;
        char path[OD_PATH_MAX_BYTES];
        char plain[OD_PATH_MAX_BYTES];
        char *text = NULL;
        size_t size = 0;
        (void)snprintf(plain, sizeof plain, "%s/%zu.txt", test_folder(), p);
        (void)snprintf(path, sizeof path, "%s%s", plain, endings[p]);
        od_buf_init(&packed, 1 << 20);
        pack(&packed, packings[p], "text", 4);
        assert_ok(od_file_write(path, packed.bytes, packed.size, &err), &err);
        assert_ok(od_text_read(plain, 4, &text, &size, &err), &err);
        assert_int_equal(size, 4);
        assert_string_equal(text, "text");
        od_free(text);
        assert_int_equal(od_text_read(plain, 3, &text, &size, &err), OD_E_LIMIT);
        od_buf_release(&packed);
    }
}

static void without_memory(void **state)
{
    (void)state;
    for (size_t p = 0; p < 2; p++) {
        struct od_error err = {0};
        struct od_buf packed;
        struct od_buf text;
        uint64_t n = 0;
        enum od_status status = OD_E_MEMORY;
        od_buf_init(&packed, 1 << 20);
        od_buf_init(&text, 1 << 20);
        pack(&packed, packings[p], "text", 4);
        while (status != OD_OK) {
            od_alloc_fail_at(++n);
            status = unpack(packed.bytes, packed.size, 100, &text, &err);
            od_alloc_fail_at(0);
            assert_true(status == OD_OK || status == OD_E_MEMORY);
        }
        assert_true(n > 2);
        od_buf_release(&packed);
        od_buf_release(&text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_pieces),    cmocka_unit_test(broken),
        cmocka_unit_test(bombs),         cmocka_unit_test(greedy_decoders),
        cmocka_unit_test(found_by_name), cmocka_unit_test(without_memory),
    };
    return cmocka_run_group_tests_name("formats/unpack", tests, NULL, NULL);
}
