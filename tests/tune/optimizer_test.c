// Goal: `optimizer: adamw_8bit` trains nearly as AdamW does, keeps its moments in a fourth of the
// memory, and goes on after a kill with the same bits.
// Method: runs of a tiny byte-level Llama with adapters large enough for 8-bit moments; the files and
// the plan of a run.

#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/status.h"
#include "flow/model_files.h"
#include "formats/dtype.h"
#include "formats/json.h"
#include "formats/safetensors.h"
#include "support.h"
#include "tune/run.h"
#include "tune/run_world.h"

// Elements of a block's four linear layers; what the scales of the largest of them take in a plan.
enum { WEIGHTS = (128 + 64 + 192 + 96) * 64, SCALES_BYTES = 256 };

static const char config_text[] =
    "{\"model_type\":\"llama\",\"vocab_size\":259,\"hidden_size\":64,\"intermediate_size\":96,"
    "\"num_hidden_layers\":2,\"num_attention_heads\":4,\"num_key_value_heads\":2,"
    "\"max_position_embeddings\":128,\"rms_norm_eps\":1e-5,\"tie_word_embeddings\":true,"
    "\"bos_token_id\":256,\"eos_token_id\":257}";

static const char wide[] = "max_steps: 12\nlearning_rate: 0.003\nsave_steps: 2\n";

// The world of the other tests with a model whose linear layers have 4096 weights and more.
static const char *make_wide(void)
{
    char path[OD_PATH_MAX_BYTES];
    char config[OD_PATH_MAX_BYTES];
    struct od_error err = {0};
    const char *world = world_make(world_full, "");
    world_put(world, "config.json", config_text);
    world_join(config, world, "config.json");
    world_join(path, world, "model");
    assert_ok(od_dir_remove(path, &err), &err);
    assert_ok(od_model_init(config, NULL, 5, 2, path, &err), &err);
    return world;
}

static struct od_tune_result run_with(const char *world, const char *name, const char *more)
{
    char recipe[1024];
    struct od_tune_result result;
    struct od_error err = {0};
    (void)snprintf(recipe, sizeof recipe, "%s%s", wide, more);
    world_recipe(world, recipe);
    assert_ok(world_run(world, name, false, 1, true, &result, &err), &err);
    return result;
}

static int64_t moment_bytes(const char *world, const char *name)
{
    char dir[OD_PATH_MAX_BYTES];
    char path[OD_PATH_MAX_BYTES];
    json_t *plan = NULL;
    struct od_error err = {0};
    world_join(dir, world, name);
    world_join(path, dir, "plan.json");
    assert_ok(od_json_read(path, &plan, &err), &err);
    const int64_t bytes =
        json_integer_value(json_object_get(json_object_get(plan, "role_bytes"), "moment"));
    json_decref(plan);
    assert_true(bytes > 0);
    return bytes;
}

// Tensors of a checkpoint's moments: all, and those that hold bytes.
static void count_moments(const char *world, const char *file, size_t *ret_all, size_t *ret_bytes)
{
    char path[OD_PATH_MAX_BYTES];
    struct od_safetensors *st = NULL;
    struct od_error err = {0};
    world_join(path, world, file);
    assert_ok(od_safetensors_open(path, &st, &err), &err);
    *ret_all = od_safetensors_count(st);
    *ret_bytes = 0;
    for (size_t i = 0; i < *ret_all; i++) {
        *ret_bytes += od_safetensors_get(st, i)->dtype == OD_DTYPE_U8;
    }
    od_safetensors_close(st);
}

static void eight_bits(void **state)
{
    (void)state;
    size_t plain_all;
    size_t all;
    size_t bytes;
    struct od_error err = {0};
    struct od_tune_result again;
    const char *world = make_wide();
    const struct od_tune_result plain = run_with(world, "plain", "");
    const struct od_tune_result eight = run_with(world, "eight", "optimizer: paged_adamw_8bit\n");
    assert_memory_equal(&plain.first_loss, &eight.first_loss, sizeof plain.first_loss);
    assert_true(plain.weight_hash != eight.weight_hash);
    assert_true(eight.last_loss < 0.9 * eight.first_loss);
    assert_true(fabs(eight.last_loss - plain.last_loss) < 0.02 * plain.last_loss);
    count_moments(world, "plain/checkpoints/step-12/optimizer.safetensors", &plain_all, &bytes);
    assert_int_equal(bytes, 0);
    count_moments(world, "eight/checkpoints/step-12/optimizer.safetensors", &all, &bytes);
    // The four linear layers of both blocks, m and v; the embedding and the norms stay as they are.
    assert_int_equal(bytes, 16);
    assert_int_equal(all, plain_all + bytes);  // a scale tensor beside each
    assert_int_equal(moment_bytes(world, "plain") - moment_bytes(world, "eight"),
                     2 * 2 * WEIGHTS * 3 - 16 * SCALES_BYTES);
    assert_ok(world_run(world, "threads", false, 3, false, &again, &err), &err);
    assert_true(again.weight_hash == eight.weight_hash);
    for (int lines = 3; lines <= 9; lines += 3) {
        char name[32];
        (void)snprintf(name, sizeof name, "killed-%d", lines);
        world_run_and_kill(world, name, false, lines);
        assert_ok(world_run(world, name, true, 2, true, &again, &err), &err);
        assert_true(again.weight_hash == eight.weight_hash);
    }
}

// Moments of one kind are not taken for the other.
static void another_optimizer_is_refused(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_tune_result result;
    const char *world = make_wide();
    char recipe[1024];
    (void)snprintf(recipe, sizeof recipe, "%s%s", wide, "optimizer: adamw_8bit\n");
    world_recipe(world, recipe);
    world_run_and_kill(world, "run", false, 5);
    world_recipe(world, wide);
    assert_int_equal(world_run(world, "run", true, 1, true, &result, &err), OD_E_REFUSED);
    assert_non_null(strstr(err.message, "optimizer"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(eight_bits),
                                       cmocka_unit_test(another_optimizer_is_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
