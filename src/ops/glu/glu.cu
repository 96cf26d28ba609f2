// y = silu(gate) * up with gate = x[:, :f], up = x[:, f:], and its gradient; formulas in
// swiglu_kernel.h. Grid: rows, columns / 2048.

#include "ops/gpu.cuh"

enum { SPAN = OD_GPU_THREADS * 8 };

static __device__ __forceinline__ float sigmoid(float x)
{
    return 1.0f / (1.0f + __expf(-x));
}

OD_KERNEL od_swiglu(od_bf16 *y, int64_t ldy, const od_bf16 *x, int64_t ldx, int64_t f)
{
    const od_bf16 *xr = x + (int64_t)blockIdx.x * ldx;
    od_bf16 *yr = y + (int64_t)blockIdx.x * ldy;
    const int64_t first = (int64_t)blockIdx.y * SPAN;
    if (od_aligned(x, ldx) && od_aligned(y, ldy) && (f & 7) == 0) {
        const int64_t c = first + threadIdx.x * 8;
        if (c < f) {
            float g[8];
            float u[8];
            od_load8(g, xr + c);
            od_load8(u, xr + f + c);
#pragma unroll
            for (int i = 0; i < 8; i++) {
                g[i] = g[i] * sigmoid(g[i]) * u[i];
            }
            od_store8(yr + c, g);
        }
        return;
    }
    for (int64_t c = first + threadIdx.x; c < f && c < first + SPAN; c += OD_GPU_THREADS) {
        const float g = od_f32(xr[c]);
        yr[c] = od_round(g * sigmoid(g) * od_f32(xr[f + c]));
    }
}

// dx may be x.
OD_KERNEL od_swiglu_bwd(od_bf16 *dx, int64_t lddx, const od_bf16 *dy, int64_t lddy,
                        const od_bf16 *x, int64_t ldx, int64_t f)
{
    const od_bf16 *xr = x + (int64_t)blockIdx.x * ldx;
    const od_bf16 *dyr = dy + (int64_t)blockIdx.x * lddy;
    od_bf16 *dxr = dx + (int64_t)blockIdx.x * lddx;
    const int64_t first = (int64_t)blockIdx.y * SPAN;
    if (od_aligned(x, ldx) && od_aligned(dy, lddy) && od_aligned(dx, lddx) && (f & 7) == 0) {
        const int64_t c = first + threadIdx.x * 8;
        if (c < f) {
            float g[8];
            float u[8];
            float d[8];
            od_load8(g, xr + c);
            od_load8(u, xr + f + c);
            od_load8(d, dyr + c);
#pragma unroll
            for (int i = 0; i < 8; i++) {
                const float s = sigmoid(g[i]);
                const float silu = g[i] * s;
                const float dg = d[i] * u[i] * (s + silu * (1.0f - s));
                u[i] = d[i] * silu;
                g[i] = dg;
            }
            od_store8(dxr + c, g);
            od_store8(dxr + f + c, u);
        }
        return;
    }
    for (int64_t c = first + threadIdx.x; c < f && c < first + SPAN; c += OD_GPU_THREADS) {
        const float g = od_f32(xr[c]);
        const float u = od_f32(xr[f + c]);
        const float d = od_f32(dyr[c]);
        const float s = sigmoid(g);
        const float silu = g * s;
        dxr[c] = od_round(d * u * (s + silu * (1.0f - s)));
        dxr[f + c] = od_round(d * silu);
    }
}
