#include "formats/ggml.h"

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "formats/half.h"

static const struct od_ggml_info infos[] = {
    [0] = {"F32", 1, 4},         [1] = {"F16", 1, 2},         [2] = {"Q4_0", 32, 18},
    [3] = {"Q4_1", 32, 20},      [6] = {"Q5_0", 32, 22},      [7] = {"Q5_1", 32, 24},
    [8] = {"Q8_0", 32, 34},      [9] = {"Q8_1", 32, 40},      [10] = {"Q2_K", 256, 84},
    [11] = {"Q3_K", 256, 110},   [12] = {"Q4_K", 256, 144},   [13] = {"Q5_K", 256, 176},
    [14] = {"Q6_K", 256, 210},   [15] = {"Q8_K", 256, 292},   [16] = {"IQ2_XXS", 256, 66},
    [17] = {"IQ2_XS", 256, 74},  [18] = {"IQ3_XXS", 256, 98}, [19] = {"IQ1_S", 256, 50},
    [20] = {"IQ4_NL", 32, 18},   [21] = {"IQ3_S", 256, 110},  [22] = {"IQ2_S", 256, 82},
    [23] = {"IQ4_XS", 256, 136}, [24] = {"I8", 1, 1},         [25] = {"I16", 1, 2},
    [26] = {"I32", 1, 4},        [27] = {"I64", 1, 8},        [28] = {"F64", 1, 8},
    [29] = {"IQ1_M", 256, 56},   [30] = {"BF16", 1, 2},       [34] = {"TQ1_0", 256, 54},
    [35] = {"TQ2_0", 256, 66},   [39] = {"MXFP4", 32, 17},
};

const struct od_ggml_info *od_ggml_info(uint32_t type)
{
    return type < sizeof infos / sizeof infos[0] && infos[type].name ? &infos[type] : NULL;
}

bool od_ggml_converts(uint32_t type)
{
    return type == OD_GGML_F32 || type == OD_GGML_F16 || type == OD_GGML_BF16 ||
           type == OD_GGML_Q8_0;
}

static uint16_t get_u16(const unsigned char *bytes)
{
    return (uint16_t)(bytes[0] | bytes[1] << 8);
}

static void put_u16(unsigned char *bytes, uint16_t value)
{
    bytes[0] = (unsigned char)(value & 0xFFu);
    bytes[1] = (unsigned char)(value >> 8);
}

static void block_to_f32(const unsigned char *block, float *out)
{
    const float scale = od_f16_to_f32(get_u16(block));
    for (int i = 0; i < OD_GGML_Q8_0_BLOCK; i++) {
        int8_t q;
        memcpy(&q, block + 2 + i, 1);
        out[i] = scale * (float)q;
    }
}

static void block_from_f32(const float *values, unsigned char *block)
{
    float largest = 0;
    for (int i = 0; i < OD_GGML_Q8_0_BLOCK; i++) {
        largest = fmaxf(largest, fabsf(values[i]));
    }
    const float scale = largest / 127.0F;
    const float inverse = scale > 0 ? 1.0F / scale : 0.0F;
    put_u16(block, od_f32_to_f16(scale));
    for (int i = 0; i < OD_GGML_Q8_0_BLOCK; i++) {
        const float rounded = roundf(values[i] * inverse);
        // Not finite where a value is not, or where the scale is too small to be turned over.
        int8_t q = 0;
        if (rounded >= -127.0F && rounded <= 127.0F) {
            q = (int8_t)rounded;
        }
        memcpy(block + 2 + i, &q, 1);
    }
}

void od_ggml_to_f32(uint32_t type, const void *bytes, int64_t count, float *out)
{
    const unsigned char *from = bytes;
    switch (type) {
    case OD_GGML_F32: memcpy(out, bytes, (size_t)count * sizeof *out); break;
    case OD_GGML_F16:
        for (int64_t i = 0; i < count; i++) {
            out[i] = od_f16_to_f32(get_u16(from + 2 * i));
        }
        break;
    case OD_GGML_BF16:
        for (int64_t i = 0; i < count; i++) {
            out[i] = od_bf16_to_f32(get_u16(from + 2 * i));
        }
        break;
    case OD_GGML_Q8_0:
        for (int64_t i = 0; i < count / OD_GGML_Q8_0_BLOCK; i++) {
            block_to_f32(from + i * OD_GGML_Q8_0_BYTES, out + i * OD_GGML_Q8_0_BLOCK);
        }
        break;
    default: break;
    }
}

void od_ggml_from_f32(uint32_t type, const float *values, int64_t count, void *out)
{
    unsigned char *to = out;
    switch (type) {
    case OD_GGML_F32: memcpy(out, values, (size_t)count * sizeof *values); break;
    case OD_GGML_F16:
        for (int64_t i = 0; i < count; i++) {
            put_u16(to + 2 * i, od_f32_to_f16(values[i]));
        }
        break;
    case OD_GGML_BF16:
        for (int64_t i = 0; i < count; i++) {
            put_u16(to + 2 * i, od_f32_to_bf16(values[i]));
        }
        break;
    case OD_GGML_Q8_0:
        for (int64_t i = 0; i < count / OD_GGML_Q8_0_BLOCK; i++) {
            block_from_f32(values + i * OD_GGML_Q8_0_BLOCK, to + i * OD_GGML_Q8_0_BYTES);
        }
        break;
    default: break;
    }
}
