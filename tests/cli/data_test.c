// Goal: `oneday data` tells what files hold and what becomes of a row, as text and as JSON, and
// refuses what it cannot read.
// Method: small files and a tokenizer of three letters made here; the recipe of the demo.

#include <jansson.h>

#include "formats/json.h"
#include "program.h"

static const char tiny[] =
    "{\"version\":\"1.0\",\"added_tokens\":[{\"id\":4,\"content\":\"<s>\",\"single_word\":false,"
    "\"lstrip\":false,\"rstrip\":false,\"normalized\":false,\"special\":true},{\"id\":5,\"content\":"
    "\"</s>\",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,\"normalized\":false,"
    "\"special\":true}],"
    "\"normalizer\":null,\"pre_tokenizer\":null,\"post_processor\":{\"type\":\"TemplateProcessing\","
    "\"single\":[{\"SpecialToken\":{\"id\":\"<s>\",\"type_id\":0}},{\"Sequence\":{\"id\":\"A\","
    "\"type_id\":0}}],\"pair\":[],\"special_tokens\":{\"<s>\":{\"id\":\"<s>\",\"ids\":[4],"
    "\"tokens\":[\"<s>\"]}}},\"decoder\":{\"type\":\"Fuse\"},\"model\":{\"type\":\"BPE\","
    "\"dropout\":null,\"unk_token\":null,\"continuing_subword_prefix\":null,"
    "\"end_of_word_suffix\":null,\"fuse_unk\":false,\"byte_fallback\":false,"
    "\"vocab\":{\"a\":0,\"b\":1,\"ab\":2,\"c\":3,\"<s>\":4,\"</s>\":5},\"merges\":[\"a b\"]}}";
static const char config[] =
    "{\"bos_token\": \"<s>\", \"eos_token\": \"</s>\", \"chat_template\": \"{% for m in messages %}"
    "{{ m.role[0] ~ m.content }}{% endfor %}{% if add_generation_prompt %}a{% endif %}\"}";

static const char *put(const char *folder, const char *name, const char *text)
{
    static char paths[4][OD_PATH_MAX_BYTES];
    static size_t slot;
    char *path = paths[slot++ % 4];
    struct od_error err = {0};
    assert_ok(od_path_join(path, folder, name, &err), &err);
    assert_ok(od_file_write(path, text, strlen(text), &err), &err);
    return path;
}

static const char *tiny_model(void)
{
    const char *folder = test_folder();
    (void)put(folder, "tokenizer.json", tiny);
    (void)put(folder, "tokenizer_config.json", config);
    return folder;
}

static void printed(struct program program, const char *expected)
{
    assert_string_equal(program.err, "");
    assert_string_equal(program.out, expected);
    assert_int_equal(program.exit_code, 0);
    program_release(&program);
}

static const char rows[] =
    "{\"input\": \"ab\", \"output\": \"b\"}\n"
    "{\"output\": \"b\", \"input\": \"ab\"}\n"
    "{\"input\": \"a\", \"output\": \"\"}\n"
    "{\"input\": \"ab\", \"output\": \"cab\", \"id\": 7}\n";

static void inspect(void **state)
{
    (void)state;
    const char *model = tiny_model();
    const char *path = put(model, "rows.jsonl", rows);
    char expected[OD_PATH_MAX_BYTES + 1024];
    (void)snprintf(expected, sizeof expected,
                   "%s\n"
                   "  type             input-output (seen in the first row)\n"
                   "  rows             4\n"
                   "  without answer   1\n"
                   "  duplicates       1\n"
                   "  members  input          text    in 4 rows, 0 empty, up to 2 bytes\n"
                   "           output         text    in 4 rows, 1 empty, up to 3 bytes\n"
                   "           id             number  in 1 row, 0 empty\n"
                   "  tokens           not counted: give --tokenizer MODEL, or a recipe\n",
                   path);
    printed(program_run("data", "inspect", path), expected);
    struct program program =
        program_run("data", "inspect", path, "--json", "--tokenizer", model, "--sequence-len", "4");
    struct od_error err = {0};
    json_t *report = NULL;
    assert_int_equal(program.exit_code, 0);
    assert_ok(od_json_parse(program.out, strlen(program.out), "out", &report, &err), &err);
    const json_t *file = json_array_get(report, 0);
    static const struct {
        const char *key;
        int64_t value;
    } numbers[] = {{"rows", 4},   {"duplicates", 1},    {"without_answer", 1},
                   {"kept", 2},   {"too_long", 1},      {"documents", 2},
                   {"tokens", 8}, {"learned_tokens", 4}};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        const json_t *value = json_object_get(file, numbers[i].key);
        if (json_integer_value(value) != numbers[i].value) {
            fail_msg("%s is not %d in %s", numbers[i].key, (int)numbers[i].value, program.out);
        }
    }
    const json_t *lengths = json_object_get(file, "lengths");
    assert_int_equal(json_integer_value(json_object_get(lengths, "max")), 4);
    json_decref(report);
    program_release(&program);
}

