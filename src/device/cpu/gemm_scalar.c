// The product in plain C: the definition, and blocks and packing for processors without AVX2.

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "device/cpu/gemm.h"
#include "device/cpu/gemm_internal.h"
#include "formats/half.h"

void od_gemm_ref(int64_t m, int64_t n, int64_t k, struct od_mat a, struct od_mat b, float *c,
                 int64_t ldc, bool accumulate)
{
    for (int64_t i = 0; i < m; i++) {
        for (int64_t j = 0; j < n; j++) {
            float sum = accumulate ? c[i * ldc + j] : 0.0F;
            for (int64_t p = 0; p < k; p++) {
                sum = fmaf(a.data[i * a.row_stride + p * a.col_stride],
                           b.data[p * b.row_stride + j * b.col_stride], sum);
            }
            c[i * ldc + j] = sum;
        }
    }
}

#ifdef __SSE2__
// fmaf for two lanes at once, on processors that have no such instruction. The product of two floats
// is exact in double, so double(a b + c), rounded to float, is right unless the sum in double is not
// exact and falls just between two floats: rounding twice may then go the wrong way. Sums that look
// like that, and those that may be subnormal as floats (their rounding place is another), are left
// to fmaf. `doubtful` collects them.
static inline __m128d multiply_add2(__m128d x, __m128d b, __m128d sum, __m128i *doubtful)
{
    const __m128d exact = _mm_add_pd(_mm_mul_pd(x, b), sum);
    const __m128i bits = _mm_castpd_si128(exact);
    // The 29 bits that a float drops: one and then zeros. Compared as 32-bit halves; the upper half
    // of a lane is never equal to the pattern.
    const __m128i between = _mm_cmpeq_epi32(_mm_and_si128(bits, _mm_set1_epi64x(0x1fffffff)),
                                            _mm_set1_epi64x(0x7fffffff10000000));
    const __m128d size = _mm_andnot_pd(_mm_set1_pd(-0.0), exact);
    const __m128d tiny = _mm_and_pd(_mm_cmple_pd(size, _mm_set1_pd(0x1p-126)),
                                    _mm_cmpneq_pd(size, _mm_setzero_pd()));
    *doubtful = _mm_or_si128(*doubtful, _mm_or_si128(between, _mm_castpd_si128(tiny)));
    return _mm_cvtps_pd(_mm_cvtpd_ps(exact));
}

enum { PAIR = 2, PAIRS = OD_GEMM_PANEL_COLS / PAIR, HALF_PAIRS = PAIRS / 2 };

// Eight columns, whose sums wait in double. False, and nothing changed, when a sum was doubtful.
static inline bool step_eight(float x, const float *b, __m128d sum[HALF_PAIRS])
{
    const __m128d wide = _mm_set1_pd((double)x);
    __m128d next[HALF_PAIRS];
    __m128i doubtful = _mm_setzero_si128();
#pragma GCC unroll 4
    for (int i = 0; i < HALF_PAIRS; i += 2) {
        const __m128 four = _mm_loadu_ps(b + (ptrdiff_t)PAIR * i);
        next[i] = multiply_add2(wide, _mm_cvtps_pd(four), sum[i], &doubtful);
        next[i + 1] =
            multiply_add2(wide, _mm_cvtps_pd(_mm_movehl_ps(four, four)), sum[i + 1], &doubtful);
    }
    if (_mm_movemask_epi8(doubtful) != 0) {
        return false;
    }
    memcpy(sum, next, sizeof next);
    return true;
}

static void step_eight_slow(float x, const float *b, __m128d sum[HALF_PAIRS])
{
    double lanes[OD_GEMM_PANEL_COLS / 2];
    memcpy(lanes, sum, sizeof lanes);
    for (int j = 0; j < OD_GEMM_PANEL_COLS / 2; j++) {
        lanes[j] = (double)fmaf(x, b[j], (float)lanes[j]);
    }
    memcpy(sum, lanes, sizeof lanes);
}

static void half_panel(int64_t k, const float *a, int64_t a_col, const float *b, int64_t b_row,
                       float *sums)
{
    __m128d sum[HALF_PAIRS];
    for (int i = 0; i < HALF_PAIRS; i++) {
        const float *pair = sums + (ptrdiff_t)PAIR * i;
        sum[i] = _mm_set_pd((double)pair[1], (double)pair[0]);
    }
    for (int64_t p = 0; p < k; p++) {
        if (!step_eight(a[p * a_col], b + p * b_row, sum)) {
            step_eight_slow(a[p * a_col], b + p * b_row, sum);
        }
    }
    for (int i = 0; i < HALF_PAIRS; i++) {
        _mm_storel_pi((__m64 *)(void *)(sums + (ptrdiff_t)PAIR * i), _mm_cvtpd_ps(sum[i]));
    }
}
#else
static void half_panel(int64_t k, const float *a, int64_t a_col, const float *b, int64_t b_row,
                       float *sums)
{
    for (int64_t p = 0; p < k; p++) {
        for (int j = 0; j < OD_GEMM_PANEL_COLS / 2; j++) {
            sums[j] = fmaf(a[p * a_col], b[p * b_row + j], sums[j]);
        }
    }
}
#endif

