#include "formats/tensorboard.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/memory.h"
#include "base/status.h"

enum { RECORD_MAX_BYTES = 1 << 14, VARINT_BYTES = 10, SECONDS_DIGITS = 10 };
static const int64_t SECONDS_MAX = 9999999999;  // what SECONDS_DIGITS hold

/** How the value of a member is written. */
enum wire_type { WIRE_VARINT = 0, WIRE_8_BYTES = 1, WIRE_BYTES = 2, WIRE_4_BYTES = 5 };

static const char prefix[] = "events.out.tfevents.";

static void put_number(struct od_buf *out, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++) {
        od_buf_putc(out, (char)(value >> (8 * i) & 0xFF));
    }
}

static void put_varint(struct od_buf *out, uint64_t value)
{
    for (; value >= 0x80; value >>= 7) {
        od_buf_putc(out, (char)(0x80 | (value & 0x7F)));
    }
    od_buf_putc(out, (char)value);
}

static void put_key(struct od_buf *out, unsigned member, enum wire_type type)
{
    put_varint(out, (uint64_t)member << 3 | (uint64_t)type);
}

static void put_bytes(struct od_buf *out, unsigned member, const void *bytes, size_t size)
{
    put_key(out, member, WIRE_BYTES);
    put_varint(out, size);
    od_buf_append(out, bytes, size);
}

// Time and step, which all events have.
static void put_head(struct od_buf *event, double wall_s, int64_t step)
{
    uint64_t bits = 0;
    memcpy(&bits, &wall_s, sizeof bits);
    if (bits != 0) {
        put_key(event, 1, WIRE_8_BYTES);
        put_number(event, bits, 8);
    }
    if (step != 0) {
        put_key(event, 2, WIRE_VARINT);
        put_varint(event, (uint64_t)step);
    }
}

static uint32_t masked(const void *bytes, size_t size)
{
    const uint32_t crc = od_crc32c(bytes, size);
    return (crc >> 15 | crc << 17) + UINT32_C(0xa282ead8);
}

static void put_record(struct od_buf *out, const struct od_buf *data)
{
    const size_t from = out->size;
    if (data->failed) {
        out->failed = true;
        return;
    }
    put_number(out, data->size, 8);
    put_number(out, out->failed ? 0 : masked(out->bytes + from, 8), 4);
    od_buf_append(out, od_buf_text(data), data->size);
    put_number(out, masked(od_buf_text(data), data->size), 4);
}

void od_tensorboard_put_version(struct od_buf *out, double wall_s)
{
    static const char version[] = "brain.Event:2";
    struct od_buf event;
    od_buf_init(&event, RECORD_MAX_BYTES);
    put_head(&event, wall_s, 0);
    put_bytes(&event, 3, version, sizeof version - 1);
    put_record(out, &event);
    od_buf_release(&event);
}

void od_tensorboard_put_restart(struct od_buf *out, double wall_s, int64_t step)
{
    static const char start[] = {1 << 3 | WIRE_VARINT, 1};
    struct od_buf event;
    od_buf_init(&event, RECORD_MAX_BYTES);
    put_head(&event, wall_s, step);
    put_bytes(&event, 7, start, sizeof start);
    put_record(out, &event);
    od_buf_release(&event);
}

static void put_scalar(struct od_buf *summary, const struct od_tensorboard_scalar *scalar)
{
    struct od_buf value;
    uint32_t bits = 0;
    const size_t length = strlen(scalar->tag);
    assert(length <= OD_TENSORBOARD_TAG_MAX_BYTES);
    memcpy(&bits, &scalar->value, sizeof bits);
    od_buf_init(&value, RECORD_MAX_BYTES);
    put_bytes(&value, 1, scalar->tag, length);
    put_key(&value, 2, WIRE_4_BYTES);
    put_number(&value, bits, 4);
    if (value.failed) {
        summary->failed = true;
    } else {
        put_bytes(summary, 1, value.bytes, value.size);
    }
    od_buf_release(&value);
}

