// `oneday eval`: HELM run specs against a model, a run or a server.

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/status.h"
#include "base/threads.h"
#include "cli/options.h"
#include "cli/sizes.h"
#include "eval/adapter.h"
#include "eval/evaluation.h"
#include "eval/http_responder.h"
#include "eval/runner.h"
#include "eval/summarize.h"
#include "formats/json.h"
#include "infer/engine.h"
#include "infer/responder.h"
#include "net/ca_bundle.h"

enum { DESCRIPTIONS_MAX = 64, SHOWN_REASONS_MAX = 10 };

/** What the command line asks for. */
struct request {
    const char *target;
    const char *adapter;
    const char *conf;
    const char *suite;
    const char *data;
    const char *output;
    const char *run_specs;
    int64_t max_eval_instances;
    int64_t instances;
    const char *vram;
    int64_t num_train_trials;
    int64_t num_threads;
    int64_t priority;
    int64_t window_tokens;
    bool skip_completed_runs;
    bool no_augmentation;
    bool strict;
};

/** A responder and what must be closed after it. */
struct opened {
    const struct od_responder *responder;
    struct od_http_responder *http;
    struct od_engine *engine;
};

static bool is_url(const char *target)
{
    return strncasecmp(target, "http://", 7) == 0 || strncasecmp(target, "https://", 8) == 0;
}

static enum od_status open_server(const char *url, struct opened *ret, struct od_error *err)
{
    char ca_bundle[OD_PATH_MAX_BYTES];
    struct od_http_options options = OD_HTTP_OPTIONS_INIT;
    if (od_ca_bundle_find(getenv("SSL_CERT_FILE"), "/", ca_bundle)) {
        options.ca_bundle = ca_bundle;
    }
    const enum od_status status = od_http_responder_open(url, &options, &ret->http, err);
    if (status == OD_OK) {
        (void)od_http_responder_learn_context(ret->http);
        ret->responder = od_http_responder_interface(ret->http);
    }
    return status;
}

/** The one place that decides who answers: a server behind a URL, or the engine in this process. */
static enum od_status open_responder(const struct od_cli *cli, const struct request *request,
                                     struct opened *ret, struct od_error *err)
{
    if (is_url(request->target)) {
        return open_server(request->target, ret, err);
    }
    struct od_engine_options options = {.slots = request->num_threads < OD_ENGINE_SLOTS_MAX
                                                     ? request->num_threads
                                                     : OD_ENGINE_SLOTS_MAX,
                                        .adapter = request->adapter};
    enum od_status status = od_cli_engine(cli, request->vram, &options, err);
    if (status == OD_OK) {
        status = od_engine_open(request->target, &options, &ret->engine, err);
    }
    if (status == OD_OK) {
        ret->responder = od_engine_responder(ret->engine);
    }
    return status;
}

static void close_responder(struct opened *opened)
{
    od_http_responder_close(opened->http);
    od_engine_close(opened->engine);
}

/** Where results go: below a run directory when that is evaluated. */
static enum od_status choose_output(const struct request *request, char out[OD_PATH_MAX_BYTES],
                                    struct od_error *err)
{
    char recipe[OD_PATH_MAX_BYTES];
    if (request->output) {
        (void)snprintf(out, OD_PATH_MAX_BYTES, "%s", request->output);
        return OD_OK;
    }
    if (!is_url(request->target)) {
        const enum od_status status = od_path_join(recipe, request->target, "recipe.yaml", err);
        if (status != OD_OK) {
            return status;
        }
        if (od_path_exists(recipe)) {
            return od_path_join(out, request->target, "eval", err);
        }
    }
    (void)snprintf(out, OD_PATH_MAX_BYTES, "%s", "benchmark_output");
    return OD_OK;
}

/** Cut `text` at blanks and semicolons. @memory Items point into `text`. */
static size_t split_descriptions(char *text, const char **items)
{
    static const char between[] = " ;\t\n";
    size_t count = 0;
    char *at = text + strspn(text, between);
    while (*at != '\0' && count < DESCRIPTIONS_MAX) {
        const size_t size = strcspn(at, between);
        char *next = at + size + strspn(at + size, between);
        items[count++] = at;
        at[size] = '\0';
        at = next;
    }
    return count;
}

