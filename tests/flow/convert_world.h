/**
 * @file
 * Models and adapters that are converted, and the check that a conversion reports.
 * @thread One owner.
 */
#ifndef OD_TESTS_FLOW_CONVERT_WORLD_H
#define OD_TESTS_FLOW_CONVERT_WORLD_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/random.h"
#include "base/status.h"
#include "flow/convert.h"
#include "flow/convert_check.h"
#include "flow/model_files.h"
#include "formats/dtype.h"
#include "formats/json.h"
#include "formats/safetensors.h"
#include "support.h"

enum {
    REPORT_MAX_BYTES = 1 << 20,
    IDS_MAX = 1 << 16,
    FILE_MAX_BYTES = 1 << 24,
    FAULTS_MAX = 400,
    RANK = 3
};

#define STORIES "models/stories260K/hf"
#define RECORD  "tests/golden/oracle/llama_cpp/"
#define FAMILY  "tests/golden/oracle/tiny_families/"

static inline void put(const char *folder, const char *name, const char *text)
{
    char path[OD_PATH_MAX_BYTES];
    struct od_error err = {0};
    assert_ok(od_path_join(path, folder, name, &err), &err);
    assert_ok(od_file_write(path, text, strlen(text), &err), &err);
}

static inline void new_path(char out[OD_PATH_MAX_BYTES], const char *name)
{
    struct od_error err = {0};
    assert_ok(od_path_join(out, test_folder(), name, &err), &err);
}

// A model with random weights: two heads of keys for four of queries, a head of its own.
static inline void make_model(char model[OD_PATH_MAX_BYTES])
{
    static const char config[] =
        "{\"model_type\":\"llama\",\"vocab_size\":259,\"hidden_size\":32,\"intermediate_size\":44,"
        "\"num_hidden_layers\":2,\"num_attention_heads\":4,\"num_key_value_heads\":2,"
        "\"head_dim\":12,\"max_position_embeddings\":64,\"tie_word_embeddings\":false,"
        "\"rope_theta\":5000.0,\"rms_norm_eps\":2e-5,\"initializer_range\":0.3}";
    char path[OD_PATH_MAX_BYTES];
    struct od_error err = {0};
    const char *folder = test_folder();
    put(folder, "config.json", config);
    assert_ok(od_path_join(path, folder, "config.json", &err), &err);
    assert_ok(od_path_join(model, folder, "model", &err), &err);
    assert_ok(od_model_init(path, NULL, 7, 1, model, &err), &err);
    put(model, "chat_template.jinja", "{{ messages }}\n");
}

// An adapter for that model, on query, value and down projections.
static inline void make_adapter(char folder[OD_PATH_MAX_BYTES], const char *base)
{
    static const struct {
        const char *module;
        int64_t rows;
        int64_t cols;
    } modules[] = {
        {"self_attn.q_proj", 48, 32}, {"self_attn.v_proj", 24, 32}, {"mlp.down_proj", 32, 44}};
    enum { TENSORS = 2 * 2 * 3 };
    static char names[TENSORS][128];
    struct od_tensor_out tensors[TENSORS];
    float *values = od_alloc(TENSORS, 4096 * sizeof *values);
    struct od_mt19937 random;
    struct od_error err = {0};
    char path[OD_PATH_MAX_BYTES];
    char config[OD_PATH_MAX_BYTES + 256];
    size_t count = 0;
    assert_non_null(values);
    od_mt_seed_python_int(&random, 11);
    for (int i = 0; i < TENSORS * 4096; i++) {
        values[i] = (float)od_py_random(&random) - 0.5F;
    }
    for (int layer = 0; layer < 2; layer++) {
        for (int i = 0; i < 3; i++) {
            for (int side = 0; side < 2; side++) {
                (void)snprintf(names[count], sizeof names[count],
                               "base_model.model.model.layers.%d.%s.lora_%c.weight", layer,
                               modules[i].module, side == 0 ? 'A' : 'B');
                tensors[count] =
                    (struct od_tensor_out){.name = names[count],
                                           .dtype = OD_DTYPE_F32,
                                           .rank = 2,
                                           .shape = {side == 0 ? RANK : modules[i].rows,
                                                     side == 0 ? modules[i].cols : RANK},
                                           .data = values + 4096 * count};
                count++;
            }
        }
    }
    (void)snprintf(folder, OD_PATH_MAX_BYTES, "%s", test_folder());
    (void)snprintf(config, sizeof config,
                   "{\"peft_type\": \"LORA\", \"r\": %d, \"lora_alpha\": 5, \"use_rslora\": true, "
                   "\"base_model_name_or_path\": \"%s\", \"target_modules\": [\"q_proj\", "
                   "\"v_proj\", \"down_proj\"]}",
                   RANK, base);
    put(folder, "adapter_config.json", config);
    assert_ok(od_path_join(path, folder, "adapter_model.safetensors", &err), &err);
    const struct od_safetensors_plan plan = {.path = path, .tensors = tensors, .count = count};
    assert_ok(od_safetensors_write(&plan, &err), &err);
    od_free(values);
}

// Convert, and read the report's check.
static inline struct od_convert_check convert(const char *path,
                                              const struct od_convert_options *options, bool merge)
{
    struct od_error err = {0};
    struct od_buf out;
    json_t *report = NULL;
    struct od_convert_options full = *options;
    full.json = true;
    full.threads = 1;
    od_buf_init(&out, REPORT_MAX_BYTES);
    assert_ok(merge ? od_convert_merge(path, &full, &out, &err)
                    : od_convert_gguf(path, &full, &out, &err),
              &err);
    assert_ok(od_json_parse(od_buf_text(&out), out.size, "report", &report, &err), &err);
    const json_t *check = json_object_get(report, "check");
    const struct od_convert_check result = {
        .prompts = (int)json_integer_value(json_object_get(check, "prompts")),
        .positions = json_integer_value(json_object_get(check, "positions")),
        .difference_max = json_number_value(json_object_get(check, "difference_max")),
        .logit_max = json_number_value(json_object_get(check, "logit_max")),
        .same_best = json_integer_value(json_object_get(check, "same_best"))};
    json_decref(report);
    od_buf_release(&out);
    return result;
}

static inline void copy_file(const char *from, const char *folder, const char *name)
{
    char path[OD_PATH_MAX_BYTES];
    char *bytes = NULL;
    size_t size = 0;
    struct od_error err = {0};
    assert_ok(od_file_read(test_source(from), FILE_MAX_BYTES, &bytes, &size, &err), &err);
    assert_ok(od_path_join(path, folder, name, &err), &err);
    assert_ok(od_file_write(path, bytes, size, &err), &err);
    od_free(bytes);
}

#endif
