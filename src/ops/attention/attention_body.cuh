// The kernels for one head size, HEAD_DIM. Included by attention_dNN.cu, no include guard.

#define D           HEAD_DIM
#define SHAPE(name) PASTE(PASTE(OD_ATTENTION_, name), HEAD_DIM)
#define PITCH       OD_ATTENTION_PITCH(D)
#define ROW_BYTES   (2 * PITCH)
#define CHUNKS      (D / 8)  // 16-byte pieces of a row

// Rows first .. first + rows of a matrix to shared memory; zeros from row `end` on.
INLINE void copy_rows(uint32_t to, const uint16_t *from, int64_t ld, int32_t first,
                              int32_t end, const int rows, const int threads)
{
    if (threads % CHUNKS == 0) {  // a thread keeps to its column
        const int step = threads / CHUNKS;
        const int r = (int)threadIdx.x / CHUNKS;
        const int column = (int)threadIdx.x % CHUNKS;
        const uint16_t *source = from + (int64_t)(first + r) * ld + column * 8;
        to += (uint32_t)(r * ROW_BYTES + column * 16);
#pragma unroll
        for (int i = 0; i < rows / step; i++) {
            const bool real = first + r + i * step < end;
            copy16(to + (uint32_t)(i * step * ROW_BYTES), real ? source : from, real);
            source += step * ld;
        }
        return;
    }
    const int count = rows * CHUNKS;
#pragma unroll 4
    for (int i = 0; i < (count + threads - 1) / threads; i++) {
        const int c = (int)threadIdx.x + i * threads;
        const int r = c / CHUNKS;
        const int column = c % CHUNKS;
        if (count % threads == 0 || c < count) {
            const bool real = first + r < end;
            const int64_t row = real ? first + r : first;
            copy16(to + (uint32_t)(r * ROW_BYTES + column * 16), from + row * ld + column * 8,
                   real);
        }
    }
}

// Column `head` of a [T, H] matrix for rows first .. first + rows; zeros from row `end` on.
INLINE void copy_column(uint32_t to, const float *from, int32_t heads, int32_t head,
                                int32_t first, int32_t end, const int rows)
{
    const int32_t r = (int32_t)threadIdx.x;
    if (r < rows) {
        const bool real = first + r < end;
        const int64_t row = real ? first + r : first;
        copy4(to + (uint32_t)r * 4, from + row * heads + head, real);
    }
}

// A warp's 16 x D accumulators, times `factor`, as bf16 into 16 rows of shared memory.
INLINE void stage_tile(uint32_t to, const float c[][4], const int tiles, float factor_low,
                               float factor_high)
{
    const uint32_t lane = threadIdx.x % 32;
    const uint32_t at = to + lane / 4 * ROW_BYTES + lane % 4 * 4;
#pragma unroll
    for (int n = 0; n < tiles; n++) {
        asm volatile("st.shared.b32 [%0], %1;\n" ::"r"(at + n * 16),
                     "r"(pack(c[n][0] * factor_low, c[n][1] * factor_low))
                     : "memory");
        asm volatile("st.shared.b32 [%0], %1;\n" ::"r"(at + n * 16 + 8 * ROW_BYTES),
                     "r"(pack(c[n][2] * factor_high, c[n][3] * factor_high))
                     : "memory");
    }
}

// Rows of shared memory to rows first .. first + rows of a matrix, by one warp.
INLINE void store_rows(uint16_t *to, int64_t ld, int32_t first, int32_t rows, uint32_t from)
{
    for (int c = (int)threadIdx.x % 32; c < rows * CHUNKS; c += 32) {
        const int r = c / CHUNKS;
        const int column = c % CHUNKS;
        uint4 v;
        asm volatile("ld.shared.v4.b32 {%0,%1,%2,%3}, [%4];\n"
                     : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
                     : "r"(from + (uint32_t)(r * ROW_BYTES + column * 16))
                     : "memory");
        *(uint4 *)(to + (int64_t)(first + r) * ld + column * 8) = v;
    }
}

