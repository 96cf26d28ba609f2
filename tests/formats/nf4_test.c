// Goal: 4-bit NormalFloat as bitsandbytes stores it: its states decode to its values, every bit, and
// our codes are its codes.
// Method: states recorded by tests/oracle/nf4_states.py; random values for what no record covers.

#include "formats/nf4.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/random.h"
#include "base/status.h"
#include "formats/safetensors.h"
#include "support.h"

enum { NAME_BYTES = 64 };

static const char *const cases[] = {"small", "even", "wild"};
static const char *const devices[] = {"cpu", "cuda"};
enum { CASES = 3, DEVICES = 2 };

// A tensor of the record, raw. @memory Gives: od_free.
static void *raw(const struct od_safetensors *st, const char *name, int64_t *ret_count)
{
    struct od_error err = {0};
    const struct od_tensor_info *info = od_safetensors_find(st, name);
    if (!info) {
        return NULL;
    }
    int64_t count = 1;
    for (int i = 0; i < info->rank; i++) {
        count *= info->shape[i];
    }
    void *to = od_alloc((size_t)count, od_dtype_size(info->dtype));
    assert_non_null(to);
    assert_ok(od_safetensors_read_raw(st, info, to, &err), &err);
    *ret_count = count;
    return to;
}

static void *part(const struct od_safetensors *st, const char *name, const char *device,
                  const char *key, int64_t *ret_count)
{
    char full[NAME_BYTES];
    (void)snprintf(full, sizeof full, "%s%s%s.%s", name, device ? "." : "", device ? device : "",
                   key);
    return raw(st, full, ret_count);
}

