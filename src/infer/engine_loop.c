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
#include "infer/adapters.h"
#include "infer/engine_internal.h"
#include "infer/pages.h"
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

// The cache beside the keys and values: who has which page, and what the head reads.
static enum od_status open_cache(struct od_engine *engine, struct od_error *err)
{
    int64_t floats = 0;
    enum od_status status =
        od_pages_init(&engine->pages, engine->cache_pages, engine->options.adapter_count + 1, err);
    if (status != OD_OK) {
        return status;
    }
    if (!od_count_mul(engine->cache_pages, OD_PAGE_ROWS, &floats) ||
        !od_count_mul(floats, engine->spec.channels, &floats)) {
        return od_fail(err, OD_E_LIMIT, "a cache of %lld pages is too large",
                       (long long)engine->cache_pages);
    }
    engine->hidden = od_alloc_large((size_t)floats, sizeof *engine->hidden);
    engine->page_table =
        od_alloc((size_t)(engine->slot_count * engine->table_pages), sizeof *engine->page_table);
    engine->logit_room = od_alloc((size_t)(2 * engine->pass_tokens), sizeof *engine->logit_room);
    engine->row_adapter = od_alloc((size_t)engine->pass_tokens, sizeof *engine->row_adapter);
    engine->scratch = od_alloc((size_t)engine->spec.vocab, sizeof *engine->scratch);
    if (!engine->hidden || !engine->page_table || !engine->logit_room || !engine->row_adapter ||
        !engine->scratch) {
        return od_fail(err, OD_E_MEMORY, "no memory for an engine");
    }
    return OD_OK;
}

static enum od_status open_model(struct od_engine *engine, struct od_error *err)
{
    const struct od_program_options program_options = {
        .mode = OD_PROGRAM_INFER,
        .tokens = engine->pass_tokens,
        .threads = od_pool_threads(engine->cpu.pool),
        .cache_slots = engine->cache_pages,
        .cache_length = OD_PAGE_ROWS,
        .positions = engine->table_pages * OD_PAGE_ROWS,
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
        od_spec_rope_table(&engine->spec, program_options.positions, engine->arrays.tensor[table]);
    }
    if (engine->options.adapter_count > 0) {
        status = od_adapter_set_open(&engine->program, engine->options.adapter_folders,
                                     engine->options.adapter_count, engine->pass_tokens,
                                     &engine->adapters, err);
    }
    if (status == OD_OK) {
        status = open_cache(engine, err);
    }
    return status == OD_OK ? pack_weights(engine, err) : status;
}

// Under the lock: give waiting jobs room, in the order in which they came.
static void admit(struct od_engine *engine)
{
    while (engine->first && od_schedule_admit(engine, engine->first)) {
        engine->first = engine->first->next;
    }
    if (!engine->first) {
        engine->last = NULL;
    }
}

