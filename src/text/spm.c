// Encoding and decoding with a SentencePiece model: the text is normalized; its characters are merged
// by score (BPE) or it is cut the best way (unigram); what no piece covers becomes bytes, or one
// unknown for each run.

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"
#include "text/bpe.h"
#include "text/byte_alphabet.h"
#include "text/charsmap.h"
#include "text/phrases.h"
#include "text/split.h"
#include "text/tokenizer.h"
#include "text/tokenizer_internal.h"
#include "text/unigram.h"
#include "text/vocab.h"

// U+2581, which stands for a blank.
static const char mark[] = "\xE2\x96\x81";
enum { MARK_BYTES = 3 };

static bool starts_with_mark(const char *text, size_t size)
{
    return size >= MARK_BYTES && memcmp(text, mark, MARK_BYTES) == 0;
}

// What the start of a text becomes; returns how many bytes of it that takes.
static size_t normal_prefix(const struct od_tokenizer *tokenizer, const char *text, size_t size,
                            const char **ret_text, size_t *ret_size)
{
    const struct od_phrase *phrase = od_phrases_longest(&tokenizer->phrases, text, size);
    *ret_text = text;
    if (phrase) {
        *ret_size = phrase->size;
        return phrase->size;
    }
    const size_t rule =
        od_charsmap_longest(&tokenizer->spm.charsmap, text, size, ret_text, ret_size);
    if (rule > 0) {
        return rule;
    }
    uint32_t code;
    const int length = od_utf8_decode(text, size, &code);
    *ret_size = length > 0 ? (size_t)length : 1;
    return *ret_size;
}

static void put_normal(const struct od_spm *spm, const char *text, size_t size, struct od_buf *out)
{
    for (size_t i = 0; i < size; i++) {
        if (text[i] == ' ' && spm->escape_whitespaces) {
            od_buf_append(out, mark, MARK_BYTES);
        } else {
            od_buf_putc(out, text[i]);
        }
    }
}

static void normalize(const struct od_tokenizer *tokenizer, const char *text, size_t size,
                      struct od_buf *out)
{
    const struct od_spm *spm = &tokenizer->spm;
    const char *part;
    size_t part_size;
    while (size > 0 && spm->remove_extra_whitespaces) {
        const size_t taken = normal_prefix(tokenizer, text, size, &part, &part_size);
        if (part_size != 1 || part[0] != ' ') {
            break;
        }
        text += taken;
        size -= taken;
    }
    if (size == 0) {
        return;
    }
    if (spm->add_dummy_prefix) {
        put_normal(spm, " ", 1, out);
    }
    bool after_space = spm->remove_extra_whitespaces;
    while (size > 0) {
        const size_t taken = normal_prefix(tokenizer, text, size, &part, &part_size);
        while (after_space && part_size > 0 && part[0] == ' ') {
            part++;
            part_size--;
        }
        if (part_size > 0) {
            put_normal(spm, part, part_size, out);
            after_space = part[part_size - 1] == ' ' && spm->remove_extra_whitespaces;
        }
        text += taken;
        size -= taken;
    }
    const char *space = spm->escape_whitespaces ? mark : " ";
    const size_t space_size = spm->escape_whitespaces ? MARK_BYTES : 1;
    while (spm->remove_extra_whitespaces && out->size >= space_size &&
           memcmp(out->bytes + out->size - space_size, space, space_size) == 0) {
        out->size -= space_size;
    }
}

// Characters, and user-defined pieces as a whole.
static void split_symbols(const struct od_tokenizer *tokenizer, const char *text, size_t size,
                          struct od_bpe_work *work, size_t *ret_count)
{
    size_t count = 0;
    for (size_t at = 0; at < size;) {
        const struct od_phrase *phrase =
            od_phrases_longest(&tokenizer->phrases, text + at, size - at);
        uint32_t code;
        const int decoded = od_utf8_decode(text + at, size - at, &code);
        size_t length = decoded > 0 ? (size_t)decoded : 1;
        length = phrase ? phrase->size : length;
        const int32_t index = (int32_t)count;
        work->symbols[count++] = (struct od_bpe_symbol){.id = -1,
                                                        .prev = index - 1,
                                                        .next = index + 1,
                                                        .at = (uint32_t)at,
                                                        .size = (uint32_t)length,
                                                        .frozen = phrase != NULL};
        at += length;
    }
    if (count > 0) {
        work->symbols[count - 1].next = -1;
    }
    *ret_count = count;
}

