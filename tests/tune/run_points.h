/**
 * @file
 * A run that is ended at a point, by a kill or by a fault, and what must hold then: its folder has no
 * broken file, and the run that goes on from it ends with the bits, the log and the export of one that
 * was never ended.
 *
 * Every run of the model is in a child, which leaves a GPU to nobody else.
 *
 * @thread One owner.
 */
#ifndef OD_TESTS_TUNE_RUN_POINTS_H
#define OD_TESTS_TUNE_RUN_POINTS_H

#include <jansson.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/random.h"
#include "base/status.h"
#include "flow/export_check.h"
#include "formats/json.h"
#include "support.h"
#include "tune/recipe.h"
#include "tune/run.h"
#include "tune/run_world.h"

enum { POINT_KILLS_MAX = 3, POINT_FILE_MAX_BYTES = 1 << 24 };

// What is trained: dropout, noise, evaluations and a best checkpoint have a state of their own.
static const char point_recipe[] =
    "val_set_size: 8\neval_steps: 3\nload_best_model_at_end: true\n"
    "neftune_noise_alpha: 2\nlora_dropout: 0.1\n"
    "export: [merged, gguf-q8_0, adapter-gguf]\n";

enum { POINT_EXPORTS = 3 };
/** Folders of its exports. */
static const char *const point_exports[POINT_EXPORTS] = {"adapter", "export", "export/merged"};

/** What every point is measured with. */
struct point_world {
    const char *folder;
    bool on_gpu;
    char *log;            ///< of the run that was never ended, without timings
    uint64_t operations;  ///< writes, fsyncs, renames and removals of it
    uint64_t allocations;
    int64_t length_us;
};

/** How a run in a child is to end. */
struct point_end {
    int64_t kill_us;           ///< SIGKILL after this time; 0: not
    uint64_t kill_operation;   ///< SIGKILL at this write, fsync, rename or removal; 0: not
    uint64_t fail_operation;   ///< it fails
    uint64_t fail_allocation;  ///< it fails
};

/** What a child tells. */
struct point_answer {
    enum od_status status;
    uint64_t operations;
    uint64_t allocations;
    char message[256];
};

static inline void point_child(const struct point_world *world, const char *name, bool resume,
                               const struct point_end *end, int pipe_end)
{
    struct od_tune_result result;
    struct od_error err = {0};
    struct od_export_check_context check = {.options = {.threads = 1}};
    char recipe[OD_PATH_MAX_BYTES];
    char run[OD_PATH_MAX_BYTES];
    world_join(recipe, world->folder, "recipe.yaml");
    world_join(run, world->folder, name);
    const struct od_tune_options options = {.recipe_path = recipe,
                                            .run_dir = run,
                                            .resume = resume,
                                            .on_gpu = world->on_gpu,
                                            .threads = 1,
                                            .allow_vector = true,
                                            .after_export = od_export_check_hook,
                                            .context = &check};
    struct point_answer answer = {.operations = od_file_operation_count(),
                                  .allocations = od_alloc_count()};
    od_file_kill_at(end->kill_operation);
    if (end->fail_operation > 0) {
        od_file_fail_at(end->fail_operation);
    }
    od_alloc_fail_at(end->fail_allocation);
    answer.status = od_tune_run(&options, &result, &err);
    if (answer.status == OD_OK && check.check.result != OD_EXPORT_SAME) {
        answer.status = OD_E_REFUSED;
        (void)snprintf(err.message, sizeof err.message, "the export differs: %.200s",
                       check.check.why);
    }
    for (int i = 0; i < OD_RECIPE_EXPORTS && answer.status == OD_OK; i++) {
        if ((check.exports & (1u << i)) != 0 && check.other[i].result != OD_EXPORT_SAME) {
            answer.status = OD_E_REFUSED;
            (void)snprintf(err.message, sizeof err.message, "export %d differs: %.200s", i,
                           check.other[i].why);
        }
    }
    answer.operations = od_file_operation_count() - answer.operations;
    answer.allocations = od_alloc_count() - answer.allocations;
    (void)snprintf(answer.message, sizeof answer.message, "%s", err.message);
    _exit(write(pipe_end, &answer, sizeof answer) == (ssize_t)sizeof answer ? 0 : 1);
}

