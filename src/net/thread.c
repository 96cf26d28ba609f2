#include "net/thread.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>

#include "base/status.h"

enum od_status od_thread_start(pthread_t *ret_thread, void *(*run)(void *), void *argument,
                               struct od_error *err)
{
    sigset_t all;
    sigset_t before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_BLOCK, &all, &before);  // a new thread inherits the mask
    const int error = pthread_create(ret_thread, NULL, run, argument);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error != 0) {
        return od_fail(err, OD_E_LIMIT, "cannot start a thread: %s", strerror(error));
    }
    return OD_OK;
}
