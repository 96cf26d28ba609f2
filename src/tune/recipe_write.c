// A recipe written out: every value, defaults too, in the order of the table.
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"
#include "formats/yaml.h"
#include "model/program.h"
#include "ops/op.h"
#include "tune/recipe.h"
#include "tune/recipe_internal.h"
#include "tune/recipe_table.h"

static void put_member(struct od_buf *out, const char *indent, const char *key, const char *text)
{
    od_buf_printf(out, "%s%s: ", indent, key);
    od_yaml_put_scalar(out, text);
    od_buf_putc(out, '\n');
}

static void put_base_model(const struct od_recipe *recipe, const struct od_recipe_key *key,
                           struct od_buf *out)
{
    (void)key;
    if (recipe->base_model) {
        put_member(out, "", "base_model", recipe->base_model);
    } else {
        od_buf_puts(out, "base_model:\n");
        put_member(out, "  ", "config", recipe->base_config);
        put_member(out, "  ", "tokenizer", recipe->base_tokenizer);
    }
}

static void put_targets(const struct od_recipe *recipe, const struct od_recipe_key *key,
                        struct od_buf *out)
{
    od_buf_printf(out, "%s:\n", key->name);
    for (size_t i = 0; i < recipe->lora_target_count; i++) {
        od_buf_puts(out, "  - ");
        od_yaml_put_scalar(out, recipe->lora_targets[i]);
        od_buf_putc(out, '\n');
    }
}

// Nothing where all layers are meant, so that recipes of earlier runs stay the same.
static void put_layers(const struct od_recipe *recipe, const struct od_recipe_key *key,
                       struct od_buf *out)
{
    const int64_t last = od_layer_set_last(&recipe->lora_layers);
    const char *before = "";
    if (last < 0) {
        return;
    }
    od_buf_printf(out, "%s: [", key->name);
    for (int64_t i = 0; i <= last; i++) {
        if (od_layer_set_names(&recipe->lora_layers, i)) {
            od_buf_printf(out, "%s%" PRId64, before, i);
            before = ", ";
        }
    }
    od_buf_puts(out, "]\n");
}

static void put_saved(const struct od_recipe *recipe, const struct od_recipe_key *key,
                      struct od_buf *out)
{
    const char *before = "";
    if (recipe->lora_saved == 0) {
        return;
    }
    od_buf_printf(out, "%s: [", key->name);
    for (int i = 0; i < OD_SAVED_NAMES; i++) {
        if ((recipe->lora_saved & (1u << i)) != 0) {
            od_buf_printf(out, "%s%s", before, od_saved_name(i));
            before = ", ";
        }
    }
    od_buf_puts(out, "]\n");
}

// Nothing where there is none, so that recipes of earlier runs stay the same.
static void put_exports(const struct od_recipe *recipe, const struct od_recipe_key *key,
                        struct od_buf *out)
{
    const char *before = "";
    if (recipe->exports == 0) {
        return;
    }
    od_buf_printf(out, "%s: [", key->name);
    for (int i = 0; i < OD_RECIPE_EXPORTS; i++) {
        if ((recipe->exports & (1u << i)) != 0) {
            od_buf_printf(out, "%s%s", before, od_recipe_export_name(i));
            before = ", ";
        }
    }
    od_buf_puts(out, "]\n");
}

// Nothing for float32, so that recipes of earlier runs stay the same.
static void put_weights(const struct od_recipe *recipe, const struct od_recipe_key *key,
                        struct od_buf *out)
{
    if (recipe->bf16_weights) {
        od_buf_printf(out, "%s: bf16-stochastic\n", key->name);
    }
}

static void put_number(struct od_buf *out, const char *key, double value)
{
    char number[OD_NUMBER_BYTES];
    od_double_text(value, number);
    od_buf_printf(out, "%s: %s\n", key, number);
}

static void put_scheduler_kwargs(const struct od_recipe *recipe, const struct od_recipe_key *key,
                                 struct od_buf *out)
{
    if (recipe->lr_scheduler == OD_SCHEDULE_WARMUP_STABLE_DECAY) {
        od_buf_printf(out, "%s:\n  num_decay_steps: %" PRId64 "\n", key->name,
                      recipe->lr_decay_steps);
        od_buf_printf(out, "  decay_type: %s\n", od_recipe_decay_names[recipe->lr_decay]);
        put_number(out, "  min_lr_ratio", recipe->lr_min_ratio);
    } else if (recipe->lr_scheduler == OD_SCHEDULE_DECAY_PER_EPOCH) {
        od_buf_printf(out, "%s:\n", key->name);
        put_number(out, "  gamma", recipe->lr_gamma);
    }
}