static void preview(void **state)
{
    (void)state;
    const char *model = tiny_model();
    const char *path = put(model, "rows.jsonl", rows);
    const char *chats = put(model, "chats.jsonl",
                            "{\"messages\": [{\"role\": \"a\", \"content\": \"b\"}, {\"role\": "
                            "\"assistant\", \"content\": \"c\"}]}\n");
    char expected[OD_PATH_MAX_BYTES + 1024];
    (void)snprintf(expected, sizeof expected,
                   "%s:4, row 3: 5 tokens, 3 of them learned\n"
                   "  place      id  loss     text\n"
                   "      0       4  -        \"<s>\"\n"
                   "      1       2  -        \"ab\"\n"
                   "      2       3  learned  \"c\"\n"
                   "      3       2  learned  \"ab\"\n"
                   "      4       5  learned  \"</s>\"\n"
                   "as served: the ids of the prompt agree\n",
                   path);
    printed(program_run("data", "preview", path, "--row", "3", "--tokenizer", model), expected);
    (void)snprintf(expected, sizeof expected,
                   "%s:3, row 2\nnothing to learn: the row is left out\n", path);
    printed(program_run("data", "preview", path, "--row", "2", "--tokenizer", model), expected);
    // The model's own template: "ab" and "a", behind which "c" stands.
    (void)snprintf(expected, sizeof expected,
                   "%s:1, row 0: 5 tokens, 2 of them learned\n"
                   "  place      id  loss     text\n"
                   "      0       4  -        \"<s>\"\n"
                   "      1       2  -        \"ab\"\n"
                   "      2       0  -        \"a\"\n"
                   "      3       3  learned  \"c\"\n"
                   "      4       5  learned  \"</s>\"\n"
                   "as served: the ids of the prompt agree\n",
                   chats);
    printed(program_run("data", "preview", chats, "--tokenizer", model), expected);
}

static void recipe(void **state)
{
    (void)state;
    const char *path = test_source("examples/toyworld/tune.yaml");
    struct program program = program_run("data", "preview", path, "--row", "5", "--json");
    struct od_error err = {0};
    json_t *shown = NULL;
    assert_int_equal(program.exit_code, 0);
    assert_ok(od_json_parse(program.out, strlen(program.out), "out", &shown, &err), &err);
    assert_int_equal(json_integer_value(json_object_get(shown, "line")), 6);
    assert_int_equal(json_integer_value(json_object_get(shown, "prompts")), 1);
    assert_int_equal(json_integer_value(json_object_get(shown, "prompts_as_served")), 1);
    assert_int_equal(json_integer_value(json_object_get(shown, "without_eos")), 0);
    assert_int_equal(json_integer_value(json_object_get(shown, "doubled_bos")), 0);
    const json_t *document = json_array_get(json_object_get(shown, "documents"), 0);
    assert_true(json_is_true(
        json_object_get(json_array_get(document, json_array_size(document) - 1), "learned")));
    json_decref(shown);
    program_release(&program);
}

static void refuses(void **state)
{
    (void)state;
    const char *model = tiny_model();
    const char *path = put(model, "rows.jsonl", rows);
    const char *odd = put(model, "odd.jsonl", "{\"x\": 1}\n");
    program_assert_usage(program_run("data", "preview", path), "ids need a tokenizer");
    program_assert_usage(program_run("data", "inspect", path, "--type", "alpacca"),
                         "there is no type of data 'alpacca'");
    program_assert_usage(program_run("data", "preview", path, "--row", "4", "--tokenizer", model),
                         "has no row 4: it has 4, counted from 0");
    program_assert_usage(program_run("data", "preview", odd, "--tokenizer", model),
                         "say with --type what its rows are");
    program_assert_usage(program_run("data", "inspect", "a.yaml", path), "a recipe stands alone");
    program_assert_usage(program_run("data", "inspect", "/nonexistent.jsonl"), "there is no file");
    // Names of models and data sets that lie elsewhere, as recipes of other programs have them.
    const char *recipe_path =
        put(model, "hub.yml", "base_model: some/model\ndatasets:\n  - {path: a/b, type: alpaca}\n");
    program_assert_usage(program_run("data", "inspect", recipe_path),
                         "some/model'; nothing is downloaded here: fetch the model");
    program_assert_usage(program_run("data", "inspect", "some/rows"),
                         "nothing is downloaded here: fetch a data set");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(inspect),
        cmocka_unit_test(preview),
        cmocka_unit_test(recipe),
        cmocka_unit_test(refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
