// Goal: what a run exports answers as what it trained, and an export that does not is found out.
// Method: a tiny model is trained by each method; between its export and the check the export is left
// alone, or harmed in one place: the adapter's scale, its weights, the tokenizer, a missing file.

#include "flow/export_check.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/status.h"
#include "flow/convert.h"
#include "flow/report.h"
#include "support.h"
#include "tune/recipe.h"
#include "tune/run.h"
#include "tune/run_world.h"
#include "tune/session.h"

enum { FILE_MAX_BYTES = 1 << 24 };

// What is done to the export before it is checked.
struct harm {
    const char *file;  // in the run; NULL: nothing
    const char
        *from;  // text that is replaced by `to`, of the same length; NULL: the file is removed
    const char *to;
    bool no_time;
    struct od_export_check_context check;
};

static void replace(const char *path, const char *from, const char *to)
{
    char *text = NULL;
    size_t size = 0;
    struct od_error err = {0};
    assert_int_equal(strlen(from), strlen(to));
    assert_ok(od_file_read(path, FILE_MAX_BYTES, &text, &size, &err), &err);
    char *at = memmem(text, size, from, strlen(from));
    assert_non_null(at);
    for (size_t i = 0; to[i] != '\0'; i++) {
        at[i] = to[i];
    }
    assert_ok(od_file_write(path, text, size, &err), &err);
    od_free(text);
}

static enum od_status harm_and_check(void *context, struct od_session *session, const char *run_dir,
                                     double left_s, struct od_error *err)
{
    struct harm *harm = context;
    char path[OD_PATH_MAX_BYTES];
    if (harm->file) {
        world_join(path, run_dir, harm->file);
        if (harm->from) {
            replace(path, harm->from, harm->to);
        } else {
            assert_int_equal(unlink(path), 0);
        }
    }
    return od_export_check_hook(&harm->check, session, run_dir, harm->no_time ? 0.0 : left_s, err);
}

// Train, harm, check; the run itself is done in any case.
static const struct od_export_check *check(const char *world, struct harm *harm)
{
    char recipe[OD_PATH_MAX_BYTES];
    char run[OD_PATH_MAX_BYTES];
    char path[OD_PATH_MAX_BYTES];
    struct od_tune_result result;
    struct od_export_check_context context = {0};
    struct od_error err = {0};
    harm->check.options.threads = 2;
    world_join(recipe, world, "recipe.yaml");
    world_join(run, world, "run");
    const struct od_tune_options options = {.recipe_path = recipe,
                                            .run_dir = run,
                                            .threads = 2,
                                            .allow_vector = true,
                                            .after_export = harm_and_check,
                                            .context = harm};
    assert_ok(od_tune_run(&options, &result, &err), &err);
    // The file says what the check said.
    world_join(path, run, OD_EXPORT_CHECK_FILE);
    assert_ok(od_export_check_read(path, &context, &err), &err);
    const struct od_export_check read = context.check;
    const struct od_export_check *got = &harm->check.check;
    assert_int_equal(read.result, got->result);
    assert_string_equal(read.why, got->why);
    assert_int_equal(read.compared.prompts, got->compared.prompts);
    assert_int_equal(read.compared.positions, got->compared.positions);
    assert_true(read.compared.difference_max == got->compared.difference_max);
    assert_true(read.loss_export == got->loss_export);
    return got;
}

static const struct od_export_check *check_same(const char *method, const char *more,
                                                struct harm *harm)
{
    const struct od_export_check *got = check(world_make(method, more), harm);
    if (got->result != OD_EXPORT_SAME) {
        fail_msg("result %d: %s; logits apart by %g of %g, losses %g and %g", (int)got->result,
                 got->why, got->compared.difference_max, got->compared.logit_max, got->loss_trained,
                 got->loss_export);
    }
    assert_int_equal(got->compared.prompts, 8);
    assert_true(got->compared.positions >= 16 && got->has_logits);
    assert_true(got->compared.logit_max > 0.0 && got->loss_trained > 0.0);
    return got;
}

static void adapters(void **state)
{
    struct harm none = {0};
    (void)state;
    const struct od_export_check *got = check_same(world_lora, "", &none);
    // An adapter that is applied and one that is merged: not the same sums, so not the same bits.
    assert_true(got->compared.difference_max < 1e-4);
    assert_true(got->compared.same_best > got->compared.positions * 9 / 10);
    (void)check_same(world_lora,
                     "peft_use_rslora: true\nval_set_size: 8\nlora_dropout: 0.3\n"
                     "neftune_noise_alpha: 5\n",
                     &none);
    (void)check_same(world_lora, "load_best_model_at_end: true\nval_set_size: 8\neval_steps: 3\n",
                     &none);
}

// The export is opened on the base's own weights, which the run never saw: only losses are judged.
static void quantised_base(void **state)
{
    struct harm none = {0};
    (void)state;
    const struct od_export_check *got = check_same(world_lora, "load_in_8bit: true\n", &none);
    assert_true(got->compared.difference_max > 1e-5);
}

