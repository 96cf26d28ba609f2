#include "tune/run_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/status.h"

// A new run wants a folder without one.
static enum od_status check_new(const char *run_dir, bool resume, struct od_error *err)
{
    char path[OD_PATH_MAX_BYTES];
    const enum od_status status = od_path_join(path, run_dir, "recipe.yaml", err);
    if (status == OD_OK && !resume && od_path_exists(path)) {
        return od_fail(err, OD_E_REFUSED,
                       "'%s' holds a run already: go on with --resume, or choose another folder "
                       "with -o",
                       run_dir);
    }
    return status;
}

enum od_status od_run_dir_check(const char *run_dir, bool resume, struct od_error *err)
{
    char path[OD_PATH_MAX_BYTES];
    (void)snprintf(path, sizeof path, "%s", run_dir);
    while (!od_path_exists(path)) {
        char *slash = strrchr(path, '/');
        if (!slash) {
            (void)snprintf(path, sizeof path, ".");
            break;
        }
        slash[slash == path] = '\0';
    }
    if (!od_path_is_dir(path)) {
        return od_fail(err, OD_E_IO, "cannot write the run to '%s': '%s' is no folder", run_dir,
                       path);
    }
    if (access(path, W_OK | X_OK) != 0) {
        return od_fail(err, OD_E_IO, "cannot write the run to '%s': '%s': %s", run_dir, path,
                       strerror(errno));
    }
    return check_new(run_dir, resume, err);
}

// One process at a time: the kernel takes the lock back when the process ends, however it ends.
static enum od_status take(struct od_run_dir *dir, const char *run_dir, struct od_error *err)
{
    char path[OD_PATH_MAX_BYTES];
    char text[32] = "";
    const enum od_status status = od_path_join(path, run_dir, "process.lock", err);
    if (status != OD_OK) {
        return status;
    }
    dir->busy_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (dir->busy_fd < 0) {
        return od_fail(err, OD_E_IO, "cannot write '%s': %s", path, strerror(errno));
    }
    if (flock(dir->busy_fd, LOCK_EX | LOCK_NB) != 0) {
        const ssize_t size = read(dir->busy_fd, text, sizeof text - 1);
        text[size > 0 ? size : 0] = '\0';
        return od_fail(err, OD_E_REFUSED, "process %ld works on the run in '%s'",
                       strtol(text, NULL, 10), run_dir);
    }
    // Only for the message above, so a failure to write it is none.
    const int length = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    if (ftruncate(dir->busy_fd, 0) != 0 || write(dir->busy_fd, text, (size_t)length) != length) {
        od_log(OD_LOG_DEBUG, "'%s' does not name this process", path);
    }
    return OD_OK;
}

// Names under which a killed process may have left something half-written, with .tmp behind them.
static bool is_left_over(const char *name)
{
    static const char *const written[] = {"recipe.yaml", "device.json",       "plan.json",
                                          "lock.json",   "log.jsonl",         "adapter",
                                          "model",       "export_check.json", "export"};
    for (size_t i = 0; i < sizeof written / sizeof written[0]; i++) {
        const size_t length = strlen(written[i]);
        if (strncmp(name, written[i], length) == 0 && strncmp(name + length, ".tmp", 4) == 0) {
            return true;
        }
    }
    return strncmp(name, "step-", 5) == 0 && strstr(name, ".tmp") != NULL;
}

static enum od_status sweep(const char *folder, struct od_error *err)
{
    char path[OD_PATH_MAX_BYTES];
    char **names = NULL;
    size_t count = 0;
    enum od_status status = od_dir_list(folder, &names, &count, err);
    for (size_t i = 0; status == OD_OK && i < count; i++) {
        if (is_left_over(names[i]) &&
            (status = od_path_join(path, folder, names[i], err)) == OD_OK) {
            status = od_dir_remove(path, err);
        }
    }
    od_names_free(names, count);
    return status;
}

enum od_status od_run_dir_open(struct od_run_dir *dir, const char *run_dir, bool resume,
                               struct od_error *err)
{
    enum od_status status = od_path_join(dir->checkpoints, run_dir, "checkpoints", err);
    if (status != OD_OK || (status = od_dir_make(dir->checkpoints, err)) != OD_OK ||
        (status = take(dir, run_dir, err)) != OD_OK) {
        return status;
    }
    if ((status = check_new(run_dir, resume, err)) == OD_OK) {
        status = sweep(run_dir, err);
    }
    return status == OD_OK ? sweep(dir->checkpoints, err) : status;
}

void od_run_dir_close(struct od_run_dir *dir)
{
    if (dir->busy_fd >= 0) {
        (void)close(dir->busy_fd);
    }
    dir->busy_fd = -1;
}
