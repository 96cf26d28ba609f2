// Goal: the winning recipes of 2023 in recipes/ say what their teams did, fit the card of their track by
// the plan, and train.
// Method: the files as they stand, beside generated rows of the types that they name; the plan with the
// bases' own shapes, three steps with small bases of the same families and shorter rows.

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/status.h"
#include "data/dataset.h"
#include "flow/forecast.h"
#include "flow/model_files.h"
#include "plan/cost.h"
#include "support.h"
#include "text/byte_tokenizer.h"
#include "tune/recipe.h"
#include "tune/run.h"

enum { ROWS = 48, RECIPE_MAX_BYTES = 1 << 16, STEPS = 3 };

static const char mistral[] =
    "{\"model_type\":\"mistral\",\"vocab_size\":32000,\"hidden_size\":4096,"
    "\"intermediate_size\":14336,\"num_hidden_layers\":32,\"num_attention_heads\":32,"
    "\"num_key_value_heads\":8,\"max_position_embeddings\":32768,\"sliding_window\":4096,"
    "\"rms_norm_eps\":1e-5,\"bos_token_id\":256,\"eos_token_id\":257}";
static const char qwen[] =
    "{\"model_type\":\"qwen2\",\"vocab_size\":152064,\"hidden_size\":5120,"
    "\"intermediate_size\":13696,\"num_hidden_layers\":40,\"num_attention_heads\":40,"
    "\"num_key_value_heads\":40,\"max_position_embeddings\":32768,\"rms_norm_eps\":1e-6,"
    "\"rope_theta\":1000000.0,\"bos_token_id\":256,\"eos_token_id\":257}";
static const char small_mistral[] =
    "{\"model_type\":\"mistral\",\"vocab_size\":259,\"hidden_size\":128,\"intermediate_size\":192,"
    "\"num_hidden_layers\":2,\"num_attention_heads\":4,\"num_key_value_heads\":2,"
    "\"max_position_embeddings\":256,\"sliding_window\":64,\"rms_norm_eps\":1e-5,"
    "\"bos_token_id\":256,\"eos_token_id\":257}";
static const char small_qwen[] =
    "{\"model_type\":\"qwen2\",\"vocab_size\":259,\"hidden_size\":128,\"intermediate_size\":192,"
    "\"num_hidden_layers\":2,\"num_attention_heads\":4,\"num_key_value_heads\":4,"
    "\"max_position_embeddings\":256,\"rms_norm_eps\":1e-6,\"bos_token_id\":256,"
    "\"eos_token_id\":257}";

/** A base that recipes name. */
struct base {
    const char *folder;
    const char *config;
    const char *small_config;
};
static const struct base bases[] = {{"models/Mistral-7B-v0.1", mistral, small_mistral},
                                    {"models/Qwen1.5-14B", qwen, small_qwen}};

/** A recipe and what its team published of it. */
struct winner {
    const char *file;
    const char *card;
    uint64_t cap_bytes;
    enum od_quant quant;
    int64_t rank;
    double alpha;
    size_t targets;
    double rate;
    int64_t rows_per_step;
    double epochs;      ///< 0: steps
    int64_t max_steps;  ///< 0: epochs
    int64_t length;
};
static const uint64_t GB = 1000000000;

static const struct winner winners[] = {
    {"4090-first.yaml", "rtx-4090", 24 * GB, OD_QUANT_NF4, 128, 256, 7, 2e-5, 8, 3, 0, 8192},
    {"4090-second.yaml", "rtx-4090", 24 * GB, OD_QUANT_NF4, 128, 32, 7, 3e-5, 16, 0, 2345, 1600},
    {"4090-third.yaml", "rtx-4090", 24 * GB, OD_QUANT_NF4, 8, 32, 7, 2e-5, 8, 0, 450, 2048},
    {"a100-first.yaml", "a100-40gb", 40 * GB, OD_QUANT_NONE, 8, 32, 5, 5e-5, 8, 1, 0, 1024},
    {"a100-second.yaml", "a100-40gb", 40 * GB, OD_QUANT_INT8, 8, 32, 2, 1e-4, 32, 5, 0, 512},
    {"a100-third.yaml", "a100-40gb", 40 * GB, OD_QUANT_NONE, 16, 32, 7, 3e-5, 16, 0, 2345, 1600},
    {"a100-student.yaml", "a100-40gb", 40 * GB, OD_QUANT_NONE, 3, 16, 2, 2e-5, 32, 1, 0, 4096},
};
enum { WINNERS = sizeof winners / sizeof winners[0], BASES = sizeof bases / sizeof bases[0] };

