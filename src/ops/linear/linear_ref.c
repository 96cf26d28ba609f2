#include <stdint.h>

#include "ops/reference.h"

void OD_REF(od_ref_linear)(od_real *y, const od_real *x, const od_real *w, int64_t rows, int64_t n,
                           int64_t k)
{
    for (int64_t row = 0; row < rows; row++) {
        for (int64_t j = 0; j < n; j++) {
            od_real sum = 0;
            for (int64_t i = 0; i < k; i++) {
                sum += x[row * k + i] * w[j * k + i];
            }
            y[row * n + j] = sum;
        }
    }
}

void OD_REF(od_ref_linear_bwd)(od_real *dx, od_real *dw, const od_real *dy, const od_real *x,
                               const od_real *w, int64_t rows, int64_t n, int64_t k)
{
    for (int64_t row = 0; row < rows; row++) {
        for (int64_t i = 0; i < k; i++) {
            od_real sum = 0;
            for (int64_t j = 0; j < n; j++) {
                sum += dy[row * n + j] * w[j * k + i];
                dw[j * k + i] += dy[row * n + j] * x[row * k + i];
            }
            dx[row * k + i] = sum;
        }
    }
}
