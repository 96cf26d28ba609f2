#include "eval/run.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/status.h"
#include "eval/adapter.h"
#include "eval/answers.h"
#include "eval/instance.h"
#include "eval/metrics/evaluate.h"
#include "eval/metrics/form.h"
#include "eval/outputs.h"
#include "eval/perturbations/perturb.h"
#include "eval/perturbations/tables.h"
#include "eval/run_spec.h"
#include "eval/runner.h"
#include "eval/sampling.h"
#include "eval/scenario.h"
#include "eval/shared.h"
#include "infer/responder.h"

enum { FIRST_WAIT_S = 10 };

// ------------------------------------------------------------------ opening

static enum od_status sample_trial(struct od_run *run, int64_t trial, struct od_error *err)
{
    size_t *chosen = NULL;
    size_t count = 0;
    const enum od_status status = od_sample_examples(
        &run->data->instances, run->spec->adapter.max_train_instances, trial, &chosen, &count, err);
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
        run->examples[(size_t)trial * count + i] = &run->data->instances.items[chosen[i]];
    }
    od_free(chosen);
    return run->examples ? OD_OK : od_fail(err, OD_E_MEMORY, "no memory for examples");
}

static enum od_status set_window(struct od_run *run, struct od_error *err)
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
static enum od_status add_variants(struct od_run *run, struct od_error *err)
{
    const struct od_augmentation *augmentation = run->spec->augmentation;
    const struct od_perturbation_tables *tables = NULL;
    enum od_status status = OD_OK;
    if (augmentation) {
        status = od_shared_tables_get(run->shared, run->config->data, &tables, err);
    }
    if (status == OD_OK) {
        (void)pthread_mutex_lock(&run->data->lock);  // texts of variants come from its arena
        status = od_augment(tables, augmentation ? augmentation->kinds : 0,
                            run->spec->scenario->keeps_unchanged, &run->data->instances, run->eval,
                            run->eval_count, &run->asked, &run->asked_count, err);
        (void)pthread_mutex_unlock(&run->data->lock);
    }
    return status;
}

// Read the data and lay out the requests.
static enum od_status prepare(struct od_run *run, struct od_error *err)
{
    const struct od_adapter_spec *adapter = &run->spec->adapter;
    size_t total = 0;
    enum od_status status =
        od_shared_data_get(run->shared, run->spec, run->config->data, &run->data, err);

