// Goal: what a layer computes again has the bits that it dropped, and dropping saves memory.
// Method: the same pass with every level and number of lean layers, full and LoRA with dropout, on
// codes too; memory that a pass writes is no number at first.

#include <stddef.h>

#include "base/status.h"
#include "model/program.h"
#include "model/tiny_program.h"
#include "ops/op.h"
#include "support.h"

// Activations that live at the widest point; scratch differs by what comes again.
static size_t activation_bytes(const struct tiny *tiny)
{
    return tiny->plan.transient_bytes;
}

static void check(struct od_program_options options)
{
    struct tiny all;
    size_t before = 0;
    tiny_build(&all, options);
    tiny_run(&all);
    before = activation_bytes(&all);
    for (int keep = OD_KEEP_ALL; keep < OD_KEEP_COUNT; keep++) {
        for (int64_t lean = 0; lean <= (keep + 1 < OD_KEEP_COUNT ? tiny_spec.layers : 0); lean++) {
            struct tiny some;
            options.keep = (enum od_keep)keep;
            options.lean_layers = lean;
            tiny_build(&some, options);
            tiny_run(&some);
            tiny_assert_same(&all, &some);
            if (lean == tiny_spec.layers) {
                print_message("# level %d: %zu bytes after %zu, %d operations\n", keep + 1,
                              activation_bytes(&some), before, some.program.op_count);
            }
            if (lean == tiny_spec.layers && keep + 1 < OD_KEEP_INPUT &&
                od_layer_set_last(&options.lora_layers) < 0) {
                assert_true(activation_bytes(&some) < before);
                before = activation_bytes(&some);
            }
            tiny_release(&some);
        }
    }
    tiny_release(&all);
}

static void full_tuning(void **state)
{
    (void)state;
    check((struct od_program_options){.mode = OD_PROGRAM_TRAIN_FULL});
}

static void adapters_with_dropout(void **state)
{
    (void)state;
    check((struct od_program_options){.mode = OD_PROGRAM_TRAIN_LORA, .lora_dropout = 0.25F});
}

static void adapters_over_codes(void **state)
{
    (void)state;
    check((struct od_program_options){.mode = OD_PROGRAM_TRAIN_LORA, .quant = OD_QUANT_NF4});
    check((struct od_program_options){
        .mode = OD_PROGRAM_TRAIN_LORA, .quant = OD_QUANT_E4M3, .lora_dropout = 0.25F});
}

// The layer in front is not reached by the backward pass: nothing of it is stored or made again.
static void adapters_on_some_layers(void **state)
{
    (void)state;
    struct od_program_options options = {.mode = OD_PROGRAM_TRAIN_LORA, .lora_dropout = 0.25F};
    od_layer_set_add(&options.lora_layers, 1);
    check(options);
    struct tiny tiny;
    int stored = 0;
    options.keep = OD_KEEP_HOST;
    tiny_build(&tiny, options);
    for (int32_t i = 0; i < tiny.program.op_count; i++) {
        const struct od_op *op = &tiny.program.ops[i];
        stored += op->kind == OD_OP_STORE;
        if (op->kind == OD_OP_FETCH) {
            const struct od_tensor *to = &tiny.program.tensors[op->slot[OD_SLOT_Y]];
            assert_true(to->last > i);  // who waits for it
        }
    }
    assert_int_equal(stored, tiny_spec.layers - 1);
    tiny_release(&tiny);
}

static void levels_that_do_not_exist_are_refused(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_program program;
    struct od_program_options options = {.mode = OD_PROGRAM_TRAIN_FULL,
                                         .tokens = TINY_TOKENS,
                                         .threads = 1,
                                         .keep = OD_KEEP_HOST,
                                         .lean_layers = 1};
    assert_int_equal(od_program_build(&tiny_spec, &options, &program, &err), OD_E_ARGUMENT);
    options.keep = OD_KEEP_ALL;
    options.lean_layers = tiny_spec.layers + 1;
    assert_int_equal(od_program_build(&tiny_spec, &options, &program, &err), OD_E_ARGUMENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(full_tuning),
        cmocka_unit_test(adapters_with_dropout),
        cmocka_unit_test(adapters_over_codes),
        cmocka_unit_test(adapters_on_some_layers),
        cmocka_unit_test(levels_that_do_not_exist_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
