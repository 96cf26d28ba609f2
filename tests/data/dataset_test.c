// Goal: rows become exactly the ids that are served, learned where they should be; nothing is lost
// without being counted; broken input is one line with its place.
// Method: small files and a tokenizer of bytes (id = byte, BOS 256, EOS 257), so that every id can
// be written down; a tokenizer with a dummy prefix; and real rows where they exist.
#include "data/dataset.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"
#include "data/pack.h"
#include "data_world.h"
#include "support.h"
#include "text/tokenizer.h"

static void input_output(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_dataset d = {0};
    struct od_tokenizer *t = byte_tokenizer();
    static const char rows[] =
        "{\"input\": \"ab\", \"output\": \" cd\"}\n"
        "\n"
        "{\"prompt\": \"a\", \"response\": \"b\", \"more\": [1, {}]}\r\n"
        "{\"completion\": \"y\", \"prompt\": \"x\"}\n"
        "{\"question\": \"q\", \"answer\": \"\\u00e9</s>\"}";
    assert_ok(load("a.jsonl", rows, OD_DATASET_INPUT_OUTPUT, 1, t, &plain, &d, &err), &err);
    assert_int_equal(d.count, 4);
    expect_document(&d, 0, "<ab cd>", "0001111");
    expect_document(&d, 1, "<ab>", "0011");
    expect_document(&d, 2, "<xy>", "0011");
    expect_document(&d, 3, "<q\xc3\xa9>", "00111");  // EOS once
    assert_int_equal(d.label_count, 4 + 2 + 2 + 3);
    assert_int_equal(d.counts[0].rows, 4);
    assert_int_equal(d.counts[0].kept, 4);
    assert_int_equal(d.counts[0].documents, 4);
    assert_int_equal(d.counts[0].tokens, 7 + 4 + 4 + 5);
    od_dataset_release(&d);
    struct od_dataset_options all = plain;
    all.train_on_inputs = true;
    assert_ok(load("a.jsonl", rows, OD_DATASET_INPUT_OUTPUT, 1, t, &all, &d, &err), &err);
    expect_document(&d, 0, "<ab cd>", "0111111");
    od_dataset_release(&d);
    od_tokenizer_free(t);
}

// An answer goes on; a dummy prefix stands only in front of the prompt.
static void answers_go_on(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_dataset d = {0};
    struct od_tokenizer *t = prefix_tokenizer();
    static const char rows[] =
        "{\"input\": \"ab\", \"output\": \"cd\"}\n"
        "{\"input\": \"ab\", \"output\": \" cd\"}\n"
        "{\"input\": \"ab\", \"output\": \"\\ncd\"}\n";
    assert_ok(load("a.jsonl", rows, OD_DATASET_INPUT_OUTPUT, 1, t, &plain, &d, &err), &err);
    expect_document(&d, 0, "< abcd>", "0000111");
    expect_document(&d, 1, "< ab cd>", "00001111");
    expect_document(&d, 2, "< ab\ncd>", "00001111");
    od_dataset_release(&d);
    od_tokenizer_free(t);
}

static void alpaca(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_dataset d = {0};
    struct od_tokenizer *t = byte_tokenizer();
    const struct od_dataset_options options = {.sequence_len = 400};
    static const char rows[] =
        "[{\"instruction\": \"Do it.\", \"input\": \"this\", \"output\": \"x\"},\n"
        " {\"instruction\": \"Do it.\", \"context\": \"\", \"response\": \"y\"}]\n";
    assert_ok(load("a.json", rows, OD_DATASET_ALPACA, 1, t, &options, &d, &err), &err);
    assert_int_equal(d.count, 2);
    char want[512];
    char labels[512];
    (void)snprintf(want, sizeof want, "%s",
                   "<Below is an instruction that describes a task, paired with an input that "
                   "provides further context. Write a response that appropriately completes the "
                   "request.\n\n### Instruction:\nDo it.\n\n### Input:\nthis\n\n### Response:\nx>");
    memset(labels, '0', strlen(want));
    labels[strlen(want) - 1] = '1';
    labels[strlen(want) - 2] = '1';
    labels[strlen(want)] = '\0';
    expect_document(&d, 0, want, labels);
    (void)snprintf(want, sizeof want, "%s",
                   "<Below is an instruction that describes a task. Write a response that "
                   "appropriately completes the request.\n\n### Instruction:\nDo it.\n\n### "
                   "Response:\ny>");
    memset(labels, '0', strlen(want));
    labels[strlen(want) - 1] = '1';
    labels[strlen(want) - 2] = '1';
    labels[strlen(want)] = '\0';
    expect_document(&d, 1, want, labels);
    od_dataset_release(&d);
    od_tokenizer_free(t);
}