static enum od_status check_request(const struct request *request, struct od_error *err)
{
    if (!request->target) {
        return od_fail(err, OD_E_ARGUMENT,
                       "what is to be evaluated? name a model, a run or a URL, or set "
                       "HELM_HTTP_MODEL_BASE_URL");
    }
    if (!request->conf && !request->run_specs) {
        return od_fail(err, OD_E_ARGUMENT, "give --conf FILE or --run-spec DESCRIPTION");
    }
    if (!request->suite) {
        return od_fail(err, OD_E_ARGUMENT, "give --suite NAME, the folder for the results");
    }
    if (request->num_threads < 1 || request->num_threads > OD_THREADS_MAX) {
        return od_fail(err, OD_E_ARGUMENT, "--num-threads must be between 1 and %d",
                       OD_THREADS_MAX);
    }
    if (request->instances >= 0 && request->max_eval_instances >= 0) {
        return od_fail(err, OD_E_ARGUMENT,
                       "--instances shares out items over all entries and --max-eval-instances is "
                       "for each of them: give one of the two");
    }
    if (request->max_eval_instances < -1 || request->instances < -1 ||
        request->num_train_trials < 0 || request->window_tokens < 1) {
        return od_fail(err, OD_E_ARGUMENT,
                       "--max-eval-instances, --instances, --num-train-trials and "
                       "--window-tokens cannot be negative");
    }
    return OD_OK;
}

static enum od_status print_table(const struct od_evaluation_report *report, struct od_error *err)
{
    struct od_table table;
    od_table_init(&table, 6);
    od_table_cell(&table, "metric");
    od_table_cell(&table, "value");
    od_table_cell(&table, "95 %% interval");
    od_table_cell(&table, "bootstrap");
    od_table_cell(&table, "items");
    od_table_cell(&table, "runs");
    for (size_t i = 0; i < report->summary.count; i++) {
        const struct od_score_line *line = &report->summary.lines[i];
        od_table_cell(&table, "%s", line->metric);
        if (line->is_defined) {
            od_table_cell(&table, "%.4f", line->value);
        } else {
            od_table_cell(&table, "undefined");
        }
        if (line->has_interval) {
            od_table_cell(&table, "%.4f - %.4f", line->low, line->high);
        } else {
            od_table_cell(&table, "-");
        }
        if (line->bootstrap.is_defined) {
            od_table_cell(&table, "%.4f - %.4f", line->bootstrap.low, line->bootstrap.high);
        } else {
            od_table_cell(&table, "-");
        }
        od_table_cell(&table, "%lld", (long long)line->items);
        od_table_cell(&table, "%lld", (long long)line->runs);
    }
    const enum od_status status = od_table_print(&table, stdout, err);
    od_table_release(&table);
    return status;
}

static void print_missing(const char *what, const struct od_missing_run *items, size_t count)
{
    for (size_t i = 0; i < count && i < SHOWN_REASONS_MAX; i++) {
        (void)printf("%s: %s\n", what, items[i].reason);
    }
    if (count > SHOWN_REASONS_MAX) {
        (void)printf("... and %zu more (%s)\n", count - SHOWN_REASONS_MAX, what);
    }
}

static enum od_status print_text(const struct od_evaluation_report *report, const char *suite,
                                 struct od_error *err)
{
    const enum od_status status = report->summary.count > 0 ? print_table(report, err) : OD_OK;
    for (size_t i = 0; i < report->summary.count; i++) {
        const struct od_score_line *line = &report->summary.lines[i];
        if (!line->is_defined) {
            (void)printf("%s is undefined: %s\n", line->metric, line->reason);
        }
    }
    print_missing("not run", report->missing.not_run, report->missing.not_run_count);
    print_missing("failed", report->missing.failed, report->missing.failed_count);
    (void)printf(
        "%zu runs made, %zu complete before, %zu failed, %zu entries not run; results in "
        "%s\n",
        report->done, report->skipped, report->missing.failed_count, report->missing.not_run_count,
        suite);
    return status;
}

/** The summary file with the counts of this call in front. */
static enum od_status print_json(const struct od_evaluation_report *report, const char *suite,
                                 struct od_error *err)
{
    struct od_json_writer w;
    struct od_buf buf;
    char path[OD_PATH_MAX_BYTES];
    json_t *summary = NULL;
    const char *key = NULL;
    json_t *value = NULL;
    enum od_status status = od_path_join(path, suite, "summary_oneday.json", err);

