/**
 * @file
 * A tiny model as a program with memory, and one pass over two documents.
 *
 * @thread One owner.
 */
#ifndef OD_TESTS_TINY_PROGRAM_H
#define OD_TESTS_TINY_PROGRAM_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "base/status.h"
#include "model/program.h"
#include "model/spec.h"
#include "model/weights.h"
#include "ops/cpu.h"
#include "ops/op.h"
#include "plan/plan.h"
#include "support.h"

enum { TINY_TOKENS = 24, TINY_VOCAB = 96 };

static const struct od_spec tiny_spec = {.family = "llama",
                                         .vocab = TINY_VOCAB,
                                         .channels = 128,
                                         .ffn = 192,
                                         .layers = 3,
                                         .heads = 4,
                                         .kv_heads = 2,
                                         .head_dim = 32,
                                         .max_positions = 64,
                                         .norm_eps = 1e-5F,
                                         .rope_theta = 10000.0,
                                         .init_std = 0.3,
                                         .tied = true,
                                         .bos = -1,
                                         .eos = -1};

struct tiny {
    struct od_program program;
    struct od_plan plan;
    struct od_arrays arrays;
    double loss;
};

/** Fresh weights; everything that a pass writes is no number at first. */
static inline void tiny_build_of(struct tiny *tiny, const struct od_spec *spec,
                                 struct od_program_options options)
{
    struct od_error err = {0};
    options.tokens = TINY_TOKENS;
    options.threads = 2;
    options.lora_r = 4;
    options.lora_scale = 2.0F;
    options.lora_targets |= OD_TARGET_ALL;
    assert_ok(od_program_build(spec, &options, &tiny->program, &err), &err);
    assert_ok(od_plan_make(&tiny->program, &tiny->plan, &err), &err);
    assert_ok(od_arrays_make(&tiny->plan, &tiny->arrays, &err), &err);
    float *transient = (float *)(void *)((char *)tiny->arrays.memory + tiny->plan.persistent_bytes);
    for (size_t i = 0; i < tiny->plan.transient_bytes / sizeof *transient; i++) {
        transient[i] = NAN;
    }
    assert_ok(od_weights_init(&tiny->program, tiny->arrays.tensor, 5, &err), &err);
    od_spec_rope_table(spec, TINY_TOKENS, tiny->arrays.tensor[tiny->program.io.rope_table]);
    od_adapters_init(&tiny->program, tiny->arrays.tensor, 5);
    // B too, or nothing flows to A.
    for (int32_t i = 0; i < tiny->program.adapter_count; i++) {
        const struct od_part *part = &tiny->program.adapters[i];
        if (!strstr(part->name, ".lora_")) {
            continue;
        }
        float *to = tiny->arrays.tensor[part->tensor] + part->row * part->cols;
        for (int64_t j = 0; j < part->rows * part->cols; j++) {
            to[j] += 0.01F * (float)((j * 37 + i) % 19 - 9);
        }
    }
}

static inline void tiny_build(struct tiny *tiny, struct od_program_options options)
{
    tiny_build_of(tiny, &tiny_spec, options);
}

static inline void tiny_release(struct tiny *tiny)
{
    od_arrays_release(&tiny->arrays);
    od_plan_release(&tiny->plan);
    od_program_release(&tiny->program);
}

/** Forward and backward. */
static inline void tiny_run(struct tiny *tiny)
{
    struct od_cpu cpu;
    struct od_error err = {0};
    int32_t ids[TINY_TOKENS];
    int32_t positions[TINY_TOKENS];
    int32_t targets[TINY_TOKENS];
    static const int32_t segments[] = {0, 10, TINY_TOKENS};
    for (int32_t t = 0; t < TINY_TOKENS; t++) {
        ids[t] = (t * 31 + 7) % TINY_VOCAB;
        positions[t] = t < 10 ? t : t - 10;
        targets[t] = (t * 17 + 3) % TINY_VOCAB;
    }
    struct od_batch batch = {.tokens = TINY_TOKENS,
                             .ids = ids,
                             .positions = positions,
                             .segments = 2,
                             .segment_start = segments,
                             .targets = targets,
                             .loss_scale = 1.0F / (float)TINY_TOKENS,
                             .dropout_seed = 77,
                             .dropout_pass = 3,
                             .want_gradient = true};
    assert_ok(od_cpu_open(2, true, &cpu, &err), &err);
    for (int32_t i = 0; i < tiny->program.op_count; i++) {
        od_cpu_run(&cpu, &tiny->program.ops[i], tiny->arrays.tensor, &batch);
        if (tiny->program.ops[i].kind == OD_OP_HEAD_LOSS) {
            tiny->loss = batch.loss_sum;
        }
    }
    od_cpu_close(&cpu);
    assert_true(isfinite(tiny->loss));
}

/** Loss and all gradients are the same bits. */
static inline void tiny_assert_same(const struct tiny *a, const struct tiny *b)
{
    assert_memory_equal(&a->loss, &b->loss, sizeof a->loss);
    assert_int_equal(a->program.param_count, b->program.param_count);
    for (int32_t i = 0; i < a->program.param_count; i++) {
        const int32_t number = a->program.params[i].gradient;
        const struct od_tensor *t = &a->program.tensors[number];
        const int64_t count = t->rows * t->cols;
        const float *x = a->arrays.tensor[number];
        double norm = 0.0;
        for (int64_t j = 0; j < count; j++) {
            norm += (double)x[j] * (double)x[j];
        }
        assert_true(norm > 0.0 && isfinite(norm));
        assert_memory_equal(x, b->arrays.tensor[b->program.params[i].gradient],
                            (size_t)count * sizeof *x);
    }
}

#endif
