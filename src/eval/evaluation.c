#include "eval/evaluation.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/status.h"
#include "eval/answers.h"
#include "eval/budget.h"
#include "eval/run_spec.h"
#include "eval/runner.h"
#include "eval/summarize.h"
#include "formats/hocon.h"

enum { RUNS_MAX = 1 << 16 };
#define SPECS_MAX_BYTES ((size_t)1 << 30)

// Everything that is to be run.
struct plan {
    const struct od_run_spec **specs;
    size_t spec_count;
    struct od_missing_run *not_run;
    size_t not_run_count;
    struct od_arena *arena;
    const char *data;  // folder of the data
};

void od_evaluation_report_release(struct od_evaluation_report *report)
{
    od_summary_release(&report->summary);
    od_arena_release(&report->arena);
    *report = (struct od_evaluation_report){0};
}

enum od_status od_suite_name_check(const char *name, struct od_error *err)
{
    if (!name || name[0] == '\0' || name[0] == '.' || strchr(name, '/') ||
        strcmp(name, "latest") == 0) {
        return od_fail(err, OD_E_ARGUMENT,
                       "'%s' is no name for a suite: it names a folder, without '/', not 'latest'",
                       name ? name : "");
    }
    return OD_OK;
}

static enum od_status add_spec(struct plan *plan, const struct od_run_spec *spec,
                               struct od_error *err)
{
    if (plan->spec_count == RUNS_MAX) {
        return od_fail(err, OD_E_LIMIT, "more than %d runs", RUNS_MAX);
    }
    plan->specs[plan->spec_count++] = spec;
    return OD_OK;
}

static enum od_status add_missing(struct plan *plan, const char *what, const struct od_error *why,
                                  struct od_error *err)
{
    struct od_missing_run *missing = &plan->not_run[plan->not_run_count];
    missing->what = od_arena_strdup(plan->arena, what);
    missing->reason = od_arena_strdup(plan->arena, why->message);
    if (!missing->what || !missing->reason) {
        return od_fail(err, OD_E_MEMORY, "no memory for a report");
    }
    plan->not_run_count++;
    return OD_OK;
}

static enum od_status add_description(struct plan *plan, const char *description,
                                      const struct od_run_options *options, struct od_error *err)
{
    struct od_run_specs specs = {0};
    struct od_run_options own = *options;
    struct od_error error = {0};
    enum od_status status = OD_OK;

    own.data = plan->data;
    if (plan->not_run_count == RUNS_MAX) {
        return od_fail(err, OD_E_LIMIT, "more than %d entries", RUNS_MAX);
    }
    status = od_run_specs_make(description, &own, plan->arena, &specs, &error);
    if (status == OD_E_UNSUPPORTED || status == OD_E_NOT_FOUND) {
        od_log(OD_LOG_WARNING, "not run: %s", error.message);
        return add_missing(plan, description, &error, err);
    }
    if (status != OD_OK) {
        if (err) {
            *err = error;
        }
        return status;
    }
    for (size_t i = 0; i < specs.count && status == OD_OK; i++) {
        if (specs.items[i].augmentation_dropped) {
            od_log(OD_LOG_WARNING,
                   "run '%s' has no data augmentation: robustness and fairness are undefined",
                   specs.items[i].name);
        }
        status = add_spec(plan, &specs.items[i], err);
    }
    return status;
}

// An entry of the conf file, or a description of the command line.
struct entry {
    const char *description;
    const struct od_hocon_entry *from;  // NULL: the command line
};

// The entries that are wanted, those of the conf file first. @memory From the plan's arena.
static enum od_status list_entries(const struct od_evaluation *evaluation,
                                   const struct od_hocon *conf, const struct plan *plan,
                                   struct entry **ret, size_t *ret_count, struct od_error *err)
{
    size_t count = 0;
    struct entry *entries =
        od_arena_alloc(plan->arena, conf->count + evaluation->description_count, sizeof *entries);
    if (!entries) {
        return od_fail(err, OD_E_MEMORY, "no memory for a list of entries");
    }
    for (size_t i = 0; i < conf->count; i++) {
        const struct od_hocon_entry *from = &conf->entries[i];
        if (!evaluation->has_priority || from->priority <= evaluation->priority) {
            entries[count++] = (struct entry){from->description, from};
        }
    }
    for (size_t i = 0; i < evaluation->description_count; i++) {
        entries[count++] = (struct entry){.description = evaluation->descriptions[i]};
    }
    *ret = entries;
    *ret_count = count;
    return OD_OK;
}

