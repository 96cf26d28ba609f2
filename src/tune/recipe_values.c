// Readers of the values of a recipe's keys, one for each kind of the table.
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/status.h"
#include "base/text.h"
#include "formats/yaml.h"
#include "model/program.h"
#include "model/spec.h"
#include "ops/op.h"
#include "tune/recipe.h"
#include "tune/recipe_internal.h"
#include "tune/recipe_table.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static const char *const all_linear[] = {"q_proj",    "k_proj",  "v_proj",   "o_proj",
                                         "gate_proj", "up_proj", "down_proj"};
const char *const od_recipe_schedule_names[OD_SCHEDULE_COUNT] = {
    [OD_SCHEDULE_COSINE] = "cosine",
    [OD_SCHEDULE_LINEAR] = "linear",
    [OD_SCHEDULE_CONSTANT] = "constant",
    [OD_SCHEDULE_CONSTANT_WITH_WARMUP] = "constant_with_warmup",
    [OD_SCHEDULE_WARMUP_STABLE_DECAY] = "warmup_stable_decay",
    [OD_SCHEDULE_DECAY_PER_EPOCH] = "decay_per_epoch"};
const char *const od_recipe_decay_names[OD_DECAY_COUNT] = {[OD_DECAY_COSINE] = "cosine",
                                                           [OD_DECAY_LINEAR] = "linear",
                                                           [OD_DECAY_ONE_MINUS_SQRT] = "1-sqrt"};
const char *const od_recipe_due_names[OD_DUE_COUNT] = {[OD_DUE_DEFAULT] = "null",
                                                       [OD_DUE_STEPS] = "steps",
                                                       [OD_DUE_EPOCH] = "epoch",
                                                       [OD_DUE_NEVER] = "no",
                                                       [OD_DUE_BEST] = "best"};

// Kept as a double; OD_RECIPE_STEPS must be whole from 1 on.
static enum od_status read_number(const struct od_yaml_node *node, const struct od_recipe_key *key,
                                  struct od_recipe *recipe, struct od_error *err)
{
    char low[OD_NUMBER_BYTES];
    char high[OD_NUMBER_BYTES];
    double value = 0;
    const enum od_status status = od_yaml_number(node, &value, err);
    if (status != OD_OK) {
        return status;
    }
    if (!(key->above ? value > key->min : value >= key->min) || !(value <= key->max)) {
        od_double_text(key->min, low);
        od_double_text(key->max, high);
        return od_recipe_fail(node, OD_E_FORMAT, err, "'%s' is %s: it must be %s %s and at most %s",
                              key->name, node->text, key->above ? "above" : "at least", low, high);
    }
    if (strcmp(key->name, "lora_dropout") == 0 && value >= 1) {
        return od_recipe_fail(node, OD_E_ARGUMENT, err, "'lora_dropout' must be below 1");
    }
    if (key->kind == OD_RECIPE_STEPS && value >= 1 && value > floor(value)) {
        return od_recipe_fail(node, OD_E_FORMAT, err,
                              "'%s' is %s: a number of steps is whole, a share of them below 1",
                              key->name, node->text);
    }
    *(double *)od_recipe_slot(recipe, key) = value;
    return OD_OK;
}

static enum od_status read_int(const struct od_yaml_node *node, const struct od_recipe_key *key,
                               int64_t *ret, struct od_error *err)
{
    int64_t value = 0;
    const enum od_status status = od_yaml_int(node, &value, err);
    if (status != OD_OK) {
        return status;
    }
    if (value < (int64_t)key->min || value > (int64_t)key->max) {
        return od_recipe_fail(node, OD_E_FORMAT, err, "'%s' is %s: it must be %.0f to %.0f",
                              key->name, node->text, key->min, key->max);
    }
    *ret = value;
    return OD_OK;
}

