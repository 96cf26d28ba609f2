// Goal: paged attention on the GPU computes what the definition says for every head size, in bits that do
// not depend on how rows were cut or on whether units were split; new keys and values land in their pages,
// turned to their positions on the way or before it, in the same bits.
// Method: paged_world.h, with memory of the card that starts as NaN.

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "device/cuda/cuda.h"
#include "device/cuda_gpu.h"
#include "ops/paged/paged.h"
#include "ops/paged_world.h"
#include "support.h"

/** Memory of the card that is handed out once. */
struct room {
    struct od_cuda *cuda;
    od_dev memory;
    size_t used;
    size_t size;
};
static struct room room;

static od_dev put(const void *from, size_t bytes)
{
    const od_dev at = room.memory + room.used;
    room.used += (bytes + 255u) & ~(size_t)255u;
    assert_true(room.used <= room.size);
    if (bytes > 0) {
        od_cuda_upload(room.cuda, at, from, bytes);
    }
    return at;
}

static void *address(od_dev at)
{
    return (void *)(uintptr_t)at;
}

static void begin(void)
{
    enum { ROOM_BYTES = 64 << 20 };
    struct od_error err = {0};
    room.cuda = test_gpu();
    if (room.memory == 0) {
        room.size = ROOM_BYTES;
        assert_ok(od_cuda_alloc(room.cuda, room.size, &room.memory, &err), &err);
    }
    room.used = 0;
}

static void launch(const struct world *w, enum od_paged_kernel which, int32_t blocks,
                   int32_t per_block, struct od_paged_args *args)
{
    struct od_error err = {0};
    struct od_cuda_kernel *kernel = NULL;
    void *arguments[] = {args};
    const int32_t tiles = w->kv_heads * od_paged_head_tiles(w->heads, w->kv_heads);
    const bool joins = which == OD_PAGED_JOIN;
    const bool streams = which == OD_PAGED_STREAM;
    assert_ok(od_cuda_kernel(room.cuda, od_paged_kernel(w->d, which), &kernel, &err), &err);
    od_cuda_launch(
        room.cuda, kernel,
        (struct od_cuda_grid){.x = (unsigned)((blocks + per_block - 1) / per_block),
                              .y = (unsigned)(joins ? w->heads : tiles),
                              .threads = joins ? (unsigned)OD_PAGED_JOIN_THREADS(w->d)
                                               : (unsigned)per_block * 32,
                              .shared_bytes = streams ? (unsigned)OD_PAGED_STREAM_BYTES(w->d) : 0,
                              .overlaps = true},
        arguments);
}

static void run(struct world *w, struct od_paged_args *args, const struct od_paged_lists *lists)
{
    struct od_error err = {0};
    struct od_paged_args there = *args;
    room.used = 0;
    there.qkv = address(put(w->qkv, (size_t)(POSITIONS * w->ld) * 2u));
    there.cache = address(put(w->cache, cache_bytes(w)));
    const od_dev o = put(w->o, output_bytes(w));
    there.o = address(o);
    there.tables = address(put(w->tables, sizeof w->tables));
    there.items = address(put(args->items, (size_t)lists->item_count * sizeof *args->items));
    there.joins = address(put(args->joins, (size_t)lists->join_count * sizeof *args->joins));
    there.parts = address(put(w->parts, part_bytes(w)));
    there.item_count = lists->attend_count;
    launch(w, OD_PAGED_ATTEND, there.item_count, OD_PAGED_WARPS, &there);
    there.items += lists->attend_count;
    there.item_count = lists->item_count - lists->attend_count;
    launch(w, OD_PAGED_STREAM, there.item_count, 1, &there);
    launch(w, OD_PAGED_JOIN, lists->join_count, 1, &there);
    od_cuda_download(room.cuda, w->o, o, output_bytes(w));
    assert_ok(od_cuda_sync(room.cuda, &err), &err);
}

static void every_head_size(void **state)
{
    static const int32_t sizes[] = {64, 80, 96, 128, 256};
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        begin();
        one_shape(sizes[i], 2, 2, 0, run);
        one_shape(sizes[i], 8, 2, 0, run);
        one_shape(sizes[i], 3, 1, 37, run);
        one_shape(sizes[i], 20, 1, 0, run);
    }
}

