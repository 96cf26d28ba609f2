// Goal: ten steps of full fine-tuning and of LoRA follow transformers, PEFT and torch.
// Method: a record made by tests/oracle/tiny_llama.py in float64, documents unpacked; here the same
// documents are packed, in float32. tests/oracle/tiny_llama_parts.py: the same with adapters on some
// layers, and embedding and head in full beside them.

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

// Parts of the session against a file: largest difference, and the largest change since the start.
static double largest_difference(const struct od_session *s, const struct od_part *parts,
                                 int32_t count, const char *path)
{
    struct od_safetensors *st = NULL;
    struct od_error err = {0};
    double worst = 0.0;
    assert_ok(od_safetensors_open(path, &st, &err), &err);
    for (int32_t i = 0; i < count; i++) {
        const struct od_tensor_info *info = od_safetensors_find(st, parts[i].name);
        assert_non_null(info);
        float *want = od_alloc((size_t)info->count, sizeof *want);
        assert_non_null(want);
        assert_ok(od_safetensors_read_f32(st, info, want, &err), &err);
        const float *got = s->arrays.tensor[parts[i].tensor] + parts[i].row * parts[i].cols;
        for (int64_t j = 0; j < info->count; j++) {
            worst = fmax(worst, fabs((double)got[j] - (double)want[j]));
        }
        od_free(want);
    }
    od_safetensors_close(st);
    return worst;
}

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
    if (!od_path_exists(path)) {
        print_message("# '%s' is not there: tests/oracle/tiny_llama_parts.py makes it\n", path);
        skip();
    }
    assert_ok(od_json_read(path, &record, &err), &err);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        follow_parts(&cases[i], json_object_get(record, cases[i].name));
    }
    json_decref(record);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(full_fine_tuning),
        cmocka_unit_test(lora),
        cmocka_unit_test(unpacked_and_accumulated),
        cmocka_unit_test(parts_of_a_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
