// The GPU walker's operations that work row by row: embedding, positions, norms, activations, sums.

#include <assert.h>
#include <stdint.h>

#include "device/cuda/cuda.h"
#include "ops/gpu.h"
#include "ops/gpu_internal.h"
#include "ops/op.h"

enum { VALUES_PER_BLOCK = OD_GPU_THREADS_PER_BLOCK, SPAN = 8 * OD_GPU_THREADS_PER_BLOCK };

static void embed(struct od_gpu *gpu, const struct od_op *op)
{
    struct od_gpu_tensor w = od_gpu_slot_tensor(gpu, op, OD_SLOT_W);
    struct od_gpu_tensor y = od_gpu_slot_tensor(gpu, op, OD_SLOT_Y);
    od_dev ids = od_gpu_input(gpu, gpu->inputs.ids);
    int64_t cols = op->n;
    void *args[] = {&y.at, &y.stride, &w.at, &w.stride, &ids, &cols};
    od_gpu_launch(gpu, OD_GPU_EMBED, (unsigned)gpu->tokens, 1, args);
    if (op->noise > 0.0F && gpu->now.want_gradient) {
        od_dev bounds = od_gpu_input(gpu, gpu->inputs.noise_bounds);
        od_dev pass = od_gpu_count_at(gpu, OD_GPU_COUNT_PASS);
        uint64_t seed = gpu->now.dropout_seed;
        uint32_t stream = op->stream;
        void *noise_args[] = {&y.at, &y.stride, &bounds, &cols, &seed, &stream, &pass};
        od_gpu_launch(gpu, OD_GPU_EMBED_NOISE, (unsigned)gpu->tokens, 1, noise_args);
    }
    if (op->fold > 0) {
        od_gpu_embed_adapter(gpu, op);
    }
}

static void positions(struct od_gpu *gpu, const struct od_op *op)
{
    struct od_gpu_tensor w = od_gpu_slot_tensor(gpu, op, OD_SLOT_W);
    struct od_gpu_tensor y = od_gpu_slot_tensor(gpu, op, OD_SLOT_Y);
    od_dev at = od_gpu_input(gpu, gpu->inputs.positions);
    int64_t cols = op->n;
    void *args[] = {&y.at, &y.stride, &w.at, &w.stride, &at, &cols};
    od_gpu_launch(gpu, OD_GPU_POSITIONS, (unsigned)gpu->tokens, 1, args);
}

// DW[number of a row] += DY: the rows sorted by their numbers, a block for each number.
static void scatter(struct od_gpu *gpu, struct od_gpu_tensor dw, struct od_gpu_tensor dy,
                    int64_t cols, const int32_t lists[3], enum od_gpu_count count)
{
    od_dev numbers = od_gpu_input(gpu, lists[0]);
    od_dev order = od_gpu_input(gpu, lists[1]);
    od_dev runs = od_gpu_input(gpu, lists[2]);
    od_dev run_count = od_gpu_count_at(gpu, count);
    void *args[] = {&dw.at, &dy.at, &dy.stride, &numbers, &order, &runs, &run_count, &cols};
    assert(dw.is_float && dw.stride == cols);
    od_gpu_launch(gpu, OD_GPU_EMBED_BWD, (unsigned)gpu->tokens, 1, args);
}

void od_gpu_scatter_ids(struct od_gpu *gpu, struct od_gpu_tensor dw, struct od_gpu_tensor dy,
                        int64_t cols)
{
    const int32_t lists[] = {gpu->inputs.ids, gpu->inputs.embed_order, gpu->inputs.embed_runs};
    scatter(gpu, dw, dy, cols, lists, OD_GPU_COUNT_EMBED_RUNS);
}

static void embed_bwd(struct od_gpu *gpu, const struct od_op *op)
{
    const struct od_gpu_tensor dw = od_gpu_slot_tensor(gpu, op, OD_SLOT_DW);
    if (dw.at != 0) {
        od_gpu_scatter_ids(gpu, dw, od_gpu_slot_tensor(gpu, op, OD_SLOT_DY), op->n);
    }
    if (op->fold > 0) {
        od_gpu_embed_adapter_bwd(gpu, op);
    }
}