static void completion(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_dataset d = {0};
    struct od_tokenizer *t = byte_tokenizer();
    const struct od_dataset_options options = {.sequence_len = 4};
    static const char text[] =
        "ab\n<|endoftext|>\n"
        "\n<|endoftext|>\r\n"
        "a\n\n<|endoftext|> \n<|endoftext|>\n";
    assert_ok(load("a.txt", text, OD_DATASET_COMPLETION, 1, t, &plain, &d, &err), &err);
    assert_int_equal(d.count, 2);
    expect_document(&d, 0, "<ab>", "0111");
    expect_document(&d, 1, "<a\n\n<|endoftext|> >", "0111111111111111111");
    assert_int_equal(d.counts[0].rows, 3);
    assert_int_equal(d.counts[0].empty, 1);
    assert_int_equal(d.counts[0].kept, 2);
    od_dataset_release(&d);
    // Pieces: 9 ids in fours would leave one alone, 10 do not.
    assert_ok(load("a.jsonl",
                   "{\"text\": \"abcdefg\"}\n{\"text\": \"abcdefgh\"}\n{\"text\": \"ab\"}\n",
                   OD_DATASET_COMPLETION, 1, t, &options, &d, &err),
              &err);
    assert_int_equal(d.count, 7);
    expect_document(&d, 0, "<abc", "0111");
    expect_document(&d, 1, "def", "011");
    expect_document(&d, 2, "g>", "01");
    expect_document(&d, 3, "<abc", "0111");
    expect_document(&d, 4, "defg", "0111");
    expect_document(&d, 5, "h>", "01");
    expect_document(&d, 6, "<ab>", "0111");
    assert_int_equal(d.counts[0].too_long, 2);
    assert_int_equal(d.counts[0].kept, 3);
    assert_int_equal(d.counts[0].documents, 7);
    od_dataset_release(&d);
    od_tokenizer_free(t);
}

static void left_out_and_counted(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_dataset d = {0};
    struct od_tokenizer *t = byte_tokenizer();
    const struct od_dataset_options options = {.sequence_len = 6};
    static const char rows[] =
        "{\"input\": \"a\", \"output\": \"bcd\"}\n"    // 6 ids
        "{\"input\": \"a\", \"output\": \"bcde\"}\n"   // 7 ids
        "{\"input\": \"a\", \"output\": \" \\n\"}\n"   // empty
        "{\"input\": \"a\", \"output\": null}\n"       // empty
        "{\"input\": \"\", \"output\": \"a\xff\"}\n";  // bad byte
    assert_ok(load("a.jsonl", rows, OD_DATASET_INPUT_OUTPUT, 1, t, &options, &d, &err), &err);
    assert_int_equal(d.counts[0].rows, 5);
    assert_int_equal(d.counts[0].kept, 2);
    assert_int_equal(d.counts[0].too_long, 1);
    assert_int_equal(d.counts[0].empty, 2);
    assert_int_equal(d.counts[0].invalid_utf8, 1);
    expect_document(&d, 1, "<a\xef\xbf\xbd>", "011111");
    od_dataset_release(&d);
    static const char nothing[] =
        "{\"input\": \"a\", \"output\": \"\"}\n"
        "{\"input\": \"aaaa\", \"output\": \"bbbb\"}\n";
    assert_int_equal(load("a.jsonl", nothing, OD_DATASET_INPUT_OUTPUT, 1, t, &options, &d, &err),
                     OD_E_FORMAT);
    assert_string_equal(err.message,
                        "the data has nothing to learn: 2 rows, 1 of them empty, 1 "
                        "longer than sequence_len");
    assert_int_equal(load("a.txt", "", OD_DATASET_COMPLETION, 1, t, &options, &d, &err),
                     OD_E_FORMAT);
    od_tokenizer_free(t);
}

