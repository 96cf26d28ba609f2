#include <math.h>
#include <stdint.h>

#include "ops/reference.h"

enum { REF_TOKENS_MAX = 512 };

static od_real dot_product(const od_real *a, const od_real *b, int64_t d)
{
    od_real sum = 0;
    for (int64_t i = 0; i < d; i++) {
        sum += a[i] * b[i];
    }
    return sum;
}

// First key that query i sees.
static int64_t first_key(int64_t i, int64_t window)
{
    return window > 0 && i + 1 > window ? i + 1 - window : 0;
}

// Probabilities of query i of head h over the keys that it sees.
static void probabilities(od_real *p, const od_real *qkv, int64_t i, int64_t row, int64_t q_at,
                          int64_t k_at, int64_t d, int64_t window)
{
    const int64_t first = first_key(i, window);
    const od_real scale = (od_real)(1.0 / sqrt((double)d));
    od_real max = -(od_real)HUGE_VAL;
    od_real sum = 0;
    for (int64_t j = first; j <= i; j++) {
        p[j] = scale * dot_product(qkv + i * row + q_at, qkv + j * row + k_at, d);
        max = p[j] > max ? p[j] : max;
    }
    for (int64_t j = first; j <= i; j++) {
        p[j] = (od_real)exp((double)(p[j] - max));
        sum += p[j];
    }
    for (int64_t j = first; j <= i; j++) {
        p[j] /= sum;
    }
}

void OD_REF(od_ref_attention)(od_real *o, const od_real *qkv, int64_t t, int64_t h, int64_t g,
                              int64_t d, int64_t window)
{
    od_real p[REF_TOKENS_MAX];
    const int64_t row = (h + 2 * g) * d;
    for (int64_t head = 0; head < h; head++) {
        const int64_t k_at = (h + head / (h / g)) * d;
        const int64_t v_at = k_at + g * d;
        for (int64_t i = 0; i < t; i++) {
            const int64_t first = first_key(i, window);
            probabilities(p, qkv, i, row, head * d, k_at, d, window);
            for (int64_t e = 0; e < d; e++) {
                od_real sum = 0;
                for (int64_t j = first; j <= i; j++) {
                    sum += p[j] * qkv[j * row + v_at + e];
                }
                o[i * h * d + head * d + e] = sum;
            }
        }
    }
}

void OD_REF(od_ref_attention_bwd)(od_real *dqkv, const od_real *d_o, const od_real *qkv, int64_t t,
                                  int64_t h, int64_t g, int64_t d, int64_t window)
{
    od_real p[REF_TOKENS_MAX];
    od_real dp[REF_TOKENS_MAX];
    const int64_t row = (h + 2 * g) * d;
    const od_real scale = (od_real)(1.0 / sqrt((double)d));
    for (int64_t i = 0; i < t * row; i++) {
        dqkv[i] = 0;
    }
    for (int64_t head = 0; head < h; head++) {
        const int64_t q_at = head * d;
        const int64_t k_at = (h + head / (h / g)) * d;
        const int64_t v_at = k_at + g * d;
        for (int64_t i = 0; i < t; i++) {
            const od_real *go = d_o + i * h * d + head * d;
            od_real sum = 0;
            const int64_t first = first_key(i, window);
            probabilities(p, qkv, i, row, q_at, k_at, d, window);
            for (int64_t j = first; j <= i; j++) {
                dp[j] = dot_product(go, qkv + j * row + v_at, d);
                sum += p[j] * dp[j];
            }
            for (int64_t j = first; j <= i; j++) {
                const od_real ds = p[j] * (dp[j] - sum) * scale;
                for (int64_t e = 0; e < d; e++) {
                    dqkv[i * row + q_at + e] += ds * qkv[j * row + k_at + e];
                    dqkv[j * row + k_at + e] += ds * qkv[i * row + q_at + e];
                    dqkv[j * row + v_at + e] += p[j] * go[e];
                }
            }
        }
    }
}
