/**
 * @file
 * What the server counts, for GET /metrics in the text format of Prometheus.
 *
 * @source Prometheus, "Exposition formats", text-based format 0.0.4.
 * @thread Counting is atomic: from any thread.
 */
#ifndef OD_SERVE_METRICS_H
#define OD_SERVE_METRICS_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/memory.h"

enum { OD_METRICS_PATHS = 16, OD_METRICS_CODES = 12, OD_METRICS_BUCKETS = 10 };

struct od_serve_metrics {
    atomic_uint_least64_t requests[OD_METRICS_PATHS][OD_METRICS_CODES];
    atomic_uint_least64_t buckets[OD_METRICS_PATHS][OD_METRICS_BUCKETS];
    atomic_uint_least64_t nanoseconds[OD_METRICS_PATHS];
    atomic_uint_least64_t prompt_tokens;
    atomic_uint_least64_t answer_tokens;
};

/** Count an answer with status `code` to path number `path`. */
void od_metrics_count(struct od_serve_metrics *metrics, int path, int code, double seconds);

/** Append all lines; `paths` [count] names the path numbers, `waiting` are requests inside. */
void od_metrics_write(struct od_serve_metrics *metrics, const char *const *paths, int count,
                      int64_t waiting, struct od_buf *out);

#endif
