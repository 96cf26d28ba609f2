// Goal: the fast operations equal their definitions, and their bits depend neither on the number of
// threads nor on AVX2.
// Method: random ragged shapes and inputs; outputs are poisoned with NaN before each run; two
// machines (one plain thread without AVX2, three threads with it) must agree bit for bit, and with
// the float definition within a bound.

#include <math.h>
#include <string.h>

#include "model/spec.h"
#include "ops/cpu.h"
#include "ops/cpu_machines.h"
#include "ops/reference.h"
#include "support.h"

static float expected_b[BUFFER];

static void norms(void **state)
{
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        const int64_t rows = between(1, 40);
        const int64_t c = between(1, 70);
        struct od_batch batch = {.tokens = rows};
        struct od_op op = operation(OD_OP_RMS_NORM);
        op.n = c;
        op.eps = 1e-5F;
        const float *x = random_in(OD_SLOT_X, rows * c);
        const float *w = random_in(OD_SLOT_W, c);
        poison(OD_SLOT_Y);
        poison(OD_SLOT_AUX);
        use(&op, OD_SLOT_X);
        use(&op, OD_SLOT_W);
        use(&op, OD_SLOT_Y);
        use(&op, OD_SLOT_AUX);
        run_both(&op, &batch);
        od_ref_rms_norm_f32(expected, x, w, rows, c, 1e-5F);
        same_and_near(OD_SLOT_Y, expected, rows * c, 1e-5, "rms_norm");

        op.kind = OD_OP_RMS_NORM_BWD;
        const float *dy = random_in(OD_SLOT_DY, rows * c);
        poison(OD_SLOT_DX);
        memset(memory[0][OD_SLOT_DW], 0, (size_t)c * sizeof(float));
        memset(memory[1][OD_SLOT_DW], 0, (size_t)c * sizeof(float));
        memset(expected_b, 0, (size_t)c * sizeof(float));
        use(&op, OD_SLOT_DY);
        use(&op, OD_SLOT_DX);
        use(&op, OD_SLOT_DW);
        run_both(&op, &batch);
        od_ref_rms_norm_bwd_f32(expected, expected_b, dy, x, w, rows, c, 1e-5F);
        same_and_near(OD_SLOT_DX, expected, rows * c, 2e-4, "rms_norm dx");
        same_and_near(OD_SLOT_DW, expected_b, c, 1e-4, "rms_norm dw");
        op.accumulate = true;  // once more on top
        run_both(&op, &batch);
        for (int64_t i = 0; i < rows * c; i++) {
            expected[i] *= 2.0F;
        }
        same_and_near(OD_SLOT_DX, expected, rows * c, 4e-4, "rms_norm dx accumulated");
    }
}

static void gates(void **state)
{
    (void)state;
    for (int round = 0; round < 3 * ROUNDS; round++) {
        const int64_t rows = between(1, 30);
        const int64_t f = between(1, 50);
        struct od_batch batch = {.tokens = rows};
        struct od_op op = operation(OD_OP_GLU);
        op.n = f;
        op.activation = (enum od_activation)(round % 3);
        float *x = random_in(OD_SLOT_X, rows * 2 * f);
        for (int64_t i = 0; i < rows * 2 * f; i++) {
            x[i] = memory[1][OD_SLOT_X][i] = 4.0F * x[i];
        }
        x[0] = memory[1][OD_SLOT_X][0] = -95.0F;  // exp overflows here if it is done carelessly
        poison(OD_SLOT_Y);
        use(&op, OD_SLOT_X);
        use(&op, OD_SLOT_Y);
        run_both(&op, &batch);
        od_ref_glu_f32(expected, x, rows, f, (int)op.activation);
        same_and_near(OD_SLOT_Y, expected, rows * f, 1e-5, "glu");
        op.kind = OD_OP_GLU_BWD;
        const float *dy = random_in(OD_SLOT_DY, rows * f);
        poison(OD_SLOT_DX);
        use(&op, OD_SLOT_DY);
        use(&op, OD_SLOT_DX);
        run_both(&op, &batch);
        od_ref_glu_bwd_f32(expected, dy, x, rows, f, (int)op.activation);
        same_and_near(OD_SLOT_DX, expected, rows * 2 * f, 1e-5, "glu dx");

        op = operation(OD_OP_ACTIVATION);
        op.n = f;
        op.activation = (enum od_activation)(round % 3);
        poison(OD_SLOT_Y);
        use(&op, OD_SLOT_X);
        use(&op, OD_SLOT_Y);
        run_both(&op, &batch);
        od_ref_activation_f32(expected, x, rows * f, (int)op.activation);
        same_and_near(OD_SLOT_Y, expected, rows * f, 1e-5, "activation");
        op.kind = OD_OP_ACTIVATION_BWD;
        poison(OD_SLOT_DX);
        use(&op, OD_SLOT_DY);
        use(&op, OD_SLOT_DX);
        run_both(&op, &batch);
        od_ref_activation_bwd_f32(expected, dy, x, rows * f, (int)op.activation);
        same_and_near(OD_SLOT_DX, expected, rows * f, 1e-5, "activation dx");
    }
}

