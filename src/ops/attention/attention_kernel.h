/**
 * @file
 * The row-wise parts of causal attention; the products around them are matrix products.
 *
 *     P = softmax(Q K^T * scale),  O = P V,  lse = log(sum(exp(Q K^T * scale)))
 *     dP = dO V^T,  dS = P * (dP - delta) * scale,  delta = sum(dO * O)
 *     dQ = dS K,  dK = dS^T Q,  dV = P^T dO
 *
 * @source Vaswani et al., 2017; Dao et al., "FlashAttention", 2022, algorithm 4 (recomputing P from
 *         lse in the backward pass).
 * @order  Sums over a row: eight lanes, fixed tree, tail left to right.
 * @thread Re-entrant.
 */
#ifndef OD_OPS_ATTENTION_KERNEL_H
#define OD_OPS_ATTENTION_KERNEL_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "device/cpu/vmath.h"

static float dot(const float *a, const float *b, int64_t n)
{
    const int64_t whole = n & ~(int64_t)7;
    od_v8 products = od_v8_set(0.0F);
    for (int64_t i = 0; i < whole; i += 8) {
        products += od_v8_load(a + i) * od_v8_load(b + i);
    }
    float sum = od_v8_sum(products);
    for (int64_t i = whole; i < n; i++) {
        sum += a[i] * b[i];
    }
    return sum;
}

// Softmax of s[0..n) * scale in place; returns log of the sum of exponentials.
static float softmax_row(float *s, int64_t n, float scale)
{
    const int64_t whole = n & ~(int64_t)7;
    od_v8 highest = od_v8_set(-INFINITY);
    for (int64_t j = 0; j < whole; j += 8) {
        const od_v8 v = od_v8_load(s + j) * scale;
        highest = od_v8_max(v, highest);
        od_v8_store(s + j, v);
    }
    float max = od_v8_highest(highest);
    for (int64_t j = whole; j < n; j++) {
        s[j] *= scale;
        max = s[j] > max ? s[j] : max;
    }
    od_v8 sums = od_v8_set(0.0F);
    for (int64_t j = 0; j < whole; j += 8) {
        const od_v8 e = od_v8_exp(od_v8_load(s + j) - max);
        sums += e;
        od_v8_store(s + j, e);
    }
    float sum = od_v8_sum(sums);
    for (int64_t j = whole; j < n; j++) {
        s[j] = od_exp_f32(s[j] - max);
        sum += s[j];
    }
    const float inverse = 1.0F / sum;
    for (int64_t j = 0; j < whole; j += 8) {
        od_v8_store(s + j, od_v8_load(s + j) * inverse);
    }
    for (int64_t j = whole; j < n; j++) {
        s[j] *= inverse;
    }
    return max + (float)log((double)sum);
}

// First of the last `window` (0: all) of n columns.
static inline int64_t window_start(int64_t n, int64_t window)
{
    return window > 0 && n > window ? n - window : 0;
}

static void softmax_rows(float *scores, int64_t ld, int64_t rows, int64_t cols, int64_t limit,
                         int64_t window, float scale, float *lse, int64_t lse_stride)
{
    for (int64_t i = 0; i < rows; i++) {
        float *s = scores + i * ld;
        const int64_t n = limit + i < cols ? limit + i : cols;
        const int64_t start = window_start(n, window);
        lse[i * lse_stride] = softmax_row(s + start, n - start, scale);
        memset(s, 0, (size_t)start * sizeof *s);
        memset(s + n, 0, (size_t)(cols - n) * sizeof *s);
    }
}

