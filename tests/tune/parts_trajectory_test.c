// Goal: adapters on some layers, on embedding and head, and embedding and head in full beside them, follow
// PEFT and torch, where the head is a matrix of its own and where it is the embedding.
// Method: a record made by tests/oracle/tiny_llama_parts.py in float64; as trajectory_test.

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
    unsigned outer;  // targets besides the linear layers of a block
    bool on_tied;    // the base's head is its embedding
    bool ensured;    // and stays so
    double bound;    // of weights after ten steps
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
    assert_int_equal(config.tied, one->ensured);
    assert_int_equal(config.targets, OD_TARGET_ALL | one->outer);
    assert_int_equal(config.layers.bits[0], one->layers);
    int64_t below = 0;  // weights that carry an adapter, which PEFT saves beside it
    for (size_t k = 0; k < json_array_size(keys); k++) {
        below += strstr(json_string_value(json_array_get(keys, k)), ".base_layer.") != NULL;
    }
    assert_int_equal(json_array_size(keys), s->program.adapter_count + below);
    assert_int_equal(below, __builtin_popcount(one->outer));
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
    recipe.lora_tied = one->ensured;
    for (int i = 0; i < OD_TARGET_NAMES; i++) {
        if ((one->outer & od_target_bit(od_target_name(i))) != 0) {
            recipe.lora_targets[recipe.lora_target_count++] = od_target_name(i);
        }
    }
    char base[OD_PATH_MAX_BYTES];
    parts_path(base, "tied_base", "");
    recipe.base_model = one->on_tied ? base : recipe.base_model;
    recipe.lora_layers.bits[0] = one->layers;
    const struct od_session_options options = {
        .threads = 2, .allow_vector = true, .dataset = &data};
    assert_ok(od_session_open(&recipe, &options, &session, &err), &err);
    check_saved(&session, one, record);
    parts_path(path, one->name, "start.safetensors");
    assert_ok(od_adapter_read(&session.program, session.arrays.tensor, path, &err), &err);
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
    assert_true(worst < one->bound);
    od_session_close(&session);
    json_decref(settings);
}

static void parts_of_a_model(void **state)
{
    (void)state;
    static const struct parts_case cases[] = {
        {"layers", 0, 2, 0, false, false, 1e-6},
        {"head", OD_SAVED_HEAD, 0, 0, false, false, 1e-6},
        {"both", OD_SAVED_EMBEDDING | OD_SAVED_HEAD, 2, 0, false, false, 1e-6},
        {"lora_head", 0, 0, OD_TARGET_HEAD, false, false,
         1e-5},  // PEFT in float32: 5.6e-6, one value
        {"lora_embed", 0, 0, OD_TARGET_EMBED, false, false, 1e-6},
        {"lora_both", 0, 0, OD_TARGET_HEAD | OD_TARGET_EMBED, false, false, 1e-6},
        {"tied_lora", 0, 0, OD_TARGET_HEAD | OD_TARGET_EMBED, true, false, 2e-6},
        {"tied_head", OD_SAVED_HEAD, 0, 0, true, false, 1e-6},
        {"tied_embed", OD_SAVED_EMBEDDING, 0, 0, true, false, 1e-6},
        {"tied_both", OD_SAVED_EMBEDDING | OD_SAVED_HEAD, 0, 0, true, false, 1e-6},
        {"tied_ensured", OD_SAVED_EMBEDDING, 0, 0, true, true, 1e-6},
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

// Five steps with adapters on both, dropout and all; gives the hash of what was trained.
static uint64_t trained(int threads, bool vector, uint64_t max_bytes)
{
    struct od_error err = {0};
    struct od_session session;
    struct od_step_report report;
    json_t *settings = NULL;
    assert_ok(od_json_read(golden_llama("trajectory.json"), &settings, &err), &err);
    struct od_dataset data = golden_documents(settings);
    struct od_recipe recipe = golden_recipe(settings, OD_METHOD_LORA, true, 2);
    recipe.lora_dropout = 0.1;
    recipe.lora_targets[recipe.lora_target_count++] = "lm_head";
    recipe.lora_targets[recipe.lora_target_count++] = "embed_tokens";
    const struct od_session_options options = {
        .threads = threads, .allow_vector = vector, .max_bytes = max_bytes, .dataset = &data};
    assert_ok(od_session_open(&recipe, &options, &session, &err), &err);
    if (max_bytes > 0) {
        assert_true(session.program.options.keep != OD_KEEP_ALL);
    }
    for (int i = 0; i < 5; i++) {
        assert_ok(od_session_step(&session, &report, &err), &err);
    }
    const uint64_t hash = od_session_weight_hash(&session);
    od_session_close(&session);
    json_decref(settings);
    return hash;
}

// Neither threads nor what the layers keep change a bit.
static void same_bits(void **state)
{
    (void)state;
    const uint64_t hash = trained(1, false, 0);
    assert_true(hash == trained(3, true, 0));
    assert_true(hash == trained(2, true, 1100000));
}

// Settings that name parts which cannot be are refused before anything runs.
static void refusals(void **state)
{
    static const struct {
        const char *target;
        unsigned saved;
        uint64_t layers;
        const char *why;
    } wrong[] = {{"lm_head", OD_SAVED_HEAD, 0, "both carry an adapter and be trained"},
                 {"embed_tokens", OD_SAVED_EMBEDDING, 0, "both carry an adapter"},
                 {"lm_head", 0, 2, "peft_layers_to_transform"},
                 {"wte", 0, 0, "does not have"},
                 {"norm", 0, 0, "'norm' is no linear layer"}};
    struct od_error err = {0};
    struct od_spec spec;
    json_t *settings = NULL;
    (void)state;
    assert_ok(od_json_read(golden_llama("trajectory.json"), &settings, &err), &err);
    assert_ok(od_spec_read(golden_llama("config.json"), &spec, &err), &err);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct od_recipe recipe = golden_recipe(settings, OD_METHOD_LORA, true, 1);
        struct od_program_options options;
        struct od_program program;
        recipe.lora_targets[recipe.lora_target_count++] = wrong[i].target;
        recipe.lora_saved = wrong[i].saved;
        recipe.lora_layers.bits[0] = wrong[i].layers;
        enum od_status status = od_session_program_options(&recipe, &spec, 1, &options, &err);
        if (status == OD_OK) {
            status = od_program_build(&spec, &options, &program, &err);
        }
        assert_int_not_equal(status, OD_OK);
        if (!strstr(err.message, wrong[i].why)) {
            fail_msg("'%s' does not say '%s'", err.message, wrong[i].why);
        }
    }
    json_decref(settings);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(parts_of_a_model),
                                       cmocka_unit_test(same_bits), cmocka_unit_test(refusals)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
