// The inner loops of the product with AVX2 and FMA, compiled with -mavx2 -mfma.
//
// A tile is up to six rows by two vectors of eight columns: twelve accumulators, two registers for
// a row of B and one for an element of A, of sixteen. Few rows take more columns at once, so that
// there are enough independent chains to hide the latency of the multiply-add.

#include "device/cpu/gemm.h"

#include <immintrin.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "device/cpu/gemm_internal.h"

enum {
    LANES = 8,
    NR = OD_GEMM_PANEL_COLS,
    ROWS_MAX = OD_GEMM_GROUP_ROWS,
    VECTORS_MAX = 8,
    UNROLL = 4,
    PACK_ROWS = 8,
    LINE_FLOATS = 16,
    FEW_ROWS_AHEAD = 256,
    FAR_FLOATS = 1 << 16,
    SHORT_K = 64
};

#define INLINE static inline __attribute__((always_inline))

struct place {
    const float *a;
    int64_t a_row;
    int64_t a_col;
    const float *b;
    int64_t b_row;
    float *c;
    int64_t ldc;
};

// What a tile fetches into the cache for those after it, in floats from its own; 0: nothing.
struct ahead {
    int64_t a;  // to the next group of A
    int64_t b;  // down each panel of B
    int64_t c;  // along the rows of C
};

// Eight floats, and a multiply-add with one element of A for two vectors. As text for the assembler,
// because compilers rearrange an unrolled loop of intrinsics until accumulators spill.
#if defined(__SANITIZE_ADDRESS__) || defined(__clang_analyzer__)
#define PLAIN_STEPS 1
#elif defined(__has_feature)
#define PLAIN_STEPS (__has_feature(address_sanitizer) || __has_feature(memory_sanitizer))
#else
#define PLAIN_STEPS 0
#endif

INLINE __m256 load8(const float *from)
{
#if PLAIN_STEPS
    return _mm256_loadu_ps(from);
#else
    __m256 x;
    __asm__ volatile("vmovups %1, %0" : "=x"(x) : "m"(*(const __m256_u *)from));
    return x;
#endif
}

INLINE void multiply_add(const float *a, __m256 b0, __m256 b1, __m256 *sum0, __m256 *sum1)
{
#if PLAIN_STEPS
    const __m256 x = _mm256_broadcast_ss(a);
    *sum0 = _mm256_fmadd_ps(x, b0, *sum0);
    *sum1 = _mm256_fmadd_ps(x, b1, *sum1);
#else
    __m256 x;
    __m256 s0 = *sum0;
    __m256 s1 = *sum1;
    __asm__ volatile(
        "vbroadcastss %3, %2\n\t"
        "vfmadd231ps %4, %2, %0\n\t"
        "vfmadd231ps %5, %2, %1"
        : "+x"(s0), "+x"(s1), "=&x"(x)
        : "m"(*a), "x"(b0), "x"(b1));
    *sum0 = s0;
    *sum1 = s1;
#endif
}

// One step of k: a column of A times a row of B. `middle` is row 3 of A.
INLINE void step(int rows, int vectors, __m256 sum[ROWS_MAX][VECTORS_MAX], const float *a,
                 const float *middle, int64_t a_row, const float *b, int64_t b_panel)
{
    __m256 row[VECTORS_MAX];
#pragma GCC unroll 8
    for (int v = 0; v < vectors; v++) {
        row[v] = load8(b + v / 2 * b_panel + (v % 2 == 0 ? 0 : LANES));
    }
#pragma GCC unroll 6
    for (int r = 0; r < rows; r++) {
        const float *element = r < ROWS_MAX / 2 ? a + r * a_row : middle + (r - 3) * a_row;
#pragma GCC unroll 4
        for (int v = 0; v + 1 < vectors; v += 2) {
            multiply_add(element, row[v], row[v + 1], &sum[r][v], &sum[r][v + 1]);
        }
        if (vectors == 1) {
            sum[r][0] = _mm256_fmadd_ps(_mm256_broadcast_ss(element), row[0], sum[r][0]);
        }
    }
}

INLINE void fetch_rows(int rows, const float *at, int64_t stride)
{
#pragma GCC unroll 6
    for (int r = 0; r < rows; r++) {
        _mm_prefetch(at + r * stride, _MM_HINT_T0);
    }
}

