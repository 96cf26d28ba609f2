/**
 * @file
 * Shared by the files of the GPU walker.
 *
 * @thread One owner.
 */
#ifndef OD_OPS_GPU_INTERNAL_H
#define OD_OPS_GPU_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "device/cuda/cuda.h"
#include "device/cuda/matmul.h"
#include "ops/adamw/adamw_cuda.h"
#include "ops/attention/attention_cuda.h"
#include "ops/gpu.h"
#include "ops/op.h"

enum { OD_GPU_SLOTS = 4, OD_GPU_THREADS_PER_BLOCK = 256 };

/** Kernels by name; the order of names in gpu.c. */
enum od_gpu_kernel {
    OD_GPU_EMBED,
    OD_GPU_EMBED_NOISE,
    OD_GPU_EMBED_BWD,
    OD_GPU_EMBED_ADAPTER,
    OD_GPU_RMS_NORM,
    OD_GPU_RMS_NORM_BWD,
    OD_GPU_RMS_NORM_DW_PARTS,
    OD_GPU_LAYER_NORM,
    OD_GPU_LAYER_NORM_BWD,
    OD_GPU_LAYER_NORM_DW_PARTS,
    OD_GPU_HEAD_NORM,
    OD_GPU_HEAD_NORM_BWD,
    OD_GPU_HEAD_NORM_DW_PARTS,
    OD_GPU_COLUMN_PARTS,
    OD_GPU_ADD_PARTS,
    OD_GPU_POSITIONS,
    OD_GPU_ROPE,
    // In the order of enum od_activation.
    OD_GPU_GLU,
    OD_GPU_GLU_GELU,
    OD_GPU_GLU_GELU_TANH,
    OD_GPU_GLU_BWD,
    OD_GPU_GLU_BWD_GELU,
    OD_GPU_GLU_BWD_GELU_TANH,
    OD_GPU_ACTIVATION,
    OD_GPU_ACTIVATION_GELU,
    OD_GPU_ACTIVATION_GELU_TANH,
    OD_GPU_ACTIVATION_BWD,
    OD_GPU_ACTIVATION_BWD_GELU,
    OD_GPU_ACTIVATION_BWD_GELU_TANH,
    OD_GPU_GATHER_ROWS,
    OD_GPU_SCATTER_ROWS,
    OD_GPU_CROSS_ENTROPY,
    OD_GPU_SUM_LOSSES,
    OD_GPU_SQUARE_PARTS,
    OD_GPU_NORM_FINISH,
    OD_GPU_ADAMW,
    OD_GPU_ADAMW_8BIT,
    OD_GPU_WEIGHT_HASH,
    OD_GPU_CAST_ROWS,
    OD_GPU_ADD,
    OD_GPU_LOAD_VALUES,
    OD_GPU_INIT_NORMAL,
    OD_GPU_SET_VALUES,
    OD_GPU_DROPOUT,
    OD_GPU_DECODE_NF4,
    OD_GPU_DECODE_INT8,
    OD_GPU_RANDOM_WORDS,
    OD_GPU_ROUND_E4M3,
    OD_GPU_TRANSPOSE_CODES,
    OD_GPU_RANDOM_E4M3,
    OD_GPU_KERNEL_COUNT
};

/** The batch on the device: bounds that launches are sized by. */
struct od_gpu_now {
    int64_t labels;    ///< rounded up
    int64_t tiles[3];  ///< query, key, dquery; rounded up
    bool want_gradient;
    uint64_t dropout_seed;  ///< of the run: the same in all its batches
};

/** A kind of batch, and the pass that was recorded for it. */
enum { OD_GPU_GRAPHS_MAX = 16 };
struct od_gpu_recording {
    struct od_gpu_now kind;
    struct od_cuda_graph *graph;  ///< NULL: seen once
};

/** Host memory for one batch, free once its event has passed. */
struct od_gpu_slot {
    int32_t *memory;
    struct od_cuda_event *sent;
    bool used;
};

/** A ring of pinned pieces on their way into weights. */
struct od_gpu_ring {
    void *host[2];
    od_dev device[2];
    struct od_cuda_event *passed[2];
    bool used[2];
    int next;
};

