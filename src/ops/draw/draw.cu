// Fresh weights: what base/random.h and model/weights.h draw on a CPU, with the same bits.
//
//     for (i = first; i < first + count; i += 2)
//         to[i - first], to[i - first + 1] = (float)(deviation * the normals of (seed, stream, step, i))
//
// A thread makes two elements. Grid: elements / 512. 4 bytes an element out, some 100 operations in
// double. `first` is even.

#include "base/normal.h"
#include "ops/gpu.cuh"

OD_KERNEL od_draw_normal(float *to, int64_t first, int64_t count, uint64_t seed, uint32_t stream,
                         uint32_t step, double deviation)
{
    const int64_t i = ((int64_t)blockIdx.x * OD_GPU_THREADS + threadIdx.x) * 2;
    if (i >= count) {
        return;
    }
    const uint64_t element = (uint64_t)(first + i);
    uint32_t c[4] = {(uint32_t)element, (uint32_t)(element >> 32), step, stream};
    uint32_t k0 = (uint32_t)seed;
    uint32_t k1 = (uint32_t)(seed >> 32);
    for (int round = 0; round < 10; round++) {
        od_philox_round(c, k0, k1);
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    double a;
    double b;
    od_normal_of_words(c, &a, &b);
    to[i] = (float)__dmul_rn(a, deviation);
    if (i + 1 < count) {
        to[i + 1] = (float)__dmul_rn(b, deviation);
    }
}
