#include "tune/session.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/status.h"
#include "base/threads.h"
#include "data/dataset.h"
#include "data/pack.h"
#include "formats/gguf.h"
#include "model/gguf_model.h"
#include "model/program.h"
#include "model/spec.h"
#include "model/weights.h"
#include "ops/adamw/adamw_8bit.h"
#include "ops/adamw/adamw_cuda.h"
#include "ops/adamw/rounding.h"
#include "ops/cpu.h"
#include "ops/gpu.h"
#include "ops/kernels.h"
#include "ops/op.h"
#include "plan/fit.h"
#include "plan/plan.h"
#include "text/tokenizer.h"
#include "tune/holdout.h"
#include "tune/recipe.h"
#include "tune/schedule.h"
#include "tune/session_internal.h"

// Lengths that a refusal suggests are multiples of this.
enum { LENGTH_STEP = 64 };

static enum od_status read_spec(const struct od_recipe *recipe, struct od_spec *ret,
                                struct od_error *err)
{
    char path[OD_PATH_MAX_BYTES];
    if (recipe->base_config) {
        return od_spec_read(recipe->base_config, ret, err);
    }
    if (od_gguf_is_path(recipe->base_model)) {
        return od_spec_read_gguf(recipe->base_model, ret, err);
    }
    if (!od_path_exists(recipe->base_model)) {
        return od_fail(err, OD_E_NOT_FOUND,
                       "base_model: there is no folder or GGUF file '%s'; nothing is downloaded "
                       "here: fetch the model (hf download NAME --local-dir DIR) and give DIR",
                       recipe->base_model);
    }
    const enum od_status status = od_path_join(path, recipe->base_model, "config.json", err);
    return status == OD_OK ? od_spec_read(path, ret, err) : status;
}

enum od_status od_session_spec(const struct od_recipe *recipe, struct od_spec *ret,
                               struct od_error *err)
{
    const enum od_status status = read_spec(recipe, ret, err);
    if (status == OD_OK && recipe->method == OD_METHOD_LORA && recipe->lora_saved != 0 &&
        !recipe->lora_tied) {
        od_spec_untie(ret);  // what is trained of the one leaves the other as it is
    }
    return status;
}

// The layers that get an adapter.
static enum od_status set_targets(const struct od_recipe *recipe, const struct od_spec *spec,
                                  struct od_program_options *options, struct od_error *err)
{
    const unsigned outer = od_spec_outer_targets(spec);
    for (size_t i = 0; i < recipe->lora_target_count; i++) {
        const unsigned bit = od_target_bit(recipe->lora_targets[i]);
        if (bit == 0) {
            return od_fail(err, OD_E_ARGUMENT,
                           "lora_target_modules: '%.60s' is no linear layer of this model",
                           recipe->lora_targets[i]);
        }
        options->lora_targets |= bit;
    }
    // All of Llama's stand for all linear layers, whatever a family calls them.
    if ((options->lora_targets & OD_TARGET_ALL) == OD_TARGET_ALL) {
        options->lora_targets &= ~(unsigned)OD_TARGET_ALL;
        options->lora_targets |= od_spec_targets(spec);
    }
    if ((options->lora_targets & ~(od_spec_targets(spec) | outer)) != 0) {
        return od_fail(err, OD_E_ARGUMENT,
                       "lora_target_modules names layers that a %s model does not have",
                       spec->family);
    }
    if ((options->lora_targets & outer) != 0 && od_layer_set_last(&recipe->lora_layers) >= 0) {
        return od_fail(err, OD_E_ARGUMENT,
                       "lora_target_modules: embedding and head get no adapter where "
                       "peft_layers_to_transform names layers, as in PEFT: leave out the one or "
                       "the other");
    }
    if ((options->lora_targets & outer) != 0 && recipe->lora_tied) {
        return od_fail(err, OD_E_UNSUPPORTED,
                       "peft_ensure_weight_tying is for lora_modules_to_save here: adapters on "
                       "embedding and head are two");
    }
    return OD_OK;
}

