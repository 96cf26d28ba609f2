// Entries of `datasets` and `test_datasets`:
//
//     - path: FILE                          .jsonl, .json, .csv, .tsv, .txt; packed or not
//       type: alpaca                        a name; or a mapping, for a layout of one's own
//       weight: 1                           above 0, at most 1000
//
// Their other keys are in the table of recipe_table.c. A mapping under `type` may have those keys that
// say members and layout; beside `type` they mean the same.
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"
#include "data/dataset.h"
#include "formats/yaml.h"
#include "text/chat_template.h"
#include "tune/recipe.h"
#include "tune/recipe_internal.h"
#include "tune/recipe_table.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/** A type of data as recipes name it. */
struct type_name {
    const char *name;
    enum od_dataset_type type;
};

static const struct type_name other_names[] = {{"input_output", OD_DATASET_INPUT_OUTPUT},
                                               {"dolly", OD_DATASET_ALPACA},
                                               {"gpteacher", OD_DATASET_ALPACA},
                                               {"alpaca_w_system.load", OD_DATASET_ALPACA},
                                               {"alpaca_chat.load_qa", OD_DATASET_ALPACA_CHAT},
                                               {"sharegpt", OD_DATASET_CHAT},
                                               {"sharegpt.load_role", OD_DATASET_CHAT}};
// Types of axolotl that are known and not built.
static const char *const later_names[] = {"chat_template",
                                          "sharegpt",
                                          "jeopardy",
                                          "reflection",
                                          "explainchoice",
                                          "concisechoice",
                                          "summarizetldr",
                                          "pygmalion",
                                          "context_qa",
                                          "alpaca_chat",
                                          "alpaca_w_system",
                                          "creative_acr",
                                          "metharme",
                                          "orcamini",
                                          "llama2_chat",
                                          "user_defined",
                                          "stepwise_supervised",
                                          "bradley_terry",
                                          "chatml",
                                          "raw_samples",
                                          "alpaca",
                                          "llama3",
                                          "zephyr",
                                          "orpo",
                                          "prompt_pairs",
                                          "passthrough"};
static const char known_types[] =
    "input-output, alpaca, alpaca_chat, chat_template, oasst, completion or a mapping";

enum od_status od_recipe_read_text(struct od_recipe_reader *r, const struct od_yaml_node *node,
                                   const char **ret, struct od_error *err)
{
    const char *text = NULL;
    if (od_yaml_is_null(node)) {
        *ret = NULL;
        return OD_OK;
    }
    const enum od_status status = od_yaml_text(node, &text, err);
    return status == OD_OK ? od_recipe_keep(r, text, ret, err) : status;
}

enum od_status od_recipe_read_template(struct od_recipe_reader *r, const struct od_yaml_node *node,
                                       const char **ret, struct od_error *err)
{
    struct od_error inner = {0};
    struct od_chat_template *made = NULL;
    const enum od_status status = od_recipe_read_text(r, node, ret, err);
    if (status != OD_OK || !*ret || strcmp(*ret, "jinja") == 0 ||
        strcmp(*ret, "tokenizer_default") == 0) {
        return status;
    }
    const enum od_status made_status = od_chat_template_create(*ret, &made, &inner);
    od_chat_template_free(made);
    return made_status == OD_OK ? OD_OK
                                : od_recipe_fail(node, made_status, err, "%s", inner.message);
}

static enum od_status set_template(const struct od_yaml_node *root, const struct od_recipe *recipe,
                                   struct od_dataset_spec *spec, struct od_error *err)
{
    const char *name = spec->chat_template ? spec->chat_template : recipe->chat_template;
    if (spec->type != OD_DATASET_CHAT && spec->type != OD_DATASET_OASST) {
        return OD_OK;
    }
    if (!spec->chat_template && !name) {
        name = recipe->chat_template_jinja;
    }
    if (name && strcmp(name, "jinja") == 0) {
        name = recipe->chat_template_jinja;
        if (!name) {
            return od_recipe_fail(root, OD_E_FORMAT, err,
                                  "'chat_template: jinja' needs 'chat_template_jinja'");
        }
    }
    spec->chat_template = name;
    return OD_OK;
}

