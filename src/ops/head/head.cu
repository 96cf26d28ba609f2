// Cross-entropy of the rows that have a target; formulas in head_kernel.h.

#include "ops/gpu.cuh"

// A launch works on labelled rows first, first + 1, ...; *labels is how many there are in all, so that
// a recorded launch serves every batch. A block is a row.

// out[i] = x[rows[first + i]]; blocks past the last labelled row repeat the first.
OD_KERNEL od_gather_rows(od_bf16 *out, int64_t ldo, const od_bf16 *x, int64_t ldx,
                         const int32_t *rows, const int32_t *labels, int64_t first, int64_t cols)
{
    od_follow();
    const bool real = first + blockIdx.x < *labels;
    const od_bf16 *from = x + (int64_t)rows[real ? first + blockIdx.x : 0] * ldx;
    od_bf16 *to = out + (int64_t)blockIdx.x * ldo;
    if (od_aligned(x, ldx) && od_aligned(out, ldo) && (cols & 7) == 0) {
        for (int64_t c = threadIdx.x * 8; c < cols; c += OD_GPU_THREADS * 8) {
            *(uint4 *)(to + c) = *(const uint4 *)(from + c);
        }
        return;
    }
    for (int64_t c = threadIdx.x; c < cols; c += OD_GPU_THREADS) {
        to[c] = from[c];
    }
}

// out[rows[first + i]] = x[i].
OD_KERNEL od_scatter_rows(od_bf16 *out, int64_t ldo, const od_bf16 *x, int64_t ldx,
                          const int32_t *rows, const int32_t *labels, int64_t first, int64_t cols)
{
    od_follow();
    if (first + blockIdx.x >= *labels) {
        return;
    }
    const od_bf16 *from = x + (int64_t)blockIdx.x * ldx;
    od_bf16 *to = out + (int64_t)rows[first + blockIdx.x] * ldo;
    if (od_aligned(x, ldx) && od_aligned(out, ldo) && (cols & 7) == 0) {
        for (int64_t c = threadIdx.x * 8; c < cols; c += OD_GPU_THREADS * 8) {
            *(uint4 *)(to + c) = *(const uint4 *)(from + c);
        }
        return;
    }
    for (int64_t c = threadIdx.x; c < cols; c += OD_GPU_THREADS) {
        to[c] = from[c];
    }
}

// losses[first + i] = lse - logit of the target; with `gradient` the row becomes (softmax - onehot) *
// *scale; columns past the vocabulary and rows past the last labelled one become zero. `targets` is by row of the pass, `rows`
// says which that is.
OD_KERNEL od_cross_entropy(od_bf16 *logits, int64_t ld, int64_t v, const int32_t *rows,
                           const int32_t *labels, int64_t first, const int32_t *targets,
                           const float *loss_scale, float *losses, int gradient)
{
    od_bf16 *row = logits + (int64_t)blockIdx.x * ld;
    const float scale = *loss_scale;
    if (first + blockIdx.x >= *labels) {
        for (int64_t c = threadIdx.x; c < ld; c += OD_GPU_THREADS) {
            row[c] = od_round(0.0f);
        }
        return;
    }
    const int32_t target = targets[rows[first + blockIdx.x]];
    const int64_t whole = od_aligned(logits, ld) ? v & ~(int64_t)7 : 0;
    float most = -INFINITY;
    float sum = 0.0f;
    for (int64_t c = threadIdx.x * 8; c < whole; c += OD_GPU_THREADS * 8) {
        float l[8];
        od_load8(l, row + c);
        float top = l[0];
#pragma unroll
        for (int i = 1; i < 8; i++) {
            top = fmaxf(top, l[i]);
        }
        if (top > most) {
            sum *= __expf(most - top);
            most = top;
        }
#pragma unroll
        for (int i = 0; i < 8; i++) {
            sum += __expf(l[i] - most);
        }
    }
    for (int64_t c = whole + threadIdx.x; c < v; c += OD_GPU_THREADS) {
        const float l = od_f32(row[c]);
        if (l > most) {
            sum *= __expf(most - l);
            most = l;
        }
        sum += __expf(l - most);
    }
    const float all = od_block_max(most);
    const float total = od_block_sum(most == -INFINITY ? 0.0f : sum * __expf(most - all));
    const float lse = all + logf(total);
    if (threadIdx.x == 0) {
        losses[first + blockIdx.x] = lse - od_f32(row[target]);
    }
    __syncthreads();  // the target's logit is read before it is overwritten
    if (!gradient) {
        return;
    }
    for (int64_t c = threadIdx.x * 8; c < whole; c += OD_GPU_THREADS * 8) {
        float l[8];
        od_load8(l, row + c);
#pragma unroll
        for (int i = 0; i < 8; i++) {
            l[i] = (__expf(l[i] - lse) - (c + i == target ? 1.0f : 0.0f)) * scale;
        }
        od_store8(row + c, l);
    }
    for (int64_t c = whole + threadIdx.x; c < v; c += OD_GPU_THREADS) {
        row[c] = od_round((__expf(od_f32(row[c]) - lse) - (c == target ? 1.0f : 0.0f)) * scale);
    }
    for (int64_t c = v + threadIdx.x; c < ld; c += OD_GPU_THREADS) {
        row[c] = od_round(0.0f);
    }
}

// *sum += losses, in double, by a fixed tree. One block.
OD_KERNEL od_sum_losses(double *sum, const float *losses, const int32_t *labels)
{
    double mine = 0.0;
    for (int64_t i = threadIdx.x; i < *labels; i += OD_GPU_THREADS) {
        mine += (double)losses[i];
    }
    const double total = od_block_sum_f64(mine);
    if (threadIdx.x == 0) {
        *sum += total;
    }
}
