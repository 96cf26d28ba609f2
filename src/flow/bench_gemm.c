#include "flow/bench_gemm.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/memory.h"
#include "base/status.h"
#include "base/threads.h"
#include "device/cpu/gemm.h"
#include "flow/bench_read.h"
#include "formats/half.h"

enum { ROUNDS_MIN = 5, ROUNDS_MAX = 400, READ_FLOATS = 16 << 20, FEW_ROWS = 16, LARGE = 4096 };
static const double SLICE_S = 0.01;
static const double SECONDS_MAX = 600.0;

enum form {
    FORM_NN,
    FORM_NT,
    FORM_TN,
    FORM_TT,
    FORM_PACKED,
    FORM_PACKED_BF16,
    FORM_HEADS_NT,
    FORM_HEADS_NN
};
static const char *const form_names[] = {"A B",      "A B^T",         "A^T B",       "A^T B^T",
                                         "A packed", "A packed bf16", "heads A B^T", "heads A B"};

struct shape {
    const char *group;
    enum form form;
    int64_t m;
    int64_t n;
    int64_t k;
    int64_t count;
    bool accumulate;
};

static const struct shape shapes[] = {
    {"square", FORM_NN, 512, 512, 512, 1, false},
    {"square", FORM_NN, 1024, 1024, 1024, 1, false},
    {"square", FORM_NN, 2048, 2048, 2048, 1, false},
    {"transposed", FORM_NT, 1024, 1024, 1024, 1, false},
    {"transposed", FORM_TN, 1024, 1024, 1024, 1, false},
    {"transposed", FORM_TT, 1024, 1024, 1024, 1, false},
    {"transposed", FORM_PACKED, 1024, 1024, 1024, 1, false},
    {"training", FORM_NT, 1024, 2304, 768, 1, false},  // a layer of 768, forward
    {"training", FORM_NN, 1024, 768, 2304, 1, false},  // its gradient by x
    {"training", FORM_TN, 2304, 768, 1024, 1, true},   // its gradient by w
    {"training", FORM_NT, 1024, 128, 128, 1, false},   // tiny models
    {"training", FORM_NT, 1024, 512, 128, 1, false},
    {"training", FORM_NN, 1024, 128, 512, 1, false},
    {"training", FORM_TN, 512, 128, 1024, 1, true},
    {"training", FORM_NT, 256, 64, 64, 1, false},
    {"training", FORM_PACKED, 1024, 512, 128, 1, false},
    {"training", FORM_PACKED_BF16, 1024, 512, 128, 1, false},
    {"training", FORM_PACKED, 256, 2304, 768, 1, false},
    {"training", FORM_PACKED_BF16, 256, 2304, 768, 1, false},
    {"lora", FORM_NT, 2048, 16, 2048, 1, false},
    {"lora", FORM_NT, 2048, 2048, 16, 1, true},
    {"lora", FORM_TN, 16, 2048, 2048, 1, true},
    {"lora", FORM_TN, 2048, 16, 2048, 1, true},
    {"lora", FORM_NT, 1024, 8, 128, 1, false},
    {"lora", FORM_NT, 1024, 128, 8, 1, true},
    {"attention", FORM_HEADS_NT, 128, 128, 32, 32, false},
    {"attention", FORM_HEADS_NN, 128, 32, 128, 32, false},
    {"attention", FORM_HEADS_NT, 512, 512, 64, 8, false},
    {"attention", FORM_HEADS_NN, 512, 64, 512, 8, false},
    {"few rows", FORM_PACKED, 1, 4096, 4096, 1, false},
    {"few rows", FORM_PACKED, 2, 4096, 4096, 1, false},
    {"few rows", FORM_PACKED, 4, 4096, 4096, 1, false},
    {"few rows", FORM_PACKED, 6, 4096, 4096, 1, false},
    {"few rows", FORM_PACKED, 8, 4096, 4096, 1, false},
    {"few rows", FORM_PACKED, 16, 4096, 4096, 1, false},
    {"few rows", FORM_PACKED_BF16, 1, 8192, 4096, 1, false},
    {"few rows", FORM_PACKED_BF16, 2, 8192, 4096, 1, false},
    {"few rows", FORM_PACKED_BF16, 4, 8192, 4096, 1, false},
    {"few rows", FORM_PACKED_BF16, 8, 8192, 4096, 1, false},
    {"few rows", FORM_PACKED_BF16, 16, 8192, 4096, 1, false},
    {"few rows", FORM_PACKED, 1, 512, 128, 1, false},
    {"few rows", FORM_NT, 1, 4096, 4096, 1, false},
    {"few rows", FORM_NN, 1, 4096, 4096, 1, false},
    {"few rows", FORM_NT, 4, 512, 512, 1, false},
};
static const struct shape scalar_shape = {"scalar", FORM_NN, 256, 256, 256, 1, false};

