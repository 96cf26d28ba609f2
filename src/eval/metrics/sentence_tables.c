#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"
#include "eval/metrics/sentences.h"
#include "eval/metrics/slice.h"
#include "formats/text_file.h"

#define TABLES_MAX_BYTES ((size_t)256 << 20)

void od_sentence_tables_init(struct od_sentence_tables *tables)
{
    *tables = (struct od_sentence_tables){0};
    od_arena_init(&tables->arena, TABLES_MAX_BYTES);
}

void od_sentence_tables_release(struct od_sentence_tables *tables)
{
    od_arena_release(&tables->arena);
    *tables = (struct od_sentence_tables){0};
}

static int by_text(const void *left, const void *right)
{
    const struct od_sentence_entry *a = left;
    const struct od_sentence_entry *b = right;
    return od_slice_order(a->text, b->text);
}

// Cut the number off a line WORD<tab>NUMBER.
static bool take_mask(struct od_sentence_entry *entry, char *line)
{
    enum { MASK_MAX = 127 };
    char *tab = strrchr(line, '\t');
    if (!tab || !od_parse_int(tab + 1, &entry->mask) || entry->mask < 0 || entry->mask > MASK_MAX) {
        return false;
    }
    *tab = '\0';
    entry->text = od_slice_of(line);
    return true;
}

static enum od_status parse_line(enum od_sentence_table_kind kind, char *line,
                                 struct od_sentence_entry *ret, struct od_error *err)
{
    *ret = (struct od_sentence_entry){.text = od_slice_of(line)};
    if (kind == OD_ORTHOGRAPHY && !take_mask(ret, line)) {
        return od_fail(err, OD_E_FORMAT, "a line is a word, a tab and a number from 0 to 127");
    }
    if (kind == OD_COLLOCATIONS && !strchr(line, '\t')) {
        return od_fail(err, OD_E_FORMAT, "a line is two words with a tab between them");
    }
    return OD_OK;
}

static enum od_status parse_lines(enum od_sentence_table_kind kind, char *text,
                                  struct od_sentence_entry *items, size_t *count, const char *path,
                                  struct od_error *err)
{
    size_t line = 1;
    for (char *at = text; at && *at != '\0'; line++) {
        char *end = strchr(at, '\n');
        if (end) {
            *end = '\0';
            if (end > at && end[-1] == '\r') {
                end[-1] = '\0';
            }
        }
        if (*at != '\0') {
            const enum od_status status = parse_line(kind, at, &items[*count], err);
            if (status != OD_OK) {
                od_error_prefix(err, "'%s':%zu", path, line);
                return status;
            }
            (*count)++;
        }
        at = end ? end + 1 : NULL;
    }
    return OD_OK;
}

enum od_status od_sentence_table_parse(struct od_sentence_tables *tables,
                                       enum od_sentence_table_kind kind, const char *text,
                                       size_t size, const char *path, struct od_error *err)
{
    size_t lines = 1;
    size_t count = 0;
    if (size > OD_SENTENCE_FILE_MAX_BYTES) {
        return od_fail(err, OD_E_LIMIT, "'%s' has more than %d bytes", path,
                       OD_SENTENCE_FILE_MAX_BYTES);
    }
    if (od_utf8_invalid_at(text, size) < size || memchr(text, '\0', size)) {
        return od_fail(err, OD_E_FORMAT, "'%s' is no text in UTF-8", path);
    }
    for (size_t i = 0; i < size; i++) {
        lines += text[i] == '\n';
    }
    if (lines > OD_SENTENCE_ENTRIES_MAX) {
        return od_fail(err, OD_E_LIMIT, "'%s' has more than %d lines", path,
                       OD_SENTENCE_ENTRIES_MAX);
    }
    char *copy = od_arena_memdup(&tables->arena, text, size);
    struct od_sentence_entry *items = od_arena_alloc(&tables->arena, lines, sizeof *items);
    if (!copy || !items) {
        return od_fail(err, OD_E_MEMORY, "no memory for '%s'", path);
    }
    const enum od_status status = parse_lines(kind, copy, items, &count, path, err);
    if (status != OD_OK) {
        return status;
    }
    if (count > 1) {
        qsort(items, count, sizeof *items, by_text);
    }
    tables->items[kind] = items;
    tables->counts[kind] = count;
    return OD_OK;
}

enum od_status od_sentence_tables_read(struct od_sentence_tables *tables, const char *folder,
                                       struct od_error *err)
{
    static const char *const names[OD_SENTENCE_TABLES] = {"abbrev_types.txt", "collocations.tab",
                                                          "sent_starters.txt", "ortho_context.tab"};
    enum od_status status = OD_OK;
    for (int kind = 0; kind < OD_SENTENCE_TABLES && status == OD_OK; kind++) {
        char path[OD_PATH_MAX_BYTES];
        char *text = NULL;
        size_t size = 0;
        status = od_path_join(path, folder, names[kind], err);
        if (status == OD_OK) {
            status = od_text_read(path, OD_SENTENCE_FILE_MAX_BYTES, &text, &size, err);
        }
        if (status == OD_OK) {
            status = od_sentence_table_parse(tables, (enum od_sentence_table_kind)kind, text, size,
                                             path, err);
        }
        od_free(text);
    }
    return status;
}
