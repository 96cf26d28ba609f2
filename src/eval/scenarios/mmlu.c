// MMLU: multiple choice questions on 57 subjects.
//
// Files, read in this order, missing ones skipped: mmlu/data/{dev,val,test}/SUBJECT_{...}.csv under
// the data folder. dev gives the in-context examples, val and test are evaluated together.
//
// A file is CSV without a header: question, answer 1 .. answer k, letter of the right answer (A to
// E). Fields may be quoted with `"`, doubled inside; quoted fields may hold commas and newlines;
// \r\n and \r count as \n everywhere. Every answer whose text equals the right one is right.
//
// Source: HELM 2023-11, mmlu scenario; RFC 4180.
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"
#include "eval/instance.h"
#include "eval/run_spec.h"
#include "eval/scenario.h"
#include "formats/text_file.h"

enum { FIELDS_MAX = 64, FILE_MAX_BYTES = 64 << 20, LETTERS = 5 };

// Where a reader of a file is. Text is unquoted in place: a field never grows.
struct csv {
    const char *path;
    char *at;
    char *end;
    size_t line;  // of the next byte
    char *fields[FIELDS_MAX];
    size_t count;
};

// \r\n and \r become \n, as Python's text mode reads them.
static size_t fold_newlines(char *text, size_t size)
{
    size_t n = 0;
    for (size_t i = 0; i < size; i++) {
        if (text[i] == '\r') {
            if (i + 1 < size && text[i + 1] == '\n') {
                continue;
            }
            text[n++] = '\n';
        } else {
            text[n++] = text[i];
        }
    }
    return n;
}

// The next field starts at csv->at; afterwards csv->at is behind the comma or newline that ends it.
// *ret_last tells whether it was the row's last.
static enum od_status read_field(struct csv *csv, bool *ret_last, struct od_error *err)
{
    char *out = csv->at;
    bool quoted = false;
    const size_t line = csv->line;

    if (csv->count == FIELDS_MAX) {
        return od_fail(err, OD_E_LIMIT, "'%s':%zu: more than %d fields", csv->path, csv->line,
                       FIELDS_MAX);
    }
    csv->fields[csv->count++] = out;
    *ret_last = true;
    if (csv->at < csv->end && *csv->at == '"') {
        quoted = true;
        csv->at++;
    }
    while (csv->at < csv->end) {
        const char c = *csv->at++;
        csv->line += c == '\n';
        if (quoted && c == '"') {
            if (csv->at < csv->end && *csv->at == '"') {
                csv->at++;
            } else {
                quoted = false;
                continue;
            }
        } else if (!quoted && (c == ',' || c == '\n')) {
            *ret_last = c == '\n';
            *out = '\0';
            return OD_OK;
        }
        *out++ = c;
    }
    *out = '\0';  // there is a byte behind the text
    return quoted ? od_fail(err, OD_E_FORMAT, "'%s':%zu: a quote is never closed", csv->path, line)
                  : OD_OK;
}

static enum od_status read_row(struct csv *csv, struct od_error *err)
{
    bool last = false;
    csv->count = 0;
    while (!last) {
        const enum od_status status = read_field(csv, &last, err);
        if (status != OD_OK) {
            return status;
        }
    }
    return OD_OK;
}

static enum od_status add_row(const struct csv *csv, size_t line, enum od_split split,
                              struct od_instances *list, struct od_error *err)
{
    struct od_instance *instance = NULL;
    if (csv->count < 3) {
        return od_fail(err, OD_E_FORMAT, "'%s':%zu: %zu fields, a question has at least 3",
                       csv->path, line, csv->count);
    }
    const char *letter = csv->fields[csv->count - 1];
    const size_t answers = csv->count - 2;
    const size_t right = (size_t)(unsigned char)letter[0] - 'A';
    if (letter[0] < 'A' || letter[1] != '\0' || right >= answers || right >= LETTERS) {
        return od_fail(err, OD_E_FORMAT, "'%s':%zu: '%s' is no letter of its %zu answers",
                       csv->path, line, letter, answers);
    }
    const enum od_status status =
        od_instances_add(list, csv->fields[0], split, answers, &instance, err);
    if (status != OD_OK) {
        return status;
    }
    for (size_t i = 0; i < answers; i++) {
        instance->references[i] = (struct od_reference){
            .text = od_arena_strdup(&list->arena, csv->fields[1 + i]),
            .correct = strcmp(csv->fields[1 + i], csv->fields[1 + right]) == 0};
        if (!instance->references[i].text) {
            return od_fail(err, OD_E_MEMORY, "no memory for the text of the instances");
        }
    }
    return OD_OK;
}

static enum od_status load_file(const char *path, enum od_split split, struct od_instances *list,
                                struct od_error *err)
{
    char *text = NULL;
    size_t size = 0;
    enum od_status status = od_text_read(path, FILE_MAX_BYTES, &text, &size, err);
    struct csv csv = {.path = path, .line = 1};

    if (status != OD_OK) {
        return status;
    }
    const size_t invalid_at = od_utf8_invalid_at(text, size);
    if (invalid_at < size || memchr(text, '\0', size)) {
        status = od_fail(err, OD_E_FORMAT, "'%s': byte %zu: not UTF-8 text", path, invalid_at);
        goto done;
    }
    csv.at = text;
    csv.end = text + fold_newlines(text, size);
    *csv.end = '\0';
    while (csv.at < csv.end && status == OD_OK) {
        const size_t line = csv.line;
        status = read_row(&csv, err);
        if (status == OD_OK) {
            status = add_row(&csv, line, split, list, err);
        }
    }

done:
    od_free(text);
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

static enum od_status specify(const struct od_run_description *description, struct od_arena *arena,
                              struct od_run_spec *spec, struct od_error *err)
{
    const struct od_run_arg *subject = od_run_arg_find(description, "subject");
    const struct od_run_arg *method = od_run_arg_find(description, "method");
    char instructions[OD_RUN_DESCRIPTION_MAX_BYTES + 128];
    char topic[OD_RUN_DESCRIPTION_MAX_BYTES + 1];
    char name[OD_RUN_DESCRIPTION_MAX_BYTES + 128];

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
