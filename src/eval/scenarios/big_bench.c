// BIG-bench: tasks of one file each, multiple choice or free text.
//
// File: bigbench/TASK/task.json or bigbench/TASK/SUBTASK/task.json under the data folder, an object.
// Used are:
//
//     metrics                 list; with "multiple_choice_grade" the task is multiple choice
//     keywords, description   for scenario.json
//     task_prefix             instructions, as they stand; absent: none
//     example_input_prefix    absent: "Question: "
//     example_output_prefix   absent: "Answer: "
//     stop_string             absent, null or empty: none
//     examples                list of objects: `input`, and `target_scores` {answer: number} or
//                             `target`, a text or a list of texts
//
// Of target_scores, each answer with the highest number is right; of target, all are. The examples
// are shuffled with seed 0. A fifth, at least 16, is the test split, as many behind it are valid, and
// what stands before them are in-context examples; a small task has none.
//
// Scored are, of multiple choice, exact matches; of free text what the task names: exact matches, BLEU
// (which needs tables of sentences, see metrics/sentences.h) and ROUGE.
//
// Source: HELM 2023-11, big_bench scenario and run spec; BIG-bench, docs/doc.md.
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/random.h"
#include "base/status.h"
#include "eval/helm_tables.h"
#include "eval/instance.h"
#include "eval/run_spec.h"
#include "eval/scenario.h"
#include "formats/json.h"
#include "formats/text_file.h"

enum { FILE_MAX_BYTES = 256 << 20, MAX_TOKENS = 64, TEST_ITEMS_MIN = 16, KEYWORDS_MAX = 1024 };

static enum od_status no_memory(struct od_error *err)
{
    return od_fail(err, OD_E_MEMORY, "no memory for a BIG-bench task");
}

// Gives the object and, for messages, the path of its file.
static enum od_status read_task(const char *data, const char *task, const char *subtask,
                                char path[OD_PATH_MAX_BYTES], json_t **ret, struct od_error *err)
{
    char *text = NULL;
    size_t size = 0;
    const int written = snprintf(path, OD_PATH_MAX_BYTES, "%s/bigbench/%s%s%s/task.json", data,
                                 task, subtask[0] != '\0' ? "/" : "", subtask);
    if (written < 0 || written >= OD_PATH_MAX_BYTES) {
        return od_fail(err, OD_E_LIMIT, "the path of task '%s' is too long", task);
    }
    enum od_status status = od_text_read(path, FILE_MAX_BYTES, &text, &size, err);
    if (status == OD_E_NOT_FOUND) {
        od_error_prefix(err, "BIG-bench data (--data names the folder that has bigbench/)");
    }
    if (status == OD_OK) {
        status = od_json_parse_lenient(text, size, path, ret, err);
    }
    if (status == OD_OK && !json_is_object(*ret)) {
        status = od_fail(err, OD_E_FORMAT, "'%s' is no object", path);
    }
    od_free(text);
    return status;
}

static enum od_status check_list(const json_t *task, const char *key, const char *path,
                                 const json_t **ret, struct od_error *err)
{
    const json_t *list = json_object_get(task, key);
    if (!json_is_array(list)) {
        return od_fail(err, OD_E_FORMAT, "'%s': no list '%s'", path, key);
    }
    *ret = list;
    return OD_OK;
}

// A kept copy of the text `key`, or `fallback`.
static enum od_status keep_text(const json_t *task, const char *key, const char *path,
                                const char *fallback, struct od_arena *arena, const char **ret,
                                struct od_error *err)
{
    const char *text = NULL;
    const enum od_status status = od_json_text_or(task, key, path, fallback, &text, err);
    if (status != OD_OK) {
        return status;
    }
    *ret = od_arena_strdup(arena, text);
    return *ret ? OD_OK : no_memory(err);
}

static enum od_status keep_keywords(const json_t *task, const char *path, struct od_arena *arena,
                                    struct od_run_spec *spec, struct od_error *err)
{
    const json_t *list = NULL;
    size_t i = 0;
    json_t *keyword = NULL;
    const enum od_status status = check_list(task, "keywords", path, &list, err);
    if (status != OD_OK) {
        return status;
    }
    const size_t count = json_array_size(list);
    if (count > KEYWORDS_MAX) {
        return od_fail(err, OD_E_LIMIT, "'%s': more than %d keywords", path, KEYWORDS_MAX);
    }
    const char **tags = (const char **)od_arena_alloc(arena, count + 1, sizeof *tags);
    if (!tags) {
        return no_memory(err);
    }
    json_array_foreach(list, i, keyword)
    {
        if (!json_is_string(keyword)) {
            return od_fail(err, OD_E_FORMAT, "'%s': keyword %zu is no text", path, i + 1);
        }
        tags[i] = od_arena_strdup(arena, json_string_value(keyword));
        if (!tags[i]) {
            return no_memory(err);
        }
    }
    spec->tags = tags;
    spec->tag_count = count;
    return OD_OK;
}

