// Goal: `oneday score` as a person meets it: results on stdout, files where asked, one line and exit
// code 2 for what it cannot rank.
// Method: the real program on small tables of our own.

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "cli/program.h"
#include "formats/json.h"
#include "support.h"

static void put(char *path, const char *folder, const char *name, const char *text)
{
    struct od_error err = {0};
    (void)snprintf(path, OD_PATH_MAX_BYTES, "%.2000s/%s", folder, name);
    if (text) {
        assert_ok(od_file_write(path, text, strlen(text), &err), &err);
    }
}

static const char open_table[] =
    "entry,MMLU - EM,TruthfulQA - EM,BBQ - EM,GSM8K - EM,BIG-bench - EM,MMLU - EM (Robustness),"
    "TruthfulQA - EM (Robustness),MMLU - EM (Fairness),TruthfulQA - EM (Fairness)\n"
    "low,0.1,0.1,0.1,0.1,0.1,0.1,0.1,0.1,0.1\nhigh,0.2,0.2,0.2,0.2,0.2,0.2,0.2,0.2,0.2\n";

static void ranks(void **state)
{
    (void)state;
    struct od_error err = {0};
    char table[OD_PATH_MAX_BYTES];
    char html[OD_PATH_MAX_BYTES];
    char csv[OD_PATH_MAX_BYTES];
    char latex[OD_PATH_MAX_BYTES];
    json_t *root = NULL;
    const char *folder = test_folder();
    put(table, folder, "t.csv", open_table);
    put(html, folder, "b.html", NULL);
    put(csv, folder, "b.csv", NULL);
    put(latex, folder, "b.tex", NULL);
    struct program text = program_run("score", "--table", table, "--formula", "open-2023", "--html",
                                      html, "--csv", csv, "--latex", latex);
    assert_int_equal(text.exit_code, 0);
    assert_non_null(strstr(text.out, "   1  high      1.0000    1.0000      1.0000    1.0000\n"));
    assert_true(od_path_exists(html) && od_path_exists(csv) && od_path_exists(latex));
    program_release(&text);
    struct program json =
        program_run("score", "--table", csv, "--formula", "open-2023", "--json", "-q");
    assert_int_equal(json.exit_code, 0);
    assert_string_equal(json.err, "");
    assert_ok(od_json_parse(json.out, strlen(json.out), "out", &root, &err), &err);
    const json_t *first = json_array_get(json_object_get(root, "entries"), 0);
    assert_string_equal(json_string_value(json_object_get(first, "name")), "high");
    json_decref(root);
    program_release(&json);
    // Without a formula: final-2023 wants more than there is, so HELM's.
    struct program helm = program_run("score", "--table", table);
    assert_int_equal(helm.exit_code, 0);
    assert_non_null(strstr(helm.out, "\nhelm: "));
    program_release(&helm);
}

static void refusals(void **state)
{
    (void)state;
    char table[OD_PATH_MAX_BYTES];
    char one[OD_PATH_MAX_BYTES];
    char html[OD_PATH_MAX_BYTES];
    const char *folder = test_folder();
    put(table, folder, "t.csv", open_table);
    put(one, folder, "one.csv", "entry,x\na,1\n");
    put(html, folder, "none/b.html", NULL);
    program_assert_usage(program_run("score"), "give suites or --table FILE, one of them");
    program_assert_usage(program_run("score", "--table", table, folder), "not both");
    program_assert_usage(program_run("score", "--table", table, "--formula", "open2023"),
                         "did you mean 'open-2023'");
    program_assert_usage(program_run("score", "--table", table, "--formula", "final-2023"),
                         "has no metric 'sam_sum - ROUGE-2' (and 21 more)");
    program_assert_usage(program_run("score", "--table", "/nonexistent.csv"), "/nonexistent.csv");
    program_assert_usage(program_run("score", "--table", one), "has one entry, 'a'");
    program_assert_usage(program_run("score", folder), "is no suite");
    struct program full = program_run("score", "--table", table, "--html", html);
    assert_int_equal(full.exit_code, 2);
    assert_int_equal(program_lines(full.err), 1);
    program_release(&full);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranks),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
