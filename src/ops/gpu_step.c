// The parts of the GPU walker around the passes: batches on their way in, the optimiser, weights.

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "device/cuda/cuda.h"
#include "ops/adamw/adamw_cuda.h"
#include "ops/attention/attention_cuda.h"
#include "ops/embed/embed_noise.h"
#include "ops/gpu.h"
#include "ops/gpu_internal.h"
#include "ops/op.h"

static int64_t rounded_up(int64_t n, int64_t step)
{
    return (n + step - 1) / step * step;
}

// Host memory of a batch, handed out piece by piece.
struct pen {
    struct od_gpu *gpu;
    int32_t *at;
};

static int32_t *take(struct pen *pen, int64_t count)
{
    int32_t *taken = pen->at;
    pen->at += (count + 3) & ~(int64_t)3;
    return taken;
}

static void send(struct pen *pen, int32_t tensor, const int32_t *from, int64_t count)
{
    if (tensor >= 0 && count > 0) {
        od_cuda_upload(pen->gpu->cuda, pen->gpu->tensors[tensor].at, from,
                       (size_t)count * sizeof *from);
    }
}

// Attention's launches are rounded up to so many tiles, so that few kinds of batches differ.
enum { TILE_STEP = 16 };

// Rows sorted by id, rows of one id in order: by counting digits of 11 bits, which keeps order.
static void sort_rows(int32_t *order, int32_t *scratch, const int32_t *ids, int64_t count)
{
    enum { BITS = 11, BUCKETS = 1 << BITS };
    int32_t *from = scratch;
    int32_t *to = order;
    for (int64_t i = 0; i < count; i++) {
        from[i] = (int32_t)i;
    }
    for (int shift = 0; shift < 33; shift += BITS) {
        int64_t start[BUCKETS + 1] = {0};
        for (int64_t i = 0; i < count; i++) {
            start[(((uint32_t)ids[from[i]] >> shift) & (BUCKETS - 1)) + 1]++;
        }
        for (int b = 0; b < BUCKETS; b++) {
            start[b + 1] += start[b];
        }
        for (int64_t i = 0; i < count; i++) {
            to[start[((uint32_t)ids[from[i]] >> shift) & (BUCKETS - 1)]++] = from[i];
        }
        int32_t *swap = from;
        from = to;
        to = swap;
    }
    assert(from == order);  // three passes: the last wrote `order`
}

// The rows sorted by their numbers, and where the run of each number begins; how many there are.
static int32_t send_order(struct pen *pen, const int32_t *numbers, int32_t order_to,
                          int32_t runs_to)
{
    const int64_t tokens = pen->gpu->tokens;
    int64_t count = 0;
    if (order_to < 0) {
        return 0;
    }
    int32_t *order = take(pen, tokens);
    int32_t *runs = take(pen, tokens + 1);
    sort_rows(order, pen->gpu->sort, numbers, tokens);
    for (int64_t i = 0; i < tokens; i++) {
        if (i == 0 || numbers[order[i]] != numbers[order[i - 1]]) {
            runs[count++] = (int32_t)i;
        }
    }
    runs[count] = (int32_t)tokens;
    send(pen, order_to, order, tokens);
    send(pen, runs_to, runs, count + 1);
    return (int32_t)count;
}

