/**
 * @file
 * A program of one forward and one backward operation, laid out by hand on a GPU, for tests that
 * compare it with a definition in double. Memory starts as NaN.
 * @thread One owner.
 */
#ifndef OD_TESTS_OPS_GPU_FIXTURE_H
#define OD_TESTS_OPS_GPU_FIXTURE_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/memory.h"
#include "base/random.h"
#include "base/status.h"
#include "device/cuda/cuda.h"
#include "device/cuda_gpu.h"
#include "ops/gpu.h"
#include "ops/op.h"
#include "support.h"

enum { TENSORS_MAX = 24 };
static const double EACH_FLOOR = 1e-4;
/** Largest norm of an error over the norm of what is expected: of bf16 and of fp32 results. */
static const double HALF_BOUND = 4e-3;
static const double ATTENTION_BOUND = 1e-2;  // probabilities and their gradients in bf16 between
static const double FLOAT_BOUND = 3e-5;

static uint64_t drawn;

static inline float normal(void)
{
    double a;
    double b;
    od_normal_pair(od_philox_draw(test_seed(), 22, 0, drawn++), &a, &b);
    return (float)a;
}

static inline float rounded(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    bits = (bits + 0x7FFFu + ((bits >> 16) & 1u)) & 0xFFFF0000u;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/** A program on the card, with the values that went into it. */
struct fixture {
    struct od_gpu_tensor tensor[TENSORS_MAX];
    float *value[TENSORS_MAX];  ///< [rows, cols] what was put in
    int32_t count;
    struct od_op op[2];  ///< forward, backward
    struct od_gpu_inputs inputs;
    int64_t tokens;
    double half_bound;
    double each_bound;  ///< of every element, relative, with EACH_FLOOR more; 0: none
    uint64_t bytes;
    struct od_cuda *cuda;
    struct od_gpu *gpu;
};

static inline void begin(struct fixture *f, int64_t tokens, enum od_op_kind forward,
                         enum od_op_kind backward)
{
    *f = (struct fixture){.tokens = tokens,
                          .half_bound = forward == OD_OP_ATTENTION ? ATTENTION_BOUND : HALF_BOUND,
                          .inputs = {-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1}};
    for (int i = 0; i < 2; i++) {
        f->op[i].kind = i == 0 ? forward : backward;
        for (int s = 0; s < OD_OP_SLOTS; s++) {
            f->op[i].slot[s] = -1;
        }
    }
}

static inline int32_t tensor(struct fixture *f, int64_t rows, int64_t cols, int64_t stride,
                             bool is_float)
{
    const int32_t number = f->count++;
    assert_true(number < TENSORS_MAX);
    const size_t bytes = (size_t)(rows * stride) * (is_float ? 4u : 2u);
    f->tensor[number] = (struct od_gpu_tensor){.at = f->bytes,
                                               .rows = rows,
                                               .cols = cols,
                                               .stride = stride,
                                               .is_float = is_float,
                                               .bytes = bytes};
    f->bytes += (bytes + 255u) & ~(size_t)255u;
    return number;
}

// Rows of bf16 as programs lay them out: whole pieces of 16 bytes, and a few spare columns.
static inline int32_t half(struct fixture *f, int64_t rows, int64_t cols)
{
    return tensor(f, rows, cols, (cols + 7) / 8 * 8 + 8, false);
}

static inline int32_t full(struct fixture *f, int64_t rows, int64_t cols)
{
    return tensor(f, rows, cols, cols, true);
}

// The slot of both operations.
static inline void give(struct fixture *f, enum od_slot slot, int32_t number)
{
    f->op[0].slot[slot] = number;
    f->op[1].slot[slot] = number;
}

static inline void open(struct fixture *f, bool use_library)
{
    struct od_error err = {0};
    const struct od_gpu_layout layout = {.tensors = f->tensor,
                                         .tensor_count = f->count,
                                         .ops = f->op,
                                         .op_count = 2,
                                         .forward_count = 1,
                                         .inputs = f->inputs,
                                         .tokens = f->tokens,
                                         .plan_bytes = f->bytes,
                                         .use_library = use_library};
    f->cuda = test_gpu();
    assert_ok(od_gpu_open(f->cuda, &layout, &f->gpu, &err), &err);
}

static inline void close(struct fixture *f)
{
    for (int32_t i = 0; i < f->count; i++) {
        od_free(f->value[i]);
    }
    od_gpu_close(f->gpu);
}

// Send f->value[number]; spare columns become NaN.
static inline void put(struct fixture *f, int32_t number)
{
    struct od_error err = {0};
    const struct od_gpu_tensor t = od_gpu_tensor(f->gpu, number);
    const float *from = f->value[number];
    unsigned char *raw = od_alloc(t.bytes, 1);
    assert_non_null(raw);
    memset(raw, 0xFF, t.bytes);
    for (int64_t i = 0; i < t.rows * t.cols; i++) {
        const int64_t at = i / t.cols * t.stride + i % t.cols;
        uint32_t bits;
        memcpy(&bits, &from[i], sizeof bits);
        const uint16_t high = (uint16_t)(bits >> 16);
        memcpy(raw + at * (t.is_float ? 4 : 2), t.is_float ? (const void *)&bits : &high,
               t.is_float ? 4 : 2);
    }
    od_cuda_upload(f->cuda, t.at, raw, t.bytes);
    assert_ok(od_cuda_sync(f->cuda, &err), &err);
    od_free(raw);
}

// Random values of a tensor: offset + scale * normal.
static inline const float *random_values(struct fixture *f, int32_t number, float scale,
                                         float offset)
{
    const struct od_gpu_tensor t = f->tensor[number];
    f->value[number] = od_alloc((size_t)(t.rows * t.cols), sizeof(float));
    assert_non_null(f->value[number]);
    for (int64_t i = 0; i < t.rows * t.cols; i++) {
        const float x = offset + scale * normal();
        f->value[number][i] = t.is_float ? x : rounded(x);
    }
    put(f, number);
    return f->value[number];
}

// What lies in a tensor now.
static inline void get(struct fixture *f, int32_t number, float *to)
{
    struct od_error err = {0};
    const struct od_gpu_tensor t = od_gpu_tensor(f->gpu, number);
    unsigned char *raw = od_alloc(t.bytes, 1);
    assert_non_null(raw);
    od_cuda_download(f->cuda, raw, t.at, t.bytes);
    assert_ok(od_cuda_sync(f->cuda, &err), &err);
    for (int64_t i = 0; i < t.rows * t.cols; i++) {
        const int64_t at = i / t.cols * t.stride + i % t.cols;
        uint32_t bits;
        uint16_t high;
        memcpy(&bits, raw + at * (t.is_float ? 4 : 2), t.is_float ? 4 : 2);
        memcpy(&high, &bits, sizeof high);
        bits = t.is_float ? bits : (uint32_t)high << 16;
        memcpy(&to[i], &bits, sizeof bits);
    }
    od_free(raw);
}

// Takes `want` [rows, cols].
static inline void expect(struct fixture *f, int32_t number, double *want, const char *what)
{
    const struct od_gpu_tensor t = f->tensor[number];
    float *got = od_alloc((size_t)(t.rows * t.cols), sizeof *got);
    double error = 0.0;
    double norm = 0.0;
    assert_non_null(got);
    get(f, number, got);
    for (int64_t i = 0; i < t.rows * t.cols; i++) {
        error += ((double)got[i] - want[i]) * ((double)got[i] - want[i]);
        norm += want[i] * want[i];
        if (f->each_bound > 0.0 &&
            !(fabs((double)got[i] - want[i]) <= f->each_bound * fabs(want[i]) + EACH_FLOOR)) {
            fail_msg("%s: %g, not %g, seed %llu", what, (double)got[i], want[i],
                     (unsigned long long)test_seed());
        }
    }
    error = sqrt(error / norm);
    print_message("#   %s [%lld, %lld]: %.2g\n", what, (long long)t.rows, (long long)t.cols, error);
    if (!(error <= (t.is_float ? FLOAT_BOUND : f->half_bound))) {
        fail_msg("%s: error %g, seed %llu", what, error, (unsigned long long)test_seed());
    }
    od_free(got);
    od_free(want);
}

static inline double *doubles(int64_t rows, int64_t cols)
{
    double *made = od_alloc((size_t)(rows * cols), sizeof *made);
    assert_non_null(made);
    memset(made, 0, (size_t)(rows * cols) * sizeof *made);
    return made;
}

// The backward operation once more on the same values: the same bits.
static inline void expect_again(struct fixture *f, const int32_t *outputs, int count)
{
    for (int i = 0; i < count; i++) {
        const size_t size = (size_t)(f->tensor[outputs[i]].rows * f->tensor[outputs[i]].cols);
        float *first = od_alloc(size, sizeof *first);
        float *second = od_alloc(size, sizeof *second);
        assert_non_null(first);
        assert_non_null(second);
        get(f, outputs[i], first);
        for (int j = 0; j < count; j++) {
            if (f->value[outputs[j]]) {
                put(f, outputs[j]);
            }
        }
        od_gpu_run(f->gpu, &f->op[1]);
        get(f, outputs[i], second);
        assert_memory_equal(first, second, size * sizeof *first);
        od_free(first);
        od_free(second);
    }
}

#endif
