// Goal: each type of data becomes the ids that are served, learned exactly where the answers are;
// conversations, trees, tables and layouts of one's own; what is broken is one line with its place.
// Method: tokenizers of bytes, so that every id can be written down (< BOS, > EOS, { and } the turns of
// chatml); real tokenizers and real files where they exist, against renderings made here.
#include <jansson.h>
#include <lzma.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/status.h"
#include "data/dataset.h"
#include "data_world.h"
#include "formats/json.h"
#include "formats/jsonl.h"
#include "formats/text_file.h"
#include "support.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

static const struct od_dataset_options wide = {.sequence_len = 4096, .seed = 1};

static enum od_status load_spec(const char *name, const char *text, struct od_dataset_spec spec,
                                const struct od_tokenizer *tokenizer, struct od_dataset *ret,
                                struct od_error *err)
{
    spec.path = write_data(name, text, strlen(text));
    spec.weight = 1;
    return od_dataset_load(&spec, 1, tokenizer, &wide, ret, err);
}

static void spec_fails(const char *name, const char *text, struct od_dataset_spec spec,
                       enum od_status status, const char *end)
{
    struct od_error err = {0};
    struct od_dataset d = {0};
    struct od_tokenizer *t = byte_tokenizer();
    const enum od_status got = load_spec(name, text, spec, t, &d, &err);
    const size_t size = strlen(err.message);
    if (got != status || size < strlen(end) || strcmp(err.message + size - strlen(end), end) != 0) {
        fail_msg("of\n%s\nstatus %d and '%s', not %d and '%s'", text, (int)got, err.message,
                 (int)status, end);
    }
    od_tokenizer_free(t);
}

// As expect_document; what stands between ` and ` is learned.
static void expect_marked(const struct od_dataset *d, int64_t index, const char *marked)
{
    char ids[512];
    char labels[512];
    size_t n = 0;
    char label = '0';
    for (const char *at = marked; *at != '\0'; at++) {
        if (*at == '`') {
            label = label == '0' ? '1' : '0';
        } else {
            ids[n] = *at;
            labels[n++] = label;
        }
    }
    ids[n] = '\0';
    labels[n] = '\0';
    expect_document(d, index, ids, labels);
}

static const struct od_dataset_spec chatml = {.type = OD_DATASET_CHAT, .chat_template = "chatml"};

static void chat(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_dataset d = {0};
    struct od_tokenizer *t = byte_tokenizer();
    static const char rows[] =
        "{\"messages\": [{\"role\": \"system\", \"content\": \"s\"}, {\"role\": \"user\", "
        "\"content\": \"u\"}, {\"role\": \"assistant\", \"content\": \"yes\"}, {\"role\": \"user\", "
        "\"content\": \"v\"}, {\"role\": \"assistant\", \"content\": \"no\"}, {\"role\": \"user\", "
        "\"content\": \"w\"}]}\n"
        "{\"conversations\": [{\"from\": \"gpt\", \"value\": \"hi\"}, {\"from\": \"human\", "
        "\"value\": \"u\"}, {\"from\": \"gpt\", \"value\": \"a \"}], \"system\": \"q\"}\n"
        "{\"messages\": [{\"role\": \"user\", \"content\": \"u\"}]}\n"
        "{\"messages\": [{\"role\": \"user\", \"content\": \"u\"}, {\"role\": \"assistant\", "
        "\"content\": \" \"}]}\n"
        "{\"messages\": []}\n";
    assert_ok(load_spec("a.jsonl", rows, chatml, t, &d, &err), &err);
    assert_int_equal(d.count, 2);
    expect_marked(&d, 0,
                  "<{system\ns}\n{user\nu}\n{assistant\n`yes}`\n{user\nv}\n{assistant\n`no}>`");
    expect_marked(&d, 1, "<{system\nq}\n{user\nu}\n{assistant\n`a }>`");
    assert_int_equal(d.counts[0].rows, 5);
    assert_int_equal(d.counts[0].kept, 2);
    assert_int_equal(d.counts[0].empty, 3);
    assert_int_equal(d.counts[0].split, 0);
    od_dataset_release(&d);
    od_tokenizer_free(t);
}

