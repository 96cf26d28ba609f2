// Tokenizers of our own: the byte tokenizer, folders with settings, broken files, long words.

#include "text/tokenizer.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/random.h"
#include "base/status.h"
#include "base/text.h"
#include "support.h"
#include "text/byte_tokenizer.h"

enum { TEXT_MAX_BYTES = 1 << 26, IDS_MAX = 1 << 23, ROUNDS = 300 };

#define MODEL(members) "{\"model\": {" members "}}"
#define SMALL \
    "\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0, \"b\": 1, \"ab\": 2}, \"merges\": [\"a b\"]}"
#define WITH(members) "{" SMALL ", " members "}"

static struct od_tokenizer *open_bytes(void)
{
    struct od_error err = {0};
    struct od_tokenizer *tokenizer = NULL;
    const char *folder = test_folder();
    assert_ok(od_tokenizer_write_bytes(folder, &err), &err);
    assert_ok(od_tokenizer_open(folder, &tokenizer, &err), &err);
    return tokenizer;
}

static struct od_tokenizer *parse(const char *json)
{
    struct od_error err = {0};
    struct od_tokenizer *tokenizer = NULL;
    assert_ok(od_tokenizer_parse_json(json, strlen(json), "test", &tokenizer, &err), &err);
    return tokenizer;
}

static void encode(const struct od_tokenizer *tokenizer, const char *text, size_t size,
                   unsigned flags, struct od_ids *ids)
{
    struct od_error err = {0};
    od_ids_reset(ids);
    assert_ok(od_tokenizer_encode(tokenizer, text, size, flags, ids, &err), &err);
}

// `want` ends with -1.
static void assert_ids(const struct od_tokenizer *tokenizer, const char *text, unsigned flags,
                       const int32_t *want)
{
    struct od_ids ids;
    size_t count = 0;
    od_ids_init(&ids, IDS_MAX);
    encode(tokenizer, text, strlen(text), flags, &ids);
    while (want[count] >= 0) {
        count++;
    }
    assert_int_equal(ids.count, count);
    assert_memory_equal(ids.data, want, count * sizeof(*want));
    od_ids_release(&ids);
}

static void assert_text(const struct od_tokenizer *tokenizer, const int32_t *ids, size_t count,
                        unsigned flags, const char *want, size_t want_size)
{
    struct od_error err = {0};
    struct od_buf text;
    od_buf_init(&text, TEXT_MAX_BYTES);
    assert_ok(od_tokenizer_decode(tokenizer, ids, count, flags, &text, &err), &err);
    assert_int_equal(text.size, want_size);
    assert_memory_equal(od_buf_text(&text), want, want_size);
    od_buf_release(&text);
}

#define IDS(...) ((const int32_t[]){__VA_ARGS__, -1})

static void encode_nothing(const struct od_tokenizer *tokenizer)
{
    struct od_ids ids;
    od_ids_init(&ids, IDS_MAX);
    encode(tokenizer, NULL, 0, OD_ENCODE_SPECIAL, &ids);
    assert_int_equal(ids.count, 1);
    assert_text(tokenizer, NULL, 0, OD_DECODE_PLAIN, "", 0);
    od_ids_release(&ids);
}

