// The model on the CPU: its weights, packed for few rows, and the walk over the operations.

#include "infer/machine.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "base/threads.h"
#include "device/cpu/gemm.h"
#include "formats/gguf.h"
#include "formats/half.h"
#include "infer/adapters.h"
#include "infer/engine.h"
#include "infer/pages.h"
#include "model/gguf_model.h"
#include "model/program.h"
#include "model/spec.h"
#include "model/weights.h"
#include "ops/cpu.h"
#include "ops/op.h"
#include "plan/plan.h"

struct cpu_machine {
    struct od_machine base;  ///< first: what the engine sees
    struct od_machine_options options;
    struct od_cpu cpu;
    struct od_program program;
    struct od_plan plan;
    struct od_arrays arrays;
    struct od_gemm_weight *packed;  ///< packed weights by tensor number
    char *packed_memory;
    struct od_adapter_set adapters;
    float *hidden;  ///< [pages, OD_PAGE_ROWS, C] what the head reads
};

static bool is_product(const struct od_op *op)
{
    return op->kind == OD_OP_LINEAR || op->kind == OD_OP_HEAD_LOGITS;
}

// Weights of linear layers, packed for products with few rows, in one piece. Those that bf16 holds take
// half the room, and so half the time to read; the products are the same.
static enum od_status pack_weights(struct cpu_machine *machine, struct od_error *err)
{
    const struct od_program *program = &machine->program;
    size_t bytes = 0;
    bool fits = true;
    machine->packed = od_alloc((size_t)program->tensor_count, sizeof *machine->packed);
    if (!machine->packed) {
        return od_fail(err, OD_E_MEMORY, "no memory to pack weights");
    }
    for (int32_t i = 0; i < program->op_count; i++) {
        const struct od_op *op = &program->ops[i];
        if (is_product(op)) {
            const int32_t w = op->slot[OD_SLOT_W];
            machine->packed[w].form = od_gemm_form_of(machine->arrays.tensor[w], op->n * op->k);
            fits = fits &&
                   od_size_add(bytes, od_gemm_packed_bytes(machine->packed[w].form, op->n, op->k),
                               &bytes);
        }
    }
    machine->packed_memory = fits ? od_alloc_large(bytes, 1) : NULL;
    if (!machine->packed_memory) {
        return od_fail(err, OD_E_MEMORY, "no memory to pack weights");
    }
    machine->base.weight_bytes = bytes;
    machine->base.weights = machine->packed_memory;
    char *at = machine->packed_memory;
    for (int32_t i = 0; i < program->op_count; i++) {
        const struct od_op *op = &program->ops[i];
        if (is_product(op)) {
            const int32_t w = op->slot[OD_SLOT_W];
            struct od_gemm_weight *packed = &machine->packed[w];
            od_gemm_pack_weight(at, packed->form, machine->arrays.tensor[w], op->n, op->k);
            packed->panels = at;
            at += od_gemm_packed_bytes(packed->form, op->n, op->k);
        }
    }
    machine->cpu.packed = machine->packed;
    return OD_OK;
}

// Random weights, for measurements.
static enum od_status draw_weights(struct cpu_machine *machine, struct od_error *err)
{
    enum { SEED = 1 };
    const struct od_program *program = &machine->program;
    enum od_status status = OD_OK;
    for (int32_t i = 0; status == OD_OK && i < program->weight_count; i++) {
        const struct od_part *part = &program->weights[i];
        float *values = machine->arrays.tensor[part->tensor] + part->row * part->cols;
        status = od_weights_init_part(machine->cpu.pool, program, i, SEED, values, err);
        for (int64_t j = 0; machine->options.engine->weights == OD_ENGINE_WEIGHTS_DRAWN_BF16 &&
                            status == OD_OK && j < part->rows * part->cols;
             j++) {
            values[j] = od_bf16_to_f32(od_f32_to_bf16(values[j]));
        }
    }
    return status;
}

// Base weights and the adapter on them, each out of a folder or of a GGUF file.
static enum od_status read_weights(struct cpu_machine *machine, struct od_error *err)
{
    const char *base = machine->options.place->base;
    const char *adapter = machine->options.place->adapter;
    struct od_gguf *gguf = NULL;
    enum od_status status = OD_OK;
    if (machine->options.engine->weights != OD_ENGINE_WEIGHTS_READ) {
        return draw_weights(machine, err);
    }
    if (od_gguf_is_path(base)) {
        status = od_gguf_open(base, &gguf, err);
        if (status == OD_OK) {
            status = od_weights_read_gguf(&machine->program, machine->arrays.tensor, gguf, err);
        }
        od_gguf_close(gguf);
    } else {
        status = od_weights_read(&machine->program, machine->arrays.tensor, base, err);
    }
    if (status != OD_OK || adapter[0] == '\0') {
        return status;
    }
    return od_gguf_is_path(adapter) ? od_adapter_merge_gguf(machine->cpu.pool, &machine->program,
                                                            machine->arrays.tensor, adapter, err)
                                    : od_adapter_merge(machine->cpu.pool, &machine->program,
                                                       machine->arrays.tensor, adapter, err);
}

