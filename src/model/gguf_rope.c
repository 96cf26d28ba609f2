// How rotary frequencies are scaled, in GGUF files:
//
//   linear   keys ARCH.rope.scaling.type "linear" and ARCH.rope.scaling.factor; in old files only
//            ARCH.rope.scale_linear, the factor
//   yarn     type "yarn", factor, original_context_length (else context_length), yarn_beta_fast (else 32),
//            yarn_beta_slow (else 1). The attention's factor is attn_factor (else 1) times
//            A(1) / A(yarn_log_multiplier), with A(weight) = 1 + weight * ln(factor) / 10 and no divisor
//            without that key
//   llama3   tensor rope_freqs.weight [head size / 2]: what each frequency is divided by
//
// The tensor does not say what it was made from. Files that are written here say it, under keys that
// other programs do not look at: oneday.rope.factor, low, high, original. In other files it follows
// from the divisors d. Long waves have d = factor. In between, with the share s of a frequency that
// is kept,
//
//   1 / d = (1 - s) / factor + s        s = (original / wavelength - low) / (high - low)
//
// so s lies on a line over 1 / wavelength, whose slope and height give high and original, once low
// is chosen: only the ratios of the three count, and low is 1 in the models that are known. Two such
// waves are needed. Whatever is found must give back the divisors, else the file is refused.

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/status.h"
#include "formats/gguf.h"
#include "model/gguf_internal.h"
#include "model/spec.h"
#include "model/spec_internal.h"

enum { KEY_BYTES = 96, NUMBERS = 4, HALF_MAX = 512 };

// A divisor this near to 1 or to the factor belongs to a wave that is kept or stretched in whole.
static const double whole_tolerance = 1e-4;
// A number this near to a whole one is that: divisors have the seven digits of a float.
static const double round_tolerance = 1e-3;

// The divisors are floats; the same arithmetic gives the same ones.
static const double divisor_tolerance = 1e-5;

static const char *const names[NUMBERS] = {"oneday.rope.factor", "oneday.rope.low",
                                           "oneday.rope.high", "oneday.rope.original"};

static void put_number(struct od_gguf_keys *keys, const char *architecture, const char *name,
                       double value)
{
    char key[KEY_BYTES];
    (void)snprintf(key, sizeof key, "%s.rope.scaling.%s", architecture, name);
    od_gguf_put_f32(keys, key, (float)value);
}

static void put_yarn(const struct od_spec *spec, const char *architecture,
                     struct od_gguf_keys *keys)
{
    char key[KEY_BYTES];
    const double usual = od_spec_yarn_attention(spec->rope_factor, 1.0);
    (void)snprintf(key, sizeof key, "%s.rope.scaling.original_context_length", architecture);
    od_gguf_put_u32(keys, key, (uint32_t)spec->rope_original);
    if (fabs(spec->rope_fast - OD_YARN_FAST) > 0 || fabs(spec->rope_slow - OD_YARN_SLOW) > 0) {
        put_number(keys, architecture, "yarn_beta_fast", spec->rope_fast);
        put_number(keys, architecture, "yarn_beta_slow", spec->rope_slow);
    }
    if (fabs(spec->rope_attention - usual) > 0) {
        put_number(keys, architecture, "attn_factor", spec->rope_attention / usual);
    }
}

enum od_status od_gguf_put_rope(const struct od_spec *spec, const char *architecture,
                                struct od_gguf_keys *keys, struct od_error *err)
{
    char key[KEY_BYTES];
    const bool yarn = spec->rope_scaling == OD_ROPE_YARN;
    const double numbers[NUMBERS] = {spec->rope_factor, spec->rope_low, spec->rope_high,
                                     spec->rope_original};
    if (yarn && spec->rope_between) {
        return od_fail(err, OD_E_UNSUPPORTED,
                       "YaRN with 'truncate': false cannot be said in GGUF files");
    }
    if (yarn || spec->rope_scaling == OD_ROPE_LINEAR) {
        (void)snprintf(key, sizeof key, "%s.rope.scaling.type", architecture);
        od_gguf_put_text(keys, key, yarn ? "yarn" : "linear");
        put_number(keys, architecture, "factor", spec->rope_factor);
    }
    if (yarn) {
        put_yarn(spec, architecture, keys);
    }
    for (int i = 0; i < NUMBERS && spec->rope_scaling == OD_ROPE_LLAMA3; i++) {
        od_gguf_put_f32(keys, names[i], (float)numbers[i]);
    }
    return OD_OK;
}

void od_gguf_rope_divisors(const struct od_spec *spec, float *out)
{
    struct od_spec plain = *spec;
    plain.rope_scaling = OD_ROPE_PLAIN;
    for (int64_t i = 0; i < spec->head_dim / 2; i++) {
        out[i] = (float)(od_spec_rope_frequency(&plain, i) / od_spec_rope_frequency(spec, i));
    }
}