static void test_bytes(void **state)
{
    (void)state;
    struct od_tokenizer *tokenizer = open_bytes();
    assert_int_equal(od_tokenizer_vocab_size(tokenizer), OD_BYTE_VOCAB_SIZE);
    assert_int_equal(od_tokenizer_bos(tokenizer), OD_BYTE_BOS);
    assert_int_equal(od_tokenizer_eos(tokenizer), OD_BYTE_EOS);
    assert_int_equal(od_tokenizer_find(tokenizer, "<pad>", 5), OD_BYTE_PAD);
    assert_int_equal(od_tokenizer_find(tokenizer, "none", 4), -1);
    assert_true(od_tokenizer_is_special(tokenizer, OD_BYTE_PAD));
    assert_false(od_tokenizer_is_special(tokenizer, 255));
    assert_false(od_tokenizer_is_special(tokenizer, -1));
    assert_false(od_tokenizer_is_special(tokenizer, OD_BYTE_VOCAB_SIZE));
    assert_int_equal(strlen(od_tokenizer_digest(tokenizer)), 64);

    assert_ids(tokenizer, "", OD_ENCODE_PLAIN, IDS(-1));
    encode_nothing(tokenizer);
    assert_ids(tokenizer, "", OD_ENCODE_SPECIAL, IDS(256));
    assert_ids(tokenizer, "a \xC3\xA9\n", OD_ENCODE_PLAIN, IDS(97, 32, 0xC3, 0xA9, 10));
    assert_ids(tokenizer, "a</s>", OD_ENCODE_SPECIAL, IDS(256, 97, 257));
    assert_ids(tokenizer, "<s>", OD_ENCODE_NO_ADDED, IDS(60, 115, 62));
    assert_ids(tokenizer, "a\xFF", OD_ENCODE_PLAIN, IDS(97, 0xEF, 0xBF, 0xBD));

    const int32_t ids[] = {256, 32, 0xC3, 0xA9, 0xE2, 257};
    assert_text(tokenizer, ids, 6, OD_DECODE_PLAIN, "<s> \xC3\xA9\xEF\xBF\xBD</s>", 13);
    assert_text(tokenizer, ids, 6, OD_DECODE_SKIP_SPECIAL, " \xC3\xA9\xEF\xBF\xBD", 6);
    assert_text(tokenizer, ids, 6, OD_DECODE_SKIP_SPECIAL | OD_DECODE_RAW, " \xC3\xA9\xE2", 4);
    od_tokenizer_free(tokenizer);
}

static void random_utf8(struct od_mt19937 *mt, size_t characters, struct od_buf *out)
{
    od_buf_reset(out);
    for (size_t i = 0; i < characters; i++) {
        char bytes[4];
        uint32_t code = (uint32_t)od_py_randbelow(mt, 0x10FFFF);
        const uint64_t kind = od_py_randbelow(mt, 4);
        if (kind < 2 || (code >= 0xD800 && code < 0xE000)) {
            code = (uint32_t)od_py_randbelow(mt, 128);
        } else if (kind == 2) {
            code %= 0x3000;
        }
        od_buf_append(out, bytes, (size_t)od_utf8_encode(code, bytes));
    }
}

// Every text comes back, and so does every sequence of bytes when it is raw.
static void test_bytes_round_trip(void **state)
{
    (void)state;
    struct od_tokenizer *tokenizer = open_bytes();
    struct od_mt19937 mt;
    struct od_buf text;
    struct od_ids ids;
    const uint64_t seed = test_seed();
    od_mt_seed_python_int(&mt, seed);
    od_buf_init(&text, TEXT_MAX_BYTES);
    od_ids_init(&ids, IDS_MAX);
    for (int i = 0; i < ROUNDS; i++) {
        random_utf8(&mt, (size_t)od_py_randbelow(&mt, 40), &text);
        encode(tokenizer, od_buf_text(&text), text.size, OD_ENCODE_NO_ADDED, &ids);
        assert_int_equal(ids.count, text.size);
        assert_text(tokenizer, ids.data, ids.count, OD_DECODE_PLAIN, od_buf_text(&text), text.size);
        for (size_t j = 0; j < ids.count; j++) {
            ids.data[j] = (int32_t)od_py_randbelow(&mt, 256);
            text.bytes[j] = (char)(unsigned char)ids.data[j];
        }
        assert_text(tokenizer, ids.data, ids.count, OD_DECODE_RAW, od_buf_text(&text), text.size);
    }
    od_buf_release(&text);
    od_ids_release(&ids);
    od_tokenizer_free(tokenizer);
}

static void write_file(const char *folder, const char *name, const char *text)
{
    struct od_error err = {0};
    char path[OD_PATH_MAX_BYTES];
    assert_ok(od_path_join(path, folder, name, &err), &err);
    assert_ok(od_file_write(path, text, strlen(text), &err), &err);
}

static void assert_bos_eos(const char *folder, int32_t bos, int32_t eos)
{
    struct od_error err = {0};
    struct od_tokenizer *tokenizer = NULL;
    assert_ok(od_tokenizer_open(folder, &tokenizer, &err), &err);
    assert_int_equal(od_tokenizer_bos(tokenizer), bos);
    assert_int_equal(od_tokenizer_eos(tokenizer), eos);
    od_tokenizer_set_bos_eos(tokenizer, 1, 2);
    assert_int_equal(od_tokenizer_bos(tokenizer), 1);
    assert_int_equal(od_tokenizer_eos(tokenizer), 2);
    od_tokenizer_free(tokenizer);
}

