/**
 * @file
 * Tables of words and what stands for them, and their substitution in a text, as a regular
 * expression of Python with one alternative per word does it.
 *
 * From left to right, without overlap; at each place the first word of the table that fits there
 * together with its surroundings is taken, not the longest. Characters are code points. U+0130,
 * U+0131 and U+017F, on which HELM ends with an exception inside an otherwise matching word, match
 * nothing here.
 *
 * @source HELM 2023-11: augmentations; Python's documentation of re.
 * @thread Re-entrant: no state outside the arguments; a table that is not changed may be shared.
 */
#ifndef OD_EVAL_PERTURBATIONS_WORDS_H
#define OD_EVAL_PERTURBATIONS_WORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/random.h"
#include "base/status.h"

enum { OD_WORDS_MAX = 1 << 16, OD_WORD_CODES_MAX = 64, OD_WORD_VARIANTS_MAX = 1024 };

/** What must stand around a word. */
enum od_word_edge {
    OD_EDGE_BORDER,        ///< `\b` before and behind it
    OD_EDGE_BORDER_BLANK,  ///< the same, and a blank behind it
    OD_EDGE_NOT_WORD,      ///< a character before and one behind that are no word characters
    OD_EDGE_NOT_HYPHEN     ///< the same, and no hyphens
};

/** A word, and what may stand for it. */
struct od_word {
    uint32_t codes[OD_WORD_CODES_MAX];  ///< lower case where the table has no case
    size_t count;
    const char *const *variants;
    size_t variant_count;
};

/** Words in their order. Initialise with od_word_table_init. */
struct od_word_table {
    struct od_word *items;
    size_t count;
    size_t capacity;  ///< private
    bool caseless;    ///< words match in either case
    size_t *buckets;  ///< private: 1 + the last word of each pair of first characters
    size_t *next;     ///< private: 1 + the word before it with the same bucket
};
void od_word_table_init(struct od_word_table *table, bool caseless);
void od_word_table_release(struct od_word_table *table);

/**
 * Append a word. `variants` [variant_count] are kept.
 * @error OD_E_FORMAT for an empty word and none, OD_E_LIMIT past the limits above, OD_E_MEMORY.
 */
enum od_status od_word_table_add(struct od_word_table *table, const char *word,
                                 const char *const *variants, size_t variant_count,
                                 struct od_error *err) OD_MUST_CHECK;
/** Prepare for use; call once, behind the last word. @error OD_E_MEMORY. */
enum od_status od_word_table_seal(struct od_word_table *table, struct od_error *err) OD_MUST_CHECK;

/** How words are replaced. */
struct od_word_rule {
    const struct od_word_table *table;
    enum od_word_edge edge;
    bool draws;    ///< each match draws a number and is replaced when it is below `probability`
    bool chooses;  ///< and then a variant is chosen by another draw, even of one
    double probability;  ///< where `draws`
};

/** HELM's match_case: append `target` in the case of `source`. */
void od_match_case(const char *source, size_t source_size, const char *target, struct od_buf *out);

/** Append `text` with the words of `rule` replaced. @error OD_E_MEMORY. */
enum od_status od_words_replace(const struct od_word_rule *rule, const char *text, size_t size,
                                struct od_mt19937 *mt, struct od_buf *out,
                                struct od_error *err) OD_MUST_CHECK;

#endif
