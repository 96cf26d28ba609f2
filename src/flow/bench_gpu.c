#include "flow/bench_gpu.h"

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/random.h"
#include "base/status.h"
#include "device/cuda/cuda.h"
#include "device/cuda/matmul.h"
#include "formats/half.h"

enum { WAYS = 3, ROUNDS = 7, SEED = 1, COMPARED_MAX = 1 << 23 };
enum { FIRST, TUNED, OWN };
static const double SECONDS_MAX = 60.0;
static const double MS = 1e3;

/** The shapes of a model with C = 2048, F = 5632 and of one with C = 4096, F = 14336, with
 *  T tokens; the head over a part of the rows; and LoRA's thin products. */
static const struct od_bench_gpu_row shapes[] = {
    {.what = "forward, attention in", .m = 4096, .n = 3072, .k = 2048, .b_transposed = true},
    {.what = "forward, gate and up", .m = 4096, .n = 11264, .k = 2048, .b_transposed = true},
    {.what = "forward, down", .m = 4096, .n = 2048, .k = 5632, .b_transposed = true, .adds = true},
    {.what = "input gradient", .m = 4096, .n = 2048, .k = 11264},
    {.what = "weight gradient",
     .m = 11264,
     .n = 2048,
     .k = 4096,
     .a_transposed = true,
     .d_is_float = true,
     .adds = true},
    {.what = "head", .m = 1024, .n = 32000, .k = 2048, .b_transposed = true, .d_is_float = true},
    {.what = "forward, gate and up", .m = 8192, .n = 28672, .k = 4096, .b_transposed = true},
    {.what = "input gradient", .m = 8192, .n = 4096, .k = 28672},
    {.what = "weight gradient",
     .m = 4096,
     .n = 4096,
     .k = 8192,
     .a_transposed = true,
     .d_is_float = true,
     .adds = true},
    {.what = "LoRA, down to the rank", .m = 8192, .n = 64, .k = 4096, .b_transposed = true},
    {.what = "LoRA, gradient",
     .m = 64,
     .n = 4096,
     .k = 8192,
     .a_transposed = true,
     .d_is_float = true,
     .adds = true},
    {.what = "few rows", .m = 16, .n = 4096, .k = 4096, .b_transposed = true},
};

struct bench {
    struct od_cuda *cuda;
    struct od_matmul *ways[WAYS];
    od_dev memory;  // A, B, then D for each way
    struct od_cuda_event *events[2];
    double seconds;
};

static int compare_doubles(const void *a, const void *b)
{
    const double x = *(const double *)a;
    const double y = *(const double *)b;
    return (x > y) - (x < y);
}

static size_t round_up(size_t bytes)
{
    return (bytes + 255) / 256 * 256;
}

static size_t d_bytes(const struct od_bench_gpu_row *row)
{
    return round_up((size_t)row->m * (size_t)row->n *
                    (row->d_is_float ? sizeof(float) : sizeof(uint16_t)));
}

static size_t operand_bytes(int64_t rows, int64_t cols)
{
    return round_up((size_t)rows * (size_t)cols * sizeof(uint16_t));
}

static size_t row_bytes(const struct od_bench_gpu_row *row)
{
    return operand_bytes(row->m, row->k) + operand_bytes(row->k, row->n) + 2 * d_bytes(row);
}

/** Random operands: what a GPU draws, and with it its clock, depends on the numbers. */
static enum od_status fill_operands(struct bench *bench, size_t bytes, struct od_error *err)
{
    enum { CHUNK = 1 << 20 };
    uint16_t *host = od_alloc(CHUNK, sizeof *host);
    if (!host) {
        return od_fail(err, OD_E_MEMORY, "cannot hold a bench's numbers");
    }
    for (size_t i = 0; i < CHUNK; i++) {
        host[i] =
            od_f32_to_bf16(od_uniform_f32(od_philox_draw(SEED, 0, 0, i).word[0]) * 2.0F - 1.0F);
    }
    for (size_t at = 0; at < bytes; at += CHUNK * sizeof *host) {
        const size_t left = bytes - at;
        od_cuda_upload(bench->cuda, bench->memory + at, host,
                       left < CHUNK * sizeof *host ? left : CHUNK * sizeof *host);
    }
    const enum od_status status = od_cuda_sync(bench->cuda, err);
    od_free(host);
    return status;
}

