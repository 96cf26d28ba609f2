// Goal: every operation on the GPU computes what the CPU computes.
// Method: that of ops_bench.h, over shapes, families and ways of keeping weights and activations.

#include "device/cuda_gpu.h"
#include "model/program.h"
#include "model/spec.h"
#include "ops/op.h"
#include "plan/ops_bench.h"
#include "support.h"

static void other_families(void **state)
{
    (void)state;
    if (!have_gpu()) {
        skip();
    }
    for (int i = 0; i < 2 * FAMILIES; i++) {
        const struct od_spec spec = family_spec(i % FAMILIES);
        print_message("# %s:\n", spec.family);
        check(&spec,
              (struct od_program_options){.mode = i < FAMILIES ? OD_PROGRAM_TRAIN_FULL
                                                               : OD_PROGRAM_TRAIN_LORA,
                                          .tokens = 640,
                                          .threads = 2,
                                          .keep = i % 2 == 0 ? OD_KEEP_ALL : OD_KEEP_INPUT,
                                          .lora_r = 8,
                                          .lora_scale = 1.5F,
                                          .lora_targets = od_spec_targets(&spec)},
              i != FAMILIES);
    }
}

static void every_operation_on_quantised_weights(void **state)
{
    (void)state;
    if (!have_gpu()) {
        skip();
    }
    for (int i = 0; i < 6; i++) {
        struct od_spec spec = specs[i % 3];
        spec.channels = i % 3 == 1 ? 192 : spec.channels;
        spec.ffn = i % 3 == 1 ? 320 : (i % 3 == 2 ? 4160 : spec.ffn);  // more than a block's span
        spec.heads = i % 3 == 1 ? 4 : spec.heads;
        check(&spec,
              (struct od_program_options){
                  .mode = OD_PROGRAM_TRAIN_LORA,
                  .quant = i < 3 ? OD_QUANT_NF4 : OD_QUANT_INT8,
                  .tokens = 640,
                  .threads = 2,
                  .lora_r = i % 3 == 1 ? 4 : 16,
                  .lora_scale = 1.5F,
                  .lora_dropout = i % 3 == 1 ? 0.25F : 0.0F,
                  .lora_targets = i % 3 == 2 ? (OD_TARGET_Q | OD_TARGET_DOWN) : OD_TARGET_ALL},
              true);
    }
}

// Weights of eight-bit floats: three shapes, and one with biases; with the library and without it.
static void every_operation_on_floats_of_8_bits(void **state)
{
    (void)state;
    if (!have_gpu() || !gpu_has_e4m3()) {
        skip();
    }
    for (int i = 0; i < 8; i++) {
        struct od_spec spec = i % 4 == 3 ? family_spec(4) : specs[i % 4];
        spec.channels = i % 2 == 1 ? 192 : spec.channels;
        spec.ffn = i % 2 == 1 ? 336 : (i % 4 == 2 ? 4176 : spec.ffn);
        check(&spec,
              (struct od_program_options){
                  .mode = OD_PROGRAM_TRAIN_LORA,
                  .quant = OD_QUANT_E4M3,
                  .keep = i == 6 ? OD_KEEP_INPUT : OD_KEEP_ALL,
                  .tokens = 640,
                  .threads = 2,
                  .lora_r = i % 2 == 1 ? 4 : 16,
                  .lora_scale = 1.5F,
                  .lora_dropout = i % 4 == 1 ? 0.25F : 0.0F,
                  .lora_targets = i % 4 == 2 ? (OD_TARGET_Q | OD_TARGET_DOWN) : OD_TARGET_ALL},
              i < 4);
    }
}

static void operations_that_come_again(void **state)
{
    (void)state;
    if (!have_gpu()) {
        skip();
    }
    for (int i = 0; i < 4; i++) {
        check(&specs[i % 3],
              (struct od_program_options){.mode = OD_PROGRAM_TRAIN_LORA,
                                          .keep = (enum od_keep)(OD_KEEP_PRODUCTS + i),
                                          .tokens = 640,
                                          .threads = 2,
                                          .lora_r = 8,
                                          .lora_scale = 1.5F,
                                          .lora_dropout = i % 2 == 1 ? 0.25F : 0.0F,
                                          .lora_targets = OD_TARGET_ALL},
              true);
    }
}

static void inputs_that_lie_with_the_host(void **state)
{
    (void)state;
    if (!have_gpu()) {
        skip();
    }
    for (int i = 0; i < SPECS; i++) {
        check(&specs[i],
              (struct od_program_options){.mode = i == 1 ? OD_PROGRAM_TRAIN_FULL
                                                         : OD_PROGRAM_TRAIN_LORA,
                                          .quant = i == 0 ? OD_QUANT_NF4 : OD_QUANT_NONE,
                                          .keep = i == 2 ? OD_KEEP_INPUT : OD_KEEP_HOST,
                                          .lean_layers = i == 2 ? 1 : 0,
                                          .embedding_on_host = true,
                                          .tokens = 640,
                                          .threads = 2,
                                          .lora_r = 8,
                                          .lora_scale = 1.5F,
                                          .lora_targets = OD_TARGET_ALL},
              true);
    }
}

static void every_operation_of_full_tuning(void **state)
{
    (void)state;
    if (!have_gpu()) {
        skip();
    }
    for (int i = 0; i < SPECS; i++) {
        check(
            &specs[i],
            (struct od_program_options){.mode = OD_PROGRAM_TRAIN_FULL, .tokens = 640, .threads = 2},
            true);
    }
}

static void without_the_library(void **state)
{
    (void)state;
    if (!have_gpu()) {
        skip();
    }
    for (int i = 0; i < SPECS; i++) {
        check(&specs[i],
              (struct od_program_options){.mode = OD_PROGRAM_TRAIN_LORA,
                                          .tokens = 640,
                                          .threads = 2,
                                          .lora_r = 8,
                                          .lora_scale = 2.0F,
                                          .lora_targets = OD_TARGET_ALL},
              false);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_operation_of_lora),
        cmocka_unit_test(every_operation_on_quantised_weights),
        cmocka_unit_test(every_operation_on_floats_of_8_bits),
        cmocka_unit_test(operations_that_come_again),
        cmocka_unit_test(inputs_that_lie_with_the_host),
        cmocka_unit_test(every_operation_of_full_tuning),
        cmocka_unit_test(without_the_library),
        cmocka_unit_test(other_families),
        cmocka_unit_test(adapters_on_embedding_and_head),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
