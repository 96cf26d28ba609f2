// Goal: the challenge's list of 600 items costs the evaluator seconds, whatever the model costs.
// Method: its entries over generated files of the published sizes, a responder that answers at once,
// two threads. The bound is on processor time, which a busy machine does not change; the wall clock
// is printed.

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/random.h"
#include "base/status.h"
#include "eval/evaluation.h"
#include "eval/runner.h"
#include "stand_in.h"
#include "support.h"

enum {
    INSTANCES = 600,
    ENTRIES_MAX = 128,
    MMLU_DEV = 5,
    MMLU_VAL = 27,
    MMLU_TEST = 246,
    TRUTHFUL_QA_ROWS = 817,
    GSM8K_TRAIN = 7473,
    GSM8K_TEST = 1319,
    WORDS = 4000,
    CPU_S_MAX = 30
};

static const char *const subjects =
    "anatomy college_medicine college_biology high_school_biology college_computer_science "
    "high_school_computer_science computer_security electrical_engineering machine_learning "
    "high_school_mathematics college_mathematics abstract_algebra high_school_statistics "
    "college_chemistry high_school_chemistry high_school_physics college_physics astronomy "
    "formal_logic logical_fallacies philosophy moral_disputes moral_scenarios professional_law "
    "international_law jurisprudence high_school_european_history high_school_us_history "
    "high_school_world_history prehistory world_religions business_ethics global_facts management "
    "marketing miscellaneous professional_accounting nutrition human_aging clinical_knowledge "
    "medical_genetics professional_medicine virology high_school_government_and_politics "
    "high_school_geography us_foreign_policy public_relations security_studies "
    "high_school_psychology human_sexuality professional_psychology sociology "
    "high_school_microeconomics econometrics high_school_macroeconomics";

// A BIG-bench task, its part, and how many examples it has.
struct task {
    const char *task;
    const char *part;
    int examples;
    int words;  // of a question
};
static const struct task tasks[] = {
    {"auto_debugging", "", 34, 60},
    {"code_line_description", "", 60, 60},
    {"conceptual_combinations", "contradictions", 20, 30},
    {"conceptual_combinations", "emergent_properties", 20, 30},
    {"conceptual_combinations", "fanciful_fictional_combinations", 21, 30},
    {"conceptual_combinations", "homonyms", 21, 30},
    {"conceptual_combinations", "invented_words", 21, 30},
    {"emoji_movie", "", 100, 10},
    {"formal_fallacies_syllogisms_negation", "", 14200, 80},
    {"known_unknowns", "", 46, 15},
    {"linguistics_puzzles", "", 2000, 100},
    {"logic_grid_puzzle", "", 1000, 120},
    {"logical_deduction", "three_objects", 300, 60},
    {"logical_deduction", "five_objects", 500, 80},
    {"logical_deduction", "seven_objects", 700, 100},
    {"novel_concepts", "", 32, 20},
    {"operators", "", 210, 20},
    {"play_dialog_same_or_different", "", 3264, 120},
    {"repeat_copy_logic", "", 32, 20},
    {"strange_stories", "boolean", 87, 150},
    {"strange_stories", "multiple_choice", 87, 150},
    {"strategyqa", "", 2289, 15},
    {"symbol_interpretation", "adversarial", 198, 120},
    {"symbol_interpretation", "emoji_agnostic", 198, 120},
    {"symbol_interpretation", "name_agnostic", 198, 120},
    {"symbol_interpretation", "plain", 198, 120},
    {"symbol_interpretation", "tricky", 198, 120},
    {"vitaminc_fact_verification", "", 54668, 50},
    {"winowhy", "", 2862, 50},
};

// BBQ's categories and their rows.
static const struct {
    const char *name;
    int rows;
} categories[] = {{"Age", 3680},
                  {"Disability_status", 1556},
                  {"Gender_identity", 5672},
                  {"Nationality", 3080},
                  {"Physical_appearance", 1576},
                  {"Race_ethnicity", 6880},
                  {"Race_x_gender", 15960},
                  {"Race_x_SES", 11160},
                  {"Religion", 1200},
                  {"SES", 6864},
                  {"Sexual_orientation", 864}};

// ------------------------------------------------------------------ data

struct maker {
    char folder[OD_PATH_MAX_BYTES];
    uint64_t drawn;
};

static uint32_t draw(struct maker *maker, uint32_t below)
{
    return od_philox_draw(600, 0, 0, maker->drawn++).word[0] % below;
}

// `count` words of a made-up language, blanks between.
static void put_words(struct maker *maker, struct od_buf *out, int count)
{
    static const char *const common[] = {"the",     "is",    "he", "James",
                                         "because", "going", "to", "not"};
    for (int i = 0; i < count; i++) {
        const uint32_t word = draw(maker, WORDS);
        od_buf_puts(out, i > 0 ? " " : "");
        if (word < WORDS / 3) {
            od_buf_puts(out, common[word % 8]);
        } else {
            od_buf_printf(out, "word%u", word);
        }
    }
}

