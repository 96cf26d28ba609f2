/**
 * @file
 * Normalisation of rows to mean 0 and variance 1: y = (x - m) * r * w + b, r = 1/sqrt(v + eps).
 *
 * Backward, with n = (x - m) * r and g = dy * w:
 *     dx = r * (g - mean(g) - n * mean(g * n));   dw = sum of dy * n;   db = sum of dy
 *
 * @source Ba et al., "Layer Normalization", 2016.
 * @order  Sums over a row: eight lanes, fixed tree, then the ragged tail left to right. Sums over
 *         rows: in row order.
 * @thread Re-entrant.
 */
#ifndef OD_OPS_LAYER_NORM_KERNEL_H
#define OD_OPS_LAYER_NORM_KERNEL_H

#include <math.h>
#include <stdint.h>

#include "device/cpu/vmath.h"

// Sum over a row of (x - m)^2, or of x where `square` is 0.
static inline float row_sum(const float *x, int64_t cols, float m, int square)
{
    const int64_t whole = cols & ~(int64_t)7;
    od_v8 lanes = od_v8_set(0.0F);
    for (int64_t c = 0; c < whole; c += 8) {
        const od_v8 v = od_v8_load(x + c) - m;
        lanes += square ? v * v : v;
    }
    float sum = od_v8_sum(lanes);
    for (int64_t c = whole; c < cols; c++) {
        const float v = x[c] - m;
        sum += square ? v * v : v;
    }
    return sum;
}

static void layer_norm(float *y, float *stat, const float *x, const float *w, const float *b,
                       int64_t cols, float eps, int64_t first, int64_t last)
{
    for (int64_t row = first; row < last; row++) {
        const float *xr = x + row * cols;
        float *yr = y + row * cols;
        const float m = row_sum(xr, cols, 0.0F, 0) / (float)cols;
        const float r = 1.0F / sqrtf(row_sum(xr, cols, m, 1) / (float)cols + eps);
        if (stat) {
            stat[2 * row] = m;
            stat[2 * row + 1] = r;
        }
        for (int64_t c = 0; c < cols; c++) {
            yr[c] = ((xr[c] - m) * r) * w[c] + b[c];
        }
    }
}

static void layer_norm_bwd(float *dx, const float *dy, const float *x, const float *w,
                           const float *stat, int64_t cols, int accumulate, int64_t first,
                           int64_t last)
{
    const int64_t whole = cols & ~(int64_t)7;
    for (int64_t row = first; row < last; row++) {
        const float *xr = x + row * cols;
        const float *dyr = dy + row * cols;
        float *dxr = dx + row * cols;
        const float m = stat[2 * row];
        const float r = stat[2 * row + 1];
        od_v8 sums = od_v8_set(0.0F);
        od_v8 products = od_v8_set(0.0F);
        for (int64_t c = 0; c < whole; c += 8) {
            const od_v8 g = od_v8_load(dyr + c) * od_v8_load(w + c);
            sums += g;
            products += g * ((od_v8_load(xr + c) - m) * r);
        }
        float sum = od_v8_sum(sums);
        float product = od_v8_sum(products);
        for (int64_t c = whole; c < cols; c++) {
            const float g = dyr[c] * w[c];
            sum += g;
            product += g * ((xr[c] - m) * r);
        }
        const float mean = sum / (float)cols;
        const float slope = product / (float)cols;
        for (int64_t c = 0; c < cols; c++) {
            const float n = (xr[c] - m) * r;
            const float g = r * (dyr[c] * w[c] - mean - n * slope);
            dxr[c] = accumulate ? g + dxr[c] : g;
        }
    }
}

// Columns: dw and db, either of which may be NULL.
static void layer_norm_dw(float *dw, float *db, const float *dy, const float *x, const float *stat,
                          int64_t rows, int64_t cols, int64_t first, int64_t last)
{
    for (int64_t row = 0; row < rows; row++) {
        const float *xr = x + row * cols;
        const float *dyr = dy + row * cols;
        const float m = stat[2 * row];
        const float r = stat[2 * row + 1];
        for (int64_t c = first; c < last; c++) {
            if (dw) {
                dw[c] += dyr[c] * ((xr[c] - m) * r);
            }
            if (db) {
                db[c] += dyr[c];
            }
        }
    }
}

#endif