// Addresses that a lane gives to load_matrices for a matrix stored by rows: 16 rows x 16 columns as
// first operand; 16 outputs x 16 depth as second; 16 depth x 16 outputs as second, transposed.
#define LANE_FIRST    ((lane % 16) * ROW_BYTES + lane / 16 * 16)
#define LANE_SECOND   ((lane % 8 + lane / 16 * 8) * ROW_BYTES + lane / 8 % 2 * 16)
#define LANE_SECOND_T ((lane % 16) * ROW_BYTES + lane / 16 * 16)

// ---- forward

#define WARPS         SHAPE(FWD_WARPS_)
#define THREADS       (32 * WARPS)
#define TILES         SHAPE(FWD_TILES_)
#define BLOCK         SHAPE(FWD_BLOCK_)
#define KEYS          SHAPE(FWD_KEYS_)
#define COLS          (KEYS / 8)

extern "C" __global__ void __launch_bounds__(THREADS, D <= 64 ? 2 : 1)
    KERNEL_NAME(fwd)(const struct od_attention_args args)
{
    extern __shared__ __align__(16) unsigned char shared[];
    struct od_attention_tile tile;
    int32_t head;
    if (!find_work(&args, block_index(), args.heads, &tile, &head)) {
        return;
    }
    const uint32_t lane = threadIdx.x % 32;
    const int32_t warp = (int32_t)threadIdx.x / 32;
    const uint32_t s_q = shared_address(shared);
    const uint32_t s_k = s_q + BLOCK * ROW_BYTES;
    const uint32_t s_v = s_k + KEYS * ROW_BYTES;
    const int32_t kv_head = head / (args.heads / args.kv_heads);
    const uint16_t *q = args.qkv + (int64_t)head * D;
    const uint16_t *k = args.qkv + (int64_t)(args.heads + kv_head) * D;
    const uint16_t *v = k + (int64_t)args.kv_heads * D;
    const float scale = args.scale * LOG2E;
    const int32_t window = args.window;

    const int32_t row = tile.row + warp * 16 * TILES;  // of this warp
    const int32_t last_row = row + 16 * TILES - 1;
    const int32_t end = tile.row + tile.rows;
    const int32_t start = first_key(&tile, window, KEYS);

    float o[TILES][D / 8][4] = {};
    float highest[TILES][2];
    float sum[TILES][2];
#pragma unroll
    for (int t = 0; t < TILES; t++) {
        highest[t][0] = highest[t][1] = -INFINITY;
        sum[t][0] = sum[t][1] = 0.0F;
    }
    const uint32_t a_q = s_q + (uint32_t)warp * 16 * TILES * ROW_BYTES + LANE_FIRST;
    const uint32_t b_k = s_k + LANE_SECOND;
    const uint32_t b_v = s_v + LANE_SECOND_T;

    copy_rows(s_q, q, args.ld_qkv, tile.row, end, BLOCK, THREADS);
    copy_rows(s_k, k, args.ld_qkv, start, end, KEYS, THREADS);
    for (int32_t key = start; key < end; key += KEYS) {
        copy_wait();
        __syncthreads();
        copy_rows(s_v, v, args.ld_qkv, key, end, KEYS, THREADS);
        const bool seen = key <= last_row && (window <= 0 || key + KEYS - 1 > row - window);
        float s[TILES][COLS][4] = {};
        if (seen) {
#pragma unroll
            for (int d = 0; d < D / 16; d++) {
                uint32_t a[TILES][4];
#pragma unroll
                for (int t = 0; t < TILES; t++) {
                    load_matrices(a[t], a_q + t * 16 * ROW_BYTES + d * 32);
                }
#pragma unroll
                for (int n = 0; n < KEYS / 16; n++) {
                    uint32_t b[4];
                    load_matrices(b, b_k + n * 16 * ROW_BYTES + d * 32);
#pragma unroll
                    for (int t = 0; t < TILES; t++) {
                        multiply(s[t][2 * n], a[t], b[0], b[1]);
                        multiply(s[t][2 * n + 1], a[t], b[2], b[3]);
                    }
                }
            }
        }
        copy_wait();
        __syncthreads();
        if (key + KEYS < end) {
            copy_rows(s_k, k, args.ld_qkv, key + KEYS, end, KEYS, THREADS);
        }
        if (!seen) {
            continue;
        }
        if (key + KEYS - 1 > row || (window > 0 && key <= last_row - window)) {
#pragma unroll
            for (int t = 0; t < TILES; t++) {
#pragma unroll
                for (int n = 0; n < COLS; n++) {
#pragma unroll
                    for (int e = 0; e < 4; e++) {
                        const int32_t i = row + t * 16 + (int32_t)lane / 4 + e / 2 * 8;
                        const int32_t j = key + n * 8 + (int32_t)lane % 4 * 2 + e % 2;
                        if (j > i || (window > 0 && j <= i - window)) {
                            s[t][n][e] = -INFINITY;
                        }
                    }
                }
            }
        }
        float shrink[TILES][2];
        bool changed = false;
#pragma unroll
        for (int t = 0; t < TILES; t++) {
#pragma unroll
            for (int r = 0; r < 2; r++) {
                float top = highest[t][r];
#pragma unroll
                for (int n = 0; n < COLS; n++) {
                    top = fmaxf(top, fmaxf(s[t][n][2 * r], s[t][n][2 * r + 1]));
                }
                top = quad_max(top);
                // A row that has seen no key yet keeps -infinity; zero stands in for it.
                const float base = top == -INFINITY ? 0.0F : top * scale;
                shrink[t][r] = power2(highest[t][r] * scale - base);
                changed |= top != highest[t][r];
                highest[t][r] = top;
                float total = 0.0F;
#pragma unroll
                for (int n = 0; n < COLS; n++) {
                    s[t][n][2 * r] = power2(fmaf(s[t][n][2 * r], scale, -base));
                    s[t][n][2 * r + 1] = power2(fmaf(s[t][n][2 * r + 1], scale, -base));
                    total += s[t][n][2 * r] + s[t][n][2 * r + 1];
                }
                sum[t][r] = fmaf(sum[t][r], shrink[t][r], total);
            }
        }
        // A maximum that did not move shrinks by exactly 1.
        if (__any_sync(0xffffffffU, changed)) {
#pragma unroll
            for (int t = 0; t < TILES; t++) {
#pragma unroll
                for (int n = 0; n < D / 8; n++) {
                    o[t][n][0] *= shrink[t][0];
                    o[t][n][1] *= shrink[t][0];
                    o[t][n][2] *= shrink[t][1];
                    o[t][n][3] *= shrink[t][1];
                }
            }
        }
#pragma unroll
        for (int j = 0; j < KEYS / 16; j++) {
            uint32_t p[TILES][4];
#pragma unroll
            for (int t = 0; t < TILES; t++) {
                p[t][0] = pack(s[t][2 * j][0], s[t][2 * j][1]);
                p[t][1] = pack(s[t][2 * j][2], s[t][2 * j][3]);
                p[t][2] = pack(s[t][2 * j + 1][0], s[t][2 * j + 1][1]);
                p[t][3] = pack(s[t][2 * j + 1][2], s[t][2 * j + 1][3]);
            }
#pragma unroll
            for (int n = 0; n < D / 16; n++) {
                uint32_t b[4];
                load_matrices_t(b, b_v + j * 16 * ROW_BYTES + n * 32);
#pragma unroll
                for (int t = 0; t < TILES; t++) {
                    multiply(o[t][2 * n], p[t], b[0], b[1]);
                    multiply(o[t][2 * n + 1], p[t], b[2], b[3]);
                }
            }
        }
    }
    // The queries of a warp are read by no other: their place takes its outputs.
    const uint32_t s_out = s_q + (uint32_t)warp * 16 * TILES * ROW_BYTES;
    __syncwarp();
#pragma unroll
    for (int t = 0; t < TILES; t++) {
        const float low = quad_sum(sum[t][0]);
        const float high = quad_sum(sum[t][1]);
        const int32_t i = row + t * 16 + (int32_t)lane / 4;
        if (lane % 4 == 0 && i < end) {
            args.lse[(int64_t)i * args.heads + head] =
                (highest[t][0] * scale + log_2(low)) * (1.0F / LOG2E);
        }
        if (lane % 4 == 0 && i + 8 < end) {
            args.lse[(int64_t)(i + 8) * args.heads + head] =
                (highest[t][1] * scale + log_2(high)) * (1.0F / LOG2E);
        }
        stage_tile(s_out + t * 16 * ROW_BYTES, o[t], D / 8, 1.0F / low, 1.0F / high);
    }
    __syncwarp();
    store_rows(args.o + (int64_t)head * D, args.ld_o, row, min(end - row, 16 * TILES),
                       s_out);
}

