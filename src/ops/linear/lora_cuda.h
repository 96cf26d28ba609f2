/**
 * @file
 * What the host and the kernels of adapters that stay apart share (ops/linear/lora.cu): each row of a
 * pass has another adapter, or none.
 *
 *     Y[t] += s (X[t] A^T) B^T        with the A, B and s of the adapter of row t
 *
 * @order Each sum of X A^T by lane, then over lanes in a fixed tree; over the rank in order; in fp32.
 *        Y is rounded once more. Rows do not know of each other.
 * @thread No state.
 */
#ifndef OD_OPS_LORA_CUDA_H
#define OD_OPS_LORA_CUDA_H

#include <stdint.h>

#include "ops/op.h"

/** An adapter's matrices for rows [row, row + rows) of a layer's output. Addresses are the device's. */
struct od_lora_entry {
    uint64_t a;  ///< bf16 [rank, lda]
    uint64_t b;  ///< bf16 [rows, rank]
    int64_t lda;
    int64_t row;
    int64_t rows;
    int32_t rank;  ///< 0: the adapter has nothing here
    float scale;
};

/** One layer: entries [adapters, OD_ADAPTER_PARTS_MAX]. */
struct od_lora_call {
    uint64_t entries;
    uint64_t adapter;  ///< [T] int32, -1: none
    uint64_t x;        ///< [T, ldx], k used
    uint64_t y;        ///< [T, ldy]
    uint64_t xa;       ///< fp32 [T, OD_ADAPTER_PARTS_MAX, rank_max]: scaled X A^T
    int64_t ldx;
    int64_t ldy;
    int64_t k;
    int32_t rank_max;
};

/** Columns of Y that a block of the second kernel makes. */
enum { OD_LORA_SPAN = 256 };

#endif
