#include "tune/run_algorithms.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/status.h"
#include "device/cuda/matmul.h"
#include "ops/gpu.h"
#include "tune/device_file.h"
#include "tune/session.h"

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

enum od_status od_run_choose_algorithms(struct od_session *session, const char *run_dir,
                                        bool resume, struct od_error *err)
{
    char own[OD_PATH_MAX_BYTES];
    char cache[OD_PATH_MAX_BYTES];
    bool same = false;
    struct od_error why = {0};
    if (!session->gpu) {
        return OD_OK;
    }
    enum od_status status = od_path_join(own, run_dir, "device.json", err);
    if (status != OD_OK) {
        return status;
    }
    if (resume && od_path_exists(own)) {
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
