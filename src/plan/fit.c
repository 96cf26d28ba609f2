#include "plan/fit.h"

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "model/program.h"
#include "model/spec.h"
#include "ops/gpu.h"
#include "plan/layout.h"
#include "plan/plan.h"

static const char *const keep_names[OD_KEEP_COUNT] = {"all",  "products", "attention",
                                                      "sums", "input",    "host"};

const char *od_keep_name(enum od_keep keep)
{
    return keep_names[keep];
}

void od_fit_release(struct od_fit *fit)
{
    od_plan_release(&fit->plan);
    od_program_release(&fit->program);
    *fit = (struct od_fit){0};
}

// Where the layers keep least. The last two keep one level more: their backward pass comes while all
// others still hold what they keep, so what they make again adds to the peak. Only a GPU has a host.
static int64_t leanest_of(const struct od_spec *spec, const struct od_program_options *options)
{
    const int64_t level = options->half ? OD_KEEP_HOST : OD_KEEP_INPUT;
    return level * spec->layers - (spec->layers > 1 ? 2 : 0);
}

// Step `at` of the way from everything kept (0) to nothing (5 times the layers); one step more leaves
// the embedding with the host.
static enum od_status make_at(const struct od_spec *spec, const struct od_program_options *given,
                              int64_t at, bool use_library, struct od_fit *ret,
                              struct od_error *err)
{
    struct od_program_options options = *given;
    struct od_fit fit = {0};
    struct od_layout layout;
    options.embedding_on_host = options.half && at > leanest_of(spec, given);
    at -= options.embedding_on_host;
    options.keep = (enum od_keep)(at / spec->layers);
    options.lean_layers = at % spec->layers;
    enum od_status status = od_program_build(spec, &options, &fit.program, err);
    if (status == OD_OK) {
        status = od_plan_make(&fit.program, &fit.plan, err);
    }
    fit.bytes = fit.plan.total_bytes;
    if (status == OD_OK && options.half) {
        status = od_layout_make(&fit.program, &fit.plan, use_library, &layout, err);
        if (status == OD_OK) {
            fit.bytes = od_gpu_bytes(&layout.gpu);
            od_layout_release(&layout);
        }
    }
    if (status != OD_OK) {
        od_fit_release(&fit);
        return status;
    }
    *ret = fit;
    return OD_OK;
}

static int64_t end_of(const struct od_spec *spec, const struct od_program_options *options)
{
    return leanest_of(spec, options) + (options->half ? 1 : 0);
}

enum od_status od_fit_make(const struct od_spec *spec, const struct od_program_options *options,
                           uint64_t budget, bool use_library, struct od_fit *ret,
                           struct od_error *err)
{
    const bool trains = options->mode != OD_PROGRAM_INFER;
    int64_t low = 0;  // does not fit
    int64_t high = trains ? end_of(spec, options) : 0;
    enum od_status status = make_at(spec, options, 0, use_library, ret, err);
    if (status != OD_OK || budget == 0 || ret->bytes <= budget || high == 0) {
        return status;
    }
    od_fit_release(ret);
    status = make_at(spec, options, high, use_library, ret, err);
    while (status == OD_OK && ret->bytes <= budget && high - low > 1) {
        struct od_fit fit;
        const int64_t middle = low + (high - low) / 2;
        status = make_at(spec, options, middle, use_library, &fit, err);
        if (status != OD_OK) {
            od_fit_release(ret);
        } else if (fit.bytes <= budget) {
            od_fit_release(ret);
            *ret = fit;
            high = middle;
        } else {
            od_fit_release(&fit);
            low = middle;
        }
    }
    return status;
}

int64_t od_fit_tokens(const struct od_spec *spec, const struct od_program_options *options,
                      uint64_t budget, int64_t step, bool use_library)
{
    struct od_program_options fewer = *options;
    int64_t low = 0;  // fits
    int64_t high = (options->tokens + step - 1) / step;
    while (high - low > 1) {
        struct od_fit fit;
        const int64_t middle = low + (high - low) / 2;
        fewer.tokens = middle * step;
        if (make_at(spec, &fewer, end_of(spec, &fewer), use_library, &fit, NULL) != OD_OK) {
            return 0;
        }
        if (fit.bytes <= budget) {
            low = middle;
        } else {
            high = middle;
        }
        od_fit_release(&fit);
    }
    return low * step;
}
