/**
 * @file
 * Speed of matrix products on a GPU: the library's first choice, its measured choice, and the own
 * kernel, on the shapes of training.
 *
 * Each is run back to back for a few milliseconds, in turns; what counts is the median.
 *
 * @thread One owner.
 */
#ifndef OD_FLOW_BENCH_GPU_H
#define OD_FLOW_BENCH_GPU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/** What was measured for one shape. */
struct od_bench_gpu_row {
    const char *what;  ///< "forward", "input gradient", ...
    int64_t m;
    int64_t n;
    int64_t k;
    bool a_transposed;
    bool b_transposed;
    bool d_is_float;
    bool adds;          ///< D += product
    double first_us;    ///< the library's first choice; 0: no library
    double tuned_us;    ///< its measured choice; 0: no library
    double own_us;      ///< the own kernel
    double difference;  ///< largest difference between library and own kernel, beside the largest
                        ///< element; a check that the same was computed
};

/** Called after each shape. */
typedef void (*od_bench_gpu_fn)(void *context, const struct od_bench_gpu_row *row);

struct od_bench_gpu_options {
    int ordinal;     ///< which GPU
    double seconds;  ///< for one shape
    od_bench_gpu_fn fn;
    void *context;
};

/** @error As od_cuda_open; OD_E_ARGUMENT for a wrong time; OD_E_MEMORY. */
enum od_status od_bench_gpu(const struct od_bench_gpu_options *options,
                            struct od_error *err) OD_MUST_CHECK;

#endif
