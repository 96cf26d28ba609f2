// Matrix products with fp32 results and operands of any alignment: an image of its own, so that a program loads what it runs.
#include "device/cuda/matmul.cuh"

// A lies as [m, k] (n) or [k, m] (t), B as [k, n] (n) or [n, k] (t).
KERNEL(od_matmul_any_f32_nn, true, false, true, false)
KERNEL(od_matmul_any_f32_nt, true, true, true, false)
KERNEL(od_matmul_any_f32_tn, false, false, true, false)
KERNEL(od_matmul_any_f32_tt, false, true, true, false)
