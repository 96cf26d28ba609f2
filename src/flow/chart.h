/**
 * @file
 * Charts as inline SVG that a page shows without scripts: lines over steps, and scores with their
 * intervals. Colours and strokes come from the classes of base/html.h, so they follow light and
 * dark. A chart is 420 units wide, which keeps its text readable on a phone and beside another
 * chart on a desk.
 *
 * Points are thinned to what a column of one unit can show: its first, lowest, highest and last
 * point, so that no spike is lost and a chart has at most some 1400 points however long the run.
 *
 * @thread Re-entrant: no state.
 */
#ifndef OD_FLOW_CHART_H
#define OD_FLOW_CHART_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"

/** One line. Points stand in ascending x; one whose y is not finite (or above
 *  1e150) leaves a gap. */
struct od_chart_series {
    const double *x;  ///< x of point i is x[i * x_stride]
    const double *y;
    size_t x_stride;
    size_t y_stride;
    size_t count;
    int style;   ///< 1 or 2: class line-1, line-2
    bool faint;  ///< drawn thin and pale: the raw values behind a mean
};

struct od_chart {
    const char *id;           ///< unique in the page, letters only
    const char *title;        ///< told to who cannot see the chart
    const char *description;  ///< what is to be seen
    const char *x_name;
    const char *y_name;
    const struct od_chart_series *series;
    size_t series_count;
    bool from_zero;  ///< the y axis starts at 0
};

/** Append the SVG of a line chart; nothing when no series has a finite point. */
void od_chart_lines(struct od_buf *out, const struct od_chart *chart);

/** A score with its interval. */
struct od_chart_score {
    const char *name;  ///< "base"
    double value;      ///< not finite: undefined, said in words
    double low;        ///< not finite: no whisker
    double high;
    int64_t items;  ///< below 0: unknown
};

/** Scores of one kind, to be compared. */
struct od_chart_row {
    const char *label;
    const struct od_chart_score *scores;
    size_t score_count;
};

/** Append the SVG of dots and whiskers, a group of lines per row, on an axis from 0 to 1 (wider when
 *  a value needs it). Entry i of every row has style 1 + i % 2. */
void od_chart_intervals(struct od_buf *out, const char *id, const char *title,
                        const char *description, const struct od_chart_row *rows, size_t row_count);

/** The step of an axis over `range` > 0 with about `count` ticks: 1, 2 or 5 times a power of ten. */
double od_chart_step(double range, int count);

#endif
