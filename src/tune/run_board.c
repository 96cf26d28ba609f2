#include "tune/run_board.h"

#include <stddef.h>
#include <stdint.h>

#include "base/file.h"
#include "base/log.h"
#include "base/status.h"
#include "formats/tensorboard.h"
#include "tune/budget.h"
#include "tune/run_log.h"
#include "tune/session.h"

enum od_status od_run_board_open(struct od_run_board *board, const char *run_dir, int64_t step,
                                 struct od_error *err)
{
    char folder[OD_PATH_MAX_BYTES];
    const enum od_status status = od_path_join(folder, run_dir, "tensorboard", err);
    return status == OD_OK
               ? od_tensorboard_open(folder, od_moment_now().wall_s, step, &board->file, err)
               : status;
}

void od_run_board_close(struct od_run_board *board)
{
    od_tensorboard_close(&board->file);
}

static void put(struct od_run_board *board, int64_t step,
                const struct od_tensorboard_scalar *scalars, size_t count)
{
    struct od_error err = {0};
    if (board->file.fd < 0) {
        return;
    }
    const enum od_status status =
        od_tensorboard_write(&board->file, od_moment_now().wall_s, step, scalars, count, &err);
    if (status != OD_OK) {
        od_log(OD_LOG_WARNING, "TensorBoard gets nothing more: %s", err.message);
        od_run_board_close(board);
    }
}

void od_run_board_step(struct od_run_board *board, const struct od_session *session,
                       const struct od_step_report *report, const struct od_run_log_times *times)
{
    struct od_tensorboard_scalar scalars[7] = {
        {"train/loss", (float)report->loss},
        {"train/learning_rate", (float)report->lr},
        {"train/grad_norm", (float)report->grad_norm},
        {"train/epoch", (float)report->epoch},
        {"train/tokens_per_second", (float)((double)report->tokens / times->seconds)},
    };
    size_t count = 5;
    if (times->joules >= 0.0) {
        scalars[count].tag = "train/gpu_watts";
        scalars[count++].value = (float)(times->joules / times->seconds);
    }
    if (session->gpu) {
        scalars[count].tag = "train/gpu_bytes";
        scalars[count++].value = (float)od_session_driver_bytes(session);
    }
    put(board, report->step, scalars, count);
}

void od_run_board_evaluation(struct od_run_board *board, int64_t step,
                             const struct od_eval_report *evaluation)
{
    const struct od_tensorboard_scalar loss = {"eval/loss", (float)evaluation->loss};
    put(board, step, &loss, 1);
}
