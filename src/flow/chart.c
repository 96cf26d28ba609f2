#include "flow/chart.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/html.h"
#include "base/memory.h"
#include "base/text.h"

// Units of the SVG.
enum {
    WIDTH = 420,
    HEIGHT = 250,
    LEFT = 52,
    RIGHT = 16,
    TOP = 12,
    BOTTOM = 38,
    TICKS = 5,
    TICKS_MAX = 12,  // an axis has fewer; against loops that rounding keeps alive
    LABEL_LINE = 20,
    SCORE_LINE = 20,
    ROW_GAP = 10,
    NAME_WIDTH = 64,
    VALUE_WIDTH = 52,
    DIGIT_WIDTH = 8,  // of a tick's number, at most
    NAME_MAX_CHARACTERS = 9,
    LABEL_MAX_CHARACTERS = 60
};

/** Values from `low` to `high` on units from `from` to `to`. */
struct axis {
    double low;
    double high;
    double from;
    double to;
    double step;  ///< between ticks
};

// Values beyond this are no numbers to draw: arithmetic with them would leave the range of doubles.
#define VALUE_MAX 1e150

static bool drawable(double value)
{
    return fabs(value) <= VALUE_MAX;  // false for NaN, too
}

double od_chart_step(double range, int count)
{
    const double raw = range / count;
    const double power = pow(10.0, floor(log10(raw)));
    const double lead = raw / power;
    return power * (lead <= 1.0 ? 1.0 : lead <= 2.0 ? 2.0 : lead <= 5.0 ? 5.0 : 10.0);
}

// An axis over values that are all finite; one value gets room on both sides.
static struct axis make_axis(double low, double high, double from, double to, bool round_ends)
{
    if (!(high - low > fmax(fabs(high) * 1e-12, 1.0 / VALUE_MAX))) {
        const double room = fabs(high) > 1.0 / VALUE_MAX ? fabs(high) * 0.1 : 1.0;
        low -= room;
        high += room;
    }
    struct axis axis = {.low = low, .high = high, .from = from, .to = to};
    axis.step = od_chart_step(high - low, TICKS);
    if (round_ends) {
        axis.low = floor(low / axis.step + 1e-9) * axis.step;
        axis.high = ceil(high / axis.step - 1e-9) * axis.step;
    }
    return axis;
}

static double place(const struct axis *axis, double value)
{
    return axis->from + (value - axis->low) / (axis->high - axis->low) * (axis->to - axis->from);
}

// A tick's number with as many decimals as the step needs; all ticks of an axis of very small or
// large values share one power of ten, as in 0.5e-4, 1.0e-4.
static void tick_text(const struct axis *axis, double value, char out[32])
{
    const double most = fmax(fabs(axis->low), fabs(axis->high));
    const int power = (int)floor(log10(most) + 1e-9);
    const bool scaled = axis->step < 1e-3 || most >= 1e6;
    const double unit = scaled ? pow(10.0, power) : 1.0;
    const int decimals = (int)ceil(-log10(axis->step / unit) - 1e-9);
    if (fabs(value) < axis->step * 1e-6) {
        (void)snprintf(out, 32, "0");
    } else if (scaled) {
        (void)snprintf(out, 32, "%.*fe%d", decimals > 0 ? decimals : 0, value / unit, power);
    } else {
        (void)snprintf(out, 32, "%.*f", decimals > 0 ? decimals : 0, value);
    }
}

static double first_tick(const struct axis *axis)
{
    return ceil(axis->low / axis->step - 1e-9) * axis->step;
}

static void open_svg(struct od_buf *out, const char *id, int height, const char *title,
                     const char *description)
{
    od_buf_printf(out,
                  "<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-labelledby=\"%s-title %s-desc\">\n"
                  "<title id=\"%s-title\">",
                  WIDTH, height, id, id, id);
    od_html_text(out, title);
    od_buf_printf(out, "</title>\n<desc id=\"%s-desc\">", id);
    od_html_text(out, description);
    od_buf_puts(out, "</desc>\n");
}

static void put_text(struct od_buf *out, double x, double y, const char *anchor, const char *class,
                     const char *text)
{
    od_buf_printf(out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\" class=\"%s\">", x, y, anchor,
                  class);
    od_html_text(out, text);
    od_buf_puts(out, "</text>\n");
}

// At most `most` characters, the cut marked.
static void put_short_text(struct od_buf *out, double x, double y, const char *class,
                           const char *text, size_t most)
{
    const size_t size = strlen(text);
    size_t at = 0;
    size_t count = 0;
    for (uint32_t code = 0; at < size && count < most; count++) {
        const int length = od_utf8_decode(text + at, size - at, &code);
        at += length > 0 ? (size_t)length : 1;
    }
    od_buf_printf(out, "<text x=\"%.1f\" y=\"%.1f\" class=\"%s\">", x, y, class);
    od_html_text_n(out, text, at);
    od_buf_puts(out, at < size ? "…</text>\n" : "</text>\n");
}

