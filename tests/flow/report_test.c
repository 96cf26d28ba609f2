// Goal: the report of a run shows what the files say, escapes all of it, keeps every spike of a long
// log, and says what it cannot show.
// Method: run directories of our own, small and broken; charts drawn from known points.

#include "flow/report.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "flow/chart.h"
#include "flow/report_log.h"
#include "support.h"

static void put(const char *folder, const char *name, const char *text)
{
    struct od_error err = {0};
    char path[OD_PATH_MAX_BYTES];
    (void)snprintf(path, sizeof path, "%.2000s/%.500s", folder, name);
    char *slash = strrchr(path, '/');
    *slash = '\0';
    assert_ok(od_dir_make(path, &err), &err);
    *slash = '/';
    assert_ok(od_file_write(path, text, strlen(text), &err), &err);
}

// The page of a folder, in `page`.
static const char *make(const char *folder, struct od_buf *page)
{
    struct od_error err = {0};
    od_buf_init(page, OD_REPORT_MAX_BYTES);
    assert_ok(od_report_make(folder, page, &err), &err);
    return od_buf_text(page);
}

static void has(const char *text, const char *words)
{
    if (!strstr(text, words)) {
        fail_msg("'%s' is not in:\n%s", words, text);
    }
}

static size_t count_of(const char *text, const char *words)
{
    size_t count = 0;
    for (const char *at = text; (at = strstr(at, words)); at++) {
        count++;
    }
    return count;
}

static const char small_log[] =
    "{\"step\":1,\"loss\":2.5,\"lr\":0.0001,\"grad_norm\":1.5,\"tokens\":512,\"labels\":100,"
    "\"weight_hash\":\"aaaa\",\"t\":{\"step_s\":0.5,\"tokens_per_s\":1024.0}}\n"
    "{\"step\":2,\"loss\":2.0,\"lr\":0.0002,\"grad_norm\":1.0,\"tokens\":512,\"labels\":100,"
    "\"weight_hash\":\"bbbb\",\"t\":{\"step_s\":0.5,\"tokens_per_s\":1024.0,\"energy_j\":360.0}}\n";

static void whole(const char *folder)
{
    put(folder, "log.jsonl", small_log);
    put(folder, "recipe.yaml",
        "base_model: \"<b>&base\"\nlora_targets: [q, v]\ndatasets:\n  - path: a.jsonl\n    type: alpaca\n"
        "max_steps: null\n");
    put(folder, "plan.json", "{\"bytes\": \"<1>\"}");
    put(folder, "lock.json", "{\"seed\": 42}");
    put(folder, "samples.jsonl",
        "{\"prompt\":\"<script>alert(1)</script>\",\"base\":\"a\\u001b[2J\",\"tuned\":\"\\\"b\\\"\","
        "\"expected\":\"c\"}\n{\"prompt\":\"only\"}\n");
    put(folder, "eval/board.json",
        "{\"rows\":[{\"metric\":\"MMLU: <colours>\",\"entries\":["
        "{\"name\":\"base\",\"value\":0.25,\"low\":0.2,\"high\":0.31,\"items\":240},"
        "{\"name\":\"tuned\",\"value\":0.75,\"low\":0.69,\"high\":0.8,\"items\":240,"
        "\"bootstrap\":{\"low\":0.6875,\"high\":0.8125}}]},"
        "{\"metric\":\"BBQ\",\"entries\":[{\"name\":\"base\",\"value\":null,\"why\":\"no <item>\"}]}]}");
}

