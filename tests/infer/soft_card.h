/**
 * @file
 * A card that is none: the functions of device/cuda/cuda.h over this processor's memory, with the kernels
 * that serving launches as plain loops. A test that includes this file runs all of serving on a GPU but
 * for the kernels themselves: plans, lists, launches and their arguments, weights on their way in.
 *
 * Loops round where kernels round, and add units of attention as ops/paged/paged.h says, so that bits
 * depend on as little as on a card. Memory starts as od_gpu_open leaves it, NaN where nothing was written.
 *
 * @thread One owner for each card.
 */
#ifndef OD_TESTS_INFER_SOFT_CARD_H
#define OD_TESTS_INFER_SOFT_CARD_H

#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "device/cuda/cuda.h"
#include "device/cuda/cuda_internal.h"
#include "ops/attention/attention_cuda.h"
#include "ops/linear/lora_cuda.h"
#include "ops/op.h"
#include "ops/paged/paged.h"

enum { CARD_BYTES = 1 << 30, KERNELS_MAX = 128 };

typedef void (*soft_fn)(struct od_cuda_grid grid, void **args);
struct od_cuda_kernel {
    char name[48];
    soft_fn run;  // NULL: never launched here
};
struct od_cuda_event {
    int nothing;
};
struct od_cuda {
    struct od_cuda_info info;
    struct od_cuda_kernel kernels[KERNELS_MAX];
    int kernel_count;
};

#define ARG(type, index) (*(type *)args[index])

static inline void *at(od_dev address)
{
    return (void *)(uintptr_t)address;
}

