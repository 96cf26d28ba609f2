#include "flow/reproduce.h"

#include <jansson.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/status.h"
#include "formats/json.h"
#include "tune/checkpoint.h"
#include "tune/device_file.h"
#include "tune/lock.h"
#include "tune/recipe.h"
#include "tune/session.h"

enum { LOG_MAX_BYTES = 1 << 30, LOCK_MAX_BYTES = 1 << 24 };

// A replay while it goes on.
struct replay {
    const struct od_reproduce_options *options;
    struct od_recipe recipe;
    bool have_recipe;
    struct od_session session;
    bool session_open;
    json_t *lock;
    json_t **line;  ///< [line_count + 1] of log.jsonl, by step; NULL: none
    int64_t line_count;
    char inputs[OD_SHA256_HEX_BYTES];
    bool on_gpu;
    struct od_reproduce_result result;
};

static enum od_status in_run(const struct replay *r, const char *name, char path[OD_PATH_MAX_BYTES],
                             struct od_error *err)
{
    return od_path_join(path, r->options->run_dir, name, err);
}

static void put_line(struct replay *r, json_t *line)
{
    const int64_t step = json_integer_value(json_object_get(line, "step"));
    if (step < 1 || step > r->line_count || !json_object_get(line, "loss")) {
        json_decref(line);
        return;
    }
    json_decref(r->line[step]);
    r->line[step] = line;
}

// The steps of log.jsonl. A last line that was cut off is none.
static enum od_status read_log(struct replay *r, struct od_error *err)
{
    char path[OD_PATH_MAX_BYTES];
    char *text = NULL;
    size_t size = 0;
    enum od_status status = in_run(r, "log.jsonl", path, err);
    if (status == OD_OK) {
        status = od_file_read(path, LOG_MAX_BYTES, &text, &size, err);
    }
    if (status != OD_OK) {
        return status;
    }
    for (size_t i = 0; i < size; i++) {
        r->line_count += text[i] == '\n';
    }
    r->line = od_alloc((size_t)r->line_count + 1, sizeof(json_t *));
    if (!r->line) {
        od_free(text);
        return od_fail(err, OD_E_MEMORY, "no memory for '%s'", path);
    }
    for (int64_t i = 0; i <= r->line_count; i++) {
        r->line[i] = NULL;
    }
    for (size_t from = 0; status == OD_OK && from < size;) {
        const char *end = memchr(text + from, '\n', size - from);
        json_t *line = NULL;
        if (!end) {
            break;
        }
        status = od_json_parse(text + from, (size_t)(end - text) - from, path, &line, err);
        if (status == OD_OK) {
            put_line(r, line);
        }
        from = (size_t)(end - text) + 1;
    }
    od_free(text);
    return status;
}

static enum od_status differs(const char *what, const char *name, const json_t *then,
                              const json_t *now, struct od_error *err)
{
    const char *a = json_string_value(then);
    const char *b = json_string_value(now);
    if (a && b && strcmp(a, b) == 0) {
        return OD_OK;
    }
    return od_fail(err, OD_E_REFUSED,
                   "%s '%s' is not what the run was made from: SHA-256 %s then, %s now", what, name,
                   a ? a : "(none)", b ? b : "(none)");
}

// The first input that is not what it was, by name.
static enum od_status name_difference(const json_t *then, const json_t *now, struct od_error *err)
{
    const char *name;
    json_t *value;
    size_t index;
    const json_t *base = json_object_get(now, "base");
    enum od_status status = OD_OK;
    json_object_foreach(json_object_get(then, "base"), name, value)
    {
        status = differs("base file", name, value, json_object_get(base, name), err);
        if (status != OD_OK) {
            return status;
        }
    }
    json_object_foreach(json_object_get(now, "base"), name, value)
    {
        status = differs("base file", name, json_object_get(json_object_get(then, "base"), name),
                         value, err);
        if (status != OD_OK) {
            return status;
        }
    }
    json_array_foreach(json_object_get(then, "data"), index, value)
    {
        const char *path = json_string_value(json_object_get(value, "path"));
        status = differs(
            "data file", path ? path : "?", json_object_get(value, "sha256"),
            json_object_get(json_array_get(json_object_get(now, "data"), index), "sha256"), err);
        if (status != OD_OK) {
            return status;
        }
    }
    if ((status = differs("the tokenizer of", "base", json_object_get(then, "tokenizer"),
                          json_object_get(now, "tokenizer"), err)) != OD_OK ||
        (status = differs("recipe", "recipe.yaml", json_object_get(then, "recipe"),
                          json_object_get(now, "recipe"), err)) != OD_OK) {
        return status;
    }
    return od_fail(err, OD_E_REFUSED, "the inputs are not those that lock.json names");
}

