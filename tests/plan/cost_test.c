// Goal: what a plan says of a step's time is what a card took.
// Method: every row of bench/results that our own program measured on a known card and shape: the
// program is built again (the recorded plan's bytes are its budget) and its cost compared.

#include "plan/cost.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/status.h"
#include "model/program.h"
#include "model/spec.h"
#include "ops/gpu.h"
#include "plan/fit.h"
#include "support.h"

static const struct {
    const char *name;
    int64_t channels;
    int64_t ffn;
    int64_t layers;
    int32_t kv_heads;
} shapes[] = {{"llama-2-7b", 4096, 11008, 32, 32},
              {"mistral-7b", 4096, 14336, 32, 8},
              {"codellama-34b", 8192, 22016, 48, 8}};

static bool shape_of(const char *name, struct od_spec *ret)
{
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        if (strcmp(shapes[i].name, name) == 0) {
            *ret = (struct od_spec){.family = "llama",
                                    .vocab = 32000,
                                    .channels = shapes[i].channels,
                                    .ffn = shapes[i].ffn,
                                    .layers = shapes[i].layers,
                                    .heads = (int32_t)(shapes[i].channels / 128),
                                    .kv_heads = shapes[i].kv_heads,
                                    .head_dim = 128,
                                    .max_positions = 4096,
                                    .norm_eps = 1e-5F,
                                    .rope_theta = 10000.0,
                                    .init_std = 0.02,
                                    .bos = -1,
                                    .eos = -1};
            return true;
        }
    }
    return false;
}

// Compares one row; false: it is not about us, or of another shape.
static bool check_row(const json_t *row, double *worst)
{
    const char *case_name = json_string_value(json_object_get(row, "case"));
    const char *method = json_string_value(json_object_get(row, "method"));
    const char *space = case_name ? strchr(case_name, ' ') : NULL;
    const struct od_card *card = od_card_titled(json_string_value(json_object_get(row, "gpu")));
    struct od_error err = {0};
    struct od_spec spec;
    struct od_fit fit;
    if (json_object_get(row, "peer") || !space || !card || !shape_of(space + 1, &spec) ||
        strcmp(method, "full") == 0) {
        return false;
    }
    const double step_s = json_number_value(json_object_get(row, "step_s"));
    const double rate = json_number_value(json_object_get(row, "tokens_per_s"));
    const uint64_t plan = (uint64_t)json_integer_value(json_object_get(row, "plan_bytes"));
    const struct od_program_options options = {.mode = OD_PROGRAM_TRAIN_LORA,
                                               .half = true,
                                               .head_rows = OD_GPU_HEAD_ROWS,
                                               .tokens = (int64_t)(rate * step_s + 0.5),
                                               .threads = 1,
                                               .lora_r = 16,
                                               .lora_scale = 1.0F,
                                               .lora_targets = OD_TARGET_ALL,
                                               .quant = strcmp(method, "qlora") == 0 ? OD_QUANT_NF4
                                                        : strcmp(method, "int8") == 0
                                                            ? OD_QUANT_INT8
                                                            : OD_QUANT_NONE};
    assert_ok(od_fit_make(&spec, &options, plan + (plan >> 6), true, &fit, &err), &err);
    const double document = json_number_value(json_object_get(row, "seq_len"));
    const double predicted =
        od_cost_pass(&fit.program, card, document, 1.0) + od_cost_update(&fit.program, card);
    const double error = predicted / step_s - 1.0;
    print_message("# %s, %lld rows, layers keep %s: %.4f s, predicted %.4f, %+.1f %%\n", case_name,
                  (long long)options.tokens, od_keep_name(fit.program.options.keep), step_s,
                  predicted, 100.0 * error);
    *worst = fabs(error) > *worst ? fabs(error) : *worst;
    od_fit_release(&fit);
    return true;
}

static void recorded_steps_are_predicted(void **state)
{
    (void)state;
    static const char *const files[] = {"bench/results/2026-11-24-h200.jsonl",
                                        "bench/results/2026-11-28-h200.jsonl"};
    double worst = 0.0;
    int rows = 0;
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        FILE *file = fopen(test_source(files[i]), "r");
        json_error_t error;
        json_t *row;
        assert_non_null(file);
        while ((row = json_loadf(file, JSON_DISABLE_EOF_CHECK, &error)) != NULL) {
            rows += check_row(row, &worst);
            json_decref(row);
        }
        (void)fclose(file);
    }
    print_message("# %d rows, worst %.1f %%\n", rows, 100.0 * worst);
    assert_true(rows >= 7);
    assert_true(worst < 0.05);
}

static void more_work_takes_longer(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_spec spec;
    struct od_fit fit;
    double before = 0.0;
    assert_true(shape_of("llama-2-7b", &spec));
    for (int i = 0; i < 4; i++) {
        const struct od_program_options options = {.mode = OD_PROGRAM_TRAIN_LORA,
                                                   .half = true,
                                                   .head_rows = OD_GPU_HEAD_ROWS,
                                                   .tokens = 1024 << i,
                                                   .threads = 1,
                                                   .lora_r = 16,
                                                   .lora_scale = 1.0F,
                                                   .lora_targets = OD_TARGET_ALL};
        assert_ok(od_fit_make(&spec, &options, 0, true, &fit, &err), &err);
        const double fast = od_cost_pass(&fit.program, od_card_find("h200"), 1024.0, 1.0);
        const double slow = od_cost_pass(&fit.program, od_card_find("rtx-4090"), 1024.0, 1.0);
        assert_true(fast > before && slow > 3.0 * fast);
        before = fast;
        od_fit_release(&fit);
    }
    assert_null(od_card_find("no such card"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recorded_steps_are_predicted),
        cmocka_unit_test(more_work_takes_longer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
