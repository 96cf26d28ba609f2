#include "flow/bench_infer.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/random.h"
#include "base/status.h"
#include "base/threads.h"
#include "device/cpu/gemm.h"
#include "flow/bench_read.h"
#include "flow/bench_session.h"
#include "flow/bench_shapes.h"
#include "infer/engine.h"
#include "infer/pages.h"
#include "model/spec.h"

enum { ROUNDS_MAX = 64, TOKENS_MAX = 1 << 20, STREAM_IDS = 0x42494E46 };
static const double PEAK_SLICE_S = 0.05;

struct bench {
    const struct od_bench_infer_options *options;
    char folder[OD_PATH_MAX_BYTES];
    const char *path;
    char name[256];
    struct od_engine *engine;
    struct od_pool *pool;  // of the ceilings; the engine's rests meanwhile
    struct od_cpu_features features;
    uint64_t drawn;  // ids so far: no two sequences are alike
};

// Sequences that run side by side.
struct batch {
    int64_t count;
    struct od_engine_timing *timings;  // [count]
    int32_t *ids;                      // of all prompts
    double *token_s;                   // of all tokens
    double *cpu_s;
};

struct speed {
    double tokens_per_s;
    double cpu_s;  // processor time of a token
};

// Values of the rounds of one way.
struct rounds {
    double tokens_per_s[ROUNDS_MAX];
    double cpu_s[ROUNDS_MAX];
    double rate[ROUNDS_MAX];
    double ceiling[ROUNDS_MAX];
    double share[ROUNDS_MAX];
    int count;
};

// Bytes a second when all threads read the engine's weights and do nothing else.
static double read_ceiling(const struct bench *bench)
{
    size_t bytes = 0;
    const void *weights = od_engine_weights(bench->engine, &bytes);
    if (!weights) {
        return 0.0;
    }
    const double start = od_clock_s();
    od_bench_read(bench->pool, weights, bytes);
    return (double)bytes / (od_clock_s() - start);
}

static void note_round(struct rounds *rounds, const struct speed *speed, double rate,
                       double ceiling)
{
    rounds->tokens_per_s[rounds->count] = speed->tokens_per_s;
    rounds->cpu_s[rounds->count] = speed->cpu_s;
    rounds->rate[rounds->count] = rate;
    rounds->ceiling[rounds->count] = ceiling;
    rounds->share[rounds->count] = ceiling > 0.0 ? rate / ceiling : 0.0;
    rounds->count++;
}

static double median(double *values, int count)
{
    od_bench_sort(values, (size_t)count);
    return values[count / 2];
}

static void give_row(const struct bench *bench, struct od_bench_infer_row row,
                     struct rounds *rounds)
{
    row.model = bench->name;
    row.rounds = rounds->count;
    row.threads = od_engine_threads(bench->engine);
    row.vector = bench->features.avx2_fma;
    row.parameters = od_spec_parameters(od_engine_spec(bench->engine));
    (void)od_engine_weights(bench->engine, &row.weight_bytes);
    row.cpu_s = median(rounds->cpu_s, rounds->count);
    row.tokens_per_s = median(rounds->tokens_per_s, rounds->count);
    row.rate = median(rounds->rate, rounds->count);
    row.ceiling = median(rounds->ceiling, rounds->count);
    row.share = median(rounds->share, rounds->count);
    bench->options->fn(bench->options->context, &row);
}

static void draw_ids(struct bench *bench, int32_t *ids, int64_t count)
{
    const uint32_t vocab = (uint32_t)od_engine_spec(bench->engine)->vocab;
    for (int64_t i = 0; i < count; i++) {
        ids[i] = (int32_t)(od_philox_draw(1, STREAM_IDS, 0, bench->drawn++).word[0] % vocab);
    }
}

static void batch_release(struct batch *batch)
{
    od_free(batch->timings);
    od_free(batch->ids);
    od_free(batch->token_s);
    od_free(batch->cpu_s);
}

