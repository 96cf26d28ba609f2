// GGUF files of models: one is made, and then spoiled in one way at a time; each is refused with a
// line that names the trouble. What a good file computes is compared in flow/convert_test.

#include "model/gguf_model.h"

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
#include "formats/gguf.h"
#include "model/program.h"
#include "model/spec.h"
#include "plan/plan.h"
#include "support.h"

enum { FILE_MAX_BYTES = 1 << 24, REPORT_MAX_BYTES = 1 << 16 };

static const char config[] =
    "{\"model_type\":\"llama\",\"vocab_size\":259,\"hidden_size\":16,\"intermediate_size\":24,"
    "\"num_hidden_layers\":1,\"num_attention_heads\":2,\"num_key_value_heads\":1,"
    "\"max_position_embeddings\":32,\"tie_word_embeddings\":true}";

// The bytes of a small model's file. @memory Gives: od_free.
static char *make_file(const char *text, size_t *ret_size)
{
    struct od_error err = {0};
    struct od_buf out;
    char path[OD_PATH_MAX_BYTES];
    char model[OD_PATH_MAX_BYTES];
    char output[OD_PATH_MAX_BYTES];
    char *bytes = NULL;
    const char *folder = test_folder();
    const struct od_convert_options options = {.output = output, .type = "f32", .no_check = true};
    assert_ok(od_path_join(path, folder, "config.json", &err), &err);
    assert_ok(od_path_join(model, folder, "model", &err), &err);
    assert_ok(od_path_join(output, folder, "model.gguf", &err), &err);
    assert_ok(od_file_write(path, text, strlen(text), &err), &err);
    assert_ok(od_model_init(path, NULL, 1, 1, model, &err), &err);
    od_buf_init(&out, REPORT_MAX_BYTES);
    assert_ok(od_convert_gguf(model, &options, &out, &err), &err);
    od_buf_release(&out);
    assert_ok(od_file_read(output, FILE_MAX_BYTES, &bytes, ret_size, &err), &err);
    return bytes;
}

// Facts and weights, as far as they can be read.
static enum od_status load(const char *bytes, size_t size, struct od_error *err)
{
    static const struct od_program_options options = {.mode = OD_PROGRAM_INFER,
                                                      .tokens = 1,
                                                      .threads = 1,
                                                      .cache_slots = 1,
                                                      .cache_length = 1,
                                                      .logit_rows = 1};
    struct od_gguf *gguf = NULL;
    struct od_spec spec;
    struct od_program program = {0};
    struct od_plan plan = {0};
    struct od_arrays arrays = {0};
    enum od_status status = od_gguf_parse(bytes, size, "test", &gguf, err);
    if (status == OD_OK) {
        status = od_spec_of_gguf(gguf, &spec, err);
    }
    if (status == OD_OK) {
        status = od_program_build(&spec, &options, &program, err);
    }
    if (status == OD_OK) {
        assert_ok(od_plan_make(&program, &plan, err), err);
        assert_ok(od_arrays_make(&plan, &arrays, err), err);
        status = od_weights_read_gguf(&program, arrays.tensor, gguf, err);
    }
    od_arrays_release(&arrays);
    od_plan_release(&plan);
    od_program_release(&program);
    od_gguf_close(gguf);
    return status;
}

// One place of the file becomes another text of the same length; NULL leaves it.
static void assert_spoiled_of(const char *model, const char *from, const char *to, size_t skip,
                              enum od_status want, const char *part)
{
    struct od_error err = {0};
    size_t size = 0;
    char *bytes = make_file(model, &size);
    char *at = from ? memmem(bytes, size, from, strlen(from)) : NULL;
    assert_true(!from || at);
    if (from) {
        memcpy(at + skip, to, strlen(to));
    }
    const enum od_status status = load(bytes, size, &err);
    if (status != want || !strstr(err.message, part)) {
        fail_msg("'%s' as '%s' gives %d '%s'", from ? from : "", to ? to : "", (int)status,
                 err.message);
    }
    od_free(bytes);
}

static void assert_spoiled(const char *from, const char *to, size_t skip, enum od_status want,
                           const char *part)
{
    assert_spoiled_of(config, from, to, skip, want, part);
}

static void test_spoiled(void **state)
{
    (void)state;
    static const char head_count[] = "llama.attention.head_count";
    // From the start of a key: its text, four bytes of type, then the value.
    const size_t block_value = strlen("llama.block_count") + 4;
    const size_t head_value = strlen(head_count) + 4;
    const size_t dimension_value = strlen("llama.rope.dimension_count") + 4;
    assert_spoiled(NULL, NULL, 0, OD_OK, "");
    assert_spoiled("blk.0.attn_q.weight", "blk.0.attn_x.weight", 0, OD_E_FORMAT,
                   "self_attn.q_proj.weight' is missing");
    assert_spoiled("llama.block_count", "\2", block_value, OD_E_FORMAT,
                   "model.layers.1.input_layernorm.weight' is missing");
    assert_spoiled("llama.block_count", "llama.block_counx", 0, OD_E_LIMIT, "llama.block_count");
    assert_spoiled(head_count, "\3", head_value, OD_E_FORMAT, "'blk.0.attn_q.weight' does not fit");
    assert_spoiled("llama.rope.dimension_count", "\4", dimension_value, OD_E_UNSUPPORTED, "turned");
    assert_spoiled("llama.feed_forward_length", "\x20", strlen("llama.feed_forward_length") + 4,
                   OD_E_FORMAT, "'blk.0.ffn_gate.weight' does not fit");
    assert_spoiled("token_embd.weight", "token_embx.weight", 0, OD_E_FORMAT, "token_embd.weight");
    assert_spoiled("llama.rope.freq_base", "\xFF\xFF\xFF\xFF", strlen("llama.rope.freq_base") + 4,
                   OD_E_FORMAT, "makes no sense");
    // general.architecture: its type, the length of its value, the value.
    assert_spoiled("general.architecture", "gemma", strlen("general.architecture") + 12,
                   OD_E_UNSUPPORTED, "'gemma'");
    assert_spoiled("general.type", "mudel", strlen("general.type") + 12, OD_E_ARGUMENT, "'mudel'");
    // A file that does not say its type holds a model.
    assert_spoiled("general.type", "generic.name", 0, OD_OK, "");
}

