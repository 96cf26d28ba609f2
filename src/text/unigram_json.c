// Reads the unigram model of a tokenizer.json:
//
//   type "Unigram", vocab [[piece, score]] (id = place), unk_id (null: none), byte_fallback
//
// Limits: those of tokenizer.h.
//
// Source: the files themselves and the documentation of tokenizers 0.2x.

#include <float.h>
#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"
#include "formats/json.h"
#include "text/prefixes.h"
#include "text/tokenizer.h"
#include "text/tokenizer_internal.h"
#include "text/unigram.h"
#include "text/vocab.h"

static enum od_status add_piece(struct od_tokenizer *tokenizer, const json_t *entry, size_t id,
                                const char *where, struct od_error *err)
{
    const json_t *piece = json_array_get(entry, 0);
    const json_t *score = json_array_get(entry, 1);
    if (json_array_size(entry) != 2 || !json_is_string(piece) || !json_is_number(score)) {
        return od_fail(err, OD_E_FORMAT, "%s: piece %zu is no pair of a text and a score", where,
                       id);
    }
    const char *text = json_string_value(piece);
    const size_t size = json_string_length(piece);
    enum od_status status =
        od_vocab_add(&tokenizer->vocab, (int64_t)id, text, size, OD_PIECE_NORMAL, err);
    if (status != OD_OK) {
        od_error_prefix(err, "%s: vocab", where);
        return status;
    }
    tokenizer->unigram.scores[id] = json_number_value(score);
    return size == 0 ? OD_OK
                     : od_prefixes_add(&tokenizer->unigram.prefixes, text, size, (int32_t)id, err);
}

static enum od_status add_pieces(struct od_tokenizer *tokenizer, const json_t *vocab,
                                 const char *where, struct od_error *err)
{
    struct od_unigram *unigram = &tokenizer->unigram;
    const size_t count = json_array_size(vocab);
    double lowest = DBL_MAX;
    enum od_status status = OD_OK;
    if (count == 0 || count > OD_TOKENIZER_VOCAB_MAX) {
        return od_fail(err, OD_E_FORMAT, "%s: 'vocab' must be a list of 1 to %d pieces", where,
                       (int)OD_TOKENIZER_VOCAB_MAX);
    }
    unigram->scores = od_alloc(count, sizeof(*unigram->scores));
    if (!unigram->scores) {
        return od_fail(err, OD_E_MEMORY, "%s: no memory for %zu scores", where, count);
    }
    unigram->scores_count = count;
    for (size_t id = 0; id < count && status == OD_OK; id++) {
        status = add_piece(tokenizer, json_array_get(vocab, id), id, where, err);
        lowest = status == OD_OK ? fmin(lowest, unigram->scores[id]) : lowest;
    }
    unigram->unknown_score = lowest - OD_UNIGRAM_UNKNOWN_PENALTY;
    return status;
}

enum od_status od_tokenizer_read_unigram(struct od_tokenizer *tokenizer, const json_t *model,
                                         const char *where, struct od_error *err)
{
    int64_t unknown = -1;
    tokenizer->is_unigram = true;
    enum od_status status = add_pieces(tokenizer, json_object_get(model, "vocab"), where, err);
    if (status == OD_OK) {
        status = od_json_int_or(model, "unk_id", where, -1, &unknown, err);
    }
    if (status == OD_OK) {
        status = od_json_bool_or(model, "byte_fallback", where, false,
                                 &tokenizer->bpe.byte_fallback, err);
    }
    if (status == OD_OK && (unknown < -1 || unknown >= tokenizer->vocab.count)) {
        status = od_fail(err, OD_E_FORMAT, "%s: unk_id %lld is not in the vocabulary", where,
                         (long long)unknown);
    }
    tokenizer->unigram.unknown_id = (int32_t)unknown;
    return status;
}

// Bytes of a text for which there is no piece; false when one of them has no piece either.
static bool put_bytes(const struct od_tokenizer *tokenizer, const char *text, size_t size,
                      struct od_ids *out)
{
    for (size_t i = 0; i < size; i++) {
        if (tokenizer->bpe.byte_ids[(unsigned char)text[i]] < 0) {
            return false;
        }
    }
    for (size_t i = 0; i < size; i++) {
        od_ids_push(out, tokenizer->bpe.byte_ids[(unsigned char)text[i]]);
    }
    return true;
}

enum od_status od_unigram_encode(const struct od_tokenizer *tokenizer, const char *word,
                                 size_t size, struct od_unigram_work *work, struct od_ids *out,
                                 struct od_error *err)
{
    const struct od_unigram *unigram = &tokenizer->unigram;
    const enum od_status status = od_unigram_cut(unigram, &tokenizer->vocab, word, size, work, err);
    uint32_t end = status == OD_OK ? work->parts[0].behind : 0;
    while (end > 0) {
        const struct od_unigram_part *part = &work->parts[end];
        const uint32_t start = part->start;
        int32_t id = part->id;
        end = part->behind;
        if (id == unigram->unknown_id) {
            // Unknown neighbours are one text; that text may be a piece of its own.
            uint32_t stop = (uint32_t)(part - work->parts);
            while (end > 0 && work->parts[end].id == unigram->unknown_id) {
                stop = end;
                end = work->parts[end].behind;
            }
            const int32_t found = od_vocab_find(&tokenizer->vocab, word + start, stop - start);
            id = found >= 0 ? found : id;
            if (found < 0 && tokenizer->bpe.byte_fallback &&
                put_bytes(tokenizer, word + start, stop - start, out)) {
                continue;
            }
        }
        od_ids_push(out, id);
    }
    return status;
}
