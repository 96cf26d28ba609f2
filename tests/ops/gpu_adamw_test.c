// Goal: the optimiser's kernels for 8-bit moments, and for weights without a master, give the CPU's bits.
// Method: four trained tensors in a program without operations, of which one keeps fp32 moments and one
// has bf16 weights; random gradients for several steps; codes, scales and weights compared bit for bit.

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "base/memory.h"
#include "base/random.h"
#include "base/status.h"
#include "device/cuda/cuda.h"
#include "device/cuda_gpu.h"
#include "ops/adamw/adamw_8bit.h"
#include "ops/adamw/adamw_cuda.h"
#include "ops/adamw/rounding.h"
#include "ops/gpu.h"
#include "ops/kernels.h"
#include "support.h"

enum { PARAMS = 4, HALF = 3, EACH = 6, TOKENS = 16, STEPS = 6, COUNT_MAX = 20011 };
// One is fp32; one ends in the middle of a chunk and of a block; one is a whole chunk; HALF's weights are
// bf16.
static const int64_t counts[PARAMS] = {300, COUNT_MAX, 8192, 9000};
static const uint64_t SEED = 0x123456789ABCDEFu;

static struct od_gpu_tensor tensors[PARAMS * EACH];
static float w[PARAMS][COUNT_MAX];
static float g[COUNT_MAX];
static uint8_t m[PARAMS][COUNT_MAX];
static uint8_t v[PARAMS][COUNT_MAX];
static float m_scales[PARAMS][COUNT_MAX / 256 + 1];
static float v_scales[PARAMS][COUNT_MAX / 256 + 1];
static uint8_t raw[COUNT_MAX * 4];

static void lay_out(int32_t number, int64_t count, size_t size, bool is_float, uint64_t *bytes)
{
    tensors[number] = (struct od_gpu_tensor){.at = *bytes,
                                             .rows = 1,
                                             .cols = count,
                                             .stride = count,
                                             .is_float = is_float,
                                             .bytes = (size_t)count * size};
    *bytes += ((uint64_t)count * size + 255u) & ~(uint64_t)255u;
}

static struct od_gpu *open_program(struct od_cuda *cuda)
{
    struct od_gpu_param params[PARAMS];
    struct od_op op = {.kind = OD_OP_ADD};
    struct od_gpu *gpu = NULL;
    struct od_error err = {0};
    uint64_t bytes = 0;
    for (int i = 0; i < OD_OP_SLOTS; i++) {
        op.slot[i] = -1;
    }
    for (int32_t p = 0; p < PARAMS; p++) {
        const int32_t at = p * EACH;
        const bool codes = counts[p] >= OD_ADAMW_8BIT_MIN;
        lay_out(at, counts[p], p == HALF ? 2 : 4, p != HALF, &bytes);
        lay_out(at + 1, counts[p], 4, true, &bytes);
        lay_out(at + 2, counts[p], codes ? 1 : 4, !codes, &bytes);
        lay_out(at + 3, counts[p], codes ? 1 : 4, !codes, &bytes);
        lay_out(at + 4, od_adamw_8bit_blocks(counts[p]), 4, true, &bytes);
        lay_out(at + 5, od_adamw_8bit_blocks(counts[p]), 4, true, &bytes);
        params[p] = (struct od_gpu_param){.tensor = at,
                                          .gradient = at + 1,
                                          .m = at + 2,
                                          .v = at + 3,
                                          .m_scales = codes ? at + 4 : -1,
                                          .v_scales = codes ? at + 5 : -1,
                                          .copy = -1,
                                          .decay = p != 2};
    }
    const struct od_gpu_layout layout = {
        .tensors = tensors,
        .tensor_count = PARAMS * EACH,
        .ops = &op,
        .op_count = 1,
        .forward_count = 1,
        .params = params,
        .param_count = PARAMS,
        .inputs = {-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1},
        .tokens = TOKENS,
        .persistent_bytes = bytes,
        .plan_bytes = bytes};
    assert_ok(od_gpu_open(cuda, &layout, &gpu, &err), &err);
    return gpu;
}

static struct od_adamw_step scalars(int t)
{
    return (struct od_adamw_step){.beta1 = 0.9F,
                                  .beta2 = 0.99F,
                                  .one_minus_beta1 = (float)(1.0 - 0.9),
                                  .one_minus_beta2 = (float)(1.0 - 0.99),
                                  .step_size = (float)(1e-3 / (1.0 - pow(0.9, t))),
                                  .inv_sqrt_bc2 = (float)(1.0 / sqrt(1.0 - pow(0.99, t))),
                                  .eps = 1e-8F,
                                  .decay = 1.0F - 1e-4F,
                                  .grad_scale = 1.0F};
}

// Normal values, of a scale of their own in each block; the fourth block has none.
static void draw(int64_t count, uint32_t number)
{
    for (int64_t i = 0; i < count; i++) {
        double a;
        double b;
        od_normal_pair(od_philox_draw(test_seed(), 41, number, (uint64_t)i), &a, &b);
        g[i] = i / 256 == 3 ? 0.0F : (float)(a * pow(10.0, -(double)(i / 256 % 7)));
    }
}