enum od_status od_recipe_set_templates(const struct od_yaml_node *root, struct od_recipe *recipe,
                                       struct od_error *err)
{
    enum od_status status = OD_OK;
    for (size_t i = 0; status == OD_OK && i < recipe->dataset_count; i++) {
        status = set_template(root, recipe, &recipe->datasets[i], err);
    }
    for (size_t i = 0; status == OD_OK && i < recipe->test_dataset_count; i++) {
        status = set_template(root, recipe, &recipe->test_datasets[i], err);
    }
    return status;
}

static enum od_status fail_type(const struct od_yaml_node *node, const char *text,
                                struct od_error *err)
{
    const size_t length = strcspn(text, ":.");  // what stands behind is a variant
    for (size_t i = 0; i < COUNT(later_names); i++) {
        if (strncmp(text, later_names[i], length) == 0 && later_names[i][length] == '\0') {
            return od_recipe_fail(node, OD_E_UNSUPPORTED, err,
                                  "the type of data '%s' is not built yet: it must be %s", text,
                                  known_types);
        }
    }
    const char *nearest = od_nearest_name(text, od_dataset_type_names, OD_DATASET_TYPES);
    return nearest ? od_recipe_fail_unknown(node, "type of data", text, nearest, err)
                   : od_recipe_fail(node, OD_E_FORMAT, err,
                                    "unknown type of data '%s': it must be %s", text, known_types);
}

static const char **text_of(struct od_dataset_spec *spec, const struct od_recipe_key *key)
{
    return (const char **)(void *)((char *)spec + key->offset);
}

// A layout of one's own: keys of the data file that are texts.
static enum od_status read_own_type(struct od_recipe_reader *r, const struct od_yaml_node *node,
                                    struct od_dataset_spec *spec, struct od_error *err)
{
    enum od_status status = OD_OK;
    spec->type = OD_DATASET_OWN;
    for (const struct od_yaml_node *item = node->first; status == OD_OK && item;
         item = item->next) {
        const struct od_recipe_key *key = od_recipe_data_key_find(item->key->text);
        if (!key || key->kind != OD_RECIPE_DATA_TEXT) {
            return od_recipe_fail_unknown(item->key, "key of a layout", item->key->text,
                                          key ? NULL : od_recipe_data_key_nearest(item->key->text),
                                          err);
        }
        status = od_recipe_read_text(r, item, text_of(spec, key), err);
    }
    return status;
}

static enum od_status read_type(struct od_recipe_reader *r, const struct od_yaml_node *node,
                                struct od_dataset_spec *spec, struct od_error *err)
{
    const char *text = NULL;
    if (node->type == OD_YAML_MAPPING) {
        return read_own_type(r, node, spec, err);
    }
    const enum od_status status = od_yaml_text(node, &text, err);
    if (status != OD_OK) {
        return status;
    }
    for (size_t i = 0; i < OD_DATASET_OWN; i++) {
        if (strcmp(text, od_dataset_type_names[i]) == 0) {
            spec->type = (enum od_dataset_type)i;
            return OD_OK;
        }
    }
    for (size_t i = 0; i < COUNT(other_names); i++) {
        if (strcmp(text, other_names[i].name) == 0) {
            spec->type = other_names[i].type;
            return OD_OK;
        }
    }
    return fail_type(node, text, err);
}

static enum od_status read_max_rows(const struct od_yaml_node *node, int64_t *ret,
                                    struct od_error *err)
{
    const enum od_status status = od_yaml_int(node, ret, err);
    return status == OD_OK && *ret < 0
               ? od_recipe_fail(node, OD_E_FORMAT, err, "'max_rows' is %s: it must be at least 0",
                                node->text)
               : status;
}

static enum od_status read_mappings(struct od_recipe_reader *r, const struct od_yaml_node *node,
                                    struct od_dataset_spec *spec, struct od_error *err)
{
    enum od_status status = od_yaml_expect(node, OD_YAML_MAPPING, err);
    for (const struct od_yaml_node *item = node->first; status == OD_OK && item;
         item = item->next) {
        if (strcmp(item->key->text, "role") == 0) {
            status = od_recipe_read_text(r, item, &spec->fields.role, err);
        } else if (strcmp(item->key->text, "content") == 0) {
            status = od_recipe_read_text(r, item, &spec->fields.content, err);
        } else {
            status = od_recipe_fail(
                item, OD_E_UNSUPPORTED, err,
                "the mapping of '%s' is not supported: 'role' and 'content' are", item->key->text);
        }
    }
    return status;
}

