// Paged attention for heads of 256 channels.
#define HEAD_DIM 256
#include "ops/paged/paged_body.cuh"
