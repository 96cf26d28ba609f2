// Goal: the product has the bits of the plain loop whatever the shape, strides, threads and path.
// Method: random shapes with every kind of operand, compared bit for bit with od_gemm_ref; memory
// around C and behind the operands is checked or, by the sanitizers, watched.

#include "device/cpu/gemm.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/random.h"
#include "base/status.h"
#include "base/threads.h"
#include "formats/half.h"
#include "support.h"

enum { CASES = 400, CANARY_COLS = 3 };

struct draw {
    uint64_t seed;
    uint64_t next;
};

static uint32_t draw_u32(struct draw *draw)
{
    return od_philox_draw(draw->seed, 7, 0, draw->next++).word[0];
}

static int64_t draw_below(struct draw *draw, int64_t n)
{
    return (int64_t)(draw_u32(draw) % (uint32_t)n);
}

static float draw_value(struct draw *draw)
{
    return od_uniform_f32(draw_u32(draw)) * 2.0F - 1.0F;
}

// A dimension: often tiny or near an edge of a tile or block, sometimes large.
static int64_t draw_size(struct draw *draw, int64_t max)
{
    static const int64_t edges[] = {0, 1, 2, 5, 6, 7, 8, 11, 12, 13, 15, 16, 17, 31, 33, 64, 65};
    switch (draw_below(draw, 4)) {
    case 0: return edges[draw_below(draw, (int64_t)(sizeof edges / sizeof edges[0]))];
    case 1: return draw_below(draw, 40);
    case 2: return draw_below(draw, 130);
    default: return draw_below(draw, max);
    }
}

// An operand of its exact size on the heap, so that a sanitizer sees a read behind its end.
struct operand {
    float *memory;
    struct od_mat mat;
};

enum { ROW_MAJOR, COLUMN_MAJOR, BOTH_STRIDES, KINDS };

static struct operand operand_create(struct draw *draw, int64_t rows, int64_t cols, int kind)
{
    struct operand operand = {NULL, {NULL, 0, 0}};
    const int64_t gap = draw_below(draw, 3);
    if (kind == ROW_MAJOR) {
        operand.mat.col_stride = 1;
        operand.mat.row_stride = cols + gap;
    } else if (kind == COLUMN_MAJOR) {
        operand.mat.row_stride = 1;
        operand.mat.col_stride = rows + gap;
    } else {
        operand.mat.col_stride = 2;
        operand.mat.row_stride = 2 * cols + gap;
    }
    int64_t count = 0;
    if (rows > 0 && cols > 0) {
        count = (rows - 1) * operand.mat.row_stride + (cols - 1) * operand.mat.col_stride + 1;
    }
    operand.memory = od_alloc((size_t)count, sizeof(float));
    assert_non_null(operand.memory);
    for (int64_t i = 0; i < count; i++) {
        operand.memory[i] = draw_value(draw);
    }
    operand.mat.data = operand.memory;
    return operand;
}

/** What the processor may use. */
enum kind { KIND_SCALAR, KIND_AVX2, KIND_BEST, KIND_COUNT };
static const char *const kind_names[] = {"scalar", "AVX2", "best"};

struct engine {
    struct od_pool *pool;
    struct od_gemm *gemm;
};

static struct engine engine_create(int threads, enum kind kind)
{
    struct od_error err = {0};
    struct od_cpu_features features = od_cpu_features_detect(kind != KIND_SCALAR);
    features.avx512 = features.avx512 && kind == KIND_BEST;
    struct engine engine = {NULL, NULL};
    assert_ok(od_pool_create(threads, &engine.pool, &err), &err);
    assert_ok(od_gemm_create(engine.pool, features, &engine.gemm, &err), &err);
    return engine;
}

static void engine_free(struct engine *engine)
{
    od_gemm_free(engine->gemm);
    od_pool_free(engine->pool);
}

enum way { WAY_RUN, WAY_ONE, WAY_PACKED, WAY_PACKED_BF16 };

struct problem {
    int64_t m;
    int64_t n;
    int64_t k;
    int64_t ldc;
    bool accumulate;
    struct operand a;
    struct operand b;
    struct od_gemm_weight packed[2];  // f32, bf16; no panels unless B is W^T, contiguous
    float *start;
    float *expected;
    float *c;
};

