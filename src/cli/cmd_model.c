// `oneday model`: look at a model's files, make one with random weights, write it in another form.

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "cli/options.h"
#include "cli/sizes.h"
#include "flow/convert.h"
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
        .summary = "what a model folder or a GGUF file holds, and whether it can be used",
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

static int run_convert(struct od_cli *cli, int argc, char **argv)
{
    const char *form = "gguf";
    struct od_convert_options convert = {0};
    struct od_option options[] = {
        OD_OPTION_TEXT_OF('o', "output", "FILE", &convert.output, "file to write, ending in .gguf",
                          NULL),
        OD_OPTION_TEXT_OF(0, "to", "FORM", &form, "what to make: gguf", "gguf"),
        OD_OPTION_TEXT_OF(0, "type", "TYPE", &convert.type, "f32, f16, bf16 or q8_0",
                          "f16; f32 for an adapter"),
        OD_OPTION_TEXT_OF(0, "adapter", "FOLDER", &convert.adapter,
                          "write this adapter of the model", NULL),
        OD_OPTION_TEXT_OF(0, "base", "MODEL", &convert.base,
                          "base model in place of the one that the adapter names", NULL),
        OD_OPTION_FLAG_OF(0, "no-check", &convert.no_check,
                          "do not open the file again to compare logits"),
    };
    const struct od_command_spec spec = {
        .name = "model convert",
        .arguments = "MODEL|RUN|ADAPTER -o FILE.gguf [--type TYPE]",
        .summary = "a model or an adapter as a GGUF file",
        .details =
            "A model folder, and a run with all weights, become a model with its tokenizer and "
            "chat template; an adapter, and a run with an adapter, become an adapter file. To have "
            "both in one file, merge them first with oneday model merge.\n\n"
            "Norms stay f32. A matrix whose rows are no multiple of 32 stays f16 with q8_0.\n\n"
            "The file is opened again and compared with what it was made from: logits on eight "
            "prompts.\n\n"
            "    oneday model convert runs/mine -o mine-adapter.gguf\n"
            "    oneday model convert llama/ --type q8_0 -o llama.gguf",
        .options = options,
        .option_count = OD_COUNT_OF(options),
        .min_args = 1,
        .max_args = 1};
    struct od_args args;
    struct od_error err = {0};
    struct od_buf out;
    int exit_code = 0;
    enum od_status status = OD_OK;
    if (!od_command_parse(cli, &spec, argc, argv, &args, &exit_code)) {
        return exit_code;
    }
    convert.threads = (int)cli->threads;
    convert.json = cli->json;
    od_buf_init(&out, (size_t)1 << 20);
    if (!convert.output || strcmp(form, "gguf") != 0) {
        status = od_fail(&err, OD_E_ARGUMENT,
                         "say where the file goes with -o FILE.gguf; the only form is gguf");
    } else {
        status = od_convert_gguf(args.values[0], &convert, &out, &err);
    }
    (void)fputs(od_buf_text(&out), stdout);
    od_buf_release(&out);
    return status == OD_OK ? 0 : od_command_fail(&spec, status, &err);
}

static int run_merge(struct od_cli *cli, int argc, char **argv)
{
    struct od_convert_options convert = {0};
    struct od_option options[] = {
        OD_OPTION_TEXT_OF('o', "output", "FOLDER", &convert.output, "where the model goes", NULL),
        OD_OPTION_TEXT_OF(0, "base", "MODEL", &convert.base,
                          "base model in place of the one that the adapter names", NULL),
        OD_OPTION_TEXT_OF(0, "adapter", "FOLDER", &convert.adapter, "adapter of a model", NULL),
        OD_OPTION_TEXT_OF(0, "merge-base", "WHICH", &convert.merge_base,
                          "what the adapter is added to: w16, dequant, dequant8, dequant-fp8",
                          "w16"),
        OD_OPTION_TEXT_OF(0, "type", "TYPE", &convert.type, "f32, f16 or bf16", "bf16"),
        OD_OPTION_FLAG_OF(0, "no-check", &convert.no_check,
                          "do not open the model again to compare logits"),
    };
    const struct od_command_spec spec = {
        .name = "model merge",
        .arguments = "RUN|ADAPTER -o FOLDER [--base MODEL] [--merge-base WHICH]",
        .summary = "an adapter merged into its base model",
        .details =
            "Writes a model folder: weights with the adapter added in double and rounded "
            "once to the type, the base's config, the tokenizer. It is opened again and compared "
            "with base and adapter: logits on eight prompts.\n\n"
            "An adapter that was trained on a quantised base can be merged into the base's own "
            "weights (w16), or into what the training computed with: 4 bits (dequant), 8-bit "
            "integers (dequant8) or floats (dequant-fp8), decoded. The comparison is with the base's "
            "own weights, so it then shows what quantising changes.",
        .options = options,
        .option_count = OD_COUNT_OF(options),
        .min_args = 1,
        .max_args = 1};
    struct od_args args;
    struct od_error err = {0};
    struct od_buf out;
    int exit_code = 0;
    enum od_status status = OD_OK;
    if (!od_command_parse(cli, &spec, argc, argv, &args, &exit_code)) {
        return exit_code;
    }
    convert.threads = (int)cli->threads;
    convert.json = cli->json;
    od_buf_init(&out, (size_t)1 << 20);
    if (!convert.output) {
        status = od_fail(&err, OD_E_ARGUMENT, "say where the model goes with -o FOLDER");
    } else {
        status = od_convert_merge(args.values[0], &convert, &out, &err);
    }
    (void)fputs(od_buf_text(&out), stdout);
    od_buf_release(&out);
    return status == OD_OK ? 0 : od_command_fail(&spec, status, &err);
}

int od_cmd_model(struct od_cli *cli, int argc, char **argv)
{
    static const struct od_command commands[] = {
        {"convert", "a model or an adapter as a GGUF file", run_convert},
        {"init", "a model with random weights", run_init},
        {"inspect", "what a model folder or a GGUF file holds", run_inspect},
        {"merge", "an adapter merged into its base model", run_merge},
    };
    static const struct od_command_group group = {.name = "model",
                                                  .summary = "look at models, make new ones",
                                                  .commands = commands,
                                                  .count = OD_COUNT_OF(commands)};
    return od_commands_run(cli, &group, argc, argv);
}
