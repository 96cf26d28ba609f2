// Goal: questions with five examples in front cost a fifth or less of the work when their beginnings are
// shared, and their answers are the same. Method: rows that the engine computed, which depend on
// nothing but the prompts, on a tiny model: MMLU's own questions, and made-up ones.

#include "flow/bench_prompts.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/status.h"
#include "support.h"

static const char config[] =
    "{\"model_type\":\"llama\",\"vocab_size\":259,\"hidden_size\":16,\"intermediate_size\":20,"
    "\"num_hidden_layers\":1,\"num_attention_heads\":2,\"num_key_value_heads\":1,"
    "\"head_dim\":8,\"max_position_embeddings\":2048,\"tie_word_embeddings\":true,"
    "\"rope_theta\":10000.0,\"rms_norm_eps\":1e-5,\"initializer_range\":0.3}";

static struct od_bench_prompts_result run(const char *data, const char *subject, int64_t prompts)
{
    char shape[OD_PATH_MAX_BYTES];
    struct od_error err = {0};
    struct od_bench_prompts_result result = {.prompts = 0};
    assert_ok(od_path_join(shape, test_folder(), "config.json", &err), &err);
    assert_ok(od_file_write(shape, config, strlen(config), &err), &err);
    const struct od_bench_prompts_options options = {.shape = shape,
                                                     .threads = 2,
                                                     .allow_vector = true,
                                                     .data = data,
                                                     .subject = subject,
                                                     .prompts = prompts,
                                                     .callers = 3};
    assert_ok(od_bench_prompts(&options, &result, &err), &err);
    // Whole: every token of a prompt, and the answer's one comes out of the last row.
    assert_int_equal(result.whole.computed, result.tokens);
    assert_true(result.whole.prompts_per_s > 0.0);
    assert_true(result.shared.prompts_per_s > 0.0);
    return result;
}

static void made_up_questions(void **state)
{
    (void)state;
    const struct od_bench_prompts_result result = run(NULL, "anatomy", 40);
    assert_int_equal(result.prompts, 40);
    assert_int_equal(result.examples, 5);
    assert_true(result.whole.computed >= 5 * result.shared.computed);
}

static void questions_of_mmlu(void **state)
{
    (void)state;
    const struct od_bench_prompts_result result = run(test_shared("eval"), "anatomy", 60);
    assert_int_equal(result.prompts, 60);
    assert_int_equal(result.examples, 5);
    assert_true(result.whole.computed >= 5 * result.shared.computed);
}

static void senseless_options_are_refused(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_bench_prompts_result result;
    const struct od_bench_prompts_options good = {
        .shape = "gpt2-124m", .subject = "no such subject", .prompts = 1, .callers = 1};
    struct od_bench_prompts_options options = good;
    options.prompts = 0;
    assert_int_equal(od_bench_prompts(&options, &result, &err), OD_E_ARGUMENT);
    options = good;
    options.callers = OD_BENCH_CALLERS_MAX + 1;
    assert_int_equal(od_bench_prompts(&options, &result, &err), OD_E_ARGUMENT);
    options = good;
    options.data = test_folder();
    assert_int_equal(od_bench_prompts(&options, &result, &err), OD_E_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(made_up_questions),
        cmocka_unit_test(questions_of_mmlu),
        cmocka_unit_test(senseless_options_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
