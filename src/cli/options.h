/**
 * @file
 * Command lines from tables: one table per subcommand gives parsing, --help and the man page.
 *
 *     struct od_option options[] = {
 *         OD_OPTION_TEXT_OF('o', "output", "RUN", &run, "run directory", "runs/NAME"),
 *         OD_OPTION_FLAG_OF(0, "resume", &resume, "go on from the newest checkpoint"),
 *     };
 *     const struct od_command_spec spec = {
 *         .name = "tune", .arguments = "RECIPE [-o RUN] [--resume]", .summary = "fine-tune a model",
 *         .options = options, .option_count = OD_COUNT_OF(options), .min_args = 1, .max_args = 1};
 *     int exit_code = 0;
 *     if (!od_command_parse(cli, &spec, argc, argv, &args, &exit_code)) {
 *         return exit_code;
 *     }
 *
 * The options that every command has (--help, --json, --device, --threads, -q, -v) are added by
 * od_command_parse and land in `struct od_cli`. An unknown option names the nearest. Options may
 * stand anywhere; `--` ends them. A value follows as `--name VALUE`, `--name=VALUE`, `-n VALUE` or
 * `-nVALUE`; the last one given counts.
 *
 * A command with subcommands ("model inspect") is a table of struct od_command and a call of
 * od_commands_run; each subcommand is then written as above.
 *
 * @thread One owner: the main thread.
 */
#ifndef OD_CLI_OPTIONS_H
#define OD_CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/status.h"

#define OD_COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/** Most options that a command may have, the shared ones included. */
enum { OD_OPTIONS_MAX = 64 };

enum od_option_kind {
    OD_OPTION_FLAG,   ///< bool *
    OD_OPTION_TEXT,   ///< const char **
    OD_OPTION_INT,    ///< int64_t *
    OD_OPTION_NUMBER  ///< double *
};

/** Where an option's value goes; `kind` says which member counts. */
union od_option_target {
    bool *flag;
    const char **text;
    int64_t *integer;
    double *number;
};

/** One row of an option table; written with the macros below. */
struct od_option {
    const char *name;               ///< without --
    const char *value_name;         ///< "FILE"; NULL for a flag
    union od_option_target target;  ///< written when the option is given
    const char *help;               ///< lower case, no full stop
    const char *default_text;       ///< shown in help; NULL: none
    enum od_option_kind kind;
    char letter;  ///< 0: none
};
#define OD_OPTION_FLAG_OF(letter, name, to, help) \
    {(name), NULL, {.flag = (to)}, (help), NULL, OD_OPTION_FLAG, (letter)}
#define OD_OPTION_TEXT_OF(letter, name, value, to, help, shown) \
    {(name), (value), {.text = (to)}, (help), (shown), OD_OPTION_TEXT, (letter)}
#define OD_OPTION_INT_OF(letter, name, value, to, help, shown) \
    {(name), (value), {.integer = (to)}, (help), (shown), OD_OPTION_INT, (letter)}
#define OD_OPTION_NUMBER_OF(letter, name, value, to, help, shown) \
    {(name), (value), {.number = (to)}, (help), (shown), OD_OPTION_NUMBER, (letter)}

/** What a subcommand's command line looks like. */
struct od_command_spec {
    const char *name;       ///< "tune", "model inspect"
    const char *arguments;  ///< "RECIPE [-o RUN] [--resume]"
    const char *summary;    ///< one line
    /** Paragraphs for --help and the man page, an empty line between them; lines that start with
     *  four blanks are shown as they are (examples). NULL: none. */
    const char *details;
    struct od_option *options;
    size_t option_count;
    int min_args;
    int max_args;  ///< -1: any number
};

/** Settings that hold for every command. */
struct od_cli {
    bool json;           ///< one JSON document on stdout
    const char *device;  ///< auto, cpu, cuda, cuda:N
    int64_t threads;     ///< 0: all processors
    bool quiet;
    bool verbose;
    bool no_vector;  ///< ONEDAY_NO_AVX2=1 in the environment
};

/** Positional arguments. */
struct od_args {
    int count;
    char **values;  ///< borrowed from argv
};

/** The settings before anything was parsed. */
#define OD_CLI_INIT {.device = "auto"}

/**
 * Parse, and turn the log on at the level that -q and -v ask for. True: go on. False: leave with
 * *ret_exit_code (0 after --help, 2 after a wrong command line, whose message is printed in one
 * line). Positional arguments are moved to the front of argv.
 * @memory *ret_args and texts borrow from argv.
 */
bool od_command_parse(struct od_cli *cli, const struct od_command_spec *spec, int argc, char **argv,
                      struct od_args *ret_args, int *ret_exit_code) OD_MUST_CHECK;

/** Print "oneday NAME: message" on stderr and give the exit code of `status`. */
int od_command_fail(const struct od_command_spec *spec, enum od_status status,
                    const struct od_error *err);

/** A subcommand: its first word, and what runs it with argv[0] = that word. */
struct od_command {
    const char *name;
    const char *summary;
    int (*run)(struct od_cli *cli, int argc, char **argv);
};

/** Commands under one name: the program itself, or "model" with "inspect" and others. */
struct od_command_group {
    const char *name;     ///< "model"; NULL: the program itself
    const char *summary;  ///< one line
    const char *details;  ///< as in struct od_command_spec
    const struct od_command *commands;
    size_t count;
};

/**
 * Run the command that argv[1] names, or answer --help; an unknown name gets a line that names the
 * nearest. Gives the exit code.
 */
int od_commands_run(struct od_cli *cli, const struct od_command_group *group, int argc,
                    char **argv);

/**
 * Words in lines of at most 79 columns, where a word allows it. All but the first line start with
 * `indent` blanks; in the first one `column` columns are taken. Gives the column behind the last word.
 */
size_t od_words_print(FILE *to, const char *text, size_t size, size_t indent, size_t column);

// The subcommands, one per file cmd_NAME.c.
int od_cmd_bench(struct od_cli *cli, int argc, char **argv);
int od_cmd_chat(struct od_cli *cli, int argc, char **argv);
int od_cmd_check(struct od_cli *cli, int argc, char **argv);
int od_cmd_data(struct od_cli *cli, int argc, char **argv);
int od_cmd_demo(struct od_cli *cli, int argc, char **argv);
int od_cmd_doctor(struct od_cli *cli, int argc, char **argv);
int od_cmd_eval(struct od_cli *cli, int argc, char **argv);
int od_cmd_model(struct od_cli *cli, int argc, char **argv);
int od_cmd_plan(struct od_cli *cli, int argc, char **argv);
int od_cmd_reproduce(struct od_cli *cli, int argc, char **argv);
int od_cmd_score(struct od_cli *cli, int argc, char **argv);
int od_cmd_serve(struct od_cli *cli, int argc, char **argv);
int od_cmd_tokenize(struct od_cli *cli, int argc, char **argv);
int od_cmd_tune(struct od_cli *cli, int argc, char **argv);
int od_cmd_watch(struct od_cli *cli, int argc, char **argv);

#endif