static enum od_status describe(const json_t *task, const char *path, const char *name,
                               const char *subtask, struct od_arena *arena,
                               struct od_run_spec *spec, struct od_error *err)
{
    struct od_buf buf;
    const char *description = NULL;
    const enum od_status status = od_json_text(task, "description", path, &description, err);
    if (status != OD_OK) {
        return status;
    }
    od_buf_init(&buf, FILE_MAX_BYTES);
    od_buf_printf(&buf, "%s Task: %s ", od_scenario_big_bench.description, name);
    if (subtask[0] != '\0') {
        od_buf_printf(&buf, "Subtask: %s ", subtask);
    }
    od_buf_printf(&buf, " Description: %s", description);
    spec->description = buf.failed ? NULL : od_arena_strdup(arena, od_buf_text(&buf));
    od_buf_release(&buf);
    return spec->description ? keep_keywords(task, path, arena, spec, err) : no_memory(err);
}

static bool names_metric(const json_t *metrics, const char *name)
{
    size_t i = 0;
    json_t *metric = NULL;
    json_array_foreach(metrics, i, metric)
    {
        if (json_is_string(metric) && strcmp(json_string_value(metric), name) == 0) {
            return true;
        }
    }
    return false;
}

// BIG-bench's words for metrics of free text, and HELM's for what they stand for. HELM has the names in
// no certain order.
enum { TEXT_METRICS = 7 };
static const char *const text_metrics[TEXT_METRICS][2] = {{"exact_str_match", "exact_match"},
                                                          {"exact_str_match", "quasi_exact_match"},
                                                          {"bleu", "bleu_1"},
                                                          {"bleu", "bleu_4"},
                                                          {"rouge", "rouge_1"},
                                                          {"rouge", "rouge_2"},
                                                          {"rouge", "rouge_l"}};

static enum od_status choose_text_metrics(const json_t *metrics, const char *path,
                                          struct od_arena *arena, struct od_run_spec *spec,
                                          struct od_error *err)
{
    const char **names = (const char **)od_arena_alloc(arena, TEXT_METRICS, sizeof *names);
    struct od_metric_spec *metric = od_arena_alloc(arena, 1, sizeof *metric);
    size_t count = 0;
    if (!names || !metric) {
        return no_memory(err);
    }
    for (size_t i = 0; i < TEXT_METRICS; i++) {
        if (names_metric(metrics, text_metrics[i][0])) {
            names[count++] = text_metrics[i][1];
        }
    }
    if (count == 0) {
        return od_fail(err, OD_E_UNSUPPORTED,
                       "'%s': none of multiple_choice_grade, exact_str_match, bleu and rouge is "
                       "among the metrics; others are left out of this version",
                       path);
    }
    *metric = (struct od_metric_spec){
        OD_METRIC_BASIC, OD_BASIC_METRIC_CLASS, {{"names", NULL, names, count}}, 1};
    spec->metrics = metric;
    return OD_OK;
}

// BLEU cuts texts into sentences by tables that are not part of the program.
static enum od_status find_sentence_tables(const json_t *metrics, const char *data,
                                           struct od_arena *arena, struct od_run_spec *spec,
                                           struct od_error *err)
{
    char path[OD_PATH_MAX_BYTES];
    struct od_error missing = {0};
    if (!names_metric(metrics, "bleu")) {
        return OD_OK;
    }
    if (od_helm_table_find(data, OD_HELM_SENTENCES, "BLEU", path, &missing) != OD_OK) {
        od_log(OD_LOG_WARNING, "run '%s': bleu_1 and bleu_4 are undefined: %s", spec->name,
               missing.message);
        return OD_OK;
    }
    spec->sentence_tables = od_arena_strdup(arena, path);
    return spec->sentence_tables ? OD_OK : no_memory(err);
}

// How answers are compared.
static enum od_status choose_metrics(const json_t *task, const char *path, const char *data,
                                     struct od_arena *arena, struct od_run_spec *spec,
                                     struct od_error *err)
{
    const json_t *metrics = NULL;
    enum od_status status = check_list(task, "metrics", path, &metrics, err);
    if (status != OD_OK) {
        return status;
    }
    spec->metric_count = 1;
    if (names_metric(metrics, "multiple_choice_grade")) {
        spec->adapter.method = OD_ADAPT_MULTIPLE_CHOICE_JOINT;
        spec->metrics = od_metrics_exact_match;
        return OD_OK;
    }
    spec->adapter.method = OD_ADAPT_GENERATION;
    status = choose_text_metrics(metrics, path, arena, spec, err);
    return status == OD_OK ? find_sentence_tables(metrics, data, arena, spec, err) : status;
}

