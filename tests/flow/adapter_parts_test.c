// Goal: adapters with parts on embedding and head, or with these in full, give PEFT's numbers however they are
// used: opened with their base, kept apart from it, merged into a model, written as GGUF.
// Method: the folders that PEFT saved (tests/oracle/tiny_llama_parts.py) and the logits that it computed with
// them, on a base with a head of its own and on one whose head is its embedding.

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/status.h"
#include "flow/convert.h"
#include "formats/json.h"
#include "infer/engine.h"
#include "infer/responder.h"
#include "model/spec.h"
#include "support.h"

enum { VOCAB = 61, IDS_MAX = 64 };

// What can be made of an adapter besides opening it with its base.
struct parts_case {
    const char *name;
    bool is_apart;  // it has nothing in the place of a base's weight
    bool is_gguf;   // GGUF has a place for all of it
};

static const struct parts_case cases[] = {
    {"layers", true, true},      {"head", false, false},        {"both", false, false},
    {"lora_head", true, true},   {"lora_embed", true, true},    {"lora_both", true, true},
    {"tied_lora", true, false},  {"tied_head", false, false},   {"tied_embed", false, false},
    {"tied_both", false, false}, {"tied_ensured", false, false}};
enum { CASES = sizeof cases / sizeof cases[0] };

static char bases[2][OD_PATH_MAX_BYTES];  // with a head of its own, and tied
static int32_t ids[IDS_MAX];
static size_t id_count;
static json_t *record;

static void parts_path(char out[OD_PATH_MAX_BYTES], const char *name)
{
    (void)snprintf(out, OD_PATH_MAX_BYTES, "%s/%s",
                   test_source("tests/golden/oracle/tiny_llama_parts"), name);
}

static const char *base_of(const struct parts_case *one)
{
    return bases[strncmp(one->name, "tied_", 5) == 0 ? 1 : 0];
}

static void copy_file(const char *from, const char *to, const char *name)
{
    struct od_error err = {0};
    assert_ok(od_file_copy_optional(from, to, name, 1 << 24, &err), &err);
}

// A tokenizer of 61 characters.
static void write_tokenizer(const char *folder)
{
    struct od_error err = {0};
    struct od_buf text;
    char path[OD_PATH_MAX_BYTES];
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
    assert_ok(od_path_join(path, folder, "tokenizer.json", &err), &err);
    assert_ok(od_file_write(path, od_buf_text(&text), text.size, &err), &err);
    od_buf_release(&text);
}

static int setup(void **state)
{
    struct od_error err = {0};
    json_t *documents = NULL;
    char path[OD_PATH_MAX_BYTES];
    (void)state;
    for (int i = 0; i < 2; i++) {
        (void)snprintf(bases[i], sizeof bases[i], "%s", test_folder());
        if (i == 0) {
            (void)snprintf(path, sizeof path, "%s", test_source("tests/golden/oracle/tiny_llama"));
        } else {
            parts_path(path, "tied_base");
        }
        copy_file(path, bases[i], "config.json");
        copy_file(path, bases[i], "model.safetensors");
        write_tokenizer(bases[i]);
    }
    parts_path(path, "trajectory.json");
    assert_ok(od_json_read(path, &record, &err), &err);
    assert_ok(od_json_read(test_source("tests/golden/oracle/tiny_llama/trajectory.json"),
                           &documents, &err),
              &err);
    const size_t number = (size_t)json_integer_value(json_object_get(record, "document"));
    const json_t *list =
        json_object_get(json_array_get(json_object_get(documents, "documents"), number), "ids");
    id_count = json_array_size(list);
    assert_in_range(id_count, 20, IDS_MAX - 1);
    for (size_t i = 0; i < id_count; i++) {
        ids[i] = (int32_t)json_integer_value(json_array_get(list, i));
    }
    json_decref(documents);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    json_decref(record);
    return 0;
}

static const json_t *recorded(const struct parts_case *one)
{
    return json_object_get(json_object_get(record, one->name), "logits");
}

static void check_engine(const struct parts_case *one, const char *what, const char *model,
                         const char *adapter)
{
    static float logits[IDS_MAX * VOCAB];
    struct od_error err = {0};
    struct od_engine *engine = NULL;
    const struct od_engine_options options = {.threads = 2, .adapter = adapter};
    assert_ok(od_engine_open(model, &options, &engine, &err), &err);
    assert_ok(od_engine_logits(engine, ids, (int64_t)id_count, logits, &err), &err);
    for (size_t t = 0; t < id_count; t++) {
        const json_t *row = json_array_get(recorded(one), t);
        for (size_t v = 0; v < VOCAB; v++) {
            const double want = json_number_value(json_array_get(row, v));
            const double got = (double)logits[t * VOCAB + v];
            if (fabs(got - want) > 3e-5) {
                fail_msg("%s %s: token %zu, logit %zu: %g, PEFT says %g", one->name, what, t, v,
                         got, want);
            }
        }
    }
    od_engine_close(engine);
}

static void with_its_base(void **state)
{
    char adapter[OD_PATH_MAX_BYTES];
    (void)state;
    for (size_t i = 0; i < CASES; i++) {
        parts_path(adapter, cases[i].name);
        check_engine(&cases[i], "with its base", base_of(&cases[i]), adapter);
    }
}

