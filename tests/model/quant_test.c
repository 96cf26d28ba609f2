// Goal: a program over quantised weights computes what the same program computes over the values that
// the codes stand for, bit for bit, forward and backward; what cannot be quantised is refused.
// Method: two programs over fresh weights, one with codes, the other with the decoded values.

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "formats/dtype.h"
#include "formats/nf4.h"
#include "model/program.h"
#include "model/tiny_program.h"
#include "ops/op.h"
#include "support.h"

// The values that a quantised part stands for.
static void decode(const struct tiny *side, const struct od_part *part, float *to)
{
    const uint8_t *scales = (const uint8_t *)side->arrays.tensor[part->scales] + part->scales_at;
    const uint8_t *codes = (const uint8_t *)side->arrays.tensor[part->tensor];
    const int64_t count = part->rows * part->cols;
    if (part->quant == OD_QUANT_NF4) {
        od_nf4_decode(codes + part->row * part->cols / 2, scales, count, 0, count, to);
        return;
    }
    for (int64_t i = 0; i < count; i++) {
        float scale;
        memcpy(&scale, scales + i / part->cols * (int64_t)sizeof scale, sizeof scale);
        to[i] = (float)((const int8_t *)codes)[part->row * part->cols + i] * scale;
    }
}

static void check(enum od_quant quant)
{
    struct tiny coded;
    struct tiny plain;
    double error = 0.0;
    double norm = 0.0;
    tiny_build(&coded, (struct od_program_options){.mode = OD_PROGRAM_TRAIN_LORA, .quant = quant});
    tiny_build(&plain, (struct od_program_options){.mode = OD_PROGRAM_TRAIN_LORA});
    assert_int_equal(coded.program.weight_count, plain.program.weight_count);
    for (int32_t i = 0; i < plain.program.weight_count; i++) {
        const struct od_part *from = &coded.program.weights[i];
        const struct od_part *to = &plain.program.weights[i];
        float *values = plain.arrays.tensor[to->tensor] + to->row * to->cols;
        assert_string_equal(from->name, to->name);
        if (from->quant == OD_QUANT_NONE) {
            continue;
        }
        float *decoded = od_alloc((size_t)(to->rows * to->cols), sizeof *decoded);
        decode(&coded, from, decoded);
        for (int64_t j = 0; j < to->rows * to->cols; j++) {
            error += (double)(decoded[j] - values[j]) * (double)(decoded[j] - values[j]);
            norm += (double)values[j] * (double)values[j];
        }
        memcpy(values, decoded, (size_t)(to->rows * to->cols) * sizeof *values);
        od_free(decoded);
    }
    print_message("# relative error of the weights: %.4f\n", error / norm);
    assert_true(error < (quant == OD_QUANT_NF4 ? 0.015 : 1e-4) * norm);
    tiny_run(&coded);
    tiny_run(&plain);
    tiny_assert_same(&coded, &plain);
    tiny_release(&plain);
    tiny_release(&coded);
}

static void nf4_computes_with_its_values(void **state)
{
    (void)state;
    check(OD_QUANT_NF4);
}

static void int8_computes_with_its_values(void **state)
{
    (void)state;
    check(OD_QUANT_INT8);
}

// Rounded weights and rows change the loss a little, and the gradients not much more.
static void floats_of_8_bits_stay_near(void **state)
{
    (void)state;
    struct tiny rounded;
    struct tiny plain;
    double error = 0.0;
    double norm = 0.0;
    struct od_spec calm = tiny_spec;  // no attention that is all on one key
    calm.init_std = 0.05;
    tiny_build_of(
        &rounded, &calm,
        (struct od_program_options){.mode = OD_PROGRAM_TRAIN_LORA, .quant = OD_QUANT_E4M3});
    tiny_build_of(&plain, &calm, (struct od_program_options){.mode = OD_PROGRAM_TRAIN_LORA});
    tiny_run(&rounded);
    tiny_run(&plain);
    const double apart = fabs(rounded.loss - plain.loss) / plain.loss;
    for (int32_t i = 0; i < plain.program.param_count; i++) {
        const int32_t number = plain.program.params[i].gradient;
        const struct od_tensor *t = &plain.program.tensors[number];
        const float *want = plain.arrays.tensor[number];
        const float *got = rounded.arrays.tensor[rounded.program.params[i].gradient];
        for (int64_t j = 0; j < t->rows * t->cols; j++) {
            error += (double)(got[j] - want[j]) * (double)(got[j] - want[j]);
            norm += (double)want[j] * (double)want[j];
        }
    }
    print_message("# relative difference: loss %.2g, gradients %.3f\n", apart, sqrt(error / norm));
    assert_true(apart > 1e-9 && apart < 0.01);
    assert_true(error < 0.15 * 0.15 * norm);
    tiny_release(&plain);
    tiny_release(&rounded);
}

