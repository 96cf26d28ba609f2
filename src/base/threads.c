#include "base/threads.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"

enum { SPINS_BEFORE_SLEEP = 2000 };

struct worker {
    pthread_t id;
    struct od_pool *pool;
    int index;
};

struct od_pool {
    int threads;
    int started;  // workers that exist
    struct worker workers[OD_THREADS_MAX];
    pthread_mutex_t lock;
    pthread_cond_t work;      // a new round, or the end
    pthread_cond_t finished;  // the last worker is done
    atomic_uint_least64_t round;
    atomic_int running;
    bool stop;
    int64_t count;
    int64_t grain;
    od_pool_fn fn;
    void *context;
};

static void run_part(struct od_pool *pool, int thread)
{
    const int64_t grains = (pool->count + pool->grain - 1) / pool->grain;
    int64_t first = grains * thread / pool->threads * pool->grain;
    int64_t last = grains * (thread + 1) / pool->threads * pool->grain;
    if (last > pool->count) {
        last = pool->count;
    }
    if (first < last) {
        pool->fn(pool->context, first, last, thread);
    }
}

// Where a pool has a thread for each processor, each of its workers keeps to one: woken for a round of
// a few milliseconds, two threads were seen to share a processor for seconds while the other idled.
// The caller's thread stays free and goes where there is room.
static void keep_to_own_processor(const struct worker *self)
{
    cpu_set_t set;
    cpu_set_t own;
    int nth = 0;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof set, &set) != 0 || CPU_COUNT(&set) != self->pool->threads) {
        return;
    }
    for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, &set) && nth++ == self->index) {
            CPU_ZERO(&own);
            CPU_SET(cpu, &own);
            (void)sched_setaffinity(0, sizeof own, &own);  // a wish: nothing depends on it
            return;
        }
    }
}

static void *worker_main(void *argument)
{
    const struct worker *self = argument;
    struct od_pool *pool = self->pool;
    uint64_t seen = 0;
    keep_to_own_processor(self);
    for (;;) {
        for (int spin = 0; spin < SPINS_BEFORE_SLEEP && atomic_load(&pool->round) == seen; spin++) {
            __builtin_ia32_pause();
        }
        pthread_mutex_lock(&pool->lock);
        while (atomic_load(&pool->round) == seen && !pool->stop) {
            pthread_cond_wait(&pool->work, &pool->lock);
        }
        seen = atomic_load(&pool->round);
        const bool stop = pool->stop;
        pthread_mutex_unlock(&pool->lock);
        if (stop) {
            return NULL;
        }
        run_part(pool, self->index);
        if (atomic_fetch_sub(&pool->running, 1) == 1) {
            pthread_mutex_lock(&pool->lock);
            pthread_cond_signal(&pool->finished);
            pthread_mutex_unlock(&pool->lock);
        }
    }
}

static int processors(void)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof set, &set) != 0) {
        return 1;
    }
    const int count = CPU_COUNT(&set);
    return count < 1 ? 1 : count;
}

enum od_status od_pool_create(int threads, struct od_pool **ret_pool, struct od_error *err)
{
    if (threads < 0 || threads > OD_THREADS_MAX) {
        return od_fail(err, OD_E_ARGUMENT, "threads must be between 0 and %d, not %d",
                       OD_THREADS_MAX, threads);
    }
    struct od_pool *pool = od_alloc(1, sizeof *pool);
    if (!pool) {
        return od_fail(err, OD_E_MEMORY, "no memory for a thread pool");
    }
    if (threads == 0) {
        threads = processors();
    }
    pool->threads = threads > OD_THREADS_MAX ? OD_THREADS_MAX : threads;
    (void)pthread_mutex_init(&pool->lock, NULL);
    (void)pthread_cond_init(&pool->work, NULL);
    (void)pthread_cond_init(&pool->finished, NULL);
    for (int i = 1; i < pool->threads; i++) {
        struct worker *worker = &pool->workers[i];
        *worker = (struct worker){.pool = pool, .index = i};
        const int error = pthread_create(&worker->id, NULL, worker_main, worker);
        if (error != 0) {
            od_pool_free(pool);
            return od_fail(err, OD_E_MEMORY, "cannot start thread %d: %s", i, strerror(error));
        }
        pool->started = i;
    }
    *ret_pool = pool;
    return OD_OK;
}

void od_pool_free(struct od_pool *pool)
{
    if (!pool) {
        return;
    }
    pthread_mutex_lock(&pool->lock);
    pool->stop = true;
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->lock);
    for (int i = 1; i <= pool->started; i++) {
        (void)pthread_join(pool->workers[i].id, NULL);
    }
    (void)pthread_cond_destroy(&pool->finished);
    (void)pthread_cond_destroy(&pool->work);
    (void)pthread_mutex_destroy(&pool->lock);
    od_free(pool);
}

int od_pool_threads(const struct od_pool *pool)
{
    return pool->threads;
}

void od_pool_run(struct od_pool *pool, int64_t count, int64_t grain, od_pool_fn fn, void *context)
{
    if (count <= 0) {
        return;
    }
    if (pool->threads == 1 || count <= grain) {
        fn(context, 0, count, 0);
        return;
    }
    pthread_mutex_lock(&pool->lock);
    pool->count = count;
    pool->grain = grain;
    pool->fn = fn;
    pool->context = context;
    atomic_store(&pool->running, pool->threads - 1);
    atomic_fetch_add(&pool->round, 1);
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->lock);
    run_part(pool, 0);
    for (int spin = 0; spin < SPINS_BEFORE_SLEEP && atomic_load(&pool->running) > 0; spin++) {
        __builtin_ia32_pause();
    }
    pthread_mutex_lock(&pool->lock);
    while (atomic_load(&pool->running) > 0) {
        pthread_cond_wait(&pool->finished, &pool->lock);
    }
    pthread_mutex_unlock(&pool->lock);
}
