// Matrix products with bf16 results and operands of any alignment: an image of its own, so that a program loads what it runs.
#include "device/cuda/matmul.cuh"

// A lies as [m, k] (n) or [k, m] (t), B as [k, n] (n) or [n, k] (t).
KERNEL(od_matmul_any_bf16_nn, true, false, false, false)
KERNEL(od_matmul_any_bf16_nt, true, true, false, false)
KERNEL(od_matmul_any_bf16_tn, false, false, false, false)
KERNEL(od_matmul_any_bf16_tt, false, true, false, false)
