// What a layer does not keep, and how it comes back.
//
// A dropped tensor ends with its last use in the forward pass. When the backward pass asks for it, the
// operations that made it are repeated into a tensor of its own: first those of their inputs, then
// those that changed it in place. Statistics (RSTD, LSE) are kept: the repetition writes the same.
//
// The input of a layer that keeps nothing is copied to the host while the layer runs (STORE, and STORED
// where the next layer begins), and back while the backward pass of the layer behind runs: when one has
// come (FETCHED), the copy of the next one begins (FETCH). Two of them are on the device at a time.

#include <stdint.h>

#include "model/program.h"
#include "model/program_internal.h"
#include "ops/op.h"

enum { DROPPED = -1 };

static bool is_norm(enum od_op_kind kind)
{
    return kind == OD_OP_RMS_NORM || kind == OD_OP_LAYER_NORM || kind == OD_OP_HEAD_NORM;
}

static bool is_activation(enum od_op_kind kind)
{
    return kind == OD_OP_GLU || kind == OD_OP_ACTIVATION;
}

// Whether the output of operation `index` is dropped at a level.
static bool is_dropped(const struct od_builder *b, int32_t index, int32_t last, enum od_keep keep)
{
    const struct od_op *op = &b->program.ops[index];
    const int32_t y = op->slot[OD_SLOT_Y];
    if (y < 0 || y == b->program.ops[last].slot[OD_SLOT_Y] || keep == OD_KEEP_ALL) {
        return false;  // the next layer's input
    }
    if (is_norm(op->kind) || is_activation(op->kind) || keep >= OD_KEEP_INPUT) {
        return true;
    }
    if (keep == OD_KEEP_ATTENTION) {
        return op->kind == OD_OP_LINEAR && index < last &&
               is_activation(b->program.ops[index + 1].kind);
    }
    return keep == OD_KEEP_SUMS && op->kind != OD_OP_ATTENTION;
}

// The level that keeps less by one step.
static enum od_keep below(enum od_keep keep)
{
    switch (keep) {
    case OD_KEEP_ALL: return OD_KEEP_PRODUCTS;
    case OD_KEEP_PRODUCTS: return OD_KEEP_ATTENTION;
    case OD_KEEP_ATTENTION: return OD_KEEP_SUMS;
    case OD_KEEP_SUMS: return OD_KEEP_INPUT;
    case OD_KEEP_INPUT:
    case OD_KEEP_HOST:
    case OD_KEEP_COUNT: break;
    }
    return OD_KEEP_HOST;
}

static enum od_keep keep_of(const struct od_builder *b, int64_t layer)
{
    const struct od_program_options *options = &b->program.options;
    return layer < options->lean_layers ? below(options->keep) : options->keep;
}

// Whether the backward pass comes to a layer: something in it or before it is trained. What it does not
// come to is not fetched, so it is not stored.
static bool is_reached(const struct od_builder *b, int64_t layer)
{
    const struct od_program_options *options = &b->program.options;
    const bool in_layers = options->mode == OD_PROGRAM_TRAIN_LORA &&
                           (options->lora_targets & od_spec_targets(&b->program.spec)) != 0;
    for (int64_t i = 0; i <= layer && in_layers; i++) {
        if (od_layer_set_has(&options->lora_layers, i)) {
            return true;
        }
    }
    return options->mode == OD_PROGRAM_TRAIN_FULL || (options->saved & OD_SAVED_EMBEDDING) != 0 ||
           (options->lora_targets & OD_TARGET_ALL_EMBED) != 0;
}

void od_build_layer(struct od_builder *b, int64_t index, int32_t x)
{
    b->layer_op[index] = b->program.op_count;
    b->layer = index;
    if (b->failed || b->program.options.mode == OD_PROGRAM_INFER) {
        return;
    }
    const int32_t before = b->last_stored - 1;
    if (before >= 0) {
        struct od_op *op = od_build_op(b, OD_OP_STORED);
        op->slot[OD_SLOT_X] = before;
        op->slot[OD_SLOT_AUX] = b->host_of[before] - 1;
    }
    b->last_stored = 0;
    if (index == b->program.spec.layers || keep_of(b, index) != OD_KEEP_HOST ||
        !is_reached(b, index)) {
        return;
    }
    const struct od_tensor t = b->program.tensors[x];
    const int32_t host =
        od_build_tensor(b, OD_ROLE_HOST, t.rows, t.cols, "layers.%lld.input", (long long)index);
    struct od_op *op = od_build_op(b, OD_OP_STORE);
    op->n = t.cols;
    op->slot[OD_SLOT_X] = x;
    op->slot[OD_SLOT_AUX] = host;
    if (b->failed) {
        return;
    }
    b->host_of[x] = host + 1;
    b->next_fetch[x] = before + 1;
    b->last_stored = x + 1;
}

// Behind this operation X A^T lies beside its X; the head's lies beside the rows that it gathers.
static void note_folded(struct od_builder *b, const struct od_op *op)
{
    if (op->kind == OD_OP_LINEAR && op->fold > 0) {
        b->folded[op->slot[OD_SLOT_X]] = true;
    }
}

