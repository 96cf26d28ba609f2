/**
 * @file
 * How far a mean of means can be trusted: a bootstrap interval at 95 %, bias-corrected and
 * accelerated (BCa).
 *
 * The score is a sum over strata of the mean of the stratum's values:
 *
 *     score = sum over s of mean(values of s)
 *
 * (a mean over runs is that, with each value divided by the number of runs). Each of
 * OD_BOOTSTRAP_RESAMPLES times every stratum is drawn anew from its own values, with replacement. The
 * ends are quantiles of the scores that come out, at Phi(z0 + (z0 + z) / (1 - a (z0 + z))) for
 * z = -1.96 and 1.96, where z0 comes from the share of drawn scores below the score (half of those
 * that are equal), and a from the values l = value - mean of stratum, n_s of them:
 *
 *     a = sum_s(sum l^3 / n_s^3) / (6 sum_s(sum l^2 / n_s^2)^1.5)
 *
 * @source B. Efron, "Better bootstrap confidence intervals", JASA 82 (1987) 171-185; several samples:
 *         A. C. Davison, D. V. Hinkley, "Bootstrap methods and their application", 1997, chapters 3
 *         and 5.
 * @thread Re-entrant: no state outside the arguments.
 */
#ifndef OD_BASE_BOOTSTRAP_H
#define OD_BASE_BOOTSTRAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/interval.h"
#include "base/status.h"

enum { OD_BOOTSTRAP_RESAMPLES = 3999 };

/** Values that are drawn from each other. */
struct od_stratum {
    const double *values;  ///< [count], finite
    size_t count;
};

/**
 * The interval of the sum of the strata's means.
 * @param seed        The same seed and values give the same interval.
 * @param ret_defined False (and *ret not written) when the values say nothing about how the score
 *                    varies: no stratum, an empty one, a value that is not finite, or none that
 *                    differs from its stratum's mean.
 * @order Sums run left to right.
 * @error OD_E_MEMORY.
 */
enum od_status od_bootstrap_mean(const struct od_stratum *strata, size_t count, uint64_t seed,
                                 bool *ret_defined, struct od_interval *ret,
                                 struct od_error *err) OD_MUST_CHECK;

#endif