static void put_line(struct od_buf *out, double x1, double y1, double x2, double y2,
                     const char *class)
{
    od_buf_printf(out, "<path class=\"%s\" d=\"M%.1f %.1fL%.1f %.1f\"/>\n", class, x1, y1, x2, y2);
}

static void put_y_axis(struct od_buf *out, const struct axis *axis)
{
    char text[32];
    for (int i = 0; i < TICKS_MAX; i++) {
        const double value = first_tick(axis) + i * axis->step;
        if (value > axis->high + axis->step * 1e-6) {
            break;
        }
        const double y = place(axis, value);
        put_line(out, LEFT, y, WIDTH - RIGHT, y, "grid");
        tick_text(axis, value, text);
        put_text(out, LEFT - 6, y + 4, "end", "quiet", text);
    }
}

static void put_x_axis(struct od_buf *out, const struct axis *axis, double y, double grid_top)
{
    char text[32];
    put_line(out, axis->from, y, axis->to, y, "axis");
    for (int i = 0; i < TICKS_MAX; i++) {
        const double value = first_tick(axis) + i * axis->step;
        if (value > axis->high + axis->step * 1e-6) {
            break;
        }
        const double x = place(axis, value);
        put_line(out, x, grid_top < y ? grid_top : y, x, y + 4, grid_top < y ? "grid" : "axis");
        tick_text(axis, value, text);
        const double half = (double)strlen(text) * (double)DIGIT_WIDTH / 2.0;
        put_text(out, fmin(x, (double)WIDTH - half), y + 17, "middle", "quiet", text);
    }
}

/** The points of one column of the chart. */
struct column {
    int at;
    bool any;
    double x[4];  ///< first, lowest, highest, last
    double y[4];
};

static void put_point(struct od_buf *out, bool *in_line, double x, double y)
{
    od_buf_printf(out, "%s%.1f %.1f", *in_line ? "L" : "M", x, y);
    *in_line = true;
}

// First, then lowest and highest in the order of their x, then last; equal ones once.
static void flush_column(struct od_buf *out, bool *in_line, struct column *column)
{
    static const int orders[2][4] = {{0, 1, 2, 3}, {0, 2, 1, 3}};
    const int *order = orders[column->x[1] > column->x[2] ? 1 : 0];
    double last_x = -DBL_MAX;
    for (int i = 0; column->any && i < 4; i++) {
        if (column->x[order[i]] > last_x) {
            last_x = column->x[order[i]];
            put_point(out, in_line, last_x, column->y[order[i]]);
        }
    }
    column->any = false;
}

static void add_point(struct column *column, double x, double y)
{
    if (!column->any) {
        for (int i = 0; i < 4; i++) {
            column->x[i] = x;
            column->y[i] = y;
        }
        column->any = true;
        return;
    }
    // On the page y grows downwards; which of the two is called lowest does not matter.
    if (y < column->y[1]) {
        column->x[1] = x;
        column->y[1] = y;
    }
    if (y > column->y[2]) {
        column->x[2] = x;
        column->y[2] = y;
    }
    column->x[3] = x;
    column->y[3] = y;
}

static void put_series(struct od_buf *out, const struct od_chart_series *series,
                       const struct axis *x_axis, const struct axis *y_axis)
{
    struct column column = {.any = false};
    bool in_line = false;
    size_t drawn = 0;
    double last_x = 0.0;
    double last_y = 0.0;
    od_buf_printf(out, "<path class=\"line-%d\"%s d=\"", series->style,
                  series->faint ? " style=\"stroke-width:1;opacity:.45\"" : "");
    for (size_t i = 0; i < series->count; i++) {
        const double y_value = series->y[i * series->y_stride];
        if (!drawable(y_value) || !drawable(series->x[i * series->x_stride])) {
            flush_column(out, &in_line, &column);
            in_line = false;
            continue;
        }
        last_x = place(x_axis, series->x[i * series->x_stride]);
        last_y = place(y_axis, y_value);
        drawn++;
        if (column.any && column.at != (int)last_x) {
            flush_column(out, &in_line, &column);
        }
        column.at = (int)last_x;
        add_point(&column, last_x, last_y);
    }
    flush_column(out, &in_line, &column);
    od_buf_puts(out, "\"/>\n");
    if (drawn == 1) {
        od_buf_printf(out, "<circle class=\"dot-%d\" cx=\"%.1f\" cy=\"%.1f\" r=\"4\"/>\n",
                      series->style, last_x, last_y);
    }
}

