// Goal: memory, copies, kernels, graphs, times and matrix products on a GPU do what their headers
// say. Skipped, with the reason, where no GPU is.
// Method: fresh random inputs; results compared with the processor's; memory that must not change
// is filled with a pattern and looked at again. Products: every combination of transposition, type
// and C over ragged shapes, with the library and with the own kernel, against sums in double; two
// runs must give the same bits.

#include "device/cuda/cuda.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/random.h"
#include "base/status.h"
#include "cuda_gpu.h"
#include "device/cuda/cuda_internal.h"
#include "device/cuda/images.h"
#include "device/cuda/matmul.h"
#include "device/cuda/nvml.h"
#include "formats/half.h"
#include "support.h"

enum { POISON = 0xFF, CHECKS_MAX = 4000 };

struct draw {
    uint64_t seed;
    uint64_t next;
};

static uint32_t draw_u32(struct draw *draw)
{
    return od_philox_draw(draw->seed, 8, 0, draw->next++).word[0];
}

static float draw_value(struct draw *draw)
{
    return od_uniform_f32(draw_u32(draw)) * 2.0F - 1.0F;
}

static od_dev device_alloc(struct od_cuda *gpu, size_t bytes)
{
    struct od_error err = {0};
    od_dev memory = 0;
    assert_ok(od_cuda_alloc(gpu, bytes, &memory, &err), &err);
    return memory;
}

static void device_sync(struct od_cuda *gpu)
{
    struct od_error err = {0};
    assert_ok(od_cuda_sync(gpu, &err), &err);
}

static void info_is_sensible(void **state)
{
    struct od_error err = {0};
    size_t left = 0;
    size_t total = 0;
    (void)state;
    struct od_cuda *gpu = test_gpu();
    const struct od_cuda_info *info = od_cuda_info(gpu);
    assert_true(od_cuda_count(&err) >= 1);
    assert_true(info->capability >= 80 && info->multiprocessors > 0);
    assert_true(info->driver_version >= 12000 && info->name[0] != '\0');
    assert_ok(od_cuda_memory(gpu, &left, &total, &err), &err);
    assert_true(left > 0 && left <= total && total <= info->memory_bytes);
    print_message(
        "# %s, driver '%s' (CUDA %d), capability %d, %d multiprocessors, %zu bytes, L2 "
        "%zu, shared %zu, process %zu\n",
        info->name, info->driver, info->driver_version, info->capability, info->multiprocessors,
        info->memory_bytes, info->l2_bytes, info->shared_bytes_max, od_cuda_process_bytes(gpu));
    struct od_cuda *none = NULL;
    assert_int_equal(od_cuda_open(99, &none, &err), OD_E_NOT_FOUND);
    assert_non_null(strstr(err.message, "no GPU 99"));
    assert_null(none);
}

static void nvml_reads(void **state)
{
    (void)state;
    struct od_cuda *gpu = test_gpu();
    assert_null(od_nvml_open("0000:ff:1f.7"));
    const struct od_nvml_reading none = od_nvml_read(NULL);
    assert_true(none.energy_j < 0.0 && none.power_w < 0.0 && none.process_bytes < 0.0);
    assert_string_equal(od_nvml_driver(NULL), "");
    const char *id = od_cuda_info(gpu)->pci;
    struct od_nvml *nvml = od_nvml_open(id);
    if (!nvml) {
        print_message("# NVML is not there\n");
        skip();
    }
    const struct od_nvml_reading reading = od_nvml_read(nvml);
    print_message(
        "# NVML: %s, driver %s, %.1f J, %.1f W, %.0f C, %.0f MHz, throttle %.0f, process "
        "%.0f bytes\n",
        id, od_nvml_driver(nvml), reading.energy_j, reading.power_w, reading.temperature_c,
        reading.clock_mhz, reading.throttle, reading.process_bytes);
    assert_string_equal(od_nvml_driver(nvml), od_cuda_info(gpu)->driver);
    assert_true(reading.power_w < 0.0 || (reading.power_w > 5.0 && reading.power_w < 3e3));
    assert_true(reading.temperature_c < 0.0 ||
                (reading.temperature_c > 5.0 && reading.temperature_c < 120.0));
    od_nvml_close(nvml);
}

