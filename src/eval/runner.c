#include "eval/runner.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/status.h"
#include "base/threads.h"
#include "eval/adapter.h"
#include "eval/instance.h"
#include "eval/metrics/evaluate.h"
#include "eval/metrics/form.h"
#include "eval/outputs.h"
#include "eval/perturbations/perturb.h"
#include "eval/perturbations/tables.h"
#include "eval/run_spec.h"
#include "eval/sampling.h"
#include "eval/scenario.h"
#include "infer/responder.h"

enum { FIRST_WAIT_S = 10 };

// One run under way.
struct run {
    const struct od_eval_config *config;
    const struct od_run_spec *spec;
    struct od_instances instances;
    size_t *eval;  // positions of the evaluated instances
    size_t eval_count;
    struct od_instance *asked;  // these with their variants, in request order
    size_t asked_count;
    const struct od_instance **examples;  // of all trials, trial by trial
    size_t example_count;                 // per trial
    int64_t window;                       // tokens of prompt and answer
    struct od_request_states states;
    struct od_pool *pool;
};

// Work on one request.
typedef enum od_status (*step_fn)(struct run *run, struct od_request_state *state,
                                  struct od_error *err);

// A pass over all requests: threads take the next one until none is left or one has failed.
struct pass {
    struct run *run;
    step_fn step;
    atomic_size_t next;
    atomic_bool failed;
    bool show_progress;
    pthread_mutex_t lock;  // for all below
    size_t done;
    struct od_progress progress;
    enum od_status status;
    size_t failed_at;
    struct od_error error;
};

static void note_failure(struct pass *pass, size_t at, enum od_status status,
                         const struct od_error *error)
{
    atomic_store(&pass->failed, true);
    (void)pthread_mutex_lock(&pass->lock);
    if (pass->status == OD_OK || at < pass->failed_at) {
        pass->status = status;
        pass->failed_at = at;
        pass->error = *error;
    }
    (void)pthread_mutex_unlock(&pass->lock);
}

static void work(void *context, int64_t first, int64_t last, int thread)
{
    struct pass *pass = context;
    struct od_error error = {0};
    (void)first;
    (void)last;
    (void)thread;
    while (!atomic_load(&pass->failed)) {
        const size_t at = atomic_fetch_add(&pass->next, 1);
        if (at >= pass->run->states.count) {
            break;
        }
        struct od_request_state *state = &pass->run->states.items[at];
        const enum od_status status = pass->step(pass->run, state, &error);
        if (status != OD_OK) {
            od_error_prefix(&error, "instance '%s'", state->instance->id);
            note_failure(pass, at, status, &error);
            break;
        }
        (void)pthread_mutex_lock(&pass->lock);
        pass->done++;
        if (pass->show_progress) {
            od_progress_show(&pass->progress, (int64_t)pass->done, "");
        }
        (void)pthread_mutex_unlock(&pass->lock);
    }
}

// `what` names the bar; NULL: no bar.
static enum od_status over_requests(struct run *run, const char *what, step_fn step,
                                    struct od_error *err)
{
    struct pass pass = {.run = run, .step = step};
    (void)pthread_mutex_init(&pass.lock, NULL);
    pass.show_progress = what && run->config->show_progress;
    if (pass.show_progress) {
        od_progress_start(&pass.progress, what, (int64_t)run->states.count);
    }
    od_pool_run(run->pool, od_pool_threads(run->pool), 1, work, &pass);
    if (pass.show_progress) {
        od_progress_end(&pass.progress, (int64_t)pass.done, "");
    }
    (void)pthread_mutex_destroy(&pass.lock);
    if (pass.status != OD_OK && err) {
        *err = pass.error;
    }
    return pass.status;
}

// HELM's window, or the model's context where that is known and shorter.
static int64_t window_of(const struct od_eval_config *config)
{
    const int64_t context = config->responder->context_length;
    return context > 0 && context < config->window_tokens ? context : config->window_tokens;
}

static enum od_status step_adapt(struct run *run, struct od_request_state *state,
                                 struct od_error *err)
{
    return od_prompt_fit(&run->spec->adapter, run->config->responder, window_of(run->config),
                         run->examples + (size_t)state->trial * run->example_count,
                         run->example_count, state, err);
}

bool od_eval_is_worth_retrying(enum od_status status)
{
    switch (status) {
    case OD_OK:
    case OD_E_ARGUMENT:
    case OD_E_UNSUPPORTED:
    case OD_E_LIMIT:
    case OD_E_MEMORY:
    case OD_E_REFUSED:
    case OD_E_CANCELLED: return false;
    case OD_E_NOT_FOUND:
    case OD_E_FORMAT:
    case OD_E_IO: return true;
    }
    return false;
}

static void pause_for(const struct od_eval_config *config, double seconds)
{
    struct timespec rest = {.tv_sec = (time_t)seconds};
    if (config->wait) {
        config->wait(config->wait_context, seconds);
        return;
    }
    while (nanosleep(&rest, &rest) != 0) {
        // a signal came: sleep what is left
    }
}