// The file has the tokenizer, so none lies beside the adapter.
static void gguf_base(void **state)
{
    char recipe[OD_PATH_MAX_BYTES];
    char model[OD_PATH_MAX_BYTES];
    char gguf[OD_PATH_MAX_BYTES];
    struct harm none = {0};
    struct od_buf out;
    struct od_error err = {0};
    (void)state;
    const char *world = world_make(world_lora, "");
    world_join(model, world, "model");
    world_join(gguf, world, "m.gguf");
    world_join(recipe, world, "recipe.yaml");
    const struct od_convert_options options = {
        .output = gguf, .type = "q8_0", .threads = 1, .no_check = true};
    od_buf_init(&out, 1 << 16);
    assert_ok(od_convert_gguf(model, &options, &out, &err), &err);
    od_buf_release(&out);
    replace(recipe, "base_model: model\ndatasets:\n  - path: data.jsonl\n",
            "base_model: m.gguf\ndatasets: [{path: data.jsonl,\n");
    replace(recipe, "    type: input-output\n", "  type: input-output}]\n");
    const struct od_export_check *got = check(world, &none);
    if (got->result != OD_EXPORT_SAME) {
        fail_msg("result %d: %s", (int)got->result, got->why);
    }
    assert_true(got->compared.difference_max < 1e-4);
}

static void models(void **state)
{
    struct harm none = {0};
    (void)state;
    const struct od_export_check *got = check_same(world_full, "", &none);
    assert_true(got->compared.difference_max > 0.0);  // it was rounded to bf16
}

// Seeded ids take the place of documents that are too few.
static void few_documents(void **state)
{
    struct harm none = {0};
    (void)state;
    const char *world = world_make(world_lora, "");
    world_put(world, "data.jsonl", "{\"input\": \"a\", \"output\": \"b\"}\n");
    const struct od_export_check *got = check(world, &none);
    assert_int_equal(got->result, OD_EXPORT_SAME);
    assert_int_equal(got->compared.positions, 8 * 64);
}

static void expect(const char *method, struct harm *harm, enum od_export_result want,
                   const char *words)
{
    const struct od_export_check *got = check(world_make(method, ""), harm);
    if (got->result != want || !strstr(got->why, words)) {
        fail_msg("result %d, '%s'; expected %d with '%s'", (int)got->result, got->why, (int)want,
                 words);
    }
}

static void harmed(void **state)
{
    (void)state;
    struct harm scale = {.file = "adapter/adapter_config.json",
                         .from = "\"lora_alpha\": 8",
                         .to = "\"lora_alpha\": 9"};
    struct harm gone = {.file = "adapter/adapter_model.safetensors"};
    struct harm words = {.file = "adapter/tokenizer.json",
                         .from = "\"a\": 97,\n      \"b\": 98",
                         .to = "\"a\": 98,\n      \"b\": 97"};
    struct harm model = {.file = "model/config.json",
                         .from = "\"num_key_value_heads\": 2",
                         .to = "\"num_key_value_heads\": 4"};
    struct harm eps = {.file = "model/config.json", .from = "1e-05", .to = "1e-01"};
    expect(world_lora, &scale, OD_EXPORT_DIFFERS, "does not answer as the weights");
    expect(world_lora, &gone, OD_EXPORT_DIFFERS, "adapter_model.safetensors");
    expect(world_lora, &words, OD_EXPORT_DIFFERS, "the tokenizers give other ids");
    expect(world_full, &model, OD_EXPORT_DIFFERS, "does not fit the config's");
    expect(world_full, &eps, OD_EXPORT_DIFFERS, "does not answer as the weights");
}

static void not_checked(void **state)
{
    (void)state;
    struct harm large = {.check.options.memory_max = 1000};
    struct harm late = {.no_time = true};
    expect(world_lora, &large, OD_EXPORT_NOT_CHECKED,
           "of memory, 1.00 kB are free; later: oneday tune ");
    expect(world_lora, &late, OD_EXPORT_NOT_CHECKED, "budget.time leaves no time");
}

static void in_words(void **state)
{
    (void)state;
    char run[OD_PATH_MAX_BYTES];
    struct harm none = {0};
    struct od_buf page;
    struct od_error err = {0};
    const char *world = world_make(world_lora, "");
    (void)check(world, &none);
    world_join(run, world, "run");
    od_buf_init(&page, OD_REPORT_MAX_BYTES);
    assert_ok(od_report_make(run, &page, &err), &err);
    assert_non_null(strstr(od_buf_text(&page),
                           "was opened again and answers as what was trained (8 "
                           "prompts, "));
    od_buf_release(&page);
    const struct od_export_check bad = {.result = OD_EXPORT_DIFFERS, .why = "reason"};
    od_export_check_text("the export", &bad, &page);
    assert_string_equal(od_buf_text(&page), "the export was opened again and DIFFERS: reason");
    od_buf_release(&page);
}

