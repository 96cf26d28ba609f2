// Runs on a GGUF file: the same bits as runs on a folder with the same weights, for each type of
// tensor; what is exported opens; an altered file is seen.

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/status.h"
#include "flow/convert.h"
#include "flow/model_files.h"
#include "formats/dtype.h"
#include "formats/safetensors.h"
#include "infer/engine.h"
#include "model/gguf_model.h"
#include "model/program.h"
#include "model/spec.h"
#include "model/weights.h"
#include "plan/plan.h"
#include "run_world.h"
#include "support.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"
#include "tune/run.h"

enum { FILE_MAX_BYTES = 1 << 24, REPORT_MAX_BYTES = 1 << 16, IDS = 5 };

static const char lora_recipe[] =
    "datasets:\n  - path: data.jsonl\n    type: input-output\n"
    "sequence_len: 64\nmicro_batch_size: 2\nmax_steps: 4\nlearning_rate: 0.003\nsave_steps: 2\n"
    "lora_r: 4\nlora_alpha: 8\n";

static void put_recipe(const char *world, const char *base, const char *more)
{
    struct od_buf recipe;
    od_buf_init(&recipe, 1 << 16);
    od_buf_printf(&recipe, "base_model: %s\n%s%s", base, lora_recipe, more);
    world_put(world, "recipe.yaml", od_buf_text(&recipe));
    od_buf_release(&recipe);
}

static void convert(const char *world, const char *name, const char *type)
{
    struct od_error err = {0};
    struct od_buf out;
    char model[OD_PATH_MAX_BYTES];
    char output[OD_PATH_MAX_BYTES];
    world_join(model, world, "model");
    world_join(output, world, name);
    const struct od_convert_options options = {.output = output, .type = type, .no_check = true};
    od_buf_init(&out, REPORT_MAX_BYTES);
    assert_ok(od_convert_gguf(model, &options, &out, &err), &err);
    od_buf_release(&out);
}

// A model folder with the weights that a file holds.
static void decode(const char *world, const char *file, const char *name)
{
    static const struct od_program_options options = {.mode = OD_PROGRAM_INFER,
                                                      .tokens = 1,
                                                      .threads = 1,
                                                      .cache_slots = 1,
                                                      .cache_length = 1,
                                                      .logit_rows = 1};
    struct od_error err = {0};
    struct od_spec spec;
    struct od_program program = {0};
    struct od_plan plan = {0};
    struct od_arrays arrays = {0};
    char from[OD_PATH_MAX_BYTES];
    char model[OD_PATH_MAX_BYTES];
    char folder[OD_PATH_MAX_BYTES];
    char path[OD_PATH_MAX_BYTES];
    world_join(from, world, file);
    world_join(model, world, "model");
    world_join(folder, world, name);
    world_join(path, folder, OD_SAFETENSORS_FILE);
    assert_ok(od_spec_read_gguf(from, &spec, &err), &err);
    assert_ok(od_program_build(&spec, &options, &program, &err), &err);
    assert_ok(od_plan_make(&program, &plan, &err), &err);
    assert_ok(od_arrays_make(&plan, &arrays, &err), &err);
    assert_ok(od_weights_read(&program, arrays.tensor, from, &err), &err);
    assert_ok(od_dir_make(folder, &err), &err);
    assert_ok(od_parts_write(program.weights, program.weight_count, arrays.tensor, path,
                             OD_DTYPE_F32, &err),
              &err);
    assert_ok(od_tokenizer_copy(model, folder, &err), &err);
    assert_ok(od_file_copy_optional(model, folder, "config.json", FILE_MAX_BYTES, &err), &err);
    od_arrays_release(&arrays);
    od_plan_release(&plan);
    od_program_release(&program);
}

static void run(const char *world, const char *base, const char *more, const char *name)
{
    struct od_error err = {0};
    struct od_tune_result result = {0};
    put_recipe(world, base, more);
    assert_ok(world_run(world, name, false, 1, true, &result, &err), &err);
}

// @memory Gives: od_free.
static char *adapter_of(const char *world, const char *name, size_t *ret_size)
{
    struct od_error err = {0};
    char dir[OD_PATH_MAX_BYTES];
    char path[OD_PATH_MAX_BYTES];
    char *bytes = NULL;
    world_join(dir, world, name);
    world_join(path, dir, "adapter/adapter_model.safetensors");
    assert_ok(od_file_read(path, FILE_MAX_BYTES, &bytes, ret_size, &err), &err);
    return bytes;
}

static bool same_adapter(const char *world, const char *a, const char *b)
{
    size_t size_a = 0;
    size_t size_b = 0;
    char *bytes_a = adapter_of(world, a, &size_a);
    char *bytes_b = adapter_of(world, b, &size_b);
    const bool same = size_a == size_b && memcmp(bytes_a, bytes_b, size_a) == 0;
    od_free(bytes_a);
    od_free(bytes_b);
    return same;
}

// A model whose matrices have a 4-bit form.
static void widen(const char *world)
{
    static const char config[] =
        "{\"model_type\":\"llama\",\"vocab_size\":259,\"hidden_size\":64,"
        "\"intermediate_size\":128,\"num_hidden_layers\":1,\"num_attention_heads\":2,"
        "\"max_position_embeddings\":128,\"bos_token_id\":256,\"eos_token_id\":257}";
    struct od_error err = {0};
    char path[OD_PATH_MAX_BYTES];
    char model[OD_PATH_MAX_BYTES];
    world_put(world, "config.json", config);
    world_join(path, world, "config.json");
    world_join(model, world, "model");
    assert_ok(od_dir_remove(model, &err), &err);
    assert_ok(od_model_init(path, NULL, 5, 1, model, &err), &err);
}