static void positions_bwd(struct od_gpu *gpu, const struct od_op *op)
{
    const int32_t lists[] = {gpu->inputs.positions, gpu->inputs.position_order,
                             gpu->inputs.position_runs};
    scatter(gpu, od_gpu_slot_tensor(gpu, op, OD_SLOT_DW), od_gpu_slot_tensor(gpu, op, OD_SLOT_DY),
            op->n, lists, OD_GPU_COUNT_POSITION_RUNS);
}

static void rms_norm(struct od_gpu *gpu, const struct od_op *op)
{
    struct od_gpu_tensor x = od_gpu_slot_tensor(gpu, op, OD_SLOT_X);
    struct od_gpu_tensor y = od_gpu_slot_tensor(gpu, op, OD_SLOT_Y);
    struct od_gpu_tensor w = od_gpu_slot_tensor(gpu, op, OD_SLOT_W);
    struct od_gpu_tensor rstd = od_gpu_slot_tensor(gpu, op, OD_SLOT_AUX);
    int64_t cols = op->n;
    float eps = op->eps;
    void *args[] = {&y.at, &y.stride, &rstd.at, &x.at, &x.stride, &w.at, &cols, &eps};
    od_gpu_launch(gpu, OD_GPU_RMS_NORM, (unsigned)gpu->tokens, 1, args);
}

static void rms_norm_bwd(struct od_gpu *gpu, const struct od_op *op)
{
    struct od_gpu_tensor x = od_gpu_slot_tensor(gpu, op, OD_SLOT_X);
    struct od_gpu_tensor w = od_gpu_slot_tensor(gpu, op, OD_SLOT_W);
    struct od_gpu_tensor rstd = od_gpu_slot_tensor(gpu, op, OD_SLOT_AUX);
    struct od_gpu_tensor dy = od_gpu_slot_tensor(gpu, op, OD_SLOT_DY);
    struct od_gpu_tensor dx = od_gpu_slot_tensor(gpu, op, OD_SLOT_DX);
    struct od_gpu_tensor dw = od_gpu_slot_tensor(gpu, op, OD_SLOT_DW);
    int64_t cols = op->n;
    if (dw.at != 0) {  // before DX, which may stand where DY does
        struct od_gpu_tensor work = od_gpu_slot_tensor(gpu, op, OD_SLOT_WORK);
        int64_t tokens = gpu->tokens;
        int64_t parts = OD_NORM_SPLITS;
        void *part_args[] = {&work.at,  &dy.at,   &dy.stride, &x.at,
                             &x.stride, &rstd.at, &tokens,    &cols};
        void *sum_args[] = {&dw.at, &work.at, &cols, &parts, &cols};
        od_gpu_launch(gpu, OD_GPU_RMS_NORM_DW_PARTS, od_gpu_blocks(cols, VALUES_PER_BLOCK),
                      OD_NORM_SPLITS, part_args);
        od_gpu_launch(gpu, OD_GPU_ADD_PARTS, od_gpu_blocks(cols, VALUES_PER_BLOCK), 1, sum_args);
    }
    if (dx.at != 0) {
        int accumulate = op->accumulate;
        void *args[] = {&dx.at,    &dx.stride, &dy.at,   &dy.stride, &x.at,
                        &x.stride, &w.at,      &rstd.at, &cols,      &accumulate};
        od_gpu_launch(gpu, OD_GPU_RMS_NORM_BWD, (unsigned)gpu->tokens, 1, args);
    }
}

// to[0 .. cols - 1] += the parts that a kernel left `ld` floats apart, from `at` floats on.
static void add_parts(struct od_gpu *gpu, od_dev to, int64_t at, int64_t ld, int64_t cols)
{
    od_dev parts = gpu->parts + (uint64_t)at * sizeof(float);
    int64_t count = OD_NORM_SPLITS;
    void *args[] = {&to, &parts, &ld, &count, &cols};
    if (to != 0) {
        od_gpu_launch(gpu, OD_GPU_ADD_PARTS, od_gpu_blocks(cols, VALUES_PER_BLOCK), 1, args);
    }
}

