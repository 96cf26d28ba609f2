// Bodies of OpenAI's API to requests of the responder.

#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "formats/json.h"
#include "infer/responder.h"
#include "serve/fields.h"
#include "serve/openai.h"
#include "text/chat_template.h"

enum { TEMPERATURE_MAX = 100, CHAT_TOP_MAX = 20, PROMPT_TEXT_MAX_BYTES = OD_PROMPT_MAX_BYTES };

// Fields that both have come first.
enum field {
    FIELD_MODEL,
    FIELD_TEMPERATURE,
    FIELD_TOP_P,
    FIELD_TOP_K,
    FIELD_MIN_P,
    FIELD_N,
    FIELD_BEST_OF,
    FIELD_STREAM,
    FIELD_STREAM_OPTIONS,
    FIELD_STOP,
    FIELD_SEED,
    FIELD_MAX_TOKENS,
    FIELD_PROMPT,
    FIELD_LOGPROBS,
    FIELD_ECHO,
    COMPLETION_COUNT
};
enum chat_field {
    FIELD_MESSAGES = FIELD_PROMPT,
    FIELD_CHAT_LOGPROBS,
    FIELD_TOP_LOGPROBS,
    FIELD_MAX_COMPLETION_TOKENS,
    FIELD_TOOLS,
    CHAT_COUNT
};

#define SHARED_FIELDS                                                                           \
    [FIELD_MODEL] = {.name = "model",                                                           \
                     .kind = OD_FIELD_TEXT,                                                     \
                     .is_name = true,                                                           \
                     .nullable = true,                                                          \
                     .no_default = true,                                                        \
                     .help = "one of /v1/models; the first where it is not given"},             \
    [FIELD_TEMPERATURE] = {.name = "temperature",                                               \
                           .kind = OD_FIELD_NUMBER,                                             \
                           .nullable = true,                                                    \
                           .fallback = 1,                                                       \
                           .number_max = TEMPERATURE_MAX,                                       \
                           .help = "divides the logits; 0 takes the likeliest token"},          \
    [FIELD_TOP_P] = {.name = "top_p",                                                           \
                     .kind = OD_FIELD_NUMBER,                                                   \
                     .nullable = true,                                                          \
                     .fallback = 1,                                                             \
                     .number_max = 1,                                                           \
                     .help = "sample among the likeliest tokens that have this probability"},   \
    [FIELD_TOP_K] = {.name = "top_k",                                                           \
                     .kind = OD_FIELD_INT,                                                      \
                     .nullable = true,                                                          \
                     .min = -1,                                                                 \
                     .max = INT32_MAX,                                                          \
                     .help = "sample among the k likeliest tokens; 0 or -1: among all"},        \
    [FIELD_MIN_P] = {.name = "min_p",                                                           \
                     .kind = OD_FIELD_NUMBER,                                                   \
                     .nullable = true,                                                          \
                     .number_max = 1,                                                           \
                     .help = "leave out what is below this share of the likeliest token"},      \
    [FIELD_N] = {.name = "n",                                                                   \
                 .kind = OD_FIELD_INT,                                                          \
                 .nullable = true,                                                              \
                 .fallback = 1,                                                                 \
                 .min = 1,                                                                      \
                 .max = OD_OPENAI_SAMPLES_MAX,                                                  \
                 .help = "answers to each prompt"},                                             \
    [FIELD_BEST_OF] = {.name = "best_of",                                                       \
                       .kind = OD_FIELD_INT,                                                    \
                       .nullable = true,                                                        \
                       .no_default = true,                                                      \
                       .min = 1,                                                                \
                       .max = OD_OPENAI_SAMPLES_MAX,                                            \
                       .help = "make so many, answer with the n likeliest, best first"},        \
    [FIELD_STREAM] = {.name = "stream",                                                         \
                      .kind = OD_FIELD_BOOL,                                                    \
                      .nullable = true,                                                         \
                      .help = "send the answer as server-sent events"},                         \
    [FIELD_STREAM_OPTIONS] = {.name = "stream_options",                                         \
                              .kind = OD_FIELD_ANY,                                             \
                              .nullable = true,                                                 \
                              .no_default = true,                                               \
                              .help = "{\"include_usage\": true} ends the stream with counts"}, \
    [FIELD_STOP] = {.name = "stop",                                                             \
                    .kind = OD_FIELD_TEXTS,                                                     \
                    .single = true,                                                             \
                    .nullable = true,                                                           \
                    .no_default = true,                                                         \
                    .max = OD_STOP_MAX_BYTES,                                                   \
                    .count_max = OD_STOP_COUNT_MAX,                                             \
                    .help = "a text or a list: the answer ends before the first that appears"}, \
    [FIELD_SEED] = {.name = "seed",                                                             \
                    .kind = OD_FIELD_INT,                                                       \
                    .nullable = true,                                                           \
                    .no_default = true,                                                         \
                    .min = INT64_MIN,                                                           \
                    .max = INT64_MAX,                                                           \
                    .help = "of the sampling; the same seed gives the same answer"}

