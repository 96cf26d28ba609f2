// Goal: tiny models of GPT-2, Qwen2, Qwen3, Mistral with a window, Llama 3's scaled positions, a Llama
// with biases and GELU, and what else is recorded, compute what transformers computes, learn as it and PEFT do, and come back
// from files as they were.
// Method: records made by tests/oracle/tiny_families.py in float64; here documents are packed, in
// float32.

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "formats/json.h"
#include "formats/safetensors.h"
#include "model/program.h"
#include "model/spec.h"
#include "model/weights.h"
#include "ops/cpu.h"
#include "plan/plan.h"
#include "support.h"
#include "tune/golden_llama.h"
#include "tune/session.h"

enum { TOKENS = 17, VOCAB = 61, STEPS = 10 };

// All that are recorded.
static char **families;
static size_t family_count;
enum { FAMILIES_MIN = 11 };

static const char *golden(const char *family, const char *name)
{
    char path[OD_PATH_MAX_BYTES];
    (void)snprintf(path, sizeof path, "tests/golden/oracle/tiny_families/%s/%s", family, name);
    return test_source(path);
}

// GPT-2's key biases change nothing that is computed: their gradient is rounding, which AdamW makes as
// large as any other.
static bool is_key_bias(const char *name, int64_t index)
{
    return strstr(name, "attn.c_attn.bias") && index >= 32 && index < 64;
}

// Largest difference between a part and a file's tensor, which may be transposed.
static double difference(const struct od_session *s, const struct od_part *part,
                         const struct od_safetensors *st, double *key_bias)
{
    const struct od_tensor_info *info = od_safetensors_find(st, part->name);
    struct od_error err = {0};
    double worst = 0.0;
    assert_non_null(info);
    float *want = od_alloc((size_t)info->count, sizeof *want);
    assert_non_null(want);
    assert_ok(od_safetensors_read_f32(st, info, want, &err), &err);
    const float *got = s->arrays.tensor[part->tensor] + part->row * part->cols;
    for (int64_t j = 0; j < info->count; j++) {
        const int64_t at = part->transposed ? j % part->rows * part->cols + j / part->rows : j;
        const double d = fabs((double)got[at] - (double)want[j]);
        if (is_key_bias(part->name, j)) {
            *key_bias = fmax(*key_bias, d);
        } else {
            worst = fmax(worst, d);
        }
    }
    od_free(want);
    return worst;
}

static void compare_weights(const struct od_session *s, const struct od_part *parts, int32_t count,
                            const char *path, double lr, const char *family)
{
    struct od_safetensors *st = NULL;
    struct od_error err = {0};
    double worst = 0.0;
    double key_bias = 0.0;
    assert_ok(od_safetensors_open(path, &st, &err), &err);
    for (int32_t i = 0; i < count; i++) {
        worst = fmax(worst, difference(s, &parts[i], st, &key_bias));
    }
    od_safetensors_close(st);
    print_message("# %s: largest weight difference %g, key bias %g\n", family, worst, key_bias);
    assert_true(worst < 5e-6);
    assert_true(key_bias <= (double)STEPS * lr);
}

