// Goal: evaluations say what held-out documents lose, change no bit of the training, and what is
// decided by them (best weights, early end, the time budget) survives a kill at any moment.
// Method: runs of a tiny byte-level Llama; hashes and logs with and without evaluations, killed and
// whole; a shorter run that ends where the longer one was best.

#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/random.h"
#include "base/status.h"
#include "flow/model_files.h"
#include "formats/json.h"
#include "model/program.h"
#include "model/weights.h"
#include "ops/adamw/rounding.h"
#include "plan/plan.h"
#include "support.h"
#include "tune/checkpoint.h"
#include "tune/recipe.h"
#include "tune/run.h"
#include "tune/run_world.h"
#include "tune/session.h"

enum { LOG_LINES_MAX = 4096, RECIPE_BYTES = 2048 };

static const char basic[] =
    "adapter: lora\nlora_r: 4\nlora_alpha: 8\nmax_steps: 12\n"
    "learning_rate: 0.003\nsave_steps: 2\n";

// Write the recipe, run it.
static struct od_tune_result run_recipe(const char *world, const char *name, const char *recipe)
{
    struct od_tune_result result;
    struct od_error err = {0};
    world_recipe(world, recipe);
    assert_ok(world_run(world, name, false, 1, true, &result, &err), &err);
    return result;
}

static const char *with(char out[RECIPE_BYTES], const char *more)
{
    (void)snprintf(out, RECIPE_BYTES, "%s%s", basic, more);
    return out;
}

// The lines of a log that have, or have not, the member "eval_loss".
static char *lines_of(const char *world, const char *name, bool evaluations, int *ret_count)
{
    char *log = world_log_of(world, name);
    char *to = log;
    int count = 0;
    for (const char *from = log; *from != '\0';) {
        const char *end = strchr(from, '\n') + 1;
        const size_t size = (size_t)(end - from);
        const char *found = strstr(from, "\"eval_loss\"");
        if ((found && found < end) == evaluations) {
            memmove(to, from, size);
            to += size;
            count++;
        }
        from = end;
    }
    *to = '\0';
    if (ret_count) {
        *ret_count = count;
    }
    return log;
}

static void same_training(void **state)
{
    (void)state;
    static const char *const held_out[] = {
        "val_set_size: 7\n", "test_datasets:\n  - path: data.jsonl\n    type: input-output\n"};
    char text[RECIPE_BYTES];
    char more[RECIPE_BYTES];
    for (int i = 0; i < 2; i++) {
        const char *world = world_make(world_lora, "");
        int without = 0;
        int evaluations = 0;
        (void)snprintf(more, sizeof more, "%seval_strategy: no\n", held_out[i]);
        const struct od_tune_result a = run_recipe(world, "without", with(text, more));
        (void)snprintf(more, sizeof more, "%seval_steps: 5\n", held_out[i]);
        const struct od_tune_result b = run_recipe(world, "with", with(text, more));
        assert_true(a.weight_hash == b.weight_hash);
        assert_int_equal(a.best_step, -1);
        assert_int_equal(b.exported_step, 12);
        char *x = lines_of(world, "without", false, NULL);
        char *y = lines_of(world, "with", false, NULL);
        assert_string_equal(x, y);
        od_free(x);
        od_free(y);
        od_free(lines_of(world, "without", true, &without));
        od_free(lines_of(world, "with", true, &evaluations));
        assert_int_equal(without, 0);
        assert_int_equal(evaluations, 3);  // after 5, 10 and at the end
    }
}

