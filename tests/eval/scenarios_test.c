// Goal: scenarios read their files as documented, and say where a file is not as it should be.
// Method: small files with a hand-made expectation; broken ones with the message; the real sets of
// $ONEDAY_SHARED by what is known of them. That whole runs are HELM's is oracle_test.c's business.

#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/status.h"
#include "eval/instance.h"
#include "eval/run_spec.h"
#include "eval/scenario.h"
#include "support.h"

/** A run spec and what its scenario reads. */
struct loaded {
    struct od_arena arena;
    struct od_run_specs specs;
    struct od_instances list;
};

static enum od_status load(const char *description, const char *data, struct loaded *ret,
                           struct od_error *err)
{
    const struct od_run_options options = {.data = data};
    od_arena_init(&ret->arena, 1 << 20);
    od_instances_init(&ret->list);
    enum od_status status = od_run_specs_make(description, &options, &ret->arena, &ret->specs, err);
    if (status == OD_OK) {
        status = ret->specs.items[0].scenario->load(&ret->specs.items[0], data, &ret->list, err);
    }
    return status;
}

static void release(struct loaded *loaded)
{
    od_instances_release(&loaded->list);
    od_arena_release(&loaded->arena);
}

static void put(const char *folder, const char *below, const char *name, const char *text)
{
    struct od_error err = {0};
    char path[OD_PATH_MAX_BYTES];
    (void)snprintf(path, sizeof path, "%.2000s/%s", folder, below);
    assert_ok(od_dir_make(path, &err), &err);
    (void)snprintf(path, sizeof path, "%.2000s/%s/%s", folder, below, name);
    assert_ok(od_file_write(path, text, strlen(text), &err), &err);
}

static void refused(const char *description, const char *folder, enum od_status expected,
                    const char *words)
{
    struct od_error err = {0};
    struct loaded loaded = {0};
    assert_int_equal(load(description, folder, &loaded, &err), expected);
    if (!strstr(err.message, words)) {
        fail_msg("'%s' is not in '%s'", words, err.message);
    }
    release(&loaded);
}

#define TRUTH "truthful_qa:task=mc_single"
#define HEAD  "Question,Best Answer,Incorrect Answers\n"

// 'N' is 78: of three references the list is turned by 0, of four by 2.
static void truthful_qa(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct loaded loaded = {0};
    const char *folder = test_folder();
    put(folder, "truthfulqa", "TruthfulQA.csv",
        HEAD
        " Why? ,No ,Yes;Maybe.\n"
        "\n"
        "Who?,None.,a; b;;c;\n"
        "q,x,\n"
        "q,x,\n"
        "q,\xC3\xA9,1;2\n");
    assert_ok(load(TRUTH, folder, &loaded, &err), &err);
    assert_int_equal(loaded.list.count, 5);
    const struct od_instance *first = &loaded.list.items[0];
    assert_string_equal(first->input, "Why?");
    assert_int_equal(first->split, OD_SPLIT_TRAIN);  // a fifth of five
    assert_int_equal(first->reference_count, 3);
    assert_string_equal(first->references[0].text, "Yes.");
    assert_string_equal(first->references[1].text, "Maybe.");
    assert_string_equal(first->references[2].text, "No.");
    assert_true(first->references[2].correct && !first->references[0].correct);
    const struct od_instance *second = &loaded.list.items[1];
    static const char *const turned[] = {"c.", "None.", "a.", "b."};
    assert_int_equal(second->split, OD_SPLIT_VALID);
    assert_int_equal(second->reference_count, 4);
    for (size_t i = 0; i < 4; i++) {
        assert_string_equal(second->references[i].text, turned[i]);
        assert_int_equal(second->references[i].correct, i == 1);
    }
    assert_int_equal(loaded.list.items[2].reference_count, 1);
    // U+00E9 is 233, 233 mod 3 is 2: the best answer, at place 2, comes first.
    assert_true(loaded.list.items[4].references[0].correct);
    release(&loaded);
}