// ids, positions and targets, with the rows that are not in use filled up.
static void send_rows(struct pen *pen, const struct od_batch *batch, int32_t *counts)
{
    struct od_gpu *gpu = pen->gpu;
    const int64_t tokens = gpu->tokens;
    int32_t *ids = take(pen, tokens);
    int32_t *positions = take(pen, tokens);
    int32_t *targets = take(pen, tokens);
    int32_t *labels = take(pen, tokens);
    int64_t label_count = 0;
    for (int64_t t = 0; t < tokens; t++) {
        const bool used = t < batch->tokens;
        ids[t] = used ? batch->ids[t] : 0;
        positions[t] =
            used ? batch->positions[t] : (int32_t)((t - batch->tokens) % gpu->position_count);
        targets[t] = used ? batch->targets[t] : -1;
        if (targets[t] >= 0) {
            labels[label_count++] = (int32_t)t;
        }
    }
    send(pen, gpu->inputs.ids, ids, tokens);
    send(pen, gpu->inputs.positions, positions, tokens);
    send(pen, gpu->inputs.targets, targets, tokens);
    send(pen, gpu->inputs.label_rows, labels, label_count);
    counts[OD_GPU_COUNT_LABELS] = (int32_t)label_count;
    gpu->now.labels = rounded_up(label_count, OD_GPU_HEAD_STEP);
    counts[OD_GPU_COUNT_EMBED_RUNS] =
        send_order(pen, ids, gpu->inputs.embed_order, gpu->inputs.embed_runs);
    counts[OD_GPU_COUNT_POSITION_RUNS] =
        send_order(pen, positions, gpu->inputs.position_order, gpu->inputs.position_runs);
}

// Bounds of the noise on each row of the embedding; none on rows that are not in use.
static void send_noise(struct pen *pen, const struct od_batch *batch)
{
    struct od_gpu *gpu = pen->gpu;
    if (gpu->inputs.noise_bounds < 0 || !batch->want_gradient) {
        return;
    }
    int32_t *bounds = take(pen, gpu->tokens);
    memset(bounds, 0, (size_t)gpu->tokens * sizeof *bounds);
    for (int64_t i = 0; i < batch->segments; i++) {
        const int32_t first = batch->segment_start[i];
        const int32_t last = batch->segment_start[i + 1];
        const float bound = od_embed_bound(&gpu->noise, last - first);
        for (int32_t t = first; t < last; t++) {
            memcpy(&bounds[t], &bound, sizeof bound);
        }
    }
    send(pen, gpu->inputs.noise_bounds, bounds, gpu->tokens);
}

// The work lists of the attention kernels; rows behind the last document are one more.
static void send_tiles(struct pen *pen, const struct od_batch *batch, int32_t *counts)
{
    struct od_gpu *gpu = pen->gpu;
    const int32_t lists[3] = {gpu->inputs.query_tiles, gpu->inputs.key_tiles,
                              gpu->inputs.dquery_tiles};
    static const enum od_attention_kernel kinds[3] = {OD_ATTENTION_FORWARD, OD_ATTENTION_DKDV,
                                                      OD_ATTENTION_DQ};
    int32_t *segments = gpu->sort;
    int64_t count = batch->segments;
    memcpy(segments, batch->segment_start, (size_t)(count + 1) * sizeof *segments);
    if (batch->tokens < gpu->tokens) {
        segments[++count] = (int32_t)gpu->tokens;
    }
    for (int i = 0; i < 3; i++) {
        // Room for `tokens` tiles: no tile is empty.
        struct od_attention_tile *tiles =
            (struct od_attention_tile *)(void *)take(pen, 4 * gpu->tokens);
        const int64_t made =
            gpu->attention_launch[kinds[i]]
                ? od_attention_tiles(segments, count, gpu->attention_launch[kinds[i]]->block,
                                     gpu->window, i == 1, tiles)
                : 0;
        counts[i] = (int32_t)made;
        gpu->now.tiles[i] = rounded_up(made, TILE_STEP);
        send(pen, lists[i], (const int32_t *)(const void *)tiles, 4 * made);
    }
}