#undef WARPS
#undef THREADS
#undef TILES
#undef BLOCK
#undef KEYS
#undef COLS

// ---- dQ: as the forward pass, with P from the stored lse

#define WARPS   SHAPE(DQ_WARPS_)
#define THREADS (32 * WARPS)
#define TILES   SHAPE(DQ_TILES_)
#define BLOCK   SHAPE(DQ_BLOCK_)
#define KEYS    SHAPE(DQ_KEYS_)
#define COLS    (KEYS / 8)

extern "C" __global__ void __launch_bounds__(THREADS)
    KERNEL_NAME(dq)(const struct od_attention_args args)
{
    extern __shared__ __align__(16) unsigned char shared[];
    struct od_attention_tile tile;
    int32_t head;
    if (!find_work(&args, block_index(), args.heads, &tile, &head)) {
        return;
    }
    const uint32_t lane = threadIdx.x % 32;
    const int32_t warp = (int32_t)threadIdx.x / 32;
    const uint32_t s_q = shared_address(shared);
    const uint32_t s_do = s_q + BLOCK * ROW_BYTES;
    const uint32_t s_v = s_do + BLOCK * ROW_BYTES;
    const uint32_t s_k = s_v + KEYS * ROW_BYTES;  // two stages: keys are needed to the step's end
    const int32_t kv_head = head / (args.heads / args.kv_heads);
    const uint16_t *q = args.qkv + (int64_t)head * D;
    const uint16_t *k = args.qkv + (int64_t)(args.heads + kv_head) * D;
    const uint16_t *v = k + (int64_t)args.kv_heads * D;
    const float scale = args.scale * LOG2E;
    const int32_t window = args.window;

    const int32_t row = tile.row + warp * 16 * TILES;
    const int32_t last_row = row + 16 * TILES - 1;
    const int32_t end = tile.row + tile.rows;
    const int32_t start = first_key(&tile, window, KEYS);

    copy_rows(s_q, q, args.ld_qkv, tile.row, end, BLOCK, THREADS);
    copy_rows(s_do, args.d_o + (int64_t)head * D, args.ld_do, tile.row, end, BLOCK,
                      THREADS);
    copy_rows(s_k, k, args.ld_qkv, start, end, KEYS, THREADS);
    copy_rows(s_v, v, args.ld_qkv, start, end, KEYS, THREADS);

    float dq[TILES][D / 8][4] = {};
    float lse[TILES][2];
    float delta[TILES][2];
#pragma unroll
    for (int t = 0; t < TILES; t++) {
#pragma unroll
        for (int r = 0; r < 2; r++) {
            const int32_t i = row + t * 16 + (int32_t)lane / 4 + 8 * r;
            const int64_t at = (int64_t)i * args.heads + head;
            lse[t][r] = i < end ? args.lse[at] * LOG2E : 0.0F;
            delta[t][r] = i < end ? args.delta[at] : 0.0F;
        }
    }
    const uint32_t a_q = s_q + (uint32_t)warp * 16 * TILES * ROW_BYTES + LANE_FIRST;
    const uint32_t a_do = s_do + (uint32_t)warp * 16 * TILES * ROW_BYTES + LANE_FIRST;
    const uint32_t b_v = s_v + LANE_SECOND;

    uint32_t stage = 0;
    for (int32_t key = start; key < end; key += KEYS, stage ^= 1) {
        const uint32_t s_now = s_k + stage * KEYS * ROW_BYTES;
        copy_wait();
        __syncthreads();
        if (key + KEYS < end) {
            copy_rows(s_k + (stage ^ 1) * KEYS * ROW_BYTES, k, args.ld_qkv, key + KEYS, end,
                              KEYS, THREADS);
        }
        const bool seen = key <= last_row && (window <= 0 || key + KEYS - 1 > row - window);
        float s[TILES][COLS][4] = {};
        float dp[TILES][COLS][4] = {};
        if (seen) {
#pragma unroll
            for (int d = 0; d < D / 16; d++) {
                uint32_t a[TILES][4];
#pragma unroll
                for (int t = 0; t < TILES; t++) {
                    load_matrices(a[t], a_q + t * 16 * ROW_BYTES + d * 32);
                }
#pragma unroll
                for (int n = 0; n < KEYS / 16; n++) {
                    uint32_t b[4];
                    load_matrices(b, s_now + LANE_SECOND + n * 16 * ROW_BYTES + d * 32);
#pragma unroll
                    for (int t = 0; t < TILES; t++) {
                        multiply(s[t][2 * n], a[t], b[0], b[1]);
                        multiply(s[t][2 * n + 1], a[t], b[2], b[3]);
                    }
                }
            }
#pragma unroll
            for (int d = 0; d < D / 16; d++) {
                uint32_t a[TILES][4];
#pragma unroll
                for (int t = 0; t < TILES; t++) {
                    load_matrices(a[t], a_do + t * 16 * ROW_BYTES + d * 32);
                }
#pragma unroll
                for (int n = 0; n < KEYS / 16; n++) {
                    uint32_t b[4];
                    load_matrices(b, b_v + n * 16 * ROW_BYTES + d * 32);
#pragma unroll
                    for (int t = 0; t < TILES; t++) {
                        multiply(dp[t][2 * n], a[t], b[0], b[1]);
                        multiply(dp[t][2 * n + 1], a[t], b[2], b[3]);
                    }
                }
            }
        }
        __syncthreads();
        if (key + KEYS < end) {
            copy_rows(s_v, v, args.ld_qkv, key + KEYS, end, KEYS, THREADS);
        }
        if (!seen) {
            continue;
        }
        const bool mask = key + KEYS - 1 > row || (window > 0 && key <= last_row - window);
#pragma unroll
        for (int t = 0; t < TILES; t++) {
#pragma unroll
            for (int n = 0; n < COLS; n++) {
#pragma unroll
                for (int e = 0; e < 4; e++) {
                    float p = power2(fmaf(s[t][n][e], scale, -lse[t][e / 2]));
                    if (mask) {
                        const int32_t i = row + t * 16 + (int32_t)lane / 4 + e / 2 * 8;
                        const int32_t j = key + n * 8 + (int32_t)lane % 4 * 2 + e % 2;
                        p = j > i || (window > 0 && j <= i - window) ? 0.0F : p;
                    }
                    dp[t][n][e] = p * (dp[t][n][e] - delta[t][e / 2]);
                }
            }
        }
#pragma unroll
        for (int j = 0; j < KEYS / 16; j++) {
            uint32_t ds[TILES][4];
#pragma unroll
            for (int t = 0; t < TILES; t++) {
                ds[t][0] = pack(dp[t][2 * j][0], dp[t][2 * j][1]);
                ds[t][1] = pack(dp[t][2 * j][2], dp[t][2 * j][3]);
                ds[t][2] = pack(dp[t][2 * j + 1][0], dp[t][2 * j + 1][1]);
                ds[t][3] = pack(dp[t][2 * j + 1][2], dp[t][2 * j + 1][3]);
            }
#pragma unroll
            for (int n = 0; n < D / 16; n++) {
                uint32_t b[4];
                load_matrices_t(b, s_now + LANE_SECOND_T + j * 16 * ROW_BYTES + n * 32);
#pragma unroll
                for (int t = 0; t < TILES; t++) {
                    multiply(dq[t][2 * n], ds[t], b[0], b[1]);
                    multiply(dq[t][2 * n + 1], ds[t], b[2], b[3]);
                }
            }
        }
    }
    const uint32_t s_out = s_q + (uint32_t)warp * 16 * TILES * ROW_BYTES;
    __syncwarp();
#pragma unroll
    for (int t = 0; t < TILES; t++) {
        stage_tile(s_out + t * 16 * ROW_BYTES, dq[t], D / 8, args.scale, args.scale);
    }
    __syncwarp();
    store_rows(args.dqkv + (int64_t)head * D, args.ld_dqkv, row, min(end - row, 16 * TILES),
                       s_out);
}

