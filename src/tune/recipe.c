// A recipe is a YAML mapping; its keys, types and ranges are in recipe_table.c. Some keys hold more:
//
//     base_model: DIR                         a folder with weights, or a GGUF file
//     base_model:                             or random weights:
//       config: FILE                          a config.json
//       tokenizer: DIR                        a folder with a tokenizer
//     lr_scheduler_kwargs: {num_decay_steps: 100, decay_type: cosine, min_lr_ratio: 0.1, gamma: 0.85}
//     special_tokens: {bos_token: <s>, eos_token: </s>}
//     budget: {time: 24h, vram: 24GB, ram: 64GB, disk: 100GB}
//     datasets:                               see recipe_data.c
//
// Paths are kept absolute, so that the written recipe means the same wherever it lies.
#include "tune/recipe.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"
#include "formats/yaml.h"
#include "ops/op.h"
#include "tune/recipe_internal.h"
#include "tune/recipe_table.h"

/** What a recipe's strings may take: paths of all data files and more. */
#define STRINGS_MAX_BYTES ((size_t)16 << 20)

enum od_status od_recipe_fail(const struct od_yaml_node *node, enum od_status status,
                              struct od_error *err, const char *format, ...)
{
    struct od_error inner = {0};
    va_list args;
    va_start(args, format);
    (void)vsnprintf(inner.message, sizeof inner.message, format, args);
    va_end(args);
    od_error_set(err, status, "%s:%d:%d: %s", node->name, node->line, node->column, inner.message);
    return status;
}

static enum od_status no_memory(struct od_error *err)
{
    return od_fail(err, OD_E_MEMORY, "no memory for the recipe");
}

enum od_status od_recipe_keep(struct od_recipe_reader *r, const char *text, const char **ret,
                              struct od_error *err)
{
    *ret = od_arena_strdup(&r->recipe->arena, text);
    return *ret ? OD_OK : no_memory(err);
}

enum od_status od_recipe_note(struct od_recipe_reader *r, struct od_error *err, const char *format,
                              ...)
{
    char text[OD_ERROR_MESSAGE_BYTES];
    if (r->recipe->note_count == OD_RECIPE_NOTES_MAX - 1) {
        r->more_notes++;  // the last place is for their number
        return OD_OK;
    }
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return od_recipe_keep(r, text, &r->recipe->notes[r->recipe->note_count++], err);
}

// Keep a path, made absolute: relative ones start at the recipe's folder.
enum od_status od_recipe_read_path(struct od_recipe_reader *r, const struct od_yaml_node *node,
                                   const char **ret, struct od_error *err)
{
    char cwd[OD_PATH_MAX_BYTES] = "";
    char folder[OD_PATH_MAX_BYTES];
    char path[OD_PATH_MAX_BYTES];
    const char *text = NULL;
    enum od_status status = od_yaml_text(node, &text, err);
    if (status != OD_OK) {
        return status;
    }
    if (*text == '\0') {
        return od_recipe_fail(node, OD_E_FORMAT, err, "'%s' is empty: give a path",
                              node->key ? node->key->text : "path");
    }
    if (*text == '/') {  // absolute already
        return od_recipe_keep(r, text, ret, err);
    }
    while (text[0] == '.' && text[1] == '/') {
        text += 2;
    }
    if (r->folder[0] != '/' && !getcwd(cwd, sizeof cwd)) {
        return od_fail(err, OD_E_IO, "cannot tell the working folder: %s", strerror(errno));
    }
    const bool here = r->folder[0] == '\0' || strcmp(r->folder, ".") == 0;
    if (here || r->folder[0] == '/') {
        status = od_path_join(path, here ? cwd : r->folder, text, err);
    } else {
        status = od_path_join(folder, cwd, r->folder, err);
        if (status == OD_OK) {
            status = od_path_join(path, folder, text, err);
        }
    }
    return status == OD_OK ? od_recipe_keep(r, path, ret, err) : status;
}

enum od_status od_recipe_fail_unknown(const struct od_yaml_node *at, const char *what,
                                      const char *name, const char *nearest, struct od_error *err)
{
    return nearest ? od_recipe_fail(at, OD_E_FORMAT, err, "unknown %s '%s': did you mean '%s'?",
                                    what, name, nearest)
                   : od_recipe_fail(at, OD_E_FORMAT, err, "unknown %s '%s'", what, name);
}

