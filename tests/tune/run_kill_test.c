// Goal: a run that is killed at any moment, while it trains, evaluates, writes a checkpoint or exports,
// and killed again while it goes on, ends with the same bits, the same log and the same export.
// Method: children whose timer kills them after a random time of up to the length of a whole run, 200
// times; a failing seed is printed.

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/random.h"
#include "base/status.h"
#include "support.h"
#include "tune/run.h"
#include "tune/run_world.h"

enum { POINTS = 200, KILLS_MAX = 3 };

static const char more[] =
    "val_set_size: 8\neval_steps: 3\nload_best_model_at_end: true\n"
    "neftune_noise_alpha: 2\nlora_dropout: 0.1\n";

static uint32_t draw(int point, int number)
{
    return od_philox_draw(test_seed(), 21, (uint32_t)number, (uint64_t)point).word[0];
}

// Run in a child that the alarm ends after so many microseconds, without a word. True when it did.
static bool run_until(const char *world, const char *name, int64_t us)
{
    const pid_t child = fork();
    int status = 0;
    assert_true(child >= 0);
    if (child == 0) {
        struct od_tune_result result;
        const struct itimerval timer = {
            .it_value = {.tv_sec = us / 1000000, .tv_usec = us % 1000000}};
        (void)setitimer(ITIMER_REAL, &timer, NULL);
        _exit(world_run(world, name, true, 1, true, &result, NULL) == OD_OK ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFEXITED(status)) {
        assert_int_equal(WEXITSTATUS(status), 0);
        return false;
    }
    assert_int_equal(WTERMSIG(status), SIGALRM);
    return true;
}

static char *adapter_of(const char *world, const char *name, size_t *ret_size)
{
    char path[OD_PATH_MAX_BYTES];
    char file[OD_PATH_MAX_BYTES];
    char *bytes = NULL;
    struct od_error err = {0};
    world_join(path, world, name);
    world_join(file, path, "adapter/adapter_model.safetensors");
    assert_ok(od_file_read(file, 1 << 24, &bytes, ret_size, &err), &err);
    return bytes;
}

static void killed_anywhere(void **state)
{
    (void)state;
    struct od_tune_result want;
    struct od_error err = {0};
    size_t want_size = 0;
    int killed = 0;
    const char *world = world_make(world_lora, more);
    const double start = od_clock_s();
    assert_ok(world_run(world, "whole", false, 1, true, &want, &err), &err);
    const int64_t length_us = (int64_t)((od_clock_s() - start) * 1e6) + 1000;
    char *want_log = world_log_of(world, "whole");
    char *want_adapter = adapter_of(world, "whole", &want_size);
    for (int point = 0; point < POINTS; point++) {
        struct od_tune_result result;
        char dir[OD_PATH_MAX_BYTES];
        size_t size = 0;
        const int kills = 1 + (int)(draw(point, 0) % KILLS_MAX);
        for (int k = 0; k < kills; k++) {
            const int64_t us = 1 + (int64_t)(draw(point, k + 1) % (uint32_t)length_us);
            killed += run_until(world, "killed", us);
        }
        assert_ok(world_run(world, "killed", true, 1, true, &result, &err), &err);
        char *log = world_log_of(world, "killed");
        char *adapter = adapter_of(world, "killed", &size);
        if (result.weight_hash != want.weight_hash || strcmp(log, want_log) != 0 ||
            size != want_size || memcmp(adapter, want_adapter, size) != 0) {
            fail_msg("OD_SEED=%llu: point %d", (unsigned long long)test_seed(), point);
        }
        od_free(adapter);
        od_free(log);
        world_join(dir, world, "killed");
        assert_int_equal(od_dir_remove(dir, NULL), OD_OK);
    }
    print_message("%d kills at %d points\n", killed, POINTS);
    assert_true(killed >= POINTS);
    od_free(want_adapter);
    od_free(want_log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(killed_anywhere)};
    return cmocka_run_group_tests_name("tune/run_kill", tests, NULL, NULL);
}