static void copies_and_fill(void **state)
{
    enum { SIZE = 1 << 20, PITCH = 300, OTHER = 512, WIDTH = 260, ROWS = 77 };
    struct draw draw = {test_seed(), 0};
    struct od_error err = {0};
    void *pinned = NULL;
    (void)state;
    struct od_cuda *gpu = test_gpu();
    uint8_t *sent = od_alloc(SIZE, 1);
    uint8_t *back = od_alloc(SIZE, 1);
    for (size_t i = 0; i < SIZE; i++) {
        sent[i] = (uint8_t)draw_u32(&draw);
    }
    const od_dev one = device_alloc(gpu, SIZE);
    const od_dev two = device_alloc(gpu, SIZE);
    od_cuda_upload(gpu, one, sent, SIZE);
    od_cuda_fill(gpu, two, POISON, SIZE);
    od_cuda_copy(gpu, two, one, SIZE - 100);
    od_cuda_download(gpu, back, two, SIZE);
    device_sync(gpu);
    assert_memory_equal(back, sent, SIZE - 100);
    for (size_t i = SIZE - 100; i < SIZE; i++) {
        assert_int_equal(back[i], POISON);
    }
    // Rows between pitches: what lies between the rows stays.
    od_cuda_fill(gpu, two, POISON, SIZE);
    od_cuda_copy_rows(gpu, two, OTHER, one, PITCH, WIDTH, ROWS);
    od_cuda_download(gpu, back, two, SIZE);
    device_sync(gpu);
    for (size_t row = 0; row < ROWS; row++) {
        assert_memory_equal(back + row * OTHER, sent + row * PITCH, WIDTH);
        for (size_t i = WIDTH; i < OTHER; i++) {
            assert_int_equal(back[row * OTHER + i], POISON);
        }
    }
    // Nothing asked for, nothing done.
    od_cuda_copy_rows(gpu, two, OTHER, one, PITCH, 0, ROWS);
    od_cuda_fill(gpu, two, 0, 0);
    od_cuda_upload(gpu, two, sent, 0);
    device_sync(gpu);
    assert_ok(od_cuda_host_alloc(gpu, SIZE, &pinned, &err), &err);
    memset(pinned, 0, SIZE);
    od_cuda_download(gpu, pinned, one, SIZE);
    device_sync(gpu);
    assert_memory_equal(pinned, sent, SIZE);
    od_cuda_host_free(gpu, pinned);
    od_cuda_free(gpu, one);
    od_cuda_free(gpu, two);
    device_sync(gpu);
    od_free(sent);
    od_free(back);
}

static void too_much_memory_says_sizes(void **state)
{
    struct od_error err = {0};
    od_dev memory = 0;
    (void)state;
    struct od_cuda *gpu = test_gpu();
    assert_int_equal(od_cuda_alloc(gpu, (size_t)1 << 50, &memory, &err), OD_E_MEMORY);
    print_message("# %s\n", err.message);
    assert_non_null(strstr(err.message, "cannot take 1125.9 TB of"));
    assert_non_null(strstr(err.message, "are free"));
    assert_true(memory == 0);
    // The GPU goes on working.
    memory = device_alloc(gpu, 1024);
    od_cuda_free(gpu, memory);
    device_sync(gpu);
}

static void probe(struct od_cuda *gpu, od_dev out, od_dev x, od_dev y, float a, int64_t n,
                  unsigned blocks)
{
    struct od_error err = {0};
    struct od_cuda_kernel *kernel = NULL;
    assert_ok(od_cuda_kernel(gpu, "od_probe", &kernel, &err), &err);
    void *args[] = {&out, &x, &y, &a, &n};
    od_cuda_launch(gpu, kernel, (struct od_cuda_grid){.x = blocks, .threads = 128}, args);
}