static const struct od_field COMPLETION_FIELDS[COMPLETION_COUNT] = {
    SHARED_FIELDS,
    [FIELD_MAX_TOKENS] = {.name = "max_tokens",
                          .kind = OD_FIELD_INT,
                          .nullable = true,
                          .fallback = 16,
                          .max = OD_NEW_TOKENS_MAX,
                          .help = "the answer has at most so many tokens"},
    [FIELD_PROMPT] = {.name = "prompt",
                      .kind = OD_FIELD_ANY,
                      .required = true,
                      .help = "a text, a list of texts, a list of ids, or a list of such lists"},
    [FIELD_LOGPROBS] = {.name = "logprobs",
                        .kind = OD_FIELD_INT,
                        .nullable = true,
                        .no_default = true,
                        .max = OD_TOP_LOGPROBS_MAX,
                        .help = "list each token with so many alternatives"},
    [FIELD_ECHO] = {.name = "echo",
                    .kind = OD_FIELD_BOOL,
                    .nullable = true,
                    .help = "the prompt is part of the text and of the log-probabilities"},
};

static const struct od_field CHAT_FIELDS[CHAT_COUNT] = {
    SHARED_FIELDS,
    [FIELD_MAX_TOKENS] = {.name = "max_tokens",
                          .kind = OD_FIELD_INT,
                          .nullable = true,
                          .no_default = true,
                          .max = OD_NEW_TOKENS_MAX,
                          .help = "the answer has at most so many tokens; else the context's end"},
    [FIELD_MESSAGES] = {.name = "messages",
                        .kind = OD_FIELD_ANY,
                        .required = true,
                        .help = "the conversation: objects with role and content"},
    [FIELD_CHAT_LOGPROBS] = {.name = "logprobs",
                             .kind = OD_FIELD_BOOL,
                             .nullable = true,
                             .help = "list each token with its log-probability"},
    [FIELD_TOP_LOGPROBS] = {.name = "top_logprobs",
                            .kind = OD_FIELD_INT,
                            .nullable = true,
                            .max = CHAT_TOP_MAX,
                            .help = "and with so many alternatives"},
    [FIELD_MAX_COMPLETION_TOKENS] = {.name = "max_completion_tokens",
                                     .kind = OD_FIELD_INT,
                                     .nullable = true,
                                     .no_default = true,
                                     .max = OD_NEW_TOKENS_MAX,
                                     .help = "the newer name of max_tokens"},
    [FIELD_TOOLS] = {.name = "tools",
                     .kind = OD_FIELD_ANY,
                     .nullable = true,
                     .no_default = true,
                     .help = "passed to the model's chat template"},
};

/** What would change an answer and is not done here. */
static const char *const REFUSED[] = {"suffix",     "frequency_penalty", "presence_penalty",
                                      "logit_bias", "response_format",   "functions",
                                      "audio",      "prediction"};

static enum od_status complain(struct od_buf *detail, const char *field, int64_t item,
                               const char *message, struct od_error *err)
{
    od_buf_reset(detail);
    od_detail_write_item(detail, field, item, message, "value_error");
    return detail->failed ? od_fail(err, OD_E_MEMORY, "no memory to read a request")
                          : od_fail(err, OD_E_FORMAT, "%s: %s", field, message);
}

/** Is it what leaves the answer as it is? */
static bool is_neutral(const json_t *value)
{
    const char *format = json_string_value(json_object_get(value, "type"));
    return json_is_null(value) ||
           (json_is_number(value) && fabs(json_number_value(value)) <= 0.0) ||
           (json_is_string(value) && json_string_length(value) == 0) ||
           (json_is_array(value) && json_array_size(value) == 0) ||
           (json_is_object(value) &&
            (json_object_size(value) == 0 || (format && strcmp(format, "text") == 0)));
}