static void follow(const char *family, enum od_method method)
{
    struct od_error err = {0};
    json_t *record = NULL;
    struct od_session session;
    const bool lora = method == OD_METHOD_LORA;
    assert_ok(od_json_read(golden(family, "trajectory.json"), &record, &err), &err);
    struct od_dataset data = golden_documents(record);
    struct od_recipe recipe = golden_recipe(record, method, true, 1);
    char folder[OD_PATH_MAX_BYTES];
    (void)snprintf(folder, sizeof folder, "%s", golden(family, ""));
    recipe.base_model = folder;
    const struct od_session_options options = {
        .threads = 2, .allow_vector = true, .dataset = &data};
    assert_ok(od_session_open(&recipe, &options, &session, &err), &err);
    if (lora) {
        assert_ok(od_parts_read(session.program.adapters, session.program.adapter_count,
                                session.arrays.tensor, golden(family, "adapter_start.safetensors"),
                                &err),
                  &err);
    }
    size_t i;
    const json_t *want;
    json_array_foreach(json_object_get(record, lora ? "lora" : "full"), i, want)
    {
        struct od_step_report report;
        assert_ok(od_session_step(&session, &report, &err), &err);
        const double loss = json_number_value(json_object_get(want, "loss"));
        const double norm = json_number_value(json_object_get(want, "grad_norm"));
        if (fabs(report.loss - loss) > 1e-5 * loss || fabs(report.grad_norm - norm) > 1e-4 * norm) {
            fail_msg("%s, step %zu: loss %.9g (%.9g), norm %.9g (%.9g)", family, i, report.loss,
                     loss, report.grad_norm, norm);
        }
    }
    assert_int_equal(i, STEPS);
    const struct od_program *p = &session.program;
    compare_weights(&session, lora ? p->adapters : p->weights,
                    lora ? p->adapter_count : p->weight_count,
                    golden(family, lora ? "adapter_end.safetensors" : "full_end.safetensors"),
                    recipe.learning_rate, family);
    od_session_close(&session);
    json_decref(record);
}

static void full_fine_tuning(void **state)
{
    (void)state;
    for (size_t i = 0; i < family_count; i++) {
        follow(families[i], OD_METHOD_FULL);
    }
}

static void lora(void **state)
{
    (void)state;
    for (size_t i = 0; i < family_count; i++) {
        follow(families[i], OD_METHOD_LORA);
    }
}

// A model for generation, with memory.
struct model {
    struct od_spec spec;
    struct od_program program;
    struct od_plan plan;
    struct od_arrays arrays;
};

static void open_model(struct model *m, const char *config, const char *folder)
{
    struct od_error err = {0};
    const struct od_program_options options = {.mode = OD_PROGRAM_INFER,
                                               .tokens = TOKENS,
                                               .threads = 2,
                                               .cache_slots = 1,
                                               .cache_length = TOKENS,
                                               .logit_rows = TOKENS};
    assert_ok(od_spec_read(config, &m->spec, &err), &err);
    assert_ok(od_program_build(&m->spec, &options, &m->program, &err), &err);
    assert_ok(od_plan_make(&m->program, &m->plan, &err), &err);
    assert_ok(od_arrays_make(&m->plan, &m->arrays, &err), &err);
    assert_ok(od_weights_read(&m->program, m->arrays.tensor, folder, &err), &err);
    if (m->program.io.rope_table >= 0) {
        od_spec_rope_table(&m->spec, TOKENS, m->arrays.tensor[m->program.io.rope_table]);
    }
}

static void close_model(struct model *m)
{
    od_arrays_release(&m->arrays);
    od_plan_release(&m->plan);
    od_program_release(&m->program);
}

// Logits of a document, in passes of `step` tokens through the cache.
static void generate(struct model *m, const int32_t *ids, int32_t step, float *logits)
{
    struct od_cpu cpu;
    struct od_error err = {0};
    assert_ok(od_cpu_open(2, true, &cpu, &err), &err);
    for (int32_t start = 0; start < TOKENS; start += step) {
        const int32_t count = TOKENS - start < step ? TOKENS - start : step;
        int32_t positions[TOKENS];
        int32_t slots[TOKENS] = {0};
        int32_t rows[TOKENS];
        for (int32_t i = 0; i < count; i++) {
            positions[i] = start + i;
            rows[i] = i;
        }
        struct od_batch batch = {.tokens = count,
                                 .ids = ids + start,
                                 .positions = positions,
                                 .cache_slot = slots,
                                 .cache_length = TOKENS,
                                 .logit_rows = count,
                                 .logit_row = rows};
        for (int32_t i = 0; i < m->program.op_count; i++) {
            od_cpu_run(&cpu, &m->program.ops[i], m->arrays.tensor, &batch);
        }
        memcpy(logits + (ptrdiff_t)start * VOCAB, m->arrays.tensor[m->program.io.logits],
               (size_t)count * VOCAB * sizeof *logits);
    }
    od_cpu_close(&cpu);
}