static void kernels_graphs_and_events(void **state)
{
    enum { COUNT = 100001 };
    struct draw draw = {test_seed(), 1 << 20};
    struct od_error err = {0};
    struct od_cuda_kernel *kernel = NULL;
    struct od_cuda_kernel *again = NULL;
    struct od_cuda_graph *graph = NULL;
    struct od_cuda_event *first = NULL;
    struct od_cuda_event *last = NULL;
    (void)state;
    struct od_cuda *gpu = test_gpu();
    float *x = od_alloc(COUNT, sizeof *x);
    float *y = od_alloc(COUNT, sizeof *y);
    float *out = od_alloc(COUNT, sizeof *out);
    for (size_t i = 0; i < COUNT; i++) {
        x[i] = draw_value(&draw);
        y[i] = draw_value(&draw);
    }
    const size_t bytes = COUNT * sizeof(float);
    const od_dev dx = device_alloc(gpu, bytes);
    const od_dev dy = device_alloc(gpu, bytes);
    const od_dev dout = device_alloc(gpu, bytes);
    assert_int_equal(od_cuda_kernel(gpu, "od_no_such_kernel", &kernel, &err), OD_E_NOT_FOUND);
    assert_non_null(strstr(err.message, "od_no_such_kernel"));
    assert_ok(od_cuda_kernel(gpu, "od_probe", &kernel, &err), &err);
    assert_ok(od_cuda_kernel(gpu, "od_probe", &again, &err), &err);
    assert_ptr_equal(kernel, again);
    // ONEDAY_CUDA_PTX=1 takes the PTX form although there is machine code for this GPU.
    const int ptx = od_cuda_kernel_ptx(gpu, kernel);
    const char *wanted = getenv("ONEDAY_CUDA_PTX");
    print_message("# images for %s, kernels by way of compute_%d\n", od_cuda_image_archs, ptx);
    if (wanted && strcmp(wanted, "1") == 0 && strstr(od_cuda_image_archs, "compute_80")) {
        assert_int_equal(ptx, 80);
    } else if (od_cuda_info(gpu)->capability == 90 && strstr(od_cuda_image_archs, "sm_90a")) {
        assert_int_equal(ptx, 90);
    }
    od_cuda_upload(gpu, dx, x, bytes);
    od_cuda_upload(gpu, dy, y, bytes);
    od_cuda_fill(gpu, dout, POISON, bytes);
    probe(gpu, dout, dx, dy, 3.5F, COUNT - 1, 33);
    probe(gpu, dout, dx, dy, 9.0F, COUNT, 0);  // no blocks: nothing happens
    od_cuda_download(gpu, out, dout, bytes);
    device_sync(gpu);
    for (size_t i = 0; i < COUNT - 1; i++) {
        const float want = fmaf(3.5F, x[i], y[i]);
        assert_memory_equal(&out[i], &want, sizeof want);
    }
    assert_true(od_f32_bits(out[COUNT - 1]) == 0xFFFFFFFFU);
    // Recorded work does not run until it is launched, and then sees the memory of that time.
    assert_ok(od_cuda_graph_begin(gpu, &err), &err);
    probe(gpu, dy, dx, dy, 2.0F, COUNT, 100);
    probe(gpu, dout, dx, dy, -1.0F, COUNT, 100);
    assert_ok(od_cuda_graph_end(gpu, &graph, &err), &err);
    assert_ok(od_cuda_event_create(gpu, &first, &err), &err);
    assert_ok(od_cuda_event_create(gpu, &last, &err), &err);
    od_cuda_event_record(gpu, first);
    od_cuda_graph_launch(gpu, graph);
    od_cuda_graph_launch(gpu, graph);
    od_cuda_event_record(gpu, last);
    od_cuda_download(gpu, out, dout, bytes);
    assert_ok(od_cuda_event_wait(gpu, last, &err), &err);
    const double ms = od_cuda_event_ms(gpu, first, last);
    assert_true(ms > 0.0 && ms < 1000.0);
    device_sync(gpu);
    for (size_t i = 0; i < COUNT; i++) {
        const float once = fmaf(2.0F, x[i], y[i]);
        const float want = fmaf(-1.0F, x[i], fmaf(2.0F, x[i], once));
        assert_memory_equal(&out[i], &want, sizeof want);
    }
    // A launch that cannot be is remembered, with the kernel's name, and reported once.
    od_dev none = dout;
    float a = 1.0F;
    int64_t n = 1;
    void *args[] = {&none, &none, &none, &a, &n};
    od_cuda_launch(gpu, kernel, (struct od_cuda_grid){.x = 1, .threads = 4096}, args);
    od_cuda_fill(gpu, dout, 0, bytes);
    assert_int_not_equal(od_cuda_check(gpu, &err), OD_OK);
    print_message("# %s\n", err.message);
    assert_non_null(strstr(err.message, "kernel od_probe"));
    assert_ok(od_cuda_sync(gpu, &err), &err);
    od_cuda_graph_free(gpu, graph);
    od_cuda_event_free(gpu, first);
    od_cuda_event_free(gpu, last);
    od_cuda_free(gpu, dx);
    od_cuda_free(gpu, dy);
    od_cuda_free(gpu, dout);
    device_sync(gpu);
    od_free(x);
    od_free(y);
    od_free(out);
}

