#include "flow/live_log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/status.h"
#include "flow/report_log.h"

enum od_status od_live_log_init(struct od_live_log *live, const char *path, struct od_error *err)
{
    *live = (struct od_live_log){.exists = false};
    const int length = snprintf(live->path, sizeof live->path, "%s", path);
    return length >= 0 && (size_t)length < sizeof live->path
               ? OD_OK
               : od_fail(err, OD_E_LIMIT, "'%.100s...' is too long a path", path);
}

static void forget(struct od_live_log *live)
{
    od_report_log_release(&live->log);
    live->read_bytes = 0;
    live->tail_size = 0;
    live->skipping = false;
    live->exists = false;
}

void od_live_log_release(struct od_live_log *live)
{
    forget(live);
}

// Where the whole lines of a piece end; a full piece without any is part of a line that is too long.
static enum od_status take(struct od_live_log *live, const char *piece, size_t size,
                           size_t *ret_taken, struct od_error *err)
{
    const char *last = memrchr(piece, '\n', size);
    const char *from = piece;
    enum od_status status = OD_OK;
    if (!last) {
        const bool too_long = live->skipping || size == OD_LIVE_LINE_MAX_BYTES;
        live->log.bad_lines += too_long && !live->skipping ? 1 : 0;
        live->skipping = too_long;
        *ret_taken = too_long ? size : 0;
        return OD_OK;
    }
    if (live->skipping) {
        from = (const char *)memchr(piece, '\n', size) + 1;
        live->skipping = false;
    }
    const char *end = last + 1;
    status = od_report_log_append(&live->log, from, (size_t)(end - from), err);
    *ret_taken = (size_t)(end - piece);
    return status;
}

static enum od_status read_new(struct od_live_log *live, int fd, char *piece, struct od_error *err)
{
    for (;;) {
        size_t taken = 0;
        const ssize_t size = pread(fd, piece, OD_LIVE_LINE_MAX_BYTES, live->read_bytes);
        if (size < 0) {
            return od_fail(err, OD_E_IO, "cannot read '%s': %s", live->path, strerror(errno));
        }
        const enum od_status status = take(live, piece, (size_t)size, &taken, err);
        live->read_bytes += (int64_t)taken;
        if (taken > 0) {
            live->tail_size = taken < OD_LIVE_TAIL_BYTES ? taken : OD_LIVE_TAIL_BYTES;
            memcpy(live->tail, piece + taken - live->tail_size, live->tail_size);
        }
        if (status != OD_OK || taken == 0) {
            return status;
        }
    }
}

// False when the file is another one than before, or was cut.
static bool is_same(const struct od_live_log *live, int fd, const struct stat *facts)
{
    char tail[OD_LIVE_TAIL_BYTES];
    const ssize_t size = (ssize_t)live->tail_size;
    return facts->st_dev == live->device && facts->st_ino == live->file &&
           facts->st_size >= live->read_bytes &&
           pread(fd, tail, live->tail_size, live->read_bytes - size) == size &&
           memcmp(tail, live->tail, live->tail_size) == 0;
}

enum od_status od_live_log_update(struct od_live_log *live, struct od_error *err)
{
    struct stat facts;
    char *piece = NULL;
    const int fd = open(live->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) {
        forget(live);
        return OD_OK;
    }
    if (fd < 0) {
        return od_fail(err, OD_E_IO, "cannot read '%s': %s", live->path, strerror(errno));
    }
    enum od_status status = OD_OK;
    if (fstat(fd, &facts) != 0) {
        status = od_fail(err, OD_E_IO, "cannot read '%s': %s", live->path, strerror(errno));
        goto done;
    }
    if (!is_same(live, fd, &facts)) {
        forget(live);
    }
    live->exists = true;
    live->device = facts.st_dev;
    live->file = facts.st_ino;
    live->changed_s = (double)facts.st_mtim.tv_sec + (double)facts.st_mtim.tv_nsec * 1e-9;
    piece = od_alloc(OD_LIVE_LINE_MAX_BYTES, 1);
    if (!piece) {
        status = od_fail(err, OD_E_MEMORY, "no memory to read '%s'", live->path);
        goto done;
    }
    status = read_new(live, fd, piece, err);

done:
    od_free(piece);
    (void)close(fd);  // only read from
    return status;
}
