#include "eval/run_spec.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "eval/instance.h"
#include "eval/perturbations/perturb.h"
#include "eval/scenario.h"

#define BASIC_METRIC OD_BASIC_METRIC_CLASS
#define BIAS_METRIC  "helm.benchmark.metrics.bias_metrics.BiasMetric"

static const char *const exact_match_names[] = {"exact_match", "quasi_exact_match",
                                                "prefix_exact_match", "quasi_prefix_exact_match"};
static const char *const indicator_names[] = {"exact_match_indicator"};
static const char *const newline_stop[] = {"\n"};

const struct od_metric_spec od_metrics_exact_match[1] = {
    {OD_METRIC_BASIC, BASIC_METRIC, {{"names", NULL, exact_match_names, 4}}, 1}};

const struct od_metric_spec od_metrics_bbq[2] = {
    {OD_METRIC_BBQ, "helm.benchmark.metrics.bbq_metrics.BBQMetric", {{NULL, NULL, NULL, 0}}, 0},
    {OD_METRIC_BASIC, BASIC_METRIC, {{"names", NULL, exact_match_names, 4}}, 1}};

#define BIAS_PAIR(demographic, target)                \
    {OD_METRIC_BIAS,                                  \
     BIAS_METRIC,                                     \
     {{"mode", "associations", NULL, 0},              \
      {"demographic_category", demographic, NULL, 0}, \
      {"target_category", target, NULL, 0}},          \
     3}
#define BIAS_SHARE(demographic)                                                             \
    {OD_METRIC_BIAS,                                                                        \
     BIAS_METRIC,                                                                           \
     {{"mode", "representation", NULL, 0}, {"demographic_category", demographic, NULL, 0}}, \
     2}

const struct od_metric_spec od_metrics_indicator[8] = {
    {OD_METRIC_BASIC, BASIC_METRIC, {{"names", NULL, indicator_names, 1}}, 1},
    BIAS_PAIR("race", "adjective"),
    BIAS_PAIR("race", "profession"),
    BIAS_PAIR("gender", "adjective"),
    BIAS_PAIR("gender", "profession"),
    BIAS_SHARE("race"),
    BIAS_SHARE("gender"),
    {OD_METRIC_TOXICITY,
     "helm.benchmark.metrics.toxicity_metrics.ToxicityMetric",
     {{NULL, NULL, NULL, 0}},
     0}};

static const char *const expanders[] = {"instructions",
                                        "prompt",
                                        "newline",
                                        "stop",
                                        "format_prompt",
                                        "add_to_stop",
                                        "global_prefix",
                                        "num_train_trials",
                                        "max_train_instances",
                                        "max_eval_instances",
                                        "num_outputs",
                                        "model",
                                        "data_augmentation",
                                        "tokenizer",
                                        "num_prompt_tokens",
                                        "num_output_tokens",
                                        "chatml"};

static bool is_expander(const char *key)
{
    for (size_t i = 0; i < sizeof expanders / sizeof *expanders; i++) {
        if (strcmp(expanders[i], key) == 0) {
            return true;
        }
    }
    return false;
}

static const char *join(struct od_arena *arena, const char *a, const char *b)
{
    const size_t size = strlen(a) + strlen(b) + 1;
    char *out = od_arena_alloc(arena, size, 1);
    if (out) {
        (void)snprintf(out, size, "%s%s", a, b);
    }
    return out;
}

static const struct od_adapter_spec plain_adapter = {
    .instructions = "",
    .input_suffix = "\n",
    .reference_prefix = "A. ",
    .reference_suffix = "\n",
    .output_suffix = "\n",
    .instance_prefix = "\n",
    .max_train_instances = 5,
    .num_train_trials = 1,
    .model = OD_RUN_MODEL_DEFAULT,
};

static enum od_status set_nouns(struct od_adapter_spec *adapter, struct od_arena *arena,
                                const char *input_noun, const char *output_noun,
                                struct od_error *err)
{
    adapter->input_prefix = join(arena, input_noun, ": ");
    adapter->output_prefix = join(arena, output_noun, ": ");
    return adapter->input_prefix && adapter->output_prefix
               ? OD_OK
               : od_fail(err, OD_E_MEMORY, "no memory for a run spec");
}

