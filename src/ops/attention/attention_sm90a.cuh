// The kernels for one head size, HEAD_DIM, 64 or 128, by warpgroup products. Included by
// attention_dNN.cu, no include guard. Two warpgroups of 64 rows each multiply; of the third, two warps
// copy each of the two streams. See attention_wgmma.cuh for tiles and pipes.

#define D           HEAD_DIM
#define CHUNKS      (D / 8)
#define THREADS     OD_ATTENTION_WG_THREADS
#define BLOCK       OD_ATTENTION_WG_BLOCK

// Rows first .. first + rows of a matrix to a tile by 64 threads; zeros from row `end` on.
INLINE void wg_copy(uint32_t to, const uint16_t *from, int64_t ld, int32_t first,
                            int32_t end, const int rows)
{
    const int column = (int)threadIdx.x % CHUNKS;
    const int r = (int)threadIdx.x % WG_FILLERS / CHUNKS;
    const int step = WG_FILLERS / CHUNKS;  // 4 or 8, so that r + 4 i has the swizzle r ^ 4 i
    const uint32_t at =
        to + (uint32_t)(column / 8 * rows * 128 + r * 128 + ((column % 8) ^ r) * 16);
    const uint16_t *source = from + (int64_t)(first + r) * ld + column * 8;
#pragma unroll 8
    for (int i = 0; i < rows / step; i++) {
        const bool real = first + r + i * step < end;
        copy16((at ^ (uint32_t)(i * step % 8 * 16)) + (uint32_t)(i * step * 128),
               real ? source : from, real);
        source += step * ld;
    }
}

// A column of a [T, H] matrix for at most 64 rows to shared memory; zeros from row `end` on.
INLINE void wg_copy_column(uint32_t to, const float *from, int32_t heads, int32_t head,
                                   int32_t first, int32_t end, const int rows)
{
    const int32_t r = (int32_t)threadIdx.x % WG_FILLERS;
    if (r < rows) {
        const bool real = first + r < end;
        const int64_t row = real ? first + r : first;
        copy4(to + (uint32_t)r * 4, from + row * heads + head, real);
    }
}

// The 64 x D accumulators of a warpgroup, times factors by row, through a tile of `BLOCK` rows in
// shared memory to rows first .. of a matrix, 16 rows by each warp.
INLINE void wg_store(uint16_t *to, int64_t ld, int32_t first, int32_t rows, uint32_t tile,
                             int32_t tile_row, const float c[][4], float low, float high)
{
    const uint32_t lane = threadIdx.x % 32;
    const uint32_t r = (uint32_t)tile_row + lane / 4;
#pragma unroll
    for (int n = 0; n < D / 8; n++) {
        const uint32_t at =
            tile + n / 8 * BLOCK * 128 + r * 128 + ((n % 8) ^ (r % 8)) * 16 + lane % 4 * 4;
        asm volatile("st.shared.b32 [%0], %1;\n" ::"r"(at), "r"(pack(c[n][0] * low, c[n][1] * low))
                     : "memory");
        asm volatile("st.shared.b32 [%0], %1;\n" ::"r"(at + 8 * 128),
                     "r"(pack(c[n][2] * high, c[n][3] * high))
                     : "memory");
    }
    __syncwarp();
    for (int i = (int)lane; i < rows * CHUNKS; i += 32) {
        const int s = i / CHUNKS;
        const int column = i % CHUNKS;
        const int from = tile_row + s;
        uint4 v;
        asm volatile("ld.shared.v4.b32 {%0,%1,%2,%3}, [%4];\n"
                     : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
                     : "r"(tile + (uint32_t)(column / 8 * BLOCK * 128 + from * 128 +
                                             ((column % 8) ^ (from % 8)) * 16))
                     : "memory");
        *(uint4 *)(to + (int64_t)(first + s) * ld + column * 8) = v;
    }
}

// ---- forward
//
// The scores of a step and the product of the step before with its values run together, so that the
// tensor cores work while exponentials are taken; and the warpgroups begin products in turn, so that
// one multiplies while the other takes exponentials.

#define KEYS   OD_ATTENTION_WG_FWD_KEYS
#define COLS   (KEYS / 8)
#define STAGES OD_ATTENTION_WG_FWD_STAGES
#define OWN    OD_ATTENTION_WG_FWD_OWN(D)