static void all_sections(void **state)
{
    (void)state;
    struct od_buf page;
    struct od_buf again;
    const char *folder = test_folder();
    whole(folder);
    const char *text = make(folder, &page);
    assert_null(strstr(text, "<script"));
    assert_null(strstr(text, "http"));  // nothing is fetched
    assert_null(strstr(text, "cannot be shown"));
    has(text, "Bootstrap over the items</th>");
    has(text, "<td class=\"num\">0.6900 to 0.8000</td><td class=\"num\">0.6875 to 0.8125</td>");
    has(text, "<td class=\"num\">0.2000 to 0.3100</td><td class=\"num\">–</td>");
    has(text, "<dt>First loss</dt><dd>2.5000</dd>");
    has(text, "<dt>Last loss</dt><dd>2.0000</dd>");
    has(text,
        "<dt>Tokens</dt><dd>1\xe2\x80\xaf"
        "024</dd>");
    has(text, "<dt>Energy of the GPU</dt><dd>0.1 Wh, 360 W on average</dd>");
    has(text, "<dt>Hash of the weights</dt><dd>bbbb</dd>");
    has(text, "<title id=\"loss-title\">Loss</title>");
    has(text, "<title id=\"rate-title\">Learning rate</title>");
    has(text, "&lt;b&gt;&amp;base");
    has(text, "q, v");
    has(text, "(path: a.jsonl, type: alpaca)");
    has(text, "{&quot;bytes&quot;: &quot;&lt;1&gt;&quot;}");
    has(text, "&lt;script&gt;alert(1)&lt;/script&gt;");
    has(text, "a\xef\xbf\xbd[2J");
    has(text, "MMLU: &lt;colours&gt;");
    has(text,
        "<td class=\"num\">0.2500</td><td class=\"num\">0.2000 to 0.3100</td>"
        "<td class=\"num\">–</td><td class=\"num\">240</td>");
    has(text, "–<small class=\"why\">no &lt;item&gt;</small>");
    assert_int_equal(count_of(text, "<circle"), 2);  // two scores; the third is undefined
    assert_int_equal(count_of(text, "class=\"whisker-1\""), 3);
    assert_string_equal(text, make(folder, &again));
    od_buf_release(&page);
    od_buf_release(&again);
}

static void broken_files(void **state)
{
    (void)state;
    struct od_buf page;
    static const struct {
        const char *file, *text, *words;
    } cases[] = {
        {"eval/board.json", "{\"rows\":", "eval/board.json cannot be shown: "},
        {"eval/board.json",
         "{\"rows\":[{\"metric\":\"m\",\"entries\":[{\"name\":\"a\",\"value\":1,"
         "\"bootstrap\":{\"low\":2,\"high\":1}}]}]}",
         "an interval from 2 to 1"},
        {"eval/board.json", "{\"rows\":3}", "no list &#39;rows&#39;"},
        {"eval/board.json", "{\"rows\":[{}]}", "eval/board.json cannot be shown: "},
        {"eval/board.json", "{\"rows\":[{\"metric\":\"m\"}]}", "has no list of at most 16 entries"},
        {"eval/board.json", "{\"rows\":[{\"metric\":\"m\",\"entries\":[{}]}]}",
         "metric &#39;m&#39;: "},
        {"eval/board.json",
         "{\"rows\":[{\"metric\":\"m\",\"entries\":[{\"name\":\"a\",\"value\":1,\"low\":1,"
         "\"high\":0}]}]}",
         "an interval from 1 to 0"},
        {"eval/board.json",
         "{\"rows\":[{\"metric\":\"m\",\"entries\":[{\"name\":\"a\",\"value\":\"high\"}]}]}",
         "eval/board.json cannot be shown: "},
        {"samples.jsonl", "{\"prompt\":\"x\"}\n{\"prompt\":", "samples.jsonl cannot be shown: "},
        {"recipe.yaml", "a: [1,\n", "recipe.yaml cannot be shown: "},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *folder = test_folder();
        whole(folder);
        put(folder, cases[i].file, cases[i].text);
        const char *text = make(folder, &page);
        has(text, cases[i].words);
        has(text, "</html>");
        od_buf_release(&page);
    }
}

static void log_alone(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_buf page;
    const char *folder = test_folder();
    assert_int_equal(od_report_write(folder, &err), OD_E_NOT_FOUND);
    has(err.message, "log.jsonl");
    put(folder, "log.jsonl", "");
    has(make(folder, &page), "No step was logged yet");
    od_buf_release(&page);
    put(folder, "log.jsonl", "{\"step\":1,\"loss\":2.5}\n");
    const char *text = make(folder, &page);
    has(text, "<circle class=\"dot-1\"");  // one point is seen as a dot
    assert_null(strstr(text, "Scores"));
    od_buf_release(&page);
    put(folder, "log.jsonl", "{\"step\":1,\"loss\":null,\"lr\":1}\n{\"step\":2,\"lo");
    text = make(folder, &page);
    has(text, "The log has no finite loss");
    has(text, "1 line of log.jsonl cannot be read");
    od_buf_release(&page);
}

