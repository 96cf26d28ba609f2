// What a session does on a GPU.

#include <stdint.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/status.h"
#include "data/pack.h"
#include "device/cuda/cuda.h"
#include "formats/dtype.h"
#include "formats/nf4.h"
#include "model/program.h"
#include "model/spec.h"
#include "model/weights.h"
#include "ops/adamw/adamw_cuda.h"
#include "ops/adamw/rounding.h"
#include "ops/gpu.h"
#include "ops/op.h"
#include "plan/fit.h"
#include "plan/gpu_sink.h"
#include "plan/layout.h"
#include "plan/plan.h"
#include "tune/recipe.h"
#include "tune/session.h"
#include "tune/session_internal.h"

// What the arena may take: the card's free memory, or what the cap leaves of it. The cap counts all
// that the process takes; what others hold counts against the card.
static enum od_status budget_of(struct od_session *s, const struct od_session_options *options,
                                uint64_t *ret, struct od_error *err)
{
    size_t free_bytes = 0;
    size_t total_bytes = 0;
    const enum od_status status = od_cuda_memory(s->cuda, &free_bytes, &total_bytes, err);
    if (status != OD_OK) {
        return status;
    }
    if (options->max_bytes > total_bytes) {
        char cap[24];
        char card[24];
        od_bytes_text((double)options->max_bytes, cap);
        od_bytes_text((double)total_bytes, card);
        return od_fail(err, OD_E_REFUSED, "a cap of %s is more than the card's %s", cap, card);
    }
    const uint64_t known = od_cuda_process_bytes(s->cuda);
    const uint64_t context = known > 0 ? known : OD_CARD_CONTEXT_BYTES;
    const uint64_t capped = options->max_bytes > context ? options->max_bytes - context : 1;
    uint64_t budget = free_bytes;
    if (options->max_bytes != 0 && capped < budget) {
        budget = capped;
    }
    s->card_free_bytes = free_bytes;
    *ret = budget > OD_CARD_GUARD_BYTES ? budget - OD_CARD_GUARD_BYTES : 1;
    return OD_OK;
}

static enum od_status open_card(struct od_session *s, const struct od_session_options *options,
                                const struct od_program_options *program, struct od_error *err)
{
    uint64_t budget = 0;
    struct od_layout layout = {0};
    struct od_fit fit = {0};
    enum od_status status = od_cuda_open(options->gpu, &s->cuda, err);
    if (status != OD_OK || (status = budget_of(s, options, &budget, err)) != OD_OK ||
        (status = od_fit_make(&s->spec, program, options->keep_least ? 1 : budget,
                              !options->no_library, &fit, err)) != OD_OK) {
        return status;
    }
    s->program = fit.program;
    s->plan = fit.plan;
    if (fit.bytes > budget) {
        return od_session_refuse(s, fit.bytes, budget, !options->no_library, err);
    }
    status = od_layout_make(&s->program, &s->plan, !options->no_library, &layout, err);
    if (status == OD_OK) {
        status = od_gpu_open(s->cuda, &layout.gpu, &s->gpu, err);
        od_layout_release(&layout);
    }
    return status;
}

uint64_t od_session_driver_bytes(const struct od_session *s)
{
    size_t free_bytes = 0;
    size_t total_bytes = 0;
    if (!s->gpu || od_cuda_memory(s->cuda, &free_bytes, &total_bytes, NULL) != OD_OK ||
        free_bytes > s->card_free_bytes) {
        return 0;
    }
    return s->card_free_bytes - free_bytes;
}

enum od_status od_session_gpu_open(struct od_session *s, const struct od_session_options *options,
                                   const struct od_program_options *program, struct od_error *err)
{
    enum od_status status = open_card(s, options, program, err);
    if (status != OD_OK) {
        return status;
    }
    status = od_arrays_make_beside(&s->program, &s->arrays, err);
    if (status != OD_OK) {
        return status;
    }
    const int32_t table = s->program.io.rope_table;
    if (table < 0) {
        return OD_OK;
    }
    od_spec_rope_table(&s->spec, s->program.tensors[table].rows, s->arrays.tensor[table]);
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
    struct od_layout layout;
    if (!s->gpu || od_layout_make(&s->program, &s->plan, true, &layout, NULL) != OD_OK) {
        return s->plan.total_bytes;
    }
    const uint64_t bytes = od_gpu_bytes(&layout.gpu);
    od_layout_release(&layout);
    return bytes;
}

