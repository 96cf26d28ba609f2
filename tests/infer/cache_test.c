// Goal: no number of an answer depends on what shares a pass, on how prompts are cut, on what the cache
// remembers or had to forget; prompts that begin alike are computed once; room that is used up makes
// requests wait, not fail.
// Method: the model that ships with the source. A reference engine computes every prompt alone and
// whole; others, with small pages of work and little cache, must give the same bits to many callers.

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "infer/engine.h"
#include "infer/engine_internal.h"
#include "infer/responder.h"
#include "support.h"

enum { PROMPTS = 12, CALLERS = 4, TEXT_BYTES = 1 << 16, PREFIX_BYTES = 420 };

static const char shots[] =
    "Question: Where does the baker live?\nAnswer: in the village\n\n"
    "Question: What does the farmer grow?\nAnswer: corn and beans\n\n"
    "Question: Who owns the red house?\nAnswer: the doctor\n\n"
    "Question: When does the market open?\nAnswer: at seven\n\n"
    "Question: Which animal sleeps in the barn?\nAnswer: the old horse\n\n"
    "Question: How far is the sea?\nAnswer: two days on foot\n\n";

static char prompts[PROMPTS][TEXT_BYTES / 64];

static int setup(void **state)
{
    (void)state;
    for (int i = 0; i < PROMPTS; i++) {
        const int used = snprintf(prompts[i], sizeof prompts[i], "%.*s",
                                  i % 3 == 2 ? i * 7 : PREFIX_BYTES, shots);
        (void)snprintf(prompts[i] + used, sizeof prompts[i] - (size_t)used,
                       "Question: Is it %s?\nAnswer:",
                       i % 2 == 0 ? "cold in winter" : "cold in the winter of the year");
    }
    return 0;
}

static struct od_engine *open_engine(const struct od_engine_options *options)
{
    struct od_engine *engine = NULL;
    struct od_error err = {0};
    assert_ok(od_engine_open(test_source("examples/toyworld/base"), options, &engine, &err), &err);
    return engine;
}

static struct od_process_request request_of(const char *prompt, int index)
{
    struct od_process_request request = OD_PROCESS_REQUEST_INIT;
    request.prompt = prompt;
    request.prompt_size = strlen(prompt);
    request.max_new_tokens = 5 + index * 3;
    request.temperature = index % 2 == 0 ? 0.0 : 0.9;
    request.has_seed = true;
    request.seed = (uint64_t)index;
    request.echo_prompt = index % 4 == 1;
    request.top_logprobs = 1 + index % 3;
    return request;
}

// Every number and text of an answer, to the last bit.
static bool describe(const struct od_responder *responder, const struct od_process_request *request,
                     struct od_buf *out)
{
    struct od_process_result result;
    od_process_result_init(&result);
    const bool good = responder->process(responder->context, request, &result, NULL) == OD_OK;
    od_buf_printf(out, "%s|%d|%a|%lld|%lld\n", result.text, (int)result.finish, result.logprob,
                  (long long)result.prompt_tokens, (long long)result.answer_tokens);
    for (size_t i = 0; i < result.token_count; i++) {
        const struct od_token_result *token = &result.tokens[i];
        od_buf_printf(out, "%d %a", token->id, token->logprob);
        for (size_t t = 0; t < token->top_count; t++) {
            od_buf_printf(out, " %s=%a", token->top[t].text, token->top[t].logprob);
        }
        od_buf_putc(out, '\n');
    }
    od_process_result_release(&result);
    return good && !out->failed;
}

struct caller {
    pthread_t thread;
    const struct od_responder *responder;
    int first;
    struct od_buf answer[PROMPTS];
    bool failed;
};

static void *ask_all(void *argument)
{
    struct caller *caller = argument;
    for (int i = 0; i < PROMPTS; i++) {
        const int at = (caller->first + i) % PROMPTS;
        const struct od_process_request request = request_of(prompts[at], at);
        od_buf_init(&caller->answer[at], TEXT_BYTES * 4);
        caller->failed =
            !describe(caller->responder, &request, &caller->answer[at]) || caller->failed;
    }
    return NULL;
}

static void release_caller(struct caller *caller)
{
    for (int i = 0; i < PROMPTS; i++) {
        od_buf_release(&caller->answer[i]);
    }
}

