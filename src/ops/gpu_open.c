// Opening a program on a GPU: its kernels, the one allocation and what lies behind the plan in it.

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "device/cuda/cuda.h"
#include "device/cuda/matmul.h"
#include "ops/adamw/adamw_8bit.h"
#include "ops/adamw/adamw_cuda.h"
#include "ops/attention/attention_cuda.h"
#include "ops/gpu.h"
#include "ops/gpu_internal.h"
#include "ops/op.h"

static const char *const kernel_names[OD_GPU_KERNEL_COUNT] = {"od_embed",
                                                              "od_embed_noise",
                                                              "od_embed_bwd",
                                                              "od_embed_adapter",
                                                              "od_rms_norm",
                                                              "od_rms_norm_bwd",
                                                              "od_rms_norm_dw_parts",
                                                              "od_layer_norm",
                                                              "od_layer_norm_bwd",
                                                              "od_layer_norm_dw_parts",
                                                              "od_head_norm",
                                                              "od_head_norm_bwd",
                                                              "od_head_norm_dw_parts",
                                                              "od_column_parts",
                                                              "od_add_parts",
                                                              "od_positions",
                                                              "od_rope",
                                                              "od_glu_silu",
                                                              "od_glu_gelu",
                                                              "od_glu_gelu_tanh",
                                                              "od_glu_bwd_silu",
                                                              "od_glu_bwd_gelu",
                                                              "od_glu_bwd_gelu_tanh",
                                                              "od_activation_silu",
                                                              "od_activation_gelu",
                                                              "od_activation_gelu_tanh",
                                                              "od_activation_bwd_silu",
                                                              "od_activation_bwd_gelu",
                                                              "od_activation_bwd_gelu_tanh",
                                                              "od_gather_rows",
                                                              "od_scatter_rows",
                                                              "od_cross_entropy",
                                                              "od_sum_losses",
                                                              "od_square_parts",
                                                              "od_norm_finish",
                                                              "od_adamw",
                                                              "od_adamw_8bit",
                                                              "od_weight_hash",
                                                              "od_cast_rows",
                                                              "od_add",
                                                              "od_load_values",
                                                              "od_init_normal",
                                                              "od_set_values",
                                                              "od_dropout",
                                                              "od_decode_nf4",
                                                              "od_decode_int8",
                                                              "od_random_words",
                                                              "od_round_e4m3",
                                                              "od_transpose_codes",
                                                              "od_random_e4m3"};

enum od_status od_gpu_find_attention(struct od_gpu *gpu, enum od_attention_kernel kind,
                                     int32_t head_dim, struct od_error *err)
{
    const struct od_attention_launch *special = od_cuda_info(gpu->cuda)->capability == 90
                                                    ? od_attention_launch_sm90a(kind, head_dim)
                                                    : NULL;
    const struct od_attention_launch *launch = od_attention_launch(kind, head_dim);
    if (!launch) {
        return od_fail(err, OD_E_UNSUPPORTED,
                       "heads of %d channels have no GPU kernel (64, 80, 96, 128, 256 have): use "
                       "--device cpu",
                       head_dim);
    }
    if (special && special != launch &&
        od_cuda_kernel(gpu->cuda, special->name, &gpu->attention[kind], NULL) == OD_OK) {
        gpu->attention_launch[kind] = special;
        return OD_OK;
    }
    gpu->attention_launch[kind] = launch;
    return od_cuda_kernel(gpu->cuda, launch->name, &gpu->attention[kind], err);
}

// What the batches are made for: the longest window, the positions that have a weight, the noise.
static void find_bounds(struct od_gpu *gpu)
{
    bool unbounded = false;
    gpu->position_count = gpu->tokens;
    for (int32_t i = 0; i < gpu->forward_count; i++) {
        const struct od_op *op = &gpu->ops[i];
        if (op->kind == OD_OP_ATTENTION) {
            unbounded = unbounded || op->window <= 0;
            gpu->window = op->window > gpu->window ? op->window : gpu->window;
        } else if (op->kind == OD_OP_POSITIONS) {
            gpu->position_count = gpu->tensors[op->slot[OD_SLOT_W]].rows;
        } else if (op->kind == OD_OP_EMBED) {
            gpu->noise = *op;
        }
    }
    gpu->window = unbounded ? 0 : gpu->window;
}

