#include "infer/engine.h"

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"
#include "formats/gguf.h"
#include "infer/engine_internal.h"
#include "infer/responder.h"
#include "model/gguf_model.h"
#include "model/spec.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

enum { DEFAULT_SLOTS = 8, DEFAULT_PASS_TOKENS = 256, DEFAULT_CONTEXT_MAX = 4096 };

enum od_status od_engine_submit(struct od_engine *engine, struct od_job *job, struct od_error *err)
{
    pthread_mutex_lock(&engine->lock);
    if (engine->stop) {
        pthread_mutex_unlock(&engine->lock);
        return od_fail(err, OD_E_CANCELLED, "the engine is closing");
    }
    if (engine->last) {
        engine->last->next = job;
    } else {
        engine->first = job;
    }
    engine->last = job;
    pthread_cond_broadcast(&engine->changed);
    while (!job->done) {
        pthread_cond_wait(&engine->changed, &engine->lock);
    }
    pthread_mutex_unlock(&engine->lock);
    if (job->status != OD_OK && err) {
        *err = job->error;
    }
    return job->status;
}

static enum od_status check_request(const struct od_process_request *request, struct od_error *err)
{
    if (request->prompt_size > OD_PROMPT_MAX_BYTES) {
        return od_fail(err, OD_E_LIMIT, "a prompt of %zu bytes is longer than %d",
                       request->prompt_size, OD_PROMPT_MAX_BYTES);
    }
    if (request->max_new_tokens < 0 || request->max_new_tokens > OD_NEW_TOKENS_MAX ||
        request->top_k < 0 || request->top_logprobs < 1 ||
        request->top_logprobs > OD_TOP_LOGPROBS_MAX || request->stop_count > OD_STOP_COUNT_MAX ||
        !(request->temperature >= 0.0) || !(request->temperature < 1e6) ||
        !(request->top_p > 0.0) || !(request->top_p <= 1.0)) {
        return od_fail(err, OD_E_ARGUMENT, "a setting of the request is out of range");
    }
    for (size_t i = 0; i < request->stop_count; i++) {
        if (strlen(request->stop[i]) > OD_STOP_MAX_BYTES) {
            return od_fail(err, OD_E_ARGUMENT, "a stop sequence is longer than %d bytes",
                           OD_STOP_MAX_BYTES);
        }
    }
    return OD_OK;
}

// The ids of a prompt; at least one.
static enum od_status prompt_ids(struct od_engine *engine, const struct od_process_request *request,
                                 struct od_ids *ids, struct od_error *err)
{
    enum od_status status =
        od_prompt_encode(engine->tokenizer, request->prompt, request->prompt_size, ids, err);
    if (status == OD_OK && ids->count == 0) {
        const int32_t bos = od_tokenizer_bos(engine->tokenizer);
        od_ids_push(ids, bos >= 0 ? bos : od_tokenizer_eos(engine->tokenizer));
        if (ids->count == 1 && ids->data[0] < 0) {
            return od_fail(err, OD_E_ARGUMENT, "the prompt is empty");
        }
    }
    if (status == OD_OK) {
        status = od_ids_check(ids, err);
    }
    if (status == OD_OK && (int64_t)ids->count >= engine->context) {
        return od_fail(err, OD_E_ARGUMENT,
                       "a prompt of %zu tokens does not fit the context of %lld", ids->count,
                       (long long)engine->context);
    }
    return status;
}

static const char *valid_text(struct od_arena *arena, const char *bytes, size_t size)
{
    struct od_buf text;
    od_buf_init(&text, (size_t)1 << 30);
    od_utf8_append_valid(&text, bytes, size);
    const char *copy = text.failed ? NULL : od_arena_memdup(arena, od_buf_text(&text), text.size);
    od_buf_release(&text);
    return copy;
}

static const char *id_text(struct od_engine *engine, struct od_arena *arena, int32_t id)
{
    struct od_buf text;
    const char *copy = NULL;
    od_buf_init(&text, 1 << 20);
    if (id >= od_tokenizer_vocab_size(engine->tokenizer)) {
        return od_arena_strdup(arena, "");
    }
    if (od_tokenizer_decode(engine->tokenizer, &id, 1, OD_DECODE_RAW, &text, NULL) == OD_OK) {
        copy = valid_text(arena, od_buf_text(&text), text.size);
    }
    od_buf_release(&text);
    return copy;
}

