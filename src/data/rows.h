/**
 * @file
 * The rows of one data file, one after the other: turns of prompt and answer, or plain text. Known
 * only inside this room and its tests.
 *
 * Two halves: rows.c cuts the file into JSON objects (or texts), row_types.c, chat_rows.c and
 * oasst.c make turns of them.
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
#include "formats/csv.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

/** Limits on a conversation and on a file of trees. */
enum { OD_ROWS_TURNS_MAX = 1024, OD_ROWS_MESSAGES_MAX = 1 << 22 };

/** How a file is cut into rows. */
enum od_rows_layout {
    OD_ROWS_LINES,  ///< a JSON object per line
    OD_ROWS_ARRAY,  ///< one JSON array of objects
    OD_ROWS_TABLE,  ///< CSV or TSV: each row an object of texts
    OD_ROWS_TEXT    ///< plain text, split at lines "<|endoftext|>"
};

/** An answer and everything in front of it. */
struct od_turn {
    const char *prompt;
    size_t prompt_size;
    const char *answer;
    size_t answer_size;
};

/** One row. @memory Borrowed from the reader until its next row. */
struct od_row {
    const char *text;  ///< plain text; NULL: the turns count
    size_t text_size;
    const struct od_turn *turns;  ///< [turn_count]; no answer is blank
    size_t turn_count;            ///< 0: nothing to learn
    int64_t line;                 ///< of its first byte, from 1
    bool invalid_utf8;            ///< had bytes that are read as U+FFFD
};

/** A turn as offsets into a buffer that still grows. */
struct od_turn_place {
    size_t prompt_at;
    size_t prompt_size;
    size_t answer_at;
    size_t answer_size;
};

struct od_oasst;

/** What rows are made with. */
struct od_rows_options {
    const struct od_dataset_spec *spec;            ///< `path` stands in messages
    const struct od_chat_template *chat_template;  ///< NULL: none is needed
    const struct od_tokenizer *tokenizer;          ///< for BOS and EOS of the template; NULL: none
};

/** Where a reader stands. Everything is private. */
struct od_rows {
    struct od_rows_options options;
    const char *name;
    enum od_rows_layout layout;
    char *text;
    size_t size;
    size_t at;
    int64_t line;          ///< of text[at]
    size_t line_start;     ///< offset of the line's first byte
    bool inside;           ///< an array was opened and not closed
    struct od_csv csv;     ///< of a table
    size_t csv_at;         ///< its next row
    struct od_csv header;  ///< names of the columns, when the file has none
    json_t *object;        ///< the row that is lent
    struct od_oasst *trees;
    struct od_buf valid;  ///< its bytes as valid UTF-8, when they were not
    struct od_buf made;   ///< texts that are made from several members
    struct od_buf other;  ///< a second one
    struct od_turn_place places[OD_ROWS_TURNS_MAX];
    struct od_turn turns[OD_ROWS_TURNS_MAX];
};

/**
 * Start reading `size` bytes of `text`. The layout comes from the end of the spec's path: .jsonl,
 * .json (an array, or a row per line), .csv, .tsv or .txt, each also with .gz, .zst or .xz behind it.
 * @memory Takes `text` (od_free), on failure too; keeps what `options` point to. Gives:
 *         od_rows_release.
 */
enum od_status od_rows_init(struct od_rows *rows, const struct od_rows_options *options, char *text,
                            size_t size, struct od_error *err) OD_MUST_CHECK;
/** Free what the reader holds; one that is all zero is fine. */
void od_rows_release(struct od_rows *rows);

/** The next row, or `*ret_more` false at the end. Broken rows are errors "NAME:line: what". */
enum od_status od_rows_next(struct od_rows *rows, struct od_row *ret, bool *ret_more,
                            struct od_error *err) OD_MUST_CHECK;

/** The next object (in rows->object) or text (in ret->text), before it is looked at. */
enum od_status od_rows_next_raw(struct od_rows *rows, struct od_row *ret, bool *ret_more,
                                struct od_error *err) OD_MUST_CHECK;

/** Make turns of rows->object. */
enum od_status od_rows_read_object(struct od_rows *rows, struct od_row *row,
                                   struct od_error *err) OD_MUST_CHECK;
/** The same for {"messages": [...]} and {"conversations": [...]}. */
enum od_status od_rows_read_chat(struct od_rows *rows, struct od_row *row,
                                 struct od_error *err) OD_MUST_CHECK;

/**
 * Make turns of messages with `role` and `content` (roles in the names of templates): one for each
 * message of an assistant for which learn[index] is true.
 */
enum od_status od_rows_read_messages(struct od_rows *rows, const json_t *messages,
                                     const bool *learn, struct od_row *row,
                                     struct od_error *err) OD_MUST_CHECK;

/** Read a whole file of trees; then lend its ways one by one. */
enum od_status od_oasst_read(struct od_rows *rows, struct od_error *err) OD_MUST_CHECK;
enum od_status od_oasst_next(struct od_rows *rows, struct od_row *ret, bool *ret_more,
                             struct od_error *err) OD_MUST_CHECK;
/** NULL is allowed. */
void od_oasst_free(struct od_oasst *trees);

/** Add a turn; a blank answer is none. False when there are too many. */
bool od_rows_add_turn(struct od_row *row, struct od_turn *turns, const char *prompt,
                      size_t prompt_size, const char *answer, size_t answer_size);

#endif
