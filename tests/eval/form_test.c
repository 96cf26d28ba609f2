// Goal: answers are told apart by form, whatever the score is; the file says the same.
// Method: answers made by hand, of a multiple choice run and of a word problem.

#include "eval/metrics/form.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "eval/adapter.h"
#include "eval/instance.h"
#include "eval/run_spec.h"
#include "formats/json.h"
#include "support.h"

enum { ANSWERS_MAX = 16 };

static char *const no_text = NULL;

/** A run of given answers. */
struct answers {
    struct od_arena arena;
    struct od_run_specs specs;
    struct od_reference references[3];
    struct od_instance instance;
    struct od_request_state items[ANSWERS_MAX];
    struct od_request_states states;
};

static void make(struct answers *out, const char *description, char *const *texts, size_t count)
{
    struct od_error err = {0};
    const struct od_run_options options = {0};
    memset(out, 0, sizeof *out);
    od_arena_init(&out->arena, 1 << 20);
    assert_ok(od_run_specs_make(description, &options, &out->arena, &out->specs, &err), &err);
    out->instance = (struct od_instance){
        .input = "q", .references = out->references, .reference_count = 3, .id = "id7"};
    for (size_t i = 0; i < count; i++) {
        out->items[i].instance = &out->instance;
        out->items[i].result.text = texts[i];
        out->items[i].result.text_size = texts[i] ? strlen(texts[i]) : 0;
    }
    out->states = (struct od_request_states){out->items, count};
}

static void test_choice(void **state)
{
    (void)state;
    static char texts[][16] = {"A",  " C\n",      "",       " \n", "D",
                               "A.", "B because", "Answer", "a",   "(A)"};
    static const enum od_form expected[] = {
        OD_FORM_READABLE,  OD_FORM_READABLE,        OD_FORM_EMPTY,           OD_FORM_EMPTY,
        OD_FORM_NO_LETTER, OD_FORM_LETTER_AND_MORE, OD_FORM_LETTER_AND_MORE, OD_FORM_NO_LETTER,
        OD_FORM_NO_LETTER, OD_FORM_NO_LETTER};
    enum { COUNT = sizeof texts / sizeof texts[0] };
    char *list[COUNT + 1];
    struct answers answers;
    struct od_forms forms = {0};
    for (size_t i = 0; i < COUNT; i++) {
        list[i] = texts[i];
    }
    list[COUNT] = no_text;
    make(&answers, "mmlu:subject=a", list, COUNT + 1);
    for (size_t i = 0; i < COUNT; i++) {
        const enum od_form form = od_form_of(&answers.specs.items[0], &answers.items[i]);
        if (form != expected[i]) {
            fail_msg("'%s' is %s", texts[i], od_form_name(form));
        }
        answers.items[i].result.token_count = 1;
    }
    od_forms_count(&answers.specs.items[0], &answers.states, &forms);
    assert_int_equal(forms.answers, COUNT + 1);
    assert_int_equal(forms.counts[OD_FORM_READABLE], 2);
    assert_int_equal(forms.counts[OD_FORM_EMPTY], 3);
    assert_int_equal(forms.counts[OD_FORM_LETTER_AND_MORE], 2);
    assert_int_equal(forms.counts[OD_FORM_NO_LETTER], 4);
    assert_int_equal(forms.cut_by_length, 0);  // one token is all that is asked for
    od_arena_release(&answers.arena);
}

static void test_text(void **state)
{
    (void)state;
    static char right[] = " The answer is 7.";
    static char none[] = "I cannot say";
    static char on[] = "It is 7.\n\nQ: next";
    static char longer[3 * OD_FORM_EXAMPLE_MAX_BYTES];
    char *list[] = {right, none, on, longer};
    struct answers answers;
    struct od_error err = {0};
    struct od_forms forms = {0};
    struct od_buf buf;
    json_t *root = NULL;
    longer[0] = 'x';
    for (size_t i = 1; i + 2 < sizeof longer; i += 2) {
        longer[i] = (char)0xC3;  // a character that the limit would cut
        longer[i + 1] = (char)0xA9;
    }
    make(&answers, "gsm", list, 4);
    answers.items[0].result.token_count = 400;
    answers.items[1].result.token_count = 399;
    od_forms_count(&answers.specs.items[0], &answers.states, &forms);
    assert_int_equal(forms.counts[OD_FORM_READABLE], 1);
    assert_int_equal(forms.counts[OD_FORM_NO_NUMBER], 2);
    assert_int_equal(forms.counts[OD_FORM_STOP_IGNORED], 1);
    assert_int_equal(forms.cut_by_length, 1);
    od_buf_init(&buf, 1 << 16);
    od_forms_write(&answers.specs.items[0], &forms, &buf);
    assert_ok(od_json_parse(buf.bytes, buf.size, "replies_oneday.json", &root, &err), &err);
    assert_int_equal(json_integer_value(json_object_get(root, "answers")), 4);
    assert_int_equal(json_integer_value(json_object_get(root, "stop_ignored")), 1);
    assert_int_equal(json_integer_value(json_object_get(root, "cut_by_length")), 1);
    const json_t *examples = json_object_get(root, "examples");
    assert_int_equal(json_array_size(examples), 3);
    assert_string_equal(json_string_value(json_object_get(json_array_get(examples, 1), "form")),
                        "stop_ignored");
    const json_t *last = json_object_get(json_array_get(examples, 2), "text");
    assert_int_equal(json_string_length(last), OD_FORM_EXAMPLE_MAX_BYTES - 1);
    json_decref(root);
    od_buf_release(&buf);
    od_arena_release(&answers.arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_choice),
        cmocka_unit_test(test_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
