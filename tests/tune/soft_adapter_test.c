// Goal: on a GPU training goes on from adapters on embedding and head as on the CPU: what PEFT saves below
// them must be the base's, and the matrices come to where products read them.
// Method: sessions on a card that is this processor (soft_card.h), with the tables there and with the
// embedding in the host's memory; an adapter file with both tables below, and with another head.

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/status.h"
#include "data/dataset.h"
#include "flow/model_files.h"
#include "formats/dtype.h"
#include "infer/soft_card.h"
#include "model/program.h"
#include "model/weights.h"
#include "ops/gpu.h"
#include "plan/soft_kernels.h"
#include "support.h"
#include "tune/recipe.h"
#include "tune/session.h"

enum { RANK = 4, VOCAB = 263, CHANNELS = 128, LENGTH = 16 };

static const char config[] =
    "{\"architectures\": [\"LlamaForCausalLM\"], \"model_type\": \"llama\", \"vocab_size\": 263,\n"
    "\"hidden_size\": 128, \"intermediate_size\": 192, \"num_hidden_layers\": 2,\n"
    "\"num_attention_heads\": 2, \"num_key_value_heads\": 2, \"max_position_embeddings\": 64,\n"
    "\"rms_norm_eps\": 1e-05, \"rope_theta\": 10000.0, \"initializer_range\": 0.05,\n"
    "\"hidden_act\": \"silu\", \"tie_word_embeddings\": false, \"torch_dtype\": \"bfloat16\"}\n";

static struct od_dataset make_data(void)
{
    struct od_dataset data = {.count = 1, .label_count = LENGTH};
    data.ids = od_alloc(LENGTH, sizeof *data.ids);
    data.label = od_alloc(LENGTH, sizeof *data.label);
    data.offset = od_alloc(2, sizeof *data.offset);
    assert_true(data.ids && data.label && data.offset);
    for (int i = 0; i < LENGTH; i++) {
        data.ids[i] = i;
        data.label[i] = true;
    }
    data.offset[0] = 0;
    data.offset[1] = LENGTH;
    return data;
}

static enum od_status open_session(const char *model, const char *adapter, bool on_gpu, bool least,
                                   struct od_session *ret, struct od_error *err)
{
    static struct od_recipe recipe;  // the session's until it is closed
    static struct od_dataset data;
    recipe = (struct od_recipe){.base_model = model,
                                .lora_model_dir = adapter,
                                .method = OD_METHOD_LORA,
                                .lora_r = RANK,
                                .lora_alpha = 8.0,
                                .lora_targets = {"q_proj", "lm_head", "embed_tokens"},
                                .lora_target_count = 3,
                                .sequence_len = LENGTH,
                                .micro_batch_size = 2,
                                .gradient_accumulation_steps = 1,
                                .max_steps = 1,
                                .learning_rate = 1e-3,
                                .lr_scheduler = OD_SCHEDULE_LINEAR,
                                .adam_beta1 = 0.9,
                                .adam_beta2 = 0.999,
                                .adam_epsilon = 1e-8,
                                .seed = 7};
    data = make_data();
    const struct od_session_options options = {.on_gpu = on_gpu,
                                               .keep_least = least,
                                               .no_library = true,
                                               .threads = 1,
                                               .allow_vector = true,
                                               .dataset = &data};
    return od_session_open(&recipe, &options, ret, err);
}

