// Goal: a linear operation over weights of eight-bit floats computes what op.h defines, forward and
// backward, and its adapter sees rows that are not rounded.
// Method: the definition in double, with a rounding that looks for the nearest of all codes; ragged
// shapes; one thread without AVX2 and three with it give the same bits.

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "base/random.h"
#include "base/status.h"
#include "ops/cpu.h"
#include "ops/op.h"
#include "support.h"

enum { T = 19, N = 26, K = 45, R = 3, PARTS = 2, ROWS = 13, NUMBERS = 127 };
static const float SCALE = 1.5F;

enum {
    IN_X,
    IN_DY,
    IN_A,
    IN_B,
    IN_RES,
    IN_BIAS,
    IN_CODES,
    IN_SCALES,
    OUT_Y,
    OUT_DX,
    OUT_DA,
    OUT_DB,
    SCRATCH_W,
    SCRATCH_XA,
    SCRATCH_WORK,
    SCRATCH_ROUNDED,
    TENSORS
};

static float x[T * K], dy[T * N], a[PARTS * R * K], b[N * R], res[T * N], bias[N];
static uint8_t codes[N * K];
static float scales[N];

// The numbers of eight bits from 0 up, from the definition of the format.
static double number(int code)
{
    const int e = code >> 3;
    const double m = (code & 7) / 8.0;
    return e == 0 ? ldexp(m, -6) : ldexp(1.0 + m, e - 7);
}

static double nearest(double value)
{
    const double size = fabs(value);
    int best = 0;
    for (int code = 1; code < NUMBERS; code++) {
        const double gain = fabs(number(best) - size) - fabs(number(code) - size);
        if (gain > 0.0 || (!(gain < 0.0) && code % 2 == 0)) {  // halfway: the even code
            best = code;
        }
    }
    return value < 0.0 ? -number(best) : number(best);
}

// A row that is rounded to eight bits; `factor` NULL: as it is.
static void rounded_row(const float *row, const float *factor, int count, double *to)
{
    float most = 0.0F;
    for (int i = 0; i < count; i++) {
        most = fmaxf(most, fabsf(factor ? row[i] * factor[i] : row[i]));
    }
    const float scale = most / 448.0F;
    const float inverse = scale > 0.0F ? 1.0F / scale : 0.0F;
    for (int i = 0; i < count; i++) {
        const float value = (factor ? row[i] * factor[i] : row[i]) * inverse;
        to[i] = nearest((double)value) * (double)scale;
    }
}

static float draw(uint64_t *at)
{
    return 2.0F * od_uniform_f32(od_philox_draw(test_seed(), 11, 0, (*at)++).word[0]) - 1.0F;
}

static void draw_inputs(void)
{
    float *const arrays[] = {x, dy, a, b, res, bias, scales};
    static const int sizes[] = {T * K, T * N, PARTS * R * K, N * R, T * N, N, N};
    uint64_t at = 0;
    for (int i = 0; i < 7; i++) {
        for (int j = 0; j < sizes[i]; j++) {
            // Sizes far apart, as activations have them.
            arrays[i][j] = draw(&at) * (j % 7 == 0 ? 12.0F : 1.0F);
        }
    }
    memset(x + 2 * K, 0, K * sizeof *x);  // a row that has no scale
    for (int i = 0; i < N; i++) {
        scales[i] = 0.01F + fabsf(scales[i]) * 0.02F;
    }
    for (int i = 0; i < N * K; i++) {
        const uint32_t word = od_philox_draw(test_seed(), 12, 0, (uint64_t)i).word[0];
        codes[i] = (uint8_t)((word % (uint32_t)NUMBERS) | (word & 0x80000000u) >> 24);
    }
}

static double weight(int row, int col, bool with_scale)
{
    const uint8_t code = codes[row * K + col];
    const double value = number(code & 0x7F) * (code & 0x80 ? -1.0 : 1.0);
    return with_scale ? value * (double)scales[row] : value;
}

struct results {
    float y[T * N], dx[T * K], da[PARTS * R * K], db[N * R];
};

