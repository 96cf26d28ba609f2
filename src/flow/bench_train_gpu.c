#include "flow/bench_train_gpu.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/status.h"
#include "device/cuda/cuda.h"
#include "device/cuda/matmul.h"
#include "flow/bench_session.h"
#include "flow/bench_shapes.h"
#include "model/program.h"
#include "model/spec.h"
#include "ops/gpu.h"
#include "ops/op.h"
#include "plan/cost.h"
#include "plan/fit.h"
#include "tune/session.h"

enum { CEILING_SIZE = 8192, CEILING_PRODUCTS = 60, STEPS_MAX = 4096, WARM_STEPS = 3 };
static const double CEILING_WARM_S = 3.0;
static const double WARM_STEPS_S = 10.0;

// The card while the ceiling is measured.
struct ceiling {
    struct od_cuda *cuda;
    struct od_matmul *matmul;
    struct od_cuda_kernel *init;
    struct od_cuda_event *event[2];
    od_dev memory;
};
static const size_t CEILING_BYTES = (size_t)CEILING_SIZE * CEILING_SIZE * 2u;

static enum od_status ceiling_open(struct ceiling *c, int gpu, struct od_error *err)
{
    enum od_status status = od_cuda_open(gpu, &c->cuda, err);
    if (status != OD_OK ||
        (status = od_cuda_alloc(c->cuda, 3 * CEILING_BYTES + OD_MATMUL_WORKSPACE_BYTES, &c->memory,
                                err)) != OD_OK ||
        (status = od_cuda_kernel(c->cuda, "od_init_normal", &c->init, err)) != OD_OK ||
        (status = od_matmul_create(c->cuda, c->memory + 3 * CEILING_BYTES, true, &c->matmul,
                                   err)) != OD_OK ||
        (status = od_cuda_event_create(c->cuda, &c->event[0], err)) != OD_OK) {
        return status;
    }
    return od_cuda_event_create(c->cuda, &c->event[1], err);
}

static void ceiling_close(struct ceiling *c)
{
    if (c->cuda) {
        od_cuda_event_free(c->cuda, c->event[0]);
        od_cuda_event_free(c->cuda, c->event[1]);
        od_matmul_free(c->matmul);
        od_cuda_free(c->cuda, c->memory);
        od_cuda_close(c->cuda);
    }
}

static enum od_status ceiling_run(struct ceiling *c, double *ret, struct od_error *err)
{
    const double n = CEILING_SIZE;
    const struct od_matmul_call call = {.m = CEILING_SIZE,
                                        .n = CEILING_SIZE,
                                        .k = CEILING_SIZE,
                                        .a = c->memory,
                                        .lda = CEILING_SIZE,
                                        .b = c->memory + CEILING_BYTES,
                                        .ldb = CEILING_SIZE,
                                        .b_transposed = true,
                                        .d = c->memory + 2 * CEILING_BYTES,
                                        .ldd = CEILING_SIZE,
                                        .alpha = 1.0F};
    for (uint32_t i = 0; i < 2; i++) {
        od_dev to = c->memory + i * CEILING_BYTES;
        int64_t size = CEILING_SIZE;
        int to_float = 0;
        uint64_t seed = 11;
        float deviation = 1.0F;
        void *args[] = {&to, &size, &to_float, &size, &size, &seed, &i, &deviation};
        od_cuda_launch(c->cuda, c->init,
                       (struct od_cuda_grid){.x = (unsigned)CEILING_SIZE * CEILING_SIZE / 512u,
                                             .threads = 256},
                       args);
    }
    enum od_status status = od_cuda_sync(c->cuda, err);
    const double start = od_clock_s();
    while (status == OD_OK && od_clock_s() - start < CEILING_WARM_S) {
        for (int i = 0; i < 20; i++) {
            od_matmul_run(c->matmul, &call);
        }
        status = od_cuda_sync(c->cuda, err);
    }
    od_cuda_event_record(c->cuda, c->event[0]);
    for (int i = 0; i < CEILING_PRODUCTS; i++) {
        od_matmul_run(c->matmul, &call);
    }
    od_cuda_event_record(c->cuda, c->event[1]);
    if (status == OD_OK) {
        status = od_cuda_sync(c->cuda, err);
    }
    if (status == OD_OK) {
        *ret = 2.0 * n * n * n * (double)CEILING_PRODUCTS /
               (od_cuda_event_ms(c->cuda, c->event[0], c->event[1]) * 1e-3);
    }
    return status;
}

