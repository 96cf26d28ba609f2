#include <math.h>
#include <stdint.h>

#include "ops/reference.h"

void OD_REF(od_ref_adamw)(od_real *w, od_real *m, od_real *v, const od_real *g, int64_t count,
                          double lr, double beta1, double beta2, double eps, double decay,
                          int64_t t)
{
    const double bc1 = 1.0 - pow(beta1, (double)t);
    const double bc2 = 1.0 - pow(beta2, (double)t);
    for (int64_t i = 0; i < count; i++) {
        const double gi = (double)g[i];
        const double mi = beta1 * (double)m[i] + (1.0 - beta1) * gi;
        const double vi = beta2 * (double)v[i] + (1.0 - beta2) * gi * gi;
        const double root = sqrt(vi) / sqrt(bc2) + eps;
        m[i] = (od_real)mi;
        v[i] = (od_real)vi;
        w[i] = (od_real)((double)w[i] * (1.0 - lr * decay) - lr / bc1 * mi / root);
    }
}
