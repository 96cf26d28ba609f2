// Goal: with the tokenizer of every family, the letter behind "Answer:" is one token, whose text is the bare
// letter once white space is taken off: multiple choice with one token can be answered.
// Method: the ids of the prompt with and without each letter, by the real tokenizers.

#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"
#include "support.h"
#include "text/tokenizer.h"

enum { IDS_MAX = 256 };

typedef enum od_status (*open_fn)(const char *path, struct od_tokenizer **ret,
                                  struct od_error *err);

/** A tokenizer of each kind: byte-level BPE, SentencePiece BPE and unigram. */
static const struct {
    const char *file;
    open_fn open;
} FAMILIES[] = {
    {"tokenizers/gpt2/tokenizer.json.gz", od_tokenizer_open_json},
    {"tokenizers/gpt-neox/tokenizer.json.gz", od_tokenizer_open_json},
    {"tokenizers/mistral/tokenizer.json.gz", od_tokenizer_open_json},
    {"tokenizers/mistral/tokenizer.model", od_tokenizer_open_spm},
    {"tokenizers/t5/tokenizer.json.gz", od_tokenizer_open_json},
    {"tokenizers/xlnet/spiece.model.gz", od_tokenizer_open_spm},
};

static void letter_of(const struct od_tokenizer *tokenizer, const char *family, char letter)
{
    static const char PROMPT[] = "Question: Which?\nA. one\nB. two\nC. three\nD. four\nAnswer:";
    struct od_error err = {0};
    struct od_ids prompt;
    struct od_ids whole;
    struct od_buf text;
    char with[sizeof PROMPT + 2];
    od_ids_init(&prompt, IDS_MAX);
    od_ids_init(&whole, IDS_MAX);
    od_buf_init(&text, 1 << 16);
    (void)snprintf(with, sizeof with, "%s %c", PROMPT, letter);
    assert_ok(
        od_tokenizer_encode(tokenizer, PROMPT, sizeof PROMPT - 1, OD_ENCODE_PLAIN, &prompt, &err),
        &err);
    assert_ok(od_tokenizer_encode(tokenizer, with, strlen(with), OD_ENCODE_PLAIN, &whole, &err),
              &err);
    if (whole.count != prompt.count + 1 ||
        memcmp(whole.data, prompt.data, prompt.count * sizeof *prompt.data) != 0) {
        fail_msg("%s: ' %c' is %zu tokens behind the prompt", family, letter,
                 whole.count - prompt.count);
    }
    assert_ok(od_tokenizer_decode(tokenizer, &whole.data[prompt.count], 1,
                                  OD_DECODE_RAW | OD_DECODE_SKIP_SPECIAL, &text, &err),
              &err);
    const char *start = od_buf_text(&text);
    size_t size = text.size;
    od_strip(&start, &size);
    if (size != 1 || *start != letter) {
        fail_msg("%s: the token for ' %c' reads '%s'", family, letter, od_buf_text(&text));
    }
    od_buf_release(&text);
    od_ids_release(&whole);
    od_ids_release(&prompt);
}

static void one_token_is_a_letter(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof FAMILIES / sizeof FAMILIES[0]; i++) {
        struct od_tokenizer *tokenizer = NULL;
        struct od_error err = {0};
        assert_ok(FAMILIES[i].open(test_shared(FAMILIES[i].file), &tokenizer, &err), &err);
        for (char letter = 'A'; letter <= 'D'; letter++) {
            letter_of(tokenizer, FAMILIES[i].file, letter);
        }
        od_tokenizer_free(tokenizer);
    }
}

// The tokenizer that ships for small models has a token for each answer, too.
static void small_models(void **state)
{
    (void)state;
    struct od_tokenizer *tokenizer = NULL;
    struct od_error err = {0};
    assert_ok(od_tokenizer_open(test_source("examples/toyworld/base"), &tokenizer, &err), &err);
    for (char letter = 'A'; letter <= 'D'; letter++) {
        letter_of(tokenizer, "toyworld", letter);
    }
    od_tokenizer_free(tokenizer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_token_is_a_letter),
        cmocka_unit_test(small_models),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
