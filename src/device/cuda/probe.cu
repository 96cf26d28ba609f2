// The smallest kernel: what `oneday doctor` and the tests start to see that images load and run.
//
//     for (i = 0; i < n; i++)
//         out[i] = fma(a, x[i], y[i]);
//
// Launch: any grid, any block; each thread strides over the grid. No shared memory. Moves 12 bytes
// per element. One rounding per element, so the bits are those of fmaf.

extern "C" __global__ void od_probe(float *out, const float *x, const float *y, float a, long long n)
{
    const long long stride = (long long)gridDim.x * blockDim.x;
    for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += stride) {
        out[i] = fmaf(a, x[i], y[i]);
    }
}
