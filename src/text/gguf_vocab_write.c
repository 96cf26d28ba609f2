// Writes a tokenizer as the vocabulary of a GGUF file; the keys stand at the top of gguf_vocab.c.
//
// A byte-level tokenizer becomes a gpt2 vocabulary, one of SentencePiece's kind a llama or t5 one. A
// tokenizer.json with byte fallback is SentencePiece BPE, too: a piece's score is there the rank of
// the first merge that makes it, with its sign turned round.

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "formats/gguf.h"
#include "text/bpe.h"
#include "text/bpe_internal.h"
#include "text/bpe_scheme.h"
#include "text/charsmap.h"
#include "text/phrases.h"
#include "text/steps.h"
#include "text/tokenizer.h"
#include "text/tokenizer_internal.h"
#include "text/vocab.h"

#define KEY(name) "tokenizer.ggml." name

// U+2581, which stands for a blank.
static const char mark[] = "\xE2\x96\x81";

enum { PAD_BYTES = 32, PROBE_IDS_MAX = 64 };

// What is put of each id.
struct entry {
    int32_t type;
    float score;
};

static bool is_byte_level(const struct od_tokenizer *tokenizer)
{
    for (size_t i = 0; i < tokenizer->pre_tokenizers.count && !tokenizer->is_spm; i++) {
        if (tokenizer->pre_tokenizers.items[i].kind == OD_STEP_BYTE_LEVEL) {
            return true;
        }
    }
    return false;
}

// The scheme that cuts as the steps do, or NULL.
static const struct od_bpe_scheme *scheme_of(const struct od_tokenizer *tokenizer)
{
    const struct od_steps *normalizers = &tokenizer->normalizers;
    const struct od_steps *steps = &tokenizer->pre_tokenizers;
    const struct od_step *last = &steps->items[steps->count - 1];
    const bool compose = normalizers->count == 1 && normalizers->items[0].kind == OD_STEP_NFC;
    const char *pattern = NULL;
    if (last->kind != OD_STEP_BYTE_LEVEL || last->prefix_space ||
        (normalizers->count > 0 && !compose)) {
        return NULL;
    }
    if (!tokenizer->bpe.merges) {  // bytes stay bytes, wherever a text is cut
        return od_bpe_scheme_of_steps(NULL, compose, tokenizer->bpe.ignore_merges);
    }
    if (steps->count == 2 && steps->items[0].kind == OD_STEP_SPLIT && !last->use_regex &&
        steps->items[0].behavior == OD_SPLIT_ISOLATED && !steps->items[0].invert) {
        pattern = steps->items[0].regex_text;
    }
    if (pattern ? last->use_regex : steps->count != 1 || !last->use_regex) {
        return NULL;
    }
    return od_bpe_scheme_of_steps(pattern, compose, tokenizer->bpe.ignore_merges);
}

static void mark_added(const struct od_tokenizer *tokenizer, const struct od_phrases *phrases,
                       struct entry *entries)
{
    for (size_t i = 0; i < phrases->count; i++) {
        const int32_t id = phrases->items[i].id;
        entries[id].type = tokenizer->vocab.pieces[id].special ? OD_PIECE_CONTROL : OD_PIECE_USER;
    }
}

// Types and scores of all pieces; a hole is an unused piece.
static void fill_entries(const struct od_tokenizer *tokenizer, struct entry *entries)
{
    const struct od_vocab *vocab = &tokenizer->vocab;
    for (int32_t id = 0; id < vocab->count; id++) {
        const int32_t kind = vocab->pieces[id].kind;
        entries[id].type = kind == OD_PIECE_NONE ? OD_PIECE_UNUSED : kind;
        entries[id].score =
            tokenizer->is_spm && kind != OD_PIECE_NONE ? tokenizer->spm.scores[id] : 0;
    }
    if (tokenizer->is_spm) {
        return;
    }
    mark_added(tokenizer, &tokenizer->phrases, entries);
    mark_added(tokenizer, &tokenizer->normalized_phrases, entries);
    for (int i = 0; i < 256 && tokenizer->bpe.byte_fallback; i++) {
        if (tokenizer->bpe.byte_ids[i] >= 0) {
            entries[tokenizer->bpe.byte_ids[i]].type = OD_PIECE_BYTE;
        }
    }
    if (tokenizer->bpe.unknown_id >= 0 && tokenizer->bpe.byte_fallback) {
        entries[tokenizer->bpe.unknown_id].type = OD_PIECE_UNKNOWN;
    }
}

static int compare_ranks(const void *a, const void *b)
{
    const struct od_bpe_merge *left = a;
    const struct od_bpe_merge *right = b;
    return (left->rank > right->rank) - (left->rank < right->rank);
}

