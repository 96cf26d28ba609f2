// Goal: the GPU's operations that the families besides Llama need compute what their formulas say,
// and the same bits each time: activations, layer norm, norms of heads, learned positions, biases,
// and attention that sees a window.
// Method: a program of one forward and one backward operation is laid out by hand; random values,
// rounded to bf16, go in; a definition in double, written down here, is the expectation. Memory
// starts as NaN, gradients that are added to start with values of their own. Shapes with and without
// rows of whole 16-byte pieces.

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/memory.h"
#include "base/random.h"
#include "base/status.h"
#include "device/cuda/cuda.h"
#include "device/cuda/matmul.h"
#include "ops/attention/attention_cuda.h"
#include "ops/gpu.h"
#include "ops/op.h"
#include "support.h"

enum { TENSORS_MAX = 24, TOKENS = 67, USED = 50 };
/** Largest norm of an error over the norm of what is expected: of bf16 and of fp32 results. */
static const double HALF_BOUND = 4e-3;
static const double ATTENTION_BOUND = 1e-2;  // probabilities and their gradients in bf16 between
static const double FLOAT_BOUND = 3e-5;

static uint64_t drawn;

static float normal(void)
{
    double a;
    double b;
    od_normal_pair(od_philox_draw(test_seed(), 22, 0, drawn++), &a, &b);
    return (float)a;
}

