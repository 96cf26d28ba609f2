/**
 * @file
 * Attention through a cache of pages, on a GPU: what the host needs to launch the kernels of paged*.cu.
 * Plain C, read by both compilers.
 *
 *     P = softmax(Q K^T * scale),  O = P V        query at position p, keys lowest(p) .. p
 *
 * A page holds OD_PAGED_ROWS positions of one layer: [2 G, OD_PAGED_ROWS, D] bf16, the key heads and
 * then the value heads. A list of page numbers stands for each sequence.
 *
 * Keys are taken in units of OD_PAGED_UNIT, at absolute multiples of it. A unit has a maximum, a sum
 * and an output of its own; units are added one after another from the lowest on:
 *
 *     M' = max(M, m)      L' = L 2^(M - M') + l 2^(m - M')      O' likewise
 *
 * So a row's bits do not depend on how a prompt was cut, on rows beside it, or on whether one warp
 * walks through all of its units (prompts) or a warp takes each and a second kernel adds them up
 * (single rows of long sequences).
 *
 * @source Dao et al., "Flash-Decoding", 2023; Kwon et al., "PagedAttention", 2023.
 * @order  Inside a unit: scores and outputs as the tensor core adds, steps of 16 in rising order of
 *         channels and of keys; the sum of probabilities by lane, then over four lanes.
 * @thread No state.
 */
#ifndef OD_OPS_PAGED_H
#define OD_OPS_PAGED_H

#include <stdint.h>

#ifdef __CUDACC__
#define OD_PAGED_INLINE static __host__ __device__ __forceinline__
#else
#define OD_PAGED_INLINE static inline
#endif

