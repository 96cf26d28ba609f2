// Weights as a quantised base holds them: encoded and decoded again.

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "base/threads.h"
#include "formats/e4m3.h"
#include "formats/nf4.h"
#include "model/program.h"
#include "model/weights.h"
#include "ops/op.h"

// Codes with a scale for each row.
static void decode_rows(const struct od_part *part, const uint8_t *codes, const uint8_t *scales,
                        float *to)
{
    for (int64_t row = 0; row < part->rows; row++) {
        float scale;
        memcpy(&scale, scales + row * (int64_t)sizeof scale, sizeof scale);
        if (part->quant == OD_QUANT_E4M3) {
            od_e4m3_decode_row(codes + row * part->cols, scale, part->cols, to + row * part->cols);
            continue;
        }
        for (int64_t i = row * part->cols; i < (row + 1) * part->cols; i++) {
            int8_t code;
            memcpy(&code, codes + i, 1);
            to[i] = (float)code * scale;
        }
    }
}

static enum od_status round_part(struct od_pool *pool, const struct od_part *part, float *values,
                                 struct od_error *err)
{
    const int64_t count = part->rows * part->cols;
    if (part->quant == OD_QUANT_NF4 && count % OD_NF4_BLOCK != 0) {
        return od_fail(err, OD_E_UNSUPPORTED,
                       "'%s' is no multiple of %d values: it has no 4-bit form", part->name,
                       (int)OD_NF4_BLOCK);
    }
    uint8_t *codes = od_alloc(od_quant_code_bytes(part), 1);
    uint8_t *scales = od_alloc(od_quant_scale_bytes(part), 1);
    enum od_status status =
        codes && scales ? OD_OK
                        : od_fail(err, OD_E_MEMORY, "no memory to quantise '%s'", part->name);
    if (status == OD_OK) {
        status = od_quant_encode(pool, part, values, codes, scales, err);
    }
    if (status == OD_OK && part->quant != OD_QUANT_NF4) {
        decode_rows(part, codes, scales, values);
    } else if (status == OD_OK) {
        od_nf4_decode(codes, scales, count, 0, count, values);
    }
    od_free(scales);
    od_free(codes);
    return status;
}

enum od_status od_weights_round(struct od_pool *pool, const struct od_program *program,
                                enum od_quant quant, float *const *tensors, struct od_error *err)
{
    enum od_status status = OD_OK;
    for (int32_t i = 0; i < program->weight_count && status == OD_OK; i++) {
        struct od_part part = program->weights[i];
        // The linear layers of the blocks; the embedding and the head stay as they are.
        if (part.rank == 2 && (strstr(part.name, ".layers.") || strstr(part.name, ".h."))) {
            part.quant = quant;
            status = round_part(pool, &part, tensors[part.tensor] + part.row * part.cols, err);
        }
    }
    return status;
}