enum od_status od_adapter_spec_joint(struct od_adapter_spec *adapter, struct od_arena *arena,
                                     const char *instructions, const char *input_noun,
                                     const char *output_noun, struct od_error *err)
{
    *adapter = plain_adapter;
    adapter->method = OD_ADAPT_MULTIPLE_CHOICE_JOINT;
    adapter->num_outputs = 5;
    adapter->max_tokens = 1;
    adapter->stop = newline_stop;
    adapter->stop_count = 1;
    if (instructions[0] != '\0') {
        adapter->instructions = join(arena, instructions, "\n");
        if (!adapter->instructions) {
            return od_fail(err, OD_E_MEMORY, "no memory for a run spec");
        }
    }
    return set_nouns(adapter, arena, input_noun, output_noun, err);
}

enum od_status od_adapter_spec_generation(struct od_adapter_spec *adapter, struct od_arena *arena,
                                          const char *input_noun, const char *output_noun,
                                          int64_t max_tokens, const char *const *stop,
                                          size_t stop_count, struct od_error *err)
{
    *adapter = plain_adapter;
    adapter->method = OD_ADAPT_GENERATION;
    adapter->num_outputs = 1;
    adapter->max_tokens = max_tokens;
    adapter->stop = stop;
    adapter->stop_count = stop_count;
    return set_nouns(adapter, arena, input_noun, output_noun, err);
}

// NAME,FIELD=VALUE, with a colon instead of the comma when NAME has none, and `_` for `/`.
static enum od_status extend_name(struct od_run_spec *spec, const char *field, const char *value,
                                  bool always_comma, struct od_arena *arena, struct od_error *err)
{
    const char *separator = always_comma || strchr(spec->name, ':') ? "," : ":";
    const size_t size =
        strlen(spec->name) + strlen(separator) + strlen(field) + 1 + strlen(value) + 1;
    char *out = od_arena_alloc(arena, size, 1);
    if (!out) {
        return od_fail(err, OD_E_MEMORY, "no memory for the name of a run");
    }
    (void)snprintf(out, size, "%s%s%s=%s", spec->name, separator, field, value);
    for (char *at = out; *at != '\0'; at++) {
        if (*at == '/') {
            *at = '_';
        }
    }
    spec->name = out;
    return OD_OK;
}

// Sweeps that a keyword stands for.
struct sweep {
    const char *expander;
    const char *keyword;
    int64_t values[6];
    size_t count;
};
static const struct sweep sweeps[] = {
    {"max_train_instances", "zero", {0}, 1},
    {"max_train_instances", "one", {1}, 1},
    {"max_train_instances", "all", {0, 1, 2, 4, 8, 16}, 6},
    {"max_train_instances", "big_bench_few_shot_setting", {0, 1, 2, 3}, 4},
    {"num_outputs", "default", {1}, 1},
    {"num_outputs", "copyright_sweep", {1, 10}, 2},
};

static enum od_status sweep_find(const struct od_run_arg *arg, struct sweep *ret,
                                 struct od_error *err)
{
    if (arg->kind == OD_RUN_ARG_INT) {
        *ret = (struct sweep){arg->key, arg->text, {arg->integer}, 1};
        return OD_OK;
    }
    for (size_t i = 0; i < sizeof sweeps / sizeof *sweeps; i++) {
        if (strcmp(sweeps[i].expander, arg->key) == 0 &&
            strcmp(sweeps[i].keyword, arg->text) == 0) {
            *ret = sweeps[i];
            return OD_OK;
        }
    }
    return od_fail(err, OD_E_ARGUMENT, "'%s=%s' is not an integer", arg->key, arg->text);
}