    if (status == OD_OK) {
        status = od_sample_eval(&run->data->instances, adapter->has_max_eval_instances,
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

// The run's folder, without files of an earlier run, so that it is complete only at the end.
static enum od_status open_folder(struct od_run *run, bool *ret_skipped, struct od_error *err)
{
    char suite[OD_PATH_MAX_BYTES];
    enum od_status status = od_eval_suite_folder(run->config, suite, err);
    if (status == OD_OK) {
        status = od_path_join(run->folder, suite, run->spec->name, err);
    }
    *ret_skipped =
        status == OD_OK && run->config->skip_completed_runs && od_outputs_complete(run->folder);
    if (status == OD_OK && !*ret_skipped) {
        status = od_dir_remove(run->folder, err);
        if (status == OD_OK) {
            status = od_dir_make(run->folder, err);
        }
    }
    return status;
}

enum od_status od_run_open(struct od_run *run, const struct od_eval_config *config,
                           const struct od_run_spec *spec, struct od_shared *shared,
                           bool *ret_skipped, struct od_error *err)
{
    *run = (struct od_run){.config = config, .spec = spec, .shared = shared};
    enum od_status status = open_folder(run, ret_skipped, err);
    if (status == OD_OK && !*ret_skipped) {
        status = set_window(run, err);
        if (status == OD_OK) {
            status = prepare(run, err);
        }
    }
    return status;
}

void od_run_release(struct od_run *run)
{
    od_request_states_release(&run->states);
    od_free(run->order);
    od_free(run->examples);
    od_free(run->asked);
    od_free(run->eval);
    if (run->data) {
        od_shared_data_release(run->shared, run->data);
    }
    *run = (struct od_run){0};
}

// ------------------------------------------------------------------ prompts

enum od_status od_run_fit(struct od_run *run, size_t index, struct od_error *err)
{
    struct od_request_state *state = &run->states.items[index];
    return od_prompt_fit(&run->spec->adapter, run->config->responder, run->window,
                         run->examples + (size_t)state->trial * run->example_count,
                         run->example_count, state, err);
}

// A request and its place, for sorting.
struct turn {
    const struct od_request_state *state;
    size_t index;
};

static int by_prompt(const void *a, const void *b)
{
    const struct turn *one = a;
    const struct turn *two = b;
    const size_t size = one->state->prompt_size < two->state->prompt_size ? one->state->prompt_size
                                                                          : two->state->prompt_size;
    const int order = memcmp(one->state->prompt, two->state->prompt, size);
    if (order != 0) {
        return order;
    }
    if (one->state->prompt_size != two->state->prompt_size) {
        return one->state->prompt_size < two->state->prompt_size ? -1 : 1;
    }
    return one->index < two->index ? -1 : one->index > two->index;
}

enum od_status od_run_order(struct od_run *run, struct od_error *err)
{
    const size_t count = run->states.count;
    struct turn *turns = od_alloc(count, sizeof *turns);
    run->order = od_alloc(count, sizeof *run->order);
    if (!turns || !run->order) {
        od_free(turns);
        return od_fail(err, OD_E_MEMORY, "no memory for %zu requests", count);
    }
    for (size_t i = 0; i < count; i++) {
        turns[i] = (struct turn){&run->states.items[i], i};
    }
    if (count > 1) {
        qsort(turns, count, sizeof *turns, by_prompt);
    }
    for (size_t i = 0; i < count; i++) {
        run->order[i] = turns[i].index;
    }
    od_free(turns);
    return OD_OK;
}

// ------------------------------------------------------------------ asking

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

// A kept answer, or the responder's.
static enum od_status answer(struct od_run *run, size_t index,
                             const struct od_process_request *request, struct od_error *err)
{
    const struct od_eval_config *config = run->config;
    const struct od_answer_place place = {run->spec->name, index};
    struct od_request_state *state = &run->states.items[index];
    double wait_s = FIRST_WAIT_S;
    bool found = false;

    for (int attempt = 1;; attempt++) {
        enum od_status status = OD_OK;
        if (config->answers) {
            status = od_answers_find(config->answers, config->responder, &place, request,
                                     &state->result, &found, err);
        }
        if (status == OD_OK && !found) {
            status = config->responder->process(config->responder->context, request, &state->result,
                                                err);
        }
        if (status == OD_OK) {
            return found || !config->answers
                       ? OD_OK
                       : od_answers_keep(config->answers, &place, request, &state->result, err);
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
        od_process_result_init(&state->result);
        pause_for(config, wait_s);
        wait_s *= 2;
    }
}

enum od_status od_run_ask(struct od_run *run, size_t turn, struct od_error *err)
{
    const size_t index = run->order[turn];
    struct od_request_state *state = &run->states.items[index];
    const struct od_process_request request = od_request_of(&run->spec->adapter, state);
    enum od_status status = answer(run, index, &request, err);
    if (status == OD_OK && state->num_prompt_tokens == 0) {
        status = od_token_count(run->config->responder, state->prompt, state->prompt_size,
                                &state->num_prompt_tokens, err);
    }
    return status;
}

// ------------------------------------------------------------------ files

// What the answers look like, beside HELM's files; told when most of them cannot be scored. When a
// folder is emptied, names go in their order: one of HELM's files goes first, so that no folder that is
// left half-way is taken for complete.
static enum od_status write_forms(const struct od_run *run, const char *folder,
                                  struct od_error *err)
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

enum od_status od_run_finish(struct od_run *run, struct od_error *err)
{
    struct od_metrics_result metrics;
    od_metrics_result_init(&metrics);
    enum od_status status = od_metrics_evaluate(run->spec, &run->states, &metrics, err);
    if (status == OD_OK) {
        status = write_forms(run, run->folder, err);
    }
    if (status == OD_OK) {
        status = od_outputs_write(run->folder, run->spec, &run->states, &metrics, err);
    }
    od_metrics_result_release(&metrics);
    return status;
}