static const char *in(const char *folder, const char *name)
{
    static char path[4][OD_PATH_MAX_BYTES];
    static int next;
    next = (next + 1) % 4;
    assert_int_equal(od_path_join(path[next], folder, name, NULL), OD_OK);
    return path[next];
}

static void put(const char *path, const char *text)
{
    struct od_error err = {0};
    assert_ok(od_file_write(path, text, strlen(text), &err), &err);
}

// The text of a recipe as it stands in recipes/.
static char *text_of(const struct winner *winner)
{
    struct od_error err = {0};
    char name[64];
    char *text = NULL;
    size_t size = 0;
    (void)snprintf(name, sizeof name, "recipes/%s", winner->file);
    assert_ok(od_file_read(test_source(name), RECIPE_MAX_BYTES, &text, &size, &err), &err);
    return text;
}

static void parse(const char *text, const char *world, struct od_recipe *ret)
{
    struct od_error err = {0};
    assert_ok(od_recipe_parse(text, strlen(text), "recipe", world, ret, &err), &err);
}

static void put_row(struct od_buf *out, enum od_dataset_type type, int i)
{
    const int sum = i + i % 7;
    switch (type) {
    case OD_DATASET_ALPACA:
        od_buf_printf(out, "{\"instruction\": \"%d plus %d?\", \"output\": \"%d\"}\n", i, i % 7,
                      sum);
        return;
    case OD_DATASET_CHAT:
        od_buf_printf(out,
                      "{\"messages\": [{\"role\": \"user\", \"content\": \"%d plus %d?\"}, "
                      "{\"role\": \"assistant\", \"content\": \"%d\"}]}\n",
                      i, i % 7, sum);
        return;
    case OD_DATASET_INPUT_OUTPUT:
    case OD_DATASET_OWN:
        od_buf_printf(out, "{\"input\": \"%d plus %d is\", \"output\": \" %d\"}\n", i, i % 7, sum);
        return;
    case OD_DATASET_COMPLETION:
    case OD_DATASET_ALPACA_CHAT:
    case OD_DATASET_OASST:
    case OD_DATASET_TYPES: fail_msg("no rows of type %d", (int)type);
    }
}

// Every data file that the recipe names.
static void put_data(const char *world, const char *text)
{
    struct od_error err = {0};
    struct od_recipe recipe;
    struct od_buf rows;
    parse(text, world, &recipe);
    assert_ok(od_dir_make(in(world, "data"), &err), &err);
    for (size_t d = 0; d < recipe.dataset_count; d++) {
        od_buf_init(&rows, 1 << 20);
        for (int i = 0; i < ROWS; i++) {
            put_row(&rows, recipe.datasets[d].type, i);
        }
        put(recipe.datasets[d].path, od_buf_text(&rows));
        od_buf_release(&rows);
    }
    od_recipe_release(&recipe);
}

static void said_as_published(void **state)
{
    (void)state;
    for (size_t i = 0; i < WINNERS; i++) {
        const struct winner *winner = &winners[i];
        struct od_recipe recipe;
        char *text = text_of(winner);
        parse(text, ".", &recipe);
        print_message("# %s\n", winner->file);
        assert_int_equal(recipe.method, OD_METHOD_LORA);
        assert_int_equal(recipe.quant, winner->quant);
        assert_int_equal(recipe.lora_r, winner->rank);
        assert_true(recipe.lora_alpha == winner->alpha);
        assert_int_equal(recipe.lora_target_count, winner->targets);
        assert_true(recipe.learning_rate == winner->rate);
        assert_int_equal(recipe.micro_batch_size * recipe.gradient_accumulation_steps,
                         winner->rows_per_step);
        assert_int_equal(recipe.max_steps, winner->max_steps);
        assert_true(winner->max_steps > 0 || recipe.num_epochs == winner->epochs);
        assert_int_equal(recipe.sequence_len, winner->length);
        assert_true(recipe.budget.vram_bytes == winner->cap_bytes);
        assert_true(recipe.budget.time_s == 24.0 * 3600.0);
        assert_int_equal(recipe.note_count, 0);  // no key without effect
        od_recipe_release(&recipe);
        od_free(text);
    }
}