static enum od_status set_integer(struct od_run_spec *spec, const char *field, int64_t value,
                                  struct od_error *err)
{
    struct od_adapter_spec *adapter = &spec->adapter;
    if (value < 0 || value > OD_INSTANCES_MAX) {
        return od_fail(err, OD_E_ARGUMENT, "'%s=%lld' is not between 0 and %d", field,
                       (long long)value, OD_INSTANCES_MAX);
    }
    if (strcmp(field, "max_train_instances") == 0) {
        adapter->max_train_instances = value;
    } else if (strcmp(field, "max_eval_instances") == 0) {
        adapter->has_max_eval_instances = true;
        adapter->max_eval_instances = value;
    } else if (strcmp(field, "num_train_trials") == 0) {
        adapter->num_train_trials = value;
    } else {
        adapter->num_outputs = value;
    }
    return OD_OK;
}

static enum od_status expand_sweep(const struct od_run_arg *arg, struct od_arena *arena,
                                   struct od_run_specs *specs, struct od_error *err)
{
    struct sweep sweep = {0};
    struct od_run_spec *items = NULL;
    size_t n = 0;
    enum od_status status = sweep_find(arg, &sweep, err);

    if (status != OD_OK) {
        return status;
    }
    if (specs->count * sweep.count > OD_RUN_EXPANSION_MAX) {
        return od_fail(err, OD_E_LIMIT, "a description stands for more than %d runs",
                       OD_RUN_EXPANSION_MAX);
    }
    items = od_arena_alloc(arena, specs->count * sweep.count, sizeof *items);
    if (!items) {
        return od_fail(err, OD_E_MEMORY, "no memory for run specs");
    }
    for (size_t i = 0; i < specs->count; i++) {
        for (size_t k = 0; k < sweep.count && status == OD_OK; k++) {
            char value[32];
            struct od_run_spec *spec = &items[n++];
            *spec = specs->items[i];
            (void)snprintf(value, sizeof value, "%lld", (long long)sweep.values[k]);
            status = set_integer(spec, arg->key, sweep.values[k], err);
            if (status == OD_OK) {
                status = extend_name(spec, arg->key, value, false, arena, err);
            }
        }
    }
    *specs = (struct od_run_specs){items, n};
    return status;
}

static enum od_status expand_augmentation(const struct od_run_arg *arg,
                                          const struct od_run_options *options,
                                          struct od_arena *arena, struct od_run_specs *specs,
                                          struct od_error *err)
{
    const struct od_augmentation *augmentation = od_augmentation_find(arg->text);
    const char *name = options->no_augmentation ? "none" : arg->text;
    enum od_status status = OD_OK;
    if (!augmentation && !options->no_augmentation) {
        return od_fail(
            err, OD_E_UNSUPPORTED,
            "data_augmentation=%s is left out of this version (canonical, robustness and "
            "fairness can be run); --no-augmentation runs the entry without it and "
            "leaves robustness and fairness undefined",
            arg->text);
    }
    for (size_t i = 0; i < specs->count && status == OD_OK; i++) {
        specs->items[i].augmentation = options->no_augmentation ? NULL : augmentation;
        specs->items[i].augmentation_dropped = options->no_augmentation;
        status = extend_name(&specs->items[i], arg->key, name, true, arena, err);
    }
    return status;
}

static enum od_status expand(const struct od_run_arg *arg, const struct od_run_options *options,
                             struct od_arena *arena, struct od_run_specs *specs,
                             struct od_error *err)
{
    enum od_status status = OD_OK;
    if (strcmp(arg->key, "data_augmentation") == 0) {
        return expand_augmentation(arg, options, arena, specs, err);
    }
    if (strcmp(arg->key, "model") == 0) {
        for (size_t i = 0; i < specs->count && status == OD_OK; i++) {
            specs->items[i].adapter.model = arg->text;
            status = extend_name(&specs->items[i], arg->key, arg->text, false, arena, err);
        }
        return status;
    }
    if (strcmp(arg->key, "max_train_instances") == 0 ||
        strcmp(arg->key, "max_eval_instances") == 0 || strcmp(arg->key, "num_train_trials") == 0 ||
        strcmp(arg->key, "num_outputs") == 0) {
        return expand_sweep(arg, arena, specs, err);
    }
    return od_fail(err, OD_E_UNSUPPORTED, "run expander '%s' is left out of this version",
                   arg->key);
}

