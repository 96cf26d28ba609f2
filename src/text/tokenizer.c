#include "text/tokenizer.h"

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
#include "formats/gguf.h"
#include "formats/json.h"
#include "formats/text_file.h"
#include "text/bpe.h"
#include "text/charsmap.h"
#include "text/pairs.h"
#include "text/phrases.h"
#include "text/split.h"
#include "text/steps.h"
#include "text/tokenizer_internal.h"
#include "text/unigram.h"
#include "text/vocab.h"

enum { FIRST_IDS = 64, FILE_MAX_BYTES = 256 << 20 };

#define CONFIG_MAX_BYTES ((size_t)64 << 20)

void od_ids_init(struct od_ids *ids, size_t max_count)
{
    *ids = (struct od_ids){.max_count = max_count};
}

void od_ids_release(struct od_ids *ids)
{
    od_free(ids->data);
    *ids = (struct od_ids){.max_count = ids->max_count};
}

void od_ids_reset(struct od_ids *ids)
{
    ids->count = 0;
    ids->failed = false;
}

void od_ids_push(struct od_ids *ids, int32_t id)
{
    if (ids->failed) {
        return;
    }
    if (ids->count == ids->capacity) {
        size_t capacity = ids->capacity < FIRST_IDS ? FIRST_IDS : ids->capacity;
        if (ids->capacity >= FIRST_IDS) {
            capacity = ids->capacity > SIZE_MAX / 2 ? SIZE_MAX : ids->capacity * 2;
        }
        int32_t *data =
            ids->count >= ids->max_count ? NULL : od_realloc(ids->data, capacity, sizeof(*data));
        if (!data) {
            od_ids_release(ids);
            ids->failed = true;
            return;
        }
        ids->data = data;
        ids->capacity = capacity;
    }
    if (ids->count >= ids->max_count) {
        od_ids_release(ids);
        ids->failed = true;
        return;
    }
    ids->data[ids->count++] = id;
}

enum od_status od_ids_check(const struct od_ids *ids, struct od_error *err)
{
    if (ids->failed) {
        return od_fail(err, OD_E_MEMORY, "cannot hold that many token ids (limit %zu)",
                       ids->max_count);
    }
    return OD_OK;
}

static struct od_tokenizer *create(struct od_error *err)
{
    struct od_tokenizer *tokenizer = od_alloc(1, sizeof(*tokenizer));
    if (!tokenizer) {
        od_error_set(err, OD_E_MEMORY, "no memory for a tokenizer");
        return NULL;
    }
    od_vocab_init(&tokenizer->vocab);
    od_bpe_init(&tokenizer->bpe, &tokenizer->vocab);
    tokenizer->bos = -1;
    tokenizer->eos = -1;
    return tokenizer;
}

void od_tokenizer_free(struct od_tokenizer *tokenizer)
{
    if (!tokenizer) {
        return;
    }
    od_vocab_release(&tokenizer->vocab);
    od_bpe_release(&tokenizer->bpe);
    od_free(tokenizer->spm.scores);
    od_pairs_release(&tokenizer->spm.joints);
    od_free(tokenizer->spm.unknown_text);
    od_charsmap_release(&tokenizer->spm.charsmap);
    od_unigram_release(&tokenizer->unigram);
    od_steps_release(&tokenizer->normalizers);
    od_steps_release(&tokenizer->pre_tokenizers);
    od_steps_release(&tokenizer->decoders);
    od_phrases_release(&tokenizer->phrases);
    od_phrases_release(&tokenizer->normalized_phrases);
    od_free(tokenizer);
}

enum od_status od_tokenizer_parse_json(const char *bytes, size_t size, const char *name,
                                       struct od_tokenizer **ret, struct od_error *err)
{
    struct od_tokenizer *tokenizer = create(err);
    if (!tokenizer) {
        return OD_E_MEMORY;
    }
    const enum od_status status = od_tokenizer_fill_json(tokenizer, bytes, size, name, err);
    if (status != OD_OK) {
        od_tokenizer_free(tokenizer);
        return status;
    }
    od_sha256_hex(bytes, size, tokenizer->digest);
    *ret = tokenizer;
    return OD_OK;
}

