// Where a model's template stands:
//
//   chat_template.jinja      the template itself; it comes first
//   tokenizer_config.json    "chat_template": a text, or a list of {"name": ..., "template": ...}, of
//                            which the one named "default" is taken
#include "text/chat_template.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/status.h"
#include "formats/gguf.h"
#include "formats/json.h"
#include "text/chat_template_texts.h"
#include "text/jinja.h"
#include "text/tokenizer.h"

enum {
    TOKEN_MAX_BYTES = 4096,
    TEXT_COUNT = sizeof od_chat_template_texts / sizeof od_chat_template_texts[0]
};

struct od_chat_template {
    char *name;
    struct od_jinja *jinja;
};

/** Other names of built-in templates. */
static const char *const aliases[][2] = {{"llama-2", "llama2"},     {"llama-3", "llama3"},
                                         {"inst", "mistral"},       {"mistral_v1", "mistral"},
                                         {"vicuna_v1.1", "vicuna"}, {"vicuna_v1", "vicuna"}};

static enum od_status parse(const char *text, size_t size, const char *name,
                            struct od_chat_template **ret, struct od_error *err)
{
    struct od_chat_template *made = od_alloc(1, sizeof *made);
    enum od_status status = OD_E_MEMORY;
    if (made && (made->name = od_strdup(name)) != NULL) {
        status = od_jinja_parse(text, size, name, &made->jinja, err);
    } else {
        od_error_set(err, status, "no memory for a chat template");
    }
    if (status != OD_OK) {
        od_chat_template_free(made);
        return status;
    }
    *ret = made;
    return OD_OK;
}

enum od_status od_chat_template_create(const char *text, struct od_chat_template **ret,
                                       struct od_error *err)
{
    const char *name = text;
    if (strstr(text, "{{") || strstr(text, "{%")) {
        return parse(text, strlen(text), "chat_template", ret, err);
    }
    for (size_t i = 0; i < sizeof aliases / sizeof aliases[0]; i++) {
        name = strcmp(text, aliases[i][0]) == 0 ? aliases[i][1] : name;
    }
    for (size_t i = 0; i < TEXT_COUNT; i++) {
        const struct od_chat_template_text *known = &od_chat_template_texts[i];
        if (strcmp(name, known->name) == 0) {
            return parse(known->text, strlen(known->text), known->name, ret, err);
        }
    }
    return od_fail(err, OD_E_NOT_FOUND,
                   "there is no chat template '%.60s': it must be chatml, llama2, llama3, mistral, "
                   "zephyr, vicuna, alpaca, tokenizer_default (the model's own) or a Jinja text",
                   text);
}

static enum od_status parse_member(const json_t *member, const char *path,
                                   struct od_chat_template **ret, struct od_error *err)
{
    for (size_t i = 0; i < json_array_size(member); i++) {
        const json_t *entry = json_array_get(member, i);
        const char *name = json_string_value(json_object_get(entry, "name"));
        if (name && strcmp(name, "default") == 0) {
            member = json_object_get(entry, "template");
            break;
        }
    }
    if (!json_is_string(member)) {
        return od_fail(err, OD_E_FORMAT,
                       "'%s': 'chat_template' must be a text, or a list with a 'default'", path);
    }
    return parse(json_string_value(member), json_string_length(member), path, ret, err);
}

static enum od_status no_template(const char *model, struct od_error *err)
{
    return od_fail(
        err, OD_E_NOT_FOUND,
        "the model in '%s' brings no chat template: name one by "
        "--chat-template, in a recipe by chat_template: chatml, llama2, llama3, mistral, "
        "zephyr, vicuna or alpaca",
        model);
}

static enum od_status read_gguf(const char *file, struct od_chat_template **ret,
                                struct od_error *err)
{
    struct od_gguf *gguf = NULL;
    const char *text = NULL;
    enum od_status status = od_gguf_open(file, &gguf, err);
    if (status == OD_OK) {
        status = od_gguf_text_or(gguf, "tokenizer.chat_template", "", &text, err);
    }
    if (status == OD_OK) {
        status =
            text[0] == '\0' ? no_template(file, err) : parse(text, strlen(text), file, ret, err);
    }
    od_gguf_close(gguf);
    return status;
}

