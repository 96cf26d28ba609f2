// Reads the vocabulary of a GGUF file, by its keys tokenizer.ggml.*:
//
//   model        "llama": SentencePiece BPE   "t5": SentencePiece unigram   "gpt2": byte-level BPE
//   tokens       texts, by id             token_type  1 normal, 2 unknown, 3 control, 4 user
//   scores       floats (llama, t5)                   defined, 5 unused, 6 byte (1 when absent)
//   merges       "a b", best first (gpt2)
//   pre          how text is cut (gpt2): a name of bpe_scheme.h
//   precompiled_charsmap      bytes (t5): see charsmap.h
//   add_space_prefix          (true when absent)   remove_extra_whitespaces (true for t5 when absent)
//   unknown_token_id          (llama, t5: 0 when absent)
//   bos_token_id, eos_token_id, add_bos_token, add_eos_token
//
// Limits: those of gguf.h, tokenizer.h and OD_BPE_MERGES_MAX.
//
// Source: the files that llama.cpp's converter writes; the GGUF documentation of ggml.

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/hash.h"
#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"
#include "formats/gguf.h"
#include "text/bpe_scheme.h"
#include "text/charsmap.h"
#include "text/tokenizer.h"
#include "text/tokenizer_internal.h"
#include "text/vocab.h"

#define KEY(name) "tokenizer.ggml." name

// The lists of a vocabulary, which are of one length.
struct lists {
    const struct od_gguf_value *tokens;
    const struct od_gguf_value *types;   // NULL: all are normal
    const struct od_gguf_value *scores;  // NULL where none are needed
};

static enum od_status find_lists(const struct od_gguf *gguf, bool need_scores, struct lists *ret,
                                 struct od_error *err)
{
    const char *name = od_gguf_name(gguf);
    struct lists lists = {0};
    enum od_status status = od_gguf_list(gguf, KEY("tokens"), OD_GGUF_TEXT, &lists.tokens, err);
    if (status == OD_OK) {
        status = od_gguf_list(gguf, KEY("token_type"), OD_GGUF_I32, &lists.types, err);
    }
    if (status == OD_OK && need_scores) {
        status = od_gguf_list(gguf, KEY("scores"), OD_GGUF_F32, &lists.scores, err);
    }
    if (status != OD_OK) {
        return status;
    }
    if (!lists.tokens || lists.tokens->count == 0 || lists.tokens->count > OD_TOKENIZER_VOCAB_MAX) {
        return od_fail(err, lists.tokens && lists.tokens->count > 0 ? OD_E_LIMIT : OD_E_FORMAT,
                       "'%s': '%s' must hold 1 to %d texts", name, KEY("tokens"),
                       (int)OD_TOKENIZER_VOCAB_MAX);
    }
    if ((lists.types && lists.types->count != lists.tokens->count) ||
        (need_scores && (!lists.scores || lists.scores->count != lists.tokens->count))) {
        return od_fail(err, OD_E_FORMAT, "'%s': '%s' and '%s' must be as long as '%s'", name,
                       KEY("scores"), KEY("token_type"), KEY("tokens"));
    }
    *ret = lists;
    return OD_OK;
}

static uint64_t type_of(const struct lists *lists, uint64_t id)
{
    const int64_t type = lists->types ? od_gguf_int_at(lists->types, id) : OD_PIECE_NORMAL;
    return type < 0 ? UINT64_MAX : (uint64_t)type;
}

// An id under a key, or the fallback; it must be in the vocabulary.
static enum od_status read_id(const struct od_gguf *gguf, const char *key, int64_t fallback,
                              int32_t vocab, int32_t *ret, struct od_error *err)
{
    int64_t id = -1;
    const enum od_status status = od_gguf_int_or(gguf, key, fallback, &id, err);
    if (status != OD_OK) {
        return status;
    }
    if (id < -1 || id >= vocab) {
        return od_fail(err, OD_E_FORMAT, "'%s': '%s' is %lld, outside the vocabulary of %d",
                       od_gguf_name(gguf), key, (long long)id, (int)vocab);
    }
    *ret = (int32_t)id;
    return OD_OK;
}

// Ids around a text, bos and eos.
static enum od_status set_around(struct od_tokenizer *tokenizer, const struct od_gguf *gguf,
                                 bool bos_default, bool eos_default, struct od_error *err)
{
    bool add_bos = false;
    bool add_eos = false;
    const int32_t count = tokenizer->vocab.count;
    enum od_status status = read_id(gguf, KEY("bos_token_id"), -1, count, &tokenizer->bos, err);
    if (status == OD_OK) {
        status = read_id(gguf, KEY("eos_token_id"), -1, count, &tokenizer->eos, err);
    }
    if (status == OD_OK) {
        status = od_gguf_bool_or(gguf, KEY("add_bos_token"), bos_default, &add_bos, err);
    }
    if (status == OD_OK) {
        status = od_gguf_bool_or(gguf, KEY("add_eos_token"), eos_default, &add_eos, err);
    }
    if (status == OD_OK && add_bos && tokenizer->bos >= 0) {
        tokenizer->before_ids[tokenizer->before_count++] = tokenizer->bos;
    }
    if (status == OD_OK && add_eos && tokenizer->eos >= 0) {
        tokenizer->after_ids[tokenizer->after_count++] = tokenizer->eos;
    }
    return status;
}

