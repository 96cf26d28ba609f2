#include "score/board.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"

// Names, metrics and 2^20 cells of 56 bytes, with room for reasons.
#define ARENA_MAX_BYTES ((size_t)256 << 20)

enum { NOTE_MAX_BYTES = 1024 };

static bool ends_with(const char *text, const char *end)
{
    const size_t size = strlen(text);
    const size_t end_size = strlen(end);
    return size >= end_size && strcmp(text + size - end_size, end) == 0;
}

static bool has_any(const char *text, const char *const *parts, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (strstr(text, parts[i])) {
            return true;
        }
    }
    return false;
}

static enum od_score_direction direction_of(const char *name)
{
    static const char *const lower[] = {"Stereotypes",      "Representation",  "ECE (",
                                        "Toxic fraction",   "BBQ (ambiguous)", "BBQ (unambiguous)",
                                        "inference time (", "runtime ("};
    static const char *const none[] = {"# eval",      "# train",    "truncated",
                                       "# prompt",    "# output",   "# trials",
                                       " - Coverage", " - Density", " - Compression"};
    if (has_any(name, lower, sizeof lower / sizeof lower[0])) {
        return OD_SCORE_LOWER;
    }
    if (has_any(name, none, sizeof none / sizeof none[0])) {
        return OD_SCORE_NONE;
    }
    return OD_SCORE_HIGHER;
}

static const char *category_of(const char *name)
{
    if (ends_with(name, " (Robustness)")) {
        return "Robustness";
    }
    if (ends_with(name, " (Fairness)")) {
        return "Fairness";
    }
    if (strstr(name, "Stereotypes") || strstr(name, "Representation")) {
        return "Bias";
    }
    if (strstr(name, "ECE (")) {
        return "Calibration";
    }
    if (strstr(name, "Toxic fraction")) {
        return "Toxicity";
    }
    if (strstr(name, "BBQ (ambiguous)") || strstr(name, "BBQ (unambiguous)")) {
        return "BBQ metrics";
    }
    if (direction_of(name) == OD_SCORE_NONE) {
        return "General information";
    }
    return direction_of(name) == OD_SCORE_LOWER ? "Efficiency" : "Accuracy";
}

bool od_board_is_result(const char *name)
{
    return ends_with(name, " Mean Win Rate") || strcmp(name, "Mean win rate") == 0 ||
           strncmp(name, "Mean win rate [", 15) == 0 || strcmp(name, "Score") == 0 ||
           strncmp(name, "Score [", 7) == 0 || strncmp(name, "Score_", 6) == 0 ||
           strcmp(name, "rank") == 0 || strncmp(name, "rank ", 5) == 0 ||
           strcmp(name, "measured") == 0;
}

enum od_status od_board_init(struct od_board *board, const char *source, struct od_error *err)
{
    *board = (struct od_board){0};
    od_arena_init(&board->arena, ARENA_MAX_BYTES);
    board->entries =
        (const char **)od_arena_alloc(&board->arena, OD_BOARD_ENTRIES_MAX, sizeof *board->entries);
    board->metrics = od_arena_alloc(&board->arena, OD_BOARD_METRICS_MAX, sizeof *board->metrics);
    board->source = od_arena_strdup(&board->arena, source);
    if (!board->entries || !board->metrics || !board->source) {
        od_board_release(board);
        return od_fail(err, OD_E_MEMORY, "no memory for a table of scores");
    }
    return OD_OK;
}

void od_board_release(struct od_board *board)
{
    od_arena_release(&board->arena);
    *board = (struct od_board){0};
}

static enum od_status check_name(const char *what, const char *name, struct od_error *err)
{
    const size_t size = strlen(name);
    if (size == 0) {
        return od_fail(err, OD_E_FORMAT, "%s with an empty name", what);
    }
    if (size > OD_BOARD_NAME_MAX_BYTES) {
        return od_fail(err, OD_E_LIMIT, "%s with a name of %zu bytes, at most %d", what, size,
                       OD_BOARD_NAME_MAX_BYTES);
    }
    for (size_t at = 0; at < size;) {
        uint32_t code = 0;
        const int length = od_utf8_decode(name + at, size - at, &code);
        if (length == 0) {
            return od_fail(err, OD_E_FORMAT, "%s whose name is no valid UTF-8 at byte %zu", what,
                           at);
        }
        if (code < 0x20 || (code >= 0x7f && code < 0xa0)) {
            return od_fail(err, OD_E_FORMAT, "%s whose name has the control character U+%04X", what,
                           (unsigned)code);
        }
        at += (size_t)length;
    }
    return OD_OK;
}

enum od_status od_board_add_entry(struct od_board *board, const char *name, struct od_error *err)
{
    const enum od_status status = check_name("an entry", name, err);
    if (status != OD_OK) {
        return status;
    }
    for (size_t i = 0; i < board->entry_count; i++) {
        if (strcmp(board->entries[i], name) == 0) {
            return od_fail(err, OD_E_FORMAT, "entry '%s' is there twice", name);
        }
    }
    if (board->entry_count == OD_BOARD_ENTRIES_MAX) {
        return od_fail(err, OD_E_LIMIT, "more than %d entries", OD_BOARD_ENTRIES_MAX);
    }
    const char *copy = od_arena_strdup(&board->arena, name);
    if (!copy) {
        return od_fail(err, OD_E_MEMORY, "no memory for entry '%s'", name);
    }
    board->entries[board->entry_count++] = copy;
    return OD_OK;
}