enum od_status od_gpu_batch(struct od_gpu *gpu, const struct od_batch *batch, struct od_error *err)
{
    struct od_gpu_slot *slot = &gpu->slot[gpu->next_slot];
    struct pen pen = {gpu, slot->memory};
    if (batch->tokens < 1 || batch->tokens > gpu->tokens || batch->segments < 1 ||
        batch->segments > batch->tokens) {
        return od_fail(err, OD_E_ARGUMENT,
                       "a batch of %lld tokens in %lld documents is not possible",
                       (long long)batch->tokens, (long long)batch->segments);
    }
    for (int64_t t = 0; t < batch->tokens; t++) {
        if (batch->positions[t] < 0 || batch->positions[t] >= gpu->position_count) {
            return od_fail(err, OD_E_ARGUMENT, "position %d is past the %lld that there are",
                           batch->positions[t], (long long)gpu->position_count);
        }
    }
    if (slot->used) {
        const enum od_status status = od_cuda_event_wait(gpu->cuda, slot->sent, err);
        if (status != OD_OK) {
            return status;
        }
    }
    int32_t *counts = take(&pen, OD_GPU_COUNTS);
    memset(counts, 0, OD_GPU_COUNTS * sizeof *counts);
    memcpy(&counts[OD_GPU_COUNT_PASS], &batch->dropout_pass, sizeof batch->dropout_pass);
    gpu->now.dropout_seed = batch->dropout_seed;
    memcpy(&counts[OD_GPU_COUNT_LOSS_SCALE], &batch->loss_scale, sizeof batch->loss_scale);
    gpu->now.want_gradient = batch->want_gradient;
    send_rows(&pen, batch, counts);
    send_noise(&pen, batch);
    send_tiles(&pen, batch, counts);
    send(&pen, gpu->inputs.counts, counts, OD_GPU_COUNTS);
    od_cuda_event_record(gpu->cuda, slot->sent);
    slot->used = true;
    gpu->next_slot = (gpu->next_slot + 1) % OD_GPU_SLOTS;
    od_gpu_mark(gpu, OD_GPU_PART_OTHER);
    return OD_OK;
}

void od_gpu_clear(struct od_gpu *gpu)
{
    for (int32_t i = 0; i < gpu->param_count; i++) {
        const struct od_gpu_tensor *g = &gpu->tensors[gpu->params[i].gradient];
        od_cuda_fill(gpu->cuda, g->at, 0, g->bytes);
    }
    od_cuda_fill(gpu->cuda, gpu->stats, 0, sizeof(struct od_adamw_stats));
    od_gpu_mark(gpu, OD_GPU_PART_OTHER);
}

static void cast_rows(struct od_gpu *gpu, od_dev to, int64_t ld_to, od_dev from, int64_t rows,
                      int64_t cols, float scale)
{
    if (ld_to == cols &&
        rows * cols <= OD_GPU_THREADS_PER_BLOCK * (int64_t)UINT16_MAX) {  // one run
        cols *= rows;
        ld_to = cols;
        rows = 1;
    }
    int64_t ld_from = cols;
    void *args[] = {&to, &ld_to, &from, &ld_from, &cols, &scale};
    od_gpu_launch(gpu, OD_GPU_CAST_ROWS, (unsigned)rows,
                  (unsigned)((cols + OD_GPU_THREADS_PER_BLOCK - 1) / OD_GPU_THREADS_PER_BLOCK),
                  args);
}

// A and s B to where products read them; the embedding's A is read as it is.
static void fold(struct od_gpu *gpu, const struct od_op *op)
{
    const struct od_gpu_tensor to_b = od_gpu_fold_b(gpu, op);
    const struct od_gpu_tensor a = od_gpu_slot_tensor(gpu, op, OD_SLOT_A);
    const struct od_gpu_tensor b = od_gpu_slot_tensor(gpu, op, OD_SLOT_B);
    if (op->kind != OD_OP_EMBED) {
        const struct od_gpu_tensor to_a = od_gpu_fold_a(gpu, op);
        cast_rows(gpu, to_a.at, to_a.stride, a.at, a.rows, a.cols, 1.0F);
    }
    for (int32_t i = 0; i < op->part_count; i++) {
        const struct od_adapter_part *part = &op->part[i];
        cast_rows(gpu, to_b.at + (uint64_t)(part->row * to_b.stride + i * op->rank) * 2u,
                  to_b.stride, b.at + (uint64_t)(part->b_row * b.cols) * 4u, part->rows, b.cols,
                  op->scale);
    }
}

