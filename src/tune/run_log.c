#include "tune/run_log.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/memory.h"
#include "base/status.h"
#include "formats/json.h"
#include "tune/session.h"

enum { LOG_MAX_BYTES = 1 << 30, LINE_MAX_BYTES = 1 << 16 };

// What of the text is kept, and what it tells.
static size_t scan(const char *text, size_t size, int64_t step, struct od_run_log_past *past)
{
    size_t keep = 0;
    bool kept = true;
    for (size_t at = 0; at < size;) {
        const char *end = memchr(text + at, '\n', size - at);
        json_t *line = NULL;
        if (!end || od_json_parse(text + at, (size_t)(end - text) - at, "log.jsonl", &line, NULL) !=
                        OD_OK) {
            break;
        }
        const double seconds =
            json_number_value(json_object_get(json_object_get(line, "t"), "elapsed_s"));
        past->elapsed_s = seconds > past->elapsed_s ? seconds : past->elapsed_s;
        kept = kept && json_integer_value(json_object_get(line, "step")) <= step;
        const json_t *loss = json_object_get(line, "loss");
        past->loss = kept && loss ? json_number_value(loss) : past->loss;
        json_decref(line);
        at = (size_t)(end - text) + 1;
        keep = kept ? at : keep;
    }
    return keep;
}

static enum od_status cut(const char *path, int64_t step, struct od_run_log_past *past,
                          struct od_error *err)
{
    char *text = NULL;
    size_t size = 0;
    if (!od_path_exists(path)) {
        return OD_OK;
    }
    enum od_status status = od_file_read(path, LOG_MAX_BYTES, &text, &size, err);
    if (status == OD_OK) {
        const size_t keep = scan(text, size, step, past);
        status = od_file_write(path, text, keep, err);
    }
    od_free(text);
    return status;
}

enum od_status od_run_log_open(struct od_run_log *log, const char *path, int64_t step,
                               struct od_run_log_past *ret_past, struct od_error *err)
{
    struct od_run_log_past past = {0};
    const enum od_status status = cut(path, step, &past, err);
    if (status != OD_OK) {
        return status;
    }
    (void)snprintf(log->path, sizeof log->path, "%s", path);
    log->fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (log->fd < 0) {
        return od_fail(err, OD_E_IO, "cannot write '%s': %s", path, strerror(errno));
    }
    *ret_past = past;
    return OD_OK;
}

void od_run_log_close(struct od_run_log *log)
{
    if (log->fd >= 0) {
        (void)close(log->fd);  // synced with each checkpoint
    }
    log->fd = -1;
}

static enum od_status append(const struct od_run_log *log, struct od_buf *line,
                             struct od_error *err)
{
    od_buf_putc(line, '\n');
    const enum od_status status = od_buf_check(line, err);
    return status == OD_OK ? od_fd_write(log->fd, log->path, line->bytes, line->size, err) : status;
}

enum od_status od_run_log_step(const struct od_run_log *log, const struct od_session *session,
                               const struct od_step_report *report, int64_t hash_steps,
                               const struct od_run_log_times *times, struct od_error *err)
{
    struct od_buf buf;
    struct od_json_writer w;
    char hash[OD_XXH_HEX_BYTES];
    od_buf_init(&buf, LINE_MAX_BYTES);
    od_json_writer_init(&w, &buf, OD_JSON_LINE, true);
    od_json_object_begin(&w);
    od_json_member_int(&w, "step", report->step);
    od_json_member_number(&w, "epoch", report->epoch);
    od_json_member_number(&w, "loss", report->loss);
    od_json_member_number(&w, "lr", report->lr);
    od_json_member_number(&w, "grad_norm", report->grad_norm);
    od_json_member_int(&w, "tokens", report->tokens);
    od_json_member_int(&w, "labels", report->labels);
    if (hash_steps > 0 && report->step % hash_steps == 0) {
        od_hash_hex(od_session_weight_hash(session), hash);
        od_json_member_text(&w, "weight_hash", hash);
    }
    od_json_key(&w, "t");
    od_json_object_begin(&w);
    od_json_member_number(&w, "step_s", times->seconds);
    od_json_member_number(&w, "tokens_per_s", (double)report->tokens / times->seconds);
    od_json_member_number(&w, "elapsed_s", times->elapsed_s);
    if (times->joules >= 0.0) {
        od_json_member_number(&w, "energy_j", times->joules);
    }
    if (session->gpu) {
        od_json_member_int(&w, "driver_bytes", (int64_t)od_session_driver_bytes(session));
    }
    od_json_object_end(&w);
    od_json_object_end(&w);
    const enum od_status status = append(log, &buf, err);
    od_buf_release(&buf);
    return status;
}

enum od_status od_run_log_evaluation(const struct od_run_log *log, int64_t step, double epoch,
                                     const struct od_eval_report *evaluation,
                                     const struct od_run_log_times *times, struct od_error *err)
{
    struct od_buf buf;
    struct od_json_writer w;
    od_buf_init(&buf, LINE_MAX_BYTES);
    od_json_writer_init(&w, &buf, OD_JSON_LINE, true);
    od_json_object_begin(&w);
    od_json_member_int(&w, "step", step);
    od_json_member_number(&w, "epoch", epoch);
    od_json_member_number(&w, "eval_loss", evaluation->loss);
    od_json_member_int(&w, "eval_labels", evaluation->labels);
    od_json_key(&w, "t");
    od_json_object_begin(&w);
    od_json_member_number(&w, "eval_s", times->seconds);
    od_json_member_number(&w, "elapsed_s", times->elapsed_s);
    od_json_object_end(&w);
    od_json_object_end(&w);
    const enum od_status status = append(log, &buf, err);
    od_buf_release(&buf);
    return status;
}

enum od_status od_run_log_sync(const struct od_run_log *log, struct od_error *err)
{
    return od_fd_sync(log->fd, log->path, err);
}
