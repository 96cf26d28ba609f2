/**
 * @file
 * NumPy's argsort and sum, whose results depend on the order of their steps.
 *
 * argsort is not stable: where numbers are equal, their order follows from the steps of the algorithm, and
 * what HELM sums in that order depends on it. The steps: quicksort with the median of first, middle and
 * last as pivot, insertion sort for up to 16 numbers, and heapsort below 2 log2(n) partitions.
 *
 * @source NumPy 1.23.5, observed; D. R. Musser, "Introspective sorting and selection algorithms", 1997.
 *         From NumPy 1.25 on processors with AVX-512 order equal numbers in another way.
 * @thread Re-entrant: no state outside the arguments.
 */
#ifndef OD_EVAL_METRICS_NUMPY_H
#define OD_EVAL_METRICS_NUMPY_H

#include <stddef.h>

/** Write to `order` [count] the places of `values` [count], none of them NaN, from the smallest on. */
void od_numpy_argsort(const double *values, size_t count, size_t *order);

/** The sum of `values` [count].
 *  @order Eight running sums for 8 to 128 numbers, halves above, from left to right below. */
double od_numpy_sum(const double *values, size_t count);

#endif