static void run(int threads, bool vector, bool accumulate, struct results *ret)
{
    struct od_error err = {0};
    struct od_cpu cpu;
    static float w[N * K], xa[T * PARTS * R], work[T * PARTS * R], rounded[T * K];
    float *tensors[TENSORS] = {
        x,       dy,      a, b,  res,  bias,   (float *)(void *)codes, scales, ret->y, ret->dx,
        ret->da, ret->db, w, xa, work, rounded};
    struct od_op op = {
        .kind = OD_OP_LINEAR,
        .n = N,
        .k = K,
        .scale = SCALE,
        .rank = R,
        .part_count = PARTS,
        .quant = OD_QUANT_E4M3,
        .part = {{.row = 0, .rows = ROWS, .b_row = 0}, {.row = ROWS, .rows = ROWS, .b_row = ROWS}}};
    struct od_batch batch = {.tokens = T, .want_gradient = true};
    for (int i = 0; i < OD_OP_SLOTS; i++) {
        op.slot[i] = -1;
    }
    op.slot[OD_SLOT_X] = IN_X;
    op.slot[OD_SLOT_Y] = OUT_Y;
    op.slot[OD_SLOT_W] = SCRATCH_W;
    op.slot[OD_SLOT_RES] = IN_RES;
    op.slot[OD_SLOT_BIAS] = IN_BIAS;
    op.slot[OD_SLOT_A] = IN_A;
    op.slot[OD_SLOT_B] = IN_B;
    op.slot[OD_SLOT_XA] = SCRATCH_XA;
    op.slot[OD_SLOT_CODES] = IN_CODES;
    op.slot[OD_SLOT_SCALES] = IN_SCALES;
    op.slot[OD_SLOT_ROUNDED] = SCRATCH_ROUNDED;
    memset(ret, 0, sizeof *ret);
    for (int i = 0; i < T * K; i++) {
        ret->dx[i] = accumulate ? 0.25F * (float)(i % 5) : NAN;
        rounded[i] = NAN;
    }
    for (int i = 0; i < N * K; i++) {
        w[i] = NAN;
    }
    assert_ok(od_cpu_open(threads, vector, &cpu, &err), &err);
    od_cpu_run(&cpu, &op, tensors, &batch);
    op.kind = OD_OP_LINEAR_BWD;
    op.accumulate = accumulate;
    op.slot[OD_SLOT_Y] = -1;
    op.slot[OD_SLOT_RES] = -1;
    op.slot[OD_SLOT_BIAS] = -1;
    op.slot[OD_SLOT_DY] = IN_DY;
    op.slot[OD_SLOT_DX] = OUT_DX;
    op.slot[OD_SLOT_DA] = OUT_DA;
    op.slot[OD_SLOT_DB] = OUT_DB;
    op.slot[OD_SLOT_WORK] = SCRATCH_WORK;
    od_cpu_run(&cpu, &op, tensors, &batch);
    od_cpu_close(&cpu);
}

// A sum, and that of its terms' sizes, which bounds what rounding does to it.
struct sum {
    double value;
    double size;
};

// X A^T of the rows of a part, by the definition.
static struct sum folded(int t, int part, int r)
{
    struct sum sum = {0};
    for (int i = 0; i < K; i++) {
        const double one = (double)x[t * K + i] * (double)a[(part * R + r) * K + i];
        sum.value += one;
        sum.size += fabs(one);
    }
    return sum;
}

// Add `inner` times a factor.
static void add_times(struct sum *sum, struct sum inner, double factor)
{
    sum->value += inner.value * factor;
    sum->size += inner.size * fabs(factor);
}

static void near_value(double got, struct sum sum, const char *what, int at)
{
    const double want = sum.value;
    if (!(fabs(got - want) <= 2e-6 * sum.size + 1e-12)) {
        fail_msg("seed %llu: %s[%d] is %.9g, not %.9g", (unsigned long long)test_seed(), what, at,
                 got, want);
    }
}

static void check_forward(const struct results *got)
{
    for (int t = 0; t < T; t++) {
        double row[K];
        rounded_row(x + t * K, NULL, K, row);
        for (int n = 0; n < N; n++) {
            const int part = n / ROWS;
            struct sum sum = {(double)res[t * N + n] + (double)bias[n],
                              fabs((double)res[t * N + n]) + fabs((double)bias[n])};
            for (int i = 0; i < K; i++) {
                add_times(&sum, (struct sum){row[i], fabs(row[i])}, weight(n, i, true));
            }
            for (int r = 0; r < R; r++) {
                add_times(&sum, folded(t, part, r), (double)SCALE * (double)b[n * R + r]);
            }
            near_value((double)got->y[t * N + n], sum, "y", t * N + n);
        }
    }
}

