// Goal: a GGUF file that was written here is for llama.cpp the model that it is here.
// Method: its greedy ids and log-probabilities, recorded by tests/oracle/llama_cpp.py.

#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/memory.h"
#include "base/status.h"
#include "flow/convert.h"
#include "flow/convert_world.h"
#include "formats/json.h"
#include "infer/engine.h"
#include "infer/responder.h"
#include "support.h"
#include "text/tokenizer.h"

struct tally {
    size_t compared;
    size_t same;
    size_t far;  // log-probabilities beyond the tolerance
};

// What llama.cpp continues a prompt with, and how likely it finds it; it was told never to choose the end.
// Rows beyond the model's window are passed over: llama.cpp looks at all keys there.
static void check_answer(struct od_engine *engine, const char *prompt, const json_t *want,
                         double tolerance, struct tally *tally)
{
    struct od_error err = {0};
    struct od_ids ids;
    const json_t *want_ids = json_object_get(want, "ids");
    const json_t *want_logprobs = json_object_get(want, "logprobs");
    const int64_t vocab = od_engine_spec(engine)->vocab;
    const int64_t window = od_engine_spec(engine)->window;
    const int32_t end = od_engine_spec(engine)->eos;
    const size_t count = json_array_size(want_ids);
    od_ids_init(&ids, IDS_MAX);
    assert_ok(od_tokenizer_encode(od_engine_tokenizer(engine), prompt, strlen(prompt),
                                  OD_ENCODE_SPECIAL, &ids, &err),
              &err);
    const size_t first = ids.count;
    assert_int_equal(first, json_integer_value(json_object_get(want, "prompt_ids")));
    for (size_t i = 0; i < count; i++) {
        od_ids_push(&ids, (int32_t)json_integer_value(json_array_get(want_ids, i)));
    }
    float *logits = od_alloc(ids.count * (size_t)vocab, sizeof *logits);
    assert_non_null(logits);
    assert_ok(od_engine_logits(engine, ids.data, (int64_t)ids.count, logits, &err), &err);
    for (size_t i = 0; i < count; i++) {
        if (window > 0 && (int64_t)(first + i) > window) {
            break;
        }
        const float *row = logits + (int64_t)(first + i - 1) * vocab;
        int32_t best = end == 0 ? 1 : 0;
        double sum = 0;
        for (int32_t id = 1; id < vocab; id++) {
            best = id != end && row[id] > row[best] ? id : best;
        }
        for (int32_t id = 0; id < vocab; id++) {
            sum += exp((double)row[id] - (double)row[best]);
        }
        const int32_t their = ids.data[first + i];
        const double logprob = (double)row[their] - (double)row[best] - log(sum);
        const double theirs = json_number_value(json_array_get(want_logprobs, i));
        tally->compared++;
        tally->same += best == their ? 1 : 0;
        if (fabs(logprob - theirs) > tolerance) {
            print_message("# '%s' %zu: id %d at %g, llama.cpp has %g\n", prompt, i, (int)their,
                          logprob, theirs);
            tally->far++;
        }
    }
    od_free(logits);
    od_ids_release(&ids);
}

// The same adapter beside the weights instead of added to them, chosen by a request.
static void check_apart(const char *base, const char *adapter, const json_t *prompts,
                        const json_t *answers)
{
    const char *const names[] = {"apart"};
    const char *const paths[] = {adapter};
    const struct od_engine_options options = {.threads = 1,
                                              .slots = 1,
                                              .adapter_names = names,
                                              .adapter_folders = paths,
                                              .adapter_count = 1};
    struct od_engine *engine = NULL;
    struct od_error err = {0};
    assert_ok(od_engine_open(base, &options, &engine, &err), &err);
    const struct od_responder *responder = od_engine_responder(engine);
    for (size_t i = 0; i < json_array_size(prompts); i++) {
        const json_t *prompt = json_array_get(prompts, i);
        const json_t *answer = json_array_get(answers, i);
        const json_t *ids = json_object_get(answer, "ids");
        struct od_process_request request = OD_PROCESS_REQUEST_INIT;
        struct od_process_result result;
        od_process_result_init(&result);
        request.prompt = json_string_value(prompt);
        request.prompt_size = json_string_length(prompt);
        request.max_new_tokens = (int64_t)json_array_size(ids);
        request.temperature = 0.0;
        request.adapter = "apart";
        assert_ok(responder->process(responder->context, &request, &result, &err), &err);
        for (size_t t = 0; t < result.token_count; t++) {
            assert_int_equal(result.tokens[t].id, json_integer_value(json_array_get(ids, t)));
            const double theirs =
                json_number_value(json_array_get(json_object_get(answer, "logprobs"), t));
            if (fabs(result.tokens[t].logprob - theirs) > 1e-4) {
                fail_msg("prompt %zu, token %zu: %g, llama.cpp has %g", i, t,
                         result.tokens[t].logprob, theirs);
            }
        }
        od_process_result_release(&result);
    }
    od_engine_close(engine);
}