static enum od_status scaling_number(const struct od_gguf *gguf, const char *architecture,
                                     const char *name, double usual, double *ret,
                                     struct od_error *err)
{
    char key[KEY_BYTES];
    (void)snprintf(key, sizeof key, "%s.rope.scaling.%s", architecture, name);
    return od_gguf_number_or(gguf, key, usual, ret, err);
}

// Keys of YaRN that mean something else than what is computed here unless they say what is usual.
static enum od_status check_switches(const struct od_gguf *gguf, const char *architecture,
                                     struct od_error *err)
{
    static const char *const ones[] = {"yarn_ext_factor", "yarn_attn_factor"};
    for (size_t i = 0; i < sizeof ones / sizeof ones[0]; i++) {
        double number = 1;
        const enum od_status status = scaling_number(gguf, architecture, ones[i], 1, &number, err);
        if (status != OD_OK) {
            return status;
        }
        if (number < 1 || number > 1) {
            return od_fail(err, OD_E_UNSUPPORTED, "'%s': '%s.rope.scaling.%s' %g is not supported",
                           od_gguf_name(gguf), architecture, ones[i], number);
        }
    }
    return OD_OK;
}

static enum od_status read_yarn(const struct od_gguf *gguf, const char *architecture,
                                struct od_spec *spec, struct od_error *err)
{
    double weight = 0;
    double attention = 1;
    const struct {
        const char *name;
        double usual;
        double *to;
    } numbers[] = {
        {"original_context_length", (double)spec->max_positions, &spec->rope_original},
        {"yarn_beta_fast", OD_YARN_FAST, &spec->rope_fast},
        {"yarn_beta_slow", OD_YARN_SLOW, &spec->rope_slow},
        {"attn_factor", 1, &attention},
    };
    enum od_status status =
        scaling_number(gguf, architecture, "yarn_log_multiplier", 0, &weight, err);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0] && status == OD_OK; i++) {
        status = scaling_number(gguf, architecture, numbers[i].name, numbers[i].usual,
                                numbers[i].to, err);
        if (status == OD_OK && !(*numbers[i].to > 0 && *numbers[i].to < 1e9)) {
            return od_fail(err, OD_E_FORMAT, "'%s': '%s.rope.scaling.%s' %g must be positive",
                           od_gguf_name(gguf), architecture, numbers[i].name, *numbers[i].to);
        }
    }
    if (status == OD_OK && !(weight >= 0 && weight < 1e9)) {
        status = od_fail(err, OD_E_FORMAT,
                         "'%s': '%s.rope.scaling.yarn_log_multiplier' %g cannot be below 0",
                         od_gguf_name(gguf), architecture, weight);
    }
    if (status == OD_OK) {
        status = check_switches(gguf, architecture, err);
    }
    if (status != OD_OK) {
        return status;
    }
    spec->rope_scaling = OD_ROPE_YARN;
    spec->rope_attention = attention * od_spec_yarn_attention(spec->rope_factor, 1) /
                           od_spec_yarn_attention(spec->rope_factor, weight);
    return od_spec_check_yarn(spec, od_gguf_name(gguf), err);
}

// What the keys say: linear scaling, YaRN or none.
static enum od_status read_keys(const struct od_gguf *gguf, const char *architecture,
                                struct od_spec *spec, struct od_error *err)
{
    char key[KEY_BYTES];
    const char *type = NULL;
    double factor = 0;
    enum od_status status = scaling_number(gguf, architecture, "factor", 0, &factor, err);
    (void)snprintf(key, sizeof key, "%s.rope.scale_linear", architecture);
    if (status == OD_OK) {
        status = od_gguf_number_or(gguf, key, factor, &factor, err);
    }
    (void)snprintf(key, sizeof key, "%s.rope.scaling.type", architecture);
    if (status == OD_OK) {
        status = od_gguf_text_or(gguf, key, factor > 0 ? "linear" : "none", &type, err);
    }
    if (status != OD_OK || strcmp(type, "none") == 0) {
        return status;
    }
    const bool yarn = strcmp(type, "yarn") == 0;
    if ((!yarn && strcmp(type, "linear") != 0) || !(factor > 0 && factor < 1e9)) {
        return od_fail(err, OD_E_UNSUPPORTED,
                       "'%s': scaled positions of type '%.32s' with factor %g are not supported",
                       od_gguf_name(gguf), type, factor);
    }
    spec->rope_factor = factor;
    if (yarn) {
        return read_yarn(gguf, architecture, spec, err);
    }
    spec->rope_scaling = OD_ROPE_LINEAR;
    return OD_OK;
}

// Read the divisors. @memory Fills have [HALF_MAX].
static enum od_status read_divisors(const struct od_gguf *gguf, const struct od_gguf_tensor *tensor,
                                    const struct od_spec *spec, float *have, struct od_error *err)
{
    const int64_t count = spec->head_dim / 2;
    if (tensor->rank != 1 || tensor->count != count || count > HALF_MAX) {
        return od_fail(err, OD_E_FORMAT, "'%s': tensor '%s' does not fit heads of %d",
                       od_gguf_name(gguf), tensor->name, (int)spec->head_dim);
    }
    return od_gguf_read_f32(gguf, tensor, have, err);
}

