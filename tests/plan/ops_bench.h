/**
 * @file
 * What tests of operations on a GPU share: one program, once for the CPU (fp32) and once for the GPU
 * (bf16, folded adapters), walked side by side. After each operation its outputs are compared; then the
 * CPU's values, rounded to bf16, are put into both, so that every operation is measured by itself, on
 * inputs that occur. The GPU's memory starts as NaN. Ragged documents, rows that are not in use, fresh
 * random weights. The tests of adapters themselves run on a card that is none, too (ON_SOFT_CARD).
 *
 * @thread One owner.
 */
#ifndef OD_TESTS_PLAN_OPS_BENCH_H
#define OD_TESTS_PLAN_OPS_BENCH_H

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/random.h"
#include "device/cuda/cuda.h"
#include "device/cuda_gpu.h"
#include "formats/e4m3.h"
#include "model/program.h"
#include "model/weights.h"
#include "ops/cpu.h"
#include "ops/gpu.h"
#include "plan/layout.h"
#include "plan/plan.h"
#include "support.h"

enum { SPARE_TOKENS = 37, DOCUMENTS = 4 };

static uint64_t drawn;

static float normal(void)
{
    double a;
    double b;
    od_normal_pair(od_philox_draw(test_seed(), 21, 0, drawn++), &a, &b);
    return (float)a;
}

static uint32_t word(void)
{
    return od_philox_draw(test_seed(), 21, 1, drawn++).word[0];
}

static float rounded(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    bits = (bits + 0x7FFFu + ((bits >> 16) & 1u)) & 0xFFFF0000u;
    memcpy(&x, &bits, sizeof x);
    return x;
}

struct side {
    struct od_program program;
    struct od_plan plan;
};

struct bench {
    struct side cpu_side;
    struct side gpu_side;
    struct od_cpu cpu;
    struct od_arrays arrays;
    struct od_cuda *cuda;
    struct od_gpu *gpu;
    struct od_batch batch;
    int32_t ids[2048];
    int32_t positions[2048];
    int32_t targets[2048];
    int32_t segments[DOCUMENTS + 1];
    uint16_t *raw;
    double worst[OD_OP_COUNT];
    int failures;
};

// Rows [0, rows) of a GPU tensor as floats, contiguous.
static void read_tensor(struct bench *b, int32_t number, int64_t rows, float *to)
{
    const struct od_gpu_tensor t = od_gpu_tensor(b->gpu, number);
    struct od_error err = {0};
    if (t.is_float) {
        for (int64_t r = 0; r < rows; r++) {
            od_cuda_download(b->cuda, to + r * t.cols, t.at + (uint64_t)(r * t.stride) * 4u,
                             (size_t)t.cols * 4u);
        }
        assert_ok(od_cuda_sync(b->cuda, &err), &err);
        return;
    }
    od_cuda_download(b->cuda, b->raw, t.at, (size_t)(rows * t.stride) * 2u);
    assert_ok(od_cuda_sync(b->cuda, &err), &err);
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t c = 0; c < t.cols; c++) {
            const uint32_t bits = (uint32_t)b->raw[r * t.stride + c] << 16;
            memcpy(&to[r * t.cols + c], &bits, sizeof bits);
        }
    }
}

// The spare columns of the rows stay as they are.
static void write_tensor(struct bench *b, int32_t number, int64_t rows, const float *from)
{
    const struct od_gpu_tensor t = od_gpu_tensor(b->gpu, number);
    struct od_error err = {0};
    if (t.is_host) {
        uint16_t *to = (uint16_t *)(uintptr_t)t.at;
        for (int64_t i = 0; i < rows * t.cols; i++) {
            uint32_t bits;
            memcpy(&bits, &from[i], sizeof bits);
            to[i / t.cols * t.stride + i % t.cols] = (uint16_t)(bits >> 16);
        }
        return;
    }
    if (t.is_float) {
        od_cuda_upload(b->cuda, t.at, from, (size_t)(rows * t.cols) * 4u);
        assert_ok(od_cuda_sync(b->cuda, &err), &err);
        return;
    }
    od_cuda_download(b->cuda, b->raw, t.at, (size_t)(rows * t.stride) * 2u);
    assert_ok(od_cuda_sync(b->cuda, &err), &err);
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t c = 0; c < t.cols; c++) {
            uint32_t bits;
            memcpy(&bits, &from[r * t.cols + c], sizeof bits);
            b->raw[r * t.stride + c] = (uint16_t)(bits >> 16);
        }
    }
    od_cuda_upload(b->cuda, t.at, b->raw, (size_t)(rows * t.stride) * 2u);
    assert_ok(od_cuda_sync(b->cuda, &err), &err);
}

