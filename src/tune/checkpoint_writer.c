#include "tune/checkpoint_writer.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/status.h"
#include "tune/checkpoint.h"
#include "tune/session.h"

struct od_checkpoint_writer {
    const struct od_session *session;
    char folder[OD_PATH_MAX_BYTES];
    struct od_checkpoint_state state;
    int64_t keep;
    int64_t protect;
    double begin_s;
    pthread_t thread;
    // of the thread, until it is joined
    enum od_status status;
    struct od_error err;
    double seconds;
    atomic_bool done;
};

static void *write_one(void *argument)
{
    struct od_checkpoint_writer *w = argument;
    w->status =
        od_checkpoint_write_fetched(w->session, w->folder, &w->state, w->keep, w->protect, &w->err);
    w->seconds = od_clock_s() - w->begin_s;
    atomic_store(&w->done, true);
    return NULL;
}

enum od_status od_checkpoint_begin(struct od_checkpoint_writer **writer,
                                   const struct od_session *session, const char *folder,
                                   const struct od_checkpoint_state *state, int64_t keep,
                                   int64_t protect, struct od_error *err)
{
    enum od_status status = od_checkpoint_settle(writer, NULL, err);
    const double begin_s = od_clock_s();
    if (status != OD_OK || (status = od_session_fetch(session, err)) != OD_OK) {
        return status;
    }
    struct od_checkpoint_writer *w = od_alloc(1, sizeof *w);
    if (!w) {
        return od_fail(err, OD_E_MEMORY, "no memory for a checkpoint");
    }
    *w = (struct od_checkpoint_writer){
        .session = session, .state = *state, .keep = keep, .protect = protect, .begin_s = begin_s};
    (void)snprintf(w->folder, sizeof w->folder, "%s", folder);
    const int error = pthread_create(&w->thread, NULL, write_one, w);
    if (error != 0) {
        od_free(w);
        return od_fail(err, OD_E_LIMIT, "cannot start a thread for a checkpoint: %s",
                       strerror(error));
    }
    *writer = w;
    return OD_OK;
}

bool od_checkpoint_is_done(const struct od_checkpoint_writer *writer)
{
    return !writer || atomic_load(&writer->done);
}

enum od_status od_checkpoint_settle(struct od_checkpoint_writer **writer, double *ret_seconds,
                                    struct od_error *err)
{
    struct od_checkpoint_writer *w = *writer;
    if (ret_seconds) {
        *ret_seconds = 0.0;
    }
    if (!w) {
        return OD_OK;
    }
    (void)pthread_join(w->thread, NULL);
    const enum od_status status = w->status;
    if (status != OD_OK) {
        od_error_set(err, status, "%s", w->err.message);
    }
    if (ret_seconds) {
        *ret_seconds = w->seconds;
    }
    od_free(w);
    *writer = NULL;
    return status;
}
