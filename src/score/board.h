/**
 * @file
 * A board: entries (models, submissions) by metrics, as it was measured. Ranking it is formula.h's
 * business.
 *
 * A cell is a value or undefined with a reason; undefined stays undefined here, even where a
 * formula has to count it as something.
 *
 * @thread Re-entrant: distinct boards from distinct threads.
 */
#ifndef OD_SCORE_BOARD_H
#define OD_SCORE_BOARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/interval.h"
#include "base/memory.h"
#include "base/status.h"

enum {
    OD_BOARD_ENTRIES_MAX = 4096,
    OD_BOARD_METRICS_MAX = 2048,
    OD_BOARD_NAME_MAX_BYTES = 512,
    OD_BOARD_NOTES_MAX = 16
};
/** Entries times metrics. */
#define OD_BOARD_CELLS_MAX      ((size_t)1 << 20)
/** Largest table file that is read. */
#define OD_BOARD_FILE_MAX_BYTES ((size_t)64 << 20)

enum od_score_direction {
    OD_SCORE_HIGHER,  ///< higher is better
    OD_SCORE_LOWER,   ///< lower is better
    OD_SCORE_NONE     ///< says nothing about quality (a count): never ranked
};

struct od_score_metric {
    const char *name;  ///< "MMLU - EM (Robustness)"
    enum od_score_direction direction;
    const char *category;  ///< HELM's table: "Accuracy", "Robustness", "Fairness", "Bias" ...
    bool targeted;         ///< not in HELM's core_scenarios, but elsewhere in a suite
    bool extra;            ///< in no table of HELM: a second look at what another metric measures
};

struct od_score_cell {
    bool defined;
    double value;     ///< finite; 0 when undefined
    const char *why;  ///< why it is undefined; NULL when defined
    int64_t items;    ///< items behind the value; -1 when unknown
    bool has_interval;
    struct od_interval interval;  ///< 95 %
    bool has_bootstrap;
    struct od_interval bootstrap;  ///< 95 %, over the items (base/bootstrap.h)
};

/** Initialise with od_board_init. */
struct od_board {
    struct od_arena arena;  ///< owns every string, entry, metric and cell
    const char *source;     ///< what it was read from, for people
    size_t entry_count;
    const char **entries;
    size_t metric_count;
    struct od_score_metric *metrics;
    struct od_score_cell *cells;  ///< [entry * metric_count + metric]; NULL until od_board_seal
    size_t note_count;
    const char *notes[OD_BOARD_NOTES_MAX];  ///< what a reader of the board should know
};

/** An empty board, filled in two rounds: names first, then od_board_seal, then values. */
enum od_status od_board_init(struct od_board *board, const char *source,
                             struct od_error *err) OD_MUST_CHECK;
void od_board_release(struct od_board *board);

/**
 * Add an entry. The name is copied.
 * @error OD_E_FORMAT for an empty or repeated name, invalid UTF-8 or control characters (they would
 *        reach a terminal); OD_E_LIMIT.
 */
enum od_status od_board_add_entry(struct od_board *board, const char *name,
                                  struct od_error *err) OD_MUST_CHECK;

/** Index of a metric, or SIZE_MAX. `hint` is where to look first. */
size_t od_board_find_metric(const struct od_board *board, const char *name, size_t hint);

/**
 * Add a metric that is not there yet. Direction and category follow from its name, as HELM's
 * schema has them: Stereotypes, Representation, ECE, Toxic fraction, BBQ (ambiguous) and BBQ
 * (unambiguous) and run times are better when lower; counts have no direction.
 * @error As od_board_add_entry.
 */
enum od_status od_board_add_metric(struct od_board *board, const char *name,
                                   struct od_error *err) OD_MUST_CHECK;

/** Make the cells, all undefined with reason `why`. */
enum od_status od_board_seal(struct od_board *board, const char *why,
                             struct od_error *err) OD_MUST_CHECK;

/** The cell of an entry and a metric. @memory Borrowed from the board. */
struct od_score_cell *od_board_cell(struct od_board *board, size_t entry, size_t metric);
const struct od_score_cell *od_board_cell_const(const struct od_board *board, size_t entry,
                                                size_t metric);

/** True when some entry has a value for the metric. */
bool od_board_has_values(const struct od_board *board, size_t metric);

/** True when some entry has a value for a metric of the category that is ranked. */
bool od_board_has_category(const struct od_board *board, const char *category);

/** A copy of text from outside that is safe to show: control characters become blanks. NULL
 *  without memory. @memory Borrowed from the board. */
const char *od_board_text(struct od_board *board, const char *text);

/** Add a note; beyond the maximum it is dropped. */
enum od_status od_board_note(struct od_board *board, struct od_error *err, const char *format, ...)
    OD_PRINTF(3, 4) OD_MUST_CHECK;

/** True for a column that is a result of ranking and no metric: "... Mean Win Rate", "Score...",
 *  "rank", "rank low", "measured". */
bool od_board_is_result(const char *name);

/**
 * Read a table of metrics. A name that ends in .csv, or a text that does not start with `[`, is CSV:
 * header = metrics behind one column for the entry; an empty cell is undefined. Columns "M [low]" and
 * "M [high]", "M [bootstrap low]" and "M [bootstrap high]", and "M [items]" say more of the metric M in
 * front of them. Otherwise JSON:
 * `[[entry, {metric: number|null, ...}], ...]`, the shape in which the 2023 tables were published.
 * Columns for which od_board_is_result holds are left out, with a note.
 * @memory Gives: od_board_release.
 * @error  OD_E_NOT_FOUND, OD_E_IO, OD_E_LIMIT, OD_E_MEMORY; OD_E_FORMAT "FILE: ..." for an empty
 *         table, a repeated entry or metric, text where a number must stand, NaN, infinity, an
 *         interval of which one end is missing or the lower one above the higher.
 */
enum od_status od_board_read(const char *path, struct od_board *ret,
                             struct od_error *err) OD_MUST_CHECK;
/** The same from memory; `name` stands in messages and tells CSV from JSON. */
enum od_status od_board_parse(const char *text, size_t size, const char *name, struct od_board *ret,
                              struct od_error *err) OD_MUST_CHECK;

#endif
