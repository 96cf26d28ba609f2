#include "eval/suite_runs.h"

#include <jansson.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"
#include "eval/metrics/stat.h"
#include "eval/schema.h"
#include "formats/json.h"

void od_suite_runs_release(struct od_suite_runs *runs)
{
    for (size_t i = 0; runs->items && i < runs->count; i++) {
        json_decref(runs->items[i].spec);
        json_decref(runs->items[i].stats);
        json_decref(runs->items[i].replies);
    }
    od_free(runs->items);
    od_names_free(runs->names, runs->name_count);
    *runs = (struct od_suite_runs){0};
}

static enum od_status read_part(const char *folder, const char *run, const char *file, json_t **ret,
                                struct od_error *err)
{
    char path[OD_PATH_MAX_BYTES];
    char whole[OD_PATH_MAX_BYTES];
    enum od_status status = od_path_join(path, folder, run, err);
    if (status == OD_OK) {
        status = od_path_join(whole, path, file, err);
    }
    if (status == OD_OK && od_path_exists(whole)) {
        status = od_json_read(whole, ret, err);
    }
    return status;
}

static enum od_status read_run(const char *folder, const char *name, struct od_suite_runs *runs,
                               struct od_error *err)
{
    struct od_suite_run *run = &runs->items[runs->count];
    enum od_status status = read_part(folder, name, "run_spec.json", &run->spec, err);
    if (status == OD_OK && run->spec) {
        status = read_part(folder, name, "stats.json", &run->stats, err);
    }
    if (status == OD_OK && run->stats) {
        status = read_part(folder, name, "replies_oneday.json", &run->replies, err);
    }
    if (status == OD_OK && run->spec && run->stats) {
        run->name = name;
        run->model =
            json_string_value(json_object_get(json_object_get(run->spec, "adapter_spec"), "model"));
        if (!run->model || !json_is_array(run->stats)) {
            status = od_fail(err, OD_E_FORMAT, "run '%s' in '%s' has no model or no statistics",
                             name, folder);
        } else {
            runs->count++;
            return OD_OK;
        }
    }
    json_decref(run->spec);
    json_decref(run->stats);
    json_decref(run->replies);
    *run = (struct od_suite_run){0};
    return status;
}

// Runs of equal adapter spec stand together, at the place of the first of them.
static void group_by_adapter(struct od_suite_runs *runs)
{
    size_t place = 0;
    while (place < runs->count) {
        const json_t *adapter = json_object_get(runs->items[place].spec, "adapter_spec");
        size_t behind = place + 1;
        for (size_t i = behind; i < runs->count; i++) {
            if (json_equal(json_object_get(runs->items[i].spec, "adapter_spec"), adapter)) {
                const struct od_suite_run run = runs->items[i];
                memmove(&runs->items[behind + 1], &runs->items[behind],
                        (i - behind) * sizeof *runs->items);
                runs->items[behind++] = run;
            }
        }
        place = behind;
    }
}

enum od_status od_suite_runs_read(const char *folder, struct od_suite_runs *ret,
                                  struct od_error *err)
{
    struct od_suite_runs runs = {0};
    enum od_status status = od_dir_list(folder, &runs.names, &runs.name_count, err);
    if (status != OD_OK) {
        return status;
    }
    runs.items = od_alloc(runs.name_count, sizeof *runs.items);
    if (!runs.items) {
        status = od_fail(err, OD_E_MEMORY, "no memory for %zu runs", runs.name_count);
    }
    for (size_t i = 0; i < runs.name_count && status == OD_OK; i++) {
        if (strcmp(runs.names[i], "eval_cache") != 0 && strcmp(runs.names[i], "groups") != 0) {
            status = read_run(folder, runs.names[i], &runs, err);
        }
    }
    if (status != OD_OK) {
        od_suite_runs_release(&runs);
        return status;
    }
    group_by_adapter(&runs);
    *ret = runs;
    return OD_OK;
}

