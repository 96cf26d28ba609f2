/**
 * @file
 * What the host and the kernels that decode a quantised weight share.
 *
 * A launch writes W [n, k], right of it the scaled B of each adapter, and below it A, all bf16:
 * what a product with a folded adapter reads (op.h).
 *
 * @thread No state.
 */
#ifndef OD_OPS_DECODE_CUDA_H
#define OD_OPS_DECODE_CUDA_H

#include <stdint.h>

#include "ops/op.h"

/** Columns that one block decodes. */
enum { OD_DECODE_SPAN = 4096 };

/** Addresses are the device's. Grid: n + fold rows; columns / OD_DECODE_SPAN, and one more where
 *  something is folded. */
struct od_decode_call {
    uint64_t w;  ///< bf16, rows of ldw
    int64_t ldw;
    uint64_t codes;
    uint64_t scales;
    uint64_t a;  ///< fp32 [adapter_count rank, k]; 0: none
    uint64_t b;  ///< fp32, rank columns
    int64_t n;
    int64_t k;
    int64_t rank;
    int64_t fold;
    float scale;  ///< of B
    int32_t part_count;
    int32_t adapter_count;
    struct od_quant_part part[OD_ADAPTER_PARTS_MAX];
    struct od_adapter_part adapter[OD_ADAPTER_PARTS_MAX];
};

#endif