static void test_folder_settings(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_tokenizer *tokenizer = NULL;
    const char *folder = test_folder();
    assert_int_equal(od_tokenizer_open(folder, &tokenizer, &err), OD_E_NOT_FOUND);
    assert_ok(od_tokenizer_write_bytes(folder, &err), &err);
    write_file(folder, "tokenizer_config.json", "{\"bos_token\": null}");
    assert_bos_eos(folder, -1, -1);
    write_file(folder, "special_tokens_map.json",
               "{\"bos_token\": {\"content\": \"<s>\"}, \"eos_token\": \"</s>\"}");
    assert_bos_eos(folder, 256, 257);
    // tokenizer_config.json is the newer file and wins; a name without a piece names nothing.
    write_file(folder, "tokenizer_config.json",
               "{\"bos_token\": {\"content\": \"<pad>\"}, \"eos_token\": \"<none>\"}");
    assert_bos_eos(folder, 258, 257);
    write_file(folder, "tokenizer_config.json", "{\"bos_token\": ");
    assert_int_equal(od_tokenizer_open(folder, &tokenizer, &err), OD_E_FORMAT);
    assert_null(tokenizer);
}

static const char holes[] =
    "{\"added_tokens\": [{\"id\": 9, \"content\": \"<x>\", \"special\": true},"
    "{\"id\": 7, \"content\": \"<y>\", \"special\": false}],"
    "\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0, \"b\": 3, \"ab\": 5},"
    "\"merges\": [[\"a\", \"b\"]]}}";

static void test_ids_without_piece(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_tokenizer *tokenizer = parse(holes);
    struct od_buf text;
    od_buf_init(&text, TEXT_MAX_BYTES);
    assert_int_equal(od_tokenizer_vocab_size(tokenizer), 10);
    assert_int_equal(od_tokenizer_bos(tokenizer), -1);
    // Without a decoder tokens are joined by blanks; a hole leaves no text.
    assert_text(tokenizer, IDS(0, 1, 3), 3, OD_DECODE_PLAIN, "a b", 3);
    assert_text(tokenizer, IDS(0, 1, 3), 3, OD_DECODE_RAW, " a b", 4);
    assert_int_equal(od_tokenizer_decode(tokenizer, IDS(10), 1, 0, &text, &err), OD_E_ARGUMENT);
    assert_int_equal(od_tokenizer_decode(tokenizer, (const int32_t[]){-1}, 1, 0, &text, &err),
                     OD_E_ARGUMENT);
    assert_int_equal(text.size, 0);
    // Characters without piece and without unknown piece are dropped.
    assert_ids(tokenizer, "zabz", OD_ENCODE_PLAIN, IDS(5));
    // What is not special is found also when special tokens are not.
    assert_ids(tokenizer, "<x>a<y>", OD_ENCODE_PLAIN, IDS(9, 0, 7));
    assert_ids(tokenizer, "<x>a<y>", OD_ENCODE_NO_ADDED, IDS(0, 7));
    od_buf_release(&text);
    od_tokenizer_free(tokenizer);
}

// Raw, a Strip of each token stays; one of the whole text does not, because a part has no start.
static void test_raw_strip(void **state)
{
    (void)state;
    struct od_tokenizer *each =
        parse(WITH("\"decoder\": {\"type\": \"Strip\", \"content\": \"a\", \"start\": 1}"));
    struct od_tokenizer *whole =
        parse(WITH("\"decoder\": {\"type\": \"Sequence\", \"decoders\": [{\"type\": \"Fuse\"},"
                   "{\"type\": \"Strip\", \"content\": \"a\", \"start\": 1}]}"));
    assert_text(each, IDS(2, 2), 2, OD_DECODE_PLAIN, "bb", 2);
    assert_text(each, IDS(2, 2), 2, OD_DECODE_RAW, "bb", 2);
    assert_text(whole, IDS(2, 2), 2, OD_DECODE_PLAIN, "bab", 3);
    assert_text(whole, IDS(2, 2), 2, OD_DECODE_RAW, "abab", 4);
    od_tokenizer_free(each);
    od_tokenizer_free(whole);
}

