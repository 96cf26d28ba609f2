// Reads a tokenizer.json, the file of Hugging Face's fast tokenizers:
//
//   version         "1.0" (not looked at)
//   truncation, padding   settings of a caller, not of the tokenizer: not looked at
//   added_tokens    [{id, content, single_word, lstrip, rstrip, normalized, special}]
//   normalizer, pre_tokenizer, decoder   see steps_json.c
//   post_processor  null, ByteLevel (adds nothing), TemplateProcessing (its `single`),
//                   BertProcessing, RobertaProcessing, or a Sequence of these
//   model           type "Unigram": see unigram_json.c; type "WordPiece": see wordpiece.c;
//                   type "BPE" (or absent), vocab {piece: id}, merges ["a b"] or [["a", "b"]],
//                   unk_token, fuse_unk, byte_fallback, ignore_merges,
//                   continuing_subword_prefix, end_of_word_suffix, dropout (null or 0)
//
// Limits: those of tokenizer.h, OD_BPE_MERGES_MAX, OD_TEMPLATE_IDS_MAX, OD_STEPS_MAX.
//
// Source: the files themselves and the documentation of tokenizers 0.2x.

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "formats/json.h"
#include "text/bpe.h"
#include "text/phrases.h"
#include "text/regex.h"
#include "text/split.h"
#include "text/steps.h"
#include "text/tokenizer.h"
#include "text/tokenizer_internal.h"
#include "text/vocab.h"

enum { WHERE_BYTES = 512, SEQUENCE_DEPTH_MAX = 8 };

static void set_where(char where[WHERE_BYTES], const char *name, const char *part)
{
    (void)snprintf(where, WHERE_BYTES, "%s: %s", name, part);
}

static enum od_status read_vocab(struct od_tokenizer *tokenizer, const json_t *model,
                                 const char *where, struct od_error *err)
{
    const json_t *vocab = json_object_get(model, "vocab");
    if (!json_is_object(vocab)) {
        return od_fail(err, OD_E_FORMAT, "%s: 'vocab' must be an object of pieces and ids", where);
    }
    // Jansson's iterators take a pointer to a value that they could change.
    json_t *object = json_object_get(model, "vocab");
    for (void *i = json_object_iter(object); i; i = json_object_iter_next(object, i)) {
        const json_t *id = json_object_iter_value(i);
        if (!json_is_integer(id)) {
            return od_fail(err, OD_E_FORMAT, "%s: the id of piece '%.64s' is no integer", where,
                           json_object_iter_key(i));
        }
        const enum od_status status =
            od_vocab_add(&tokenizer->vocab, json_integer_value(id), json_object_iter_key(i),
                         json_object_iter_key_len(i), OD_PIECE_NORMAL, err);
        if (status != OD_OK) {
            od_error_prefix(err, "%s: vocab", where);
            return status;
        }
    }
    return OD_OK;
}

// A merge as its two pieces.
struct merge_text {
    const char *left;
    size_t left_size;
    const char *right;
    size_t right_size;
};

static bool read_merge(const json_t *value, struct merge_text *ret)
{
    if (json_is_string(value)) {
        const char *text = json_string_value(value);
        const size_t size = json_string_length(value);
        const char *blank = memchr(text, ' ', size);
        if (!blank || memchr(blank + 1, ' ', size - (size_t)(blank + 1 - text))) {
            return false;
        }
        *ret = (struct merge_text){text, (size_t)(blank - text), blank + 1,
                                   size - (size_t)(blank + 1 - text)};
        return true;
    }
    const json_t *left = json_array_get(value, 0);
    const json_t *right = json_array_get(value, 1);
    if (json_array_size(value) != 2 || !json_is_string(left) || !json_is_string(right)) {
        return false;
    }
    *ret = (struct merge_text){json_string_value(left), json_string_length(left),
                               json_string_value(right), json_string_length(right)};
    return true;
}

// How much of a text a message shows.
static int shown_size(size_t size)
{
    return size > 64 ? 64 : (int)size;
}

