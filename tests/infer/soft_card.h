/**
 * @file
 * A card that is none (device/soft_cuda.h), with the kernels that serving launches as plain loops. A test that includes this file runs all of serving on a GPU but
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
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "device/cuda/cuda.h"
#include "device/soft_cuda.h"
#include "ops/attention/attention_cuda.h"
#include "ops/linear/lora_cuda.h"
#include "ops/op.h"
#include "ops/paged/paged.h"

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

// A row of D: `sums` [n], rounded where D is; C in D's type.
static void store_row(void **args, int64_t i, bool is_float, const float *sums)
{
    const uint16_t *bias = at(ARG(od_dev, 12));
    const float *float_c = at(ARG(od_dev, 4));
    const uint16_t *half_c = at(ARG(od_dev, 4));
    for (int64_t j = 0; j < ARG(int64_t, 9); j++) {
        const int64_t from = i * ARG(int64_t, 5) + j;
        const int64_t to = i * ARG(int64_t, 7) + j;
        float x = sums[j] * ARG(float, 11);
        if (is_float) {
            x += float_c ? float_c[from] : 0.0F;
            ((float *)at(ARG(od_dev, 6)))[to] = x;
            continue;
        }
        x += half_c ? wide(half_c[from]) : 0.0F;
        x += bias ? wide(bias[j]) : 0.0F;
        ((uint16_t *)at(ARG(od_dev, 6)))[to] = narrow(x);
    }
}

// D = alpha op(A) op(B) (+ C) (+ bias), as matmul.h has it; each sum in order of k.
static void product(void **args, bool a_transposed, bool b_transposed, bool is_float)
{
    const uint16_t *a = at(ARG(od_dev, 0));
    const uint16_t *b = at(ARG(od_dev, 2));
    const int64_t a_row = a_transposed ? 1 : ARG(int64_t, 1);
    const int64_t a_step = a_transposed ? ARG(int64_t, 1) : 1;
    const int64_t b_row = b_transposed ? ARG(int64_t, 3) : 1;
    const int64_t b_step = b_transposed ? 1 : ARG(int64_t, 3);
    const int64_t n = ARG(int64_t, 9);
    const int64_t k = ARG(int64_t, 10);
    float *sums = malloc((size_t)n * sizeof *sums);
    float *values = malloc((size_t)(k * n) * sizeof *values);  // of B
    if (!sums || !values) {
        abort();
    }
    for (int64_t e = 0; e < k; e++) {
        for (int64_t j = 0; j < n; j++) {
            values[e * n + j] = wide(b[j * b_row + e * b_step]);
        }
    }
    for (int64_t i = 0; i < ARG(int64_t, 8); i++) {
        memset(sums, 0, (size_t)n * sizeof *sums);
        for (int64_t e = 0; e < k; e++) {
            const float x = wide(a[i * a_row + e * a_step]);
            const float *row = values + e * n;
            for (int64_t j = 0; j < n; j++) {
                sums[j] += x * row[j];
            }
        }
        store_row(args, i, is_float, sums);
    }
    free(values);
    free(sums);
}

static void soft_product_half(struct od_cuda_grid grid, void **args)
{
    (void)grid;
    product(args, false, true, false);
}

static void soft_product_float(struct od_cuda_grid grid, void **args)
{
    (void)grid;
    product(args, false, true, true);
}

// A product of rows that may be normalised first.
static void soft_vector(void **args, bool is_float)
{
    enum { ROWS_MAX = 2, K_MAX = 1024, ARGS = 13 };
    static uint16_t rows[ROWS_MAX * K_MAX];
    const float *norm = at(ARG(od_dev, 13));
    const int64_t k = ARG(int64_t, 10);
    const int64_t count = ARG(int64_t, 8);
    od_dev normed = (od_dev)(uintptr_t)rows;
    int64_t stride = k;
    void *changed[ARGS];
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
        changed[0] = &normed;
        changed[1] = &stride;
    }
    product(changed, false, true, is_float);
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

struct soft_kernel {
    const char *name;
    soft_fn run;
};
static const struct soft_kernel soft_kernels[] = {
    {"od_load_values", soft_load_values},
    {"od_embed", soft_embed},
    {"od_rms_norm", soft_rms_norm},
    {"od_rope", soft_rope},
    {"od_glu_silu", soft_glu},
    {"od_gather_rows", soft_gather},
    {"od_scatter_rows", soft_scatter},
    {"od_vector_one_bf16", soft_vector_half},
    {"od_vector_one_f32", soft_vector_float},
    {"od_vector_few_bf16", soft_vector_half},
    {"od_vector_few_f32", soft_vector_float},
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

/** Kernels that a test has besides, or instead; set before the card is opened. */
static const struct soft_kernel *soft_more;
static size_t soft_more_count;

static soft_fn soft_find(const struct soft_kernel *kernels, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(kernels[i].name, name) == 0) {
            return kernels[i].run;
        }
    }
    return NULL;
}

static soft_fn soft_kernel_of(const char *name)
{
    const soft_fn more = soft_find(soft_more, soft_more_count, name);
    return more ? more
                : soft_find(soft_kernels, sizeof soft_kernels / sizeof soft_kernels[0], name);
}

#endif
