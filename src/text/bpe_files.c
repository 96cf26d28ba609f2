// Reads a folder with the files of a byte-level BPE tokenizer that has no tokenizer.json:
//
//   vocab.json   {piece: id}
//   merges.txt   one merge a line, "a b", best first; lines that begin with "#version" say nothing
//   tokenizer_config.json   tokenizer_class names the family (else config.json's model_type does);
//                add_prefix_space, add_bos_token; added_tokens_decoder {id: {content, special,
//                lstrip, rstrip, single_word, normalized}}; bos_token, eos_token, unk_token,
//                sep_token, pad_token, cls_token, mask_token, additional_special_tokens
//   added_tokens.json        {token: id}
//   special_tokens_map.json  the same names of special tokens
//
// A special token that is named and has no id yet gets the next one, in the order above: so does
// transformers.
//
// Limits: those of tokenizer.h and OD_BPE_MERGES_MAX.

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"
#include "formats/json.h"
#include "formats/text_file.h"
#include "text/bpe_scheme.h"
#include "text/tokenizer.h"
#include "text/tokenizer_internal.h"

// What the files say, as it is gathered.
struct files {
    const char *folder;
    json_t *vocab;
    json_t *merges;
    json_t *config;      // tokenizer_config.json; NULL when absent
    json_t *map;         // special_tokens_map.json; NULL when absent
    json_t *added_file;  // added_tokens.json; NULL when absent
    json_t *added;       // the list for a tokenizer.json
    int64_t next_id;
    const struct od_bpe_scheme *scheme;
    char digest[OD_SHA256_HEX_BYTES];
};

static void release(struct files *files)
{
    json_decref(files->vocab);
    json_decref(files->merges);
    json_decref(files->config);
    json_decref(files->map);
    json_decref(files->added_file);
    json_decref(files->added);
}

static enum od_status no_memory(const struct files *files, struct od_error *err)
{
    return od_fail(err, OD_E_MEMORY, "no memory for the tokenizer of '%s'", files->folder);
}

static enum od_status split_merges(struct files *files, const char *text, size_t size,
                                   struct od_error *err)
{
    const char *at = text;
    const char *end = text + size;
    files->merges = json_array();
    while (at < end) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        stop = stop ? stop : end;
        size_t length = (size_t)(stop - at);
        length -= length > 0 && at[length - 1] == '\r' ? 1 : 0;
        if (od_utf8_invalid_at(at, length) != length) {
            return od_fail(err, OD_E_FORMAT, "'%s/merges.txt': byte %td: no UTF-8", files->folder,
                           at - text);
        }
        if (length > 0 && json_array_append_new(files->merges, json_stringn(at, length)) != 0) {
            return no_memory(files, err);
        }
        at = stop + (stop < end);
    }
    return OD_OK;
}

// The digest of a tokenizer of two files is that of both contents, one behind the other.
static enum od_status read_vocab(struct files *files, struct od_error *err)
{
    static const char *const names[] = {"vocab.json", "merges.txt"};
    struct od_buf both;
    enum od_status status = OD_OK;
    size_t vocab_size = 0;
    od_buf_init(&both, (size_t)2 * OD_JSON_FILE_MAX_BYTES);
    for (int i = 0; i < 2 && status == OD_OK; i++) {
        char path[OD_PATH_MAX_BYTES];
        char *text = NULL;
        size_t size = 0;
        status = od_path_join(path, files->folder, names[i], err);
        if (status == OD_OK) {
            status = od_text_read(path, OD_JSON_FILE_MAX_BYTES, &text, &size, err);
        }
        od_buf_append(&both, text, status == OD_OK ? size : 0);
        vocab_size = i == 0 ? size : vocab_size;
        od_free(text);
    }
    if (status == OD_OK) {
        status = od_buf_check(&both, err);
    }
    if (status == OD_OK) {
        status = od_json_parse(od_buf_text(&both), vocab_size, "vocab.json", &files->vocab, err);
    }
    if (status == OD_OK) {
        status = split_merges(files, od_buf_text(&both) + vocab_size, both.size - vocab_size, err);
    }
    if (status == OD_OK) {
        od_sha256_hex(od_buf_text(&both), both.size, files->digest);
    }
    od_buf_release(&both);
    return status;
}

static json_t *find_added(const struct files *files, const char *content)
{
    for (size_t i = 0; i < json_array_size(files->added); i++) {
        json_t *token = json_array_get(files->added, i);
        const char *have = json_string_value(json_object_get(token, "content"));
        if (strcmp(have, content) == 0) {
            return token;
        }
    }
    return NULL;
}

