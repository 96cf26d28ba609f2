#include "serve/endpoints.h"

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

enum process_field {
    PROCESS_PROMPT,
    PROCESS_NUM_SAMPLES,
    PROCESS_MAX_NEW_TOKENS,
    PROCESS_TOP_K,
    PROCESS_TEMPERATURE,
    PROCESS_SEED,
    PROCESS_ECHO_PROMPT,
    PROCESS_TOP_P,
    PROCESS_TOP_K_PER_TOKEN,
    PROCESS_NUM_RETURN_SEQUENCES,
    PROCESS_STOP_SEQUENCES,
    PROCESS_ADAPTER,
    PROCESS_COUNT
};

static const struct od_field PROCESS_FIELDS[PROCESS_COUNT] = {
    [PROCESS_PROMPT] = {.name = "prompt",
                        .kind = OD_FIELD_TEXT,
                        .required = true,
                        .help = "the text to go on from"},
    [PROCESS_NUM_SAMPLES] = {.name = "num_samples",
                             .kind = OD_FIELD_INT,
                             .fallback = 1,
                             .min = 1,
                             .max = OD_PROCESS_SAMPLES_MAX,
                             .help = "how many completions; more than one are in `completions`"},
    [PROCESS_MAX_NEW_TOKENS] = {.name = "max_new_tokens",
                                .kind = OD_FIELD_INT,
                                .fallback = 50,
                                .max = OD_NEW_TOKENS_MAX,
                                .help = "the answer has at most so many tokens"},
    [PROCESS_TOP_K] = {.name = "top_k",
                       .kind = OD_FIELD_INT,
                       .fallback = 200,
                       .max = INT64_MAX,
                       .help = "sample among the k most likely tokens; 0: among all"},
    [PROCESS_TEMPERATURE] = {.name = "temperature",
                             .kind = OD_FIELD_NUMBER,
                             .fallback = 0.8,
                             .number_max = HUGE_VAL,
                             .help =
                                 "divides the logits; up to 1e-06 the likeliest token is taken"},
    [PROCESS_SEED] = {.name = "seed",
                      .kind = OD_FIELD_INT,
                      .nullable = true,
                      .no_default = true,
                      .min = INT64_MIN,
                      .max = INT64_MAX,
                      .help = "of the sampling; the same seed gives the same answer"},
    [PROCESS_ECHO_PROMPT] = {.name = "echo_prompt",
                             .kind = OD_FIELD_BOOL,
                             .nullable = true,
                             .help = "true: the prompt is part of text and tokens"},
    [PROCESS_TOP_P] = {.name = "top_p",
                       .kind = OD_FIELD_NUMBER,
                       .nullable = true,
                       .fallback = 1,
                       .number_max = 1,
                       .help = "sample among the likeliest tokens that have this probability"},
    [PROCESS_TOP_K_PER_TOKEN] = {.name = "top_k_per_token",
                                 .kind = OD_FIELD_INT,
                                 .nullable = true,
                                 .fallback = 1,
                                 .max = OD_TOP_LOGPROBS_MAX,
                                 .help = "so many alternatives are listed with each token"},
    [PROCESS_NUM_RETURN_SEQUENCES] = {.name = "num_return_sequences",
                                      .kind = OD_FIELD_INT,
                                      .nullable = true,
                                      .fallback = 1,
                                      .min = 1,
                                      .max = OD_PROCESS_SAMPLES_MAX,
                                      .help = "another name of num_samples; the larger counts"},
    [PROCESS_STOP_SEQUENCES] = {.name = "stop_sequences",
                                .kind = OD_FIELD_TEXTS,
                                .nullable = true,
                                .no_default = true,
                                .max = OD_STOP_MAX_BYTES,
                                .count_max = OD_STOP_COUNT_MAX,
                                .help = "the text ends before the first of these that appears"},
    [PROCESS_ADAPTER] = {.name = "adapter",
                         .kind = OD_FIELD_TEXT,
                         .is_name = true,
                         .nullable = true,
                         .no_default = true,
                         .help = "answer with this one of /v1/models"},
};

enum tokenize_field { TOKENIZE_TEXT, TOKENIZE_TRUNCATION, TOKENIZE_MAX_LENGTH, TOKENIZE_COUNT };

