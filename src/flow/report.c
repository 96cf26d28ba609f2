#include "flow/report.h"

#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/html.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/status.h"
#include "flow/export_check.h"
#include "flow/exports.h"
#include "flow/report_internal.h"
#include "flow/report_log.h"
#include "formats/json.h"
#include "formats/jsonl.h"
#include "formats/text_file.h"
#include "formats/yaml.h"
#include "tune/recipe.h"

#define SAMPLES_MAX_BYTES ((size_t)64 << 20)
#define SHOWN_MAX_BYTES   ((size_t)256 << 10)

enum { SETTING_MAX_BYTES = 1 << 16 };

void od_report_not_shown(struct od_buf *out, const char *name, const struct od_error *err)
{
    od_buf_puts(out, "<p>");
    od_html_text(out, name);
    od_buf_puts(out, " cannot be shown: ");
    od_html_text(out, err->message);
    od_buf_puts(out, ".</p>\n");
    od_log(OD_LOG_WARNING, "report: %s cannot be shown: %s", name, err->message);
}

static const struct od_report_step *last_with_loss(const struct od_report_log *log)
{
    for (size_t i = log->count; i > 0; i--) {
        if (isfinite(log->steps[i - 1].loss)) {
            return &log->steps[i - 1];
        }
    }
    return NULL;
}

static const struct od_report_step *first_with_loss(const struct od_report_log *log)
{
    for (size_t i = 0; i < log->count; i++) {
        if (isfinite(log->steps[i].loss)) {
            return &log->steps[i];
        }
    }
    return NULL;
}

static void put_facts(struct od_buf *out, const struct od_report_log *log)
{
    char text[64];
    double tokens = 0.0;
    double seconds = 0.0;
    double energy_j = 0.0;
    const struct od_report_step *first = first_with_loss(log);
    const struct od_report_step *last = last_with_loss(log);
    for (size_t i = 0; i < log->count; i++) {
        tokens += isfinite(log->steps[i].tokens) ? log->steps[i].tokens : 0.0;
        seconds += isfinite(log->steps[i].seconds) ? log->steps[i].seconds : 0.0;
        energy_j += isfinite(log->steps[i].energy_j) ? log->steps[i].energy_j : 0.0;
    }
    od_buf_puts(out, "<dl class=\"facts\">\n");
    od_report_grouped((double)log->count, text);
    od_report_fact(out, "Steps", text);
    if (first && last) {
        (void)snprintf(text, sizeof text, "%.4f", first->loss);
        od_report_fact(out, "First loss", text);
        (void)snprintf(text, sizeof text, "%.4f", last->loss);
        od_report_fact(out, "Last loss", text);
    }
    if (log->evaluation_count > 0) {
        const struct od_report_evaluation *best = od_report_best(log);
        (void)snprintf(text, sizeof text, "%.4f at step %.0f", best->loss, best->step);
        od_report_fact(out, "Lowest evaluation loss", text);
    }
    if (tokens > 0.0) {
        od_report_grouped(tokens, text);
        od_report_fact(out, "Tokens", text);
    }
    if (seconds > 0.0) {
        char time[24];
        od_seconds_text(seconds, time);
        od_report_fact(out, "Time in steps", time);
        od_report_grouped(tokens / seconds, text);
        od_report_fact(out, "Tokens per second", text);
    }
    if (energy_j > 0.0) {
        (void)snprintf(text, sizeof text, "%.3g Wh, %.0f W on average", energy_j / 3600.0,
                       seconds > 0.0 ? energy_j / seconds : 0.0);
        od_report_fact(out, "Energy of the GPU", text);
    }
    if (log->weight_hash[0] != '\0') {
        od_report_fact(out, "Hash of the weights", log->weight_hash);
    }
    od_buf_puts(out, "</dl>\n");
}

static enum od_status put_training(struct od_buf *out, const struct od_report_log *log,
                                   struct od_error *err)
{
    od_buf_puts(out, "<h2>Training</h2>\n");
    if (log->count == 0) {
        od_buf_puts(out, "<p>No step was logged yet.</p>\n");
        return OD_OK;
    }
    const enum od_status status = od_report_curves(out, log, /* live= */ false, err);
    if (!first_with_loss(log)) {
        od_buf_puts(out, "<p>The log has no finite loss.</p>\n");
    }
    if (log->bad_lines > 0) {
        od_buf_printf(out, "<p class=\"quiet\">%zu line%s of log.jsonl cannot be read.</p>\n",
                      log->bad_lines, log->bad_lines == 1 ? "" : "s");
    }
    return status;
}

// A value in one line: a, b for lists; key: value for mappings in them.
static void put_node(struct od_buf *out, const struct od_yaml_node *node)
{
    if (node->type == OD_YAML_SCALAR) {
        od_buf_puts(out, od_yaml_is_null(node) ? "–" : node->text);
        return;
    }
    for (const struct od_yaml_node *item = node->first; item; item = item->next) {
        const bool nested = item->type != OD_YAML_SCALAR && !item->key;
        od_buf_puts(out, nested ? "(" : "");
        if (item->key) {
            od_buf_printf(out, "%s: ", item->key->text);
        }
        put_node(out, item);
        od_buf_puts(out, nested ? ")" : "");
        od_buf_puts(out, item->next ? ", " : "");
    }
}