static void layer_norm(struct od_gpu *gpu, const struct od_op *op)
{
    struct od_gpu_tensor x = od_gpu_slot_tensor(gpu, op, OD_SLOT_X);
    struct od_gpu_tensor y = od_gpu_slot_tensor(gpu, op, OD_SLOT_Y);
    struct od_gpu_tensor w = od_gpu_slot_tensor(gpu, op, OD_SLOT_W);
    struct od_gpu_tensor bias = od_gpu_slot_tensor(gpu, op, OD_SLOT_BIAS);
    struct od_gpu_tensor stats = od_gpu_slot_tensor(gpu, op, OD_SLOT_AUX);
    int64_t cols = op->n;
    float eps = op->eps;
    void *args[] = {&y.at, &y.stride, &stats.at, &x.at, &x.stride, &w.at, &bias.at, &cols, &eps};
    od_gpu_launch(gpu, OD_GPU_LAYER_NORM, (unsigned)gpu->tokens, 1, args);
}

static void layer_norm_bwd(struct od_gpu *gpu, const struct od_op *op)
{
    struct od_gpu_tensor x = od_gpu_slot_tensor(gpu, op, OD_SLOT_X);
    struct od_gpu_tensor w = od_gpu_slot_tensor(gpu, op, OD_SLOT_W);
    struct od_gpu_tensor stats = od_gpu_slot_tensor(gpu, op, OD_SLOT_AUX);
    struct od_gpu_tensor dy = od_gpu_slot_tensor(gpu, op, OD_SLOT_DY);
    struct od_gpu_tensor dx = od_gpu_slot_tensor(gpu, op, OD_SLOT_DX);
    const od_dev dw = od_gpu_slot_tensor(gpu, op, OD_SLOT_DW).at;
    const od_dev dbias = od_gpu_slot_tensor(gpu, op, OD_SLOT_DBIAS).at;
    int64_t cols = op->n;
    if (dw != 0 || dbias != 0) {  // before DX, which may stand where DY does
        int64_t tokens = gpu->tokens;
        void *args[] = {&gpu->parts, &dy.at,    &dy.stride, &x.at,
                        &x.stride,   &stats.at, &tokens,    &cols};
        od_gpu_launch(gpu, OD_GPU_LAYER_NORM_DW_PARTS, od_gpu_blocks(cols, VALUES_PER_BLOCK),
                      OD_NORM_SPLITS, args);
        add_parts(gpu, dw, 0, 2 * cols, cols);
        add_parts(gpu, dbias, cols, 2 * cols, cols);
    }
    if (dx.at != 0) {
        int accumulate = op->accumulate;
        void *args[] = {&dx.at,    &dx.stride, &dy.at,    &dy.stride, &x.at,
                        &x.stride, &w.at,      &stats.at, &cols,      &accumulate};
        od_gpu_launch(gpu, OD_GPU_LAYER_NORM_BWD, (unsigned)gpu->tokens, 1, args);
    }
}

static void head_norm(struct od_gpu *gpu, const struct od_op *op)
{
    struct od_gpu_tensor x = od_gpu_slot_tensor(gpu, op, OD_SLOT_X);
    struct od_gpu_tensor y = od_gpu_slot_tensor(gpu, op, OD_SLOT_Y);
    struct od_gpu_tensor w = od_gpu_slot_tensor(gpu, op, OD_SLOT_W);
    struct od_gpu_tensor rstd = od_gpu_slot_tensor(gpu, op, OD_SLOT_AUX);
    int32_t heads = op->heads;
    int32_t kv_heads = op->kv_heads;
    int32_t d = op->head_dim;
    float eps = op->eps;
    void *args[] = {&y.at, &y.stride, &rstd.at,  &x.at, &x.stride,
                    &w.at, &heads,    &kv_heads, &d,    &eps};
    od_gpu_launch(gpu, OD_GPU_HEAD_NORM, (unsigned)gpu->tokens, 1, args);
}

