#include "tune/recipe_table.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"
#include "data/dataset.h"
#include "tune/recipe.h"

/** Largest step, epoch and size numbers: far beyond use, far below what overflows. */
#define COUNT_MAX  1e12
/** Integers up to here are the same as doubles. */
#define EXACT_MAX  9007199254740991.0

#define AT(member) .offset = offsetof(struct od_recipe, member)
#define INT(member, low, high) \
    .kind = OD_RECIPE_INT, AT(member), .min = (double)(low), .max = (double)(high)
#define NUMBER(member, low, high) .kind = OD_RECIPE_NUMBER, AT(member), .min = (low), .max = (high)
#define BOOL(member)              .kind = OD_RECIPE_BOOL, AT(member)
#define NO_EFFECT(key, why)       {.name = (key), .kind = OD_RECIPE_NO_EFFECT, .help = (why)}
#define REFUSED(key, harmless, why) \
    {.name = (key), .kind = OD_RECIPE_REFUSED, .fallback = (harmless), .help = (why)}

static const char speed[] = "it changes speed or memory, not the result";
static const char logging[] = "the run directory holds the log";
static const char hub[] = "nothing is uploaded";
static const char no_eval[] = "no rows are held out while training; use 'oneday eval'";
static const char one_device[] = "training runs on one device";
static const char own_files[] = "the model's own files say it";
static const char saving[] = "'save_steps' and 'save_total_limit' say what is kept";
static const char not_built[] = "not built yet";

