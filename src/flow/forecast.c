#include "flow/forecast.h"

#include <stdint.h>
#include <stdio.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/status.h"
#include "base/threads.h"
#include "data/dataset.h"
#include "data/pack.h"
#include "device/cpu/gemm.h"
#include "model/program.h"
#include "model/spec.h"
#include "ops/cpu.h"
#include "plan/plan.h"
#include "text/tokenizer.h"
#include "tune/holdout.h"
#include "tune/recipe.h"
#include "tune/session.h"

// Products are not all of a step: norms, attention, packing and the optimiser take their share.
// 0.55 of the product's rate is what small models reach here (docs/design/speed-log.md).
static const double SHARE_OF_PRODUCT_RATE = 0.55;
static const double MEASURE_S = 0.3;

// FLOP/s of one linear layer of the model on this machine now.
static double measure(struct od_cpu *cpu, const struct od_spec *spec, int64_t tokens, float *memory)
{
    const int64_t k = spec->channels;
    const int64_t n = spec->ffn;
    const int64_t m = tokens < 512 ? tokens : 512;
    float *a = memory;
    float *b = a + m * k;
    float *c = b + n * k;
    const double start = od_clock_s();
    double spent = 0.0;
    int64_t rounds = 0;
    for (int64_t i = 0; i < m * k; i++) {
        a[i] = (float)(i % 7) - 3.0F;
    }
    for (int64_t i = 0; i < n * k; i++) {
        b[i] = (float)(i % 5) - 2.0F;
    }
    do {
        od_gemm_run(cpu->gemm, m, n, k, (struct od_mat){a, k, 1}, (struct od_mat){b, 1, k}, c, n,
                    false);
        rounds++;
        spent = od_clock_s() - start;
    } while (spent < MEASURE_S);
    return 2.0 * (double)m * (double)n * (double)k * (double)rounds / spent;
}

enum od_status od_forecast_rate(struct od_cpu *cpu, const struct od_spec *spec, int64_t tokens,
                                double *ret, struct od_error *err)
{
    const int64_t m = tokens < 512 ? tokens : 512;
    const int64_t count = m * spec->channels + spec->ffn * spec->channels + m * spec->ffn;
    float *memory = od_alloc((size_t)count, sizeof *memory);
    if (!memory) {
        return od_fail(err, OD_E_MEMORY, "no memory to measure");
    }
    *ret = measure(cpu, spec, tokens, memory);
    od_free(memory);
    return OD_OK;
}

// Steps and tokens of the run, from the data itself.
static enum od_status count_work(const struct od_recipe *recipe, const struct od_spec *spec,
                                 struct od_forecast *f, struct od_error *err)
{
    struct od_tokenizer *tokenizer = NULL;
    struct od_dataset dataset = {0};
    struct od_dataset held_out = {0};
    struct od_packs packs = {0};
    const char *folder = recipe->base_model ? recipe->base_model : recipe->base_tokenizer;
    const struct od_dataset_options options = {.sequence_len = recipe->sequence_len,
                                               .train_on_inputs = recipe->train_on_inputs,
                                               .seed = recipe->seed,
                                               .model_folder = folder};
    const int64_t per_step = recipe->micro_batch_size * recipe->gradient_accumulation_steps;
    enum od_status status = od_tokenizer_open(folder, &tokenizer, err);
    if (status != OD_OK) {
        return status;
    }
    od_tokenizer_set_bos_eos(tokenizer, spec->bos, spec->eos);
    if ((status = od_dataset_load(recipe->datasets, recipe->dataset_count, tokenizer, &options,
                                  &dataset, err)) == OD_OK &&
        (!(recipe->val_set_size > 0.0) ||
         (status = od_holdout_take(&dataset, recipe->val_set_size, recipe->seed, &held_out, err)) ==
             OD_OK) &&
        (status = od_packs_make(&dataset, recipe->sequence_len, recipe->sample_packing,
                                recipe->seed, 0, &packs, err)) == OD_OK) {
        const int64_t steps = (packs.count + per_step - 1) / per_step;  // of an epoch
        const double steps_per_epoch = (double)steps;
        f->steps = recipe->max_steps > 0 ? recipe->max_steps
                                         : (int64_t)(steps_per_epoch * recipe->num_epochs + 0.5);
        f->tokens = (int64_t)((double)packs.tokens / steps_per_epoch * (double)f->steps);
        f->document = (double)packs.tokens / (double)dataset.count;
        int64_t labels = 0;
        for (int64_t pack = 0; pack < packs.count; pack++) {
            labels += od_packs_label_count(&dataset, &packs, pack);
        }
        f->labelled = (double)labels / (double)packs.tokens;
    }
    od_packs_release(&packs);
    od_dataset_release(&held_out);
    od_dataset_release(&dataset);
    od_tokenizer_free(tokenizer);
    return status;
}

