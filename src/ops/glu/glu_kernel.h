/**
 * @file
 * Gated activation: y = act(g) * u, with g the first and u the second half of each row; and the
 * activation alone: y = act(x).
 *
 * Backward: du = dy * act(g);  dg = dy * u * act'(g);  dx = dy * act'(x).
 *
 * @source Shazeer, "GLU Variants Improve Transformer", 2020, eq. 5.
 * @thread Re-entrant.
 */
#ifndef OD_OPS_GLU_KERNEL_H
#define OD_OPS_GLU_KERNEL_H

#include <stdint.h>

#include "device/cpu/vmath.h"
#include "ops/glu/activation_kernel.h"

OD_V8_INLINE void glu_of(enum od_activation kind, float *y, const float *x, int64_t f,
                         int64_t first, int64_t last)
{
    const int64_t whole = f & ~(int64_t)7;
    od_v8 slope;
    for (int64_t row = first; row < last; row++) {
        const float *g = x + row * 2 * f;
        const float *u = g + f;
        float *yr = y + row * f;
        for (int64_t c = 0; c < whole; c += 8) {
            od_v8_store(yr + c, activate_v8(kind, od_v8_load(g + c), &slope) * od_v8_load(u + c));
        }
        for (int64_t c = whole; c < f; c++) {
            yr[c] = activate_v8(kind, od_v8_set(g[c]), &slope)[0] * u[c];
        }
    }
}

OD_V8_INLINE void glu_bwd_of(enum od_activation kind, float *dx, const float *dy, const float *x,
                             int64_t f, int64_t first, int64_t last)
{
    const int64_t whole = f & ~(int64_t)7;
    od_v8 slope;
    for (int64_t row = first; row < last; row++) {
        const float *g = x + row * 2 * f;
        const float *u = g + f;
        const float *d = dy + row * f;
        float *dg = dx + row * 2 * f;
        float *du = dg + f;
        for (int64_t c = 0; c < whole; c += 8) {
            const od_v8 value = activate_v8(kind, od_v8_load(g + c), &slope);
            const od_v8 dv = od_v8_load(d + c);
            const od_v8 dgv = dv * od_v8_load(u + c) * slope;
            od_v8_store(du + c, dv * value);
            od_v8_store(dg + c, dgv);
        }
        for (int64_t c = whole; c < f; c++) {
            const float value = activate_v8(kind, od_v8_set(g[c]), &slope)[0];
            const float dgc = d[c] * u[c] * slope[0];
            du[c] = d[c] * value;
            dg[c] = dgc;
        }
    }
}

OD_V8_INLINE void activation_of(enum od_activation kind, float *y, const float *x, int64_t first,
                                int64_t last)
{
    od_v8 slope;
    int64_t i = first;
    for (; i + 8 <= last; i += 8) {
        od_v8_store(y + i, activate_v8(kind, od_v8_load(x + i), &slope));
    }
    for (; i < last; i++) {
        y[i] = activate_v8(kind, od_v8_set(x[i]), &slope)[0];
    }
}

OD_V8_INLINE void activation_bwd_of(enum od_activation kind, float *dx, const float *dy,
                                    const float *x, int64_t first, int64_t last)
{
    od_v8 slope;
    int64_t i = first;
    for (; i + 8 <= last; i += 8) {
        (void)activate_v8(kind, od_v8_load(x + i), &slope);
        od_v8_store(dx + i, od_v8_load(dy + i) * slope);
    }
    for (; i < last; i++) {
        (void)activate_v8(kind, od_v8_set(x[i]), &slope);
        dx[i] = dy[i] * slope[0];
    }
}

// One loop for each activation.
#define OD_BY_ACTIVATION(call)                                          \
    switch (kind) {                                                     \
    case OD_ACTIVATION_SILU: call(OD_ACTIVATION_SILU); break;           \
    case OD_ACTIVATION_GELU: call(OD_ACTIVATION_GELU); break;           \
    case OD_ACTIVATION_GELU_TANH: call(OD_ACTIVATION_GELU_TANH); break; \
    }

static void glu(float *y, const float *x, int64_t f, enum od_activation kind, int64_t first,
                int64_t last)
{
#define CALL(constant) glu_of(constant, y, x, f, first, last)
    OD_BY_ACTIVATION(CALL)
#undef CALL
}

static void glu_bwd(float *dx, const float *dy, const float *x, int64_t f, enum od_activation kind,
                    int64_t first, int64_t last)
{
#define CALL(constant) glu_bwd_of(constant, dx, dy, x, f, first, last)
    OD_BY_ACTIVATION(CALL)
#undef CALL
}

static void activation(float *y, const float *x, enum od_activation kind, int64_t first,
                       int64_t last)
{
#define CALL(constant) activation_of(constant, y, x, first, last)
    OD_BY_ACTIVATION(CALL)
#undef CALL
}

static void activation_bwd(float *dx, const float *dy, const float *x, enum od_activation kind,
                           int64_t first, int64_t last)
{
#define CALL(constant) activation_bwd_of(constant, dx, dy, x, first, last)
    OD_BY_ACTIVATION(CALL)
#undef CALL
}

#endif