enum od_status od_bench_ceiling(int gpu, double *ret, struct od_error *err)
{
    struct ceiling c = {0};
    enum od_status status = ceiling_open(&c, gpu, err);
    if (status == OD_OK) {
        status = ceiling_run(&c, ret, err);
    }
    ceiling_close(&c);
    return status;
}

static enum od_status measure(struct od_session *session,
                              const struct od_bench_train_gpu_options *options,
                              struct od_bench_train_gpu_result *result, struct od_error *err)
{
    struct od_step_report report = {0};
    enum od_status status = OD_OK;
    double *took = od_alloc((size_t)options->steps, sizeof *took);
    if (!took) {
        return od_fail(err, OD_E_MEMORY, "no memory for times");
    }
    if (!options->no_tuning) {
        status = od_session_measure(session, err);
    }
    const double warming = od_clock_s();
    for (int i = 0; status == OD_OK && i < WARM_STEPS; i++) {
        if (i == 0 || od_clock_s() - warming < WARM_STEPS_S) {  // long steps warm the card up alone
            status = od_session_step(session, &report, err);
        }
    }
    const double energy = od_cuda_energy_j(session->cuda);
    for (int64_t i = 0; status == OD_OK && i < options->steps; i++) {
        const double start = od_clock_s();
        status = od_session_step(session, &report, err);
        took[i] = od_clock_s() - start;
    }
    const double spent = od_cuda_energy_j(session->cuda) - energy;
    if (status == OD_OK && options->profile) {
        status = od_gpu_profile_begin(session->gpu, err);
        if (status == OD_OK) {
            status = od_session_step(session, &report, err);
        }
        if (status == OD_OK) {
            status = od_gpu_profile_end(session->gpu, result->part_ms, err);
        }
    }
    if (status == OD_OK) {
        od_bench_sort(took, (size_t)options->steps);
        result->step_s = took[options->steps / 2];
        result->tokens_per_step = report.tokens;
        result->tokens_per_s = (double)report.tokens / result->step_s;
        result->loss = report.loss;
        result->energy_j = energy < 0.0 ? -1.0 : spent / (double)options->steps;
        result->weight_hash = od_session_weight_hash(session);
    }
    od_free(took);
    return status;
}

// Operations per token as the file's head says: N are the weights of all products, the head's too.
static double flops_per_token(const struct od_session *session, bool lora, int64_t document)
{
    const struct od_spec *s = &session->spec;
    const double attention =
        7.0 * (double)document * (double)s->heads * (double)s->head_dim * (double)s->layers;
    double n = 0.0;
    double p = 0.0;
    for (int32_t i = 0; i < session->program.forward_count; i++) {
        const struct od_op *op = &session->program.ops[i];
        if (op->kind == OD_OP_LINEAR || op->kind == OD_OP_HEAD_LOSS) {
            n += (double)op->n * (double)op->k;
        }
    }
    for (int32_t i = 0; lora && i < session->program.adapter_count; i++) {
        p += (double)(session->program.adapters[i].rows * session->program.adapters[i].cols);
    }
    return (lora ? 4.0 * n + 6.0 * p : 6.0 * n) + attention;
}

