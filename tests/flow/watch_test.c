// Goal: the live page shows what log.jsonl says now, whatever became of the file in between; it says
// when the run will end; being looked at changes no bit of a run.
// Method: logs that grow by random pieces, are cut, replaced and broken, against a log read whole; known
// paces; a client on real sockets; the same tiny run with and without clients.

#include "flow/watch.h"

#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/random.h"
#include "base/status.h"
#include "flow/live_log.h"
#include "flow/report_log.h"
#include "flow/watch_page.h"
#include "net/wire.h"
#include "support.h"
#include "tune/run.h"
#include "tune/run_world.h"

enum { LOG_MAX_BYTES = 1 << 22, ROUNDS = 50, STEPS = 60, LINE_BYTES = 80 };
static const double WAIT_S = 60.0;

static const char *in(const char *folder, const char *name)
{
    static char path[4][OD_PATH_MAX_BYTES];
    static int next;
    next = (next + 1) % 4;
    assert_int_equal(od_path_join(path[next], folder, name, NULL), OD_OK);
    return path[next];
}

static void put(const char *path, const char *text, size_t size)
{
    struct od_error err = {0};
    assert_ok(od_file_write(path, text, size, &err), &err);
}

static void add(const char *path, const char *text, size_t size)
{
    FILE *file = fopen(path, "ab");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static void put_text(const char *path, const char *text)
{
    put(path, text, strlen(text));
}

static void add_text(const char *path, const char *text)
{
    add(path, text, strlen(text));
}

// A log of `steps` steps of two seconds, half a kilobyte of tokens each; an evaluation every 10.
static void put_log(struct od_buf *out, int steps)
{
    od_buf_init(out, LOG_MAX_BYTES);
    for (int i = 1; i <= steps; i++) {
        od_buf_printf(out,
                      "{\"step\": %d, \"epoch\": %.3f, \"loss\": %.3f, \"lr\": 0.0002, "
                      "\"tokens\": 512, \"t\": {\"step_s\": 1.0, \"tokens_per_s\": 512.0, "
                      "\"elapsed_s\": %d.0}}\n",
                      i, i / 40.0, 1.0 + 1.0 / i, 100 + 2 * i);
        if (i % 10 == 0) {
            od_buf_printf(out, "{\"step\": %d, \"eval_loss\": %.3f, \"t\": {}}\n", i, 2.0 / i);
        }
    }
}

static void assert_same_log(const struct od_report_log *a, const struct od_report_log *b)
{
    assert_int_equal(a->count, b->count);
    assert_int_equal(a->evaluation_count, b->evaluation_count);
    assert_int_equal(a->bad_lines, b->bad_lines);
    for (size_t i = 0; i < a->count; i++) {
        assert_memory_equal(&a->steps[i].step, &b->steps[i].step, sizeof(double));
        assert_memory_equal(&a->steps[i].loss, &b->steps[i].loss, sizeof(double));
    }
    if (a->evaluation_count > 0) {
        assert_memory_equal(a->evaluations, b->evaluations,
                            a->evaluation_count * sizeof a->evaluations[0]);
    }
}

static void grown_by_pieces(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_mt19937 random;
    struct od_buf text;
    const uint64_t seed = test_seed();
    const char *path = in(test_folder(), "log.jsonl");
    put_log(&text, STEPS);
    od_mt_seed_python_int(&random, seed);
    for (int round = 0; round < ROUNDS; round++) {
        struct od_live_log live;
        (void)unlink(path);
        assert_ok(od_live_log_init(&live, path, &err), &err);
        assert_ok(od_live_log_update(&live, &err), &err);
        assert_false(live.exists);
        for (size_t at = 0; at < text.size;) {
            struct od_report_log whole = {0};
            const size_t left = text.size - at;
            const size_t size = 1 + (size_t)(od_py_random(&random) * 900.0);
            add(path, text.bytes + at, size < left ? size : left);
            at += size < left ? size : left;
            assert_ok(od_live_log_update(&live, &err), &err);
            // Whole lines only: what a reader of the whole file would see up to the last newline.
            size_t lines = at;
            while (lines > 0 && text.bytes[lines - 1] != '\n') {
                lines--;
            }
            assert_ok(od_report_log_parse(text.bytes, lines, &whole, &err), &err);
            assert_same_log(&live.log, &whole);
            od_report_log_release(&whole);
        }
        assert_true(live.exists && live.log.count == STEPS && live.changed_s > 1e9);
        od_live_log_release(&live);
    }
    od_buf_release(&text);
}

static void cut_and_replaced(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_buf text;
    struct od_live_log live;
    const char *path = in(test_folder(), "log.jsonl");
    put_log(&text, STEPS);
    put(path, text.bytes, text.size);
    assert_ok(od_live_log_init(&live, path, &err), &err);
    assert_ok(od_live_log_update(&live, &err), &err);
    assert_int_equal(live.log.count, STEPS);
    // What --resume does: the log cut back to a step, as a new file, then longer than before.
    put(path, text.bytes, (size_t)(strchr(text.bytes, '\n') - text.bytes) + 1);
    assert_ok(od_live_log_update(&live, &err), &err);
    assert_int_equal(live.log.count, 1);
    assert_int_equal(live.log.evaluation_count, 0);
    put(path, text.bytes, text.size);
    assert_ok(od_live_log_update(&live, &err), &err);
    assert_int_equal(live.log.count, STEPS);
    // Replaced by a longer one with another beginning.
    const char *first = "{\"step\": 1, \"loss\": 77}\n";
    struct od_buf other;
    struct od_buf again;
    od_buf_init(&other, LOG_MAX_BYTES);
    od_buf_puts(&other, first);
    od_buf_append(&other, strchr(text.bytes, '\n') + 1,
                  text.size - (size_t)(strchr(text.bytes, '\n') + 1 - text.bytes));
    od_buf_printf(&other, "{\"step\": %d, \"loss\": 1}\n%*s", STEPS + 1, 1000, "");
    put(path, other.bytes, other.size);
    assert_ok(od_live_log_update(&live, &err), &err);
    assert_int_equal(live.log.count, STEPS + 1);
    assert_true(live.log.steps[0].loss == 77.0);
    // What was read is not read again: a change in place goes unseen.
    const int fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0 && pwrite(fd, "{\"step\": 1, \"loss\": 88}", 24, 0) == 24);
    assert_int_equal(close(fd), 0);
    add_text(path, "\n{\"step\": 100, \"loss\": 1}\n");
    assert_ok(od_live_log_update(&live, &err), &err);
    assert_int_equal(live.log.count, STEPS + 2);
    assert_true(live.log.steps[0].loss == 77.0);
    // The same file by its number, longer than before, and yet another one.
    assert_int_equal(truncate(path, 0), 0);
    put_log(&again, 2 * STEPS);
    add(path, again.bytes, again.size);
    assert_ok(od_live_log_update(&live, &err), &err);
    assert_int_equal(live.log.count, 2 * STEPS);
    assert_true(live.log.steps[0].loss == 2.0);
    od_buf_release(&again);
    od_buf_release(&other);
    assert_int_equal(truncate(path, 0), 0);
    assert_ok(od_live_log_update(&live, &err), &err);
    assert_int_equal(live.log.count, 0);
    assert_int_equal(unlink(path), 0);
    assert_ok(od_live_log_update(&live, &err), &err);
    assert_false(live.exists);
    od_live_log_release(&live);
    od_buf_release(&text);
}

