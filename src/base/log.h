/**
 * @file
 * What a person sees while the program works: log lines, a progress bar, tables. All on stderr
 * except tables, which go where the caller says.
 *
 * @thread od_log may be called from any thread; the settings are made once, before other threads.
 */
#ifndef OD_BASE_LOG_H
#define OD_BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/memory.h"
#include "base/status.h"

enum od_log_level { OD_LOG_ERROR, OD_LOG_WARNING, OD_LOG_INFO, OD_LOG_DEBUG };

/** Where log lines go; NULL silences them. Default: nothing below warnings, to nowhere. */
void od_log_init(FILE *to, enum od_log_level level);
bool od_log_is_on(enum od_log_level level);
/** One line, without the newline. A running bar is wiped first. */
void od_log(enum od_log_level level, const char *format, ...) OD_PRINTF(2, 3);

/** Seconds on a clock that only goes forward. */
double od_clock_s(void);
/** Nanoseconds on the same clock. */
uint64_t od_clock_ns(void);
/** Seconds that processors worked for this process, all threads together. */
double od_processor_s(void);
/** Now, as 2026-11-24T14:05:09Z. */
void od_clock_iso(char out[24]);

/**
 * A progress bar: redrawn in place on a terminal, a line every ten seconds elsewhere.
 *
 *     step [######..................] 123/500  4 min 05 s left, ends 14:32  loss 1.2345  2871 tokens/s
 *
 * What does not fit a narrow terminal is left out: first cells of the bar, then the end's time, the
 * bar, the word in front; the rest is cut, so that a bar never takes two lines.
 */
struct od_progress {
    const char *what;  ///< kept: a string that outlives the bar
    int64_t total;     ///< 0 when unknown
    int64_t from;      ///< of total, done before this bar began: the pace leaves it out
    double start_s;
    double last_s;
    bool active;
};
/** A bar of `total`; set `from` behind it when a part was done before. */
void od_progress_start(struct od_progress *progress, const char *what, int64_t total);
/** Show `done` of total, with a short note behind ("loss 1.234"), at most ten times a second. */
void od_progress_show(struct od_progress *progress, int64_t done, const char *note);
void od_progress_end(struct od_progress *progress, int64_t done, const char *note);

enum { OD_PROGRESS_LINE_BYTES = 512 };
/**
 * What is shown after `spent_s` seconds, at `wall_s` seconds since 1970. `columns`: of the terminal;
 * 0: it is none, and the line is whole and has no bar.
 */
void od_progress_line(const struct od_progress *progress, int64_t done, const char *note,
                      double spent_s, double wall_s, int columns, char out[OD_PROGRESS_LINE_BYTES]);

/** A table with aligned columns. Cells are copied; an empty header row is allowed. */
struct od_table {
    size_t columns;
    size_t rows;      ///< cells so far (a row is `columns` of them)
    char **cells;     ///< [rows * columns]
    size_t capacity;  ///< private
    bool failed;
    size_t width;   ///< where it is printed; 0: as wide as it gets
    size_t pinned;  ///< a table wider than that comes in parts, each with these columns in front
};
/** Columns of the terminal that `to` is; 0 when it is none. */
size_t od_terminal_width(FILE *to);
void od_table_init(struct od_table *table, size_t columns);
void od_table_release(struct od_table *table);
/** Append one cell; rows fill from left to right. */
void od_table_cell(struct od_table *table, const char *format, ...) OD_PRINTF(2, 3);
/** Print: the first row is the header, numbers are right-aligned, columns two blanks apart. */
enum od_status od_table_print(const struct od_table *table, FILE *to,
                              struct od_error *err) OD_MUST_CHECK;

/** Bytes as a person reads them: 512 B, 1.50 MB (10^6), 45.0 GB. */
void od_bytes_text(double bytes, char out[24]);
/** Seconds as a person reads them: 0.8 s, 12.4 s, 3 min 05 s, 2 h 03 min. */
void od_seconds_text(double seconds, char out[24]);

#endif