// What flows to X A^T: dY B of a part.
static struct sum folded_gradient(int t, int part, int r)
{
    struct sum sum = {0};
    for (int n = part * ROWS; n < (part + 1) * ROWS; n++) {
        const double one = (double)SCALE * (double)dy[t * N + n] * (double)b[n * R + r];
        sum.value += one;
        sum.size += fabs(one);
    }
    return sum;
}

static void check_input_gradient(const struct results *got, bool accumulate)
{
    for (int t = 0; t < T; t++) {
        double row[N];
        rounded_row(dy + t * N, scales, N, row);
        for (int i = 0; i < K; i++) {
            const double before = accumulate ? 0.25 * ((t * K + i) % 5) : 0.0;
            struct sum sum = {before, before};
            for (int n = 0; n < N; n++) {
                add_times(&sum, (struct sum){row[n], fabs(row[n])}, weight(n, i, false));
            }
            for (int part = 0; part < PARTS; part++) {
                for (int r = 0; r < R; r++) {
                    add_times(&sum, folded_gradient(t, part, r), (double)a[(part * R + r) * K + i]);
                }
            }
            near_value((double)got->dx[t * K + i], sum, "dx", t * K + i);
        }
    }
}

static void check_adapter_gradients(const struct results *got)
{
    for (int part = 0; part < PARTS; part++) {
        for (int r = 0; r < R; r++) {
            for (int i = 0; i < K; i++) {
                struct sum sum = {0};
                for (int t = 0; t < T; t++) {
                    add_times(&sum, folded_gradient(t, part, r), (double)x[t * K + i]);
                }
                near_value((double)got->da[(part * R + r) * K + i], sum, "da", i);
            }
            for (int n = part * ROWS; n < (part + 1) * ROWS; n++) {
                struct sum sum = {0};
                for (int t = 0; t < T; t++) {
                    add_times(&sum, folded(t, part, r), (double)SCALE * (double)dy[t * N + n]);
                }
                near_value((double)got->db[n * R + r], sum, "db", n);
            }
        }
    }
}

static void follows_the_definition(void **state)
{
    static struct results one;
    static struct results many;
    (void)state;
    draw_inputs();
    for (int accumulate = 0; accumulate < 2; accumulate++) {
        run(1, false, accumulate != 0, &one);
        run(3, true, accumulate != 0, &many);
        assert_memory_equal(&one, &many, sizeof one);
        check_forward(&one);
        check_input_gradient(&one, accumulate != 0);
        check_adapter_gradients(&one);
    }
}

// Rows longer than what is decoded at a time, on one thread and on three.
static void long_rows(void **state)
{
    enum { LONG_K = 2571, LONG_T = 7 };
    static float from[LONG_T * LONG_K], to[2][LONG_T * LONG_K];
    struct od_error err = {0};
    uint64_t at = 1 << 20;
    (void)state;
    for (int i = 0; i < LONG_T * LONG_K; i++) {
        from[i] = draw(&at);
    }
    for (int who = 0; who < 2; who++) {
        struct od_cpu cpu;
        float *tensors[] = {from, to[who]};
        struct od_op op = {.kind = OD_OP_LINEAR, .n = 1, .k = LONG_K, .quant = OD_QUANT_E4M3};
        for (int i = 0; i < OD_OP_SLOTS; i++) {
            op.slot[i] = -1;
        }
        op.slot[OD_SLOT_X] = 0;
        op.slot[OD_SLOT_ROUNDED] = 1;
        assert_ok(od_cpu_open(who ? 3 : 1, who != 0, &cpu, &err), &err);
        od_cpu_round_e4m3(&cpu, &op, tensors, LONG_T);
        od_cpu_close(&cpu);
    }
    assert_memory_equal(to[0], to[1], sizeof to[0]);
    for (int t = 0; t < LONG_T; t++) {
        static double want[LONG_K];
        rounded_row(from + t * LONG_K, NULL, LONG_K, want);
        for (int i = 0; i < LONG_K; i++) {
            near_value((double)to[0][t * LONG_K + i], (struct sum){want[i], fabs(want[i])}, "row",
                       i);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(follows_the_definition),
        cmocka_unit_test(long_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