// The evaluation loss is the training loss of a step that learns just those documents.
static void loss_is_the_mean(void **state)
{
    (void)state;
    struct od_error err = {0};
    char path[OD_PATH_MAX_BYTES];
    struct od_recipe recipe;
    struct od_session session;
    struct od_eval_report evaluation;
    struct od_step_report report;
    const char *world = world_make(world_full, "");
    world_recipe(world,
                 "lora_dropout: 0\ngradient_accumulation_steps: 64\nmax_steps: 1\n"
                 "test_datasets:\n  - path: data.jsonl\n    type: input-output\n");
    world_join(path, world, "recipe.yaml");
    // A second accumulation key would be an error: the common one is cut out.
    char *text = NULL;
    size_t size = 0;
    assert_ok(od_file_read(path, RECIPE_BYTES, &text, &size, &err), &err);
    char *twice = strstr(text, "gradient_accumulation_steps: 2\n");
    assert_non_null(twice);
    memset(twice, ' ', strlen("gradient_accumulation_steps: 2"));
    assert_ok(od_recipe_parse(text, size, "r.yaml", world, &recipe, &err), &err);
    od_free(text);
    const struct od_session_options options = {.threads = 2, .allow_vector = true};
    assert_ok(od_session_open(&recipe, &options, &session, &err), &err);
    const uint64_t before = od_session_weight_hash(&session);
    assert_ok(od_session_evaluate(&session, &evaluation, &err), &err);
    assert_true(od_session_weight_hash(&session) == before);
    assert_ok(od_session_step(&session, &report, &err), &err);
    assert_int_equal(evaluation.labels, report.labels);
    assert_int_equal(evaluation.tokens, report.tokens);
    assert_true(fabs(evaluation.loss - report.loss) < 1e-6 * report.loss);
    od_session_close(&session);
    od_recipe_release(&recipe);
}

static void killed_around_evaluations(void **state)
{
    (void)state;
    char text[RECIPE_BYTES];
    const char *world = world_make(world_lora, "");
    const struct od_tune_result want =
        run_recipe(world, "whole",
                   with(text, "val_set_size: 0.1\neval_steps: 3\nload_best_model_at_end: true\n"));
    char *want_log = world_log_of(world, "whole");
    for (int first = 1; first < 16; first += 2) {  // of 12 lines of steps and 4 of evaluations
        struct od_tune_result result;
        struct od_error err = {0};
        char name[32];
        (void)snprintf(name, sizeof name, "killed-%d", first);
        world_run_and_kill(world, name, false, first);
        world_run_and_kill(world, name, true, first + 2);
        assert_ok(world_run(world, name, true, 2, true, &result, &err), &err);
        assert_true(result.weight_hash == want.weight_hash);
        assert_int_equal(result.best_step, want.best_step);
        assert_true(result.best_loss == want.best_loss && result.eval_loss == want.eval_loss);
        char *log = world_log_of(world, name);
        assert_string_equal(log, want_log);
        od_free(log);
    }
    od_free(want_log);
}

static char *exported(const char *world, const char *name, size_t *ret_size)
{
    char run[OD_PATH_MAX_BYTES];
    char adapter[OD_PATH_MAX_BYTES];
    char path[OD_PATH_MAX_BYTES];
    char *bytes = NULL;
    struct od_error err = {0};
    world_join(run, world, name);
    world_join(adapter, run, "adapter");
    world_join(path, adapter, "adapter_model.safetensors");
    assert_ok(od_file_read(path, 1 << 24, &bytes, ret_size, &err), &err);
    return bytes;
}

// A rate that is far too high: soon every evaluation is worse than the best.
static const char too_fast[] =
    "adapter: lora\nlora_r: 4\nlora_alpha: 8\n"
    "learning_rate: 0.3\nlr_scheduler: constant\nval_set_size: 10\n"
    "eval_steps: 1\nsave_steps: 1\nsave_total_limit: 1\n";

