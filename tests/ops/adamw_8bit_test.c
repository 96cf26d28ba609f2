// Goal: AdamW with 8-bit moments computes what its header says, and what bitsandbytes computes.
// Method: codes against a search through the whole map in double; a step against the definition in
// double, with the moments as they were stored; the same bits for any number of threads; the record
// of bitsandbytes (tests/oracle/adamw_8bit.py), each step from the recorded state before it.

#include "ops/adamw/adamw_8bit.h"

#include <jansson.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/random.h"
#include "base/status.h"
#include "formats/json.h"
#include "ops/cpu.h"
#include "ops/kernels.h"
#include "support.h"

enum { COUNT_MAX = 5000, BLOCKS_MAX = COUNT_MAX / OD_ADAMW_8BIT_BLOCK + 1 };

struct state {
    float w[COUNT_MAX];
    float g[COUNT_MAX];
    uint8_t m[COUNT_MAX];
    uint8_t v[COUNT_MAX];
    float m_scales[BLOCKS_MAX];
    float v_scales[BLOCKS_MAX];
};

static struct od_adamw_8bit view(struct state *s, int64_t count)
{
    return (struct od_adamw_8bit){.w = s->w,
                                  .m = s->m,
                                  .v = s->v,
                                  .m_scales = s->m_scales,
                                  .v_scales = s->v_scales,
                                  .g = s->g,
                                  .count = count};
}

static struct od_adamw_step scalars(double lr, double beta1, double beta2, double decay, int t)
{
    return (struct od_adamw_step){.lr = (float)lr,
                                  .beta1 = (float)beta1,
                                  .beta2 = (float)beta2,
                                  .one_minus_beta1 = (float)(1.0 - beta1),
                                  .one_minus_beta2 = (float)(1.0 - beta2),
                                  .step_size = (float)(lr / (1.0 - pow(beta1, t))),
                                  .inv_sqrt_bc2 = (float)(1.0 / sqrt(1.0 - pow(beta2, t))),
                                  .eps = 1e-8F,
                                  .decay = (float)(1.0 - lr * decay),
                                  .grad_scale = 1.0F};
}

static void random_gradient(struct state *s, int64_t count, uint32_t step)
{
    for (int64_t i = 0; i < count; i++) {
        double a;
        double b;
        od_normal_pair(od_philox_draw(test_seed(), 31, step, (uint64_t)i), &a, &b);
        s->g[i] = (float)(a * pow(10.0, -(double)(i / OD_ADAMW_8BIT_BLOCK % 5)));
    }
}

static void maps(void **state)
{
    (void)state;
    struct od_adamw_maps made;
    od_adamw_maps_make(&made);
    assert_true(made.m[255] == 1.0F && made.v[255] == 1.0F);
    assert_true(made.m[127] == 0.0F && made.v[0] == 0.0F);
    for (int i = 1; i < 256; i++) {
        assert_true(made.m[i] > made.m[i - 1]);
        assert_true(made.v[i] > made.v[i - 1]);
    }
    for (int i = 0; i < 127; i++) {  // all but 0 and 1 have a negative
        assert_true(made.m[i] == -made.m[254 - i]);
    }
    // The largest decade of m: 64 parts of 0.9 / 64; of v: 128.
    assert_true(fabs((double)made.m[254] - (1.0 - 0.45 / 64.0)) < 1e-7);
    assert_true(fabs((double)made.v[254] - (1.0 - 0.45 / 128.0)) < 1e-7);
    // The smallest: one part of a decade that ends at a millionth.
    assert_true(fabs((double)made.m[128] - 0.55e-6) < 1e-13);
    assert_true(fabs((double)made.v[1] - 0.325e-6) < 1e-13);
}

static void nearest_code(void **state)
{
    (void)state;
    struct od_adamw_maps made;
    od_adamw_maps_make(&made);
    for (uint64_t i = 0; i < 20000; i++) {
        const struct od_philox draw = od_philox_draw(test_seed(), 32, 0, i);
        const double size = pow(10.0, -7.0 * od_uniform_f64(draw.word[0], draw.word[1]));
        const bool is_m = i % 2 == 0;
        const float *map = is_m ? made.m : made.v;
        const float x = (float)(is_m && draw.word[2] % 2 == 0 ? -size : size);
        const int code = od_adamw_8bit_code(map, x);
        double best = 2.0;
        for (int j = 0; j < 256; j++) {
            best = fmin(best, fabs((double)map[j] - (double)x));
        }
        if (fabs((double)map[code] - (double)x) > best + 1e-7 * size) {
            fail_msg("%g became %g, seed %llu", (double)x, (double)map[code],
                     (unsigned long long)test_seed());
        }
    }
    for (int j = 0; j < 256; j++) {
        assert_int_equal(od_adamw_8bit_code(made.m, made.m[j]), j);
        assert_int_equal(od_adamw_8bit_code(made.v, made.v[j]), j);
    }
}

