/**
 * @file
 * The run directory: could it be written, who works on it, what a killed process left in it.
 *
 * @thread One owner.
 */
#ifndef OD_TUNE_RUN_DIR_H
#define OD_TUNE_RUN_DIR_H

#include <stdbool.h>

#include "base/file.h"
#include "base/status.h"

/** A run directory that this process holds; initialise with `{.busy_fd = -1}`. */
struct od_run_dir {
    char checkpoints[OD_PATH_MAX_BYTES];
    int busy_fd;  ///< private: process.lock
};

/** Before anything is loaded: OD_E_IO when `run_dir` could not be written, OD_E_REFUSED when a new run
 *  finds one there. */
enum od_status od_run_dir_check(const char *run_dir, bool resume,
                                struct od_error *err) OD_MUST_CHECK;
/**
 * Make the folder where it is absent, hold it for this process, and remove what a killed process left
 * half-written. A new run wants a folder without one.
 * @error OD_E_REFUSED when another process holds it, or a new run finds one there. Close in any case.
 */
enum od_status od_run_dir_open(struct od_run_dir *dir, const char *run_dir, bool resume,
                               struct od_error *err) OD_MUST_CHECK;
void od_run_dir_close(struct od_run_dir *dir);

#endif
