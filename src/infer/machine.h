/**
 * @file
 * What the passes of an engine run on: a model's weights, the key/value cache, and the list of
 * operations, on the CPU (machine_cpu.c) or on a GPU (machine_gpu.c).
 *
 *     machine->ids[t], positions[t], ...   the schedule fills in the rows of a pass
 *     machine->run(machine, pass, err)     runs them; machine->logits holds what was asked for
 *
 * The page table says where positions lie: it belongs to the schedule, and a machine reads it. Work
 * on pages happens in the order in which it is asked for: what copy_rows copies, a later pass reads.
 *
 * @thread One owner: the engine's thread.
 */
#ifndef OD_INFER_MACHINE_H
#define OD_INFER_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "infer/engine.h"
#include "model/spec.h"

/** Rows of a pass, and positions whose logits it gives. */
struct od_pass {
    int64_t rows;
    int32_t *ids;         ///< [rows]
    int32_t *positions;   ///< [rows]
    int32_t *cache_slot;  ///< [rows] whose rows they are; rows of one sequence stand together
    int32_t *adapter;     ///< [rows] number, -1: none
    int64_t logit_rows;
    int32_t *logit_slot;      ///< [logit_rows] whose position
    int32_t *logit_position;  ///< [logit_rows] in the cache after this pass
    int32_t *logit_adapter;   ///< [logit_rows] number, -1: none
};

/** An open machine. The functions are its own; `options` is what it was opened with. */
struct od_machine {
    /** Run a pass. Allocates nothing. @error The device's: the machine is of no more use. */
    enum od_status (*run)(struct od_machine *machine, const struct od_pass *pass,
                          struct od_error *err);
    /** Copy the first `count` positions of all layers, and what the head reads of them, from one page
     *  to another. */
    void (*copy_rows)(struct od_machine *machine, int32_t from, int32_t to, int64_t count);
    void (*close)(struct od_machine *machine);  ///< frees the machine, too
    int32_t *ids;                               ///< [pass_tokens] of struct od_pass
    int32_t *positions;                         ///< [pass_tokens]
    int32_t *cache_slot;                        ///< [pass_tokens]
    const float *logits;                        ///< [logit_rows, logits_stride] of the last pass
    int64_t logits_stride;                      ///< at least the vocabulary
    int64_t cache_pages;                        ///< pages that it has
    int64_t logit_rows_max;
    // For measurements.
    const void *weights;  ///< what a pass reads whatever its rows; NULL: it lies with a device
    size_t weight_bytes;
    int threads;
};

/** What to open. Everything is borrowed until the machine is closed. */
struct od_machine_options {
    const struct od_spec *spec;
    const struct od_model_place *place;  ///< NULL on a GPU: random weights, for measuring
    const struct od_engine_options *engine;
    int64_t pass_tokens;        ///< most rows of a pass
    int64_t slot_count;         ///< sequences
    int64_t table_pages;        ///< pages of one sequence at most
    int64_t cache_pages;        ///< of all sequences; 0: as many as the machine has room for
    const int32_t *page_table;  ///< [slot_count, table_pages]
};

/** Open the model on the CPU. @memory Gives: its close. */
enum od_status od_machine_open_cpu(const struct od_machine_options *options,
                                   struct od_machine **ret, struct od_error *err) OD_MUST_CHECK;

struct od_gpu;

/** Bytes of a machine on a GPU: weights that a pass reads, and keys and values of one position. */
struct od_machine_bytes {
    double weights;
    double position;
};

/** The same on a GPU: bf16 weights and cache. @error OD_E_REFUSED where it does not fit, with what would;
 *  OD_E_UNSUPPORTED for models that have no kernels. @memory Gives: its close. */
enum od_status od_machine_open_gpu(const struct od_machine_options *options,
                                   struct od_machine **ret, struct od_error *err) OD_MUST_CHECK;

/** What the passes of a machine that od_machine_open_gpu opened read. */
struct od_machine_bytes od_machine_gpu_bytes(const struct od_machine *machine);
/** The walker of such a machine, to take the times of its parts. @memory Lends. */
struct od_gpu *od_machine_gpu(struct od_machine *machine);

#endif