static enum od_status add_merge(struct od_tokenizer *tokenizer, const struct merge_text *merge,
                                size_t rank, struct od_buf *joined, const char *where,
                                struct od_error *err)
{
    const struct od_vocab *vocab = &tokenizer->vocab;
    const size_t prefix_size = tokenizer->bpe.prefix ? strlen(tokenizer->bpe.prefix) : 0;
    const int32_t left = od_vocab_find(vocab, merge->left, merge->left_size);
    const int32_t right = od_vocab_find(vocab, merge->right, merge->right_size);
    int32_t id = -1;
    if (left >= 0 && right >= 0 && merge->right_size >= prefix_size) {
        od_buf_reset(joined);
        od_buf_append(joined, merge->left, merge->left_size);
        od_buf_append(joined, merge->right + prefix_size, merge->right_size - prefix_size);
        const enum od_status status = od_buf_check(joined, err);
        if (status != OD_OK) {
            return status;
        }
        id = od_vocab_find(vocab, od_buf_text(joined), joined->size);
    }
    if (id < 0) {
        return od_fail(err, OD_E_FORMAT,
                       "%s: merge %zu ('%.*s' and '%.*s') names or makes a piece that is not in "
                       "the vocabulary",
                       where, rank, shown_size(merge->left_size), merge->left,
                       shown_size(merge->right_size), merge->right);
    }
    od_bpe_add_merge(&tokenizer->bpe, left, right, (uint32_t)rank, id);
    return OD_OK;
}

static enum od_status read_merges(struct od_tokenizer *tokenizer, const json_t *model,
                                  const char *where, struct od_error *err)
{
    const json_t *merges = json_object_get(model, "merges");
    struct od_buf joined;
    if (!json_is_array(merges)) {
        return od_fail(err, OD_E_FORMAT, "%s: 'merges' must be a list", where);
    }
    const size_t count = json_array_size(merges);
    if (count == 0) {
        return OD_OK;
    }
    enum od_status status = od_bpe_reserve(&tokenizer->bpe, count, err);
    od_buf_init(&joined, (size_t)2 * OD_TOKENIZER_PIECE_MAX_BYTES);
    for (size_t i = 0; i < count && status == OD_OK; i++) {
        struct merge_text merge = {0};
        const json_t *value = json_array_get(merges, i);
        const char *text = json_string_value(value);
        if (text && strncmp(text, "#version", 8) == 0) {
            continue;
        }
        if (read_merge(value, &merge)) {
            status = add_merge(tokenizer, &merge, i, &joined, where, err);
        } else {
            status = od_fail(err, OD_E_FORMAT, "%s: merge %zu is no pair of pieces", where, i);
        }
    }
    od_buf_release(&joined);
    return status;
}

static enum od_status copy_affix(const json_t *model, const char *key, const char *where,
                                 char **ret, struct od_error *err)
{
    const char *text = NULL;
    const enum od_status status = od_json_text_or(model, key, where, "", &text, err);
    if (status != OD_OK || text[0] == '\0') {
        return status;
    }
    if (strlen(text) > OD_TOKENIZER_PIECE_MAX_BYTES) {
        return od_fail(err, OD_E_LIMIT, "%s: '%s' is longer than %d bytes", where, key,
                       (int)OD_TOKENIZER_PIECE_MAX_BYTES);
    }
    *ret = od_strdup(text);
    return *ret ? OD_OK : od_fail(err, OD_E_MEMORY, "%s: no memory", where);
}

static enum od_status read_model_flags(struct od_tokenizer *tokenizer, const json_t *model,
                                       const char *where, struct od_error *err)
{
    static const char *const names[] = {"fuse_unk", "byte_fallback", "ignore_merges"};
    bool *const flags[] = {&tokenizer->bpe.fuse_unknown, &tokenizer->bpe.byte_fallback,
                           &tokenizer->bpe.ignore_merges};
    enum od_status status = OD_OK;
    double dropout = 0;
    for (int i = 0; i < 3 && status == OD_OK; i++) {
        status = od_json_bool_or(model, names[i], where, false, flags[i], err);
    }
    if (status == OD_OK) {
        status = od_json_number_or(model, "dropout", where, 0, &dropout, err);
    }
    if (status == OD_OK && (dropout < 0 || dropout > 0)) {
        status =
            od_fail(err, OD_E_UNSUPPORTED, "%s: 'dropout' %g is not supported", where, dropout);
    }
    if (status == OD_OK) {
        status = copy_affix(model, "continuing_subword_prefix", where, &tokenizer->bpe.prefix, err);
    }
    if (status == OD_OK) {
        status = copy_affix(model, "end_of_word_suffix", where, &tokenizer->bpe.suffix, err);
    }
    if (status == OD_OK && tokenizer->bpe.byte_fallback &&
        (tokenizer->bpe.prefix || tokenizer->bpe.suffix)) {
        status = od_fail(err, OD_E_UNSUPPORTED,
                         "%s: 'byte_fallback' together with continuing_subword_prefix or "
                         "end_of_word_suffix is not supported",
                         where);
    }
    return status;
}