// Check that loading fails with a message that ends so.
static void fails(const char *name, const char *text, enum od_dataset_type type,
                  enum od_status status, const char *end)
{
    struct od_error err = {0};
    struct od_dataset d = {0};
    struct od_tokenizer *t = byte_tokenizer();
    const enum od_status got = load(name, text, type, 1, t, &plain, &d, &err);
    const size_t size = strlen(err.message);
    if (got != status || size < strlen(end) || strcmp(err.message + size - strlen(end), end) != 0) {
        fail_msg("of\n%s\nstatus %d and '%s', not %d and '%s'", text, (int)got, err.message,
                 (int)status, end);
    }
    assert_null(d.ids);
    od_tokenizer_free(t);
}

static void broken_rows(void **state)
{
    (void)state;
    const enum od_dataset_type io = OD_DATASET_INPUT_OUTPUT;
    fails("a.jsonl", "{\"input\": \"a\", \"output\": \"b\"}\n\n{\"input\": \"a\"}\n", io,
          OD_E_FORMAT,
          "a.jsonl:3: a row needs 'input' and 'output' (or 'prompt' and 'response', 'prompt' and "
          "'completion', 'question' and 'answer', or 'segments')");
    fails("a.jsonl", "[1]\n", io, OD_E_FORMAT, "a.jsonl:1: a row must be an object in {}");
    fails("a.jsonl", "{\"input\": 1, \"output\": \"b\"}\n", io, OD_E_FORMAT,
          "a.jsonl:1: 'input' must be a text");
    fails("a.jsonl", "{\"input\": \"a\", \"output\": \"b\"}\n  {\"input\" \"a\"}\n", io,
          OD_E_FORMAT, "a.jsonl:2:14: ':' expected near '\"a\"'");
    fails("a.json",
          "[{\"input\": \"a\", \"output\": \"b\"},\n\n {\"input\": \"a\",\n \"output\": b}]", io,
          OD_E_FORMAT, "a.json:4:12: invalid token near 'b'");
    fails("a.json", "[{\"input\": \"a\", \"output\": \"b\"}", io, OD_E_FORMAT,
          "a.json:1: the array does not end");
    fails("a.json", "[{\"input\": \"a\", \"output\": \"b\"}]\nx", io, OD_E_FORMAT,
          "a.json:2: text behind the end of the array");
    fails("a.json", "[]", io, OD_E_FORMAT,
          "the data has nothing to learn: 0 rows, 0 of them empty, 0 longer than sequence_len");
    fails("a.jsonl", "{\"text\": [\"a\"]}", OD_DATASET_COMPLETION, OD_E_FORMAT,
          "a.jsonl:1: 'text' must be a text");
    fails("a.jsonl", "{}", OD_DATASET_COMPLETION, OD_E_FORMAT, "a.jsonl:1: a row needs 'text'");
    fails("a.jsonl", "{\"instruction\": \"a\"}", OD_DATASET_ALPACA, OD_E_FORMAT,
          "a.jsonl:1: a row needs 'instruction' and 'output'");
    fails(
        "a.parquet", "a", io, OD_E_UNSUPPORTED,
        "data is read from .jsonl, .json, .csv, .tsv and .txt files (.gz, .zst or .xz behind it is "
        "fine)");
    fails("a.txt", "a", io, OD_E_ARGUMENT, "plain text needs 'type: completion'");
}

