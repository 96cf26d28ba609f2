#include "flow/bench_train.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/status.h"
#include "base/threads.h"
#include "device/cpu/gemm.h"
#include "flow/bench_session.h"
#include "model/program.h"
#include "model/spec.h"
#include "tune/session.h"

enum { ROUNDS_MAX = 64, HEAD_DIM = 32 };
static const double PEAK_SLICE_S = 0.03;

// Steps and slices of peak in turn, so that both see the same machine.
static enum od_status measure(struct od_session *session, double seconds,
                              struct od_bench_train_result *result, struct od_error *err)
{
    double shares[ROUNDS_MAX];
    double step_s = 0.0;
    double peaks = 0.0;
    int64_t tokens = 0;
    int rounds = 0;
    struct od_step_report report;
    enum od_status status = od_session_step(session, &report, err);  // warm
    while (status == OD_OK && rounds < ROUNDS_MAX && (rounds < 3 || step_s < seconds)) {
        const double peak = od_cpu_fma_peak(session->cpu.pool, session->cpu.features, PEAK_SLICE_S);
        const bool new_epoch = session->place.pack >= session->packs.count;
        const uint64_t allocations = od_alloc_count();
        const double start = od_clock_s();
        status = od_session_step(session, &report, err);
        const double spent = od_clock_s() - start;
        if (!new_epoch) {  // an epoch's packs are made when it begins
            result->step_allocations += od_alloc_count() - allocations;
        }
        step_s += spent;
        tokens += report.tokens;
        peaks += peak;
        shares[rounds++] =
            peak > 0.0 ? result->flops_per_token * (double)report.tokens / spent / peak : 0.0;
    }
    if (status == OD_OK) {
        od_bench_sort(shares, (size_t)rounds);
        result->share = shares[rounds / 2];
        result->steps = rounds;
        result->tokens_per_s = (double)tokens / step_s;
        result->peak_flops = peaks / (double)rounds;
    }
    return status;
}

enum od_status od_bench_train(const struct od_bench_train_options *options,
                              struct od_bench_train_result *ret, struct od_error *err)
{
    struct od_bench_train_result result = {0};
    struct od_bench_session bench;
    struct rusage usage;
    if (options->channels < HEAD_DIM || options->channels % HEAD_DIM != 0 ||
        options->document < 2 || options->tokens < options->document || options->layers < 1 ||
        options->vocab < 2 || options->vocab > OD_SPEC_VOCAB_MAX) {
        return od_fail(err, OD_E_ARGUMENT,
                       "channels must be a multiple of %d, and a step at least one document",
                       HEAD_DIM);
    }
    const struct od_spec spec = {.family = "llama",
                                 .vocab = options->vocab,
                                 .channels = options->channels,
                                 .ffn = (options->channels * 8 / 3 + 7) / 8 * 8,
                                 .layers = options->layers,
                                 .heads = (int32_t)(options->channels / HEAD_DIM),
                                 .kv_heads = (int32_t)(options->channels / HEAD_DIM),
                                 .head_dim = HEAD_DIM,
                                 .max_positions = options->document,
                                 .norm_eps = 1e-5F,
                                 .rope_theta = 10000.0,
                                 .init_std = 0.02,
                                 .tied = true,
                                 .bos = -1,
                                 .eos = -1};
    const struct od_bench_work work = {.lora = options->lora,
                                       .document = options->document,
                                       .documents = options->tokens / options->document,
                                       .accumulation = 1};
    const struct od_session_options session_options = {.threads = options->threads,
                                                       .allow_vector = options->allow_vector};
    enum od_status status = od_bench_session_open(&spec, &work, session_options, &bench, err);
    if (status != OD_OK) {
        return status;
    }
    const struct od_session *session = &bench.session;
    result.parameters = od_spec_parameters(&session->spec);
    result.threads = od_pool_threads(session->cpu.pool);
    result.flops_per_token = od_program_flops_per_token(&session->program);
    result.plan_bytes = session->plan.total_bytes;
    status = measure(&bench.session, options->seconds, &result, err);
    od_bench_session_close(&bench);
    if (status == OD_OK) {
        (void)getrusage(RUSAGE_SELF, &usage);
        result.real_peak_bytes = (uint64_t)usage.ru_maxrss * 1024u;
        *ret = result;
    }
    return status;
}