static enum od_status find_kernels(struct od_gpu *gpu, struct od_error *err)
{
    enum od_status status = OD_OK;
    int32_t head_dim = 0;
    for (int i = 0; status == OD_OK && i < OD_GPU_KERNEL_COUNT; i++) {
        status = od_cuda_kernel(gpu->cuda, kernel_names[i], &gpu->kernel[i], err);
    }
    for (int32_t i = 0; i < gpu->op_count; i++) {
        if (gpu->ops[i].kind == OD_OP_ATTENTION) {
            head_dim = gpu->ops[i].head_dim;
        }
    }
    for (int i = 0; status == OD_OK && head_dim > 0 && i < 4; i++) {
        status = od_gpu_find_attention(gpu, (enum od_attention_kernel)i, head_dim, err);
    }
    return status;
}

static size_t round_up(size_t bytes)
{
    return (bytes + 511u) & ~(size_t)511u;
}

static int64_t chunks_of(const struct od_gpu_layout *layout)
{
    int64_t count = 0;
    for (int32_t i = 0; i < layout->param_count; i++) {
        const struct od_gpu_tensor *t = &layout->tensors[layout->params[i].tensor];
        count += (t->rows * t->cols + OD_ADAMW_CHUNK - 1) / OD_ADAMW_CHUNK;
    }
    return count;
}

static int64_t parts_floats(const struct od_gpu_layout *layout)
{
    int64_t most = 0;
    for (int32_t i = 0; i < layout->op_count; i++) {
        const int64_t floats = od_gpu_parts_floats(&layout->ops[i]);
        most = floats > most ? floats : most;
    }
    return most;
}

static int64_t ones_of(const struct od_gpu_layout *layout)
{
    int64_t most = 0;
    for (int32_t i = 0; i < layout->op_count; i++) {
        const int64_t ones = od_gpu_ones(&layout->ops[i]);
        most = ones > most ? ones : most;
    }
    return most;
}

// What lies behind the plan, in order.
struct extras {
    size_t workspace;
    size_t chunks;
    size_t partials;
    size_t stats;
    size_t scalars;
    size_t maps;
    size_t bad;
    size_t queue;
    size_t parts;
    size_t ones;
    size_t ring;
    size_t extra;
    size_t end;
};

static struct extras lay_out(const struct od_gpu_layout *layout)
{
    const size_t chunks = (size_t)chunks_of(layout);
    struct extras at;
    at.workspace = round_up(layout->plan_bytes);
    at.chunks = at.workspace + round_up(OD_MATMUL_WORKSPACE_BYTES);
    at.partials = at.chunks + round_up(chunks * sizeof(struct od_adamw_chunk));
    at.stats = at.partials + round_up(chunks * sizeof(double));
    at.scalars = at.stats + round_up(sizeof(struct od_adamw_stats));
    at.maps = at.scalars + round_up(sizeof(struct od_adamw_scalars));
    at.bad = at.maps + round_up(sizeof(struct od_adamw_maps));
    at.queue = at.bad + round_up(sizeof(uint64_t));
    at.parts = at.queue + round_up(2 * sizeof(int32_t));
    at.ones = at.parts + round_up((size_t)parts_floats(layout) * sizeof(float));
    at.ring = at.ones + round_up((size_t)ones_of(layout) * sizeof(float));
    at.extra = at.ring + 2u * (size_t)OD_GPU_PIECE_BYTES;
    at.end = at.extra + round_up(layout->extra_bytes);
    return at;
}

// What lies beside the one allocation. Measured on an H200: 5 to 8 MB, and 4.5 KB for each kernel of a
// recorded graph, of which there are as many as the room that a plan's size justifies has place for.
enum {
    KERNELS_BYTES = 12 << 20,
    NODE_BYTES = 5632,
    GRAPHS_LEAST_BYTES = 16 << 20,
    GRAPHS_MOST_BYTES = 64 << 20,
    GRAPHS_SHARE = 200  // of the plan: one part in so many
};

