// Goal: on a GPU the engine gives the CPU's answers within what bf16 allows, in bits that depend on nothing
// but the sequence: not on its neighbours, on how its prompt was cut, on what is remembered, on the cache's
// size; and each request gets the adapter it chose.
// Method: fresh random models with heads of 64 channels, grouped, one without a window, one with a window
// behind its first layer; every logit of a sequence against the CPU's; the same requests under many
// settings; passes in which prompts stand beside other rows, straight on the machines. Skipped where no
// GPU is.

#include <math.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/random.h"
#include "base/threads.h"
#include "device/cuda_gpu.h"
#include "infer/engine.h"
#include "infer/machine.h"
#include "infer/responder.h"
#include "model/program.h"
#include "model/spec.h"
#include "model/weights.h"
#include "plan/plan.h"
#include "support.h"

enum {
    VOCAB = 200,
    LENGTH = 230,
    CONTEXT = 512,
    LAYERS = 3,
    WINDOW = 90,
    PROMPTS = 6,
    CALLERS = 4,
    RANK = 8
};
/** Norm of the difference of all logits over their norm: bf16 through a few layers. */
static const double LOGIT_BOUND = 3e-2;
/** Root mean square of the difference of log-probabilities. */
static const double LOGPROB_BOUND = 0.08;
/** A likeliest token may only be another one where the CPU's margin is below this share of the largest
 *  logit. */
static const double MARGIN = 0.05;

static char model[OD_PATH_MAX_BYTES];
static char windowed[OD_PATH_MAX_BYTES];
static char adapters[2][OD_PATH_MAX_BYTES];
static int32_t ids[LENGTH];

static void write_text(const char *folder, const char *name, const char *text)
{
    char path[OD_PATH_MAX_BYTES];
    struct od_error err = {0};
    assert_ok(od_path_join(path, folder, name, &err), &err);
    assert_ok(od_file_write(path, text, strlen(text), &err), &err);
}

static struct od_spec spec_of(int64_t window)
{
    struct od_spec spec = {.vocab = VOCAB,
                           .channels = 256,
                           .ffn = 424,
                           .layers = LAYERS,
                           .heads = 4,
                           .kv_heads = 2,
                           .head_dim = 64,
                           .max_positions = CONTEXT,
                           .norm_eps = 1e-5F,
                           .rope_theta = 10000.0,
                           .init_std = 0.08,
                           .window = window,
                           .window_from = window > 0 ? 1 : 0,
                           .qkv_bias = window > 0,
                           .bos = -1,
                           .eos = -1};
    (void)snprintf(spec.family, sizeof spec.family, "%s", window > 0 ? "qwen2" : "llama");
    return spec;
}

// A model folder with fresh weights and a tokenizer of VOCAB letters.
static void write_model(const char *folder, int64_t window)
{
    const struct od_spec spec = spec_of(window);
    const struct od_program_options options = {.mode = OD_PROGRAM_INFER,
                                               .tokens = 1,
                                               .threads = 1,
                                               .cache_slots = 1,
                                               .cache_length = 16,
                                               .logit_rows = 1};
    struct od_program program;
    struct od_pool *pool = NULL;
    struct od_error err = {0};
    struct od_buf text;
    char path[OD_PATH_MAX_BYTES];
    od_buf_init(&text, 1 << 16);
    assert_ok(od_spec_write(&spec, &text, &err), &err);
    write_text(folder, "config.json", od_buf_text(&text));
    od_buf_release(&text);
    assert_ok(od_program_build(&spec, &options, &program, &err), &err);
    assert_ok(od_path_join(path, folder, "model.safetensors", &err), &err);
    assert_ok(od_pool_create(1, &pool, &err), &err);
    assert_ok(od_weights_init_file(pool, NULL, &program, test_seed(), path, &err), &err);
    od_pool_free(pool);
    od_program_release(&program);
    od_buf_init(&text, 1 << 16);
    od_buf_puts(&text,
                "{\"version\":\"1.0\",\"added_tokens\":[],\"normalizer\":null,\"pre_tokenizer\":{"
                "\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":true,"
                "\"use_regex\":false},\"post_processor\":null,\"decoder\":{\"type\":\"ByteLevel\","
                "\"add_prefix_space\":true,\"trim_offsets\":true,\"use_regex\":true},\"model\":{"
                "\"type\":\"BPE\",\"merges\":[],\"vocab\":{");
    for (int i = 0; i < VOCAB;
         i++) {  // letters that stand for bytes: U+0100 and so on behind ASCII
        if (i < 94) {
            od_buf_printf(&text, "%s\"%s%c\":%d", i > 0 ? "," : "",
                          '!' + i == '"' || '!' + i == '\\' ? "\\" : "", '!' + i, i);
        } else {
            od_buf_printf(&text, ",\"x%d\":%d", i, i);
        }
    }
    od_buf_puts(&text, "}}}");
    write_text(folder, "tokenizer.json", od_buf_text(&text));
    od_buf_release(&text);
}

