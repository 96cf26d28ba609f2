/**
 * @file
 * The operations' definitions: plain loops, written for reading, compiled once for float (suffix
 * _f32) and once for double (_f64). Fast versions are measured against them, and their gradients
 * against finite differences in double.
 *
 * Matrices are row-major and contiguous. Gradients marked += are added to, the others set.
 *
 * @order  Left to right, without fused multiply-adds.
 * @thread Re-entrant: no state outside the arguments.
 */
#ifndef OD_OPS_REFERENCE_H
#define OD_OPS_REFERENCE_H

#include <stdint.h>

// NOLINTBEGIN(bugprone-macro-parentheses): `real` is a type
/** Prototypes for a type and its suffix. */
#define OD_REFERENCE_PROTOTYPES(real, suffix)                                                        \
    /** y[t] = w[ids[t]]; w [v, c], y [tokens, c]. */                                                \
    void od_ref_embed_##suffix(real *y, const real *w, const int32_t *ids, int64_t tokens,           \
                               int64_t c);                                                           \
    /** dw[ids[t]] += dy[t]. */                                                                      \
    void od_ref_embed_bwd_##suffix(real *dw, const real *dy, const int32_t *ids, int64_t tokens,     \
                                   int64_t c);                                                       \
    /** y = x * w / sqrt(mean(x^2) + eps) by rows; x, y [rows, c], w [c]. */                         \
    void od_ref_rms_norm_##suffix(real *y, const real *x, const real *w, int64_t rows, int64_t c,    \
                                  real eps);                                                         \
    /** dx set, dw += . */                                                                           \
    void od_ref_rms_norm_bwd_##suffix(real *dx, real *dw, const real *dy, const real *x,             \
                                      const real *w, int64_t rows, int64_t c, real eps);             \
    /** y = x w^T; x [rows, k], w [n, k], y [rows, n]. */                                            \
    void od_ref_linear_##suffix(real *y, const real *x, const real *w, int64_t rows, int64_t n,      \
                                int64_t k);                                                          \
    /** dx = dy w, dw += dy^T x. */                                                                  \
    void od_ref_linear_bwd_##suffix(real *dx, real *dw, const real *dy, const real *x,               \
                                    const real *w, int64_t rows, int64_t n, int64_t k);              \
    /** Rotate `heads` heads of size d in place; x [tokens, stride]; half style. */                  \
    void od_ref_rope_##suffix(real *x, const int32_t *positions, int64_t tokens, int64_t stride,     \
                              int64_t heads, int64_t d, double theta, int direction);                \
    /** Causal attention of one document; qkv [t, (h + 2 g) d], o [t, h d]; a query sees           \
     *  `window` keys, itself counted; 0: all before it. */ \
    void od_ref_attention_##suffix(real *o, const real *qkv, int64_t t, int64_t h, int64_t g,        \
                                   int64_t d, int64_t window);                                       \
    /** dqkv set. */                                                                                 \
    void od_ref_attention_bwd_##suffix(real *dqkv, const real *d_o, const real *qkv, int64_t t,      \
                                       int64_t h, int64_t g, int64_t d, int64_t window);             \
    /** y = act(x[:, :f]) * x[:, f:]; x [rows, 2 f]; kind: enum od_activation. */                    \
    void od_ref_glu_##suffix(real *y, const real *x, int64_t rows, int64_t f, int kind);             \
    void od_ref_glu_bwd_##suffix(real *dx, const real *dy, const real *x, int64_t rows, int64_t f,   \
                                 int kind);                                                          \
    /** y = act(x). */                                                                               \
    void od_ref_activation_##suffix(real *y, const real *x, int64_t count, int kind);                \
    void od_ref_activation_bwd_##suffix(real *dx, const real *dy, const real *x, int64_t count,      \
                                        int kind);                                                   \
    /** y = (x - mean) / sqrt(variance + eps) * w + b by rows; w, b [c]. */                          \
    void od_ref_layer_norm_##suffix(real *y, const real *x, const real *w, const real *b,            \
                                    int64_t rows, int64_t c, real eps);                              \
    /** dx set, dw and db += . */                                                                    \
    void od_ref_layer_norm_bwd_##suffix(real *dx, real *dw, real *db, const real *dy,                \
                                        const real *x, const real *w, int64_t rows, int64_t c,       \
                                        real eps);                                                   \
    /** Cross-entropy of a row of logits [v]; dlogits (NULL: none) = softmax - onehot. */            \
    real od_ref_cross_entropy_##suffix(real *dlogits, const real *logits, int64_t v,                 \
                                       int32_t target);                                              \
    /** One AdamW step, t >= 1, in the order of torch.optim.AdamW. */                                \
    void od_ref_adamw_##suffix(real *w, real *m, real *v, const real *g, int64_t count, double lr,   \
                               double beta1, double beta2, double eps, double decay, int64_t t);
// NOLINTEND(bugprone-macro-parentheses)

OD_REFERENCE_PROTOTYPES(float, f32)
OD_REFERENCE_PROTOTYPES(double, f64)

// Used by the definitions themselves: the type and the name of this compilation.
#ifdef OD_REFERENCE_DOUBLE
#define OD_REF(name) name##_f64
typedef double od_real;  ///< the type that this file is compiled for
#else
#define OD_REF(name) name##_f32
typedef float od_real;  ///< the type that this file is compiled for
#endif

#endif
