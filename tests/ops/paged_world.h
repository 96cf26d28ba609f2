/**
 * @file
 * One sequence in a cache of pages, for tests of paged attention: random queries, keys and values, pages
 * in another order than positions with NaN where nothing was written, the definition in double. A test
 * says how the kernels run.
 * @thread One owner.
 */
#ifndef OD_TESTS_OPS_PAGED_WORLD_H
#define OD_TESTS_OPS_PAGED_WORLD_H

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/memory.h"
#include "base/random.h"
#include "ops/paged/paged.h"
#include "support.h"

enum { POSITIONS = 203, PAGES = 16, ROOM = 512, PARTS = 64, D_MAX = 256 };

/** One sequence: queries, keys and values of all its positions, and what came of them. */
struct world {
    int32_t d;
    int32_t heads;
    int32_t kv_heads;
    int32_t window;
    int64_t ld;
    uint16_t *qkv;    ///< [POSITIONS, ld]
    uint16_t *cache;  ///< [PAGES, 2 G, 16, D]
    int32_t tables[PAGES];
    uint16_t *o;   ///< [POSITIONS, H D]
    float *parts;  ///< [PARTS, H, D + 2]
};

/** Runs the kernels: `args` points into the world's memory and has the items of both kernels. */
typedef void (*paged_fn)(struct world *w, struct od_paged_args *args,
                         const struct od_paged_lists *lists);

static inline double value(const uint16_t *x)
{
    const uint32_t bits = (uint32_t)*x << 16;
    float wide;
    memcpy(&wide, &bits, sizeof wide);
    return (double)wide;
}

