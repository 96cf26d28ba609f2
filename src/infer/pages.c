#include "infer/pages.h"

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"

enum { NONE = -1 };

static void push_free(struct od_pages *pages, int32_t page)
{
    pages->pages[page] = (struct od_page){.state = OD_PAGE_FREE,
                                          .parent = NONE,
                                          .child = NONE,
                                          .previous = NONE,
                                          .next = pages->first_free};
    pages->first_free = page;
    pages->free_count++;
}

enum od_status od_pages_init(struct od_pages *ret, int64_t count, int64_t roots,
                             struct od_error *err)
{
    struct od_pages pages = {.count = count, .roots = roots, .first_free = NONE};
    if (count < 1 || roots < 1 || count > INT32_MAX - roots) {
        return od_fail(err, OD_E_LIMIT, "a cache of %lld pages is not possible", (long long)count);
    }
    pages.pages = od_alloc((size_t)(count + roots), sizeof *pages.pages);
    if (!pages.pages) {
        return od_fail(err, OD_E_MEMORY, "no memory for a cache");
    }
    for (int64_t i = count - 1; i >= 0; i--) {
        push_free(&pages, (int32_t)i);  // count fits
    }
    for (int64_t i = 0; i < roots; i++) {
        pages.pages[count + i] = (struct od_page){.state = OD_PAGE_READY,
                                                  .parent = NONE,
                                                  .child = NONE,
                                                  .next = NONE,
                                                  .previous = NONE,
                                                  .holders = 1,
                                                  .filled = OD_PAGE_ROWS};
    }
    *ret = pages;
    return OD_OK;
}

void od_pages_release(struct od_pages *pages)
{
    od_free(pages->pages);
    *pages = (struct od_pages){0};
}

int32_t od_pages_root(const struct od_pages *pages, int64_t index)
{
    return (int32_t)(pages->count + index);  // fits, see od_pages_init
}

int32_t od_pages_find(const struct od_pages *pages, int32_t parent, const int32_t *ids)
{
    int32_t at = pages->pages[parent].child;
    while (at != NONE && (pages->pages[at].filled != OD_PAGE_ROWS ||
                          memcmp(pages->pages[at].ids, ids, sizeof pages->pages[at].ids) != 0)) {
        at = pages->pages[at].next;
    }
    return at;
}

int32_t od_pages_find_like(const struct od_pages *pages, int32_t parent, const int32_t *ids,
                           int64_t count, int64_t *ret_same)
{
    int32_t best = NONE;
    int64_t best_same = 0;
    for (int32_t at = pages->pages[parent].child; at != NONE; at = pages->pages[at].next) {
        const struct od_page *page = &pages->pages[at];
        int64_t same = 0;
        while (same < count && same < page->filled && page->ids[same] == ids[same]) {
            same++;
        }
        if (page->state == OD_PAGE_READY && same > best_same) {
            best = at;
            best_same = same;
        }
    }
    *ret_same = best_same;
    return best;
}

bool od_pages_promise(struct od_pages *pages, int64_t count, int64_t known, int64_t idle)
{
    const int64_t room = pages->free_count + pages->idle_count - idle;
    if (pages->promised_count + count - known > room) {
        return false;
    }
    pages->promised_count += count;
    return true;
}

void od_pages_unpromise(struct od_pages *pages, int64_t count)
{
    pages->promised_count -= count;
    assert(pages->promised_count >= 0);
}

// Take a page out of its place in the tree.
static void detach(struct od_pages *pages, int32_t page)
{
    struct od_page *gone = &pages->pages[page];
    assert(gone->child == NONE);
    if (gone->previous != NONE) {
        pages->pages[gone->previous].next = gone->next;
    } else {
        pages->pages[gone->parent].child = gone->next;
    }
    if (gone->next != NONE) {
        pages->pages[gone->next].previous = gone->previous;
    }
}

// Make the page free that nobody holds, has none below it, and was used least recently.
static void evict(struct od_pages *pages)
{
    int32_t oldest = NONE;
    for (int64_t i = 0; i < pages->count; i++) {
        const struct od_page *page = &pages->pages[i];
        if (page->state == OD_PAGE_READY && page->holders == 0 && page->child == NONE &&
            (oldest == NONE || page->used_at < pages->pages[oldest].used_at)) {
            oldest = (int32_t)i;
        }
    }
    assert(oldest != NONE);
    detach(pages, oldest);
    push_free(pages, oldest);
    pages->idle_count--;
    pages->evicted_count++;
}

int32_t od_pages_take(struct od_pages *pages)
{
    if (pages->free_count == 0) {
        evict(pages);
    }
    od_pages_unpromise(pages, 1);
    const int32_t page = pages->first_free;
    pages->first_free = pages->pages[page].next;
    pages->free_count--;
    pages->pages[page].state = OD_PAGE_OWN;
    pages->pages[page].next = NONE;
    return page;
}

void od_pages_give_back(struct od_pages *pages, int32_t page)
{
    assert(pages->pages[page].state == OD_PAGE_OWN);
    push_free(pages, page);
}

void od_pages_enter(struct od_pages *pages, int32_t page, int32_t parent, const int32_t *ids,
                    int64_t filled, bool pending)
{
    struct od_page *fresh = &pages->pages[page];
    struct od_page *above = &pages->pages[parent];
    assert(fresh->state == OD_PAGE_OWN && filled >= 1 && filled <= OD_PAGE_ROWS);
    fresh->state = pending ? OD_PAGE_PENDING : OD_PAGE_READY;
    fresh->parent = parent;
    fresh->next = above->child;
    fresh->holders = 1;
    fresh->filled = (int32_t)filled;
    memcpy(fresh->ids, ids, (size_t)filled * sizeof *ids);
    if (above->child != NONE) {
        pages->pages[above->child].previous = page;
    }
    above->child = page;
}

void od_pages_set_ready(struct od_pages *pages, int32_t page)
{
    assert(pages->pages[page].state == OD_PAGE_PENDING);
    pages->pages[page].state = OD_PAGE_READY;
}

void od_pages_hold(struct od_pages *pages, int32_t page)
{
    assert(pages->pages[page].state == OD_PAGE_READY);
    pages->idle_count -= pages->pages[page].holders == 0;
    pages->pages[page].holders++;
    od_pages_unpromise(pages, 1);
}

void od_pages_swap(struct od_pages *pages, int32_t own, int32_t page)
{
    od_pages_give_back(pages, own);
    pages->promised_count++;
    od_pages_hold(pages, page);
}

void od_pages_drop(struct od_pages *pages, int32_t page)
{
    struct od_page *dropped = &pages->pages[page];
    assert(dropped->holders > 0);
    dropped->holders--;
    if (dropped->holders > 0) {
        return;
    }
    if (dropped->state == OD_PAGE_PENDING) {
        detach(pages, page);
        push_free(pages, page);
        return;
    }
    dropped->used_at = ++pages->clock;
    pages->idle_count++;
}