size_t od_board_find_metric(const struct od_board *board, const char *name, size_t hint)
{
    if (hint < board->metric_count && strcmp(board->metrics[hint].name, name) == 0) {
        return hint;
    }
    for (size_t i = 0; i < board->metric_count; i++) {
        if (strcmp(board->metrics[i].name, name) == 0) {
            return i;
        }
    }
    return SIZE_MAX;
}

enum od_status od_board_add_metric(struct od_board *board, const char *name, struct od_error *err)
{
    const enum od_status status = check_name("a metric", name, err);
    if (status != OD_OK) {
        return status;
    }
    if (od_board_find_metric(board, name, 0) != SIZE_MAX) {
        return od_fail(err, OD_E_FORMAT, "metric '%s' is there twice", name);
    }
    if (board->metric_count == OD_BOARD_METRICS_MAX) {
        return od_fail(err, OD_E_LIMIT, "more than %d metrics", OD_BOARD_METRICS_MAX);
    }
    const char *copy = od_arena_strdup(&board->arena, name);
    if (!copy) {
        return od_fail(err, OD_E_MEMORY, "no memory for metric '%s'", name);
    }
    board->metrics[board->metric_count++] = (struct od_score_metric){
        .name = copy, .direction = direction_of(copy), .category = category_of(copy)};
    return OD_OK;
}

enum od_status od_board_seal(struct od_board *board, const char *why, struct od_error *err)
{
    if (board->entry_count == 0) {
        return od_fail(err, OD_E_FORMAT, "the table has no entries");
    }
    if (board->metric_count == 0) {
        return od_fail(err, OD_E_FORMAT, "the table has no metrics");
    }
    const size_t count = board->entry_count * board->metric_count;
    if (count > OD_BOARD_CELLS_MAX) {
        return od_fail(err, OD_E_LIMIT, "%zu entries times %zu metrics are more than %zu cells",
                       board->entry_count, board->metric_count, OD_BOARD_CELLS_MAX);
    }
    const char *reason = od_arena_strdup(&board->arena, why);
    struct od_score_cell *cells = od_arena_alloc(&board->arena, count, sizeof *cells);
    if (!cells || !reason) {
        return od_fail(err, OD_E_MEMORY, "no memory for %zu cells", count);
    }
    for (size_t i = 0; i < count; i++) {
        cells[i] = (struct od_score_cell){.why = reason, .items = -1};
    }
    board->cells = cells;
    return OD_OK;
}

struct od_score_cell *od_board_cell(struct od_board *board, size_t entry, size_t metric)
{
    return &board->cells[entry * board->metric_count + metric];
}

const struct od_score_cell *od_board_cell_const(const struct od_board *board, size_t entry,
                                                size_t metric)
{
    return &board->cells[entry * board->metric_count + metric];
}

bool od_board_has_values(const struct od_board *board, size_t metric)
{
    for (size_t entry = 0; entry < board->entry_count; entry++) {
        if (od_board_cell_const(board, entry, metric)->defined) {
            return true;
        }
    }
    return false;
}

bool od_board_has_category(const struct od_board *board, const char *category)
{
    for (size_t i = 0; i < board->metric_count; i++) {
        const struct od_score_metric *metric = &board->metrics[i];
        if (metric->direction != OD_SCORE_NONE && !metric->extra &&
            strcmp(metric->category, category) == 0 && od_board_has_values(board, i)) {
            return true;
        }
    }
    return false;
}

const char *od_board_text(struct od_board *board, const char *text)
{
    const size_t size = strlen(text);
    char *copy = od_arena_memdup(&board->arena, text, size);
    for (size_t at = 0; copy && at < size;) {
        uint32_t code = 0;
        const int length = od_utf8_decode(copy + at, size - at, &code);
        const size_t step = length > 0 ? (size_t)length : 1;
        if (length == 0 || code < 0x20 || (code >= 0x7f && code < 0xa0)) {
            memset(copy + at, ' ', step);
        }
        at += step;
    }
    return copy;
}

enum od_status od_board_note(struct od_board *board, struct od_error *err, const char *format, ...)
{
    struct od_buf buf;
    va_list args;
    if (board->note_count == OD_BOARD_NOTES_MAX) {
        return OD_OK;
    }
    od_buf_init(&buf, NOTE_MAX_BYTES);
    va_start(args, format);
    od_buf_vprintf(&buf, format, args);
    va_end(args);
    const char *note =
        buf.failed ? NULL : od_arena_memdup(&board->arena, od_buf_text(&buf), buf.size);
    od_buf_release(&buf);
    if (!note) {
        return od_fail(err, OD_E_MEMORY, "no memory for a note");
    }
    board->notes[board->note_count++] = note;
    return OD_OK;
}