static enum od_status read_base_model(struct od_recipe_reader *r, const struct od_yaml_node *node,
                                      struct od_error *err)
{
    static const char *const members[] = {"config", "tokenizer"};
    struct od_recipe *recipe = r->recipe;
    if (node->type != OD_YAML_MAPPING) {
        return od_recipe_read_path(r, node, &recipe->base_model, err);
    }
    for (const struct od_yaml_node *item = node->first; item; item = item->next) {
        enum od_status status = OD_OK;
        if (strcmp(item->key->text, members[0]) == 0) {
            status = od_recipe_read_path(r, item, &recipe->base_config, err);
        } else if (strcmp(item->key->text, members[1]) == 0) {
            status = od_recipe_read_path(r, item, &recipe->base_tokenizer, err);
        } else {
            status = od_recipe_fail_unknown(
                item->key, "key of base_model", item->key->text,
                od_nearest_name(item->key->text, members, COUNT(members)), err);
        }
        if (status != OD_OK) {
            return status;
        }
    }
    if (!recipe->base_config || !recipe->base_tokenizer) {
        return od_recipe_fail(node, OD_E_FORMAT, err,
                              "'base_model' needs 'config' and 'tokenizer'");
    }
    return OD_OK;
}

static enum od_status read_adapter(struct od_recipe_reader *r, const struct od_yaml_node *node,
                                   struct od_error *err)
{
    static const char *const names[] = {"lora", "qlora"};
    const char *text = NULL;
    if (od_yaml_is_null(node)) {
        return OD_OK;
    }
    const enum od_status status = od_yaml_text(node, &text, err);
    if (status != OD_OK || *text == '\0') {
        return status;
    }
    const bool qlora = strcmp(text, "qlora") == 0;
    if (!qlora && strcmp(text, "lora") != 0) {
        return od_recipe_fail_unknown(node, "adapter", text,
                                      od_nearest_name(text, names, COUNT(names)), err);
    }
    r->recipe->method = OD_METHOD_LORA;
    r->recipe->quant = qlora ? OD_QUANT_NF4 : OD_QUANT_NONE;
    return OD_OK;
}

void od_recipe_target_linear(struct od_recipe *recipe)
{
    const char *given[OD_LORA_TARGETS_MAX];
    const size_t count = recipe->lora_target_count;
    memcpy(given, recipe->lora_targets, count * sizeof given[0]);
    od_recipe_target_all(recipe);
    for (size_t i = 0; i < count; i++) {
        bool fresh = true;
        for (size_t j = 0; j < COUNT(all_linear); j++) {
            fresh = fresh && strcmp(all_linear[j], given[i]) != 0;
        }
        if (fresh) {
            recipe->lora_targets[recipe->lora_target_count++] = given[i];
        }
    }
}

void od_recipe_target_all(struct od_recipe *recipe)
{
    for (size_t i = 0; i < COUNT(all_linear); i++) {
        recipe->lora_targets[i] = all_linear[i];
    }
    recipe->lora_target_count = COUNT(all_linear);
}

static enum od_status read_targets(struct od_recipe_reader *r, const struct od_yaml_node *node,
                                   struct od_error *err)
{
    struct od_recipe *recipe = r->recipe;
    if (od_yaml_is_null(node) ||
        (node->type == OD_YAML_SCALAR && strcmp(node->text, "all-linear") == 0)) {
        od_recipe_target_all(recipe);
        return OD_OK;
    }
    enum od_status status = od_yaml_expect(node, OD_YAML_SEQUENCE, err);
    if (status == OD_OK && (node->count < 1 || node->count > OD_LORA_TARGETS_MAX)) {
        return od_recipe_fail(node, OD_E_FORMAT, err, "'%s' must have 1 to %d names",
                              node->key->text, (int)OD_LORA_TARGETS_MAX);
    }
    recipe->lora_target_count = 0;
    for (const struct od_yaml_node *item = node->first; status == OD_OK && item;
         item = item->next) {
        const char *text = NULL;
        status = od_yaml_text(item, &text, err);
        for (size_t i = 0; status == OD_OK && i < recipe->lora_target_count; i++) {
            if (strcmp(recipe->lora_targets[i], text) == 0) {
                status = od_recipe_fail(item, OD_E_FORMAT, err, "'%s' is there twice", text);
            }
        }
        if (status == OD_OK && *text == '\0') {
            status =
                od_recipe_fail(item, OD_E_FORMAT, err, "an empty name in '%s'", node->key->text);
        }
        if (status == OD_OK) {
            status =
                od_recipe_keep(r, text, &recipe->lora_targets[recipe->lora_target_count++], err);
        }
    }
    return status;
}