// Members with names of one's own; everything is learned with train_on_inputs.
static void chat_fields(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_dataset d = {0};
    struct od_tokenizer *t = byte_tokenizer();
    struct od_dataset_options all = wide;
    all.train_on_inputs = true;
    static const char rows[] =
        "[{\"talk\": [{\"who\": \"prompter\", \"what\": \"u\"}, {\"who\": \"bot\", \"what\": \"a\"}]}]";
    const struct od_dataset_spec spec = {
        .path = write_data("a.json", rows, strlen(rows)),
        .type = OD_DATASET_CHAT,
        .weight = 1,
        .fields = {.messages = "talk", .role = "who", .content = "what"},
        .chat_template =
            "{% for m in messages %}{{ m.role[0] ~ m.content ~ eos_token }}{% endfor %}"
            "{% if add_generation_prompt %}a{% endif %}"};
    assert_ok(od_dataset_load(&spec, 1, t, &all, &d, &err), &err);
    expect_marked(&d, 0, "<`uu>aa>`");
    od_dataset_release(&d);
    assert_ok(od_dataset_load(&spec, 1, t, &wide, &d, &err), &err);
    expect_marked(&d, 0, "<uu>a`a>`");
    od_dataset_release(&d);
    od_tokenizer_free(t);
}

// A template that leaves earlier answers out: each answer stands behind what is served.
static void split_conversations(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_dataset d = {0};
    struct od_tokenizer *t = byte_tokenizer();
    const struct od_dataset_spec spec = {
        .type = OD_DATASET_CHAT,
        .chat_template =
            "{% for m in messages %}{{ m.role[0] ~ ('-' if m.role == 'assistant' and not "
            "loop.last else m.content) }};{% endfor %}"
            "{% if add_generation_prompt %}a{% endif %}"};
    static const char rows[] =
        "{\"messages\": [{\"role\": \"user\", \"content\": \"U\"}, {\"role\": \"assistant\", "
        "\"content\": \"A\"}, {\"role\": \"user\", \"content\": \"V\"}, {\"role\": \"assistant\", "
        "\"content\": \"B\"}]}";
    assert_ok(load_spec("a.jsonl", rows, spec, t, &d, &err), &err);
    assert_int_equal(d.count, 2);
    assert_int_equal(d.counts[0].split, 1);
    assert_int_equal(d.counts[0].kept, 1);
    expect_marked(&d, 0, "<uU;a`A;>`");
    expect_marked(&d, 1, "<uU;a-;uV;a`B;>`");
    od_dataset_release(&d);
    od_tokenizer_free(t);
}

static void broken_chats(void **state)
{
    (void)state;
    const enum od_status bad = OD_E_FORMAT;
    spec_fails("a.jsonl", "{\"messages\": 1}", chatml, bad,
               "a.jsonl:1: a row needs the list 'messages'");
    spec_fails("a.jsonl", "\n{\"messages\": [{\"role\": \"user\"}]}", chatml, bad,
               "a.jsonl:2: message 1 needs the texts 'role' and 'content'");
    spec_fails("a.jsonl", "{\"messages\": [{\"role\": \"user\", \"content\": 5}]}", chatml, bad,
               "a.jsonl:1: message 1 needs the texts 'role' and 'content'");
    static const char two[] =
        "{\"messages\": [{\"role\": \"assistant\", \"content\": \"x\"}, {\"role\": \"user\", "
        "\"content\": \"x\"}, {\"role\": \"user\", \"content\": \"x\"}, {\"role\": \"assistant\", "
        "\"content\": \"x\"}]}";
    spec_fails(
        "a.jsonl", two,
        (struct od_dataset_spec){.type = OD_DATASET_CHAT, .chat_template = "llama2"}, bad,
        "a.jsonl:1: the prompt of the conversation: llama2:4: the template refuses: user and "
        "assistant must take turns, the user first");
    spec_fails("a.jsonl", two,
               (struct od_dataset_spec){.type = OD_DATASET_CHAT,
                                        .chat_template = "{{ messages | length }}"},
               OD_E_UNSUPPORTED,
               "a.jsonl:1: the chat template 'chat_template' does not put an answer behind its "
               "prompt: what is learned would not be what is served");
    spec_fails("a.jsonl", two, (struct od_dataset_spec){.type = OD_DATASET_CHAT}, OD_E_ARGUMENT,
               "a.jsonl': conversations need a 'chat_template'");
    spec_fails("a.jsonl", two,
               (struct od_dataset_spec){.type = OD_DATASET_CHAT, .chat_template = "chatlm"},
               OD_E_NOT_FOUND,
               "there is no chat template 'chatlm': it must be chatml, llama2, llama3, mistral, "
               "zephyr, vicuna, alpaca, tokenizer_default (the model's own) or a Jinja text");
}

