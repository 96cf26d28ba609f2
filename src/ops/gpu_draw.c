#include "ops/gpu_draw.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "device/cuda/cuda.h"

enum { THREADS = 256, PER_BLOCK = 2 * THREADS };

struct od_gpu_draw {
    struct od_cuda *cuda;
    struct od_cuda_kernel *kernel;
    od_dev device;
    void *host;  // pinned
    int64_t count_max;
};

enum od_status od_gpu_draw_open(int gpu, int64_t count_max, struct od_gpu_draw **ret,
                                struct od_error *err)
{
    struct od_gpu_draw *draw = od_alloc(1, sizeof *draw);
    const size_t bytes = (size_t)count_max * sizeof(float);
    enum od_status status;
    if (!draw) {
        return od_fail(err, OD_E_MEMORY, "no memory to draw weights");
    }
    *draw = (struct od_gpu_draw){.count_max = count_max};
    if ((status = od_cuda_open(gpu, &draw->cuda, err)) != OD_OK ||
        (status = od_cuda_kernel(draw->cuda, "od_draw_normal", &draw->kernel, err)) != OD_OK ||
        (status = od_cuda_alloc(draw->cuda, bytes, &draw->device, err)) != OD_OK ||
        (status = od_cuda_host_alloc(draw->cuda, bytes, &draw->host, err)) != OD_OK) {
        od_gpu_draw_close(draw);
        return status;
    }
    *ret = draw;
    return OD_OK;
}

void od_gpu_draw_close(struct od_gpu_draw *draw)
{
    if (!draw) {
        return;
    }
    if (draw->cuda) {
        od_cuda_host_free(draw->cuda, draw->host);
        od_cuda_free(draw->cuda, draw->device);
        od_cuda_close(draw->cuda);
    }
    od_free(draw);
}

enum od_status od_gpu_draw(struct od_gpu_draw *draw, const struct od_gpu_draw_range *range,
                           float *to, struct od_error *err)
{
    struct od_gpu_draw_range r = *range;
    const size_t bytes = (size_t)r.count * sizeof *to;
    assert(r.first % 2 == 0 && r.count <= draw->count_max);
    void *args[] = {&draw->device, &r.first, &r.count, &r.seed, &r.stream, &r.step, &r.deviation};
    od_cuda_launch(draw->cuda, draw->kernel,
                   (struct od_cuda_grid){.x = (unsigned)((r.count + PER_BLOCK - 1) / PER_BLOCK),
                                         .threads = THREADS},
                   args);
    od_cuda_download(draw->cuda, draw->host, draw->device, bytes);
    const enum od_status status = od_cuda_sync(draw->cuda, err);
    if (status == OD_OK) {
        memcpy(to, draw->host, bytes);
    }
    return status;
}
