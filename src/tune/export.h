/**
 * @file
 * What a finished run leaves for others: an adapter in PEFT's layout, or a model folder, each with
 * the tokenizer's files.
 *
 * @thread One owner.
 */
#ifndef OD_TUNE_EXPORT_H
#define OD_TUNE_EXPORT_H

#include <stdint.h>

#include "base/file.h"
#include "base/status.h"
#include "tune/session.h"

/** Write `run_dir`/adapter (LoRA) or `run_dir`/model (full), replacing what is there. The finished
 *  folder appears under its name at once. */
enum od_status od_export(const struct od_session *session, const char *run_dir,
                         char ret_folder[OD_PATH_MAX_BYTES], struct od_error *err) OD_MUST_CHECK;

/** Whether what the recipe's `export:` asks for can be written of this session's model; before it trains.
 *  @error OD_E_UNSUPPORTED with the reason. */
enum od_status od_export_possible(const struct od_session *session,
                                  struct od_error *err) OD_MUST_CHECK;

/** Bytes that the recipe's `export:` reads and writes, guessed from the number of weights; *ret_kept
 *  those that it leaves, with what lies beside them for a while. */
uint64_t od_export_bytes(const struct od_session *session, uint64_t *ret_kept);

#endif