#undef WARPS
#undef THREADS
#undef TILES
#undef BLOCK
#undef KEYS
#undef COLS

// ---- dK and dV: keys stay, the queries of each head of the group pass by

#define WARPS   SHAPE(DKDV_WARPS_)
#define THREADS (32 * WARPS)
#define TILES   SHAPE(DKDV_TILES_)
#define BLOCK   SHAPE(DKDV_BLOCK_)
#define QUERIES SHAPE(DKDV_QUERIES_)
#define PARTS   SHAPE(DKDV_PARTS_)
#define COLS    (QUERIES / 8)
#define PART_D  (D / PARTS)  // columns of dK and dV in a warp

extern "C" __global__ void __launch_bounds__(THREADS)
    KERNEL_NAME(dkdv)(const struct od_attention_args args)
{
    extern __shared__ __align__(16) unsigned char shared[];
    struct od_attention_tile tile;
    int32_t kv_head;
    if (!find_work(&args, block_index(), args.kv_heads, &tile, &kv_head)) {
        return;
    }
    const uint32_t lane = threadIdx.x % 32;
    const int32_t warp = (int32_t)threadIdx.x / 32;
    const uint32_t warp_row = (uint32_t)(warp / PARTS * 16 * TILES);
    const uint32_t part = (uint32_t)(warp % PARTS);
    const uint32_t s_k = shared_address(shared);
    const uint32_t s_v = s_k + BLOCK * ROW_BYTES;
    const uint32_t s_do = s_v + BLOCK * ROW_BYTES;
    const uint32_t s_q = s_do + QUERIES * ROW_BYTES;       // two stages
    const uint32_t s_lse = s_q + 2 * QUERIES * ROW_BYTES;  // two stages
    const uint32_t s_delta = s_lse + 2 * QUERIES * 4;      // two stages
    const int32_t group = args.heads / args.kv_heads;
    const uint16_t *k = args.qkv + (int64_t)(args.heads + kv_head) * D;
    const uint16_t *v = k + (int64_t)args.kv_heads * D;
    const float scale = args.scale * LOG2E;
    const int32_t window = args.window;

    const int32_t row = tile.row + (int32_t)warp_row;  // first key of this warp
    const int32_t last_row = row + 16 * TILES - 1;
    const int32_t key_end = tile.row + tile.rows;
    // Queries tile.row .. end of the document, or up to the last that sees a key of the tile.
    const int32_t end = window > 0 ? min(tile.end, key_end - 1 + window) : tile.end;
    const int32_t steps = (end - tile.row + QUERIES - 1) / QUERIES;

    copy_rows(s_k, k, args.ld_qkv, tile.row, key_end, BLOCK, THREADS);
    copy_rows(s_v, v, args.ld_qkv, tile.row, key_end, BLOCK, THREADS);

    float dk[TILES][PART_D / 8][4] = {};
    float dv[TILES][PART_D / 8][4] = {};
    const uint32_t a_k = s_k + warp_row * ROW_BYTES + LANE_FIRST;
    const uint32_t a_v = s_v + warp_row * ROW_BYTES + LANE_FIRST;
    const uint32_t b_do = s_do + LANE_SECOND;
    const uint32_t b_do_t = s_do + LANE_SECOND_T + part * PART_D * 2;

    int32_t head = kv_head * group;
    int32_t query = tile.row;
    copy_rows(s_q, args.qkv + (int64_t)head * D, args.ld_qkv, query, end, QUERIES, THREADS);
    copy_rows(s_do, args.d_o + (int64_t)head * D, args.ld_do, query, end, QUERIES, THREADS);
    copy_column(s_lse, args.lse, args.heads, head, query, end, QUERIES);
    copy_column(s_delta, args.delta, args.heads, head, query, end, QUERIES);

    uint32_t stage = 0;
    for (int32_t step = 0; step < steps * group; step++, stage ^= 1) {
        const uint32_t s_now = s_q + stage * QUERIES * ROW_BYTES;
        const bool more = step + 1 < steps * group;
        const bool turn = query + QUERIES >= end;
        const int32_t next_head = turn ? head + 1 : head;
        const int32_t next_query = turn ? tile.row : query + QUERIES;
        copy_wait();
        __syncthreads();
        if (more) {
            const uint32_t other = stage ^ 1;
            copy_rows(s_q + other * QUERIES * ROW_BYTES, args.qkv + (int64_t)next_head * D,
                              args.ld_qkv, next_query, end, QUERIES, THREADS);
            copy_column(s_lse + other * QUERIES * 4, args.lse, args.heads, next_head,
                                next_query, end, QUERIES);
            copy_column(s_delta + other * QUERIES * 4, args.delta, args.heads, next_head,
                                next_query, end, QUERIES);
        }
        const bool seen = query + QUERIES - 1 >= row && (window <= 0 || query < last_row + window);
        if (seen) {
            float s[TILES][COLS][4] = {};
            float dp[TILES][COLS][4] = {};
#pragma unroll
            for (int d = 0; d < D / 16; d++) {
                uint32_t a[TILES][4];
#pragma unroll
                for (int t = 0; t < TILES; t++) {
                    load_matrices(a[t], a_k + t * 16 * ROW_BYTES + d * 32);
                }
#pragma unroll
                for (int n = 0; n < QUERIES / 16; n++) {
                    uint32_t b[4];
                    load_matrices(b, s_now + LANE_SECOND + n * 16 * ROW_BYTES + d * 32);
#pragma unroll
                    for (int t = 0; t < TILES; t++) {
                        multiply(s[t][2 * n], a[t], b[0], b[1]);
                        multiply(s[t][2 * n + 1], a[t], b[2], b[3]);
                    }
                }
            }
#pragma unroll
            for (int d = 0; d < D / 16; d++) {
                uint32_t a[TILES][4];
#pragma unroll
                for (int t = 0; t < TILES; t++) {
                    load_matrices(a[t], a_v + t * 16 * ROW_BYTES + d * 32);
                }
#pragma unroll
                for (int n = 0; n < QUERIES / 16; n++) {
                    uint32_t b[4];
                    load_matrices(b, b_do + n * 16 * ROW_BYTES + d * 32);
#pragma unroll
                    for (int t = 0; t < TILES; t++) {
                        multiply(dp[t][2 * n], a[t], b[0], b[1]);
                        multiply(dp[t][2 * n + 1], a[t], b[2], b[3]);
                    }
                }
            }
            const bool mask =
                query < last_row || (window > 0 && query + QUERIES - 1 >= row + window);
#pragma unroll
            for (int n = 0; n < COLS; n++) {
                const uint32_t at = (stage * QUERIES + n * 8 + lane % 4 * 2) * 4;
                float lse[2];
                float delta[2];
                asm volatile("ld.shared.v2.f32 {%0,%1}, [%2];\n"
                             : "=f"(lse[0]), "=f"(lse[1])
                             : "r"(s_lse + at)
                             : "memory");
                asm volatile("ld.shared.v2.f32 {%0,%1}, [%2];\n"
                             : "=f"(delta[0]), "=f"(delta[1])
                             : "r"(s_delta + at)
                             : "memory");
#pragma unroll
                for (int t = 0; t < TILES; t++) {
#pragma unroll
                    for (int e = 0; e < 4; e++) {
                        float p = power2(fmaf(s[t][n][e], scale, -lse[e % 2] * LOG2E));
                        if (mask) {
                            const int32_t j = row + t * 16 + (int32_t)lane / 4 + e / 2 * 8;
                            const int32_t i = query + n * 8 + (int32_t)lane % 4 * 2 + e % 2;
                            p = j > i || (window > 0 && j <= i - window) ? 0.0F : p;
                        }
                        s[t][n][e] = p;
                        dp[t][n][e] = p * (dp[t][n][e] - delta[e % 2]);
                    }
                }
            }
#pragma unroll
            for (int j = 0; j < QUERIES / 16; j++) {
                uint32_t p[TILES][4];
                uint32_t ds[TILES][4];
#pragma unroll
                for (int t = 0; t < TILES; t++) {
#pragma unroll
                    for (int e = 0; e < 4; e++) {
                        const int n = 2 * j + e / 2;
                        const int c = e % 2 * 2;
                        p[t][e] = pack(s[t][n][c], s[t][n][c + 1]);
                        ds[t][e] = pack(dp[t][n][c], dp[t][n][c + 1]);
                    }
                }
#pragma unroll
                for (int n = 0; n < PART_D / 16; n++) {
                    uint32_t b[4];
                    load_matrices_t(b, b_do_t + j * 16 * ROW_BYTES + n * 32);
#pragma unroll
                    for (int t = 0; t < TILES; t++) {
                        multiply(dv[t][2 * n], p[t], b[0], b[1]);
                        multiply(dv[t][2 * n + 1], p[t], b[2], b[3]);
                    }
                    load_matrices_t(b, s_now + LANE_SECOND_T + part * PART_D * 2 +
                                           j * 16 * ROW_BYTES + n * 32);
#pragma unroll
                    for (int t = 0; t < TILES; t++) {
                        multiply(dk[t][2 * n], ds[t], b[0], b[1]);
                        multiply(dk[t][2 * n + 1], ds[t], b[2], b[3]);
                    }
                }
            }
        }
        __syncthreads();
        if (more) {
            copy_rows(s_do, args.d_o + (int64_t)next_head * D, args.ld_do, next_query, end,
                              QUERIES, THREADS);
        }
        head = next_head;
        query = next_query;
    }
    // Every warp is past its last use of K and V: their place takes the outputs.
#pragma unroll
    for (int t = 0; t < TILES; t++) {
        const uint32_t at = (warp_row + t * 16) * ROW_BYTES + part * PART_D * 2;
        stage_tile(s_k + at, dk[t], PART_D / 8, args.scale, args.scale);
        stage_tile(s_v + at, dv[t], PART_D / 8, 1.0F, 1.0F);
    }
    __syncthreads();
    uint16_t *d_k = args.dqkv + (int64_t)(args.heads + kv_head) * D;
    const int32_t own = 16 * TILES / PARTS;  // rows that this warp writes out
    const int32_t at = (int32_t)(warp_row + part * own);
    store_rows(d_k, args.ld_dqkv, tile.row + at, min(tile.rows - at, own),
                       s_k + (uint32_t)at * ROW_BYTES);
    store_rows(d_k + (int64_t)args.kv_heads * D, args.ld_dqkv, tile.row + at,
                       min(tile.rows - at, own), s_v + (uint32_t)at * ROW_BYTES);
}

#undef WARPS
#undef THREADS
#undef TILES
#undef BLOCK
#undef QUERIES
#undef PARTS
#undef COLS
#undef PART_D

#undef LANE_FIRST
#undef LANE_SECOND
#undef LANE_SECOND_T
#undef CHUNKS
#undef ROW_BYTES
#undef PITCH
#undef SHAPE
#undef NAMED
#undef D
