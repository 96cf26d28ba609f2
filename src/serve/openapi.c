#include "serve/openapi.h"

#include <stdbool.h>
#include <stddef.h>

#include "base/memory.h"
#include "formats/json.h"
#include "serve/endpoints.h"
#include "serve/openai.h"
#include "serve/score.h"

/** A path that takes a body. */
struct post {
    const char *path;
    const char *id;
    const char *summary;
    const char *request;
    const char *answer;
    bool is_openai;
    bool has_model;  ///< the body may name one
};

static const struct post POSTS[] = {
    {"/process", "process", "Go on from a prompt", "ProcessRequest", "ProcessResponse", false,
     true},
    {"/tokenize", "tokenize", "Text to token ids", "TokenizeRequest", "TokenizeResponse", false,
     false},
    {"/decode", "decode", "Token ids to text", "DecodeRequest", "DecodeResponse", false, false},
    {"/score", "score", "How likely texts are behind a prompt", "ScoreRequest", "ScoreResponse",
     false, true},
    {"/v1/completions", "completions", "Go on from prompts, as OpenAI's", "CompletionRequest",
     "CompletionResponse", true, true},
    {"/v1/chat/completions", "chat", "Answer a conversation, as OpenAI's", "ChatRequest",
     "CompletionResponse", true, true},
};

/** Schemas of answers are constants; those of bodies come from the tables. */
static const char *const ANSWER_SCHEMAS[][2] = {
    {"ProcessResponse",
     "{\"title\":\"ProcessResponse\",\"required\":[\"text\",\"tokens\",\"logprob\",\"request_time\"],"
     "\"type\":\"object\",\"properties\":{\"text\":{\"type\":\"string\"},\"tokens\":{\"type\":\"array\","
     "\"items\":{\"$ref\":\"#/components/schemas/Token\"}},\"logprob\":{\"type\":\"number\"},"
     "\"request_time\":{\"type\":\"number\"},\"completions\":{\"type\":\"array\",\"items\":"
     "{\"$ref\":\"#/components/schemas/Completion\"}}}}"},
    {"Completion",
     "{\"title\":\"Completion\",\"required\":[\"text\",\"tokens\",\"logprob\"],\"type\":"
     "\"object\",\"properties\":{\"text\":{\"type\":\"string\"},\"tokens\":{\"type\":\"array\","
     "\"items\":{\"$ref\":\"#/components/schemas/Token\"}},\"logprob\":{\"type\":\"number\"}}}"},
    {"Token",
     "{\"title\":\"Token\",\"required\":[\"text\",\"logprob\",\"top_logprob\"],\"type\":\"object\","
     "\"properties\":{\"text\":{\"type\":\"string\"},\"logprob\":{\"type\":\"number\"},"
     "\"top_logprob\":{\"type\":\"object\",\"additionalProperties\":{\"type\":\"number\"}}}}"},
    {"TokenizeResponse",
     "{\"title\":\"TokenizeResponse\",\"required\":[\"tokens\",\"request_time\"],\"type\":\"object\","
     "\"properties\":{\"tokens\":{\"type\":\"array\",\"items\":{\"type\":\"integer\"}},"
     "\"request_time\":{\"type\":\"number\"}}}"},
    {"DecodeResponse",
     "{\"title\":\"DecodeResponse\",\"required\":[\"text\",\"request_time\"],\"type\":\"object\","
     "\"properties\":{\"text\":{\"type\":\"string\"},\"request_time\":{\"type\":\"number\"}}}"},
    {"Health",
     "{\"title\":\"Health\",\"required\":[\"status\",\"model\"],\"type\":\"object\",\"properties\":{"
     "\"status\":{\"type\":\"string\"},\"model\":{\"type\":\"string\"},\"context_length\":{\"type\":"
     "\"integer\"}}}"},
    {"HTTPValidationError",
     "{\"title\":\"HTTPValidationError\",\"type\":\"object\",\"properties\":{\"detail\":{\"title\":"
     "\"Detail\",\"type\":\"array\",\"items\":{\"$ref\":\"#/components/schemas/ValidationError\"}}}}"},
    {"ValidationError",
     "{\"title\":\"ValidationError\",\"required\":[\"loc\",\"msg\",\"type\"],\"type\":\"object\","
     "\"properties\":{\"loc\":{\"title\":\"Location\",\"type\":\"array\",\"items\":{\"anyOf\":["
     "{\"type\":\"string\"},{\"type\":\"integer\"}]}},\"msg\":{\"title\":\"Message\",\"type\":"
     "\"string\"},\"type\":{\"title\":\"Error Type\",\"type\":\"string\"}}}"},
    {"Message",
     "{\"title\":\"Message\",\"required\":[\"detail\"],\"type\":\"object\",\"properties\":{\"detail\":{"
     "\"type\":\"string\"}}}"},
    {"ScoreResponse",
     "{\"title\":\"ScoreResponse\",\"required\":[\"scores\",\"request_time\"],\"type\":\"object\","
     "\"properties\":{\"scores\":{\"type\":\"array\",\"items\":{\"type\":\"object\",\"properties\":{"
     "\"logprob\":{\"type\":\"number\"},\"tokens\":{\"type\":\"array\",\"items\":{\"type\":\"object\"}},"
     "\"is_greedy\":{\"type\":\"boolean\"}}}},\"request_time\":{\"type\":\"number\"}}}"},
    {"CompletionResponse",
     "{\"title\":\"CompletionResponse\",\"required\":[\"id\",\"object\",\"created\",\"model\","
     "\"choices\",\"usage\"],\"type\":\"object\",\"properties\":{\"id\":{\"type\":\"string\"},"
     "\"object\":{\"type\":\"string\"},\"created\":{\"type\":\"integer\"},\"model\":{\"type\":"
     "\"string\"},\"choices\":{\"type\":\"array\",\"items\":{\"type\":\"object\"}},\"usage\":{"
     "\"type\":\"object\"}}}"},
    {"ModelList",
     "{\"title\":\"ModelList\",\"required\":[\"object\",\"data\"],\"type\":\"object\",\"properties\":{"
     "\"object\":{\"type\":\"string\"},\"data\":{\"type\":\"array\",\"items\":{\"type\":\"object\"}}}}"},
    {"Error",
     "{\"title\":\"Error\",\"required\":[\"error\"],\"type\":\"object\",\"properties\":{\"error\":{"
     "\"type\":\"object\",\"required\":[\"message\",\"type\"],\"properties\":{\"message\":{\"type\":"
     "\"string\"},\"type\":{\"type\":\"string\"},\"param\":{\"type\":\"string\",\"nullable\":true},"
     "\"code\":{\"type\":\"string\",\"nullable\":true}}}}}"},
};