// After a restart the log goes back; the later lines count.
static void resumed_log(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_report_log log = {0};
    static const char text[] =
        "{\"step\":1,\"loss\":5}\n{\"step\":2,\"loss\":4}\n\n{\"step\":3,\"loss\":"
        "3}\n{\"step\":2,\"loss\":4.5}\nnot json\n[1]\n{\"loss\":7}\n";
    assert_ok(od_report_log_parse(text, sizeof text - 1, &log, &err), &err);
    assert_int_equal(log.count, 2);
    assert_int_equal(log.bad_lines, 3);
    assert_true(log.steps[1].step == 2.0 && log.steps[1].loss == 4.5);
    assert_true(isnan(log.steps[1].lr));
    assert_string_equal(log.weight_hash, "");
    od_report_log_release(&log);
}

// Evaluations take no step's place, and are drawn with the loss.
static void evaluations(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_report_log log = {0};
    struct od_buf page;
    const char *folder = test_folder();
    static const char text[] =
        "{\"step\":1,\"loss\":5}\n{\"step\":2,\"loss\":4}\n{\"step\":2,\"eval_loss\":4.25}\n"
        "{\"step\":3,\"loss\":3}\n{\"step\":4,\"loss\":2}\n{\"step\":4,\"eval_loss\":4.75}\n"
        "{\"step\":4,\"eval_loss\":4.5}\n";
    assert_ok(od_report_log_parse(text, sizeof text - 1, &log, &err), &err);
    assert_int_equal(log.count, 4);
    assert_int_equal(log.evaluation_count, 2);
    assert_true(log.steps[1].loss == 4.0 && log.evaluations[0].loss == 4.25);
    assert_true(log.evaluations[1].step == 4.0 && log.evaluations[1].loss == 4.5);
    od_report_log_release(&log);
    put(folder, "log.jsonl", text);
    const char *html = make(folder, &page);
    has(html, "<dt>Lowest evaluation loss</dt><dd>4.2500 at step 2</dd>");
    has(html, "class=\"line-2");
    has(html, "evaluations on held-out documents");
    od_buf_release(&page);
}

// 200 000 points with one spike, one dip and one gap: few points are drawn, none of these is lost.
static void thinned(void **state)
{
    (void)state;
    enum { COUNT = 200000, SPIKE = 54321, DIP = 154321, GAP = 100000 };
    double *x = od_alloc(COUNT, sizeof *x);
    double *y = od_alloc(COUNT, sizeof *y);
    struct od_buf out;
    assert_true(x && y);
    for (int i = 0; i < COUNT; i++) {
        x[i] = i;
        y[i] = i == SPIKE ? 1.0 : i == DIP ? -1.0 : i == GAP ? (double)NAN : 0.001 * (i % 7);
    }
    const struct od_chart_series series = {
        .x = x, .y = y, .x_stride = 1, .y_stride = 1, .count = COUNT, .style = 1};
    const struct od_chart chart = {.id = "c",
                                   .title = "t",
                                   .description = "d",
                                   .x_name = "x",
                                   .y_name = "y",
                                   .series = &series,
                                   .series_count = 1};
    od_buf_init(&out, 1 << 20);
    od_chart_lines(&out, &chart);
    const char *line = strstr(od_buf_text(&out), "class=\"line-1\"");
    assert_non_null(line);
    assert_int_equal(count_of(line, "M"), 2);  // the gap
    assert_true(count_of(line, "L") < 4 * 420);
    assert_true(count_of(line, "L") > 2 * 300);
    has(line, " 12.0L");   // 1 is the top of the chart
    has(line, " 212.0L");  // -1 its bottom
    od_buf_release(&out);
    od_free(x);
    od_free(y);
}

