// Members of an object that make a row (texts; null and absent are the empty text). A recipe's
// field_... names take the place of these names:
//
//   input-output   segments: [{label: true, text}, ...]; or input + output, prompt + response, prompt +
//                  completion, question + answer: the first pair of which both are there
//   alpaca         instruction, input (or context), output (or response), system
//   alpaca_chat    question, answer; or as alpaca
//   own            instruction, input, output, system
//   completion     text
//
// Objects may have more members, which are ignored. Layouts:
//
//   alpaca         od_alpaca_prompt; a system text takes the place of its first sentences
//   alpaca_chat    system "\n\n" "USER: " instruction ("\n" input)? "\nASSISTANT:"
//   own            system_format (format | no_input_format), where {instruction}, {input}, {system}
//                  stand for the texts, and {{ and }} for { and }
#include <inttypes.h>
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"
#include "data/dataset.h"
#include "data/rows.h"

/** A text member. */
struct text {
    const char *bytes;
    size_t size;
};

/** The members of an instruction. */
struct instruction {
    struct text instruction;
    struct text input;
    struct text output;
    struct text system;
};

const char *const od_dataset_type_names[OD_DATASET_TYPES] = {
    [OD_DATASET_INPUT_OUTPUT] = "input-output",
    [OD_DATASET_ALPACA] = "alpaca",
    [OD_DATASET_COMPLETION] = "completion",
    [OD_DATASET_ALPACA_CHAT] = "alpaca_chat",
    [OD_DATASET_CHAT] = "chat_template",
    [OD_DATASET_OASST] = "oasst",
    [OD_DATASET_OWN] = "{}"};

bool od_rows_add_turn(struct od_row *row, struct od_turn *turns, const char *prompt,
                      size_t prompt_size, const char *answer, size_t answer_size)
{
    const char *stripped = answer;
    size_t stripped_size = answer_size;
    od_strip(&stripped, &stripped_size);
    if (stripped_size == 0) {
        return true;
    }
    if (row->turn_count == OD_ROWS_TURNS_MAX) {
        return false;
    }
    turns[row->turn_count++] = (struct od_turn){
        .prompt = prompt, .prompt_size = prompt_size, .answer = answer, .answer_size = answer_size};
    row->turns = turns;
    return true;
}

static enum od_status get_text(const struct od_rows *rows, const json_t *object, const char *key,
                               int64_t line, struct text *ret, struct od_error *err)
{
    const json_t *value = json_object_get(object, key);
    if (value && !json_is_string(value) && !json_is_null(value)) {
        return od_fail(err, OD_E_FORMAT, "%s:%" PRId64 ": '%s' must be a text", rows->name, line,
                       key);
    }
    *ret = (struct text){json_is_string(value) ? json_string_value(value) : "",
                         json_is_string(value) ? json_string_length(value) : 0};
    return OD_OK;
}

static bool has(const struct od_rows *rows, const char *key)
{
    return json_object_get(rows->object, key) != NULL;
}