enum od_status od_session_program_options(const struct od_recipe *recipe,
                                          const struct od_spec *spec, int threads,
                                          struct od_program_options *ret, struct od_error *err)
{
    struct od_program_options options = {
        .mode = OD_PROGRAM_TRAIN_FULL,
        .threads = threads,
        .bf16_weights = recipe->bf16_weights,
        .embed_noise = (float)recipe->neftune_noise_alpha,
        .moments_8bit = recipe->optimizer && strcmp(recipe->optimizer, "adamw_8bit") == 0};
    if (!od_count_mul(recipe->sequence_len, recipe->micro_batch_size, &options.tokens)) {
        return od_fail(err, OD_E_LIMIT, "sequence_len times micro_batch_size does not fit");
    }
    if (recipe->sequence_len > spec->max_positions) {
        return od_fail(err, OD_E_REFUSED,
                       "sequence_len %lld is longer than the model's context of %lld",
                       (long long)recipe->sequence_len, (long long)spec->max_positions);
    }
    if (recipe->method != OD_METHOD_LORA && recipe->base_model &&
        od_gguf_is_path(recipe->base_model)) {
        return od_fail(err, OD_E_UNSUPPORTED,
                       "base_model: '%s' is a GGUF file, on which only adapters are trained: set "
                       "adapter: lora, or name the model folder",
                       recipe->base_model);
    }
    if (recipe->method == OD_METHOD_LORA) {
        const struct od_adapter_config config = {
            .r = recipe->lora_r, .alpha = recipe->lora_alpha, .rslora = recipe->lora_rslora};
        if (recipe->lora_fan_in_fan_out && strcmp(spec->family, "gpt2") != 0) {
            return od_fail(err, OD_E_ARGUMENT,
                           "'lora_fan_in_fan_out: true' is for gpt2, whose files hold layers "
                           "transposed; leave it out for a %s model",
                           spec->family);
        }
        options.mode = OD_PROGRAM_TRAIN_LORA;
        options.quant = recipe->quant;
        options.lora_r = recipe->lora_r;
        options.lora_scale = od_adapter_scale(&config);
        options.lora_dropout = (float)recipe->lora_dropout;
        options.lora_layers = recipe->lora_layers;
        options.saved = recipe->lora_saved;
        if (options.saved != 0 && spec->tied) {
            options.saved = OD_SAVED_EMBEDDING;  // and the head with it
        }
        if (od_layer_set_last(&recipe->lora_layers) >= spec->layers) {
            return od_fail(err, OD_E_ARGUMENT,
                           "peft_layers_to_transform: the model has no layer %lld, its last is "
                           "%lld",
                           (long long)od_layer_set_last(&recipe->lora_layers),
                           (long long)spec->layers - 1);
        }
        const enum od_status status = set_targets(recipe, spec, &options, err);
        if (status != OD_OK) {
            return status;
        }
    }
    *ret = options;
    return OD_OK;
}

// A token that the recipe names must be the model's own: what is served knows no other.
static enum od_status check_token(const struct od_session *s, const char *name, const char *text,
                                  int32_t own, struct od_error *err)
{
    if (text && (own < 0 || od_tokenizer_find(s->tokenizer, text, strlen(text)) != own)) {
        return od_fail(err, OD_E_UNSUPPORTED,
                       "'special_tokens: %s' is '%.60s', which is not the model's own (id %d): "
                       "another one is not built yet",
                       name, text, own);
    }
    return OD_OK;
}

// Where the tokenizer and the chat template of a recipe are.
static const char *tokenizer_folder(const struct od_recipe *recipe)
{
    return recipe->base_model ? recipe->base_model : recipe->base_tokenizer;
}

static enum od_status open_tokenizer(struct od_session *s, struct od_error *err)
{
    const char *folder = tokenizer_folder(s->recipe);
    enum od_status status = od_tokenizer_open(folder, &s->tokenizer, err);
    if (status != OD_OK) {
        return status;
    }
    if (od_tokenizer_vocab_size(s->tokenizer) > s->spec.vocab) {
        return od_fail(err, OD_E_FORMAT,
                       "the tokenizer of '%s' has %d ids, the model only %lld: they do not fit",
                       folder, od_tokenizer_vocab_size(s->tokenizer), (long long)s->spec.vocab);
    }
    od_tokenizer_set_bos_eos(s->tokenizer, s->spec.bos, s->spec.eos);
    status = check_token(s, "bos_token", s->recipe->bos_token, s->spec.bos, err);
    return status == OD_OK ? check_token(s, "eos_token", s->recipe->eos_token, s->spec.eos, err)
                           : status;
}

