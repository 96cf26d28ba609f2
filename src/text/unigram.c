#include "text/unigram.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"
#include "text/prefixes.h"
#include "text/vocab.h"

enum { FIRST_PARTS = 256 };

// Taken off what a piece of the user is worth, so that of two ways through such pieces the one with
// fewer of them wins.
static const double user_penalty = 0.1;

void od_unigram_release(struct od_unigram *unigram)
{
    od_prefixes_release(&unigram->prefixes);
    od_free(unigram->scores);
    *unigram = (struct od_unigram){0};
}

void od_unigram_work_release(struct od_unigram_work *work)
{
    od_free(work->parts);
    *work = (struct od_unigram_work){0};
}

static enum od_status reserve(struct od_unigram_work *work, size_t count, struct od_error *err)
{
    if (count <= work->capacity) {
        return OD_OK;
    }
    size_t capacity = work->capacity < FIRST_PARTS ? FIRST_PARTS : work->capacity;
    while (capacity < count) {
        capacity *= 2;  // count is at most OD_UNIGRAM_TEXT_MAX_BYTES + 1
    }
    struct od_unigram_part *parts = od_realloc(work->parts, capacity, sizeof(*parts));
    if (!parts) {
        return od_fail(err, OD_E_MEMORY, "no memory for a text of %zu bytes", count - 1);
    }
    work->parts = parts;
    work->capacity = capacity;
    return OD_OK;
}

// A way to `part` with its last piece from `start` on; it stays when it is better than the one there.
static void offer(const struct od_unigram *unigram, struct od_unigram_part *part, double score,
                  size_t start, int32_t id)
{
    if (part->start != UINT32_MAX && score <= part->score) {
        return;
    }
    *part = (struct od_unigram_part){.score = unigram->float_sums ? (double)(float)score : score,
                                     .start = (uint32_t)start,
                                     .id = id};
}

static double score_of(const struct od_unigram *unigram, const struct od_vocab *vocab, int32_t id,
                       size_t size)
{
    if (vocab->pieces[id].kind != OD_PIECE_USER) {
        return unigram->scores[id];
    }
    return (double)((float)size * (float)unigram->score_max) - user_penalty;
}

// Offer every piece that begins at `at`, whose first character has `length` bytes.
static void offer_pieces(const struct od_unigram *unigram, const struct od_vocab *vocab,
                         const char *text, size_t size, size_t at, size_t length,
                         struct od_unigram_part *parts)
{
    const double here = parts[at].score;
    bool has_character = false;
    uint32_t node = 0;
    for (size_t end = at + 1; end <= size; end++) {
        node = od_prefixes_next(&unigram->prefixes, node, (unsigned char)text[end - 1]);
        if (node == 0) {
            break;
        }
        const int32_t id = od_prefixes_id(&unigram->prefixes, node);
        if (id >= 0) {
            const double score = score_of(unigram, vocab, id, end - at);
            offer(unigram, &parts[end], here + score, at, id);
            has_character = has_character || end - at == length;
        }
    }
    if (!has_character && unigram->unknown_id >= 0) {
        const double score = here + unigram->unknown_score;
        offer(unigram, &parts[at + length], unigram->float_sums ? (double)(float)score : score, at,
              unigram->unknown_id);
    }
}

// Turn the way from the end of the text around.
static void link_parts(struct od_unigram_part *parts, size_t size)
{
    uint32_t behind = 0;
    for (uint32_t end = (uint32_t)size; end > 0; end = parts[end].start) {
        parts[end].behind = behind;
        behind = end;
    }
    parts[0].behind = behind;
}

enum od_status od_unigram_cut(const struct od_unigram *unigram, const struct od_vocab *vocab,
                              const char *text, size_t size, struct od_unigram_work *work,
                              struct od_error *err)
{
    if (size > OD_UNIGRAM_TEXT_MAX_BYTES) {
        return od_fail(err, OD_E_LIMIT, "a text of %zu bytes is longer than %zu", size,
                       OD_UNIGRAM_TEXT_MAX_BYTES);
    }
    const enum od_status status = reserve(work, size + 1, err);
    if (status != OD_OK) {
        return status;
    }
    struct od_unigram_part *parts = work->parts;
    for (size_t i = 0; i <= size; i++) {
        parts[i] = (struct od_unigram_part){.start = UINT32_MAX};
    }
    for (size_t at = 0; at < size;) {
        uint32_t code;
        const int decoded = od_utf8_decode(text + at, size - at, &code);
        const size_t length = decoded > 0 ? (size_t)decoded : 1;
        offer_pieces(unigram, vocab, text, size, at, length, parts);
        if (parts[at + length].start == UINT32_MAX) {
            return od_fail(err, OD_E_FORMAT,
                           "the tokenizer has no piece for U+%04X and none that is unknown",
                           (unsigned)code);
        }
        at += length;
    }
    link_parts(parts, size);
    return OD_OK;
}
