// Goal: every backward definition is the derivative of its forward definition.
// Method: central differences in double of L = sum(c * y) for random c, at random points; every
// element of every input is moved.

#include "ops/reference.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/random.h"
#include "support.h"

enum { BUFFER = 4096, ROUNDS = 6 };
static const double STEP = 1e-5;
static const double TOLERANCE = 1e-7;

static uint64_t drawn;

static double uniform(void)
{
    const struct od_philox d = od_philox_draw(test_seed(), 9, 0, drawn++);
    return 2.0 * od_uniform_f64(d.word[0], d.word[1]) - 1.0;
}

static int64_t between(int64_t low, int64_t high)
{
    const struct od_philox d = od_philox_draw(test_seed(), 9, 1, drawn++);
    return low + (int64_t)(d.word[0] % (uint32_t)(high - low + 1));
}

static void fill(double *x, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        x[i] = uniform();
    }
}

// One operation at one shape: runs forward from its inputs to `y`.
struct problem {
    int64_t a;
    int64_t b;
    int64_t c;
    int64_t d;
    int64_t window;
    int kind;
    int32_t ids[64];
    double x[BUFFER];
    double w[BUFFER];
    double y[BUFFER];
    double weight[BUFFER];  // c above
    double dx[BUFFER];
    double dw[BUFFER];
    int64_t x_count;
    int64_t w_count;
    int64_t y_count;
    void (*forward)(struct problem *p);
};

static double loss(struct problem *p)
{
    double sum = 0.0;
    p->forward(p);
    for (int64_t i = 0; i < p->y_count; i++) {
        sum += p->weight[i] * p->y[i];
    }
    return sum;
}

static double loss_at(struct problem *p, double *input, double value)
{
    const double before = *input;
    *input = value;
    const double there = loss(p);
    *input = before;
    return there;
}

// Differences of four points: rows of a norm that are next to constant bend so much that two would not do.
static void check_input(struct problem *p, double *input, const double *gradient, int64_t count,
                        const char *what)
{
    for (int64_t i = 0; i < count; i++) {
        const double at = input[i];
        const double near = loss_at(p, &input[i], at + STEP) - loss_at(p, &input[i], at - STEP);
        const double far =
            loss_at(p, &input[i], at + 2.0 * STEP) - loss_at(p, &input[i], at - 2.0 * STEP);
        const double want = (8.0 * near - far) / (12.0 * STEP);
        if (!(fabs(want - gradient[i]) <= TOLERANCE * (1.0 + fabs(want)))) {
            fail_msg("%s: element %lld has gradient %g, differences say %g", what, (long long)i,
                     gradient[i], want);
        }
    }
}

static void start(struct problem *p, int64_t x_count, int64_t w_count, int64_t y_count,
                  void (*forward)(struct problem *))
{
    p->x_count = x_count;
    p->w_count = w_count;
    p->y_count = y_count;
    p->forward = forward;
    assert_true(x_count <= BUFFER && w_count <= BUFFER && y_count <= BUFFER);
    fill(p->x, x_count);
    fill(p->w, w_count);
    fill(p->weight, y_count);
    for (int64_t i = 0; i < BUFFER; i++) {
        p->dx[i] = (double)NAN;  // must be written
        p->dw[i] = 0.0;
    }
}

static void rms_norm(struct problem *p)
{
    od_ref_rms_norm_f64(p->y, p->x, p->w, p->a, p->b, 1e-5);
}

static void test_rms_norm(void **state)
{
    (void)state;
    static struct problem p;
    for (int round = 0; round < ROUNDS; round++) {
        p.a = between(1, 4);
        p.b = between(1, 19);
        start(&p, p.a * p.b, p.b, p.a * p.b, rms_norm);
        od_ref_rms_norm_bwd_f64(p.dx, p.dw, p.weight, p.x, p.w, p.a, p.b, 1e-5);
        check_input(&p, p.x, p.dx, p.x_count, "rms_norm dx");
        check_input(&p, p.w, p.dw, p.w_count, "rms_norm dw");
    }
}

static void linear(struct problem *p)
{
    od_ref_linear_f64(p->y, p->x, p->w, p->a, p->b, p->c);
}

static void test_linear(void **state)
{
    (void)state;
    static struct problem p;
    for (int round = 0; round < ROUNDS; round++) {
        p.a = between(1, 5);
        p.b = between(1, 9);
        p.c = between(1, 9);
        start(&p, p.a * p.c, p.b * p.c, p.a * p.b, linear);
        od_ref_linear_bwd_f64(p.dx, p.dw, p.weight, p.x, p.w, p.a, p.b, p.c);
        check_input(&p, p.x, p.dx, p.x_count, "linear dx");
        check_input(&p, p.w, p.dw, p.w_count, "linear dw");
    }
}

static void glu(struct problem *p)
{
    od_ref_glu_f64(p->y, p->x, p->a, p->b, p->kind);
}

static void test_glu(void **state)
{
    (void)state;
    static struct problem p;
    for (int round = 0; round < ROUNDS; round++) {
        p.a = between(1, 4);
        p.b = between(1, 11);
        p.kind = round % 3;
        start(&p, p.a * 2 * p.b, 0, p.a * p.b, glu);
        od_ref_glu_bwd_f64(p.dx, p.weight, p.x, p.a, p.b, p.kind);
        check_input(&p, p.x, p.dx, p.x_count, "glu dx");
    }
}