// One tile: `rows` x (8 * vectors) elements; vectors 2 i and 2 i + 1 belong to panel i.
INLINE void tile(int rows, int vectors, const struct od_gemm_block *block, struct place at,
                 struct ahead ahead)
{
    __m256 sum[ROWS_MAX][VECTORS_MAX];
    const int64_t b_panel = block->b_panel;
    const bool load = block->load;
    const float *middle = at.a + ROWS_MAX / 2 * at.a_row;
    if (!(__builtin_constant_p(at.a_row) && at.a_row == 1)) {
        // Kept apart from `a`, so that two registers and two strides reach all six rows.
        __asm__("" : "+r"(middle));
    }
#pragma GCC unroll 6
    for (int r = 0; r < rows; r++) {
#pragma GCC unroll 8
        for (int v = 0; v < vectors; v++) {
            sum[r][v] = load ? _mm256_loadu_ps(at.c + r * at.ldc + v * (int64_t)LANES)
                             : _mm256_setzero_ps();
        }
    }
    if (ahead.c != 0) {
        fetch_rows(rows, at.c + ahead.c, at.ldc);
    }
    int64_t k = block->k;
    for (; k >= UNROLL; k -= UNROLL) {
        if (ahead.a != 0 && k % LINE_FLOATS < UNROLL) {
            fetch_rows(rows, at.a + ahead.a, at.a_row);
        }
#pragma GCC unroll 4
        for (int i = 0; i < UNROLL; i++) {
            if (ahead.b != 0) {
                fetch_rows((vectors + 1) / 2, at.b + i * at.b_row + ahead.b, b_panel);
            }
            step(rows, vectors, sum, at.a + i * at.a_col, middle + i * at.a_col, at.a_row,
                 at.b + i * at.b_row, b_panel);
        }
        at.a += UNROLL * at.a_col;
        middle += UNROLL * at.a_col;
        at.b += UNROLL * at.b_row;
    }
    for (; k > 0; k--) {
        step(rows, vectors, sum, at.a, middle, at.a_row, at.b, b_panel);
        at.a += at.a_col;
        middle += at.a_col;
        at.b += at.b_row;
    }
#pragma GCC unroll 6
    for (int r = 0; r < rows; r++) {
#pragma GCC unroll 8
        for (int v = 0; v < vectors; v++) {
            _mm256_storeu_ps(at.c + r * at.ldc + v * (int64_t)LANES, sum[r][v]);
        }
    }
}

// A tile of one panel with any number of rows, for the few tiles that are not of six.
static void tile_rows(int rows, const struct od_gemm_block *block, const struct place *at)
{
    const struct ahead ahead = {.b = FEW_ROWS_AHEAD};
    switch (rows) {
    case 1: tile(1, 2, block, *at, ahead); break;
    case 2: tile(2, 2, block, *at, ahead); break;
    case 3: tile(3, 2, block, *at, ahead); break;
    case 4: tile(4, 2, block, *at, ahead); break;
    case 5: tile(5, 2, block, *at, ahead); break;
    default: tile(6, 2, block, *at, ahead); break;
    }
}

static void tile_half(int rows, const struct od_gemm_block *block, const struct place *at)
{
    const struct ahead ahead = {0};
    switch (rows) {
    case 1: tile(1, 1, block, *at, ahead); break;
    case 2: tile(2, 1, block, *at, ahead); break;
    case 3: tile(3, 1, block, *at, ahead); break;
    case 4: tile(4, 1, block, *at, ahead); break;
    case 5: tile(5, 1, block, *at, ahead); break;
    default: tile(6, 1, block, *at, ahead); break;
    }
}

// 1 to 15 floats, without a call for each row.
INLINE void copy_cut(float *to, const float *from, int cols)
{
    if (cols & 8) {
        _mm256_storeu_ps(to, _mm256_loadu_ps(from));
        to += 8;
        from += 8;
    }
    if (cols & 4) {
        _mm_storeu_ps(to, _mm_loadu_ps(from));
        to += 4;
        from += 4;
    }
    for (int i = 0; i < (cols & 3); i++) {
        to[i] = from[i];
    }
}

// The last panel when the matrix ends inside it.
static void tile_cut(int rows, int cols, const struct od_gemm_block *block, const struct place *at)
{
    if (cols == LANES) {
        tile_half(rows, block, at);
        return;
    }
    float whole[ROWS_MAX * NR] = {0};
    struct place inside = *at;
    inside.c = whole;
    inside.ldc = NR;
    for (int r = 0; block->load && r < rows; r++) {
        copy_cut(whole + r * (int64_t)NR, at->c + r * at->ldc, cols);
    }
    if (cols < LANES) {
        tile_half(rows, block, &inside);
    } else {
        tile_rows(rows, block, &inside);
    }
    for (int r = 0; r < rows; r++) {
        copy_cut(at->c + r * at->ldc, whole + r * (int64_t)NR, cols);
    }
}

