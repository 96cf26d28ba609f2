// Goal: the benchmark of the engine measures what it says: every batch and the prompt once, with the
// bytes that a pass reads, and times in order. Method: a tiny shape with random weights; no speed is
// asked for.

#include "flow/bench_infer.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/status.h"
#include "infer/engine.h"
#include "support.h"
#include "text/byte_tokenizer.h"

enum {
    VOCAB = 259,
    CHANNELS = 32,
    FFN = 44,
    KV = 24,
    QUERY = 48,
    LAYERS = 2,
    ROWS_MAX = 8,
    PANEL = 16
};
static const char config[] =
    "{\"model_type\":\"llama\",\"vocab_size\":259,\"hidden_size\":32,\"intermediate_size\":44,"
    "\"num_hidden_layers\":2,\"num_attention_heads\":4,\"num_key_value_heads\":2,"
    "\"head_dim\":12,\"max_position_embeddings\":64,\"tie_word_embeddings\":false,"
    "\"rope_theta\":5000.0,\"rms_norm_eps\":2e-5,\"initializer_range\":0.3}";

struct seen {
    int rows;
    struct od_bench_infer_row row[ROWS_MAX];
};

static void take(void *context, const struct od_bench_infer_row *row)
{
    struct seen *seen = context;
    assert_true(seen->rows < ROWS_MAX);
    seen->row[seen->rows++] = *row;
}

static void write_shape(const char *folder, char path[OD_PATH_MAX_BYTES])
{
    struct od_error err = {0};
    assert_ok(od_path_join(path, folder, "config.json", &err), &err);
    assert_ok(od_file_write(path, config, strlen(config), &err), &err);
}

// Rows of a packed weight: whole panels.
static size_t packed(size_t rows, size_t cols)
{
    return (rows + PANEL - 1) / PANEL * PANEL * cols;
}

// By hand from the config: query, key and value in one; gate and up in one; the head.
static size_t weights(void)
{
    return LAYERS * (packed(QUERY + (size_t)2 * KV, CHANNELS) + packed(CHANNELS, QUERY) +
                     packed((size_t)2 * FFN, CHANNELS) + packed(CHANNELS, FFN)) +
           packed(VOCAB, CHANNELS);
}

static void everything_is_measured_once(void **state)
{
    (void)state;
    static const int64_t batches[] = {1, 3};
    char shape[OD_PATH_MAX_BYTES];
    struct od_error err = {0};
    write_shape(test_folder(), shape);
    for (int f32 = 0; f32 < 2; f32++) {
        struct seen seen = {.rows = 0};
        const struct od_bench_infer_options options = {.shape = shape,
                                                       .f32 = f32 == 1,
                                                       .threads = 2,
                                                       .allow_vector = true,
                                                       .prompt = 20,
                                                       .depth = 3,
                                                       .tokens = 7,
                                                       .batches = batches,
                                                       .batch_count = 2,
                                                       .rounds = 2,
                                                       .fn = take,
                                                       .context = &seen};
        assert_ok(od_bench_infer(&options, &err), &err);
        assert_int_equal(seen.rows, 3);
        for (int i = 0; i < 3; i++) {
            const struct od_bench_infer_row *row = &seen.row[i];
            assert_string_equal(row->what, i < 2 ? "decode" : "prefill");
            assert_int_equal(row->batch, i == 1 ? 3 : 1);
            assert_int_equal(row->context, i < 2 ? 3 : 20);
            assert_int_equal(row->tokens, i == 0 ? 7 : i == 1 ? 21 : 20);
            assert_int_equal(row->threads, 2);
            assert_int_equal(row->rounds, 2);
            assert_int_equal(row->weight_bytes, weights() * (f32 == 1 ? 4 : 2));
            assert_true(row->tokens_per_s > 0.0);
            assert_true(row->rate > 0.0);
            assert_true(row->cpu_s > 0.0);
        }
    }
}

static void senseless_options_are_refused(void **state)
{
    (void)state;
    static const int64_t batch = 1;
    static const int64_t too_many = OD_BENCH_INFER_BATCH_MAX + 1;
    struct od_error err = {0};
    struct seen seen = {.rows = 0};
    const struct od_bench_infer_options good = {.shape = "no such shape",
                                                .depth = 1,
                                                .tokens = 1,
                                                .batches = &batch,
                                                .batch_count = 1,
                                                .rounds = 1,
                                                .fn = take,
                                                .context = &seen};
    struct od_bench_infer_options options = good;
    assert_int_equal(od_bench_infer(&options, &err), OD_E_ARGUMENT);
    assert_non_null(strstr(err.message, "no such shape"));
    options = good;
    options.batches = &too_many;
    assert_int_equal(od_bench_infer(&options, &err), OD_E_ARGUMENT);
    options = good;
    options.rounds = 0;
    assert_int_equal(od_bench_infer(&options, &err), OD_E_ARGUMENT);
    options = good;
    options.depth = 0;
    assert_int_equal(od_bench_infer(&options, &err), OD_E_ARGUMENT);
    assert_int_equal(seen.rows, 0);
}

// Times of tokens rise, and no token ends the sequence.
static void tokens_have_times(void **state)
{
    (void)state;
    enum { TOKENS = 40 };
    const struct od_engine_options options = {
        .threads = 1, .context = 64, .weights = OD_ENGINE_WEIGHTS_DRAWN_BF16};
    char path[OD_PATH_MAX_BYTES];
    struct od_error err = {0};
    struct od_engine *engine = NULL;
    double token_s[TOKENS] = {0.0};
    double cpu_s[TOKENS] = {0.0};
    const int32_t ids[] = {5, 7};
    struct od_engine_timing timing = {
        .ids = ids, .count = 2, .new_count = TOKENS, .token_s = token_s, .cpu_s = cpu_s};
    const char *folder = test_folder();
    write_shape(folder, path);
    assert_ok(od_tokenizer_write_bytes(folder, &err), &err);
    assert_ok(od_engine_open(folder, &options, &engine, &err), &err);
    assert_ok(od_engine_time(engine, &timing, 1, &err), &err);
    assert_true(token_s[0] > timing.start_s);
    for (int i = 1; i < TOKENS; i++) {
        assert_true(token_s[i] > token_s[i - 1]);
        assert_true(cpu_s[i] >= cpu_s[i - 1]);
    }
    timing.new_count = 63;
    assert_int_equal(od_engine_time(engine, &timing, 1, &err), OD_E_ARGUMENT);
    od_engine_close(engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_is_measured_once),
        cmocka_unit_test(senseless_options_are_refused),
        cmocka_unit_test(tokens_have_times),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