static bool fill_token(struct od_engine *engine, struct od_arena *arena,
                       const struct od_job_token *token, struct od_token_result *out)
{
    out->id = token->id;
    out->logprob = token->logprob;
    out->top_count = (size_t)token->top_count;
    out->top = od_arena_alloc(arena, out->top_count, sizeof *out->top);
    if (!out->top) {
        return false;
    }
    for (size_t i = 0; i < out->top_count; i++) {
        out->top[i].text = id_text(engine, arena, token->top[i].id);
        out->top[i].logprob = (double)token->top[i].logit - token->log_sum;
        if (!out->top[i].text) {
            return false;
        }
    }
    return true;
}

// The answer's tokens: those that begin before the text ends.
static bool fill_answer(struct od_engine *engine, const struct od_job *job,
                        struct od_process_result *result)
{
    const int64_t first = job->token_count - job->answer_count;
    size_t start = 0;
    for (int64_t i = first; i < job->token_count; i++) {
        const struct od_job_token *token = &job->tokens[i];
        if (job->finish == OD_FINISH_STOP && start >= job->text.size) {
            break;
        }
        const size_t end = token->text_end < job->text.size ? token->text_end : job->text.size;
        struct od_token_result *out = &result->tokens[result->token_count++];
        out->text = valid_text(&result->arena, od_buf_text(&job->text) + start, end - start);
        if (!out->text || !fill_token(engine, &result->arena, token, out)) {
            return false;
        }
        result->logprob += token->logprob;
        start = end;
    }
    return true;
}

// The prompt's tokens in front, for a request that wants its prompt back.
static bool fill_echo(struct od_engine *engine, const struct od_job *job,
                      struct od_process_result *result)
{
    struct od_token_result *first = &result->tokens[result->token_count++];
    *first = (struct od_token_result){.id = job->prompt[0]};
    first->text = id_text(engine, &result->arena, job->prompt[0]);
    if (!first->text) {
        return false;
    }
    for (int64_t i = 1; i < job->prompt_count; i++) {
        struct od_token_result *out = &result->tokens[result->token_count++];
        out->text = id_text(engine, &result->arena, job->prompt[i]);
        if (!out->text || !fill_token(engine, &result->arena, &job->tokens[i - 1], out)) {
            return false;
        }
    }
    return true;
}

static enum od_status fill_result(struct od_engine *engine, const struct od_job *job,
                                  struct od_process_result *result, struct od_error *err)
{
    struct od_buf text;
    const bool echo = job->request->echo_prompt;
    bool good;
    od_buf_init(&text, (size_t)1 << 30);
    if (echo) {
        od_utf8_append_valid(&text, job->request->prompt, job->request->prompt_size);
    }
    od_utf8_append_valid(&text, od_buf_text(&job->text), job->text.size);
    result->tokens =
        od_arena_alloc(&result->arena, (size_t)(job->prompt_count + job->answer_count + 1),
                       sizeof *result->tokens);
    result->text_size = text.size;
    result->text = od_arena_memdup(&result->arena, od_buf_text(&text), text.size);
    good = !text.failed && result->tokens && result->text;
    good = good && (!echo || fill_echo(engine, job, result));
    good = good && fill_answer(engine, job, result);
    result->finish = job->finish;
    result->prompt_tokens = job->prompt_count;
    od_buf_release(&text);
    return good ? OD_OK : od_fail(err, OD_E_MEMORY, "no memory for an answer");
}

// Room for a job, off the engine's thread: a pass allocates nothing.
static bool job_rooms(struct od_job *job, struct od_arena *arena)
{
    const size_t count = (size_t)(job->prompt_count + job->max_new);
    job->ids = od_arena_alloc(arena, count, sizeof *job->ids);
    job->tokens = od_arena_alloc(arena, count, sizeof *job->tokens);
    const size_t tops = job->request->echo_prompt ? count : (size_t)job->max_new;
    job->top_room =
        od_arena_alloc(arena, tops * (size_t)job->request->top_logprobs, sizeof *job->top_room);
    if (!job->ids || !job->tokens || !job->top_room) {
        return false;
    }
    memcpy(job->ids, job->prompt, (size_t)job->prompt_count * sizeof *job->ids);
    job->count = job->prompt_count;
    return true;
}

static enum od_status process(void *context, const struct od_process_request *request,
                              struct od_process_result *result, struct od_error *err)
{
    struct od_engine *engine = context;
    struct od_process_request seeded = *request;
    struct od_job job = {.request = &seeded, .finish = OD_FINISH_UNKNOWN};
    struct od_arena arena;
    struct od_ids ids;
    const double start = od_clock_s();
    enum od_status status = check_request(request, err);