// Scales of a part with random codes, as fresh weights would have them.
static enum od_status random_scales(struct od_session *s, const struct od_part *part,
                                    struct od_error *err)
{
    const size_t bytes = od_quant_scale_bytes(part);
    const float most = 2.5F * (float)s->spec.init_std;  // of 64 normal values, about
    uint8_t *scales = od_alloc(bytes, 1);
    if (!scales) {
        return od_fail(err, OD_E_MEMORY, "no memory for the scales of '%s'", part->name);
    }
    if (part->quant == OD_QUANT_NF4) {
        const struct od_nf4_places at = od_nf4_places(part->rows * part->cols);
        memcpy(scales + at.offset, &most, sizeof most);
    } else {
        for (int64_t row = 0; row < part->rows; row++) {
            const float scale = part->quant == OD_QUANT_E4M3
                                    ? (float)s->spec.init_std / OD_GPU_E4M3_DEVIATION
                                    : most / 127.0F;
            memcpy(scales + row * (int64_t)sizeof scale, &scale, sizeof scale);
        }
    }
    const enum od_status status =
        od_gpu_write_bytes(s->gpu, part->scales, (uint64_t)part->scales_at, scales, bytes, err);
    od_free(scales);
    return status;
}

static enum od_status random_weights(struct od_session *s, struct od_error *err)
{
    enum od_status status = OD_OK;
    for (int32_t i = 0; status == OD_OK && i < s->program.weight_count; i++) {
        const struct od_part *part = &s->program.weights[i];
        if (part->quant != OD_QUANT_NONE) {
            status = random_scales(s, part, err);
            if (part->row == 0 && part->quant == OD_QUANT_E4M3) {
                od_gpu_init_e4m3(s->gpu, part->tensor, s->recipe->seed);
            } else if (part->row == 0) {
                od_gpu_init_bytes(s->gpu, part->tensor, s->recipe->seed);
            }
        } else if (part->row == 0 && strstr(part->name, ".bias") == NULL) {  // they are zero
            // A fused weight is one tensor.
            od_gpu_init(s->gpu, part->tensor, s->recipe->seed,
                        part->rank == 2 ? (float)s->spec.init_std : 0.0F);
        }
    }
    return status;
}

// Fresh frozen weights, the same values as on the CPU.
static enum od_status fresh_weights(struct od_session *s, const struct od_weight_sink *sink,
                                    struct od_error *err)
{
    enum od_status status = OD_OK;
    for (int32_t i = 0; status == OD_OK && i < s->program.weight_count; i++) {
        const struct od_part *part = &s->program.weights[i];
        float *values = od_alloc((size_t)(part->rows * part->cols), sizeof *values);
        if (!values) {
            return od_fail(err, OD_E_MEMORY, "no memory for '%s'", part->name);
        }
        status = od_weights_init_part(s->cpu.pool, &s->program, i, s->recipe->seed, values, err);
        if (status == OD_OK) {
            status = part->quant == OD_QUANT_NONE ? od_values_send(part, values, sink, err)
                                                  : od_quant_send(part, values, sink, err);
        }
        od_free(values);
    }
    return status;
}

enum od_status od_session_gpu_weights(struct od_session *s,
                                      const struct od_session_options *options,
                                      struct od_error *err)
{
    const struct od_weight_sink sink = od_gpu_sink(s->gpu, s->cpu.pool);
    enum od_status status = OD_OK;
    if (options->random) {
        status = random_weights(s, err);
    } else if (s->recipe->base_model) {
        status = od_weights_stream(&s->program, s->recipe->base_model, &sink, err);
    } else if (s->recipe->method == OD_METHOD_LORA) {
        status = fresh_weights(s, &sink, err);
    } else {
        status = od_weights_init(&s->program, s->arrays.tensor, s->recipe->seed, err);
    }
    if (status != OD_OK) {
        return status;
    }
    if (s->recipe->method == OD_METHOD_LORA) {
        // What is trained in full beside the adapter went straight to the card.
        if (s->program.options.saved != 0 && (status = od_session_fetch(s, err)) != OD_OK) {
            return status;
        }
        od_adapters_init(&s->program, s->arrays.tensor, s->recipe->seed);
        return od_session_store(s, err);
    }
    if (!options->random && !s->recipe->base_model) {
        return od_session_store(s, err);
    }
    od_gpu_refresh(s->gpu);
    return od_cuda_sync(s->cuda, err);
}

// The tensors of a trained one that a checkpoint holds: itself and its moments.
enum { KEPT = 5 };
static void kept_of(const struct od_param *p, int32_t numbers[KEPT])
{
    const int32_t all[KEPT] = {p->tensor, p->m, p->v, p->m_scales, p->v_scales};
    memcpy(numbers, all, sizeof all);
}

static size_t kept_bytes(const struct od_tensor *tensor)
{
    return (size_t)(tensor->rows * tensor->cols) * od_dtype_size(tensor->dtype);
}