// Rows that are looked up are what they were; all else is rounded.
static double bound_of(const struct od_op *op)
{
    return op->kind == OD_OP_EMBED && op->rank == 0 && op->noise <= 0.0F ? 0.0 : 1e-2;
}

// Whether the card computes an operation. A soft one has few kernels (soft_kernels.h) and is slow: what is
// not about adapters gets the CPU's results.
static bool runs_here(const struct od_op *op)
{
#ifdef ON_SOFT_CARD
    const bool is_linear = op->kind == OD_OP_LINEAR || op->kind == OD_OP_LINEAR_BWD;
    return op->kind == OD_OP_EMBED || op->kind == OD_OP_EMBED_BWD || op->kind == OD_OP_HEAD_LOSS ||
           (is_linear && op->rank > 0 && op->quant == OD_QUANT_NONE && op->slot[OD_SLOT_DBIAS] < 0);
#else
    (void)op;
    return true;
#endif
}

// Compare one output of an operation, then give both sides the CPU's value in bf16.
static void compare(struct bench *b, const struct od_op *op, int32_t cpu_number, int32_t gpu_number,
                    const char *what)
{
    const struct od_tensor *t = &b->cpu_side.program.tensors[cpu_number];
    const struct od_tensor *g = &b->gpu_side.program.tensors[gpu_number];
    const int64_t rows =
        t->rows < b->batch.tokens || t->role != OD_ROLE_ACTIVATION ? t->rows : b->batch.tokens;
    float *want = b->arrays.tensor[cpu_number];
    float *got = od_alloc((size_t)(rows * t->cols), sizeof *got);
    double error = 0.0;
    double norm = 0.0;
    assert_non_null(got);
    assert_int_equal(t->cols, g->cols);
    read_tensor(b, gpu_number, rows, got);
    for (int64_t i = 0; i < rows * t->cols; i++) {
        const double d = (double)got[i] - (double)want[i];
        error += d * d;
        norm += (double)want[i] * (double)want[i];
    }
    error = norm > 0.0 ? sqrt(error / norm) : sqrt(error);
    error = runs_here(op) ? error : 0.0;
    if (!(error <= bound_of(op))) {
        b->failures++;
        print_message("# op %d %s, tensor '%s' [%lld, %lld]: error %.3g\n", (int)op->kind, what,
                      t->name, (long long)rows, (long long)t->cols, error);
    }
    if (error > b->worst[op->kind] || error != error) {
        b->worst[op->kind] = error;
    }
    if (g->dtype == OD_DTYPE_BF16) {
        for (int64_t i = 0; i < rows * t->cols; i++) {
            want[i] = rounded(want[i]);
        }
    }
    if (!runs_here(op)) {  // nor were rows that are not in use made
        const struct od_gpu_tensor whole = od_gpu_tensor(b->gpu, gpu_number);
        od_cuda_fill(b->cuda, whole.at, 0, whole.bytes);
    }
    write_tensor(b, gpu_number, rows, want);
    od_free(got);
}

