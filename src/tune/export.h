/**
 * @file
 * What a finished run leaves for others: an adapter in PEFT's layout, or a model folder, each with
 * the tokenizer's files.
 *
 * @thread One owner.
 */
#ifndef OD_TUNE_EXPORT_H
#define OD_TUNE_EXPORT_H

#include "base/file.h"
#include "base/status.h"
#include "tune/session.h"

/** Write `run_dir`/adapter (LoRA) or `run_dir`/model (full), replacing what is there. The finished
 *  folder appears under its name at once. */
enum od_status od_export(const struct od_session *session, const char *run_dir,
                         char ret_folder[OD_PATH_MAX_BYTES], struct od_error *err) OD_MUST_CHECK;

#endif
