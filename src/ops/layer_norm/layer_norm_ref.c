#include <math.h>
#include <stdint.h>

#include "ops/reference.h"

static void moments(const od_real *x, int64_t c, od_real eps, od_real *mean, od_real *inverse)
{
    od_real sum = 0;
    od_real squares = 0;
    for (int64_t i = 0; i < c; i++) {
        sum += x[i];
    }
    *mean = sum / (od_real)c;
    for (int64_t i = 0; i < c; i++) {
        squares += (x[i] - *mean) * (x[i] - *mean);
    }
    *inverse = (od_real)(1.0 / sqrt((double)(squares / (od_real)c + eps)));
}

void OD_REF(od_ref_layer_norm)(od_real *y, const od_real *x, const od_real *w, const od_real *b,
                               int64_t rows, int64_t c, od_real eps)
{
    for (int64_t row = 0; row < rows; row++) {
        od_real m;
        od_real r;
        moments(x + row * c, c, eps, &m, &r);
        for (int64_t i = 0; i < c; i++) {
            y[row * c + i] = (x[row * c + i] - m) * r * w[i] + b[i];
        }
    }
}

void OD_REF(od_ref_layer_norm_bwd)(od_real *dx, od_real *dw, od_real *db, const od_real *dy,
                                   const od_real *x, const od_real *w, int64_t rows, int64_t c,
                                   od_real eps)
{
    for (int64_t row = 0; row < rows; row++) {
        const od_real *xr = x + row * c;
        const od_real *dyr = dy + row * c;
        od_real m;
        od_real r;
        od_real sum = 0;
        od_real product = 0;
        moments(xr, c, eps, &m, &r);
        for (int64_t i = 0; i < c; i++) {
            sum += dyr[i] * w[i];
            product += dyr[i] * w[i] * (xr[i] - m) * r;
        }
        for (int64_t i = 0; i < c; i++) {
            const od_real n = (xr[i] - m) * r;
            dx[row * c + i] = r * (dyr[i] * w[i] - sum / (od_real)c - n * product / (od_real)c);
            dw[i] += dyr[i] * n;
            db[i] += dyr[i];
        }
    }
}
