/**
 * @file
 * A responder without a model, whose every number is known: tokens are bytes, BOS is 256, the
 * answer to a prompt is the prompt over and over. Some prompts do other things:
 *
 *     wait...      answers when the test opens the gate
 *     spin...      works until it is cancelled
 *     status N...  fails with that status
 *     nan, inf     gives a number that is not finite, in the token or in an alternative
 *     bytes        gives invalid UTF-8
 *     sample...    gives the sample's number: 0, 1111, 2, nothing; the second is the likeliest per
 *                  token, the third in all that have a token
 *
 * An answer that is taken in pieces comes byte by byte, an echoed prompt as one piece. A conversation's text is the contents of its
 * messages, each behind a '|'. Of a prompt that comes as ids, BOS is '^'.
 *
 * @thread Any thread.
 */
#ifndef OD_TESTS_SERVE_STAND_IN_H
#define OD_TESTS_SERVE_STAND_IN_H

#include <jansson.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "infer/responder.h"
#include "text/chat_template.h"

enum { STAND_IN_BOS = 256, STAND_IN_CONTEXT = 512 };

struct stand_in {
    struct od_responder responder;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int waiting;                     ///< at the gate
    int passes;                      ///< how many the gate still lets through
    struct od_process_request last;  ///< numbers of the last request; its pointers are stale
    atomic_int processed;
    atomic_int cancelled;
};

/** Let `count` of those at the gate through. */
static inline void stand_in_open(struct stand_in *stand_in, int count)
{
    (void)pthread_mutex_lock(&stand_in->lock);
    stand_in->passes += count;
    (void)pthread_cond_broadcast(&stand_in->changed);
    (void)pthread_mutex_unlock(&stand_in->lock);
}

/** Wait until `count` are at the gate. */
static inline void stand_in_await(struct stand_in *stand_in, int count)
{
    (void)pthread_mutex_lock(&stand_in->lock);
    while (stand_in->waiting < count) {
        (void)pthread_cond_wait(&stand_in->changed, &stand_in->lock);
    }
    (void)pthread_mutex_unlock(&stand_in->lock);
}

static inline void stand_in_wait(struct stand_in *stand_in)
{
    (void)pthread_mutex_lock(&stand_in->lock);
    stand_in->waiting++;
    (void)pthread_cond_broadcast(&stand_in->changed);
    while (stand_in->passes == 0) {
        (void)pthread_cond_wait(&stand_in->changed, &stand_in->lock);
    }
    stand_in->passes--;
    stand_in->waiting--;
    (void)pthread_mutex_unlock(&stand_in->lock);
}

/** One token of one byte with its alternatives: itself, then the bytes after it. */
static inline bool stand_in_token(struct od_process_result *result, struct od_token_result *token,
                                  char byte, size_t index, int64_t alternatives)
{
    const size_t count = (size_t)(alternatives < 1 ? 1 : alternatives);
    token->text = od_arena_memdup(&result->arena, &byte, 1);
    token->id = (unsigned char)byte;
    token->logprob = -0.5 * (double)(index % 4 + 1);
    token->top = od_arena_alloc(&result->arena, count, sizeof *token->top);
    if (!token->text || !token->top) {
        return false;
    }
    token->top_count = count;
    for (size_t i = 0; i < count; i++) {
        const char other = (char)((byte + (char)i) & 0x7f);
        token->top[i].text = od_arena_memdup(&result->arena, &other, 1);
        token->top[i].logprob = token->logprob - (double)i;
        if (!token->top[i].text) {
            return false;
        }
    }
    return true;
}

static inline enum od_status stand_in_answer(const struct od_process_request *request,
                                             struct od_process_result *result, struct od_error *err)
{
    const size_t prompt = request->prompt_size;
    const size_t room = (size_t)request->max_new_tokens + prompt;
    char *text = od_arena_alloc(&result->arena, room + 1, 1);
    result->tokens = od_arena_alloc(&result->arena, room, sizeof *result->tokens);
    if (!text || !result->tokens) {
        return od_fail(err, OD_E_MEMORY, "no memory for an answer");
    }
    size_t used = 0;
    if (request->echo_prompt) {
        memcpy(text, request->prompt, prompt);
        used = prompt;
    }
    const size_t start = used;
    result->finish = OD_FINISH_LENGTH;
    for (size_t i = 0; i < (size_t)request->max_new_tokens && prompt > 0; i++) {
        text[used++] = request->prompt[i % prompt];
        for (size_t s = 0; s < request->stop_count; s++) {
            const size_t size = strlen(request->stop[s]);
            if (size <= used - start && memcmp(text + used - size, request->stop[s], size) == 0) {
                used -= size;
                result->finish = OD_FINISH_STOP;
                i = room;
                break;
            }
        }
    }
    for (size_t i = 0; i < used; i++) {
        if (!stand_in_token(result, &result->tokens[i], text[i], i, request->top_logprobs)) {
            return od_fail(err, OD_E_MEMORY, "no memory for an answer");
        }
        result->logprob += i >= start ? result->tokens[i].logprob : 0.0;
    }
    text[used] = '\0';
    if (request->on_piece && request->echo_prompt) {
        const struct od_piece piece = {.text = text,
                                       .size = prompt,
                                       .tokens = result->tokens,
                                       .token_count = prompt,
                                       .is_prompt = true};
        request->on_piece(request->piece_context, &piece);
    }
    for (size_t i = start; i < used && request->on_piece; i++) {
        const struct od_piece piece = {
            .text = text + i, .size = 1, .tokens = &result->tokens[i], .token_count = 1};
        request->on_piece(request->piece_context, &piece);
    }
    result->prompt_tokens = (int64_t)prompt + 1;
    result->answer_tokens = (int64_t)(used - start);
    result->text = text;
    result->text_size = used;
    result->token_count = used;
    result->request_time_s = 0.25;
    return OD_OK;
}