// What the GPU decoded is the CPU's value, rounded to bf16: every bit.
static void compare_decoded(struct bench *b, const struct od_op *op, const struct od_op *other)
{
    const int64_t count = op->n * op->k;
    const float *want = b->arrays.tensor[op->slot[OD_SLOT_W]];
    float *got = od_alloc((size_t)count, sizeof *got);
    int64_t different = 0;
    assert_non_null(got);
    read_tensor(b, other->slot[OD_SLOT_W], op->n, got);
    for (int64_t i = 0; i < count; i++) {
        different += got[i] != rounded(want[i]);
    }
    if (different > 0) {
        b->failures++;
        print_message("# %lld of %lld decoded values differ\n", (long long)different,
                      (long long)count);
    }
    od_free(got);
}

// What the embedding's adapter read of A for each row, and zeros behind: every bit.
static void compare_gathered(struct bench *b, const struct od_op *op, const struct od_op *other)
{
    const float *a = b->arrays.tensor[op->slot[OD_SLOT_A]];
    float *got = od_alloc((size_t)(b->batch.tokens * other->fold), sizeof *got);
    int64_t different = 0;
    assert_non_null(got);
    read_tensor(b, other->slot[OD_SLOT_XA], b->batch.tokens, got);
    for (int64_t t = 0; t < b->batch.tokens; t++) {
        for (int64_t c = 0; c < other->fold; c++) {
            const float want = c < op->rank ? rounded(a[b->ids[t] * op->rank + c]) : 0.0F;
            different += memcmp(&got[t * other->fold + c], &want, sizeof want) != 0;
        }
    }
    if (different > 0) {
        b->failures++;
        print_message("# %lld values of A differ\n", (long long)different);
    }
    od_free(got);
}

static uint8_t *read_bytes(struct bench *b, int32_t number, size_t count)
{
    struct od_error err = {0};
    uint8_t *bytes = od_alloc(count, 1);
    assert_non_null(bytes);
    assert_ok(od_gpu_read_bytes(b->gpu, number, 0, bytes, count, &err), &err);
    return bytes;
}

// What the GPU rounded to eight bits is what the CPU did, and the codes that it turned are the codes:
// every bit.
static void compare_rounded(struct bench *b, const struct od_op *op, const struct od_op *other)
{
    const bool backward = op->kind == OD_OP_LINEAR_BWD;
    const int64_t all = b->gpu_side.program.options.tokens;
    const int64_t cols = backward ? op->n : op->k;
    const float *want = b->arrays.tensor[op->slot[OD_SLOT_ROUNDED]];
    const size_t bytes = (size_t)(all * (cols + 4));
    uint8_t *rounded_rows = read_bytes(b, other->slot[OD_SLOT_ROUNDED], bytes);
    int64_t different = 0;
    for (int64_t t = 0; t < b->batch.tokens; t++) {
        float scale;
        memcpy(&scale, rounded_rows + all * cols + t * 4, sizeof scale);
        for (int64_t c = 0; c < cols; c++) {
            const float got = od_e4m3_decode(rounded_rows[t * cols + c]) * scale;
            different += memcmp(&got, &want[t * cols + c], sizeof got) != 0;
        }
    }
    od_free(rounded_rows);
    if (backward) {
        uint8_t *turned = read_bytes(b, other->slot[OD_SLOT_W], (size_t)(op->n * op->k));
        const uint8_t *codes = (const uint8_t *)b->arrays.tensor[op->slot[OD_SLOT_CODES]];
        for (int64_t i = 0; i < op->n * op->k; i++) {
            different += turned[i % op->k * op->n + i / op->k] != codes[i];
        }
        od_free(turned);
    }
    if (different > 0) {
        b->failures++;
        print_message("# %lld codes or rounded values differ\n", (long long)different);
    }
}

// By kind: behind the forward list some of its operations come again.
static const bool is_backward[OD_OP_COUNT] = {[OD_OP_EMBED_BWD] = true,
                                              [OD_OP_RMS_NORM_BWD] = true,
                                              [OD_OP_LAYER_NORM_BWD] = true,
                                              [OD_OP_HEAD_NORM_BWD] = true,
                                              [OD_OP_POSITIONS_BWD] = true,
                                              [OD_OP_LINEAR_BWD] = true,
                                              [OD_OP_ROPE_BWD] = true,
                                              [OD_OP_ATTENTION_BWD] = true,
                                              [OD_OP_GLU_BWD] = true,
                                              [OD_OP_ACTIVATION_BWD] = true,
                                              [OD_OP_ADD] = true};