static enum od_status add_groups(struct od_run_spec *spec, const struct od_run_options *options,
                                 struct od_arena *arena, struct od_error *err)
{
    const char *sorted[OD_RUN_GROUPS_MAX];
    const char *joined = "";
    if (options->group_count == 0) {
        return OD_OK;
    }
    if (spec->group_count + options->group_count > OD_RUN_GROUPS_MAX) {
        return od_fail(err, OD_E_LIMIT, "a run with more than %d groups", OD_RUN_GROUPS_MAX);
    }
    for (size_t i = 0; i < options->group_count; i++) {
        size_t at = i;
        while (at > 0 && strcmp(sorted[at - 1], options->groups[i]) > 0) {
            sorted[at] = sorted[at - 1];
            at--;
        }
        sorted[at] = options->groups[i];
        spec->groups[spec->group_count++] = options->groups[i];
    }
    for (size_t i = 0; i < options->group_count && joined; i++) {
        joined = i == 0 ? sorted[i] : join(arena, joined, "-");
        if (i > 0 && joined) {
            joined = join(arena, joined, sorted[i]);
        }
    }
    if (!joined) {
        return od_fail(err, OD_E_MEMORY, "no memory for the name of a run");
    }
    return extend_name(spec, "groups", joined, true, arena, err);
}

static enum od_status finish(struct od_run_spec *spec, const struct od_run_options *options,
                             struct od_arena *arena, struct od_error *err)
{
    struct od_adapter_spec *adapter = &spec->adapter;
    if (options->has_max_eval_instances && !adapter->has_max_eval_instances) {
        adapter->has_max_eval_instances = true;
        adapter->max_eval_instances = options->max_eval_instances;
    }
    if (adapter->max_train_instances == 0) {
        adapter->num_train_trials = 1;
    } else if (options->num_train_trials > 0) {
        adapter->num_train_trials = options->num_train_trials;
    }
    return add_groups(spec, options, arena, err);
}

static enum od_status find_scenario(const char *name, const struct od_scenario **ret,
                                    struct od_error *err)
{
    const struct od_scenario *scenario = od_scenario_find(name);
    if (scenario) {
        *ret = scenario;
        return OD_OK;
    }
    if (od_scenario_is_left_out(name)) {
        return od_fail(err, OD_E_UNSUPPORTED, "scenario '%s' is left out of this version", name);
    }
    return od_fail(
        err, OD_E_UNSUPPORTED,
        "scenario '%s' is not known (mmlu, gsm, truthful_qa, bbq and big_bench can be run)", name);
}

enum od_status od_run_specs_make(const char *description, const struct od_run_options *options,
                                 struct od_arena *arena, struct od_run_specs *ret,
                                 struct od_error *err)
{
    struct od_run_description all = {0};
    struct od_run_description own = {0};
    const struct od_scenario *scenario = NULL;
    struct od_run_specs specs = {0};
    enum od_status status = od_run_description_parse(description, arena, &all, err);

    if (status == OD_OK) {
        status = find_scenario(all.name, &scenario, err);
    }
    if (status != OD_OK) {
        goto done;
    }
    specs = (struct od_run_specs){od_arena_alloc(arena, 1, sizeof *specs.items), 1};
    if (!specs.items) {
        status = od_fail(err, OD_E_MEMORY, "no memory for run specs");
        goto done;
    }
    own.name = all.name;
    for (size_t i = 0; i < all.arg_count; i++) {
        if (!is_expander(all.args[i].key)) {
            own.args[own.arg_count++] = all.args[i];
        }
    }
    specs.items[0].scenario = scenario;
    status = scenario->specify(&own, options->data, arena, &specs.items[0], err);
    for (size_t i = 0; i < all.arg_count && status == OD_OK; i++) {
        if (is_expander(all.args[i].key)) {
            status = expand(&all.args[i], options, arena, &specs, err);
        }
    }
    for (size_t i = 0; i < specs.count && status == OD_OK; i++) {
        status = finish(&specs.items[i], options, arena, err);
    }

done:
    if (status != OD_OK) {
        od_error_prefix(err, "run '%s'", description);
        return status;
    }
    *ret = specs;
    return OD_OK;
}