enum od_status od_tokenizer_parse_spm(const char *bytes, size_t size, const char *name,
                                      struct od_tokenizer **ret, struct od_error *err)
{
    struct od_tokenizer *tokenizer = create(err);
    if (!tokenizer) {
        return OD_E_MEMORY;
    }
    const enum od_status status = od_tokenizer_fill_spm(tokenizer, bytes, size, name, err);
    if (status != OD_OK) {
        od_tokenizer_free(tokenizer);
        return status;
    }
    if (tokenizer->bos >= 0) {
        tokenizer->before_ids[tokenizer->before_count++] = tokenizer->bos;
    }
    od_sha256_hex(bytes, size, tokenizer->digest);
    *ret = tokenizer;
    return OD_OK;
}

enum od_status od_tokenizer_open_json(const char *path, struct od_tokenizer **ret,
                                      struct od_error *err)
{
    char *text = NULL;
    size_t size = 0;
    enum od_status status = od_text_read(path, OD_JSON_FILE_MAX_BYTES, &text, &size, err);
    if (status == OD_OK) {
        status = od_tokenizer_parse_json(text, size, path, ret, err);
    }
    od_free(text);
    return status;
}

enum od_status od_tokenizer_open_spm(const char *path, struct od_tokenizer **ret,
                                     struct od_error *err)
{
    char *text = NULL;
    size_t size = 0;
    enum od_status status = od_text_read(path, OD_JSON_FILE_MAX_BYTES, &text, &size, err);
    if (status == OD_OK) {
        status = od_tokenizer_parse_spm(text, size, path, ret, err);
    }
    od_free(text);
    return status;
}

enum od_status od_tokenizer_read_optional(const char *folder, const char *name, json_t **ret,
                                          struct od_error *err)
{
    char path[OD_PATH_MAX_BYTES];
    char found[OD_PATH_MAX_BYTES];
    enum od_status status = od_path_join(path, folder, name, err);
    if (status != OD_OK) {
        return status;
    }
    if (od_text_find(path, found, sizeof(found), NULL) != OD_OK) {
        *ret = NULL;
        return OD_OK;
    }
    return od_json_read(path, ret, err);
}

// Id of the token that a member names, as a text or as an object with its content; -1 when it
// names none.
static int32_t named_id(const struct od_tokenizer *tokenizer, const json_t *config, const char *key)
{
    const json_t *value = json_object_get(config, key);
    if (json_is_object(value)) {
        value = json_object_get(value, "content");
    }
    return json_is_string(value)
               ? od_tokenizer_find(tokenizer, json_string_value(value), json_string_length(value))
               : -1;
}

// add_bos_token and add_eos_token say what goes around a text of a .model.
static enum od_status apply_template(struct od_tokenizer *tokenizer, const json_t *config,
                                     struct od_error *err)
{
    bool add_bos = true;
    bool add_eos = false;
    enum od_status status =
        od_json_bool_or(config, "add_bos_token", "tokenizer_config.json", true, &add_bos, err);
    if (status == OD_OK) {
        status =
            od_json_bool_or(config, "add_eos_token", "tokenizer_config.json", false, &add_eos, err);
    }
    if (status != OD_OK) {
        return status;
    }
    tokenizer->before_count = 0;
    if (add_bos && tokenizer->bos >= 0) {
        tokenizer->before_ids[tokenizer->before_count++] = tokenizer->bos;
    }
    if (add_eos && tokenizer->eos >= 0) {
        tokenizer->after_ids[tokenizer->after_count++] = tokenizer->eos;
    }
    return OD_OK;
}

enum od_status od_tokenizer_copy(const char *from, const char *to, struct od_error *err)
{
    static const char *const names[] = {"tokenizer.json",
                                        "tokenizer.model",
                                        "tokenizer_config.json",
                                        "special_tokens_map.json",
                                        "added_tokens.json",
                                        "chat_template.jinja",
                                        "vocab.json",
                                        "merges.txt"};
    enum od_status status = OD_OK;
    for (size_t i = 0; status == OD_OK && i < sizeof names / sizeof names[0]; i++) {
        status = od_file_copy_optional(from, to, names[i], FILE_MAX_BYTES, err);
    }
    return status;
}