static enum od_status keep_stop(const json_t *task, const char *path, struct od_arena *arena,
                                struct od_adapter_spec *adapter, struct od_error *err)
{
    const json_t *stop = json_object_get(task, "stop_string");
    if (!stop || json_is_null(stop) || (json_is_string(stop) && json_string_length(stop) == 0)) {
        return OD_OK;
    }
    if (!json_is_string(stop)) {
        return od_fail(err, OD_E_FORMAT, "'%s': 'stop_string' is no text", path);
    }
    const char **list = (const char **)od_arena_alloc(arena, 1, sizeof *list);
    if (!list) {
        return no_memory(err);
    }
    list[0] = od_arena_strdup(arena, json_string_value(stop));
    adapter->stop = list;
    adapter->stop_count = 1;
    return list[0] ? OD_OK : no_memory(err);
}

static enum od_status adapt(const json_t *task, const char *path, struct od_arena *arena,
                            struct od_run_spec *spec, struct od_error *err)
{
    struct od_adapter_spec *adapter = &spec->adapter;
    enum od_status status =
        od_adapter_spec_generation(adapter, arena, "Question", "Answer", MAX_TOKENS, NULL, 0, err);
    adapter->temperature_is_integer = true;
    if (status == OD_OK) {
        status = keep_text(task, "task_prefix", path, "", arena, &adapter->instructions, err);
    }
    if (status == OD_OK) {
        status = keep_text(task, "example_input_prefix", path, "Question: ", arena,
                           &adapter->input_prefix, err);
    }
    if (status == OD_OK) {
        status = keep_text(task, "example_output_prefix", path, "Answer: ", arena,
                           &adapter->output_prefix, err);
    }
    return status == OD_OK ? keep_stop(task, path, arena, adapter, err) : status;
}

static enum od_status specify(const struct od_run_description *description, const char *data,
                              struct od_arena *arena, struct od_run_spec *spec,
                              struct od_error *err)
{
    const struct od_run_arg *task = od_run_arg_find(description, "task");
    const struct od_run_arg *part = od_run_arg_find(description, "subtask");
    const char *subtask = part ? part->text : "";
    const char *folder = data ? data : ".";
    char name[OD_RUN_DESCRIPTION_MAX_BYTES + 64];
    char path[OD_PATH_MAX_BYTES];
    json_t *object = NULL;
    for (size_t i = 0; i < description->arg_count; i++) {
        if (&description->args[i] != task && &description->args[i] != part) {
            return od_fail(err, OD_E_ARGUMENT, "big_bench takes no argument '%s'",
                           description->args[i].key);
        }
    }
    if (!task || task->text[0] == '\0' || strchr(task->text, '/') || strchr(subtask, '/') ||
        task->text[0] == '.' || subtask[0] == '.') {
        return od_fail(err, OD_E_ARGUMENT,
                       "big_bench needs a task, as in big_bench:task=winowhy,subtask=");
    }
    (void)snprintf(name, sizeof name, "big_bench:task=%s%s%s", task->text,
                   subtask[0] != '\0' ? ",subtask=" : "", subtask);
    spec->name = od_arena_strdup(arena, name);
    if (!spec->name) {
        return no_memory(err);
    }
    enum od_status status = read_task(folder, task->text, subtask, path, &object, err);
    if (status == OD_OK) {
        status = adapt(object, path, arena, spec, err);
    }
    if (status == OD_OK) {
        status = choose_metrics(object, path, folder, arena, spec, err);
    }
    if (status == OD_OK) {
        status = describe(object, path, task->text, subtask, arena, spec, err);
    }
    json_decref(object);
    spec->scenario_args[0] = (struct od_spec_arg){.key = "task", .text = task->text};
    spec->scenario_args[1] = (struct od_spec_arg){.key = "subtask", .text = subtask};
    spec->scenario_arg_count = 2;
    spec->groups[0] = "BIG-bench";
    spec->group_count = 1;
    return status;
}

static enum od_status set_reference(struct od_instances *list, struct od_instance *instance,
                                    size_t at, const char *text, bool correct, struct od_error *err)
{
    instance->references[at] =
        (struct od_reference){.text = od_arena_strdup(&list->arena, text), .correct = correct};
    return instance->references[at].text
               ? OD_OK
               : od_fail(err, OD_E_MEMORY, "no memory for the text of the instances");
}

