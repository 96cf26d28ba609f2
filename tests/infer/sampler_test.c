// Goal: each cut leaves exactly the tokens that it should, and draws follow the probabilities.
// Method: four tokens with probabilities 0.5, 0.25, 0.15, 0.1, every draw from a fine grid.

#include "infer/sampler.h"

#include <math.h>

#include "support.h"

enum { VOCAB = 5, DRAWS = 10000 };

static const double probability[VOCAB] = {0.1, 0.5, 0.15, 0.25, 0.0};

// How often each token comes, in parts of one.
static void shares(const struct od_sampling *sampling, double share[VOCAB])
{
    float logits[VOCAB];
    struct od_candidate scratch[VOCAB];
    for (int i = 0; i < VOCAB; i++) {
        logits[i] = probability[i] > 0.0 ? (float)log(probability[i]) : -HUGE_VALF;
        share[i] = 0.0;
    }
    for (int i = 0; i < DRAWS; i++) {
        const double uniform = ((double)i + 0.5) / (double)DRAWS;
        share[od_sample(logits, VOCAB, sampling, uniform, scratch)] += 1.0 / (double)DRAWS;
    }
}

struct cut {
    struct od_sampling sampling;
    double share[VOCAB];
};

static void cuts(void **state)
{
    (void)state;
    static const struct cut table[] = {
        {{.temperature = 1.0, .top_p = 1.0}, {0.1, 0.5, 0.15, 0.25, 0.0}},
        {{.temperature = 0.0, .top_p = 1.0}, {0.0, 1.0, 0.0, 0.0, 0.0}},
        {{.temperature = 1.0, .top_p = 1.0, .top_k = 1}, {0.0, 1.0, 0.0, 0.0, 0.0}},
        {{.temperature = 1.0, .top_p = 1.0, .top_k = 2}, {0.0, 2.0 / 3, 0.0, 1.0 / 3, 0.0}},
        {{.temperature = 1.0, .top_p = 0.7}, {0.0, 2.0 / 3, 0.0, 1.0 / 3, 0.0}},
        {{.temperature = 1.0, .top_p = 0.0}, {0.0, 1.0, 0.0, 0.0, 0.0}},
        // 0.15 / 0.5 is below 0.4, 0.25 / 0.5 is not.
        {{.temperature = 1.0, .top_p = 1.0, .min_p = 0.4}, {0.0, 2.0 / 3, 0.0, 1.0 / 3, 0.0}},
        {{.temperature = 1.0, .top_p = 1.0, .min_p = 0.25}, {0.0, 5.0 / 9, 1.5 / 9, 2.5 / 9, 0.0}},
        {{.temperature = 1.0, .top_p = 1.0, .min_p = 1.0}, {0.0, 1.0, 0.0, 0.0, 0.0}},
        // Temperature first: squares of the probabilities.
        {{.temperature = 0.5, .top_p = 1.0, .min_p = 0.2}, {0.0, 0.8, 0.0, 0.2, 0.0}},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        double share[VOCAB];
        shares(&table[i].sampling, share);
        for (int t = 0; t < VOCAB; t++) {
            if (fabs(share[t] - table[i].share[t]) > 2.0 / (double)DRAWS) {
                fail_msg("row %zu: token %d has %g, not %g", i, t, share[t], table[i].share[t]);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(cuts)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
