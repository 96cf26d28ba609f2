// Paged attention for heads of 96 channels.
#define HEAD_DIM 96
#include "ops/paged/paged_body.cuh"
