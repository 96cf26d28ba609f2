/**
 * @file
 * What a program is made of: operations over numbered tensors, and the batch that they work on.
 *
 * An operation names tensors by slot; a device is given a table from tensor number to memory and
 * walks the list. Forward operations are emitted by the model, backward ones derived by one rule
 * each (model/program.h). Tensors are matrices [rows, cols], row-major: fp32 and contiguous on the
 * CPU; on a GPU bf16 with spare columns, in which folded adapters live:
 *
 *     Y = [X | X A^T] [W | s B]^T        dX = [dY | s dY B] [W ; A]
 *
 * A weight of eight-bit floats is multiplied as it is, by rows that are rounded to eight bits, too
 * (hats below); its adapter is a product of its own, over rows that are not rounded:
 *
 *     Y = X^ W^^T + X A^T s B^T          dX = (dY R)^ C + s dY B A
 *
 * where W^ = R C: R the diagonal of the rows' scales, C the codes. The scales go with dY because they
 * stand along what is added up.
 *
 * The head's adapter is folded into W as a linear layer's is, behind the columns of od_head_columns; X
 * and dY are then the rows that HEAD_LOSS gathers, and its logits. The embedding's is a product beside
 * the rows that are looked up, with a bf16 copy of s B; its gradient is scattered as DW's is:
 *
 *     Y = W[ids] + A[ids] (s B)^T        dA += scatter of dY s B,  dB += s dY^T A[ids]
 *
 * @thread No state.
 */
#ifndef OD_OPS_OP_H
#define OD_OPS_OP_H

#include <stdbool.h>
#include <stdint.h>

enum { OD_OP_SLOTS = 21, OD_ADAPTER_PARTS_MAX = 4 };

/** T tokens, C channels, N outputs, K inputs, H query heads, G key/value heads, D head size. */
enum od_op_kind {
    OD_OP_EMBED,         ///< Y[T,C] = W[ids] (+ noise) (+ adapter: scale A[ids] B^T, A[V,r] B[C,r])
    OD_OP_EMBED_BWD,     ///< DW[V,C] += scatter of DY, DA +=, DB +=
    OD_OP_RMS_NORM,      ///< Y = X * rstd * W; RSTD[T]
    OD_OP_RMS_NORM_BWD,  ///< DX (+)=, DW +=
    OD_OP_LAYER_NORM,    ///< Y = (X - mean) * rstd * W + BIAS; AUX[T,2]: mean, rstd
    OD_OP_LAYER_NORM_BWD,    ///< DX (+)=, DW +=, DBIAS +=
    OD_OP_HEAD_NORM,         ///< Y[T,(H+2G)D] = X, query heads normed by W[0], key heads by W[1];
                             ///< AUX[T,H+G]: rstd
    OD_OP_HEAD_NORM_BWD,     ///< DX (+)=, DW +=
    OD_OP_POSITIONS,         ///< Y[T,C] += W[positions], in place
    OD_OP_POSITIONS_BWD,     ///< DW += scatter of DY by positions
    OD_OP_LINEAR,            ///< Y[T,N] = (RES +) X[T,K] W[N,K]^T (+ BIAS[N]) (+ adapters)
    OD_OP_LINEAR_BWD,        ///< DX (+)=, DW +=, DBIAS +=, DA +=, DB +=
    OD_OP_ROPE,              ///< rotates queries and keys inside Y[T,(H+2G)D], in place
    OD_OP_ROPE_BWD,          ///< rotates DY back, in place
    OD_OP_ATTENTION,         ///< Y[T,HD] from X[T,(H+2G)D], causal inside segments; LSE[T,H]
    OD_OP_ATTENTION_BWD,     ///< DX[T,(H+2G)D]
    OD_OP_ATTENTION_CACHED,  ///< as ATTENTION, through the key/value cache of a sequence
    OD_OP_GLU,               ///< Y[T,F] = act(X[:, :F]) * X[:, F:]
    OD_OP_GLU_BWD,           ///< DX[T,2F]
    OD_OP_ACTIVATION,        ///< Y[T,F] = act(X[T,F])
    OD_OP_ACTIVATION_BWD,    ///< DX[T,F]
    OD_OP_ADD,               ///< Y += X
    OD_OP_STORE,             ///< begin to copy X[T,C] into the host's AUX
    OD_OP_STORED,            ///< until that is done X must stay
    OD_OP_FETCH,             ///< begin to copy the host's AUX into Y[T,C]
    OD_OP_FETCHED,           ///< from here on Y may be read
    OD_OP_HEAD_LOSS,    ///< losses of the rows with a target (W with adapter); DX, DW, DA, DB when
                        ///< asked; rows of the dropout's mask are those with a target
    OD_OP_HEAD_LOGITS,  ///< Y[R,V] = X[rows] W^T for the batch's logit rows
    OD_OP_COUNT
};

