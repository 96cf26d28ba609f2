/**
 * @file
 * What a recipe will need: memory from the plan, time from the work and this machine's speed now.
 *
 * @thread One owner.
 */
#ifndef OD_FLOW_FORECAST_H
#define OD_FLOW_FORECAST_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "model/program.h"
#include "model/spec.h"
#include "ops/cpu.h"
#include "plan/cost.h"
#include "plan/plan.h"
#include "tune/recipe.h"

struct od_forecast {
    int64_t parameters;   ///< of the base model
    int64_t trained;      ///< numbers that are learned
    struct od_plan plan;  ///< totals; its offsets are released
    uint64_t weight_bytes;
    uint64_t training_bytes;  ///< gradients, moments, adapters
    uint64_t activation_bytes;
    int64_t steps;
    int64_t tokens;          ///< over the whole run
    double document;         ///< tokens of a document, on average
    double labelled;         ///< share of the tokens that are learned
    double flops_per_token;  ///< forward and backward, attention apart
    double flops_per_s;      ///< measured on a product of the model's own shape
    double seconds;
};

/** Plan, read and pack the data, measure for about half a second. Reads no weights. */
enum od_status od_forecast_make(const struct od_recipe *recipe, int threads, bool allow_vector,
                                struct od_forecast *ret, struct od_error *err) OD_MUST_CHECK;

/** Floating-point operations per second of one linear layer of the model on this machine now, measured
 *  for a third of a second with `tokens` rows. */
enum od_status od_forecast_rate(struct od_cpu *cpu, const struct od_spec *spec, int64_t tokens,
                                double *ret, struct od_error *err) OD_MUST_CHECK;

/** OD_E_REFUSED with the nearest change that fits, when a cap (0: none) is passed. */
enum od_status od_forecast_check(const struct od_recipe *recipe, const struct od_forecast *forecast,
                                 uint64_t max_bytes, double max_seconds,
                                 struct od_error *err) OD_MUST_CHECK;

/** The same recipe on a GPU that need not be here. */
struct od_card_forecast {
    const struct od_card *card;
    uint64_t cap_bytes;       ///< that the process may take on the card
    uint64_t bytes;           ///< arena, libraries and context: what the driver will count
    uint64_t weight_bytes;    ///< base weights, scales, copies
    uint64_t training_bytes;  ///< gradients, moments, adapters
    bool has_kernels;         ///< for the model's head size and the recipe's weights
    bool fits;
    int64_t rows;       ///< of a pass that would fit where the recipe's do not; 0: none
    enum od_keep keep;  ///< what the layers keep
    int64_t lean_layers;
    bool embedding_on_host;
    size_t host_bytes;  ///< pinned memory of the host
    int64_t layers;
    double step_s;
    double seconds;
    double joules;
};

/** Plan for a card, `cap_bytes` (0: all of its memory) of it. `forecast` tells steps and tokens.
 *  A plan that does not fit is no error: ret->fits is false. */
enum od_status od_forecast_card(const struct od_recipe *recipe, const struct od_forecast *forecast,
                                const struct od_card *card, uint64_t cap_bytes,
                                struct od_card_forecast *ret, struct od_error *err) OD_MUST_CHECK;
/** OD_E_REFUSED with the nearest change that fits the card, or that ends in time (0: no limit). */
enum od_status od_forecast_card_check(const struct od_recipe *recipe,
                                      const struct od_forecast *forecast,
                                      const struct od_card_forecast *f, double max_seconds,
                                      struct od_error *err) OD_MUST_CHECK;

#endif
