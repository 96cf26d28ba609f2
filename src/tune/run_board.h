/**
 * @file
 * The curves of a run for TensorBoard, in RUN/tensorboard/: beside log.jsonl, which has the same
 * numbers and more.
 *
 *     train/loss train/learning_rate train/grad_norm train/epoch train/tokens_per_second
 *     train/gpu_watts train/gpu_bytes     on a GPU
 *     eval/loss                           with an evaluation
 *
 * The run does not depend on it: when a record cannot be written, a warning says so once and the run
 * goes on without.
 *
 * @thread One owner.
 */
#ifndef OD_TUNE_RUN_BOARD_H
#define OD_TUNE_RUN_BOARD_H

#include <stdint.h>

#include "base/status.h"
#include "formats/tensorboard.h"
#include "tune/run_log.h"
#include "tune/session.h"

/** Initialise with `{.file = {.fd = -1}}`: closed, all calls do nothing. */
struct od_run_board {
    struct od_tensorboard file;
};

/** Start a file behind those of earlier processes. `step` above 0: the run goes on with that step.
 *  @error OD_E_IO, OD_E_LIMIT. */
enum od_status od_run_board_open(struct od_run_board *board, const char *run_dir, int64_t step,
                                 struct od_error *err) OD_MUST_CHECK;
void od_run_board_close(struct od_run_board *board);
void od_run_board_step(struct od_run_board *board, const struct od_session *session,
                       const struct od_step_report *report, const struct od_run_log_times *times);
void od_run_board_evaluation(struct od_run_board *board, int64_t step,
                             const struct od_eval_report *evaluation);

#endif
