// Goal: `oneday tokenize` shows tokens, ids and texts, and refuses what it cannot read.
// Method: a tokenizer of four pieces made here, and the one of stories260K where it is.

#include <jansson.h>

#include "formats/json.h"
#include "program.h"

static const char tiny[] =
    "{\"version\":\"1.0\",\"added_tokens\":[{\"id\":3,\"content\":\"<s>\",\"single_word\":false,"
    "\"lstrip\":false,\"rstrip\":false,\"normalized\":false,\"special\":true}],"
    "\"normalizer\":null,\"pre_tokenizer\":null,\"post_processor\":{\"type\":\"TemplateProcessing\","
    "\"single\":[{\"SpecialToken\":{\"id\":\"<s>\",\"type_id\":0}},{\"Sequence\":{\"id\":\"A\","
    "\"type_id\":0}}],\"pair\":[],\"special_tokens\":{\"<s>\":{\"id\":\"<s>\",\"ids\":[3],"
    "\"tokens\":[\"<s>\"]}}},\"decoder\":{\"type\":\"Fuse\"},\"model\":{\"type\":\"BPE\","
    "\"dropout\":null,\"unk_token\":null,\"continuing_subword_prefix\":null,"
    "\"end_of_word_suffix\":null,\"fuse_unk\":false,\"byte_fallback\":false,"
    "\"vocab\":{\"a\":0,\"b\":1,\"ab\":2,\"<s>\":3},\"merges\":[\"a b\"]}}";

/** Path of the tiny tokenizer's folder. */
static const char *tiny_model(void)
{
    char path[OD_PATH_MAX_BYTES];
    struct od_error err = {0};
    const char *folder = test_folder();
    assert_ok(od_path_join(path, folder, "tokenizer.json", &err), &err);
    assert_ok(od_file_write(path, tiny, sizeof tiny - 1, &err), &err);
    return folder;
}

/** The run succeeded and printed this. */
static void printed(struct program program, const char *expected)
{
    assert_string_equal(program.err, "");
    assert_string_equal(program.out, expected);
    assert_int_equal(program.exit_code, 0);
    program_release(&program);
}

static void text_to_ids(void **state)
{
    (void)state;
    const char *model = tiny_model();
    printed(program_run("tokenize", model, "abba"), "3\t\"<s>\"\n2\t\"ab\"\n1\t\"b\"\n0\t\"a\"\n");
    printed(program_run("tokenize", model, "abba", "--ids"), "3 2 1 0\n");
    printed(program_run("tokenize", "--no-special", "--ids", model, "abba"), "2 1 0\n");
    printed(program_run("tokenize", model, "--ids", "--no-special"), "\n");  // nothing on stdin
}

static void text_from_a_file(void **state)
{
    (void)state;
    char path[OD_PATH_MAX_BYTES];
    struct od_error err = {0};
    const char *model = tiny_model();
    assert_ok(od_path_join(path, model, "text", &err), &err);
    assert_ok(od_file_write(path, "ab", 2, &err), &err);
    printed(program_run("tokenize", model, "--file", path, "--ids"), "3 2\n");
    program_assert_usage(program_run("tokenize", model, "ab", "-f", path), "not both");
    program_assert_usage(program_run("tokenize", model, "-f", "/nonexistent/text"),
                         "cannot open '/nonexistent/text'");
}

static void ids_to_text(void **state)
{
    (void)state;
    const char *model = tiny_model();
    printed(program_run("tokenize", model, "--decode", "[3, 2,1 0]"), "<s>abba\n");
    printed(program_run("tokenize", model, "-d", "3 2 1 0", "--no-special"), "abba\n");
    program_assert_usage(program_run("tokenize", model, "-d", "9"), "id 9");
    program_assert_usage(program_run("tokenize", model, "-d", "1 x"), "'x' is no token id");
    program_assert_usage(program_run("tokenize", model, "-d", "99999999999999"), "is no token id");
    program_assert_usage(program_run("tokenize", model, "-d", "-1"), "unknown option '-1'");
    program_assert_usage(program_run("tokenize", model, "-d", "--", "-1"), "'-1' is no token id");
}

static void json_of_both(void **state)
{
    (void)state;
    struct od_error err = {0};
    json_t *root = NULL;
    const char *model = tiny_model();
    struct program program = program_run("tokenize", model, "ab", "--json");
    assert_int_equal(program.exit_code, 0);
    assert_ok(od_json_parse(program.out, strlen(program.out), "out", &root, &err), &err);
    assert_int_equal(json_integer_value(json_object_get(root, "count")), 2);
    const json_t *token = json_array_get(json_object_get(root, "tokens"), 1);
    assert_int_equal(json_integer_value(json_object_get(token, "id")), 2);
    assert_string_equal(json_string_value(json_object_get(token, "text")), "ab");
    assert_int_equal(json_string_length(json_object_get(root, "tokenizer")), 64);
    json_decref(root);
    program_release(&program);

    program = program_run("tokenize", model, "-d", "2", "--json");
    assert_ok(od_json_parse(program.out, strlen(program.out), "out", &root, &err), &err);
    assert_string_equal(json_string_value(json_object_get(root, "text")), "ab");
    json_decref(root);
    program_release(&program);
}

static void models_that_are_none(void **state)
{
    (void)state;
    char path[OD_PATH_MAX_BYTES];
    struct od_error err = {0};
    const char *folder = test_folder();
    program_assert_usage(program_run("tokenize", folder, "a"), "neither tokenizer.json");
    program_assert_usage(program_run("tokenize", "/nonexistent", "a"), "/nonexistent");
    assert_ok(od_path_join(path, folder, "tokenizer.json", &err), &err);
    assert_ok(od_file_write(path, tiny, sizeof tiny / 2, &err), &err);
    program_assert_usage(program_run("tokenize", folder, "a"), "tokenizer.json:1:");
    assert_ok(od_path_join(path, folder, "tokenizer.model", &err), &err);
    assert_ok(od_file_write(path, tiny, 100, &err), &err);
    program_assert_usage(program_run("tokenize", path, "a"), "tokenizer.model");
}

static void stories(void **state)
{
    (void)state;
    const char *model = test_shared("models/stories260K/hf");
    printed(program_run("tokenize", model, "Once upon a time", "--ids"), "1 403 407 261 378\n");
    printed(program_run("tokenize", model, "-d", "1 403 407 261 378", "--no-special"),
            "Once upon a time\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_to_ids),          cmocka_unit_test(text_from_a_file),
        cmocka_unit_test(ids_to_text),          cmocka_unit_test(json_of_both),
        cmocka_unit_test(models_that_are_none), cmocka_unit_test(stories),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