static inline uint16_t random_half(void)
{
    static uint64_t drawn;
    double a;
    double b;
    od_normal_pair(od_philox_draw(test_seed(), 31, 0, drawn++), &a, &b);
    const float x = (float)a;
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return (uint16_t)((bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16);
}

static inline size_t cache_bytes(const struct world *w)
{
    return (size_t)(PAGES * 2 * (int64_t)w->kv_heads * OD_PAGED_ROWS * w->d) * 2u;
}

static inline size_t output_bytes(const struct world *w)
{
    return (size_t)(POSITIONS * (int64_t)w->heads * w->d) * 2u;
}

static inline size_t part_bytes(const struct world *w)
{
    return (size_t)(PARTS * (int64_t)w->heads * (w->d + 2)) * sizeof(float);
}

static inline void fill_cache(struct world *w, int64_t positions)
{
    const int64_t g = w->kv_heads;
    memset(w->cache, 0xFF, cache_bytes(w));
    for (int64_t p = 0; p < positions; p++) {
        const int64_t page = w->tables[p / OD_PAGED_ROWS];
        for (int64_t h = 0; h < 2 * g; h++) {
            memcpy(w->cache + ((page * 2 * g + h) * OD_PAGED_ROWS + p % OD_PAGED_ROWS) * w->d,
                   w->qkv + p * w->ld + (w->heads + h) * w->d, (size_t)w->d * 2u);
        }
    }
}

static inline void open_world(struct world *w, int32_t d, int32_t heads, int32_t kv_heads,
                              int32_t window)
{
    *w = (struct world){.d = d, .heads = heads, .kv_heads = kv_heads, .window = window};
    w->ld = (int64_t)(heads + 2 * kv_heads) * d + 8;
    w->qkv = od_alloc((size_t)(POSITIONS * w->ld), sizeof *w->qkv);
    w->cache = od_alloc(cache_bytes(w), 1);
    w->o = od_alloc(output_bytes(w), 1);
    w->parts = od_alloc(part_bytes(w), 1);
    assert_true(w->qkv && w->cache && w->o && w->parts);
    for (int64_t i = 0; i < POSITIONS * w->ld; i++) {
        w->qkv[i] = random_half();
    }
    for (int32_t i = 0; i < PAGES; i++) {
        w->tables[i] = (i * 7 + 3) % PAGES;
    }
}

static inline void close_world(struct world *w)
{
    od_free(w->qkv);
    od_free(w->cache);
    od_free(w->o);
    od_free(w->parts);
}

// How the units of single rows are dealt out: a warp for all of a row's, for each, for two each.
enum dealing { WHOLE, ONE_EACH, TWO_EACH, DEALINGS };

static inline void pair_up(struct od_paged_lists *lists)
{
    int32_t kept = lists->attend_count;
    for (int32_t i = lists->attend_count; i < lists->item_count; i += 2) {
        lists->items[kept] = lists->items[i];
        if (i + 1 < lists->item_count) {
            lists->items[kept].unit_end = lists->items[i + 1].unit_end;
        }
        kept++;
    }
    lists->item_count = kept;
}

// Rows [first, first + rows) of the sequence as one pass; earlier ones are in the cache.
static inline void run_rows(struct world *w, int32_t first, int32_t rows, enum dealing dealing,
                            paged_fn run)
{
    const bool split = dealing != WHOLE;
    struct od_paged_item items[ROOM];
    struct od_paged_join joins[2];
    struct od_paged_lists lists = {.items = items, .joins = joins};
    const struct od_paged_shape shape = {.heads = w->heads,
                                         .kv_heads = w->kv_heads,
                                         .window = w->window,
                                         .parts_max = PARTS,
                                         .warps = split ? INT32_MAX : 0};
    const struct od_paged_run one = {.row = first, .rows = rows, .position = first};
    fill_cache(w, first + rows);
    memset(w->parts, 0xFF, part_bytes(w));
    od_paged_plan(&shape, &one, 1, &lists);
    if (dealing == TWO_EACH) {
        pair_up(&lists);
    }
    struct od_paged_args args = {.qkv = w->qkv,
                                 .o = w->o,
                                 .cache = w->cache,
                                 .tables = w->tables,
                                 .items = items,
                                 .joins = joins,
                                 .parts = w->parts,
                                 .ld_qkv = w->ld,
                                 .ld_o = (int64_t)w->heads * w->d,
                                 .item_count = lists.item_count,
                                 .heads = w->heads,
                                 .kv_heads = w->kv_heads,
                                 .window = w->window,
                                 .only_single_rows = lists.attend_count == 0,
                                 .scale = 0.125F};
    run(w, &args, &lists);
    if (split && rows == 1 && first >= OD_PAGED_UNIT && w->window == 0) {
        assert_int_equal(lists.join_count, 1);
    }
}

// The definition, in double.
static inline void expected_row(const struct world *w, int32_t p, int32_t head, double *out)
{
    const uint16_t *q = w->qkv + p * w->ld + (int64_t)head * w->d;
    const int64_t at = w->heads + head / (w->heads / w->kv_heads);
    const int32_t lowest = w->window > 0 && p >= w->window ? p - w->window + 1 : 0;
    double scores[POSITIONS];
    double most = -DBL_MAX;
    double sum = 0.0;
    for (int32_t j = lowest; j <= p; j++) {
        scores[j] = 0.0;
        for (int32_t e = 0; e < w->d; e++) {
            scores[j] += value(q + e) * value(w->qkv + j * w->ld + at * w->d + e) * 0.125;
        }
        most = fmax(most, scores[j]);
    }
    memset(out, 0, (size_t)w->d * sizeof *out);
    for (int32_t j = lowest; j <= p; j++) {
        const double weight = exp(scores[j] - most);
        sum += weight;
        for (int32_t e = 0; e < w->d; e++) {
            out[e] += weight * value(w->qkv + j * w->ld + (at + w->kv_heads) * w->d + e);
        }
    }
    for (int32_t e = 0; e < w->d; e++) {
        out[e] /= sum;
    }
}

static inline void compare(const struct world *w)
{
    double error = 0.0;
    double norm = 0.0;
    for (int32_t p = 0; p < POSITIONS; p += 1 + p / 40) {
        for (int32_t head = 0; head < w->heads; head++) {
            double want[D_MAX];
            expected_row(w, p, head, want);
            for (int32_t e = 0; e < w->d; e++) {
                const double got = value(w->o + ((int64_t)p * w->heads + head) * w->d + e);
                assert_true(fabs(got - want[e]) < 0.05);  // no number is a failure, too
                error += (got - want[e]) * (got - want[e]);
                norm += want[e] * want[e];
            }
        }
    }
    error = sqrt(error / norm);
    print_message("#   D %d, %d heads, %d kv, window %d: %.2g\n", w->d, w->heads, w->kv_heads,
                  w->window, error);
    assert_true(error < 6e-3);
}

// A prompt as a whole, in pieces, and rows by themselves, with their units apart or not: the same bits.
static inline void one_shape(int32_t d, int32_t heads, int32_t kv_heads, int32_t window,
                             paged_fn run)
{
    static const int32_t cuts[][8] = {{7, 64, 79, 1, 52}, {16, 16, 16, 16, 139}};
    struct world w;
    open_world(&w, d, heads, kv_heads, window);
    const size_t bytes = output_bytes(&w);
    const size_t row_bytes = bytes / POSITIONS;
    uint16_t *whole = od_alloc(bytes, 1);
    assert_non_null(whole);
    memset(w.o, 0xFF, bytes);
    run_rows(&w, 0, POSITIONS, WHOLE, run);
    compare(&w);
    memcpy(whole, w.o, bytes);
    for (size_t i = 0; i < sizeof cuts / sizeof cuts[0]; i++) {
        memset(w.o, 0xFF, bytes);
        int32_t first = 0;
        for (int j = 0; j < 8 && cuts[i][j] > 0; j++) {
            run_rows(&w, first, cuts[i][j], WHOLE, run);
            first += cuts[i][j];
        }
        assert_int_equal(first, POSITIONS);
        assert_memory_equal(w.o, whole, bytes);
    }
    for (int32_t p = 0; p < POSITIONS; p += 29) {
        for (int dealing = WHOLE; dealing < DEALINGS; dealing++) {
            uint16_t *row = w.o + (int64_t)p * heads * d;
            memset(row, 0xFF, row_bytes);
            run_rows(&w, p, 1, (enum dealing)dealing, run);
            assert_memory_equal(row, whole + (int64_t)p * heads * d, row_bytes);
        }
    }
    close_world(&w);
    od_free(whole);
}

#endif