static inline bool stand_in_starts(const struct od_process_request *request, const char *word)
{
    return request->prompt_size >= strlen(word) && memcmp(request->prompt, word, strlen(word)) == 0;
}

/** What differs between the samples of a prompt. */
static inline enum od_status stand_in_sample(const struct od_process_request *request,
                                             struct od_process_result *result, struct od_error *err)
{
    static const char *const DIGITS[] = {"0", "1", "2", "3"};
    static const int64_t LENGTHS[] = {1, 4, 1, 0};
    static const double LOGPROBS[] = {-1.0, -2.0, -0.75, 0.0};
    const size_t number = request->sample % 4;
    struct od_process_request copy = *request;
    copy.prompt = DIGITS[number];
    copy.prompt_size = 1;
    copy.max_new_tokens = LENGTHS[number];
    const enum od_status status = stand_in_answer(&copy, result, err);
    result->logprob = LOGPROBS[number];
    return status;
}

static inline enum od_status stand_in_process(void *context,
                                              const struct od_process_request *request,
                                              struct od_process_result *result,
                                              struct od_error *err)
{
    struct stand_in *stand_in = context;
    char of_ids[STAND_IN_CONTEXT] = "";
    struct od_process_request copy = *request;
    if (request->prompt_ids) {
        copy.prompt = of_ids;
        copy.prompt_size = 0;
        for (size_t i = 0; i < request->prompt_id_count && i + 1 < sizeof of_ids; i++) {
            const int32_t id = request->prompt_ids[i];
            of_ids[copy.prompt_size++] = id == STAND_IN_BOS ? '^' : (char)(id & 0x7f);
        }
        request = &copy;
    }
    (void)pthread_mutex_lock(&stand_in->lock);
    stand_in->last = *request;
    (void)pthread_mutex_unlock(&stand_in->lock);
    if (stand_in_starts(request, "wait")) {
        stand_in_wait(stand_in);
    }
    (void)atomic_fetch_add(&stand_in->processed, 1);
    if (stand_in_starts(request, "spin")) {
        while (!atomic_load(request->cancel)) {
            (void)sched_yield();
        }
        (void)atomic_fetch_add(&stand_in->cancelled, 1);
        return od_fail(err, OD_E_CANCELLED, "the client has gone");
    }
    if (stand_in_starts(request, "status ")) {
        const enum od_status status = (enum od_status)strtol(request->prompt + 7, NULL, 10);
        od_error_set(err, status, "it failed with \"%d\"", (int)status);
        return status;
    }
    if (request->prompt_size + 1 >= STAND_IN_CONTEXT) {
        return od_fail(err, OD_E_ARGUMENT, "a prompt of %zu tokens does not fit the context of %d",
                       request->prompt_size + 1, STAND_IN_CONTEXT);
    }
    if (stand_in_starts(request, "sample")) {
        return stand_in_sample(request, result, err);
    }
    const enum od_status status = stand_in_answer(request, result, err);
    if (status == OD_OK && stand_in_starts(request, "nan")) {
        result->tokens[0].logprob = (double)NAN;
    }
    if (status == OD_OK && stand_in_starts(request, "inf")) {
        result->tokens[0].top[result->tokens[0].top_count - 1].logprob = -HUGE_VAL;
    }
    if (status == OD_OK && stand_in_starts(request, "bytes")) {
        result->text = "a\xff\xc3";
        result->text_size = 3;
    }
    return status;
}

static inline enum od_status stand_in_tokenize(void *context, const char *text, size_t size,
                                               bool truncation, int64_t max_length,
                                               struct od_ids *out, struct od_error *err)
{
    (void)context;
    (void)err;
    for (size_t i = 0; i <= size && (!truncation || (int64_t)i < max_length); i++) {
        od_ids_push(out, i == 0 ? STAND_IN_BOS : (unsigned char)text[i - 1]);
    }
    return OD_OK;
}

static inline enum od_status stand_in_decode(void *context, const int32_t *ids, size_t count,
                                             struct od_buf *out, struct od_error *err)
{
    (void)context;
    for (size_t i = 0; i < count; i++) {
        if (ids[i] > STAND_IN_BOS) {
            return od_fail(err, OD_E_ARGUMENT, "id %d is outside the vocabulary of 257", ids[i]);
        }
        if (ids[i] < STAND_IN_BOS) {
            od_buf_putc(out, (char)ids[i]);
        }
    }
    return OD_OK;
}

static inline enum od_status stand_in_chat(void *context, const struct od_chat *chat,
                                           struct od_buf *out, struct od_error *err)
{
    (void)context;
    (void)err;
    for (size_t i = 0; i < json_array_size(chat->messages); i++) {
        const json_t *message = json_array_get(chat->messages, i);
        const char *content = json_string_value(json_object_get(message, "content"));
        od_buf_printf(out, "|%s", content ? content : "");
    }
    return OD_OK;
}

static inline void stand_in_metrics(void *context, struct od_buf *out)
{
    (void)context;
    od_buf_puts(out, "# TYPE stand_in gauge\nstand_in 1\n");
}

static inline void stand_in_init(struct stand_in *stand_in)
{
    *stand_in =
        (struct stand_in){.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    stand_in->responder = (struct od_responder){.context = stand_in,
                                                .process = stand_in_process,
                                                .tokenize = stand_in_tokenize,
                                                .decode = stand_in_decode,
                                                .chat = stand_in_chat,
                                                .write_metrics = stand_in_metrics,
                                                .context_length = STAND_IN_CONTEXT,
                                                .model_name = "stand-in"};
}

#endif
