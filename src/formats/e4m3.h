/**
 * @file
 * Eight-bit floating point with four bits of exponent and three of mantissa, without infinities.
 *
 *     bit 7     sign
 *     bits 6-3  exponent e, biased by 7
 *     bits 2-0  mantissa m
 *
 *     value = (1 + m / 8) 2^(e - 7);   e = 0: m / 8 * 2^-6;   e = 15 and m = 7: no number
 *
 * The largest number is 448, the smallest above zero 2^-9. A row of values is kept as codes and one
 * scale: value = code * scale, where the row's largest magnitude has the code of 448.
 *
 * @source Open Compute Project, "OCP 8-bit Floating Point Specification (OFP8)", 2023, E4M3.
 * @thread Re-entrant: no state outside the arguments.
 */
#ifndef OD_FORMATS_E4M3_H
#define OD_FORMATS_E4M3_H

#include <stdint.h>

/** The largest number. */
#define OD_E4M3_MAX       448.0F
/** Rows whose scale would be below this are rows of zeros: 1 / scale must be a number. */
#define OD_E4M3_SCALE_MIN 0x1p-126F

/** To the nearest code, halfway cases to the even one; beyond the largest number it is that one.
 *  What is no number has the code 0x7F. */
uint8_t od_e4m3_encode(float x);
float od_e4m3_decode(uint8_t code);

/**
 * Codes of a row, code[i] = encode(x[i] * (1 / scale)).
 *
 * @param factor  [count] what x[i] is multiplied by first; NULL: nothing.
 * @return        scale: largest magnitude / 448, its bits independent of the order of the row. A row
 *                that holds no number, or an infinite one, decodes to at least one value that is none.
 */
float od_e4m3_encode_row(const float *x, const float *factor, int64_t count, uint8_t *codes);
/** to[i] = decode(codes[i]) * scale. */
void od_e4m3_decode_row(const uint8_t *codes, float scale, int64_t count, float *to);

#endif