static double recorded_logprob(const struct parts_case *one, size_t position, int32_t id)
{
    const json_t *row = json_array_get(recorded(one), position);
    double sum = 0.0;
    for (size_t v = 0; v < VOCAB; v++) {
        sum += exp(json_number_value(json_array_get(row, v)));
    }
    return json_number_value(json_array_get(row, (size_t)id)) - log(sum);
}

static void check_apart(struct od_engine *engine, const struct parts_case *one)
{
    const struct od_responder *responder = od_engine_responder(engine);
    struct od_process_request request = OD_PROCESS_REQUEST_INIT;
    struct od_process_result result;
    struct od_error err = {0};
    request.prompt = "";
    request.prompt_ids = ids;
    request.prompt_id_count = id_count;
    request.max_new_tokens = 1;
    request.temperature = 0.0;
    request.echo_prompt = true;
    request.adapter = one->name;
    od_process_result_init(&result);
    assert_ok(responder->process(responder->context, &request, &result, &err), &err);
    for (size_t t = 1; t < id_count; t++) {
        const double want = recorded_logprob(one, t - 1, ids[t]);
        if (fabs(result.tokens[t].logprob - want) > 3e-5) {
            fail_msg("%s apart: token %zu: %g, PEFT says %g", one->name, t,
                     result.tokens[t].logprob, want);
        }
    }
    od_process_result_release(&result);
}

// All that can be apart from one base, in one engine; each other adapter is refused.
static void kept_apart(void **state)
{
    (void)state;
    for (int tied = 0; tied < 2; tied++) {
        const struct parts_case *used[CASES];
        char folders[CASES][OD_PATH_MAX_BYTES];
        const char *names[CASES];
        const char *paths[CASES];
        struct od_error err = {0};
        struct od_engine *engine = NULL;
        int count = 0;
        for (size_t i = 0; i < CASES; i++) {
            if (base_of(&cases[i]) != bases[tied]) {
                continue;
            }
            parts_path(folders[count], cases[i].name);
            paths[count] = folders[count];
            names[count] = cases[i].name;
            if (cases[i].is_apart) {
                used[count++] = &cases[i];
                continue;
            }
            const struct od_engine_options alone = {.adapter_names = &names[count],
                                                    .adapter_folders = &paths[count],
                                                    .adapter_count = 1};
            assert_int_equal(od_engine_open(bases[tied], &alone, &engine, &err), OD_E_UNSUPPORTED);
        }
        const struct od_engine_options options = {.threads = 2,
                                                  .pass_tokens = 11,
                                                  .adapter_names = names,
                                                  .adapter_folders = paths,
                                                  .adapter_count = count};
        assert_true(count > 0);
        assert_ok(od_engine_open(bases[tied], &options, &engine, &err), &err);
        for (int i = 0; i < count; i++) {
            check_apart(engine, used[i]);
        }
        od_engine_close(engine);
    }
}

static void merged(void **state)
{
    (void)state;
    for (size_t i = 0; i < CASES; i++) {
        char adapter[OD_PATH_MAX_BYTES];
        char output[OD_PATH_MAX_BYTES];
        char config[OD_PATH_MAX_BYTES];
        struct od_error err = {0};
        struct od_buf report;
        struct od_spec spec;
        parts_path(adapter, cases[i].name);
        assert_ok(od_path_join(output, test_folder(), "merged", &err), &err);
        const struct od_convert_options options = {.type = "f32",
                                                   .output = output,
                                                   .base = base_of(&cases[i]),
                                                   .adapter = adapter,
                                                   .threads = 2};
        od_buf_init(&report, 1 << 16);
        assert_ok(od_convert_merge(base_of(&cases[i]), &options, &report, &err), &err);
        od_buf_release(&report);
        assert_ok(od_path_join(config, output, "config.json", &err), &err);
        assert_ok(od_spec_read(config, &spec, &err), &err);
        assert_false(spec.tied);
        check_engine(&cases[i], "merged", output, NULL);
    }
}

static void as_gguf(void **state)
{
    (void)state;
    for (size_t i = 0; i < CASES; i++) {
        char adapter[OD_PATH_MAX_BYTES];
        char output[OD_PATH_MAX_BYTES];
        struct od_error err = {0};
        struct od_buf report;
        parts_path(adapter, cases[i].name);
        assert_ok(od_path_join(output, test_folder(), "adapter.gguf", &err), &err);
        const struct od_convert_options options = {
            .output = output, .base = base_of(&cases[i]), .adapter = adapter, .threads = 2};
        od_buf_init(&report, 1 << 16);
        const enum od_status status = od_convert_gguf(base_of(&cases[i]), &options, &report, &err);
        od_buf_release(&report);
        if (cases[i].is_gguf) {
            assert_ok(status, &err);
            check_engine(&cases[i], "as GGUF", base_of(&cases[i]), output);
        } else {
            assert_int_equal(status, OD_E_UNSUPPORTED);
            assert_non_null(strstr(err.message, "merge it first"));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(with_its_base),
        cmocka_unit_test(kept_apart),
        cmocka_unit_test(merged),
        cmocka_unit_test(as_gguf),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
