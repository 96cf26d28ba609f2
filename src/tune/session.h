/**
 * @file
 * A training session in memory: model, data, optimiser and place in the data, and the step.
 *
 * Everything is allocated when the session opens; a step allocates nothing, except that the packs
 * of an epoch are made when it begins. A step is a function of (recipe, seed, step, weights,
 * moments) alone, so a session that is restored from a checkpoint goes on with the same bits.
 *
 * @thread One owner.
 */
#ifndef OD_TUNE_SESSION_H
#define OD_TUNE_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "data/dataset.h"
#include "data/pack.h"
#include "device/cuda/cuda.h"
#include "model/program.h"
#include "model/weights.h"
#include "ops/adamw/adamw_8bit.h"
#include "ops/cpu.h"
#include "ops/gpu.h"
#include "plan/plan.h"
#include "text/tokenizer.h"
#include "tune/recipe.h"

/** Where in the run a session is. */
struct od_place {
    int64_t step;    ///< steps done
    uint32_t epoch;  ///< that the next pack comes from
    int64_t pack;    ///< next pack of that epoch
    int64_t tokens;  ///< seen so far
    int64_t labels;  ///< learned so far
};

/** What one step says. */
struct od_step_report {
    int64_t step;  ///< 1 after the first
    double epoch;  ///< how far, in epochs
    double loss;   ///< mean over the labels of the step
    double lr;
    double grad_norm;  ///< before clipping
    int64_t tokens;
    int64_t labels;
};

/** What an evaluation says. */
struct od_eval_report {
    double loss;  ///< mean over the labels
    int64_t labels;
    int64_t tokens;
};

struct od_session {
    const struct od_recipe *recipe;
    struct od_spec spec;
    struct od_tokenizer *tokenizer;
    struct od_cpu cpu;     ///< where it computes when `gpu` is NULL
    struct od_cuda *cuda;  ///< where it computes otherwise
    struct od_gpu *gpu;
    uint64_t card_free_bytes;   ///< before the plan was taken
    struct od_adamw_maps maps;  ///< of moments that are 8-bit codes
    struct od_program program;
    struct od_plan plan;
    struct od_arrays arrays;  ///< on a GPU: inputs, and what is trained (od_session_fetch)
    struct od_dataset dataset;
    struct od_packs packs;
    bool packs_made;
    struct od_dataset validation;  ///< documents held out; count 0: none
    struct od_packs validation_packs;
    struct od_micro_batch batch;
    double *partials;  ///< [largest tensor / OD_NORM_CHUNK + 1]
    struct od_place place;
    int64_t total_steps;
    int64_t steps_per_epoch;  ///< of the first epoch
    int64_t bad_first;  ///< packs [bad_first, bad_last) of the present epoch made a step whose
    int64_t bad_last;   ///< loss or gradient is no number; equal: none did
};

/** How to run. */
struct od_session_options {
    bool on_gpu;      ///< compute on a GPU
    int gpu;          ///< which
    bool no_library;  ///< GPU: own matrix products even where cuBLASLt is found
    bool keep_least;  ///< GPU: layers keep as little as when memory is short; the bits are the same
    bool random;      ///< GPU: random base weights, made on the card (benchmarks)
    int threads;      ///< 0: all processors
    bool allow_vector;
    uint64_t max_bytes;          ///< refuse a larger plan; 0: no cap
    struct od_dataset *dataset;  ///< taken instead of the recipe's files; NULL: none
};

/** The program options that a recipe asks for on this many threads. */
enum od_status od_session_program_options(const struct od_recipe *recipe,
                                          const struct od_spec *spec, int threads,
                                          struct od_program_options *ret,
                                          struct od_error *err) OD_MUST_CHECK;

/** Read the spec that a recipe names (of the base model, or the config to pre-train from). */
enum od_status od_session_spec(const struct od_recipe *recipe, struct od_spec *ret,
                               struct od_error *err) OD_MUST_CHECK;

/**
 * Plan, then load model and data. @memory Keeps `recipe`. Gives: od_session_close.
 * @error OD_E_REFUSED when the plan is above the cap, before any data is read.
 */
enum od_status od_session_open(const struct od_recipe *recipe,
                               const struct od_session_options *options, struct od_session *ret,
                               struct od_error *err) OD_MUST_CHECK;
void od_session_close(struct od_session *session);

/** One optimiser step. @error OD_E_REFUSED when loss or gradient is not finite; weights are then as
 *  they were. */
enum od_status od_session_step(struct od_session *session, struct od_step_report *ret,
                               struct od_error *err) OD_MUST_CHECK;

/** Make the packs of session->place.epoch, after the place was set from a checkpoint. */
enum od_status od_session_seek(struct od_session *session, struct od_error *err) OD_MUST_CHECK;

/** Mean loss over the held-out documents at the present weights, without learning. Nothing that a
 *  step depends on changes. @error OD_E_REFUSED when the loss is not finite; OD_E_ARGUMENT when
 *  nothing is held out. */
enum od_status od_session_evaluate(struct od_session *session, struct od_eval_report *ret,
                                   struct od_error *err) OD_MUST_CHECK;

/** The longest text that od_session_prompt takes: what a pass of the run holds. */
int64_t od_session_prompt_max(const struct od_session *session);
/**
 * What the present weights give for the text `ids`, by the operations that train them, without masks
 * and noise.
 *
 * @param count     2 to od_session_prompt_max.
 * @param logits    [count, V] after each id; NULL: not wanted. A session on a GPU, which never holds
 *                  them all, gives none: NULL.
 * @param ret_loss  Mean over the count - 1 ids behind the first.
 * @error OD_E_REFUSED when the loss is no number.
 */
enum od_status od_session_prompt(struct od_session *session, const int32_t *ids, int64_t count,
                                 float *logits, double *ret_loss,
                                 struct od_error *err) OD_MUST_CHECK;

/** On a GPU: measure the algorithms of the matrix products that were not chosen before. */
enum od_status od_session_measure(struct od_session *session, struct od_error *err) OD_MUST_CHECK;

/** Bytes that the session takes where it computes, the GPU's context apart. */
uint64_t od_session_bytes(const struct od_session *session);

/** On a GPU: bytes that the driver counts as taken on the card since the session began, before its
 *  plan; 0 on the CPU. */
uint64_t od_session_driver_bytes(const struct od_session *session);

/** On a GPU: bring what is trained and its moments from the card into `arrays`, or back. Nothing to
 *  do on the CPU. */
enum od_status od_session_fetch(const struct od_session *session,
                                struct od_error *err) OD_MUST_CHECK;
enum od_status od_session_store(struct od_session *session, struct od_error *err) OD_MUST_CHECK;

/** Hash over all trained tensors, in order: XXH3 on the CPU, a sum of mixed elements on a GPU; 0
 *  when the GPU fails. */
uint64_t od_session_weight_hash(const struct od_session *session);

#endif