static void own_template_of_a_model(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_chat_template *chat_template = NULL;
    char path[OD_PATH_MAX_BYTES];
    char folder[OD_PATH_MAX_BYTES];
    (void)snprintf(folder, sizeof folder, "%s", test_folder());
    assert_int_equal(od_chat_template_read(folder, &chat_template, &err), OD_E_NOT_FOUND);
    static const char *const configs[] = {
        "{\"chat_template\": \"{{ bos_token }}one\"}",
        // NOLINTNEXTLINE(bugprone-suspicious-missing-comma): one text
        ("{\"chat_template\": [{\"name\": \"tool_use\", \"template\": \"no\"}, "
         "{\"name\": \"default\", \"template\": \"two{{ messages | length }}\"}]}"),
        "{\"chat_template\": [{\"name\": \"other\", \"template\": \"no\"}]}", "{}"};
    static const char *const want[] = {"one", "two0"};
    (void)snprintf(path, sizeof path, "%s/tokenizer_config.json", folder);
    for (size_t i = 0; i < 4; i++) {
        assert_ok(od_file_write(path, configs[i], strlen(configs[i]), &err), &err);
        const enum od_status status = od_chat_template_read(folder, &chat_template, &err);
        assert_int_equal(status, i < 2 ? OD_OK : i == 2 ? OD_E_FORMAT : OD_E_NOT_FOUND);
        if (i < 2) {
            struct od_buf out;
            json_t *messages = json_array();
            const struct od_chat nothing = {.messages = messages};
            od_buf_init(&out, 100);
            assert_ok(od_chat_template_render(chat_template, &nothing, NULL, &out, &err), &err);
            assert_string_equal(od_buf_text(&out), want[i]);
            od_buf_release(&out);
            json_decref(messages);
            od_chat_template_free(chat_template);
        }
    }
    (void)snprintf(path, sizeof path, "%s/chat_template.jinja", folder);
    assert_ok(od_file_write(path, "{% x %}", 7, &err), &err);
    assert_int_equal(od_chat_template_read(folder, &chat_template, &err), OD_E_UNSUPPORTED);
    (void)snprintf(folder, sizeof folder, "%s:1: the statement 'x' is not supported here", path);
    assert_string_equal(err.message, folder);
}

static const struct od_dataset_spec oasst = {.type = OD_DATASET_OASST, .chat_template = "chatml"};

static void trees(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_tokenizer *t = byte_tokenizer();
    // u -> a -> v -> (b, c deleted), and a second answer d; a root without an answer.
    static const char *const files[] = {
        "{\"message_tree_id\": \"t\", \"prompt\": {\"message_id\": \"1\", \"text\": \"u\", \"role\": "
        "\"prompter\", \"replies\": [{\"message_id\": \"2\", \"text\": \"a\", \"role\": \"assistant\", "
        "\"replies\": [{\"message_id\": \"3\", \"text\": \"v\", \"role\": \"prompter\", \"replies\": "
        "[{\"message_id\": \"4\", \"text\": \"b\", \"role\": \"assistant\", \"replies\": []}, "
        "{\"message_id\": \"5\", \"text\": \"c\", \"role\": \"assistant\", \"deleted\": true}]}, "
        "{\"message_id\": \"8\", \"text\": \"w\", \"role\": \"prompter\"}]}, {\"message_id\": \"6\", "
        "\"text\": \"d\", \"role\": \"assistant\"}]}}\n"
        "{\"message_tree_id\": \"s\", \"prompt\": {\"message_id\": \"7\", \"text\": \"x\", \"role\": "
        "\"prompter\"}}\n",
        "{\"message_id\": \"2\", \"parent_id\": \"1\", \"text\": \"a\", \"role\": \"assistant\"}\n"
        "{\"message_id\": \"1\", \"parent_id\": null, \"text\": \"u\", \"role\": \"prompter\"}\n"
        "{\"message_id\": \"3\", \"parent_id\": \"2\", \"text\": \"v\", \"role\": \"prompter\"}\n"
        "{\"message_id\": \"8\", \"parent_id\": \"2\", \"text\": \"w\", \"role\": \"prompter\"}\n"
        "{\"message_id\": \"4\", \"parent_id\": \"3\", \"text\": \"b\", \"role\": \"assistant\"}\n"
        "{\"message_id\": \"6\", \"parent_id\": \"1\", \"text\": \"d\", \"role\": \"assistant\"}\n"
        "{\"message_id\": \"7\", \"parent_id\": null, \"text\": \"x\", \"role\": \"prompter\"}\n"};
    for (size_t i = 0; i < 2; i++) {
        struct od_dataset d = {0};
        assert_ok(load_spec("a.jsonl", files[i], oasst, t, &d, &err), &err);
        assert_int_equal(d.count, 2);
        expect_marked(&d, 0, "<{user\nu}\n{assistant\n`a}`\n{user\nv}\n{assistant\n`b}>`");
        expect_marked(&d, 1, "<{user\nu}\n{assistant\n`d}>`");
        // Ways: to b, to w (nothing new), to d, and the root without an answer.
        assert_int_equal(d.counts[0].rows, 4);
        assert_int_equal(d.counts[0].empty, 2);
        od_dataset_release(&d);
    }
    od_tokenizer_free(t);
    spec_fails("a.jsonl", "{\"text\": \"a\"}", oasst, OD_E_FORMAT,
               "a.jsonl:1: a message needs 'role' and 'text'");
    spec_fails("a.jsonl",
               "{\"message_id\": \"1\", \"parent_id\": \"9\", \"text\": \"a\", \"role\": \"x\"}",
               oasst, OD_E_FORMAT, "a.jsonl:1: the parent '9' is not in the file, or deleted");
    spec_fails("a.jsonl",
               "{\"message_id\": \"1\", \"parent_id\": \"2\", \"text\": \"a\", \"role\": \"x\"}\n"
               "{\"message_id\": \"2\", \"parent_id\": \"1\", \"text\": \"a\", \"role\": \"x\"}\n",
               oasst, OD_E_FORMAT, "a.jsonl': messages are parents of one another");
    spec_fails("a.jsonl",
               "{\"message_id\": \"1\", \"text\": \"a\", \"role\": \"x\"}\n"
               "{\"message_id\": \"1\", \"text\": \"a\", \"role\": \"x\"}\n",
               oasst, OD_E_FORMAT, "a.jsonl:2: there are two messages '1'");
}