// A random adapter on all linear layers, in a folder of its own.
static void write_adapter(const char *folder, uint64_t seed)
{
    const struct od_spec spec = spec_of(0);
    const struct od_program_options options = {.mode = OD_PROGRAM_TRAIN_LORA,
                                               .tokens = 16,
                                               .threads = 1,
                                               .lora_r = RANK,
                                               .lora_scale = 2.0F,
                                               .lora_targets = OD_TARGET_ALL};
    struct od_adapter_config config = {
        .r = RANK, .alpha = 2.0 * (double)RANK, .targets = OD_TARGET_ALL};
    struct od_program program;
    struct od_plan plan;
    struct od_arrays arrays;
    struct od_error err = {0};
    char path[OD_PATH_MAX_BYTES];
    (void)snprintf(config.base_model, sizeof config.base_model, "%s", model);
    assert_ok(od_program_build(&spec, &options, &program, &err), &err);
    assert_ok(od_plan_make(&program, &plan, &err), &err);
    assert_ok(od_arrays_make(&plan, &arrays, &err), &err);
    od_adapters_init(&program, arrays.tensor, seed);
    for (int32_t i = 0; i < program.tensor_count; i++) {
        const struct od_tensor *tensor = &program.tensors[i];
        if (tensor->role != OD_ROLE_ADAPTER || !strstr(tensor->name, "lora_B")) {
            continue;
        }
        for (int64_t j = 0; j < tensor->rows * tensor->cols; j++) {
            const struct od_philox draw = od_philox_draw(seed, 41, (uint32_t)i, (uint64_t)j);
            arrays.tensor[i][j] = od_uniform_f32(draw.word[0]) - 0.5F;
        }
    }
    assert_ok(od_adapter_config_write(&config, folder, &err), &err);
    assert_ok(od_path_join(path, folder, "adapter_model.safetensors", &err), &err);
    assert_ok(od_parts_write(program.adapters, program.adapter_count, arrays.tensor, path,
                             OD_DTYPE_F32, &err),
              &err);
    od_arrays_release(&arrays);
    od_plan_release(&plan);
    od_program_release(&program);
}

static int setup(void **state)
{
    (void)state;
    if (!have_gpu()) {
        return 0;
    }
    (void)snprintf(model, sizeof model, "%s", test_folder());
    (void)snprintf(windowed, sizeof windowed, "%s", test_folder());
    write_model(model, 0);
    write_model(windowed, WINDOW);
    for (int i = 0; i < 2; i++) {
        (void)snprintf(adapters[i], sizeof adapters[i], "%s", test_folder());
        write_adapter(adapters[i], test_seed() + 1 + (uint64_t)i);
    }
    for (int i = 0; i < LENGTH; i++) {
        ids[i] = (int32_t)(od_philox_draw(test_seed(), 42, 0, (uint64_t)i).word[0] % VOCAB);
    }
    return 0;
}