void od_build_drop(struct od_builder *b)
{
    for (int64_t layer = 0; layer < b->program.spec.layers && !b->failed; layer++) {
        const enum od_keep keep = keep_of(b, layer);
        const int32_t last = b->layer_op[layer + 1] - 1;
        for (int32_t i = b->layer_op[layer]; i <= last; i++) {
            if (is_dropped(b, i, last, keep)) {
                b->again[b->program.ops[i].slot[OD_SLOT_Y]] = DROPPED;
            }
        }
    }
    for (int32_t i = 0; i < b->program.op_count && !b->failed; i++) {
        note_folded(b, &b->program.ops[i]);
    }
}

static bool is_in_place(enum od_op_kind kind)
{
    return kind == OD_OP_ROPE || kind == OD_OP_POSITIONS;
}

// Scratch of its own: the first one's is free between the two.
static void fresh_work(struct od_builder *b, struct od_op *op)
{
    const int32_t number = op->slot[OD_SLOT_WORK];
    if (number < 0 || b->failed) {
        return;
    }
    const struct od_tensor t = b->program.tensors[number];
    op->slot[OD_SLOT_WORK] =
        od_build_tensor(b, OD_ROLE_WORK, t.rows, t.cols, "%.54s.again", t.name);
}

// Operation `index` once more, into `to`.
static void repeat(struct od_builder *b, int32_t index, int32_t to)
{
    struct od_op op = b->program.ops[index];
    if (is_in_place(op.kind)) {
        op.slot[OD_SLOT_Y] = to;
    } else {
        if (op.slot[OD_SLOT_X] >= 0) {
            op.slot[OD_SLOT_X] = od_build_again(b, op.slot[OD_SLOT_X]);
        }
        if (op.slot[OD_SLOT_RES] >= 0) {
            op.slot[OD_SLOT_RES] = od_build_again(b, op.slot[OD_SLOT_RES]);
        }
        op.slot[OD_SLOT_Y] = to;
        od_build_decoded_again(b, &op);
        fresh_work(b, &op);
    }
    if (b->failed) {
        return;
    }
    note_folded(b, &op);
    *od_build_op(b, op.kind) = op;
}

// Begin to fetch what lies with the host.
static void fetch(struct od_builder *b, int32_t number)
{
    const struct od_tensor t = b->program.tensors[number];
    const int32_t to =
        od_build_tensor(b, OD_ROLE_ACTIVATION, t.rows, t.cols, "%.54s.again", t.name);
    struct od_op *op = od_build_op(b, OD_OP_FETCH);
    op->n = t.cols;
    op->slot[OD_SLOT_Y] = to;
    op->slot[OD_SLOT_AUX] = b->host_of[number] - 1;
    b->again[number] = to + 1;
}

// The layer's input, from the host; the one that is asked for next sets out.
static int32_t fetched(struct od_builder *b, int32_t number)
{
    if (b->again[number] == 0) {
        fetch(b, number);
    }
    const int32_t to = b->again[number] - 1;
    struct od_op *op = od_build_op(b, OD_OP_FETCHED);
    op->slot[OD_SLOT_Y] = to;
    op->slot[OD_SLOT_AUX] = b->host_of[number] - 1;
    b->host_of[number] = 0;  // it is here
    if (b->next_fetch[number] > 0 && !b->failed) {
        fetch(b, b->next_fetch[number] - 1);
    }
    return to;
}

void od_build_match(struct od_builder *b)
{
    struct od_tensor *tensors = b->program.tensors;
    for (int pass = 0; pass < 2 && !b->failed; pass++) {  // widest first, then all alike
        for (int32_t i = 0; i < b->program.op_count; i++) {
            const struct od_op *op = &b->program.ops[i];
            if (op->kind == OD_OP_STORE || op->kind == OD_OP_FETCH) {
                const int32_t here = op->slot[op->kind == OD_OP_STORE ? OD_SLOT_X : OD_SLOT_Y];
                const int32_t host = op->slot[OD_SLOT_AUX];
                od_build_pad(b, host, tensors[here].pad);
                od_build_pad(b, here, tensors[host].pad);
            }
        }
    }
}

int32_t od_build_again(struct od_builder *b, int32_t number)
{
    if (!b->failed && b->host_of[number] > 0) {
        return fetched(b, number);
    }
    if (b->failed || b->again[number] == 0) {
        return number;
    }
    if (b->again[number] > 0) {
        return b->again[number] - 1;
    }
    const struct od_tensor t = b->program.tensors[number];
    const int32_t to =
        od_build_tensor(b, OD_ROLE_ACTIVATION, t.rows, t.cols, "%.54s.again", t.name);
    od_build_pad(b, to, t.pad);
    b->again[number] = to + 1;
    for (int32_t i = 0; i < b->program.forward_count; i++) {
        if (b->program.ops[i].slot[OD_SLOT_Y] == number) {
            repeat(b, i, to);
        }
    }
    return to;
}
