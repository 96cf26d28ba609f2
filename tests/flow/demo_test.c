// Goal: the demo does every stage for real and leaves what it says; with the user's model, too; and
// it never touches a folder that is not its own.
// Method: the shipped world with a recipe of three steps and eight questions of each kind.

#include "flow/demo.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "formats/json.h"
#include "support.h"

static void put(const char *folder, const char *name, const char *text)
{
    char path[OD_PATH_MAX_BYTES];
    struct od_error err = {0};
    assert_ok(od_path_join(path, folder, name, &err), &err);
    assert_ok(od_file_write(path, text, strlen(text), &err), &err);
}

static void link_in(const char *folder, const char *name)
{
    char from[OD_PATH_MAX_BYTES];
    char to[OD_PATH_MAX_BYTES];
    char source[OD_PATH_MAX_BYTES];
    char *real;
    (void)snprintf(source, sizeof source, "examples/toyworld/%s", name);
    (void)snprintf(from, sizeof from, "%s", test_source(source));
    assert_int_equal(od_path_join(to, folder, name, NULL), OD_OK);
    real = realpath(from, NULL);
    assert_non_null(real);
    assert_int_equal(symlink(real, to), 0);
    free(real);
}

// An examples folder with a short recipe and few questions.
static const char *small_world(void)
{
    const char *examples = test_folder();
    char world[OD_PATH_MAX_BYTES];
    struct od_error err = {0};
    assert_ok(od_path_join(world, examples, "toyworld", &err), &err);
    assert_ok(od_dir_make(world, &err), &err);
    link_in(world, "base");
    link_in(world, "data");
    link_in(world, "tune.jsonl");
    put(world, "tune.yaml",
        "base_model: base\nadapter: lora\nlora_r: 4\nlora_alpha: 8\n"
        "datasets:\n  - path: tune.jsonl\n    type: input-output\n"
        "sequence_len: 512\nmicro_batch_size: 1\nmax_steps: 3\nlearning_rate: 0.001\n");
    put(world, "demo.conf",
        "entries: [\n"
        "{description: \"mmlu:model=neurips/local,subject=colours,max_train_instances=1,"
        "max_eval_instances=8\", priority: 1}\n"
        "{description: \"gsm:model=neurips/local,max_train_instances=1,max_eval_instances=3\", "
        "priority: 1}\n]\n");
    return examples;
}

static void check_files(const struct od_demo_result *result)
{
    static const char *const names[] = {
        "recipe.yaml",    "plan.json",     "lock.json",   "log.jsonl",
        "report.html",    "samples.jsonl", "device.json", "adapter/adapter_model.safetensors",
        "eval/board.json"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char path[OD_PATH_MAX_BYTES];
        assert_int_equal(od_path_join(path, result->run, names[i], NULL), OD_OK);
        if (!od_path_exists(path)) {
            fail_msg("'%s' is missing", path);
        }
    }
}

static void every_stage(void **state)
{
    (void)state;
    const char *parent = test_folder();
    char dir[OD_PATH_MAX_BYTES];
    struct od_demo_result result;
    struct od_demo_result again;
    struct od_error err = {0};
    assert_ok(od_path_join(dir, parent, "demo", &err), &err);
    const struct od_demo_options options = {
        .dir = dir, .examples = small_world(), .threads = 2, .allow_vector = true};
    assert_ok(od_demo_run(&options, &result, &err), &err);
    check_files(&result);
    assert_int_equal(result.kind_count, 2);
    for (size_t k = 0; k < 2; k++) {
        const struct od_demo_kind *kind = &result.kind[k];
        assert_true(kind->items >= 3 && kind->items <= 8);
        for (int i = 0; i < 2; i++) {
            assert_true(kind->low[i] <= kind->value[i] && kind->value[i] <= kind->high[i]);
        }
    }
    // Again, over the first: the same numbers.
    assert_ok(od_demo_run(&options, &again, &err), &err);
    assert_int_equal(memcmp(result.kind, again.kind, sizeof result.kind), 0);
}

static void the_users_model(void **state)
{
    (void)state;
    const char *parent = test_folder();
    char dir[OD_PATH_MAX_BYTES];
    struct od_demo_result result;
    struct od_error err = {0};
    assert_ok(od_path_join(dir, parent, "mine", &err), &err);
    const struct od_demo_options options = {.dir = dir,
                                            .model = test_shared("models/stories260K/hf"),
                                            .examples = small_world(),
                                            .threads = 2,
                                            .allow_vector = true};
    assert_ok(od_demo_run(&options, &result, &err), &err);
    check_files(&result);
    assert_int_equal(result.kind_count, 2);
}

static void foreign_folders_are_left_alone(void **state)
{
    (void)state;
    const char *dir = test_folder();
    struct od_demo_result result;
    struct od_error err = {0};
    char kept[OD_PATH_MAX_BYTES];
    put(dir, "precious.txt", "mine");
    const struct od_demo_options options = {
        .dir = dir, .examples = small_world(), .threads = 1, .allow_vector = true};
    assert_int_equal(od_demo_run(&options, &result, &err), OD_E_REFUSED);
    assert_non_null(strstr(err.message, "name another folder"));
    assert_ok(od_path_join(kept, dir, "precious.txt", &err), &err);
    assert_true(od_path_exists(kept));

    const struct od_demo_options no_model = {
        .dir = "x", .model = "no/such/model", .examples = small_world(), .threads = 1};
    assert_int_equal(od_demo_run(&no_model, &result, &err), OD_E_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_stage),
        cmocka_unit_test(the_users_model),
        cmocka_unit_test(foreign_folders_are_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
