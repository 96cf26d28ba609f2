// Goal: attention equals its definition, all at once, through a cache and through pages of one, and its
// bits depend neither on the number of threads nor on AVX2.
// Method: as cpu_prop.

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/random.h"
#include "ops/cpu_machines.h"
#include "ops/reference.h"
#include "support.h"

// Documents of random length side by side; the definition sees one at a time.
static void attention(void **state)
{
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        const int64_t g = between(1, 3);
        const int64_t h = g * between(1, 3);
        const int64_t d = 2 * between(1, 20);
        const int64_t segments = between(1, 4);
        int32_t start[8] = {0};
        for (int64_t s = 0; s < segments; s++) {
            start[s + 1] = start[s] + (int32_t)between(1, round % 5 == 0 ? 150 : 12);
        }
        const int64_t tokens = start[segments];
        const int64_t row = (h + 2 * g) * d;
        if (tokens * row > BUFFER) {
            continue;
        }
        struct od_batch batch = {.tokens = tokens, .segments = segments, .segment_start = start};
        struct od_op op = operation(OD_OP_ATTENTION);
        op.heads = (int32_t)h;
        op.kv_heads = (int32_t)g;
        op.head_dim = (int32_t)d;
        op.scale = 1.0F / sqrtf((float)d);
        op.window = round % 3 == 0 ? 0 : (int32_t)between(1, 90);
        assert_true(THREADS_MANY * od_attention_work_floats(tokens) <= BUFFER);
        const float *x = random_in(OD_SLOT_X, tokens * row);
        poison(OD_SLOT_Y);
        poison(OD_SLOT_AUX);
        poison(OD_SLOT_WORK);
        use(&op, OD_SLOT_X);
        use(&op, OD_SLOT_Y);
        use(&op, OD_SLOT_AUX);
        use(&op, OD_SLOT_WORK);
        run_both(&op, &batch);
        for (int64_t s = 0; s < segments; s++) {
            od_ref_attention_f32(expected + start[s] * h * d, x + start[s] * row,
                                 start[s + 1] - start[s], h, g, d, op.window);
        }
        same_and_near(OD_SLOT_Y, expected, tokens * h * d, 1e-5, "attention");
        op.kind = OD_OP_ATTENTION_BWD;
        const float *dy = random_in(OD_SLOT_DY, tokens * h * d);
        poison(OD_SLOT_DX);
        poison(OD_SLOT_WORK);
        use(&op, OD_SLOT_DY);
        use(&op, OD_SLOT_DX);
        run_both(&op, &batch);
        for (int64_t s = 0; s < segments; s++) {
            od_ref_attention_bwd_f32(expected + start[s] * row, dy + start[s] * h * d,
                                     x + start[s] * row, start[s + 1] - start[s], h, g, d,
                                     op.window);
        }
        same_and_near(OD_SLOT_DX, expected, tokens * row, 5e-5, "attention dqkv");
    }
}

// With a window or without; its tensors are all there.
static struct od_op cached_operation(int64_t heads, int64_t kv_heads, int64_t head_dim, bool window)
{
    struct od_op op = operation(OD_OP_ATTENTION_CACHED);
    op.heads = (int32_t)heads;
    op.kv_heads = (int32_t)kv_heads;
    op.head_dim = (int32_t)head_dim;
    op.scale = 1.0F / sqrtf((float)head_dim);
    op.window = window ? (int32_t)between(1, 20) : 0;
    use(&op, OD_SLOT_X);
    use(&op, OD_SLOT_Y);
    use(&op, OD_SLOT_AUX);
    use(&op, OD_SLOT_WORK);
    return op;
}

// Token by token through the cache: the same as all at once.
static void cached(void **state)
{
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        const int64_t g = between(1, 2);
        const int64_t h = g * between(1, 3);
        const int64_t d = 2 * between(1, 12);
        const int64_t tokens = between(1, 40);
        const int64_t row = (h + 2 * g) * d;
        int32_t positions[64];
        int32_t slots[64];
        struct od_op op = cached_operation(h, g, d, round % 2 == 1);
        for (int32_t t = 0; t < tokens; t++) {
            positions[t] = t;
            slots[t] = 1;
        }
        struct od_batch batch = {
            .tokens = tokens, .positions = positions, .cache_slot = slots, .cache_length = 40};
        const float *x = random_in(OD_SLOT_X, tokens * row);
        poison(OD_SLOT_Y);
        poison(OD_SLOT_AUX);
        poison(OD_SLOT_WORK);
        run_both(&op, &batch);
        od_ref_attention_f32(expected, x, tokens, h, g, d, op.window);
        same_and_near(OD_SLOT_Y, expected, tokens * h * d, 1e-5, "cached attention");
    }
}

// The cache in pages, in any order: the same bits as in one piece.
static void cached_in_pages(void **state)
{
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        const int64_t g = between(1, 2);
        const int64_t h = g * between(1, 3);
        const int64_t d = 2 * between(1, 12);
        const int64_t tokens = between(1, 40);
        const int64_t page_rows = between(1, 17);
        const int64_t pages = (tokens + page_rows - 1) / page_rows;
        int32_t positions[64];
        int32_t slots[64];
        int32_t table[2 * 64];
        struct od_op op = cached_operation(h, g, d, round % 2 == 1);
        for (int32_t t = 0; t < tokens; t++) {
            positions[t] = t;
            slots[t] = 1;
        }
        const uint64_t order = (uint64_t)between(0, 1000);
        for (int64_t p = 0; p < pages; p++) {
            table[p] = -1;  // of sequence 0, which has no rows here
            table[pages + p] = (int32_t)od_permute((uint64_t)p, (uint64_t)pages, order, 0);
        }
        struct od_batch batch = {
            .tokens = tokens, .positions = positions, .cache_slot = slots, .cache_length = 40};
        (void)random_in(OD_SLOT_X, tokens * (h + 2 * g) * d);
        poison(OD_SLOT_Y);
        poison(OD_SLOT_AUX);
        run_both(&op, &batch);
        memcpy(expected, memory[0][OD_SLOT_Y], (size_t)(tokens * h * d) * sizeof *expected);
        poison(OD_SLOT_Y);
        poison(OD_SLOT_AUX);
        batch.cache_length = page_rows;
        batch.page_table = table;
        batch.table_pages = pages;
        run_both(&op, &batch);
        same_and_near(OD_SLOT_Y, expected, tokens * h * d, 0.0, "attention in pages");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(attention), cmocka_unit_test(cached),
                                       cmocka_unit_test(cached_in_pages)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
