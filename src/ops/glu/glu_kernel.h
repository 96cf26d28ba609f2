/**
 * @file
 * SwiGLU: y = g * sigmoid(g) * u, with g the first and u the second half of each row.
 *
 * Backward, with s = sigmoid(g): du = dy * g * s;  dg = dy * u * s * (1 + g * (1 - s)).
 *
 * @source Shazeer, "GLU Variants Improve Transformer", 2020, eq. 5.
 * @thread Re-entrant.
 */
#ifndef OD_OPS_SWIGLU_KERNEL_H
#define OD_OPS_SWIGLU_KERNEL_H

#include <stdint.h>

#include "device/cpu/vmath.h"

static inline od_v8 sigmoid_v8(od_v8 g)
{
    return 1.0F / (1.0F + od_v8_exp(-g));
}

static void swiglu(float *y, const float *x, int64_t f, int64_t first, int64_t last)
{
    const int64_t whole = f & ~(int64_t)7;
    for (int64_t row = first; row < last; row++) {
        const float *g = x + row * 2 * f;
        const float *u = g + f;
        float *yr = y + row * f;
        for (int64_t c = 0; c < whole; c += 8) {
            const od_v8 gv = od_v8_load(g + c);
            od_v8_store(yr + c, gv * sigmoid_v8(gv) * od_v8_load(u + c));
        }
        for (int64_t c = whole; c < f; c++) {
            const od_v8 gv = od_v8_set(g[c]);
            yr[c] = (gv * sigmoid_v8(gv))[0] * u[c];
        }
    }
}

static void swiglu_bwd(float *dx, const float *dy, const float *x, int64_t f, int64_t first,
                       int64_t last)
{
    const int64_t whole = f & ~(int64_t)7;
    for (int64_t row = first; row < last; row++) {
        const float *g = x + row * 2 * f;
        const float *u = g + f;
        const float *d = dy + row * f;
        float *dg = dx + row * 2 * f;
        float *du = dg + f;
        for (int64_t c = 0; c < whole; c += 8) {
            const od_v8 gv = od_v8_load(g + c);
            const od_v8 s = sigmoid_v8(gv);
            const od_v8 dv = od_v8_load(d + c);
            const od_v8 dgv = dv * od_v8_load(u + c) * (s * (1.0F + gv * (1.0F - s)));
            od_v8_store(du + c, dv * (gv * s));
            od_v8_store(dg + c, dgv);
        }
        for (int64_t c = whole; c < f; c++) {
            const float s = sigmoid_v8(od_v8_set(g[c]))[0];
            const float gate = g[c];
            const float dgc = d[c] * u[c] * (s * (1.0F + gate * (1.0F - s)));
            du[c] = d[c] * (gate * s);
            dg[c] = dgc;
        }
    }
}

#endif