static float rounded(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    bits = (bits + 0x7FFFu + ((bits >> 16) & 1u)) & 0xFFFF0000u;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/** A program on the card, with the values that went into it. */
struct fixture {
    struct od_gpu_tensor tensor[TENSORS_MAX];
    float *value[TENSORS_MAX];  ///< [rows, cols] what was put in
    int32_t count;
    struct od_op op[2];  ///< forward, backward
    struct od_gpu_inputs inputs;
    int64_t tokens;
    double half_bound;
    uint64_t bytes;
    struct od_cuda *cuda;
    struct od_gpu *gpu;
};

static bool have_gpu(void)
{
    struct od_error err = {0};
    if (od_cuda_count(&err) > 0) {
        return true;
    }
    print_message("no GPU: %s\n", err.message);
    return false;
}

static void begin(struct fixture *f, int64_t tokens, enum od_op_kind forward,
                  enum od_op_kind backward)
{
    *f = (struct fixture){.tokens = tokens,
                          .half_bound = forward == OD_OP_ATTENTION ? ATTENTION_BOUND : HALF_BOUND,
                          .inputs = {-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1}};
    for (int i = 0; i < 2; i++) {
        f->op[i].kind = i == 0 ? forward : backward;
        for (int s = 0; s < OD_OP_SLOTS; s++) {
            f->op[i].slot[s] = -1;
        }
    }
}

static int32_t tensor(struct fixture *f, int64_t rows, int64_t cols, int64_t stride, bool is_float)
{
    const int32_t number = f->count++;
    assert_true(number < TENSORS_MAX);
    const size_t bytes = (size_t)(rows * stride) * (is_float ? 4u : 2u);
    f->tensor[number] = (struct od_gpu_tensor){.at = f->bytes,
                                               .rows = rows,
                                               .cols = cols,
                                               .stride = stride,
                                               .is_float = is_float,
                                               .bytes = bytes};
    f->bytes += (bytes + 255u) & ~(size_t)255u;
    return number;
}

// Rows of bf16 as programs lay them out: whole pieces of 16 bytes, and a few spare columns.
static int32_t half(struct fixture *f, int64_t rows, int64_t cols)
{
    return tensor(f, rows, cols, (cols + 7) / 8 * 8 + 8, false);
}

static int32_t full(struct fixture *f, int64_t rows, int64_t cols)
{
    return tensor(f, rows, cols, cols, true);
}

// The slot of both operations.
static void give(struct fixture *f, enum od_slot slot, int32_t number)
{
    f->op[0].slot[slot] = number;
    f->op[1].slot[slot] = number;
}

static void open(struct fixture *f, bool use_library)
{
    struct od_error err = {0};
    const struct od_gpu_layout layout = {.tensors = f->tensor,
                                         .tensor_count = f->count,
                                         .ops = f->op,
                                         .op_count = 2,
                                         .forward_count = 1,
                                         .inputs = f->inputs,
                                         .tokens = f->tokens,
                                         .plan_bytes = f->bytes,
                                         .use_library = use_library};
    assert_ok(od_cuda_open(0, &f->cuda, &err), &err);
    assert_ok(od_gpu_open(f->cuda, &layout, &f->gpu, &err), &err);
}

static void close(struct fixture *f)
{
    for (int32_t i = 0; i < f->count; i++) {
        od_free(f->value[i]);
    }
    od_gpu_close(f->gpu);
    od_cuda_close(f->cuda);
}

// Send f->value[number]; spare columns become NaN.
static void put(struct fixture *f, int32_t number)
{
    struct od_error err = {0};
    const struct od_gpu_tensor t = od_gpu_tensor(f->gpu, number);
    const float *from = f->value[number];
    unsigned char *raw = od_alloc(t.bytes, 1);
    assert_non_null(raw);
    memset(raw, 0xFF, t.bytes);
    for (int64_t i = 0; i < t.rows * t.cols; i++) {
        const int64_t at = i / t.cols * t.stride + i % t.cols;
        uint32_t bits;
        memcpy(&bits, &from[i], sizeof bits);
        const uint16_t high = (uint16_t)(bits >> 16);
        memcpy(raw + at * (t.is_float ? 4 : 2), t.is_float ? (const void *)&bits : &high,
               t.is_float ? 4 : 2);
    }
    od_cuda_upload(f->cuda, t.at, raw, t.bytes);
    assert_ok(od_cuda_sync(f->cuda, &err), &err);
    od_free(raw);
}

// Random values of a tensor: offset + scale * normal.
static const float *random_values(struct fixture *f, int32_t number, float scale, float offset)
{
    const struct od_gpu_tensor t = f->tensor[number];
    f->value[number] = od_alloc((size_t)(t.rows * t.cols), sizeof(float));
    assert_non_null(f->value[number]);
    for (int64_t i = 0; i < t.rows * t.cols; i++) {
        const float x = offset + scale * normal();
        f->value[number][i] = t.is_float ? x : rounded(x);
    }
    put(f, number);
    return f->value[number];
}

// What lies in a tensor now.
static void get(struct fixture *f, int32_t number, float *to)
{
    struct od_error err = {0};
    const struct od_gpu_tensor t = od_gpu_tensor(f->gpu, number);
    unsigned char *raw = od_alloc(t.bytes, 1);
    assert_non_null(raw);
    od_cuda_download(f->cuda, raw, t.at, t.bytes);
    assert_ok(od_cuda_sync(f->cuda, &err), &err);
    for (int64_t i = 0; i < t.rows * t.cols; i++) {
        const int64_t at = i / t.cols * t.stride + i % t.cols;
        uint32_t bits;
        uint16_t high;
        memcpy(&bits, raw + at * (t.is_float ? 4 : 2), t.is_float ? 4 : 2);
        memcpy(&high, &bits, sizeof high);
        bits = t.is_float ? bits : (uint32_t)high << 16;
        memcpy(&to[i], &bits, sizeof bits);
    }
    od_free(raw);
}

// Takes `want` [rows, cols].
static void expect(struct fixture *f, int32_t number, double *want, const char *what)
{
    const struct od_gpu_tensor t = f->tensor[number];
    float *got = od_alloc((size_t)(t.rows * t.cols), sizeof *got);
    double error = 0.0;
    double norm = 0.0;
    assert_non_null(got);
    get(f, number, got);
    for (int64_t i = 0; i < t.rows * t.cols; i++) {
        error += ((double)got[i] - want[i]) * ((double)got[i] - want[i]);
        norm += want[i] * want[i];
    }
    error = sqrt(error / norm);
    print_message("  %s [%lld, %lld]: %.2g\n", what, (long long)t.rows, (long long)t.cols, error);
    if (!(error <= (t.is_float ? FLOAT_BOUND : f->half_bound))) {
        fail_msg("%s: error %g, seed %llu", what, error, (unsigned long long)test_seed());
    }
    od_free(got);
    od_free(want);
}

static double *doubles(int64_t rows, int64_t cols)
{
    double *made = od_alloc((size_t)(rows * cols), sizeof *made);
    assert_non_null(made);
    memset(made, 0, (size_t)(rows * cols) * sizeof *made);
    return made;
}

// The backward operation once more on the same values: the same bits.
static void expect_again(struct fixture *f, const int32_t *outputs, int count)
{
    for (int i = 0; i < count; i++) {
        const size_t size = (size_t)(f->tensor[outputs[i]].rows * f->tensor[outputs[i]].cols);
        float *first = od_alloc(size, sizeof *first);
        float *second = od_alloc(size, sizeof *second);
        assert_non_null(first);
        assert_non_null(second);
        get(f, outputs[i], first);
        for (int j = 0; j < count; j++) {
            if (f->value[outputs[j]]) {
                put(f, outputs[j]);
            }
        }
        od_gpu_run(f->gpu, &f->op[1]);
        get(f, outputs[i], second);
        assert_memory_equal(first, second, size * sizeof *first);
        od_free(first);
        od_free(second);
    }
}

// Activations.

static double phi(double x)
{
    return 0.5 * erfc(-x / sqrt(2.0));
}

static double activate(enum od_activation kind, double x, double *ret_slope)
{
    const double pi = acos(-1.0);
    const double s = 1.0 / (1.0 + exp(-x));
    const double t = tanh(sqrt(2.0 / pi) * (x + 0.044715 * x * x * x));
    switch (kind) {
    case OD_ACTIVATION_SILU: *ret_slope = s * (1.0 + x * (1.0 - s)); return x * s;
    case OD_ACTIVATION_GELU:
        *ret_slope = phi(x) + x * exp(-0.5 * x * x) / sqrt(2.0 * pi);
        return x * phi(x);
    case OD_ACTIVATION_GELU_TANH:
        *ret_slope = 0.5 * (1.0 + t) +
                     0.5 * x * (1.0 - t * t) * sqrt(2.0 / pi) * (1.0 + 3.0 * 0.044715 * x * x);
        return 0.5 * x * (1.0 + t);
    }
    fail();
    return 0.0;
}

// `gated`: GLU, else ACTIVATION.
static void check_activation(enum od_activation kind, bool gated, int64_t f_cols)
{
    struct fixture f;
    const int64_t x_cols = gated ? 2 * f_cols : f_cols;
    begin(&f, TOKENS, gated ? OD_OP_GLU : OD_OP_ACTIVATION,
          gated ? OD_OP_GLU_BWD : OD_OP_ACTIVATION_BWD);
    const int32_t x = half(&f, TOKENS, x_cols);
    const int32_t y = half(&f, TOKENS, f_cols);
    const int32_t dx = half(&f, TOKENS, x_cols);
    const int32_t dy = half(&f, TOKENS, f_cols);
    give(&f, OD_SLOT_X, x);
    f.op[0].slot[OD_SLOT_Y] = y;
    f.op[1].slot[OD_SLOT_DX] = dx;
    f.op[1].slot[OD_SLOT_DY] = dy;
    for (int i = 0; i < 2; i++) {
        f.op[i].n = f_cols;
        f.op[i].activation = kind;
    }
    open(&f, false);
    const float *xs = random_values(&f, x, 3.0F, 0.0F);
    const float *dys = random_values(&f, dy, 1.0F, 0.0F);
    f.value[x][0] = 60.0F;
    f.value[x][1] = -60.0F;
    f.value[x][2] = 0.0F;
    put(&f, x);
    double *ys = doubles(TOKENS, f_cols);
    double *dxs = doubles(TOKENS, x_cols);
    for (int64_t i = 0; i < TOKENS * f_cols; i++) {
        const int64_t at = i / f_cols * x_cols + i % f_cols;
        const double up = gated ? (double)xs[at + f_cols] : 1.0;
        double slope;
        const double value = activate(kind, (double)xs[at], &slope);
        ys[i] = value * up;
        dxs[at] = (double)dys[i] * up * slope;
        if (gated) {
            dxs[at + f_cols] = (double)dys[i] * value;
        }
    }
    print_message("activation %d%s\n", (int)kind, gated ? ", gated" : "");
    od_gpu_run(f.gpu, &f.op[0]);
    od_gpu_run(f.gpu, &f.op[1]);
    expect(&f, y, ys, "y");
    expect(&f, dx, dxs, "dx");
    close(&f);
}

static void activations(void **state)
{
    (void)state;
    if (!have_gpu()) {
        skip();
    }
    for (int kind = 0; kind < OD_ACTIVATION_COUNT; kind++) {
        for (int i = 0; i < 4; i++) {
            check_activation((enum od_activation)kind, i < 2, i % 2 == 0 ? 2104 : 171);
        }
    }
}

// Layer norm.

static void check_layer_norm(int64_t cols, bool accumulate)
{
    struct fixture f;
    const double eps = 1e-5;
    begin(&f, TOKENS, OD_OP_LAYER_NORM, OD_OP_LAYER_NORM_BWD);
    const int32_t x = half(&f, TOKENS, cols);
    const int32_t y = half(&f, TOKENS, cols);
    const int32_t dx = half(&f, TOKENS, cols);
    const int32_t dy = half(&f, TOKENS, cols);
    const int32_t w = full(&f, 1, cols);
    const int32_t bias = full(&f, 1, cols);
    const int32_t dw = full(&f, 1, cols);
    const int32_t dbias = full(&f, 1, cols);
    const int32_t aux = full(&f, TOKENS, 2);
    give(&f, OD_SLOT_X, x);
    give(&f, OD_SLOT_W, w);
    give(&f, OD_SLOT_BIAS, bias);
    give(&f, OD_SLOT_AUX, aux);
    f.op[0].slot[OD_SLOT_Y] = y;
    f.op[1].slot[OD_SLOT_DX] = dx;
    f.op[1].slot[OD_SLOT_DY] = dy;
    f.op[1].slot[OD_SLOT_DW] = dw;
    f.op[1].slot[OD_SLOT_DBIAS] = dbias;
    f.op[1].accumulate = accumulate;
    for (int i = 0; i < 2; i++) {
        f.op[i].n = cols;
        f.op[i].eps = (float)eps;
    }
    open(&f, false);
    const float *xs = random_values(&f, x, 1.0F, 2.0F);
    const float *dys = random_values(&f, dy, 1.0F, 0.2F);
    const float *ws = random_values(&f, w, 0.3F, 1.0F);
    const float *bs = random_values(&f, bias, 0.5F, 0.0F);
    const float *dxs_before = random_values(&f, dx, 1.0F, 0.0F);
    const float *dws_before = random_values(&f, dw, 1.0F, 0.0F);
    const float *dbs_before = random_values(&f, dbias, 1.0F, 0.0F);
    double *ys = doubles(TOKENS, cols);
    double *dxs = doubles(TOKENS, cols);
    double *dws = doubles(1, cols);
    double *dbs = doubles(1, cols);
    double *stats = doubles(TOKENS, 2);
    for (int64_t c = 0; c < cols; c++) {
        dws[c] = (double)dws_before[c];
        dbs[c] = (double)dbs_before[c];
    }
    for (int64_t t = 0; t < TOKENS; t++) {
        double mean = 0.0;
        double variance = 0.0;
        double plain = 0.0;
        double products = 0.0;
        for (int64_t c = 0; c < cols; c++) {
            mean += (double)xs[t * cols + c] / (double)cols;
        }
        for (int64_t c = 0; c < cols; c++) {
            variance += pow((double)xs[t * cols + c] - mean, 2.0) / (double)cols;
        }
        const double rstd = 1.0 / sqrt(variance + eps);
        for (int64_t c = 0; c < cols; c++) {
            const double h = ((double)xs[t * cols + c] - mean) * rstd;
            const double d = (double)dys[t * cols + c];
            ys[t * cols + c] = h * (double)ws[c] + (double)bs[c];
            dws[c] += d * h;
            dbs[c] += d;
            plain += d * (double)ws[c] / (double)cols;
            products += d * (double)ws[c] * h / (double)cols;
        }
        for (int64_t c = 0; c < cols; c++) {
            const double h = ((double)xs[t * cols + c] - mean) * rstd;
            dxs[t * cols + c] =
                (accumulate ? (double)dxs_before[t * cols + c] : 0.0) +
                rstd * ((double)dys[t * cols + c] * (double)ws[c] - plain - h * products);
        }
        stats[2 * t] = mean;
        stats[2 * t + 1] = rstd;
    }
    print_message("layer norm%s\n", accumulate ? ", adding" : "");
    od_gpu_run(f.gpu, &f.op[0]);
    expect(&f, y, ys, "y");
    expect(&f, aux, stats, "mean and rstd");
    od_gpu_run(f.gpu, &f.op[1]);
    expect(&f, dx, dxs, "dx");
    expect(&f, dw, dws, "dw");
    expect(&f, dbias, dbs, "dbias");
    expect_again(&f, (int32_t[]){dx, dw, dbias}, 3);
    close(&f);
}

static void layer_norms(void **state)
{
    (void)state;
    if (!have_gpu()) {
        skip();
    }
    static const int64_t cols[] = {256, 171, 2600, 768};
    for (size_t i = 0; i < sizeof cols / sizeof cols[0]; i++) {
        check_layer_norm(cols[i], i % 2 == 0);
    }
}

// Norms of heads.

static void check_head_norm(int32_t heads, int32_t kv_heads, int32_t d, bool accumulate)
{
    struct fixture f;
    const double eps = 1e-6;
    const int64_t cols = (int64_t)(heads + 2 * kv_heads) * d;
    const int64_t normed = heads + kv_heads;
    begin(&f, TOKENS, OD_OP_HEAD_NORM, OD_OP_HEAD_NORM_BWD);
    const int32_t x = half(&f, TOKENS, cols);
    const int32_t y = half(&f, TOKENS, cols);
    const int32_t dx = half(&f, TOKENS, cols);
    const int32_t dy = half(&f, TOKENS, cols);
    const int32_t w = full(&f, 2, d);
    const int32_t dw = full(&f, 2, d);
    const int32_t aux = full(&f, TOKENS, normed);
    give(&f, OD_SLOT_X, x);
    give(&f, OD_SLOT_W, w);
    give(&f, OD_SLOT_AUX, aux);
    f.op[0].slot[OD_SLOT_Y] = y;
    f.op[1].slot[OD_SLOT_DX] = dx;
    f.op[1].slot[OD_SLOT_DY] = dy;
    f.op[1].slot[OD_SLOT_DW] = dw;
    f.op[1].accumulate = accumulate;
    for (int i = 0; i < 2; i++) {
        f.op[i].heads = heads;
        f.op[i].kv_heads = kv_heads;
        f.op[i].head_dim = d;
        f.op[i].eps = (float)eps;
    }
    open(&f, false);
    const float *xs = random_values(&f, x, 2.0F, 0.3F);
    const float *dys = random_values(&f, dy, 1.0F, 0.0F);
    const float *ws = random_values(&f, w, 0.3F, 1.0F);
    const float *dxs_before = random_values(&f, dx, 1.0F, 0.0F);
    const float *dws_before = random_values(&f, dw, 1.0F, 0.0F);
    double *ys = doubles(TOKENS, cols);
    double *dxs = doubles(TOKENS, cols);
    double *dws = doubles(2, d);
    double *rstds = doubles(TOKENS, normed);
    for (int64_t c = 0; c < 2 * (int64_t)d; c++) {
        dws[c] = (double)dws_before[c];
    }
    for (int64_t i = 0; i < TOKENS * (normed + kv_heads); i++) {
        const int64_t head = i % (normed + kv_heads);
        const int64_t kind = head < heads ? 0 : 1;
        const float *xr = xs + i * d;
        const float *dyr = dys + i * d;
        double squares = 0.0;
        double products = 0.0;
        for (int64_t c = 0; c < d; c++) {
            squares += (double)xr[c] * (double)xr[c] / d;
            products += (double)dyr[c] * (double)ws[kind * d + c] * (double)xr[c] / d;
        }
        const double rstd = 1.0 / sqrt(squares + eps);
        for (int64_t c = 0; c < d; c++) {
            const double weight = (double)ws[kind * d + c];
            const double before = accumulate ? (double)dxs_before[i * d + c] : 0.0;
            if (head >= normed) {
                ys[i * d + c] = (double)xr[c];
                dxs[i * d + c] = before + (double)dyr[c];
                continue;
            }
            ys[i * d + c] = (double)xr[c] * rstd * weight;
            dxs[i * d + c] = before + (double)dyr[c] * weight * rstd -
                             (double)xr[c] * rstd * rstd * rstd * products;
            dws[kind * d + c] += (double)dyr[c] * (double)xr[c] * rstd;
        }
        if (head < normed) {
            rstds[i / (normed + kv_heads) * normed + head] = rstd;
        }
    }
    print_message("norm of %d and %d heads of %d%s\n", heads, kv_heads, d,
                  accumulate ? ", adding" : "");
    od_gpu_run(f.gpu, &f.op[0]);
    expect(&f, y, ys, "y");
    expect(&f, aux, rstds, "rstd");
    od_gpu_run(f.gpu, &f.op[1]);
    expect(&f, dx, dxs, "dx");
    expect(&f, dw, dws, "dw");
    expect_again(&f, (int32_t[]){dx, dw}, 2);
    close(&f);
}

static void head_norms(void **state)
{
    (void)state;
    if (!have_gpu()) {
        skip();
    }
    check_head_norm(4, 2, 64, true);
    check_head_norm(3, 1, 80, false);
    check_head_norm(5, 5, 96, false);
    check_head_norm(16, 8, 128, true);
    check_head_norm(2, 1, 256, false);
}

// Positions.

static const int32_t segments[] = {0, 1, 20, USED};
enum { SEGMENTS = 3 };

// Three documents, and rows that are not in use.
static void send_batch(struct fixture *f)
{
    struct od_error err = {0};
    int32_t ids[USED];
    int32_t positions[USED];
    int32_t targets[USED];
    for (int s = 0; s < SEGMENTS; s++) {
        for (int32_t t = segments[s]; t < segments[s + 1]; t++) {
            ids[t] = t;
            positions[t] = t - segments[s];
            targets[t] = t % 7 == 0 ? -1 : t;
        }
    }
    const struct od_batch batch = {.tokens = USED,
                                   .ids = ids,
                                   .positions = positions,
                                   .segments = SEGMENTS,
                                   .segment_start = segments,
                                   .targets = targets,
                                   .loss_scale = 1.0F,
                                   .want_gradient = true};
    assert_ok(od_gpu_batch(f->gpu, &batch, &err), &err);
    positions[USED - 1] = (int32_t)f->tokens;
    assert_int_equal(od_gpu_batch(f->gpu, &batch, &err), OD_E_ARGUMENT);
    assert_non_null(strstr(err.message, "position 67"));
    assert_ok(od_cuda_sync(f->cuda, NULL), &err);
}

// Fewer positions than rows that are not in use may have: they repeat.
static void check_positions(int64_t cols, int64_t rows)
{
    struct fixture f;
    begin(&f, TOKENS, OD_OP_POSITIONS, OD_OP_POSITIONS_BWD);
    const int32_t y = half(&f, TOKENS, cols);
    const int32_t w = half(&f, rows, cols);
    const int32_t dy = half(&f, TOKENS, cols);
    const int32_t dw = full(&f, rows, cols);
    f.inputs.positions = tensor(&f, TOKENS, 1, 1, true);
    f.inputs.position_order = tensor(&f, TOKENS, 1, 1, true);
    f.inputs.position_runs = tensor(&f, TOKENS + 1, 1, 1, true);
    f.inputs.counts = tensor(&f, OD_GPU_COUNTS, 1, 1, true);
    give(&f, OD_SLOT_W, w);
    f.op[0].slot[OD_SLOT_Y] = y;
    f.op[1].slot[OD_SLOT_DY] = dy;
    f.op[1].slot[OD_SLOT_DW] = dw;
    f.op[0].n = cols;
    f.op[1].n = cols;
    open(&f, false);
    const float *before = random_values(&f, y, 1.0F, 0.0F);
    const float *ws = random_values(&f, w, 1.0F, 0.0F);
    const float *dys = random_values(&f, dy, 1.0F, 0.0F);
    const float *dws_before = random_values(&f, dw, 1.0F, 0.0F);
    double *ys = doubles(TOKENS, cols);
    double *dws = doubles(rows, cols);
    for (int64_t i = 0; i < rows * cols; i++) {
        dws[i] = (double)dws_before[i];
    }
    for (int64_t t = 0; t < TOKENS; t++) {
        int64_t position = (t - USED) % rows;
        for (int s = 0; s < SEGMENTS; s++) {
            position = t >= segments[s] && t < segments[s + 1] ? t - segments[s] : position;
        }
        for (int64_t c = 0; c < cols; c++) {
            ys[t * cols + c] = (double)before[t * cols + c] + (double)ws[position * cols + c];
            dws[position * cols + c] += (double)dys[t * cols + c];
        }
    }
    print_message("%lld positions\n", (long long)rows);
    send_batch(&f);
    od_gpu_run(f.gpu, &f.op[0]);
    od_gpu_run(f.gpu, &f.op[1]);
    expect(&f, y, ys, "y");
    expect(&f, dw, dws, "dw");
    expect_again(&f, (int32_t[]){dw}, 1);
    close(&f);
}

static void learned_positions(void **state)
{
    (void)state;
    if (!have_gpu()) {
        skip();
    }
    check_positions(264, 64);
    check_positions(171, 30);
}

// Biases of products.

static void check_bias(int64_t n, int64_t k, int64_t spare, bool residual, bool use_library)
{
    struct fixture f;
    begin(&f, TOKENS, OD_OP_LINEAR, OD_OP_LINEAR_BWD);
    const int32_t x = tensor(&f, TOKENS, k, k + spare, false);
    const int32_t w = tensor(&f, n, k, k + spare, false);
    const int32_t y = tensor(&f, TOKENS, n, n + spare, false);
    const int32_t res = tensor(&f, TOKENS, n, n + spare, false);
    const int32_t dy = tensor(&f, TOKENS, n, n + spare, false);
    const int32_t bias = full(&f, 1, n);
    const int32_t dbias = full(&f, 1, n);
    give(&f, OD_SLOT_X, x);
    give(&f, OD_SLOT_W, w);
    f.op[0].slot[OD_SLOT_Y] = y;
    f.op[0].slot[OD_SLOT_RES] = residual ? res : -1;
    f.op[0].slot[OD_SLOT_BIAS] = bias;
    f.op[1].slot[OD_SLOT_DY] = dy;
    f.op[1].slot[OD_SLOT_DBIAS] = dbias;
    for (int i = 0; i < 2; i++) {
        f.op[i].n = n;
        f.op[i].k = k;
    }
    open(&f, use_library);
    const float *xs = random_values(&f, x, 1.0F, 0.0F);
    const float *ws = random_values(&f, w, 1.0F / sqrtf((float)k), 0.0F);
    const float *bs = random_values(&f, bias, 1.0F, 0.0F);
    const float *rs = random_values(&f, res, 1.0F, 0.0F);
    const float *dys = random_values(&f, dy, 1.0F, 0.0F);
    const float *dbs_before = random_values(&f, dbias, 1.0F, 0.0F);
    double *ys = doubles(TOKENS, n);
    double *dbs = doubles(1, n);
    for (int64_t c = 0; c < n; c++) {
        dbs[c] = (double)dbs_before[c];
        for (int64_t t = 0; t < TOKENS; t++) {
            double sum = (double)bs[c] + (residual ? (double)rs[t * n + c] : 0.0);
            for (int64_t i = 0; i < k; i++) {
                sum += (double)xs[t * k + i] * (double)ws[c * k + i];
            }
            ys[t * n + c] = sum;
            dbs[c] += (double)dys[t * n + c];
        }
    }
    od_gpu_run(f.gpu, &f.op[0]);
    print_message("bias of %lld outputs%s, %s\n", (long long)n, residual ? " and a residual" : "",
                  od_matmul_library(od_gpu_matmul(f.gpu)));
    expect(&f, y, ys, "y");
    od_gpu_run(f.gpu, &f.op[1]);
    expect(&f, dbias, dbs, "dbias");
    expect_again(&f, (int32_t[]){dbias}, 1);
    close(&f);
}

static void biases(void **state)
{
    (void)state;
    if (!have_gpu()) {
        skip();
    }
    for (int library = 0; library < 2; library++) {
        check_bias(264, 200, 8, false, library == 1);
        check_bias(264, 200, 8, true, library == 1);
        check_bias(171, 136, 0, true, library == 1);  // rows that start anywhere
        check_bias(2304, 768, 0, false, library == 1);
    }
}

// Attention with a window.

enum { LONG = 640 };

// One head of one document: y, and the gradients of q, k and v, which are added to.
struct head {
    const float *q;  ///< rows are `ld` apart; d channels
    const float *k;
    const float *v;
    const float *dy;
    double *y;
    double *dq;
    double *dk;
    double *dv;
    int64_t ld;
    int64_t ldy;
    int64_t rows;
    int64_t d;
    int64_t window;
};

static double dot(const float *a, const float *b, int64_t d)
{
    double sum = 0.0;
    for (int64_t c = 0; c < d; c++) {
        sum += (double)a[c] * (double)b[c];
    }
    return sum;
}

static void attend(const struct head *h)
{
    const double scale = 1.0 / sqrt((double)h->d);
    double *p = doubles(1, h->rows);
    for (int64_t i = 0; i < h->rows; i++) {
        const int64_t first = h->window > 0 && i - h->window + 1 > 0 ? i - h->window + 1 : 0;
        double sum = 0.0;
        double delta = 0.0;
        for (int64_t j = first; j <= i; j++) {
            p[j] = exp(scale * dot(h->q + i * h->ld, h->k + j * h->ld, h->d));
            sum += p[j];
        }
        for (int64_t j = first; j <= i; j++) {
            p[j] /= sum;
            delta += p[j] * dot(h->dy + i * h->ldy, h->v + j * h->ld, h->d);
        }
        for (int64_t j = first; j <= i; j++) {
            const double dp = dot(h->dy + i * h->ldy, h->v + j * h->ld, h->d);
            const double ds = scale * p[j] * (dp - delta);
            for (int64_t c = 0; c < h->d; c++) {
                h->y[i * h->ldy + c] += p[j] * (double)h->v[j * h->ld + c];
                h->dq[i * h->ld + c] += ds * (double)h->k[j * h->ld + c];
                h->dk[j * h->ld + c] += ds * (double)h->q[i * h->ld + c];
                h->dv[j * h->ld + c] += p[j] * (double)h->dy[i * h->ldy + c];
            }
        }
    }
    od_free(p);
}

static void send_long_batch(struct fixture *f, const int32_t *starts, int64_t count)
{
    static int32_t zeros[LONG];
    struct od_error err = {0};
    const struct od_batch batch = {.tokens = LONG,
                                   .ids = zeros,
                                   .positions = zeros,
                                   .segments = count,
                                   .segment_start = starts,
                                   .targets = zeros,
                                   .loss_scale = 1.0F,
                                   .want_gradient = true};
    assert_ok(od_gpu_batch(f->gpu, &batch, &err), &err);
}

static void check_window(int32_t heads, int32_t kv_heads, int32_t d, int32_t window)
{
    static const int32_t starts[] = {0, 1, 129, 300, LONG};
    struct fixture f;
    const int64_t cols = (int64_t)(heads + 2 * kv_heads) * d;
    const int64_t q_cols = (int64_t)heads * d;
    begin(&f, LONG, OD_OP_ATTENTION, OD_OP_ATTENTION_BWD);
    const int32_t x = tensor(&f, LONG, cols, cols, false);
    const int32_t y = tensor(&f, LONG, q_cols, q_cols, false);
    const int32_t dx = tensor(&f, LONG, cols, cols, false);
    const int32_t dy = tensor(&f, LONG, q_cols, q_cols, false);
    f.inputs.query_tiles = tensor(&f, LONG, 4, 4, true);
    f.inputs.key_tiles = tensor(&f, LONG, 4, 4, true);
    f.inputs.dquery_tiles = tensor(&f, LONG, 4, 4, true);
    f.inputs.counts = tensor(&f, OD_GPU_COUNTS, 1, 1, true);
    give(&f, OD_SLOT_X, x);
    give(&f, OD_SLOT_Y, y);
    give(&f, OD_SLOT_AUX, full(&f, LONG, heads));
    f.op[1].slot[OD_SLOT_WORK] = full(&f, LONG, heads);
    f.op[1].slot[OD_SLOT_DX] = dx;
    f.op[1].slot[OD_SLOT_DY] = dy;
    for (int i = 0; i < 2; i++) {
        f.op[i].heads = heads;
        f.op[i].kv_heads = kv_heads;
        f.op[i].head_dim = d;
        f.op[i].window = window;
        f.op[i].scale = 1.0F / sqrtf((float)d);
    }
    open(&f, false);
    const float *xs = random_values(&f, x, 1.0F, 0.0F);
    const float *dys = random_values(&f, dy, 1.0F, 0.0F);
    double *ys = doubles(LONG, q_cols);
    double *dxs = doubles(LONG, cols);
    for (int s = 0; s < 4; s++) {
        for (int32_t h = 0; h < heads; h++) {
            const int64_t q = starts[s] * cols + (int64_t)h * d;
            const int64_t k = starts[s] * cols + (int64_t)(heads + h * kv_heads / heads) * d;
            const int64_t v = k + (int64_t)kv_heads * d;
            const int64_t out = starts[s] * q_cols + (int64_t)h * d;
            attend(&(struct head){.q = xs + q,
                                  .k = xs + k,
                                  .v = xs + v,
                                  .dy = dys + out,
                                  .y = ys + out,
                                  .dq = dxs + q,
                                  .dk = dxs + k,
                                  .dv = dxs + v,
                                  .ld = cols,
                                  .ldy = q_cols,
                                  .rows = starts[s + 1] - starts[s],
                                  .d = d,
                                  .window = window});
        }
    }
    print_message("%d and %d heads of %d, window %d\n", heads, kv_heads, d, window);
    send_long_batch(&f, starts, 4);
    od_gpu_run(f.gpu, &f.op[0]);
    expect(&f, y, ys, "y");
    od_gpu_run(f.gpu, &f.op[1]);
    expect(&f, dx, dxs, "dx");
    expect_again(&f, (int32_t[]){dx}, 1);
    close(&f);
}

static void windows(void **state)
{
    (void)state;
    if (!have_gpu()) {
        skip();
    }
    static const int32_t lengths[] = {1, 2, 31, 64, 65, 128, 200, 340, 1000, 0};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        check_window(2, 1, 64, lengths[i]);
        check_window(2, 2, 128, lengths[i]);
    }
    check_window(2, 1, 80, 100);
    check_window(2, 1, 96, 33);
    check_window(1, 1, 256, 70);
}