static enum od_status check_refused(const struct od_body *body, struct od_buf *detail,
                                    struct od_error *err)
{
    for (size_t i = 0; i < sizeof REFUSED / sizeof REFUSED[0]; i++) {
        const json_t *value = json_object_get(body->root, REFUSED[i]);
        if (value && !is_neutral(value)) {
            return complain(detail, REFUSED[i], -1, "this is not done here: leave it out", err);
        }
    }
    return OD_OK;
}

/** How many answers a prompt gets, and how many are made for it. */
static enum od_status read_counts(const struct od_body *body, struct od_openai_request *request,
                                  struct od_buf *detail, struct od_error *err)
{
    const struct od_value *best_of = &body->values[FIELD_BEST_OF];
    request->answers = (size_t)body->values[FIELD_N].integer;
    request->samples = best_of->given ? (size_t)best_of->integer : request->answers;
    if (request->samples < request->answers) {
        return complain(detail, "best_of", -1, "it must be at least n", err);
    }
    if (request->samples > request->answers && body->values[FIELD_STREAM].integer != 0) {
        return complain(detail, "best_of", -1, "the best is known at the end: not in a stream",
                        err);
    }
    return OD_OK;
}

/** What the shared fields say, into `request` and the settings of every part. */
static enum od_status read_shared(const struct od_body *body, struct od_openai_request *request,
                                  struct od_process_request *settings, struct od_buf *detail,
                                  struct od_error *err)
{
    const struct od_value *values = body->values;
    const struct od_value *stop = &values[FIELD_STOP];
    request->model = values[FIELD_MODEL].text;
    request->stream = values[FIELD_STREAM].integer != 0;
    request->stream_usage =
        json_is_true(json_object_get(values[FIELD_STREAM_OPTIONS].json, "include_usage"));
    *settings = (struct od_process_request)OD_PROCESS_REQUEST_INIT;
    settings->prompt = "";
    settings->temperature = values[FIELD_TEMPERATURE].number;
    settings->top_p = values[FIELD_TOP_P].number;
    settings->min_p = values[FIELD_MIN_P].number;
    settings->top_k = values[FIELD_TOP_K].integer > 0 ? values[FIELD_TOP_K].integer : 0;
    settings->has_seed = values[FIELD_SEED].given;
    settings->seed = (uint64_t)values[FIELD_SEED].integer;  // any bits make a seed
    settings->stop = stop->texts;
    for (size_t i = 0; i < stop->count; i++) {
        if (stop->texts[i][0] != '\0') {  // an empty one stops nothing
            stop->texts[settings->stop_count++] = stop->texts[i];
        }
    }
    return read_counts(body, request, detail, err);
}

/** Each of `count` prompts, whose settings are in `prompts`, as often as asked for. */
static bool spread(struct od_body *body, struct od_openai_request *request,
                   const struct od_process_request *prompts, size_t count)
{
    const size_t samples = request->samples;
    request->part_count = count * samples;
    request->parts = od_arena_alloc(&body->arena, request->part_count, sizeof *request->parts);
    if (!request->parts) {
        return false;
    }
    for (size_t i = 0; i < request->part_count; i++) {
        request->parts[i] = prompts[i / samples];
        request->parts[i].sample = (uint32_t)(i % samples);
    }
    return true;
}

/** A list of ids into a prompt. */
static enum od_status read_ids(struct od_body *body, const json_t *list, int64_t item,
                               struct od_process_request *prompt, struct od_buf *detail,
                               struct od_error *err)
{
    const size_t count = json_array_size(list);
    int32_t *ids = od_arena_alloc(&body->arena, count + 1, sizeof *ids);
    if (!ids) {
        return od_fail(err, OD_E_MEMORY, "no memory to read a request");
    }
    for (size_t i = 0; i < count; i++) {
        const json_t *id = json_array_get(list, i);
        if (!json_is_integer(id) || json_integer_value(id) < 0 ||
            json_integer_value(id) > INT32_MAX) {
            return complain(detail, "prompt", item, "an id that is no token", err);
        }
        ids[i] = (int32_t)json_integer_value(id);
    }
    prompt->prompt_ids = ids;
    prompt->prompt_id_count = count;
    return OD_OK;
}