/** Events in the order of the stream: each ends a part. */
enum { OD_GPU_MARKS_MAX = 1 << 14 };
struct od_gpu_profile {
    struct od_cuda_event **event;  ///< [OD_GPU_MARKS_MAX + 1], made when first needed
    unsigned char *part;
    int count;
    bool on;
};

struct od_gpu {
    struct od_cuda *cuda;
    struct od_matmul *matmul;
    struct od_cuda_kernel *kernel[OD_GPU_KERNEL_COUNT];
    struct od_cuda_kernel *attention[4];
    const struct od_attention_launch *attention_launch[4];
    struct od_gpu_tensor *tensors;
    struct od_op *ops;
    struct od_gpu_param *params;
    int32_t tensor_count;
    int32_t op_count;
    int32_t forward_count;
    int32_t param_count;
    struct od_gpu_inputs inputs;
    int64_t tokens;
    int64_t position_count;  ///< learned positions, or `tokens`
    struct od_op noise;      ///< the embedding; its `noise` 0: without
    int32_t window;          ///< the longest of the attention operations; 0: none
    od_dev memory;
    void *host;  ///< pinned
    // behind the plan
    od_dev chunks;  ///< [chunk_count] of struct od_adamw_chunk
    od_dev partials;
    od_dev stats;
    od_dev scalars;
    od_dev maps;  ///< struct od_adamw_maps
    od_dev bad;
    od_dev parts;  ///< fp32 sums of OD_NORM_SPLITS parts of the rows, until they are added up
    od_dev ones;   ///< fp32, as many as the widest input of a weight of eight-bit floats
    od_dev queue;  ///< of attention's tiles: two words, zero between launches
    od_dev extra;  ///< the caller's
    int64_t chunk_count;
    bool has_codes;  ///< some moments are 8-bit codes
    struct od_gpu_now now;
    struct od_gpu_slot slot[OD_GPU_SLOTS];
    int next_slot;
    struct od_adamw_scalars *host_scalars;  ///< pinned
    struct od_adamw_stats *host_stats;      ///< pinned
    struct od_gpu_ring ring;
    struct od_gpu_profile profile;
    struct od_gpu_recording recording[OD_GPU_GRAPHS_MAX];
    int recording_count;
    int graph_count;  ///< of the recordings that became one
    int graphs_most;  ///< that the plan has room for
    bool no_graphs;
    bool overlaps;  ///< kernels may begin before the one in front of them is done
    bool tuning;    ///< products are measured before they are queued
    struct od_error tune_error;
    int32_t *sort;  ///< [2 * tokens] scratch of the host
};

/** The tensor of a slot; `at` 0 when there is none. */
struct od_gpu_tensor od_gpu_slot_tensor(const struct od_gpu *gpu, const struct od_op *op,
                                        enum od_slot slot);
/** What was queued since the last mark belongs to this part. */
void od_gpu_mark(struct od_gpu *gpu, enum od_gpu_part part);
void od_gpu_launch(struct od_gpu *gpu, enum od_gpu_kernel kernel, unsigned x, unsigned y,
                   void **args);

static inline unsigned od_gpu_blocks(int64_t count, int64_t per_block)
{
    return (unsigned)((count + per_block - 1) / per_block);
}

/** Where a tensor of the batch lies; 0: there is none. */
static inline od_dev od_gpu_input(const struct od_gpu *gpu, int32_t number)
{
    return number < 0 ? 0 : gpu->tensors[number].at;
}

static inline od_dev od_gpu_count_at(const struct od_gpu *gpu, enum od_gpu_count count)
{
    return od_gpu_input(gpu, gpu->inputs.counts) + (uint64_t)count * sizeof(int32_t);
}

/** The attention kernel for this card: some head sizes have one of their own for sm_90a, which a program
 *  that was compiled from PTX lacks. @error OD_E_UNSUPPORTED: none for the head size. */
enum od_status od_gpu_find_attention(struct od_gpu *gpu, enum od_attention_kernel kind,
                                     int32_t head_dim, struct od_error *err) OD_MUST_CHECK;
/** Queue a kernel that was found over at most `tiles` tiles; fills in the queue of `args`. */
void od_gpu_attend(struct od_gpu *gpu, enum od_attention_kernel kind, int64_t tiles,
                   struct od_attention_args *args);