static struct place place_of_group(const struct od_gemm_block *block, int64_t r0, int rows)
{
    struct place at = {
        .b = block->b, .b_row = block->b_row, .c = block->c + r0 * block->ldc, .ldc = block->ldc};
    if (block->a_packed) {
        at.a = block->a + r0 * block->k;
        at.a_row = 1;
        at.a_col = rows;
    } else {
        at.a = block->a + r0 * block->a_row;
        at.a_row = block->a_row;
        at.a_col = block->a_col;
    }
    return at;
}

// Several full panels at once for one to three rows; gives the columns done.
INLINE int64_t wide_tiles(const struct od_gemm_block *block, int rows, struct place at,
                          struct ahead ahead)
{
    const int64_t panels = rows == 1 ? 4 : 2;
    int64_t j = 0;
    for (; rows <= 3 && j + panels * NR <= block->cols; j += panels * NR) {
        if (rows == 1) {
            tile(1, 8, block, at, ahead);
        } else if (rows == 2) {
            tile(2, 4, block, at, ahead);
        } else {
            tile(3, 4, block, at, ahead);
        }
        at.b += panels * block->b_panel;
        at.c += panels * NR;
    }
    return j;
}

static int64_t wide_tiles_near(const struct od_gemm_block *block, int rows, const struct place *at)
{
    return wide_tiles(block, rows, *at, (struct ahead){0});
}

// For panels that come from memory.
static int64_t wide_tiles_far(const struct od_gemm_block *block, int rows, const struct place *at)
{
    return wide_tiles(block, rows, *at, (struct ahead){.b = FEW_ROWS_AHEAD});
}

// How far ahead C is fetched: one tile, more when a tile is short.
INLINE int64_t ahead_in_c(int64_t k)
{
    return NR * (1 + SHORT_K / (k + 1));
}

// Six rows against all full panels of packed B, for A in one of its layouts. The next rows of A come
// from afar: a part of them is fetched into L2 while each panel is at work.
static int64_t six_packed(const struct od_gemm_block *block, const struct place *first)
{
    struct place at = *first;
    const struct ahead ahead = {.c = ahead_in_c(block->k)};
    const float *next = block->next_a ? block->next_a : at.a + ROWS_MAX * block->k;
    const int64_t line = block->next_a ? block->next_a_row : LINE_FLOATS;
    const int64_t step = block->next_a ? LINE_FLOATS : ROWS_MAX * LINE_FLOATS;
    int64_t j = 0;
    at.a_row = 1;
    at.a_col = ROWS_MAX;
    at.b_row = NR;
    for (; j + NR <= block->cols; j += NR, at.b += block->b_panel, at.c += NR) {
        for (int i = 0; i < ROWS_MAX; i++) {
            _mm_prefetch(next + i * line, _MM_HINT_T1);
        }
        next += step;
        tile(ROWS_MAX, 2, block, at, ahead);
    }
    return j;
}

static int64_t six_rows(const struct od_gemm_block *block, const struct place *first)
{
    struct place at = *first;
    const struct ahead ahead = {.c = ahead_in_c(block->k)};
    const struct ahead ahead_first = {.a = ROWS_MAX * at.a_row};
    int64_t j = 0;
    at.a_col = 1;
    at.b_row = NR;
    for (; j + NR <= block->cols; j += NR, at.b += block->b_panel, at.c += NR) {
        if (j == 0) {
            tile(ROWS_MAX, 2, block, at, ahead_first);
        } else {
            tile(ROWS_MAX, 2, block, at, ahead);
        }
    }
    return j;
}

// Group after group, each against all panels: the group stays in L1 while panels come from L2.
static void block_avx2(const struct od_gemm_block *block)
{
    for (int64_t r0 = 0; r0 < block->rows;) {
        const int rows = od_gemm_group_rows(block->rows - r0);
        struct place at = place_of_group(block, r0, rows);
        int64_t j = 0;
        if (rows < ROWS_MAX || block->b_row != NR) {
            j = block->k * block->cols > FAR_FLOATS ? wide_tiles_far(block, rows, &at)
                                                    : wide_tiles_near(block, rows, &at);
        } else if (block->a_packed) {
            j = six_packed(block, &at);
        } else if (block->a_col == 1) {
            j = six_rows(block, &at);
        }
        at.b += j / NR * block->b_panel;
        at.c += j;
        for (; j + NR <= block->cols; j += NR, at.b += block->b_panel, at.c += NR) {
            tile_rows(rows, block, &at);
        }
        if (j < block->cols) {
            tile_cut(rows, (int)(block->cols - j), block, &at);
        }
        r0 += rows;
    }
}

