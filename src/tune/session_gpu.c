// What a session does on a GPU.

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/status.h"
#include "device/cuda/cuda.h"
#include "formats/dtype.h"
#include "model/program.h"
#include "model/weights.h"
#include "ops/gpu.h"
#include "plan/plan.h"
#include "tune/recipe.h"
#include "tune/session.h"
#include "tune/session_internal.h"

// A layout that owns its tables.
struct layout {
    struct od_gpu_layout gpu;
    struct od_gpu_tensor *tensors;
    struct od_gpu_param *params;
};

static void layout_release(struct layout *layout)
{
    od_free(layout->params);
    od_free(layout->tensors);
    *layout = (struct layout){0};
}

static enum od_status layout_make(const struct od_session *s, bool use_library, struct layout *ret,
                                  struct od_error *err)
{
    const struct od_program *p = &s->program;
    struct layout layout = {0};
    layout.tensors = od_alloc((size_t)p->tensor_count, sizeof *layout.tensors);
    layout.params = od_alloc((size_t)p->param_count + 1, sizeof *layout.params);
    if (!layout.tensors || !layout.params) {
        layout_release(&layout);
        return od_fail(err, OD_E_MEMORY, "no memory for a program");
    }
    for (int32_t i = 0; i < p->tensor_count; i++) {
        const struct od_tensor *t = &p->tensors[i];
        const int64_t stride = od_tensor_stride(t);
        layout.tensors[i] = (struct od_gpu_tensor){
            .at = s->plan.offset[i],
            .rows = t->rows,
            .cols = t->cols,
            .stride = stride,
            .is_float = t->dtype == OD_DTYPE_F32,
            .bytes = (size_t)((t->rows + t->pad_rows) * stride) * od_dtype_size(t->dtype)};
    }
    for (int32_t i = 0; i < p->param_count; i++) {
        const struct od_param *param = &p->params[i];
        layout.params[i] = (struct od_gpu_param){.tensor = param->tensor,
                                                 .gradient = param->gradient,
                                                 .m = param->m,
                                                 .v = param->v,
                                                 .copy = param->copy,
                                                 .decay = param->decay};
    }
    layout.gpu = (struct od_gpu_layout){.tensors = layout.tensors,
                                        .tensor_count = p->tensor_count,
                                        .ops = p->ops,
                                        .op_count = p->op_count,
                                        .forward_count = p->forward_count,
                                        .params = layout.params,
                                        .param_count = p->param_count,
                                        .inputs = {.ids = p->io.ids,
                                                   .positions = p->io.positions,
                                                   .targets = p->io.targets,
                                                   .label_rows = p->io.label_rows,
                                                   .query_tiles = p->io.query_tiles,
                                                   .key_tiles = p->io.key_tiles,
                                                   .dquery_tiles = p->io.dquery_tiles,
                                                   .tile_counts = p->io.tile_counts,
                                                   .embed_order = p->io.embed_order,
                                                   .embed_runs = p->io.embed_runs},
                                        .tokens = p->options.tokens,
                                        .persistent_bytes = s->plan.persistent_bytes,
                                        .plan_bytes = s->plan.total_bytes,
                                        .use_library = use_library};
    *ret = layout;
    return OD_OK;
}

static enum od_status open_card(struct od_session *s, const struct od_session_options *options,
                                const struct layout *layout, struct od_error *err)
{
    size_t free_bytes = 0;
    size_t total_bytes = 0;
    const uint64_t need = od_gpu_bytes(&layout->gpu);
    enum od_status status = od_cuda_open(options->gpu, &s->cuda, err);
    if (status != OD_OK ||
        (status = od_cuda_memory(s->cuda, &free_bytes, &total_bytes, err)) != OD_OK) {
        return status;
    }
    const uint64_t context = total_bytes - free_bytes;
    if (options->max_bytes > total_bytes) {
        char cap[24];
        char card[24];
        od_bytes_text((double)options->max_bytes, cap);
        od_bytes_text((double)total_bytes, card);
        return od_fail(err, OD_E_REFUSED, "a cap of %s is more than the card's %s", cap, card);
    }
    // The cap counts all that the process takes; what others hold counts against the card.
    if (need > free_bytes) {
        return od_session_refuse(need, free_bytes, err);
    }
    if (options->max_bytes != 0 && need + (context < need ? 0u : 0u) > options->max_bytes) {
        return od_session_refuse(need, options->max_bytes, err);
    }
    return od_gpu_open(s->cuda, &layout->gpu, &s->gpu, err);
}

enum od_status od_session_gpu_open(struct od_session *s, const struct od_session_options *options,
                                   struct od_error *err)
{
    struct layout layout = {0};
    enum od_status status = layout_make(s, !options->no_library, &layout, err);
    if (status == OD_OK) {
        status = open_card(s, options, &layout, err);
    }
    layout_release(&layout);
    if (status != OD_OK) {
        return status;
    }
    status = od_arrays_make_beside(&s->program, &s->arrays, err);
    if (status != OD_OK) {
        return status;
    }
    const int32_t table = s->program.io.rope_table;
    od_rope_table(s->arrays.tensor[table], s->program.tensors[table].rows, s->spec.head_dim,
                  s->spec.rope_theta);
    return od_gpu_write(s->gpu, table, s->arrays.tensor[table], err);
}

