// Goal: a run ends with the same bits however often it is killed, on any number of threads, with and
// without AVX2; and what cannot work is refused with one clear line and leaves nothing half-written.
// Method: a tiny byte-level Llama with random weights learns a small data set; children are killed
// with SIGKILL at different moments and resumed; writes are made to fail one after the other.

#include "tune/run.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/text.h"
#include "flow/model_files.h"
#include "formats/json.h"
#include "formats/safetensors.h"
#include "support.h"
#include "text/byte_tokenizer.h"
#include "tune/checkpoint.h"

static const char config_text[] =
    "{\"model_type\":\"llama\",\"vocab_size\":259,\"hidden_size\":32,\"intermediate_size\":48,"
    "\"num_hidden_layers\":2,\"num_attention_heads\":4,\"num_key_value_heads\":2,"
    "\"max_position_embeddings\":128,\"rms_norm_eps\":1e-5,\"tie_word_embeddings\":true,"
    "\"bos_token_id\":256,\"eos_token_id\":257}";

static void put(const char *folder, const char *name, const char *text)
{
    char path[OD_PATH_MAX_BYTES];
    struct od_error err = {0};
    assert_ok(od_path_join(path, folder, name, &err), &err);
    assert_ok(od_file_write(path, text, strlen(text), &err), &err);
}

static void join(char out[OD_PATH_MAX_BYTES], const char *folder, const char *name)
{
    assert_int_equal(od_path_join(out, folder, name, NULL), OD_OK);
}

// A folder with model/, data.jsonl and a recipe; `more` is appended to it.
static const char *make_world(const char *method, const char *more)
{
    const char *folder = test_folder();
    char path[OD_PATH_MAX_BYTES];
    char config[OD_PATH_MAX_BYTES];
    struct od_buf data;
    struct od_buf recipe;
    struct od_error err = {0};
    put(folder, "config.json", config_text);
    join(config, folder, "config.json");
    join(path, folder, "model");
    assert_ok(od_model_init(config, NULL, 5, 2, path, &err), &err);
    od_buf_init(&data, 1 << 20);
    for (int i = 0; i < 60; i++) {
        od_buf_printf(&data, "{\"input\": \"%d plus %d is\", \"output\": \" %d\"}\n", i, i % 7,
                      i + i % 7);
    }
    put(folder, "data.jsonl", od_buf_text(&data));
    od_buf_release(&data);
    od_buf_init(&recipe, 1 << 16);
    od_buf_printf(&recipe,
                  "base_model: model\n%s"
                  "datasets:\n  - path: data.jsonl\n    type: input-output\n"
                  "sequence_len: 64\nmicro_batch_size: 2\ngradient_accumulation_steps: 2\n"
                  "max_steps: 12\nlearning_rate: 0.003\nsave_steps: 2\nweight_decay: 0.01\n%s",
                  method, more);
    put(folder, "recipe.yaml", od_buf_text(&recipe));
    od_buf_release(&recipe);
    return folder;
}

static const char full[] = "";
static const char lora[] = "adapter: lora\nlora_r: 4\nlora_alpha: 8\n";

static enum od_status run(const char *world, const char *name, bool resume, int threads,
                          bool allow_vector, struct od_tune_result *ret, struct od_error *err)
{
    char recipe[OD_PATH_MAX_BYTES];
    char dir[OD_PATH_MAX_BYTES];
    join(recipe, world, "recipe.yaml");
    join(dir, world, name);
    const struct od_tune_options options = {.recipe_path = recipe,
                                            .run_dir = dir,
                                            .resume = resume,
                                            .threads = threads,
                                            .allow_vector = allow_vector};
    return od_tune_run(&options, ret, err);
}

static uint64_t run_hash(const char *world, const char *name, int threads, bool allow_vector)
{
    struct od_tune_result result;
    struct od_error err = {0};
    assert_ok(run(world, name, false, threads, allow_vector, &result, &err), &err);
    assert_int_equal(result.steps, 12);
    assert_true(result.last_loss < result.first_loss);
    return result.weight_hash;
}

// log.jsonl without the timings, which differ from run to run.
static char *log_of(const char *world, const char *name)
{
    char dir[OD_PATH_MAX_BYTES];
    char path[OD_PATH_MAX_BYTES];
    char *text = NULL;
    size_t size = 0;
    struct od_error err = {0};
    join(dir, world, name);
    join(path, dir, "log.jsonl");
    assert_ok(od_file_read(path, 1 << 24, &text, &size, &err), &err);
    size_t to = 0;
    for (size_t from = 0; from < size;) {
        const char *end = strchr(text + from, '\n');
        const char *timing = strstr(text + from, ", \"t\": ");
        assert_true(end && timing && timing < end);
        const size_t length = (size_t)(timing - text) - from;
        memmove(text + to, text + from, length);
        to += length;
        text[to++] = '\n';
        from = (size_t)(end - text) + 1;
    }
    text[to] = '\0';
    return text;
}