// lock.json as it would be written now, against the run's.
static enum od_status check_inputs(struct replay *r, struct od_error *err)
{
    struct od_buf recipe;
    struct od_buf text;
    json_t *now = NULL;
    od_buf_init(&recipe, LOCK_MAX_BYTES);
    od_buf_init(&text, LOCK_MAX_BYTES);
    enum od_status status = od_recipe_write(&r->recipe, &recipe, err);
    if (status == OD_OK) {
        status = od_lock_make(&r->session, od_buf_text(&recipe), &text, r->inputs, err);
    }
    if (status == OD_OK) {
        status = od_json_parse(od_buf_text(&text), text.size, "lock.json", &now, err);
    }
    if (status == OD_OK) {
        const char *then = json_string_value(json_object_get(r->lock, "inputs"));
        if (!then || strcmp(then, r->inputs) != 0) {
            status = name_difference(r->lock, now, err);
        }
        r->result.other_program =
            !json_equal(json_object_get(r->lock, "program"), json_object_get(now, "program"));
    }
    json_decref(now);
    od_buf_release(&text);
    od_buf_release(&recipe);
    return status;
}

static enum od_status read_inputs(struct replay *r, struct od_error *err)
{
    char path[OD_PATH_MAX_BYTES];
    const char *device = NULL;
    enum od_status status = in_run(r, "lock.json", path, err);
    if (status == OD_OK && !od_path_exists(path)) {
        return od_fail(err, OD_E_NOT_FOUND, "'%s' is no run directory: there is no lock.json in it",
                       r->options->run_dir);
    }
    if (status != OD_OK || (status = od_json_read(path, &r->lock, err)) != OD_OK ||
        (status = od_json_text(r->lock, "device", path, &device, err)) != OD_OK) {
        return status;
    }
    const bool was_gpu = strcmp(device, "cpu") != 0;
    r->on_gpu = r->options->as_it_was ? was_gpu : r->options->on_gpu;
    if (was_gpu != r->on_gpu) {
        return od_fail(err, OD_E_REFUSED,
                       "the run was made on %s: its bits come out on that kind only (--device %s)",
                       was_gpu ? device : "the CPU", was_gpu ? "cuda" : "cpu");
    }
    if ((status = in_run(r, "recipe.yaml", path, err)) != OD_OK ||
        (status = od_recipe_read(path, &r->recipe, err)) != OD_OK) {
        return status;
    }
    r->have_recipe = true;
    return read_log(r, err);
}

static enum od_status open_session(struct replay *r, struct od_error *err)
{
    char path[OD_PATH_MAX_BYTES];
    bool same = true;
    const struct od_session_options options = {.on_gpu = r->on_gpu,
                                               .gpu = r->options->gpu,
                                               .threads = r->options->threads,
                                               .allow_vector = r->options->allow_vector};
    enum od_status status = od_session_open(&r->recipe, &options, &r->session, err);
    if (status != OD_OK) {
        return status;
    }
    r->session_open = true;
    if (!r->session.gpu) {
        return OD_OK;
    }
    status = in_run(r, "device.json", path, err);
    if (status == OD_OK) {
        status = od_device_read(&r->session, path, &same, err);
    }
    if (status == OD_OK && !same) {
        od_log(OD_LOG_WARNING,
               "another card, driver or library than the run was made with: its bits may differ");
    }
    return status;
}

// To the newest checkpoint before the first step that is asked for.
static enum od_status go_to_start(struct replay *r, struct od_error *err)
{
    char path[OD_PATH_MAX_BYTES];
    struct od_checkpoint_state state;
    bool found = false;
    if (r->options->first <= 1) {
        return OD_OK;
    }
    enum od_status status = in_run(r, "checkpoints", path, err);
    if (status == OD_OK) {
        status = od_checkpoint_read_before(&r->session, path, r->options->first, r->inputs, &state,
                                           &found, err);
    }
    r->result.from = found ? state.place.step : 0;
    if (status == OD_OK) {
        od_log(OD_LOG_INFO, "steps from %lld on: %s %lld", (long long)r->options->first,
               found ? "from the checkpoint of step" : "no checkpoint before them, so from step",
               found ? (long long)state.place.step : 1LL);
    }
    return status;
}