// Products.

struct products {
    struct od_cuda *gpu;
    od_dev workspace;
    struct od_matmul *matmul[2];  // with the library, the own kernel
};

static struct products *products(void)
{
    static struct products all;
    struct od_error err = {0};
    struct od_cuda *gpu = test_gpu();
    if (!all.gpu) {
        all.workspace = device_alloc(gpu, OD_MATMUL_WORKSPACE_BYTES);
        assert_ok(od_matmul_create(gpu, all.workspace, true, &all.matmul[0], &err), &err);
        assert_ok(od_matmul_create(gpu, all.workspace, false, &all.matmul[1], &err), &err);
        all.gpu = gpu;
        print_message("# products by %s and %s\n", od_matmul_library(all.matmul[0]),
                      od_matmul_library(all.matmul[1]));
        assert_string_equal(od_matmul_library(all.matmul[1]), "own kernel");
    }
    return &all;
}

// A matrix on both sides, with room behind it that must stay as it is.
struct matrix {
    int64_t rows;
    int64_t cols;
    int64_t ld;
    size_t element;
    size_t bytes;
    size_t skip;  // bytes in front, to spoil the alignment
    uint8_t *host;
    od_dev base;
    od_dev device;
};

static struct matrix matrix_create(struct od_cuda *gpu, int64_t rows, int64_t cols, int64_t ld,
                                   size_t element, size_t skip, struct draw *draw)
{
    struct matrix matrix = {rows, cols, ld, element, 0, skip, NULL, 0, 0};
    matrix.bytes = ((size_t)(rows > 0 ? rows : 1) * (size_t)ld + 64) * element;
    matrix.host = od_alloc(matrix.bytes, 1);
    memset(matrix.host, POISON, matrix.bytes);
    for (int64_t r = 0; r < rows && draw; r++) {
        for (int64_t c = 0; c < cols; c++) {
            const float value = draw_value(draw);
            const size_t at = (size_t)(r * ld + c);
            if (element == sizeof(float)) {
                memcpy(matrix.host + at * element, &value, sizeof value);
            } else {
                const uint16_t half = (uint16_t)(od_f32_bits(value) >> 16);
                memcpy(matrix.host + at * element, &half, sizeof half);
            }
        }
    }
    matrix.base = device_alloc(gpu, matrix.bytes + skip);
    matrix.device = matrix.base + skip;
    od_cuda_upload(gpu, matrix.device, matrix.host, matrix.bytes);
    device_sync(gpu);
    return matrix;
}

static void matrix_release(struct od_cuda *gpu, struct matrix *matrix)
{
    od_cuda_free(gpu, matrix->base);
    od_free(matrix->host);
}

static double matrix_at(const struct matrix *matrix, const uint8_t *bytes, int64_t row, int64_t col)
{
    const size_t at = (size_t)(row * matrix->ld + col) * matrix->element;
    if (matrix->element == sizeof(float)) {
        float value;
        memcpy(&value, bytes + at, sizeof value);
        return (double)value;
    }
    uint16_t half;
    memcpy(&half, bytes + at, sizeof half);
    return (double)od_f32_from_bits((uint32_t)half << 16);
}

struct product {
    int64_t m, n, k;
    int64_t pad;  // added to the leading dimensions
    size_t skip;  // bytes that spoil the alignment of A, B, C and D
    bool ta, tb, f32;
    int c;  // 0: none, 1: of its own, 2: D itself
    float alpha;
};

static int64_t round_up(int64_t n, int64_t to)
{
    return (n + to - 1) / to * to;
}

