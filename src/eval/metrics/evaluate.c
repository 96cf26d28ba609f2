#include "eval/metrics/evaluate.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "eval/adapter.h"
#include "eval/instance.h"
#include "eval/metrics/basic.h"
#include "eval/metrics/bbq.h"
#include "eval/metrics/bias.h"
#include "eval/metrics/calibration.h"
#include "eval/metrics/match.h"
#include "eval/metrics/stat.h"
#include "eval/metrics/words.h"
#include "eval/run_spec.h"
#include "eval/scenario.h"

#define METRICS_MAX_BYTES ((size_t)4 << 30)

enum { VARIANTS_MAX = 64 };

void od_metrics_result_init(struct od_metrics_result *result)
{
    *result = (struct od_metrics_result){0};
    od_arena_init(&result->arena, METRICS_MAX_BYTES);
}

void od_metrics_result_release(struct od_metrics_result *result)
{
    od_stats_release(&result->aggregated);
    od_free(result->items);
    od_arena_release(&result->arena);
    *result = (struct od_metrics_result){0};
}

static enum od_status keep(struct od_metrics_result *result, const struct od_request_state *state,
                           const struct od_stats *stats, struct od_error *err)
{
    enum { FIRST = 256 };
    if (result->count == result->capacity) {
        const size_t capacity = result->capacity == 0 ? FIRST : result->capacity * 2;
        struct od_instance_stats *items = od_realloc(result->items, capacity, sizeof *items);
        if (!items) {
            return od_fail(err, OD_E_MEMORY, "no memory for statistics");
        }
        result->items = items;
        result->capacity = capacity;
    }
    struct od_stat *copy = od_arena_alloc(&result->arena, stats->count, sizeof *copy);
    if (!copy) {
        return od_fail(err, OD_E_MEMORY, "no memory for statistics");
    }
    memcpy(copy, stats->items, stats->count * sizeof *copy);
    result->items[result->count++] =
        (struct od_instance_stats){state->instance, state->trial, copy, stats->count};
    return OD_OK;
}

static bool same_context(const struct od_stat_name *a, const struct od_stat_name *b)
{
    return a->has_split == b->has_split && (!a->has_split || a->split == b->split) &&
           od_perturbation_same(a->perturbation, b->perturbation);
}

// The variants of one statistic of one instance.
struct variants {
    const struct od_stat *original;
    struct od_stat worst[2];  // over robustness and over fairness
    const struct od_stat *each[VARIANTS_MAX];
    size_t each_count;
};

static void collect_variants(const struct od_instance_stats *items, size_t count, const char *name,
                             struct variants *out)
{
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < items[i].count; k++) {
            const struct od_stat *stat = &items[i].stats[k];
            if (strcmp(stat->name.name, name) != 0) {
                continue;
            }
            if (!stat->name.perturbation) {
                out->original = stat;
                continue;
            }
            if (stat->name.perturbation->robustness) {
                od_stat_merge(&out->worst[0], stat);
            }
            if (stat->name.perturbation->fairness) {
                od_stat_merge(&out->worst[1], stat);
            }
            if (out->each_count < VARIANTS_MAX) {
                out->each[out->each_count++] = stat;
            }
        }
    }
}

static void put_smallest(const struct od_stat *stat, struct od_stat_name name, struct od_stats *out)
{
    if (stat->count > 0) {
        struct od_stat smallest = od_stat_init(name);
        od_stat_add(&smallest, stat->min);
        od_stats_merge(out, &smallest);
    }
}

// The name `name` about the perturbation `of`, computed on something else.
static struct od_stat_name name_on(struct od_stat_name name, const struct od_perturbation *of,
                                   const char *computed_on, struct od_arena *arena,
                                   struct od_stats *out)
{
    struct od_perturbation *changed = od_arena_alloc(arena, 1, sizeof *changed);
    if (changed) {
        *changed = *of;
        changed->computed_on = computed_on;
    }
    out->failed = out->failed || !changed;
    name.perturbation = changed;
    return name;
}