// The model's weights are bf16, so f32 and bf16 files hold the very same ones.
static void test_same_bits(void **state)
{
    (void)state;
    static const struct {
        const char *type;
        const char *more;
        bool exact;
    } cases[] = {{"f32", "adapter: lora\n", true},
                 {"bf16", "adapter: lora\n", true},
                 {"f16", "adapter: lora\n", false},
                 {"q8_0", "adapter: lora\n", false},
                 {"bf16", "adapter: qlora\nload_in_4bit: true\n", true},
                 {"q8_0", "adapter: qlora\nload_in_4bit: true\n", false}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *world = world_make(world_lora, "");
        if (strstr(cases[i].more, "qlora")) {
            widen(world);
        }
        convert(world, "base.gguf", cases[i].type);
        run(world, "base.gguf", cases[i].more, "of_file");
        run(world, "model", cases[i].more, "of_folder");
        decode(world, "base.gguf", "decoded");
        run(world, "decoded", cases[i].more, "of_decoded");
        assert_true(same_adapter(world, "of_file", "of_decoded"));
        if (cases[i].exact) {
            assert_true(same_adapter(world, "of_file", "of_folder"));
        } else if (same_adapter(world, "of_file", "of_folder")) {
            fail_msg("%s gives the bits of bf16", cases[i].type);
        }
    }
}

static void ask(const char *world, const char *name, float *logits)
{
    static const int32_t ids[IDS] = {256, 50, 51, 52, 53};
    static const struct od_engine_options options = {.threads = 1, .slots = 1};
    struct od_error err = {0};
    struct od_engine *engine = NULL;
    char dir[OD_PATH_MAX_BYTES];
    world_join(dir, world, name);
    assert_ok(od_engine_open(dir, &options, &engine, &err), &err);
    assert_int_equal(od_engine_spec(engine)->vocab, 259);
    assert_ok(od_engine_logits(engine, ids, IDS, logits, &err), &err);
    od_engine_close(engine);
}

// A finished run on a file is served as one on a folder is, and its adapter becomes a file.
static void test_served(void **state)
{
    (void)state;
    float of_file[IDS * 259];
    float of_folder[IDS * 259];
    struct od_error err = {0};
    struct od_buf out;
    char dir[OD_PATH_MAX_BYTES];
    char output[OD_PATH_MAX_BYTES];
    const char *world = world_make(world_lora, "");
    convert(world, "base.gguf", "f32");
    run(world, "base.gguf", "adapter: lora\n", "of_file");
    run(world, "model", "adapter: lora\n", "of_folder");
    ask(world, "of_file", of_file);
    ask(world, "of_folder", of_folder);
    assert_memory_equal(of_file, of_folder, sizeof of_file);
    world_join(dir, world, "of_file");
    world_join(output, world, "adapter.gguf");
    od_buf_init(&out, REPORT_MAX_BYTES);
    const struct od_convert_options options = {.output = output};
    assert_ok(od_convert_gguf(dir, &options, &out, &err), &err);
    world_join(output, world, "merged");
    assert_int_equal(od_convert_merge(dir, &options, &out, &err), OD_E_UNSUPPORTED);
    assert_non_null(strstr(err.message, "nothing is merged"));
    od_buf_release(&out);
}

static void test_refused(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_tune_result result = {0};
    char path[OD_PATH_MAX_BYTES];
    char *bytes = NULL;
    size_t size = 0;
    const char *world = world_make(world_lora, "");
    convert(world, "base.gguf", "f32");
    world_put(world, "recipe.yaml",
              "base_model: base.gguf\ndatasets:\n  - path: data.jsonl\n    type: input-output\n"
              "sequence_len: 64\nmicro_batch_size: 2\nmax_steps: 4\nlearning_rate: 0.003\n");
    assert_int_equal(world_run(world, "full", false, 1, true, &result, &err), OD_E_UNSUPPORTED);
    assert_non_null(strstr(err.message, "adapter: lora"));
    // Another file under the same name: a run does not go on with it.
    run(world, "base.gguf", "adapter: lora\n", "run");
    world_join(path, world, "base.gguf");
    assert_ok(od_file_read(path, FILE_MAX_BYTES, &bytes, &size, &err), &err);
    bytes[size - 100] = (char)(bytes[size - 100] ^ 1);
    assert_ok(od_file_write(path, bytes, size, &err), &err);
    od_free(bytes);
    assert_int_equal(world_run(world, "run", true, 1, true, &result, &err), OD_E_REFUSED);
    assert_non_null(strstr(err.message, "base.gguf"));
}

static void test_chat_template(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_chat_template *found = NULL;
    char model[OD_PATH_MAX_BYTES];
    char path[OD_PATH_MAX_BYTES];
    const char *world = world_make(world_lora, "");
    convert(world, "without.gguf", "f32");
    world_join(path, world, "without.gguf");
    assert_int_equal(od_chat_template_read(path, &found, &err), OD_E_NOT_FOUND);
    assert_non_null(strstr(err.message, "brings no chat template"));
    world_join(model, world, "model");
    world_put(model, "chat_template.jinja", "{{ messages[0]['content'] }}");
    convert(world, "with.gguf", "f32");
    world_join(path, world, "with.gguf");
    assert_ok(od_chat_template_read(path, &found, &err), &err);
    od_chat_template_free(found);
    world_put(model, "chat_template.jinja", "{{ messages[0]['content'] ");
    convert(world, "broken.gguf", "f32");
    world_join(path, world, "broken.gguf");
    assert_int_not_equal(od_chat_template_read(path, &found, &err), OD_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_bits),
        cmocka_unit_test(test_served),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_chat_template),
    };
    return cmocka_run_group_tests_name("gguf_base", tests, NULL, NULL);
}