static void segments(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_dataset d = {0};
    struct od_tokenizer *t = byte_tokenizer();
    const struct od_dataset_spec spec = {.type = OD_DATASET_INPUT_OUTPUT};
    static const char rows[] =
        "{\"segments\": [{\"label\": false, \"text\": \"<s>q:\"}, {\"label\": true, \"text\": \"a\"}, "
        "{\"label\": true, \"text\": \"b</s>\"}, {\"label\": false, \"text\": \"r:\"}, {\"label\": "
        "true, \"text\": \"c</s>\"}, {\"label\": false, \"text\": \"rest\"}]}\n"
        "{\"segments\": [{\"label\": true, \"text\": \"x\"}]}\n"
        "{\"segments\": [{\"label\": false, \"text\": \"x\"}]}\n";
    assert_ok(load_spec("a.jsonl", rows, spec, t, &d, &err), &err);
    assert_int_equal(d.count, 2);
    expect_marked(&d, 0, "<q:`ab>`r:`c>`");
    expect_marked(&d, 1, "<`x>`");
    assert_int_equal(d.counts[0].empty, 1);
    od_dataset_release(&d);
    od_tokenizer_free(t);
    spec_fails("a.jsonl", "{\"segments\": [{\"label\": 1, \"text\": \"x\"}]}", spec, OD_E_FORMAT,
               "a.jsonl:1: a segment needs 'label', true or false, and 'text'");
}

static void layouts_of_ones_own(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_dataset d = {0};
    struct od_tokenizer *t = byte_tokenizer();
    struct od_dataset_spec spec = {.type = OD_DATASET_OWN,
                                   .fields = {.instruction = "q", .input = "c", .output = "a"},
                                   .format = "{{{input}}} {instruction}=",
                                   .no_input_format = "[{instruction}]",
                                   .system_format = "({system})",
                                   .system_prompt = "p"};
    static const char rows[] =
        "{\"q\": \"Q\", \"c\": \"C\", \"a\": \"A\"}\n{\"q\": \"Q\", \"a\": \"A\", \"system\": \"S\"}\n"
        "{\"q\": \"Q\", \"a\": \"\"}\n";
    assert_ok(load_spec("a.jsonl", rows, spec, t, &d, &err), &err);
    assert_int_equal(d.count, 2);
    expect_marked(&d, 0, "<(p){C} Q=`A>`");
    expect_marked(&d, 1, "<(S)[Q]`A>`");
    assert_int_equal(d.counts[0].empty, 1);
    od_dataset_release(&d);
    spec = (struct od_dataset_spec){.type = OD_DATASET_OWN};
    assert_ok(load_spec("a.jsonl",
                        "{\"instruction\": \"q\", \"input\": \"i\", \"output\": \"o\"}\n"
                        "{\"instruction\": \"q\", \"output\": \"o\"}\n",
                        spec, t, &d, &err),
              &err);
    expect_marked(&d, 0, "<q i `o>`");
    expect_marked(&d, 1, "<q `o>`");
    od_dataset_release(&d);
    od_tokenizer_free(t);
    spec.no_input_format = "{instruct}";
    spec_fails("a.jsonl", "{\"instruction\": \"q\", \"output\": \"o\"}", spec, OD_E_FORMAT,
               "a.jsonl': a format knows {instruction}, {input} and {system}, and {{ and }} for "
               "braces: not '{instruct}'");
}

