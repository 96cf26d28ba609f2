// Goal: documents held out are a fixed choice of the seed, are in no way trained on, and nothing is
// lost or changed.
// Method: documents with a number in them, some of them several times; what comes out is counted.
#include "tune/holdout.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "data/dataset.h"
#include "support.h"

enum { COUNT_MAX = 400 };

// Document d holds contents[d] + 1 ids and says its contents in the first of them.
static void make(const int *contents, int count, struct od_dataset *ret)
{
    struct od_dataset data = {.count = count};
    int64_t at = 0;
    data.ids = od_alloc((size_t)count * 64, sizeof *data.ids);
    data.label = od_alloc((size_t)count * 64, 1);
    data.offset = od_alloc((size_t)count + 1, sizeof *data.offset);
    assert_true(data.ids && data.label && data.offset);
    for (int d = 0; d < count; d++) {
        const int length = contents[d] % 60 + 2;
        for (int i = 0; i < length; i++, at++) {
            data.ids[at] = i == 0 ? contents[d] : i;
            data.label[at] = i > 0;
            data.label_count += data.label[at];
        }
        data.offset[d + 1] = at;
    }
    *ret = data;
}

// Documents are whole, in the order of the input, and the labels are counted right.
static void check(const struct od_dataset *data, int seen[COUNT_MAX])
{
    int64_t labels = 0;
    assert_int_equal(data->offset[0], 0);
    for (int64_t d = 0; d < data->count; d++) {
        const int64_t from = data->offset[d];
        const int64_t length = data->offset[d + 1] - from;
        const int32_t content = data->ids[from];
        assert_int_equal(length, content % 60 + 2);
        for (int64_t i = 0; i < length; i++) {
            assert_int_equal(data->label[from + i], i > 0);
            assert_true(i == 0 || data->ids[from + i] == (int32_t)i);
            labels += data->label[from + i];
        }
        assert_true(d == 0 || content >= data->ids[data->offset[d - 1]]);
        seen[content]++;
    }
    assert_int_equal(data->label_count, labels);
}

static void shares_and_numbers(void **state)
{
    (void)state;
    static const struct {
        double size;
        int64_t want;
    } cases[] = {{0.05, 5}, {0.051, 6}, {0.5, 50}, {1.0, 1}, {30.0, 30}, {99.0, 99}, {0.001, 1}};
    int contents[100];
    for (int i = 0; i < 100; i++) {
        contents[i] = i;
    }
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        struct od_error err = {0};
        struct od_dataset data;
        struct od_dataset held = {0};
        int trained[COUNT_MAX] = {0};
        int evaluated[COUNT_MAX] = {0};
        make(contents, 100, &data);
        assert_ok(od_holdout_take(&data, cases[c].size, 42, &held, &err), &err);
        assert_int_equal(held.count, cases[c].want);
        assert_int_equal(data.count, 100 - cases[c].want);
        check(&data, trained);
        check(&held, evaluated);
        for (int i = 0; i < 100; i++) {
            assert_int_equal(trained[i] + evaluated[i], 1);
        }
        od_dataset_release(&data);
        od_dataset_release(&held);
    }
}

static void copies_stay_together(void **state)
{
    (void)state;
    int contents[300];
    int want[COUNT_MAX] = {0};
    for (int i = 0; i < 300; i++) {
        contents[i] = i / 3 - (i % 7 == 0 ? i / 3 % 2 : 0);
    }
    for (int i = 1; i < 300; i++) {  // in ascending order, for check()
        contents[i] = contents[i] < contents[i - 1] ? contents[i - 1] : contents[i];
    }
    for (int i = 0; i < 300; i++) {
        want[contents[i]]++;
    }
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct od_error err = {0};
        struct od_dataset data;
        struct od_dataset held = {0};
        int trained[COUNT_MAX] = {0};
        int evaluated[COUNT_MAX] = {0};
        make(contents, 300, &data);
        assert_ok(od_holdout_take(&data, 20.0, seed, &held, &err), &err);
        assert_int_equal(held.count, 20);
        check(&data, trained);
        check(&held, evaluated);
        for (int i = 0; i < COUNT_MAX; i++) {
            assert_true(evaluated[i] <= 1);
            assert_int_equal(trained[i], evaluated[i] ? 0 : want[i]);
        }
        od_dataset_release(&data);
        od_dataset_release(&held);
    }
}

static void the_seed_decides(void **state)
{
    (void)state;
    int contents[COUNT_MAX];
    int chosen[3][COUNT_MAX] = {{0}};
    const uint64_t seeds[] = {1, 1, 2};
    for (int i = 0; i < COUNT_MAX; i++) {
        contents[i] = i;
    }
    for (int s = 0; s < 3; s++) {
        struct od_error err = {0};
        struct od_dataset data;
        struct od_dataset held = {0};
        make(contents, COUNT_MAX, &data);
        assert_ok(od_holdout_take(&data, 40.0, seeds[s], &held, &err), &err);
        check(&held, chosen[s]);
        od_dataset_release(&data);
        od_dataset_release(&held);
    }
    assert_memory_equal(chosen[0], chosen[1], sizeof chosen[0]);
    assert_memory_not_equal(chosen[0], chosen[2], sizeof chosen[0]);
    int in_the_first_half = 0;
    for (int i = 0; i < COUNT_MAX / 2; i++) {
        in_the_first_half += chosen[0][i];
    }
    assert_true(in_the_first_half > 8 && in_the_first_half < 32);  // of 40: six deviations
}

static void nothing_left(void **state)
{
    (void)state;
    const int contents[] = {1, 1, 2, 2, 2};
    struct od_error err = {0};
    struct od_dataset data;
    struct od_dataset held = {0};
    make(contents, 5, &data);
    assert_int_equal(od_holdout_take(&data, 2.0, 1, &held, &err), OD_E_REFUSED);
    assert_string_equal(err.message,
                        "'val_set_size' is 2, but there are 2 different documents: "
                        "nothing would be left to train on");
    assert_int_equal(data.count, 5);
    assert_null(held.ids);
    for (uint64_t n = 1; n < 7; n++) {
        od_alloc_fail_at(n);
        const enum od_status status = od_holdout_take(&data, 1.0, 1, &held, &err);
        od_alloc_fail_at(0);
        assert_int_equal(status, OD_E_MEMORY);
        assert_int_equal(data.count, 5);
    }
    assert_ok(od_holdout_take(&data, 1.0, 1, &held, &err), &err);
    od_dataset_release(&data);
    od_dataset_release(&held);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shares_and_numbers), cmocka_unit_test(copies_stay_together),
        cmocka_unit_test(the_seed_decides), cmocka_unit_test(nothing_left)};
    return cmocka_run_group_tests_name("tune/holdout", tests, NULL, NULL);
}
