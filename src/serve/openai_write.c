// Answers of the responder to bodies and events of OpenAI's API.

#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"
#include "formats/json.h"
#include "infer/responder.h"
#include "serve/fields.h"
#include "serve/openai.h"

/** A list of tokens that is written. */
struct listing {
    struct od_json_writer *w;
    const struct od_token_result *tokens;
    size_t count;
    int64_t top;
    bool prompt_first;  ///< a prompt: its first token has nothing before it and no log-probability
    bool finite;        ///< so far
};

static const char *finish_text(enum od_finish finish)
{
    return finish == OD_FINISH_LENGTH ? "length" : "stop";
}

static void put_logprob(struct listing *list, double logprob)
{
    const bool finite = isfinite(logprob) != 0;
    list->finite = list->finite && finite;
    od_json_put_number(list->w, finite ? logprob : 0.0);
}

static bool is_known(const struct listing *list, size_t index)
{
    return index > 0 || !list->prompt_first;
}

/** Alternatives of one token as an object; of those with one text the likeliest. */
static void put_top_object(struct listing *list, const struct od_token_result *token)
{
    od_json_object_begin(list->w);
    for (size_t i = 0; i < token->top_count && (int64_t)i < list->top; i++) {
        bool fresh = isfinite(token->top[i].logprob) != 0;
        for (size_t t = 0; t < i && fresh; t++) {
            fresh = strcmp(token->top[t].text, token->top[i].text) != 0;
        }
        if (fresh) {
            od_json_member_number(list->w, token->top[i].text, token->top[i].logprob);
        }
    }
    od_json_object_end(list->w);
}

/** {"tokens":[],"token_logprobs":[],"top_logprobs":[],"text_offset":[]} */
static void put_completion_logprobs(struct listing *list, int64_t *offset)
{
    struct od_json_writer *w = list->w;
    od_json_object_begin(w);
    od_json_key(w, "tokens");
    od_json_array_begin(w);
    for (size_t i = 0; i < list->count; i++) {
        od_json_put_text(w, list->tokens[i].text);
    }
    od_json_array_end(w);
    od_json_key(w, "token_logprobs");
    od_json_array_begin(w);
    for (size_t i = 0; i < list->count; i++) {
        if (is_known(list, i)) {
            put_logprob(list, list->tokens[i].logprob);
        } else {
            od_json_put_null(w);
        }
    }
    od_json_array_end(w);
    od_json_key(w, "top_logprobs");
    od_json_array_begin(w);
    for (size_t i = 0; i < list->count; i++) {
        if (is_known(list, i) && list->top > 0) {
            put_top_object(list, &list->tokens[i]);
        } else {
            od_json_put_null(w);
        }
    }
    od_json_array_end(w);
    od_json_key(w, "text_offset");
    od_json_array_begin(w);
    for (size_t i = 0; i < list->count; i++) {
        od_json_put_int(w, *offset > 0 ? *offset : 0);
        *offset += (int64_t)od_utf8_count(list->tokens[i].text, strlen(list->tokens[i].text));
    }
    od_json_array_end(w);
    od_json_object_end(w);
}

/** "token":...,"logprob":...,"bytes":[...] of an object that has begun. */
static void put_chat_token(struct listing *list, const char *text, double logprob)
{
    struct od_json_writer *w = list->w;
    od_json_member_text(w, "token", text);
    od_json_key(w, "logprob");
    put_logprob(list, logprob);
    od_json_key(w, "bytes");
    od_json_array_begin(w);
    for (const char *c = text; *c != '\0'; c++) {
        od_json_put_int(w, (unsigned char)*c);
    }
    od_json_array_end(w);
}

/** {"content":[{"token":...,"top_logprobs":[...]}]} */
static void put_chat_logprobs(struct listing *list)
{
    struct od_json_writer *w = list->w;
    od_json_object_begin(w);
    od_json_key(w, "content");
    od_json_array_begin(w);
    for (size_t i = 0; i < list->count; i++) {
        const struct od_token_result *token = &list->tokens[i];
        od_json_object_begin(w);
        put_chat_token(list, token->text, token->logprob);
        od_json_key(w, "top_logprobs");
        od_json_array_begin(w);
        for (size_t t = 0; t < token->top_count && (int64_t)t < list->top; t++) {
            if (isfinite(token->top[t].logprob)) {
                od_json_object_begin(w);
                put_chat_token(list, token->top[t].text, token->top[t].logprob);
                od_json_object_end(w);
            }
        }
        od_json_array_end(w);
        od_json_object_end(w);
    }
    od_json_array_end(w);
    od_json_object_end(w);
}

