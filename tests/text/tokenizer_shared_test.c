// Real tokenizers against recorded ids of Hugging Face's tokenizers and of sentencepiece.

#include <inttypes.h>
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/memory.h"
#include "base/status.h"
#include "formats/gguf.h"
#include "formats/json.h"
#include "formats/text_file.h"
#include "support.h"
#include "text/tokenizer.h"
#include "text/vocab.h"

enum { TEXT_MAX_BYTES = 1 << 26, IDS_MAX = 1 << 22 };

static char *read_text(const char *path, size_t *ret_size)
{
    struct od_error err = {0};
    char *text = NULL;
    assert_ok(od_text_read(path, TEXT_MAX_BYTES, &text, ret_size, &err), &err);
    return text;
}

static json_t *parse_line(const char **at, const char *end)
{
    struct od_error err = {0};
    json_t *value = NULL;
    const char *stop = memchr(*at, '\n', (size_t)(end - *at));
    stop = stop ? stop : end;
    assert_ok(od_json_parse(*at, (size_t)(stop - *at), "line", &value, &err), &err);
    *at = stop < end ? stop + 1 : end;
    return value;
}

static void print_ids(const char *name, const int32_t *ids, size_t count)
{
    (void)printf("# %s:", name);
    for (size_t i = 0; i < count && i < 40; i++) {
        (void)printf(" %" PRId32, ids[i]);
    }
    (void)printf("\n");
}

static void check_ids(json_t *want, const struct od_ids *ids, const char *text)
{
    bool same = json_array_size(want) == ids->count;
    for (size_t i = 0; i < ids->count && same; i++) {
        same = json_integer_value(json_array_get(want, i)) == ids->data[i];
    }
    if (!same) {
        int32_t numbers[40] = {0};
        for (size_t i = 0; i < 40; i++) {
            numbers[i] = (int32_t)json_integer_value(json_array_get(want, i));
        }
        print_ids("want", numbers, json_array_size(want));
        print_ids("have", ids->data, ids->count);
        fail_msg("ids differ for '%s'", text);
    }
}

static void check_decode(const struct od_tokenizer *tokenizer, const struct od_ids *ids,
                         const json_t *want)
{
    struct od_error err = {0};
    struct od_buf text;
    struct od_buf raw;
    struct od_buf one_by_one;
    od_buf_init(&text, TEXT_MAX_BYTES);
    od_buf_init(&raw, TEXT_MAX_BYTES);
    od_buf_init(&one_by_one, TEXT_MAX_BYTES);
    assert_ok(od_tokenizer_decode(tokenizer, ids->data, ids->count, OD_DECODE_PLAIN, &text, &err),
              &err);
    assert_int_equal(text.size, json_string_length(want));
    assert_memory_equal(od_buf_text(&text), json_string_value(want), text.size);
    assert_ok(od_tokenizer_decode(tokenizer, ids->data, ids->count, OD_DECODE_RAW, &raw, &err),
              &err);
    for (size_t i = 0; i < ids->count; i++) {
        assert_ok(
            od_tokenizer_decode(tokenizer, &ids->data[i], 1, OD_DECODE_RAW, &one_by_one, &err),
            &err);
    }
    assert_int_equal(raw.size, one_by_one.size);
    assert_memory_equal(od_buf_text(&raw), od_buf_text(&one_by_one), raw.size);
    od_buf_release(&text);
    od_buf_release(&raw);
    od_buf_release(&one_by_one);
}

static size_t check_cases(const struct od_tokenizer *tokenizer, const char *expected_path)
{
    struct od_error err = {0};
    size_t cases_size = 0;
    size_t expected_size = 0;
    char *cases = read_text(test_shared("tokenizers/cases.jsonl"), &cases_size);
    char *expected = read_text(expected_path, &expected_size);
    const char *case_at = cases;
    const char *expected_at = expected;
    struct od_ids ids;
    size_t count = 0;
    od_ids_init(&ids, IDS_MAX);
    while (case_at < cases + cases_size) {
        json_t *one = parse_line(&case_at, cases + cases_size);
        json_t *want = parse_line(&expected_at, expected + expected_size);
        json_t *special = json_object_get(want, "ids_special");
        const json_t *text = json_object_get(one, "text");
        assert_int_equal(json_integer_value(json_object_get(one, "id")),
                         json_integer_value(json_object_get(want, "id")));
        od_ids_reset(&ids);
        assert_ok(od_tokenizer_encode(tokenizer, json_string_value(text), json_string_length(text),
                                      OD_ENCODE_PLAIN, &ids, &err),
                  &err);
        check_ids(json_object_get(want, "ids"), &ids, json_string_value(text));
        check_decode(tokenizer, &ids, json_object_get(want, "decoded"));
        if (special) {
            od_ids_reset(&ids);
            assert_ok(od_tokenizer_encode(tokenizer, json_string_value(text),
                                          json_string_length(text), OD_ENCODE_SPECIAL, &ids, &err),
                      &err);
            check_ids(special, &ids, json_string_value(text));
        }
        json_decref(one);
        json_decref(want);
        count++;
    }
    od_ids_release(&ids);
    od_free(cases);
    od_free(expected);
    return count;
}

