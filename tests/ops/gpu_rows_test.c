// Goal: the GPU's operations that the families besides Llama need compute what their formulas say,
// and the same bits each time: activations, layer norm, norms of heads, learned positions, noise on
// the embedding, biases.
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
#include "gpu_fixture.h"
#include "ops/gpu.h"
#include "ops/op.h"
#include "support.h"

enum { TOKENS = 67, USED = 50 };

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
    f.each_bound = 1.0 / 256.0;  // twice what rounding to bf16 may take
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
    print_message("# activation %d%s\n", (int)kind, gated ? ", gated" : "");
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
    print_message("# layer norm%s\n", accumulate ? ", adding" : "");
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
    print_message("# norm of %d and %d heads of %d%s\n", heads, kv_heads, d,
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
    print_message("# %lld positions\n", (long long)rows);
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

// Noise on the embedding.

enum { NOISE_STREAM = 31, PASS = 41, IDS = 64 };
static const uint64_t NOISE_SEED = 0x123456789ABCDEFu;
static const float ALPHA = 500.0F;

// A batch of the noise's pass, in training or not.
static void send_noise_batch(struct fixture *f, bool want_gradient)
{
    struct od_error err = {0};
    int32_t ids[USED];
    int32_t positions[USED];
    int32_t targets[USED];
    for (int32_t t = 0; t < USED; t++) {
        ids[t] = t * 7 % IDS;
        positions[t] = 0;
        targets[t] = -1;
    }
    const struct od_batch batch = {.tokens = USED,
                                   .ids = ids,
                                   .positions = positions,
                                   .segments = SEGMENTS,
                                   .segment_start = segments,
                                   .targets = targets,
                                   .loss_scale = 1.0F,
                                   .want_gradient = want_gradient,
                                   .dropout_seed = NOISE_SEED,
                                   .dropout_pass = PASS};
    assert_ok(od_gpu_batch(f->gpu, &batch, &err), &err);
}

// The formula's bits, rounded to bf16 once; nothing on rows that are not in use.
static void check_noise(int64_t cols)
{
    struct fixture f;
    begin(&f, TOKENS, OD_OP_EMBED, OD_OP_EMBED_BWD);
    const int32_t w = half(&f, IDS, cols);
    const int32_t y = half(&f, TOKENS, cols);
    f.inputs.ids = tensor(&f, TOKENS, 1, 1, true);
    f.inputs.counts = tensor(&f, OD_GPU_COUNTS, 1, 1, true);
    f.inputs.noise_bounds = tensor(&f, TOKENS, 1, 1, true);
    f.op[0].slot[OD_SLOT_W] = w;
    f.op[0].slot[OD_SLOT_Y] = y;
    f.op[0].n = cols;
    f.op[0].noise = ALPHA;
    f.op[0].stream = NOISE_STREAM;
    open(&f, false);
    const float *ws = random_values(&f, w, 1.0F, 0.0F);
    float *got = od_alloc((size_t)(TOKENS * cols), sizeof *got);
    assert_non_null(got);
    for (int training = 0; training < 2; training++) {
        send_noise_batch(&f, training == 1);
        od_gpu_run(f.gpu, &f.op[0]);
        get(&f, y, got);
        for (int64_t i = 0; i < TOKENS * cols; i++) {
            const int32_t t = (int32_t)(i / cols);
            const int64_t c = i % cols;
            float want = ws[(t < USED ? t * 7 % IDS : 0) * cols + c];
            for (int s = 0; s < SEGMENTS; s++) {
                if (training == 1 && t >= segments[s] && t < segments[s + 1]) {
                    const double tokens = segments[s + 1] - segments[s];
                    const float bound = (float)((double)ALPHA / sqrt(tokens * (double)cols));
                    const uint64_t element = (uint64_t)(t * ((cols + 3) / 4) + c / 4);
                    const struct od_philox draw =
                        od_philox_draw(NOISE_SEED, NOISE_STREAM, PASS, element);
                    const float u = (float)(draw.word[c % 4] >> 8) / 8388608.0F - 1.0F;
                    const float noise = u * bound;
                    want = rounded(want + noise);
                }
            }
            if (memcmp(&got[i], &want, sizeof want) != 0) {
                fail_msg("row %d, column %lld: %g, not %g", t, (long long)c, (double)got[i],
                         (double)want);
            }
        }
    }
    od_free(got);
    close(&f);
}

static void noise(void **state)
{
    (void)state;
    if (!have_gpu()) {
        skip();
    }
    check_noise(264);
    check_noise(171);
    check_noise(2048);
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
    const int32_t bias = half(&f, 1, n);
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
    print_message("# bias of %lld outputs%s, %s\n", (long long)n, residual ? " and a residual" : "",
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(activations), cmocka_unit_test(layer_norms),
        cmocka_unit_test(head_norms),  cmocka_unit_test(learned_positions),
        cmocka_unit_test(noise),       cmocka_unit_test(biases),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
