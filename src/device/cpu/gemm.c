// Matrix products: which thread does which part of C, and blocks that fit the caches.
//
// Each thread owns a rectangle of C and works through it alone:
//
//     for rows by MC, for k by KC:            A block [MC, KC] packed into groups of 6 rows
//         for columns by NC:                  B block [KC, NC] packed into panels of 16 columns
//             for groups, for panels:         a tile of 6 x 16 with its sums in registers
//
// A group of A [6, KC] stays in L1 while the panels of B come from L2, and C is written along its
// rows. Between two blocks of k the sums wait in C, which changes no bit. One fork and join is all;
// in the last block of k the rows of a part are taken in small pieces, and a thread that is done
// with its own part takes pieces of the others', because threads are seldom equally fast.

#include "device/cpu/gemm.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include "base/memory.h"
#include "base/status.h"
#include "base/threads.h"
#include "device/cpu/gemm_internal.h"
#include "formats/half.h"

enum {
    NR = OD_GEMM_PANEL_COLS,
    MR = OD_GEMM_GROUP_ROWS,
    KC = 256,
    MC = 2052,
    NC = 256,
    NARROW_COLS = 32,  // below PACK_A_COLS: then A is not packed
    NARROW_KC = 1024,
    STRIDED_KC = 96,
    LINE_BYTES = 64,  // a row of a packed panel; of bf16 two rows
    PANEL_GAP = 16,  // between packed panels, so that they do not fall on the same lines of a cache
    B_FLOATS = (KC + 1) * NC,
    PIECE_ROWS = 8 * MR,
    PIECES_MAX = (MC + PIECE_ROWS - 1) / PIECE_ROWS,
    PIECE_FLOATS = PIECE_ROWS * KC + 2 * OD_GEMM_PACK_SLACK,
    A_FLOATS = PIECES_MAX * PIECE_FLOATS,
    TAIL_BLOCKS_MAX = 64,
    TAIL_WORK = 1 << 20,        // multiply-adds of a tail from which it is worth sharing
    ONE_THREAD_WORK = 1 << 18,  // multiply-adds that are done before another thread is awake
    DIRECT_B_COLS = 256,        // up to this width B is read in place for a single group of rows
    PACK_A_COLS = 64,           // from this width packing A pays
    PACK_A_COLS_STRIDED = 25,   // ... when neighbours in a row are not neighbours in memory
};

_Static_assert((NARROW_KC + 1) * NARROW_COLS <= B_FLOATS, "narrow blocks of B fit");

struct range {
    int64_t first;
    int64_t last;
};

// The last block of k of a part, which other threads help with.
struct tail {
    atomic_bool open;  // all before it is done; what follows is valid
    struct range rows;
    struct range cols;
    struct range k;
    atomic_int taken[TAIL_BLOCKS_MAX];  // pieces of rows, for each NC columns
};

struct od_gemm {
    struct od_pool *pool;
    const struct od_gemm_kernels *kernels;
    int threads;
    float *scratch;      // [threads][B_FLOATS + A_FLOATS]
    struct tail *tails;  // [threads]
    atomic_int taken;    // chunks of columns of a product with few rows
};

struct job {
    const struct od_gemm *gemm;
    int64_t m;
    int64_t n;
    int64_t k;
    struct od_mat a;
    struct od_mat b;
    struct od_gemm_weight packed;  // B as panels of all k, instead of `b`
    atomic_int *taken;             // of few rows and packed B: chunks of columns
    float *c;
    int64_t ldc;
    bool accumulate;
    int row_parts;
    int col_parts;
};

struct od_cpu_features od_cpu_features_detect(bool allow_vector)
{
    struct od_cpu_features features = {false};
    __builtin_cpu_init();
    features.avx2_fma =
        allow_vector && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    features.avx512 = features.avx2_fma && __builtin_cpu_supports("avx512f");
    return features;
}