static void put_file(const struct maker *maker, const char *folder, const char *name,
                     struct od_buf *text)
{
    struct od_error err = {0};
    char path[OD_PATH_MAX_BYTES];
    char file[OD_PATH_MAX_BYTES];
    assert_ok(od_path_join(path, maker->folder, folder, &err), &err);
    assert_ok(od_dir_make(path, &err), &err);
    assert_ok(od_path_join(file, path, name, &err), &err);
    assert_ok(od_buf_check(text, &err), &err);
    assert_ok(od_file_write(file, text->bytes, text->size, &err), &err);
    od_buf_reset(text);
}

static void make_mmlu(struct maker *maker, struct od_buf *text)
{
    static const char *const splits[] = {"dev", "val", "test"};
    static const int rows[] = {MMLU_DEV, MMLU_VAL, MMLU_TEST};
    for (const char *at = subjects; *at != '\0';) {
        const size_t size = strcspn(at, " ");
        for (int s = 0; s < 3; s++) {
            char folder[64];
            char name[128];
            for (int i = 0; i < rows[s]; i++) {
                od_buf_putc(text, '"');
                put_words(maker, text, 40);
                od_buf_putc(text, '"');
                for (int k = 0; k < 4; k++) {
                    od_buf_putc(text, ',');
                    put_words(maker, text, 6);
                }
                od_buf_printf(text, ",%c\n", 'A' + (int)draw(maker, 4));
            }
            (void)snprintf(folder, sizeof folder, "mmlu/data/%s", splits[s]);
            (void)snprintf(name, sizeof name, "%.*s_%s.csv", (int)size, at, splits[s]);
            put_file(maker, folder, name, text);
        }
        at += size + strspn(at + size, " ");
    }
}

static void make_big_bench(struct maker *maker, struct od_buf *text)
{
    for (size_t t = 0; t < sizeof tasks / sizeof *tasks; t++) {
        char folder[256];
        od_buf_printf(text,
                      "{\"name\": \"%s\", \"description\": \"made up\", \"keywords\": [\"x\"], "
                      "\"metrics\": [\"multiple_choice_grade\"], \"examples\": [",
                      tasks[t].task);
        for (int i = 0; i < tasks[t].examples; i++) {
            od_buf_printf(text, "%s\n{\"input\": \"%d ", i > 0 ? "," : "", i);
            put_words(maker, text, tasks[t].words);
            od_buf_puts(text, "\", \"target_scores\": {\"yes\": 1, \"no\": 0, \"unclear\": 0}}");
        }
        od_buf_puts(text, "]}\n");
        (void)snprintf(folder, sizeof folder, "bigbench/%s%s%s", tasks[t].task,
                       tasks[t].part[0] != '\0' ? "/" : "", tasks[t].part);
        put_file(maker, folder, "task.json", text);
    }
}

static void make_bbq(struct maker *maker, struct od_buf *text)
{
    for (size_t c = 0; c < sizeof categories / sizeof *categories; c++) {
        char name[64];
        for (int i = 0; i < categories[c].rows; i++) {
            od_buf_printf(
                text,
                "{\"example_id\": %d, \"question_index\": \"1\", \"question_polarity\": \"%s\", "
                "\"context_condition\": \"%s\", \"category\": \"%s\", \"answer_info\": {\"ans0\": "
                "[\"a\", \"old\"], \"ans1\": [\"b\", \"nonOld\"], \"ans2\": [\"Unknown\", "
                "\"unknown\"]}, \"additional_metadata\": {\"subcategory\": \"None\", "
                "\"stereotyped_groups\": [\"old\"], \"version\": \"a\", \"source\": \"\"}, "
                "\"context\": \"",
                i, i % 2 ? "neg" : "nonneg", i % 4 < 2 ? "ambig" : "disambig", categories[c].name);
            put_words(maker, text, 35);
            od_buf_puts(text, "\", \"question\": \"");
            put_words(maker, text, 8);
            od_buf_printf(text,
                          "?\", \"ans0\": \"The one\", \"ans1\": \"The other\", \"ans2\": "
                          "\"Unknown\", \"label\": %d}\n",
                          i % 3);
        }
        (void)snprintf(name, sizeof name, "%s.jsonl", categories[c].name);
        put_file(maker, "bbq", name, text);
    }
}

static void make_others(struct maker *maker, struct od_buf *text)
{
    od_buf_puts(text,
                "Type,Category,Question,Best Answer,Correct Answers,Incorrect Answers,Source\n");
    for (int i = 0; i < TRUTHFUL_QA_ROWS; i++) {
        od_buf_puts(text, "Adversarial,X,");
        put_words(maker, text, 12);
        od_buf_printf(text, "?,Yes %d,Yes; Sure,No %d; Never; ", i, i);
        put_words(maker, text, 8);
        od_buf_puts(text, ",http\n");
    }
    put_file(maker, "truthfulqa", "TruthfulQA.csv", text);
    for (int test = 0; test < 2; test++) {
        for (int i = 0; i < (test ? GSM8K_TEST : GSM8K_TRAIN); i++) {
            od_buf_puts(text, "{\"question\": \"");
            put_words(maker, text, 45);
            od_buf_puts(text, "?\", \"answer\": \"");
            put_words(maker, text, 50);
            od_buf_printf(text, "\\n#### %d\"}\n", i);
        }
        put_file(maker, "gsm8k", test ? "test.jsonl" : "train.jsonl", text);
    }
}

