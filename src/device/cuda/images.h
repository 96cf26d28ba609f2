/**
 * @file
 * The kernels that the build put into this program: one image (fatbin) per .cu file. The tables
 * are assembled by tools/embed-kernels; a build without kernels has none (no_images.c).
 * @thread No state.
 */
#ifndef OD_DEVICE_CUDA_IMAGES_H
#define OD_DEVICE_CUDA_IMAGES_H

#include <stddef.h>
#include <stdint.h>

/** One image: bytes that the driver reads. */
struct od_cuda_image {
    const char *name;  ///< of the .cu file, without the suffix
    const unsigned char *begin;
    const unsigned char *end;
    /** Loaded when one of its kernels, named od_NAME or od_NAME_..., is first asked for; 0: from the start. */
    uint64_t is_on_demand;
};

extern const struct od_cuda_image od_cuda_images[];
extern const uint64_t od_cuda_image_count;
/** What the images were compiled for: "sm_80 sm_90a compute_80"; "" without images. */
extern const char od_cuda_image_archs[];

#endif
