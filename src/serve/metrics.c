#include "serve/metrics.h"

#include <stdatomic.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/text.h"

/** Status codes that are counted by name; the last stands for all others. */
static const int CODES[OD_METRICS_CODES] = {200, 400, 401, 404, 405, 413,
                                            422, 429, 500, 501, 503, 0};

/** Upper ends of the buckets in seconds; what is longer is counted in the sum only. */
static const double BUCKETS[OD_METRICS_BUCKETS] = {0.001, 0.005, 0.02, 0.1,  0.5,
                                                   1.0,   5.0,   20.0, 60.0, 300.0};

void od_metrics_count(struct od_serve_metrics *metrics, int path, int code, double seconds)
{
    int at = 0;
    while (at + 1 < OD_METRICS_CODES && CODES[at] != code) {
        at++;
    }
    (void)atomic_fetch_add(&metrics->requests[path][at], 1);
    (void)atomic_fetch_add(&metrics->nanoseconds[path], (uint_least64_t)(seconds * 1e9));
    for (int i = 0; i < OD_METRICS_BUCKETS; i++) {
        if (seconds <= BUCKETS[i]) {
            (void)atomic_fetch_add(&metrics->buckets[path][i], 1);
            break;
        }
    }
}

static void write_head(struct od_buf *out, const char *name, const char *type, const char *help)
{
    od_buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static uint64_t requests_of(struct od_serve_metrics *metrics, int path)
{
    uint64_t sum = 0;
    for (int i = 0; i < OD_METRICS_CODES; i++) {
        sum += atomic_load(&metrics->requests[path][i]);
    }
    return sum;
}

static void write_durations(struct od_serve_metrics *metrics, const char *const *paths, int count,
                            struct od_buf *out)
{
    char number[OD_NUMBER_BYTES];
    write_head(out, "oneday_http_request_seconds", "histogram",
               "Time from a complete request to its answer.");
    for (int p = 0; p < count; p++) {
        const uint64_t all = requests_of(metrics, p);
        uint64_t below = 0;
        if (all == 0) {
            continue;
        }
        for (int i = 0; i < OD_METRICS_BUCKETS; i++) {
            below += atomic_load(&metrics->buckets[p][i]);
            od_double_text(BUCKETS[i], number);
            od_buf_printf(out, "oneday_http_request_seconds_bucket{path=\"%s\",le=\"%s\"} %llu\n",
                          paths[p], number, (unsigned long long)below);
        }
        od_double_text((double)atomic_load(&metrics->nanoseconds[p]) / 1e9, number);
        od_buf_printf(out,
                      "oneday_http_request_seconds_bucket{path=\"%s\",le=\"+Inf\"} %llu\n"
                      "oneday_http_request_seconds_sum{path=\"%s\"} %s\n"
                      "oneday_http_request_seconds_count{path=\"%s\"} %llu\n",
                      paths[p], (unsigned long long)all, paths[p], number, paths[p],
                      (unsigned long long)all);
    }
}

void od_metrics_write(struct od_serve_metrics *metrics, const char *const *paths, int count,
                      int64_t waiting, struct od_buf *out)
{
    write_head(out, "oneday_http_requests_total", "counter", "Answers by path and status.");
    for (int p = 0; p < count; p++) {
        for (int i = 0; i < OD_METRICS_CODES; i++) {
            const uint64_t value = atomic_load(&metrics->requests[p][i]);
            if (value > 0 && CODES[i] > 0) {
                od_buf_printf(out, "oneday_http_requests_total{path=\"%s\",code=\"%d\"} %llu\n",
                              paths[p], CODES[i], (unsigned long long)value);
            } else if (value > 0) {
                od_buf_printf(out, "oneday_http_requests_total{path=\"%s\",code=\"other\"} %llu\n",
                              paths[p], (unsigned long long)value);
            }
        }
    }
    write_durations(metrics, paths, count, out);
    write_head(out, "oneday_model_requests", "gauge", "Answers that wait or are worked on.");
    od_buf_printf(out, "oneday_model_requests %lld\n", (long long)waiting);
    write_head(out, "oneday_prompt_tokens_total", "counter", "Tokens of answered prompts.");
    od_buf_printf(out, "oneday_prompt_tokens_total %llu\n",
                  (unsigned long long)atomic_load(&metrics->prompt_tokens));
    write_head(out, "oneday_answer_tokens_total", "counter", "Tokens that were generated.");
    od_buf_printf(out, "oneday_answer_tokens_total %llu\n",
                  (unsigned long long)atomic_load(&metrics->answer_tokens));
}
