// for (j = lowest(p); j <= p; j++) s[j] = scale * dot(q, k[j], D);
// for (j) p[j] = exp(s[j]) / sum(exp(s));   for (j) for (e) o[e] += p[j] * v[j][e];
//
// Launch: paged.h. A warp has up to 16 query rows (positions x heads of one key head) in the rows of an
// mma tile, and walks through units of 64 keys. Keys and values come from memory straight into the
// layout of the tensor core, 16 bytes a lane, without shared memory: of keys, the channels of two steps
// are dealt out so that a lane's 16 bytes are its share of both; of values, a lane's eight columns
// belong to eight tiles of columns. What a permutation of channels does to a sum, it does in every
// launch alike. Warps of a block are neighbours in the list, so that prompts read keys from the first
// cache. Keys past the last row's are never read: they count as 0 with a probability of 0.
//
// Order: paged.h. Bytes moved: keys and values once for each tile of rows.
#ifndef OD_PAGED_BODY_CUH
#define OD_PAGED_BODY_CUH

#include <stdint.h>

#include "ops/mma.cuh"
#include "ops/paged/paged.h"

#define STEPS  ((HEAD_DIM + 31) / 32)  // pairs of steps over the channels of a key
#define GROUPS ((HEAD_DIM + 63) / 64)  // groups of eight tiles of columns of a value
#define KEEPS_QUERIES (HEAD_DIM <= 128)
#define PASTE_(a, b) a##b
#define PASTE(a, b)  PASTE_(a, b)
// od_paged_d64_attend: the image paged_d64 is found by its kernels' names.
#define KERNEL_NAME(what) PASTE(PASTE(od_paged_d, HEAD_DIM), what)

static const float LOG2E = 1.4426950408889634f;

/// What a warp knows of its work. A lane has the rows lane / 4 and lane / 4 + 8 of the tile.
struct work {
    const uint16_t *keys;    // of this key head, page 0
    const uint16_t *values;
    const int32_t *pages;    // of the sequence
    int64_t page_stride;
    int32_t last;            // key that the last row sees last
    int32_t position[2];     // of the lane's rows
    int32_t lowest[2];
    bool has_row[2];
    const uint16_t *query[2];
};

/// A lane's share of the queries, where registers are enough to keep it.
struct queries {
    uint4 of[KEEPS_QUERIES ? STEPS : 1][2];
};

/// A row's sums so far.
struct sums {
    float most[2];
    float sum[2];
    float out[GROUPS][8][4];
};

static __device__ __forceinline__ uint4 load16(const uint16_t *from, bool real)
{
    return real ? *(const uint4 *)from : make_uint4(0, 0, 0, 0);
}

static __device__ __forceinline__ uint4 query_piece(const struct work *work, int step, int half)
{
    const int channel = step * 32 + ((int)threadIdx.x & 3) * 8;
    const bool inside = HEAD_DIM % 32 == 0 || channel < HEAD_DIM;
    return load16(work->query[half] + channel, inside && work->has_row[half]);
}

static __device__ __forceinline__ void read_queries(const struct work *work, struct queries *ret)
{
#pragma unroll
    for (int s = 0; s < (KEEPS_QUERIES ? STEPS : 0); s++) {
        ret->of[s][0] = query_piece(work, s, 0);
        ret->of[s][1] = query_piece(work, s, 1);
    }
}

// A room: rows of PITCH bytes for the keys, or values, of a unit. Pieces of 16 bytes are permuted within
// a row so that lanes that read together read from different banks.
#define PITCH      OD_PAGED_PITCH(HEAD_DIM)
#define ROOM_BYTES (OD_PAGED_UNIT * PITCH)

static __device__ __forceinline__ int32_t key_place(int32_t row, int32_t piece)
{
    return row * PITCH + ((piece ^ ((row & 1) << 2)) << 4);
}

static __device__ __forceinline__ int32_t value_place(int32_t row, int32_t piece)
{
    return row * PITCH + ((piece ^ (((row >> 1) & 3) << 1)) << 4);
}

static __device__ __forceinline__ int64_t key_at(const struct work *work, int32_t key)
{
    const int64_t page = work->pages[key / OD_PAGED_ROWS];
    return page * work->page_stride + (int64_t)(key % OD_PAGED_ROWS) * HEAD_DIM;
}

