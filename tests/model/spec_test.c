// Goal: a config.json means what it means to transformers, also where it leaves keys out or says null.
// Method: files and what transformers makes of them (tests/oracle/config_defaults.py, and yarn.py with the
// digits of float64); each is read, and read again after it was written here.

#include "model/spec.h"

#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/status.h"
#include "formats/json.h"
#include "ops/op.h"
#include "support.h"

static void read_text(const char *text, struct od_spec *ret)
{
    char path[OD_PATH_MAX_BYTES];
    struct od_error err = {0};
    assert_ok(od_path_join(path, test_folder(), "config.json", &err), &err);
    assert_ok(od_file_write(path, text, strlen(text), &err), &err);
    assert_ok(od_spec_read(path, ret, &err), &err);
}

static const char *activation_of(const struct od_spec *spec)
{
    switch (spec->activation) {
    case OD_ACTIVATION_SILU: return "silu";
    case OD_ACTIVATION_GELU: return "gelu";
    case OD_ACTIVATION_GELU_TANH: break;
    }
    return "gelu_new";
}

static double number(const json_t *want, const char *key)
{
    return json_number_value(json_object_get(want, key));
}

static bool is(const json_t *want, const char *key, int64_t value)
{
    return json_integer_value(json_object_get(want, key)) == value;
}

static bool same_windows(const struct od_spec *spec, const json_t *windows)
{
    bool same = (int64_t)json_array_size(windows) == spec->layers;
    for (int64_t layer = 0; layer < spec->layers; layer++) {
        const int64_t window = layer >= spec->window_from ? spec->window : 0;
        same = same && json_integer_value(json_array_get(windows, (size_t)layer)) == window;
    }
    return same;
}

static bool same_rope(const struct od_spec *spec, const json_t *want)
{
    const char *type = json_string_value(json_object_get(want, "rope_type"));
    if (!type) {
        return spec->learned_positions;
    }
    const bool linear = strcmp(type, "linear") == 0;
    return fabs(number(want, "rope_theta") - spec->rope_theta) < 1e-9 &&
           spec->rope_scaling == (linear ? OD_ROPE_LINEAR : OD_ROPE_PLAIN) &&
           (!linear || fabs(number(want, "rope_factor") - spec->rope_factor) < 1e-9);
}

// The first thing that differs, or NULL.
static const char *difference(const struct od_spec *spec, const json_t *want)
{
    const struct {
        const char *what;
        bool same;
    } checks[] = {
        {"heads", is(want, "heads", spec->heads)},
        {"kv_heads", is(want, "kv_heads", spec->kv_heads)},
        {"head_dim", is(want, "head_dim", spec->head_dim)},
        {"ffn", is(want, "ffn", spec->ffn)},
        {"eps", fabs(number(want, "eps") / (double)spec->norm_eps - 1.0) < 1e-6},
        {"init_std", fabs(number(want, "init_std") - spec->init_std) < 1e-12},
        {"tied", json_is_true(json_object_get(want, "tied")) == spec->tied},
        {"out_bias", json_is_true(json_object_get(want, "out_bias")) == spec->out_bias},
        {"activation",
         strcmp(json_string_value(json_object_get(want, "activation")), activation_of(spec)) == 0},
        {"windows", same_windows(spec, json_object_get(want, "windows"))},
        {"rope", same_rope(spec, want)},
    };
    for (size_t i = 0; i < sizeof checks / sizeof checks[0]; i++) {
        if (!checks[i].same) {
            return checks[i].what;
        }
    }
    return NULL;
}

