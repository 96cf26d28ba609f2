// Goal: attention on the GPU sees the keys of its window and no others, forward and backward, for
// every head size that has kernels.
// Method: gpu_fixture.h; documents of one row to 340, windows of one row to more than a document, a
// definition in double.

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "device/cuda/cuda.h"
#include "gpu_fixture.h"
#include "ops/gpu.h"
#include "ops/op.h"
#include "support.h"

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
    print_message("# %d and %d heads of %d, window %d\n", heads, kv_heads, d, window);
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
    begin(&f, LONG, OD_OP_ATTENTION, OD_OP_ATTENTION_BWD);
    f.op[0].head_dim = 48;
    const struct od_gpu_layout layout = {.tensors = f.tensor,
                                         .ops = f.op,
                                         .op_count = 2,
                                         .forward_count = 1,
                                         .inputs = f.inputs,
                                         .tokens = f.tokens};
    f.cuda = test_gpu();
    assert_int_equal(od_gpu_open(f.cuda, &layout, &f.gpu, &err), OD_E_UNSUPPORTED);
    assert_non_null(strstr(err.message, "heads of 48 channels"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(windows),
        cmocka_unit_test(head_sizes_that_have_no_kernel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