enum od_status od_gemm_create(struct od_pool *pool, struct od_cpu_features features,
                              struct od_gemm **ret, struct od_error *err)
{
    const int threads = od_pool_threads(pool);
    struct od_gemm *gemm = od_alloc(1, sizeof *gemm);
    float *scratch = od_alloc_large((size_t)threads * (B_FLOATS + A_FLOATS), sizeof *scratch);
    struct tail *tails = od_alloc((size_t)threads, sizeof *tails);
    if (!gemm || !scratch || !tails) {
        od_free(gemm);
        od_free(scratch);
        od_free(tails);
        return od_fail(err, OD_E_MEMORY, "no memory for the matrix products of %d threads",
                       threads);
    }
    *gemm = (struct od_gemm){.pool = pool,
                             .kernels = features.avx512     ? &od_gemm_kernels_avx512
                                        : features.avx2_fma ? &od_gemm_kernels_avx2
                                                            : &od_gemm_kernels_scalar,
                             .threads = threads,
                             .scratch = scratch,
                             .tails = tails};
    *ret = gemm;
    return OD_OK;
}

void od_gemm_free(struct od_gemm *gemm)
{
    if (gemm) {
        od_free(gemm->tails);
        od_free(gemm->scratch);
        od_free(gemm);
    }
}

// Bytes from one panel of packed weights to the next.
static int64_t packed_panel_bytes(enum od_gemm_form form, int64_t k)
{
    return form == OD_GEMM_F32 ? k * LINE_BYTES : (k + 1) / 2 * LINE_BYTES;
}

static int64_t min_i64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

// Part `index` of `parts` of 0..count-1, cut at multiples of `unit`.
static struct range part_of(int64_t count, int64_t unit, int index, int parts)
{
    const int64_t units = (count + unit - 1) / unit;
    return (struct range){min_i64(count, units * index / parts * unit),
                          min_i64(count, units * (index + 1) / parts * unit)};
}

static void clear(float *c, int64_t ldc, struct range rows, struct range cols)
{
    for (int64_t i = rows.first; i < rows.last; i++) {
        memset(c + i * ldc + cols.first, 0, (size_t)(cols.last - cols.first) * sizeof *c);
    }
}

// Rows and one block of k of A, packed or in place.
struct a_block {
    struct od_mat mat;
    float *packed;  // NULL: in place
};

// Multiply a block of A by columns [first, first + block.cols). The block has k, C of its first row
// and column, and B if B needs no packing. On the first pass A is packed: group by group just before
// its use where its rows lie in one piece, else all of it, along its columns.
static void run_cols(const struct job *job, struct od_gemm_block block, struct a_block a,
                     bool pack_a)
{
    const struct od_gemm_kernels *kernels = job->gemm->kernels;
    block.a_packed = a.packed != NULL;
    block.a = a.packed ? a.packed : a.mat.data;
    block.a_row = a.mat.row_stride;
    block.a_col = a.mat.col_stride;
    const bool whole = a.mat.col_stride != 1;
    if (pack_a && whole) {
        kernels->pack_a(a.packed, a.mat, block.rows, block.k);
    }
    if (!pack_a || whole) {
        kernels->block(&block);
        return;
    }
    const int64_t rows = block.rows;
    for (int64_t r0 = 0; r0 < rows; r0 += block.rows) {
        block.rows = od_gemm_group_rows(rows - r0);
        kernels->pack_a(a.packed + r0 * block.k, a.mat, block.rows, block.k);
        block.a = a.packed + r0 * block.k;
        a.mat.data += block.rows * a.mat.row_stride;
        block.next_a = rows - r0 >= OD_GEMM_TWO_GROUPS ? a.mat.data : NULL;
        block.next_a_row = a.mat.row_stride;
        kernels->block(&block);
        block.c += block.rows * block.ldc;
    }
}