static double rounded(double number)
{
    const double whole = round(number);
    return whole >= 1 && fabs(number / whole - 1) < round_tolerance ? whole : number;
}

// Factor, low, high and original of divisors; false where too few waves tell.
static bool fit_divisors(const struct od_spec *spec, const float *have, double numbers[NUMBERS])
{
    struct od_spec plain = *spec;
    const int64_t count = spec->head_dim / 2;
    double factor = 0;
    double n = 0;
    double sum_x = 0;
    double sum_s = 0;
    double sum_xx = 0;
    double sum_xs = 0;
    plain.rope_scaling = OD_ROPE_PLAIN;
    for (int64_t i = 0; i < count; i++) {
        factor = fmax(factor, (double)have[i]);
    }
    for (int64_t i = 0; i < count; i++) {
        const double d = (double)have[i];
        if (!(d > 1 + whole_tolerance && d < factor * (1 - whole_tolerance))) {
            continue;
        }
        const double x = od_spec_rope_frequency(&plain, i);
        const double s = (1 / d - 1 / factor) / (1 - 1 / factor);
        n += 1;
        sum_x += x;
        sum_s += s;
        sum_xx += x * x;
        sum_xs += x * s;
    }
    const double slope = (n * sum_xs - sum_x * sum_s) / (n * sum_xx - sum_x * sum_x);
    const double height = (slope * sum_x - sum_s) / n;  // below the axis
    if (n < 2 || !isfinite(slope) || !(slope > 0) || !(height > 0)) {
        return false;
    }
    const double turn = 2 * acos(-1.0);  // a wave is that over its frequency
    numbers[0] = factor;
    numbers[1] = 1;
    numbers[2] = rounded(1 + 1 / height);
    numbers[3] = rounded(turn * slope / height);
    return true;
}

static enum od_status check_divisors(const struct od_gguf *gguf, const float *have,
                                     const struct od_spec *spec, struct od_error *err)
{
    float want[HALF_MAX];
    od_gguf_rope_divisors(spec, want);
    for (int64_t i = 0; i < spec->head_dim / 2; i++) {
        if (!(fabs((double)have[i] / (double)want[i] - 1) < divisor_tolerance)) {
            return od_fail(err, OD_E_UNSUPPORTED,
                           "'%s': the divisors of positions in '%s' are not those of Llama 3's "
                           "scaling with factor %g, low %g, high %g, original %g",
                           od_gguf_name(gguf), OD_GGUF_ROPE_DIVISORS, spec->rope_factor,
                           spec->rope_low, spec->rope_high, spec->rope_original);
        }
    }
    return OD_OK;
}

// The four numbers of the tensor's scaling: those that the file states, else those that fit.
static enum od_status read_numbers(const struct od_gguf *gguf, const struct od_spec *spec,
                                   const float *have, double numbers[NUMBERS], struct od_error *err)
{
    bool stated = true;
    for (int i = 0; i < NUMBERS; i++) {
        const enum od_status status = od_gguf_number_or(gguf, names[i], 0, &numbers[i], err);
        if (status != OD_OK) {
            return status;
        }
        stated = stated && numbers[i] > 0 && isfinite(numbers[i]);
    }
    if (!stated && !fit_divisors(spec, have, numbers)) {
        return od_fail(err, OD_E_UNSUPPORTED,
                       "'%s': tensor '%s' scales positions in a way that cannot be told from it",
                       od_gguf_name(gguf), OD_GGUF_ROPE_DIVISORS);
    }
    return OD_OK;
}

enum od_status od_gguf_read_rope(const struct od_gguf *gguf, const char *architecture,
                                 struct od_spec *spec, struct od_error *err)
{
    const struct od_gguf_tensor *tensor = od_gguf_find_tensor(gguf, OD_GGUF_ROPE_DIVISORS);
    float have[HALF_MAX];
    double numbers[NUMBERS] = {0};
    enum od_status status = read_keys(gguf, architecture, spec, err);
    if (status != OD_OK || !tensor) {
        return status;
    }
    if ((status = read_divisors(gguf, tensor, spec, have, err)) != OD_OK ||
        (status = read_numbers(gguf, spec, have, numbers, err)) != OD_OK) {
        return status;
    }
    if (spec->rope_scaling != OD_ROPE_PLAIN || !(numbers[2] > numbers[1])) {
        return od_fail(err, OD_E_UNSUPPORTED, "'%s': positions are scaled in two ways or in none",
                       od_gguf_name(gguf));
    }
    spec->rope_scaling = OD_ROPE_LLAMA3;
    spec->rope_factor = numbers[0];
    spec->rope_low = numbers[1];
    spec->rope_high = numbers[2];
    spec->rope_original = numbers[3];
    return check_divisors(gguf, have, spec, err);
}
