// Every allocation of this room fails once: each failure is OD_E_MEMORY, leaves nothing behind (the
// sanitizers look) and nothing in the output. Allocations of the JSON parser itself are not failed:
// Jansson does not look at the result of all of them.

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/status.h"
#include "formats/json.h"
#include "formats/text_file.h"
#include "support.h"
#include "text/byte_tokenizer.h"
#include "text/tokenizer.h"

enum { TEXT_MAX_BYTES = 1 << 24, IDS_MAX = 1 << 20, TRIES_MAX = 100000, FAULTS_LEAST = 3 };

// One tokenizer that has every kind of step.
static const char all_steps[] =
    "{\"added_tokens\": [{\"id\": 7, \"content\": \"<x>\", \"special\": true, \"lstrip\": true},"
    "{\"id\": 8, \"content\": \"YY\", \"normalized\": true}],"
    "\"normalizer\": {\"type\": \"Sequence\", \"normalizers\": [{\"type\": \"NFKC\"},"
    "{\"type\": \"Lowercase\"}, {\"type\": \"Strip\"}, {\"type\": \"StripAccents\"},"
    "{\"type\": \"Replace\", \"pattern\": {\"Regex\": \"c+\"}, \"content\": \"b\"},"
    "{\"type\": \"Replace\", \"pattern\": {\"String\": \"d\"}, \"content\": \"a\"}]},"
    "\"pre_tokenizer\": {\"type\": \"Sequence\", \"pretokenizers\": ["
    "{\"type\": \"Digits\"}, {\"type\": \"Punctuation\"},"
    "{\"type\": \"Split\", \"pattern\": {\"Regex\": \"\\\\s+\"}, \"behavior\": \"Contiguous\"},"
    "{\"type\": \"Split\", \"pattern\": {\"String\": \"q\"}, \"behavior\": \"MergedWithNext\"},"
    "{\"type\": \"Metaspace\", \"replacement\": \"_\", \"prepend_scheme\": \"always\"},"
    "{\"type\": \"ByteLevel\", \"add_prefix_space\": true}]},"
    "\"post_processor\": {\"type\": \"Sequence\", \"processors\": [{\"type\": \"ByteLevel\"},"
    "{\"type\": \"TemplateProcessing\", \"single\": [{\"SpecialToken\": {\"id\": \"<x>\"}},"
    "{\"Sequence\": {\"id\": \"A\"}}], \"special_tokens\": {\"<x>\": {\"ids\": [7]}}}]},"
    "\"decoder\": {\"type\": \"Sequence\", \"decoders\": [{\"type\": \"ByteLevel\"},"
    "{\"type\": \"Replace\", \"pattern\": {\"Regex\": \"_+\"}, \"content\": \" \"},"
    "{\"type\": \"ByteFallback\"}, {\"type\": \"Metaspace\", \"replacement\": \"_\"},"
    "{\"type\": \"Fuse\"}, {\"type\": \"Strip\", \"content\": \" \", \"start\": 1}]},"
    "\"model\": {\"type\": \"BPE\", \"unk_token\": \"?\", \"continuing_subword_prefix\": \"#\","
    "\"vocab\": {\"?\": 0, \"_\": 1, \"#a\": 2, \"#b\": 3, \"#ab\": 4, \"_ab\": 5, \"\xC4\xA0\": 6},"
    "\"merges\": [\"#a #b\", \"_ #ab\"]}}";

static const char sample[] =
    " \xC3\x81"
    "b c1! YY<x> ab\xEF\xAC\x81q\xCC\x81\xFF ab ab";

struct job {
    enum od_status (*run)(struct job *job, struct od_error *err);
    const char *bytes;
    size_t size;
    bool is_spm;
    struct od_tokenizer *tokenizer;
    struct od_ids ids;
    struct od_buf text;
    unsigned flags;
};

static enum od_status run_open(struct job *job, struct od_error *err)
{
    return job->is_spm
               ? od_tokenizer_parse_spm(job->bytes, job->size, "test", &job->tokenizer, err)
               : od_tokenizer_parse_json(job->bytes, job->size, "test", &job->tokenizer, err);
}

static enum od_status run_encode(struct job *job, struct od_error *err)
{
    od_ids_release(&job->ids);
    return od_tokenizer_encode(job->tokenizer, sample, sizeof(sample) - 1, OD_ENCODE_SPECIAL,
                               &job->ids, err);
}

static enum od_status run_decode(struct job *job, struct od_error *err)
{
    od_buf_release(&job->text);
    job->text.failed = false;
    return od_tokenizer_decode(job->tokenizer, job->ids.data, job->ids.count, job->flags,
                               &job->text, err);
}

// Allocations that parsing a JSON text makes.
static size_t json_allocations(const char *bytes, size_t size)
{
    struct od_error err = {0};
    json_t *value = NULL;
    const uint64_t before = od_alloc_count();
    assert_ok(od_json_parse(bytes, size, "test", &value, &err), &err);
    const uint64_t made = od_alloc_count() - before;
    json_decref(value);
    return (size_t)made;
}

