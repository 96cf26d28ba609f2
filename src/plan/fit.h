/**
 * @file
 * A program that fits: of what its layers may keep, the most that stays within a budget.
 *
 * Every step on the way keeps less and computes more: first the outputs of norms and activations are
 * made again, layer by layer from the first one on, then the products before an activation, and so on
 * (enum od_keep). The results are the same bits on every step, so a run may go on under another
 * budget than it began with.
 *
 * @thread Re-entrant: distinct objects from distinct threads.
 */
#ifndef OD_PLAN_FIT_H
#define OD_PLAN_FIT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "model/program.h"
#include "model/spec.h"
#include "plan/plan.h"

/** What the driver takes beside the arena where it does not say, and what is left free for it. */
enum { OD_CARD_CONTEXT_BYTES = 600 << 20, OD_CARD_GUARD_BYTES = 64 << 20 };

/** A program with its plan, and the bytes that both take where they run. */
struct od_fit {
    struct od_program program;
    struct od_plan plan;
    uint64_t bytes;  ///< of the arena; on a GPU with what od_gpu_bytes adds
};

/**
 * Build the program of `options` (keep and lean_layers are chosen here) with the largest plan that is
 * not above `budget` bytes (0: no limit), or else the smallest of all.
 * @memory Gives: od_fit_release. @error Those of the program. A budget that nothing fits is no error:
 * ret->bytes is then above it.
 */
enum od_status od_fit_make(const struct od_spec *spec, const struct od_program_options *options,
                           uint64_t budget, bool use_library, struct od_fit *ret,
                           struct od_error *err) OD_MUST_CHECK;
void od_fit_release(struct od_fit *fit);

/**
 * The largest number of rows of a pass, a multiple of `step` below options->tokens, whose smallest
 * plan is not above `budget`; 0 when there is none.
 */
int64_t od_fit_tokens(const struct od_spec *spec, const struct od_program_options *options,
                      uint64_t budget, int64_t step, bool use_library);

/** Name of a level in plan.json and messages ("attention"). */
const char *od_keep_name(enum od_keep keep);

#endif