    if (status != OD_OK) {
        return status;
    }
    if (!request->has_seed) {
        seeded.seed = od_clock_ns();
    }
    od_arena_init(&arena, (size_t)4 << 30);
    od_ids_init(&ids, OD_PROMPT_MAX_BYTES);
    od_buf_init(&job.text, (size_t)256 << 20);
    status = prompt_ids(engine, request, &ids, err);
    if (status != OD_OK) {
        goto done;
    }
    job.prompt = ids.data;
    job.prompt_count = (int64_t)ids.count;
    job.max_new = request->max_new_tokens < engine->context - job.prompt_count
                      ? request->max_new_tokens
                      : engine->context - job.prompt_count;
    if (!job_rooms(&job, &arena)) {
        status = od_fail(err, OD_E_MEMORY, "no memory for a request");
        goto done;
    }
    if (job.max_new == 0 && !request->echo_prompt) {
        job.finish = OD_FINISH_LENGTH;
    } else {
        status = od_engine_submit(engine, &job, err);
    }
    if (status == OD_OK) {
        status = fill_result(engine, &job, result, err);
    }
    result->request_time_s = od_clock_s() - start;

done:
    od_buf_release(&job.text);
    od_ids_release(&ids);
    od_arena_release(&arena);
    return status;
}

static enum od_status tokenize(void *context, const char *text, size_t size, bool truncation,
                               int64_t max_length, struct od_ids *out, struct od_error *err)
{
    const struct od_engine *engine = context;
    const size_t before = out->count;
    const enum od_status status =
        od_tokenizer_encode(engine->tokenizer, text, size, OD_ENCODE_SPECIAL, out, err);
    if (status == OD_OK && truncation && max_length >= 0 &&
        out->count - before > (size_t)max_length) {
        out->count = before + (size_t)max_length;
    }
    return status;
}

static enum od_status decode(void *context, const int32_t *ids, size_t count, struct od_buf *out,
                             struct od_error *err)
{
    const struct od_engine *engine = context;
    return od_tokenizer_decode(engine->tokenizer, ids, count, OD_DECODE_SKIP_SPECIAL, out, err);
}

// Spec and tokenizer out of one GGUF file.
static enum od_status open_gguf(struct od_engine *engine, struct od_error *err)
{
    struct od_gguf *gguf = NULL;
    enum od_status status = od_gguf_open(engine->place.base, &gguf, err);
    if (status == OD_OK) {
        status = od_spec_of_gguf(gguf, &engine->spec, err);
    }
    if (status == OD_OK) {
        status = od_tokenizer_of_gguf(gguf, &engine->tokenizer, err);
    }
    od_gguf_close(gguf);
    return status;
}

static enum od_status open_folder(struct od_engine *engine, struct od_error *err)
{
    char config[OD_PATH_MAX_BYTES];
    enum od_status status = od_path_join(config, engine->place.base, "config.json", err);
    if (status == OD_OK) {
        status = od_spec_read(config, &engine->spec, err);
    }
    return status == OD_OK ? od_tokenizer_open(engine->place.base, &engine->tokenizer, err)
                           : status;
}

// Spec and tokenizer, checked against each other.
static enum od_status open_parts(struct od_engine *engine, const char *path, struct od_error *err)
{
    enum od_status status = od_model_find(path, engine->options.adapter, &engine->place, err);
    if (status == OD_OK) {
        status =
            od_gguf_is_path(engine->place.base) ? open_gguf(engine, err) : open_folder(engine, err);
    }
    if (status != OD_OK) {
        return status;
    }
    if (od_tokenizer_vocab_size(engine->tokenizer) > engine->spec.vocab) {
        return od_fail(err, OD_E_FORMAT,
                       "the tokenizer of '%s' has %d ids, the model only %lld: they do not fit",
                       engine->place.base, od_tokenizer_vocab_size(engine->tokenizer),
                       (long long)engine->spec.vocab);
    }
    od_tokenizer_set_bos_eos(engine->tokenizer, engine->spec.bos, engine->spec.eos);
    return OD_OK;
}

