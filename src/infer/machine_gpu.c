// The model on a GPU: one allocation for weights, cache and scratch, laid out before the first pass; the
// cache gets what the rest leaves.

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/status.h"
#include "device/cuda/cuda.h"
#include "formats/gguf.h"
#include "infer/adapters.h"
#include "infer/engine.h"
#include "infer/machine.h"
#include "infer/pages.h"
#include "model/gguf_model.h"
#include "model/program.h"
#include "model/spec.h"
#include "model/weights.h"
#include "ops/gpu.h"
#include "ops/gpu_serve.h"
#include "ops/op.h"
#include "ops/paged/paged.h"
#include "plan/fit.h"
#include "plan/gpu_sink.h"
#include "plan/layout.h"
#include "plan/plan.h"

enum {
    LOGITS_BYTES = 64 << 20,  // of the rows of logits of one pass, about
    LOGIT_ROWS_MIN = 16,
    LOGIT_ROWS_MAX = 256,
    CONTEXTS_PER_SLOT = 2,  // that the cache is for at most: sequences, and what is remembered
    PAGES_MAX = 1 << 24
};
_Static_assert((int)OD_PAGE_ROWS == (int)OD_PAGED_ROWS, "kernels and the schedule share pages");

struct gpu_machine {
    struct od_machine base;  ///< first: what the engine sees
    struct od_machine_options options;
    struct od_cuda *cuda;
    struct od_program program;
    struct od_plan plan;
    struct od_gpu *gpu;
    struct od_gpu_serve *serve;
    struct od_gpu_serve_shape shape;
    struct od_adapter_set adapters;  ///< that stay apart, until they are on the card
    int32_t *room;                   ///< ids, positions and slots of a pass
};

// What the arena may take: the card's free memory, or what the cap leaves of it.
static enum od_status budget_of(const struct gpu_machine *machine, uint64_t *ret,
                                struct od_error *err)
{
    const uint64_t cap = machine->options.engine->max_bytes;
    size_t free_bytes = 0;
    size_t total_bytes = 0;
    const enum od_status status = od_cuda_memory(machine->cuda, &free_bytes, &total_bytes, err);
    if (status != OD_OK) {
        return status;
    }
    if (cap > total_bytes) {
        char cap_text[24];
        char card_text[24];
        od_bytes_text((double)cap, cap_text);
        od_bytes_text((double)total_bytes, card_text);
        return od_fail(err, OD_E_REFUSED, "a cap of %s is more than the card's %s", cap_text,
                       card_text);
    }
    const uint64_t known = od_cuda_process_bytes(machine->cuda);
    const uint64_t context = known > 0 ? known : OD_CARD_CONTEXT_BYTES;
    uint64_t budget = free_bytes;
    if (cap != 0) {
        const uint64_t capped = cap > context ? cap - context : 1;
        budget = capped < budget ? capped : budget;
    }
    *ret = budget > OD_CARD_GUARD_BYTES ? budget - OD_CARD_GUARD_BYTES : 1;
    return OD_OK;
}

// Rows of logits of a pass: as many as some memory holds, so that all sequences move at once.
static int64_t logit_rows_of(const struct od_machine_options *options)
{
    int64_t rows = LOGITS_BYTES / (options->spec->vocab * (int64_t)sizeof(float));
    rows = rows < LOGIT_ROWS_MIN ? LOGIT_ROWS_MIN : rows;
    rows = rows > LOGIT_ROWS_MAX ? LOGIT_ROWS_MAX : rows;
    rows = rows < options->slot_count ? options->slot_count : rows;
    return rows < options->pass_tokens ? rows : options->pass_tokens;
}

static void release_plan(struct gpu_machine *machine)
{
    od_plan_release(&machine->plan);
    od_program_release(&machine->program);
}

// The program and the plan with so many pages; *ret_bytes is what they take on the card.
static enum od_status plan_pages(struct gpu_machine *machine, int64_t pages, uint64_t *ret_bytes,
                                 struct od_error *err)
{
    const struct od_machine_options *options = &machine->options;
    const struct od_program_options program_options = {
        .mode = OD_PROGRAM_INFER,
        .half = true,
        .tokens = options->pass_tokens,
        .threads = 1,
        .cache_slots = pages,
        .cache_length = OD_PAGE_ROWS,
        .positions = options->table_pages * OD_PAGE_ROWS,
        .logit_rows = machine->base.logit_rows_max,
    };
    struct od_layout layout = {0};
    enum od_status status;
    release_plan(machine);
    if ((status = od_program_build(options->spec, &program_options, &machine->program, err)) !=
            OD_OK ||
        (status = od_plan_make(&machine->program, &machine->plan, err)) != OD_OK ||
        (status = od_layout_make(&machine->program, &machine->plan, !options->engine->no_library,
                                 &layout, err)) != OD_OK) {
        return status;
    }
    machine->shape.pages = pages;
    layout.gpu.extra_bytes = od_gpu_serve_bytes(&layout.gpu, &machine->shape);
    *ret_bytes = od_gpu_bytes(&layout.gpu);
    od_layout_release(&layout);
    return OD_OK;
}