static enum od_status add_choices(json_t *scores, const char *input, const char *where,
                                  enum od_split split, struct od_instances *list,
                                  struct od_error *err)
{
    struct od_instance *instance = NULL;
    const char *answer = NULL;
    json_t *score = NULL;
    size_t at = 0;
    double best = 0.0;
    if (!json_is_object(scores) || json_object_size(scores) == 0) {
        return od_fail(err, OD_E_FORMAT, "%s: 'target_scores' has no answers", where);
    }
    json_object_foreach(scores, answer, score)
    {
        if (!json_is_number(score)) {
            return od_fail(err, OD_E_FORMAT, "%s: the score of '%s' is no number", where, answer);
        }
        best = at == 0 || json_number_value(score) > best ? json_number_value(score) : best;
        at++;
    }
    enum od_status status = od_instances_add(list, input, split, at, &instance, err);
    at = 0;
    json_object_foreach(scores, answer, score)
    {
        if (status == OD_OK) {
            status =
                set_reference(list, instance, at++, answer, json_number_value(score) >= best, err);
        }
    }
    return status;
}

static enum od_status add_targets(const json_t *target, const char *input, const char *where,
                                  enum od_split split, struct od_instances *list,
                                  struct od_error *err)
{
    struct od_instance *instance = NULL;
    const size_t count = json_is_array(target) ? json_array_size(target) : 1;
    enum od_status status = od_instances_add(list, input, split, count, &instance, err);
    for (size_t i = 0; i < count && status == OD_OK; i++) {
        const json_t *one = json_is_array(target) ? json_array_get(target, i) : target;
        if (!json_is_string(one)) {
            return od_fail(err, OD_E_FORMAT, "%s: target %zu is no text", where, i + 1);
        }
        status = set_reference(list, instance, i, json_string_value(one), true, err);
    }
    return status;
}

static enum od_status add_example(const json_t *example, const char *where, enum od_split split,
                                  struct od_instances *list, struct od_error *err)
{
    json_t *scores = json_object_get(example, "target_scores");
    const json_t *target = json_object_get(example, "target");
    const char *input = NULL;
    const enum od_status status = od_json_text(example, "input", where, &input, err);
    if (status != OD_OK) {
        return status;
    }
    if (scores) {
        return add_choices(scores, input, where, split, list, err);
    }
    if (target) {
        return add_targets(target, input, where, split, list, err);
    }
    return od_fail(err, OD_E_FORMAT, "%s: neither 'target_scores' nor 'target'", where);
}

// The split of place `i` among `count` shuffled examples.
static enum od_split split_of(size_t i, size_t count)
{
    const size_t fifth = (size_t)(0.2 * (double)count);
    const size_t test = fifth > TEST_ITEMS_MIN ? fifth : TEST_ITEMS_MIN;
    // Of a small task the train split is empty, and the test split begins before the first place.
    const size_t left = count - i;
    if (left > 2 * test) {
        return OD_SPLIT_TRAIN;
    }
    return left > test ? OD_SPLIT_TEST : OD_SPLIT_VALID;
}

static enum od_status add_shuffled(const json_t *examples, const char *path,
                                   struct od_instances *list, struct od_error *err)
{
    char where[OD_PATH_MAX_BYTES + 64];
    struct od_mt19937 mt;
    enum od_status status = OD_OK;
    const size_t count = json_array_size(examples);
    int64_t *order = od_alloc(count, sizeof *order);
    if (!order) {
        return no_memory(err);
    }
    for (size_t i = 0; i < count; i++) {
        order[i] = (int64_t)i;
    }
    od_mt_seed_python_int(&mt, 0);
    od_py_shuffle(&mt, order, count);
    for (size_t i = 0; i < count && status == OD_OK; i++) {
        (void)snprintf(where, sizeof where, "'%s': example %lld", path, (long long)order[i] + 1);
        status = add_example(json_array_get(examples, (size_t)order[i]), where, split_of(i, count),
                             list, err);
    }
    od_free(order);
    return status;
}

static enum od_status load(const struct od_run_spec *spec, const char *data,
                           struct od_instances *list, struct od_error *err)
{
    char path[OD_PATH_MAX_BYTES];
    json_t *task = NULL;
    const json_t *examples = NULL;
    enum od_status status =
        read_task(data, spec->scenario_args[0].text, spec->scenario_args[1].text, path, &task, err);
    if (status == OD_OK) {
        status = check_list(task, "examples", path, &examples, err);
    }
    if (status == OD_OK && json_array_size(examples) == 0) {
        status = od_fail(err, OD_E_FORMAT, "'%s': no examples", path);
    }
    if (status == OD_OK) {
        status = add_shuffled(examples, path, list, err);
    }
    json_decref(task);
    return status;
}

const struct od_scenario od_scenario_big_bench = {
    .run_name = "big_bench",
    .name = "big_bench",
    .class_name = "helm.benchmark.scenarios.big_bench_scenario.BIGBenchScenario",
    .description =
        "The Beyond the Imitation Game Benchmark (BIG-bench) is a collaborative benchmark "
        "intended to probe large language models and extrapolate their future "
        "capabilities.",
    .file = "big_bench_scenario.py",
    .specify = specify,
    .load = load,
};