static void compare_op(struct bench *b, int32_t index)
{
    static const struct {
        enum od_slot slot;
        const char *name;
    } outputs[] = {{OD_SLOT_Y, "y"},   {OD_SLOT_AUX, "aux"},     {OD_SLOT_DX, "dx"},
                   {OD_SLOT_DW, "dw"}, {OD_SLOT_DBIAS, "dbias"}, {OD_SLOT_DA, "da"},
                   {OD_SLOT_DB, "db"}};
    const struct od_op *op = &b->cpu_side.program.ops[index];
    const struct od_op *other = &b->gpu_side.program.ops[index];
    const bool backward = is_backward[op->kind];
    assert_int_equal(op->kind, other->kind);
    od_cpu_run(&b->cpu, op, b->arrays.tensor, &b->batch);
    if (runs_here(op)) {
        od_gpu_run(b->gpu, other);
    }
    if (op->kind == OD_OP_STORE || op->kind == OD_OP_STORED || op->kind == OD_OP_FETCH) {
        return;  // seen when it is fetched
    }
    if (runs_here(op) && op->quant != OD_QUANT_NONE && (!backward || op->slot[OD_SLOT_DX] >= 0)) {
        if (op->quant == OD_QUANT_E4M3) {
            compare_rounded(b, op, other);
        } else {
            compare_decoded(b, op, other);
        }
    }
    if (op->kind == OD_OP_EMBED && op->rank > 0) {
        compare_gathered(b, op, other);
    }
    if (op->kind == OD_OP_ROPE_BWD) {
        compare(b, op, op->slot[OD_SLOT_DY], other->slot[OD_SLOT_DY], "dy");
        return;
    }
    for (size_t i = 0; i < sizeof outputs / sizeof outputs[0]; i++) {
        const enum od_slot slot = outputs[i].slot;
        const bool is_output =
            slot == OD_SLOT_Y ? !backward || op->kind == OD_OP_ADD
            : slot == OD_SLOT_AUX
                ? !backward && (op->kind == OD_OP_RMS_NORM || op->kind == OD_OP_ATTENTION ||
                                op->kind == OD_OP_LAYER_NORM || op->kind == OD_OP_HEAD_NORM)
                : true;
        if (is_output && op->slot[slot] >= 0) {
            compare(b, op, op->slot[slot], other->slot[slot], outputs[i].name);
        }
    }
}

static void make_batch(struct bench *b, int64_t vocab, int64_t tokens)
{
    // One of a single row, one that ends on a tile, two ragged ones.
    const int32_t starts[DOCUMENTS + 1] = {0, 1, 129, 129 + (int32_t)(tokens / 3), (int32_t)tokens};
    memcpy(b->segments, starts, sizeof starts);
    for (int d = 0; d < DOCUMENTS; d++) {
        for (int32_t t = starts[d]; t < starts[d + 1]; t++) {
            b->ids[t] = (int32_t)(word() % (uint32_t)vocab);
            b->positions[t] = t - starts[d];
            b->targets[t] = word() % 3 == 0 ? -1 : (int32_t)(word() % (uint32_t)vocab);
        }
    }
    b->batch = (struct od_batch){.tokens = tokens,
                                 .ids = b->ids,
                                 .positions = b->positions,
                                 .segments = DOCUMENTS,
                                 .segment_start = b->segments,
                                 .targets = b->targets,
                                 .loss_scale = 1.0F / (float)tokens,
                                 .dropout_seed = 0x123456789ABCDEFu,
                                 .dropout_pass = 41,
                                 .want_gradient = true};
}

