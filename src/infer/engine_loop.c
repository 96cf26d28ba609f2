// The thread that owns the model: opens it, admits requests, makes passes.

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "infer/engine_internal.h"
#include "infer/machine.h"
#include "infer/pages.h"

static enum od_status open_model(struct od_engine *engine, struct od_error *err)
{
    const size_t table = (size_t)(engine->slot_count * engine->table_pages);
    engine->page_table = od_alloc(table, sizeof *engine->page_table);
    engine->logit_room = od_alloc((size_t)(3 * engine->pass_tokens), sizeof *engine->logit_room);
    engine->row_adapter = od_alloc((size_t)engine->pass_tokens, sizeof *engine->row_adapter);
    engine->scratch = od_alloc((size_t)engine->spec.vocab, sizeof *engine->scratch);
    if (!engine->page_table || !engine->logit_room || !engine->row_adapter || !engine->scratch) {
        return od_fail(err, OD_E_MEMORY, "no memory for an engine");
    }
    const struct od_machine_options options = {.spec = &engine->spec,
                                               .place = &engine->place,
                                               .engine = &engine->options,
                                               .pass_tokens = engine->pass_tokens,
                                               .slot_count = engine->slot_count,
                                               .table_pages = engine->table_pages,
                                               .cache_pages = engine->cache_pages,
                                               .page_table = engine->page_table};
    const enum od_status status = engine->options.on_gpu
                                      ? od_machine_open_gpu(&options, &engine->machine, err)
                                      : od_machine_open_cpu(&options, &engine->machine, err);
    return status == OD_OK ? od_pages_init(&engine->pages, engine->machine->cache_pages,
                                           engine->options.adapter_count + 1, err)
                           : status;
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

// False: the machine failed, and `engine->run_error` says why.
static bool run_pass(struct od_engine *engine)
{
    struct od_machine *machine = engine->machine;
    struct od_pass pass = {
        .ids = machine->ids,
        .positions = machine->positions,
        .cache_slot = machine->cache_slot,
        .adapter = engine->row_adapter,
        .logit_slot = engine->logit_room,
        .logit_position = engine->logit_room + engine->pass_tokens,
        .logit_adapter = engine->logit_room + 2 * engine->pass_tokens,
    };
    const uint64_t allocations = od_alloc_count();
    od_schedule_collect(engine, &pass);
    if (machine->run(machine, &pass, &engine->run_error) != OD_OK) {
        return false;
    }
    od_schedule_settle(engine, &pass);
    engine->counts.pass_allocations += od_alloc_count() - allocations;
    engine->counts.passes++;
    engine->counts.rows += pass.rows;
    for (int64_t i = 0; i < pass.logit_rows; i++) {
        use_logits(engine, engine->slots[pass.logit_slot[i]],
                   machine->logits + i * machine->logits_stride, pass.logit_position[i]);
    }
    return true;
}

// Under the lock: tell a job's caller that it is over.
static void tell_done(struct od_job *job)
{
    job->done = true;
    (void)pthread_cond_signal(&job->changed);
}

// Under the lock: a job leaves, before or after it ran.
static void end_job(struct od_job *job, const struct od_error *why)
{
    job->status = why->status;
    job->error = *why;
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
    struct od_error given_up = {0};
    od_error_set(&given_up, OD_E_CANCELLED, "%s",
                 all ? "the engine is closing" : "the request was given up");
    const bool failed = engine->run_error.status != OD_OK;
    const struct od_error *why = all && failed ? &engine->run_error : &given_up;
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

// Until the end, or until the machine fails: from then on every request fails, and says why.
static void serve(struct od_engine *engine)
{
    bool works = true;
    (void)pthread_mutex_lock(&engine->lock);
    while (!engine->stop) {
        drop_jobs(engine, /* all= */ !works);
        if (works) {
            admit(engine);
        }
        if (engine->running_count == 0) {
            (void)pthread_cond_wait(&engine->changed, &engine->lock);
            continue;
        }
        (void)pthread_mutex_unlock(&engine->lock);
        works = run_pass(engine);
        (void)pthread_mutex_lock(&engine->lock);
    }
    drop_jobs(engine, /* all= */ true);
    (void)pthread_mutex_unlock(&engine->lock);
}

static void close_model(struct od_engine *engine)
{
    if (engine->machine) {
        engine->machine->close(engine->machine);
    }
    od_pages_release(&engine->pages);
    od_free(engine->scratch);
    od_free(engine->row_adapter);
    od_free(engine->logit_room);
    od_free(engine->page_table);
}

void *od_engine_main(void *argument)
{
    struct od_engine *engine = argument;
    struct od_error err = {0};
    const enum od_status status = open_model(engine, &err);
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