// The whole of a book as one text: number of ids, and SHA-256 of them as little-endian words.
static void check_long(const struct od_tokenizer *tokenizer, const char *expected_path)
{
    struct od_error err = {0};
    json_t *want = NULL;
    struct od_ids ids;
    char digest[OD_SHA256_HEX_BYTES];
    size_t size = 0;
    char *text = read_text(test_shared("tokenizers/botchan.txt.gz"), &size);
    od_ids_init(&ids, IDS_MAX);
    assert_ok(od_json_read(expected_path, &want, &err), &err);
    assert_ok(od_tokenizer_encode(tokenizer, text, size, OD_ENCODE_PLAIN, &ids, &err), &err);
    assert_int_equal(ids.count, json_integer_value(json_object_get(want, "n_ids")));
    od_sha256_hex(ids.data, ids.count * sizeof(*ids.data), digest);
    assert_string_equal(digest, json_string_value(json_object_get(want, "sha256_of_uint32le_ids")));
    json_decref(want);
    od_ids_release(&ids);
    od_free(text);
}

// Copied, because test_shared lends its paths for a few calls only.
struct paths {
    char tokenizer[OD_PATH_MAX_BYTES];
    char expected[OD_PATH_MAX_BYTES];
    char expected_long[OD_PATH_MAX_BYTES];
};

static void shared_path(char out[OD_PATH_MAX_BYTES], const char *name)
{
    (void)snprintf(out, OD_PATH_MAX_BYTES, "%s", test_shared(name));
}

static void check(const struct paths *paths, bool is_spm)
{
    struct od_error err = {0};
    struct od_tokenizer *tokenizer = NULL;
    if (is_spm) {
        assert_ok(od_tokenizer_open_spm(paths->tokenizer, &tokenizer, &err), &err);
    } else {
        assert_ok(od_tokenizer_open_json(paths->tokenizer, &tokenizer, &err), &err);
    }
    assert_int_equal(check_cases(tokenizer, paths->expected), 232);
    if (paths->expected_long[0] != '\0') {
        check_long(tokenizer, paths->expected_long);
    }
    od_tokenizer_free(tokenizer);
}

static void test_gpt2(void **state)
{
    (void)state;
    struct paths paths = {0};
    shared_path(paths.tokenizer, "tokenizers/gpt2/tokenizer.json.gz");
    shared_path(paths.expected, "tokenizers/gpt2/expected_hf.jsonl");
    shared_path(paths.expected_long, "tokenizers/gpt2/expected_hf_long.json");
    check(&paths, false);
}

static void test_gpt_neox(void **state)
{
    (void)state;
    struct paths paths = {0};
    shared_path(paths.tokenizer, "tokenizers/gpt-neox/tokenizer.json.gz");
    shared_path(paths.expected, "tokenizers/gpt-neox/expected_hf.jsonl");
    shared_path(paths.expected_long, "tokenizers/gpt-neox/expected_hf_long.json");
    check(&paths, false);
}

static void test_mistral_json(void **state)
{
    (void)state;
    struct paths paths = {0};
    shared_path(paths.tokenizer, "tokenizers/mistral/tokenizer.json.gz");
    shared_path(paths.expected, "tokenizers/mistral/expected_hf.jsonl.gz");
    shared_path(paths.expected_long, "tokenizers/mistral/expected_hf_long.json");
    check(&paths, false);
}

static void test_mistral_model(void **state)
{
    (void)state;
    struct paths paths = {0};
    shared_path(paths.tokenizer, "tokenizers/mistral/tokenizer.model");
    shared_path(paths.expected, "tokenizers/mistral/expected_spm.jsonl.gz");
    shared_path(paths.expected_long, "tokenizers/mistral/expected_spm_long.json");
    check(&paths, true);
}

