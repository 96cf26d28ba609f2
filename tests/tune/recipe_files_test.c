// Goal: recipes as people write them for axolotl are read as the table of keys says: each key is
// honoured, has no effect with a line that says so, is refused by name, or is unknown with the
// nearest one.
// Method: the files of tests/golden/recipes, each with what is expected of it in its first lines:
//
//     # expect: accepted | refused KEY | unknown KEY, nearest KEY
//     # writes: LINE                      a line of the recipe that is written out
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/status.h"
#include "formats/yaml.h"
#include "support.h"
#include "tune/recipe.h"
#include "tune/recipe_table.h"

enum { FILES_MIN = 30, LINE_BYTES = 256, WRITTEN_MAX_BYTES = 1 << 20 };

// The rest of the line behind `words`, from *at on; false when there is none.
static bool line_behind(const char **at, const char *words, char out[LINE_BYTES])
{
    const char *found = strstr(*at, words);
    if (!found) {
        return false;
    }
    found += strlen(words);
    const size_t length = strcspn(found, "\n");
    assert_true(length < LINE_BYTES);
    memcpy(out, found, length);
    out[length] = '\0';
    *at = found + length;
    return true;
}

static bool has_note(const struct od_recipe *recipe, const char *key)
{
    char words[LINE_BYTES];
    (void)snprintf(words, sizeof words, "key '%s' has no effect here: ", key);
    for (size_t i = 0; i < recipe->note_count; i++) {
        if (strncmp(recipe->notes[i], words, strlen(words)) == 0) {
            return true;
        }
    }
    return false;
}

// Every key of the file is in the table, and those without effect are told.
static void check_notes(const char *name, const char *text, const struct od_recipe *recipe)
{
    struct od_error err = {0};
    struct od_yaml *yaml = NULL;
    assert_ok(od_yaml_parse(text, strlen(text), name, &yaml, &err), &err);
    for (const struct od_yaml_node *node = od_yaml_root(yaml)->first; node; node = node->next) {
        const struct od_recipe_key *key = od_recipe_key_find(node->key->text);
        if (!key) {
            fail_msg("%s: '%s' is not in the table", name, node->key->text);
            return;
        }
        const bool wanted = key->kind == OD_RECIPE_NO_EFFECT && !od_yaml_is_null(node);
        if (has_note(recipe, key->name) != wanted) {
            fail_msg("%s: '%s': a note %s", name, key->name, wanted ? "is missing" : "too many");
        }
    }
    od_yaml_free(yaml);
}

static void check_accepted(const char *name, const char *text, const struct od_recipe *recipe)
{
    struct od_error err = {0};
    struct od_buf out;
    char line[LINE_BYTES];
    char wanted[LINE_BYTES + 2];
    const char *at = text;
    check_notes(name, text, recipe);
    od_buf_init(&out, WRITTEN_MAX_BYTES);
    od_buf_putc(&out, '\n');
    assert_ok(od_recipe_write(recipe, &out, &err), &err);
    while (line_behind(&at, "# writes: ", line)) {
        (void)snprintf(wanted, sizeof wanted, "\n%s\n", line);
        if (!strstr(od_buf_text(&out), wanted)) {
            fail_msg("%s: '%s' is not in:%s", name, line, od_buf_text(&out));
        }
    }
    od_buf_release(&out);
}

static void expect_error(const char *name, const char *expectation, enum od_status status,
                         const struct od_error *err)
{
    char key[LINE_BYTES] = "";
    char near[LINE_BYTES] = "";
    char words[3 * LINE_BYTES];
    enum od_status wanted = OD_E_UNSUPPORTED;
    bool found = false;
    if (sscanf(expectation, "refused %255s", key) == 1) {
        // Of a key of a data file the message says what it is about, not its name.
        (void)snprintf(words, sizeof words, "'%s' is not supported: ", key);
        found = strstr(err->message, words) ||
                (strcmp(key, "type") == 0 && strstr(err->message, "the type of data '"));
    } else if (sscanf(expectation, "unknown %255[^,], nearest %255s", key, near) == 2) {
        wanted = OD_E_FORMAT;
        (void)snprintf(words, sizeof words, "unknown key '%s': did you mean '%s'?", key, near);
        found = strstr(err->message, words) != NULL;
    } else {
        fail_msg("%s: what does '%s' mean?", name, expectation);
    }
    if (status != wanted || !found || strncmp(err->message, name, strlen(name)) != 0) {
        fail_msg("%s: expected '%s', got %d: %s", name, expectation, (int)status, err->message);
    }
}

static void check_file(const char *name, const char *text)
{
    struct od_error err = {0};
    struct od_recipe recipe = {0};
    char expectation[LINE_BYTES];
    const char *at = text;
    if (!line_behind(&at, "# expect: ", expectation)) {
        fail_msg("%s has no line '# expect: '", name);
    }
    const enum od_status status = od_recipe_parse(text, strlen(text), name, "/data", &recipe, &err);
    if (strcmp(expectation, "accepted") != 0) {
        expect_error(name, expectation, status, &err);
        return;
    }
    if (status != OD_OK) {
        fail_msg("not accepted: %s", err.message);
    }
    check_accepted(name, text, &recipe);
    od_recipe_release(&recipe);
}

static void every_file(void **state)
{
    (void)state;
    struct od_error err = {0};
    char folder[OD_PATH_MAX_BYTES];
    char path[OD_PATH_MAX_BYTES];
    char **names = NULL;
    size_t count = 0;
    (void)snprintf(folder, sizeof folder, "%s", test_source("tests/golden/recipes"));
    assert_ok(od_dir_list(folder, &names, &count, &err), &err);
    for (size_t i = 0; i < count; i++) {
        char *text = NULL;
        size_t size = 0;
        assert_ok(od_path_join(path, folder, names[i], &err), &err);
        assert_ok(od_file_read(path, OD_RECIPE_MAX_BYTES, &text, &size, &err), &err);
        check_file(names[i], text);
        od_free(text);
    }
    assert_true(count >= FILES_MIN);
    od_names_free(names, count);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_file)};
    return cmocka_run_group_tests_name("tune/recipe_files", tests, NULL, NULL);
}
