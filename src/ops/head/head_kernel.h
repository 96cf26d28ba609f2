/**
 * @file
 * Cross-entropy of one row of logits against a target id.
 *
 *     loss = log(sum(exp(l))) - l[target];  dl = (softmax(l) - onehot(target)) * scale
 *
 * @order  Eight lanes, fixed tree, tail left to right.
 * @thread Re-entrant.
 */
#ifndef OD_OPS_HEAD_KERNEL_H
#define OD_OPS_HEAD_KERNEL_H

#include <stdint.h>

#include "ops/attention/attention_kernel.h"

static float cross_entropy(float *logits, int64_t v, int32_t target, int grad, float scale)
{
    const float at_target = logits[target];
    const float lse = softmax_row(logits, v, 1.0F);
    if (grad) {
        logits[target] -= 1.0F;
        int64_t j = 0;
        for (; j + 8 <= v; j += 8) {
            od_v8_store(logits + j, od_v8_load(logits + j) * scale);
        }
        for (; j < v; j++) {
            logits[j] *= scale;
        }
    }
    return lse - at_target;
}

#endif
