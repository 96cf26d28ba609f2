#include "tune/run.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"
#include "data/dataset.h"
#include "device/cuda/cuda.h"
#include "model/program.h"
#include "model/spec.h"
#include "plan/plan.h"
#include "tune/bad_batch.h"
#include "tune/budget.h"
#include "tune/checkpoint.h"
#include "tune/checkpoint_writer.h"
#include "tune/device_file.h"
#include "tune/export.h"
#include "tune/lock.h"
#include "tune/recipe.h"
#include "tune/run_algorithms.h"
#include "tune/run_board.h"
#include "tune/run_dir.h"
#include "tune/run_log.h"
#include "tune/schedule.h"
#include "tune/session.h"

enum {
    RECIPE_TEXT_MAX_BYTES = 4 << 20,
    LOCK_TEXT_MAX_BYTES = 1 << 24,
    PLAN_TEXT_MAX_BYTES = 256 << 20
};

// Steps after which the end is projected against the budget.
enum { PROJECTION_STEPS = 5 };
// Bytes per second that a checkpoint is guessed to be written with before one was.
static const double WRITE_BYTES_PER_S = 100e6;

// A run while it goes on.
struct run {
    const struct od_tune_options *options;
    struct od_recipe recipe;
    struct od_session session;
    bool session_open;
    struct od_checkpoint_state state;
    struct od_checkpoint_writer *writer;  // of the checkpoint that is being written
    bool close_known;                     // budget.close_s was measured, not guessed
    double export_s;                      // guess of what the recipe's `export:` takes
    struct od_run_log log;
    struct od_run_board board;
    struct od_budget budget;
    struct od_run_dir dir;
    int64_t eval_every;  // steps; 0: never
    int64_t save_every;
    int64_t last_saved;
    int64_t tokens_here;  // in this process
    int64_t steps_here;
    double seconds_here;
    double last_loss;
    double epoch;
    bool clock_told;
};

static double elapsed_s(const struct run *run)
{
    return od_budget_elapsed_s(&run->budget, od_moment_now());
}

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
static enum od_status write_inputs(const struct run *run, const struct od_buf *recipe,
                                   const struct od_buf *lock, struct od_error *err)
{
    const char *dir = run->options->run_dir;
    struct od_buf plan;
    enum od_status status;
    od_buf_init(&plan, PLAN_TEXT_MAX_BYTES);
    if ((status = write_text(dir, "recipe.yaml", recipe, err)) == OD_OK &&
        (status = write_device(run, err)) == OD_OK &&
        (status = od_plan_write(&run->session.plan, &run->session.program, &plan, err)) == OD_OK &&
        (status = write_text(dir, "plan.json", &plan, err)) == OD_OK) {
        status = write_text(dir, "lock.json", lock, err);
    }
    od_buf_release(&plan);
    return status;
}

// The step whose checkpoint is not removed; -1: none.
static int64_t protected_step(const struct run *run)
{
    const bool best =
        run->recipe.load_best_model_at_end || run->recipe.save_strategy == OD_DUE_BEST;
    return best ? run->state.best_step : -1;
}

// An export writes no more than a checkpoint does.
static void learn_close(struct run *run, double save_s)
{
    const double seconds = 2.0 * save_s + run->export_s;
    const bool longer = !run->close_known || seconds > run->budget.close_s;
    run->budget.close_s = longer ? seconds : run->budget.close_s;
    run->close_known = true;
}

// Wait for the checkpoint that is being written.
static enum od_status settle(struct run *run, struct od_error *err)
{
    double seconds = 0.0;
    const bool written = run->writer != NULL;
    const enum od_status status = od_checkpoint_settle(&run->writer, &seconds, err);
    if (written && status == OD_OK) {
        learn_close(run, seconds);
    }
    return status;
}

