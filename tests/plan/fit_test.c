// Goal: the plan that is chosen for a budget is the largest on the way that fits; without room for the
// leanest its size is told, and how many rows would fit is true.
// Method: every budget between the leanest and the fullest plan of a small model, for CPU and GPU
// layouts, against all plans on the way.

#include "plan/fit.h"

#include <stdint.h>
#include <string.h>

#include "base/status.h"
#include "model/program.h"
#include "model/spec.h"
#include "ops/gpu.h"
#include "plan/layout.h"
#include "plan/plan.h"
#include "support.h"

enum { LAYERS = 3, WAY_CPU = OD_KEEP_INPUT * LAYERS - 1, WAY_GPU = OD_KEEP_HOST * LAYERS };

static const struct od_spec spec = {.family = "llama",
                                    .vocab = 512,
                                    .channels = 256,
                                    .ffn = 768,
                                    .layers = LAYERS,
                                    .heads = 4,
                                    .kv_heads = 4,
                                    .head_dim = 64,
                                    .max_positions = 4096,
                                    .norm_eps = 1e-5F,
                                    .rope_theta = 10000.0,
                                    .init_std = 0.02,
                                    .tied = false,
                                    .bos = -1,
                                    .eos = -1};

static struct od_program_options options_of(bool half)
{
    return (struct od_program_options){.mode = OD_PROGRAM_TRAIN_LORA,
                                       .half = half,
                                       .head_rows = half ? OD_GPU_HEAD_ROWS : 0,
                                       .tokens =
                                           half ? 16384 : 2048,  // what lies beside a plan is small
                                       .threads = 1,
                                       .lora_r = 8,
                                       .lora_scale = 1.0F,
                                       .lora_targets = OD_TARGET_ALL};
}

// All that step `at` of the way takes; beside a GPU's plan lies what depends on its operations.
static uint64_t bytes_of(const struct od_program_options *options, int64_t at)
{
    struct od_error err = {0};
    struct od_program_options one = *options;
    struct od_fit fit;
    one.embedding_on_host = at + 1 == WAY_GPU;
    at -= one.embedding_on_host;
    one.keep = (enum od_keep)(at / LAYERS);
    one.lean_layers = at % LAYERS;
    // A budget of nothing gives the leanest: the way's end; so build each by hand.
    assert_ok(od_program_build(&spec, &one, &fit.program, &err), &err);
    assert_ok(od_plan_make(&fit.program, &fit.plan, &err), &err);
    uint64_t bytes = fit.plan.total_bytes;
    if (options->half) {
        struct od_layout layout;
        assert_ok(od_layout_make(&fit.program, &fit.plan, true, &layout, &err), &err);
        bytes = od_gpu_bytes(&layout.gpu);
        od_layout_release(&layout);
    }
    od_fit_release(&fit);
    return bytes;
}

static void every_budget(bool half)
{
    struct od_error err = {0};
    const struct od_program_options options = options_of(half);
    uint64_t plan_bytes[WAY_GPU];
    const int way = half ? WAY_GPU : WAY_CPU;
    struct od_fit fit;
    for (int i = 0; i < way; i++) {
        plan_bytes[i] = bytes_of(&options, i);
    }
    assert_true(plan_bytes[way - 1] < plan_bytes[0] * 3 / 4);
    assert_ok(od_fit_make(&spec, &options, 0, true, &fit, &err), &err);
    assert_int_equal(fit.program.options.keep, OD_KEEP_ALL);
    assert_int_equal(fit.bytes, plan_bytes[0]);
    assert_true(half ? fit.bytes > fit.plan.total_bytes : fit.bytes == fit.plan.total_bytes);
    od_fit_release(&fit);
    for (int i = 0; i < way; i++) {
        for (int less = 0; less < 2; less++) {
            const uint64_t budget = plan_bytes[i] - (uint64_t)less;
            assert_ok(od_fit_make(&spec, &options, budget, true, &fit, &err), &err);
            const int64_t at = (int64_t)fit.program.options.keep * LAYERS +
                               fit.program.options.lean_layers +
                               fit.program.options.embedding_on_host;
            assert_int_equal(fit.bytes, plan_bytes[at]);
            if (plan_bytes[way - 1] <= budget) {
                assert_true(fit.bytes <= budget);
                assert_true(at == 0 || plan_bytes[at - 1] > budget);
            } else {
                assert_int_equal(at, way - 1);
                assert_true(fit.bytes > budget);
            }
            od_fit_release(&fit);
        }
    }
}