static void best_weights_and_early_end(void **state)
{
    (void)state;
    char text[RECIPE_BYTES];
    char folder[OD_PATH_MAX_BYTES];
    char path[OD_PATH_MAX_BYTES];
    char name[32];
    size_t size = 0;
    size_t want_size = 0;
    const char *world = world_make(world_lora, "");
    (void)snprintf(text, sizeof text,
                   "%smax_steps: 60\nearly_stopping_patience: 4\nload_best_model_at_end: true\n",
                   too_fast);
    const struct od_tune_result a = run_recipe(world, "early", text);
    assert_int_equal(a.end, OD_TUNE_END_EARLY);
    assert_true(a.steps < 60);
    assert_int_equal(a.steps, a.best_step + 4);  // evaluated after each step
    assert_int_equal(a.exported_step, a.best_step);
    assert_true(a.eval_loss > a.best_loss);
    // Only the newest and the best are kept.
    world_join(folder, world, "early/checkpoints");
    for (int64_t step = 1; step <= a.steps; step++) {
        (void)snprintf(name, sizeof name, "step-%lld", (long long)step);
        world_join(path, folder, name);
        assert_int_equal(od_path_exists(path), step == a.steps || step == a.best_step);
    }
    // Ending there gives the same bytes.
    (void)snprintf(text, sizeof text, "%smax_steps: %lld\n", too_fast, (long long)a.best_step);
    const struct od_tune_result b = run_recipe(world, "short", text);
    assert_true(a.weight_hash == b.weight_hash);
    char *got = exported(world, "early", &size);
    char *want = exported(world, "short", &want_size);
    assert_int_equal(size, want_size);
    assert_memory_equal(got, want, size);
    od_free(got);
    od_free(want);
}

// Resuming a run that ended early, or whose export was lost, ends it the same way.
static void ended_stays_ended(void **state)
{
    (void)state;
    char text[RECIPE_BYTES];
    char path[OD_PATH_MAX_BYTES];
    struct od_tune_result result;
    struct od_error err = {0};
    const char *world = world_make(world_lora, "");
    (void)snprintf(text, sizeof text,
                   "%smax_steps: 60\nearly_stopping_patience: 2\nload_best_model_at_end: true\n",
                   too_fast);
    const struct od_tune_result a = run_recipe(world, "run", text);
    world_join(path, world, "run/adapter");
    assert_ok(od_dir_remove(path, &err), &err);
    assert_ok(world_run(world, "run", true, 1, true, &result, &err), &err);
    assert_int_equal(result.end, OD_TUNE_END_EARLY);
    assert_int_equal(result.steps, a.steps);
    assert_true(result.weight_hash == a.weight_hash);
    assert_true(od_path_is_dir(path));
}

// The time of all processes together is kept, by clocks of our own, and the adapter is there. How long
// it is depends on how fast this machine is now.
static void ends_in_time(void **state)
{
    (void)state;
    static const char common[] =
        "adapter: lora\nlora_r: 4\nlora_alpha: 8\nlearning_rate: 0.001\n"
        "save_steps: 10\nval_set_size: 10\neval_steps: 7\n";
    char text[RECIPE_BYTES];
    char path[OD_PATH_MAX_BYTES];
    struct od_tune_result result;
    struct od_error err = {0};
    const char *world = world_make(world_lora, "");
    double start = od_clock_s();
    (void)snprintf(text, sizeof text, "%smax_steps: 100\n", common);
    (void)run_recipe(world, "pace", text);
    const double limit = 2.0 + 4.0 * (od_clock_s() - start);
    (void)snprintf(text, sizeof text, "%smax_steps: 1000000\nbudget: {time: %.2f}\n", common,
                   limit);
    world_recipe(world, text);
    double spent = 0.0;
    for (int kill = 0; kill < 2; kill++) {
        start = od_clock_s();
        world_run_and_kill(world, "run", kill > 0, 30 + 30 * kill);
        spent += od_clock_s() - start;
    }
    start = od_clock_s();
    assert_ok(world_run(world, "run", true, 1, true, &result, &err), &err);
    spent += od_clock_s() - start;
    assert_int_equal(result.end, OD_TUNE_END_TIME);
    assert_true(result.steps >= 20 && result.steps < result.total_steps);
    world_join(path, world, "run/adapter/adapter_model.safetensors");
    assert_true(od_path_exists(path));
    if (!(spent < limit) || !(spent > 0.3 * limit)) {
        fail_msg("%.2f s of %.2f s were used", spent, limit);
    }
    assert_true(result.elapsed_s < limit);
    // Its time is over: a further start does no step and leaves the same.
    struct od_tune_result again;
    assert_ok(world_run(world, "run", true, 1, true, &again, &err), &err);
    assert_int_equal(again.end, OD_TUNE_END_TIME);
    assert_int_equal(again.steps, result.steps);
    assert_true(again.weight_hash == result.weight_hash);
}

