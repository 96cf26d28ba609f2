// Goal: files are read within limits and written whole or not at all; folders come and go.
// Method: every write, fsync and rename failing once; edges of limits.

#include "base/file.h"

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/status.h"
#include "support.h"

static void check_bytes(const char *path, const char *want)
{
    struct od_error err = {0};
    char *bytes = NULL;
    size_t size = 0;
    assert_ok(od_file_read(path, 1 << 20, &bytes, &size, &err), &err);
    assert_int_equal(size, strlen(want));
    assert_string_equal(bytes, want);
    od_free(bytes);
}

static size_t names_in(const char *folder)
{
    struct od_error err = {0};
    char **names = NULL;
    size_t count = 0;
    assert_ok(od_dir_list(folder, &names, &count, &err), &err);
    od_names_free(names, count);
    return count;
}

static void reads_and_writes(void **state)
{
    (void)state;
    struct od_error err = {0};
    char path[OD_PATH_MAX_BYTES];
    char *bytes = NULL;
    size_t size = 0;
    const char *folder = test_folder();
    assert_ok(od_path_join(path, folder, "a", &err), &err);
    assert_int_equal(od_file_read(path, 10, &bytes, &size, &err), OD_E_NOT_FOUND);
    assert_int_equal(od_file_read(folder, 10, &bytes, &size, &err), OD_E_IO);
    assert_ok(od_file_write(path, "", 0, &err), &err);
    check_bytes(path, "");
    assert_ok(od_file_write(path, "0123456789", 10, &err), &err);
    check_bytes(path, "0123456789");
    assert_int_equal(od_file_read(path, 9, &bytes, &size, &err), OD_E_LIMIT);
    assert_null(bytes);
    assert_ok(od_file_read(path, 10, &bytes, &size, &err), &err);
    od_free(bytes);
    assert_int_equal(names_in(folder), 1);
    char deep[OD_PATH_MAX_BYTES];
    assert_ok(od_path_join(deep, folder, "no/such/folder", &err), &err);
    assert_int_equal(od_file_write(deep, "x", 1, &err), OD_E_NOT_FOUND);
}

static void copies_what_is_there(void **state)
{
    (void)state;
    struct od_error err = {0};
    char path[OD_PATH_MAX_BYTES];
    const char *from = test_folder();
    const char *to = test_folder();
    assert_ok(od_path_join(path, from, "a", &err), &err);
    assert_ok(od_file_write(path, "0123456789", 10, &err), &err);
    assert_ok(od_file_copy_optional(from, to, "absent", 10, &err), &err);
    assert_int_equal(names_in(to), 0);
    assert_int_equal(od_file_copy_optional(from, to, "a", 9, &err), OD_E_LIMIT);
    assert_int_equal(names_in(to), 0);
    assert_ok(od_file_copy_optional(from, to, "a", 10, &err), &err);
    assert_ok(od_path_join(path, to, "a", &err), &err);
    check_bytes(path, "0123456789");
}

static void writer(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_writer w = {.fd = -1};
    char path[OD_PATH_MAX_BYTES];
    const char *folder = test_folder();
    assert_ok(od_path_join(path, folder, "a", &err), &err);
    od_writer_abort(&w);  // nothing is open
    assert_ok(od_writer_open(&w, path, &err), &err);
    assert_ok(od_writer_write(&w, "one", 3, &err), &err);
    assert_false(od_path_exists(path));
    od_writer_abort(&w);
    assert_int_equal(names_in(folder), 0);
    assert_ok(od_writer_open(&w, path, &err), &err);
    assert_ok(od_writer_write(&w, "two ", 4, &err), &err);
    assert_ok(od_writer_write(&w, "three", 5, &err), &err);
    assert_ok(od_writer_commit(&w, &err), &err);
    od_writer_abort(&w);  // does nothing
    check_bytes(path, "two three");
    assert_int_equal(names_in(folder), 1);
    char name[OD_PATH_MAX_BYTES + 10];
    memset(name, 'x', sizeof name);
    name[sizeof name - 1] = '\0';
    assert_int_equal(od_writer_open(&w, name, &err), OD_E_LIMIT);
}

