// Paged attention for heads of 128 channels.
#define HEAD_DIM 128
#include "ops/paged/paged_body.cuh"