// Run with the n-th allocation failing, from `first` on, until none fails; returns how many did.
static size_t with_faults(struct job *job, size_t first)
{
    for (size_t n = first; n < TRIES_MAX; n++) {
        struct od_error err = {0};
        const uint64_t before = od_alloc_count();
        od_alloc_fail_at(n);
        const enum od_status status = job->run(job, &err);
        const uint64_t made = od_alloc_count() - before;
        od_alloc_fail_at(0);
        if (made < n) {
            assert_ok(status, &err);
            return n - first;
        }
        if (status != OD_OK) {  // JIT memory may be missing without harm
            assert_int_equal(status, OD_E_MEMORY);
            assert_true(err.message[0] != '\0');
        } else if (job->run == run_open) {
            od_tokenizer_free(job->tokenizer);
            job->tokenizer = NULL;
        }
    }
    fail_msg("does not end");
    return 0;
}

static void check(const char *bytes, size_t size, bool is_spm)
{
    struct od_error err = {0};
    struct job job = {.run = run_open, .bytes = bytes, .size = size, .is_spm = is_spm};
    struct od_buf want;
    od_ids_init(&job.ids, IDS_MAX);
    od_buf_init(&job.text, TEXT_MAX_BYTES);
    od_buf_init(&want, TEXT_MAX_BYTES);
    // The tokenizer itself comes before the JSON; its failure is looked at by test_first.
    const size_t first = is_spm ? 1 : json_allocations(bytes, size) + 2;
    assert_true(with_faults(&job, first) >= FAULTS_LEAST);
    job.run = run_encode;
    assert_true(with_faults(&job, 1) >= FAULTS_LEAST);
    assert_true(job.ids.count > 0);
    job.run = run_decode;
    for (unsigned flags = 0; flags < 4; flags++) {
        job.flags = flags;
        assert_true(with_faults(&job, 1) >= 1);
        od_buf_reset(&want);
        assert_ok(
            od_tokenizer_decode(job.tokenizer, job.ids.data, job.ids.count, flags, &want, &err),
            &err);
        assert_int_equal(job.text.size, want.size);
        assert_memory_equal(job.text.bytes, want.bytes, want.size);
    }
    od_buf_release(&want);
    od_ids_release(&job.ids);
    od_buf_release(&job.text);
    od_tokenizer_free(job.tokenizer);
}

static void test_all_steps(void **state)
{
    (void)state;
    check(all_steps, sizeof(all_steps) - 1, false);
}

static void test_bytes(void **state)
{
    (void)state;
    struct od_buf json;
    od_buf_init(&json, TEXT_MAX_BYTES);
    od_tokenizer_put_bytes(&json);
    check(od_buf_text(&json), json.size, false);
    od_buf_release(&json);
}

static void check_model(const char *name)
{
    struct od_error err = {0};
    char *bytes = NULL;
    size_t size = 0;
    assert_ok(od_text_read(test_source(name), TEXT_MAX_BYTES, &bytes, &size, &err), &err);
    check(bytes, size, true);
    od_free(bytes);
}

static void test_spm(void **state)
{
    (void)state;
    check_model("tests/golden/oracle/text_spm/unused.model");
    check_model("tests/golden/oracle/text_spm/symbols.model");
    check_model("tests/golden/oracle/text_spm/rules.model");
    check_model("tests/golden/oracle/text_unigram/symbols.model");
    check_model("tests/golden/oracle/text_unigram/rules.model");
}

static void test_unigram_json(void **state)
{
    (void)state;
    struct od_error err = {0};
    char *bytes = NULL;
    size_t size = 0;
    assert_ok(od_text_read(test_source("tests/golden/oracle/text_unigram/hf_bytes.json"),
                           TEXT_MAX_BYTES, &bytes, &size, &err),
              &err);
    check(bytes, size, false);
    od_free(bytes);
}

static void test_wordpiece_json(void **state)
{
    (void)state;
    struct od_error err = {0};
    char *bytes = NULL;
    size_t size = 0;
    assert_ok(od_file_read(test_source("tests/text/corpus/tokenizer_json_fuzz/wordpiece.json"),
                           TEXT_MAX_BYTES, &bytes, &size, &err),
              &err);
    check(bytes, size, false);
    od_free(bytes);
}

static void test_first(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_tokenizer *tokenizer = NULL;
    od_alloc_fail_at(1);
    assert_int_equal(od_tokenizer_parse_json("{}", 2, "test", &tokenizer, &err), OD_E_MEMORY);
    od_alloc_fail_at(0);
    assert_null(tokenizer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_steps), cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_spm),       cmocka_unit_test(test_unigram_json),
        cmocka_unit_test(test_first),     cmocka_unit_test(test_wordpiece_json),
    };
    return cmocka_run_group_tests_name("fault", tests, NULL, NULL);
}
