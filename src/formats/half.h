/**
 * @file
 * Floats of 16 bits: binary16 (1 sign, 5 exponent, 10 fraction) and bfloat16 (1, 8, 7).
 *
 * To float: exact. From float: to the nearest, ties to the even one; subnormals are kept, what is
 * too large becomes infinite, a NaN stays a (quiet) NaN with its sign and the upper payload bits.
 *
 * @source IEEE 754-2019, sections 3.4 and 4.3.1.
 * @thread Re-entrant: no state outside the arguments.
 */
#ifndef OD_FORMATS_HALF_H
#define OD_FORMATS_HALF_H

#include <stdint.h>
#include <string.h>

/** The bits of a float. */
static inline uint32_t od_f32_bits(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/** The float with these bits. */
static inline float od_f32_from_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/** bfloat16 to float. */
static inline float od_bf16_to_f32(uint16_t half)
{
    return od_f32_from_bits((uint32_t)half << 16);
}

/** float to bfloat16. */
static inline uint16_t od_f32_to_bf16(float value)
{
    const uint32_t bits = od_f32_bits(value);
    if ((bits & 0x7FFFFFFFu) > 0x7F800000u) {
        return (uint16_t)((bits >> 16) | 0x0040u);
    }
    // Half of the last place, less one when that place is even; a carry reaches the exponent.
    return (uint16_t)((bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16);
}

/** binary16 to float. */
static inline float od_f16_to_f32(uint16_t half)
{
    const uint32_t sign = (uint32_t)(half & 0x8000u) << 16;
    const uint32_t rest = half & 0x7FFFu;
    if (rest >= 0x7C00u) {  // infinite or NaN
        const uint32_t quiet = rest > 0x7C00u ? 0x00400000u : 0u;
        return od_f32_from_bits(sign | 0x7F800000u | quiet | (rest & 0x03FFu) << 13);
    }
    if (rest >= 0x0400u) {  // the exponents' biases are 127 and 15
        return od_f32_from_bits(sign | ((rest << 13) + ((127u - 15u) << 23)));
    }
    // Zero and subnormal: fraction * 2^-24, exact in float.
    const float size = (float)rest * 0x1p-24f;
    return od_f32_from_bits(sign | od_f32_bits(size));
}

/** float to binary16. */
static inline uint16_t od_f32_to_f16(float value)
{
    const uint32_t bits = od_f32_bits(value);
    const uint32_t sign = (bits >> 16) & 0x8000u;
    const uint32_t size = bits & 0x7FFFFFFFu;
    if (size > 0x7F800000u) {
        return (uint16_t)(sign | 0x7E00u | ((size >> 13) & 0x03FFu));
    }
    if (size >= 0x477FF000u) {  // 65520 and up rounds to infinity
        return (uint16_t)(sign | 0x7C00u);
    }
    if (size >= 0x38800000u) {  // 2^-14 and up: normal
        const uint32_t rounded = size + 0x0FFFu + ((size >> 13) & 1u);
        return (uint16_t)(sign | ((rounded - ((127u - 15u) << 23)) >> 13));
    }
    if (size <= 0x33000000u) {  // 2^-25 and less: the tie goes to zero
        return (uint16_t)sign;
    }
    // Subnormal: the fraction with its leading 1 in units of 2^-24, rounded by hand.
    const uint32_t shift = 126u - (size >> 23);
    const uint32_t fraction = (size & 0x007FFFFFu) | 0x00800000u;
    const uint32_t half = 1u << (shift - 1u);
    const uint32_t kept = fraction >> shift;
    const uint32_t cut = fraction & ((1u << shift) - 1u);
    const uint32_t up = cut > half || (cut == half && (kept & 1u) != 0u) ? 1u : 0u;
    return (uint16_t)(sign | (kept + up));
}

#endif
