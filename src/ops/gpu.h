/**
 * @file
 * Runs the operations of a program on a GPU: the same list that the CPU walks, with bf16 data.
 *
 * A pass always covers the program's full number of tokens: rows behind those in use become a
 * document of their own without labels, whose gradients are zero. So every shape is fixed, whatever
 * the batch. All memory is one allocation that is laid out before the first pass: the plan, then
 * what the optimiser and the libraries need.
 *
 * Work is queued; od_gpu_finish waits and reports.
 *
 * @thread One owner.
 */
#ifndef OD_OPS_GPU_H
#define OD_OPS_GPU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "device/cuda/cuda.h"
#include "device/cuda/matmul.h"
#include "ops/adamw/adamw_cuda.h"
#include "ops/op.h"

/** Rows of logits that the loss holds on a GPU, and what their number is rounded up to. */
enum { OD_GPU_HEAD_ROWS = 2048, OD_GPU_HEAD_STEP = 256 };

struct od_gpu;

/** A tensor as operations see it: where it lies and how. */
struct od_gpu_tensor {
    od_dev at;
    int64_t rows;
    int64_t cols;
    int64_t stride;  ///< elements from row to row
    bool is_float;   ///< fp32; else bf16 (or int32 for inputs)
    bool is_host;    ///< pinned memory of the host, which `at` is the address of
    size_t bytes;    ///< all of it, spare rows and columns too
};

/** A trained tensor: numbers of itself, gradient, moments, bf16 copy (-1: none). */
struct od_gpu_param {
    int32_t tensor;
    int32_t gradient;
    int32_t m;
    int32_t v;
    int32_t m_scales;  ///< -1: m and v are fp32; else 8-bit codes (ops/adamw/adamw_8bit.h)
    int32_t v_scales;
    int32_t copy;
    bool decay;
};

/** What a batch's counts are, in one tensor. */
enum od_gpu_count {
    OD_GPU_COUNT_QUERY_TILES,
    OD_GPU_COUNT_KEY_TILES,
    OD_GPU_COUNT_DQUERY_TILES,
    OD_GPU_COUNT_LABELS,
    OD_GPU_COUNT_EMBED_RUNS,
    OD_GPU_COUNT_LOSS_SCALE,  ///< the bits of a float
    OD_GPU_COUNT_PASS,        ///< that dropout's masks and the embedding's noise are drawn for
    OD_GPU_COUNT_POSITION_RUNS,
};
/** Words of the counts' tensor, spare ones among them. */
enum { OD_GPU_COUNTS = 8 };

/** Which tensors carry the batch; -1: none. */
struct od_gpu_inputs {
    int32_t ids;
    int32_t positions;
    int32_t targets;
    int32_t label_rows;
    int32_t query_tiles;
    int32_t key_tiles;
    int32_t dquery_tiles;
    int32_t counts;  ///< [8], enum od_gpu_count
    int32_t embed_order;
    int32_t embed_runs;
    int32_t position_order;
    int32_t position_runs;
    int32_t noise_bounds;  ///< [tokens] largest noise on a row of the embedding, the bits of floats
};

/** What a program needs from a GPU. Everything is borrowed for od_gpu_open only. */
struct od_gpu_layout {
    const struct od_gpu_tensor
        *tensors;  ///< `at` counts from the start of the arena, or of the host's
    int32_t tensor_count;
    const struct od_op *ops;
    int32_t op_count;
    int32_t forward_count;
    const struct od_gpu_param *params;
    int32_t param_count;
    struct od_gpu_inputs inputs;
    int64_t tokens;
    size_t persistent_bytes;  ///< cleared at the start
    size_t plan_bytes;
    size_t host_bytes;   ///< pinned, for the tensors that lie there
    size_t extra_bytes;  ///< for the caller's use (od_gpu_extra), behind all else
    bool use_library;    ///< cuBLASLt where it is found
};

/** Bytes that a layout takes on the card, without the driver's context: the one allocation, and what the
 *  libraries' kernels and the recorded graphs take beside it. */
size_t od_gpu_bytes(const struct od_gpu_layout *layout);

/** Take the memory and find the kernels. @memory Gives: od_gpu_close. Borrows `cuda`. */
enum od_status od_gpu_open(struct od_cuda *cuda, const struct od_gpu_layout *layout,
                           struct od_gpu **ret, struct od_error *err) OD_MUST_CHECK;
void od_gpu_close(struct od_gpu *gpu);
struct od_matmul *od_gpu_matmul(struct od_gpu *gpu);
/** The layout's extra bytes; they start as NaN. */
od_dev od_gpu_extra(const struct od_gpu *gpu);
/** Where tensor `number` lies now. */
struct od_gpu_tensor od_gpu_tensor(const struct od_gpu *gpu, int32_t number);

/** Send a batch: od_batch's ids, positions, targets and segments. Allocates nothing. */
enum od_status od_gpu_batch(struct od_gpu *gpu, const struct od_batch *batch,
                            struct od_error *err) OD_MUST_CHECK;
/** Queue one operation over the batch that was sent. */
void od_gpu_run(struct od_gpu *gpu, const struct od_op *op);
/** Queue forward and, when the batch wants gradients, backward; losses add to the step's sum. A kind
 *  of batch that comes again is recorded as a graph and launched at once from then on. */
void od_gpu_pass(struct od_gpu *gpu);
/** Switch graphs off, or on (as they are at first). */
void od_gpu_use_graphs(struct od_gpu *gpu, bool use);

