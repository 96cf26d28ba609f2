/**
 * @file
 * The recorded tiny Llama (tests/oracle/tiny_llama.py) as sessions see it.
 * @thread One owner.
 */
#ifndef OD_TESTS_TUNE_GOLDEN_LLAMA_H
#define OD_TESTS_TUNE_GOLDEN_LLAMA_H

#include <stdio.h>

#include "base/memory.h"
#include "data/dataset.h"
#include "formats/json.h"
#include "model/program.h"
#include "support.h"
#include "tune/recipe.h"

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

#endif