// What would fit: fewer rows of a pass, or shorter ones.
static void nearest_change(const struct od_session *s, uint64_t cap, bool use_library, char to[96])
{
    const int64_t length = s->recipe->sequence_len;
    const int64_t step = length < LENGTH_STEP ? 1 : LENGTH_STEP;
    const struct od_program_options *options = &s->program.options;
    const int64_t tokens = od_fit_tokens(&s->spec, options, cap, step, use_library);
    if (tokens >= length) {
        (void)snprintf(to, 96, "micro_batch_size: %lld would fit", (long long)(tokens / length));
    } else if (tokens > 0) {
        (void)snprintf(to, 96, "micro_batch_size: 1 with sequence_len: %lld would fit",
                       (long long)tokens);
    } else {
        (void)snprintf(to, 96, "the model is too large for it at any sequence_len%s",
                       options->mode == OD_PROGRAM_TRAIN_LORA ? "" : "; adapter: lora needs less");
    }
}

enum od_status od_session_refuse(const struct od_session *s, uint64_t need, uint64_t cap,
                                 bool use_library, struct od_error *err)
{
    char need_text[24];
    char cap_text[24];
    char change[96];
    od_bytes_text((double)need, need_text);
    od_bytes_text((double)cap, cap_text);
    nearest_change(s, cap, use_library, change);
    return od_fail(err, OD_E_REFUSED,
                   "the leanest plan needs %s and may take %s, %llu bytes too many; %s", need_text,
                   cap_text, (unsigned long long)(need - cap), change);
}

static enum od_status open_cpu(struct od_session *s, const struct od_session_options *options,
                               const struct od_program_options *program, struct od_error *err)
{
    int64_t largest = 1;
    struct od_fit fit = {0};
    enum od_status status = od_fit_make(&s->spec, program, options->max_bytes, false, &fit, err);
    if (status != OD_OK) {
        return status;
    }
    s->program = fit.program;
    s->plan = fit.plan;
    if (options->max_bytes != 0 && fit.bytes > options->max_bytes) {
        return od_session_refuse(s, fit.bytes, options->max_bytes, false, err);
    }
    status = od_arrays_make(&s->plan, &s->arrays, err);
    if (status != OD_OK) {
        return status;
    }
    const int32_t table = s->program.io.rope_table;
    if (table >= 0) {
        od_spec_rope_table(&s->spec, s->program.tensors[table].rows, s->arrays.tensor[table]);
    }
    for (int32_t i = 0; i < s->program.param_count; i++) {
        const struct od_tensor *t = &s->program.tensors[s->program.params[i].tensor];
        largest = t->rows * t->cols > largest ? t->rows * t->cols : largest;
    }
    s->partials = od_alloc((size_t)(largest / OD_NORM_CHUNK + 1), sizeof *s->partials);
    return s->partials ? OD_OK : od_fail(err, OD_E_MEMORY, "no memory for a session");
}

// Plan for this machine, refuse what is too large, then take the memory.
static enum od_status open_plan(struct od_session *s, const struct od_session_options *options,
                                struct od_error *err)
{
    struct od_program_options program_options;
    const bool gpu = options->on_gpu;
    enum od_status status = od_cpu_open(options->threads, options->allow_vector, &s->cpu, err);
    if (status != OD_OK ||
        (status = od_session_program_options(s->recipe, &s->spec, od_pool_threads(s->cpu.pool),
                                             &program_options, err)) != OD_OK) {
        return status;
    }
    if (gpu) {
        program_options.half = true;
        program_options.head_rows = OD_GPU_HEAD_ROWS;
    }
    status = gpu ? od_session_gpu_open(s, options, &program_options, err)
                 : open_cpu(s, options, &program_options, err);
    if (status != OD_OK) {
        return status;
    }
    s->batch = (struct od_micro_batch){
        .ids = (int32_t *)(void *)s->arrays.tensor[s->program.io.ids],
        .positions = (int32_t *)(void *)s->arrays.tensor[s->program.io.positions],
        .targets = (int32_t *)(void *)s->arrays.tensor[s->program.io.targets],
        .segment_start = (int32_t *)(void *)s->arrays.tensor[s->program.io.segment_start],
    };
    return OD_OK;
}

static int64_t packs_per_step(const struct od_recipe *recipe)
{
    return recipe->micro_batch_size * recipe->gradient_accumulation_steps;
}

static enum od_status make_packs(struct od_session *s, uint32_t epoch, struct od_error *err)
{
    if (s->packs_made) {
        od_packs_release(&s->packs);
        s->packs_made = false;
    }
    const enum od_status status =
        od_packs_make(&s->dataset, s->recipe->sequence_len, s->recipe->sample_packing,
                      s->recipe->seed, epoch, &s->packs, err);
    s->packs_made = status == OD_OK;
    return status;
}

