// Goal: the engine answers as the recorded model does, and one request's numbers never depend on its
// neighbours, on what is remembered, on threads or on AVX2.
// Method: stories260K through the responder interface; recorded greedy texts; many callers at once.

#include "infer/engine.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "formats/json.h"
#include "support.h"

static struct od_engine *open_engine(const struct od_engine_options *options)
{
    struct od_engine *engine = NULL;
    struct od_error err = {0};
    assert_ok(od_engine_open(test_shared("models/stories260K/hf"), options, &engine, &err), &err);
    return engine;
}

static struct od_process_request greedy(const char *prompt, int64_t max_new)
{
    struct od_process_request request = OD_PROCESS_REQUEST_INIT;
    request.prompt = prompt;
    request.prompt_size = strlen(prompt);
    request.temperature = 0.0;
    request.max_new_tokens = max_new;
    return request;
}

static void recorded_greedy(void **state)
{
    (void)state;
    const struct od_engine_options options = {.threads = 2};
    struct od_engine *engine = open_engine(&options);
    const struct od_responder *responder = od_engine_responder(engine);
    struct od_error err = {0};
    json_t *expected = NULL;
    size_t i;
    const json_t *one;
    assert_ok(od_json_read(test_shared("models/stories260K/expected.json"), &expected, &err), &err);
    json_array_foreach(json_object_get(expected, "cases"), i, one)
    {
        const json_t *ids = json_object_get(one, "greedy_ids");
        const char *text = json_string_value(json_object_get(one, "greedy_text"));
        const struct od_process_request request = greedy(
            json_string_value(json_object_get(one, "prompt")), (int64_t)json_array_size(ids));
        struct od_process_result result;
        od_process_result_init(&result);
        assert_ok(responder->process(responder->context, &request, &result, &err), &err);
        assert_int_equal(result.token_count, json_array_size(ids));
        for (size_t t = 0; t < result.token_count; t++) {
            assert_int_equal(result.tokens[t].id, json_integer_value(json_array_get(ids, t)));
        }
        const char *got = result.text[0] == ' ' ? result.text + 1 : result.text;
        assert_string_equal(got, text);
        assert_int_equal(result.finish, OD_FINISH_LENGTH);
        od_process_result_release(&result);
    }
    assert_true(i >= 6);
    assert_int_equal(od_engine_counts(engine).pass_allocations, 0);
    assert_true(od_engine_counts(engine).reused_tokens > 0);
    json_decref(expected);
    od_engine_close(engine);
}

// One caller: asks every prompt in an order of its own and keeps sums of bits.
struct caller {
    pthread_t thread;
    const struct od_responder *responder;
    int first;
    double logprob[8];
    char text[8][512];
    bool failed;
};

static const char *const prompts[8] = {
    "Once upon a time",
    "Once upon a time, there was a cat",
    "The little dog",
    "Once upon a time, there was a boy",
    "Tom and Lily went to the park.",
    "The little dog ran",
    "One day, a big",
    "Once upon",
};

static void *call_all(void *argument)
{
    struct caller *caller = argument;
    for (int i = 0; i < 8; i++) {
        const int at = (caller->first + i) % 8;
        const struct od_process_request request = greedy(prompts[at], 20 + at);
        struct od_process_result result;
        od_process_result_init(&result);
        if (caller->responder->process(caller->responder->context, &request, &result, NULL) !=
            OD_OK) {
            caller->failed = true;
        } else {
            caller->logprob[at] = result.logprob;
            (void)snprintf(caller->text[at], sizeof caller->text[at], "%s", result.text);
        }
        od_process_result_release(&result);
    }
    return NULL;
}

static void neighbours_change_nothing(void **state)
{
    (void)state;
    static struct caller alone;
    static struct caller callers[6];
    struct od_engine_options options = {
        .threads = 1, .slots = 1, .no_prefix_reuse = true, .no_vector = true};
    struct od_engine *engine = open_engine(&options);
    alone = (struct caller){.responder = od_engine_responder(engine)};
    (void)call_all(&alone);
    assert_false(alone.failed);
    assert_int_equal(od_engine_counts(engine).reused_tokens, 0);
    od_engine_close(engine);

    options = (struct od_engine_options){.threads = 3, .slots = 4, .pass_tokens = 7};
    engine = open_engine(&options);
    for (int i = 0; i < 6; i++) {
        callers[i] = (struct caller){.responder = od_engine_responder(engine), .first = i};
        assert_int_equal(pthread_create(&callers[i].thread, NULL, call_all, &callers[i]), 0);
    }
    for (int i = 0; i < 6; i++) {
        assert_int_equal(pthread_join(callers[i].thread, NULL), 0);
        assert_false(callers[i].failed);
        for (int p = 0; p < 8; p++) {
            assert_string_equal(callers[i].text[p], alone.text[p]);
            assert_memory_equal(&callers[i].logprob[p], &alone.logprob[p], sizeof(double));
        }
    }
    assert_true(od_engine_counts(engine).reused_tokens > 0);
    od_engine_close(engine);
}

