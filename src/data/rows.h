/**
 * @file
 * The rows of one data file, one after the other: prompt and answer, or plain text. Known only
 * inside this room.
 *
 * @thread Re-entrant: distinct objects from distinct threads.
 */
#ifndef OD_DATA_ROWS_H
#define OD_DATA_ROWS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"
#include "data/dataset.h"

/** How a file is cut into rows. */
enum od_rows_layout {
    OD_ROWS_LINES,  ///< a JSON object per line
    OD_ROWS_ARRAY,  ///< one JSON array of objects
    OD_ROWS_TEXT    ///< plain text, split at lines "<|endoftext|>"
};

/** One row. @memory Borrowed from the reader until its next row. */
struct od_row {
    const char *prompt;  ///< NULL for plain text
    size_t prompt_size;
    const char *answer;  ///< the whole text for plain text
    size_t answer_size;
    int64_t line;       ///< of its first byte, from 1
    bool invalid_utf8;  ///< had bytes that are read as U+FFFD
};

/** Where a reader stands. Everything is private. */
struct od_rows {
    const char *name;
    enum od_dataset_type type;
    enum od_rows_layout layout;
    char *text;
    size_t size;
    size_t at;
    int64_t line;          ///< of text[at]
    size_t line_start;     ///< offset of the line's first byte
    bool inside;           ///< an array was opened and not closed
    json_t *object;        ///< the row that is lent
    struct od_buf valid;   ///< its bytes as valid UTF-8, when they were not
    struct od_buf prompt;  ///< the prompt, when it is made from several members
};

/**
 * Start reading `size` bytes of `text`. The layout comes from the end of `name`: .jsonl, .json (an
 * array, or a row per line) or .txt, each also with .gz behind it.
 * @memory Takes `text` (od_free), on failure too; keeps `name`. Gives: od_rows_release.
 */
enum od_status od_rows_init(struct od_rows *rows, const char *name, enum od_dataset_type type,
                            char *text, size_t size, struct od_error *err) OD_MUST_CHECK;
/** Free what the reader holds; one that is all zero is fine. */
void od_rows_release(struct od_rows *rows);

/** The next row, or `*ret_more` false at the end. Broken rows are errors "NAME:line: what". */
enum od_status od_rows_next(struct od_rows *rows, struct od_row *ret, bool *ret_more,
                            struct od_error *err) OD_MUST_CHECK;

#endif