bool od_suite_run_has_group(const struct od_suite_run *run, const char *group)
{
    size_t i = 0;
    json_t *item = NULL;
    json_array_foreach(json_object_get(run->spec, "groups"), i, item)
    {
        const char *name = json_string_value(item);
        if (name && strcmp(name, group) == 0) {
            return true;
        }
    }
    return false;
}

static bool same_text(const json_t *object, const char *key, const char *text)
{
    const char *value = json_string_value(json_object_get(object, key));
    return value ? text && strcmp(value, text) == 0 : !text;
}

static const json_t *find_stat(const struct od_suite_run *run, const char *name, const char *split,
                               const char *perturbation)
{
    size_t i = 0;
    json_t *item = NULL;
    json_array_foreach(run->stats, i, item)
    {
        const json_t *of = json_object_get(item, "name");
        const json_t *changed = json_object_get(of, "perturbation");
        if (same_text(of, "name", name) && same_text(of, "split", split) &&
            same_text(changed, "name", perturbation) &&
            (!changed || same_text(changed, "computed_on", "worst"))) {
            return item;
        }
    }
    return NULL;
}

static struct od_number number_of(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return (struct od_number){json_number_value(value), json_is_integer(value)};
}

bool od_suite_run_mean(const struct od_suite_run *run, const char *name, const char *split,
                       double *ret)
{
    const json_t *mean = json_object_get(find_stat(run, name, split, NULL), "mean");
    if (!json_is_number(mean)) {
        return false;
    }
    *ret = json_number_value(mean);
    return true;
}

struct od_cell od_suite_cell(const struct od_suite_runs *runs, const char *model,
                             const struct od_schema_group *group, const char *name,
                             const char *perturbation)
{
    struct od_cell cell = {.stat = od_stat_init((struct od_stat_name){.name = name})};
    for (size_t i = 0; i < runs->count; i++) {
        const struct od_suite_run *run = &runs->items[i];
        if (strcmp(run->model, model) != 0 || !od_suite_run_has_group(run, group->name)) {
            continue;
        }
        cell.matching_runs++;
        const json_t *stat = find_stat(run, name, group->main_split, perturbation);
        if (!stat && strcmp(name, "quasi_exact_match") == 0) {
            stat = find_stat(run, "exact_match", group->main_split, perturbation);
        }
        if (!stat) {
            continue;
        }
        const struct od_stat read = {.count = json_integer_value(json_object_get(stat, "count")),
                                     .sum = number_of(stat, "sum"),
                                     .sum_squared = number_of(stat, "sum_squared"),
                                     .min = number_of(stat, "min"),
                                     .max = number_of(stat, "max")};
        double items = 0.0;
        od_stat_merge(&cell.stat, &read);
        cell.with_stat++;
        if (read.count > 0 && od_suite_run_mean(run, "num_instances", group->main_split, &items) &&
            items > 0.0) {
            cell.items += (int64_t)items;
            cell.inverse_items += 1.0 / items;
        }
    }
    return cell;
}

static void append_number(struct od_buf *out, double value)
{
    char text[OD_NUMBER_BYTES];
    char digits[64];
    double rounded = value;
    if (fpclassify(value - nearbyint(value)) == FP_ZERO && fabs(value) < 1e15) {
        od_buf_printf(out, "%.0f", value);
        return;
    }
    (void)snprintf(digits, sizeof digits, "%.3f", value);
    if (!od_parse_double(digits, &rounded)) {
        rounded = value;
    }
    od_double_text(rounded, text);
    od_buf_puts(out, text);
}

void od_stat_words(const struct od_stat *stat, struct od_buf *out)
{
    if (stat->count == 0) {
        od_buf_puts(out, "(0)");
        return;
    }
    od_buf_puts(out, "min=");
    append_number(out, stat->min.value);
    od_buf_puts(out, ", mean=");
    append_number(out, stat->mean);
    od_buf_puts(out, ", max=");
    append_number(out, stat->max.value);
    od_buf_puts(out, ", sum=");
    append_number(out, stat->sum.value);
    od_buf_printf(out, " (%lld)", (long long)stat->count);
}