static void test_stories_json(void **state)
{
    (void)state;
    struct paths paths = {0};
    shared_path(paths.tokenizer, "models/stories260K/hf/tokenizer.json");
    shared_path(paths.expected, "models/stories260K/hf/expected_tokens_hf.jsonl.gz");
    check(&paths, false);
}

static void test_stories_model(void **state)
{
    (void)state;
    struct paths paths = {0};
    shared_path(paths.tokenizer, "models/stories260K/hf/tokenizer.model");
    shared_path(paths.expected, "models/stories260K/hf/expected_tokens_spm.jsonl.gz");
    check(&paths, true);
}

static void test_t5_json(void **state)
{
    (void)state;
    struct paths paths = {0};
    shared_path(paths.tokenizer, "tokenizers/t5/tokenizer.json.gz");
    shared_path(paths.expected, "tokenizers/t5/expected_hf.jsonl.gz");
    shared_path(paths.expected_long, "tokenizers/t5/expected_hf_long.json");
    check(&paths, false);
}

static void test_t5_model(void **state)
{
    (void)state;
    struct paths paths = {0};
    shared_path(paths.tokenizer, "tokenizers/t5/spiece.model.gz");
    shared_path(paths.expected, "tokenizers/t5/expected_spm.jsonl");
    shared_path(paths.expected_long, "tokenizers/t5/expected_spm_long.json");
    check(&paths, true);
}

static void test_xlnet_model(void **state)
{
    (void)state;
    struct paths paths = {0};
    shared_path(paths.tokenizer, "tokenizers/xlnet/spiece.model.gz");
    shared_path(paths.expected, "tokenizers/xlnet/expected_spm.jsonl");
    shared_path(paths.expected_long, "tokenizers/xlnet/expected_spm_long.json");
    check(&paths, true);
}

static void test_unigram_model(void **state)
{
    (void)state;
    struct paths paths = {0};
    shared_path(paths.tokenizer, "tokenizers/sentencepiece-test/test_model.model");
    shared_path(paths.expected, "tokenizers/sentencepiece-test/expected_spm.jsonl.gz");
    shared_path(paths.expected_long, "tokenizers/sentencepiece-test/expected_spm_long.json");
    check(&paths, true);
}

// A folder of vocab.json and merges.txt of a shared tokenizer, with a configuration beside them.
static struct od_tokenizer *open_files(const char *name, const char *merges_name,
                                       const char *config)
{
    static const char *const files[] = {"vocab.json", "merges.txt"};
    const char *const names[] = {"vocab.json.gz", merges_name};
    struct od_error err = {0};
    struct od_tokenizer *tokenizer = NULL;
    const char *folder = test_folder();
    char from[OD_PATH_MAX_BYTES];
    char path[OD_PATH_MAX_BYTES];
    for (int i = 0; i < 2; i++) {
        size_t size = 0;
        (void)snprintf(from, sizeof(from), "tokenizers/%s/%s", name, names[i]);
        char *text = read_text(test_shared(from), &size);
        assert_ok(od_path_join(path, folder, files[i], &err), &err);
        assert_ok(od_file_write(path, text, size, &err), &err);
        od_free(text);
    }
    assert_ok(od_path_join(path, folder, "tokenizer_config.json", &err), &err);
    assert_ok(od_file_write(path, config, strlen(config), &err), &err);
    assert_ok(od_tokenizer_open(folder, &tokenizer, &err), &err);
    return tokenizer;
}

static void test_qwen2_files(void **state)
{
    (void)state;
    struct od_tokenizer *tokenizer =
        open_files("qwen2", "merges.txt.gz",
                   "{\"tokenizer_class\": \"Qwen2Tokenizer\", \"bos_token\": null, "
                   "\"additional_special_tokens\": [\"<|im_start|>\", \"<|im_end|>\"]}");
    assert_int_equal(od_tokenizer_vocab_size(tokenizer), 151646);
    assert_int_equal(od_tokenizer_eos(tokenizer), 151643);
    assert_int_equal(check_cases(tokenizer, test_shared("tokenizers/qwen2/expected_hf.jsonl")),
                     232);
    check_long(tokenizer, test_shared("tokenizers/qwen2/expected_hf_long.json"));
    od_tokenizer_free(tokenizer);
}

