// Goal: adapters that stay apart give PEFT's numbers, each request the one it chose, whatever others chose
// at the same time and whatever is remembered of the same prompt.
// Method: a tiny model and an adapter with logits that PEFT recorded; a second adapter is the first one
// with another alpha. The same two as GGUF files must give the same bits.

#include <math.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "formats/ggml.h"
#include "formats/json.h"
#include "infer/engine.h"
#include "infer/responder.h"
#include "model/gguf_model.h"
#include "model/program.h"
#include "model/spec.h"
#include "support.h"

enum { VOCAB = 61, IDS_MAX = 64, CALLERS = 6, ROUNDS = 6 };

static char model[OD_PATH_MAX_BYTES];
static char doubled[OD_PATH_MAX_BYTES];
static char files[2][OD_PATH_MAX_BYTES];  // the adapters as GGUF
static int32_t ids[IDS_MAX];
static size_t id_count;
static json_t *record;

static void copy_file(const char *from_folder, const char *to_folder, const char *name)
{
    char path[OD_PATH_MAX_BYTES];
    char *bytes = NULL;
    size_t size = 0;
    struct od_error err = {0};
    assert_ok(od_path_join(path, from_folder, name, &err), &err);
    assert_ok(od_file_read(path, 1 << 24, &bytes, &size, &err), &err);
    assert_ok(od_path_join(path, to_folder, name, &err), &err);
    assert_ok(od_file_write(path, bytes, size, &err), &err);
    od_free(bytes);
}

static void write_text(const char *folder, const char *name, const char *text)
{
    char path[OD_PATH_MAX_BYTES];
    struct od_error err = {0};
    assert_ok(od_path_join(path, folder, name, &err), &err);
    assert_ok(od_file_write(path, text, strlen(text), &err), &err);
}

static const char *peft(void)
{
    return test_source("tests/golden/oracle/peft_adapter");
}

// Write an adapter folder as a GGUF file.
static void write_gguf(const char *folder, char file[OD_PATH_MAX_BYTES])
{
    const struct od_program_options options = {.mode = OD_PROGRAM_INFER,
                                               .tokens = 1,
                                               .threads = 1,
                                               .cache_slots = 1,
                                               .cache_length = 16,
                                               .positions = 16,
                                               .logit_rows = 1};
    struct od_spec spec;
    struct od_program program;
    struct od_error err = {0};
    assert_ok(od_path_join(file, model, "config.json", &err), &err);
    assert_ok(od_spec_read(file, &spec, &err), &err);
    assert_ok(od_program_build(&spec, &options, &program, &err), &err);
    assert_ok(od_path_join(file, test_folder(), "adapter.gguf", &err), &err);
    assert_ok(od_adapter_write_gguf(&program, folder, file, OD_GGML_F32, &err), &err);
    od_program_release(&program);
}

