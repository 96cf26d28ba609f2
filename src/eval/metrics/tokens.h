/**
 * @file
 * Lists of words, and how much two of them have in common.
 *
 * @thread Re-entrant: distinct objects from distinct threads.
 */
#ifndef OD_EVAL_METRICS_TOKENS_H
#define OD_EVAL_METRICS_TOKENS_H

#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"
#include "eval/metrics/slice.h"

/** More words than this in one text are refused. */
enum { OD_TOKENS_MAX = 1 << 22 };
/** Text of one list. */
#define OD_TOKENS_MAX_BYTES ((size_t)256 << 20)

/** Words in their order. Initialise with od_tokens_init. */
struct od_tokens {
    struct od_slice *items;
    size_t count;
    size_t capacity;        ///< private
    struct od_arena arena;  ///< private: the text of the words
};
void od_tokens_init(struct od_tokens *tokens);
void od_tokens_release(struct od_tokens *tokens);

/** Append a copy of a word. @error OD_E_MEMORY, OD_E_LIMIT. */
enum od_status od_tokens_add(struct od_tokens *tokens, const char *bytes, size_t size,
                             struct od_error *err) OD_MUST_CHECK;
/** Append the pieces of `text` between white space, as Python's str.split cuts it. */
enum od_status od_tokens_split(struct od_tokens *tokens, const char *text, size_t size,
                               struct od_error *err) OD_MUST_CHECK;

/** Two lists with a number for each word, the same for equal words. Initialise with `{0}`. */
struct od_token_pair {
    uint32_t *left;
    uint32_t *right;  ///< private memory: that of `left`
    size_t left_count;
    size_t right_count;
    uint32_t word_count;  ///< numbers are below this
};
/** Number the words of both lists. @memory Release with od_token_pair_release. */
enum od_status od_token_pair_make(const struct od_tokens *left, const struct od_tokens *right,
                                  struct od_token_pair *ret, struct od_error *err) OD_MUST_CHECK;
void od_token_pair_release(struct od_token_pair *pair);

/** Groups of `order` neighbours that both lists have, each as often as the list that has it more
 *  rarely. @param order 1 to 4. @error OD_E_MEMORY. */
enum od_status od_token_pair_common(const struct od_token_pair *pair, size_t order, size_t *ret,
                                    struct od_error *err) OD_MUST_CHECK;
/** Words of the longest sequence that is in both lists, gaps allowed.
 *  @error OD_E_LIMIT when the lists are too long for a table, OD_E_MEMORY. */
enum od_status od_token_pair_longest(const struct od_token_pair *pair, size_t *ret,
                                     struct od_error *err) OD_MUST_CHECK;

#endif
