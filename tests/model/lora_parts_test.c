// Goal: adapters on some layers, and embedding and head in full beside them, are trained where a recipe
// asks for it, and nothing else.
// Method: with B zero an adapter changes nothing, so a pass with adapters on some layers has the loss
// of one with adapters on all, to the bit, and the same gradients where it has an adapter; the layers
// in front of the first one have no backward pass. The gradients of embedding and head are those of
// full tuning, which tests/tune/trajectory_test.c compares with torch's.

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/status.h"
#include "formats/dtype.h"
#include "model/program.h"
#include "model/spec.h"
#include "model/tiny_program.h"
#include "model/weights.h"
#include "ops/adamw/rounding.h"
#include "ops/op.h"
#include "support.h"

// B as an adapter starts: zero.
static void start(struct tiny *tiny, const struct od_spec *spec, struct od_program_options options)
{
    tiny_build_of(tiny, spec, options);
    for (int32_t i = 0; i < tiny->program.adapter_count; i++) {
        const struct od_part *part = &tiny->program.adapters[i];
        if (strstr(part->name, ".lora_B.")) {
            memset(tiny->arrays.tensor[part->tensor] + part->row * part->cols, 0,
                   (size_t)(part->rows * part->cols) * sizeof(float));
        }
    }
}

// A starts with a number of its own in each program: take those of `from`, by name.
static void take_adapters(struct tiny *to, const struct tiny *from)
{
    for (int32_t i = 0; i < to->program.adapter_count; i++) {
        const struct od_part *part = &to->program.adapters[i];
        const struct od_part *other = NULL;
        for (int32_t j = 0; j < from->program.adapter_count; j++) {
            if (strcmp(from->program.adapters[j].name, part->name) == 0) {
                other = &from->program.adapters[j];
            }
        }
        if (!other) {
            fail_msg("'%s' is in one program only", part->name);
            return;
        }
        memcpy(to->arrays.tensor[part->tensor] + part->row * part->cols,
               from->arrays.tensor[other->tensor] + other->row * other->cols,
               (size_t)(part->rows * part->cols) * sizeof(float));
    }
}

static const float *gradient(const struct tiny *tiny, const char *name, size_t *ret_bytes)
{
    for (int32_t i = 0; i < tiny->program.param_count; i++) {
        const struct od_param *param = &tiny->program.params[i];
        const struct od_tensor *t = &tiny->program.tensors[param->tensor];
        if (strcmp(t->name, name) == 0) {
            *ret_bytes = (size_t)(t->rows * t->cols) * sizeof(float);
            return tiny->arrays.tensor[param->gradient];
        }
    }
    return NULL;
}

// Each gradient of `some` is one of `all`.
static void assert_gradients(const struct tiny *some, const struct tiny *all)
{
    assert_true(some->program.param_count > 0);
    for (int32_t i = 0; i < some->program.param_count; i++) {
        const char *name = some->program.tensors[some->program.params[i].tensor].name;
        size_t bytes = 0;
        size_t other_bytes = 0;
        const float *g = gradient(some, name, &bytes);
        const float *want = gradient(all, name, &other_bytes);
        if (!want || bytes != other_bytes || memcmp(g, want, bytes) != 0) {
            fail_msg("the gradient of '%s' is another", name);
        }
    }
}

static void some_layers(void **state)
{
    (void)state;
    struct od_program_options options = {.mode = OD_PROGRAM_TRAIN_LORA};
    struct tiny all;
    start(&all, &tiny_spec, options);
    tiny_run(&all);
    for (unsigned layers = 1; layers < 1u << tiny_spec.layers; layers++) {
        struct tiny some;
        int64_t count = 0;
        int64_t first = -1;
        options.lora_layers = (struct od_layer_set){.bits = {layers}};
        for (int64_t i = 0; i < tiny_spec.layers; i++) {
            const bool named = (layers >> i & 1u) != 0;
            assert_int_equal(od_layer_set_has(&options.lora_layers, i), named);
            first = first < 0 && named ? i : first;
            count += named;
        }
        start(&some, &tiny_spec, options);
        take_adapters(&some, &all);
        tiny_run(&some);
        assert_memory_equal(&some.loss, &all.loss, sizeof all.loss);
        assert_gradients(&some, &all);
        assert_int_equal(some.program.adapter_count, 2 * 7 * count);
        int64_t attention_bwd = 0;
        for (int32_t i = 0; i < some.program.op_count; i++) {
            attention_bwd += some.program.ops[i].kind == OD_OP_ATTENTION_BWD;
        }
        assert_int_equal(attention_bwd, tiny_spec.layers - first);
        tiny_release(&some);
    }
    tiny_release(&all);
}