// What a GPU multiplies is codes, and beside them copies of the adapter.
static void floats_of_8_bits_on_a_gpu(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_program program;
    struct od_spec odd = tiny_spec;
    struct od_program_options options = {.mode = OD_PROGRAM_TRAIN_LORA,
                                         .half = true,
                                         .quant = OD_QUANT_E4M3,
                                         .tokens = TINY_TOKENS,
                                         .threads = 1,
                                         .lora_r = 4,
                                         .lora_scale = 1.0F,
                                         .lora_targets = OD_TARGET_ALL};
    assert_ok(od_program_build(&tiny_spec, &options, &program, &err), &err);
    int linear = 0;
    for (int32_t i = 0; i < program.op_count; i++) {
        const struct od_op *op = &program.ops[i];
        const bool backward = op->kind == OD_OP_LINEAR_BWD;
        if (op->kind != OD_OP_LINEAR && !backward) {
            continue;
        }
        const struct od_tensor *codes = &program.tensors[op->slot[OD_SLOT_CODES]];
        const struct od_tensor *rows = &program.tensors[op->slot[OD_SLOT_ROUNDED]];
        const struct od_tensor *a = &program.tensors[op->slot[OD_SLOT_A_COPY]];
        const struct od_tensor *b = &program.tensors[op->slot[OD_SLOT_B_COPY]];
        assert_int_equal(codes->dtype, OD_DTYPE_U8);
        assert_true(codes->rows == op->n && codes->cols == op->k);
        assert_int_equal(rows->dtype, OD_DTYPE_U8);
        assert_int_equal(rows->cols, (backward ? op->n : op->k) + 4);
        assert_true(a->dtype == OD_DTYPE_BF16 && a->rows == op->fold && a->cols == op->k);
        assert_true(b->dtype == OD_DTYPE_BF16 && b->rows == op->n && b->cols == op->fold);
        assert_int_equal(op->slot[OD_SLOT_W] >= 0, backward);
        if (backward) {
            const struct od_tensor *turned = &program.tensors[op->slot[OD_SLOT_W]];
            assert_true(turned->rows == op->k && turned->cols == op->n);
            assert_int_equal(turned->dtype, OD_DTYPE_U8);
        }
        linear++;
    }
    assert_int_equal(linear, 2 * 4 * (int)tiny_spec.layers);
    od_program_release(&program);
    odd.ffn = 200;
    assert_int_equal(od_program_build(&odd, &options, &program, &err), OD_E_UNSUPPORTED);
    assert_non_null(strstr(err.message, "fp8"));
    options.half = false;  // the CPU takes any width
    assert_ok(od_program_build(&odd, &options, &program, &err), &err);
    od_program_release(&program);
}

static void what_cannot_be_quantised_is_refused(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_program program;
    struct od_spec odd = tiny_spec;
    struct od_program_options options = {.mode = OD_PROGRAM_TRAIN_FULL,
                                         .quant = OD_QUANT_NF4,
                                         .tokens = TINY_TOKENS,
                                         .threads = 1,
                                         .lora_r = 4,
                                         .lora_scale = 1.0F,
                                         .lora_targets = OD_TARGET_ALL};
    assert_int_equal(od_program_build(&tiny_spec, &options, &program, &err), OD_E_ARGUMENT);
    odd.ffn = 200;
    options.mode = OD_PROGRAM_TRAIN_LORA;
    assert_int_equal(od_program_build(&odd, &options, &program, &err), OD_E_UNSUPPORTED);
    assert_non_null(strstr(err.message, "200"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nf4_computes_with_its_values),
        cmocka_unit_test(int8_computes_with_its_values),
        cmocka_unit_test(floats_of_8_bits_stay_near),
        cmocka_unit_test(floats_of_8_bits_on_a_gpu),
        cmocka_unit_test(what_cannot_be_quantised_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
