/**
 * @file
 * From a program to bytes: where every tensor lies in one arena, before anything runs.
 *
 * Persistent tensors (weights, gradients, moments, tables, caches) lie at the bottom, one after
 * another. Transient ones lie above: largest first, each at the lowest offset where no tensor that
 * lives at the same time is. After the plan nothing is allocated: what fits at start fits until the
 * end. The same inputs give the same bytes of plan.json.
 *
 * @thread Re-entrant: distinct objects from distinct threads.
 */
#ifndef OD_PLAN_PLAN_H
#define OD_PLAN_PLAN_H

#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"
#include "model/program.h"

enum { OD_PLAN_ALIGN_BYTES = 256 };

struct od_plan {
    size_t *offset;      ///< [tensor_count] bytes from the start of the arena
    size_t total_bytes;  ///< of the arena
    size_t persistent_bytes;
    size_t transient_bytes;
    size_t host_bytes;  ///< beside the arena: what a GPU's program keeps with the host
    size_t role_bytes[OD_ROLE_COUNT];  ///< sums by role, before sharing
    int32_t tensor_count;
};

/** @memory Gives: od_plan_release. @error OD_E_LIMIT when a size does not fit. */
enum od_status od_plan_make(const struct od_program *program, struct od_plan *ret,
                            struct od_error *err) OD_MUST_CHECK;
void od_plan_release(struct od_plan *plan);

/** plan.json: totals, and every tensor with role, shape, lifetime and offset. */
enum od_status od_plan_write(const struct od_plan *plan, const struct od_program *program,
                             struct od_buf *out, struct od_error *err) OD_MUST_CHECK;

/** The arena of a plan, allocated at once, and each tensor's place in it. */
struct od_arrays {
    float **tensor;  ///< [tensor_count]
    void *memory;
    size_t bytes;
};
/** Allocate; every byte is zero. @memory Gives: od_arrays_release. */
enum od_status od_arrays_make(const struct od_plan *plan, struct od_arrays *ret,
                              struct od_error *err) OD_MUST_CHECK;
void od_arrays_release(struct od_arrays *arrays);
/** Host memory for what a program that runs on a GPU keeps beside it: inputs, tables, and trained
 *  fp32 tensors with their moments; the others are NULL. Zero. @memory Gives: od_arrays_release. */
enum od_status od_arrays_make_beside(const struct od_program *program, struct od_arrays *ret,
                                     struct od_error *err) OD_MUST_CHECK;

#endif
