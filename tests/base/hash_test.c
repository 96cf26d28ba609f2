// Goal: digests and messages are what they say.
// Method: published vectors (FIPS 180-4 examples); a file against the same bytes in memory.

#include "base/hash.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/status.h"
#include "support.h"

static void sha(void **state)
{
    (void)state;
    struct od_error err = {0};
    char hex[OD_SHA256_HEX_BYTES];
    char file_hex[OD_SHA256_HEX_BYTES];
    od_sha256_hex("abc", 3, hex);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    od_sha256_hex("", 0, hex);
    assert_string_equal(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    unsigned char digest[64];
    od_sha512("abc", 3, digest);
    const unsigned char start[] = {0xdd, 0xaf, 0x35, 0xa1, 0x93, 0x61, 0x7a, 0xba};
    assert_memory_equal(digest, start, sizeof start);
    const size_t size = 3000001;
    char *bytes = od_alloc(size, 1);
    assert_non_null(bytes);
    for (size_t i = 0; i < size; i++) {
        bytes[i] = (char)(i * 31 % 253);
    }
    char path[OD_PATH_MAX_BYTES];
    assert_ok(od_path_join(path, test_folder(), "a", &err), &err);
    assert_int_equal(od_sha256_file(path, file_hex, &err), OD_E_NOT_FOUND);
    assert_ok(od_file_write(path, bytes, size, &err), &err);
    assert_ok(od_sha256_file(path, file_hex, &err), &err);
    od_sha256_hex(bytes, size, hex);
    assert_string_equal(file_hex, hex);
    od_free(bytes);
}

static void xxh(void **state)
{
    (void)state;
    char hex[OD_XXH_HEX_BYTES];
    // XXH3 of nothing with seed 0, from the algorithm's specification.
    od_hash_hex(od_xxh64("", 0, 0), hex);
    assert_string_equal(hex, "2d06800538d394c2");
    assert_true(od_xxh64("ab", 2, 0) != od_xxh64("ab", 2, 1));
    od_hash_hex(0x0123456789abcdefu, hex);
    assert_string_equal(hex, "0123456789abcdef");
}

static void crc32c(void **state)
{
    (void)state;
    unsigned char bytes[32];
    // RFC 3720, appendix B.4, and the usual check value of the polynomial.
    assert_true(od_crc32c("123456789", 9) == 0xe3069283U);
    memset(bytes, 0, sizeof bytes);
    assert_true(od_crc32c(bytes, sizeof bytes) == 0x8a9136aaU);
    memset(bytes, 0xff, sizeof bytes);
    assert_true(od_crc32c(bytes, sizeof bytes) == 0x62a8ab43U);
    assert_true(od_crc32c("", 0) == 0);
}

static void messages(void **state)
{
    (void)state;
    struct od_error err = {0};
    assert_int_equal(od_fail(&err, OD_E_IO, "cannot %s", "read"), OD_E_IO);
    od_error_prefix(&err, "step %d", 3);
    assert_string_equal(err.message, "step 3: cannot read");
    assert_int_equal(err.status, OD_E_IO);
    char text[3 * OD_ERROR_MESSAGE_BYTES];
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\0';
    od_error_set(&err, OD_E_LIMIT, "%s", text);
    assert_int_equal(strlen(err.message), OD_ERROR_MESSAGE_BYTES - 1);
    od_error_prefix(&err, "%s", text);
    assert_int_equal(strlen(err.message), OD_ERROR_MESSAGE_BYTES - 1);
    od_error_set(NULL, OD_E_IO, "nobody listens");
    od_error_prefix(NULL, "nobody");
    assert_int_equal(od_status_exit_code(OD_OK), 0);
    assert_int_equal(od_status_exit_code(OD_E_FORMAT), 2);
    assert_int_equal(od_status_exit_code(OD_E_REFUSED), 3);
    assert_int_equal(od_status_exit_code(OD_E_IO), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sha),
        cmocka_unit_test(xxh),
        cmocka_unit_test(crc32c),
        cmocka_unit_test(messages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