// Say that it does not fit, and what is missing.
static enum od_status refuse(const struct gpu_machine *machine, int64_t pages, uint64_t need,
                             uint64_t budget, struct od_error *err)
{
    const struct od_machine_options *options = &machine->options;
    char need_text[24];
    char budget_text[24];
    od_bytes_text((double)need, need_text);
    od_bytes_text((double)budget, budget_text);
    return od_fail(err, OD_E_REFUSED,
                   "the model with a cache of %lld positions needs %s of the card and may take %s; "
                   "lower --context (it is %lld) or --cache-tokens, or use --device cpu",
                   (long long)(pages * OD_PAGE_ROWS), need_text, budget_text,
                   (long long)(options->table_pages * OD_PAGE_ROWS));
}

// As many pages as were asked for, or as fit.
static enum od_status choose_pages(struct gpu_machine *machine, struct od_error *err)
{
    const struct od_machine_options *options = &machine->options;
    const int64_t least = options->cache_pages > 0 ? options->cache_pages : options->table_pages;
    int64_t most = options->table_pages * options->slot_count * CONTEXTS_PER_SLOT;
    uint64_t budget = 0;
    uint64_t need = 0;
    uint64_t more = 0;
    enum od_status status = budget_of(machine, &budget, err);
    if (status == OD_OK) {
        status = plan_pages(machine, least, &need, err);
    }
    if (status != OD_OK) {
        return status;
    }
    if (need > budget) {
        return refuse(machine, least, need, budget, err);
    }
    if (options->cache_pages > 0) {
        return OD_OK;
    }
    most = most < PAGES_MAX ? most : PAGES_MAX;
    enum { STEP = 1024 };  // pages that are added to see what a page takes
    status = plan_pages(machine, least + STEP, &more, err);
    if (status != OD_OK) {
        return status;
    }
    const uint64_t fitting = (budget - need) / ((more - need) / STEP + 1);
    int64_t pages = (int64_t)fitting < most - least ? least + (int64_t)fitting : most;
    pages = pages < least ? least : pages;
    return plan_pages(machine, pages, &need, err);
}

// Is the weight one that a linear operation of the layers multiplies with?
static bool is_linear_weight(const struct od_program *program, int32_t tensor)
{
    for (int32_t i = 0; i < program->op_count; i++) {
        if (program->ops[i].kind == OD_OP_LINEAR && program->ops[i].slot[OD_SLOT_W] == tensor) {
            return true;
        }
    }
    return false;
}

// The adapters that stay apart, in host memory; room for them on the card is planned by their sizes.
static enum od_status read_adapters(struct gpu_machine *machine, struct od_error *err)
{
    const struct od_engine_options *engine = machine->options.engine;
    uint64_t bytes = 0;
    if (engine->adapter_count == 0) {
        return OD_OK;
    }
    enum od_status status = plan_pages(machine, 1, &bytes, err);  // for the names of the weights
    if (status == OD_OK) {
        status =
            od_adapter_set_open(&machine->program, /* tensors= */ NULL, engine->adapter_folders,
                                engine->adapter_count, /* rows= */ 1, &machine->adapters, err);
    }
    for (int64_t i = 0; i < machine->adapters.count; i++) {
        const struct od_adapter *adapter = &machine->adapters.adapters[i];
        machine->shape.rank_max =
            adapter->r > machine->shape.rank_max ? adapter->r : machine->shape.rank_max;
        for (int64_t j = 0; j < adapter->layer_count; j++) {
            const struct od_adapter_layer *layer = &adapter->layers[j];
            if (status == OD_OK && !is_linear_weight(&machine->program, layer->tensor)) {
                status = od_fail(err, OD_E_UNSUPPORTED,
                                 "adapter '%.300s' changes the embedding or the head, which stays "
                                 "apart on the CPU only: serve it alone, merge it, or use "
                                 "--device cpu",
                                 engine->adapter_folders[i]);
            }
            machine->shape.adapter_bytes +=
                od_gpu_serve_adapter_bytes(&(struct od_gpu_serve_matrix){
                    .rows = layer->rows, .k = layer->k, .rank = adapter->r});
        }
    }
    machine->shape.adapters = machine->adapters.count;
    return status;
}