static void broken_lines(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_live_log live;
    struct od_buf text;
    const char *path = in(test_folder(), "log.jsonl");
    od_buf_init(&text, 8 << 20);
    od_buf_puts(&text, "{\"step\": 1, \"loss\": 1}\nnonsense\n\n{\"step\": 2, \"loss\": 1}\n");
    // A line that is too long costs that line, wherever the pieces end.
    for (int i = 0; i < 5 * OD_LIVE_LINE_MAX_BYTES / 2; i++) {
        od_buf_putc(&text, 'x');
    }
    put(path, text.bytes, text.size);
    assert_ok(od_live_log_init(&live, path, &err), &err);
    assert_ok(od_live_log_update(&live, &err), &err);
    assert_int_equal(live.log.count, 2);
    assert_int_equal(live.log.bad_lines, 2);
    add_text(path, "xx\n{\"step\": 3, \"loss\": 1}\n");
    assert_ok(od_live_log_update(&live, &err), &err);
    assert_int_equal(live.log.count, 3);
    assert_int_equal(live.log.bad_lines, 2);
    od_live_log_release(&live);
    od_buf_release(&text);
    assert_int_equal(od_live_log_init(&live, "/tmp", &err), OD_OK);
    assert_int_equal(od_live_log_update(&live, &err), OD_E_IO);
    od_live_log_release(&live);
}

