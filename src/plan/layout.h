/**
 * @file
 * A program and its plan in the words of a GPU: what ops/gpu.h is opened with.
 *
 * @thread Re-entrant: distinct objects from distinct threads.
 */
#ifndef OD_PLAN_LAYOUT_H
#define OD_PLAN_LAYOUT_H

#include <stdbool.h>

#include "base/status.h"
#include "model/program.h"
#include "ops/gpu.h"
#include "plan/plan.h"

/** A layout that owns its tables. */
struct od_layout {
    struct od_gpu_layout gpu;
    struct od_gpu_tensor *tensors;
    struct od_gpu_param *params;
};

/** `program` (half) and `plan` are borrowed by the result. @memory Gives: od_layout_release. */
enum od_status od_layout_make(const struct od_program *program, const struct od_plan *plan,
                              bool use_library, struct od_layout *ret,
                              struct od_error *err) OD_MUST_CHECK;
void od_layout_release(struct od_layout *layout);

#endif