static void zero(enum od_slot slot, int64_t count)
{
    memset(memory[0][slot], 0, (size_t)count * sizeof(float));
    memset(memory[1][slot], 0, (size_t)count * sizeof(float));
}

static void layer_norms(void **state)
{
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        const int64_t rows = between(1, 40);
        const int64_t c = between(2, 70);
        struct od_batch batch = {.tokens = rows};
        struct od_op op = operation(OD_OP_LAYER_NORM);
        op.n = c;
        op.eps = 1e-5F;
        const float *x = random_in(OD_SLOT_X, rows * c);
        const float *w = random_in(OD_SLOT_W, c);
        const float *b = random_in(OD_SLOT_BIAS, c);
        poison(OD_SLOT_Y);
        poison(OD_SLOT_AUX);
        use(&op, OD_SLOT_X);
        use(&op, OD_SLOT_W);
        use(&op, OD_SLOT_BIAS);
        use(&op, OD_SLOT_Y);
        use(&op, OD_SLOT_AUX);
        run_both(&op, &batch);
        od_ref_layer_norm_f32(expected, x, w, b, rows, c, 1e-5F);
        same_and_near(OD_SLOT_Y, expected, rows * c, 2e-5, "layer_norm");

        static float expected_bias[BUFFER];
        op.kind = OD_OP_LAYER_NORM_BWD;
        const float *dy = random_in(OD_SLOT_DY, rows * c);
        poison(OD_SLOT_DX);
        zero(OD_SLOT_DW, c);
        zero(OD_SLOT_DBIAS, c);
        memset(expected_b, 0, (size_t)c * sizeof(float));
        memset(expected_bias, 0, (size_t)c * sizeof(float));
        use(&op, OD_SLOT_DY);
        use(&op, OD_SLOT_DX);
        use(&op, OD_SLOT_DW);
        use(&op, OD_SLOT_DBIAS);
        run_both(&op, &batch);
        od_ref_layer_norm_bwd_f32(expected, expected_b, expected_bias, dy, x, w, rows, c, 1e-5F);
        same_and_near(OD_SLOT_DX, expected, rows * c, 3e-4, "layer_norm dx");
        same_and_near(OD_SLOT_DW, expected_b, c, 1e-4, "layer_norm dw");
        same_and_near(OD_SLOT_DBIAS, expected_bias, c, 1e-4, "layer_norm db");
        op.accumulate = true;
        run_both(&op, &batch);
        for (int64_t i = 0; i < rows * c; i++) {
            expected[i] *= 2.0F;
        }
        same_and_near(OD_SLOT_DX, expected, rows * c, 6e-4, "layer_norm dx accumulated");
    }
}

