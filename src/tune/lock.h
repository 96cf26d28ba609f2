/**
 * @file
 * lock.json: what a run was made from, as digests.
 *
 * @thread One owner.
 */
#ifndef OD_TUNE_LOCK_H
#define OD_TUNE_LOCK_H

#include "base/hash.h"
#include "base/memory.h"
#include "base/status.h"
#include "tune/session.h"

/**
 * Append the lock: digests of base weights, tokenizer and data files, of this program, and the
 * settings that the bits depend on. `inputs` gets one digest over all that must be equal to resume.
 */
enum od_status od_lock_make(const struct od_session *session, const char *recipe_text,
                            struct od_buf *out, char inputs[OD_SHA256_HEX_BYTES],
                            struct od_error *err) OD_MUST_CHECK;

/**
 * Say in what these inputs differ from those that lie in `run_dir`: the line of the recipe, or the
 * file and both its digests. OD_OK when they do not.
 * @error OD_E_REFUSED for the first difference.
 */
enum od_status od_lock_compare(const char *run_dir, const char *lock_text, const char *recipe_text,
                               struct od_error *err) OD_MUST_CHECK;

#endif