static void head_sizes_that_have_no_kernel(void **state)
{
    (void)state;
    if (!have_gpu()) {
        skip();
    }
    struct fixture f;
    struct od_error err = {0};
    begin(&f, TOKENS, OD_OP_ATTENTION, OD_OP_ATTENTION_BWD);
    f.op[0].head_dim = 48;
    const struct od_gpu_layout layout = {.tensors = f.tensor,
                                         .ops = f.op,
                                         .op_count = 2,
                                         .forward_count = 1,
                                         .inputs = f.inputs,
                                         .tokens = f.tokens};
    assert_ok(od_cuda_open(0, &f.cuda, &err), &err);
    assert_int_equal(od_gpu_open(f.cuda, &layout, &f.gpu, &err), OD_E_UNSUPPORTED);
    assert_non_null(strstr(err.message, "heads of 48 channels"));
    od_cuda_close(f.cuda);
}

// Work lists: no GPU needed.

static int64_t work(const struct od_attention_tile *t, int32_t window, bool keys)
{
    int64_t seen = 0;  // other rows that a row of the tile and the window reach, or that reach it
    for (int32_t i = t->begin; i < t->end; i++) {
        bool meets = false;
        for (int32_t r = t->row; r < t->row + t->rows; r++) {
            const int32_t distance = keys ? i - r : r - i;
            meets = meets || (distance >= 0 && (window <= 0 || distance < window));
        }
        seen += meets;
    }
    return seen;
}

