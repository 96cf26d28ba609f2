#include <math.h>
#include <stdint.h>

#include "ops/reference.h"

od_real OD_REF(od_ref_cross_entropy)(od_real *dlogits, const od_real *logits, int64_t v,
                                     int32_t target)
{
    od_real max = logits[0];
    double sum = 0.0;
    for (int64_t i = 1; i < v; i++) {
        max = logits[i] > max ? logits[i] : max;
    }
    for (int64_t i = 0; i < v; i++) {
        sum += exp((double)(logits[i] - max));
    }
    for (int64_t i = 0; dlogits && i < v; i++) {
        dlogits[i] = (od_real)(exp((double)(logits[i] - max)) / sum);
    }
    if (dlogits) {
        dlogits[target] -= 1;
    }
    return max + (od_real)log(sum) - logits[target];
}
