// `oneday bench infer` and `oneday bench prompts`: how fast the engine reads prompts and generates,
// and what it is worth that prompts share their beginnings.

#include "cli/bench_infer.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "base/status.h"
#include "cli/bench_infer_gpu.h"
#include "cli/commit.h"
#include "cli/options.h"
#include "cli/sizes.h"
#include "flow/bench_infer.h"
#include "flow/bench_infer_gpu.h"
#include "flow/bench_prompts.h"
#include "flow/bench_shapes.h"
#include "infer/engine.h"

enum { BATCHES_MAX = 16 };

static void print_row(const struct od_bench_infer_row *row)
{
    const bool decode = strcmp(row->what, "decode") == 0;
    char bytes[24];
    od_bytes_text((double)row->weight_bytes, bytes);
    (void)printf("%s, %d thread%s: %s ", row->model, row->threads, row->threads == 1 ? "" : "s",
                 row->what);
    if (decode) {
        (void)printf(
            "of %lld sequence%s after %lld tokens: %.2f tokens/s, %.2f ms of processors each\n",
            (long long)row->batch, row->batch == 1 ? "" : "s", (long long)row->context,
            row->tokens_per_s, row->cpu_s * 1e3);
        (void)printf(
            "  %s of weights a pass: %.2f GB/s, %.3f of the %.2f GB/s that reading them "
            "alone gives\n",
            bytes, row->rate * 1e-9, row->share, row->ceiling * 1e-9);
    } else {
        (void)printf("of %lld tokens: %.2f tokens/s, %.2f ms of processors each\n",
                     (long long)row->context, row->tokens_per_s, row->cpu_s * 1e3);
        (void)printf("  %.1f GFLOP/s, %.3f of the peak of %.1f GFLOP/s\n", row->rate * 1e-9,
                     row->share, row->ceiling * 1e-9);
    }
    (void)fflush(stdout);
}

enum { DATE_BYTES = 16 };

static void today(char date[DATE_BYTES])
{
    const time_t now = time(NULL);
    struct tm day;
    date[0] = '\0';
    if (gmtime_r(&now, &day)) {
        (void)strftime(date, DATE_BYTES, "%Y-%m-%d", &day);
    }
}

static void print_line(json_t *object)
{
    (void)json_dumpf(object, stdout, JSON_COMPACT);
    (void)putchar('\n');
    (void)fflush(stdout);
    json_decref(object);
}

static void print_json(const struct od_bench_infer_row *row)
{
    char date[DATE_BYTES];
    today(date);
    json_t *object = json_pack(
        "{ss ss sI sI sI si si sb sI sI sf sf sf sf sf ss ss}", "case", row->model, "what",
        row->what, "batch", (json_int_t)row->batch, "context", (json_int_t)row->context, "tokens",
        (json_int_t)row->tokens, "rounds", row->rounds, "threads", row->threads, "vector",
        row->vector, "parameters", (json_int_t)row->parameters, "weight_bytes",
        (json_int_t)row->weight_bytes, "tokens_per_s", row->tokens_per_s, "cpu_ms_per_token",
        row->cpu_s * 1e3, "rate", row->rate, "ceiling", row->ceiling, "share_of_ceiling",
        row->share, "date", date, "commit", od_commit);
    print_line(object);
}

static void take_row(void *context, const struct od_bench_infer_row *row)
{
    const struct od_cli *cli = context;
    if (cli->json) {
        print_json(row);
    } else {
        print_row(row);
    }
}

// Numbers with commas between them.
static enum od_status read_batches(const char *text, int64_t batches[BATCHES_MAX],
                                   size_t *ret_count, struct od_error *err)
{
    size_t count = 0;
    for (const char *at = text; *at != '\0';) {
        char *end = NULL;
        const long value = strtol(at, &end, 10);
        if (end == at || (*end != '\0' && *end != ',') || count == BATCHES_MAX) {
            return od_fail(err, OD_E_ARGUMENT,
                           "'%.60s' is no list of batches: up to %d numbers, as in 1,8", text,
                           BATCHES_MAX);
        }
        batches[count++] = value;
        at = *end == ',' ? end + 1 : end;
    }
    *ret_count = count;
    return OD_OK;
}

