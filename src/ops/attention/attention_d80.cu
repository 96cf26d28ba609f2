// The kernels for heads of 80 channels.
#include "ops/attention/attention_common.cuh"

#define HEAD_DIM 80
#include "ops/attention/attention_body.cuh"
