/**
 * @file
 * Writes checkpoints while a GPU goes on with the steps: what is written is the copy that the host has.
 * Under its name a checkpoint is whole, so a process that is killed meanwhile has the one before.
 *
 *     status = od_checkpoint_begin(&writer, session, folder, &state, keep, protect, err);
 *     ... steps ...
 *     status = od_checkpoint_settle(&writer, &seconds, err);
 *
 * @thread One owner.
 */
#ifndef OD_TUNE_CHECKPOINT_WRITER_H
#define OD_TUNE_CHECKPOINT_WRITER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "tune/checkpoint.h"
#include "tune/session.h"

/** A checkpoint on its way; NULL: none. */
struct od_checkpoint_writer;

/**
 * Bring the session's weights to the host, wait for the checkpoint before, and begin to write this one
 * (see od_checkpoint_write). Until od_checkpoint_settle nothing else may change the host's copy or the
 * folder. @memory Keeps `session`; copies the others.
 */
enum od_status od_checkpoint_begin(struct od_checkpoint_writer **writer,
                                   const struct od_session *session, const char *folder,
                                   const struct od_checkpoint_state *state, int64_t keep,
                                   int64_t protect, struct od_error *err) OD_MUST_CHECK;
/** True when settling would not wait. */
bool od_checkpoint_is_done(const struct od_checkpoint_writer *writer);
/** Wait until it is written. *ret_seconds is what that took, 0 when there was none; NULL is allowed. */
enum od_status od_checkpoint_settle(struct od_checkpoint_writer **writer, double *ret_seconds,
                                    struct od_error *err) OD_MUST_CHECK;

#endif
