// A kind of question is one run of the suite: "mmlu:subject=colours,..." is "colours", "gsm:..." is
// "sums". Its score is the share of test items whose exact_match (or exact_match_indicator) is 1,
// read from per_instance_stats.json.

#include "flow/demo_results.h"

#include <jansson.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/bootstrap.h"
#include "base/file.h"
#include "base/interval.h"
#include "base/memory.h"
#include "base/status.h"
#include "flow/demo.h"
#include "formats/json.h"

enum { SAMPLES_PER_KIND = 3, CHOICES_DEFAULT = 4, SEED = 2023 };

static enum od_status read_file(const char *suite, const char *run, const char *name, json_t **ret,
                                struct od_error *err)
{
    char folder[OD_PATH_MAX_BYTES];
    char path[OD_PATH_MAX_BYTES];
    enum od_status status = od_path_join(folder, suite, run, err);
    if (status == OD_OK) {
        status = od_path_join(path, folder, name, err);
    }
    return status == OD_OK ? od_json_read(path, ret, err) : status;
}

static bool is_score(const char *name)
{
    return strcmp(name, "exact_match") == 0 || strcmp(name, "exact_match_indicator") == 0;
}

// Right answers and items of a run's test split.
static enum od_status count_run(const char *suite, const char *run, int64_t *ret_right,
                                int64_t *ret_items, struct od_error *err)
{
    json_t *all = NULL;
    size_t i;
    size_t j;
    const json_t *instance;
    const json_t *stat;
    *ret_right = 0;
    *ret_items = 0;
    const enum od_status status = read_file(suite, run, "per_instance_stats.json", &all, err);
    if (status != OD_OK) {
        return status;
    }
    json_array_foreach(all, i, instance)
    {
        json_array_foreach(json_object_get(instance, "stats"), j, stat)
        {
            const json_t *full = json_object_get(stat, "name");
            const char *name = json_string_value(json_object_get(full, "name"));
            const char *split = json_string_value(json_object_get(full, "split"));
            if (name && split && is_score(name) && strcmp(split, "test") == 0 &&
                !json_object_get(full, "perturbation")) {
                *ret_items += 1;
                *ret_right += json_number_value(json_object_get(stat, "mean")) > 0.5;
            }
        }
    }
    json_decref(all);
    return OD_OK;
}

// "mmlu:subject=animal_colours,method=..." -> "animal colours"; "gsm:model=..." -> "gsm".
static void kind_name(const char *run, char out[OD_DEMO_NAME_BYTES])
{
    static const char key[] = "subject=";
    const char *subject = strstr(run, key);
    const char *start = subject ? subject + sizeof key - 1 : run;
    const size_t length = strcspn(start, subject ? "," : ":,");
    (void)snprintf(out, OD_DEMO_NAME_BYTES, "%.*s", (int)length, start);
    for (char *c = out; *c != '\0'; c++) {
        if (*c == '_') {
            *c = ' ';
        }
    }
}

// The bootstrap interval of `right` of `items`.
static enum od_status add_bootstrap(struct od_demo_kind *kind, int i, int64_t right,
                                    struct od_error *err)
{
    double *values = od_alloc((size_t)kind->items, sizeof *values);
    const struct od_stratum stratum = {.values = values, .count = (size_t)kind->items};
    if (!values) {
        return od_fail(err, OD_E_MEMORY, "no memory for a bootstrap");
    }
    for (int64_t item = 0; item < right; item++) {
        values[item] = 1.0;
    }
    const enum od_status status =
        od_bootstrap_mean(&stratum, 1, SEED, &kind->has_bootstrap[i], &kind->bootstrap[i], err);
    od_free(values);
    return status;
}

static enum od_status add_kind(struct od_demo_result *result, const char *run, struct od_error *err)
{
    const char *const suites[2] = {result->base_suite, result->tuned_suite};
    struct od_demo_kind kind = {
        .chance = strncmp(run, "mmlu", 4) == 0 ? 1.0 / (double)CHOICES_DEFAULT : 0.0};
    kind_name(run, kind.name);
    for (int i = 0; i < 2; i++) {
        int64_t right;
        int64_t items;
        struct od_interval interval = {0};
        const enum od_status status = count_run(suites[i], run, &right, &items, err);
        if (status == OD_OK && items == 0) {
            return od_fail(err, OD_E_FORMAT, "run '%s' has no test item", run);
        }
        if (status != OD_OK) {
            return status;
        }
        (void)od_interval_share(right, items, &interval);  // items > 0
        kind.items = items;
        kind.value[i] = (double)right / (double)items;
        kind.low[i] = interval.low;
        kind.high[i] = interval.high;
        const enum od_status drawn = add_bootstrap(&kind, i, right, err);
        if (drawn != OD_OK) {
            return drawn;
        }
    }
    result->kind[result->kind_count++] = kind;
    return OD_OK;
}

static const char *answer_of(const json_t *state)
{
    const json_t *completions = json_object_get(json_object_get(state, "result"), "completions");
    const char *text = json_string_value(json_object_get(json_array_get(completions, 0), "text"));
    return text ? text : "";
}

// What a right answer looks like: the letter, or the text.
static const char *expected_of(const json_t *state)
{
    const json_t *mapping = json_object_get(state, "output_mapping");
    const json_t *references = json_object_get(json_object_get(state, "instance"), "references");
    size_t i;
    const json_t *reference;
    json_array_foreach(references, i, reference)
    {
        const json_t *tags = json_object_get(reference, "tags");
        const char *tag = json_string_value(json_array_get(tags, 0));
        if (!tag || strcmp(tag, "correct") != 0) {
            continue;
        }
        const char *text =
            json_string_value(json_object_get(json_object_get(reference, "output"), "text"));
        const char *letter;
        json_t *value;
        json_object_foreach((json_t *)(uintptr_t)mapping, letter, value)
        {
            const char *mapped = json_string_value(value);
            if (mapped && text && strcmp(mapped, text) == 0) {
                return letter;
            }
        }
        return text ? text : "";
    }
    return "";
}