static struct od_gpu_serve_matrix matrix_of(const struct od_adapter *adapter,
                                            const struct od_adapter_layer *layer)
{
    return (struct od_gpu_serve_matrix){.tensor = layer->tensor,
                                        .row = layer->row,
                                        .rows = layer->rows,
                                        .k = layer->k,
                                        .rank = adapter->r,
                                        .scale = adapter->scale,
                                        .a = layer->a,
                                        .b = layer->b};
}

static enum od_status send_adapters(struct gpu_machine *machine, struct od_error *err)
{
    enum od_status status = OD_OK;
    for (int64_t i = 0; i < machine->shape.adapters; i++) {
        const struct od_adapter *adapter = &machine->adapters.adapters[i];
        for (int64_t j = 0; status == OD_OK && j < adapter->layer_count; j++) {
            const struct od_gpu_serve_matrix matrix = matrix_of(adapter, &adapter->layers[j]);
            status = od_gpu_serve_adapter(machine->serve, i, &matrix, err);
        }
    }
    od_adapter_set_release(&machine->adapters);
    return status;
}

// A weight that was trained in full takes the base's place.
static enum od_status put_full(struct gpu_machine *machine, const struct od_adapter_layer *layer,
                               struct od_error *err)
{
    const struct od_weight_sink sink = od_gpu_sink(machine->gpu, NULL);
    const struct od_part part = {.tensor = layer->tensor,
                                 .row = layer->row,
                                 .rows = layer->rows,
                                 .cols = layer->k,
                                 .rank = 2};
    return od_values_send(&part, layer->full, &sink, err);
}

// The adapter that becomes part of the base weights.
static enum od_status merge_adapter(struct gpu_machine *machine, struct od_error *err)
{
    const char *path = machine->options.place->adapter;
    struct od_adapter adapter = {0};
    if (path[0] == '\0') {
        return OD_OK;
    }
    enum od_status status = od_gguf_is_path(path)
                                ? od_adapter_open_gguf(&machine->program, path, &adapter, err)
                                : od_adapter_open(&machine->program, path, &adapter, err);
    for (int64_t i = 0; status == OD_OK && i < adapter.layer_count; i++) {
        const struct od_adapter_layer *layer = &adapter.layers[i];
        const struct od_gpu_serve_matrix matrix = matrix_of(&adapter, layer);
        status = layer->full ? put_full(machine, layer, err) : OD_OK;
        if (status == OD_OK && layer->a) {
            status = od_gpu_serve_merge(machine->serve, &matrix, err);
        }
    }
    od_adapter_release(&adapter);
    return status;
}

static enum od_status send_rope(struct gpu_machine *machine, struct od_error *err)
{
    const int32_t table = machine->program.io.rope_table;
    if (table < 0) {
        return OD_OK;
    }
    const struct od_tensor *tensor = &machine->program.tensors[table];
    float *values = od_alloc((size_t)(tensor->rows * tensor->cols), sizeof *values);
    if (!values) {
        return od_fail(err, OD_E_MEMORY, "no memory for a table of positions");
    }
    od_spec_rope_table(machine->options.spec, tensor->rows, values);
    const enum od_status status = od_gpu_write(machine->gpu, table, values, err);
    od_free(values);
    return status;
}

// Weights whose values matter to nobody.
static void random_weights(struct gpu_machine *machine)
{
    const struct od_program *program = &machine->program;
    for (int32_t i = 0; i < program->weight_count; i++) {
        const struct od_part *part = &program->weights[i];
        if (part->row == 0 && strstr(part->name, ".bias") == NULL) {  // biases are zero
            od_gpu_init(machine->gpu, part->tensor, 1,
                        part->rank == 2 ? (float)machine->options.spec->init_std : 0.0F);
        }
    }
}

struct od_gpu *od_machine_gpu(struct od_machine *machine)
{
    return ((struct gpu_machine *)machine)->gpu;
}

struct od_machine_bytes od_machine_gpu_bytes(const struct od_machine *machine)
{
    const struct od_program *program = &((const struct gpu_machine *)machine)->program;
    struct od_machine_bytes bytes = {0};
    for (int32_t i = 0; i < program->op_count; i++) {
        const struct od_op *op = &program->ops[i];
        if (op->kind == OD_OP_LINEAR || op->kind == OD_OP_HEAD_LOGITS) {
            bytes.weights += 2.0 * (double)op->n * (double)op->k;
        } else if (op->kind == OD_OP_ATTENTION_CACHED) {
            bytes.position += 4.0 * (double)op->kv_heads * (double)op->head_dim;
        }
    }
    return bytes;
}