static void need_gpu(void)
{
    (void)test_gpu();  // skips, or fails where one must be
}

static struct od_engine *open_engine(const char *folder, const struct od_engine_options *options)
{
    struct od_engine *engine = NULL;
    struct od_error err = {0};
    assert_ok(od_engine_open(folder, options, &engine, &err), &err);
    return engine;
}

static float *logits_of(const char *folder, const struct od_engine_options *options)
{
    struct od_engine *engine = open_engine(folder, options);
    struct od_error err = {0};
    float *logits = od_alloc((size_t)LENGTH * VOCAB, sizeof *logits);
    assert_non_null(logits);
    memset(logits, 0xFF, (size_t)LENGTH * VOCAB * sizeof *logits);
    assert_ok(od_engine_logits(engine, ids, LENGTH, logits, &err), &err);
    od_engine_close(engine);
    return logits;
}

static int64_t largest(const float *row)
{
    int64_t at = 0;
    for (int64_t i = 1; i < VOCAB; i++) {
        at = row[i] > row[at] ? i : at;
    }
    return at;
}

static void compare(const float *got, const float *want, int64_t rows, const char *what)
{
    double error = 0.0;
    double norm = 0.0;
    int others = 0;
    for (int64_t i = 0; i < rows * VOCAB; i++) {
        const double d = (double)got[i] - (double)want[i];
        error += d * d;
        norm += (double)want[i] * (double)want[i];
    }
    for (int64_t t = 0; t < rows; t++) {
        const float *row = want + t * VOCAB;
        const int64_t best = largest(row);
        const int64_t chosen = largest(got + t * VOCAB);
        others += chosen != best;
        assert_true((double)(row[best] - row[chosen]) <= MARGIN * fabs((double)row[best]));
    }
    error = sqrt(error / norm);
    print_message("#   %s: %.2g, %d of %d likeliest tokens differ\n", what, error, others,
                  (int)rows);
    assert_true(error < LOGIT_BOUND);  // no number is a failure, too
}

static void logits_are_the_cpu_s(void **state)
{
    (void)state;
    need_gpu();
    const char *const folders[] = {model, windowed};
    const struct od_engine_options cpu = {.threads = 2, .context = CONTEXT};
    for (int i = 0; i < 2; i++) {
        float *want = logits_of(folders[i], &cpu);
        for (int invariant = 0; invariant < 2; invariant++) {
            const struct od_engine_options gpu = {
                .on_gpu = true, .context = CONTEXT, .not_batch_invariant = invariant == 0};
            float *got = logits_of(folders[i], &gpu);
            compare(got, want, LENGTH, i == 0 ? "plain" : "window");
            od_free(got);
        }
        // One row and two at a time: the products of few rows, with norms inside.
        for (int64_t rows = 1; i == 0 && rows <= 2; rows++) {
            const struct od_engine_options few = {.on_gpu = true,
                                                  .slots = 1,
                                                  .context = CONTEXT,
                                                  .pass_tokens = rows,
                                                  .not_batch_invariant = true};
            float *got = logits_of(folders[i], &few);
            compare(got, want, LENGTH, rows == 1 ? "row by row" : "two rows at a time");
            od_free(got);
        }
        od_free(want);
    }
}

// A prompt in one pass, in pieces, and row by row.
static void pieces_have_the_same_bits(void **state)
{
    (void)state;
    need_gpu();
    const char *const folders[] = {model, windowed};
    static const int64_t passes[] = {1, 7, 61, 65, 129};
    const size_t bytes = (size_t)LENGTH * VOCAB * sizeof(float);
    for (int f = 0; f < 2; f++) {
        const struct od_engine_options whole = {
            .on_gpu = true, .context = CONTEXT, .pass_tokens = CONTEXT};
        float *want = logits_of(folders[f], &whole);
        for (size_t i = 0; i < sizeof passes / sizeof passes[0]; i++) {
            const struct od_engine_options options = {
                .on_gpu = true, .slots = 1, .context = CONTEXT, .pass_tokens = passes[i]};
            float *got = logits_of(folders[f], &options);
            assert_memory_equal(got, want, bytes);
            od_free(got);
        }
        od_free(want);
    }
}

