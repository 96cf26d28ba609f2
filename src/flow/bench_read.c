#include "flow/bench_read.h"

#include <stddef.h>
#include <stdint.h>

#include "base/threads.h"

enum { READ_STREAMS = 4, LINE_WORDS = 8, READ_AHEAD_WORDS = 128 };

struct reading {
    const uint64_t *data;
    uint64_t sum[OD_THREADS_MAX];
};

// Four streams at once, fetched ahead: what a core can read at best.
static void read_part(void *context, int64_t first, int64_t last, int thread)
{
    struct reading *reading = context;
    const int64_t words = (last - first) / READ_STREAMS;
    const uint64_t *data = reading->data + first;
    uint64_t sum = 0;
    for (int64_t i = 0; i + LINE_WORDS <= words; i += LINE_WORDS) {
        for (int stream = 0; stream < READ_STREAMS; stream++) {
            const uint64_t *line = data + (int64_t)stream * words + i;
            __builtin_prefetch(line + READ_AHEAD_WORDS);
            sum += ((line[0] + line[1]) + (line[2] + line[3])) +
                   ((line[4] + line[5]) + (line[6] + line[7]));
        }
    }
    reading->sum[thread] = sum;
}

void od_bench_read(struct od_pool *pool, const void *data, size_t bytes)
{
    struct reading reading = {.data = data};
    od_pool_run(pool, (int64_t)(bytes / sizeof *reading.data), (int64_t)READ_STREAMS * LINE_WORDS,
                read_part, &reading);
}
