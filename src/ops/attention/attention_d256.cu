// The kernels for heads of 256 channels.
#include "ops/attention/attention_common.cuh"

#define HEAD_DIM 256
#include "ops/attention/attention_body.cuh"
