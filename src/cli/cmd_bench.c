// `oneday bench`: the program's speed beside the machine's own ceiling.

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "base/status.h"
#include "cli/commit.h"
#include "cli/options.h"
#include "cli/sizes.h"
#include "flow/bench_gemm.h"
#include "flow/bench_gpu.h"
#include "flow/bench_infer_gpu.h"
#include "flow/bench_train.h"
#include "flow/bench_train_gpu.h"
#include "ops/gpu.h"
#include "ops/op.h"

enum { SHAPE_BYTES = 64, GPUS_MAX = 255 };

struct gemm_output {
    const char *group;
    json_t *rows;  // NULL: lines of text
    bool failed;
};

static void print_row(struct gemm_output *out, const struct od_bench_gemm_row *row)
{
    char shape[SHAPE_BYTES];
    if (!out->group || strcmp(out->group, row->group) != 0) {
        (void)printf("%s%s\n", out->group ? "\n" : "", row->group);
        out->group = row->group;
    }
    (void)snprintf(shape, sizeof shape, "%lld x %lld x %lld", (long long)row->m, (long long)row->n,
                   (long long)row->k);
    (void)printf("  %-20s %-11s %2d thread%s %8.2f GFLOP/s", shape, row->form, row->threads,
                 row->threads == 1 ? " " : "s", row->flops * 1e-9);
    if (row->peak_flops > 0.0) {
        (void)printf("  %5.1f %% of peak %6.1f (by processor time %5.1f %%)", row->share * 100.0,
                     row->peak_flops * 1e-9, row->cpu_share * 100.0);
    }
    if (row->read_share > 0.0) {
        (void)printf("  %5.1f %% of read bandwidth", row->read_share * 100.0);
    }
    (void)putchar('\n');
    (void)fflush(stdout);
}

static void take_row(void *context, const struct od_bench_gemm_row *row)
{
    struct gemm_output *out = context;
    if (!out->rows) {
        print_row(out, row);
        return;
    }
    json_t *object = json_pack(
        "{ss ss si sI sI sI sI sb sf sf sf sf sf}", "group", row->group, "form", row->form,
        "threads", row->threads, "m", (json_int_t)row->m, "n", (json_int_t)row->n, "k",
        (json_int_t)row->k, "count", (json_int_t)row->count, "vector", row->vector, "flops",
        row->flops, "peak_flops", row->peak_flops, "share_of_peak", row->share,
        "share_of_peak_by_cpu_time", row->cpu_share, "share_of_read_bandwidth", row->read_share);
    if (json_array_append_new(out->rows, object) != 0) {
        out->failed = true;
    }
}

static int bench_gemm(struct od_cli *cli, int argc, char **argv)
{
    int64_t size = 0;
    double seconds = 0.5;
    const char *group = NULL;
    struct od_option options[] = {
        OD_OPTION_INT_OF(0, "size", "N", &size, "one square of this size, in all forms", NULL),
        OD_OPTION_NUMBER_OF(0, "seconds", "S", &seconds, "time for one shape", "0.5"),
        OD_OPTION_TEXT_OF(0, "group", "NAME", &group,
                          "square, transposed, training, lora, attention, 'few rows' or scalar",
                          "all"),
    };
    const struct od_command_spec spec = {
        .name = "bench gemm",
        .arguments = "[--size N] [--seconds S] [--group NAME]",
        .summary = "matrix products beside the peak of multiply-adds",
        .details =
            "Each shape m x n x k is measured in rounds, a few milliseconds of fused\n"
            "multiply-adds in registers and then of the product. The share is the median\n"
            "of the ratios, so that a busy machine disturbs it little. With one thread,\n"
            "then with all; last, one product without AVX2.",
        .options = options,
        .option_count = OD_COUNT_OF(options),
    };
    struct od_args args;
    struct od_error err = {0};
    int exit_code = 0;
    if (!od_command_parse(cli, &spec, argc, argv, &args, &exit_code)) {
        return exit_code;
    }
    struct gemm_output out = {.rows = cli->json ? json_array() : NULL};
    const struct od_bench_gemm_options bench = {.threads = (int)cli->threads,
                                                .allow_vector = !cli->no_vector,
                                                .size = size,
                                                .seconds = seconds,
                                                .group = group,
                                                .fn = take_row,
                                                .context = &out};
    enum od_status status = od_bench_gemm(&bench, &err);
    if (!status && cli->json) {
        if (out.failed || json_dumpf(out.rows, stdout, JSON_INDENT(2)) != 0) {
            status = od_fail(&err, OD_E_MEMORY, "no memory for the JSON document");
        }
        (void)putchar('\n');
    }
    json_decref(out.rows);
    return status ? od_command_fail(&spec, status, &err) : 0;
}