// A run that ended in time has the bits of one of so many steps (the schedule does not know).
static void time_changes_no_bits(void **state)
{
    (void)state;
    const char *world = world_make(world_lora, "");
    static const char common[] =
        "adapter: lora\nlora_r: 4\nlora_alpha: 8\nlearning_rate: 0.001\n"
        "lr_scheduler: constant\nsave_steps: 10\n";
    char text[RECIPE_BYTES];
    (void)snprintf(text, sizeof text, "%smax_steps: 1000000\nbudget: {time: 1.5s}\n", common);
    const struct od_tune_result a = run_recipe(world, "timed", text);
    (void)snprintf(text, sizeof text, "%smax_steps: %lld\n", common, (long long)a.steps);
    const struct od_tune_result b = run_recipe(world, "counted", text);
    assert_int_equal(a.end, OD_TUNE_END_TIME);
    assert_int_equal(b.end, OD_TUNE_END_STEPS);
    assert_true(a.weight_hash == b.weight_hash);
}

static void open_session(const char *world, const char *recipe_text, struct od_recipe *recipe,
                         struct od_session *session)
{
    struct od_error err = {0};
    char path[OD_PATH_MAX_BYTES];
    const struct od_session_options options = {.threads = 2, .allow_vector = true};
    world_recipe(world, recipe_text);
    world_join(path, world, "recipe.yaml");
    assert_ok(od_recipe_read(path, recipe, &err), &err);
    assert_ok(od_session_open(recipe, &options, session, &err), &err);
}

// Noise on embeddings moves the training and nothing that is evaluated, and is drawn anew after a kill.
static void noise_in_training_only(void **state)
{
    (void)state;
    char text[RECIPE_BYTES];
    const char *world = world_make(world_lora, "");
    double loss[2];
    double trained[2];
    for (int i = 0; i < 2; i++) {
        struct od_error err = {0};
        struct od_recipe recipe;
        struct od_session session;
        struct od_eval_report evaluation;
        struct od_step_report report;
        open_session(
            world,
            with(text, i == 0 ? "val_set_size: 7\n" : "val_set_size: 7\nneftune_noise_alpha: 5\n"),
            &recipe, &session);
        assert_ok(od_session_evaluate(&session, &evaluation, &err), &err);
        assert_ok(od_session_step(&session, &report, &err), &err);
        loss[i] = evaluation.loss;
        trained[i] = report.loss;
        od_session_close(&session);
        od_recipe_release(&recipe);
    }
    assert_memory_equal(&loss[0], &loss[1], sizeof loss[0]);
    assert_true(fabs(trained[0] - trained[1]) > 1e-6);
    const struct od_tune_result want =
        run_recipe(world, "whole", with(text, "neftune_noise_alpha: 5\n"));
    const struct od_tune_result without = run_recipe(world, "without", with(text, ""));
    assert_true(want.weight_hash != without.weight_hash);
    struct od_tune_result result;
    struct od_error err = {0};
    world_recipe(world, with(text, "neftune_noise_alpha: 5\n"));
    world_run_and_kill(world, "killed", false, 5);
    assert_ok(world_run(world, "killed", true, 2, true, &result, &err), &err);
    assert_true(result.weight_hash == want.weight_hash);
}

static void refused(const char *world, const char *recipe, const char *words)
{
    struct od_tune_result result;
    struct od_error err = {0};
    world_recipe(world, recipe);
    const enum od_status status = world_run(world, "none", false, 1, true, &result, &err);
    if (status == OD_OK || !strstr(err.message, words)) {
        fail_msg("status %d, '%s'; expected '%s'", (int)status, err.message, words);
    }
}

