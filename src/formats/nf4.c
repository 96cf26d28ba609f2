#include "formats/nf4.h"

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { ZERO_CODE = 7, LEVELS = 16, DECADES = 7 };

const float od_nf4_table[LEVELS] = {-1.0F,
                                    -0.6961928009986877F,
                                    -0.5250730514526367F,
                                    -0.39491748809814453F,
                                    -0.28444138169288635F,
                                    -0.18477343022823334F,
                                    -0.09105003625154495F,
                                    0.0F,
                                    0.07958029955625534F,
                                    0.16093020141124725F,
                                    0.24611230194568634F,
                                    0.33791524171829224F,
                                    0.44070982933044434F,
                                    0.5626170039176941F,
                                    0.7229568362236023F,
                                    1.0F};

struct od_nf4_places od_nf4_places(int64_t count)
{
    struct od_nf4_places at = {.blocks = count / OD_NF4_BLOCK};
    at.nests = (at.blocks + OD_NF4_NEST - 1) / OD_NF4_NEST;
    at.offset = OD_NF4_MAP * sizeof(float);
    at.nested = at.offset + 4 * sizeof(float);
    at.codes = at.nested + (size_t)at.nests * sizeof(float);
    at.bytes = (at.codes + (size_t)at.blocks + 15u) & ~(size_t)15u;
    return at;
}

static int ascending(const void *a, const void *b)
{
    const float x = *(const float *)a;
    const float y = *(const float *)b;
    return (x > y) - (x < y);
}

// A point of `count` ones from 0.1 to 1, rounded once and from the nearer end, as torch.linspace
// places them.
static float between(int count, int index)
{
    const float step = (1.0F - 0.1F) / (float)(count - 1);
    return index < count / 2 ? fmaf(step, (float)index, 0.1F)
                             : fmaf(-step, (float)(count - 1 - index), 1.0F);
}

// Decade i below 1 has 2^i steps, their middles are the values; besides them 0 and 1.
void od_nf4_map(float map[OD_NF4_MAP])
{
    int count = 0;
    for (int decade = 0; decade < DECADES; decade++) {
        const int ends = (1 << decade) + 1;
        const float unit = (float)pow(10.0, decade - (DECADES - 1));
        for (int i = 0; i + 1 < ends; i++) {
            const float middle = (between(ends, i) + between(ends, i + 1)) / 2.0F;
            map[count++] = unit * middle;
            map[count++] = -(unit * middle);
        }
    }
    map[count++] = 0.0F;
    map[count++] = 1.0F;
    qsort(map, OD_NF4_MAP, sizeof *map, ascending);
}

void od_nf4_encode(const float *x, int64_t first, int64_t last, uint8_t *codes, float *magnitudes)
{
    float middle[LEVELS - 1];
    for (int i = 0; i < LEVELS - 1; i++) {
        middle[i] = (float)(((double)od_nf4_table[i] + (double)od_nf4_table[i + 1]) / 2.0);
    }
    for (int64_t block = first; block < last; block++) {
        const float *from = x + block * OD_NF4_BLOCK;
        uint8_t *to = codes + block * (OD_NF4_BLOCK / 2);
        uint8_t code[OD_NF4_BLOCK];
        float most = 0.0F;
        for (int i = 0; i < OD_NF4_BLOCK; i++) {
            most = fabsf(from[i]) > most ? fabsf(from[i]) : most;
        }
        const float inverse = most > 0.0F ? 1.0F / most : 0.0F;
        for (int i = 0; i < OD_NF4_BLOCK; i++) {
            const float value = from[i] * inverse;
            int above = 0;
            for (int j = 0; j < LEVELS - 1; j++) {
                above += value > middle[j];
            }
            code[i] = (uint8_t)above;
        }
        for (size_t i = 0; i < OD_NF4_BLOCK / 2; i++) {
            to[i] = (uint8_t)(code[2 * i] << 4 | code[2 * i + 1]);
        }
        magnitudes[block] = most;
    }
}

// Code of the nearest value of the map.
static uint8_t nearest(const float map[OD_NF4_MAP], float x)
{
    int low = 0;
    int high = OD_NF4_MAP - 1;
    while (high - low > 1) {
        const int middle = (low + high) / 2;
        if (x >= map[middle]) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return (uint8_t)(x - map[low] <= map[high] - x ? low : high);
}

void od_nf4_nest(float *magnitudes, int64_t count, uint8_t *scales)
{
    const struct od_nf4_places at = od_nf4_places(count);
    float map[OD_NF4_MAP];
    double sum = 0.0;
    od_nf4_map(map);
    for (int64_t i = 0; i < at.blocks; i++) {
        sum += (double)magnitudes[i];
    }
    const float offset = (float)(sum / (double)at.blocks);
    memset(scales, 0, at.bytes);
    memcpy(scales, map, sizeof map);
    memcpy(scales + at.offset, &offset, sizeof offset);
    for (int64_t nest = 0; nest < at.nests; nest++) {
        const int64_t first = nest * OD_NF4_NEST;
        const int64_t last = first + OD_NF4_NEST < at.blocks ? first + OD_NF4_NEST : at.blocks;
        float most = 0.0F;
        for (int64_t i = first; i < last; i++) {
            magnitudes[i] -= offset;
            most = fabsf(magnitudes[i]) > most ? fabsf(magnitudes[i]) : most;
        }
        memcpy(scales + at.nested + (size_t)nest * sizeof most, &most, sizeof most);
        const float inverse = most > 0.0F ? 1.0F / most : 0.0F;
        for (int64_t i = first; i < last; i++) {
            scales[at.codes + (size_t)i] = nearest(map, magnitudes[i] * inverse);
        }
    }
}

static float magnitude_of(const uint8_t *scales, const struct od_nf4_places *at, int64_t block)
{
    float map;
    float nested;
    float offset;
    memcpy(&map, scales + scales[at->codes + (size_t)block] * sizeof map, sizeof map);
    memcpy(&nested, scales + at->nested + (size_t)(block / OD_NF4_NEST) * sizeof nested,
           sizeof nested);
    memcpy(&offset, scales + at->offset, sizeof offset);
    const float product = map * nested;
    return product + offset;
}

void od_nf4_decode(const uint8_t *codes, const uint8_t *scales, int64_t total, int64_t first,
                   int64_t count, float *to)
{
    const struct od_nf4_places at = od_nf4_places(total);
    float magnitude = 0.0F;
    for (int64_t i = 0; i < count; i += 2) {
        if (i == 0 || (first + i) % OD_NF4_BLOCK == 0) {
            magnitude = magnitude_of(scales, &at, (first + i) / OD_NF4_BLOCK);
        }
        const uint8_t pair = codes[(first + i) / 2];
        to[i] = od_nf4_table[pair >> 4] * magnitude;
        to[i + 1] = od_nf4_table[pair & 15u] * magnitude;
    }
}
