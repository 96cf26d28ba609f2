/**
 * @file
 * What a finished run leaves for others: an adapter in PEFT's layout, or a model folder, each with
 * the tokenizer's files. And lock.json: what it was made from.
 *
 * @thread One owner.
 */
#ifndef OD_TUNE_EXPORT_H
#define OD_TUNE_EXPORT_H

#include "base/file.h"
#include "base/hash.h"
#include "base/memory.h"
#include "base/status.h"
#include "tune/session.h"

/** Write `run_dir`/adapter (LoRA) or `run_dir`/model (full), replacing what is there. The finished
 *  folder appears under its name at once. */
enum od_status od_export(const struct od_session *session, const char *run_dir,
                         char ret_folder[OD_PATH_MAX_BYTES], struct od_error *err) OD_MUST_CHECK;

/** The text of lock.json and the digest `inputs`, see od_lock_write. */
enum od_status od_lock_make(const struct od_session *session, const char *recipe_text,
                            struct od_buf *out, char inputs[OD_SHA256_HEX_BYTES],
                            struct od_error *err) OD_MUST_CHECK;

/**
 * Write lock.json: digests of base weights, tokenizer and data files, of this program, and the
 * settings that the bits depend on. `inputs` gets one digest over all that must be equal to resume.
 */
enum od_status od_lock_write(const struct od_session *session, const char *recipe_text,
                             const char *path, char inputs[OD_SHA256_HEX_BYTES],
                             struct od_error *err) OD_MUST_CHECK;

#endif
