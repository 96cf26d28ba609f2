#include "base/interval.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>

bool od_interval_share_of(double p, double items, struct od_interval *ret)
{
    if (!(p >= 0.0 && p <= 1.0) || !(items > 0.0)) {
        return false;
    }
    const double n = items;
    const double z2 = OD_INTERVAL_Z95 * OD_INTERVAL_Z95;
    const double scale = 1.0 + z2 / n;
    const double centre = (p + z2 / (2.0 * n)) / scale;
    const double half = OD_INTERVAL_Z95 * sqrt(p * (1.0 - p) / n + z2 / (4.0 * n * n)) / scale;
    // At p = 0 and p = 1 one bound is exact; rounding must not push it out of [0, 1].
    ret->low = p <= 0.0 ? 0.0 : fmax(0.0, centre - half);
    ret->high = p >= 1.0 ? 1.0 : fmin(1.0, centre + half);
    return true;
}

bool od_interval_share(int64_t right, int64_t items, struct od_interval *ret)
{
    if (right < 0 || right > items || items <= 0) {
        return false;
    }
    return od_interval_share_of((double)right / (double)items, (double)items, ret);
}

bool od_interval_mean(double sum, double sum_squared, int64_t items, struct od_interval *ret)
{
    if (items < 2 || !isfinite(sum) || !isfinite(sum_squared)) {
        return false;
    }
    const double n = (double)items;
    const double mean = sum / n;
    // Rounding can leave a tiny negative sum of squared deviations when all values are equal.
    const double squares = fmax(0.0, sum_squared - mean * sum);
    const double half = OD_INTERVAL_Z95 * sqrt(squares / (n - 1.0) / n);
    *ret = (struct od_interval){.low = mean - half, .high = mean + half};
    return true;
}
