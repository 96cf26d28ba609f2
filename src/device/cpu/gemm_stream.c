// Products of a few rows with packed weights, which are bound by the bytes of the weights. Compiled
// twice, for AVX2 and for AVX-512: OD_STREAM_LANES is 8 or 16.
//
// A tile is a few rows by up to four panels, each read from its front to its end, so that up to four
// streams come from memory at once. Weights of bf16 become floats in registers. Of more rows than a
// tile holds the next ones follow while a block of k is still in the cache.

#include <immintrin.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "device/cpu/gemm.h"
#include "device/cpu/gemm_internal.h"

#if OD_STREAM_LANES == 16
typedef __m512 vector;
typedef __m512i words;
#define LOAD(at)          _mm512_loadu_ps(at)
#define STORE(at, x)      _mm512_storeu_ps(at, x)
#define LOAD_WORDS(at)    _mm512_loadu_si512(at)
#define ZERO()            _mm512_setzero_ps()
#define ALL(at)           _mm512_set1_ps(*(at))
#define MULTIPLY_ADD      _mm512_fmadd_ps
#define FLOATS_OF_LOW(w)  _mm512_castsi512_ps(_mm512_slli_epi32(w, 16))
#define FLOATS_OF_HIGH(w) _mm512_castsi512_ps(_mm512_and_si512(w, _mm512_set1_epi32(-65536)))
#define STREAM_KERNEL     od_gemm_stream_avx512
enum { ROWS_MAX = 12, WIDE_ROWS = 6, MIDDLE_ROWS = 12 };
#else
typedef __m256 vector;
typedef __m256i words;
#define LOAD(at)          _mm256_loadu_ps(at)
#define STORE(at, x)      _mm256_storeu_ps(at, x)
#define LOAD_WORDS(at)    _mm256_loadu_si256((const __m256i *)(const void *)(at))
#define ZERO()            _mm256_setzero_ps()
#define ALL(at)           _mm256_broadcast_ss(at)
#define MULTIPLY_ADD      _mm256_fmadd_ps
#define FLOATS_OF_LOW(w)  _mm256_castsi256_ps(_mm256_slli_epi32(w, 16))
#define FLOATS_OF_HIGH(w) _mm256_castsi256_ps(_mm256_and_si256(w, _mm256_set1_epi32(-65536)))
#define STREAM_KERNEL     od_gemm_stream_avx2
enum { ROWS_MAX = 6, WIDE_ROWS = 1, MIDDLE_ROWS = 3 };
#endif

#define INLINE static inline __attribute__((always_inline))

enum {
    LANES = OD_STREAM_LANES,
    NR = OD_GEMM_PANEL_COLS,
    PER_PANEL = NR / LANES,
    PANELS_MAX = OD_GEMM_STREAM_COLS / NR,
    VECTORS_MAX = PANELS_MAX * PER_PANEL,
    LINE_BYTES = 64,  // of a panel: a row of floats, or two rows of bf16
    AHEAD_BYTES = 1024,
    BLOCK_K = 512  // of rows that are taken in several tiles
};

// Rows of A, a line of each panel, and the sums of a tile.
struct place {
    const float *a;
    const char *b;
    float *c;
    int64_t ldc;
};

// Two steps of k: dwords hold a column's bf16 of both.
INLINE void step_bf16(int rows, int vectors, vector sum[ROWS_MAX][VECTORS_MAX],
                      const struct od_gemm_stream *s, const struct place *at)
{
    vector low[VECTORS_MAX];
    vector high[VECTORS_MAX];
#pragma GCC unroll 8
    for (int v = 0; v < vectors; v++) {
        const words w = LOAD_WORDS(at->b + v / PER_PANEL * s->panel_bytes +
                                   v % PER_PANEL * (int64_t)LANES * (int64_t)sizeof(float));
        low[v] = FLOATS_OF_LOW(w);
        high[v] = FLOATS_OF_HIGH(w);
    }
#pragma GCC unroll 12
    for (int r = 0; r < rows; r++) {
        const vector first = ALL(at->a + r * s->a_row);
        const vector second = ALL(at->a + r * s->a_row + 1);
#pragma GCC unroll 8
        for (int v = 0; v < vectors; v++) {
            sum[r][v] = MULTIPLY_ADD(first, low[v], sum[r][v]);
        }
#pragma GCC unroll 8
        for (int v = 0; v < vectors; v++) {
            sum[r][v] = MULTIPLY_ADD(second, high[v], sum[r][v]);
        }
    }
}

INLINE void step_f32(int rows, int vectors, vector sum[ROWS_MAX][VECTORS_MAX],
                     const struct od_gemm_stream *s, const struct place *at)
{
    vector row[VECTORS_MAX];
#pragma GCC unroll 8
    for (int v = 0; v < vectors; v++) {
        row[v] = LOAD((const float *)(const void *)(at->b + v / PER_PANEL * s->panel_bytes) +
                      v % PER_PANEL * (int64_t)LANES);
    }
#pragma GCC unroll 12
    for (int r = 0; r < rows; r++) {
        const vector x = ALL(at->a + r * s->a_row);
#pragma GCC unroll 8
        for (int v = 0; v < vectors; v++) {
            sum[r][v] = MULTIPLY_ADD(x, row[v], sum[r][v]);
        }
    }
}