/** Milliseconds of `count` products one after the other. */
static enum od_status time_products(struct bench *bench, int way, const struct od_matmul_call *call,
                                    int64_t count, double *ret_ms, struct od_error *err)
{
    od_cuda_event_record(bench->cuda, bench->events[0]);
    for (int64_t i = 0; i < count; i++) {
        od_matmul_run(bench->ways[way], call);
    }
    od_cuda_event_record(bench->cuda, bench->events[1]);
    const enum od_status status = od_cuda_sync(bench->cuda, err);
    if (!status) {
        *ret_ms = od_cuda_event_ms(bench->cuda, bench->events[0], bench->events[1]);
    }
    return status;
}

static double element(const struct od_bench_gpu_row *row, const uint8_t *bytes, size_t at)
{
    if (row->d_is_float) {
        float value;
        memcpy(&value, bytes + at * sizeof value, sizeof value);
        return (double)value;
    }
    uint16_t half;
    memcpy(&half, bytes + at * sizeof half, sizeof half);
    return (double)od_bf16_to_f32(half);
}

/** One product by two ways into zeros: how far apart are the results? */
static enum od_status compare_ways(struct bench *bench, struct od_bench_gpu_row *row,
                                   struct od_matmul_call call, od_dev other, struct od_error *err)
{
    const size_t element_bytes = row->d_is_float ? sizeof(float) : sizeof(uint16_t);
    const size_t all = (size_t)row->m * (size_t)row->n;
    const size_t count = all < COMPARED_MAX ? all : COMPARED_MAX;
    const size_t bytes = count * element_bytes;
    double largest = 0.0;
    double apart = 0.0;
    uint8_t *one = od_alloc(bytes, 1);
    uint8_t *two = od_alloc(bytes, 1);
    enum od_status status = one && two ? OD_OK : OD_E_MEMORY;
    if (status) {
        od_error_set(err, status, "cannot hold a bench's numbers");
        goto done;
    }
    for (int i = 0; i < 2; i++) {
        call.d = i ? other : call.d;
        call.c = call.c ? call.d : 0;
        od_cuda_fill(bench->cuda, call.d, 0, d_bytes(row));
        od_matmul_run(bench->ways[i ? OWN : TUNED], &call);
        od_cuda_download(bench->cuda, i ? two : one, call.d, bytes);
    }
    status = od_cuda_sync(bench->cuda, err);
    for (size_t i = 0; i < count && !status; i++) {
        const double x = element(row, one, i);
        const double difference = fabs(x - element(row, two, i));
        largest = fmax(largest, fabs(x));
        // Written so that a NaN counts.
        apart = difference <= apart ? apart : difference;
    }
    // Nothing but zeros means that nothing was computed.
    row->difference = largest > 0.0 ? apart / largest : (double)INFINITY;

done:
    od_free(one);
    od_free(two);
    return status;
}