// Values of keys that are absent, from the table.
static void set_defaults(struct od_recipe *recipe)
{
    for (size_t i = 0; i < od_recipe_key_count; i++) {
        const struct od_recipe_key *key = &od_recipe_keys[i];
        int64_t number = 0;
        bool ok = true;
        if (!key->fallback) {
            continue;
        }
        if (key->kind == OD_RECIPE_INT) {
            ok = od_parse_int(key->fallback, od_recipe_slot(recipe, key));
        } else if (key->kind == OD_RECIPE_NUMBER || key->kind == OD_RECIPE_STEPS) {
            ok = od_parse_double(key->fallback, od_recipe_slot(recipe, key));
        } else if (key->kind == OD_RECIPE_BOOL) {
            *(bool *)od_recipe_slot(recipe, key) = strcmp(key->fallback, "true") == 0;
        } else if (key->kind == OD_RECIPE_SEED) {
            ok = od_parse_int(key->fallback, &number);
            recipe->seed = (uint64_t)number;
        }
        assert(ok);
        (void)ok;
    }
    recipe->method = OD_METHOD_FULL;
    recipe->lr_scheduler = OD_SCHEDULE_COSINE;
    recipe->optimizer = "adamw";
    od_recipe_target_all(recipe);
}

// Read all keys in the order of the file.
static enum od_status read_keys(struct od_recipe_reader *r, const struct od_yaml_node *root,
                                struct od_error *err)
{
    enum od_status status = od_yaml_expect(root, OD_YAML_MAPPING, err);
    for (const struct od_yaml_node *node = root->first; status == OD_OK && node;
         node = node->next) {
        const char *name = node->key->text;
        const struct od_recipe_key *key = od_recipe_key_find(name);
        if (!key) {
            return od_recipe_fail_unknown(node->key, "key", name, od_recipe_key_nearest(name), err);
        }
        if (key->alias && od_yaml_find(root, key->name) != node && od_yaml_find(root, key->name)) {
            return od_recipe_fail(node->key, OD_E_FORMAT, err, "'%s' is '%s', which is there, too",
                                  key->alias, key->name);
        }
        // A key without a value is as good as absent.
        if (od_yaml_is_null(node) && key->fallback) {
            continue;
        }
        status = od_recipe_read_value(r, node, key, err);
    }
    return status;
}

// fp8 likewise; the others have their place for it.
static enum od_status check_fp8(struct od_recipe_reader *r, const struct od_yaml_node *root,
                                struct od_error *err)
{
    struct od_recipe *recipe = r->recipe;
    if (!r->fp8) {
        return OD_OK;
    }
    if (recipe->method == OD_METHOD_FULL) {
        return od_recipe_fail(od_yaml_find(root, "fp8"), OD_E_FORMAT, err,
                              "'fp8' is for frozen weights: it needs 'adapter: lora'");
    }
    if (recipe->quant != OD_QUANT_NONE || r->load_in_4bit || r->load_in_8bit) {
        return od_recipe_fail(od_yaml_find(root, "fp8"), OD_E_FORMAT, err,
                              "'fp8' goes with 'adapter: lora', not with weights in 4 bits or as "
                              "8-bit integers: choose one of them");
    }
    recipe->quant = OD_QUANT_E4M3;
    return OD_OK;
}

// load_in_4bit and load_in_8bit say how the frozen weights under an adapter are kept.
static enum od_status check_quant(struct od_recipe_reader *r, const struct od_yaml_node *root,
                                  struct od_error *err)
{
    struct od_recipe *recipe = r->recipe;
    const bool qlora = recipe->quant == OD_QUANT_NF4;
    const char *name = r->load_in_8bit ? "load_in_8bit" : "load_in_4bit";
    if (!r->load_in_4bit && !r->load_in_8bit) {
        return OD_OK;
    }
    if (r->load_in_8bit && (r->load_in_4bit || qlora)) {
        return od_recipe_fail(od_yaml_find(root, name), OD_E_FORMAT, err,
                              "weights in 4 bits and in 8 bits: choose one of them");
    }
    if (recipe->method == OD_METHOD_FULL) {
        return od_recipe_fail(od_yaml_find(root, name), OD_E_FORMAT, err,
                              "'%s' is for frozen weights: it needs 'adapter: %s'", name,
                              r->load_in_8bit ? "lora" : "qlora");
    }
    recipe->quant = r->load_in_8bit ? OD_QUANT_INT8 : OD_QUANT_NF4;
    return OD_OK;
}