// Training begins with the weights of the adapter that is named; one of another kind is refused.
static void goes_on_from_an_adapter(void **state)
{
    (void)state;
    char text[RECIPE_BYTES];
    struct od_recipe recipe;
    struct od_session session;
    const char *world = world_make(world_lora, "");
    const struct od_tune_result first = run_recipe(world, "first", basic);
    const char *more = "lora_model_dir: first/adapter\n";
    open_session(world, with(text, more), &recipe, &session);
    assert_true(od_session_weight_hash(&session) == first.weight_hash);
    od_session_close(&session);
    od_recipe_release(&recipe);
    const struct od_tune_result second = run_recipe(world, "second", with(text, more));
    assert_true(second.first_loss < first.first_loss);
    assert_true(second.weight_hash != first.weight_hash);
    char path[OD_PATH_MAX_BYTES];
    json_t *lock = NULL;
    struct od_error err = {0};
    world_join(path, world, "second/lock.json");
    assert_ok(od_json_read(path, &lock, &err), &err);
    assert_non_null(json_object_get(json_object_get(lock, "adapter"), "adapter_model.safetensors"));
    json_decref(lock);
    refused(world, with(text, "lora_model_dir: nowhere\n"), "nowhere");
    refused(world, "adapter: lora\nlora_r: 8\nlora_alpha: 8\nlora_model_dir: first/adapter\n",
            "it would need 'lora_r: 4'");
    refused(world, "adapter: lora\nlora_r: 4\nlora_alpha: 4\nlora_model_dir: first/adapter\n",
            "it would need 'lora_alpha: 8.0'");
    refused(world, with(text, "lora_target_modules: [q_proj]\nlora_model_dir: first/adapter\n"),
            "it would need 'lora_target_modules: [q_proj, k_proj, v_proj, o_proj, gate_proj, "
            "up_proj, down_proj]'");
}

// Adapters on one layer: the export says so, training goes on from it, and only with the same layers.
static void some_layers(void **state)
{
    (void)state;
    char text[RECIPE_BYTES];
    char path[OD_PATH_MAX_BYTES];
    struct od_recipe recipe;
    struct od_session session;
    json_t *config = NULL;
    struct od_error err = {0};
    const char *world = world_make(world_lora, "");
    const struct od_tune_result all = run_recipe(world, "all", basic);
    const struct od_tune_result first =
        run_recipe(world, "first", with(text, "peft_layers_to_transform: [1]\n"));
    assert_true(first.last_loss < first.first_loss);
    assert_true(first.weight_hash != all.weight_hash);
    world_join(path, world, "first/adapter/adapter_config.json");
    assert_ok(od_json_read(path, &config, &err), &err);
    const json_t *layers = json_object_get(config, "layers_to_transform");
    assert_int_equal(json_array_size(layers), 1);
    assert_int_equal(json_integer_value(json_array_get(layers, 0)), 1);
    json_decref(config);
    open_session(world, with(text, "peft_layers_to_transform: 1\nlora_model_dir: first/adapter\n"),
                 &recipe, &session);
    assert_true(od_session_weight_hash(&session) == first.weight_hash);
    od_session_close(&session);
    od_recipe_release(&recipe);
    refused(world, with(text, "lora_model_dir: first/adapter\n"), "it has none on layer 0");
    refused(world, with(text, "peft_layers_to_transform: [1]\nlora_model_dir: all/adapter\n"),
            "it has matrices on layer 0");
    refused(world, with(text, "peft_layers_to_transform: [0, 2]\n"), "no layer 2, its last is 1");
    refused(world, with(text, "peft_layers_to_transform: [0, 0]\n"), "has 0 twice");
    refused(world, with(text, "peft_layers_to_transform: [-1]\n"), "a layer is 0 to 1023");
}