/** What GLU and ACTIVATION apply. */
enum od_activation {
    OD_ACTIVATION_SILU,       ///< x sigmoid(x)
    OD_ACTIVATION_GELU,       ///< x Phi(x), by erf
    OD_ACTIVATION_GELU_TANH,  ///< its approximation by tanh
};
enum { OD_ACTIVATION_COUNT = 3 };

/** Meaning of the slots; -1 where an operation has no such tensor. */
enum od_slot {
    OD_SLOT_X,    ///< input
    OD_SLOT_Y,    ///< output
    OD_SLOT_W,    ///< weight
    OD_SLOT_RES,  ///< residual that is added to the output
    OD_SLOT_BIAS,
    OD_SLOT_AUX,  ///< RSTD, LSE, the rotation table, the key/value cache, or what lies with the host
    OD_SLOT_A,    ///< adapters' A, stacked [n r, K]
    OD_SLOT_B,    ///< adapters' B, stacked [rows, r]
    OD_SLOT_XA,  ///< scaled X A^T [T, n r]; kept for the backward pass. On a GPU EMBED's alone: A[ids]
    OD_SLOT_DX,  ///< gradients of the above
    OD_SLOT_DY,
    OD_SLOT_DW,
    OD_SLOT_DBIAS,
    OD_SLOT_DA,
    OD_SLOT_DB,
    OD_SLOT_CODES,    ///< quantised weight; W is then scratch that it is decoded into
    OD_SLOT_SCALES,   ///< of CODES
    OD_SLOT_WORK,     ///< scratch
    OD_SLOT_ROUNDED,  ///< scratch, E4M3: X or DY rounded; on a GPU codes [T, K or N], scales [T]
    OD_SLOT_A_COPY,   ///< bf16 copies of A, and of s B [N, fold], where W has no room for them
    OD_SLOT_B_COPY
};

/** Adapters on a row range of a (fused) weight: its rows use columns i*r.. of XA. */
struct od_adapter_part {
    int64_t row;    ///< first output column in Y
    int64_t rows;   ///< output columns
    int64_t b_row;  ///< first row in B
};

/** How a frozen weight is kept. */
enum od_quant {
    OD_QUANT_NONE,
    OD_QUANT_NF4,   ///< CODES [N, K/2], SCALES as formats/nf4.h has them, one after another by part
    OD_QUANT_INT8,  ///< CODES [N, K], SCALES [N] fp32: value = code * scale
    OD_QUANT_E4M3,  ///< likewise, codes of formats/e4m3.h; W is scratch of the backward pass on a
                    ///< GPU, the codes [K, N]
};

/** A row range of a quantised weight that is a matrix of its own in files. */
struct od_quant_part {
    int64_t row;
    int64_t rows;
    int64_t scales_at;  ///< bytes from the start of SCALES
};