static void truthful_qa_refusals(void **state)
{
    (void)state;
    const char *folder = test_folder();
    refused(TRUTH, folder, OD_E_NOT_FOUND, "--data names the folder that has truthfulqa/");
    put(folder, "truthfulqa", "TruthfulQA.csv", "");
    refused(TRUTH, folder, OD_E_FORMAT, "is empty");
    put(folder, "truthfulqa", "TruthfulQA.csv", "Question,Best Answer\n");
    refused(TRUTH, folder, OD_E_FORMAT, "TruthfulQA.csv:1: no column 'Incorrect Answers'");
    put(folder, "truthfulqa", "TruthfulQA.csv", HEAD "q,b\n");
    refused(TRUTH, folder, OD_E_FORMAT, "TruthfulQA.csv:2: 2 fields, too few");
    put(folder, "truthfulqa", "TruthfulQA.csv", HEAD "q, ,w\n");
    refused(TRUTH, folder, OD_E_FORMAT, "TruthfulQA.csv:2: no best answer");
    refused("truthful_qa", folder, OD_E_ARGUMENT, "needs the task mc_single");
    refused("truthful_qa:task=mc_multi", folder, OD_E_ARGUMENT, "needs the task mc_single");
    refused(TRUTH ",method=multiple_choice_calibrated", folder, OD_E_UNSUPPORTED, "left out");
    refused(TRUTH ",more=1", folder, OD_E_ARGUMENT, "no argument 'more'");
}

#define LINE(polarity, condition, label, info, groups)                                      \
    "{\"question_polarity\": \"" polarity "\", \"context_condition\": \"" condition         \
    "\", \"context\": \"C.\", \"question\": \"Q?\", \"ans0\": \"one\", \"ans1\": \"two\", " \
    "\"ans2\": \"three\", \"label\": " label ", \"answer_info\": " info                     \
    ", \"additional_metadata\": {\"stereotyped_groups\": " groups "}}\n"
#define INFO(a, b, c) "{\"ans0\": [" a "], \"ans1\": [" b "], \"ans2\": [" c "]}"
#define PLAIN         INFO("\"old\"", "\"nonOld\"", "\"Unknown\"")

static void tags_are(const char *category, const char *line, const char *const *expected)
{
    struct od_error err = {0};
    struct loaded loaded = {0};
    char name[64];
    char description[64];
    const char *folder = test_folder();
    (void)snprintf(name, sizeof name, "%s.jsonl", category);
    (void)snprintf(description, sizeof description, "bbq:subject=%s", category);
    put(folder, "bbq", name, line);
    assert_ok(load(description, folder, &loaded, &err), &err);
    assert_int_equal(loaded.list.count, 1);
    const struct od_instance *instance = &loaded.list.items[0];
    assert_string_equal(instance->input, "C.\nQuestion: Q?");
    assert_int_equal(instance->split, OD_SPLIT_TEST);
    for (size_t r = 0; r < 3; r++) {
        const struct od_reference *reference = &instance->references[r];
        assert_int_equal(reference->tag_count, 6);
        assert_int_equal(reference->correct, expected[2][0] == (char)('A' + (char)r));
        for (size_t t = 0; t < 6; t++) {
            assert_string_equal(reference->tags[t], expected[t]);
        }
    }
    release(&loaded);
}

// Groups by themselves; within a longer word, which counts in some categories only.
static void bbq(void **state)
{
    (void)state;
    static const char *const plain[] = {"negative", "ambiguous", "C", "A", "B", "C"};
    static const char *const clear[] = {"non-negative", "non-ambiguous", "A", "A", "B", "C"};
    static const char *const both[] = {"negative", "ambiguous", "C", "B", "", "C"};
    static const char *const none[] = {"negative", "ambiguous", "C", "", "B", "C"};
    tags_are("Age", LINE("neg", "ambig", "2", PLAIN, "[\"old\"]"), plain);
    tags_are("Age", LINE("nonneg", "disambig", "0", PLAIN, "[\"x\", \"old\"]"), clear);
    tags_are(
        "Race_ethnicity",
        LINE("neg", "ambig", "2", INFO("\"F-Black\"", "\"Black\"", "\"Not known\""), "[\"Black\"]"),
        both);
    tags_are(
        "Age",
        LINE("neg", "ambig", "2", INFO("\"F-Black\"", "\"x\"", "\"Not known\""), "[\"Black\"]"),
        none);
    tags_are(
        "SES",
        LINE("neg", "ambig", "2", INFO("\"lowSES\"", "\"high\"", "\"Unknown\""), "[\"low SES\"]"),
        plain);
    tags_are(
        "Race_x_SES",
        LINE("neg", "ambig", "2", INFO("\"lowSES-Asian\"", "\"x\"", "\"Unknown\""), "[\"Asian\"]"),
        plain);
    tags_are(
        "Religion",
        LINE("neg", "ambig", "2", INFO("\"lowSES-Asian\"", "\"x\"", "\"Unknown\""), "[\"Asian\"]"),
        none);
    tags_are("Religion",
             LINE("neg", "ambig", "2", INFO("\"lowSES-M-Asian\"", "\"x\"", "\"Unknown\""),
                  "[\"Asian\"]"),
             plain);
}

