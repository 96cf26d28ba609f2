// Rows of the embedding and of learned positions, and their gradients.
//
//     y[t] = w[ids[t]];    dw[id] += sum over the rows t of that id, in order, of dy[t]
//     y[t] += w[positions[t]]; its gradient is od_embed_bwd's, by position
//     xa[t] = a[ids[t]], of the adapter; the gradient of a is od_embed_bwd's, with the rank as columns
//
// The host sorts the rows by id (by position), so that one block owns one row of dw.

#include "ops/gpu.cuh"

OD_KERNEL od_embed(od_bf16 *y, int64_t ldy, const od_bf16 *w, int64_t ldw, const int32_t *ids,
                   int64_t cols)
{
    od_follow();
    const od_bf16 *from = w + (int64_t)ids[blockIdx.x] * ldw;
    od_bf16 *to = y + (int64_t)blockIdx.x * ldy;
    if (od_aligned(w, ldw) && od_aligned(y, ldy) && (cols & 7) == 0) {
        for (int64_t c = threadIdx.x * 8; c < cols; c += OD_GPU_THREADS * 8) {
            *(uint4 *)(to + c) = *(const uint4 *)(from + c);
        }
    } else {
        for (int64_t c = threadIdx.x; c < cols; c += OD_GPU_THREADS) {
            to[c] = from[c];
        }
    }
}

// y[t] += u * bounds[t], u uniform in [-1, 1): embed_noise.h's, of pass *pass. Multiplied and added
// one after the other, as there.
OD_KERNEL od_embed_noise(od_bf16 *y, int64_t ldy, const float *bounds, int64_t cols, uint64_t seed,
                         uint32_t stream, const uint32_t *pass)
{
    const uint64_t groups = (uint64_t)(cols + 3) / 4u;
    const float bound = bounds[blockIdx.x];
    od_bf16 *to = y + (int64_t)blockIdx.x * ldy;
    for (int64_t c = threadIdx.x * 4; c < cols; c += OD_GPU_THREADS * 4) {
        const uint4 words =
            od_philox_draw(seed, stream, *pass, blockIdx.x * groups + (uint64_t)c / 4u);
        const uint32_t word[4] = {words.x, words.y, words.z, words.w};
#pragma unroll
        for (int i = 0; i < 4; i++) {
            if (c + i < cols) {
                const float u = (float)(word[i] >> 8) * 0x1p-23f - 1.0f;  // both steps are exact
                to[c + i] = od_round(__fadd_rn(od_f32(to[c + i]), __fmul_rn(u, bound)));
            }
        }
    }
}

OD_KERNEL od_positions(od_bf16 *y, int64_t ldy, const od_bf16 *w, int64_t ldw,
                       const int32_t *positions, int64_t cols)
{
    od_follow();
    const od_bf16 *from = w + (int64_t)positions[blockIdx.x] * ldw;
    od_bf16 *to = y + (int64_t)blockIdx.x * ldy;
    if (od_aligned(w, ldw) && od_aligned(y, ldy) && (cols & 7) == 0) {
        for (int64_t c = threadIdx.x * 8; c < cols; c += OD_GPU_THREADS * 8) {
            float a[8];
            float b[8];
            od_load8(a, to + c);
            od_load8(b, from + c);
#pragma unroll
            for (int i = 0; i < 8; i++) {
                a[i] += b[i];
            }
            od_store8(to + c, a);
        }
    } else {
        for (int64_t c = threadIdx.x; c < cols; c += OD_GPU_THREADS) {
            to[c] = od_round(od_f32(to[c]) + od_f32(from[c]));
        }
    }
}

// a is fp32 [V, rank], contiguous; zeros behind the rank, up to `cols`.
OD_KERNEL od_embed_adapter(od_bf16 *xa, int64_t ldxa, const float *a, const int32_t *ids,
                           int64_t rank, int64_t cols)
{
    const float *from = a + (int64_t)ids[blockIdx.x] * rank;
    od_bf16 *to = xa + (int64_t)blockIdx.x * ldxa;
    for (int64_t c = threadIdx.x; c < cols; c += OD_GPU_THREADS) {
        to[c] = od_round(c < rank ? from[c] : 0.0f);
    }
}

// dw is fp32 [V, cols], contiguous. Run r: rows order[runs[r]] .. order[runs[r + 1] - 1], one id;
// blocks past *run_count do nothing.
OD_KERNEL od_embed_bwd(float *dw, const od_bf16 *dy, int64_t lddy, const int32_t *ids,
                       const int32_t *order, const int32_t *runs, const int32_t *run_count,
                       int64_t cols)
{
    if (blockIdx.x >= *run_count) {
        return;
    }
    const int32_t first = runs[blockIdx.x];
    const int32_t last = runs[blockIdx.x + 1];
    float *to = dw + (int64_t)ids[order[first]] * cols;
    for (int64_t c = threadIdx.x; c < cols; c += OD_GPU_THREADS) {
        float sum = to[c];
        for (int32_t i = first; i < last; i++) {
            sum += od_f32(dy[(int64_t)order[i] * lddy + c]);
        }
        to[c] = sum;
    }
}
