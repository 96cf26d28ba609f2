/**
 * @file
 * Eight floats at a time: exponential, sums and maxima with the same bits on every processor.
 *
 * All functions are inline, so that a file of operations can be compiled twice, for any x86-64 and
 * with -mavx2, and chosen at run time. Both give the same bits: only additions, multiplications,
 * comparisons and integer operations on lanes are used, nothing is contracted (-ffp-contract=off),
 * and lanes are combined in one fixed tree.
 *
 * @order A sum over an array adds element i to lane i % 8, ascending in i, each lane from +0, and
 *        then the lanes as ((0 + 4) + (2 + 6)) + ((1 + 5) + (3 + 7)).
 * @thread Re-entrant: no state outside the arguments.
 */
#ifndef OD_DEVICE_CPU_VMATH_H
#define OD_DEVICE_CPU_VMATH_H

#include <math.h>
#include <stdint.h>
#include <string.h>

// Vectors pass between functions only by inlining, so the calling convention does not matter.
#pragma GCC diagnostic ignored "-Wpsabi"

#define OD_V8_INLINE static inline __attribute__((always_inline, unused))

enum { OD_V8_LANES = 8 };

typedef float od_v8 __attribute__((vector_size(32)));
/** Eight integers; what a comparison of od_v8 gives: all bits set where it holds. */
typedef int32_t od_v8i __attribute__((vector_size(32)));

/** Eight floats from memory of any alignment. */
OD_V8_INLINE od_v8 od_v8_load(const float *from)
{
    od_v8 x;
    memcpy(&x, from, sizeof x);
    return x;
}

/** The first `count` (0 to 8) floats, `fill` in the other lanes. */
OD_V8_INLINE od_v8 od_v8_load_part(const float *from, int64_t count, float fill)
{
    float lanes[OD_V8_LANES] = {fill, fill, fill, fill, fill, fill, fill, fill};
    memcpy(lanes, from, (size_t)count * sizeof *from);
    return od_v8_load(lanes);
}

OD_V8_INLINE void od_v8_store(float *to, od_v8 x)
{
    memcpy(to, &x, sizeof x);
}

/** The first `count` (0 to 8) lanes to memory. */
OD_V8_INLINE void od_v8_store_part(float *to, od_v8 x, int64_t count)
{
    float lanes[OD_V8_LANES];
    od_v8_store(lanes, x);
    memcpy(to, lanes, (size_t)count * sizeof *to);
}

OD_V8_INLINE od_v8 od_v8_set(float x)
{
    return (od_v8){x, x, x, x, x, x, x, x};
}

OD_V8_INLINE od_v8i od_v8_bits(od_v8 x)
{
    return (od_v8i)x;
}

/** Lane by lane: `yes` where `mask` is all ones, `no` where it is 0. */
OD_V8_INLINE od_v8 od_v8_select(od_v8i mask, od_v8 yes, od_v8 no)
{
    return (od_v8)(((od_v8i)yes & mask) | ((od_v8i)no & ~mask));
}

/** a where a > b, else b: so b where either is NaN. */
OD_V8_INLINE od_v8 od_v8_max(od_v8 a, od_v8 b)
{
    return od_v8_select(a > b, a, b);
}

/** a where a < b, else b: so b where either is NaN. */
OD_V8_INLINE od_v8 od_v8_min(od_v8 a, od_v8 b)
{
    return od_v8_select(a < b, a, b);
}

OD_V8_INLINE od_v8 od_v8_abs(od_v8 x)
{
    return (od_v8)((od_v8i)x & INT32_MAX);
}

/** @order ((0 + 4) + (2 + 6)) + ((1 + 5) + (3 + 7)). */
OD_V8_INLINE float od_v8_sum(od_v8 x)
{
    return ((x[0] + x[4]) + (x[2] + x[6])) + ((x[1] + x[5]) + (x[3] + x[7]));
}

/** The largest lane; a NaN is found only by luck. */
OD_V8_INLINE float od_v8_highest(od_v8 x)
{
    float best = x[0];
    for (int i = 1; i < OD_V8_LANES; i++) {
        best = x[i] > best ? x[i] : best;
    }
    return best;
}