static void alpaca_variants(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_dataset d = {0};
    struct od_tokenizer *t = byte_tokenizer();
    struct od_dataset_spec spec = {.type = OD_DATASET_ALPACA_CHAT};
    assert_ok(load_spec("a.jsonl",
                        "{\"question\": \"q\", \"answer\": \"a\"}\n"
                        "{\"instruction\": \"q\", \"input\": \"i\", \"output\": \"a\"}\n",
                        spec, t, &d, &err),
              &err);
    expect_marked(&d, 0, "<USER: q\nASSISTANT:` a>`");
    expect_marked(&d, 1, "<USER: q\ni\nASSISTANT:` a>`");
    od_dataset_release(&d);
    spec = (struct od_dataset_spec){.type = OD_DATASET_ALPACA};
    assert_ok(load_spec("a.jsonl",
                        "{\"instruction\": \"q\", \"output\": \"a\", \"system\": \"s\"}\n", spec, t,
                        &d, &err),
              &err);
    expect_marked(&d, 0, "<s\n\n### Instruction:\nq\n\n### Response:\n`a>`");
    od_dataset_release(&d);
    od_tokenizer_free(t);
}

static void tables(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_dataset d = {0};
    struct od_tokenizer *t = byte_tokenizer();
    struct od_dataset_spec spec = {.type = OD_DATASET_INPUT_OUTPUT};
    assert_ok(
        load_spec("a.csv", "output,input,more\r\n\"a,\n\"\"b\",q,x\n\nc,r,\n", spec, t, &d, &err),
        &err);
    assert_int_equal(d.count, 2);
    expect_marked(&d, 0, "<q`a,\n\"b>`");
    expect_marked(&d, 1, "<r`c>`");
    od_dataset_release(&d);
    spec.columns = "question,answer,why";
    spec.fields = (struct od_dataset_fields){.input = "question", .output = "why"};
    assert_ok(load_spec("a.tsv", "q\ta\tw\n", spec, t, &d, &err), &err);
    expect_marked(&d, 0, "<q`w>`");
    od_dataset_release(&d);
    // Packed, and named so.
    uint8_t packed[512];
    size_t size = 0;
    assert_int_equal(lzma_easy_buffer_encode(0, LZMA_CHECK_CRC32, NULL,
                                             (const uint8_t *)"q\ta\tw\n", 6, packed, &size,
                                             sizeof packed),
                     LZMA_OK);
    spec.path = write_data("a.tsv.xz", (const char *)packed, size);
    spec.weight = 1;
    assert_ok(od_dataset_load(&spec, 1, t, &wide, &d, &err), &err);
    expect_marked(&d, 0, "<q`w>`");
    od_dataset_release(&d);
    od_tokenizer_free(t);
    spec_fails("a.tsv", "q\ta\tw\nq\n", spec, OD_E_FORMAT,
               "a.tsv:2: a row of 1 fields: there are 3 columns");
    spec_fails("a.csv", "input,output,input\na,b,c\n",
               (struct od_dataset_spec){.type = OD_DATASET_INPUT_OUTPUT}, OD_E_FORMAT,
               "a.csv:1: two columns are named 'input'");
    spec_fails(
        "a.csv", "input,out\na,b\n", (struct od_dataset_spec){.type = OD_DATASET_INPUT_OUTPUT},
        OD_E_FORMAT,
        "a.csv:2: a row needs 'input' and 'output' (or 'prompt' and 'response', 'prompt' and "
        "'completion', 'question' and 'answer', or 'segments')");
}

