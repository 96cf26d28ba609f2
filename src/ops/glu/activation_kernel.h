/**
 * @file
 * Activations and their derivatives, eight values at a time.
 *
 *     SiLU        x s,  s = 1 / (1 + e^-x)
 *     GELU        x Phi(x),  Phi(x) = (1 + erf(x / sqrt 2)) / 2
 *     GELU_TANH   x s,  s = 1 / (1 + e^-2u),  u = sqrt(2 / pi) (x + 0.044715 x^3)
 *
 * @source Hendrycks and Gimpel, "Gaussian Error Linear Units", 2016; Elfwing et al., 2017 (SiLU).
 * @thread Re-entrant.
 */
#ifndef OD_OPS_ACTIVATION_KERNEL_H
#define OD_OPS_ACTIVATION_KERNEL_H

#include "device/cpu/vmath.h"
#include "ops/op.h"

static inline od_v8 sigmoid_v8(od_v8 g)
{
    return 1.0F / (1.0F + od_v8_exp(-g));
}

/**
 * erf(x), absolute error below 1.5e-7. Up to 1: x times a polynomial in x^2; above: 1 - t q(t) e^-x^2
 * with t = 1 / (1 + |x| / 2), both fitted at Chebyshev's points.
 */
static inline od_v8 erf_v8(od_v8 x)
{
    const od_v8 a = od_v8_abs(x);
    const od_v8 z = x * x;
    od_v8 p = od_v8_set(0x1.4a9db4p-14F);
    p = p * z + -0x1.a46b4ep-11F;
    p = p * z + 0x1.541638p-8F;
    p = p * z + -0x1.b7fb38p-6F;
    p = p * z + 0x1.ce2d18p-4F;
    p = p * z + -0x1.81273ep-2F;
    p = p * z + 0x1.20dd74p+0F;
    const od_v8 t = 1.0F / (1.0F + 0.5F * a);
    od_v8 q = od_v8_set(0x1.b6eb2ap-5F);
    q = q * t + -0x1.7e46fcp-4F;
    q = q * t + -0x1.ae125cp-4F;
    q = q * t + 0x1.a607cap-3F;
    q = q * t + 0x1.cbc182p-4F;
    q = q * t + 0x1.0f6a6cp-2F;
    q = q * t + 0x1.1e0af2p-2F;
    q = q * t + 0x1.210b36p-2F;
    const od_v8 tail = 1.0F - t * q * od_v8_exp(-z);
    const od_v8 signed_tail = od_v8_select(x < 0.0F, -tail, tail);
    return od_v8_select(a <= 1.0F, p * x, signed_tail);
}

/** The activation of x and its derivative there. `kind` is a constant where this is inlined. */
OD_V8_INLINE od_v8 activate_v8(enum od_activation kind, od_v8 x, od_v8 *ret_slope)
{
    if (kind == OD_ACTIVATION_SILU) {
        const od_v8 s = sigmoid_v8(x);
        *ret_slope = s * (1.0F + x * (1.0F - s));
        return x * s;
    }
    if (kind == OD_ACTIVATION_GELU) {
        const od_v8 phi = 0.5F * (1.0F + erf_v8(x * 0.70710678F));
        *ret_slope = phi + x * (0.39894228F * od_v8_exp(-0.5F * (x * x)));
        return x * phi;
    }
    const od_v8 z = x * x;
    const od_v8 s = sigmoid_v8(1.5957691F * (x * (1.0F + 0.044715F * z)));
    *ret_slope = s * (1.0F + x * (1.0F - s) * (1.5957691F * (1.0F + 0.134145F * z)));
    return x * s;
}

#endif
