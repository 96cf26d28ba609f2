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
#include "model/program.h"
#include "ops/op.h"

enum { OD_LORA_TARGETS_MAX = 16, OD_RECIPE_MAX_BYTES = 1 << 20, OD_RECIPE_NOTES_MAX = 64 };

enum od_method { OD_METHOD_FULL, OD_METHOD_LORA };

/** How the learning rate goes on behind the warm-up; see tune/schedule.h for the formulas. */
enum od_schedule {
    OD_SCHEDULE_COSINE,
    OD_SCHEDULE_LINEAR,
    OD_SCHEDULE_CONSTANT,  ///< without warm-up
    OD_SCHEDULE_CONSTANT_WITH_WARMUP,
    OD_SCHEDULE_WARMUP_STABLE_DECAY,  ///< lr_decay_steps at the end
    OD_SCHEDULE_DECAY_PER_EPOCH       ///< times lr_gamma after each epoch
};
enum { OD_SCHEDULE_COUNT = OD_SCHEDULE_DECAY_PER_EPOCH + 1 };

/** The shape of warmup_stable_decay's end. */
enum od_decay { OD_DECAY_COSINE, OD_DECAY_LINEAR, OD_DECAY_ONE_MINUS_SQRT };
enum { OD_DECAY_COUNT = OD_DECAY_ONE_MINUS_SQRT + 1 };

/** What says when something (an evaluation, a checkpoint) is due. */
enum od_due {
    OD_DUE_DEFAULT,  ///< the number of steps when it is given, else each epoch
    OD_DUE_STEPS,
    OD_DUE_EPOCH,
    OD_DUE_NEVER,
    OD_DUE_BEST  ///< checkpoints only: when an evaluation was the best
};
enum { OD_DUE_COUNT = OD_DUE_BEST + 1 };

/** What a run may take; 0: no limit. */
struct od_recipe_budget {
    double time_s;  ///< of all processes of the run together, export included
    uint64_t vram_bytes;
    uint64_t ram_bytes;
    uint64_t disk_bytes;  ///< of the run directory
};

/** What a run writes into export/ besides its adapter or model, bits of `export:`. */
enum od_recipe_export {
    OD_RECIPE_MERGED = 1 << 0,        ///< merged/: base and adapter as one model folder, bf16
    OD_RECIPE_GGUF_F16 = 1 << 1,      ///< gguf-f16.gguf: the model
    OD_RECIPE_GGUF_BF16 = 1 << 2,     ///< gguf-bf16.gguf
    OD_RECIPE_GGUF_Q8_0 = 1 << 3,     ///< gguf-q8_0.gguf
    OD_RECIPE_ADAPTER_GGUF = 1 << 4,  ///< adapter-gguf.gguf
    OD_RECIPE_GGUF = 7 << 1,
    OD_RECIPE_WHOLE = 15  ///< those that an adapter must be merged for
};
enum { OD_RECIPE_EXPORTS = 5 };
/** Names in bit order: "merged", "gguf-f16" ... */
const char *od_recipe_export_name(int index);

struct od_recipe {
    // Model. Exactly one of these two: base_model: DIR, or base_model: {config: FILE, tokenizer: DIR}.
    const char *base_model;      ///< folder with weights or GGUF file; NULL when pre-training
    const char *base_config;     ///< config.json to pre-train from; NULL otherwise
    const char *base_tokenizer;  ///< folder of the tokenizer for base_config

    enum od_method method;     ///< adapter: lora | (absent or null: full)
    enum od_quant quant;       ///< of the frozen weights under an adapter
    int64_t lora_r;            ///< 16
    double lora_alpha;         ///< 32
    double lora_dropout;       ///< 0; below 1
    bool lora_rslora;          ///< peft_use_rslora: false
    bool lora_fan_in_fan_out;  ///< false; true is for gpt2
    /** Default: all seven linear layers of a block, which may stand beside as many as are named. */
    const char *lora_targets[OD_LORA_TARGETS_MAX + 7];
    size_t lora_target_count;
    unsigned lora_saved;              ///< lora_modules_to_save, bits of enum od_saved
    bool lora_tied;                   ///< peft_ensure_weight_tying: false
    struct od_layer_set lora_layers;  ///< peft_layers_to_transform; none: all