// At most so many rows, the same ones for the same seed, in their order.
static void caps(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_tokenizer *t = byte_tokenizer();
    struct od_buf text;
    struct od_dataset d[3] = {{0}};
    od_buf_init(&text, JSON_MAX_BYTES);
    for (int i = 0; i < 100; i++) {
        od_buf_printf(&text, "{\"input\": \"%02d\", \"output\": \"x\"}\n", i);
    }
    struct od_dataset_spec spec = {.path = write_data("a.jsonl", od_buf_text(&text), text.size),
                                   .type = OD_DATASET_INPUT_OUTPUT,
                                   .weight = 2,
                                   .max_rows = 10};
    for (size_t i = 0; i < 3; i++) {
        struct od_dataset_options options = wide;
        options.seed = i == 2 ? 7 : 1;
        assert_ok(od_dataset_load(&spec, 1, t, &options, &d[i], &err), &err);
        assert_int_equal(d[i].count, 20);
        assert_int_equal(d[i].counts[0].kept, 100);
        for (int64_t k = 1; k < 10; k++) {
            assert_true(memcmp(d[i].ids + d[i].offset[k - 1] + 1, d[i].ids + d[i].offset[k] + 1,
                               2 * sizeof(int32_t)) != 0);
            const int32_t *before = d[i].ids + d[i].offset[k - 1];
            const int32_t *now = d[i].ids + d[i].offset[k];
            assert_true(before[1] * 256 + before[2] < now[1] * 256 + now[2]);
        }
    }
    assert_memory_equal(d[0].ids, d[1].ids, 100 * sizeof(int32_t));
    assert_true(memcmp(d[0].ids, d[2].ids, 100 * sizeof(int32_t)) != 0);
    for (size_t i = 0; i < 3; i++) {
        od_dataset_release(&d[i]);
    }
    spec.max_rows = -1;
    assert_int_equal(od_dataset_load(&spec, 1, t, &wide, &d[0], &err), OD_E_ARGUMENT);
    od_buf_release(&text);
    od_tokenizer_free(t);
}

static void without_memory(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_tokenizer *t = prefix_tokenizer();
    static const char chats[] =
        "{\"messages\": [{\"role\": \"user\", \"content\": \"u\"}, {\"role\": \"assistant\", "
        "\"content\": \"a\"}]}";
    static const char tree[] =
        "{\"message_id\": \"1\", \"text\": \"u\", \"role\": \"prompter\", \"replies\": [{\"text\": "
        "\"a\", \"role\": \"assistant\"}]}";
    char paths[3][OD_PATH_MAX_BYTES];
    (void)snprintf(paths[0], sizeof paths[0], "%s", write_data("a.jsonl", chats, strlen(chats)));
    (void)snprintf(paths[1], sizeof paths[1], "%s", write_data("b.jsonl", tree, strlen(tree)));
    (void)snprintf(paths[2], sizeof paths[2], "%s",
                   write_data("c.csv", "question,answer\nq,a", 19));
    const struct od_dataset_spec specs[] = {
        {.path = paths[0], .type = OD_DATASET_CHAT, .weight = 1, .chat_template = "llama2"},
        {.path = paths[1], .type = OD_DATASET_OASST, .weight = 1, .chat_template = "chatml"},
        {.path = paths[2], .type = OD_DATASET_ALPACA_CHAT, .weight = 1}};
    uint64_t n = 0;
    enum od_status status = OD_E_MEMORY;
    while (status != OD_OK) {
        struct od_dataset d = {0};
        od_alloc_fail_at(++n);
        status = od_dataset_load(specs, 3, t, &wide, &d, &err);
        od_alloc_fail_at(0);
        assert_true(status == OD_OK || status == OD_E_MEMORY || status == OD_E_LIMIT);
        od_dataset_release(&d);
    }
    assert_true(n > 30);
    od_tokenizer_free(t);
}

// Every learned run of ids starts behind the ids of the prompt that is served at that place.
static void check_served(const struct od_dataset *d, const struct od_tokenizer *t,
                         const struct od_chat_template *chat_template, const json_t *messages)
{
    struct od_error err = {0};
    json_t *before = json_array();
    int64_t document = 0;
    int64_t at = d->offset[0] + 1;
    for (size_t k = 0; k < json_array_size(messages); k++) {
        const json_t *message = json_array_get(messages, k);
        const char *role = json_string_value(json_object_get(message, "role"));
        if (strcmp(role, "assistant") == 0) {
            struct od_buf text;
            struct od_ids ids;
            const struct od_chat chat_before = {.messages = before, .add_generation_prompt = true};
            od_buf_init(&text, 1 << 20);
            od_ids_init(&ids, 1 << 20);
            assert_ok(od_chat_template_render(chat_template, &chat_before, t, &text, &err), &err);
            assert_ok(od_prompt_encode(t, od_buf_text(&text), text.size, &ids, &err), &err);
            while (document < d->count && d->label[at] == 0) {
                at++;
                if (at == d->offset[document + 1]) {
                    document++;
                    at = d->offset[document] + 1;
                }
            }
            const int32_t *served = d->ids + d->offset[document];
            assert_int_equal(at - d->offset[document], ids.count);
            assert_memory_equal(served, ids.data, ids.count * sizeof *ids.data);
            while (at < d->offset[document + 1] && d->label[at] != 0) {
                at++;
            }
            if (at == d->offset[document + 1]) {
                document++;
                at = d->offset[document] + 1;
            }
            od_buf_release(&text);
            od_ids_release(&ids);
        }
        assert_int_equal(json_array_append(before, json_array_get(messages, k)), 0);
    }
    assert_int_equal(document, d->count);
    json_decref(before);
}