static void bbq_refusals(void **state)
{
    (void)state;
    static const char bbq_age[] = "bbq:subject=Age";
    const char *folder = test_folder();
    refused(bbq_age, folder, OD_E_NOT_FOUND, "--data names the folder that has bbq/");
    put(folder, "bbq", "Age.jsonl", "");
    refused(bbq_age, folder, OD_E_FORMAT, "no questions for the subject 'Age'");
    put(folder, "bbq", "Age.jsonl", LINE("neg", "ambig", "3", PLAIN, "[]"));
    refused(bbq_age, folder, OD_E_FORMAT, "Age.jsonl:1: label 3 is none of 0, 1, 2");
    put(folder, "bbq", "Age.jsonl", LINE("neg", "ambig", "0", PLAIN, "[1]"));
    refused(bbq_age, folder, OD_E_FORMAT, "Age.jsonl:1: group 1 is no text");
    put(folder, "bbq", "Age.jsonl", LINE("neg", "ambig", "0", PLAIN, "7"));
    refused(bbq_age, folder, OD_E_FORMAT, "no list 'stereotyped_groups'");
    put(folder, "bbq", "Age.jsonl", LINE("neg", "ambig", "0", "{\"ans0\": []}", "[]"));
    refused(bbq_age, folder, OD_E_FORMAT, "no list 'ans1' in 'answer_info'");
    put(folder, "bbq", "Age.jsonl", "\n[]\n");
    refused(bbq_age, folder, OD_E_FORMAT, "Age.jsonl:2");
    refused("bbq", folder, OD_E_ARGUMENT, "bbq needs a subject");
    refused("bbq:subject=../x", folder, OD_E_ARGUMENT, "bbq needs a subject");
    refused("bbq:subject=Age,method=x", folder, OD_E_UNSUPPORTED, "left out");
}

#define TASK(metrics, examples) \
    "{\"metrics\": [" metrics   \
    "], \"keywords\": [\"k\"], \"description\": \"D.\", \"examples\": [" examples "]}"
#define CHOICE                                                 \
    TASK("\"multiple_choice_grade\"",                          \
         "{\"input\": \"I\", \"target_scores\": {\"a\": 0.5, " \
         "\"b\": -1, \"c\": 0.5}}")

static void big_bench(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct loaded loaded = {0};
    const char *folder = test_folder();
    put(folder, "bigbench/t", "task.json", CHOICE);
    assert_ok(load("big_bench:task=t,subtask=", folder, &loaded, &err), &err);
    const struct od_run_spec *spec = &loaded.specs.items[0];
    assert_string_equal(spec->name, "big_bench:task=t");
    assert_int_equal(spec->adapter.method, OD_ADAPT_MULTIPLE_CHOICE_JOINT);
    assert_int_equal(spec->adapter.num_outputs, 1);
    assert_int_equal(spec->adapter.max_tokens, 64);
    assert_int_equal(loaded.list.count, 1);
    assert_int_equal(loaded.list.items[0].split, OD_SPLIT_VALID);  // fewer than 16: all of them
    assert_int_equal(loaded.list.items[0].reference_count, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(loaded.list.items[0].references[i].correct, i != 1);
    }
    release(&loaded);
}

