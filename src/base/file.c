#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/status.h"

enum { READ_CHUNK_BYTES = 1 << 20 };

static atomic_uint_least64_t operation_count;
static atomic_uint_least64_t fault_at;  // absolute number of the operation that fails
static atomic_bool fault_kills;

static void set_fault(uint64_t n, bool kills)
{
    atomic_store(&fault_kills, kills);
    atomic_store(&fault_at, n == 0 ? 0 : atomic_load(&operation_count) + n);
}

void od_file_fail_at(uint64_t n)
{
    set_fault(n, /* kills= */ false);
}

void od_file_kill_at(uint64_t n)
{
    set_fault(n, /* kills= */ true);
}

uint64_t od_file_operation_count(void)
{
    return atomic_load(&operation_count);
}

static bool fault_is_due(void)
{
    const uint64_t number = atomic_fetch_add(&operation_count, 1) + 1;
    return number == atomic_load(&fault_at);
}

static void strike(void)
{
    if (atomic_load(&fault_kills)) {
        (void)raise(SIGKILL);
    }
    errno = ENOSPC;
}

// True when a test wants this operation to fail; sets errno.
static bool must_fail(void)
{
    const bool due = fault_is_due();
    if (due) {
        strike();
    }
    return due;
}

// A write that a test wants to fail puts down a half, as one on a full disk puts down what fits.
static ssize_t write_some(int fd, const void *bytes, size_t size)
{
    if (!fault_is_due()) {
        return write(fd, bytes, size);
    }
    (void)!write(fd, bytes, size / 2);
    strike();
    return -1;
}

static enum od_status fail_errno(struct od_error *err, const char *what, const char *path)
{
    const int error = errno;
    if (error == ENOENT || error == ENOTDIR) {
        return od_fail(err, OD_E_NOT_FOUND, "cannot %s '%s': %s", what, path, strerror(error));
    }
    return od_fail(err, OD_E_IO, "cannot %s '%s': %s", what, path, strerror(error));
}

enum od_status od_file_read(const char *path, size_t max_bytes, char **ret_bytes, size_t *ret_size,
                            struct od_error *err)
{
    enum od_status status = OD_OK;
    struct od_buf buf;
    char *chunk = NULL;
    char *bytes = NULL;
    size_t size = 0;
    int fd = -1;

    od_buf_init(&buf, max_bytes);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        status = fail_errno(err, "open", path);
        goto done;
    }
    chunk = od_alloc(READ_CHUNK_BYTES, 1);
    if (!chunk) {
        status = od_fail(err, OD_E_MEMORY, "no memory to read '%s'", path);
        goto done;
    }
    for (;;) {
        const ssize_t got = read(fd, chunk, READ_CHUNK_BYTES);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            status = fail_errno(err, "read", path);
            goto done;
        }
        if (got == 0) {
            break;
        }
        if ((size_t)got > max_bytes - buf.size) {
            status = od_fail(err, OD_E_LIMIT, "'%s' is larger than %zu bytes", path, max_bytes);
            goto done;
        }
        od_buf_append(&buf, chunk, (size_t)got);
        if (buf.failed) {
            status = od_fail(err, OD_E_MEMORY, "no memory to read '%s'", path);
            goto done;
        }
    }
    size = buf.size;
    bytes = od_buf_take(&buf);
    if (!bytes) {
        status = od_fail(err, OD_E_MEMORY, "no memory to read '%s'", path);
        goto done;
    }
    *ret_bytes = bytes;
    *ret_size = size;

done:
    od_free(chunk);
    od_buf_release(&buf);
    if (fd >= 0) {
        (void)close(fd);  // only read from
    }
    return status;
}

enum od_status od_writer_open(struct od_writer *writer, const char *path, struct od_error *err)
{
    writer->fd = -1;
    const int length = snprintf(writer->path, sizeof writer->path, "%s", path);
    const int temp_length =
        snprintf(writer->temp, sizeof writer->temp, "%s.tmp-%ld", path, (long)getpid());
    if (length < 0 || temp_length < 0 || (size_t)temp_length >= sizeof writer->temp) {
        return od_fail(err, OD_E_LIMIT, "path is too long: '%.100s...'", path);
    }
    writer->fd = open(writer->temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (writer->fd < 0) {
        return fail_errno(err, "write", path);
    }
    return OD_OK;
}

enum od_status od_fd_write(int fd, const char *path, const void *bytes, size_t size,
                           struct od_error *err)
{
    const char *at = bytes;
    while (size > 0) {
        const ssize_t put = write_some(fd, at, size);
        if (put < 0 && errno == EINTR) {
            continue;
        }
        if (put < 0) {
            return fail_errno(err, "write", path);
        }
        at += put;
        size -= (size_t)put;
    }
    return OD_OK;
}

enum od_status od_fd_sync(int fd, const char *path, struct od_error *err)
{
    return must_fail() || fsync(fd) != 0 ? fail_errno(err, "sync", path) : OD_OK;
}

enum od_status od_path_rename(const char *from, const char *to, struct od_error *err)
{
    return must_fail() || rename(from, to) != 0 ? fail_errno(err, "rename to", to) : OD_OK;
}

enum od_status od_writer_write(struct od_writer *writer, const void *bytes, size_t size,
                               struct od_error *err)
{
    return od_fd_write(writer->fd, writer->path, bytes, size, err);
}

static void parent_of(char out[OD_PATH_MAX_BYTES], const char *path)
{
    (void)snprintf(out, OD_PATH_MAX_BYTES, "%s", path);
    char *slash = strrchr(out, '/');
    if (!slash) {
        (void)snprintf(out, OD_PATH_MAX_BYTES, ".");
    } else if (slash == out) {
        out[1] = '\0';
    } else {
        *slash = '\0';
    }
}

enum od_status od_writer_commit(struct od_writer *writer, struct od_error *err)
{
    enum od_status status = OD_OK;
    char parent[OD_PATH_MAX_BYTES];
    int fd = -1;