// Two keys that say the same thing in two ways.
static enum od_status check_pairs(const struct od_yaml_node *root, struct od_error *err)
{
    static const char *const pairs[][2] = {{"eval_steps", "evals_per_epoch"},
                                           {"save_steps", "saves_per_epoch"},
                                           {"warmup_steps", "warmup_ratio"},
                                           {"val_set_size", "test_datasets"}};
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        double value = 1;
        const struct od_yaml_node *one = od_yaml_find(root, pairs[i][0]);
        const struct od_yaml_node *two = od_yaml_find(root, pairs[i][1]);
        // A zero asks for nothing.
        if (!one || !two || od_yaml_is_null(one) || od_yaml_is_null(two) ||
            (od_yaml_number(one, &value, NULL) == OD_OK && value <= 0) ||
            (two->type == OD_YAML_SCALAR && od_yaml_number(two, &value, NULL) == OD_OK &&
             value <= 0)) {
            continue;
        }
        return od_recipe_fail(two->key, OD_E_FORMAT, err, "'%s' and '%s' are both there: keep one",
                              pairs[i][0], pairs[i][1]);
    }
    return OD_OK;
}

static enum od_status check_schedule(struct od_recipe_reader *r, const struct od_yaml_node *root,
                                     struct od_error *err)
{
    struct od_recipe *recipe = r->recipe;
    const struct od_yaml_node *at = od_yaml_find(root, "lr_scheduler");
    at = at ? at : od_yaml_find(root, "lr_scheduler_type");
    at = at ? at : root;
    if (recipe->lr_scheduler == OD_SCHEDULE_WARMUP_STABLE_DECAY && recipe->lr_decay_steps == 0) {
        return od_recipe_fail(at, OD_E_FORMAT, err,
                              "'warmup_stable_decay' needs lr_scheduler_kwargs: {num_decay_steps: "
                              "N}");
    }
    if (recipe->lr_scheduler == OD_SCHEDULE_DECAY_PER_EPOCH && !(recipe->lr_gamma > 0)) {
        return od_recipe_fail(at, OD_E_FORMAT, err,
                              "'decay_per_epoch' needs lr_scheduler_kwargs: {gamma: 0.85}, what "
                              "the rate is multiplied by after each epoch");
    }
    if (r->min_lr > 0) {
        if (r->min_lr > recipe->learning_rate) {
            return od_recipe_fail(od_yaml_find(root, "lr_scheduler_kwargs"), OD_E_FORMAT, err,
                                  "'min_lr' is above 'learning_rate'");
        }
        recipe->cosine_min_lr_ratio = r->min_lr / recipe->learning_rate;
    }
    if (recipe->cosine_constant_lr_ratio > 0 && !(recipe->cosine_min_lr_ratio > 0)) {
        return od_recipe_fail(od_yaml_find(root, "cosine_constant_lr_ratio"), OD_E_FORMAT, err,
                              "'cosine_constant_lr_ratio' needs 'cosine_min_lr_ratio', the rate "
                              "that stays");
    }
    return OD_OK;
}

// What needs documents that are held out.
static enum od_status check_validation(const struct od_recipe *recipe,
                                       const struct od_yaml_node *root, struct od_error *err)
{
    static const char *const names[] = {"load_best_model_at_end", "early_stopping_patience"};
    const bool wanted[] = {recipe->load_best_model_at_end, recipe->early_stopping_patience > 0};
    const bool never = recipe->eval_strategy == OD_DUE_NEVER;
    const bool held_out = recipe->val_set_size > 0 || recipe->test_dataset_count > 0;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (wanted[i] && (never || !held_out)) {
            return od_recipe_fail(od_yaml_find(root, names[i]), OD_E_FORMAT, err,
                                  "'%s' needs evaluations: %s", names[i],
                                  never ? "'eval_strategy' is no"
                                        : "set 'val_set_size' or 'test_datasets'");
        }
    }
    if (recipe->save_strategy == OD_DUE_BEST && (never || !held_out)) {
        return od_recipe_fail(od_yaml_find(root, "save_strategy"), OD_E_FORMAT, err,
                              "'save_strategy: best' needs evaluations: set 'val_set_size' or "
                              "'test_datasets'");
    }
    return OD_OK;
}

// Keys of an adapter without one.
static enum od_status note_lora_keys(struct od_recipe_reader *r, const struct od_yaml_node *root,
                                     struct od_error *err)
{
    enum od_status status = OD_OK;
    for (const struct od_yaml_node *node = root->first; status == OD_OK && node;
         node = node->next) {
        const struct od_recipe_key *key = od_recipe_key_find(node->key->text);
        if (key && key->lora && !od_yaml_is_null(node)) {
            status = od_recipe_note(r, err, "key '%s' has no effect without 'adapter: lora'",
                                    node->key->text);
        }
    }
    return status;
}

