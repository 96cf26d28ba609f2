/**
 * @file
 * Matrix products on the CPU in one fixed order.
 *
 *     C[i][j] = (accumulate ? C[i][j] : 0) + sum_k A[i][k] * B[k][j]
 *
 * Every element of C is one chain of fused multiply-adds over k = 0, 1, 2, ... in that order,
 * starting from C[i][j] or +0. So its bits do not depend on M, N, the number of threads, where a
 * tile ends, or whether AVX2 or AVX-512 is used: fmaf in a plain loop is the definition. (Where the result is
 * NaN, it is NaN on every path; which NaN is not promised.)
 *
 * A and B are read through two strides each, so transposed operands need no copy by the caller.
 *
 * @thread One owner: a struct od_gemm belongs to the thread that made it (its pool does the rest).
 */
#ifndef OD_DEVICE_CPU_GEMM_H
#define OD_DEVICE_CPU_GEMM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "base/threads.h"

enum { OD_GEMM_PANEL_COLS = 16 };

/** What the processor can do, and what the user lets it do. */
struct od_cpu_features {
    bool avx2_fma;
    bool avx512;  ///< its foundation; only with avx2_fma
};
/** Detect; `allow_vector` false turns the vector paths off (same bits, slower). */
struct od_cpu_features od_cpu_features_detect(bool allow_vector);

/** Scratch memory for packing, one piece per thread, and the pool. */
struct od_gemm;

/** @memory Gives: od_gemm_free. Keeps `pool`. Allocates everything that products will need. */
enum od_status od_gemm_create(struct od_pool *pool, struct od_cpu_features features,
                              struct od_gemm **ret, struct od_error *err) OD_MUST_CHECK;
void od_gemm_free(struct od_gemm *gemm);

/** A matrix [rows][cols] in memory: element (r, c) is data[r * row_stride + c * col_stride]. */
struct od_mat {
    const float *data;
    int64_t row_stride;
    int64_t col_stride;
};

/**
 * C [m, n] (row-major, ldc >= n) from A [m, k] and B [k, n], on all threads of the pool. C overlaps
 * neither A nor B. m, n or k may be 0 (k = 0 sets C to 0 unless accumulating). Allocates nothing.
 * @order One fused chain per element, see the top of this file.
 */
void od_gemm_run(struct od_gemm *gemm, int64_t m, int64_t n, int64_t k, struct od_mat a,
                 struct od_mat b, float *c, int64_t ldc, bool accumulate);

/**
 * The same on the calling thread alone, with the scratch memory of pool thread `thread`: for use
 * inside od_pool_run (attention does one product per head).
 */
void od_gemm_run_one(struct od_gemm *gemm, int thread, int64_t m, int64_t n, int64_t k,
                     struct od_mat a, struct od_mat b, float *c, int64_t ldc, bool accumulate);

/** How packed weights lie in memory. */
enum od_gemm_form { OD_GEMM_F32, OD_GEMM_BF16 };

/** Packed weights. */
struct od_gemm_weight {
    const void *panels;  ///< NULL: none
    enum od_gemm_form form;
};

/** The smallest form that holds each of `count` floats exactly. */
enum od_gemm_form od_gemm_form_of(const float *w, int64_t count);

/**
 * Weights packed once: B = W^T for W [n, k] row-major, as panels of 16 columns, so that products
 * with few rows (one token at a time) stream through memory once. `form` must hold all values exactly.
 * Bytes needed: od_gemm_packed_bytes, 64-byte aligned.
 */
size_t od_gemm_packed_bytes(enum od_gemm_form form, int64_t n, int64_t k);
void od_gemm_pack_weight(void *panels, enum od_gemm_form form, const float *w, int64_t n,
                         int64_t k);
/** C [m, n] = A [m, k] * W^T with W packed; bits equal od_gemm_run's on the plain W. */
void od_gemm_run_packed(struct od_gemm *gemm, int64_t m, int64_t n, int64_t k, struct od_mat a,
                        struct od_gemm_weight weight, float *c, int64_t ldc, bool accumulate);

/** The definition: a plain loop over fmaf. For tests. */
void od_gemm_ref(int64_t m, int64_t n, int64_t k, struct od_mat a, struct od_mat b, float *c,
                 int64_t ldc, bool accumulate);

/**
 * FMA peak of this machine right now in FLOP/s: independent fused chains in registers on `threads`
 * threads of the pool for about `seconds`. Gives 0 without AVX2 and FMA.
 */
double od_cpu_fma_peak(struct od_pool *pool, struct od_cpu_features features, double seconds);

#endif
