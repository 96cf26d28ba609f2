/**
 * @file
 * POST /score: how likely each of several texts is behind a prompt.
 *
 *     {"prompt": "The sky is", "completions": [" blue", " green"]}
 *  -> {"scores": [{"logprob": -0.7, "tokens": [{"text": " blue", "logprob": -0.7}],
 *                  "is_greedy": true}, ...], "request_time": 0.01}
 *
 * A completion's tokens are those of prompt and completion together from the first one on in which
 * they differ from the prompt's own.
 *
 * @thread Re-entrant.
 */
#ifndef OD_SERVE_SCORE_H
#define OD_SERVE_SCORE_H

#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"
#include "formats/json.h"
#include "infer/responder.h"
#include "serve/fields.h"

enum { OD_SCORE_COMPLETIONS_MAX = 64, OD_SCORE_COMPLETION_MAX_BYTES = 1 << 20 };

/** A request. Borrows from its body. */
struct od_score_request {
    const char *model;
    struct od_process_request *parts;  ///< each an echo of prompt and completion
    size_t *first;                     ///< the completion's first token
    size_t part_count;
};

/** Read a body, see od_body_read; the responder makes the tokens. */
enum od_status od_score_read(struct od_body *body, const struct od_responder *responder,
                             const char *bytes, size_t size, struct od_score_request *ret,
                             struct od_buf *detail, struct od_error *err) OD_MUST_CHECK;

/** Write an answer; `results` [part_count]. @error OD_E_REFUSED: a number is not finite. */
enum od_status od_score_write(struct od_buf *out, const struct od_score_request *request,
                              const struct od_process_result *const *results, double seconds,
                              struct od_error *err) OD_MUST_CHECK;

/** The schema of a request, as a member of an object that has begun. */
void od_score_write_schema(struct od_json_writer *w);

#endif
