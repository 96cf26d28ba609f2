#include "base/log.h"

#include <math.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"

enum { BAR_CELLS = 24, LEFT_BYTES = 64, DEFAULT_COLUMNS = 80 };
// An end that is nearer than this needs no clock, one beyond that is none.
static const double END_FROM_S = 60.0;
static const double LEFT_MAX_S = 1e9;
static const double DAY_S = 86400.0;
static const double SHOW_EVERY_TERMINAL_S = 0.1;
static const double SHOW_EVERY_PLAIN_S = 10.0;

static FILE *log_to;
static enum od_log_level log_level = OD_LOG_WARNING;
static bool log_terminal;
static bool bar_shown;
static pthread_mutex_t log_lock = PTHREAD_MUTEX_INITIALIZER;

void od_log_init(FILE *to, enum od_log_level level)
{
    log_to = to;
    log_level = level;
    log_terminal = to && isatty(fileno(to)) != 0;
}

bool od_log_is_on(enum od_log_level level)
{
    return log_to && level <= log_level;
}

static void wipe_bar(void)
{
    if (bar_shown) {
        (void)fputs("\r\033[K", log_to);
        bar_shown = false;
    }
}

void od_log(enum od_log_level level, const char *format, ...)
{
    va_list args;
    if (!od_log_is_on(level)) {
        return;
    }
    pthread_mutex_lock(&log_lock);
    wipe_bar();
    if (level == OD_LOG_WARNING) {
        (void)fputs("warning: ", log_to);
    }
    va_start(args, format);
    (void)vfprintf(log_to, format, args);
    va_end(args);
    (void)fputc('\n', log_to);
    (void)fflush(log_to);
    pthread_mutex_unlock(&log_lock);
}

uint64_t od_clock_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

double od_clock_s(void)
{
    return (double)od_clock_ns() * 1e-9;
}

