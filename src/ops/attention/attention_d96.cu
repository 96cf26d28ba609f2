// The kernels for heads of 96 channels.
#include "ops/attention/attention_common.cuh"

#define HEAD_DIM 96
#include "ops/attention/attention_body.cuh"