/// scores[j]: the 16 rows against keys 8 j .. 8 j + 7 of the unit; keys from memory or from `room`, queries
/// from memory or as they were kept.
static __device__ __forceinline__ void multiply_keys(const struct work *work,
                                                     const struct queries *queries, int32_t unit,
                                                     const char *room, float scores[8][4])
{
    const int lane = (int)threadIdx.x & 31;
    const int channel = (lane & 3) * 8;
    const uint16_t *row[8];
    bool real[8];
#pragma unroll
    for (int j = 0; j < 8; j++) {
        const int32_t key = unit * OD_PAGED_UNIT + j * 8 + (lane >> 2);
        real[j] = !room && key <= work->last;
        row[j] = work->keys + (real[j] ? key_at(work, key) : 0) + channel;
        scores[j][0] = scores[j][1] = scores[j][2] = scores[j][3] = 0.0f;
    }
#pragma unroll
    for (int s = 0; s < STEPS; s++) {
        const bool inside = HEAD_DIM % 32 == 0 || s * 32 + channel < HEAD_DIM;
        const bool kept = KEEPS_QUERIES && queries;
        const uint4 q0 = kept ? queries->of[KEEPS_QUERIES ? s : 0][0] : query_piece(work, s, 0);
        const uint4 q1 = kept ? queries->of[KEEPS_QUERIES ? s : 0][1] : query_piece(work, s, 1);
        const uint32_t low[4] = {q0.x, q1.x, q0.y, q1.y};
        const uint32_t high[4] = {q0.z, q1.z, q0.w, q1.w};
#pragma unroll
        for (int j = 0; j < 8; j++) {
            const int32_t place = key_place(j * 8 + (lane >> 2), s * 4 + (lane & 3));
            const uint4 k = room ? load16((const uint16_t *)(room + place), inside)
                                 : load16(row[j] + s * 32, inside && real[j]);
            od_mma(scores[j], low, k.x, k.y);
            od_mma(scores[j], high, k.z, k.w);
        }
    }
}

/// Probabilities relative to the unit's largest score, and their sum. `pairs` are the rows of the
/// second product's first operand: for each 16 keys, four pairs of bf16.
static __device__ __forceinline__ void exponentials(const struct work *work, int32_t unit,
                                                    float scale, float scores[8][4],
                                                    uint32_t pairs[4][4], float most[2],
                                                    float sum[2])
{
    const int lane = (int)threadIdx.x & 31;
#pragma unroll
    for (int h = 0; h < 2; h++) {
        most[h] = -INFINITY;
        sum[h] = 0.0f;
#pragma unroll
        for (int j = 0; j < 8; j++) {
#pragma unroll
            for (int e = 0; e < 2; e++) {
                const int32_t key = unit * OD_PAGED_UNIT + j * 8 + (lane & 3) * 2 + e;
                const bool seen = key <= work->position[h] && key >= work->lowest[h];
                float *score = &scores[j][h * 2 + e];
                *score = seen ? __fmul_rn(*score, scale) : -INFINITY;
                most[h] = fmaxf(most[h], *score);
            }
        }
        most[h] = od_quad_max(most[h]);
        const float shift = most[h] == -INFINITY ? 0.0f : most[h];
#pragma unroll
        for (int j = 0; j < 8; j++) {
#pragma unroll
            for (int e = 0; e < 2; e++) {
                float *score = &scores[j][h * 2 + e];
                *score = od_power2(__fadd_rn(*score, -shift));
                sum[h] = __fadd_rn(sum[h], *score);
            }
        }
        sum[h] = od_quad_sum(sum[h]);
    }
#pragma unroll
    for (int t = 0; t < 4; t++) {
        pairs[t][0] = od_pair(scores[2 * t][0], scores[2 * t][1]);
        pairs[t][1] = od_pair(scores[2 * t][2], scores[2 * t][3]);
        pairs[t][2] = od_pair(scores[2 * t + 1][0], scores[2 * t + 1][1]);
        pairs[t][3] = od_pair(scores[2 * t + 1][2], scores[2 * t + 1][3]);
    }
}

