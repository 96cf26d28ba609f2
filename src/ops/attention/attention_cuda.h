/**
 * @file
 * Causal attention over documents packed side by side, on a GPU: what the host needs to launch the
 * kernels of attention*.cu. Plain C, read by both compilers.
 *
 *     P = softmax(Q K^T * scale),  O = P V,  lse = log(sum(exp(Q K^T * scale)))
 *     dP = dO V^T,  dS = P * (dP - delta),  delta = sum(dO * O)
 *     dQ = scale * dS K,  dK = scale * dS^T Q,  dV = P^T dO
 *
 * A launch walks a list of tiles: runs of at most `block` rows of one document. The grid is
 * (most tiles, heads), kv_heads for dK and dV; blocks past the count that lies in device memory
 * return at once, so that a captured launch serves every batch. Order of a backward pass: delta,
 * then dkdv and dq in any order. delta takes the tiles of the forward pass. Some launches do better
 * with fewer blocks and a queue of tiles, see `queued`; the grid above serves them, too.
 *
 * Rows outside every document are neither read nor written.
 *
 * @source Dao, "FlashAttention-2", 2023, algorithms 1 and 2.
 * @order  Keys in increasing order for O and dQ; the query heads of a group in order, then queries
 *         in increasing order for dK and dV. No sum is split or atomic, and which block computes a
 *         tile has no influence on it: the same bits on every run.
 * @thread No state.
 */
#ifndef OD_OPS_ATTENTION_CUDA_H
#define OD_OPS_ATTENTION_CUDA_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A run of rows of the document [begin, end). */
struct od_attention_tile {
    int32_t begin;
    int32_t end;
    int32_t row;   ///< first row of the tile
    int32_t rows;  ///< rows in it
};

/** Argument of every kernel, by value. Leading dimensions in elements, multiples of 8; pointers to
 *  16 bytes; bf16 as its bits. T tokens, H heads, G kv heads, D head size. */
struct od_attention_args {
    const uint16_t *qkv;  ///< [T, ld_qkv]: H*D queries, G*D keys, G*D values, already rotated
    uint16_t *o;          ///< [T, ld_o], H*D used
    float *lse;           ///< [T, H]
    const uint16_t *d_o;  ///< [T, ld_do]
    uint16_t *dqkv;       ///< [T, ld_dqkv], laid out as qkv
    float *delta;         ///< [T, H] written by delta, read by dkdv and dq
    const struct od_attention_tile *tiles;
    const int32_t *tile_count;
    int32_t *queue;  ///< [2] or NULL, for launches with `queued`
    int64_t ld_qkv;
    int64_t ld_o;
    int64_t ld_do;
    int64_t ld_dqkv;
    int32_t heads;
    int32_t kv_heads;
    int32_t head_dim;
    int32_t window;  ///< query i sees key j with i - window < j <= i; 0: every j <= i
    float scale;     ///< > 0
};

enum od_attention_kernel {
    OD_ATTENTION_FORWARD,  ///< query tiles, grid (tiles, H)
    OD_ATTENTION_DELTA,    ///< query tiles of the forward pass, grid (tiles, H)
    OD_ATTENTION_DKDV,     ///< key tiles, grid (tiles, G)
    OD_ATTENTION_DQ        ///< query tiles, grid (tiles, H)
};

struct od_attention_launch {
    const char *name;      ///< of the kernel
    int32_t block;         ///< rows of a tile
    int32_t threads;       ///< of a block
    int32_t shared_bytes;  ///< dynamic shared memory; above 48 KiB it must be allowed first
    /// Blocks take tiles until none is left: any grid will do, and one block per multiprocessor
    /// with a queue is best. The queue's words are zero before the first launch; every launch leaves
    /// them zero. Launches that may overlap need queues of their own.
    bool queued;
};

/** Cuts the document [begin, end) into tiles of `block` rows, in order. @return Tiles written. */
int64_t od_attention_cut(int32_t begin, int32_t end, int32_t block, struct od_attention_tile *ret);

/** Puts tiles in the order of od_attention_tiles. */
void od_attention_order(struct od_attention_tile *tiles, int64_t count, int32_t window, bool keys);

/**
 * Cuts documents into tiles of `block` rows, longest work first: keys before the end of a query
 * tile, queries from the start of a key tile, both no farther than the window; equal work in order
 * of rows.
 *
 * @param segment_start  [segments + 1] first rows of the documents; empty documents are allowed.
 * @param window         Keys that a query sees, as in od_attention_args; 0: all before it.
 * @param keys           Tiles of keys instead of queries.
 * @param ret            Room for T / block + segments tiles.
 * @return               Tiles written.
 */
int64_t od_attention_tiles(const int32_t *segment_start, int64_t segments, int32_t block,
                           int32_t window, bool keys, struct od_attention_tile *ret);

/** How to launch a kernel on any GPU from sm_80; NULL for a head size that has none. */
const struct od_attention_launch *od_attention_launch(enum od_attention_kernel kind,
                                                      int32_t head_dim);

/** The same for code built for sm_90a, where some kernels have versions of their own. */
const struct od_attention_launch *od_attention_launch_sm90a(enum od_attention_kernel kind,
                                                            int32_t head_dim);

// Used by the kernels and attention_tiles.c.

/** Tile shapes by head size D. Forward and dQ: warps, tiles of 16 query rows a warp, keys a step.
 *  dK and dV: warps, tiles of 16 keys a warp, queries a step, warps that share the columns. Chosen
 *  so that accumulators stay in 255 registers and every block fits 99 KiB of shared memory. */