// The world's model anew, with a head that is not its embedding.
static void untie(const char *world)
{
    struct od_error err = {0};
    char config[OD_PATH_MAX_BYTES];
    char model[OD_PATH_MAX_BYTES];
    char text[sizeof world_config_text + 1];
    const char *tied = strstr(world_config_text, "true");
    assert_non_null(tied);
    (void)snprintf(text, sizeof text, "%.*sfalse%s", (int)(tied - world_config_text),
                   world_config_text, tied + strlen("true"));
    world_put(world, "config.json", text);
    world_join(config, world, "config.json");
    world_join(model, world, "model");
    assert_ok(od_dir_remove(model, &err), &err);
    assert_ok(od_model_init(config, NULL, 5, 2, model, &err), &err);
}

// What serves an adapter puts in place of a base weight that was trained in full.
static void merge_has(const struct od_session *s, const char *world, const char *run)
{
    struct od_error err = {0};
    struct od_program program;
    struct od_plan plan;
    struct od_arrays arrays;
    char base[OD_PATH_MAX_BYTES];
    char folder[OD_PATH_MAX_BYTES];
    char adapter[OD_PATH_MAX_BYTES];
    int compared = 0;
    const struct od_program_options options = {.mode = OD_PROGRAM_INFER,
                                               .tokens = 1,
                                               .threads = 1,
                                               .cache_slots = 1,
                                               .cache_length = 1,
                                               .logit_rows = 1};
    world_join(base, world, "model");
    world_join(folder, world, run);
    world_join(adapter, folder, "adapter");
    assert_ok(od_program_build(&s->spec, &options, &program, &err), &err);
    assert_ok(od_plan_make(&program, &plan, &err), &err);
    assert_ok(od_arrays_make(&plan, &arrays, &err), &err);
    assert_ok(od_weights_read(&program, arrays.tensor, base, &err), &err);
    assert_ok(od_adapter_merge(s->cpu.pool, &program, arrays.tensor, adapter, &err), &err);
    for (int32_t i = 0; i < s->program.adapter_count; i++) {
        const struct od_part *part = &s->program.adapters[i];
        for (int32_t j = 0; j < program.weight_count; j++) {
            const struct od_part *to = &program.weights[j];
            if (strcmp(part->name + strlen("base_model.model."), to->name) == 0) {
                assert_memory_equal(s->arrays.tensor[part->tensor], arrays.tensor[to->tensor],
                                    (size_t)(part->rows * part->cols) * sizeof(float));
                compared++;
            }
        }
    }
    assert_int_equal(compared, 2);
    od_arrays_release(&arrays);
    od_plan_release(&plan);
    od_program_release(&program);
}

// Embedding and head in full beside the adapter: they learn, a killed run ends with the same bits, the
// export has them, training goes on from it and what serves it has them.
static void saved_modules(void **state)
{
    (void)state;
    static const char modules[] = "lora_modules_to_save: [embed_tokens, lm_head]\n";
    char text[RECIPE_BYTES];
    char more[RECIPE_BYTES];
    char path[OD_PATH_MAX_BYTES];
    struct od_recipe recipe;
    struct od_session session;
    struct od_tune_result again;
    json_t *config = NULL;
    struct od_error err = {0};
    const char *world = world_make(world_lora, "");
    const struct od_tune_result shared = run_recipe(world, "shared", basic);
    const struct od_tune_result tied = run_recipe(world, "tied", with(text, modules));
    assert_true(fabs(tied.first_loss - shared.first_loss) < 1e-12);  // the head starts as the table
    assert_true(tied.last_loss < shared.last_loss);
    untie(world);
    const struct od_tune_result plain = run_recipe(world, "plain", basic);
    const struct od_tune_result both = run_recipe(world, "both", with(text, modules));
    const struct od_tune_result head =
        run_recipe(world, "head", with(text, "modules_to_save: [lm_head]\n"));
    assert_true(fabs(both.first_loss - plain.first_loss) < 1e-12);
    assert_true(both.last_loss < plain.last_loss && head.last_loss < plain.last_loss);
    assert_true(both.weight_hash != head.weight_hash);
    world_recipe(world, with(text, modules));
    world_run_and_kill(world, "killed", false, 5);
    assert_ok(world_run(world, "killed", true, 2, true, &again, &err), &err);
    assert_true(again.weight_hash == both.weight_hash);

    world_join(path, world, "both/adapter/adapter_config.json");
    assert_ok(od_json_read(path, &config, &err), &err);
    assert_int_equal(json_array_size(json_object_get(config, "modules_to_save")), 2);
    json_decref(config);
    (void)snprintf(more, sizeof more, "%slora_model_dir: both/adapter\n", modules);
    open_session(world, with(text, more), &recipe, &session);
    assert_true(od_session_weight_hash(&session) == both.weight_hash);
    merge_has(&session, world, "both");
    od_session_close(&session);
    od_recipe_release(&recipe);
    refused(world, with(text, "lora_model_dir: both/adapter\n"), "it has embedding and head of");
    (void)snprintf(more, sizeof more, "%slora_model_dir: head/adapter\n", modules);
    refused(world, with(text, more), "it has a head of its own");
    refused(world, with(text, "lora_modules_to_save: [lm_heads]\n"), "did you mean 'lm_head'?");
}

