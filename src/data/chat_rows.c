// Conversations to turns. For each answer k of the assistant the template is rendered twice:
//
//   prompt   messages[.. k) with add_generation_prompt      what serving sends to the model
//   whole    messages[.. k] without                         must start with the prompt
//
// What `whole` has more, without white space at its end, is what the model must say: the answer with
// what ends a turn. The texts of one conversation share a buffer as long as each prompt starts with
// the one before it and its answer; where one does not (a template that leaves earlier thoughts out),
// it stands in the buffer anew.
#include <inttypes.h>
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"
#include "data/dataset.h"
#include "data/rows.h"
#include "text/chat_template.h"

/** Bytes that the renderings of one conversation may have together. */
#define RENDERED_MAX_BYTES ((size_t)1 << 30)

/** A conversation in the middle of being rendered. */
struct renderer {
    struct od_rows *rows;
    const struct od_row *row;
    struct od_chat chat;
    size_t chain_at;  // in rows->made: where the last prompt starts
    size_t rendered_bytes;
};

const char *od_role_name(const char *role)
{
    static const char *const names[][2] = {{"human", "user"},      {"prompter", "user"},
                                           {"gpt", "assistant"},   {"chatgpt", "assistant"},
                                           {"bing", "assistant"},  {"bard", "assistant"},
                                           {"model", "assistant"}, {"bot", "assistant"}};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(role, names[i][0]) == 0) {
            return names[i][1];
        }
    }
    return role;
}

static enum od_status no_memory(const struct od_rows *rows, int64_t line, struct od_error *err)
{
    return od_fail(err, OD_E_MEMORY, "%s:%" PRId64 ": no memory for the conversation", rows->name,
                   line);
}

static enum od_status render(struct renderer *r, bool prompt, struct od_error *err)
{
    const struct od_rows_options *options = &r->rows->options;
    struct od_buf *out = &r->rows->other;
    const size_t before = out->size;
    r->chat.add_generation_prompt = prompt;
    const enum od_status status =
        od_chat_template_render(options->chat_template, &r->chat, options->tokenizer, out, err);
    if (status != OD_OK) {
        od_error_prefix(err, "%s:%" PRId64 ": %s of the conversation", r->rows->name, r->row->line,
                        prompt ? "the prompt" : "the text");
        return status;
    }
    r->rendered_bytes += out->size - before;
    return r->rendered_bytes <= RENDERED_MAX_BYTES
               ? OD_OK
               : od_fail(err, OD_E_LIMIT, "%s:%" PRId64 ": the conversation is too large",
                         r->rows->name, r->row->line);
}

// Put the prompt [0, prompt_size) and the answer behind it in rows->other into rows->made.
static struct od_turn_place place(struct renderer *r, size_t prompt_size, const char *answer,
                                  size_t answer_size)
{
    struct od_buf *made = &r->rows->made;
    const char *prompt = r->rows->other.bytes;
    const size_t shared = made->size - r->chain_at;
    const bool goes_on = shared <= prompt_size &&
                         (shared == 0 || memcmp(made->bytes + r->chain_at, prompt, shared) == 0);
    if (goes_on) {
        od_buf_append(made, prompt + shared, prompt_size - shared);
    } else {
        r->chain_at = made->size;
        od_buf_append(made, prompt, prompt_size);
    }
    const struct od_turn_place result = {.prompt_at = r->chain_at,
                                         .prompt_size = prompt_size,
                                         .answer_at = made->size,
                                         .answer_size = answer_size};
    od_buf_append(made, answer, answer_size);
    return result;
}

// Render the answer `message`, in front of which r->chat.messages stand; it is appended to them.
static enum od_status render_answer(struct renderer *r, json_t *before, json_t *message,
                                    struct od_turn_place *ret, struct od_error *err)
{
    struct od_buf *out = &r->rows->other;
    od_buf_reset(out);
    enum od_status status = render(r, true, err);
    const size_t prompt_size = out->size;
    if (status == OD_OK && json_array_append(before, message) != 0) {
        status = no_memory(r->rows, r->row->line, err);
    }
    if (status == OD_OK) {
        status = render(r, false, err);
    }
    if (status != OD_OK) {
        return status;
    }
    const char *whole = out->bytes + prompt_size;
    const size_t whole_size = out->size - prompt_size;
    if (whole_size < prompt_size ||
        (prompt_size > 0 && memcmp(whole, out->bytes, prompt_size) != 0)) {
        return od_fail(err, OD_E_UNSUPPORTED,
                       "%s:%" PRId64
                       ": the chat template '%s' does not put an answer behind its "
                       "prompt: what is learned would not be what is served",
                       r->rows->name, r->row->line,
                       od_chat_template_name(r->rows->options.chat_template));
    }
    const char *answer = whole + prompt_size;
    *ret = place(r, prompt_size, answer, od_rstrip_size(answer, whole_size - prompt_size));
    return od_buf_check(&r->rows->made, err);
}

static bool has_role(const json_t *message, const char *wanted)
{
    const char *role = json_string_value(json_object_get(message, "role"));
    return role && strcmp(role, wanted) == 0;
}

static bool is_blank(const json_t *message)
{
    const json_t *content = json_object_get(message, "content");
    const char *text = json_is_string(content) ? json_string_value(content) : "";
    size_t size = json_is_string(content) ? json_string_length(content) : 0;
    od_strip(&text, &size);
    return size == 0 && !json_is_array(content) && !json_object_get(message, "tool_calls");
}