// Steps of the whole run: max_steps, or those of num_epochs.
static enum od_status count_steps(struct od_session *s, struct od_error *err)
{
    const int64_t per_step = packs_per_step(s->recipe);
    double left = s->recipe->num_epochs;
    enum od_status status = OD_OK;
    s->total_steps = s->recipe->max_steps;
    for (uint32_t epoch = 0; s->recipe->max_steps == 0 && left > 1e-9; epoch++) {
        status = make_packs(s, epoch, err);
        if (status != OD_OK) {
            return status;
        }
        const int64_t steps = (s->packs.count + per_step - 1) / per_step;
        s->steps_per_epoch = epoch == 0 ? steps : s->steps_per_epoch;
        s->total_steps += left >= 1.0 ? steps : (int64_t)ceil((double)steps * left - 1e-9);
        left -= 1.0;
    }
    status = make_packs(s, s->place.epoch, err);
    if (status == OD_OK && s->steps_per_epoch == 0) {  // max_steps is given
        s->steps_per_epoch = (s->packs.count + per_step - 1) / per_step;
    }
    return status;
}

// Hold documents out, or load those to evaluate on; and pack them.
static enum od_status open_validation(struct od_session *s,
                                      const struct od_dataset_options *options,
                                      struct od_error *err)
{
    const struct od_recipe *recipe = s->recipe;
    enum od_status status = OD_OK;
    if (recipe->val_set_size > 0.0) {
        status =
            od_holdout_take(&s->dataset, recipe->val_set_size, recipe->seed, &s->validation, err);
    } else if (recipe->test_dataset_count > 0) {
        status = od_dataset_load(recipe->test_datasets, recipe->test_dataset_count, s->tokenizer,
                                 options, &s->validation, err);
    }
    if (status != OD_OK || s->validation.count == 0) {
        return status;
    }
    if (s->validation.label_count == 0) {
        return od_fail(err, OD_E_FORMAT, "the held-out documents have no label to evaluate");
    }
    return od_packs_make(&s->validation, recipe->sequence_len, true, recipe->seed, 0,
                         &s->validation_packs, err);
}

static enum od_status open_data(struct od_session *s, struct od_dataset *given,
                                struct od_error *err)
{
    const struct od_dataset_options options = {.sequence_len = s->recipe->sequence_len,
                                               .train_on_inputs = s->recipe->train_on_inputs,
                                               .seed = s->recipe->seed,
                                               .model_folder = tokenizer_folder(s->recipe)};
    enum od_status status = OD_OK;
    if (given) {
        s->dataset = *given;
        *given = (struct od_dataset){0};
    } else {
        status = od_dataset_load(s->recipe->datasets, s->recipe->dataset_count, s->tokenizer,
                                 &options, &s->dataset, err);
    }
    if (status == OD_OK) {
        status = open_validation(s, &options, err);
    }
    return status == OD_OK ? count_steps(s, err) : status;
}

// Weights without a master start as the nearest bf16 values.
static void round_start(const struct od_session *s)
{
    for (int32_t i = 0; !s->gpu && i < s->program.param_count; i++) {
        const struct od_param *param = &s->program.params[i];
        const struct od_tensor *tensor = &s->program.tensors[param->tensor];
        float *w = s->arrays.tensor[param->tensor];
        for (int64_t j = 0; param->rounded && j < tensor->rows * tensor->cols; j++) {
            w[j] = od_round_to_nearest(w[j]);
        }
    }
}

enum od_status od_session_open(const struct od_recipe *recipe,
                               const struct od_session_options *options, struct od_session *ret,
                               struct od_error *err)
{
    struct od_session *s = ret;
    enum od_status status;
    *s = (struct od_session){.recipe = recipe};
    od_adamw_maps_make(&s->maps);
    if ((status = od_session_spec(recipe, &s->spec, err)) != OD_OK ||
        (!options->dataset && (status = open_tokenizer(s, err)) != OD_OK) ||
        (status = open_plan(s, options, err)) != OD_OK ||
        (status = open_data(s, options->dataset, err)) != OD_OK) {
        od_session_close(s);
        return status;
    }
    if (s->gpu) {
        status = od_session_gpu_weights(s, options, err);
    } else if (recipe->base_model) {
        status = od_weights_read(&s->program, s->arrays.tensor, recipe->base_model, err);
    } else {
        status = od_weights_init(&s->program, s->arrays.tensor, recipe->seed, err);
    }
    if (status != OD_OK) {
        od_session_close(s);
        return status;
    }
    round_start(s);
    if (!s->gpu && recipe->method == OD_METHOD_LORA) {
        od_adapters_init(&s->program, s->arrays.tensor, recipe->seed);
    }
    if (recipe->method == OD_METHOD_LORA && recipe->lora_model_dir) {
        status = od_session_adapter(s, err);
        if (status != OD_OK) {
            od_session_close(s);
        }
    }
    return status;
}