// One step without masters is the step with them, rounded by the chance of (seed, step, element), the
// element counted over all trained tensors.
static void a_step_is_rounded(void **state)
{
    (void)state;
    enum { STEP = 5 };
    static const char *const kinds[] = {"", "weights: bf16-stochastic\n"};
    char text[RECIPE_BYTES];
    struct od_recipe recipe[2];
    struct od_session session[2];
    struct od_error err = {0};
    struct od_step_report report;
    const char *world = world_make(world_full, "");
    for (int i = 0; i < 2; i++) {
        (void)snprintf(text, sizeof text, "max_steps: 12\nlearning_rate: 0.003\n%s", kinds[i]);
        open_session(world, text, &recipe[i], &session[i]);
        session[i].place.step = STEP;
    }
    const struct od_program *program = &session[0].program;
    uint64_t element = 0;
    for (int32_t p = 0; p < program->param_count; p++) {
        const int32_t number = program->params[p].tensor;
        const struct od_tensor *t = &program->tensors[number];
        assert_memory_equal(session[0].arrays.tensor[number], session[1].arrays.tensor[number],
                            (size_t)(t->rows * t->cols) * sizeof(float));
    }
    for (int i = 0; i < 2; i++) {
        assert_ok(od_session_step(&session[i], &report, &err), &err);
    }
    for (int32_t p = 0; p < program->param_count; p++) {
        const int32_t number = program->params[p].tensor;
        const struct od_tensor *t = &program->tensors[number];
        for (int64_t j = 0; j < t->rows * t->cols; j++, element++) {
            const float exact = session[0].arrays.tensor[number][j];
            const float got = session[1].arrays.tensor[number][j];
            const struct od_philox draw =
                od_philox_draw(recipe[1].seed, OD_STREAM_ROUNDING, STEP, element / 8);
            const uint32_t word = draw.word[element % 8 / 2];
            const float want =
                t->vectors
                    ? exact
                    : od_round_by_chance(exact, element % 2 == 0 ? word & 0xFFFFu : word >> 16);
            if (memcmp(&got, &want, sizeof got) != 0) {
                fail_msg("'%s', element %lld: %g, not %g", t->name, (long long)j, (double)got,
                         (double)want);
            }
        }
    }
    for (int i = 0; i < 2; i++) {
        od_session_close(&session[i]);
        od_recipe_release(&recipe[i]);
    }
}

