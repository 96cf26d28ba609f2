#include "text/bpe.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"
#include "text/bpe_internal.h"
#include "text/pairs.h"
#include "text/tokenizer.h"
#include "text/vocab.h"

enum { FIRST_HEAP = 256, FIRST_SYMBOLS = 256, CHARACTER_MAX_BYTES = 4 };
// Words up to this many symbols are merged in one go: looking for joints costs more than it gives.
enum { WHOLE_WORD_SYMBOLS = 32 };

void od_bpe_init(struct od_bpe *bpe, const struct od_vocab *vocab)
{
    *bpe = (struct od_bpe){.vocab = vocab, .unknown_id = -1};
    memset(bpe->byte_ids, 0xFF, sizeof(bpe->byte_ids));
    memset(bpe->direct, 0xFF, sizeof(bpe->direct));
}

void od_bpe_release(struct od_bpe *bpe)
{
    od_free(bpe->merges);
    od_pairs_release(&bpe->joints);
    od_free(bpe->prefix);
    od_free(bpe->suffix);
    od_bpe_init(bpe, bpe->vocab);
}

enum od_status od_bpe_reserve(struct od_bpe *bpe, size_t count, struct od_error *err)
{
    size_t slots = 4;
    if (count > OD_BPE_MERGES_MAX) {
        return od_fail(err, OD_E_LIMIT, "%zu merges are more than %d", count,
                       (int)OD_BPE_MERGES_MAX);
    }
    while (slots < count * 2) {
        slots *= 2;
    }
    struct od_bpe_merge *merges = od_alloc(slots, sizeof(*merges));
    if (!merges) {
        return od_fail(err, OD_E_MEMORY, "no memory for %zu merges", count);
    }
    for (size_t i = 0; i < slots; i++) {
        merges[i].pair = OD_BPE_NO_PAIR;
    }
    od_free(bpe->merges);
    bpe->merges = merges;
    bpe->merge_mask = (uint32_t)slots - 1;
    return OD_OK;
}