/** The member "logprobs" of a choice. */
static bool put_logprobs(struct od_json_writer *w, const struct od_openai_request *request,
                         struct listing list, int64_t *offset)
{
    list.w = w;
    list.top = request->top;
    list.finite = true;
    od_json_key(w, "logprobs");
    if (!request->logprobs) {
        od_json_put_null(w);
    } else if (request->is_chat) {
        put_chat_logprobs(&list);
    } else {
        put_completion_logprobs(&list, offset);
    }
    return list.finite;
}

/** id, object, created, model, and the beginning of the choices. */
static void begin(struct od_json_writer *w, struct od_buf *out, const struct od_openai_call *call,
                  bool is_event)
{
    const bool is_chat = call->request->is_chat;
    if (is_event) {
        od_buf_puts(out, "data: ");
    }
    od_json_writer_init(w, out, OD_JSON_COMPACT, /* ascii= */ false);
    od_json_object_begin(w);
    od_json_member_text(w, "id", call->id);
    od_json_member_text(w, "object",
                        !is_chat   ? "text_completion"
                        : is_event ? "chat.completion.chunk"
                                   : "chat.completion");
    od_json_member_int(w, "created", call->created_s);
    od_json_member_text(w, "model", call->model);
    od_json_key(w, "choices");
    od_json_array_begin(w);
}

static void put_usage(struct od_json_writer *w, const struct od_openai_call *call,
                      const struct od_process_result *const *results)
{
    const struct od_openai_request *request = call->request;
    int64_t prompt = 0;
    int64_t answer = 0;
    for (size_t i = 0; i < request->part_count; i++) {
        prompt += request->parts[i].sample == 0 ? results[i]->prompt_tokens : 0;
        answer += results[i]->answer_tokens;
    }
    od_json_key(w, "usage");
    od_json_object_begin(w);
    od_json_member_int(w, "prompt_tokens", prompt);
    od_json_member_int(w, "completion_tokens", answer);
    od_json_member_int(w, "total_tokens", prompt + answer);
    od_json_object_end(w);
}

/** Characters in front of a completion's first listed token: text_offset counts the prompt, whether
 *  it is in the text or not. */
static int64_t first_offset(const struct od_openai_request *request,
                            const struct od_process_request *part)
{
    if (!request->logprobs || request->is_chat || part->echo_prompt) {
        return 0;
    }
    return (int64_t)od_utf8_count(part->prompt, part->prompt_size);
}

/** Where an echo's first token stands: one that is not in the text takes no room there, so that the
 *  second stands at 0. */
static int64_t echo_offset(const struct listing *list, const char *text, size_t size)
{
    const char *first = list->count > 0 ? list->tokens[0].text : "";
    const size_t length = strlen(first);
    return length <= size && memcmp(text, first, length) == 0
               ? 0
               : -(int64_t)od_utf8_count(first, length);
}

/** Choice `index`, which part `part` answers. */
static bool put_choice(struct od_json_writer *w, const struct od_openai_request *request,
                       size_t index, size_t part, const struct od_process_result *result)
{
    const struct listing list = {.tokens = result->tokens,
                                 .count = result->token_count,
                                 .prompt_first = request->parts[part].echo_prompt};
    int64_t offset = first_offset(request, &request->parts[part]);
    if (list.prompt_first) {
        offset = echo_offset(&list, result->text, result->text_size);
    }
    od_json_object_begin(w);
    od_json_member_int(w, "index", (int64_t)index);
    if (request->is_chat) {
        od_json_key(w, "message");
        od_json_object_begin(w);
        od_json_member_text(w, "role", "assistant");
        od_json_key(w, "content");
        od_json_put_text_n(w, result->text, result->text_size);
        od_json_object_end(w);
    } else {
        od_json_key(w, "text");
        od_json_put_text_n(w, result->text, result->text_size);
    }
    const bool finite = put_logprobs(w, request, list, &offset);
    od_json_member_text(w, "finish_reason", finish_text(result->finish));
    od_json_object_end(w);
    return finite;
}

/** What ranks answers of different lengths. One without a token says nothing: it comes last. */
static double logprob_per_token(const struct od_process_result *result)
{
    return result->answer_tokens > 0 ? result->logprob / (double)result->answer_tokens : -HUGE_VAL;
}

