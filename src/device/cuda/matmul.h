/**
 * @file
 * Matrix products on the GPU: cuBLASLt where it is found, this program's own kernel otherwise.
 *
 *     D[m, n] = alpha * op(A) op(B) (+ C) (+ bias)       row-major, leading dimensions in elements
 *     D[i, j] = alpha * sum A[i, x] B[j, x] * a_scale[i] * b_scale[j] (+ C) (+ bias)     of codes
 *
 * op(A) is [m, k], op(B) is [k, n]. The order of every sum depends on the shape, the GPU model and
 * the library's version alone: schemes that add in order of arrival are excluded, every product of
 * a stream uses the same private workspace.
 *
 * An algorithm is chosen once for a shape: from a list that was measured before (device.json), by
 * measuring when asked, by the library's own heuristic otherwise. Where the library takes no
 * bias, a small kernel adds it afterwards.
 *
 * @source cuBLASLt 12 and 13 (cublasLt.h).
 * @thread One owner.
 */
#ifndef OD_DEVICE_CUDA_MATMUL_H
#define OD_DEVICE_CUDA_MATMUL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "device/cuda/cuda.h"

struct od_matmul;

/** One product. A and B are bf16, or codes of eight bits (formats/e4m3.h): then A lies as [m, k] and B
 *  as [n, k], k and their leading dimensions are multiples of 16, alpha is 1 and D is bf16. */
struct od_matmul_call {
    int64_t m;
    int64_t n;
    int64_t k;
    od_dev a;
    int64_t lda;        ///< of A as it lies: [m, k], or [k, m] when transposed
    bool a_transposed;  ///< A lies as [k, m]
    od_dev b;
    int64_t ldb;        ///< of B as it lies: [k, n], or [n, k] when transposed
    bool b_transposed;  ///< B lies as [n, k], as weights do
    od_dev c;           ///< added when not 0; the type of D; may be D itself
    int64_t ldc;
    od_dev bias;  ///< [n] bf16, added to every row when not 0; D is bf16 then
    od_dev d;
    int64_t ldd;
    bool d_is_float;  ///< D (and C) are fp32; else bf16
    float alpha;
    bool is_e4m3;    ///< A and B are codes; needs compute capability 8.9
    od_dev a_scale;  ///< [m] fp32, of codes
    od_dev b_scale;  ///< [n] fp32
};

enum { OD_MATMUL_WORKSPACE_BYTES = 64 << 20, OD_MATMUL_SHAPES_MAX = 256 };

/**
 * `workspace` [OD_MATMUL_WORKSPACE_BYTES] is borrowed. `use_library` false: own kernel only.
 * A library that is missing is said once (od_log) and is no failure.
 * @memory Gives: od_matmul_free.
 */
enum od_status od_matmul_create(struct od_cuda *cuda, od_dev workspace, bool use_library,
                                struct od_matmul **ret, struct od_error *err) OD_MUST_CHECK;
void od_matmul_free(struct od_matmul *matmul);
/** Queue a product. Failures are remembered and reported by od_cuda_check and od_cuda_sync. */
void od_matmul_run(struct od_matmul *matmul, const struct od_matmul_call *call);
/** "cuBLASLt 13.1.0", or "own kernel". */
const char *od_matmul_library(const struct od_matmul *matmul);

/**
 * Measure the candidates for a shape now, for about a tenth of a second, and keep the fastest
 * (medians of interleaved rounds; ties within 1 % go to the library's first choice). D is written. Does nothing for a known shape.
 */
enum od_status od_matmul_tune(struct od_matmul *matmul, const struct od_matmul_call *call,
                              struct od_error *err) OD_MUST_CHECK;

/** A choice, as device.json keeps it. ldc is 0 without C; operands that are aligned to less than 16
 *  bytes add their alignment. An `algo` of zeros is the own kernel. */
struct od_matmul_choice {
    char shape
        [96];  ///< "m,n,k,lda,ta,ldb,tb,ldd,f32,ldc": the key; "b" behind it with a bias, "e" for codes
    uint64_t algo[8];  ///< cublasLtMatmulAlgo_t
    double us;         ///< measured; 0: the heuristic's
};
/** Choices so far, in the order in which shapes came. @memory Lends. */
const struct od_matmul_choice *od_matmul_choices(const struct od_matmul *matmul, size_t *ret_count);
/** Take a choice from device.json. When the shape comes it counts if the library still proposes it;
 *  else that is said (od_log) and the library's own choice counts. */
enum od_status od_matmul_choose(struct od_matmul *matmul, const struct od_matmul_choice *choice,
                                struct od_error *err) OD_MUST_CHECK;

#endif
