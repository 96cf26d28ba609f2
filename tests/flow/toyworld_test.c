// Goal: the generator writes the same bytes each time, and those that are committed; what it asks
// in evaluation can be answered, is right, and stands in no text that a model learns from.
// Method: the program is run into fresh folders and its files are read back.
#include <fcntl.h>
#include <spawn.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/status.h"
#include "support.h"

enum { FILE_MAX_BYTES = 64 << 20, TESTS = 240, NAMES = 26 * 26 * 26 * 26 };

/** A file's text; freed with od_free. */
struct text {
    char *bytes;
    size_t size;
};

static const char *const written[] = {"tune.jsonl",
                                      "data/gsm8k/train.jsonl",
                                      "data/gsm8k/test.jsonl",
                                      "data/mmlu/data/dev/colours_dev.csv",
                                      "data/mmlu/data/dev/foods_dev.csv",
                                      "data/mmlu/data/dev/homes_dev.csv",
                                      "data/mmlu/data/val/colours_val.csv",
                                      "data/mmlu/data/val/foods_val.csv",
                                      "data/mmlu/data/val/homes_val.csv",
                                      "data/mmlu/data/test/colours_test.csv",
                                      "data/mmlu/data/test/foods_test.csv",
                                      "data/mmlu/data/test/homes_test.csv"};
#define WRITTEN (sizeof written / sizeof written[0])

// Run the generator with up to three more arguments; its exit code.
static int run(const char *folder, const char *a, const char *b, const char *c)
{
    char path[OD_PATH_MAX_BYTES];
    char copy[4][OD_PATH_MAX_BYTES];
    const char *given[] = {folder, a, b, c};
    char *argv[6] = {path};
    char *const environment[] = {NULL};
    posix_spawn_file_actions_t actions;
    pid_t pid = 0;
    int state = 0;
    size_t count = 1;
    // The build folder has src/cli/oneday and examples/toyworld/toyworld.
    (void)snprintf(path, sizeof path, "%s", test_binary());
    for (int up = 0; up < 3; up++) {
        char *slash = strrchr(path, '/');
        assert_non_null(slash);
        *slash = '\0';
    }
    const size_t size = strlen(path);
    (void)snprintf(path + size, sizeof path - size, "/examples/toyworld/toyworld");
    for (size_t i = 0; i < 4 && given[i]; i++) {
        (void)snprintf(copy[i], sizeof copy[i], "%s", given[i]);
        argv[count++] = copy[i];
    }
    assert_int_equal(posix_spawn_file_actions_init(&actions), 0);
    assert_int_equal(
        posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0), 0);
    assert_int_equal(posix_spawn(&pid, path, &actions, NULL, argv, environment), 0);
    (void)posix_spawn_file_actions_destroy(&actions);
    assert_int_equal(waitpid(pid, &state, 0), pid);
    assert_true(WIFEXITED(state));
    return WEXITSTATUS(state);
}

static struct text read_text(const char *folder, const char *name)
{
    struct od_error err = {0};
    struct text text = {0};
    char path[OD_PATH_MAX_BYTES];
    assert_ok(od_path_join(path, folder, name, &err), &err);
    assert_ok(od_file_read(path, FILE_MAX_BYTES, &text.bytes, &text.size, &err), &err);
    return text;
}

static void same_file(const char *left, const char *right, const char *name)
{
    struct text a = read_text(left, name);
    struct text b = read_text(right, name);
    if (a.size != b.size || memcmp(a.bytes, b.bytes, a.size) != 0) {
        fail_msg("'%s' differs between '%s' and '%s'", name, left, right);
    }
    od_free(a.bytes);
    od_free(b.bytes);
}

static void same_bytes(void **state)
{
    (void)state;
    const char *first = test_folder();
    const char *second = test_folder();
    assert_int_equal(run(first, NULL, NULL, NULL), 0);
    assert_int_equal(run(second, NULL, NULL, NULL), 0);
    same_file(first, second, "base.txt");
    for (size_t i = 0; i < WRITTEN; i++) {
        same_file(first, second, written[i]);
        same_file(first, test_source("examples/toyworld"), written[i]);
    }
}

static void another_seed(void **state)
{
    (void)state;
    const char *first = test_folder();
    const char *second = test_folder();
    assert_int_equal(run(first, "--no-base", NULL, NULL), 0);
    assert_int_equal(run(second, "--no-base", "--seed", "2"), 0);
    for (size_t i = 0; i < WRITTEN; i++) {
        struct text a = read_text(first, written[i]);
        struct text b = read_text(second, written[i]);
        assert_true(a.size != b.size || memcmp(a.bytes, b.bytes, a.size) != 0);
        od_free(a.bytes);
        od_free(b.bytes);
    }
}

static void nowhere(const struct text *texts, size_t count, const char *needle)
{
    for (size_t i = 0; i < count; i++) {
        if (memmem(texts[i].bytes, texts[i].size, needle, strlen(needle))) {
            fail_msg("'%s' stands in a training text", needle);
        }
    }
}

// Place of a name of four letters in a table of all of them.
static size_t name_place(const char *name)
{
    size_t place = 0;
    for (size_t i = 0; i < 4; i++) {
        assert_true(name[i] >= 'a' && name[i] <= 'z');
        place = place * 26 + (size_t)(name[i] - 'a');
    }
    return place;
}