static enum od_status read_layer(const struct od_yaml_node *node, const char *key,
                                 struct od_layer_set *set, struct od_error *err)
{
    int64_t layer = 0;
    const enum od_status status = od_yaml_int(node, &layer, err);
    if (status != OD_OK) {
        return status;
    }
    if (layer < 0 || layer >= OD_SPEC_LAYERS_MAX) {
        return od_recipe_fail(node, OD_E_FORMAT, err, "'%s' has %s: a layer is 0 to %d", key,
                              node->text, OD_SPEC_LAYERS_MAX - 1);
    }
    if (od_layer_set_names(set, layer)) {
        return od_recipe_fail(node, OD_E_FORMAT, err, "'%s' has %s twice", key, node->text);
    }
    od_layer_set_add(set, layer);
    return OD_OK;
}

static enum od_status read_layers(struct od_recipe_reader *r, const struct od_yaml_node *node,
                                  struct od_error *err)
{
    struct od_layer_set set = {0};
    enum od_status status = OD_OK;
    if (node->type == OD_YAML_SCALAR) {
        status = read_layer(node, node->key->text, &set, err);
    } else if ((status = od_yaml_expect(node, OD_YAML_SEQUENCE, err)) == OD_OK) {
        for (const struct od_yaml_node *item = node->first; status == OD_OK && item;
             item = item->next) {
            status = read_layer(item, node->key->text, &set, err);
        }
    }
    if (status == OD_OK) {
        r->recipe->lora_layers = set;
    }
    return status;
}

static enum od_status read_saved(struct od_recipe_reader *r, const struct od_yaml_node *node,
                                 struct od_error *err)
{
    static const char *const names[] = {"embed_tokens", "lm_head", "wte"};
    unsigned saved = 0;
    enum od_status status = od_yaml_expect(node, OD_YAML_SEQUENCE, err);
    for (const struct od_yaml_node *item = node->first; status == OD_OK && item;
         item = item->next) {
        const char *text = NULL;
        status = od_yaml_text(item, &text, err);
        if (status == OD_OK && od_saved_bit(text) == 0) {
            return od_recipe_fail_unknown(item, "module to save", text,
                                          od_nearest_name(text, names, COUNT(names)), err);
        }
        saved |= status == OD_OK ? od_saved_bit(text) : 0;
    }
    if (status == OD_OK) {
        r->recipe->lora_saved = saved;
    }
    return status;
}

static enum od_status read_weights(struct od_recipe_reader *r, const struct od_yaml_node *node,
                                   struct od_error *err)
{
    static const char *const names[] = {"float32", "bf16-stochastic"};
    const char *text = NULL;
    const enum od_status status = od_yaml_text(node, &text, err);
    if (status != OD_OK) {
        return status;
    }
    r->recipe->bf16_weights = strcmp(text, names[1]) == 0;
    if (!r->recipe->bf16_weights && strcmp(text, names[0]) != 0) {
        return od_recipe_fail_unknown(node, "kind of weights", text,
                                      od_nearest_name(text, names, COUNT(names)), err);
    }
    return OD_OK;
}

