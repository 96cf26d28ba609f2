/**
 * @file
 * Rotary position embedding, half style: element i of a head is paired with element i + d/2.
 *
 *     y[i]       = x[i] * cos(p f_i) - x[i + d/2] * sin(p f_i)
 *     y[i + d/2] = x[i + d/2] * cos(p f_i) + x[i] * sin(p f_i),   f_i = theta^(-2i/d)
 *
 * Backward is the rotation by the opposite angle.
 *
 * @source Su et al., "RoFormer", 2021; the pairing is that of Hugging Face's Llama.
 * @thread Re-entrant.
 */
#ifndef OD_OPS_ROPE_KERNEL_H
#define OD_OPS_ROPE_KERNEL_H

#include <stdint.h>

#include "device/cpu/vmath.h"

static void rope(float *x, const float *table, const int32_t *positions, int64_t stride,
                 int64_t heads, int64_t d, float direction, int64_t first, int64_t last)
{
    const int64_t half = d / 2;
    for (int64_t row = first; row < last; row++) {
        const float *cosines = table + (int64_t)positions[row] * d;
        const float *sines = cosines + half;
        for (int64_t h = 0; h < heads; h++) {
            float *a = x + row * stride + h * d;
            float *b = a + half;
            int64_t i = 0;
            for (; i + 8 <= half; i += 8) {
                const od_v8 c = od_v8_load(cosines + i);
                const od_v8 s = od_v8_load(sines + i) * direction;
                const od_v8 av = od_v8_load(a + i);
                const od_v8 bv = od_v8_load(b + i);
                od_v8_store(a + i, av * c - bv * s);
                od_v8_store(b + i, bv * c + av * s);
            }
            for (; i < half; i++) {
                const float s = sines[i] * direction;
                const float av = a[i];
                const float bv = b[i];
                a[i] = av * cosines[i] - bv * s;
                b[i] = bv * cosines[i] + av * s;
            }
        }
    }
}

#endif