static void print_train(const struct od_bench_train_result *r, const char *method)
{
    char plan[24];
    char real[24];
    od_bytes_text((double)r->plan_bytes, plan);
    od_bytes_text((double)r->real_peak_bytes, real);
    (void)printf("%s, %lld weights, %d thread%s: %.0f tokens/s over %lld steps\n", method,
                 (long long)r->parameters, r->threads, r->threads == 1 ? "" : "s", r->tokens_per_s,
                 (long long)r->steps);
    (void)printf("  %.1f MFLOP per token, %.1f GFLOP/s, %.1f %% of the peak of %.1f GFLOP/s\n",
                 r->flops_per_token * 1e-6, r->flops_per_token * r->tokens_per_s * 1e-9,
                 100.0 * r->share, r->peak_flops * 1e-9);
    (void)printf("  plan %s, real peak of the process %s, %llu allocations in steps\n", plan, real,
                 (unsigned long long)r->step_allocations);
}

static void print_gpu(const struct od_bench_train_gpu_result *r, const char *method)
{
    char plan[24];
    char driver[24];
    od_bytes_text((double)r->plan_bytes, plan);
    od_bytes_text((double)r->driver_peak_bytes, driver);
    (void)printf("%s %s on %s (driver %s, %s): %.0f tokens/s, %.1f ms a step of %lld tokens\n",
                 method, r->shape, r->gpu, r->driver, r->library, r->tokens_per_s, r->step_s * 1e3,
                 (long long)r->tokens_per_step);
    (void)printf(
        "  %.2f GFLOP per token: %.1f TFLOP/s, %.3f of the ceiling (%.1f before, %.1f "
        "after)\n",
        r->flops_per_token * 1e-9, r->flops_per_token * r->tokens_per_s * 1e-12, r->share,
        r->ceiling_before * 1e-12, r->ceiling_after * 1e-12);
    (void)printf("  plan %s, by the driver's count %s; loss %.4f; weights %016llx", plan, driver,
                 r->loss, (unsigned long long)r->weight_hash);
    if (r->energy_j >= 0.0) {
        (void)printf("; %.1f J a step, %.0f W", r->energy_j, r->energy_j / r->step_s);
    }
    (void)putchar('\n');
    for (int i = 0; i < OD_GPU_PART_COUNT; i++) {
        if (r->part_ms[i] > 0.0) {
            (void)printf("  %-22s %8.3f ms  %5.1f %%\n", od_gpu_part_name((enum od_gpu_part)i),
                         r->part_ms[i], r->part_ms[i] * 1e-1 / r->step_s);
        }
    }
    (void)fflush(stdout);
}

static json_t *gpu_json(const struct od_bench_train_gpu_result *r, const char *method, int64_t rank,
                        int64_t document)
{
    char name[80];
    char date[16] = "";
    char hash[20];
    const time_t now = time(NULL);
    struct tm day;
    if (gmtime_r(&now, &day)) {
        (void)strftime(date, sizeof date, "%Y-%m-%d", &day);
    }
    (void)snprintf(name, sizeof name, "%s %s", method, r->shape);
    (void)snprintf(hash, sizeof hash, "%016llx", (unsigned long long)r->weight_hash);
    return json_pack("{ss ss sI ss ss ss ss ss sf sf sf sI sI ss sI sI sI ss sf sf sf}", "case",
                     name, "method", method, "seq_len", (json_int_t)document, "date", date, "gpu",
                     r->gpu, "driver", r->driver, "libraries", r->library, "commit", od_commit,
                     "tokens_per_s", r->tokens_per_s, "ceiling_tflops",
                     0.5e-12 * (r->ceiling_before + r->ceiling_after), "share_of_ceiling", r->share,
                     "plan_bytes", (json_int_t)r->plan_bytes, "driver_peak_bytes",
                     (json_int_t)r->driver_peak_bytes, "keep", r->keep, "lean_layers",
                     (json_int_t)r->lean_layers, "host_bytes", (json_int_t)r->host_bytes, "rank",
                     (json_int_t)rank, "weights_hash", hash, "step_s", r->step_s,
                     "predicted_step_s", r->predicted_s, "energy_j_per_step", r->energy_j);
}

