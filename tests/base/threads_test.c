// Goal: a pool covers every index once, in the same parts every time, whatever the threads do.
// Method: many rounds over counts, grains and thread numbers; parts are checked against the rule.

#include "base/threads.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "support.h"

enum { COUNT_MAX = 300 };

struct work {
    atomic_int hits[COUNT_MAX];
    int thread_of[COUNT_MAX];
    int64_t first_of[COUNT_MAX];
    atomic_int calls;
};

static void mark(void *context, int64_t first, int64_t last, int thread)
{
    struct work *work = context;
    atomic_fetch_add(&work->calls, 1);
    for (int64_t i = first; i < last; i++) {
        atomic_fetch_add(&work->hits[i], 1);
        work->thread_of[i] = thread;
        work->first_of[i] = first;
    }
}

static void check_round(struct od_pool *pool, struct work *work, int64_t count, int64_t grain)
{
    memset(work, 0, sizeof *work);
    od_pool_run(pool, count, grain, mark, work);
    int64_t smallest = INT64_MAX;
    int64_t largest = 0;
    int64_t part = 0;
    for (int64_t i = 0; i < count; i++) {
        assert_int_equal(atomic_load(&work->hits[i]), 1);
        assert_int_equal(work->first_of[i] % grain, 0);
        part++;
        if (i + 1 == count || work->first_of[i + 1] != work->first_of[i]) {
            largest = part > largest ? part : largest;
            smallest = part < smallest ? part : smallest;
            part = 0;
        } else {
            assert_int_equal(work->thread_of[i + 1], work->thread_of[i]);
        }
    }
    assert_true(atomic_load(&work->calls) <= od_pool_threads(pool));
    // The last part may be cut short by the count, so it can miss up to a grain more.
    assert_true(count == 0 || largest - smallest < 2 * grain);
}

static void covers_everything(void **state)
{
    (void)state;
    struct od_error err = {0};
    static struct work work;
    static struct work again;
    for (int threads = 1; threads <= 5; threads++) {
        struct od_pool *pool = NULL;
        assert_ok(od_pool_create(threads, &pool, &err), &err);
        assert_int_equal(od_pool_threads(pool), threads);
        for (int64_t grain = 1; grain <= 64; grain *= 4) {
            for (int64_t count = 0; count <= COUNT_MAX; count += 13) {
                check_round(pool, &work, count, grain);
                check_round(pool, &again, count, grain);
                assert_memory_equal(work.thread_of, again.thread_of, sizeof work.thread_of);
            }
        }
        const uint64_t before = od_alloc_count();
        check_round(pool, &work, COUNT_MAX, 1);
        assert_int_equal(od_alloc_count(), before);
        od_pool_free(pool);
    }
}

static void sum(void *context, int64_t first, int64_t last, int thread)
{
    int64_t *sums = context;
    for (int64_t i = first; i < last; i++) {
        sums[(ptrdiff_t)thread * 8] += i;
    }
}

static void many_rounds(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_pool *pool = NULL;
    int64_t sums[4 * 8] = {0};
    int64_t want = 0;
    int64_t got = 0;
    assert_ok(od_pool_create(4, &pool, &err), &err);
    for (int64_t round = 0; round < 1000; round++) {
        od_pool_run(pool, round % 50, 1, sum, sums);
        want += round % 50 * (round % 50 - 1) / 2;
    }
    od_pool_free(pool);
    for (ptrdiff_t i = 0; i < 4; i++) {
        got += sums[i * 8];
    }
    assert_int_equal(got, want);
}

static void edges(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_pool *pool = NULL;
    assert_int_equal(od_pool_create(-1, &pool, &err), OD_E_ARGUMENT);
    assert_int_equal(od_pool_create(OD_THREADS_MAX + 1, &pool, &err), OD_E_ARGUMENT);
    assert_ok(od_pool_create(0, &pool, &err), &err);
    assert_true(od_pool_threads(pool) >= 1);
    od_pool_free(pool);
    od_pool_free(NULL);
    pool = NULL;
    od_alloc_fail_at(1);
    assert_int_equal(od_pool_create(2, &pool, &err), OD_E_MEMORY);
    od_alloc_fail_at(0);
    assert_null(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(covers_everything),
        cmocka_unit_test(many_rounds),
        cmocka_unit_test(edges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
