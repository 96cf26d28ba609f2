/**
 * @file
 * Kernels of training for the card of infer/soft_card.h: products as plain loops, and the source of the
 * kernels themselves for the embedding, the head, dropout and the copies that products read
 * (ops/gpu_lanes.h). A test includes soft_card.h, then this file, and calls soft_kernels_use.
 *
 * @thread One owner.
 */
#ifndef OD_TESTS_PLAN_SOFT_KERNELS_H
#define OD_TESTS_PLAN_SOFT_KERNELS_H

#include <stdint.h>

#include "infer/soft_card.h"
#include "ops/gpu_lanes.h"

// The style of kernels, of which not all are launched.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunknown-pragmas"
#ifdef __clang__
#pragma GCC diagnostic ignored "-Wpass-failed"  // it may leave them as they are
#endif
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#pragma GCC diagnostic ignored "-Wsign-compare"
#pragma GCC diagnostic ignored "-Wcast-align"
#pragma GCC diagnostic ignored "-Wcast-qual"
#pragma GCC diagnostic ignored "-Wunused-function"
#include "ops/dropout/dropout.cu"
#include "ops/embed/embed.cu"
#include "ops/head/head.cu"
#pragma GCC diagnostic pop
#undef OD_KERNEL
#undef od_philox_draw
#undef __expf

// The arguments of the launch that runs.
static void **lane_args;
#define VALUE(type, index) (*(type *)lane_args[index])
#define PLACE(type, index) ((type *)at(VALUE(od_dev, index)))

static void embed_body(void)
{
    od_embed(PLACE(od_bf16, 0), VALUE(int64_t, 1), PLACE(od_bf16, 2), VALUE(int64_t, 3),
             PLACE(int32_t, 4), VALUE(int64_t, 5));
}

static void embed_noise_body(void)
{
    od_embed_noise(PLACE(od_bf16, 0), VALUE(int64_t, 1), PLACE(float, 2), VALUE(int64_t, 3),
                   VALUE(uint64_t, 4), VALUE(uint32_t, 5), PLACE(uint32_t, 6));
}

static void embed_adapter_body(void)
{
    od_embed_adapter(PLACE(od_bf16, 0), VALUE(int64_t, 1), PLACE(float, 2), PLACE(int32_t, 3),
                     VALUE(int64_t, 4), VALUE(int64_t, 5));
}

static void embed_bwd_body(void)
{
    od_embed_bwd(PLACE(float, 0), PLACE(od_bf16, 1), VALUE(int64_t, 2), PLACE(int32_t, 3),
                 PLACE(int32_t, 4), PLACE(int32_t, 5), PLACE(int32_t, 6), VALUE(int64_t, 7));
}

static void dropout_body(void)
{
    od_dropout(PLACE(od_bf16, 0), VALUE(int64_t, 1), PLACE(od_bf16, 2), VALUE(int64_t, 3),
               VALUE(int64_t, 4), VALUE(uint64_t, 5), VALUE(uint32_t, 6), PLACE(uint32_t, 7),
               VALUE(uint32_t, 8), VALUE(float, 9), VALUE(int64_t, 10), VALUE(int, 11));
}

static void gather_body(void)
{
    od_gather_rows(PLACE(od_bf16, 0), VALUE(int64_t, 1), PLACE(od_bf16, 2), VALUE(int64_t, 3),
                   PLACE(int32_t, 4), PLACE(int32_t, 5), VALUE(int64_t, 6), VALUE(int64_t, 7));
}

static void scatter_body(void)
{
    od_scatter_rows(PLACE(od_bf16, 0), VALUE(int64_t, 1), PLACE(od_bf16, 2), VALUE(int64_t, 3),
                    PLACE(int32_t, 4), PLACE(int32_t, 5), VALUE(int64_t, 6), VALUE(int64_t, 7));
}

static void cross_entropy_body(void)
{
    od_cross_entropy(PLACE(od_bf16, 0), VALUE(int64_t, 1), VALUE(int64_t, 2), PLACE(int32_t, 3),
                     PLACE(int32_t, 4), VALUE(int64_t, 5), PLACE(int32_t, 6), PLACE(float, 7),
                     PLACE(float, 8), VALUE(int, 9));
}

static void sum_losses_body(void)
{
    od_sum_losses(PLACE(double, 0), PLACE(float, 1), PLACE(int32_t, 2));
}

static void run_lanes(struct od_cuda_grid grid, void **args, void (*body)(void))
{
    assert(grid.threads == OD_GPU_THREADS);
    lane_args = args;
    run_grid(grid.x, grid.y, body);
}

#define LANES_KERNEL(name)                                               \
    static void soft_lanes_##name(struct od_cuda_grid grid, void **args) \
    {                                                                    \
        run_lanes(grid, args, name##_body);                              \
    }
LANES_KERNEL(embed)
LANES_KERNEL(embed_noise)
LANES_KERNEL(embed_adapter)
LANES_KERNEL(embed_bwd)
LANES_KERNEL(dropout)
LANES_KERNEL(gather)
LANES_KERNEL(scatter)
LANES_KERNEL(cross_entropy)
LANES_KERNEL(sum_losses)

static void soft_cast_rows(struct od_cuda_grid grid, void **args)
{
    for (unsigned row = 0; row < grid.x; row++) {
        uint16_t *to = (uint16_t *)at(ARG(od_dev, 0)) + row * ARG(int64_t, 1);
        const float *from = (float *)at(ARG(od_dev, 2)) + row * ARG(int64_t, 3);
        for (int64_t c = 0; c < ARG(int64_t, 4); c++) {
            to[c] = narrow(from[c] * ARG(float, 5));
        }
    }
}

#define PRODUCT_KERNEL(name, a_transposed, b_transposed, is_float)         \
    static void soft_product_##name(struct od_cuda_grid grid, void **args) \
    {                                                                      \
        (void)grid;                                                        \
        product(args, a_transposed, b_transposed, is_float);               \
    }
PRODUCT_KERNEL(bf16_nn, false, false, false)
PRODUCT_KERNEL(f32_tn, true, false, true)

static const struct soft_kernel training_kernels[] = {
    {"od_embed", soft_lanes_embed},
    {"od_embed_noise", soft_lanes_embed_noise},
    {"od_embed_adapter", soft_lanes_embed_adapter},
    {"od_embed_bwd", soft_lanes_embed_bwd},
    {"od_dropout", soft_lanes_dropout},
    {"od_gather_rows", soft_lanes_gather},
    {"od_scatter_rows", soft_lanes_scatter},
    {"od_cross_entropy", soft_lanes_cross_entropy},
    {"od_sum_losses", soft_lanes_sum_losses},
    {"od_cast_rows", soft_cast_rows},
    {"od_matmul_bf16_nn", soft_product_bf16_nn},
    {"od_matmul_f32_tn", soft_product_f32_tn},
    {"od_matmul_any_bf16_nt", soft_product_half},
    {"od_matmul_any_bf16_nn", soft_product_bf16_nn},
    {"od_matmul_any_f32_tn", soft_product_f32_tn},
};

/** From now on a card that is opened has these kernels, too. */
static inline void soft_kernels_use(void)
{
    soft_more = training_kernels;
    soft_more_count = sizeof training_kernels / sizeof training_kernels[0];
}

#endif