// The merges by rank. @memory Gives *ret: od_free.
static enum od_status sort_merges(const struct od_bpe *bpe, struct od_bpe_merge **ret,
                                  size_t *ret_count, struct od_error *err)
{
    const size_t slots = bpe->merges ? (size_t)bpe->merge_mask + 1 : 0;
    struct od_bpe_merge *merges = od_alloc(slots, sizeof(*merges));
    size_t count = 0;
    if (!merges) {
        return od_fail(err, OD_E_MEMORY, "no memory for the merges of a tokenizer");
    }
    for (size_t i = 0; i < slots; i++) {
        if (bpe->merges[i].pair != OD_BPE_NO_PAIR) {
            merges[count++] = bpe->merges[i];
        }
    }
    if (count > 0) {
        qsort(merges, count, sizeof(*merges), compare_ranks);
    }
    *ret = merges;
    *ret_count = count;
    return OD_OK;
}

static void put_entries(const struct od_tokenizer *tokenizer, const struct entry *entries,
                        int64_t rows, bool scores, struct od_gguf_keys *keys)
{
    const struct od_vocab *vocab = &tokenizer->vocab;
    od_gguf_put_list(keys, KEY("tokens"), OD_GGUF_TEXT, (uint64_t)rows);
    for (int64_t id = 0; id < rows; id++) {
        char pad[PAD_BYTES];
        if (id < vocab->count && vocab->pieces[id].kind != OD_PIECE_NONE) {
            size_t size;
            const char *text = od_vocab_text(vocab, (int32_t)id, &size);
            od_gguf_put_text_item(keys, text, size);
        } else {
            const int size = snprintf(pad, sizeof pad, "[PAD%lld]", (long long)id);
            od_gguf_put_text_item(keys, pad, (size_t)size);
        }
    }
    if (scores) {
        od_gguf_put_list(keys, KEY("scores"), OD_GGUF_F32, (uint64_t)rows);
        for (int64_t id = 0; id < rows; id++) {
            od_gguf_put_f32_item(keys, entries[id].score);
        }
    }
    od_gguf_put_list(keys, KEY("token_type"), OD_GGUF_I32, (uint64_t)rows);
    for (int64_t id = 0; id < rows; id++) {
        od_gguf_put_i32_item(keys, entries[id].type);
    }
}

static void put_merges(const struct od_tokenizer *tokenizer, const struct od_bpe_merge *merges,
                       size_t count, struct od_buf *text, struct od_gguf_keys *keys)
{
    od_gguf_put_list(keys, KEY("merges"), OD_GGUF_TEXT, count);
    for (size_t i = 0; i < count; i++) {
        const int32_t ids[2] = {(int32_t)(merges[i].pair >> 32),
                                (int32_t)(merges[i].pair & UINT32_MAX)};
        od_buf_reset(text);
        for (int side = 0; side < 2; side++) {
            size_t size;
            const char *piece = od_vocab_text(&tokenizer->vocab, ids[side], &size);
            od_buf_append(text, piece, size);
            od_buf_puts(text, side == 0 ? " " : "");
        }
        od_gguf_put_text_item(keys, od_buf_text(text), text->size);
    }
}

// Whether a text gets a blank in front: told by what comes out.
static enum od_status adds_prefix(const struct od_tokenizer *tokenizer, bool *ret,
                                  struct od_error *err)
{
    struct od_ids ids;
    od_ids_init(&ids, PROBE_IDS_MAX);
    const enum od_status status =
        od_tokenizer_encode(tokenizer, "a", 1, OD_ENCODE_NO_ADDED, &ids, err);
    if (status == OD_OK && ids.count > 0) {
        size_t size;
        const char *text = od_vocab_text(&tokenizer->vocab, ids.data[0], &size);
        *ret = size >= sizeof mark - 1 && memcmp(text, mark, sizeof mark - 1) == 0;
    }
    od_ids_release(&ids);
    return status;
}

static enum od_status put_byte_level(const struct od_tokenizer *tokenizer, struct entry *entries,
                                     int64_t rows, struct od_gguf_keys *keys, struct od_error *err)
{
    const struct od_bpe_scheme *scheme = scheme_of(tokenizer);
    struct od_bpe_merge *merges = NULL;
    struct od_buf text;
    size_t count = 0;
    if (!scheme) {
        return od_fail(err, OD_E_UNSUPPORTED,
                       "the tokenizer cuts text in a way that has no name in GGUF files");
    }
    enum od_status status = sort_merges(&tokenizer->bpe, &merges, &count, err);
    if (status != OD_OK) {
        return status;
    }
    od_buf_init(&text, (size_t)4 * OD_TOKENIZER_PIECE_MAX_BYTES);
    od_gguf_put_text(keys, KEY("model"), "gpt2");
    od_gguf_put_text(keys, KEY("pre"), scheme->pre);
    put_entries(tokenizer, entries, rows, /* scores= */ false, keys);
    put_merges(tokenizer, merges, count, &text, keys);
    status = od_buf_check(&text, err);
    od_buf_release(&text);
    od_free(merges);
    return status;
}