static void layers_that_do_not_exist(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_program program;
    struct od_program_options options = {.mode = OD_PROGRAM_TRAIN_LORA,
                                         .tokens = TINY_TOKENS,
                                         .threads = 1,
                                         .lora_r = 4,
                                         .lora_targets = OD_TARGET_ALL};
    assert_int_equal(od_layer_set_last(&options.lora_layers), -1);
    assert_true(od_layer_set_has(&options.lora_layers, OD_SPEC_LAYERS_MAX - 1));
    od_layer_set_add(&options.lora_layers, 3);
    assert_int_equal(od_layer_set_last(&options.lora_layers), 3);
    assert_int_equal(od_program_build(&tiny_spec, &options, &program, &err), OD_E_ARGUMENT);
    assert_non_null(strstr(err.message, "layer 3"));
}

static struct od_spec two_tables(void)
{
    struct od_spec spec = tiny_spec;
    spec.tied = false;
    return spec;
}

// Embedding, head or both, with adapters on all layers or on the last one.
static void saved_modules(void **state)
{
    (void)state;
    const struct od_spec spec = two_tables();
    struct tiny full;
    start(&full, &spec, (struct od_program_options){.mode = OD_PROGRAM_TRAIN_FULL});
    tiny_run(&full);
    for (unsigned i = 1; i < 8; i++) {
        struct od_program_options options = {
            .mode = OD_PROGRAM_TRAIN_LORA, .quant = OD_QUANT_NONE, .saved = i & 3u};
        struct tiny some;
        if ((i & 4u) != 0) {
            od_layer_set_add(&options.lora_layers, 2);
        }
        start(&some, &spec, options);
        tiny_run(&some);
        assert_memory_equal(&some.loss, &full.loss, sizeof full.loss);
        for (unsigned module = 0; module < OD_SAVED_NAMES; module++) {
            static const char *const names[] = {"embedding", "head"};
            const bool saved = (options.saved >> module & 1u) != 0;
            size_t bytes = 0;
            size_t full_bytes = 0;
            const float *g = gradient(&some, names[module], &bytes);
            const float *want = gradient(&full, names[module], &full_bytes);
            assert_int_equal(g != NULL, saved);
            if (saved) {
                assert_int_equal(bytes, full_bytes);
                assert_memory_equal(g, want, bytes);
            }
        }
        const int32_t saved_count = (int32_t)((i & 1u) + (i >> 1 & 1u));
        const int32_t layers = (i & 4u) != 0 ? 1 : (int32_t)spec.layers;
        assert_int_equal(some.program.adapter_count, 2 * 7 * layers + saved_count);
        assert_int_equal(some.program.param_count, 2 * 4 * layers + saved_count);
        tiny_release(&some);
    }
    tiny_release(&full);
}

static void modules_that_cannot_be_saved(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_program program;
    const struct od_spec spec = two_tables();
    struct od_program_options options = {.mode = OD_PROGRAM_TRAIN_LORA,
                                         .tokens = TINY_TOKENS,
                                         .threads = 1,
                                         .lora_r = 4,
                                         .lora_targets = OD_TARGET_ALL,
                                         .saved = OD_SAVED_HEAD};
    assert_int_equal(od_program_build(&tiny_spec, &options, &program, &err), OD_E_ARGUMENT);
    options.mode = OD_PROGRAM_TRAIN_FULL;
    assert_int_equal(od_program_build(&spec, &options, &program, &err), OD_E_ARGUMENT);
    assert_int_equal(od_saved_bit("embed_tokens"), OD_SAVED_EMBEDDING);
    assert_int_equal(od_saved_bit("lm_head"), OD_SAVED_HEAD);
    assert_int_equal(od_saved_bit("norm"), 0);
}

// PEFT starts the embedding's A at zero and its B as normal(0, 1); the head as any linear layer.
static void outer_starts(void **state)
{
    (void)state;
    struct tiny tiny;
    double sum = 0.0;
    double squares = 0.0;
    struct od_program_options options = {.mode = OD_PROGRAM_TRAIN_LORA, .quant = OD_QUANT_NONE};
    start(&tiny, &tiny_spec, options);
    const int32_t in_blocks = tiny.program.adapter_count;
    tiny_release(&tiny);
    options.lora_targets = OD_TARGET_EMBED | OD_TARGET_HEAD;
    start(&tiny, &tiny_spec, options);
    assert_int_equal(tiny.program.adapter_count, in_blocks + 4);
    od_adapters_init(&tiny.program, tiny.arrays.tensor, 7);
    for (int32_t i = 0; i < tiny.program.adapter_count; i++) {
        const struct od_part *part = &tiny.program.adapters[i];
        const float *x = tiny.arrays.tensor[part->tensor];
        const int64_t count = part->rows * part->cols;
        if (strstr(part->name, "embed_tokens.lora_embedding_A") ||
            strstr(part->name, "lm_head.lora_B")) {
            assert_int_equal(part->rows, tiny_spec.vocab);
            for (int64_t j = 0; j < count; j++) {
                assert_true(x[j] == 0.0F);
            }
        } else if (strstr(part->name, "embed_tokens.lora_embedding_B")) {
            assert_int_equal(part->rows, tiny_spec.channels);
            for (int64_t j = 0; j < count; j++) {
                sum += (double)x[j] / (double)count;
                squares += (double)x[j] * (double)x[j] / (double)count;
            }
        }
    }
    assert_true(fabs(sum) < 0.5 && squares > 0.5 && squares < 1.6);
    tiny_release(&tiny);
}

