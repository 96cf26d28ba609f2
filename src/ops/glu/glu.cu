// Gated and plain activations with their gradients; formulas in ops/activation.cuh.
//
//     GLU:         y = act(gate) * up,  gate = x[:, :f], up = x[:, f:]
//                  dgate = dy * up * act'(gate),  dup = dy * act(gate)
//     ACTIVATION:  y = act(x),  dx = dy * act'(x)
//
// Grid: rows, columns / 2048. Bytes moved for one output of GLU: 6 forward, 10 backward; of
// ACTIVATION 4 and 6. A kernel for each activation: bodies with a constant flag.

#include "ops/activation.cuh"
#include "ops/gpu.cuh"

enum { SPAN = OD_GPU_THREADS * 8 };

static __device__ __forceinline__ void glu(od_bf16 *y, int64_t ldy, const od_bf16 *x, int64_t ldx,
                                           int64_t f, int kind)
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
                g[i] = od_activate(kind, g[i]) * u[i];
            }
            od_store8(yr + c, g);
        }
        return;
    }
    for (int64_t c = first + threadIdx.x; c < f && c < first + SPAN; c += OD_GPU_THREADS) {
        yr[c] = od_round(od_activate(kind, od_f32(xr[c])) * od_f32(xr[f + c]));
    }
}

// dx may be x.
static __device__ __forceinline__ void glu_bwd(od_bf16 *dx, int64_t lddx, const od_bf16 *dy,
                                               int64_t lddy, const od_bf16 *x, int64_t ldx,
                                               int64_t f, int kind)
{
    const od_bf16 *xr = x + (int64_t)blockIdx.x * ldx;
    const od_bf16 *dyr = dy + (int64_t)blockIdx.x * lddy;
    od_bf16 *dxr = dx + (int64_t)blockIdx.x * lddx;
    const int64_t first = (int64_t)blockIdx.y * SPAN;
    float value;
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
                const float dg = d[i] * u[i] * od_slope(kind, g[i], &value);
                u[i] = d[i] * value;
                g[i] = dg;
            }
            od_store8(dxr + c, g);
            od_store8(dxr + f + c, u);
        }
        return;
    }
    for (int64_t c = first + threadIdx.x; c < f && c < first + SPAN; c += OD_GPU_THREADS) {
        const float u = od_f32(xr[f + c]);
        const float d = od_f32(dyr[c]);
        const float slope = od_slope(kind, od_f32(xr[c]), &value);
        dxr[c] = od_round(d * u * slope);
        dxr[f + c] = od_round(d * value);
    }
}

// y may be x.
static __device__ __forceinline__ void activation(od_bf16 *y, int64_t ldy, const od_bf16 *x,
                                                  int64_t ldx, int64_t f, int kind)
{
    const od_bf16 *xr = x + (int64_t)blockIdx.x * ldx;
    od_bf16 *yr = y + (int64_t)blockIdx.x * ldy;
    const int64_t first = (int64_t)blockIdx.y * SPAN;
    if (od_aligned(x, ldx) && od_aligned(y, ldy) && (f & 7) == 0) {
        const int64_t c = first + threadIdx.x * 8;
        if (c < f) {
            float v[8];
            od_load8(v, xr + c);
#pragma unroll
            for (int i = 0; i < 8; i++) {
                v[i] = od_activate(kind, v[i]);
            }
            od_store8(yr + c, v);
        }
        return;
    }
    for (int64_t c = first + threadIdx.x; c < f && c < first + SPAN; c += OD_GPU_THREADS) {
        yr[c] = od_round(od_activate(kind, od_f32(xr[c])));
    }
}

// dx may be dy or x.
static __device__ __forceinline__ void activation_bwd(od_bf16 *dx, int64_t lddx, const od_bf16 *dy,
                                                      int64_t lddy, const od_bf16 *x, int64_t ldx,
                                                      int64_t f, int kind)
{
    const od_bf16 *xr = x + (int64_t)blockIdx.x * ldx;
    const od_bf16 *dyr = dy + (int64_t)blockIdx.x * lddy;
    od_bf16 *dxr = dx + (int64_t)blockIdx.x * lddx;
    const int64_t first = (int64_t)blockIdx.y * SPAN;
    float value;
    if (od_aligned(x, ldx) && od_aligned(dy, lddy) && od_aligned(dx, lddx) && (f & 7) == 0) {
        const int64_t c = first + threadIdx.x * 8;
        if (c < f) {
            float v[8];
            float d[8];
            od_load8(v, xr + c);
            od_load8(d, dyr + c);
#pragma unroll
            for (int i = 0; i < 8; i++) {
                d[i] *= od_slope(kind, v[i], &value);
            }
            od_store8(dxr + c, d);
        }
        return;
    }
    for (int64_t c = first + threadIdx.x; c < f && c < first + SPAN; c += OD_GPU_THREADS) {
        dxr[c] = od_round(od_f32(dyr[c]) * od_slope(kind, od_f32(xr[c]), &value));
    }
}

#define KERNELS(name, kind)                                                                       \
    OD_KERNEL od_glu_##name(od_bf16 *y, int64_t ldy, const od_bf16 *x, int64_t ldx, int64_t f)    \
    {                                                                                             \
        od_follow();                                                                              \
        glu(y, ldy, x, ldx, f, kind);                                                             \
    }                                                                                             \
    OD_KERNEL od_glu_bwd_##name(od_bf16 *dx, int64_t lddx, const od_bf16 *dy, int64_t lddy,       \
                                const od_bf16 *x, int64_t ldx, int64_t f)                         \
    {                                                                                             \
        glu_bwd(dx, lddx, dy, lddy, x, ldx, f, kind);                                             \
    }                                                                                             \
    OD_KERNEL od_activation_##name(od_bf16 *y, int64_t ldy, const od_bf16 *x, int64_t ldx,        \
                                   int64_t f)                                                     \
    {                                                                                             \
        od_follow();                                                                              \
        activation(y, ldy, x, ldx, f, kind);                                                      \
    }                                                                                             \
    OD_KERNEL od_activation_bwd_##name(od_bf16 *dx, int64_t lddx, const od_bf16 *dy,              \
                                       int64_t lddy, const od_bf16 *x, int64_t ldx, int64_t f)    \
    {                                                                                             \
        activation_bwd(dx, lddx, dy, lddy, x, ldx, f, kind);                                      \
    }

KERNELS(silu, OD_ACTIVATION_SILU)
KERNELS(gelu, OD_ACTIVATION_GELU)
KERNELS(gelu_tanh, OD_ACTIVATION_GELU_TANH)
