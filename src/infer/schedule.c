// Which rows go into a pass, and which pages of the cache they use.
//
// A sequence that comes to the border of a page looks into the tree: where the page is there already it
// is used; where another sequence is computing it, this one waits for it; else it computes the page, and
// the tree knows from then on. So prompts that begin alike are computed once, even if they come at the
// same time. Every row's numbers are the same wherever its pages come from.

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "infer/engine_internal.h"
#include "infer/machine.h"
#include "infer/pages.h"
#include "infer/responder.h"

static int32_t *table_of(const struct od_engine *engine, const struct od_job *job)
{
    return engine->page_table + job->slot * engine->table_pages;
}

static bool wants_every_row(const struct od_job *job)
{
    return job->all_logits || job->request->echo_prompt;
}

// The page of the tree that the sequence's next one hangs below. Each adapter has a tree of its own.
static int32_t last_in_tree(const struct od_engine *engine, const struct od_job *job)
{
    return job->tree_count == 0 ? od_pages_root(&engine->pages, job->adapter + 1)
                                : table_of(engine, job)[job->tree_count - 1];
}

// True where the next row starts a page, and all before it are in the tree.
static bool at_border(const struct od_job *job)
{
    return job->done_count == job->page_count * OD_PAGE_ROWS && job->tree_count == job->page_count;
}

// Use the pages of the prompt that are ready. False: the next one is being computed.
static bool adopt(struct od_engine *engine, struct od_job *job)
{
    struct od_pages *pages = &engine->pages;
    while (!engine->options.no_prefix_reuse && at_border(job) &&
           job->done_count + OD_PAGE_ROWS <= job->prompt_count) {
        const int32_t page =
            od_pages_find(pages, last_in_tree(engine, job), job->prompt + job->done_count);
        if (page < 0) {
            break;
        }
        if (pages->pages[page].state == OD_PAGE_PENDING) {
            return false;
        }
        od_pages_hold(pages, page);
        table_of(engine, job)[job->page_count++] = page;
        job->tree_count++;
        job->promised--;
        job->done_count += OD_PAGE_ROWS;
        engine->counts.reused_tokens += OD_PAGE_ROWS;
    }
    return true;
}

// A fresh page for the positions from the border on. One that the prompt fills is announced at once.
static int32_t begin_page(struct od_engine *engine, struct od_job *job)
{
    const int64_t start = job->page_count * OD_PAGE_ROWS;
    const bool chained = job->tree_count == job->page_count;
    const int32_t page = od_pages_take(&engine->pages);
    job->promised--;
    if (chained && !engine->options.no_prefix_reuse && start + OD_PAGE_ROWS <= job->prompt_count) {
        od_pages_enter(&engine->pages, page, last_in_tree(engine, job), job->prompt + start,
                       OD_PAGE_ROWS, /* pending= */ true);
        job->tree_count++;
    }
    table_of(engine, job)[job->page_count++] = page;
    return page;
}

// A page that begins like the rest of the prompt: its first rows are copied.
static void copy_beginning(struct od_engine *engine, struct od_job *job)
{
    int64_t same = 0;
    if (engine->options.no_prefix_reuse || !at_border(job) ||
        job->done_count >= job->prompt_count) {
        return;
    }
    const int32_t parent = last_in_tree(engine, job);
    const int32_t page = begin_page(engine, job);  // before the search: it may evict
    const int32_t like = od_pages_find_like(&engine->pages, parent, job->prompt + job->done_count,
                                            job->prompt_count - job->done_count, &same);
    if (like >= 0) {
        engine->machine->copy_rows(engine->machine, like, page, same);
        job->done_count += same;
        engine->counts.reused_tokens += same;
    }
}

static void add_rows(struct od_engine *engine, struct od_pass *pass, struct od_job *job,
                     int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        const int64_t position = job->done_count + i;
        if (position == job->page_count * OD_PAGE_ROWS) {
            (void)begin_page(engine, job);
        }
        pass->ids[pass->rows] = job->ids[position];
        pass->positions[pass->rows] = (int32_t)position;    // below the context
        pass->cache_slot[pass->rows] = (int32_t)job->slot;  // below OD_ENGINE_SLOTS_MAX
        pass->adapter[pass->rows] = job->adapter;
        pass->rows++;
    }
}

// Positions that are in the cache after this pass and whose logits are still to be used.
static void add_logits(const struct od_engine *engine, struct od_pass *pass,
                       const struct od_job *job, int64_t rows)
{
    for (int64_t position = job->logits_next;
         position < job->done_count + rows && pass->logit_rows < engine->machine->logit_rows_max;
         position++) {
        pass->logit_slot[pass->logit_rows] = (int32_t)job->slot;
        pass->logit_adapter[pass->logit_rows] = job->adapter;
        pass->logit_position[pass->logit_rows++] = (int32_t)position;
    }
}

static int64_t rows_left(const struct od_job *job)
{
    return job->count - job->done_count;
}