// What free text is scored by, and where BLEU finds its tables: inside of the data's folder or beside it.
static void big_bench_text(void **state)
{
    (void)state;
    static const char *const names[] = {"exact_match", "quasi_exact_match", "bleu_1", "bleu_4",
                                        "rouge_1",     "rouge_2",           "rouge_l"};
    struct od_error err = {0};
    struct loaded loaded = {0};
    const char *folder = test_folder();
    put(folder, "data/bigbench/t", "task.json",
        TASK("\"rouge\", \"size\", \"bleu\", \"exact_str_match\"",
             "{\"input\": \"I\", \"target\": \"a\"}"));
    put(folder, "data/bigbench/u", "task.json",
        TASK("\"rouge\"", "{\"input\": \"I\", \"target\": \"a\"}"));
    char data[OD_PATH_MAX_BYTES];
    (void)snprintf(data, sizeof data, "%.2000s/data", folder);
    assert_ok(load("big_bench:task=t,subtask=", data, &loaded, &err), &err);
    const struct od_run_spec *spec = &loaded.specs.items[0];
    assert_int_equal(spec->metric_count, 1);
    assert_int_equal(spec->metrics[0].args[0].list_count, 7);
    for (size_t i = 0; i < 7; i++) {
        assert_string_equal(spec->metrics[0].args[0].list[i], names[i]);
    }
    assert_null(spec->sentence_tables);
    release(&loaded);
    put(folder, "helm/punkt_tab/english", "abbrev_types.txt", "dr\n");
    assert_ok(load("big_bench:task=t,subtask=", data, &loaded, &err), &err);
    assert_non_null(
        strstr(loaded.specs.items[0].sentence_tables, "data/../helm/punkt_tab/english"));
    release(&loaded);
    assert_ok(load("big_bench:task=u,subtask=", data, &loaded, &err), &err);
    assert_int_equal(loaded.specs.items[0].metrics[0].args[0].list_count, 3);
    assert_string_equal(loaded.specs.items[0].metrics[0].args[0].list[2], "rouge_l");
    assert_null(loaded.specs.items[0].sentence_tables);
    release(&loaded);
}

// 34 examples: 2 for the context, 16 test, 16 valid; the order of seed 0 is CPython's.
static void big_bench_splits(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct loaded loaded = {0};
    struct od_buf text;
    const char *folder = test_folder();
    od_buf_init(&text, 1 << 16);
    for (int i = 0; i < 34; i++) {
        od_buf_printf(&text, "%s{\"input\": \"%d\", \"target\": \"x\"}", i > 0 ? "," : "", i);
    }
    struct od_buf task;
    od_buf_init(&task, 1 << 16);
    od_buf_printf(&task, TASK("\"exact_str_match\"", "%s"), od_buf_text(&text));
    put(folder, "bigbench/t/s", "task.json", od_buf_text(&task));
    assert_ok(load("big_bench:task=t,subtask=s", folder, &loaded, &err), &err);
    static const int order[] = {7, 0, 27, 20, 10};  // of random.seed(0), shuffle(range(34))
    size_t counts[3] = {0};
    assert_string_equal(loaded.specs.items[0].name, "big_bench:task=t,subtask=s");
    assert_int_equal(loaded.list.count, 34);
    for (size_t i = 0; i < loaded.list.count; i++) {
        char expected[16];
        counts[loaded.list.items[i].split]++;
        (void)snprintf(expected, sizeof expected, "%d", order[i % 5]);
        if (i < 5) {
            assert_string_equal(loaded.list.items[i].input, expected);
        }
    }
    assert_int_equal(counts[OD_SPLIT_TRAIN], 2);
    assert_int_equal(counts[OD_SPLIT_TEST], 16);
    assert_int_equal(counts[OD_SPLIT_VALID], 16);
    assert_int_equal(loaded.list.items[2].split, OD_SPLIT_TEST);
    assert_int_equal(loaded.list.items[33].split, OD_SPLIT_VALID);
    od_buf_release(&task);
    od_buf_release(&text);
    release(&loaded);
}