void od_gpu_refresh(struct od_gpu *gpu)
{
    for (int32_t i = 0; i < gpu->param_count; i++) {
        const struct od_gpu_param *p = &gpu->params[i];
        if (p->copy >= 0) {
            const struct od_gpu_tensor *t = &gpu->tensors[p->tensor];
            cast_rows(gpu, gpu->tensors[p->copy].at, gpu->tensors[p->copy].stride, t->at, t->rows,
                      t->cols, 1.0F);
        }
    }
    for (int32_t i = 0; i < gpu->forward_count; i++) {
        // Where the weight is codes that are decoded, that folds the adapter in.
        if (gpu->ops[i].fold > 0 &&
            (gpu->ops[i].quant == OD_QUANT_NONE || gpu->ops[i].quant == OD_QUANT_E4M3)) {
            fold(gpu, &gpu->ops[i]);
        }
    }
}

void od_gpu_update(struct od_gpu *gpu, const struct od_adamw_scalars *scalars)
{
    const unsigned chunks = (unsigned)gpu->chunk_count;
    void *square_args[] = {&gpu->partials, &gpu->chunks};
    void *norm_args[] = {&gpu->stats, &gpu->partials, &gpu->chunk_count, &gpu->scalars};
    void *adamw_args[] = {&gpu->chunks, &gpu->stats, &gpu->scalars, &gpu->maps};
    *gpu->host_scalars = *scalars;  // the last step has passed: od_gpu_finish
    od_cuda_upload(gpu->cuda, gpu->scalars, gpu->host_scalars, sizeof *scalars);
    od_gpu_launch(gpu, OD_GPU_SQUARE_PARTS, chunks, 1, square_args);
    od_gpu_launch(gpu, OD_GPU_NORM_FINISH, 1, 1, norm_args);
    od_gpu_launch(gpu, OD_GPU_ADAMW, chunks, 1, adamw_args);
    if (gpu->has_codes) {
        od_gpu_launch(gpu, OD_GPU_ADAMW_8BIT, chunks, 1, adamw_args);
    }
    od_gpu_refresh(gpu);
    od_gpu_mark(gpu, OD_GPU_PART_OPTIMIZER);
}

void od_gpu_hash(struct od_gpu *gpu)
{
    void *args[] = {&gpu->stats, &gpu->chunks};
    od_cuda_fill(gpu->cuda, gpu->stats + offsetof(struct od_adamw_stats, hash), 0,
                 sizeof(uint64_t));
    od_gpu_launch(gpu, OD_GPU_WEIGHT_HASH, (unsigned)gpu->chunk_count, 1, args);
}

enum od_status od_gpu_finish(struct od_gpu *gpu, struct od_adamw_stats *ret, struct od_error *err)
{
    od_cuda_download(gpu->cuda, gpu->host_stats, gpu->stats, sizeof *gpu->host_stats);
    const enum od_status status = od_cuda_sync(gpu->cuda, err);
    if (status == OD_OK) {
        *ret = *gpu->host_stats;
    }
    return status;
}

enum od_status od_gpu_write(struct od_gpu *gpu, int32_t tensor, const float *from,
                            struct od_error *err)
{
    const struct od_gpu_tensor *t = &gpu->tensors[tensor];
    assert(t->is_float && t->stride == t->cols);
    od_cuda_upload(gpu->cuda, t->at, from, (size_t)(t->rows * t->cols) * sizeof *from);
    return od_cuda_sync(gpu->cuda, err);
}

enum od_status od_gpu_read(struct od_gpu *gpu, int32_t tensor, float *to, struct od_error *err)
{
    const struct od_gpu_tensor *t = &gpu->tensors[tensor];
    assert(t->is_float && t->stride == t->cols);
    od_cuda_download(gpu->cuda, to, t->at, (size_t)(t->rows * t->cols) * sizeof *to);
    return od_cuda_sync(gpu->cuda, err);
}

