/**
 * @file
 * The bodies of OpenAI's API: completions and conversations, whole or as a stream of events, and what
 * is wrong with a request in that API's words.
 *
 * One request may ask for several answers: each of its prompts `n` times, or `best_of` times where
 * only the `n` likeliest are wanted. They are its parts; the parts are asked of the responder on
 * their own, at the same time.
 *
 * What would change an answer and is not done here (penalties, biases, suffixes, formats) is refused
 * instead of ignored.
 *
 * @source OpenAI's API reference: completions, chat completions, models; errors as its clients read
 *         them.
 * @thread Re-entrant: distinct objects from distinct threads.
 */
#ifndef OD_SERVE_OPENAI_H
#define OD_SERVE_OPENAI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"
#include "formats/json.h"
#include "infer/responder.h"
#include "serve/fields.h"

enum {
    OD_OPENAI_PARTS_MAX = 128,  ///< answers to one request
    OD_OPENAI_SAMPLES_MAX = 64,
    OD_OPENAI_ID_BYTES = 32
};

/** A request. Borrows from its body. */
struct od_openai_request {
    bool is_chat;
    const char *model;  ///< as the client says it; "" when it does not
    struct od_process_request *parts;
    size_t part_count;
    size_t samples;  ///< parts of each prompt, one behind the other
    size_t answers;  ///< so many of them are the answer
    bool stream;
    bool stream_usage;  ///< the stream ends with the counts of tokens
    bool logprobs;      ///< of every token,
    int64_t top;        ///< with so many alternatives
};

/**
 * Read a body. The prompts of a conversation are rendered by `responder`.
 * @param detail  As of od_body_read.
 * @error OD_E_FORMAT with `detail` written; OD_E_UNSUPPORTED where the model has no conversations;
 *        OD_E_MEMORY.
 */
enum od_status od_completions_read(struct od_body *body, const char *bytes, size_t size,
                                   struct od_openai_request *ret, struct od_buf *detail,
                                   struct od_error *err) OD_MUST_CHECK;
enum od_status od_chat_read(struct od_body *body, const struct od_responder *responder,
                            const char *bytes, size_t size, struct od_openai_request *ret,
                            struct od_buf *detail, struct od_error *err) OD_MUST_CHECK;

/** What all texts about one request carry. */
struct od_openai_call {
    const struct od_openai_request *request;
    const char *model;  ///< that answers
    char id[OD_OPENAI_ID_BYTES];
    int64_t created_s;
};

/** The whole answer; `results` [part_count]. Where more were made than are wanted, those with the
 *  highest log-probability per token come, best first. @error OD_E_REFUSED: a number is not finite. */
enum od_status od_openai_write(struct od_buf *out, const struct od_openai_call *call,
                               const struct od_process_result *const *results,
                               struct od_error *err) OD_MUST_CHECK;

/** One event of a stream: a piece of part `index`. `*offset` counts its characters, from 0. */
enum od_status od_openai_write_piece(struct od_buf *out, const struct od_openai_call *call,
                                     size_t index, const struct od_piece *piece, int64_t *offset,
                                     struct od_error *err) OD_MUST_CHECK;
/** The first event of a part of a conversation: who speaks. Nothing for a completion. */
void od_openai_write_begin(struct od_buf *out, const struct od_openai_call *call, size_t index);
/** The last event of a part: why it ended. */
void od_openai_write_end(struct od_buf *out, const struct od_openai_call *call, size_t index,
                         enum od_finish finish);
/** The event of counts, and the one that ends the stream. */
void od_openai_write_done(struct od_buf *out, const struct od_openai_call *call,
                          const struct od_process_result *const *results);

/** {"error":{...}}; `param` and `code` may be NULL. `as_event`: as an event of a stream. */
void od_openai_write_error(struct od_buf *out, const char *message, const char *type,
                           const char *param, const char *code, bool as_event);
/** The same about the first error of a detail, see od_body_read. */
void od_openai_write_detail(struct od_buf *out, const struct od_buf *detail);

/** The models that answer: the responder's, then its adapters. */
void od_openai_write_models(struct od_buf *out, const struct od_responder *responder,
                            int64_t created_s);
/** One of them; false, and nothing is written, when there is none of that name. */
bool od_openai_write_model(struct od_buf *out, const struct od_responder *responder,
                           const char *name, int64_t created_s);

/** The schemas of both requests, as members of an object that has begun. */
void od_openai_write_schemas(struct od_json_writer *w);

#endif