// Each head is a row of rms_norm.
static void head_norms(void **state)
{
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        const int64_t rows = between(1, 20);
        const int64_t g = between(1, 3);
        const int64_t h = g * between(1, 3);
        const int64_t d = 2 * between(1, 20);
        const int64_t stride = (h + 2 * g) * d;
        struct od_batch batch = {.tokens = rows};
        struct od_op op = operation(OD_OP_HEAD_NORM);
        op.heads = (int32_t)h;
        op.kv_heads = (int32_t)g;
        op.head_dim = (int32_t)d;
        op.eps = 1e-6F;
        const float *x = random_in(OD_SLOT_X, rows * stride);
        const float *w = random_in(OD_SLOT_W, 2 * d);
        const float *dy = random_in(OD_SLOT_DY, rows * stride);
        poison(OD_SLOT_Y);
        poison(OD_SLOT_AUX);
        poison(OD_SLOT_DX);
        use(&op, OD_SLOT_X);
        use(&op, OD_SLOT_W);
        use(&op, OD_SLOT_Y);
        use(&op, OD_SLOT_AUX);
        run_both(&op, &batch);
        memset(expected_b, 0, (size_t)(2 * d) * sizeof(float));
        static float expected_dx[BUFFER];
        memcpy(expected, x, (size_t)(rows * stride) * sizeof(float));
        memcpy(expected_dx, dy, (size_t)(rows * stride) * sizeof(float));
        for (int64_t unit = 0; unit < rows * (h + g); unit++) {
            const int64_t head = unit % (h + g);
            const int64_t at = unit / (h + g) * stride + head * d;
            const int64_t which = head < h ? 0 : d;
            od_ref_rms_norm_f32(expected + at, x + at, w + which, 1, d, 1e-6F);
            od_ref_rms_norm_bwd_f32(expected_dx + at, expected_b + which, dy + at, x + at,
                                    w + which, 1, d, 1e-6F);
        }
        same_and_near(OD_SLOT_Y, expected, rows * stride, 1e-5, "head_norm");
        op.kind = OD_OP_HEAD_NORM_BWD;
        zero(OD_SLOT_DW, 2 * d);
        use(&op, OD_SLOT_DY);
        use(&op, OD_SLOT_DX);
        use(&op, OD_SLOT_DW);
        run_both(&op, &batch);
        same_and_near(OD_SLOT_DX, expected_dx, rows * stride, 5e-4, "head_norm dx");
        same_and_near(OD_SLOT_DW, expected_b, 2 * d, 1e-4, "head_norm dw");
    }
}

static void learned_positions(void **state)
{
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        const int64_t rows = between(1, 30);
        const int64_t c = between(1, 40);
        int32_t positions[32];
        for (int64_t i = 0; i < rows; i++) {
            positions[i] = (int32_t)between(0, 9);
        }
        struct od_batch batch = {.tokens = rows, .positions = positions};
        struct od_op op = operation(OD_OP_POSITIONS);
        op.n = c;
        const float *w = random_in(OD_SLOT_W, 10 * c);
        memcpy(expected, random_in(OD_SLOT_Y, rows * c), (size_t)(rows * c) * sizeof(float));
        od_ref_embed_f32(expected_b, w, positions, rows, c);
        for (int64_t i = 0; i < rows * c; i++) {
            expected[i] += expected_b[i];
        }
        use(&op, OD_SLOT_W);
        use(&op, OD_SLOT_Y);
        run_both(&op, &batch);
        same_and_near(OD_SLOT_Y, expected, rows * c, 1e-6, "positions");
        op = operation(OD_OP_POSITIONS_BWD);
        op.n = c;
        const float *dy = random_in(OD_SLOT_DY, rows * c);
        zero(OD_SLOT_DW, 10 * c);
        memset(expected, 0, (size_t)(10 * c) * sizeof(float));
        od_ref_embed_bwd_f32(expected, dy, positions, rows, c);
        use(&op, OD_SLOT_DY);
        use(&op, OD_SLOT_DW);
        run_both(&op, &batch);
        same_and_near(OD_SLOT_DW, expected, 10 * c, 1e-5, "positions dw");
    }
}

static void biases(void **state)
{
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        const int64_t rows = between(1, 40);
        const int64_t n = between(1, 40);
        const int64_t k = between(1, 40);
        struct od_batch batch = {.tokens = rows};
        struct od_op op = operation(OD_OP_LINEAR);
        op.n = n;
        op.k = k;
        const float *x = random_in(OD_SLOT_X, rows * k);
        const float *w = random_in(OD_SLOT_W, n * k);
        const float *bias = random_in(OD_SLOT_BIAS, n);
        const float *res = random_in(OD_SLOT_RES, rows * n);
        const float *dy = random_in(OD_SLOT_DY, rows * n);
        poison(OD_SLOT_Y);
        use(&op, OD_SLOT_X);
        use(&op, OD_SLOT_W);
        use(&op, OD_SLOT_BIAS);
        use(&op, OD_SLOT_Y);
        if (round % 2 == 0) {
            use(&op, OD_SLOT_RES);
        }
        run_both(&op, &batch);
        od_ref_linear_f32(expected, x, w, rows, n, k);
        memset(expected_b, 0, (size_t)n * sizeof(float));
        for (int64_t i = 0; i < rows * n; i++) {
            expected[i] += bias[i % n] + (round % 2 == 0 ? res[i] : 0.0F);
            expected_b[i % n] += dy[i];
        }
        same_and_near(OD_SLOT_Y, expected, rows * n, 1e-5, "linear with a bias");
        op = operation(OD_OP_LINEAR_BWD);
        op.n = n;
        op.k = k;
        zero(OD_SLOT_DBIAS, n);
        use(&op, OD_SLOT_W);
        use(&op, OD_SLOT_DY);
        use(&op, OD_SLOT_DBIAS);
        run_both(&op, &batch);
        same_and_near(OD_SLOT_DBIAS, expected_b, n, 1e-5, "bias gradient");
    }
}