    const char *chat_template;  ///< of conversations whose file names none; NULL: the model's own
    const char *chat_template_jinja;  ///< instead: Jinja text, with `chat_template: jinja`
    struct od_dataset_spec datasets[OD_DATASET_FILES_MAX];
    size_t dataset_count;
    double
        val_set_size;  ///< 0: nothing is held out; below 1: a share of the documents; else so many
    struct od_dataset_spec test_datasets[OD_DATASET_FILES_MAX];  ///< instead: files to evaluate on
    size_t test_dataset_count;
    int64_t sequence_len;                 ///< 2048
    bool sample_packing;                  ///< true
    bool train_on_inputs;                 ///< false
    int64_t micro_batch_size;             ///< 1: rows of sequence_len tokens per pass
    int64_t gradient_accumulation_steps;  ///< 1
    double num_epochs;                    ///< 1 (may be fractional)
    int64_t max_steps;                    ///< 0: from num_epochs

    bool bf16_weights;                ///< weights: bf16-stochastic; false: float32
    const char *optimizer;            ///< adamw (the same: adamw_torch), or adamw_8bit
    double learning_rate;             ///< 2e-4
    enum od_schedule lr_scheduler;    ///< cosine
    double cosine_min_lr_ratio;       ///< 0; cosine ends at this share of learning_rate
    double cosine_constant_lr_ratio;  ///< 0: none; cosine ends after this share of the run
    double lr_min_ratio;              ///< kwargs' min_lr_ratio, of warmup_stable_decay
    int64_t lr_decay_steps;           ///< kwargs' num_decay_steps
    enum od_decay lr_decay;           ///< kwargs' decay_type
    double lr_gamma;                  ///< kwargs' gamma
    int64_t warmup_steps;             ///< 0
    double warmup_ratio;              ///< 0; of the steps of the run, when warmup_steps is 0
    double weight_decay;              ///< 0; matrices only, never norms
    double adam_beta1;                ///< 0.9
    double adam_beta2;                ///< 0.999
    double adam_epsilon;              ///< 1e-8
    double max_grad_norm;             ///< 1; 0: no clipping
    double neftune_noise_alpha;       ///< 0: no noise
    uint64_t seed;                    ///< 42

    enum od_due eval_strategy;        ///< OD_DUE_DEFAULT
    double eval_steps;                ///< 0; below 1: a share of the run
    int64_t evals_per_epoch;          ///< 0
    enum od_due save_strategy;        ///< OD_DUE_DEFAULT
    double save_steps;                ///< 100; below 1: a share of the run; 0: only at the end
    int64_t saves_per_epoch;          ///< 0
    int64_t save_total_limit;         ///< 2 checkpoints kept
    bool load_best_model_at_end;      ///< false
    int64_t early_stopping_patience;  ///< 0: none; evaluations without a better one
    int64_t weight_hash_steps;        ///< 1: log the weight hash every N steps
    bool use_tensorboard;             ///< false; event files beside the log

    const char *lora_model_dir;  ///< folder of an adapter to go on from; NULL: a fresh one
    const char *bos_token;       ///< special_tokens; NULL: the tokenizer's own
    const char *eos_token;
    unsigned exports;        ///< bits of enum od_recipe_export
    const char *merge_base;  ///< "w16" or "dequant"; NULL where nothing was said
    struct od_recipe_budget budget;

    struct od_arena arena;  ///< owns every string
    size_t note_count;
    const char *notes[OD_RECIPE_NOTES_MAX];  ///< "key 'flash_attention' has no effect here: ..."
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
