// `oneday demo`: base model, fine-tune, serve, evaluate, rank, report.

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/status.h"
#include "cli/options.h"
#include "cli/sizes.h"
#include "flow/demo.h"
#include "formats/json.h"

static volatile sig_atomic_t stop_wanted;

static void on_signal(int number)
{
    (void)number;
    stop_wanted = 1;
}

static enum od_status print_json(const struct od_demo_result *result, struct od_error *err)
{
    static const char *const names[2] = {"base", "tuned"};
    struct od_buf buf;
    struct od_json_writer w;
    od_buf_init(&buf, 1 << 20);
    od_json_writer_init(&w, &buf, OD_JSON_INDENT_2, false);
    od_json_object_begin(&w);
    od_json_key(&w, "kinds");
    od_json_array_begin(&w);
    for (size_t k = 0; k < result->kind_count; k++) {
        const struct od_demo_kind *kind = &result->kind[k];
        od_json_object_begin(&w);
        od_json_member_text(&w, "name", kind->name);
        od_json_member_int(&w, "items", kind->items);
        od_json_member_number(&w, "chance", kind->chance);
        for (int i = 0; i < 2; i++) {
            od_json_key(&w, names[i]);
            od_json_object_begin(&w);
            od_json_member_number(&w, "value", kind->value[i]);
            od_json_member_number(&w, "low", kind->low[i]);
            od_json_member_number(&w, "high", kind->high[i]);
            od_json_object_end(&w);
        }
        od_json_object_end(&w);
    }
    od_json_array_end(&w);
    od_json_member_number(&w, "first_loss", result->first_loss);
    od_json_member_number(&w, "last_loss", result->last_loss);
    od_json_member_number(&w, "seconds", result->seconds);
    od_json_member_text(&w, "run", result->run);
    od_json_member_text(&w, "report", result->report);
    od_json_object_end(&w);
    const enum od_status status = od_buf_check(&buf, err);
    if (status == OD_OK) {
        (void)puts(od_buf_text(&buf));
    }
    od_buf_release(&buf);
    return status;
}

static enum od_status print_text(const struct od_demo_result *result, struct od_error *err)
{
    struct od_table table;
    char seconds[24];
    od_table_init(&table, 7);
    static const char *const header[] = {"kind", "items", "chance", "base",
                                         "95 %", "tuned", "95 %"};
    for (size_t i = 0; i < OD_COUNT_OF(header); i++) {
        od_table_cell(&table, "%s", header[i]);
    }
    for (size_t k = 0; k < result->kind_count; k++) {
        const struct od_demo_kind *kind = &result->kind[k];
        od_table_cell(&table, "%s", kind->name);
        od_table_cell(&table, "%lld", (long long)kind->items);
        od_table_cell(&table, "%.2f", kind->chance);
        for (int i = 0; i < 2; i++) {
            od_table_cell(&table, "%.3f", kind->value[i]);
            od_table_cell(&table, "%.3f to %.3f", kind->low[i], kind->high[i]);
        }
    }
    const enum od_status status = od_table_print(&table, stdout, err);
    od_table_release(&table);
    od_seconds_text(result->seconds, seconds);
    (void)printf("\nloss %.3f -> %.3f; everything took %s\n", result->first_loss, result->last_loss,
                 seconds);
    (void)printf("report   %s\n", result->report);
    (void)printf("run      %s\n", result->run);
    (void)printf("suites   %s\n         %s\n", result->base_suite, result->tuned_suite);
    (void)printf("next     oneday score %s %s --formula helm\n", result->base_suite,
                 result->tuned_suite);
    (void)printf("         oneday serve %s\n", result->run);
    return status;
}

int od_cmd_demo(struct od_cli *cli, int argc, char **argv)
{
    const char *model = NULL;
    struct od_option options[] = {
        OD_OPTION_TEXT_OF(0, "model", "DIR", &model, "do it with this model",
                          "the one that ships with the program"),
    };
    const struct od_command_spec spec = {
        .name = "demo",
        .arguments = "[DIR] [--model DIR]",
        .summary = "the whole loop in about three minutes, on the CPU",
        .details =
            "Plans, fine-tunes a small base model with LoRA, serves it, evaluates it before\n"
            "and after by HELM's rules, and writes a report. Everything lands in DIR (demo).",
        .options = options,
        .option_count = OD_COUNT_OF(options),
        .min_args = 0,
        .max_args = 1};
    struct od_args args;
    struct od_error err = {0};
    struct od_demo_result result;
    char examples[OD_PATH_MAX_BYTES];
    int exit_code = 0;
    if (!od_command_parse(cli, &spec, argc, argv, &args, &exit_code)) {
        return exit_code;
    }
    enum od_status status = od_cli_cpu_only(cli, &err);
    if (status == OD_OK) {
        status = od_examples_find(examples, &err);
    }
    if (status == OD_OK) {
        const struct sigaction action = {.sa_handler = on_signal};
        (void)sigaction(SIGINT, &action, NULL);
        (void)sigaction(SIGTERM, &action, NULL);
        const struct od_demo_options demo = {.dir = args.count > 0 ? args.values[0] : "demo",
                                             .model = model,
                                             .examples = examples,
                                             .threads = (int)cli->threads,
                                             .allow_vector = !cli->no_vector,
                                             .stop = &stop_wanted};
        status = od_demo_run(&demo, &result, &err);
    }
    if (status == OD_OK) {
        status = cli->json ? print_json(&result, &err) : print_text(&result, &err);
    }
    return status == OD_OK ? 0 : od_command_fail(&spec, status, &err);
}
