#include "eval/runner.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/status.h"
#include "base/threads.h"
#include "eval/adapter.h"
#include "eval/instance.h"
#include "eval/run.h"
#include "eval/run_spec.h"
#include "eval/shared.h"

// What is done with a run, in this order. Fit and ask have a job for each request, the others one.
enum phase { PHASE_OPEN, PHASE_FIT, PHASE_ORDER, PHASE_ASK, PHASE_FINISH, PHASE_DONE };

// A run under way. The jobs of a phase are handed out from the first on.
struct slot {
    size_t place;  // of the run in the list
    enum phase phase;
    size_t next;  // job of the phase
    size_t done;  // jobs of the phase that are done
    size_t in_flight;
    bool skipped;
    enum od_status status;
    size_t failed_at;
    struct od_error error;
    double start_s;
    struct od_run run;
};

// The runs of an evaluation. Threads take a job of the first run that has one, and open another run
// when there is none.
struct board {
    const struct od_eval_config *config;
    const struct od_run_spec *const *specs;
    size_t count;
    od_run_done_fn on_done;
    void *done_context;
    struct od_shared shared;
    pthread_mutex_t lock;  // for all below
    pthread_cond_t changed;
    size_t next;          // run that is opened next
    struct slot **slots;  // open runs, in the order of the list
    size_t slot_count;
    size_t slot_capacity;
    enum od_status status;  // not OD_OK: everything ends
    struct od_error error;
    size_t runs_done;
    int64_t answers;
    struct od_progress progress;
};

// A piece of work.
struct job {
    struct slot *slot;
    enum phase phase;
    size_t index;
};

enum od_status od_eval_suite_folder(const struct od_eval_config *config, char *out,
                                    struct od_error *err)
{
    const int written =
        snprintf(out, OD_PATH_MAX_BYTES, "%s/runs/%s", config->output, config->suite);
    if (written < 0 || written >= OD_PATH_MAX_BYTES) {
        return od_fail(err, OD_E_LIMIT, "the path of suite '%s' is too long", config->suite);
    }
    return OD_OK;
}

// ------------------------------------------------------------------ jobs

static size_t job_count(const struct slot *slot)
{
    return slot->phase == PHASE_FIT || slot->phase == PHASE_ASK ? slot->run.states.count : 1;
}

// The first request of a run goes ahead of the others: what they have in common is then in the
// server's cache when they come.
static bool waits_for_first(const struct slot *slot)
{
    return slot->phase == PHASE_ASK && slot->next > 0 && slot->done == 0;
}

static bool name_is_open(const struct board *board, const char *name)
{
    for (size_t i = 0; i < board->slot_count; i++) {
        if (strcmp(board->specs[board->slots[i]->place]->name, name) == 0) {
            return true;
        }
    }
    return false;
}

// Open the next run, unless enough are open or one of the same folder is. Sets board->status
// without memory.
static struct slot *open_next(struct board *board)
{
    if (board->next == board->count || board->slot_count == board->slot_capacity ||
        name_is_open(board, board->specs[board->next]->name)) {
        return NULL;
    }
    struct slot *slot = od_alloc(1, sizeof *slot);
    if (!slot) {
        board->status = od_fail(&board->error, OD_E_MEMORY, "no memory for a run");
        return NULL;
    }
    slot->place = board->next++;
    slot->start_s = od_clock_s();
    board->slots[board->slot_count++] = slot;
    od_log(OD_LOG_INFO, "run %zu of %zu: %s", slot->place + 1, board->count,
           board->specs[slot->place]->name);
    return slot;
}

static bool take(struct board *board, struct job *job)
{
    struct slot *slot = NULL;
    for (size_t i = 0; i < board->slot_count && !slot; i++) {
        struct slot *one = board->slots[i];
        if (one->status == OD_OK && one->next < job_count(one) && !waits_for_first(one)) {
            slot = one;
        }
    }
    if (!slot) {
        slot = open_next(board);
    }
    if (!slot) {
        return false;
    }
    slot->in_flight++;
    *job = (struct job){slot, slot->phase, slot->next++};
    return true;
}

// Without the lock.
static enum od_status perform(struct board *board, const struct job *job, struct od_error *err)
{
    struct od_run *run = &job->slot->run;
    switch (job->phase) {
    case PHASE_OPEN:
        return od_run_open(run, board->config, board->specs[job->slot->place], &board->shared,
                           &job->slot->skipped, err);
    case PHASE_FIT: return od_run_fit(run, job->index, err);
    case PHASE_ORDER: return od_run_order(run, err);
    case PHASE_ASK: return od_run_ask(run, job->index, err);
    case PHASE_FINISH: return od_run_finish(run, err);
    case PHASE_DONE: break;
    }
    return OD_OK;
}

static size_t request_of(const struct job *job)
{
    return job->phase == PHASE_ASK ? job->slot->run.order[job->index] : job->index;
}

// Of several failures that of the first request stands.
static void note_failure(const struct job *job, enum od_status status, struct od_error *error)
{
    struct slot *slot = job->slot;
    const size_t at = request_of(job);
    if (slot->status == OD_OK || at < slot->failed_at) {
        if (job->phase == PHASE_FIT || job->phase == PHASE_ASK) {
            od_error_prefix(error, "instance '%s'", slot->run.states.items[at].instance->id);
        }
        slot->status = status;
        slot->failed_at = at;
        slot->error = *error;
    }
}

// ------------------------------------------------------------------ ends of runs

