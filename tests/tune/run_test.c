// Goal: a run ends with the same bits however often it is killed, on any number of threads, with and
// without AVX2; and what cannot work is refused with one clear line and leaves nothing half-written.
// Method: a tiny byte-level Llama with random weights learns a small data set; children are killed
// with SIGKILL at different moments and resumed; writes are made to fail one after the other.

#include "tune/run.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/text.h"
#include "formats/json.h"
#include "formats/safetensors.h"
#include "support.h"
#include "tune/checkpoint.h"
#include "tune/run_world.h"

static uint64_t run_hash(const char *world, const char *name, int threads, bool allow_vector)
{
    struct od_tune_result result;
    struct od_error err = {0};
    assert_ok(world_run(world, name, false, threads, allow_vector, &result, &err), &err);
    assert_int_equal(result.steps, 12);
    assert_true(result.last_loss < result.first_loss);
    return result.weight_hash;
}

static void same_bits(const char *method)
{
    const char *world = world_make(method, "");
    const uint64_t one = run_hash(world, "one", 1, true);
    assert_true(run_hash(world, "two", 2, true) == one);
    assert_true(run_hash(world, "five", 5, true) == one);
    assert_true(run_hash(world, "plain", 2, false) == one);
    char *a = world_log_of(world, "one");
    char *b = world_log_of(world, "plain");
    assert_string_equal(a, b);
    od_free(a);
    od_free(b);
}

static void same_bits_full(void **state)
{
    (void)state;
    same_bits(world_full);
}

static void same_bits_lora(void **state)
{
    (void)state;
    same_bits(world_lora);
}

static void killed_and_resumed(void **state)
{
    (void)state;
    const char *const methods[] = {world_full, world_lora};
    for (int m = 0; m < 2; m++) {
        const char *world = world_make(methods[m], "");
        const uint64_t want = run_hash(world, "whole", 1, true);
        char *want_log = world_log_of(world, "whole");
        struct od_tune_result result;
        struct od_error err = {0};
        world_run_and_kill(world, "killed", false, 1);  // before the first checkpoint
        world_run_and_kill(world, "killed", true, 3);
        world_run_and_kill(world, "killed", true, 7);
        world_run_and_kill(world, "killed", true, 11);
        assert_ok(world_run(world, "killed", true, 2, true, &result, &err), &err);
        assert_true(result.weight_hash == want);
        char *log = world_log_of(world, "killed");
        assert_string_equal(log, want_log);
        od_free(log);
        od_free(want_log);
    }
}

static void stops_and_goes_on(void **state)
{
    (void)state;
    const char *world = world_make(world_lora, "");
    const uint64_t want = run_hash(world, "whole", 1, true);
    char recipe[OD_PATH_MAX_BYTES];
    char dir[OD_PATH_MAX_BYTES];
    struct od_tune_result result;
    struct od_error err = {0};
    const volatile sig_atomic_t stop = 1;
    world_join(recipe, world, "recipe.yaml");
    world_join(dir, world, "stopped");
    const struct od_tune_options options = {
        .recipe_path = recipe, .run_dir = dir, .threads = 1, .allow_vector = true, .stop = &stop};
    assert_int_equal(od_tune_run(&options, &result, &err), OD_E_CANCELLED);
    assert_non_null(strstr(err.message, "--resume"));
    assert_ok(world_run(world, "stopped", true, 1, true, &result, &err), &err);
    assert_true(result.resumed && result.weight_hash == want);
    // Resuming a finished run changes nothing.
    assert_ok(world_run(world, "stopped", true, 1, true, &result, &err), &err);
    assert_true(result.weight_hash == want);
}

