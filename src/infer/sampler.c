#include "infer/sampler.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

double od_log_sum_exp(const float *logits, int64_t vocab)
{
    double max = -HUGE_VAL;
    double sum = 0.0;
    for (int64_t i = 0; i < vocab; i++) {
        max = (double)logits[i] > max ? (double)logits[i] : max;
    }
    for (int64_t i = 0; i < vocab; i++) {
        sum += exp((double)logits[i] - max);
    }
    return max + log(sum);
}

static bool is_better(struct od_candidate a, struct od_candidate b)
{
    return a.logit > b.logit || (!(a.logit < b.logit) && a.id < b.id);
}

int64_t od_top_candidates(const float *logits, int64_t vocab, int64_t count,
                          struct od_candidate *out)
{
    int64_t used = 0;
    for (int64_t i = 0; i < vocab && count > 0; i++) {
        const struct od_candidate fresh = {(int32_t)i, logits[i]};  // vocab <= 2^21
        if (used == count && !is_better(fresh, out[used - 1])) {
            continue;
        }
        int64_t at = used < count ? used++ : used - 1;
        for (; at > 0 && is_better(fresh, out[at - 1]); at--) {
            out[at] = out[at - 1];
        }
        out[at] = fresh;
    }
    return used;
}

static int by_rank(const void *a, const void *b)
{
    const struct od_candidate *x = a;
    const struct od_candidate *y = b;
    return is_better(*x, *y) ? -1 : 1;
}

int32_t od_sample(const float *logits, int64_t vocab, const struct od_sampling *sampling,
                  double uniform, struct od_candidate *scratch)
{
    if (sampling->temperature <= OD_GREEDY_TEMPERATURE || sampling->top_k == 1) {
        (void)od_top_candidates(logits, vocab, 1, scratch);
        return scratch[0].id;
    }
    for (int64_t i = 0; i < vocab; i++) {
        scratch[i] = (struct od_candidate){(int32_t)i, logits[i]};
    }
    qsort(scratch, (size_t)vocab, sizeof *scratch, by_rank);
    int64_t kept = sampling->top_k > 0 && sampling->top_k < vocab ? sampling->top_k : vocab;
    const double top = (double)scratch[0].logit;
    if (sampling->min_p > 0.0) {
        int64_t i = 1;
        while (i < kept &&
               exp(((double)scratch[i].logit - top) / sampling->temperature) >= sampling->min_p) {
            i++;
        }
        kept = i;
    }
    double total = 0.0;
    for (int64_t i = 0; i < kept; i++) {
        total += exp(((double)scratch[i].logit - top) / sampling->temperature);
    }
    if (sampling->top_p < 1.0) {  // the smallest set whose probability reaches top_p
        double sum = 0.0;
        int64_t i = 0;
        while (i < kept && sum < sampling->top_p * total) {
            sum += exp(((double)scratch[i].logit - top) / sampling->temperature);
            i++;
        }
        kept = i < 1 ? 1 : i;
        total = sum;
    }
    double at = uniform * total;
    for (int64_t i = 0; i < kept; i++) {
        at -= exp(((double)scratch[i].logit - top) / sampling->temperature);
        if (at < 0.0) {
            return scratch[i].id;
        }
    }
    return scratch[kept - 1].id;
}
