// Goal: training on the GPU follows training on the CPU, and repeats itself bit for bit.
// Method: a tiny Llama with heads of 64 from the same seed and data on both; ten steps of LoRA and of
// full tuning, losses and gradient norms side by side; the GPU twice, with packed documents of many
// lengths, once without graphs, and once with its step cut into accumulated parts. Then a model of
// each other family, five steps of both methods.

#include "ops/gpu.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/random.h"
#include "base/status.h"
#include "data/dataset.h"
#include "device/cuda/cuda.h"
#include "device/cuda_gpu.h"
#include "model/program.h"
#include "model/spec.h"
#include "ops/op.h"
#include "support.h"
#include "tune/checkpoint.h"
#include "tune/recipe.h"
#include "tune/session.h"

enum { STEPS = 10, VOCAB = 512, DOCUMENTS = 200, TOKENS_MAX = 1 << 16 };

static const char llama[] =
    "{\"architectures\": [\"LlamaForCausalLM\"], \"model_type\": \"llama\", \"vocab_size\": 512,\n"
    "\"hidden_size\": 256, \"intermediate_size\": 688, \"num_hidden_layers\": 4,\n"
    "\"num_attention_heads\": 4, \"num_key_value_heads\": 2, \"max_position_embeddings\": 512,\n"
    "\"rms_norm_eps\": 1e-05, \"rope_theta\": 10000.0, \"initializer_range\": 0.05,\n"
    "\"hidden_act\": \"silu\", \"tie_word_embeddings\": false, \"torch_dtype\": \"bfloat16\"}\n";

/** The families that have operations of their own; documents are longer than Mistral's window. */
static const struct {
    const char *name;
    const char *config;
} families[] = {
    {"gpt2",
     "{\"model_type\": \"gpt2\", \"vocab_size\": 512, \"n_embd\": 192, \"n_layer\": 2,\n"
     "\"n_head\": 3, \"n_positions\": 256, \"layer_norm_epsilon\": 1e-05,\n"
     "\"initializer_range\": 0.05, \"activation_function\": \"gelu_new\"}\n"},
    {"qwen2",
     "{\"model_type\": \"qwen2\", \"vocab_size\": 512, \"hidden_size\": 192,\n"
     "\"intermediate_size\": 344, \"num_hidden_layers\": 2, \"num_attention_heads\": 3,\n"
     "\"num_key_value_heads\": 1, \"max_position_embeddings\": 512, \"rms_norm_eps\": 1e-06,\n"
     "\"rope_theta\": 10000.0, \"initializer_range\": 0.05, \"hidden_act\": \"silu\",\n"
     "\"tie_word_embeddings\": true}\n"},
    {"qwen3",
     "{\"model_type\": \"qwen3\", \"vocab_size\": 512, \"hidden_size\": 192,\n"
     "\"intermediate_size\": 344, \"num_hidden_layers\": 2, \"num_attention_heads\": 4,\n"
     "\"num_key_value_heads\": 2, \"head_dim\": 64, \"max_position_embeddings\": 512,\n"
     "\"rms_norm_eps\": 1e-06, \"rope_theta\": 10000.0, \"initializer_range\": 0.05,\n"
     "\"hidden_act\": \"silu\", \"tie_word_embeddings\": false}\n"},
    {"mistral",
     "{\"model_type\": \"mistral\", \"vocab_size\": 512, \"hidden_size\": 192,\n"
     "\"intermediate_size\": 344, \"num_hidden_layers\": 2, \"num_attention_heads\": 3,\n"
     "\"num_key_value_heads\": 1, \"max_position_embeddings\": 512, \"rms_norm_eps\": 1e-05,\n"
     "\"rope_theta\": 10000.0, \"initializer_range\": 0.05, \"hidden_act\": \"silu\",\n"
     "\"sliding_window\": 48, \"tie_word_embeddings\": false}\n"},
};