void od_schedule_collect(struct od_engine *engine, struct od_pass *pass)
{
    for (int prompts = 0; prompts < 2; prompts++) {  // sequences that generate come first
        for (int64_t i = 0; i < engine->running_count; i++) {
            struct od_job *job = engine->running[i];
            const bool is_prompt = job->count == job->prompt_count;
            if (is_prompt != (prompts == 1)) {
                continue;
            }
            const int64_t room = engine->pass_tokens - pass->rows;
            int64_t rows = 0;
            if (!is_prompt || adopt(engine, job)) {
                if (is_prompt && room > 0) {
                    copy_beginning(engine, job);
                }
                rows = rows_left(job) < room ? rows_left(job) : room;
                add_rows(engine, pass, job, rows);
            }
            add_logits(engine, pass, job, rows);
        }
    }
}

// Share pages of one's own that became complete.
static void settle_job(struct od_engine *engine, struct od_job *job, int64_t done_before)
{
    struct od_pages *pages = &engine->pages;
    int32_t *table = table_of(engine, job);
    for (int64_t i = done_before / OD_PAGE_ROWS; i < job->done_count / OD_PAGE_ROWS; i++) {
        if (i < job->tree_count) {
            od_pages_set_ready(pages, table[i]);
            continue;
        }
        if (i > job->tree_count || engine->options.no_prefix_reuse) {
            return;  // what comes before is not in the tree
        }
        const int32_t parent = last_in_tree(engine, job);
        const int32_t *ids = job->ids + i * OD_PAGE_ROWS;
        const int32_t known = od_pages_find(pages, parent, ids);
        if (known < 0) {
            od_pages_enter(pages, table[i], parent, ids, OD_PAGE_ROWS, /* pending= */ false);
        } else if (pages->pages[known].state == OD_PAGE_READY) {
            od_pages_swap(pages, table[i], known);
            table[i] = known;
        } else {
            return;  // another sequence is computing the same
        }
        job->tree_count++;
    }
}

void od_schedule_settle(struct od_engine *engine, const struct od_pass *pass)
{
    for (int64_t i = 0; i < pass->rows;) {
        struct od_job *job = engine->slots[pass->cache_slot[i]];
        const int64_t before = job->done_count;
        while (i < pass->rows && pass->cache_slot[i] == job->slot) {
            job->done_count++;
            i++;
        }
        settle_job(engine, job, before);
    }
}

bool od_schedule_admit(struct od_engine *engine, struct od_job *job)
{
    struct od_pages *pages = &engine->pages;
    const int64_t most = job->prompt_count + job->max_new;
    const int64_t total = (most + OD_PAGE_ROWS - 1) / OD_PAGE_ROWS;
    int64_t slot = 0;
    int64_t known = 0;
    int64_t idle = 0;
    int32_t at = od_pages_root(pages, job->adapter + 1);
    while (slot < engine->slot_count && engine->slots[slot]) {
        slot++;
    }
    if (slot == engine->slot_count) {
        return false;
    }
    while (!engine->options.no_prefix_reuse && (known + 1) * OD_PAGE_ROWS <= job->prompt_count) {
        at = od_pages_find(pages, at, job->prompt + known * OD_PAGE_ROWS);
        if (at < 0 || pages->pages[at].state != OD_PAGE_READY) {
            break;
        }
        known++;
        idle += pages->pages[at].holders == 0;
    }
    if (!od_pages_promise(pages, total, known, idle)) {
        return false;
    }
    job->promised = total;
    job->slot = slot;
    job->logits_next = wants_every_row(job) ? 0 : job->prompt_count - 1;
    engine->slots[slot] = job;
    engine->running[engine->running_count++] = job;
    engine->counts.requests++;
    (void)adopt(engine, job);
    return true;
}

// What a sequence leaves of its last page, which is not full, for those that begin alike.
static void leave_rest(struct od_engine *engine, struct od_job *job)
{
    struct od_pages *pages = &engine->pages;
    const int64_t filled = job->done_count - job->tree_count * OD_PAGE_ROWS;
    const int32_t *ids = job->ids + job->tree_count * OD_PAGE_ROWS;
    int64_t same = 0;
    if (engine->options.no_prefix_reuse || job->tree_count + 1 != job->page_count || filled < 1 ||
        filled >= OD_PAGE_ROWS) {
        return;
    }
    const int32_t parent = last_in_tree(engine, job);
    (void)od_pages_find_like(pages, parent, ids, filled, &same);
    if (same < filled) {
        od_pages_enter(pages, table_of(engine, job)[job->tree_count], parent, ids, filled,
                       /* pending= */ false);
        job->tree_count++;
    }
}

void od_schedule_release(struct od_engine *engine, struct od_job *job)
{
    struct od_pages *pages = &engine->pages;
    const int32_t *table = table_of(engine, job);
    int64_t at = 0;
    leave_rest(engine, job);
    for (int64_t i = job->page_count - 1; i >= 0; i--) {  // the last first: it goes first, too
        if (i < job->tree_count) {
            od_pages_drop(pages, table[i]);
        } else {
            od_pages_give_back(pages, table[i]);
        }
    }
    od_pages_unpromise(pages, job->promised);
    engine->slots[job->slot] = NULL;
    while (engine->running[at] != job) {
        at++;
    }
    assert(at < engine->running_count);
    engine->running_count--;
    memmove(engine->running + at, engine->running + at + 1,
            (size_t)(engine->running_count - at) * sizeof(struct od_job *));
}
