// Products of warpgroups (sm_90a) over tiles in shared memory.
//
// A tile of R rows x C columns lies as C / 64 panels of R rows of 128 bytes; in row r the 16-byte
// piece c stands at c ^ (r % 8). That is the 128-byte swizzle that the tensor cores expect, for the
// tile as it is (depth along a row) and transposed (depth along a column) alike.

INLINE void copy_commit(void)
{
    asm volatile("cp.async.commit_group;\n" ::: "memory");
}

// Until at most one group of copies is under way.
INLINE void copy_wait_but_one(void)
{
    asm volatile("cp.async.wait_group 1;\n" ::: "memory");
}

// Address in units of 16 bytes, distance between panels, between groups of 8 rows, swizzle.
INLINE uint64_t wg_matrix(uint32_t address, uint32_t panel_bytes)
{
    return (uint64_t)((address & 0x3ffffU) >> 4) | (uint64_t)(panel_bytes >> 4) << 16 |
           (uint64_t)(1024 >> 4) << 32 | 1ULL << 62;
}

INLINE void wg_begin(void)
{
    asm volatile("wgmma.fence.sync.aligned;\n" ::: "memory");
}

INLINE void wg_end(void)
{
    asm volatile("wgmma.commit_group.sync.aligned;\n" ::: "memory");
}

// Until at most two groups are under way.
INLINE void wg_wait_but_two(void)
{
    asm volatile("wgmma.wait_group.sync.aligned 2;\n" ::: "memory");
}

// Until at most one group is under way.
INLINE void wg_wait_but_one(void)
{
    asm volatile("wgmma.wait_group.sync.aligned 1;\n" ::: "memory");
}

INLINE void wg_wait(void)
{
    asm volatile("wgmma.wait_group.sync.aligned 0;\n" ::: "memory");
}

// Keeps the compiler from using accumulators before the wait above this line.
INLINE void wg_settle(float c[][4], const int tiles)
{
#pragma unroll
    for (int n = 0; n < tiles; n++) {
        asm volatile("" : "+f"(c[n][0]), "+f"(c[n][1]), "+f"(c[n][2]), "+f"(c[n][3])::"memory");
    }
}

// What threads copied into shared memory becomes visible to the tensor cores.
INLINE void wg_publish(void)
{
    asm volatile("fence.proxy.async.shared::cta;\n" ::: "memory");
}

#define ACC4(n) "+f"(c[n][0]), "+f"(c[n][1]), "+f"(c[n][2]), "+f"(c[n][3])
#define ACC32   ACC4(0), ACC4(1), ACC4(2), ACC4(3), ACC4(4), ACC4(5), ACC4(6), ACC4(7)
#define ACC64   ACC32, ACC4(8), ACC4(9), ACC4(10), ACC4(11), ACC4(12), ACC4(13), ACC4(14), ACC4(15)
#define LIST32                                                                                    \
    "{%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,%23,%24," \
    "%25,%26,%27,%28,%29,%30,%31}"
#define LIST64                                                                                     \
    "{%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,%23,%24,"  \
    "%25,%26,%27,%28,%29,%30,%31,%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47," \
    "%48,%49,%50,%51,%52,%53,%54,%55,%56,%57,%58,%59,%60,%61,%62,%63}"

// c[64, width] (+)= a[64, 16] b[16, width], both in shared memory, depth along rows.
INLINE void wg_multiply(float c[][4], const int width, uint64_t a, uint64_t b, int add)
{
    if (width == 64) {
        asm volatile(
            "{.reg .pred p; setp.ne.b32 p, %34, 0;\n"
            "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 " LIST32
            ", %32, %33, p, 1, 1, 0, 0;}\n"
            : ACC32
            : "l"(a), "l"(b), "r"(add));
    } else {
        asm volatile(
            "{.reg .pred p; setp.ne.b32 p, %66, 0;\n"
            "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 " LIST64
            ", %64, %65, p, 1, 1, 0, 0;}\n"
            : ACC64
            : "l"(a), "l"(b), "r"(add));
    }
}