void od_session_close(struct od_session *s)
{
    if (s->packs_made) {
        od_packs_release(&s->packs);
    }
    od_packs_release(&s->validation_packs);
    od_dataset_release(&s->validation);
    od_dataset_release(&s->dataset);
    od_free(s->partials);
    od_session_gpu_close(s);
    od_arrays_release(&s->arrays);
    od_plan_release(&s->plan);
    od_program_release(&s->program);
    od_cpu_close(&s->cpu);
    od_tokenizer_free(s->tokenizer);
    *s = (struct od_session){0};
}

enum od_status od_session_pass(struct od_session *s, double labels, bool learn, uint32_t pass,
                               double *loss_sum, struct od_error *err)
{
    struct od_batch batch = {.tokens = s->batch.tokens,
                             .ids = s->batch.ids,
                             .positions = s->batch.positions,
                             .segments = s->batch.segments,
                             .segment_start = s->batch.segment_start,
                             .targets = s->batch.targets,
                             .loss_scale = (float)(1.0 / labels),
                             .want_gradient = learn,
                             .dropout_seed = s->recipe->seed,
                             .dropout_pass = pass};
    const int32_t count = learn ? s->program.op_count : s->program.forward_count;
    if (s->gpu) {
        const enum od_status status = od_gpu_batch(s->gpu, &batch, err);
        if (status == OD_OK) {
            od_gpu_pass(s->gpu);
        }
        return status;
    }
    for (int32_t i = 0; i < count; i++) {
        od_cpu_run(&s->cpu, &s->program.ops[i], s->arrays.tensor, &batch);
    }
    *loss_sum += batch.loss_sum;
    return OD_OK;
}

static double gradient_norm(struct od_session *s)
{
    double sum = 0.0;
    for (int32_t i = 0; i < s->program.param_count; i++) {
        const struct od_param *param = &s->program.params[i];
        const struct od_tensor *t = &s->program.tensors[param->tensor];
        sum += od_cpu_sum_squares(&s->cpu, s->arrays.tensor[param->gradient], t->rows * t->cols,
                                  s->partials);
    }
    return sqrt(sum);
}

// Scalars of this step's AdamW; the gradient's factor is left open.
static struct od_adamw_step adamw_step(const struct od_session *s, double lr)
{
    const struct od_recipe *recipe = s->recipe;
    const double t = (double)(s->place.step + 1);
    const double bc1 = 1.0 - pow(recipe->adam_beta1, t);
    const double bc2 = 1.0 - pow(recipe->adam_beta2, t);
    return (struct od_adamw_step){
        .lr = (float)lr,
        .beta1 = (float)recipe->adam_beta1,
        .beta2 = (float)recipe->adam_beta2,
        .one_minus_beta1 = (float)(1.0 - recipe->adam_beta1),
        .one_minus_beta2 = (float)(1.0 - recipe->adam_beta2),
        .step_size = (float)(lr / bc1),
        .inv_sqrt_bc2 = (float)(1.0 / sqrt(bc2)),
        .eps = (float)recipe->adam_epsilon,
        .decay = (float)(1.0 - lr * recipe->weight_decay),
        .grad_scale = 1.0F,
    };
}

// The chance of a step's rounding; `index` is that of a tensor's first element among all trained.
static struct od_rounding rounding_of(const struct od_session *s, uint64_t index)
{
    return (struct od_rounding){
        .seed = s->recipe->seed, .step = (uint32_t)s->place.step, .index = index};
}