// Eight rows of eight floats, turned round.
INLINE void transpose8(__m256 x[8])
{
    __m256 t[8];
    __m256 u[8];
    for (int i = 0; i < 8; i += 2) {
        t[i] = _mm256_unpacklo_ps(x[i], x[i + 1]);
        t[i + 1] = _mm256_unpackhi_ps(x[i], x[i + 1]);
    }
    for (int i = 0; i < 8; i += 4) {
        u[i] = _mm256_shuffle_ps(t[i], t[i + 2], _MM_SHUFFLE(1, 0, 1, 0));
        u[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], _MM_SHUFFLE(3, 2, 3, 2));
        u[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], _MM_SHUFFLE(1, 0, 1, 0));
        u[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], _MM_SHUFFLE(3, 2, 3, 2));
    }
    for (int i = 0; i < 4; i++) {
        x[i] = _mm256_permute2f128_ps(u[i], u[i + 4], 0x20);
        x[i + 4] = _mm256_permute2f128_ps(u[i], u[i + 4], 0x31);
    }
}

// `count` (1 to 8) lines of `k` floats each, `stride` apart, become k lines of `count` floats,
// `width` apart; lanes behind `count` are 0. A store covers eight floats.
INLINE void turn(float *out, int64_t width, const float *in, int64_t stride, int count, int64_t k)
{
    int64_t p = 0;
    for (; p + LANES <= k; p += LANES) {
        __m256 x[LANES];
        for (int i = 0; i < LANES; i++) {
            x[i] = i < count ? _mm256_loadu_ps(in + i * stride + p) : _mm256_setzero_ps();
        }
        transpose8(x);
        for (int i = 0; i < LANES; i++) {
            _mm256_storeu_ps(out + (p + i) * width, x[i]);
        }
    }
    for (; p < k; p++) {
        float line[LANES] = {0};
        for (int i = 0; i < count; i++) {
            line[i] = in[i * stride + p];
        }
        _mm256_storeu_ps(out + p * width, _mm256_loadu_ps(line));
    }
}

// B with neighbouring columns: a few rows at a time, so that memory is read along rows.
static void pack_b_rows(float *packed, int64_t panel, struct od_mat b, int64_t k, int64_t cols)
{
    for (int64_t p = 0; p < k; p += PACK_ROWS) {
        const int64_t rows = k - p < PACK_ROWS ? k - p : PACK_ROWS;
        for (int64_t j = 0; j + NR <= cols; j += NR) {
            const float *in = b.data + p * b.row_stride + j;
            float *out = packed + j / NR * panel + p * NR;
            for (int64_t i = 0; i < rows; i++, in += b.row_stride, out += NR) {
                _mm256_storeu_ps(out, _mm256_loadu_ps(in));
                _mm256_storeu_ps(out + LANES, _mm256_loadu_ps(in + LANES));
            }
        }
    }
}

// B with neighbouring rows: W^T for a row-major W.
static void pack_b_turned(float *packed, int64_t panel, struct od_mat b, int64_t k, int64_t cols)
{
    for (int64_t j = 0; j < cols; j += NR, packed += panel) {
        const int low = cols - j < LANES ? (int)(cols - j) : LANES;
        const int high = cols - j < NR ? (int)(cols - j) - low : LANES;
        const float *in = b.data + j * b.col_stride;
        if (high == LANES) {
            turn(packed, NR, in, b.col_stride, LANES, k);
            turn(packed + LANES, NR, in + LANES * b.col_stride, b.col_stride, LANES, k);
        } else {
            turn(packed, NR, in, b.col_stride, low, k);
            turn(packed + LANES, NR, in + low * b.col_stride, b.col_stride, high, k);
        }
    }
}

static void pack_b_avx2(float *packed, int64_t panel, struct od_mat b, int64_t k, int64_t cols)
{
    if (b.row_stride == 1) {
        pack_b_turned(packed, panel, b, k, cols);
        return;
    }
    int64_t done = 0;
    if (b.col_stride == 1) {
        pack_b_rows(packed, panel, b, k, cols);
        done = cols / NR * NR;
    }
    if (done < cols) {
        b.data += done * b.col_stride;
        od_gemm_kernels_scalar.pack_b(packed + done / NR * panel, panel, b, k, cols - done);
    }
}