enum od_status od_gpu_write_bytes(struct od_gpu *gpu, int32_t tensor, uint64_t at, const void *from,
                                  size_t count, struct od_error *err)
{
    od_cuda_upload(gpu->cuda, gpu->tensors[tensor].at + at, from, count);
    return od_cuda_sync(gpu->cuda, err);
}

enum od_status od_gpu_read_bytes(struct od_gpu *gpu, int32_t tensor, uint64_t at, void *to,
                                 size_t count, struct od_error *err)
{
    od_cuda_download(gpu->cuda, to, gpu->tensors[tensor].at + at, count);
    return od_cuda_sync(gpu->cuda, err);
}

void *od_gpu_piece_buffer(struct od_gpu *gpu, struct od_error *err)
{
    const int next = gpu->ring.next;
    if (gpu->ring.used[next] &&
        od_cuda_event_wait(gpu->cuda, gpu->ring.passed[next], err) != OD_OK) {
        return NULL;
    }
    return gpu->ring.host[next];
}

void od_gpu_put(struct od_gpu *gpu, const struct od_gpu_piece *piece)
{
    const int next = gpu->ring.next;
    const struct od_gpu_tensor *t = &gpu->tensors[piece->tensor];
    const size_t size = piece->type == 0 ? 4u : 2u;
    od_dev to = t->at + (uint64_t)(piece->row * t->stride) * (t->is_float ? 4u : 2u);
    int64_t stride = t->stride;
    int to_float = t->is_float;
    int type = piece->type;
    int64_t first = piece->first;
    int64_t count = piece->count;
    int64_t cols = piece->cols;
    void *args[] = {&to,    &stride, &to_float, &gpu->ring.device[next], &type, &first,
                    &count, &cols,   &gpu->bad};
    od_cuda_upload(gpu->cuda, gpu->ring.device[next], gpu->ring.host[next], (size_t)count * size);
    od_gpu_launch(gpu, OD_GPU_LOAD_VALUES,
                  (unsigned)((count + OD_GPU_THREADS_PER_BLOCK - 1) / OD_GPU_THREADS_PER_BLOCK), 1,
                  args);
    od_cuda_event_record(gpu->cuda, gpu->ring.passed[next]);
    gpu->ring.used[next] = true;
    gpu->ring.next = (next + 1) % 2;
}

enum od_status od_gpu_put_finish(struct od_gpu *gpu, uint64_t *ret_bad, struct od_error *err)
{
    uint64_t bad = 0;
    od_cuda_download(gpu->cuda, &bad, gpu->bad, sizeof bad);
    od_cuda_fill(gpu->cuda, gpu->bad, 0, sizeof bad);
    const enum od_status status = od_cuda_sync(gpu->cuda, err);
    if (status == OD_OK) {
        *ret_bad = bad;
    }
    return status;
}

void od_gpu_init(struct od_gpu *gpu, int32_t tensor, uint64_t seed, float deviation)
{
    const struct od_gpu_tensor *t = &gpu->tensors[tensor];
    od_dev to = t->at;
    int64_t rows = t->rows;
    int64_t cols = t->cols;
    int64_t stride = t->stride;
    int64_t count = rows * cols;
    if (deviation > 0.0F) {
        int to_float = t->is_float;
        uint32_t number = (uint32_t)tensor;
        void *args[] = {&to, &stride, &to_float, &rows, &cols, &seed, &number, &deviation};
        const int64_t per_block = 2 * (int64_t)OD_GPU_THREADS_PER_BLOCK;
        od_gpu_launch(gpu, OD_GPU_INIT_NORMAL, (unsigned)((count + per_block - 1) / per_block), 1,
                      args);
        return;
    }
    assert(t->is_float && stride == cols);
    float one = 1.0F;
    void *args[] = {&to, &one, &count};
    od_gpu_launch(gpu, OD_GPU_SET_VALUES,
                  (unsigned)((count + OD_GPU_THREADS_PER_BLOCK - 1) / OD_GPU_THREADS_PER_BLOCK), 1,
                  args);
}