struct od_op {
    enum od_op_kind kind;
    int32_t slot[OD_OP_SLOTS];  ///< tensor numbers
    bool accumulate;            ///< DX is added to, not set
    int64_t n;                  ///< outputs; channels; V
    int64_t k;                  ///< inputs
    int32_t heads;
    int32_t kv_heads;
    int32_t head_dim;
    int32_t layer;   ///< of the cache
    int32_t window;  ///< attention: keys a query sees, itself counted; 0: all before it
    enum od_activation activation;
    float eps;
    float scale;   ///< attention scale; adapter scale
    int64_t rank;  ///< r
    int32_t part_count;
    float dropout;    ///< of the adapter's input: probability that a value is left out; 0: none
    float noise;      ///< EMBED: alpha of the noise on training passes; 0: none
    uint32_t stream;  ///< that mask or noise is drawn from
    bool refold;      ///< LINEAR_BWD: X was made again without X A^T, which is computed here
    int64_t fold;  ///< spare columns of X, DY and W that hold the adapters; 0: A and B are apart;
                   ///< EMBED: columns of XA and of the copy of B
    struct od_adapter_part part[OD_ADAPTER_PARTS_MAX];
    enum od_quant quant;
    int32_t quant_count;
    struct od_quant_part quant_part[OD_ADAPTER_PARTS_MAX];
};

/** What one pass works on. All arrays are borrowed for the pass. */
struct od_batch {
    int64_t tokens;            ///< rows in use
    const int32_t *ids;        ///< [tokens]
    const int32_t *positions;  ///< [tokens]
    // Training: documents side by side.
    int64_t segments;
    const int32_t *segment_start;  ///< [segments + 1]
    const int32_t *targets;        ///< [tokens], -1: no target
    float loss_scale;              ///< d loss_sum / d row loss: 1 / labels of the whole step
    bool want_gradient;            ///< HEAD_LOSS writes DX and DW
    uint64_t dropout_seed;         ///< masks: of the run,
    uint32_t dropout_pass;         ///< and of this pass; used when gradients are wanted
    double loss_sum;               ///< out: sum of row losses of this pass, in row order
    // Generation: rows that belong to cached sequences.
    const int32_t *cache_slot;  ///< [tokens] which cached sequence the row belongs to
    int64_t cache_length;       ///< positions per page of the cache
    /** [sequences, table_pages] numbers of the pages that a sequence has, in the order of its
     *  positions; NULL: one page each, with the sequence's own number. */
    const int32_t *page_table;
    int64_t table_pages;
    int64_t logit_rows;
    const int32_t *logit_row;  ///< [logit_rows] rows whose logits are wanted
};

/** Rows of logits that HEAD_LOSS holds at a time; query rows of one attention tile; parts of the
 *  rows whose sums a GPU adds in order. */
enum { OD_HEAD_CHUNK_ROWS = 128, OD_ATTENTION_TILE_ROWS = 64, OD_NORM_SPLITS = 64 };

/** Columns of logits on a GPU: those behind the vocabulary are products with rows of W that are zero, and
 *  make every size one that fast products take. */
static inline int64_t od_head_columns(int64_t vocab)
{
    enum { STEP = 64 };
    return (vocab + STEP - 1) / STEP * STEP;
}

/** Columns of what HEAD_LOSS holds in WORK on a GPU for a chunk of labelled rows, one after the other;
 *  `total` is their sum. With a folded adapter logits and rows of X have room for it. */
struct od_head_work {
    int64_t logits;
    int64_t gathered;   ///< rows of X
    int64_t dgathered;  ///< their gradients
    int64_t dropped;    ///< what dropout leaves of them for the adapter
    int64_t total;
};
static inline struct od_head_work od_head_work(const struct od_op *op)
{
    enum { STEP = 8 };  // rows start at 16 bytes
    const int64_t channels = (op->k + STEP - 1) / STEP * STEP;
    struct od_head_work work = {.logits = od_head_columns(op->n) + op->fold,
                                .gathered = (op->k + op->fold + STEP - 1) / STEP * STEP,
                                .dgathered = channels,
                                .dropped = op->dropout > 0.0F ? channels : 0};
    work.total = work.logits + work.gathered + work.dgathered + work.dropped;
    return work;
}

/** Floats of scratch per thread that ATTENTION and its gradient need for documents of up to
 *  `tokens` tokens: two tiles of scores and a row of sums. */
static inline int64_t od_attention_work_floats(int64_t tokens)
{
    return (2 * tokens + 1) * (int64_t)OD_ATTENTION_TILE_ROWS;
}

#endif
