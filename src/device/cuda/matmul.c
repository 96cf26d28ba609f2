#include "device/cuda/matmul.h"

#include <assert.h>
#include <dlfcn.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/status.h"
#include "device/cuda/cuda.h"
#include "device/cuda/cuda_internal.h"
#include "device/cuda/library.h"
#include "device/cuda/lt_api.h"
#include "device/cuda/matmul_own.h"

enum {
    CANDIDATES_MAX = 16,
    ROUNDS_MIN = 7,  // of timing
    ROUNDS_MAX = 25,
    VECTOR_BYTES = 16,  // what both the library and the own kernel want operands aligned to
};
/** Rounds of one candidate should take about this long together. */
static const double ROUNDS_US = 3000.0;
/** As long the GPU works before anything is timed, so that its clock is that of long runs. */
static const double WARM_US = 20000.0;
static const double TIE = 1.01;

/** What an algorithm is chosen for. Compared byte by byte: cleared before it is filled in. */
struct shape {
    int64_t m;
    int64_t n;
    int64_t k;
    int64_t lda;
    int64_t ldb;
    int64_t ldc;  // 0: no C
    int64_t ldd;
    int32_t a_transposed;
    int32_t b_transposed;
    int32_t d_is_float;
    int32_t has_bias;
    int64_t is_e4m3;      // as wide as what follows: no gap
    int64_t align_bytes;  // that all operands have, 16 at most
};

/** A shape with its descriptors. */
struct entry {
    struct shape shape;
    void *desc;
    void *layout_a;  // the library's A is this program's B, and the other way round
    void *layout_b;
    void *layout_c;
    void *layout_d;
    struct od_lt_algo algo;
    bool has_algo;  // false: the own kernel
    bool is_tuned;
};

struct od_matmul {
    struct od_cuda *cuda;
    od_dev workspace;
    struct od_lt_api lt;
    void *handle;  // NULL: the own kernel only
    void *preference;
    char name[64];
    struct od_matmul_own own;
    struct od_cuda_kernel *add_bias;
    struct entry entries[OD_MATMUL_SHAPES_MAX];
    struct od_matmul_choice choices[OD_MATMUL_SHAPES_MAX];
    size_t count;        // of entries and choices
    struct entry spare;  // for a shape that finds the table full
    struct od_matmul_choice offered[OD_MATMUL_SHAPES_MAX];
    size_t offered_count;
};

// The library.

