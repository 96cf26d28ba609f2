/**
 * @file
 * The CPU kernels that are compiled twice, for any x86-64 and for AVX2, with the same bits. Each
 * works on a range of rows (or columns) so that a pool can split it by index.
 *
 * @thread Re-entrant: ranges of one call may run on different threads.
 */
#ifndef OD_OPS_KERNELS_H
#define OD_OPS_KERNELS_H

#include <stdint.h>

#include "ops/op.h"

/** Name of a kernel in this variant: the build defines OD_VARIANT as base or avx2. */
#define OD_PASTE2(a, b) a##_##b
#define OD_PASTE(a, b)  OD_PASTE2(a, b)
#define OD_KERNEL(name) OD_PASTE(name, OD_VARIANT)

/** Scalars of AdamW for one step, computed in double on the host. */
struct od_adamw_step {
    float lr;  ///< learning rate
    float beta1;
    float beta2;
    float one_minus_beta1;
    float one_minus_beta2;
    float step_size;     ///< lr / (1 - beta1^t)
    float inv_sqrt_bc2;  ///< 1 / sqrt(1 - beta2^t)
    float eps;
    float decay;       ///< 1 - lr * weight_decay
    float grad_scale;  ///< clipping factor
};

/** Which values dropout keeps, and what it multiplies them by. */
struct od_dropout {
    uint64_t seed;
    uint32_t stream;     ///< of the layer
    uint32_t pass;       ///< number of the pass
    uint32_t threshold;  ///< a value is kept when its word is not below: p * 2^32
    int64_t first_row;   ///< number of the row that is given first
    float scale;         ///< 1 / (1 - p)
};

/** One variant of every kernel. Ranges are [first, last). */
/**
 * Keys and values of one head of a sequence, in pages of `page_rows` positions:
 *
 *     key of position p:  keys + pages[p / page_rows] * page_stride + (p % page_rows) * d
 */
struct od_cached_head {
    const float *keys;
    const float *values;
    const int32_t *pages;
    int64_t page_rows;
    int64_t page_stride;  ///< floats
};

