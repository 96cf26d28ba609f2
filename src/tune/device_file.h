/**
 * @file
 * device.json: what was chosen on this card, so that it is chosen again: the algorithm of every
 * matrix product. A run keeps its own; a new run begins with those of the last run on the same kind
 * of card, driver and library, from the user's cache, and adds what is new.
 *
 * @thread One owner.
 */
#ifndef OD_TUNE_DEVICE_FILE_H
#define OD_TUNE_DEVICE_FILE_H

#include <stdbool.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/status.h"
#include "tune/session.h"

/** The text of device.json for a session, on the CPU or on a GPU. */
enum od_status od_device_write(const struct od_session *session, struct od_buf *out,
                               struct od_error *err) OD_MUST_CHECK;

/** Take the choices of a device.json that was written on the same kind of card with the same driver
 *  and library; of another one *ret_same is false and nothing is taken. */
enum od_status od_device_read(struct od_session *session, const char *path, bool *ret_same,
                              struct od_error *err) OD_MUST_CHECK;

/** Where the choices for this card are kept between runs: below $XDG_CACHE_HOME, else ~/.cache; ""
 *  when there is no such place. */
void od_device_cache_path(const struct od_session *session, char ret[OD_PATH_MAX_BYTES]);

#endif