    if (status == OD_OK) {
        status = od_json_read(path, &summary, err);
    }
    if (status != OD_OK) {
        return status;
    }
    od_buf_init(&buf, OD_JSON_FILE_MAX_BYTES);
    od_json_writer_init(&w, &buf, OD_JSON_INDENT_2, false);
    od_json_object_begin(&w);
    od_json_member_text(&w, "suite", suite);
    od_json_member_int(&w, "runs_made", (int64_t)report->done);
    od_json_member_int(&w, "runs_complete_before", (int64_t)report->skipped);
    json_object_foreach(summary, key, value)
    {
        od_json_key(&w, key);
        od_json_put_value(&w, value);
    }
    od_json_object_end(&w);
    status = od_buf_check(&buf, err);
    if (status == OD_OK) {
        (void)puts(od_buf_text(&buf));
    }
    od_buf_release(&buf);
    json_decref(summary);
    return status;
}

static enum od_status evaluate(const struct od_cli *cli, const struct request *request,
                               const char *output, struct od_evaluation_report *report,
                               char suite[OD_PATH_MAX_BYTES], struct od_error *err)
{
    const char *descriptions[DESCRIPTIONS_MAX];
    char *text = od_strdup(request->run_specs ? request->run_specs : "");
    struct opened opened = {0};
    enum od_status status = OD_OK;
    struct od_evaluation evaluation = {
        .conf = request->conf,
        .descriptions = descriptions,
        .has_priority = request->priority >= 0,
        .priority = request->priority,
        .has_instances = request->instances >= 0,
        .instances = request->instances,
        .options = {.has_max_eval_instances = request->max_eval_instances >= 0,
                    .max_eval_instances = request->max_eval_instances,
                    .num_train_trials = request->num_train_trials,
                    .no_augmentation = request->no_augmentation},
        .strict = request->strict};
    struct od_eval_config config = OD_EVAL_CONFIG_INIT;

    if (!text) {
        return od_fail(err, OD_E_MEMORY, "no memory for the run descriptions");
    }
    evaluation.description_count = split_descriptions(text, descriptions);
    config.data = request->data;
    config.output = output;
    config.suite = request->suite;
    config.threads = (int)request->num_threads;
    config.skip_completed_runs = request->skip_completed_runs;
    config.window_tokens = request->window_tokens;
    config.show_progress = !cli->quiet;
    status = od_suite_name_check(request->suite, err);
    if (status == OD_OK) {
        status = open_responder(cli, request, &opened, err);
    }
    if (status == OD_OK) {
        config.responder = opened.responder;
        status = od_evaluate(&config, &evaluation, report, err);
    }
    if (status == OD_OK) {
        status = od_eval_suite_folder(&config, suite, err);
    }
    close_responder(&opened);
    od_free(text);
    return status;
}

static const char details[] =
    "Runs HELM run specs (MMLU as 'mmlu', GSM8K as 'gsm', TruthfulQA as 'truthful_qa', BBQ as 'bbq',\n"
    "BIG-bench as 'big_bench') against a model and writes HELM's files to OUTPUT/runs/SUITE: five\n"
    "files a run, groups/core_scenarios.json and groups/targeted_evaluations.json, and\n"
    "summary_oneday.json, in which every score has its number of items and two 95 % intervals\n"
    "(Wilson's, and a bootstrap over the items), or says why it is undefined, and in which the forms\n"
    "of the answers are counted.\n"
    "\n"
    "The target is a server's URL (the challenge's /process, /tokenize, /decode), a model or a\n"
    "run; without one HELM_HTTP_MODEL_BASE_URL is taken.\n"
    "\n"
    "Entries that this version cannot run are counted and listed; --strict makes them an error.\n"
    "data_augmentation=canonical (or robustness, fairness) asks every question in variants, too:\n"
    "misspelt, in a dialect, with other pronouns and names. It needs HELM's three tables in the\n"
    "folder helm in --data or beside it. --no-augmentation drops it: then robustness and fairness\n"
    "are undefined.\n"
    "\n"
    "--instances N shares N items out as the challenge's conf files do: evenly over tasks, then\n"
    "over the entries of a task, in place of the numbers of the entries.\n"
    "\n"
    "    oneday eval http://localhost:8080 --conf open.conf --suite v1 --instances 600\n"
    "    oneday eval http://localhost:8080 --suite v1 --run-spec mmlu:subject=anatomy";