// Masks scores, turns them into exponentials against the new maximum and gives the factors that
// earlier sums and outputs shrink by.
INLINE void wg_softmax(float s[COLS][4], float highest[2], float sum[2], float shrink[2],
                               float scale, bool mask, int32_t key, int32_t row, int32_t window)
{
    const int32_t lane = (int32_t)threadIdx.x % 32;
    if (mask) {
#pragma unroll
        for (int n = 0; n < COLS; n++) {
#pragma unroll
            for (int e = 0; e < 4; e++) {
                const int32_t i = row + lane / 4 + e / 2 * 8;
                const int32_t j = key + n * 8 + lane % 4 * 2 + e % 2;
                if (j > i || (window > 0 && j <= i - window)) {
                    s[n][e] = -INFINITY;
                }
            }
        }
    }
#pragma unroll
    for (int r = 0; r < 2; r++) {
        float top = highest[r];
#pragma unroll
        for (int n = 0; n < COLS; n++) {
            top = fmaxf(top, fmaxf(s[n][2 * r], s[n][2 * r + 1]));
        }
        top = quad_max(top);
        // A row that has seen no key yet keeps -infinity; zero stands in for it.
        const float base = top == -INFINITY ? 0.0F : top * scale;
        shrink[r] = power2(highest[r] * scale - base);
        highest[r] = top;
        float total = 0.0F;
#pragma unroll
        for (int n = 0; n < COLS; n++) {
            s[n][2 * r] = power2(fmaf(s[n][2 * r], scale, -base));
            s[n][2 * r + 1] = power2(fmaf(s[n][2 * r + 1], scale, -base));
            total += s[n][2 * r] + s[n][2 * r + 1];
        }
        sum[r] = fmaf(sum[r], shrink[r], total);
    }
}

