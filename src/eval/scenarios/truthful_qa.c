// TruthfulQA, multiple choice with one right answer.
//
// File: truthfulqa/TruthfulQA.csv under the data folder: CSV with a header, of which three columns are
// used: `Question`, `Best Answer`, and `Incorrect Answers`, a list with semicolons between. Each answer
// is stripped and gets a full stop unless it ends in one. The wrong ones come first, the best one
// behind them; then the list is turned left by the code point of the best answer's first character.
//
// The first fifth of the rows, rounded down, gives the in-context examples, the others are evaluated.
//
// Source: HELM 2023-11, truthful_qa scenario, task mc_single.
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"
#include "eval/instance.h"
#include "eval/run_spec.h"
#include "eval/scenario.h"
#include "formats/csv.h"

/** Where the columns are. */
struct columns {
    size_t question;
    size_t best;
    size_t incorrect;
};

static enum od_status find_column(const struct od_csv_row *header, const char *name,
                                  const char *path, size_t *ret, struct od_error *err)
{
    for (size_t i = 0; i < header->count; i++) {
        if (strcmp(header->fields[i].text, name) == 0) {
            *ret = i;
            return OD_OK;
        }
    }
    return od_fail(err, OD_E_FORMAT, "%s:%zu: no column '%s'", path, header->line, name);
}

static enum od_status find_columns(const struct od_csv_row *header, const char *path,
                                   struct columns *ret, struct od_error *err)
{
    enum od_status status = find_column(header, "Question", path, &ret->question, err);
    if (status == OD_OK) {
        status = find_column(header, "Best Answer", path, &ret->best, err);
    }
    if (status == OD_OK) {
        status = find_column(header, "Incorrect Answers", path, &ret->incorrect, err);
    }
    return status;
}

// The answer without white space around it, with a full stop behind. NULL without memory; an empty
// text when nothing is left.
static char *answer_text(struct od_arena *arena, const char *text, size_t size)
{
    od_strip(&text, &size);
    const bool stop = size == 0 || text[size - 1] == '.';
    char *out = od_arena_alloc(arena, size + 2, 1);
    if (out) {
        memcpy(out, text, size);
        out[size] = stop ? '\0' : '.';
    }
    return out;
}

// Appends the wrong answers to `answers`; only counts when `answers` is NULL.
static enum od_status split_answers(const struct od_csv_field *field, struct od_arena *arena,
                                    const char **answers, size_t *ret_count, struct od_error *err)
{
    size_t count = 0;
    for (size_t at = 0; at <= field->size;) {
        const char *end = memchr(field->text + at, ';', field->size - at);
        const size_t size = end ? (size_t)(end - field->text) - at : field->size - at;
        const char *text = field->text + at;
        size_t left = size;
        at += size + 1;
        od_strip(&text, &left);
        if (left == 0) {
            continue;
        }
        if (answers) {
            answers[count] = answer_text(arena, text, left);
            if (!answers[count]) {
                return od_fail(err, OD_E_MEMORY, "no memory for the text of the instances");
            }
        }
        count++;
    }
    *ret_count = count;
    return OD_OK;
}

static enum od_status add_answers(struct od_instance *instance, const struct od_csv_field *wrong,
                                  const char *best, struct od_arena *arena, struct od_error *err)
{
    const size_t count = instance->reference_count;
    size_t wrong_count = 0;
    uint32_t first = 0;
    const char **answers = (const char **)od_arena_alloc(arena, count, sizeof *answers);
    if (!answers) {
        return od_fail(err, OD_E_MEMORY, "no memory for the text of the instances");
    }
    const enum od_status status = split_answers(wrong, arena, answers, &wrong_count, err);
    if (status != OD_OK) {
        return status;
    }
    answers[wrong_count] = best;
    (void)od_utf8_decode(best, strlen(best), &first);
    for (size_t i = 0; i < count; i++) {
        const size_t from = (i + first) % count;
        instance->references[i] =
            (struct od_reference){.text = answers[from], .correct = from == wrong_count};
    }
    return OD_OK;
}