struct gpu_choice {
    const char *shape;
    const char *method;
    int64_t rank;
    int64_t documents;
    int64_t accumulation;
    int64_t steps;
    int64_t layers;
    bool profile;
    const char *vram_text;
    uint64_t vram;
    bool no_library;
    bool no_tuning;
};

static enum od_status train_gpu(const struct od_cli *cli, const struct gpu_choice *choice, int gpu,
                                int64_t document, struct od_error *err)
{
    struct od_bench_train_gpu_result result;
    const enum od_quant quant = strcmp(choice->method, "qlora") == 0  ? OD_QUANT_NF4
                                : strcmp(choice->method, "int8") == 0 ? OD_QUANT_INT8
                                                                      : OD_QUANT_NONE;
    const struct od_bench_train_gpu_options options = {.shape = choice->shape ? choice->shape
                                                                              : "llama-2-7b",
                                                       .lora = strcmp(choice->method, "full") != 0,
                                                       .rank = choice->rank,
                                                       .quant = quant,
                                                       .max_bytes = choice->vram,
                                                       .document = document,
                                                       .documents = choice->documents,
                                                       .accumulation = choice->accumulation,
                                                       .layers = choice->layers,
                                                       .steps = choice->steps,
                                                       .gpu = gpu,
                                                       .no_library = choice->no_library,
                                                       .no_tuning = choice->no_tuning,
                                                       .profile = choice->profile};
    if (quant == OD_QUANT_NONE && strcmp(choice->method, "lora") != 0 &&
        strcmp(choice->method, "full") != 0) {
        return od_fail(err, OD_E_ARGUMENT, "method '%.60s' is not known: lora, qlora, int8 or full",
                       choice->method);
    }
    const enum od_status status = od_bench_train_gpu(&options, &result, err);
    if (status == OD_OK && cli->json) {
        json_t *row = gpu_json(&result, choice->method, options.lora ? options.rank : 0, document);
        (void)json_dumpf(row, stdout, JSON_COMPACT);
        (void)putchar('\n');
        json_decref(row);
    } else if (status == OD_OK) {
        print_gpu(&result, choice->method);
    }
    return status;
}

