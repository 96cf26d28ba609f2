/**
 * @file
 * Chat templates: messages to the text of a prompt, and a prompt's text to ids.
 *
 * A template is one of the built-in ones, by name (chatml, llama2, llama3, mistral, zephyr, vicuna,
 * alpaca), the one that a model brings (chat_template.jinja, else `chat_template` in
 * tokenizer_config.json), or any Jinja text. It sees `messages`, `add_generation_prompt`,
 * `bos_token`, `eos_token` and `tools` (absent unless they are given), as transformers gives them.
 *
 * Training and serving make ids of a prompt with the same function, od_prompt_encode: BOS is in
 * front once, whether the template writes it or the tokenizer adds it.
 *
 * @source transformers' documentation of chat templates.
 * @thread A template may be used from several threads at once.
 */
#ifndef OD_TEXT_CHAT_TEMPLATE_H
#define OD_TEXT_CHAT_TEMPLATE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/memory.h"
#include "base/status.h"
#include "text/tokenizer.h"

/** A template that is ready for use. */
struct od_chat_template;

/**
 * The built-in template `text` names ("llama-2", "llama-3" and "inst" are names, too), or a template
 * from Jinja text, which has "{{" or "{%" in it.
 * @memory Gives *ret: od_chat_template_free.
 * @error  OD_E_NOT_FOUND for an unknown name, with those that are known; as od_jinja_parse.
 */
enum od_status od_chat_template_create(const char *text, struct od_chat_template **ret,
                                       struct od_error *err) OD_MUST_CHECK;
/** The template of a model folder or a GGUF file; OD_E_NOT_FOUND when it has none. @memory As above. */
enum od_status od_chat_template_read(const char *folder, struct od_chat_template **ret,
                                     struct od_error *err) OD_MUST_CHECK;
/** NULL is allowed. */
void od_chat_template_free(struct od_chat_template *chat_template);
/** "chatml", or the file that it comes from. @memory Borrowed. */
const char *od_chat_template_name(const struct od_chat_template *chat_template);

/** What is rendered. */
struct od_chat {
    const json_t *messages;      ///< array of objects with `role`, `content` and more
    const json_t *tools;         ///< array, or NULL
    bool add_generation_prompt;  ///< end with what an answer goes behind
};

/**
 * Append the text of a conversation. `tokenizer` knows what BOS and EOS look like; NULL: both empty.
 * @error As od_jinja_render.
 */
enum od_status od_chat_template_render(const struct od_chat_template *chat_template,
                                       const struct od_chat *chat,
                                       const struct od_tokenizer *tokenizer, struct od_buf *out,
                                       struct od_error *err) OD_MUST_CHECK;

/**
 * Append the ids of a prompt's text: with what the tokenizer's post-processor adds, unless the text
 * starts with BOS by itself. @error As od_tokenizer_encode.
 */
enum od_status od_prompt_encode(const struct od_tokenizer *tokenizer, const char *text, size_t size,
                                struct od_ids *out, struct od_error *err) OD_MUST_CHECK;

#endif