static enum od_status set_limits(struct od_engine *engine, struct od_error *err)
{
    const struct od_engine_options *options = &engine->options;
    const int64_t most = engine->spec.max_positions;
    engine->slot_count = options->slots == 0 ? DEFAULT_SLOTS : options->slots;
    engine->pass_tokens = options->pass_tokens == 0 ? DEFAULT_PASS_TOKENS : options->pass_tokens;
    engine->context = options->context != 0        ? options->context
                      : most < DEFAULT_CONTEXT_MAX ? most
                                                   : DEFAULT_CONTEXT_MAX;
    if (engine->slot_count < 1 || engine->slot_count > OD_ENGINE_SLOTS_MAX) {
        return od_fail(err, OD_E_ARGUMENT, "slots must be 1 to %d", OD_ENGINE_SLOTS_MAX);
    }
    if (engine->context < 2 || engine->context > most) {
        return od_fail(err, OD_E_ARGUMENT, "the context must be 2 to %lld, the model's",
                       (long long)most);
    }
    if (engine->pass_tokens < engine->slot_count) {
        engine->pass_tokens = engine->slot_count;  // every sequence moves in every pass
    }
    return OD_OK;
}

enum od_status od_engine_open(const char *path, const struct od_engine_options *options,
                              struct od_engine **ret, struct od_error *err)
{
    struct od_engine *engine = od_alloc(1, sizeof *engine);
    enum od_status status;
    if (!engine) {
        return od_fail(err, OD_E_MEMORY, "no memory for an engine");
    }
    engine->options = *options;
    (void)pthread_mutex_init(&engine->lock, NULL);
    (void)pthread_cond_init(&engine->changed, NULL);
    if ((status = open_parts(engine, path, err)) != OD_OK ||
        (status = set_limits(engine, err)) != OD_OK) {
        od_engine_close(engine);
        return status;
    }
    engine->responder = (struct od_responder){.context = engine,
                                              .process = process,
                                              .tokenize = tokenize,
                                              .decode = decode,
                                              .context_length = engine->context,
                                              .model_name = engine->place.name};
    const int error = pthread_create(&engine->thread, NULL, od_engine_main, engine);
    if (error != 0) {
        od_engine_close(engine);
        return od_fail(err, OD_E_MEMORY, "cannot start a thread: %s", strerror(error));
    }
    engine->thread_started = true;
    pthread_mutex_lock(&engine->lock);
    while (!engine->ready) {
        pthread_cond_wait(&engine->changed, &engine->lock);
    }
    status = engine->open_status;
    pthread_mutex_unlock(&engine->lock);
    if (status != OD_OK) {
        if (err) {
            *err = engine->open_error;
        }
        od_engine_close(engine);
        return status;
    }
    *ret = engine;
    return OD_OK;
}

void od_engine_close(struct od_engine *engine)
{
    if (!engine) {
        return;
    }
    if (engine->thread_started) {
        pthread_mutex_lock(&engine->lock);
        engine->stop = true;
        pthread_cond_broadcast(&engine->changed);
        pthread_mutex_unlock(&engine->lock);
        (void)pthread_join(engine->thread, NULL);
    }
    od_tokenizer_free(engine->tokenizer);
    (void)pthread_cond_destroy(&engine->changed);
    (void)pthread_mutex_destroy(&engine->lock);
    od_free(engine);
}

const struct od_responder *od_engine_responder(struct od_engine *engine)
{
    return &engine->responder;
}

const struct od_spec *od_engine_spec(const struct od_engine *engine)
{
    return &engine->spec;
}

const struct od_tokenizer *od_engine_tokenizer(const struct od_engine *engine)
{
    return engine->tokenizer;
}

struct od_engine_counts od_engine_counts(struct od_engine *engine)
{
    // The engine's thread changes counts while it runs a pass; between passes of a quiet engine the
    // lock makes them visible.
    pthread_mutex_lock(&engine->lock);
    const struct od_engine_counts counts = engine->counts;
    pthread_mutex_unlock(&engine->lock);
    return counts;
}

enum od_status od_engine_logits(struct od_engine *engine, const int32_t *ids, int64_t count,
                                float *logits, struct od_error *err)
{
    const struct od_process_request request = {.prompt = "", .top_logprobs = 1, .top_p = 1.0};
    struct od_job job = {.request = &request,
                         .prompt = ids,
                         .prompt_count = count,
                         .all_logits = logits,
                         .finish = OD_FINISH_UNKNOWN};
    struct od_arena arena;
    enum od_status status = OD_OK;
    if (count < 1 || count > engine->context) {
        return od_fail(err, OD_E_ARGUMENT, "%lld tokens do not fit the context of %lld",
                       (long long)count, (long long)engine->context);
    }
    od_arena_init(&arena, (size_t)1 << 30);
    if (!job_rooms(&job, &arena)) {
        status = od_fail(err, OD_E_MEMORY, "no memory for a request");
    }
    if (status == OD_OK) {
        status = od_engine_submit(engine, &job, err);
    }
    od_arena_release(&arena);
    return status;
}