static void head_norm_bwd(struct od_gpu *gpu, const struct od_op *op)
{
    struct od_gpu_tensor x = od_gpu_slot_tensor(gpu, op, OD_SLOT_X);
    struct od_gpu_tensor w = od_gpu_slot_tensor(gpu, op, OD_SLOT_W);
    struct od_gpu_tensor rstd = od_gpu_slot_tensor(gpu, op, OD_SLOT_AUX);
    struct od_gpu_tensor dy = od_gpu_slot_tensor(gpu, op, OD_SLOT_DY);
    struct od_gpu_tensor dx = od_gpu_slot_tensor(gpu, op, OD_SLOT_DX);
    const od_dev dw = od_gpu_slot_tensor(gpu, op, OD_SLOT_DW).at;
    int32_t heads = op->heads;
    int32_t kv_heads = op->kv_heads;
    int32_t d = op->head_dim;
    if (dw != 0) {  // before DX, which may stand where DY does
        int64_t tokens = gpu->tokens;
        void *args[] = {&gpu->parts, &dy.at,  &dy.stride, &x.at,     &x.stride,
                        &rstd.at,    &tokens, &heads,     &kv_heads, &d};
        od_gpu_launch(gpu, OD_GPU_HEAD_NORM_DW_PARTS, 2, OD_NORM_SPLITS, args);
        add_parts(gpu, dw, 0, 2 * (int64_t)d, 2 * (int64_t)d);
    }
    if (dx.at != 0) {
        int accumulate = op->accumulate;
        void *args[] = {&dx.at, &dx.stride, &dy.at, &dy.stride, &x.at, &x.stride,
                        &w.at,  &rstd.at,   &heads, &kv_heads,  &d,    &accumulate};
        od_gpu_launch(gpu, OD_GPU_HEAD_NORM_BWD, (unsigned)gpu->tokens, 1, args);
    }
}

void od_gpu_sum_columns(struct od_gpu *gpu, od_dev to, struct od_gpu_tensor x, int64_t cols)
{
    int64_t tokens = gpu->tokens;
    void *args[] = {&gpu->parts, &x.at, &x.stride, &tokens, &cols};
    od_gpu_launch(gpu, OD_GPU_COLUMN_PARTS, od_gpu_blocks(cols, VALUES_PER_BLOCK), OD_NORM_SPLITS,
                  args);
    add_parts(gpu, to, 0, cols, cols);
}

static void rope(struct od_gpu *gpu, const struct od_op *op, enum od_slot slot, float direction)
{
    struct od_gpu_tensor x = od_gpu_slot_tensor(gpu, op, slot);
    struct od_gpu_tensor table = od_gpu_slot_tensor(gpu, op, OD_SLOT_AUX);
    od_dev positions = od_gpu_input(gpu, gpu->inputs.positions);
    int32_t heads = op->heads + op->kv_heads;
    int32_t d = op->head_dim;
    void *args[] = {&x.at, &x.stride, &table.at, &positions, &heads, &d, &direction};
    od_gpu_launch(gpu, OD_GPU_ROPE, (unsigned)gpu->tokens, 1, args);
}

// The kernel of an operation's activation: each kind has its own, in the order of od_activation.
static enum od_gpu_kernel kernel_of(enum od_gpu_kernel first, const struct od_op *op)
{
    return (enum od_gpu_kernel)((int)first + (int)op->activation);
}

// GLU and ACTIVATION.
static void activate(struct od_gpu *gpu, const struct od_op *op, enum od_gpu_kernel first)
{
    struct od_gpu_tensor x = od_gpu_slot_tensor(gpu, op, OD_SLOT_X);
    struct od_gpu_tensor y = od_gpu_slot_tensor(gpu, op, OD_SLOT_Y);
    int64_t f = op->n;
    void *args[] = {&y.at, &y.stride, &x.at, &x.stride, &f};
    od_gpu_launch(gpu, kernel_of(first, op), (unsigned)gpu->tokens, od_gpu_blocks(f, SPAN), args);
}

