// The automaton, over characters after \r\n and \r have become \n; "end" is the end of the text:
//
//   state    "            delimiter        \n                  other    end
//   ROW      -> QUOTED    field, -> FIELD  row without fields  -> PLAIN  stop
//   FIELD    -> QUOTED    field            field, row          -> PLAIN  field, row
//   PLAIN    keep         field, -> FIELD  field, row          keep      field, row
//   QUOTED   -> CLOSING   keep             keep                keep      field, row
//   CLOSING  keep one ",  field, -> FIELD  field, row          keep,     field, row
//            -> QUOTED                                         -> PLAIN
//
// "field" ends a field, "row" ends a row and goes to ROW, "keep" appends the character.

#include "formats/csv.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"
#include "formats/text_file.h"

enum { FIRST_CAPACITY = 256 };

enum state { ROW, FIELD, PLAIN, QUOTED, CLOSING };

struct parser {
    const char *name;
    struct od_csv csv;
    size_t field_count;
    size_t field_capacity;
    size_t row_capacity;
    size_t row_first;    // index of the first field of the open row
    size_t row_line;     // where the open row started
    size_t line;         // of the character that is looked at
    size_t used;         // bytes of csv.bytes
    size_t field_start;  // of the open field in csv.bytes
    enum state state;
};

static enum od_status no_memory(const struct parser *p, struct od_error *err)
{
    return od_fail(err, OD_E_MEMORY, "no memory for the rows of '%s'", p->name);
}

static enum od_status end_field(struct parser *p, struct od_error *err)
{
    if (p->field_count == p->field_capacity) {
        const size_t capacity = p->field_capacity == 0 ? FIRST_CAPACITY : p->field_capacity * 2;
        if (p->field_count == OD_CSV_FIELDS_MAX) {
            return od_fail(err, OD_E_LIMIT, "%s:%zu: more than %d fields", p->name, p->line,
                           (int)OD_CSV_FIELDS_MAX);
        }
        struct od_csv_field *more = od_realloc(p->csv.fields, capacity, sizeof *more);
        if (!more) {
            return no_memory(p, err);
        }
        p->csv.fields = more;
        p->field_capacity = capacity;
    }
    const size_t size = p->used - p->field_start;
    if (size > OD_CSV_FIELD_MAX_BYTES) {
        return od_fail(err, OD_E_LIMIT, "%s:%zu: a field has more than %d bytes", p->name,
                       p->row_line, (int)OD_CSV_FIELD_MAX_BYTES);
    }
    p->csv.fields[p->field_count] =
        (struct od_csv_field){.text = p->csv.bytes + p->field_start, .size = size};
    p->field_count++;
    p->csv.bytes[p->used++] = '\0';
    p->field_start = p->used;
    return OD_OK;
}

// The rows' pointers are set when the array of fields does not move any more.
static enum od_status end_row(struct parser *p, struct od_error *err)
{
    if (p->csv.count == p->row_capacity) {
        const size_t capacity = p->row_capacity == 0 ? FIRST_CAPACITY : p->row_capacity * 2;
        struct od_csv_row *more = od_realloc(p->csv.rows, capacity, sizeof *more);
        if (!more) {
            return no_memory(p, err);
        }
        p->csv.rows = more;
        p->row_capacity = capacity;
    }
    p->csv.rows[p->csv.count] =
        (struct od_csv_row){.count = p->field_count - p->row_first, .line = p->row_line};
    p->csv.count++;
    p->row_first = p->field_count;
    p->state = ROW;
    return OD_OK;
}

static void keep(struct parser *p, char c, enum state state)
{
    p->csv.bytes[p->used++] = c;
    p->state = state;
}

static enum od_status step(struct parser *p, char c, char delimiter, struct od_error *err)
{
    if (p->state == ROW) {
        p->row_line = p->line;
        if (c == '\n') {
            return end_row(p, err);
        }
        p->state = FIELD;
    }
    if (p->state == QUOTED) {
        if (c == '"') {
            p->state = CLOSING;
        } else {
            keep(p, c, QUOTED);
        }
        return OD_OK;
    }
    if (c == '"' && p->state == FIELD) {
        p->state = QUOTED;
    } else if (c == '"' && p->state == CLOSING) {
        keep(p, c, QUOTED);
    } else if (c == delimiter) {
        p->state = FIELD;
        return end_field(p, err);
    } else if (c == '\n') {
        const enum od_status status = end_field(p, err);
        return status == OD_OK ? end_row(p, err) : status;
    } else {
        keep(p, c, PLAIN);
    }
    return OD_OK;
}

static enum od_status run(struct parser *p, const char *text, size_t size, char delimiter,
                          struct od_error *err)
{
    enum od_status status = OD_OK;
    for (size_t i = 0; i < size && status == OD_OK; i++) {
        char c = text[i];
        if (c == '\0') {
            return od_fail(err, OD_E_FORMAT, "%s:%zu: the line holds a NUL", p->name, p->line);
        }
        if (c == '\r') {
            if (i + 1 < size && text[i + 1] == '\n') {
                i++;
            }
            c = '\n';
        }
        status = step(p, c, delimiter, err);
        p->line += c == '\n' ? 1 : 0;
    }
    if (status == OD_OK && p->state != ROW) {
        status = end_field(p, err);
        if (status == OD_OK) {
            status = end_row(p, err);
        }
    }
    return status;
}

static size_t line_of(const char *text, size_t offset)
{
    size_t line = 1;
    for (size_t i = 0; i < offset; i++) {
        line += text[i] == '\n' ? 1 : 0;
    }
    return line;
}

enum od_status od_csv_parse(const char *text, size_t size, char delimiter, const char *name,
                            struct od_csv *ret, struct od_error *err)
{
    struct parser p = {.name = name, .line = 1, .state = ROW};
    struct od_csv_field *first = NULL;
    enum od_status status = OD_OK;
    const size_t invalid_at = od_utf8_invalid_at(text, size);
    if (invalid_at < size) {
        return od_fail(err, OD_E_FORMAT, "%s:%zu: the line is no UTF-8", name,
                       line_of(text, invalid_at));
    }
    // Each field takes at most the bytes it has in the text, and a NUL in place of what ends it.
    p.csv.bytes = size < SIZE_MAX ? od_alloc(size + 1, 1) : NULL;
    p.csv.fields = od_alloc(FIRST_CAPACITY, sizeof *p.csv.fields);
    p.field_capacity = FIRST_CAPACITY;
    status = p.csv.bytes && p.csv.fields ? run(&p, text, size, delimiter, err) : no_memory(&p, err);
    if (status != OD_OK) {
        od_csv_release(&p.csv);
        return status;
    }
    first = p.csv.fields;
    for (size_t i = 0; i < p.csv.count; i++) {
        p.csv.rows[i].fields = first;
        first += p.csv.rows[i].count;
    }
    *ret = p.csv;
    return OD_OK;
}

enum od_status od_csv_read(const char *path, char delimiter, struct od_csv *ret,
                           struct od_error *err)
{
    char *text = NULL;
    size_t size = 0;
    enum od_status status = od_text_read(path, OD_CSV_FILE_MAX_BYTES, &text, &size, err);
    if (status == OD_OK) {
        status = od_csv_parse(text, size, delimiter, path, ret, err);
    }
    od_free(text);
    return status;
}

void od_csv_release(struct od_csv *csv)
{
    od_free(csv->rows);
    od_free(csv->fields);
    od_free(csv->bytes);
    *csv = (struct od_csv){0};
}
