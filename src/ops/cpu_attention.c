#include <stdint.h>
#include <string.h>

#include "base/threads.h"
#include "device/cpu/gemm.h"
#include "ops/cpu.h"
#include "ops/kernels.h"
#include "ops/op.h"

// A unit of work is one key/value head of one document: its query heads are done in order, so that
// their contributions to dK and dV have one order, too.
struct attention {
    struct od_cpu *cpu;
    const struct od_op *op;
    const struct od_batch *batch;
    const float *qkv;
    float *o;
    float *lse;
    const float *d_o;
    float *dqkv;
    float *work;
    int64_t work_stride;  // floats per thread
    int64_t row;          // floats per row of qkv
    float *cache;
};

static struct od_mat rows_of(const float *data, int64_t ld)
{
    return (struct od_mat){data, ld, 1};
}

static struct od_mat transposed(const float *data, int64_t ld)
{
    return (struct od_mat){data, 1, ld};
}

// The first key that a tile whose first query is `i` looks at.
static int64_t first_key(const struct od_op *op, int64_t i)
{
    return op->window > 0 && i + 1 > op->window ? i + 1 - op->window : 0;
}

static void forward_head(const struct attention *at, int64_t start, int64_t length, int64_t head,
                         int thread)
{
    const struct od_op *op = at->op;
    const int64_t d = op->head_dim;
    const int64_t group = op->heads / op->kv_heads;
    const int64_t out_row = (int64_t)op->heads * d;
    const float *q = at->qkv + start * at->row + head * d;
    const float *k = at->qkv + start * at->row + (op->heads + head / group) * d;
    const float *v = k + op->kv_heads * d;
    float *o = at->o + start * out_row + head * d;
    float *lse = at->lse + start * op->heads + head;
    float *scores = at->work + thread * at->work_stride;

    for (int64_t i = 0; i < length; i += OD_ATTENTION_TILE_ROWS) {
        const int64_t rows =
            length - i < OD_ATTENTION_TILE_ROWS ? length - i : OD_ATTENTION_TILE_ROWS;
        const int64_t first = first_key(op, i);
        const int64_t keys = i + rows - first;
        od_gemm_run_one(at->cpu->gemm, thread, rows, keys, d, rows_of(q + i * at->row, at->row),
                        transposed(k + first * at->row, at->row), scores, keys, false);
        at->cpu->kernels->softmax_rows(scores, keys, rows, keys, i + 1 - first, op->window,
                                       op->scale, lse + i * op->heads, op->heads);
        od_gemm_run_one(at->cpu->gemm, thread, rows, d, keys, rows_of(scores, keys),
                        rows_of(v + first * at->row, at->row), o + i * out_row, out_row, false);
    }
}

static void forward_units(void *context, int64_t first, int64_t last, int thread)
{
    const struct attention *at = context;
    const int64_t group = at->op->heads / at->op->kv_heads;
    for (int64_t unit = first; unit < last; unit++) {
        const int64_t segment = unit / at->op->kv_heads;
        const int64_t start = at->batch->segment_start[segment];
        const int64_t length = at->batch->segment_start[segment + 1] - start;
        for (int64_t h = 0; h < group; h++) {
            forward_head(at, start, length, unit % at->op->kv_heads * group + h, thread);
        }
    }
}

static struct attention attention_of(struct od_cpu *cpu, const struct od_op *op,
                                     float *const *tensors, const struct od_batch *batch)
{
    return (struct attention){
        .cpu = cpu,
        .op = op,
        .batch = batch,
        .qkv = tensors[op->slot[OD_SLOT_X]],
        .o = tensors[op->slot[OD_SLOT_Y]],
        .work = tensors[op->slot[OD_SLOT_WORK]],
        .row = (int64_t)(op->heads + 2 * op->kv_heads) * op->head_dim,
    };
}

