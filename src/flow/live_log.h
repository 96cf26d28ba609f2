/**
 * @file
 * log.jsonl of a run that is being written: each update reads only what was added since the one
 * before it. Only whole lines are taken; what stands behind the last newline waits for the next
 * update. A file that was replaced or became shorter (a run that went on from a checkpoint cuts its
 * log) is read anew; a file system may give a new file an old one's number, so what was taken last
 * must still stand in its place.
 *
 * @thread Re-entrant: distinct objects from distinct threads.
 */
#ifndef OD_FLOW_LIVE_LOG_H
#define OD_FLOW_LIVE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/file.h"
#include "base/status.h"
#include "flow/report_log.h"

/** Longer lines are counted as bad ones. */
enum { OD_LIVE_LINE_MAX_BYTES = 1 << 20, OD_LIVE_TAIL_BYTES = 64 };

struct od_live_log {
    struct od_report_log log;
    bool exists;
    double changed_s;  ///< when the file was last written: seconds since 1970
    char path[OD_PATH_MAX_BYTES];
    int64_t read_bytes;             ///< private: what was taken so far
    dev_t device;                   ///< private: which file that was
    ino_t file;                     ///< private
    bool skipping;                  ///< private: inside a line that is too long
    char tail[OD_LIVE_TAIL_BYTES];  ///< private: what was taken last: is it the file still?
    size_t tail_size;               ///< private
};

/** The log at `path`, not looked at yet. @error OD_E_LIMIT: the path is too long. */
enum od_status od_live_log_init(struct od_live_log *live, const char *path,
                                struct od_error *err) OD_MUST_CHECK;
void od_live_log_release(struct od_live_log *live);

/** Take what is new. A file that is absent is no error: `exists` is false.
 *  @error OD_E_IO, OD_E_LIMIT, OD_E_MEMORY; what was read before stays. */
enum od_status od_live_log_update(struct od_live_log *live, struct od_error *err) OD_MUST_CHECK;

#endif
