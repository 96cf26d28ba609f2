/**
 * @file
 * Base weights on their way to a GPU: a sink for od_weights_stream.
 *
 * @thread One owner: that of the GPU.
 */
#ifndef OD_PLAN_GPU_SINK_H
#define OD_PLAN_GPU_SINK_H

#include "base/threads.h"
#include "model/weights.h"
#include "ops/gpu.h"

/** Into the tensors of `gpu`, which has the program whose parts come. `pool` quantises; NULL: this
 *  thread. @memory Borrows both. */
struct od_weight_sink od_gpu_sink(struct od_gpu *gpu, struct od_pool *pool);

#endif
