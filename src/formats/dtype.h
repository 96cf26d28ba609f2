/**
 * @file
 * Types of the elements of a tensor in a file, by the names that safetensors gives them.
 *
 * @source https://huggingface.co/docs/safetensors (format), names of the dtypes.
 * @thread Re-entrant: no state outside the arguments.
 */
#ifndef OD_FORMATS_DTYPE_H
#define OD_FORMATS_DTYPE_H

#include <stdbool.h>
#include <stddef.h>

/** Type of an element. F32, F16 and BF16 can be read as float, the others only as bytes. */
enum od_dtype {
    OD_DTYPE_F64,
    OD_DTYPE_F32,
    OD_DTYPE_F16,      ///< IEEE 754 binary16
    OD_DTYPE_BF16,     ///< the upper half of a binary32
    OD_DTYPE_F8_E4M3,  ///< 8 bits, 4 of them exponent
    OD_DTYPE_F8_E5M2,  ///< 8 bits, 5 of them exponent
    OD_DTYPE_I64,
    OD_DTYPE_I32,
    OD_DTYPE_I16,
    OD_DTYPE_I8,
    OD_DTYPE_U64,
    OD_DTYPE_U32,
    OD_DTYPE_U16,
    OD_DTYPE_U8,
    OD_DTYPE_BOOL,  ///< one byte
    OD_DTYPE_COUNT  ///< how many there are
};

/** Bytes of one element. */
size_t od_dtype_size(enum od_dtype dtype);
/** Name in a safetensors header ("BF16"). @memory Borrowed: constant. */
const char *od_dtype_name(enum od_dtype dtype);
/** The type with that name; false when there is none. */
bool od_dtype_find(const char *name, enum od_dtype *ret_dtype);
/** True for F32, F16 and BF16: what reads and writes as float. */
bool od_dtype_is_float(enum od_dtype dtype);

#endif
