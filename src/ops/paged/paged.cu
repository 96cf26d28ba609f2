// New keys and values into the pages of their sequences.
//
//     cache[tables[row_table[t] + p / 16]][head][p % 16][:] = qkv[t][(H + head) D + :]    p = positions[t]
//
// A block is a row. Heads of key and value are side by side in qkv; D is a multiple of 8.

#include "ops/gpu.cuh"
#include "ops/paged/paged.h"

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