/**
 * e^x, relative error below 1.2e-7 for x in [-87.33, 88.72]. 0 below -87.3365 (where the result
 * would be subnormal), infinity above 88.7228, exp(0) = 1, NaN stays NaN.
 *
 * With n the integer nearest to x / ln 2 and r = x - n ln 2 in two pieces, e^x = 2^n e^r, and
 * e^r = 1 + r + r^2 q(r) with q of degree 4 by Remez's exchange, error 3.1e-9 of e^r.
 */
OD_V8_INLINE od_v8 od_v8_exp(od_v8 x)
{
    const od_v8 magic = od_v8_set(0x1.8p23F);  // adding it rounds to an integer in the low bits
    const od_v8 low = od_v8_set(-87.33654F);
    const od_v8 high = od_v8_set(88.72284F);
    // Out of range lanes are replaced below; until then they are kept from overflowing.
    const od_v8 t = od_v8_min(od_v8_max(x, low), high);
    const od_v8 shifted = t * 0x1.715476p+0F + magic;
    const od_v8 n = shifted - magic;
    const od_v8 r = (t - n * 0x1.63p-1F) - n * -0x1.bd0106p-13F;
    od_v8 q = od_v8_set(0x1.6a23dp-10F);
    q = q * r + 0x1.123a2p-7F;
    q = q * r + 0x1.5558f2p-5F;
    q = q * r + 0x1.555492p-3F;
    q = q * r + 0x1.fffffcp-2F;
    const od_v8 e = 1.0F + (r + r * r * q);
    // 2^n in two factors, because 2^128 is no float.
    const od_v8i power = od_v8_bits(shifted) - od_v8_bits(magic);
    const od_v8i half = power >> 1;
    const od_v8 first = (od_v8)((half + 127) << 23);
    const od_v8 second = (od_v8)((power - half + 127) << 23);
    od_v8 y = e * first * second;
    y = (od_v8)((od_v8i)y & ~(x < low));
    y = od_v8_select(x > high, od_v8_set(INFINITY), y);
    return od_v8_select(x == x, y, x);  // NOLINT(misc-redundant-expression): false for NaN
}

/** e^x of one float, the same bits as a lane of od_v8_exp. */
OD_V8_INLINE float od_exp_f32(float x)
{
    return od_v8_exp(od_v8_set(x))[0];
}

/** Sum of x[0..count). @order See the top of this file. */
OD_V8_INLINE float od_v8_sum_of(const float *x, int64_t count)
{
    od_v8 sum = od_v8_set(0.0F);
    int64_t i = 0;
    for (; i + OD_V8_LANES <= count; i += OD_V8_LANES) {
        sum += od_v8_load(x + i);
    }
    if (i < count) {
        sum += od_v8_load_part(x + i, count - i, 0.0F);
    }
    return od_v8_sum(sum);
}

/** Largest of x[0..count); -infinity when there is none. */
OD_V8_INLINE float od_v8_max_of(const float *x, int64_t count)
{
    od_v8 best = od_v8_set(-INFINITY);
    int64_t i = 0;
    for (; i + OD_V8_LANES <= count; i += OD_V8_LANES) {
        best = od_v8_max(od_v8_load(x + i), best);
    }
    if (i < count) {
        best = od_v8_max(od_v8_load_part(x + i, count - i, -INFINITY), best);
    }
    return od_v8_highest(best);
}

/**
 * out[i] = exp(x[i] - shift), and their sum: the heart of softmax.
 * @param out  [count], may be `x`.
 * @order The sum as at the top of this file.
 */
OD_V8_INLINE float od_v8_exp_sum_of(float *out, const float *x, int64_t count, float shift)
{
    od_v8 sum = od_v8_set(0.0F);
    int64_t i = 0;
    for (; i + OD_V8_LANES <= count; i += OD_V8_LANES) {
        const od_v8 y = od_v8_exp(od_v8_load(x + i) - shift);
        od_v8_store(out + i, y);
        sum += y;
    }
    if (i < count) {
        const od_v8 y = od_v8_exp(od_v8_load_part(x + i, count - i, -INFINITY) - shift);
        od_v8_store_part(out + i, y, count - i);
        sum += od_v8_load_part(out + i, count - i, 0.0F);
    }
    return od_v8_sum(sum);
}

#endif
