// Rotary positions and how they are scaled for longer contexts: keys of config.json, frequencies, tables.
//
//   linear   every frequency divided by the factor
//   llama3   long waves stretched by the factor, short ones kept, those between blended
//   yarn     a pair of a head that turns beta_fast times or more in the original context is kept, one that
//            turns beta_slow times or less is stretched, and between the two the share that is stretched
//            grows by the pair's number; cosines and sines are multiplied by a factor of the attention

#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/status.h"
#include "formats/json.h"
#include "model/spec.h"
#include "model/spec_internal.h"

static const double turn = 2.0 * 3.14159265358979323846;

static enum od_status scaling_number(const json_t *scaling, const char *key, double usual,
                                     const char *where, double *ret, struct od_error *err)
{
    const enum od_status status = od_json_number_or(scaling, key, where, usual, ret, err);
    if (status == OD_OK && !(*ret > 0.0 && *ret < 1e9)) {
        return od_fail(err, OD_E_FORMAT, "%s: 'rope_scaling' needs a positive '%s'", where, key);
    }
    return status;
}

// The context before it was stretched. transformers lets the model's own key go first, and takes its
// context where nothing is said.
static enum od_status read_original(const json_t *config, const json_t *scaling, const char *where,
                                    struct od_spec *spec, struct od_error *err)
{
    static const char key[] = "original_max_position_embeddings";
    const json_t *from = json_object_get(config, key) ? config : scaling;
    return scaling_number(from, key, (double)spec->max_positions, where, &spec->rope_original, err);
}

static enum od_status read_llama3(const json_t *config, const json_t *scaling, const char *where,
                                  struct od_spec *spec, struct od_error *err)
{
    enum od_status status;
    spec->rope_scaling = OD_ROPE_LLAMA3;
    if ((status = scaling_number(scaling, "factor", 0, where, &spec->rope_factor, err)) != OD_OK ||
        (status = scaling_number(scaling, "low_freq_factor", 0, where, &spec->rope_low, err)) !=
            OD_OK ||
        (status = scaling_number(scaling, "high_freq_factor", 0, where, &spec->rope_high, err)) !=
            OD_OK ||
        (status = read_original(config, scaling, where, spec, err)) != OD_OK) {
        return status;
    }
    if (!(spec->rope_high > spec->rope_low)) {
        return od_fail(err, OD_E_FORMAT, "%s: 'high_freq_factor' must be above 'low_freq_factor'",
                       where);
    }
    return OD_OK;
}

double od_spec_yarn_attention(double factor, double weight)
{
    return factor > 1.0 ? 1.0 + 0.1 * weight * log(factor) : 1.0;
}

// Stated, or the quotient of two weights that are stated, or the paper's.
static enum od_status read_attention(const json_t *scaling, const char *where, struct od_spec *spec,
                                     struct od_error *err)
{
    double weight = 0;
    double all_weight = 0;
    double usual = od_spec_yarn_attention(spec->rope_factor, 1.0);
    enum od_status status = od_json_number_or(scaling, "mscale", where, 0, &weight, err);
    if (status == OD_OK) {
        status = od_json_number_or(scaling, "mscale_all_dim", where, 0, &all_weight, err);
    }
    if (status != OD_OK) {
        return status;
    }
    if (!(weight >= 0 && all_weight >= 0)) {
        return od_fail(err, OD_E_FORMAT, "%s: 'mscale' and 'mscale_all_dim' cannot be below 0",
                       where);
    }
    if (weight > 0 && all_weight > 0) {
        usual = od_spec_yarn_attention(spec->rope_factor, weight) /
                od_spec_yarn_attention(spec->rope_factor, all_weight);
    }
    return scaling_number(scaling, "attention_factor", usual, where, &spec->rope_attention, err);
}

// Zero counts as absent.
static enum od_status read_turns(const json_t *scaling, const char *key, double usual,
                                 const char *where, double *ret, struct od_error *err)
{
    const json_t *value = json_object_get(scaling, key);
    const bool zero = json_is_number(value) && !(fabs(json_number_value(value)) > 0);
    if (zero) {
        *ret = usual;
        return OD_OK;
    }
    return scaling_number(scaling, key, usual, where, ret, err);
}