// Begin to save; on processors, whose next step changes what is saved, it is done at the end.
static enum od_status begin_save(struct run *run, struct od_error *err)
{
    const double start = od_clock_s();
    run->state.place = run->session.place;
    run->state.weight_hash = od_session_weight_hash(&run->session);
    run->state.elapsed_s = elapsed_s(run);
    enum od_status status = settle(run, err);
    if (status == OD_OK) {
        status = od_run_log_sync(&run->log, err);
    }
    if (status == OD_OK && run->session.gpu) {
        status = od_checkpoint_begin(&run->writer, &run->session, run->dir.checkpoints, &run->state,
                                     run->recipe.save_total_limit, protected_step(run), err);
    } else if (status == OD_OK) {
        status = od_checkpoint_write(&run->session, run->dir.checkpoints, &run->state,
                                     run->recipe.save_total_limit, protected_step(run), err);
        if (status == OD_OK) {
            learn_close(run, od_clock_s() - start);
        }
    }
    if (status == OD_OK) {
        run->last_saved = run->session.place.step;
    }
    return status;
}

static enum od_status save(struct run *run, struct od_error *err)
{
    const enum od_status status = begin_save(run, err);
    return status == OD_OK ? settle(run, err) : status;
}

// A step without a number: write down its batch, keep the weights that were good, say where both are.
static void keep_last_good(struct run *run, struct od_error *err)
{
    char name[64];
    char path[OD_PATH_MAX_BYTES];
    struct od_error why = {0};
    const int64_t good = run->session.place.step;
    (void)snprintf(name, sizeof name, "bad-batch-%lld.json", (long long)good + 1);
    if (od_path_join(path, run->options->run_dir, name, &why) != OD_OK ||
        od_bad_batch_write(&run->session, path, &why) != OD_OK ||
        (good > 0 && run->last_saved != good && save(run, &why) != OD_OK)) {
        od_log(OD_LOG_WARNING, "%s", why.message);
        return;
    }
    if (err) {
        why = *err;
        (void)snprintf(err->message, sizeof err->message,
                       "%.300s; its batch is in '%s', the last good weights are those of step %lld",
                       why.message, path, (long long)good);
    }
}

// One step and its line in the log.
static enum od_status step(struct run *run, struct od_step_report *report, struct od_error *err)
{
    struct od_session *session = &run->session;
    const double start = od_clock_s();
    const double energy = session->gpu ? od_cuda_energy_j(session->cuda) : -1.0;
    const enum od_status status = od_session_step(session, report, err);
    if (status != OD_OK && session->bad_last > session->bad_first) {
        keep_last_good(run, err);
    }
    if (status != OD_OK) {
        return status;
    }
    struct od_run_log_times times = {.seconds = od_clock_s() - start, .joules = -1.0};
    run->state.train_s += times.seconds;
    run->seconds_here += times.seconds;
    run->tokens_here += report->tokens;
    run->steps_here++;
    run->last_loss = report->loss;
    run->epoch = report->epoch;
    if (times.seconds > run->budget.step_s) {
        run->budget.step_s = times.seconds;
    }
    if (report->step == 1) {
        run->state.first_loss = report->loss;
    }
    if (energy >= 0.0) {
        times.joules = od_cuda_energy_j(session->cuda) - energy;
    }
    times.elapsed_s = elapsed_s(run);
    od_run_board_step(&run->board, session, report, &times);
    return od_run_log_step(&run->log, session, report, run->recipe.weight_hash_steps, &times, err);
}

// An evaluation, its line in the log, and whether it is the best so far.
static enum od_status evaluate(struct run *run, bool *ret_best, struct od_error *err)
{
    struct od_eval_report evaluation;
    struct od_checkpoint_state *state = &run->state;
    const double start = od_clock_s();
    enum od_status status = od_session_evaluate(&run->session, &evaluation, err);
    if (status != OD_OK) {
        return status;
    }
    const struct od_run_log_times times = {.seconds = od_clock_s() - start,
                                           .elapsed_s = elapsed_s(run)};
    if (times.seconds > run->budget.eval_s) {
        run->budget.eval_s = times.seconds;
    }
    const bool best = state->best_step < 0 || evaluation.loss < state->best_loss;
    state->eval_loss = evaluation.loss;
    state->worse = best ? 0 : state->worse + 1;
    if (best) {
        state->best_step = run->session.place.step;
        state->best_loss = evaluation.loss;
    }
    od_log(OD_LOG_INFO, "step %lld: evaluation loss %.4f%s", (long long)run->session.place.step,
           evaluation.loss, best ? ", the lowest so far" : "");
    *ret_best = best;
    od_run_board_evaluation(&run->board, run->session.place.step, &evaluation);
    return od_run_log_evaluation(&run->log, run->session.place.step, run->epoch, &evaluation,
                                 &times, err);
}