// What one call of encode works with.
struct encoder {
    const struct od_tokenizer *tokenizer;
    const char *text;
    uint32_t *unused_left;
    struct od_ids *out;
    bool after_unknown;
};

// Put a part of the text that is the piece `id`, or none that the vocabulary has.
static void put_id(struct encoder *encoder, size_t at, size_t size, int32_t id)
{
    const struct od_tokenizer *tokenizer = encoder->tokenizer;
    const bool unknown = id == tokenizer->spm.unknown_id;
    if (unknown && tokenizer->spm.byte_fallback) {
        for (size_t i = at; i < at + size; i++) {
            const unsigned char byte = (unsigned char)encoder->text[i];
            od_ids_push(encoder->out, tokenizer->bpe.byte_ids[byte]);
        }
    } else if (!(unknown && encoder->after_unknown)) {
        od_ids_push(encoder->out, id);
    }
    encoder->after_unknown = unknown;
}

// Put a symbol that merging left; a piece that is only a step on the way falls into its parts.
static void put_piece(struct encoder *encoder, size_t at, size_t size)
{
    const struct od_tokenizer *tokenizer = encoder->tokenizer;
    const int32_t id = od_vocab_find(&tokenizer->vocab, encoder->text + at, size);
    if (id >= 0 && tokenizer->vocab.pieces[id].kind == OD_PIECE_UNUSED && encoder->unused_left &&
        encoder->unused_left[id] > 0 && encoder->unused_left[id] < size) {
        const size_t left = encoder->unused_left[id];
        put_piece(encoder, at, left);
        put_piece(encoder, at + left, size - left);
        return;
    }
    put_id(encoder, at, size, id < 0 ? tokenizer->spm.unknown_id : id);
}

static enum od_status encode_bpe(struct encoder *encoder, size_t size, struct od_error *err)
{
    const struct od_tokenizer *tokenizer = encoder->tokenizer;
    struct od_bpe_work work = {0};
    size_t count = 0;
    enum od_status status = OD_OK;
    if (tokenizer->spm.has_unused) {
        encoder->unused_left = od_alloc((size_t)tokenizer->vocab.count, sizeof(uint32_t));
        if (!encoder->unused_left) {
            status = od_fail(err, OD_E_MEMORY, "no memory for the unused pieces of a text");
        }
    }
    if (status == OD_OK) {
        status = od_bpe_work_symbols(&work, size, err);
    }
    if (status == OD_OK) {
        split_symbols(tokenizer, encoder->text, size, &work, &count);
        status = od_bpe_merge_spm(&tokenizer->vocab, tokenizer->spm.scores, &tokenizer->spm.joints,
                                  encoder->unused_left, encoder->text, count, &work, err);
    }
    for (int32_t i = status == OD_OK && count > 0 ? 0 : -1; i >= 0; i = work.symbols[i].next) {
        put_piece(encoder, work.symbols[i].at, work.symbols[i].size);
    }
    od_free(encoder->unused_left);
    od_bpe_work_release(&work);
    return status;
}

static enum od_status encode_unigram(struct encoder *encoder, size_t size, struct od_error *err)
{
    const struct od_tokenizer *tokenizer = encoder->tokenizer;
    struct od_unigram_work work = {0};
    const enum od_status status =
        od_unigram_cut(&tokenizer->unigram, &tokenizer->vocab, encoder->text, size, &work, err);
    uint32_t end = status == OD_OK ? work.parts[0].behind : 0;
    while (end > 0) {
        const struct od_unigram_part *part = &work.parts[end];
        put_id(encoder, part->start, end - part->start, part->id);
        end = part->behind;
    }
    od_unigram_work_release(&work);
    return status;
}