static void every_budget_on_the_cpu(void **state)
{
    (void)state;
    every_budget(false);
}

static void every_budget_on_a_gpu(void **state)
{
    (void)state;
    every_budget(true);
}

static void rows_that_would_fit(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_program_options options = options_of(true);
    struct od_fit fit;
    options.tokens = 1024;
    assert_ok(od_fit_make(&spec, &options, 1, true, &fit, &err), &err);
    const uint64_t budget = fit.bytes;
    od_fit_release(&fit);
    options.tokens = 4096;
    assert_ok(od_fit_make(&spec, &options, budget, true, &fit, &err), &err);
    assert_true(fit.bytes > budget);
    od_fit_release(&fit);
    const int64_t rows = od_fit_tokens(&spec, &options, budget, 64, true);
    assert_int_equal(rows, 1024);
    assert_int_equal(od_fit_tokens(&spec, &options, 1 << 20, 64, true), 0);
}

// Without masters a matrix takes four bytes less on a GPU: its bf16 copy is the weight.
static void weights_without_masters(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_program_options options = options_of(true);
    size_t weights[2];
    size_t rest[2];
    size_t matrices = 0;
    options.mode = OD_PROGRAM_TRAIN_FULL;
    for (int i = 0; i < 2; i++) {
        struct od_program program;
        struct od_plan plan;
        options.bf16_weights = i == 1;
        assert_ok(od_program_build(&spec, &options, &program, &err), &err);
        assert_ok(od_plan_make(&program, &plan, &err), &err);
        weights[i] = plan.role_bytes[OD_ROLE_WEIGHT] + plan.role_bytes[OD_ROLE_COPY];
        rest[i] = plan.total_bytes - weights[i];
        for (int32_t p = 0; i == 1 && p < program.param_count; p++) {
            const struct od_tensor *t = &program.tensors[program.params[p].tensor];
            assert_int_equal(program.params[p].rounded, !t->vectors);
            matrices += program.params[p].rounded ? (size_t)(t->rows * t->cols) : 0;
        }
        od_plan_release(&plan);
        od_program_release(&program);
    }
    assert_true(matrices > 0);
    assert_int_equal(weights[0] - weights[1], 4 * matrices);
    assert_int_equal(rest[0], rest[1]);
}

// Adapters on embedding and head: beside and below the head's table there is room for one, two matrices more
// are trained each; the rest of the plan is what it was, but for the backward pass, which comes further.
static void adapters_on_embedding_and_head(void **state)
{
    enum { R = 8, V = 512, C = 256 };  // of `spec`
    (void)state;
    struct od_error err = {0};
    struct od_program_options options = options_of(true);
    size_t bytes[2][OD_ROLE_COUNT];
    for (int i = 0; i < 2; i++) {
        struct od_program program;
        struct od_plan plan;
        options.lora_targets = OD_TARGET_ALL | (i == 1 ? OD_TARGET_EMBED | OD_TARGET_HEAD : 0);
        assert_ok(od_program_build(&spec, &options, &program, &err), &err);
        assert_ok(od_plan_make(&program, &plan, &err), &err);
        memcpy(bytes[i], plan.role_bytes, sizeof bytes[i]);
        od_plan_release(&plan);
        od_program_release(&program);
    }
    const size_t table = 2 * ((V + OD_FOLD_ALIGN) * (C + OD_FOLD_ALIGN) - V * C);
    const size_t matrices = 2 * R * (V + C) * sizeof(float);
    assert_int_equal(bytes[1][OD_ROLE_WEIGHT] - bytes[0][OD_ROLE_WEIGHT], table);
    assert_int_equal(bytes[1][OD_ROLE_COPY] - bytes[0][OD_ROLE_COPY], 2 * C * OD_FOLD_ALIGN);
    assert_int_equal(bytes[1][OD_ROLE_ADAPTER] - bytes[0][OD_ROLE_ADAPTER], matrices);
    assert_int_equal(bytes[1][OD_ROLE_GRADIENT] - bytes[0][OD_ROLE_GRADIENT], matrices);
    assert_int_equal(bytes[1][OD_ROLE_MOMENT] - bytes[0][OD_ROLE_MOMENT], 2 * matrices);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_budget_on_the_cpu),
        cmocka_unit_test(every_budget_on_a_gpu),
        cmocka_unit_test(rows_that_would_fit),
        cmocka_unit_test(weights_without_masters),
        cmocka_unit_test(adapters_on_embedding_and_head),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
