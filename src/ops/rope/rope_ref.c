#include <math.h>
#include <stdint.h>

#include "ops/reference.h"

void OD_REF(od_ref_rope)(od_real *x, const int32_t *positions, int64_t tokens, int64_t stride,
                         int64_t heads, int64_t d, double theta, int direction)
{
    for (int64_t t = 0; t < tokens; t++) {
        for (int64_t h = 0; h < heads; h++) {
            for (int64_t i = 0; i < d / 2; i++) {
                const double angle =
                    (double)positions[t] * pow(theta, -2.0 * (double)i / (double)d);
                const od_real c = (od_real)cos(angle);
                const od_real s = (od_real)(sin(angle) * (double)direction);
                od_real *a = x + t * stride + h * d + i;
                od_real *b = a + d / 2;
                const od_real first = *a;
                *a = first * c - *b * s;
                *b = *b * c + first * s;
            }
        }
    }
}