/// out[i]: column (lane & 3) * 16 + i, and 8 further, of group `group` of the unit's output.
static __device__ __forceinline__ void multiply_values(const struct work *work, int32_t unit,
                                                       const char *room, int group,
                                                       uint32_t pairs[4][4], float out[8][4])
{
    const int lane = (int)threadIdx.x & 31;
    const int column = group * 64 + (lane >> 2) * 8;
    const bool inside = HEAD_DIM % 64 == 0 || column < HEAD_DIM;
#pragma unroll
    for (int i = 0; i < 8; i++) {
        out[i][0] = out[i][1] = out[i][2] = out[i][3] = 0.0f;
    }
#pragma unroll
    for (int t = 0; t < 4; t++) {
        uint4 raw[4];
#pragma unroll
        for (int r = 0; r < 4; r++) {
            const int32_t at = t * 16 + (lane & 3) * 2 + (r & 1) + (r >> 1) * 8;
            const int32_t key = unit * OD_PAGED_UNIT + at;
            const bool real = inside && (room || key <= work->last);
            const uint16_t *from =
                room ? (const uint16_t *)(room + value_place(at, group * 8 + (lane >> 2)))
                     : work->values + (real ? key_at(work, key) : 0) + column;
            raw[r] = load16(from, real);
        }
        const uint32_t word[4][4] = {{raw[0].x, raw[0].y, raw[0].z, raw[0].w},
                                     {raw[1].x, raw[1].y, raw[1].z, raw[1].w},
                                     {raw[2].x, raw[2].y, raw[2].z, raw[2].w},
                                     {raw[3].x, raw[3].y, raw[3].z, raw[3].w}};
#pragma unroll
        for (int i = 0; i < 8; i++) {
            const unsigned halves = (i & 1) != 0 ? 0x7632u : 0x5410u;
            od_mma(out[i], pairs[t], __byte_perm(word[0][i / 2], word[1][i / 2], halves),
                   __byte_perm(word[2][i / 2], word[3][i / 2], halves));
        }
    }
}

/// What the sums so far and a new unit are multiplied by, and their maximum from now on. A unit that
/// a row sees nothing of changes nothing.
static __device__ __forceinline__ void factors(float *most, float unit_most, float *before,
                                               float *now)
{
    const float more = fmaxf(*most, unit_most);
    *before = *most == -INFINITY ? 0.0f : od_power2(__fadd_rn(*most, -more));
    *now = unit_most == -INFINITY ? 0.0f : od_power2(__fadd_rn(unit_most, -more));
    *most = more;
}

static __device__ __forceinline__ float add_up(float sum, float before, float unit, float now)
{
    return __fmaf_rn(unit, now, __fmul_rn(sum, before));
}

static __device__ __forceinline__ float finished(float out, float sum)
{
    return __fmul_rn(out, __frcp_rn(sum));
}

/// Where a lane's two rows are, and which head each is of; -1: none.
static __device__ __forceinline__ void place_rows(const struct od_paged_args *args,
                                                  const struct od_paged_item *item,
                                                  struct work *work, int64_t row[2],
                                                  int32_t head[2])
{
    const int32_t group = args->heads / args->kv_heads;
    const int32_t tiles = od_paged_head_tiles(args->heads, args->kv_heads);
    const int32_t kv_head = (int32_t)blockIdx.y / tiles;
    const int32_t first = (int32_t)blockIdx.y % tiles * OD_PAGED_TILE;
    const int32_t width = group < OD_PAGED_TILE ? group : OD_PAGED_TILE;
    work->page_stride = (int64_t)2 * args->kv_heads * OD_PAGED_ROWS * HEAD_DIM;
    work->keys = args->cache + (int64_t)kv_head * OD_PAGED_ROWS * HEAD_DIM;
    work->values = work->keys + (int64_t)args->kv_heads * OD_PAGED_ROWS * HEAD_DIM;
    work->pages = args->tables + item->table;
    work->last = item->position + item->rows - 1;
    for (int h = 0; h < 2; h++) {
        const int32_t i = ((int32_t)threadIdx.x & 31) / 4 + h * 8;
        const int32_t at = i / width;
        const int32_t in_group = first + i % width;
        const bool real = at < item->rows && in_group < group;
        row[h] = item->row + at;
        head[h] = real ? kv_head * group + in_group : -1;
        work->position[h] = real ? item->position + at : -1;
        work->lowest[h] = real ? od_paged_lowest(item->position + at, args->window) : 0;
        work->has_row[h] = real;
        work->query[h] = args->qkv;
        if (real) {
            work->query[h] += row[h] * args->ld_qkv + (int64_t)head[h] * HEAD_DIM;
        }
    }
}