static void test_limits(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_tokenizer *tokenizer = open_bytes();
    struct od_ids ids;
    od_ids_init(&ids, 3);
    assert_ok(od_tokenizer_encode(tokenizer, "abc", 3, 0, &ids, &err), &err);
    assert_int_equal(od_tokenizer_encode(tokenizer, "d", 1, 0, &ids, &err), OD_E_MEMORY);
    assert_true(ids.failed);
    assert_int_equal(ids.count, 0);
    od_ids_release(&ids);
    od_tokenizer_free(tokenizer);
}

// A word of a million characters: candidates are kept in a heap, so this ends soon.
static void test_long_words(void **state)
{
    (void)state;
    enum { LENGTH = 1 << 20 };
    struct od_tokenizer *tokenizer = parse(
        "{\"pre_tokenizer\": {\"type\": \"ByteLevel\", \"add_prefix_space\": false},"
        "\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0, \"b\": 1, \"aa\": 2, \"aaaa\": 3,"
        "\"ab\": 4, \"\xC4\xA0\": 5, \"\xC4\xA0\xC4\xA0\": 6},"
        "\"merges\": [\"a a\", \"aa aa\", \"a b\", \"\xC4\xA0 \xC4\xA0\"]}}");
    struct od_ids ids;
    char *text = od_alloc(LENGTH, 1);
    assert_non_null(text);
    od_ids_init(&ids, IDS_MAX);
    memset(text, 'a', LENGTH);
    encode(tokenizer, text, LENGTH, 0, &ids);
    assert_int_equal(ids.count, LENGTH / 4);
    assert_int_equal(ids.data[LENGTH / 4 - 1], 3);
    text[LENGTH - 1] = 'b';
    encode(tokenizer, text, LENGTH, 0, &ids);
    assert_int_equal(ids.count, LENGTH / 4 + 1);  // ..., aa, ab
    assert_int_equal(ids.data[ids.count - 1], 4);
    memset(text, ' ', LENGTH - 1);
    text[LENGTH - 1] = 'a';
    encode(tokenizer, text, LENGTH, 0, &ids);
    assert_int_equal(ids.count, LENGTH / 2 + 1);  // blanks but the last, " a"
    od_free(text);
    od_ids_release(&ids);
    od_tokenizer_free(tokenizer);
}

struct broken {
    const char *json;
    enum od_status status;
    const char *message;  // a part of it
};

static const struct broken broken_models[] = {
    {"", OD_E_FORMAT, "test"},
    {"[]", OD_E_FORMAT, "must be an object"},
    {"{}", OD_E_FORMAT, "model"},
    {"{\"model\": 3}", OD_E_FORMAT, "model"},
    {"{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0", OD_E_FORMAT, "test:1"},
    {MODEL("\"type\": \"WordLevel\", \"vocab\": {}"), OD_E_UNSUPPORTED, "'WordLevel'"},
    {MODEL("\"type\": \"Unigram\", \"vocab\": []"), OD_E_FORMAT, "'vocab'"},
    {MODEL("\"type\": \"Unigram\", \"vocab\": [[\"a\"]]"), OD_E_FORMAT, "piece 0"},
    {MODEL("\"unk_id\": 1, \"vocab\": [[\"a\", 0]]"), OD_E_FORMAT, "unk_id 1"},
    {MODEL("\"unk_id\": 0, \"vocab\": [[\"a\", 0], [\"a\", 0]]"), OD_E_FORMAT, "same text"},
    {"{\"model\": {\"unk_id\": 0, \"vocab\": [[\"a\", 0]]}, \"normalizer\": {\"type\": "
     "\"Precompiled\", \"precompiled_charsmap\": \"A?==\"}}",
     OD_E_FORMAT, "no base64"},
    {"{\"model\": {\"unk_id\": 0, \"vocab\": [[\"a\", 0]]}, \"normalizer\": {\"type\": "
     "\"Precompiled\", \"precompiled_charsmap\": \"AAAAAAA=\"}}",
     OD_E_FORMAT, "rules are broken"},
    {MODEL("\"vocab\": {}"), OD_E_UNSUPPORTED, "model: type"},
    {MODEL("\"type\": \"BPE\", \"merges\": []"), OD_E_FORMAT, "'vocab'"},
    {MODEL("\"type\": \"BPE\", \"vocab\": {\"a\": 0}"), OD_E_FORMAT, "'merges'"},
    {MODEL("\"vocab\": {\"a\": \"0\"}, \"merges\": []"), OD_E_FORMAT, "no integer"},
    {MODEL("\"vocab\": {\"a\": 0, \"b\": 0}, \"merges\": []"), OD_E_FORMAT, "two pieces have id 0"},
    {MODEL("\"vocab\": {\"a\": 0, \"a\": 1}, \"merges\": []"), OD_E_FORMAT, "test:1"},
    {MODEL("\"vocab\": {\"a\": -1}, \"merges\": []"), OD_E_LIMIT, "outside"},
    {MODEL("\"vocab\": {\"a\": 2097152}, \"merges\": []"), OD_E_LIMIT, "outside"},
    {MODEL("\"vocab\": {\"a\": 0}, \"merges\": [\"a b\"]"), OD_E_FORMAT, "merge 0 ('a' and 'b')"},
    {MODEL("\"vocab\": {\"a\": 0, \"b\": 1}, \"merges\": [[\"a\", \"b\"]]"), OD_E_FORMAT,
     "merge 0"},
    {MODEL("\"vocab\": {\"a\": 0}, \"merges\": [\"a\"]"), OD_E_FORMAT, "merge 0 is no pair"},
    {MODEL("\"vocab\": {\"a\": 0}, \"merges\": [\"a a a\"]"), OD_E_FORMAT, "merge 0 is no pair"},
    {MODEL("\"vocab\": {\"a\": 0}, \"merges\": [[\"a\"]]"), OD_E_FORMAT, "merge 0 is no pair"},
    {MODEL("\"vocab\": {\"a\": 0}, \"merges\": [7]"), OD_E_FORMAT, "merge 0 is no pair"},
    {MODEL("\"vocab\": {\"a\": 0}, \"merges\": [], \"dropout\": 0.1"), OD_E_UNSUPPORTED, "dropout"},
    {MODEL("\"vocab\": {\"a\": 0}, \"merges\": [], \"unk_token\": \"u\""), OD_E_FORMAT,
     "unk_token"},
    {MODEL("\"vocab\": {\"a\": 0}, \"merges\": [], \"fuse_unk\": 1"), OD_E_FORMAT, "fuse_unk"},
    {MODEL("\"vocab\": {\"a\": 0}, \"merges\": [], \"byte_fallback\": true, "
           "\"continuing_subword_prefix\": \"##\""),
     OD_E_UNSUPPORTED, "continuing_subword_prefix"},
};