// Columns [j, j + width) of a block of k of B as panels of floats.
static void fetch_b(const struct job *job, struct range k, int64_t j, int64_t width, float *to,
                    int64_t panel)
{
    const struct od_gemm_kernels *kernels = job->gemm->kernels;
    if (job->packed.panels) {  // bf16; blocks of k begin at even numbers
        const int64_t panel_bytes = packed_panel_bytes(job->packed.form, job->k);
        kernels->unpack(to, panel,
                        (const char *)job->packed.panels + j / NR * panel_bytes +
                            k.first / 2 * LINE_BYTES,
                        panel_bytes, k.last - k.first, width);
        return;
    }
    struct od_mat b = job->b;
    b.data += k.first * b.row_stride + j * b.col_stride;
    kernels->pack_b(to, panel, b, k.last - k.first, width);
}

// C[rows, cols] for one block of rows and one of k.
static void run_block(const struct job *job, struct range rows, struct range cols, struct range k,
                      float *b_scratch, float *a_scratch)
{
    const bool in_place = job->packed.panels && job->packed.form == OD_GEMM_F32;
    const bool direct = !job->packed.panels && job->b.col_stride == 1 &&
                        rows.last - rows.first <= MR && cols.last - cols.first <= DIRECT_B_COLS;
    const int64_t pack_cols = job->a.col_stride == 1 ? PACK_A_COLS : PACK_A_COLS_STRIDED;
    const struct a_block a = {
        {job->a.data + rows.first * job->a.row_stride + k.first * job->a.col_stride,
         job->a.row_stride, job->a.col_stride},
        cols.last - cols.first >= pack_cols && rows.last - rows.first >= MR ? a_scratch : NULL};
    for (int64_t j = cols.first; j < cols.last;) {
        int64_t width = min_i64(NC, cols.last - j);
        struct od_gemm_block block = {.rows = rows.last - rows.first,
                                      .k = k.last - k.first,
                                      .b_row = NR,
                                      .c = job->c + rows.first * job->ldc + j,
                                      .ldc = job->ldc,
                                      .load = k.first > 0 || job->accumulate};
        if (in_place) {
            block.b = (const float *)job->packed.panels + j * job->k + k.first * NR;
            block.b_panel = job->k * NR;
        } else if (direct && width >= NR) {
            width -= width % NR;
            block.b = job->b.data + k.first * job->b.row_stride + j * job->b.col_stride;
            block.b_row = job->b.row_stride;
            block.b_panel = NR;
        } else {
            block.b = b_scratch;
            block.b_panel = block.k * NR + PANEL_GAP;
            fetch_b(job, k, j, width, b_scratch, block.b_panel);
        }
        block.cols = width;
        run_cols(job, block, a, a.packed && j == cols.first);
        j += width;
    }
}

// How much of k a block takes. Few columns leave room in the caches for more, and then A is read in
// longer pieces; a transposed A that is not packed is read again by the next group, so it must be
// short.
static int64_t block_k(const struct job *job, struct range cols)
{
    const int64_t width = cols.last - cols.first;
    if (job->a.col_stride != 1) {
        return width < PACK_A_COLS_STRIDED ? STRIDED_KC : KC;
    }
    return width <= NARROW_COLS ? NARROW_KC : KC;
}

// Take pieces of a tail until none is left. The owner of the part begins with its first columns, a
// helper with its last.
static void run_tail(const struct job *job, struct tail *tail, int thread, bool helps)
{
    float *b_scratch = job->gemm->scratch + (int64_t)thread * (B_FLOATS + A_FLOATS);
    float *a_scratch = b_scratch + B_FLOATS;
    bool packed[PIECES_MAX] = {false};
    const int64_t rows = tail->rows.last - tail->rows.first;
    const int pieces = (int)((rows + PIECE_ROWS - 1) / PIECE_ROWS);
    const int blocks = (int)((tail->cols.last - tail->cols.first + NC - 1) / NC);
    for (int i = 0; i < blocks; i++) {
        const int at = helps ? blocks - 1 - i : i;
        const int64_t j = tail->cols.first + (int64_t)at * NC;
        struct od_gemm_block block = {.cols = min_i64(NC, tail->cols.last - j),
                                      .k = tail->k.last - tail->k.first,
                                      .b = b_scratch,
                                      .b_row = NR,
                                      .ldc = job->ldc,
                                      .load = tail->k.first > 0 || job->accumulate};
        bool has_b = false;
        block.b_panel = block.k * NR + PANEL_GAP;
        for (int piece; (piece = atomic_fetch_add(&tail->taken[at], 1)) < pieces;) {
            const int64_t first = tail->rows.first + (int64_t)piece * PIECE_ROWS;
            const struct a_block a = {
                {job->a.data + first * job->a.row_stride + tail->k.first * job->a.col_stride,
                 job->a.row_stride, job->a.col_stride},
                a_scratch + (int64_t)piece * PIECE_FLOATS};
            if (!has_b) {
                fetch_b(job, tail->k, j, block.cols, b_scratch, block.b_panel);
                has_b = true;
            }
            block.rows = min_i64(PIECE_ROWS, tail->rows.last - first);
            block.c = job->c + first * job->ldc + j;
            run_cols(job, block, a, !packed[piece]);
            packed[piece] = true;
        }
    }
}

