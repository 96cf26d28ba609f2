// Paged attention for heads of 64 channels.
#define HEAD_DIM 64
#include "ops/paged/paged_body.cuh"