static const struct broken broken_steps[] = {
    {WITH("\"normalizer\": {\"type\": \"Nmt\"}"), OD_E_UNSUPPORTED, "normalizer"},
    {WITH("\"normalizer\": {}"), OD_E_FORMAT, "'type'"},
    {WITH("\"normalizer\": 3"), OD_E_FORMAT, "normalizer"},
    {WITH("\"normalizer\": {\"type\": \"Prepend\"}"), OD_E_FORMAT, "prepend"},
    {WITH("\"normalizer\": {\"type\": \"Sequence\"}"), OD_E_FORMAT, "normalizers"},
    {WITH("\"normalizer\": {\"type\": \"Replace\", \"content\": \"\", \"pattern\": \"a\"}"),
     OD_E_UNSUPPORTED, "pattern"},
    {WITH("\"pre_tokenizer\": {\"type\": \"UnicodeScripts\"}"), OD_E_UNSUPPORTED,
     "pre_tokenizer: type 'UnicodeScripts'"},
    {WITH("\"pre_tokenizer\": {\"type\": \"Split\", \"pattern\": {\"Regex\": \"(a\"}, "
          "\"behavior\": \"Isolated\"}"),
     OD_E_FORMAT, "pre_tokenizer: pattern '(a'"},
    {WITH("\"pre_tokenizer\": {\"type\": \"Split\", \"pattern\": {\"String\": \"a\"}, "
          "\"behavior\": \"Glued\"}"),
     OD_E_UNSUPPORTED, "'Glued'"},
    {WITH("\"pre_tokenizer\": {\"type\": \"Split\", \"pattern\": {\"String\": \"a\"}}"),
     OD_E_UNSUPPORTED, "behavior"},
    {WITH("\"pre_tokenizer\": {\"type\": \"Metaspace\", \"replacement\": \"_\", "
          "\"prepend_scheme\": \"last\"}"),
     OD_E_UNSUPPORTED, "'last'"},
    {WITH("\"pre_tokenizer\": {\"type\": \"Metaspace\", \"replacement\": \"\"}"), OD_E_FORMAT,
     "replacement"},
    {WITH("\"decoder\": {\"type\": \"CTC\"}"), OD_E_UNSUPPORTED, "decoder: type 'CTC'"},
    {WITH("\"decoder\": {\"type\": \"Strip\", \"content\": \"\"}"), OD_E_FORMAT, "content"},
    {WITH("\"post_processor\": {\"type\": \"Other\"}"), OD_E_UNSUPPORTED, "post_processor"},
    {WITH("\"post_processor\": {\"type\": \"TemplateProcessing\"}"), OD_E_UNSUPPORTED, "single"},
    {WITH("\"post_processor\": {\"type\": \"TemplateProcessing\", \"single\": []}"),
     OD_E_UNSUPPORTED, "one Sequence"},
    {WITH("\"post_processor\": {\"type\": \"TemplateProcessing\", \"single\": "
          "[{\"SpecialToken\": {\"id\": \"x\"}}, {\"Sequence\": {\"id\": \"A\"}}]}"),
     OD_E_FORMAT, "'x'"},
    {WITH("\"post_processor\": {\"type\": \"TemplateProcessing\", \"single\": "
          "[{\"SpecialToken\": {\"id\": \"x\"}}, {\"Sequence\": {\"id\": \"A\"}}], "
          "\"special_tokens\": {\"x\": {\"ids\": [3]}}}"),
     OD_E_FORMAT, "not in the vocabulary"},
    {WITH("\"post_processor\": {\"type\": \"BertProcessing\", \"cls\": [\"x\", 3]}"), OD_E_FORMAT,
     "'cls'"},
    {WITH("\"post_processor\": {\"type\": \"Sequence\", \"processors\": ["
          "{\"type\": \"BertProcessing\", \"cls\": [\"a\", 0], \"sep\": [\"a\", 0]},"
          "{\"type\": \"BertProcessing\", \"cls\": [\"a\", 0], \"sep\": [\"a\", 0]}]}"),
     OD_E_UNSUPPORTED, "two processors"},
    {WITH("\"added_tokens\": {}"), OD_E_FORMAT, "added_tokens"},
    {WITH("\"added_tokens\": [{\"content\": \"x\"}]"), OD_E_FORMAT, "'id'"},
    {WITH("\"added_tokens\": [{\"id\": 3, \"content\": \"\"}]"), OD_E_FORMAT, "content"},
    {WITH("\"added_tokens\": [{\"id\": 4, \"content\": \"a\"}]"), OD_E_FORMAT, "is piece 0"},
    {WITH("\"added_tokens\": [{\"id\": 1, \"content\": \"x\"}]"), OD_E_FORMAT, "two pieces"},
    {WITH("\"added_tokens\": [{\"id\": 2097152, \"content\": \"x\"}]"), OD_E_LIMIT, "outside"},
    {WITH("\"added_tokens\": [{\"id\": 3, \"content\": \"x\", \"lstrip\": 1}]"), OD_E_FORMAT,
     "lstrip"},
};