static void test_no_number(void **state)
{
    (void)state;
    struct od_error err = {0};
    size_t size = 0;
    char *bytes = make_file(config, &size);
    memset(bytes + size - 4, 0xFF, 4);
    assert_int_equal(load(bytes, size, &err), OD_E_FORMAT);
    assert_non_null(strstr(err.message, "no number"));
    od_free(bytes);
}

static void assert_refused_keys(const char *key, const char *text, uint32_t number,
                                const char *part)
{
    struct od_error err = {0};
    struct od_gguf_keys keys;
    struct od_gguf_writer *writer = NULL;
    struct od_gguf *gguf = NULL;
    struct od_spec spec;
    char path[OD_PATH_MAX_BYTES];
    assert_ok(od_path_join(path, test_folder(), "x.gguf", &err), &err);
    od_gguf_keys_init(&keys);
    od_gguf_put_text(&keys, "general.architecture", "llama");
    if (text) {
        od_gguf_put_text(&keys, key, text);
    } else {
        od_gguf_put_u32(&keys, key, number);
    }
    assert_ok(od_gguf_create(path, &keys, NULL, 0, &writer, &err), &err);
    assert_ok(od_gguf_commit(writer, &err), &err);
    assert_ok(od_gguf_open(path, &gguf, &err), &err);
    assert_int_equal(od_spec_of_gguf(gguf, &spec, &err), OD_E_UNSUPPORTED);
    assert_non_null(strstr(err.message, part));
    od_gguf_close(gguf);
    od_gguf_keys_release(&keys);
}

static void test_other_models(void **state)
{
    (void)state;
    assert_refused_keys("llama.expert_count", NULL, 8, "experts");
}

// The config with one member more.
static void test_rope(void **state)
{
    (void)state;
    static const char linear[] = "\"rope_scaling\":{\"rope_type\":\"linear\",\"factor\":4.0}";
    static const char llama3[] =
        "\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":4.0,\"low_freq_factor\":1.0,"
        "\"high_freq_factor\":4.0,\"original_max_position_embeddings\":16}";
    char text[sizeof config + sizeof llama3 + 8];
    (void)snprintf(text, sizeof text, "{%s,%s", linear, config + 1);
    assert_spoiled_of(text, NULL, NULL, 0, OD_OK, "");
    assert_spoiled_of(text, "linear", "longro", 0, OD_E_UNSUPPORTED, "'longro'");
    (void)snprintf(text, sizeof text, "{%s,%s", llama3, config + 1);
    assert_spoiled_of(text, NULL, NULL, 0, OD_OK, "");
    assert_spoiled_of(text, "oneday.rope.low", "oneday.rope.lov", 0, OD_E_UNSUPPORTED,
                      "does not say how");
    // The highest byte of a float: 4 becomes 16.
    assert_spoiled_of(text, "oneday.rope.factor", "\x41", strlen("oneday.rope.factor") + 7,
                      OD_E_UNSUPPORTED, "divisors");
    assert_spoiled_of(text, "rope_freqs.weight", "rope_frexs.weight", 0, OD_E_UNSUPPORTED,
                      "11 of them belong");
}

static void test_names(void **state)
{
    (void)state;
    static const char *const none[] = {"model.layers.0.self_attn.o_proj.bias",
                                       "model.layers..x",
                                       "model.layers.123456789.mlp.up_proj.weight",
                                       "model.layers.1.mlp.up_proj",
                                       "lm_head.bias",
                                       ""};
    char name[OD_GGUF_NAME_MAX_BYTES + 1];
    uint32_t type = 99;
    assert_true(od_gguf_weight_name("model.layers.31.mlp.down_proj.weight", name));
    assert_string_equal(name, "blk.31.ffn_down.weight");
    assert_true(od_gguf_weight_name("lm_head.weight", name));
    assert_string_equal(name, "output.weight");
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        assert_false(od_gguf_weight_name(none[i], name));
    }
    assert_true(od_gguf_type_of("q8_0", &type));
    assert_int_equal(type, 8);
    assert_false(od_gguf_type_of("Q8", &type));
    assert_true(od_gguf_is_path("a.gguf"));
    assert_false(od_gguf_is_path(".gguf"));
    assert_false(od_gguf_is_path("a.gguf/"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spoiled),      cmocka_unit_test(test_no_number),
        cmocka_unit_test(test_other_models), cmocka_unit_test(test_names),
        cmocka_unit_test(test_rope),
    };
    return cmocka_run_group_tests_name("gguf_model", tests, NULL, NULL);
}
