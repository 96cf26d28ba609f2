#include "cli/bench_infer_gpu.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#include "base/status.h"
#include "cli/commit.h"
#include "cli/options.h"
#include "flow/bench_infer_gpu.h"
#include "ops/gpu.h"

static void print_infer_line(const char *how, const struct od_bench_infer_gpu_result *r,
                             const struct od_bench_infer_gpu_speed *s)
{
    (void)printf("  %-16s prompts %8.0f tokens/s (%4.1f %% of the products' ceiling)", how,
                 s->prompt_tokens_per_s, 100.0 * s->prompt_share);
    for (int i = 0; i < OD_BENCH_INFER_GPU_BATCHES; i++) {
        (void)printf("; %lld at a time %7.0f tokens/s (%4.1f %% of memory's speed)",
                     (long long)r->batch[i], s->tokens_per_s[i], 100.0 * s->share[i]);
    }
    (void)putchar('\n');
}

// Milliseconds of each part, prompts beside steps.
static void print_infer_parts(const char *how, const struct od_bench_infer_gpu_result *r,
                              const struct od_bench_infer_gpu_speed *s)
{
    (void)printf("  %-22s %11s", how, "prompt");
    for (int i = 0; i < OD_BENCH_INFER_GPU_BATCHES; i++) {
        (void)printf("  %3lld at a time", (long long)r->batch[i]);
    }
    (void)putchar('\n');
    for (int part = 0; part < OD_GPU_PART_COUNT; part++) {
        double any = 0.0;
        for (int i = 0; i <= OD_BENCH_INFER_GPU_BATCHES; i++) {
            any += s->part_ms[i][part];
        }
        if (any <= 0.0) {
            continue;
        }
        (void)printf("  %-22s %8.3f ms", od_gpu_part_name((enum od_gpu_part)part),
                     s->part_ms[0][part]);
        for (int i = 0; i < OD_BENCH_INFER_GPU_BATCHES; i++) {
            (void)printf("  %10.3f ms", s->part_ms[1 + i][part]);
        }
        (void)putchar('\n');
    }
}

static json_t *parts_json(const double part_ms[])
{
    json_t *parts = json_object();
    for (int i = 0; i < OD_GPU_PART_COUNT; i++) {
        if (part_ms[i] > 0.0) {
            json_object_set_new(parts, od_gpu_part_name((enum od_gpu_part)i),
                                json_real(part_ms[i]));
        }
    }
    return parts;
}

static json_t *infer_json(const struct od_bench_infer_gpu_result *r,
                          const struct od_bench_infer_gpu_options *options, bool invariant)
{
    const struct od_bench_infer_gpu_speed *s = invariant ? &r->invariant : &r->fastest;
    char name[80];
    char date[16] = "";
    const time_t now = time(NULL);
    struct tm day;
    if (gmtime_r(&now, &day)) {
        (void)strftime(date, sizeof date, "%Y-%m-%d", &day);
    }
    (void)snprintf(name, sizeof name, "infer %s", r->shape);
    json_t *row = json_pack(
        "{ss sb sI ss ss ss ss sf sf sf sf sI sf sf sI sf sf}", "case", name, "batch_invariant",
        invariant, "seq_len", (json_int_t)options->prompt, "date", date, "gpu", r->gpu, "driver",
        r->driver, "commit", od_commit, "ceiling_tflops", 1e-12 * r->ceiling, "memory_bytes_per_s",
        r->memory_bytes, "prompt_tokens_per_s", s->prompt_tokens_per_s, "prompt_share_of_ceiling",
        s->prompt_share, "batch_a", (json_int_t)r->batch[0], "tokens_per_s_a", s->tokens_per_s[0],
        "share_of_memory_a", s->share[0], "batch_b", (json_int_t)r->batch[1], "tokens_per_s_b",
        s->tokens_per_s[1], "share_of_memory_b", s->share[1]);
    if (row && options->profile) {
        json_object_set_new(row, "prompt_parts_ms", parts_json(s->part_ms[0]));
        json_object_set_new(row, "parts_ms_a", parts_json(s->part_ms[1]));
        json_object_set_new(row, "parts_ms_b", parts_json(s->part_ms[2]));
    }
    return row;
}

enum od_status od_bench_infer_gpu_run(const struct od_cli *cli,
                                      const struct od_bench_infer_gpu_options *options,
                                      struct od_error *err)
{
    struct od_bench_infer_gpu_result result;
    const enum od_status status = od_bench_infer_gpu(options, &result, err);
    for (int i = 0; status == OD_OK && cli->json && i < 2; i++) {
        json_t *row = infer_json(&result, options, i == 0);
        (void)json_dumpf(row, stdout, JSON_COMPACT);
        (void)putchar('\n');
        json_decref(row);
    }
    if (status == OD_OK && !cli->json) {
        (void)printf("%s on %s (driver %s): products %.0f TFLOP/s, memory %.0f GB/s\n",
                     result.shape, result.gpu, result.driver, 1e-12 * result.ceiling,
                     1e-9 * result.memory_bytes);
        print_infer_line("batch-invariant", &result, &result.invariant);
        print_infer_line("fastest", &result, &result.fastest);
        if (options->profile) {
            print_infer_parts("batch-invariant", &result, &result.invariant);
            print_infer_parts("fastest", &result, &result.fastest);
        }
    }
    return status;
}
