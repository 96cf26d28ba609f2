// Goal: a model folder that is not what it says is refused with one line that names the trouble.
// Method: a tiny model is written and then spoiled in one way at a time.

#include "model/weights.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/random.h"
#include "base/threads.h"
#include "flow/model_files.h"
#include "formats/safetensors.h"
#include "model/program.h"
#include "plan/plan.h"
#include "support.h"

static const char good_config[] =
    "{\"model_type\":\"llama\",\"vocab_size\":259,\"hidden_size\":16,\"intermediate_size\":24,"
    "\"num_hidden_layers\":1,\"num_attention_heads\":2,\"num_key_value_heads\":1,"
    "\"max_position_embeddings\":32,\"tie_word_embeddings\":true}";

static void put(const char *folder, const char *name, const char *text)
{
    char path[OD_PATH_MAX_BYTES];
    struct od_error err = {0};
    assert_ok(od_path_join(path, folder, name, &err), &err);
    assert_ok(od_file_write(path, text, strlen(text), &err), &err);
}

static const char *make_model(void)
{
    static char model[8][OD_PATH_MAX_BYTES];
    static int next;
    const char *folder = test_folder();
    char config[OD_PATH_MAX_BYTES];
    struct od_error err = {0};
    char *path = model[next++ % 8];
    put(folder, "config.json", good_config);
    assert_ok(od_path_join(config, folder, "config.json", &err), &err);
    assert_ok(od_path_join(path, folder, "model", &err), &err);
    assert_ok(od_model_init(config, NULL, 1, 1, path, &err), &err);
    return path;
}

static void expect(const char *model, enum od_status want, const char *words)
{
    struct od_buf out;
    struct od_error err = {0};
    od_buf_init(&out, 1 << 20);
    const enum od_status status = od_model_inspect(model, true, false, &out, &err);
    od_buf_release(&out);
    if (status != want || !strstr(err.message, words) || strchr(err.message, '\n')) {
        fail_msg("status %d, '%s'; expected %d with '%s'", (int)status, err.message, (int)want,
                 words);
    }
}

// The model's tensors, changed by `change`, written again.
static void rewrite(const char *model, int (*change)(struct od_tensor_out *tensors, int count))
{
    struct od_safetensors *st = NULL;
    struct od_error err = {0};
    struct od_tensor_out tensors[32] = {0};
    static char names[32][128];
    float *data[32] = {0};
    char path[OD_PATH_MAX_BYTES];
    assert_ok(od_safetensors_open(model, &st, &err), &err);
    int count = (int)od_safetensors_count(st);
    assert_true(count > 5 && count < 30);
    for (int i = 0; i < count; i++) {
        const struct od_tensor_info *info = od_safetensors_get(st, (size_t)i);
        data[i] = od_alloc((size_t)info->count + 64, sizeof(float));
        assert_non_null(data[i]);
        assert_ok(od_safetensors_read_f32(st, info, data[i], &err), &err);
        (void)snprintf(names[i], sizeof names[i], "%s", info->name);
        tensors[i] = (struct od_tensor_out){
            .name = names[i], .dtype = OD_DTYPE_F32, .rank = info->rank, .data = data[i]};
        memcpy(tensors[i].shape, info->shape, sizeof tensors[i].shape);
    }
    od_safetensors_close(st);
    count = change(tensors, count);
    assert_ok(od_path_join(path, model, OD_SAFETENSORS_FILE, &err), &err);
    const struct od_safetensors_plan plan = {
        .path = path, .tensors = tensors, .count = (size_t)count};
    assert_ok(od_safetensors_write(&plan, &err), &err);
    for (int i = 0; i < 32; i++) {
        od_free(data[i]);
    }
}

static int drop_last(struct od_tensor_out *tensors, int count)
{
    (void)tensors;
    return count - 1;
}

static int add_one(struct od_tensor_out *tensors, int count)
{
    tensors[count] = tensors[0];
    tensors[count].name = "model.surprise.weight";
    return count + 1;
}

