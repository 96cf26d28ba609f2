/**
 * @file
 * A set of phrases to look for in a text: the longest one that begins at a place.
 *
 * The phrases are sorted; looking narrows a range of them byte by byte, so a look costs
 * O(length of the longest phrase that fits * log(number of phrases)).
 *
 * @thread Re-entrant: a finished set may be read by many threads.
 */
#ifndef OD_TEXT_PHRASES_H
#define OD_TEXT_PHRASES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"

/** One phrase. */
struct od_phrase {
    char *text;  ///< owned
    size_t size;
    int32_t id;
};

/** The set. Initialise with {0}. */
struct od_phrases {
    struct od_phrase *items;  ///< [count], sorted by bytes once finished
    size_t count;
    size_t capacity;  ///< private
    bool first[256];  ///< private: a phrase begins with this byte
};

void od_phrases_release(struct od_phrases *phrases);
/** Add a phrase that is not empty. @memory Borrows `text`. @error OD_E_MEMORY, OD_E_ARGUMENT. */
enum od_status od_phrases_add(struct od_phrases *phrases, const char *text, size_t size, int32_t id,
                              struct od_error *err) OD_MUST_CHECK;
/** Sort. Call once, before the first look. Of equal phrases the one with the lowest id is found. */
void od_phrases_finish(struct od_phrases *phrases);
/** The longest phrase that `text` begins with, or NULL. @memory Borrowed from the set. */
const struct od_phrase *od_phrases_longest(const struct od_phrases *phrases, const char *text,
                                           size_t size);

#endif
