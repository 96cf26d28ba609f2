/**
 * @file
 * Which pieces does a text begin with: a trie of bytes, its edges in one hash table.
 *
 *     slots[hash(node, byte)] -> child        open addressing, at most half full
 *     ids[node] -> the piece that ends there, or -1
 *
 * @thread Re-entrant: a finished trie may be read by many threads.
 */
#ifndef OD_TEXT_PREFIXES_H
#define OD_TEXT_PREFIXES_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/** One edge: from a node by a byte to a child; the child 0 (the root is nobody's) is an empty slot. */
struct od_prefix_edge {
    uint64_t key;  ///< node << 8 | byte
    uint32_t child;
};

/** The trie. Initialise with {0}: no texts. */
struct od_prefixes {
    struct od_prefix_edge *slots;  ///< private
    size_t mask;                   ///< private
    int32_t *ids;                  ///< private: [node_count]
    size_t node_count;             ///< private
    size_t node_capacity;          ///< private
};

void od_prefixes_release(struct od_prefixes *prefixes);
/** Add a text that is not empty. The last of equal texts counts. @error OD_E_MEMORY, OD_E_LIMIT. */
enum od_status od_prefixes_add(struct od_prefixes *prefixes, const char *text, size_t size,
                               int32_t id, struct od_error *err) OD_MUST_CHECK;
/** Node behind `node` (0 is the root) and `byte`, or 0 when no text goes on so. */
uint32_t od_prefixes_next(const struct od_prefixes *prefixes, uint32_t node, unsigned char byte);
/** The text that ends at a node that od_prefixes_next gave: its id, or -1. */
int32_t od_prefixes_id(const struct od_prefixes *prefixes, uint32_t node);

#endif
