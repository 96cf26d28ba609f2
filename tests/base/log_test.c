// Goal: a progress bar says how far, how fast and until when, never takes two lines of a terminal, and is
// plain lines elsewhere; a log line stands alone, not behind a bar.
// Method: lines for every width; a pseudo-terminal of 40 columns and a file, read back.

#include "base/log.h"

#include <fcntl.h>
#include <pty.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/status.h"
#include "support.h"

enum { WIDTHS = 200, NARROW = 40, OUTPUT_BYTES = 1 << 16 };

static const char note[] = "loss 1.2345  2871 tokens/s";

static struct od_progress half_done(void)
{
    struct od_progress progress;
    od_progress_start(&progress, "step", 500);
    return progress;
}

// 2026-01-02 14:00 where the test runs.
static double two_o_clock(void)
{
    struct tm parts = {.tm_year = 126, .tm_mon = 0, .tm_mday = 2, .tm_hour = 14, .tm_isdst = -1};
    return (double)mktime(&parts);
}

static void whole_line(void **state)
{
    (void)state;
    char line[OD_PROGRESS_LINE_BYTES];
    struct od_progress progress = half_done();
    const double wall_s = two_o_clock();
    // 250 of 500 in 250 s: as much again.
    od_progress_line(&progress, 250, note, 250.0, wall_s, WIDTHS, line);
    assert_string_equal(line,
                        "step [############............] 250/500  4 min 10 s left, ends 14:04  "
                        "loss 1.2345  2871 tokens/s");
    od_progress_line(&progress, 250, note, 250.0, wall_s, /* columns= */ 0, line);
    assert_string_equal(line,
                        "step 250/500  4 min 10 s left, ends 14:04  loss 1.2345  2871 tokens/s");
    // What was done before the bar began says nothing of the pace.
    progress.from = 200;
    od_progress_line(&progress, 250, "", 250.0, wall_s, /* columns= */ 0, line);
    assert_string_equal(line, "step 250/500  20 min 50 s left, ends 14:20");
    od_progress_line(&progress, 200, "", 250.0, wall_s, /* columns= */ 0, line);
    assert_string_equal(line, "step 200/500");
    // Nearly done, and far away.
    od_progress_line(&progress, 499, "", 299.0, wall_s, /* columns= */ 0, line);
    assert_string_equal(line, "step 499/500  1.0 s left");
    od_progress_line(&progress, 201, "", 3600.0, wall_s, /* columns= */ 0, line);
    assert_non_null(strstr(line, "left, ends "));
    assert_non_null(strstr(line, " 01:00"));  // twelve days and eleven hours later
    progress.total = 0;
    od_progress_line(&progress, 250, note, 250.0, wall_s, WIDTHS, line);
    assert_string_equal(line, "step 250  loss 1.2345  2871 tokens/s");
}

static void every_width(void **state)
{
    (void)state;
    char line[OD_PROGRESS_LINE_BYTES];
    const struct od_progress progress = half_done();
    const double wall_s = two_o_clock();
    size_t last = 0;
    for (int columns = 1; columns < WIDTHS; columns++) {
        od_progress_line(&progress, 250, note, 250.0, wall_s, columns, line);
        const size_t size = strlen(line);
        assert_true(size < (size_t)columns);
        assert_true(size >= last);  // more room never shows less
        last = size;
        // Loss and speed go last.
        if (columns > 60) {
            assert_non_null(strstr(line, "tokens/s"));
        }
        if (columns > 10) {
            assert_non_null(strstr(line, "250/500"));
        }
    }
    // Characters count, not bytes, and none is cut in two.
    od_progress_line(&progress, 250, "Verlust ä ö ü", 250.0, wall_s, 19, line);
    assert_string_equal(line, "250/500  4 min 10 ");
    od_progress_line(&progress, 0, "äöü", 0.0, wall_s, 10, line);
    assert_string_equal(line, "0/500  äö");
}

