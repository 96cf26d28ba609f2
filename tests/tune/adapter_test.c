// Goal: PEFT loads an adapter that was trained and written here, and computes what we compute.
// Method: ten LoRA steps on the recorded tiny Llama and an export, whose weights must be the golden
// ones; the logits of base and merged adapter are compared with those that PEFT recorded for the
// golden files (tests/oracle/peft_loads.py). OD_REGOLD=1 writes the golden adapter anew.

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "formats/json.h"
#include "model/weights.h"
#include "support.h"
#include "tune/export.h"
#include "tune/golden_llama.h"
#include "tune/session.h"

enum { CONTEXT = 64, VOCAB = 61 };

static void join(char out[OD_PATH_MAX_BYTES], const char *folder, const char *name)
{
    assert_int_equal(od_path_join(out, folder, name, NULL), OD_OK);
}

static void read_whole(const char *folder, const char *name, char **bytes, size_t *size)
{
    char path[OD_PATH_MAX_BYTES];
    struct od_error err = {0};
    join(path, folder, name);
    assert_ok(od_file_read(path, 1 << 24, bytes, size, &err), &err);
}

static void train_and_export(char exported[OD_PATH_MAX_BYTES])
{
    struct od_error err = {0};
    json_t *record = NULL;
    struct od_session session;
    assert_ok(od_json_read(golden_llama("trajectory.json"), &record, &err), &err);
    struct od_dataset data = golden_documents(record);
    struct od_recipe recipe = golden_recipe(record, OD_METHOD_LORA, true, 1);
    const struct od_session_options options = {
        .threads = 2, .allow_vector = true, .dataset = &data};
    assert_ok(od_session_open(&recipe, &options, &session, &err), &err);
    for (int i = 0; i < 10; i++) {
        struct od_step_report report;
        session.total_steps = 1000;  // the learning rate stays up
        assert_ok(od_session_step(&session, &report, &err), &err);
    }
    assert_ok(od_export(&session, test_folder(), exported, &err), &err);
    od_session_close(&session);
    json_decref(record);
}

static void regold(const char *exported)
{
    static const char name[] = "adapter_model.safetensors";
    char *bytes = NULL;
    size_t size = 0;
    char path[OD_PATH_MAX_BYTES];
    struct od_error err = {0};
    read_whole(exported, name, &bytes, &size);
    join(path, test_source("tests/golden/oracle/peft_adapter"), name);
    assert_ok(od_file_write(path, bytes, size, &err), &err);
    od_free(bytes);
}

static void weights_are_golden(void **state)
{
    (void)state;
    char exported[OD_PATH_MAX_BYTES];
    char *a = NULL;
    char *b = NULL;
    size_t a_size = 0;
    size_t b_size = 0;
    train_and_export(exported);
    if (getenv("OD_REGOLD")) {
        regold(exported);
    }
    read_whole(exported, "adapter_model.safetensors", &a, &a_size);
    read_whole(test_source("tests/golden/oracle/peft_adapter"), "adapter_model.safetensors", &b,
               &b_size);
    assert_int_equal(a_size, b_size);
    assert_memory_equal(a, b, a_size);
    od_free(a);
    od_free(b);
}

static void logits_are_pefts(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_spec spec;
    struct od_cpu cpu;
    struct od_program program;
    struct od_plan plan;
    struct od_arrays arrays;
    json_t *record = NULL;
    const char *folder = test_source("tests/golden/oracle/peft_adapter");
    char path[OD_PATH_MAX_BYTES];
    const struct od_program_options options = {.mode = OD_PROGRAM_INFER,
                                               .tokens = CONTEXT,
                                               .threads = 1,
                                               .cache_slots = 1,
                                               .cache_length = CONTEXT,
                                               .logit_rows = CONTEXT};
    int32_t ids[CONTEXT];
    int32_t positions[CONTEXT];
    int32_t slots[CONTEXT] = {0};
    join(path, folder, "logits.json");
    assert_ok(od_json_read(path, &record, &err), &err);
    assert_ok(od_spec_read(golden_llama("config.json"), &spec, &err), &err);
    assert_ok(od_cpu_open(1, true, &cpu, &err), &err);
    assert_ok(od_program_build(&spec, &options, &program, &err), &err);
    assert_ok(od_plan_make(&program, &plan, &err), &err);
    assert_ok(od_arrays_make(&plan, &arrays, &err), &err);
    assert_ok(od_weights_read(&program, arrays.tensor, golden_llama(""), &err), &err);
    assert_ok(od_adapter_merge(cpu.pool, &program, arrays.tensor, folder, &err), &err);
    od_spec_rope_table(&spec, CONTEXT, arrays.tensor[program.io.rope_table]);
    const json_t *list = json_object_get(record, "ids");
    const int64_t count = (int64_t)json_array_size(list);
    assert_true(count > 20 && count <= CONTEXT);
    for (int64_t i = 0; i < count; i++) {
        ids[i] = (int32_t)json_integer_value(json_array_get(list, (size_t)i));
        positions[i] = (int32_t)i;
    }
    struct od_batch batch = {.tokens = count,
                             .ids = ids,
                             .positions = positions,
                             .cache_slot = slots,
                             .cache_length = CONTEXT,
                             .logit_rows = count,
                             .logit_row = positions};
    for (int32_t i = 0; i < program.op_count; i++) {
        od_cpu_run(&cpu, &program.ops[i], arrays.tensor, &batch);
    }
    for (int64_t t = 0; t < count; t++) {
        const json_t *row = json_array_get(json_object_get(record, "logits"), (size_t)t);
        for (size_t v = 0; v < VOCAB; v++) {
            const double want = json_number_value(json_array_get(row, v));
            const double got = (double)arrays.tensor[program.io.logits][t * VOCAB + (int64_t)v];
            if (fabs(got - want) > 2e-5) {
                fail_msg("token %lld, logit %zu: %g, PEFT says %g", (long long)t, v, got, want);
            }
        }
    }
    od_arrays_release(&arrays);
    od_plan_release(&plan);
    od_program_release(&program);
    od_cpu_close(&cpu);
    json_decref(record);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weights_are_golden),
        cmocka_unit_test(logits_are_pefts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