struct bench {
    const struct od_bench_gemm_options *options;
    struct od_pool *pool;
    struct od_gemm *gemm;
    struct od_cpu_features features;
    float *a;
    float *b;
    float *c;
    const struct shape *shape;
};

/** Seconds by the wall, and seconds that processors worked for this process. */
struct clocks {
    double wall;
    double cpu;
};

static double seconds_of(clockid_t clock)
{
    struct timespec at = {0};
    (void)clock_gettime(clock, &at);
    return (double)at.tv_sec + 1e-9 * (double)at.tv_nsec;
}

static struct clocks clocks_now(void)
{
    return (struct clocks){seconds_of(CLOCK_MONOTONIC), seconds_of(CLOCK_PROCESS_CPUTIME_ID)};
}

static struct clocks clocks_since(struct clocks start)
{
    const struct clocks now = clocks_now();
    return (struct clocks){now.wall - start.wall, now.cpu - start.cpu};
}

static int compare_doubles(const void *a, const void *b)
{
    const double x = *(const double *)a;
    const double y = *(const double *)b;
    return (x > y) - (x < y);
}

static struct od_mat plain(const float *data, int64_t cols)
{
    return (struct od_mat){data, cols, 1};
}

static struct od_mat transposed(const float *data, int64_t rows)
{
    return (struct od_mat){data, 1, rows};
}

static void run_heads(void *context, int64_t first, int64_t last, int thread)
{
    const struct bench *bench = context;
    const struct shape *s = bench->shape;
    for (int64_t i = first; i < last; i++) {
        const float *a = bench->a + i * s->m * s->k;
        const float *b = bench->b + i * s->n * s->k;
        od_gemm_run_one(bench->gemm, thread, s->m, s->n, s->k, plain(a, s->k),
                        s->form == FORM_HEADS_NT ? transposed(b, s->k) : plain(b, s->n),
                        bench->c + i * s->m * s->n, s->n, s->accumulate);
    }
}

static bool is_packed(const struct shape *shape)
{
    return shape->form == FORM_PACKED || shape->form == FORM_PACKED_BF16;
}

static void run_once(struct bench *bench)
{
    const struct shape *s = bench->shape;
    const bool a_transposed = s->form == FORM_TN || s->form == FORM_TT;
    const bool b_transposed = s->form == FORM_NT || s->form == FORM_TT;
    const struct od_mat a = a_transposed ? transposed(bench->a, s->m) : plain(bench->a, s->k);
    const struct od_mat b = b_transposed ? transposed(bench->b, s->k) : plain(bench->b, s->n);
    if (is_packed(s)) {
        const struct od_gemm_weight weight = {bench->b,
                                              s->form == FORM_PACKED ? OD_GEMM_F32 : OD_GEMM_BF16};
        od_gemm_run_packed(bench->gemm, s->m, s->n, s->k, a, weight, bench->c, s->n, s->accumulate);
    } else if (s->count > 1) {
        od_pool_run(bench->pool, s->count, 1, run_heads, bench);
    } else {
        od_gemm_run(bench->gemm, s->m, s->n, s->k, a, b, bench->c, s->n, s->accumulate);
    }
}