static bool is_name(const char *text)
{
    for (size_t i = 0; i < 4; i++) {
        if (text[i] < 'a' || text[i] > 'z') {
            return false;
        }
    }
    return text[4] < 'a' || text[4] > 'z';
}

// Mark what stands behind an article: animals, and a few other words.
static void mark_names(const struct text *text, unsigned char *known)
{
    static const char *const articles[] = {"The ", " the ", " a "};
    for (size_t k = 0; k < 3; k++) {
        const char *at = text->bytes;
        while ((at = strstr(at, articles[k])) != NULL) {
            at += strlen(articles[k]);
            if (is_name(at)) {
                known[name_place(at)] = 1;
            }
        }
    }
}

// "The NAME is COLOUR, lives ... QUESTION?",choice,choice,choice,choice,LETTER
static void check_choice_file(const char *folder, const char *name, const unsigned char *known)
{
    struct text file = read_text(folder, name);
    char *rest = file.bytes;
    int64_t rows = 0;
    int64_t letters[4] = {0};
    for (char *line = strsep(&rest, "\n"); line && *line; line = strsep(&rest, "\n"), rows++) {
        char *choices[5];
        char *question = line + 1;
        assert_int_equal(line[0], '"');
        char *end = strchr(question, '"');
        assert_non_null(end);
        *end = '\0';
        char *fields = end + 2;
        for (size_t i = 0; i < 5; i++) {
            choices[i] = strsep(&fields, ",");
            assert_non_null(choices[i]);
        }
        const int right = choices[4][0] - 'A';
        assert_true(right >= 0 && right < 4);
        letters[right]++;
        for (int i = 0; i < 4; i++) {
            // Only the right one is in the question.
            assert_int_equal(strstr(question, choices[i]) != NULL, i == right);
        }
        assert_memory_equal(question, "The ", 4);
        if (known[name_place(question + 4)]) {  // so the whole question is new, too
            fail_msg("training tells of the '%.4s' of evaluation", question + 4);
        }
    }
    assert_int_equal(rows, TESTS);
    for (size_t i = 0; i < 4; i++) {
        assert_true(letters[i] >= TESTS / 6);  // one answer for all would not do
    }
    od_free(file.bytes);
}

// {"question": "...", "answer": "12 + 5 = 17\n#### 17"}
static void check_word_file(const char *folder, const struct text *training)
{
    struct text file = read_text(folder, "data/gsm8k/test.jsonl");
    char *rest = file.bytes;
    int64_t rows = 0;
    for (char *line = strsep(&rest, "\n"); line && *line; line = strsep(&rest, "\n"), rows++) {
        char sum[64];
        char *at = strstr(line, "\"answer\": \"");
        assert_non_null(at);
        at += strlen("\"answer\": \"");
        const int64_t a = strtoll(at, &at, 10);
        const char sign = at[1];
        at += 2;
        const int64_t b = strtoll(at, &at, 10);
        assert_memory_equal(at, " = ", 3);
        const int64_t c = strtoll(at + 3, &at, 10);
        assert_memory_equal(at, "\\n#### ", 7);
        assert_int_equal(strtoll(at + 7, NULL, 10), c);
        assert_true(sign == '+' || sign == '-');
        assert_int_equal(sign == '+' ? a + b : a - b, c);
        (void)snprintf(sum, sizeof sum, "%lld %c %lld =", (long long)a, sign, (long long)b);
        nowhere(training, 2, sum);
    }
    assert_int_equal(rows, TESTS);
    od_free(file.bytes);
}

static void evaluation_is_apart_and_right(void **state)
{
    (void)state;
    const char *folder = test_folder();
    assert_int_equal(run(folder, NULL, NULL, NULL), 0);
    struct text training[] = {read_text(folder, "base.txt"), read_text(folder, "tune.jsonl")};
    assert_true(training[0].size >= 3000000);
    unsigned char *known = od_alloc(NAMES, 1);
    assert_non_null(known);
    size_t marked = 0;
    mark_names(&training[0], known);
    mark_names(&training[1], known);
    for (size_t i = 0; i < NAMES; i++) {
        marked += known[i];
    }
    assert_true(marked >= 160);  // the animals that are not held out
    check_choice_file(folder, "data/mmlu/data/test/colours_test.csv", known);
    check_choice_file(folder, "data/mmlu/data/test/homes_test.csv", known);
    check_choice_file(folder, "data/mmlu/data/test/foods_test.csv", known);
    od_free(known);
    check_word_file(folder, training);
    od_free(training[0].bytes);
    od_free(training[1].bytes);
}

static void wrong_usage(void **state)
{
    (void)state;
    const char *folder = test_folder();
    assert_int_equal(run("--seed", NULL, NULL, NULL), 2);
    assert_int_equal(run(folder, "--seed", "x", NULL), 2);
    assert_int_equal(run(folder, "--nothing", NULL, NULL), 2);
    assert_int_equal(run(folder, "--mix", "0,0", NULL), 2);
    assert_int_equal(run(folder, "--no-base", "--test-rows", "241"), 2);
    assert_int_not_equal(run("/proc/toyworld", "--no-base", NULL, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_bytes),
        cmocka_unit_test(another_seed),
        cmocka_unit_test(evaluation_is_apart_and_right),
        cmocka_unit_test(wrong_usage),
    };
    return cmocka_run_group_tests_name("flow/toyworld", tests, NULL, NULL);
}