// The weights of a program that lie below its outer adapters, as PEFT saves them: its adapters, then these.
static void write_peft(const struct od_program *p, float *const *tensors, float *const below[2],
                       const char *path)
{
    enum { PARTS_MAX = 64 };
    static struct od_part parts[PARTS_MAX];
    struct od_error err = {0};
    const int32_t count = p->adapter_count;
    float **from = calloc((size_t)p->tensor_count + 2, sizeof *from);
    assert_non_null(from);
    assert_true(count + 2 <= PARTS_MAX);
    memcpy(from, tensors, (size_t)p->tensor_count * sizeof *from);
    memcpy(parts, p->adapters, (size_t)count * sizeof *parts);
    for (int i = 0; i < 2; i++) {
        from[p->tensor_count + i] = below[i];
        parts[count + i] = (struct od_part){.tensor = p->tensor_count + i,
                                            .rows = p->spec.vocab,
                                            .cols = p->spec.channels,
                                            .rank = 2};
        (void)snprintf(parts[count + i].name, sizeof parts[0].name, "base_model.model.%s%s",
                       i == 0 ? "model.embed_tokens" : "lm_head", ".base_layer.weight");
    }
    assert_ok(od_parts_write(parts, count + 2, from, path, OD_DTYPE_F32, &err), &err);
    free(from);
}

// A program in bf16 takes an adapter whose base is its own up to rounding, and refuses another one, or one
// that it cannot compare.
static void bases_in_bf16(void **state)
{
    (void)state;
    for (int tied = 0; tied < 2; tied++) {
        struct od_error err = {0};
        struct od_program program;
        char path[OD_PATH_MAX_BYTES];
        struct od_spec spec = tiny_spec;
        const struct od_program_options options = {.mode = OD_PROGRAM_TRAIN_LORA,
                                                   .half = true,
                                                   .tokens = TINY_TOKENS,
                                                   .threads = 1,
                                                   .lora_r = 4,
                                                   .lora_scale = 1.0F,
                                                   .lora_targets =
                                                       OD_TARGET_EMBED | OD_TARGET_HEAD};
        const size_t count = (size_t)(spec.vocab * spec.channels);
        float *below[2] = {malloc(count * sizeof(float)), malloc(count * sizeof(float))};
        float *table[2] = {malloc(count * sizeof(float)), malloc(count * sizeof(float))};
        assert_true(below[0] && below[1] && table[0] && table[1]);
        spec.tied = tied == 1;
        assert_ok(od_program_build(&spec, &options, &program, &err), &err);
        assert_ok(od_path_join(path, test_folder(), "adapter.safetensors", &err), &err);
        float **tensors = calloc((size_t)program.tensor_count, sizeof *tensors);
        assert_non_null(tensors);
        for (int32_t i = 0; i < program.adapter_count; i++) {
            const struct od_part *part = &program.adapters[i];
            tensors[part->tensor] = calloc((size_t)(part->rows * part->cols), sizeof(float));
            assert_non_null(tensors[part->tensor]);
        }
        for (size_t i = 0; i < 2 * count; i++) {
            const float x = 0.01F * (float)(i % count) + (tied == 1 ? 0.0F : (float)(i / count));
            below[i / count][i % count] = x;
            table[i / count][i % count] = od_round_to_nearest(x);
        }
        for (int32_t i = 0; i < program.weight_count; i++) {
            const char *name = program.weights[i].name;
            if (strcmp(name, "model.embed_tokens.weight") == 0) {
                tensors[program.weights[i].tensor] = table[0];
            } else if (strcmp(name, "lm_head.weight") == 0) {
                tensors[program.weights[i].tensor] = table[1];
            }
        }
        write_peft(&program, tensors, below, path);
        assert_ok(od_adapter_read(&program, tensors, path, &err), &err);
        below[1][count - 1] *= 1.01F;
        write_peft(&program, tensors, below, path);
        assert_int_equal(od_adapter_read(&program, tensors, path, &err), OD_E_REFUSED);
        assert_non_null(strstr(err.message, "lm_head.base_layer.weight"));
        tensors[program.weights[0].tensor] = NULL;
        assert_int_equal(od_adapter_read(&program, tensors, path, &err),
                         tied == 1 ? OD_E_FORMAT : OD_E_REFUSED);
        for (int32_t i = 0; i < program.adapter_count; i++) {
            free(tensors[program.adapters[i].tensor]);
        }
        for (int i = 0; i < 2; i++) {
            free(below[i]);
            free(table[i]);
        }
        free(tensors);
        od_program_release(&program);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(some_layers),   cmocka_unit_test(layers_that_do_not_exist),
        cmocka_unit_test(saved_modules), cmocka_unit_test(modules_that_cannot_be_saved),
        cmocka_unit_test(outer_starts),  cmocka_unit_test(bases_in_bf16)};
    return cmocka_run_group_tests_name("model/lora_parts", tests, NULL, NULL);
}