// Run in a child. False when it was killed, as asked; else *ret is what it told.
static inline bool point_run(const struct point_world *world, const char *name, bool resume,
                             const struct point_end *end, struct point_answer *ret)
{
    int ends[2];
    int status = 0;
    assert_int_equal(pipe(ends), 0);
    (void)fflush(NULL);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        point_child(world, name, resume, end, ends[1]);
    }
    (void)close(ends[1]);
    if (end->kill_us > 0) {
        const struct timespec pause = {.tv_sec = end->kill_us / 1000000,
                                       .tv_nsec = (long)(end->kill_us % 1000000) * 1000};
        (void)nanosleep(&pause, NULL);
        (void)kill(child, SIGKILL);
    }
    const bool told = read(ends[0], ret, sizeof *ret) == (ssize_t)sizeof *ret;
    (void)close(ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFSIGNALED(status)) {
        assert_int_equal(WTERMSIG(status), SIGKILL);
        assert_true(end->kill_us > 0 || end->kill_operation > 0);
        return false;
    }
    assert_true(told && WEXITSTATUS(status) == 0);
    return true;
}

static inline void point_run_whole(const struct point_world *world, const char *name, bool resume,
                                   struct point_answer *ret)
{
    static const struct point_end nothing = {0};
    assert_true(point_run(world, name, resume, &nothing, ret));
    if (ret->status != OD_OK) {
        fail_msg("status %d: %s", (int)ret->status, ret->message);
    }
}

static inline char *point_read(const char *folder, const char *name, size_t *ret_size)
{
    char path[OD_PATH_MAX_BYTES];
    char *bytes = NULL;
    struct od_error err = {0};
    world_join(path, folder, name);
    assert_ok(od_file_read(path, POINT_FILE_MAX_BYTES, &bytes, ret_size, &err), &err);
    return bytes;
}

static inline void point_world_make(struct point_world *world, bool on_gpu)
{
    char run[OD_PATH_MAX_BYTES];
    char export[OD_PATH_MAX_BYTES];
    struct point_answer answer;
    struct od_error err = {0};
    *world = (struct point_world){.on_gpu = on_gpu};
    world->folder =
        world_make_of(on_gpu ? world_gpu_config_text : world_config_text, world_lora, point_recipe);
    const double start = od_clock_s();
    point_run_whole(world, "whole", false, &answer);
    world->length_us = (int64_t)((od_clock_s() - start) * 1e6) + 1000;
    world->operations = answer.operations;
    world->allocations = answer.allocations;
    world->log = world_log_of(world->folder, "whole");
    world_join(run, world->folder, "whole");
    for (int i = 0; i < POINT_EXPORTS; i++) {
        char **names = NULL;
        size_t count = 0;
        world_join(export, run, point_exports[i]);
        assert_ok(od_dir_list(export, &names, &count, &err), &err);
        assert_true(count > 2);  // config, weights, tokenizer; three exports
        od_names_free(names, count);
    }
}

static inline void point_world_release(struct point_world *world)
{
    od_free(world->log);
}

static inline void point_check_json(const char *folder, const char *name)
{
    char path[OD_PATH_MAX_BYTES];
    json_t *json = NULL;
    struct od_error err = {0};
    world_join(path, folder, name);
    if (od_path_exists(path)) {
        assert_ok(od_json_read(path, &json, &err), &err);
        json_decref(json);
    }
}

// Each line is one of the whole run's; at the end there may be a part of one.
static inline void point_check_log(const char *run)
{
    char path[OD_PATH_MAX_BYTES];
    size_t size = 0;
    json_int_t last = 0;
    world_join(path, run, "log.jsonl");
    if (!od_path_exists(path)) {
        return;
    }
    char *text = point_read(run, "log.jsonl", &size);
    for (size_t at = 0; at < size;) {
        json_t *line = NULL;
        struct od_error err = {0};
        const size_t length = strcspn(text + at, "\n");
        if (at + length == size) {
            break;
        }
        assert_ok(od_json_parse(text + at, length, "log.jsonl", &line, &err), &err);
        const json_int_t step = json_integer_value(json_object_get(line, "step"));
        assert_true(step == last + 1 || (step == last && json_object_get(line, "eval_loss")));
        last = step;
        json_decref(line);
        at += length + 1;
    }
    od_free(text);
}

