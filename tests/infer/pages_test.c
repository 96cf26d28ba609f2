// Goal: the cache's books are right: no page is lost or given twice, promises are kept, shared pages stay
// while somebody holds them, the least recently used leaf goes first.
// Method: examples with known answers; random sequences of holders against a count by hand.

#include "infer/pages.h"

#include <stdbool.h>
#include <string.h>

#include "base/memory.h"
#include "base/random.h"
#include "support.h"

enum { ROUNDS = 3000, HOLDERS = 6, DEPTH = 4, PAGES = 16 };

static uint64_t drawn;

static int64_t between(int64_t low, int64_t high)
{
    const struct od_philox d = od_philox_draw(test_seed(), 21, 0, drawn++);
    return low + (int64_t)(d.word[0] % (uint32_t)(high - low + 1));
}

// The tokens of a page: all the same.
static const int32_t *ids_of(int32_t id)
{
    static int32_t ids[OD_PAGE_ROWS];
    for (int i = 0; i < OD_PAGE_ROWS; i++) {
        ids[i] = id;
    }
    return ids;
}

static void counts_are_right(const struct od_pages *pages, int64_t own)
{
    int64_t found[4] = {0};
    int64_t idle = 0;
    int64_t in_list = 0;
    for (int64_t i = 0; i < pages->count; i++) {
        const struct od_page *page = &pages->pages[i];
        found[page->state]++;
        if (page->state == OD_PAGE_READY || page->state == OD_PAGE_PENDING) {
            idle += page->holders == 0;
            assert_true(page->parent >= 0);
            assert_true(page->holders <= pages->pages[page->parent].holders ||
                        page->parent >= pages->count);
        }
        for (int32_t at = page->child; at >= 0; at = pages->pages[at].next) {
            assert_int_equal(pages->pages[at].parent, i);
        }
    }
    for (int32_t at = pages->first_free; at >= 0; at = pages->pages[at].next) {
        in_list++;
    }
    assert_int_equal(found[OD_PAGE_FREE], pages->free_count);
    assert_int_equal(in_list, pages->free_count);
    assert_int_equal(idle, pages->idle_count);
    assert_int_equal(found[OD_PAGE_OWN], own);
    assert_true(pages->promised_count <= pages->free_count + pages->idle_count);
}

static void shares_and_evicts(void **state)
{
    (void)state;
    struct od_pages pages;
    int64_t same = 0;
    assert_ok(od_pages_init(&pages, 3, 2, &(struct od_error){0}), &(struct od_error){0});
    const int32_t root = od_pages_root(&pages, 0);
    assert_int_equal(od_pages_find(&pages, root, ids_of(7)), -1);
    assert_true(od_pages_promise(&pages, 2, 0, 0));
    assert_false(od_pages_promise(&pages, 2, 0, 0));  // only one is left
    const int32_t a = od_pages_take(&pages);
    od_pages_enter(&pages, a, root, ids_of(7), OD_PAGE_ROWS, /* pending= */ true);
    assert_int_equal(od_pages_find(&pages, root, ids_of(7)), a);
    assert_int_equal(od_pages_find_like(&pages, root, ids_of(7), 5, &same), -1);  // not yet
    int32_t other[OD_PAGE_ROWS];
    memcpy(other, ids_of(7), sizeof other);
    other[OD_PAGE_ROWS - 1] = 8;  // the last token counts, too
    assert_int_equal(od_pages_find(&pages, root, other), -1);
    od_pages_set_ready(&pages, a);
    assert_int_equal(od_pages_find_like(&pages, root, ids_of(7), 5, &same), a);
    assert_int_equal(same, 5);
    // Another model's tree does not know it.
    assert_int_equal(od_pages_find(&pages, od_pages_root(&pages, 1), ids_of(7)), -1);
    const int32_t b = od_pages_take(&pages);
    od_pages_enter(&pages, b, a, ids_of(8), 3, /* pending= */ false);
    assert_int_equal(od_pages_find(&pages, a, ids_of(8)), -1);  // not full
    assert_int_equal(od_pages_find_like(&pages, a, ids_of(8), OD_PAGE_ROWS, &same), b);
    assert_int_equal(same, 3);
    // A second sequence uses the first page, then both let go.
    assert_true(od_pages_promise(&pages, 1, 1, 0));
    od_pages_hold(&pages, a);
    od_pages_drop(&pages, b);
    od_pages_drop(&pages, a);
    assert_int_equal(pages.idle_count, 1);
    assert_true(od_pages_promise(&pages, 2, 0, 0));   // the free one and b
    assert_false(od_pages_promise(&pages, 1, 0, 0));  // a is held
    (void)od_pages_take(&pages);
    (void)od_pages_take(&pages);
    assert_int_equal(pages.evicted_count, 1);
    assert_int_equal(od_pages_find_like(&pages, a, ids_of(8), 3, &same), -1);
    assert_int_equal(od_pages_find(&pages, root, ids_of(7)), a);
    od_pages_release(&pages);
}