static void stops_and_echo(void **state)
{
    (void)state;
    const struct od_engine_options options = {.threads = 1};
    struct od_engine *engine = open_engine(&options);
    const struct od_responder *responder = od_engine_responder(engine);
    struct od_error err = {0};
    struct od_process_result plain;
    struct od_process_result result;
    struct od_process_request request = greedy("Once upon a time", 40);

    od_process_result_init(&plain);
    assert_ok(responder->process(responder->context, &request, &plain, &err), &err);
    assert_non_null(strstr(plain.text, "Lily"));

    const char *const stops[] = {"never there", "girl named", "Lily"};
    request.stop = stops;
    request.stop_count = 3;
    od_process_result_init(&result);
    assert_ok(responder->process(responder->context, &request, &result, &err), &err);
    assert_int_equal(result.finish, OD_FINISH_STOP);
    assert_int_equal(result.text_size, (size_t)(strstr(plain.text, "girl named") - plain.text));
    assert_memory_equal(result.text, plain.text, result.text_size);
    size_t token_bytes = 0;
    double sum = 0.0;
    for (size_t i = 0; i < result.token_count; i++) {
        token_bytes += strlen(result.tokens[i].text);
        sum += result.tokens[i].logprob;
    }
    assert_int_equal(token_bytes, result.text_size);
    assert_true(fabs(sum - result.logprob) < 1e-12);
    od_process_result_release(&result);

    request.stop_count = 0;
    request.echo_prompt = true;
    request.top_logprobs = 3;
    od_process_result_init(&result);
    assert_ok(responder->process(responder->context, &request, &result, &err), &err);
    assert_int_equal(strncmp(result.text, request.prompt, request.prompt_size), 0);
    assert_string_equal(result.text + request.prompt_size, plain.text);
    assert_int_equal(result.token_count, plain.token_count + (size_t)result.prompt_tokens);
    assert_true(fabs(result.tokens[1].logprob - -0.243743) < 1e-4);  // as recorded
    assert_true(result.tokens[5].top_count == 3);
    const struct od_token_result *last = &result.tokens[result.token_count - 1];  // greedy
    assert_true(last->top[0].logprob == last->logprob);
    assert_true(fabs(result.logprob - plain.logprob) < 1e-12);
    od_process_result_release(&result);
    od_process_result_release(&plain);
    od_engine_close(engine);
}

static void seeds_repeat(void **state)
{
    (void)state;
    const struct od_engine_options options = {.threads = 1};
    struct od_engine *engine = open_engine(&options);
    const struct od_responder *responder = od_engine_responder(engine);
    struct od_error err = {0};
    char first[1024] = "";
    int different = 0;
    for (int i = 0; i < 6; i++) {
        struct od_process_request request = greedy("The little", 30);
        struct od_process_result result;
        request.temperature = 0.9;
        request.has_seed = true;
        request.seed = i < 2 ? 7 : (uint64_t)(100 + i);
        od_process_result_init(&result);
        assert_ok(responder->process(responder->context, &request, &result, &err), &err);
        if (i == 0) {
            (void)snprintf(first, sizeof first, "%s", result.text);
        } else if (i == 1) {
            assert_string_equal(result.text, first);
        } else {
            different += strcmp(result.text, first) != 0;
        }
        od_process_result_release(&result);
    }
    assert_true(different >= 3);
    od_engine_close(engine);
}

static void bad_requests(void **state)
{
    (void)state;
    const struct od_engine_options options = {.threads = 1, .context = 32};
    struct od_engine *engine = open_engine(&options);
    const struct od_responder *responder = od_engine_responder(engine);
    struct od_error err = {0};
    struct od_process_result result;
    struct od_process_request request = greedy(
        "a long prompt that has many many words and goes on and on until nothing of it can "
        "fit into the context of this little engine any more",
        4);
    od_process_result_init(&result);
    assert_int_equal(responder->process(responder->context, &request, &result, &err),
                     OD_E_ARGUMENT);
    assert_non_null(strstr(err.message, "does not fit the context of 32"));
    request = greedy("Hi", 1000);  // ends at the context instead
    assert_ok(responder->process(responder->context, &request, &result, &err), &err);
    assert_true(result.token_count <= 30);
    od_process_result_release(&result);
    request = greedy("Hi", -1);
    assert_int_equal(responder->process(responder->context, &request, &result, &err),
                     OD_E_ARGUMENT);
    od_engine_close(engine);

    const struct od_engine_options too_long = {.context = 100000};
    assert_int_equal(od_engine_open(test_shared("models/stories260K/hf"), &too_long, &engine, &err),
                     OD_E_ARGUMENT);
    assert_int_equal(od_engine_open("no/such/model", &options, &engine, &err), OD_E_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recorded_greedy), cmocka_unit_test(neighbours_change_nothing),
        cmocka_unit_test(stops_and_echo),  cmocka_unit_test(seeds_repeat),
        cmocka_unit_test(bad_requests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
