// Folders of vocab.json and merges.txt: which family cuts text, which tokens are added, what is
// refused. Ids of real vocabularies are compared in tokenizer_shared_test.c.

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/memory.h"
#include "base/status.h"
#include "support.h"
#include "text/tokenizer.h"

enum { IDS_MAX = 1 << 16 };

static const char vocab[] =
    "{\"a\": 0, \"b\": 1, \"\u0120\": 2, \"ab\": 3, \"\u0120ab\": 4, "
    "\"<s>\": 5, \"</s>\": 6, \"!\": 7}";
static const char merges[] = "#version: 0.2\na b\r\n\u0120 ab\n";

static void write_file(const char *folder, const char *name, const char *text)
{
    struct od_error err = {0};
    char path[OD_PATH_MAX_BYTES];
    assert_ok(od_path_join(path, folder, name, &err), &err);
    assert_ok(od_file_write(path, text, strlen(text), &err), &err);
}

static const char *make_folder(const char *config)
{
    const char *folder = test_folder();
    write_file(folder, "vocab.json", vocab);
    write_file(folder, "merges.txt", merges);
    if (config) {
        write_file(folder, "tokenizer_config.json", config);
    }
    return folder;
}

static void assert_ids(const struct od_tokenizer *tokenizer, const char *text, unsigned flags,
                       const int32_t *want, size_t count)
{
    struct od_error err = {0};
    struct od_ids ids;
    od_ids_init(&ids, IDS_MAX);
    assert_ok(od_tokenizer_encode(tokenizer, text, strlen(text), flags, &ids, &err), &err);
    assert_int_equal(ids.count, count);
    assert_memory_equal(ids.data, want, count * sizeof(*want));
    od_ids_release(&ids);
}

static void test_words(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_tokenizer *tokenizer = NULL;
    const int32_t plain[] = {3, 4};
    const int32_t prefixed[] = {4, 4};
    char digest[OD_SHA256_HEX_BYTES];
    struct od_buf both;
    assert_ok(od_tokenizer_open(make_folder("{\"tokenizer_class\": \"GPT2Tokenizer\"}"), &tokenizer,
                                &err),
              &err);
    assert_ids(tokenizer, "ab ab", OD_ENCODE_SPECIAL, plain, 2);
    od_buf_init(&both, IDS_MAX);
    od_buf_puts(&both, vocab);
    od_buf_puts(&both, merges);
    od_sha256_hex(od_buf_text(&both), both.size, digest);
    assert_string_equal(od_tokenizer_digest(tokenizer), digest);
    od_buf_release(&both);
    // The class's own special token is not in this vocabulary: it gets the next id.
    assert_int_equal(od_tokenizer_eos(tokenizer), 8);
    assert_int_equal(od_tokenizer_find(tokenizer, "<|endoftext|>", 13), 8);
    od_tokenizer_free(tokenizer);
    assert_ok(od_tokenizer_open(make_folder("{\"tokenizer_class\": \"GPT2TokenizerFast\", "
                                            "\"add_prefix_space\": true}"),
                                &tokenizer, &err),
              &err);
    assert_ids(tokenizer, "ab ab", OD_ENCODE_PLAIN, prefixed, 2);
    od_tokenizer_free(tokenizer);
}

static void test_added(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_tokenizer *tokenizer = NULL;
    const int32_t ids[] = {20, 3, 21, 0, 22, 30};
    const int32_t not_special[] = {0, 22, 0};
    const char *folder = make_folder(
        "{\"tokenizer_class\": \"Qwen2Tokenizer\", \"bos_token\": \"<b>\", "
        "\"add_bos_token\": true, \"eos_token\": {\"content\": \"<e>\"}, "
        "\"added_tokens_decoder\": {\"20\": {\"content\": \"<b>\", \"special\": true}, "
        "\"21\": {\"content\": \"<e>\", \"special\": true, \"lstrip\": true}, "
        "\"22\": {\"content\": \"<t>\", \"special\": false}}, "
        "\"additional_special_tokens\": [\"<x>\", \"<y>\"]}");
    write_file(folder, "added_tokens.json", "{\"<x>\": 29}");
    assert_ok(od_tokenizer_open(folder, &tokenizer, &err), &err);
    assert_int_equal(od_tokenizer_bos(tokenizer), 20);
    assert_int_equal(od_tokenizer_eos(tokenizer), 21);
    // <|endoftext|> of the class comes behind those with ids, <y> behind it.
    assert_int_equal(od_tokenizer_find(tokenizer, "<|endoftext|>", 13), 30);
    assert_int_equal(od_tokenizer_find(tokenizer, "<y>", 3), 31);
    assert_true(od_tokenizer_is_special(tokenizer, 29));
    assert_false(od_tokenizer_is_special(tokenizer, 22));
    assert_ids(tokenizer, "ab  <e>a<t><|endoftext|>", OD_ENCODE_SPECIAL, ids, 6);
    assert_ids(tokenizer, "a<t>a", OD_ENCODE_NO_ADDED, not_special, 3);
    od_tokenizer_free(tokenizer);
}