// Some rows of a sequence in a pass.
struct piece {
    int32_t slot;
    int32_t position;  // of the first
    int32_t rows;
};
enum { MIXED_PASSES = 2, MIXED_PIECES = 4, MIXED_SLOTS = 5, MIXED_ROWS = 760, MIXED_LOGITS = 256 };
// Two long prompts at once, the shortest that is one and one that is too short; a prompt beside what follows
// the others.
static const struct piece mixed[MIXED_PASSES][MIXED_PIECES] = {
    {{0, 0, 300}, {1, 0, 330}, {2, 0, 63}, {4, 0, 64}},
    {{2, 63, 1}, {3, 0, 310}, {0, 300, 150}, {1, 330, 1}}};
enum { MIXED_PROMPT_ROWS = 300 + 330 + 64 + 310, MIXED_OTHER_ROWS = 63 + 1 + 150 + 1 };

// Fill in a pass: fresh ids, and the logits of every third row.
static void mixed_pass(const struct od_machine *machine, int index, struct od_pass *pass)
{
    pass->rows = 0;
    pass->logit_rows = 0;
    for (int i = 0; i < MIXED_PIECES; i++) {
        const struct piece *piece = &mixed[index][i];
        for (int32_t r = 0; r < piece->rows; r++) {
            const int64_t t = pass->rows++;
            const int32_t position = piece->position + r;
            machine->ids[t] =
                (int32_t)(od_philox_draw(test_seed(), 43, (uint32_t)piece->slot, (uint64_t)position)
                              .word[0] %
                          VOCAB);
            machine->positions[t] = position;
            machine->cache_slot[t] = piece->slot;
            pass->adapter[t] = -1;
            if (t % 3 == 0 || piece->rows == 1) {
                pass->logit_slot[pass->logit_rows] = piece->slot;
                pass->logit_position[pass->logit_rows] = position;
                pass->logit_adapter[pass->logit_rows++] = -1;
            }
        }
    }
    assert_true(pass->rows <= MIXED_ROWS && pass->logit_rows <= MIXED_LOGITS);
}

// The mixed passes on a machine: logits of each [MIXED_PASSES, MIXED_LOGITS, VOCAB], and their number.
static void run_mixed(const char *folder, const struct od_engine_options *engine, int64_t window,
                      float *logits, int64_t counts[MIXED_PASSES])
{
    enum { TABLE = CONTEXT / 16 };
    static int32_t page_table[MIXED_SLOTS * TABLE];
    static int32_t room[4][MIXED_ROWS];
    const struct od_spec spec = spec_of(window);
    struct od_model_place place = {0};
    struct od_machine *machine = NULL;
    struct od_error err = {0};
    for (int32_t i = 0; i < MIXED_SLOTS * TABLE; i++) {
        page_table[i] = (i * 37 + 5) % (MIXED_SLOTS * TABLE);  // 37 has no factor of it
    }
    assert_ok(od_model_find(folder, NULL, &place, &err), &err);
    const struct od_machine_options options = {.spec = &spec,
                                               .place = &place,
                                               .engine = engine,
                                               .pass_tokens = MIXED_ROWS,
                                               .slot_count = MIXED_SLOTS,
                                               .table_pages = TABLE,
                                               .cache_pages = (int64_t)MIXED_SLOTS * TABLE,
                                               .page_table = page_table};
    assert_ok(engine->on_gpu ? od_machine_open_gpu(&options, &machine, &err)
                             : od_machine_open_cpu(&options, &machine, &err),
              &err);
    for (int i = 0; i < MIXED_PASSES; i++) {
        struct od_pass pass = {.ids = machine->ids,
                               .positions = machine->positions,
                               .cache_slot = machine->cache_slot,
                               .adapter = room[0],
                               .logit_slot = room[1],
                               .logit_position = room[2],
                               .logit_adapter = room[3]};
        mixed_pass(machine, i, &pass);
        assert_true(pass.logit_rows <= machine->logit_rows_max);
        assert_ok(machine->run(machine, &pass, &err), &err);
        for (int64_t t = 0; t < pass.logit_rows; t++) {
            memcpy(logits + (i * (int64_t)MIXED_LOGITS + t) * VOCAB,
                   machine->logits + t * machine->logits_stride, VOCAB * sizeof *logits);
        }
        counts[i] = pass.logit_rows;
    }
    machine->close(machine);
}

