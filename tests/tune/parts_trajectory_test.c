// Goal: adapters on some layers, and embedding and head in full beside them, follow PEFT and torch.
// Method: a record made by tests/oracle/tiny_llama_parts.py in float64; as trajectory_test. In the long suite
// as long as no record is there.

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
#include "support.h"
#include "tune/golden_llama.h"
#include "tune/session.h"

// A case of tests/oracle/tiny_llama_parts.py.
struct parts_case {
    const char *name;
    unsigned saved;
    uint64_t layers;
};

static void parts_path(char out[OD_PATH_MAX_BYTES], const char *name, const char *file)
{
    const char *folder = test_source("tests/golden/oracle/tiny_llama_parts");
    (void)snprintf(out, OD_PATH_MAX_BYTES, "%s/%s%s%s", folder, name, *name ? "/" : "", file);
}

// The folder that PEFT saved has our keys, no more, and its config says what the recipe says.
static void check_saved(const struct od_session *s, const struct parts_case *one,
                        const json_t *record)
{
    struct od_error err = {0};
    struct od_adapter_config config;
    char folder[OD_PATH_MAX_BYTES];
    const json_t *keys = json_object_get(record, "keys");
    parts_path(folder, one->name, "");
    assert_ok(od_adapter_config_read(folder, &config, &err), &err);
    assert_int_equal(config.saved, one->saved);
    assert_int_equal(config.layers.bits[0], one->layers);
    assert_int_equal(json_array_size(keys), s->program.adapter_count);
    for (int32_t i = 0; i < s->program.adapter_count; i++) {
        bool found = false;
        for (size_t k = 0; k < json_array_size(keys); k++) {
            found = found || strcmp(json_string_value(json_array_get(keys, k)),
                                    s->program.adapters[i].name) == 0;
        }
        if (!found) {
            fail_msg("PEFT saves no '%s'", s->program.adapters[i].name);
        }
    }
}

static void follow_parts(const struct parts_case *one, const json_t *record)
{
    struct od_error err = {0};
    struct od_session session;
    json_t *settings = NULL;
    char path[OD_PATH_MAX_BYTES];
    assert_ok(od_json_read(golden_llama("trajectory.json"), &settings, &err), &err);
    struct od_dataset data = golden_documents(settings);
    struct od_recipe recipe = golden_recipe(settings, OD_METHOD_LORA, true, 1);
    recipe.lora_saved = one->saved;
    recipe.lora_layers.bits[0] = one->layers;
    const struct od_session_options options = {
        .threads = 2, .allow_vector = true, .dataset = &data};
    assert_ok(od_session_open(&recipe, &options, &session, &err), &err);
    check_saved(&session, one, record);
    parts_path(path, one->name, "start.safetensors");
    assert_ok(od_parts_read(session.program.adapters, session.program.adapter_count,
                            session.arrays.tensor, path, &err),
              &err);
    const json_t *log = json_object_get(record, "log");
    assert_int_equal(json_array_size(log), 10);
    for (size_t i = 0; i < 10; i++) {
        struct od_step_report report;
        const json_t *want = json_array_get(log, i);
        const double loss = json_number_value(json_object_get(want, "loss"));
        const double norm = json_number_value(json_object_get(want, "grad_norm"));
        assert_ok(od_session_step(&session, &report, &err), &err);
        if (fabs(report.loss - loss) > 1e-5 * loss || fabs(report.grad_norm - norm) > 1e-4 * norm) {
            fail_msg("%s, step %zu: loss %.9g (%.9g), norm %.9g (%.9g)", one->name, i, report.loss,
                     loss, report.grad_norm, norm);
        }
    }
    parts_path(path, one->name, "adapter_model.safetensors");
    const double worst =
        largest_difference(&session, session.program.adapters, session.program.adapter_count, path);
    (void)printf("# %s: largest weight difference %g\n", one->name, worst);
    assert_true(worst < 1e-6);
    od_session_close(&session);
    json_decref(settings);
}

static void parts_of_a_model(void **state)
{
    (void)state;
    static const struct parts_case cases[] = {
        {"layers", 0, 2},
        {"head", OD_SAVED_HEAD, 0},
        {"both", OD_SAVED_EMBEDDING | OD_SAVED_HEAD, 2},
    };
    struct od_error err = {0};
    json_t *record = NULL;
    char path[OD_PATH_MAX_BYTES];
    parts_path(path, "", "trajectory.json");
    assert_ok(od_json_read(path, &record, &err), &err);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        follow_parts(&cases[i], json_object_get(record, cases[i].name));
    }
    json_decref(record);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(parts_of_a_model)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