static void test_around(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_tokenizer *tokenizer = NULL;
    const int32_t ids[] = {5, 3, 6};
    const char *folder = make_folder(NULL);
    // The class is not said; the model's family is.
    write_file(folder, "config.json", "{\"model_type\": \"roberta\"}");
    assert_ok(od_tokenizer_open(folder, &tokenizer, &err), &err);
    assert_ids(tokenizer, "ab", OD_ENCODE_SPECIAL, ids, 3);
    assert_int_equal(od_tokenizer_bos(tokenizer), 5);
    assert_int_equal(od_tokenizer_eos(tokenizer), 6);
    od_tokenizer_free(tokenizer);
}

static void assert_refused(const char *folder, enum od_status want, const char *part)
{
    struct od_error err = {0};
    struct od_tokenizer *tokenizer = NULL;
    assert_int_equal(od_tokenizer_open(folder, &tokenizer, &err), want);
    if (!strstr(err.message, part)) {
        fail_msg("'%s' does not say '%s'", err.message, part);
    }
    assert_null(tokenizer);
}

static void test_refused(void **state)
{
    (void)state;
    static const char gpt2[] = "{\"tokenizer_class\": \"GPT2Tokenizer\"}";
    assert_refused(make_folder(NULL), OD_E_UNSUPPORTED, "tokenizer_class");
    assert_refused(make_folder("{\"tokenizer_class\": \"GPT2TokenizerSlow\"}"), OD_E_UNSUPPORTED,
                   "RobertaTokenizer");
    assert_refused(make_folder("{\"tokenizer_class\": 3}"), OD_E_FORMAT, "tokenizer_class");
    assert_refused(make_folder("{\"tokenizer_class\": \"GPT2Tokenizer\", \"added_tokens_decoder\": "
                               "{\"x\": {\"content\": \"y\"}}}"),
                   OD_E_FORMAT, "added_tokens_decoder: 'x'");
    assert_refused(make_folder("{\"tokenizer_class\": \"GPT2Tokenizer\", \"added_tokens_decoder\": "
                               "{\"-4\": {\"content\": \"y\"}}}"),
                   OD_E_FORMAT, "added_tokens_decoder: '-4'");
    const char *folder = make_folder(gpt2);
    write_file(folder, "added_tokens.json", "{\"q\": -2}");
    assert_refused(folder, OD_E_FORMAT, "'q'");
    folder = make_folder(gpt2);
    write_file(folder, "merges.txt", "a b c\n");
    assert_refused(folder, OD_E_FORMAT, "merge 0");
    folder = make_folder(gpt2);
    write_file(folder, "merges.txt", "a b\nb \xFF\n");
    assert_refused(folder, OD_E_FORMAT, "merges.txt': byte 4");
    folder = make_folder(gpt2);
    write_file(folder, "merges.txt", "a q\n");
    assert_refused(folder, OD_E_FORMAT, "'q'");
    folder = make_folder(gpt2);
    write_file(folder, "vocab.json", "[]");
    assert_refused(folder, OD_E_FORMAT, "vocab");
    folder = make_folder(gpt2);
    write_file(folder, "vocab.json", "{\"a\": 0.5}");
    assert_refused(folder, OD_E_FORMAT, "'a'");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_added),
        cmocka_unit_test(test_around),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests_name("bpe_files", tests, NULL, NULL);
}
