/**
 * @file
 * Adapters that stay apart from the base weights, so that every row of a pass can have another one.
 *
 *     Y[t] += s (X[t] A^T) B^T        for the rows t of a sequence with the adapter (A, B, s)
 *     Y[t] += s B[ids[t]] A           behind the embedding
 *
 * @order  Row by row as in training: X A^T, times s, times B^T onto Y. What a row gets does not depend
 *         on the rows beside it.
 * @thread One owner.
 */
#ifndef OD_INFER_ADAPTERS_H
#define OD_INFER_ADAPTERS_H

#include <stdint.h>

#include "base/status.h"
#include "model/program.h"
#include "model/weights.h"
#include "ops/cpu.h"
#include "ops/op.h"

struct od_adapter_set {
    struct od_adapter *adapters;  ///< [count]
    int64_t count;
    float *room;  ///< [rows of a pass, highest rank]
};

/** Read the adapters in `paths` [count], folders or GGUF files, for a program of at most `rows` rows, whose
 *  base weights are in `tensors` (NULL: elsewhere).
 *  @error  OD_E_UNSUPPORTED: one has a weight of its own in the place of a base's, which all share.
 *  @memory Fills `ret`: od_adapter_set_release. */
enum od_status od_adapter_set_open(const struct od_program *program, float *const *tensors,
                                   const char *const *paths, int64_t count, int64_t rows,
                                   struct od_adapter_set *ret, struct od_error *err) OD_MUST_CHECK;
void od_adapter_set_release(struct od_adapter_set *set);

/** Behind an operation with a weight, on rows of `ids` (the embedding's) whose adapters are `of_row` [rows] (-1: none). Allocates
 *  nothing. */
void od_adapter_set_apply(const struct od_adapter_set *set, struct od_cpu *cpu,
                          const struct od_op *op, float *const *tensors, const int32_t *ids,
                          const int32_t *of_row, int64_t rows);

#endif