static void logits(void **state)
{
    (void)state;
    static float got[TOKENS * VOCAB];
    for (size_t i = 0; i < family_count; i++) {
        struct od_error err = {0};
        json_t *record = NULL;
        struct model m;
        int32_t ids[TOKENS];
        char config[OD_PATH_MAX_BYTES];
        (void)snprintf(config, sizeof config, "%s", golden(families[i], "config.json"));
        assert_ok(od_json_read(golden(families[i], "trajectory.json"), &record, &err), &err);
        const json_t *doc = json_array_get(json_object_get(record, "documents"), 2);
        for (size_t t = 0; t < TOKENS; t++) {
            ids[t] = (int32_t)json_integer_value(json_array_get(json_object_get(doc, "ids"), t));
        }
        open_model(&m, config, golden(families[i], ""));
        for (int32_t step = 1; step <= TOKENS; step += 8) {
            double worst = 0.0;
            generate(&m, ids, step, got);
            for (size_t t = 0; t < TOKENS; t++) {
                const json_t *row = json_array_get(json_object_get(record, "logits"), t);
                for (size_t v = 0; v < VOCAB; v++) {
                    const double want = json_number_value(json_array_get(row, v));
                    worst = fmax(worst, fabs((double)got[t * VOCAB + v] - want));
                }
            }
            print_message("# %s, %d tokens at a time: logits off by %g\n", families[i], step,
                          worst);
            assert_true(worst < 1e-4);
        }
        close_model(&m);
        json_decref(record);
    }
}

// What we write is read again, by its names, shapes and values.
static void files_come_back(void **state)
{
    (void)state;
    static float before[TOKENS * VOCAB];
    static float after[TOKENS * VOCAB];
    for (size_t i = 0; i < family_count; i++) {
        struct od_error err = {0};
        struct model m;
        struct model again;
        struct od_buf text;
        char config[OD_PATH_MAX_BYTES];
        char weights[OD_PATH_MAX_BYTES];
        const char *folder = test_folder();
        int32_t ids[TOKENS];
        for (int32_t t = 0; t < TOKENS; t++) {
            ids[t] = t * 7 % VOCAB;
        }
        (void)snprintf(config, sizeof config, "%s", golden(families[i], "config.json"));
        open_model(&m, config, golden(families[i], ""));
        assert_ok(od_path_join(config, folder, "config.json", &err), &err);
        assert_ok(od_path_join(weights, folder, "model.safetensors", &err), &err);
        od_buf_init(&text, 1 << 16);
        assert_ok(od_spec_write(&m.spec, &text, &err), &err);
        assert_ok(od_file_write(config, od_buf_text(&text), text.size, &err), &err);
        od_buf_release(&text);
        assert_ok(od_parts_write(m.program.weights, m.program.weight_count, m.arrays.tensor,
                                 weights, OD_DTYPE_F32, &err),
                  &err);
        open_model(&again, config, folder);
        assert_memory_equal(&m.spec, &again.spec, sizeof m.spec);
        generate(&m, ids, TOKENS, before);
        generate(&again, ids, TOKENS, after);
        assert_memory_equal(before, after, sizeof before);
        close_model(&again);
        close_model(&m);
    }
}

static int find_families(void **state)
{
    struct od_error err = {0};
    (void)state;
    return od_dir_list(test_source("tests/golden/oracle/tiny_families"), &families, &family_count,
                       &err) == OD_OK &&
                   family_count >= FAMILIES_MIN
               ? 0
               : 1;
}

static int forget_families(void **state)
{
    (void)state;
    od_names_free(families, family_count);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logits),
        cmocka_unit_test(full_fine_tuning),
        cmocka_unit_test(lora),
        cmocka_unit_test(files_come_back),
    };
    return cmocka_run_group_tests(tests, find_families, forget_families);
}
