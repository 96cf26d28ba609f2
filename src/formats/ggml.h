/**
 * @file
 * Types of the elements of a GGUF tensor, and those of them that turn into floats and back.
 *
 * A row is a run of blocks; a block holds `block` elements in `bytes` bytes. Q8_0 is 32 elements: a
 * binary16 scale d, then 32 signed bytes q; element i is d * q[i]. Written, d is max |x| / 127 and
 * q is x / d rounded to the nearest, halves away from zero; both from d before it is rounded.
 *
 * @source ggml: ggml-common.h (sizes of the blocks), the reference quantisation of Q8_0.
 * @thread Re-entrant: no state outside the arguments.
 */
#ifndef OD_FORMATS_GGML_H
#define OD_FORMATS_GGML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Numbers of the types that are converted; the others are only known by name and size. */
enum od_ggml_type {
    OD_GGML_F32 = 0,
    OD_GGML_F16 = 1,
    OD_GGML_Q8_0 = 8,
    OD_GGML_BF16 = 30,
};

enum { OD_GGML_Q8_0_BLOCK = 32, OD_GGML_Q8_0_BYTES = 34 };

/** A type's name and blocks. */
struct od_ggml_info {
    const char *name;
    int32_t block;  ///< elements
    int32_t bytes;  ///< of a block
};

/** What is known about a type, or NULL for a number that no type has. @memory Borrowed: constant. */
const struct od_ggml_info *od_ggml_info(uint32_t type);
/** True for the types of enum od_ggml_type. */
bool od_ggml_converts(uint32_t type);

/**
 * `count` elements as floats, exactly (but for Q8_0's one rounding of d * q).
 * @param type   One that od_ggml_converts.
 * @param bytes  count / block * bytes of them, aligned as they like.
 */
void od_ggml_to_f32(uint32_t type, const void *bytes, int64_t count, float *out);
/** The other way; `count` is a multiple of the type's block. */
void od_ggml_from_f32(uint32_t type, const float *values, int64_t count, void *out);

#endif
