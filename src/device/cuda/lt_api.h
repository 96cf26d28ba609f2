/**
 * @file
 * The part of cuBLASLt that this program calls, written down here so that building needs no CUDA.
 * @source cublasLt.h of CUDA 13.0 (cuBLASLt 12 has the same numbers);
 *         tests/device/cuda_abi_test.c compares with the real header where there is one.
 * @thread No state.
 */
#ifndef OD_DEVICE_CUDA_LT_API_H
#define OD_DEVICE_CUDA_LT_API_H

#include <stddef.h>
#include <stdint.h>

enum {
    OD_LT_SUCCESS = 0,
    OD_LT_NOT_SUPPORTED = 15,
    OD_LT_OP_N = 0,
    OD_LT_OP_T = 1,
    OD_LT_COMPUTE_32F = 68,
    OD_LT_R_32F = 0,
    OD_LT_R_16BF = 14,
    OD_LT_R_8F_E4M3 = 28,
    OD_LT_DESC_TRANSA = 3,
    OD_LT_DESC_TRANSB = 4,
    OD_LT_DESC_EPILOGUE = 7,          ///< uint32_t
    OD_LT_DESC_BIAS_POINTER = 8,      ///< const void *
    OD_LT_DESC_BIAS_DATA_TYPE = 26,   ///< int32_t
    OD_LT_DESC_A_SCALE_POINTER = 17,  ///< const void *
    OD_LT_DESC_B_SCALE_POINTER = 18,
    OD_LT_DESC_FAST_ACCUM = 25,    ///< int8_t
    OD_LT_DESC_A_SCALE_MODE = 31,  ///< int32_t
    OD_LT_DESC_B_SCALE_MODE = 32,
    OD_LT_SCALE_OUTER_VEC_32F = 3,
    OD_LT_EPILOGUE_BIAS = 4,
    OD_LT_PREF_WORKSPACE_BYTES = 1,  ///< uint64_t
    OD_LT_PREF_REDUCTION_MASK = 3,   ///< uint32_t
    OD_LT_PREF_ALIGNMENT_A = 5,      ///< uint32_t, bytes
    OD_LT_PREF_ALIGNMENT_B = 6,
    OD_LT_PREF_ALIGNMENT_C = 7,
    OD_LT_PREF_ALIGNMENT_D = 8,
    OD_LT_REDUCTION_NONE = 0,
    OD_LT_REDUCTION_COMPUTE_TYPE = 2
};

/** cublasLtMatmulAlgo_t. */
struct od_lt_algo {
    uint64_t data[8];
};

/** cublasLtMatmulHeuristicResult_t. */
struct od_lt_heuristic {
    struct od_lt_algo algo;
    size_t workspace_bytes;
    int state;
    float waves;
    int reserved[4];
};

/** X(name in the library, arguments): every function gives a cublasStatus_t. Handles: void *. */
#define OD_LT_FUNCTIONS(X)                                                                         \
    X(cublasLtCreate, (void **handle))                                                             \
    X(cublasLtDestroy, (void *handle))                                                             \
    X(cublasLtMatmulDescCreate, (void **desc, int compute_type, int scale_type))                   \
    X(cublasLtMatmulDescSetAttribute, (void *desc, int attribute, const void *value, size_t size)) \
    X(cublasLtMatmulDescDestroy, (void *desc))                                                     \
    X(cublasLtMatrixLayoutCreate,                                                                  \
      (void **layout, int type, uint64_t rows, uint64_t cols, int64_t ld))                         \
    X(cublasLtMatrixLayoutDestroy, (void *layout))                                                 \
    X(cublasLtMatmulPreferenceCreate, (void **preference))                                         \
    X(cublasLtMatmulPreferenceSetAttribute,                                                        \
      (void *preference, int attribute, const void *value, size_t size))                           \
    X(cublasLtMatmulPreferenceDestroy, (void *preference))                                         \
    X(cublasLtMatmulAlgoGetHeuristic,                                                              \
      (void *handle, void *desc, void *a, void *b, void *c, void *d, void *preference, int wanted, \
       struct od_lt_heuristic *results, int *ret_count))                                           \
    X(cublasLtMatmulAlgoCheck, (void *handle, void *desc, void *a, void *b, void *c, void *d,      \
                                const struct od_lt_algo *algo, struct od_lt_heuristic *result))    \
    X(cublasLtMatmul,                                                                              \
      (void *handle, void *desc, const void *alpha, const void *a, void *a_layout, const void *b,  \
       void *b_layout, const void *beta, const void *c, void *c_layout, void *d, void *d_layout,   \
       const struct od_lt_algo *algo, void *workspace, size_t workspace_bytes, void *stream))

/** The library's functions, under the library's names. */
struct od_lt_api {
// NOLINTNEXTLINE(bugprone-macro-parentheses): a declaration
#define OD_LT_MEMBER(name, arguments) int(*name) arguments;
    OD_LT_FUNCTIONS(OD_LT_MEMBER)
#undef OD_LT_MEMBER
    size_t (*cublasLtGetVersion)(void);
};

#endif
