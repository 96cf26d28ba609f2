/**
 * @file
 * A pool of threads that splits work by index, never by arrival, so that results do not depend on
 * how many threads there are or which is faster.
 *
 * @thread One owner: the thread that made the pool calls run and free.
 */
#ifndef OD_BASE_THREADS_H
#define OD_BASE_THREADS_H

#include <stdint.h>

#include "base/status.h"

enum { OD_THREADS_MAX = 256 };

struct od_pool;

/** Work on items [first, last) as thread `thread` (0 .. threads-1) of the pool. */
typedef void (*od_pool_fn)(void *context, int64_t first, int64_t last, int thread);

/**
 * A pool of `threads` threads (the caller counts as one); 0 means the processors that this process
 * may use. @memory Gives: free with od_pool_free.
 */
enum od_status od_pool_create(int threads, struct od_pool **ret_pool,
                              struct od_error *err) OD_MUST_CHECK;
void od_pool_free(struct od_pool *pool);

/** Number of threads. */
int od_pool_threads(const struct od_pool *pool);

/**
 * Split 0..count-1 into one contiguous part per thread (sizes differ by at most one `grain`, and
 * parts start at multiples of it) and call `fn` for each part that is not empty. Returns when all
 * are done. Allocates nothing.
 */
void od_pool_run(struct od_pool *pool, int64_t count, int64_t grain, od_pool_fn fn, void *context);

#endif