struct od_cpu_kernels {
    /** Rows: y = x * rstd * w, rstd = 1/sqrt(mean(x^2) + eps). rstd may be NULL. */
    void (*rms_norm)(float *y, float *rstd, const float *x, const float *w, int64_t cols, float eps,
                     int64_t first, int64_t last);
    /** Rows: dx (+)= gradient of rms_norm. */
    void (*rms_norm_bwd)(float *dx, const float *dy, const float *x, const float *w,
                         const float *rstd, int64_t cols, int accumulate, int64_t first,
                         int64_t last);
    /** Columns: dw += sum over rows of dy * x * rstd, rows in order. */
    void (*rms_norm_dw)(float *dw, const float *dy, const float *x, const float *rstd, int64_t rows,
                        int64_t cols, int64_t first, int64_t last);
    /** Rows: y = (x - mean) * rstd * w + b; stat [rows, 2]: mean, rstd; may be NULL. */
    void (*layer_norm)(float *y, float *stat, const float *x, const float *w, const float *b,
                       int64_t cols, float eps, int64_t first, int64_t last);
    /** Rows: dx (+)= gradient of layer_norm. */
    void (*layer_norm_bwd)(float *dx, const float *dy, const float *x, const float *w,
                           const float *stat, int64_t cols, int accumulate, int64_t first,
                           int64_t last);
    /** Columns: dw and db (either may be NULL) += sums over rows, in order. */
    void (*layer_norm_dw)(float *dw, float *db, const float *dy, const float *x, const float *stat,
                          int64_t rows, int64_t cols, int64_t first, int64_t last);
    /** Rows of (h + 2 g) heads of size d: query and key heads normed, values copied; w [2, d];
     *  rstd [rows, h + g] may be NULL. */
    void (*head_norm)(float *y, float *rstd, const float *x, const float *w, int64_t h, int64_t g,
                      int64_t d, float eps, int64_t first, int64_t last);
    void (*head_norm_bwd)(float *dx, const float *dy, const float *x, const float *w,
                          const float *rstd, int64_t h, int64_t g, int64_t d, int accumulate,
                          int64_t first, int64_t last);
    /** Columns [first, last) below d of dw [2, d]. */
    void (*head_norm_dw)(float *dw, const float *dy, const float *x, const float *rstd,
                         int64_t rows, int64_t h, int64_t g, int64_t d, int64_t first,
                         int64_t last);
    /** Rows: y = act(gate) * up with gate = x[:, :f], up = x[:, f:]. */
    void (*glu)(float *y, const float *x, int64_t f, enum od_activation kind, int64_t first,
                int64_t last);
    void (*glu_bwd)(float *dx, const float *dy, const float *x, int64_t f, enum od_activation kind,
                    int64_t first, int64_t last);
    /** Elements: y = act(x). */
    void (*activation)(float *y, const float *x, enum od_activation kind, int64_t first,
                       int64_t last);
    void (*activation_bwd)(float *dx, const float *dy, const float *x, enum od_activation kind,
                           int64_t first, int64_t last);
    /** Columns: sums [cols] += sum over rows of x [rows, cols], in order. */
    void (*column_sums)(float *sums, const float *x, int64_t rows, int64_t cols, int64_t first,
                        int64_t last);
    /** Rows: rotate `heads` heads of size d at the start of each row of `stride` floats. `table`
     *  [positions, d]: d/2 cosines, then d/2 sines. direction -1 rotates back. */
    void (*rope)(float *x, const float *table, const int32_t *positions, int64_t stride,
                 int64_t heads, int64_t d, float direction, int64_t first, int64_t last);
    /** Elements: y += x. */
    void (*add)(float *y, const float *x, int64_t first, int64_t last);
    /** Elements: y *= s. */
    void (*scale)(float *y, float s, int64_t first, int64_t last);
    /** Row i of scores [rows, ld]: softmax of s * scale over the last `window` (0: all) columns below
     *  limit + i, into place, zeros elsewhere up to cols; lse = max + log(sum). */
    void (*softmax_rows)(float *scores, int64_t ld, int64_t rows, int64_t cols, int64_t limit,
                         int64_t window, float scale, float *lse, int64_t lse_stride);
    /** p = exp(s * scale - lse) over the same columns, zeros elsewhere. */
    void (*softmax_again)(float *scores, int64_t ld, int64_t rows, int64_t cols, int64_t limit,
                          int64_t window, float scale, const float *lse, int64_t lse_stride);
    /** ds = p * (dp - delta) * scale in place of dp. */
    void (*softmax_bwd)(float *dp, const float *p, int64_t ld, int64_t rows, int64_t cols,
                        const float *delta, float scale);
    /** dot of two rows. */
    float (*dot)(const float *a, const float *b, int64_t n);
    /** Row of logits [v] with target: returns lse - logit[target]; with grad, logits become
     *  (softmax - onehot) * scale. */
    float (*cross_entropy)(float *logits, int64_t v, int32_t target, int grad, float scale);
    /** One query row against `length` cached keys and values from position `first` on: out[d] =
     *  softmax(q k^T * scale) v. `scores` has room for `length` floats. */
    void (*attend_row)(float *out, const float *q, const struct od_cached_head *head, int64_t first,
                       int64_t length, int64_t d, float scale, float *scores);
    /** Columns: dw[ids[t]] += dy[t] for t in order. */
    void (*embed_bwd)(float *dw, const float *dy, const int32_t *ids, int64_t rows, int64_t cols,
                      int64_t first, int64_t last);
    /** Rows: y (+)= x * mask / (1 - p). */
    void (*dropout)(float *y, const float *x, int64_t cols, const struct od_dropout *mask,
                    int accumulate, int64_t first, int64_t last);
    /** Elements: AdamW with decoupled decay, as torch.optim.AdamW. */
    void (*adamw)(float *w, float *m, float *v, const float *g, const struct od_adamw_step *step,
                  int64_t first, int64_t last);
    /** Sum of squares in double over a range, eight lanes, fixed tree. */
    double (*sum_squares)(const float *x, int64_t n);
};

extern const struct od_cpu_kernels od_cpu_kernels_base;
extern const struct od_cpu_kernels od_cpu_kernels_avx2;

#endif