/** The samples of one prompt in the order in which they are answers; of equals the earlier first. */
static void rank_samples(const struct od_openai_request *request,
                         const struct od_process_result *const *results,
                         size_t order[OD_OPENAI_SAMPLES_MAX])
{
    for (size_t i = 0; i < request->samples; i++) {
        size_t at = i;
        // All of them are wanted: each keeps its place.
        for (; at > 0 && request->samples > request->answers &&
               logprob_per_token(results[i]) > logprob_per_token(results[order[at - 1]]);
             at--) {
            order[at] = order[at - 1];
        }
        order[at] = i;
    }
}

/** The choices of all prompts; false when a number is not finite. */
static bool put_choices(struct od_json_writer *w, const struct od_openai_request *request,
                        const struct od_process_result *const *results)
{
    size_t order[OD_OPENAI_SAMPLES_MAX] = {0};
    size_t index = 0;
    bool finite = true;
    for (size_t first = 0; first < request->part_count; first += request->samples) {
        rank_samples(request, results + first, order);
        for (size_t i = first; i < first + request->samples; i++) {
            finite = finite && isfinite(results[i]->logprob);  // else there is no order
        }
        for (size_t i = 0; i < request->answers; i++, index++) {
            const size_t part = first + order[i];
            finite = put_choice(w, request, index, part, results[part]) && finite;
        }
    }
    return finite;
}

enum od_status od_openai_write(struct od_buf *out, const struct od_openai_call *call,
                               const struct od_process_result *const *results, struct od_error *err)
{
    struct od_json_writer w;
    begin(&w, out, call, /* is_event= */ false);
    const bool finite = put_choices(&w, call->request, results);
    od_json_array_end(&w);
    put_usage(&w, call, results);
    od_json_object_end(&w);
    if (!finite) {
        return od_fail(err, OD_E_REFUSED, "the model's answer holds a number that is not finite");
    }
    return OD_OK;
}

static void end_event(struct od_json_writer *w)
{
    od_json_array_end(w);
    od_json_object_end(w);
    od_buf_puts(w->out, "\n\n");
}

/** One choice of an event: the text, or a conversation's delta. */
static void put_delta(struct od_json_writer *w, const struct od_openai_request *request,
                      const char *role, const char *text, size_t size)
{
    if (!request->is_chat) {
        od_json_key(w, "text");
        od_json_put_text_n(w, text, size);
        return;
    }
    od_json_key(w, "delta");
    od_json_object_begin(w);
    if (role) {
        od_json_member_text(w, "role", role);
    }
    if (role || size > 0) {
        od_json_key(w, "content");
        od_json_put_text_n(w, text, size);
    }
    od_json_object_end(w);
}

enum od_status od_openai_write_piece(struct od_buf *out, const struct od_openai_call *call,
                                     size_t index, const struct od_piece *piece, int64_t *offset,
                                     struct od_error *err)
{
    const struct od_openai_request *request = call->request;
    const struct listing list = {
        .tokens = piece->tokens, .count = piece->token_count, .prompt_first = piece->is_prompt};
    struct od_json_writer w;
    const int64_t before = first_offset(request, &request->parts[index]);
    int64_t at = before + *offset;
    if (piece->is_prompt) {
        at = echo_offset(&list, piece->text, piece->size);
    }
    begin(&w, out, call, /* is_event= */ true);
    od_json_object_begin(&w);
    od_json_member_int(&w, "index", (int64_t)index);
    put_delta(&w, request, NULL, piece->text, piece->size);
    const bool finite = put_logprobs(&w, request, list, &at);
    od_json_key(&w, "finish_reason");
    od_json_put_null(&w);
    od_json_object_end(&w);
    end_event(&w);
    *offset = at - before;
    if (!finite) {
        return od_fail(err, OD_E_REFUSED, "the model's answer holds a number that is not finite");
    }
    return OD_OK;
}

void od_openai_write_begin(struct od_buf *out, const struct od_openai_call *call, size_t index)
{
    struct od_json_writer w;
    if (!call->request->is_chat) {
        return;
    }
    begin(&w, out, call, /* is_event= */ true);
    od_json_object_begin(&w);
    od_json_member_int(&w, "index", (int64_t)index);
    put_delta(&w, call->request, "assistant", "", 0);
    od_json_key(&w, "finish_reason");
    od_json_put_null(&w);
    od_json_object_end(&w);
    end_event(&w);
}

void od_openai_write_end(struct od_buf *out, const struct od_openai_call *call, size_t index,
                         enum od_finish finish)
{
    struct od_json_writer w;
    begin(&w, out, call, /* is_event= */ true);
    od_json_object_begin(&w);
    od_json_member_int(&w, "index", (int64_t)index);
    put_delta(&w, call->request, NULL, "", 0);
    od_json_key(&w, "logprobs");
    od_json_put_null(&w);
    od_json_member_text(&w, "finish_reason", finish_text(finish));
    od_json_object_end(&w);
    end_event(&w);
}