// The last step of an odd k: the upper halves are padding, and A ends.
INLINE void step_last(int rows, int vectors, vector sum[ROWS_MAX][VECTORS_MAX],
                      const struct od_gemm_stream *s, const struct place *at)
{
#pragma GCC unroll 8
    for (int v = 0; v < vectors; v++) {
        const vector low =
            FLOATS_OF_LOW(LOAD_WORDS(at->b + v / PER_PANEL * s->panel_bytes +
                                     v % PER_PANEL * (int64_t)LANES * (int64_t)sizeof(float)));
#pragma GCC unroll 12
        for (int r = 0; r < rows; r++) {
            sum[r][v] = MULTIPLY_ADD(ALL(at->a + r * s->a_row), low, sum[r][v]);
        }
    }
}

// `rows` x (16 * panels) elements of C over the k of `s`.
INLINE void tile(int rows, int panels, bool half, const struct od_gemm_stream *s, struct place at)
{
    vector sum[ROWS_MAX][VECTORS_MAX];
    const int vectors = panels * PER_PANEL;
    const int64_t steps = half ? s->k / 2 : s->k;
#pragma GCC unroll 12
    for (int r = 0; r < rows; r++) {
#pragma GCC unroll 8
        for (int v = 0; v < vectors; v++) {
            sum[r][v] = s->load ? LOAD(at.c + r * at.ldc + v * (int64_t)LANES) : ZERO();
        }
    }
    for (int64_t i = 0; i < steps; i++) {
#pragma GCC unroll 4
        for (int p = 0; p < panels; p++) {
            _mm_prefetch(at.b + p * s->panel_bytes + AHEAD_BYTES, _MM_HINT_T0);
        }
        if (half) {
            step_bf16(rows, vectors, sum, s, &at);
        } else {
            step_f32(rows, vectors, sum, s, &at);
        }
        at.a += half ? 2 : 1;
        at.b += LINE_BYTES;
    }
    if (half && s->k % 2 != 0) {
        step_last(rows, vectors, sum, s, &at);
    }
#pragma GCC unroll 12
    for (int r = 0; r < rows; r++) {
#pragma GCC unroll 8
        for (int v = 0; v < vectors; v++) {
            STORE(at.c + r * at.ldc + v * (int64_t)LANES, sum[r][v]);
        }
    }
}

// A tile with its numbers known to the compiler.
INLINE void tile_of(int rows, int panels, const struct od_gemm_stream *s, const struct place *at)
{
    if (s->form == OD_GEMM_BF16) {
        tile(rows, panels, true, s, *at);
    } else {
        tile(rows, panels, false, s, *at);
    }
}

#define TILE(rows)                                         \
    case rows:                                             \
        if (panels == 4 && (rows) <= WIDE_ROWS) {          \
            tile_of(rows, 4, s, at);                       \
        } else if (panels == 2 && (rows) <= MIDDLE_ROWS) { \
            tile_of(rows, 2, s, at);                       \
        } else {                                           \
            tile_of(rows, 1, s, at);                       \
        }                                                  \
        break

static void tile_rows(int rows, int panels, const struct od_gemm_stream *s, const struct place *at)
{
    switch (rows) {
        TILE(1);
        TILE(2);
        TILE(3);
        TILE(4);
        TILE(5);
        TILE(6);
#if OD_STREAM_LANES == 16
        TILE(7);
        TILE(8);
        TILE(9);
        TILE(10);
        TILE(11);
        TILE(12);
#endif
    default: break;
    }
}

// How many panels a tile of `rows` rows takes when `left` are to be done.
static int panels_of(int rows, int64_t left)
{
    const int most = rows <= WIDE_ROWS ? 4 : rows <= MIDDLE_ROWS ? 2 : 1;
    return left >= most ? most : left >= 2 && most >= 2 ? 2 : 1;
}

// Rows that make one tile, against all panels. The last panel may reach behind C.
static void run_rows(int rows, const struct od_gemm_stream *s, struct place at)
{
    int64_t cols = s->cols;
    while (cols >= NR) {
        const int panels = panels_of(rows, cols / NR);
        tile_rows(rows, panels, s, &at);
        at.b += panels * s->panel_bytes;
        at.c += panels * (int64_t)NR;
        cols -= panels * (int64_t)NR;
    }
    if (cols > 0) {
        float whole[ROWS_MAX * NR] = {0};
        const struct place inside = {.a = at.a, .b = at.b, .c = whole, .ldc = NR};
        const size_t bytes = (size_t)cols * sizeof(float);
        for (int r = 0; s->load && r < rows; r++) {
            memcpy(whole + r * (int64_t)NR, at.c + r * at.ldc, bytes);
        }
        tile_rows(rows, 1, s, &inside);
        for (int r = 0; r < rows; r++) {
            memcpy(at.c + r * at.ldc, whole + r * (int64_t)NR, bytes);
        }
    }
}

void STREAM_KERNEL(const struct od_gemm_stream *stream)
{
    const int64_t tiles = (stream->rows + ROWS_MAX - 1) / ROWS_MAX;
    const int64_t block = tiles == 1 ? stream->k : BLOCK_K;
    for (int64_t p = 0; p < stream->k; p += block) {
        struct od_gemm_stream s = *stream;
        s.k = stream->k - p < block ? stream->k - p : block;
        s.load = stream->load || p > 0;
        const int64_t lines = s.form == OD_GEMM_BF16 ? p / 2 : p;
        for (int64_t i = 0; i < tiles; i++) {  // tiles of nearly one size
            const int64_t first = stream->rows * i / tiles;
            const int64_t last = stream->rows * (i + 1) / tiles;
            run_rows((int)(last - first), &s,
                     (struct place){.a = stream->a + first * stream->a_row + p,
                                    .b = (const char *)stream->panels + lines * LINE_BYTES,
                                    .c = stream->c + first * stream->ldc,
                                    .ldc = stream->ldc});
        }
    }
}