static enum od_status step_process(struct run *run, struct od_request_state *state,
                                   struct od_error *err)
{
    const struct od_responder *responder = run->config->responder;
    const struct od_process_request request = od_request_of(&run->spec->adapter, state);
    double wait_s = FIRST_WAIT_S;

    for (int attempt = 1;; attempt++) {
        const enum od_status status =
            responder->process(responder->context, &request, &state->result, err);
        if (status == OD_OK) {
            return OD_OK;
        }
        if (!od_eval_is_worth_retrying(status)) {
            return status;
        }
        if (attempt == OD_EVAL_ATTEMPTS) {
            od_error_prefix(err, "%d attempts failed", OD_EVAL_ATTEMPTS);
            return status;
        }
        if (err) {
            od_log(OD_LOG_WARNING, "attempt %d of %d failed, again in %.0f s: %s", attempt,
                   OD_EVAL_ATTEMPTS, wait_s, err->message);
        }
        od_process_result_release(&state->result);
        pause_for(run->config, wait_s);
        wait_s *= 2;
    }
}

static enum od_status step_count(struct run *run, struct od_request_state *state,
                                 struct od_error *err)
{
    return od_token_count(run->config->responder, state->prompt, state->prompt_size,
                          &state->num_prompt_tokens, err);
}

static enum od_status sample_trial(struct run *run, int64_t trial, struct od_error *err)
{
    size_t *chosen = NULL;
    size_t count = 0;
    const enum od_status status = od_sample_examples(
        &run->instances, run->spec->adapter.max_train_instances, trial, &chosen, &count, err);
    if (status != OD_OK) {
        return status;
    }
    if (!run->examples) {
        size_t total = 0;
        if (od_size_mul(count, (size_t)run->spec->adapter.num_train_trials, &total)) {
            run->examples = od_alloc(total, sizeof *run->examples);
        }
        run->example_count = count;
    }
    for (size_t i = 0; run->examples && i < count; i++) {
        run->examples[(size_t)trial * count + i] = &run->instances.items[chosen[i]];
    }
    od_free(chosen);
    return run->examples ? OD_OK : od_fail(err, OD_E_MEMORY, "no memory for examples");
}

static enum od_status set_window(struct run *run, struct od_error *err)
{
    const int64_t context = run->config->responder->context_length;
    const int64_t answer = run->spec->adapter.max_tokens;
    run->window = run->config->window_tokens;
    if (context > 0 && context < run->window) {
        run->window = context;
        od_log(OD_LOG_INFO, "prompts are fitted to the model's context of %lld tokens",
               (long long)context);
    }
    if (run->window <= answer) {
        return od_fail(err, OD_E_UNSUPPORTED,
                       "a window of %lld tokens has no room for a prompt beside an answer of %lld",
                       (long long)run->window, (long long)answer);
    }
    return OD_OK;
}

// The evaluated instances, with the variants that the run spec asks for.
static enum od_status add_variants(struct run *run, struct od_error *err)
{
    const struct od_augmentation *augmentation = run->spec->augmentation;
    struct od_perturbation_tables tables;
    enum od_status status = OD_OK;

    od_perturbation_tables_init(&tables);
    if (augmentation) {
        status = od_perturbation_tables_read(&tables, run->config->data, err);
    }
    if (status == OD_OK) {
        status = od_augment(&tables, augmentation ? augmentation->kinds : 0,
                            run->spec->scenario->keeps_unchanged, &run->instances, run->eval,
                            run->eval_count, &run->asked, &run->asked_count, err);
    }
    od_perturbation_tables_release(&tables);
    return status;
}

// Read the data and lay out the requests.
static enum od_status prepare(struct run *run, struct od_error *err)
{
    const struct od_adapter_spec *adapter = &run->spec->adapter;
    size_t total = 0;
    enum od_status status =
        run->spec->scenario->load(run->spec, run->config->data, &run->instances, err);

    if (status == OD_OK) {
        status = od_sample_eval(&run->instances, adapter->has_max_eval_instances,
                                adapter->max_eval_instances, &run->eval, &run->eval_count, err);
    }
    for (int64_t trial = 0; trial < adapter->num_train_trials && status == OD_OK; trial++) {
        status = sample_trial(run, trial, err);
    }
    if (status == OD_OK) {
        status = add_variants(run, err);
    }
    if (status != OD_OK) {
        return status;
    }
    if (!od_size_mul(run->asked_count, (size_t)adapter->num_train_trials, &total) ||
        total > OD_INSTANCES_MAX) {
        return od_fail(err, OD_E_LIMIT, "more than %d requests in a run", OD_INSTANCES_MAX);
    }
    run->states.items = od_alloc(total, sizeof *run->states.items);
    if (!run->states.items) {
        return od_fail(err, OD_E_MEMORY, "no memory for %zu requests", total);
    }
    run->states.count = total;
    for (size_t i = 0; i < total && run->eval_count > 0; i++) {
        struct od_request_state *state = &run->states.items[i];
        state->instance = &run->asked[i % run->asked_count];
        state->trial = (int64_t)(i / run->asked_count);
        od_process_result_init(&state->result);
    }
    return OD_OK;
}

