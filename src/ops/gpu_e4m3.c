// Weights of eight-bit floats on a GPU: what is rounded before a product, and what lies where.

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "device/cuda/cuda.h"
#include "ops/gpu.h"
#include "ops/gpu_internal.h"
#include "ops/op.h"

enum { TILE = 64, CAPABILITY_MIN = 89 };

enum od_status od_gpu_check_e4m3(const struct od_gpu *gpu, struct od_error *err)
{
    const struct od_cuda_info *info = od_cuda_info(gpu->cuda);
    bool needed = false;
    for (int32_t i = 0; i < gpu->op_count; i++) {
        needed = needed || gpu->ops[i].quant == OD_QUANT_E4M3;
    }
    if (needed && info->capability < CAPABILITY_MIN) {
        return od_fail(err, OD_E_REFUSED,
                       "fp8 needs compute capability 8.9 or newer; %s has %d.%d: leave 'fp8' out",
                       info->name, info->capability / 10, info->capability % 10);
    }
    // What was compiled by way of an older architecture has empty kernels.
    if (needed && od_cuda_kernel_ptx(gpu->cuda, gpu->kernel[OD_GPU_ROUND_E4M3]) < CAPABILITY_MIN) {
        return od_fail(err, OD_E_REFUSED,
                       "fp8 needs machine code for this GPU, and the program runs from its PTX "
                       "form: leave 'fp8' out");
    }
    return OD_OK;
}

int64_t od_gpu_ones(const struct od_op *op)
{
    const bool has_dx = op->kind == OD_OP_LINEAR_BWD && op->slot[OD_SLOT_DX] >= 0;
    return has_dx && op->quant == OD_QUANT_E4M3 ? op->k : 0;
}

struct od_gpu_rounded od_gpu_round_e4m3(struct od_gpu *gpu, const struct od_op *op)
{
    const bool backward = op->kind == OD_OP_LINEAR_BWD;
    struct od_gpu_tensor x = od_gpu_slot_tensor(gpu, op, backward ? OD_SLOT_DY : OD_SLOT_X);
    int64_t cols = backward ? op->n : op->k;
    od_dev factor = backward ? od_gpu_slot_tensor(gpu, op, OD_SLOT_SCALES).at : 0;
    struct od_gpu_rounded to = {.codes = od_gpu_slot_tensor(gpu, op, OD_SLOT_ROUNDED).at};
    to.scales = to.codes + (uint64_t)(gpu->tokens * cols);
    void *args[] = {&to.codes, &to.scales, &x.at, &x.stride, &factor, &cols};
    assert(cols % 16 == 0 && x.stride % 8 == 0);
    od_gpu_launch(gpu, OD_GPU_ROUND_E4M3, (unsigned)gpu->tokens, 1, args);
    od_gpu_mark(gpu, OD_GPU_PART_DECODE);
    return to;
}

void od_gpu_transpose_e4m3(struct od_gpu *gpu, const struct od_op *op)
{
    od_dev to = od_gpu_slot_tensor(gpu, op, OD_SLOT_W).at;
    od_dev from = od_gpu_slot_tensor(gpu, op, OD_SLOT_CODES).at;
    int64_t rows = op->n;
    int64_t cols = op->k;
    void *args[] = {&to, &from, &rows, &cols};
    assert(rows % 16 == 0 && cols % 16 == 0);
    od_gpu_launch(gpu, OD_GPU_TRANSPOSE_CODES, od_gpu_blocks(cols, TILE), od_gpu_blocks(rows, TILE),
                  args);
    od_gpu_mark(gpu, OD_GPU_PART_DECODE);
}
