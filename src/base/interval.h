/**
 * @file
 * How far a score can be trusted: 95 % confidence intervals for a share and for a mean.
 *
 * A share is k right answers of n items (exact match); its interval is Wilson's, which stays inside
 * [0, 1] and keeps its width at 0 and at n, where the textbook p +- z sqrt(p (1 - p) / n) has none:
 *
 *     centre = (p + z^2 / 2n) / (1 + z^2 / n)
 *     half   = z sqrt(p (1 - p) / n + z^2 / 4n^2) / (1 + z^2 / n)
 *
 * A mean of values that are not 0 or 1 (ROUGE) gets mean +- z s / sqrt(n).
 *
 * @source E. B. Wilson, "Probable inference, the law of succession, and statistical inference",
 *         JASA 22 (1927) 209-212; L. D. Brown, T. T. Cai, A. DasGupta, "Interval estimation for a
 *         binomial proportion", Statistical Science 16 (2001) 101-133, section 3.1.1.
 * @thread Re-entrant: no state.
 */
#ifndef OD_BASE_INTERVAL_H
#define OD_BASE_INTERVAL_H

#include <stdbool.h>
#include <stdint.h>

/** The 0.975 quantile of the standard normal distribution. */
#define OD_INTERVAL_Z95 1.959963984540054

struct od_interval {
    double low;
    double high;
};

/** Wilson's interval for `right` of `items`; false (nothing written) unless 0 <= right <= items and
 *  items > 0. */
bool od_interval_share(int64_t right, int64_t items, struct od_interval *ret);

/**
 * Wilson's interval for a share `p` that is a mean over `items` items and no plain count, as an
 * average over subjects is; `items` may be a fraction. False unless 0 <= p <= 1 and items > 0.
 */
bool od_interval_share_of(double p, double items, struct od_interval *ret);

/**
 * Normal interval for the mean of `items` values whose sum and sum of squares are given; the
 * variance is the unbiased one (divided by items - 1). False when items < 2 or a sum is not finite.
 */
bool od_interval_mean(double sum, double sum_squared, int64_t items, struct od_interval *ret);

#endif