// The worst case of one statistic of one instance over its variants items[0 .. count).
static void worst_of_stat(const struct od_instance_stats *items, size_t count,
                          const struct od_stat *example, struct od_arena *arena,
                          struct od_stats *out)
{
    static const struct od_perturbation kinds[2] = {{"robustness", true, false, "worst", NULL, 0},
                                                    {"fairness", false, true, "worst", NULL, 0}};
    struct od_stat_name name = example->name;
    struct variants variants = {0};

    for (size_t i = 0; i < 2; i++) {
        name.perturbation = &kinds[i];
        variants.worst[i] = od_stat_init(name);
    }
    collect_variants(items, count, name.name, &variants);
    for (size_t i = 0; i < 2; i++) {
        if (variants.original) {
            od_stat_merge(&variants.worst[i], variants.original);
        }
        put_smallest(&variants.worst[i], variants.worst[i].name, out);
    }
    for (size_t i = 0; i < variants.each_count; i++) {
        struct od_stat merged = *variants.each[i];
        const struct od_perturbation *of = merged.name.perturbation;
        if (variants.original) {
            struct od_stat before = *variants.original;
            before.name = name_on(name, of, "original", arena, out);
            od_stats_merge(out, &before);
            od_stat_merge(&merged, variants.original);
        }
        put_smallest(&merged, name_on(name, of, "worst", arena, out), out);
    }
}

void od_worst_case(const struct od_instance_stats *items, size_t count, struct od_arena *arena,
                   struct od_stats *out)
{
    size_t first = 0;
    while (first < count) {
        size_t last = first + 1;
        while (last < count && strcmp(items[last].instance->id, items[first].instance->id) == 0) {
            last++;
        }
        for (size_t k = 0; k < items[first].count; k++) {
            worst_of_stat(items + first, last - first, &items[first].stats[k], arena, out);
        }
        first = last;
    }
}

// The statistic `name` among those of an instance, or NULL.
static const struct od_stat *stat_of(const struct od_instance_stats *item, const char *name)
{
    for (size_t i = 0; i < item->count; i++) {
        if (strcmp(item->stats[i].name.name, name) == 0) {
            return &item->stats[i];
        }
    }
    return NULL;
}

static void merge_float(struct od_stats *stats, struct od_stat_name context, const char *name,
                        double value)
{
    context.name = name;
    struct od_stat stat = od_stat_init(context);
    od_stat_add(&stat, od_number_float(value));
    od_stats_merge(stats, &stat);
}

// Calibration and the number of instances of one context.
static enum od_status derive_from_instances(const struct od_instance_stats *items, size_t count,
                                            struct od_stat_name context, struct od_stats *stats,
                                            struct od_error *err)
{
    struct od_calibration calibration = {0};
    struct od_calibration_point *points = od_alloc(count, sizeof *points);
    size_t instances = 0;
    size_t n = 0;
    bool has_logprobs = false;
    enum od_status status = OD_OK;

    if (!points) {
        return od_fail(err, OD_E_MEMORY, "no memory for calibration");
    }
    for (size_t i = 0; i < count; i++) {
        if (!same_context(&items[i].stats[0].name, &context)) {
            continue;
        }
        const struct od_stat *logprob = stat_of(&items[i], "logprob");
        const struct od_stat *right = stat_of(&items[i], "exact_match");
        const struct od_stat *probability = stat_of(&items[i], "max_prob");
        has_logprobs = has_logprobs || (logprob && logprob->sum.value < 0.0);
        instances++;
        if (right && probability) {
            points[n++] =
                (struct od_calibration_point){probability->mean, right->mean >= 1.0 ? 1 : 0};
        }
    }
    if (has_logprobs && n > 0) {
        status = od_calibration_compute(points, n, &calibration, err);
        merge_float(stats, context, "ece_10_bin", calibration.ece_10_bin);
        merge_float(stats, context, "ece_1_bin", calibration.ece_1_bin);
        merge_float(stats, context, "selective_cov_acc_area", calibration.selective_cov_acc_area);
        merge_float(stats, context, "selective_acc@10", calibration.selective_acc_10);
    }
    context.name = "num_instances";
    struct od_stat stat = od_stat_init(context);
    od_stat_add(&stat, od_number_int((int64_t)instances));
    od_stats_merge(stats, &stat);
    od_free(points);
    return status;
}

