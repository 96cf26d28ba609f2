/**
 * @file
 * Shared by the files of a session: the parts that differ on a GPU.
 *
 * @thread One owner.
 */
#ifndef OD_TUNE_SESSION_INTERNAL_H
#define OD_TUNE_SESSION_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "tune/recipe.h"
#include "tune/session.h"

/** The folder that tokenizer and weights (or only the tokenizer) come from. */
static inline const char *od_session_source(const struct od_session *session)
{
    return session->recipe->base_model ? session->recipe->base_model
                                       : session->recipe->base_tokenizer;
}

/**
 * Forward and, when learning, backward over the session's batch; adds the sum of row losses. On a GPU
 * the pass is queued, and the losses are told at the end of the step.
 * @param labels  Of the whole step.
 * @param pass    Its number in the run: masks are drawn for it.
 */
enum od_status od_session_pass(struct od_session *session, double labels, bool learn, uint32_t pass,
                               double *loss_sum, struct od_error *err) OD_MUST_CHECK;
/** Open the GPU, make a program and a plan that fit it, and take the memory. */
enum od_status od_session_gpu_open(struct od_session *session,
                                   const struct od_session_options *options,
                                   const struct od_program_options *program,
                                   struct od_error *err) OD_MUST_CHECK;
void od_session_gpu_close(struct od_session *session);
/** The values [rows, cols] of a frozen bf16 tensor of the card or of its host's.
 *  @memory Gives: od_free. */
enum od_status od_session_gpu_values(const struct od_session *session, int32_t number, float **ret,
                                     struct od_error *err) OD_MUST_CHECK;
/** Base weights and fresh adapters. */
enum od_status od_session_gpu_weights(struct od_session *session,
                                      const struct od_session_options *options,
                                      struct od_error *err) OD_MUST_CHECK;
/** Clip, update, wait; loss_sum and norm of the step. */
enum od_status od_session_gpu_update(struct od_session *session,
                                     const struct od_adamw_scalars *scalars, double *ret_loss_sum,
                                     double *ret_norm, struct od_error *err) OD_MUST_CHECK;
/** Say why the session's leanest plan is refused, and what would fit. */
enum od_status od_session_refuse(const struct od_session *session, uint64_t need, uint64_t cap,
                                 bool use_library, struct od_error *err);
/** Go on from the adapter in the recipe's lora_model_dir. @error OD_E_REFUSED when it is none of this
 *  recipe. */
enum od_status od_session_adapter(struct od_session *session, struct od_error *err) OD_MUST_CHECK;

#endif