static enum od_status open_model(struct cpu_machine *machine, struct od_error *err)
{
    const struct od_machine_options *options = &machine->options;
    const struct od_program_options program_options = {
        .mode = OD_PROGRAM_INFER,
        .tokens = options->pass_tokens,
        .threads = od_pool_threads(machine->cpu.pool),
        .cache_slots = options->cache_pages,
        .cache_length = OD_PAGE_ROWS,
        .positions = options->table_pages * OD_PAGE_ROWS,
        .logit_rows = options->pass_tokens,
    };
    enum od_status status;
    if ((status = od_program_build(options->spec, &program_options, &machine->program, err)) !=
            OD_OK ||
        (status = od_plan_make(&machine->program, &machine->plan, err)) != OD_OK ||
        (status = od_arrays_make(&machine->plan, &machine->arrays, err)) != OD_OK ||
        (status = read_weights(machine, err)) != OD_OK) {
        return status;
    }
    const int32_t table = machine->program.io.rope_table;
    if (table >= 0) {
        od_spec_rope_table(options->spec, program_options.positions, machine->arrays.tensor[table]);
    }
    if (options->engine->adapter_count > 0) {
        status = od_adapter_set_open(
            &machine->program, machine->arrays.tensor, options->engine->adapter_folders,
            options->engine->adapter_count, options->pass_tokens, &machine->adapters, err);
    }
    return status == OD_OK ? pack_weights(machine, err) : status;
}

// What the head reads, for every position of the cache.
static enum od_status open_hidden(struct cpu_machine *machine, struct od_error *err)
{
    const struct od_machine_options *options = &machine->options;
    int64_t floats = 0;
    if (!od_count_mul(options->cache_pages, OD_PAGE_ROWS, &floats) ||
        !od_count_mul(floats, options->spec->channels, &floats)) {
        return od_fail(err, OD_E_LIMIT, "a cache of %lld pages is too large",
                       (long long)options->cache_pages);
    }
    machine->hidden = od_alloc_large((size_t)floats, sizeof *machine->hidden);
    return machine->hidden ? OD_OK : od_fail(err, OD_E_MEMORY, "no memory for an engine");
}

static float *hidden_at(const struct cpu_machine *machine, int32_t slot, int64_t position)
{
    const struct od_machine_options *options = &machine->options;
    const int32_t *table = options->page_table + slot * options->table_pages;
    const int64_t page = table[position / OD_PAGE_ROWS];
    return machine->hidden +
           (page * OD_PAGE_ROWS + position % OD_PAGE_ROWS) * options->spec->channels;
}

// The rows of a pass through all layers, and what the head will read into the cache.
static void run_layers(struct cpu_machine *machine, const struct od_pass *pass,
                       struct od_batch *batch)
{
    const struct od_program *program = &machine->program;
    const struct od_op *head = &program->ops[program->op_count - 1];
    float *const *tensors = machine->arrays.tensor;
    const int64_t c = machine->options.spec->channels;
    for (int32_t i = 0; i + 1 < program->op_count; i++) {
        od_cpu_run(&machine->cpu, &program->ops[i], tensors, batch);
        const enum od_op_kind kind = program->ops[i].kind;
        if ((kind == OD_OP_LINEAR || kind == OD_OP_EMBED) && machine->adapters.count > 0) {
            od_adapter_set_apply(&machine->adapters, &machine->cpu, &program->ops[i], tensors,
                                 pass->ids, pass->adapter, pass->rows);
        }
    }
    for (int64_t i = 0; i < pass->rows; i++) {
        memcpy(hidden_at(machine, pass->cache_slot[i], pass->positions[i]),
               tensors[head->slot[OD_SLOT_X]] + i * c, (size_t)c * sizeof(float));
    }
}