static void test_roberta_files(void **state)
{
    (void)state;
    struct od_tokenizer *tokenizer =
        open_files("roberta", "merges.txt", "{\"tokenizer_class\": \"RobertaTokenizerFast\"}");
    assert_int_equal(od_tokenizer_vocab_size(tokenizer), 50265);
    assert_int_equal(od_tokenizer_bos(tokenizer), 0);
    assert_int_equal(od_tokenizer_eos(tokenizer), 2);
    assert_int_equal(check_cases(tokenizer, test_shared("tokenizers/roberta/expected_hf.jsonl.gz")),
                     232);
    check_long(tokenizer, test_shared("tokenizers/roberta/expected_hf_long.json"));
    od_tokenizer_free(tokenizer);
}

static void test_gpt2_files(void **state)
{
    (void)state;
    struct od_tokenizer *tokenizer =
        open_files("gpt2", "merges.txt", "{\"tokenizer_class\": \"GPT2Tokenizer\"}");
    assert_int_equal(od_tokenizer_eos(tokenizer), 50256);
    assert_int_equal(check_cases(tokenizer, test_shared("tokenizers/gpt2/expected_hf.jsonl")), 232);
    check_long(tokenizer, test_shared("tokenizers/gpt2/expected_hf_long.json"));
    od_tokenizer_free(tokenizer);
}

// Inputs between lines __ggml_vocab_test__, outputs one line each.
static void check_llama_cpp(struct od_tokenizer *tokenizer, const char *inputs_name,
                            const char *outputs_name, unsigned flags)
{
    static const char separator[] = "\n__ggml_vocab_test__\n";
    struct od_error err = {0};
    struct od_ids ids;
    struct od_buf line;
    size_t inputs_size = 0;
    size_t outputs_size = 0;
    size_t count = 0;
    char *inputs = read_text(test_shared(inputs_name), &inputs_size);
    char *outputs = read_text(test_shared(outputs_name), &outputs_size);
    const char *output = outputs;
    const char *at = inputs;
    const char *end = inputs + inputs_size;
    od_ids_init(&ids, IDS_MAX);
    od_buf_init(&line, TEXT_MAX_BYTES);
    while (at < end) {
        const char *stop = memmem(at, (size_t)(end - at), separator, sizeof(separator) - 1);
        if (!stop) {
            break;
        }
        od_ids_reset(&ids);
        od_buf_reset(&line);
        assert_ok(od_tokenizer_encode(tokenizer, at, (size_t)(stop - at), flags, &ids, &err), &err);
        for (size_t i = 0; i < ids.count; i++) {
            od_buf_printf(&line, " %" PRId32, ids.data[i]);
        }
        od_buf_putc(&line, '\n');
        assert_memory_equal(output, od_buf_text(&line), line.size);
        output += line.size;
        at = stop + sizeof(separator) - 1;
        count++;
    }
    assert_int_equal(count, 46);
    od_buf_release(&line);
    od_ids_release(&ids);
    od_free(inputs);
    od_free(outputs);
    od_tokenizer_free(tokenizer);
}

// The vocabulary of a packed GGUF file; the token `control`, unless it is negative, is taken for a
// control one, whatever the file says.
static struct od_tokenizer *open_gguf(const char *name, int64_t control)
{
    struct od_error err = {0};
    struct od_tokenizer *tokenizer = NULL;
    struct od_gguf *gguf = NULL;
    size_t size = 0;
    char *bytes = read_text(test_shared(name), &size);
    assert_ok(od_gguf_parse(bytes, size, name, &gguf, &err), &err);
    if (control >= 0) {
        const struct od_gguf_value *types = od_gguf_find(gguf, "tokenizer.ggml.token_type");
        bytes[types->bytes - (const unsigned char *)bytes + 4 * control] = OD_PIECE_CONTROL;
    }
    assert_ok(od_tokenizer_of_gguf(gguf, &tokenizer, &err), &err);
    od_gguf_close(gguf);
    od_free(bytes);
    return tokenizer;
}

static void test_gpt2_gguf(void **state)
{
    (void)state;
    struct od_tokenizer *tokenizer = open_gguf("tokenizers/gpt2/ggml-vocab-gpt-2.gguf.gz", -1);
    assert_int_equal(od_tokenizer_eos(tokenizer), 50256);
    assert_int_equal(check_cases(tokenizer, test_shared("tokenizers/gpt2/expected_hf.jsonl")), 232);
    check_long(tokenizer, test_shared("tokenizers/gpt2/expected_hf_long.json"));
    check_llama_cpp(tokenizer, "tokenizers/gpt2/ggml-vocab-gpt-2.gguf.inp",
                    "tokenizers/gpt2/ggml-vocab-gpt-2.gguf.out", OD_ENCODE_PLAIN);
}

