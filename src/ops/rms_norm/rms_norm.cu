// Root-mean-square normalisation of rows; formulas in rms_norm_kernel.h. Weights are fp32.

#include "ops/gpu.cuh"

// A block is a row. y may not be x.
OD_KERNEL od_rms_norm(od_bf16 *y, int64_t ldy, float *rstd, const od_bf16 *x, int64_t ldx,
                      const float *w, int64_t cols, float eps)
{
    for (int64_t c = threadIdx.x * 8; c < cols; c += OD_GPU_THREADS * 8) {
        asm volatile("prefetch.global.L2 [%0];" ::"l"(w + c));  // on the way meanwhile
    }
    od_follow();
    const od_bf16 *from = x + (int64_t)blockIdx.x * ldx;
    od_bf16 *to = y + (int64_t)blockIdx.x * ldy;
    const bool wide = od_aligned(x, ldx) && od_aligned(y, ldy) && (cols & 7) == 0;
    float squares = 0.0f;
    if (wide) {
        for (int64_t c = threadIdx.x * 8; c < cols; c += OD_GPU_THREADS * 8) {
            float v[8];
            od_load8(v, from + c);
#pragma unroll
            for (int i = 0; i < 8; i++) {
                squares += v[i] * v[i];
            }
        }
    } else {
        for (int64_t c = threadIdx.x; c < cols; c += OD_GPU_THREADS) {
            const float v = od_f32(from[c]);
            squares += v * v;
        }
    }
    const float r = rsqrtf(od_block_sum(squares) / (float)cols + eps);
    if (threadIdx.x == 0 && rstd) {
        rstd[blockIdx.x] = r;
    }
    if (wide) {
        for (int64_t c = threadIdx.x * 8; c < cols; c += OD_GPU_THREADS * 8) {
            float v[8];
            od_load8(v, from + c);
#pragma unroll
            for (int i = 0; i < 8; i++) {
                v[i] = v[i] * r * w[c + i];
            }
            od_store8(to + c, v);
        }
    } else {
        for (int64_t c = threadIdx.x; c < cols; c += OD_GPU_THREADS) {
            to[c] = od_round(od_f32(from[c]) * r * w[c]);
        }
    }
}

// A block is a row. dx may be dy.
OD_KERNEL od_rms_norm_bwd(od_bf16 *dx, int64_t lddx, const od_bf16 *dy, int64_t lddy,
                          const od_bf16 *x, int64_t ldx, const float *w, const float *rstd,
                          int64_t cols, int accumulate)
{
    const od_bf16 *xr = x + (int64_t)blockIdx.x * ldx;
    const od_bf16 *dyr = dy + (int64_t)blockIdx.x * lddy;
    od_bf16 *dxr = dx + (int64_t)blockIdx.x * lddx;
    const bool wide = od_aligned(x, ldx) && od_aligned(dy, lddy) && od_aligned(dx, lddx) &&
                      (cols & 7) == 0;
    const float r = rstd[blockIdx.x];
    float products = 0.0f;
    if (wide) {
        for (int64_t c = threadIdx.x * 8; c < cols; c += OD_GPU_THREADS * 8) {
            float a[8];
            float b[8];
            od_load8(a, xr + c);
            od_load8(b, dyr + c);
#pragma unroll
            for (int i = 0; i < 8; i++) {
                products += b[i] * w[c + i] * a[i];
            }
        }
    } else {
        for (int64_t c = threadIdx.x; c < cols; c += OD_GPU_THREADS) {
            products += od_f32(dyr[c]) * w[c] * od_f32(xr[c]);
        }
    }
    const float k = r * r * r * (od_block_sum(products) / (float)cols);
    if (wide) {
        for (int64_t c = threadIdx.x * 8; c < cols; c += OD_GPU_THREADS * 8) {
            float a[8];
            float b[8];
            float g[8] = {0};
            od_load8(a, xr + c);
            od_load8(b, dyr + c);
            if (accumulate) {
                od_load8(g, dxr + c);
            }
#pragma unroll
            for (int i = 0; i < 8; i++) {
                g[i] += b[i] * w[c + i] * r - a[i] * k;
            }
            od_store8(dxr + c, g);
        }
    } else {
        for (int64_t c = threadIdx.x; c < cols; c += OD_GPU_THREADS) {
            const float g = od_f32(dyr[c]) * w[c] * r - od_f32(xr[c]) * k;
            dxr[c] = od_round(accumulate ? od_f32(dxr[c]) + g : g);
        }
    }
}

// partial[s][c]: sum over the s-th part of the rows of dy * x * rstd. Grid: columns / 256, parts.
OD_KERNEL od_rms_norm_dw_parts(float *partial, const od_bf16 *dy, int64_t lddy, const od_bf16 *x,
                               int64_t ldx, const float *rstd, int64_t rows, int64_t cols)
{
    const int64_t c = (int64_t)blockIdx.x * OD_GPU_THREADS + threadIdx.x;
    const int64_t each = (rows + gridDim.y - 1) / gridDim.y;
    const int64_t first = (int64_t)blockIdx.y * each;
    const int64_t last = first + each < rows ? first + each : rows;
    if (c >= cols) {
        return;
    }
    float sum = 0.0f;
    for (int64_t row = first; row < last; row++) {
        sum += od_f32(dy[row * lddy + c]) * (od_f32(x[row * ldx + c]) * rstd[row]);
    }
    partial[(int64_t)blockIdx.y * cols + c] = sum;
}