// Segments: what is not labelled stands in front of what is.
static enum od_status read_segments(struct od_rows *rows, struct od_row *row, struct od_error *err)
{
    const json_t *segments = json_object_get(rows->object, "segments");
    size_t count = 0;
    struct od_turn_place *places = rows->places;
    bool after_label = false;
    od_buf_reset(&rows->made);
    for (size_t i = 0; i < json_array_size(segments); i++) {
        const json_t *segment = json_array_get(segments, i);
        const json_t *label = json_object_get(segment, "label");
        struct text text = {0};
        if (!json_is_boolean(label) || !json_object_get(segment, "text")) {
            return od_fail(err, OD_E_FORMAT,
                           "%s:%" PRId64 ": a segment needs 'label', true or false, and 'text'",
                           rows->name, row->line);
        }
        const enum od_status status = get_text(rows, segment, "text", row->line, &text, err);
        if (status != OD_OK) {
            return status;
        }
        if (json_is_true(label) && after_label) {
            places[count - 1].answer_size += text.size;
        } else if (json_is_true(label) && count < OD_ROWS_TURNS_MAX) {
            places[count++] = (struct od_turn_place){.prompt_size = rows->made.size,
                                                     .answer_at = rows->made.size,
                                                     .answer_size = text.size};
        } else if (json_is_true(label)) {
            return od_fail(err, OD_E_LIMIT, "%s:%" PRId64 ": more than %d labelled segments",
                           rows->name, row->line, (int)OD_ROWS_TURNS_MAX);
        }
        after_label = json_is_true(label);
        od_buf_append(&rows->made, text.bytes, text.size);
    }
    const char *made = od_buf_text(&rows->made);
    for (size_t i = 0; i < count; i++) {
        (void)od_rows_add_turn(row, rows->turns, made, places[i].prompt_size,
                               made + places[i].answer_at, places[i].answer_size);
    }
    return od_buf_check(&rows->made, err);
}

static enum od_status read_pair_of(struct od_rows *rows, const char *prompt_key,
                                   const char *answer_key, struct od_row *row, struct od_error *err)
{
    struct text prompt = {0};
    struct text answer = {0};
    enum od_status status = get_text(rows, rows->object, prompt_key, row->line, &prompt, err);
    if (status == OD_OK) {
        status = get_text(rows, rows->object, answer_key, row->line, &answer, err);
    }
    if (status == OD_OK) {
        (void)od_rows_add_turn(row, rows->turns, prompt.bytes, prompt.size, answer.bytes,
                               answer.size);
    }
    return status;
}

static enum od_status read_pair(struct od_rows *rows, struct od_row *row, struct od_error *err)
{
    static const char *const pairs[][2] = {{"input", "output"},
                                           {"prompt", "response"},
                                           {"prompt", "completion"},
                                           {"question", "answer"}};
    const struct od_dataset_fields *fields = &rows->options.spec->fields;
    if (fields->input || fields->output) {
        const char *input = fields->input ? fields->input : "input";
        const char *output = fields->output ? fields->output : "output";
        if (has(rows, input) && has(rows, output)) {
            return read_pair_of(rows, input, output, row, err);
        }
        return od_fail(err, OD_E_FORMAT, "%s:%" PRId64 ": a row needs '%s' and '%s'", rows->name,
                       row->line, input, output);
    }
    if (json_is_array(json_object_get(rows->object, "segments"))) {
        return read_segments(rows, row, err);
    }
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        if (has(rows, pairs[i][0]) && has(rows, pairs[i][1])) {
            return read_pair_of(rows, pairs[i][0], pairs[i][1], row, err);
        }
    }
    return od_fail(err, OD_E_FORMAT,
                   "%s:%" PRId64
                   ": a row needs 'input' and 'output' (or 'prompt' and 'response', "
                   "'prompt' and 'completion', 'question' and 'answer', or 'segments')",
                   rows->name, row->line);
}

// The first of two keys that the row has, or the first.
static const char *either(const struct od_rows *rows, const char *first, const char *second)
{
    return has(rows, first) || !has(rows, second) ? first : second;
}

