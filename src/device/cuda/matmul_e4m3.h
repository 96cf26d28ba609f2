/**
 * @file
 * The shape of the own product of eight-bit floats, for the kernel (matmul_e4m3.cu) and for the host
 * that starts it (matmul_own.c).
 * @thread No state.
 */
#ifndef OD_DEVICE_CUDA_MATMUL_E4M3_H
#define OD_DEVICE_CUDA_MATMUL_E4M3_H

#define OD_E4M3_TILE_M       128
#define OD_E4M3_TILE_N       128
#define OD_E4M3_TILE_K       64
#define OD_E4M3_PITCH        (OD_E4M3_TILE_K + 16)  // rows of a tile begin in banks of their own
#define OD_E4M3_STAGES       3
#define OD_E4M3_THREADS      256
#define OD_E4M3_STAGE_BYTES  ((OD_E4M3_TILE_M + OD_E4M3_TILE_N) * OD_E4M3_PITCH)
#define OD_E4M3_SHARED_BYTES (OD_E4M3_STAGES * OD_E4M3_STAGE_BYTES)

#endif