enum { CONTEXTS_MAX = 64 };

// Contexts (split and perturbation) in order of first appearance.
struct contexts {
    struct od_stat_name items[CONTEXTS_MAX];
    size_t count;
};

static enum od_status find_contexts(const struct od_instance_stats *items, size_t count,
                                    struct contexts *out, struct od_error *err)
{
    out->count = 0;
    for (size_t i = 0; i < count; i++) {
        size_t at = 0;
        while (at < out->count && !same_context(&out->items[at], &items[i].stats[0].name)) {
            at++;
        }
        if (at == CONTEXTS_MAX) {
            return od_fail(err, OD_E_LIMIT, "more than %d splits and perturbations", CONTEXTS_MAX);
        }
        if (at == out->count) {
            out->items[out->count++] = items[i].stats[0].name;
        }
    }
    return OD_OK;
}

// A metric object: HELM's BasicMetric, BBQMetric or BiasMetric, or the score of the last number, which is
// ours.
struct metric {
    enum { BASIC, BBQ, BIAS, LAST_NUMBER } kind;
    struct od_basic_metric basic;  // of BASIC and LAST_NUMBER
    struct od_bias_metric bias;    // of BIAS
};

static bool is_per_request(const struct metric *metric)
{
    return metric->kind == BASIC || metric->kind == LAST_NUMBER;
}

static enum od_status derive(const struct metric *metric, const struct od_instance_stats *items,
                             size_t count, struct od_stats *stats, struct od_error *err)
{
    struct contexts contexts = {0};
    enum od_status status = find_contexts(items, count, &contexts, err);
    if (metric->kind != BASIC) {
        return status;
    }
    for (size_t i = 0; i < contexts.count && status == OD_OK; i++) {
        od_basic_derive(stats, contexts.items[i]);
    }
    for (size_t i = 0; i < contexts.count && status == OD_OK; i++) {
        status = derive_from_instances(items, count, contexts.items[i], stats, err);
    }
    return status;
}

static enum od_status evaluate_trial(const struct od_run_spec *spec, const struct metric *metric,
                                     const struct od_request_state *states, size_t count,
                                     struct od_metrics_result *result, struct od_stats *global,
                                     struct od_error *err)
{
    struct od_stats one = {0};
    struct od_stats trial = {0};
    const size_t first = result->count;
    enum od_status status = OD_OK;

    if (metric->kind == BBQ) {
        od_bbq_evaluate(states, count, &trial);
    } else if (metric->kind == BIAS) {
        status = od_bias_evaluate(&metric->bias, states, count, &result->arena, &trial, err);
    }
    for (size_t i = 0; i < count && is_per_request(metric) && status == OD_OK; i++) {
        one.count = 0;
        status = metric->kind == BASIC
                     ? od_basic_evaluate(&metric->basic, &states[i], &result->arena, &one, err)
                     : od_basic_score(&metric->basic, metric->basic.names[0], &states[i],
                                      &result->arena, &one, err);
        for (size_t k = 0; k < one.count; k++) {
            od_stats_merge(&trial, &one.items[k]);
        }
        if (status == OD_OK) {
            status = keep(result, &states[i], &one, err);
        }
    }
    const struct od_instance_stats *items = result->items ? &result->items[first] : NULL;
    const size_t kept = result->count - first;
    if (status == OD_OK && items) {
        status = derive(metric, items, kept, &trial, err);
    }
    if (status == OD_OK && items && !spec->augmentation_dropped) {
        od_worst_case(items, kept, &result->arena, &trial);
    }
    for (size_t i = 0; i < trial.count; i++) {
        const struct od_stat mean = od_stat_take_mean(&trial.items[i]);
        od_stats_merge(global, &mean);
    }
    if (status == OD_OK) {
        status = od_stats_check(&trial, err);
    }
    od_stats_release(&one);
    od_stats_release(&trial);
    return status;
}

