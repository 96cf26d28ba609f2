// Goal: sizes are checked, buffers and arenas keep their limits, counted faults hit.
// Method: edges of each limit; every allocation failing once.

#include "base/memory.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/status.h"
#include "support.h"

static void sizes(void **state)
{
    (void)state;
    size_t size = 7;
    int64_t count = 7;
    assert_true(od_size_mul(SIZE_MAX / 2, 2, &size));
    assert_true(size == SIZE_MAX - 1);
    assert_false(od_size_mul(SIZE_MAX / 2 + 1, 2, &size));
    assert_true(size == SIZE_MAX - 1);  // kept on failure
    assert_true(od_size_add(SIZE_MAX - 1, 1, &size));
    assert_false(od_size_add(SIZE_MAX, 1, &size));
    assert_true(od_count_mul(INT64_MAX, 1, &count));
    assert_false(od_count_mul(INT64_MAX, 2, &count));
    assert_false(od_count_mul(-1, 0, &count));
    assert_false(od_count_mul(0, -1, &count));
    assert_true(od_count_mul(0, INT64_MAX, &count));
    assert_int_equal(count, 0);
}

static void heap(void **state)
{
    (void)state;
    unsigned char *bytes = od_alloc(100, 3);
    assert_non_null(bytes);
    for (int i = 0; i < 300; i++) {
        assert_int_equal(bytes[i], 0);
    }
    memset(bytes, 7, 300);
    bytes = od_realloc(bytes, 1000, 1);
    assert_non_null(bytes);
    assert_int_equal(bytes[299], 7);
    od_free(bytes);
    od_free(NULL);
    void *nothing = od_alloc(0, 8);
    assert_non_null(nothing);
    od_free(nothing);
    assert_null(od_alloc(SIZE_MAX, 2));
    char *copy = od_memdup("a\0b", 3);
    assert_memory_equal(copy, "a\0b", 4);
    od_free(copy);
    copy = od_strdup("text");
    assert_string_equal(copy, "text");
    od_free(copy);
    assert_null(od_memdup("", SIZE_MAX));
}

// Large arrays are aligned and usable to their last byte; sizes that do not fit are refused.
static void large(void **state)
{
    (void)state;
    const size_t huge = (size_t)1 << 21;
    const struct {
        size_t bytes, align;
    } cases[] = {{0, 64},      {1, 64},          {huge - 1, 64},
                 {huge, huge}, {huge + 1, huge}, {3 * huge - 5, huge}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        unsigned char *bytes = od_alloc_large(cases[i].bytes, 1);
        assert_non_null(bytes);
        assert_int_equal((uintptr_t)bytes % cases[i].align, 0);
        memset(bytes, 0xa5, cases[i].bytes);
        od_free(bytes);
    }
    assert_null(od_alloc_large(SIZE_MAX, 2));
    assert_null(od_alloc_large(SIZE_MAX, 1));
    od_alloc_fail_at(1);
    assert_null(od_alloc_large(1, 1));
}

static void counted_faults(void **state)
{
    (void)state;
    const uint64_t before = od_alloc_count();
    od_alloc_fail_at(2);
    void *first = od_alloc(1, 1);
    void *second = od_alloc(1, 1);
    void *third = od_realloc(NULL, 1, 1);
    assert_non_null(first);
    assert_null(second);
    assert_non_null(third);
    assert_int_equal(od_alloc_count() - before, 3);
    od_alloc_fail_at(1);
    assert_null(od_realloc(third, 100, 1));  // `third` stays valid
    od_alloc_fail_at(1);
    bool refused = false;
    void *insisted = od_alloc_insist(1, 1, &refused);
    assert_non_null(insisted);
    assert_true(refused);
    od_free(insisted);
    refused = false;
    insisted = od_alloc_insist(1, 1, &refused);
    assert_non_null(insisted);
    assert_false(refused);
    od_free(insisted);
    assert_null(od_alloc_insist(SIZE_MAX, 2, &refused));
    assert_true(refused);
    od_alloc_fail_at(1);
    od_alloc_fail_at(0);
    third = od_realloc(third, 100, 1);
    assert_non_null(third);
    od_free(first);
    od_free(third);
}