void od_session_gpu_close(struct od_session *s)
{
    od_gpu_close(s->gpu);
    od_cuda_close(s->cuda);
    s->gpu = NULL;
    s->cuda = NULL;
}

uint64_t od_session_bytes(const struct od_session *s)
{
    struct layout layout;
    if (!s->gpu || layout_make(s, true, &layout, NULL) != OD_OK) {
        return s->plan.total_bytes;
    }
    const uint64_t bytes = od_gpu_bytes(&layout.gpu);
    layout_release(&layout);
    return bytes;
}

static void *piece_buffer(void *context, struct od_error *err)
{
    struct od_session *s = context;
    return od_gpu_piece_buffer(s->gpu, err);
}

static void put_piece(void *context, const struct od_part *part, enum od_dtype dtype, int64_t first,
                      int64_t count)
{
    struct od_session *s = context;
    const struct od_gpu_piece piece = {
        .tensor = part->tensor,
        .row = part->row,
        .cols = part->cols,
        .first = first,
        .count = count,
        .type = dtype == OD_DTYPE_F32 ? 0 : (dtype == OD_DTYPE_F16 ? 1 : 2)};
    od_gpu_put(s->gpu, &piece);
}

static enum od_status finish_part(void *context, uint64_t *ret_bad, struct od_error *err)
{
    struct od_session *s = context;
    return od_gpu_put_finish(s->gpu, ret_bad, err);
}

static void random_weights(struct od_session *s)
{
    for (int32_t i = 0; i < s->program.weight_count; i++) {
        const struct od_part *part = &s->program.weights[i];
        if (part->row == 0) {  // a fused weight is one tensor
            od_gpu_init(s->gpu, part->tensor, s->recipe->seed,
                        part->rank == 2 ? (float)s->spec.init_std : 0.0F);
        }
    }
}

enum od_status od_session_gpu_weights(struct od_session *s,
                                      const struct od_session_options *options,
                                      struct od_error *err)
{
    const struct od_weight_sink sink = {.context = s,
                                        .piece_bytes = OD_GPU_PIECE_BYTES,
                                        .buffer = piece_buffer,
                                        .put = put_piece,
                                        .finish = finish_part};
    enum od_status status = OD_OK;
    if (options->random) {
        random_weights(s);
    } else if (s->recipe->base_model) {
        status = od_weights_stream(&s->program, s->recipe->base_model, &sink, err);
    } else {
        od_weights_init(&s->program, s->arrays.tensor, s->recipe->seed);
    }
    if (status != OD_OK) {
        return status;
    }
    if (s->recipe->method == OD_METHOD_LORA) {
        od_adapters_init(&s->program, s->arrays.tensor, s->recipe->seed);
        return od_session_store(s, err);
    }
    if (!options->random && !s->recipe->base_model) {
        return od_session_store(s, err);
    }
    od_gpu_refresh(s->gpu);
    return od_cuda_sync(s->cuda, err);
}

enum od_status od_session_fetch(const struct od_session *s, struct od_error *err)
{
    enum od_status status = OD_OK;
    for (int32_t i = 0; s->gpu && status == OD_OK && i < s->program.param_count; i++) {
        const struct od_param *p = &s->program.params[i];
        const int32_t numbers[] = {p->tensor, p->m, p->v};
        for (int j = 0; status == OD_OK && j < 3; j++) {
            status = od_gpu_read(s->gpu, numbers[j], s->arrays.tensor[numbers[j]], err);
        }
    }
    return status;
}

enum od_status od_session_store(struct od_session *s, struct od_error *err)
{
    enum od_status status = OD_OK;
    if (!s->gpu) {
        return OD_OK;
    }
    for (int32_t i = 0; status == OD_OK && i < s->program.param_count; i++) {
        const struct od_param *p = &s->program.params[i];
        const int32_t numbers[] = {p->tensor, p->m, p->v};
        for (int j = 0; status == OD_OK && j < 3; j++) {
            status = od_gpu_write(s->gpu, numbers[j], s->arrays.tensor[numbers[j]], err);
        }
    }
    od_gpu_refresh(s->gpu);
    return status == OD_OK ? od_cuda_sync(s->cuda, err) : status;
}

enum od_status od_session_gpu_update(struct od_session *s, const struct od_adamw_scalars *scalars,
                                     double *ret_loss_sum, double *ret_norm, struct od_error *err)
{
    struct od_adamw_stats stats;
    od_gpu_update(s->gpu, scalars);
    const enum od_status status = od_gpu_finish(s->gpu, &stats, err);
    if (status == OD_OK) {
        *ret_loss_sum = stats.loss_sum;
        *ret_norm = stats.norm;
    }
    return status;
}