static uint16_t bf16(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return (uint16_t)((bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16);
}

// The scales of a record in our order.
static uint8_t *scales_of(const struct od_safetensors *st, const char *name, const char *device,
                          int64_t count)
{
    static const char *const keys[] = {"map", "offset", "nested", "magnitudes"};
    const struct od_nf4_places at = od_nf4_places(count);
    const size_t places[] = {0, at.offset, at.nested, at.codes};
    const size_t size[] = {4, 4, 4, 1};
    uint8_t *scales = od_alloc(at.bytes, 1);
    assert_non_null(scales);
    for (int i = 0; i < 4; i++) {
        int64_t n = 0;
        void *data = part(st, name, device, keys[i], &n);
        assert_non_null(data);
        memcpy(scales + places[i], data, (size_t)n * size[i]);
        od_free(data);
    }
    return scales;
}

static struct od_safetensors *open_record(void)
{
    struct od_safetensors *st = NULL;
    struct od_error err = {0};
    assert_ok(od_safetensors_open(test_source("tests/golden/oracle/nf4.safetensors"), &st, &err),
              &err);
    return st;
}

static void recorded_states_decode_to_every_bit(void **state)
{
    (void)state;
    struct od_safetensors *st = open_record();
    int compared = 0;
    for (int i = 0; i < CASES * DEVICES; i++) {
        const char *name = cases[i / DEVICES];
        const char *device = devices[i % DEVICES];
        int64_t count = 0;
        int64_t code_bytes = 0;
        uint16_t *want = part(st, name, device, "bf16", &count);
        uint8_t *codes = part(st, name, device, "codes", &code_bytes);
        assert_non_null(want);
        assert_non_null(codes);
        assert_int_equal(code_bytes * 2, count);
        uint8_t *scales = scales_of(st, name, device, count);
        float *got = od_alloc((size_t)count, sizeof *got);
        assert_non_null(got);
        od_nf4_decode(codes, scales, count, 0, count, got);
        for (int64_t j = 0; j < count; j++) {
            assert_int_equal(bf16(got[j]), want[j]);
        }
        float *exact = part(st, name, device, "fp32", &count);
        for (int64_t j = 0; exact && j < count; j++) {
            assert_memory_equal(&got[j], &exact[j], sizeof *got);
        }
        od_free(exact);
        od_free(got);
        od_free(scales);
        od_free(codes);
        od_free(want);
        compared++;
    }
    assert_int_equal(compared, CASES * DEVICES);
    od_safetensors_close(st);
}

static void our_codes_and_scales_are_the_recorded_ones(void **state)
{
    (void)state;
    struct od_safetensors *st = open_record();
    for (int i = 0; i < CASES * DEVICES; i++) {
        const char *name = cases[i / DEVICES];
        const char *device = devices[i % DEVICES];
        int64_t count = 0;
        int64_t code_bytes = 0;
        uint16_t *stored = part(st, name, NULL, "values", &count);
        uint8_t *want = part(st, name, device, "codes", &code_bytes);
        assert_non_null(stored);
        const struct od_nf4_places at = od_nf4_places(count);
        uint8_t *want_scales = scales_of(st, name, device, count);
        float *values = od_alloc((size_t)count, sizeof *values);
        float *magnitudes = od_alloc((size_t)at.blocks, sizeof *magnitudes);
        uint8_t *codes = od_alloc((size_t)code_bytes, 1);
        uint8_t *scales = od_alloc(at.bytes, 1);
        int64_t different = 0;
        for (int64_t j = 0; j < count; j++) {
            const uint32_t bits = (uint32_t)stored[j] << 16;
            memcpy(&values[j], &bits, sizeof bits);
        }
        od_nf4_encode(values, 0, at.blocks, codes, magnitudes);
        od_nf4_nest(magnitudes, count, scales);
        assert_memory_equal(scales, want_scales, OD_NF4_MAP * sizeof(float));
        for (int64_t j = 0; j < code_bytes; j++) {
            // A block of zeros: the stored code is multiplied by nothing, ours is that of zero.
            const bool zero = values[2 * j] == 0.0F && values[2 * j + 1] == 0.0F;
            different += !zero && codes[j] != want[j];
        }
        for (size_t j = at.codes; j < at.codes + (size_t)at.blocks; j++) {
            // The mean's last bit depends on the order of the sum.
            assert_true(abs((int)scales[j] - (int)want_scales[j]) <= 1);
        }
        print_message("# %s %s: %lld of %lld bytes of codes differ\n", name, device,
                      (long long)different, (long long)code_bytes);
        assert_int_equal(different, 0);
        od_free(scales);
        od_free(codes);
        od_free(magnitudes);
        od_free(values);
        od_free(want_scales);
        od_free(want);
        od_free(stored);
    }
    od_safetensors_close(st);
}

static void pieces_decode_as_the_whole(void **state)
{
    (void)state;
    enum { COUNT = 64 * 300 };
    static float x[COUNT];
    static float whole[COUNT];
    static float piece[COUNT];
    static uint8_t codes[COUNT / 2];
    static float magnitudes[COUNT / OD_NF4_BLOCK];
    const struct od_nf4_places at = od_nf4_places(COUNT);
    uint8_t *scales = od_alloc(at.bytes, 1);
    double error = 0.0;
    double norm = 0.0;
    for (int64_t i = 0; i < COUNT; i += 2) {
        double a;
        double b;
        od_normal_pair(od_philox_draw(test_seed(), 31, 0, (uint64_t)i), &a, &b);
        x[i] = (float)a;
        x[i + 1] = (float)b;
    }
    memset(x, 0, OD_NF4_BLOCK * sizeof *x);
    od_nf4_encode(x, 0, 100, codes, magnitudes);
    od_nf4_encode(x, 100, 300, codes, magnitudes);
    od_nf4_nest(magnitudes, COUNT, scales);
    od_nf4_decode(codes, scales, COUNT, 0, COUNT, whole);
    for (int64_t first = 0; first < COUNT; first += 96) {
        od_nf4_decode(codes, scales, COUNT, first, 96, piece + first);
    }
    assert_memory_equal(whole, piece, sizeof whole);
    for (int64_t i = 0; i < COUNT; i++) {
        error += ((double)whole[i] - (double)x[i]) * ((double)whole[i] - (double)x[i]);
        norm += (double)x[i] * (double)x[i];
    }
    for (int i = 0; i < OD_NF4_BLOCK; i++) {
        assert_true(whole[i] == 0.0F);
    }
    error = sqrt(error / norm);
    print_message("# relative error of normal values: %.4f\n", error);
    assert_true(error > 0.05 && error < 0.12);
    od_free(scales);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recorded_states_decode_to_every_bit),
        cmocka_unit_test(our_codes_and_scales_are_the_recorded_ones),
        cmocka_unit_test(pieces_decode_as_the_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