// Every checkpoint that has its name is what its manifest says.
static inline void point_check_checkpoints(const char *run)
{
    char folder[OD_PATH_MAX_BYTES];
    char **names = NULL;
    size_t count = 0;
    struct od_error err = {0};
    world_join(folder, run, "checkpoints");
    if (!od_path_is_dir(folder)) {
        return;
    }
    assert_ok(od_dir_list(folder, &names, &count, &err), &err);
    for (size_t i = 0; i < count; i++) {
        char checkpoint[OD_PATH_MAX_BYTES];
        char path[OD_PATH_MAX_BYTES];
        json_t *manifest = NULL;
        const char *file;
        json_t *want;
        if (strstr(names[i], ".tmp")) {
            continue;
        }
        world_join(checkpoint, folder, names[i]);
        world_join(path, checkpoint, "manifest.json");
        assert_ok(od_json_read(path, &manifest, &err), &err);
        json_t *files = json_object_get(manifest, "files");
        assert_true(json_object_size(files) > 2);
        json_object_foreach(files, file, want)
        {
            char digest[OD_SHA256_HEX_BYTES];
            world_join(path, checkpoint, file);
            assert_ok(od_sha256_file(path, digest, &err), &err);
            assert_string_equal(digest, json_string_value(want));
        }
        json_decref(manifest);
    }
    od_names_free(names, count);
}

// An export that has its name is all of the whole run's. Which weights it holds depends on where the run
// was ended only if it was ended after it was done: they are the same.
static inline void point_check_folder(const struct point_world *world, const char *run,
                                      const char *name)
{
    char whole[OD_PATH_MAX_BYTES];
    char want_folder[OD_PATH_MAX_BYTES];
    char folder[OD_PATH_MAX_BYTES];
    char **names = NULL;
    size_t count = 0;
    struct od_error err = {0};
    world_join(folder, run, name);
    if (!od_path_exists(folder)) {
        return;
    }
    world_join(whole, world->folder, "whole");
    world_join(want_folder, whole, name);
    assert_ok(od_dir_list(want_folder, &names, &count, &err), &err);
    for (size_t i = 0; i < count; i++) {
        char path[OD_PATH_MAX_BYTES];
        size_t want_size = 0;
        size_t size = 0;
        world_join(path, want_folder, names[i]);
        if (od_path_is_dir(path)) {
            continue;
        }
        char *want = point_read(want_folder, names[i], &want_size);
        char *bytes = point_read(folder, names[i], &size);
        if (size != want_size || memcmp(bytes, want, size) != 0) {
            fail_msg("'%s/%s' differs", name, names[i]);
        }
        od_free(bytes);
        od_free(want);
    }
    od_names_free(names, count);
}

static inline void point_check_export(const struct point_world *world, const char *run)
{
    for (int i = 0; i < POINT_EXPORTS; i++) {
        point_check_folder(world, run, point_exports[i]);
    }
}

// What holds at any moment of a run.
static inline void point_check_sound(const struct point_world *world, const char *name)
{
    char run[OD_PATH_MAX_BYTES];
    world_join(run, world->folder, name);
    point_check_json(run, "lock.json");
    point_check_json(run, "plan.json");
    point_check_json(run, "device.json");
    point_check_json(run, "export_check.json");
    point_check_log(run);
    point_check_checkpoints(run);
    point_check_export(world, run);
}

// The run goes on to its end, which is that of the whole run, and leaves nothing else in its folder.
static inline void point_check_end(const struct point_world *world, const char *name)
{
    char run[OD_PATH_MAX_BYTES];
    char folder[OD_PATH_MAX_BYTES];
    char **names = NULL;
    size_t count = 0;
    struct point_answer answer;
    struct od_error err = {0};
    point_run_whole(world, name, true, &answer);
    char *log = world_log_of(world->folder, name);
    assert_string_equal(log, world->log);
    od_free(log);
    world_join(run, world->folder, name);
    for (int i = 0; i < POINT_EXPORTS; i++) {
        world_join(folder, run, point_exports[i]);
        assert_true(od_path_is_dir(folder));
    }
    point_check_sound(world, name);
    assert_ok(od_dir_list(run, &names, &count, &err), &err);
    for (size_t i = 0; i < count; i++) {
        if (strstr(names[i], ".tmp")) {
            fail_msg("'%s' is left over", names[i]);
        }
    }
    od_names_free(names, count);
    assert_ok(od_dir_remove(run, &err), &err);
}

