// Paged attention for heads of 80 channels.
#define HEAD_DIM 80
#include "ops/paged/paged_body.cuh"
