// A recipe is a YAML mapping; its keys, types and ranges are in recipe_table.c. Two keys hold more:
//
//     base_model: DIR                         a folder with weights
//     base_model:                             or random weights:
//       config: FILE                          a config.json
//       tokenizer: DIR                        a folder with a tokenizer
//     datasets:
//       - path: FILE                          .jsonl, .json, .txt, each also with .gz
//         type: input-output                  or alpaca, completion
//         weight: 1                           above 0, at most 1000
//
// Paths are kept absolute, so that the written recipe means the same wherever it lies.
#include "tune/recipe.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
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
#include "data/dataset.h"
#include "formats/yaml.h"
#include "tune/recipe_table.h"

enum { NOTES_MAX = 64 };

/** What a recipe's strings may take: paths of all data files and more. */
#define STRINGS_MAX_BYTES ((size_t)16 << 20)

/** A recipe in the middle of being read. */
struct reader {
    struct od_recipe *recipe;
    const char *folder;
    bool target_linear;  ///< lora_target_linear: true
    size_t more_notes;   ///< notes that found no room
};

static const char *const all_linear[] = {"q_proj",    "k_proj",  "v_proj",   "o_proj",
                                         "gate_proj", "up_proj", "down_proj"};
static const char *const type_names[] = {[OD_DATASET_INPUT_OUTPUT] = "input-output",
                                         [OD_DATASET_ALPACA] = "alpaca",
                                         [OD_DATASET_COMPLETION] = "completion"};
static const char *const schedule_names[] = {[OD_SCHEDULE_COSINE] = "cosine",
                                             [OD_SCHEDULE_LINEAR] = "linear",
                                             [OD_SCHEDULE_CONSTANT] = "constant"};

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

// The member of a recipe that a key stands for.
static void *slot(struct od_recipe *recipe, const struct od_recipe_key *key)
{
    return (char *)recipe + key->offset;
}

static const void *const_slot(const struct od_recipe *recipe, const struct od_recipe_key *key)
{
    return (const char *)recipe + key->offset;
}

static OD_PRINTF(4, 5) enum od_status
    fail_at(const struct od_yaml_node *node, enum od_status status, struct od_error *err,
            const char *format, ...)
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

static enum od_status keep(struct reader *r, const char *text, const char **ret,
                           struct od_error *err)
{
    *ret = od_arena_strdup(&r->recipe->arena, text);
    return *ret ? OD_OK : no_memory(err);
}

static OD_PRINTF(3, 4) enum od_status
    add_note(struct reader *r, struct od_error *err, const char *format, ...)
{
    char text[OD_ERROR_MESSAGE_BYTES];
    if (r->recipe->note_count == NOTES_MAX - 1) {
        r->more_notes++;  // the last place is for their number
        return OD_OK;
    }
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return keep(r, text, &r->recipe->notes[r->recipe->note_count++], err);
}

// Keep a path, made absolute: relative ones start at the recipe's folder.
static enum od_status read_path(struct reader *r, const struct od_yaml_node *node, const char **ret,
                                struct od_error *err)
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
        return fail_at(node, OD_E_FORMAT, err, "'%s' is empty: give a path",
                       node->key ? node->key->text : "path");
    }
    if (*text == '/') {
        return keep(r, text, ret, err);
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
    return status == OD_OK ? keep(r, path, ret, err) : status;
}

// An error for an unknown name, with the nearest of those that are known.
static enum od_status fail_unknown(const struct od_yaml_node *at, const char *what,
                                   const char *name, const char *nearest, struct od_error *err)
{
    return nearest ? fail_at(at, OD_E_FORMAT, err, "unknown %s '%s': did you mean '%s'?", what,
                             name, nearest)
                   : fail_at(at, OD_E_FORMAT, err, "unknown %s '%s'", what, name);
}

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
        return fail_at(node, OD_E_FORMAT, err, "'%s' is %s: it must be %s %s and at most %s",
                       key->name, node->text, key->above ? "above" : "at least", low, high);
    }
    if (strcmp(key->name, "lora_dropout") == 0 && value >= 1) {
        return fail_at(node, OD_E_ARGUMENT, err, "'lora_dropout' must be below 1");
    }
    *(double *)slot(recipe, key) = value;
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
        return fail_at(node, OD_E_FORMAT, err, "'%s' is %s: it must be %.0f to %.0f", key->name,
                       node->text, key->min, key->max);
    }
    *ret = value;
    return OD_OK;
}

