/**
 * @file
 * Shared by the files of serving on a GPU: gpu_serve.c opens, gpu_serve_pass.c runs passes,
 * gpu_serve_prompt.c attends whole prompts where rows need not be independent.
 *
 * @thread One owner.
 */
#ifndef OD_OPS_GPU_SERVE_INTERNAL_H
#define OD_OPS_GPU_SERVE_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "device/cuda/cuda.h"
#include "device/cuda/matmul_rows.h"
#include "ops/gpu.h"
#include "ops/gpu_serve.h"
#include "ops/op.h"
#include "ops/paged/paged.h"
#include "ops/vector/vector.h"

/** Units of single rows that are split at a time; windows that a model's layers have; warps on a
 *  multiprocessor that bring keys and values at the speed of memory. */
enum { OD_SERVE_PARTS_MAX = 2048, OD_SERVE_WINDOWS_MAX = 2, OD_SERVE_WARPS = 5 };
/** Rows from which the beginning of a prompt takes training's attention, and no more than the rows of its
 *  tiles. */
enum { OD_SERVE_PROMPT_ROWS = 64 };

/** Kernels by name; the order of names in gpu_serve.c. */
enum od_serve_kernel {
    OD_SERVE_PAGED_APPEND,
    OD_SERVE_PAGED_TURN_APPEND,
    OD_SERVE_LORA_INPUTS,
    OD_SERVE_LORA_OUTPUTS,
    OD_SERVE_LORA_MERGE,
    OD_SERVE_KERNEL_COUNT
};

/** The lists of a pass, one behind another, in pinned memory and on the device. */
struct od_serve_pen {
    char *host;
    od_dev device;
    size_t used;
    size_t capacity;
};

/** What the operations of a pass read of its lists. */
struct od_serve_now {
    int64_t rows;
    od_dev tables;
    od_dev row_table;
    od_dev cache_row;
    od_dev adapter;
    od_dev logit_row;
    od_dev counts;  ///< rows, logit rows
    bool any_adapter;
    od_dev items[OD_SERVE_WINDOWS_MAX];
    od_dev joins[OD_SERVE_WINDOWS_MAX];
    struct od_paged_lists lists[OD_SERVE_WINDOWS_MAX];
    od_dev prompt_tiles[OD_SERVE_WINDOWS_MAX];  ///< of struct od_attention_tile
    od_dev prompt_tile_count;
    int64_t prompt_tiles_made;  ///< 0: no row of the pass takes training's attention
};

struct od_gpu_serve {
    struct od_gpu *gpu;
    struct od_gpu_serve_shape shape;
    struct od_matmul_rows *products;
    struct od_vector *vectors;
    struct od_cuda_kernel *kernel[OD_SERVE_KERNEL_COUNT];
    struct od_cuda_kernel *paged[OD_PAGED_KERNELS];
    int64_t rows_max;
    size_t extra_bytes;
    od_dev hidden;  ///< [pages, OD_PAGED_ROWS, hidden_stride] bf16: what the head reads
    int64_t hidden_stride;
    od_dev parts;
    od_dev lse;  ///< fp32 [rows, heads]: what training's attention leaves behind; nobody reads it
    od_dev entries;  ///< [operations, adapters, OD_ADAPTER_PARTS_MAX] of struct od_lora_entry
    od_dev inner;    ///< fp32 [rows, OD_ADAPTER_PARTS_MAX, rank_max]
    od_dev adapter_next;
    od_dev adapter_end;
    int32_t *entry_count;  ///< [operations, adapters]
    bool *op_has_adapter;  ///< [operations]
    bool *op_joins_next;   ///< [operations] a norm that only the product behind it reads
    int32_t window[OD_SERVE_WINDOWS_MAX];
    int window_count;
    struct od_serve_pen pen;
    struct od_paged_run *run_room;  ///< [rows]
    float *logits;                  ///< pinned [logit_rows, logits_stride]
    int64_t logits_stride;
    struct od_serve_now now;
};

/** Room for `bytes` in the lists of the pass; where they will lie on the device. */
void *od_serve_take(struct od_gpu_serve *serve, size_t bytes, od_dev *ret_device);

// gpu_serve_prompt.c: beginnings of prompts by training's attention.

/** Bytes of the lists and of the scratch that it needs. */
size_t od_serve_prompt_list_bytes(int64_t rows, const struct od_gpu_serve_shape *shape);
size_t od_serve_prompt_lse_bytes(int64_t rows, int32_t heads,
                                 const struct od_gpu_serve_shape *shape);
/** Find its kernel. @error OD_E_UNSUPPORTED: a head size without one. */
enum od_status od_serve_prompt_open(struct od_gpu_serve *serve, int32_t head_dim,
                                    struct od_error *err) OD_MUST_CHECK;
/** Take the runs that begin a prompt out of `rows`, and write their tiles into the lists of the pass. */
void od_serve_take_prompts(struct od_gpu_serve *serve, struct od_paged_rows *rows);
/** Queue attention of these runs in an operation whose window is number `window`. */
void od_serve_attend_prompts(struct od_gpu_serve *serve, const struct od_op *op, int window);

#endif
