// Goal: an evaluation that was killed or lost its server goes on, asks only what is missing, and ends
// with the files of one that was never interrupted; torn and foreign answers are never used.
// Method: the stand-in model; deaths at every file operation; kill -9 of the program at random
// moments; damaged files of answers; faults of writes.

#include <curl/curl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/random.h"
#include "base/status.h"
#include "eval/answers.h"
#include "eval/evaluation.h"
#include "eval/runner.h"
#include "infer/responder.h"
#include "stand_in.h"
#include "support.h"
#include "test_server.h"

static const char *const descriptions[] = {"gsm:max_eval_instances=7",
                                           "mmlu:subject=made_up,max_eval_instances=9",
                                           "gsm:max_train_instances=0,max_eval_instances=5"};
enum { DESCRIPTIONS = 3, REQUESTS = 7 + 9 + 5 };

static const struct od_evaluation evaluation = {.descriptions = descriptions,
                                                .description_count = DESCRIPTIONS};

static void no_wait(void *context, double seconds)
{
    (void)context;
    (void)seconds;
}

static const char *data_folder(void)
{
    static char data[OD_PATH_MAX_BYTES];
    (void)snprintf(data, sizeof data, "%s", test_source("tests/golden/oracle/helm/data"));
    return data;
}

static struct od_eval_config config_of(struct stand_in *model, const char *output, int threads)
{
    struct od_eval_config config = OD_EVAL_CONFIG_INIT;
    config.responder = &model->interface;
    config.data = data_folder();
    config.output = output;
    config.suite = "s";
    config.threads = threads;
    config.wait = no_wait;
    return config;
}

// Evaluate; gives how many runs failed.
static size_t evaluate(struct stand_in *model, const char *output, int threads)
{
    struct od_error err = {0};
    struct od_evaluation_report report = {0};
    const struct od_eval_config config = config_of(model, output, threads);
    assert_ok(od_evaluate(&config, &evaluation, &report, &err), &err);
    const size_t failed = report.missing.failed_count;
    od_evaluation_report_release(&report);
    return failed;
}

static bool has_answers(const char *output)
{
    char path[OD_PATH_MAX_BYTES];
    (void)snprintf(path, sizeof path, "%s/runs/s/%s", output, OD_ANSWERS_FILE);
    return od_path_exists(path);
}

static void assert_same_folder(const char *a, const char *b)
{
    struct od_error err = {0};
    char **names[2] = {NULL, NULL};
    size_t counts[2] = {0, 0};
    assert_ok(od_dir_list(a, &names[0], &counts[0], &err), &err);
    assert_ok(od_dir_list(b, &names[1], &counts[1], &err), &err);
    assert_int_equal(counts[0], counts[1]);
    for (size_t i = 0; i < counts[0]; i++) {
        char paths[2][OD_PATH_MAX_BYTES];
        char *texts[2] = {NULL, NULL};
        size_t sizes[2] = {0, 0};
        assert_string_equal(names[0][i], names[1][i]);
        assert_ok(od_path_join(paths[0], a, names[0][i], &err), &err);
        assert_ok(od_path_join(paths[1], b, names[1][i], &err), &err);
        if (od_path_is_dir(paths[0])) {
            assert_same_folder(paths[0], paths[1]);
            continue;
        }
        for (int k = 0; k < 2; k++) {
            assert_ok(od_file_read(paths[k], 1 << 24, &texts[k], &sizes[k], &err), &err);
        }
        if (sizes[0] != sizes[1] || memcmp(texts[0], texts[1], sizes[0]) != 0) {
            fail_msg("'%s' and '%s' differ", paths[0], paths[1]);
        }
        od_free(texts[0]);
        od_free(texts[1]);
    }
    od_names_free(names[0], counts[0]);
    od_names_free(names[1], counts[1]);
}

static void assert_same_suite(const char *a, const char *b)
{
    char paths[2][OD_PATH_MAX_BYTES];
    (void)snprintf(paths[0], sizeof paths[0], "%s/runs/s", a);
    (void)snprintf(paths[1], sizeof paths[1], "%s/runs/s", b);
    assert_same_folder(paths[0], paths[1]);
}

