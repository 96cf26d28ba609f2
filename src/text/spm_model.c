// Builds a SentencePiece model piece by piece, whatever file the pieces come from.

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"
#include "text/bpe.h"
#include "text/byte_alphabet.h"
#include "text/phrases.h"
#include "text/prefixes.h"
#include "text/tokenizer.h"
#include "text/tokenizer_internal.h"
#include "text/unigram.h"
#include "text/vocab.h"

enum { BYTE_COUNT = 256 };

enum od_status od_spm_begin(struct od_tokenizer *tokenizer, int64_t count, const char *name,
                            struct od_error *err)
{
    struct od_spm *spm = &tokenizer->spm;
    if (count < 1 || count > OD_TOKENIZER_VOCAB_MAX) {
        return od_fail(err, count < 1 ? OD_E_FORMAT : OD_E_LIMIT,
                       "'%s' has %lld pieces; 1 to %d are allowed", name, (long long)count,
                       (int)OD_TOKENIZER_VOCAB_MAX);
    }
    tokenizer->is_spm = true;
    spm->scores = od_alloc((size_t)count, sizeof(*spm->scores));
    spm->unknown_text = od_strdup(" \xE2\x81\x87 ");
    if (!spm->scores || !spm->unknown_text) {
        return od_fail(err, OD_E_MEMORY, "no memory for the %lld pieces of '%s'", (long long)count,
                       name);
    }
    return OD_OK;
}

enum od_status od_spm_add(struct od_tokenizer *tokenizer, int64_t id, const char *text, size_t size,
                          float score, uint64_t type, const char *name, struct od_error *err)
{
    if (size == 0 || od_utf8_invalid_at(text, size) != size) {
        return od_fail(err, OD_E_FORMAT, "'%s': piece %lld is %s", name, (long long)id,
                       size == 0 ? "empty" : "no UTF-8");
    }
    if (type < OD_PIECE_NORMAL || type > OD_PIECE_BYTE || isnan(score)) {
        return od_fail(err, OD_E_FORMAT, "'%s': piece %lld has type %llu and score %g", name,
                       (long long)id, (unsigned long long)type, (double)score);
    }
    const enum od_status status =
        od_vocab_add(&tokenizer->vocab, id, text, size, (enum od_piece_kind)type, err);
    if (status != OD_OK) {
        od_error_prefix(err, "'%s'", name);
        return status;
    }
    tokenizer->spm.scores[id] = score + 0.0F;  // no negative zero: equal scores, equal bits
    return OD_OK;
}

static enum od_status check_kinds(struct od_tokenizer *tokenizer, int32_t *ret_bytes,
                                  const char *name, struct od_error *err)
{
    struct od_vocab *vocab = &tokenizer->vocab;
    int32_t bytes_count = 0;
    tokenizer->spm.unknown_id = -1;
    for (int32_t id = 0; id < vocab->count; id++) {
        size_t size;
        const char *text = od_vocab_text(vocab, id, &size);
        struct od_piece *piece = &vocab->pieces[id];
        if (piece->kind == OD_PIECE_UNKNOWN) {
            if (tokenizer->spm.unknown_id >= 0) {
                return od_fail(err, OD_E_FORMAT, "'%s' has two unknown pieces", name);
            }
            tokenizer->spm.unknown_id = id;
        } else if (piece->kind == OD_PIECE_BYTE) {
            const int value = od_byte_piece_value(text, size);
            if (value < 0) {
                return od_fail(err, OD_E_FORMAT, "'%s': byte piece %d is no <0x..>", name, (int)id);
            }
            bytes_count++;
        } else if (piece->kind == OD_PIECE_USER) {
            const enum od_status added = od_phrases_add(&tokenizer->phrases, text, size, id, err);
            if (added != OD_OK) {
                return added;
            }
        }
        piece->special = piece->kind == OD_PIECE_CONTROL;
        tokenizer->spm.has_unused = tokenizer->spm.has_unused || piece->kind == OD_PIECE_UNUSED;
    }
    od_phrases_finish(&tokenizer->phrases);
    if (tokenizer->spm.unknown_id < 0) {
        return od_fail(err, OD_E_FORMAT, "'%s' has no unknown piece", name);
    }
    *ret_bytes = bytes_count;
    return OD_OK;
}

static enum od_status check_bytes(const struct od_tokenizer *tokenizer, int32_t bytes_count,
                                  const char *name, struct od_error *err)
{
    for (int i = 0; i < BYTE_COUNT && tokenizer->spm.byte_fallback; i++) {
        const int32_t id = tokenizer->bpe.byte_ids[i];
        if (id < 0 || tokenizer->vocab.pieces[id].kind != OD_PIECE_BYTE ||
            bytes_count != BYTE_COUNT) {
            return od_fail(err, OD_E_FORMAT,
                           "'%s' falls back to bytes and its byte pieces are not 256", name);
        }
    }
    return OD_OK;
}

// A text is cut into pieces that stand for text and are not merely a step on the way to others.
static enum od_status fill_unigram(struct od_tokenizer *tokenizer, struct od_error *err)
{
    const struct od_vocab *vocab = &tokenizer->vocab;
    struct od_unigram *unigram = &tokenizer->unigram;
    enum od_status status = OD_OK;
    float score_min = FLT_MAX;
    unigram->scores = od_alloc((size_t)vocab->count, sizeof(*unigram->scores));
    if (!unigram->scores) {
        return od_fail(err, OD_E_MEMORY, "no memory for %d scores", (int)vocab->count);
    }
    unigram->scores_count = (size_t)vocab->count;
    unigram->score_max = (double)FLT_MIN;
    unigram->unknown_id = tokenizer->spm.unknown_id;
    unigram->float_sums = true;
    for (int32_t id = 0; id < vocab->count && status == OD_OK; id++) {
        const enum od_piece_kind kind = (enum od_piece_kind)vocab->pieces[id].kind;
        const double score = (double)tokenizer->spm.scores[id];
        size_t size;
        const char *text = od_vocab_text(vocab, id, &size);
        unigram->scores[id] = score;
        if (kind == OD_PIECE_NORMAL) {
            score_min = fminf(score_min, tokenizer->spm.scores[id]);
            unigram->score_max = fmax(unigram->score_max, score);
        }
        if (kind == OD_PIECE_NORMAL || kind == OD_PIECE_USER) {
            status = od_prefixes_add(&unigram->prefixes, text, size, id, err);
        }
    }
    unigram->unknown_score = (double)(score_min - (float)OD_UNIGRAM_UNKNOWN_PENALTY);
    return status;
}

enum od_status od_spm_finish(struct od_tokenizer *tokenizer, const char *name, struct od_error *err)
{
    int32_t bytes_count = 0;
    enum od_status status = check_kinds(tokenizer, &bytes_count, name, err);
    if (status == OD_OK) {
        status = od_bpe_finish(&tokenizer->bpe, err);
    }
    if (status == OD_OK) {
        status = tokenizer->is_unigram
                     ? fill_unigram(tokenizer, err)
                     : od_bpe_find_joints_spm(&tokenizer->vocab, &tokenizer->spm.joints, err);
    }
    return status == OD_OK ? check_bytes(tokenizer, bytes_count, name, err) : status;
}