// Give every entry its part of the instances, in its description.
static enum od_status share_instances(const struct plan *plan, int64_t instances,
                                      struct entry *entries, size_t count, struct od_error *err)
{
    const char **descriptions = od_arena_alloc(plan->arena, count, sizeof *descriptions);
    int64_t *shares = od_arena_alloc(plan->arena, count, sizeof *shares);
    if (!descriptions || !shares) {
        return od_fail(err, OD_E_MEMORY, "no memory for a list of entries");
    }
    for (size_t i = 0; i < count; i++) {
        descriptions[i] = entries[i].description;
    }
    enum od_status status = od_budget_split(descriptions, count, instances, shares, err);
    for (size_t i = 0; i < count && status == OD_OK; i++) {
        status = od_budget_describe(descriptions[i], shares[i], plan->arena,
                                    &entries[i].description, err);
    }
    return status;
}

static enum od_status add_entries(struct plan *plan, const struct od_evaluation *evaluation,
                                  const struct od_hocon *conf, struct od_error *err)
{
    struct entry *entries = NULL;
    size_t count = 0;
    enum od_status status = list_entries(evaluation, conf, plan, &entries, &count, err);
    if (status == OD_OK && evaluation->has_instances) {
        status = share_instances(plan, evaluation->instances, entries, count, err);
    }
    for (size_t i = 0; i < count && status == OD_OK; i++) {
        const struct od_hocon_entry *from = entries[i].from;
        struct od_run_options options = evaluation->options;
        if (from) {
            options.groups = from->groups;
            options.group_count = from->group_count;
        }
        status = add_description(plan, entries[i].description, &options, err);
        if (status != OD_OK && from) {
            od_error_prefix(err, "%s:%zu:%zu", evaluation->conf, from->line, from->column);
        }
    }
    return status;
}

static enum od_status make_plan(const struct od_evaluation *evaluation, struct plan *plan,
                                struct od_error *err)
{
    struct od_hocon conf = {0};
    enum od_status status = OD_OK;
    plan->specs = od_arena_alloc(plan->arena, RUNS_MAX, sizeof *plan->specs);
    plan->not_run = od_arena_alloc(plan->arena, RUNS_MAX, sizeof *plan->not_run);
    if (!plan->specs || !plan->not_run) {
        return od_fail(err, OD_E_MEMORY, "no memory for a list of runs");
    }
    if (evaluation->conf) {
        status = od_hocon_read(evaluation->conf, &conf, err);
    }
    if (status == OD_OK) {
        status = add_entries(plan, evaluation, &conf, err);
    }
    od_hocon_release(&conf);
    if (status == OD_OK && evaluation->strict && plan->not_run_count > 0) {
        status = od_fail(err, OD_E_UNSUPPORTED, "%zu of the entries cannot be run, the first: %s",
                         plan->not_run_count, plan->not_run[0].reason);
    }
    if (status == OD_OK && plan->spec_count == 0) {
        status = plan->not_run_count == 0
                     ? od_fail(err, OD_E_ARGUMENT, "nothing to run: no entry and no description")
                     : od_fail(err, OD_E_UNSUPPORTED,
                               "none of the %zu entries can be run, the first: %s",
                               plan->not_run_count, plan->not_run[0].reason);
    }
    return status;
}

// What is heard of the runs, by their places in the plan.
struct results {
    struct od_evaluation_report *report;
    const char **reasons;  // [runs] why a run failed; NULL: it did not
    enum od_status *statuses;
    bool no_memory;
};

static void hear(void *context, size_t place, const struct od_run_outcome *outcome,
                 enum od_status status, const struct od_error *error)
{
    struct results *results = context;
    if (status == OD_OK) {
        results->report->done += outcome->skipped ? 0 : 1;
        results->report->skipped += outcome->skipped ? 1 : 0;
        return;
    }
    od_log(OD_LOG_ERROR, "%s", error->message);
    results->statuses[place] = status;
    results->reasons[place] = od_arena_strdup(&results->report->arena, error->message);
    results->no_memory = results->no_memory || !results->reasons[place];
}

static enum od_status run_all(const struct od_eval_config *config, const struct plan *plan,
                              struct od_evaluation_report *report, struct od_error *err)
{
    const size_t count = plan->spec_count;
    struct od_missing_run *failed = od_arena_alloc(&report->arena, count, sizeof *failed);
    struct results results = {
        .report = report,
        .reasons = od_arena_alloc(&report->arena, count, sizeof *results.reasons),
        .statuses = od_arena_alloc(&report->arena, count, sizeof *results.statuses)};
    size_t failed_count = 0;