static void served_ids(const char *tokenizer, int32_t bos, int32_t eos)
{
    static const char *const names[] = {"chatml", "llama2", "llama3", "mistral",
                                        "zephyr", "vicuna", "alpaca"};
    static const char talk[] =
        "[{\"role\": \"system\", \"content\": \"Be brief.\"}, {\"role\": \"user\", \"content\": "
        "\"Hello there\"}, {\"role\": \"assistant\", \"content\": \"Hi! How are you?\"}, {\"role\": "
        "\"user\", \"content\": \"Fine.\\n\\n  And 你好?\"}, {\"role\": \"assistant\", \"content\": "
        "\"  - one\\n- two\\n\"}, {\"role\": \"user\", \"content\": \"x\"}, {\"role\": \"assistant\", "
        "\"content\": \"1,234.\"}]";
    struct od_error err = {0};
    struct od_tokenizer *t = NULL;
    json_t *messages = NULL;
    assert_ok(od_tokenizer_open_json(test_shared(tokenizer), &t, &err), &err);
    od_tokenizer_set_bos_eos(t, bos, eos);
    assert_ok(od_json_parse(talk, strlen(talk), "talk", &messages, &err), &err);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct od_dataset d = {0};
        struct od_chat_template *chat_template = NULL;
        struct od_buf row;
        od_buf_init(&row, 1 << 16);
        od_buf_printf(&row, "{\"messages\": %s}", talk);
        const struct od_dataset_spec spec = {.type = OD_DATASET_CHAT, .chat_template = names[i]};
        assert_ok(load_spec("a.jsonl", od_buf_text(&row), spec, t, &d, &err), &err);
        assert_ok(od_chat_template_create(names[i], &chat_template, &err), &err);
        check_served(&d, t, chat_template, messages);
        for (int64_t k = 0; k < d.count; k++) {
            int64_t starts = 0;
            int64_t ends = 0;
            for (int64_t j = d.offset[k]; j < d.offset[k + 1]; j++) {
                starts += d.ids[j] == bos;
                ends += j + 1 == d.offset[k + 1] && d.ids[j] == eos && d.label[j] == 1;
            }
            assert_int_equal(ends, 1);
            if (bos != eos && strcmp(names[i], "llama2") != 0) {  // which has one for each turn
                assert_int_equal(starts, 1);
            }
        }
        (void)printf("# %s, %s: %d documents\n", tokenizer, names[i], (int)d.count);
        od_chat_template_free(chat_template);
        od_dataset_release(&d);
        od_buf_release(&row);
    }
    json_decref(messages);
    od_tokenizer_free(t);
}

static void served_ids_mistral(void **state)
{
    (void)state;
    served_ids("tokenizers/mistral/tokenizer.json.gz", 1, 2);
}

static void served_ids_gpt2(void **state)
{
    (void)state;
    served_ids("tokenizers/gpt2/tokenizer.json.gz", 50256, 50256);
}

static void served_ids_neox(void **state)
{
    (void)state;
    served_ids("tokenizers/gpt-neox/tokenizer.json.gz", 0, 0);
}

// Answers in a tree, counted apart from the reader.
static int64_t count_answers(const json_t *message)
{
    const char *role = json_string_value(json_object_get(message, "role"));
    const json_t *replies = json_object_get(message, "replies");
    int64_t count = role && strcmp(role, "assistant") == 0;
    if (json_is_true(json_object_get(message, "deleted"))) {
        return 0;
    }
    for (size_t i = 0; i < json_array_size(replies); i++) {
        count += count_answers(json_array_get(replies, i));
    }
    return count;
}