enum od_status od_rows_read_messages(struct od_rows *rows, const json_t *messages,
                                     const bool *learn, struct od_row *row, struct od_error *err)
{
    json_t *before = json_array();
    struct renderer r = {.rows = rows, .row = row, .chat = {.messages = before}};
    const json_t *tools = rows->object ? json_object_get(rows->object, "tools") : NULL;
    enum od_status status = before ? OD_OK : no_memory(rows, row->line, err);
    size_t count = 0;
    r.chat.tools = json_is_array(tools) ? tools : NULL;
    od_buf_reset(&rows->made);
    for (size_t k = 0; status == OD_OK && k < json_array_size(messages); k++) {
        json_t *message = json_array_get(messages, k);
        if (k > 0 && learn[k] && has_role(message, "assistant") && !is_blank(message)) {
            status = render_answer(&r, before, message, &rows->places[count++], err);
        } else if (json_array_append(before, message) != 0) {
            status = no_memory(rows, row->line, err);
        }
    }
    json_decref(before);
    for (size_t i = 0; status == OD_OK && i < count; i++) {
        const struct od_turn_place *p = &rows->places[i];
        (void)od_rows_add_turn(row, rows->turns, rows->made.bytes + p->prompt_at, p->prompt_size,
                               rows->made.bytes + p->answer_at, p->answer_size);
    }
    return status;
}

// A message with `role` and `content`, and its other members.
static json_t *make_message(const json_t *from, const char *role_key, const char *content_key)
{
    const char *role = json_string_value(json_object_get(from, role_key));
    json_t *made = json_copy((json_t *)(uintptr_t)from);  // shallow; Jansson takes no const
    json_t *content = json_object_get(from, content_key);
    bool ok = made != NULL;
    if (ok && strcmp(content_key, "content") != 0 && content) {
        ok = json_object_set(made, "content", content) == 0;
        (void)json_object_del(made, content_key);
    }
    if (ok && strcmp(role_key, "role") != 0) {
        (void)json_object_del(made, role_key);
    }
    ok = ok && json_object_set_new(made, "role", json_string(od_role_name(role))) == 0;
    if (!ok) {
        json_decref(made);
    }
    return ok ? made : NULL;
}

static bool is_content(const json_t *content)
{
    return json_is_string(content) || json_is_array(content) || json_is_null(content);
}

// Append the messages of a row to `to`, without those of the assistant that answer nobody.
static enum od_status add_messages(const struct od_rows *rows, const struct od_row *row,
                                   const json_t *from, json_t *to, struct od_error *err)
{
    const struct od_dataset_fields *fields = &rows->options.spec->fields;
    bool started = false;  // somebody has said something
    if (json_array_size(from) > OD_ROWS_TURNS_MAX - 1) {
        return od_fail(err, OD_E_LIMIT, "%s:%" PRId64 ": more than %d messages", rows->name,
                       row->line, OD_ROWS_TURNS_MAX - 1);
    }
    for (size_t i = 0; i < json_array_size(from); i++) {
        const json_t *message = json_array_get(from, i);
        const char *role_key = json_object_get(message, "from") ? "from" : "role";
        role_key = fields->role ? fields->role : role_key;
        const char *content_key = json_object_get(message, "value") ? "value" : "content";
        content_key = fields->content ? fields->content : content_key;
        const json_t *content = json_object_get(message, content_key);
        if (!json_is_string(json_object_get(message, role_key)) ||
            (content ? !is_content(content) : !json_object_get(message, "tool_calls"))) {
            return od_fail(err, OD_E_FORMAT,
                           "%s:%" PRId64 ": message %zu needs the texts '%s' and '%s'", rows->name,
                           row->line, i + 1, role_key, content_key);
        }
        json_t *made = make_message(message, role_key, content_key);
        if (!made) {
            return no_memory(rows, row->line, err);
        }
        started = started || !(has_role(made, "assistant") || has_role(made, "system"));
        if (!started && has_role(made, "assistant")) {
            json_decref(made);
        } else if (json_array_append_new(to, made) != 0) {
            return no_memory(rows, row->line, err);
        }
    }
    return OD_OK;
}

// A system text beside the messages goes in front of them, unless they have one.
static enum od_status add_system(const struct od_rows *rows, const struct od_row *row,
                                 const json_t *messages, json_t *to, struct od_error *err)
{
    const char *key = rows->options.spec->fields.system;
    const json_t *system = json_object_get(rows->object, key ? key : "system");
    const json_t *first = json_array_get(messages, 0);
    const char *role = json_string_value(json_object_get(first, "role"));
    role = role ? role : json_string_value(json_object_get(first, "from"));
    if (!json_is_string(system) || json_string_length(system) == 0 ||
        (role && strcmp(role, "system") == 0)) {
        return OD_OK;
    }
    json_t *made = json_pack("{s:s, s:O}", "role", "system", "content", system);
    return made && json_array_append_new(to, made) == 0 ? OD_OK : no_memory(rows, row->line, err);
}

enum od_status od_rows_read_chat(struct od_rows *rows, struct od_row *row, struct od_error *err)
{
    const char *key = rows->options.spec->fields.messages;
    if (!key) {
        key = json_object_get(rows->object, "conversations") ? "conversations" : "messages";
    }
    const json_t *from = json_object_get(rows->object, key);
    bool learn[OD_ROWS_TURNS_MAX];
    if (!json_is_array(from)) {
        return od_fail(err, OD_E_FORMAT, "%s:%" PRId64 ": a row needs the list '%s'", rows->name,
                       row->line, key);
    }
    memset(learn, 1, sizeof learn);
    json_t *messages = json_array();
    enum od_status status = messages ? OD_OK : no_memory(rows, row->line, err);
    if (status == OD_OK) {
        status = add_system(rows, row, from, messages, err);
    }
    if (status == OD_OK) {
        status = add_messages(rows, row, from, messages, err);
    }
    if (status == OD_OK) {
        status = od_rows_read_messages(rows, messages, learn, row, err);
    }
    json_decref(messages);
    return status;
}