static void rotation(void **state)
{
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        const int64_t tokens = between(1, 20);
        const int64_t g = between(1, 2);
        const int64_t h = g * between(1, 3);
        const int64_t d = 2 * between(1, 12);
        const int64_t row = (h + 2 * g) * d;
        int32_t positions[32];
        for (int64_t i = 0; i < tokens; i++) {
            positions[i] = (int32_t)between(0, 99);
        }
        struct od_batch batch = {.tokens = tokens, .positions = positions};
        struct od_op op = operation(OD_OP_ROPE);
        op.heads = (int32_t)h;
        op.kv_heads = (int32_t)g;
        op.head_dim = (int32_t)d;
        memcpy(expected, random_in(OD_SLOT_Y, tokens * row),
               (size_t)(tokens * row) * sizeof(float));
        const struct od_spec spec = {.head_dim = (int32_t)d, .rope_theta = 10000.0};
        od_spec_rope_table(&spec, 100, memory[0][OD_SLOT_AUX]);
        od_spec_rope_table(&spec, 100, memory[1][OD_SLOT_AUX]);
        use(&op, OD_SLOT_Y);
        use(&op, OD_SLOT_AUX);
        memcpy(expected_b, expected, (size_t)(tokens * row) * sizeof(float));
        run_both(&op, &batch);
        od_ref_rope_f32(expected, positions, tokens, row, h + g, d, 10000.0, 1);
        same_and_near(OD_SLOT_Y, expected, tokens * row, 1e-5, "rope");
        op = operation(OD_OP_ROPE_BWD);
        op.heads = (int32_t)h;
        op.kv_heads = (int32_t)g;
        op.head_dim = (int32_t)d;
        op.slot[OD_SLOT_DY] = OD_SLOT_Y;
        op.slot[OD_SLOT_AUX] = OD_SLOT_AUX;
        run_both(&op, &batch);  // and back
        same_and_near(OD_SLOT_Y, expected_b, tokens * row, 1e-5, "rope back");
    }
}

static void losses(void **state)
{
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        const int64_t tokens = between(1, 300);
        const int64_t v = between(2, 60);
        const int64_t c = between(1, 40);
        int32_t targets[512];
        float logits[64];
        float dlogits[64];
        double want = 0.0;
        for (int64_t i = 0; i < tokens; i++) {
            targets[i] = between(0, 2) == 0 ? -1 : (int32_t)between(0, v - 1);
        }
        struct od_batch batch = {
            .tokens = tokens, .targets = targets, .loss_scale = 0.25F, .want_gradient = true};
        struct od_op op = operation(OD_OP_HEAD_LOSS);
        op.n = v;
        op.k = c;
        const float *x = random_in(OD_SLOT_X, tokens * c);
        const float *w = random_in(OD_SLOT_W, v * c);
        poison(OD_SLOT_DX);
        poison(OD_SLOT_WORK);
        memset(memory[0][OD_SLOT_DW], 0, (size_t)(v * c) * sizeof(float));
        memset(memory[1][OD_SLOT_DW], 0, (size_t)(v * c) * sizeof(float));
        memset(expected, 0, (size_t)(tokens * c) * sizeof(float));
        memset(expected_b, 0, (size_t)(v * c) * sizeof(float));
        use(&op, OD_SLOT_X);
        use(&op, OD_SLOT_W);
        use(&op, OD_SLOT_DX);
        use(&op, OD_SLOT_DW);
        use(&op, OD_SLOT_WORK);
        struct od_batch one = batch;
        od_cpu_run(&plain, &op, memory[0], &one);
        od_cpu_run(&fast, &op, memory[1], &batch);
        for (int64_t t = 0; t < tokens; t++) {
            if (targets[t] < 0) {
                continue;
            }
            od_ref_linear_f32(logits, x + t * c, w, 1, v, c);
            want += (double)od_ref_cross_entropy_f32(dlogits, logits, v, targets[t]);
            for (int64_t i = 0; i < v; i++) {
                dlogits[i] *= 0.25F;
            }
            od_ref_linear_bwd_f32(expected + t * c, expected_b, dlogits, x + t * c, w, 1, v, c);
        }
        assert_true(memcmp(&one.loss_sum, &batch.loss_sum, sizeof one.loss_sum) == 0);
        assert_true(fabs(batch.loss_sum - want) <= 1e-5 * (1.0 + want));
        same_and_near(OD_SLOT_DX, expected, tokens * c, 1e-5, "head dx");
        same_and_near(OD_SLOT_DW, expected_b, v * c, 1e-4, "head dw");
    }
}

