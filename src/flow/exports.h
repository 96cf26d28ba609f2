/**
 * @file
 * What a recipe's `export:` asks for, made at the end of a run.
 *
 *     RUN/export/merged/           base and adapter as one model folder, bf16
 *     RUN/export/gguf-TYPE.gguf    the whole model: of merged/, or of the run's model/
 *     RUN/export/adapter-gguf.gguf the adapter, f32
 *
 * The files are those of `oneday model merge` and `oneday model convert`. The folder appears under its
 * name at once, in place of an earlier one.
 *
 * @thread One owner.
 */
#ifndef OD_FLOW_EXPORTS_H
#define OD_FLOW_EXPORTS_H

#include "base/file.h"
#include "base/status.h"
#include "tune/session.h"

/** Make all of them from the adapter or model in `run_dir`. Nothing is done without any. */
enum od_status od_exports_make(const struct od_session *session, const char *run_dir, int threads,
                               struct od_error *err) OD_MUST_CHECK;

/** How export number `index` (of enum od_recipe_export) is opened: a model, and an adapter on it or
 *  "". */
struct od_export_place {
    char model[OD_PATH_MAX_BYTES];
    char adapter[OD_PATH_MAX_BYTES];
};
enum od_status od_export_find(const struct od_session *session, const char *run_dir, int index,
                              struct od_export_place *ret, struct od_error *err) OD_MUST_CHECK;

/** Its path inside the run's folder: "export/merged". */
void od_export_name(int index, char out[64]);

#endif