// One of `names`, as its index. What is unknown is told with the nearest, else with all of them.
static enum od_status read_name(const struct od_yaml_node *node, const char *const *names,
                                size_t count, size_t *ret, struct od_error *err)
{
    const char *text = NULL;
    char all[OD_ERROR_MESSAGE_BYTES] = "";
    size_t length = 0;
    const enum od_status status = od_yaml_text(node, &text, err);
    if (status != OD_OK) {
        return status;
    }
    for (size_t i = 0; i < count; i++) {
        if (strcmp(text, names[i]) == 0) {
            *ret = i;
            return OD_OK;
        }
    }
    const char *nearest = od_nearest_name(text, names, count);
    if (nearest) {
        return od_recipe_fail_unknown(node, node->key->text, text, nearest, err);
    }
    for (size_t i = 0; i < count && length < sizeof all; i++) {
        const char *between = i == 0 ? "" : i + 1 == count ? " or " : ", ";
        const int more = snprintf(all + length, sizeof all - length, "%s%s", between, names[i]);
        length += more > 0 ? (size_t)more : 0;
    }
    return od_recipe_fail(node, OD_E_FORMAT, err, "unknown %s '%s': it must be %s", node->key->text,
                          text, all);
}

// Names under which the trainer of Hugging Face knows AdamW: the same numbers from other code.
static enum od_status read_optimizer(struct od_recipe_reader *r, const struct od_yaml_node *node,
                                     struct od_error *err)
{
    static const char *const names[][2] = {{"adamw", "adamw"},
                                           {"adamw_torch", "adamw"},
                                           {"adamw_hf", "adamw"},
                                           {"adamw_torch_fused", "adamw"},
                                           {"paged_adamw", "adamw"},
                                           {"paged_adamw_32bit", "adamw"},
                                           {"adamw_8bit", "adamw_8bit"},
                                           {"adamw_bnb_8bit", "adamw_8bit"},
                                           {"paged_adamw_8bit", "adamw_8bit"}};
    const char *text = NULL;
    const enum od_status status = od_yaml_text(node, &text, err);
    if (status != OD_OK) {
        return status;
    }
    for (size_t i = 0; i < COUNT(names); i++) {
        if (strcmp(text, names[i][0]) == 0) {
            r->recipe->optimizer = names[i][1];
            return OD_OK;
        }
    }
    return od_recipe_fail(node, OD_E_UNSUPPORTED, err,
                          "the optimizer '%s' is not built yet: 'adamw' is", text);
}

static enum od_status read_scheduler(struct od_recipe_reader *r, const struct od_yaml_node *node,
                                     struct od_error *err)
{
    static const char *const others[] = {"cosine_with_restarts",
                                         "polynomial",
                                         "inverse_sqrt",
                                         "reduce_lr_on_plateau",
                                         "one_cycle",
                                         "rex",
                                         "log_sweep"};
    size_t index = 0;
    if (node->type == OD_YAML_SCALAR && strcmp(node->text, "cosine_with_min_lr") == 0) {
        r->recipe->lr_scheduler = OD_SCHEDULE_COSINE;  // with lr_scheduler_kwargs: min_lr
        return OD_OK;
    }
    for (size_t i = 0; i < COUNT(others); i++) {
        if (node->type == OD_YAML_SCALAR && strcmp(node->text, others[i]) == 0) {
            return od_recipe_fail(node, OD_E_UNSUPPORTED, err,
                                  "the lr_scheduler '%s' is not built yet: 'cosine' is", others[i]);
        }
    }
    const enum od_status status =
        read_name(node, od_recipe_schedule_names, OD_SCHEDULE_COUNT, &index, err);
    if (status == OD_OK) {
        r->recipe->lr_scheduler = (enum od_schedule)index;
    }
    return status;
}