enum od_status od_chat_template_read(const char *folder, struct od_chat_template **ret,
                                     struct od_error *err)
{
    char path[OD_PATH_MAX_BYTES];
    char *text = NULL;
    size_t size = 0;
    json_t *config = NULL;
    if (od_gguf_is_path(folder)) {
        return read_gguf(folder, ret, err);
    }
    enum od_status status = od_path_join(path, folder, "chat_template.jinja", err);
    if (status == OD_OK && od_path_exists(path)) {
        status = od_file_read(path, OD_JINJA_TEMPLATE_MAX_BYTES, &text, &size, err);
        if (status == OD_OK) {
            status = parse(text, size, path, ret, err);
        }
        od_free(text);
        return status;
    }
    if (status == OD_OK) {
        status = od_path_join(path, folder, "tokenizer_config.json", err);
    }
    if (status == OD_OK && od_path_exists(path)) {
        status = od_json_read(path, &config, err);
    }
    if (status == OD_OK) {
        const json_t *member = json_object_get(config, "chat_template");
        if (member && !json_is_null(member)) {
            status = parse_member(member, path, ret, err);
        } else {
            status = no_template(folder, err);
        }
    }
    json_decref(config);
    return status;
}

void od_chat_template_free(struct od_chat_template *chat_template)
{
    if (chat_template) {
        od_jinja_free(chat_template->jinja);
        od_free(chat_template->name);
        od_free(chat_template);
    }
}

const char *od_chat_template_name(const struct od_chat_template *chat_template)
{
    return chat_template->name;
}

// The text of a token; "" for none.
static enum od_status token_text(const struct od_tokenizer *tokenizer, int32_t id,
                                 struct od_buf *out, struct od_error *err)
{
    od_buf_init(out, TOKEN_MAX_BYTES);
    if (id < 0) {
        return OD_OK;
    }
    const enum od_status status = od_tokenizer_decode(tokenizer, &id, 1, OD_DECODE_RAW, out, err);
    return status == OD_OK ? od_buf_check(out, err) : status;
}

static bool set_member(json_t *object, const char *key, const json_t *shared)
{
    // A reference more: the template only reads.
    return json_object_set(object, key, (json_t *)(uintptr_t)shared) == 0;
}

enum od_status od_chat_template_render(const struct od_chat_template *chat_template,
                                       const struct od_chat *chat,
                                       const struct od_tokenizer *tokenizer, struct od_buf *out,
                                       struct od_error *err)
{
    struct od_buf bos;
    struct od_buf eos;
    json_t *variables = json_object();
    enum od_status status =
        token_text(tokenizer, tokenizer ? od_tokenizer_bos(tokenizer) : -1, &bos, err);
    const enum od_status eos_status =
        token_text(tokenizer, tokenizer ? od_tokenizer_eos(tokenizer) : -1, &eos,
                   status == OD_OK ? err : NULL);
    status = status == OD_OK ? eos_status : status;
    if (status == OD_OK &&
        (!variables || !set_member(variables, "messages", chat->messages) ||
         (chat->tools && !set_member(variables, "tools", chat->tools)) ||
         json_object_set_new(variables, "add_generation_prompt",
                             json_boolean(chat->add_generation_prompt)) != 0 ||
         json_object_set_new(variables, "bos_token",
                             json_stringn_nocheck(od_buf_text(&bos), bos.size)) != 0 ||
         json_object_set_new(variables, "eos_token",
                             json_stringn_nocheck(od_buf_text(&eos), eos.size)) != 0)) {
        status = od_fail(err, OD_E_MEMORY, "no memory for a conversation");
    }
    if (status == OD_OK) {
        status = od_jinja_render(chat_template->jinja, variables, out, err);
    }
    json_decref(variables);
    od_buf_release(&bos);
    od_buf_release(&eos);
    return status;
}

enum od_status od_prompt_encode(const struct od_tokenizer *tokenizer, const char *text, size_t size,
                                struct od_ids *out, struct od_error *err)
{
    struct od_buf bos;
    enum od_status status = token_text(tokenizer, od_tokenizer_bos(tokenizer), &bos, err);
    if (status == OD_OK) {
        const bool there =
            bos.size > 0 && size >= bos.size && memcmp(text, bos.bytes, bos.size) == 0;
        status = od_tokenizer_encode(tokenizer, text, size,
                                     there ? OD_ENCODE_PLAIN : OD_ENCODE_SPECIAL, out, err);
    }
    od_buf_release(&bos);
    return status;
}
