#include <math.h>
#include <stdint.h>

#include "ops/reference.h"

static od_real sigmoid(od_real x)
{
    return (od_real)(1.0 / (1.0 + exp(-(double)x)));
}

void OD_REF(od_ref_swiglu)(od_real *y, const od_real *x, int64_t rows, int64_t f)
{
    for (int64_t row = 0; row < rows; row++) {
        for (int64_t i = 0; i < f; i++) {
            const od_real g = x[row * 2 * f + i];
            y[row * f + i] = g * sigmoid(g) * x[row * 2 * f + f + i];
        }
    }
}

void OD_REF(od_ref_swiglu_bwd)(od_real *dx, const od_real *dy, const od_real *x, int64_t rows,
                               int64_t f)
{
    for (int64_t row = 0; row < rows; row++) {
        for (int64_t i = 0; i < f; i++) {
            const od_real g = x[row * 2 * f + i];
            const od_real u = x[row * 2 * f + f + i];
            const od_real s = sigmoid(g);
            const od_real d = dy[row * f + i];
            dx[row * 2 * f + i] = d * u * s * (1 + g * (1 - s));
            dx[row * 2 * f + f + i] = d * g * s;
        }
    }
}
