#include "flow/bench_prompts.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/random.h"
#include "base/status.h"
#include "eval/adapter.h"
#include "eval/instance.h"
#include "eval/run_spec.h"
#include "eval/sampling.h"
#include "eval/scenario.h"
#include "flow/bench_shapes.h"
#include "infer/engine.h"
#include "infer/responder.h"

enum { SHOTS = 5, WORDS_MIN = 12, WORDS_MORE = 12, CHOICES = 4, STREAM_WORDS = 0x51554553 };

// The questions, and the prompts once an engine has fitted them.
struct questions {
    struct od_arena arena;
    struct od_run_spec spec;
    struct od_instances instances;
    const struct od_instance *examples[SHOTS];
    size_t example_count;
    size_t *asked;
    size_t asked_count;
    struct od_request_state *states;  // [asked_count]
    int32_t *ids;                     // [asked_count] first token of each answer, -1: none yet
};

// Callers that take the next prompt until none is left.
struct asking {
    const struct od_responder *responder;
    struct questions *questions;
    atomic_size_t next;
    atomic_bool differs;
    pthread_mutex_t lock;
    enum od_status status;  // under the lock, with the error
    struct od_error error;
};

// Some words, drawn.
static void put_words(struct od_buf *out, uint64_t *drawn, int64_t count)
{
    static const char *const words[] = {"the",   "river", "of",    "a",      "law",   "which",
                                        "under", "state", "value", "number", "light", "cell",
                                        "court", "and",   "water", "energy"};
    enum { COUNT = sizeof words / sizeof words[0] };
    for (int64_t i = 0; i < count; i++) {
        const uint32_t word = od_philox_draw(1, STREAM_WORDS, 0, (*drawn)++).word[0];
        od_buf_printf(out, "%s%s", i > 0 ? " " : "", words[word % COUNT]);
    }
}

static enum od_status add_question(struct od_instances *list, enum od_split split, uint64_t *drawn,
                                   struct od_error *err)
{
    struct od_instance *instance = NULL;
    struct od_buf text;
    const int64_t more = od_philox_draw(1, STREAM_WORDS, 1, *drawn).word[0] % WORDS_MORE;
    od_buf_init(&text, 1 << 16);
    put_words(&text, drawn, WORDS_MIN + more);
    enum od_status status =
        od_instances_add(list, od_buf_text(&text), split, CHOICES, &instance, err);
    for (int i = 0; status == OD_OK && i < CHOICES; i++) {
        text.size = 0;
        put_words(&text, drawn, 4);
        instance->references[i] =
            (struct od_reference){.text = od_arena_strdup(&list->arena, od_buf_text(&text)),
                                  .correct = (uint64_t)i == *drawn % CHOICES};
        if (!instance->references[i].text) {
            status = od_fail(err, OD_E_MEMORY, "no memory for questions");
        }
    }
    od_buf_release(&text);
    return status;
}

static enum od_status make_up(struct questions *questions, int64_t count, struct od_error *err)
{
    uint64_t drawn = 0;
    enum od_status status = OD_OK;
    for (int64_t i = 0; status == OD_OK && i < SHOTS + count; i++) {
        status = add_question(&questions->instances, i < SHOTS ? OD_SPLIT_TRAIN : OD_SPLIT_TEST,
                              &drawn, err);
    }
    return status;
}