static void update_tensor(struct od_session *s, const struct od_param *param,
                          const struct od_adamw_step *step)
{
    const struct od_tensor *tensor = &s->program.tensors[param->tensor];
    const int64_t count = tensor->rows * tensor->cols;
    float *const *at = s->arrays.tensor;
    if (param->m_scales < 0) {
        od_cpu_adamw(&s->cpu, at[param->tensor], at[param->m], at[param->v], at[param->gradient],
                     count, step);
        return;
    }
    const struct od_adamw_8bit codes = {.w = at[param->tensor],
                                        .m = (uint8_t *)(void *)at[param->m],
                                        .v = (uint8_t *)(void *)at[param->v],
                                        .m_scales = at[param->m_scales],
                                        .v_scales = at[param->v_scales],
                                        .g = at[param->gradient],
                                        .count = count};
    od_cpu_adamw_8bit(&s->cpu, &codes, &s->maps, step);
}

static void update_cpu(struct od_session *s, double lr, double norm)
{
    const double most = s->recipe->max_grad_norm;
    struct od_adamw_step step = adamw_step(s, lr);
    const float decay = step.decay;
    if (most > 0.0 && norm > most) {
        step.grad_scale = (float)(most / (norm + 1e-6));
    }
    uint64_t index = 0;
    for (int32_t i = 0; i < s->program.param_count; i++) {
        const struct od_param *param = &s->program.params[i];
        const struct od_tensor *tensor = &s->program.tensors[param->tensor];
        step.decay = param->decay ? decay : 1.0F;
        update_tensor(s, param, &step);
        if (param->rounded) {
            const struct od_rounding rounding = rounding_of(s, index);
            od_cpu_round(&s->cpu, s->arrays.tensor[param->tensor], tensor->rows * tensor->cols,
                         &rounding);
        }
        index += (uint64_t)(tensor->rows * tensor->cols);
    }
}

static enum od_status update_gpu(struct od_session *s, double lr, double *loss_sum, double *norm,
                                 struct od_error *err)
{
    const struct od_adamw_step step = adamw_step(s, lr);
    const struct od_adamw_scalars scalars = {.beta1 = step.beta1,
                                             .beta2 = step.beta2,
                                             .one_minus_beta1 = step.one_minus_beta1,
                                             .one_minus_beta2 = step.one_minus_beta2,
                                             .step_size = step.step_size,
                                             .inv_sqrt_bc2 = step.inv_sqrt_bc2,
                                             .eps = step.eps,
                                             .decay = step.decay,
                                             .max_norm = (float)s->recipe->max_grad_norm,
                                             .step = (uint32_t)s->place.step,
                                             .seed = s->recipe->seed};
    return od_session_gpu_update(s, &scalars, loss_sum, norm, err);
}

static void clear_gradients(struct od_session *s)
{
    if (s->gpu) {
        od_gpu_clear(s->gpu);
        return;
    }
    for (int32_t i = 0; i < s->program.param_count; i++) {
        const struct od_param *param = &s->program.params[i];
        const struct od_tensor *tensor = &s->program.tensors[param->tensor];
        memset(s->arrays.tensor[param->gradient], 0,
               (size_t)(tensor->rows * tensor->cols) * sizeof(float));
    }
}

// Fill the batch with packs [first, last).
static enum od_status fill(struct od_session *s, const struct od_dataset *dataset,
                           const struct od_packs *packs, int64_t first, int64_t last,
                           struct od_error *err)
{
    enum od_status status = OD_OK;
    od_micro_batch_reset(&s->batch);
    for (int64_t pack = first; status == OD_OK && pack < last; pack++) {
        status =
            od_micro_batch_add(&s->batch, s->program.options.tokens, dataset, packs, pack, err);
    }
    return status;
}

enum od_status od_session_step(struct od_session *s, struct od_step_report *ret,
                               struct od_error *err)
{
    struct od_step_report report = {.step = s->place.step + 1};
    struct od_place next = s->place;
    enum od_status status = OD_OK;

