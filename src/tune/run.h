/**
 * @file
 * A training run on disk: the run directory, its log, checkpoints, resume, export.
 *
 *     recipe.yaml device.json plan.json lock.json log.jsonl
 *     checkpoints/step-N/   trained.safetensors optimizer.safetensors state.json manifest.json
 *     adapter/ or model/    written when the run is done
 *     export/               what the recipe's `export:` names (flow/exports.h)
 *     tensorboard/          when it is asked for
 *     export_check.json     what its check said, when the caller has one (flow/export_check.h)
 *     process.lock          held by the process that works on the run
 *
 * A checkpoint is written as step-N.tmp, each file synced, then renamed: it is there whole or not
 * at all. Resume takes the newest whose manifest verifies, cuts log.jsonl back to its step and goes
 * on with the same bits.
 *
 * @thread One owner.
 */
#ifndef OD_TUNE_RUN_H
#define OD_TUNE_RUN_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/file.h"
#include "base/status.h"
#include "tune/session.h"

struct od_tune_options {
    const char *recipe_path;
    const char *run_dir;
    bool resume;       ///< go on from the newest checkpoint; a run without one starts anew
    bool tensorboard;  ///< write tune/run_board.h's files, whatever the recipe says
    bool on_gpu;
    bool gpu_optional;  ///< a model without GPU kernels is computed on the CPU
    int gpu;            ///< which
    int threads;
    bool allow_vector;
    uint64_t max_bytes;                 ///< cap on the plan; 0: none
    const volatile sig_atomic_t *stop;  ///< set by a signal: save at the next step and leave
    /** Called when the export is there, before the session is closed: its weights are those that were
     *  exported. `left_s`: what is left of budget.time, infinite without one. NULL: not called. */
    enum od_status (*after_export)(void *context, struct od_session *session, const char *run_dir,
                                   double left_s, struct od_error *err);
    void *context;
};

/** Why a run is over. */
enum od_tune_end {
    OD_TUNE_END_STEPS,  ///< all steps are done
    OD_TUNE_END_EARLY,  ///< early_stopping_patience
    OD_TUNE_END_TIME    ///< budget.time
};

struct od_tune_result {
    enum od_tune_end end;
    int64_t steps;
    int64_t total_steps;
    double first_loss;
    double last_loss;
    int64_t best_step;  ///< of the lowest evaluation loss; -1: no evaluation
    double best_loss;
    double eval_loss;       ///< the last
    int64_t exported_step;  ///< best_step with load_best_model_at_end, else the last
    double train_s;         ///< spent in steps, all restarts together
    double elapsed_s;       ///< of all processes of the run, see tune/budget.h
    double tokens_per_s;
    uint64_t weight_hash;  ///< of what was exported
    uint64_t plan_bytes;
    bool resumed;
    char export_dir[OD_PATH_MAX_BYTES];  ///< adapter/ or model/
};

/**
 * Do the whole run. @error OD_E_REFUSED when the plan does not fit, when the run directory holds
 * another run, or when what it resumes differs (recipe, data, base weights); OD_E_CANCELLED after
 * `stop`, with a checkpoint saved.
 */
enum od_status od_tune_run(const struct od_tune_options *options, struct od_tune_result *ret,
                           struct od_error *err) OD_MUST_CHECK;

#endif
