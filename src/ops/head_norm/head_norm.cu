// Root-mean-square normalisation of every query and key head in [T, (H + 2G) D]; values pass.
//
//     rstd = 1 / sqrt(sum(x^2) / D + eps);  y = x * rstd * w;  w[0] for queries, w[1] for keys, fp32
//     dx (+)= dy * w * rstd - x * rstd^3 * sum(dy * w * x) / D;  dw += dy * x * rstd
//
// A block is a row, a warp a head; D and the strides are even, which is how programs are laid out.
// 2 bytes an element in and 2 out. Order: a lane's channels in order, then a tree over the warp;
// sums over rows and heads in parts, and the parts in order.

#include "ops/gpu.cuh"

enum { WARPS = OD_GPU_THREADS / 32 };

static __device__ __forceinline__ float warp_sum(float x)
{
#pragma unroll
    for (int offset = 16; offset > 0; offset >>= 1) {
        x += __shfl_xor_sync(0xFFFFFFFFu, x, offset);
    }
    return x;
}

static __device__ __forceinline__ float2 load2(const od_bf16 *from)
{
    const uint32_t raw = *(const uint32_t *)from;
    return make_float2(__uint_as_float(raw << 16), __uint_as_float(raw & 0xFFFF0000u));
}

static __device__ __forceinline__ void store2(od_bf16 *to, float low, float high)
{
    *(uint32_t *)to = od_pack2(low, high);
}

// rstd[row][H + G]; may be NULL. y may be x.
OD_KERNEL od_head_norm(od_bf16 *y, int64_t ldy, float *rstd, const od_bf16 *x, int64_t ldx,
                       const float *w, int32_t heads, int32_t kv_heads, int32_t d, float eps)
{
    od_follow();
    const int lane = (int)threadIdx.x & 31;
    const int32_t normed = heads + kv_heads;
    for (int32_t h = (int32_t)threadIdx.x >> 5; h < normed + kv_heads; h += WARPS) {
        const od_bf16 *from = x + (int64_t)blockIdx.x * ldx + (int64_t)h * d;
        od_bf16 *to = y + (int64_t)blockIdx.x * ldy + (int64_t)h * d;
        if (h >= normed) {
            for (int32_t c = 2 * lane; c < d; c += 64) {
                *(uint32_t *)(to + c) = *(const uint32_t *)(from + c);
            }
            continue;
        }
        const float *weight = w + (h < heads ? 0 : d);
        float squares = 0.0f;
        for (int32_t c = 2 * lane; c < d; c += 64) {
            const float2 v = load2(from + c);
            squares += v.x * v.x + v.y * v.y;
        }
        const float r = rsqrtf(warp_sum(squares) / (float)d + eps);
        if (lane == 0 && rstd) {
            rstd[(int64_t)blockIdx.x * normed + h] = r;
        }
        for (int32_t c = 2 * lane; c < d; c += 64) {
            const float2 v = load2(from + c);
            store2(to + c, v.x * r * weight[c], v.y * r * weight[c + 1]);
        }
    }
}

// dx may be dy.
OD_KERNEL od_head_norm_bwd(od_bf16 *dx, int64_t lddx, const od_bf16 *dy, int64_t lddy,
                           const od_bf16 *x, int64_t ldx, const float *w, const float *rstd,
                           int32_t heads, int32_t kv_heads, int32_t d, int accumulate)
{
    const int lane = (int)threadIdx.x & 31;
    const int32_t normed = heads + kv_heads;
    for (int32_t h = (int32_t)threadIdx.x >> 5; h < normed + kv_heads; h += WARPS) {
        const od_bf16 *xr = x + (int64_t)blockIdx.x * ldx + (int64_t)h * d;
        const od_bf16 *dyr = dy + (int64_t)blockIdx.x * lddy + (int64_t)h * d;
        od_bf16 *dxr = dx + (int64_t)blockIdx.x * lddx + (int64_t)h * d;
        const bool passes = h >= normed;
        const float *weight = w + (h < heads ? 0 : d);
        const float r = passes ? 1.0f : rstd[(int64_t)blockIdx.x * normed + h];
        float products = 0.0f;
        for (int32_t c = 2 * lane; c < d && !passes; c += 64) {
            const float2 v = load2(xr + c);
            const float2 g = load2(dyr + c);
            products += g.x * weight[c] * v.x + g.y * weight[c + 1] * v.y;
        }
        const float k = r * r * r * (warp_sum(products) / (float)d);
        for (int32_t c = 2 * lane; c < d; c += 64) {
            float2 g = load2(dyr + c);
            if (!passes) {
                const float2 v = load2(xr + c);
                g.x = g.x * weight[c] * r - v.x * k;
                g.y = g.y * weight[c + 1] * r - v.y * k;
            }
            if (accumulate) {
                const float2 before = load2(dxr + c);
                g.x += before.x;
                g.y += before.y;
            }
            store2(dxr + c, g.x, g.y);
        }
    }
}

// parts[s][kind][c]: sum over the s-th part of the rows, and over the heads of a kind (0: queries,
// 1: keys), of dy * x * rstd. Grid: 2 kinds, parts. D <= 256: as many heads at a time as fit in a
// block, each thread one channel.
OD_KERNEL od_head_norm_dw_parts(float *parts, const od_bf16 *dy, int64_t lddy, const od_bf16 *x,
                                int64_t ldx, const float *rstd, int64_t rows, int32_t heads,
                                int32_t kv_heads, int32_t d)
{
    __shared__ float sums[OD_GPU_THREADS];
    const int32_t groups = OD_GPU_THREADS / d;
    const int32_t group = (int32_t)threadIdx.x / d;
    const int32_t c = (int32_t)threadIdx.x % d;
    const int32_t begin = blockIdx.x == 0 ? 0 : heads;
    const int32_t end = blockIdx.x == 0 ? heads : heads + kv_heads;
    const int64_t each = (rows + gridDim.y - 1) / gridDim.y;
    const int64_t first = (int64_t)blockIdx.y * each;
    const int64_t last = first + each < rows ? first + each : rows;
    float sum = 0.0f;
    for (int64_t row = first; row < last && group < groups; row++) {
        const float *r = rstd + row * (heads + kv_heads);
        for (int32_t h = begin + group; h < end; h += groups) {
            sum += od_f32(dy[row * lddy + (int64_t)h * d + c]) *
                   (od_f32(x[row * ldx + (int64_t)h * d + c]) * r[h]);
        }
    }
    sums[threadIdx.x] = sum;
    __syncthreads();
    if (group == 0) {
        for (int32_t g = 1; g < groups; g++) {
            sum += sums[g * d + c];
        }
        parts[((int64_t)blockIdx.y * 2 + blockIdx.x) * d + c] = sum;
    }
}