static void axes(void **state)
{
    (void)state;
    assert_true(od_chart_step(1.0, 5) == 0.2);
    assert_true(od_chart_step(10.0, 5) == 2.0);
    assert_true(od_chart_step(7.0, 5) == 2.0);
    assert_true(od_chart_step(0.3, 5) - 0.1 < 1e-12);
    assert_true(od_chart_step(1800.0, 5) == 500.0);
    // Small values share a power of ten; all values equal is no division by nothing.
    const double x[] = {1.0, 2.0};
    const double rates[] = {0.0, 2e-4};
    const double same[] = {3.0, 3.0};
    struct od_chart_series series = {
        .x = x, .y = rates, .x_stride = 1, .y_stride = 1, .count = 2, .style = 1};
    const struct od_chart chart = {.id = "c",
                                   .title = "t",
                                   .description = "d",
                                   .x_name = "x",
                                   .y_name = "y",
                                   .series = &series,
                                   .series_count = 1};
    struct od_buf out;
    od_buf_init(&out, 1 << 20);
    od_chart_lines(&out, &chart);
    has(od_buf_text(&out), ">1.5e-4</text>");
    has(od_buf_text(&out), ">2.0e-4</text>");
    od_buf_reset(&out);
    series.y = same;
    od_chart_lines(&out, &chart);
    has(od_buf_text(&out), ">3.0</text>");
    assert_null(strstr(od_buf_text(&out), "nan"));
    assert_null(strstr(od_buf_text(&out), "inf"));
    // The last number of an axis is not cut off: half of its digits fit between it and the edge at 420.
    const double steps[] = {1.0, 500.0};
    od_buf_reset(&out);
    series.x = steps;
    od_chart_lines(&out, &chart);
    const char *last = strstr(od_buf_text(&out), ">500</text>");
    assert_non_null(last);
    while (strncmp(last, "<text x=\"", 9) != 0) {
        last--;
    }
    double place = 0;
    char number[16];
    (void)snprintf(number, sizeof number, "%.*s", (int)strcspn(last + 9, "\""), last + 9);
    assert_true(od_parse_double(number, &place));
    assert_true(place > 400 && place <= 420 - 1.5 * 7);
    od_buf_release(&out);
}

// A full disk leaves the old page; no allocation that fails does harm.
static void faults(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_error read_err = {0};
    char path[OD_PATH_MAX_BYTES];
    char *bytes = NULL;
    size_t size = 0;
    const char *folder = test_folder();
    whole(folder);
    put(folder, "report.html", "old");
    (void)snprintf(path, sizeof path, "%.2000s/report.html", folder);
    od_file_fail_at(1);
    assert_int_equal(od_report_write(folder, &err), OD_E_IO);
    od_file_fail_at(0);
    for (uint64_t n = 1;; n++) {
        assert_ok(od_file_read(path, 1 << 24, &bytes, &size, &read_err), &read_err);
        assert_string_equal(bytes, "old");
        od_free(bytes);
        od_alloc_fail_at(n);
        const enum od_status status = od_report_write(folder, &err);
        od_alloc_fail_at(0);
        if (status == OD_OK) {
            // Jansson's and libyaml's own allocations may be told as a file that cannot be shown.
            assert_true(n > 20);
            break;
        }
        assert_int_equal(status, OD_E_MEMORY);
        assert_true(n < 10000);
    }
    assert_ok(od_file_read(path, 1 << 24, &bytes, &size, &read_err), &read_err);
    has(bytes, "</html>");
    od_free(bytes);
}

// A run is called as its folder; one that is just called "run", as a demo makes it, as the one above.
static void titles(void **state)
{
    (void)state;
    const char *folder = test_folder();
    struct od_buf page;
    char path[OD_PATH_MAX_BYTES];
    put(folder, "lessons/run/log.jsonl", small_log);
    put(folder, "lessons/first/log.jsonl", small_log);
    (void)snprintf(path, sizeof path, "%.2000s/lessons/run", folder);
    has(make(path, &page), "<title>Run lessons</title>");
    od_buf_release(&page);
    (void)snprintf(path, sizeof path, "%.2000s/lessons/first", folder);
    has(make(path, &page), "<title>Run first</title>");
    od_buf_release(&page);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_sections), cmocka_unit_test(broken_files), cmocka_unit_test(log_alone),
        cmocka_unit_test(resumed_log),  cmocka_unit_test(evaluations),  cmocka_unit_test(thinned),
        cmocka_unit_test(axes),         cmocka_unit_test(faults),       cmocka_unit_test(titles),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