// Whether the last block of k of a part is worth sharing.
static bool has_tail(const struct job *job, struct range rows, struct range cols, struct range k)
{
    const double work = (double)(rows.last - rows.first) * (double)(cols.last - cols.first) *
                        (double)(k.last - k.first);
    const bool in_place = job->packed.panels && job->packed.form == OD_GEMM_F32;
    return !in_place && cols.last - cols.first >= PACK_A_COLS &&
           cols.last - cols.first <= (int64_t)TAIL_BLOCKS_MAX * NC &&
           rows.last - rows.first >= (int64_t)2 * PIECE_ROWS && work >= (double)TAIL_WORK;
}

// C[rows, cols], with the scratch memory of one thread. `tail`: where others can help, or NULL.
static void run_part(const struct job *job, struct range rows, struct range cols, int thread,
                     struct tail *tail)
{
    float *b_scratch = job->gemm->scratch + (int64_t)thread * (B_FLOATS + A_FLOATS);
    float *a_scratch = b_scratch + B_FLOATS;
    if (rows.first >= rows.last || cols.first >= cols.last) {
        return;
    }
    if (job->k <= 0 && !job->accumulate) {
        clear(job->c, job->ldc, rows, cols);
    }
    const int64_t kc = block_k(job, cols);
    // Blocks of rows of one size: B is packed anew for each, so that a small rest would cost much.
    const int64_t blocks = (rows.last - rows.first + MC - 1) / MC;
    for (int i = 0; i < blocks; i++) {
        struct range part = part_of(rows.last - rows.first, MR, i, (int)blocks);
        part.first += rows.first;
        part.last += rows.first;
        for (int64_t p = 0; p < job->k; p += kc) {
            const struct range k = {p, min_i64(p + kc, job->k)};
            if (tail && i == blocks - 1 && k.last == job->k && has_tail(job, part, cols, k)) {
                tail->rows = part;
                tail->cols = cols;
                tail->k = k;
                atomic_store(&tail->open, true);
                run_tail(job, tail, thread, false);
            } else {
                run_block(job, part, cols, k, b_scratch, a_scratch);
            }
        }
    }
}

// How to cut C: as many parts as there are threads, of the least cost for the largest part.
static void choose_parts(struct job *job, int threads)
{
    const int64_t row_units = (job->m + MR - 1) / MR;
    const int64_t col_units = (job->n + NR - 1) / NR;
    double best = 0.0;
    for (int row_parts = 1; row_parts <= threads; row_parts++) {
        const int col_parts = threads / row_parts;
        const int64_t rows_most = (row_units + row_parts - 1) / row_parts * MR;
        const int64_t cols_most = (col_units + col_parts - 1) / col_parts * NR;
        const double rows = (double)rows_most;
        const double cols = (double)cols_most;
        // Packing an element of B costs about as much as twelve multiply-adds of a vector lane, and
        // of A, which is turned, more.
        const double cost = rows * cols + 24.0 * rows + (job->packed.panels ? 0.0 : 12.0 * cols);
        if (row_parts == 1 || cost < best) {
            best = cost;
            job->row_parts = row_parts;
            job->col_parts = col_parts;
        }
    }
}

