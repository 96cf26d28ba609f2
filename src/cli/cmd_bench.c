// `oneday bench`: the program's speed beside the machine's own ceiling.

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/status.h"
#include "cli/options.h"
#include "flow/bench_gemm.h"

enum { SHAPE_BYTES = 64 };

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

static const struct od_command benches[] = {
    {"gemm", "matrix products beside the peak of multiply-adds", bench_gemm},
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
