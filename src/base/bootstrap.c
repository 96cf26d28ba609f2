#include "base/bootstrap.h"

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/interval.h"
#include "base/memory.h"
#include "base/random.h"
#include "base/status.h"

// Drawn scores nearer to each other than this share of their spread are equal: they differ by rounding.
#define EQUAL_SHARE 1e-9

static double normal_share(double z)
{
    return 0.5 * erfc(-z / sqrt(2.0));
}

// The z with normal_share(z) = share, for a share in (0, 1).
static double normal_quantile(double share)
{
    double low = -40.0;
    double high = 40.0;
    for (int i = 0; i < 100; i++) {
        const double middle = 0.5 * (low + high);
        if (normal_share(middle) < share) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return 0.5 * (low + high);
}

static double mean_of(const struct od_stratum *stratum)
{
    double sum = 0.0;
    for (size_t i = 0; i < stratum->count; i++) {
        sum += stratum->values[i];
    }
    return sum / (double)stratum->count;
}

// What the values say: the score, its standard error, and the acceleration.
struct moments {
    double score;
    double error;
    double acceleration;
};

// False when the score is not known to vary.
static bool find_moments(const struct od_stratum *strata, size_t count, struct moments *ret)
{
    double squares = 0.0;
    double cubes = 0.0;
    *ret = (struct moments){0};
    for (size_t s = 0; s < count; s++) {
        const double n = (double)strata[s].count;
        const double mean = strata[s].count > 0 ? mean_of(&strata[s]) : (double)NAN;
        ret->score += mean;
        for (size_t i = 0; i < strata[s].count; i++) {
            const double l = strata[s].values[i] - mean;
            squares += l * l / (n * n);
            cubes += l * l * l / (n * n * n);
        }
    }
    ret->error = sqrt(squares);
    ret->acceleration = cubes / (6.0 * squares * ret->error);
    return isfinite(ret->score) && isfinite(ret->acceleration) &&
           ret->error > 1e-12 * (1.0 + fabs(ret->score));
}

// The score of resample `number`.
static double draw_score(const struct od_stratum *strata, size_t count, uint64_t seed,
                         uint32_t number)
{
    struct od_philox words = {0};
    uint64_t drawn = 0;
    double score = 0.0;
    for (size_t s = 0; s < count; s++) {
        double sum = 0.0;
        for (size_t i = 0; i < strata[s].count; i++, drawn++) {
            if (drawn % 4 == 0) {
                words = od_philox_draw(seed, 0, number, drawn / 4);
            }
            const uint64_t at = (uint64_t)words.word[drawn % 4] * strata[s].count >> 32;
            sum += strata[s].values[at];
        }
        score += sum / (double)strata[s].count;
    }
    return score;
}

static int by_value(const void *a, const void *b)
{
    const double one = *(const double *)a;
    const double two = *(const double *)b;
    return (one > two) - (one < two);
}

// The end of the interval for the quantile z of the normal distribution.
static double end_of(const double *sorted, double bias, double acceleration, double z)
{
    const double share = normal_share(bias + (bias + z) / (1.0 - acceleration * (bias + z)));
    double at = floor(share * (OD_BOOTSTRAP_RESAMPLES + 1)) - 1.0;
    at = fmin(fmax(at, 0.0), OD_BOOTSTRAP_RESAMPLES - 1);
    return sorted[(size_t)at];
}

enum od_status od_bootstrap_mean(const struct od_stratum *strata, size_t count, uint64_t seed,
                                 bool *ret_defined, struct od_interval *ret, struct od_error *err)
{
    struct moments moments = {0};
    double below = 0.0;
    if (!find_moments(strata, count, &moments)) {
        *ret_defined = false;
        return OD_OK;
    }
    double *scores = od_alloc(OD_BOOTSTRAP_RESAMPLES, sizeof *scores);
    if (!scores) {
        return od_fail(err, OD_E_MEMORY, "no memory for a bootstrap");
    }
    for (uint32_t i = 0; i < OD_BOOTSTRAP_RESAMPLES; i++) {
        scores[i] = draw_score(strata, count, seed, i);
        const double apart = scores[i] - moments.score;
        below += fabs(apart) <= EQUAL_SHARE * moments.error ? 0.5 : apart < 0.0 ? 1.0 : 0.0;
    }
    qsort(scores, OD_BOOTSTRAP_RESAMPLES, sizeof *scores, by_value);
    // A share of 0 or 1 has no quantile; half a draw does.
    below = fmin(fmax(below, 0.5), (double)OD_BOOTSTRAP_RESAMPLES - 0.5);
    const double bias = normal_quantile(below / (double)OD_BOOTSTRAP_RESAMPLES);
    const double low = end_of(scores, bias, moments.acceleration, -OD_INTERVAL_Z95);
    const double high = end_of(scores, bias, moments.acceleration, OD_INTERVAL_Z95);
    *ret = (struct od_interval){fmin(low, high), fmax(low, high)};
    *ret_defined = true;
    od_free(scores);
    return OD_OK;
}
