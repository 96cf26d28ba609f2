// The kernels for heads of 128 channels.
#include "ops/attention/attention_common.cuh"

#define HEAD_DIM 128
#include "ops/attention/attention_body.cuh"

// Versions by warpgroup products; other architectures have the kernels above only.
#if !defined(__CUDA_ARCH__) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
#include "ops/attention/attention_wgmma.cuh"

#include "ops/attention/attention_sm90a.cuh"
#endif