    status = od_fd_sync(writer->fd, writer->path, err);
    if (status != OD_OK) {
        goto done;
    }
    fd = writer->fd;
    writer->fd = -1;
    if (close(fd) != 0) {
        status = fail_errno(err, "close", writer->path);
        (void)unlink(writer->temp);
        goto done;
    }
    status = od_path_rename(writer->temp, writer->path, err);
    if (status != OD_OK) {
        (void)unlink(writer->temp);
        goto done;
    }
    parent_of(parent, writer->path);
    status = od_dir_sync(parent, err);

done:
    od_writer_abort(writer);
    return status;
}

void od_writer_abort(struct od_writer *writer)
{
    if (writer->fd >= 0) {
        (void)close(writer->fd);  // what it holds is thrown away
        (void)unlink(writer->temp);
        writer->fd = -1;
    }
}

enum od_status od_file_write(const char *path, const void *bytes, size_t size, struct od_error *err)
{
    struct od_writer writer = {.fd = -1};
    enum od_status status = od_writer_open(&writer, path, err);
    if (status == OD_OK) {
        status = od_writer_write(&writer, bytes, size, err);
    }
    if (status == OD_OK) {
        return od_writer_commit(&writer, err);
    }
    od_writer_abort(&writer);
    return status;
}

enum od_status od_file_copy_optional(const char *from, const char *to, const char *name,
                                     size_t max_bytes, struct od_error *err)
{
    char source[OD_PATH_MAX_BYTES];
    char target[OD_PATH_MAX_BYTES];
    char *bytes = NULL;
    size_t size = 0;
    enum od_status status = od_path_join(source, from, name, err);
    if (status == OD_OK) {
        status = od_path_join(target, to, name, err);
    }
    if (status != OD_OK || !od_path_exists(source)) {
        return status;
    }
    status = od_file_read(source, max_bytes, &bytes, &size, err);
    if (status == OD_OK) {
        status = od_file_write(target, bytes, size, err);
    }
    od_free(bytes);
    return status;
}

enum od_status od_dir_make(const char *path, struct od_error *err)
{
    char part[OD_PATH_MAX_BYTES];
    const int length = snprintf(part, sizeof part, "%s", path);
    if (length <= 0 || (size_t)length >= sizeof part) {
        return od_fail(err, OD_E_LIMIT, "path is empty or too long: '%.100s'", path);
    }
    for (char *at = part + 1;; at++) {
        const char old = *at;
        if (old != '/' && old != '\0') {
            continue;
        }
        *at = '\0';
        if (mkdir(part, 0777) != 0 && errno != EEXIST) {
            return fail_errno(err, "make folder", part);
        }
        *at = old;
        if (old == '\0') {
            break;
        }
    }
    if (!od_path_is_dir(path)) {
        return od_fail(err, OD_E_IO, "'%s' exists and is no folder", path);
    }
    return OD_OK;
}

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *ftw)
{
    (void)info;
    (void)type;
    (void)ftw;
    return must_fail() ? -1 : remove(path);
}

enum od_status od_dir_make_temporary(const char *name, char ret[OD_PATH_MAX_BYTES],
                                     struct od_error *err)
{
    enum { LETTERS = 6 };  // that mkdtemp chooses in place of as many X
    const char *temp = getenv("TMPDIR");
    const int size = snprintf(ret, OD_PATH_MAX_BYTES - LETTERS, "%s/%s-",
                              temp && temp[0] != '\0' ? temp : "/tmp", name);
    if (size < 0 || size >= OD_PATH_MAX_BYTES - LETTERS) {
        ret[0] = '\0';
        return od_fail(err, OD_E_LIMIT, "the name of a temporary folder is too long");
    }
    memset(ret + size, 'X', LETTERS);
    ret[size + LETTERS] = '\0';
    if (!mkdtemp(ret)) {
        const int reason = errno;
        const enum od_status status = od_fail(
            err, OD_E_IO, "cannot make the temporary folder '%s': %s", ret, strerror(reason));
        ret[0] = '\0';
        return status;
    }
    return OD_OK;
}

