/**
 * @file
 * Eight floats at a time in one fixed order, for kernels that are compiled twice: for any x86-64
 * and for AVX2. Both give the same bits, since nothing here is a fused multiply-add and every sum
 * over lanes is one fixed tree.
 *
 * @source exp: range reduction by n = round(x / ln 2) with ln 2 in two parts, Taylor-like
 *         polynomial of degree 6 fitted on [-ln2/2, ln2/2] (coefficients as in Cephes' expf).
 * @thread Re-entrant: no state.
 */
#ifndef OD_DEVICE_CPU_VMATH_H
#define OD_DEVICE_CPU_VMATH_H

#include <stdint.h>
#include <string.h>

typedef float od_v8 __attribute__((vector_size(32)));
typedef int32_t od_v8i __attribute__((vector_size(32)));

/** Load eight floats; no alignment needed. */
static inline __attribute__((always_inline)) od_v8 od_v8_load(const float *p)
{
    od_v8 v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline __attribute__((always_inline)) void od_v8_store(float *p, od_v8 v)
{
    memcpy(p, &v, sizeof v);
}

static inline __attribute__((always_inline)) od_v8 od_v8_set(float x)
{
    return (od_v8){x, x, x, x, x, x, x, x};
}

static inline __attribute__((always_inline)) od_v8 od_v8_max(od_v8 a, od_v8 b)
{
    const od_v8i greater = a > b;
    return (od_v8)(((od_v8i)a & greater) | ((od_v8i)b & ~greater));
}

/** ((0+4)+(2+6)) + ((1+5)+(3+7)) */
static inline __attribute__((always_inline)) float od_v8_sum(od_v8 v)
{
    return ((v[0] + v[4]) + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7]));
}

static inline __attribute__((always_inline)) float od_v8_highest(od_v8 v)
{
    float best = v[0];
    for (int i = 1; i < 8; i++) {
        best = v[i] > best ? v[i] : best;
    }
    return best;
}

/** exp of each lane; below -87.3 the result is 0, above 88.7 it is infinity; NaN passes. */
static inline __attribute__((always_inline)) od_v8 od_v8_exp(od_v8 x)
{
    const od_v8i low = x < od_v8_set(-87.33654F);
    const od_v8i high = x > od_v8_set(88.72283F);
    const od_v8 shift = od_v8_set(12582912.0F);  // 1.5 * 2^23: adding it rounds to an integer
    const od_v8 n = (x * od_v8_set(1.44269504088896341F) + shift) - shift;
    const od_v8 r = (x - n * od_v8_set(0.693359375F)) - n * od_v8_set(-2.12194440e-4F);
    od_v8 p = od_v8_set(1.9875691500e-4F);
    p = p * r + od_v8_set(1.3981999507e-3F);
    p = p * r + od_v8_set(8.3334519073e-3F);
    p = p * r + od_v8_set(4.1665795894e-2F);
    p = p * r + od_v8_set(1.6666665459e-1F);
    p = p * r + od_v8_set(5.0000001201e-1F);
    p = (p * (r * r) + r) + od_v8_set(1.0F);
    // 2^n in two steps, so that n = 128 does not overflow before the product does.
    const od_v8i k = __builtin_convertvector(n, od_v8i);
    const od_v8i half = k >> 1;
    const od_v8 scale_a = (od_v8)((half + 127) << 23);
    const od_v8 scale_b = (od_v8)(((k - half) + 127) << 23);
    const od_v8 y = (p * scale_a) * scale_b;
    const od_v8i infinity = (od_v8i)od_v8_set(__builtin_inff());
    return (od_v8)(((od_v8i)y & ~low & ~high) | (infinity & high));
}

/** exp of one float, the same bits as a lane of od_v8_exp. */
static inline float od_exp_f32(float x)
{
    return od_v8_exp(od_v8_set(x))[0];
}

#endif
