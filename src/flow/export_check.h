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
 * The export is opened on the CPU, with its weights as fp32: a model above a limit is not opened, nor
 * is any when the budget leaves no time. The file then says why.
 *
 *     export_check.json: {"result": "same" | "differs" | "not checked", "why": "...", "prompts": 8,
 *      "positions": 130, "logits": {"difference_max": 1e-6, "max": 9.5, "same_best": 130},
 *      "loss_trained": 2.5, "loss_export": 2.5}
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
#include "tune/session.h"

#define OD_EXPORT_CHECK_FILE "export_check.json"

/** Models of more weights are not opened. */
enum { OD_EXPORT_CHECK_WEIGHTS_MAX = 500000000 };

enum od_export_result { OD_EXPORT_NOT_CHECKED, OD_EXPORT_SAME, OD_EXPORT_DIFFERS };

struct od_export_check {
    enum od_export_result result;
    char why[256];    ///< when it is not the same
    bool has_logits;  ///< `compared` says more than how many prompts and positions
    struct od_convert_check compared;
    double loss_trained;  ///< means over the positions behind the first of each prompt
    double loss_export;
};

/** Sizes a session's check runs with. */
struct od_export_check_options {
    int threads;
    bool no_vector;
    int64_t weights_max;  ///< 0: OD_EXPORT_CHECK_WEIGHTS_MAX
};

/**
 * Check the export in `run_dir` and write export_check.json there. An export that differs or cannot be
 * opened is told by `ret` and a warning; the status is that of the check itself.
 * @param left_s  Seconds that the check may take.
 */
enum od_status od_export_check(struct od_session *session, const char *run_dir, double left_s,
                               const struct od_export_check_options *options,
                               struct od_export_check *ret, struct od_error *err) OD_MUST_CHECK;

/** What od_export_check_hook takes as its context. */
struct od_export_check_context {
    struct od_export_check_options options;
    struct od_export_check check;  ///< out
};
/** The check as od_tune_options.after_export. */
enum od_status od_export_check_hook(void *context, struct od_session *session, const char *run_dir,
                                    double left_s, struct od_error *err) OD_MUST_CHECK;

/** The check of a run; OD_E_NOT_FOUND when it has none. */
enum od_status od_export_check_read(const char *path, struct od_export_check *ret,
                                    struct od_error *err) OD_MUST_CHECK;
/** A sentence for a person, without a full stop. */
void od_export_check_text(const struct od_export_check *check, struct od_buf *out);

#endif