/** Parts of a step whose time can be told apart. */
enum od_gpu_part {
    OD_GPU_PART_EMBED,
    OD_GPU_PART_NORM,
    OD_GPU_PART_NORM_BWD,
    OD_GPU_PART_PRODUCT,        ///< Y = X W^T
    OD_GPU_PART_PRODUCT_BWD_X,  ///< dX = dY W
    OD_GPU_PART_PRODUCT_BWD_W,  ///< dW = dY^T X
    OD_GPU_PART_DECODE,         ///< quantised weights
    OD_GPU_PART_ADAPTER,        ///< X A^T
    OD_GPU_PART_ADAPTER_BWD,    ///< dY B
    OD_GPU_PART_ADAPTER_BWD_W,  ///< dA, dB
    OD_GPU_PART_ROPE,
    OD_GPU_PART_ATTENTION,
    OD_GPU_PART_ATTENTION_BWD,
    OD_GPU_PART_GLU,
    OD_GPU_PART_GLU_BWD,
    OD_GPU_PART_ADD,
    OD_GPU_PART_HEAD,  ///< logits, loss and their gradients
    OD_GPU_PART_COPY,  ///< waiting for copies to and from the host
    OD_GPU_PART_OPTIMIZER,
    OD_GPU_PART_OTHER,  ///< batch, clearing
    OD_GPU_PART_COUNT
};
/** Where the time of an operation belongs; products have several parts, which they mark themselves. */
enum od_gpu_part od_gpu_part_of(enum od_op_kind kind);
/** "attention backward" and so on. */
const char *od_gpu_part_name(enum od_gpu_part part);
/** Take times from now on; queuing gets slower. */
enum od_status od_gpu_profile_begin(struct od_gpu *gpu, struct od_error *err) OD_MUST_CHECK;
/** Wait, and add up milliseconds by part. */
enum od_status od_gpu_profile_end(struct od_gpu *gpu, double ms[OD_GPU_PART_COUNT],
                                  struct od_error *err) OD_MUST_CHECK;

/** Measure the algorithm of every matrix product that a pass makes and that was not measured before,
 *  on the batch that was sent. Activations and gradients are garbage afterwards. */
enum od_status od_gpu_tune(struct od_gpu *gpu, struct od_error *err) OD_MUST_CHECK;

/** Begin a step: gradients and the sum of losses are zero. */
void od_gpu_clear(struct od_gpu *gpu);
/** Norm, clipping, AdamW, bf16 copies. Skipped on the device when loss or norm are no numbers. */
void od_gpu_update(struct od_gpu *gpu, const struct od_adamw_scalars *scalars);
/** Bring bf16 copies and folded adapters up to date after masters were written. */
void od_gpu_refresh(struct od_gpu *gpu);
/** Hash of the trained weights into the stats. */
void od_gpu_hash(struct od_gpu *gpu);
/** Wait, and read what the device says of the step. */
enum od_status od_gpu_finish(struct od_gpu *gpu, struct od_adamw_stats *ret,
                             struct od_error *err) OD_MUST_CHECK;

/** Copy an fp32 tensor without spare columns to or from the host; waits. */
enum od_status od_gpu_write(struct od_gpu *gpu, int32_t tensor, const float *from,
                            struct od_error *err) OD_MUST_CHECK;
enum od_status od_gpu_read(struct od_gpu *gpu, int32_t tensor, float *to,
                           struct od_error *err) OD_MUST_CHECK;

/** Bytes [at, at + count) of a tensor from and to the host; waits. */
enum od_status od_gpu_write_bytes(struct od_gpu *gpu, int32_t tensor, uint64_t at, const void *from,
                                  size_t count, struct od_error *err) OD_MUST_CHECK;
enum od_status od_gpu_read_bytes(struct od_gpu *gpu, int32_t tensor, uint64_t at, void *to,
                                 size_t count, struct od_error *err) OD_MUST_CHECK;

/** A piece of a tensor of a file: elements [first, first + count) of a [rows, cols] part. */
struct od_gpu_piece {
    int32_t tensor;
    int64_t row;  ///< of the part in the tensor
    int64_t cols;
    int64_t first;
    int64_t count;
    int type;          ///< 0: fp32, 1: fp16, 2: bf16
    const void *data;  ///< count values
};
/** Largest piece. */
enum { OD_GPU_PIECE_BYTES = 16 << 20 };
/** Memory for the next piece's data; waits until its last use has passed. */
void *od_gpu_piece_buffer(struct od_gpu *gpu, struct od_error *err);
/** Send a piece whose data lies in the buffer that was asked for last. */
void od_gpu_put(struct od_gpu *gpu, const struct od_gpu_piece *piece);
/** Values that were no numbers since the last call; waits. */
enum od_status od_gpu_put_finish(struct od_gpu *gpu, uint64_t *ret_bad,
                                 struct od_error *err) OD_MUST_CHECK;
/** Random weights made on the card: normal(0, deviation); deviation 0: all ones. */
void od_gpu_init(struct od_gpu *gpu, int32_t tensor, uint64_t seed, float deviation);
/** Random bytes, for the codes of weights whose values matter to nobody. */
void od_gpu_init_bytes(struct od_gpu *gpu, int32_t tensor, uint64_t seed);
/** Codes of eight-bit floats: normal(0, OD_GPU_E4M3_DEVIATION). */
#define OD_GPU_E4M3_DEVIATION 100.0F
void od_gpu_init_e4m3(struct od_gpu *gpu, int32_t tensor, uint64_t seed);

#endif
