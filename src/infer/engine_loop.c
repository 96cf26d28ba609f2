// The thread that owns the model: opens it, admits requests, makes passes.

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "base/threads.h"
#include "device/cpu/gemm.h"
#include "formats/gguf.h"
#include "infer/engine_internal.h"
#include "model/gguf_model.h"
#include "model/program.h"
#include "model/spec.h"
#include "model/weights.h"
#include "ops/cpu.h"
#include "ops/op.h"
#include "plan/plan.h"

static bool is_product(const struct od_op *op)
{
    return op->kind == OD_OP_LINEAR || op->kind == OD_OP_HEAD_LOGITS;
}

// Weights of linear layers, packed for products with few rows, in one piece.
static enum od_status pack_weights(struct od_engine *engine, struct od_error *err)
{
    const struct od_program *program = &engine->program;
    size_t count = 0;
    bool fits = true;
    for (int32_t i = 0; i < program->op_count; i++) {
        const struct od_op *op = &program->ops[i];
        fits = fits && (!is_product(op) ||
                        od_size_add(count, (size_t)od_gemm_packed_floats(op->n, op->k), &count));
    }
    engine->packed = od_alloc((size_t)program->tensor_count, sizeof *engine->packed);
    engine->packed_memory = fits ? od_alloc_large(count, sizeof(float)) : NULL;
    if (!engine->packed || !engine->packed_memory) {
        return od_fail(err, OD_E_MEMORY, "no memory to pack weights");
    }
    float *packed = engine->packed_memory;
    for (int32_t i = 0; i < program->op_count; i++) {
        const struct od_op *op = &program->ops[i];
        if (is_product(op)) {
            const int32_t w = op->slot[OD_SLOT_W];
            od_gemm_pack_weight(packed, engine->arrays.tensor[w], op->n, op->k);
            engine->packed[w] = packed;
            packed += od_gemm_packed_floats(op->n, op->k);
        }
    }
    engine->cpu.packed = engine->packed;
    return OD_OK;
}

// Base weights and the adapter on them, each out of a folder or of a GGUF file.
static enum od_status read_weights(struct od_engine *engine, struct od_error *err)
{
    const char *base = engine->place.base;
    const char *adapter = engine->place.adapter;
    struct od_gguf *gguf = NULL;
    enum od_status status = OD_OK;
    if (od_gguf_is_path(base)) {
        status = od_gguf_open(base, &gguf, err);
        if (status == OD_OK) {
            status = od_weights_read_gguf(&engine->program, engine->arrays.tensor, gguf, err);
        }
        od_gguf_close(gguf);
    } else {
        status = od_weights_read(&engine->program, engine->arrays.tensor, base, err);
    }
    if (status != OD_OK || adapter[0] == '\0') {
        return status;
    }
    return od_gguf_is_path(adapter) ? od_adapter_merge_gguf(engine->cpu.pool, &engine->program,
                                                            engine->arrays.tensor, adapter, err)
                                    : od_adapter_merge(engine->cpu.pool, &engine->program,
                                                       engine->arrays.tensor, adapter, err);
}

static enum od_status open_model(struct od_engine *engine, struct od_error *err)
{
    const struct od_program_options program_options = {
        .mode = OD_PROGRAM_INFER,
        .tokens = engine->pass_tokens,
        .threads = od_pool_threads(engine->cpu.pool),
        .cache_slots = engine->slot_count,
        .cache_length = engine->context,
        .logit_rows = engine->pass_tokens,
    };
    enum od_status status;
    if ((status = od_program_build(&engine->spec, &program_options, &engine->program, err)) !=
            OD_OK ||
        (status = od_plan_make(&engine->program, &engine->plan, err)) != OD_OK ||
        (status = od_arrays_make(&engine->plan, &engine->arrays, err)) != OD_OK ||
        (status = read_weights(engine, err)) != OD_OK) {
        return status;
    }
    const int32_t table = engine->program.io.rope_table;
    if (table >= 0) {
        od_spec_rope_table(&engine->spec, engine->context, engine->arrays.tensor[table]);
    }
    for (int64_t i = 0; i < engine->slot_count; i++) {
        engine->slots[i].ids = od_alloc((size_t)engine->context, sizeof(int32_t));
        if (!engine->slots[i].ids) {
            return od_fail(err, OD_E_MEMORY, "no memory for a cache");
        }
    }
    engine->scratch = od_alloc((size_t)engine->spec.vocab, sizeof *engine->scratch);
    if (!engine->scratch) {
        return od_fail(err, OD_E_MEMORY, "no memory for an engine");
    }
    return pack_weights(engine, err);
}

static int64_t common_prefix(const int32_t *a, int64_t a_count, const int32_t *b, int64_t b_count)
{
    const int64_t count = a_count < b_count ? a_count : b_count;
    int64_t i = 0;
    while (i < count && a[i] == b[i]) {
        i++;
    }
    return i;
}