static void make_tables(struct maker *maker, struct od_buf *text)
{
    static const char *const groups[] = {"first_name,race,white_american",
                                         "first_name,race,black_american", "first_name,gender,male",
                                         "first_name,gender,female"};
    for (int table = 0; table < 2; table++) {
        od_buf_putc(text, '{');
        for (int i = WORDS / 3; i < WORDS; i += 1 + table) {
            od_buf_printf(text, "%s\"word%d\": [\"wrod%d\", \"werd%d\"]", i > WORDS / 3 ? ", " : "",
                          i, i, i);
        }
        od_buf_puts(text, "}\n");
        put_file(maker, "helm",
                 table == 0 ? "correct_to_misspelling.json" : "SAE_to_AAVE_mapping.json", text);
    }
    for (int i = 0; i < 80; i++) {
        const bool james = i < 2;
        od_buf_printf(text, "%s%d,%s\n", james ? "james" : "name", i, groups[i % 2]);
        od_buf_printf(text, "%s%d,%s\n", james ? "james" : "name", i, groups[2 + i / 2 % 2]);
    }
    put_file(maker, "helm", "person_names.txt", text);
}

// ------------------------------------------------------------------ the list

static const char *add(struct od_arena *arena, const char *text)
{
    const char *copy = od_arena_strdup(arena, text);
    assert_non_null(copy);
    return copy;
}

static size_t list_entries(struct od_arena *arena, const char **out)
{
    char text[256];
    size_t count = 0;
    for (size_t t = 0; t < sizeof tasks / sizeof *tasks; t++) {
        (void)snprintf(
            text, sizeof text,
            "big_bench:model=neurips/local,max_train_instances=big_bench_few_shot_setting,"
            "task=%s,subtask=%s",
            tasks[t].task, tasks[t].part);
        out[count++] = add(arena, text);
    }
    for (const char *at = subjects; *at != '\0';) {
        const size_t size = strcspn(at, " ");
        (void)snprintf(text, sizeof text,
                       "mmlu:model=neurips/local,subject=%.*s,data_augmentation=canonical",
                       (int)size, at);
        out[count++] = add(arena, text);
        at += size + strspn(at + size, " ");
    }
    out[count++] = "truthful_qa:task=mc_single,model=neurips/local";
    out[count++] = "summarization_cnndm:model=neurips/local";
    out[count++] = "gsm:model=neurips/local";
    out[count++] = "bbq:subject=all,model=neurips/local";
    return count;
}

static double cpu_s(void)
{
    struct timespec now = {0};
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void test_list_of_600(void **state)
{
    (void)state;
    struct maker maker = {0};
    struct od_buf text;
    struct od_arena arena;
    struct stand_in model;
    struct od_error err = {0};
    struct od_evaluation_report report = {0};
    struct od_eval_config config = OD_EVAL_CONFIG_INIT;
    const char *entries[ENTRIES_MAX];
    (void)snprintf(maker.folder, sizeof maker.folder, "%s", test_folder());
    od_buf_init(&text, (size_t)256 << 20);
    make_mmlu(&maker, &text);
    make_big_bench(&maker, &text);
    make_bbq(&maker, &text);
    make_others(&maker, &text);
    make_tables(&maker, &text);
    od_buf_release(&text);
    od_arena_init(&arena, 1 << 20);
    const struct od_evaluation evaluation = {.descriptions = entries,
                                             .description_count = list_entries(&arena, entries),
                                             .has_instances = true,
                                             .instances = INSTANCES};
    assert_int_equal(evaluation.description_count, 88);
    stand_in_init(&model);
    config.responder = &model.interface;
    config.data = maker.folder;
    config.output = test_folder();
    config.suite = "s";
    config.threads = 2;
    const double start_s = od_clock_s();
    const double start_cpu_s = cpu_s();
    assert_ok(od_evaluate(&config, &evaluation, &report, &err), &err);
    const double wall_s = od_clock_s() - start_s;
    const double used_s = cpu_s() - start_cpu_s;
    print_message("# 600-instance list, %d requests: %.2f s, %.2f s of processors, two threads\n",
                  (int)model.process_calls, wall_s, used_s);
    assert_int_equal(report.missing.failed_count, 0);
    assert_true(model.process_calls > 2000 && model.process_calls <= 2451);
    assert_true(used_s < (double)CPU_S_MAX);
    od_evaluation_report_release(&report);
    od_arena_release(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_list_of_600)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
