/**
 * @file
 * From instances to requests: prompts with examples in front, cut to the context window.
 *
 * @source HELM 2023-11: in-context learning adapters, local window service.
 * @thread Re-entrant: distinct objects from distinct threads.
 */
#ifndef OD_EVAL_ADAPTER_H
#define OD_EVAL_ADAPTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"
#include "eval/instance.h"
#include "eval/run_spec.h"
#include "infer/responder.h"

/** HELM's window for a model behind HTTP: prompt and answer together, in tokens. */
enum { OD_WINDOW_TOKENS = 2048 };

/** One request of a run and what became of it. */
struct od_request_state {
    const struct od_instance *instance;
    int64_t trial;
    char *prompt;  ///< owned
    size_t prompt_size;
    int64_t num_train_instances;  ///< examples left in the prompt
    bool prompt_truncated;
    int64_t num_prompt_tokens;  ///< of the prompt as sent, 0 when it could not be counted
    struct od_process_result result;
};

/** The requests of a run, in request order. Initialise with `{0}`. */
struct od_request_states {
    struct od_request_state *items;
    size_t count;
};
void od_request_states_release(struct od_request_states *states);

/**
 * Append the prompt for `eval` with `count` examples in front.
 * @memory Borrows everything; check `out` afterwards.
 */
void od_prompt_build(const struct od_adapter_spec *adapter,
                     const struct od_instance *const *examples, size_t count,
                     const struct od_instance *eval, struct od_buf *out);

/** The letter of reference `index` (A, B, ...) as UTF-8 with a NUL behind it. */
void od_letter_text(size_t index, char out[5]);

/**
 * Number of tokens of a text; 0 when the responder could not be reached (OD_E_IO), as HELM counts.
 */
enum od_status od_token_count(const struct od_responder *responder, const char *text, size_t size,
                              int64_t *ret, struct od_error *err) OD_MUST_CHECK;

/**
 * Build the prompt of `state->instance` so that it fits `window` tokens together with the answer:
 * drop examples from the last on, and cut the text when none is left. Fills prompt, prompt_size,
 * num_train_instances and prompt_truncated; num_prompt_tokens, too, unless it stays 0: then the
 * text that is sent was not counted on the way.
 * @error What the responder fails with, except OD_E_IO, which counts as no tokens.
 */
enum od_status od_prompt_fit(const struct od_adapter_spec *adapter,
                             const struct od_responder *responder, int64_t window,
                             const struct od_instance *const *examples, size_t count,
                             struct od_request_state *state, struct od_error *err) OD_MUST_CHECK;

/** The request that `state` stands for. @memory Borrows `adapter` and `state`. */
struct od_process_request od_request_of(const struct od_adapter_spec *adapter,
                                        const struct od_request_state *state);

#endif
