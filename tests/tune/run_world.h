/**
 * @file
 * A tiny byte-level Llama, data and a recipe in a folder, and runs of them.
 * @thread One owner.
 */
#ifndef OD_TESTS_TUNE_RUN_WORLD_H
#define OD_TESTS_TUNE_RUN_WORLD_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/status.h"
#include "flow/model_files.h"
#include "support.h"
#include "tune/run.h"

static const char world_config_text[] =
    "{\"model_type\":\"llama\",\"vocab_size\":259,\"hidden_size\":32,\"intermediate_size\":48,"
    "\"num_hidden_layers\":2,\"num_attention_heads\":4,\"num_key_value_heads\":2,"
    "\"max_position_embeddings\":128,\"rms_norm_eps\":1e-5,\"tie_word_embeddings\":true,"
    "\"bos_token_id\":256,\"eos_token_id\":257}";

// Heads of 64, as the GPU's attention wants them.
static const char world_gpu_config_text[] =
    "{\"model_type\":\"llama\",\"vocab_size\":512,\"hidden_size\":128,\"intermediate_size\":192,"
    "\"num_hidden_layers\":2,\"num_attention_heads\":2,\"num_key_value_heads\":1,"
    "\"max_position_embeddings\":128,\"rms_norm_eps\":1e-5,\"tie_word_embeddings\":true,"
    "\"bos_token_id\":256,\"eos_token_id\":257}";

static inline void world_put(const char *folder, const char *name, const char *text)
{
    char path[OD_PATH_MAX_BYTES];
    struct od_error err = {0};
    assert_ok(od_path_join(path, folder, name, &err), &err);
    assert_ok(od_file_write(path, text, strlen(text), &err), &err);
}

static inline void world_join(char out[OD_PATH_MAX_BYTES], const char *folder, const char *name)
{
    assert_int_equal(od_path_join(out, folder, name, NULL), OD_OK);
}

// Write the recipe: what all runs have in common, and `more`.
static inline void world_recipe(const char *folder, const char *more)
{
    struct od_buf recipe;
    od_buf_init(&recipe, 1 << 16);
    od_buf_printf(&recipe,
                  "base_model: model\n"
                  "datasets:\n  - path: data.jsonl\n    type: input-output\n"
                  "sequence_len: 64\nmicro_batch_size: 2\ngradient_accumulation_steps: 2\n"
                  "weight_decay: 0.01\n%s",
                  more);
    world_put(folder, "recipe.yaml", od_buf_text(&recipe));
    od_buf_release(&recipe);
}

// A folder with model/, data.jsonl and a recipe; `more` is appended to it.
static inline const char *world_make_of(const char *config_text, const char *method,
                                        const char *more)
{
    const char *folder = test_folder();
    char path[OD_PATH_MAX_BYTES];
    char config[OD_PATH_MAX_BYTES];
    struct od_buf data;
    struct od_buf recipe;
    struct od_error err = {0};
    world_put(folder, "config.json", config_text);
    world_join(config, folder, "config.json");
    world_join(path, folder, "model");
    assert_ok(od_model_init(config, NULL, 5, 2, path, &err), &err);
    od_buf_init(&data, 1 << 20);
    for (int i = 0; i < 60; i++) {
        od_buf_printf(&data, "{\"input\": \"%d plus %d is\", \"output\": \" %d\"}\n", i, i % 7,
                      i + i % 7);
    }
    world_put(folder, "data.jsonl", od_buf_text(&data));
    od_buf_release(&data);
    od_buf_init(&recipe, 1 << 16);
    od_buf_printf(&recipe, "%smax_steps: 12\nlearning_rate: 0.003\nsave_steps: 2\n%s", method,
                  more);
    world_recipe(folder, od_buf_text(&recipe));
    od_buf_release(&recipe);
    return folder;
}

static inline const char *world_make(const char *method, const char *more)
{
    return world_make_of(world_config_text, method, more);
}

static const char world_full[] = "";
static const char world_lora[] = "adapter: lora\nlora_r: 4\nlora_alpha: 8\n";

static inline enum od_status world_run(const char *world, const char *name, bool resume,
                                       int threads, bool allow_vector, struct od_tune_result *ret,
                                       struct od_error *err)
{
    char recipe[OD_PATH_MAX_BYTES];
    char dir[OD_PATH_MAX_BYTES];
    world_join(recipe, world, "recipe.yaml");
    world_join(dir, world, name);
    const struct od_tune_options options = {.recipe_path = recipe,
                                            .run_dir = dir,
                                            .resume = resume,
                                            .threads = threads,
                                            .allow_vector = allow_vector};
    return od_tune_run(&options, ret, err);
}

// log.jsonl without the timings, which differ from run to run.
static inline char *world_log_of(const char *world, const char *name)
{
    char dir[OD_PATH_MAX_BYTES];
    char path[OD_PATH_MAX_BYTES];
    char *text = NULL;
    size_t size = 0;
    struct od_error err = {0};
    world_join(dir, world, name);
    world_join(path, dir, "log.jsonl");
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

// Start the run in a child and kill it when its log has `lines` lines.
static inline void world_run_and_kill(const char *world, const char *name, bool resume, int lines)
{
    char dir[OD_PATH_MAX_BYTES];
    char log[OD_PATH_MAX_BYTES];
    world_join(dir, world, name);
    world_join(log, dir, "log.jsonl");
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct od_tune_result result;
        const enum od_status status = world_run(world, name, resume, 1, true, &result, NULL);
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

#endif