static bool is_due(int64_t step, int64_t every)
{
    return every > 0 && step % every == 0;
}

static bool stopped_early(const struct run *run)
{
    const int64_t patience = run->recipe.early_stopping_patience;
    return patience > 0 && run->state.worse >= patience;
}

// What follows a step: evaluation, then checkpoint, so that a checkpoint knows of its evaluation.
static enum od_status after_step(struct run *run, struct od_error *err)
{
    const int64_t at = run->session.place.step;
    const bool last = at == run->session.total_steps;
    const double as_steps =
        (double)run->session.validation_packs.count /
        (double)(run->recipe.micro_batch_size * run->recipe.gradient_accumulation_steps);
    bool best = false;
    if (run->eval_every > 0 && (last || is_due(at, run->eval_every))) {
        enum od_status status = OD_OK;
        if (od_budget_allows(&run->budget, od_moment_now(),
                             od_budget_eval_s(&run->budget, as_steps))) {
            status = evaluate(run, &best, err);
        } else {
            od_log(OD_LOG_WARNING, "step %lld: no time is left for an evaluation", (long long)at);
        }
        if (status != OD_OK) {
            return status;
        }
    }
    const bool keep_best = best && protected_step(run) == at;
    if (keep_best || is_due(at, run->save_every)) {
        return begin_save(run, err);
    }
    return run->writer && od_checkpoint_is_done(run->writer) ? settle(run, err) : OD_OK;
}

// Once, when the pace is known: will the schedule end in time?
static void project_end(const struct run *run)
{
    char limit[24];
    const double pace_s = run->seconds_here / (double)run->steps_here;
    const double left_s = run->budget.limit_s - elapsed_s(run) - run->budget.close_s;
    const int64_t at = run->session.place.step;
    const int64_t end = at + (int64_t)(left_s / pace_s);
    if (run->steps_here != PROJECTION_STEPS || !(run->budget.limit_s > 0.0) ||
        end >= run->session.total_steps) {
        return;
    }
    od_seconds_text(run->budget.limit_s, limit);
    od_log(OD_LOG_WARNING,
           "the time of %s ends at about step %lld of %lld: set max_steps so that the schedule "
           "ends with it",
           limit, (long long)end, (long long)run->session.total_steps);
}

static void watch_clock(struct run *run)
{
    if (!run->clock_told && od_budget_clock_was_set(&run->budget, od_moment_now())) {
        run->clock_told = true;
        od_log(OD_LOG_WARNING, "the clock was set: the larger of both times counts");
    }
}

// False when the run is over: all steps, no better evaluation, no time.
static bool goes_on(struct run *run)
{
    if (run->session.place.step >= run->session.total_steps || stopped_early(run)) {
        return false;
    }
    watch_clock(run);
    // What ran out of time once has none: else the seconds that were spared would be used up.
    return !run->state.out_of_time &&
           od_budget_allows(&run->budget, od_moment_now(), od_budget_step_s(&run->budget));
}

static enum od_status steps(struct run *run, struct od_error *err)
{
    struct od_progress progress;
    struct od_session *session = &run->session;
    enum od_status status = OD_OK;
    char note[96] = "";
    od_progress_start(&progress, "step", session->total_steps);
    progress.from = session->place.step;
    while (status == OD_OK && goes_on(run)) {
        struct od_step_report report;
        if (run->options->stop && *run->options->stop) {
            status = save(run, err);
            if (status != OD_OK) {
                return status;
            }
            return od_fail(err, OD_E_CANCELLED,
                           "stopped at step %lld of %lld, saved; go on with --resume",
                           (long long)session->place.step, (long long)session->total_steps);
        }
        status = step(run, &report, err);
        if (status != OD_OK) {
            return status;
        }
        project_end(run);
        status = after_step(run, err);
        (void)snprintf(note, sizeof note, "loss %.4f  %.0f tokens/s", report.loss,
                       (double)run->tokens_here / run->seconds_here);
        od_progress_show(&progress, report.step, note);
    }
    od_progress_end(&progress, session->place.step, note);
    return status;
}

