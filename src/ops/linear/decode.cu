// A quantised weight into bf16 for the product that follows, with the adapter folded in. The
// formulas are those of formats/nf4.h: every value has one place and one order of roundings.

#include "ops/gpu.cuh"
#include "ops/linear/decode_cuda.h"

enum { PER_THREAD = OD_DECODE_SPAN / OD_GPU_THREADS, BLOCK = 64, NEST = 256, MAP = 256 };

static __constant__ float table[16] = {-1.0f,
                                       -0.6961928009986877f,
                                       -0.5250730514526367f,
                                       -0.39491748809814453f,
                                       -0.28444138169288635f,
                                       -0.18477343022823334f,
                                       -0.09105003625154495f,
                                       0.0f,
                                       0.07958029955625534f,
                                       0.16093020141124725f,
                                       0.24611230194568634f,
                                       0.33791524171829224f,
                                       0.44070982933044434f,
                                       0.5626170039176941f,
                                       0.7229568362236023f,
                                       1.0f};

// Rows below W: A. Columns right of W: s B, zero where no adapter lies. True when that was all.
static __device__ bool fold(const struct od_decode_call &call)
{
    const int64_t row = blockIdx.x;
    od_bf16 *to = (od_bf16 *)call.w + row * call.ldw;
    const int64_t first = (int64_t)blockIdx.y * OD_DECODE_SPAN;
    const int64_t width = call.rank * call.adapter_count;
    if (row >= call.n) {
        const int64_t at = row - call.n;
        const float *a = (const float *)call.a + at * call.k;
        for (int64_t c = first + threadIdx.x; c < call.k && c < first + OD_DECODE_SPAN;
             c += OD_GPU_THREADS) {
            to[c] = od_round(at < width ? a[c] : 0.0f);
        }
        return true;
    }
    if (first < call.k) {
        return false;
    }
    for (int64_t c = threadIdx.x; c < call.fold; c += OD_GPU_THREADS) {
        float value = 0.0f;
        const int64_t i = call.rank > 0 ? c / call.rank : 0;
        if (c < width) {
            const struct od_adapter_part part = call.adapter[i];
            if (row >= part.row && row < part.row + part.rows) {
                value = ((const float *)
                             call.b)[(part.b_row + row - part.row) * call.rank + c % call.rank] *
                        call.scale;
            }
        }
        to[call.k + c] = od_round(value);
    }
    return true;
}

static __device__ __forceinline__ struct od_quant_part part_of(const struct od_decode_call &call,
                                                               int64_t row)
{
    int i = 0;
    while (i + 1 < call.part_count && row >= call.part[i].row + call.part[i].rows) {
        i++;
    }
    return call.part[i];
}

OD_KERNEL od_decode_nf4(const struct od_decode_call call)
{
    __shared__ float values[16];
    if (threadIdx.x < 16) {
        values[threadIdx.x] = table[threadIdx.x];
    }
    __syncthreads();
    if (fold(call)) {
        return;
    }
    const int64_t row = blockIdx.x;
    const int64_t c = (int64_t)blockIdx.y * OD_DECODE_SPAN + threadIdx.x * PER_THREAD;
    if (c >= call.k) {
        return;
    }
    const struct od_quant_part part = part_of(call, row);
    const uint8_t *scales = (const uint8_t *)call.scales + part.scales_at;
    const int64_t blocks = part.rows * call.k / BLOCK;
    const int64_t block = ((row - part.row) * call.k + c) / BLOCK;
    const float *map = (const float *)scales;
    const float *nested = map + MAP + 4;
    const uint8_t *magnitudes = (const uint8_t *)(nested + (blocks + NEST - 1) / NEST);
    const float magnitude =
        __fadd_rn(__fmul_rn(map[magnitudes[block]], nested[block / NEST]), map[MAP]);
    const uint2 raw = *(const uint2 *)((const uint8_t *)call.codes + (row * call.k + c) / 2);
    const uint32_t word[2] = {raw.x, raw.y};
    od_bf16 *to = (od_bf16 *)call.w + row * call.ldw + c;
#pragma unroll
    for (int half = 0; half < 2; half++) {
        float x[8];
#pragma unroll
        for (int i = 0; i < 8; i++) {
            const uint32_t code = (word[half] >> ((i >> 1) * 8 + (i & 1 ? 0 : 4))) & 15u;
            x[i] = values[code] * magnitude;
        }
        od_store8(to + half * 8, x);
    }
}

OD_KERNEL od_decode_int8(const struct od_decode_call call)
{
    if (fold(call)) {
        return;
    }
    const int64_t row = blockIdx.x;
    const struct od_quant_part part = part_of(call, row);
    const float scale =
        ((const float *)((const uint8_t *)call.scales + part.scales_at))[row - part.row];
    const int8_t *from = (const int8_t *)call.codes + row * call.k;
    od_bf16 *to = (od_bf16 *)call.w + row * call.ldw;
    const int64_t first = (int64_t)blockIdx.y * OD_DECODE_SPAN;
    for (int64_t c = first + threadIdx.x * 4; c < call.k && c < first + OD_DECODE_SPAN;
         c += OD_GPU_THREADS * 4) {
        if (c + 4 <= call.k && (call.k & 3) == 0) {
            const char4 code = *(const char4 *)(from + c);
            uint2 raw;
            raw.x = od_pack2((float)code.x * scale, (float)code.y * scale);
            raw.y = od_pack2((float)code.z * scale, (float)code.w * scale);
            *(uint2 *)(to + c) = raw;
        } else {
            for (int64_t i = c; i < call.k && i < c + 4; i++) {
                to[i] = od_round((float)from[i] * scale);
            }
        }
    }
}
