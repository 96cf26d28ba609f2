// Goal: weights without a master are rounded by chance as the header says, without a drift, and the same
// way however many threads do it.
// Method: values between two bf16 neighbours, where the share that goes up and the mean are known; each
// result against the definition, drawn here; what must stay.

#include "ops/adamw/rounding.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/random.h"
#include "base/status.h"
#include "ops/cpu.h"
#include "support.h"

enum { COUNT = 40003 };
static const uint64_t SEED = 0x123456789ABCDEFu;

static float w[COUNT];

static void run(int threads, uint32_t step, uint64_t index, int64_t count)
{
    struct od_cpu cpu;
    struct od_error err = {0};
    const struct od_rounding rounding = {.seed = SEED, .step = step, .index = index};
    assert_ok(od_cpu_open(threads, true, &cpu, &err), &err);
    od_cpu_round(&cpu, w, count, &rounding);
    od_cpu_close(&cpu);
}

static void fill(float x)
{
    for (int64_t i = 0; i < COUNT; i++) {
        w[i] = x;
    }
}

// 1 and 1 + 2^-7 are neighbours; the share of the second is the place between them.
static void shares(void **state)
{
    (void)state;
    static const double places[] = {0.0, 1.0 / 65536.0, 0.1, 0.5, 0.9};
    for (size_t p = 0; p < sizeof places / sizeof places[0]; p++) {
        for (int sign = -1; sign <= 1; sign += 2) {
            const double x = sign * (1.0 + places[p] / 128.0);
            int64_t away = 0;
            fill((float)x);
            run(2, (uint32_t)p, 0, COUNT);
            for (int64_t i = 0; i < COUNT; i++) {
                const double y = (double)w[i] * sign;
                assert_true(y == 1.0 || y == 1.0 + 1.0 / 128.0);
                away += y > 1.0;
            }
            // Five deviations.
            const double bound = 5.0 * sqrt(places[p] * (1.0 - places[p]) / (double)COUNT) + 1e-9;
            assert_true(fabs((double)away / (double)COUNT - places[p]) <= bound);
        }
    }
}

static void drawn_by_the_definition(void **state)
{
    (void)state;
    const uint64_t index = ((uint64_t)1 << 33) + 5;
    for (int64_t i = 0; i < COUNT; i++) {
        w[i] = (float)(sin((double)i) * pow(10.0, (double)(i % 9 - 4)));
    }
    run(3, 17, index, COUNT);
    for (int64_t i = 0; i < COUNT; i++) {
        const uint64_t e = index + (uint64_t)i;
        const struct od_philox draw = od_philox_draw(SEED, OD_STREAM_ROUNDING, 17, e / 8);
        const uint32_t half = (draw.word[e % 8 / 2] >> (e % 2 == 0 ? 0 : 16)) & 0xFFFFu;
        const float x = (float)(sin((double)i) * pow(10.0, (double)(i % 9 - 4)));
        uint32_t bits;
        uint32_t got;
        memcpy(&bits, &x, sizeof bits);
        memcpy(&got, &w[i], sizeof got);
        bits = (bits + half) & 0xFFFF0000u;
        assert_int_equal(got, bits);
    }
}

static void same_for_threads_and_steps_differ(void **state)
{
    (void)state;
    static float one[COUNT];
    fill(0.3F);
    run(1, 3, 11, COUNT);
    memcpy(one, w, sizeof one);
    fill(0.3F);
    run(3, 3, 11, COUNT);
    assert_memory_equal(one, w, sizeof one);
    fill(0.3F);
    run(3, 4, 11, COUNT);
    assert_memory_not_equal(one, w, sizeof one);
    fill(0.3F);  // fewer of them are the first ones
    run(1, 3, 11, 1003);
    assert_memory_equal(one, w, 1003 * sizeof *w);
}

static void what_stays(void **state)
{
    (void)state;
    const float stay[] = {INFINITY, -INFINITY, 0.0F, -0.0F, 1.5F, -96.0F};
    for (size_t i = 0; i < sizeof stay / sizeof stay[0]; i++) {
        const float chance = od_round_by_chance(stay[i], 0xFFFF);
        const float nearest = od_round_to_nearest(stay[i]);
        assert_memory_equal(&chance, &stay[i], sizeof chance);
        assert_memory_equal(&nearest, &stay[i], sizeof nearest);
    }
    assert_true(isnan(od_round_by_chance(NAN, 0xFFFF)) && isnan(od_round_to_nearest(NAN)));
    const float half = 1.0F + 1.0F / 256.0F;  // between 1 and 1 + 2^-7: the even one
    const float more = half + 1.0F / 65536.0F;
    const float odd = 1.0F + 3.0F / 256.0F;
    assert_true(od_round_to_nearest(half) == 1.0F);
    assert_true(od_round_to_nearest(more) == 1.0F + 1.0F / 128.0F);
    assert_true(od_round_to_nearest(odd) == 1.0F + 2.0F / 128.0F);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shares), cmocka_unit_test(drawn_by_the_definition),
        cmocka_unit_test(same_for_threads_and_steps_differ), cmocka_unit_test(what_stays)};
    return cmocka_run_group_tests_name("ops/rounding", tests, NULL, NULL);
}