static size_t c_bytes(const struct problem *p)
{
    return (size_t)(p->m * p->ldc) * sizeof(float);
}

static void pack(struct problem *p, enum od_gemm_form form)
{
    void *panels = od_alloc(od_gemm_packed_bytes(form, p->n, p->k), 1);
    assert_non_null(panels);
    od_gemm_pack_weight(panels, form, p->b.mat.data, p->n, p->k);
    p->packed[form] = (struct od_gemm_weight){panels, form};
}

// Every other problem has weights that bf16 holds.
static void drop_digits(float *values, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        values[i] = od_bf16_to_f32(od_f32_to_bf16(values[i]));
    }
}

// What C was, and what it should become.
static void expect(struct problem *p, struct draw *draw)
{
    p->start = od_alloc((size_t)(p->m * p->ldc), sizeof(float));
    p->expected = od_alloc((size_t)(p->m * p->ldc), sizeof(float));
    p->c = od_alloc((size_t)(p->m * p->ldc), sizeof(float));
    assert_non_null(p->start);
    assert_non_null(p->expected);
    assert_non_null(p->c);
    for (int64_t i = 0; i < p->m * p->ldc; i++) {
        const bool canary = i % p->ldc >= p->n;
        p->start[i] = canary || p->accumulate ? draw_value(draw) : NAN;
    }
    memcpy(p->expected, p->start, c_bytes(p));
    od_gemm_ref(p->m, p->n, p->k, p->a.mat, p->b.mat, p->expected, p->ldc, p->accumulate);
}

static void problem_start(struct problem *p, struct draw *draw, int64_t m, int64_t n, int64_t k,
                          int a_kind, int b_kind)
{
    *p = (struct problem){.m = m, .n = n, .k = k};
    p->accumulate = draw_below(draw, 2) == 1;
    p->ldc = n + draw_below(draw, 2) * CANARY_COLS;
    p->a = operand_create(draw, m, k, a_kind);
    p->b = operand_create(draw, k, n, b_kind);
}

// Plain rows of A, and a weight in both packed forms.
static void problem_init_packed(struct problem *p, struct draw *draw, int64_t m, int64_t n,
                                int64_t k)
{
    problem_start(p, draw, m, n, k, ROW_MAJOR, COLUMN_MAJOR);
    p->b.mat.col_stride = k;
    drop_digits(p->b.memory, n * k);
    pack(p, OD_GEMM_F32);
    pack(p, OD_GEMM_BF16);
    expect(p, draw);
}

static void problem_init(struct problem *p, struct draw *draw, int64_t m, int64_t n, int64_t k)
{
    problem_start(p, draw, m, n, k, (int)draw_below(draw, KINDS), (int)draw_below(draw, KINDS));
    // A packed weight has no gaps.
    if (p->b.mat.row_stride == 1 && k > 0 && draw_below(draw, 4) > 0) {
        p->b.mat.col_stride = k;
    }
    if (p->b.mat.row_stride == 1 && p->b.mat.col_stride == k) {
        if (draw_below(draw, 2) == 1) {
            drop_digits(p->b.memory, n * k);
        }
        pack(p, OD_GEMM_F32);
        if (od_gemm_form_of(p->b.mat.data, n * k) == OD_GEMM_BF16) {
            pack(p, OD_GEMM_BF16);
        }
    }
    expect(p, draw);
}

static void problem_release(struct problem *p)
{
    od_free(p->a.memory);
    od_free(p->b.memory);
    od_free((void *)(uintptr_t)p->packed[OD_GEMM_F32].panels);
    od_free((void *)(uintptr_t)p->packed[OD_GEMM_BF16].panels);
    od_free(p->start);
    od_free(p->expected);
    od_free(p->c);
}

static uint32_t bits_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static void check(const struct problem *p, const char *how)
{
    if (memcmp(p->c, p->expected, c_bytes(p)) == 0) {
        return;
    }
    for (int64_t i = 0; i < p->m * p->ldc; i++) {
        if (bits_of(p->c[i]) != bits_of(p->expected[i])) {
            fail_msg(
                "%s m=%ld n=%ld k=%ld ldc=%ld a=(%ld,%ld) b=(%ld,%ld) accumulate=%d: row %ld "
                "column %ld is %a, not %a",
                how, (long)p->m, (long)p->n, (long)p->k, (long)p->ldc, (long)p->a.mat.row_stride,
                (long)p->a.mat.col_stride, (long)p->b.mat.row_stride, (long)p->b.mat.col_stride,
                p->accumulate, (long)(i / p->ldc), (long)(i % p->ldc), (double)p->c[i],
                (double)p->expected[i]);
        }
    }
}

