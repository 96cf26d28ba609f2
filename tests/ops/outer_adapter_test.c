// Goal: adapters of head and embedding compute what the definition says, forward and backward, with and
// without dropout, over more labelled rows than the head holds at a time.
// Method: the definition in double with a mask that this file draws itself; ragged shapes; one thread
// without AVX2 and three with it give the same bits.

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/random.h"
#include "ops/cpu.h"
#include "ops/op.h"
#include "support.h"

enum { T = 300, V = 43, C = 22, R = 3, SEED = 77, STREAM = 5, PASS = 9 };
static const float SCALE = 1.5F;
static const float DROPOUT = 0.3F;
static const float LOSS_SCALE = 0.01F;

static float x[T * C], w[V * C], a[R * C], b[V * R], table_a[V * R], table_b[C * R], dy[T * C];
static int32_t ids[T], targets[T];

static void draw(float *to, int count, uint64_t *drawn)
{
    for (int i = 0; i < count; i++) {
        to[i] = 2.0F * od_uniform_f32(od_philox_draw(test_seed(), 3, 0, (*drawn)++).word[0]) - 1.0F;
    }
}

static void draw_inputs(void)
{
    uint64_t drawn = 0;
    draw(x, T * C, &drawn);
    draw(w, V * C, &drawn);
    draw(a, R * C, &drawn);
    draw(b, V * R, &drawn);
    draw(table_a, V * R, &drawn);
    draw(table_b, C * R, &drawn);
    draw(dy, T * C, &drawn);
    for (int t = 0; t < T; t++) {
        const struct od_philox word = od_philox_draw(test_seed(), 4, 0, (uint64_t)t);
        ids[t] = (int32_t)(word.word[0] % V);
        targets[t] = word.word[1] % 3 == 0 ? -1 : (int32_t)(word.word[2] % V);
    }
}

static void near(float got, double want)
{
    assert_true(fabs((double)got - want) <= 1e-4 * (1.0 + fabs(want)));
}

struct head_results {
    double loss;
    float dx[T * C], da[R * C], db[V * R];
};

static void run_head(int threads, bool vector, float dropout, struct head_results *ret)
{
    static float work[OD_HEAD_CHUNK_ROWS * (V + 3 * C + 2 * R)];
    struct od_error err = {0};
    struct od_cpu cpu;
    float *tensors[] = {x, w, a, b, ret->dx, ret->da, ret->db, work};
    struct od_op op = {.kind = OD_OP_HEAD_LOSS,
                       .n = V,
                       .k = C,
                       .scale = SCALE,
                       .rank = R,
                       .part_count = 1,
                       .dropout = dropout,
                       .stream = STREAM};
    static const enum od_slot slots[] = {OD_SLOT_X,  OD_SLOT_W,  OD_SLOT_A,  OD_SLOT_B,
                                         OD_SLOT_DX, OD_SLOT_DA, OD_SLOT_DB, OD_SLOT_WORK};
    struct od_batch batch = {.tokens = T,
                             .targets = targets,
                             .loss_scale = LOSS_SCALE,
                             .want_gradient = true,
                             .dropout_seed = SEED,
                             .dropout_pass = PASS};
    for (int i = 0; i < OD_OP_SLOTS; i++) {
        op.slot[i] = -1;
    }
    for (int i = 0; i < 8; i++) {
        op.slot[slots[i]] = i;
    }
    memset(ret, 0xFF, sizeof *ret);
    memset(work, 0xFF, sizeof work);
    memset(ret->da, 0, sizeof ret->da);
    memset(ret->db, 0, sizeof ret->db);
    assert_ok(od_cpu_open(threads, vector, &cpu, &err), &err);
    od_cpu_run(&cpu, &op, tensors, &batch);
    od_cpu_close(&cpu);
    ret->loss = batch.loss_sum;
}

// What the adapter reads of a value of the labelled row `row`: it times this.
static double factor(int row, int c, float dropout)
{
    if (dropout <= 0.0F) {
        return 1.0;
    }
    const uint64_t element = (uint64_t)row * ((C + 3) / 4) + (uint64_t)c / 4;
    const uint32_t word = od_philox_draw(SEED, STREAM, PASS, element).word[c % 4];
    return (double)word >= floor((double)dropout * 4294967296.0) ? 1.0 / (1.0 - (double)dropout)
                                                                 : 0.0;
}

// Logits of row `t` and what they are made of; gives its loss, and its gradient in their place.
static double definition_of_row(int t, int row, float dropout, double xa[R], double logits[V])
{
    double sum = 0.0;
    for (int q = 0; q < R; q++) {
        xa[q] = 0.0;
        for (int c = 0; c < C; c++) {
            xa[q] += (double)x[t * C + c] * factor(row, c, dropout) * (double)a[q * C + c];
        }
    }
    for (int v = 0; v < V; v++) {
        logits[v] = 0.0;
        for (int c = 0; c < C; c++) {
            logits[v] += (double)x[t * C + c] * (double)w[v * C + c];
        }
        for (int q = 0; q < R; q++) {
            logits[v] += (double)SCALE * xa[q] * (double)b[v * R + q];
        }
        sum += exp(logits[v]);
    }
    const double loss = log(sum) - logits[targets[t]];
    for (int v = 0; v < V; v++) {
        logits[v] = (exp(logits[v]) / sum - (v == targets[t] ? 1.0 : 0.0)) * (double)LOSS_SCALE;
    }
    return loss;
}

