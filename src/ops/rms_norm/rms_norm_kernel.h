/**
 * @file
 * Root-mean-square normalisation of rows: y = x * w / sqrt(mean(x^2) + eps).
 *
 * Backward, with g = dy * w and r = 1/sqrt(mean(x^2) + eps):
 *     dx = r * g - x * r^3 * mean(g * x);   dw = sum over rows of dy * x * r
 *
 * @source Zhang and Sennrich, "Root Mean Square Layer Normalization", 2019, eq. 4.
 * @order  Sums over a row: eight lanes, fixed tree, then the ragged tail left to right. Sums over
 *         rows: in row order.
 * @thread Re-entrant.
 */
#ifndef OD_OPS_RMS_NORM_KERNEL_H
#define OD_OPS_RMS_NORM_KERNEL_H

#include <math.h>
#include <stdint.h>

#include "device/cpu/vmath.h"

static void rms_norm(float *y, float *rstd, const float *x, const float *w, int64_t cols, float eps,
                     int64_t first, int64_t last)
{
    const int64_t whole = cols & ~(int64_t)7;
    for (int64_t row = first; row < last; row++) {
        const float *xr = x + row * cols;
        float *yr = y + row * cols;
        od_v8 squares = od_v8_set(0.0F);
        for (int64_t c = 0; c < whole; c += 8) {
            const od_v8 v = od_v8_load(xr + c);
            squares += v * v;
        }
        float sum = od_v8_sum(squares);
        for (int64_t c = whole; c < cols; c++) {
            sum += xr[c] * xr[c];
        }
        const float r = 1.0F / sqrtf(sum / (float)cols + eps);
        if (rstd) {
            rstd[row] = r;
        }
        for (int64_t c = 0; c < whole; c += 8) {
            od_v8_store(yr + c, (od_v8_load(xr + c) * r) * od_v8_load(w + c));
        }
        for (int64_t c = whole; c < cols; c++) {
            yr[c] = (xr[c] * r) * w[c];
        }
    }
}

static void rms_norm_bwd(float *dx, const float *dy, const float *x, const float *w,
                         const float *rstd, int64_t cols, int accumulate, int64_t first,
                         int64_t last)
{
    const int64_t whole = cols & ~(int64_t)7;
    for (int64_t row = first; row < last; row++) {
        const float *xr = x + row * cols;
        const float *dyr = dy + row * cols;
        float *dxr = dx + row * cols;
        const float r = rstd[row];
        od_v8 products = od_v8_set(0.0F);
        for (int64_t c = 0; c < whole; c += 8) {
            products += (od_v8_load(dyr + c) * od_v8_load(w + c)) * od_v8_load(xr + c);
        }
        float sum = od_v8_sum(products);
        for (int64_t c = whole; c < cols; c++) {
            sum += (dyr[c] * w[c]) * xr[c];
        }
        const float k = r * r * r * (sum / (float)cols);
        for (int64_t c = 0; c < whole; c += 8) {
            od_v8 g = (od_v8_load(dyr + c) * od_v8_load(w + c)) * r - od_v8_load(xr + c) * k;
            if (accumulate) {
                g += od_v8_load(dxr + c);
            }
            od_v8_store(dxr + c, g);
        }
        for (int64_t c = whole; c < cols; c++) {
            const float g = (dyr[c] * w[c]) * r - xr[c] * k;
            dxr[c] = accumulate ? g + dxr[c] : g;
        }
    }
}

static void rms_norm_dw(float *dw, const float *dy, const float *x, const float *rstd, int64_t rows,
                        int64_t cols, int64_t first, int64_t last)
{
    for (int64_t row = 0; row < rows; row++) {
        const float *xr = x + row * cols;
        const float *dyr = dy + row * cols;
        const float r = rstd[row];
        int64_t c = first;
        for (; c + 8 <= last; c += 8) {
            od_v8_store(dw + c,
                        od_v8_load(dw + c) + od_v8_load(dyr + c) * (od_v8_load(xr + c) * r));
        }
        for (; c < last; c++) {
            dw[c] += dyr[c] * (xr[c] * r);
        }
    }
}

#endif
