#include "flow/bench_infer_gpu.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/status.h"
#include "device/cuda/cuda.h"
#include "flow/bench_session.h"
#include "flow/bench_shapes.h"
#include "flow/bench_train_gpu.h"
#include "infer/engine.h"
#include "infer/machine.h"
#include "infer/pages.h"
#include "model/spec.h"
#include "ops/gpu.h"

enum { COPY_BYTES = 1 << 30, COPIES = 20, WARM = 3, STEPS_MAX = 4096, PROMPT_MAX = 1 << 17 };
static const int64_t batches[OD_BENCH_INFER_GPU_BATCHES] = {1, 64};

// Bytes a second that a copy reads and writes together; and what the card is called.
static enum od_status memory_speed(int gpu, struct od_bench_infer_gpu_result *result,
                                   struct od_error *err)
{
    struct od_cuda *cuda = NULL;
    struct od_cuda_event *event[2] = {NULL, NULL};
    od_dev memory = 0;
    enum od_status status;
    if ((status = od_cuda_open(gpu, &cuda, err)) != OD_OK ||
        (status = od_cuda_alloc(cuda, 2u * (size_t)COPY_BYTES, &memory, err)) != OD_OK ||
        (status = od_cuda_event_create(cuda, &event[0], err)) != OD_OK ||
        (status = od_cuda_event_create(cuda, &event[1], err)) != OD_OK) {
        goto done;
    }
    (void)snprintf(result->gpu, sizeof result->gpu, "%s", od_cuda_info(cuda)->name);
    (void)snprintf(result->driver, sizeof result->driver, "%s", od_cuda_info(cuda)->driver);
    od_cuda_fill(cuda, memory, 1, 2u * (size_t)COPY_BYTES);
    for (int i = 0; i < WARM + COPIES; i++) {
        if (i == WARM) {
            od_cuda_event_record(cuda, event[0]);
        }
        od_cuda_copy(cuda, memory + COPY_BYTES, memory, COPY_BYTES);
    }
    od_cuda_event_record(cuda, event[1]);
    status = od_cuda_sync(cuda, err);
    if (status == OD_OK) {
        result->memory_bytes = 2.0 * (double)COPY_BYTES * (double)COPIES /
                               (od_cuda_event_ms(cuda, event[0], event[1]) * 1e-3);
    }

done:
    if (cuda) {
        od_cuda_event_free(cuda, event[0]);
        od_cuda_event_free(cuda, event[1]);
        od_cuda_free(cuda, memory);
        od_cuda_close(cuda);
    }
    return status;
}

/** A machine and the lists of its passes. */
struct bench {
    const struct od_spec *spec;
    int64_t prompt;  // tokens
    int64_t table_pages;
    int64_t sequences;
    int64_t steps;
    bool profile;
    struct od_machine *machine;
    int32_t *page_table;
    int32_t *room;  // adapter, logit_slot, logit_position
    double *took;
};

// The prompt's rows of sequence `slot`, with the logits of the last.
static enum od_status run_prompt(struct bench *b, int32_t slot, struct od_error *err)
{
    struct od_machine *machine = b->machine;
    struct od_pass pass = {.rows = b->prompt,
                           .ids = machine->ids,
                           .positions = machine->positions,
                           .cache_slot = machine->cache_slot,
                           .adapter = b->room,
                           .logit_rows = 1,
                           .logit_slot = b->room + b->prompt,
                           .logit_position = b->room + 2 * b->prompt};
    for (int64_t t = 0; t < b->prompt; t++) {
        pass.ids[t] = (int32_t)((uint64_t)t * 2654435761u % (uint64_t)b->spec->vocab);
        pass.positions[t] = (int32_t)t;
        pass.cache_slot[t] = slot;
        pass.adapter[t] = -1;
    }
    pass.logit_slot[0] = slot;
    pass.logit_position[0] = (int32_t)(b->prompt - 1);
    return machine->run(machine, &pass, err);
}

