// Goal: the authorities' certificates are found where each distribution keeps them, and a file that
// the user names comes first, even one that is not there.
// Method: an empty folder in the place of "/", then each usual place in turn, last of the list first.

#include "net/ca_bundle.h"

#include <libgen.h>
#include <stdio.h>
#include <string.h>

#include "support.h"

static void put(const char *path)
{
    char folder[OD_PATH_MAX_BYTES];
    struct od_error err = {0};
    (void)snprintf(folder, sizeof folder, "%s", path);
    assert_ok(od_dir_make(dirname(folder), &err), &err);
    assert_ok(od_file_write(path, "x", 1, &err), &err);
}

static void usual_places(void **state)
{
    (void)state;
    static const char *const rising[] = {
        "etc/ssl/cert.pem", "var/lib/ca-certificates/ca-bundle.pem",
        "etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", "etc/ssl/certs/ca-certificates.crt"};
    const char *root = test_folder();
    char found[OD_PATH_MAX_BYTES] = "not empty";
    assert_false(od_ca_bundle_find(NULL, root, found));
    assert_string_equal(found, "");
    for (size_t i = 0; i < sizeof rising / sizeof rising[0]; i++) {
        char want[OD_PATH_MAX_BYTES];
        assert_int_equal(od_path_join(want, root, rising[i], NULL), OD_OK);
        put(want);
        assert_true(od_ca_bundle_find("", root, found));
        assert_string_equal(found, want);
    }
}

static void a_named_file_comes_first(void **state)
{
    (void)state;
    const char *root = test_folder();
    char path[OD_PATH_MAX_BYTES];
    char found[OD_PATH_MAX_BYTES];
    assert_int_equal(od_path_join(path, root, "etc/ssl/cert.pem", NULL), OD_OK);
    put(path);
    assert_true(od_ca_bundle_find("/of/mine.pem", root, found));
    assert_string_equal(found, "/of/mine.pem");
}

static void too_long_names(void **state)
{
    (void)state;
    char name[OD_PATH_MAX_BYTES + 1];
    char found[OD_PATH_MAX_BYTES];
    memset(name, 'x', sizeof name);
    name[OD_PATH_MAX_BYTES - 1] = '\0';
    assert_true(od_ca_bundle_find(name, "/", found));
    assert_string_equal(found, name);
    assert_false(od_ca_bundle_find(NULL, name, found));
    name[OD_PATH_MAX_BYTES - 1] = 'x';
    name[OD_PATH_MAX_BYTES] = '\0';
    assert_false(od_ca_bundle_find(name, "/", found));
    assert_string_equal(found, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(usual_places),
        cmocka_unit_test(a_named_file_comes_first),
        cmocka_unit_test(too_long_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