enum od_status od_spm_encode(const struct od_tokenizer *tokenizer, const char *text, size_t size,
                             struct od_ids *out, struct od_error *err)
{
    struct encoder encoder = {.tokenizer = tokenizer, .out = out};
    struct od_buf normal;
    od_buf_init(&normal, OD_BPE_WORD_MAX_BYTES);
    normalize(tokenizer, text, size, &normal);
    enum od_status status = od_buf_check(&normal, err);
    encoder.text = od_buf_text(&normal);
    if (status == OD_OK) {
        status = tokenizer->is_unigram ? encode_unigram(&encoder, normal.size, err)
                                       : encode_bpe(&encoder, normal.size, err);
    }
    od_buf_release(&normal);
    return status;
}

// Bytes of a run of byte pieces; broken UTF-8 becomes U+FFFD for each byte.
static void put_bytes(const struct od_buf *bytes, bool raw, struct od_buf *out)
{
    const char *text = od_buf_text(bytes);
    if (raw) {
        od_buf_append(out, text, bytes->size);
        return;
    }
    for (size_t at = 0; at < bytes->size;) {
        uint32_t code;
        const int length = od_utf8_decode(text + at, bytes->size - at, &code);
        if (length > 0) {
            od_buf_append(out, text + at, (size_t)length);
        } else {
            od_buf_puts(out, "\xEF\xBF\xBD");
        }
        at += length > 0 ? (size_t)length : 1;
    }
}

// Text of a piece with blanks for marks; returns whether a mark was taken away at the start.
static bool put_text(const struct od_tokenizer *tokenizer, int32_t id, bool at_start,
                     struct od_buf *out)
{
    const struct od_spm *spm = &tokenizer->spm;
    size_t size;
    const char *text = od_vocab_text(&tokenizer->vocab, id, &size);
    bool taken = false;
    if (tokenizer->vocab.pieces[id].kind == OD_PIECE_CONTROL) {
        return false;
    }
    if (id == spm->unknown_id) {
        od_buf_puts(out, spm->unknown_text);
        return false;
    }
    if (at_start && (spm->add_dummy_prefix || spm->remove_extra_whitespaces) &&
        starts_with_mark(text, size)) {
        text += MARK_BYTES;
        size -= MARK_BYTES;
        taken = !spm->remove_extra_whitespaces;
    }
    while (size > 0) {
        const char *hit = memmem(text, size, mark, MARK_BYTES);
        const size_t before = hit ? (size_t)(hit - text) : size;
        od_buf_append(out, text, before);
        text += before;
        size -= before;
        if (hit) {
            od_buf_putc(out, ' ');
            text += MARK_BYTES;
            size -= MARK_BYTES;
        }
    }
    return taken;
}

enum od_status od_spm_decode(const struct od_tokenizer *tokenizer, const int32_t *ids, size_t count,
                             unsigned flags, struct od_buf *out, struct od_error *err)
{
    const bool raw = (flags & OD_DECODE_RAW) != 0;
    const size_t before = out->size;
    struct od_buf bytes;
    bool at_start = !raw;
    bool taken = false;
    od_buf_init(&bytes, OD_SPLIT_MAX_BYTES);
    for (size_t i = 0; i < count; i++) {
        const struct od_piece *piece = &tokenizer->vocab.pieces[ids[i]];
        if (piece->kind == OD_PIECE_BYTE) {
            size_t size;
            const char *name = od_vocab_text(&tokenizer->vocab, ids[i], &size);
            od_buf_putc(&bytes, (char)od_byte_piece_value(name, size));
            continue;
        }
        put_bytes(&bytes, raw, out);
        od_buf_reset(&bytes);
        at_start = at_start && !taken && out->size == before;
        taken = put_text(tokenizer, ids[i], at_start, out);
    }
    put_bytes(&bytes, raw, out);
    enum od_status status = od_buf_check(&bytes, err);
    if (status == OD_OK) {
        status = od_buf_check(out, err);
    }
    od_buf_release(&bytes);
    return status;
}