// The mixed passes on the card: as the CPU has them, rows on the way that they should take.
static void expect_mixed(const char *folder, int64_t window, bool invariant, const float *want)
{
    static float got[MIXED_PASSES * MIXED_LOGITS * VOCAB];
    const struct od_engine_options gpu = {.on_gpu = true, .not_batch_invariant = !invariant};
    int64_t counts[MIXED_PASSES];
#ifdef ON_SOFT_CARD
    const int64_t prompts = invariant ? 0 : MIXED_PROMPT_ROWS;
    soft_rows.paged = soft_rows.trained = 0;
#endif
    run_mixed(folder, &gpu, window, got, counts);
    for (int p = 0; p < MIXED_PASSES; p++) {
        const int64_t first = p * (int64_t)MIXED_LOGITS * VOCAB;
        compare(got + first, want + first, counts[p], window == 0 ? "mixed" : "mixed, window");
    }
#ifdef ON_SOFT_CARD
    assert_int_equal(soft_rows.trained, prompts * LAYERS);
    assert_int_equal(soft_rows.paged, (MIXED_PROMPT_ROWS + MIXED_OTHER_ROWS - prompts) * LAYERS);
#endif
}

static void prompts_beside_others_are_the_cpu_s(void **state)
{
    static float want[MIXED_PASSES * MIXED_LOGITS * VOCAB];
    (void)state;
    need_gpu();
    for (int i = 0; i < 2; i++) {
        const char *folder = i == 0 ? model : windowed;
        const int64_t window = i == 0 ? 0 : WINDOW;
        const struct od_engine_options cpu = {.threads = 2};
        int64_t counts[MIXED_PASSES];
        run_mixed(folder, &cpu, window, want, counts);
        expect_mixed(folder, window, /* invariant= */ true, want);
        expect_mixed(folder, window, /* invariant= */ false, want);
#ifdef ON_SOFT_CARD
        soft_capability = 80;  // whose kernels have a block for each tile
        expect_mixed(folder, window, /* invariant= */ false, want);
        soft_capability = 90;
#endif
    }
}

struct caller {
    pthread_t thread;
    const struct od_responder *responder;
    int first;
    struct od_buf answer[PROMPTS];
    bool failed;
};

// Prompts that begin alike; two in three want an adapter, some are echoed.
static struct od_process_request request_of(int index)
{
    static const char *const names[] = {NULL, "a", "b"};
    struct od_process_request request = OD_PROCESS_REQUEST_INIT;
    request.prompt = "";
    request.prompt_ids = ids;
    request.prompt_id_count = (size_t)(40 + index / 3 * 101 + index % 3);
    request.max_new_tokens = 30 + index;
    request.temperature = index % 2 == 0 ? 0.0 : 0.9;
    request.has_seed = true;
    request.seed = (uint64_t)index;
    request.echo_prompt = index % 4 == 1;
    request.adapter = names[index % 3];
    return request;
}