// An adapter is a change of the weight: W + s B A, on the rows of its parts.
static void adapters(void **state)
{
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        const int64_t tokens = between(1, 25);
        const int64_t k = between(1, 30);
        const int64_t r = between(1, 5);
        const int64_t n1 = between(1, 20);
        const int64_t gap = between(0, 4);
        const int64_t n2 = between(1, 20);
        const int64_t n = n1 + gap + n2;
        struct od_batch batch = {.tokens = tokens};
        struct od_op op = operation(OD_OP_LINEAR);
        op.n = n;
        op.k = k;
        op.rank = r;
        op.scale = 0.5F;
        op.part_count = 2;
        op.part[0] = (struct od_adapter_part){.row = 0, .rows = n1, .b_row = 0};
        op.part[1] = (struct od_adapter_part){.row = n1 + gap, .rows = n2, .b_row = n1};
        const float *x = random_in(OD_SLOT_X, tokens * k);
        const float *w = random_in(OD_SLOT_W, n * k);
        const float *a = random_in(OD_SLOT_A, 2 * r * k);
        const float *b = random_in(OD_SLOT_B, (n1 + n2) * r);
        const float *res = random_in(OD_SLOT_RES, tokens * n);
        poison(OD_SLOT_Y);
        poison(OD_SLOT_XA);
        const enum od_slot in[] = {OD_SLOT_X, OD_SLOT_W,   OD_SLOT_A, OD_SLOT_B,
                                   OD_SLOT_Y, OD_SLOT_RES, OD_SLOT_XA};
        for (size_t i = 0; i < 7; i++) {
            use(&op, in[i]);
        }
        run_both(&op, &batch);
        static float merged[BUFFER];
        memcpy(merged, w, (size_t)(n * k) * sizeof(float));
        for (int p = 0; p < 2; p++) {
            for (int64_t i = 0; i < op.part[p].rows; i++) {
                for (int64_t j = 0; j < k; j++) {
                    float sum = 0.0F;
                    for (int64_t q = 0; q < r; q++) {
                        sum += b[(op.part[p].b_row + i) * r + q] * a[(p * r + q) * k + j];
                    }
                    merged[(op.part[p].row + i) * k + j] += 0.5F * sum;
                }
            }
        }
        od_ref_linear_f32(expected, x, merged, tokens, n, k);
        for (int64_t i = 0; i < tokens * n; i++) {
            expected[i] += res[i];
        }
        same_and_near(OD_SLOT_Y, expected, tokens * n, 2e-5, "adapter");

        op.kind = OD_OP_LINEAR_BWD;
        op.slot[OD_SLOT_RES] = -1;
        const float *dy = random_in(OD_SLOT_DY, tokens * n);
        poison(OD_SLOT_DX);
        poison(OD_SLOT_WORK);
        const enum od_slot sums[] = {OD_SLOT_DW, OD_SLOT_DA, OD_SLOT_DB};
        for (size_t i = 0; i < 3; i++) {
            memset(memory[0][sums[i]], 0, BUFFER * sizeof(float));
            memset(memory[1][sums[i]], 0, BUFFER * sizeof(float));
            use(&op, sums[i]);
        }
        use(&op, OD_SLOT_DY);
        use(&op, OD_SLOT_DX);
        use(&op, OD_SLOT_WORK);
        run_both(&op, &batch);
        memset(expected_b, 0, sizeof expected_b);
        od_ref_linear_bwd_f32(expected, expected_b, dy, x, merged, tokens, n, k);
        same_and_near(OD_SLOT_DX, expected, tokens * k, 5e-5, "adapter dx");
        same_and_near(OD_SLOT_DW, expected_b, n * k, 5e-5, "adapter dw");
        // dB = s dW A^T and dA = s B^T dW, on the part's rows.
        for (int p = 0; p < 2; p++) {
            for (int64_t q = 0; q < r; q++) {
                for (int64_t i = 0; i < op.part[p].rows; i++) {
                    double sum = 0.0;
                    for (int64_t j = 0; j < k; j++) {
                        sum += 0.5 * (double)expected_b[(op.part[p].row + i) * k + j] *
                               (double)a[(p * r + q) * k + j];
                    }
                    const double got =
                        (double)memory[1][OD_SLOT_DB][(op.part[p].b_row + i) * r + q];
                    assert_true(fabs(got - sum) <= 1e-4 * (1.0 + fabs(sum)));
                }
                for (int64_t j = 0; j < k; j++) {
                    double sum = 0.0;
                    for (int64_t i = 0; i < op.part[p].rows; i++) {
                        sum += 0.5 * (double)expected_b[(op.part[p].row + i) * k + j] *
                               (double)b[(op.part[p].b_row + i) * r + q];
                    }
                    const double got = (double)memory[1][OD_SLOT_DA][(p * r + q) * k + j];
                    assert_true(fabs(got - sum) <= 1e-4 * (1.0 + fabs(sum)));
                }
            }
        }
    }
}

