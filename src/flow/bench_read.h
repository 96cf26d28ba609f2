/**
 * @file
 * How fast the threads of a pool read memory and do nothing else: what products of few rows, which read
 * every weight for each of them, stand beside.
 *
 * @thread One owner of the pool.
 */
#ifndef OD_FLOW_BENCH_READ_H
#define OD_FLOW_BENCH_READ_H

#include <stddef.h>

#include "base/threads.h"

/** Read `bytes` at `data`, aligned to 8, once, in four streams for each thread. */
void od_bench_read(struct od_pool *pool, const void *data, size_t bytes);

#endif