static enum od_status read_prompt(struct od_body *body, const json_t *value, int64_t item,
                                  struct od_process_request *prompt, struct od_buf *detail,
                                  struct od_error *err)
{
    if (json_is_array(value)) {
        return read_ids(body, value, item, prompt, detail, err);
    }
    if (!json_is_string(value)) {
        return complain(detail, "prompt", item, "a text or a list of ids is expected", err);
    }
    prompt->prompt = json_string_value(value);
    prompt->prompt_size = json_string_length(value);
    return OD_OK;
}

static enum od_status read_prompts(struct od_body *body, struct od_openai_request *request,
                                   const struct od_process_request *settings, struct od_buf *detail,
                                   struct od_error *err)
{
    const json_t *value = body->values[FIELD_PROMPT].json;
    const size_t samples = request->samples;
    const bool is_list = json_is_array(value) && !json_is_integer(json_array_get(value, 0));
    const size_t count = is_list ? json_array_size(value) : 1;
    enum od_status status = OD_OK;
    if (count < 1 || count * samples > OD_OPENAI_PARTS_MAX || count > OD_OPENAI_PARTS_MAX) {
        char message[96];
        (void)snprintf(message, sizeof message,
                       "one request makes 1 to %d answers, n or best_of to each prompt",
                       OD_OPENAI_PARTS_MAX);
        return complain(detail, "prompt", -1, message, err);
    }
    struct od_process_request *prompts = od_arena_alloc(&body->arena, count, sizeof *prompts);
    for (size_t i = 0; prompts && i < count && status == OD_OK; i++) {
        prompts[i] = *settings;
        status = read_prompt(body, is_list ? json_array_get(value, i) : value,
                             is_list ? (int64_t)i : -1, &prompts[i], detail, err);
    }
    if (status == OD_OK && (!prompts || !spread(body, request, prompts, count))) {
        return od_fail(err, OD_E_MEMORY, "no memory to read a request");
    }
    return status;
}

enum od_status od_completions_read(struct od_body *body, const char *bytes, size_t size,
                                   struct od_openai_request *ret, struct od_buf *detail,
                                   struct od_error *err)
{
    struct od_openai_request request = {.is_chat = false};
    struct od_process_request settings;
    enum od_status status =
        od_body_read(body, COMPLETION_FIELDS, COMPLETION_COUNT, bytes, size, detail, err);
    if (status == OD_OK) {
        status = check_refused(body, detail, err);
    }
    if (status != OD_OK) {
        return status;
    }
    const struct od_value *values = body->values;
    status = read_shared(body, &request, &settings, detail, err);
    if (status != OD_OK) {
        return status;
    }
    request.logprobs = values[FIELD_LOGPROBS].given;
    request.top = values[FIELD_LOGPROBS].integer;
    settings.max_new_tokens = values[FIELD_MAX_TOKENS].integer;
    settings.top_logprobs = request.top < 1 ? 1 : request.top;
    settings.echo_prompt = values[FIELD_ECHO].integer != 0;
    status = read_prompts(body, &request, &settings, detail, err);
    if (status == OD_OK) {
        *ret = request;
    }
    return status;
}

/** Each message is an object with a role and a content that is a text, or a list of texts. */
static enum od_status check_messages(const json_t *messages, struct od_buf *detail,
                                     struct od_error *err)
{
    size_t i = 0;
    const json_t *message = NULL;
    if (!json_is_array(messages) || json_array_size(messages) == 0) {
        return complain(detail, "messages", -1, "a list of messages is expected", err);
    }
    json_array_foreach(messages, i, message)
    {
        const json_t *content = json_object_get(message, "content");
        if (!json_is_string(json_object_get(message, "role"))) {
            return complain(detail, "messages", (int64_t)i, "a message needs a role", err);
        }
        if (content && !json_is_string(content) && !json_is_null(content) &&
            !json_is_array(content)) {
            return complain(detail, "messages", (int64_t)i, "the content must be a text", err);
        }
    }
    return OD_OK;
}

