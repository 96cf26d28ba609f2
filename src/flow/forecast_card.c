// A recipe on a GPU that need not be here: the plan that would be made, and the time of its operations.

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/log.h"
#include "base/status.h"
#include "flow/forecast.h"
#include "model/program.h"
#include "model/spec.h"
#include "ops/attention/attention_cuda.h"
#include "ops/gpu.h"
#include "ops/op.h"
#include "plan/cost.h"
#include "plan/fit.h"
#include "tune/recipe.h"
#include "tune/session.h"

// Lengths that a refusal suggests are multiples of this.
enum { LENGTH_STEP = 64 };

static uint64_t beside(void)
{
    return (uint64_t)OD_CARD_CONTEXT_BYTES + OD_CARD_GUARD_BYTES;
}

static void tell(const struct od_recipe *recipe, const struct od_forecast *forecast,
                 const struct od_fit *fit, struct od_card_forecast *f)
{
    const size_t *roles = fit->plan.role_bytes;
    const double rows = (double)fit->program.options.tokens;
    const double document = forecast->document < rows ? forecast->document : rows;
    f->bytes = fit->bytes + OD_CARD_CONTEXT_BYTES;
    f->weight_bytes = roles[OD_ROLE_WEIGHT] + roles[OD_ROLE_COPY];
    f->training_bytes = roles[OD_ROLE_ADAPTER] + roles[OD_ROLE_GRADIENT] + roles[OD_ROLE_MOMENT];
    f->keep = fit->program.options.keep;
    f->lean_layers = fit->program.options.lean_layers;
    f->embedding_on_host = fit->program.options.embedding_on_host;
    f->host_bytes = fit->plan.host_bytes;
    f->layers = fit->program.spec.layers;
    // A pass covers all its rows, whatever a pack fills of them.
    f->step_s = (double)recipe->gradient_accumulation_steps *
                    od_cost_pass(&fit->program, f->card, document, forecast->labelled) +
                od_cost_update(&fit->program, f->card);
    f->seconds = f->step_s * (double)forecast->steps;
    f->joules = f->seconds * f->card->watts;
}

// Whether a card multiplies the weights as the recipe keeps them.
static bool has_product(const struct od_recipe *recipe, const struct od_card *card)
{
    return recipe->quant != OD_QUANT_E4M3 || card->e4m3 > 0.0;
}

enum od_status od_forecast_card(const struct od_recipe *recipe, const struct od_forecast *forecast,
                                const struct od_card *card, uint64_t cap_bytes,
                                struct od_card_forecast *ret, struct od_error *err)
{
    struct od_card_forecast f = {.card = card,
                                 .cap_bytes = cap_bytes > 0 ? cap_bytes : card->bytes};
    struct od_program_options options;
    struct od_spec spec;
    struct od_fit fit;
    enum od_status status = od_session_spec(recipe, &spec, err);
    if (status != OD_OK ||
        (status = od_session_program_options(recipe, &spec, 1, &options, err)) != OD_OK) {
        return status;
    }
    if (f.cap_bytes > card->bytes) {
        char cap[24];
        char all[24];
        od_bytes_text((double)f.cap_bytes, cap);
        od_bytes_text((double)card->bytes, all);
        return od_fail(err, OD_E_REFUSED,
                       "a cap of %s is more than the %s of the %s: lower --vram or budget.vram",
                       cap, all, card->title);
    }
    options.half = true;
    options.head_rows = OD_GPU_HEAD_ROWS;
    const uint64_t budget = f.cap_bytes > beside() ? f.cap_bytes - beside() : 1;
    status = od_fit_make(&spec, &options, budget, true, &fit, err);
    if (status != OD_OK) {
        return status;
    }
    tell(recipe, forecast, &fit, &f);
    f.has_kernels = has_product(recipe, card) &&
                    od_attention_launch(OD_ATTENTION_FORWARD, spec.head_dim) != NULL;
    f.fits = f.has_kernels && fit.bytes <= budget;
    if (fit.bytes > budget) {
        const int64_t step = recipe->sequence_len < LENGTH_STEP ? 1 : LENGTH_STEP;
        f.rows = od_fit_tokens(&spec, &options, budget, step, true);
    }
    od_fit_release(&fit);
    *ret = f;
    return OD_OK;
}

enum od_status od_forecast_card_check(const struct od_recipe *recipe,
                                      const struct od_forecast *forecast,
                                      const struct od_card_forecast *f, double max_seconds,
                                      struct od_error *err)
{
    char need[24];
    char cap[24];
    if (!has_product(recipe, f->card)) {
        return od_fail(err, OD_E_REFUSED,
                       "fp8 needs compute capability 8.9 or newer, which the %s has not: leave "
                       "'fp8' out",
                       f->card->title);
    }
    if (!f->has_kernels) {
        return od_fail(err, OD_E_REFUSED,
                       "the model's head size has no GPU kernel: use --device cpu");
    }
    if (!f->fits) {
        const uint64_t need_bytes = f->bytes + OD_CARD_GUARD_BYTES;
        od_bytes_text((double)need_bytes, need);
        od_bytes_text((double)f->cap_bytes, cap);
        const uint64_t over = need_bytes - f->cap_bytes;
        if (f->rows >= recipe->sequence_len) {
            return od_fail(err, OD_E_REFUSED,
                           "needs %s of %s, %llu bytes too many: set micro_batch_size: %lld", need,
                           cap, (unsigned long long)over,
                           (long long)(f->rows / recipe->sequence_len));
        }
        if (f->rows > 0) {
            return od_fail(err, OD_E_REFUSED,
                           "needs %s of %s, %llu bytes too many: set micro_batch_size: 1 and "
                           "sequence_len: %lld",
                           need, cap, (unsigned long long)over, (long long)f->rows);
        }
        return od_fail(err, OD_E_REFUSED,
                       "needs %s of %s, %llu bytes too many: the weights and what trains them do "
                       "not fit; take a smaller model%s",
                       need, cap, (unsigned long long)over,
                       recipe->method == OD_METHOD_FULL ? " or adapter: lora"
                       : recipe->quant == OD_QUANT_NONE ? " or adapter: qlora"
                                                        : "");
    }
    if (max_seconds > 0.0 && f->seconds > max_seconds) {
        od_seconds_text(f->seconds, need);
        od_seconds_text(max_seconds, cap);
        return od_fail(err, OD_E_REFUSED, "takes about %s of %s: set max_steps: %lld", need, cap,
                       (long long)((double)forecast->steps * max_seconds / f->seconds));
    }
    return OD_OK;
}
