// Goal: what a plan says of a step's time is what a card took.
// Method: every row of bench/results that our own program measured on a known card and shape: the
// program is built again (the recorded plan's bytes are its budget) and its cost compared.

#include "plan/cost.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/status.h"
#include "flow/bench_shapes.h"
#include "model/program.h"
#include "model/spec.h"
#include "ops/gpu.h"
#include "plan/fit.h"
#include "support.h"

static enum od_quant quant_of(const char *method)
{
    return strcmp(method, "qlora") == 0  ? OD_QUANT_NF4
           : strcmp(method, "int8") == 0 ? OD_QUANT_INT8
           : strcmp(method, "fp8") == 0  ? OD_QUANT_E4M3
                                         : OD_QUANT_NONE;
}

// Compares one row; false: it is not about us, or about full tuning before its biases were fused.
static bool check_row(const json_t *row, double *worst)
{
    const char *case_name = json_string_value(json_object_get(row, "case"));
    const char *method = json_string_value(json_object_get(row, "method"));
    const char *space = case_name ? strchr(case_name, ' ') : NULL;
    const struct od_card *card = od_card_titled(json_string_value(json_object_get(row, "gpu")));
    const struct od_spec *spec = space ? od_bench_shape(space + 1) : NULL;
    const json_t *rank = json_object_get(row, "rank");
    const bool full = method && strcmp(method, "full") == 0;
    struct od_error err = {0};
    struct od_fit fit;
    if (json_object_get(row, "peer") || !card || !spec || !method || (full && !rank)) {
        return false;
    }
    const double step_s = json_number_value(json_object_get(row, "step_s"));
    const double rate = json_number_value(json_object_get(row, "tokens_per_s"));
    const json_t *accumulation = json_object_get(row, "accumulation");
    const double passes = accumulation ? json_number_value(accumulation) : 1.0;
    const uint64_t plan = (uint64_t)json_integer_value(json_object_get(row, "plan_bytes"));
    const struct od_program_options options = {
        .mode = full ? OD_PROGRAM_TRAIN_FULL : OD_PROGRAM_TRAIN_LORA,
        .half = true,
        .head_rows = OD_GPU_HEAD_ROWS,
        .tokens = (int64_t)(rate * step_s / passes + 0.5),
        .threads = 1,
        .lora_r = full ? 0 : (rank ? json_integer_value(rank) : 16),
        .lora_scale = 1.0F,
        .lora_targets = full ? 0 : OD_TARGET_ALL,
        .quant = quant_of(method)};
    assert_ok(od_fit_make(spec, &options, plan + (plan >> 6), true, &fit, &err), &err);
    const double document = json_number_value(json_object_get(row, "seq_len"));
    const double predicted = passes * od_cost_pass(&fit.program, card, document, 1.0) +
                             od_cost_update(&fit.program, card);
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
    assert_true(rows >= 21);
    assert_true(worst < 0.05);
}

static void close_to(double got, double wanted)
{
    if (!(fabs(got - wanted) <= 1e-9 * fabs(wanted))) {
        print_message("# %.17g instead of %.17g\n", got, wanted);
        fail();
    }
}