// A quantised part: the same codes and scales on both sides.
static void random_codes(struct bench *b, const struct od_part *part, const struct od_part *to)
{
    struct od_error err = {0};
    const int64_t count = part->rows * part->cols;
    const float scale = 1.0F / sqrtf((float)part->cols);
    float *values = od_alloc((size_t)count, sizeof *values);
    assert_non_null(values);
    for (int64_t i = 0; i < count; i++) {
        values[i] = scale * normal();
    }
    assert_ok(od_quant_store(part, values, b->arrays.tensor, &err), &err);
    const size_t bytes = od_quant_code_bytes(part);
    const size_t at = (size_t)part->row * (bytes / (size_t)part->rows);
    assert_ok(od_gpu_write_bytes(b->gpu, to->tensor, at,
                                 (const char *)b->arrays.tensor[part->tensor] + at, bytes, &err),
              &err);
    assert_ok(od_gpu_write_bytes(b->gpu, to->scales, (uint64_t)to->scales_at,
                                 (const char *)b->arrays.tensor[part->scales] + part->scales_at,
                                 od_quant_scale_bytes(part), &err),
              &err);
    od_free(values);
}

static void random_tensors(struct bench *b)
{
    const struct od_program *p = &b->cpu_side.program;
    const struct od_program *q = &b->gpu_side.program;
    for (int32_t i = 0; i < p->weight_count; i++) {
        if (p->weights[i].quant != OD_QUANT_NONE) {
            random_codes(b, &p->weights[i], &q->weights[i]);
        }
    }
    for (int32_t i = 0; i < p->weight_count + p->adapter_count; i++) {
        const bool base = i < p->weight_count;
        const struct od_part *part = base ? &p->weights[i] : &p->adapters[i - p->weight_count];
        const struct od_part *to = base ? &q->weights[i] : &q->adapters[i - p->weight_count];
        const struct od_tensor *t = &p->tensors[part->tensor];
        float *w = b->arrays.tensor[part->tensor];
        const float scale = 1.0F / sqrtf((float)t->cols);
        if (part->row != 0 || part->quant != OD_QUANT_NONE) {
            continue;  // a fused weight is one tensor
        }
        assert_string_equal(part->name, to->name);
        for (int64_t j = 0; j < t->rows * t->cols; j++) {
            w[j] = rounded(part->rank == 1 ? 1.0F + 0.1F * normal() : scale * normal());
        }
        write_tensor(b, to->tensor, t->rows, w);
    }
    od_gpu_refresh(b->gpu);
}

static void build(struct side *side, const struct od_spec *spec, struct od_program_options options,
                  bool half)
{
    struct od_error err = {0};
    options.half = half;
    options.head_rows = !half ? 0 : options.head_rows > 0 ? options.head_rows : OD_GPU_HEAD_ROWS;
    assert_ok(od_program_build(spec, &options, &side->program, &err), &err);
    assert_ok(od_plan_make(&side->program, &side->plan, &err), &err);
}

