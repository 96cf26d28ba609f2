#include "flow/convert_check.h"

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "infer/engine.h"
#include "model/spec.h"
#include "text/tokenizer.h"

enum { PROMPT_TOKENS_MAX = 64 };

// Of several kinds, so that most of the tokenizer's ways are walked.
static const char *const prompts[] = {"Once upon a time, there was a small house by the sea.",
                                      "The capital of France is",
                                      "def add(a, b):\n    return a + b\n",
                                      "Question: What is 17 + 25?\nAnswer:",
                                      "In 1969, people walked on the Moon for the first time;",
                                      "She said: \"I don't know,\" and closed the door.",
                                      "café, über, 你好, 🙂",
                                      "  two  blanks\tand a tab, then 3.14159 and x_1 = y^2"};

enum { PROMPTS = sizeof prompts / sizeof prompts[0] };

// What one model gives for one prompt.
struct answer {
    struct od_ids ids;
    int64_t count;  // of ids that are looked at
    float *logits;  // [count, vocab]
};

// What one model gives for all prompts.
struct answers {
    int64_t vocab;
    struct answer prompt[PROMPTS];
};

static void release(struct answers *answers)
{
    for (int i = 0; i < PROMPTS; i++) {
        od_ids_release(&answers->prompt[i].ids);
        od_free(answers->prompt[i].logits);
    }
}

static enum od_status ask_one(struct od_engine *engine, const char *prompt, int64_t vocab,
                              struct answer *answer, struct od_error *err)
{
    const int64_t context = od_engine_responder(engine)->context_length;
    enum od_status status = od_tokenizer_encode(od_engine_tokenizer(engine), prompt, strlen(prompt),
                                                OD_ENCODE_SPECIAL, &answer->ids, err);
    if (status != OD_OK) {
        return status;
    }
    answer->count = (int64_t)answer->ids.count;
    answer->count = answer->count < PROMPT_TOKENS_MAX ? answer->count : PROMPT_TOKENS_MAX;
    answer->count = answer->count < context ? answer->count : context;
    answer->logits = od_alloc((size_t)(answer->count * vocab), sizeof *answer->logits);
    if (!answer->logits) {
        return od_fail(err, OD_E_MEMORY, "no memory for the logits of %lld positions",
                       (long long)answer->count);
    }
    return od_engine_logits(engine, answer->ids.data, answer->count, answer->logits, err);
}

static enum od_status ask(const struct od_convert_side *side, int threads, struct answers *answers,
                          struct od_error *err)
{
    const struct od_engine_options options = {
        .threads = threads, .slots = 1, .adapter = side->adapter};
    struct od_engine *engine = NULL;
    for (int i = 0; i < PROMPTS; i++) {
        od_ids_init(&answers->prompt[i].ids, (size_t)1 << 20);
    }
    enum od_status status = od_engine_open(side->model, &options, &engine, err);
    if (status != OD_OK) {
        return status;
    }
    answers->vocab = od_engine_spec(engine)->vocab;
    for (int i = 0; i < PROMPTS && status == OD_OK; i++) {
        status = ask_one(engine, prompts[i], answers->vocab, &answers->prompt[i], err);
    }
    od_engine_close(engine);
    return status;
}

static int64_t best_of(const float *logits, int64_t vocab)
{
    int64_t best = 0;
    for (int64_t i = 1; i < vocab; i++) {
        best = logits[i] > logits[best] ? i : best;
    }
    return best;
}

bool od_convert_compare_logits(const float *a, const float *b, int64_t rows, int64_t vocab,
                               struct od_convert_check *check)
{
    for (int64_t row = 0; row < rows; row++) {
        const float *left = a + row * vocab;
        const float *right = b + row * vocab;
        for (int64_t i = 0; i < vocab; i++) {
            const double difference = fabs((double)left[i] - (double)right[i]);
            if (!isfinite(difference)) {
                return false;
            }
            check->difference_max = fmax(check->difference_max, difference);
            check->logit_max = fmax(check->logit_max, fabs((double)left[i]));
        }
        check->same_best += best_of(left, vocab) == best_of(right, vocab) ? 1 : 0;
    }
    check->positions += rows;
    check->prompts++;
    return true;
}

static enum od_status other_ids(int index, struct od_error *err)
{
    return od_fail(err, OD_E_REFUSED, "the tokenizers give other ids for prompt %d, '%.40s'",
                   index + 1, prompts[index]);
}

static bool same_ids(const struct od_ids *a, const struct od_ids *b)
{
    return a->count == b->count &&
           (a->count == 0 || memcmp(a->data, b->data, a->count * sizeof *a->data) == 0);
}

static enum od_status compare_prompt(const struct answer *a, const struct answer *b, int64_t vocab,
                                     int index, struct od_convert_check *check,
                                     struct od_error *err)
{
    if (a->count != b->count || !same_ids(&a->ids, &b->ids)) {
        return other_ids(index, err);
    }
    return od_convert_compare_logits(a->logits, b->logits, a->count, vocab, check)
               ? OD_OK
               : od_fail(err, OD_E_REFUSED, "a logit of prompt %d is no number", index + 1);
}

enum od_status od_convert_compare_tokenizers(const struct od_tokenizer *a,
                                             const struct od_tokenizer *b, struct od_error *err)
{
    enum od_status status = OD_OK;
    for (int i = 0; i < PROMPTS && status == OD_OK; i++) {
        const size_t size = strlen(prompts[i]);
        struct od_ids left;
        struct od_ids right;
        od_ids_init(&left, (size_t)1 << 20);
        od_ids_init(&right, (size_t)1 << 20);
        status = od_tokenizer_encode(a, prompts[i], size, OD_ENCODE_SPECIAL, &left, err);
        if (status == OD_OK) {
            status = od_tokenizer_encode(b, prompts[i], size, OD_ENCODE_SPECIAL, &right, err);
        }
        if (status == OD_OK && !same_ids(&left, &right)) {
            status = other_ids(i, err);
        }
        od_ids_release(&right);
        od_ids_release(&left);
    }
    return status;
}

enum od_status od_convert_compare(const struct od_convert_side *from,
                                  const struct od_convert_side *to, int threads,
                                  struct od_convert_check *ret, struct od_error *err)
{
    struct answers a = {0};
    struct answers b = {0};
    struct od_convert_check check = {0};
    enum od_status status = ask(from, threads, &a, err);
    if (status == OD_OK) {
        status = ask(to, threads, &b, err);
    }
    if (status == OD_OK && a.vocab != b.vocab) {
        status = od_fail(err, OD_E_REFUSED, "the models have %lld and %lld ids", (long long)a.vocab,
                         (long long)b.vocab);
    }
    for (int i = 0; i < PROMPTS && status == OD_OK; i++) {
        status = compare_prompt(&a.prompt[i], &b.prompt[i], a.vocab, i, &check, err);
    }
    release(&a);
    release(&b);
    if (status == OD_OK) {
        *ret = check;
    }
    return status;
}