static enum od_status apply_configs(struct od_tokenizer *tokenizer, const char *folder,
                                    struct od_error *err)
{
    static const char *const names[] = {"special_tokens_map.json", "tokenizer_config.json"};
    enum od_status status = OD_OK;
    for (int i = 0; i < 2 && status == OD_OK; i++) {
        json_t *config = NULL;
        status = od_tokenizer_read_optional(folder, names[i], &config, err);
        if (status == OD_OK && config) {
            const int32_t bos = named_id(tokenizer, config, "bos_token");
            const int32_t eos = named_id(tokenizer, config, "eos_token");
            tokenizer->bos = bos >= 0 ? bos : tokenizer->bos;
            tokenizer->eos = eos >= 0 ? eos : tokenizer->eos;
        }
        if (status == OD_OK && i == 1 && config && tokenizer->is_spm) {
            status = apply_template(tokenizer, config, err);
        }
        json_decref(config);
    }
    return status;
}

// A .model with tokens beside it needs rules that only a tokenizer.json writes down.
static enum od_status check_added(const struct od_tokenizer *tokenizer, const char *folder,
                                  struct od_error *err)
{
    json_t *added = NULL;
    enum od_status status = od_tokenizer_read_optional(folder, "added_tokens.json", &added, err);
    if (status != OD_OK || !added) {
        return status;
    }
    for (void *i = json_object_iter(added); i && status == OD_OK;
         i = json_object_iter_next(added, i)) {
        const char *name = json_object_iter_key(i);
        if (od_tokenizer_find(tokenizer, name, strlen(name)) < 0) {
            status = od_fail(err, OD_E_UNSUPPORTED,
                             "'%s/added_tokens.json' adds '%.64s' to a tokenizer.model, which is "
                             "not supported; put the model's tokenizer.json beside it",
                             folder, name);
        }
    }
    json_decref(added);
    return status;
}

// A tokenizer of vocab.json and merges.txt.
static enum od_status open_files(const char *folder, struct od_tokenizer **ret,
                                 struct od_error *err)
{
    struct od_tokenizer *tokenizer = create(err);
    if (!tokenizer) {
        return OD_E_MEMORY;
    }
    const enum od_status status = od_tokenizer_fill_files(tokenizer, folder, err);
    if (status != OD_OK) {
        od_tokenizer_free(tokenizer);
        return status;
    }
    *ret = tokenizer;
    return OD_OK;
}

enum od_status od_tokenizer_of_gguf(const struct od_gguf *gguf, struct od_tokenizer **ret,
                                    struct od_error *err)
{
    struct od_tokenizer *tokenizer = create(err);
    if (!tokenizer) {
        return OD_E_MEMORY;
    }
    const enum od_status status = od_tokenizer_fill_gguf(tokenizer, gguf, err);
    if (status != OD_OK) {
        od_tokenizer_free(tokenizer);
        return status;
    }
    *ret = tokenizer;
    return OD_OK;
}

enum od_status od_tokenizer_open_gguf(const char *path, struct od_tokenizer **ret,
                                      struct od_error *err)
{
    struct od_gguf *gguf = NULL;
    enum od_status status = od_gguf_open(path, &gguf, err);
    if (status == OD_OK) {
        status = od_tokenizer_of_gguf(gguf, ret, err);
    }
    od_gguf_close(gguf);
    return status;
}

// Whether a folder has a file, packed or not; its path without an ending for packed ones in `path`.
static bool has_file(char path[OD_PATH_MAX_BYTES], const char *folder, const char *name)
{
    char found[OD_PATH_MAX_BYTES];
    return od_path_join(path, folder, name, NULL) == OD_OK &&
           od_text_find(path, found, sizeof(found), NULL) == OD_OK;
}

enum od_status od_tokenizer_open(const char *folder, struct od_tokenizer **ret,
                                 struct od_error *err)
{
    char path[OD_PATH_MAX_BYTES];
    struct od_tokenizer *tokenizer = NULL;
    enum od_status status = OD_OK;
    if (od_gguf_is_path(folder)) {
        return od_tokenizer_open_gguf(folder, ret, err);
    }
    if (has_file(path, folder, "tokenizer.json")) {
        status = od_tokenizer_open_json(path, &tokenizer, err);
    } else if (has_file(path, folder, "tokenizer.model")) {
        status = od_tokenizer_open_spm(path, &tokenizer, err);
        if (status == OD_OK) {
            status = check_added(tokenizer, folder, err);
        }
    } else if (has_file(path, folder, "merges.txt") && has_file(path, folder, "vocab.json")) {
        status = open_files(folder, &tokenizer, err);
    } else {
        return od_fail(err, OD_E_NOT_FOUND,
                       "'%s' holds neither tokenizer.json nor tokenizer.model nor vocab.json with "
                       "merges.txt",
                       folder);
    }
    if (status == OD_OK) {
        status = apply_configs(tokenizer, folder, err);
    }
    if (status != OD_OK) {
        od_tokenizer_free(tokenizer);
        return status;
    }
    *ret = tokenizer;
    return OD_OK;
}

