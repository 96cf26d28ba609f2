// Goal: rows are turned to their positions and land in their pages, by two kernels or by one: in the same
// bits, which are the definition's within a rounding.
// Method: the kernels' source runs on this CPU (lanes.h), one after the other on one copy of the rows and
// the one for both on another; pages in random order, the table of pages behind others, all sizes of heads.

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "ops/lanes.h"

// Instead of ops/gpu.cuh.
#define OD_OPS_GPU_CUH
#define OD_KERNEL static void
enum { OD_GPU_THREADS = 256 };
typedef uint16_t od_bf16;
typedef struct {
    float x, y, z, w;
} float4;

static inline void od_follow(void)
{
}

static inline float __uint_as_float(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline float od_f32(od_bf16 x)
{
    return __uint_as_float((uint32_t)x << 16);
}

static inline od_bf16 od_round(float x)
{
    return (od_bf16)half_of(x);
}

static inline uint32_t od_pack2(float low, float high)
{
    return od_pair(low, high);
}

// The style of kernels.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wcast-align"  // 16 bytes at a time
#pragma GCC diagnostic ignored "-Wcast-qual"
#include "ops/paged/paged.cu"
#include "ops/rope/rope.cu"
#pragma GCC diagnostic pop

#include "base/memory.h"
#include "ops/paged/paged.h"
#include "ops/paged_world.h"
#include "support.h"

enum { BEFORE = 5 };  // page numbers of other sequences in front of this one's

// What the kernels work on.
static struct {
    uint16_t *cache;
    uint16_t *qkv;
    float *table;  ///< [POSITIONS, D] cosines, sines
    int32_t tables[BEFORE + PAGES];
    int32_t row_table[POSITIONS];
    int32_t positions[POSITIONS];
    const struct world *w;
} now;

static void turn(void)
{
    od_rope(now.qkv, now.w->ld, now.table, now.positions, now.w->heads + now.w->kv_heads, now.w->d,
            1.0F);
}

static void append(void)
{
    od_paged_append(now.cache, now.qkv, now.w->ld, now.tables, now.row_table, now.positions,
                    now.w->heads, now.w->kv_heads, now.w->d);
}

static void turn_append(void)
{
    od_paged_turn_append(now.cache, now.qkv, now.w->ld, now.table, now.tables, now.row_table,
                         now.positions, now.w->heads, now.w->kv_heads, now.w->d);
}

static void launch(void (*kernel)(void))
{
    for (unsigned t = 0; t < POSITIONS; t++) {
        run_block(t, 0, OD_GPU_THREADS / LANES, kernel);
    }
}

static void begin(const struct world *w)
{
    now.w = w;
    now.table = od_alloc((size_t)(POSITIONS * (int64_t)w->d), sizeof *now.table);
    now.qkv = od_alloc((size_t)(POSITIONS * w->ld), sizeof *now.qkv);
    now.cache = od_alloc(cache_bytes(w), 1);
    assert_true(now.table && now.qkv && now.cache);
    memcpy(now.qkv, w->qkv, (size_t)(POSITIONS * w->ld) * sizeof *now.qkv);
    memset(now.cache, 0xFF, cache_bytes(w));
    memset(now.tables, 0xFF, sizeof now.tables);
    memcpy(now.tables + BEFORE, w->tables, sizeof w->tables);
    for (int32_t t = 0; t < POSITIONS; t++) {
        now.row_table[t] = BEFORE;
        now.positions[t] = POSITIONS - 1 - t;  // rows of a pass need not be in this order here
        for (int32_t i = 0; i < w->d / 2; i++) {
            const double angle = (double)t * pow(10000.0, -2.0 * (double)i / (double)w->d);
            now.table[t * w->d + i] = (float)cos(angle);
            now.table[t * w->d + w->d / 2 + i] = (float)sin(angle);
        }
    }
}

static void end(void)
{
    od_free(now.table);
    od_free(now.qkv);
    od_free(now.cache);
}

// Turned heads are the definition's within bf16; values and what lies between rows are as they were.
static void check_rows(const struct world *w, const uint16_t *qkv)
{
    const int32_t half = w->d / 2;
    const int64_t turned = (int64_t)(w->heads + w->kv_heads) * w->d;
    for (int64_t t = 0; t < POSITIONS; t++) {
        const uint16_t *x = w->qkv + t * w->ld;
        const uint16_t *y = qkv + t * w->ld;
        const float *row = now.table + (int64_t)now.positions[t] * w->d;
        for (int64_t i = 0; i < turned; i++) {
            const int64_t c = i % w->d;
            const int64_t j = c % half;
            const double other = c < half ? -value(x + i + half) : value(x + i - half);
            const double want = value(x + i) * (double)row[j] + other * (double)row[half + j];
            assert_true(fabs(value(y + i) - want) <= fabs(want) / 256.0 + 1e-6);
        }
        assert_memory_equal(y + turned, x + turned, (size_t)(w->ld - turned) * sizeof *x);
    }
}

// The cache as rows that are turned lie in it, by the host.
static void check_cache(const struct world *w, const uint16_t *qkv, const uint16_t *cache)
{
    const int64_t heads = 2 * (int64_t)w->kv_heads;
    memset(w->cache, 0xFF, cache_bytes(w));
    for (int64_t t = 0; t < POSITIONS; t++) {
        const int32_t p = now.positions[t];
        const int64_t page = w->tables[p / OD_PAGED_ROWS];
        for (int64_t h = 0; h < heads; h++) {
            memcpy(w->cache + ((page * heads + h) * OD_PAGED_ROWS + p % OD_PAGED_ROWS) * w->d,
                   qkv + t * w->ld + (w->heads + h) * w->d, (size_t)w->d * 2u);
        }
    }
    assert_memory_equal(cache, w->cache, cache_bytes(w));
}

static void one_kernel_does_what_two_do(void **state)
{
    static const int32_t shapes[][3] = {
        {64, 4, 2}, {80, 3, 1}, {96, 2, 2}, {128, 6, 3}, {256, 2, 1}};
    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        struct world w;
        open_world(&w, shapes[i][0], shapes[i][1], shapes[i][2], 0);
        const size_t bytes = (size_t)(POSITIONS * w.ld) * sizeof *w.qkv;
        begin(&w);
        launch(turn);
        launch(append);
        check_rows(&w, now.qkv);
        check_cache(&w, now.qkv, now.cache);
        uint16_t *two = now.qkv;
        now.qkv = NULL;
        end();
        begin(&w);
        launch(turn_append);
        assert_memory_equal(now.qkv, two, bytes);
        check_cache(&w, two, now.cache);
        end();
        od_free(two);
        close_world(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_kernel_does_what_two_do),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