static void check_head(const struct head_results *r, float dropout)
{
    static double da[R * C];
    static double db[V * R];
    double loss = 0.0;
    int row = 0;
    memset(da, 0, sizeof da);
    memset(db, 0, sizeof db);
    for (int t = 0; t < T; t++) {
        double xa[R];
        double g[V];
        double gb[R] = {0.0};
        if (targets[t] < 0) {
            for (int c = 0; c < C; c++) {
                near(r->dx[t * C + c], 0.0);
            }
            continue;
        }
        loss += definition_of_row(t, row, dropout, xa, g);
        for (int v = 0; v < V; v++) {
            for (int q = 0; q < R; q++) {
                gb[q] += (double)SCALE * g[v] * (double)b[v * R + q];
                db[v * R + q] += (double)SCALE * g[v] * xa[q];
            }
        }
        for (int c = 0; c < C; c++) {
            double dx = 0.0;
            for (int v = 0; v < V; v++) {
                dx += g[v] * (double)w[v * C + c];
            }
            for (int q = 0; q < R; q++) {
                dx += gb[q] * (double)a[q * C + c] * factor(row, c, dropout);
                da[q * C + c] += gb[q] * (double)x[t * C + c] * factor(row, c, dropout);
            }
            near(r->dx[t * C + c] * 100.0F, dx * 100.0);
        }
        row++;
    }
    assert_true(row > OD_HEAD_CHUNK_ROWS);
    near((float)r->loss, loss);
    for (int i = 0; i < R * C; i++) {
        near(r->da[i], da[i]);
    }
    for (int i = 0; i < V * R; i++) {
        near(r->db[i], db[i]);
    }
}

static void head(void **state)
{
    static struct head_results one;
    static struct head_results three;
    (void)state;
    draw_inputs();
    for (int i = 0; i < 2; i++) {
        const float dropout = i == 0 ? 0.0F : DROPOUT;
        run_head(1, false, dropout, &one);
        run_head(3, true, dropout, &three);
        check_head(&one, dropout);
        assert_memory_equal(&one, &three, sizeof one);
    }
}

struct embed_results {
    float y[T * C], da[V * R], db[C * R];
};

static void run_embed(int threads, bool vector, struct embed_results *ret)
{
    static float xa[T * R], work[T * R];
    struct od_error err = {0};
    struct od_cpu cpu;
    float *tensors[] = {w, ret->y, table_a, table_b, xa, dy, ret->da, ret->db, work};
    struct od_op op = {.kind = OD_OP_EMBED, .n = C, .scale = SCALE, .rank = R, .part_count = 1};
    struct od_batch batch = {.tokens = T, .ids = ids, .want_gradient = true};
    for (int i = 0; i < OD_OP_SLOTS; i++) {
        op.slot[i] = -1;
    }
    op.slot[OD_SLOT_W] = 0;
    op.slot[OD_SLOT_Y] = 1;
    op.slot[OD_SLOT_A] = 2;
    op.slot[OD_SLOT_B] = 3;
    op.slot[OD_SLOT_XA] = 4;
    memset(ret, 0, sizeof *ret);
    memset(work, 0xFF, sizeof work);
    assert_ok(od_cpu_open(threads, vector, &cpu, &err), &err);
    od_cpu_run(&cpu, &op, tensors, &batch);
    op.kind = OD_OP_EMBED_BWD;
    op.slot[OD_SLOT_Y] = -1;
    op.slot[OD_SLOT_DY] = 5;
    op.slot[OD_SLOT_DA] = 6;
    op.slot[OD_SLOT_DB] = 7;
    op.slot[OD_SLOT_WORK] = 8;
    od_cpu_run(&cpu, &op, tensors, &batch);
    od_cpu_close(&cpu);
}

static void embedding(void **state)
{
    static struct embed_results one;
    static struct embed_results three;
    static double da[V * R];
    static double db[C * R];
    (void)state;
    draw_inputs();
    run_embed(1, false, &one);
    run_embed(3, true, &three);
    assert_memory_equal(&one, &three, sizeof one);
    memset(da, 0, sizeof da);
    memset(db, 0, sizeof db);
    for (int t = 0; t < T; t++) {
        for (int c = 0; c < C; c++) {
            const double d = (double)SCALE * (double)dy[t * C + c];
            double y = (double)w[ids[t] * C + c];
            for (int q = 0; q < R; q++) {
                y += (double)SCALE * (double)table_a[ids[t] * R + q] * (double)table_b[c * R + q];
                da[ids[t] * R + q] += d * (double)table_b[c * R + q];
                db[c * R + q] += d * (double)table_a[ids[t] * R + q];
            }
            near(one.y[t * C + c], y);
        }
    }
    for (int i = 0; i < V * R; i++) {
        near(one.da[i], da[i]);
    }
    for (int i = 0; i < C * R; i++) {
        near(one.db[i], db[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(head), cmocka_unit_test(embedding)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