// `count` sequences: `prompt` random ids, then `tokens` that are generated.
static enum od_status batch_init(struct bench *bench, struct batch *batch, int64_t count,
                                 int64_t prompt, int64_t tokens, struct od_error *err)
{
    *batch = (struct batch){.count = count,
                            .timings = od_alloc((size_t)count, sizeof *batch->timings),
                            .ids = od_alloc((size_t)(count * prompt), sizeof *batch->ids),
                            .token_s = od_alloc((size_t)(count * tokens), sizeof *batch->token_s),
                            .cpu_s = od_alloc((size_t)(count * tokens), sizeof *batch->cpu_s)};
    if (!batch->timings || !batch->ids || !batch->token_s || !batch->cpu_s) {
        return od_fail(err, OD_E_MEMORY, "no memory for %lld sequences", (long long)count);
    }
    draw_ids(bench, batch->ids, count * prompt);
    for (int64_t i = 0; i < count; i++) {
        batch->timings[i] = (struct od_engine_timing){.ids = batch->ids + i * prompt,
                                                      .count = prompt,
                                                      .new_count = tokens,
                                                      .token_s = batch->token_s + i * tokens,
                                                      .cpu_s = batch->cpu_s + i * tokens};
    }
    return OD_OK;
}

// While all sequences generate: from when the last one has its first token to when the first one has
// its last.
static struct speed decode_speed(const struct batch *batch, int64_t tokens)
{
    const double *token_s = batch->token_s;
    int64_t from = 0;
    int64_t to = tokens - 1;
    int64_t seen = 0;
    for (int64_t i = 0; i < batch->count; i++) {
        const int64_t first = i * tokens;
        const int64_t last = first + tokens - 1;
        from = token_s[first] > token_s[from] ? first : from;
        to = token_s[last] < token_s[to] ? last : to;
    }
    for (int64_t i = 0; i < batch->count * tokens; i++) {
        seen += token_s[i] > token_s[from] && token_s[i] <= token_s[to];
    }
    const double spent = token_s[to] - token_s[from];
    return spent > 0.0 && seen > 0
               ? (struct speed){(double)seen / spent,
                                (batch->cpu_s[to] - batch->cpu_s[from]) / (double)seen}
               : (struct speed){0.0, 0.0};
}

static enum od_status decode_round(struct bench *bench, int64_t count, struct speed *ret,
                                   struct od_error *err)
{
    const struct od_bench_infer_options *options = bench->options;
    const int64_t tokens = options->tokens + 1;  // the first one starts the clock
    struct batch batch;
    enum od_status status = batch_init(bench, &batch, count, options->depth, tokens, err);
    if (status == OD_OK) {
        status = od_engine_time(bench->engine, batch.timings, count, err);
    }
    if (status == OD_OK) {
        *ret = decode_speed(&batch, tokens);
    }
    batch_release(&batch);
    return status;
}

static enum od_status measure_decode(struct bench *bench, int64_t batch, struct od_error *err)
{
    const struct od_bench_infer_options *options = bench->options;
    struct rounds rounds = {.count = 0};
    size_t bytes = 0;
    enum od_status status = OD_OK;
    (void)od_engine_weights(bench->engine, &bytes);
    while (status == OD_OK && rounds.count < options->rounds) {
        struct speed speed = {0.0, 0.0};
        const double ceiling = read_ceiling(bench);
        status = decode_round(bench, batch, &speed, err);
        note_round(&rounds, &speed, speed.tokens_per_s / (double)batch * (double)bytes, ceiling);
    }
    if (status == OD_OK) {
        give_row(bench,
                 (struct od_bench_infer_row){.what = "decode",
                                             .batch = batch,
                                             .context = options->depth,
                                             .tokens = batch * options->tokens},
                 &rounds);
    }
    return status;
}

// Floating-point operations of a prompt's token in the linear layers.
static double prompt_flops(const struct od_spec *spec)
{
    const int64_t tables = spec->vocab * spec->channels * (spec->tied ? 1 : 2);
    return 2.0 * (double)(od_spec_parameters(spec) - tables);
}