static void run_parts(void *context, int64_t first, int64_t last, int thread)
{
    const struct job *job = context;
    struct tail *tails = job->gemm->tails;
    const int parts = job->row_parts * job->col_parts;
    for (int64_t i = first; i < last; i++) {
        run_part(job, part_of(job->m, MR, (int)(i / job->col_parts), job->row_parts),
                 part_of(job->n, NR, (int)(i % job->col_parts), job->col_parts), thread, &tails[i]);
    }
    for (int i = 1; i < parts; i++) {
        struct tail *other = &tails[(first + i) % parts];
        if (atomic_load(&other->open)) {
            run_tail(job, other, thread, true);
        }
    }
}

// Few rows against packed weights: chunks of columns, taken as threads come to them.
static void run_chunks(void *context, int64_t first, int64_t last, int thread)
{
    const struct job *job = context;
    const int64_t panel_bytes = packed_panel_bytes(job->packed.form, job->k);
    const int64_t chunks = (job->n + OD_GEMM_STREAM_COLS - 1) / OD_GEMM_STREAM_COLS;
    (void)first;
    (void)last;
    (void)thread;
    for (int64_t i;
         (i = atomic_fetch_add_explicit(job->taken, 1, memory_order_relaxed)) < chunks;) {
        const int64_t j = i * OD_GEMM_STREAM_COLS;
        const struct od_gemm_stream stream = {.rows = job->m,
                                              .cols = min_i64(OD_GEMM_STREAM_COLS, job->n - j),
                                              .k = job->k,
                                              .a = job->a.data,
                                              .a_row = job->a.row_stride,
                                              .panels = (const char *)job->packed.panels +
                                                        j / NR * panel_bytes,
                                              .panel_bytes = panel_bytes,
                                              .form = job->packed.form,
                                              .c = job->c + j,
                                              .ldc = job->ldc,
                                              .load = job->accumulate};
        job->gemm->kernels->stream(&stream);
    }
}

static bool is_stream(const struct job *job)
{
    return job->packed.panels && job->m <= OD_GEMM_STREAM_ROWS && job->a.col_stride == 1 &&
           job->k > 0;
}

static void run_job(struct job *job)
{
    if (job->m <= 0 || job->n <= 0) {
        return;
    }
    if (is_stream(job)) {
        const bool alone =
            (double)job->m * (double)job->n * (double)job->k < (double)ONE_THREAD_WORK;
        const int threads = alone ? 1 : job->gemm->threads;
        atomic_store(job->taken, 0);
        if (threads == 1) {
            run_chunks(job, 0, 1, 0);
        } else {
            od_pool_run(job->gemm->pool, threads, 1, run_chunks, job);
        }
        return;
    }
    const double work = (double)job->m * (double)job->n * (double)(job->k > 0 ? job->k : 1);
    if (job->gemm->threads == 1 || work < (double)ONE_THREAD_WORK) {
        run_part(job, (struct range){0, job->m}, (struct range){0, job->n}, 0, NULL);
        return;
    }
    choose_parts(job, job->gemm->threads);
    for (int i = 0; i < job->row_parts * job->col_parts; i++) {
        struct tail *tail = &job->gemm->tails[i];
        atomic_store(&tail->open, false);
        for (int j = 0; j < TAIL_BLOCKS_MAX; j++) {
            atomic_store_explicit(&tail->taken[j], 0, memory_order_relaxed);
        }
    }
    od_pool_run(job->gemm->pool, (int64_t)job->row_parts * job->col_parts, 1, run_parts, job);
}

void od_gemm_run(struct od_gemm *gemm, int64_t m, int64_t n, int64_t k, struct od_mat a,
                 struct od_mat b, float *c, int64_t ldc, bool accumulate)
{
    struct job job = {.gemm = gemm,
                      .m = m,
                      .n = n,
                      .k = k,
                      .a = a,
                      .b = b,
                      .c = c,
                      .ldc = ldc,
                      .accumulate = accumulate};
    run_job(&job);
}