static enum od_status read_base_model(struct reader *r, const struct od_yaml_node *node,
                                      struct od_error *err)
{
    static const char *const members[] = {"config", "tokenizer"};
    struct od_recipe *recipe = r->recipe;
    if (node->type != OD_YAML_MAPPING) {
        return read_path(r, node, &recipe->base_model, err);
    }
    for (const struct od_yaml_node *item = node->first; item; item = item->next) {
        enum od_status status = OD_OK;
        if (strcmp(item->key->text, members[0]) == 0) {
            status = read_path(r, item, &recipe->base_config, err);
        } else if (strcmp(item->key->text, members[1]) == 0) {
            status = read_path(r, item, &recipe->base_tokenizer, err);
        } else {
            status = fail_unknown(item->key, "key of base_model", item->key->text,
                                  od_nearest_name(item->key->text, members, COUNT(members)), err);
        }
        if (status != OD_OK) {
            return status;
        }
    }
    if (!recipe->base_config || !recipe->base_tokenizer) {
        return fail_at(node, OD_E_FORMAT, err, "'base_model' needs 'config' and 'tokenizer'");
    }
    return OD_OK;
}

static enum od_status read_adapter(struct reader *r, const struct od_yaml_node *node,
                                   struct od_error *err)
{
    static const char *const names[] = {"lora"};
    const char *text = NULL;
    if (od_yaml_is_null(node)) {
        return OD_OK;
    }
    const enum od_status status = od_yaml_text(node, &text, err);
    if (status != OD_OK) {
        return status;
    }
    if (strcmp(text, "lora") == 0) {
        r->recipe->method = OD_METHOD_LORA;
        return OD_OK;
    }
    if (strcmp(text, "") == 0) {
        return OD_OK;
    }
    if (strcmp(text, "qlora") == 0) {
        return fail_at(node, OD_E_UNSUPPORTED, err, "'adapter: qlora' is not built yet: 'lora' is");
    }
    return fail_unknown(node, "adapter", text, od_nearest_name(text, names, COUNT(names)), err);
}

static enum od_status use_all_linear(struct od_recipe *recipe)
{
    for (size_t i = 0; i < COUNT(all_linear); i++) {
        recipe->lora_targets[i] = all_linear[i];
    }
    recipe->lora_target_count = COUNT(all_linear);
    return OD_OK;
}

static enum od_status read_targets(struct reader *r, const struct od_yaml_node *node,
                                   struct od_error *err)
{
    struct od_recipe *recipe = r->recipe;
    if (od_yaml_is_null(node) ||
        (node->type == OD_YAML_SCALAR && strcmp(node->text, "all-linear") == 0)) {
        return use_all_linear(recipe);
    }
    enum od_status status = od_yaml_expect(node, OD_YAML_SEQUENCE, err);
    if (status == OD_OK && (node->count < 1 || node->count > OD_LORA_TARGETS_MAX)) {
        return fail_at(node, OD_E_FORMAT, err, "'%s' must have 1 to %d names", node->key->text,
                       (int)OD_LORA_TARGETS_MAX);
    }
    recipe->lora_target_count = 0;
    for (const struct od_yaml_node *item = node->first; status == OD_OK && item;
         item = item->next) {
        const char *text = NULL;
        status = od_yaml_text(item, &text, err);
        for (size_t i = 0; status == OD_OK && i < recipe->lora_target_count; i++) {
            if (strcmp(recipe->lora_targets[i], text) == 0) {
                status = fail_at(item, OD_E_FORMAT, err, "'%s' is there twice", text);
            }
        }
        if (status == OD_OK && *text == '\0') {
            status = fail_at(item, OD_E_FORMAT, err, "an empty name in '%s'", node->key->text);
        }
        if (status == OD_OK) {
            status = keep(r, text, &recipe->lora_targets[recipe->lora_target_count++], err);
        }
    }
    return status;
}