static enum od_status read_yarn(const json_t *config, const json_t *scaling, const char *where,
                                struct od_spec *spec, struct od_error *err)
{
    bool truncate = true;
    enum od_status status = read_original(config, scaling, where, spec, err);
    if (status != OD_OK) {
        return status;
    }
    const json_t *factor = json_object_get(scaling, "factor");
    const double usual =
        json_is_null(factor) ? (double)spec->max_positions / spec->rope_original : 0;
    spec->rope_scaling = OD_ROPE_YARN;
    if ((status = scaling_number(scaling, "factor", usual, where, &spec->rope_factor, err)) !=
            OD_OK ||
        (status = read_attention(scaling, where, spec, err)) != OD_OK ||
        (status = read_turns(scaling, "beta_fast", OD_YARN_FAST, where, &spec->rope_fast, err)) !=
            OD_OK ||
        (status = read_turns(scaling, "beta_slow", OD_YARN_SLOW, where, &spec->rope_slow, err)) !=
            OD_OK ||
        (status = od_json_bool_or(scaling, "truncate", where, true, &truncate, err)) != OD_OK) {
        return status;
    }
    spec->rope_between = !truncate;
    return od_spec_check_yarn(spec, where, err);
}

// rope_scaling, or rope_parameters where newer files have both.
static enum od_status read_scaling(const json_t *config, const json_t *scaling, const char *where,
                                   struct od_spec *spec, struct od_error *err)
{
    const char *type = NULL;
    enum od_status status = od_json_text_or(scaling, "type", where, "default", &type, err);
    if (status == OD_OK) {
        status = od_json_text_or(scaling, "rope_type", where, type, &type, err);
    }
    if (status != OD_OK || strcmp(type, "default") == 0) {
        return status;
    }
    if (strcmp(type, "linear") == 0) {
        spec->rope_scaling = OD_ROPE_LINEAR;
        return scaling_number(scaling, "factor", 0, where, &spec->rope_factor, err);
    }
    if (strcmp(type, "llama3") == 0) {
        return read_llama3(config, scaling, where, spec, err);
    }
    if (strcmp(type, "yarn") == 0) {
        return read_yarn(config, scaling, where, spec, err);
    }
    return od_fail(err, OD_E_UNSUPPORTED,
                   "%s: rotary positions scaled by '%.60s' are not known: linear, llama3 and yarn "
                   "are",
                   where, type);
}

enum od_status od_spec_read_rope(const json_t *config, const char *where, struct od_spec *spec,
                                 struct od_error *err)
{
    const json_t *scaling = json_object_get(config, "rope_scaling");
    enum od_status status =
        od_json_number_or(config, "rope_theta", where, 10000.0, &spec->rope_theta, err);
    if (json_object_size(scaling) == 0) {
        scaling = json_object_get(config, "rope_parameters");
    }
    if (status == OD_OK && json_is_object(scaling)) {
        status = od_json_number_or(scaling, "rope_theta", where, spec->rope_theta,
                                   &spec->rope_theta, err);
    }
    if (status == OD_OK && !(spec->rope_theta > 1.0 && spec->rope_theta < 1e12)) {
        return od_fail(err, OD_E_FORMAT, "%s: 'rope_theta' must be above 1", where);
    }
    return status == OD_OK && json_is_object(scaling)
               ? read_scaling(config, scaling, where, spec, err)
               : status;
}

static void put_yarn(struct od_json_writer *w, const struct od_spec *spec)
{
    const double usual = od_spec_yarn_attention(spec->rope_factor, 1.0);
    od_json_member_number(w, "beta_fast", spec->rope_fast);
    od_json_member_number(w, "beta_slow", spec->rope_slow);
    if (fabs(spec->rope_attention - usual) > 0) {
        od_json_member_number(w, "attention_factor", spec->rope_attention);
    }
    if (spec->rope_between) {
        od_json_member_bool(w, "truncate", false);
    }
}