static void as_transformers(void **state)
{
    size_t i;
    const json_t *one;
    json_t *record = NULL;
    struct od_error err = {0};
    (void)state;
    assert_ok(od_json_read(test_source("tests/golden/oracle/config_defaults.json"), &record, &err),
              &err);
    const json_t *cases = json_object_get(record, "cases");
    assert_true(json_array_size(cases) > 40);
    json_array_foreach(cases, i, one)
    {
        struct od_spec spec;
        struct od_buf again;
        char *text = json_dumps(json_object_get(one, "config"), 0);
        const json_t *want = json_object_get(one, "want");
        assert_non_null(text);
        read_text(text, &spec);
        const char *first = difference(&spec, want);
        if (first) {
            fail_msg("%s: '%s' differs", text, first);
        }
        // What is written says everything, so that no default is needed.
        od_buf_init(&again, 1 << 16);
        assert_ok(od_spec_write(&spec, &again, &err), &err);
        read_text(od_buf_text(&again), &spec);
        const char *second = difference(&spec, want);
        if (second) {
            fail_msg("%s, written and read: '%s' differs", text, second);
        }
        od_buf_release(&again);
        free(text);  // json_dumps' own allocation
    }
    json_decref(record);
}

static double entry(const json_t *list, int64_t index)
{
    return json_number_value(json_array_get(list, (size_t)index));
}

// Frequencies, the attention's factor and the table's rows at some positions; NULL where all are the same.
static const char *yarn_difference(const struct od_spec *spec, const json_t *want,
                                   const json_t *positions)
{
    const json_t *frequencies = json_object_get(want, "frequencies");
    const json_t *table = json_object_get(want, "table");
    const int64_t pairs = spec->head_dim / 2;
    const double attention = number(want, "attention");
    size_t i;
    const json_t *position;
    if (spec->rope_scaling != OD_ROPE_YARN || pairs != (int64_t)json_array_size(frequencies) ||
        !(fabs(spec->rope_theta - number(want, "theta")) < 1e-9)) {
        return "kind, head or theta";
    }
    if (!(fabs(spec->rope_attention / attention - 1) < 1e-14)) {
        return "attention";
    }
    for (int64_t pair = 0; pair < pairs; pair++) {
        if (!(fabs(od_spec_rope_frequency(spec, pair) / entry(frequencies, pair) - 1) < 1e-14)) {
            return "frequencies";
        }
    }
    const int64_t rows =
        1 + json_integer_value(json_array_get(positions, json_array_size(positions) - 1));
    float *have = od_alloc((size_t)(rows * spec->head_dim), sizeof *have);
    assert_non_null(have);
    od_spec_rope_table(spec, rows, have);
    double worst = 0;
    json_array_foreach(positions, i, position)
    {
        const float *row = have + json_integer_value(position) * spec->head_dim;
        for (int64_t at = 0; at < spec->head_dim; at++) {
            worst = fmax(worst, fabs((double)row[at] - entry(json_array_get(table, i), at)));
        }
    }
    od_free(have);
    return worst <= 1.2e-7 * fmax(attention, 1) ? NULL : "table";  // one rounding to float
}

static void yarn_as_transformers(void **state)
{
    size_t i;
    const json_t *one;
    json_t *record = NULL;
    struct od_error err = {0};
    (void)state;
    assert_ok(od_json_read(test_source("tests/golden/oracle/yarn.json"), &record, &err), &err);
    const json_t *cases = json_object_get(record, "cases");
    const json_t *positions = json_object_get(record, "positions");
    assert_true(json_array_size(cases) > 12);
    json_array_foreach(cases, i, one)
    {
        struct od_spec spec;
        struct od_buf again;
        char *text = json_dumps(json_object_get(one, "config"), 0);
        assert_non_null(text);
        for (int time = 0; time < 2; time++) {
            read_text(time == 0 ? text : od_buf_text(&again), &spec);
            const char *what = yarn_difference(&spec, one, positions);
            if (what) {
                fail_msg("%s, read %d times: %s", text, time + 1, what);
            }
            if (time == 0) {
                od_buf_init(&again, 1 << 16);
                assert_ok(od_spec_write(&spec, &again, &err), &err);
            }
        }
        od_buf_release(&again);
        free(text);  // json_dumps' own allocation
    }
    json_decref(record);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(as_transformers),
                                       cmocka_unit_test(yarn_as_transformers)};
    return cmocka_run_group_tests_name("model/spec", tests, NULL, NULL);
}
