/**
 * @file
 * What the vector and the scalar half of the matrix product share: the block that both compute,
 * and the layout of packed operands.
 *
 * A packed panel of B holds 16 columns: element (p, j) at [p * 16 + j]; columns behind the matrix
 * are 0. A packed block of A holds groups of up to six rows, see od_gemm_group_rows: the group that
 * starts at row r0 begins at [r0 * k], and its element (r, p) lies at [p * rows + r - r0].
 *
 * Packed weights are such panels of B, or, in bf16, panels of dwords: [p / 2 * 16 + j] holds the bf16
 * of (p, j) for an even p in its lower half and that of (p + 1, j) in its upper half, 0 behind the end
 * of k.
 *
 * @thread Re-entrant: no state outside the arguments.
 */
#ifndef OD_DEVICE_CPU_GEMM_INTERNAL_H
#define OD_DEVICE_CPU_GEMM_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "device/cpu/gemm.h"

enum {
    OD_GEMM_GROUP_ROWS = 6,
    OD_GEMM_TWO_GROUPS = 2 * OD_GEMM_GROUP_ROWS,
    OD_GEMM_STREAM_ROWS = 24,  ///< that packed weights are streamed past
    OD_GEMM_STREAM_COLS = 4 * OD_GEMM_PANEL_COLS,
    OD_GEMM_PACK_SLACK = 8,  ///< floats behind a packed block of A that packing may overwrite
};

/** C [rows, cols] from A [rows, k] and panels of B. */
struct od_gemm_block {
    int64_t rows;
    int64_t cols;  ///< the last panel may be cut; its B is readable to the full width
    int64_t k;
    const float *a;
    int64_t a_row;  ///< stride between rows, unused when packed
    int64_t a_col;
    bool a_packed;
    const float *next_a;  ///< plain rows that will be packed next, to fetch ahead; or NULL
    int64_t next_a_row;
    const float *b;
    int64_t b_row;    ///< floats from (p, j) to (p + 1, j)
    int64_t b_panel;  ///< floats from one panel to the next
    float *c;
    int64_t ldc;
    bool load;  ///< chains start from C instead of +0
};

/** C [rows, cols] from a few plain rows of A and packed weights. */
struct od_gemm_stream {
    int64_t rows;
    int64_t cols;  ///< at most OD_GEMM_STREAM_COLS; the last panel may be cut
    int64_t k;     ///< above 0
    const float *a;
    int64_t a_row;       ///< stride between rows; neighbours in a row are neighbours in memory
    const void *panels;  ///< see struct od_gemm_weight
    int64_t panel_bytes;
    enum od_gemm_form form;
    float *c;
    int64_t ldc;
    bool load;  ///< chains start from C instead of +0
};

/** How the parts are done; one table for AVX2 and one for plain C, with the same results. */
struct od_gemm_kernels {
    /** Compute a block. */
    void (*block)(const struct od_gemm_block *block);
    /** B [k, cols] into panels that lie `panel` floats apart, at least 16 * k. */
    void (*pack_b)(float *packed, int64_t panel, struct od_mat b, int64_t k, int64_t cols);
    /** A [rows, k] into groups; may write OD_GEMM_PACK_SLACK floats behind rows * k. */
    void (*pack_a)(float *packed, struct od_mat a, int64_t rows, int64_t k);
    /** Compute a few rows against packed weights. */
    void (*stream)(const struct od_gemm_stream *stream);
    /** Packed bf16, `panel_bytes` from one panel to the next, into panels of floats as pack_b makes
     *  them. */
    void (*unpack)(float *packed, int64_t panel, const void *panels, int64_t panel_bytes, int64_t k,
                   int64_t cols);
};

extern const struct od_gemm_kernels od_gemm_kernels_scalar;
extern const struct od_gemm_kernels od_gemm_kernels_avx2;
extern const struct od_gemm_kernels od_gemm_kernels_avx512;

void od_gemm_block_avx512(const struct od_gemm_block *block);
void od_gemm_stream_avx2(const struct od_gemm_stream *stream);
void od_gemm_stream_avx512(const struct od_gemm_stream *stream);

/** FLOP in od_gemm_spin_avx2(rounds), which runs independent chains in registers. */
enum { OD_GEMM_SPIN_FLOP = 12 * 8 * 2 * 8 };
/** Run `rounds` rounds of fused multiply-adds; gives a number that depends on all of them. */
float od_gemm_spin_avx2(int64_t rounds);
/** The same with twice the FLOP. */
float od_gemm_spin_avx512(int64_t rounds);

/** Rows of the next group when `left` rows remain: six, and the last two groups alike. */
static inline int od_gemm_group_rows(int64_t left)
{
    if (left <= OD_GEMM_GROUP_ROWS) {
        return (int)left;
    }
    return left < OD_GEMM_TWO_GROUPS ? (int)((left + 1) / 2) : OD_GEMM_GROUP_ROWS;
}

#endif
