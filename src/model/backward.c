// The backward list: operations in reverse, one rule per kind.
//
// A tensor has a gradient only where a trained weight lies before it. The first rule that reaches a
// tensor sets its gradient, later ones add to it. A residual's gradient is the sum's gradient: when
// nothing was added yet both share one tensor.

#include <stdint.h>

#include "model/program.h"
#include "model/program_internal.h"
#include "ops/op.h"

// Gradient of tensor `number`; *ret_add tells whether it must be added to.
static int32_t gradient(struct od_builder *b, int32_t number, bool *ret_add)
{
    *ret_add = b->gradient_of[number] != 0;
    if (!*ret_add) {
        const struct od_tensor t = b->program.tensors[number];
        b->gradient_of[number] =
            1 + od_build_tensor(b, OD_ROLE_ACTIVATION, t.rows, t.cols, "d.%.58s", t.name);
        od_build_pad(b, b->gradient_of[number] - 1, b->fold_of[number]);
    }
    return b->gradient_of[number] - 1;
}

static bool is_trained(const struct od_builder *b, int32_t number)
{
    return number >= 0 && od_build_gradient_of_param(&b->program, number) >= 0;
}

// Which tensors lie behind a trained weight.
static void find_flow(struct od_builder *b)
{
    for (int32_t i = 0; i < b->program.forward_count; i++) {
        const struct od_op *op = &b->program.ops[i];
        const int32_t y = op->slot[OD_SLOT_Y];
        const int32_t x = op->slot[OD_SLOT_X];
        const int32_t res = op->slot[OD_SLOT_RES];
        if (y < 0) {
            continue;
        }
        b->flows[y] = b->flows[y] || is_trained(b, op->slot[OD_SLOT_W]) ||
                      op->slot[OD_SLOT_A] >= 0 || (x >= 0 && b->flows[x]) ||
                      (res >= 0 && b->flows[res]);
    }
}

// What a backward operation reads of its forward one's tensors.
enum reads { READS_NOTHING, READS_X, READS_X_AND_Y };

static struct od_op *begin(struct od_builder *b, const struct od_op *forward, enum od_op_kind kind,
                           enum reads reads)
{
    // First, because what was dropped is made again by operations before this one.
    const int32_t y = reads == READS_X_AND_Y ? od_build_again(b, forward->slot[OD_SLOT_Y]) : -1;
    const int32_t x = reads == READS_NOTHING ? -1 : od_build_again(b, forward->slot[OD_SLOT_X]);
    struct od_op *op = od_build_op(b, kind);
    const struct od_op fresh = *op;
    *op = *forward;
    op->kind = kind;
    for (int i = OD_SLOT_RES; i < OD_OP_SLOTS; i++) {
        op->slot[i] = fresh.slot[i];
    }
    op->slot[OD_SLOT_X] = x;
    op->slot[OD_SLOT_Y] = y;
    op->slot[OD_SLOT_AUX] = forward->slot[OD_SLOT_AUX];
    return op;
}

static void want_dx(struct od_builder *b, struct od_op *op, const struct od_op *forward)
{
    const int32_t x = forward->slot[OD_SLOT_X];
    if (x >= 0 && b->flows[x]) {
        bool add;
        op->slot[OD_SLOT_DX] = gradient(b, x, &add);
        op->accumulate = add;
    }
}