static void optimiser(void **state)
{
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        const int64_t count = between(1, 9000);
        const double lr = 1e-3;
        static float v[3][BUFFER];
        const float *g = random_in(OD_SLOT_DW, count);
        memcpy(v[0], random_in(OD_SLOT_W, count), (size_t)count * sizeof(float));
        memcpy(v[1], random_in(OD_SLOT_X, count), (size_t)count * sizeof(float));
        for (int64_t i = 0; i < count; i++) {
            v[2][i] = fabsf(v[1][i]);
            memory[0][OD_SLOT_Y][i] = memory[1][OD_SLOT_Y][i] = v[2][i];
        }
        const int64_t t = between(1, 50);
        const double bc1 = 1.0 - pow(0.9, (double)t);
        const double bc2 = 1.0 - pow(0.999, (double)t);
        const struct od_adamw_step step = {.lr = (float)lr,
                                           .beta1 = 0.9F,
                                           .beta2 = 0.999F,
                                           .one_minus_beta1 = (float)(1.0 - 0.9),
                                           .one_minus_beta2 = (float)(1.0 - 0.999),
                                           .step_size = (float)(lr / bc1),
                                           .inv_sqrt_bc2 = (float)(1.0 / sqrt(bc2)),
                                           .eps = 1e-8F,
                                           .decay = (float)(1.0 - lr * 0.1),
                                           .grad_scale = 1.0F};
        double partials[8];
        od_cpu_adamw(&plain, memory[0][OD_SLOT_W], memory[0][OD_SLOT_X], memory[0][OD_SLOT_Y], g,
                     count, &step);
        od_cpu_adamw(&fast, memory[1][OD_SLOT_W], memory[1][OD_SLOT_X], memory[1][OD_SLOT_Y], g,
                     count, &step);
        od_ref_adamw_f32(v[0], v[1], v[2], g, count, lr, 0.9, 0.999, 1e-8, 0.1, t);
        same_and_near(OD_SLOT_W, v[0], count, 1e-6, "adamw");
        same_and_near(OD_SLOT_X, v[1], count, 1e-6, "adamw m");
        same_and_near(OD_SLOT_Y, v[2], count, 1e-6, "adamw v");
        double want = 0.0;
        for (int64_t i = 0; i < count; i++) {
            want += (double)g[i] * (double)g[i];
        }
        const double one = od_cpu_sum_squares(&plain, g, count, partials);
        const double two = od_cpu_sum_squares(&fast, g, count, partials);
        assert_true(memcmp(&one, &two, sizeof one) == 0);
        assert_true(fabs(one - want) <= 1e-12 * want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(norms),
        cmocka_unit_test(gates),
        cmocka_unit_test(rotation),
        cmocka_unit_test(losses),
        cmocka_unit_test(adapters),
        cmocka_unit_test(optimiser),
        cmocka_unit_test(layer_norms),
        cmocka_unit_test(head_norms),
        cmocka_unit_test(learned_positions),
        cmocka_unit_test(biases),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