enum od_status od_dir_remove(const char *path, struct od_error *err)
{
    if (nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS) != 0 && errno != ENOENT) {
        return fail_errno(err, "remove", path);
    }
    return OD_OK;
}

enum od_status od_dir_sync(const char *path, struct od_error *err)
{
    const int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return fail_errno(err, "open folder", path);
    }
    // Some file systems cannot sync a folder and say EINVAL; the rename is done all the same.
    const bool failed = must_fail() || (fsync(fd) != 0 && errno != EINVAL);
    const int error = errno;
    (void)close(fd);
    if (failed) {
        errno = error;
        return fail_errno(err, "sync folder", path);
    }
    return OD_OK;
}

// Neither name ever holds a part of a folder: the old one is out of the way before it is taken apart.
enum od_status od_dir_replace(const char *temp, const char *final, struct od_error *err)
{
    char old[OD_PATH_MAX_BYTES];
    char parent[OD_PATH_MAX_BYTES];
    enum od_status status;
    const int length = snprintf(old, sizeof old, "%s.tmp-old", final);
    if (length < 0 || (size_t)length >= sizeof old) {
        return od_fail(err, OD_E_LIMIT, "path is too long: '%.100s...'", final);
    }
    parent_of(parent, final);
    if ((status = od_dir_remove(old, err)) != OD_OK ||
        (od_path_exists(final) && (status = od_path_rename(final, old, err)) != OD_OK) ||
        (status = od_path_rename(temp, final, err)) != OD_OK ||
        (status = od_dir_sync(parent, err)) != OD_OK) {
        return status;
    }
    return od_dir_remove(old, err);
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

enum od_status od_dir_list(const char *path, char ***ret_names, size_t *ret_count,
                           struct od_error *err)
{
    enum od_status status = OD_OK;
    char **names = NULL;
    size_t count = 0;
    size_t capacity = 0;
    DIR *dir = opendir(path);

    if (!dir) {
        return fail_errno(err, "open folder", path);
    }
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(dir);
        if (!entry) {
            if (errno != 0) {
                status = fail_errno(err, "list", path);
            }
            break;
        }
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) {
            continue;
        }
        if (count == capacity) {
            capacity = capacity == 0 ? 16 : capacity * 2;
            char **more = (char **)od_realloc((void *)names, capacity, sizeof *names);
            if (!more) {
                status = od_fail(err, OD_E_MEMORY, "no memory to list '%s'", path);
                break;
            }
            names = more;
        }
        names[count] = od_strdup(entry->d_name);
        if (!names[count]) {
            status = od_fail(err, OD_E_MEMORY, "no memory to list '%s'", path);
            break;
        }
        count++;
    }
    (void)closedir(dir);
    if (status != OD_OK) {
        od_names_free(names, count);
        return status;
    }
    if (count > 0) {
        qsort((void *)names, count, sizeof *names, by_bytes);
    }
    *ret_names = names;
    *ret_count = count;
    return OD_OK;
}

void od_names_free(char **names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        od_free(names[i]);
    }
    od_free((void *)names);
}

bool od_path_exists(const char *path)
{
    return access(path, F_OK) == 0;
}

bool od_path_is_dir(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

enum od_status od_program_dir(char out[OD_PATH_MAX_BYTES], struct od_error *err)
{
    char path[OD_PATH_MAX_BYTES];
    const ssize_t size = readlink("/proc/self/exe", path, sizeof path - 1);
    if (size <= 0 || (size_t)size == sizeof path - 1 || path[0] != '/') {
        return od_fail(err, OD_E_NOT_FOUND, "cannot read '/proc/self/exe': %s",
                       size < 0 ? strerror(errno) : "no path, or too long");
    }
    path[size] = '\0';
    *strrchr(path, '/') = '\0';
    (void)snprintf(out, OD_PATH_MAX_BYTES, "%s/", path);
    return OD_OK;
}

enum od_status od_path_join(char out[OD_PATH_MAX_BYTES], const char *folder, const char *name,
                            struct od_error *err)
{
    const size_t length = strlen(folder);
    const char *between = length > 0 && folder[length - 1] != '/' ? "/" : "";
    const int size = snprintf(out, OD_PATH_MAX_BYTES, "%s%s%s", folder, between, name);
    if (size < 0 || size >= OD_PATH_MAX_BYTES) {
        return od_fail(err, OD_E_LIMIT, "path is too long: '%.100s/%.100s'", folder, name);
    }
    return OD_OK;
}