static void activate_bwd(struct od_gpu *gpu, const struct od_op *op, enum od_gpu_kernel first)
{
    struct od_gpu_tensor x = od_gpu_slot_tensor(gpu, op, OD_SLOT_X);
    struct od_gpu_tensor dy = od_gpu_slot_tensor(gpu, op, OD_SLOT_DY);
    struct od_gpu_tensor dx = od_gpu_slot_tensor(gpu, op, OD_SLOT_DX);
    int64_t f = op->n;
    void *args[] = {&dx.at, &dx.stride, &dy.at, &dy.stride, &x.at, &x.stride, &f};
    od_gpu_launch(gpu, kernel_of(first, op), (unsigned)gpu->tokens, od_gpu_blocks(f, SPAN), args);
}

static void add(struct od_gpu *gpu, const struct od_op *op)
{
    struct od_gpu_tensor x = od_gpu_slot_tensor(gpu, op, OD_SLOT_X);
    struct od_gpu_tensor y = od_gpu_slot_tensor(gpu, op, OD_SLOT_Y);
    int64_t cols = op->n;
    void *args[] = {&y.at, &y.stride, &x.at, &x.stride, &cols};
    od_gpu_launch(gpu, OD_GPU_ADD, (unsigned)gpu->tokens, od_gpu_blocks(cols, SPAN), args);
}

void od_gpu_run_rows(struct od_gpu *gpu, const struct od_op *op)
{
    switch (op->kind) {
    case OD_OP_EMBED: embed(gpu, op); break;
    case OD_OP_EMBED_BWD: embed_bwd(gpu, op); break;
    case OD_OP_POSITIONS: positions(gpu, op); break;
    case OD_OP_POSITIONS_BWD: positions_bwd(gpu, op); break;
    case OD_OP_RMS_NORM: rms_norm(gpu, op); break;
    case OD_OP_RMS_NORM_BWD: rms_norm_bwd(gpu, op); break;
    case OD_OP_LAYER_NORM: layer_norm(gpu, op); break;
    case OD_OP_LAYER_NORM_BWD: layer_norm_bwd(gpu, op); break;
    case OD_OP_HEAD_NORM: head_norm(gpu, op); break;
    case OD_OP_HEAD_NORM_BWD: head_norm_bwd(gpu, op); break;
    case OD_OP_ROPE: rope(gpu, op, OD_SLOT_Y, 1.0F); break;
    case OD_OP_ROPE_BWD: rope(gpu, op, OD_SLOT_DY, -1.0F); break;
    case OD_OP_GLU: activate(gpu, op, OD_GPU_GLU); break;
    case OD_OP_GLU_BWD: activate_bwd(gpu, op, OD_GPU_GLU_BWD); break;
    case OD_OP_ACTIVATION: activate(gpu, op, OD_GPU_ACTIVATION); break;
    case OD_OP_ACTIVATION_BWD: activate_bwd(gpu, op, OD_GPU_ACTIVATION_BWD); break;
    case OD_OP_ADD: add(gpu, op); break;
    case OD_OP_LINEAR:
    case OD_OP_LINEAR_BWD:
    case OD_OP_ATTENTION:
    case OD_OP_ATTENTION_BWD:
    case OD_OP_ATTENTION_CACHED:
    case OD_OP_HEAD_LOSS:
    case OD_OP_HEAD_LOGITS:
    case OD_OP_STORE:
    case OD_OP_STORED:
    case OD_OP_FETCH:
    case OD_OP_FETCHED:
    case OD_OP_COUNT: assert(false); break;
    }
}

int64_t od_gpu_parts_floats(const struct od_op *op)
{
    const bool sums_bias = op->slot[OD_SLOT_DBIAS] >= 0;
    const bool sums = sums_bias || op->slot[OD_SLOT_DW] >= 0;
    if (op->kind == OD_OP_LAYER_NORM_BWD && sums) {
        return 2 * op->n * OD_NORM_SPLITS;
    }
    if (op->kind == OD_OP_HEAD_NORM_BWD && sums) {
        return 2 * (int64_t)op->head_dim * OD_NORM_SPLITS;
    }
    return op->kind == OD_OP_LINEAR_BWD && sums_bias ? op->n * OD_NORM_SPLITS : 0;
}