static enum od_status read_instruction(struct od_rows *rows, const struct od_row *row,
                                       struct instruction *ret, struct od_error *err)
{
    const struct od_dataset_spec *spec = rows->options.spec;
    const bool alpaca = spec->type == OD_DATASET_ALPACA;
    const bool chat = spec->type == OD_DATASET_ALPACA_CHAT;
    const char *instruction = chat ? either(rows, "instruction", "question") : "instruction";
    const char *input = alpaca || chat ? either(rows, "input", "context") : "input";
    const char *output = alpaca || chat ? either(rows, "output", "response") : "output";
    output = chat ? either(rows, output, "answer") : output;
    instruction = spec->fields.instruction ? spec->fields.instruction : instruction;
    input = spec->fields.input ? spec->fields.input : input;
    output = spec->fields.output ? spec->fields.output : output;
    const char *system = spec->fields.system ? spec->fields.system : "system";
    if (!has(rows, instruction) || !has(rows, output)) {
        return od_fail(err, OD_E_FORMAT, "%s:%" PRId64 ": a row needs '%s' and '%s'", rows->name,
                       row->line, instruction, output);
    }
    enum od_status status =
        get_text(rows, rows->object, instruction, row->line, &ret->instruction, err);
    if (status == OD_OK) {
        status = get_text(rows, rows->object, input, row->line, &ret->input, err);
    }
    if (status == OD_OK) {
        status = get_text(rows, rows->object, output, row->line, &ret->output, err);
    }
    if (status == OD_OK) {
        status = get_text(rows, rows->object, system, row->line, &ret->system, err);
    }
    return status;
}

static void put(struct od_buf *out, struct text text)
{
    od_buf_append(out, text.bytes, text.size);
}

void od_alpaca_prompt(struct od_buf *out, const char *instruction, const char *input)
{
    const bool has_input = input && *input != '\0';
    od_buf_puts(out, "Below is an instruction that describes a task");
    od_buf_puts(out, has_input ? ", paired with an input that provides further context" : "");
    od_buf_puts(out, ". Write a response that appropriately completes the request.\n\n");
    od_buf_puts(out, "### Instruction:\n");
    od_buf_puts(out, instruction);
    if (has_input) {
        od_buf_puts(out, "\n\n### Input:\n");
        od_buf_puts(out, input);
    }
    od_buf_puts(out, "\n\n### Response:\n");
}

static enum od_status put_alpaca(const struct od_rows *rows, const struct od_row *row,
                                 const struct instruction *parts, struct od_buf *out,
                                 struct od_error *err)
{
    if (strlen(parts->instruction.bytes) != parts->instruction.size ||
        strlen(parts->input.bytes) != parts->input.size) {
        return od_fail(err, OD_E_FORMAT, "%s:%" PRId64 ": the instruction holds a NUL", rows->name,
                       row->line);
    }
    if (parts->system.size == 0) {
        od_alpaca_prompt(out, parts->instruction.bytes, parts->input.bytes);
        return OD_OK;
    }
    put(out, parts->system);
    od_buf_puts(out, "\n\n### Instruction:\n");
    put(out, parts->instruction);
    if (parts->input.size > 0) {
        od_buf_puts(out, "\n\n### Input:\n");
        put(out, parts->input);
    }
    od_buf_puts(out, "\n\n### Response:\n");
    return OD_OK;
}

static void put_alpaca_chat(const struct instruction *parts, struct od_buf *out)
{
    if (parts->system.size > 0) {
        put(out, parts->system);
        od_buf_puts(out, "\n\n");
    }
    od_buf_puts(out, "USER: ");
    put(out, parts->instruction);
    od_buf_puts(out, parts->input.size > 0 ? "\n" : "");
    put(out, parts->input);
    od_buf_puts(out, "\nASSISTANT:");
}

// Write a format with its names replaced.
static enum od_status put_format(const struct od_rows *rows, const char *format,
                                 const struct instruction *parts, struct od_buf *out,
                                 struct od_error *err)
{
    const struct {
        const char *name;
        const struct text *text;
    } names[] = {{"{instruction}", &parts->instruction},
                 {"{input}", &parts->input},
                 {"{system}", &parts->system}};
    while (*format != '\0') {
        const struct text *text = NULL;
        size_t used = 1;
        if ((format[0] == '{' || format[0] == '}') && format[1] == format[0]) {
            od_buf_putc(out, format[0]);
            format += 2;
            continue;
        }
        for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
            if (strncmp(format, names[i].name, strlen(names[i].name)) == 0) {
                text = names[i].text;
                used = strlen(names[i].name);
            }
        }
        if (text) {
            put(out, *text);
        } else if (format[0] == '{' || format[0] == '}') {
            return od_fail(
                err, OD_E_FORMAT,
                "'%s': a format knows {instruction}, {input} and {system}, and {{ and }} "
                "for braces: not '%.20s'",
                rows->name, format);
        } else {
            od_buf_putc(out, format[0]);
        }
        format += used;
    }
    return OD_OK;
}