// c[64, width] += a[64, 16] b[16, width]; a in registers, depth of b along columns.
INLINE void wg_multiply_t(float c[][4], const int width, const uint32_t a[4], uint64_t b)
{
    if (width == 64) {
        asm volatile("wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 " LIST32
                     ", {%32,%33,%34,%35}, %36, 1, 1, 1, 1;\n"
                     : ACC32
                     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));
    } else {
        asm volatile("wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 " LIST64
                     ", {%64,%65,%66,%67}, %68, 1, 1, 1, 1;\n"
                     : ACC64
                     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));
    }
}

#undef ACC4
#undef ACC32
#undef ACC64
#undef LIST32
#undef LIST64

// c[64, width] = A[64, depth] B[width, depth]^T, tiles of a_rows and b_rows rows in shared memory.
INLINE void wg_product(float c[][4], const int width, const int depth, uint32_t a, const int a_rows,
                       uint32_t b, const int b_rows)
{
    const uint64_t first = wg_matrix(a, 0);
    const uint64_t second = wg_matrix(b, 0);
#pragma unroll
    for (int d = 0; d < depth / 16; d++) {
        const uint64_t at = d % 4 * 2;
        wg_multiply(c, width, first + at + (uint64_t)(d / 4 * a_rows * 8),
                    second + at + (uint64_t)(d / 4 * b_rows * 8), d > 0);
    }
}

// c[64, width] += A[64, depth] B[depth, width], A in registers, B a tile of `depth` rows.
INLINE void wg_product_t(float c[][4], const int width, const int depth, const uint32_t a[][4],
                         uint32_t b)
{
    const uint64_t second = wg_matrix(b, (uint32_t)depth * 128);
#pragma unroll
    for (int j = 0; j < depth / 16; j++) {
        wg_multiply_t(c, width, a[j], second + (uint64_t)(j * 128));
    }
}

// Accumulators as first operand of the next product.
INLINE void wg_pack(uint32_t a[][4], const float c[][4], const int depth)
{
#pragma unroll
    for (int j = 0; j < depth / 16; j++) {
#pragma unroll
        for (int e = 0; e < 4; e++) {
            a[j][e] = pack(c[2 * j + e / 2][e % 2 * 2], c[2 * j + e / 2][e % 2 * 2 + 1]);
        }
    }
}

// A pipe: stages in shared memory that two warps fill by copies and two warpgroups use. Each stage
// has two barriers: full, on which every filling thread arrives, and empty, on which every using
// warp arrives, or every using thread where threads read the stage by themselves. A filling thread announces a stage when its own copies have landed; meanwhile it
// fills the next one. `pending` is the full barrier of a stage whose copies are under way, 0: none;
// a thread has one for all its pipes, and announces it before it waits for anything.
struct wg_pipe {
    uint32_t barriers;  // full, empty, full, empty ...
    uint32_t stage;
    uint32_t parity;  // of the turn through the stages
};

enum { WG_FILLERS = 64, WG_USERS = 8, WG_WARPS = 12 };

INLINE void barrier_init(uint32_t barrier, uint32_t count)
{
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;\n" ::"r"(barrier), "r"(count) : "memory");
}

INLINE void barrier_arrive(uint32_t barrier)
{
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];\n" ::"r"(barrier) : "memory");
}

INLINE bool barrier_passed(uint32_t barrier, uint32_t parity)
{
    uint32_t passed;
    asm volatile(
        "{.reg .pred p;\n"
        "mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\n"
        "selp.u32 %0, 1, 0, p;}\n"
        : "=r"(passed)
        : "r"(barrier), "r"(parity)
        : "memory");
    return passed != 0;
}

INLINE void barrier_wait(uint32_t barrier, uint32_t parity)
{
    while (!barrier_passed(barrier, parity)) {
    }
}

// By one thread, before any use of the pipe. `users` arrive on the empty barrier.
INLINE void pipe_init(uint32_t barriers, const int stages, const uint32_t users)
{
    for (int i = 0; i < stages; i++) {
        barrier_init(barriers + i * 16, WG_FILLERS);
        barrier_init(barriers + i * 16 + 8, users);
    }
}

INLINE void pipe_next(struct wg_pipe *pipe, const uint32_t stages)
{
    pipe->stage++;
    if (pipe->stage == stages) {
        pipe->stage = 0;
        pipe->parity ^= 1;
    }
}

INLINE void pipe_announce(uint32_t *pending)
{
    wg_publish();
    barrier_arrive(*pending);
    *pending = 0;
}

// After the last stage.
INLINE void pipe_finish(uint32_t *pending)
{
    if (*pending) {
        copy_wait();
        pipe_announce(pending);
    }
}

