/**
 * @file
 * Speed of matrix products beside the machine's own ceiling.
 *
 * A shape is measured in rounds: a few milliseconds of fused multiply-adds in registers, then a few
 * of the product. What counts is the median over rounds of the ratio of both, because it holds on a
 * machine whose clock changes or that others use, too.
 *
 * @thread One owner: starts and ends pools of its own.
 */
#ifndef OD_FLOW_BENCH_GEMM_H
#define OD_FLOW_BENCH_GEMM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

enum { OD_BENCH_GEMM_SIZE_MAX = 1 << 14 };

/** What was measured for one shape. */
struct od_bench_gemm_row {
    const char *group;  ///< "square", "training", ...
    const char *form;   ///< what is transposed or packed: "A B", "A B^T", ...
    int64_t m;
    int64_t n;
    int64_t k;
    int64_t count;  ///< products in one call, one per thread at a time (attention heads)
    int threads;
    bool vector;        ///< with AVX2 and FMA
    double flops;       ///< FLOP/s, median
    double peak_flops;  ///< FLOP/s in registers, median; 0 without vectors
    double share;       ///< median of the ratios; 0 without vectors
    double cpu_share;   ///< the same by processor time, which other programs disturb less, but
                        ///< which does not see that one thread waits for another
    double read_share;  ///< packed weights: bytes of weights a second over read bandwidth; else 0
};

/** Called after each shape. */
typedef void (*od_bench_gemm_fn)(void *context, const struct od_bench_gemm_row *row);

struct od_bench_gemm_options {
    int threads;        ///< 0: all processors; shapes are measured with one thread, then with these
    bool allow_vector;  ///< false: without AVX2 throughout
    int64_t size;       ///< 0: all shapes; else one square of this size in all forms
    double seconds;     ///< for one shape
    const char *group;  ///< NULL: all groups
    od_bench_gemm_fn fn;
    void *context;
};

/** @error OD_E_ARGUMENT for a wrong size, time or group; OD_E_MEMORY. */
enum od_status od_bench_gemm(const struct od_bench_gemm_options *options,
                             struct od_error *err) OD_MUST_CHECK;

#endif