// Goal: floors are arithmetic and traffic that can be counted from the shape.
static void floors_are_counted(void **state)
{
    (void)state;
    const struct od_spec *spec = od_bench_shape("gpt2-1.5b");
    const struct od_card *card = od_card_find("h200");
    const double rows = 2048.0;
    const double document = 512.0;
    const double width = (double)spec->channels;
    const double layers = (double)spec->layers;
    const double per_layer = width * (4.0 * width + 2.0 * (double)spec->ffn);
    const struct od_program_options options = {.mode = OD_PROGRAM_TRAIN_FULL,
                                               .half = true,
                                               .head_rows = OD_GPU_HEAD_ROWS,
                                               .tokens = (int64_t)rows,
                                               .threads = 1};
    double one[OD_GPU_PART_COUNT];
    double two[OD_GPU_PART_COUNT];
    struct od_error err = {0};
    struct od_fit fit;
    assert_non_null(spec);
    assert_non_null(card);
    assert_ok(od_fit_make(spec, &options, UINT64_MAX >> 1, true, &fit, &err), &err);
    od_cost_floor(&fit.program, card, document, 1.0, one);
    od_cost_floor(&fit.program, card, document, 2.0, two);
    const double products = 2.0 * rows * per_layer * layers / card->flops_per_s;
    close_to(one[OD_GPU_PART_PRODUCT], products);
    close_to(one[OD_GPU_PART_PRODUCT_BWD_X], products);
    const double sums = 8.0 * per_layer * layers / card->bytes_per_s;
    close_to(one[OD_GPU_PART_PRODUCT_BWD_W], products + sums);
    const double attention = 2.0 * rows * document * width * layers / card->flops_per_s;
    close_to(one[OD_GPU_PART_ATTENTION], attention);
    close_to(one[OD_GPU_PART_ATTENTION_BWD], 2.5 * attention);
    const double biases = 2.0 * rows * (5.0 * width + (double)spec->ffn) * layers;
    close_to(one[OD_GPU_PART_ADD] * card->bytes_per_s, biases);
    close_to(one[OD_GPU_PART_DECODE], 0.0);
    for (int i = 0; i < OD_GPU_PART_COUNT; i++) {
        const double passes = i == OD_GPU_PART_OPTIMIZER ? 1.0 : 2.0;
        close_to(two[i], passes * one[i]);
    }
    assert_true(one[OD_GPU_PART_OPTIMIZER] > 0.0);
    od_fit_release(&fit);
}

static void more_work_takes_longer(void **state)
{
    (void)state;
    struct od_error err = {0};
    const struct od_spec *spec = od_bench_shape("llama-2-7b");
    struct od_fit fit;
    double before = 0.0;
    assert_non_null(spec);
    for (int i = 0; i < 4; i++) {
        const struct od_program_options options = {.mode = OD_PROGRAM_TRAIN_LORA,
                                                   .half = true,
                                                   .head_rows = OD_GPU_HEAD_ROWS,
                                                   .tokens = 1024 << i,
                                                   .threads = 1,
                                                   .lora_r = 16,
                                                   .lora_scale = 1.0F,
                                                   .lora_targets = OD_TARGET_ALL};
        assert_ok(od_fit_make(spec, &options, 0, true, &fit, &err), &err);
        const double fast = od_cost_pass(&fit.program, od_card_find("h200"), 1024.0, 1.0);
        const double slow = od_cost_pass(&fit.program, od_card_find("rtx-4090"), 1024.0, 1.0);
        assert_true(fast > before && slow > 3.0 * fast);
        before = fast;
        od_fit_release(&fit);
    }
    assert_null(od_card_find("no such card"));
}

