// Goal: a run that is done again agrees to the last digit, whole or in part; a changed number, weight
// hash or input is told, each by its name.
// Method: a tiny run through the program's own functions; then its log, its data and its base weights
// are changed by hand, one at a time.

#include "flow/reproduce.h"

#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/status.h"
#include "flow/model_files.h"
#include "support.h"
#include "tune/run.h"

static const char config_text[] =
    "{\"model_type\":\"llama\",\"vocab_size\":259,\"hidden_size\":32,\"intermediate_size\":48,"
    "\"num_hidden_layers\":2,\"num_attention_heads\":4,\"num_key_value_heads\":2,"
    "\"max_position_embeddings\":128,\"rms_norm_eps\":1e-5,\"tie_word_embeddings\":true,"
    "\"bos_token_id\":256,\"eos_token_id\":257}";

static char world[OD_PATH_MAX_BYTES];
static char run_dir[OD_PATH_MAX_BYTES];

static const char *in(const char *folder, const char *name)
{
    static char path[4][OD_PATH_MAX_BYTES];
    static int next;
    next = (next + 1) % 4;
    assert_int_equal(od_path_join(path[next], folder, name, NULL), OD_OK);
    return path[next];
}

static void put(const char *path, const char *text)
{
    struct od_error err = {0};
    assert_ok(od_file_write(path, text, strlen(text), &err), &err);
}

static char *get(const char *path)
{
    struct od_error err = {0};
    char *text = NULL;
    size_t size = 0;
    assert_ok(od_file_read(path, 1 << 24, &text, &size, &err), &err);
    return text;
}

static void put_data(int answers)
{
    struct od_buf data;
    od_buf_init(&data, 1 << 20);
    for (int i = 0; i < 60; i++) {
        od_buf_printf(&data, "{\"input\": \"%d plus %d is\", \"output\": \" %d\"}\n", i, i % 7,
                      i + i % 7 + answers);
    }
    put(in(world, "data.jsonl"), od_buf_text(&data));
    od_buf_release(&data);
}

static int make_run(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_tune_result result;
    char recipe[OD_PATH_MAX_BYTES];
    (void)snprintf(world, sizeof world, "%s", test_folder());
    put(in(world, "config.json"), config_text);
    assert_ok(od_model_init(in(world, "config.json"), NULL, 5, 2, in(world, "model"), &err), &err);
    put_data(0);
    put(in(world, "recipe.yaml"),
        "base_model: model\nadapter: lora\nlora_r: 4\nlora_dropout: 0.1\n"
        "datasets:\n  - path: data.jsonl\n    type: input-output\n"
        "sequence_len: 64\nmicro_batch_size: 2\ngradient_accumulation_steps: 2\n"
        "max_steps: 12\nlearning_rate: 0.003\nsave_steps: 4\nsave_total_limit: 9\n");
    (void)snprintf(recipe, sizeof recipe, "%s", in(world, "recipe.yaml"));
    (void)snprintf(run_dir, sizeof run_dir, "%s", in(world, "run"));
    const struct od_tune_options options = {
        .recipe_path = recipe, .run_dir = run_dir, .threads = 1, .allow_vector = true};
    assert_ok(od_tune_run(&options, &result, &err), &err);
    return 0;
}

static enum od_status again(int64_t first, int64_t last, int threads,
                            struct od_reproduce_result *ret, struct od_error *err)
{
    const struct od_reproduce_options options = {.run_dir = run_dir,
                                                 .first = first,
                                                 .last = last,
                                                 .threads = threads,
                                                 .allow_vector = threads == 1};
    return od_reproduce(&options, ret, err);
}

static void agrees(void **state)
{
    (void)state;
    static const struct {
        int64_t first;
        int64_t last;
        int64_t from;
        int64_t steps;
    } parts[] = {{0, 0, 0, 12}, {1, 3, 0, 3}, {5, 5, 4, 1},
                 {6, 7, 4, 3},  {4, 9, 0, 9}, {10, 0, 8, 4}};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        struct od_reproduce_result result;
        struct od_error err = {0};
        assert_ok(again(parts[i].first, parts[i].last, i % 2 == 0 ? 2 : 1, &result, &err), &err);
        assert_true(result.agrees);
        assert_false(result.other_program);
        assert_int_equal(result.from, parts[i].from);
        assert_int_equal(result.steps, parts[i].steps);
        assert_int_equal(result.hashes, parts[i].steps);
    }
}

