#include "flow/report_log.h"

#include <jansson.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "formats/json.h"
#include "formats/text_file.h"

static double number(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : (double)NAN;
}

static enum od_status add(struct od_report_log *log, const struct od_report_step *step,
                          struct od_error *err)
{
    while (log->count > 0 && log->steps[log->count - 1].step >= step->step) {
        log->count--;
    }
    if (log->count == OD_REPORT_STEPS_MAX) {
        return od_fail(err, OD_E_LIMIT, "more than %d steps", OD_REPORT_STEPS_MAX);
    }
    if (log->count == log->capacity) {
        const size_t capacity = log->capacity == 0 ? 256 : 2 * log->capacity;
        struct od_report_step *steps = od_realloc(log->steps, capacity, sizeof *steps);
        if (!steps) {
            return od_fail(err, OD_E_MEMORY, "no memory for %zu steps", capacity);
        }
        log->steps = steps;
        log->capacity = capacity;
    }
    log->steps[log->count++] = *step;
    return OD_OK;
}

static enum od_status add_evaluation(struct od_report_log *log, double step, double loss,
                                     struct od_error *err)
{
    while (log->evaluation_count > 0 && log->evaluations[log->evaluation_count - 1].step >= step) {
        log->evaluation_count--;
    }
    if (log->evaluation_count == OD_REPORT_STEPS_MAX) {
        return od_fail(err, OD_E_LIMIT, "more than %d evaluations", OD_REPORT_STEPS_MAX);
    }
    if (log->evaluation_count == log->evaluation_capacity) {
        const size_t capacity = log->evaluation_capacity == 0 ? 64 : 2 * log->evaluation_capacity;
        struct od_report_evaluation *evaluations =
            od_realloc(log->evaluations, capacity, sizeof *evaluations);
        if (!evaluations) {
            return od_fail(err, OD_E_MEMORY, "no memory for %zu evaluations", capacity);
        }
        log->evaluations = evaluations;
        log->evaluation_capacity = capacity;
    }
    log->evaluations[log->evaluation_count++] =
        (struct od_report_evaluation){.step = step, .loss = loss};
    return OD_OK;
}

static enum od_status add_line(struct od_report_log *log, const char *text, size_t size,
                               struct od_error *err)
{
    json_t *line = NULL;
    enum od_status status = od_json_parse(text, size, "log.jsonl", &line, err);
    if (status != OD_OK) {
        // A cut last line is what a killed run leaves; it is counted, not an error.
        log->bad_lines += status == OD_E_MEMORY ? 0 : 1;
        return status == OD_E_MEMORY ? status : OD_OK;
    }
    const json_t *times = json_object_get(line, "t");
    const char *hash = json_string_value(json_object_get(line, "weight_hash"));
    const struct od_report_step step = {.step = number(line, "step"),
                                        .loss = number(line, "loss"),
                                        .lr = number(line, "lr"),
                                        .grad_norm = number(line, "grad_norm"),
                                        .tokens = number(line, "tokens"),
                                        .seconds = number(times, "step_s"),
                                        .tokens_per_s = number(times, "tokens_per_s"),
                                        .elapsed_s = number(times, "elapsed_s"),
                                        .energy_j = number(times, "energy_j"),
                                        .watts =
                                            number(times, "energy_j") / number(times, "step_s"),
                                        .driver_bytes = number(times, "driver_bytes")};
    const double eval_loss = number(line, "eval_loss");
    if (isfinite(step.step) && isfinite(eval_loss)) {
        status = add_evaluation(log, step.step, eval_loss, err);
    } else if (isfinite(step.step)) {
        status = add(log, &step, err);
        log->epoch = number(line, "epoch");
        if (hash) {
            (void)snprintf(log->weight_hash, sizeof log->weight_hash, "%s", hash);
        }
    } else {
        log->bad_lines++;
    }
    json_decref(line);
    return status;
}

enum od_status od_report_log_append(struct od_report_log *log, const char *text, size_t size,
                                    struct od_error *err)
{
    enum od_status status = OD_OK;
    for (size_t at = 0; at < size && status == OD_OK;) {
        const char *end = memchr(text + at, '\n', size - at);
        const size_t length = end ? (size_t)(end - text) - at : size - at;
        if (length > 0) {
            status = add_line(log, text + at, length, err);
        }
        at += length + 1;
    }
    return status;
}

enum od_status od_report_log_parse(const char *text, size_t size, struct od_report_log *ret,
                                   struct od_error *err)
{
    struct od_report_log log = {0};
    const enum od_status status = od_report_log_append(&log, text, size, err);
    if (status != OD_OK) {
        od_report_log_release(&log);
        return status;
    }
    *ret = log;
    return OD_OK;
}

enum od_status od_report_log_read(const char *path, struct od_report_log *ret, struct od_error *err)
{
    char *text = NULL;
    size_t size = 0;
    enum od_status status = od_text_read(path, OD_REPORT_LOG_MAX_BYTES, &text, &size, err);
    if (status == OD_OK) {
        status = od_report_log_parse(text, size, ret, err);
    }
    if (status != OD_OK) {
        od_error_prefix(err, "'%s'", path);
    }
    od_free(text);
    return status;
}

void od_report_log_release(struct od_report_log *log)
{
    od_free(log->evaluations);
    od_free(log->steps);
    *log = (struct od_report_log){0};
}