// Copy the first `count` positions of all layers from one slot of the cache to another.
static void copy_cache(struct od_engine *engine, int64_t from, int64_t to, int64_t count)
{
    const struct od_program *program = &engine->program;
    const int64_t d = engine->spec.head_dim;
    const int64_t rows = 2 * (int64_t)engine->spec.kv_heads;
    for (int32_t i = 0; i < program->tensor_count; i++) {
        if (program->tensors[i].role != OD_ROLE_CACHE) {
            continue;
        }
        float *cache = engine->arrays.tensor[i];
        const int64_t stride = engine->context * d;
        for (int64_t row = 0; row < rows; row++) {
            memcpy(cache + (to * rows + row) * stride, cache + (from * rows + row) * stride,
                   (size_t)(count * d) * sizeof *cache);
        }
    }
}

// A slot for the job, with the longest beginning that any slot remembers.
static void take_slot(struct od_engine *engine, struct od_job *job, int64_t free_slot)
{
    const bool every_row = job->all_logits || job->request->echo_prompt;
    const int64_t most = job->prompt_count - 1;  // the last prompt token's logits are needed
    int64_t source = -1;
    int64_t reuse = 0;
    for (int64_t i = 0; i < engine->slot_count && !every_row && !engine->options.no_prefix_reuse;
         i++) {
        const struct od_slot_state *slot = &engine->slots[i];
        const int64_t known = slot->job ? slot->job->done_count : slot->count;
        const int64_t same = common_prefix(slot->ids, known, job->prompt, most);
        if (same > reuse ||
            (same == reuse && same > 0 && !slot->job && source >= 0 && engine->slots[source].job)) {
            reuse = same;
            source = i;
        }
    }
    int64_t target = free_slot;
    if (source >= 0 && !engine->slots[source].job) {
        target = source;
    } else if (source >= 0) {
        copy_cache(engine, source, target, reuse);
    }
    struct od_slot_state *slot = &engine->slots[target];
    slot->job = job;
    memcpy(slot->ids, job->prompt, (size_t)job->prompt_count * sizeof *slot->ids);
    job->slot = target;
    job->done_count = reuse;
    engine->counts.reused_tokens += reuse;
    engine->counts.requests++;
}

// The free slot that was used least recently, or -1.
static int64_t find_free(const struct od_engine *engine)
{
    int64_t best = -1;
    for (int64_t i = 0; i < engine->slot_count; i++) {
        if (!engine->slots[i].job &&
            (best < 0 || engine->slots[i].used_at < engine->slots[best].used_at)) {
            best = i;
        }
    }
    return best;
}

// Under the lock: give waiting jobs slots.
static void admit(struct od_engine *engine)
{
    while (engine->first) {
        const int64_t slot = find_free(engine);
        if (slot < 0) {
            return;
        }
        struct od_job *job = engine->first;
        engine->first = job->next;
        if (!engine->first) {
            engine->last = NULL;
        }
        take_slot(engine, job, slot);
    }
}

// The rows of one pass.
struct pass {
    int64_t rows;
    int64_t logit_rows;
    int32_t *ids;
    int32_t *positions;
    int32_t *cache_slot;
    int32_t *logit_row;
};

static void add_rows(struct od_engine *engine, struct pass *pass, struct od_job *job, int64_t count)
{
    const bool every_row = job->all_logits || job->request->echo_prompt;
    for (int64_t i = 0; i < count; i++) {
        const int64_t position = job->done_count + i;
        pass->ids[pass->rows] = job->ids[position];
        pass->positions[pass->rows] = (int32_t)position;    // below the context
        pass->cache_slot[pass->rows] = (int32_t)job->slot;  // below OD_ENGINE_SLOTS_MAX
        if (every_row || position == job->count - 1) {
            pass->logit_row[pass->logit_rows++] = (int32_t)pass->rows;
        }
        pass->rows++;
    }
    engine->slots[job->slot].used_at = engine->pass_number;
}

// Rows of sequences that generate first, then as much of the prompts as fits.
static void collect(struct od_engine *engine, struct pass *pass)
{
    for (int prompts = 0; prompts < 2; prompts++) {
        for (int64_t i = 0; i < engine->slot_count; i++) {
            struct od_job *job = engine->slots[i].job;
            if (!job || (job->count - job->done_count > 1) != (prompts == 1)) {
                continue;
            }
            const int64_t left = engine->pass_tokens - pass->rows;
            const int64_t want = job->count - job->done_count;
            add_rows(engine, pass, job, want < left ? want : left);
        }
    }
}

// What the logits of one row mean to its job.
static void use_logits(struct od_engine *engine, struct od_job *job, const float *logits,
                       int64_t position)
{
    if (job->all_logits) {
        memcpy(job->all_logits + position * engine->spec.vocab, logits,
               (size_t)engine->spec.vocab * sizeof *logits);
    } else if (job->request->echo_prompt) {
        od_job_echo(engine, job, logits, position);
    }
    if (position == job->count - 1) {
        od_job_advance(engine, job, logits);
    }
}