static void row_panel(int64_t k, const float *a, int64_t a_col, const float *b, int64_t b_row,
                      float *c, int cols, bool load)
{
    enum { HALF = OD_GEMM_PANEL_COLS / 2 };
    float sum[OD_GEMM_PANEL_COLS] = {0};
    if (load) {
        memcpy(sum, c, (size_t)cols * sizeof *c);
    }
    half_panel(k, a, a_col, b, b_row, sum);
    if (cols > HALF) {
        half_panel(k, a, a_col, b + HALF, b_row, sum + HALF);
    }
    memcpy(c, sum, (size_t)cols * sizeof *c);
}

static void block_scalar(const struct od_gemm_block *block)
{
    for (int64_t r0 = 0; r0 < block->rows;) {
        const int rows = od_gemm_group_rows(block->rows - r0);
        for (int64_t j = 0; j < block->cols; j += OD_GEMM_PANEL_COLS) {
            const int64_t left = block->cols - j;
            const int cols = left < OD_GEMM_PANEL_COLS ? (int)left : OD_GEMM_PANEL_COLS;
            const float *b = block->b + j / OD_GEMM_PANEL_COLS * block->b_panel;
            for (int r = 0; r < rows; r++) {
                const float *a = block->a_packed ? block->a + r0 * block->k + r
                                                 : block->a + (r0 + r) * block->a_row;
                row_panel(block->k, a, block->a_packed ? rows : block->a_col, b, block->b_row,
                          block->c + (r0 + r) * block->ldc + j, cols, block->load);
            }
        }
        r0 += rows;
    }
}

static void pack_b_scalar(float *packed, int64_t panel, struct od_mat b, int64_t k, int64_t cols)
{
    for (int64_t at = 0; at < cols; at += OD_GEMM_PANEL_COLS, packed += panel) {
        for (int64_t p = 0; p < k; p++) {
            for (int j = 0; j < OD_GEMM_PANEL_COLS; j++) {
                packed[p * OD_GEMM_PANEL_COLS + j] =
                    at + j < cols ? b.data[p * b.row_stride + (at + j) * b.col_stride] : 0.0F;
            }
        }
    }
}

static void pack_a_scalar(float *packed, struct od_mat a, int64_t rows, int64_t k)
{
    for (int64_t r0 = 0; r0 < rows;) {
        const int group = od_gemm_group_rows(rows - r0);
        for (int r = 0; r < group; r++) {
            for (int64_t p = 0; p < k; p++) {
                packed[r0 * k + p * group + r] = a.data[(r0 + r) * a.row_stride + p * a.col_stride];
            }
        }
        r0 += group;
    }
}

static void unpack_scalar(float *packed, int64_t panel, const void *panels, int64_t panel_bytes,
                          int64_t k, int64_t cols)
{
    for (int64_t at = 0; at < cols; at += OD_GEMM_PANEL_COLS, packed += panel) {
        const uint32_t *from =
            (const void *)((const char *)panels + at / OD_GEMM_PANEL_COLS * panel_bytes);
        for (int64_t p = 0; p < k; p++) {
            for (int64_t j = 0; j < OD_GEMM_PANEL_COLS; j++) {
                const uint32_t pair = from[p / 2 * OD_GEMM_PANEL_COLS + j];
                packed[p * OD_GEMM_PANEL_COLS + j] =
                    od_f32_from_bits(p % 2 == 0 ? pair << 16 : pair & 0xFFFF0000u);
            }
        }
    }
}

static void stream_scalar(const struct od_gemm_stream *s)
{
    enum { BLOCK_K = 256 };
    float unpacked[BLOCK_K * OD_GEMM_PANEL_COLS];
    for (int64_t j = 0; j < s->cols; j += OD_GEMM_PANEL_COLS) {
        const char *panel = (const char *)s->panels + j / OD_GEMM_PANEL_COLS * s->panel_bytes;
        const int64_t left = s->cols - j;
        const int cols = left < OD_GEMM_PANEL_COLS ? (int)left : OD_GEMM_PANEL_COLS;
        for (int64_t p = 0; p < s->k; p += BLOCK_K) {
            const int64_t k = s->k - p < BLOCK_K ? s->k - p : BLOCK_K;
            const float *b = unpacked;
            if (s->form == OD_GEMM_BF16) {
                unpack_scalar(unpacked, 0,
                              panel + p / 2 * OD_GEMM_PANEL_COLS * (int64_t)sizeof(float), 0, k,
                              OD_GEMM_PANEL_COLS);
            } else {
                b = (const float *)(const void *)panel + p * OD_GEMM_PANEL_COLS;
            }
            for (int64_t r = 0; r < s->rows; r++) {
                row_panel(k, s->a + r * s->a_row + p, 1, b, OD_GEMM_PANEL_COLS,
                          s->c + r * s->ldc + j, cols, s->load || p > 0);
            }
        }
    }
}

const struct od_gemm_kernels od_gemm_kernels_scalar = {.block = block_scalar,
                                                       .pack_b = pack_b_scalar,
                                                       .pack_a = pack_a_scalar,
                                                       .stream = stream_scalar,
                                                       .unpack = unpack_scalar};