// Many callers at once; every answer must be the one in `alone`.
static void many_callers(const struct od_engine_options *options, const struct caller *alone,
                         struct od_engine_counts *ret_counts)
{
    static struct caller callers[CALLERS];
    struct od_engine *engine = open_engine(options);
    for (int i = 0; i < CALLERS; i++) {
        callers[i] = (struct caller){.responder = od_engine_responder(engine), .first = i / 2 * 5};
        assert_int_equal(pthread_create(&callers[i].thread, NULL, ask_all, &callers[i]), 0);
    }
    for (int i = 0; i < CALLERS; i++) {
        assert_int_equal(pthread_join(callers[i].thread, NULL), 0);
        assert_false(callers[i].failed);
        for (int p = 0; p < PROMPTS; p++) {
            assert_string_equal(od_buf_text(&callers[i].answer[p]), od_buf_text(&alone->answer[p]));
        }
        release_caller(&callers[i]);
    }
    *ret_counts = od_engine_counts(engine);
    assert_int_equal(ret_counts->running, 0);
    assert_int_equal(ret_counts->pages_free + ret_counts->pages_idle, ret_counts->pages);
    od_engine_close(engine);
}

static void answers_depend_on_nothing(void **state)
{
    (void)state;
    static struct caller alone;
    struct od_engine_counts counts;
    struct od_engine_options options = {.threads = 1,
                                        .slots = 1,
                                        .context = 512,
                                        .pass_tokens = 512,
                                        .no_prefix_reuse = true,
                                        .no_vector = true};
    struct od_engine *engine = open_engine(&options);
    alone = (struct caller){.responder = od_engine_responder(engine)};
    (void)ask_all(&alone);
    assert_false(alone.failed);
    assert_int_equal(od_engine_counts(engine).reused_tokens, 0);
    od_engine_close(engine);

    // Prompts in pieces of a few rows, everything remembered.
    options = (struct od_engine_options){
        .threads = 2, .slots = 5, .context = 512, .pass_tokens = 7, .cache_tokens = 1 << 14};
    many_callers(&options, &alone, &counts);
    assert_true(counts.reused_tokens > 3 * counts.rows);
    // Room for one context: most is forgotten, requests wait for each other.
    options = (struct od_engine_options){
        .threads = 1, .slots = 6, .context = 512, .pass_tokens = 61, .cache_tokens = 512};
    many_callers(&options, &alone, &counts);
    assert_true(counts.pages_evicted > 0);
    // Nothing remembered.
    options = (struct od_engine_options){
        .threads = 2, .slots = 6, .context = 512, .pass_tokens = 33, .no_prefix_reuse = true};
    many_callers(&options, &alone, &counts);
    assert_int_equal(counts.reused_tokens, 0);
    release_caller(&alone);
}

// The same prompt again, echoed: not one row is computed, and the numbers are the same.
static void echo_of_what_is_remembered(void **state)
{
    (void)state;
    const struct od_engine_options options = {.threads = 1, .context = 512};
    struct od_engine *engine = open_engine(&options);
    struct od_process_request request = request_of(shots, 1);
    struct od_buf first;
    struct od_buf second;
    od_buf_init(&first, TEXT_BYTES * 4);
    od_buf_init(&second, TEXT_BYTES * 4);
    request.max_new_tokens = 0;
    assert_true(describe(od_engine_responder(engine), &request, &first));
    const struct od_engine_counts before = od_engine_counts(engine);
    assert_true(describe(od_engine_responder(engine), &request, &second));
    const struct od_engine_counts after = od_engine_counts(engine);
    assert_string_equal(od_buf_text(&first), od_buf_text(&second));
    assert_int_equal(after.rows, before.rows);
    assert_int_equal(after.reused_tokens - before.reused_tokens, before.rows);
    od_buf_release(&first);
    od_buf_release(&second);
    od_engine_close(engine);
}

static void *ask_first(void *argument)
{
    struct caller *caller = argument;
    const struct od_process_request request = request_of(prompts[0], 0);
    od_buf_init(&caller->answer[0], TEXT_BYTES * 4);
    caller->failed = !describe(caller->responder, &request, &caller->answer[0]);
    return NULL;
}

// Many at the same time with one prompt, which is computed once.
static void alike_at_the_same_time(void **state)
{
    (void)state;
    static struct caller callers[CALLERS];
    const struct od_engine_options options = {.threads = 1, .context = 512, .pass_tokens = 32};
    struct od_engine *engine = open_engine(&options);
    for (int i = 0; i < CALLERS; i++) {
        callers[i] = (struct caller){.responder = od_engine_responder(engine)};
        assert_int_equal(pthread_create(&callers[i].thread, NULL, ask_first, &callers[i]), 0);
    }
    int64_t prompt_tokens = 0;
    for (int i = 0; i < CALLERS; i++) {
        assert_int_equal(pthread_join(callers[i].thread, NULL), 0);
        assert_false(callers[i].failed);
        assert_string_equal(od_buf_text(&callers[i].answer[0]), od_buf_text(&callers[0].answer[0]));
        const char *numbers = strstr(od_buf_text(&callers[i].answer[0]), "|");
        assert_non_null(numbers);
        assert_int_equal(sscanf(numbers, "|%*d|%*a|%lld", (long long *)&prompt_tokens), 1);
    }
    const struct od_engine_counts counts = od_engine_counts(engine);
    // The prompt once; of each sequence at most a rest of a page, and its answer.
    assert_true(prompt_tokens > 100);
    assert_true(counts.rows <= prompt_tokens + CALLERS * (16 + 5));
    for (int i = 0; i < CALLERS; i++) {
        od_buf_release(&callers[i].answer[0]);
    }
    od_engine_close(engine);
}

