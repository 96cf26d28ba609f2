#include "formats/jsonl.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "base/status.h"
#include "formats/json.h"

void od_jsonl_init(struct od_jsonl *lines, const char *text, size_t size, const char *name)
{
    *lines = (struct od_jsonl){
        .text = text, .size = size, .name = name, .max_line_bytes = OD_JSONL_LINE_MAX_BYTES};
}

static bool is_blank(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (text[i] != ' ' && text[i] != '\t' && text[i] != '\r') {
            return false;
        }
    }
    return true;
}

enum od_status od_jsonl_next(struct od_jsonl *lines, json_t **ret, struct od_error *err)
{
    while (lines->at < lines->size) {
        const char *line = lines->text + lines->at;
        const size_t left = lines->size - lines->at;
        const char *newline = memchr(line, '\n', left);
        const size_t size = newline ? (size_t)(newline - line) : left;
        lines->at += newline ? size + 1 : size;
        lines->line++;
        if (size > lines->max_line_bytes) {
            return od_fail(err, OD_E_LIMIT, "%s:%zu: the line has %zu bytes, at most %zu are read",
                           lines->name, lines->line, size, lines->max_line_bytes);
        }
        if (!is_blank(line, size)) {
            return od_json_parse_at(line, size, lines->name, lines->line, ret, err);
        }
    }
    *ret = NULL;
    return OD_OK;
}