// What `export:` names is made and answers as what was trained, merged into what the recipe says.
static const struct od_export_check_context *check_exports(const char *method, const char *more,
                                                           unsigned want, struct harm *harm)
{
    (void)check_same(method, more, harm);
    assert_int_equal(harm->check.exports, want);
    for (int i = 0; i < OD_RECIPE_EXPORTS; i++) {
        const struct od_export_check *one = &harm->check.other[i];
        if ((want & (1u << i)) == 0) {
            continue;
        }
        if (one->result != OD_EXPORT_SAME) {
            fail_msg("%s: result %d: %s; logits apart by %g of %g", od_recipe_export_name(i),
                     (int)one->result, one->why, one->compared.difference_max,
                     one->compared.logit_max);
        }
        assert_int_equal(one->compared.prompts, 8);
    }
    return &harm->check;
}

static void exports(void **state)
{
    enum { MERGED = 0, F16 = 1, Q8_0 = 3, ADAPTER = 4 };
    struct harm none = {0};
    (void)state;
    const struct od_export_check_context *got = check_exports(
        world_lora, "export: [merged, gguf-f16, gguf-q8_0, adapter-gguf, adapter]\n",
        OD_RECIPE_MERGED | OD_RECIPE_GGUF_F16 | OD_RECIPE_GGUF_Q8_0 | OD_RECIPE_ADAPTER_GGUF,
        &none);
    // Eight bits round more than sixteen, which round more than the adapter's own 32.
    assert_true(got->other[Q8_0].compared.difference_max >
                2.0 * got->other[F16].compared.difference_max);
    assert_true(got->other[F16].compared.difference_max >
                10.0 * got->other[ADAPTER].compared.difference_max);
    got = check_exports(world_full, "export: [gguf-bf16]\n", OD_RECIPE_GGUF_BF16, &none);
    assert_true(got->other[2].compared.difference_max > 0.0);
    // Decoded weights are those that were trained on; the base's own are further away.
    static const char quantised[] = "load_in_8bit: true\nexport: [merged]\nmerge_base: ";
    char more[256];
    (void)snprintf(more, sizeof more, "%sdequant\n", quantised);
    got = check_exports(world_lora, more, OD_RECIPE_MERGED, &none);
    const double decoded = got->other[MERGED].compared.difference_max;
    (void)snprintf(more, sizeof more, "%sw16\n", quantised);
    got = check_exports(world_lora, more, OD_RECIPE_MERGED, &none);
    assert_true(decoded < got->other[MERGED].compared.difference_max);
    // Parts that GGUF adapters cannot hold go into the merged model.
    (void)check_exports(world_lora,
                        "lora_target_linear: true\nlora_target_modules: [lm_head, embed_tokens]\n"
                        "export: [merged, gguf-bf16]\n",
                        OD_RECIPE_MERGED | OD_RECIPE_GGUF_BF16, &none);
    (void)check_exports(world_lora, "lora_modules_to_save: [lm_head]\nexport: [gguf-f16]\n",
                        OD_RECIPE_GGUF_F16, &none);
}

// What cannot be exported ends the run before its first step.
static void impossible_exports(void **state)
{
    static const struct {
        const char *method;
        const char *more;
        const char *why;
    } wrong[] = {{world_full, "export: [merged]\n", "full tuning has no adapter"},
                 {world_lora, "export: [mergd]\n", "merged"},
                 {world_lora, "export: [merged]\nmerge_base: w8\n", "must be w16"},
                 {world_lora, "export: [merged]\nmerge_base: dequant\n", "not quantised"},
                 {world_lora, "load_in_8bit: true\nexport: [gguf-f16]\n", "merge_base: w16"},
                 {world_lora, "lora_modules_to_save: [lm_head]\nexport: [adapter-gguf]\n",
                  "cannot hold lora_modules_to_save"},
                 {world_lora, "lora_target_modules: [q_proj, lm_head]\nexport: [adapter-gguf]\n",
                  "cannot hold adapters on embedding"},
                 {world_lora, "export: [merged]\nbudget: {disk: 100kB}\n", "or export less"}};
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct od_tune_result result;
        struct od_error err = {0};
        const char *world = world_make(wrong[i].method, wrong[i].more);
        assert_int_not_equal(world_run(world, "run", false, 1, true, &result, &err), OD_OK);
        if (!strstr(err.message, wrong[i].why)) {
            fail_msg("'%s' does not say '%s'", err.message, wrong[i].why);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adapters),      cmocka_unit_test(quantised_base),
        cmocka_unit_test(gguf_base),     cmocka_unit_test(models),
        cmocka_unit_test(few_documents), cmocka_unit_test(harmed),
        cmocka_unit_test(not_checked),   cmocka_unit_test(in_words),
        cmocka_unit_test(exports),       cmocka_unit_test(impossible_exports),
    };
    return cmocka_run_group_tests_name("flow/export_check", tests, NULL, NULL);
}