static void write_faults(void **state)
{
    (void)state;
    struct od_error err = {0};
    char path[OD_PATH_MAX_BYTES];
    const char *folder = test_folder();
    assert_ok(od_path_join(path, folder, "a", &err), &err);
    enum od_status status = OD_E_IO;
    uint64_t n = 0;
    while (status != OD_OK) {
        assert_ok(od_file_write(path, "old", 3, &err), &err);
        od_file_fail_at(++n);
        status = od_file_write(path, "new text", 8, &err);
        od_file_fail_at(0);
        assert_true(status == OD_OK || status == OD_E_IO);
        assert_int_equal(names_in(folder), 1);
        // write, fsync, rename; the fourth is the folder's fsync, when the new file is in place.
        check_bytes(path, n < 4 ? "old" : "new text");
    }
    assert_int_equal(n, 5);
    for (n = 1, status = OD_E_MEMORY; status != OD_OK; n++) {
        char *bytes = NULL;
        size_t size = 0;
        od_alloc_fail_at(n);
        status = od_file_read(path, 100, &bytes, &size, &err);
        od_alloc_fail_at(0);
        assert_true(status == OD_OK || status == OD_E_MEMORY);
        od_free(bytes);
    }
    for (n = 1, status = OD_E_MEMORY; status != OD_OK; n++) {
        char **names = NULL;
        size_t count = 0;
        od_alloc_fail_at(n);
        status = od_dir_list(folder, &names, &count, &err);
        od_alloc_fail_at(0);
        assert_true(status == OD_OK || status == OD_E_MEMORY);
        od_names_free(names, count);
    }
}

static void put_in(const char *folder, const char *name, const char *text)
{
    char path[OD_PATH_MAX_BYTES];
    struct od_error err = {0};
    assert_ok(od_dir_make(folder, &err), &err);
    assert_ok(od_path_join(path, folder, name, &err), &err);
    assert_ok(od_file_write(path, text, strlen(text), &err), &err);
}

// At no fault is there a part of a folder under the name that it takes.
static void folder_replaced(void **state)
{
    (void)state;
    char temp[OD_PATH_MAX_BYTES];
    char final[OD_PATH_MAX_BYTES];
    char old[OD_PATH_MAX_BYTES];
    char path[OD_PATH_MAX_BYTES];
    struct od_error err = {0};
    const char *folder = test_folder();
    assert_ok(od_path_join(temp, folder, "new", &err), &err);
    assert_ok(od_path_join(old, folder, "name.tmp-old", &err), &err);
    assert_ok(od_path_join(final, folder, "name", &err), &err);
    put_in(temp, "a", "first");
    assert_ok(od_dir_replace(temp, final, &err), &err);
    assert_ok(od_path_join(path, final, "a", &err), &err);
    check_bytes(path, "first");
    enum od_status status = OD_E_IO;
    uint64_t n = 0;
    while (status != OD_OK) {
        put_in(final, "a", "first");
        put_in(final, "b", "of the first alone");
        put_in(temp, "a", "second");
        od_file_fail_at(++n);
        status = od_dir_replace(temp, final, &err);
        od_file_fail_at(0);
        assert_true(status == OD_OK || status == OD_E_IO);
        const size_t names = od_path_exists(final) ? names_in(final) : 0;
        assert_int_equal(names, n == 1 ? 2 : n == 2 ? 0 : 1);
        if (names > 0) {
            check_bytes(path, n == 1 ? "first" : "second");
        }
        assert_ok(od_dir_remove(final, &err), &err);
        assert_ok(od_dir_remove(temp, &err), &err);
        assert_true(status != OD_OK || !od_path_exists(old));
        assert_ok(od_dir_remove(old, &err), &err);
    }
    // Two renames, the sync of the folder, three removals; what was there before is gone.
    assert_int_equal(n, 7);
    assert_int_equal(names_in(folder), 0);
}

