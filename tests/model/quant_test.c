// Goal: a program over quantised weights computes what the same program computes over the values that
// the codes stand for, bit for bit, forward and backward; what cannot be quantised is refused.
// Method: two programs over fresh weights, one with codes, the other with the decoded values.

#include <stdint.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "formats/nf4.h"
#include "model/program.h"
#include "model/spec.h"
#include "model/weights.h"
#include "ops/cpu.h"
#include "ops/op.h"
#include "plan/plan.h"
#include "support.h"

enum { TOKENS = 24, VOCAB = 96 };

static const struct od_spec spec = {.family = "llama",
                                    .vocab = VOCAB,
                                    .channels = 128,
                                    .ffn = 192,
                                    .layers = 2,
                                    .heads = 4,
                                    .kv_heads = 2,
                                    .head_dim = 32,
                                    .max_positions = 64,
                                    .norm_eps = 1e-5F,
                                    .rope_theta = 10000.0,
                                    .init_std = 0.3,
                                    .tied = true,
                                    .bos = -1,
                                    .eos = -1};

struct side {
    struct od_program program;
    struct od_plan plan;
    struct od_arrays arrays;
    double loss;
};

static void build(struct side *side, enum od_quant quant)
{
    struct od_error err = {0};
    const struct od_program_options options = {.mode = OD_PROGRAM_TRAIN_LORA,
                                               .quant = quant,
                                               .tokens = TOKENS,
                                               .threads = 2,
                                               .lora_r = 4,
                                               .lora_scale = 2.0F,
                                               .lora_targets = OD_TARGET_ALL};
    assert_ok(od_program_build(&spec, &options, &side->program, &err), &err);
    assert_ok(od_plan_make(&side->program, &side->plan, &err), &err);
    assert_ok(od_arrays_make(&side->plan, &side->arrays, &err), &err);
    assert_ok(od_weights_init(&side->program, side->arrays.tensor, 5, &err), &err);
    od_rope_table(side->arrays.tensor[side->program.io.rope_table], TOKENS, spec.head_dim,
                  spec.rope_theta);
    // B of the adapters too, or nothing flows to A.
    for (int32_t i = 0; i < side->program.adapter_count; i++) {
        const struct od_part *part = &side->program.adapters[i];
        float *to = side->arrays.tensor[part->tensor] + part->row * part->cols;
        for (int64_t j = 0; j < part->rows * part->cols; j++) {
            to[j] = 0.01F * (float)((j * 37 + i) % 19 - 9);
        }
    }
}

static void release(struct side *side)
{
    od_arrays_release(&side->arrays);
    od_plan_release(&side->plan);
    od_program_release(&side->program);
}

static void run(struct side *side)
{
    struct od_cpu cpu;
    struct od_error err = {0};
    int32_t ids[TOKENS];
    int32_t positions[TOKENS];
    int32_t targets[TOKENS];
    static const int32_t segments[] = {0, 10, TOKENS};
    for (int32_t t = 0; t < TOKENS; t++) {
        ids[t] = (t * 31 + 7) % VOCAB;
        positions[t] = t < 10 ? t : t - 10;
        targets[t] = (t * 17 + 3) % VOCAB;
    }
    struct od_batch batch = {.tokens = TOKENS,
                             .ids = ids,
                             .positions = positions,
                             .segments = 2,
                             .segment_start = segments,
                             .targets = targets,
                             .loss_scale = 1.0F / TOKENS,
                             .want_gradient = true};
    assert_ok(od_cpu_open(2, true, &cpu, &err), &err);
    for (int32_t i = 0; i < side->program.op_count; i++) {
        od_cpu_run(&cpu, &side->program.ops[i], side->arrays.tensor, &batch);
        if (side->program.ops[i].kind == OD_OP_HEAD_LOSS) {
            side->loss = batch.loss_sum;
        }
    }
    od_cpu_close(&cpu);
}

// The values that a quantised part stands for.
static void decode(const struct side *side, const struct od_part *part, float *to)
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
    struct side coded;
    struct side plain;
    double error = 0.0;
    double norm = 0.0;
    build(&coded, quant);
    build(&plain, OD_QUANT_NONE);
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
    print_message("relative error of the weights: %.4f\n", error / norm);
    assert_true(error < (quant == OD_QUANT_NF4 ? 0.015 : 1e-4) * norm);
    run(&coded);
    run(&plain);
    assert_memory_equal(&coded.loss, &plain.loss, sizeof coded.loss);
    assert_int_equal(coded.program.param_count, plain.program.param_count);
    for (int32_t i = 0; i < plain.program.param_count; i++) {
        const struct od_param *a = &coded.program.params[i];
        const struct od_param *b = &plain.program.params[i];
        const struct od_tensor *t = &plain.program.tensors[b->gradient];
        assert_memory_equal(coded.arrays.tensor[a->gradient], plain.arrays.tensor[b->gradient],
                            (size_t)(t->rows * t->cols) * sizeof(float));
    }
    release(&plain);
    release(&coded);
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

static void what_cannot_be_quantised_is_refused(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_program program;
    struct od_spec odd = spec;
    struct od_program_options options = {.mode = OD_PROGRAM_TRAIN_FULL,
                                         .quant = OD_QUANT_NF4,
                                         .tokens = TOKENS,
                                         .threads = 1,
                                         .lora_r = 4,
                                         .lora_scale = 1.0F,
                                         .lora_targets = OD_TARGET_ALL};
    assert_int_equal(od_program_build(&spec, &options, &program, &err), OD_E_ARGUMENT);
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
        cmocka_unit_test(what_cannot_be_quantised_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
