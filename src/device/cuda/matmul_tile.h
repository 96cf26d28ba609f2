/**
 * @file
 * The shape of the own matrix-product kernel, for the kernel (matmul.cuh) and for the host that
 * starts it (matmul.c): a block makes a tile of D, each of its warps a part of the tile; operands
 * come in steps along k through a ring of stages in shared memory.
 * @thread No state.
 */
#ifndef OD_DEVICE_CUDA_MATMUL_TILE_H
#define OD_DEVICE_CUDA_MATMUL_TILE_H

#ifndef OD_TILE_M
#define OD_TILE_M 128
#define OD_TILE_N 128
#define OD_TILE_K 64
#define OD_WARP_M 64
#define OD_WARP_N 64
#define OD_STAGES 3
#define OD_BLOCKS 2  // that a multiprocessor of an A100 or H100 holds
#endif

#define OD_TILE_THREADS      (OD_TILE_M / OD_WARP_M * (OD_TILE_N / OD_WARP_N) * 32)
#define OD_STAGE_BYTES       ((OD_TILE_M + OD_TILE_N) * OD_TILE_K * 2)
#define OD_TILE_SHARED_BYTES (OD_STAGES * OD_STAGE_BYTES)

#endif
