/**
 * @file
 * Two standard normals from four random words, with the same bits on a CPU and on a GPU.
 *
 *     u = 1 - U(word 0, word 1),  t = U(word 2, word 3),  53 bits each
 *     a = sqrt(-2 log u) cos(2 pi t),  b = sqrt(-2 log u) sin(2 pi t)
 *
 * Logarithm, cosine and sine are polynomials written down here, because those of libraries differ
 * from machine to machine in their last bit. Only additions, multiplications, divisions and square
 * roots in double are used, each rounded by itself (the project is built with -ffp-contract=off; a
 * GPU is told so by its intrinsics). Errors are a few units in the last place of a double.
 *
 *     log(2^e m) = e log 2 + 2 (f + f^3 / 3 + f^5 / 5 ...),  f = (m - 1) / (m + 1),  |f| < 0.172
 *     2 pi t = q pi / 2 + x,  |x| <= pi / 4:  Taylor's series of cos x and sin x
 *
 * @source Box and Muller, "A note on the generation of random normal deviates", 1958.
 * @thread No state.
 */
#ifndef OD_BASE_NORMAL_H
#define OD_BASE_NORMAL_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#ifdef __CUDACC__
#define OD_NORMAL_INLINE    static __device__ __forceinline__
#define OD_NORMAL_ADD(a, b) __dadd_rn((a), (b))
#define OD_NORMAL_MUL(a, b) __dmul_rn((a), (b))
#define OD_NORMAL_DIV(a, b) __ddiv_rn((a), (b))
#define OD_NORMAL_SQRT(a)   __dsqrt_rn(a)
#else
#define OD_NORMAL_INLINE    static inline
#define OD_NORMAL_ADD(a, b) ((a) + (b))
#define OD_NORMAL_MUL(a, b) ((a) * (b))
#define OD_NORMAL_DIV(a, b) ((a) / (b))
#define OD_NORMAL_SQRT(a)   sqrt(a)
#endif

/** Uniform in [0, 1) with 53 bits: every step is exact. */
OD_NORMAL_INLINE double od_normal_uniform(uint32_t high, uint32_t low)
{
    const double whole =
        OD_NORMAL_ADD(OD_NORMAL_MUL((double)(high >> 5), 67108864.0), (double)(low >> 6));
    return OD_NORMAL_MUL(whole, 0x1p-53);
}

/** Logarithm of a normal number, 0 < x < infinity. */
OD_NORMAL_INLINE double od_normal_log(double x)
{
    const double root = 1.4142135623730951;
    uint64_t bits;
    double m;
    memcpy(&bits, &x, sizeof bits);
    double e = (double)((int)(bits >> 52) - 1023);
    bits = (bits & 0x000FFFFFFFFFFFFFu) | 0x3FF0000000000000u;
    memcpy(&m, &bits, sizeof m);
    if (m > root) {
        m = OD_NORMAL_MUL(m, 0.5);
        e = OD_NORMAL_ADD(e, 1.0);
    }
    const double f = OD_NORMAL_DIV(OD_NORMAL_ADD(m, -1.0), OD_NORMAL_ADD(m, 1.0));
    const double s = OD_NORMAL_MUL(f, f);
    double sum = 1.0 / 23.0;
    for (int k = 21; k >= 3; k -= 2) {
        sum = OD_NORMAL_ADD(OD_NORMAL_MUL(sum, s), OD_NORMAL_DIV(1.0, (double)k));
    }
    const double twice = OD_NORMAL_MUL(f, 2.0);
    const double log_m = OD_NORMAL_ADD(twice, OD_NORMAL_MUL(twice, OD_NORMAL_MUL(sum, s)));
    return OD_NORMAL_ADD(OD_NORMAL_MUL(e, 0.6931471805599453), log_m);
}

/** Cosine and sine of 2 pi t, 0 <= t < 1. */
OD_NORMAL_INLINE void od_normal_turn(double t, double *ret_cosine, double *ret_sine)
{
    // Exact: q / 4 has few bits, and t - q / 4 cancels.
    const int q = (int)OD_NORMAL_ADD(OD_NORMAL_MUL(t, 4.0), 0.5);
    const double r = OD_NORMAL_ADD(t, OD_NORMAL_MUL((double)q, -0.25));
    const double x = OD_NORMAL_MUL(r, 6.283185307179586);
    const double s = OD_NORMAL_MUL(x, x);
    double cosine = 1.0;
    double sine = 1.0;
    for (int k = 18; k >= 2; k -= 2) {
        const double even = OD_NORMAL_DIV(s, (double)(k * (k - 1)));
        const double odd = OD_NORMAL_DIV(s, (double)(k * (k + 1)));
        cosine = OD_NORMAL_ADD(1.0, -OD_NORMAL_MUL(even, cosine));
        sine = OD_NORMAL_ADD(1.0, -OD_NORMAL_MUL(odd, sine));
    }
    sine = OD_NORMAL_MUL(x, sine);
    const double turned_cosine = (q & 1) != 0 ? sine : cosine;
    const double turned_sine = (q & 1) != 0 ? cosine : sine;
    *ret_cosine = ((q + 1) & 2) != 0 ? -turned_cosine : turned_cosine;
    *ret_sine = (q & 2) != 0 ? -turned_sine : turned_sine;
}

/** Two independent standard normals from one draw. */
OD_NORMAL_INLINE void od_normal_of_words(const uint32_t word[4], double *ret_a, double *ret_b)
{
    const double u = OD_NORMAL_ADD(1.0, -od_normal_uniform(word[0], word[1]));  // (0, 1]
    const double radius = OD_NORMAL_SQRT(OD_NORMAL_MUL(-2.0, od_normal_log(u)));
    double cosine;
    double sine;
    od_normal_turn(od_normal_uniform(word[2], word[3]), &cosine, &sine);
    *ret_a = OD_NORMAL_MUL(radius, cosine);
    *ret_b = OD_NORMAL_MUL(radius, sine);
}

#endif