static void oldest_leaf_goes_first(void **state)
{
    (void)state;
    struct od_pages pages;
    int32_t chain[3];
    assert_ok(od_pages_init(&pages, 4, 1, &(struct od_error){0}), &(struct od_error){0});
    const int32_t root = od_pages_root(&pages, 0);
    assert_true(od_pages_promise(&pages, 4, 0, 0));
    const int32_t alone = od_pages_take(&pages);
    od_pages_enter(&pages, alone, root, ids_of(1), OD_PAGE_ROWS, false);
    od_pages_drop(&pages, alone);
    for (int i = 0; i < 3; i++) {
        chain[i] = od_pages_take(&pages);
        od_pages_enter(&pages, chain[i], i == 0 ? root : chain[i - 1], ids_of(2), OD_PAGE_ROWS,
                       false);
    }
    for (int i = 2; i >= 0; i--) {
        od_pages_drop(&pages, chain[i]);
    }
    const int32_t order[4] = {alone, chain[2], chain[1], chain[0]};
    assert_true(od_pages_promise(&pages, 4, 0, 0));
    for (int i = 0; i < 4; i++) {
        assert_int_equal(od_pages_take(&pages), order[i]);
    }
    counts_are_right(&pages, 4);
    od_pages_release(&pages);
}

// One that uses pages as a sequence does.
struct holder {
    int32_t page[DEPTH];
    int64_t in_tree;
    int64_t count;
    int64_t promised;
};

static void let_go(struct od_pages *pages, struct holder *holder, int64_t *own)
{
    for (int64_t i = holder->count - 1; i >= 0; i--) {
        if (i < holder->in_tree) {
            od_pages_drop(pages, holder->page[i]);
        } else {
            od_pages_give_back(pages, holder->page[i]);
            (*own)--;
        }
    }
    od_pages_unpromise(pages, holder->promised);
    *holder = (struct holder){0};
}

static void grow(struct od_pages *pages, struct holder *holder, int64_t *own)
{
    const int32_t parent =
        holder->in_tree == 0 ? od_pages_root(pages, 0) : holder->page[holder->in_tree - 1];
    const int32_t *ids = ids_of((int32_t)between(0, 2));
    const int32_t known = holder->in_tree == holder->count ? od_pages_find(pages, parent, ids) : -1;
    if (known >= 0) {
        od_pages_hold(pages, known);
        holder->page[holder->count++] = known;
        holder->in_tree++;
    } else {
        const int32_t page = od_pages_take(pages);
        holder->page[holder->count++] = page;
        (*own)++;
        if (holder->in_tree + 1 == holder->count && between(0, 3) > 0) {
            od_pages_enter(pages, page, parent, ids, OD_PAGE_ROWS, false);
            holder->in_tree++;
            (*own)--;
        }
    }
    holder->promised--;
}

static void books(void **state)
{
    (void)state;
    struct od_pages pages;
    struct holder holders[HOLDERS] = {{{0}, 0, 0, 0}};
    int64_t own = 0;
    int64_t refused = 0;
    assert_ok(od_pages_init(&pages, PAGES, 1, &(struct od_error){0}), &(struct od_error){0});
    for (int round = 0; round < ROUNDS; round++) {
        struct holder *holder = &holders[between(0, HOLDERS - 1)];
        if (holder->promised > 0) {
            grow(&pages, holder, &own);
        } else if (holder->count > 0) {
            let_go(&pages, holder, &own);
        } else if (od_pages_promise(&pages, DEPTH, 0, 0)) {
            holder->promised = DEPTH;
        } else {
            refused++;
        }
        counts_are_right(&pages, own);
    }
    assert_true(refused > 0 && pages.evicted_count > 100);
    for (int i = 0; i < HOLDERS; i++) {
        let_go(&pages, &holders[i], &own);
    }
    counts_are_right(&pages, 0);
    assert_int_equal(pages.free_count + pages.idle_count, PAGES);
    od_pages_release(&pages);
}

static void no_memory(void **state)
{
    (void)state;
    struct od_pages pages = {0};
    struct od_error err = {0};
    od_alloc_fail_at(1);
    assert_int_equal(od_pages_init(&pages, 4, 1, &err), OD_E_MEMORY);
    od_alloc_fail_at(0);
    assert_int_equal(od_pages_init(&pages, 0, 1, &err), OD_E_LIMIT);
    assert_int_equal(od_pages_init(&pages, INT64_MAX, 1, &err), OD_E_LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shares_and_evicts),
        cmocka_unit_test(oldest_leaf_goes_first),
        cmocka_unit_test(books),
        cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