static bool bind_library(void *library, struct od_lt_api *api)
{
    void *symbol = NULL;
#define FIND(name, arguments)       \
    symbol = dlsym(library, #name); \
    if (!symbol) {                  \
        return false;               \
    }                               \
    memcpy((void *)&api->name, (const void *)&symbol, sizeof symbol);
    OD_LT_FUNCTIONS(FIND)
    FIND(cublasLtGetVersion, )
#undef FIND
    return true;
}

/** Take the library at `path` when it loads, is whole and starts on this GPU. */
static bool try_library(void *context, const char *path)
{
    struct od_matmul *matmul = context;
    struct od_lt_api api = {0};
    void *handle = NULL;
    void *library = dlopen(path, RTLD_LAZY | RTLD_LOCAL | RTLD_NODELETE);
    if (!library) {
        return false;
    }
    const bool works = bind_library(library, &api) && api.cublasLtCreate(&handle) == OD_LT_SUCCESS;
    (void)dlclose(library);  // stays loaded, as asked for above
    if (!works) {
        od_log(OD_LOG_DEBUG, "'%s' does not work with this GPU or driver", path);
        return false;
    }
    const size_t version = api.cublasLtGetVersion();
    matmul->lt = api;
    matmul->handle = handle;
    // 130100 is 13.1.0.
    (void)snprintf(matmul->name, sizeof matmul->name, "cuBLASLt %zu.%zu.%zu", version / 10000,
                   version / 100 % 100, version % 100);
    od_log(OD_LOG_DEBUG, "%s: '%s'", matmul->name, path);
    return true;
}

/** The wishes that hold for every shape. */
static bool make_preference(struct od_matmul *matmul)
{
    const struct od_lt_api *lt = &matmul->lt;
    const uint64_t workspace = OD_MATMUL_WORKSPACE_BYTES;
    const uint32_t reduction = OD_LT_REDUCTION_NONE | OD_LT_REDUCTION_COMPUTE_TYPE;
    return lt->cublasLtMatmulPreferenceCreate(&matmul->preference) == OD_LT_SUCCESS &&
           lt->cublasLtMatmulPreferenceSetAttribute(matmul->preference, OD_LT_PREF_WORKSPACE_BYTES,
                                                    &workspace,
                                                    sizeof workspace) == OD_LT_SUCCESS &&
           lt->cublasLtMatmulPreferenceSetAttribute(matmul->preference, OD_LT_PREF_REDUCTION_MASK,
                                                    &reduction, sizeof reduction) == OD_LT_SUCCESS;
}

static void find_library(struct od_matmul *matmul)
{
    static const char *const names[] = {"libcublasLt.so.13", "libcublasLt.so.12"};
    if (od_cuda_wants_ptx()) {
        od_log(OD_LOG_INFO,
               "ONEDAY_CUDA_PTX=1: cuBLASLt is machine code alone, so matrix products "
               "run on this program's own kernel");
        return;
    }
    if (!od_library_search(names, sizeof names / sizeof names[0], try_library, matmul)) {
        od_log(OD_LOG_WARNING,
               "cuBLASLt was not found: matrix products run on this program's own kernel, slower "
               "(install NVIDIA's cuBLAS 12 or 13, or name its folder in ONEDAY_CUDA_LIBS)");
    } else if (!make_preference(matmul)) {
        od_log(OD_LOG_WARNING, "%s does not take this program's settings: own kernel",
               matmul->name);
        (void)matmul->lt.cublasLtDestroy(matmul->handle);
        matmul->handle = NULL;
    }
}

enum od_status od_matmul_create(struct od_cuda *cuda, od_dev workspace, bool use_library,
                                struct od_matmul **ret, struct od_error *err)
{
    struct od_matmul *matmul = od_alloc(1, sizeof *matmul);
    if (!matmul) {
        return od_fail(err, OD_E_MEMORY, "cannot hold the table of matrix products");
    }
    memset(matmul, 0, sizeof *matmul);
    matmul->cuda = cuda;
    matmul->workspace = workspace;
    const enum od_status status = od_cuda_kernel(cuda, "od_add_bias", &matmul->add_bias, err);
    if (status) {
        od_free(matmul);
        return status;
    }
    if (use_library) {
        find_library(matmul);
    }
    if (!matmul->handle) {
        (void)snprintf(matmul->name, sizeof matmul->name, "own kernel");
    }
    *ret = matmul;
    return OD_OK;
}

const char *od_matmul_library(const struct od_matmul *matmul)
{
    return matmul->name;
}

// Shapes.

static int64_t alignment(const struct od_matmul_call *call)
{
    const uint64_t element = call->d_is_float ? 4 : 2;
    const uint64_t factor = call->is_e4m3 ? 1 : 2;
    // The lowest bit that is set in any address or row size is the alignment of all.
    uint64_t bits = VECTOR_BYTES | call->a | call->b | call->c | call->d |
                    (uint64_t)call->lda * factor | (uint64_t)call->ldb * factor |
                    (uint64_t)call->ldd * element;
    if (call->c) {
        bits |= (uint64_t)call->ldc * element;
    }
    return (int64_t)(bits & (~bits + 1));
}

static struct shape shape_of(const struct od_matmul_call *call)
{
    struct shape shape;
    memset(&shape, 0, sizeof shape);
    shape.m = call->m;
    shape.n = call->n;
    shape.k = call->k;
    shape.lda = call->lda;
    shape.ldb = call->ldb;
    shape.ldc = call->c ? call->ldc : 0;
    shape.ldd = call->ldd;
    shape.a_transposed = call->a_transposed;
    shape.b_transposed = call->b_transposed;
    shape.d_is_float = call->d_is_float;
    shape.has_bias = call->bias != 0;
    shape.is_e4m3 = call->is_e4m3;
    shape.align_bytes = alignment(call);
    return shape;
}

/** The key of device.json; the alignment is added when it is not the usual one, a "b" for a bias, an "e"
 *  for eight-bit floats. */
static void shape_text(const struct shape *shape, char out[96])
{
    int size = snprintf(out, 96,
                        "%" PRId64 ",%" PRId64 ",%" PRId64 ",%" PRId64 ",%d,%" PRId64 ",%d,%" PRId64
                        ",%d,%" PRId64,
                        shape->m, shape->n, shape->k, shape->lda, shape->a_transposed, shape->ldb,
                        shape->b_transposed, shape->ldd, shape->d_is_float, shape->ldc);
    if (shape->align_bytes < VECTOR_BYTES && size > 0 && size < 96) {
        size += snprintf(out + size, 96 - (size_t)size, ",%" PRId64, shape->align_bytes);
    }
    if (size > 0 && size < 96) {
        (void)snprintf(out + size, 96 - (size_t)size, "%s%s", shape->has_bias ? "b" : "",
                       shape->is_e4m3 ? "e" : "");
    }
}

static void entry_release(struct od_matmul *matmul, struct entry *entry)
{
    const struct od_lt_api *lt = &matmul->lt;
    void *const layouts[] = {entry->layout_a, entry->layout_b, entry->layout_c, entry->layout_d};
    for (size_t i = 0; i < sizeof layouts / sizeof layouts[0]; i++) {
        if (layouts[i]) {
            (void)lt->cublasLtMatrixLayoutDestroy(layouts[i]);
        }
    }
    if (entry->desc) {
        (void)lt->cublasLtMatmulDescDestroy(entry->desc);
    }
    *entry = (struct entry){0};
}

void od_matmul_free(struct od_matmul *matmul)
{
    if (!matmul) {
        return;
    }
    for (size_t i = 0; i < matmul->count; i++) {
        entry_release(matmul, &matmul->entries[i]);
    }
    entry_release(matmul, &matmul->spare);
    if (matmul->preference) {
        (void)matmul->lt.cublasLtMatmulPreferenceDestroy(matmul->preference);
    }
    if (matmul->handle) {
        (void)matmul->lt.cublasLtDestroy(matmul->handle);
    }
    od_free(matmul);
}

/** Scales of our A and B; the library's are the other way round. */
static bool set_scales(struct od_matmul *matmul, const struct entry *entry, const void *a,
                       const void *b)
{
    const struct od_lt_api *lt = &matmul->lt;
    return lt->cublasLtMatmulDescSetAttribute(entry->desc, OD_LT_DESC_A_SCALE_POINTER, &b,
                                              sizeof(const void *)) == OD_LT_SUCCESS &&
           lt->cublasLtMatmulDescSetAttribute(entry->desc, OD_LT_DESC_B_SCALE_POINTER, &a,
                                              sizeof(const void *)) == OD_LT_SUCCESS;
}

/** Until a call brings its bias, an aligned place stands for it: the library looks at that, too. */
static bool describe_bias(struct od_matmul *matmul, struct entry *entry)
{
    const struct od_lt_api *lt = &matmul->lt;
    const uint32_t epilogue = OD_LT_EPILOGUE_BIAS;
    const int32_t type = OD_LT_R_16BF;
    const void *somewhere = (const void *)(uintptr_t)matmul->workspace;
    return !entry->shape.has_bias ||
           (lt->cublasLtMatmulDescSetAttribute(entry->desc, OD_LT_DESC_EPILOGUE, &epilogue,
                                               sizeof epilogue) == OD_LT_SUCCESS &&
            lt->cublasLtMatmulDescSetAttribute(entry->desc, OD_LT_DESC_BIAS_DATA_TYPE, &type,
                                               sizeof type) == OD_LT_SUCCESS &&
            lt->cublasLtMatmulDescSetAttribute(entry->desc, OD_LT_DESC_BIAS_POINTER, &somewhere,
                                               sizeof(const void *)) == OD_LT_SUCCESS);
}

/** Scales of rows, which stand somewhere until a call brings them, and sums that are kept in fp32. */
static bool describe_e4m3(struct od_matmul *matmul, struct entry *entry)
{
    const struct od_lt_api *lt = &matmul->lt;
    const int32_t mode = OD_LT_SCALE_OUTER_VEC_32F;
    const int8_t fast = 0;
    const void *somewhere = (const void *)(uintptr_t)matmul->workspace;
    return !entry->shape.is_e4m3 ||
           (lt->cublasLtMatmulDescSetAttribute(entry->desc, OD_LT_DESC_A_SCALE_MODE, &mode,
                                               sizeof mode) == OD_LT_SUCCESS &&
            lt->cublasLtMatmulDescSetAttribute(entry->desc, OD_LT_DESC_B_SCALE_MODE, &mode,
                                               sizeof mode) == OD_LT_SUCCESS &&
            lt->cublasLtMatmulDescSetAttribute(entry->desc, OD_LT_DESC_FAST_ACCUM, &fast,
                                               sizeof fast) == OD_LT_SUCCESS &&
            set_scales(matmul, entry, somewhere, somewhere));
}

/**
 * Describe a shape to the library, which stores by columns: D^T = op(B)^T op(A)^T, so that its A is
 * our B. A matrix that lies [rows, cols] by rows is [cols, rows] by columns with the same ld.
 */
static bool describe(struct od_matmul *matmul, struct entry *entry)
{
    const struct od_lt_api *lt = &matmul->lt;
    const struct shape *shape = &entry->shape;
    const int type = shape->d_is_float ? OD_LT_R_32F : OD_LT_R_16BF;
    const int factor_type = shape->is_e4m3 ? OD_LT_R_8F_E4M3 : OD_LT_R_16BF;
    const int32_t op_a = shape->b_transposed ? OD_LT_OP_T : OD_LT_OP_N;
    const int32_t op_b = shape->a_transposed ? OD_LT_OP_T : OD_LT_OP_N;
    const uint64_t m = (uint64_t)shape->m;
    const uint64_t n = (uint64_t)shape->n;
    const uint64_t k = (uint64_t)shape->k;
    return lt->cublasLtMatmulDescCreate(&entry->desc, OD_LT_COMPUTE_32F, OD_LT_R_32F) ==
               OD_LT_SUCCESS &&
           lt->cublasLtMatmulDescSetAttribute(entry->desc, OD_LT_DESC_TRANSA, &op_a, sizeof op_a) ==
               OD_LT_SUCCESS &&
           lt->cublasLtMatmulDescSetAttribute(entry->desc, OD_LT_DESC_TRANSB, &op_b, sizeof op_b) ==
               OD_LT_SUCCESS &&
           describe_bias(matmul, entry) && describe_e4m3(matmul, entry) &&
           lt->cublasLtMatrixLayoutCreate(&entry->layout_a, factor_type,
                                          shape->b_transposed ? k : n, shape->b_transposed ? n : k,
                                          shape->ldb) == OD_LT_SUCCESS &&
           lt->cublasLtMatrixLayoutCreate(&entry->layout_b, factor_type,
                                          shape->a_transposed ? m : k, shape->a_transposed ? k : m,
                                          shape->lda) == OD_LT_SUCCESS &&
           lt->cublasLtMatrixLayoutCreate(&entry->layout_c, type, n, m,
                                          shape->ldc ? shape->ldc : shape->ldd) == OD_LT_SUCCESS &&
           lt->cublasLtMatrixLayoutCreate(&entry->layout_d, type, n, m, shape->ldd) ==
               OD_LT_SUCCESS;
}

/** The library's proposals, best first. */
static int propose(struct od_matmul *matmul, const struct entry *entry,
                   struct od_lt_heuristic results[CANDIDATES_MAX])
{
    static const int attributes[] = {OD_LT_PREF_ALIGNMENT_A, OD_LT_PREF_ALIGNMENT_B,
                                     OD_LT_PREF_ALIGNMENT_C, OD_LT_PREF_ALIGNMENT_D};
    const struct od_lt_api *lt = &matmul->lt;
    const uint32_t align = (uint32_t)entry->shape.align_bytes;
    struct od_lt_heuristic found[CANDIDATES_MAX];
    int count = 0;
    int kept = 0;
    for (size_t i = 0; i < sizeof attributes / sizeof attributes[0]; i++) {
        if (lt->cublasLtMatmulPreferenceSetAttribute(matmul->preference, attributes[i], &align,
                                                     sizeof align) != OD_LT_SUCCESS) {
            return 0;
        }
    }
    memset(found, 0, sizeof found);
    if (lt->cublasLtMatmulAlgoGetHeuristic(
            matmul->handle, entry->desc, entry->layout_a, entry->layout_b, entry->layout_c,
            entry->layout_d, matmul->preference, CANDIDATES_MAX, found, &count) != OD_LT_SUCCESS) {
        return 0;
    }
    for (int i = 0; i < count && i < CANDIDATES_MAX; i++) {
        if (found[i].state == OD_LT_SUCCESS &&
            found[i].workspace_bytes <= OD_MATMUL_WORKSPACE_BYTES) {
            results[kept++] = found[i];
        }
    }
    return kept;
}

/**
 * Take the choice that was offered for this shape, when it is among those that the library proposes
 * now. Others are not even shown to it: what is not an algorithm of its own can crash it.
 */
static bool take_offered(struct od_matmul *matmul, struct entry *entry, const char *text,
                         double *ret_us)
{
    struct od_lt_heuristic results[CANDIDATES_MAX];
    for (size_t i = 0; i < matmul->offered_count; i++) {
        const struct od_matmul_choice *offer = &matmul->offered[i];
        if (strcmp(offer->shape, text) != 0) {
            continue;
        }
        const int count = propose(matmul, entry, results);
        for (int c = 0; c < count; c++) {
            if (memcmp(results[c].algo.data, offer->algo, sizeof offer->algo) == 0) {
                entry->algo = results[c].algo;
                *ret_us = offer->us;
                return true;
            }
        }
        od_log(OD_LOG_WARNING,
               "%s does not offer the recorded algorithm for the product %s: its own choice, bits "
               "may change",
               matmul->name, text);
        return false;
    }
    return false;
}

/** The entry of a shape; a new one is described and gets the offered or the heuristic's choice. */
static struct entry *find_entry(struct od_matmul *matmul, const struct shape *shape)
{
    struct od_lt_heuristic best[CANDIDATES_MAX];
    struct od_matmul_choice choice = {.us = 0.0};
    for (size_t i = 0; i < matmul->count; i++) {
        if (memcmp(&matmul->entries[i].shape, shape, sizeof *shape) == 0) {
            return &matmul->entries[i];
        }
    }
    const bool is_full = matmul->count == OD_MATMUL_SHAPES_MAX;
    struct entry *entry = is_full ? &matmul->spare : &matmul->entries[matmul->count];
    if (is_full && memcmp(&entry->shape, shape, sizeof *shape) == 0) {
        return entry;
    }
    entry_release(matmul, entry);
    entry->shape = *shape;
    shape_text(shape, choice.shape);
    if (matmul->handle && describe(matmul, entry)) {
        entry->has_algo = take_offered(matmul, entry, choice.shape, &choice.us);
        entry->is_tuned = entry->has_algo && choice.us > 0.0;
        // All are asked for, as when they are measured, so that the first is the same.
        if (!entry->has_algo && propose(matmul, entry, best) > 0) {
            entry->algo = best[0].algo;
            entry->has_algo = true;
        }
    }
    if (matmul->handle && !entry->has_algo) {
        od_log(OD_LOG_DEBUG, "%s has nothing for the product %s: %s", matmul->name, choice.shape,
               shape->has_bias ? "the bias is added afterwards" : "own kernel");
    }
    if (!is_full) {
        memcpy(choice.algo, entry->algo.data, sizeof choice.algo);
        matmul->choices[matmul->count++] = choice;
    }
    return entry;
}

const struct od_matmul_choice *od_matmul_choices(const struct od_matmul *matmul, size_t *ret_count)
{
    *ret_count = matmul->count;
    return matmul->choices;
}

enum od_status od_matmul_choose(struct od_matmul *matmul, const struct od_matmul_choice *choice,
                                struct od_error *err)
{
    bool is_empty = true;
    for (size_t i = 0; i < sizeof choice->algo / sizeof choice->algo[0]; i++) {
        is_empty = is_empty && choice->algo[i] == 0;
    }
    if (is_empty) {
        return OD_OK;  // the own kernel: nothing to choose
    }
    if (matmul->offered_count == OD_MATMUL_SHAPES_MAX) {
        return od_fail(err, OD_E_LIMIT, "more than %d recorded matrix products",
                       OD_MATMUL_SHAPES_MAX);
    }
    struct od_matmul_choice *offer = &matmul->offered[matmul->offered_count++];
    *offer = *choice;
    offer->shape[sizeof offer->shape - 1] = '\0';
    return OD_OK;
}

// Running.

static int run_library(struct od_matmul *matmul, const struct entry *entry,
                       const struct od_lt_algo *algo, const struct od_matmul_call *call)
{
    const float beta = call->c ? 1.0F : 0.0F;
    const void *bias = (const void *)(uintptr_t)call->bias;
    if (bias) {
        const int result = matmul->lt.cublasLtMatmulDescSetAttribute(
            entry->desc, OD_LT_DESC_BIAS_POINTER, &bias, sizeof(const void *));
        if (result != OD_LT_SUCCESS) {
            return result;
        }
    }
    if (call->is_e4m3 && !set_scales(matmul, entry, (const void *)(uintptr_t)call->a_scale,
                                     (const void *)(uintptr_t)call->b_scale)) {
        return OD_LT_NOT_SUPPORTED;
    }
    const od_dev c = call->c ? call->c : call->d;
    return matmul->lt.cublasLtMatmul(
        matmul->handle, entry->desc, &call->alpha, (const void *)(uintptr_t)call->b,
        entry->layout_a, (const void *)(uintptr_t)call->a, entry->layout_b, &beta,
        (const void *)(uintptr_t)c, entry->layout_c, (void *)(uintptr_t)call->d, entry->layout_d,
        algo, (void *)(uintptr_t)matmul->workspace, OD_MATMUL_WORKSPACE_BYTES,
        od_cuda_stream(matmul->cuda));
}

static struct od_matmul_call without_bias(const struct od_matmul_call *call)
{
    struct od_matmul_call plain = *call;
    plain.bias = 0;
    return plain;
}

static void add_bias(struct od_matmul *matmul, const struct od_matmul_call *call)
{
    enum { THREADS = 256 };
    od_dev d = call->d;
    od_dev bias = call->bias;
    int64_t ldd = call->ldd;
    int64_t n = call->n;
    void *args[] = {&d, &ldd, &bias, &n};
    od_cuda_launch(matmul->cuda, matmul->add_bias,
                   (struct od_cuda_grid){.x = (unsigned)call->m,
                                         .y = (unsigned)((n + THREADS - 1) / THREADS),
                                         .threads = THREADS},
                   args);
}

// NOLINTNEXTLINE(misc-no-recursion): once, for the product without its bias
void od_matmul_run(struct od_matmul *matmul, const struct od_matmul_call *call)
{
    if (call->m <= 0 || call->n <= 0) {
        return;
    }
    assert(!call->bias || !call->d_is_float);
    if (call->k <= 0 || !matmul->handle) {
        od_matmul_own(matmul->cuda, &matmul->own, call, alignment(call) == VECTOR_BYTES);
        return;
    }
    const struct shape shape = shape_of(call);
    const struct entry *entry = find_entry(matmul, &shape);
    if (!entry->has_algo && call->bias) {
        const struct od_matmul_call plain = without_bias(call);
        od_matmul_run(matmul, &plain);
        add_bias(matmul, call);
        return;
    }
    if (!entry->has_algo) {
        od_matmul_own(matmul->cuda, &matmul->own, call, alignment(call) == VECTOR_BYTES);
        return;
    }
    const int result = run_library(matmul, entry, &entry->algo, call);
    if (result != OD_LT_SUCCESS) {
        char text[96];
        shape_text(&shape, text);
        od_cuda_fault(matmul->cuda, OD_E_IO, "%s failed with status %d on the product %s",
                      matmul->name, result, text);
    }
}

// Measuring.

static int compare_doubles(const void *a, const void *b)
{
    const double x = *(const double *)a;
    const double y = *(const double *)b;
    return (x > y) - (x < y);
}

/** A measurement under way. */
struct timing {
    struct od_matmul *matmul;
    const struct entry *entry;
    const struct od_matmul_call *call;
    struct od_lt_heuristic candidates[CANDIDATES_MAX];
    int count;
    bool failed[CANDIDATES_MAX];
    double us[CANDIDATES_MAX];  // median
    struct od_cuda_event *events[CANDIDATES_MAX][2];
};

/**
 * Run some candidates once each, in turns that begin at `first`, and give their times. The
 * workspace is filled before each: that empties the L2 cache of the operands, as the work between
 * two uses of them in a step does, and keeps the GPU busy while the product is queued, so that
 * nothing but the product lies between the two events.
 */
static enum od_status run_round(struct timing *timing, const int *which, int count, int first,
                                double us[CANDIDATES_MAX], struct od_error *err)
{
    struct od_cuda *cuda = timing->matmul->cuda;
    for (int i = 0; i < count; i++) {
        const int c = which[(i + first) % count];
        od_cuda_fill(cuda, timing->matmul->workspace, 0, OD_MATMUL_WORKSPACE_BYTES);
        od_cuda_event_record(cuda, timing->events[c][0]);
        timing->failed[c] = timing->failed[c] ||
                            run_library(timing->matmul, timing->entry, &timing->candidates[c].algo,
                                        timing->call) != OD_LT_SUCCESS;
        od_cuda_event_record(cuda, timing->events[c][1]);
    }
    const enum od_status status = od_cuda_sync(cuda, err);
    for (int i = 0; i < count && !status; i++) {
        const int c = which[i];  // NOLINT(clang-analyzer-core.uninitialized.Assign): see `count`
        us[c] = od_cuda_event_ms(cuda, timing->events[c][0], timing->events[c][1]) * 1e3;
    }
    return status;
}

/** Medians over rounds of the candidates `which`, into timing->us. */
static enum od_status time_candidates(struct timing *timing, const int *which, int count,
                                      int rounds, struct od_error *err)
{
    double times[CANDIDATES_MAX][ROUNDS_MAX];
    double us[CANDIDATES_MAX] = {0};
    for (int round = 0; round < rounds; round++) {
        const enum od_status status = run_round(timing, which, count, round, us, err);
        if (status) {
            return status;
        }
        for (int i = 0; i < count; i++) {
            times[which[i]][round] = us[which[i]];
        }
    }
    for (int i = 0; i < count; i++) {
        const int c = which[i];
        qsort(times[c], (size_t)rounds, sizeof times[c][0], compare_doubles);
        timing->us[c] = times[c][rounds / 2];
    }
    return OD_OK;
}

/** Measure all, then the best against the library's first choice once more. */
static enum od_status find_best(struct timing *timing, int *ret_best, struct od_error *err)
{
    int which[CANDIDATES_MAX];
    double us[CANDIDATES_MAX] = {0};
    double warm_us = 0.0;
    int best = -1;
    int runs = 0;
    enum od_status status = OD_OK;
    for (int c = 0; c < timing->count; c++) {
        which[c] = c;
    }
    // The first round loads the kernels: its times mean nothing.
    for (int round = 0; !status && (round < 2 || warm_us < WARM_US); round++) {
        status = run_round(timing, which, timing->count, 0, us, err);
        for (int c = 0; c < timing->count && round > 0; c++) {
            warm_us += us[c] + 1.0;
        }
    }
    for (int c = 0; c < timing->count; c++) {
        if (!timing->failed[c]) {
            which[runs++] = c;
        }
    }
    if (status) {
        return status;
    }
    if (runs == 0) {
        return od_fail(err, OD_E_IO, "%s offers %d algorithms and runs none", timing->matmul->name,
                       timing->count);
    }
    int rounds = (int)(ROUNDS_US / (us[which[0]] + 1.0));
    rounds = rounds < ROUNDS_MIN ? ROUNDS_MIN : rounds > ROUNDS_MAX ? ROUNDS_MAX : rounds;
    status = time_candidates(timing, which, runs, rounds, err);
    for (int i = 0; i < runs && !status; i++) {
        best = best < 0 || timing->us[which[i]] < timing->us[best] ? which[i] : best;
    }
    // The least of many is partly luck: it must win again, by more than noise.
    if (!status && best > 0 && !timing->failed[0]) {
        const int pair[] = {0, best};
        status = time_candidates(timing, pair, 2, ROUNDS_MAX, err);
        best = timing->us[0] <= timing->us[best] * TIE ? 0 : best;
    }
    *ret_best = best;
    return status;
}

// NOLINTNEXTLINE(misc-no-recursion): once, for the product without its bias
enum od_status od_matmul_tune(struct od_matmul *matmul, const struct od_matmul_call *call,
                              struct od_error *err)
{
    enum od_status status = OD_OK;
    int best = 0;
    if (od_cuda_is_recording(matmul->cuda)) {
        return od_fail(err, OD_E_ARGUMENT, "products cannot be measured while a graph is recorded");
    }
    if (call->m <= 0 || call->n <= 0 || call->k <= 0 || !matmul->handle) {
        return OD_OK;
    }
    const struct shape shape = shape_of(call);
    struct entry *entry = find_entry(matmul, &shape);
    if (!entry->has_algo && call->bias) {
        const struct od_matmul_call plain = without_bias(call);
        return od_matmul_tune(matmul, &plain, err);
    }
    if (!entry->has_algo || entry->is_tuned || entry == &matmul->spare) {
        return OD_OK;
    }
    struct timing timing = {.matmul = matmul, .entry = entry, .call = call};
    timing.count = propose(matmul, entry, timing.candidates);
    if (timing.count == 0) {
        return OD_OK;
    }
    for (int c = 0; c < timing.count && !status; c++) {
        status = od_cuda_event_create(matmul->cuda, &timing.events[c][0], err);
        if (!status) {
            status = od_cuda_event_create(matmul->cuda, &timing.events[c][1], err);
        }
    }
    if (!status) {
        status = find_best(&timing, &best, err);
    }
    for (int c = 0; c < timing.count; c++) {
        od_cuda_event_free(matmul->cuda, timing.events[c][0]);
        od_cuda_event_free(matmul->cuda, timing.events[c][1]);
    }
    if (status) {
        return status;
    }
    struct od_matmul_choice *choice = &matmul->choices[entry - matmul->entries];
    entry->algo = timing.candidates[best].algo;
    entry->is_tuned = true;
    memcpy(choice->algo, entry->algo.data, sizeof choice->algo);
    choice->us = timing.us[best];
    od_log(OD_LOG_DEBUG, "product %s: choice %d of %d takes %.1f us, the first %.1f us",
           choice->shape, best + 1, timing.count, timing.us[best], timing.us[0]);
    return OD_OK;
}
