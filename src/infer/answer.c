// From a request to a job and from a job to an answer, on the caller's thread.

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"
#include "infer/engine_internal.h"
#include "infer/responder.h"
#include "infer/sampler.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

enum od_status od_engine_queue(struct od_engine *engine, struct od_job *job, struct od_error *err)
{
    if (engine->stop) {
        return od_fail(err, OD_E_CANCELLED, "the engine is closing");
    }
    (void)pthread_cond_init(&job->changed, NULL);
    *(engine->last ? &engine->last->next : &engine->first) = job;
    engine->last = job;
    (void)pthread_cond_signal(&engine->changed);
    return OD_OK;
}

enum od_status od_engine_submit(struct od_engine *engine, struct od_job *job,
                                od_progress_fn progress, void *context, struct od_error *err)
{
    int64_t told = 0;
    (void)pthread_mutex_lock(&engine->lock);
    const enum od_status queued = od_engine_queue(engine, job, err);
    if (queued != OD_OK) {
        (void)pthread_mutex_unlock(&engine->lock);
        return queued;
    }
    while (!job->done) {
        if (progress && job->published > told) {
            told = job->published;
            (void)pthread_mutex_unlock(&engine->lock);
            progress(context, told);
            (void)pthread_mutex_lock(&engine->lock);
            continue;
        }
        (void)pthread_cond_wait(&job->changed, &engine->lock);
    }
    (void)pthread_mutex_unlock(&engine->lock);
    (void)pthread_cond_destroy(&job->changed);
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
        !(request->top_p >= 0.0) || !(request->top_p <= 1.0) || !(request->min_p >= 0.0) ||
        !(request->min_p <= 1.0)) {
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

// Tokens that the caller gives as they are.
static enum od_status take_ids(const struct od_engine *engine,
                               const struct od_process_request *request, struct od_ids *ids,
                               struct od_error *err)
{
    for (size_t i = 0; i < request->prompt_id_count; i++) {
        const int32_t id = request->prompt_ids[i];
        if (id < 0 || id >= engine->spec.vocab) {
            return od_fail(err, OD_E_ARGUMENT, "id %d is outside the vocabulary of %lld", id,
                           (long long)engine->spec.vocab);
        }
        od_ids_push(ids, id);
    }
    return OD_OK;
}

// The ids of a prompt; at least one.
static enum od_status prompt_ids(struct od_engine *engine, const struct od_process_request *request,
                                 struct od_ids *ids, struct od_error *err)
{
    enum od_status status =
        request->prompt_ids
            ? take_ids(engine, request, ids, err)
            : od_prompt_encode(engine->tokenizer, request->prompt, request->prompt_size, ids, err);
    if (status == OD_OK && ids->count == 0 && !ids->failed) {
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

/** Where a token's text lies. */
struct span {
    const char *bytes;
    size_t start;
    size_t end;
};

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

// Where the answer's tokens begin: echoed ones, all but the first of the prompt, are in front.
static int64_t answer_first(const struct od_job *job)
{
    return job->request->echo_prompt ? job->prompt_count - 1 : 0;
}

// Token `index` of the answer, whose text lies in bytes [start, end).
static bool fill_answer_token(struct od_engine *engine, const struct od_job *job, int64_t index,
                              const struct span *span, struct od_arena *arena,
                              struct od_token_result *out)
{
    out->text = valid_text(arena, span->bytes + span->start, span->end - span->start);
    return out->text && fill_token(engine, arena, &job->tokens[answer_first(job) + index], out);
}

// The answer's tokens: those that begin before the text ends.
static bool fill_answer(struct od_engine *engine, const struct od_job *job,
                        struct od_process_result *result)
{
    const struct od_job_token *tokens = job->tokens + answer_first(job);
    struct span span = {.bytes = od_buf_text(&job->text)};
    for (int64_t i = 0; i < job->answer_count; i++) {
        if (job->finish == OD_FINISH_STOP && span.start >= job->text.size) {
            break;
        }
        span.end = tokens[i].text_end < job->text.size ? tokens[i].text_end : job->text.size;
        struct od_token_result *out = &result->tokens[result->token_count++];
        if (!fill_answer_token(engine, job, i, &span, &result->arena, out)) {
            return false;
        }
        result->logprob += tokens[i].logprob;
        result->answer_tokens++;
        span.start = span.end;
    }
    return true;
}

// The prompt as text, for a request that wants it back.
static bool echo_text(struct od_engine *engine, const struct od_job *job, struct od_buf *out)
{
    if (!job->request->prompt_ids) {
        od_utf8_append_valid(out, job->request->prompt, job->request->prompt_size);
        return true;
    }
    return od_tokenizer_decode(engine->tokenizer, job->prompt, (size_t)job->prompt_count,
                               OD_DECODE_SKIP_SPECIAL, out, NULL) == OD_OK;
}

// The prompt's tokens into out[prompt_count]. Nothing is before the first one, so it has no
// log-probability.
static bool echo_tokens(struct od_engine *engine, const struct od_job *job, struct od_arena *arena,
                        struct od_token_result *out)
{
    for (int64_t i = 0; i < job->prompt_count; i++) {
        out[i] = (struct od_token_result){.id = job->prompt[i]};
        out[i].text = id_text(engine, arena, job->prompt[i]);
        if (!out[i].text || (i > 0 && !fill_token(engine, arena, &job->tokens[i - 1], &out[i]))) {
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
    od_buf_init(&text, (size_t)1 << 30);
    bool good = !echo || echo_text(engine, job, &text);
    od_utf8_append_valid(&text, od_buf_text(&job->text), job->text.size);
    result->tokens =
        od_arena_alloc(&result->arena, (size_t)(job->prompt_count + job->answer_count + 1),
                       sizeof *result->tokens);
    result->text_size = text.size;
    result->text = od_arena_memdup(&result->arena, od_buf_text(&text), text.size);
    good = good && !text.failed && result->tokens && result->text;
    if (good && echo) {
        good = echo_tokens(engine, job, &result->arena, result->tokens);
        result->token_count = (size_t)job->prompt_count;
    }
    good = good && fill_answer(engine, job, result);
    result->finish = job->finish;
    result->prompt_tokens = job->prompt_count;
    od_buf_release(&text);
    return good ? OD_OK : od_fail(err, OD_E_MEMORY, "no memory for an answer");
}

bool od_job_make_room(struct od_job *job, struct od_arena *arena)
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

/** An answer on its way to somebody who takes it in pieces. */
struct stream {
    struct od_engine *engine;
    struct od_job *job;
    struct od_buf raw;     ///< bytes of the tokens seen so far
    size_t *token_end;     ///< [max_new] ends of tokens in `raw`
    int64_t seen;          ///< tokens in `raw`
    int64_t told;          ///< tokens that were passed on
    size_t told_size;      ///< bytes that were passed on
    struct od_arena room;  ///< of one piece
    bool prompt_told;      ///< or not wanted
    bool is_over;
    bool failed;
};

size_t od_answer_held_back(const char *bytes, size_t size, const char *const *stop,
                           size_t stop_count)
{
    size_t held = 0;
    for (size_t i = 0; i < stop_count; i++) {
        const size_t length = strlen(stop[i]);
        for (size_t n = length < size + 1 ? length - (length > 0) : size; n > held; n--) {
            if (memcmp(bytes + size - n, stop[i], n) == 0) {
                held = n;
                break;
            }
        }
    }
    for (size_t n = 1; n <= 3 && n <= size - held; n++) {  // a character that is not complete
        const unsigned char byte = (unsigned char)bytes[size - held - n];
        if (byte >= 0xC0) {
            const size_t whole = byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : 2;
            return n < whole ? held + n : held;
        }
        if (byte < 0x80) {
            break;
        }
    }
    return held;
}

static void empty_room(struct stream *stream)
{
    od_arena_release(&stream->room);
    od_arena_init(&stream->room, (size_t)1 << 30);
}

// Pass on what lies before byte `end`, with the tokens that end there or before.
static bool pass_on(struct stream *stream, const char *bytes, size_t end)
{
    const struct od_process_request *request = stream->job->request;
    struct od_buf text;
    struct od_piece piece = {0};
    int64_t last = stream->told;
    bool good = true;
    if (end <= stream->told_size) {
        return true;
    }
    od_buf_init(&text, (size_t)1 << 30);
    od_utf8_append_valid(&text, bytes + stream->told_size, end - stream->told_size);
    while (last < stream->seen && (last == 0 ? 0 : stream->token_end[last - 1]) < end &&
           (stream->token_end[last] <= end || stream->is_over)) {
        last++;
    }
    struct od_token_result *tokens =
        od_arena_alloc(&stream->room, (size_t)(last - stream->told), sizeof *tokens);
    good = tokens && !text.failed;
    for (int64_t i = stream->told; good && i < last; i++) {
        const struct span span = {.bytes = bytes,
                                  .start = i == 0 ? 0 : stream->token_end[i - 1],
                                  .end = stream->token_end[i] < end ? stream->token_end[i] : end};
        good = fill_answer_token(stream->engine, stream->job, i, &span, &stream->room,
                                 &tokens[i - stream->told]);
    }
    if (good) {
        piece = (struct od_piece){.text = od_buf_text(&text),
                                  .size = text.size,
                                  .tokens = tokens,
                                  .token_count = (size_t)(last - stream->told)};
        request->on_piece(request->piece_context, &piece);
        stream->told = last;
        stream->told_size = end;
    }
    od_buf_release(&text);
    empty_room(stream);
    return good;
}

// Pass on the prompt, once, in front of the answer. All of it was scored before an answer begins.
static bool pass_on_prompt(struct stream *stream)
{
    const struct od_job *job = stream->job;
    struct od_buf text;
    if (stream->prompt_told) {
        return true;
    }
    od_buf_init(&text, (size_t)1 << 30);
    struct od_token_result *tokens =
        od_arena_alloc(&stream->room, (size_t)job->prompt_count, sizeof *tokens);
    const bool good = tokens && echo_text(stream->engine, job, &text) && !text.failed &&
                      echo_tokens(stream->engine, job, &stream->room, tokens);
    if (good) {
        const struct od_piece piece = {.text = od_buf_text(&text),
                                       .size = text.size,
                                       .tokens = tokens,
                                       .token_count = (size_t)job->prompt_count,
                                       .is_prompt = true};
        job->request->on_piece(job->request->piece_context, &piece);
        stream->prompt_told = true;
    }
    od_buf_release(&text);
    empty_room(stream);
    return good;
}

// More tokens may be read.
static void on_progress(void *context, int64_t published)
{
    struct stream *stream = context;
    const struct od_engine *engine = stream->engine;
    stream->failed = stream->failed || !pass_on_prompt(stream);
    for (; stream->seen < published && !stream->failed; stream->seen++) {
        const int32_t id = stream->job->tokens[answer_first(stream->job) + stream->seen].id;
        if (id < od_tokenizer_vocab_size(engine->tokenizer)) {
            stream->failed = od_tokenizer_decode(engine->tokenizer, &id, 1,
                                                 OD_DECODE_RAW | OD_DECODE_SKIP_SPECIAL,
                                                 &stream->raw, NULL) != OD_OK;
        }
        stream->token_end[stream->seen] = stream->raw.size;
    }
    const struct od_process_request *request = stream->job->request;
    const size_t held = od_answer_held_back(od_buf_text(&stream->raw), stream->raw.size,
                                            request->stop, request->stop_count);
    stream->failed = stream->failed || stream->raw.failed ||
                     !pass_on(stream, od_buf_text(&stream->raw), stream->raw.size - held);
}

// Ask the engine, passing pieces on as they come.
static enum od_status run_stream(struct od_engine *engine, struct od_job *job,
                                 struct od_arena *arena, struct od_error *err)
{
    struct stream stream = {
        .engine = engine, .job = job, .prompt_told = !job->request->echo_prompt};
    enum od_status status = OD_OK;
    stream.token_end = od_arena_alloc(arena, (size_t)job->max_new + 1, sizeof *stream.token_end);
    if (!stream.token_end) {
        return od_fail(err, OD_E_MEMORY, "no memory for a request");
    }
    od_buf_init(&stream.raw, (size_t)256 << 20);
    od_arena_init(&stream.room, (size_t)1 << 30);
    status = od_engine_submit(engine, job, on_progress, &stream, err);
    if (status == OD_OK) {
        stream.is_over = true;
        for (; stream.seen < job->answer_count; stream.seen++) {
            stream.token_end[stream.seen] = job->tokens[answer_first(job) + stream.seen].text_end;
        }
        stream.failed = stream.failed || !pass_on_prompt(&stream) ||
                        !pass_on(&stream, od_buf_text(&job->text), job->text.size);
    }
    if (status == OD_OK && stream.failed) {
        status = od_fail(err, OD_E_MEMORY, "no memory for a piece of an answer");
    }
    od_arena_release(&stream.room);
    od_buf_release(&stream.raw);
    return status;
}

static enum od_status choose_adapter(const struct od_engine *engine,
                                     const struct od_process_request *request, struct od_job *job,
                                     struct od_error *err)
{
    job->adapter = -1;
    if (!request->adapter) {
        return OD_OK;
    }
    for (int32_t i = 0; i < (int32_t)engine->options.adapter_count; i++) {
        if (strcmp(engine->adapter_names[i], request->adapter) == 0) {
            job->adapter = i;
            return OD_OK;
        }
    }
    return od_fail(err, OD_E_NOT_FOUND, "there is no adapter '%.200s'", request->adapter);
}

enum od_status od_engine_process(void *context, const struct od_process_request *request,
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
    status = choose_adapter(engine, request, &job, err);
    if (status != OD_OK) {
        goto done;
    }
    job.prompt = ids.data;
    job.prompt_count = (int64_t)ids.count;
    job.max_new = request->max_new_tokens < engine->context - job.prompt_count
                      ? request->max_new_tokens
                      : engine->context - job.prompt_count;
    if (!od_job_make_room(&job, &arena)) {
        status = od_fail(err, OD_E_MEMORY, "no memory for a request");
        goto done;
    }
    if (job.max_new == 0 && !request->echo_prompt) {
        job.finish = OD_FINISH_LENGTH;
    } else if (request->on_piece) {
        status = run_stream(engine, &job, &arena, err);
    } else {
        status = od_engine_submit(engine, &job, NULL, NULL, err);
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