// Every name in the list must stand for `role`.
static enum od_status check_roles(const struct od_yaml_node *list, const char *role,
                                  struct od_error *err)
{
    enum od_status status = od_yaml_expect(list, OD_YAML_SEQUENCE, err);
    for (const struct od_yaml_node *item = list->first; status == OD_OK && item;
         item = item->next) {
        const char *text = NULL;
        status = od_yaml_text(item, &text, err);
        if (status == OD_OK && strcmp(od_role_name(text), role) != 0) {
            status = od_recipe_fail(item, OD_E_UNSUPPORTED, err,
                                    "'%s' is not supported: '%s' is no name of the %s",
                                    list->key->text, text, role);
        }
    }
    return status;
}

static enum od_status read_roles(const struct od_yaml_node *node, struct od_error *err)
{
    enum od_status status = od_yaml_expect(node, OD_YAML_MAPPING, err);
    for (const struct od_yaml_node *item = node->first; status == OD_OK && item;
         item = item->next) {
        status = check_roles(item, item->key->text, err);
    }
    return status;
}

static enum od_status read_weight(const struct od_yaml_node *node, double *ret,
                                  struct od_error *err)
{
    const enum od_status status = od_yaml_number(node, ret, err);
    if (status == OD_OK && (!(*ret > 0) || *ret > (double)OD_DATASET_WEIGHT_MAX)) {
        return od_recipe_fail(node, OD_E_FORMAT, err,
                              "'weight' is %s: it must be above 0 and at most %d", node->text,
                              (int)OD_DATASET_WEIGHT_MAX);
    }
    return status;
}

static bool is_text_file(const char *path)
{
    const char *end = strstr(path, ".txt");
    while (end && strcmp(end, ".txt") != 0 && strcmp(end, ".txt.gz") != 0 &&
           strcmp(end, ".txt.zst") != 0 && strcmp(end, ".txt.xz") != 0) {
        end = strstr(end + 1, ".txt");
    }
    return end != NULL;
}

// `train` is the whole file; `train[:10%]` would be a part of it.
static enum od_status read_split(struct od_recipe_reader *r, const struct od_yaml_node *node,
                                 struct od_error *err)
{
    const char *text = NULL;
    const enum od_status status = od_yaml_text(node, &text, err);
    if (status != OD_OK) {
        return status;
    }
    return strchr(text, '[') ? od_recipe_fail(node, OD_E_UNSUPPORTED, err,
                                              "a part of a split, '%s', is not supported: give "
                                              "'weight'",
                                              text)
                             : od_recipe_note(r, err,
                                              "key 'split' has no effect here: the file is read "
                                              "whole");
}

// `jinja` points to the other key, here or in the recipe.
static enum od_status read_data_template(struct od_recipe_reader *r,
                                         const struct od_yaml_node *node,
                                         struct od_dataset_spec *spec, struct od_error *err)
{
    const char *name = NULL;
    const enum od_status status = od_recipe_read_template(r, node, &name, err);
    if (status == OD_OK && !(name && strcmp(name, "jinja") == 0)) {
        spec->chat_template = name;
    }
    return status;
}

static enum od_status read_member(struct od_recipe_reader *r, const struct od_yaml_node *node,
                                  const struct od_recipe_key *key, struct od_dataset_spec *spec,
                                  struct od_error *err)
{
    switch ((int)key->kind) {  // the kinds of a data file's keys
    case OD_RECIPE_DATA_PATH: return od_recipe_read_path(r, node, &spec->path, err);
    case OD_RECIPE_DATA_TYPE: return read_type(r, node, spec, err);
    case OD_RECIPE_DATA_WEIGHT: return read_weight(node, &spec->weight, err);
    case OD_RECIPE_DATA_SPLIT: return read_split(r, node, err);
    case OD_RECIPE_DATA_TEXT: return od_recipe_read_text(r, node, text_of(spec, key), err);
    case OD_RECIPE_DATA_TEMPLATE: return read_data_template(r, node, spec, err);
    case OD_RECIPE_DATA_MAX_ROWS: return read_max_rows(node, &spec->max_rows, err);
    case OD_RECIPE_DATA_MAPPINGS: return read_mappings(r, node, spec, err);
    case OD_RECIPE_DATA_ROLES: return read_roles(node, err);
    case OD_RECIPE_DATA_ROLES_TO_TRAIN: return check_roles(node, "assistant", err);
    default: break;
    }
    return od_recipe_read_unused(r, node, key, err);
}

