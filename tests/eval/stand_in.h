/**
 * @file
 * A made-up model whose answers are a function of the prompt, the same one that
 * tests/oracle/helm_eval.py gives to HELM.
 *
 * Tokens: up to three ASCII characters are one token, any other character is one. Answers: the
 * SHA-256 of the prompt chooses.
 *
 * @thread process, tokenize and decode may be called from any thread.
 */
#ifndef OD_TESTS_EVAL_STAND_IN_H
#define OD_TESTS_EVAL_STAND_IN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/text.h"
#include "infer/responder.h"
#include "text/tokenizer.h"

#define STAND_IN_UNUSED __attribute__((unused))

enum { STAND_IN_WIDE = 1 << 21 };

struct stand_in {
    struct od_responder interface;
    atomic_int process_calls;
    atomic_int tokenize_calls;
    atomic_int decode_calls;
    atomic_int fail_process;        ///< this many calls fail first
    enum od_status fail_status;     ///< with this
    enum od_status tokenize_fails;  ///< every call fails with this
    enum od_status decode_fails;
    bool ignores_truncation;
    unsigned char salt;  ///< another one is another model
};

STAND_IN_UNUSED static void stand_in_digest(const char *prompt, size_t size, unsigned char out[32])
{
    char hex[OD_SHA256_HEX_BYTES];
    od_sha256_hex(prompt, size, hex);
    for (size_t i = 0; i < 32; i++) {
        const char pair[3] = {hex[2 * i], hex[2 * i + 1], '\0'};
        out[i] = (unsigned char)strtoul(pair, NULL, 16);
    }
}

STAND_IN_UNUSED static enum od_status stand_in_tokenize(void *context, const char *text,
                                                        size_t size, bool truncation,
                                                        int64_t max_length, struct od_ids *out,
                                                        struct od_error *err)
{
    struct stand_in *model = context;
    atomic_fetch_add(&model->tokenize_calls, 1);
    if (model->tokenize_fails == OD_E_IO) {
        return od_fail(err, OD_E_IO, "made-up failure of tokenize");
    }
    if (model->tokenize_fails != OD_OK) {
        return od_fail(err, OD_E_FORMAT, "made-up broken answer of tokenize");
    }
    for (size_t i = 0; i < size;) {
        int32_t value = 0;
        uint32_t code = 0;
        if (truncation && !model->ignores_truncation && (int64_t)out->count == max_length) {
            break;
        }
        if ((unsigned char)text[i] >= 0x80) {
            i += (size_t)od_utf8_decode(text + i, size - i, &code);
            od_ids_push(out, STAND_IN_WIDE + (int32_t)code);
            continue;
        }
        for (int n = 0; n < 3 && i < size && (unsigned char)text[i] < 0x80; n++) {
            value |= (int32_t)text[i++] << (7 * n);
        }
        od_ids_push(out, value);
    }
    return OD_OK;
}

STAND_IN_UNUSED static enum od_status stand_in_decode(void *context, const int32_t *ids,
                                                      size_t count, struct od_buf *out,
                                                      struct od_error *err)
{
    struct stand_in *model = context;
    atomic_fetch_add(&model->decode_calls, 1);
    if (model->decode_fails != OD_OK) {
        return od_fail(err, OD_E_IO, "made-up failure of decode");
    }
    for (size_t i = 0; i < count; i++) {
        if (ids[i] >= STAND_IN_WIDE) {
            char bytes[4];
            const int length = od_utf8_encode((uint32_t)(ids[i] - STAND_IN_WIDE), bytes);
            od_buf_append(out, bytes, (size_t)length);
        } else {
            for (int32_t value = ids[i]; value > 0; value >>= 7) {
                od_buf_putc(out, (char)(value & 127));
            }
        }
    }
    return OD_OK;
}

// Prompts of the task whose answers are sentences.
STAND_IN_UNUSED static bool stand_in_tells(const char *prompt)
{
    return strncmp(prompt, "Tell. ", strlen("Tell. ")) == 0;
}

// BIG-bench's puzzles: they are answered by eight words of the prompt.
STAND_IN_UNUSED static bool stand_in_puzzles(const char *prompt)
{
    static const char start[] = "Solve Rosetta Stone-style";
    return strncmp(prompt, start, strlen(start)) == 0;
}

// Eight words of the prompt from word `choice` (modulo their number) on; a blank or the end of a line parts
// words, which may be empty.
STAND_IN_UNUSED static void stand_in_words(const char *prompt, size_t size, unsigned choice,
                                           char *out, size_t out_size)
{
    enum { WORDS = 8 };
    size_t count = 1;
    size_t word = 0;
    size_t n = 0;
    for (size_t i = 0; i < size; i++) {
        count += prompt[i] == ' ' || prompt[i] == '\n';
    }
    const size_t first = choice % count;
    for (size_t i = 0; i < size && n + 1 < out_size; i++) {
        const bool parts = prompt[i] == ' ' || prompt[i] == '\n';
        word += parts;
        if (word >= first + WORDS) {
            break;
        }
        if (word >= first && !(parts && word == first)) {
            out[n] = prompt[i];
            if (parts) {
                out[n] = ' ';
            }
            n++;
        }
    }
    out[n] = '\0';
}

