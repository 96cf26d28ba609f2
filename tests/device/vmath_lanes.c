// Compiled twice, see vmath_lanes.h.

#include "vmath_lanes.h"

#include <stdint.h>

#include "device/cpu/vmath.h"

static void exp_of(float *out, const float *x, int64_t count)
{
    for (int64_t i = 0; i + OD_V8_LANES <= count; i += OD_V8_LANES) {
        od_v8_store(out + i, od_v8_exp(od_v8_load(x + i)));
    }
}

static float sum_of(const float *x, int64_t count)
{
    return od_v8_sum_of(x, count);
}

static float max_of(const float *x, int64_t count)
{
    return od_v8_max_of(x, count);
}

static float exp_sum_of(float *out, const float *x, int64_t count, float shift)
{
    return od_v8_exp_sum_of(out, x, count, shift);
}

#ifdef __AVX2__
const struct vmath_lanes vmath_lanes_avx2 = {exp_of, sum_of, max_of, exp_sum_of};
#else
const struct vmath_lanes vmath_lanes_any = {exp_of, sum_of, max_of, exp_sum_of};
#endif