static void expect(struct od_gpu *gpu, int32_t tensor, const void *want, size_t bytes,
                   const char *what)
{
    struct od_error err = {0};
    assert_true(bytes <= sizeof raw);
    assert_ok(od_gpu_read_bytes(gpu, tensor, 0, raw, bytes, &err), &err);
    for (size_t i = 0; i < bytes; i++) {
        if (raw[i] != ((const uint8_t *)want)[i]) {
            fail_msg("%s of %d: byte %zu is %d, not %d; seed %llu", what, tensor / EACH, i, raw[i],
                     ((const uint8_t *)want)[i], (unsigned long long)test_seed());
        }
    }
}

static void to_halves(uint16_t *to, const float *from, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, &from[i], sizeof bits);
        assert_int_equal(bits & 0xFFFFu, 0);
        to[i] = (uint16_t)(bits >> 16);
    }
}

// HALF's weights after a step, whose first is behind those of the other tensors.
static void round_by_chance(uint32_t step)
{
    const uint64_t index = (uint64_t)(counts[0] + counts[1] + counts[2]);
    for (int64_t i = 0; i < counts[HALF]; i++) {
        const uint64_t e = index + (uint64_t)i;
        const uint32_t word = od_philox_draw(SEED, OD_STREAM_ROUNDING, step, e / 8).word[e % 8 / 2];
        w[HALF][i] = od_round_by_chance(w[HALF][i], e % 2 == 0 ? word & 0xFFFFu : word >> 16);
    }
}

static void bits_of_the_cpu(void **state)
{
    (void)state;
    static uint16_t halves[COUNT_MAX];
    struct od_cuda *cuda = test_gpu();
    struct od_gpu *gpu = open_program(cuda);
    struct od_adamw_maps maps;
    struct od_adamw_stats stats;
    struct od_error err = {0};
    od_adamw_maps_make(&maps);
    for (int32_t p = 0; p < PARAMS; p++) {
        draw(counts[p], (uint32_t)p);
        memcpy(w[p], g, sizeof w[p]);
        if (p != HALF) {
            assert_ok(od_gpu_write(gpu, p * EACH, w[p], &err), &err);
        }
    }
    for (int64_t i = 0; i < counts[HALF]; i++) {
        w[HALF][i] = od_round_to_nearest(w[HALF][i]);
    }
    to_halves(halves, w[HALF], counts[HALF]);
    assert_ok(od_gpu_write_bytes(gpu, HALF * EACH, 0, halves, (size_t)counts[HALF] * 2, &err),
              &err);
    for (int t = 1; t <= STEPS; t++) {
        struct od_adamw_step step = scalars(t);
        const struct od_adamw_scalars on_gpu = {.beta1 = step.beta1,
                                                .beta2 = step.beta2,
                                                .one_minus_beta1 = step.one_minus_beta1,
                                                .one_minus_beta2 = step.one_minus_beta2,
                                                .step_size = step.step_size,
                                                .inv_sqrt_bc2 = step.inv_sqrt_bc2,
                                                .eps = step.eps,
                                                .decay = step.decay,
                                                .step = (uint32_t)t,
                                                .seed = SEED};
        od_gpu_clear(gpu);
        for (int32_t p = 0; p < PARAMS; p++) {
            draw(counts[p], (uint32_t)(10 * t + p));
            assert_ok(od_gpu_write(gpu, p * EACH + 1, g, &err), &err);
            step.decay = p != 2 ? on_gpu.decay : 1.0F;
            const struct od_adamw_8bit codes = {w[p],        m[p], v[p],     m_scales[p],
                                                v_scales[p], g,    counts[p]};
            if (counts[p] >= OD_ADAMW_8BIT_MIN) {
                od_adamw_8bit_step(&codes, &maps, &step, 0, od_adamw_8bit_blocks(counts[p]));
            }
        }
        round_by_chance((uint32_t)t);
        od_gpu_update(gpu, &on_gpu);
        assert_ok(od_gpu_finish(gpu, &stats, &err), &err);
        assert_true(stats.finite == 1.0 && stats.clip == 1.0);
        for (int32_t p = 1; p < PARAMS; p++) {
            const size_t count = (size_t)counts[p];
            const size_t blocks = (size_t)od_adamw_8bit_blocks(counts[p]);
            expect(gpu, p * EACH + 4, m_scales[p], blocks * 4, "scales of m");
            expect(gpu, p * EACH + 5, v_scales[p], blocks * 4, "scales of v");
            expect(gpu, p * EACH + 2, m[p], count, "codes of m");
            expect(gpu, p * EACH + 3, v[p], count, "codes of v");
            if (p == HALF) {
                to_halves(halves, w[p], counts[p]);
                expect(gpu, p * EACH, halves, count * 2, "bf16 weights");
            } else {
                expect(gpu, p * EACH, w[p], count * 4, "weights");
            }
        }
    }
    // The small tensor took steps of its own.
    assert_ok(od_gpu_read_bytes(gpu, 0, 0, raw, 300 * 4, &err), &err);
    assert_true(memcmp(raw, w[0], 300 * 4) != 0);
    od_gpu_close(gpu);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(bits_of_the_cpu)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