// Documents whose next token follows from the last one, so that there is something to learn.
static void make_data(struct od_dataset *ret)
{
    struct od_dataset data = {0};
    int64_t at = 0;
    data.ids = od_alloc(TOKENS_MAX, sizeof *data.ids);
    data.label = od_alloc(TOKENS_MAX, sizeof *data.label);
    data.offset = od_alloc(DOCUMENTS + 1, sizeof *data.offset);
    assert_non_null(data.ids);
    assert_non_null(data.label);
    assert_non_null(data.offset);
    for (int d = 0; d < DOCUMENTS; d++) {
        const struct od_philox draw = od_philox_draw(5, 1, 0, (uint64_t)d);
        const int length = 20 + (int)(draw.word[0] % 200u);
        int32_t id = (int32_t)(draw.word[1] % VOCAB);
        data.offset[d] = at;
        for (int i = 0; i < length; i++) {
            data.ids[at] = id;
            data.label[at] = i > length / 3;
            data.label_count += data.label[at];
            id = (id * 5 + 17 +
                  (int32_t)(od_philox_draw(5, 2, (uint32_t)d, (uint64_t)i).word[0] % 3u)) %
                 VOCAB;
            at++;
        }
    }
    data.offset[DOCUMENTS] = at;
    data.count = DOCUMENTS;
    *ret = data;
}

struct curve {
    double evaluation[STEPS];  // after each step, when documents are held out
    double loss[STEPS];
    double norm[STEPS];
    uint64_t hash;
};

enum place { ON_CPU, ON_GPU, ON_GPU_WITHOUT_GRAPHS, ON_GPU_KEEPING_LEAST };

// Every linear layer that the model of a config file has; embedding and head besides.
static void adapt_all(struct od_recipe *recipe, const char *path, bool outer)
{
    struct od_spec spec;
    struct od_error err = {0};
    assert_ok(od_spec_read(path, &spec, &err), &err);
    const unsigned bits = od_spec_targets(&spec) | (outer ? od_spec_outer_targets(&spec) : 0u);
    for (int i = 0; i < OD_TARGET_NAMES; i++) {
        if ((od_target_bit(od_target_name(i)) & bits) != 0) {
            recipe->lora_targets[recipe->lora_target_count++] = od_target_name(i);
        }
    }
}

// How a curve is computed.
struct way {
    const char *config;
    enum od_method method;
    enum place place;
    int64_t accumulation;
    int steps;
    double held_out;  // documents
    bool evaluate;
    const char *optimizer;
    double noise;
    bool bf16_weights;
    enum od_quant quant;
    unsigned saved;              // modules in full beside the adapter
    struct od_layer_set layers;  // that have one
    bool outer;                  // adapters on embedding and head, too
    double dropout;
    double learning_rate;  // 0: what the method is trained with
    int checkpoint;        // after so many steps; 0: none
    const char *folder;    // of checkpoints
};

static double rate_of(const struct way *way)
{
    return way->learning_rate > 0.0 ? way->learning_rate
                                    : (way->method == OD_METHOD_LORA ? 1e-2 : 1e-3);
}

static void train(const struct way *way, int64_t from, struct curve *ret)
{
    struct od_error err = {0};
    struct od_session session;
    struct od_dataset data;
    char path[OD_PATH_MAX_BYTES];
    assert_ok(od_path_join(path, test_folder(), "config.json", &err), &err);
    assert_ok(od_file_write(path, way->config, strlen(way->config), &err), &err);
    struct od_recipe recipe = {.base_config = path,
                               .method = way->method,
                               .lora_r = 8,
                               .lora_alpha = 16.0,
                               .sequence_len = 256,
                               .sample_packing = true,
                               .micro_batch_size = 4 / way->accumulation,
                               .gradient_accumulation_steps = way->accumulation,
                               .max_steps = STEPS,
                               .optimizer = way->optimizer,
                               .learning_rate = rate_of(way),
                               .lr_scheduler = OD_SCHEDULE_LINEAR,
                               .weight_decay = 0.01,
                               .adam_beta1 = 0.9,
                               .adam_beta2 = 0.999,
                               .adam_epsilon = 1e-8,
                               .max_grad_norm = 1.0,
                               .val_set_size = way->held_out,
                               .neftune_noise_alpha = way->noise,
                               .bf16_weights = way->bf16_weights,
                               .quant = way->quant,
                               .lora_dropout = way->dropout,
                               .lora_saved = way->saved,
                               .lora_layers = way->layers,
                               .seed = 7};
    if (way->method == OD_METHOD_LORA) {
        adapt_all(&recipe, path, way->outer);
    }
    make_data(&data);
    const struct od_session_options options = {.on_gpu = way->place != ON_CPU,
                                               .keep_least = way->place == ON_GPU_KEEPING_LEAST,
                                               .threads = 2,
                                               .allow_vector = true,
                                               .dataset = &data};
    assert_ok(od_session_open(&recipe, &options, &session, &err), &err);
    if (way->place == ON_GPU_WITHOUT_GRAPHS) {
        od_gpu_use_graphs(session.gpu, false);
    }
    struct od_checkpoint_state state = {.best_step = -1};
    if (from > 0) {
        bool found = false;
        assert_ok(od_checkpoint_read(&session, way->folder, "", &state, &found, &err), &err);
        assert_true(found && session.place.step == from);
    }
    for (int i = (int)from; i < way->steps; i++) {
        struct od_step_report report;
        assert_ok(od_session_step(&session, &report, &err), &err);
        ret->loss[i] = report.loss;
        ret->norm[i] = report.grad_norm;
        ret->evaluation[i] = 0.0;
        if (way->checkpoint == i + 1) {
            state.place = session.place;
            state.weight_hash = od_session_weight_hash(&session);
            assert_ok(od_checkpoint_write(&session, way->folder, &state, 0, -1, &err), &err);
        }
        if (way->evaluate) {
            struct od_eval_report evaluation;
            assert_ok(od_session_evaluate(&session, &evaluation, &err), &err);
            ret->evaluation[i] = evaluation.loss;
        }
    }
    ret->hash = od_session_weight_hash(&session);
    od_session_close(&session);
}