static void test_llama_cpp(void **state)
{
    (void)state;
    // llama.cpp rounds the activations that meet f16, bf16 and q8_0 weights to the weights' types.
    static const struct {
        const char *type;
        double tolerance;
        size_t same_least;  // of 8 prompts of 24 ids
    } types[] = {{"f32", 1e-4, 192},
                 {"f16", 0.05, 192},
                 {"bf16", 0.3, 190},
                 {"q8_0", 0.3, 190},
                 {"adapter", 1e-4, 192}};
    char model[OD_PATH_MAX_BYTES];
    char exact[OD_PATH_MAX_BYTES] = "";
    struct od_error err = {0};
    json_t *record = NULL;
    bool good = true;
    (void)snprintf(model, sizeof model, "%s", test_shared(STORIES));
    assert_ok(od_json_read(test_source(RECORD "record.json"), &record, &err), &err);
    const json_t *prompts = json_object_get(record, "prompts");
    const json_t *files = json_object_get(record, "files");
    assert_int_equal(json_array_size(files), sizeof types / sizeof types[0]);
    for (size_t i = 0; i < json_array_size(files); i++) {
        const json_t *file = json_array_get(files, i);
        const json_t *answers = json_object_get(file, "answers");
        const bool adapter = strcmp(types[i].type, "adapter") == 0;
        char output[OD_PATH_MAX_BYTES];
        char digest[OD_SHA256_HEX_BYTES];
        struct od_engine *engine = NULL;
        struct tally tally = {0};
        new_path(output, adapter ? "adapter.gguf" : types[i].type);
        (void)snprintf(output + strlen(output), 8, "%s", adapter ? "" : ".gguf");
        const struct od_convert_options options = {
            .output = output,
            .type = adapter ? NULL : types[i].type,
            .adapter = adapter ? test_source(RECORD "adapter") : NULL};
        (void)convert(model, &options, false);
        // llama.cpp was given this very file.
        assert_ok(od_sha256_file(output, digest, &err), &err);
        assert_string_equal(digest, json_string_value(json_object_get(file, "sha256")));
        if (i == 0) {
            (void)snprintf(exact, sizeof exact, "%s", output);
        }
        const struct od_engine_options engine_options = {
            .threads = 1, .slots = 1, .adapter = adapter ? output : NULL};
        assert_ok(od_engine_open(adapter ? exact : output, &engine_options, &engine, &err), &err);
        for (size_t j = 0; j < json_array_size(prompts); j++) {
            check_answer(engine, json_string_value(json_array_get(prompts, j)),
                         json_array_get(answers, j), types[i].tolerance, &tally);
        }
        print_message("# %s: %zu of 192 ids are llama.cpp's\n", types[i].type, tally.same);
        good = good && tally.far == 0 && tally.same >= types[i].same_least;
        od_engine_close(engine);
        if (adapter) {
            check_apart(exact, output, prompts, answers);
        }
    }
    json_decref(record);
    assert_true(good);
}

// Qwen2 has biases, Qwen3 norms of heads, and both turn halves; their rows stay where they are.
// Llama 3 divides its rotary frequencies, YaRN changes them by the pair's number. GPT-2's GELU is a table of 16-bit floats in llama.cpp.
static void test_llama_cpp_families(void **state)
{
    (void)state;
    struct od_error err = {0};
    json_t *record = NULL;
    assert_ok(od_json_read(test_source(RECORD "record.json"), &record, &err), &err);
    const json_t *prompts = json_object_get(record, "letter_prompts");
    const json_t *families = json_object_get(record, "families");
    assert_int_equal(json_array_size(families), 6);
    for (size_t i = 0; i < json_array_size(families); i++) {
        const json_t *one = json_array_get(families, i);
        const char *family = json_string_value(json_object_get(one, "family"));
        char model[OD_PATH_MAX_BYTES];
        char output[OD_PATH_MAX_BYTES];
        char from[256];
        char digest[OD_SHA256_HEX_BYTES];
        struct od_engine *engine = NULL;
        struct tally tally = {0};
        new_path(model, family);  // the name stands in the file
        assert_ok(od_dir_make(model, &err), &err);
        (void)snprintf(from, sizeof from, FAMILY "%s/config.json", family);
        copy_file(from, model, "config.json");
        (void)snprintf(from, sizeof from, FAMILY "%s/model.safetensors", family);
        copy_file(from, model, "model.safetensors");
        copy_file(RECORD "letters/tokenizer.json", model, "tokenizer.json");
        new_path(output, "x.gguf");
        const struct od_convert_options options = {.output = output, .type = "f32"};
        assert_true(convert(model, &options, false).difference_max == 0);
        assert_ok(od_sha256_file(output, digest, &err), &err);
        assert_string_equal(digest, json_string_value(json_object_get(one, "sha256")));
        const struct od_engine_options engine_options = {.threads = 1, .slots = 1};
        assert_ok(od_engine_open(output, &engine_options, &engine, &err), &err);
        for (size_t j = 0; j < json_array_size(prompts); j++) {
            check_answer(engine, json_string_value(json_array_get(prompts, j)),
                         json_array_get(json_object_get(one, "answers"), j),
                         strcmp(family, "gpt2") == 0 ? 2e-3 : 1e-4, &tally);
        }
        print_message("# %s: %zu of %zu ids are llama.cpp's\n", family, tally.same, tally.compared);
        assert_true(od_engine_spec(engine)->window > 0 ? tally.compared >= 20
                                                       : tally.compared == 192);
        assert_int_equal(tally.same, tally.compared);
        assert_int_equal(tally.far, 0);
        od_engine_close(engine);
    }
    json_decref(record);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_llama_cpp),
                                       cmocka_unit_test(test_llama_cpp_families)};
    return cmocka_run_group_tests_name("convert_llama_cpp", tests, NULL, NULL);
}