static double flop_of(const struct shape *s)
{
    return 2.0 * (double)s->m * (double)s->n * (double)s->k * (double)s->count;
}

/** FLOP of as many products as fill a slice of time, and how long they took. */
static double run_slice(struct bench *bench, struct clocks *ret_took)
{
    const struct clocks start = clocks_now();
    double flop = 0.0;
    do {
        run_once(bench);
        flop += flop_of(bench->shape);
        *ret_took = clocks_since(start);
    } while (ret_took->wall < SLICE_S);
    return flop;
}

/** Bytes a second when all threads read as much as the weights of the shapes with few rows. */
static double read_rate(struct bench *bench)
{
    const struct clocks start = clocks_now();
    od_bench_read(bench->pool, bench->b, (size_t)READ_FLOATS * sizeof(float));
    return (double)READ_FLOATS * sizeof(float) / clocks_since(start).wall;
}

/** What one round measured. */
struct sample {
    double flops;
    double peak_flops;
    double share;
    double cpu_share;
    double read_share;
};

/** `slice`: time that the product took last, then this time: equal times for the product and the
 *  peak, so that an interruption hits both alike. */
static struct sample run_slices(struct bench *bench, struct clocks *slice)
{
    const struct shape *shape = bench->shape;
    struct sample sample = {.flops = 0.0};
    double read = 0.0;
    if (is_packed(shape) && shape->m <= FEW_ROWS && shape->n >= LARGE) {
        read = read_rate(bench);
    }
    const struct clocks start = clocks_now();
    sample.peak_flops = od_cpu_fma_peak(bench->pool, bench->features, slice->wall);
    const struct clocks peak_took = clocks_since(start);
    const double flop = run_slice(bench, slice);
    sample.flops = flop / slice->wall;
    if (sample.peak_flops > 0.0) {
        const double peak_flop = sample.peak_flops * peak_took.wall;
        sample.share = sample.flops / sample.peak_flops;
        sample.cpu_share = flop / slice->cpu / (peak_flop / peak_took.cpu);
    }
    if (read > 0.0) {
        const double bytes = shape->form == FORM_PACKED ? 4.0 : 2.0;
        sample.read_share = sample.flops / (2.0 * (double)shape->m) * bytes / read;
    }
    return sample;
}

static double median_of(const struct sample *rounds, int count, size_t offset)
{
    double values[ROUNDS_MAX];
    for (int i = 0; i < count; i++) {
        memcpy(&values[i], (const char *)&rounds[i] + offset, sizeof values[i]);
    }
    qsort(values, (size_t)count, sizeof *values, compare_doubles);
    return values[count / 2];
}

static void measure(struct bench *bench, const struct shape *shape)
{
    struct sample rounds[ROUNDS_MAX];
    struct clocks slice;
    int count = 0;
    const struct clocks start = clocks_now();
    bench->shape = shape;
    (void)run_slice(bench, &slice);
    while (count < ROUNDS_MIN ||
           (count < ROUNDS_MAX && clocks_since(start).wall < bench->options->seconds)) {
        rounds[count++] = run_slices(bench, &slice);
    }
    const struct od_bench_gemm_row row = {
        .group = shape->group,
        .form = form_names[shape->form],
        .m = shape->m,
        .n = shape->n,
        .k = shape->k,
        .count = shape->count,
        .threads = od_pool_threads(bench->pool),
        .vector = bench->features.avx2_fma,
        .flops = median_of(rounds, count, offsetof(struct sample, flops)),
        .peak_flops = median_of(rounds, count, offsetof(struct sample, peak_flops)),
        .share = median_of(rounds, count, offsetof(struct sample, share)),
        .cpu_share = median_of(rounds, count, offsetof(struct sample, cpu_share)),
        .read_share = median_of(rounds, count, offsetof(struct sample, read_share))};
    bench->options->fn(bench->options->context, &row);
}

static enum od_status bench_start(struct bench *bench, int threads, bool vector,
                                  struct od_error *err)
{
    bench->features = od_cpu_features_detect(vector);
    enum od_status status = od_pool_create(threads, &bench->pool, err);
    if (status) {
        return status;
    }
    return od_gemm_create(bench->pool, bench->features, &bench->gemm, err);
}

