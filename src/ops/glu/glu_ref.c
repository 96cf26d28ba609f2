#include <math.h>
#include <stdint.h>

#include "ops/op.h"
#include "ops/reference.h"

static od_real sigmoid(od_real x)
{
    return (od_real)(1.0 / (1.0 + exp(-(double)x)));
}

// The activation and its derivative.
static od_real activate(enum od_activation kind, od_real x, od_real *slope)
{
    static const double root = 0.70710678118654752440;     // 1 / sqrt 2
    static const double density = 0.39894228040143267794;  // 1 / sqrt(2 pi)
    static const double inner = 0.79788456080286535588;    // sqrt(2 / pi)
    if (kind == OD_ACTIVATION_SILU) {
        const od_real s = sigmoid(x);
        *slope = s * (1 + x * (1 - s));
        return x * s;
    }
    if (kind == OD_ACTIVATION_GELU) {
        const double phi = 0.5 * (1.0 + erf((double)x * root));
        *slope = (od_real)(phi + (double)x * density * exp(-0.5 * (double)x * (double)x));
        return (od_real)((double)x * phi);
    }
    const double u = inner * ((double)x + 0.044715 * (double)x * (double)x * (double)x);
    const double t = tanh(u);
    const double du = inner * (1.0 + 3.0 * 0.044715 * (double)x * (double)x);
    *slope = (od_real)(0.5 * (1.0 + t) + 0.5 * (double)x * (1.0 - t * t) * du);
    return (od_real)(0.5 * (double)x * (1.0 + t));
}

void OD_REF(od_ref_glu)(od_real *y, const od_real *x, int64_t rows, int64_t f, int kind)
{
    od_real slope;
    for (int64_t row = 0; row < rows; row++) {
        for (int64_t i = 0; i < f; i++) {
            y[row * f + i] = activate((enum od_activation)kind, x[row * 2 * f + i], &slope) *
                             x[row * 2 * f + f + i];
        }
    }
}

void OD_REF(od_ref_glu_bwd)(od_real *dx, const od_real *dy, const od_real *x, int64_t rows,
                            int64_t f, int kind)
{
    for (int64_t row = 0; row < rows; row++) {
        for (int64_t i = 0; i < f; i++) {
            od_real slope;
            const od_real value = activate((enum od_activation)kind, x[row * 2 * f + i], &slope);
            const od_real u = x[row * 2 * f + f + i];
            const od_real d = dy[row * f + i];
            dx[row * 2 * f + i] = d * u * slope;
            dx[row * 2 * f + f + i] = d * value;
        }
    }
}

void OD_REF(od_ref_activation)(od_real *y, const od_real *x, int64_t count, int kind)
{
    od_real slope;
    for (int64_t i = 0; i < count; i++) {
        y[i] = activate((enum od_activation)kind, x[i], &slope);
    }
}

void OD_REF(od_ref_activation_bwd)(od_real *dx, const od_real *dy, const od_real *x, int64_t count,
                                   int kind)
{
    for (int64_t i = 0; i < count; i++) {
        od_real slope;
        (void)activate((enum od_activation)kind, x[i], &slope);
        dx[i] = dy[i] * slope;
    }
}
