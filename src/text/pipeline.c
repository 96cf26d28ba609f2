// Encoding and decoding as a tokenizer.json describes it:
//
//   text -> added tokens are cut out -> normalizers -> normalized added tokens are cut out
//        -> pre-tokenizers -> BPE, unigram or WordPiece -> ids of the template around

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"
#include "text/bpe.h"
#include "text/phrases.h"
#include "text/regex.h"
#include "text/split.h"
#include "text/steps.h"
#include "text/tokenizer.h"
#include "text/tokenizer_internal.h"
#include "text/unicode.h"
#include "text/unigram.h"
#include "text/vocab.h"

static bool word_at_end(const char *text, size_t size)
{
    size_t start;
    return size > 0 && od_unicode_is_word(od_unicode_before(text, size, &start));
}

static bool word_at_start(const char *text, size_t size)
{
    uint32_t code;
    return od_utf8_decode(text, size, &code) > 0 && od_unicode_is_word(code);
}

// Move the bounds of a match over the white space that the added token takes with it.
static void take_white(const struct od_piece *piece, const char *text, size_t size, size_t done,
                       size_t *start, size_t *end)
{
    if (piece->lstrip && *start < done) {
        *start = done;
    }
    while (piece->lstrip && *start > done) {
        size_t before;
        if (!od_unicode_is_white(od_unicode_before(text, *start, &before))) {
            break;
        }
        *start = before < done ? done : before;
    }
    while (piece->rstrip && *end < size) {
        uint32_t code;
        const int length = od_utf8_decode(text + *end, size - *end, &code);
        if (length == 0 || !od_unicode_is_white(code)) {
            break;
        }
        *end += (size_t)length;
    }
}

// Append the text as spans: added tokens, and what is between them.
static void cut_added(const struct od_tokenizer *tokenizer, const struct od_phrases *phrases,
                      const char *text, size_t size, bool at_start, unsigned flags,
                      struct od_split *out)
{
    size_t done = 0;
    size_t at = 0;
    while (phrases->count > 0 && at < size) {
        const struct od_phrase *phrase = od_phrases_longest(phrases, text + at, size - at);
        if (!phrase) {
            at++;
            continue;
        }
        const struct od_piece *piece = &tokenizer->vocab.pieces[phrase->id];
        size_t start = at;
        size_t end = at + phrase->size;
        at = end;
        if ((flags & OD_ENCODE_NO_ADDED) != 0 && piece->special) {
            continue;
        }
        if (piece->single_word &&
            (word_at_end(text, start) || word_at_start(text + end, size - end))) {
            continue;
        }
        take_white(piece, text, size, done, &start, &end);
        if (start >= end) {
            continue;  // nothing but white space that the token before took
        }
        // A token in the white space that the token before took is found all the same, and what
        // follows it counts twice: so do the reference and the models that learnt from it.
        if (start > done) {
            od_split_add(out, text + done, start - done, -1, at_start && done == 0);
        }
        od_split_add(out, text + start, end - start, phrase->id, at_start && start == 0);
        done = end;
    }
    od_split_add(out, text + done, size - done, -1, at_start && done == 0);
}

// What one call of encode works with.
struct encoder {
    const struct od_tokenizer *tokenizer;
    unsigned flags;
    struct od_split a;
    struct od_split b;
    struct od_buf normal_a;
    struct od_buf normal_b;
    struct od_match match;
    struct od_bpe_work work;
    struct od_unigram_work unigram_work;
};

// Normalize every span of `a` that is text and cut out the normalized added tokens, into `b`.
static enum od_status normalize(struct encoder *encoder, struct od_error *err)
{
    const struct od_tokenizer *tokenizer = encoder->tokenizer;
    for (size_t i = 0; i < encoder->a.count; i++) {
        const struct od_span span = encoder->a.spans[i];
        const char *text = od_buf_text(&encoder->a.text) + span.at;
        size_t size = span.size;
        if (span.id >= 0) {
            od_split_add(&encoder->b, text, size, span.id, span.at_start);
            continue;
        }
        const enum od_status status =
            od_steps_normalize(&tokenizer->normalizers, text, size, &encoder->normal_a,
                               &encoder->normal_b, &encoder->match, &text, &size, err);
        if (status != OD_OK) {
            return status;
        }
        cut_added(tokenizer, &tokenizer->normalized_phrases, text, size, span.at_start,
                  encoder->flags, &encoder->b);
    }
    return od_split_check(&encoder->b, err);
}