// A number of lr_scheduler_kwargs.
static enum od_status read_kwarg(const struct od_yaml_node *node, double low, double high,
                                 double *ret, struct od_error *err)
{
    double value = 0;
    const enum od_status status = od_yaml_number(node, &value, err);
    if (status == OD_OK && !(value >= low && value <= high)) {
        return od_recipe_fail(node, OD_E_FORMAT, err, "'%s' is %s: it must be %g to %g",
                              node->key->text, node->text, low, high);
    }
    if (status == OD_OK) {
        *ret = value;
    }
    return status;
}

static enum od_status read_scheduler_kwarg(struct od_recipe_reader *r,
                                           const struct od_yaml_node *node, struct od_error *err)
{
    static const char *const members[] = {"num_decay_steps", "decay_type", "min_lr_ratio",
                                          "min_lr_rate",     "min_lr",     "gamma"};
    struct od_recipe *recipe = r->recipe;
    const char *key = node->key->text;
    double steps = 0;
    size_t index = 0;
    enum od_status status = OD_OK;
    if (strcmp(key, "num_decay_steps") == 0) {
        status = od_yaml_int(node, &recipe->lr_decay_steps, err);
        return status == OD_OK ? read_kwarg(node, 1, 1e12, &steps, err) : status;
    }
    if (strcmp(key, "decay_type") == 0) {
        status = read_name(node, od_recipe_decay_names, OD_DECAY_COUNT, &index, err);
        recipe->lr_decay = (enum od_decay)index;
        return status;
    }
    if (strcmp(key, "min_lr_ratio") == 0) {
        return read_kwarg(node, 0, 1, &recipe->lr_min_ratio, err);
    }
    if (strcmp(key, "min_lr_rate") == 0) {
        return read_kwarg(node, 0, 1, &recipe->cosine_min_lr_ratio, err);
    }
    if (strcmp(key, "min_lr") == 0) {
        return read_kwarg(node, 0, 100, &r->min_lr, err);
    }
    if (strcmp(key, "gamma") == 0) {
        return read_kwarg(node, 1e-9, 1, &recipe->lr_gamma, err);
    }
    return od_recipe_fail_unknown(node->key, "key of lr_scheduler_kwargs", key,
                                  od_nearest_name(key, members, COUNT(members)), err);
}

static enum od_status read_scheduler_kwargs(struct od_recipe_reader *r,
                                            const struct od_yaml_node *node, struct od_error *err)
{
    enum od_status status = od_yaml_expect(node, OD_YAML_MAPPING, err);
    for (const struct od_yaml_node *item = node->first; status == OD_OK && item;
         item = item->next) {
        status = read_scheduler_kwarg(r, item, err);
    }
    return status;
}

// When evaluations or checkpoints are due.
static enum od_status read_due(const struct od_recipe_reader *r, const struct od_yaml_node *node,
                               const struct od_recipe_key *key, struct od_error *err)
{
    enum od_due *due = od_recipe_slot(r->recipe, key);
    const size_t count = due == &r->recipe->save_strategy ? OD_DUE_COUNT : OD_DUE_BEST;
    size_t index = 0;
    const enum od_status status = read_name(node, od_recipe_due_names + 1, count - 1, &index, err);
    if (status == OD_OK) {
        *due = (enum od_due)(index + 1);
    }
    return status;
}

static enum od_status read_special_tokens(struct od_recipe_reader *r,
                                          const struct od_yaml_node *node, struct od_error *err)
{
    static const char *const members[] = {"bos_token", "eos_token", "pad_token", "unk_token"};
    enum od_status status = od_yaml_expect(node, OD_YAML_MAPPING, err);
    for (const struct od_yaml_node *item = node->first; status == OD_OK && item;
         item = item->next) {
        const char *key = item->key->text;
        const char *text = NULL;
        if (od_yaml_is_null(item)) {
            continue;
        }
        if (strcmp(key, "pad_token") == 0 || strcmp(key, "unk_token") == 0) {
            status = od_recipe_note(r, err, "key 'special_tokens: %s' has no effect here: %s", key,
                                    *key == 'p' ? "no row is padded" : "the tokenizer has its own");
            continue;
        }
        if (strcmp(key, "bos_token") != 0 && strcmp(key, "eos_token") != 0) {
            return od_recipe_fail_unknown(item->key, "key of special_tokens", key,
                                          od_nearest_name(key, members, COUNT(members)), err);
        }
        status = od_yaml_text(item, &text, err);
        if (status == OD_OK) {
            status = od_recipe_keep(
                r, text, *key == 'b' ? &r->recipe->bos_token : &r->recipe->eos_token, err);
        }
    }
    return status;
}

