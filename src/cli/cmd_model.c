// `oneday model`: look at a model's files, make one with random weights.

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/memory.h"
#include "base/status.h"
#include "cli/options.h"
#include "cli/sizes.h"
#include "flow/model_files.h"

static int run_inspect(struct od_cli *cli, int argc, char **argv)
{
    bool tensors = false;
    struct od_option options[] = {
        OD_OPTION_FLAG_OF(0, "tensors", &tensors, "list every tensor"),
    };
    const struct od_command_spec spec = {
        .name = "model inspect",
        .arguments = "MODEL [--tensors]",
        .summary = "what a model folder holds, and whether it can be used",
        .details = "Checks the config, the tokenizer, and that weights and config fit together.",
        .options = options,
        .option_count = OD_COUNT_OF(options),
        .min_args = 1,
        .max_args = 1};
    struct od_args args;
    struct od_error err = {0};
    struct od_buf out;
    int exit_code = 0;
    if (!od_command_parse(cli, &spec, argc, argv, &args, &exit_code)) {
        return exit_code;
    }
    od_buf_init(&out, (size_t)256 << 20);
    const enum od_status status = od_model_inspect(args.values[0], tensors, cli->json, &out, &err);
    (void)fputs(od_buf_text(&out), stdout);
    od_buf_release(&out);
    return status == OD_OK ? 0 : od_command_fail(&spec, status, &err);
}

static int run_init(struct od_cli *cli, int argc, char **argv)
{
    const char *output = NULL;
    const char *tokenizer = NULL;
    int64_t seed = 42;
    struct od_option options[] = {
        OD_OPTION_TEXT_OF('o', "output", "FOLDER", &output, "where the model goes", NULL),
        OD_OPTION_TEXT_OF(0, "tokenizer", "FOLDER", &tokenizer, "tokenizer to put beside it",
                          "bytes and three special tokens"),
        OD_OPTION_INT_OF(0, "seed", "N", &seed, "seed of the weights", "42"),
    };
    const struct od_command_spec spec = {
        .name = "model init",
        .arguments = "CONFIG -o FOLDER [--seed N]",
        .summary = "a model with random weights, to pre-train or to measure with",
        .options = options,
        .option_count = OD_COUNT_OF(options),
        .min_args = 1,
        .max_args = 1};
    struct od_args args;
    struct od_cli_device device = {0};
    struct od_error err = {0};
    int exit_code = 0;
    enum od_status status = OD_OK;
    if (!od_command_parse(cli, &spec, argc, argv, &args, &exit_code)) {
        return exit_code;
    }
    if (!output || seed < 0) {
        status = od_fail(&err, OD_E_ARGUMENT,
                         "say where the model goes with -o FOLDER, and give a seed of 0 or more");
    } else {
        status = od_cli_device(cli, &device, &err);
    }
    if (status == OD_OK) {
        const struct od_model_init init = {.config = args.values[0],
                                           .tokenizer = tokenizer,
                                           .output = output,
                                           .seed = (uint64_t)seed,
                                           .threads = (int)cli->threads,
                                           .on_gpu = device.on_gpu,
                                           .gpu_optional = device.optional,
                                           .gpu = device.gpu};
        status = od_model_make(&init, &err);
    }
    return status == OD_OK ? 0 : od_command_fail(&spec, status, &err);
}

int od_cmd_model(struct od_cli *cli, int argc, char **argv)
{
    static const struct od_command commands[] = {
        {"init", "a model with random weights", run_init},
        {"inspect", "what a model folder holds", run_inspect},
    };
    static const struct od_command_group group = {.name = "model",
                                                  .summary = "look at models, make new ones",
                                                  .commands = commands,
                                                  .count = OD_COUNT_OF(commands)};
    return od_commands_run(cli, &group, argc, argv);
}