static void run_way(const struct engine *engine, struct problem *p, enum way way, const char *how)
{
    const struct od_gemm_weight packed =
        p->packed[way == WAY_PACKED_BF16 ? OD_GEMM_BF16 : OD_GEMM_F32];
    const bool is_packed = way == WAY_PACKED || way == WAY_PACKED_BF16;
    if (is_packed && !packed.panels) {
        return;
    }
    memcpy(p->c, p->start, c_bytes(p));
    if (is_packed) {
        od_gemm_run_packed(engine->gemm, p->m, p->n, p->k, p->a.mat, packed, p->c, p->ldc,
                           p->accumulate);
    } else if (way == WAY_ONE) {
        od_gemm_run_one(engine->gemm, 0, p->m, p->n, p->k, p->a.mat, p->b.mat, p->c, p->ldc,
                        p->accumulate);
    } else {
        od_gemm_run(engine->gemm, p->m, p->n, p->k, p->a.mat, p->b.mat, p->c, p->ldc,
                    p->accumulate);
    }
    check(p, how);
}

static void random_shapes(enum kind kind, int cases, int64_t max)
{
    static const int threads[] = {1, 2, 3, 5};
    struct draw draw = {test_seed(), 0};
    struct engine engines[4];
    for (int t = 0; t < 4; t++) {
        engines[t] = engine_create(threads[t], kind);
    }
    for (int i = 0; i < cases; i++) {
        struct problem problem;
        problem_init(&problem, &draw, draw_size(&draw, max), draw_size(&draw, max),
                     draw_size(&draw, 2 * max));
        for (int t = 0; t < 4; t++) {
            char how[32];
            (void)snprintf(how, sizeof how, "%s, %d threads", kind_names[kind], threads[t]);
            const uint64_t allocations = od_alloc_count();
            run_way(&engines[t], &problem, WAY_RUN, how);
            run_way(&engines[t], &problem, WAY_ONE, how);
            run_way(&engines[t], &problem, WAY_PACKED, how);
            run_way(&engines[t], &problem, WAY_PACKED_BF16, how);
            assert_int_equal(od_alloc_count(), allocations);
        }
        problem_release(&problem);
    }
    for (int t = 0; t < 4; t++) {
        engine_free(&engines[t]);
    }
}

static void vector_has_the_bits_of_the_loop(void **state)
{
    (void)state;
    if (!od_cpu_features_detect(true).avx2_fma) {
        skip();
    }
    random_shapes(KIND_AVX2, CASES, 300);
}

static void wide_vector_has_the_bits_of_the_loop(void **state)
{
    (void)state;
    if (!od_cpu_features_detect(true).avx512) {
        skip();
    }
    random_shapes(KIND_BEST, CASES, 300);
}

static void scalar_has_the_bits_of_the_loop(void **state)
{
    (void)state;
    random_shapes(KIND_SCALAR, CASES / 4, 150);
}

// Larger than every block of the cache, so that all loops go round more than once.
static void beyond_the_blocks(void **state)
{
    (void)state;
    static const int64_t shapes[][3] = {
        {401, 70, 530},  {13, 2100, 300}, {7, 2070, 40},  {1, 1040, 1040}, {2, 97, 700},
        {3, 2049, 17},   {800, 17, 65},   {6, 530, 530},  {24, 1100, 260}, {2062, 67, 9},
        {330, 700, 270}, {40, 20, 2100},  {6, 70, 45000}, {23, 150, 1301}, {13, 81, 2049}};
    struct draw draw = {test_seed(), 0};
    struct engine best = engine_create(2, KIND_BEST);
    struct engine avx2 = engine_create(2, KIND_AVX2);
    struct engine scalar = engine_create(3, KIND_SCALAR);
    for (size_t i = 0; i < 3 * sizeof shapes / sizeof shapes[0]; i++) {
        const int64_t *shape = shapes[i / 3];
        struct problem problem;
        problem_init(&problem, &draw, shape[0], shape[1], shape[2]);
        for (int way = WAY_RUN; way <= WAY_PACKED_BF16; way++) {
            run_way(&best, &problem, (enum way)way, "best");
            run_way(&avx2, &problem, (enum way)way, "AVX2");
        }
        run_way(&scalar, &problem, WAY_RUN, "scalar");
        run_way(&scalar, &problem, WAY_PACKED_BF16, "scalar");
        problem_release(&problem);
    }
    engine_free(&best);
    engine_free(&avx2);
    engine_free(&scalar);
}

