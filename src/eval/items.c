#include "eval/items.h"

#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bootstrap.h"
#include "base/file.h"
#include "base/interval.h"
#include "base/memory.h"
#include "base/status.h"
#include "eval/schema.h"
#include "eval/suite_runs.h"
#include "formats/json.h"

enum { SEED = 2023 };
#define ITEMS_MAX_BYTES ((size_t)2 << 30)
// The items give the score again, but for the order of sums.
#define SAME_SCORE      1e-9

enum od_status od_items_init(struct od_items *items, const char *suite,
                             const struct od_suite_runs *runs, struct od_error *err)
{
    *items = (struct od_items){.suite = suite, .runs = runs};
    od_arena_init(&items->arena, ITEMS_MAX_BYTES);
    items->of_run = od_arena_alloc(&items->arena, runs->count, sizeof *items->of_run);
    if (!items->of_run) {
        od_items_release(items);
        return od_fail(err, OD_E_MEMORY, "no memory for the items of a suite");
    }
    return OD_OK;
}

void od_items_release(struct od_items *items)
{
    od_arena_release(&items->arena);
    *items = (struct od_items){0};
}

// ------------------------------------------------------------------ reading

// The value of a statistic of one instance; NaN: it has none.
static double value_of(const json_t *instance, const char *name, const char *split)
{
    size_t i = 0;
    json_t *stat = NULL;
    json_array_foreach(json_object_get(instance, "stats"), i, stat)
    {
        const json_t *of = json_object_get(stat, "name");
        const char *own_name = json_string_value(json_object_get(of, "name"));
        const char *own_split = json_string_value(json_object_get(of, "split"));
        if (own_name && own_split && strcmp(own_name, name) == 0 && strcmp(own_split, split) == 0) {
            const json_t *mean = json_object_get(stat, "mean");
            return json_is_number(mean) ? json_number_value(mean) : (double)NAN;
        }
    }
    return (double)NAN;
}

static void take_smaller(double *at, double value)
{
    if (isnan(*at) || value < *at) {
        *at = value;
    }
}

// Count `instance` in its item: the question itself for every case, a variant for those it is of.
static void add_value(struct od_item *item, const json_t *instance, double value)
{
    const json_t *changed = json_object_get(instance, "perturbation");
    if (!changed) {
        item->values[OD_ITEM_PLAIN] = value;
    }
    if (!changed || json_is_true(json_object_get(changed, "robustness"))) {
        take_smaller(&item->values[OD_ITEM_ROBUSTNESS], value);
    }
    if (!changed || json_is_true(json_object_get(changed, "fairness"))) {
        take_smaller(&item->values[OD_ITEM_FAIRNESS], value);
    }
}

static int by_id(const void *a, const void *b)
{
    const struct od_item *one = a;
    const struct od_item *two = b;
    return strcmp(one->id, two->id);
}

// Items of several samplings of examples: the mean of each. Gives how many are left.
static size_t average_trials(struct od_item *items, size_t count)
{
    size_t kept = 0;
    for (size_t first = 0, last = 0; first < count; first = last) {
        struct od_item item = items[first];
        for (last = first + 1; last < count && strcmp(items[last].id, item.id) == 0; last++) {
            for (size_t k = 0; k < OD_ITEM_CASES; k++) {
                item.values[k] += items[last].values[k];
            }
        }
        for (size_t k = 0; k < OD_ITEM_CASES; k++) {
            item.values[k] /= (double)(last - first);
        }
        items[kept++] = item;
    }
    return kept;
}