static void linear_rule(struct od_builder *b, const struct od_op *forward, int32_t dy)
{
    const int32_t dw = od_build_gradient_of_param(&b->program, forward->slot[OD_SLOT_W]);
    const bool reads_x = forward->slot[OD_SLOT_A] >= 0 || dw >= 0;
    struct od_op *op = begin(b, forward, OD_OP_LINEAR_BWD, reads_x ? READS_X : READS_NOTHING);
    op->slot[OD_SLOT_DY] = dy;
    op->slot[OD_SLOT_DW] = dw;
    op->slot[OD_SLOT_DBIAS] = od_build_gradient_of_param(&b->program, forward->slot[OD_SLOT_BIAS]);
    op->refold = forward->fold > 0 && !b->failed && !b->folded[op->slot[OD_SLOT_X]];
    op->slot[OD_SLOT_CODES] = forward->slot[OD_SLOT_CODES];
    op->slot[OD_SLOT_SCALES] = forward->slot[OD_SLOT_SCALES];
    od_build_decoded_again(b, op);
    want_dx(b, op, forward);
    if (forward->slot[OD_SLOT_A] >= 0) {
        op->slot[OD_SLOT_A] = forward->slot[OD_SLOT_A];
        op->slot[OD_SLOT_B] = forward->slot[OD_SLOT_B];
        op->slot[OD_SLOT_A_COPY] = forward->slot[OD_SLOT_A_COPY];
        op->slot[OD_SLOT_B_COPY] = forward->slot[OD_SLOT_B_COPY];
        op->slot[OD_SLOT_XA] = forward->slot[OD_SLOT_XA];
        op->slot[OD_SLOT_DA] = od_build_gradient_of_param(&b->program, forward->slot[OD_SLOT_A]);
        op->slot[OD_SLOT_DB] = od_build_gradient_of_param(&b->program, forward->slot[OD_SLOT_B]);
        // Gradients of X A^T where they have no place beside DY, and the input with dropout.
        const int64_t width = (forward->fold == 0 ? forward->rank * forward->part_count : 0) +
                              (forward->dropout > 0.0F ? forward->k : 0);
        if (width > 0) {
            op->slot[OD_SLOT_WORK] = od_build_tensor(b, OD_ROLE_WORK, b->program.options.tokens,
                                                     width, "adapter.work.%d", b->program.op_count);
        }
    }
    const int32_t res = forward->slot[OD_SLOT_RES];
    if (res >= 0 && b->flows[res]) {
        if (b->gradient_of[res] == 0) {
            b->gradient_of[res] = dy + 1;
            od_build_pad(b, dy, b->fold_of[res]);
        } else {
            struct od_op *add = od_build_op(b, OD_OP_ADD);
            add->n = forward->n;
            add->slot[OD_SLOT_X] = dy;
            add->slot[OD_SLOT_Y] = b->gradient_of[res] - 1;
        }
    }
}

static void attention_rule(struct od_builder *b, const struct od_op *forward, int32_t dy)
{
    struct od_op *op = begin(b, forward, OD_OP_ATTENTION_BWD, READS_X_AND_Y);
    op->slot[OD_SLOT_DY] = dy;
    op->slot[OD_SLOT_WORK] = forward->slot[OD_SLOT_WORK];
    if (b->program.options.half) {
        op->slot[OD_SLOT_WORK] =
            od_build_float(b, OD_ROLE_WORK, b->program.options.tokens, forward->heads,
                           "attention.delta.%d", b->program.op_count);
    }
    want_dx(b, op, forward);
}

static void simple_rule(struct od_builder *b, const struct od_op *forward, enum od_op_kind kind,
                        int32_t dy)
{
    const bool reads_x = forward->slot[OD_SLOT_X] >= 0;
    struct od_op *op = begin(b, forward, kind, reads_x ? READS_X : READS_NOTHING);
    op->slot[OD_SLOT_DY] = dy;
    op->slot[OD_SLOT_DW] = od_build_gradient_of_param(&b->program, forward->slot[OD_SLOT_W]);
    op->slot[OD_SLOT_DBIAS] = od_build_gradient_of_param(&b->program, forward->slot[OD_SLOT_BIAS]);
    if (kind != OD_OP_ROPE_BWD && kind != OD_OP_POSITIONS_BWD) {
        want_dx(b, op, forward);
    }
    if (b->program.options.half && kind == OD_OP_RMS_NORM_BWD && op->slot[OD_SLOT_DW] >= 0) {
        op->slot[OD_SLOT_WORK] = od_build_float(b, OD_ROLE_WORK, OD_NORM_SPLITS, op->n,
                                                "norm.work.%d", b->program.op_count);
    }
}