static void *ask_all(void *argument)
{
    struct caller *caller = argument;
    for (int i = 0; i < PROMPTS; i++) {
        const int at = (caller->first + i) % PROMPTS;
        const struct od_process_request request = request_of(at);
        struct od_process_result result;
        struct od_buf *out = &caller->answer[at];
        od_process_result_init(&result);
        od_buf_init(out, 1 << 20);
        caller->failed = caller->responder->process(caller->responder->context, &request, &result,
                                                    NULL) != OD_OK ||
                         caller->failed;
        for (size_t t = 0; t < result.token_count; t++) {
            od_buf_printf(out, "%d %a\n", result.tokens[t].id, result.tokens[t].logprob);
        }
        od_process_result_release(&result);
    }
    return NULL;
}

static void release_caller(struct caller *caller)
{
    for (int i = 0; i < PROMPTS; i++) {
        od_buf_release(&caller->answer[i]);
    }
}

static const char *const adapter_names[] = {"a", "b"};
static const char *const adapter_folders[] = {adapters[0], adapters[1]};

static struct od_engine_options with_adapters(int64_t slots, int64_t pass_tokens)
{
    return (struct od_engine_options){.on_gpu = true,
                                      .slots = slots,
                                      .context = CONTEXT,
                                      .pass_tokens = pass_tokens,
                                      .adapter_names = adapter_names,
                                      .adapter_folders = adapter_folders,
                                      .adapter_count = 2};
}

static void neighbours_change_nothing(void **state)
{
    (void)state;
    static struct caller alone;
    static struct caller callers[CALLERS];
    need_gpu();
    struct od_engine_options options = with_adapters(1, 512);
    options.no_prefix_reuse = true;
    struct od_engine *engine = open_engine(model, &options);
    alone = (struct caller){.responder = od_engine_responder(engine)};
    (void)ask_all(&alone);
    assert_false(alone.failed);
    od_engine_close(engine);
    for (int i = 1; i < PROMPTS; i++) {
        assert_string_not_equal(od_buf_text(&alone.answer[i]), od_buf_text(&alone.answer[i - 1]));
    }
    static const int64_t settings[][3] = {{5, 7, 0}, {4, 2048, 0}, {6, 61, 512}};
    for (size_t s = 0; s < sizeof settings / sizeof settings[0]; s++) {
        options = with_adapters(settings[s][0], settings[s][1]);
        options.cache_tokens = settings[s][2];
        engine = open_engine(model, &options);
        for (int i = 0; i < CALLERS; i++) {
            callers[i] =
                (struct caller){.responder = od_engine_responder(engine), .first = i / 2 * 3};
            assert_int_equal(pthread_create(&callers[i].thread, NULL, ask_all, &callers[i]), 0);
        }
        for (int i = 0; i < CALLERS; i++) {
            assert_int_equal(pthread_join(callers[i].thread, NULL), 0);
            assert_false(callers[i].failed);
            for (int p = 0; p < PROMPTS; p++) {
                assert_string_equal(od_buf_text(&callers[i].answer[p]),
                                    od_buf_text(&alone.answer[p]));
            }
            release_caller(&callers[i]);
        }
        assert_true(od_engine_counts(engine).reused_tokens > 0);
        od_engine_close(engine);
    }
    release_caller(&alone);
}

// The log-probabilities of a prompt's tokens.
static void prompt_logprobs(const struct od_engine_options *options, const char *adapter,
                            double logprobs[LENGTH])
{
    struct od_engine *engine = open_engine(model, options);
    const struct od_responder *responder = od_engine_responder(engine);
    struct od_process_request request = OD_PROCESS_REQUEST_INIT;
    struct od_process_result result;
    struct od_error err = {0};
    request.prompt = "";
    request.prompt_ids = ids;
    request.prompt_id_count = LENGTH;
    request.max_new_tokens = 0;
    request.echo_prompt = true;
    request.adapter = adapter;
    od_process_result_init(&result);
    assert_ok(responder->process(responder->context, &request, &result, &err), &err);
    assert_in_range(result.token_count, LENGTH - 1, LENGTH);
    for (size_t t = 0; t + 1 < LENGTH; t++) {
        logprobs[t] = result.tokens[t].logprob;
    }
    od_process_result_release(&result);
    od_engine_close(engine);
}