#define OD_ATTENTION_SHAPES(X)              \
    /* D    forward    dQ         dK, dV */ \
    X(64, 4, 2, 64, 4, 2, 64, 4, 2, 32, 1)  \
    X(80, 4, 2, 64, 4, 2, 32, 8, 1, 32, 1)  \
    X(96, 4, 2, 64, 4, 2, 32, 8, 1, 32, 1)  \
    X(128, 4, 2, 64, 4, 2, 32, 8, 1, 32, 1) \
    X(256, 8, 1, 32, 4, 1, 16, 8, 1, 16, 2)

/** Elements between rows in shared memory: an odd number of 16-byte units, so that the eight rows
 *  of an 8x8 matrix lie in different banks. */
#define OD_ATTENTION_PITCH(d) ((d) + 8)

#define OD_ATTENTION_SHAPE_CONSTANTS(d, fw, ft, fk, qw, qt, qk, kw, kt, kq, ks)                  \
    enum {                                                                                       \
        OD_ATTENTION_FWD_WARPS_##d = (fw),                                                       \
        OD_ATTENTION_FWD_TILES_##d = (ft),                                                       \
        OD_ATTENTION_FWD_BLOCK_##d = 16 * (fw) * (ft),                                           \
        OD_ATTENTION_FWD_KEYS_##d = (fk),                                                        \
        OD_ATTENTION_FWD_SHARED_##d = 2 * OD_ATTENTION_PITCH(d) * (16 * (fw) * (ft) + 2 * (fk)), \
        OD_ATTENTION_DQ_WARPS_##d = (qw),                                                        \
        OD_ATTENTION_DQ_TILES_##d = (qt),                                                        \
        OD_ATTENTION_DQ_BLOCK_##d = 16 * (qw) * (qt),                                            \
        OD_ATTENTION_DQ_KEYS_##d = (qk),                                                         \
        OD_ATTENTION_DQ_SHARED_##d =                                                             \
            2 * OD_ATTENTION_PITCH(d) * (2 * 16 * (qw) * (qt) + 3 * (qk)),                       \
        OD_ATTENTION_DKDV_WARPS_##d = (kw),                                                      \
        OD_ATTENTION_DKDV_TILES_##d = (kt),                                                      \
        OD_ATTENTION_DKDV_BLOCK_##d = 16 * (kw) / (ks) * (kt),                                   \
        OD_ATTENTION_DKDV_QUERIES_##d = (kq),                                                    \
        OD_ATTENTION_DKDV_PARTS_##d = (ks),                                                      \
        OD_ATTENTION_DKDV_SHARED_##d =                                                           \
            2 * OD_ATTENTION_PITCH(d) * (2 * 16 * (kw) / (ks) * (kt) + 3 * (kq)) + 16 * (kq)     \
    };

OD_ATTENTION_SHAPES(OD_ATTENTION_SHAPE_CONSTANTS)

enum { OD_ATTENTION_DELTA_THREADS = 256 };

/** Tile shapes of the kernels for sm_90a: two warpgroups of 64 rows multiply, one copies. */
enum {
    OD_ATTENTION_WG_THREADS = 384,
    OD_ATTENTION_WG_BLOCK = 128,
    OD_ATTENTION_WG_FWD_KEYS = 128,
    OD_ATTENTION_WG_FWD_STAGES = 2,
    OD_ATTENTION_WG_DQ_KEYS = 64,
    OD_ATTENTION_WG_DKDV_QUERIES = 64,
    OD_ATTENTION_WG_DQ_STAGES = 5,
    OD_ATTENTION_WG_DKDV_STAGES = 3
};

/** Stages of a block's own rows for head size d. With two, the next tile's rows arrive early, and
 *  tiles are best taken from a queue; dQ needs the room for more stages of keys instead. */
#define OD_ATTENTION_WG_FWD_OWN(d)  2
#define OD_ATTENTION_WG_DQ_OWN(d)   ((d) <= 64 ? 2 : 1)
#define OD_ATTENTION_WG_DKDV_OWN(d) 2

/** Their shared memory for head size d: tiles; sums of each stage; 16 bytes of barriers for each
 *  stage; the line of work; 1024 bytes for alignment. */
#define OD_ATTENTION_WG_FWD_SHARED(d)                                  \
    (2 * (d) *                                                         \
         (OD_ATTENTION_WG_FWD_OWN(d) * OD_ATTENTION_WG_BLOCK +         \
          2 * OD_ATTENTION_WG_FWD_STAGES * OD_ATTENTION_WG_FWD_KEYS) + \
     16 * (2 * OD_ATTENTION_WG_FWD_STAGES + OD_ATTENTION_WG_FWD_OWN(d)) + 40 + 1024)
#define OD_ATTENTION_WG_DQ_SHARED(d)                                 \
    (2 * (d) *                                                       \
         (2 * OD_ATTENTION_WG_DQ_OWN(d) * OD_ATTENTION_WG_BLOCK +    \
          2 * OD_ATTENTION_WG_DQ_STAGES * OD_ATTENTION_WG_DQ_KEYS) + \
     16 * (2 * OD_ATTENTION_WG_DQ_STAGES + 2 * OD_ATTENTION_WG_DQ_OWN(d)) + 40 + 1024)
#define OD_ATTENTION_WG_DKDV_SHARED(d)                                      \
    (2 * (d) *                                                              \
         (2 * OD_ATTENTION_WG_DKDV_OWN(d) * OD_ATTENTION_WG_BLOCK +         \
          2 * OD_ATTENTION_WG_DKDV_STAGES * OD_ATTENTION_WG_DKDV_QUERIES) + \
     8 * OD_ATTENTION_WG_DKDV_QUERIES * OD_ATTENTION_WG_DKDV_STAGES +       \
     16 * (2 * OD_ATTENTION_WG_DKDV_STAGES + 2 * OD_ATTENTION_WG_DKDV_OWN(d)) + 40 + 1024)

#ifdef __cplusplus
}
#endif

#endif