static enum od_status read_charsmap(struct od_tokenizer *tokenizer, const struct od_gguf *gguf,
                                    struct od_error *err)
{
    const char *key = KEY("precompiled_charsmap");
    const struct od_gguf_value *value = od_gguf_find(gguf, key);
    if (!value) {
        return OD_OK;
    }
    if (value->type != OD_GGUF_LIST || (value->items != OD_GGUF_U8 && value->items != OD_GGUF_I8)) {
        return od_fail(err, OD_E_FORMAT, "'%s': '%s' is no list of bytes", od_gguf_name(gguf), key);
    }
    return od_charsmap_read(&tokenizer->spm.charsmap, value->bytes, value->size, od_gguf_name(gguf),
                            err);
}

static enum od_status read_spm_settings(struct od_tokenizer *tokenizer, const struct od_gguf *gguf,
                                        int32_t count, int32_t *ret_unknown, struct od_error *err)
{
    struct od_spm *spm = &tokenizer->spm;
    spm->escape_whitespaces = true;
    enum od_status status =
        od_gguf_bool_or(gguf, KEY("add_space_prefix"), true, &spm->add_dummy_prefix, err);
    if (status == OD_OK) {
        status = od_gguf_bool_or(gguf, KEY("remove_extra_whitespaces"), tokenizer->is_unigram,
                                 &spm->remove_extra_whitespaces, err);
    }
    if (status == OD_OK) {
        status = read_id(gguf, KEY("unknown_token_id"), 0, count, ret_unknown, err);
    }
    return status == OD_OK ? read_charsmap(tokenizer, gguf, err) : status;
}

// The unknown piece is the one that the key names, whatever its type says.
static enum od_status fill_spm(struct od_tokenizer *tokenizer, const struct od_gguf *gguf,
                               bool unigram, struct od_error *err)
{
    const char *name = od_gguf_name(gguf);
    struct lists lists = {0};
    int32_t unknown = -1;
    size_t at = 0;
    const char *text = NULL;
    size_t size = 0;
    tokenizer->is_unigram = unigram;
    enum od_status status = find_lists(gguf, true, &lists, err);
    if (status == OD_OK) {
        status = od_spm_begin(tokenizer, (int64_t)lists.tokens->count, name, err);
    }
    if (status == OD_OK) {
        status = read_spm_settings(tokenizer, gguf, (int32_t)lists.tokens->count, &unknown, err);
    }
    for (int64_t id = 0; status == OD_OK && od_gguf_next_text(lists.tokens, &at, &text, &size);
         id++) {
        uint64_t type = type_of(&lists, (uint64_t)id);
        tokenizer->spm.byte_fallback = tokenizer->spm.byte_fallback || type == OD_PIECE_BYTE;
        if (id == unknown) {
            type = OD_PIECE_UNKNOWN;
        } else if (type == OD_PIECE_UNKNOWN) {
            type = OD_PIECE_CONTROL;
        }
        status = od_spm_add(tokenizer, id, text, size, od_gguf_f32_at(lists.scores, (uint64_t)id),
                            type, name, err);
    }
    if (status == OD_OK) {
        status = od_spm_finish(tokenizer, name, err);
    }
    return status == OD_OK ? set_around(tokenizer, gguf, !unigram, unigram, err) : status;
}

static enum od_status no_memory(const struct od_gguf *gguf, struct od_error *err)
{
    return od_fail(err, OD_E_MEMORY, "no memory for the vocabulary of '%s'", od_gguf_name(gguf));
}

// The tokens as the vocabulary of a tokenizer.json, and those that are added as its list.
static enum od_status list_tokens(const struct od_gguf *gguf, json_t *vocab, json_t *added,
                                  struct od_error *err)
{
    struct lists lists = {0};
    size_t at = 0;
    const char *text = NULL;
    size_t size = 0;
    enum od_status status = find_lists(gguf, false, &lists, err);
    for (uint64_t id = 0; status == OD_OK && od_gguf_next_text(lists.tokens, &at, &text, &size);
         id++) {
        const uint64_t type = type_of(&lists, id);
        if (size == 0 || od_utf8_invalid_at(text, size) != size ||
            json_object_getn(vocab, text, size)) {
            return od_fail(err, OD_E_FORMAT, "'%s': token %llu is empty, no UTF-8 or there twice",
                           od_gguf_name(gguf), (unsigned long long)id);
        }
        if (json_object_setn_new(vocab, text, size, json_integer((json_int_t)id)) != 0) {
            return no_memory(gguf, err);
        }
        if (type == OD_PIECE_CONTROL || type == OD_PIECE_USER) {
            json_t *token = json_pack("{ss% sI sb}", "content", text, size, "id", (json_int_t)id,
                                      "special", type == OD_PIECE_CONTROL);
            if (json_array_append_new(added, token) != 0) {
                return no_memory(gguf, err);
            }
        }
    }
    return status;
}

