/**
 * @file
 * A text cut into spans, some of which are already a token: what flows between the steps of
 * encoding.
 *
 *     text.bytes:  Hello▁world</s>
 *     spans:       [Hello][▁world][</s> = id 2]
 *
 * @thread Re-entrant: distinct objects from distinct threads.
 */
#ifndef OD_TEXT_SPLIT_H
#define OD_TEXT_SPLIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"

/** Longest text inside an encoder. */
#define OD_SPLIT_MAX_BYTES ((size_t)1 << 30)

/** A part of the text. */
struct od_span {
    size_t at;      ///< offset in `text`
    size_t size;    ///< bytes
    int32_t id;     ///< token that it is, or -1: text to be encoded
    bool at_start;  ///< begins where the original text begins
};

/** A text in spans, which stand in order and do not overlap. */
struct od_split {
    struct od_buf text;
    struct od_span *spans;
    size_t count;
    size_t capacity;  ///< private
    bool failed;      ///< an addition did not succeed
};

void od_split_init(struct od_split *split);
void od_split_release(struct od_split *split);
/** Forget the contents, keep the memory. */
void od_split_reset(struct od_split *split);
/** Append a span and its text; one without bytes is left out. After a failure it does nothing. */
void od_split_add(struct od_split *split, const char *text, size_t size, int32_t id, bool at_start);
/** The same, but one without bytes is kept. */
void od_split_keep(struct od_split *split, const char *text, size_t size);
/** Close a span over what was appended to `text` from offset `at` on. */
void od_split_close(struct od_split *split, size_t at, bool at_start);
/** OD_OK, or why an addition failed: OD_E_MEMORY. */
enum od_status od_split_check(const struct od_split *split, struct od_error *err) OD_MUST_CHECK;

#endif