static enum od_status read_model(struct od_tokenizer *tokenizer, const json_t *root,
                                 const char *name, struct od_error *err)
{
    char where[WHERE_BYTES];
    const json_t *model = json_object_get(root, "model");
    const char *type = NULL;
    const char *unknown = NULL;
    set_where(where, name, "model");
    if (!json_is_object(model)) {
        return od_fail(err, OD_E_FORMAT, "%s: must be an object", where);
    }
    const char *guess = json_object_get(model, "merges")   ? "BPE"
                        : json_object_get(model, "unk_id") ? "Unigram"
                                                           : "(absent)";
    enum od_status status = od_json_text_or(model, "type", where, guess, &type, err);
    if (status != OD_OK) {
        return status;
    }
    if (strcmp(type, "Unigram") == 0) {
        return od_tokenizer_read_unigram(tokenizer, model, where, err);
    }
    if (strcmp(type, "WordPiece") == 0) {
        status = read_vocab(tokenizer, model, where, err);
        return status == OD_OK ? od_tokenizer_read_wordpiece(tokenizer, model, where, err) : status;
    }
    if (strcmp(type, "BPE") != 0) {
        return od_fail(err, OD_E_UNSUPPORTED,
                       "%s: type '%.64s' is not supported, only BPE, Unigram and WordPiece", where,
                       type);
    }
    status = read_model_flags(tokenizer, model, where, err);
    if (status == OD_OK) {
        status = read_vocab(tokenizer, model, where, err);
    }
    if (status == OD_OK) {
        status = read_merges(tokenizer, model, where, err);
    }
    if (status == OD_OK) {
        status = od_json_text_or(model, "unk_token", where, NULL, &unknown, err);
    }
    if (status == OD_OK && unknown) {
        tokenizer->bpe.unknown_id = od_vocab_find(&tokenizer->vocab, unknown, strlen(unknown));
        if (tokenizer->bpe.unknown_id < 0) {
            status = od_fail(err, OD_E_FORMAT, "%s: unk_token '%.64s' is not in the vocabulary",
                             where, unknown);
        }
    }
    return status;
}

static enum od_status read_added(struct od_tokenizer *tokenizer, const json_t *token,
                                 const char *where, int32_t *ret_id, bool *ret_normalized,
                                 struct od_error *err)
{
    const json_t *content = json_object_get(token, "content");
    int64_t id = -1;
    bool special = false;
    bool normalized = false;
    bool single_word = false;
    bool lstrip = false;
    bool rstrip = false;
    const struct {
        const char *key;
        bool *value;
    } flags[] = {{"special", &special},
                 {"normalized", &normalized},
                 {"single_word", &single_word},
                 {"lstrip", &lstrip},
                 {"rstrip", &rstrip}};
    enum od_status status = od_json_int(token, "id", where, &id, err);
    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]) && status == OD_OK; i++) {
        status = od_json_bool_or(token, flags[i].key, where, false, flags[i].value, err);
    }
    if (status == OD_OK && (!json_is_string(content) || json_string_length(content) == 0)) {
        status = od_fail(err, OD_E_FORMAT, "%s: 'content' must be a text that is not empty", where);
    }
    if (status != OD_OK) {
        return status;
    }
    const char *text = json_string_value(content);
    const size_t size = json_string_length(content);
    const int32_t known = od_vocab_find(&tokenizer->vocab, text, size);
    if (known >= 0 && known != id) {
        return od_fail(err, OD_E_FORMAT, "%s: '%.64s' has id %lld and is piece %d", where, text,
                       (long long)id, (int)known);
    }
    if (known < 0) {
        status = od_vocab_add(&tokenizer->vocab, id, text, size, OD_PIECE_NORMAL, err);
        if (status != OD_OK) {
            od_error_prefix(err, "%s", where);
            return status;
        }
    }
    struct od_piece *piece = &tokenizer->vocab.pieces[id];
    piece->special = special;
    piece->single_word = single_word;
    piece->lstrip = lstrip;
    piece->rstrip = rstrip;
    *ret_id = (int32_t)id;
    *ret_normalized = normalized;
    return OD_OK;
}

