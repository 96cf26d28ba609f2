#include <stdint.h>

#include "ops/reference.h"

void OD_REF(od_ref_embed)(od_real *y, const od_real *w, const int32_t *ids, int64_t tokens,
                          int64_t c)
{
    for (int64_t t = 0; t < tokens; t++) {
        for (int64_t i = 0; i < c; i++) {
            y[t * c + i] = w[ids[t] * c + i];
        }
    }
}

void OD_REF(od_ref_embed_bwd)(od_real *dw, const od_real *dy, const int32_t *ids, int64_t tokens,
                              int64_t c)
{
    for (int64_t t = 0; t < tokens; t++) {
        for (int64_t i = 0; i < c; i++) {
            dw[ids[t] * c + i] += dy[t * c + i];
        }
    }
}
