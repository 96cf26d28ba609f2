#include "plan/gpu_sink.h"

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "base/threads.h"
#include "formats/dtype.h"
#include "model/program.h"
#include "model/weights.h"
#include "ops/gpu.h"

static void *piece_buffer(void *context, struct od_error *err)
{
    struct od_gpu *gpu = context;
    return od_gpu_piece_buffer(gpu, err);
}

static void put_piece(void *context, const struct od_part *part, enum od_dtype dtype, int64_t first,
                      int64_t count)
{
    struct od_gpu *gpu = context;
    const struct od_gpu_piece piece = {
        .tensor = part->tensor,
        .row = part->row,
        .cols = part->cols,
        .first = first,
        .count = count,
        .type = dtype == OD_DTYPE_F32 ? 0 : (dtype == OD_DTYPE_F16 ? 1 : 2)};
    od_gpu_put(gpu, &piece);
}

static enum od_status put_codes(void *context, const struct od_part *part, const uint8_t *codes,
                                const uint8_t *scales, struct od_error *err)
{
    struct od_gpu *gpu = context;
    const size_t bytes = od_quant_code_bytes(part);
    const uint64_t row_bytes = bytes / (uint64_t)part->rows;
    const enum od_status status =
        od_gpu_write_bytes(gpu, part->tensor, (uint64_t)part->row * row_bytes, codes, bytes, err);
    return status == OD_OK ? od_gpu_write_bytes(gpu, part->scales, (uint64_t)part->scales_at,
                                                scales, od_quant_scale_bytes(part), err)
                           : status;
}

static enum od_status finish_part(void *context, uint64_t *ret_bad, struct od_error *err)
{
    struct od_gpu *gpu = context;
    return od_gpu_put_finish(gpu, ret_bad, err);
}

struct od_weight_sink od_gpu_sink(struct od_gpu *gpu, struct od_pool *pool)
{
    return (struct od_weight_sink){.context = gpu,
                                   .piece_bytes = OD_GPU_PIECE_BYTES,
                                   .buffer = piece_buffer,
                                   .put = put_piece,
                                   .put_codes = put_codes,
                                   .pool = pool,
                                   .finish = finish_part};
}