// Weights of eight-bit floats: half the bytes, and faster where the card multiplies them.
static void floats_of_8_bits_are_counted(void **state)
{
    (void)state;
    struct od_error err = {0};
    const struct od_spec *spec = od_bench_shape("llama-2-7b");
    const struct od_card *card = od_card_find("h200");
    struct od_program_options options = {.mode = OD_PROGRAM_TRAIN_LORA,
                                         .half = true,
                                         .head_rows = OD_GPU_HEAD_ROWS,
                                         .tokens = 8192,
                                         .threads = 1,
                                         .lora_r = 16,
                                         .lora_scale = 1.0F,
                                         .lora_targets = OD_TARGET_ALL};
    double seconds[2];
    size_t weights[2];
    double floor[OD_GPU_PART_COUNT];
    for (int i = 0; i < 2; i++) {
        struct od_fit fit;
        options.quant = i == 0 ? OD_QUANT_NONE : OD_QUANT_E4M3;
        assert_ok(od_fit_make(spec, &options, 0, true, &fit, &err), &err);
        seconds[i] = od_cost_pass(&fit.program, card, 2048.0, 1.0);
        weights[i] = fit.plan.role_bytes[OD_ROLE_WEIGHT] + fit.plan.role_bytes[OD_ROLE_COPY];
        if (i == 1) {
            od_cost_floor(&fit.program, card, 2048.0, 1.0, floor);
        }
        od_fit_release(&fit);
    }
    print_message("# %.0f tokens/s in bf16, %.0f in fp8\n", 8192.0 / seconds[0],
                  8192.0 / seconds[1]);
    assert_true(seconds[1] < 0.85 * seconds[0] && seconds[1] > 0.5 * seconds[0]);
    const double width = (double)spec->channels;
    const double layer = width * (4.0 * width + 3.0 * (double)spec->ffn);
    const double values = layer * (double)spec->layers;
    // A byte a weight is saved, a scale a row is added.
    assert_true(fabs((double)(weights[0] - weights[1]) / values - 1.0) < 0.01);
    close_to(floor[OD_GPU_PART_PRODUCT], 2.0 * 8192.0 * values / (card->flops_per_s * card->e4m3));
    // Rows of X and of dY: two bytes are read, one is written; codes are read and written turned. The
    // layer in front has no input gradient.
    const double x = 3.0 * width + (double)spec->ffn;
    const double dy = 5.0 * width + 2.0 * (double)spec->ffn;
    const double first = 3.0 * 8192.0 * 3.0 * width + 2.0 * 3.0 * width * width;
    close_to(floor[OD_GPU_PART_DECODE] * card->bytes_per_s,
             (3.0 * 8192.0 * (x + dy) + 2.0 * layer) * (double)spec->layers - first);
    assert_true(od_card_find("a100-80gb")->e4m3 <= 0.0);
}

// Adapters on embedding and head: what they add to an ordinary adapter's floor, counted from the shape.
static void adapters_on_embedding_and_head_are_counted(void **state)
{
    (void)state;
    enum { ROWS = 8192 };
    struct od_error err = {0};
    const struct od_spec *spec = od_bench_shape("llama-2-7b");
    const struct od_card *card = od_card_find("h200");
    struct od_program_options options = {.mode = OD_PROGRAM_TRAIN_LORA,
                                         .half = true,
                                         .head_rows = OD_GPU_HEAD_ROWS,
                                         .tokens = ROWS,
                                         .threads = 1,
                                         .lora_r = 16,
                                         .lora_scale = 1.0F};
    double floor[2][OD_GPU_PART_COUNT];
    double flops[2];
    for (int i = 0; i < 2; i++) {
        struct od_fit fit;
        options.lora_targets = OD_TARGET_ALL | (i == 1 ? OD_TARGET_EMBED | OD_TARGET_HEAD : 0);
        assert_ok(od_fit_make(spec, &options, 0, true, &fit, &err), &err);
        od_cost_floor(&fit.program, card, 2048.0, 1.0, floor[i]);
        flops[i] = od_program_flops_per_token(&fit.program);
        od_fit_release(&fit);
    }
    const double c = (double)spec->channels;
    const double v = (double)spec->vocab;
    const double rows = (double)ROWS;
    const double products = 2.0 * rows * (c + v) * (double)OD_FOLD_ALIGN / card->flops_per_s;
    // X and the gradients of the logits are read twice: for X A^T and for its gradient, for B's and A's.
    const double passes = 2.0 * 2.0 * rows * (c + v) / card->bytes_per_s;
    close_to(floor[1][OD_GPU_PART_HEAD] - floor[0][OD_GPU_PART_HEAD], products + passes);
    // The embedding's rows are read and written once more, their gradients read twice.
    close_to(floor[1][OD_GPU_PART_EMBED] - floor[0][OD_GPU_PART_EMBED],
             2.0 * 2.0 * 2.0 * rows * c / card->bytes_per_s);
    assert_true(flops[1] > flops[0] && flops[1] < 1.02 * flops[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recorded_steps_are_predicted),
        cmocka_unit_test(floors_are_counted),
        cmocka_unit_test(more_work_takes_longer),
        cmocka_unit_test(floats_of_8_bits_are_counted),
        cmocka_unit_test(adapters_on_embedding_and_head_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