const struct od_recipe_key od_recipe_keys[] = {
    {.name = "base_model",
     .kind = OD_RECIPE_BASE_MODEL,
     .type = "folder, or config and tokenizer",
     .help = "Model to start from: a folder with weights, or `{config: FILE, tokenizer: DIR}` to "
             "pre-train from random weights"},
    {.name = "adapter",
     .kind = OD_RECIPE_ADAPTER,
     .fallback = "null",
     .type = "`lora` or null",
     .help = "`lora` trains low-rank matrices beside the frozen weights; null trains all weights"},
    {.name = "lora_r",
     .alias = "r",
     INT(lora_r, 1, 65536),
     .lora = true,
     .fallback = "16",
     .help = "Rank of the adapter"},
    {.name = "lora_alpha",
     NUMBER(lora_alpha, 0, 1e6),
     .above = true,
     .lora = true,
     .fallback = "32",
     .help = "Scale of the adapter: its product counts alpha / r"},
    {.name = "lora_dropout",
     NUMBER(lora_dropout, 0, 1),
     .lora = true,
     .fallback = "0",
     .help = "Dropout in front of the adapter; the parts of a fused layer share a mask"},
    {.name = "peft_use_rslora",
     .alias = "use_rslora",
     BOOL(lora_rslora),
     .lora = true,
     .fallback = "false",
     .help = "Scale by alpha / sqrt(r) instead"},
    {.name = "lora_target_modules",
     .alias = "target_modules",
     .kind = OD_RECIPE_TARGETS,
     .lora = true,
     .fallback = "[q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj]",
     .type = "list of names, or `all-linear`",
     .help = "Linear layers that get an adapter"},
    {.name = "lora_target_linear",
     .kind = OD_RECIPE_TARGET_LINEAR,
     .lora = true,
     .type = "true or false",
     .help = "true: adapters on all linear layers of a block, which is the default"},
    {.name = "datasets",
     .kind = OD_RECIPE_DATASETS,
     .type = "list of `{path, type, weight}`",
     .help = "Data files: `path` ends in .jsonl, .json or .txt (.gz behind it is fine), `type` is "
             "`input-output`, `alpaca` or `completion` (which .txt files are without saying), "
             "`weight` repeats (2) or takes a share (0.5) of the rows"},
    {.name = "sequence_len",
     INT(sequence_len, 2, OD_DATASET_SEQUENCE_LEN_MAX),
     .fallback = "2048",
     .help = "Tokens in a row; longer documents are left out, longer texts are split"},
    {.name = "sample_packing",
     BOOL(sample_packing),
     .fallback = "true",
     .help = "Put several documents into a row; none sees another"},
    {.name = "train_on_inputs",
     BOOL(train_on_inputs),
     .fallback = "false",
     .help = "Learn the prompts, too"},
    {.name = "micro_batch_size",
     .alias = "per_device_train_batch_size",
     INT(micro_batch_size, 1, 65536),
     .fallback = "1",
     .help = "Rows of sequence_len tokens in one pass"},
    {.name = "gradient_accumulation_steps",
     INT(gradient_accumulation_steps, 1, 65536),
     .fallback = "1",
     .help = "Passes in one step"},
    {.name = "num_epochs",
     .alias = "num_train_epochs",
     NUMBER(num_epochs, 0, 1e6),
     .above = true,
     .fallback = "1",
     .help = "How often the data is seen; may have a fraction"},
    {.name = "max_steps",
     INT(max_steps, 0, COUNT_MAX),
     .fallback = "0",
     .help = "Steps of the run; 0: from num_epochs"},
    {.name = "optimizer",
     .alias = "optim",
     .kind = OD_RECIPE_OPTIMIZER,
     .fallback = "adamw",
     .type = "`adamw` (`adamw_torch` and `adamw_torch_fused` are the same)",
     .help = "Optimiser"},
    {.name = "learning_rate",
     .alias = "lr",
     NUMBER(learning_rate, 0, 100),
     .above = true,
     .fallback = "0.0002",
     .help = "Highest learning rate"},
    {.name = "lr_scheduler",
     .alias = "lr_scheduler_type",
     .kind = OD_RECIPE_SCHEDULER,
     .fallback = "cosine",
     .type = "`cosine`, `linear` or `constant` (`constant_with_warmup` is the same)",
     .help = "How the learning rate falls behind the warm-up"},
    {.name = "warmup_steps",
     INT(warmup_steps, 0, COUNT_MAX),
     .fallback = "0",
     .help = "Steps in which the learning rate rises from 0"},
    {.name = "weight_decay",
     NUMBER(weight_decay, 0, 10),
     .fallback = "0",
     .help = "Decay of matrices; norms have none"},
    {.name = "adam_beta1",
     NUMBER(adam_beta1, 0, 0.9999999),
     .fallback = "0.9",
     .help = "Decay of the mean of gradients"},
    {.name = "adam_beta2",
     NUMBER(adam_beta2, 0, 0.9999999),
     .fallback = "0.999",
     .help = "Decay of the mean of squared gradients"},
    {.name = "adam_epsilon",
     NUMBER(adam_epsilon, 0, 1),
     .above = true,
     .fallback = "1e-08",
     .help = "Added to the root of the squared gradients"},
    {.name = "max_grad_norm",
     NUMBER(max_grad_norm, 0, 1e9),
     .fallback = "1",
     .help = "Longer gradients are scaled down to this norm; 0: never"},
    {.name = "seed",
     .kind = OD_RECIPE_SEED,
     AT(seed),
     .max = EXACT_MAX,
     .fallback = "42",
     .help = "Of random weights, of the order of the data and of shares of it"},
    {.name = "save_steps",
     INT(save_steps, 0, COUNT_MAX),
     .fallback = "100",
     .help = "A checkpoint every so many steps; 0: only at the end"},
    {.name = "save_total_limit",
     INT(save_total_limit, 1, 1e6),
     .fallback = "2",
     .help = "Checkpoints that are kept"},
    {.name = "weight_hash_steps",
     INT(weight_hash_steps, 0, COUNT_MAX),
     .fallback = "1",
     .help = "A hash of the weights goes into the log every so many steps; 0: never"},

    REFUSED("load_in_4bit", "false", not_built),
    REFUSED("load_in_8bit", "false", not_built),
    REFUSED("gptq", "false", not_built),
    REFUSED("neftune_noise_alpha", "0", not_built),
    REFUSED("noisy_embedding_alpha", "0", not_built),
    REFUSED("val_set_size", "0", "no rows are held out; give all rows, or a smaller 'weight'"),
    REFUSED("early_stopping_patience", "0", not_built),
    REFUSED("warmup_ratio", "0", "give 'warmup_steps'"),
    REFUSED("cosine_min_lr_ratio", "0", not_built),
    REFUSED("cosine_constant_lr_ratio", "0", not_built),
    REFUSED("lr_quadratic_warmup", "false", not_built),
    REFUSED("loraplus_lr_ratio", "1", not_built),
    REFUSED("lora_modules_to_save", "[]", not_built),
    REFUSED("modules_to_save", "[]", not_built),
    REFUSED("lora_model_dir", "null", not_built),
    REFUSED("lora_fan_in_fan_out", "false", not_built),
    REFUSED("lora_bias", "none", not_built),
    REFUSED("bias", "none", not_built),
    REFUSED("lora_layers_to_transform", "[]", not_built),
    REFUSED("layers_to_transform", "[]", not_built),
    REFUSED("peft_use_dora", "false", not_built),
    REFUSED("use_dora", "false", not_built),
    REFUSED("peft_init_lora_weights", "true", not_built),
    REFUSED("init_lora_weights", "true", not_built),
    REFUSED("relora_steps", "0", not_built),
    REFUSED("unfrozen_parameters", "[]", not_built),
    REFUSED("group_by_length", "false", "the order of the data is a seeded one"),
    REFUSED("curriculum_sampling", "false", "the order of the data is a seeded one"),
    REFUSED("shuffle_merged_datasets", "true", "the order of the data is a seeded one"),
    REFUSED("pretraining_dataset", "null", "give 'datasets' with 'type: completion'"),
    REFUSED("special_tokens", "{}", "the tokenizer's own special tokens are used"),
    REFUSED("tokens", "[]", not_built),
    REFUSED("added_tokens_overrides", "{}", not_built),
    REFUSED("chat_template", "null", "not built yet; write the template into the prompts"),
    REFUSED("rl", "null", not_built),
    REFUSED("reward_model", "false", not_built),
    REFUSED("plugins", "[]", not_built),
    REFUSED("resume_from_checkpoint", "null", "use 'oneday tune --resume'"),
    REFUSED("budget", "null", not_built),
    REFUSED("label_smoothing_factor", "0", not_built),
    REFUSED("rope_scaling", "null", "the model's config.json says it"),

    NO_EFFECT("flash_attention", speed),
    NO_EFFECT("xformers_attention", speed),
    NO_EFFECT("sdp_attention", speed),
    NO_EFFECT("flash_attn_cross_entropy", speed),
    NO_EFFECT("flash_attn_rms_norm", speed),
    NO_EFFECT("flash_attn_fuse_qkv", speed),
    NO_EFFECT("flash_attn_fuse_mlp", speed),
    NO_EFFECT("attn_implementation", speed),
    NO_EFFECT("gradient_checkpointing", speed),
    NO_EFFECT("gradient_checkpointing_kwargs", speed),
    NO_EFFECT("torch_compile", speed),
    NO_EFFECT("torch_compile_backend", speed),
    NO_EFFECT("pad_to_sequence_len", speed),
    NO_EFFECT("sample_packing_eff_est", speed),
    NO_EFFECT("total_num_tokens", speed),
    NO_EFFECT("dataset_prepared_path", speed),
    NO_EFFECT("dataset_processes", speed),
    NO_EFFECT("dataloader_num_workers", speed),
    NO_EFFECT("dataloader_pin_memory", speed),
    NO_EFFECT("lora_mlp_kernel", speed),
    NO_EFFECT("lora_qkv_kernel", speed),
    NO_EFFECT("lora_o_kernel", speed),
    NO_EFFECT("low_cpu_mem_usage", speed),
    NO_EFFECT("max_memory", speed),
    NO_EFFECT("gpu_memory_limit", speed),
    NO_EFFECT("bf16", "weights in training are float32 here"),
    NO_EFFECT("fp16", "weights in training are float32 here"),
    NO_EFFECT("tf32", "weights in training are float32 here"),
    NO_EFFECT("float16", "weights in training are float32 here"),
    NO_EFFECT("bfloat16", "weights in training are float32 here"),
    NO_EFFECT("torch_dtype", "weights in training are float32 here"),
    NO_EFFECT("logging_steps", "every step is logged"),
    NO_EFFECT("report_to", logging),
    NO_EFFECT("wandb_project", logging),
    NO_EFFECT("wandb_entity", logging),
    NO_EFFECT("wandb_watch", logging),
    NO_EFFECT("wandb_name", logging),
    NO_EFFECT("wandb_run_id", logging),
    NO_EFFECT("wandb_log_model", logging),
    NO_EFFECT("wandb_mode", logging),
    NO_EFFECT("mlflow_tracking_uri", logging),
    NO_EFFECT("mlflow_experiment_name", logging),
    NO_EFFECT("use_tensorboard", logging),
    NO_EFFECT("debug", logging),
    NO_EFFECT("loss_watchdog_threshold", logging),
    NO_EFFECT("loss_watchdog_patience", logging),
    NO_EFFECT("hub_model_id", hub),
    NO_EFFECT("hub_strategy", hub),
    NO_EFFECT("hub_token", hub),
    NO_EFFECT("hf_use_auth_token", hub),
    NO_EFFECT("push_to_hub", hub),
    NO_EFFECT("push_dataset_to_hub", hub),
    NO_EFFECT("output_dir", "'oneday tune -o DIR' says where the run goes"),
    NO_EFFECT("eval_steps", no_eval),
    NO_EFFECT("evals_per_epoch", no_eval),
    NO_EFFECT("evaluation_strategy", no_eval),
    NO_EFFECT("eval_strategy", no_eval),
    NO_EFFECT("eval_batch_size", no_eval),
    NO_EFFECT("per_device_eval_batch_size", no_eval),
    NO_EFFECT("eval_sample_packing", no_eval),
    NO_EFFECT("eval_table_size", no_eval),
    NO_EFFECT("eval_max_new_tokens", no_eval),
    NO_EFFECT("eval_causal_lm_metrics", no_eval),
    NO_EFFECT("do_bench_eval", no_eval),
    NO_EFFECT("load_best_model_at_end", no_eval),
    NO_EFFECT("metric_for_best_model", no_eval),
    NO_EFFECT("test_datasets", no_eval),
    NO_EFFECT("saves_per_epoch", saving),
    NO_EFFECT("save_strategy", saving),
    NO_EFFECT("save_safetensors", saving),
    NO_EFFECT("save_only_model", saving),
    NO_EFFECT("auto_resume_from_checkpoints", "use 'oneday tune --resume'"),
    NO_EFFECT("deepspeed", one_device),
    NO_EFFECT("fsdp", one_device),
    NO_EFFECT("fsdp_config", one_device),
    NO_EFFECT("ddp_timeout", one_device),
    NO_EFFECT("local_rank", one_device),
    NO_EFFECT("device_map", one_device),
    NO_EFFECT("model_type", own_files),
    NO_EFFECT("tokenizer_type", own_files),
    NO_EFFECT("tokenizer_use_fast", own_files),
    NO_EFFECT("tokenizer_legacy", own_files),
    NO_EFFECT("base_model_config", own_files),
    NO_EFFECT("tokenizer_config", own_files),
    NO_EFFECT("is_llama_derived_model", own_files),
    NO_EFFECT("is_mistral_derived_model", own_files),
    NO_EFFECT("is_falcon_derived_model", own_files),
    NO_EFFECT("trust_remote_code", "no code is taken from a model"),
    NO_EFFECT("revision_of_model", "models are read from folders"),
    NO_EFFECT("task_type", "models here are causal language models"),
    NO_EFFECT("inference_mode", "a recipe is for training"),
    NO_EFFECT("strict", "unknown keys are always errors"),
};
const size_t od_recipe_key_count = sizeof od_recipe_keys / sizeof od_recipe_keys[0];