static void tell_data(const struct run *run)
{
    for (size_t i = 0; i < run->recipe.dataset_count; i++) {
        const struct od_dataset_counts *c = &run->session.dataset.counts[i];
        od_log(OD_LOG_INFO, "data '%s': %lld row%s, %lld kept", run->recipe.datasets[i].path,
               (long long)c->rows, od_plural(c->rows), (long long)c->kept);
        if (c->too_long + c->empty + c->invalid_utf8 > 0) {
            od_log(OD_LOG_WARNING,
                   "'%s': %lld row%s longer than %lld tokens, %lld empty, %lld with invalid UTF-8",
                   run->recipe.datasets[i].path, (long long)c->too_long, od_plural(c->too_long),
                   (long long)run->recipe.sequence_len, (long long)c->empty,
                   (long long)c->invalid_utf8);
        }
    }
    if (run->session.validation.count > 0) {
        const int64_t count = run->session.validation.count;
        od_log(OD_LOG_INFO, "%lld document%s held out for evaluation", (long long)count,
               count == 1 ? " is" : "s are");
    }
    od_log(OD_LOG_INFO, "%lld document%s, %lld pack%s of %lld tokens (%.1f %% full), %lld step%s",
           (long long)run->session.dataset.count, od_plural(run->session.dataset.count),
           (long long)run->session.packs.count, od_plural(run->session.packs.count),
           (long long)run->recipe.sequence_len,
           100.0 * (double)run->session.packs.tokens /
               ((double)run->session.packs.count * (double)run->recipe.sequence_len),
           (long long)run->session.total_steps, od_plural(run->session.total_steps));
}

static enum od_status open_session(struct run *run, struct od_error *err)
{
    const struct od_tune_options *options = run->options;
    const struct od_recipe_budget *budget = &run->recipe.budget;
    struct od_session_options session_options = {.on_gpu = options->on_gpu,
                                                 .gpu = options->gpu,
                                                 .threads = options->threads,
                                                 .allow_vector = options->allow_vector,
                                                 .max_bytes = options->max_bytes};
    if (options->max_bytes == 0) {
        session_options.max_bytes = options->on_gpu ? budget->vram_bytes : budget->ram_bytes;
    }
    enum od_status status = od_session_open(&run->recipe, &session_options, &run->session, err);
    if (status == OD_E_UNSUPPORTED && options->on_gpu && options->gpu_optional) {
        od_log(OD_LOG_INFO, "on the CPU: %s", err ? err->message : "no GPU kernels for this model");
        session_options.on_gpu = false;
        session_options.max_bytes =
            options->max_bytes == 0 ? budget->ram_bytes : options->max_bytes;
        status = od_session_open(&run->recipe, &session_options, &run->session, err);
    }
    run->session_open = status == OD_OK;
    return status;
}

// Weights and moments of everything that is trained.
static uint64_t checkpoint_bytes(const struct od_session *session)
{
    uint64_t bytes = 0;
    for (int32_t i = 0; i < session->program.param_count; i++) {
        const struct od_tensor *t = &session->program.tensors[session->program.params[i].tensor];
        const uint64_t moments = session->program.params[i].m_scales < 0 ? 2 * sizeof(float) : 2;
        bytes += (sizeof(float) + moments) * (uint64_t)(t->rows * t->cols);
    }
    return bytes;
}

// What the run directory will hold: the checkpoints that are kept, one being written, the best one,
// and the export.
static enum od_status check_disk(const struct run *run, struct od_error *err)
{
    const uint64_t cap = run->recipe.budget.disk_bytes;
    const uint64_t one = checkpoint_bytes(&run->session);
    const uint64_t kept =
        (uint64_t)run->recipe.save_total_limit + 1 + (run->recipe.load_best_model_at_end ? 1 : 0);
    uint64_t exported = 0;
    (void)od_export_bytes(&run->session, &exported);
    const uint64_t need = one * kept + one / 3 + exported;
    char need_text[24];
    char cap_text[24];
    if (cap == 0 || need <= cap) {
        return OD_OK;
    }
    od_bytes_text((double)need, need_text);
    od_bytes_text((double)cap, cap_text);
    return od_fail(err, OD_E_REFUSED,
                   "the run directory would take %s and may take %s: lower save_total_limit%s",
                   need_text, cap_text, exported > 0 ? ", or export less" : "");
}