// What an evaluation without interruption writes. @memory One folder for all tests.
static const char *whole(unsigned char salt)
{
    static char folders[2][OD_PATH_MAX_BYTES];
    char *folder = folders[salt > 0];
    if (folder[0] == '\0') {
        struct stand_in model;
        stand_in_init(&model);
        model.salt = salt;
        (void)snprintf(folder, OD_PATH_MAX_BYTES, "%s", test_folder());
        assert_int_equal(evaluate(&model, folder, 1), 0);
        assert_int_equal(model.process_calls, REQUESTS);
        assert_false(has_answers(folder));
    }
    return folder;
}

// ------------------------------------------------------------------ deaths

// Evaluate in a process that dies at its n-th file operation. True when it did not come to that.
static bool evaluate_and_die(const char *output, uint64_t n)
{
    int status = 0;
    const pid_t child = fork();
    if (child == 0) {
        struct stand_in model;
        struct od_error err = {0};
        struct od_evaluation_report report = {0};
        stand_in_init(&model);
        const struct od_eval_config config = config_of(&model, output, 3);
        od_file_kill_at(n);
        _exit(od_evaluate(&config, &evaluation, &report, &err) == OD_OK ? 0 : 1);
    }
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) || (WIFEXITED(status) && WEXITSTATUS(status) == 0));
    return WIFEXITED(status);
}

static void test_every_death(void **state)
{
    (void)state;
    char output[OD_PATH_MAX_BYTES];
    const char *expected = whole(0);
    bool survived = false;
    int least = REQUESTS;
    for (uint64_t n = 1; !survived; n += 1 + n / 5) {
        struct stand_in model;
        assert_true(n < 2000);
        (void)snprintf(output, sizeof output, "%s", test_folder());
        survived = evaluate_and_die(output, n);
        stand_in_init(&model);
        assert_int_equal(evaluate(&model, output, 2), 0);
        assert_same_suite(expected, output);
        assert_true(model.process_calls <= REQUESTS + 1);
        least = !survived && model.process_calls < least ? model.process_calls : least;
    }
    assert_int_equal(least, 1);  // all answers were there: the one that is asked once more
}

// Dies twice: what the first two have answered is all found by the third.
static void test_two_deaths(void **state)
{
    (void)state;
    struct stand_in model;
    char output[OD_PATH_MAX_BYTES];
    (void)snprintf(output, sizeof output, "%s", test_folder());
    assert_false(evaluate_and_die(output, 10));
    assert_false(evaluate_and_die(output, 12));
    stand_in_init(&model);
    assert_int_equal(evaluate(&model, output, 1), 0);
    assert_true(model.process_calls < REQUESTS - 10);
    assert_same_suite(whole(0), output);
}

static pid_t start_program(const char *url, const char *output)
{
    const pid_t child = fork();
    if (child == 0) {
        if (!freopen("/dev/null", "w", stdout) || !freopen("/dev/null", "w", stderr)) {
            _exit(126);
        }
        (void)execl(test_binary(), "oneday", "eval", url, "--data", data_folder(), "-o", output,
                    "--suite", "s", "-q", "-n", "2", "--run-spec",
                    "gsm:max_eval_instances=7 mmlu:subject=made_up,max_eval_instances=9 "
                    "gsm:max_train_instances=0,max_eval_instances=5",
                    (char *)NULL);
        _exit(127);
    }
    assert_true(child > 0);
    return child;
}

// Kill the program once the server has given `calls` answers, or let it end.
static int kill_after(pid_t child, const struct stand_in *model, int calls)
{
    const struct timespec moment = {.tv_nsec = 100000};
    int status = 0;
    while (waitpid(child, &status, WNOHANG) == 0) {
        if (model->process_calls >= calls) {
            (void)kill(child, SIGKILL);
            assert_int_equal(waitpid(child, &status, 0), child);
            break;
        }
        (void)nanosleep(&moment, NULL);
    }
    return status;
}