const struct od_recipe_key *od_recipe_key_find(const char *name)
{
    for (size_t i = 0; i < od_recipe_key_count; i++) {
        const struct od_recipe_key *key = &od_recipe_keys[i];
        if (strcmp(key->name, name) == 0 || (key->alias && strcmp(key->alias, name) == 0)) {
            return key;
        }
    }
    return NULL;
}

static bool is_honoured(const struct od_recipe_key *key)
{
    return key->kind != OD_RECIPE_NO_EFFECT && key->kind != OD_RECIPE_REFUSED;
}

const char *od_recipe_key_nearest(const char *name)
{
    const char *names[sizeof od_recipe_keys / sizeof od_recipe_keys[0]];
    size_t count = 0;
    for (size_t i = 0; i < od_recipe_key_count; i++) {
        if (is_honoured(&od_recipe_keys[i])) {
            names[count++] = od_recipe_keys[i].name;
        }
    }
    return od_nearest_name(name, names, count);
}

static void put_type(struct od_buf *out, const struct od_recipe_key *key)
{
    char low[OD_NUMBER_BYTES];
    char high[OD_NUMBER_BYTES];
    if (key->type) {
        od_buf_puts(out, key->type);
    } else if (key->kind == OD_RECIPE_BOOL) {
        od_buf_puts(out, "true or false");
    } else if (key->kind == OD_RECIPE_NUMBER) {
        od_double_text(key->min, low);
        od_double_text(key->max, high);
        od_buf_printf(out, "number, %s %s, at most %s", key->above ? "above" : "at least", low,
                      high);
    } else {
        od_buf_printf(out, "integer, %.0f to %.0f", key->min, key->max);
    }
}

