// New keys and values into the pages of their sequences.
//
//     cache[tables[row_table[t] + p / 16]][head][p % 16][:] = qkv[t][(H + head) D + :]    p = positions[t]
//
// and the same with queries and keys turned to their positions on the way, in qkv, too: a read and a
// launch less than one after the other, in the same bits.
//
// A block is a row. Heads of key and value are side by side in qkv; D is a multiple of 8, of 16 where they
// are turned.

#include "ops/gpu.cuh"
#include "ops/paged/paged.h"
#include "ops/rope/rope.cuh"

OD_KERNEL od_paged_append(od_bf16 *cache, const od_bf16 *qkv, int64_t ld, const int32_t *tables,
                          const int32_t *row_table, const int32_t *positions, int32_t heads,
                          int32_t kv_heads, int32_t d)
{
    od_follow();
    const int32_t position = positions[blockIdx.x];
    const int64_t page = tables[row_table[blockIdx.x] + position / OD_PAGED_ROWS];
    const od_bf16 *from = qkv + (int64_t)blockIdx.x * ld + (int64_t)heads * d;
    od_bf16 *to = cache + (page * 2 * kv_heads * OD_PAGED_ROWS + position % OD_PAGED_ROWS) * d;
    for (int32_t i = (int32_t)threadIdx.x * 8; i < 2 * kv_heads * d; i += OD_GPU_THREADS * 8) {
        const int32_t head = i / d;
        *(uint4 *)(to + (int64_t)head * OD_PAGED_ROWS * d + i % d) = *(const uint4 *)(from + i);
    }
}

static __device__ __forceinline__ void load8(float x[8], const float *from)
{
    const float4 first = *(const float4 *)from;
    const float4 second = *(const float4 *)(from + 4);
    x[0] = first.x;
    x[1] = first.y;
    x[2] = first.z;
    x[3] = first.w;
    x[4] = second.x;
    x[5] = second.y;
    x[6] = second.z;
    x[7] = second.w;
}

OD_KERNEL od_paged_turn_append(od_bf16 *cache, od_bf16 *qkv, int64_t ld, const float *table,
                               const int32_t *tables, const int32_t *row_table,
                               const int32_t *positions, int32_t heads, int32_t kv_heads, int32_t d)
{
    const int32_t position = positions[blockIdx.x];  // lists were there before the pass
    const int64_t page = tables[row_table[blockIdx.x] + position / OD_PAGED_ROWS];
    od_follow();
    const float *row = table + (int64_t)position * d;
    const int32_t half = d / 2;
    const int32_t pieces = half / 8;
    od_bf16 *at = qkv + (int64_t)blockIdx.x * ld;
    od_bf16 *to = cache + (page * 2 * kv_heads * OD_PAGED_ROWS + position % OD_PAGED_ROWS) * d;
    for (int32_t i = (int32_t)threadIdx.x; i < (heads + kv_heads) * pieces; i += OD_GPU_THREADS) {
        const int32_t head = i / pieces;
        const int32_t j = i % pieces * 8;
        uint4 *low = (uint4 *)(at + head * d + j);
        uint4 *high = (uint4 *)(at + head * d + j + half);
        float cosine[8];
        float sine[8];
        uint4 a = *low;
        uint4 b = *high;
        load8(cosine, row + j);
        load8(sine, row + half + j);
        od_rope_turn(&a.x, &b.x, cosine, sine);
        od_rope_turn(&a.y, &b.y, cosine + 2, sine + 2);
        od_rope_turn(&a.z, &b.z, cosine + 4, sine + 4);
        od_rope_turn(&a.w, &b.w, cosine + 6, sine + 6);
        *low = a;
        *high = b;
        if (head >= heads) {
            od_bf16 *key = to + (int64_t)(head - heads) * OD_PAGED_ROWS * d + j;
            *(uint4 *)key = a;
            *(uint4 *)(key + half) = b;
        }
    }
    const od_bf16 *values = at + (int64_t)(heads + kv_heads) * d;
    to += (int64_t)kv_heads * OD_PAGED_ROWS * d;
    for (int32_t i = (int32_t)threadIdx.x * 8; i < kv_heads * d; i += OD_GPU_THREADS * 8) {
        *(uint4 *)(to + (int64_t)(i / d) * OD_PAGED_ROWS * d + i % d) =
            *(const uint4 *)(values + i);
    }
}