static void write_answer(struct od_buf *out, const char *code, const char *what, const char *schema)
{
    od_buf_printf(out,
                  "\"%s\":{\"description\":\"%s\",\"content\":{\"application/json\":{\"schema\":"
                  "{\"$ref\":\"#/components/schemas/%s\"}}}}",
                  code, what, schema);
}

/** The good answer; OpenAI's may also come as a stream of events. */
static void write_answer_or_stream(struct od_buf *out, const struct post *post)
{
    if (!post->is_openai) {
        write_answer(out, "200", "Successful Response", post->answer);
        return;
    }
    od_buf_printf(out,
                  "\"200\":{\"description\":\"Successful Response\",\"content\":{"
                  "\"application/json\":{\"schema\":{\"$ref\":\"#/components/schemas/%s\"}},"
                  "\"text/event-stream\":{\"schema\":{}}}}",
                  post->answer);
}

static void write_post(struct od_buf *out, const struct post *post)
{
    const char *message = post->is_openai ? "Error" : "Message";
    od_buf_printf(out,
                  "\"%s\":{\"post\":{\"summary\":\"%s\",\"operationId\":\"%s\",\"requestBody\":{"
                  "\"content\":{\"application/json\":{\"schema\":{\"$ref\":"
                  "\"#/components/schemas/%s\"}}},\"required\":true},\"responses\":{",
                  post->path, post->summary, post->id, post->request);
    write_answer_or_stream(out, post);
    od_buf_putc(out, ',');
    if (post->is_openai) {
        write_answer(out, "400", "A wrong request", message);
    } else {
        write_answer(out, "422", "Validation Error", "HTTPValidationError");
    }
    if (post->has_model) {
        od_buf_putc(out, ',');
        write_answer(out, "404", "No such model or adapter", message);
    }
    od_buf_putc(out, ',');
    write_answer(out, "401", "A key is needed", message);
    od_buf_putc(out, ',');
    write_answer(out, "429", "The queue is full, come again after Retry-After seconds", message);
    od_buf_putc(out, ',');
    write_answer(out, "503", "The server is stopping or out of memory", message);
    od_buf_puts(out, "}}},");
}

static void write_get(struct od_buf *out, const char *path, const char *id, const char *summary,
                      const char *schema)
{
    od_buf_printf(out, "\"%s\":{\"get\":{\"summary\":\"%s\",\"operationId\":\"%s\",\"responses\":{",
                  path, summary, id);
    if (schema) {
        write_answer(out, "200", "Successful Response", schema);
    } else {
        od_buf_puts(out,
                    "\"200\":{\"description\":\"Successful Response\",\"content\":{"
                    "\"text/plain\":{\"schema\":{\"type\":\"string\"}}}}");
    }
    od_buf_puts(out, "}}}");
}

void od_openapi_write(struct od_buf *out)
{
    const size_t count = sizeof ANSWER_SCHEMAS / sizeof ANSWER_SCHEMAS[0];
    struct od_json_writer w;
    od_buf_puts(out,
                "{\"openapi\":\"3.0.2\",\"info\":{\"title\":\"oneday\",\"version\":\"0.1.0\"},"
                "\"paths\":{");
    for (size_t i = 0; i < sizeof POSTS / sizeof POSTS[0]; i++) {
        write_post(out, &POSTS[i]);
    }
    write_get(out, "/v1/models", "models", "Which models answer", "ModelList");
    od_buf_putc(out, ',');
    write_get(out, "/metrics", "metrics", "What it counts, for Prometheus", NULL);
    od_buf_putc(out, ',');
    write_get(out, "/health", "health", "Is it up", "Health");
    od_buf_puts(out,
                "},\"components\":{\"securitySchemes\":{\"key\":{\"type\":\"http\",\"scheme\":"
                "\"bearer\"}},\"schemas\":");
    od_json_writer_init(&w, out, OD_JSON_COMPACT, /* ascii= */ false);
    od_json_object_begin(&w);
    od_endpoints_write_schemas(&w);
    od_score_write_schema(&w);
    od_openai_write_schemas(&w);
    od_json_object_end(&w);
    out->size -= !out->failed;  // the brace: constant schemas follow
    for (size_t i = 0; i < count; i++) {
        od_buf_printf(out, ",\"%s\":%s", ANSWER_SCHEMAS[i][0], ANSWER_SCHEMAS[i][1]);
    }
    od_buf_puts(out, "}}}");
}
