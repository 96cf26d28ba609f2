#include "eval/metrics/stat.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "eval/instance.h"

struct od_number od_number_int(int64_t value)
{
    return (struct od_number){(double)value, true};
}

struct od_number od_number_float(double value)
{
    return (struct od_number){value, false};
}

bool od_stat_name_same(const struct od_stat_name *a, const struct od_stat_name *b)
{
    return a->has_split == b->has_split && (!a->has_split || a->split == b->split) &&
           (a->name == b->name || strcmp(a->name, b->name) == 0) &&
           od_perturbation_same(a->perturbation, b->perturbation);
}

struct od_stat od_stat_init(struct od_stat_name name)
{
    return (struct od_stat){.name = name, .sum = od_number_int(0), .sum_squared = od_number_int(0)};
}

static struct od_number plus(struct od_number a, struct od_number b)
{
    return (struct od_number){a.value + b.value, a.integer && b.integer};
}

// Python's x**2 asks the C library for a power, whose last bit is not always that of x * x; a
// constant exponent would be compiled to a product.
static double square(double x)
{
    const volatile double two = 2.0;
    return pow(x, two);
}

static void update(struct od_stat *stat)
{
    if (stat->count > 0) {
        const double count = (double)stat->count;
        stat->mean = stat->sum.value / count;
        const double variance = stat->sum_squared.value / count - square(stat->mean);
        stat->variance = variance < 0.0 ? od_number_int(0) : od_number_float(variance);
        stat->stddev = sqrt(stat->variance.value);
    }
}

// Of two equal numbers the older stays, so that an integer is not replaced by a float.
static void widen(struct od_stat *stat, struct od_number min, struct od_number max)
{
    if (stat->count == 0) {
        stat->min = min;
        stat->max = max;
        return;
    }
    if (min.value < stat->min.value) {
        stat->min = min;
    }
    if (max.value > stat->max.value) {
        stat->max = max;
    }
}

void od_stat_add(struct od_stat *stat, struct od_number value)
{
    widen(stat, value, value);
    stat->sum = plus(stat->sum, value);
    stat->sum_squared =
        plus(stat->sum_squared, (struct od_number){value.value * value.value, value.integer});
    stat->count++;
    update(stat);
}

void od_stat_merge(struct od_stat *stat, const struct od_stat *other)
{
    if (other->count > 0) {
        widen(stat, other->min, other->max);
    }
    stat->sum = plus(stat->sum, other->sum);
    stat->sum_squared = plus(stat->sum_squared, other->sum_squared);
    stat->count += other->count;
    update(stat);
}

struct od_stat od_stat_take_mean(const struct od_stat *stat)
{
    if (stat->count == 0) {
        return *stat;
    }
    struct od_stat out = od_stat_init(stat->name);
    od_stat_add(&out, od_number_float(stat->mean));
    return out;
}

void od_stats_release(struct od_stats *stats)
{
    od_free(stats->items);
    *stats = (struct od_stats){0};
}

void od_stats_append(struct od_stats *stats, const struct od_stat *stat)
{
    enum { FIRST = 32 };
    if (stats->count == stats->capacity) {
        const size_t capacity = stats->capacity == 0 ? FIRST : stats->capacity * 2;
        struct od_stat *items = od_realloc(stats->items, capacity, sizeof *items);
        if (!items) {
            stats->failed = true;
            return;
        }
        stats->items = items;
        stats->capacity = capacity;
    }
    stats->items[stats->count++] = *stat;
}

static size_t find(const struct od_stats *stats, const struct od_stat_name *name)
{
    size_t i = 0;
    while (i < stats->count && !od_stat_name_same(&stats->items[i].name, name)) {
        i++;
    }
    return i;
}

void od_stats_merge(struct od_stats *stats, const struct od_stat *stat)
{
    const size_t at = find(stats, &stat->name);
    if (at < stats->count) {
        od_stat_merge(&stats->items[at], stat);
    } else {
        od_stats_append(stats, stat);
    }
}

const struct od_stat *od_stats_find(const struct od_stats *stats, const struct od_stat_name *name)
{
    const size_t at = find(stats, name);
    return at < stats->count ? &stats->items[at] : NULL;
}

enum od_status od_stats_check(const struct od_stats *stats, struct od_error *err)
{
    return stats->failed ? od_fail(err, OD_E_MEMORY, "no memory for statistics") : OD_OK;
}