// What the plan says of a step, and the floor of its parts.
static void predict(const struct od_session *session,
                    const struct od_bench_train_gpu_options *options, const struct od_card *card,
                    struct od_bench_train_gpu_result *result)
{
    const double document = (double)options->document;
    const double passes = (double)options->accumulation;
    struct od_card here = *card;
    here.flops_per_s = result->ceiling_before;
    result->predicted_s = passes * od_cost_pass(&session->program, card, document, 1.0) +
                          od_cost_update(&session->program, card);
    od_cost_floor(&session->program, &here, document, passes, result->floor_ms);
    for (int i = 0; i < OD_GPU_PART_COUNT; i++) {
        result->floor_ms[i] *= 1e3;
    }
}

// The session's part: opened, measured and closed between the two ceilings.
static enum od_status run(const struct od_spec *spec,
                          const struct od_bench_train_gpu_options *options,
                          struct od_bench_train_gpu_result *result, struct od_error *err)
{
    struct od_bench_session bench;
    const struct od_bench_work work = {.lora = options->lora,
                                       .rank = options->rank,
                                       .quant = options->quant,
                                       .document = options->document,
                                       .documents = options->documents,
                                       .accumulation = options->accumulation};
    const struct od_session_options session_options = {.on_gpu = true,
                                                       .gpu = options->gpu,
                                                       .max_bytes = options->max_bytes,
                                                       .no_library = options->no_library,
                                                       .random = true,
                                                       .allow_vector = true};
    enum od_status status = od_bench_session_open(spec, &work, session_options, &bench, err);
    if (status != OD_OK) {
        return status;
    }
    struct od_session *session = &bench.session;
    const struct od_cuda_info *info = od_cuda_info(session->cuda);
    (void)snprintf(result->shape, sizeof result->shape, "%s", options->shape);
    (void)snprintf(result->gpu, sizeof result->gpu, "%s", info->name);
    (void)snprintf(result->driver, sizeof result->driver, "%s", info->driver);
    (void)snprintf(result->library, sizeof result->library, "%s",
                   od_matmul_library(od_gpu_matmul(session->gpu)));
    result->parameters = od_spec_parameters(&session->spec);
    result->flops_per_token = flops_per_token(session, options->lora, options->document);
    result->plan_bytes = od_session_bytes(session);
    result->keep = od_keep_name(session->program.options.keep);
    result->lean_layers = session->program.options.lean_layers;
    result->host_bytes = (uint64_t)session->plan.host_bytes;
    const struct od_card *card = od_card_titled(info->name);
    if (card) {
        predict(session, options, card, result);
    }
    status = measure(session, options, result, err);
    result->driver_peak_bytes = od_session_driver_bytes(session);
    result->process_bytes = od_cuda_process_bytes(session->cuda);
    od_bench_session_close(&bench);
    return status;
}

enum od_status od_bench_train_gpu(const struct od_bench_train_gpu_options *options,
                                  struct od_bench_train_gpu_result *ret, struct od_error *err)
{
    struct od_bench_train_gpu_result result = {.energy_j = -1.0};
    const struct od_spec *shape = od_bench_shape(options->shape);
    if (!shape) {
        return od_fail(err, OD_E_ARGUMENT, "shape '%.60s' is not known", options->shape);
    }
    if (options->steps < 1 || options->steps > STEPS_MAX || options->document < 2 ||
        options->documents < 1 || options->accumulation < 1) {
        return od_fail(err, OD_E_ARGUMENT, "a bench needs 1 to %d steps of whole documents",
                       STEPS_MAX);
    }
    struct od_spec spec = *shape;
    spec.layers = options->layers > 0 ? options->layers : spec.layers;
    enum od_status status = od_bench_ceiling(options->gpu, &result.ceiling_before, err);
    if (status == OD_OK) {
        status = run(&spec, options, &result, err);
    }
    if (status == OD_OK) {
        status = od_bench_ceiling(options->gpu, &result.ceiling_after, err);
    }
    if (status == OD_OK) {
        result.share = result.flops_per_token * result.tokens_per_s /
                       (0.5 * (result.ceiling_before + result.ceiling_after));
        *ret = result;
    }
    return status;
}