// A key of the recipe, which may break behind its underscores.
static void put_key(struct od_buf *out, const char *key)
{
    for (const char *at = key; *at;) {
        const size_t part = strcspn(at, "_") + (at[strcspn(at, "_")] == '_' ? 1 : 0);
        od_html_text_n(out, at, part);
        od_buf_puts(out, at[part] ? "<wbr>" : "");
        at += part;
    }
}

static enum od_status put_settings(struct od_buf *out, const char *path, struct od_error *err)
{
    struct od_yaml *yaml = NULL;
    struct od_buf value;
    enum od_status status = od_yaml_read(path, &yaml, err);
    if (status != OD_OK) {
        return status;
    }
    od_buf_init(&value, SETTING_MAX_BYTES);
    od_buf_puts(out,
                "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Settings\">\n"
                "<table aria-label=\"Settings\">\n<tbody>\n");
    for (const struct od_yaml_node *item = od_yaml_root(yaml)->first; item; item = item->next) {
        od_buf_reset(&value);
        put_node(&value, item);
        od_buf_puts(out, "<tr><th scope=\"row\" class=\"pin\">");
        put_key(out, item->key ? item->key->text : "");
        od_buf_puts(out, "</th><td style=\"overflow-wrap:anywhere\">");
        od_html_text(out, value.failed ? "(too long to show)" : od_buf_text(&value));
        od_buf_puts(out, "</td></tr>\n");
    }
    od_buf_puts(out, "</tbody>\n</table>\n</div>\n");
    od_buf_release(&value);
    od_yaml_free(yaml);
    return OD_OK;
}

static enum od_status put_file(struct od_buf *out, const char *path, const char *title,
                               struct od_error *err)
{
    char *text = NULL;
    size_t size = 0;
    const enum od_status status = od_text_read(path, OD_JSON_FILE_MAX_BYTES, &text, &size, err);
    if (status != OD_OK) {
        return status;
    }
    const size_t shown = size < SHOWN_MAX_BYTES ? size : SHOWN_MAX_BYTES;
    od_buf_puts(out, "<details><summary>");
    od_html_text(out, title);
    od_buf_puts(out, "</summary>\n<pre>");
    od_html_text_n(out, text, shown);
    od_buf_puts(out, "</pre>\n");
    if (shown < size) {
        od_buf_printf(out, "<p class=\"quiet\">The first %zu of %zu bytes.</p>\n", shown, size);
    }
    od_buf_puts(out, "</details>\n");
    od_free(text);
    return OD_OK;
}

static void put_sample_part(struct od_buf *out, const json_t *sample, const char *key,
                            const char *name, const char *class)
{
    const char *text = json_string_value(json_object_get(sample, key));
    if (text) {
        od_buf_printf(out, "<dt class=\"%s\">%s</dt><dd><pre>", class, name);
        od_html_text(out, text);
        od_buf_puts(out, "</pre></dd>\n");
    }
}

static enum od_status put_samples(struct od_buf *out, const char *path, struct od_error *err)
{
    char *text = NULL;
    size_t size = 0;
    size_t count = 0;
    json_t *sample = NULL;
    struct od_jsonl lines;
    enum od_status status = od_text_read(path, SAMPLES_MAX_BYTES, &text, &size, err);
    if (status != OD_OK) {
        return status;
    }
    od_jsonl_init(&lines, text, size, "samples.jsonl");
    od_buf_puts(out, "<div class=\"samples\">\n");
    while ((status = od_jsonl_next(&lines, &sample, err)) == OD_OK && sample) {
        if (count < OD_REPORT_SAMPLES_MAX) {
            od_buf_puts(out, "<div class=\"sample\"><dl>\n");
            put_sample_part(out, sample, "prompt", "Prompt", "");
            put_sample_part(out, sample, "expected", "Expected", "");
            put_sample_part(out, sample, "base", "Base", "key-1");
            put_sample_part(out, sample, "tuned", "Tuned", "key-2");
            od_buf_puts(out, "</dl></div>\n");
        }
        count++;
        json_decref(sample);
        sample = NULL;
    }
    od_buf_puts(out, "</div>\n");
    if (count > OD_REPORT_SAMPLES_MAX) {
        od_buf_printf(out, "<p class=\"quiet\">The first %d of %zu samples.</p>\n",
                      OD_REPORT_SAMPLES_MAX, count);
    }
    od_free(text);
    return status;
}

static enum od_status put_board(struct od_buf *out, const char *path, struct od_error *err)
{
    json_t *board = NULL;
    enum od_status status = od_json_read(path, &board, err);
    if (status == OD_OK) {
        status = od_report_scores(out, board, err);
    }
    json_decref(board);
    return status;
}