void od_gemm_run_one(struct od_gemm *gemm, int thread, int64_t m, int64_t n, int64_t k,
                     struct od_mat a, struct od_mat b, float *c, int64_t ldc, bool accumulate)
{
    const struct job job = {.gemm = gemm,
                            .m = m,
                            .n = n,
                            .k = k,
                            .a = a,
                            .b = b,
                            .c = c,
                            .ldc = ldc,
                            .accumulate = accumulate};
    run_part(&job, (struct range){0, m}, (struct range){0, n}, thread, NULL);
}

enum od_gemm_form od_gemm_form_of(const float *w, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        if ((od_f32_bits(w[i]) & 0xFFFFu) != 0) {
            return OD_GEMM_F32;
        }
    }
    return OD_GEMM_BF16;
}

size_t od_gemm_packed_bytes(enum od_gemm_form form, int64_t n, int64_t k)
{
    return (size_t)((n + NR - 1) / NR * packed_panel_bytes(form, k));
}

void od_gemm_pack_weight(void *panels, enum od_gemm_form form, const float *w, int64_t n, int64_t k)
{
    if (form == OD_GEMM_F32) {
        od_gemm_kernels_scalar.pack_b(panels, k * NR, (struct od_mat){w, 1, k}, k, n);
        return;
    }
    uint32_t *to = panels;
    for (int64_t j = 0; j < n; j += NR) {
        for (int64_t p = 0; p < k; p += 2) {
            for (int64_t i = j; i < j + NR; i++) {
                const uint32_t low = i < n ? od_f32_bits(w[i * k + p]) >> 16 : 0u;
                const uint32_t high = i < n && p + 1 < k ? od_f32_bits(w[i * k + p + 1]) : 0u;
                *to++ = (high & 0xFFFF0000u) | low;
            }
        }
    }
}

void od_gemm_run_packed(struct od_gemm *gemm, int64_t m, int64_t n, int64_t k, struct od_mat a,
                        struct od_gemm_weight weight, float *c, int64_t ldc, bool accumulate)
{
    struct job job = {.gemm = gemm,
                      .m = m,
                      .n = n,
                      .k = k,
                      .a = a,
                      .packed = weight,
                      .taken = &gemm->taken,
                      .c = c,
                      .ldc = ldc,
                      .accumulate = accumulate};
    run_job(&job);
}

static double now_s(void)
{
    struct timespec at = {0};
    (void)clock_gettime(CLOCK_MONOTONIC, &at);
    return (double)at.tv_sec + 1e-9 * (double)at.tv_nsec;
}

struct spin {
    double seconds;
    bool wide;
    double rate[OD_THREADS_MAX];
    float sink[OD_THREADS_MAX];
};

static void spin_thread(void *context, int64_t first, int64_t last, int thread)
{
    enum { ROUNDS = 2000 };
    (void)first;
    (void)last;
    struct spin *spin = context;
    const double start = now_s();
    double end = start;
    double flop = 0.0;
    float sink = 0.0F;
    while (end - start < spin->seconds || flop <= 0.0) {
        sink += spin->wide ? od_gemm_spin_avx512(ROUNDS) : od_gemm_spin_avx2(ROUNDS);
        flop += (double)ROUNDS * (double)OD_GEMM_SPIN_FLOP * (spin->wide ? 2.0 : 1.0);
        end = now_s();
    }
    spin->sink[thread] = sink;
    spin->rate[thread] = flop / (end - start);
}

double od_cpu_fma_peak(struct od_pool *pool, struct od_cpu_features features, double seconds)
{
    struct spin spin = {.seconds = seconds, .wide = features.avx512};
    double sum = 0.0;
    if (!features.avx2_fma) {
        return 0.0;
    }
    const int threads = od_pool_threads(pool);
    od_pool_run(pool, threads, 1, spin_thread, &spin);
    for (int i = 0; i < threads; i++) {
        sum += spin.rate[i];
    }
    return sum;
}