static enum od_status open_model(struct gpu_machine *machine, struct od_error *err)
{
    const struct od_engine_options *engine = machine->options.engine;
    struct od_layout layout = {0};
    enum od_status status;
    if ((status = od_cuda_open(engine->gpu, &machine->cuda, err)) != OD_OK ||
        (status = read_adapters(machine, err)) != OD_OK ||
        (status = choose_pages(machine, err)) != OD_OK ||
        (status = od_layout_make(&machine->program, &machine->plan, !engine->no_library, &layout,
                                 err)) != OD_OK) {
        return status;
    }
    layout.gpu.extra_bytes = od_gpu_serve_bytes(&layout.gpu, &machine->shape);
    status = od_gpu_open(machine->cuda, &layout.gpu, &machine->gpu, err);
    od_layout_release(&layout);
    if (status != OD_OK || (status = od_gpu_serve_open(machine->gpu, &machine->shape,
                                                       &machine->serve, err)) != OD_OK) {
        return status;
    }
    if (!machine->options.place || engine->weights != OD_ENGINE_WEIGHTS_READ) {
        random_weights(machine);
        return send_rope(machine, err);
    }
    const struct od_weight_sink sink = od_gpu_sink(machine->gpu, NULL);
    if ((status = send_rope(machine, err)) != OD_OK ||
        (status = od_weights_stream(&machine->program, machine->options.place->base, &sink, err)) !=
            OD_OK ||
        (status = merge_adapter(machine, err)) != OD_OK) {
        return status;
    }
    return send_adapters(machine, err);
}

static enum od_status run(struct od_machine *base, const struct od_pass *pass, struct od_error *err)
{
    struct gpu_machine *machine = (struct gpu_machine *)base;
    const struct od_gpu_serve_pass serve_pass = {.rows = pass->rows,
                                                 .ids = pass->ids,
                                                 .positions = pass->positions,
                                                 .slot = pass->cache_slot,
                                                 .adapter = pass->adapter,
                                                 .page_table = machine->options.page_table,
                                                 .logit_rows = pass->logit_rows,
                                                 .logit_slot = pass->logit_slot,
                                                 .logit_position = pass->logit_position};
    return od_gpu_serve_run(machine->serve, &serve_pass, err);
}

static void copy_rows(struct od_machine *base, int32_t from, int32_t to, int64_t count)
{
    struct gpu_machine *machine = (struct gpu_machine *)base;
    od_gpu_serve_copy(machine->serve, from, to, count);
}

static void close_machine(struct od_machine *base)
{
    struct gpu_machine *machine = (struct gpu_machine *)base;
    od_gpu_serve_close(machine->serve);
    od_gpu_close(machine->gpu);
    od_cuda_close(machine->cuda);
    od_adapter_set_release(&machine->adapters);
    release_plan(machine);
    od_free(machine->room);
    od_free(machine);
}

enum od_status od_machine_open_gpu(const struct od_machine_options *options,
                                   struct od_machine **ret, struct od_error *err)
{
    struct gpu_machine *machine = od_alloc(1, sizeof *machine);
    if (!machine) {
        return od_fail(err, OD_E_MEMORY, "no memory for an engine");
    }
    machine->options = *options;
    machine->base = (struct od_machine){
        .run = run,
        .copy_rows = copy_rows,
        .close = close_machine,
        .logit_rows_max = logit_rows_of(options),
    };
    machine->shape =
        (struct od_gpu_serve_shape){.sequences = options->slot_count,
                                    .table_pages = options->table_pages,
                                    .logit_rows = machine->base.logit_rows_max,
                                    .batch_invariant = !options->engine->not_batch_invariant};
    machine->room = od_alloc((size_t)(3 * options->pass_tokens), sizeof *machine->room);
    enum od_status status = OD_OK;
    if (!machine->room) {
        status = od_fail(err, OD_E_MEMORY, "no memory for an engine");
    } else {
        status = open_model(machine, err);
    }
    if (status != OD_OK) {
        close_machine(&machine->base);
        return status;
    }
    machine->base.ids = machine->room;
    machine->base.positions = machine->room + options->pass_tokens;
    machine->base.cache_slot = machine->room + 2 * options->pass_tokens;
    machine->base.cache_pages = machine->shape.pages;
    machine->base.logits = od_gpu_serve_logits(machine->serve, &machine->base.logits_stride);
    *ret = &machine->base;
    return OD_OK;
}