// What a terminal of NARROW columns was sent.
static void on_a_terminal(void **state)
{
    (void)state;
    int terminal = -1;
    int program = -1;
    char output[OUTPUT_BYTES];
    const struct winsize size = {.ws_row = 24, .ws_col = NARROW};
    assert_int_equal(openpty(&terminal, &program, NULL, NULL, &size), 0);
    FILE *to = fdopen(program, "w");
    assert_non_null(to);
    od_log_init(to, OD_LOG_INFO);
    struct od_progress progress = half_done();
    for (int i = 1; i <= 3; i++) {
        progress.last_s = -1.0;  // long ago
        od_progress_show(&progress, i, note);
        od_log(OD_LOG_INFO, "between %d", i);
    }
    od_progress_end(&progress, 500, note);
    od_progress_end(&progress, 500, note);  // once
    od_log_init(NULL, OD_LOG_WARNING);
    assert_int_equal(fclose(to), 0);
    // A terminal hands on in pieces; after the last one it answers an error.
    size_t held = 0;
    for (ssize_t got = 1; got > 0; held += got > 0 ? (size_t)got : 0) {
        got = read(terminal, output + held, sizeof output - 1 - held);
    }
    assert_in_range(held, 1, sizeof output - 2);
    output[held] = '\0';
    (void)close(terminal);
    int bars = 0;
    for (char *line = strtok(output, "\r\n"); line; line = strtok(NULL, "\r\n")) {
        const char *text = strncmp(line, "\033[K", 3) == 0 ? line + 3 : line;
        bars += strstr(text, " left") != NULL;
        if (strstr(text, " left")) {
            assert_true(strlen(text) < NARROW);
        }
        assert_true(!strstr(text, "between") || strncmp(text, "between", 7) == 0);
    }
    assert_int_equal(bars, 3);
}

static void in_a_file(void **state)
{
    (void)state;
    struct od_error err = {0};
    char path[OD_PATH_MAX_BYTES];
    char *text = NULL;
    size_t size = 0;
    assert_ok(od_path_join(path, test_folder(), "log", &err), &err);
    FILE *to = fopen(path, "w");
    assert_non_null(to);
    od_log_init(to, OD_LOG_INFO);
    struct od_progress progress = half_done();
    od_progress_show(&progress, 1, note);  // too soon for a file
    progress.last_s = -1.0;
    od_progress_show(&progress, 2, note);
    od_progress_end(&progress, 500, "done");
    od_log_init(NULL, OD_LOG_WARNING);
    assert_int_equal(fclose(to), 0);
    assert_ok(od_file_read(path, OUTPUT_BYTES, &text, &size, &err), &err);
    assert_null(strchr(text, '\r'));
    assert_null(strchr(text, '\033'));
    assert_null(strchr(text, '['));
    assert_true(strncmp(text, "step 2/500  ", 12) == 0);
    const char *second = strchr(text, '\n') + 1;
    assert_true(strncmp(second, "step 500/500  ", 14) == 0);
    assert_non_null(strstr(second, "s  done\n"));
    od_free(text);
}

// A table that is too wide comes in parts with the pinned columns in front of each; without a width it is
// one piece; a column that fits nowhere stands alone.
static void table_in_parts(void **state)
{
    (void)state;
    static const struct {
        size_t width;
        const char *expected;
    } cases[] = {
        {0, "name  one  two  three\nx      10   20  thirty\n"},
        {22, "name  one  two  three\nx      10   20  thirty\n"},
        {21, "name  one  two\nx      10   20\n\nname  three\nx     thirty\n"},
        {1, "name  one\nx      10\n\nname  two\nx      20\n\nname  three\nx     thirty\n"}};
    static const char *const cells[] = {"name", "one", "two", "three", "x", "10", "20", "thirty"};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct od_table table;
        char *bytes = NULL;
        size_t size = 0;
        FILE *to = open_memstream(&bytes, &size);
        assert_non_null(to);
        assert_int_equal(od_terminal_width(to), 0);
        od_table_init(&table, 4);
        table.width = cases[i].width;
        table.pinned = 1;
        for (size_t c = 0; c < sizeof cells / sizeof cells[0]; c++) {
            od_table_cell(&table, "%s", cells[c]);
        }
        assert_int_equal(od_table_print(&table, to, NULL), OD_OK);
        assert_int_equal(fclose(to), 0);
        assert_string_equal(bytes, cases[i].expected);
        free(bytes);
        od_table_release(&table);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(whole_line), cmocka_unit_test(every_width),
                                       cmocka_unit_test(on_a_terminal), cmocka_unit_test(in_a_file),
                                       cmocka_unit_test(table_in_parts)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