    if (next.pack >= s->packs.count) {
        next.epoch++;
        next.pack = 0;
        status = make_packs(s, next.epoch, err);
        if (status != OD_OK) {
            return status;
        }
        s->place = next;
    }
    const int64_t first = next.pack;
    const int64_t left = s->packs.count - first;
    const int64_t last =
        first + (left < packs_per_step(s->recipe) ? left : packs_per_step(s->recipe));
    for (int64_t pack = first; pack < last; pack++) {
        report.labels += od_packs_label_count(&s->dataset, &s->packs, pack);
    }
    if (report.labels == 0) {
        return od_fail(err, OD_E_FORMAT, "step %lld has no label to learn", (long long)report.step);
    }
    clear_gradients(s);
    for (int64_t at = first; at < last; at += s->recipe->micro_batch_size) {
        const int64_t end =
            at + s->recipe->micro_batch_size < last ? at + s->recipe->micro_batch_size : last;
        status = fill(s, &s->dataset, &s->packs, at, end, err);
        if (status != OD_OK) {
            return status;
        }
        // The number of a pass in the run, whatever was resumed: masks are drawn for it.
        const uint32_t pass = (uint32_t)(s->place.step * s->recipe->gradient_accumulation_steps +
                                         (at - first) / s->recipe->micro_batch_size);
        status = od_session_pass(s, (double)report.labels, true, pass, &report.loss, err);
        if (status != OD_OK) {
            return status;
        }
        report.tokens += s->batch.tokens;
    }
    report.lr = od_learning_rate(s->recipe, s->place.step, s->total_steps, s->place.epoch);
    if (s->gpu) {  // which does not take a step whose numbers are none
        status = update_gpu(s, report.lr, &report.loss, &report.grad_norm, err);
        if (status != OD_OK) {
            return status;
        }
    } else {
        report.grad_norm = gradient_norm(s);
    }
    report.loss /= (double)report.labels;
    if (!isfinite(report.loss) || !isfinite(report.grad_norm)) {
        s->bad_first = first;
        s->bad_last = last;
        return od_fail(err, OD_E_REFUSED,
                       "step %lld: loss %g, gradient norm %g: no number; lower learning_rate",
                       (long long)report.step, report.loss, report.grad_norm);
    }
    if (!s->gpu) {
        update_cpu(s, report.lr, report.grad_norm);
    }
    next.pack = last;
    next.step++;
    next.tokens += report.tokens;
    next.labels += report.labels;
    s->place = next;
    report.epoch = (double)next.epoch + (double)next.pack / (double)s->packs.count;
    *ret = report;
    return OD_OK;
}

enum od_status od_session_seek(struct od_session *s, struct od_error *err)
{
    const enum od_status status = make_packs(s, s->place.epoch, err);
    if (status == OD_OK && (s->place.pack < 0 || s->place.pack > s->packs.count)) {
        return od_fail(err, OD_E_REFUSED, "the checkpoint's place is not in this data");
    }
    return status;
}

enum od_status od_session_evaluate(struct od_session *s, struct od_eval_report *ret,
                                   struct od_error *err)
{
    struct od_eval_report result = {0};
    const int64_t count = s->validation_packs.count;
    const int64_t rows = s->recipe->micro_batch_size;
    if (count == 0) {
        return od_fail(err, OD_E_ARGUMENT, "no documents are held out");
    }
    if (s->gpu) {
        od_gpu_clear(s->gpu);
    }
    for (int64_t at = 0; at < count; at += rows) {
        const int64_t end = at + rows < count ? at + rows : count;
        enum od_status status = fill(s, &s->validation, &s->validation_packs, at, end, err);
        if (status == OD_OK) {
            status = od_session_pass(s, 1.0, false, 0, &result.loss, err);
        }
        if (status != OD_OK) {
            return status;
        }
        result.labels += s->batch.label_count;
        result.tokens += s->batch.tokens;
    }
    if (s->gpu) {
        struct od_adamw_stats stats;
        const enum od_status status = od_gpu_finish(s->gpu, &stats, err);
        if (status != OD_OK) {
            return status;
        }
        result.loss = stats.loss_sum;
    }
    result.loss /= (double)result.labels;
    if (!isfinite(result.loss)) {
        return od_fail(err, OD_E_REFUSED, "evaluation loss %g: no number", result.loss);
    }
    *ret = result;
    return OD_OK;
}

uint64_t od_session_weight_hash(const struct od_session *s)
{
    uint64_t hash = 0;
    if (s->gpu) {
        struct od_adamw_stats stats;
        od_gpu_hash(s->gpu);
        return od_gpu_finish(s->gpu, &stats, NULL) == OD_OK ? stats.hash : 0;
    }
    for (int32_t i = 0; i < s->program.param_count; i++) {
        const int32_t number = s->program.params[i].tensor;
        const struct od_tensor *tensor = &s->program.tensors[number];
        hash = od_xxh64(s->arrays.tensor[number],
                        (size_t)(tensor->rows * tensor->cols) * sizeof(float), hash);
    }
    return hash;
}
