/**
 * @file
 * Fresh weights drawn on a GPU: bit for bit those that od_normal_pair gives on a CPU.
 *
 * @thread One owner.
 */
#ifndef OD_OPS_GPU_DRAW_H
#define OD_OPS_GPU_DRAW_H

#include <stdint.h>

#include "base/status.h"

struct od_gpu_draw;

/** What is drawn: elements [first, first + count) of the normals of (seed, stream, step), each
 *  multiplied by `deviation` in double and rounded to fp32. `first` is even. */
struct od_gpu_draw_range {
    uint64_t seed;
    uint32_t stream;
    uint32_t step;
    int64_t first;
    int64_t count;
    double deviation;
};

/** Open the card `gpu` for draws of up to `count_max` elements. @memory Gives: od_gpu_draw_close. */
enum od_status od_gpu_draw_open(int gpu, int64_t count_max, struct od_gpu_draw **ret,
                                struct od_error *err) OD_MUST_CHECK;
void od_gpu_draw_close(struct od_gpu_draw *draw);
/** Draw into `to` [count]; waits. */
enum od_status od_gpu_draw(struct od_gpu_draw *draw, const struct od_gpu_draw_range *range,
                           float *to, struct od_error *err) OD_MUST_CHECK;

#endif