static void put_ids(struct od_ids *out, const int32_t *ids, size_t count, unsigned flags)
{
    for (size_t i = 0; i < count && (flags & OD_ENCODE_SPECIAL) != 0; i++) {
        od_ids_push(out, ids[i]);
    }
}

enum od_status od_pipeline_encode(const struct od_tokenizer *tokenizer, const char *text,
                                  size_t size, unsigned flags, struct od_ids *out,
                                  struct od_error *err)
{
    struct encoder encoder = {.tokenizer = tokenizer, .flags = flags};
    struct od_split *words = &encoder.b;
    struct od_split *other = &encoder.a;
    od_split_init(&encoder.a);
    od_split_init(&encoder.b);
    od_buf_init(&encoder.normal_a, OD_SPLIT_MAX_BYTES);
    od_buf_init(&encoder.normal_b, OD_SPLIT_MAX_BYTES);

    cut_added(tokenizer, &tokenizer->phrases, text, size, true, flags, &encoder.a);
    enum od_status status = od_split_check(&encoder.a, err);
    if (status == OD_OK) {
        status = normalize(&encoder, err);
    }
    if (status == OD_OK) {
        status = od_steps_cut(&tokenizer->pre_tokenizers, &words, &other, &encoder.match, err);
    }
    put_ids(out, tokenizer->before_ids, tokenizer->before_count, flags);
    for (size_t i = 0; status == OD_OK && i < words->count; i++) {
        const struct od_span span = words->spans[i];
        if (span.id >= 0) {
            od_ids_push(out, span.id);
        } else if (tokenizer->is_wordpiece) {
            status = od_wordpiece_encode(tokenizer, od_buf_text(&words->text) + span.at, span.size,
                                         &encoder.normal_a, out, err);
        } else if (tokenizer->is_unigram) {
            status = od_unigram_encode(tokenizer, od_buf_text(&words->text) + span.at, span.size,
                                       &encoder.unigram_work, out, err);
        } else {
            status = od_bpe_encode(&tokenizer->bpe, od_buf_text(&words->text) + span.at, span.size,
                                   &encoder.work, out, err);
        }
    }
    put_ids(out, tokenizer->after_ids, tokenizer->after_count, flags);
    if (status == OD_OK) {
        status = od_ids_check(out, err);
    }
    od_bpe_work_release(&encoder.work);
    od_unigram_work_release(&encoder.unigram_work);
    od_match_release(&encoder.match);
    od_buf_release(&encoder.normal_a);
    od_buf_release(&encoder.normal_b);
    od_split_release(&encoder.a);
    od_split_release(&encoder.b);
    return status;
}

enum od_status od_pipeline_decode(const struct od_tokenizer *tokenizer, const int32_t *ids,
                                  size_t count, unsigned flags, struct od_buf *out,
                                  struct od_error *err)
{
    const bool raw = (flags & OD_DECODE_RAW) != 0;
    struct od_split tokens;
    od_split_init(&tokens);
    for (size_t i = 0; i < count; i++) {
        const struct od_piece *piece = &tokenizer->vocab.pieces[ids[i]];
        if (piece->kind == OD_PIECE_NONE ||
            ((flags & OD_DECODE_SKIP_SPECIAL) != 0 && piece->special)) {
            continue;
        }
        if (!tokenizer->has_decoder && (raw || tokens.count > 0)) {
            od_split_keep(&tokens, " ", 1);
        }
        size_t size;
        const char *text = od_vocab_text(&tokenizer->vocab, ids[i], &size);
        od_split_keep(&tokens, text, size);
    }
    enum od_status status = od_split_check(&tokens, err);
    if (status == OD_OK) {
        status = od_steps_decode(&tokenizer->decoders, &tokens, raw, out, err);
    }
    od_split_release(&tokens);
    return status;
}
