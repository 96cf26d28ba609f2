// `oneday data`: look at data before anything is trained on it.

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/status.h"
#include "cli/options.h"
#include "flow/data_look.h"

#define OUTPUT_MAX_BYTES ((size_t)1 << 30)

static const char details[] =
    "Files end in .jsonl, .json, .csv, .tsv or .txt; .gz, .zst or .xz behind it is fine. A file that\n"
    "ends in .yaml or .yml is a recipe: its data files are shown as it reads them, with the tokenizer\n"
    "and the chat template of its model.";

/** Options that both commands have. */
#define LOOK_OPTIONS(look)                                                                         \
    OD_OPTION_TEXT_OF(                                                                             \
        0, "type", "NAME", &(look).type,                                                           \
        "what the rows are: input-output, alpaca, alpaca_chat, chat_template, oasst, "             \
        "completion",                                                                              \
        "seen in the first row"),                                                                  \
        OD_OPTION_TEXT_OF(0, "tokenizer", "MODEL", &(look).tokenizer,                              \
                          "model folder whose tokenizer and chat template are used", NULL),        \
        OD_OPTION_TEXT_OF(                                                                         \
            0, "chat-template", "NAME", &(look).chat_template,                                     \
            "chatml, llama2, llama3, mistral, zephyr, vicuna, alpaca, or Jinja text",              \
            "the model's own"),                                                                    \
        OD_OPTION_TEXT_OF(0, "columns", "NAMES", &(look).columns,                                  \
                          "names of the columns of a table whose first row is data: a,b,c", NULL), \
        OD_OPTION_INT_OF(0, "sequence-len", "N", &(look).sequence_len,                             \
                         "longest document in tokens", "2048")

static int finish(const struct od_command_spec *spec, struct od_look *look, struct od_buf *out,
                  enum od_status status, const struct od_error *err)
{
    if (status == OD_OK) {
        (void)fputs(od_buf_text(out), stdout);
    }
    od_buf_release(out);
    od_look_close(look);
    return status == OD_OK ? 0 : od_command_fail(spec, status, err);
}

static int run_inspect(struct od_cli *cli, int argc, char **argv)
{
    struct od_look_options options = {.sequence_len = 2048};
    struct od_option table[] = {LOOK_OPTIONS(options)};
    const struct od_command_spec spec = {
        .name = "data inspect",
        .arguments = "FILE...|RECIPE [--tokenizer MODEL]",
        .summary = "rows, members, rows without an answer, duplicates, lengths in tokens",
        .details = details,
        .options = table,
        .option_count = OD_COUNT_OF(table),
        .min_args = 1,
        .max_args = -1};
    struct od_args args;
    struct od_error err = {0};
    struct od_look look = {0};
    struct od_buf out;
    int exit_code = 0;
    if (!od_command_parse(cli, &spec, argc, argv, &args, &exit_code)) {
        return exit_code;
    }
    od_buf_init(&out, OUTPUT_MAX_BYTES);
    enum od_status status =
        od_look_open((const char *const *)args.values, (size_t)args.count, &options, &look, &err);
    if (status == OD_OK) {
        status = od_look_inspect(&look, cli->json, &out, &err);
    }
    return finish(&spec, &look, &out, status, &err);
}

static int run_preview(struct od_cli *cli, int argc, char **argv)
{
    struct od_look_options options = {.sequence_len = 2048};
    int64_t row = 0;
    int64_t file = 0;
    struct od_option table[] = {
        OD_OPTION_INT_OF(0, "row", "N", &row, "which row, from 0", "0"),
        OD_OPTION_INT_OF(0, "file", "N", &file, "which data file of the recipe, from 0", "0"),
        LOOK_OPTIONS(options)};
    const struct od_command_spec spec = {
        .name = "data preview",
        .arguments = "RECIPE|FILE [--row N] [--tokenizer MODEL]",
        .summary = "ids, texts and what is learned of one row, beside the ids that are served",
        .details = details,
        .options = table,
        .option_count = OD_COUNT_OF(table),
        .min_args = 1,
        .max_args = 1};
    struct od_args args;
    struct od_error err = {0};
    struct od_look look = {0};
    struct od_buf out;
    int exit_code = 0;
    if (!od_command_parse(cli, &spec, argc, argv, &args, &exit_code)) {
        return exit_code;
    }
    od_buf_init(&out, OUTPUT_MAX_BYTES);
    enum od_status status =
        od_look_open((const char *const *)args.values, 1, &options, &look, &err);
    if (status == OD_OK) {
        status =
            od_look_preview(&look, file, row, cli->json, isatty(STDOUT_FILENO) != 0, &out, &err);
    }
    return finish(&spec, &look, &out, status, &err);
}

int od_cmd_data(struct od_cli *cli, int argc, char **argv)
{
    static const struct od_command commands[] = {
        {"inspect", "what data files hold", run_inspect},
        {"preview", "what becomes of a row", run_preview},
    };
    static const struct od_command_group group = {.name = "data",
                                                  .summary = "look at data files",
                                                  .commands = commands,
                                                  .count = OD_COUNT_OF(commands)};
    return od_commands_run(cli, &group, argc, argv);
}