static void check_element(const struct product *p, const struct matrix *a, const struct matrix *b,
                          const struct matrix *c, const struct matrix *d, const uint8_t *got,
                          int64_t i, int64_t j, const char *who)
{
    double sum = 0.0;
    double size = 0.0;
    double add = 0.0;
    for (int64_t x = 0; x < p->k; x++) {
        const double one = p->ta ? matrix_at(a, a->host, x, i) : matrix_at(a, a->host, i, x);
        const double two = p->tb ? matrix_at(b, b->host, j, x) : matrix_at(b, b->host, x, j);
        sum += one * two;
        size += fabs(one * two);
    }
    sum *= (double)p->alpha;
    size *= fabs((double)p->alpha);
    if (p->c) {
        add = matrix_at(c, c->host, i, j);
        sum += add;
        size += fabs(add);
    }
    // cuBLASLt rounds the product to bf16 before it adds a bf16 C in some of its kernels.
    const double twice = strcmp(who, "own kernel") == 0 || !p->c ? 0.0 : fabs(sum - add);
    // Sums of fp32 (the tensor core cuts instead of rounding); a bf16 is at most 2^-8 of it away.
    const double allowed =
        size * 1e-6 + (p->f32 ? 0.0 : (fabs(sum) + twice) * 1.01 / 256.0) + 1e-30;
    const double real = matrix_at(d, got, i, j);
    if (!(fabs(real - sum) <= allowed)) {
        fail_msg(
            "%s: %lld x %lld x %lld ta %d tb %d f32 %d c %d pad %lld skip %zu: [%lld][%lld] "
            "is %.9g, not %.9g",
            who, (long long)p->m, (long long)p->n, (long long)p->k, p->ta, p->tb, p->f32, p->c,
            (long long)p->pad, p->skip, (long long)i, (long long)j, real, sum);
    }
}

static void check_product(const struct product *p, struct draw *draw)
{
    struct products *all = products();
    struct od_cuda *gpu = all->gpu;
    const size_t element = p->f32 ? 4 : 2;
    const int64_t step = p->skip ? 1 : 8;
    const int64_t lda = round_up(p->ta ? p->m : p->k, step) + p->pad;
    const int64_t ldb = round_up(p->tb ? p->k : p->n, step) + p->pad;
    const int64_t ldd = round_up(p->n, step) + p->pad;
    struct matrix a =
        matrix_create(gpu, p->ta ? p->k : p->m, p->ta ? p->m : p->k, lda, 2, p->skip, draw);
    struct matrix b =
        matrix_create(gpu, p->tb ? p->n : p->k, p->tb ? p->k : p->n, ldb, 2, p->skip, draw);
    struct matrix c = matrix_create(gpu, p->m, p->n, ldd + 8, element, p->skip * 2, draw);
    struct matrix d = matrix_create(gpu, p->m, p->n, ldd, element, p->skip * 2, NULL);
    uint8_t *got = od_alloc(d.bytes, 1);
    uint8_t *again = od_alloc(d.bytes, 1);
    struct od_matmul_call call = {.m = p->m,
                                  .n = p->n,
                                  .k = p->k,
                                  .a = a.device,
                                  .lda = lda,
                                  .a_transposed = p->ta,
                                  .b = b.device,
                                  .ldb = ldb,
                                  .b_transposed = p->tb,
                                  .d = d.device,
                                  .ldd = ldd,
                                  .d_is_float = p->f32,
                                  .alpha = p->alpha};
    if (p->c == 1) {
        call.c = c.device;
        call.ldc = c.ld;
    } else if (p->c == 2) {
        call.c = d.device;
        call.ldc = ldd;
    }
    for (int who = 0; who < 2; who++) {
        for (int run = 0; run < 2; run++) {
            od_cuda_upload(gpu, d.device, d.host, d.bytes);
            if (p->c == 2 && p->m > 0) {
                od_cuda_copy_rows(gpu, d.device, (size_t)ldd * element, c.device,
                                  (size_t)c.ld * element, (size_t)p->n * element, (size_t)p->m);
            }
            od_matmul_run(all->matmul[who], &call);
            od_cuda_download(gpu, run ? again : got, d.device, d.bytes);
            device_sync(gpu);
        }
        const char *name = od_matmul_library(all->matmul[who]);
        if (memcmp(got, again, d.bytes) != 0) {
            fail_msg("%s: two runs of %lld x %lld x %lld differ", name, (long long)p->m,
                     (long long)p->n, (long long)p->k);
        }
        const int64_t elements = p->m * p->n;
        for (int64_t e = 0; e < elements && e < CHECKS_MAX; e++) {
            // All of a small product, a random part of a large one.
            const int64_t at = elements <= CHECKS_MAX ? e : (int64_t)(draw_u32(draw) % elements);
            check_element(p, &a, &b, &c, &d, got, at / p->n, at % p->n, name);
        }
        for (size_t i = 0; i < d.bytes; i++) {
            const size_t at = i / element;
            const bool inside =
                (int64_t)(at / (size_t)ldd) < p->m && (int64_t)(at % (size_t)ldd) < p->n;
            if (!inside && got[i] != POISON) {
                fail_msg("%s: byte %zu outside D was written", name, i);
            }
        }
    }
    matrix_release(gpu, &a);
    matrix_release(gpu, &b);
    matrix_release(gpu, &c);
    matrix_release(gpu, &d);
    od_free(got);
    od_free(again);
}