static enum od_status read_dataset_type(const struct od_yaml_node *node,
                                        enum od_dataset_type *ret_type, struct od_error *err)
{
    const char *text = NULL;
    const enum od_status status = od_yaml_text(node, &text, err);
    if (status != OD_OK) {
        return status;
    }
    for (size_t i = 0; i < COUNT(type_names); i++) {
        if (strcmp(text, type_names[i]) == 0) {
            *ret_type = (enum od_dataset_type)i;
            return OD_OK;
        }
    }
    if (strcmp(text, "input_output") == 0) {
        *ret_type = OD_DATASET_INPUT_OUTPUT;
        return OD_OK;
    }
    const char *nearest = od_nearest_name(text, type_names, COUNT(type_names));
    return nearest ? fail_unknown(node, "type of data", text, nearest, err)
                   : fail_at(node, OD_E_FORMAT, err,
                             "unknown type of data '%s': it must be input-output, alpaca or "
                             "completion",
                             text);
}

static enum od_status read_weight(const struct od_yaml_node *node, double *ret,
                                  struct od_error *err)
{
    const enum od_status status = od_yaml_number(node, ret, err);
    if (status == OD_OK && (!(*ret > 0) || *ret > (double)OD_DATASET_WEIGHT_MAX)) {
        return fail_at(node, OD_E_FORMAT, err, "'weight' is %s: it must be above 0 and at most %d",
                       node->text, (int)OD_DATASET_WEIGHT_MAX);
    }
    return status;
}

static bool is_text_file(const char *path)
{
    const size_t size = strlen(path);
    return (size >= 4 && strcmp(path + size - 4, ".txt") == 0) ||
           (size >= 7 && strcmp(path + size - 7, ".txt.gz") == 0);
}

static enum od_status read_dataset(struct reader *r, const struct od_yaml_node *node,
                                   struct od_dataset_spec *spec, struct od_error *err)
{
    static const char *const members[] = {"path", "type", "weight", "split", "ds_type"};
    bool has_type = false;
    enum od_status status = od_yaml_expect(node, OD_YAML_MAPPING, err);
    *spec = (struct od_dataset_spec){.weight = 1};
    for (const struct od_yaml_node *item = node->first; status == OD_OK && item;
         item = item->next) {
        const char *key = item->key->text;
        if (strcmp(key, "path") == 0) {
            status = read_path(r, item, &spec->path, err);
        } else if (strcmp(key, "type") == 0) {
            has_type = true;
            status = read_dataset_type(item, &spec->type, err);
        } else if (strcmp(key, "weight") == 0) {
            status = read_weight(item, &spec->weight, err);
        } else if (strcmp(key, "split") == 0 || strcmp(key, "ds_type") == 0) {
            status = add_note(r, err, "key '%s' has no effect here: the file is read whole", key);
        } else {
            status = fail_unknown(item->key, "key of a data file", key,
                                  od_nearest_name(key, members, COUNT(members)), err);
        }
    }
    if (status == OD_OK && !spec->path) {
        return fail_at(node, OD_E_FORMAT, err, "a data file needs 'path'");
    }
    if (status == OD_OK && !has_type) {
        spec->type = OD_DATASET_COMPLETION;
        if (!is_text_file(spec->path)) {
            return fail_at(node, OD_E_FORMAT, err,
                           "a data file needs 'type': input-output, alpaca or completion");
        }
    }
    return status;
}