// The model's folder with a tokenizer of 61 characters, and the second adapter.
static int setup(void **state)
{
    struct od_error err = {0};
    struct od_buf text;
    char path[OD_PATH_MAX_BYTES];
    (void)state;
    (void)snprintf(model, sizeof model, "%s", test_folder());
    (void)snprintf(doubled, sizeof doubled, "%s", test_folder());
    copy_file(test_source("tests/golden/oracle/tiny_llama"), model, "config.json");
    copy_file(test_source("tests/golden/oracle/tiny_llama"), model, "model.safetensors");
    od_buf_init(&text, 1 << 16);
    od_buf_puts(&text,
                "{\"version\":\"1.0\",\"added_tokens\":[],\"normalizer\":null,\"pre_tokenizer\":{"
                "\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":true,"
                "\"use_regex\":false},\"post_processor\":null,\"decoder\":{\"type\":\"ByteLevel\","
                "\"add_prefix_space\":true,\"trim_offsets\":true,\"use_regex\":true},\"model\":{"
                "\"type\":\"BPE\",\"merges\":[],\"vocab\":{");
    for (int i = 0; i < VOCAB; i++) {
        const int c = i == 0 ? '~' : i == 1 ? '}' : i == 2 ? '{' : i == 3 ? 'z' : '#' + i;
        od_buf_printf(&text, "%s\"%s%c\":%d", i > 0 ? "," : "", c == '\\' ? "\\" : "", c, i);
    }
    od_buf_puts(&text, "}}}");
    write_text(model, "tokenizer.json", od_buf_text(&text));
    od_buf_release(&text);

    char *config = NULL;
    size_t size = 0;
    assert_ok(od_path_join(path, peft(), "adapter_config.json", &err), &err);
    assert_ok(od_file_read(path, 1 << 20, &config, &size, &err), &err);
    json_t *json = NULL;
    assert_ok(od_json_parse(config, size, path, &json, &err), &err);
    const double alpha = json_number_value(json_object_get(json, "lora_alpha"));
    assert_int_equal(json_object_set_new(json, "lora_alpha", json_real(2.0 * alpha)), 0);
    char *changed = json_dumps(json, 0);
    write_text(doubled, "adapter_config.json", changed);
    free(changed);
    json_decref(json);
    od_free(config);
    copy_file(peft(), doubled, "adapter_model.safetensors");

    write_gguf(peft(), files[0]);
    write_gguf(doubled, files[1]);
    assert_ok(od_path_join(path, peft(), "logits.json", &err), &err);
    assert_ok(od_json_read(path, &record, &err), &err);
    const json_t *list = json_object_get(record, "ids");
    id_count = json_array_size(list);
    assert_in_range(id_count, 20, IDS_MAX - 1);
    for (size_t i = 0; i < id_count; i++) {
        ids[i] = (int32_t)json_integer_value(json_array_get(list, i));
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    json_decref(record);
    return 0;
}

static struct od_engine *open_engine_of(const char *merged, const char *first, const char *second)
{
    struct od_engine *engine = NULL;
    struct od_error err = {0};
    const char *const names[] = {"once", "twice"};
    const char *const folders[] = {first, second};
    const struct od_engine_options options = {.threads = 2,
                                              .pass_tokens = 11,
                                              .adapter = merged,
                                              .adapter_names = names,
                                              .adapter_folders = folders,
                                              .adapter_count = merged ? 0 : 2};
    assert_ok(od_engine_open(model, &options, &engine, &err), &err);
    return engine;
}

static struct od_engine *open_engine(const char *merged)
{
    return open_engine_of(merged, peft(), doubled);
}

// Log-probabilities of the recorded prompt and of a greedy answer behind it.
static bool ask(struct od_engine *engine, const char *adapter, struct od_process_result *result)
{
    const struct od_responder *responder = od_engine_responder(engine);
    struct od_process_request request = OD_PROCESS_REQUEST_INIT;
    request.prompt = "";
    request.prompt_ids = ids;
    request.prompt_id_count = id_count;
    request.max_new_tokens = 4;
    request.temperature = 0.0;
    request.echo_prompt = true;
    request.adapter = adapter;
    od_process_result_init(result);
    return responder->process(responder->context, &request, result, NULL) == OD_OK;
}

static double recorded_logprob(size_t position, int32_t id)
{
    const json_t *row = json_array_get(json_object_get(record, "logits"), position);
    double sum = 0.0;
    for (size_t v = 0; v < VOCAB; v++) {
        sum += exp(json_number_value(json_array_get(row, v)));
    }
    return json_number_value(json_array_get(row, (size_t)id)) - log(sum);
}

static void numbers_are_pefts(void **state)
{
    (void)state;
    struct od_engine *apart = open_engine(NULL);
    struct od_engine *merged = open_engine(peft());
    struct od_process_result a;
    struct od_process_result m;
    struct od_process_result base;
    assert_true(ask(apart, "once", &a));
    assert_true(ask(merged, NULL, &m));
    assert_true(ask(apart, NULL, &base));
    double base_difference = 0.0;
    for (size_t i = 1; i < id_count; i++) {
        const double want = recorded_logprob(i - 1, ids[i]);
        if (fabs(a.tokens[i].logprob - want) > 2e-5 || fabs(m.tokens[i].logprob - want) > 2e-5) {
            fail_msg("token %zu: %g apart, %g merged, PEFT says %g", i, a.tokens[i].logprob,
                     m.tokens[i].logprob, want);
        }
        base_difference += fabs(base.tokens[i].logprob - want);
    }
    assert_true(base_difference > 0.1);  // the adapter does something
    od_process_result_release(&a);
    od_process_result_release(&m);
    od_process_result_release(&base);
    od_engine_close(apart);
    od_engine_close(merged);
}

static const char *const choices[3] = {NULL, "once", "twice"};

struct caller {
    pthread_t thread;
    struct od_engine *engine;
    int first;
    struct od_process_result result[ROUNDS];
    bool failed;
};

static void *ask_in_turn(void *argument)
{
    struct caller *caller = argument;
    for (int i = 0; i < ROUNDS; i++) {
        caller->failed =
            !ask(caller->engine, choices[(caller->first + i) % 3], &caller->result[i]) ||
            caller->failed;
    }
    return NULL;
}

static void same_numbers(const struct od_process_result *a, const struct od_process_result *b)
{
    assert_int_equal(a->token_count, b->token_count);
    for (size_t i = 0; i < a->token_count; i++) {
        assert_int_equal(a->tokens[i].id, b->tokens[i].id);
        assert_memory_equal(&a->tokens[i].logprob, &b->tokens[i].logprob, sizeof(double));
    }
}

static void neighbours_may_choose_others(void **state)
{
    (void)state;
    static struct caller callers[CALLERS];
    struct od_process_result alone[3];
    for (int i = 0; i < 3; i++) {
        struct od_engine *engine = open_engine(NULL);
        assert_true(ask(engine, choices[i], &alone[i]));
        od_engine_close(engine);
    }
    assert_true(alone[0].logprob != alone[1].logprob && alone[1].logprob != alone[2].logprob);
    struct od_engine *engine = open_engine(NULL);
    for (int i = 0; i < CALLERS; i++) {
        callers[i] = (struct caller){.engine = engine, .first = i};
        assert_int_equal(pthread_create(&callers[i].thread, NULL, ask_in_turn, &callers[i]), 0);
    }
    for (int i = 0; i < CALLERS; i++) {
        assert_int_equal(pthread_join(callers[i].thread, NULL), 0);
        assert_false(callers[i].failed);
        for (int r = 0; r < ROUNDS; r++) {
            same_numbers(&callers[i].result[r], &alone[(i + r) % 3]);
            od_process_result_release(&callers[i].result[r]);
        }
    }
    assert_true(od_engine_counts(engine).reused_tokens > 0);
    od_engine_close(engine);
    for (int i = 0; i < 3; i++) {
        od_process_result_release(&alone[i]);
    }
}

// Adapters as GGUF files, alone and mixed with folders: bit for bit what the folders give.
static void gguf_files(void **state)
{
    (void)state;
    const char *const pairs[3][2] = {{files[0], files[1]}, {files[0], doubled}, {peft(), files[1]}};
    struct od_process_result want[3];
    struct od_engine *engine = open_engine(NULL);
    for (int i = 0; i < 3; i++) {
        assert_true(ask(engine, choices[i], &want[i]));
    }
    od_engine_close(engine);
    for (size_t p = 0; p < 3; p++) {
        engine = open_engine_of(NULL, pairs[p][0], pairs[p][1]);
        for (int i = 0; i < 3; i++) {
            struct od_process_result got;
            assert_true(ask(engine, choices[i], &got));
            same_numbers(&got, &want[i]);
            od_process_result_release(&got);
        }
        od_engine_close(engine);
    }
    for (int i = 0; i < 3; i++) {
        od_process_result_release(&want[i]);
    }
}

// The file's text `from` becomes `to`, of the same length, wherever it stands.
static void spoil(const char *from, const char *to, char file[OD_PATH_MAX_BYTES])
{
    struct od_error err = {0};
    char *bytes = NULL;
    size_t size = 0;
    int count = 0;
    assert_ok(od_file_read(files[0], 1 << 24, &bytes, &size, &err), &err);
    for (char *at = bytes; (at = memmem(at, size - (size_t)(at - bytes), from, strlen(from)));) {
        memcpy(at, to, strlen(to));
        count++;
    }
    assert_true(count > 0);
    assert_ok(od_path_join(file, test_folder(), "spoiled.gguf", &err), &err);
    assert_ok(od_file_write(file, bytes, size, &err), &err);
    od_free(bytes);
}

// What would be left out, or fits nothing, is told.
static void wrong_files(void **state)
{
    (void)state;
    static const struct {
        const char *from;
        const char *to;
        enum od_status status;
        const char *message;
    } CASES[] = {
        {"lora", "lorb", OD_E_FORMAT, "is no LoRA adapter"},
        {"blk.1.", "blk.9.", OD_E_FORMAT, "tensors belong to this model"},
        {"adapter.lora.alpha", "adapter.lora.beta_", OD_E_FORMAT, "is no LoRA adapter"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        char file[OD_PATH_MAX_BYTES];
        struct od_engine *engine = NULL;
        struct od_error err = {0};
        spoil(CASES[i].from, CASES[i].to, file);
        const char *const names[] = {"a", "b"};
        const char *const paths[] = {peft(), file};
        const struct od_engine_options options = {
            .adapter_names = names, .adapter_folders = paths, .adapter_count = 2};
        assert_int_equal(od_engine_open(model, &options, &engine, &err), CASES[i].status);
        if (!strstr(err.message, CASES[i].message)) {
            fail_msg("%s: %s", CASES[i].from, err.message);
        }
    }
}

static void wrong_choices(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_engine *engine = open_engine(NULL);
    const struct od_responder *responder = od_engine_responder(engine);
    struct od_process_request request = OD_PROCESS_REQUEST_INIT;
    struct od_process_result result;
    od_process_result_init(&result);
    assert_int_equal(responder->adapter_count, 2);
    assert_string_equal(responder->adapters[1], "twice");
    request.prompt = "ABC";
    request.prompt_size = 3;
    request.adapter = "thrice";
    assert_int_equal(responder->process(responder->context, &request, &result, &err),
                     OD_E_NOT_FOUND);
    assert_non_null(strstr(err.message, "'thrice'"));
    od_engine_close(engine);

    static const char *const NAMES[][2] = {{"a", "a"}, {"", "b"}};
    for (size_t i = 0; i < 2; i++) {
        const char *const folders[] = {peft(), doubled};
        const struct od_engine_options options = {
            .adapter_names = NAMES[i], .adapter_folders = folders, .adapter_count = 2};
        assert_int_equal(od_engine_open(model, &options, &engine, &err), OD_E_ARGUMENT);
    }
    const char *const names[] = {"a"};
    const char *const folders[] = {"no/such/adapter"};
    const struct od_engine_options options = {
        .adapter_names = names, .adapter_folders = folders, .adapter_count = 1};
    assert_int_not_equal(od_engine_open(model, &options, &engine, &err), OD_OK);
    assert_non_null(strstr(err.message, "no/such/adapter"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_pefts), cmocka_unit_test(neighbours_may_choose_others),
        cmocka_unit_test(gguf_files),        cmocka_unit_test(wrong_files),
        cmocka_unit_test(wrong_choices),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