static const struct od_field TOKENIZE_FIELDS[TOKENIZE_COUNT] = {
    [TOKENIZE_TEXT] = {.name = "text",
                       .kind = OD_FIELD_TEXT,
                       .required = true,
                       .help = "the text to split"},
    [TOKENIZE_TRUNCATION] = {.name = "truncation",
                             .kind = OD_FIELD_BOOL,
                             .fallback = 1,
                             .help = "cut behind max_length tokens"},
    [TOKENIZE_MAX_LENGTH] = {.name = "max_length",
                             .kind = OD_FIELD_INT,
                             .fallback = 2048,
                             .max = INT64_MAX,
                             .help = "with truncation, at most so many tokens"},
};

static const struct od_field DECODE_FIELDS[] = {
    {.name = "tokens",
     .kind = OD_FIELD_INTS,
     .required = true,
     .max = INT32_MAX,
     .count_max = INT32_MAX,
     .help = "the ids to join"},
};

enum od_status od_process_read(struct od_body *body, const char *bytes, size_t size,
                               struct od_process_request *ret, size_t *ret_samples,
                               struct od_buf *detail, struct od_error *err)
{
    const enum od_status status =
        od_body_read(body, PROCESS_FIELDS, PROCESS_COUNT, bytes, size, detail, err);
    if (status != OD_OK) {
        return status;
    }
    const struct od_value *values = body->values;
    struct od_process_request request = OD_PROCESS_REQUEST_INIT;
    request.prompt = values[PROCESS_PROMPT].text;
    request.prompt_size = values[PROCESS_PROMPT].text_size;
    request.max_new_tokens = values[PROCESS_MAX_NEW_TOKENS].integer;
    request.top_k = values[PROCESS_TOP_K].integer;
    request.temperature = values[PROCESS_TEMPERATURE].number;
    request.has_seed = values[PROCESS_SEED].given;
    request.seed = (uint64_t)values[PROCESS_SEED].integer;  // any bits make a seed
    request.echo_prompt = values[PROCESS_ECHO_PROMPT].integer != 0;
    request.top_p = values[PROCESS_TOP_P].number;
    const int64_t alternatives = values[PROCESS_TOP_K_PER_TOKEN].integer;
    request.top_logprobs = alternatives < 1 ? 1 : alternatives;
    request.adapter = values[PROCESS_ADAPTER].given ? values[PROCESS_ADAPTER].text : NULL;
    request.stop = values[PROCESS_STOP_SEQUENCES].texts;
    // An empty stop sequence stops nothing.
    for (size_t i = 0; i < values[PROCESS_STOP_SEQUENCES].count; i++) {
        const char *stop = values[PROCESS_STOP_SEQUENCES].texts[i];
        if (*stop != '\0') {
            values[PROCESS_STOP_SEQUENCES].texts[request.stop_count++] = stop;
        }
    }
    const int64_t samples = values[PROCESS_NUM_SAMPLES].integer;
    const int64_t sequences = values[PROCESS_NUM_RETURN_SEQUENCES].integer;
    *ret_samples = (size_t)(samples > sequences ? samples : sequences);
    *ret = request;
    return OD_OK;
}

enum od_status od_tokenize_read(struct od_body *body, const char *bytes, size_t size,
                                struct od_tokenize_request *ret, struct od_buf *detail,
                                struct od_error *err)
{
    const enum od_status status =
        od_body_read(body, TOKENIZE_FIELDS, TOKENIZE_COUNT, bytes, size, detail, err);
    if (status == OD_OK) {
        const struct od_value *values = body->values;
        *ret = (struct od_tokenize_request){.text = values[TOKENIZE_TEXT].text,
                                            .text_size = values[TOKENIZE_TEXT].text_size,
                                            .truncation = values[TOKENIZE_TRUNCATION].integer != 0,
                                            .max_length = values[TOKENIZE_MAX_LENGTH].integer};
    }
    return status;
}

enum od_status od_decode_read(struct od_body *body, const char *bytes, size_t size,
                              struct od_decode_request *ret, struct od_buf *detail,
                              struct od_error *err)
{
    const enum od_status status = od_body_read(body, DECODE_FIELDS, 1, bytes, size, detail, err);
    if (status == OD_OK) {
        *ret = (struct od_decode_request){body->values[0].integers, body->values[0].count};
    }
    return status;
}

/** Members must be different: the likeliest of those with one text stands for all of them. */
static bool is_first_of_text(const struct od_token_result *token, size_t index)
{
    for (size_t i = 0; i < index; i++) {
        if (strcmp(token->top[i].text, token->top[index].text) == 0) {
            return false;
        }
    }
    return true;
}