// Note an added token. `token` may carry lstrip, rstrip, single_word and normalized; an id below 0
// is that of the vocabulary, else the next one.
static enum od_status add_token(struct files *files, const char *content, int64_t id,
                                const json_t *token, bool special, struct od_error *err)
{
    static const char *const flags[] = {"lstrip", "rstrip", "single_word", "normalized"};
    json_t *known = find_added(files, content);
    if (known) {
        // What is named as special is special, whatever else is said about it.
        return special && json_object_set_new(known, "special", json_true()) != 0
                   ? no_memory(files, err)
                   : OD_OK;
    }
    const json_t *in_vocab = json_object_get(files->vocab, content);
    if (id < 0) {
        id = in_vocab ? json_integer_value(in_vocab) : files->next_id;
    }
    files->next_id = id >= files->next_id && id < OD_TOKENIZER_VOCAB_MAX ? id + 1 : files->next_id;
    json_t *made =
        json_pack("{ss sI sb}", "content", content, "id", (json_int_t)id, "special", special);
    bool good = made != NULL;
    for (size_t i = 0; i < sizeof flags / sizeof flags[0] && good; i++) {
        json_t *flag = json_object_get(token, flags[i]);
        good = !flag || json_object_set(made, flags[i], flag) == 0;
    }
    const char *lstrip = files->scheme->lstrip_special;
    if (good && !json_is_object(token) && lstrip && strcmp(lstrip, content) == 0) {
        good = json_object_set_new(made, "lstrip", json_true()) == 0;
    }
    if (!good) {
        json_decref(made);
        return no_memory(files, err);
    }
    return json_array_append_new(files->added, made) == 0 ? OD_OK : no_memory(files, err);
}

// The text of a token that is named by it or by an object with its content; NULL when neither.
static const char *token_text(const json_t *value)
{
    const json_t *text = json_is_object(value) ? json_object_get(value, "content") : value;
    return json_is_string(text) && json_string_length(text) > 0 ? json_string_value(text) : NULL;
}

static enum od_status add_decoder(struct files *files, struct od_error *err)
{
    json_t *decoder = json_object_get(files->config, "added_tokens_decoder");
    enum od_status status = OD_OK;
    for (void *i = json_object_iter(decoder); i && status == OD_OK;
         i = json_object_iter_next(decoder, i)) {
        const json_t *token = json_object_iter_value(i);
        const char *content = token_text(token);
        bool special = false;
        int64_t id;
        if (!json_is_object(token) || !content || !od_parse_int(json_object_iter_key(i), &id) ||
            id < 0) {
            return od_fail(
                err, OD_E_FORMAT,
                "'%s/tokenizer_config.json': added_tokens_decoder: '%.64s' is no id of a "
                "token with content",
                files->folder, json_object_iter_key(i));
        }
        status = od_json_bool_or(token, "special", "added_tokens_decoder", false, &special, err);
        if (status == OD_OK) {
            status = add_token(files, content, id, token, special, err);
        }
    }
    return status;
}

static enum od_status add_file(struct files *files, struct od_error *err)
{
    enum od_status status = OD_OK;
    for (void *i = json_object_iter(files->added_file); i && status == OD_OK;
         i = json_object_iter_next(files->added_file, i)) {
        const json_t *id = json_object_iter_value(i);
        if (!json_is_integer(id) || json_integer_value(id) < 0) {
            return od_fail(err, OD_E_FORMAT, "'%s/added_tokens.json': the id of '%.64s' is none",
                           files->folder, json_object_iter_key(i));
        }
        status =
            add_token(files, json_object_iter_key(i), json_integer_value(id), NULL, false, err);
    }
    return status;
}

// Special tokens by their names in one of the two files.
static enum od_status add_named(struct files *files, const json_t *config, struct od_error *err)
{
    static const char *const names[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                        "pad_token", "cls_token", "mask_token"};
    enum od_status status = OD_OK;
    for (size_t i = 0; i < sizeof names / sizeof names[0] && status == OD_OK; i++) {
        const json_t *token = json_object_get(config, names[i]);
        const char *content = token_text(token);
        status = content ? add_token(files, content, -1, token, true, err) : OD_OK;
    }
    const json_t *more = json_object_get(config, "additional_special_tokens");
    for (size_t i = 0; i < json_array_size(more) && status == OD_OK; i++) {
        const json_t *token = json_array_get(more, i);
        const char *content = token_text(token);
        status = content ? add_token(files, content, -1, token, true, err) : OD_OK;
    }
    return status;
}

static enum od_status add_tokens(struct files *files, struct od_error *err)
{
    files->added = json_array();
    files->next_id = (int64_t)json_object_size(files->vocab);
    enum od_status status = add_decoder(files, err);
    if (status == OD_OK) {
        status = add_file(files, err);
    }
    const char *const *specials = files->scheme->specials;
    for (size_t i = 0; specials[i] && status == OD_OK; i++) {
        status = add_token(files, specials[i], -1, NULL, true, err);
    }
    if (status == OD_OK) {
        status = add_named(files, files->map, err);
    }
    return status == OD_OK ? add_named(files, files->config, err) : status;
}

