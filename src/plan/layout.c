#include "plan/layout.h"

#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"
#include "formats/dtype.h"
#include "model/program.h"
#include "ops/gpu.h"
#include "plan/plan.h"

void od_layout_release(struct od_layout *layout)
{
    od_free(layout->params);
    od_free(layout->tensors);
    *layout = (struct od_layout){0};
}

enum od_status od_layout_make(const struct od_program *p, const struct od_plan *plan,
                              bool use_library, struct od_layout *ret, struct od_error *err)
{
    struct od_layout layout = {0};
    layout.tensors = od_alloc((size_t)p->tensor_count, sizeof *layout.tensors);
    layout.params = od_alloc((size_t)p->param_count + 1, sizeof *layout.params);
    if (!layout.tensors || !layout.params) {
        od_layout_release(&layout);
        return od_fail(err, OD_E_MEMORY, "no memory for a program");
    }
    for (int32_t i = 0; i < p->tensor_count; i++) {
        const struct od_tensor *t = &p->tensors[i];
        const int64_t stride = od_tensor_stride(t);
        layout.tensors[i] = (struct od_gpu_tensor){
            .at = plan->offset[i],
            .rows = t->rows,
            .cols = t->cols,
            .stride = stride,
            .is_float = t->dtype == OD_DTYPE_F32,
            .is_host = t->role == OD_ROLE_HOST,
            .bytes = (size_t)((t->rows + t->pad_rows) * stride) * od_dtype_size(t->dtype)};
    }
    for (int32_t i = 0; i < p->param_count; i++) {
        const struct od_param *param = &p->params[i];
        layout.params[i] = (struct od_gpu_param){.tensor = param->tensor,
                                                 .gradient = param->gradient,
                                                 .m = param->m,
                                                 .v = param->v,
                                                 .m_scales = param->m_scales,
                                                 .v_scales = param->v_scales,
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
                                                   .counts = p->io.counts,
                                                   .embed_order = p->io.embed_order,
                                                   .embed_runs = p->io.embed_runs,
                                                   .position_order = p->io.position_order,
                                                   .position_runs = p->io.position_runs,
                                                   .noise_bounds = p->io.noise_bounds},
                                        .tokens = p->options.tokens,
                                        .persistent_bytes = plan->persistent_bytes,
                                        .plan_bytes = plan->total_bytes,
                                        .host_bytes = plan->host_bytes,
                                        .use_library = use_library};
    *ret = layout;
    return OD_OK;
}