static void check_broken(const struct broken *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct od_error err = {0};
        struct od_tokenizer *tokenizer = NULL;
        const enum od_status status =
            od_tokenizer_parse_json(cases[i].json, strlen(cases[i].json), "test", &tokenizer, &err);
        if (status != cases[i].status || !strstr(err.message, cases[i].message)) {
            fail_msg("%s gives %d '%s', not %d '%s'", cases[i].json, (int)status, err.message,
                     (int)cases[i].status, cases[i].message);
        }
        assert_null(tokenizer);
    }
}

static void test_broken_json(void **state)
{
    (void)state;
    check_broken(broken_models, sizeof(broken_models) / sizeof(broken_models[0]));
    check_broken(broken_steps, sizeof(broken_steps) / sizeof(broken_steps[0]));
}

static enum od_status parse_status(const struct od_buf *json)
{
    struct od_error err = {0};
    struct od_tokenizer *tokenizer = NULL;
    const enum od_status status =
        od_tokenizer_parse_json(od_buf_text(json), json->size, "test", &tokenizer, &err);
    od_tokenizer_free(tokenizer);
    return status;
}

// A vocabulary of one piece of `size` bytes.
static enum od_status piece_status(size_t size)
{
    struct od_buf json;
    od_buf_init(&json, TEXT_MAX_BYTES);
    od_buf_puts(&json, "{\"model\": {\"merges\": [], \"vocab\": {\"");
    for (size_t i = 0; i < size; i++) {
        od_buf_putc(&json, 'a');
    }
    od_buf_puts(&json, "\": 0}}}");
    const enum od_status status = parse_status(&json);
    od_buf_release(&json);
    return status;
}