// What holds between keys.
static enum od_status check_together(struct od_recipe_reader *r, const struct od_yaml_node *root,
                                     struct od_error *err)
{
    struct od_recipe *recipe = r->recipe;
    enum od_status status = OD_OK;
    if (!recipe->base_model && !recipe->base_config) {
        return od_recipe_fail(root, OD_E_FORMAT, err, "'base_model' is missing");
    }
    if (recipe->dataset_count == 0) {
        return od_recipe_fail(root, OD_E_FORMAT, err, "'datasets' is missing");
    }
    if (recipe->base_config && recipe->method == OD_METHOD_LORA) {
        return od_recipe_fail(od_yaml_find(root, "adapter"), OD_E_FORMAT, err,
                              "an adapter needs a base model with weights, not random ones");
    }
    if (recipe->bf16_weights && recipe->method == OD_METHOD_LORA) {
        return od_recipe_fail(od_yaml_find(root, "weights"), OD_E_FORMAT, err,
                              "'weights: bf16-stochastic' is for full tuning: an adapter's weights "
                              "are float32");
    }
    if (r->target_linear) {
        od_recipe_target_linear(recipe);
    }
    if ((status = check_fp8(r, root, err)) != OD_OK ||
        (status = check_quant(r, root, err)) != OD_OK ||
        (status = od_recipe_check_exports(recipe, root, err)) != OD_OK ||
        (status = check_pairs(root, err)) != OD_OK ||
        (status = check_schedule(r, root, err)) != OD_OK ||
        (status = check_validation(recipe, root, err)) != OD_OK ||
        (status = od_recipe_set_templates(root, recipe, err)) != OD_OK) {
        return status;
    }
    if (recipe->method == OD_METHOD_FULL && (status = note_lora_keys(r, root, err)) != OD_OK) {
        return status;
    }
    if (r->more_notes > 0) {
        char text[64];
        (void)snprintf(text, sizeof text, "%zu more keys have no effect here", r->more_notes);
        return od_recipe_keep(r, text, &recipe->notes[recipe->note_count++], err);
    }
    return OD_OK;
}

enum od_status od_recipe_parse(const char *text, size_t size, const char *name, const char *folder,
                               struct od_recipe *ret, struct od_error *err)
{
    struct od_yaml *yaml = NULL;
    struct od_recipe *recipe = NULL;
    struct od_recipe_reader r = {.folder = folder};
    if (size > OD_RECIPE_MAX_BYTES) {
        return od_fail(err, OD_E_LIMIT, "%s: a recipe of %zu bytes, at most %d", name, size,
                       (int)OD_RECIPE_MAX_BYTES);
    }
    enum od_status status = od_yaml_parse(text, size, name, &yaml, err);
    if (status != OD_OK) {
        return status;
    }
    recipe = od_alloc(1, sizeof *recipe);
    if (!recipe) {
        status = no_memory(err);
        goto done;
    }
    od_arena_init(&recipe->arena, STRINGS_MAX_BYTES);
    set_defaults(recipe);
    r.recipe = recipe;
    status = read_keys(&r, od_yaml_root(yaml), err);
    if (status == OD_OK) {
        status = check_together(&r, od_yaml_root(yaml), err);
    }
    if (status == OD_OK) {
        *ret = *recipe;
        recipe->arena = (struct od_arena){0};  // ownership moved to *ret
    }

done:
    if (recipe) {
        od_recipe_release(recipe);
    }
    od_free(recipe);
    od_yaml_free(yaml);
    return status;
}

enum od_status od_recipe_read(const char *path, struct od_recipe *ret, struct od_error *err)
{
    char folder[OD_PATH_MAX_BYTES] = "";
    char *text = NULL;
    size_t size = 0;
    const char *slash = strrchr(path, '/');
    if (slash) {
        const size_t length = slash == path ? 1 : (size_t)(slash - path);
        if (length >= sizeof folder) {
            return od_fail(err, OD_E_LIMIT, "the path '%s' is too long", path);
        }
        memcpy(folder, path, length);
        folder[length] = '\0';
    }
    enum od_status status = od_file_read(path, OD_RECIPE_MAX_BYTES, &text, &size, err);
    if (status == OD_OK) {
        status = od_recipe_parse(text, size, path, folder, ret, err);
    }
    od_free(text);
    return status;
}

void od_recipe_release(struct od_recipe *recipe)
{
    od_arena_release(&recipe->arena);
    *recipe = (struct od_recipe){0};
}