// The session's adapter as PEFT would save it; the head below it times `factor`.
static void write_adapter(const struct od_session *s, const char *folder, float factor)
{
    struct od_error err = {0};
    char path[OD_PATH_MAX_BYTES];
    const struct od_program *p = &s->program;
    const int32_t count = p->adapter_count;
    const struct od_adapter_config written = {
        .r = RANK, .alpha = 8.0, .targets = p->options.lora_targets, .base_model = "elsewhere"};
    struct od_part *parts = od_alloc((size_t)count + 2, sizeof *parts);
    float *head = od_alloc((size_t)VOCAB * CHANNELS, sizeof *head);
    float **tensors = od_alloc((size_t)p->tensor_count + 1, sizeof *tensors);
    int32_t total = count;
    assert_true(parts && head && tensors);
    memcpy(tensors, s->arrays.tensor, (size_t)p->tensor_count * sizeof *tensors);
    memcpy(parts, p->adapters, (size_t)count * sizeof *parts);
    for (int32_t i = 0; i < p->weight_count; i++) {
        const bool is_head = strcmp(p->weights[i].name, "lm_head.weight") == 0;
        if (!is_head && strcmp(p->weights[i].name, "model.embed_tokens.weight") != 0) {
            continue;
        }
        for (int64_t j = 0; is_head && j < (int64_t)VOCAB * CHANNELS; j++) {
            head[j] = factor * tensors[p->weights[i].tensor][j];
        }
        parts[total] = p->weights[i];
        parts[total].tensor = is_head ? p->tensor_count : p->weights[i].tensor;
        (void)snprintf(parts[total++].name, sizeof parts->name, "base_model.model.%s.%s",
                       is_head ? "lm_head" : "model.embed_tokens", "base_layer.weight");
    }
    tensors[p->tensor_count] = head;
    assert_int_equal(total, count + 2);
    assert_ok(od_path_join(path, folder, "adapter_model.safetensors", &err), &err);
    assert_ok(od_parts_write(parts, total, tensors, path, OD_DTYPE_F32, &err), &err);
    assert_ok(od_adapter_config_write(&written, folder, &err), &err);
    od_free(tensors);
    od_free(head);
    od_free(parts);
}

static void adapters_on_tables_go_on(void **state)
{
    struct od_error err = {0};
    struct od_session cpu;
    struct od_session gpu;
    char path[OD_PATH_MAX_BYTES];
    char model[OD_PATH_MAX_BYTES];
    char adapter[OD_PATH_MAX_BYTES];
    (void)state;
    assert_ok(od_path_join(path, test_folder(), "config.json", &err), &err);
    assert_ok(od_file_write(path, config, strlen(config), &err), &err);
    assert_ok(od_path_join(model, test_folder(), "model", &err), &err);
    assert_ok(od_path_join(adapter, test_folder(), "adapter", &err), &err);
    assert_ok(od_dir_make(adapter, &err), &err);
    assert_ok(od_model_init(path, NULL, 5, 1, model, &err), &err);
    for (int least = 0; least < 2; least++) {
        assert_ok(open_session(model, NULL, false, false, &cpu, &err), &err);
        for (int32_t i = 0; i < cpu.program.param_count; i++) {  // values of no fresh adapter
            cpu.arrays.tensor[cpu.program.params[i].tensor][0] = 3.0F;
        }
        write_adapter(&cpu, adapter, 1.0F);
        assert_ok(open_session(model, adapter, true, least == 1, &gpu, &err), &err);
        assert_int_equal(gpu.program.options.embedding_on_host, least == 1);
        assert_int_equal(gpu.program.param_count, cpu.program.param_count);
        for (int32_t i = 0; i < cpu.program.param_count; i++) {
            const int32_t here = gpu.program.params[i].tensor;
            const struct od_tensor *t = &gpu.program.tensors[here];
            const size_t bytes = (size_t)(t->rows * t->cols) * sizeof(float);
            float *got = od_alloc(bytes, 1);
            assert_non_null(got);
            assert_ok(od_gpu_read(gpu.gpu, here, got, &err), &err);
            assert_memory_equal(got, cpu.arrays.tensor[cpu.program.params[i].tensor], bytes);
            od_free(got);
        }
        od_session_close(&gpu);
        write_adapter(&cpu, adapter, 1.25F);
        od_session_close(&cpu);
        assert_int_equal(open_session(model, adapter, true, least == 1, &gpu, &err), OD_E_REFUSED);
        assert_non_null(strstr(err.message, "lm_head.base_layer.weight"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(adapters_on_tables_go_on)};
    soft_kernels_use();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