static void arenas(void **state)
{
    (void)state;
    struct od_arena arena;
    od_arena_init(&arena, 1 << 20);
    unsigned char *pieces[64];
    size_t sum = 0;
    for (size_t i = 0; i < 64; i++) {
        const size_t size = (i * 2731) % 40000;  // some larger than a block
        pieces[i] = od_arena_alloc(&arena, size, 1);
        if (!pieces[i]) {
            assert_true(arena.used_bytes + size > (1 << 20) - 64);
            continue;
        }
        sum += size;
        assert_int_equal((uintptr_t)pieces[i] % 64, 0);
        for (size_t k = 0; k < size; k++) {
            assert_int_equal(pieces[i][k], 0);
        }
        memset(pieces[i], (int)i + 1, size);
    }
    assert_true(sum > 900000 && arena.used_bytes <= arena.max_bytes);
    for (size_t i = 0; i < 64; i++) {
        const size_t size = (i * 2731) % 40000;
        for (size_t k = 0; pieces[i] && k < size; k++) {
            assert_int_equal(pieces[i][k], i + 1);
        }
    }
    assert_null(od_arena_alloc(&arena, SIZE_MAX, 2));
    assert_null(od_arena_alloc(&arena, SIZE_MAX, 1));
    assert_null(od_arena_memdup(&arena, "", SIZE_MAX));
    od_arena_release(&arena);
    assert_int_equal(arena.used_bytes, 0);
    assert_string_equal(od_arena_strdup(&arena, "again"), "again");
    assert_memory_equal(od_arena_memdup(&arena, "a\0b", 3), "a\0b", 4);
    od_alloc_fail_at(1);
    assert_null(od_arena_alloc(&arena, 100000, 1));
    od_alloc_fail_at(0);
    assert_non_null(od_arena_alloc(&arena, 100000, 1));
    od_arena_release(&arena);
    od_arena_init(&arena, 128);
    assert_non_null(od_arena_alloc(&arena, 64, 1));
    assert_non_null(od_arena_alloc(&arena, 1, 1));
    assert_null(od_arena_alloc(&arena, 1, 1));
    od_arena_release(&arena);
}

static void buffers(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_buf buf;
    od_buf_init(&buf, 10);
    assert_string_equal(od_buf_text(&buf), "");
    od_buf_append(&buf, "ab\0", 3);
    od_buf_puts(&buf, "cd");
    od_buf_putc(&buf, 'e');
    od_buf_printf(&buf, "%d%s", 12, "34");
    assert_int_equal(buf.size, 10);
    assert_memory_equal(od_buf_text(&buf), "ab\0cde1234", 11);
    assert_ok(od_buf_check(&buf, &err), &err);
    od_buf_putc(&buf, 'x');  // one too many
    assert_true(buf.failed);
    assert_int_equal(od_buf_check(&buf, &err), OD_E_MEMORY);
    od_buf_puts(&buf, "y");
    assert_int_equal(buf.size, 0);
    assert_string_equal(od_buf_text(&buf), "");
    assert_null(od_buf_take(&buf));
    od_buf_reset(&buf);
    assert_false(buf.failed);
    od_buf_printf(&buf, "%s", "0123456789");
    char *taken = od_buf_take(&buf);
    assert_string_equal(taken, "0123456789");
    assert_int_equal(buf.size, 0);
    od_free(taken);
    taken = od_buf_take(&buf);
    assert_string_equal(taken, "");
    od_free(taken);
    od_buf_printf(&buf, "%s", "0123456789x");
    assert_true(buf.failed);
    od_buf_release(&buf);
    od_buf_init(&buf, SIZE_MAX);
    od_buf_append(&buf, "", SIZE_MAX);
    assert_true(buf.failed);
    od_buf_release(&buf);
}

static void buffer_faults(void **state)
{
    (void)state;
    bool ok = false;
    uint64_t n = 0;
    while (!ok) {
        struct od_buf buf;
        od_buf_init(&buf, 1 << 20);
        od_alloc_fail_at(++n);
        for (int i = 0; i < 1000; i++) {
            od_buf_printf(&buf, "%d,", i);
        }
        char *taken = od_buf_take(&buf);
        od_alloc_fail_at(0);
        ok = taken != NULL;
        assert_true(!ok || strlen(taken) == 3890);
        od_free(taken);
        od_buf_release(&buf);
    }
    assert_true(n > 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes),          cmocka_unit_test(heap),   cmocka_unit_test(large),
        cmocka_unit_test(counted_faults), cmocka_unit_test(arenas), cmocka_unit_test(buffers),
        cmocka_unit_test(buffer_faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