static void bad_settings(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_dataset d = {0};
    struct od_tokenizer *t = byte_tokenizer();
    const struct od_dataset_options short_rows = {.sequence_len = 1};
    const struct od_dataset_spec absent = {.path = "/nowhere/a.jsonl", .weight = 1};
    static const char row[] = "{\"input\": \"a\", \"output\": \"b\"}";
    assert_int_equal(load("a.jsonl", row, OD_DATASET_INPUT_OUTPUT, 0, t, &plain, &d, &err),
                     OD_E_ARGUMENT);
    assert_int_equal(load("a.jsonl", row, OD_DATASET_INPUT_OUTPUT, 1001, t, &plain, &d, &err),
                     OD_E_ARGUMENT);
    assert_int_equal(load("a.jsonl", row, OD_DATASET_INPUT_OUTPUT, 1, t, &short_rows, &d, &err),
                     OD_E_ARGUMENT);
    assert_int_equal(od_dataset_load(&absent, 1, t, &plain, &d, &err), OD_E_NOT_FOUND);
    assert_int_equal(od_dataset_load(&absent, 0, t, &plain, &d, &err), OD_E_ARGUMENT);
    od_tokenizer_free(t);
}

static void row_of_the_largest_size(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_dataset d = {0};
    struct od_tokenizer *t = byte_tokenizer();
    const size_t size = (size_t)OD_DATASET_ROW_MAX_BYTES + 1;
    char *text = od_alloc(size, 1);
    assert_non_null(text);
    memset(text, 'a', size);
    for (size_t extra = 0; extra < 2; extra++) {
        const struct od_dataset_spec spec = {
            .path = write_data("a.txt", text, OD_DATASET_ROW_MAX_BYTES + extra),
            .type = OD_DATASET_COMPLETION,
            .weight = 1};
        const enum od_status status = od_dataset_load(&spec, 1, t, &plain, &d, &err);
        assert_int_equal(status, extra == 0 ? OD_OK : OD_E_LIMIT);
        if (extra == 0) {
            assert_int_equal(d.counts[0].tokens, OD_DATASET_ROW_MAX_BYTES + 2);
            od_dataset_release(&d);
        }
    }
    od_free(text);
    od_tokenizer_free(t);
}

static int64_t sum_labels(const struct od_dataset *d)
{
    int64_t sum = 0;
    for (int64_t i = 0; i < d->offset[d->count]; i++) {
        sum += d->label[i];
    }
    return sum;
}

static void weights(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_tokenizer *t = byte_tokenizer();
    static const double weight[] = {1, 2, 0.5, 2.5, 0.25, 3};
    static const int64_t want[] = {100, 200, 50, 250, 25, 300};
    struct od_buf text;
    od_buf_init(&text, JSON_MAX_BYTES);
    for (int i = 0; i < 100; i++) {
        od_buf_printf(&text, "{\"input\": \"%02d\", \"output\": \"%0*d\"}\n", i, 1 + i % 7, i % 9);
    }
    for (size_t i = 0; i < sizeof weight / sizeof weight[0]; i++) {
        struct od_dataset d = {0};
        int copies[100] = {0};
        assert_ok(load("a.jsonl", od_buf_text(&text), OD_DATASET_INPUT_OUTPUT, weight[i], t, &plain,
                       &d, &err),
                  &err);
        assert_int_equal(d.count, want[i]);
        assert_int_equal(d.counts[0].kept, 100);
        assert_int_equal(d.counts[0].documents, want[i]);
        assert_int_equal(d.counts[0].tokens, d.offset[d.count]);
        assert_int_equal(d.label_count, sum_labels(&d));
        for (int64_t k = 0; k < d.count; k++) {
            const int32_t *ids = d.ids + d.offset[k];
            copies[(ids[1] - '0') * 10 + ids[2] - '0']++;
        }
        for (int k = 0; k < 100; k++) {
            assert_true(copies[k] >= (int)weight[i] && copies[k] <= (int)weight[i] + 1);
        }
        od_dataset_release(&d);
    }
    od_buf_release(&text);
    od_tokenizer_free(t);
}

