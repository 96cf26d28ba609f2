// Goal: work lists of attention hold every row once, the tile with the most work first.
// Method: documents of no row to several tiles, with windows of all lengths; the work of a tile is
// counted as the rows that meet one of its rows.

#include <stdbool.h>
#include <stdint.h>

#include "ops/attention/attention_cuda.h"
#include "support.h"

static int64_t work(const struct od_attention_tile *t, int32_t window, bool keys)
{
    int64_t seen = 0;  // other rows that a row of the tile and the window reach, or that reach it
    for (int32_t i = t->begin; i < t->end; i++) {
        bool meets = false;
        for (int32_t r = t->row; r < t->row + t->rows; r++) {
            const int32_t distance = keys ? i - r : r - i;
            meets = meets || (distance >= 0 && (window <= 0 || distance < window));
        }
        seen += meets;
    }
    return seen;
}

static void tiles_by_work(void **state)
{
    (void)state;
    static const int32_t starts[] = {0, 70, 70, 71, 401};
    static const int32_t lengths[] = {0, 1, 50, 64, 200, 1000};
    for (int i = 0; i < 12; i++) {
        const int32_t window = lengths[i / 2];
        const bool keys = i % 2 == 1;
        struct od_attention_tile tiles[16];
        bool covered[401] = {false};
        const int64_t count = od_attention_tiles(starts, 4, 64, window, keys, tiles);
        assert_int_equal(count, 9);
        for (int64_t t = 0; t < count; t++) {
            for (int32_t r = tiles[t].row; r < tiles[t].row + tiles[t].rows; r++) {
                assert_false(covered[r]);
                covered[r] = true;
            }
            if (t > 0) {
                const int64_t before = work(&tiles[t - 1], window, keys);
                const int64_t now = work(&tiles[t], window, keys);
                assert_true(before > now || (before == now && tiles[t - 1].row < tiles[t].row));
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(tiles_by_work)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