static void run_as(const struct way *way, struct curve *ret)
{
    train(way, 0, ret);
}

static void run(const char *config, enum od_method method, enum place place, int64_t accumulation,
                int steps, struct curve *ret)
{
    run_as(&(struct way){.config = config,
                         .method = method,
                         .place = place,
                         .accumulation = accumulation,
                         .steps = steps},
           ret);
}

static void follow(enum od_method method)
{
    struct curve cpu;
    struct curve gpu;
    struct curve again;
    struct curve parts;
    struct curve plain;
    struct curve lean;
    run(llama, method, ON_CPU, 1, STEPS, &cpu);
    run(llama, method, ON_GPU, 1, STEPS, &gpu);
    run(llama, method, ON_GPU, 1, STEPS, &again);
    run(llama, method, ON_GPU_WITHOUT_GRAPHS, 1, STEPS, &plain);
    run(llama, method, ON_GPU_KEEPING_LEAST, 1, STEPS, &lean);
    run(llama, method, ON_GPU, 4, STEPS, &parts);
    for (int i = 0; i < STEPS; i++) {
        print_message("# step %d: CPU %.5f (norm %.4f), GPU %.5f (%.4f), in parts %.5f\n", i + 1,
                      cpu.loss[i], cpu.norm[i], gpu.loss[i], gpu.norm[i], parts.loss[i]);
    }
    for (int i = 0; i < STEPS; i++) {
        assert_true(fabs(gpu.loss[i] - cpu.loss[i]) < 5e-3 * cpu.loss[i]);
        assert_true(fabs(gpu.norm[i] - cpu.norm[i]) < 3e-2 * cpu.norm[i]);
        assert_true(fabs(parts.loss[i] - cpu.loss[i]) < 5e-3 * cpu.loss[i]);
        assert_memory_equal(&gpu.loss[i], &again.loss[i], sizeof gpu.loss[i]);
    }
    assert_true(method == OD_METHOD_LORA || gpu.loss[STEPS - 1] < gpu.loss[0] - 0.1);
    assert_int_equal(gpu.hash, again.hash);
    assert_int_equal(gpu.hash, plain.hash);
    assert_int_equal(gpu.hash, lean.hash);
    assert_int_not_equal(gpu.hash, 0);
}

static void lora_follows(void **state)
{
    (void)state;
    if (!have_gpu()) {
        skip();
    }
    follow(OD_METHOD_LORA);
}

static void full_follows(void **state)
{
    (void)state;
    if (!have_gpu()) {
        skip();
    }
    follow(OD_METHOD_FULL);
}

// Evaluations between the steps say what the CPU's say, and change no bit of the training.
static void evaluations(void **state)
{
    (void)state;
    if (!have_gpu()) {
        skip();
    }
    for (int m = 0; m < 2; m++) {
        struct way way = {.config = llama,
                          .method = m == 0 ? OD_METHOD_LORA : OD_METHOD_FULL,
                          .accumulation = 1,
                          .steps = STEPS,
                          .held_out = 20.0,
                          .evaluate = true};
        struct curve cpu;
        struct curve gpu;
        struct curve without;
        way.place = ON_CPU;
        run_as(&way, &cpu);
        way.place = ON_GPU;
        run_as(&way, &gpu);
        way.evaluate = false;
        run_as(&way, &without);
        assert_int_equal(gpu.hash, without.hash);
        assert_memory_equal(gpu.loss, without.loss, sizeof gpu.loss);
        for (int i = 0; i < STEPS; i++) {
            assert_true(fabs(gpu.evaluation[i] - cpu.evaluation[i]) < 5e-3 * cpu.evaluation[i]);
        }
    }
}