static enum od_status put_own(const struct od_rows *rows, struct instruction *parts,
                              struct od_buf *out, struct od_error *err)
{
    const struct od_dataset_spec *spec = rows->options.spec;
    const char *format = parts->input.size > 0
                             ? (spec->format ? spec->format : "{instruction} {input} ")
                         : spec->no_input_format ? spec->no_input_format
                                                 : "{instruction} ";
    enum od_status status = OD_OK;
    if (parts->system.size == 0 && spec->system_prompt) {
        parts->system = (struct text){spec->system_prompt, strlen(spec->system_prompt)};
    }
    if (parts->system.size > 0) {
        status = put_format(rows, spec->system_format ? spec->system_format : "{system}", parts,
                            out, err);
    }
    return status == OD_OK ? put_format(rows, format, parts, out, err) : status;
}

static enum od_status read_prompted(struct od_rows *rows, struct od_row *row, struct od_error *err)
{
    struct instruction parts = {0};
    enum od_status status = read_instruction(rows, row, &parts, err);
    if (status != OD_OK) {
        return status;
    }
    od_buf_reset(&rows->made);
    if (rows->options.spec->type == OD_DATASET_OWN) {
        status = put_own(rows, &parts, &rows->made, err);
    } else if (rows->options.spec->type == OD_DATASET_ALPACA) {
        status = put_alpaca(rows, row, &parts, &rows->made, err);
    } else {
        put_alpaca_chat(&parts, &rows->made);
        // The answer goes on behind "ASSISTANT:", with a blank between.
        od_buf_reset(&rows->other);
        od_buf_putc(&rows->other, ' ');
        put(&rows->other, parts.output);
        parts.output = (struct text){od_buf_text(&rows->other), rows->other.size};
        status = od_buf_check(&rows->other, err);
    }
    if (status == OD_OK) {
        status = od_buf_check(&rows->made, err);
    }
    if (status == OD_OK) {
        (void)od_rows_add_turn(row, rows->turns, od_buf_text(&rows->made), rows->made.size,
                               parts.output.bytes, parts.output.size);
    }
    return status;
}

static enum od_status read_completion(struct od_rows *rows, struct od_row *row,
                                      struct od_error *err)
{
    const char *field = rows->options.spec->fields.text;
    struct text text = {0};
    field = field ? field : "text";
    if (!has(rows, field)) {
        return od_fail(err, OD_E_FORMAT, "%s:%" PRId64 ": a row needs '%s'", rows->name, row->line,
                       field);
    }
    const enum od_status status = get_text(rows, rows->object, field, row->line, &text, err);
    row->text = text.bytes;
    row->text_size = text.size;
    return status;
}

enum od_status od_rows_read_object(struct od_rows *rows, struct od_row *row, struct od_error *err)
{
    switch (rows->options.spec->type) {
    case OD_DATASET_INPUT_OUTPUT: return read_pair(rows, row, err);
    case OD_DATASET_ALPACA:
    case OD_DATASET_ALPACA_CHAT:
    case OD_DATASET_OWN: return read_prompted(rows, row, err);
    case OD_DATASET_COMPLETION: return read_completion(rows, row, err);
    case OD_DATASET_CHAT: return od_rows_read_chat(rows, row, err);
    case OD_DATASET_OASST:
    case OD_DATASET_TYPES: break;
    }
    return od_fail(err, OD_E_ARGUMENT, "'%s': rows of this type are not read one by one",
                   rows->name);
}
