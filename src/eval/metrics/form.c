#include "eval/metrics/form.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"
#include "eval/adapter.h"
#include "eval/instance.h"
#include "eval/python_text.h"
#include "eval/run_spec.h"
#include "eval/scenario.h"
#include "formats/json.h"
#include "infer/responder.h"

const char *od_form_name(enum od_form form)
{
    static const char *const names[OD_FORMS] = {"readable",        "empty",     "stop_ignored",
                                                "letter_and_more", "no_letter", "no_number"};
    return names[form];
}

static bool contains(const char *text, size_t size, const char *part)
{
    const size_t length = strlen(part);
    for (size_t at = 0; length > 0 && at + length <= size; at++) {
        if (memcmp(text + at, part, length) == 0) {
            return true;
        }
    }
    return false;
}

static bool ignores_stop(const struct od_run_spec *spec, const struct od_request_state *state)
{
    const struct od_process_request request = od_request_of(&spec->adapter, state);
    for (size_t i = 0; i < request.stop_count; i++) {
        if (contains(state->result.text, state->result.text_size, request.stop[i])) {
            return true;
        }
    }
    return false;
}

// Of a text without white space around it.
static enum od_form form_of_choice(const struct od_instance *instance, const char *text,
                                   size_t size)
{
    for (size_t i = 0; i < instance->reference_count; i++) {
        char letter[5];
        uint32_t behind = 0;
        od_letter_text(i, letter);
        const size_t length = strlen(letter);
        if (size < length || memcmp(text, letter, length) != 0) {
            continue;
        }
        if (size == length) {
            return OD_FORM_READABLE;
        }
        if (od_utf8_decode(text + length, size - length, &behind) > 0 &&
            !od_python_is_word(behind)) {
            return OD_FORM_LETTER_AND_MORE;
        }
    }
    return OD_FORM_NO_LETTER;
}

static bool has_digit(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (text[i] >= '0' && text[i] <= '9') {
            return true;
        }
    }
    return false;
}

enum od_form od_form_of(const struct od_run_spec *spec, const struct od_request_state *state)
{
    const char *text = state->result.text;
    size_t size = state->result.text_size;
    if (size > 0) {
        od_strip(&text, &size);
    }
    if (size == 0) {
        return OD_FORM_EMPTY;
    }
    if (ignores_stop(spec, state)) {
        return OD_FORM_STOP_IGNORED;
    }
    if (spec->adapter.method == OD_ADAPT_MULTIPLE_CHOICE_JOINT) {
        return form_of_choice(state->instance, text, size);
    }
    return spec->scenario->final_number && !has_digit(text, size) ? OD_FORM_NO_NUMBER
                                                                  : OD_FORM_READABLE;
}

void od_forms_count(const struct od_run_spec *spec, const struct od_request_states *states,
                    struct od_forms *ret)
{
    struct od_forms forms = {.answers = (int64_t)states->count};
    for (size_t i = 0; i < states->count; i++) {
        const struct od_request_state *state = &states->items[i];
        const enum od_form form = od_form_of(spec, state);
        forms.counts[form]++;
        if (spec->adapter.max_tokens > 1 &&
            (int64_t)state->result.token_count >= spec->adapter.max_tokens) {
            forms.cut_by_length++;
        }
        if (form != OD_FORM_READABLE && forms.example_count < OD_FORM_EXAMPLES_MAX) {
            forms.examples[forms.example_count++] = state;
        }
    }
    *ret = forms;
}

static void put_example(struct od_json_writer *w, const struct od_run_spec *spec,
                        const struct od_request_state *state)
{
    const char *text = state->result.text;
    size_t size = state->result.text_size;
    if (size > OD_FORM_EXAMPLE_MAX_BYTES) {
        size = OD_FORM_EXAMPLE_MAX_BYTES;
        while (size > 0 && ((unsigned char)text[size] & 0xC0) == 0x80) {
            size--;
        }
    }
    od_json_object_begin(w);
    od_json_member_text(w, "instance", state->instance->id);
    od_json_member_text(w, "form", od_form_name(od_form_of(spec, state)));
    od_json_key(w, "text");
    od_json_put_text_n(w, size > 0 ? text : "", size);
    od_json_object_end(w);
}

void od_forms_write(const struct od_run_spec *spec, const struct od_forms *forms,
                    struct od_buf *out)
{
    struct od_json_writer w;
    od_json_writer_init(&w, out, OD_JSON_INDENT_2, false);
    od_json_object_begin(&w);
    od_json_member_int(&w, "answers", forms->answers);
    for (int i = 0; i < OD_FORMS; i++) {
        od_json_member_int(&w, od_form_name((enum od_form)i), forms->counts[i]);
    }
    od_json_member_int(&w, "cut_by_length", forms->cut_by_length);
    od_json_key(&w, "examples");
    od_json_array_begin(&w);
    for (int64_t i = 0; i < forms->example_count; i++) {
        put_example(&w, spec, forms->examples[i]);
    }
    od_json_array_end(&w);
    od_json_object_end(&w);
}