void od_spec_put_rope(struct od_json_writer *w, const struct od_spec *spec)
{
    static const char *const names[] = {[OD_ROPE_PLAIN] = "default",
                                        [OD_ROPE_LINEAR] = "linear",
                                        [OD_ROPE_LLAMA3] = "llama3",
                                        [OD_ROPE_YARN] = "yarn"};
    od_json_member_number(w, "rope_theta", spec->rope_theta);
    if (spec->rope_scaling == OD_ROPE_PLAIN) {
        return;
    }
    od_json_key(w, "rope_scaling");
    od_json_object_begin(w);
    od_json_member_text(w, "rope_type", names[spec->rope_scaling]);
    od_json_member_number(w, "factor", spec->rope_factor);
    if (spec->rope_scaling == OD_ROPE_LLAMA3) {
        od_json_member_number(w, "low_freq_factor", spec->rope_low);
        od_json_member_number(w, "high_freq_factor", spec->rope_high);
    }
    if (spec->rope_scaling == OD_ROPE_YARN) {
        put_yarn(w, spec);
    }
    if (spec->rope_scaling != OD_ROPE_LINEAR) {
        od_json_member_int(w, "original_max_position_embeddings", (int64_t)spec->rope_original);
    }
    od_json_object_end(w);
}

// Wave lengths beyond the original context are stretched, short ones kept, those between blended.
static double llama3_frequency(const struct od_spec *spec, double frequency)
{
    const double length = turn / frequency;
    if (length < spec->rope_original / spec->rope_high) {
        return frequency;
    }
    if (length > spec->rope_original / spec->rope_low) {
        return frequency / spec->rope_factor;
    }
    const double smooth =
        (spec->rope_original / length - spec->rope_low) / (spec->rope_high - spec->rope_low);
    return (1.0 - smooth) * frequency / spec->rope_factor + smooth * frequency;
}

// Number of the pair, with a fraction, that turns so often in the original context.
static double pair_of(const struct od_spec *spec, double turns)
{
    return (double)spec->head_dim * log(spec->rope_original / (turns * turn)) /
           (2.0 * log(spec->rope_theta));
}

// The last pair that is kept and the first that is stretched in whole.
static void yarn_border(const struct od_spec *spec, double *ret_low, double *ret_high)
{
    const double low = pair_of(spec, spec->rope_fast);
    const double high = pair_of(spec, spec->rope_slow);
    *ret_low = fmax(spec->rope_between ? low : floor(low), 0.0);
    *ret_high = fmin(spec->rope_between ? high : ceil(high), (double)spec->head_dim - 1.0);
}

enum od_status od_spec_check_yarn(const struct od_spec *spec, const char *where,
                                  struct od_error *err)
{
    double low = 0;
    double high = 0;
    yarn_border(spec, &low, &high);
    if (!(spec->rope_fast >= spec->rope_slow) || !(low <= high)) {
        return od_fail(err, OD_E_FORMAT,
                       "%s: YaRN with beta_fast %g, beta_slow %g and an original context of %g "
                       "does not tell which positions are stretched",
                       where, spec->rope_fast, spec->rope_slow, spec->rope_original);
    }
    return OD_OK;
}

static double yarn_frequency(const struct od_spec *spec, int64_t index, double frequency)
{
    double low = 0;
    double high = 0;
    yarn_border(spec, &low, &high);
    // transformers' border of no width is a thousandth wide.
    const double width = high > low ? high - low : 0.001;
    const double stretched = fmin(fmax(((double)index - low) / width, 0.0), 1.0);
    return stretched * frequency / spec->rope_factor + (1.0 - stretched) * frequency;
}

double od_spec_rope_frequency(const struct od_spec *spec, int64_t index)
{
    const double frequency = pow(spec->rope_theta, -2.0 * (double)index / (double)spec->head_dim);
    switch (spec->rope_scaling) {
    case OD_ROPE_LINEAR: return frequency / spec->rope_factor;
    case OD_ROPE_LLAMA3: return llama3_frequency(spec, frequency);
    case OD_ROPE_YARN: return yarn_frequency(spec, index, frequency);
    case OD_ROPE_PLAIN: break;
    }
    return frequency;
}

void od_spec_rope_table(const struct od_spec *spec, int64_t positions, float *table)
{
    const int32_t half = spec->head_dim / 2;
    const double scale = spec->rope_scaling == OD_ROPE_YARN ? spec->rope_attention : 1.0;
    for (int32_t i = 0; i < half; i++) {
        const double frequency = od_spec_rope_frequency(spec, i);
        for (int64_t p = 0; p < positions; p++) {
            table[p * spec->head_dim + i] = (float)(scale * cos((double)p * frequency));
            table[p * spec->head_dim + half + i] = (float)(scale * sin((double)p * frequency));
        }
    }
}
