// Adapters beside the base weights, chosen by row; formulas in lora_cuda.h. And an adapter merged into
// them:
//
//     w[i][c] = round(w[i][c] + scale * sum_j b[i][j] * a[j][c])       in double, rounded to fp32 first

#include "ops/gpu.cuh"
#include "ops/linear/lora_cuda.h"

// xa = s X A^T. Grid: rows, parts. A warp takes every eighth row of A.
OD_KERNEL od_lora_inputs(const struct od_lora_call call)
{
    od_follow();
    const int32_t adapter = ((const int32_t *)call.adapter)[blockIdx.x];
    const int lane = (int)threadIdx.x & 31;
    if (adapter < 0) {
        return;
    }
    const struct od_lora_entry *entry =
        (const struct od_lora_entry *)call.entries + adapter * OD_ADAPTER_PARTS_MAX + blockIdx.y;
    const od_bf16 *x = (const od_bf16 *)call.x + (int64_t)blockIdx.x * call.ldx;
    float *xa = (float *)call.xa +
                ((int64_t)blockIdx.x * OD_ADAPTER_PARTS_MAX + blockIdx.y) * call.rank_max;
    for (int32_t j = (int32_t)threadIdx.x / 32; j < entry->rank; j += OD_GPU_THREADS / 32) {
        const od_bf16 *a = (const od_bf16 *)entry->a + j * entry->lda;
        float sum = 0.0f;
        int64_t c = lane * 8;
        for (; c + 8 <= call.k; c += 32 * 8) {
            float u[8];
            float v[8];
            od_load8(u, x + c);
            od_load8(v, a + c);
#pragma unroll
            for (int i = 0; i < 8; i++) {
                sum = __fmaf_rn(u[i], v[i], sum);
            }
        }
        for (; c < call.k; c++) {  // of one lane at most
            sum = __fmaf_rn(od_f32(x[c]), od_f32(a[c]), sum);
        }
#pragma unroll
        for (int offset = 16; offset > 0; offset >>= 1) {
            sum += __shfl_xor_sync(0xFFFFFFFFu, sum, offset);
        }
        if (lane == 0) {
            xa[j] = sum * entry->scale;
        }
    }
}

// Y += xa B^T. Grid: rows, parts, columns / OD_LORA_SPAN.
OD_KERNEL od_lora_outputs(const struct od_lora_call call)
{
    od_follow();
    const int32_t adapter = ((const int32_t *)call.adapter)[blockIdx.x];
    const int64_t n = (int64_t)blockIdx.z * OD_LORA_SPAN + threadIdx.x;
    if (adapter < 0) {
        return;
    }
    const struct od_lora_entry *entry =
        (const struct od_lora_entry *)call.entries + adapter * OD_ADAPTER_PARTS_MAX + blockIdx.y;
    if (entry->rank == 0 || n >= entry->rows) {
        return;
    }
    const float *xa = (const float *)call.xa +
                      ((int64_t)blockIdx.x * OD_ADAPTER_PARTS_MAX + blockIdx.y) * call.rank_max;
    const od_bf16 *b = (const od_bf16 *)entry->b + n * entry->rank;
    od_bf16 *y = (od_bf16 *)call.y + (int64_t)blockIdx.x * call.ldy + entry->row + n;
    float sum = 0.0f;
    for (int32_t j = 0; j < entry->rank; j++) {
        sum = __fmaf_rn(xa[j], od_f32(b[j]), sum);
    }
    *y = od_round(od_f32(*y) + sum);
}

// Rows [0, rows) of w; a [r, k] and b [rows, r] fp32. Grid: rows, columns / 256.
OD_KERNEL od_lora_merge(od_bf16 *w, int64_t ldw, const float *a, const float *b, int64_t k,
                        int64_t r, double scale)
{
    const int64_t c = (int64_t)blockIdx.y * OD_GPU_THREADS + threadIdx.x;
    if (c >= k) {
        return;
    }
    double sum = 0.0;
    for (int64_t j = 0; j < r; j++) {
        sum += (double)b[(int64_t)blockIdx.x * r + j] * (double)a[j * k + c];
    }
    od_bf16 *at = w + (int64_t)blockIdx.x * ldw + c;
    *at = od_round((float)((double)od_f32(*at) + scale * sum));
}