static void differing(struct replay *r, int64_t step, const char *field, const char *logged,
                      const char *replayed)
{
    r->result.agrees = false;
    r->result.step = step;
    (void)snprintf(r->result.field, sizeof r->result.field, "%s", field);
    (void)snprintf(r->result.logged, sizeof r->result.logged, "%s", logged);
    (void)snprintf(r->result.replayed, sizeof r->result.replayed, "%s", replayed);
}

// One number of a line. A number of the log has as many digits as it takes to be read back exactly.
static bool same_number(struct replay *r, const json_t *line, int64_t step, const char *field,
                        double now)
{
    const double then = json_number_value(json_object_get(line, field));
    char logged[40];
    char replayed[40];
    if (json_is_number(json_object_get(line, field)) && !(then < now) && !(then > now)) {
        return true;
    }
    (void)snprintf(logged, sizeof logged, "%.17g", then);
    (void)snprintf(replayed, sizeof replayed, "%.17g", now);
    differing(r, step, field, logged, replayed);
    return false;
}

static bool same_line(struct replay *r, const json_t *line, const struct od_step_report *report)
{
    const char *then = json_string_value(json_object_get(line, "weight_hash"));
    const int64_t step = report->step;
    if (!same_number(r, line, step, "loss", report->loss) ||
        !same_number(r, line, step, "lr", report->lr) ||
        !same_number(r, line, step, "grad_norm", report->grad_norm) ||
        !same_number(r, line, step, "tokens", (double)report->tokens) ||
        !same_number(r, line, step, "labels", (double)report->labels)) {
        return false;
    }
    if (then) {
        char now[OD_XXH_HEX_BYTES];
        od_hash_hex(od_session_weight_hash(&r->session), now);
        r->result.hashes++;
        if (strcmp(then, now) != 0) {
            differing(r, step, "weight_hash", then, now);
            return false;
        }
    }
    return true;
}

static enum od_status steps(struct replay *r, struct od_error *err)
{
    struct od_progress progress;
    struct od_session *session = &r->session;
    const int64_t wanted = r->options->last > 0 ? r->options->last : r->line_count;
    int64_t last = wanted < session->total_steps ? wanted : session->total_steps;
    enum od_status status = OD_OK;
    while (r->options->last == 0 && last > 0 && !r->line[last]) {
        last--;  // a run that was cut short
    }
    if (last <= r->result.from || last > r->line_count) {
        return od_fail(err, OD_E_ARGUMENT, "the run has logged steps 1 to %lld",
                       (long long)r->line_count);
    }
    r->result.agrees = true;
    od_progress_start(&progress, "step", last);
    progress.from = session->place.step;
    while (status == OD_OK && r->result.agrees && session->place.step < last) {
        struct od_step_report report;
        if (r->options->stop && *r->options->stop) {
            return od_fail(err, OD_E_CANCELLED, "stopped after %lld steps that agree",
                           (long long)r->result.steps);
        }
        status = od_session_step(session, &report, err);
        if (status != OD_OK) {
            break;
        }
        const json_t *line = r->line[report.step];
        if (!line) {
            return od_fail(err, OD_E_FORMAT, "log.jsonl has no line of step %lld",
                           (long long)report.step);
        }
        if (same_line(r, line, &report)) {
            r->result.steps++;
        }
        od_progress_show(&progress, report.step, r->result.agrees ? "agrees" : "differs");
    }
    od_progress_end(&progress, session->place.step, r->result.agrees ? "agrees" : "differs");
    return status;
}

enum od_status od_reproduce(const struct od_reproduce_options *options,
                            struct od_reproduce_result *ret, struct od_error *err)
{
    struct replay r = {.options = options};
    enum od_status status = OD_OK;
    if (options->first < 0 || options->last < 0 ||
        (options->last > 0 && options->last < options->first)) {
        return od_fail(err, OD_E_ARGUMENT, "--steps wants A..B with 1 <= A <= B");
    }
    if ((status = read_inputs(&r, err)) == OD_OK && (status = open_session(&r, err)) == OD_OK &&
        (status = check_inputs(&r, err)) == OD_OK && (status = go_to_start(&r, err)) == OD_OK &&
        (status = steps(&r, err)) == OD_OK) {
        *ret = r.result;
    }
    if (r.session_open) {
        od_session_close(&r.session);
    }
    if (r.have_recipe) {
        od_recipe_release(&r.recipe);
    }
    for (int64_t i = 0; r.line && i <= r.line_count; i++) {
        json_decref(r.line[i]);
    }
    od_free(r.line);
    json_decref(r.lock);
    return status;
}
