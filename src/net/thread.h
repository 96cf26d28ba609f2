/**
 * @file
 * Start a thread that leaves signals to the main thread: all are blocked in it, so a write to a
 * closed socket is an error there and never the end of the program.
 *
 * @thread Re-entrant.
 */
#ifndef OD_NET_THREAD_H
#define OD_NET_THREAD_H

#include <pthread.h>

#include "base/status.h"

/** pthread_create with all signals blocked in the new thread. @error OD_E_LIMIT: no more threads. */
enum od_status od_thread_start(pthread_t *ret_thread, void *(*run)(void *), void *argument,
                               struct od_error *err) OD_MUST_CHECK;

#endif