static int spoil_value(struct od_tensor_out *tensors, int count)
{
    float *data;
    memcpy(&data, &tensors[3].data, sizeof data);
    data[7] = NAN;
    return count;
}

static int swap_shape(struct od_tensor_out *tensors, int count)
{
    for (int i = 0; i < count; i++) {
        if (strstr(tensors[i].name, "gate_proj")) {
            const int64_t rows = tensors[i].shape[0];
            tensors[i].shape[0] = tensors[i].shape[1];
            tensors[i].shape[1] = rows;
        }
    }
    return count;
}

static int keep_all(struct od_tensor_out *tensors, int count)
{
    (void)tensors;
    return count;
}

static void spoiled_weights(void **state)
{
    (void)state;
    expect(make_model(), OD_OK, "");
    const char *model = make_model();
    rewrite(model, keep_all);
    expect(model, OD_OK, "");
    model = make_model();
    rewrite(model, drop_last);
    expect(model, OD_E_FORMAT, "is missing");
    model = make_model();
    rewrite(model, add_one);
    expect(model, OD_E_FORMAT, "model.surprise.weight");
    model = make_model();
    rewrite(model, spoil_value);
    expect(model, OD_E_FORMAT, "a value that is no number");
    model = make_model();
    rewrite(model, swap_shape);
    expect(model, OD_E_FORMAT, "gate_proj");
    model = make_model();
    put(model, OD_SAFETENSORS_FILE, "");
    expect(model, OD_E_FORMAT, "model.safetensors");
}