static enum od_status measure(struct bench *bench, struct od_bench_gpu_row *row,
                              struct od_error *err)
{
    double times[WAYS][ROUNDS];
    double *const results[WAYS] = {&row->first_us, &row->tuned_us, &row->own_us};
    const size_t a_bytes = operand_bytes(row->m, row->k);
    const size_t b_bytes = operand_bytes(row->k, row->n);
    const od_dev d = bench->memory + a_bytes + b_bytes;
    const struct od_matmul_call call = {.m = row->m,
                                        .n = row->n,
                                        .k = row->k,
                                        .a = bench->memory,
                                        .lda = row->a_transposed ? row->m : row->k,
                                        .a_transposed = row->a_transposed,
                                        .b = bench->memory + a_bytes,
                                        .ldb = row->b_transposed ? row->k : row->n,
                                        .b_transposed = row->b_transposed,
                                        .c = row->adds ? d : 0,
                                        .ldc = row->n,
                                        .d = d,
                                        .ldd = row->n,
                                        .d_is_float = row->d_is_float,
                                        .alpha = 1.0F / 64.0F};
    const bool library = strcmp(od_matmul_library(bench->ways[FIRST]), "own kernel") != 0;
    enum od_status status = fill_operands(bench, a_bytes + b_bytes, err);
    if (!status) {
        status = od_matmul_tune(bench->ways[TUNED], &call, err);
    }
    if (!status) {
        status = compare_ways(bench, row, call, d + d_bytes(row), err);
    }
    int64_t counts[WAYS] = {1, 1, 1};
    const int start = library ? FIRST : OWN;
    const double share_ms = bench->seconds * MS / (WAYS * (ROUNDS + 1));
    // The first products load what is needed; the first round brings the clock to where it stays.
    for (int way = start; way < WAYS && !status; way++) {
        double ms = 0.0;
        status = time_products(bench, way, &call, 2, &ms, err);
        if (!status) {
            status = time_products(bench, way, &call, 2, &ms, err);
        }
        counts[way] = 2.0 * share_ms > ms && ms > 0.0 ? (int64_t)(2.0 * share_ms / ms) : 1;
    }
    for (int round = -1; round < ROUNDS && !status; round++) {
        for (int way = start; way < WAYS && !status; way++) {
            double ms = 0.0;
            status = time_products(bench, way, &call, counts[way], &ms, err);
            if (round >= 0) {
                times[way][round] = ms * MS / (double)counts[way];
            }
        }
    }
    for (int way = start; way < WAYS && !status; way++) {
        qsort(times[way], ROUNDS, sizeof times[way][0], compare_doubles);
        *results[way] = times[way][ROUNDS / 2];
    }
    return status;
}

enum od_status od_bench_gpu(const struct od_bench_gpu_options *options, struct od_error *err)
{
    struct bench bench = {.seconds = options->seconds};
    od_dev workspace = 0;
    size_t bytes = 0;
    if (!(options->seconds > 0.0 && options->seconds <= SECONDS_MAX)) {
        return od_fail(err, OD_E_ARGUMENT, "a shape cannot be measured for %g seconds",
                       options->seconds);
    }
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        bytes = row_bytes(&shapes[i]) > bytes ? row_bytes(&shapes[i]) : bytes;
    }
    enum od_status status = od_cuda_open(options->ordinal, &bench.cuda, err);
    if (!status) {
        status = od_cuda_alloc(bench.cuda, OD_MATMUL_WORKSPACE_BYTES, &workspace, err);
    }
    if (!status) {
        status = od_cuda_alloc(bench.cuda, bytes, &bench.memory, err);
    }
    for (int i = 0; i < 2 && !status; i++) {
        status = od_cuda_event_create(bench.cuda, &bench.events[i], err);
    }
    for (int way = 0; way < WAYS && !status; way++) {
        status = od_matmul_create(bench.cuda, workspace, way != OWN, &bench.ways[way], err);
    }
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0] && !status; i++) {
        struct od_bench_gpu_row row = shapes[i];
        status = measure(&bench, &row, err);
        if (!status && options->fn) {
            options->fn(options->context, &row);
        }
    }
    if (bench.cuda) {
        for (int way = 0; way < WAYS; way++) {
            od_matmul_free(bench.ways[way]);
        }
        od_cuda_event_free(bench.cuda, bench.events[0]);
        od_cuda_event_free(bench.cuda, bench.events[1]);
        od_cuda_free(bench.cuda, bench.memory);
        od_cuda_free(bench.cuda, workspace);
        od_cuda_close(bench.cuda);
    }
    return status;
}