void od_chart_lines(struct od_buf *out, const struct od_chart *chart)
{
    double x_low = DBL_MAX;
    double x_high = -DBL_MAX;
    double y_low = chart->from_zero ? 0.0 : DBL_MAX;
    double y_high = -DBL_MAX;
    for (size_t s = 0; s < chart->series_count; s++) {
        const struct od_chart_series *series = &chart->series[s];
        for (size_t i = 0; i < series->count; i++) {
            const double y = series->y[i * series->y_stride];
            const double x = series->x[i * series->x_stride];
            if (drawable(x) && drawable(y)) {
                x_low = fmin(x_low, x);
                x_high = fmax(x_high, x);
                y_low = fmin(y_low, y);
                y_high = fmax(y_high, y);
            }
        }
    }
    if (x_low > x_high) {
        return;
    }
    const struct axis x_axis = make_axis(x_low, x_high, LEFT, WIDTH - RIGHT, false);
    const struct axis y_axis = make_axis(y_low, y_high, HEIGHT - BOTTOM, TOP, true);
    open_svg(out, chart->id, HEIGHT, chart->title, chart->description);
    put_y_axis(out, &y_axis);
    put_x_axis(out, &x_axis, HEIGHT - BOTTOM, HEIGHT);
    put_text(out, WIDTH - RIGHT, HEIGHT - 4, "end", "quiet", chart->x_name);
    put_text(out, 2, HEIGHT - 4, "start", "quiet", chart->y_name);
    for (size_t s = 0; s < chart->series_count; s++) {
        put_series(out, &chart->series[s], &x_axis, &y_axis);
    }
    od_buf_puts(out, "</svg>\n");
}

static void put_score(struct od_buf *out, const struct od_chart_score *score, int style,
                      const struct axis *axis, double y)
{
    char text[32];
    char class[16];
    put_short_text(out, 2, y + 4, "quiet", score->name, NAME_MAX_CHARACTERS);
    if (!drawable(score->value)) {
        put_text(out, axis->from, y + 4, "start", "quiet", "undefined");
        return;
    }
    if (drawable(score->low) && drawable(score->high)) {
        (void)snprintf(class, sizeof class, "whisker-%d", style);
        put_line(out, place(axis, score->low), y, place(axis, score->high), y, class);
        put_line(out, place(axis, score->low), y - 4, place(axis, score->low), y + 4, class);
        put_line(out, place(axis, score->high), y - 4, place(axis, score->high), y + 4, class);
    }
    od_buf_printf(out, "<circle class=\"dot-%d\" cx=\"%.1f\" cy=\"%.1f\" r=\"4.5\"/>\n", style,
                  place(axis, score->value), y);
    (void)snprintf(text, sizeof text, "%.3f", score->value);
    put_text(out, WIDTH - 2, y + 4, "end", "", text);
}

static struct axis score_axis(const struct od_chart_row *rows, size_t row_count)
{
    double low = 0.0;
    double high = 1.0;
    for (size_t r = 0; r < row_count; r++) {
        for (size_t s = 0; s < rows[r].score_count; s++) {
            const double values[] = {rows[r].scores[s].value, rows[r].scores[s].low,
                                     rows[r].scores[s].high};
            for (size_t i = 0; i < 3; i++) {
                low = drawable(values[i]) ? fmin(low, values[i]) : low;
                high = drawable(values[i]) ? fmax(high, values[i]) : high;
            }
        }
    }
    return make_axis(low, high, NAME_WIDTH, WIDTH - VALUE_WIDTH, true);
}

void od_chart_intervals(struct od_buf *out, const char *id, const char *title,
                        const char *description, const struct od_chart_row *rows, size_t row_count)
{
    const struct axis axis = score_axis(rows, row_count);
    int height = 4;
    for (size_t r = 0; r < row_count; r++) {
        height += LABEL_LINE + (int)rows[r].score_count * SCORE_LINE + ROW_GAP;
    }
    const int bottom = height;
    open_svg(out, id, bottom + 26, title, description);
    put_x_axis(out, &axis, bottom, 4);
    int y = 4;
    for (size_t r = 0; r < row_count; r++) {
        put_short_text(out, 2, y + 14, "label", rows[r].label, LABEL_MAX_CHARACTERS);
        y += LABEL_LINE;
        for (size_t s = 0; s < rows[r].score_count; s++) {
            put_score(out, &rows[r].scores[s], 1 + (int)(s % 2), &axis,
                      y + 0.5 * (double)SCORE_LINE);
            y += SCORE_LINE;
        }
        y += ROW_GAP;
    }
    od_buf_puts(out, "</svg>\n");
}