// Every write, sync and rename fails once: the run says so, and resuming gives the same bits.
static void full_disk(void **state)
{
    (void)state;
    const char *world = world_make(world_lora, "");
    const uint64_t want = run_hash(world, "whole", 1, true);
    int failures = 0;
    for (uint64_t n = 1; n < 400; n += 9) {
        char name[32];
        char dir[OD_PATH_MAX_BYTES];
        struct od_tune_result result;
        struct od_error err = {0};
        (void)snprintf(name, sizeof name, "full-%d", (int)n);
        od_file_fail_at(n);
        const enum od_status status = world_run(world, name, false, 1, true, &result, &err);
        od_file_fail_at(0);
        if (status == OD_OK) {
            assert_true(result.weight_hash == want);
            break;
        }
        failures++;
        assert_int_equal(status, OD_E_IO);
        assert_non_null(strstr(err.message, "No space left on device"));
        assert_ok(world_run(world, name, true, 1, true, &result, &err), &err);
        assert_true(result.weight_hash == want);
        world_join(dir, world, name);
        assert_int_equal(od_dir_remove(dir, NULL), OD_OK);
    }
    assert_true(failures > 10);
}

static void broken_checkpoint_is_passed_over(void **state)
{
    (void)state;
    const char *world = world_make(world_full, "");
    const uint64_t want = run_hash(world, "run", 1, true);
    char dir[OD_PATH_MAX_BYTES];
    char checkpoints[OD_PATH_MAX_BYTES];
    char newest[OD_PATH_MAX_BYTES];
    char path[OD_PATH_MAX_BYTES];
    struct od_tune_result result;
    struct od_error err = {0};
    world_join(dir, world, "run");
    world_join(checkpoints, dir, "checkpoints");
    assert_int_equal(od_checkpoint_newest(checkpoints), 12);
    world_join(newest, checkpoints, "step-12");
    world_join(path, newest, "trained.safetensors");
    assert_int_equal(truncate(path, 100), 0);
    assert_int_equal(od_checkpoint_newest(checkpoints), 10);
    assert_ok(world_run(world, "run", true, 1, true, &result, &err), &err);
    assert_true(result.resumed && result.weight_hash == want);
}

static void expect(const char *world, bool resume, enum od_status want, const char *words)
{
    struct od_tune_result result;
    struct od_error err = {0};
    const enum od_status status = world_run(world, "run", resume, 1, true, &result, &err);
    if (status != want || !strstr(err.message, words) || strchr(err.message, '\n')) {
        fail_msg("status %d, '%s'; expected %d with '%s'", (int)status, err.message, (int)want,
                 words);
    }
}

static void refusals(void **state)
{
    (void)state;
    const char *world = world_make(world_lora, "");
    (void)run_hash(world, "run", 1, true);
    expect(world, false, OD_E_REFUSED, "holds a run already");
    world_put(world, "data.jsonl", "{\"input\": \"other\", \"output\": \"data\"}\n");
    expect(world, true, OD_E_REFUSED,
           "data.jsonl' is not what the run began with: its SHA-256 was ");

    expect(world_make(world_lora, "sequence_length: 64\n"), false, OD_E_FORMAT, "sequence_len");
    expect(world_make("adapter: lora\nlora_target_modules: [q_proj, w_proj]\n", ""), false,
           OD_E_ARGUMENT, "w_proj");

    world = world_make(world_lora, "");
    world_put(world, "data.jsonl", "");
    expect(world, false, OD_E_FORMAT, "nothing to learn");

    world = world_make(world_lora, "");
    char model[OD_PATH_MAX_BYTES];
    world_join(model, world, "model");
    world_put(model, "model.safetensors", "broken");
    expect(world, false, OD_E_FORMAT, "model.safetensors");

    world = world_make(world_lora, "");
    world_join(model, world, "model");
    world_put(
        model, "config.json",
        "{\"model_type\":\"llama\",\"vocab_size\":100,\"hidden_size\":32,\"intermediate_size\":48,"
        "\"num_hidden_layers\":2,\"num_attention_heads\":4,\"num_key_value_heads\":2,"
        "\"max_position_embeddings\":128,\"tie_word_embeddings\":true}");
    expect(world, false, OD_E_FORMAT, "they do not fit");
}

static void plan_above_the_cap(void **state)
{
    (void)state;
    const char *world = world_make(world_full, "");
    char recipe[OD_PATH_MAX_BYTES];
    char dir[OD_PATH_MAX_BYTES];
    struct od_tune_result result;
    struct od_error err = {0};
    world_join(recipe, world, "recipe.yaml");
    world_join(dir, world, "run");
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