// A tokenizer.json with byte fallback: scores out of merges.
static enum od_status score_merges(const struct od_tokenizer *tokenizer, struct entry *entries,
                                   struct od_error *err)
{
    struct od_bpe_merge *merges = NULL;
    size_t count = 0;
    const enum od_status status = sort_merges(&tokenizer->bpe, &merges, &count, err);
    for (size_t i = count; status == OD_OK && i > 0; i--) {  // the first merge is set last
        entries[merges[i - 1].id].score = -(float)merges[i - 1].rank - 1;
    }
    od_free(merges);
    return status;
}

static enum od_status put_sentencepiece(const struct od_tokenizer *tokenizer, struct entry *entries,
                                        int64_t rows, struct od_gguf_keys *keys,
                                        struct od_error *err)
{
    const struct od_spm *spm = &tokenizer->spm;
    const bool is_spm = tokenizer->is_spm;
    const int32_t unknown = is_spm ? spm->unknown_id : tokenizer->bpe.unknown_id;
    bool prefix = spm->add_dummy_prefix;
    enum od_status status = OD_OK;
    if (!is_spm) {
        status = adds_prefix(tokenizer, &prefix, err);
        if (status == OD_OK) {
            status = score_merges(tokenizer, entries, err);
        }
    } else if (spm->charsmap.unit_count > 0 && !tokenizer->is_unigram) {
        status = od_fail(err, OD_E_UNSUPPORTED,
                         "the tokenizer.model is of type BPE and has normalisation rules, which "
                         "readers of GGUF files do not apply");
    }
    if (status != OD_OK) {
        return status;
    }
    od_gguf_put_text(keys, KEY("model"), tokenizer->is_unigram ? "t5" : "llama");
    od_gguf_put_text(keys, KEY("pre"), "default");
    put_entries(tokenizer, entries, rows, /* scores= */ true, keys);
    od_gguf_put_bool(keys, KEY("add_space_prefix"), prefix);
    if (is_spm) {
        od_gguf_put_bool(keys, KEY("remove_extra_whitespaces"), spm->remove_extra_whitespaces);
    }
    if (is_spm && spm->charsmap.unit_count > 0) {
        od_charsmap_put(&spm->charsmap, KEY("precompiled_charsmap"), keys);
    }
    if (unknown >= 0) {
        od_gguf_put_u32(keys, KEY("unknown_token_id"), (uint32_t)unknown);
    }
    return OD_OK;
}

enum od_status od_tokenizer_put_gguf(const struct od_tokenizer *tokenizer, int64_t rows,
                                     struct od_gguf_keys *keys, struct od_error *err)
{
    const bool byte_level = is_byte_level(tokenizer);
    if (rows < tokenizer->vocab.count || rows > OD_TOKENIZER_VOCAB_MAX) {
        return od_fail(err, OD_E_ARGUMENT,
                       "the tokenizer has %d pieces and the model %lld rows for them",
                       (int)tokenizer->vocab.count, (long long)rows);
    }
    if (tokenizer->is_wordpiece || (!byte_level && !tokenizer->is_spm &&
                                    (tokenizer->is_unigram || !tokenizer->bpe.byte_fallback))) {
        return od_fail(err, OD_E_UNSUPPORTED,
                       "the tokenizer.json is neither byte-level BPE nor BPE with byte fallback, "
                       "which is what GGUF files can hold");
    }
    if (tokenizer->before_count > 1 || tokenizer->after_count > 1) {
        return od_fail(err, OD_E_UNSUPPORTED,
                       "the tokenizer puts more than one id in front of a text or behind it, which "
                       "GGUF files cannot say");
    }
    struct entry *entries = od_alloc((size_t)rows, sizeof(*entries));
    if (!entries) {
        return od_fail(err, OD_E_MEMORY, "no memory for %lld pieces", (long long)rows);
    }
    for (int64_t id = tokenizer->vocab.count; id < rows; id++) {
        entries[id].type = OD_PIECE_UNUSED;
    }
    fill_entries(tokenizer, entries);
    const enum od_status status = byte_level
                                      ? put_byte_level(tokenizer, entries, rows, keys, err)
                                      : put_sentencepiece(tokenizer, entries, rows, keys, err);
    od_free(entries);
    if (status != OD_OK) {
        return status;
    }
    // What stands around a text is bos and eos by definition.
    const int32_t bos = tokenizer->before_count > 0 ? tokenizer->before_ids[0] : tokenizer->bos;
    const int32_t eos = tokenizer->after_count > 0 ? tokenizer->after_ids[0] : tokenizer->eos;
    if (bos >= 0) {
        od_gguf_put_u32(keys, KEY("bos_token_id"), (uint32_t)bos);
    }
    if (eos >= 0) {
        od_gguf_put_u32(keys, KEY("eos_token_id"), (uint32_t)eos);
    }
    od_gguf_put_bool(keys, KEY("add_bos_token"), tokenizer->before_count > 0);
    od_gguf_put_bool(keys, KEY("add_eos_token"), tokenizer->after_count > 0);
    return OD_OK;
}