int od_bench_infer_run(struct od_cli *cli, int argc, char **argv)
{
    struct od_bench_infer_options bench = {.allow_vector = !cli->no_vector,
                                           .depth = 16,
                                           .tokens = 32,
                                           .rounds = 3,
                                           .fn = take_row,
                                           .context = cli};
    struct od_bench_infer_gpu_options card = {.steps = 20};
    struct od_cli_device device = {0};
    const char *batch_text = "1,8";
    const char *shape = NULL;
    const char *vram = NULL;
    int64_t prompt = -1;
    int64_t batches[BATCHES_MAX];
    int64_t rounds = bench.rounds;
    struct od_option options[] = {
        OD_OPTION_TEXT_OF(0, "shape", "NAME", &shape,
                          "random weights of this shape: a config.json, or " OD_BENCH_SHAPES,
                          "tinyllama-1.1b"),
        OD_OPTION_FLAG_OF(0, "f32", &bench.f32, "random weights in fp32 instead of bf16"),
        OD_OPTION_TEXT_OF(0, "batch", "N,N", &batch_text, "sequences at a time", "1,8"),
        OD_OPTION_INT_OF(0, "tokens", "N", &bench.tokens, "tokens that each generates", "32"),
        OD_OPTION_INT_OF(0, "depth", "N", &bench.depth, "tokens in front of them", "16"),
        OD_OPTION_INT_OF(0, "prompt", "N", &prompt, "tokens of the prompt that is read; 0: none",
                         "512, on a GPU 2048"),
        OD_OPTION_INT_OF(0, "rounds", "N", &rounds, "how often each is measured", "3"),
        OD_OPTION_INT_OF(0, "steps", "N", &card.steps, "GPU: passes that are timed", "20"),
        OD_OPTION_INT_OF(0, "cut", "L", &card.layers, "GPU: so many layers only", "all"),
        OD_OPTION_TEXT_OF(0, "vram", "SIZE", &vram,
                          "GPU: most that the process may take on the card (24GB)", "all of it"),
        OD_OPTION_FLAG_OF(0, "profile", &card.profile, "GPU: milliseconds by part of a pass"),
        OD_OPTION_FLAG_OF(0, "no-library", &card.no_library,
                          "GPU: own matrix products even where cuBLASLt is found"),
    };
    const struct od_command_spec spec = {
        .name = "bench infer",
        .arguments = "[MODEL] [--shape NAME] [--batch N,N] [--prompt N]",
        .summary = "reading prompts and generating tokens",
        .details =
            "Generating reads all weights for each token, so it stands beside the rate at which the\n"
            "same threads read the same memory and do nothing else; reading a prompt stands beside\n"
            "the peak of multiply-adds. Both take turns with what they stand beside; medians of the\n"
            "rounds. MODEL is a model folder, a run or a GGUF file; without it weights are random.\n"
            "--json prints one line for each measurement.\n"
            "\n"
            "On a GPU (--device cuda) it is a shape's prompts beside the ceiling of large bf16\n"
            "products, and generation for 1 and for 64 sequences beside the speed of memory, with\n"
            "batch invariance and without, which is what that costs; the sampler is left out.\n"
            "\n"
            "    oneday bench infer --shape gpt2-124m --threads 1\n"
            "    oneday bench infer --shape llama-3-8b --device cuda",
        .options = options,
        .option_count = OD_COUNT_OF(options),
        .max_args = 1,
    };
    struct od_args args;
    struct od_error err = {0};
    int exit_code = 0;
    if (!od_command_parse(cli, &spec, argc, argv, &args, &exit_code)) {
        return exit_code;
    }
    enum od_status status = od_cli_device(cli, &device, &err);
    if (status == OD_OK && args.count > 0 && shape) {
        status = od_fail(&err, OD_E_ARGUMENT, "give a model or --shape, not both");
    }
    if (status == OD_OK && device.on_gpu && !device.optional) {
        card.shape = shape ? shape : "llama-3-8b";
        card.prompt = prompt < 0 ? 2048 : prompt;
        card.gpu = device.gpu;
        if (args.count > 0) {
            status = od_fail(&err, OD_E_UNSUPPORTED, "on a GPU only shapes are measured");
        } else if (vram) {
            status = od_size_read(vram, &card.max_bytes, &err);
        }
        if (status == OD_OK) {
            status = od_bench_infer_gpu_run(cli, &card, &err);
        }
        return status == OD_OK ? 0 : od_command_fail(&spec, status, &err);
    }
    if (status == OD_OK) {
        status = read_batches(batch_text, batches, &bench.batch_count, &err);
    }
    if (status == OD_OK && (rounds < 1 || rounds > 64)) {
        status = od_fail(&err, OD_E_ARGUMENT, "rounds must be 1 to 64");
    }
    if (status == OD_OK) {
        bench.prompt = prompt < 0 ? 512 : prompt;
        bench.model = args.count > 0 ? args.values[0] : NULL;
        bench.shape = shape ? shape : "tinyllama-1.1b";
        bench.threads = (int)cli->threads;
        bench.batches = batches;
        bench.rounds = (int)rounds;
        status = od_bench_infer(&bench, &err);
    }
    return status == OD_OK ? 0 : od_command_fail(&spec, status, &err);
}