static void bench_stop(struct bench *bench)
{
    od_gemm_free(bench->gemm);
    od_pool_free(bench->pool);
    bench->gemm = NULL;
    bench->pool = NULL;
}

static bool wanted(const struct bench *bench, const char *group)
{
    return !bench->options->group || strcmp(bench->options->group, group) == 0;
}

static void measure_all(struct bench *bench)
{
    const int64_t size = bench->options->size;
    if (size > 0) {
        for (int form = FORM_NN; form <= FORM_PACKED_BF16; form++) {
            const struct shape shape = {"square", (enum form)form, size, size, size, 1, false};
            measure(bench, &shape);
        }
        return;
    }
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        if (wanted(bench, shapes[i].group)) {
            measure(bench, &shapes[i]);
        }
    }
}

static enum od_status run_all(struct bench *bench, struct od_error *err)
{
    const struct od_bench_gemm_options *options = bench->options;
    enum od_status status = OD_OK;
    for (int step = 0; !status && step < 2; step++) {
        status = bench_start(bench, step == 0 ? 1 : options->threads, options->allow_vector, err);
        if (!status && (step == 0 || od_pool_threads(bench->pool) > 1)) {
            measure_all(bench);
        }
        bench_stop(bench);
    }
    if (!status && options->size == 0 && wanted(bench, scalar_shape.group)) {
        status = bench_start(bench, 1, false, err);
        if (!status) {
            measure(bench, &scalar_shape);
        }
        bench_stop(bench);
    }
    return status;
}

static bool group_exists(const char *group)
{
    bool found = strcmp(group, scalar_shape.group) == 0;
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        found = found || strcmp(group, shapes[i].group) == 0;
    }
    return found;
}

enum od_status od_bench_gemm(const struct od_bench_gemm_options *options, struct od_error *err)
{
    struct bench bench = {.options = options};
    enum od_status status = OD_OK;
    if (options->size < 0 || options->size > OD_BENCH_GEMM_SIZE_MAX) {
        return od_fail(err, OD_E_ARGUMENT, "size must be between 1 and %d", OD_BENCH_GEMM_SIZE_MAX);
    }
    if (!(options->seconds > 0.0 && options->seconds <= SECONDS_MAX)) {
        return od_fail(err, OD_E_ARGUMENT, "seconds must be above 0 and at most %.0f", SECONDS_MAX);
    }
    if (options->group && !group_exists(options->group)) {
        return od_fail(err, OD_E_ARGUMENT,
                       "no group '%s': square, transposed, training, lora, attention, few rows or "
                       "scalar",
                       options->group);
    }
    int64_t count = 4 << 20;
    if (options->size * options->size > count) {
        count = (int64_t)(od_gemm_packed_bytes(OD_GEMM_F32, options->size, options->size) /
                          sizeof(float));
    }
    const int64_t b_count = count > READ_FLOATS ? count : READ_FLOATS;
    bench.a = od_alloc_large((size_t)count, sizeof(float));
    bench.b = od_alloc_large((size_t)b_count, sizeof(float));
    bench.c = od_alloc_large((size_t)count, sizeof(float));
    if (!bench.a || !bench.b || !bench.c) {
        status =
            od_fail(err, OD_E_MEMORY, "no memory for matrices of %lld floats", (long long)b_count);
        goto done;
    }
    memset(bench.c, 0, (size_t)count * sizeof(float));
    for (int64_t i = 0; i < b_count; i++) {
        // The same bf16 in both halves: two weights of bf16 are usual numbers as well.
        const uint32_t half = od_f32_to_bf16((float)(i % 1000) * 1e-3F - 0.5F);
        const float value = od_f32_from_bits(half << 16 | half);
        bench.b[i] = value;
        if (i < count) {
            bench.a[i] = value;
        }
    }
    status = run_all(&bench, err);

done:
    od_free(bench.c);
    od_free(bench.b);
    od_free(bench.a);
    return status;
}