static void test_kill_program(void **state)
{
    (void)state;
    const uint64_t seed = test_seed();
    struct stand_in model;
    struct test_server server;
    char output[OD_PATH_MAX_BYTES];
    stand_in_init(&model);
    test_server_start(&server, &model);
    for (uint32_t round = 0; round < 4; round++) {
        (void)snprintf(output, sizeof output, "%s", test_folder());
        const int calls = 1 + (int)(od_philox_draw(seed, 0, round, 0).word[0] % (unsigned)REQUESTS);
        model.process_calls = 0;
        const int status = kill_after(start_program(server.url, output), &model, calls);
        const int asked = model.process_calls;
        const int ended = kill_after(start_program(server.url, output), &model, 1 << 20);
        assert_true(WIFEXITED(ended) && WEXITSTATUS(ended) == 0);
        assert_same_suite(whole(0), output);
        // At most the two answers on the way are lost, and one is asked once more.
        if (WIFSIGNALED(status) && model.process_calls > REQUESTS + 3) {
            fail_msg("%d of %d requests before the kill, %d in all", asked, REQUESTS,
                     model.process_calls);
        }
    }
    test_server_stop(&server);
}

// ------------------------------------------------------------------ servers

static void test_lost_server(void **state)
{
    (void)state;
    struct stand_in model;
    char output[OD_PATH_MAX_BYTES];
    (void)snprintf(output, sizeof output, "%s", test_folder());
    stand_in_init(&model);
    model.fail_process = OD_EVAL_ATTEMPTS;  // of the first request: its run is lost
    model.fail_status = OD_E_IO;
    assert_int_equal(evaluate(&model, output, 1), 1);
    assert_true(has_answers(output));
    model.process_calls = 0;
    assert_int_equal(evaluate(&model, output, 1), 0);
    assert_int_equal(model.process_calls, 7 + 1);
    assert_same_suite(whole(0), output);
}

// The server has another model when the evaluation goes on: nothing of the first one is left.
static void test_other_model(void **state)
{
    (void)state;
    struct stand_in model;
    char output[OD_PATH_MAX_BYTES];
    (void)snprintf(output, sizeof output, "%s", test_folder());
    for (int named = 0; named < 2; named++) {
        assert_false(evaluate_and_die(output, 20));
        stand_in_init(&model);
        model.salt = 77;
        if (named) {
            model.interface.model_name = "another";
        }
        assert_int_equal(evaluate(&model, output, 3), 0);
        assert_int_equal(model.process_calls, named ? REQUESTS : REQUESTS + 1);
        assert_same_suite(whole(77), output);
    }
}

// ------------------------------------------------------------------ the file

static void fill(struct od_process_result *result, const char *text, double logprob)
{
    od_process_result_init(result);
    result->text = od_arena_strdup(&result->arena, text);
    result->text_size = strlen(text);
    result->logprob = logprob;
    result->request_time_s = 0.1 + logprob;
    result->tokens = od_arena_alloc(&result->arena, 1, sizeof *result->tokens);
    result->tokens[0].text = od_arena_strdup(&result->arena, "caf\xC3\xA9 \"\n");
    result->tokens[0].logprob = logprob / 3.0;
    result->tokens[0].top = od_arena_alloc(&result->arena, 2, sizeof *result->tokens[0].top);
    result->tokens[0].top[0] = (struct od_top_logprob){"a", -0.0};
    result->tokens[0].top[1] = (struct od_top_logprob){"", 5e-324};
    result->tokens[0].top_count = 2;
    result->token_count = 1;
}

// A responder that gives the answer number `max_new_tokens`.
static enum od_status numbered(void *context, const struct od_process_request *request,
                               struct od_process_result *result, struct od_error *err)
{
    char text[32];
    (void)context;
    (void)err;
    (void)snprintf(text, sizeof text, "text %d", (int)request->max_new_tokens);
    fill(result, text, -(double)request->max_new_tokens / 7.0);
    return OD_OK;
}

static const struct od_responder numbers = {.process = numbered, .model_name = "numbers"};

static struct od_process_request request_of(int number)
{
    struct od_process_request request = OD_PROCESS_REQUEST_INIT;
    request.prompt = "p";
    request.prompt_size = 1;
    request.max_new_tokens = number;
    return request;
}

static struct od_answers *open_answers(const char *path, const char *model)
{
    struct od_answers *answers = NULL;
    struct od_error err = {0};
    assert_ok(od_answers_open(path, model, &answers, &err), &err);
    return answers;
}

static void keep_numbers(struct od_answers *answers, int first, int last)
{
    struct od_error err = {0};
    for (int i = first; i < last; i++) {
        const struct od_answer_place place = {"run", (size_t)i};
        const struct od_process_request request = request_of(i);
        struct od_process_result result;
        assert_int_equal(numbered(NULL, &request, &result, NULL), OD_OK);
        assert_ok(od_answers_keep(answers, &place, &request, &result, &err), &err);
        od_process_result_release(&result);
    }
}