void od_gpu_init_bytes(struct od_gpu *gpu, int32_t tensor, uint64_t seed)
{
    const struct od_gpu_tensor *t = &gpu->tensors[tensor];
    od_dev to = t->at;
    int64_t words = (int64_t)(t->bytes / sizeof(uint32_t));
    uint32_t number = (uint32_t)tensor;
    void *args[] = {&to, &words, &seed, &number};
    const int64_t per_block = 4 * (int64_t)OD_GPU_THREADS_PER_BLOCK;
    od_gpu_launch(gpu, OD_GPU_RANDOM_WORDS, (unsigned)((words + per_block - 1) / per_block), 1,
                  args);
}

void od_gpu_init_e4m3(struct od_gpu *gpu, int32_t tensor, uint64_t seed)
{
    const struct od_gpu_tensor *t = &gpu->tensors[tensor];
    od_dev to = t->at;
    int64_t words = (int64_t)(t->bytes / sizeof(uint32_t));
    uint32_t number = (uint32_t)tensor;
    float deviation = OD_GPU_E4M3_DEVIATION;
    void *args[] = {&to, &words, &seed, &number, &deviation};
    od_gpu_launch(gpu, OD_GPU_RANDOM_E4M3, od_gpu_blocks(words, OD_GPU_THREADS_PER_BLOCK), 1, args);
}

static const char *const part_names[OD_GPU_PART_COUNT] = {"embedding",
                                                          "norm",
                                                          "norm backward",
                                                          "products",
                                                          "products backward, x",
                                                          "products backward, w",
                                                          "decoding",
                                                          "adapters",
                                                          "adapters backward",
                                                          "adapters backward, w",
                                                          "rotary positions",
                                                          "attention",
                                                          "attention backward",
                                                          "activations",
                                                          "activations backward",
                                                          "sums",
                                                          "head and loss",
                                                          "copies",
                                                          "optimiser",
                                                          "other"};

const char *od_gpu_part_name(enum od_gpu_part part)
{
    return part_names[part];
}

void od_gpu_mark(struct od_gpu *gpu, enum od_gpu_part part)
{
    struct od_gpu_profile *p = &gpu->profile;
    if (!p->on || p->count >= OD_GPU_MARKS_MAX) {
        return;
    }
    if (!p->event[p->count + 1] &&
        od_cuda_event_create(gpu->cuda, &p->event[p->count + 1], NULL) != OD_OK) {
        return;
    }
    p->part[p->count++] = (unsigned char)part;
    od_cuda_event_record(gpu->cuda, p->event[p->count]);
}

enum od_status od_gpu_profile_begin(struct od_gpu *gpu, struct od_error *err)
{
    struct od_gpu_profile *p = &gpu->profile;
    if (!p->event) {
        p->event = od_alloc(OD_GPU_MARKS_MAX + 1, sizeof(struct od_cuda_event *));
        p->part = od_alloc(OD_GPU_MARKS_MAX, sizeof *p->part);
        if (!p->event || !p->part) {
            return od_fail(err, OD_E_MEMORY, "no memory for a profile");
        }
        memset(p->event, 0, (OD_GPU_MARKS_MAX + 1) * sizeof(struct od_cuda_event *));
        const enum od_status status = od_cuda_event_create(gpu->cuda, &p->event[0], err);
        if (status != OD_OK) {
            return status;
        }
    }
    p->count = 0;
    p->on = true;
    od_cuda_event_record(gpu->cuda, p->event[0]);
    return OD_OK;
}

enum od_status od_gpu_profile_end(struct od_gpu *gpu, double ms[OD_GPU_PART_COUNT],
                                  struct od_error *err)
{
    struct od_gpu_profile *p = &gpu->profile;
    const enum od_status status = od_cuda_sync(gpu->cuda, err);
    p->on = false;
    for (int i = 0; status == OD_OK && i < p->count; i++) {
        ms[p->part[i]] += od_cuda_event_ms(gpu->cuda, p->event[i], p->event[i + 1]);
    }
    return status;
}