static bool fits(const char *text, const char *world, const char *card, uint64_t cap_bytes)
{
    struct od_error err = {0};
    struct od_forecast forecast;
    struct od_card_forecast on_card;
    struct od_recipe recipe;
    parse(text, world, &recipe);
    assert_ok(od_forecast_make(&recipe, 1, true, &forecast, &err), &err);
    assert_ok(od_forecast_card(&recipe, &forecast, od_card_find(card), cap_bytes, &on_card, &err),
              &err);
    const enum od_status status =
        od_forecast_card_check(&recipe, &forecast, &on_card, recipe.budget.time_s, &err);
    assert_true(status == OD_OK || status == OD_E_REFUSED);
    assert_true((status == OD_OK) == on_card.fits);
    assert_true(!on_card.fits || on_card.bytes <= cap_bytes);
    od_recipe_release(&recipe);
    return status == OD_OK;
}

static void planned_on_their_cards(void **state)
{
    (void)state;
    struct od_error err = {0};
    const char *world = test_folder();
    for (size_t b = 0; b < BASES; b++) {
        const char *folder = in(world, bases[b].folder);
        assert_ok(od_dir_make(folder, &err), &err);
        put(in(folder, "config.json"), bases[b].config);
        assert_ok(od_tokenizer_write_bytes(folder, &err), &err);
    }
    for (size_t i = 0; i < WINNERS; i++) {
        char *text = text_of(&winners[i]);
        put_data(world, text);
        print_message("# %s\n", winners[i].file);
        assert_true(fits(text, world, winners[i].card, winners[i].cap_bytes));
        // 14 billion weights of 16 bits are more than the smaller card has.
        if (strstr(text, bases[1].folder) && winners[i].quant == OD_QUANT_NONE) {
            assert_false(fits(text, world, "rtx-4090", 24 * GB));
        }
        od_free(text);
    }
}

// The same recipe for a few steps on short rows.
static void put_short(const char *path, const char *text)
{
    struct od_buf out;
    od_buf_init(&out, RECIPE_MAX_BYTES);
    for (const char *line = text; *line != '\0';) {
        const size_t length = strcspn(line, "\n");
        if (strncmp(line, "sequence_len:", 13) == 0) {
            od_buf_puts(&out, "sequence_len: 256\n");
        } else if (strncmp(line, "max_steps:", 10) != 0) {
            od_buf_printf(&out, "%.*s\n", (int)length, line);
        }
        line += length + (line[length] == '\n' ? 1 : 0);
    }
    od_buf_printf(&out, "max_steps: %d\n", STEPS);
    put(path, od_buf_text(&out));
    od_buf_release(&out);
}

static void trained(void **state)
{
    (void)state;
    struct od_error err = {0};
    const char *world = test_folder();
    assert_ok(od_dir_make(in(world, "models"), &err), &err);
    for (size_t b = 0; b < BASES; b++) {
        put(in(world, "config.json"), bases[b].small_config);
        assert_ok(
            od_model_init(in(world, "config.json"), NULL, 5, 1, in(world, bases[b].folder), &err),
            &err);
    }
    for (size_t i = 0; i < WINNERS; i++) {
        struct od_tune_result result = {0};
        char *text = text_of(&winners[i]);
        char run_dir[OD_PATH_MAX_BYTES];
        print_message("# %s\n", winners[i].file);
        put_data(world, text);
        put_short(in(world, "recipe.yaml"), text);
        (void)snprintf(run_dir, sizeof run_dir, "%s/run-%zu", world, i);
        const struct od_tune_options options = {.recipe_path = in(world, "recipe.yaml"),
                                                .run_dir = run_dir,
                                                .threads = 2,
                                                .allow_vector = true};
        assert_ok(od_tune_run(&options, &result, &err), &err);
        assert_int_equal(result.steps, STEPS);
        // A base that knows nothing guesses among 259 bytes.
        assert_true(fabs(result.first_loss - log(259.0)) < 1.0);
        assert_true(isfinite(result.last_loss) && result.last_loss > 0.0);
        assert_true((strstr(text, "val_set_size:") != NULL) == (result.best_step >= 0));
        assert_true(od_path_exists(in(run_dir, "adapter/adapter_model.safetensors")));
        od_free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(said_as_published),
                                       cmocka_unit_test(planned_on_their_cards),
                                       cmocka_unit_test(trained)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