static void softmax_again(float *scores, int64_t ld, int64_t rows, int64_t cols, int64_t limit,
                          int64_t window, float scale, const float *lse, int64_t lse_stride)
{
    for (int64_t i = 0; i < rows; i++) {
        float *s = scores + i * ld;
        const int64_t n = limit + i < cols ? limit + i : cols;
        const int64_t whole = n & ~(int64_t)7;
        const float shift = lse[i * lse_stride];
        for (int64_t j = 0; j < whole; j += 8) {
            od_v8_store(s + j, od_v8_exp(od_v8_load(s + j) * scale - shift));
        }
        for (int64_t j = whole; j < n; j++) {
            s[j] = od_exp_f32(s[j] * scale - shift);
        }
        memset(s, 0, (size_t)window_start(n, window) * sizeof *s);
        memset(s + n, 0, (size_t)(cols - n) * sizeof *s);
    }
}

static void softmax_bwd(float *dp, const float *p, int64_t ld, int64_t rows, int64_t cols,
                        const float *delta, float scale)
{
    for (int64_t i = 0; i < rows; i++) {
        float *d = dp + i * ld;
        const float *q = p + i * ld;
        int64_t j = 0;
        for (; j + 8 <= cols; j += 8) {
            od_v8_store(d + j, od_v8_load(q + j) * (od_v8_load(d + j) - delta[i]) * scale);
        }
        for (; j < cols; j++) {
            d[j] = q[j] * (d[j] - delta[i]) * scale;
        }
    }
}

// How many floats position `at` lies behind the start of the keys, and how many positions follow it
// in its page, itself counted.
static int64_t cached_at(const struct od_cached_head *head, int64_t at, int64_t d, int64_t *count)
{
    const int64_t row = at % head->page_rows;
    *count = head->page_rows - row;
    return head->pages[at / head->page_rows] * head->page_stride + row * d;
}

// out[i .. i + 8 * vectors) += sum of `count` rows of values, each times its weight, in order. The sums
// stay in registers: through memory each would wait for the one before.
static inline __attribute__((always_inline)) void add_columns(float *out, const float *values,
                                                              const float *weights, int64_t count,
                                                              int64_t d, int vectors)
{
    od_v8 sum[8];
#pragma GCC unroll 8
    for (int v = 0; v < vectors; v++) {
        sum[v] = od_v8_load(out + (ptrdiff_t)8 * v);
    }
    for (int64_t j = 0; j < count; j++) {
        const float *row = values + j * d;
#pragma GCC unroll 8
        for (int v = 0; v < vectors; v++) {
            sum[v] += od_v8_load(row + (ptrdiff_t)8 * v) * weights[j];
        }
    }
#pragma GCC unroll 8
    for (int v = 0; v < vectors; v++) {
        od_v8_store(out + (ptrdiff_t)8 * v, sum[v]);
    }
}

// out += sum of `count` rows of values, each times its weight, in order.
static void add_weighted(float *out, const float *values, const float *weights, int64_t count,
                         int64_t d)
{
    int64_t i = 0;
    for (; i + 64 <= d; i += 64) {
        add_columns(out + i, values + i, weights, count, d, 8);
    }
    for (; i + 32 <= d; i += 32) {
        add_columns(out + i, values + i, weights, count, d, 4);
    }
    for (; i + 8 <= d; i += 8) {
        add_columns(out + i, values + i, weights, count, d, 1);
    }
    for (; i < d; i++) {
        for (int64_t j = 0; j < count; j++) {
            out[i] += values[j * d + i] * weights[j];
        }
    }
}

static void attend_row(float *out, const float *q, const struct od_cached_head *head, int64_t first,
                       int64_t length, int64_t d, float scale, float *scores)
{
    int64_t in_page = 0;
    for (int64_t j = 0; j < length; j += in_page) {
        const float *keys = head->keys + cached_at(head, first + j, d, &in_page);
        for (int64_t i = 0; i < in_page && j + i < length; i++) {
            scores[j + i] = dot(q, keys + i * d, d);
        }
    }
    (void)softmax_row(scores, length, scale);
    memset(out, 0, (size_t)d * sizeof *out);
    for (int64_t j = 0; j < length; j += in_page) {
        const float *values = head->values + cached_at(head, first + j, d, &in_page);
        add_weighted(out, values, scores + j, in_page < length - j ? in_page : length - j, d);
    }
}

#endif