// A normalized added token is looked for as the normalizers leave it.
static enum od_status add_normalized(struct od_tokenizer *tokenizer, int32_t id,
                                     struct od_error *err)
{
    struct od_buf a;
    struct od_buf b;
    struct od_match match = {0};
    size_t size;
    const char *text = od_vocab_text(&tokenizer->vocab, id, &size);
    od_buf_init(&a, OD_SPLIT_MAX_BYTES);
    od_buf_init(&b, OD_SPLIT_MAX_BYTES);
    enum od_status status =
        od_steps_normalize(&tokenizer->normalizers, text, size, &a, &b, &match, &text, &size, err);
    if (status == OD_OK && size > 0) {
        status = od_phrases_add(&tokenizer->normalized_phrases, text, size, id, err);
    }
    od_match_release(&match);
    od_buf_release(&a);
    od_buf_release(&b);
    return status;
}

static enum od_status read_added_tokens(struct od_tokenizer *tokenizer, const json_t *root,
                                        const char *name, struct od_error *err)
{
    char where[WHERE_BYTES];
    const json_t *list = json_object_get(root, "added_tokens");
    enum od_status status = OD_OK;
    set_where(where, name, "added_tokens");
    if (list && !json_is_null(list) && !json_is_array(list)) {
        return od_fail(err, OD_E_FORMAT, "%s: must be a list", where);
    }
    for (size_t i = 0; i < json_array_size(list) && status == OD_OK; i++) {
        int32_t id = -1;
        bool normalized = false;
        status = read_added(tokenizer, json_array_get(list, i), where, &id, &normalized, err);
        if (status == OD_OK && normalized) {
            status = add_normalized(tokenizer, id, err);
        } else if (status == OD_OK) {
            size_t size;
            const char *text = od_vocab_text(&tokenizer->vocab, id, &size);
            status = od_phrases_add(&tokenizer->phrases, text, size, id, err);
        }
    }
    od_phrases_finish(&tokenizer->phrases);
    od_phrases_finish(&tokenizer->normalized_phrases);
    return status;
}

static void set_around(struct od_tokenizer *tokenizer, const int32_t *before, size_t before_count,
                       const int32_t *after, size_t after_count)
{
    memcpy(tokenizer->before_ids, before, before_count * sizeof(*before));
    memcpy(tokenizer->after_ids, after, after_count * sizeof(*after));
    tokenizer->before_count = before_count;
    tokenizer->after_count = after_count;
}

// Append the ids of a special token of a template.
static enum od_status template_ids(const struct od_tokenizer *tokenizer, const json_t *tokens,
                                   const char *id, const char *where, int32_t *ids, size_t *count,
                                   struct od_error *err)
{
    const json_t *list = json_object_get(json_object_get(tokens, id), "ids");
    if (!json_is_array(list)) {
        return od_fail(err, OD_E_FORMAT, "%s: no special token '%.64s'", where, id);
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *value = json_array_get(list, i);
        const json_int_t number = json_integer_value(value);
        if (!json_is_integer(value) || number < 0 || number >= tokenizer->vocab.count) {
            return od_fail(err, OD_E_FORMAT, "%s: '%.64s' has an id that is not in the vocabulary",
                           where, id);
        }
        if (*count == OD_TEMPLATE_IDS_MAX) {
            return od_fail(err, OD_E_LIMIT, "%s: more than %d ids around a text", where,
                           (int)OD_TEMPLATE_IDS_MAX);
        }
        ids[(*count)++] = (int32_t)number;
    }
    return OD_OK;
}

static enum od_status read_template(struct od_tokenizer *tokenizer, const json_t *object,
                                    const char *where, struct od_error *err)
{
    const json_t *single = json_object_get(object, "single");
    const json_t *tokens = json_object_get(object, "special_tokens");
    int32_t ids[OD_TEMPLATE_IDS_MAX];
    size_t count = 0;
    size_t before_count = 0;
    int sequences = 0;
    if (!json_is_array(single)) {
        return od_fail(err, OD_E_UNSUPPORTED, "%s: 'single' must be a list of pieces", where);
    }
    for (size_t i = 0; i < json_array_size(single); i++) {
        const json_t *piece = json_array_get(single, i);
        const json_t *special = json_object_get(piece, "SpecialToken");
        const char *id = NULL;
        if (json_object_get(piece, "Sequence")) {
            sequences++;
            before_count = count;
            continue;
        }
        enum od_status status = od_json_text(special, "id", where, &id, err);
        if (status == OD_OK) {
            status = template_ids(tokenizer, tokens, id, where, ids, &count, err);
        }
        if (status != OD_OK) {
            return status;
        }
    }
    if (sequences != 1) {
        return od_fail(err, OD_E_UNSUPPORTED, "%s: 'single' must hold one Sequence, not %d", where,
                       sequences);
    }
    set_around(tokenizer, ids, before_count, ids + before_count, count - before_count);
    return OD_OK;
}

