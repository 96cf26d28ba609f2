/**
 * @file
 * The part of HELM's schema that the 2023 challenge uses: groups of runs, the metrics that their
 * tables show, and how columns are called.
 *
 * @source HELM 2023-11: schema of groups and metrics.
 * @thread Re-entrant: constant data.
 */
#ifndef OD_EVAL_SCHEMA_H
#define OD_EVAL_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>

/** Tables of a summary, as bits. */
enum od_metric_group {
    OD_GROUP_ACCURACY = 1 << 0,
    OD_GROUP_CALIBRATION = 1 << 1,
    OD_GROUP_ROBUSTNESS = 1 << 2,
    OD_GROUP_FAIRNESS = 1 << 3,
    OD_GROUP_EFFICIENCY = 1 << 4,
    OD_GROUP_GENERAL = 1 << 5,
    OD_GROUP_BIAS = 1 << 6,
    OD_GROUP_TOXICITY = 1 << 7,
    OD_GROUP_SUMMARIZATION = 1 << 8,
    OD_GROUP_BBQ = 1 << 9,
};

/** A group of runs. */
struct od_schema_group {
    const char *name;        ///< as in run_spec.json
    const char *short_name;  ///< as in the headers of tables
    unsigned metric_groups;  ///< bits of od_metric_group
    const char *main_name;   ///< the metric that stands for accuracy
    const char *main_split;  ///< the split that counts
    bool in_core;            ///< has columns in core_scenarios
    bool in_targeted;        ///< has columns in targeted_evaluations
};

/** Groups in the order of core_scenarios; bbq, which is in targeted_evaluations only, last. */
extern const struct od_schema_group od_schema_groups[];
extern const size_t od_schema_group_count;

/** Whether a smaller value is better; unknown for plain counts. */
enum od_direction { OD_HIGHER_IS_BETTER, OD_LOWER_IS_BETTER, OD_NO_DIRECTION };

/** A metric of a table. */
struct od_schema_metric {
    const char *name;  ///< NULL: the group's main metric
    const char *short_name;
    const char *perturbation;  ///< robustness, fairness, or NULL
    enum od_direction direction;
};

/** A table. */
struct od_schema_table {
    enum od_metric_group bit;
    const char *name;   ///< accuracy
    const char *title;  ///< Accuracy
    struct od_schema_metric metrics[9];
    size_t metric_count;
};

/** Tables in the order of core_scenarios. */
extern const struct od_schema_table od_schema_core[];
extern const size_t od_schema_core_count;
/** Tables in the order of targeted_evaluations. */
extern const unsigned od_schema_targeted_order[];
extern const size_t od_schema_targeted_count;

/** The table of a bit, or NULL. */
const struct od_schema_table *od_schema_table_of(unsigned bit);
/** Short name of a main metric: EM, ROUGE-2, ... */
const char *od_schema_short_name(const char *metric);

#endif