/** Lists of parts [{"type": "text", "text": ...}] become one text; other parts are refused. */
static enum od_status join_contents(json_t *messages, struct od_buf *detail, struct od_error *err)
{
    size_t i = 0;
    json_t *message = NULL;
    json_array_foreach(messages, i, message)
    {
        const json_t *content = json_object_get(message, "content");
        struct od_buf text;
        od_buf_init(&text, PROMPT_TEXT_MAX_BYTES);
        for (size_t p = 0; p < json_array_size(content); p++) {
            const json_t *piece = json_object_get(json_array_get(content, p), "text");
            if (!json_is_string(piece)) {
                od_buf_release(&text);
                return complain(detail, "messages", (int64_t)i, "only parts of text are read", err);
            }
            od_buf_append(&text, json_string_value(piece), json_string_length(piece));
        }
        const bool good =
            !json_is_array(content) ||
            (!text.failed &&
             json_object_set_new(message, "content",
                                 json_stringn_nocheck(od_buf_text(&text), text.size)) == 0);
        od_buf_release(&text);
        if (!good) {
            return od_fail(err, OD_E_MEMORY, "no memory to read a request");
        }
    }
    return OD_OK;
}

/** The conversation's text through the model's template, into the body's arena. */
static enum od_status render(struct od_body *body, const struct od_responder *responder,
                             struct od_process_request *settings, struct od_error *err)
{
    const struct od_chat chat = {.messages = body->values[FIELD_MESSAGES].json,
                                 .tools = body->values[FIELD_TOOLS].json,
                                 .add_generation_prompt = true};
    struct od_buf text;
    if (!responder->chat) {
        return od_fail(err, OD_E_UNSUPPORTED, "this model takes no conversations");
    }
    od_buf_init(&text, PROMPT_TEXT_MAX_BYTES);
    enum od_status status = responder->chat(responder->context, &chat, &text, err);
    if (status == OD_OK) {
        status = od_buf_check(&text, err);
    }
    if (status == OD_OK) {
        settings->prompt = od_arena_memdup(&body->arena, od_buf_text(&text), text.size);
        settings->prompt_size = text.size;
        if (!settings->prompt) {
            status = od_fail(err, OD_E_MEMORY, "no memory to read a request");
        }
    }
    od_buf_release(&text);
    return status;
}

enum od_status od_chat_read(struct od_body *body, const struct od_responder *responder,
                            const char *bytes, size_t size, struct od_openai_request *ret,
                            struct od_buf *detail, struct od_error *err)
{
    struct od_openai_request request = {.is_chat = true};
    struct od_process_request settings;
    const struct od_value *values = body->values;
    enum od_status status = od_body_read(body, CHAT_FIELDS, CHAT_COUNT, bytes, size, detail, err);
    if (status == OD_OK) {
        status = check_refused(body, detail, err);
    }
    if (status == OD_OK) {
        status = check_messages(values[FIELD_MESSAGES].json, detail, err);
    }
    if (status == OD_OK) {
        status = join_contents(json_object_get(body->root, "messages"), detail, err);
    }
    if (status == OD_OK) {
        status = read_shared(body, &request, &settings, detail, err);
    }
    if (status != OD_OK) {
        return status;
    }
    const struct od_value *most = values[FIELD_MAX_COMPLETION_TOKENS].given
                                      ? &values[FIELD_MAX_COMPLETION_TOKENS]
                                      : &values[FIELD_MAX_TOKENS];
    request.logprobs = values[FIELD_CHAT_LOGPROBS].integer != 0;
    request.top = values[FIELD_TOP_LOGPROBS].integer;
    settings.max_new_tokens = most->given ? most->integer : OD_NEW_TOKENS_MAX;
    settings.top_logprobs = request.top < 1 ? 1 : request.top;
    status = render(body, responder, &settings, err);
    if (status == OD_OK && !spread(body, &request, &settings, 1)) {
        status = od_fail(err, OD_E_MEMORY, "no memory to read a request");
    }
    if (status == OD_OK) {
        *ret = request;
    }
    return status;
}

void od_openai_write_schemas(struct od_json_writer *w)
{
    od_json_key(w, "CompletionRequest");
    od_fields_write_schema(w, "CompletionRequest", COMPLETION_FIELDS, COMPLETION_COUNT);
    od_json_key(w, "ChatRequest");
    od_fields_write_schema(w, "ChatRequest", CHAT_FIELDS, CHAT_COUNT);
}