static uint64_t pair_of(int32_t left, int32_t right)
{
    return (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
}

// The entry of a pair, or the empty one where it would go. The table is at most half full.
static struct od_bpe_merge *find_merge(const struct od_bpe *bpe, uint64_t pair)
{
    uint64_t hash = pair * 0x9E3779B97F4A7C15u;
    hash ^= hash >> 32;
    uint32_t slot = (uint32_t)hash & bpe->merge_mask;
    while (bpe->merges[slot].pair != OD_BPE_NO_PAIR && bpe->merges[slot].pair != pair) {
        slot = (slot + 1) & bpe->merge_mask;
    }
    return &bpe->merges[slot];
}

void od_bpe_add_merge(struct od_bpe *bpe, int32_t left, int32_t right, uint32_t rank, int32_t id)
{
    const uint64_t pair = pair_of(left, right);
    *find_merge(bpe, pair) = (struct od_bpe_merge){.pair = pair, .rank = rank, .id = id};
}

enum od_status od_bpe_finish(struct od_bpe *bpe, struct od_error *err)
{
    for (unsigned i = 0; i < 256; i++) {
        char name[8];
        (void)snprintf(name, sizeof(name), "<0x%02X>", i);
        bpe->byte_ids[i] = od_vocab_find(bpe->vocab, name, strlen(name));
    }
    for (uint32_t code = 0; code < OD_BPE_DIRECT_CODES; code++) {
        char text[4];
        const int size = od_utf8_encode(code, text);
        bpe->direct[code] = od_vocab_find(bpe->vocab, text, (size_t)size);
    }
    return od_bpe_find_joints(bpe, err);
}

void od_bpe_work_release(struct od_bpe_work *work)
{
    od_free(work->symbols);
    od_free(work->heap);
    *work = (struct od_bpe_work){0};
}

enum od_status od_bpe_work_symbols(struct od_bpe_work *work, size_t count, struct od_error *err)
{
    if (count <= work->symbol_capacity) {
        return OD_OK;
    }
    size_t capacity = work->symbol_capacity < FIRST_SYMBOLS ? FIRST_SYMBOLS : work->symbol_capacity;
    while (capacity < count) {
        capacity *= 2;  // count is at most OD_BPE_WORD_MAX_BYTES
    }
    struct od_bpe_symbol *symbols = od_realloc(work->symbols, capacity, sizeof(*symbols));
    if (!symbols) {
        return od_fail(err, OD_E_MEMORY, "no memory for a word of %zu symbols", count);
    }
    work->symbols = symbols;
    work->symbol_capacity = capacity;
    return OD_OK;
}

static enum od_status heap_push(struct od_bpe_work *work, struct od_bpe_candidate candidate,
                                struct od_error *err)
{
    if (work->heap_count == work->heap_capacity) {
        const size_t capacity = work->heap_capacity == 0 ? FIRST_HEAP : work->heap_capacity * 2;
        struct od_bpe_candidate *heap = od_realloc(work->heap, capacity, sizeof(*heap));
        if (!heap) {
            return od_fail(err, OD_E_MEMORY, "no memory for %zu pairs of a word", capacity);
        }
        work->heap = heap;
        work->heap_capacity = capacity;
    }
    struct od_bpe_candidate *heap = work->heap;
    size_t at = work->heap_count++;
    while (at > 0 && heap[(at - 1) / 2].key > candidate.key) {
        heap[at] = heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    heap[at] = candidate;
    return OD_OK;
}

static struct od_bpe_candidate heap_pop(struct od_bpe_work *work)
{
    struct od_bpe_candidate *heap = work->heap;
    const struct od_bpe_candidate top = heap[0];
    const size_t count = --work->heap_count;
    if (count == 0) {
        return top;
    }
    const struct od_bpe_candidate last = heap[count];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= count) {
            break;
        }
        if (child + 1 < count && heap[child + 1].key < heap[child].key) {
            child++;
        }
        if (heap[child].key >= last.key) {
            break;
        }
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = last;
    return top;
}

// Take the right neighbour of `left` out of the list and give its text to `left`.
static void join(struct od_bpe_symbol *symbols, int32_t left)
{
    struct od_bpe_symbol *a = &symbols[left];
    struct od_bpe_symbol *b = &symbols[a->next];
    a->size += b->size;
    b->size = 0;
    a->next = b->next;
    if (a->next >= 0) {
        symbols[a->next].prev = left;
    }
}

static enum od_status push_ranked(const struct od_bpe *bpe, int32_t left, struct od_bpe_work *work,
                                  struct od_error *err)
{
    const struct od_bpe_symbol *symbols = work->symbols;
    if (left < 0 || symbols[left].next < 0) {
        return OD_OK;
    }
    const struct od_bpe_merge *merge =
        find_merge(bpe, pair_of(symbols[left].id, symbols[symbols[left].next].id));
    if (merge->pair == OD_BPE_NO_PAIR) {
        return OD_OK;
    }
    const struct od_bpe_candidate candidate = {.key = (uint64_t)merge->rank << 32 | (uint32_t)left,
                                               .check = (uint32_t)merge->id};
    return heap_push(work, candidate, err);
}

// Join what may be joined among the symbols from..to-1, to which nothing outside can be joined.
static enum od_status merge_ranked(const struct od_bpe *bpe, size_t from, size_t to,
                                   struct od_bpe_work *work, struct od_error *err)
{
    enum od_status status = OD_OK;
    work->heap_count = 0;
    for (size_t i = from; i + 1 < to && status == OD_OK; i++) {
        status = push_ranked(bpe, (int32_t)i, work, err);
    }
    while (work->heap_count > 0 && status == OD_OK) {
        const struct od_bpe_candidate top = heap_pop(work);
        const int32_t left = (int32_t)(top.key & UINT32_MAX);
        struct od_bpe_symbol *symbols = work->symbols;
        if (symbols[left].size == 0 || symbols[left].next < 0) {
            continue;
        }
        // The neighbours may have changed since the pair was pushed.
        const struct od_bpe_merge *merge =
            find_merge(bpe, pair_of(symbols[left].id, symbols[symbols[left].next].id));
        if (merge->pair == OD_BPE_NO_PAIR || (uint32_t)merge->id != top.check) {
            continue;
        }
        symbols[left].id = merge->id;
        join(symbols, left);
        status = push_ranked(bpe, symbols[left].prev, work, err);
        if (status == OD_OK) {
            status = push_ranked(bpe, left, work, err);
        }
    }
    return status;
}

static enum od_status merge_word(const struct od_bpe *bpe, size_t count, struct od_bpe_work *work,
                                 struct od_error *err)
{
    const bool whole = !bpe->has_joints || count <= WHOLE_WORD_SYMBOLS;
    enum od_status status = OD_OK;
    for (size_t from = 0; from < count && status == OD_OK;) {
        const struct od_bpe_symbol *symbols = work->symbols;
        size_t to = whole ? count : from + 1;
        while (to < count && od_pairs_have(&bpe->joints, (uint32_t)symbols[to - 1].id,
                                           (uint32_t)symbols[to].id)) {
            to++;
        }
        status = merge_ranked(bpe, from, to, work, err);
        from = to;
    }
    return status;
}

static void add_symbol(struct od_bpe_work *work, size_t *count, int32_t id)
{
    const int32_t index = (int32_t)*count;
    work->symbols[index] =
        (struct od_bpe_symbol){.id = id, .prev = index - 1, .next = index + 1, .size = 1};
    *count += 1;
}

// Id of the character word[at..at+size), with what the model puts around it.
static int32_t character_id(const struct od_bpe *bpe, const char *word, size_t word_size, size_t at,
                            size_t size, struct od_buf *scratch)
{
    const bool with_prefix = bpe->prefix && at > 0;
    const bool with_suffix = bpe->suffix && at + size == word_size;
    if (!with_prefix && !with_suffix) {
        return od_vocab_find(bpe->vocab, word + at, size);
    }
    od_buf_reset(scratch);
    if (with_prefix) {
        od_buf_puts(scratch, bpe->prefix);
    }
    od_buf_append(scratch, word + at, size);
    if (with_suffix) {
        od_buf_puts(scratch, bpe->suffix);
    }
    return od_vocab_find(bpe->vocab, od_buf_text(scratch), scratch->size);
}

// Put the bytes of a character without piece; false when the vocabulary lacks one of them.
static bool add_bytes(const struct od_bpe *bpe, const char *text, size_t size,
                      struct od_bpe_work *work, size_t *count)
{
    for (size_t i = 0; i < size; i++) {
        if (bpe->byte_ids[(unsigned char)text[i]] < 0) {
            return false;
        }
    }
    for (size_t i = 0; i < size; i++) {
        add_symbol(work, count, bpe->byte_ids[(unsigned char)text[i]]);
    }
    return true;
}

// Fill work->symbols with the characters of the word.
static void split_word(const struct od_bpe *bpe, const char *word, size_t size,
                       struct od_bpe_work *work, struct od_buf *scratch, size_t *ret_count)
{
    const bool plain = !bpe->prefix && !bpe->suffix;
    size_t count = 0;
    bool unknown = false;  // one unknown is due, put before the next known character
    for (size_t at = 0; at < size;) {
        uint32_t code = 0;
        const int decoded = od_utf8_decode(word + at, size - at, &code);
        const size_t length = decoded > 0 ? (size_t)decoded : 1;
        const int32_t id = plain && decoded > 0 && code < OD_BPE_DIRECT_CODES
                               ? bpe->direct[code]
                               : character_id(bpe, word, size, at, length, scratch);
        if (id >= 0) {
            if (unknown) {
                add_symbol(work, &count, bpe->unknown_id);
                unknown = false;
            }
            add_symbol(work, &count, id);
        } else if (!(bpe->byte_fallback && add_bytes(bpe, word + at, length, work, &count)) &&
                   bpe->unknown_id >= 0) {
            if (unknown && !bpe->fuse_unknown) {
                add_symbol(work, &count, bpe->unknown_id);
            }
            unknown = true;
        }
        at += length;
    }
    if (unknown) {
        add_symbol(work, &count, bpe->unknown_id);
    }
    if (count > 0) {
        work->symbols[count - 1].next = -1;
    }
    *ret_count = count;
}

enum od_status od_bpe_encode(const struct od_bpe *bpe, const char *word, size_t size,
                             struct od_bpe_work *work, struct od_ids *out, struct od_error *err)
{
    struct od_buf scratch;
    size_t count = 0;
    if (size > OD_BPE_WORD_MAX_BYTES) {
        return od_fail(err, OD_E_LIMIT, "a word of %zu bytes is longer than %zu", size,
                       OD_BPE_WORD_MAX_BYTES);
    }
    if (bpe->ignore_merges) {
        const int32_t id = od_vocab_find(bpe->vocab, word, size);
        if (id >= 0) {
            od_ids_push(out, id);
            return OD_OK;
        }
    }
    // Never more symbols than bytes, and one unknown.
    enum od_status status = od_bpe_work_symbols(work, size + 1, err);
    if (status != OD_OK) {
        return status;
    }
    od_buf_init(&scratch, (size_t)2 * OD_TOKENIZER_PIECE_MAX_BYTES + CHARACTER_MAX_BYTES);
    split_word(bpe, word, size, work, &scratch, &count);
    status = od_buf_check(&scratch, err);
    od_buf_release(&scratch);
    if (status == OD_OK && bpe->merges) {
        status = merge_word(bpe, count, work, err);
    }
    for (int32_t i = count > 0 && status == OD_OK ? 0 : -1; i >= 0; i = work->symbols[i].next) {
        od_ids_push(out, work->symbols[i].id);
    }
    return status;
}

// Ascending keys for descending scores; scores are never NaN.
static uint32_t score_key(float score)
{
    uint32_t bits;
    memcpy(&bits, &score, sizeof(bits));
    const uint32_t ascending = bits >> 31 ? ~bits : bits | 0x80000000u;
    return ~ascending;
}

static enum od_status push_scored(const struct od_vocab *vocab, const float *scores,
                                  uint32_t *unused_left, const char *word, int32_t left,
                                  struct od_bpe_work *work, struct od_error *err)
{
    const struct od_bpe_symbol *symbols = work->symbols;
    if (left < 0 || symbols[left].next < 0) {
        return OD_OK;
    }
    const struct od_bpe_symbol *a = &symbols[left];
    const struct od_bpe_symbol *b = &symbols[a->next];
    if (a->frozen || b->frozen) {
        return OD_OK;
    }
    const uint32_t size = a->size + b->size;
    const int32_t id = od_vocab_find(vocab, word + a->at, size);
    if (id < 0) {
        return OD_OK;
    }
    const uint8_t kind = vocab->pieces[id].kind;
    if (kind != OD_PIECE_NORMAL && kind != OD_PIECE_USER && kind != OD_PIECE_UNUSED) {
        return OD_OK;
    }
    if (kind == OD_PIECE_UNUSED && unused_left) {
        unused_left[id] = a->size;
    }
    const struct od_bpe_candidate candidate = {
        .key = (uint64_t)score_key(scores[id]) << 32 | (uint32_t)left, .check = size};
    return heap_push(work, candidate, err);
}

static enum od_status merge_scored(const struct od_vocab *vocab, const float *scores,
                                   uint32_t *unused_left, const char *word, size_t from, size_t to,
                                   struct od_bpe_work *work, struct od_error *err)
{
    enum od_status status = OD_OK;
    work->heap_count = 0;
    for (size_t i = from; i + 1 < to && status == OD_OK; i++) {
        status = push_scored(vocab, scores, unused_left, word, (int32_t)i, work, err);
    }
    while (work->heap_count > 0 && status == OD_OK) {
        const struct od_bpe_candidate top = heap_pop(work);
        const int32_t left = (int32_t)(top.key & UINT32_MAX);
        struct od_bpe_symbol *symbols = work->symbols;
        if (symbols[left].size == 0 || symbols[left].next < 0 ||
            symbols[left].size + symbols[symbols[left].next].size != top.check) {
            continue;  // joined with something else since it was pushed
        }
        join(symbols, left);
        status = push_scored(vocab, scores, unused_left, word, symbols[left].prev, work, err);
        if (status == OD_OK) {
            status = push_scored(vocab, scores, unused_left, word, left, work, err);
        }
    }
    return status;
}

// Whether a piece may reach over the end of symbol `a`, which is a character as `b` behind it is.
static bool may_meet(const struct od_pairs *joints, const char *word, const struct od_bpe_symbol *a,
                     const struct od_bpe_symbol *b)
{
    uint32_t left = 0;
    uint32_t right = 0;
    if (a->frozen || b->frozen) {
        return false;
    }
    if (od_utf8_decode(word + a->at, a->size, &left) == 0 ||
        od_utf8_decode(word + b->at, b->size, &right) == 0) {
        return true;  // what the normalization rules make may be no UTF-8
    }
    return od_pairs_have(joints, left, right);
}

enum od_status od_bpe_merge_spm(const struct od_vocab *vocab, const float *scores,
                                const struct od_pairs *joints, uint32_t *unused_left,
                                const char *word, size_t count, struct od_bpe_work *work,
                                struct od_error *err)
{
    enum od_status status = OD_OK;
    for (size_t from = 0; from < count && status == OD_OK;) {
        size_t to = from + 1;
        while (to < count && may_meet(joints, word, &work->symbols[to - 1], &work->symbols[to])) {
            to++;
        }
        status = merge_scored(vocab, scores, unused_left, word, from, to, work, err);
        from = to;
    }
    return status;
}