static void show_progress(struct board *board)
{
    char note[64];
    if (board->config->show_progress) {
        (void)snprintf(note, sizeof note, "%lld answers", (long long)board->answers);
        od_progress_show(&board->progress, (int64_t)board->runs_done, note);
    }
}

static void remove_slot(struct board *board, struct slot *slot)
{
    size_t at = 0;
    while (board->slots[at] != slot) {
        at++;
    }
    memmove(&board->slots[at], &board->slots[at + 1],
            (--board->slot_count - at) * sizeof *board->slots);
    od_run_release(&slot->run);
    od_free(slot);
}

static void end_run(struct board *board, struct slot *slot)
{
    const struct od_run_outcome outcome = {.skipped = slot->skipped,
                                           .requests = (int64_t)slot->run.states.count,
                                           .seconds = od_clock_s() - slot->start_s};
    if (slot->status != OD_OK) {
        od_error_prefix(&slot->error, "run '%s'", board->specs[slot->place]->name);
    }
    if (slot->status == OD_E_CANCELLED && board->status == OD_OK) {
        board->status = slot->status;
        board->error = slot->error;
    }
    board->on_done(board->done_context, slot->place, &outcome, slot->status, &slot->error);
    board->runs_done++;
    show_progress(board);
    remove_slot(board, slot);
}

// A job is done: go to the next phase, or end the run.
static void settle(struct board *board, const struct job *job, enum od_status status,
                   struct od_error *error)
{
    struct slot *slot = job->slot;
    slot->in_flight--;
    if (status != OD_OK) {
        note_failure(job, status, error);
    } else {
        slot->done++;
    }
    if (job->phase == PHASE_ASK && status == OD_OK) {
        board->answers++;
        show_progress(board);
    }
    while (slot->status == OD_OK && slot->phase != PHASE_DONE && slot->done == job_count(slot)) {
        slot->phase = slot->skipped ? PHASE_DONE : (enum phase)(slot->phase + 1);
        slot->next = 0;
        slot->done = 0;
    }
    if (slot->in_flight == 0 && (slot->status != OD_OK || slot->phase == PHASE_DONE)) {
        end_run(board, slot);
    }
}

// ------------------------------------------------------------------ threads

static void work(void *context, int64_t first, int64_t last, int thread)
{
    struct board *board = context;
    struct job job = {0};
    (void)first;
    (void)last;
    (void)thread;
    (void)pthread_mutex_lock(&board->lock);
    while (board->status == OD_OK) {
        if (take(board, &job)) {
            struct od_error error = {0};
            (void)pthread_mutex_unlock(&board->lock);
            const enum od_status status = perform(board, &job, &error);
            (void)pthread_mutex_lock(&board->lock);
            settle(board, &job, status, &error);
            (void)pthread_cond_broadcast(&board->changed);
        } else if (board->slot_count == 0 && board->next == board->count) {
            break;
        } else if (board->status == OD_OK) {
            (void)pthread_cond_wait(&board->changed, &board->lock);
        }
    }
    (void)pthread_cond_broadcast(&board->changed);
    (void)pthread_mutex_unlock(&board->lock);
}

enum od_status od_eval_runs(const struct od_eval_config *config,
                            const struct od_run_spec *const *specs, size_t count,
                            od_run_done_fn on_done, void *context, struct od_error *err)
{
    struct board board = {.config = config,
                          .specs = specs,
                          .count = count,
                          .on_done = on_done,
                          .done_context = context};
    struct od_pool *pool = NULL;
    enum od_status status = od_pool_create(config->threads, &pool, err);
    if (status != OD_OK) {
        return status;
    }
    board.slot_capacity = (size_t)od_pool_threads(pool);
    board.slots = od_alloc(board.slot_capacity, sizeof *board.slots);
    if (!board.slots) {
        od_pool_free(pool);
        return od_fail(err, OD_E_MEMORY, "no memory for a list of runs");
    }
    od_shared_init(&board.shared);
    (void)pthread_mutex_init(&board.lock, NULL);
    (void)pthread_cond_init(&board.changed, NULL);
    if (config->show_progress) {
        od_progress_start(&board.progress, "runs", (int64_t)count);
    }
    od_pool_run(pool, od_pool_threads(pool), 1, work, &board);
    if (config->show_progress) {
        od_progress_end(&board.progress, (int64_t)board.runs_done, "");
    }
    while (board.slot_count > 0) {
        remove_slot(&board, board.slots[0]);
    }
    if (board.status != OD_OK && err) {
        *err = board.error;
    }
    (void)pthread_cond_destroy(&board.changed);
    (void)pthread_mutex_destroy(&board.lock);
    od_shared_release(&board.shared);
    od_free(board.slots);
    od_pool_free(pool);
    return board.status;
}

// What od_eval_run hears of its run.
struct heard {
    struct od_run_outcome outcome;
    enum od_status status;
    struct od_error error;
};

static void hear(void *context, size_t place, const struct od_run_outcome *outcome,
                 enum od_status status, const struct od_error *error)
{
    struct heard *heard = context;
    (void)place;
    heard->outcome = *outcome;
    heard->status = status;
    heard->error = *error;
}

enum od_status od_eval_run(const struct od_eval_config *config, const struct od_run_spec *spec,
                           struct od_run_outcome *ret, struct od_error *err)
{
    struct heard heard = {0};
    const enum od_status status = od_eval_runs(config, &spec, 1, hear, &heard, err);
    if (status != OD_OK) {
        return status;
    }
    if (heard.status != OD_OK) {
        if (err) {
            *err = heard.error;
        }
        return heard.status;
    }
    *ret = heard.outcome;
    return OD_OK;
}