// How many of the first `count` numbers are found, each as it was kept, to the bit.
static int count_numbers(struct od_answers *answers, int count)
{
    int found_count = 0;
    for (int i = 0; i < count; i++) {
        const struct od_answer_place place = {"run", (size_t)i};
        const struct od_process_request request = request_of(i);
        struct od_process_result result;
        struct od_process_result expected;
        struct od_error err = {0};
        bool found = false;
        od_process_result_init(&result);
        assert_int_equal(numbered(NULL, &request, &expected, NULL), OD_OK);
        assert_ok(od_answers_find(answers, &numbers, &place, &request, &result, &found, &err),
                  &err);
        if (found) {
            const struct od_token_result *token = &result.tokens[0];
            found_count++;
            assert_string_equal(result.text, expected.text);
            assert_memory_equal(&result.logprob, &expected.logprob, sizeof(double));
            assert_memory_equal(&result.request_time_s, &expected.request_time_s, sizeof(double));
            assert_int_equal(result.token_count, 1);
            assert_string_equal(token->text, expected.tokens[0].text);
            assert_memory_equal(&token->logprob, &expected.tokens[0].logprob, sizeof(double));
            assert_int_equal(token->top_count, 2);
            assert_memory_equal(&token->top[0].logprob, &expected.tokens[0].top[0].logprob,
                                sizeof(double));
            assert_memory_equal(&token->top[1].logprob, &expected.tokens[0].top[1].logprob,
                                sizeof(double));
        }
        od_process_result_release(&expected);
        od_process_result_release(&result);
    }
    return found_count;
}

static void test_kept_to_the_bit(void **state)
{
    (void)state;
    char path[OD_PATH_MAX_BYTES];
    struct od_answers *other = NULL;
    struct od_error err = {0};
    (void)snprintf(path, sizeof path, "%s/a.log", test_folder());
    struct od_answers *answers = open_answers(path, "numbers");
    keep_numbers(answers, 0, 5);
    assert_int_equal(count_numbers(answers, 5), 0);  // of this process: nobody asks twice
    assert_int_equal(od_answers_open(path, "numbers", &other, &err), OD_E_REFUSED);
    assert_non_null(strstr(err.message, "under way"));
    od_answers_close(answers);
    answers = open_answers(path, "numbers");
    assert_int_equal(od_answers_kept(answers), 5);
    assert_int_equal(count_numbers(answers, 7), 5);
    assert_int_equal(od_answers_found(answers), 5);
    assert_ok(od_answers_finish(answers, &err), &err);
    assert_false(od_path_exists(path));
}

static void test_other_request(void **state)
{
    (void)state;
    char path[OD_PATH_MAX_BYTES];
    struct od_error err = {0};
    static const char *const stop[] = {"x"};
    const struct od_answer_place place = {"run", 1};
    const struct od_answer_place elsewhere = {"run", 2};
    const struct od_answer_place later = {"later", 1};
    struct od_process_request changed[5];
    (void)snprintf(path, sizeof path, "%s/a.log", test_folder());
    struct od_answers *answers = open_answers(path, "numbers");
    keep_numbers(answers, 1, 2);
    od_answers_close(answers);
    answers = open_answers(path, "numbers");
    for (size_t i = 0; i < 5; i++) {
        changed[i] = request_of(1);
    }
    changed[0].prompt = "q";
    changed[1].temperature = 0.5;
    changed[2].stop = stop;
    changed[2].stop_count = 1;
    changed[3].top_logprobs = 2;
    changed[4].max_new_tokens = 3;
    for (size_t i = 0; i < 7; i++) {
        const struct od_process_request same = request_of(1);
        struct od_process_result result;
        bool found = true;
        od_process_result_init(&result);
        assert_ok(od_answers_find(answers, &numbers,
                                  i == 5   ? &elsewhere
                                  : i == 6 ? &later
                                           : &place,
                                  i < 5 ? &changed[i] : &same, &result, &found, &err),
                  &err);
        assert_false(found);
        od_process_result_release(&result);
    }
    assert_int_equal(count_numbers(answers, 2), 1);
    od_answers_close(answers);
}