extern "C" __global__ void __launch_bounds__(THREADS, 1)
    KERNEL_NAME(fwd_sm90a)(const struct od_attention_args args)
{
    extern __shared__ __align__(16) unsigned char shared[];
    const int32_t warp = (int32_t)threadIdx.x / 32;
    const uint32_t s_q = (shared_address(shared) + 1023U) & ~1023U;  // of OWN tiles
    const uint32_t s_k = s_q + OWN * BLOCK * D * 2;
    const uint32_t s_v = s_k + STAGES * KEYS * D * 2;
    const uint32_t barriers = s_v + STAGES * KEYS * D * 2;
    const int32_t window = args.window;
    struct wg_pipe own = {barriers + 2 * STAGES * 16, 0, 0};
    struct wg_pipe line = {own.barriers + OWN * 16, 0, 0};
    struct od_attention_tile tile;
    int32_t head;
    uint32_t pending = 0;
    uint32_t index = block_index();
    if (threadIdx.x == 0) {
        pipe_init(barriers, 2 * STAGES + OWN, WG_USERS);
        line_init(line.barriers);
    }
    __syncthreads();

    if (warp >= 8) {
        wg_give_registers();
        const bool values = warp >= 10;  // the last two warps
        const uint32_t to = values ? s_v : s_k;
        struct wg_pipe pipe = {barriers + (values ? STAGES * 16 : 0), 0, 0};
        while (find_work(&args, index, args.heads, &tile, &head)) {
            const int32_t kv_head = head / (args.heads / args.kv_heads);
            const uint16_t *from =
                args.qkv + (int64_t)(args.heads + (values ? args.kv_heads : 0) + kv_head) * D;
            const int32_t end = tile.row + tile.rows;
            if (!values) {
                pipe_claim(&own, &pending);
                wg_copy(s_q + own.stage * BLOCK * D * 2, args.qkv + (int64_t)head * D,
                                args.ld_qkv, tile.row, end, BLOCK);
                pipe_filled(&own, OWN, &pending);
            }
            for (int32_t key = first_key(&tile, window, KEYS); key < end; key += KEYS) {
                pipe_claim(&pipe, &pending);
                wg_copy(to + pipe.stage * KEYS * D * 2, from, args.ld_qkv, key, end, KEYS);
                pipe_filled(&pipe, STAGES, &pending);
            }
            if (warp == 8) {
                line_bring(&line, args.queue, index, &pending);
            }
            index = line_take(&line, &pending);
        }
        pipe_finish(&pending);
        if (threadIdx.x == 8 * 32) {
            line_close(args.queue);
        }
        return;
    }
    wg_take_registers();
    const int32_t lane = (int32_t)threadIdx.x % 32;
    const float scale = args.scale * LOG2E;
    struct wg_pipe keys = {barriers, 0, 0};
    struct wg_pipe values = {barriers + STAGES * 16, 0, 0};
    if (warp >= 4) {
        turn_pass(1);
    }
    while (find_work(&args, index, args.heads, &tile, &head)) {
        const int32_t end = tile.row + tile.rows;
        const int32_t row = tile.row + warp * 16;  // of this warp
        const uint32_t tile_q = s_q + own.stage * BLOCK * D * 2;
        const uint32_t a_q = tile_q + (uint32_t)(warp / 4) * 64 * 128;
        int32_t key = first_key(&tile, window, KEYS);

        float o[D / 8][4] = {};
        float s[COLS][4];
        uint32_t p[KEYS / 16][4];
        float highest[2] = {-INFINITY, -INFINITY};
        float sum[2] = {0.0F, 0.0F};
        float shrink[2];

        pipe_wait(&own);
        pipe_wait(&keys);
        wg_begin();
        wg_product(s, KEYS, D, a_q, BLOCK, s_k + keys.stage * KEYS * D * 2, KEYS);
        wg_end();
        wg_wait();
        wg_settle(s, COLS);
        pipe_release(&keys, keys.stage);
        pipe_next(&keys, STAGES);
        wg_softmax(s, highest, sum, shrink, scale,
                           key + KEYS - 1 > row || (window > 0 && key <= row + 15 - window), key,
                           row, window);
        wg_pack(p, s, KEYS);

        for (key += KEYS; key < end; key += KEYS) {
            pipe_wait(&keys);
            turn_await(warp / 4);
            wg_begin();
            wg_product(s, KEYS, D, a_q, BLOCK, s_k + keys.stage * KEYS * D * 2, KEYS);
            wg_end();
            pipe_wait(&values);
            wg_begin();
            wg_product_t(o, D, KEYS, p, s_v + values.stage * KEYS * D * 2);
            wg_end();
            turn_pass(warp / 4);
            wg_wait_but_one();
            wg_settle(s, COLS);
            pipe_release(&keys, keys.stage);
            pipe_next(&keys, STAGES);
            wg_softmax(s, highest, sum, shrink, scale,
                               key + KEYS - 1 > row || (window > 0 && key <= row + 15 - window),
                               key, row, window);
            wg_wait();
            wg_settle(o, D / 8);
            pipe_release(&values, values.stage);
            pipe_next(&values, STAGES);
#pragma unroll
            for (int n = 0; n < D / 8; n++) {
                o[n][0] *= shrink[0];
                o[n][1] *= shrink[0];
                o[n][2] *= shrink[1];
                o[n][3] *= shrink[1];
            }
            wg_pack(p, s, KEYS);
        }
        pipe_wait(&values);
        wg_begin();
        wg_product_t(o, D, KEYS, p, s_v + values.stage * KEYS * D * 2);
        wg_end();
        wg_wait();
        wg_settle(o, D / 8);
        pipe_release(&values, values.stage);
        pipe_next(&values, STAGES);

        const float low = quad_sum(sum[0]);
        const float high = quad_sum(sum[1]);
        const int32_t i = row + lane / 4;
        if (lane % 4 == 0 && i < end) {
            args.lse[(int64_t)i * args.heads + head] =
                (highest[0] * scale + log_2(low)) * (1.0F / LOG2E);
        }
        if (lane % 4 == 0 && i + 8 < end) {
            args.lse[(int64_t)(i + 8) * args.heads + head] =
                (highest[1] * scale + log_2(high)) * (1.0F / LOG2E);
        }
        // A warp's queries are read by its own warpgroup alone, whose products are done.
        wg_store(args.o + (int64_t)head * D, args.ld_o, row, min(end - row, 16), tile_q,
                         warp * 16, o, 1.0F / low, 1.0F / high);
        pipe_release(&own, own.stage);
        pipe_next(&own, OWN);
        index = line_take(&line, &pending);
    }
}