static int64_t launches_of(const struct od_op *op)
{
    const int64_t folds = op->fold > 0;
    const int64_t decodes = op->quant != OD_QUANT_NONE;
    const int64_t apart = op->quant == OD_QUANT_E4M3 ? folds + 1 : 0;
    if (op->kind == OD_OP_LINEAR) {
        return 1 + folds + decodes + apart;
    }
    if (op->kind == OD_OP_LINEAR_BWD) {
        return decodes + apart + op->refold + (op->slot[OD_SLOT_DX] >= 0) +
               (op->slot[OD_SLOT_DW] >= 0) + (op->slot[OD_SLOT_DBIAS] >= 0 ? 2 : 0) +
               folds * (2 + op->part_count);
    }
    const int64_t drops = op->dropout > 0.0F;
    return op->kind == OD_OP_HEAD_LOSS ? 16 + 4 * folds * (4 + 4 * drops) : 3 + 2 * folds;
}

static size_t graph_bytes(const struct od_gpu_layout *layout)
{
    int64_t launches = 0;
    for (int32_t i = 0; i < layout->op_count; i++) {
        launches += launches_of(&layout->ops[i]);
    }
    return (size_t)launches * NODE_BYTES;
}

static int graphs_most(const struct od_gpu_layout *layout)
{
    const size_t one = graph_bytes(layout) + 1;
    size_t room = layout->plan_bytes / GRAPHS_SHARE;
    room = room < GRAPHS_LEAST_BYTES ? GRAPHS_LEAST_BYTES : room;
    room = room > GRAPHS_MOST_BYTES ? GRAPHS_MOST_BYTES : room;
    const size_t count = room / one;
    return count < 1 ? 1 : count > OD_GPU_GRAPHS_MAX ? OD_GPU_GRAPHS_MAX : (int)count;
}

size_t od_gpu_bytes(const struct od_gpu_layout *layout)
{
    return lay_out(layout).end + KERNELS_BYTES + (size_t)graphs_most(layout) * graph_bytes(layout);
}

// The table of chunks of all trained tensors, and the maps of moments that are codes.
static enum od_status send_chunks(struct od_gpu *gpu, struct od_error *err)
{
    struct od_adamw_chunk *chunks = od_alloc((size_t)gpu->chunk_count + 1, sizeof *chunks);
    int64_t count = 0;
    uint64_t index = 0;
    if (!chunks) {
        return od_fail(err, OD_E_MEMORY, "no memory for the optimiser's table");
    }
    for (int32_t i = 0; i < gpu->param_count; i++) {
        const struct od_gpu_param *p = &gpu->params[i];
        const struct od_gpu_tensor *t = &gpu->tensors[p->tensor];
        const int64_t size = t->rows * t->cols;
        const bool codes = p->m_scales >= 0;
        assert(t->is_float || t->stride == t->cols);
        gpu->has_codes = gpu->has_codes || codes;
        for (int64_t at = 0; at < size; at += OD_ADAMW_CHUNK) {
            const uint64_t bytes = (uint64_t)at * sizeof(float);
            const uint64_t moment_bytes = codes ? (uint64_t)at : bytes;
            const uint64_t scale_bytes = bytes / OD_ADAMW_8BIT_BLOCK;
            chunks[count++] = (struct od_adamw_chunk){
                .w = t->at + (t->is_float ? bytes : bytes / 2),
                .m = gpu->tensors[p->m].at + moment_bytes,
                .v = gpu->tensors[p->v].at + moment_bytes,
                .g = gpu->tensors[p->gradient].at + bytes,
                .m_scales = codes ? gpu->tensors[p->m_scales].at + scale_bytes : 0,
                .v_scales = codes ? gpu->tensors[p->v_scales].at + scale_bytes : 0,
                .count = (int32_t)(size - at < OD_ADAMW_CHUNK ? size - at : OD_ADAMW_CHUNK),
                .decays = p->decay,
                .is_half = !t->is_float,
                .index = index + (uint64_t)at};
        }
        index += (uint64_t)size;
    }
    struct od_adamw_maps maps;
    od_adamw_maps_make(&maps);
    od_cuda_upload(gpu->cuda, gpu->maps, &maps, sizeof maps);
    od_cuda_upload(gpu->cuda, gpu->chunks, chunks, (size_t)count * sizeof *chunks);
    const enum od_status status = od_cuda_sync(gpu->cuda, err);
    od_free(chunks);
    return status;
}