static enum od_status read_datasets(struct reader *r, const struct od_yaml_node *node,
                                    struct od_error *err)
{
    struct od_recipe *recipe = r->recipe;
    enum od_status status = od_yaml_expect(node, OD_YAML_SEQUENCE, err);
    if (status == OD_OK && (node->count < 1 || node->count > OD_DATASET_FILES_MAX)) {
        return fail_at(node, OD_E_FORMAT, err, "'datasets' must list 1 to %d files",
                       (int)OD_DATASET_FILES_MAX);
    }
    for (const struct od_yaml_node *item = node->first; status == OD_OK && item;
         item = item->next) {
        status = read_dataset(r, item, &recipe->datasets[recipe->dataset_count++], err);
    }
    return status;
}

static enum od_status read_optimizer(struct reader *r, const struct od_yaml_node *node,
                                     struct od_error *err)
{
    static const char *const same[] = {"adamw", "adamw_torch", "adamw_torch_fused"};
    const char *text = NULL;
    const enum od_status status = od_yaml_text(node, &text, err);
    if (status != OD_OK) {
        return status;
    }
    for (size_t i = 0; i < COUNT(same); i++) {
        if (strcmp(text, same[i]) == 0) {
            r->recipe->optimizer = same[0];
            return OD_OK;
        }
    }
    return fail_at(node, OD_E_UNSUPPORTED, err, "the optimizer '%s' is not built yet: 'adamw' is",
                   text);
}