static void same_bits(const char *method)
{
    const char *world = make_world(method, "");
    const uint64_t one = run_hash(world, "one", 1, true);
    assert_true(run_hash(world, "two", 2, true) == one);
    assert_true(run_hash(world, "five", 5, true) == one);
    assert_true(run_hash(world, "plain", 2, false) == one);
    char *a = log_of(world, "one");
    char *b = log_of(world, "plain");
    assert_string_equal(a, b);
    od_free(a);
    od_free(b);
}

static void same_bits_full(void **state)
{
    (void)state;
    same_bits(full);
}

static void same_bits_lora(void **state)
{
    (void)state;
    same_bits(lora);
}

// Start the run in a child and kill it when its log has `lines` lines.
static void run_and_kill(const char *world, const char *name, bool resume, int lines)
{
    char dir[OD_PATH_MAX_BYTES];
    char log[OD_PATH_MAX_BYTES];
    join(dir, world, name);
    join(log, dir, "log.jsonl");
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct od_tune_result result;
        const enum od_status status = run(world, name, resume, 1, true, &result, NULL);
        _exit(status == OD_OK ? 0 : 1);
    }
    for (;;) {
        char *text = NULL;
        size_t size = 0;
        int seen = 0;
        int status;
        if (od_file_read(log, 1 << 24, &text, &size, NULL) == OD_OK) {
            for (size_t i = 0; i < size; i++) {
                seen += text[i] == '\n';
            }
            od_free(text);
        }
        if (seen >= lines) {
            (void)kill(child, SIGKILL);
            assert_int_equal(waitpid(child, &status, 0), child);
            return;
        }
        if (waitpid(child, &status, WNOHANG) == child) {
            return;  // done before it could be killed
        }
    }
}

static void killed_and_resumed(void **state)
{
    (void)state;
    const char *const methods[] = {full, lora};
    for (int m = 0; m < 2; m++) {
        const char *world = make_world(methods[m], "");
        const uint64_t want = run_hash(world, "whole", 1, true);
        char *want_log = log_of(world, "whole");
        struct od_tune_result result;
        struct od_error err = {0};
        run_and_kill(world, "killed", false, 1);  // before the first checkpoint
        run_and_kill(world, "killed", true, 3);
        run_and_kill(world, "killed", true, 7);
        run_and_kill(world, "killed", true, 11);
        assert_ok(run(world, "killed", true, 2, true, &result, &err), &err);
        assert_true(result.weight_hash == want);
        char *log = log_of(world, "killed");
        assert_string_equal(log, want_log);
        od_free(log);
        od_free(want_log);
    }
}

static void stops_and_goes_on(void **state)
{
    (void)state;
    const char *world = make_world(lora, "");
    const uint64_t want = run_hash(world, "whole", 1, true);
    char recipe[OD_PATH_MAX_BYTES];
    char dir[OD_PATH_MAX_BYTES];
    struct od_tune_result result;
    struct od_error err = {0};
    const volatile sig_atomic_t stop = 1;
    join(recipe, world, "recipe.yaml");
    join(dir, world, "stopped");
    const struct od_tune_options options = {
        .recipe_path = recipe, .run_dir = dir, .threads = 1, .allow_vector = true, .stop = &stop};
    assert_int_equal(od_tune_run(&options, &result, &err), OD_E_CANCELLED);
    assert_non_null(strstr(err.message, "--resume"));
    assert_ok(run(world, "stopped", true, 1, true, &result, &err), &err);
    assert_true(result.resumed && result.weight_hash == want);
    // Resuming a finished run changes nothing.
    assert_ok(run(world, "stopped", true, 1, true, &result, &err), &err);
    assert_true(result.weight_hash == want);
}

