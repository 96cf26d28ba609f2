/**
 * @file
 * Runs run specs: reads the data, asks the responder, computes the statistics, writes the files.
 *
 * Several threads work at several runs at the same time: a thread takes the next request of the
 * first run that has one and opens another run when none has, so that as many requests are under
 * way as there are threads, and reading, scoring and writing go on beside them. Requests of a run
 * are asked in the order of their prompts, the first one ahead of the others (run.h). Results are
 * stored by position, so the files do not depend on threads or order. A request is tried up to five
 * times; when it fails for good the run is lost, as in HELM, and the others go on.
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
#include "eval/answers.h"
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
    struct od_answers *answers;  ///< where answers are kept and found again; NULL: nowhere
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
 * Hears of the end of a run, in the order in which they end: which, what became of it, and why when
 * `status` is not OD_OK. Called by one thread at a time.
 */
typedef void (*od_run_done_fn)(void *context, size_t place, const struct od_run_outcome *outcome,
                               enum od_status status, const struct od_error *error);

/**
 * Do `count` runs and write their files. Two of the same name are done one after the other.
 * @error OD_E_CANCELLED when a responder says so, OD_E_MEMORY; a run that fails is heard of only.
 */
enum od_status od_eval_runs(const struct od_eval_config *config,
                            const struct od_run_spec *const *specs, size_t count,
                            od_run_done_fn on_done, void *context,
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
