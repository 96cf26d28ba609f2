#include "tune/run.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/status.h"
#include "data/dataset.h"
#include "device/cuda/cuda.h"
#include "device/cuda/matmul.h"
#include "formats/json.h"
#include "model/spec.h"
#include "ops/gpu.h"
#include "plan/plan.h"
#include "tune/checkpoint.h"
#include "tune/device_file.h"
#include "tune/export.h"
#include "tune/recipe.h"
#include "tune/schedule.h"
#include "tune/session.h"

enum { LOG_MAX_BYTES = 1 << 30, RECIPE_TEXT_MAX_BYTES = 4 << 20 };

// A run while it goes on.
struct run {
    const struct od_tune_options *options;
    struct od_recipe recipe;
    struct od_session session;
    bool session_open;
    struct od_checkpoint_state state;
    char checkpoints[OD_PATH_MAX_BYTES];
    char log_path[OD_PATH_MAX_BYTES];
    int log_fd;
    int64_t last_saved;
    int64_t tokens_here;  // in this process
    double seconds_here;
    double last_loss;
};

static enum od_status write_text(const char *folder, const char *name, const struct od_buf *buf,
                                 struct od_error *err)
{
    char path[OD_PATH_MAX_BYTES];
    enum od_status status = od_buf_check(buf, err);
    if (status == OD_OK) {
        status = od_path_join(path, folder, name, err);
    }
    return status == OD_OK ? od_file_write(path, od_buf_text(buf), buf->size, err) : status;
}

static enum od_status write_device(const struct run *run, struct od_error *err)
{
    struct od_buf buf;
    od_buf_init(&buf, (size_t)16 << 20);
    enum od_status status = od_device_write(&run->session, &buf, err);
    if (status == OD_OK) {
        status = write_text(run->options->run_dir, "device.json", &buf, err);
    }
    od_buf_release(&buf);
    return status;
}

// recipe.yaml, device.json, plan.json, lock.json.
static enum od_status write_inputs(struct run *run, struct od_error *err)
{
    struct od_buf recipe;
    struct od_buf plan;
    char lock[OD_PATH_MAX_BYTES];
    enum od_status status;
    od_buf_init(&recipe, RECIPE_TEXT_MAX_BYTES);
    od_buf_init(&plan, (size_t)256 << 20);
    if ((status = od_recipe_write(&run->recipe, &recipe, err)) != OD_OK ||
        (status = write_text(run->options->run_dir, "recipe.yaml", &recipe, err)) != OD_OK ||
        (status = write_device(run, err)) != OD_OK ||
        (status = od_plan_write(&run->session.plan, &run->session.program, &plan, err)) != OD_OK ||
        (status = write_text(run->options->run_dir, "plan.json", &plan, err)) != OD_OK ||
        (status = od_path_join(lock, run->options->run_dir, "lock.json", err)) != OD_OK) {
        goto done;
    }
    status = od_lock_write(&run->session, od_buf_text(&recipe), lock, run->state.inputs, err);

done:
    od_buf_release(&plan);
    od_buf_release(&recipe);
    return status;
}

// Keep the lines of log.jsonl up to a step: what a killed process wrote after its last checkpoint
// will be done again.
static enum od_status cut_log(const struct run *run, int64_t step, struct od_error *err)
{
    char *text = NULL;
    size_t size = 0;
    size_t keep = 0;
    if (!od_path_exists(run->log_path)) {
        return OD_OK;
    }
    enum od_status status = od_file_read(run->log_path, LOG_MAX_BYTES, &text, &size, err);
    if (status != OD_OK) {
        return status;
    }
    while (keep < size) {
        const char *end = memchr(text + keep, '\n', size - keep);
        json_t *line = NULL;
        if (!end || od_json_parse(text + keep, (size_t)(end - text) - keep, "log.jsonl", &line,
                                  NULL) != OD_OK) {
            break;
        }
        const bool past = json_integer_value(json_object_get(line, "step")) > step;
        json_decref(line);
        if (past) {
            break;
        }
        keep = (size_t)(end - text) + 1;
    }
    status = od_file_write(run->log_path, text, keep, err);
    od_free(text);
    return status;
}