// Go on from the newest checkpoint when there is one. Inputs that differ are told by name.
static enum od_status restore(struct run *run, const struct od_buf *recipe,
                              const struct od_buf *lock, bool *ret_found, struct od_error *err)
{
    struct od_checkpoint_state restored = {0};
    bool found = false;
    enum od_status status = od_checkpoint_read(&run->session, run->dir.checkpoints,
                                               run->state.inputs, &restored, &found, err);
    if (status == OD_E_REFUSED && strcmp(restored.inputs, run->state.inputs) != 0) {
        const enum od_status why =
            od_lock_compare(run->options->run_dir, od_buf_text(lock), od_buf_text(recipe), err);
        return why == OD_OK ? status : why;
    }
    if (status == OD_OK && found) {
        run->state = restored;
        run->last_saved = restored.place.step;
        run->close_known = true;
        od_log(OD_LOG_INFO, "going on from step %lld", (long long)restored.place.step);
    }
    *ret_found = found;
    return status;
}

// Inputs written down, checkpoint restored, log opened.
static enum od_status open_files(struct run *run, bool *ret_resumed, struct od_error *err)
{
    struct od_buf recipe;
    struct od_buf lock;
    char path[OD_PATH_MAX_BYTES];
    struct od_run_log_past past = {0};
    enum od_status status;
    od_buf_init(&recipe, RECIPE_TEXT_MAX_BYTES);
    od_buf_init(&lock, LOCK_TEXT_MAX_BYTES);
    if ((status = od_recipe_write(&run->recipe, &recipe, err)) != OD_OK ||
        (status = od_lock_make(&run->session, od_buf_text(&recipe), &lock, run->state.inputs,
                               err)) != OD_OK ||
        (run->options->resume &&
         (status = restore(run, &recipe, &lock, ret_resumed, err)) != OD_OK) ||
        (status = write_inputs(run, &recipe, &lock, err)) != OD_OK ||
        (status = od_path_join(path, run->options->run_dir, "log.jsonl", err)) != OD_OK ||
        (status = od_run_log_open(&run->log, path, run->session.place.step, &past, err)) != OD_OK) {
        goto done;
    }
    run->budget.before_s =
        past.elapsed_s > run->state.elapsed_s ? past.elapsed_s : run->state.elapsed_s;
    run->last_loss = past.loss;
    if (run->options->tensorboard || run->recipe.use_tensorboard) {
        const int64_t next = run->options->resume ? run->session.place.step + 1 : 0;
        status = od_run_board_open(&run->board, run->options->run_dir, next, err);
    }

done:
    od_buf_release(&lock);
    od_buf_release(&recipe);
    return status;
}

static enum od_status begin(struct run *run, bool *ret_resumed, struct od_error *err)
{
    const struct od_tune_options *options = run->options;
    struct od_session *session = &run->session;
    char plan[24];
    enum od_status status;
    if ((status = od_run_dir_check(options->run_dir, options->resume, err)) != OD_OK ||
        (status = open_session(run, err)) != OD_OK ||
        (status = od_export_possible(session, err)) != OD_OK ||
        (status = check_disk(run, err)) != OD_OK ||
        (status = od_run_choose_algorithms(session, options->run_dir, options->resume, err)) !=
            OD_OK) {
        return status;
    }
    od_bytes_text((double)od_session_bytes(session), plan);
    od_log(OD_LOG_INFO, "model of %lld weights on %s; plan: %s, all of it taken now",
           (long long)od_spec_parameters(&session->spec),
           session->gpu ? od_cuda_info(session->cuda)->name : "the CPU", plan);
    tell_data(run);
    run->save_every =
        od_save_interval(&run->recipe, session->total_steps, session->steps_per_epoch);
    if (session->validation_packs.count > 0) {
        run->eval_every =
            od_eval_interval(&run->recipe, session->total_steps, session->steps_per_epoch);
    }
    run->budget.limit_s = run->recipe.budget.time_s;
    uint64_t exported = 0;
    run->export_s = (double)od_export_bytes(session, &exported) / WRITE_BYTES_PER_S;
    run->budget.close_s =
        2.0 * (double)checkpoint_bytes(session) / WRITE_BYTES_PER_S + run->export_s;
    status = od_run_dir_open(&run->dir, options->run_dir, options->resume, err);
    return status == OD_OK ? open_files(run, ret_resumed, err) : status;
}