static enum od_status read_budget_size(const struct od_yaml_node *node, uint64_t *ret,
                                       struct od_error *err)
{
    const char *text = NULL;
    const enum od_status status = od_yaml_text(node, &text, err);
    if (status == OD_OK && !od_parse_size(text, ret)) {
        return od_recipe_fail(node, OD_E_FORMAT, err,
                              "'%s' is %s: write a size such as 24GB, 800MB or 16GiB",
                              node->key->text, text);
    }
    return status;
}

static enum od_status read_budget_time(const struct od_yaml_node *node, double *ret,
                                       struct od_error *err)
{
    const char *text = NULL;
    const enum od_status status = od_yaml_text(node, &text, err);
    if (status == OD_OK && !od_parse_time(text, ret)) {
        return od_recipe_fail(node, OD_E_FORMAT, err,
                              "'time' is %s: write a time such as 24h, 90min or 45s", text);
    }
    return status;
}

static enum od_status read_budget(struct od_recipe_reader *r, const struct od_yaml_node *node,
                                  struct od_error *err)
{
    static const char *const members[] = {"time", "vram", "ram", "disk"};
    struct od_recipe_budget *budget = &r->recipe->budget;
    enum od_status status = od_yaml_expect(node, OD_YAML_MAPPING, err);
    for (const struct od_yaml_node *item = node->first; status == OD_OK && item;
         item = item->next) {
        const char *key = item->key->text;
        if (od_yaml_is_null(item)) {
            continue;
        }
        if (strcmp(key, "time") == 0) {
            status = read_budget_time(item, &budget->time_s, err);
        } else if (strcmp(key, "vram") == 0) {
            status = read_budget_size(item, &budget->vram_bytes, err);
        } else if (strcmp(key, "ram") == 0) {
            status = read_budget_size(item, &budget->ram_bytes, err);
        } else if (strcmp(key, "disk") == 0) {
            status = read_budget_size(item, &budget->disk_bytes, err);
        } else {
            status = od_recipe_fail_unknown(item->key, "key of budget", key,
                                            od_nearest_name(key, members, COUNT(members)), err);
        }
    }
    return status;
}

// True for a value that asks for nothing: null, "", an empty list, or the one that is taken.
static bool is_harmless(const struct od_yaml_node *node, const char *taken)
{
    double value = 0;
    double wanted = 0;
    if (node->type != OD_YAML_SCALAR) {
        return node->count == 0;
    }
    if (od_yaml_is_null(node) || *node->text == '\0' || strcmp(node->text, taken) == 0) {
        return true;
    }
    return od_parse_double(taken, &wanted) && od_parse_double(node->text, &value) &&
           !(value < wanted) && !(value > wanted);
}

enum od_status od_recipe_read_unused(struct od_recipe_reader *r, const struct od_yaml_node *node,
                                     const struct od_recipe_key *key, struct od_error *err)
{
    if (key->kind == OD_RECIPE_NO_EFFECT) {
        return od_yaml_is_null(node) ? OD_OK
                                     : od_recipe_note(r, err, "key '%s' has no effect here: %s",
                                                      key->name, key->help);
    }
    return is_harmless(node, key->fallback)
               ? OD_OK
               : od_recipe_fail(node, OD_E_UNSUPPORTED, err, "'%s' is not supported: %s", key->name,
                                key->help);
}