static void put_rows(struct od_buf *out, enum od_recipe_kind kind)
{
    for (size_t i = 0; i < od_recipe_key_count; i++) {
        const struct od_recipe_key *key = &od_recipe_keys[i];
        if (key->kind == kind) {
            od_buf_printf(out, "| `%s` |", key->name);
            if (kind == OD_RECIPE_REFUSED) {
                od_buf_printf(out, " `%s` |", key->fallback);
            }
            od_buf_printf(out, " %s |\n", key->help);
        }
    }
}

void od_recipe_reference(struct od_buf *out)
{
    od_buf_puts(
        out,
        "# Keys of a recipe\n\n"
        "A recipe is one YAML file for `oneday tune` and `oneday plan`. Its keys are those of "
        "axolotl and PEFT.\nRelative paths start at the recipe's folder. An unknown key is an "
        "error that names its line, its column\nand the nearest key. The run directory gets the "
        "recipe with every default written out.\n\n"
        "## Keys that are honoured\n\n"
        "| key | also called | value | default | what it does |\n|---|---|---|---|---|\n");
    for (size_t i = 0; i < od_recipe_key_count; i++) {
        const struct od_recipe_key *key = &od_recipe_keys[i];
        if (!is_honoured(key)) {
            continue;
        }
        od_buf_printf(out, "| `%s` | ", key->name);
        if (key->alias) {
            od_buf_printf(out, "`%s` ", key->alias);
        }
        od_buf_puts(out, "| ");
        put_type(out, key);
        if (key->fallback) {
            od_buf_printf(out, " | `%s` | %s |\n", key->fallback, key->help);
        } else {
            od_buf_printf(out, " | | %s |\n", key->help);
        }
    }
    od_buf_puts(out,
                "\n## Keys that would change the result\n\n"
                "They are taken with an empty value or the value shown, and refused with any "
                "other.\n\n| key | taken | why |\n|---|---|---|\n");
    put_rows(out, OD_RECIPE_REFUSED);
    od_buf_puts(out,
                "\n## Keys that have no effect\n\n"
                "They are taken with any value; one line says so.\n\n| key | why |\n"
                "|---|---|\n");
    put_rows(out, OD_RECIPE_NO_EFFECT);
}