static int bench_train(struct od_cli *cli, int argc, char **argv)
{
    struct od_bench_train_options bench = {.channels = 256,
                                           .layers = 6,
                                           .vocab = 4096,
                                           .tokens = 2048,
                                           .document = 256,
                                           .allow_vector = !cli->no_vector,
                                           .seconds = 5.0};
    struct gpu_choice choice = {
        .method = "lora", .rank = 16, .documents = 2, .accumulation = 1, .steps = 20};
    int64_t document = 0;
    struct od_option options[] = {
        OD_OPTION_INT_OF(0, "channels", "C", &bench.channels, "width, a multiple of 32", "256"),
        OD_OPTION_INT_OF(0, "layers", "L", &bench.layers, "layers", "6"),
        OD_OPTION_INT_OF(0, "vocab", "V", &bench.vocab, "vocabulary", "4096"),
        OD_OPTION_INT_OF(0, "tokens", "T", &bench.tokens, "tokens of a step", "2048"),
        OD_OPTION_INT_OF(0, "document", "N", &document, "tokens of a document",
                         "256, on a GPU 2048"),
        OD_OPTION_NUMBER_OF(0, "seconds", "S", &bench.seconds, "time for each method", "5"),
        OD_OPTION_TEXT_OF(
            0, "shape", "NAME", &choice.shape,
            "GPU: llama-2-7b, mistral-7b, llama-3-8b, llama-2-13b, qwen2.5-14b, codellama-34b, "
            "llama-2-70b, gpt2-1.5b, "
            "tinyllama-1.1b, llama-160m",
            "llama-2-7b"),
        OD_OPTION_TEXT_OF(0, "method", "NAME", &choice.method, "GPU: lora, qlora, int8 or full",
                          "lora"),
        OD_OPTION_INT_OF(0, "rank", "R", &choice.rank, "GPU: rank of the adapters", "16"),
        OD_OPTION_TEXT_OF(0, "vram", "SIZE", &choice.vram_text,
                          "GPU: most that the process may take on the card (24GB)", "all of it"),
        OD_OPTION_INT_OF(0, "documents", "N", &choice.documents, "GPU: documents of a pass", "2"),
        OD_OPTION_INT_OF(0, "accumulation", "N", &choice.accumulation, "GPU: passes of a step",
                         "1"),
        OD_OPTION_INT_OF(0, "steps", "N", &choice.steps, "GPU: steps that are timed", "20"),
        OD_OPTION_INT_OF(0, "cut", "L", &choice.layers, "GPU: so many layers only", "all"),
        OD_OPTION_FLAG_OF(0, "profile", &choice.profile, "GPU: milliseconds by part of a step"),
        OD_OPTION_FLAG_OF(0, "no-tuning", &choice.no_tuning,
                          "GPU: cuBLASLt's first choice instead of the measured one"),
        OD_OPTION_FLAG_OF(0, "no-library", &choice.no_library,
                          "GPU: own matrix products even where cuBLASLt is found"),
    };
    const struct od_command_spec spec = {
        .name = "bench train",
        .arguments = "[--channels C] [--layers L] [--tokens T]",
        .summary = "training steps on random weights and tokens",
        .details =
            "CPU: full fine-tuning, then LoRA of rank 16 on all linear layers; the share of the\n"
            "peak counts linear layers and head, not attention.\n"
            "\n"
            "GPU: one known shape beside the ceiling of large bf16 products, measured before and\n"
            "after in the same process; floating-point operations are those that the method\n"
            "needs, attention included, recomputation not. --json prints one line.\n"
            "\n"
            "    oneday bench train --device cuda --shape llama-2-7b --documents 2",
        .options = options,
        .option_count = OD_COUNT_OF(options),
    };
    struct od_args args;
    struct od_error err = {0};
    int exit_code = 0;
    if (!od_command_parse(cli, &spec, argc, argv, &args, &exit_code)) {
        return exit_code;
    }
    json_t *rows = json_array();
    bench.threads = (int)cli->threads;
    struct od_cli_device device = {0};
    enum od_status status = od_cli_device(cli, &device, &err);
    if (status == OD_OK && choice.vram_text) {
        status = od_size_read(choice.vram_text, &choice.vram, &err);
    }
    if (status == OD_OK && device.on_gpu) {
        status = train_gpu(cli, &choice, device.gpu, document > 0 ? document : 2048, &err);
    }
    bench.document = document > 0 ? document : bench.document;
    for (int lora = 0; status == OD_OK && !device.on_gpu && lora < 2; lora++) {
        struct od_bench_train_result r;
        bench.lora = lora == 1;
        const char *method = lora == 1 ? "lora" : "full";
        status = od_bench_train(&bench, &r, &err);
        if (status == OD_OK && cli->json) {
            (void)json_array_append_new(
                rows, json_pack("{ss sI si sI sf sf sf sf sI sI sI}", "method", method,
                                "parameters", (json_int_t)r.parameters, "threads", r.threads,
                                "steps", (json_int_t)r.steps, "tokens_per_s", r.tokens_per_s,
                                "flops_per_token", r.flops_per_token, "peak_flops", r.peak_flops,
                                "share_of_peak", r.share, "plan_bytes", (json_int_t)r.plan_bytes,
                                "real_peak_bytes", (json_int_t)r.real_peak_bytes,
                                "step_allocations", (json_int_t)r.step_allocations));
        } else if (status == OD_OK) {
            print_train(&r, method);
        }
    }
    if (status == OD_OK && cli->json && !device.on_gpu) {
        (void)json_dumpf(rows, stdout, JSON_INDENT(2));
        (void)putchar('\n');
    }
    json_decref(rows);
    return status == OD_OK ? 0 : od_command_fail(&spec, status, &err);
}

struct gpu_output {
    json_t *rows;  // NULL: lines of text
    bool failed;
    bool started;
};

static double tflops(const struct od_bench_gpu_row *row, double us)
{
    return us > 0.0 ? 2.0 * (double)row->m * (double)row->n * (double)row->k / us * 1e-6 : 0.0;
}

