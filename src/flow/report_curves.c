// The curves of a log and the small parts that pages of runs share.

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/html.h"
#include "base/memory.h"
#include "base/status.h"
#include "flow/chart.h"
#include "flow/report_internal.h"
#include "flow/report_log.h"

enum {
    MEAN_FROM_STEPS = 100,  // a log this long gets a mean beside its raw values
    MEAN_PARTS = 50,        // the mean is over a fiftieth of the steps
    STRIDE = (int)(sizeof(struct od_report_step) / sizeof(double)),
    EVALUATION_STRIDE = (int)(sizeof(struct od_report_evaluation) / sizeof(double))
};
_Static_assert(sizeof(struct od_report_step) % sizeof(double) == 0, "a step is made of doubles");

void od_report_fact(struct od_buf *out, const char *name, const char *value)
{
    od_buf_puts(out, "<div><dt>");
    od_html_text(out, name);
    od_buf_puts(out, "</dt><dd>");
    od_html_text(out, value);
    od_buf_puts(out, "</dd></div>\n");
}

const struct od_report_evaluation *od_report_best(const struct od_report_log *log)
{
    const struct od_report_evaluation *best = &log->evaluations[0];
    for (size_t i = 1; i < log->evaluation_count; i++) {
        best = log->evaluations[i].loss < best->loss ? &log->evaluations[i] : best;
    }
    return best;
}

void od_report_grouped(double value, char out[64])
{
    char digits[32];
    size_t at = 0;
    (void)snprintf(digits, sizeof digits, "%.0f", fmin(value, 1e18));
    const size_t count = strlen(digits);
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && (count - i) % 3 == 0) {
            memcpy(out + at, "\xe2\x80\xaf", 3);
            at += 3;
        }
        out[at++] = digits[i];
    }
    out[at] = '\0';
}

/** One curve of the log. */
struct curve {
    const char *id;
    const char *title;
    const double *values;  ///< in the first step of the log
    bool with_mean;        ///< drawn pale, with a mean over it, when the log is long
    bool from_zero;
    bool with_evaluations;  ///< the evaluations' loss is drawn, too
};

// Mean over `half` steps to both sides, of the values that are finite.
static void make_means(const double *values, size_t count, size_t half, double *means)
{
    double sum = 0.0;
    size_t n = 0;
    size_t from = 0;
    size_t to = 0;
    for (size_t i = 0; i < count; i++) {
        for (; to < count && to <= i + half; to++) {
            if (isfinite(values[to * STRIDE])) {
                sum += values[to * STRIDE];
                n++;
            }
        }
        for (; from + half < i; from++) {
            if (isfinite(values[from * STRIDE])) {
                sum -= values[from * STRIDE];
                n--;
            }
        }
        means[i] = n > 0 ? sum / (double)n : (double)NAN;
    }
}

static bool any_finite(const double *values, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (isfinite(values[i * STRIDE])) {
            return true;
        }
    }
    return false;
}

static void put_figure(struct od_buf *out, const struct od_report_log *log,
                       const struct curve *curve, const double *means, size_t mean_over)
{
    char text[160];
    struct od_chart_series series[3] = {{.x = &log->steps[0].step,
                                         .y = curve->values,
                                         .x_stride = STRIDE,
                                         .y_stride = STRIDE,
                                         .count = log->count,
                                         .style = 1,
                                         .faint = means != NULL}};
    size_t count = 1;
    const bool evaluated = curve->with_evaluations && log->evaluation_count > 0;
    if (means) {
        series[count] = series[0];
        series[count].y = means;
        series[count].y_stride = 1;
        series[count++].faint = false;
    }
    if (evaluated) {
        series[count++] = (struct od_chart_series){.x = &log->evaluations[0].step,
                                                   .y = &log->evaluations[0].loss,
                                                   .x_stride = EVALUATION_STRIDE,
                                                   .y_stride = EVALUATION_STRIDE,
                                                   .count = log->evaluation_count,
                                                   .style = 2};
    }
    (void)snprintf(text, sizeof text, "%s over steps %.0f to %.0f.", curve->title,
                   log->steps[0].step, log->steps[log->count - 1].step);
    const struct od_chart chart = {.id = curve->id,
                                   .title = curve->title,
                                   .description = text,
                                   .x_name = "step",
                                   .y_name = "",
                                   .series = series,
                                   .series_count = count,
                                   .from_zero = curve->from_zero};
    od_buf_puts(out, "<figure class=\"chart\">\n");
    od_chart_lines(out, &chart);
    od_buf_printf(out, "<figcaption>%s", curve->title);
    if (means) {
        od_buf_printf(out, ": pale, each step; strong, mean over %zu steps", mean_over);
    }
    if (evaluated) {
        od_buf_puts(out, "; the second line, evaluations on held-out documents");
    }
    od_buf_puts(out, "</figcaption>\n</figure>\n");
}

static enum od_status put_curve(struct od_buf *out, const struct od_report_log *log,
                                const struct curve *curve, struct od_error *err)
{
    const size_t half = log->count / MEAN_PARTS / 2;
    double *means = NULL;
    if (!any_finite(curve->values, log->count)) {
        return OD_OK;
    }
    if (curve->with_mean && log->count >= MEAN_FROM_STEPS) {
        means = od_alloc(log->count, sizeof *means);
        if (!means) {
            return od_fail(err, OD_E_MEMORY, "no memory for the means of %zu steps", log->count);
        }
        make_means(curve->values, log->count, half, means);
    }
    put_figure(out, log, curve, means, 2 * half + 1);
    od_free(means);
    return OD_OK;
}

enum od_status od_report_curves(struct od_buf *out, const struct od_report_log *log, bool live,
                                struct od_error *err)
{
    const struct od_report_step *steps = log->steps;
    const struct curve curves[] = {
        {"loss", "Loss", &steps[0].loss, .with_mean = true, .with_evaluations = true},
        {"rate", "Learning rate", &steps[0].lr, .from_zero = true},
        {"norm", "Norm of the gradient", &steps[0].grad_norm, .with_mean = true, .from_zero = true},
        {"speed", "Tokens per second", &steps[0].tokens_per_s, .with_mean = true,
         .from_zero = true},
        {"power", "Power of the GPU in watts", &steps[0].watts, .with_mean = true,
         .from_zero = true},
    };
    const size_t count = sizeof curves / sizeof curves[0];
    const size_t lasting = count - 2;  // speed and power are of interest while it runs
    enum od_status status = OD_OK;
    od_buf_puts(out, "<div class=\"charts\">\n");
    for (size_t i = 0; i < (live ? count : lasting) && status == OD_OK; i++) {
        status = put_curve(out, log, &curves[i], err);
    }
    od_buf_puts(out, "</div>\n");
    return status;
}
