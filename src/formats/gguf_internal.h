/**
 * @file
 * What the files of GGUF share.
 *
 * @thread Re-entrant: no state.
 */
#ifndef OD_FORMATS_GGUF_INTERNAL_H
#define OD_FORMATS_GGUF_INTERNAL_H

#include <stddef.h>
#include <stdint.h>

/** A little-endian number of `size` bytes, at most 8. */
static inline uint64_t od_gguf_number(const unsigned char *bytes, size_t size)
{
    uint64_t value = 0;
    for (size_t i = 0; i < size; i++) {
        value |= (uint64_t)bytes[i] << (8 * i);
    }
    return value;
}

#endif
