// Matrix products with fp32 results: an image of its own, so that a program loads what it runs.
#include "device/cuda/matmul.cuh"

// A lies as [m, k] (n) or [k, m] (t), B as [k, n] (n) or [n, k] (t).
KERNEL(od_matmul_f32_nn, true, false, true, true)
KERNEL(od_matmul_f32_nt, true, true, true, true)
KERNEL(od_matmul_f32_tn, false, false, true, true)
KERNEL(od_matmul_f32_tt, false, true, true, true)