static void products_are_right(void **state)
{
    static const int64_t shapes[][3] = {
        {1, 1, 1},     {3, 5, 2},       {16, 8, 16},     {128, 128, 32}, {129, 127, 33},
        {64, 200, 72}, {257, 130, 100}, {40, 513, 1000}, {300, 24, 8},   {512, 384, 4104},
    };
    struct draw draw = {test_seed(), 1 << 24};
    (void)state;
    (void)test_gpu();
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
        for (int bits = 0; bits < 8; bits++) {
            for (int c = 0; c < 3; c++) {
                const struct product product = {shapes[s][0],
                                                shapes[s][1],
                                                shapes[s][2],
                                                (bits & 1) * 16,
                                                0,
                                                bits & 1,
                                                (bits & 2) != 0,
                                                (bits & 4) != 0,
                                                c,
                                                c == 1 ? 0.75F : 1.0F};
                check_product(&product, &draw);
            }
        }
    }
}

static void crooked_products_are_right(void **state)
{
    static const int64_t shapes[][3] = {{5, 7, 3}, {131, 129, 65}, {200, 77, 310}};
    struct draw draw = {test_seed(), 1 << 25};
    (void)state;
    (void)test_gpu();
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
        for (int bits = 0; bits < 8; bits++) {
            const struct product product = {
                shapes[s][0], shapes[s][1],    shapes[s][2],    bits & 1 ? 3 : 0, 2,
                bits & 1,     (bits & 2) != 0, (bits & 4) != 0, (int)s,           -1.5F};
            check_product(&product, &draw);
        }
    }
    // Nothing to add up: D becomes C, or 0.
    for (int c = 0; c < 3; c++) {
        const struct product product = {37, 19, 0, 0, 0, false, true, c == 1, c, 2.0F};
        check_product(&product, &draw);
    }
}

