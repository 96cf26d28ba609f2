/**
 * @file
 * What the endpoints' bodies hold and what their answers look like.
 *
 * @source The challenge's server API and what HELM's client sends beyond it.
 * @thread Re-entrant: no state outside the arguments.
 */
#ifndef OD_SERVE_ENDPOINTS_H
#define OD_SERVE_ENDPOINTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"
#include "formats/json.h"
#include "infer/responder.h"
#include "serve/fields.h"
#include "text/tokenizer.h"

enum { OD_PROCESS_SAMPLES_MAX = 64 };

/** POST /tokenize. */
struct od_tokenize_request {
    const char *text;
    size_t text_size;
    bool truncation;
    int64_t max_length;
};

/** POST /decode. */
struct od_decode_request {
    const int32_t *ids;
    size_t count;
};

/**
 * Read a body; the request borrows from `body`. See od_body_read.
 *
 * Of the two fields that name a k, `top_k` limits sampling and `top_k_per_token` (HELM's) says how
 * many alternatives each token lists: HELM sends it with temperature 0, where sampling has no
 * choice to limit.
 *
 * @param ret_samples  How many completions are wanted: `num_samples` or `num_return_sequences`,
 *                     whichever is larger; 1 to OD_PROCESS_SAMPLES_MAX.
 */
enum od_status od_process_read(struct od_body *body, const char *bytes, size_t size,
                               struct od_process_request *ret, size_t *ret_samples,
                               struct od_buf *detail, struct od_error *err) OD_MUST_CHECK;
enum od_status od_tokenize_read(struct od_body *body, const char *bytes, size_t size,
                                struct od_tokenize_request *ret, struct od_buf *detail,
                                struct od_error *err) OD_MUST_CHECK;
enum od_status od_decode_read(struct od_body *body, const char *bytes, size_t size,
                              struct od_decode_request *ret, struct od_buf *detail,
                              struct od_error *err) OD_MUST_CHECK;

/**
 * Write an answer of `count` completions, at least one. The first of `results` [count] has the
 * places that the challenge's API knows; where there are more, all of them follow in a list of their
 * own, `completions`. JSON has no infinities: an alternative whose log-probability is not finite is
 * left out, a token's own is an error. Of alternatives with the same text the first is written.
 * @error OD_E_REFUSED: a number of the answer is not finite. Growing is checked by the caller.
 */
enum od_status od_process_write(struct od_buf *out, const struct od_process_result *const *results,
                                size_t count, struct od_error *err) OD_MUST_CHECK;
void od_tokenize_write(struct od_buf *out, const struct od_ids *ids, double seconds);
void od_decode_write(struct od_buf *out, const char *text, size_t size, double seconds);
/** {"detail":"why"} */
void od_message_write(struct od_buf *out, const char *why);

/** The schemas of these bodies, as members of an object that has begun. */
void od_endpoints_write_schemas(struct od_json_writer *w);

#endif
