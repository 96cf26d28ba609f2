/**
 * @file
 * Who answers a prompt: the interface between those who ask (the evaluator, the HTTP server, the
 * demo) and those who answer (the engine in this process, or a server behind a URL).
 *
 * @source The challenge's server API: /process, /tokenize, /decode.
 * @thread Every function of a responder may be called from any thread at the same time.
 */
#ifndef OD_INFER_RESPONDER_H
#define OD_INFER_RESPONDER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

enum {
    OD_PROMPT_MAX_BYTES = 16 << 20,
    OD_STOP_COUNT_MAX = 64,
    OD_STOP_MAX_BYTES = 1024,
    OD_TOP_LOGPROBS_MAX = 100,
    OD_NEW_TOKENS_MAX = 1 << 20
};

struct od_token_result;

/** What an answer grew by: whole characters that no stop string can take back any more. With
 *  echo_prompt the first piece is the prompt, whose first token has no log-probability. */
struct od_piece {
    const char *text;  ///< UTF-8, without a NUL behind it
    size_t size;
    const struct od_token_result *tokens;  ///< that became complete; may be none
    size_t token_count;
    bool is_prompt;
};
/** Called by process, on the thread that called it, before the answer is complete. */
typedef void (*od_piece_fn)(void *context, const struct od_piece *piece);

/** One question. Initialise with OD_PROCESS_REQUEST_INIT and set what differs. */
struct od_process_request {
    const char *prompt;  ///< UTF-8
    size_t prompt_size;
    const int32_t *prompt_ids;  ///< instead of the text: the tokens as they are; NULL: the text
    size_t prompt_id_count;
    int64_t max_new_tokens;  ///< >= 0
    double temperature;      ///< <= 1e-6 means greedy
    int64_t top_k;           ///< 0: no limit
    double top_p;            ///< 1: no limit
    double min_p;            ///< 0: no limit; below this share of the likeliest: never
    bool has_seed;
    uint64_t seed;
    const char *adapter;      ///< name of one of the responder's; NULL: none
    uint32_t sample;          ///< number of the answer, where one prompt gets several
    bool echo_prompt;         ///< the prompt is part of text and tokens
    const char *const *stop;  ///< the text ends before the first of these that appears
    size_t stop_count;
    int64_t top_logprobs;  ///< how many alternatives each token lists, at least its own
    /** Set by the asker once nobody wants the answer any more: process may then end early with
     *  OD_E_CANCELLED. NULL: never. */
    const atomic_bool *cancel;
    od_piece_fn on_piece;  ///< NULL: the answer comes as a whole
    void *piece_context;
};
#define OD_PROCESS_REQUEST_INIT \
    {.max_new_tokens = 50, .temperature = 0.8, .top_k = 200, .top_p = 1.0, .top_logprobs = 1}

struct od_top_logprob {
    const char *text;
    double logprob;
};

struct od_token_result {
    const char *text;  ///< what this token adds to the text (valid UTF-8)
    double logprob;
    struct od_top_logprob *top;
    size_t top_count;
    int32_t id;  ///< -1 when a server did not say
};

enum od_finish { OD_FINISH_LENGTH, OD_FINISH_STOP, OD_FINISH_EOS, OD_FINISH_UNKNOWN };

/** One answer. Initialise with od_process_result_init; everything hangs off its arena. */
struct od_process_result {
    const char *text;
    size_t text_size;
    double logprob;  ///< sum over the generated tokens
    struct od_token_result *tokens;
    size_t token_count;
    double request_time_s;
    enum od_finish finish;
    int64_t prompt_tokens;  ///< 0 when a server did not say
    int64_t answer_tokens;  ///< those of `tokens`, at its end, that were generated
    struct od_arena arena;
};
void od_process_result_init(struct od_process_result *result);
void od_process_result_release(struct od_process_result *result);

/** The interface. `context` is the implementation's own. */
struct od_responder {
    void *context;
    /** Answer one request; blocks. Fills `result` (initialised by the caller). */
    enum od_status (*process)(void *context, const struct od_process_request *request,
                              struct od_process_result *result, struct od_error *err);
    /** Append ids with the special tokens that a prompt gets. With `truncation` at most
     *  `max_length` ids, cut at the end. */
    enum od_status (*tokenize)(void *context, const char *text, size_t size, bool truncation,
                               int64_t max_length, struct od_ids *out, struct od_error *err);
    /** Append the text of ids, special tokens left out. */
    enum od_status (*decode)(void *context, const int32_t *ids, size_t count, struct od_buf *out,
                             struct od_error *err);
    /** Append the text of a conversation's prompt. NULL: there is no chat here. */
    enum od_status (*chat)(void *context, const struct od_chat *chat, struct od_buf *out,
                           struct od_error *err);
    /** Append what it counts, in the text format of Prometheus. NULL: nothing. */
    void (*write_metrics)(void *context, struct od_buf *out);
    /** Tokens (prompt and answer) that fit; 0 when unknown. */
    int64_t context_length;
    /** Name of the model, for lists and logs. @memory Kept by the implementation. */
    const char *model_name;
    /** Names of the adapters that a request may choose from [adapter_count]. @memory As above. */
    const char *const *adapters;
    size_t adapter_count;
};

#endif