// Changes the first `old` of a line of the log into `new`, replays, and puts the log back.
static void with_log(const char *line, const char *old, char digit,
                     struct od_reproduce_result *result)
{
    struct od_error err = {0};
    char path[OD_PATH_MAX_BYTES];
    (void)snprintf(path, sizeof path, "%s", in(run_dir, "log.jsonl"));
    char *text = get(path);
    char *changed = get(path);
    char *at = strstr(changed, line);
    assert_non_null(at);
    at = strstr(at, old);
    assert_non_null(at);
    at += strlen(old);
    *at = *at == digit ? (char)(digit + 1) : digit;
    put(path, changed);
    assert_ok(again(0, 0, 1, result, &err), &err);
    put(path, text);
    od_free(changed);
    od_free(text);
}

static void a_changed_line_is_named(void **state)
{
    (void)state;
    struct od_reproduce_result result;
    with_log("{\"step\": 7,", "\"loss\": 5.", '4', &result);
    assert_false(result.agrees);
    assert_int_equal(result.step, 7);
    assert_string_equal(result.field, "loss");
    assert_int_equal(result.steps, 6);
    with_log("{\"step\": 3,", "\"weight_hash\": \"", 'a', &result);
    assert_false(result.agrees);
    assert_int_equal(result.step, 3);
    assert_string_equal(result.field, "weight_hash");
    assert_string_not_equal(result.logged, result.replayed);
}

static void changed_inputs_are_named(void **state)
{
    (void)state;
    struct od_reproduce_result result;
    struct od_error err = {0};
    put_data(1);
    assert_int_equal(again(0, 0, 1, &result, &err), OD_E_REFUSED);
    assert_non_null(strstr(err.message, "data.jsonl"));
    put_data(0);
    char weights[OD_PATH_MAX_BYTES];
    char *bytes = NULL;
    size_t size = 0;
    (void)snprintf(weights, sizeof weights, "%s", in(in(world, "model"), "model.safetensors"));
    assert_ok(od_file_read(weights, 1 << 24, &bytes, &size, &err), &err);
    bytes[size - 4] ^= 1;
    assert_ok(od_file_write(weights, bytes, size, &err), &err);
    assert_int_equal(again(0, 0, 1, &result, &err), OD_E_REFUSED);
    assert_non_null(strstr(err.message, "model.safetensors"));
    assert_non_null(strstr(err.message, "then"));
    bytes[size - 4] ^= 1;
    assert_ok(od_file_write(weights, bytes, size, &err), &err);
    od_free(bytes);
    assert_ok(again(11, 12, 1, &result, &err), &err);
    assert_true(result.agrees);
}

static void what_is_no_part_of_the_run_is_refused(void **state)
{
    (void)state;
    struct od_reproduce_result result;
    struct od_error err = {0};
    assert_int_equal(again(5, 3, 1, &result, &err), OD_E_ARGUMENT);
    assert_int_equal(again(1, 13, 1, &result, &err), OD_OK);  // as far as it goes
    assert_int_equal(result.steps, 12);
    assert_int_equal(again(13, 13, 1, &result, &err), OD_E_ARGUMENT);
    const struct od_reproduce_options options = {.run_dir = world, .threads = 1};
    assert_int_equal(od_reproduce(&options, &result, &err), OD_E_NOT_FOUND);
    assert_non_null(strstr(err.message, "is no run directory"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees),
        cmocka_unit_test(a_changed_line_is_named),
        cmocka_unit_test(changed_inputs_are_named),
        cmocka_unit_test(what_is_no_part_of_the_run_is_refused),
    };
    return cmocka_run_group_tests(tests, make_run, NULL);
}