// A tensor from the card; bf16 values become fp32 from the first on, behind which they came.
static enum od_status fetch_tensor(const struct od_session *s, int32_t number, struct od_error *err)
{
    const struct od_tensor *tensor = &s->program.tensors[number];
    const int64_t count = tensor->rows * tensor->cols;
    float *to = s->arrays.tensor[number];
    if (tensor->dtype != OD_DTYPE_BF16) {
        return od_gpu_read_bytes(s->gpu, number, 0, to, kept_bytes(tensor), err);
    }
    const char *from = (const char *)to + 2 * count;
    const enum od_status status =
        od_gpu_read_bytes(s->gpu, number, 0, (char *)to + 2 * count, kept_bytes(tensor), err);
    for (int64_t i = 0; status == OD_OK && i < count; i++) {
        uint16_t half;
        memcpy(&half, from + 2 * i, sizeof half);
        const uint32_t bits = (uint32_t)half << 16;
        memcpy(&to[i], &bits, sizeof bits);
    }
    return status;
}

enum od_status od_session_gpu_values(const struct od_session *s, int32_t number, float **ret,
                                     struct od_error *err)
{
    const struct od_gpu_tensor t = od_gpu_tensor(s->gpu, number);
    const size_t bytes = (size_t)(t.rows * t.stride) * sizeof(uint16_t);
    uint16_t *halves = od_alloc(bytes, 1);
    float *values = od_alloc((size_t)(t.rows * t.cols), sizeof *values);
    enum od_status status = OD_OK;
    if (!halves || !values) {
        status = od_fail(err, OD_E_MEMORY, "no memory for '%s'", s->program.tensors[number].name);
    } else if (t.is_host) {
        memcpy(halves, (const void *)(uintptr_t)t.at, bytes);
    } else {
        status = od_gpu_read_bytes(s->gpu, number, 0, halves, bytes, err);
    }
    for (int64_t i = 0; status == OD_OK && i < t.rows * t.cols; i++) {
        const uint32_t bits = (uint32_t)halves[i / t.cols * t.stride + i % t.cols] << 16;
        memcpy(&values[i], &bits, sizeof bits);
    }
    od_free(halves);
    if (status != OD_OK) {
        od_free(values);
        return status;
    }
    *ret = values;
    return OD_OK;
}

static enum od_status store_tensor(struct od_session *s, int32_t number, struct od_error *err)
{
    const struct od_tensor *tensor = &s->program.tensors[number];
    const int64_t count = tensor->rows * tensor->cols;
    const float *from = s->arrays.tensor[number];
    if (tensor->dtype != OD_DTYPE_BF16) {
        return od_gpu_write_bytes(s->gpu, number, 0, from, kept_bytes(tensor), err);
    }
    uint16_t *halves = od_alloc((size_t)count, sizeof *halves);
    if (!halves) {
        return od_fail(err, OD_E_MEMORY, "no memory for '%s'", tensor->name);
    }
    for (int64_t i = 0; i < count; i++) {
        const float rounded = od_round_to_nearest(from[i]);
        uint32_t bits;
        memcpy(&bits, &rounded, sizeof bits);
        halves[i] = (uint16_t)(bits >> 16);
    }
    const enum od_status status =
        od_gpu_write_bytes(s->gpu, number, 0, halves, kept_bytes(tensor), err);
    od_free(halves);
    return status;
}

enum od_status od_session_fetch(const struct od_session *s, struct od_error *err)
{
    enum od_status status = OD_OK;
    for (int32_t i = 0; s->gpu && status == OD_OK && i < s->program.param_count; i++) {
        int32_t numbers[KEPT];
        kept_of(&s->program.params[i], numbers);
        for (int j = 0; status == OD_OK && j < KEPT; j++) {
            if (numbers[j] >= 0) {
                status = fetch_tensor(s, numbers[j], err);
            }
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
        int32_t numbers[KEPT];
        kept_of(&s->program.params[i], numbers);
        for (int j = 0; status == OD_OK && j < KEPT; j++) {
            if (numbers[j] >= 0) {
                status = store_tensor(s, numbers[j], err);
            }
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

enum od_status od_session_measure(struct od_session *s, struct od_error *err)
{
    struct od_micro_batch *b = &s->batch;
    const int64_t tokens = s->program.options.tokens;
    const int64_t length = s->recipe->sequence_len;
    int64_t segments = 0;
    for (int64_t t = 0; t < tokens; t++) {
        b->ids[t] = (int32_t)((uint64_t)t * 2654435761u % (uint64_t)s->spec.vocab);
        b->positions[t] = (int32_t)(t % length);
        b->targets[t] = b->ids[t];
        if (t % length == 0) {
            b->segment_start[segments++] = (int32_t)t;
        }
    }
    b->segment_start[segments] = (int32_t)tokens;
    const struct od_batch batch = {.tokens = tokens,
                                   .ids = b->ids,
                                   .positions = b->positions,
                                   .segments = segments,
                                   .segment_start = b->segment_start,
                                   .targets = b->targets,
                                   .loss_scale = 1.0F / (float)tokens,
                                   .want_gradient = true};
    od_gpu_clear(s->gpu);
    enum od_status status = od_gpu_batch(s->gpu, &batch, err);
    if (status == OD_OK) {
        status = od_gpu_tune(s->gpu, err);
    }
    return status;
}
