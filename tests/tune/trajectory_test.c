// Goal: ten steps of full fine-tuning and of LoRA follow transformers, PEFT and torch.
// Method: a record made by tests/oracle/tiny_llama.py in float64, documents unpacked; here the same
// documents are packed, in float32.

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "formats/json.h"
#include "formats/safetensors.h"
#include "model/program.h"
#include "model/weights.h"
#include "ops/op.h"
#include "support.h"
#include "tune/golden_llama.h"
#include "tune/session.h"

static void follow(enum od_method method, bool packing, int64_t accumulation, int threads,
                   uint64_t *ret_hash)
{
    struct od_error err = {0};
    json_t *record = NULL;
    struct od_session session;
    assert_ok(od_json_read(golden_llama("trajectory.json"), &record, &err), &err);
    struct od_dataset data = golden_documents(record);
    struct od_recipe recipe = golden_recipe(record, method, packing, accumulation);
    const struct od_session_options options = {
        .threads = threads, .allow_vector = true, .dataset = &data};
    assert_ok(od_session_open(&recipe, &options, &session, &err), &err);
    const bool lora = method == OD_METHOD_LORA;
    if (lora) {
        assert_ok(od_parts_read(session.program.adapters, session.program.adapter_count,
                                session.arrays.tensor, golden_llama("adapter_start.safetensors"),
                                &err),
                  &err);
    }
    const json_t *log = json_object_get(record, lora ? "lora" : "full");
    size_t i;
    const json_t *want;
    json_array_foreach(log, i, want)
    {
        struct od_step_report report;
        const uint64_t allocations = od_alloc_count();
        assert_ok(od_session_step(&session, &report, &err), &err);
        if (i == 0) {
            assert_int_equal(od_alloc_count(), allocations);
        }
        const double loss = json_number_value(json_object_get(want, "loss"));
        const double norm = json_number_value(json_object_get(want, "grad_norm"));
        const double lr = json_number_value(json_object_get(want, "lr"));
        if (fabs(report.loss - loss) > 1e-5 * loss || fabs(report.grad_norm - norm) > 1e-4 * norm ||
            fabs(report.lr - lr) > 1e-12) {
            fail_msg("step %zu: loss %.9g (%.9g), norm %.9g (%.9g), lr %.9g (%.9g)", i, report.loss,
                     loss, report.grad_norm, norm, report.lr, lr);
        }
    }
    assert_int_equal(i, 10);
    const struct od_program *program = &session.program;
    const double worst =
        largest_difference(&session, lora ? program->adapters : program->weights,
                           lora ? program->adapter_count : program->weight_count,
                           golden_llama(lora ? "adapter_end.safetensors" : "full_end.safetensors"));
    (void)printf("# largest weight difference %g\n", worst);
    assert_true(worst < 1e-6);  // the weights moved by up to 6e-4
    if (ret_hash) {
        *ret_hash = od_session_weight_hash(&session);
    }
    od_session_close(&session);
    json_decref(record);
}

static void full_fine_tuning(void **state)
{
    (void)state;
    uint64_t one;
    uint64_t two;
    uint64_t three;
    follow(OD_METHOD_FULL, true, 1, 1, &one);
    follow(OD_METHOD_FULL, true, 1, 2, &two);
    follow(OD_METHOD_FULL, true, 1, 3, &three);
    assert_true(one == two && two == three);
}

static void lora(void **state)
{
    (void)state;
    uint64_t one;
    uint64_t two;
    follow(OD_METHOD_LORA, true, 1, 1, &one);
    follow(OD_METHOD_LORA, true, 1, 2, &two);
    assert_true(one == two);
}

static void unpacked_and_accumulated(void **state)
{
    (void)state;
    follow(OD_METHOD_FULL, false, 1, 2, NULL);
    follow(OD_METHOD_FULL, false, 6, 2, NULL);
    follow(OD_METHOD_FULL, true, 3, 2, NULL);
    follow(OD_METHOD_LORA, false, 2, 2, NULL);
}

// LoRA over weights of eight-bit floats: near the record, and the same bits on any number of threads.
static void near_with_fp8(void **state)
{
    uint64_t hash[3];
    (void)state;
    for (int run = 0; run < 3; run++) {
        struct od_error err = {0};
        json_t *record = NULL;
        struct od_session session;
        double worst = 0.0;
        assert_ok(od_json_read(golden_llama("trajectory.json"), &record, &err), &err);
        struct od_dataset data = golden_documents(record);
        struct od_recipe recipe = golden_recipe(record, OD_METHOD_LORA, true, 1);
        recipe.quant = OD_QUANT_E4M3;
        const struct od_session_options options = {
            .threads = run + 1, .allow_vector = run != 1, .dataset = &data};
        assert_ok(od_session_open(&recipe, &options, &session, &err), &err);
        assert_ok(od_parts_read(session.program.adapters, session.program.adapter_count,
                                session.arrays.tensor, golden_llama("adapter_start.safetensors"),
                                &err),
                  &err);
        size_t i;
        const json_t *want;
        json_array_foreach(json_object_get(record, "lora"), i, want)
        {
            struct od_step_report report;
            assert_ok(od_session_step(&session, &report, &err), &err);
            const double loss = json_number_value(json_object_get(want, "loss"));
            worst = fmax(worst, fabs(report.loss - loss) / loss);
        }
        assert_int_equal(i, 10);
        (void)printf("# largest difference of a loss %g\n", worst);
        assert_true(worst > 1e-7 && worst < 0.01);
        hash[run] = od_session_weight_hash(&session);
        od_session_close(&session);
        json_decref(record);
    }
    assert_true(hash[0] == hash[1] && hash[1] == hash[2]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(full_fine_tuning),
        cmocka_unit_test(lora),
        cmocka_unit_test(unpacked_and_accumulated),
        cmocka_unit_test(near_with_fp8),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