void od_openai_write_done(struct od_buf *out, const struct od_openai_call *call,
                          const struct od_process_result *const *results)
{
    struct od_json_writer w;
    if (call->request->stream_usage) {
        begin(&w, out, call, /* is_event= */ true);
        od_json_array_end(&w);
        put_usage(&w, call, results);
        od_json_object_end(&w);
        od_buf_puts(out, "\n\n");
    }
    od_buf_puts(out, "data: [DONE]\n\n");
}

static void member_or_null(struct od_json_writer *w, const char *key, const char *text)
{
    od_json_key(w, key);
    if (text) {
        od_json_put_text(w, text);
    } else {
        od_json_put_null(w);
    }
}

void od_openai_write_error(struct od_buf *out, const char *message, const char *type,
                           const char *param, const char *code, bool as_event)
{
    struct od_json_writer w;
    if (as_event) {
        od_buf_puts(out, "data: ");
    }
    od_json_writer_init(&w, out, OD_JSON_COMPACT, /* ascii= */ false);
    od_json_object_begin(&w);
    od_json_key(&w, "error");
    od_json_object_begin(&w);
    od_json_member_text(&w, "message", message);
    od_json_member_text(&w, "type", type);
    member_or_null(&w, "param", param);
    member_or_null(&w, "code", code);
    od_json_object_end(&w);
    od_json_object_end(&w);
    if (as_event) {
        od_buf_puts(out, "\n\n");
    }
}

void od_openai_write_detail(struct od_buf *out, const struct od_buf *detail)
{
    json_t *root = NULL;
    struct od_buf message;
    od_buf_init(&message, OD_DETAIL_MAX_BYTES);
    const enum od_status status =
        od_json_parse(od_buf_text(detail), detail->size, "detail", &root, NULL);
    const json_t *first =
        status == OD_OK ? json_array_get(json_object_get(root, "detail"), 0) : NULL;
    const json_t *loc = json_object_get(first, "loc");
    const char *text = json_string_value(json_object_get(first, "msg"));
    const char *param = json_string_value(json_array_get(loc, 1));
    const json_t *item = json_array_get(loc, 2);
    if (param) {
        od_buf_printf(&message, "'%s'", param);
    } else {
        od_buf_puts(&message, "the body");
    }
    if (json_is_integer(item)) {
        od_buf_printf(&message, ", item %lld", (long long)json_integer_value(item));
    }
    od_buf_printf(&message, ": %s", text ? text : "it is not understood");
    od_openai_write_error(out, od_buf_text(&message), "invalid_request_error", param, NULL,
                          /* as_event= */ false);
    od_buf_release(&message);
    json_decref(root);
}

static void put_model(struct od_json_writer *w, const char *name, const char *parent,
                      int64_t created_s)
{
    od_json_object_begin(w);
    od_json_member_text(w, "id", name);
    od_json_member_text(w, "object", "model");
    od_json_member_int(w, "created", created_s);
    od_json_member_text(w, "owned_by", "oneday");
    member_or_null(w, "parent", parent);
    od_json_object_end(w);
}

void od_openai_write_models(struct od_buf *out, const struct od_responder *responder,
                            int64_t created_s)
{
    struct od_json_writer w;
    od_json_writer_init(&w, out, OD_JSON_COMPACT, /* ascii= */ false);
    od_json_object_begin(&w);
    od_json_member_text(&w, "object", "list");
    od_json_key(&w, "data");
    od_json_array_begin(&w);
    put_model(&w, responder->model_name, NULL, created_s);
    for (size_t i = 0; i < responder->adapter_count; i++) {
        put_model(&w, responder->adapters[i], responder->model_name, created_s);
    }
    od_json_array_end(&w);
    od_json_object_end(&w);
}

bool od_openai_write_model(struct od_buf *out, const struct od_responder *responder,
                           const char *name, int64_t created_s)
{
    struct od_json_writer w;
    od_json_writer_init(&w, out, OD_JSON_COMPACT, /* ascii= */ false);
    if (strcmp(name, responder->model_name) == 0) {
        put_model(&w, name, NULL, created_s);
        return true;
    }
    for (size_t i = 0; i < responder->adapter_count; i++) {
        if (strcmp(name, responder->adapters[i]) == 0) {
            put_model(&w, name, responder->model_name, created_s);
            return true;
        }
    }
    return false;
}
