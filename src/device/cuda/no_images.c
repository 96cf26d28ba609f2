// A build without CUDA kernels.

#include <stdint.h>

#include "device/cuda/images.h"

const struct od_cuda_image od_cuda_images[1] = {{0}};
const uint64_t od_cuda_image_count = 0;
const char od_cuda_image_archs[] = "";
