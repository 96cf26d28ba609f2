/**
 * @file
 * The batch whose loss or gradient was no number, written down so that one can see why.
 *
 *     {"step": 7, "epoch": 0, "documents": [{"document": 12, "ids": [...], "labels": [...],
 *      "text": "..."}]}
 *
 * `document` counts from 0 in the order in which the data was read, held-out ones left out; a label
 * of 1 is a token that is learned.
 *
 * @thread One owner.
 */
#ifndef OD_TUNE_BAD_BATCH_H
#define OD_TUNE_BAD_BATCH_H

#include "base/status.h"
#include "tune/session.h"

/** Write the packs [bad_first, bad_last) of the session's present epoch to `path`. */
enum od_status od_bad_batch_write(const struct od_session *session, const char *path,
                                  struct od_error *err) OD_MUST_CHECK;

#endif