static void check(const struct od_spec *spec, struct od_program_options options, bool use_library)
{
    struct bench *b = od_alloc(1, sizeof *b);
    struct od_error err = {0};
    struct od_layout layout;
    const struct od_program *p;
    assert_non_null(b);
    *b = (struct bench){0};
    build(&b->cpu_side, spec, options, false);
    build(&b->gpu_side, spec, options, true);
    p = &b->cpu_side.program;
    assert_int_equal(p->op_count, b->gpu_side.program.op_count);
    b->raw = od_alloc((size_t)1 << 23, sizeof *b->raw);
    assert_non_null(b->raw);
    assert_ok(od_cpu_open(2, true, &b->cpu, &err), &err);
    assert_ok(od_arrays_make(&b->cpu_side.plan, &b->arrays, &err), &err);
    assert_ok(od_layout_make(&b->gpu_side.program, &b->gpu_side.plan, use_library, &layout, &err),
              &err);
    b->cuda = test_gpu();
    assert_ok(od_gpu_open(b->cuda, &layout.gpu, &b->gpu, &err), &err);
    od_layout_release(&layout);
    if (p->io.rope_table >= 0) {
        const int64_t positions = p->tensors[p->io.rope_table].rows;
        od_spec_rope_table(spec, positions, b->arrays.tensor[p->io.rope_table]);
        write_tensor(b, b->gpu_side.program.io.rope_table, positions,
                     b->arrays.tensor[p->io.rope_table]);
    }
    random_tensors(b);
    make_batch(b, spec->vocab, options.tokens - SPARE_TOKENS);
    od_gpu_clear(b->gpu);
    assert_ok(od_gpu_batch(b->gpu, &b->batch, &err), &err);
    for (int32_t i = 0; i < p->op_count; i++) {
        compare_op(b, i);
    }
    struct od_adamw_stats stats;
    assert_ok(od_gpu_finish(b->gpu, &stats, &err), &err);
    print_message("# D %d, %lld channels, %s%s: loss %.6f, CPU %.6f; errors", spec->head_dim,
                  (long long)spec->channels,
                  options.mode == OD_PROGRAM_TRAIN_LORA ? "lora" : "full",
                  use_library ? "" : ", own products", stats.loss_sum, b->batch.loss_sum);
    for (int i = 0; i < OD_OP_COUNT; i++) {
        print_message(" %.1e", b->worst[i]);
    }
    print_message("\n");
    assert_true(fabs(stats.loss_sum - b->batch.loss_sum) < 1e-3 * b->batch.loss_sum);
    assert_int_equal(b->failures, 0);
    od_gpu_close(b->gpu);
    od_arrays_release(&b->arrays);
    od_cpu_close(&b->cpu);
    od_plan_release(&b->cpu_side.plan);
    od_plan_release(&b->gpu_side.plan);
    od_program_release(&b->cpu_side.program);
    od_program_release(&b->gpu_side.program);
    od_free(b->raw);
    od_free(b);
}

// Three shapes: even; ragged; grouped heads. The last two have a head of their own.
static const struct od_spec specs[] = {
    {.family = "llama",
     .vocab = 512,
     .channels = 256,
     .ffn = 512,
     .layers = 2,
     .heads = 4,
     .kv_heads = 4,
     .head_dim = 64,
     .max_positions = 1024,
     .norm_eps = 1e-5F,
     .rope_theta = 10000.0,
     .init_std = 0.02,
     .tied = true,
     .bos = -1,
     .eos = -1},
    {.family = "llama",
     .vocab = 263,
     .channels = 200,
     .ffn = 172,
     .layers = 2,
     .heads = 3,
     .kv_heads = 1,
     .head_dim = 80,
     .max_positions = 1024,
     .norm_eps = 1e-5F,
     .rope_theta = 10000.0,
     .init_std = 0.02,
     .tied = false,
     .bos = -1,
     .eos = -1},
    {.family = "llama",
     .vocab = 1000,
     .channels = 512,
     .ffn = 1376,
     .layers = 2,
     .heads = 4,
     .kv_heads = 2,
     .head_dim = 128,
     .max_positions = 1024,
     .norm_eps = 1e-5F,
     .rope_theta = 10000.0,
     .init_std = 0.02,
     .tied = false,
     .bos = -1,
     .eos = -1},
};
enum { SPECS = sizeof specs / sizeof specs[0] };

