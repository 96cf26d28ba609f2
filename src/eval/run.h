/**
 * @file
 * One run under way: its data, its requests and their answers, step by step. The runner says when.
 *
 *     open -> fit each request -> order -> ask each request -> finish
 *
 * Requests keep their positions, which are HELM's, so the files do not depend on the order in which
 * they are asked: by their prompts, so that those with the same examples in front follow each other
 * and a server's cache of prefixes is of use.
 *
 * @source HELM 2023-11: runner, executor.
 * @thread One owner, except od_run_fit and od_run_ask: distinct requests from distinct threads.
 */
#ifndef OD_EVAL_RUN_H
#define OD_EVAL_RUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/file.h"
#include "base/status.h"
#include "eval/adapter.h"
#include "eval/instance.h"
#include "eval/run_spec.h"
#include "eval/runner.h"
#include "eval/shared.h"

/** A run. Initialise with `{0}`; the members are private to run.c but for `states`. */
struct od_run {
    const struct od_eval_config *config;
    const struct od_run_spec *spec;
    char folder[OD_PATH_MAX_BYTES];
    struct od_shared *shared;
    struct od_shared_data *data;  ///< its instances
    size_t *eval;                 ///< positions of the evaluated instances
    size_t eval_count;
    struct od_instance *asked;  ///< these with their variants, in request order
    size_t asked_count;
    const struct od_instance **examples;  ///< of all trials, trial by trial
    size_t example_count;                 ///< per trial
    int64_t window;                       ///< tokens of prompt and answer
    struct od_request_states states;
    size_t *order;  ///< [states.count] positions in the order of asking
};

/**
 * Empty the run's folder, read the data, lay out the requests. With skip_completed_runs a complete
 * folder stays as it is: *ret_skipped, and there is nothing more to do.
 * @memory Keeps `config`, `spec` and `shared`. Free with od_run_release, after a failure, too.
 */
enum od_status od_run_open(struct od_run *run, const struct od_eval_config *config,
                           const struct od_run_spec *spec, struct od_shared *shared,
                           bool *ret_skipped, struct od_error *err) OD_MUST_CHECK;
void od_run_release(struct od_run *run);

/** Build the prompt of request `index`. */
enum od_status od_run_fit(struct od_run *run, size_t index, struct od_error *err) OD_MUST_CHECK;
/** Lay down the order of asking, once all prompts are there. */
enum od_status od_run_order(struct od_run *run, struct od_error *err) OD_MUST_CHECK;
/** Ask the request at place `turn` of that order, up to OD_EVAL_ATTEMPTS times. */
enum od_status od_run_ask(struct od_run *run, size_t turn, struct od_error *err) OD_MUST_CHECK;
/** Compute the statistics and write the files. */
enum od_status od_run_finish(struct od_run *run, struct od_error *err) OD_MUST_CHECK;

#endif