// One token more of `batch` sequences: at the last position, whose place is written again.
static enum od_status run_step(struct bench *b, int64_t batch, struct od_error *err)
{
    struct od_machine *machine = b->machine;
    struct od_pass pass = {.rows = batch,
                           .ids = machine->ids,
                           .positions = machine->positions,
                           .cache_slot = machine->cache_slot,
                           .adapter = b->room,
                           .logit_rows = batch,
                           .logit_slot = b->room + b->prompt,
                           .logit_position = b->room + 2 * b->prompt};
    for (int32_t t = 0; t < batch; t++) {
        pass.ids[t] = t;
        pass.positions[t] = (int32_t)(b->prompt - 1);
        pass.cache_slot[t] = t;
        pass.adapter[t] = -1;
        pass.logit_slot[t] = t;
        pass.logit_position[t] = (int32_t)(b->prompt - 1);
    }
    return machine->run(machine, &pass, err);
}

static enum od_status run_pass(struct bench *b, int64_t batch, struct od_error *err)
{
    return batch == 0 ? run_prompt(b, 0, err) : run_step(b, batch, err);
}

// Where the time of one pass goes.
static enum od_status profile_pass(struct bench *b, int64_t batch, double part_ms[],
                                   struct od_error *err)
{
    struct od_gpu *gpu = od_machine_gpu(b->machine);
    enum od_status status = od_gpu_profile_begin(gpu, err);
    if (status == OD_OK) {
        status = run_pass(b, batch, err);
    }
    return status == OD_OK ? od_gpu_profile_end(gpu, part_ms, err) : status;
}

// The median second of a prompt (batch 0) or of a step.
static enum od_status time_passes(struct bench *b, int64_t batch, double part_ms[], double *ret,
                                  struct od_error *err)
{
    enum od_status status = OD_OK;
    for (int64_t i = -WARM; status == OD_OK && i < b->steps; i++) {
        const double start = od_clock_s();
        status = run_pass(b, batch, err);
        if (i >= 0) {
            b->took[i] = od_clock_s() - start;
        }
    }
    if (status == OD_OK) {
        od_bench_sort(b->took, (size_t)b->steps);
        *ret = b->took[b->steps / 2];
    }
    if (status == OD_OK && b->profile) {
        status = profile_pass(b, batch, part_ms, err);
    }
    return status;
}

static enum od_status measure(struct bench *b, const struct od_bench_infer_gpu_result *result,
                              struct od_bench_infer_gpu_speed *speed, struct od_error *err)
{
    const struct od_machine_bytes bytes = od_machine_gpu_bytes(b->machine);
    const struct od_spec *s = b->spec;
    const double head = 2.0 * (double)s->vocab * (double)s->channels;
    const double attention =
        2.0 * (double)b->prompt * (double)s->heads * (double)s->head_dim * (double)s->layers;
    const double flops = (bytes.weights - head + attention) * (double)b->prompt + head;
    double took = 0.0;
    enum od_status status = time_passes(b, 0, speed->part_ms[0], &took, err);
    if (status == OD_OK) {
        speed->prompt_tokens_per_s = (double)b->prompt / took;
        speed->prompt_share = flops / took / result->ceiling;
    }
    for (int32_t i = 1; status == OD_OK && i < b->sequences; i++) {
        status = run_prompt(b, i, err);
    }
    for (int i = 0; status == OD_OK && i < OD_BENCH_INFER_GPU_BATCHES; i++) {
        status = time_passes(b, batches[i], speed->part_ms[1 + i], &took, err);
        if (status == OD_OK) {
            const double moved = bytes.weights + bytes.position * (double)(batches[i] * b->prompt);
            speed->tokens_per_s[i] = (double)batches[i] / took;
            speed->share[i] = moved / took / result->memory_bytes;
        }
    }
    return status;
}

