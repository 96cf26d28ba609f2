// Matrix products with few rows, at most 16 to a tile: the body of matmul.cuh with a small tile and a
// long ring, so that the weights of one step after another are on their way. The order of each sum is
// that of the large tiles.
#include "device/cuda/matmul_rows.h"

#define OD_TILE_M OD_ROWS16_TILE_M
#define OD_TILE_N OD_ROWS16_TILE_N
#define OD_TILE_K OD_ROWS_TILE_K
#define OD_WARP_M OD_ROWS16_WARP_M
#define OD_WARP_N OD_ROWS16_WARP_N
#define OD_STAGES OD_ROWS16_STAGES
#define OD_BLOCKS 4

#include "device/cuda/matmul.cuh"

KERNEL(od_matmul_rows16_bf16, true, true, false, true)
KERNEL(od_matmul_rows16_f32, true, true, true, true)
