#include "flow/watch_page.h"

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#include "base/file.h"
#include "base/html.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/status.h"
#include "flow/live_log.h"
#include "flow/report_internal.h"
#include "flow/report_log.h"

enum { PACE_STEPS = 50, TEXT_BYTES = 96 };
// A log that nothing was added to for both of these is worth a word. Evaluations and checkpoints take
// longer than a step.
static const double QUIET_S = 60.0;
static const double QUIET_STEPS = 20.0;

static const char style[] =
    "<style>\nprogress{width:100%;height:.6rem;accent-color:var(--one)}\n"
    "#state{min-height:1.5em}\n"
    ".facts small{display:block;color:var(--quiet);font-size:.8rem;font-weight:400}\n"
    "@media(min-width:60rem){.facts{grid-template-columns:repeat(5,1fr)}}\n</style>\n";
static const char script[] =
    "<script>\n"
    "const box=document.getElementById('live'),state=document.getElementById('state');\n"
    "const gone='No answer: the run is over, or its program was stopped. This is what was seen "
    "last.';\n"
    "async function look(){\n"
    "  if(!document.hidden)try{\n"
    "    const answer=await fetch('live',{cache:'no-store'});\n"
    "    if(!answer.ok)throw 0;\n"
    "    box.innerHTML=await answer.text();\n"
    "    state.textContent=box.querySelector('.done')?'All steps are done.':\n"
    "      'Looks again every two seconds.';\n"
    "  }catch(e){state.textContent=gone}\n"
    "  setTimeout(look,2000);\n"
    "}\n"
    "look();\n"
    "</script>\n";

// The first of the last steps that the pace is taken over.
static const struct od_report_step *pace_from(const struct od_report_log *log)
{
    return &log->steps[log->count > PACE_STEPS ? log->count - 1 - PACE_STEPS : 0];
}

// Seconds from one step to the next, what is between them counted; NAN: not known.
static double pace_s(const struct od_report_log *log)
{
    const struct od_report_step *last = &log->steps[log->count - 1];
    const struct od_report_step *from = pace_from(log);
    const double seconds = last->elapsed_s - from->elapsed_s;
    const double steps = last->step - from->step;
    return steps > 0.0 && seconds > 0.0 ? seconds / steps : last->seconds;
}

struct od_watch_progress od_watch_progress(const struct od_report_log *log,
                                           const struct od_watch_length *length)
{
    struct od_watch_progress progress = {
        .elapsed_s = (double)NAN, .pace_s = (double)NAN, .left_s = (double)NAN};
    if (log->count == 0) {
        progress.total = length->max_steps;
        return progress;
    }
    const struct od_report_step *last = &log->steps[log->count - 1];
    progress.step = (int64_t)fmin(fmax(last->step, 0.0), 1e15);
    progress.elapsed_s = last->elapsed_s;
    progress.pace_s = pace_s(log);
    progress.total = length->max_steps;
    if (progress.total == 0 && log->epoch > 0.0 && length->epochs > 0.0) {
        const double total = last->step / log->epoch * length->epochs;
        progress.total = (int64_t)fmin(fmax(ceil(total - 1e-9), (double)progress.step), 1e15);
        progress.total_is_about = true;
    }
    if (progress.total >= progress.step && progress.total > 0) {
        progress.left_s = (double)(progress.total - progress.step) * progress.pace_s;
    }
    if (length->budget_s > 0.0) {
        // fmin passes over a NAN.
        progress.left_s = fmin(progress.left_s, fmax(length->budget_s - last->elapsed_s, 0.0));
    }
    return progress;
}

// 14:32, with the day in front when it is not today.
static void clock_text(double at_s, double now_s, char out[TEXT_BYTES])
{
    struct tm parts;
    struct tm today;
    const time_t at = (time_t)at_s;
    const time_t now = (time_t)now_s;
    if (!localtime_r(&at, &parts) || !localtime_r(&now, &today)) {
        (void)snprintf(out, TEXT_BYTES, "-");
        return;
    }
    const bool same_day = parts.tm_yday == today.tm_yday && parts.tm_year == today.tm_year;
    (void)strftime(out, TEXT_BYTES, same_day ? "%H:%M" : "%a %H:%M", &parts);
}

// A fact with a second line in small; all three texts are ours.
static void put_fact(struct od_buf *out, const char *name, const char *value, const char *more)
{
    od_buf_printf(out, "<div><dt>%s</dt><dd>%s<small>%s</small></dd></div>\n", name, value, more);
}

