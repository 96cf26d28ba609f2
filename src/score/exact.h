/**
 * @file
 * Sums and means that are rounded once, so that a ranking has the digits that Python's `statistics`
 * module gives and does not depend on the order of the values.
 *
 * Every double is a whole multiple of 2^-1074. The sum is kept as one long whole number in that
 * unit, divided as such, and rounded to the nearest double (ties to even) at the very end.
 *
 * @source Python 3.10, module statistics: mean is the exact quotient rounded once, geometric_mean
 *         is exp(fsum(ln x) / n).
 * @thread Re-entrant: no state.
 */
#ifndef OD_SCORE_EXACT_H
#define OD_SCORE_EXACT_H

#include <stddef.h>

/** The most values that one sum takes; more is a programmer's mistake. */
#define OD_EXACT_VALUES_MAX ((size_t)1 << 30)

/** The sum of finite `values` [count], rounded once; 0 for none. */
double od_exact_sum(const double *values, size_t count);

/** The arithmetic mean of finite `values` [count > 0], rounded once. */
double od_exact_mean(const double *values, size_t count);

/**
 * exp(sum(ln x) / n) of `values` [count > 0], each finite and >= 0; a zero is taken as the smallest
 * positive double, so that one zero pulls the result down to almost nothing but not to log(0).
 */
double od_geometric_mean(const double *values, size_t count);

#endif