static void embed_rule(struct od_builder *b, const struct od_op *forward, int32_t dy)
{
    struct od_op *op = begin(b, forward, OD_OP_EMBED_BWD, READS_NOTHING);
    op->slot[OD_SLOT_DY] = dy;
    op->slot[OD_SLOT_DW] = od_build_gradient_of_param(&b->program, forward->slot[OD_SLOT_W]);
    if (forward->slot[OD_SLOT_A] >= 0) {
        op->slot[OD_SLOT_A] = forward->slot[OD_SLOT_A];
        op->slot[OD_SLOT_B] = forward->slot[OD_SLOT_B];
        op->slot[OD_SLOT_XA] = forward->slot[OD_SLOT_XA];
        op->slot[OD_SLOT_DA] = od_build_gradient_of_param(&b->program, forward->slot[OD_SLOT_A]);
        op->slot[OD_SLOT_DB] = od_build_gradient_of_param(&b->program, forward->slot[OD_SLOT_B]);
        op->slot[OD_SLOT_B_COPY] = forward->slot[OD_SLOT_B_COPY];
        op->slot[OD_SLOT_WORK] =
            od_build_tensor(b, OD_ROLE_WORK, b->program.options.tokens,
                            forward->fold > 0 ? forward->fold : forward->rank, "embedding.work");
    }
}

void od_build_backward(struct od_builder *b)
{
    find_flow(b);
    for (int32_t i = b->program.forward_count - 1; i >= 0 && !b->failed; i--) {
        struct od_op *forward = &b->program.ops[i];
        const int32_t y = forward->slot[OD_SLOT_Y];
        const int32_t dy = y < 0 ? -1 : b->gradient_of[y] - 1;
        if (forward->kind == OD_OP_HEAD_LOSS) {  // its own backward
            forward->slot[OD_SLOT_DW] =
                od_build_gradient_of_param(&b->program, forward->slot[OD_SLOT_W]);
            want_dx(b, forward, forward);
            continue;  // and the adapter's gradients are there already
        }
        if (dy < 0) {
            continue;  // nothing trained lies before
        }
        switch (forward->kind) {
        case OD_OP_LINEAR: linear_rule(b, forward, dy); break;
        case OD_OP_ATTENTION: attention_rule(b, forward, dy); break;
        case OD_OP_RMS_NORM: simple_rule(b, forward, OD_OP_RMS_NORM_BWD, dy); break;
        case OD_OP_GLU: simple_rule(b, forward, OD_OP_GLU_BWD, dy); break;
        case OD_OP_ACTIVATION: simple_rule(b, forward, OD_OP_ACTIVATION_BWD, dy); break;
        case OD_OP_LAYER_NORM: simple_rule(b, forward, OD_OP_LAYER_NORM_BWD, dy); break;
        case OD_OP_HEAD_NORM: simple_rule(b, forward, OD_OP_HEAD_NORM_BWD, dy); break;
        case OD_OP_POSITIONS:
            if (is_trained(b, forward->slot[OD_SLOT_W])) {
                simple_rule(b, forward, OD_OP_POSITIONS_BWD, dy);
            }
            break;
        case OD_OP_ROPE: simple_rule(b, forward, OD_OP_ROPE_BWD, dy); break;
        case OD_OP_EMBED: embed_rule(b, forward, dy); break;
        case OD_OP_HEAD_LOSS:
        case OD_OP_EMBED_BWD:
        case OD_OP_RMS_NORM_BWD:
        case OD_OP_LINEAR_BWD:
        case OD_OP_ROPE_BWD:
        case OD_OP_ATTENTION_BWD:
        case OD_OP_ATTENTION_CACHED:
        case OD_OP_GLU_BWD:
        case OD_OP_LAYER_NORM_BWD:
        case OD_OP_HEAD_NORM_BWD:
        case OD_OP_POSITIONS_BWD:
        case OD_OP_ACTIVATION_BWD:
        case OD_OP_ADD:
        case OD_OP_STORE:
        case OD_OP_STORED:
        case OD_OP_FETCH:
        case OD_OP_FETCHED:
        case OD_OP_HEAD_LOGITS:
        case OD_OP_COUNT: b->failed = true; break;
        }
    }
}