static void activation(struct problem *p)
{
    od_ref_activation_f64(p->y, p->x, p->a, p->kind);
}

static void test_activation(void **state)
{
    (void)state;
    static struct problem p;
    for (int round = 0; round < ROUNDS; round++) {
        p.a = between(1, 40);
        p.kind = round % 3;
        start(&p, p.a, 0, p.a, activation);
        od_ref_activation_bwd_f64(p.dx, p.weight, p.x, p.a, p.kind);
        check_input(&p, p.x, p.dx, p.x_count, "activation dx");
    }
}

// The bias lies behind the weight in w.
static void layer_norm(struct problem *p)
{
    od_ref_layer_norm_f64(p->y, p->x, p->w, p->w + p->b, p->a, p->b, 1e-5);
}

static void test_layer_norm(void **state)
{
    (void)state;
    static struct problem p;
    for (int round = 0; round < ROUNDS; round++) {
        p.a = between(1, 4);
        p.b = between(2, 19);
        start(&p, p.a * p.b, 2 * p.b, p.a * p.b, layer_norm);
        od_ref_layer_norm_bwd_f64(p.dx, p.dw, p.dw + p.b, p.weight, p.x, p.w, p.a, p.b, 1e-5);
        check_input(&p, p.x, p.dx, p.x_count, "layer_norm dx");
        check_input(&p, p.w, p.dw, p.w_count, "layer_norm dw, db");
    }
}

static void attention(struct problem *p)
{
    od_ref_attention_f64(p->y, p->x, p->a, p->b, p->c, p->d, p->window);
}

static void test_attention(void **state)
{
    (void)state;
    static struct problem p;
    for (int round = 0; round < ROUNDS; round++) {
        p.a = between(1, 7);
        p.c = between(1, 2);
        p.b = p.c * between(1, 3);
        p.d = 2 * between(1, 3);
        p.window = round % 2 == 0 ? 0 : between(1, 5);
        start(&p, p.a * (p.b + 2 * p.c) * p.d, 0, p.a * p.b * p.d, attention);
        od_ref_attention_bwd_f64(p.dx, p.weight, p.x, p.a, p.b, p.c, p.d, p.window);
        check_input(&p, p.x, p.dx, p.x_count, "attention dqkv");
    }
}

static void embed(struct problem *p)
{
    od_ref_embed_f64(p->y, p->w, p->ids, p->a, p->b);
}

static void test_embed(void **state)
{
    (void)state;
    static struct problem p;
    for (int round = 0; round < ROUNDS; round++) {
        p.a = between(1, 12);
        p.b = between(1, 6);
        for (int i = 0; i < 64; i++) {
            p.ids[i] = (int32_t)between(0, 4);  // ids that repeat
        }
        start(&p, 0, 5 * p.b, p.a * p.b, embed);
        od_ref_embed_bwd_f64(p.dw, p.weight, p.ids, p.a, p.b);
        check_input(&p, p.w, p.dw, p.w_count, "embed dw");
    }
}

static void rope(struct problem *p)
{
    memcpy(p->y, p->x, (size_t)p->x_count * sizeof *p->x);
    od_ref_rope_f64(p->y, p->ids, p->a, (p->b + 1) * p->d, p->b, p->d, 100.0, 1);
}

static void test_rope(void **state)
{
    (void)state;
    static struct problem p;
    for (int round = 0; round < ROUNDS; round++) {
        p.a = between(1, 5);
        p.b = between(1, 3);
        p.d = 2 * between(1, 4);
        for (int i = 0; i < 64; i++) {
            p.ids[i] = (int32_t)between(0, 30);
        }
        start(&p, p.a * (p.b + 1) * p.d, 0, p.a * (p.b + 1) * p.d, rope);
        memcpy(p.dx, p.weight, sizeof p.dx);
        od_ref_rope_f64(p.dx, p.ids, p.a, (p.b + 1) * p.d, p.b, p.d, 100.0, -1);
        check_input(&p, p.x, p.dx, p.x_count, "rope dx");
    }
}

static void cross_entropy(struct problem *p)
{
    p->y[0] = od_ref_cross_entropy_f64(NULL, p->x, p->a, (int32_t)p->b);
}

static void test_cross_entropy(void **state)
{
    (void)state;
    static struct problem p;
    for (int round = 0; round < ROUNDS; round++) {
        p.a = between(2, 40);
        p.b = between(0, p.a - 1);
        start(&p, p.a, 0, 1, cross_entropy);
        p.weight[0] = 1.0;
        (void)od_ref_cross_entropy_f64(p.dx, p.x, p.a, (int32_t)p.b);
        check_input(&p, p.x, p.dx, p.x_count, "cross_entropy dlogits");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rms_norm),      cmocka_unit_test(test_linear),
        cmocka_unit_test(test_glu),           cmocka_unit_test(test_activation),
        cmocka_unit_test(test_layer_norm),    cmocka_unit_test(test_attention),
        cmocka_unit_test(test_embed),         cmocka_unit_test(test_rope),
        cmocka_unit_test(test_cross_entropy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
