/**
 * @file
 * 4-bit NormalFloat with double quantisation, in the layout of bitsandbytes.
 *
 * A matrix is read as one row of values in blocks of 64. A value is one of sixteen of the table,
 * times the block's largest magnitude; two codes lie in a byte, the first in the high half. The
 * magnitudes, less their mean, are coded again in 8 bits, in blocks of 256:
 *
 *     magnitude = map[code] * nested[block / 256] + offset
 *     value     = table[code] * magnitude                       (each step rounded to fp32)
 *
 * The scales of a matrix lie together: map [256], offset and three spare ones, nested [nests], all
 * fp32, then the codes of the magnitudes.
 *
 * @source Dettmers et al., "QLoRA", 2023; bitsandbytes (quantize_4bit with compress_statistics).
 * @thread Re-entrant: no state outside the arguments.
 */
#ifndef OD_FORMATS_NF4_H
#define OD_FORMATS_NF4_H

#include <stddef.h>
#include <stdint.h>

enum { OD_NF4_BLOCK = 64, OD_NF4_NEST = 256, OD_NF4_MAP = 256 };

/** Where the parts of a matrix's scales lie, in bytes from their start. */
struct od_nf4_places {
    int64_t blocks;
    int64_t nests;
    size_t offset;  ///< the map is at 0
    size_t nested;
    size_t codes;
    size_t bytes;  ///< all of it, a multiple of 16
};
/** `count` values, a multiple of OD_NF4_BLOCK. */
struct od_nf4_places od_nf4_places(int64_t count);

/** The sixteen values, ascending. */
extern const float od_nf4_table[16];

/** The 8-bit map of signed values that magnitudes are coded by, ascending. */
void od_nf4_map(float map[OD_NF4_MAP]);

/** Blocks [first, last) of `x`: codes, and each block's magnitude. A block of zeros has the code of
 *  zero. */
void od_nf4_encode(const float *x, int64_t first, int64_t last, uint8_t *codes, float *magnitudes);

/** The scales of a matrix of `count` values from the magnitudes of its blocks, which change. */
void od_nf4_nest(float *magnitudes, int64_t count, uint8_t *scales);

/** Values [first, first + count) of a matrix of `total`; `first` and `count` are even. */
void od_nf4_decode(const uint8_t *codes, const uint8_t *scales, int64_t total, int64_t first,
                   int64_t count, float *to);

#endif
