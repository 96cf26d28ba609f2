/**
 * @file
 * A set of pairs of numbers: which two symbols may ever meet inside one piece.
 *
 * A long text without spaces is one word for some tokenizers. Where two neighbours are not in the
 * set, no merge reaches from one side to the other, so the sides are merged one after the other:
 * the same result from less memory at a time.
 *
 * @thread Re-entrant: a finished set may be read by many threads.
 */
#ifndef OD_TEXT_PAIRS_H
#define OD_TEXT_PAIRS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/** The set; open addressing, at most half full. Initialise with {0}: an empty set. */
struct od_pairs {
    uint64_t *slots;  ///< private: a << 32 | b, UINT64_MAX is empty
    size_t count;     ///< pairs
    size_t mask;      ///< private
};

void od_pairs_release(struct od_pairs *pairs);
/** Add (a, b), which is not (UINT32_MAX, UINT32_MAX). @error OD_E_MEMORY. */
enum od_status od_pairs_add(struct od_pairs *pairs, uint32_t a, uint32_t b,
                            struct od_error *err) OD_MUST_CHECK;
bool od_pairs_have(const struct od_pairs *pairs, uint32_t a, uint32_t b);

#endif