static void says_when_it_ends(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_report_log log = {0};
    struct od_buf text;
    put_log(&text, STEPS);
    assert_ok(od_report_log_parse(text.bytes, text.size, &log, &err), &err);
    // Two seconds from step to step, of which the step itself is one.
    struct od_watch_length length = {.max_steps = 100, .epochs = 1.0};
    struct od_watch_progress progress = od_watch_progress(&log, &length);
    assert_int_equal(progress.step, STEPS);
    assert_int_equal(progress.total, 100);
    assert_false(progress.total_is_about);
    assert_true(fabs(progress.left_s - 80.0) < 1e-9);
    assert_true(progress.elapsed_s == 220.0);
    // 40 steps an epoch.
    length = (struct od_watch_length){.epochs = 2.5};
    progress = od_watch_progress(&log, &length);
    assert_int_equal(progress.total, 100);
    assert_true(progress.total_is_about);
    // The budget is over before the steps are.
    length = (struct od_watch_length){.max_steps = 100, .budget_s = 250.0};
    assert_true(fabs(od_watch_progress(&log, &length).left_s - 30.0) < 1e-9);
    length.budget_s = 200.0;
    assert_true(od_watch_progress(&log, &length).left_s == 0.0);
    length = (struct od_watch_length){.max_steps = 0};
    assert_true(isnan(od_watch_progress(&log, &length).left_s));
    od_report_log_release(&log);
    log = (struct od_report_log){0};
    length.max_steps = 100;
    progress = od_watch_progress(&log, &length);
    assert_true(progress.step == 0 && progress.total == 100 && isnan(progress.left_s));
    od_buf_release(&text);
}

static bool part_has(const struct od_live_log *live, const struct od_watch_length *length,
                     double now_s, const char *words)
{
    struct od_error err = {0};
    struct od_buf part;
    od_buf_init(&part, 8 << 20);
    assert_ok(od_watch_put_live(&part, live, length, now_s, &err), &err);
    const bool has = strstr(od_buf_text(&part), words) != NULL;
    od_buf_release(&part);
    return has;
}