static void put_check(struct od_buf *out, const char *name, const struct od_export_check *check)
{
    struct od_buf text;
    od_buf_init(&text, 1 << 12);
    od_export_check_text(name, check, &text);
    od_buf_puts(out, "<p>As a test, ");
    od_html_text(out, od_buf_text(&text));
    od_buf_puts(out, ".</p>\n");
    od_buf_release(&text);
}

static enum od_status put_export(struct od_buf *out, const char *path, struct od_error *err)
{
    struct od_export_check_context checks;
    char name[64];
    const enum od_status status = od_export_check_read(path, &checks, err);
    if (status != OD_OK) {
        return status;
    }
    put_check(out, "the export", &checks.check);
    for (int i = 0; i < OD_RECIPE_EXPORTS; i++) {
        if ((checks.exports & (1u << i)) != 0) {
            od_export_name(i, name);
            put_check(out, name, &checks.other[i]);
        }
    }
    return OD_OK;
}

static enum od_status put_plan(struct od_buf *out, const char *path, struct od_error *err)
{
    return put_file(out, path, "Plan of memory (plan.json)", err);
}

static enum od_status put_lock(struct od_buf *out, const char *path, struct od_error *err)
{
    return put_file(out, path, "What it was made from (lock.json)", err);
}

/** A part of the page that comes from one file, left out when the file is absent. */
struct section {
    const char *file;
    const char *title;  ///< NULL: no headline
    enum od_status (*put)(struct od_buf *out, const char *path, struct od_error *err);
};

// A broken file is told in its place; only a lack of memory ends the page.
static enum od_status put_section(struct od_buf *out, const char *run_dir,
                                  const struct section *section, struct od_error *err)
{
    char path[OD_PATH_MAX_BYTES];
    struct od_error inner = {0};
    enum od_status status = od_path_join(path, run_dir, section->file, err);
    if (status != OD_OK || !od_path_exists(path)) {
        return status;
    }
    if (section->title) {
        od_buf_puts(out, "<h2>");
        od_html_text(out, section->title);
        od_buf_puts(out, "</h2>\n");
    }
    status = section->put(out, path, &inner);
    if (status == OD_E_MEMORY) {
        od_error_set(err, status, "%s", inner.message);
        return status;
    }
    if (status != OD_OK) {
        od_report_not_shown(out, section->file, &inner);
    }
    return OD_OK;
}

void od_report_title(const char *run_dir, char out[OD_PATH_MAX_BYTES + 8])
{
    char *real = realpath(run_dir, NULL);
    char *name = real ? strrchr(real, '/') : NULL;
    if (name && name > real && strcmp(name, "/run") == 0) {
        *name = '\0';
        name = strrchr(real, '/');
    }
    (void)snprintf(out, OD_PATH_MAX_BYTES + 8, "Run %s", name && name[1] ? name + 1 : run_dir);
    free(real);
}

enum od_status od_report_make(const char *run_dir, struct od_buf *out, struct od_error *err)
{
    static const struct section scores = {"eval/board.json", "Scores", put_board};
    static const struct section others[] = {
        {"samples.jsonl", "Samples", put_samples},
        {OD_EXPORT_CHECK_FILE, "Export", put_export},
        {"recipe.yaml", "Settings", put_settings},
        {"plan.json", "Plan and sources", put_plan},
        {"lock.json", NULL, put_lock},
    };
    char path[OD_PATH_MAX_BYTES];
    char title[OD_PATH_MAX_BYTES + 8];
    struct od_report_log log = {0};
    enum od_status status = od_path_join(path, run_dir, "log.jsonl", err);
    if (status == OD_OK) {
        status = od_report_log_read(path, &log, err);
    }
    if (status != OD_OK) {
        od_error_prefix(err, "report of '%s'", run_dir);
        return status;
    }
    od_report_title(run_dir, title);
    od_html_begin(out, title, NULL);
    put_facts(out, &log);
    status = put_section(out, run_dir, &scores, err);
    if (status == OD_OK) {
        status = put_training(out, &log, err);
    }
    for (size_t i = 0; i < sizeof others / sizeof others[0] && status == OD_OK; i++) {
        status = put_section(out, run_dir, &others[i], err);
    }
    od_html_end(out);
    od_report_log_release(&log);
    return status == OD_OK ? od_buf_check(out, err) : status;
}

enum od_status od_report_write(const char *run_dir, struct od_error *err)
{
    char path[OD_PATH_MAX_BYTES];
    struct od_buf page;
    od_buf_init(&page, OD_REPORT_MAX_BYTES);
    enum od_status status = od_report_make(run_dir, &page, err);
    if (status == OD_OK) {
        status = od_path_join(path, run_dir, "report.html", err);
    }
    if (status == OD_OK) {
        status = od_file_write(path, page.bytes, page.size, err);
    }
    od_buf_release(&page);
    return status;
}