static void put_time(struct od_buf *out, const struct od_watch_progress *progress,
                     const struct od_watch_length *length, double changed_s, double now_s)
{
    char span[24];
    char clock[TEXT_BYTES];
    char more[TEXT_BYTES] = "";
    if (isfinite(progress->elapsed_s)) {
        if (length->budget_s > 0.0) {
            od_seconds_text(length->budget_s, span);
            (void)snprintf(more, sizeof more, "of %s", span);
        }
        od_seconds_text(progress->elapsed_s, span);
        put_fact(out, "Time so far", span, more);
    }
    if (progress->total > 0 && progress->step >= progress->total) {
        clock_text(changed_s, now_s, clock);
        od_buf_printf(out, "<div class=\"done\"><dt>Last step at</dt><dd>%s</dd></div>\n", clock);
        return;  // nothing is to be waited for
    }
    const double silent_s = now_s - changed_s;
    if (silent_s >= fmax(QUIET_S, QUIET_STEPS * progress->pace_s)) {
        od_seconds_text(silent_s, span);
        put_fact(out, "Silent for", span, "does the run still go on?");
    } else if (isfinite(progress->left_s) && progress->left_s < 1e9) {
        const double left_s = fmax(progress->left_s - silent_s, 0.0);
        od_seconds_text(left_s, span);
        (void)snprintf(more, sizeof more, "in %s", span);
        clock_text(now_s + left_s, now_s, clock);
        put_fact(out, "Ends at about", clock, more);
    }
}

// Speed and power over the last steps, memory at the last one.
static void put_machine(struct od_buf *out, const struct od_report_log *log)
{
    char text[64];
    double tokens = 0.0;
    double seconds = 0.0;
    double energy_j = 0.0;
    const struct od_report_step *end = &log->steps[log->count];
    for (const struct od_report_step *step = pace_from(log); step < end; step++) {
        tokens += isfinite(step->tokens) ? step->tokens : 0.0;
        seconds += isfinite(step->seconds) ? step->seconds : 0.0;
        energy_j += isfinite(step->energy_j) ? step->energy_j : 0.0;
    }
    if (tokens > 0.0 && seconds > 0.0) {
        od_report_grouped(tokens / seconds, text);
        od_report_fact(out, "Tokens per second", text);
    }
    if (energy_j > 0.0 && seconds > 0.0) {
        (void)snprintf(text, sizeof text, "%.0f W", fmin(energy_j / seconds, 1e9));
        od_report_fact(out, "GPU power", text);
    }
    if (isfinite(end[-1].driver_bytes)) {
        od_bytes_text(end[-1].driver_bytes, text);
        od_report_fact(out, "GPU memory", text);
    }
}

static void put_evaluations(struct od_buf *out, const struct od_report_log *log)
{
    char text[TEXT_BYTES];
    char more[TEXT_BYTES];
    if (log->evaluation_count == 0) {
        return;
    }
    const struct od_report_evaluation *best = od_report_best(log);
    const struct od_report_evaluation *last = &log->evaluations[log->evaluation_count - 1];
    (void)snprintf(text, sizeof text, "%.4f", fmin(last->loss, 1e30));
    (void)snprintf(more, sizeof more, "lowest %.4f at step %.0f", fmin(best->loss, 1e30),
                   fmin(best->step, 1e15));
    put_fact(out, "Evaluation loss", text, more);
}

static void put_progress(struct od_buf *out, const struct od_watch_progress *progress)
{
    char step[64];
    char total[64];
    char more[TEXT_BYTES] = "";
    od_report_grouped((double)progress->step, step);
    if (progress->total > 0) {
        od_report_grouped((double)progress->total, total);
        const bool about = progress->total_is_about && progress->step < progress->total;
        (void)snprintf(more, sizeof more, "of %s%s", about ? "about " : "", total);
    }
    put_fact(out, "Step", step, more);
}

enum od_status od_watch_put_live(struct od_buf *out, const struct od_live_log *live,
                                 const struct od_watch_length *length, double now_s,
                                 struct od_error *err)
{
    const struct od_report_log *log = &live->log;
    char text[TEXT_BYTES];
    if (!live->exists || log->count == 0) {
        od_buf_puts(out, "<p>No step was logged yet: weights and data are being read.</p>\n");
        return OD_OK;
    }
    const struct od_watch_progress progress = od_watch_progress(log, length);
    const struct od_report_step *last = &log->steps[log->count - 1];
    if (progress.total > 0) {
        od_buf_printf(out,
                      "<progress max=\"%lld\" value=\"%lld\" aria-label=\"steps\"></progress>\n",
                      (long long)progress.total, (long long)progress.step);
    }
    od_buf_puts(out, "<dl class=\"facts\">\n");
    put_progress(out, &progress);
    if (isfinite(last->loss)) {
        (void)snprintf(text, sizeof text, "%.4f", fmin(last->loss, 1e30));
        od_report_fact(out, "Loss", text);
    }
    put_evaluations(out, log);
    if (isfinite(last->lr)) {
        (void)snprintf(text, sizeof text, "%.3g", last->lr);
        od_report_fact(out, "Learning rate", text);
    }
    put_machine(out, log);
    put_time(out, &progress, length, live->changed_s, now_s);
    od_buf_puts(out, "</dl>\n");
    return od_report_curves(out, log, /* live= */ true, err);
}

void od_watch_put_page(struct od_buf *out, const char *run_dir, const char *live)
{
    char title[OD_PATH_MAX_BYTES + 8];
    od_report_title(run_dir, title);
    od_html_begin(out, title, NULL);
    od_buf_puts(out, style);
    od_buf_puts(out, "<p class=\"quiet\" id=\"state\" role=\"status\"></p>\n<div id=\"live\">\n");
    od_buf_puts(out, live);
    od_buf_puts(out, "</div>\n");
    od_buf_puts(out, script);
    od_html_end(out);
}
