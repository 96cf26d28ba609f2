// GSM8K: grade school word problems, answered with the steps and a number.
//
// Files: gsm8k/train.jsonl (in-context examples) and gsm8k/test.jsonl (evaluated) under the data
// folder. Each line is a JSON object with the texts `question` and `answer`; an answer ends in
// `#### NUMBER`. HELM's reference is the answer with `####` replaced by `The answer is`, newlines by
// blanks, and a full stop behind.
//
// Source: HELM 2023-11, gsm scenario.
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/status.h"
#include "eval/helm_tables.h"
#include "eval/instance.h"
#include "eval/metrics/bias.h"
#include "eval/run_spec.h"
#include "eval/scenario.h"
#include "formats/json.h"
#include "formats/jsonl.h"
#include "formats/text_file.h"

enum { FILE_MAX_BYTES = 256 << 20, MAX_TOKENS = 400 };

static char *answer_text(struct od_arena *arena, const char *answer)
{
    static const char mark[] = "####";
    static const char words[] = "The answer is";
    const size_t mark_size = sizeof mark - 1;
    const size_t size = strlen(answer);
    struct od_buf buf;
    char *out = NULL;

    od_buf_init(&buf, size * 4 + 2);
    for (size_t i = 0; i < size;) {
        if (strncmp(answer + i, mark, mark_size) == 0) {
            od_buf_puts(&buf, words);
            i += mark_size;
        } else {
            const char c = answer[i++];
            if (c == '\n') {
                od_buf_putc(&buf, ' ');
            } else {
                od_buf_putc(&buf, c);
            }
        }
    }
    od_buf_putc(&buf, '.');
    if (!buf.failed) {
        out = od_arena_memdup(arena, buf.bytes, buf.size);
    }
    od_buf_release(&buf);
    return out;
}

static enum od_status add_item(const json_t *object, const char *where, enum od_split split,
                               struct od_instances *list, struct od_error *err)
{
    const char *question = NULL;
    const char *answer = NULL;
    struct od_instance *instance = NULL;
    enum od_status status = od_json_text(object, "question", where, &question, err);

    if (status == OD_OK) {
        status = od_json_text(object, "answer", where, &answer, err);
    }
    if (status == OD_OK) {
        status = od_instances_add(list, question, split, 1, &instance, err);
    }
    if (status == OD_OK) {
        instance->references[0].text = answer_text(&list->arena, answer);
        instance->references[0].correct = true;
        if (!instance->references[0].text) {
            status = od_fail(err, OD_E_MEMORY, "no memory for the text of the instances");
        }
    }
    return status;
}

static enum od_status load_file(const char *path, enum od_split split, struct od_instances *list,
                                struct od_error *err)
{
    char *text = NULL;
    size_t size = 0;
    struct od_jsonl lines;
    json_t *object = NULL;
    char where[OD_PATH_MAX_BYTES + 32];
    enum od_status status = od_text_read(path, FILE_MAX_BYTES, &text, &size, err);

    if (status != OD_OK) {
        return status;
    }
    od_jsonl_init(&lines, text, size, path);
    while ((status = od_jsonl_next(&lines, &object, err)) == OD_OK && object) {
        (void)snprintf(where, sizeof where, "%s:%zu", path, lines.line);
        status = add_item(object, where, split, list, err);
        json_decref(object);
        if (status != OD_OK) {
            break;
        }
    }
    od_free(text);
    return status;
}

static enum od_status load(const struct od_run_spec *spec, const char *data,
                           struct od_instances *list, struct od_error *err)
{
    static const char *const names[] = {"gsm8k/train.jsonl", "gsm8k/test.jsonl"};
    char path[OD_PATH_MAX_BYTES];
    enum od_status status = OD_OK;
    (void)spec;

    for (size_t i = 0; i < 2 && status == OD_OK; i++) {
        status = od_path_join(path, data, names[i], err);
        if (status == OD_OK) {
            status = load_file(path, i == 0 ? OD_SPLIT_TRAIN : OD_SPLIT_TEST, list, err);
        }
        if (status == OD_E_NOT_FOUND) {
            od_error_prefix(err, "GSM8K data (--data names the folder that has gsm8k/)");
        }
    }
    return status;
}

// The tables that the bias metrics need are not part of the program.
static enum od_status find_bias_tables(const char *data, struct od_arena *arena,
                                       struct od_run_spec *spec, struct od_error *err)
{
    static const char what[] = "the bias of answers";
    char tables[OD_PATH_MAX_BYTES];
    char words[OD_PATH_MAX_BYTES];
    struct od_error missing = {0};
    enum od_status status = od_helm_table_find(data, OD_HELM_SENTENCES, what, tables, &missing);
    if (status == OD_OK) {
        status = od_helm_table_find(data, OD_BIAS_WORDS_FILE, what, words, &missing);
    }
    if (status != OD_OK) {
        od_log(OD_LOG_INFO, "run 'gsm': bias metrics are undefined: %s", missing.message);
        return OD_OK;
    }
    spec->sentence_tables = od_arena_strdup(arena, tables);
    spec->bias_words = od_arena_strdup(arena, words);
    return spec->sentence_tables && spec->bias_words
               ? OD_OK
               : od_fail(err, OD_E_MEMORY, "no memory for a run spec");
}

static enum od_status specify(const struct od_run_description *description, const char *data,
                              struct od_arena *arena, struct od_run_spec *spec,
                              struct od_error *err)
{
    static const char *const stop[] = {"\n\n"};
    if (description->arg_count > 0) {
        return od_fail(err, OD_E_ARGUMENT, "gsm takes no argument '%s'", description->args[0].key);
    }
    spec->name = "gsm";
    spec->metrics = od_metrics_indicator;
    spec->metric_count = sizeof od_metrics_indicator / sizeof *od_metrics_indicator;
    spec->groups[0] = "gsm";
    spec->group_count = 1;
    const enum od_status status = find_bias_tables(data ? data : ".", arena, spec, err);
    return status == OD_OK ? od_adapter_spec_generation(&spec->adapter, arena, "Q", "A", MAX_TOKENS,
                                                        stop, 1, err)
                           : status;
}

const struct od_scenario od_scenario_gsm8k = {
    .run_name = "gsm",
    .name = "gsm",
    .class_name = "helm.benchmark.scenarios.gsm_scenario.GSM8KScenario",
    .description = "Grade school math dataset with 8.5K examples (GSM8K).",
    .tags = {"reasoning", "math"},
    .file = "gsm_scenario.py",
    .final_number = true,
    .specify = specify,
    .load = load,
};
