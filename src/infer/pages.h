/**
 * @file
 * Who has which page of the key/value cache: free pages, pages of one sequence, and the tree of
 * pages that sequences share because they begin with the same tokens.
 *
 *     root of a model ── "Once upon a time" ── ", there was a li" ── "ttle girl" (3 of 16)
 *                     └─ "The little dog r" ── ...
 *
 * A page holds the keys and values of `page_rows` tokens in a row; what they are depends on those
 * tokens and on all before them, so a page hangs below the page that comes before it. A page in the
 * tree is held by the sequences that use it. One that nobody holds stays until room is needed; then
 * the one that was used least recently goes, leaves first.
 *
 * Room is promised before it is taken: od_pages_promise says no where the pages that are free or held
 * by nobody do not suffice, and od_pages_take never fails.
 *
 * @source Kwon et al., "Efficient Memory Management for Large Language Model Serving with
 *         PagedAttention", 2023; Zheng et al., "SGLang", 2024 (the tree of prefixes).
 * @thread One owner.
 */
#ifndef OD_INFER_PAGES_H
#define OD_INFER_PAGES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

/** Tokens of a page. */
enum { OD_PAGE_ROWS = 16 };

enum od_page_state {
    OD_PAGE_FREE,
    OD_PAGE_OWN,      ///< of one sequence, not in the tree
    OD_PAGE_PENDING,  ///< in the tree, and one sequence is still computing it
    OD_PAGE_READY     ///< in the tree
};

struct od_page {
    enum od_page_state state;
    int32_t parent;  ///< page or root; -1 outside of the tree
    int32_t child;   ///< first one, -1: none
    int32_t next;    ///< of the same parent, or the next free page
    int32_t previous;
    int32_t holders;   ///< sequences that use it
    int32_t filled;    ///< tokens; below OD_PAGE_ROWS only in a ready leaf
    uint64_t used_at;  ///< when the last holder let it go
    int32_t ids[OD_PAGE_ROWS];
};

struct od_pages {
    struct od_page *pages;  ///< [count + roots]; root r is page count + r
    int64_t count;
    int64_t roots;
    int32_t first_free;
    int64_t free_count;
    int64_t idle_count;      ///< in the tree and held by nobody
    int64_t promised_count;  ///< promised and not taken
    uint64_t clock;
    int64_t evicted_count;  ///< so far
};

/** `count` free pages and `roots` empty trees. @memory Fills `ret`: od_pages_release. */
enum od_status od_pages_init(struct od_pages *ret, int64_t count, int64_t roots,
                             struct od_error *err) OD_MUST_CHECK;
void od_pages_release(struct od_pages *pages);

/** The number that stands for root `index` as a parent. */
int32_t od_pages_root(const struct od_pages *pages, int64_t index);

/** The page below `parent` with exactly these OD_PAGE_ROWS tokens, ready or pending, or -1. */
int32_t od_pages_find(const struct od_pages *pages, int32_t parent, const int32_t *ids);

/** The ready page below `parent` that begins with the most of `ids` [count]; *ret_same tells with how
 *  many. -1 when none begins with the first. */
int32_t od_pages_find_like(const struct od_pages *pages, int32_t parent, const int32_t *ids,
                           int64_t count, int64_t *ret_same);

/** Promise `count` pages to a sequence that holds `known` ready pages next, `idle` of which nobody
 *  held so far; false: no room. */
bool od_pages_promise(struct od_pages *pages, int64_t count, int64_t known, int64_t idle);
/** Give back a promise. */
void od_pages_unpromise(struct od_pages *pages, int64_t count);

/** A page of one's own, out of a promise. */
int32_t od_pages_take(struct od_pages *pages);
/** A page of one's own becomes free. */
void od_pages_give_back(struct od_pages *pages, int32_t page);

/** Put a page of one's own into the tree with its tokens; the caller holds it. A pending one has
 *  OD_PAGE_ROWS tokens. */
void od_pages_enter(struct od_pages *pages, int32_t page, int32_t parent, const int32_t *ids,
                    int64_t filled, bool pending);
/** A pending page is computed. */
void od_pages_set_ready(struct od_pages *pages, int32_t page);

/** Use a ready page, instead of one that was promised. */
void od_pages_hold(struct od_pages *pages, int32_t page);
/** Use a ready page with the same contents instead of one's own. */
void od_pages_swap(struct od_pages *pages, int32_t own, int32_t page);
/** Use it no more. A pending page, whose only holder is who computes it, becomes free. */
void od_pages_drop(struct od_pages *pages, int32_t page);

#endif