// "cls" and "sep", each [text, id].
static enum od_status read_cls_sep(struct od_tokenizer *tokenizer, const json_t *object,
                                   const char *where, struct od_error *err)
{
    static const char *const keys[] = {"cls", "sep"};
    int32_t ids[2] = {0};
    for (int i = 0; i < 2; i++) {
        const json_t *value = json_array_get(json_object_get(object, keys[i]), 1);
        const json_int_t number = json_integer_value(value);
        if (!json_is_integer(value) || number < 0 || number >= tokenizer->vocab.count) {
            return od_fail(err, OD_E_FORMAT, "%s: '%s' must be a piece and its id", where, keys[i]);
        }
        ids[i] = (int32_t)number;
    }
    set_around(tokenizer, &ids[0], 1, &ids[1], 1);
    return OD_OK;
}

static enum od_status read_post_processor(struct od_tokenizer *tokenizer, const json_t *value,
                                          const char *where, int depth, struct od_error *err)
{
    const char *type = NULL;
    if (!value || json_is_null(value)) {
        return OD_OK;
    }
    enum od_status status = od_json_text(value, "type", where, &type, err);
    if (status != OD_OK || strcmp(type, "ByteLevel") == 0) {
        return status;  // ByteLevel changes offsets only
    }
    const bool is_template = strcmp(type, "TemplateProcessing") == 0;
    if (is_template || strcmp(type, "BertProcessing") == 0 ||
        strcmp(type, "RobertaProcessing") == 0) {
        if (tokenizer->before_count + tokenizer->after_count > 0) {
            return od_fail(err, OD_E_UNSUPPORTED, "%s: two processors add ids around a text",
                           where);
        }
        return is_template ? read_template(tokenizer, value, where, err)
                           : read_cls_sep(tokenizer, value, where, err);
    }
    if (strcmp(type, "Sequence") != 0) {
        return od_fail(err, OD_E_UNSUPPORTED, "%s: type '%.64s' is not supported", where, type);
    }
    const json_t *list = json_object_get(value, "processors");
    if (!json_is_array(list) || depth == SEQUENCE_DEPTH_MAX) {
        return od_fail(err, OD_E_FORMAT, "%s: 'processors' is no list or is nested too deep",
                       where);
    }
    for (size_t i = 0; i < json_array_size(list) && status == OD_OK; i++) {
        status = read_post_processor(tokenizer, json_array_get(list, i), where, depth + 1, err);
    }
    return status;
}

enum od_status od_tokenizer_fill_tree(struct od_tokenizer *tokenizer, const json_t *root,
                                      const char *name, struct od_error *err)
{
    char where[WHERE_BYTES];
    if (!json_is_object(root)) {
        return od_fail(err, OD_E_FORMAT, "%s: no tokenizer: must be an object", name);
    }
    enum od_status status = read_model(tokenizer, root, name, err);
    if (status == OD_OK) {
        set_where(where, name, "normalizer");
        status = od_steps_read_normalizers(json_object_get(root, "normalizer"), where,
                                           &tokenizer->normalizers, err);
    }
    if (status == OD_OK) {
        set_where(where, name, "pre_tokenizer");
        status = od_steps_read_pre_tokenizers(json_object_get(root, "pre_tokenizer"), where,
                                              &tokenizer->pre_tokenizers, err);
    }
    if (status == OD_OK) {
        const json_t *decoder = json_object_get(root, "decoder");
        set_where(where, name, "decoder");
        tokenizer->has_decoder = decoder && !json_is_null(decoder);
        status = od_steps_read_decoders(decoder, where, &tokenizer->decoders, err);
    }
    if (status == OD_OK) {
        status = read_added_tokens(tokenizer, root, name, err);
    }
    if (status == OD_OK) {
        set_where(where, name, "post_processor");
        status =
            read_post_processor(tokenizer, json_object_get(root, "post_processor"), where, 0, err);
    }
    if (status == OD_OK) {
        status = od_bpe_finish(&tokenizer->bpe, err);
    }
    return status;
}

enum od_status od_tokenizer_fill_json(struct od_tokenizer *tokenizer, const char *bytes,
                                      size_t size, const char *name, struct od_error *err)
{
    json_t *root = NULL;
    enum od_status status = od_json_parse(bytes, size, name, &root, err);
    if (status == OD_OK) {
        status = od_tokenizer_fill_tree(tokenizer, root, name, err);
    }
    json_decref(root);
    return status;
}