// One of each family, ragged: GPT-2's, biases, norms of heads, a window, GELU.
static struct od_spec family_spec(int which)
{
    struct od_spec spec = specs[which % 3];
    spec.max_positions = 700;
    spec.window_from = 0;
    switch (which) {
    case 0:
        (void)snprintf(spec.family, sizeof spec.family, "gpt2");
        spec.kv_heads = spec.heads;
        spec.layer_norm = true;
        spec.learned_positions = true;
        spec.plain_mlp = true;
        spec.activation = OD_ACTIVATION_GELU_TANH;
        spec.qkv_bias = true;
        spec.out_bias = true;
        spec.mlp_bias = true;
        break;
    case 1:
        (void)snprintf(spec.family, sizeof spec.family, "qwen2");
        spec.qkv_bias = true;
        break;
    case 2:
        (void)snprintf(spec.family, sizeof spec.family, "qwen3");
        spec.head_norm = true;
        break;
    case 3:
        (void)snprintf(spec.family, sizeof spec.family, "mistral");
        spec.window = 70;
        break;
    default:
        spec.activation = OD_ACTIVATION_GELU;
        spec.qkv_bias = true;
        spec.out_bias = true;
        spec.mlp_bias = true;
        spec.window = 131;
        spec.window_from = 1;
    }
    return spec;
}
enum { FAMILIES = 5 };

static void every_operation_of_lora(void **state)
{
    (void)state;
    if (!have_gpu()) {
        skip();
    }
    for (int i = 0; i < SPECS; i++) {
        check(&specs[i],
              (struct od_program_options){.mode = OD_PROGRAM_TRAIN_LORA,
                                          .tokens = 640,
                                          .threads = 2,
                                          .lora_r = i == 1 ? 4 : 16,
                                          .lora_scale = 1.5F,
                                          .lora_dropout = i == 1 ? 0.25F : 0.0F,
                                          .lora_targets =
                                              i == 2 ? (OD_TARGET_Q | OD_TARGET_V | OD_TARGET_DOWN)
                                                     : OD_TARGET_ALL},
              true);
    }
}

// Adapters on embedding and head, beside others and alone: tables of their own and one for both, of a model
// with learned positions, with dropout, noise, ranks below and above what adapters are rounded up to; two
// chunks of labelled rows, and one; beside codes and with the table in the host's memory.
static void adapters_on_embedding_and_head(void **state)
{
    enum { BOTH = OD_TARGET_EMBED | OD_TARGET_HEAD };
    static const struct {
        int spec;  // SPECS: GPT-2
        unsigned targets;
        int64_t rank;
        float dropout;
        float noise;
        enum od_quant quant;
        bool embedding_on_host;
        bool use_library;
    } cases[] = {
        {0, BOTH | OD_TARGET_ALL, 16, 0.0F, 0.0F, OD_QUANT_NONE, false, true},
        {1, BOTH | OD_TARGET_ALL, 4, 0.25F, 5.0F, OD_QUANT_NONE, false, false},
        {2, OD_TARGET_HEAD, 70, 0.0F, 0.0F, OD_QUANT_NONE, true, true},
        {2, OD_TARGET_EMBED, 70, 0.5F, 0.0F, OD_QUANT_NONE, false, true},
        {0, OD_TARGET_HEAD | OD_TARGET_DOWN, 8, 0.1F, 0.0F, OD_QUANT_NF4, false, true},
        {2, BOTH, 3, 0.0F, 0.0F, OD_QUANT_NONE, true, false},
        {SPECS, OD_TARGET_WTE | OD_TARGET_HEAD, 8, 0.25F, 0.0F, OD_QUANT_NONE, false, true},
    };
    (void)state;
    if (!have_gpu()) {
        skip();
    }
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct od_spec spec = cases[i].spec < SPECS ? specs[cases[i].spec] : family_spec(0);
        check(
            &spec,
            (struct od_program_options){.mode = OD_PROGRAM_TRAIN_LORA,
                                        .tokens = 640,
                                        .threads = 2,
                                        .keep = i % 2 == 0 ? OD_KEEP_ALL : OD_KEEP_INPUT,
                                        .embedding_on_host = cases[i].embedding_on_host,
                                        .head_rows = i % 3 == 2 ? 0 : 256,
                                        .quant = cases[i].quant,
                                        .embed_noise = cases[i].noise,
                                        .lora_r = cases[i].rank,
                                        .lora_scale = 0.5F,  // logits of 30 would be rounded to 1/8
                                        .lora_dropout = cases[i].dropout,
                                        .lora_targets = cases[i].targets},
            cases[i].use_library);
    }
}

#endif