static bool write_token(struct od_json_writer *w, const struct od_token_result *token)
{
    od_json_object_begin(w);
    od_json_member_text(w, "text", token->text);
    od_json_member_number(w, "logprob", token->logprob);
    od_json_key(w, "top_logprob");
    od_json_object_begin(w);
    for (size_t i = 0; i < token->top_count; i++) {
        if (isfinite(token->top[i].logprob) && is_first_of_text(token, i)) {
            od_json_member_number(w, token->top[i].text, token->top[i].logprob);
        }
    }
    od_json_object_end(w);
    od_json_object_end(w);
    return isfinite(token->logprob) != 0;
}

/** The members text, tokens and logprob; false when a number is not finite. */
static bool write_completion(struct od_json_writer *w, const struct od_process_result *result)
{
    bool finite = isfinite(result->logprob) != 0;
    od_json_key(w, "text");
    od_json_put_text_n(w, result->text, result->text_size);
    od_json_key(w, "tokens");
    od_json_array_begin(w);
    for (size_t i = 0; i < result->token_count; i++) {
        finite = write_token(w, &result->tokens[i]) && finite;
    }
    od_json_array_end(w);
    od_json_member_number(w, "logprob", result->logprob);
    return finite;
}

enum od_status od_process_write(struct od_buf *out, const struct od_process_result *const *results,
                                size_t count, struct od_error *err)
{
    struct od_json_writer w;
    double seconds = 0.0;
    bool finite = true;

    od_json_writer_init(&w, out, OD_JSON_COMPACT, /* ascii= */ false);
    od_json_object_begin(&w);
    finite = write_completion(&w, results[0]);
    for (size_t i = 0; i < count; i++) {
        finite = finite && isfinite(results[i]->request_time_s);
        seconds = fmax(seconds, results[i]->request_time_s);
    }
    od_json_member_number(&w, "request_time", seconds);
    if (count > 1) {
        od_json_key(&w, "completions");
        od_json_array_begin(&w);
        for (size_t i = 0; i < count; i++) {
            od_json_object_begin(&w);
            finite = write_completion(&w, results[i]) && finite;
            od_json_object_end(&w);
        }
        od_json_array_end(&w);
    }
    od_json_object_end(&w);
    if (!finite) {
        return od_fail(err, OD_E_REFUSED, "the model's answer holds a number that is not finite");
    }
    return OD_OK;
}

void od_tokenize_write(struct od_buf *out, const struct od_ids *ids, double seconds)
{
    struct od_json_writer w;
    od_json_writer_init(&w, out, OD_JSON_COMPACT, /* ascii= */ false);
    od_json_object_begin(&w);
    od_json_key(&w, "tokens");
    od_json_array_begin(&w);
    for (size_t i = 0; i < ids->count; i++) {
        od_json_put_int(&w, ids->data[i]);
    }
    od_json_array_end(&w);
    od_json_member_number(&w, "request_time", seconds);
    od_json_object_end(&w);
}

void od_decode_write(struct od_buf *out, const char *text, size_t size, double seconds)
{
    struct od_json_writer w;
    od_json_writer_init(&w, out, OD_JSON_COMPACT, /* ascii= */ false);
    od_json_object_begin(&w);
    od_json_key(&w, "text");
    od_json_put_text_n(&w, text, size);
    od_json_member_number(&w, "request_time", seconds);
    od_json_object_end(&w);
}

void od_message_write(struct od_buf *out, const char *why)
{
    struct od_json_writer w;
    od_json_writer_init(&w, out, OD_JSON_COMPACT, /* ascii= */ false);
    od_json_object_begin(&w);
    od_json_member_text(&w, "detail", why);
    od_json_object_end(&w);
}

void od_endpoints_write_schemas(struct od_json_writer *w)
{
    od_json_key(w, "ProcessRequest");
    od_fields_write_schema(w, "ProcessRequest", PROCESS_FIELDS, PROCESS_COUNT);
    od_json_key(w, "TokenizeRequest");
    od_fields_write_schema(w, "TokenizeRequest", TOKENIZE_FIELDS, TOKENIZE_COUNT);
    od_json_key(w, "DecodeRequest");
    od_fields_write_schema(w, "DecodeRequest", DECODE_FIELDS, 1);
}