#undef KEYS
#undef COLS
#undef STAGES
#undef OWN

// ---- dQ
//
// The product of a step with its keys runs together with the next step's scores.

#define KEYS   OD_ATTENTION_WG_DQ_KEYS
#define STAGES OD_ATTENTION_WG_DQ_STAGES
#define OWN    OD_ATTENTION_WG_DQ_OWN(D)
#define COLS   (KEYS / 8)

extern "C" __global__ void __launch_bounds__(THREADS, 1)
    KERNEL_NAME(dq_sm90a)(const struct od_attention_args args)
{
    extern __shared__ __align__(16) unsigned char shared[];
    const int32_t warp = (int32_t)threadIdx.x / 32;
    const uint32_t s_q = (shared_address(shared) + 1023U) & ~1023U;  // of OWN tiles
    const uint32_t s_do = s_q + OWN * BLOCK * D * 2;                 // of OWN tiles
    const uint32_t s_k = s_do + OWN * BLOCK * D * 2;
    const uint32_t s_v = s_k + STAGES * KEYS * D * 2;
    const uint32_t barriers = s_v + STAGES * KEYS * D * 2;
    const int32_t window = args.window;
    struct wg_pipe own_q = {barriers + 2 * STAGES * 16, 0, 0};
    struct wg_pipe own_do = {own_q.barriers + OWN * 16, 0, 0};
    struct wg_pipe line = {own_do.barriers + OWN * 16, 0, 0};
    struct od_attention_tile tile;
    int32_t head;
    uint32_t pending = 0;
    uint32_t index = block_index();
    if (threadIdx.x == 0) {
        pipe_init(barriers, 2 * STAGES + 2 * OWN, WG_USERS);
        line_init(line.barriers);
    }
    __syncthreads();

    if (warp >= 8) {
        wg_give_registers();
        const bool values = warp >= 10;
        const uint32_t to = values ? s_v : s_k;
        const uint32_t to_own = values ? s_do : s_q;
        const int64_t ld_own = values ? args.ld_do : args.ld_qkv;
        struct wg_pipe pipe = {barriers + (values ? STAGES * 16 : 0), 0, 0};
        struct wg_pipe own = values ? own_do : own_q;
        while (find_work(&args, index, args.heads, &tile, &head)) {
            const int32_t kv_head = head / (args.heads / args.kv_heads);
            const uint16_t *from =
                args.qkv + (int64_t)(args.heads + (values ? args.kv_heads : 0) + kv_head) * D;
            const int32_t end = tile.row + tile.rows;
            pipe_claim(&own, &pending);
            wg_copy(to_own + own.stage * BLOCK * D * 2,
                            (values ? args.d_o : args.qkv) + (int64_t)head * D, ld_own, tile.row,
                            end, BLOCK);
            pipe_filled(&own, OWN, &pending);
            for (int32_t key = first_key(&tile, window, KEYS); key < end; key += KEYS) {
                pipe_claim(&pipe, &pending);
                wg_copy(to + pipe.stage * KEYS * D * 2, from, args.ld_qkv, key, end, KEYS);
                pipe_filled(&pipe, STAGES, &pending);
            }
            if (warp == 8) {
                line_bring(&line, args.queue, index, &pending);
            }
            index = line_take(&line, &pending);
        }
        pipe_finish(&pending);
        if (threadIdx.x == 8 * 32) {
            line_close(args.queue);
        }
        return;
    }
    wg_take_registers();
    const int32_t lane = (int32_t)threadIdx.x % 32;
    const float scale = args.scale * LOG2E;
    struct wg_pipe keys = {barriers, 0, 0};
    struct wg_pipe values = {barriers + STAGES * 16, 0, 0};
    if (warp >= 4) {
        turn_pass(1);
    }
    while (find_work(&args, index, args.heads, &tile, &head)) {
        const int32_t row = tile.row + warp * 16;
        const int32_t end = tile.row + tile.rows;
        const int32_t start = first_key(&tile, window, KEYS);
        const uint32_t tile_q = s_q + own_q.stage * BLOCK * D * 2;
        const uint32_t a_q = tile_q + (uint32_t)(warp / 4) * 64 * 128;
        const uint32_t a_do = s_do + own_do.stage * BLOCK * D * 2 + (uint32_t)(warp / 4) * 64 * 128;

        float dq[D / 8][4] = {};
        float s[COLS][4];
        float dp[COLS][4];
        uint32_t ds[KEYS / 16][4] = {};
        float lse[2];
        float delta[2];
#pragma unroll
        for (int r = 0; r < 2; r++) {
            const int32_t i = row + lane / 4 + 8 * r;
            const int64_t at = (int64_t)i * args.heads + head;
            lse[r] = i < end ? args.lse[at] * LOG2E : 0.0F;
            delta[r] = i < end ? args.delta[at] : 0.0F;
        }
        pipe_wait(&own_q);
        pipe_wait(&own_do);
        uint32_t before = keys.stage;  // of the step before; the first step multiplies by zeros
        for (int32_t key = start; key < end; key += KEYS) {
            pipe_wait(&keys);
            turn_await(warp / 4);
            wg_begin();
            wg_product(s, KEYS, D, a_q, BLOCK, s_k + keys.stage * KEYS * D * 2, KEYS);
            wg_end();
            pipe_wait(&values);
            wg_begin();
            wg_product(dp, KEYS, D, a_do, BLOCK, s_v + values.stage * KEYS * D * 2, KEYS);
            wg_end();
            wg_product_t(dq, D, KEYS, ds, s_k + before * KEYS * D * 2);
            wg_end();
            turn_pass(warp / 4);
            wg_wait_but_two();
            wg_settle(s, COLS);
            const bool mask = key + KEYS - 1 > row || (window > 0 && key <= row + 15 - window);
#pragma unroll
            for (int n = 0; n < COLS; n++) {
#pragma unroll
                for (int e = 0; e < 4; e++) {
                    float p = power2(fmaf(s[n][e], scale, -lse[e / 2]));
                    if (mask) {
                        const int32_t i = row + lane / 4 + e / 2 * 8;
                        const int32_t j = key + n * 8 + lane % 4 * 2 + e % 2;
                        p = j > i || (window > 0 && j <= i - window) ? 0.0F : p;
                    }
                    s[n][e] = p;
                }
            }
            wg_wait_but_one();
            wg_settle(dp, COLS);
            pipe_release(&values, values.stage);
            pipe_next(&values, STAGES);
#pragma unroll
            for (int n = 0; n < COLS; n++) {
#pragma unroll
                for (int e = 0; e < 4; e++) {
                    s[n][e] *= dp[n][e] - delta[e / 2];
                }
            }
            wg_wait();
            wg_settle(dq, D / 8);
            wg_pack(ds, s, KEYS);
            if (key > start) {
                pipe_release(&keys, before);
            }
            before = keys.stage;
            pipe_next(&keys, STAGES);
        }
        wg_begin();
        wg_product_t(dq, D, KEYS, ds, s_k + before * KEYS * D * 2);
        wg_end();
        wg_wait();
        wg_settle(dq, D / 8);
        pipe_release(&keys, before);
        pipe_release(&own_do, own_do.stage);
        pipe_next(&own_do, OWN);
        wg_store(args.dqkv + (int64_t)head * D, args.ld_dqkv, row, min(end - row, 16),
                         tile_q, warp * 16, dq, args.scale, args.scale);
        pipe_release(&own_q, own_q.stage);
        pipe_next(&own_q, OWN);
        index = line_take(&line, &pending);
    }
}