static void put_special_tokens(const struct od_recipe *recipe, const struct od_recipe_key *key,
                               struct od_buf *out)
{
    if (recipe->bos_token || recipe->eos_token) {
        od_buf_printf(out, "%s:\n", key->name);
    }
    if (recipe->bos_token) {
        put_member(out, "  ", "bos_token", recipe->bos_token);
    }
    if (recipe->eos_token) {
        put_member(out, "  ", "eos_token", recipe->eos_token);
    }
}

static void put_budget(const struct od_recipe *recipe, const struct od_recipe_key *key,
                       struct od_buf *out)
{
    const struct od_recipe_budget *budget = &recipe->budget;
    const struct {
        const char *name;
        uint64_t bytes;
    } sizes[] = {
        {"vram", budget->vram_bytes}, {"ram", budget->ram_bytes}, {"disk", budget->disk_bytes}};
    const bool any =
        budget->time_s > 0 || sizes[0].bytes > 0 || sizes[1].bytes > 0 || sizes[2].bytes > 0;
    od_buf_printf(out, any ? "%s:\n" : "%s: null\n", key->name);
    if (budget->time_s > 0) {
        put_number(out, "  time", budget->time_s);
    }
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        if (sizes[i].bytes > 0) {
            od_buf_printf(out, "  %s: %" PRIu64 "\n", sizes[i].name, sizes[i].bytes);
        }
    }
}

static void put_int(const struct od_recipe *recipe, const struct od_recipe_key *key,
                    struct od_buf *out)
{
    od_buf_printf(out, "%s: %" PRId64 "\n", key->name,
                  *(const int64_t *)od_recipe_const_slot(recipe, key));
}

static void put_double(const struct od_recipe *recipe, const struct od_recipe_key *key,
                       struct od_buf *out)
{
    put_number(out, key->name, *(const double *)od_recipe_const_slot(recipe, key));
}

static void put_bool(const struct od_recipe *recipe, const struct od_recipe_key *key,
                     struct od_buf *out)
{
    const bool value = *(const bool *)od_recipe_const_slot(recipe, key);
    od_buf_printf(out, "%s: %s\n", key->name, value ? "true" : "false");
}

static void put_path(const struct od_recipe *recipe, const struct od_recipe_key *key,
                     struct od_buf *out)
{
    const char *path = *(const char *const *)od_recipe_const_slot(recipe, key);
    if (path) {
        put_member(out, "", key->name, path);
    }
}

static void put_seed(const struct od_recipe *recipe, const struct od_recipe_key *key,
                     struct od_buf *out)
{
    od_buf_printf(out, "%s: %" PRIu64 "\n", key->name, recipe->seed);
}

static void put_due(const struct od_recipe *recipe, const struct od_recipe_key *key,
                    struct od_buf *out)
{
    const enum od_due due = *(const enum od_due *)od_recipe_const_slot(recipe, key);
    od_buf_printf(out, "%s: %s\n", key->name, od_recipe_due_names[due]);
}

static void put_adapter(const struct od_recipe *recipe, const struct od_recipe_key *key,
                        struct od_buf *out)
{
    const char *name = "null";
    if (recipe->method == OD_METHOD_LORA) {
        name = recipe->quant == OD_QUANT_NF4 ? "qlora" : "lora";
    }
    od_buf_printf(out, "%s: %s\n", key->name, name);
}

static void put_4bit(const struct od_recipe *recipe, const struct od_recipe_key *key,
                     struct od_buf *out)
{
    od_buf_printf(out, "%s: %s\n", key->name, recipe->quant == OD_QUANT_NF4 ? "true" : "false");
}

static void put_8bit(const struct od_recipe *recipe, const struct od_recipe_key *key,
                     struct od_buf *out)
{
    od_buf_printf(out, "%s: %s\n", key->name, recipe->quant == OD_QUANT_INT8 ? "true" : "false");
}

static void put_fp8(const struct od_recipe *recipe, const struct od_recipe_key *key,
                    struct od_buf *out)
{
    od_buf_printf(out, "%s: %s\n", key->name, recipe->quant == OD_QUANT_E4M3 ? "true" : "false");
}