// A filling warp waits.
INLINE void pipe_await(uint32_t barrier, uint32_t parity, uint32_t *pending)
{
    if (!__all_sync(0xffffffffU, barrier_passed(barrier, parity))) {
        pipe_finish(pending);
        barrier_wait(barrier, parity);
    }
}

// Until the stage may be filled.
INLINE void pipe_claim(const struct wg_pipe *pipe, uint32_t *pending)
{
    pipe_await(pipe->barriers + pipe->stage * 16 + 8, pipe->parity ^ 1, pending);
}

// The copies into the stage have been issued.
INLINE void pipe_filled(struct wg_pipe *pipe, const uint32_t stages, uint32_t *pending)
{
    copy_commit();
    if (*pending) {
        copy_wait_but_one();
        pipe_announce(pending);
    }
    *pending = pipe->barriers + pipe->stage * 16;
    pipe_next(pipe, stages);
}

// Until the stage is full.
INLINE void pipe_wait(const struct wg_pipe *pipe)
{
    barrier_wait(pipe->barriers + pipe->stage * 16, pipe->parity);
}

// This warp is done with a stage.
INLINE void pipe_release(const struct wg_pipe *pipe, uint32_t stage)
{
    __syncwarp();
    if (threadIdx.x % 32 == 0) {
        barrier_arrive(pipe->barriers + stage * 16 + 8);
    }
}

// The line of work of a block: its own place in the grid first, then what the queue in device memory
// hands out to blocks as they come free, or without a queue every so many pieces. Which block does a
// piece has no influence on its result. Two places in shared memory, so that the filling warps run
// ahead: barriers as in a pipe, then the two numbers.
INLINE void line_init(uint32_t barriers)
{
    for (int i = 0; i < 2; i++) {
        barrier_init(barriers + i * 16, 1);
        barrier_init(barriers + i * 16 + 8, WG_WARPS);
    }
}

// By one filling warp, once for each piece: brings the next one.
INLINE void line_bring(const struct wg_pipe *line, int32_t *queue, uint32_t index,
                       uint32_t *pending)
{
    const uint32_t full = line->barriers + line->stage * 16;
    pipe_await(full + 8, line->parity ^ 1, pending);
    if (threadIdx.x % 32 == 0) {
        const uint32_t blocks = gridDim.x * gridDim.y;
        const uint32_t next = queue ? blocks + (uint32_t)atomicAdd(queue, 1) : index + blocks;
        asm volatile("st.shared.b32 [%0], %1;\n" ::"r"(line->barriers + 32 + line->stage * 4),
                     "r"(next)
                     : "memory");
        barrier_arrive(full);
    }
    __syncwarp();
}

// By every warp: the next piece.
INLINE uint32_t line_take(struct wg_pipe *line, uint32_t *pending)
{
    uint32_t index;
    pipe_await(line->barriers + line->stage * 16, line->parity, pending);
    asm volatile("ld.shared.b32 %0, [%1];\n"
                 : "=r"(index)
                 : "r"(line->barriers + 32 + line->stage * 4)
                 : "memory");
    pipe_release(line, line->stage);
    pipe_next(line, 2);
    return index;
}

// By the thread that brought work, at the end: the last block leaves the queue as it found it.
INLINE void line_close(int32_t *queue)
{
    if (queue) {
        __threadfence();
        if (atomicAdd(queue + 1, 1) == (int32_t)(gridDim.x * gridDim.y) - 1) {
            queue[0] = 0;
            queue[1] = 0;
        }
    }
}

// Registers move from the filling warps to the using ones.
INLINE void wg_give_registers(void)
{
    asm volatile("setmaxnreg.dec.sync.aligned.u32 56;\n" ::: "memory");
}

INLINE void wg_take_registers(void)
{
    asm volatile("setmaxnreg.inc.sync.aligned.u32 224;\n" ::: "memory");
}

// Two warpgroups, 0 and 1, take turns: each awaits its own and then passes it to the other.
INLINE void turn_await(int32_t group)
{
    asm volatile("bar.sync %0, 256;\n" ::"r"(1 + group) : "memory");
}

INLINE void turn_pass(int32_t group)
{
    asm volatile("bar.arrive %0, 256;\n" ::"r"(2 - group) : "memory");
}