enum od_status od_recipe_read_value(struct od_recipe_reader *r, const struct od_yaml_node *node,
                                    const struct od_recipe_key *key, struct od_error *err)
{
    struct od_recipe *recipe = r->recipe;
    int64_t seed = 0;
    enum od_status status = OD_OK;
    switch (key->kind) {
    case OD_RECIPE_INT: return read_int(node, key, od_recipe_slot(recipe, key), err);
    case OD_RECIPE_STEPS:
    case OD_RECIPE_NUMBER: return read_number(node, key, recipe, err);
    case OD_RECIPE_BOOL: return od_yaml_bool(node, od_recipe_slot(recipe, key), err);
    case OD_RECIPE_PATH: return od_recipe_read_path(r, node, od_recipe_slot(recipe, key), err);
    case OD_RECIPE_TEXT: return od_recipe_read_text(r, node, od_recipe_slot(recipe, key), err);
    case OD_RECIPE_TEMPLATE:
        return od_recipe_read_template(r, node, od_recipe_slot(recipe, key), err);
    case OD_RECIPE_SEED:
        status = read_int(node, key, &seed, err);
        recipe->seed = (uint64_t)seed;
        return status;
    case OD_RECIPE_BASE_MODEL: return read_base_model(r, node, err);
    case OD_RECIPE_ADAPTER: return read_adapter(r, node, err);
    case OD_RECIPE_LOAD_IN_4BIT: return od_yaml_bool(node, &r->load_in_4bit, err);
    case OD_RECIPE_LOAD_IN_8BIT: return od_yaml_bool(node, &r->load_in_8bit, err);
    case OD_RECIPE_FP8: return od_yaml_bool(node, &r->fp8, err);
    case OD_RECIPE_TARGETS: return read_targets(r, node, err);
    case OD_RECIPE_LAYERS: return read_layers(r, node, err);
    case OD_RECIPE_SAVED: return read_saved(r, node, err);
    case OD_RECIPE_WEIGHTS: return read_weights(r, node, err);
    case OD_RECIPE_TARGET_LINEAR: return od_yaml_bool(node, &r->target_linear, err);
    case OD_RECIPE_DATASETS:
        return od_recipe_read_datasets(r, node, recipe->datasets, &recipe->dataset_count, err);
    case OD_RECIPE_TEST_DATASETS:
        return od_recipe_read_datasets(r, node, recipe->test_datasets, &recipe->test_dataset_count,
                                       err);
    case OD_RECIPE_OPTIMIZER: return read_optimizer(r, node, err);
    case OD_RECIPE_SCHEDULER: return read_scheduler(r, node, err);
    case OD_RECIPE_SCHEDULER_KWARGS: return read_scheduler_kwargs(r, node, err);
    case OD_RECIPE_DUE: return read_due(r, node, key, err);
    case OD_RECIPE_SPECIAL_TOKENS: return read_special_tokens(r, node, err);
    case OD_RECIPE_EXPORT: return od_recipe_read_exports(r, node, err);
    case OD_RECIPE_BUDGET: return read_budget(r, node, err);
    case OD_RECIPE_DATA_PATH:
    case OD_RECIPE_DATA_TYPE:
    case OD_RECIPE_DATA_WEIGHT:
    case OD_RECIPE_DATA_SPLIT:
    case OD_RECIPE_DATA_TEXT:
    case OD_RECIPE_DATA_TEMPLATE:
    case OD_RECIPE_DATA_MAX_ROWS:
    case OD_RECIPE_DATA_MAPPINGS:
    case OD_RECIPE_DATA_ROLES:
    case OD_RECIPE_DATA_ROLES_TO_TRAIN:
    case OD_RECIPE_NO_EFFECT:
    case OD_RECIPE_REFUSED: break;
    }
    return od_recipe_read_unused(r, node, key, err);
}
