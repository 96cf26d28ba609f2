// Goal: a run ends with the same bits however often it is killed, on any number of threads, with and
// without AVX2; and what cannot work is refused with one clear line and leaves nothing half-written.
// Method: a tiny byte-level Llama with random weights learns a small data set; children are killed
// with SIGKILL at different moments and resumed; writes are made to fail one after the other.

#include "tune/run.h"

#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
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

// A run that is done tells the same when it is opened again.
static void done_and_resumed(void **state)
{
    (void)state;
    struct od_tune_result first;
    struct od_tune_result again;
    struct od_error err = {0};
    const char *world = world_make(world_lora, "");
    assert_ok(world_run(world, "run", false, 1, true, &first, &err), &err);
    assert_ok(world_run(world, "run", true, 1, true, &again, &err), &err);
    assert_true(again.resumed && again.weight_hash == first.weight_hash);
    assert_memory_equal(&again.first_loss, &first.first_loss, sizeof(double));
    assert_memory_equal(&again.last_loss, &first.last_loss, sizeof(double));
}

static void refusals(void **state)
{
    (void)state;
    const char *world = world_make(world_lora, "");
    (void)run_hash(world, "run", 1, true);
    world_put(world, "data.jsonl", "{");
    expect(world, false, OD_E_REFUSED, "holds a run already");  // before anything is loaded
    world_put(world, "data.jsonl", "{\"input\": \"other\", \"output\": \"data\"}\n");
    expect(world, true, OD_E_REFUSED,
           "data.jsonl' is not what the run began with: its SHA-256 was ");

    expect(world_make(world_lora, "sequence_length: 64\n"), false, OD_E_FORMAT, "sequence_len");
    expect(world_make("adapter: lora\nlora_target_modules: [q_proj, w_proj]\n", ""), false,
           OD_E_ARGUMENT, "w_proj");

    expect(world_make(world_lora, "lora_fan_in_fan_out: true\n"), false, OD_E_ARGUMENT,
           "'lora_fan_in_fan_out: true' is for gpt2");

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

static char *read_whole(const char *folder, const char *name)
{
    char path[OD_PATH_MAX_BYTES];
    char *text = NULL;
    size_t size = 0;
    struct od_error err = {0};
    world_join(path, folder, name);
    assert_ok(od_file_read(path, 1 << 24, &text, &size, &err), &err);
    return text;
}

// GPT-2's linear layers lie transposed in its files, which a recipe may say and an adapter must.
static void fan_in_fan_out(void **state)
{
    (void)state;
    char run[OD_PATH_MAX_BYTES];
    struct od_tune_result result;
    struct od_error err = {0};
    static const char config[] =
        "{\"model_type\":\"gpt2\",\"vocab_size\":259,\"n_embd\":32,\"n_layer\":2,\"n_head\":4,"
        "\"n_positions\":128,\"bos_token_id\":256,\"eos_token_id\":257}";
    const char *world = world_make_of(config, world_lora, "lora_fan_in_fan_out: true\n");
    assert_ok(world_run(world, "run", false, 1, true, &result, &err), &err);
    world_join(run, world, "run");
    char *adapter = read_whole(run, "adapter/adapter_config.json");
    assert_non_null(strstr(adapter, "\"fan_in_fan_out\": true"));
    od_free(adapter);
}

// Weights that grow a thousandfold in each step: soon the loss is no number.
static void no_number(void **state)
{
    (void)state;
    char run[OD_PATH_MAX_BYTES];
    char checkpoints[OD_PATH_MAX_BYTES];
    char path[OD_PATH_MAX_BYTES];
    char name[64];
    struct od_tune_result result;
    struct od_error err = {0};
    json_t *dump = NULL;
    const char *world = world_make(world_full, "lr_scheduler: constant\n");
    char *recipe = read_whole(world, "recipe.yaml");
    memcpy(strstr(recipe, "weight_decay: 0.01"), "weight_decay: 10.0", 18);
    memcpy(strstr(recipe, "learning_rate: 0.003"), "learning_rate: 100.0", 20);
    world_put(world, "recipe.yaml", recipe);
    od_free(recipe);
    assert_int_equal(world_run(world, "run", false, 1, true, &result, &err), OD_E_REFUSED);
    world_join(run, world, "run");
    world_join(checkpoints, run, "checkpoints");
    const int64_t good = od_checkpoint_newest(checkpoints);
    assert_true(good >= 1 && good < 12);
    (void)snprintf(name, sizeof name, "bad-batch-%d.json", (int)good + 1);
    assert_non_null(strstr(err.message, "no number"));
    assert_non_null(strstr(err.message, name));
    (void)snprintf(path, sizeof path, "the last good weights are those of step %d", (int)good);
    assert_non_null(strstr(err.message, path));
    world_join(path, run, name);
    assert_ok(od_json_read(path, &dump, &err), &err);
    assert_int_equal(json_integer_value(json_object_get(dump, "step")), good + 1);
    const json_t *documents = json_object_get(dump, "documents");
    assert_true(json_array_size(documents) >= 4);  // at least one in each of four packs
    const json_t *one = json_array_get(documents, 0);
    assert_non_null(strstr(json_string_value(json_object_get(one, "text")), " plus "));
    assert_int_equal(json_array_size(json_object_get(one, "ids")),
                     json_array_size(json_object_get(one, "labels")));
    json_decref(dump);
    // Going on meets the same batch.
    assert_int_equal(world_run(world, "run", true, 1, true, &result, &err), OD_E_REFUSED);
    assert_non_null(strstr(err.message, name));
    assert_int_equal(od_checkpoint_newest(checkpoints), good);
}

// The second process on a run is refused; when the first is killed, the next one goes on.
static void one_process(void **state)
{
    (void)state;
    char run[OD_PATH_MAX_BYTES];
    char path[OD_PATH_MAX_BYTES];
    char text[32];
    const char *world = world_make(world_lora, "");
    world_join(run, world, "run");
    world_join(path, run, "process.lock");
    assert_int_equal(od_dir_make(run, NULL), OD_OK);
    const int fd = open(path, O_RDWR | O_CREAT, 0666);
    assert_true(fd >= 0);
    assert_int_equal(flock(fd, LOCK_SH), 0);  // which only one that wants it alone minds
    assert_int_equal(write(fd, "4242\n", 5), 5);
    expect(world, false, OD_E_REFUSED, "process 4242 works on the run in");
    expect(world, true, OD_E_REFUSED, "process 4242 works on the run in");
    (void)close(fd);
    (void)run_hash(world, "run", 1, true);
    char *owner = read_whole(run, "process.lock");
    (void)snprintf(text, sizeof text, "%ld\n", (long)getpid());
    assert_string_equal(owner, text);
    od_free(owner);
}

// What cannot be written is told before the model is looked at.
static void cannot_be_written(void **state)
{
    (void)state;
    char path[OD_PATH_MAX_BYTES];
    struct od_tune_result result;
    struct od_error err = {0};
    const char *world = world_make(world_lora, "");
    world_join(path, world, "recipe.yaml");
    char model[OD_PATH_MAX_BYTES];
    world_join(model, world, "model");
    world_put(model, "config.json", "broken");
    struct od_tune_options options = {.recipe_path = path, .run_dir = "/proc/run", .threads = 1};
    if (access("/proc", W_OK) != 0) {
        assert_int_equal(od_tune_run(&options, &result, &err), OD_E_IO);
        assert_non_null(strstr(err.message, "cannot write the run to '/proc/run': '/proc': "));
    }
    options.run_dir = path;  // a file
    assert_int_equal(od_tune_run(&options, &result, &err), OD_E_IO);
    assert_non_null(strstr(err.message, "is no folder"));
}

// What differs from the inputs of a run is named: the line of the recipe, the file with its digests.
static void what_differs(void **state)
{
    (void)state;
    char model[OD_PATH_MAX_BYTES];
    char run[OD_PATH_MAX_BYTES];
    const char *world = world_make(world_lora, "");
    (void)run_hash(world, "run", 1, true);
    world_join(run, world, "run");
    char *lock = read_whole(run, "lock.json");
    char *recipe = read_whole(world, "recipe.yaml");
    char *rank = strstr(recipe, "lora_r: 4");
    assert_non_null(rank);
    rank[8] = '5';
    world_put(world, "recipe.yaml", recipe);
    expect(world, true, OD_E_REFUSED,
           "the recipe is not what the run began with: 'lora_r: 5' was 'lora_r: 4'");
    rank[8] = '4';
    world_put(world, "recipe.yaml", recipe);
    world_join(model, world, "model");
    char *config = read_whole(model, "config.json");
    char *more = od_alloc(strlen(config) + 2, 1);
    assert_non_null(more);
    (void)snprintf(more, strlen(config) + 2, "%s\n", config);
    world_put(model, "config.json", more);
    expect(world, true, OD_E_REFUSED,
           "'config.json' of the base model is not what the run began with: its SHA-256 was ");
    world_put(model, "config.json", config);
    // None of this has changed the run's own record.
    char *again = read_whole(run, "lock.json");
    assert_string_equal(again, lock);
    struct od_tune_result result;
    struct od_error err = {0};
    assert_ok(world_run(world, "run", true, 1, true, &result, &err), &err);
    od_free(again);
    od_free(more);
    od_free(config);
    od_free(recipe);
    od_free(lock);
}

// Caps of the recipe's budget refuse as those of the command line do.
static void budget_of_memory_and_disk(void **state)
{
    (void)state;
    expect(world_make(world_lora, "budget: {ram: 100kB}\n"), false, OD_E_REFUSED,
           "the leanest plan needs");
    expect(world_make(world_full, "budget: {disk: 100kB}\n"), false, OD_E_REFUSED,
           "lower save_total_limit");
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
        cmocka_unit_test(same_bits_full),
        cmocka_unit_test(same_bits_lora),
        cmocka_unit_test(killed_and_resumed),
        cmocka_unit_test(stops_and_goes_on),
        cmocka_unit_test(full_disk),
        cmocka_unit_test(broken_checkpoint_is_passed_over),
        cmocka_unit_test(done_and_resumed),
        cmocka_unit_test(refusals),
        cmocka_unit_test(plan_above_the_cap),
        cmocka_unit_test(no_number),
        cmocka_unit_test(fan_in_fan_out),
        cmocka_unit_test(one_process),
        cmocka_unit_test(cannot_be_written),
        cmocka_unit_test(what_differs),
        cmocka_unit_test(budget_of_memory_and_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