static enum od_status read_dataset(struct od_recipe_reader *r, const struct od_yaml_node *node,
                                   struct od_dataset_spec *spec, struct od_error *err)
{
    bool has_type = false;
    enum od_status status = od_yaml_expect(node, OD_YAML_MAPPING, err);
    *spec = (struct od_dataset_spec){.weight = 1};
    for (const struct od_yaml_node *item = node->first; status == OD_OK && item;
         item = item->next) {
        const char *name = item->key->text;
        const struct od_recipe_key *key = od_recipe_data_key_find(name);
        if (!key) {
            return od_recipe_fail_unknown(item->key, "key of a data file", name,
                                          od_recipe_data_key_nearest(name), err);
        }
        has_type = has_type || key->kind == OD_RECIPE_DATA_TYPE;
        status = read_member(r, item, key, spec, err);
    }
    if (status == OD_OK && !spec->path) {
        return od_recipe_fail(node, OD_E_FORMAT, err, "a data file needs 'path'");
    }
    if (status == OD_OK && !has_type) {
        spec->type = OD_DATASET_COMPLETION;
        if (!is_text_file(spec->path)) {
            return od_recipe_fail(node, OD_E_FORMAT, err, "a data file needs 'type': %s",
                                  known_types);
        }
    }
    return status;
}

enum od_status od_recipe_read_datasets(struct od_recipe_reader *r, const struct od_yaml_node *node,
                                       struct od_dataset_spec specs[OD_DATASET_FILES_MAX],
                                       size_t *ret_count, struct od_error *err)
{
    enum od_status status = od_yaml_expect(node, OD_YAML_SEQUENCE, err);
    size_t count = 0;
    if (status == OD_OK && (node->count < 1 || node->count > OD_DATASET_FILES_MAX)) {
        return od_recipe_fail(node, OD_E_FORMAT, err, "'%s' must list 1 to %d files",
                              node->key->text, (int)OD_DATASET_FILES_MAX);
    }
    for (const struct od_yaml_node *item = node->first; status == OD_OK && item;
         item = item->next) {
        status = read_dataset(r, item, &specs[count++], err);
    }
    *ret_count = count;
    return status;
}

void od_recipe_put_datasets(const char *key, const struct od_dataset_spec *specs, size_t count,
                            struct od_buf *out)
{
    char number[OD_NUMBER_BYTES];
    od_buf_printf(out, "%s:\n", key);
    for (size_t i = 0; i < count; i++) {
        const struct od_dataset_spec *spec = &specs[i];
        od_buf_puts(out, "  - path: ");
        od_yaml_put_scalar(out, spec->path);
        od_double_text(spec->weight, number);
        od_buf_printf(out, "\n    type: %s\n    weight: %s\n", od_dataset_type_names[spec->type],
                      number);
        if (spec->max_rows > 0) {
            od_buf_printf(out, "    max_rows: %lld\n", (long long)spec->max_rows);
        }
        for (size_t k = 0; k < od_recipe_data_key_count; k++) {
            const struct od_recipe_key *text = &od_recipe_data_keys[k];
            const char *value = NULL;
            if (text->kind == OD_RECIPE_DATA_TEMPLATE ||
                (text->kind == OD_RECIPE_DATA_TEXT &&
                 text->offset != offsetof(struct od_dataset_spec, chat_template))) {
                value = *(const char *const *)(const void *)((const char *)spec + text->offset);
            }
            if (value) {
                od_buf_printf(out, "    %s: ", text->name);
                od_yaml_put_scalar(out, value);
                od_buf_putc(out, '\n');
            }
        }
    }
}