static void run_pass(struct od_engine *engine)
{
    const struct od_program_io *io = &engine->program.io;
    float *const *tensors = engine->arrays.tensor;
    struct pass pass = {
        .ids = (int32_t *)(void *)tensors[io->ids],
        .positions = (int32_t *)(void *)tensors[io->positions],
        .cache_slot = (int32_t *)(void *)tensors[io->cache_slot],
        .logit_row = (int32_t *)(void *)tensors[io->logit_row],
    };
    collect(engine, &pass);
    struct od_batch batch = {.tokens = pass.rows,
                             .ids = pass.ids,
                             .positions = pass.positions,
                             .cache_slot = pass.cache_slot,
                             .cache_length = engine->context,
                             .logit_rows = pass.logit_rows,
                             .logit_row = pass.logit_row};
    const uint64_t allocations = od_alloc_count();
    for (int32_t i = 0; i < engine->program.op_count; i++) {
        od_cpu_run(&engine->cpu, &engine->program.ops[i], tensors, &batch);
    }
    engine->counts.pass_allocations += od_alloc_count() - allocations;
    engine->counts.passes++;
    engine->counts.rows += pass.rows;
    engine->pass_number++;
    for (int64_t i = 0; i < pass.rows; i++) {
        struct od_slot_state *slot = &engine->slots[pass.cache_slot[i]];
        slot->job->done_count++;
    }
    for (int64_t i = 0; i < pass.logit_rows; i++) {
        const int32_t row = pass.logit_row[i];
        struct od_slot_state *slot = &engine->slots[pass.cache_slot[row]];
        use_logits(engine, slot->job, tensors[io->logits] + i * engine->spec.vocab,
                   pass.positions[row]);
        if (slot->job->count <= engine->context) {
            slot->ids[slot->job->count - 1] = slot->job->ids[slot->job->count - 1];
        }
    }
}

// Under the lock: let finished jobs go.
static void release_finished(struct od_engine *engine, bool all)
{
    for (int64_t i = 0; i < engine->slot_count; i++) {
        struct od_slot_state *slot = &engine->slots[i];
        struct od_job *job = slot->job;
        if (!job || (!job->stopped && !all)) {
            continue;
        }
        if (!job->stopped) {
            job->status = od_fail(&job->error, OD_E_CANCELLED, "the engine is closing");
        }
        slot->count = job->done_count;
        slot->job = NULL;
        job->done = true;
        pthread_cond_broadcast(&engine->changed);
    }
    for (; all && engine->first; engine->first = engine->first->next) {
        engine->first->status =
            od_fail(&engine->first->error, OD_E_CANCELLED, "the engine is closing");
        engine->first->done = true;
        pthread_cond_broadcast(&engine->changed);
    }
}

// Under the lock: end what nobody waits for any more.
static void drop_unwanted(struct od_engine *engine)
{
    for (int64_t i = 0; i < engine->slot_count; i++) {
        struct od_job *job = engine->slots[i].job;
        if (job && job->request->cancel && atomic_load(job->request->cancel)) {
            job->status = od_fail(&job->error, OD_E_CANCELLED, "the request was given up");
            job->stopped = true;
        }
    }
    release_finished(engine, false);
}

static bool is_busy(const struct od_engine *engine)
{
    for (int64_t i = 0; i < engine->slot_count; i++) {
        if (engine->slots[i].job) {
            return true;
        }
    }
    return false;
}

static void serve(struct od_engine *engine)
{
    pthread_mutex_lock(&engine->lock);
    while (!engine->stop) {
        admit(engine);
        drop_unwanted(engine);
        if (!is_busy(engine)) {
            pthread_cond_wait(&engine->changed, &engine->lock);
            continue;
        }
        pthread_mutex_unlock(&engine->lock);
        run_pass(engine);
        pthread_mutex_lock(&engine->lock);
        release_finished(engine, false);
    }
    release_finished(engine, true);
    pthread_mutex_unlock(&engine->lock);
}

void *od_engine_main(void *argument)
{
    struct od_engine *engine = argument;
    struct od_error err = {0};
    enum od_status status =
        od_cpu_open(engine->options.threads, !engine->options.no_vector, &engine->cpu, &err);
    if (status == OD_OK) {
        status = open_model(engine, &err);
    }
    pthread_mutex_lock(&engine->lock);
    engine->open_status = status;
    engine->open_error = err;
    engine->ready = true;
    pthread_cond_broadcast(&engine->changed);
    pthread_mutex_unlock(&engine->lock);
    if (status == OD_OK) {
        serve(engine);
    }
    for (int64_t i = 0; i < engine->slot_count; i++) {
        od_free(engine->slots[i].ids);
    }
    od_free(engine->scratch);
    od_free(engine->packed_memory);
    od_free(engine->packed);
    od_arrays_release(&engine->arrays);
    od_plan_release(&engine->plan);
    od_program_release(&engine->program);
    od_cpu_close(&engine->cpu);
    return NULL;
}