// A with neighbouring rows: a few columns at a time, so that memory is read along columns.
static void pack_a_cols(float *packed, struct od_mat a, int64_t rows, int64_t k)
{
    for (int64_t p = 0; p < k; p += PACK_ROWS) {
        const int64_t cols = k - p < PACK_ROWS ? k - p : PACK_ROWS;
        for (int64_t r0 = 0; r0 < rows;) {
            const int group = od_gemm_group_rows(rows - r0);
            const float *in = a.data + p * a.col_stride + r0;
            float *out = packed + r0 * k + p * group;
            for (int64_t i = 0; i < cols; i++, in += a.col_stride, out += group) {
                if (group == ROWS_MAX) {
                    memcpy(out, in, ROWS_MAX * sizeof *out);
                } else {
                    copy_cut(out, in, group);
                }
            }
            r0 += group;
        }
    }
}

static void pack_a_avx2(float *packed, struct od_mat a, int64_t rows, int64_t k)
{
    if (a.row_stride == 1 && a.col_stride != 1) {
        pack_a_cols(packed, a, rows, k);
        return;
    }
    if (a.col_stride != 1) {
        od_gemm_kernels_scalar.pack_a(packed, a, rows, k);
        return;
    }
    for (int64_t r0 = 0; r0 < rows;) {
        const int group = od_gemm_group_rows(rows - r0);
        const float *in = a.data + r0 * a.row_stride;
        float *out = packed + r0 * k;
        if (group == ROWS_MAX) {
            turn(out, ROWS_MAX, in, a.row_stride, ROWS_MAX, k);
        } else {
            turn(out, group, in, a.row_stride, group, k);
        }
        r0 += group;
    }
}

// Two rows of 16 bf16 in a line become two rows of floats.
static void unpack_avx2(float *packed, int64_t panel, const void *panels, int64_t panel_bytes,
                        int64_t k, int64_t cols)
{
    const __m256i upper = _mm256_set1_epi32(-65536);
    const char *from = panels;
    for (int64_t j = 0; j < cols; j += NR, from += panel_bytes, packed += panel) {
        const __m256i *line = (const __m256i *)(const void *)from;
        float *out = packed;
        for (int64_t p = 0; p < k; p += 2, line += 2, out += 2 * (int64_t)NR) {
            const __m256i left = _mm256_loadu_si256(line);
            const __m256i right = _mm256_loadu_si256(line + 1);
            _mm256_storeu_ps(out, _mm256_castsi256_ps(_mm256_slli_epi32(left, 16)));
            _mm256_storeu_ps(out + LANES, _mm256_castsi256_ps(_mm256_slli_epi32(right, 16)));
            if (p + 1 < k) {
                _mm256_storeu_ps(out + NR, _mm256_castsi256_ps(_mm256_and_si256(left, upper)));
                _mm256_storeu_ps(out + NR + LANES,
                                 _mm256_castsi256_ps(_mm256_and_si256(right, upper)));
            }
        }
    }
}

const struct od_gemm_kernels od_gemm_kernels_avx2 = {.block = block_avx2,
                                                     .pack_b = pack_b_avx2,
                                                     .pack_a = pack_a_avx2,
                                                     .stream = od_gemm_stream_avx2,
                                                     .unpack = unpack_avx2};

// Packing is bound by memory either way.
const struct od_gemm_kernels od_gemm_kernels_avx512 = {.block = od_gemm_block_avx512,
                                                       .pack_b = pack_b_avx2,
                                                       .pack_a = pack_a_avx2,
                                                       .stream = od_gemm_stream_avx512,
                                                       .unpack = unpack_avx2};

float od_gemm_spin_avx2(int64_t rounds)
{
    __m256 sum[12];
    const __m256 x = _mm256_set1_ps(0.999F);
    const __m256 y = _mm256_set1_ps(0.001F);
#pragma GCC unroll 12
    for (int i = 0; i < 12; i++) {
        sum[i] = _mm256_set1_ps((float)i);
    }
    for (int64_t round = 0; round < rounds; round++) {
#pragma GCC unroll 8
        for (int step = 0; step < 8; step++) {
#pragma GCC unroll 12
            for (int i = 0; i < 12; i++) {
                sum[i] = _mm256_fmadd_ps(sum[i], x, y);
            }
        }
    }
    float lanes[LANES];
    __m256 all = sum[0];
    for (int i = 1; i < 12; i++) {
        all = _mm256_add_ps(all, sum[i]);
    }
    _mm256_storeu_ps(lanes, all);
    return lanes[0];
}