/// A unit's outputs, maximum and sum as a part.
static __device__ __forceinline__ void store_part(const struct od_paged_args *args, int32_t part,
                                                  const int32_t head[2], int group,
                                                  float out[8][4], const float most[2],
                                                  const float sum[2])
{
    const int lane = (int)threadIdx.x & 31;
    for (int h = 0; h < 2; h++) {
        if (head[h] < 0) {
            continue;
        }
        float *to = args->parts + ((int64_t)part * args->heads + head[h]) * (HEAD_DIM + 2);
#pragma unroll
        for (int i = 0; i < 16; i++) {
            const int column = group * 64 + (lane & 3) * 16 + i;
            if (HEAD_DIM % 64 == 0 || column < HEAD_DIM) {
                to[column] = out[i & 7][h * 2 + (i >> 3)];
            }
        }
        if (group == 0 && (lane & 3) == 0) {
            to[HEAD_DIM] = most[h];
            to[HEAD_DIM + 1] = sum[h];
        }
    }
}

static __device__ __forceinline__ void store_rows(const struct od_paged_args *args,
                                                  const int64_t row[2], const int32_t head[2],
                                                  const struct sums *sums)
{
    const int lane = (int)threadIdx.x & 31;
    for (int h = 0; h < 2; h++) {
        if (head[h] < 0) {
            continue;
        }
        uint16_t *to = args->o + row[h] * args->ld_o + (int64_t)head[h] * HEAD_DIM;
#pragma unroll
        for (int g = 0; g < GROUPS; g++) {
#pragma unroll
            for (int half = 0; half < 2; half++) {
                const int column = g * 64 + (lane & 3) * 16 + half * 8;
                uint32_t word[4];
#pragma unroll
                for (int i = 0; i < 4; i++) {
                    word[i] = od_pair(finished(sums->out[g][2 * i][h * 2 + half], sums->sum[h]),
                                      finished(sums->out[g][2 * i + 1][h * 2 + half], sums->sum[h]));
                }
                if (HEAD_DIM % 64 == 0 || column < HEAD_DIM) {
                    *(uint4 *)(to + column) = make_uint4(word[0], word[1], word[2], word[3]);
                }
            }
        }
    }
}

static __device__ __forceinline__ void clear(struct sums *sums)
{
    sums->most[0] = sums->most[1] = -INFINITY;
    sums->sum[0] = sums->sum[1] = 0.0f;
#pragma unroll
    for (int g = 0; g < GROUPS; g++) {
#pragma unroll
        for (int i = 0; i < 8; i++) {
            sums->out[g][i][0] = sums->out[g][i][1] = 0.0f;
            sums->out[g][i][2] = sums->out[g][i][3] = 0.0f;
        }
    }
}

/// A unit's share of the sums, and what they are multiplied by.
struct unit_sums {
    float most[2];
    float sum[2];
    float before[2];
    float now[2];
};

static __device__ __forceinline__ void weigh(struct sums *sums, struct unit_sums *u)
{
#pragma unroll
    for (int h = 0; h < 2; h++) {
        factors(&sums->most[h], u->most[h], &u->before[h], &u->now[h]);
        sums->sum[h] = add_up(sums->sum[h], u->before[h], u->sum[h], u->now[h]);
    }
}