// Full tuning without fp32 masters: matrices are bf16 values, near what fp32 learns, and a killed run ends
// with the same bits.
static void weights_without_masters(void **state)
{
    (void)state;
    static const char kind[] = "weights: bf16-stochastic\n";
    static const char full[] = "max_steps: 12\nlearning_rate: 0.003\nsave_steps: 2\n";
    char text[RECIPE_BYTES];
    struct od_recipe recipe;
    struct od_session session;
    struct od_tune_result again;
    struct od_error err = {0};
    struct od_step_report report;
    const char *world = world_make(world_full, "");
    const struct od_tune_result plain = run_recipe(world, "plain", full);
    (void)snprintf(text, sizeof text, "%s%s", full, kind);
    const struct od_tune_result rounded = run_recipe(world, "rounded", text);
    assert_true(rounded.weight_hash != plain.weight_hash);
    assert_true(fabs(rounded.last_loss - plain.last_loss) <
                0.1 * (plain.first_loss - plain.last_loss));
    world_recipe(world, text);
    world_run_and_kill(world, "killed", false, 5);
    assert_ok(world_run(world, "killed", true, 2, true, &again, &err), &err);
    assert_true(again.weight_hash == rounded.weight_hash);

    open_session(world, text, &recipe, &session);
    for (int round = 0; round < 2; round++) {  // at the start and after a step
        int rounded_count = 0;
        for (int32_t i = 0; i < session.program.param_count; i++) {
            const struct od_param *param = &session.program.params[i];
            const struct od_tensor *t = &session.program.tensors[param->tensor];
            const float *w = session.arrays.tensor[param->tensor];
            int64_t others = 0;
            for (int64_t j = 0; j < t->rows * t->cols; j++) {
                uint32_t bits;
                memcpy(&bits, &w[j], sizeof bits);
                others += (bits & 0xFFFFu) != 0;
            }
            assert_int_equal(param->rounded, !t->vectors);
            rounded_count += param->rounded;
            assert_true(param->rounded ? others == 0 : round == 0 || others > 0);
        }
        assert_int_equal(rounded_count, 1 + 2 * 4);
        assert_ok(od_session_step(&session, &report, &err), &err);
    }
    od_session_close(&session);
    od_recipe_release(&recipe);
    refused(world, with(text, kind), "is for full tuning");
}

// The frozen weights in 8 bits: other numbers, and training that learns. In 4 bits their widths must be
// whole blocks.
static void quantised(void **state)
{
    (void)state;
    char text[RECIPE_BYTES];
    const char *world = world_make(world_lora, "");
    const struct od_tune_result plain = run_recipe(world, "plain", basic);
    const struct od_tune_result eight =
        run_recipe(world, "eight", with(text, "load_in_8bit: true\n"));
    const double apart = fabs(plain.first_loss - eight.first_loss);
    assert_true(eight.last_loss < eight.first_loss);
    assert_true(apart > 1e-9 && apart < 0.05);
    refused(world, with(text, "load_in_4bit: true\n"), "4-bit weights need");
    const struct od_tune_result floats = run_recipe(world, "floats", with(text, "fp8: true\n"));
    const double floats_apart = fabs(plain.first_loss - floats.first_loss);
    assert_true(floats.last_loss < floats.first_loss);
    assert_true(floats_apart > 1e-9 && floats_apart < 0.05);
}

// What the engine cannot do yet is refused at the start by the name of its key.
static void not_built(void **state)
{
    (void)state;
    char text[RECIPE_BYTES];
    const char *world = world_make(world_lora, "");
    refused(world, with(text, "special_tokens: {eos_token: x}\n"), "'special_tokens: eos_token'");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_training),
        cmocka_unit_test(loss_is_the_mean),
        cmocka_unit_test(killed_around_evaluations),
        cmocka_unit_test(best_weights_and_early_end),
        cmocka_unit_test(ended_stays_ended),
        cmocka_unit_test(ends_in_time),
        cmocka_unit_test(time_changes_no_bits),
        cmocka_unit_test(noise_in_training_only),
        cmocka_unit_test(goes_on_from_an_adapter),
        cmocka_unit_test(some_layers),
        cmocka_unit_test(saved_modules),
        cmocka_unit_test(a_step_is_rounded),
        cmocka_unit_test(weights_without_masters),
        cmocka_unit_test(quantised),
        cmocka_unit_test(not_built),
    };
    return cmocka_run_group_tests_name("tune/run_eval", tests, NULL, NULL);
}
