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
#include "cli/bench_infer.h"
#include "cli/commit.h"
#include "cli/options.h"
#include "cli/sizes.h"
#include "flow/bench_gemm.h"
#include "flow/bench_gpu.h"
#include "flow/bench_shapes.h"
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
    (void)printf("  %-20s %-13s %2d thread%s %8.2f GFLOP/s", shape, row->form, row->threads,
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

// Milliseconds of each part, its share of the step, and how much of its own time it could not do without.
static void print_parts(const struct od_bench_train_gpu_result *r)
{
    bool first = true;
    for (int i = 0; i < OD_GPU_PART_COUNT; i++) {
        if (r->part_ms[i] <= 0.0) {
            continue;
        }
        if (first) {
            (void)printf("  %-22s %11s  %7s  %11s  %s\n", "part", "time", "of step", "floor",
                         "floor/time");
            first = false;
        }
        (void)printf("  %-22s %8.3f ms  %5.1f %%", od_gpu_part_name((enum od_gpu_part)i),
                     r->part_ms[i], r->part_ms[i] * 1e-1 / r->step_s);
        if (r->floor_ms[i] > 0.0) {
            (void)printf("  %8.3f ms  %5.2f", r->floor_ms[i], r->floor_ms[i] / r->part_ms[i]);
        }
        (void)putchar('\n');
    }
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
    print_parts(r);
    (void)fflush(stdout);
}

// The same parts: milliseconds, and of those that have a floor the floor.
static json_t *parts_json(const struct od_bench_train_gpu_result *r)
{
    json_t *parts = json_object();
    for (int i = 0; i < OD_GPU_PART_COUNT; i++) {
        if (r->part_ms[i] > 0.0) {
            json_object_set_new(parts, od_gpu_part_name((enum od_gpu_part)i),
                                r->floor_ms[i] > 0.0 ? json_pack("{sf sf}", "ms", r->part_ms[i],
                                                                 "floor_ms", r->floor_ms[i])
                                                     : json_pack("{sf}", "ms", r->part_ms[i]));
        }
    }
    return parts;
}

static json_t *gpu_json(const struct od_bench_train_gpu_result *r, const char *method, int64_t rank,
                        int64_t document, int64_t accumulation)
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
    json_t *row = json_pack("{ss ss sI ss ss ss ss ss sf sf sf sI sI ss sI sI sI ss sf sf sf}",
                            "case", name, "method", method, "seq_len", (json_int_t)document, "date",
                            date, "gpu", r->gpu, "driver", r->driver, "libraries", r->library,
                            "commit", od_commit, "tokens_per_s", r->tokens_per_s, "ceiling_tflops",
                            0.5e-12 * (r->ceiling_before + r->ceiling_after), "share_of_ceiling",
                            r->share, "plan_bytes", (json_int_t)r->plan_bytes, "driver_peak_bytes",
                            (json_int_t)r->driver_peak_bytes, "keep", r->keep, "lean_layers",
                            (json_int_t)r->lean_layers, "host_bytes", (json_int_t)r->host_bytes,
                            "rank", (json_int_t)rank, "weights_hash", hash, "step_s", r->step_s,
                            "predicted_step_s", r->predicted_s, "energy_j_per_step", r->energy_j);
    if (row && accumulation > 1) {
        json_object_set_new(row, "accumulation", json_integer(accumulation));
    }
    json_t *parts = parts_json(r);
    if (row && json_object_size(parts) > 0) {
        json_object_set_new(row, "parts", parts);
    } else {
        json_decref(parts);
    }
    return row;
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
                                : strcmp(choice->method, "fp8") == 0  ? OD_QUANT_E4M3
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
        return od_fail(err, OD_E_ARGUMENT,
                       "method '%.60s' is not known: lora, qlora, int8, fp8 or full",
                       choice->method);
    }
    const enum od_status status = od_bench_train_gpu(&options, &result, err);
    if (status == OD_OK && cli->json) {
        json_t *row = gpu_json(&result, choice->method, options.lora ? options.rank : 0, document,
                               options.accumulation);
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
        OD_OPTION_TEXT_OF(0, "shape", "NAME", &choice.shape, "GPU: " OD_BENCH_SHAPES, "llama-2-7b"),
        OD_OPTION_TEXT_OF(0, "method", "NAME", &choice.method,
                          "GPU: lora, qlora, int8, fp8 or full", "lora"),
        OD_OPTION_INT_OF(0, "rank", "R", &choice.rank, "GPU: rank of the adapters", "16"),
        OD_OPTION_TEXT_OF(0, "vram", "SIZE", &choice.vram_text,
                          "GPU: most that the process may take on the card (24GB)", "all of it"),
        OD_OPTION_INT_OF(0, "documents", "N", &choice.documents, "GPU: documents of a pass", "2"),
        OD_OPTION_INT_OF(0, "accumulation", "N", &choice.accumulation, "GPU: passes of a step",
                         "1"),
        OD_OPTION_INT_OF(0, "steps", "N", &choice.steps, "GPU: steps that are timed", "20"),
        OD_OPTION_INT_OF(0, "cut", "L", &choice.layers, "GPU: so many layers only", "all"),
        OD_OPTION_FLAG_OF(0, "profile", &choice.profile,
                          "GPU: milliseconds by part of a step, beside the floor of each"),
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

static const struct od_command benches[] = {
    {"gemm", "matrix products beside the peak of multiply-adds", bench_gemm},
    {"gpu", "matrix products on a GPU: cuBLASLt and the own kernel", bench_gpu},
    {"infer", "reading prompts and generating tokens", od_bench_infer_run},
    {"prompts", "questions with five examples, with and without sharing them",
     od_bench_prompts_run},
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