// Real trees: every answer is learned once.
static void real_trees(void **state)
{
    (void)state;
    static const char *const names[] = {"finetune/oasst/en_100_tree.jsonl.gz",
                                        "finetune/oasst/en_100_message.jsonl.gz"};
    struct od_error err = {0};
    struct od_tokenizer *t = NULL;
    assert_ok(od_tokenizer_open_json(test_shared("tokenizers/gpt2/tokenizer.json.gz"), &t, &err),
              &err);
    od_tokenizer_set_bos_eos(t, 50256, 50256);
    for (size_t i = 0; i < 2; i++) {
        struct od_dataset d = {0};
        char path[OD_PATH_MAX_BYTES];
        struct od_jsonl lines;
        char *text = NULL;
        size_t size = 0;
        json_t *row = NULL;
        int64_t answers = 0;
        int64_t runs = 0;
        (void)snprintf(path, sizeof path, "%s", test_shared(names[i]));
        assert_ok(od_text_read(path, 1 << 24, &text, &size, &err), &err);
        od_jsonl_init(&lines, text, size, path);
        while (od_jsonl_next(&lines, &row, &err) == OD_OK && row) {
            const json_t *prompt = json_object_get(row, "prompt");
            answers += count_answers(prompt ? prompt : row);
            json_decref(row);
        }
        const struct od_dataset_spec spec = {
            .path = path, .type = OD_DATASET_OASST, .weight = 1, .chat_template = "chatml"};
        assert_ok(od_dataset_load(&spec, 1, t, &wide, &d, &err), &err);
        for (int64_t k = 1; k < d.offset[d.count]; k++) {
            runs += d.label[k] != 0 && d.label[k - 1] == 0;
        }
        (void)printf("# %s: %d ways, %d documents, %d answers\n", names[i], (int)d.counts[0].rows,
                     (int)d.count, (int)runs);
        assert_true(answers > 100);
        assert_int_equal(runs, answers);
        assert_int_equal(d.counts[0].too_long, 0);
        od_dataset_release(&d);
        od_free(text);
    }
    od_tokenizer_free(t);
}

static void real_tables_and_rows(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        struct od_dataset_spec spec;
        int64_t rows;
    } files[] = {
        {"finetune/flan_cot/aqua_train.tsv.gz",
         {.type = OD_DATASET_INPUT_OUTPUT,
          .columns = "question,answer,why",
          .fields = {.input = "question", .output = "why"}},
         2728},
        {"finetune/flan_cot/qasc_train.tsv.gz",
         {.type = OD_DATASET_INPUT_OUTPUT, .columns = "question,answer,why"},
         1084},
        {"finetune/dolly/dolly_151.jsonl", {.type = OD_DATASET_ALPACA}, 151},
        {"finetune/p3_templates/quartz_answer_question_below.jsonl.gz",
         {.type = OD_DATASET_INPUT_OUTPUT},
         200},
    };
    struct od_error err = {0};
    struct od_tokenizer *t = NULL;
    assert_ok(od_tokenizer_open_json(test_shared("tokenizers/gpt2/tokenizer.json.gz"), &t, &err),
              &err);
    od_tokenizer_set_bos_eos(t, 50256, 50256);
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        struct od_dataset d = {0};
        char path[OD_PATH_MAX_BYTES];
        struct od_dataset_spec spec = files[i].spec;
        (void)snprintf(path, sizeof path, "%s", test_shared(files[i].path));
        spec.path = path;
        spec.weight = 1;
        assert_ok(od_dataset_load(&spec, 1, t, &wide, &d, &err), &err);
        (void)printf("# %s: %d rows, %d documents, %d empty\n", files[i].path,
                     (int)d.counts[0].rows, (int)d.count, (int)d.counts[0].empty);
        assert_int_equal(d.counts[0].rows, files[i].rows);
        assert_int_equal(d.count + d.counts[0].empty + d.counts[0].too_long, files[i].rows);
        od_dataset_release(&d);
    }
    od_tokenizer_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chat),
        cmocka_unit_test(chat_fields),
        cmocka_unit_test(split_conversations),
        cmocka_unit_test(broken_chats),
        cmocka_unit_test(own_template_of_a_model),
        cmocka_unit_test(trees),
        cmocka_unit_test(segments),
        cmocka_unit_test(layouts_of_ones_own),
        cmocka_unit_test(alpaca_variants),
        cmocka_unit_test(tables),
        cmocka_unit_test(caps),
        cmocka_unit_test(without_memory),
        cmocka_unit_test(served_ids_mistral),
        cmocka_unit_test(served_ids_gpt2),
        cmocka_unit_test(served_ids_neox),
        cmocka_unit_test(real_trees),
        cmocka_unit_test(real_tables_and_rows),
    };
    return cmocka_run_group_tests_name("data/types", tests, NULL, NULL);
}