static enum od_status run(const struct od_spec *spec,
                          const struct od_bench_infer_gpu_options *options, bool invariant,
                          const struct od_bench_infer_gpu_result *result,
                          struct od_bench_infer_gpu_speed *speed, struct od_error *err)
{
    const struct od_engine_options engine = {.on_gpu = true,
                                             .gpu = options->gpu,
                                             .max_bytes = options->max_bytes,
                                             .no_library = options->no_library,
                                             .not_batch_invariant = !invariant};
    struct bench b = {.spec = spec,
                      .prompt = options->prompt,
                      .table_pages = (options->prompt + OD_PAGE_ROWS - 1) / OD_PAGE_ROWS,
                      .sequences = batches[OD_BENCH_INFER_GPU_BATCHES - 1],
                      .steps = options->steps,
                      .profile = options->profile};
    const int64_t pages = b.table_pages * b.sequences;
    struct od_machine_options machine_options = {.spec = spec,
                                                 .engine = &engine,
                                                 .pass_tokens = options->prompt,
                                                 .slot_count = b.sequences,
                                                 .table_pages = b.table_pages,
                                                 .cache_pages = pages};
    enum od_status status = OD_OK;
    b.page_table = od_alloc((size_t)pages, sizeof *b.page_table);
    b.room = od_alloc((size_t)(3 * b.prompt), sizeof *b.room);
    b.took = od_alloc((size_t)b.steps, sizeof *b.took);
    if (!b.page_table || !b.room || !b.took) {
        status = od_fail(err, OD_E_MEMORY, "no memory to measure");
        goto done;
    }
    for (int32_t i = 0; i < pages; i++) {
        b.page_table[i] = i;
    }
    machine_options.page_table = b.page_table;
    status = od_machine_open_gpu(&machine_options, &b.machine, err);
    if (status == OD_OK) {
        status = measure(&b, result, speed, err);
        b.machine->close(b.machine);
    }

done:
    od_free(b.took);
    od_free(b.room);
    od_free(b.page_table);
    return status;
}

enum od_status od_bench_infer_gpu(const struct od_bench_infer_gpu_options *options,
                                  struct od_bench_infer_gpu_result *ret, struct od_error *err)
{
    struct od_bench_infer_gpu_result result = {0};
    const struct od_spec *shape = od_bench_shape(options->shape);
    double after = 0.0;
    enum od_status status;
    if (!shape) {
        return od_fail(err, OD_E_ARGUMENT, "shape '%.60s' is not known", options->shape);
    }
    if (options->steps < 1 || options->steps > STEPS_MAX ||
        options->prompt < batches[OD_BENCH_INFER_GPU_BATCHES - 1] || options->prompt > PROMPT_MAX ||
        options->prompt > shape->max_positions) {
        return od_fail(err, OD_E_ARGUMENT,
                       "a bench needs 1 to %d steps and prompts of %lld tokens up to the model's "
                       "context",
                       STEPS_MAX, (long long)batches[OD_BENCH_INFER_GPU_BATCHES - 1]);
    }
    struct od_spec spec = *shape;
    spec.layers = options->layers > 0 ? options->layers : spec.layers;
    (void)snprintf(result.shape, sizeof result.shape, "%s", options->shape);
    memcpy(result.batch, batches, sizeof result.batch);
    if ((status = memory_speed(options->gpu, &result, err)) != OD_OK ||
        (status = od_bench_ceiling(options->gpu, &result.ceiling, err)) != OD_OK ||
        (status = run(&spec, options, true, &result, &result.invariant, err)) != OD_OK ||
        (status = run(&spec, options, false, &result, &result.fastest, err)) != OD_OK ||
        (status = od_bench_ceiling(options->gpu, &after, err)) != OD_OK) {
        return status;
    }
    const double mean = 0.5 * (result.ceiling + after);
    result.invariant.prompt_share *= result.ceiling / mean;
    result.fastest.prompt_share *= result.ceiling / mean;
    result.ceiling = mean;
    *ret = result;
    return OD_OK;
}
