// The work of a pass over paged attention, cut into items.

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "ops/paged/paged.h"

#define NAMES(d) \
    {d, {"od_paged_d" #d "_attend", "od_paged_d" #d "_stream", "od_paged_d" #d "_join"}}
static const struct {
    int32_t head_dim;
    const char *names[OD_PAGED_KERNELS];
} kernels[] = {NAMES(64), NAMES(80), NAMES(96), NAMES(128), NAMES(256)};
enum { SIZES = sizeof kernels / sizeof kernels[0] };

const char *od_paged_kernel(int32_t head_dim, enum od_paged_kernel which)
{
    for (int i = 0; i < SIZES; i++) {
        if (kernels[i].head_dim == head_dim) {
            return kernels[i].names[which];
        }
    }
    return NULL;
}

void od_paged_look_up(int64_t rows, const int32_t *positions, const int32_t *slots,
                      const int32_t *page_table, int64_t table_pages, struct od_paged_rows *ret)
{
    ret->table_count = 0;
    ret->run_count = 0;
    for (int64_t first = 0; first < rows;) {
        const int32_t *pages = page_table + slots[first] * table_pages;
        int64_t end = first + 1;
        while (end < rows && slots[end] == slots[first] &&
               positions[end] == positions[end - 1] + 1) {
            end++;
        }
        const int32_t count = positions[end - 1] / OD_PAGED_ROWS + 1;
        ret->runs[ret->run_count++] =
            (struct od_paged_run){.row = (int32_t)first,  // rows of a pass are few
                                  .rows = (int32_t)(end - first),
                                  .position = positions[first],
                                  .table = ret->table_count};
        memcpy(ret->tables + ret->table_count, pages, (size_t)count * sizeof *pages);
        for (int64_t t = first; t < end; t++) {
            ret->row_table[t] = ret->table_count;
            ret->cache_row[t] =
                pages[positions[t] / OD_PAGED_ROWS] * OD_PAGED_ROWS + positions[t] % OD_PAGED_ROWS;
        }
        ret->table_count += count;
        first = end;
    }
}

static int32_t first_unit(const struct od_paged_shape *shape, int32_t position)
{
    return od_paged_lowest(position, shape->window) / OD_PAGED_UNIT;
}

// Rows of a run, some at a time, over all units that any of them sees.
static void add_whole(const struct od_paged_shape *shape, const struct od_paged_run *run,
                      struct od_paged_lists *lists)
{
    const int32_t step = od_paged_item_rows(shape->heads, shape->kv_heads);
    for (int32_t i = 0; i < run->rows; i += step) {
        const int32_t rows = run->rows - i < step ? run->rows - i : step;
        const int32_t position = run->position + i;
        lists->items[lists->item_count++] =
            (struct od_paged_item){.row = run->row + i,
                                   .rows = rows,
                                   .position = position,
                                   .table = run->table,
                                   .unit = first_unit(shape, position),
                                   .unit_end = (position + rows - 1) / OD_PAGED_UNIT + 1,
                                   .part = -1};
    }
}

// One row, a warp for each `span` units; `part` is the first that is free.
static void add_split(const struct od_paged_shape *shape, const struct od_paged_run *run,
                      int32_t part, int32_t span, struct od_paged_lists *lists)
{
    const int32_t first = first_unit(shape, run->position);
    const int32_t end = run->position / OD_PAGED_UNIT + 1;
    lists->joins[lists->join_count++] =
        (struct od_paged_join){.row = run->row, .part = part, .count = end - first};
    for (int32_t unit = first; unit < end; unit += span) {
        lists->items[lists->item_count++] =
            (struct od_paged_item){.row = run->row,
                                   .rows = 1,
                                   .position = run->position,
                                   .table = run->table,
                                   .unit = unit,
                                   .unit_end = end - unit < span ? end : unit + span,
                                   .part = part + unit - first};
    }
}

static int32_t units_of(const struct od_paged_shape *shape, const struct od_paged_run *run)
{
    return run->position / OD_PAGED_UNIT + 1 - first_unit(shape, run->position);
}

// Into how many pieces single rows are cut, so that together they keep the card busy; 1: none is.
static int32_t pieces_of(const struct od_paged_shape *shape, const struct od_paged_run *runs,
                         int32_t run_count)
{
    int64_t rows = 0;
    for (int32_t i = 0; i < run_count; i++) {
        rows += runs[i].rows == 1;
    }
    rows *= (int64_t)shape->kv_heads * od_paged_head_tiles(shape->heads, shape->kv_heads);
    return rows > 0 && rows < shape->warps ? (int32_t)(shape->warps / rows) : 1;
}

void od_paged_plan(const struct od_paged_shape *shape, const struct od_paged_run *runs,
                   int32_t run_count, struct od_paged_lists *lists)
{
    const int32_t pieces = pieces_of(shape, runs, run_count);
    int32_t part = 0;
    lists->item_count = 0;
    lists->join_count = 0;
    for (int32_t i = 0; i < run_count; i++) {
        if (runs[i].rows > 1) {
            add_whole(shape, &runs[i], lists);
        }
    }
    lists->attend_count = lists->item_count;
    for (int32_t i = 0; i < run_count; i++) {
        const struct od_paged_run *run = &runs[i];
        const int32_t units = units_of(shape, run);
        if (run->rows > 1) {
            continue;
        }
        if (pieces > 1 && units > 1 && units <= shape->parts_max - part) {
            add_split(shape, run, part, (units - 1) / pieces + 1, lists);
            part += units;
        } else {
            add_whole(shape, run, lists);
        }
    }
}