/// The unit's values, into the sums or into its part.
static __device__ __forceinline__ void add_values(const struct od_paged_args *args,
                                                  const struct od_paged_item *item,
                                                  const struct work *work, int32_t unit,
                                                  const char *room, const int32_t head[2],
                                                  uint32_t pairs[4][4], const struct unit_sums *u,
                                                  struct sums *sums)
{
#pragma unroll
    for (int g = 0; g < GROUPS; g++) {
        float out[8][4];
        multiply_values(work, unit, room, g, pairs, out);
        if (item->part >= 0) {
            store_part(args, item->part + unit - item->unit, head, g, out, u->most, u->sum);
            continue;
        }
#pragma unroll
        for (int i = 0; i < 8; i++) {
#pragma unroll
            for (int e = 0; e < 4; e++) {
                sums->out[g][i][e] =
                    add_up(sums->out[g][i][e], u->before[e >> 1], out[i][e], u->now[e >> 1]);
            }
        }
    }
}

OD_MMA_KERNEL(OD_PAGED_WARPS * 32) KERNEL_NAME(_attend)(const struct od_paged_args args)
{
    const int32_t index = (int32_t)(blockIdx.x * OD_PAGED_WARPS + threadIdx.x / 32);
    struct work work;
    struct sums sums;
    int64_t row[2];
    int32_t head[2];
    od_wait_for_last();
    od_let_next_begin();
    if (index >= args.item_count) {
        return;
    }
    const struct od_paged_item item = args.items[index];
    place_rows(&args, &item, &work, row, head);
    clear(&sums);
#pragma unroll 1
    for (int32_t unit = item.unit; unit < item.unit_end; unit++) {
        float scores[8][4];
        uint32_t pairs[4][4];
        struct unit_sums u;
        multiply_keys(&work, 0, unit, 0, scores);
        exponentials(&work, unit, args.scale * LOG2E, scores, pairs, u.most, u.sum);
        weigh(&sums, &u);
        add_values(&args, &item, &work, unit, 0, head, pairs, &u, &sums);
    }
    if (item.part < 0) {
        store_rows(&args, row, head, &sums);
    }
}

/// Pages of a unit; those past the last key are never read.
static __device__ __forceinline__ void find_pages(const struct work *work, int32_t unit,
                                                  int32_t pages[OD_PAGED_UNIT_PAGES])
{
#pragma unroll
    for (int i = 0; i < OD_PAGED_UNIT_PAGES; i++) {
        const int32_t page = unit * OD_PAGED_UNIT_PAGES + i;
        pages[i] = page * OD_PAGED_ROWS <= work->last ? work->pages[page] : 0;
    }
}

/// Keys, or values, of a unit on their way into a room; zeros past the last key.
static __device__ __forceinline__ void send_unit(const struct work *work, int32_t unit,
                                                 const int32_t pages[OD_PAGED_UNIT_PAGES],
                                                 bool are_keys, char *room)
{
    enum { PIECES = HEAD_DIM / 8 };  // of a row
    const int lane = (int)threadIdx.x & 31;
#pragma unroll
    for (int i = 0; i < OD_PAGED_UNIT_PAGES; i++) {
        const uint16_t *from =
            (are_keys ? work->keys : work->values) + (int64_t)pages[i] * work->page_stride;
#pragma unroll
        for (int j = 0; j < OD_PAGED_ROWS * PIECES / 32; j++) {
            const int32_t at = j * 32 + lane;
            const int32_t row = i * OD_PAGED_ROWS + at / PIECES;
            const bool real = unit * OD_PAGED_UNIT + row <= work->last;
            const int32_t place =
                are_keys ? key_place(row, at % PIECES) : value_place(row, at % PIECES);
            od_copy16(room + place, from + at * 8, real);
        }
    }
}

// Keys and values of one unit after another, in turn: `sent` of them went into rooms.
struct belt {
    char *rooms;
    int32_t sent;
    int32_t room;  // that is sent to next
    int32_t pages[OD_PAGED_UNIT_PAGES];
};

/// Send what comes next, if anything does; a group all the same.
static __device__ __forceinline__ void send_next(const struct work *work,
                                                 const struct od_paged_item *item,
                                                 struct belt *belt)
{
    const int32_t unit = item->unit + belt->sent / 2;
    char *room = belt->rooms + belt->room * ROOM_BYTES;
    if (unit < item->unit_end && belt->sent % 2 == 0) {
        find_pages(work, unit, belt->pages);
        send_unit(work, unit, belt->pages, true, room);
    } else if (unit < item->unit_end) {
        send_unit(work, unit, belt->pages, false, room);
    }
    od_copies_end();
    belt->sent++;
    belt->room = belt->room + 1 == OD_PAGED_ROOMS ? 0 : belt->room + 1;
}

