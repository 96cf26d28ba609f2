// Matrix products with at most 64 rows to a tile; see matmul_rows16.cu.
#include "device/cuda/matmul_rows.h"

#define OD_TILE_M OD_ROWS64_TILE_M
#define OD_TILE_N OD_ROWS64_TILE_N
#define OD_TILE_K OD_ROWS_TILE_K
#define OD_WARP_M OD_ROWS64_WARP_M
#define OD_WARP_N OD_ROWS64_WARP_N
#define OD_STAGES OD_ROWS64_STAGES
#define OD_BLOCKS 2

#include "device/cuda/matmul.cuh"

KERNEL(od_matmul_rows64_bf16, true, true, false, true)
KERNEL(od_matmul_rows64_f32, true, true, true, true)