// `count` normalizers, in lists nested `depth` deep.
static enum od_status steps_status(size_t count, size_t depth)
{
    struct od_buf json;
    od_buf_init(&json, TEXT_MAX_BYTES);
    od_buf_puts(&json, "{" SMALL ", \"normalizer\": ");
    for (size_t i = 0; i < depth; i++) {
        od_buf_puts(&json, "{\"type\": \"Sequence\", \"normalizers\": [");
    }
    for (size_t i = 0; i < count; i++) {
        od_buf_puts(&json, i > 0 ? ", {\"type\": \"NFC\"}" : "{\"type\": \"NFC\"}");
    }
    for (size_t i = 0; i < depth; i++) {
        od_buf_puts(&json, "]}");
    }
    od_buf_puts(&json, "}");
    const enum od_status status = parse_status(&json);
    od_buf_release(&json);
    return status;
}

static void test_maxima(void **state)
{
    (void)state;
    assert_int_equal(piece_status(OD_TOKENIZER_PIECE_MAX_BYTES), OD_OK);
    assert_int_equal(piece_status(OD_TOKENIZER_PIECE_MAX_BYTES + 1), OD_E_LIMIT);
    assert_int_equal(steps_status(64, 1), OD_OK);
    assert_int_equal(steps_status(65, 1), OD_E_LIMIT);
    assert_int_equal(steps_status(1, 8), OD_OK);
    assert_int_equal(steps_status(1, 9), OD_E_FORMAT);
    od_tokenizer_free(parse(MODEL("\"vocab\": {\"a\": 2097151}, \"merges\": []")));
}

// A pattern that would run for ever gives up.
static void test_slow_pattern(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_ids ids;
    char text[64];
    struct od_tokenizer *tokenizer =
        parse(WITH("\"pre_tokenizer\": {\"type\": \"Split\", \"pattern\": {\"Regex\": "
                   "\"(a|b|ab)*[c-e]\"}, \"behavior\": \"Isolated\"}"));
    memset(text, 'a', sizeof(text));
    for (size_t i = 1; i < sizeof(text); i += 2) {
        text[i] = 'b';
    }
    od_ids_init(&ids, IDS_MAX);
    assert_int_equal(od_tokenizer_encode(tokenizer, text, sizeof(text), 0, &ids, &err), OD_E_LIMIT);
    assert_int_equal(ids.count, 0);
    od_ids_release(&ids);
    od_tokenizer_free(tokenizer);
}

// A copied tokenizer is the same one: the files that od_tokenizer_open reads are all there.
static void test_copy(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_tokenizer *copy = NULL;
    const char *from = test_folder();
    const char *to = test_folder();
    char path[OD_PATH_MAX_BYTES];
    assert_ok(od_tokenizer_write_bytes(from, &err), &err);
    static const char added[] = "{\"<s>\": 256}";
    assert_ok(od_path_join(path, from, "added_tokens.json", &err), &err);
    assert_ok(od_file_write(path, added, sizeof added - 1, &err), &err);
    assert_ok(od_path_join(path, from, "config.json", &err), &err);
    assert_ok(od_file_write(path, "{}", 2, &err), &err);
    assert_ok(od_tokenizer_copy(from, to, &err), &err);
    assert_ok(od_tokenizer_open(to, &copy, &err), &err);
    assert_int_equal(od_tokenizer_bos(copy), 256);
    od_tokenizer_free(copy);
    assert_ok(od_path_join(path, to, "added_tokens.json", &err), &err);
    assert_true(od_path_exists(path));
    assert_ok(od_path_join(path, to, "config.json", &err), &err);
    assert_false(od_path_exists(path));  // no file of the tokenizer
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_bytes_round_trip),
        cmocka_unit_test(test_folder_settings),
        cmocka_unit_test(test_ids_without_piece),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_raw_strip),
        cmocka_unit_test(test_long_words),
        cmocka_unit_test(test_broken_json),
        cmocka_unit_test(test_maxima),
        cmocka_unit_test(test_slow_pattern),
        cmocka_unit_test(test_copy),
    };
    return cmocka_run_group_tests_name("tokenizer", tests, NULL, NULL);
}