// The cache as the kernel fills it is the cache as the host does.
static void rows_land_in_their_pages(void **state)
{
    struct od_error err = {0};
    struct od_cuda_kernel *append = NULL;
    struct world w;
    int32_t row_table[POSITIONS];
    int32_t positions[POSITIONS];
    (void)state;
    begin();
    open_world(&w, 80, 6, 3, 0);
    for (int32_t t = 0; t < POSITIONS; t++) {
        row_table[t] = 0;
        positions[t] = t;
    }
    uint16_t *got = od_alloc(cache_bytes(&w), 1);
    assert_non_null(got);
    memset(w.cache, 0xFF, cache_bytes(&w));
    od_dev cache = put(w.cache, cache_bytes(&w));
    od_dev qkv = put(w.qkv, (size_t)(POSITIONS * w.ld) * 2u);
    od_dev tables = put(w.tables, sizeof w.tables);
    od_dev row_tables = put(row_table, sizeof row_table);
    od_dev at = put(positions, sizeof positions);
    void *args[] = {&cache, &qkv, &w.ld, &tables, &row_tables, &at, &w.heads, &w.kv_heads, &w.d};
    assert_ok(od_cuda_kernel(room.cuda, "od_paged_append", &append, &err), &err);
    od_cuda_launch(room.cuda, append, (struct od_cuda_grid){.x = POSITIONS, .threads = 256}, args);
    od_cuda_download(room.cuda, got, cache, cache_bytes(&w));
    assert_ok(od_cuda_sync(room.cuda, &err), &err);
    fill_cache(&w, POSITIONS);
    assert_memory_equal(got, w.cache, cache_bytes(&w));
    close_world(&w);
    od_free(got);
}

static void launch_rows(const char *name, void **args)
{
    struct od_error err = {0};
    struct od_cuda_kernel *kernel = NULL;
    assert_ok(od_cuda_kernel(room.cuda, name, &kernel, &err), &err);
    od_cuda_launch(room.cuda, kernel, (struct od_cuda_grid){.x = POSITIONS, .threads = 256}, args);
}

// Rows that are turned on their way into the cache, by one kernel (`fused`) or by two; what lies in qkv
// and behind it in the cache afterwards. @memory Gives.
static uint16_t *turned_rows(struct world *w, bool fused)
{
    struct od_error err = {0};
    static int32_t row_table[POSITIONS];  // all in one sequence
    int32_t positions[POSITIONS];
    const size_t qkv_bytes = (size_t)(POSITIONS * w->ld) * sizeof *w->qkv;
    float *values = od_alloc((size_t)(POSITIONS * (int64_t)w->d), sizeof *values);
    char *got = od_alloc(qkv_bytes + cache_bytes(w), 1);
    assert_true(values && got);
    for (int32_t t = 0; t < POSITIONS; t++) {
        positions[t] = t;
        for (int32_t i = 0; i < w->d / 2; i++) {
            const double angle = (double)t * pow(10000.0, -2.0 * (double)i / (double)w->d);
            values[t * w->d + i] = (float)cos(angle);
            values[t * w->d + w->d / 2 + i] = (float)sin(angle);
        }
    }
    begin();
    memset(w->cache, 0xFF, cache_bytes(w));
    od_dev cache = put(w->cache, cache_bytes(w));
    od_dev qkv = put(w->qkv, qkv_bytes);
    od_dev table = put(values, (size_t)(POSITIONS * (int64_t)w->d) * sizeof *values);
    od_dev tables = put(w->tables, sizeof w->tables);
    od_dev row_tables = put(row_table, sizeof row_table);
    od_dev at = put(positions, sizeof positions);
    int32_t turned = w->heads + w->kv_heads;
    float direction = 1.0F;
    void *rope[] = {&qkv, &w->ld, &table, &at, &turned, &w->d, &direction};
    void *append[] = {&cache, &qkv,      &w->ld,       &tables, &row_tables,
                      &at,    &w->heads, &w->kv_heads, &w->d};
    void *both[] = {&cache,      &qkv, &w->ld,    &table,       &tables,
                    &row_tables, &at,  &w->heads, &w->kv_heads, &w->d};
    if (fused) {
        launch_rows("od_paged_turn_append", both);
    } else {
        launch_rows("od_rope", rope);
        launch_rows("od_paged_append", append);
    }
    od_cuda_download(room.cuda, got, qkv, qkv_bytes);
    od_cuda_download(room.cuda, got + qkv_bytes, cache, cache_bytes(w));
    assert_ok(od_cuda_sync(room.cuda, &err), &err);
    od_free(values);
    return (uint16_t *)(void *)got;
}

static void one_kernel_turns_and_appends_as_two(void **state)
{
    static const int32_t sizes[] = {64, 80, 96, 128, 256};
    (void)state;
    begin();
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct world w;
        open_world(&w, sizes[i], 6, 3, 0);
        uint16_t *two = turned_rows(&w, false);
        uint16_t *one = turned_rows(&w, true);
        assert_memory_not_equal(two, w.qkv, (size_t)(POSITIONS * w.ld) * sizeof *w.qkv);
        assert_memory_equal(one, two, (size_t)(POSITIONS * w.ld) * sizeof *w.qkv + cache_bytes(&w));
        od_free(one);
        od_free(two);
        close_world(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_head_size),
        cmocka_unit_test(rows_land_in_their_pages),
        cmocka_unit_test(one_kernel_turns_and_appends_as_two),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