// On the GPU, and once more by a new session that goes on from a checkpoint: the same bits.
static void run_and_go_on(struct way *way, struct curve *ret)
{
    enum { AT = 4 };
    struct curve rest;
    way->place = ON_GPU;
    way->checkpoint = AT;
    run_as(way, ret);
    way->checkpoint = 0;
    train(way, AT, &rest);
    assert_memory_equal(&ret->loss[AT], &rest.loss[AT], (STEPS - AT) * sizeof ret->loss[0]);
    assert_int_equal(ret->hash, rest.hash);
}

// 8-bit moments: the CPU's losses, and the same bits when a new session goes on from a checkpoint.
static void eight_bit_moments(void **state)
{
    (void)state;
    if (!have_gpu()) {
        skip();
    }
    for (int m = 0; m < 2; m++) {
        struct way way = {.config = llama,
                          .method = m == 0 ? OD_METHOD_LORA : OD_METHOD_FULL,
                          .place = ON_CPU,
                          .accumulation = 1,
                          .steps = STEPS,
                          .optimizer = "adamw_8bit",
                          .folder = test_folder()};
        struct curve cpu;
        struct curve gpu;
        struct curve plain;
        run_as(&way, &cpu);
        run_and_go_on(&way, &gpu);
        way.optimizer = "adamw";
        run_as(&way, &plain);
        for (int i = 0; i < STEPS; i++) {
            print_message("# step %d: CPU %.5f, GPU %.5f, fp32 moments %.5f\n", i + 1, cpu.loss[i],
                          gpu.loss[i], plain.loss[i]);
            assert_true(fabs(gpu.loss[i] - cpu.loss[i]) < 5e-3 * cpu.loss[i]);
        }
        assert_int_not_equal(gpu.hash, plain.hash);
    }
}

// Frozen weights of eight-bit floats: the CPU's losses, the same bits again, without graphs, when layers
// are computed again and from a checkpoint.
static void floats_of_8_bits(void **state)
{
    (void)state;
    if (!have_gpu() || !gpu_has_e4m3()) {
        skip();
    }
    struct way way = {.config = llama,
                      .method = OD_METHOD_LORA,
                      .quant = OD_QUANT_E4M3,
                      .place = ON_CPU,
                      .accumulation = 1,
                      .steps = STEPS,
                      .folder = test_folder()};
    struct curve cpu;
    struct curve gpu;
    struct curve other;
    run_as(&way, &cpu);
    run_and_go_on(&way, &gpu);
    for (int i = 0; i < 3; i++) {
        static const enum place places[] = {ON_GPU, ON_GPU_WITHOUT_GRAPHS, ON_GPU_KEEPING_LEAST};
        way.place = places[i];
        run_as(&way, &other);
        assert_int_equal(gpu.hash, other.hash);
    }
    way.place = ON_GPU;
    way.quant = OD_QUANT_NONE;
    run_as(&way, &other);
    for (int i = 0; i < STEPS; i++) {
        print_message("# step %d: CPU %.5f, GPU %.5f, bf16 %.5f\n", i + 1, cpu.loss[i], gpu.loss[i],
                      other.loss[i]);
        // A value near the middle of two codes may go either way.
        assert_true(fabs(gpu.loss[i] - cpu.loss[i]) < 1e-2 * cpu.loss[i]);
    }
    assert_int_not_equal(gpu.hash, other.hash);
}

