// What surrounds the matrix products: working copies, sums, and weights on their way in.

#include "device/cuda/e4m3.cuh"
#include "ops/gpu.cuh"

// to[r][c] = from[r][c] * scale, fp32 to bf16. Grid: rows, columns / 256.
OD_KERNEL od_cast_rows(od_bf16 *to, int64_t ld_to, const float *from, int64_t ld_from, int64_t cols,
                       float scale)
{
    const int64_t c = (int64_t)blockIdx.y * OD_GPU_THREADS + threadIdx.x;
    if (c < cols) {
        to[(int64_t)blockIdx.x * ld_to + c] =
            od_round(from[(int64_t)blockIdx.x * ld_from + c] * scale);
    }
}

// y += x, bf16. Grid: rows, columns / 2048.
OD_KERNEL od_add(od_bf16 *y, int64_t ldy, const od_bf16 *x, int64_t ldx, int64_t cols)
{
    od_follow();
    od_bf16 *yr = y + (int64_t)blockIdx.x * ldy;
    const od_bf16 *xr = x + (int64_t)blockIdx.x * ldx;
    const int64_t first = (int64_t)blockIdx.y * OD_GPU_THREADS * 8;
    if (od_aligned(y, ldy) && od_aligned(x, ldx) && (cols & 7) == 0) {
        const int64_t c = first + threadIdx.x * 8;
        if (c < cols) {
            float a[8];
            float b[8];
            od_load8(a, yr + c);
            od_load8(b, xr + c);
#pragma unroll
            for (int i = 0; i < 8; i++) {
                a[i] += b[i];
            }
            od_store8(yr + c, a);
        }
        return;
    }
    for (int64_t c = first + threadIdx.x; c < cols && c < first + OD_GPU_THREADS * 8;
         c += OD_GPU_THREADS) {
        yr[c] = od_round(od_f32(yr[c]) + od_f32(xr[c]));
    }
}

// parts[s][c]: sum of x over the s-th part of the rows. Grid: columns / 256, parts.
OD_KERNEL od_column_parts(float *parts, const od_bf16 *x, int64_t ldx, int64_t rows, int64_t cols)
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
        sum += od_f32(x[row * ldx + c]);
    }
    parts[(int64_t)blockIdx.y * cols + c] = sum;
}

// to[c] += parts[s * ld + c] for s = 0, 1, ... in order. Grid: columns / 256.
OD_KERNEL od_add_parts(float *to, const float *parts, int64_t ld, int64_t count, int64_t cols)
{
    const int64_t c = (int64_t)blockIdx.x * OD_GPU_THREADS + threadIdx.x;
    if (c >= cols) {
        return;
    }
    float sum = to[c];
    for (int64_t s = 0; s < count; s++) {
        sum += parts[s * ld + c];
    }
    to[c] = sum;
}

// Values of a file (type 0: fp32, 1: fp16, 2: bf16) into rows of bf16 or fp32. *bad counts those
// that are no numbers. Elements first .. first + count - 1 of a [rows, cols] tensor.
OD_KERNEL od_load_values(void *to, int64_t ld, int to_float, const void *from, int type,
                         int64_t first, int64_t count, int64_t cols, unsigned long long *bad)
{
    const int64_t i = (int64_t)blockIdx.x * OD_GPU_THREADS + threadIdx.x;
    if (i >= count) {
        return;
    }
    float x;
    if (type == 0) {
        x = ((const float *)from)[i];
    } else if (type == 1) {
        const uint16_t bits = ((const uint16_t *)from)[i];
        asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(bits));
    } else {
        x = od_f32(((const od_bf16 *)from)[i]);
    }
    if (!isfinite(x)) {
        atomicAdd(bad, 1ull);
    }
    const int64_t row = (first + i) / cols;
    const int64_t at = row * ld + (first + i) % cols;
    if (to_float) {
        ((float *)to)[at] = x;
    } else {
        ((od_bf16 *)to)[at] = od_round(x);
    }
}