void od_tensorboard_put_scalars(struct od_buf *out, double wall_s, int64_t step,
                                const struct od_tensorboard_scalar *scalars, size_t count)
{
    struct od_buf event;
    struct od_buf summary;
    assert(count <= OD_TENSORBOARD_SCALARS_MAX);
    od_buf_init(&event, RECORD_MAX_BYTES);
    od_buf_init(&summary, RECORD_MAX_BYTES);
    for (size_t i = 0; i < count; i++) {
        put_scalar(&summary, &scalars[i]);
    }
    put_head(&event, wall_s, step);
    put_bytes(&event, 5, od_buf_text(&summary), summary.size);
    event.failed = event.failed || summary.failed;
    put_record(out, &event);
    od_buf_release(&summary);
    od_buf_release(&event);
}

// The seconds in the name of a file that is there; -1: it is no event file.
static int64_t seconds_of(const char *name)
{
    const char *digits = name + sizeof prefix - 1;
    if (strncmp(name, prefix, sizeof prefix - 1) != 0 ||
        strspn(digits, "0123456789") != SECONDS_DIGITS) {
        return -1;
    }
    return strtoll(digits, NULL, 10);
}

// A name behind all that are there, also after the clock was set back.
static enum od_status choose_path(const char *folder, double wall_s, char out[OD_PATH_MAX_BYTES],
                                  struct od_error *err)
{
    char name[64];
    char **names = NULL;
    size_t count = 0;
    int64_t seconds = wall_s > 0.0 && wall_s < (double)SECONDS_MAX ? (int64_t)wall_s : 0;
    enum od_status status = od_dir_make(folder, err);
    if (status != OD_OK || (status = od_dir_list(folder, &names, &count, err)) != OD_OK) {
        return status;
    }
    for (size_t i = 0; i < count; i++) {
        const int64_t there = seconds_of(names[i]);
        seconds = there >= seconds ? there + 1 : seconds;
    }
    od_names_free(names, count);
    if (seconds > SECONDS_MAX) {
        return od_fail(err, OD_E_LIMIT, "no file can be named behind those in '%s'", folder);
    }
    (void)snprintf(name, sizeof name, "%s%0*lld.oneday", prefix, SECONDS_DIGITS,
                   (long long)seconds);
    return od_path_join(out, folder, name, err);
}

static enum od_status append(const struct od_tensorboard *board, const struct od_buf *records,
                             struct od_error *err)
{
    const enum od_status status = od_buf_check(records, err);
    return status == OD_OK ? od_fd_write(board->fd, board->path, records->bytes, records->size, err)
                           : status;
}

enum od_status od_tensorboard_open(const char *folder, double wall_s, int64_t step,
                                   struct od_tensorboard *ret, struct od_error *err)
{
    struct od_tensorboard board = {.fd = -1};
    struct od_buf records;
    enum od_status status = choose_path(folder, wall_s, board.path, err);
    if (status != OD_OK) {
        return status;
    }
    board.fd = open(board.path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0666);
    if (board.fd < 0) {
        return od_fail(err, OD_E_IO, "cannot write '%s': %s", board.path, strerror(errno));
    }
    od_buf_init(&records, RECORD_MAX_BYTES);
    od_tensorboard_put_version(&records, wall_s);
    if (step > 0) {
        od_tensorboard_put_restart(&records, wall_s, step);
    }
    status = append(&board, &records, err);
    od_buf_release(&records);
    if (status != OD_OK) {
        od_tensorboard_close(&board);
        return status;
    }
    *ret = board;
    return OD_OK;
}

enum od_status od_tensorboard_write(const struct od_tensorboard *board, double wall_s, int64_t step,
                                    const struct od_tensorboard_scalar *scalars, size_t count,
                                    struct od_error *err)
{
    struct od_buf record;
    od_buf_init(&record, RECORD_MAX_BYTES);
    od_tensorboard_put_scalars(&record, wall_s, step, scalars, count);
    const enum od_status status = append(board, &record, err);
    od_buf_release(&record);
    return status;
}

void od_tensorboard_close(struct od_tensorboard *board)
{
    if (board->fd >= 0) {
        (void)close(board->fd);  // a record that is lost costs a point of a curve
    }
    board->fd = -1;
}