/** Where column `c` of a tensor begins. */
static inline od_dev od_gpu_column(struct od_gpu_tensor tensor, int64_t c)
{
    return tensor.at + (uint64_t)c * (tensor.is_float ? 4u : 2u);
}

/** Queue a product; while tuning, its shape is measured first. */
void od_gpu_product(struct od_gpu *gpu, const struct od_matmul_call *call);

/** Losses of a batch, and their gradients (gpu_head.c). */
void od_gpu_head_loss(struct od_gpu *gpu, const struct od_op *op);

// Folded adapters (gpu_adapter.c).

/** What a folded adapter works on: the rows of a pass, or some of those that have a label. */
struct od_gpu_adapted {
    struct od_gpu_tensor x;     ///< [rows, K]; behind them X A^T
    struct od_gpu_tensor dy;    ///< [rows, N]; behind them s dY B
    struct od_gpu_tensor dx;    ///< [rows, K]; `at` 0: not wanted
    struct od_gpu_tensor work;  ///< [rows, K], with dropout: what it leaves of X
    int64_t rows;
    int64_t first;  ///< number by which masks know the first row
};
/** The tensors of a linear operation. */
struct od_gpu_adapted od_gpu_adapted(const struct od_gpu *gpu, const struct od_op *op);
/** Whether this pass leaves out some of what the adapter reads. */
bool od_gpu_drops(const struct od_gpu *gpu, const struct od_op *op);
/** X A^T into the spare columns of X. */
void od_gpu_fold_input(struct od_gpu *gpu, const struct od_op *op, const struct od_gpu_adapted *on);
/** s dY B into the spare columns of DY. */
void od_gpu_fold_gradient(struct od_gpu *gpu, const struct od_op *op,
                          const struct od_gpu_adapted *on);
/** Gradients of A and B, once those columns are there. With dropout DX, which is there, too, gets the
 *  adapter's share: no product has added it. */
void od_gpu_adapter_bwd(struct od_gpu *gpu, const struct od_op *op,
                        const struct od_gpu_adapted *on);
/** The adapter's share of the embedding's rows, and its gradients. */
void od_gpu_embed_adapter(struct od_gpu *gpu, const struct od_op *op);
void od_gpu_embed_adapter_bwd(struct od_gpu *gpu, const struct od_op *op);
/** DW[number of a row] += its row of DY, by the order that the host made of the ids: a block for each
 *  number, whose rows come in order (gpu_rows.c). DW has `cols` columns and no spare ones. */
void od_gpu_scatter_ids(struct od_gpu *gpu, struct od_gpu_tensor dw, struct od_gpu_tensor dy,
                        int64_t cols);

/** Rows rounded to eight bits: where the codes begin, and the scales. */
struct od_gpu_rounded {
    od_dev codes;
    od_dev scales;
};
/** X, or in the backward pass DY times the weight's scales, into ROUNDED (gpu_e4m3.c). */
struct od_gpu_rounded od_gpu_round_e4m3(struct od_gpu *gpu, const struct od_op *op);
/** CODES [N, K] into W [K, N]. */
void od_gpu_transpose_e4m3(struct od_gpu *gpu, const struct od_op *op);
/** A [fold, K] and s B [N, fold] as products read them: beside W, or copies of their own
 *  (gpu_adapter.c). */
struct od_gpu_tensor od_gpu_fold_a(const struct od_gpu *gpu, const struct od_op *op);
struct od_gpu_tensor od_gpu_fold_b(const struct od_gpu *gpu, const struct od_op *op);
/** Ones that the products of an operation need. */
int64_t od_gpu_ones(const struct od_op *op);
/** Refuse what the card cannot multiply, once the kernels are found. */
enum od_status od_gpu_check_e4m3(const struct od_gpu *gpu, struct od_error *err) OD_MUST_CHECK;

/** One operation that works row by row (gpu_rows.c). */
void od_gpu_run_rows(struct od_gpu *gpu, const struct od_op *op);
/** to[c] += the sum over the rows of x[:, c], fp32, in a fixed order. */
void od_gpu_sum_columns(struct od_gpu *gpu, od_dev to, struct od_gpu_tensor x, int64_t cols);
/** Floats of `parts` that an operation needs. */
int64_t od_gpu_parts_floats(const struct od_op *op);

#endif
