/**
 * @file
 * The functions of vmath.h over arrays, compiled for any x86-64 and again with AVX2.
 * @thread Re-entrant: no state outside the arguments.
 */
#ifndef OD_TESTS_DEVICE_VMATH_LANES_H
#define OD_TESTS_DEVICE_VMATH_LANES_H

#include <stdint.h>

struct vmath_lanes {
    void (*exp)(float *out, const float *x, int64_t count);
    float (*sum)(const float *x, int64_t count);
    float (*max)(const float *x, int64_t count);
    float (*exp_sum)(float *out, const float *x, int64_t count, float shift);
};

extern const struct vmath_lanes vmath_lanes_any;
extern const struct vmath_lanes vmath_lanes_avx2;

#endif