static enum od_status find_scheme(struct files *files, struct od_error *err)
{
    const char *class_name = NULL;
    json_t *model = NULL;
    enum od_status status = OD_OK;
    if (files->config) {
        status = od_json_text_or(files->config, "tokenizer_class", "tokenizer_config.json", NULL,
                                 &class_name, err);
    }
    if (status == OD_OK && class_name) {
        files->scheme = od_bpe_scheme_of_class(class_name);
    }
    if (status == OD_OK && !files->scheme) {
        status = od_tokenizer_read_optional(files->folder, "config.json", &model, err);
        const char *family = json_string_value(json_object_get(model, "model_type"));
        files->scheme = family ? od_bpe_scheme_of_family(family) : NULL;
    }
    if (status == OD_OK && !files->scheme) {
        status = od_fail(err, OD_E_UNSUPPORTED,
                         "'%s' has vocab.json and merges.txt, and how they cut text is not said: "
                         "tokenizer_class of tokenizer_config.json must be one of %s; or put the "
                         "model's tokenizer.json beside them",
                         files->folder, od_bpe_scheme_classes());
    }
    json_decref(model);
    return status;
}

// Id of a token that is in the vocabulary or was added; -1 when it is neither.
static json_int_t id_of(const struct files *files, const char *content)
{
    const json_t *added = find_added(files, content);
    const json_t *id =
        added ? json_object_get(added, "id") : json_object_get(files->vocab, content);
    return json_is_integer(id) ? json_integer_value(id) : -1;
}

// The name of a special token in the two files, else that of the class.
static const char *special_name(const struct files *files, const char *key, const char *fallback)
{
    const char *in_config = token_text(json_object_get(files->config, key));
    const char *in_map = token_text(json_object_get(files->map, key));
    return in_config ? in_config : in_map ? in_map : fallback;
}

// What stands around a text: cls and sep, or bos where the configuration asks for it.
static enum od_status put_around(const struct files *files, json_t *tree, struct od_error *err)
{
    const char *bos = special_name(files, "bos_token", files->scheme->specials[0]);
    const char *cls = special_name(files, "cls_token", "<s>");
    const char *sep = special_name(files, "sep_token", "</s>");
    bool add_bos = false;
    json_t *processor = NULL;
    enum od_status status = OD_OK;
    if (files->config) {
        status = od_json_bool_or(files->config, "add_bos_token", "tokenizer_config.json", false,
                                 &add_bos, err);
    }
    if (status == OD_OK && files->scheme->around) {
        processor = json_pack("{ss s[sI] s[sI]}", "type", "RobertaProcessing", "cls", cls,
                              id_of(files, cls), "sep", sep, id_of(files, sep));
    } else if (status == OD_OK && add_bos) {
        processor = json_pack("{ss s[{s{ss}} {s{ss}}] s{s{s[I]}}}", "type", "TemplateProcessing",
                              "single", "SpecialToken", "id", bos, "Sequence", "id", "A",
                              "special_tokens", bos, "ids", id_of(files, bos));
    }
    if (status == OD_OK && (files->scheme->around || add_bos) &&
        json_object_set_new(tree, "post_processor", processor) != 0) {
        status = no_memory(files, err);
    }
    return status;
}

static enum od_status make_tree(struct files *files, json_t **ret, struct od_error *err)
{
    bool prefix_space = false;
    enum od_status status = OD_OK;
    if (files->config) {
        status = od_json_bool_or(files->config, "add_prefix_space", "tokenizer_config.json", false,
                                 &prefix_space, err);
    }
    if (status != OD_OK) {
        return status;
    }
    json_t *tree = od_bpe_scheme_tree(files->scheme, files->vocab, files->merges, prefix_space);
    if (!tree || json_object_set(tree, "added_tokens", files->added) != 0) {
        status = no_memory(files, err);
    } else {
        status = put_around(files, tree, err);
    }
    if (status != OD_OK) {
        json_decref(tree);
        return status;
    }
    *ret = tree;
    return OD_OK;
}

enum od_status od_tokenizer_fill_files(struct od_tokenizer *tokenizer, const char *folder,
                                       struct od_error *err)
{
    struct files files = {.folder = folder};
    json_t *tree = NULL;
    enum od_status status =
        od_tokenizer_read_optional(folder, "tokenizer_config.json", &files.config, err);
    if (status == OD_OK) {
        status = od_tokenizer_read_optional(folder, "special_tokens_map.json", &files.map, err);
    }
    if (status == OD_OK) {
        status = od_tokenizer_read_optional(folder, "added_tokens.json", &files.added_file, err);
    }
    if (status == OD_OK) {
        status = find_scheme(&files, err);
    }
    if (status == OD_OK) {
        status = read_vocab(&files, err);
    }
    if (status == OD_OK) {
        status = add_tokens(&files, err);
    }
    if (status == OD_OK) {
        status = make_tree(&files, &tree, err);
    }
    if (status == OD_OK) {
        status = od_tokenizer_fill_tree(tokenizer, tree, folder, err);
    }
    if (status == OD_OK) {
        memcpy(tokenizer->digest, files.digest, sizeof(files.digest));
        // Of one special token it is both; of several, bos is the first and eos the second.
        const char *const *specials = files.scheme->specials;
        const char *last = specials[1] ? specials[1] : specials[0];
        tokenizer->bos = (int32_t)id_of(&files, special_name(&files, "bos_token", specials[0]));
        tokenizer->eos = (int32_t)id_of(&files, special_name(&files, "eos_token", last));
    }
    json_decref(tree);
    release(&files);
    return status;
}
