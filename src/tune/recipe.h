/**
 * @file
 * A recipe: what to train, on what, how. YAML with the keys of axolotl and PEFT.
 *
 * One table says for each key: name, type, range, default, what it does; or that it is known and
 * has no effect here (a note), or nothing: an unknown key is an error with line, column and the
 * nearest known name. od_recipe_write writes every value, defaults too, in the table's order.
 *
 * @thread Re-entrant: distinct objects from distinct threads.
 */
#ifndef OD_TUNE_RECIPE_H
#define OD_TUNE_RECIPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"
#include "data/dataset.h"
#include "ops/op.h"

enum { OD_LORA_TARGETS_MAX = 16, OD_RECIPE_MAX_BYTES = 1 << 20 };

enum od_method { OD_METHOD_FULL, OD_METHOD_LORA };
enum od_schedule { OD_SCHEDULE_COSINE, OD_SCHEDULE_LINEAR, OD_SCHEDULE_CONSTANT };

struct od_recipe {
    // Model. Exactly one of these two: base_model: DIR, or base_model: {config: FILE, tokenizer: DIR}.
    const char *base_model;      ///< folder with weights; NULL when pre-training
    const char *base_config;     ///< config.json to pre-train from; NULL otherwise
    const char *base_tokenizer;  ///< folder of the tokenizer for base_config

    enum od_method method;                          ///< adapter: lora | (absent or null: full)
    enum od_quant quant;                            ///< of the frozen weights under an adapter
    int64_t lora_r;                                 ///< 16
    double lora_alpha;                              ///< 32
    double lora_dropout;                            ///< 0; below 1
    bool lora_rslora;                               ///< peft_use_rslora: false
    const char *lora_targets[OD_LORA_TARGETS_MAX];  ///< default: all seven linear layers of a block
    size_t lora_target_count;

    struct od_dataset_spec datasets[OD_DATASET_FILES_MAX];
    size_t dataset_count;
    int64_t sequence_len;                 ///< 2048
    bool sample_packing;                  ///< true
    bool train_on_inputs;                 ///< false
    int64_t micro_batch_size;             ///< 1: rows of sequence_len tokens per pass
    int64_t gradient_accumulation_steps;  ///< 1
    double num_epochs;                    ///< 1 (may be fractional)
    int64_t max_steps;                    ///< 0: from num_epochs

    const char *optimizer;          ///< adamw (adamw_torch is the same)
    double learning_rate;           ///< 2e-4
    enum od_schedule lr_scheduler;  ///< cosine
    int64_t warmup_steps;           ///< 0
    double weight_decay;            ///< 0; matrices only, never norms
    double adam_beta1;              ///< 0.9
    double adam_beta2;              ///< 0.999
    double adam_epsilon;            ///< 1e-8
    double max_grad_norm;           ///< 1; 0: no clipping
    uint64_t seed;                  ///< 42

    int64_t save_steps;         ///< 100; 0: only at the end
    int64_t save_total_limit;   ///< 2 checkpoints kept
    int64_t weight_hash_steps;  ///< 1: log the weight hash every N steps

    struct od_arena arena;  ///< owns every string
    size_t note_count;
    const char *notes[64];  ///< "key 'flash_attention' has no effect here: ..."
};

/** Parse a recipe file; relative paths in it are taken from the recipe's folder.
 *  @memory Gives: od_recipe_release. */
enum od_status od_recipe_read(const char *path, struct od_recipe *ret,
                              struct od_error *err) OD_MUST_CHECK;
/** The same from memory: `folder` is what relative paths start from, `name` stands in messages. */
enum od_status od_recipe_parse(const char *text, size_t size, const char *name, const char *folder,
                               struct od_recipe *ret, struct od_error *err) OD_MUST_CHECK;
void od_recipe_release(struct od_recipe *recipe);

/** YAML with every value written out; reading it back gives an equal recipe. */
enum od_status od_recipe_write(const struct od_recipe *recipe, struct od_buf *out,
                               struct od_error *err) OD_MUST_CHECK;

#endif