// What the logits of one position mean to its job.
static void use_logits(struct od_engine *engine, struct od_job *job, const float *logits,
                       int64_t position)
{
    job->logits_next = position + 1;
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

// The head, on rows that lie in the cache: whether this pass computed them or an earlier one.
static void run_head(struct od_engine *engine, const struct od_pass *pass, struct od_batch *batch)
{
    const struct od_op *head = &engine->program.ops[engine->program.op_count - 1];
    float *const *tensors = engine->arrays.tensor;
    const int64_t c = engine->spec.channels;
    float *x = tensors[head->slot[OD_SLOT_X]];
    int32_t *logit_row = (int32_t *)(void *)tensors[engine->program.io.logit_row];
    for (int64_t i = 0; i < pass->logit_rows; i++) {
        const struct od_job *job = engine->slots[pass->logit_slot[i]];
        memcpy(x + i * c, od_schedule_hidden(engine, job, pass->logit_position[i]),
               (size_t)c * sizeof *x);
        logit_row[i] = (int32_t)i;  // at most pass_tokens
    }
    batch->logit_rows = pass->logit_rows;
    batch->logit_row = logit_row;
    od_cpu_run(&engine->cpu, head, tensors, batch);
}

// The rows of a pass through all layers, and what the head will read into the cache.
static void run_layers(struct od_engine *engine, const struct od_pass *pass, struct od_batch *batch)
{
    const struct od_program *program = &engine->program;
    const struct od_op *head = &program->ops[program->op_count - 1];
    float *const *tensors = engine->arrays.tensor;
    const int64_t c = engine->spec.channels;
    for (int32_t i = 0; i + 1 < program->op_count; i++) {
        od_cpu_run(&engine->cpu, &program->ops[i], tensors, batch);
        if (program->ops[i].kind == OD_OP_LINEAR && engine->adapters.count > 0) {
            od_adapter_set_apply(&engine->adapters, &engine->cpu, &program->ops[i], tensors,
                                 pass->adapter, pass->rows);
        }
    }
    for (int64_t i = 0; i < pass->rows; i++) {
        const struct od_job *job = engine->slots[pass->cache_slot[i]];
        memcpy(od_schedule_hidden(engine, job, pass->positions[i]),
               tensors[head->slot[OD_SLOT_X]] + i * c, (size_t)c * sizeof(float));
    }
    od_schedule_settle(engine, pass);
}

static void run_pass(struct od_engine *engine)
{
    const struct od_program_io *io = &engine->program.io;
    float *const *tensors = engine->arrays.tensor;
    struct od_pass pass = {
        .ids = (int32_t *)(void *)tensors[io->ids],
        .positions = (int32_t *)(void *)tensors[io->positions],
        .cache_slot = (int32_t *)(void *)tensors[io->cache_slot],
        .adapter = engine->row_adapter,
        .logit_slot = engine->logit_room,
        .logit_position = engine->logit_room + engine->pass_tokens,
    };
    const uint64_t allocations = od_alloc_count();
    od_schedule_collect(engine, &pass);
    struct od_batch batch = {.tokens = pass.rows,
                             .ids = pass.ids,
                             .positions = pass.positions,
                             .cache_slot = pass.cache_slot,
                             .cache_length = OD_PAGE_ROWS,
                             .page_table = engine->page_table,
                             .table_pages = engine->table_pages};
    if (pass.rows > 0) {
        run_layers(engine, &pass, &batch);
    }
    if (pass.logit_rows > 0) {
        run_head(engine, &pass, &batch);
    }
    engine->counts.pass_allocations += od_alloc_count() - allocations;
    engine->counts.passes++;
    engine->counts.rows += pass.rows;
    for (int64_t i = 0; i < pass.logit_rows; i++) {
        use_logits(engine, engine->slots[pass.logit_slot[i]],
                   tensors[io->logits] + i * engine->spec.vocab, pass.logit_position[i]);
    }
}

// Under the lock: tell a job's caller that it is over.
static void tell_done(struct od_job *job)
{
    job->done = true;
    (void)pthread_cond_signal(&job->changed);
}

// Under the lock: a job leaves, before or after it ran.
static void end_job(struct od_job *job, const char *why)
{
    job->status = od_fail(&job->error, OD_E_CANCELLED, "%s", why);
    job->stopped = true;
}

static bool is_unwanted(const struct od_job *job)
{
    return job->request->cancel && atomic_load(job->request->cancel);
}

// Under the lock: let finished jobs go and tell the callers of others how far they are.
static void tell_callers(struct od_engine *engine)
{
    for (int64_t i = engine->running_count - 1; i >= 0; i--) {
        struct od_job *job = engine->running[i];
        if (job->stopped) {
            od_schedule_release(engine, job);
            tell_done(job);
        } else if (job->published != job->answer_count) {
            job->published = job->answer_count;
            if (job->request->on_piece) {
                (void)pthread_cond_signal(&job->changed);
            }
        }
    }
    engine->counts.running = engine->running_count;
    engine->counts.pages = engine->pages.count;
    engine->counts.pages_free = engine->pages.free_count;
    engine->counts.pages_idle = engine->pages.idle_count;
    engine->counts.pages_evicted = engine->pages.evicted_count;
}

// Under the lock: end what nobody waits for any more, or everything.
static void drop_jobs(struct od_engine *engine, bool all)
{
    const char *why = all ? "the engine is closing" : "the request was given up";
    for (int64_t i = 0; i < engine->running_count; i++) {
        if (all || is_unwanted(engine->running[i])) {
            end_job(engine->running[i], why);
        }
    }
    struct od_job **link = &engine->first;
    engine->last = NULL;
    while (*link) {
        struct od_job *job = *link;
        if (all || is_unwanted(job)) {
            *link = job->next;
            end_job(job, why);
            tell_done(job);
        } else {
            engine->last = job;
            link = &job->next;
        }
    }
    tell_callers(engine);
}

static void serve(struct od_engine *engine)
{
    (void)pthread_mutex_lock(&engine->lock);
    while (!engine->stop) {
        drop_jobs(engine, /* all= */ false);
        admit(engine);
        if (engine->running_count == 0) {
            (void)pthread_cond_wait(&engine->changed, &engine->lock);
            continue;
        }
        (void)pthread_mutex_unlock(&engine->lock);
        run_pass(engine);
        (void)pthread_mutex_lock(&engine->lock);
    }
    drop_jobs(engine, /* all= */ true);
    (void)pthread_mutex_unlock(&engine->lock);
}

static void close_model(struct od_engine *engine)
{
    od_free(engine->scratch);
    od_free(engine->row_adapter);
    od_free(engine->logit_room);
    od_free(engine->page_table);
    od_free(engine->hidden);
    od_pages_release(&engine->pages);
    od_adapter_set_release(&engine->adapters);
    od_free(engine->packed_memory);
    od_free(engine->packed);
    od_arrays_release(&engine->arrays);
    od_plan_release(&engine->plan);
    od_program_release(&engine->program);
    od_cpu_close(&engine->cpu);
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
    (void)pthread_mutex_lock(&engine->lock);
    engine->open_status = status;
    engine->open_error = err;
    engine->ready = true;
    (void)pthread_cond_broadcast(&engine->changed);
    (void)pthread_mutex_unlock(&engine->lock);
    if (status == OD_OK) {
        serve(engine);
    }
    close_model(engine);
    return NULL;
}