// What the answers look like, beside HELM's files; told when most of them cannot be scored. When a
// folder is emptied, names go in their order: one of HELM's files goes first, so that no folder that is
// left half-way is taken for complete.
static enum od_status write_forms(const struct run *run, const char *folder, struct od_error *err)
{
    char path[OD_PATH_MAX_BYTES];
    struct od_forms forms = {0};
    struct od_buf buf;
    od_forms_count(run->spec, &run->states, &forms);
    if (2 * forms.counts[OD_FORM_READABLE] < forms.answers) {
        od_log(OD_LOG_WARNING,
               "run '%s': %lld of %lld answers have not the form that is scored; see "
               "replies_oneday.json",
               run->spec->name, (long long)(forms.answers - forms.counts[OD_FORM_READABLE]),
               (long long)forms.answers);
    }
    od_buf_init(&buf, OD_OUTPUT_MAX_BYTES);
    od_forms_write(run->spec, &forms, &buf);
    enum od_status status = od_buf_check(&buf, err);
    if (status == OD_OK) {
        status = od_path_join(path, folder, "replies_oneday.json", err);
    }
    if (status == OD_OK) {
        status = od_file_write(path, buf.bytes, buf.size, err);
    }
    od_buf_release(&buf);
    return status;
}

static enum od_status evaluate(struct run *run, const char *folder, struct od_error *err)
{
    struct od_metrics_result metrics;
    od_metrics_result_init(&metrics);
    enum od_status status = od_metrics_evaluate(run->spec, &run->states, &metrics, err);
    if (status == OD_OK) {
        status = write_forms(run, folder, err);
    }
    if (status == OD_OK) {
        status = od_outputs_write(folder, run->spec, &run->states, &metrics, err);
    }
    od_metrics_result_release(&metrics);
    return status;
}

enum od_status od_eval_suite_folder(const struct od_eval_config *config, char *out,
                                    struct od_error *err)
{
    const int written =
        snprintf(out, OD_PATH_MAX_BYTES, "%s/runs/%s", config->output, config->suite);
    if (written < 0 || written >= OD_PATH_MAX_BYTES) {
        return od_fail(err, OD_E_LIMIT, "the path of suite '%s' is too long", config->suite);
    }
    return OD_OK;
}

// The run's folder, without files of an earlier run, so that it is complete only at the end.
static enum od_status open_folder(const struct od_eval_config *config, const char *name, char *out,
                                  struct od_error *err)
{
    char suite[OD_PATH_MAX_BYTES];
    enum od_status status = od_eval_suite_folder(config, suite, err);
    if (status == OD_OK) {
        status = od_path_join(out, suite, name, err);
    }
    if (status == OD_OK && !(config->skip_completed_runs && od_outputs_complete(out))) {
        status = od_dir_remove(out, err);
        if (status == OD_OK) {
            status = od_dir_make(out, err);
        }
    }
    return status;
}

enum od_status od_eval_run(const struct od_eval_config *config, const struct od_run_spec *spec,
                           struct od_run_outcome *ret, struct od_error *err)
{
    char folder[OD_PATH_MAX_BYTES];
    struct run run = {.config = config, .spec = spec};
    const double start_s = od_clock_s();
    enum od_status status = open_folder(config, spec->name, folder, err);

    od_instances_init(&run.instances);
    if (status != OD_OK) {
        goto done;
    }
    if (config->skip_completed_runs && od_outputs_complete(folder)) {
        *ret = (struct od_run_outcome){.skipped = true};
        goto done;
    }
    status = od_pool_create(config->threads, &run.pool, err);
    if (status == OD_OK) {
        status = set_window(&run, err);
    }
    if (status == OD_OK) {
        status = prepare(&run, err);
    }
    if (status == OD_OK) {
        status = over_requests(&run, NULL, step_adapt, err);
    }
    if (status == OD_OK) {
        status = over_requests(&run, "requests", step_process, err);
    }
    if (status == OD_OK) {
        status = over_requests(&run, NULL, step_count, err);
    }
    if (status == OD_OK) {
        status = evaluate(&run, folder, err);
    }
    if (status == OD_OK) {
        *ret = (struct od_run_outcome){.requests = (int64_t)run.states.count,
                                       .seconds = od_clock_s() - start_s};
    }

done:
    if (status != OD_OK) {
        od_error_prefix(err, "run '%s'", spec->name);
    }
    od_request_states_release(&run.states);
    od_pool_free(run.pool);
    od_free(run.examples);
    od_free(run.asked);
    od_free(run.eval);
    od_instances_release(&run.instances);
    return status;
}