// Few rows against packed weights: every number of rows that is streamed and some that are not, an odd
// k longer than a block, and a cut panel.
static void packed_weights(void **state)
{
    (void)state;
    static const int64_t depths[] = {1, 2, 511, 1025};
    struct draw draw = {test_seed(), 0};
    struct engine engines[] = {engine_create(2, KIND_BEST), engine_create(2, KIND_AVX2),
                               engine_create(2, KIND_SCALAR)};
    for (int64_t m = 1; m <= 27; m++) {
        for (size_t i = 0; i < sizeof depths / sizeof depths[0]; i++) {
            struct problem problem;
            problem_init_packed(&problem, &draw, m, 16 * (m % 5) + 1 + m % 16, depths[i]);
            for (int kind = 0; kind < 3; kind++) {
                run_way(&engines[kind], &problem, WAY_PACKED, kind_names[2 - kind]);
                run_way(&engines[kind], &problem, WAY_PACKED_BF16, kind_names[2 - kind]);
            }
            problem_release(&problem);
        }
    }
    for (int kind = 0; kind < 3; kind++) {
        engine_free(&engines[kind]);
    }
}

// A single digit too many asks for fp32; special values fit.
static void forms(void **state)
{
    (void)state;
    float w[] = {1.5F, -0.0F, INFINITY, -3e38F, 1e-40F};
    drop_digits(w, 5);
    assert_int_equal(od_gemm_form_of(w, 5), OD_GEMM_BF16);
    for (int bit = 0; bit < 32; bit++) {
        w[3] = od_f32_from_bits(UINT32_C(1) << bit);
        assert_int_equal(od_gemm_form_of(w, 5), bit < 16 ? OD_GEMM_F32 : OD_GEMM_BF16);
    }
}

struct heads {
    struct od_gemm *gemm;
    struct problem *problems;
};

static void run_heads(void *context, int64_t first, int64_t last, int thread)
{
    const struct heads *heads = context;
    for (int64_t i = first; i < last; i++) {
        struct problem *p = &heads->problems[i];
        memcpy(p->c, p->start, c_bytes(p));
        od_gemm_run_one(heads->gemm, thread, p->m, p->n, p->k, p->a.mat, p->b.mat, p->c, p->ldc,
                        p->accumulate);
    }
}

static void one_product_per_item_inside_the_pool(void **state)
{
    (void)state;
    enum { HEADS = 12 };
    struct draw draw = {test_seed(), 0};
    struct problem problems[HEADS];
    for (int i = 0; i < HEADS; i++) {
        problem_init(&problems[i], &draw, 64 + i, 65 - i, 32);
    }
    struct engine engine = engine_create(3, KIND_BEST);
    struct heads heads = {engine.gemm, problems};
    od_pool_run(engine.pool, HEADS, 1, run_heads, &heads);
    for (int i = 0; i < HEADS; i++) {
        check(&problems[i], "inside the pool");
        problem_release(&problems[i]);
    }
    engine_free(&engine);
}

