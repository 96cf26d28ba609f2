/**
 * @file
 * Event files of TensorBoard, written: scalars over steps, nothing else.
 *
 * A file is a sequence of records (TFRecord):
 *
 *     offset  size  what
 *     0       8     n, the size of the data; little-endian, as all numbers here
 *     8       4     mask(crc32c(bytes 0..7))
 *     12      n     data: one Event
 *     12 + n  4     mask(crc32c(data))
 *
 *     mask(c) = (c >> 15 | c << 17) + 0xa282ead8, modulo 2^32
 *
 * An Event is a message of Protocol Buffers; members with the value 0 are left out:
 *
 *     Event       1 wall_time: double   2 step: int64   then one of
 *                 3 file_version: string, "brain.Event:2" in the first record of a file
 *                 5 summary: Summary
 *                 7 session_log: SessionLog
 *     Summary     1 value: Value, repeated
 *     Value       1 tag: string   2 simple_value: float
 *     SessionLog  1 status: 1 (START): what earlier files have from this event's step on is void
 *
 * Members are a key byte (number * 8 + 0 for integers, 1 for 8 bytes, 2 for a size and bytes, 5 for 4
 * bytes) and a value; integers and sizes are base-128 varints, low groups first.
 *
 * TensorBoard takes every file of a folder whose name has `tfevents` in it, in the order of the names:
 * a run that goes on starts a new file, whose name stands behind those that are there.
 *
 * @source tensorflow/core/lib/io/record_writer.cc, tensorflow/core/util/event.proto,
 *         tensorflow/core/framework/summary.proto; developers.google.com/protocol-buffers/docs/encoding.
 * @thread Re-entrant: distinct objects from distinct threads.
 */
#ifndef OD_FORMATS_TENSORBOARD_H
#define OD_FORMATS_TENSORBOARD_H

#include <stddef.h>
#include <stdint.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/status.h"

enum { OD_TENSORBOARD_SCALARS_MAX = 32, OD_TENSORBOARD_TAG_MAX_BYTES = 128 };

/** One value of a step. */
struct od_tensorboard_scalar {
    const char *tag;  ///< "train/loss"; at most OD_TENSORBOARD_TAG_MAX_BYTES
    float value;
};

/** A file being written; initialise with `{.fd = -1}`. */
struct od_tensorboard {
    int fd;  ///< private; below 0: closed
    char path[OD_PATH_MAX_BYTES];
};

/** Append the record that every file starts with. `wall_s`: seconds since 1970, here and below. */
void od_tensorboard_put_version(struct od_buf *out, double wall_s);
/** Append the record that makes void what earlier files have from `step` on. */
void od_tensorboard_put_restart(struct od_buf *out, double wall_s, int64_t step);
/** Append the record of a step's values. `count` is at most OD_TENSORBOARD_SCALARS_MAX. */
void od_tensorboard_put_scalars(struct od_buf *out, double wall_s, int64_t step,
                                const struct od_tensorboard_scalar *scalars, size_t count);

/**
 * Start a file in `folder`, which is made when it is absent, behind the files that are there. `step`
 * above 0: the run goes on with that step, which makes void what they have from it on.
 * @memory Fills *ret: od_tensorboard_close.
 * @error  OD_E_IO, OD_E_LIMIT.
 */
enum od_status od_tensorboard_open(const char *folder, double wall_s, int64_t step,
                                   struct od_tensorboard *ret, struct od_error *err) OD_MUST_CHECK;
/** Append a step's values. A record is written in one piece. @error OD_E_IO. */
enum od_status od_tensorboard_write(const struct od_tensorboard *board, double wall_s, int64_t step,
                                    const struct od_tensorboard_scalar *scalars, size_t count,
                                    struct od_error *err) OD_MUST_CHECK;
/** Does nothing when it is closed. */
void od_tensorboard_close(struct od_tensorboard *board);

#endif