static enum od_status open_questions(struct questions *questions,
                                     const struct od_bench_prompts_options *options,
                                     struct od_error *err)
{
    struct od_run_description description;
    struct od_instances *instances = &questions->instances;
    size_t *chosen = NULL;
    char text[256];
    enum od_status status;
    (void)snprintf(text, sizeof text, "mmlu:subject=%.200s", options->subject);
    if ((status = od_run_description_parse(text, &questions->arena, &description, err)) != OD_OK ||
        (status = od_scenario_mmlu.specify(&description, options->data, &questions->arena,
                                           &questions->spec, err)) != OD_OK ||
        (status = options->data
                      ? od_scenario_mmlu.load(&questions->spec, options->data, instances, err)
                      : make_up(questions, options->prompts, err)) != OD_OK ||
        (status = od_sample_eval(instances, true, options->prompts, &questions->asked,
                                 &questions->asked_count, err)) != OD_OK ||
        (status = od_sample_examples(instances, SHOTS, 0, &chosen, &questions->example_count,
                                     err)) != OD_OK) {
        return status;
    }
    for (size_t i = 0; i < questions->example_count; i++) {
        questions->examples[i] = &instances->items[chosen[i]];
    }
    od_free(chosen);
    const size_t count = questions->asked_count;
    if (count == 0) {
        return od_fail(err, OD_E_NOT_FOUND, "there is no question on '%.60s' in '%.200s'",
                       options->subject, options->data ? options->data : "");
    }
    questions->states = od_alloc(count, sizeof *questions->states);
    questions->ids = od_alloc(count, sizeof *questions->ids);
    if (!questions->states || !questions->ids) {
        return od_fail(err, OD_E_MEMORY, "no memory for %zu prompts", count);
    }
    for (size_t i = 0; i < count; i++) {
        questions->states[i].instance = &instances->items[questions->asked[i]];
        questions->ids[i] = -1;
    }
    return OD_OK;
}

static void close_questions(struct questions *questions)
{
    for (size_t i = 0; questions->states && i < questions->asked_count; i++) {
        od_free(questions->states[i].prompt);
    }
    od_free(questions->states);
    od_free(questions->ids);
    od_free(questions->asked);
    od_instances_release(&questions->instances);
    od_arena_release(&questions->arena);
}

// Prompts as the evaluation makes them, and how many tokens they have.
static enum od_status fit_prompts(struct questions *questions, const struct od_responder *responder,
                                  struct od_bench_prompts_result *result, struct od_error *err)
{
    enum od_status status = OD_OK;
    result->prompts = (int64_t)questions->asked_count;
    result->examples = SHOTS;
    for (size_t i = 0; status == OD_OK && i < questions->asked_count; i++) {
        struct od_request_state *state = &questions->states[i];
        const int64_t window = responder->context_length < OD_WINDOW_TOKENS
                                   ? responder->context_length
                                   : OD_WINDOW_TOKENS;
        status = od_prompt_fit(&questions->spec.adapter, responder, window, questions->examples,
                               questions->example_count, state, err);
        if (status == OD_OK) {
            status = od_token_count(responder, state->prompt, state->prompt_size,
                                    &state->num_prompt_tokens, err);
        }
        if (status == OD_OK) {
            result->tokens += state->num_prompt_tokens;
            result->examples = state->num_train_instances < result->examples
                                   ? state->num_train_instances
                                   : result->examples;
        }
    }
    return status;
}

// One prompt; its first token is noted, or compared with what was noted before.
static enum od_status ask(struct asking *asking, size_t index, struct od_error *err)
{
    const struct od_request_state *state = &asking->questions->states[index];
    const struct od_process_request request =
        od_request_of(&asking->questions->spec.adapter, state);
    struct od_process_result result;
    od_process_result_init(&result);
    const enum od_status status =
        asking->responder->process(asking->responder->context, &request, &result, err);
    int32_t *id = &asking->questions->ids[index];
    if (status == OD_OK && result.token_count > 0) {
        if (*id >= 0 && *id != result.tokens[0].id) {
            atomic_store(&asking->differs, true);
        }
        *id = result.tokens[0].id;
    }
    od_process_result_release(&result);
    return status;
}

static void *caller_main(void *argument)
{
    struct asking *asking = argument;
    enum od_status status = OD_OK;
    struct od_error error = {0};
    for (size_t i; status == OD_OK &&
                   (i = atomic_fetch_add(&asking->next, 1)) < asking->questions->asked_count;) {
        status = ask(asking, i, &error);
    }
    if (status != OD_OK) {
        (void)pthread_mutex_lock(&asking->lock);
        asking->status = status;
        asking->error = error;
        (void)pthread_mutex_unlock(&asking->lock);
    }
    return NULL;
}