struct waiter {
    pthread_t thread;
    struct od_engine *engine;
    atomic_bool cancel;
    enum od_status status;
};

static void *ask_long(void *argument)
{
    struct waiter *waiter = argument;
    const struct od_responder *responder = od_engine_responder(waiter->engine);
    struct od_process_request request = request_of("Question:", 0);
    struct od_process_result result;
    od_process_result_init(&result);
    request.max_new_tokens = OD_NEW_TOKENS_MAX;  // all of the context
    request.temperature = 1.0;
    request.cancel = &waiter->cancel;
    waiter->status = responder->process(responder->context, &request, &result, NULL);
    od_process_result_release(&result);
    return NULL;
}

// Requests that nobody waits for any more end, whether they run or wait; others go on.
static void given_up(void **state)
{
    (void)state;
    static struct waiter waiters[3];
    const struct od_engine_options options = {
        .threads = 1, .slots = 3, .context = 512, .cache_tokens = 512};
    struct od_engine *engine = open_engine(&options);
    for (int i = 0; i < 3; i++) {
        waiters[i].engine = engine;
        atomic_store(&waiters[i].cancel, i != 0);
        assert_int_equal(pthread_create(&waiters[i].thread, NULL, ask_long, &waiters[i]), 0);
    }
    for (int i = 2; i >= 0; i--) {
        assert_int_equal(pthread_join(waiters[i].thread, NULL), 0);
        assert_int_equal(waiters[i].status, i == 0 ? OD_OK : OD_E_CANCELLED);
    }
    const struct od_engine_counts counts = od_engine_counts(engine);
    assert_int_equal(counts.pages_free + counts.pages_idle, counts.pages);
    od_engine_close(engine);
}

// What is not passed on yet: what may begin a stop string, and characters that are not complete.
static void held_back(void **state)
{
    (void)state;
    static const char *const STOPS[] = {"END", "\n\n", "\xe2\x82\xac!"};
    static const struct {
        const char *text;
        size_t held;
    } CASES[] = {
        {"", 0},
        {"abc", 0},
        {"E", 1},
        {"abcE", 1},
        {"abcEN", 2},
        {"EEN", 2},
        {"ENE", 1},
        {"a\n", 1},
        {"a\nE", 1},
        {"\xe2", 1},  // the beginning of a stop string, and of any euro
        {"x\xe2\x82", 2},
        {"x\xe2\x82\xac", 3},  // a whole euro, with which a stop string begins
        {"x\xe2\x82\xad", 0},
        {"x\xc3", 1},
        {"x\xc3\xa9", 0},
        {"x\xf0\x9f\x99", 3},
        {"x\xf0\x9f\x99\x82", 0},
        {"x\x82\x82\x82\x82", 0},  // no character at all
        {"\xc3"
         "E",
         2},  // held for two reasons
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        const size_t held = od_answer_held_back(CASES[i].text, strlen(CASES[i].text), STOPS, 3);
        if (held != CASES[i].held) {
            fail_msg("case %zu: %zu instead of %zu", i, held, CASES[i].held);
        }
    }
}

/** Pieces put together. */
struct taken {
    struct od_buf text;
    struct od_buf tokens;
    int pieces;
    int prompts;  ///< pieces that are one; only the first may be
};

static void take_piece(void *context, const struct od_piece *piece)
{
    struct taken *taken = context;
    od_buf_append(&taken->text, piece->text, piece->size);
    for (size_t i = 0; i < piece->token_count; i++) {
        od_buf_printf(&taken->tokens, "%d %a %s|", piece->tokens[i].id, piece->tokens[i].logprob,
                      piece->tokens[i].text);
    }
    assert_true(!piece->is_prompt || taken->pieces == 0);
    taken->prompts += piece->is_prompt;
    taken->pieces++;
}