static void test_phi3_gguf(void **state)
{
    (void)state;
    // The record was made from the pieces and scores alone, with </s> as SentencePiece has it; the
    // file says that it is one of the user's, which is found in a text.
    struct od_tokenizer *tokenizer = open_gguf("tokenizers/phi-3/ggml-vocab-phi-3.gguf.gz", 2);
    assert_int_equal(od_tokenizer_bos(tokenizer), 1);
    assert_int_equal(od_tokenizer_eos(tokenizer), 32000);
    assert_int_equal(check_cases(tokenizer, test_shared("tokenizers/phi-3/expected_spm.jsonl.gz")),
                     232);
    check_long(tokenizer, test_shared("tokenizers/phi-3/expected_spm_long.json"));
    od_tokenizer_free(tokenizer);
    check_llama_cpp(open_gguf("tokenizers/phi-3/ggml-vocab-phi-3.gguf.gz", -1),
                    "tokenizers/phi-3/ggml-vocab-phi-3.gguf.inp",
                    "tokenizers/phi-3/ggml-vocab-phi-3.gguf.out", OD_ENCODE_PLAIN);
}

static struct od_tokenizer *open_json(const char *name)
{
    struct od_error err = {0};
    struct od_tokenizer *tokenizer = NULL;
    assert_ok(od_tokenizer_open_json(test_shared(name), &tokenizer, &err), &err);
    return tokenizer;
}

static void test_llama_cpp_qwen2(void **state)
{
    (void)state;
    check_llama_cpp(
        open_files("qwen2", "merges.txt.gz", "{\"tokenizer_class\": \"Qwen2Tokenizer\"}"),
        "tokenizers/qwen2/ggml-vocab-qwen2.gguf.inp", "tokenizers/qwen2/ggml-vocab-qwen2.gguf.out",
        OD_ENCODE_PLAIN);
}

static void test_llama_cpp_roberta(void **state)
{
    (void)state;
    check_llama_cpp(
        open_files("roberta", "merges.txt", "{\"tokenizer_class\": \"RobertaTokenizer\"}"),
        "tokenizers/roberta/ggml-vocab-roberta-bpe.gguf.inp",
        "tokenizers/roberta/ggml-vocab-roberta-bpe.gguf.out", OD_ENCODE_PLAIN);
}

static void test_llama_cpp_gpt2(void **state)
{
    (void)state;
    check_llama_cpp(open_json("tokenizers/gpt2/tokenizer.json.gz"),
                    "tokenizers/gpt2/ggml-vocab-gpt-2.gguf.inp",
                    "tokenizers/gpt2/ggml-vocab-gpt-2.gguf.out", OD_ENCODE_PLAIN);
}

static void test_llama_cpp_gpt_neox(void **state)
{
    (void)state;
    check_llama_cpp(open_json("tokenizers/gpt-neox/tokenizer.json.gz"),
                    "tokenizers/gpt-neox/ggml-vocab-mpt.gguf.inp",
                    "tokenizers/gpt-neox/ggml-vocab-mpt.gguf.out", OD_ENCODE_PLAIN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gpt2),
        cmocka_unit_test(test_gpt_neox),
        cmocka_unit_test(test_mistral_json),
        cmocka_unit_test(test_mistral_model),
        cmocka_unit_test(test_stories_json),
        cmocka_unit_test(test_stories_model),
        cmocka_unit_test(test_t5_json),
        cmocka_unit_test(test_gpt2_gguf),
        cmocka_unit_test(test_phi3_gguf),
        cmocka_unit_test(test_qwen2_files),
        cmocka_unit_test(test_roberta_files),
        cmocka_unit_test(test_gpt2_files),
        cmocka_unit_test(test_t5_model),
        cmocka_unit_test(test_xlnet_model),
        cmocka_unit_test(test_unigram_model),
        cmocka_unit_test(test_llama_cpp_gpt2),
        cmocka_unit_test(test_llama_cpp_qwen2),
        cmocka_unit_test(test_llama_cpp_roberta),
        cmocka_unit_test(test_llama_cpp_gpt_neox),
    };
    return cmocka_run_group_tests_name("tokenizer_shared", tests, NULL, NULL);
}