// Floats of scratch per thread: what the longest document needs, so that tiles stay in the cache.
static int64_t longest(const struct od_batch *batch)
{
    int64_t best = 0;
    for (int64_t s = 0; s < batch->segments; s++) {
        const int64_t length = batch->segment_start[s + 1] - batch->segment_start[s];
        best = length > best ? length : best;
    }
    return best;
}

void od_cpu_attention(struct od_cpu *cpu, const struct od_op *op, float *const *tensors,
                      const struct od_batch *batch)
{
    struct attention at = attention_of(cpu, op, tensors, batch);
    at.lse = tensors[op->slot[OD_SLOT_AUX]];
    at.work_stride = od_attention_work_floats(longest(batch));
    od_pool_run(cpu->pool, batch->segments * op->kv_heads, 1, forward_units, &at);
}

// Gradients of one query head over one document.
static void backward_head(const struct attention *at, int64_t start, int64_t length, int64_t head,
                          int thread)
{
    const struct od_op *op = at->op;
    struct od_gemm *gemm = at->cpu->gemm;
    const int64_t d = op->head_dim;
    const int64_t group = op->heads / op->kv_heads;
    const int64_t out_row = (int64_t)op->heads * d;
    const int64_t q_at = start * at->row + head * d;
    const int64_t key_at = start * at->row + (op->heads + head / group) * d;
    const float *o = at->o + start * out_row + head * d;
    const float *d_o = at->d_o + start * out_row + head * d;
    const float *lse = at->lse + start * op->heads + head;
    float *p = at->work + thread * at->work_stride;
    float *dp = p + OD_ATTENTION_TILE_ROWS * length;
    float *delta = dp + OD_ATTENTION_TILE_ROWS * length;

    for (int64_t i = 0; i < length; i += OD_ATTENTION_TILE_ROWS) {
        const int64_t rows =
            length - i < OD_ATTENTION_TILE_ROWS ? length - i : OD_ATTENTION_TILE_ROWS;
        const int64_t first = first_key(op, i);
        const int64_t keys = i + rows - first;
        const int64_t k_at = key_at + first * at->row;
        const int64_t v_at = k_at + op->kv_heads * d;
        const struct od_mat q = rows_of(at->qkv + q_at + i * at->row, at->row);
        const struct od_mat d_out = rows_of(d_o + i * out_row, out_row);
        for (int64_t r = 0; r < rows; r++) {
            delta[r] = at->cpu->kernels->dot(d_o + (i + r) * out_row, o + (i + r) * out_row, d);
        }
        od_gemm_run_one(gemm, thread, rows, keys, d, q, transposed(at->qkv + k_at, at->row), p,
                        keys, false);
        at->cpu->kernels->softmax_again(p, keys, rows, keys, i + 1 - first, op->window, op->scale,
                                        lse + i * op->heads, op->heads);
        od_gemm_run_one(gemm, thread, rows, keys, d, d_out, transposed(at->qkv + v_at, at->row), dp,
                        keys, false);
        od_gemm_run_one(gemm, thread, keys, d, rows, transposed(p, keys), d_out, at->dqkv + v_at,
                        at->row, true);
        at->cpu->kernels->softmax_bwd(dp, p, keys, rows, keys, delta, op->scale);
        od_gemm_run_one(gemm, thread, rows, d, keys, rows_of(dp, keys),
                        rows_of(at->qkv + k_at, at->row), at->dqkv + q_at + i * at->row, at->row,
                        false);
        od_gemm_run_one(gemm, thread, keys, d, rows, transposed(dp, keys), q, at->dqkv + k_at,
                        at->row, true);
    }
}

static void backward_units(void *context, int64_t first, int64_t last, int thread)
{
    const struct attention *at = context;
    const struct od_op *op = at->op;
    const int64_t group = op->heads / op->kv_heads;
    for (int64_t unit = first; unit < last; unit++) {
        const int64_t segment = unit / op->kv_heads;
        const int64_t kv = unit % op->kv_heads;
        const int64_t start = at->batch->segment_start[segment];
        const int64_t length = at->batch->segment_start[segment + 1] - start;
        const size_t bytes = (size_t)op->head_dim * sizeof(float);
        for (int64_t t = start; t < start + length; t++) {
            float *dk = at->dqkv + t * at->row + (op->heads + kv) * op->head_dim;
            memset(dk, 0, bytes);
            memset(dk + (int64_t)op->kv_heads * op->head_dim, 0, bytes);
        }
        for (int64_t h = 0; h < group; h++) {
            backward_head(at, start, length, kv * group + h, thread);
        }
    }
}