static double distance(const double *a, const double *b)
{
    double sum = 0.0;
    for (int t = 0; t + 1 < LENGTH; t++) {
        sum += (a[t] - b[t]) * (a[t] - b[t]);
    }
    return sqrt(sum / (double)LENGTH);
}

// An adapter beside the base and one in it, on the GPU and on the CPU: the same log-probabilities.
static void adapters_are_the_cpu_s(void **state)
{
    static double logprobs[2][2][LENGTH];  // on the CPU, on the GPU; apart, merged
    static double plain[LENGTH];
    (void)state;
    need_gpu();
    for (int gpu = 0; gpu < 2; gpu++) {
        struct od_engine_options options = with_adapters(2, 128);
        options.threads = 2;
        options.on_gpu = gpu == 1;
        prompt_logprobs(&options, "a", logprobs[gpu][0]);
        prompt_logprobs(&options, NULL, plain);
        options.adapter_count = 0;
        options.adapter = adapters[0];
        prompt_logprobs(&options, NULL, logprobs[gpu][1]);
    }
    const double apart = distance(logprobs[1][0], logprobs[0][0]);
    const double merged = distance(logprobs[1][1], logprobs[0][1]);
    const double ways = distance(logprobs[0][0], logprobs[0][1]);
    const double without = distance(plain, logprobs[0][1]);
    print_message("#   apart %.2g, merged %.2g; apart and merged on the CPU %.2g; without %.2g\n",
                  apart, merged, ways, without);
    assert_true(apart < LOGPROB_BOUND && merged < LOGPROB_BOUND && ways < 1e-4);
    assert_true(without > 5.0 * LOGPROB_BOUND);
}

static void what_does_not_fit_is_refused(void **state)
{
    (void)state;
    need_gpu();
    const struct od_engine_options options = {
        .on_gpu = true, .context = CONTEXT, .max_bytes = (uint64_t)1 << 20};
    struct od_engine *engine = NULL;
    struct od_error err = {0};
    assert_int_equal(od_engine_open(model, &options, &engine, &err), OD_E_REFUSED);
    assert_non_null(strstr(err.message, "--context"));
}

#ifdef ON_SOFT_CARD
// A card that falls off: requests that run and those that come later end with its reason.
static void a_card_that_fails_is_said(void **state)
{
    (void)state;
    const struct od_engine_options options = {.on_gpu = true, .context = CONTEXT};
    struct od_engine *engine = open_engine(model, &options);
    struct od_error err = {0};
    float *logits = od_alloc((size_t)LENGTH * VOCAB, sizeof *logits);
    assert_non_null(logits);
    assert_ok(od_engine_logits(engine, ids, LENGTH, logits, &err), &err);
    soft_is_gone = true;
    for (int i = 0; i < 2; i++) {
        err = (struct od_error){0};
        assert_int_equal(od_engine_logits(engine, ids, LENGTH, logits, &err), OD_E_IO);
        assert_string_equal(err.message, "the card is gone");
    }
    soft_is_gone = false;
    od_engine_close(engine);
    od_free(logits);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logits_are_the_cpu_s),
        cmocka_unit_test(pieces_have_the_same_bits),
        cmocka_unit_test(prompts_beside_others_are_the_cpu_s),
        cmocka_unit_test(neighbours_change_nothing),
        cmocka_unit_test(adapters_are_the_cpu_s),
        cmocka_unit_test(what_does_not_fit_is_refused),
#ifdef ON_SOFT_CARD
        cmocka_unit_test(a_card_that_fails_is_said),
#endif
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
