// The table of a recipe's keys, looked up and printed.
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"
#include "formats/json.h"
#include "tune/recipe_table.h"

enum { NAME_MAX_BYTES = 64 };  // longer ones are near to nothing

static const struct od_recipe_key *find(const struct od_recipe_key *keys, size_t count,
                                        const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(keys[i].name, name) == 0 ||
            (keys[i].alias && strcmp(keys[i].alias, name) == 0)) {
            return &keys[i];
        }
    }
    return NULL;
}

const struct od_recipe_key *od_recipe_key_find(const char *name)
{
    return find(od_recipe_keys, od_recipe_key_count, name);
}

const struct od_recipe_key *od_recipe_data_key_find(const char *name)
{
    return find(od_recipe_data_keys, od_recipe_data_key_count, name);
}

static bool is_honoured(const struct od_recipe_key *key)
{
    return key->kind != OD_RECIPE_NO_EFFECT && key->kind != OD_RECIPE_REFUSED;
}

// A key that has no effect is rarely what was meant: it must be nearer by more than two letters.
static const char *nearest(const struct od_recipe_key *keys, size_t count, const char *name)
{
    const size_t length = strlen(name);
    const char *best = NULL;
    size_t best_distance = length / 2 + 1;
    if (length > NAME_MAX_BYTES) {
        return NULL;
    }
    for (size_t i = 0; i < count; i++) {
        const size_t distance =
            od_edit_distance(name, keys[i].name) + (is_honoured(&keys[i]) ? 0 : 2);
        if (distance < best_distance) {
            best_distance = distance;
            best = keys[i].name;
        }
    }
    return best;
}

const char *od_recipe_key_nearest(const char *name)
{
    return nearest(od_recipe_keys, od_recipe_key_count, name);
}

const char *od_recipe_data_key_nearest(const char *name)
{
    return nearest(od_recipe_data_keys, od_recipe_data_key_count, name);
}

static void put_type(struct od_buf *out, const struct od_recipe_key *key)
{
    char low[OD_NUMBER_BYTES];
    char high[OD_NUMBER_BYTES];
    if (key->type) {
        od_buf_puts(out, key->type);
    } else if (key->kind == OD_RECIPE_BOOL) {
        od_buf_puts(out, "true or false");
    } else if (key->kind == OD_RECIPE_NUMBER) {
        od_double_text(key->min, low);
        od_double_text(key->max, high);
        od_buf_printf(out, "number, %s %s, at most %s", key->above ? "above" : "at least", low,
                      high);
    } else {
        od_buf_printf(out, "integer, %.0f to %.0f", key->min, key->max);
    }
}

static void put_honoured(struct od_buf *out, const struct od_recipe_key *keys, size_t count)
{
    od_buf_puts(out,
                "| key | also called | value | default | what it does |\n"
                "|---|---|---|---|---|\n");
    for (size_t i = 0; i < count; i++) {
        const struct od_recipe_key *key = &keys[i];
        if (!is_honoured(key)) {
            continue;
        }
        od_buf_printf(out, "| `%s` | ", key->name);
        if (key->alias) {
            od_buf_printf(out, "`%s` ", key->alias);
        }
        od_buf_puts(out, "| ");
        put_type(out, key);
        if (key->fallback) {
            od_buf_printf(out, " | `%s` | %s |\n", key->fallback, key->help);
        } else {
            od_buf_printf(out, " | | %s |\n", key->help);
        }
    }
}

static void put_refused(struct od_buf *out, const struct od_recipe_key *keys, size_t count)
{
    od_buf_puts(out, "| key | taken | why |\n|---|---|---|\n");
    for (size_t i = 0; i < count; i++) {
        if (keys[i].kind == OD_RECIPE_REFUSED) {
            od_buf_printf(out, "| `%s` | `%s` | %s |\n", keys[i].name, keys[i].fallback,
                          keys[i].help);
        }
    }
}

static void put_without_effect(struct od_buf *out, const struct od_recipe_key *keys, size_t count)
{
    od_buf_puts(out, "| key | why |\n|---|---|\n");
    for (size_t i = 0; i < count; i++) {
        if (keys[i].kind == OD_RECIPE_NO_EFFECT) {
            od_buf_printf(out, "| `%s` | %s |\n", keys[i].name, keys[i].help);
        }
    }
}

void od_recipe_reference(struct od_buf *out)
{
    od_buf_puts(
        out,
        "# Keys of a recipe\n\n"
        "A recipe is one YAML file for `oneday tune` and `oneday plan`. Its keys are those of "
        "axolotl and PEFT.\nRelative paths start at the recipe's folder. An unknown key is an "
        "error that names its line, its column\nand the nearest key. The run directory gets the "
        "recipe with every default written out.\n`oneday tune --keys` prints this page, with "
        "`--json` as one JSON document.\n\n"
        "## Keys that are honoured\n\n");
    put_honoured(out, od_recipe_keys, od_recipe_key_count);
    od_buf_puts(out,
                "\n## Keys of a data file\n\n"
                "`datasets` and `test_datasets` are lists of mappings with these keys.\n\n");
    put_honoured(out, od_recipe_data_keys, od_recipe_data_key_count);
    od_buf_puts(out,
                "\n## Keys that would change the result\n\n"
                "They are taken with an empty value or the value shown, and refused with any "
                "other.\n\n");
    put_refused(out, od_recipe_keys, od_recipe_key_count);
    od_buf_puts(out, "\nOf a data file:\n\n");
    put_refused(out, od_recipe_data_keys, od_recipe_data_key_count);
    od_buf_puts(out,
                "\n## Keys that have no effect\n\n"
                "They are taken with any value; one line says so.\n\n");
    put_without_effect(out, od_recipe_keys, od_recipe_key_count);
    od_buf_puts(out, "\nOf a data file:\n\n");
    put_without_effect(out, od_recipe_data_keys, od_recipe_data_key_count);
}

static void put_json_keys(struct od_json_writer *w, const struct od_recipe_key *keys, size_t count)
{
    struct od_buf type;
    od_json_array_begin(w);
    for (size_t i = 0; i < count; i++) {
        const struct od_recipe_key *key = &keys[i];
        od_json_object_begin(w);
        od_json_member_text(w, "name", key->name);
        if (key->alias) {
            od_json_member_text(w, "alias", key->alias);
        }
        od_json_member_text(w, "class",
                            is_honoured(key)                   ? "honoured"
                            : key->kind == OD_RECIPE_NO_EFFECT ? "no_effect"
                                                               : "refused");
        if (is_honoured(key)) {
            od_buf_init(&type, 1 << 12);
            put_type(&type, key);
            od_json_member_text(w, "value", od_buf_text(&type));
            od_buf_release(&type);
        }
        if (key->fallback) {
            od_json_member_text(w, "default", key->fallback);
        }
        od_json_member_text(w, "help", key->help);
        od_json_object_end(w);
    }
    od_json_array_end(w);
}

void od_recipe_reference_json(struct od_buf *out)
{
    struct od_json_writer w;
    od_json_writer_init(&w, out, OD_JSON_INDENT_2, false);
    od_json_object_begin(&w);
    od_json_key(&w, "keys");
    put_json_keys(&w, od_recipe_keys, od_recipe_key_count);
    od_json_key(&w, "data_keys");
    put_json_keys(&w, od_recipe_data_keys, od_recipe_data_key_count);
    od_json_object_end(&w);
}