// The text of an answer into `out`; false: no token at all.
STAND_IN_UNUSED static void stand_in_text(const char *prompt, size_t size, bool letter,
                                          unsigned choice, char *out, size_t out_size)
{
    static const char *const letters[] = {" A", " B", " C", " D", "A", "B\n", "E", ""};
    static const char *const forms[] = {
        " It is %s. The answer is %s.",          " The answer is %s",
        " The answer is %s.\n\nQ: next",         "",
        " So %s,000 apples. The answer is -%s.", " Caf\xC3\xA9: the answer is %s.  "};
    static const char *const tells[] = {" The river met Dr. Lamp.",
                                        " It was no. 8. lamps",
                                        "The stone can't; it left... the stone",
                                        " He said \"no.\" A",
                                        " caf\xC3\xA9, \xC3\xA9t\xC3\xA9! A B A B",
                                        "rivers",
                                        "The The river river met met",
                                        ""};
    char digits[64] = "0";
    size_t end = size;
    if (stand_in_tells(prompt)) {
        (void)snprintf(out, out_size, "%s", tells[choice % 8]);
        return;
    }
    if (letter) {
        (void)snprintf(out, out_size, "%s", letters[choice % 8]);
        return;
    }
    while (end > 0 && (prompt[end - 1] < '0' || prompt[end - 1] > '9')) {
        end--;
    }
    size_t start = end;
    while (start > 0 && prompt[start - 1] >= '0' && prompt[start - 1] <= '9') {
        start--;
    }
    if (end > start) {
        (void)snprintf(digits, sizeof digits, "%.*s", (int)(end - start), prompt + start);
    }
    out[0] = '\0';
    size_t n = 0;
    for (const char *at = forms[choice % 6]; *at != '\0';) {
        if (at[0] == '%' && at[1] == 's') {
            n += (size_t)snprintf(out + n, out_size - n, "%s", digits);
            at += 2;
        } else {
            out[n++] = *at++;
            out[n] = '\0';
        }
    }
}

STAND_IN_UNUSED static enum od_status stand_in_process(void *context,
                                                       const struct od_process_request *request,
                                                       struct od_process_result *result,
                                                       struct od_error *err)
{
    struct stand_in *model = context;
    unsigned char h[32];
    char text[512];
    const bool puzzles = stand_in_puzzles(request->prompt);
    const bool tells = puzzles || stand_in_tells(request->prompt);
    const bool letter = !tells && (request->max_new_tokens == 1 || request->max_new_tokens == 64);

    atomic_fetch_add(&model->process_calls, 1);
    if (atomic_fetch_sub(&model->fail_process, 1) > 0) {
        od_error_set(err, model->fail_status, "made-up failure");
        return model->fail_status;
    }
    stand_in_digest(request->prompt, request->prompt_size, h);
    for (size_t i = 0; i < sizeof h; i++) {
        h[i] ^= model->salt;
    }
    if (puzzles) {
        stand_in_words(request->prompt, request->prompt_size, h[0] * 256U + h[1], text,
                       sizeof text);
    } else {
        stand_in_text(request->prompt, request->prompt_size, letter, h[0], text, sizeof text);
    }
    result->text = od_arena_strdup(&result->arena, text);
    result->text_size = strlen(text);
    result->tokens = od_arena_alloc(&result->arena, 256, sizeof *result->tokens);
    result->logprob = 0.0;
    if (!result->text || !result->tokens) {
        return od_fail(err, OD_E_MEMORY, "no memory for a made-up answer");
    }
    for (size_t at = 0; at < result->text_size;) {
        size_t size = 0;  // five characters
        for (int n = 0; n < 5 && at + size < result->text_size; n++) {
            uint32_t code = 0;
            size += (size_t)od_utf8_decode(text + at + size, result->text_size - at - size, &code);
        }
        struct od_token_result *token = &result->tokens[result->token_count];
        token->text = od_arena_memdup(&result->arena, text + at, size);
        if (at == 0 && !letter && !tells && h[0] % 6 == 5) {
            token->text = "bytes:\\xe2\\x80";
        }
        token->logprob = -((double)h[1 + result->token_count % 16] + 1.0) / 64.0;
        token->top = od_arena_alloc(&result->arena, 2, sizeof *token->top);
        if (!token->text || !token->top) {
            return od_fail(err, OD_E_MEMORY, "no memory for a made-up answer");
        }
        token->top[0] = (struct od_top_logprob){token->text, token->logprob};
        token->top[1] = (struct od_top_logprob){"?", token->logprob - 1.0};
        token->top_count = letter ? 2 : 1;
        token->id = -1;
        result->logprob += token->logprob;
        result->token_count++;
        at += size;
    }
    result->request_time_s = (double)h[31] / 256.0;
    return OD_OK;
}

STAND_IN_UNUSED static void stand_in_init(struct stand_in *model)
{
    memset(model, 0, sizeof *model);
    model->interface = (struct od_responder){.context = model,
                                             .process = stand_in_process,
                                             .tokenize = stand_in_tokenize,
                                             .decode = stand_in_decode,
                                             .model_name = "stand-in"};
}

#endif