static enum od_status ask_all(struct asking *asking, int callers, struct od_error *err)
{
    pthread_t threads[OD_BENCH_CALLERS_MAX];
    int started = 0;
    enum od_status status = OD_OK;
    (void)pthread_mutex_init(&asking->lock, NULL);
    while (status == OD_OK && started < callers) {
        const int error = pthread_create(&threads[started], NULL, caller_main, asking);
        if (error != 0) {
            status = od_fail(err, OD_E_MEMORY, "cannot start a thread: %s", strerror(error));
        } else {
            started++;
        }
    }
    for (int i = 0; i < started; i++) {
        (void)pthread_join(threads[i], NULL);
    }
    (void)pthread_mutex_destroy(&asking->lock);
    if (status == OD_OK && asking->status != OD_OK) {
        status = asking->status;
        if (err) {
            *err = asking->error;
        }
    }
    if (status == OD_OK && atomic_load(&asking->differs)) {
        status = od_fail(err, OD_E_REFUSED, "an answer is another one when beginnings are shared");
    }
    return status;
}

// All prompts on an engine of their own.
static enum od_status run_side(const struct od_bench_prompts_options *options, const char *path,
                               bool share, struct questions *questions,
                               struct od_bench_prompts_result *result, struct od_error *err)
{
    struct od_bench_prompts_side *side = share ? &result->shared : &result->whole;
    const struct od_engine_options engine_options = {
        .threads = options->threads,
        .no_vector = !options->allow_vector,
        .on_gpu = options->on_gpu,
        .gpu = options->gpu,
        .max_bytes = options->max_bytes,
        .slots = options->callers,
        .context = 0,
        .no_prefix_reuse = !share,
        .weights = options->model ? OD_ENGINE_WEIGHTS_READ : OD_ENGINE_WEIGHTS_DRAWN_BF16};
    struct od_engine *engine = NULL;
    enum od_status status = od_engine_open(path, &engine_options, &engine, err);
    if (status != OD_OK) {
        return status;
    }
    struct asking asking = {.responder = od_engine_responder(engine), .questions = questions};
    if (result->prompts == 0) {
        status = fit_prompts(questions, asking.responder, result, err);
    }
    const double start = od_clock_s();
    const double start_cpu = od_processor_s();
    if (status == OD_OK) {
        status = ask_all(&asking, options->callers, err);
    }
    side->seconds = od_clock_s() - start;
    side->cpu_s = (od_processor_s() - start_cpu) / (double)result->prompts;
    side->prompts_per_s = (double)result->prompts / side->seconds;
    side->computed = od_engine_counts(engine).rows;
    result->threads = od_engine_threads(engine);
    od_engine_close(engine);
    return status;
}

enum od_status od_bench_prompts(const struct od_bench_prompts_options *options,
                                struct od_bench_prompts_result *ret, struct od_error *err)
{
    struct questions questions = {.asked = NULL};
    struct od_bench_prompts_result result = {.prompts = 0};
    char folder[OD_PATH_MAX_BYTES] = "";
    if (options->prompts < 1 || options->prompts > OD_BENCH_PROMPTS_MAX || options->callers < 1 ||
        options->callers > OD_BENCH_CALLERS_MAX) {
        return od_fail(err, OD_E_ARGUMENT, "prompts must be 1 to %d, callers 1 to %d",
                       OD_BENCH_PROMPTS_MAX, OD_BENCH_CALLERS_MAX);
    }
    od_arena_init(&questions.arena, (size_t)1 << 24);
    od_instances_init(&questions.instances);
    enum od_status status = open_questions(&questions, options, err);
    if (status == OD_OK && !options->model) {
        status = od_bench_folder_make(options->shape, options->tokenizer, folder, err);
    }
    for (int share = 0; status == OD_OK && share < 2; share++) {
        status = run_side(options, options->model ? options->model : folder, share == 1, &questions,
                          &result, err);
    }
    od_bench_folder_remove(folder);
    close_questions(&questions);
    if (status == OD_OK) {
        *ret = result;
    }
    return status;
}
