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
#include <stddef.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/status.h"
#include "device/cuda/matmul.h"
#include "tune/session.h"

/** The text of device.json for a session, on the CPU or on a GPU. */
enum od_status od_device_write(const struct od_session *session, struct od_buf *out,
                               struct od_error *err) OD_MUST_CHECK;

/** What a device.json says of a card. */
struct od_device_file {
    char device[128];  ///< "NVIDIA H200"
    char driver[32];   ///< "580.159.04"
    char library[64];  ///< "cuBLASLt 13.1.0"
    struct od_matmul_choice *choices;
    size_t count;
};
/** Read the text of a device.json that a GPU run wrote; `name` stands in messages.
 *  @memory Gives: od_device_file_release. @error OD_E_FORMAT, OD_E_LIMIT for too many algorithms. */
enum od_status od_device_parse(const char *text, size_t size, const char *name,
                               struct od_device_file *ret, struct od_error *err) OD_MUST_CHECK;
void od_device_file_release(struct od_device_file *file);

/** Take the choices of a device.json that was written on the same kind of card with the same driver
 *  and library; of another one *ret_same is false and nothing is taken. */
enum od_status od_device_read(struct od_session *session, const char *path, bool *ret_same,
                              struct od_error *err) OD_MUST_CHECK;

/** Where the choices for this card are kept between runs: below $XDG_CACHE_HOME, else ~/.cache; ""
 *  when there is no such place. */
void od_device_cache_path(const struct od_session *session, char ret[OD_PATH_MAX_BYTES]);

#endif
