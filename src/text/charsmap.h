/**
 * @file
 * The normalisation rules that SentencePiece compiles into its models: texts and what they become.
 *
 *     u32 little-endian size of the double array in bytes; the array of u32 units;
 *     NUL-terminated replacement texts
 *
 * A unit of the array: bits 0-7 label, bit 31 set in a value; bit 8 has a value; bits 10-30 offset,
 * << 8 when bit 9 is set. The value of a node lies at node ^ offset and is an offset into the texts.
 *
 * @source Darts-clone's description of its units; SentencePiece's precompiled_charsmap.
 * @thread Re-entrant: finished rules may be read by many threads.
 */
#ifndef OD_TEXT_CHARSMAP_H
#define OD_TEXT_CHARSMAP_H

#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"
#include "formats/gguf.h"

/** The rules. Initialise with {0}: none. */
struct od_charsmap {
    char *bytes;            ///< owned: array and texts, or NULL
    const uint32_t *units;  ///< the array, in `bytes`
    size_t unit_count;
    const char *replacements;  ///< NUL-terminated texts, in `bytes`
    size_t replacements_size;
};

void od_charsmap_release(struct od_charsmap *map);

/**
 * Take the rules from their file form; no bytes are no rules. Rules that were there go.
 * @memory Borrows `bytes`.
 * @error  OD_E_FORMAT when sizes contradict each other (`where` stands in front), OD_E_MEMORY.
 */
enum od_status od_charsmap_read(struct od_charsmap *map, const void *bytes, size_t size,
                                const char *where, struct od_error *err) OD_MUST_CHECK;

/** Put the rules in their file form under a key of a GGUF file. */
void od_charsmap_put(const struct od_charsmap *map, const char *key, struct od_gguf_keys *keys);

/** The longest rule that `text` begins with: how many bytes it takes, 0 when none; what they become
 *  is in *ret_replacement then. @memory Borrowed from the rules. */
size_t od_charsmap_longest(const struct od_charsmap *map, const char *text, size_t size,
                           const char **ret_replacement, size_t *ret_size);

/**
 * Append `text` (valid UTF-8) as Hugging Face's Precompiled normalizer changes it: a grapheme of at
 * most five bytes that a rule fits becomes what the shortest such rule says, else so does each of
 * its characters by itself.
 * @error OD_E_MEMORY (a failed `out` is no error).
 */
void od_charsmap_normalize(const struct od_charsmap *map, const char *text, size_t size,
                           struct od_buf *out);

#endif
