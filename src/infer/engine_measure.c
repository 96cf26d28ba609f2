// The engine from the side of tests and measurements: logits, times, what a pass reads.

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/status.h"
#include "infer/engine.h"
#include "infer/engine_internal.h"
#include "infer/machine.h"
#include "infer/responder.h"

enum od_status od_engine_logits(struct od_engine *engine, const int32_t *ids, int64_t count,
                                float *logits, struct od_error *err)
{
    const struct od_process_request request = {.prompt = "", .top_logprobs = 1, .top_p = 1.0};
    struct od_job job = {.request = &request,
                         .prompt = ids,
                         .prompt_count = count,
                         .all_logits = logits,
                         .adapter = -1,
                         .finish = OD_FINISH_UNKNOWN};
    struct od_arena arena;
    enum od_status status = OD_OK;
    if (count < 1 || count > engine->context) {
        return od_fail(err, OD_E_ARGUMENT, "%lld tokens do not fit the context of %lld",
                       (long long)count, (long long)engine->context);
    }
    od_arena_init(&arena, (size_t)1 << 30);
    if (!od_job_make_room(&job, &arena)) {
        status = od_fail(err, OD_E_MEMORY, "no memory for a request");
    }
    if (status == OD_OK) {
        status = od_engine_submit(engine, &job, NULL, NULL, err);
    }
    od_arena_release(&arena);
    return status;
}

// A job and the memory that it needs.
struct timed {
    struct od_job job;
    struct od_arena arena;
};

static enum od_status timed_init(const struct od_engine *engine,
                                 const struct od_process_request *request,
                                 const struct od_engine_timing *timing, struct timed *timed,
                                 struct od_error *err)
{
    timed->job = (struct od_job){.request = request,
                                 .prompt = timing->ids,
                                 .prompt_count = timing->count,
                                 .max_new = timing->new_count,
                                 .token_s = timing->token_s,
                                 .cpu_s = timing->cpu_s,
                                 .adapter = -1,
                                 .finish = OD_FINISH_UNKNOWN};
    od_arena_init(&timed->arena, (size_t)1 << 30);
    od_buf_init(&timed->job.text, (size_t)256 << 20);
    if (timing->count < 1 || timing->new_count < 1 ||
        timing->new_count > engine->context - timing->count) {
        return od_fail(
            err, OD_E_ARGUMENT, "%lld tokens and %lld new ones do not fit the context of %lld",
            (long long)timing->count, (long long)timing->new_count, (long long)engine->context);
    }
    return od_job_make_room(&timed->job, &timed->arena)
               ? OD_OK
               : od_fail(err, OD_E_MEMORY, "no memory for a request");
}

// All of them into the queue at once, then wait.
static enum od_status run_all(struct od_engine *engine, struct timed *timed, int64_t count,
                              struct od_error *err)
{
    enum od_status status = OD_OK;
    int64_t queued = 0;
    (void)pthread_mutex_lock(&engine->lock);
    while (status == OD_OK && queued < count) {
        status = od_engine_queue(engine, &timed[queued].job, err);
        queued += status == OD_OK;
    }
    for (int64_t i = 0; i < queued; i++) {
        struct od_job *job = &timed[i].job;
        while (!job->done) {
            (void)pthread_cond_wait(&job->changed, &engine->lock);
        }
        (void)pthread_cond_destroy(&job->changed);
        if (status == OD_OK && job->status != OD_OK) {
            status = job->status;
            if (err) {
                *err = job->error;
            }
        }
    }
    (void)pthread_mutex_unlock(&engine->lock);
    return status;
}

enum od_status od_engine_time(struct od_engine *engine, struct od_engine_timing *timings,
                              int64_t count, struct od_error *err)
{
    const struct od_process_request request = {.prompt = "", .top_logprobs = 1, .top_p = 1.0};
    struct timed *timed = od_alloc((size_t)count, sizeof *timed);
    int64_t ready = 0;
    enum od_status status = OD_OK;
    if (!timed) {
        return od_fail(err, OD_E_MEMORY, "no memory for %lld sequences", (long long)count);
    }
    for (; status == OD_OK && ready < count; ready++) {
        status = timed_init(engine, &request, &timings[ready], &timed[ready], err);
    }
    const double start = od_clock_s();
    const double start_cpu = od_processor_s();
    if (status == OD_OK) {
        status = run_all(engine, timed, count, err);
    }
    for (int64_t i = 0; i < ready; i++) {
        timings[i].start_s = start;
        timings[i].start_cpu_s = start_cpu;
        od_buf_release(&timed[i].job.text);
        od_arena_release(&timed[i].arena);
    }
    od_free(timed);
    return status;
}

const void *od_engine_weights(const struct od_engine *engine, size_t *ret_bytes)
{
    *ret_bytes = engine->machine->weight_bytes;
    return engine->machine->weights;
}

int od_engine_threads(const struct od_engine *engine)
{
    return engine->machine->threads;
}
