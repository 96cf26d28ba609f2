// Beginnings of prompts by training's attention, straight from the rows of the pass: faster than through
// pages. Its sums are others, so that a row's bits depend on how its prompt was cut: only without batch
// invariance.

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/status.h"
#include "device/cuda/cuda.h"
#include "ops/attention/attention_cuda.h"
#include "ops/gpu.h"
#include "ops/gpu_internal.h"
#include "ops/gpu_serve.h"
#include "ops/gpu_serve_internal.h"
#include "ops/op.h"
#include "ops/paged/paged.h"

// Tiles of the beginnings in `rows` rows at most: two of a beginning of just more rows than a tile has.
static int64_t tiles_max(int64_t rows)
{
    return 2 * rows / OD_SERVE_PROMPT_ROWS;
}

size_t od_serve_prompt_list_bytes(int64_t rows, const struct od_gpu_serve_shape *shape)
{
    enum { BORDERS = 16 * (OD_SERVE_WINDOWS_MAX + 1) };
    const size_t list = (size_t)tiles_max(rows) * sizeof(struct od_attention_tile);
    return shape->batch_invariant ? 0 : OD_SERVE_WINDOWS_MAX * list + sizeof(int32_t) + BORDERS;
}

size_t od_serve_prompt_lse_bytes(int64_t rows, int32_t heads,
                                 const struct od_gpu_serve_shape *shape)
{
    return shape->batch_invariant ? 0 : (size_t)(rows * heads) * sizeof(float);
}

enum od_status od_serve_prompt_open(struct od_gpu_serve *serve, int32_t head_dim,
                                    struct od_error *err)
{
    if (serve->shape.batch_invariant) {
        return OD_OK;
    }
    const enum od_status status =
        od_gpu_find_attention(serve->gpu, OD_ATTENTION_FORWARD, head_dim, err);
    assert(status != OD_OK ||
           serve->gpu->attention_launch[OD_ATTENTION_FORWARD]->block >= OD_SERVE_PROMPT_ROWS);
    return status;
}

static bool begins_a_prompt(const struct od_paged_run *run)
{
    return run->position == 0 && run->rows >= OD_SERVE_PROMPT_ROWS;
}

// The same tiles for every window, longest work first.
static void order_tiles(struct od_gpu_serve *serve, struct od_attention_tile *tiles)
{
    struct od_serve_now *now = &serve->now;
    const size_t bytes = (size_t)now->prompt_tiles_made * sizeof *tiles;
    for (int w = 1; w < serve->window_count; w++) {
        struct od_attention_tile *others = od_serve_take(serve, bytes, &now->prompt_tiles[w]);
        memcpy(others, tiles, bytes);
        od_attention_order(others, now->prompt_tiles_made, serve->window[w], /* keys= */ false);
    }
    od_attention_order(tiles, now->prompt_tiles_made, serve->window[0], /* keys= */ false);
}

void od_serve_take_prompts(struct od_gpu_serve *serve, struct od_paged_rows *rows)
{
    struct od_serve_now *now = &serve->now;
    const struct od_attention_launch *launch = serve->gpu->attention_launch[OD_ATTENTION_FORWARD];
    int32_t kept = 0;
    now->prompt_tiles_made = 0;
    if (serve->shape.batch_invariant || serve->window_count == 0) {
        return;
    }
    int32_t *count = od_serve_take(serve, sizeof *count, &now->prompt_tile_count);
    struct od_attention_tile *tiles = od_serve_take(serve, 0, &now->prompt_tiles[0]);
    for (int32_t i = 0; i < rows->run_count; i++) {
        const struct od_paged_run *run = &rows->runs[i];
        if (begins_a_prompt(run)) {
            now->prompt_tiles_made += od_attention_cut(
                run->row, run->row + run->rows, launch->block, tiles + now->prompt_tiles_made);
        } else {
            rows->runs[kept++] = *run;
        }
    }
    rows->run_count = kept;
    *count = (int32_t)now->prompt_tiles_made;  // tiles of a pass are few
    (void)od_serve_take(serve, (size_t)now->prompt_tiles_made * sizeof *tiles,
                        &now->prompt_tiles[0]);
    order_tiles(serve, tiles);
}

static void *address(od_dev at)
{
    return (void *)(uintptr_t)at;
}

void od_serve_attend_prompts(struct od_gpu_serve *serve, const struct od_op *op, int window)
{
    const struct od_gpu_tensor x = od_gpu_slot_tensor(serve->gpu, op, OD_SLOT_X);
    const struct od_gpu_tensor y = od_gpu_slot_tensor(serve->gpu, op, OD_SLOT_Y);
    struct od_attention_args args = {.qkv = address(x.at),
                                     .o = address(y.at),
                                     .lse = address(serve->lse),
                                     .tiles = address(serve->now.prompt_tiles[window]),
                                     .tile_count = address(serve->now.prompt_tile_count),
                                     .ld_qkv = x.stride,
                                     .ld_o = y.stride,
                                     .heads = op->heads,
                                     .kv_heads = op->kv_heads,
                                     .head_dim = op->head_dim,
                                     .window = op->window,
                                     .scale = op->scale};
    if (serve->now.prompt_tiles_made > 0) {
        od_gpu_attend(serve->gpu, OD_ATTENTION_FORWARD, serve->now.prompt_tiles_made, &args);
    }
}