OD_MMA_KERNEL(32) KERNEL_NAME(_stream)(const struct od_paged_args args)
{
    OD_MMA_SHARED(rooms);
    struct belt belt = {rooms, 0, 0, {0}};
    struct work work;
    struct queries queries;
    struct sums sums;
    int64_t row[2];
    int32_t head[2];
    int32_t room = 0;
    const struct od_paged_item item = args.items[blockIdx.x];
    // Of units before that of the row itself this pass writes nothing; as many are sent at first.
    const bool early = args.only_single_rows && (item.unit + (OD_PAGED_ROOMS - 1) / 2) <
                                                    item.position / OD_PAGED_UNIT;
    place_rows(&args, &item, &work, row, head);
    clear(&sums);
    if (!early) {
        od_wait_for_last();
    }
    for (int i = 0; i < OD_PAGED_ROOMS; i++) {
        send_next(&work, &item, &belt);
    }
    if (early) {
        od_wait_for_last();
    }
    od_let_next_begin();
    read_queries(&work, &queries);
#pragma unroll 1
    for (int32_t unit = item.unit; unit < item.unit_end; unit++) {
        float scores[8][4];
        uint32_t pairs[4][4];
        struct unit_sums u;
        od_copies_but_two();
        multiply_keys(&work, &queries, unit, rooms + room * ROOM_BYTES, scores);
        room = room + 1 == OD_PAGED_ROOMS ? 0 : room + 1;
        od_warp_meet();
        send_next(&work, &item, &belt);
        exponentials(&work, unit, args.scale * LOG2E, scores, pairs, u.most, u.sum);
        weigh(&sums, &u);
        od_copies_but_two();
        add_values(&args, &item, &work, unit, rooms + room * ROOM_BYTES, head, pairs, &u, &sums);
        room = room + 1 == OD_PAGED_ROOMS ? 0 : room + 1;
        od_warp_meet();
        send_next(&work, &item, &belt);
    }
    if (item.part < 0) {
        store_rows(&args, row, head, &sums);
    }
}

// A lane for each column of a row that has parts, one of its heads to a block: grid (joins, heads).
OD_MMA_KERNEL(OD_PAGED_JOIN_THREADS(HEAD_DIM)) KERNEL_NAME(_join)(const struct od_paged_args args)
{
    enum { AHEAD = 32 };
    const struct od_paged_join join = args.joins[blockIdx.x];
    const int32_t head = (int32_t)blockIdx.y;
    const int column = (int)threadIdx.x < HEAD_DIM ? (int)threadIdx.x : HEAD_DIM - 1;
    const int64_t part_floats = (int64_t)args.heads * (HEAD_DIM + 2);
    const float *parts = args.parts + join.part * part_floats + (int64_t)head * (HEAD_DIM + 2);
    float out = 0.0f;
    float most = -INFINITY;
    float sum = 0.0f;
    od_wait_for_last();
    od_let_next_begin();
    for (int32_t first = 0; first < join.count; first += AHEAD) {
        float values[AHEAD][3];  // all asked for before the first is used
#pragma unroll
        for (int u = 0; u < AHEAD; u++) {
            const int32_t unit = first + u < join.count ? first + u : join.count - 1;
            values[u][0] = parts[unit * part_floats + column];
            values[u][1] = parts[unit * part_floats + HEAD_DIM];
            values[u][2] = parts[unit * part_floats + HEAD_DIM + 1];
        }
#pragma unroll
        for (int u = 0; u < AHEAD; u++) {
            float before;
            float now;
            if (first + u < join.count) {
                factors(&most, values[u][1], &before, &now);
                sum = add_up(sum, before, values[u][2], now);
                out = add_up(out, before, values[u][0], now);
            }
        }
    }
    if ((int)threadIdx.x < HEAD_DIM) {
        args.o[(int64_t)join.row * args.ld_o + (int64_t)head * HEAD_DIM + column] =
            (uint16_t)od_pair(finished(out, sum), 0.0f);
    }
}

#endif