void od_cpu_attention_bwd(struct od_cpu *cpu, const struct od_op *op, float *const *tensors,
                          const struct od_batch *batch)
{
    struct attention at = attention_of(cpu, op, tensors, batch);
    at.lse = tensors[op->slot[OD_SLOT_AUX]];
    at.d_o = tensors[op->slot[OD_SLOT_DY]];
    at.dqkv = tensors[op->slot[OD_SLOT_DX]];
    at.work_stride = od_attention_work_floats(longest(batch));
    od_pool_run(cpu->pool, batch->segments * op->kv_heads, 1, backward_units, &at);
}

// The cache of a layer: [page][key, value][kv head][position][head_dim]. Where there is no table, a
// sequence has one page, and its number is that of the page.
static struct od_cached_head cached_head(const struct attention *at, int64_t row, int64_t kv)
{
    const struct od_batch *batch = at->batch;
    const int64_t floats = batch->cache_length * at->op->head_dim;
    const int32_t *slot = &batch->cache_slot[row];
    return (struct od_cached_head){
        .keys = at->cache + kv * floats,
        .values = at->cache + (at->op->kv_heads + kv) * floats,
        .pages = batch->page_table ? batch->page_table + *slot * batch->table_pages : slot,
        .page_rows = batch->cache_length,
        .page_stride = (int64_t)2 * at->op->kv_heads * floats};
}

static void cached_rows(void *context, int64_t begin, int64_t end, int thread)
{
    const struct attention *at = context;
    const struct od_op *op = at->op;
    const int64_t d = op->head_dim;
    const int64_t group = op->heads / op->kv_heads;
    for (int64_t unit = begin; unit < end; unit++) {
        const int64_t t = unit / op->heads;
        const int64_t head = unit % op->heads;
        const int64_t keys = at->batch->positions[t] + 1;
        const int64_t first = first_key(op, keys - 1);
        const struct od_cached_head cached = cached_head(at, t, head / group);
        at->cpu->kernels->attend_row(at->o + t * op->heads * d + head * d,
                                     at->qkv + t * at->row + head * d, &cached, first, keys - first,
                                     d, op->scale, at->work + thread * at->work_stride);
    }
}

// Keys and values of the rows of this pass into their pages.
static void store_rows(const struct attention *at)
{
    const struct od_op *op = at->op;
    const struct od_batch *batch = at->batch;
    const int64_t d = op->head_dim;
    for (int64_t t = 0; t < batch->tokens; t++) {
        const float *key = at->qkv + t * at->row + op->heads * d;
        const int64_t position = batch->positions[t];
        for (int64_t i = 0; i < 2 * (int64_t)op->kv_heads; i++) {  // all keys, then all values
            const struct od_cached_head to = cached_head(at, t, 0);
            const int64_t floats = to.pages[position / to.page_rows] * to.page_stride +
                                   (i * to.page_rows + position % to.page_rows) * d;
            memcpy(at->cache + floats, key + i * d, (size_t)d * sizeof *key);
        }
    }
}

void od_cpu_attention_cached(struct od_cpu *cpu, const struct od_op *op, float *const *tensors,
                             const struct od_batch *batch)
{
    struct attention at = attention_of(cpu, op, tensors, batch);
    at.cache = tensors[op->slot[OD_SLOT_AUX]];
    at.work_stride = batch->cache_length * (batch->page_table ? batch->table_pages : 1);
    store_rows(&at);
    od_pool_run(cpu->pool, batch->tokens * op->heads, 1, cached_rows, &at);
}