// One step from a state that several steps made, against the definition in double.
static void follows_the_definition(void **state)
{
    (void)state;
    static struct state s;
    static struct state before;
    struct od_adamw_maps made;
    od_adamw_maps_make(&made);
    for (int round = 0; round < 4; round++) {
        const int64_t count = (const int64_t[]){1, 256, 4097, COUNT_MAX}[round];
        struct od_adamw_8bit t = view(&s, count);
        memset(&s, 0, sizeof s);
        for (int64_t i = 0; i < count; i++) {
            s.w[i] = (float)(i % 17) * 0.1F - 0.8F;
        }
        for (int step = 1; step <= 5; step++) {
            random_gradient(&s, count, (uint32_t)(10 * round + step));
            before = s;
            const struct od_adamw_step now = scalars(1e-2, 0.9, 0.99, 0.1, step);
            od_adamw_8bit_step(&t, &made, &now, 0, od_adamw_8bit_blocks(count));
            for (int64_t i = 0; i < count; i++) {
                const int64_t block = i / OD_ADAMW_8BIT_BLOCK;
                const double g = (double)s.g[i];
                const double m =
                    0.9 * (double)made.m[before.m[i]] * (double)before.m_scales[block] + 0.1 * g;
                const double v =
                    0.99 * (double)made.v[before.v[i]] * (double)before.v_scales[block] +
                    0.01 * g * g;
                const double w = (double)before.w[i] * (1.0 - 1e-3) -
                                 1e-2 / (1.0 - pow(0.9, step)) * m /
                                     (sqrt(v) / sqrt(1.0 - pow(0.99, step)) + 1e-8);
                assert_true(fabs((double)s.w[i] - w) < 1e-6);
                const double m_now = (double)made.m[s.m[i]] * (double)s.m_scales[block];
                const double v_now = (double)made.v[s.v[i]] * (double)s.v_scales[block];
                // Half of the widest gap of a map, and a share of the value where gaps are narrow.
                assert_true(fabs(m_now - m) <= 0.0071 * (double)s.m_scales[block]);
                assert_true(fabs(v_now - v) <= 0.0036 * (double)s.v_scales[block]);
                assert_true(m == 0.0 || (m_now > 0.0) == (m > 0.0));
            }
        }
    }
}

// Values that are tiny beside the largest of their block keep their sign.
static void keeps_signs(void **state)
{
    (void)state;
    static struct state s;
    struct od_adamw_maps made;
    struct od_adamw_8bit t = view(&s, 3);
    const struct od_adamw_step now = scalars(1e-3, 0.9, 0.99, 0.0, 1);
    od_adamw_maps_make(&made);
    s.g[0] = 1.0F;
    s.g[1] = 1e-9F;
    s.g[2] = -1e-9F;
    od_adamw_8bit_step(&t, &made, &now, 0, 1);
    assert_int_equal(s.m[0], 255);
    assert_int_equal(s.m[1], 128);
    assert_int_equal(s.m[2], 126);
    memset(&s, 0, sizeof s);  // nothing to learn: no step, the codes of 0
    od_adamw_8bit_step(&t, &made, &now, 0, 1);
    assert_true(s.w[0] == 0.0F && s.m_scales[0] == 0.0F && s.v_scales[0] == 0.0F);
    assert_int_equal(s.m[0], 127);
    assert_int_equal(s.v[0], 0);
}

static void threads_agree(void **state)
{
    (void)state;
    static struct state one;
    static struct state many;
    struct od_adamw_maps made;
    od_adamw_maps_make(&made);
    memset(&one, 0, sizeof one);
    memset(&many, 0, sizeof many);
    for (int step = 1; step <= 3; step++) {
        const struct od_adamw_step now = scalars(1e-3, 0.9, 0.99, 0.1, step);
        for (int k = 0; k < 2; k++) {
            struct od_cpu cpu;
            struct od_error err = {0};
            struct state *s = k == 0 ? &one : &many;
            const struct od_adamw_8bit t = view(s, COUNT_MAX);
            random_gradient(s, COUNT_MAX, (uint32_t)(100 + step));
            assert_ok(od_cpu_open(k == 0 ? 1 : 3, k == 0, &cpu, &err), &err);
            od_cpu_adamw_8bit(&cpu, &t, &made, &now);
            od_cpu_close(&cpu);
        }
        assert_memory_equal(&one, &many, sizeof one);
    }
}

static int digit(char c)
{
    return c <= '9' ? c - '0' : c - 'a' + 10;
}

static void read_bytes(const json_t *json, const char *key, uint8_t *to, size_t count)
{
    const char *text = json_string_value(json_object_get(json, key));
    assert_non_null(text);
    assert_int_equal(strlen(text), 2 * count);
    for (size_t i = 0; i < count; i++) {
        to[i] = (uint8_t)(digit(text[2 * i]) * 16 + digit(text[2 * i + 1]));
    }
}

static void read_floats(const json_t *json, const char *key, float *to, size_t count)
{
    static uint8_t raw[COUNT_MAX * 4];
    read_bytes(json, key, raw, 4 * count);
    for (size_t i = 0; i < count; i++) {
        const uint32_t bits = (uint32_t)raw[4 * i] << 24 | (uint32_t)raw[4 * i + 1] << 16 |
                              (uint32_t)raw[4 * i + 2] << 8 | (uint32_t)raw[4 * i + 3];
        memcpy(&to[i], &bits, sizeof bits);
    }
}

