// Normalisation of rows to mean 0 and variance 1, with a weight and a bias in fp32.
//
//     mean = sum(x) / C,  rstd = 1 / sqrt(sum((x - mean)^2) / C + eps),  h = (x - mean) * rstd
//     y = h * w + bias
//     dx (+)= rstd * (dy w - sum(dy w) / C - h * sum(dy w h) / C);  dw += dy h;  dbias += dy
//
// A block is a row, which it reads three times (two of them from the L1 cache); 2 bytes an element
// in and 2 out. Order: a thread's columns in order, then the tree of od_block_sum; sums over rows in
// parts, and the parts in order. Source: Ba, Kiros and Hinton, "Layer Normalization", 2016.

#include "ops/gpu.cuh"

// stats[row][2]: mean and rstd; may be NULL. y may be x.
OD_KERNEL od_layer_norm(od_bf16 *y, int64_t ldy, float *stats, const od_bf16 *x, int64_t ldx,
                        const float *w, const float *bias, int64_t cols, float eps)
{
    od_follow();
    const od_bf16 *from = x + (int64_t)blockIdx.x * ldx;
    od_bf16 *to = y + (int64_t)blockIdx.x * ldy;
    const bool wide = od_aligned(x, ldx) && od_aligned(y, ldy) && (cols & 7) == 0;
    float v[8];
    float sum = 0.0f;
    if (wide) {
        for (int64_t c = threadIdx.x * 8; c < cols; c += OD_GPU_THREADS * 8) {
            od_load8(v, from + c);
#pragma unroll
            for (int i = 0; i < 8; i++) {
                sum += v[i];
            }
        }
    } else {
        for (int64_t c = threadIdx.x; c < cols; c += OD_GPU_THREADS) {
            sum += od_f32(from[c]);
        }
    }
    const float mean = od_block_sum(sum) / (float)cols;
    float squares = 0.0f;
    if (wide) {
        for (int64_t c = threadIdx.x * 8; c < cols; c += OD_GPU_THREADS * 8) {
            od_load8(v, from + c);
#pragma unroll
            for (int i = 0; i < 8; i++) {
                squares += (v[i] - mean) * (v[i] - mean);
            }
        }
    } else {
        for (int64_t c = threadIdx.x; c < cols; c += OD_GPU_THREADS) {
            const float d = od_f32(from[c]) - mean;
            squares += d * d;
        }
    }
    const float r = rsqrtf(od_block_sum(squares) / (float)cols + eps);
    if (threadIdx.x == 0 && stats) {
        stats[2 * (int64_t)blockIdx.x] = mean;
        stats[2 * (int64_t)blockIdx.x + 1] = r;
    }
    if (wide) {
        for (int64_t c = threadIdx.x * 8; c < cols; c += OD_GPU_THREADS * 8) {
            od_load8(v, from + c);
#pragma unroll
            for (int i = 0; i < 8; i++) {
                v[i] = (v[i] - mean) * r * w[c + i] + bias[c + i];
            }
            od_store8(to + c, v);
        }
    } else {
        for (int64_t c = threadIdx.x; c < cols; c += OD_GPU_THREADS) {
            to[c] = od_round((od_f32(from[c]) - mean) * r * w[c] + bias[c]);
        }
    }
}

// dx may be dy.
OD_KERNEL od_layer_norm_bwd(od_bf16 *dx, int64_t lddx, const od_bf16 *dy, int64_t lddy,
                            const od_bf16 *x, int64_t ldx, const float *w, const float *stats,
                            int64_t cols, int accumulate)
{
    const od_bf16 *xr = x + (int64_t)blockIdx.x * ldx;
    const od_bf16 *dyr = dy + (int64_t)blockIdx.x * lddy;
    od_bf16 *dxr = dx + (int64_t)blockIdx.x * lddx;
    const bool wide = od_aligned(x, ldx) && od_aligned(dy, lddy) && od_aligned(dx, lddx) &&
                      (cols & 7) == 0;
    const float mean = stats[2 * (int64_t)blockIdx.x];
    const float r = stats[2 * (int64_t)blockIdx.x + 1];
    float a[8];
    float b[8];
    float plain = 0.0f;
    float products = 0.0f;
    if (wide) {
        for (int64_t c = threadIdx.x * 8; c < cols; c += OD_GPU_THREADS * 8) {
            od_load8(a, xr + c);
            od_load8(b, dyr + c);
#pragma unroll
            for (int i = 0; i < 8; i++) {
                const float d = b[i] * w[c + i];
                plain += d;
                products += d * ((a[i] - mean) * r);
            }
        }
    } else {
        for (int64_t c = threadIdx.x; c < cols; c += OD_GPU_THREADS) {
            const float d = od_f32(dyr[c]) * w[c];
            plain += d;
            products += d * ((od_f32(xr[c]) - mean) * r);
        }
    }
    const float shift = od_block_sum(plain) / (float)cols;
    const float k = od_block_sum(products) / (float)cols;
    if (wide) {
        for (int64_t c = threadIdx.x * 8; c < cols; c += OD_GPU_THREADS * 8) {
            float g[8] = {0};
            od_load8(a, xr + c);
            od_load8(b, dyr + c);
            if (accumulate) {
                od_load8(g, dxr + c);
            }
#pragma unroll
            for (int i = 0; i < 8; i++) {
                g[i] += r * (b[i] * w[c + i] - shift - (a[i] - mean) * r * k);
            }
            od_store8(dxr + c, g);
        }
    } else {
        for (int64_t c = threadIdx.x; c < cols; c += OD_GPU_THREADS) {
            const float g =
                r * (od_f32(dyr[c]) * w[c] - shift - (od_f32(xr[c]) - mean) * r * k);
            dxr[c] = od_round(accumulate ? od_f32(dxr[c]) + g : g);
        }
    }
}

// parts[s][0][c]: sum over the s-th part of the rows of dy * h; parts[s][1][c]: of dy. Grid:
// columns / 256, parts.
OD_KERNEL od_layer_norm_dw_parts(float *parts, const od_bf16 *dy, int64_t lddy, const od_bf16 *x,
                                 int64_t ldx, const float *stats, int64_t rows, int64_t cols)
{
    const int64_t c = (int64_t)blockIdx.x * OD_GPU_THREADS + threadIdx.x;
    const int64_t each = (rows + gridDim.y - 1) / gridDim.y;
    const int64_t first = (int64_t)blockIdx.y * each;
    const int64_t last = first + each < rows ? first + each : rows;
    if (c >= cols) {
        return;
    }
    float dw = 0.0f;
    float dbias = 0.0f;
    for (int64_t row = first; row < last; row++) {
        const float d = od_f32(dy[row * lddy + c]);
        dw += d * ((od_f32(x[row * ldx + c]) - stats[2 * row]) * stats[2 * row + 1]);
        dbias += d;
    }
    parts[(int64_t)blockIdx.y * 2 * cols + c] = dw;
    parts[((int64_t)blockIdx.y * 2 + 1) * cols + c] = dbias;
}
