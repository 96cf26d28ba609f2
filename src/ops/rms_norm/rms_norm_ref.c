#include <math.h>
#include <stdint.h>

#include "ops/reference.h"

static od_real inverse_root(const od_real *x, int64_t c, od_real eps)
{
    od_real sum = 0;
    for (int64_t i = 0; i < c; i++) {
        sum += x[i] * x[i];
    }
    return (od_real)(1.0 / sqrt((double)(sum / (od_real)c + eps)));
}

void OD_REF(od_ref_rms_norm)(od_real *y, const od_real *x, const od_real *w, int64_t rows,
                             int64_t c, od_real eps)
{
    for (int64_t row = 0; row < rows; row++) {
        const od_real r = inverse_root(x + row * c, c, eps);
        for (int64_t i = 0; i < c; i++) {
            y[row * c + i] = x[row * c + i] * r * w[i];
        }
    }
}

void OD_REF(od_ref_rms_norm_bwd)(od_real *dx, od_real *dw, const od_real *dy, const od_real *x,
                                 const od_real *w, int64_t rows, int64_t c, od_real eps)
{
    for (int64_t row = 0; row < rows; row++) {
        const od_real *xr = x + row * c;
        const od_real *dyr = dy + row * c;
        const od_real r = inverse_root(xr, c, eps);
        od_real dot = 0;
        for (int64_t i = 0; i < c; i++) {
            dot += dyr[i] * w[i] * xr[i];
        }
        for (int64_t i = 0; i < c; i++) {
            dx[row * c + i] = r * dyr[i] * w[i] - xr[i] * r * r * r * dot / (od_real)c;
            dw[i] += dyr[i] * xr[i] * r;
        }
    }
}