// What the script made: see there.
static float recorded_value(int64_t i, int64_t step)
{
    const int64_t integer = (i * 7919 + step * 104729) % 8191 - 4095;
    const float x = ldexpf((float)integer / 4096.0F, -(int)(i / 256 % 12));
    return step == 1 && i >= 512 && i < 768 ? 0.0F : x;
}

// How far the two are apart, in entries of a map.
static void compare_codes(const uint8_t *got, const uint8_t *want, int64_t count, const char *what)
{
    int64_t others = 0;
    for (int64_t i = 0; i < count; i++) {
        others += got[i] != want[i];
        if (abs(got[i] - want[i]) > 1) {
            fail_msg("%s of %lld: code %d, bitsandbytes has %d", what, (long long)i, got[i],
                     want[i]);
        }
    }
    print_message("# %s: %lld of %lld codes are a neighbour's\n", what, (long long)others,
                  (long long)count);
    assert_true(others <= count / 500);
}

// A block of zeros has scale 0, and its codes stand for 0 whatever they are.
static void drop_empty_blocks(struct state *s, const struct state *want, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        if (want->m_scales[i / OD_ADAMW_8BIT_BLOCK] == 0.0F) {
            s->m[i] = want->m[i];
            s->v[i] = want->v[i];
        }
    }
}

static void same_as_bitsandbytes(void **state)
{
    (void)state;
    static struct state s;
    static struct state want;
    struct od_error err = {0};
    struct od_adamw_maps made;
    struct od_adamw_maps theirs;
    json_t *json = NULL;
    const char *path = test_source("tests/golden/oracle/adamw_8bit.json");
    if (!od_path_exists(path)) {
        print_message("# no record of bitsandbytes\n");
        skip();
    }
    assert_ok(od_json_read(path, &json, &err), &err);
    const int64_t count = json_integer_value(json_object_get(json, "count"));
    const size_t blocks = (size_t)od_adamw_8bit_blocks(count);
    const json_t *steps = json_object_get(json, "steps");
    assert_true(count > 0 && count <= COUNT_MAX);
    od_adamw_maps_make(&made);
    read_floats(json, "m_map", theirs.m, 256);
    read_floats(json, "v_map", theirs.v, 256);
    assert_memory_equal(made.m, theirs.m, sizeof made.m);
    assert_memory_equal(made.v, theirs.v, sizeof made.v);
    memset(&s, 0, sizeof s);
    for (int64_t i = 0; i < count; i++) {
        s.w[i] = recorded_value(i, 0);
    }
    for (size_t k = 0; k < json_array_size(steps); k++) {
        const json_t *step = json_array_get(steps, k);
        const struct od_adamw_step now =
            scalars(json_number_value(json_object_get(json, "lr")),
                    json_number_value(json_object_get(json, "beta1")),
                    json_number_value(json_object_get(json, "beta2")),
                    json_number_value(json_object_get(json, "weight_decay")), (int)k + 1);
        const struct od_adamw_8bit t = view(&s, count);
        for (int64_t i = 0; i < count; i++) {
            s.g[i] = recorded_value(i, (int64_t)k + 1);
        }
        od_adamw_8bit_step(&t, &made, &now, 0, (int64_t)blocks);
        read_bytes(step, "m", want.m, (size_t)count);
        read_bytes(step, "v", want.v, (size_t)count);
        read_floats(step, "m_scales", want.m_scales, blocks);
        read_floats(step, "v_scales", want.v_scales, blocks);
        read_floats(step, "w", want.w, (size_t)(count + 15) / 16);
        for (size_t b = 0; b < blocks; b++) {  // theirs is 1 - beta2 in fp32, 1e-6 off
            assert_true(fabsf(s.m_scales[b] - want.m_scales[b]) <= 2e-6F * want.m_scales[b]);
            assert_true(fabsf(s.v_scales[b] - want.v_scales[b]) <= 2e-6F * want.v_scales[b]);
        }
        drop_empty_blocks(&s, &want, count);
        compare_codes(s.m, want.m, count, "m");
        compare_codes(s.v, want.v, count, "v");
        for (int64_t i = 0; i < count; i += 16) {
            assert_true(fabsf(s.w[i] - want.w[i / 16]) < 3e-6F);
        }
        memcpy(s.m, want.m, sizeof s.m);
        memcpy(s.v, want.v, sizeof s.v);
        memcpy(s.m_scales, want.m_scales, sizeof s.m_scales);
        memcpy(s.v_scales, want.v_scales, sizeof s.v_scales);
    }
    json_decref(json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(maps),          cmocka_unit_test(nearest_code),
        cmocka_unit_test(keeps_signs),   cmocka_unit_test(follows_the_definition),
        cmocka_unit_test(threads_agree), cmocka_unit_test(same_as_bitsandbytes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
