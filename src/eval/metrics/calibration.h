/**
 * @file
 * How well a model's probabilities agree with how often it is right.
 *
 * @source HELM 2023-11: calibration metrics; uncertainty-calibration 0.1.4.
 * @thread Re-entrant: no state outside the arguments.
 */
#ifndef OD_EVAL_METRICS_CALIBRATION_H
#define OD_EVAL_METRICS_CALIBRATION_H

#include <stddef.h>

#include "base/status.h"

/** An answer: the model's probability, and whether it was right (0 or 1). */
struct od_calibration_point {
    double probability;
    int right;
};

/** What is computed from `count` answers. */
struct od_calibration {
    double ece_10_bin;              ///< expected calibration error, ten bins of equal mass
    double ece_1_bin;               ///< with a single bin
    double selective_cov_acc_area;  ///< mean accuracy over all shares of the most confident
    double selective_acc_10;        ///< accuracy on the most confident tenth
};

/**
 * @param points [count], count >= 1, in request order.
 * @order  Answers of equal probability are taken in the order of NumPy's argsort, see numpy.h.
 * @error  OD_E_MEMORY.
 */
enum od_status od_calibration_compute(const struct od_calibration_point *points, size_t count,
                                      struct od_calibration *ret,
                                      struct od_error *err) OD_MUST_CHECK;

#endif