static void print_prompts(const struct od_cli *cli, const struct od_bench_prompts_options *options,
                          const struct od_bench_prompts_result *r)
{
    const double speed = r->shared.prompts_per_s / r->whole.prompts_per_s;
    const double cpu = r->whole.cpu_s / r->shared.cpu_s;
    const double work = (double)r->whole.computed / (double)r->shared.computed;
    const char *model = options->model ? options->model : options->shape;
    char date[DATE_BYTES];
    today(date);
    if (cli->json) {
        print_line(json_pack(
            "{ss ss ss sI sI sI si si sI sI sf sf sf sf sf sf sf ss ss}", "case", model, "what",
            "5-shot prompts", "questions", options->data ? options->subject : "made up", "prompts",
            (json_int_t)r->prompts, "tokens", (json_int_t)r->tokens, "examples",
            (json_int_t)r->examples, "callers", options->callers, "threads", r->threads,
            "computed_whole", (json_int_t)r->whole.computed, "computed_shared",
            (json_int_t)r->shared.computed, "prompts_per_s_whole", r->whole.prompts_per_s,
            "prompts_per_s_shared", r->shared.prompts_per_s, "cpu_ms_per_prompt_whole",
            r->whole.cpu_s * 1e3, "cpu_ms_per_prompt_shared", r->shared.cpu_s * 1e3, "cpu_ratio",
            cpu, "ratio", speed, "work_ratio", work, "date", date, "commit", od_commit));
        return;
    }
    (void)printf(
        "%s, %d thread%s: %lld prompts of %.0f tokens, %lld examples in front, %d callers\n", model,
        r->threads, r->threads == 1 ? "" : "s", (long long)r->prompts,
        (double)r->tokens / (double)r->prompts, (long long)r->examples, options->callers);
    (void)printf("  each whole:        %8.3f prompts/s, %lld rows computed\n",
                 r->whole.prompts_per_s, (long long)r->whole.computed);
    (void)printf("  beginnings shared: %8.3f prompts/s, %lld rows computed\n",
                 r->shared.prompts_per_s, (long long)r->shared.computed);
    (void)printf(
        "  %.2f times as fast, %.2f by processor time, %.2f times fewer rows, the same answers\n",
        speed, cpu, work);
}

int od_bench_prompts_run(struct od_cli *cli, int argc, char **argv)
{
    struct od_bench_prompts_options bench = {
        .allow_vector = !cli->no_vector, .subject = "astronomy", .prompts = 64};
    struct od_engine_options engine = {0};
    const char *vram = NULL;
    int64_t callers = 8;
    struct od_option options[] = {
        OD_OPTION_TEXT_OF(0, "shape", "NAME", &bench.shape,
                          "random weights of this shape, as for bench infer", "gpt2-124m"),
        OD_OPTION_TEXT_OF(0, "tokenizer", "FOLDER", &bench.tokenizer, "tokenizer of a shape",
                          "bytes"),
        OD_OPTION_TEXT_OF(0, "data", "FOLDER", &bench.data, "folder with mmlu/",
                          "questions are made up"),
        OD_OPTION_TEXT_OF(0, "subject", "NAME", &bench.subject, "of MMLU", "astronomy"),
        OD_OPTION_INT_OF(0, "prompts", "N", &bench.prompts, "how many at most", "64"),
        OD_OPTION_INT_OF(0, "callers", "N", &callers, "that ask at a time", "8"),
        OD_OPTION_TEXT_OF(0, "vram", "SIZE", &vram,
                          "GPU: most that the process may take on the card (24GB)", "all of it"),
    };
    const struct od_command_spec spec = {
        .name = "bench prompts",
        .arguments = "[MODEL] [--shape NAME] [--data FOLDER]",
        .summary = "questions with five examples, with and without sharing them",
        .details =
            "MMLU's questions with five examples in front, as the evaluation asks them: every prompt\n"
            "computed whole, then with shared beginnings computed once, on the same weights. The\n"
            "answers must be the same. MODEL is as for bench infer.\n"
            "\n"
            "    oneday bench prompts models/llama --data data/eval --subject astronomy\n"
            "    oneday bench prompts --device cuda --shape llama-2-7b --prompts 512 --callers 64",
        .options = options,
        .option_count = OD_COUNT_OF(options),
        .max_args = 1,
    };
    struct od_args args;
    struct od_error err = {0};
    struct od_bench_prompts_result result;
    int exit_code = 0;
    if (!od_command_parse(cli, &spec, argc, argv, &args, &exit_code)) {
        return exit_code;
    }
    enum od_status status = od_cli_engine(cli, vram, &engine, &err);
    if (status == OD_OK && args.count > 0 && (bench.shape || bench.tokenizer)) {
        status = od_fail(&err, OD_E_ARGUMENT, "give a model, or --shape and --tokenizer, not both");
    }
    if (status == OD_OK && (callers < 1 || callers > OD_BENCH_CALLERS_MAX)) {
        status = od_fail(&err, OD_E_ARGUMENT, "callers must be 1 to %d", OD_BENCH_CALLERS_MAX);
    }
    if (status == OD_OK) {
        bench.model = args.count > 0 ? args.values[0] : NULL;
        bench.shape = bench.shape ? bench.shape : "gpt2-124m";
        bench.threads = engine.threads;
        bench.on_gpu = engine.on_gpu;
        bench.gpu = engine.gpu;
        bench.max_bytes = engine.max_bytes;
        bench.callers = (int)callers;
        status = od_bench_prompts(&bench, &result, &err);
    }
    if (status == OD_OK) {
        print_prompts(cli, &bench, &result);
    }
    return status == OD_OK ? 0 : od_command_fail(&spec, status, &err);
}