static void killed_at(void **state)
{
    (void)state;
    char path[OD_PATH_MAX_BYTES];
    struct od_error err = {0};
    int status = 0;
    assert_ok(od_path_join(path, test_folder(), "a", &err), &err);
    const uint64_t before = od_file_operation_count();
    assert_ok(od_file_write(path, "old", 3, &err), &err);
    assert_int_equal(od_file_operation_count() - before, 4);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        od_file_kill_at(3);
        _exit(od_file_write(path, "new", 3, NULL) == OD_OK ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    check_bytes(path, "old");
}

static void folders(void **state)
{
    (void)state;
    struct od_error err = {0};
    char path[OD_PATH_MAX_BYTES];
    char inner[OD_PATH_MAX_BYTES];
    char **names = NULL;
    size_t count = 0;
    const char *folder = test_folder();
    assert_ok(od_path_join(path, folder, "x/y/z", &err), &err);
    assert_ok(od_dir_make(path, &err), &err);
    assert_ok(od_dir_make(path, &err), &err);
    assert_true(od_path_is_dir(path));
    const char *const files[] = {"b", "a", "B", "\xC3\xA9", ".hidden"};
    for (size_t i = 0; i < 5; i++) {
        assert_ok(od_path_join(inner, path, files[i], &err), &err);
        assert_ok(od_file_write(inner, "x", 1, &err), &err);
    }
    assert_ok(od_dir_list(path, &names, &count, &err), &err);
    assert_int_equal(count, 5);
    const char *const sorted[] = {".hidden", "B", "a", "b", "\xC3\xA9"};
    for (size_t i = 0; i < 5; i++) {
        assert_string_equal(names[i], sorted[i]);
    }
    od_names_free(names, count);
    assert_int_equal(od_dir_make(inner, &err), OD_E_IO);  // a file is in the way
    assert_true(od_path_exists(inner) && !od_path_is_dir(inner));
    assert_int_equal(od_dir_list(inner, &names, &count, &err), OD_E_NOT_FOUND);
    assert_ok(od_dir_sync(path, &err), &err);
    // A link to a folder is removed, not what it leads to.
    char outside[OD_PATH_MAX_BYTES];
    char link_path[OD_PATH_MAX_BYTES];
    assert_ok(od_path_join(outside, test_folder(), "kept", &err), &err);
    assert_ok(od_file_write(outside, "x", 1, &err), &err);
    *strrchr(outside, '/') = '\0';
    assert_ok(od_path_join(link_path, path, "link", &err), &err);
    assert_int_equal(symlink(outside, link_path), 0);
    assert_ok(od_path_join(inner, folder, "x", &err), &err);
    assert_ok(od_dir_remove(inner, &err), &err);
    assert_ok(od_dir_remove(inner, &err), &err);
    assert_false(od_path_exists(inner));
    assert_int_equal(names_in(outside), 1);
}

// Private folders where $TMPDIR says; a place that is not there is named.
static void temporary_folders(void **state)
{
    (void)state;
    struct od_error err = {0};
    char one[OD_PATH_MAX_BYTES];
    char two[OD_PATH_MAX_BYTES];
    char nowhere[OD_PATH_MAX_BYTES];
    const char *folder = test_folder();
    const char *before = getenv("TMPDIR");
    char *kept = before ? od_memdup(before, strlen(before)) : NULL;
    assert_int_equal(setenv("TMPDIR", folder, 1), 0);
    assert_ok(od_dir_make_temporary("made", one, &err), &err);
    assert_ok(od_dir_make_temporary("made", two, &err), &err);
    assert_string_not_equal(one, two);
    assert_true(od_path_is_dir(one) && od_path_is_dir(two));
    assert_int_equal(strncmp(one, folder, strlen(folder)), 0);
    assert_int_equal(names_in(folder), 2);
    assert_ok(od_path_join(nowhere, folder, "nowhere", &err), &err);
    assert_int_equal(setenv("TMPDIR", nowhere, 1), 0);
    assert_int_equal(od_dir_make_temporary("made", one, &err), OD_E_IO);
    assert_non_null(strstr(err.message, nowhere));
    assert_int_equal(one[0], '\0');
    assert_int_equal(kept ? setenv("TMPDIR", kept, 1) : unsetenv("TMPDIR"), 0);
    od_free(kept);
}

static void paths(void **state)
{
    (void)state;
    struct od_error err = {0};
    char path[OD_PATH_MAX_BYTES];
    char name[OD_PATH_MAX_BYTES];
    assert_ok(od_path_join(path, "a", "b", &err), &err);
    assert_string_equal(path, "a/b");
    memset(name, 'x', sizeof name);
    name[OD_PATH_MAX_BYTES - 3] = '\0';
    assert_ok(od_path_join(path, "a", name, &err), &err);
    assert_int_equal(strlen(path), OD_PATH_MAX_BYTES - 1);
    name[OD_PATH_MAX_BYTES - 3] = 'x';
    name[OD_PATH_MAX_BYTES - 2] = '\0';
    assert_int_equal(od_path_join(path, "a", name, &err), OD_E_LIMIT);
    assert_int_equal(od_dir_make("", &err), OD_E_LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_and_writes),
        cmocka_unit_test(copies_what_is_there),
        cmocka_unit_test(writer),
        cmocka_unit_test(write_faults),
        cmocka_unit_test(folder_replaced),
        cmocka_unit_test(killed_at),
        cmocka_unit_test(folders),
        cmocka_unit_test(temporary_folders),
        cmocka_unit_test(paths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
