/**
 * @file
 * Is what a run exported what it trained? The export is opened as anyone would open it, and answers
 * eight prompts; the session, whose weights were exported, answers them by the operations of training.
 *
 * The prompts are the beginnings of held-out documents, else of training documents, else seeded ids.
 * On the CPU logits are compared, on a GPU the losses of the prompts. What may differ, measured by the
 * largest logit (or by the loss): an adapter that is merged is rounded otherwise than one that is
 * applied beside its layer (0.001), a model's weights are written as bf16 (0.05), a GPU computes with
 * bf16 (0.03), and a quantised base is another than the base's own weights, which the export is opened
 * on (losses alone, 0.15).
 *
 * What `export:` asks for besides is made first (flow/exports.h) and compared in the same way: files of
 * 16 bits differ by 0.05 of the largest logit at most, those of 8 by 0.15, an adapter's by 0.001; merged
 * into the own weights of a base that was quantised in training, losses alone are compared.
 *
 * An export is opened on the CPU, with its weights as fp32 and packed once more. Where the memory that is
 * free or the time that is left are not enough for that, the file says so, and which command does it
 * later.
 *
 *     export_check.json: {"result": "same" | "differs" | "not checked", "why": "...", "prompts": 8,
 *      "positions": 130, "logits": {"difference_max": 1e-6, "max": 9.5, "same_best": 130},
 *      "loss_trained": 2.5, "loss_export": 2.5,
 *      "exports": [{"name": "export/merged", "result": ..., the same members}]}
 *
 * @thread One owner.
 */
#ifndef OD_FLOW_EXPORT_CHECK_H
#define OD_FLOW_EXPORT_CHECK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"
#include "flow/convert_check.h"
#include "tune/recipe.h"
#include "tune/session.h"

#define OD_EXPORT_CHECK_FILE "export_check.json"

/** A check that would take longer than so many seconds is left out, unless all time is given. */
enum { OD_EXPORT_CHECK_TIME_MAX_S = 900 };

enum od_export_result { OD_EXPORT_NOT_CHECKED, OD_EXPORT_SAME, OD_EXPORT_DIFFERS };

struct od_export_check {
    enum od_export_result result;
    char why[1024];   ///< when it is not the same
    bool has_logits;  ///< `compared` says more than how many prompts and positions
    struct od_convert_check compared;
    double loss_trained;  ///< means over the positions behind the first of each prompt
    double loss_export;
};

/** Sizes a session's check runs with. */
struct od_export_check_options {
    int threads;
    bool no_vector;
    uint64_t memory_max;  ///< 0: what the machine has free
    bool all_time;        ///< whatever the budget leaves
};

/** What od_export_check_hook takes as its context, and gives. */
struct od_export_check_context {
    struct od_export_check_options options;
    struct od_export_check check;  ///< out: of adapter/ or model/,
    /** and of what else was exported, by the number of its bit; only those that the recipe has. */
    struct od_export_check other[OD_RECIPE_EXPORTS];
    unsigned exports;  ///< bits of enum od_recipe_export
};
/**
 * As od_tune_options.after_export: make what else the recipe exports, check all of it, and write
 * export_check.json into `run_dir`. An export that differs or cannot be opened is told by the context
 * and a warning; the status is that of the making and of the check itself.
 * @param left_s  Seconds that it may take.
 */
enum od_status od_export_check_hook(void *context, struct od_session *session, const char *run_dir,
                                    double left_s, struct od_error *err) OD_MUST_CHECK;

/** The checks of a run into a context; OD_E_NOT_FOUND when it has none. */
enum od_status od_export_check_read(const char *path, struct od_export_check_context *ret,
                                    struct od_error *err) OD_MUST_CHECK;
/** A sentence for a person, without a full stop: "NAME was opened again and ...". */
void od_export_check_text(const char *name, const struct od_export_check *check,
                          struct od_buf *out);

#endif