static void put_datasets(const struct od_recipe *recipe, const struct od_recipe_key *key,
                         struct od_buf *out)
{
    od_recipe_put_datasets(key->name, recipe->datasets, recipe->dataset_count, out);
}

static void put_test_datasets(const struct od_recipe *recipe, const struct od_recipe_key *key,
                              struct od_buf *out)
{
    if (recipe->test_dataset_count > 0) {
        od_recipe_put_datasets(key->name, recipe->test_datasets, recipe->test_dataset_count, out);
    }
}

static void put_optimizer(const struct od_recipe *recipe, const struct od_recipe_key *key,
                          struct od_buf *out)
{
    put_member(out, "", key->name, recipe->optimizer);
}

static void put_scheduler(const struct od_recipe *recipe, const struct od_recipe_key *key,
                          struct od_buf *out)
{
    put_member(out, "", key->name, od_recipe_schedule_names[recipe->lr_scheduler]);
}

// How the value of each kind is written; a kind that is not here is not.
static void (*const writers[OD_RECIPE_KIND_COUNT])(const struct od_recipe *recipe,
                                                   const struct od_recipe_key *key,
                                                   struct od_buf *out) = {
    [OD_RECIPE_INT] = put_int,
    [OD_RECIPE_NUMBER] = put_double,
    [OD_RECIPE_STEPS] = put_double,
    [OD_RECIPE_BOOL] = put_bool,
    [OD_RECIPE_SEED] = put_seed,
    [OD_RECIPE_PATH] = put_path,
    [OD_RECIPE_DUE] = put_due,
    [OD_RECIPE_TEXT] = put_path,
    [OD_RECIPE_TEMPLATE] = put_path,
    [OD_RECIPE_BASE_MODEL] = put_base_model,
    [OD_RECIPE_ADAPTER] = put_adapter,
    [OD_RECIPE_LOAD_IN_4BIT] = put_4bit,
    [OD_RECIPE_LOAD_IN_8BIT] = put_8bit,
    [OD_RECIPE_FP8] = put_fp8,
    [OD_RECIPE_TARGETS] = put_targets,
    [OD_RECIPE_LAYERS] = put_layers,
    [OD_RECIPE_SAVED] = put_saved,
    [OD_RECIPE_WEIGHTS] = put_weights,
    [OD_RECIPE_DATASETS] = put_datasets,
    [OD_RECIPE_TEST_DATASETS] = put_test_datasets,
    [OD_RECIPE_OPTIMIZER] = put_optimizer,
    [OD_RECIPE_SCHEDULER] = put_scheduler,
    [OD_RECIPE_SCHEDULER_KWARGS] = put_scheduler_kwargs,
    [OD_RECIPE_SPECIAL_TOKENS] = put_special_tokens,
    [OD_RECIPE_EXPORT] = put_exports,
    [OD_RECIPE_BUDGET] = put_budget};

// False for the one of two keys that exclude each other, and for keys of an adapter without one.
static bool is_written(const struct od_recipe *recipe, const struct od_recipe_key *key)
{
    const void *value = od_recipe_const_slot(recipe, key);
    if (key->lora && recipe->method != OD_METHOD_LORA) {
        return false;  // it would only bring a note
    }
    if (value == &recipe->use_tensorboard || value == &recipe->lora_tied) {
        return *(const bool *)value;  // so that recipes of earlier runs stay the same
    }
    if (value == &recipe->save_steps) {
        return recipe->saves_per_epoch == 0;
    }
    if (value == &recipe->eval_steps) {
        return recipe->evals_per_epoch == 0;
    }
    if (value == &recipe->saves_per_epoch) {
        return recipe->saves_per_epoch > 0;
    }
    if (value == &recipe->evals_per_epoch) {
        return recipe->evals_per_epoch > 0;
    }
    return true;
}

enum od_status od_recipe_write(const struct od_recipe *recipe, struct od_buf *out,
                               struct od_error *err)
{
    for (size_t i = 0; i < od_recipe_key_count; i++) {
        const struct od_recipe_key *key = &od_recipe_keys[i];
        if (writers[key->kind] && is_written(recipe, key)) {
            writers[key->kind](recipe, key, out);
        }
    }
    return od_buf_check(out, err);
}