// An end is told as long as the run is heard of; a run that is done has none.
static void silence(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_live_log live = {.exists = true, .changed_s = 1e9};
    struct od_watch_length length = {.max_steps = 100};
    struct od_buf text;
    put_log(&text, STEPS);
    assert_ok(od_report_log_parse(text.bytes, text.size, &live.log, &err), &err);
    assert_true(part_has(&live, &length, 1e9, "in 1 min 20 s"));
    assert_true(part_has(&live, &length, 1e9 + 20.0, "in 1 min 00 s"));
    assert_false(part_has(&live, &length, 1e9 + 20.0, "Silent"));
    assert_true(part_has(&live, &length, 1e9 + 90.0, "<dt>Silent for</dt><dd>1 min 30 s<small>"));
    assert_false(part_has(&live, &length, 1e9 + 90.0, "Ends at"));
    length.max_steps = STEPS;
    assert_false(part_has(&live, &length, 1e9 + 90.0, "Silent"));
    assert_false(part_has(&live, &length, 1e9, "Ends at"));
    assert_true(part_has(&live, &length, 1e9, "class=\"done\"><dt>Last step at</dt>"));
    length.max_steps = STEPS + 1;
    assert_false(part_has(&live, &length, 1e9, "class=\"done\""));
    od_report_log_release(&live.log);
    od_buf_release(&text);
}

// One answer on a connection of its own.
static int ask(int port, const char *method, const char *path, struct od_buf *body)
{
    struct wire wire;
    assert_true(wire_open(&wire, port));
    struct wire_answer answer = wire_ask(&wire, method, path, NULL);
    const int code = answer.code;
    if (body) {
        od_buf_init(body, 8 << 20);
        od_buf_append(body, answer.body, answer.body_size);
    }
    wire_answer_release(&answer);
    wire_close(&wire);
    return code;
}

static bool shows(int port, const char *path, const char *words)
{
    struct od_buf body;
    assert_int_equal(ask(port, "GET", path, &body), 200);
    const bool found = strstr(od_buf_text(&body), words) != NULL;
    od_buf_release(&body);
    return found;
}

// What the page will show: it answers from what it has for half a second.
static void shows_soon(int port, const char *path, const char *words)
{
    const double start_s = od_clock_s();
    while (!shows(port, path, words)) {
        if (od_clock_s() - start_s > WAIT_S) {
            fail_msg("%s does not show '%s'", path, words);
        }
    }
}

// Who asks again at once gets what was made already: looking is never more than a twentieth of the work.
static void made_once(int port, const char *log)
{
    char line[LINE_BYTES];
    char words[LINE_BYTES];
    bool seen = false;
    const double begin_s = od_clock_s();
    for (int step = 1000; !seen; step += 2) {
        double start_s = 0.0;
        (void)snprintf(line, sizeof line, "{\"step\": %d, \"loss\": 1}\n", step);
        (void)snprintf(words, sizeof words, "Loss over steps 1 to %d.", step);
        add_text(log, line);
        do {
            start_s = od_clock_s();
        } while (!shows(port, "/live", words));  // made in this look, or the last would have had it
        (void)snprintf(line, sizeof line, "{\"step\": %d, \"loss\": 1}\n", step + 1);
        add_text(log, line);
        const bool old = shows(port, "/live", words);
        seen = od_clock_s() - start_s < 0.5;  // else the machine was too busy to tell
        assert_true(old || !seen);
        assert_true(od_clock_s() - begin_s < WAIT_S);
    }
}