static void take_gpu_row(void *context, const struct od_bench_gpu_row *row)
{
    struct gpu_output *out = context;
    char shape[SHAPE_BYTES];
    if (!out->rows) {
        if (!out->started) {
            (void)printf("%-24s %-22s %-12s %21s %21s %21s\n", "product", "m x n x k", "form",
                         "first choice", "measured choice", "own kernel");
            out->started = true;
        }
        (void)snprintf(shape, sizeof shape, "%lld x %lld x %lld", (long long)row->m,
                       (long long)row->n, (long long)row->k);
        (void)printf("%-24s %-22s %s %s %s", row->what, shape, row->a_transposed ? "A^T" : "A  ",
                     row->b_transposed ? "B^T" : "B  ", row->d_is_float ? "fp32" : "bf16");
        const double us[] = {row->first_us, row->tuned_us, row->own_us};
        for (size_t i = 0; i < OD_COUNT_OF(us); i++) {
            (void)printf(" %8.1f us %4.0f TFLOP/s", us[i], tflops(row, us[i]));
        }
        (void)printf("  apart %.1e\n", row->difference);
        (void)fflush(stdout);
        return;
    }
    json_t *object = json_pack("{ss sI sI sI sb sb sb sb sf sf sf sf}", "product", row->what, "m",
                               (json_int_t)row->m, "n", (json_int_t)row->n, "k", (json_int_t)row->k,
                               "a_transposed", row->a_transposed, "b_transposed", row->b_transposed,
                               "d_is_float", row->d_is_float, "adds", row->adds, "first_choice_us",
                               row->first_us, "measured_choice_us", row->tuned_us, "own_kernel_us",
                               row->own_us, "difference", row->difference);
    if (json_array_append_new(out->rows, object) != 0) {
        out->failed = true;
    }
}

static int bench_gpu(struct od_cli *cli, int argc, char **argv)
{
    int64_t ordinal = 0;
    double seconds = 0.5;
    struct od_option options[] = {
        OD_OPTION_INT_OF(0, "gpu", "N", &ordinal, "which GPU", "0"),
        OD_OPTION_NUMBER_OF(0, "seconds", "S", &seconds, "time for one shape", "0.5"),
    };
    const struct od_command_spec spec = {
        .name = "bench gpu",
        .arguments = "[--gpu N] [--seconds S]",
        .summary = "matrix products on a GPU: cuBLASLt and the own kernel",
        .details =
            "Shapes of training, bf16 with fp32 sums, back to back: cuBLASLt's first choice,\n"
            "the choice that was measured, and the kernel that is used without cuBLASLt. The\n"
            "last column is how far the results of the two lie apart.",
        .options = options,
        .option_count = OD_COUNT_OF(options),
    };
    struct od_args args;
    struct od_error err = {0};
    int exit_code = 0;
    if (!od_command_parse(cli, &spec, argc, argv, &args, &exit_code)) {
        return exit_code;
    }
    if (ordinal < 0 || ordinal > GPUS_MAX) {
        const enum od_status wrong =
            od_fail(&err, OD_E_ARGUMENT, "--gpu goes from 0 to %d", GPUS_MAX);
        return od_command_fail(&spec, wrong, &err);
    }
    struct gpu_output out = {.rows = cli->json ? json_array() : NULL};
    const struct od_bench_gpu_options bench = {
        .ordinal = (int)ordinal, .seconds = seconds, .fn = take_gpu_row, .context = &out};
    enum od_status status = od_bench_gpu(&bench, &err);
    if (!status && cli->json) {
        if (out.failed || json_dumpf(out.rows, stdout, JSON_INDENT(2)) != 0) {
            status = od_fail(&err, OD_E_MEMORY, "no memory for the JSON document");
        }
        (void)putchar('\n');
    }
    json_decref(out.rows);
    return status ? od_command_fail(&spec, status, &err) : 0;
}

static void print_infer_line(const char *how, const struct od_bench_infer_result *r,
                             const struct od_bench_infer_speed *s)
{
    (void)printf("  %-16s prompts %8.0f tokens/s (%4.1f %% of the products' ceiling)", how,
                 s->prompt_tokens_per_s, 100.0 * s->prompt_share);
    for (int i = 0; i < OD_BENCH_INFER_BATCHES; i++) {
        (void)printf("; %lld at a time %7.0f tokens/s (%4.1f %% of memory's speed)",
                     (long long)r->batch[i], s->tokens_per_s[i], 100.0 * s->share[i]);
    }
    (void)putchar('\n');
}

