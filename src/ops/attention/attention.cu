// What attention's backward pass needs first, for any head size. The kernels for one size are in
// attention_dNN.cu: an image of its own for each, so that a program loads one.
#include "ops/attention/attention_common.cuh"

// delta[t][h] = sum(dO * O), eight lanes a row, fixed tree.
extern "C" __global__ void __launch_bounds__(OD_ATTENTION_DELTA_THREADS)
    od_attention_delta(const struct od_attention_args args)
{
    struct od_attention_tile tile;
    int32_t head;
    if (!find_work(&args, block_index(), args.heads, &tile, &head)) {
        return;
    }
    const int32_t lane = threadIdx.x % 8;
    // Every lane of a warp takes part in the shuffles, whether or not it has a row.
    for (int32_t first = 0; first < tile.rows; first += OD_ATTENTION_DELTA_THREADS / 8) {
        const int32_t r = first + (int32_t)threadIdx.x / 8;
        const int64_t t = tile.row + r;
        float sum = 0.0F;
        for (int32_t c = lane * 8; r < tile.rows && c < args.head_dim; c += 64) {
            const int64_t at = (int64_t)head * args.head_dim + c;
            const uint4 x = *(const uint4 *)(args.o + t * args.ld_o + at);
            const uint4 y = *(const uint4 *)(args.d_o + t * args.ld_do + at);
            const uint32_t xs[4] = {x.x, x.y, x.z, x.w};
            const uint32_t ys[4] = {y.x, y.y, y.z, y.w};
#pragma unroll
            for (int i = 0; i < 4; i++) {
                sum = fmaf(__uint_as_float(xs[i] << 16), __uint_as_float(ys[i] << 16), sum);
                sum = fmaf(__uint_as_float(xs[i] & 0xffff0000U),
                           __uint_as_float(ys[i] & 0xffff0000U), sum);
            }
        }
        sum += __shfl_xor_sync(0xffffffffU, sum, 1);
        sum += __shfl_xor_sync(0xffffffffU, sum, 2);
        sum += __shfl_xor_sync(0xffffffffU, sum, 4);
        if (lane == 0 && r < tile.rows) {
            args.delta[t * args.heads + head] = sum;
        }
    }
}
