/**
 * @file
 * The activations of feed-forward layers on a GPU, and their slopes.
 *
 *     silu(x) = x s(x), s the logistic function;   gelu(x) = x Phi(x), Phi by erf
 *     gelu_tanh(x) = x (1 + tanh(u)) / 2 = x s(2 u),   u = sqrt(2 / pi) (x + 0.044715 x^3)
 *
 * `kind` is a constant in every kernel, so that each holds one activation alone.
 *
 * @source Hendrycks and Gimpel, "Gaussian Error Linear Units", 2016.
 */
#ifndef OD_OPS_ACTIVATION_CUH
#define OD_OPS_ACTIVATION_CUH

#include "ops/gpu.cuh"
#include "ops/op.h"

static __device__ __forceinline__ float od_logistic(float x)
{
    return 1.0f / (1.0f + __expf(-x));
}

static __device__ __forceinline__ float od_phi(float x)
{
    return 0.5f + 0.5f * erff(x * 0.70710678f);
}

/** 2 sqrt(2 / pi), and the same times 0.044715. */
#define OD_GELU_LINEAR 1.5957691f
#define OD_GELU_CUBIC  0.071354816f

static __device__ __forceinline__ float od_activate(int kind, float x)
{
    if (kind == OD_ACTIVATION_SILU) {
        return x * od_logistic(x);
    }
    if (kind == OD_ACTIVATION_GELU) {
        return x * od_phi(x);
    }
    return x * od_logistic(x * (OD_GELU_LINEAR + OD_GELU_CUBIC * x * x));
}

/** The activation and its slope at x. */
static __device__ __forceinline__ float od_slope(int kind, float x, float *ret_value)
{
    if (kind == OD_ACTIVATION_GELU) {
        const float phi = od_phi(x);
        *ret_value = x * phi;
        return phi + x * 0.39894228f * __expf(-0.5f * x * x);
    }
    const float inner = kind == OD_ACTIVATION_SILU ? 1.0f : OD_GELU_LINEAR + 3.0f * OD_GELU_CUBIC * x * x;
    const float s = od_logistic(kind == OD_ACTIVATION_SILU
                                    ? x
                                    : x * (OD_GELU_LINEAR + OD_GELU_CUBIC * x * x));
    const float value = x * s;
    *ret_value = value;
    return s + value * (1.0f - s) * inner;
}

#endif
