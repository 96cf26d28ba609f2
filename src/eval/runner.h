/**
 * @file
 * Runs run specs: reads the data, asks the responder, computes the statistics, writes the files.
 *
 * Requests are asked by several threads; results are stored by position, so the files do not depend
 * on their number. A request is tried up to five times; when it fails for good the run is lost, as
 * in HELM, and the next run starts.
 *
 * @source HELM 2023-11: runner, executor.
 * @thread One owner: the thread that calls; the responder is called from `threads` threads.
 */
#ifndef OD_EVAL_RUNNER_H
#define OD_EVAL_RUNNER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "eval/adapter.h"
#include "eval/run_spec.h"
#include "infer/responder.h"

enum { OD_EVAL_THREADS_DEFAULT = 4, OD_EVAL_ATTEMPTS = 5 };

/** How runs are done. Initialise with OD_EVAL_CONFIG_INIT and set what differs. */
struct od_eval_config {
    const struct od_responder *responder;
    const char *data;          ///< folder with mmlu/ and gsm8k/
    const char *output;        ///< runs land in OUTPUT/runs/SUITE/NAME
    const char *suite;         ///< name of the suite
    int threads;               ///< 1 .. OD_THREADS_MAX
    bool skip_completed_runs;  ///< leave runs alone whose five files are there
    int64_t window_tokens;     ///< prompt and answer together; the model's context when smaller
    bool show_progress;
    /** Pause before another attempt; NULL: sleep. */
    void (*wait)(void *context, double seconds);
    void *wait_context;
};
#define OD_EVAL_CONFIG_INIT {.threads = OD_EVAL_THREADS_DEFAULT, .window_tokens = OD_WINDOW_TOKENS}

/** What became of a run. */
struct od_run_outcome {
    bool skipped;  ///< it was complete already
    int64_t requests;
    double seconds;
};

/** Folder of a suite: OUTPUT/runs/SUITE. `out` is OD_PATH_MAX_BYTES. */
enum od_status od_eval_suite_folder(const struct od_eval_config *config, char *out,
                                    struct od_error *err) OD_MUST_CHECK;

/**
 * Do one run and write its files.
 * @error What the data or the responder fails with; nothing is written then. OD_E_UNSUPPORTED when
 *        the window has no room for a prompt beside the answer.
 */
enum od_status od_eval_run(const struct od_eval_config *config, const struct od_run_spec *spec,
                           struct od_run_outcome *ret, struct od_error *err) OD_MUST_CHECK;

/** True when another attempt can help: not for arguments, limits, memory or cancellation. */
bool od_eval_is_worth_retrying(enum od_status status);

#endif