int od_cmd_eval(struct od_cli *cli, int argc, char **argv)
{
    struct request request = {.data = getenv("ONEDAY_DATA"),
                              .max_eval_instances = -1,
                              .instances = -1,
                              .num_threads = OD_EVAL_THREADS_DEFAULT,
                              .priority = -1,
                              .window_tokens = OD_WINDOW_TOKENS};
    struct od_option options[] = {
        OD_OPTION_TEXT_OF('c', "conf", "FILE", &request.conf, "entries to run, as HELM's conf",
                          NULL),
        OD_OPTION_TEXT_OF('r', "run-spec", "D", &request.run_specs,
                          "run descriptions, several divided by blanks", NULL),
        OD_OPTION_TEXT_OF(0, "suite", "NAME", &request.suite, "folder of the results", NULL),
        OD_OPTION_TEXT_OF(0, "adapter", "DIR", &request.adapter,
                          "adapter to put on a model in this process", NULL),
        OD_OPTION_TEXT_OF(0, "vram", "SIZE", &request.vram,
                          "what a model in this process may take of a card, such as 24GB",
                          "what is free"),
        OD_OPTION_TEXT_OF(0, "data", "DIR", &request.data,
                          "folder with mmlu/, gsm8k/, truthfulqa/, bbq/, bigbench/",
                          "$ONEDAY_DATA, else ./data"),
        OD_OPTION_TEXT_OF('o', "output", "DIR", &request.output, "folder for runs/SUITE",
                          "RUN/eval, else benchmark_output"),
        OD_OPTION_INT_OF('m', "max-eval-instances", "N", &request.max_eval_instances,
                         "items a run, unless its description says it", "all"),
        OD_OPTION_INT_OF(0, "instances", "N", &request.instances,
                         "items of all entries together, shared out evenly", NULL),
        OD_OPTION_INT_OF('t', "num-train-trials", "N", &request.num_train_trials,
                         "samplings of in-context examples", "1"),
        OD_OPTION_INT_OF('n', "num-threads", "N", &request.num_threads, "requests at the same time",
                         "4"),
        OD_OPTION_INT_OF(0, "priority", "N", &request.priority,
                         "leave out entries of larger priority", NULL),
        OD_OPTION_INT_OF(0, "window-tokens", "N", &request.window_tokens,
                         "tokens of prompt and answer together",
                         "2048, or the model's context when smaller"),
        OD_OPTION_FLAG_OF(0, "skip-completed-runs", &request.skip_completed_runs,
                          "leave runs alone whose files are complete"),
        OD_OPTION_FLAG_OF(0, "no-augmentation", &request.no_augmentation,
                          "run entries without their data augmentation"),
        OD_OPTION_FLAG_OF(0, "strict", &request.strict, "fail when an entry cannot be run"),
    };
    const struct od_command_spec spec = {.name = "eval",
                                         .arguments = "[MODEL|RUN|URL] --conf FILE --suite NAME",
                                         .summary = "evaluate a model as HELM does",
                                         .details = details,
                                         .options = options,
                                         .option_count = OD_COUNT_OF(options),
                                         .max_args = 1};
    struct od_args args = {0};
    struct od_error error = {0};
    struct od_evaluation_report report = {0};
    char output[OD_PATH_MAX_BYTES];
    char suite[OD_PATH_MAX_BYTES];
    int exit_code = 0;

    if (!od_command_parse(cli, &spec, argc, argv, &args, &exit_code)) {
        return exit_code;
    }
    request.target = args.count > 0 ? args.values[0] : getenv("HELM_HTTP_MODEL_BASE_URL");
    request.data = request.data ? request.data : "data";
    enum od_status status = check_request(&request, &error);
    if (status == OD_OK) {
        status = choose_output(&request, output, &error);
    }
    if (status == OD_OK) {
        status = evaluate(cli, &request, output, &report, suite, &error);
    }
    if (status == OD_OK) {
        status =
            cli->json ? print_json(&report, suite, &error) : print_text(&report, suite, &error);
    }
    if (status != OD_OK) {
        exit_code = od_command_fail(&spec, status, &error);
    } else if (report.missing.failed_count > 0) {
        exit_code =
            report.done + report.skipped > 0 ? 1 : od_status_exit_code(report.first_failure);
    }
    od_evaluation_report_release(&report);
    return exit_code;
}