static void several_files_and_gzip(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_dataset d = {0};
    struct od_tokenizer *t = byte_tokenizer();
    char first[OD_PATH_MAX_BYTES];
    char second[OD_PATH_MAX_BYTES];
    char digest[OD_SHA256_HEX_BYTES];
    (void)snprintf(first, sizeof first, "%s", write_data("a.txt", "ab", 2));
    (void)snprintf(second, sizeof second, "%s/b.jsonl.gz", test_folder());
    gzFile gz = gzopen(second, "wb");
    assert_non_null(gz);
    assert_true(gzputs(gz, "{\"input\": \"a\", \"output\": \"b\"}\n") > 0);
    assert_int_equal(gzclose(gz), Z_OK);
    const struct od_dataset_spec specs[] = {
        {.path = first, .type = OD_DATASET_COMPLETION, .weight = 1},
        {.path = second, .type = OD_DATASET_INPUT_OUTPUT, .weight = 1}};
    assert_ok(od_dataset_load(specs, 2, t, &plain, &d, &err), &err);
    assert_int_equal(d.count, 2);
    assert_int_equal(d.file_count, 2);
    expect_document(&d, 0, "<ab>", "0111");
    expect_document(&d, 1, "<ab>", "0011");
    for (size_t i = 0; i < 2; i++) {
        assert_ok(od_sha256_file(specs[i].path, digest, &err), &err);
        assert_string_equal(d.digest[i], digest);
    }
    od_dataset_release(&d);
    od_tokenizer_free(t);
}

static void without_memory(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_tokenizer *t = byte_tokenizer();
    struct od_tokenizer *prefix = prefix_tokenizer();
    char io[OD_PATH_MAX_BYTES];
    char text[OD_PATH_MAX_BYTES];
    static const char rows[] = "[{\"instruction\": \"a\", \"output\": \"b\xff\"}]";
    (void)snprintf(io, sizeof io, "%s", write_data("a.json", rows, strlen(rows)));
    (void)snprintf(text, sizeof text, "%s", write_data("a.txt", "ab\n<|endoftext|>\ncd", 19));
    const struct od_dataset_options options = {.sequence_len = 300};
    const struct od_dataset_spec specs[] = {
        {.path = io, .type = OD_DATASET_ALPACA, .weight = 2.5},
        {.path = text, .type = OD_DATASET_COMPLETION, .weight = 1}};
    for (int round = 0; round < 2; round++) {
        uint64_t failures = 0;
        for (uint64_t n = 1;; n++) {
            struct od_dataset d = {0};
            od_alloc_fail_at(n);
            const enum od_status status =
                od_dataset_load(specs, 2, round == 0 ? t : prefix, &options, &d, &err);
            od_alloc_fail_at(0);
            if (status == OD_OK) {
                od_dataset_release(&d);
                break;
            }
            assert_int_equal(status, OD_E_MEMORY);
            assert_null(d.ids);
            failures++;
        }
        assert_true(failures > 10);
    }
    od_tokenizer_free(t);
    od_tokenizer_free(prefix);
}