static inline float wide(uint16_t half)
{
    const uint32_t bits = (uint32_t)half << 16;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline uint16_t narrow(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return (uint16_t)((bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16);
}

// Kernels, with the arguments that their .cu files name.

static void soft_load_values(struct od_cuda_grid grid, void **args)
{
    char *to = at(ARG(od_dev, 0));
    const int64_t ld = ARG(int64_t, 1);
    const char *from = at(ARG(od_dev, 3));
    const int type = ARG(int, 4);
    const int64_t first = ARG(int64_t, 5);
    const int64_t cols = ARG(int64_t, 7);
    (void)grid;
    if (type == 1) {
        abort();  // no test has fp16
    }
    for (int64_t i = 0; i < ARG(int64_t, 6); i++) {
        const int64_t place = (first + i) / cols * ld + (first + i) % cols;
        float x;
        uint16_t half;
        memcpy(&half, from + 2 * i, sizeof half);
        if (type == 0) {
            memcpy(&x, from + 4 * i, sizeof x);
        } else {
            x = wide(half);
        }
        half = narrow(x);
        if (ARG(int, 2)) {
            memcpy(to + 4 * place, &x, sizeof x);
        } else {
            memcpy(to + 2 * place, &half, sizeof half);
        }
    }
}

static void soft_embed(struct od_cuda_grid grid, void **args)
{
    uint16_t *y = at(ARG(od_dev, 0));
    const uint16_t *w = at(ARG(od_dev, 2));
    const int32_t *tokens = at(ARG(od_dev, 4));
    for (unsigned t = 0; t < grid.x; t++) {
        memcpy(y + t * ARG(int64_t, 1), w + tokens[t] * ARG(int64_t, 3),
               (size_t)ARG(int64_t, 5) * 2u);
    }
}

static void soft_rms_norm(struct od_cuda_grid grid, void **args)
{
    const float *w = at(ARG(od_dev, 5));
    const int64_t cols = ARG(int64_t, 6);
    for (unsigned t = 0; t < grid.x; t++) {
        uint16_t *y = (uint16_t *)at(ARG(od_dev, 0)) + t * ARG(int64_t, 1);
        const uint16_t *x = (uint16_t *)at(ARG(od_dev, 3)) + t * ARG(int64_t, 4);
        float squares = 0.0F;
        for (int64_t c = 0; c < cols; c++) {
            squares += wide(x[c]) * wide(x[c]);
        }
        const float r = 1.0F / sqrtf(squares / (float)cols + ARG(float, 7));
        for (int64_t c = 0; c < cols; c++) {
            y[c] = narrow(wide(x[c]) * r * w[c]);
        }
    }
}

static void soft_rope(struct od_cuda_grid grid, void **args)
{
    const int32_t *positions = at(ARG(od_dev, 3));
    const int32_t d = ARG(int32_t, 5);
    for (unsigned t = 0; t < grid.x; t++) {
        uint16_t *x = (uint16_t *)at(ARG(od_dev, 0)) + t * ARG(int64_t, 1);
        const float *row = (float *)at(ARG(od_dev, 2)) + (int64_t)positions[t] * d;
        for (int32_t i = 0; i < ARG(int32_t, 4) * d / 2; i++) {
            uint16_t *low = x + i / (d / 2) * d + i % (d / 2);
            const float a = wide(low[0]);
            const float b = wide(low[d / 2]);
            const float c = row[i % (d / 2)];
            const float s = row[d / 2 + i % (d / 2)] * ARG(float, 6);
            low[0] = narrow(a * c - b * s);
            low[d / 2] = narrow(b * c + a * s);
        }
    }
}

static void soft_glu(struct od_cuda_grid grid, void **args)
{
    const int64_t f = ARG(int64_t, 4);
    for (unsigned t = 0; t < grid.x; t++) {
        uint16_t *y = (uint16_t *)at(ARG(od_dev, 0)) + t * ARG(int64_t, 1);
        const uint16_t *x = (uint16_t *)at(ARG(od_dev, 2)) + t * ARG(int64_t, 3);
        for (int64_t c = 0; c < f; c++) {
            const float gate = wide(x[c]);
            y[c] = narrow(gate / (1.0F + expf(-gate)) * wide(x[f + c]));
        }
    }
}

// out[i] = x[rows[i]] or out[rows[i]] = x[i].
static void move_rows(struct od_cuda_grid grid, void **args, bool scatter)
{
    const int32_t *rows = at(ARG(od_dev, 4));
    const int32_t count = *(int32_t *)at(ARG(od_dev, 5));
    for (unsigned i = 0; i < grid.x && (int32_t)i < count; i++) {
        const int64_t row = rows[ARG(int64_t, 6) + i];
        uint16_t *out = (uint16_t *)at(ARG(od_dev, 0)) + (scatter ? row : i) * ARG(int64_t, 1);
        const uint16_t *x = (uint16_t *)at(ARG(od_dev, 2)) + (scatter ? i : row) * ARG(int64_t, 3);
        memcpy(out, x, (size_t)ARG(int64_t, 7) * 2u);
    }
}

static void soft_gather(struct od_cuda_grid grid, void **args)
{
    move_rows(grid, args, false);
}

static void soft_scatter(struct od_cuda_grid grid, void **args)
{
    move_rows(grid, args, true);
}

static void product(void **args, bool is_float)
{
    const uint16_t *bias = at(ARG(od_dev, 12));
    const int64_t n = ARG(int64_t, 9);
    const int64_t k = ARG(int64_t, 10);
    for (int64_t i = 0; i < ARG(int64_t, 8); i++) {
        const uint16_t *a = (uint16_t *)at(ARG(od_dev, 0)) + i * ARG(int64_t, 1);
        const uint16_t *c =
            at(ARG(od_dev, 4) ? ARG(od_dev, 4) + (od_dev)(2 * i * ARG(int64_t, 5)) : 0);
        for (int64_t j = 0; j < n; j++) {
            const uint16_t *b = (uint16_t *)at(ARG(od_dev, 2)) + j * ARG(int64_t, 3);
            float sum = 0.0F;
            for (int64_t e = 0; e < k; e++) {
                sum += wide(a[e]) * wide(b[e]);
            }
            if (is_float) {
                ((float *)at(ARG(od_dev, 6)))[i * ARG(int64_t, 7) + j] = sum;
                continue;
            }
            sum += c ? wide(c[j]) : 0.0F;
            sum += bias ? wide(bias[j]) : 0.0F;
            ((uint16_t *)at(ARG(od_dev, 6)))[i * ARG(int64_t, 7) + j] = narrow(sum);
        }
    }
}

static void soft_product_half(struct od_cuda_grid grid, void **args)
{
    (void)grid;
    product(args, false);
}

static void soft_product_float(struct od_cuda_grid grid, void **args)
{
    (void)grid;
    product(args, true);
}

// Rows normalised on the way into a product, as rms_norm does it and rounds it.
static void soft_vector(void **args, bool is_float)
{
    enum { ROWS_MAX = 2, K_MAX = 1024 };
    static uint16_t rows[ROWS_MAX * K_MAX];
    const float *norm = at(ARG(od_dev, 13));
    const int64_t k = ARG(int64_t, 10);
    const int64_t count = ARG(int64_t, 8);
    od_dev normed = (od_dev)(uintptr_t)rows;
    int64_t stride = k;
    void *changed[13];
    memcpy(changed, args, sizeof changed);
    if (count > ROWS_MAX || k > K_MAX) {
        abort();
    }
    for (int64_t i = 0; norm && i < count; i++) {
        const uint16_t *x = (uint16_t *)at(ARG(od_dev, 0)) + i * ARG(int64_t, 1);
        float squares = 0.0F;
        for (int64_t e = 0; e < k; e++) {
            squares += wide(x[e]) * wide(x[e]);
        }
        const float r = 1.0F / sqrtf(squares / (float)k + ARG(float, 14));
        for (int64_t e = 0; e < k; e++) {
            rows[i * k + e] = narrow(wide(x[e]) * r * norm[e]);
        }
    }
    if (norm) {
        changed[0] = &normed;
        changed[1] = &stride;
    }
    product(changed, is_float);
}

static void soft_vector_half(struct od_cuda_grid grid, void **args)
{
    (void)grid;
    soft_vector(args, false);
}

static void soft_vector_float(struct od_cuda_grid grid, void **args)
{
    (void)grid;
    soft_vector(args, true);
}

static void soft_append(struct od_cuda_grid grid, void **args)
{
    uint16_t *cache = at(ARG(od_dev, 0));
    const int32_t *tables = at(ARG(od_dev, 3));
    const int32_t *row_table = at(ARG(od_dev, 4));
    const int32_t *positions = at(ARG(od_dev, 5));
    const int64_t heads = 2 * (int64_t)ARG(int32_t, 7);
    const int64_t d = ARG(int32_t, 8);
    for (unsigned t = 0; t < grid.x; t++) {
        const uint16_t *from =
            (uint16_t *)at(ARG(od_dev, 1)) + t * ARG(int64_t, 2) + ARG(int32_t, 6) * d;
        const int64_t page = tables[row_table[t] + positions[t] / OD_PAGED_ROWS];
        for (int64_t h = 0; h < heads; h++) {
            memcpy(cache + ((page * heads + h) * OD_PAGED_ROWS + positions[t] % OD_PAGED_ROWS) * d,
                   from + h * d, (size_t)d * 2u);
        }
    }
}

static void soft_turn_append(struct od_cuda_grid grid, void **args)
{
    int32_t heads = ARG(int32_t, 7) + ARG(int32_t, 8);
    float direction = 1.0F;
    void *turn[] = {args[1], args[2], args[3], args[6], &heads, args[9], &direction};
    void *append[] = {args[0], args[1], args[2], args[4], args[5],
                      args[6], args[7], args[8], args[9]};
    soft_rope(grid, turn);
    soft_append(grid, append);
}

/** Rows whose attention went through pages, and rows that took training's; of all layers. */
static struct {
    int64_t paged;
    int64_t trained;
} soft_rows;

// A row's sums so far, or those of one unit.
struct soft_sums {
    float most;
    float sum;
    float out[64];
};

static void unit_sums(const struct od_paged_args *args, const struct od_paged_item *item,
                      int32_t row, int32_t head, int32_t unit, struct soft_sums *ret)
{
    enum { D = 64 };
    const int64_t group = args->heads / args->kv_heads;
    const int32_t position = item->position + row;
    const uint16_t *q = args->qkv + (item->row + row) * args->ld_qkv + (int64_t)head * D;
    float scores[OD_PAGED_UNIT];
    *ret = (struct soft_sums){.most = -INFINITY};
    for (int pass = 0; pass < 2; pass++) {
        for (int32_t i = 0; i < OD_PAGED_UNIT; i++) {
            const int32_t key = unit * OD_PAGED_UNIT + i;
            if (key < od_paged_lowest(position, args->window) || key > position) {
                continue;
            }
            const int64_t page = args->tables[item->table + key / OD_PAGED_ROWS];
            const uint16_t *k =
                args->cache +
                ((page * 2 * args->kv_heads + head / group) * OD_PAGED_ROWS + key % OD_PAGED_ROWS) *
                    D;
            const uint16_t *v = k + (int64_t)args->kv_heads * OD_PAGED_ROWS * D;
            if (pass == 0) {
                scores[i] = 0.0F;
                for (int e = 0; e < D; e++) {
                    scores[i] += wide(q[e]) * wide(k[e]);
                }
                scores[i] *= args->scale * 1.44269504F;
                ret->most = fmaxf(ret->most, scores[i]);
                continue;
            }
            const float p = exp2f(scores[i] - ret->most);
            ret->sum += p;
            for (int e = 0; e < D; e++) {
                ret->out[e] += wide(narrow(p)) * wide(v[e]);
            }
        }
    }
}

static void add_unit(struct soft_sums *sums, const struct soft_sums *unit)
{
    const float more = fmaxf(sums->most, unit->most);
    const float before = sums->most == -INFINITY ? 0.0F : exp2f(sums->most - more);
    const float now = unit->most == -INFINITY ? 0.0F : exp2f(unit->most - more);
    sums->most = more;
    sums->sum = fmaf(unit->sum, now, sums->sum * before);
    for (int e = 0; e < 64; e++) {
        sums->out[e] = fmaf(unit->out[e], now, sums->out[e] * before);
    }
}

static void store_sums(const struct od_paged_args *args, int64_t row, int32_t head,
                       const struct soft_sums *sums)
{
    for (int e = 0; e < 64; e++) {
        args->o[row * args->ld_o + head * 64 + e] = narrow(sums->out[e] * (1.0F / sums->sum));
    }
}

static void soft_items(struct od_cuda_grid grid, unsigned per_block, const struct od_paged_args *a)
{
    if ((int64_t)grid.x * per_block < a->item_count ||
        grid.y != (unsigned)(a->kv_heads * od_paged_head_tiles(a->heads, a->kv_heads))) {
        abort();  // some would not be computed
    }
    for (int32_t i = 0; i < a->item_count; i++) {
        const struct od_paged_item *item = &a->items[i];
        soft_rows.paged += item->part < 0 ? item->rows : 0;
        for (int32_t r = 0; r < item->rows * a->heads; r++) {
            const int32_t head = r % a->heads;
            struct soft_sums sums = {.most = -INFINITY};
            for (int32_t unit = item->unit; unit < item->unit_end; unit++) {
                struct soft_sums one;
                unit_sums(a, item, r / a->heads, head, unit, &one);
                if (item->part >= 0) {
                    float *part =
                        a->parts + ((item->part + unit - item->unit) * a->heads + head) * 66;
                    memcpy(part, one.out, sizeof one.out);
                    part[64] = one.most;
                    part[65] = one.sum;
                }
                add_unit(&sums, &one);
            }
            if (item->part < 0) {
                store_sums(a, item->row + r / a->heads, head, &sums);
            }
        }
    }
}

static void soft_attend(struct od_cuda_grid grid, void **args)
{
    soft_items(grid, OD_PAGED_WARPS, args[0]);
}

static void soft_stream(struct od_cuda_grid grid, void **args)
{
    const struct od_paged_args *a = args[0];
    if (grid.x != (unsigned)a->item_count || grid.shared_bytes < OD_PAGED_STREAM_BYTES(64)) {
        abort();  // a block without work reads behind the list
    }
    soft_items(grid, 1, a);
}

static void soft_join(struct od_cuda_grid grid, void **args)
{
    const struct od_paged_args *a = args[0];
    for (unsigned i = 0; i < grid.x * grid.y; i++) {
        const struct od_paged_join *join = &a->joins[i % grid.x];
        const int32_t head = (int32_t)(i / grid.x);
        soft_rows.paged += head == 0;
        struct soft_sums sums = {.most = -INFINITY};
        for (int32_t unit = 0; unit < join->count; unit++) {
            const float *part = a->parts + ((join->part + unit) * a->heads + head) * 66;
            struct soft_sums one = {.most = part[64], .sum = part[65]};
            memcpy(one.out, part, sizeof one.out);
            add_unit(&sums, &one);
        }
        store_sums(a, join->row, head, &sums);
    }
}

// Keys that the last row of a tile sees, about: what tiles are ordered by.
static int64_t tile_work(const struct od_attention_args *args, const struct od_attention_tile *tile)
{
    const int64_t all = tile->row + tile->rows - tile->begin;
    const int64_t most = args->window > 0 ? (int64_t)tile->rows + args->window - 1 : all;
    return all < most ? all : most;
}

static void trained_row(const struct od_attention_args *args, const struct od_attention_tile *tile,
                        int32_t row, int32_t head)
{
    enum { D = 64, KEYS_MAX = 1024 };
    const uint16_t *q = args->qkv + row * args->ld_qkv + (int64_t)head * D;
    const int64_t k = (int64_t)(args->heads + head * args->kv_heads / args->heads) * D;
    const int32_t first = tile->begin + od_paged_lowest(row - tile->begin, args->window);
    float scores[KEYS_MAX];
    float out[D] = {0.0F};
    float most = -INFINITY;
    float sum = 0.0F;
    for (int32_t key = first; key <= row; key++) {
        float score = 0.0F;
        for (int e = 0; e < D; e++) {
            score += wide(q[e]) * wide(args->qkv[key * args->ld_qkv + k + e]);
        }
        scores[key - first] = score * args->scale;
        most = fmaxf(most, scores[key - first]);
    }
    for (int32_t key = first; key <= row; key++) {
        const float p = expf(scores[key - first] - most);
        sum += p;
        for (int e = 0; e < D; e++) {
            out[e] += wide(narrow(p)) *
                      wide(args->qkv[key * args->ld_qkv + k + (int64_t)args->kv_heads * D + e]);
        }
    }
    args->lse[(int64_t)row * args->heads + head] = most + logf(sum);
    for (int e = 0; e < D; e++) {
        args->o[row * args->ld_o + (int64_t)head * D + e] = narrow(out[e] / sum);
    }
}

// Training's attention: a block for each tile and head, or blocks that take tiles from a queue.
static void soft_trained(struct od_cuda_grid grid, void **args)
{
    const struct od_attention_args *a = args[0];
    const bool is_queued = grid.y == 1 && a->queue && a->queue[0] == 0 && a->queue[1] == 0;
    if (a->head_dim != 64 || *a->tile_count < 1 ||
        (!is_queued && (grid.y != (unsigned)a->heads || (int32_t)grid.x < *a->tile_count))) {
        abort();  // some would not be computed
    }
    for (int32_t i = 0; i < *a->tile_count; i++) {
        const struct od_attention_tile *tile = &a->tiles[i];
        if (i > 0 && tile_work(a, tile) > tile_work(a, tile - 1)) {
            abort();  // the longest would be waited for
        }
        soft_rows.trained += tile->rows;
        for (int32_t r = 0; r < tile->rows * a->heads; r++) {
            trained_row(a, tile, tile->row + r / a->heads, r % a->heads);
        }
    }
}

static const struct od_lora_entry *entry_of(const struct od_lora_call *call, unsigned row,
                                            unsigned part)
{
    const int32_t adapter = ((int32_t *)at(call->adapter))[row];
    return adapter < 0
               ? NULL
               : (struct od_lora_entry *)at(call->entries) + adapter * OD_ADAPTER_PARTS_MAX + part;
}

static float *inner_of(const struct od_lora_call *call, unsigned row, unsigned part)
{
    return (float *)at(call->xa) + (row * OD_ADAPTER_PARTS_MAX + part) * (unsigned)call->rank_max;
}

static void soft_lora_inputs(struct od_cuda_grid grid, void **args)
{
    const struct od_lora_call *call = args[0];
    for (unsigned i = 0; i < grid.x * grid.y; i++) {
        const struct od_lora_entry *entry = entry_of(call, i % grid.x, i / grid.x);
        const uint16_t *x = (uint16_t *)at(call->x) + i % grid.x * call->ldx;
        for (int32_t j = 0; entry && j < entry->rank; j++) {
            float sum = 0.0F;
            for (int64_t c = 0; c < call->k; c++) {
                sum += wide(x[c]) * wide(((uint16_t *)at(entry->a))[j * entry->lda + c]);
            }
            inner_of(call, i % grid.x, i / grid.x)[j] = sum * entry->scale;
        }
    }
}

static void soft_lora_outputs(struct od_cuda_grid grid, void **args)
{
    const struct od_lora_call *call = args[0];
    for (unsigned i = 0; i < grid.x * grid.y; i++) {
        const struct od_lora_entry *entry = entry_of(call, i % grid.x, i / grid.x);
        uint16_t *y = (uint16_t *)at(call->y) + i % grid.x * call->ldy;
        for (int64_t n = 0; entry && entry->rank > 0 && n < entry->rows; n++) {
            float sum = 0.0F;
            if (n >= (int64_t)grid.z * OD_LORA_SPAN) {
                abort();  // would not be computed
            }
            for (int32_t j = 0; j < entry->rank; j++) {
                sum += inner_of(call, i % grid.x, i / grid.x)[j] *
                       wide(((uint16_t *)at(entry->b))[n * entry->rank + j]);
            }
            y[entry->row + n] = narrow(wide(y[entry->row + n]) + sum);
        }
    }
}

static void soft_lora_merge(struct od_cuda_grid grid, void **args)
{
    const float *a = at(ARG(od_dev, 2));
    const float *b = at(ARG(od_dev, 3));
    const int64_t k = ARG(int64_t, 4);
    const int64_t r = ARG(int64_t, 5);
    for (unsigned i = 0; i < grid.x; i++) {
        uint16_t *w = (uint16_t *)at(ARG(od_dev, 0)) + i * ARG(int64_t, 1);
        for (int64_t c = 0; c < k; c++) {
            double sum = 0.0;
            for (int64_t j = 0; j < r; j++) {
                sum += (double)b[i * r + j] * (double)a[j * k + c];
            }
            w[c] = narrow((float)((double)wide(w[c]) + ARG(double, 6) * sum));
        }
    }
}

static const struct {
    const char *name;
    soft_fn run;
} soft_kernels[] = {
    {"od_load_values", soft_load_values},
    {"od_embed", soft_embed},
    {"od_rms_norm", soft_rms_norm},
    {"od_rope", soft_rope},
    {"od_glu_silu", soft_glu},
    {"od_gather_rows", soft_gather},
    {"od_scatter_rows", soft_scatter},
    {"od_matmul_vector_bf16", soft_vector_half},
    {"od_matmul_vector_f32", soft_vector_float},
    {"od_matmul_vector_few_bf16", soft_vector_half},
    {"od_matmul_vector_few_f32", soft_vector_float},
    {"od_matmul_rows16_bf16", soft_product_half},
    {"od_matmul_rows16_f32", soft_product_float},
    {"od_matmul_rows64_bf16", soft_product_half},
    {"od_matmul_rows64_f32", soft_product_float},
    {"od_matmul_bf16_nt", soft_product_half},
    {"od_matmul_f32_nt", soft_product_float},
    {"od_paged_append", soft_append},
    {"od_paged_turn_append", soft_turn_append},
    {"od_paged_d64_attend", soft_attend},
    {"od_paged_d64_join", soft_join},
    {"od_paged_d64_stream", soft_stream},
    {"od_attention_d64_fwd", soft_trained},
    {"od_attention_d64_fwd_sm90a", soft_trained},
    {"od_lora_inputs", soft_lora_inputs},
    {"od_lora_outputs", soft_lora_outputs},
    {"od_lora_merge", soft_lora_merge},
};

// The functions of cuda.h.

/** What the next card that is opened says of itself. */
static int soft_capability = 90;

int od_cuda_count(struct od_error *err)
{
    (void)err;
    return 1;
}

enum od_status od_cuda_open(int ordinal, struct od_cuda **ret, struct od_error *err)
{
    (void)ordinal;
    (void)err;
    *ret = calloc(1, sizeof **ret);
    if (!*ret) {
        abort();
    }
    // Two of them: few enough that rows are left whole, many enough that some are split.
    (*ret)->info = (struct od_cuda_info){.name = "soft",
                                         .driver_version = 12000,
                                         .capability = soft_capability,
                                         .multiprocessors = 2};
    return OD_OK;
}

void od_cuda_close(struct od_cuda *cuda)
{
    free(cuda);
}

const struct od_cuda_info *od_cuda_info(const struct od_cuda *cuda)
{
    return &cuda->info;
}

enum od_status od_cuda_memory(struct od_cuda *cuda, size_t *ret_free, size_t *ret_total,
                              struct od_error *err)
{
    (void)cuda;
    (void)err;
    *ret_free = CARD_BYTES;
    *ret_total = CARD_BYTES;
    return OD_OK;
}

size_t od_cuda_process_bytes(struct od_cuda *cuda)
{
    (void)cuda;
    return 0;
}

enum od_status od_cuda_alloc(struct od_cuda *cuda, size_t bytes, od_dev *ret, struct od_error *err)
{
    (void)cuda;
    (void)err;
    void *memory = aligned_alloc(4096, (bytes + 4095u) & ~(size_t)4095u);
    if (!memory) {
        abort();
    }
    *ret = (od_dev)(uintptr_t)memory;
    return OD_OK;
}

void od_cuda_free(struct od_cuda *cuda, od_dev memory)
{
    (void)cuda;
    free(at(memory));
}

enum od_status od_cuda_host_alloc(struct od_cuda *cuda, size_t bytes, void **ret,
                                  struct od_error *err)
{
    od_dev memory = 0;
    const enum od_status status = od_cuda_alloc(cuda, bytes, &memory, err);
    *ret = at(memory);
    return status;
}

void od_cuda_host_free(struct od_cuda *cuda, void *memory)
{
    (void)cuda;
    free(memory);
}

void od_cuda_upload(struct od_cuda *cuda, od_dev to, const void *from, size_t bytes)
{
    (void)cuda;
    memcpy(at(to), from, bytes);
}

void od_cuda_download(struct od_cuda *cuda, void *to, od_dev from, size_t bytes)
{
    (void)cuda;
    memcpy(to, at(from), bytes);
}

void od_cuda_copy(struct od_cuda *cuda, od_dev to, od_dev from, size_t bytes)
{
    (void)cuda;
    memcpy(at(to), at(from), bytes);
}

void od_cuda_copy_rows(struct od_cuda *cuda, od_dev to, size_t to_pitch, od_dev from,
                       size_t from_pitch, size_t width, size_t rows)
{
    (void)cuda;
    for (size_t i = 0; i < rows; i++) {
        memcpy(at(to + i * to_pitch), at(from + i * from_pitch), width);
    }
}

void od_cuda_fill(struct od_cuda *cuda, od_dev to, uint8_t value, size_t bytes)
{
    (void)cuda;
    memset(at(to), value, bytes);
}

enum od_status od_cuda_kernel(struct od_cuda *cuda, const char *name, struct od_cuda_kernel **ret,
                              struct od_error *err)
{
    (void)err;
    for (int i = 0; i < cuda->kernel_count; i++) {
        if (strcmp(cuda->kernels[i].name, name) == 0) {
            *ret = &cuda->kernels[i];
            return OD_OK;
        }
    }
    struct od_cuda_kernel *kernel = &cuda->kernels[cuda->kernel_count++];
    (void)snprintf(kernel->name, sizeof kernel->name, "%s", name);
    for (size_t i = 0; i < sizeof soft_kernels / sizeof soft_kernels[0]; i++) {
        if (strcmp(soft_kernels[i].name, name) == 0) {
            kernel->run = soft_kernels[i].run;
        }
    }
    *ret = kernel;
    return OD_OK;
}

void od_cuda_launch(struct od_cuda *cuda, struct od_cuda_kernel *kernel, struct od_cuda_grid grid,
                    void **args)
{
    (void)cuda;
    grid.y = grid.y == 0 ? 1 : grid.y;
    grid.z = grid.z == 0 ? 1 : grid.z;
    if (!kernel->run) {
        (void)fprintf(stderr, "kernel '%s' is not expected here\n", kernel->name);
        abort();
    }
    if (grid.x > 0) {
        kernel->run(grid, args);
    }
}

/** The card falls off: from now on nothing that is waited for succeeds. */
static bool soft_is_gone;

enum od_status od_cuda_sync(struct od_cuda *cuda, struct od_error *err)
{
    (void)cuda;
    return soft_is_gone ? od_fail(err, OD_E_IO, "the card is gone") : OD_OK;
}

enum od_status od_cuda_event_create(struct od_cuda *cuda, struct od_cuda_event **ret,
                                    struct od_error *err)
{
    (void)cuda;
    (void)err;
    *ret = calloc(1, sizeof **ret);
    return OD_OK;
}

void od_cuda_event_free(struct od_cuda *cuda, struct od_cuda_event *event)
{
    (void)cuda;
    free(event);
}

void od_cuda_event_record(struct od_cuda *cuda, struct od_cuda_event *event)
{
    (void)cuda;
    (void)event;
}

enum od_status od_cuda_event_wait(struct od_cuda *cuda, struct od_cuda_event *event,
                                  struct od_error *err)
{
    (void)cuda;
    (void)event;
    (void)err;
    return OD_OK;
}

void od_cuda_fault(struct od_cuda *cuda, enum od_status status, const char *format, ...)
{
    va_list list;
    (void)cuda;
    (void)status;
    va_start(list, format);
    (void)vfprintf(stderr, format, list);
    va_end(list);
    abort();
}

bool od_cuda_wants_ptx(void)
{
    return true;  // no library either
}

bool od_cuda_is_recording(const struct od_cuda *cuda)
{
    (void)cuda;
    return false;
}

// Asked for by code that is linked and never runs here.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter"
#define NOT_HERE(signature) \
    signature               \
    {                       \
        abort();            \
    }
NOT_HERE(void od_cuda_aside_upload(struct od_cuda *cuda, od_dev to, const void *from, size_t bytes))
NOT_HERE(void od_cuda_aside_download(struct od_cuda *cuda, void *to, od_dev from, size_t bytes))
NOT_HERE(void od_cuda_aside_join(struct od_cuda *cuda))
NOT_HERE(enum od_status od_cuda_check(struct od_cuda *cuda, struct od_error *err))
NOT_HERE(enum od_status od_cuda_graph_begin(struct od_cuda *cuda, struct od_error *err))
NOT_HERE(enum od_status od_cuda_graph_end(struct od_cuda *cuda, struct od_cuda_graph **ret,
                                          struct od_error *err))
NOT_HERE(void od_cuda_graph_launch(struct od_cuda *cuda, struct od_cuda_graph *graph))
NOT_HERE(void od_cuda_graph_free(struct od_cuda *cuda, struct od_cuda_graph *graph))
NOT_HERE(double od_cuda_event_ms(struct od_cuda *cuda, struct od_cuda_event *first,
                                 struct od_cuda_event *last))
NOT_HERE(void *od_cuda_stream(struct od_cuda *cuda))
NOT_HERE(double od_cuda_energy_j(struct od_cuda *cuda))
NOT_HERE(int od_cuda_kernel_ptx(const struct od_cuda *cuda, const struct od_cuda_kernel *kernel))

#pragma GCC diagnostic pop

#endif