double od_processor_s(void)
{
    struct timespec now = {0};
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

void od_clock_iso(char out[24])
{
    const time_t now = time(NULL);
    struct tm parts;
    (void)gmtime_r(&now, &parts);
    (void)strftime(out, 24, "%Y-%m-%dT%H:%M:%SZ", &parts);
}

void od_progress_start(struct od_progress *progress, const char *what, int64_t total)
{
    const double now = od_clock_s();
    *progress = (struct od_progress){
        .what = what, .total = total, .start_s = now, .last_s = now, .active = true};
}

// " 4 min 05 s left, ends 14:32"; nothing while there is no pace.
static void left_text(const struct od_progress *progress, int64_t done, double spent_s,
                      double wall_s, bool with_end, char out[LEFT_BYTES])
{
    char span[24];
    struct tm end;
    const int64_t here = done - progress->from;
    const double left_s =
        here > 0 ? spent_s / (double)here * (double)(progress->total - done) : 0.0;
    time_t end_s = 0;
    out[0] = '\0';
    if (here <= 0 || progress->total <= 0 || !(left_s < LEFT_MAX_S)) {
        return;
    }
    end_s = (time_t)(wall_s + left_s);
    od_seconds_text(left_s, span);
    const int length = snprintf(out, LEFT_BYTES, "  %s left", span);
    if (with_end && left_s >= END_FROM_S && localtime_r(&end_s, &end)) {
        const size_t room = LEFT_BYTES - (size_t)length;
        if (left_s < DAY_S) {
            (void)strftime(out + length, room, ", ends %H:%M", &end);
        } else {
            (void)strftime(out + length, room, ", ends %a %H:%M", &end);
        }
    }
}

static size_t columns_of(const char *text)
{
    size_t columns = 0;
    for (const char *at = text; *at != '\0'; at++) {
        columns += ((unsigned char)*at & 0xC0) != 0x80;  // bytes that begin a character
    }
    return columns;
}

// Leave at most `columns` characters.
static void cut(char *text, size_t columns)
{
    size_t seen = 0;
    for (char *at = text; *at != '\0'; at++) {
        seen += ((unsigned char)*at & 0xC0) != 0x80;
        if (seen > columns) {
            *at = '\0';
            return;
        }
    }
}

/** What a line has; see od_progress in the header. */
struct layout {
    int cells;  ///< of the bar
    bool end;   ///< the clock's time at the end
    bool what;  ///< the word in front
};

static void bar_text(double share, int cells, char out[BAR_CELLS + 4])
{
    const int full = (int)(fmin(fmax(share, 0.0), 1.0) * cells);
    int size = 0;
    if (cells > 0) {
        out[size++] = '[';
        for (int i = 0; i < cells; i++) {
            out[size++] = i < full ? '#' : '.';
        }
        out[size++] = ']';
        out[size++] = ' ';
    }
    out[size] = '\0';
}

static void put_line(const struct od_progress *progress, int64_t done, const char *note,
                     double spent_s, double wall_s, const struct layout *layout,
                     char out[OD_PROGRESS_LINE_BYTES])
{
    char bar[BAR_CELLS + 4];
    char left[LEFT_BYTES];
    char total[24] = "";
    const bool known = progress->total > 0;
    if (known) {
        (void)snprintf(total, sizeof total, "/%lld", (long long)progress->total);
    }
    bar_text(known ? (double)done / (double)progress->total : 0.0, known ? layout->cells : 0, bar);
    left_text(progress, done, spent_s, wall_s, layout->end, left);
    (void)snprintf(out, OD_PROGRESS_LINE_BYTES, "%s%s%s%lld%s%s%s%s",
                   layout->what ? progress->what : "", layout->what ? " " : "", bar,
                   (long long)done, total, left, note[0] != '\0' ? "  " : "", note);
}

void od_progress_line(const struct od_progress *progress, int64_t done, const char *note,
                      double spent_s, double wall_s, int columns, char out[OD_PROGRESS_LINE_BYTES])
{
    static const struct layout layouts[] = {{BAR_CELLS, true, true},
                                            {BAR_CELLS / 2, true, true},
                                            {BAR_CELLS / 2, false, true},
                                            {0, true, true},
                                            {0, false, true},
                                            {0, false, false}};
    static const struct layout plain = {0, true, true};
    if (columns <= 0) {
        put_line(progress, done, note, spent_s, wall_s, &plain, out);
        return;
    }
    for (size_t i = 0; i < sizeof layouts / sizeof layouts[0]; i++) {
        put_line(progress, done, note, spent_s, wall_s, &layouts[i], out);
        // The last column is left free: some terminals go to the next line when it is written.
        if (columns_of(out) < (size_t)columns) {
            return;
        }
    }
    cut(out, (size_t)columns - 1);
}

static int terminal_columns(void)
{
    struct winsize size = {0};
    if (!log_terminal) {
        return 0;
    }
    const bool told = ioctl(fileno(log_to), TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
    return told ? size.ws_col : DEFAULT_COLUMNS;
}

static void show(const struct od_progress *progress, int64_t done, const char *note)
{
    char line[OD_PROGRESS_LINE_BYTES];
    if (!od_log_is_on(OD_LOG_INFO)) {
        return;
    }
    od_progress_line(progress, done, note, od_clock_s() - progress->start_s, (double)time(NULL),
                     terminal_columns(), line);
    pthread_mutex_lock(&log_lock);
    wipe_bar();
    (void)fprintf(log_to, "%s%s", line, log_terminal ? "" : "\n");
    bar_shown = log_terminal;
    (void)fflush(log_to);
    pthread_mutex_unlock(&log_lock);
}

// The last line stays, on a terminal too: how much was done in which time.
static void show_end(const struct od_progress *progress, int64_t done, const char *note)
{
    char spent[24];
    char total[24] = "";
    if (!od_log_is_on(OD_LOG_INFO)) {
        return;
    }
    od_seconds_text(od_clock_s() - progress->start_s, spent);
    if (progress->total > 0) {
        (void)snprintf(total, sizeof total, "/%lld", (long long)progress->total);
    }
    pthread_mutex_lock(&log_lock);
    wipe_bar();
    (void)fprintf(log_to, "%s %lld%s  %s%s%s\n", progress->what, (long long)done, total, spent,
                  note[0] != '\0' ? "  " : "", note);
    (void)fflush(log_to);
    pthread_mutex_unlock(&log_lock);
}

void od_progress_show(struct od_progress *progress, int64_t done, const char *note)
{
    const double now = od_clock_s();
    if (now - progress->last_s < (log_terminal ? SHOW_EVERY_TERMINAL_S : SHOW_EVERY_PLAIN_S)) {
        return;
    }
    progress->last_s = now;
    show(progress, done, note);
}

void od_progress_end(struct od_progress *progress, int64_t done, const char *note)
{
    if (progress->active) {
        show_end(progress, done, note);
        progress->active = false;
    }
}

size_t od_terminal_width(FILE *to)
{
    struct winsize size = {0};
    const int file = fileno(to);
    return file >= 0 && isatty(file) && ioctl(file, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

void od_table_init(struct od_table *table, size_t columns)
{
    *table = (struct od_table){.columns = columns};
}

void od_table_release(struct od_table *table)
{
    const size_t used = table->rows;
    for (size_t i = 0; i < used; i++) {
        od_free(table->cells[i]);
    }
    od_free((void *)table->cells);
    od_table_init(table, table->columns);
}

// `rows` counts cells here; od_table_print divides by `columns`.
void od_table_cell(struct od_table *table, const char *format, ...)
{
    struct od_buf text;
    va_list args;

    if (table->failed) {
        return;
    }
    if (table->rows == table->capacity) {
        const size_t capacity = table->capacity == 0 ? 64 : table->capacity * 2;
        char **cells = (char **)od_realloc((void *)table->cells, capacity, sizeof *cells);
        if (!cells) {
            table->failed = true;
            return;
        }
        table->cells = cells;
        table->capacity = capacity;
    }
    od_buf_init(&text, 1 << 16);
    va_start(args, format);
    od_buf_vprintf(&text, format, args);
    va_end(args);
    table->cells[table->rows] = od_buf_take(&text);
    if (!table->cells[table->rows]) {
        table->failed = true;
        return;
    }
    table->rows++;
}

static bool looks_numeric(const char *text)
{
    return *text != '\0' && strspn(text, "0123456789.,+-%eE") == strlen(text);
}

// One row: the pinned columns, then those from `first` to before `end`.
static void print_row(const struct od_table *table, size_t row, size_t first, size_t end,
                      const size_t *widths, FILE *to)
{
    for (size_t column = 0; column < end; column++) {
        if (column >= table->pinned && column < first) {
            continue;
        }
        const size_t at = row * table->columns + column;
        const char *cell = table->cells[at];
        // A header stands as its column does: the cell below decides.
        const char *kind = row == 0 && at + table->columns < table->rows
                               ? table->cells[at + table->columns]
                               : cell;
        const size_t pad = widths[column] - od_utf8_count(cell, strlen(cell));
        const bool right = looks_numeric(kind);
        const bool last = column + 1 == end;
        (void)fprintf(to, "%*s%s%*s%s", right ? (int)pad : 0, "", cell,
                      right || last ? 0 : (int)pad, "", last ? "\n" : "  ");
    }
}

// Behind the last column that fits into the part that begins with column `first`; one always does.
static size_t end_of_part(const struct od_table *table, size_t first, const size_t *widths)
{
    size_t used = 0;
    size_t end = first;
    for (size_t column = 0; column < table->pinned; column++) {
        used += widths[column] + 2;
    }
    while (end < table->columns &&
           (end == first || table->width == 0 || used + widths[end] <= table->width)) {
        used += widths[end++] + 2;
    }
    return end;
}

enum od_status od_table_print(const struct od_table *table, FILE *to, struct od_error *err)
{
    size_t *widths = od_alloc(table->columns, sizeof *widths);
    if (table->failed || !widths) {
        od_free(widths);
        return od_fail(err, OD_E_MEMORY, "no memory for a table");
    }
    for (size_t i = 0; i < table->rows; i++) {
        const size_t width = od_utf8_count(table->cells[i], strlen(table->cells[i]));
        if (width > widths[i % table->columns]) {
            widths[i % table->columns] = width;
        }
    }
    for (size_t first = table->pinned, end = 0; first < table->columns; first = end) {
        end = end_of_part(table, first, widths);
        (void)fputs(first > table->pinned ? "\n" : "", to);
        for (size_t row = 0; row < table->rows / table->columns; row++) {
            print_row(table, row, first, end, widths, to);
        }
    }
    od_free(widths);
    return OD_OK;
}

void od_bytes_text(double bytes, char out[24])
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB"};
    size_t unit = 0;
    while (bytes >= 1000.0 && unit < 4) {
        bytes /= 1000.0;
        unit++;
    }
    (void)snprintf(out, 24,
                   unit == 0    ? "%.0f %s"
                   : bytes < 10 ? "%.2f %s"
                                : "%.1f %s",
                   bytes, units[unit]);
}

void od_seconds_text(double seconds, char out[24])
{
    if (!(seconds >= 0.0) || seconds > 1e9) {
        (void)snprintf(out, 24, "?");
    } else if (seconds < 60.0) {
        (void)snprintf(out, 24, "%.1f s", seconds);
    } else if (seconds < 3600.0) {
        const int whole = (int)seconds;
        (void)snprintf(out, 24, "%d min %02d s", whole / 60, whole % 60);
    } else {
        const int minutes = (int)(seconds / 60.0);
        (void)snprintf(out, 24, "%d h %02d min", minutes / 60, minutes % 60);
    }
}