static void put_sample(struct od_buf *out, const json_t *base, const json_t *tuned)
{
    const char *prompt =
        json_string_value(json_object_get(json_object_get(base, "request"), "prompt"));
    struct od_json_writer w;
    od_json_writer_init(&w, out, OD_JSON_LINE, false);
    od_json_object_begin(&w);
    od_json_member_text(&w, "prompt", prompt ? prompt : "");
    od_json_member_text(&w, "base", answer_of(base));
    od_json_member_text(&w, "tuned", answer_of(tuned));
    od_json_member_text(&w, "expected", expected_of(base));
    od_json_object_end(&w);
    od_buf_putc(out, '\n');
}

static enum od_status add_samples(const struct od_demo_result *result, const char *run,
                                  struct od_buf *out, struct od_error *err)
{
    json_t *base = NULL;
    json_t *tuned = NULL;
    enum od_status status = read_file(result->base_suite, run, "scenario_state.json", &base, err);
    if (status == OD_OK) {
        status = read_file(result->tuned_suite, run, "scenario_state.json", &tuned, err);
    }
    const json_t *base_states = json_object_get(base, "request_states");
    const json_t *tuned_states = json_object_get(tuned, "request_states");
    for (size_t i = 0; status == OD_OK && i < SAMPLES_PER_KIND &&
                       i < json_array_size(base_states) && i < json_array_size(tuned_states);
         i++) {
        put_sample(out, json_array_get(base_states, i), json_array_get(tuned_states, i));
    }
    json_decref(tuned);
    json_decref(base);
    return status;
}

static enum od_status write_board(const struct od_demo_result *result, struct od_error *err)
{
    static const char *const names[2] = {"base", "tuned"};
    char folder[OD_PATH_MAX_BYTES];
    char path[OD_PATH_MAX_BYTES];
    struct od_buf buf;
    struct od_json_writer w;
    od_buf_init(&buf, 1 << 20);
    od_json_writer_init(&w, &buf, OD_JSON_INDENT_2, false);
    od_json_object_begin(&w);
    od_json_key(&w, "rows");
    od_json_array_begin(&w);
    for (size_t k = 0; k < result->kind_count; k++) {
        const struct od_demo_kind *kind = &result->kind[k];
        od_json_object_begin(&w);
        od_json_member_text(&w, "metric", kind->name);
        od_json_key(&w, "entries");
        od_json_array_begin(&w);
        for (int i = 0; i < 2; i++) {
            od_json_object_begin(&w);
            od_json_member_text(&w, "name", names[i]);
            od_json_member_number(&w, "value", kind->value[i]);
            od_json_member_number(&w, "low", kind->low[i]);
            od_json_member_number(&w, "high", kind->high[i]);
            if (kind->has_bootstrap[i]) {
                od_json_key(&w, "bootstrap");
                od_json_object_begin(&w);
                od_json_member_number(&w, "low", kind->bootstrap[i].low);
                od_json_member_number(&w, "high", kind->bootstrap[i].high);
                od_json_object_end(&w);
            }
            od_json_member_int(&w, "items", kind->items);
            od_json_object_end(&w);
        }
        od_json_array_end(&w);
        od_json_object_end(&w);
    }
    od_json_array_end(&w);
    od_json_object_end(&w);
    od_buf_putc(&buf, '\n');
    enum od_status status = od_buf_check(&buf, err);
    if (status == OD_OK && (status = od_path_join(folder, result->run, "eval", err)) == OD_OK &&
        (status = od_dir_make(folder, err)) == OD_OK &&
        (status = od_path_join(path, folder, "board.json", err)) == OD_OK) {
        status = od_file_write(path, od_buf_text(&buf), buf.size, err);
    }
    od_buf_release(&buf);
    return status;
}

static bool is_run_folder(const char *suite, const char *name, struct od_error *err)
{
    char folder[OD_PATH_MAX_BYTES];
    char path[OD_PATH_MAX_BYTES];
    return od_path_join(folder, suite, name, err) == OD_OK &&
           od_path_join(path, folder, "per_instance_stats.json", err) == OD_OK &&
           od_path_exists(path);
}

enum od_status od_demo_results(struct od_demo_result *result, struct od_error *err)
{
    char path[OD_PATH_MAX_BYTES];
    struct od_buf samples;
    char **names = NULL;
    size_t count = 0;
    enum od_status status = od_dir_list(result->tuned_suite, &names, &count, err);
    od_buf_init(&samples, (size_t)64 << 20);
    for (size_t i = 0; status == OD_OK && i < count && result->kind_count < OD_DEMO_KINDS_MAX;
         i++) {
        if (!is_run_folder(result->tuned_suite, names[i], err)) {
            continue;
        }
        status = add_kind(result, names[i], err);
        if (status == OD_OK) {
            status = add_samples(result, names[i], &samples, err);
        }
    }
    if (status == OD_OK && result->kind_count == 0) {
        status = od_fail(err, OD_E_FORMAT, "'%s' holds no run", result->tuned_suite);
    }
    if (status == OD_OK && (status = od_buf_check(&samples, err)) == OD_OK &&
        (status = od_path_join(path, result->run, "samples.jsonl", err)) == OD_OK &&
        (status = od_file_write(path, od_buf_text(&samples), samples.size, err)) == OD_OK) {
        status = write_board(result, err);
    }
    od_buf_release(&samples);
    od_names_free(names, count);
    return status;
}
