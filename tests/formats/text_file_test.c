// Goal: plain and packed files give the same text; broken gzip and bombs are refused.
// Method: files packed here with zlib, cut and changed byte by byte.

#include "formats/text_file.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <zconf.h>
#include <zlib.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/status.h"
#include "support.h"

// Append one gzip member with `text` to `out`.
static void pack(struct od_buf *out, const char *text, size_t size)
{
    z_stream zip = {0};
    static unsigned char packed[1 << 20];
    assert_int_equal(deflateInit2(&zip, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    char *copy = od_memdup(text, size);
    assert_non_null(copy);
    zip.next_in = (unsigned char *)copy;
    zip.avail_in = (uInt)size;
    zip.next_out = packed;
    zip.avail_out = sizeof packed;
    assert_int_equal(deflate(&zip, Z_FINISH), Z_STREAM_END);
    od_buf_append(out, packed, sizeof packed - zip.avail_out);
    assert_int_equal(deflateEnd(&zip), Z_OK);
    od_free(copy);
}

static void check_text(const char *path, size_t max_bytes, const char *want, size_t want_size)
{
    struct od_error err = {0};
    char *text = NULL;
    size_t size = 0;
    assert_ok(od_text_read(path, max_bytes, &text, &size, &err), &err);
    assert_int_equal(size, want_size);
    assert_memory_equal(text, want, size + 1);
    od_free(text);
}

static void reads_plain_and_packed(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_buf buf;
    char path[OD_PATH_MAX_BYTES];
    char zipped[OD_PATH_MAX_BYTES];
    char found[OD_PATH_MAX_BYTES];
    const char *folder = test_folder();
    (void)snprintf(path, sizeof path, "%s/a.txt", folder);
    (void)snprintf(zipped, sizeof zipped, "%s/a.txt.gz", folder);
    od_buf_init(&buf, 1 << 20);
    assert_int_equal(od_text_find(path, found, sizeof found, &err), OD_E_NOT_FOUND);
    pack(&buf, "one\n", 4);
    pack(&buf, "", 0);
    pack(&buf, "two", 3);
    od_buf_append(&buf, "\0\0\0", 3);
    assert_ok(od_file_write(zipped, buf.bytes, buf.size, &err), &err);
    check_text(path, 7, "one\ntwo", 7);
    check_text(zipped, 7, "one\ntwo", 7);
    assert_ok(od_text_find(path, found, sizeof found, &err), &err);
    assert_string_equal(found, zipped);
    assert_int_equal(od_text_find(path, found, 5, &err), OD_E_LIMIT);
    assert_ok(od_file_write(path, "pl\0ain", 6, &err), &err);
    check_text(path, 6, "pl\0ain", 6);
    assert_ok(od_file_write(path, "", 0, &err), &err);
    check_text(path, 0, "", 0);
    assert_ok(od_file_write(path, "\x1F", 1, &err), &err);
    check_text(path, 1, "\x1F", 1);
    od_buf_release(&buf);
}

static void reads_large_files(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_buf buf;
    char path[OD_PATH_MAX_BYTES];
    const size_t size = 700001;  // several chunks, the last one not full
    char *text = od_alloc(size + 1, 1);
    assert_non_null(text);
    for (size_t i = 0; i < size; i++) {
        text[i] = (char)(i * i / 7 % 251);
    }
    (void)snprintf(path, sizeof path, "%s/large", test_folder());
    od_buf_init(&buf, 4 << 20);
    pack(&buf, text, size);
    assert_ok(od_file_write(path, buf.bytes, buf.size, &err), &err);
    check_text(path, size, text, size);
    assert_ok(od_file_write(path, text, size, &err), &err);
    check_text(path, size, text, size);
    od_buf_release(&buf);
    od_free(text);
}

static void refuses(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_buf buf;
    char path[OD_PATH_MAX_BYTES];
    char *text = NULL;
    size_t size = 0;
    static char zeros[600000];
    (void)snprintf(path, sizeof path, "%s/a", test_folder());
    od_buf_init(&buf, 1 << 20);
    pack(&buf, zeros, sizeof zeros - 1);
    assert_true(buf.size < 2000);
    assert_ok(od_file_write(path, buf.bytes, buf.size, &err), &err);
    assert_int_equal(od_text_read(path, sizeof zeros - 2, &text, &size, &err), OD_E_LIMIT);
    check_text(path, sizeof zeros - 1, zeros, sizeof zeros - 1);
    od_buf_reset(&buf);
    pack(&buf, "some text", 9);
    for (size_t cut = 2; cut < buf.size; cut++) {
        assert_ok(od_file_write(path, buf.bytes, cut, &err), &err);
        assert_int_equal(od_text_read(path, 100, &text, &size, &err), OD_E_FORMAT);
    }
    for (size_t at = buf.size - 8; at < buf.size; at++) {  // the sum and the size
        buf.bytes[at] ^= 1;
        assert_ok(od_file_write(path, buf.bytes, buf.size, &err), &err);
        assert_int_equal(od_text_read(path, 100, &text, &size, &err), OD_E_FORMAT);
        buf.bytes[at] ^= 1;
    }
    od_buf_puts(&buf, "x");
    assert_ok(od_file_write(path, buf.bytes, buf.size, &err), &err);
    assert_int_equal(od_text_read(path, 100, &text, &size, &err), OD_E_FORMAT);
    assert_ok(od_file_write(path, "plain", 5, &err), &err);
    assert_int_equal(od_text_read(path, 4, &text, &size, &err), OD_E_LIMIT);
    assert_int_equal(od_text_read(test_folder(), 100, &text, &size, &err), OD_E_IO);
    assert_null(text);
    od_buf_release(&buf);
}

static void faults(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_buf buf;
    char path[OD_PATH_MAX_BYTES];
    (void)snprintf(path, sizeof path, "%s/a", test_folder());
    od_buf_init(&buf, 1 << 20);
    pack(&buf, "some text", 9);
    pack(&buf, "more", 4);
    assert_ok(od_file_write(path, buf.bytes, buf.size, &err), &err);
    enum od_status status = OD_E_MEMORY;
    uint64_t n = 0;
    while (status != OD_OK) {
        char *text = NULL;
        size_t size = 0;
        od_alloc_fail_at(++n);
        status = od_text_read(path, 100, &text, &size, &err);
        od_alloc_fail_at(0);
        assert_true(status == OD_OK || status == OD_E_MEMORY);
        od_free(text);
    }
    assert_true(n > 4);
    od_buf_release(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_plain_and_packed),
        cmocka_unit_test(reads_large_files),
        cmocka_unit_test(refuses),
        cmocka_unit_test(faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
