// Entries of `datasets` and `test_datasets`:
//
//     - path: FILE                          .jsonl, .json, .txt, each also with .gz
//       type: input-output                  or alpaca, completion
//       weight: 1                           above 0, at most 1000
//
// Their other keys, in the table of recipe_table.c, are axolotl's.
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"
#include "data/dataset.h"
#include "formats/yaml.h"
#include "tune/recipe_internal.h"
#include "tune/recipe_table.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/** A type of data as recipes name it. */
struct type_name {
    const char *name;
    enum od_dataset_type type;
};

const char *const od_recipe_type_names[OD_RECIPE_DATA_TYPES] = {
    [OD_DATASET_INPUT_OUTPUT] = "input-output",
    [OD_DATASET_ALPACA] = "alpaca",
    [OD_DATASET_COMPLETION] = "completion"};
static const struct type_name other_names[] = {{"input_output", OD_DATASET_INPUT_OUTPUT}};
// Types of axolotl that are known and not built.
static const char *const later_names[] = {"chat_template",
                                          "sharegpt",
                                          "oasst",
                                          "gpteacher",
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

static enum od_status read_type(const struct od_yaml_node *node, enum od_dataset_type *ret_type,
                                struct od_error *err)
{
    const char *text = NULL;
    if (node->type == OD_YAML_MAPPING) {
        return od_recipe_fail(node, OD_E_UNSUPPORTED, err,
                              "a 'type' of one's own is not built yet: input-output, alpaca and "
                              "completion are");
    }
    const enum od_status status = od_yaml_text(node, &text, err);
    if (status != OD_OK) {
        return status;
    }
    for (size_t i = 0; i < OD_RECIPE_DATA_TYPES; i++) {
        if (strcmp(text, od_recipe_type_names[i]) == 0) {
            *ret_type = (enum od_dataset_type)i;
            return OD_OK;
        }
    }
    for (size_t i = 0; i < COUNT(other_names); i++) {
        if (strcmp(text, other_names[i].name) == 0) {
            *ret_type = other_names[i].type;
            return OD_OK;
        }
    }
    const size_t length = strcspn(text, ":.");  // what stands behind is a variant
    for (size_t i = 0; i < COUNT(later_names); i++) {
        if (strncmp(text, later_names[i], length) == 0 && later_names[i][length] == '\0') {
            return od_recipe_fail(node, OD_E_UNSUPPORTED, err,
                                  "the type of data '%s' is not built yet: input-output, alpaca "
                                  "and completion are",
                                  text);
        }
    }
    const char *nearest = od_nearest_name(text, od_recipe_type_names, OD_RECIPE_DATA_TYPES);
    return nearest ? od_recipe_fail_unknown(node, "type of data", text, nearest, err)
                   : od_recipe_fail(node, OD_E_FORMAT, err,
                                    "unknown type of data '%s': it must be input-output, alpaca or "
                                    "completion",
                                    text);
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
    const size_t size = strlen(path);
    return (size >= 4 && strcmp(path + size - 4, ".txt") == 0) ||
           (size >= 7 && strcmp(path + size - 7, ".txt.gz") == 0);
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

static enum od_status read_member(struct od_recipe_reader *r, const struct od_yaml_node *node,
                                  const struct od_recipe_key *key, struct od_dataset_spec *spec,
                                  struct od_error *err)
{
    if (key->kind == OD_RECIPE_DATA_PATH) {
        return od_recipe_read_path(r, node, &spec->path, err);
    }
    if (key->kind == OD_RECIPE_DATA_TYPE) {
        return read_type(node, &spec->type, err);
    }
    if (key->kind == OD_RECIPE_DATA_WEIGHT) {
        return read_weight(node, &spec->weight, err);
    }
    if (key->kind == OD_RECIPE_DATA_SPLIT) {
        return read_split(r, node, err);
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
            return od_recipe_fail(node, OD_E_FORMAT, err,
                                  "a data file needs 'type': input-output, alpaca or completion");
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
        od_buf_puts(out, "  - path: ");
        od_yaml_put_scalar(out, specs[i].path);
        od_double_text(specs[i].weight, number);
        od_buf_printf(out, "\n    type: %s\n    weight: %s\n", od_recipe_type_names[specs[i].type],
                      number);
    }
}