// The head, on rows that lie in the cache: whether this pass computed them or an earlier one.
static void run_head(struct cpu_machine *machine, const struct od_pass *pass,
                     struct od_batch *batch)
{
    const struct od_program *program = &machine->program;
    const struct od_op *head = &program->ops[program->op_count - 1];
    float *const *tensors = machine->arrays.tensor;
    const int64_t c = machine->options.spec->channels;
    float *x = tensors[head->slot[OD_SLOT_X]];
    int32_t *logit_row = (int32_t *)(void *)tensors[program->io.logit_row];
    for (int64_t i = 0; i < pass->logit_rows; i++) {
        memcpy(x + i * c, hidden_at(machine, pass->logit_slot[i], pass->logit_position[i]),
               (size_t)c * sizeof *x);
        logit_row[i] = (int32_t)i;  // at most pass_tokens
    }
    batch->logit_rows = pass->logit_rows;
    batch->logit_row = logit_row;
    od_cpu_run(&machine->cpu, head, tensors, batch);
    if (machine->adapters.count > 0) {
        od_adapter_set_apply(&machine->adapters, &machine->cpu, head, tensors, pass->ids,
                             pass->logit_adapter, pass->logit_rows);
    }
}

static enum od_status run(struct od_machine *base, const struct od_pass *pass, struct od_error *err)
{
    struct cpu_machine *machine = (struct cpu_machine *)base;
    struct od_batch batch = {.tokens = pass->rows,
                             .ids = pass->ids,
                             .positions = pass->positions,
                             .cache_slot = pass->cache_slot,
                             .cache_length = OD_PAGE_ROWS,
                             .page_table = machine->options.page_table,
                             .table_pages = machine->options.table_pages};
    (void)err;  // nothing fails here
    if (pass->rows > 0) {
        run_layers(machine, pass, &batch);
    }
    if (pass->logit_rows > 0) {
        run_head(machine, pass, &batch);
    }
    return OD_OK;
}

static void copy_rows(struct od_machine *base, int32_t from, int32_t to, int64_t count)
{
    struct cpu_machine *machine = (struct cpu_machine *)base;
    const struct od_program *program = &machine->program;
    const struct od_spec *spec = machine->options.spec;
    const int64_t d = spec->head_dim;
    const int64_t heads = 2 * (int64_t)spec->kv_heads;
    for (int32_t i = 0; i < program->tensor_count; i++) {
        if (program->tensors[i].role != OD_ROLE_CACHE) {
            continue;
        }
        float *cache = machine->arrays.tensor[i];
        for (int64_t head = 0; head < heads; head++) {
            memcpy(cache + (to * heads + head) * OD_PAGE_ROWS * d,
                   cache + (from * heads + head) * OD_PAGE_ROWS * d,
                   (size_t)(count * d) * sizeof *cache);
        }
    }
    const int64_t page_floats = OD_PAGE_ROWS * spec->channels;
    memcpy(machine->hidden + to * page_floats, machine->hidden + from * page_floats,
           (size_t)(count * spec->channels) * sizeof *machine->hidden);
}

static void close_machine(struct od_machine *base)
{
    struct cpu_machine *machine = (struct cpu_machine *)base;
    od_free(machine->hidden);
    od_adapter_set_release(&machine->adapters);
    od_free(machine->packed_memory);
    od_free(machine->packed);
    od_arrays_release(&machine->arrays);
    od_plan_release(&machine->plan);
    od_program_release(&machine->program);
    od_cpu_close(&machine->cpu);
    od_free(machine);
}

enum od_status od_machine_open_cpu(const struct od_machine_options *options,
                                   struct od_machine **ret, struct od_error *err)
{
    struct cpu_machine *machine = od_alloc(1, sizeof *machine);
    enum od_status status;
    if (!machine) {
        return od_fail(err, OD_E_MEMORY, "no memory for an engine");
    }
    machine->options = *options;
    machine->base = (struct od_machine){.run = run,
                                        .copy_rows = copy_rows,
                                        .close = close_machine,
                                        .cache_pages = options->cache_pages,
                                        .logit_rows_max = options->pass_tokens,
                                        .logits_stride = options->spec->vocab};
    if ((status = od_cpu_open(options->engine->threads, !options->engine->no_vector, &machine->cpu,
                              err)) != OD_OK ||
        (status = open_model(machine, err)) != OD_OK ||
        (status = open_hidden(machine, err)) != OD_OK) {
        close_machine(&machine->base);
        return status;
    }
    const struct od_program_io *io = &machine->program.io;
    float *const *tensors = machine->arrays.tensor;
    machine->base.ids = (int32_t *)(void *)tensors[io->ids];
    machine->base.positions = (int32_t *)(void *)tensors[io->positions];
    machine->base.cache_slot = (int32_t *)(void *)tensors[io->cache_slot];
    machine->base.logits = tensors[io->logits];
    machine->base.threads = od_pool_threads(machine->cpu.pool);
    *ret = &machine->base;
    return OD_OK;
}
