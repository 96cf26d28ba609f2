/**
 * @file
 * HELM's statistic: count, sum, sum of squares, smallest, largest and what follows from them.
 *
 * Sums run in the order in which values are added, in plain double arithmetic. Whether a number is
 * an integer or a float is carried along, because HELM's files print `1` and `1.0` differently.
 *
 * @source HELM 2023-11: Stat, merge_stat.
 * @thread Re-entrant: distinct objects from distinct threads.
 */
#ifndef OD_EVAL_METRICS_STAT_H
#define OD_EVAL_METRICS_STAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "eval/instance.h"

/** A number that remembers whether Python would hold it as an integer. */
struct od_number {
    double value;
    bool integer;
};

/** An integer; exact up to 2^53. */
struct od_number od_number_int(int64_t value);
/** A float. */
struct od_number od_number_float(double value);

/** What a statistic is about. */
struct od_stat_name {
    const char *name;  ///< kept: outlives the statistic
    bool has_split;
    enum od_split split;
    const struct od_perturbation *perturbation;  ///< kept; NULL: none
};

/** True when all parts are equal. */
bool od_stat_name_same(const struct od_stat_name *a, const struct od_stat_name *b);

/** A statistic. Initialise with od_stat_init. */
struct od_stat {
    struct od_stat_name name;
    int64_t count;
    struct od_number sum;
    struct od_number sum_squared;
    // The rest has values only when count > 0.
    struct od_number min;
    struct od_number max;
    double mean;
    struct od_number variance;
    double stddev;
};

/** Nothing added yet. */
struct od_stat od_stat_init(struct od_stat_name name);
/** Add one value. */
void od_stat_add(struct od_stat *stat, struct od_number value);
/** Add everything that was added to `other`; its name does not matter. */
void od_stat_merge(struct od_stat *stat, const struct od_stat *other);
/** A statistic of one value, the mean of `stat`; `stat` itself when it has no value. */
struct od_stat od_stat_take_mean(const struct od_stat *stat);

/** Statistics by name, in order of first appearance. Initialise with `{0}`. */
struct od_stats {
    struct od_stat *items;
    size_t count;
    size_t capacity;  ///< private
    bool failed;      ///< memory ran out; see od_stats_check
};
void od_stats_release(struct od_stats *stats);
/** Merge into the statistic of the same name, or append a copy. */
void od_stats_merge(struct od_stats *stats, const struct od_stat *stat);
/** Append without looking for the name. */
void od_stats_append(struct od_stats *stats, const struct od_stat *stat);
/** The statistic with this name, or NULL. @memory Borrowed until the next change. */
const struct od_stat *od_stats_find(const struct od_stats *stats, const struct od_stat_name *name);
/** OD_OK, or OD_E_MEMORY when an append or merge failed. */
enum od_status od_stats_check(const struct od_stats *stats, struct od_error *err) OD_MUST_CHECK;

#endif
