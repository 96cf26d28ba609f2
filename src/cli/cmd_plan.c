// `oneday plan`: memory and time of a recipe before anything runs.

#include <stdint.h>
#include <stdio.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/status.h"
#include "cli/options.h"
#include "cli/sizes.h"
#include "flow/forecast.h"
#include "formats/json.h"
#include "tune/recipe.h"

static enum od_status print_json(const struct od_forecast *f, struct od_error *err)
{
    struct od_buf buf;
    struct od_json_writer w;
    od_buf_init(&buf, 1 << 16);
    od_json_writer_init(&w, &buf, OD_JSON_INDENT_2, false);
    od_json_object_begin(&w);
    od_json_member_int(&w, "parameters", f->parameters);
    od_json_member_int(&w, "trained", f->trained);
    od_json_member_int(&w, "plan_bytes", (int64_t)f->plan.total_bytes);
    od_json_member_int(&w, "weights_bytes", (int64_t)f->weight_bytes);
    od_json_member_int(&w, "training_bytes", (int64_t)f->training_bytes);
    od_json_member_int(&w, "activation_bytes", (int64_t)f->activation_bytes);
    od_json_member_int(&w, "steps", f->steps);
    od_json_member_int(&w, "tokens", f->tokens);
    od_json_member_number(&w, "gflops_measured", f->flops_per_s * 1e-9);
    od_json_member_number(&w, "seconds", f->seconds);
    od_json_object_end(&w);
    const enum od_status status = od_buf_check(&buf, err);
    if (status == OD_OK) {
        (void)puts(od_buf_text(&buf));
    }
    od_buf_release(&buf);
    return status;
}

static void row(const char *what, double bytes)
{
    char text[24];
    od_bytes_text(bytes, text);
    (void)printf("  %-28s %10s\n", what, text);
}

static void print_text(const struct od_forecast *f)
{
    char seconds[24];
    (void)printf("model: %lld weights, %lld trained\n", (long long)f->parameters,
                 (long long)f->trained);
    (void)printf("memory, all of it taken before the first step\n");
    row("weights", (double)f->weight_bytes);
    row("gradients, moments, adapter", (double)f->training_bytes);
    row("activations and scratch", (double)f->activation_bytes);
    row("total", (double)f->plan.total_bytes);
    od_seconds_text(f->seconds, seconds);
    (void)printf("time: %lld steps, %lld tokens, about %s at the %.0f GFLOP/s measured now\n",
                 (long long)f->steps, (long long)f->tokens, seconds, f->flops_per_s * 1e-9);
}

int od_cmd_plan(struct od_cli *cli, int argc, char **argv)
{
    const char *memory = NULL;
    const char *time = NULL;
    struct od_option options[] = {
        OD_OPTION_TEXT_OF(0, "memory", "SIZE", &memory, "what the run may take, such as 8GB",
                          "no cap"),
        OD_OPTION_TEXT_OF(0, "time", "TIME", &time, "how long it may take, such as 24h or 90min",
                          "no cap"),
    };
    const struct od_command_spec spec = {
        .name = "plan",
        .arguments = "RECIPE [--memory SIZE] [--time TIME]",
        .summary = "memory and time of a recipe before anything runs",
        .details = "Exit code 3 when it does not fit, with the nearest change that does.",
        .options = options,
        .option_count = OD_COUNT_OF(options),
        .min_args = 1,
        .max_args = 1};
    struct od_args args;
    struct od_error err = {0};
    struct od_recipe recipe;
    struct od_forecast forecast;
    int exit_code = 0;
    uint64_t max_bytes = 0;
    double max_seconds = 0.0;

    if (!od_command_parse(cli, &spec, argc, argv, &args, &exit_code)) {
        return exit_code;
    }
    enum od_status status = od_cli_cpu_only(cli, &err);
    if (status == OD_OK && memory) {
        status = od_size_read(memory, &max_bytes, &err);
    }
    if (status == OD_OK && time) {
        status = od_time_read(time, &max_seconds, &err);
    }
    if (status != OD_OK || (status = od_recipe_read(args.values[0], &recipe, &err)) != OD_OK) {
        return od_command_fail(&spec, status, &err);
    }
    status = od_forecast_make(&recipe, (int)cli->threads, !cli->no_vector, &forecast, &err);
    if (status == OD_OK) {
        status = cli->json ? print_json(&forecast, &err) : OD_OK;
        if (!cli->json) {
            print_text(&forecast);
        }
    }
    if (status == OD_OK) {
        status = od_forecast_check(&recipe, &forecast, max_bytes, max_seconds, &err);
    }
    od_recipe_release(&recipe);
    return status == OD_OK ? 0 : od_command_fail(&spec, status, &err);
}