// The items of the document, variants right behind their question. Metrics that were computed apart
// have lists of their own, one behind the other: an instance without the statistic is passed over.
static enum od_status collect(const json_t *document, const char *path, const char *name,
                              const char *split, struct od_arena *arena, struct od_run_items *ret,
                              struct od_error *err)
{
    struct od_run_items found = {.name = name};
    json_int_t trial = -1;
    size_t i = 0;
    json_t *instance = NULL;
    found.items = od_arena_alloc(arena, json_array_size(document), sizeof *found.items);
    if (!found.items) {
        return od_fail(err, OD_E_MEMORY, "no memory for the items of '%s'", path);
    }
    json_array_foreach(document, i, instance)
    {
        const char *id = json_string_value(json_object_get(instance, "instance_id"));
        const json_int_t own = json_integer_value(json_object_get(instance, "train_trial_index"));
        const double value = value_of(instance, name, split);
        if (!id) {
            return od_fail(err, OD_E_FORMAT, "'%s': instance %zu has no instance_id", path, i + 1);
        }
        if (isnan(value)) {
            continue;
        }
        if (found.count == 0 || own != trial || strcmp(found.items[found.count - 1].id, id) != 0) {
            struct od_item *item = &found.items[found.count++];
            *item = (struct od_item){od_arena_strdup(arena, id),
                                     {(double)NAN, (double)NAN, (double)NAN}};
            trial = own;
            if (!item->id) {
                return od_fail(err, OD_E_MEMORY, "no memory for the items of '%s'", path);
            }
        }
        add_value(&found.items[found.count - 1], instance, value);
    }
    qsort(found.items, found.count, sizeof *found.items, by_id);
    found.count = average_trials(found.items, found.count);
    *ret = found;
    return OD_OK;
}

// Read the items of run `at` unless they are there. None when the file is absent or too large.
static enum od_status read_items(struct od_items *items, size_t at, const char *name,
                                 const char *split, struct od_error *err)
{
    char folder[OD_PATH_MAX_BYTES];
    char path[OD_PATH_MAX_BYTES];
    json_t *document = NULL;
    struct od_run_items *of_run = &items->of_run[at];
    enum od_status status = OD_OK;
    if (of_run->name && strcmp(of_run->name, name) == 0) {
        return OD_OK;
    }
    *of_run = (struct od_run_items){.name = name};
    if ((status = od_path_join(folder, items->suite, items->runs->items[at].name, err)) != OD_OK ||
        (status = od_path_join(path, folder, "per_instance_stats.json", err)) != OD_OK ||
        !od_path_exists(path) || (status = od_json_read(path, &document, err)) != OD_OK) {
        return status == OD_E_LIMIT ? OD_OK : status;  // too large to read: no items are known
    }
    if (json_is_array(document)) {
        status = collect(document, path, name, split, &items->arena, of_run, err);
    } else {
        status = od_fail(err, OD_E_FORMAT, "'%s' is no list", path);
    }
    json_decref(document);
    return status;
}

// ------------------------------------------------------------------ strata

// Runs that are drawn together: the sum of their values for each item.
struct together {
    const struct od_run_items *items;  // of the first of them
    const json_t *scenario;
    double *values;  // [items->count], of those that have one
    size_t count;
};

static bool same_items(const struct od_run_items *a, const struct od_run_items *b)
{
    bool same = a->count == b->count;
    for (size_t i = 0; same && i < a->count; i++) {
        same = strcmp(a->items[i].id, b->items[i].id) == 0;
    }
    return same;
}

// The stratum of a run, one more when it is the first that asks its items; NULL without memory.
static struct together *find_together(struct together *list, size_t *count, const json_t *scenario,
                                      const struct od_run_items *items, struct od_arena *arena)
{
    for (size_t i = 0; i < *count; i++) {
        if (json_equal(list[i].scenario, scenario) && same_items(list[i].items, items)) {
            return &list[i];
        }
    }
    struct together *added = &list[(*count)++];
    *added = (struct together){.items = items, .scenario = scenario};
    added->values = od_arena_alloc(arena, items->count, sizeof *added->values);
    return added->values ? added : NULL;
}

// Add a run's values, each divided by the number of runs; false when it has none.
static bool add_run(struct together *together, const struct od_run_items *items,
                    enum od_item_case which, double runs)
{
    size_t at = 0;
    for (size_t i = 0; i < items->count; i++) {
        const double value = items->items[i].values[which];
        if (!isnan(value)) {
            together->values[at++] += value / runs;
        }
    }
    const bool same = together->count == 0 || together->count == at;
    together->count = at;
    return same && at > 0;
}

