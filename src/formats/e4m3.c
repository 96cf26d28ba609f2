#include "formats/e4m3.h"

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum {
    MANTISSA_SHIFT = 20,              // an fp32 has 23 bits, a code 3
    EXPONENT_SHIFT = (127 - 7) << 3,  // between the two biases, above a code's mantissa
    SIGN_SHIFT = 24,
    NO_NUMBER = 0x7F,
    LARGEST = 0x7E
};
static const uint32_t MAGNITUDE = 0x7FFFFFFFu;
static const uint32_t INFINITE = 0x7F800000u;
static const uint32_t NORMAL = 0x3C800000u;  // 2^-6: below it a code has no leading one
static const uint32_t MOST = 0x43E00000u;    // 448
// Added to a magnitude below 2^-6 it leaves multiples of 2^-9, rounded, in the lowest bits.
static const float ROUNDS_TO_STEP = 0x1p14F;

static uint32_t bits_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static float of_bits(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

uint8_t od_e4m3_encode(float x)
{
    const uint32_t bits = bits_of(x);
    const uint32_t size = bits & MAGNITUDE;
    const uint32_t sign = bits >> SIGN_SHIFT & 0x80u;
    if (size > INFINITE) {
        return NO_NUMBER;
    }
    if (size >= MOST) {
        return (uint8_t)(sign | LARGEST);
    }
    if (size < NORMAL) {
        return (uint8_t)(sign | (bits_of(of_bits(size) + ROUNDS_TO_STEP) & 0xFu));
    }
    const uint32_t half = (1u << (MANTISSA_SHIFT - 1)) - 1;
    const uint32_t odd = size >> MANTISSA_SHIFT & 1u;
    const uint32_t rounded = (size + half + odd) >> MANTISSA_SHIFT;
    return (uint8_t)(sign | (rounded - EXPONENT_SHIFT));
}

float od_e4m3_decode(uint8_t code)
{
    const uint32_t size = code & 0x7Fu;
    const uint32_t sign = (uint32_t)(code & 0x80u) << SIGN_SHIFT;
    if (size == NO_NUMBER) {
        return NAN;
    }
    // A subnormal's mantissa counts steps of 2^-9.
    const uint32_t bits =
        size < 8 ? bits_of((float)size * 0x1p-9F) : (size + EXPONENT_SHIFT) << MANTISSA_SHIFT;
    return of_bits(sign | bits);
}

float od_e4m3_encode_row(const float *x, const float *factor, int64_t count, uint8_t *codes)
{
    float most = 0.0F;
    for (int64_t i = 0; i < count; i++) {
        const float size = fabsf(factor ? x[i] * factor[i] : x[i]);
        most = size > most ? size : most;
    }
    const float share = most / OD_E4M3_MAX;
    const float scale = share >= OD_E4M3_SCALE_MIN ? share : 0.0F;
    const float inverse = scale > 0.0F ? 1.0F / scale : 0.0F;
    for (int64_t i = 0; i < count; i++) {
        codes[i] = od_e4m3_encode((factor ? x[i] * factor[i] : x[i]) * inverse);
    }
    return scale;
}

void od_e4m3_decode_row(const uint8_t *codes, float scale, int64_t count, float *to)
{
    for (int64_t i = 0; i < count; i++) {
        to[i] = od_e4m3_decode(codes[i]) * scale;
    }
}