static enum od_status take_host_memory(struct od_gpu *gpu, struct od_error *err)
{
    const size_t slot_bytes = (size_t)gpu->tokens * 21u * sizeof(int32_t) + 4096u;
    void *memory = NULL;
    enum od_status status = OD_OK;
    for (int i = 0; status == OD_OK && i < OD_GPU_SLOTS; i++) {
        status = od_cuda_host_alloc(gpu->cuda, slot_bytes, &memory, err);
        if (status == OD_OK) {
            gpu->slot[i].memory = memory;
            status = od_cuda_event_create(gpu->cuda, &gpu->slot[i].sent, err);
        }
    }
    for (int i = 0; status == OD_OK && i < 2; i++) {
        status = od_cuda_host_alloc(gpu->cuda, OD_GPU_PIECE_BYTES, &gpu->ring.host[i], err);
        if (status == OD_OK) {
            status = od_cuda_event_create(gpu->cuda, &gpu->ring.passed[i], err);
        }
    }
    if (status == OD_OK) {
        status = od_cuda_host_alloc(gpu->cuda, sizeof *gpu->host_scalars, &memory, err);
        gpu->host_scalars = memory;
    }
    if (status == OD_OK) {
        memory = NULL;
        status = od_cuda_host_alloc(gpu->cuda, sizeof *gpu->host_stats, &memory, err);
        gpu->host_stats = memory;
    }
    return status;
}

static enum od_status copy_layout(struct od_gpu *gpu, const struct od_gpu_layout *layout,
                                  struct od_error *err)
{
    gpu->tensors = od_alloc((size_t)layout->tensor_count, sizeof *gpu->tensors);
    gpu->ops = od_alloc((size_t)layout->op_count, sizeof *gpu->ops);
    gpu->params = od_alloc((size_t)layout->param_count + 1, sizeof *gpu->params);
    gpu->sort = od_alloc((size_t)layout->tokens * 2 + 2, sizeof *gpu->sort);
    if (!gpu->tensors || !gpu->ops || !gpu->params || !gpu->sort) {
        return od_fail(err, OD_E_MEMORY, "no memory for a program");
    }
    memcpy(gpu->tensors, layout->tensors, (size_t)layout->tensor_count * sizeof *gpu->tensors);
    memcpy(gpu->ops, layout->ops, (size_t)layout->op_count * sizeof *gpu->ops);
    memcpy(gpu->params, layout->params, (size_t)layout->param_count * sizeof *gpu->params);
    gpu->tensor_count = layout->tensor_count;
    gpu->op_count = layout->op_count;
    gpu->forward_count = layout->forward_count;
    gpu->param_count = layout->param_count;
    gpu->inputs = layout->inputs;
    gpu->tokens = layout->tokens;
    gpu->chunk_count = chunks_of(layout);
    gpu->graphs_most = graphs_most(layout);
    return OD_OK;
}

// From offsets to addresses.
static enum od_status place_tensors(struct od_gpu *gpu, const struct od_gpu_layout *layout,
                                    struct od_error *err)
{
    if (layout->host_bytes > 0) {
        const enum od_status status =
            od_cuda_host_alloc(gpu->cuda, layout->host_bytes, &gpu->host, err);
        if (status != OD_OK) {
            return status;
        }
        memset(gpu->host, 0xFF, layout->host_bytes);  // as no number, too
    }
    for (int32_t i = 0; i < gpu->tensor_count; i++) {
        struct od_gpu_tensor *t = &gpu->tensors[i];
        t->at += t->is_host ? (od_dev)(uintptr_t)gpu->host : gpu->memory;
    }
    return OD_OK;
}

static void set_ones(struct od_gpu *gpu, int64_t count)
{
    float one = 1.0F;
    void *args[] = {&gpu->ones, &one, &count};
    if (count > 0) {
        od_gpu_launch(gpu, OD_GPU_SET_VALUES, od_gpu_blocks(count, OD_GPU_THREADS_PER_BLOCK), 1,
                      args);
    }
}