static void sum_roles(const struct od_program *program, struct od_forecast *f)
{
    f->weight_bytes = f->plan.role_bytes[OD_ROLE_WEIGHT];
    f->training_bytes = f->plan.role_bytes[OD_ROLE_ADAPTER] + f->plan.role_bytes[OD_ROLE_GRADIENT] +
                        f->plan.role_bytes[OD_ROLE_MOMENT];
    f->activation_bytes = f->plan.total_bytes - f->weight_bytes - f->training_bytes;
    for (int32_t i = 0; i < program->param_count; i++) {
        const struct od_tensor *t = &program->tensors[program->params[i].tensor];
        f->trained += t->rows * t->cols;
    }
    f->flops_per_token = od_program_flops_per_token(program);
}

enum od_status od_forecast_make(const struct od_recipe *recipe, int threads, bool allow_vector,
                                struct od_forecast *ret, struct od_error *err)
{
    struct od_forecast f = {0};
    struct od_spec spec;
    struct od_cpu cpu = {0};
    struct od_program program = {0};
    struct od_program_options options;
    enum od_status status;
    if ((status = od_session_spec(recipe, &spec, err)) != OD_OK ||
        (status = od_cpu_open(threads, allow_vector, &cpu, err)) != OD_OK ||
        (status = od_session_program_options(recipe, &spec, od_pool_threads(cpu.pool), &options,
                                             err)) != OD_OK ||
        (status = od_program_build(&spec, &options, &program, err)) != OD_OK ||
        (status = od_plan_make(&program, &f.plan, err)) != OD_OK) {
        goto done;
    }
    f.parameters = od_spec_parameters(&spec);
    sum_roles(&program, &f);
    if ((status = count_work(recipe, &spec, &f, err)) != OD_OK ||
        (status = od_forecast_rate(&cpu, &spec, options.tokens, &f.flops_per_s, err)) != OD_OK) {
        goto done;
    }
    f.seconds = (double)f.tokens * f.flops_per_token / (f.flops_per_s * SHARE_OF_PRODUCT_RATE);

done:
    od_free(f.plan.offset);
    f.plan.offset = NULL;
    od_program_release(&program);
    od_cpu_close(&cpu);
    if (status == OD_OK) {
        *ret = f;
    }
    return status;
}

enum od_status od_forecast_check(const struct od_recipe *recipe, const struct od_forecast *f,
                                 uint64_t max_bytes, double max_seconds, struct od_error *err)
{
    char need[24];
    char cap[24];
    if (max_bytes != 0 && f->plan.total_bytes > max_bytes) {
        od_bytes_text((double)f->plan.total_bytes, need);
        od_bytes_text((double)max_bytes, cap);
        const double fixed = (double)(f->weight_bytes + f->training_bytes);
        const double per_row =
            (double)f->activation_bytes / (double)(recipe->micro_batch_size * recipe->sequence_len);
        const int64_t tokens = (int64_t)(((double)max_bytes - fixed) / per_row);
        if (tokens >= recipe->sequence_len) {
            return od_fail(err, OD_E_REFUSED, "needs %s of %s: set micro_batch_size: %lld", need,
                           cap, (long long)(tokens / recipe->sequence_len));
        }
        if (tokens >= 64) {
            return od_fail(err, OD_E_REFUSED,
                           "needs %s of %s: set micro_batch_size: 1 and sequence_len: %lld", need,
                           cap, (long long)(tokens / 64 * 64));
        }
        return od_fail(
            err, OD_E_REFUSED,
            "needs %s of %s: the weights and what trains them do not fit; take a smaller "
            "model%s",
            need, cap, recipe->method == OD_METHOD_FULL ? " or adapter: lora" : "");
    }
    if (max_seconds > 0.0 && f->seconds > max_seconds) {
        od_seconds_text(f->seconds, need);
        od_seconds_text(max_seconds, cap);
        return od_fail(err, OD_E_REFUSED, "takes about %s of %s: set max_steps: %lld", need, cap,
                       (long long)((double)f->steps * max_seconds / f->seconds));
    }
    return OD_OK;
}
