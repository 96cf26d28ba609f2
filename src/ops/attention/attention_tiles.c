#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ops/attention/attention_cuda.h"

// What tiles are ordered by.
struct order {
    int32_t window;
    bool keys;
};

static int64_t work_of(const struct od_attention_tile *t, const struct order *order)
{
    const int64_t all = order->keys ? t->end - t->row : t->row + t->rows - t->begin;
    const int64_t most = order->window > 0 ? (int64_t)t->rows + order->window - 1 : all;
    return all < most ? all : most;
}

// Whether a comes before b. Rows differ between tiles, so that the order is total.
static bool before(const struct od_attention_tile *a, const struct od_attention_tile *b,
                   const struct order *order)
{
    const int64_t work_a = work_of(a, order);
    const int64_t work_b = work_of(b, order);
    return work_a != work_b ? work_a > work_b : a->row < b->row;
}

// Restores the heap below `at`, whose top is the tile that comes last.
static void sift(struct od_attention_tile *t, int64_t at, int64_t count, const struct order *order)
{
    const struct od_attention_tile moved = t[at];
    for (int64_t child = 2 * at + 1; child < count; child = 2 * at + 1) {
        if (child + 1 < count && before(&t[child], &t[child + 1], order)) {
            child++;
        }
        if (!before(&moved, &t[child], order)) {
            break;
        }
        t[at] = t[child];
        at = child;
    }
    t[at] = moved;
}

// Heap sort: in place, since a step allocates nothing.
static void sort(struct od_attention_tile *t, int64_t count, const struct order *order)
{
    for (int64_t i = count / 2 - 1; i >= 0; i--) {
        sift(t, i, count, order);
    }
    for (int64_t i = count - 1; i > 0; i--) {
        const struct od_attention_tile last = t[0];
        t[0] = t[i];
        t[i] = last;
        sift(t, 0, i, order);
    }
}

int64_t od_attention_cut(int32_t begin, int32_t end, int32_t block, struct od_attention_tile *ret)
{
    int64_t count = 0;
    for (int32_t row = begin; row < end; row += block) {
        const int32_t rows = end - row < block ? end - row : block;
        ret[count++] = (struct od_attention_tile){begin, end, row, rows};
    }
    return count;
}

void od_attention_order(struct od_attention_tile *tiles, int64_t count, int32_t window, bool keys)
{
    const struct order order = {.window = window, .keys = keys};
    sort(tiles, count, &order);
}

int64_t od_attention_tiles(const int32_t *segment_start, int64_t segments, int32_t block,
                           int32_t window, bool keys, struct od_attention_tile *ret)
{
    int64_t count = 0;
    for (int64_t s = 0; s < segments; s++) {
        count += od_attention_cut(segment_start[s], segment_start[s + 1], block, ret + count);
    }
    od_attention_order(ret, count, window, keys);
    return count;
}

struct launches {
    int32_t head_dim;
    struct od_attention_launch launch[4];  // by enum od_attention_kernel
};

#define LAUNCHES(d, ...)                                                                           \
    {d,                                                                                            \
     {{"od_attention_d" #d "_fwd", OD_ATTENTION_FWD_BLOCK_##d, 32 * OD_ATTENTION_FWD_WARPS_##d,    \
       OD_ATTENTION_FWD_SHARED_##d, false},                                                        \
      {"od_attention_delta", OD_ATTENTION_FWD_BLOCK_##d, OD_ATTENTION_DELTA_THREADS, 0, false},    \
      {"od_attention_d" #d "_dkdv", OD_ATTENTION_DKDV_BLOCK_##d, 32 * OD_ATTENTION_DKDV_WARPS_##d, \
       OD_ATTENTION_DKDV_SHARED_##d, false},                                                       \
      {"od_attention_d" #d "_dq", OD_ATTENTION_DQ_BLOCK_##d, 32 * OD_ATTENTION_DQ_WARPS_##d,       \
       OD_ATTENTION_DQ_SHARED_##d, false}}},

#define LAUNCHES_SM90A(d)                                                                  \
    {d,                                                                                    \
     {{"od_attention_d" #d "_fwd_sm90a", OD_ATTENTION_WG_BLOCK, OD_ATTENTION_WG_THREADS,   \
       OD_ATTENTION_WG_FWD_SHARED(d), OD_ATTENTION_WG_FWD_OWN(d) == 2},                    \
      {"od_attention_delta", OD_ATTENTION_WG_BLOCK, OD_ATTENTION_DELTA_THREADS, 0, false}, \
      {"od_attention_d" #d "_dkdv_sm90a", OD_ATTENTION_WG_BLOCK, OD_ATTENTION_WG_THREADS,  \
       OD_ATTENTION_WG_DKDV_SHARED(d), OD_ATTENTION_WG_DKDV_OWN(d) == 2},                  \
      {"od_attention_d" #d "_dq_sm90a", OD_ATTENTION_WG_BLOCK, OD_ATTENTION_WG_THREADS,    \
       OD_ATTENTION_WG_DQ_SHARED(d), OD_ATTENTION_WG_DQ_OWN(d) == 2}}},

static const struct launches launches[] = {OD_ATTENTION_SHAPES(LAUNCHES)};
static const struct launches launches_sm90a[] = {LAUNCHES_SM90A(64) LAUNCHES_SM90A(128)};

static const struct od_attention_launch *find(const struct launches *table, size_t count,
                                              enum od_attention_kernel kind, int32_t head_dim)
{
    for (size_t i = 0; i < count; i++) {
        if (table[i].head_dim == head_dim) {
            return &table[i].launch[kind];
        }
    }
    return NULL;
}

const struct od_attention_launch *od_attention_launch(enum od_attention_kernel kind,
                                                      int32_t head_dim)
{
    return find(launches, sizeof launches / sizeof launches[0], kind, head_dim);
}

const struct od_attention_launch *od_attention_launch_sm90a(enum od_attention_kernel kind,
                                                            int32_t head_dim)
{
    const struct od_attention_launch *own =
        find(launches_sm90a, sizeof launches_sm90a / sizeof launches_sm90a[0], kind, head_dim);
    return own ? own : od_attention_launch(kind, head_dim);
}