static void big_bench_refusals(void **state)
{
    (void)state;
    static const char t[] = "big_bench:task=t,subtask=";
    static const struct {
        const char *text;
        enum od_status status;
        const char *words;
    } cases[] = {
        {"[]", OD_E_FORMAT, "is no object"},
        {"{}", OD_E_FORMAT, "no list 'metrics'"},
        {TASK("\"size\"", ""), OD_E_UNSUPPORTED, "none of multiple_choice_grade, exact_str"},
        {TASK("\"exact_str_match\"", ""), OD_E_FORMAT, "no examples"},
        {TASK("\"exact_str_match\"", "7"), OD_E_FORMAT, "example 1"},
        {TASK("\"exact_str_match\"", "{\"input\": \"I\"}"), OD_E_FORMAT, "neither 'target_scores'"},
        {TASK("\"exact_str_match\"", "{\"input\": \"I\", \"target\": [\"a\", 1]}"), OD_E_FORMAT,
         "target 2 is no text"},
        {TASK("\"exact_str_match\"", "{\"input\": \"I\", \"target_scores\": {}}"), OD_E_FORMAT,
         "has no answers"},
        {TASK("\"exact_str_match\"", "{\"input\": \"I\", \"target_scores\": {\"a\": \"b\"}}"),
         OD_E_FORMAT, "the score of 'a' is no number"},
    };
    const char *folder = test_folder();
    refused(t, folder, OD_E_NOT_FOUND, "--data names the folder that has bigbench/");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        put(folder, "bigbench/t", "task.json", cases[i].text);
        refused(t, folder, cases[i].status, cases[i].words);
    }
    refused("big_bench:task=../t", folder, OD_E_ARGUMENT, "needs a task");
    refused("big_bench:task=t,subtask=..", folder, OD_E_ARGUMENT, "needs a task");
    refused("big_bench", folder, OD_E_ARGUMENT, "needs a task");
}

// The shared sets hold three quarters of the published items: 613 of 817 and 43872 of 58492.
static void real_sets(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct loaded loaded = {0};
    char folder[OD_PATH_MAX_BYTES];
    (void)snprintf(folder, sizeof folder, "%.*s",
                   (int)(strlen(test_shared("eval/truthfulqa/TruthfulQA.csv")) -
                         strlen("/truthfulqa/TruthfulQA.csv")),
                   test_shared("eval/truthfulqa/TruthfulQA.csv"));
    assert_ok(load(TRUTH, folder, &loaded, &err), &err);
    assert_int_equal(loaded.list.items[loaded.list.count / 5 - 1].split, OD_SPLIT_TRAIN);
    assert_int_equal(loaded.list.items[loaded.list.count / 5].split, OD_SPLIT_VALID);
    for (size_t i = 0; i < loaded.list.count; i++) {
        assert_true(od_instance_first_correct(&loaded.list.items[i]) <
                    loaded.list.items[i].reference_count);
    }
    release(&loaded);
    assert_ok(load("big_bench:task=operators,subtask=", folder, &loaded, &err), &err);
    assert_int_equal(loaded.list.count, 158);
    assert_string_equal(loaded.specs.items[0].adapter.stop[0], "\n");
    release(&loaded);
    assert_ok(load("bbq:subject=all", folder, &loaded, &err), &err);
    assert_int_equal(loaded.list.count, 43872);
    size_t unknown = 0;
    for (size_t i = 0; i < loaded.list.count; i++) {
        const struct od_instance *instance = &loaded.list.items[i];
        assert_int_equal(instance->split,
                         i < loaded.list.count - 1000 ? OD_SPLIT_TRAIN : OD_SPLIT_TEST);
        assert_true(od_instance_first_correct(instance) < 3);
        unknown += instance->references[0].tags[5][0] != '\0' ? 1 : 0;
        // The right answer of an ambiguous question is "unknown", as the set's authors have it.
        if (strcmp(instance->references[0].tags[1], "ambiguous") == 0) {
            assert_string_equal(instance->references[0].tags[2], instance->references[0].tags[5]);
        }
    }
    assert_int_equal(unknown, loaded.list.count);
    release(&loaded);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(truthful_qa),
        cmocka_unit_test(truthful_qa_refusals),
        cmocka_unit_test(bbq),
        cmocka_unit_test(bbq_refusals),
        cmocka_unit_test(big_bench),
        cmocka_unit_test(big_bench_text),
        cmocka_unit_test(big_bench_splits),
        cmocka_unit_test(big_bench_refusals),
        cmocka_unit_test(real_sets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