// Noise on embeddings: the CPU's losses, which are others than without; graphs and evaluations change
// no bit.
static void noise_follows(void **state)
{
    (void)state;
    if (!have_gpu()) {
        skip();
    }
    for (int m = 0; m < 2; m++) {
        struct way way = {.config = llama,
                          .method = m == 0 ? OD_METHOD_LORA : OD_METHOD_FULL,
                          .place = ON_CPU,
                          .accumulation = 2,
                          .steps = STEPS,
                          .held_out = 20.0,
                          .evaluate = true,
                          .noise = 15.0};
        struct curve cpu;
        struct curve gpu;
        struct curve plain;
        struct curve without;
        run_as(&way, &cpu);
        way.place = ON_GPU;
        run_as(&way, &gpu);
        way.noise = 0.0;
        run_as(&way, &without);
        way.noise = 15.0;
        way.place = ON_GPU_WITHOUT_GRAPHS;
        way.evaluate = false;
        run_as(&way, &plain);
        for (int i = 0; i < STEPS; i++) {
            print_message(
                "# step %d: CPU %.5f, GPU %.5f, without noise %.5f; evaluation %.5f, %.5f\n", i + 1,
                cpu.loss[i], gpu.loss[i], without.loss[i], cpu.evaluation[i], gpu.evaluation[i]);
            assert_true(fabs(gpu.loss[i] - cpu.loss[i]) < 5e-3 * cpu.loss[i]);
            assert_true(fabs(gpu.norm[i] - cpu.norm[i]) < 3e-2 * cpu.norm[i]);
            assert_true(fabs(gpu.evaluation[i] - cpu.evaluation[i]) < 5e-3 * cpu.evaluation[i]);
        }
        assert_int_equal(gpu.hash, plain.hash);
        assert_int_not_equal(gpu.hash, without.hash);
    }
}

// Adapters on some layers, embedding and head in full beside them: the CPU's losses, the same bits however
// little is kept, and when a new session goes on from a checkpoint.
static void parts_follow(void **state)
{
    static const struct {
        unsigned saved;
        uint64_t layers;
    } cases[] = {{0, 1u << 2}, {OD_SAVED_HEAD, 5u}, {OD_SAVED_EMBEDDING | OD_SAVED_HEAD, 1u << 3}};
    (void)state;
    if (!have_gpu()) {
        skip();
    }
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        struct way way = {.config = llama,
                          .method = OD_METHOD_LORA,
                          .place = ON_CPU,
                          .accumulation = 1,
                          .steps = STEPS,
                          .saved = cases[c].saved,
                          .layers = {.bits = {cases[c].layers}},
                          .folder = test_folder()};
        struct curve cpu;
        struct curve gpu;
        struct curve lean;
        run_as(&way, &cpu);
        way.place = ON_GPU_KEEPING_LEAST;
        run_as(&way, &lean);
        run_and_go_on(&way, &gpu);
        for (int i = 0; i < STEPS; i++) {
            print_message("# case %zu, step %d: CPU %.5f (norm %.4f), GPU %.5f (%.4f)\n", c, i + 1,
                          cpu.loss[i], cpu.norm[i], gpu.loss[i], gpu.norm[i]);
            assert_true(fabs(gpu.loss[i] - cpu.loss[i]) < 5e-3 * cpu.loss[i]);
            assert_true(fabs(gpu.norm[i] - cpu.norm[i]) < 3e-2 * cpu.norm[i]);
        }
        assert_int_equal(gpu.hash, lean.hash);
    }
}

// Adapters on embedding and head besides: tables of their own, with dropout and without, and one for both,
// GPT-2's; the CPU's losses, the same bits without graphs, however little is kept, and when a new session
// goes on from a checkpoint. Moments as codes, frozen weights as codes. The embedding's B starts as
// normal(0, 1): at the other tests' rate steps so large follow that rounding alone shows in the norms.
static void outer_adapters_follow(void **state)
{
    static const struct {
        const char *config;
        double dropout;
        const char *optimizer;
        enum od_quant quant;
    } cases[] = {{llama, 0.0, "adamw", OD_QUANT_NONE},
                 {llama, 0.1, "adamw_8bit", OD_QUANT_INT8},
                 {NULL, 0.0, "adamw", OD_QUANT_NONE},   // gpt2
                 {NULL, 0.1, "adamw", OD_QUANT_NONE}};  // qwen2, tied
    (void)state;
    if (!have_gpu()) {
        skip();
    }
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        struct way way = {.config = cases[c].config ? cases[c].config : families[c - 2].config,
                          .method = OD_METHOD_LORA,
                          .place = ON_CPU,
                          .accumulation = 2,
                          .steps = STEPS,
                          .optimizer = cases[c].optimizer,
                          .quant = cases[c].quant,
                          .outer = true,
                          .learning_rate = 1e-3,
                          .dropout = cases[c].dropout,
                          .folder = test_folder()};
        struct curve cpu;
        struct curve gpu;
        struct curve other;
        run_as(&way, &cpu);
        run_and_go_on(&way, &gpu);
        for (int i = 0; i < STEPS; i++) {
            print_message("# case %zu, step %d: CPU %.5f (norm %.4f), GPU %.5f (%.4f)\n", c, i + 1,
                          cpu.loss[i], cpu.norm[i], gpu.loss[i], gpu.norm[i]);
        }
        for (int i = 0; i < STEPS; i++) {
            assert_true(fabs(gpu.loss[i] - cpu.loss[i]) < 5e-3 * cpu.loss[i]);
            assert_true(fabs(gpu.norm[i] - cpu.norm[i]) < 3e-2 * cpu.norm[i]);
        }
        way.place = ON_GPU_WITHOUT_GRAPHS;
        run_as(&way, &other);
        assert_int_equal(gpu.hash, other.hash);
        way.place = ON_GPU_KEEPING_LEAST;
        run_as(&way, &other);
        assert_int_equal(gpu.hash, other.hash);
        way.place = ON_GPU;
        way.outer = false;
        run_as(&way, &other);
        assert_int_not_equal(gpu.hash, other.hash);
    }
}