// Infinities, tiny numbers and zeros of either sign come out as from the loop.
static void special_values(void **state)
{
    (void)state;
    static const float values[] = {0.0F,  -0.0F,  1.0F,     -1.0F,     INFINITY, 1e-45F,
                                   1e38F, -1e38F, 1.2e-38F, -1.5e-39F, 3.0F,     -INFINITY};
    struct draw draw = {test_seed(), 0};
    struct engine vector = engine_create(1, KIND_BEST);
    struct engine scalar = engine_create(1, KIND_SCALAR);
    for (int i = 0; i < 200; i++) {
        struct problem p;
        problem_init(&p, &draw, 1 + draw_below(&draw, 8), 1 + draw_below(&draw, 20),
                     1 + draw_below(&draw, 3));
        float *const a = p.a.memory;
        if (!a) {
            fail();
            return;
        }
        const int64_t limit = draw_below(&draw, 2) ? 12 : 4;
        for (int64_t e = 0; e < p.m; e++) {
            for (int64_t q = 0; q < p.k; q++) {
                a[e * p.a.mat.row_stride + q * p.a.mat.col_stride] =
                    values[draw_below(&draw, limit)];
            }
        }
        memcpy(p.expected, p.start, c_bytes(&p));
        od_gemm_ref(p.m, p.n, p.k, p.a.mat, p.b.mat, p.expected, p.ldc, p.accumulate);
        for (int e = 0; e < 2; e++) {
            struct engine *engine = e == 0 ? &vector : &scalar;
            memcpy(p.c, p.start, c_bytes(&p));
            od_gemm_run(engine->gemm, p.m, p.n, p.k, p.a.mat, p.b.mat, p.c, p.ldc, p.accumulate);
            for (int64_t at = 0; at < p.m * p.ldc; at++) {
                // A NaN is a NaN: which one it is the processor chooses.
                if (!(isnan(p.c[at]) && isnan(p.expected[at]))) {
                    assert_memory_equal(&p.c[at], &p.expected[at], sizeof(float));
                }
            }
        }
        problem_release(&p);
    }
    engine_free(&vector);
    engine_free(&scalar);
}

// Sums so near the middle between two floats that rounding to double first would go the wrong way:
// c + a b with c odd in its last place and a b = (1 - 2^-46) times half of that place.
static void rounds_once(void **state)
{
    (void)state;
    enum { COLS = 19 };
    static const float starts[] = {0x1.000002p0F, -0x1.000002p0F, 0x1.000004p-127F};
    static const float factors[] = {0x1p-24F, -0x1p-24F, 0x1p-75F};
    static const float scales[] = {1.0F, 1.0F, 0x1p-75F};
    struct engine engines[] = {engine_create(1, KIND_BEST), engine_create(1, KIND_SCALAR)};
    for (int e = 0; e < 2; e++) {
        for (int i = 0; i < 3; i++) {
            const float a = factors[i] * 0x1.000002p0F;
            float b[COLS];
            float c[COLS];
            for (int j = 0; j < COLS; j++) {
                b[j] = scales[i] * 0x1.fffffcp-1F;
                c[j] = starts[i];
            }
            od_gemm_run(engines[e].gemm, 1, COLS, 1, (struct od_mat){&a, 1, 1},
                        (struct od_mat){b, COLS, 1}, c, COLS, true);
            for (int j = 0; j < COLS; j++) {
                assert_int_equal(bits_of(c[j]), bits_of(starts[i]));
            }
        }
        engine_free(&engines[e]);
    }
}

static void create_fails_cleanly(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_pool *pool = NULL;
    assert_ok(od_pool_create(2, &pool, &err), &err);
    for (uint64_t n = 1; n <= 2; n++) {
        struct od_gemm *gemm = NULL;
        od_alloc_fail_at(n);
        assert_int_equal(od_gemm_create(pool, od_cpu_features_detect(true), &gemm, &err),
                         OD_E_MEMORY);
        assert_null(gemm);
    }
    od_alloc_fail_at(0);
    od_pool_free(pool);
}

static void peak_is_measured(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_pool *pool = NULL;
    assert_ok(od_pool_create(2, &pool, &err), &err);
    assert_true(od_cpu_fma_peak(pool, od_cpu_features_detect(false), 0.01) == 0.0);
    if (od_cpu_features_detect(true).avx2_fma) {
        assert_true(od_cpu_fma_peak(pool, od_cpu_features_detect(true), 0.01) > 1e8);
    }
    od_pool_free(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vector_has_the_bits_of_the_loop),
        cmocka_unit_test(wide_vector_has_the_bits_of_the_loop),
        cmocka_unit_test(scalar_has_the_bits_of_the_loop),
        cmocka_unit_test(beyond_the_blocks),
        cmocka_unit_test(packed_weights),
        cmocka_unit_test(forms),
        cmocka_unit_test(one_product_per_item_inside_the_pool),
        cmocka_unit_test(special_values),
        cmocka_unit_test(rounds_once),
        cmocka_unit_test(create_fails_cleanly),
        cmocka_unit_test(peak_is_measured),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