static enum od_status export_weights(struct run *run, char ret_folder[OD_PATH_MAX_BYTES],
                                     struct od_error *err)
{
    const struct od_tune_options *options = run->options;
    const enum od_status status = od_export(&run->session, options->run_dir, ret_folder, err);
    if (status != OD_OK || !options->after_export) {
        return status;
    }
    const double limit_s = run->budget.limit_s;
    const double left_s = limit_s > 0.0 ? limit_s - elapsed_s(run) : HUGE_VAL;
    return options->after_export(options->context, &run->session, options->run_dir, left_s, err);
}

// The last checkpoint, and the export of the best weights or the last ones.
static enum od_status finish(struct run *run, struct od_tune_result *result, struct od_error *err)
{
    struct od_session *session = &run->session;
    const struct od_checkpoint_state *state = &run->state;
    const int64_t at = session->place.step;
    const bool out_of_time = at < session->total_steps && !stopped_early(run);
    const bool known = run->last_saved == at && state->out_of_time == out_of_time;
    run->state.out_of_time = out_of_time;
    enum od_status status = known ? settle(run, err) : save(run, err);
    result->weight_hash = state->weight_hash;
    result->exported_step = at;
    if (status == OD_OK && run->recipe.load_best_model_at_end && state->best_step >= 0 &&
        state->best_step != at) {
        status = od_checkpoint_weights(session, run->dir.checkpoints, state->best_step, err);
        result->weight_hash = od_session_weight_hash(session);
        result->exported_step = state->best_step;
    }
    return status == OD_OK ? export_weights(run, result->export_dir, err) : status;
}

enum od_status od_tune_run(const struct od_tune_options *options, struct od_tune_result *ret,
                           struct od_error *err)
{
    struct run run = {.options = options,
                      .log = {.fd = -1},
                      .board = {.file = {.fd = -1}},
                      .dir = {.busy_fd = -1},
                      .last_saved = -1,
                      .state = {.best_step = -1},
                      .budget = {.begin = od_moment_now()}};
    struct od_tune_result result = {0};
    enum od_status status = od_recipe_read(options->recipe_path, &run.recipe, err);
    if (status != OD_OK) {
        return status;
    }
    for (size_t i = 0; i < run.recipe.note_count; i++) {
        od_log(OD_LOG_INFO, "recipe: %s", run.recipe.notes[i]);
    }
    if ((status = begin(&run, &result.resumed, err)) != OD_OK ||
        (status = steps(&run, err)) != OD_OK || (status = finish(&run, &result, err)) != OD_OK) {
        goto done;
    }
    result.end = run.state.out_of_time ? OD_TUNE_END_TIME
                 : stopped_early(&run) ? OD_TUNE_END_EARLY
                                       : OD_TUNE_END_STEPS;
    result.steps = run.session.place.step;
    result.total_steps = run.session.total_steps;
    result.first_loss = run.state.first_loss;
    result.last_loss = run.last_loss;
    result.best_step = run.state.best_step;
    result.best_loss = run.state.best_loss;
    result.eval_loss = run.state.eval_loss;
    result.train_s = run.state.train_s;
    result.elapsed_s = elapsed_s(&run);
    result.tokens_per_s =
        run.state.train_s > 0.0 ? (double)run.session.place.tokens / run.state.train_s : 0.0;
    result.plan_bytes = od_session_bytes(&run.session);
    *ret = result;

done:
    if (run.writer) {  // the run failed; what is being written is good
        const enum od_status written = settle(&run, NULL);
        (void)written;
    }
    od_run_board_close(&run.board);
    od_run_log_close(&run.log);
    if (run.session_open) {
        od_session_close(&run.session);
    }
    od_run_dir_close(&run.dir);
    od_recipe_release(&run.recipe);
    return status;
}
