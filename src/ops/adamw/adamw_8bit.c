#include "ops/adamw/adamw_8bit.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>

#include "ops/kernels.h"

enum { DECADES = 7 };

static int ascending(const void *a, const void *b)
{
    const float x = *(const float *)a;
    const float y = *(const float *)b;
    return (x > y) - (x < y);
}

// Bound i of `parts` equal parts between 0.1 and 1, counted from the nearer end, with one rounding as
// the compiled torch.linspace does it.
static float bound(int i, int parts)
{
    const float step = (1.0F - 0.1F) / (float)parts;
    return i < (parts + 1) / 2 ? fmaf(step, (float)i, 0.1F) : fmaf(-step, (float)(parts - i), 1.0F);
}

static void make_map(float map[OD_ADAMW_8BIT_CODES], int signs)
{
    static const float decade[DECADES] = {1e-6F, 1e-5F, 1e-4F, 1e-3F, 1e-2F, 1e-1F, 1.0F};
    int count = 0;
    for (int i = 0; i < DECADES; i++) {
        const int parts = (signs == 2 ? 1 : 2) << i;
        for (int j = 0; j < parts; j++) {
            const float middle = decade[i] * ((bound(j, parts) + bound(j + 1, parts)) / 2.0F);
            map[count++] = middle;
            if (signs == 2) {
                map[count++] = -middle;
            }
        }
    }
    map[count++] = 0.0F;
    map[count++] = 1.0F;
    qsort(map, (size_t)count, sizeof *map, ascending);
}

void od_adamw_maps_make(struct od_adamw_maps *maps)
{
    make_map(maps->m, 2);
    make_map(maps->v, 1);
}

// Halving ends at an entry whose neighbours are the last ones seen below and above it.
uint8_t od_adamw_8bit_code(const float map[OD_ADAMW_8BIT_CODES], float x)
{
    int below = 0;
    int above = OD_ADAMW_8BIT_CODES - 1;
    int at = OD_ADAMW_8BIT_CODES / 2 - 1;
    for (int step = OD_ADAMW_8BIT_CODES / 4; step > 0; step /= 2) {
        if (x > map[at]) {
            below = at;
            at += step;
        } else {
            above = at;
            at -= step;
        }
    }
    if (x > map[at]) {
        return (uint8_t)(x > (map[above] + map[at]) * 0.5F ? above : at);
    }
    return (uint8_t)(x < (map[below] + map[at]) * 0.5F ? below : at);
}

static uint8_t signed_code(const float map[OD_ADAMW_8BIT_CODES], float m, float scale)
{
    const uint8_t code = od_adamw_8bit_code(map, m / scale);
    if (m > 0.0F && map[code] <= 0.0F) {
        return (uint8_t)(code + 1);
    }
    if (m < 0.0F && map[code] >= 0.0F) {
        return (uint8_t)(code - 1);
    }
    return code;
}

static void step_block(const struct od_adamw_8bit *t, const struct od_adamw_maps *maps,
                       const struct od_adamw_step *step, int64_t block)
{
    const int64_t first = block * OD_ADAMW_8BIT_BLOCK;
    const int64_t left = t->count - first;
    const int64_t count = left < OD_ADAMW_8BIT_BLOCK ? left : OD_ADAMW_8BIT_BLOCK;
    float m[OD_ADAMW_8BIT_BLOCK];
    float v[OD_ADAMW_8BIT_BLOCK];
    float m_most = 0.0F;
    float v_most = 0.0F;
    for (int64_t i = 0; i < count; i++) {
        const int64_t at = first + i;
        const float gi = t->g[at] * step->grad_scale;
        m[i] = maps->m[t->m[at]] * t->m_scales[block] * step->beta1 + gi * step->one_minus_beta1;
        v[i] = maps->v[t->v[at]] * t->v_scales[block] * step->beta2 +
               (gi * gi) * step->one_minus_beta2;
        m_most = fmaxf(m_most, fabsf(m[i]));
        v_most = fmaxf(v_most, v[i]);
        const float root = sqrtf(v[i]) * step->inv_sqrt_bc2 + step->eps;
        t->w[at] = t->w[at] * step->decay - step->step_size * (m[i] / root);
    }
    t->m_scales[block] = m_most;
    t->v_scales[block] = v_most;
    for (int64_t i = 0; i < count; i++) {
        t->m[first + i] = signed_code(maps->m, m[i], m_most > 0.0F ? m_most : 1.0F);
        t->v[first + i] = od_adamw_8bit_code(maps->v, v[i] / (v_most > 0.0F ? v_most : 1.0F));
    }
}

void od_adamw_8bit_step(const struct od_adamw_8bit *t, const struct od_adamw_maps *maps,
                        const struct od_adamw_step *step, int64_t first, int64_t last)
{
    for (int64_t block = first; block < last; block++) {
        step_block(t, maps, step, block);
    }
}
