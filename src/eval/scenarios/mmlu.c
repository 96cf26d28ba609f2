// MMLU: multiple choice questions on 57 subjects.
//
// Files, read in this order, missing ones skipped: mmlu/data/{dev,val,test}/SUBJECT_{...}.csv under
// the data folder. dev gives the in-context examples, val and test are evaluated together.
//
// A file is CSV without a header: question, answer 1 .. answer k, letter of the right answer (A to
// E). Every answer whose text equals the right one is right.
//
// Source: HELM 2023-11, mmlu scenario.
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/status.h"
#include "eval/instance.h"
#include "eval/run_spec.h"
#include "eval/scenario.h"
#include "formats/csv.h"
#include "formats/text_file.h"

enum { LETTERS = 5 };

static enum od_status add_row(const struct od_csv_row *row, const char *path, enum od_split split,
                              struct od_instances *list, struct od_error *err)
{
    struct od_instance *instance = NULL;
    if (row->count < 3) {
        return od_fail(err, OD_E_FORMAT, "%s:%zu: %zu fields, a question has at least 3", path,
                       row->line, row->count);
    }
    const char *letter = row->fields[row->count - 1].text;
    const struct od_csv_field *answers = row->fields + 1;
    const size_t count = row->count - 2;
    const size_t right = (size_t)(unsigned char)letter[0] - 'A';
    if (letter[0] < 'A' || letter[1] != '\0' || right >= count || right >= LETTERS) {
        return od_fail(err, OD_E_FORMAT, "%s:%zu: '%s' is no letter of its %zu answers", path,
                       row->line, letter, count);
    }
    const enum od_status status =
        od_instances_add(list, row->fields[0].text, split, count, &instance, err);
    if (status != OD_OK) {
        return status;
    }
    for (size_t i = 0; i < count; i++) {
        instance->references[i] =
            (struct od_reference){.text = od_arena_strdup(&list->arena, answers[i].text),
                                  .correct = strcmp(answers[i].text, answers[right].text) == 0};
        if (!instance->references[i].text) {
            return od_fail(err, OD_E_MEMORY, "no memory for the text of the instances");
        }
    }
    return OD_OK;
}

static enum od_status load_file(const char *path, enum od_split split, struct od_instances *list,
                                struct od_error *err)
{
    struct od_csv csv = {0};
    enum od_status status = od_csv_read(path, ',', &csv, err);
    for (size_t i = 0; i < csv.count && status == OD_OK; i++) {
        status = add_row(&csv.rows[i], path, split, list, err);
    }
    od_csv_release(&csv);
    return status;
}

static enum od_status load(const struct od_run_spec *spec, const char *data,
                           struct od_instances *list, struct od_error *err)
{
    static const struct {
        const char *folder;
        enum od_split split;
    } parts[] = {{"auxiliary_train", OD_SPLIT_TRAIN},
                 {"dev", OD_SPLIT_TRAIN},
                 {"val", OD_SPLIT_VALID},
                 {"test", OD_SPLIT_TEST}};
    const char *subject = spec->scenario_args[0].text;
    char path[OD_PATH_MAX_BYTES];
    char found[OD_PATH_MAX_BYTES];
    size_t files = 0;

    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        const int written = snprintf(path, sizeof path, "%s/mmlu/data/%s/%s_%s.csv", data,
                                     parts[i].folder, subject, parts[i].folder);
        if (written < 0 || (size_t)written >= sizeof path) {
            return od_fail(err, OD_E_LIMIT, "the path of subject '%s' is too long", subject);
        }
        if (od_text_find(path, found, sizeof found, NULL) != OD_OK) {
            continue;
        }
        files++;
        const enum od_status status = load_file(path, parts[i].split, list, err);
        if (status != OD_OK) {
            return status;
        }
    }
    if (files == 0) {
        return od_fail(err, OD_E_NOT_FOUND,
                       "no MMLU data for subject '%s' in '%s/mmlu/data' (--data names the folder "
                       "that has mmlu/)",
                       subject, data);
    }
    return OD_OK;
}

static enum od_status specify(const struct od_run_description *description, const char *data,
                              struct od_arena *arena, struct od_run_spec *spec,
                              struct od_error *err)
{
    const struct od_run_arg *subject = od_run_arg_find(description, "subject");
    const struct od_run_arg *method = od_run_arg_find(description, "method");
    char instructions[OD_RUN_DESCRIPTION_MAX_BYTES + 128];
    char topic[OD_RUN_DESCRIPTION_MAX_BYTES + 1];
    char name[OD_RUN_DESCRIPTION_MAX_BYTES + 128];
    (void)data;

    for (size_t i = 0; i < description->arg_count; i++) {
        if (&description->args[i] != subject && &description->args[i] != method) {
            return od_fail(err, OD_E_ARGUMENT, "mmlu takes no argument '%s'",
                           description->args[i].key);
        }
    }
    if (!subject || subject->text[0] == '\0' || strchr(subject->text, '/')) {
        return od_fail(err, OD_E_ARGUMENT, "mmlu needs a subject, as in mmlu:subject=anatomy");
    }
    if (method && strcmp(method->text, "multiple_choice_joint") != 0) {
        return od_fail(err, OD_E_UNSUPPORTED, "mmlu with method=%s is left out of this version",
                       method->text);
    }
    (void)snprintf(topic, sizeof topic, "%s", subject->text);
    for (char *at = topic; *at != '\0'; at++) {
        if (*at == '_') {
            *at = ' ';
        }
    }
    (void)snprintf(instructions, sizeof instructions,
                   "The following are multiple choice questions (with answers) about %s.", topic);
    (void)snprintf(name, sizeof name, "mmlu:subject=%s,method=multiple_choice_joint",
                   subject->text);
    spec->name = od_arena_strdup(arena, name);
    spec->scenario_args[0] = (struct od_spec_arg){.key = "subject", .text = subject->text};
    spec->scenario_arg_count = 1;
    spec->metrics = od_metrics_exact_match;
    spec->metric_count = 1;
    spec->groups[0] = "mmlu";
    spec->group_count = 1;
    if (!spec->name) {
        return od_fail(err, OD_E_MEMORY, "no memory for a run spec");
    }
    return od_adapter_spec_joint(&spec->adapter, arena, instructions, "Question", "Answer", err);
}

const struct od_scenario od_scenario_mmlu = {
    .run_name = "mmlu",
    .name = "mmlu",
    .class_name = "helm.benchmark.scenarios.mmlu_scenario.MMLUScenario",
    .description = "Massive Multitask Language Understanding",
    .tags = {"knowledge", "multiple_choice"},
    .file = "mmlu_scenario.py",
    .specify = specify,
    .load = load,
};
