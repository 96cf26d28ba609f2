/**
 * @file
 * A piece of text that somebody else holds.
 * @thread Re-entrant: no state outside the arguments.
 */
#ifndef OD_EVAL_METRICS_SLICE_H
#define OD_EVAL_METRICS_SLICE_H

#include <stddef.h>
#include <string.h>

/** A piece of text; `bytes` NULL means no text at all. */
struct od_slice {
    const char *bytes;
    size_t size;
};

/** A whole C string. */
static inline struct od_slice od_slice_of(const char *text)
{
    return (struct od_slice){text, text ? strlen(text) : 0};
}

/** Below, equal to or above 0 as `a` comes before, is or comes behind `b` by its bytes. */
static inline int od_slice_order(struct od_slice a, struct od_slice b)
{
    const size_t size = a.size < b.size ? a.size : b.size;
    const int order = size > 0 ? memcmp(a.bytes, b.bytes, size) : 0;
    return order != 0 ? order : (a.size > b.size) - (a.size < b.size);
}

#endif