// Normal(0, deviation) by Philox 4x32-10 and Box-Muller, two elements a thread, for weights whose
// values matter to nobody but a benchmark.
OD_KERNEL od_init_normal(void *to, int64_t ld, int to_float, int64_t rows, int64_t cols,
                         uint64_t seed, uint32_t tensor, float deviation)
{
    const int64_t i = ((int64_t)blockIdx.x * OD_GPU_THREADS + threadIdx.x) * 2;
    if (i >= rows * cols) {
        return;
    }
    uint32_t c[4] = {(uint32_t)i, (uint32_t)(i >> 32), tensor, 0x494E4954u};
    uint32_t k0 = (uint32_t)seed;
    uint32_t k1 = (uint32_t)(seed >> 32);
    for (int round = 0; round < 10; round++) {
        od_philox_round(c, k0, k1);
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    const float u = ((float)c[0] + 0.5f) * 2.3283064365386963e-10f;
    const float radius = deviation * sqrtf(-2.0f * __logf(fminf(u, 0.99999994f)));
    float sine;
    float cosine;
    __sincosf((float)c[1] * 1.4629180792671596e-9f, &sine, &cosine);
    const float value[2] = {radius * cosine, radius * sine};
    for (int j = 0; j < 2 && i + j < rows * cols; j++) {
        const int64_t at = (i + j) / cols * ld + (i + j) % cols;
        if (to_float) {
            ((float *)to)[at] = value[j];
        } else {
            ((od_bf16 *)to)[at] = od_round(value[j]);
        }
    }
}

// Random words, four a thread.
OD_KERNEL od_random_words(uint32_t *to, int64_t count, uint64_t seed, uint32_t tensor)
{
    const int64_t i = ((int64_t)blockIdx.x * OD_GPU_THREADS + threadIdx.x) * 4;
    uint32_t c[4] = {(uint32_t)i, (uint32_t)(i >> 32), tensor, 0x434F4445u};
    uint32_t k0 = (uint32_t)seed;
    uint32_t k1 = (uint32_t)(seed >> 32);
    for (int round = 0; round < 10; round++) {
        od_philox_round(c, k0, k1);
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    for (int j = 0; j < 4 && i + j < count; j++) {
        to[i + j] = c[j];
    }
}

// Codes of normal values, four a thread, for weights whose values matter to nobody but a benchmark.
OD_KERNEL od_random_e4m3(uint32_t *to, int64_t count, uint64_t seed, uint32_t tensor,
                         float deviation)
{
#if OD_HAS_E4M3
    const int64_t i = (int64_t)blockIdx.x * OD_GPU_THREADS + threadIdx.x;
    if (i >= count) {
        return;
    }
    const uint4 draw = od_philox_draw(seed, 0x434F4445u, tensor, (uint64_t)i);
    const uint32_t c[4] = {draw.x, draw.y, draw.z, draw.w};
    float value[4];
#pragma unroll
    for (int j = 0; j < 2; j++) {
        const float u = ((float)c[2 * j] + 0.5f) * 2.3283064365386963e-10f;
        const float radius = deviation * sqrtf(-2.0f * __logf(fminf(u, 0.99999994f)));
        float sine;
        float cosine;
        __sincosf((float)c[2 * j + 1] * 1.4629180792671596e-9f, &sine, &cosine);
        value[2 * j] = radius * cosine;
        value[2 * j + 1] = radius * sine;
    }
    to[i] = od_e4m3_pair(value[0], value[1]) | od_e4m3_pair(value[2], value[3]) << 16;
#endif
}

// to[i] = value, fp32.
OD_KERNEL od_set_values(float *to, float value, int64_t count)
{
    const int64_t i = (int64_t)blockIdx.x * OD_GPU_THREADS + threadIdx.x;
    if (i < count) {
        to[i] = value;
    }
}