// Weights without fp32 masters: the CPU's losses, the same bits however little is kept, and when a new
// session goes on from a checkpoint; moments in fp32 and in 8 bits.
static void weights_without_masters(void **state)
{
    (void)state;
    if (!have_gpu()) {
        skip();
    }
    for (int m = 0; m < 2; m++) {
        struct way way = {.config = llama,
                          .method = OD_METHOD_FULL,
                          .place = ON_CPU,
                          .accumulation = 1,
                          .steps = STEPS,
                          .optimizer = m == 0 ? "adamw" : "adamw_8bit",
                          .bf16_weights = true,
                          .folder = test_folder()};
        struct curve cpu;
        struct curve gpu;
        struct curve lean;
        struct curve masters;
        run_as(&way, &cpu);
        way.place = ON_GPU_KEEPING_LEAST;
        run_as(&way, &lean);
        run_and_go_on(&way, &gpu);
        way.bf16_weights = false;
        run_as(&way, &masters);
        for (int i = 0; i < STEPS; i++) {
            print_message("# step %d: CPU %.5f, GPU %.5f, with masters %.5f\n", i + 1, cpu.loss[i],
                          gpu.loss[i], masters.loss[i]);
            assert_true(fabs(gpu.loss[i] - cpu.loss[i]) < 5e-3 * cpu.loss[i]);
        }
        assert_int_equal(gpu.hash, lean.hash);
        assert_int_not_equal(gpu.hash, masters.hash);
    }
}

static void other_families_follow(void **state)
{
    enum { FEW = 5 };
    (void)state;
    if (!have_gpu()) {
        skip();
    }
    for (size_t f = 0; f < 2 * sizeof families / sizeof families[0]; f++) {
        const enum od_method method = f % 2 == 0 ? OD_METHOD_FULL : OD_METHOD_LORA;
        const char *config = families[f / 2].config;
        struct curve cpu;
        struct curve gpu;
        struct curve plain;
        struct curve lean;
        run(config, method, ON_CPU, 1, FEW, &cpu);
        run(config, method, ON_GPU, 1, FEW, &gpu);
        run(config, method, ON_GPU_WITHOUT_GRAPHS, 1, FEW, &plain);
        run(config, method, ON_GPU_KEEPING_LEAST, 1, FEW, &lean);
        for (int i = 0; i < FEW; i++) {
            print_message("# %s, %s, step %d: CPU %.5f (norm %.4f), GPU %.5f (%.4f)\n",
                          families[f / 2].name, f % 2 == 0 ? "full" : "lora", i + 1, cpu.loss[i],
                          cpu.norm[i], gpu.loss[i], gpu.norm[i]);
        }
        for (int i = 0; i < FEW; i++) {
            assert_true(fabs(gpu.loss[i] - cpu.loss[i]) < 5e-3 * cpu.loss[i]);
            assert_true(fabs(gpu.norm[i] - cpu.norm[i]) < 3e-2 * cpu.norm[i]);
        }
        assert_int_equal(gpu.hash, plain.hash);
        assert_int_equal(gpu.hash, lean.hash);
        assert_int_not_equal(gpu.hash, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(lora_follows),
                                       cmocka_unit_test(full_follows),
                                       cmocka_unit_test(evaluations),
                                       cmocka_unit_test(eight_bit_moments),
                                       cmocka_unit_test(floats_of_8_bits),
                                       cmocka_unit_test(noise_follows),
                                       cmocka_unit_test(parts_follow),
                                       cmocka_unit_test(outer_adapters_follow),
                                       cmocka_unit_test(weights_without_masters),
                                       cmocka_unit_test(other_families_follow)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