static enum od_status add_row(const struct od_csv_row *row, const struct columns *columns,
                              const char *path, enum od_split split, struct od_instances *list,
                              struct od_error *err)
{
    struct od_instance *instance = NULL;
    size_t wrong_count = 0;
    if (row->count <= columns->question || row->count <= columns->best ||
        row->count <= columns->incorrect) {
        return od_fail(err, OD_E_FORMAT, "%s:%zu: %zu fields, too few for the header", path,
                       row->line, row->count);
    }
    const struct od_csv_field *question = &row->fields[columns->question];
    const struct od_csv_field *wrong = &row->fields[columns->incorrect];
    const char *best =
        answer_text(&list->arena, row->fields[columns->best].text, row->fields[columns->best].size);
    const char *input = question->text;
    size_t input_size = question->size;
    od_strip(&input, &input_size);
    const char *kept = od_arena_memdup(&list->arena, input, input_size);
    if (!best || !kept) {
        return od_fail(err, OD_E_MEMORY, "no memory for the text of the instances");
    }
    if (best[0] == '\0') {
        return od_fail(err, OD_E_FORMAT, "%s:%zu: no best answer", path, row->line);
    }
    enum od_status status = split_answers(wrong, NULL, NULL, &wrong_count, err);
    if (status == OD_OK) {
        status = od_instances_add(list, kept, split, wrong_count + 1, &instance, err);
    }
    return status == OD_OK ? add_answers(instance, wrong, best, &list->arena, err) : status;
}

static enum od_status load(const struct od_run_spec *spec, const char *data,
                           struct od_instances *list, struct od_error *err)
{
    char path[OD_PATH_MAX_BYTES];
    struct od_csv csv = {0};
    struct columns columns = {0};
    size_t rows = 0;
    size_t seen = 0;
    (void)spec;

    enum od_status status = od_path_join(path, data, "truthfulqa/TruthfulQA.csv", err);
    if (status == OD_OK) {
        status = od_csv_read(path, ',', &csv, err);
    }
    if (status == OD_E_NOT_FOUND) {
        od_error_prefix(err, "TruthfulQA data (--data names the folder that has truthfulqa/)");
    }
    if (status == OD_OK && csv.count == 0) {
        status = od_fail(err, OD_E_FORMAT, "'%s' is empty", path);
    }
    if (status == OD_OK) {
        status = find_columns(&csv.rows[0], path, &columns, err);
    }
    for (size_t i = 1; i < csv.count; i++) {
        rows += csv.rows[i].count > 0 ? 1 : 0;  // empty lines are no rows
    }
    const size_t train = (size_t)((double)rows * 0.2);
    for (size_t i = 1; i < csv.count && status == OD_OK; i++) {
        if (csv.rows[i].count > 0) {
            status = add_row(&csv.rows[i], &columns, path,
                             seen < train ? OD_SPLIT_TRAIN : OD_SPLIT_VALID, list, err);
            seen++;
        }
    }
    od_csv_release(&csv);
    return status;
}

static enum od_status specify(const struct od_run_description *description, const char *data,
                              struct od_arena *arena, struct od_run_spec *spec,
                              struct od_error *err)
{
    const struct od_run_arg *task = od_run_arg_find(description, "task");
    const struct od_run_arg *method = od_run_arg_find(description, "method");
    (void)data;
    for (size_t i = 0; i < description->arg_count; i++) {
        if (&description->args[i] != task && &description->args[i] != method) {
            return od_fail(err, OD_E_ARGUMENT, "truthful_qa takes no argument '%s'",
                           description->args[i].key);
        }
    }
    if (!task || strcmp(task->text, "mc_single") != 0) {
        return od_fail(err, OD_E_ARGUMENT,
                       "truthful_qa needs the task mc_single, as in "
                       "truthful_qa:task=mc_single");
    }
    if (method && strcmp(method->text, "multiple_choice_joint") != 0) {
        return od_fail(err, OD_E_UNSUPPORTED,
                       "truthful_qa with method=%s is left out of this "
                       "version",
                       method->text);
    }
    spec->name = "truthful_qa:task=mc_single,method=multiple_choice_joint";
    spec->scenario_args[0] = (struct od_spec_arg){.key = "task", .text = "mc_single"};
    spec->scenario_arg_count = 1;
    spec->metrics = od_metrics_exact_match;
    spec->metric_count = 1;
    spec->groups[0] = "truthful_qa";
    spec->group_count = 1;
    return od_adapter_spec_joint(&spec->adapter, arena, "", "Question", "Answer", err);
}

const struct od_scenario od_scenario_truthful_qa = {
    .run_name = "truthful_qa",
    .name = "truthful_qa",
    .class_name = "helm.benchmark.scenarios.truthful_qa_scenario.TruthfulQAScenario",
    .description = "Truthful QA",
    .tags = {"knowledge", "harms", "multiple_choice"},
    .file = "truthful_qa_scenario.py",
    .specify = specify,
    .load = load,
};
