// Goal: a linear layer with dropout in front of its adapter computes what the definition says, forward
// and backward, and nothing is left out when no gradient is wanted.
// Method: the definition in double with a mask that this file draws itself; ragged shapes; one thread
// without AVX2 and three with it give the same bits.

#include <math.h>
#include <string.h>

#include "base/random.h"
#include "ops/cpu.h"
#include "support.h"

enum { T = 37, N = 26, K = 22, R = 3, PARTS = 2, ROWS = 13, TENSORS = 12, BUFFER = 4096 };
static const float P = 0.3F;
static const float SCALE = 1.5F;

static float x[T * K], w[N * K], a[PARTS * R * K], b[N * R], dy[T * N];

static void draw_inputs(void)
{
    float *const arrays[] = {x, w, a, b, dy};
    static const int sizes[] = {T * K, N * K, PARTS * R * K, N * R, T * N};
    uint64_t drawn = 0;
    for (int i = 0; i < 5; i++) {
        for (int j = 0; j < sizes[i]; j++) {
            arrays[i][j] =
                2.0F * od_uniform_f32(od_philox_draw(test_seed(), 3, 0, drawn++).word[0]) - 1.0F;
        }
    }
}

static bool kept(int t, int c, uint32_t pass)
{
    const uint64_t element = (uint64_t)t * ((K + 3) / 4) + (uint64_t)c / 4;
    const uint32_t word = od_philox_draw(77, 5, pass, element).word[c % 4];
    return (double)word >= floor((double)P * 4294967296.0);
}

struct results {
    float y[T * N], dx[T * K], da[PARTS * R * K], db[N * R];
};

static void run(int threads, bool vector, bool want_gradient, struct results *ret)
{
    struct od_error err = {0};
    struct od_cpu cpu;
    static float xa[T * PARTS * R], work[BUFFER];
    float *tensors[TENSORS] = {x, ret->y, w, a, b, xa, ret->dx, dy, ret->da, ret->db, work};
    struct od_op op = {
        .kind = OD_OP_LINEAR,
        .n = N,
        .k = K,
        .scale = SCALE,
        .rank = R,
        .part_count = PARTS,
        .dropout = P,
        .stream = 5,
        .part = {{.row = 0, .rows = ROWS, .b_row = 0}, {.row = ROWS, .rows = ROWS, .b_row = ROWS}}};
    struct od_batch batch = {
        .tokens = T, .want_gradient = want_gradient, .dropout_seed = 77, .dropout_pass = 9};
    for (int i = 0; i < OD_OP_SLOTS; i++) {
        op.slot[i] = -1;
    }
    op.slot[OD_SLOT_X] = 0;
    op.slot[OD_SLOT_Y] = 1;
    op.slot[OD_SLOT_W] = 2;
    op.slot[OD_SLOT_A] = 3;
    op.slot[OD_SLOT_B] = 4;
    op.slot[OD_SLOT_XA] = 5;
    op.slot[OD_SLOT_WORK] = 10;
    memset(ret, 0xFF, sizeof *ret);
    memset(work, 0xFF, sizeof work);
    memset(ret->da, 0, sizeof ret->da);
    memset(ret->db, 0, sizeof ret->db);
    assert_ok(od_cpu_open(threads, vector, &cpu, &err), &err);
    od_cpu_run(&cpu, &op, tensors, &batch);
    if (want_gradient) {
        op.kind = OD_OP_LINEAR_BWD;
        op.slot[OD_SLOT_Y] = -1;
        op.slot[OD_SLOT_DX] = 6;
        op.slot[OD_SLOT_DY] = 7;
        op.slot[OD_SLOT_DA] = 8;
        op.slot[OD_SLOT_DB] = 9;
        od_cpu_run(&cpu, &op, tensors, &batch);
    }
    od_cpu_close(&cpu);
}

static void near(float got, double want)
{
    assert_true(fabs((double)got - want) <= 1e-4 * (1.0 + fabs(want)));
}

// Y, DX, DA and DB of the definition; `p` 0: without dropout.
static void check(const struct results *r, bool drops, bool backward)
{
    static double d[T][K], xa[T][PARTS * R], g[T][PARTS * R];
    const double factor = drops ? 1.0 / (1.0 - (double)P) : 1.0;
    for (int t = 0; t < T; t++) {
        for (int c = 0; c < K; c++) {
            d[t][c] = !drops || kept(t, c, 9) ? factor : 0.0;
        }
        for (int q = 0; q < PARTS * R; q++) {
            xa[t][q] = g[t][q] = 0.0;
            for (int c = 0; c < K; c++) {
                xa[t][q] += (double)x[t * K + c] * d[t][c] * (double)a[q * K + c];
            }
            for (int n = q / R * ROWS; n < (q / R + 1) * ROWS; n++) {
                g[t][q] += (double)SCALE * (double)dy[t * N + n] * (double)b[n * R + q % R];
            }
        }
        for (int n = 0; n < N; n++) {
            double y = 0.0;
            for (int c = 0; c < K; c++) {
                y += (double)x[t * K + c] * (double)w[n * K + c];
            }
            for (int q = 0; q < R; q++) {
                y += (double)SCALE * xa[t][n / ROWS * R + q] * (double)b[n * R + q];
            }
            near(r->y[t * N + n], y);
        }
        for (int c = 0; backward && c < K; c++) {
            double dx = 0.0;
            for (int n = 0; n < N; n++) {
                dx += (double)dy[t * N + n] * (double)w[n * K + c];
            }
            for (int q = 0; q < PARTS * R; q++) {
                dx += g[t][q] * (double)a[q * K + c] * d[t][c];
            }
            near(r->dx[t * K + c], dx);
        }
    }
    for (int q = 0; backward && q < PARTS * R; q++) {
        for (int c = 0; c < K; c++) {
            double da = 0.0;
            for (int t = 0; t < T; t++) {
                da += g[t][q] * (double)x[t * K + c] * d[t][c];
            }
            near(r->da[q * K + c], da);
        }
        for (int n = q / R * ROWS; n < (q / R + 1) * ROWS; n++) {
            double db = 0.0;
            for (int t = 0; t < T; t++) {
                db += (double)SCALE * (double)dy[t * N + n] * xa[t][q];
            }
            near(r->db[n * R + q % R], db);
        }
    }
}

static void equals_its_definition(void **state)
{
    static struct results plain, fast;
    (void)state;
    draw_inputs();
    run(1, false, true, &plain);
    run(3, true, true, &fast);
    check(&plain, true, true);
    assert_memory_equal(&plain, &fast, sizeof plain);
}

static void leaves_nothing_out_of_an_evaluation(void **state)
{
    static struct results r;
    (void)state;
    draw_inputs();
    run(2, true, false, &r);
    check(&r, false, false);
}

static void keeps_the_share_that_was_asked_for(void **state)
{
    int count = 0;
    int same = 0;
    (void)state;
    for (int t = 0; t < 1000; t++) {
        for (int c = 0; c < K; c++) {
            count += kept(t, c, 1);
            same += kept(t, c, 1) == kept(t, c, 2);
        }
    }
    assert_true(fabs(count / (1000.0 * (double)K) - 0.7) < 0.01);
    assert_true(fabs(same / (1000.0 * (double)K) - (0.49 + 0.09)) <
                0.015);  // passes are independent
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_its_definition),
        cmocka_unit_test(leaves_nothing_out_of_an_evaluation),
        cmocka_unit_test(keeps_the_share_that_was_asked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