// The pieces of an answer are the answer, also where it is cut, where bytes make no characters, and with
// its prompt in front, which is one piece even when nothing follows it.
static void pieces_make_the_whole(void **state)
{
    (void)state;
    const struct od_engine_options options = {.threads = 1, .context = 512};
    struct od_engine *engine = open_engine(&options);
    const struct od_responder *responder = od_engine_responder(engine);
    const char *const stops[] = {"xyz", "e ", "in the wood", "\n"};
    int pieces = 0;
    int stopped = 0;
    for (int round = 0; round < 30; round++) {
        struct od_process_request request = request_of(prompts[round % PROMPTS], round);
        struct od_process_result result;
        struct taken taken = {.pieces = 0};
        struct od_buf tokens;
        request.max_new_tokens = round == 28 ? 0 : 40;
        request.temperature = 0.3 * (double)(round % 11);
        request.stop = stops;
        request.stop_count = (size_t)(round % 5);
        request.on_piece = take_piece;
        request.piece_context = &taken;
        request.echo_prompt = round % 7 == 0;
        od_buf_init(&taken.text, TEXT_BYTES);
        od_buf_init(&taken.tokens, TEXT_BYTES);
        od_buf_init(&tokens, TEXT_BYTES);
        od_process_result_init(&result);
        assert_ok(responder->process(responder->context, &request, &result, &(struct od_error){0}),
                  &(struct od_error){0});
        assert_string_equal(od_buf_text(&taken.text), result.text);
        assert_int_equal(taken.prompts, request.echo_prompt);
        for (size_t i = 0; i < result.token_count; i++) {
            od_buf_printf(&tokens, "%d %a %s|", result.tokens[i].id, result.tokens[i].logprob,
                          result.tokens[i].text);
        }
        assert_string_equal(od_buf_text(&taken.tokens), od_buf_text(&tokens));
        pieces += taken.pieces;
        stopped += result.finish == OD_FINISH_STOP;
        od_buf_release(&tokens);
        od_buf_release(&taken.text);
        od_buf_release(&taken.tokens);
        od_process_result_release(&result);
    }
    assert_true(pieces > 100 && stopped > 3);
    od_engine_close(engine);
}

// A prompt given as tokens is the prompt; samples of one seed differ, and each repeats.
static void tokens_and_samples(void **state)
{
    (void)state;
    const struct od_engine_options options = {.threads = 1, .context = 512};
    struct od_engine *engine = open_engine(&options);
    const struct od_responder *responder = od_engine_responder(engine);
    struct od_buf answer[5];
    struct od_error err = {0};
    struct od_ids ids;
    od_ids_init(&ids, TEXT_BYTES);
    assert_ok(responder->tokenize(responder->context, prompts[0], strlen(prompts[0]), false, 0,
                                  &ids, &err),
              &err);
    for (uint32_t i = 0; i < 5; i++) {
        struct od_process_request request = request_of(prompts[0], 1);
        request.echo_prompt = false;
        request.max_new_tokens = 30;
        request.temperature = 1.5;
        request.sample = i < 3 ? 0 : i;
        if (i == 1) {
            request.prompt_ids = ids.data;
            request.prompt_id_count = ids.count;
        }
        od_buf_init(&answer[i], TEXT_BYTES);
        assert_true(describe(responder, &request, &answer[i]));
    }
    assert_string_equal(od_buf_text(&answer[0]), od_buf_text(&answer[1]));
    assert_string_equal(od_buf_text(&answer[0]), od_buf_text(&answer[2]));
    assert_string_not_equal(od_buf_text(&answer[0]), od_buf_text(&answer[3]));
    assert_string_not_equal(od_buf_text(&answer[3]), od_buf_text(&answer[4]));
    const int32_t outside = 1 << 30;
    struct od_process_request request = request_of("", 0);
    struct od_process_result result;
    od_process_result_init(&result);
    request.prompt_ids = &outside;
    request.prompt_id_count = 1;
    assert_int_equal(responder->process(responder->context, &request, &result, &err),
                     OD_E_ARGUMENT);
    assert_non_null(strstr(err.message, "outside the vocabulary"));
    for (int i = 0; i < 5; i++) {
        od_buf_release(&answer[i]);
    }
    od_ids_release(&ids);
    od_engine_close(engine);
}

static void bad_sizes(void **state)
{
    (void)state;
    struct od_engine *engine = NULL;
    struct od_error err = {0};
    const struct od_engine_options options = {.context = 512, .cache_tokens = 500};
    assert_int_equal(od_engine_open(test_source("examples/toyworld/base"), &options, &engine, &err),
                     OD_E_ARGUMENT);
    assert_non_null(strstr(err.message, "a cache of 500 positions"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_depend_on_nothing),
        cmocka_unit_test(echo_of_what_is_remembered),
        cmocka_unit_test(alike_at_the_same_time),
        cmocka_unit_test(given_up),
        cmocka_unit_test(held_back),
        cmocka_unit_test(pieces_make_the_whole),
        cmocka_unit_test(tokens_and_samples),
        cmocka_unit_test(bad_sizes),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