static enum od_status open_log(struct run *run, struct od_error *err)
{
    run->log_fd = open(run->log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (run->log_fd < 0) {
        return od_fail(err, OD_E_IO, "cannot write '%s': %s", run->log_path, strerror(errno));
    }
    return OD_OK;
}

static enum od_status log_step(struct run *run, const struct od_step_report *report, double seconds,
                               double joules, struct od_error *err)
{
    struct od_buf buf;
    struct od_json_writer w;
    char hash[OD_XXH_HEX_BYTES];
    const int64_t every = run->recipe.weight_hash_steps;
    od_buf_init(&buf, 1 << 16);
    od_json_writer_init(&w, &buf, OD_JSON_LINE, true);
    od_json_object_begin(&w);
    od_json_member_int(&w, "step", report->step);
    od_json_member_number(&w, "epoch", report->epoch);
    od_json_member_number(&w, "loss", report->loss);
    od_json_member_number(&w, "lr", report->lr);
    od_json_member_number(&w, "grad_norm", report->grad_norm);
    od_json_member_int(&w, "tokens", report->tokens);
    od_json_member_int(&w, "labels", report->labels);
    if (every > 0 && report->step % every == 0) {
        od_hash_hex(od_session_weight_hash(&run->session), hash);
        od_json_member_text(&w, "weight_hash", hash);
    }
    od_json_key(&w, "t");
    od_json_object_begin(&w);
    od_json_member_number(&w, "step_s", seconds);
    od_json_member_number(&w, "tokens_per_s", (double)report->tokens / seconds);
    if (joules >= 0.0) {
        od_json_member_number(&w, "energy_j", joules);
    }
    if (run->session.gpu) {
        od_json_member_int(&w, "driver_bytes", (int64_t)od_session_driver_bytes(&run->session));
    }
    od_json_object_end(&w);
    od_json_object_end(&w);
    od_buf_putc(&buf, '\n');
    enum od_status status = od_buf_check(&buf, err);
    if (status == OD_OK && write(run->log_fd, buf.bytes, buf.size) != (ssize_t)buf.size) {
        status = od_fail(err, OD_E_IO, "cannot write '%s': %s", run->log_path, strerror(errno));
    }
    od_buf_release(&buf);
    return status;
}

static enum od_status save(struct run *run, struct od_error *err)
{
    run->state.place = run->session.place;
    run->state.weight_hash = od_session_weight_hash(&run->session);
    if (fsync(run->log_fd) != 0) {
        return od_fail(err, OD_E_IO, "cannot sync '%s': %s", run->log_path, strerror(errno));
    }
    const enum od_status status = od_checkpoint_write(&run->session, run->checkpoints, &run->state,
                                                      run->recipe.save_total_limit, err);
    if (status == OD_OK) {
        run->last_saved = run->session.place.step;
    }
    return status;
}

static enum od_status steps(struct run *run, struct od_error *err)
{
    struct od_progress progress;
    struct od_session *session = &run->session;
    enum od_status status = OD_OK;
    char note[96] = "";
    const int64_t save_every =
        od_save_interval(&run->recipe, session->total_steps, session->steps_per_epoch);
    od_progress_start(&progress, "step", session->total_steps);
    while (status == OD_OK && session->place.step < session->total_steps) {
        struct od_step_report report;
        const double start = od_clock_s();
        const double energy = session->gpu ? od_cuda_energy_j(session->cuda) : -1.0;
        if (run->options->stop && *run->options->stop) {
            status = save(run, err);
            if (status != OD_OK) {
                return status;
            }
            return od_fail(err, OD_E_CANCELLED,
                           "stopped at step %lld of %lld, saved; go on with --resume",
                           (long long)session->place.step, (long long)session->total_steps);
        }
        status = od_session_step(session, &report, err);
        if (status != OD_OK) {
            return status;
        }
        const double seconds = od_clock_s() - start;
        run->state.train_s += seconds;
        run->seconds_here += seconds;
        run->tokens_here += report.tokens;
        run->last_loss = report.loss;
        if (report.step == 1) {
            run->state.first_loss = report.loss;
        }
        status = log_step(run, &report, seconds,
                          energy >= 0.0 ? od_cuda_energy_j(session->cuda) - energy : -1.0, err);
        if (status == OD_OK && save_every > 0 && report.step % save_every == 0) {
            status = save(run, err);
        }
        (void)snprintf(note, sizeof note, "loss %.4f  %.0f tokens/s", report.loss,
                       (double)run->tokens_here / run->seconds_here);
        od_progress_show(&progress, report.step, note);
    }
    od_progress_end(&progress, session->place.step, note);
    return status;
}

// The run directory: empty or absent for a new run, a run's for --resume.
static enum od_status open_dir(struct run *run, struct od_error *err)
{
    char path[OD_PATH_MAX_BYTES];
    const char *dir = run->options->run_dir;
    enum od_status status = od_path_join(path, dir, "recipe.yaml", err);
    if (status != OD_OK) {
        return status;
    }
    if (!run->options->resume && od_path_exists(path)) {
        return od_fail(err, OD_E_REFUSED,
                       "'%s' holds a run already: go on with --resume, or choose another folder "
                       "with -o",
                       dir);
    }
    if ((status = od_path_join(run->checkpoints, dir, "checkpoints", err)) != OD_OK ||
        (status = od_path_join(run->log_path, dir, "log.jsonl", err)) != OD_OK ||
        (status = od_dir_make(run->checkpoints, err)) != OD_OK) {
        return status;
    }
    return OD_OK;
}

static void tell_data(const struct run *run)
{
    for (size_t i = 0; i < run->recipe.dataset_count; i++) {
        const struct od_dataset_counts *c = &run->session.dataset.counts[i];
        od_log(OD_LOG_INFO, "data '%s': %lld rows, %lld kept", run->recipe.datasets[i].path,
               (long long)c->rows, (long long)c->kept);
        if (c->too_long + c->empty + c->invalid_utf8 > 0) {
            od_log(OD_LOG_WARNING,
                   "'%s': %lld rows longer than %lld tokens, %lld empty, %lld with invalid UTF-8",
                   run->recipe.datasets[i].path, (long long)c->too_long,
                   (long long)run->recipe.sequence_len, (long long)c->empty,
                   (long long)c->invalid_utf8);
        }
    }
    od_log(OD_LOG_INFO, "%lld documents, %lld packs of %lld tokens (%.1f %% full), %lld steps",
           (long long)run->session.dataset.count, (long long)run->session.packs.count,
           (long long)run->recipe.sequence_len,
           100.0 * (double)run->session.packs.tokens /
               ((double)run->session.packs.count * (double)run->recipe.sequence_len),
           (long long)run->session.total_steps);
}

static enum od_status save_cache(const struct od_session *session, const char *path,
                                 struct od_error *err)
{
    char folder[OD_PATH_MAX_BYTES];
    struct od_buf buf;
    (void)snprintf(folder, sizeof folder, "%s", path);
    *strrchr(folder, '/') = '\0';  // the path is absolute
    od_buf_init(&buf, (size_t)16 << 20);
    enum od_status status = od_device_write(session, &buf, err);
    if (status == OD_OK) {
        status = od_dir_make(folder, err);
    }
    if (status == OD_OK) {
        status = od_file_write(path, od_buf_text(&buf), buf.size, err);
    }
    od_buf_release(&buf);
    return status;
}

// On a GPU: the run's own algorithms when it goes on, else those that this card is known by; what is
// new is measured, except in a run that goes on.
static enum od_status choose_algorithms(struct run *run, struct od_error *err)
{
    struct od_session *session = &run->session;
    char own[OD_PATH_MAX_BYTES];
    char cache[OD_PATH_MAX_BYTES];
    bool same = false;
    struct od_error why = {0};
    if (!session->gpu) {
        return OD_OK;
    }
    enum od_status status = od_path_join(own, run->options->run_dir, "device.json", err);
    if (status != OD_OK) {
        return status;
    }
    if (run->options->resume && od_path_exists(own)) {
        status = od_device_read(session, own, &same, err);
        if (status == OD_OK && !same) {
            od_log(OD_LOG_WARNING,
                   "another card, driver or library than this run began with: its bits may change");
        }
        if (status != OD_OK || same) {
            return status;
        }
    }
    od_device_cache_path(session, cache);
    if (cache[0] != '\0' && od_path_exists(cache) &&
        od_device_read(session, cache, &same, &why) != OD_OK) {
        od_log(OD_LOG_WARNING, "%s: measuring anew", why.message);
    }
    const double start = od_clock_s();
    status = od_session_measure(session, err);
    if (status != OD_OK) {
        return status;
    }
    od_log(OD_LOG_INFO, "matrix products by %s, measured in %.1f s",
           od_matmul_library(od_gpu_matmul(session->gpu)), od_clock_s() - start);
    if (cache[0] != '\0' && save_cache(session, cache, &why) != OD_OK) {
        od_log(OD_LOG_WARNING, "measured algorithms are not kept: %s", why.message);
    }
    return OD_OK;
}

static enum od_status begin(struct run *run, struct od_tune_result *result, struct od_error *err)
{
    const struct od_tune_options *options = run->options;
    struct od_session_options session_options = {.on_gpu = options->on_gpu,
                                                 .gpu = options->gpu,
                                                 .threads = options->threads,
                                                 .allow_vector = options->allow_vector,
                                                 .max_bytes = options->max_bytes};
    char plan[24];
    bool found = false;
    struct od_checkpoint_state restored = {0};
    enum od_status status = od_session_open(&run->recipe, &session_options, &run->session, err);
    if (status == OD_E_UNSUPPORTED && options->on_gpu && options->gpu_optional) {
        od_log(OD_LOG_INFO, "on the CPU: %s", err ? err->message : "no GPU kernels for this model");
        session_options.on_gpu = false;
        status = od_session_open(&run->recipe, &session_options, &run->session, err);
    }
    if (status != OD_OK) {
        return status;
    }
    run->session_open = true;
    status = choose_algorithms(run, err);
    if (status != OD_OK) {
        return status;
    }
    od_bytes_text((double)od_session_bytes(&run->session), plan);
    od_log(OD_LOG_INFO, "model of %lld weights on %s; plan: %s, all of it taken now",
           (long long)od_spec_parameters(&run->session.spec),
           run->session.gpu ? od_cuda_info(run->session.cuda)->name : "the CPU", plan);
    tell_data(run);
    if ((status = open_dir(run, err)) != OD_OK || (status = write_inputs(run, err)) != OD_OK) {
        return status;
    }
    if (options->resume) {
        status = od_checkpoint_read(&run->session, run->checkpoints, run->state.inputs, &restored,
                                    &found, err);
        if (status != OD_OK) {
            return status;
        }
    }
    if (found) {
        run->state = restored;
        run->last_saved = restored.place.step;
        od_log(OD_LOG_INFO, "going on from step %lld", (long long)restored.place.step);
    }
    result->resumed = found;
    status = cut_log(run, run->session.place.step, err);
    return status == OD_OK ? open_log(run, err) : status;
}

enum od_status od_tune_run(const struct od_tune_options *options, struct od_tune_result *ret,
                           struct od_error *err)
{
    struct run run = {.options = options, .log_fd = -1, .last_saved = -1};
    struct od_tune_result result = {0};
    enum od_status status = od_recipe_read(options->recipe_path, &run.recipe, err);
    if (status != OD_OK) {
        return status;
    }
    for (size_t i = 0; i < run.recipe.note_count; i++) {
        od_log(OD_LOG_INFO, "recipe: %s", run.recipe.notes[i]);
    }
    if ((status = begin(&run, &result, err)) != OD_OK || (status = steps(&run, err)) != OD_OK) {
        goto done;
    }
    if (run.last_saved != run.session.place.step) {
        status = save(&run, err);
        if (status != OD_OK) {
            goto done;
        }
    }
    status = od_export(&run.session, options->run_dir, result.export_dir, err);
    if (status != OD_OK) {
        goto done;
    }
    result.steps = run.session.place.step;
    result.total_steps = run.session.total_steps;
    result.first_loss = run.state.first_loss;
    result.last_loss = run.last_loss;
    result.train_s = run.state.train_s;
    result.tokens_per_s =
        run.state.train_s > 0.0 ? (double)run.session.place.tokens / run.state.train_s : 0.0;
    result.weight_hash = run.state.weight_hash;
    result.plan_bytes = od_session_bytes(&run.session);
    *ret = result;

done:
    if (run.log_fd >= 0) {
        (void)close(run.log_fd);  // synced with each checkpoint
    }
    if (run.session_open) {
        od_session_close(&run.session);
    }
    od_recipe_release(&run.recipe);
    return status;
}