static enum od_status undefined(struct od_item_interval *ret, const char *reason)
{
    *ret = (struct od_item_interval){0};
    (void)snprintf(ret->reason, sizeof ret->reason, "%s", reason);
    return OD_OK;
}

static enum od_status draw(const struct together *list, size_t count, double score,
                           struct od_arena *arena, struct od_item_interval *ret,
                           struct od_error *err)
{
    struct od_stratum *strata = od_arena_alloc(arena, count, sizeof *strata);
    struct od_interval interval = {0};
    bool defined = false;
    double again = 0.0;
    if (!strata) {
        return od_fail(err, OD_E_MEMORY, "no memory for a bootstrap");
    }
    for (size_t s = 0; s < count; s++) {
        double sum = 0.0;
        for (size_t i = 0; i < list[s].count; i++) {
            sum += list[s].values[i];
        }
        strata[s] = (struct od_stratum){list[s].values, list[s].count};
        again += sum / (double)list[s].count;
    }
    if (!(fabs(again - score) <= SAME_SCORE * (1.0 + fabs(score)))) {
        return undefined(ret, "the items in per_instance_stats.json do not give this score");
    }
    const enum od_status status = od_bootstrap_mean(strata, count, SEED, &defined, &interval, err);
    if (status == OD_OK && !defined) {
        return undefined(ret, "all items have the same value");
    }
    if (status == OD_OK) {
        *ret = (struct od_item_interval){
            .is_defined = true, .low = interval.low, .high = interval.high};
    }
    return status;
}

// The statistic that the cell took from the run: HELM takes exact_match where there is no other. False
// when there is neither.
static bool name_in_run(const struct od_suite_run *run, const char *name, const char *split,
                        const char **ret)
{
    double ignored = 0.0;
    if (od_suite_run_mean(run, name, split, &ignored)) {
        *ret = name;
        return true;
    }
    *ret = "exact_match";
    return strcmp(name, "quasi_exact_match") == 0 && od_suite_run_mean(run, *ret, split, &ignored);
}

enum od_status od_items_interval(struct od_items *items, const char *model,
                                 const struct od_schema_group *group, const char *name,
                                 enum od_item_case which, const struct od_cell *cell,
                                 struct od_item_interval *ret, struct od_error *err)
{
    const double runs = (double)cell->stat.count;
    struct od_arena arena;
    size_t count = 0;
    bool complete = cell->stat.count > 0;
    enum od_status status = OD_OK;
    od_arena_init(&arena, ITEMS_MAX_BYTES);
    struct together *list = od_arena_alloc(&arena, items->runs->count, sizeof *list);
    if (!list) {
        status = od_fail(err, OD_E_MEMORY, "no memory for a bootstrap");
    }
    for (size_t i = 0; i < items->runs->count && complete && status == OD_OK; i++) {
        const struct od_suite_run *run = &items->runs->items[i];
        const char *own = NULL;
        if (strcmp(run->model, model) != 0 || !od_suite_run_has_group(run, group->name) ||
            !name_in_run(run, name, group->main_split, &own)) {
            continue;
        }
        status = read_items(items, i, own, group->main_split, err);
        if (status == OD_OK) {
            struct together *together =
                find_together(list, &count, json_object_get(run->spec, "scenario_spec"),
                              &items->of_run[i], &arena);
            if (!together) {
                status = od_fail(err, OD_E_MEMORY, "no memory for a bootstrap");
            } else {
                complete = add_run(together, &items->of_run[i], which, runs);
            }
        }
    }
    if (status == OD_OK) {
        status = complete && count > 0
                     ? draw(list, count, cell->stat.mean, &arena, ret, err)
                     : undefined(ret, "no items are known in per_instance_stats.json");
    }
    od_arena_release(&arena);
    return status;
}
