/**
 * @file
 * What the host and the GPU's optimiser kernels share.
 *
 * @thread No state.
 */
#ifndef OD_OPS_ADAMW_CUDA_H
#define OD_OPS_ADAMW_CUDA_H

#include <stdint.h>

/** Elements that one block updates. */
enum { OD_ADAMW_CHUNK = 8192 };

/** A piece of a trained tensor on the device: fp32, or bf16 without a master; m and v fp32, or codes
 *  with scales. */
struct od_adamw_chunk {
    uint64_t w;
    uint64_t m;
    uint64_t v;
    uint64_t g;
    uint64_t m_scales;  ///< 0: m and v are fp32; else codes (adamw_8bit.h)
    uint64_t v_scales;
    int32_t count;
    int32_t decays;   ///< weight decay applies
    int32_t is_half;  ///< w is bf16, rounded by chance (rounding.h)
    uint64_t index;   ///< of the first element among all trained ones
};

/** Scalars of a step, computed in double on the host. */
struct od_adamw_scalars {
    float beta1;
    float beta2;
    float one_minus_beta1;
    float one_minus_beta2;
    float step_size;     ///< lr / (1 - beta1^t)
    float inv_sqrt_bc2;  ///< 1 / sqrt(1 - beta2^t)
    float eps;
    float decay;     ///< 1 - lr * weight_decay
    float max_norm;  ///< 0: no clipping
    uint32_t step;   ///< that the rounding of bf16 weights is drawn for
    uint64_t seed;
};

/** What the device says after a step. */
struct od_adamw_stats {
    double loss_sum;
    double norm;    ///< of the gradient, before clipping
    double clip;    ///< factor on the gradient
    double finite;  ///< 1 when the step was taken, 0 when loss or norm are no numbers
    uint64_t hash;  ///< of the weights
};

#endif