static void spoiled_config(void **state)
{
    (void)state;
    static const struct {
        const char *config;
        enum od_status status;
        const char *words;
    } cases[] = {
        {"{\"model_type\":\"bert\"}", OD_E_UNSUPPORTED, "'bert'"},
        {"{\"model_type\":\"llama\"}", OD_E_FORMAT, "vocab_size"},
        {"[1]", OD_E_FORMAT, "no JSON object"},
        {"{\"model_type\":\"llama\",", OD_E_FORMAT, ":1:"},
        {"{\"model_type\":\"llama\",\"vocab_size\":99999999999}", OD_E_LIMIT, "vocab_size"},
        {"{\"model_type\":\"llama\",\"vocab_size\":259,\"hidden_size\":16,\"intermediate_size\":24,"
         "\"num_hidden_layers\":1,\"num_attention_heads\":3,\"num_key_value_heads\":2,"
         "\"max_position_embeddings\":32}",
         OD_E_FORMAT, "cannot share"},
        {"{\"model_type\":\"llama\",\"vocab_size\":259,\"hidden_size\":16,\"intermediate_size\":24,"
         "\"num_hidden_layers\":1,\"num_attention_heads\":2,\"max_position_embeddings\":32,"
         "\"rope_scaling\":{\"type\":\"longrope\",\"factor\":2}}",
         OD_E_UNSUPPORTED, "'longrope'"},
        {"{\"model_type\":\"llama\",\"vocab_size\":259,\"hidden_size\":16,\"intermediate_size\":24,"
         "\"num_hidden_layers\":1,\"num_attention_heads\":2,\"max_position_embeddings\":32,"
         "\"rope_scaling\":{\"type\":\"yarn\"}}",
         OD_E_FORMAT, "'factor'"},
        {"{\"model_type\":\"llama\",\"vocab_size\":259,\"hidden_size\":16,\"intermediate_size\":24,"
         "\"num_hidden_layers\":1,\"num_attention_heads\":2,\"max_position_embeddings\":32,"
         "\"rope_scaling\":{\"type\":\"yarn\",\"factor\":2,\"mscale\":-1}}",
         OD_E_FORMAT, "'mscale'"},
        {"{\"model_type\":\"llama\",\"vocab_size\":259,\"hidden_size\":16,\"intermediate_size\":24,"
         "\"num_hidden_layers\":1,\"num_attention_heads\":2,\"max_position_embeddings\":32,"
         "\"rope_scaling\":{\"type\":\"yarn\",\"factor\":2,\"attention_factor\":-1}}",
         OD_E_FORMAT, "'attention_factor'"},
        {"{\"model_type\":\"llama\",\"vocab_size\":259,\"hidden_size\":16,\"intermediate_size\":24,"
         "\"num_hidden_layers\":1,\"num_attention_heads\":2,\"max_position_embeddings\":32,"
         "\"rope_scaling\":{\"type\":\"yarn\",\"factor\":2,\"beta_fast\":1,\"beta_slow\":2}}",
         OD_E_FORMAT, "beta_slow 2"},
        {"{\"model_type\":\"llama\",\"vocab_size\":259,\"hidden_size\":16,\"intermediate_size\":24,"
         "\"num_hidden_layers\":1,\"num_attention_heads\":2,\"max_position_embeddings\":32,"
         "\"rope_scaling\":{\"type\":\"yarn\",\"factor\":2,\"original_max_position_embeddings\":0.001}}",
         OD_E_FORMAT, "context of 0.001"},
        {"{\"model_type\":\"llama\",\"vocab_size\":259,\"hidden_size\":16,\"intermediate_size\":24,"
         "\"num_hidden_layers\":1,\"num_attention_heads\":2,\"max_position_embeddings\":32,"
         "\"hidden_act\":\"relu\"}",
         OD_E_UNSUPPORTED, "'relu'"},
        {"{\"model_type\":\"mistral\",\"vocab_size\":259,\"hidden_size\":16,\"num_key_value_heads\":1,"
         "\"intermediate_size\":24,\"num_hidden_layers\":1,\"num_attention_heads\":2,"
         "\"max_position_embeddings\":32,\"sliding_window\":-16}",
         OD_E_FORMAT, "sliding_window"},
        {"{\"model_type\":\"qwen2\",\"vocab_size\":259,\"hidden_size\":16,\"num_key_value_heads\":1,"
         "\"intermediate_size\":24,\"num_hidden_layers\":1,\"num_attention_heads\":2,"
         "\"max_position_embeddings\":32,\"layer_types\":[\"sliding_attention\"]}",
         OD_E_UNSUPPORTED, "layer_types"},
        {"{\"model_type\":\"llama\",\"vocab_size\":259,\"hidden_size\":16,"
         "\"intermediate_size\":24,\"num_hidden_layers\":1,\"num_attention_heads\":2,"
         "\"max_position_embeddings\":32,\"partial_rotary_factor\":0.5}",
         OD_E_UNSUPPORTED, "partial_rotary_factor"},
        {"{\"model_type\":\"llama\",\"vocab_size\":259,\"hidden_size\":16,"
         "\"intermediate_size\":24,\"num_hidden_layers\":1,\"num_attention_heads\":2,"
         "\"max_position_embeddings\":32,\"num_local_experts\":8}",
         OD_E_UNSUPPORTED, "num_local_experts"},
        {"{\"model_type\":\"gpt2\",\"vocab_size\":259,\"n_embd\":16,\"n_layer\":1,\"n_head\":3,"
         "\"n_positions\":32}",
         OD_E_FORMAT, "3 heads"},
        {"{\"model_type\":\"gpt2\",\"vocab_size\":259,\"n_embd\":16,\"n_layer\":1,\"n_head\":2,"
         "\"n_positions\":32,\"scale_attn_by_inverse_layer_idx\":true}",
         OD_E_UNSUPPORTED, "inverse_layer"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *model = make_model();
        put(model, "config.json", cases[i].config);
        expect(model, cases[i].status, cases[i].words);
    }
    expect("no/such/model", OD_E_NOT_FOUND, "no/such/model");
}

// Transient tensors that live at the same time must not share memory.
static void plans_do_not_overlap(void **state)
{
    (void)state;
    struct od_error err = {0};
    const struct od_spec spec = {.family = "llama",
                                 .vocab = 50,
                                 .channels = 24,
                                 .ffn = 40,
                                 .layers = 3,
                                 .heads = 4,
                                 .kv_heads = 2,
                                 .head_dim = 6,
                                 .max_positions = 64,
                                 .norm_eps = 1e-5F,
                                 .rope_theta = 10000.0,
                                 .bos = -1,
                                 .eos = -1};
    for (int mode = 0; mode < 3; mode++) {
        const struct od_program_options options = {.mode = (enum od_program_mode)mode,
                                                   .tokens = 64,
                                                   .threads = 2,
                                                   .lora_r = 2,
                                                   .lora_scale = 1.0F,
                                                   .lora_targets = OD_TARGET_ALL,
                                                   .cache_slots = 2,
                                                   .cache_length = 32,
                                                   .logit_rows = 8};
        struct od_program program;
        struct od_plan plan;
        struct od_plan again;
        assert_ok(od_program_build(&spec, &options, &program, &err), &err);
        assert_ok(od_plan_make(&program, &plan, &err), &err);
        assert_ok(od_plan_make(&program, &again, &err), &err);
        assert_memory_equal(plan.offset, again.offset,
                            (size_t)program.tensor_count * sizeof *plan.offset);
        size_t sum = 0;
        for (int32_t i = 0; i < program.tensor_count; i++) {
            const struct od_tensor *a = &program.tensors[i];
            const size_t a_bytes = (size_t)(a->rows * a->cols) * sizeof(float);
            assert_true(plan.offset[i] + a_bytes <= plan.total_bytes);
            assert_int_equal(plan.offset[i] % OD_PLAN_ALIGN_BYTES, 0);
            sum += a_bytes;
            for (int32_t j = 0; j < i; j++) {
                const struct od_tensor *b = &program.tensors[j];
                const size_t b_bytes = (size_t)(b->rows * b->cols) * sizeof(float);
                const bool transient_a = a->role >= OD_ROLE_ACTIVATION;
                const bool transient_b = b->role >= OD_ROLE_ACTIVATION;
                const bool together =
                    !transient_a || !transient_b || (a->first <= b->last && b->first <= a->last);
                const bool apart = plan.offset[i] + a_bytes <= plan.offset[j] ||
                                   plan.offset[j] + b_bytes <= plan.offset[i];
                if (a->first >= 0 && b->first >= 0 && together && !apart) {
                    fail_msg("'%s' and '%s' share memory", a->name, b->name);
                }
            }
        }
        assert_true(mode == OD_PROGRAM_INFER || plan.total_bytes < sum);  // memory is shared
        od_plan_release(&again);
        od_plan_release(&plan);
        od_program_release(&program);
    }
}

enum { MERGE_ROWS = 37, MERGE_COLS_MOST = 300, MERGE_RANK = 5 };

static float draw(uint32_t step, int64_t i)
{
    const struct od_philox bits = od_philox_draw(1, 2, step, (uint64_t)i);
    return od_uniform_f32(bits.word[0]) - 0.5F;
}

// An adapter added by blocks and threads has the bits of the sum as it is written down.
static void adapter_bits(void **state)
{
    (void)state;
    static const int64_t widths[] = {1, 7, 8, 127, 128, 129, 256, MERGE_COLS_MOST};
    static float w[MERGE_ROWS * MERGE_COLS_MOST];
    static float want[MERGE_ROWS * MERGE_COLS_MOST];
    static float a[MERGE_RANK * MERGE_COLS_MOST];
    static float b[MERGE_ROWS * MERGE_RANK];
    for (int threads = 1; threads <= 3; threads++) {
        struct od_error err = {0};
        struct od_pool *pool = NULL;
        assert_ok(od_pool_create(threads, &pool, &err), &err);
        for (size_t n = 0; n < sizeof widths / sizeof widths[0]; n++) {
            const int64_t k = widths[n];
            for (int64_t i = 0; i < MERGE_RANK * k; i++) {
                a[i] = draw(3, i);
            }
            for (int64_t i = 0; i < (int64_t)MERGE_ROWS * MERGE_RANK; i++) {
                b[i] = draw(4, i);
            }
            for (int64_t i = 0; i < MERGE_ROWS * k; i++) {
                double sum = 0.0;
                for (int64_t q = 0; q < MERGE_RANK; q++) {
                    sum += (double)b[i / k * MERGE_RANK + q] * (double)a[q * k + i % k];
                }
                w[i] = draw(5, i);
                want[i] = (float)((double)w[i] + 0.7 * sum);
            }
            assert_ok(od_adapter_add(pool, w, a, b, MERGE_ROWS, k, MERGE_RANK, 0.7, &err), &err);
            assert_memory_equal(w, want, (size_t)(MERGE_ROWS * k) * sizeof *w);
        }
        od_pool_free(pool);
    }
}

// Pieces, threads and memory give the same values.
static void fresh_weights_in_pieces(void **state)
{
    (void)state;
    enum { SEED = 9 };
    static const char config[] =
        "{\"model_type\":\"llama\",\"vocab_size\":300,\"hidden_size\":128,"
        "\"intermediate_size\":200,\"num_hidden_layers\":1,\"num_attention_heads\":2,"
        "\"num_key_value_heads\":1,\"max_position_embeddings\":32,"
        "\"tie_word_embeddings\":false}";
    const char *folder = test_folder();
    char path[OD_PATH_MAX_BYTES];
    char model[OD_PATH_MAX_BYTES];
    struct od_error err = {0};
    struct od_spec spec;
    struct od_program program;
    struct od_plan plan;
    struct od_arrays arrays;
    struct od_safetensors *st = NULL;
    const struct od_program_options options = {
        .mode = OD_PROGRAM_TRAIN_FULL, .tokens = 4, .threads = 1};
    put(folder, "config.json", config);
    assert_ok(od_path_join(path, folder, "config.json", &err), &err);
    assert_ok(od_path_join(model, folder, "model", &err), &err);
    assert_ok(od_model_init(path, NULL, SEED, 3, model, &err), &err);
    assert_ok(od_spec_read(path, &spec, &err), &err);
    assert_ok(od_program_build(&spec, &options, &program, &err), &err);
    assert_ok(od_plan_make(&program, &plan, &err), &err);
    assert_ok(od_arrays_make(&plan, &arrays, &err), &err);
    assert_ok(od_safetensors_open(model, &st, &err), &err);
    assert_ok(od_weights_init(&program, arrays.tensor, SEED, &err), &err);
    for (int32_t i = 0; i < program.weight_count; i++) {
        const struct od_part *part = &program.weights[i];
        const struct od_tensor_info *info = od_safetensors_find(st, part->name);
        assert_non_null(info);
        float *file = od_alloc((size_t)info->count, sizeof *file);
        assert_non_null(file);
        assert_ok(od_safetensors_read_f32(st, info, file, &err), &err);
        const float *memory = arrays.tensor[part->tensor] + part->row * part->cols;
        for (int64_t j = 0; j < info->count; j++) {
            uint32_t bits;
            float rounded;
            memcpy(&bits, &memory[j], sizeof bits);
            bits = (bits + 0x7FFFu + ((bits >> 16) & 1u)) & 0xFFFF0000u;  // to bf16, ties to even
            memcpy(&rounded, &bits, sizeof rounded);
            assert_true(file[j] == rounded);
        }
        od_free(file);
    }
    od_safetensors_close(st);
    od_arrays_release(&arrays);
    od_plan_release(&plan);
    od_program_release(&program);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spoiled_weights),         cmocka_unit_test(spoiled_config),
        cmocka_unit_test(plans_do_not_overlap),    cmocka_unit_test(adapter_bits),
        cmocka_unit_test(fresh_weights_in_pieces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