static void tuning_keeps_the_result(void **state)
{
    enum { M = 1024, N = 2304, K = 768 };
    struct draw draw = {test_seed(), 1 << 26};
    struct od_error err = {0};
    struct od_matmul *first = NULL;  // whose table the other tests have not filled
    struct od_matmul *second = NULL;
    struct od_cuda_graph *graph = NULL;
    size_t count = 0;
    (void)state;
    struct products *all = products();
    struct od_cuda *gpu = all->gpu;
    if (strncmp(od_matmul_library(all->matmul[0]), "cuBLASLt", 8) != 0) {
        print_message("# skipped: cuBLASLt was not found\n");
        skip();
    }
    struct matrix a = matrix_create(gpu, M, K, K, 2, 0, &draw);
    struct matrix b = matrix_create(gpu, N, K, K, 2, 0, &draw);
    struct matrix d = matrix_create(gpu, M, N, N, 4, 0, NULL);
    uint8_t *got = od_alloc(d.bytes, 1);
    uint8_t *again = od_alloc(d.bytes, 1);
    const struct od_matmul_call call = {.m = M,
                                        .n = N,
                                        .k = K,
                                        .a = a.device,
                                        .lda = K,
                                        .b = b.device,
                                        .ldb = K,
                                        .b_transposed = true,
                                        .d = d.device,
                                        .ldd = N,
                                        .d_is_float = true,
                                        .alpha = 1.0F};
    assert_ok(od_matmul_create(gpu, all->workspace, true, &first, &err), &err);
    assert_ok(od_matmul_tune(first, &call, &err), &err);
    const struct od_matmul_choice *choices = od_matmul_choices(first, &count);
    assert_int_equal(count, 1);
    const struct od_matmul_choice choice = choices[0];
    assert_string_equal(choice.shape, "1024,2304,768,768,0,768,1,2304,1,0");
    assert_true(choice.us > 1.0 && choice.us < 1e4);
    od_matmul_run(first, &call);
    od_cuda_download(gpu, got, d.device, d.bytes);
    device_sync(gpu);
    const struct product product = {M, N, K, 0, 0, false, true, true, 0, 1.0F};
    for (int i = 0; i < 1000; i++) {
        check_element(&product, &a, &b, &d, &d, got, draw_u32(&draw) % M, draw_u32(&draw) % N,
                      "tuned");
    }
    // The recorded choice gives the same bits, also from a graph.
    assert_ok(od_matmul_create(gpu, all->workspace, true, &second, &err), &err);
    struct od_matmul_choice garbage = choice;
    memset(garbage.algo, 0x5A, sizeof garbage.algo);
    (void)snprintf(garbage.shape, sizeof garbage.shape, "1024,2304,760,768,0,768,1,2304,1,0");
    assert_ok(od_matmul_choose(second, &garbage, &err), &err);
    assert_ok(od_matmul_choose(second, &choice, &err), &err);
    od_cuda_fill(gpu, d.device, POISON, d.bytes);
    od_matmul_run(second, &call);  // loads what a recording must not
    device_sync(gpu);
    assert_ok(od_cuda_graph_begin(gpu, &err), &err);
    od_matmul_run(second, &call);
    assert_int_equal(od_matmul_tune(second, &call, &err), OD_E_ARGUMENT);
    assert_ok(od_cuda_graph_end(gpu, &graph, &err), &err);
    od_cuda_upload(gpu, d.device, d.host, d.bytes);
    od_cuda_graph_launch(gpu, graph);
    od_cuda_download(gpu, again, d.device, d.bytes);
    device_sync(gpu);
    assert_memory_equal(got, again, d.bytes);
    choices = od_matmul_choices(second, &count);
    assert_true(count == 1);
    assert_memory_equal(choices[0].algo, choice.algo, sizeof choice.algo);
    // An algorithm that is not one is replaced by the library's own choice.
    struct od_matmul_call other = call;
    other.k = 760;
    od_matmul_run(second, &other);
    od_cuda_download(gpu, again, d.device, d.bytes);
    device_sync(gpu);
    choices = od_matmul_choices(second, &count);
    assert_true(count == 2);
    assert_memory_not_equal(choices[1].algo, garbage.algo, sizeof garbage.algo);
    // More shapes than the table holds.
    for (int64_t m = 1; m <= OD_MATMUL_SHAPES_MAX + 20; m++) {
        other.m = m;
        od_matmul_run(second, &other);
    }
    od_cuda_download(gpu, got, d.device, d.bytes);
    device_sync(gpu);
    (void)od_matmul_choices(second, &count);
    assert_true(count == OD_MATMUL_SHAPES_MAX);
    od_cuda_graph_free(gpu, graph);
    od_matmul_free(second);
    od_matmul_free(first);
    matrix_release(gpu, &a);
    matrix_release(gpu, &b);
    matrix_release(gpu, &d);
    od_free(got);
    od_free(again);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(info_is_sensible),
        cmocka_unit_test(nvml_reads),
        cmocka_unit_test(copies_and_fill),
        cmocka_unit_test(too_much_memory_says_sizes),
        cmocka_unit_test(kernels_graphs_and_events),
        cmocka_unit_test(products_are_right),
        cmocka_unit_test(crooked_products_are_right),
        cmocka_unit_test(tuning_keeps_the_result),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