enum od_status od_gpu_open(struct od_cuda *cuda, const struct od_gpu_layout *layout,
                           struct od_gpu **ret, struct od_error *err)
{
    const struct extras extras = lay_out(layout);
    struct od_gpu *gpu = od_alloc(1, sizeof *gpu);
    enum od_status status;
    if (!gpu) {
        return od_fail(err, OD_E_MEMORY, "no memory for a program");
    }
    *gpu = (struct od_gpu){.cuda = cuda};
    if ((status = copy_layout(gpu, layout, err)) != OD_OK ||
        (status = find_kernels(gpu, err)) != OD_OK ||
        (status = od_gpu_check_e4m3(gpu, err)) != OD_OK ||
        (status = od_cuda_alloc(cuda, extras.end, &gpu->memory, err)) != OD_OK ||
        (status = take_host_memory(gpu, err)) != OD_OK ||
        (status = place_tensors(gpu, layout, err)) != OD_OK) {
        goto done;
    }
    find_bounds(gpu);
    gpu->chunks = gpu->memory + extras.chunks;
    gpu->partials = gpu->memory + extras.partials;
    gpu->stats = gpu->memory + extras.stats;
    gpu->scalars = gpu->memory + extras.scalars;
    gpu->maps = gpu->memory + extras.maps;
    gpu->bad = gpu->memory + extras.bad;
    gpu->queue = gpu->memory + extras.queue;
    gpu->parts = gpu->memory + extras.parts;
    gpu->ones = gpu->memory + extras.ones;
    gpu->ring.device[0] = gpu->memory + extras.ring;
    gpu->ring.device[1] = gpu->ring.device[0] + OD_GPU_PIECE_BYTES;
    gpu->extra = gpu->memory + extras.extra;
    // Weights' spare rows and columns stay zero; what is written before it is read starts as NaN, so
    // that a gap shows.
    od_cuda_fill(cuda, gpu->memory, 0, layout->persistent_bytes);
    od_cuda_fill(cuda, gpu->memory + layout->persistent_bytes, 0xFF,
                 extras.stats - layout->persistent_bytes);
    od_cuda_fill(cuda, gpu->stats, 0, extras.ring - extras.stats);
    set_ones(gpu, ones_of(layout));
    od_cuda_fill(cuda, gpu->extra, 0xFF, extras.end - extras.extra);
    status = od_matmul_create(cuda, gpu->memory + extras.workspace, layout->use_library,
                              &gpu->matmul, err);
    if (status == OD_OK) {
        status = send_chunks(gpu, err);
    }

done:
    if (status != OD_OK) {
        od_gpu_close(gpu);
        return status;
    }
    *ret = gpu;
    return OD_OK;
}

void od_gpu_close(struct od_gpu *gpu)
{
    if (!gpu) {
        return;
    }
    const enum od_status status = od_cuda_sync(gpu->cuda, NULL);
    (void)status;  // on the way out
    od_matmul_free(gpu->matmul);
    for (int i = 0; i < OD_GPU_SLOTS; i++) {
        od_cuda_event_free(gpu->cuda, gpu->slot[i].sent);
        od_cuda_host_free(gpu->cuda, gpu->slot[i].memory);
    }
    for (int i = 0; i < 2; i++) {
        od_cuda_event_free(gpu->cuda, gpu->ring.passed[i]);
        od_cuda_host_free(gpu->cuda, gpu->ring.host[i]);
    }
    for (int i = 0; i < gpu->recording_count; i++) {
        od_cuda_graph_free(gpu->cuda, gpu->recording[i].graph);
    }
    for (int i = 0; gpu->profile.event && i <= OD_GPU_MARKS_MAX && gpu->profile.event[i]; i++) {
        od_cuda_event_free(gpu->cuda, gpu->profile.event[i]);
    }
    od_free(gpu->profile.event);
    od_free(gpu->profile.part);
    od_cuda_host_free(gpu->cuda, gpu->host);
    od_cuda_host_free(gpu->cuda, gpu->host_scalars);
    od_cuda_host_free(gpu->cuda, gpu->host_stats);
    od_cuda_free(gpu->cuda, gpu->memory);
    od_free(gpu->sort);
    od_free(gpu->params);
    od_free(gpu->ops);
    od_free(gpu->tensors);
    od_free(gpu);
}

struct od_matmul *od_gpu_matmul(struct od_gpu *gpu)
{
    return gpu->matmul;
}

od_dev od_gpu_extra(const struct od_gpu *gpu)
{
    return gpu->extra;
}

struct od_gpu_tensor od_gpu_tensor(const struct od_gpu *gpu, int32_t number)
{
    return gpu->tensors[number];
}