static enum od_status evaluate_metric(const struct od_run_spec *spec, const struct metric *metric,
                                      const struct od_request_states *states,
                                      struct od_metrics_result *result, struct od_error *err)
{
    struct od_stats global = {0};
    enum od_status status = OD_OK;
    size_t first = 0;

    while (first < states->count && status == OD_OK) {
        size_t last = first;
        while (last < states->count && states->items[last].trial == states->items[first].trial) {
            last++;
        }
        status =
            evaluate_trial(spec, metric, states->items + first, last - first, result, &global, err);
        first = last;
    }
    for (size_t i = 0; i < global.count; i++) {
        od_stats_append(&result->aggregated, &global.items[i]);
    }
    if (status == OD_OK) {
        status = od_stats_check(&global, err);
    }
    od_stats_release(&global);
    return status;
}

// What metrics of text need.
struct tools {
    struct od_word_cutter *cutter;  // NULL: metrics that need it are absent
    struct od_bias_words words;
    bool has_words;
};

static bool needs_cutter(const struct od_run_spec *spec)
{
    for (size_t i = 0; i < spec->metric_count; i++) {
        const struct od_spec_arg *names = &spec->metrics[i].args[0];
        if (spec->metrics[i].kind == OD_METRIC_BIAS && spec->bias_words) {
            return true;
        }
        for (size_t k = 0; spec->metrics[i].kind == OD_METRIC_BASIC && k < names->list_count; k++) {
            if (od_match_needs_words(names->list[k])) {
                return true;
            }
        }
    }
    return false;
}

static enum od_status open_tools(const struct od_run_spec *spec, struct tools *tools,
                                 struct od_error *err)
{
    od_bias_words_init(&tools->words);
    if (!spec->sentence_tables || !needs_cutter(spec)) {
        return OD_OK;
    }
    enum od_status status = od_word_cutter_open(spec->sentence_tables, &tools->cutter, err);
    if (status == OD_OK && spec->bias_words) {
        status = od_bias_words_read(&tools->words, spec->bias_words, err);
        tools->has_words = status == OD_OK;
    }
    return status;
}

// False for a metric that yields nothing here.
static bool make_metric(const struct od_run_spec *spec, const struct od_metric_spec *from,
                        const struct tools *tools, struct metric *out)
{
    switch (from->kind) {
    case OD_METRIC_BASIC:
        *out = (struct metric){
            .kind = BASIC,
            .basic = {&spec->adapter, from->args[0].list, from->args[0].list_count, tools->cutter}};
        return true;
    case OD_METRIC_BBQ: *out = (struct metric){.kind = BBQ}; return true;
    case OD_METRIC_BIAS:
        *out = (struct metric){.kind = BIAS,
                               .bias = {&tools->words, tools->cutter, from->args, from->arg_count}};
        return tools->has_words;
    case OD_METRIC_TOXICITY: return false;
    }
    return false;
}

enum od_status od_metrics_evaluate(const struct od_run_spec *spec,
                                   const struct od_request_states *states,
                                   struct od_metrics_result *result, struct od_error *err)
{
    static const char *const final_number[] = {"final_number_exact_match"};
    const struct metric number = {.kind = LAST_NUMBER,
                                  .basic = {&spec->adapter, final_number, 1, NULL}};
    struct tools tools = {0};
    enum od_status status = open_tools(spec, &tools, err);

    for (size_t i = 0; i < spec->metric_count && status == OD_OK; i++) {
        struct metric metric = {0};
        if (make_metric(spec, &spec->metrics[i], &tools, &metric)) {
            status = evaluate_metric(spec, &metric, states, result, err);
        }
    }
    if (status == OD_OK && spec->scenario->final_number) {
        status = evaluate_metric(spec, &number, states, result, err);
    }
    od_bias_words_release(&tools.words);
    od_word_cutter_close(tools.cutter);
    return status == OD_OK ? od_stats_check(&result->aggregated, err) : status;
}