static json_t *infer_json(const struct od_bench_infer_result *r, int64_t prompt, bool invariant)
{
    const struct od_bench_infer_speed *s = invariant ? &r->invariant : &r->fastest;
    char name[80];
    char date[16] = "";
    const time_t now = time(NULL);
    struct tm day;
    if (gmtime_r(&now, &day)) {
        (void)strftime(date, sizeof date, "%Y-%m-%d", &day);
    }
    (void)snprintf(name, sizeof name, "infer %s", r->shape);
    return json_pack(
        "{ss sb sI ss ss ss ss sf sf sf sf sI sf sf sI sf sf}", "case", name, "batch_invariant",
        invariant, "seq_len", (json_int_t)prompt, "date", date, "gpu", r->gpu, "driver", r->driver,
        "commit", od_commit, "ceiling_tflops", 1e-12 * r->ceiling, "memory_bytes_per_s",
        r->memory_bytes, "prompt_tokens_per_s", s->prompt_tokens_per_s, "prompt_share_of_ceiling",
        s->prompt_share, "batch_a", (json_int_t)r->batch[0], "tokens_per_s_a", s->tokens_per_s[0],
        "share_of_memory_a", s->share[0], "batch_b", (json_int_t)r->batch[1], "tokens_per_s_b",
        s->tokens_per_s[1], "share_of_memory_b", s->share[1]);
}

static int bench_infer(struct od_cli *cli, int argc, char **argv)
{
    struct od_bench_infer_options bench = {.shape = "llama-3-8b", .prompt = 2048, .steps = 20};
    const char *vram = NULL;
    struct od_option options[] = {
        OD_OPTION_TEXT_OF(0, "shape", "NAME", &bench.shape, "one of those of bench train",
                          "llama-3-8b"),
        OD_OPTION_INT_OF(0, "prompt", "N", &bench.prompt,
                         "tokens of a prompt, and of each sequence when it goes on", "2048"),
        OD_OPTION_INT_OF(0, "steps", "N", &bench.steps, "passes that are timed", "20"),
        OD_OPTION_INT_OF(0, "cut", "L", &bench.layers, "so many layers only", "all"),
        OD_OPTION_TEXT_OF(0, "vram", "SIZE", &vram,
                          "most that the process may take on the card (24GB)", "all of it"),
        OD_OPTION_FLAG_OF(0, "no-library", &bench.no_library,
                          "own matrix products even where cuBLASLt is found"),
    };
    const struct od_command_spec spec = {
        .name = "bench infer",
        .arguments = "[--shape NAME] [--prompt N]",
        .summary = "prompts and generation on a GPU, on random weights",
        .details =
            "Prompts beside the ceiling of large bf16 products, generation for 1 and for 64\n"
            "sequences beside the speed of memory (a copy); both with batch invariance, as\n"
            "serving has it, and without, which is what that costs. The sampler is left out.\n"
            "--json prints a line for each of the two.\n"
            "\n"
            "    oneday bench infer --device cuda --shape llama-3-8b",
        .options = options,
        .option_count = OD_COUNT_OF(options),
    };
    struct od_args args;
    struct od_error err = {0};
    struct od_cli_device device = {0};
    struct od_bench_infer_result result;
    int exit_code = 0;
    if (!od_command_parse(cli, &spec, argc, argv, &args, &exit_code)) {
        return exit_code;
    }
    enum od_status status = od_cli_device(cli, &device, &err);
    if (status == OD_OK && !device.on_gpu) {
        status = od_fail(&err, OD_E_NOT_FOUND,
                         "bench infer needs a GPU, and --device %.20s has none", cli->device);
    }
    if (status == OD_OK && vram) {
        status = od_size_read(vram, &bench.max_bytes, &err);
    }
    bench.gpu = device.gpu;
    if (status == OD_OK) {
        status = od_bench_infer_gpu(&bench, &result, &err);
    }
    for (int i = 0; status == OD_OK && cli->json && i < 2; i++) {
        json_t *row = infer_json(&result, bench.prompt, i == 0);
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
    }
    return status == OD_OK ? 0 : od_command_fail(&spec, status, &err);
}

static const struct od_command benches[] = {
    {"gemm", "matrix products beside the peak of multiply-adds", bench_gemm},
    {"gpu", "matrix products on a GPU: cuBLASLt and the own kernel", bench_gpu},
    {"infer", "prompts and generation on a GPU, on random weights", bench_infer},
    {"train", "training steps on random weights and tokens", bench_train},
};

int od_cmd_bench(struct od_cli *cli, int argc, char **argv)
{
    const struct od_command_group group = {
        .name = "bench",
        .summary = "the program's speed beside the machine's own ceiling",
        .commands = benches,
        .count = OD_COUNT_OF(benches),
    };
    return od_commands_run(cli, &group, argc, argv);
}
