#include "flow/bench_train.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/random.h"
#include "base/status.h"
#include "base/threads.h"
#include "data/dataset.h"
#include "device/cpu/gemm.h"
#include "model/program.h"
#include "model/spec.h"
#include "tune/recipe.h"
#include "tune/session.h"

enum { ROUNDS_MAX = 64, HEAD_DIM = 32, PASSES_AHEAD = 4 };
static const double PEAK_SLICE_S = 0.03;

static enum od_status random_documents(const struct od_bench_train_options *options,
                                       struct od_dataset *ret, struct od_error *err)
{
    struct od_dataset data = {0};
    const int64_t count = options->tokens * PASSES_AHEAD;
    const int64_t documents = count / options->document;
    data.ids = od_alloc((size_t)count, sizeof *data.ids);
    data.label = od_alloc((size_t)count, sizeof *data.label);
    data.offset = od_alloc((size_t)documents + 1, sizeof *data.offset);
    if (!data.ids || !data.label || !data.offset) {
        od_dataset_release(&data);
        return od_fail(err, OD_E_MEMORY, "no memory for documents");
    }
    for (int64_t i = 0; i < documents * options->document; i++) {
        const struct od_philox draw = od_philox_draw(1, 2, 3, (uint64_t)i);
        data.ids[i] = (int32_t)(draw.word[0] % (uint32_t)options->vocab);
        data.label[i] = i % options->document > 0;
        data.label_count += data.label[i];
    }
    for (int64_t d = 0; d <= documents; d++) {
        data.offset[d] = d * options->document;
    }
    data.count = documents;
    *ret = data;
    return OD_OK;
}

// A session over random weights: the config is written to the file `path`, which the recipe names.
static enum od_status open_session(const struct od_bench_train_options *options, const char *path,
                                   struct od_recipe *recipe, struct od_session *session,
                                   struct od_error *err)
{
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
    struct od_dataset data;
    struct od_buf text;
    od_buf_init(&text, 1 << 20);
    enum od_status status = od_spec_write(&spec, &text, err);
    if (status == OD_OK) {
        status = od_file_write(path, od_buf_text(&text), text.size, err);
    }
    od_buf_release(&text);
    if (status == OD_OK) {
        status = random_documents(options, &data, err);
    }
    if (status != OD_OK) {
        return status;
    }
    *recipe = (struct od_recipe){.base_config = path,
                                 .method = options->lora ? OD_METHOD_LORA : OD_METHOD_FULL,
                                 .lora_r = 16,
                                 .lora_alpha = 32.0,
                                 .lora_target_count = options->lora ? 7 : 0,
                                 .sequence_len = options->document,
                                 .sample_packing = true,
                                 .micro_batch_size = options->tokens / options->document,
                                 .gradient_accumulation_steps = 1,
                                 .max_steps = INT32_MAX,
                                 .learning_rate = 1e-4,
                                 .lr_scheduler = OD_SCHEDULE_CONSTANT,
                                 .adam_beta1 = 0.9,
                                 .adam_beta2 = 0.999,
                                 .adam_epsilon = 1e-8,
                                 .max_grad_norm = 1.0,
                                 .seed = 1};
    for (int i = 0; i < 7; i++) {
        recipe->lora_targets[i] = od_target_name(i);
    }
    const struct od_session_options session_options = {
        .threads = options->threads, .allow_vector = options->allow_vector, .dataset = &data};
    status = od_session_open(recipe, &session_options, session, err);
    if (status != OD_OK) {
        od_dataset_release(&data);
    }
    return status;
}

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a;
    const double y = *(const double *)b;
    return (x > y) - (x < y);
}

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
        qsort(shares, (size_t)rounds, sizeof shares[0], ascending);
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
    struct od_recipe recipe;
    struct od_session session = {0};
    struct rusage usage;
    char folder[] = "/tmp/oneday-bench-XXXXXX";
    char path[OD_PATH_MAX_BYTES];
    if (options->channels < HEAD_DIM || options->channels % HEAD_DIM != 0 ||
        options->document < 2 || options->tokens < options->document || options->layers < 1 ||
        options->vocab < 2 || options->vocab > OD_SPEC_VOCAB_MAX) {
        return od_fail(err, OD_E_ARGUMENT,
                       "channels must be a multiple of %d, and a step at least one document",
                       HEAD_DIM);
    }
    if (!mkdtemp(folder)) {
        return od_fail(err, OD_E_IO, "cannot make a temporary folder");
    }
    enum od_status status = od_path_join(path, folder, "config.json", err);
    if (status == OD_OK) {
        status = open_session(options, path, &recipe, &session, err);
    }
    if (status == OD_OK) {
        result.parameters = od_spec_parameters(&session.spec);
        result.threads = od_pool_threads(session.cpu.pool);
        result.flops_per_token = od_program_flops_per_token(&session.program);
        result.plan_bytes = session.plan.total_bytes;
        status = measure(&session, options->seconds, &result, err);
        od_session_close(&session);
    }
    if (status == OD_OK) {
        (void)getrusage(RUSAGE_SELF, &usage);
        result.real_peak_bytes = (uint64_t)usage.ru_maxrss * 1024u;
        *ret = result;
    }
    const enum od_status removed = od_dir_remove(folder, NULL);
    (void)removed;  // a left-over folder in /tmp is no failure of the measurement
    return status;
}
