/**
 * @file
 * From a run description to run specs, as HELM 2023 does it.
 *
 *     mmlu:model=neurips/local,subject=anatomy,max_eval_instances=4
 *
 * is a scenario's name and arguments. Arguments named like a run expander change the run spec
 * (and its name) afterwards, from left to right; the others belong to the scenario.
 *
 * @source HELM 2023-11: run entries, run expanders.
 * @thread Re-entrant: no state outside the arguments.
 */
#ifndef OD_EVAL_RUN_SPEC_H
#define OD_EVAL_RUN_SPEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"
#include "eval/perturbations/perturb.h"
#include "eval/scenario.h"

enum {
    OD_RUN_ARGS_MAX = 32,
    OD_RUN_DESCRIPTION_MAX_BYTES = 4096,
    OD_RUN_EXPANSION_MAX = 64,
    OD_RUN_GROUPS_MAX = 64,
};

/** Name of the model in run specs that do not say one. */
#define OD_RUN_MODEL_DEFAULT "neurips/local"

/** What kind of value an argument has. */
enum od_run_arg_kind { OD_RUN_ARG_TEXT, OD_RUN_ARG_INT, OD_RUN_ARG_FLOAT };

/** One key=value of a description. */
struct od_run_arg {
    const char *key;
    const char *text;  ///< as Python prints the value
    enum od_run_arg_kind kind;
    int64_t integer;
    double number;
};

/** A parsed description. */
struct od_run_description {
    const char *name;
    struct od_run_arg args[OD_RUN_ARGS_MAX];
    size_t arg_count;
};

/** Parse `text`. @memory Text of the result comes from `arena`. @error OD_E_FORMAT, OD_E_LIMIT. */
enum od_status od_run_description_parse(const char *text, struct od_arena *arena,
                                        struct od_run_description *ret,
                                        struct od_error *err) OD_MUST_CHECK;

/** The argument `key`, or NULL. @memory Borrowed from `description`. */
const struct od_run_arg *od_run_arg_find(const struct od_run_description *description,
                                         const char *key);

/** How an evaluated prompt is built. */
enum od_adapter_method { OD_ADAPT_MULTIPLE_CHOICE_JOINT, OD_ADAPT_GENERATION };

/** HELM's adapter spec; fields that no scenario here changes are constants of the writer. */
struct od_adapter_spec {
    enum od_adapter_method method;
    const char *instructions;
    const char *input_prefix;
    const char *input_suffix;
    const char *reference_prefix;
    const char *reference_suffix;
    const char *output_prefix;
    const char *output_suffix;
    const char *instance_prefix;
    int64_t max_train_instances;
    bool has_max_eval_instances;
    int64_t max_eval_instances;
    int64_t num_outputs;
    int64_t num_train_trials;
    const char *model;
    double temperature;
    bool temperature_is_integer;  ///< HELM writes 0 and not 0.0
    int64_t max_tokens;
    const char *const *stop;
    size_t stop_count;
};

/** The adapter of HELM's multiple_choice_joint family. `instructions` without the newline. */
enum od_status od_adapter_spec_joint(struct od_adapter_spec *adapter, struct od_arena *arena,
                                     const char *instructions, const char *input_noun,
                                     const char *output_noun, struct od_error *err) OD_MUST_CHECK;
/** The adapter of HELM's generation family: no instructions, one output, temperature 0. */
enum od_status od_adapter_spec_generation(struct od_adapter_spec *adapter, struct od_arena *arena,
                                          const char *input_noun, const char *output_noun,
                                          int64_t max_tokens, const char *const *stop,
                                          size_t stop_count, struct od_error *err) OD_MUST_CHECK;

/** One argument of a scenario or metric spec: a text, or a list of texts when `text` is NULL. */
struct od_spec_arg {
    const char *key;
    const char *text;
    const char *const *list;
    size_t list_count;
};

/** Which statistics are computed. */
enum od_metric_kind {
    OD_METRIC_BASIC,
    OD_METRIC_BBQ,       ///< over all requests
    OD_METRIC_BIAS,      ///< over all requests
    OD_METRIC_TOXICITY,  ///< needs an outside service that the challenge did not have: no statistics
};
struct od_metric_spec {
    enum od_metric_kind kind;
    const char *class_name;
    struct od_spec_arg args[4];
    size_t arg_count;
};

/** One run: what is asked, how, and what is computed from the answers. */
struct od_run_spec {
    const char *name;  ///< name of the run's folder
    const struct od_scenario *scenario;
    struct od_spec_arg scenario_args[4];
    size_t scenario_arg_count;
    struct od_adapter_spec adapter;
    const struct od_metric_spec *metrics;
    size_t metric_count;
    const char *groups[OD_RUN_GROUPS_MAX];
    size_t group_count;
    const char *description;  ///< for scenario.json; NULL: the scenario's
    const char *const *tags;  ///< likewise, with its description
    size_t tag_count;
    const char *sentence_tables;  ///< folder, for metrics that cut text; NULL: there are none
    const char *bias_words;       ///< file, for OD_METRIC_BIAS beside the folder; NULL: likewise
    const struct od_augmentation *augmentation;  ///< variants that are asked, too; NULL: none
    bool augmentation_dropped;                   ///< asked for and left out by --no-augmentation
};

/** HELM's class of the metrics with a value for each request. */
#define OD_BASIC_METRIC_CLASS "helm.benchmark.metrics.basic_metrics.BasicMetric"

/** HELM's list of exact match metrics for multiple choice. */
extern const struct od_metric_spec od_metrics_exact_match[1];
/** HELM's list for BBQ. */
extern const struct od_metric_spec od_metrics_bbq[2];
/** HELM's list for generation scored by exact_match_indicator, with bias and toxicity. */
extern const struct od_metric_spec od_metrics_indicator[8];

/** What holds for every entry. Initialise with `{0}`. */
struct od_run_options {
    bool has_max_eval_instances;
    int64_t max_eval_instances;  ///< for descriptions that do not say it
    int64_t num_train_trials;    ///< 0: as the description says
    const char *data;            ///< folder of the data; NULL: the current one
    bool no_augmentation;        ///< drop data_augmentation instead of refusing the entry
    const char *const *groups;   ///< groups of the entry, appended to name and groups
    size_t group_count;
};

/** Run specs of one description. */
struct od_run_specs {
    struct od_run_spec *items;
    size_t count;
};

/**
 * Parse `description` and expand it.
 * @memory The result comes from `arena`.
 * @error  OD_E_FORMAT for a broken description, OD_E_ARGUMENT for arguments that the scenario does
 *         not take, OD_E_UNSUPPORTED for what HELM knows and this version leaves out (the message
 *         names it).
 */
enum od_status od_run_specs_make(const char *description, const struct od_run_options *options,
                                 struct od_arena *arena, struct od_run_specs *ret,
                                 struct od_error *err) OD_MUST_CHECK;

#endif