// Real rows: all read, served ids in front, the answer's text behind, and packs that are full.
static void dolly(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_tokenizer *t = NULL;
    struct od_dataset d = {0};
    struct od_packs packs = {0};
    char path[OD_PATH_MAX_BYTES];
    (void)snprintf(path, sizeof path, "%s",
                   test_shared("finetune/dolly/dolly_hhrlhf_train_small.jsonl.gz"));
    assert_ok(od_tokenizer_open_json(test_shared("tokenizers/gpt2/tokenizer.json.gz"), &t, &err),
              &err);
    od_tokenizer_set_bos_eos(t, 50256, 50256);
    const struct od_dataset_spec spec = {
        .path = path, .type = OD_DATASET_INPUT_OUTPUT, .weight = 1};
    const struct od_dataset_options options = {.sequence_len = 2048};
    assert_ok(od_dataset_load(&spec, 1, t, &options, &d, &err), &err);
    assert_int_equal(d.counts[0].rows, 1000);
    assert_int_equal(d.counts[0].kept + d.counts[0].too_long + d.counts[0].empty, 1000);
    assert_true(d.counts[0].kept >= 995);
    assert_int_equal(d.label_count, sum_labels(&d));
    for (int64_t i = 0; i < d.count; i++) {
        assert_int_equal(d.ids[d.offset[i + 1] - 1], 50256);
        assert_int_equal(d.label[d.offset[i + 1] - 1], 1);
    }
    assert_ok(od_packs_make(&d, 2048, true, 42, 0, &packs, &err), &err);
    const double fill = (double)packs.tokens / ((double)packs.count * 2048.0);
    (void)printf("# dolly: %" PRId64 " documents, %" PRId64 " tokens, %" PRId64
                 " packs, fill %.5f\n",
                 d.count, packs.tokens, packs.count, fill);
    // Only the last pack may have room: no packing could do with one row less.
    assert_int_equal(packs.count, (packs.tokens + 2047) / 2048);
    od_packs_release(&packs);
    od_dataset_release(&d);
    od_tokenizer_free(t);
}

// With a dummy prefix: the ids behind the prompt spell the answer, and nothing more.
static void dolly_with_mistral(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_tokenizer *t = NULL;
    struct od_dataset d = {0};
    char path[OD_PATH_MAX_BYTES];
    static const char row[] =
        "{\"prompt\": \"### Response:\\n\", \"response\": \"Yes, it is.\"}\n"
        "{\"prompt\": \"Answer:\", \"response\": \" B\"}\n";
    assert_ok(od_tokenizer_open_json(test_shared("tokenizers/mistral/tokenizer.json.gz"), &t, &err),
              &err);
    od_tokenizer_set_bos_eos(t, 1, 2);
    (void)snprintf(path, sizeof path, "%s", write_data("a.jsonl", row, strlen(row)));
    const struct od_dataset_spec spec = {
        .path = path, .type = OD_DATASET_INPUT_OUTPUT, .weight = 1};
    const struct od_dataset_options options = {.sequence_len = 2048};
    assert_ok(od_dataset_load(&spec, 1, t, &options, &d, &err), &err);
    static const char *const answers[] = {"Yes, it is.", " B"};
    static const char *const prompts[] = {"### Response:\n", "Answer:"};
    for (int64_t i = 0; i < 2; i++) {
        struct od_ids ids;
        struct od_buf text;
        od_ids_init(&ids, 1000);
        od_buf_init(&text, 1000);
        assert_ok(
            od_tokenizer_encode(t, prompts[i], strlen(prompts[i]), OD_ENCODE_SPECIAL, &ids, &err),
            &err);
        const int32_t *document = d.ids + d.offset[i];
        const int64_t count = d.offset[i + 1] - d.offset[i];
        assert_memory_equal(document, ids.data, ids.count * sizeof *ids.data);
        assert_ok(od_tokenizer_decode(t, document + ids.count, (size_t)count - ids.count - 1,
                                      OD_DECODE_RAW, &text, &err),
                  &err);
        assert_string_equal(od_buf_text(&text), answers[i]);
        assert_int_equal(document[count - 1], 2);
        od_ids_release(&ids);
        od_buf_release(&text);
    }
    od_dataset_release(&d);
    od_tokenizer_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(input_output),
        cmocka_unit_test(answers_go_on),
        cmocka_unit_test(alpaca),
        cmocka_unit_test(completion),
        cmocka_unit_test(left_out_and_counted),
        cmocka_unit_test(broken_rows),
        cmocka_unit_test(bad_settings),
        cmocka_unit_test(row_of_the_largest_size),
        cmocka_unit_test(weights),
        cmocka_unit_test(several_files_and_gzip),
        cmocka_unit_test(without_memory),
        cmocka_unit_test(dolly),
        cmocka_unit_test(dolly_with_mistral),
    };
    return cmocka_run_group_tests_name("data/dataset", tests, NULL, NULL);
}
