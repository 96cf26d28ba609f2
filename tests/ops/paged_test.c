// Goal: paged attention's kernels compute what the definition says, in bits that do not depend on how the
// rows of a sequence were cut into passes, on whether units are split over warps, or on what lies in
// pages that nobody wrote.
// Method: the kernels' source runs on this CPU (lanes.h) with heads of 80 channels, which fill neither a
// pair of steps nor a group of columns; pages in random order, all others NaN.

#include "ops/lanes.h"

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunknown-pragmas"  // loops that nvcc is to unroll
#pragma GCC diagnostic ignored "-Wcast-align"       // 16 bytes at a time
#ifdef __clang__
#pragma GCC diagnostic ignored "-Wpass-failed"  // it may leave them as they are
#endif
#define HEAD_DIM 80
#include "ops/paged/paged_body.cuh"
#pragma GCC diagnostic pop

#include "ops/paged/paged.h"
#include "ops/paged_world.h"
#include "support.h"

static struct od_paged_args now;

static void attend(void)
{
    od_paged_d80_attend(now);
}

static void stream(void)
{
    od_paged_d80_stream(now);
}

static void join(void)
{
    od_paged_d80_join(now);
}

static void run(struct world *w, struct od_paged_args *args, const struct od_paged_lists *lists)
{
    const int32_t tiles = w->kv_heads * od_paged_head_tiles(w->heads, w->kv_heads);
    now = *args;
    now.item_count = lists->attend_count;
    for (int32_t y = 0; y < tiles; y++) {
        for (int32_t x = 0; x * OD_PAGED_WARPS < now.item_count; x++) {
            run_block((unsigned)x, (unsigned)y, OD_PAGED_WARPS, attend);
        }
    }
    now.items += lists->attend_count;
    now.item_count = lists->item_count - lists->attend_count;
    for (int32_t y = 0; y < tiles; y++) {
        for (int32_t x = 0; x < now.item_count; x++) {
            run_block((unsigned)x, (unsigned)y, 1, stream);
        }
    }
    for (int32_t x = 0; x < lists->join_count; x++) {
        for (int32_t y = 0; y < w->heads; y++) {
            run_block((unsigned)x, (unsigned)y, OD_PAGED_JOIN_THREADS(HEAD_DIM) / LANES, join);
        }
    }
}

static void plain(void **state)
{
    (void)state;
    one_shape(HEAD_DIM, 2, 2, 0, run);
    one_shape(HEAD_DIM, 4, 1, 0, run);
}

static void windows(void **state)
{
    (void)state;
    one_shape(HEAD_DIM, 2, 1, 37, run);
    one_shape(HEAD_DIM, 3, 1, 64, run);
}

static void many_heads_of_one_key_head(void **state)
{
    (void)state;
    one_shape(HEAD_DIM, 20, 1, 0, run);
}

// Every row's units are taken once, parts do not overlap, and nothing leaves its room.
static void lists(void **state)
{
    (void)state;
    enum { RUNS = 9, ROWS = 300, UNITS = 40 };
    static struct od_paged_item items[ROWS + PARTS];
    struct od_paged_join joins[RUNS];
    for (int32_t round = 0; round < 200; round++) {
        struct od_paged_lists made = {.items = items, .joins = joins};
        struct od_paged_run runs[RUNS];
        static int seen[ROWS][UNITS];
        int part_used[PARTS] = {0};
        int32_t rows = 0;
        const int32_t kv_heads = 1 + round % 3;
        const struct od_paged_shape shape = {.heads = kv_heads * (1 + round % 20),
                                             .kv_heads = kv_heads,
                                             .window = round % 4 == 0 ? 1 + round : 0,
                                             .parts_max = round % PARTS,
                                             .warps = round % 2 == 0   ? INT32_MAX
                                                      : round % 4 == 1 ? 20 * kv_heads
                                                                       : 0};
        memset(seen, 0, sizeof seen);
        for (int32_t i = 0; i < RUNS; i++) {
            const int32_t count = i % 2 == 0 ? 1 : 1 + (round * 7 + i * 13) % 60;
            runs[i] = (struct od_paged_run){
                .row = rows, .rows = count, .position = (round * 31 + i * 97) % 2000, .table = i};
            rows += count;
        }
        od_paged_plan(&shape, runs, RUNS, &made);
        assert_true(made.item_count <= od_paged_items_max(rows, shape.parts_max));
        for (int32_t i = 0; i < made.item_count; i++) {
            const struct od_paged_item *item = &items[i];
            assert_true(i < made.attend_count || item->rows == 1);
            assert_true(item->rows >= 1 &&
                        item->rows <= od_paged_item_rows(shape.heads, shape.kv_heads));
            for (int32_t unit = item->unit; unit < item->unit_end; unit++) {
                if (item->part >= 0) {
                    assert_true(item->part + unit - item->unit < shape.parts_max);
                    assert_int_equal(part_used[item->part + unit - item->unit]++, 0);
                }
                for (int32_t r = 0; r < item->rows; r++) {
                    seen[item->row + r][unit]++;
                }
            }
        }
        for (int32_t i = 0; i < RUNS; i++) {
            for (int32_t r = 0; r < runs[i].rows; r++) {
                const int32_t p = runs[i].position + r;
                for (int32_t u = od_paged_lowest(p, shape.window) / OD_PAGED_UNIT;
                     u <= p / OD_PAGED_UNIT; u++) {
                    assert_int_equal(seen[runs[i].row + r][u], 1);
                }
            }
        }
        assert_true(shape.warps > 0 || made.join_count == 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain),
        cmocka_unit_test(windows),
        cmocka_unit_test(many_heads_of_one_key_head),
        cmocka_unit_test(lists),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