static enum od_status measure_prefill(struct bench *bench, struct od_error *err)
{
    const int64_t prompt = bench->options->prompt;
    const double flops = prompt_flops(od_engine_spec(bench->engine));
    struct rounds rounds = {.count = 0};
    enum od_status status = OD_OK;
    while (status == OD_OK && rounds.count < bench->options->rounds) {
        struct batch batch;
        const double ceiling = od_cpu_fma_peak(bench->pool, bench->features, PEAK_SLICE_S);
        status = batch_init(bench, &batch, 1, prompt, 1, err);
        if (status == OD_OK) {
            status = od_engine_time(bench->engine, batch.timings, 1, err);
        }
        if (status == OD_OK) {
            const double spent = batch.token_s[0] - batch.timings[0].start_s;
            const struct speed speed = {(double)prompt / spent,
                                        (batch.cpu_s[0] - batch.timings[0].start_cpu_s) /
                                            (double)prompt};
            note_round(&rounds, &speed, flops * speed.tokens_per_s, ceiling);
        }
        batch_release(&batch);
    }
    if (status == OD_OK) {
        give_row(bench,
                 (struct od_bench_infer_row){
                     .what = "prefill", .batch = 1, .context = prompt, .tokens = prompt},
                 &rounds);
    }
    return status;
}

static enum od_status bench_open(struct bench *bench, struct od_error *err)
{
    const struct od_bench_infer_options *options = bench->options;
    int64_t most = 1;
    enum od_status status = OD_OK;
    for (size_t i = 0; i < options->batch_count; i++) {
        most = options->batches[i] > most ? options->batches[i] : most;
    }
    const int64_t decoded = options->depth + options->tokens + 1;
    const int64_t context = decoded > options->prompt ? decoded : options->prompt + 1;
    struct od_engine_options engine = {.threads = options->threads,
                                       .no_vector = !options->allow_vector,
                                       .slots = most,
                                       .context = context,
                                       .cache_tokens = most * (context + OD_PAGE_ROWS),
                                       .no_prefix_reuse = true,
                                       .weights = options->model ? OD_ENGINE_WEIGHTS_READ
                                                  : options->f32 ? OD_ENGINE_WEIGHTS_DRAWN
                                                                 : OD_ENGINE_WEIGHTS_DRAWN_BF16};
    bench->path = options->model;
    if (options->model) {
        (void)snprintf(bench->name, sizeof bench->name, "%s", options->model);
    } else {
        (void)snprintf(bench->name, sizeof bench->name, "%s", options->shape);
        status = od_bench_folder_make(options->shape, NULL, bench->folder, err);
        bench->path = bench->folder;
    }
    if (status == OD_OK) {
        status = od_engine_open(bench->path, &engine, &bench->engine, err);
    }
    if (status == OD_OK) {
        status = od_pool_create(options->threads, &bench->pool, err);
    }
    bench->features = od_cpu_features_detect(options->allow_vector);
    return status;
}

static void bench_close(struct bench *bench)
{
    od_pool_free(bench->pool);
    od_engine_close(bench->engine);
    od_bench_folder_remove(bench->folder);
}

static enum od_status check(const struct od_bench_infer_options *options, struct od_error *err)
{
    if (options->prompt < 0 || options->prompt > TOKENS_MAX || options->depth < 1 ||
        options->depth > TOKENS_MAX || options->tokens < 1 || options->tokens > TOKENS_MAX ||
        options->rounds < 1 || options->rounds > ROUNDS_MAX) {
        return od_fail(err, OD_E_ARGUMENT,
                       "prompt, depth and tokens must be 1 to %d, rounds 1 to %d", TOKENS_MAX,
                       ROUNDS_MAX);
    }
    for (size_t i = 0; i < options->batch_count; i++) {
        if (options->batches[i] < 1 || options->batches[i] > OD_BENCH_INFER_BATCH_MAX) {
            return od_fail(err, OD_E_ARGUMENT, "a batch must be 1 to %d", OD_BENCH_INFER_BATCH_MAX);
        }
    }
    return OD_OK;
}

enum od_status od_bench_infer(const struct od_bench_infer_options *options, struct od_error *err)
{
    struct bench bench = {.options = options};
    enum od_status status = check(options, err);
    if (status == OD_OK) {
        status = bench_open(&bench, err);
    }
    for (size_t i = 0; status == OD_OK && i < options->batch_count; i++) {
        status = measure_decode(&bench, options->batches[i], err);
    }
    if (status == OD_OK && options->prompt > 0) {
        status = measure_prefill(&bench, err);
    }
    bench_close(&bench);
    return status;
}