static enum od_status read_scheduler(struct reader *r, const struct od_yaml_node *node,
                                     struct od_error *err)
{
    const char *text = NULL;
    const enum od_status status = od_yaml_text(node, &text, err);
    if (status != OD_OK) {
        return status;
    }
    for (size_t i = 0; i < COUNT(schedule_names); i++) {
        if (strcmp(text, schedule_names[i]) == 0) {
            r->recipe->lr_scheduler = (enum od_schedule)i;
            return OD_OK;
        }
    }
    if (strcmp(text, "constant_with_warmup") == 0) {
        r->recipe->lr_scheduler = OD_SCHEDULE_CONSTANT;
        return OD_OK;
    }
    const char *nearest = od_nearest_name(text, schedule_names, COUNT(schedule_names));
    return nearest
               ? fail_unknown(node, "lr_scheduler", text, nearest, err)
               : fail_at(node, OD_E_FORMAT, err,
                         "unknown lr_scheduler '%s': it must be cosine, linear or constant", text);
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

static enum od_status read_unused(struct reader *r, const struct od_yaml_node *node,
                                  const struct od_recipe_key *key, struct od_error *err)
{
    if (key->kind == OD_RECIPE_NO_EFFECT) {
        return od_yaml_is_null(node)
                   ? OD_OK
                   : add_note(r, err, "key '%s' has no effect here: %s", key->name, key->help);
    }
    return is_harmless(node, key->fallback)
               ? OD_OK
               : fail_at(node, OD_E_UNSUPPORTED, err, "'%s' is not supported: %s", key->name,
                         key->help);
}

static enum od_status read_value(struct reader *r, const struct od_yaml_node *node,
                                 const struct od_recipe_key *key, struct od_error *err)
{
    struct od_recipe *recipe = r->recipe;
    int64_t seed = 0;
    enum od_status status = OD_OK;
    switch (key->kind) {
    case OD_RECIPE_INT: return read_int(node, key, slot(recipe, key), err);
    case OD_RECIPE_NUMBER: return read_number(node, key, recipe, err);
    case OD_RECIPE_BOOL: return od_yaml_bool(node, slot(recipe, key), err);
    case OD_RECIPE_SEED:
        status = read_int(node, key, &seed, err);
        recipe->seed = (uint64_t)seed;
        return status;
    case OD_RECIPE_BASE_MODEL: return read_base_model(r, node, err);
    case OD_RECIPE_ADAPTER: return read_adapter(r, node, err);
    case OD_RECIPE_TARGETS: return read_targets(r, node, err);
    case OD_RECIPE_TARGET_LINEAR: return od_yaml_bool(node, &r->target_linear, err);
    case OD_RECIPE_DATASETS: return read_datasets(r, node, err);
    case OD_RECIPE_OPTIMIZER: return read_optimizer(r, node, err);
    case OD_RECIPE_SCHEDULER: return read_scheduler(r, node, err);
    case OD_RECIPE_NO_EFFECT:
    case OD_RECIPE_REFUSED: break;
    }
    return read_unused(r, node, key, err);
}

// Values of keys that are absent, from the table.
static void set_defaults(struct od_recipe *recipe)
{
    for (size_t i = 0; i < od_recipe_key_count; i++) {
        const struct od_recipe_key *key = &od_recipe_keys[i];
        int64_t number = 0;
        bool ok = true;
        if (key->kind == OD_RECIPE_INT) {
            ok = od_parse_int(key->fallback, slot(recipe, key));
        } else if (key->kind == OD_RECIPE_NUMBER) {
            ok = od_parse_double(key->fallback, slot(recipe, key));
        } else if (key->kind == OD_RECIPE_BOOL) {
            *(bool *)slot(recipe, key) = strcmp(key->fallback, "true") == 0;
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
    (void)use_all_linear(recipe);
}

// Read all keys in the order of the file.
static enum od_status read_keys(struct reader *r, const struct od_yaml_node *root,
                                struct od_error *err)
{
    enum od_status status = od_yaml_expect(root, OD_YAML_MAPPING, err);
    for (const struct od_yaml_node *node = root->first; status == OD_OK && node;
         node = node->next) {
        const char *name = node->key->text;
        const struct od_recipe_key *key = od_recipe_key_find(name);
        if (!key) {
            return fail_unknown(node->key, "key", name, od_recipe_key_nearest(name), err);
        }
        if (key->alias && od_yaml_find(root, key->name) != node && od_yaml_find(root, key->name)) {
            return fail_at(node->key, OD_E_FORMAT, err, "'%s' is '%s', which is there, too",
                           key->alias, key->name);
        }
        // A key without a value is as good as absent.
        if (od_yaml_is_null(node) && key->fallback) {
            continue;
        }
        status = read_value(r, node, key, err);
    }
    return status;
}

// What holds between keys.
static enum od_status check_together(struct reader *r, const struct od_yaml_node *root,
                                     struct od_error *err)
{
    struct od_recipe *recipe = r->recipe;
    if (!recipe->base_model && !recipe->base_config) {
        return fail_at(root, OD_E_FORMAT, err, "'base_model' is missing");
    }
    if (recipe->dataset_count == 0) {
        return fail_at(root, OD_E_FORMAT, err, "'datasets' is missing");
    }
    if (recipe->base_config && recipe->method == OD_METHOD_LORA) {
        return fail_at(od_yaml_find(root, "adapter"), OD_E_FORMAT, err,
                       "an adapter needs a base model with weights, not random ones");
    }
    if (r->target_linear) {
        (void)use_all_linear(recipe);
    }
    if (recipe->method == OD_METHOD_FULL) {
        for (const struct od_yaml_node *node = root->first; node; node = node->next) {
            const struct od_recipe_key *key = od_recipe_key_find(node->key->text);
            if (key && key->lora) {
                const enum od_status status = add_note(
                    r, err, "key '%s' has no effect without 'adapter: lora'", node->key->text);
                if (status != OD_OK) {
                    return status;
                }
            }
        }
    }
    if (r->more_notes > 0) {
        char text[64];
        (void)snprintf(text, sizeof text, "%zu more keys have no effect here", r->more_notes);
        return keep(r, text, &recipe->notes[recipe->note_count++], err);
    }
    return OD_OK;
}

enum od_status od_recipe_parse(const char *text, size_t size, const char *name, const char *folder,
                               struct od_recipe *ret, struct od_error *err)
{
    struct od_yaml *yaml = NULL;
    struct od_recipe *recipe = NULL;
    struct reader r = {.folder = folder};
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

static void put_member(struct od_buf *out, const char *indent, const char *key, const char *text)
{
    od_buf_printf(out, "%s%s: ", indent, key);
    od_yaml_put_scalar(out, text);
    od_buf_putc(out, '\n');
}

static void put_base_model(const struct od_recipe *recipe, struct od_buf *out)
{
    if (recipe->base_model) {
        put_member(out, "", "base_model", recipe->base_model);
    } else {
        od_buf_puts(out, "base_model:\n");
        put_member(out, "  ", "config", recipe->base_config);
        put_member(out, "  ", "tokenizer", recipe->base_tokenizer);
    }
}

static void put_targets(const struct od_recipe *recipe, struct od_buf *out)
{
    od_buf_puts(out, "lora_target_modules:\n");
    for (size_t i = 0; i < recipe->lora_target_count; i++) {
        od_buf_puts(out, "  - ");
        od_yaml_put_scalar(out, recipe->lora_targets[i]);
        od_buf_putc(out, '\n');
    }
}

static void put_datasets(const struct od_recipe *recipe, struct od_buf *out)
{
    char number[OD_NUMBER_BYTES];
    od_buf_puts(out, "datasets:\n");
    for (size_t i = 0; i < recipe->dataset_count; i++) {
        const struct od_dataset_spec *spec = &recipe->datasets[i];
        put_member(out, "  - ", "path", spec->path);
        put_member(out, "    ", "type", type_names[spec->type]);
        od_double_text(spec->weight, number);
        od_buf_printf(out, "    weight: %s\n", number);
    }
}

static void put_key(const struct od_recipe *recipe, const struct od_recipe_key *key,
                    struct od_buf *out)
{
    char number[OD_NUMBER_BYTES];
    const void *value = const_slot(recipe, key);
    switch (key->kind) {
    case OD_RECIPE_INT:
        od_buf_printf(out, "%s: %" PRId64 "\n", key->name, *(const int64_t *)value);
        break;
    case OD_RECIPE_NUMBER:
        od_double_text(*(const double *)value, number);
        od_buf_printf(out, "%s: %s\n", key->name, number);
        break;
    case OD_RECIPE_BOOL:
        od_buf_printf(out, "%s: %s\n", key->name, *(const bool *)value ? "true" : "false");
        break;
    case OD_RECIPE_SEED: od_buf_printf(out, "seed: %" PRIu64 "\n", recipe->seed); break;
    case OD_RECIPE_BASE_MODEL: put_base_model(recipe, out); break;
    case OD_RECIPE_ADAPTER:
        od_buf_puts(out, recipe->method == OD_METHOD_LORA ? "adapter: lora\n" : "adapter: null\n");
        break;
    case OD_RECIPE_TARGETS: put_targets(recipe, out); break;
    case OD_RECIPE_DATASETS: put_datasets(recipe, out); break;
    case OD_RECIPE_OPTIMIZER: put_member(out, "", key->name, recipe->optimizer); break;
    case OD_RECIPE_SCHEDULER:
        put_member(out, "", key->name, schedule_names[recipe->lr_scheduler]);
        break;
    case OD_RECIPE_TARGET_LINEAR:
    case OD_RECIPE_NO_EFFECT:
    case OD_RECIPE_REFUSED: break;
    }
}

enum od_status od_recipe_write(const struct od_recipe *recipe, struct od_buf *out,
                               struct od_error *err)
{
    for (size_t i = 0; i < od_recipe_key_count; i++) {
        const struct od_recipe_key *key = &od_recipe_keys[i];
        // Without an adapter its keys would only bring notes.
        if (!key->lora || recipe->method == OD_METHOD_LORA) {
            put_key(recipe, key, out);
        }
    }
    return od_buf_check(out, err);
}