// Cut at every byte, and every byte changed: whole lines stay, others are passed over, and what is
// appended behind them is found.
static void test_damage(void **state)
{
    (void)state;
    char path[OD_PATH_MAX_BYTES];
    struct od_error err = {0};
    char *bytes = NULL;
    size_t size = 0;
    (void)snprintf(path, sizeof path, "%s/a.log", test_folder());
    struct od_answers *answers = open_answers(path, "numbers");
    keep_numbers(answers, 0, 3);
    od_answers_close(answers);
    assert_ok(od_file_read(path, 1 << 20, &bytes, &size, &err), &err);
    for (size_t at = 0; at <= size; at += 11) {
        int lines = -1;  // without the first, which says what the file is
        for (size_t i = 0; i < at; i++) {
            lines += bytes[i] == '\n';
        }
        assert_ok(od_file_write(path, bytes, at, &err), &err);
        answers = open_answers(path, "numbers");
        assert_int_equal(count_numbers(answers, 3), lines < 0 ? 0 : lines);
        keep_numbers(answers, 3, 4);
        od_answers_close(answers);
        answers = open_answers(path, "numbers");
        assert_int_equal(count_numbers(answers, 4), lines < 0 ? 1 : lines + 1);
        od_answers_close(answers);
    }
    for (size_t at = 0; at < size; at += 13) {
        const size_t header = (size_t)(strchr(bytes, '\n') - bytes) + 1;
        bytes[at] ^= 1;
        assert_ok(od_file_write(path, bytes, size, &err), &err);
        answers = open_answers(path, "numbers");
        const int found = count_numbers(answers, 3);
        if (at < header ? found != 0 : found != 2 && found != 1) {
            fail_msg("byte %zu changed: %d answers found", at, found);
        }
        od_answers_close(answers);
        bytes[at] ^= 1;
    }
    od_free(bytes);
}

// An answer that the disk does not take ends its run; what the disk has is found later.
static void test_full_disk(void **state)
{
    (void)state;
    struct stand_in model;
    char output[OD_PATH_MAX_BYTES];
    bool good = false;
    for (uint64_t n = 1; !good; n += 1 + n / 5) {
        struct od_error err = {0};
        struct od_evaluation_report report = {0};
        assert_true(n < 2000);
        (void)snprintf(output, sizeof output, "%s", test_folder());
        stand_in_init(&model);
        const struct od_eval_config config = config_of(&model, output, 1);
        od_file_fail_at(n);
        const enum od_status status = od_evaluate(&config, &evaluation, &report, &err);
        good = status == OD_OK && report.missing.failed_count == 0;
        od_file_fail_at(0);
        assert_true(good || status != OD_OK || report.first_failure == OD_E_IO);
        assert_true(model.process_calls <= REQUESTS);  // none is asked again because of a disk
        od_evaluation_report_release(&report);
        assert_int_equal(evaluate(&model, output, 1), 0);
        assert_same_suite(whole(0), output);
    }
}

static void test_no_memory(void **state)
{
    (void)state;
    enum od_status status = OD_E_MEMORY;
    char path[OD_PATH_MAX_BYTES];
    (void)snprintf(path, sizeof path, "%s/a.log", test_folder());
    struct od_answers *answers = open_answers(path, "numbers");
    keep_numbers(answers, 0, 3);
    od_answers_close(answers);
    for (uint64_t n = 1; status != OD_OK; n++) {
        struct od_error err = {0};
        answers = NULL;
        assert_true(n < 200);
        od_alloc_fail_at(n);
        status = od_answers_open(path, "numbers", &answers, &err);
        od_alloc_fail_at(0);
        assert_true(status == OD_OK || (status == OD_E_MEMORY && err.message[0] != '\0'));
        assert_true(status == OD_OK || !answers);
        if (status == OD_OK) {
            assert_int_equal(count_numbers(answers, 3), 3);
        }
        od_answers_close(answers);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kept_to_the_bit), cmocka_unit_test(test_other_request),
        cmocka_unit_test(test_damage),          cmocka_unit_test(test_full_disk),
        cmocka_unit_test(test_no_memory),       cmocka_unit_test(test_every_death),
        cmocka_unit_test(test_two_deaths),      cmocka_unit_test(test_kill_program),
        cmocka_unit_test(test_lost_server),     cmocka_unit_test(test_other_model),
    };
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        return 1;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