#undef KEYS
#undef COLS
#undef STAGES
#undef OWN

// ---- dK and dV

#define QUERIES OD_ATTENTION_WG_DKDV_QUERIES
#define STAGES  OD_ATTENTION_WG_DKDV_STAGES
#define OWN     OD_ATTENTION_WG_DKDV_OWN(D)
#define COLS    (QUERIES / 8)

extern "C" __global__ void __launch_bounds__(THREADS, 1)
    KERNEL_NAME(dkdv_sm90a)(const struct od_attention_args args)
{
    extern __shared__ __align__(16) unsigned char shared[];
    const int32_t warp = (int32_t)threadIdx.x / 32;
    const uint32_t s_k = (shared_address(shared) + 1023U) & ~1023U;  // of OWN tiles
    const uint32_t s_v = s_k + OWN * BLOCK * D * 2;                  // of OWN tiles
    const uint32_t s_q = s_v + OWN * BLOCK * D * 2;
    const uint32_t s_do = s_q + STAGES * QUERIES * D * 2;
    const uint32_t s_lse = s_do + STAGES * QUERIES * D * 2;
    const uint32_t s_delta = s_lse + STAGES * QUERIES * 4;
    const uint32_t barriers = s_delta + STAGES * QUERIES * 4;
    const int32_t group = args.heads / args.kv_heads;
    const int32_t window = args.window;
    struct wg_pipe own_k = {barriers + 2 * STAGES * 16, 0, 0};
    struct wg_pipe own_v = {own_k.barriers + OWN * 16, 0, 0};
    struct wg_pipe line = {own_v.barriers + OWN * 16, 0, 0};
    struct od_attention_tile tile;
    int32_t kv_head;
    uint32_t pending = 0;
    uint32_t index = block_index();
    if (threadIdx.x == 0) {
        pipe_init(barriers, 2 * STAGES, WG_USERS * 32);
        pipe_init(barriers + 2 * STAGES * 16, 2 * OWN, WG_USERS);
        line_init(line.barriers);
    }
    __syncthreads();

    if (warp >= 8) {
        wg_give_registers();
        const bool outputs = warp >= 10;  // these two copy dO, delta and V, the others Q, lse and K
        const int64_t ld = outputs ? args.ld_do : args.ld_qkv;
        const float *sums = outputs ? args.delta : args.lse;
        const uint32_t to = outputs ? s_do : s_q;
        const uint32_t to_sums = outputs ? s_delta : s_lse;
        const uint32_t to_own = outputs ? s_v : s_k;
        struct wg_pipe pipe = {barriers + (outputs ? STAGES * 16 : 0), 0, 0};
        struct wg_pipe own = outputs ? own_v : own_k;
        while (find_work(&args, index, args.kv_heads, &tile, &kv_head)) {
            const int32_t key_end = tile.row + tile.rows;
            const int32_t end = window > 0 ? min(tile.end, key_end - 1 + window) : tile.end;
            pipe_claim(&own, &pending);
            wg_copy(to_own + own.stage * BLOCK * D * 2,
                            args.qkv +
                                (int64_t)(args.heads + (outputs ? args.kv_heads : 0) + kv_head) * D,
                            args.ld_qkv, tile.row, key_end, BLOCK);
            pipe_filled(&own, OWN, &pending);
            for (int32_t head = kv_head * group; head < (kv_head + 1) * group; head++) {
                const uint16_t *from = (outputs ? args.d_o : args.qkv) + (int64_t)head * D;
                for (int32_t query = tile.row; query < end; query += QUERIES) {
                    pipe_claim(&pipe, &pending);
                    wg_copy(to + pipe.stage * QUERIES * D * 2, from, ld, query, end,
                                    QUERIES);
                    wg_copy_column(to_sums + pipe.stage * QUERIES * 4, sums, args.heads,
                                           head, query, end, QUERIES);
                    pipe_filled(&pipe, STAGES, &pending);
                }
            }
            if (warp == 8) {
                line_bring(&line, args.queue, index, &pending);
            }
            index = line_take(&line, &pending);
        }
        pipe_finish(&pending);
        if (threadIdx.x == 8 * 32) {
            line_close(args.queue);
        }
        return;
    }
    wg_take_registers();
    const int32_t lane = (int32_t)threadIdx.x % 32;
    const float scale = args.scale * LOG2E;
    // Both pipes turn together, and so do K and V.
    struct wg_pipe queries = {barriers, 0, 0};
    while (find_work(&args, index, args.kv_heads, &tile, &kv_head)) {
        const int32_t row = tile.row + warp * 16;
        const int32_t key_end = tile.row + tile.rows;
        const int32_t end = window > 0 ? min(tile.end, key_end - 1 + window) : tile.end;
        const int32_t steps = (end - tile.row + QUERIES - 1) / QUERIES * group;
        const uint32_t own = own_k.stage * BLOCK * D * 2;
        const uint32_t a_k = s_k + own + (uint32_t)(warp / 4) * 64 * 128;
        const uint32_t a_v = s_v + own + (uint32_t)(warp / 4) * 64 * 128;

        float dk[D / 8][4] = {};
        float dv[D / 8][4] = {};
        float s[COLS][4];
        float dp[COLS][4];
        uint32_t p[QUERIES / 16][4];
        uint32_t ds[QUERIES / 16][4];
        int32_t query = tile.row;
        barrier_wait(own_k.barriers + own_k.stage * 16, own_k.parity);
        barrier_wait(own_v.barriers + own_k.stage * 16, own_k.parity);
        for (int32_t step = 0; step < steps; step++) {
            const uint32_t at = queries.stage * QUERIES * D * 2;
            const uint32_t sums = s_lse + queries.stage * QUERIES * 4;
            const uint32_t deltas = s_delta + queries.stage * QUERIES * 4;
            const uint32_t full = barriers + queries.stage * 16;
            barrier_wait(full, queries.parity);
            wg_begin();
            wg_product(s, QUERIES, D, a_k, BLOCK, s_q + at, QUERIES);
            wg_end();
            barrier_wait(full + STAGES * 16, queries.parity);
            wg_begin();
            wg_product(dp, QUERIES, D, a_v, BLOCK, s_do + at, QUERIES);
            wg_end();
            wg_wait_but_one();
            wg_settle(s, COLS);
            const bool mask =
                query < row + 15 || (window > 0 && query + QUERIES - 1 >= row + window);
#pragma unroll
            for (int n = 0; n < COLS; n++) {
                float lse[2];
                asm volatile("ld.shared.v2.f32 {%0,%1}, [%2];\n"
                             : "=f"(lse[0]), "=f"(lse[1])
                             : "r"(sums + (uint32_t)(n * 8 + lane % 4 * 2) * 4)
                             : "memory");
#pragma unroll
                for (int e = 0; e < 4; e++) {
                    float x = power2(fmaf(s[n][e], scale, -lse[e % 2] * LOG2E));
                    if (mask) {
                        const int32_t j = row + lane / 4 + e / 2 * 8;
                        const int32_t i = query + n * 8 + lane % 4 * 2 + e % 2;
                        x = j > i || (window > 0 && j <= i - window) ? 0.0F : x;
                    }
                    s[n][e] = x;
                }
            }
            wg_wait();
            wg_settle(dp, COLS);
#pragma unroll
            for (int n = 0; n < COLS; n++) {
                float delta[2];
                asm volatile("ld.shared.v2.f32 {%0,%1}, [%2];\n"
                             : "=f"(delta[0]), "=f"(delta[1])
                             : "r"(deltas + (uint32_t)(n * 8 + lane % 4 * 2) * 4)
                             : "memory");
#pragma unroll
                for (int e = 0; e < 4; e++) {
                    dp[n][e] = s[n][e] * (dp[n][e] - delta[e % 2]);
                }
            }
            wg_pack(p, s, QUERIES);
            wg_pack(ds, dp, QUERIES);
            wg_begin();
            wg_product_t(dv, D, QUERIES, p, s_do + at);
            wg_product_t(dk, D, QUERIES, ds, s_q + at);
            wg_end();
            wg_wait();
            wg_settle(dk, D / 8);
            wg_settle(dv, D / 8);
            barrier_arrive(full + 8);
            barrier_arrive(full + STAGES * 16 + 8);
            pipe_next(&queries, STAGES);
            query = query + QUERIES < end ? query + QUERIES : tile.row;
        }
        uint16_t *d_k = args.dqkv + (int64_t)(args.heads + kv_head) * D;
        wg_store(d_k, args.ld_dqkv, row, min(key_end - row, 16), s_k + own, warp * 16, dk,
                         args.scale, args.scale);
        wg_store(d_k + (int64_t)args.kv_heads * D, args.ld_dqkv, row,
                         min(key_end - row, 16), s_v + own, warp * 16, dv, 1.0F, 1.0F);
        pipe_release(&own_k, own_k.stage);
        pipe_release(&own_v, own_k.stage);
        pipe_next(&own_k, OWN);
        index = line_take(&line, &pending);
    }
}

#undef QUERIES
#undef COLS

#undef STAGES
#undef OWN
#undef BLOCK
#undef THREADS
#undef CHUNKS
#undef NAMED
#undef D