    if (!failed || !results.reasons || !results.statuses) {
        return od_fail(err, OD_E_MEMORY, "no memory for a report");
    }
    const enum od_status status = od_eval_runs(config, plan->specs, count, hear, &results, err);
    if (status != OD_OK) {
        return status;
    }
    if (results.no_memory) {
        return od_fail(err, OD_E_MEMORY, "no memory for a report");
    }
    for (size_t i = 0; i < count; i++) {
        if (results.reasons[i]) {
            report->first_failure =
                report->first_failure == OD_OK ? results.statuses[i] : report->first_failure;
            failed[failed_count++] =
                (struct od_missing_run){plan->specs[i]->name, results.reasons[i]};
        }
    }
    report->missing.failed = failed;
    report->missing.failed_count = failed_count;
    return OD_OK;
}

// Remove files that an interrupted evaluation was writing: NAME.tmp-PROCESS. Runs empty their own folders.
static enum od_status remove_unfinished(const char *folder, struct od_error *err)
{
    char path[OD_PATH_MAX_BYTES];
    char **names = NULL;
    size_t count = 0;
    enum od_status status = OD_OK;
    if (!od_path_is_dir(folder)) {
        return OD_OK;
    }
    status = od_dir_list(folder, &names, &count, err);
    for (size_t i = 0; i < count && status == OD_OK; i++) {
        const char *end = strstr(names[i], ".json.tmp-");
        if (end && strspn(end + 10, "0123456789") == strlen(end + 10)) {
            status = od_path_join(path, folder, names[i], err);
            if (status == OD_OK && unlink(path) != 0) {
                status = od_fail(err, OD_E_IO, "cannot remove '%s': %s", path, strerror(errno));
            }
        }
    }
    od_names_free(names, count);
    return status;
}

// All runs and the suite's tables. Answers are kept in the suite's folder until every run is made.
static enum od_status run_suite(const struct od_eval_config *config, const struct plan *plan,
                                const char *suite, struct od_evaluation_report *report,
                                struct od_error *err)
{
    struct od_eval_config own = *config;
    char path[OD_PATH_MAX_BYTES];
    char groups[OD_PATH_MAX_BYTES];
    enum od_status status = OD_OK;
    if ((status = od_path_join(path, suite, OD_ANSWERS_FILE, err)) == OD_OK &&
        (status = od_path_join(groups, suite, "groups", err)) == OD_OK &&
        (status = od_answers_open(path, config->responder->model_name, &own.answers, err)) ==
            OD_OK &&
        (status = remove_unfinished(suite, err)) == OD_OK) {
        status = remove_unfinished(groups, err);
    }
    if (status == OD_OK) {
        status = run_all(&own, plan, report, err);
    }
    if (status == OD_OK) {
        status = od_suite_summarize(suite, &report->missing, &report->summary, err);
    }
    if (status == OD_OK && report->missing.failed_count == 0) {
        return od_answers_finish(own.answers, err);
    }
    if (status == OD_OK) {
        od_log(OD_LOG_WARNING, "%zu run%s failed; the same command asks what is missing",
               report->missing.failed_count, report->missing.failed_count == 1 ? "" : "s");
    }
    od_answers_close(own.answers);
    return status;
}

enum od_status od_evaluate(const struct od_eval_config *config,
                           const struct od_evaluation *evaluation, struct od_evaluation_report *ret,
                           struct od_error *err)
{
    struct od_evaluation_report report = {0};
    struct plan plan = {.arena = &report.arena, .data = config->data};
    char suite[OD_PATH_MAX_BYTES];
    enum od_status status = od_suite_name_check(config->suite, err);

    od_arena_init(&report.arena, SPECS_MAX_BYTES);
    if (status == OD_OK) {
        status = make_plan(evaluation, &plan, err);
    }
    if (status == OD_OK) {
        report.missing.not_run = plan.not_run;
        report.missing.not_run_count = plan.not_run_count;
        status = od_eval_suite_folder(config, suite, err);
    }
    if (status == OD_OK) {
        status = od_dir_make(suite, err);
    }
    if (status == OD_OK) {
        status = run_suite(config, &plan, suite, &report, err);
    }
    if (status != OD_OK) {
        od_evaluation_report_release(&report);
        return status;
    }
    *ret = report;
    return OD_OK;
}