static enum od_status list_merges(const struct od_gguf *gguf, json_t *merges, struct od_error *err)
{
    const struct od_gguf_value *list = NULL;
    size_t at = 0;
    const char *text = NULL;
    size_t size = 0;
    enum od_status status = od_gguf_list(gguf, KEY("merges"), OD_GGUF_TEXT, &list, err);
    if (status == OD_OK && !list) {
        status = od_fail(err, OD_E_FORMAT, "'%s' has no '%s'", od_gguf_name(gguf), KEY("merges"));
    }
    while (status == OD_OK && od_gguf_next_text(list, &at, &text, &size)) {
        if (od_utf8_invalid_at(text, size) != size) {
            return od_fail(err, OD_E_FORMAT, "'%s': merge %zu is no UTF-8", od_gguf_name(gguf),
                           json_array_size(merges));
        }
        if (json_array_append_new(merges, json_stringn(text, size)) != 0) {
            return no_memory(gguf, err);
        }
    }
    return status;
}

static enum od_status fill_bpe(struct od_tokenizer *tokenizer, const struct od_gguf *gguf,
                               struct od_error *err)
{
    const char *pre = NULL;
    bool prefix_space = false;
    json_t *tree = NULL;
    enum od_status status = od_gguf_text_or(gguf, KEY("pre"), "", &pre, err);
    if (status == OD_OK) {
        status = od_gguf_bool_or(gguf, KEY("add_space_prefix"), false, &prefix_space, err);
    }
    if (status != OD_OK) {
        return status;
    }
    const struct od_bpe_scheme *scheme = od_bpe_scheme_of_pre(pre);
    if (!scheme) {
        return od_fail(err, OD_E_UNSUPPORTED,
                       "'%s': '%s' is '%.64s', a way to cut text that is not supported",
                       od_gguf_name(gguf), KEY("pre"), pre);
    }
    json_t *vocab = json_object();
    json_t *merges = json_array();
    json_t *added = json_array();
    status = list_tokens(gguf, vocab, added, err);
    if (status == OD_OK) {
        status = list_merges(gguf, merges, err);
    }
    if (status == OD_OK) {
        tree = od_bpe_scheme_tree(scheme, vocab, merges, prefix_space);
        if (!tree || json_object_set(tree, "added_tokens", added) != 0) {
            status = no_memory(gguf, err);
        }
    }
    if (status == OD_OK) {
        status = od_tokenizer_fill_tree(tokenizer, tree, od_gguf_name(gguf), err);
    }
    json_decref(tree);
    json_decref(added);
    json_decref(merges);
    json_decref(vocab);
    // Llama 3's files have always had a beginning; those of the others say so.
    const bool bos = scheme->around || scheme->whole_words;
    return status == OD_OK ? set_around(tokenizer, gguf, bos, scheme->around, err) : status;
}

// The digest of a vocabulary is that of its keys and values, so that weights do not change it.
static enum od_status set_digest(struct od_tokenizer *tokenizer, const struct od_gguf *gguf,
                                 struct od_error *err)
{
    static const char prefix[] = "tokenizer.";
    struct od_buf all;
    od_buf_init(&all, (size_t)2 * OD_GGUF_HEADER_MAX_BYTES);
    for (size_t i = 0; i < od_gguf_key_count(gguf); i++) {
        const struct od_gguf_value *value = od_gguf_get(gguf, i);
        if (strncmp(value->key, prefix, sizeof prefix - 1) == 0) {
            od_buf_append(&all, value->key, strlen(value->key) + 1);
            od_buf_append(&all, value->bytes, value->size);
        }
    }
    const enum od_status status = od_buf_check(&all, err);
    if (status == OD_OK) {
        od_sha256_hex(od_buf_text(&all), all.size, tokenizer->digest);
    }
    od_buf_release(&all);
    return status;
}

enum od_status od_tokenizer_fill_gguf(struct od_tokenizer *tokenizer, const struct od_gguf *gguf,
                                      struct od_error *err)
{
    const char *model = NULL;
    enum od_status status = od_gguf_text_or(gguf, KEY("model"), "", &model, err);
    if (status != OD_OK) {
        return status;
    }
    if (strcmp(model, "llama") == 0 || strcmp(model, "t5") == 0) {
        status = fill_spm(tokenizer, gguf, model[0] == 't', err);
    } else if (strcmp(model, "gpt2") == 0) {
        status = fill_bpe(tokenizer, gguf, err);
    } else {
        return od_fail(err, model[0] == '\0' ? OD_E_NOT_FOUND : OD_E_UNSUPPORTED,
                       "'%s': '%s' is '%.64s'; llama, gpt2 and t5 are supported",
                       od_gguf_name(gguf), KEY("model"), model);
    }
    return status == OD_OK ? set_digest(tokenizer, gguf, err) : status;
}
