#include "serve/score.h"

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "formats/json.h"
#include "infer/responder.h"
#include "serve/fields.h"
#include "text/tokenizer.h"

enum { IDS_MAX = OD_PROMPT_MAX_BYTES };

enum field { FIELD_PROMPT, FIELD_COMPLETIONS, FIELD_MODEL, FIELD_COUNT };

static const struct od_field FIELDS[FIELD_COUNT] = {
    [FIELD_PROMPT] = {.name = "prompt",
                      .kind = OD_FIELD_TEXT,
                      .required = true,
                      .help = "the text in front"},
    [FIELD_COMPLETIONS] = {.name = "completions",
                           .kind = OD_FIELD_TEXTS,
                           .single = true,
                           .required = true,
                           .max = OD_SCORE_COMPLETION_MAX_BYTES,
                           .count_max = OD_SCORE_COMPLETIONS_MAX,
                           .help = "the texts whose log-probability is asked for"},
    [FIELD_MODEL] = {.name = "model",
                     .kind = OD_FIELD_TEXT,
                     .is_name = true,
                     .nullable = true,
                     .no_default = true,
                     .help = "one of /v1/models; the first where it is not given"},
};

/** The ids of prompt and completion into a part; where those of the completion begin. */
static enum od_status read_part(struct od_body *body, const struct od_responder *responder,
                                const struct od_ids *prompt, const char *completion,
                                struct od_process_request *part, size_t *ret_first,
                                struct od_error *err)
{
    const struct od_value *value = &body->values[FIELD_PROMPT];
    struct od_buf text;
    struct od_ids ids;
    int32_t *copy = NULL;
    od_buf_init(&text, (size_t)OD_PROMPT_MAX_BYTES + OD_SCORE_COMPLETION_MAX_BYTES);
    od_ids_init(&ids, IDS_MAX);
    od_buf_append(&text, value->text, value->text_size);
    od_buf_puts(&text, completion);
    enum od_status status = od_buf_check(&text, err);
    if (status == OD_OK) {
        status = responder->tokenize(responder->context, od_buf_text(&text), text.size,
                                     /* truncation= */ false, 0, &ids, err);
    }
    if (status == OD_OK) {
        status = od_ids_check(&ids, err);
    }
    if (status == OD_OK) {
        copy = od_arena_alloc(&body->arena, ids.count + 1, sizeof *copy);
        status = copy ? OD_OK : od_fail(err, OD_E_MEMORY, "no memory to read a request");
    }
    if (status == OD_OK && copy) {
        size_t same = 0;
        while (same < ids.count && same < prompt->count && ids.data[same] == prompt->data[same]) {
            same++;
        }
        if (ids.count > 0) {
            memcpy(copy, ids.data, ids.count * sizeof *copy);
        }
        *ret_first = same;
        *part = (struct od_process_request)OD_PROCESS_REQUEST_INIT;
        part->prompt = "";
        part->prompt_ids = copy;
        part->prompt_id_count = ids.count;
        part->max_new_tokens = 0;
        part->temperature = 0.0;
        part->echo_prompt = true;
    }
    od_ids_release(&ids);
    od_buf_release(&text);
    return status;
}

enum od_status od_score_read(struct od_body *body, const struct od_responder *responder,
                             const char *bytes, size_t size, struct od_score_request *ret,
                             struct od_buf *detail, struct od_error *err)
{
    const struct od_value *values = body->values;
    struct od_score_request request = {0};
    struct od_ids prompt;
    enum od_status status = od_body_read(body, FIELDS, FIELD_COUNT, bytes, size, detail, err);
    if (status != OD_OK) {
        return status;
    }
    if (values[FIELD_COMPLETIONS].count == 0) {
        od_buf_reset(detail);
        od_detail_write(detail, "completions", "ensure this value has at least 1 items",
                        "value_error.list.min_items");
        return od_fail(err, OD_E_FORMAT, "no completions");
    }
    request.model = values[FIELD_MODEL].text;
    request.part_count = values[FIELD_COMPLETIONS].count;
    request.parts = od_arena_alloc(&body->arena, request.part_count, sizeof *request.parts);
    request.first = od_arena_alloc(&body->arena, request.part_count, sizeof *request.first);
    if (!request.parts || !request.first) {
        return od_fail(err, OD_E_MEMORY, "no memory to read a request");
    }
    od_ids_init(&prompt, IDS_MAX);
    status = responder->tokenize(responder->context, values[FIELD_PROMPT].text,
                                 values[FIELD_PROMPT].text_size, /* truncation= */ false, 0,
                                 &prompt, err);
    for (size_t i = 0; i < request.part_count && status == OD_OK; i++) {
        status = read_part(body, responder, &prompt, values[FIELD_COMPLETIONS].texts[i],
                           &request.parts[i], &request.first[i], err);
    }
    od_ids_release(&prompt);
    if (status == OD_OK) {
        *ret = request;
    }
    return status;
}

static bool put_score(struct od_json_writer *w, const struct od_process_result *result,
                      size_t first)
{
    double sum = 0.0;
    bool is_greedy = true;
    // Nothing is in front of the very first token: it has no log-probability.
    for (size_t i = first < 1 ? 1 : first; i < result->token_count; i++) {
        const struct od_token_result *token = &result->tokens[i];
        sum += token->logprob;
        is_greedy = is_greedy && token->top_count > 0 && token->logprob >= token->top[0].logprob;
    }
    const bool finite = isfinite(sum) != 0;
    od_json_object_begin(w);
    od_json_member_number(w, "logprob", sum);
    od_json_key(w, "tokens");
    od_json_array_begin(w);
    for (size_t i = first; i < result->token_count && finite; i++) {
        od_json_object_begin(w);
        od_json_member_text(w, "text", result->tokens[i].text);
        od_json_key(w, "logprob");
        if (i > 0) {
            od_json_put_number(w, result->tokens[i].logprob);
        } else {
            od_json_put_null(w);
        }
        od_json_object_end(w);
    }
    od_json_array_end(w);
    od_json_member_bool(w, "is_greedy", is_greedy);
    od_json_object_end(w);
    return finite;
}

enum od_status od_score_write(struct od_buf *out, const struct od_score_request *request,
                              const struct od_process_result *const *results, double seconds,
                              struct od_error *err)
{
    struct od_json_writer w;
    bool finite = true;
    od_json_writer_init(&w, out, OD_JSON_COMPACT, /* ascii= */ false);
    od_json_object_begin(&w);
    od_json_key(&w, "scores");
    od_json_array_begin(&w);
    for (size_t i = 0; i < request->part_count; i++) {
        finite = put_score(&w, results[i], request->first[i]) && finite;
    }
    od_json_array_end(&w);
    od_json_member_number(&w, "request_time", seconds);
    od_json_object_end(&w);
    if (!finite) {
        return od_fail(err, OD_E_REFUSED, "the model's answer holds a number that is not finite");
    }
    return OD_OK;
}

void od_score_write_schema(struct od_json_writer *w)
{
    od_json_key(w, "ScoreRequest");
    od_fields_write_schema(w, "ScoreRequest", FIELDS, FIELD_COUNT);
}
