/**
 * @file
 * The recorded tiny Llama (tests/oracle/tiny_llama.py) as sessions see it.
 * @thread One owner.
 */
#ifndef OD_TESTS_TUNE_GOLDEN_LLAMA_H
#define OD_TESTS_TUNE_GOLDEN_LLAMA_H

#include <math.h>
#include <stdint.h>
#include <stdio.h>

#include "base/memory.h"
#include "data/dataset.h"
#include "formats/json.h"
#include "formats/safetensors.h"
#include "model/program.h"
#include "support.h"
#include "tune/recipe.h"
#include "tune/session.h"

/** Path of a file of the record. */
static inline const char *golden_llama(const char *name)
{
    char path[OD_PATH_MAX_BYTES];
    (void)snprintf(path, sizeof path, "tests/golden/oracle/tiny_llama/%s", name);
    return test_source(path);
}

/** The record's documents, as the data room would give them. */
static inline struct od_dataset golden_documents(const json_t *record)
{
    struct od_dataset data = {0};
    const json_t *list = json_object_get(record, "documents");
    const size_t count = json_array_size(list);
    data.ids = od_alloc(4096, sizeof *data.ids);
    data.label = od_alloc(4096, 1);
    data.offset = od_alloc(count + 1, sizeof *data.offset);
    assert_true(data.ids && data.label && data.offset && count > 0);
    int64_t at = 0;
    for (size_t d = 0; d < count; d++) {
        const json_t *one = json_array_get(list, d);
        const json_t *ids = json_object_get(one, "ids");
        for (size_t i = 0; i < json_array_size(ids); i++, at++) {
            data.ids[at] = (int32_t)json_integer_value(json_array_get(ids, i));
            data.label[at] =
                (uint8_t)json_integer_value(json_array_get(json_object_get(one, "label"), i));
            data.label_count += data.label[at];
        }
        data.offset[d + 1] = at;
    }
    data.count = (int64_t)count;
    return data;
}

/** The record's settings. Every step learns all six documents. */
static inline struct od_recipe golden_recipe(const json_t *record, enum od_method method,
                                             bool packing, int64_t accumulation)
{
    const json_t *settings = json_object_get(record, "settings");
    struct od_recipe recipe = {
        .base_model = golden_llama(""),
        .method = method,
        .lora_r = json_integer_value(json_object_get(settings, "lora_r")),
        .lora_alpha = json_number_value(json_object_get(settings, "lora_alpha")),
        .lora_target_count = 7,
        .sequence_len = 64,
        .sample_packing = packing,
        .micro_batch_size = 6 / accumulation,
        .gradient_accumulation_steps = accumulation,
        .max_steps = json_integer_value(json_object_get(settings, "steps")),
        .learning_rate = json_number_value(json_object_get(settings, "lr")),
        .lr_scheduler = OD_SCHEDULE_COSINE,
        .warmup_steps = json_integer_value(json_object_get(settings, "warmup")),
        .weight_decay = json_number_value(json_object_get(settings, "weight_decay")),
        .adam_beta1 = 0.9,
        .adam_beta2 = 0.999,
        .adam_epsilon = 1e-8,
        .max_grad_norm = json_number_value(json_object_get(settings, "max_grad_norm")),
        .seed = 3,
    };
    for (int i = 0; i < 7; i++) {
        recipe.lora_targets[i] = od_target_name(i);
    }
    return recipe;
}

// Parts of the session against a file: largest difference, and the largest change since the start.
static inline double largest_difference(const struct od_session *s, const struct od_part *parts,
                                        int32_t count, const char *path)
{
    struct od_safetensors *st = NULL;
    struct od_error err = {0};
    double worst = 0.0;
    assert_ok(od_safetensors_open(path, &st, &err), &err);
    for (int32_t i = 0; i < count; i++) {
        const struct od_tensor_info *info = od_safetensors_find(st, parts[i].name);
        assert_non_null(info);
        float *want = od_alloc((size_t)info->count, sizeof *want);
        assert_non_null(want);
        assert_ok(od_safetensors_read_f32(st, info, want, &err), &err);
        const float *got = s->arrays.tensor[parts[i].tensor] + parts[i].row * parts[i].cols;
        for (int64_t j = 0; j < info->count; j++) {
            const int64_t at =
                parts[i].transposed ? j % parts[i].rows * parts[i].cols + j / parts[i].rows : j;
            worst = fmax(worst, fabs((double)got[at] - (double)want[j]));
        }
        od_free(want);
    }
    od_safetensors_close(st);
    return worst;
}

#endif