int32_t od_tokenizer_vocab_size(const struct od_tokenizer *tokenizer)
{
    return tokenizer->vocab.count;
}

int32_t od_tokenizer_bos(const struct od_tokenizer *tokenizer)
{
    return tokenizer->bos;
}

int32_t od_tokenizer_eos(const struct od_tokenizer *tokenizer)
{
    return tokenizer->eos;
}

void od_tokenizer_set_bos_eos(struct od_tokenizer *tokenizer, int32_t bos, int32_t eos)
{
    tokenizer->bos = bos;
    tokenizer->eos = eos;
}

int32_t od_tokenizer_find(const struct od_tokenizer *tokenizer, const char *piece, size_t size)
{
    return od_vocab_find(&tokenizer->vocab, piece, size);
}

bool od_tokenizer_is_special(const struct od_tokenizer *tokenizer, int32_t id)
{
    return id >= 0 && id < tokenizer->vocab.count && tokenizer->vocab.pieces[id].special;
}

const char *od_tokenizer_digest(const struct od_tokenizer *tokenizer)
{
    return tokenizer->digest;
}

static enum od_status encode_spm(const struct od_tokenizer *tokenizer, const char *text,
                                 size_t size, unsigned flags, struct od_ids *out,
                                 struct od_error *err)
{
    const bool special = (flags & OD_ENCODE_SPECIAL) != 0;
    for (size_t i = 0; i < tokenizer->before_count && special; i++) {
        od_ids_push(out, tokenizer->before_ids[i]);
    }
    const enum od_status status = od_spm_encode(tokenizer, text, size, out, err);
    for (size_t i = 0; i < tokenizer->after_count && special; i++) {
        od_ids_push(out, tokenizer->after_ids[i]);
    }
    return status == OD_OK ? od_ids_check(out, err) : status;
}

enum od_status od_tokenizer_encode(const struct od_tokenizer *tokenizer, const char *text,
                                   size_t size, unsigned flags, struct od_ids *out,
                                   struct od_error *err)
{
    const size_t before = out->count;
    enum od_status status = OD_OK;
    struct od_buf valid;
    od_buf_init(&valid, OD_SPLIT_MAX_BYTES);
    if (size > OD_SPLIT_MAX_BYTES) {
        return od_fail(err, OD_E_LIMIT, "a text of %zu bytes is longer than %zu", size,
                       OD_SPLIT_MAX_BYTES);
    }
    if (size == 0) {
        text = "";  // NULL is allowed
    }
    if (od_utf8_invalid_at(text, size) != size) {
        od_utf8_append_valid(&valid, text, size);
        status = od_buf_check(&valid, err);
        text = od_buf_text(&valid);
        size = valid.size;
    }
    if (status == OD_OK) {
        status = tokenizer->is_spm ? encode_spm(tokenizer, text, size, flags, out, err)
                                   : od_pipeline_encode(tokenizer, text, size, flags, out, err);
    }
    od_buf_release(&valid);
    if (status != OD_OK && !out->failed) {
        out->count = before;
    }
    return status;
}

enum od_status od_tokenizer_decode(const struct od_tokenizer *tokenizer, const int32_t *ids,
                                   size_t count, unsigned flags, struct od_buf *out,
                                   struct od_error *err)
{
    for (size_t i = 0; i < count; i++) {
        if (ids[i] < 0 || ids[i] >= tokenizer->vocab.count) {
            return od_fail(err, OD_E_ARGUMENT, "id %d is outside the vocabulary of %d", (int)ids[i],
                           (int)tokenizer->vocab.count);
        }
    }
    return tokenizer->is_spm ? od_spm_decode(tokenizer, ids, count, flags, out, err)
                             : od_pipeline_decode(tokenizer, ids, count, flags, out, err);
}