static void answers(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_buf text;
    struct od_watch *watch = NULL;
    struct od_watch *second = NULL;
    char run_dir[OD_PATH_MAX_BYTES];
    (void)snprintf(run_dir, sizeof run_dir, "%.4000s/<b>run", test_folder());
    struct od_watch_options options = {.run_dir = run_dir, .host = "127.0.0.1", .port = 0};
    assert_ok(od_watch_open(&options, &watch, &err), &err);
    const int port = od_watch_port(watch);
    assert_true(shows(port, "/", "No step was logged yet"));
    assert_false(shows(port, "/", "<b>run"));
    assert_true(shows(port, "/", "&lt;b&gt;run"));

    assert_ok(od_dir_make(run_dir, &err), &err);
    put_text(in(run_dir, "recipe.yaml"),
             "base_model: m\nmax_steps: 100\ndatasets:\n  - path: a.jsonl\n    type: alpaca\n");
    put_log(&text, STEPS);
    put(in(run_dir, "log.jsonl"), text.bytes, text.size);
    shows_soon(port, "/live", "<dt>Step</dt><dd>60<small>of 100</small>");
    assert_true(shows(port, "/live", "<dt>Evaluation loss</dt><dd>0.0330<small>lowest 0.0330 at"));
    assert_true(shows(port, "/live", "<dt>Tokens per second</dt><dd>512</dd>"));
    assert_true(shows(port, "/live", "<progress max=\"100\" value=\"60\""));
    assert_true(shows(port, "/", "<svg") && shows(port, "/", "</html>"));
    assert_false(shows(port, "/live", "</html>"));
    add_text(in(run_dir, "log.jsonl"), "{\"step\": 61, \"loss\": 0.75, \"t\": {\"step_s\": 1}}\n");
    shows_soon(port, "/live", "<dd>61<small>");
    add_text(in(run_dir, "log.jsonl"), "{\"step\": 62, \"loss\": 0.75, \"t\": {\"step_s\": 1}}\n");
    shows_soon(port, "/live", "<dd>62<small>");
    assert_true(shows(port, "/", "<dt>Loss</dt><dd>0.7500</dd>"));

    made_once(port, in(run_dir, "log.jsonl"));
    assert_int_equal(ask(port, "HEAD", "/", NULL), 200);
    assert_int_equal(ask(port, "POST", "/", NULL), 405);
    assert_int_equal(ask(port, "GET", "/log.jsonl", NULL), 404);
    assert_int_equal(ask(port, "GET", "/../recipe.yaml", NULL), 404);

    options.port = port;
    assert_int_equal(od_watch_open(&options, &second, &err), OD_E_IO);
    assert_null(second);
    od_watch_close(watch);
    struct wire wire;
    assert_false(wire_open(&wire, port));
    wire_close(&wire);
    od_watch_close(NULL);
    od_buf_release(&text);
}

/** Somebody who looks all the time. */
struct looker {
    int port;
    atomic_bool enough;
    atomic_int answers;
};

static void *look(void *context)
{
    struct looker *looker = context;
    while (!atomic_load(&looker->enough)) {
        struct wire wire;
        if (wire_open(&wire, looker->port)) {
            struct wire_answer answer = wire_ask(&wire, "GET", "/live", NULL);
            atomic_fetch_add(&looker->answers, answer.code == 200 ? 1 : 0);
            wire_answer_release(&answer);
        }
        wire_close(&wire);
    }
    return NULL;
}

static void changes_nothing(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_tune_result alone;
    struct od_tune_result watched;
    struct od_watch *watch = NULL;
    pthread_t thread;
    const char *world = world_make(world_lora, "val_set_size: 5\neval_steps: 4\n");
    assert_ok(world_run(world, "alone", false, 2, true, &alone, &err), &err);
    const struct od_watch_options options = {
        .run_dir = in(world, "watched"), .host = "127.0.0.1", .port = 0};
    assert_ok(od_watch_open(&options, &watch, &err), &err);
    struct looker looker = {.port = od_watch_port(watch)};
    assert_int_equal(pthread_create(&thread, NULL, look, &looker), 0);
    assert_ok(world_run(world, "watched", false, 2, true, &watched, &err), &err);
    shows_soon(looker.port, "/live", "<dd>12<small>of 12</small>");
    atomic_store(&looker.enough, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    od_watch_close(watch);
    assert_true(atomic_load(&looker.answers) > 0);
    assert_true(alone.weight_hash == watched.weight_hash);
    char *a = world_log_of(world, "alone");
    char *b = world_log_of(world, "watched");
    assert_string_equal(a, b);
    od_free(a);
    od_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grown_by_pieces), cmocka_unit_test(cut_and_replaced),
        cmocka_unit_test(broken_lines),    cmocka_unit_test(says_when_it_ends),
        cmocka_unit_test(silence),         cmocka_unit_test(answers),
        cmocka_unit_test(changes_nothing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
