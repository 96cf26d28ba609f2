// How rotary frequencies are scaled, in GGUF files:
//
//   linear   keys ARCH.rope.scaling.type "linear" and ARCH.rope.scaling.factor
//   llama3   tensor rope_freqs.weight [head size / 2]: what each frequency is divided by
//
// The tensor does not say what it was made from. Files that are written here say it, under keys that
// other programs do not look at: oneday.rope.factor, low, high, original. A tensor without them is
// not supported.

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "formats/gguf.h"
#include "model/gguf_internal.h"
#include "model/spec.h"

enum { KEY_BYTES = 96, NUMBERS = 4 };

// The divisors are floats; the same arithmetic gives the same ones.
static const double divisor_tolerance = 1e-5;

static const char *const names[NUMBERS] = {"oneday.rope.factor", "oneday.rope.low",
                                           "oneday.rope.high", "oneday.rope.original"};

void od_gguf_put_rope(const struct od_spec *spec, const char *architecture,
                      struct od_gguf_keys *keys)
{
    char key[KEY_BYTES];
    const double numbers[NUMBERS] = {spec->rope_factor, spec->rope_low, spec->rope_high,
                                     spec->rope_original};
    if (spec->rope_scaling == OD_ROPE_LINEAR) {
        (void)snprintf(key, sizeof key, "%s.rope.scaling.type", architecture);
        od_gguf_put_text(keys, key, "linear");
        (void)snprintf(key, sizeof key, "%s.rope.scaling.factor", architecture);
        od_gguf_put_f32(keys, key, (float)spec->rope_factor);
    }
    for (int i = 0; i < NUMBERS && spec->rope_scaling == OD_ROPE_LLAMA3; i++) {
        od_gguf_put_f32(keys, names[i], (float)numbers[i]);
    }
}

void od_gguf_rope_divisors(const struct od_spec *spec, float *out)
{
    struct od_spec plain = *spec;
    plain.rope_scaling = OD_ROPE_PLAIN;
    for (int64_t i = 0; i < spec->head_dim / 2; i++) {
        out[i] = (float)(od_spec_rope_frequency(&plain, i) / od_spec_rope_frequency(spec, i));
    }
}

static enum od_status read_linear(const struct od_gguf *gguf, const char *architecture,
                                  struct od_spec *spec, struct od_error *err)
{
    char key[KEY_BYTES];
    const char *type = NULL;
    double factor = 0;
    (void)snprintf(key, sizeof key, "%s.rope.scaling.factor", architecture);
    enum od_status status = od_gguf_number_or(gguf, key, 0, &factor, err);
    (void)snprintf(key, sizeof key, "%s.rope.scaling.type", architecture);
    if (status == OD_OK) {
        status = od_gguf_text_or(gguf, key, factor > 0 ? "linear" : "none", &type, err);
    }
    if (status != OD_OK || strcmp(type, "none") == 0) {
        return status;
    }
    if (strcmp(type, "linear") != 0 || !(factor > 0) || !isfinite(factor)) {
        return od_fail(err, OD_E_UNSUPPORTED,
                       "'%s': scaled positions of type '%.32s' with factor %g are not supported",
                       od_gguf_name(gguf), type, factor);
    }
    spec->rope_scaling = OD_ROPE_LINEAR;
    spec->rope_factor = factor;
    return OD_OK;
}

static enum od_status check_divisors(const struct od_gguf *gguf,
                                     const struct od_gguf_tensor *tensor,
                                     const struct od_spec *spec, struct od_error *err)
{
    const size_t count = (size_t)spec->head_dim / 2;
    if (tensor->rank != 1 || tensor->count != (int64_t)count) {
        return od_fail(err, OD_E_FORMAT, "'%s': tensor '%s' does not fit heads of %d",
                       od_gguf_name(gguf), tensor->name, (int)spec->head_dim);
    }
    float *have = od_alloc(count, sizeof *have);
    float *want = od_alloc(count, sizeof *want);
    enum od_status status =
        have && want ? OD_OK : od_fail(err, OD_E_MEMORY, "no memory for '%s'", tensor->name);
    if (status == OD_OK) {
        status = od_gguf_read_f32(gguf, tensor, have, err);
    }
    if (status == OD_OK) {
        od_gguf_rope_divisors(spec, want);
    }
    for (size_t i = 0; i < count && status == OD_OK; i++) {
        if (!(fabs((double)have[i] / (double)want[i] - 1) < divisor_tolerance)) {
            status = od_fail(err, OD_E_UNSUPPORTED,
                             "'%s': the divisors in '%s' are not those of the scaling that the "
                             "keys oneday.rope.* state",
                             od_gguf_name(gguf), tensor->name);
        }
    }
    od_free(want);
    od_free(have);
    return status;
}

enum od_status od_gguf_read_rope(const struct od_gguf *gguf, const char *architecture,
                                 struct od_spec *spec, struct od_error *err)
{
    const struct od_gguf_tensor *tensor = od_gguf_find_tensor(gguf, OD_GGUF_ROPE_DIVISORS);
    double numbers[NUMBERS] = {0};
    enum od_status status = read_linear(gguf, architecture, spec, err);
    for (int i = 0; i < NUMBERS && status == OD_OK && tensor; i++) {
        status = od_gguf_number_or(gguf, names[i], 0, &numbers[i], err);
        if (status == OD_OK && !(numbers[i] > 0 && isfinite(numbers[i]))) {
            return od_fail(err, OD_E_UNSUPPORTED,
                           "'%s': tensor '%s' scales positions, and '%s' does not say how",
                           od_gguf_name(gguf), tensor->name, names[i]);
        }
    }
    if (status != OD_OK || !tensor) {
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
    return check_divisors(gguf, tensor, spec, err);
}