static inline uint32_t point_draw(int point, int number)
{
    return od_philox_draw(test_seed(), 21, (uint32_t)number, (uint64_t)point).word[0];
}

// One to three kills after random times, each on what the last one left; then to the end.
static inline void points_of_time(const struct point_world *world, int points)
{
    int killed = 0;
    for (int point = 0; point < points; point++) {
        const int kills = 1 + (int)(point_draw(point, 0) % POINT_KILLS_MAX);
        for (int k = 0; k < kills; k++) {
            struct point_answer answer;
            const struct point_end end = {
                .kill_us =
                    1 + (int64_t)(point_draw(point, k + 1) % (uint32_t)world->length_us) / (k + 1)};
            killed += point_run(world, "killed", true, &end, &answer) ? 0 : 1;
            point_check_sound(world, "killed");
        }
        point_check_end(world, "killed");
    }
    print_message("%d kills at %d random times\n", killed, points);
    assert_true(killed >= points / 2);
}

// A kill at every `stride`-th write, fsync, rename or removal, the run's last one first: that of its export.
static inline void points_of_operations(const struct point_world *world, uint64_t stride)
{
    int killed = 0;
    for (uint64_t n = world->operations; n > 0; n -= n < stride ? n : stride) {
        struct point_answer answer;
        const struct point_end end = {.kill_operation = n};
        assert_false(point_run(world, "killed", false, &end, &answer));
        point_check_sound(world, "killed");
        point_check_end(world, "killed");
        killed++;
    }
    print_message("%d kills at %d operations\n", killed, (int)world->operations);
}

// A run that is done is opened again and exports again: a kill at every operation of that.
static inline void points_of_export(const struct point_world *world)
{
    struct point_answer answer;
    bool killed = true;
    uint64_t n = 0;
    point_run_whole(world, "done", false, &answer);
    while (killed) {
        const struct point_end end = {.kill_operation = ++n};
        killed = !point_run(world, "done", true, &end, &answer);
        point_check_sound(world, "done");
    }
    assert_int_equal(answer.status, OD_OK);
    assert_true(n > 10);
    print_message("%d kills at the operations of a second export\n", (int)n - 1);
    point_check_end(world, "done");
}

// Every `stride`-th write, fsync, rename or removal finds a full disk.
static inline void points_of_full_disk(const struct point_world *world, uint64_t stride)
{
    int failed = 0;
    for (uint64_t n = world->operations; n > 0; n -= n < stride ? n : stride) {
        struct point_answer answer;
        const struct point_end end = {.fail_operation = n};
        assert_true(point_run(world, "full", false, &end, &answer));
        assert_int_equal(answer.status, OD_E_IO);
        assert_non_null(strstr(answer.message, "No space left on device"));
        point_check_sound(world, "full");
        point_check_end(world, "full");
        failed++;
    }
    print_message("%d faults at %d operations\n", failed, (int)world->operations);
}

// Every `stride`-th allocation is refused, others in each run of the test. What a run can do without, it goes on without.
static inline void points_of_memory(const struct point_world *world, uint64_t stride)
{
    int failed = 0;
    int ended = 0;
    for (uint64_t n = world->allocations - test_seed() % stride; n > 0;
         n -= n < stride ? n : stride) {
        struct point_answer answer;
        const struct point_end end = {.fail_allocation = n};
        assert_true(point_run(world, "small", false, &end, &answer));
        if (answer.status != OD_OK && answer.status != OD_E_MEMORY) {
            fail_msg("allocation %d: status %d: %s", (int)n, (int)answer.status, answer.message);
        }
        ended += answer.status == OD_OK ? 0 : 1;
        point_check_sound(world, "small");
        point_check_end(world, "small");
        failed++;
    }
    print_message("%d of %d allocations refused, %d runs ended by it\n", failed,
                  (int)world->allocations, ended);
    assert_true(ended * 2 > failed);
}

#endif