static void tiles_by_work(void **state)
{
    (void)state;
    static const int32_t starts[] = {0, 70, 70, 71, 401};
    static const int32_t lengths[] = {0, 1, 50, 64, 200, 1000};
    for (int i = 0; i < 12; i++) {
        const int32_t window = lengths[i / 2];
        const bool keys = i % 2 == 1;
        struct od_attention_tile tiles[16];
        bool covered[401] = {false};
        const int64_t count = od_attention_tiles(starts, 4, 64, window, keys, tiles);
        assert_int_equal(count, 9);
        for (int64_t t = 0; t < count; t++) {
            for (int32_t r = tiles[t].row; r < tiles[t].row + tiles[t].rows; r++) {
                assert_false(covered[r]);
                covered[r] = true;
            }
            if (t > 0) {
                const int64_t before = work(&tiles[t - 1], window, keys);
                const int64_t now = work(&tiles[t], window, keys);
                assert_true(before > now || (before == now && tiles[t - 1].row < tiles[t].row));
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tiles_by_work),     cmocka_unit_test(activations),
        cmocka_unit_test(layer_norms),       cmocka_unit_test(head_norms),
        cmocka_unit_test(learned_positions), cmocka_unit_test(biases),
        cmocka_unit_test(windows),           cmocka_unit_test(head_sizes_that_have_no_kernel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