// Every write, sync and rename fails once: the run says so, and resuming gives the same bits.
static void full_disk(void **state)
{
    (void)state;
    const char *world = make_world(lora, "");
    const uint64_t want = run_hash(world, "whole", 1, true);
    int failures = 0;
    for (uint64_t n = 1; n < 400; n += 9) {
        char name[32];
        char dir[OD_PATH_MAX_BYTES];
        struct od_tune_result result;
        struct od_error err = {0};
        (void)snprintf(name, sizeof name, "full-%d", (int)n);
        od_file_fail_at(n);
        const enum od_status status = run(world, name, false, 1, true, &result, &err);
        od_file_fail_at(0);
        if (status == OD_OK) {
            assert_true(result.weight_hash == want);
            break;
        }
        failures++;
        assert_int_equal(status, OD_E_IO);
        assert_non_null(strstr(err.message, "No space left on device"));
        assert_ok(run(world, name, true, 1, true, &result, &err), &err);
        assert_true(result.weight_hash == want);
        join(dir, world, name);
        assert_int_equal(od_dir_remove(dir, NULL), OD_OK);
    }
    assert_true(failures > 10);
}

static void broken_checkpoint_is_passed_over(void **state)
{
    (void)state;
    const char *world = make_world(full, "");
    const uint64_t want = run_hash(world, "run", 1, true);
    char dir[OD_PATH_MAX_BYTES];
    char checkpoints[OD_PATH_MAX_BYTES];
    char newest[OD_PATH_MAX_BYTES];
    char path[OD_PATH_MAX_BYTES];
    struct od_tune_result result;
    struct od_error err = {0};
    join(dir, world, "run");
    join(checkpoints, dir, "checkpoints");
    assert_int_equal(od_checkpoint_newest(checkpoints), 12);
    join(newest, checkpoints, "step-12");
    join(path, newest, "trained.safetensors");
    assert_int_equal(truncate(path, 100), 0);
    assert_int_equal(od_checkpoint_newest(checkpoints), 10);
    assert_ok(run(world, "run", true, 1, true, &result, &err), &err);
    assert_true(result.resumed && result.weight_hash == want);
}

static void expect(const char *world, bool resume, enum od_status want, const char *words)
{
    struct od_tune_result result;
    struct od_error err = {0};
    const enum od_status status = run(world, "run", resume, 1, true, &result, &err);
    if (status != want || !strstr(err.message, words) || strchr(err.message, '\n')) {
        fail_msg("status %d, '%s'; expected %d with '%s'", (int)status, err.message, (int)want,
                 words);
    }
}

static void refusals(void **state)
{
    (void)state;
    const char *world = make_world(lora, "");
    (void)run_hash(world, "run", 1, true);
    expect(world, false, OD_E_REFUSED, "holds a run already");
    put(world, "data.jsonl", "{\"input\": \"other\", \"output\": \"data\"}\n");
    expect(world, true, OD_E_REFUSED, "other data");

    expect(make_world(lora, "sequence_length: 64\n"), false, OD_E_FORMAT, "sequence_len");
    expect(make_world("adapter: lora\nlora_target_modules: [q_proj, w_proj]\n", ""), false,
           OD_E_ARGUMENT, "w_proj");

    world = make_world(lora, "");
    put(world, "data.jsonl", "");
    expect(world, false, OD_E_FORMAT, "nothing to learn");

    world = make_world(lora, "");
    char model[OD_PATH_MAX_BYTES];
    join(model, world, "model");
    put(model, "model.safetensors", "broken");
    expect(world, false, OD_E_FORMAT, "model.safetensors");

    world = make_world(lora, "");
    join(model, world, "model");
    put(model, "config.json",
        "{\"model_type\":\"llama\",\"vocab_size\":100,\"hidden_size\":32,\"intermediate_size\":48,"
        "\"num_hidden_layers\":2,\"num_attention_heads\":4,\"num_key_value_heads\":2,"
        "\"max_position_embeddings\":128,\"tie_word_embeddings\":true}");
    expect(world, false, OD_E_FORMAT, "they do not fit");
}

static void plan_above_the_cap(void **state)
{
    (void)state;
    const char *world = make_world(full, "");
    char recipe[OD_PATH_MAX_BYTES];
    char dir[OD_PATH_MAX_BYTES];
    struct od_tune_result result;
    struct od_error err = {0};
    join(recipe, world, "recipe.yaml");
    join(dir, world, "run");
    const struct od_tune_options options = {
        .recipe_path = recipe, .run_dir = dir, .threads = 1, .max_bytes = 100000};
    assert_int_equal(od_tune_run(&options, &result, &err), OD_E_REFUSED);
    assert_non_null(strstr(err.message, "the leanest plan needs"));
    assert_false(od_path_exists(dir));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_bits_full),     cmocka_unit_test(same_bits_lora),
        cmocka_unit_test(killed_and_resumed), cmocka_unit_test(stops_and_goes_on),
        cmocka_unit_test(full_disk),          cmocka_unit_test(broken_checkpoint_is_passed_over),
        cmocka_unit_test(refusals),           cmocka_unit_test(plan_above_the_cap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