#ifdef __cplusplus
extern "C" {
#endif

/** Positions of a page; keys of a unit; rows of a warp's tile (query heads of one key head times
 *  positions in a row). */
enum {
    OD_PAGED_ROWS = 16,
    OD_PAGED_UNIT = 64,
    OD_PAGED_UNIT_PAGES = OD_PAGED_UNIT / OD_PAGED_ROWS,
    OD_PAGED_TILE = 16
};
/** Warps of a block, each with work of its own. */
enum { OD_PAGED_WARPS = 4 };
/** Rooms of the stream kernel; bytes of a key there, a power of two; bytes of all rooms of a block. Threads
 *  of the join kernel. */
enum { OD_PAGED_ROOMS = 3 };
#define OD_PAGED_PITCH(d)        ((d) <= 64 ? 128 : (d) <= 128 ? 256 : 512)
#define OD_PAGED_STREAM_BYTES(d) (OD_PAGED_ROOMS * OD_PAGED_UNIT * OD_PAGED_PITCH(d))
#define OD_PAGED_JOIN_THREADS(d) (((d) + 31) / 32 * 32)

/** What a warp does for each key head: some rows of a sequence over some of their units. */
struct od_paged_item {
    int32_t row;       ///< first row of the pass
    int32_t rows;      ///< their number: at most od_paged_item_rows
    int32_t position;  ///< of the first row; the others follow it
    int32_t table;     ///< where the list of the sequence's pages begins in `tables`
    int32_t unit;      ///< first unit
    int32_t unit_end;
    int32_t part;   ///< of `unit`, the others follow it; -1: the item has all units, and writes O
    int32_t spare;  ///< 0
};

/** A row whose units are parts: they are added up when all are there. */
struct od_paged_join {
    int32_t row;
    int32_t part;   ///< of its first unit
    int32_t count;  ///< of units
    int32_t spare;  ///< 0
};

/** Argument of both kernels, by value. Leading dimensions in elements, multiples of 8; pointers to 16
 *  bytes; bf16 as its bits. */
struct od_paged_args {
    const uint16_t *qkv;    ///< [T, ld_qkv]: H*D queries, G*D keys, G*D values, already rotated
    uint16_t *o;            ///< [T, ld_o], H*D used
    uint16_t *cache;        ///< [pages, 2 G, OD_PAGED_ROWS, D]
    const int32_t *tables;  ///< page numbers
    const struct od_paged_item *items;
    const struct od_paged_join *joins;
    float *parts;  ///< [parts, H, D + 2]: outputs, maximum, sum; of a row and a unit
    int64_t ld_qkv;
    int64_t ld_o;
    int32_t item_count;
    int32_t heads;
    int32_t kv_heads;
    int32_t window;            ///< query p sees key j with p - window < j <= p; 0: every j <= p
    int32_t only_single_rows;  ///< each sequence of the pass has one row in it
    float scale;               ///< > 0
};

/** Rows of the pass that one warp takes: as many positions as fit beside the query heads of a key
 *  head. */
OD_PAGED_INLINE int32_t od_paged_item_rows(int32_t heads, int32_t kv_heads)
{
    const int32_t group = heads / kv_heads;
    return group >= OD_PAGED_TILE ? 1 : OD_PAGED_TILE / group;
}

/** Tiles that the query heads of a key head make: one, but for groups of more than OD_PAGED_TILE. */
OD_PAGED_INLINE int32_t od_paged_head_tiles(int32_t heads, int32_t kv_heads)
{
    return (heads / kv_heads + OD_PAGED_TILE - 1) / OD_PAGED_TILE;
}

/** The first key that a query sees. */
OD_PAGED_INLINE int32_t od_paged_lowest(int32_t position, int32_t window)
{
    return window > 0 && position >= window ? position - window + 1 : 0;
}

/** Rows of one sequence in a pass, in the order of their positions. */
struct od_paged_run {
    int32_t row;
    int32_t rows;
    int32_t position;
    int32_t table;
};

/** Where the rows of a pass lie in the cache; all room is the caller's. */
struct od_paged_rows {
    int32_t *tables;     ///< page numbers of one sequence after another [sum of pages in use]
    int32_t *row_table;  ///< [rows] where the list of the row's sequence begins in `tables`
    int32_t *cache_row;  ///< [rows] page * OD_PAGED_ROWS + row in it
    struct od_paged_run *runs;  ///< [rows] at most
    int32_t table_count;
    int32_t run_count;
};

/** Look up the rows of a pass: row t is at positions[t] of sequence slots[t], whose pages stand in
 *  page_table[slots[t]] [table_pages]. Rows of a sequence stand together, in order. */
void od_paged_look_up(int64_t rows, const int32_t *positions, const int32_t *slots,
                      const int32_t *page_table, int64_t table_pages, struct od_paged_rows *ret);

/** What the lists of a pass are made for. */
struct od_paged_shape {
    int32_t heads;
    int32_t kv_heads;
    int32_t window;
    int32_t parts_max;  ///< room for parts; rows that find none are not split
    int32_t warps;      ///< of single rows that keep the card busy: with fewer, rows are split
};

/** Work of a pass: items of several rows for the attend kernel, then those of single rows for the stream
 *  kernel. */
struct od_paged_lists {
    struct od_paged_item *items;  ///< room: od_paged_items_max
    struct od_paged_join *joins;  ///< room: one for each run
    int32_t item_count;
    int32_t attend_count;  ///< of these for the attend kernel
    int32_t join_count;
};

/** Items that `rows` rows and `parts_max` parts can become. */
static inline int64_t od_paged_items_max(int64_t rows, int64_t parts_max)
{
    return rows + parts_max;
}

/** Cut the runs of a pass into items; fills in `lists`, whose room is the caller's. The lists have no
 *  influence on bits. */
void od_paged_plan(const struct od_paged_shape *shape, const struct od_paged_run *runs,
                   int32_t run_count, struct od_paged_lists *lists);

/** Kernels of a head size. */
enum od_paged_kernel {
    OD_PAGED_ATTEND,  ///< grid: items / OD_PAGED_WARPS, key heads x tiles; OD_PAGED_WARPS warps
    OD_PAGED_STREAM,  ///< grid: items, key heads x tiles; one warp, OD_PAGED_STREAM_BYTES
    OD_PAGED_JOIN,    ///< the sum over parts. grid: joins, heads; OD_PAGED_JOIN_THREADS
    OD_PAGED_KERNELS
};
/** Their names; NULL: there are none (64, 80, 96, 128, 256 have). */
const char *od_paged_kernel(int32_t head_dim, enum od_paged_kernel which);

#ifdef __cplusplus
}
#endif

#endif
