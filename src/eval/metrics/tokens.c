#include "eval/metrics/tokens.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"
#include "eval/metrics/slice.h"
#include "eval/python_text.h"

enum { ORDER_MAX = 4 };
#define TABLE_MAX ((size_t)1 << 32)

void od_tokens_init(struct od_tokens *tokens)
{
    *tokens = (struct od_tokens){0};
    od_arena_init(&tokens->arena, OD_TOKENS_MAX_BYTES);
}

void od_tokens_release(struct od_tokens *tokens)
{
    od_free(tokens->items);
    od_arena_release(&tokens->arena);
    *tokens = (struct od_tokens){0};
}

enum od_status od_tokens_add(struct od_tokens *tokens, const char *bytes, size_t size,
                             struct od_error *err)
{
    enum { FIRST = 64 };
    if (tokens->count == OD_TOKENS_MAX) {
        return od_fail(err, OD_E_LIMIT, "a text of more than %d words", OD_TOKENS_MAX);
    }
    if (tokens->count == tokens->capacity) {
        const size_t capacity = tokens->capacity == 0 ? FIRST : tokens->capacity * 2;
        struct od_slice *items = od_realloc(tokens->items, capacity, sizeof *items);
        if (!items) {
            return od_fail(err, OD_E_MEMORY, "no memory for %zu words", capacity);
        }
        tokens->items = items;
        tokens->capacity = capacity;
    }
    const char *copy = od_arena_memdup(&tokens->arena, bytes, size);
    if (!copy) {
        return od_fail(err, OD_E_MEMORY, "no memory for the words of a text");
    }
    tokens->items[tokens->count++] = (struct od_slice){copy, size};
    return OD_OK;
}

enum od_status od_tokens_split(struct od_tokens *tokens, const char *text, size_t size,
                               struct od_error *err)
{
    enum od_status status = OD_OK;
    size_t first = 0;
    size_t at = 0;
    while (at < size && status == OD_OK) {
        uint32_t code = 0;
        const size_t length = od_python_next(text + at, size - at, &code);
        if (od_is_space(code)) {
            status = at > first ? od_tokens_add(tokens, text + first, at - first, err) : OD_OK;
            first = at + length;
        }
        at += length;
    }
    return status == OD_OK && size > first ? od_tokens_add(tokens, text + first, size - first, err)
                                           : status;
}

// A word and the place where its number goes.
struct place {
    struct od_slice word;
    uint32_t *number;
};

static int by_word(const void *left, const void *right)
{
    const struct place *a = left;
    const struct place *b = right;
    return od_slice_order(a->word, b->word);
}

enum od_status od_token_pair_make(const struct od_tokens *left, const struct od_tokens *right,
                                  struct od_token_pair *ret, struct od_error *err)
{
    const size_t count = left->count + right->count;
    uint32_t *numbers = od_alloc(count, sizeof *numbers);
    struct place *places = od_alloc(count, sizeof *places);
    uint32_t next = 0;
    if (!numbers || !places) {
        od_free(numbers);
        od_free(places);
        return od_fail(err, OD_E_MEMORY, "no memory to compare words");
    }
    for (size_t i = 0; i < count; i++) {
        places[i].word = i < left->count ? left->items[i] : right->items[i - left->count];
        places[i].number = &numbers[i];
    }
    if (count > 1) {
        qsort(places, count, sizeof *places, by_word);
    }
    for (size_t i = 0; i < count; i++) {
        next += i == 0 || by_word(&places[i - 1], &places[i]) != 0;
        *places[i].number = next - 1;
    }
    od_free(places);
    *ret = (struct od_token_pair){.left = numbers,
                                  .right = numbers + left->count,
                                  .left_count = left->count,
                                  .right_count = right->count,
                                  .word_count = next};
    return OD_OK;
}

void od_token_pair_release(struct od_token_pair *pair)
{
    od_free(pair->left);
    *pair = (struct od_token_pair){0};
}

// Neighbours; those behind the order are 0.
struct group {
    uint32_t words[ORDER_MAX];
};

static int by_words(const void *left, const void *right)
{
    const struct group *a = left;
    const struct group *b = right;
    for (size_t i = 0; i < ORDER_MAX; i++) {
        if (a->words[i] != b->words[i]) {
            return a->words[i] < b->words[i] ? -1 : 1;
        }
    }
    return 0;
}

static size_t group_count(size_t count, size_t order)
{
    return count < order ? 0 : count - order + 1;
}

static void fill_groups(const uint32_t *words, size_t count, size_t order, struct group *out)
{
    for (size_t i = 0; i < group_count(count, order); i++) {
        for (size_t k = 0; k < ORDER_MAX; k++) {
            out[i].words[k] = k < order ? words[i + k] : 0;
        }
    }
    if (group_count(count, order) > 1) {
        qsort(out, group_count(count, order), sizeof *out, by_words);
    }
}

enum od_status od_token_pair_common(const struct od_token_pair *pair, size_t order, size_t *ret,
                                    struct od_error *err)
{
    const size_t left_count = group_count(pair->left_count, order);
    const size_t right_count = group_count(pair->right_count, order);
    struct group *left = od_alloc(left_count, sizeof *left);
    struct group *right = od_alloc(right_count, sizeof *right);
    size_t common = 0;
    enum od_status status = OD_OK;
    if (!left || !right) {
        status = od_fail(err, OD_E_MEMORY, "no memory to compare words");
        goto done;
    }
    fill_groups(pair->left, pair->left_count, order, left);
    fill_groups(pair->right, pair->right_count, order, right);
    for (size_t i = 0, k = 0; i < left_count && k < right_count;) {
        const int difference = by_words(&left[i], &right[k]);
        common += difference == 0;
        i += difference <= 0;
        k += difference >= 0;
    }
    *ret = common;

done:
    od_free(left);
    od_free(right);
    return status;
}

enum od_status od_token_pair_longest(const struct od_token_pair *pair, size_t *ret,
                                     struct od_error *err)
{
    size_t cells = 0;
    if (!od_size_mul(pair->left_count, pair->right_count, &cells) || cells > TABLE_MAX) {
        return od_fail(err, OD_E_LIMIT, "texts of %zu and %zu words are too long for ROUGE-L",
                       pair->left_count, pair->right_count);
    }
    // best[k]: the longest of what was seen on the left and of the first k words on the right
    uint32_t *best = od_alloc(pair->right_count + 1, sizeof *best);
    if (!best) {
        return od_fail(err, OD_E_MEMORY, "no memory to compare words");
    }
    for (size_t i = 0; i < pair->left_count; i++) {
        uint32_t corner = 0;
        for (size_t k = 0; k < pair->right_count; k++) {
            const uint32_t above = best[k + 1];
            if (pair->left[i] == pair->right[k]) {
                best[k + 1] = corner + 1;
            } else if (best[k] > above) {
                best[k + 1] = best[k];
            }
            corner = above;
        }
    }
    *ret = best[pair->right_count];
    od_free(best);
    return OD_OK;
}
