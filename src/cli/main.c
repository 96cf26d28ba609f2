#include <curl/curl.h>
#include <errno.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "cli/options.h"

enum { HELP_WORDS_MAX = 8 };

// One line per command, by name; its file is cmd_NAME.c and its name stands in meson.build.
static const struct od_command commands[] = {
    {"bench", "speed beside the machine's own ceiling", od_cmd_bench},
    {"chat", "talk to a model in the terminal", od_cmd_chat},
    {"check", "does a model server keep the challenge's API?", od_cmd_check},
    {"data", "look at data before anything is trained on it", od_cmd_data},
    {"demo", "the whole loop in about three minutes, on the CPU", od_cmd_demo},
    {"doctor", "what this machine has, and what is missing", od_cmd_doctor},
    {"eval", "evaluate a model as HELM does", od_cmd_eval},
    {"model", "look at models, make new ones", od_cmd_model},
    {"plan", "memory and time of a recipe before anything runs", od_cmd_plan},
    {"reproduce", "a run once more: does every logged number come out again?", od_cmd_reproduce},
    {"score", "rank suites or a table of metrics", od_cmd_score},
    {"serve", "a model behind an HTTP API: the challenge's and OpenAI's", od_cmd_serve},
    {"tokenize", "text to token ids and back", od_cmd_tokenize},
    {"tune", "fine-tune or pre-train a model as a recipe says", od_cmd_tune},
    {"watch", "the live page of a run that goes on", od_cmd_watch},
};

static const struct od_command_group program = {
    .name = NULL,
    .summary = "one LLM, one machine, one day: fine-tune, serve, evaluate and rank a model",
    .details =
        "Exit codes: 0 done, 1 failed while running, 2 wrong usage or unreadable input,\n"
        "3 refused.",
    .commands = commands,
    .count = OD_COUNT_OF(commands),
};

/** `oneday help tune` is `oneday tune --help`. */
static int run_help(struct od_cli *cli, int argc, char **argv)
{
    char option[] = "--help";
    char *words[HELP_WORDS_MAX + 3] = {argv[0]};
    int count = 1;
    for (int i = 1; i < argc && i <= HELP_WORDS_MAX; i++) {
        words[count++] = argv[i];
    }
    words[count++] = option;
    return od_commands_run(cli, &program, count, words);
}

static int run(struct od_cli *cli, int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--version") == 0) {
        (void)printf("oneday %s\n", ONEDAY_VERSION);
        return 0;
    }
    if (argc > 1 && strcmp(argv[1], "help") == 0) {
        return run_help(cli, argc - 1, argv + 1);
    }
    return od_commands_run(cli, &program, argc, argv);
}

/** A result that did not reach its reader is a failure; a reader that left wants no message. */
static int finish_output(int exit_code)
{
    if (fflush(stdout) == 0 && !ferror(stdout)) {
        return exit_code;
    }
    if (errno != EPIPE) {
        (void)fprintf(stderr, "oneday: cannot write to standard output: %s\n", strerror(errno));
    }
    return exit_code != 0 ? exit_code : 1;
}

int main(int argc, char **argv)
{
    struct od_cli cli = OD_CLI_INIT;
    const char *no_vector = getenv("ONEDAY_NO_AVX2");
    cli.no_vector = no_vector && strcmp(no_vector, "1") == 0;
    od_log_init(stderr, OD_LOG_INFO);
    if (signal(SIGPIPE, SIG_IGN) == SIG_ERR) {
        (void)fprintf(stderr, "oneday: cannot ignore SIGPIPE: %s\n", strerror(errno));
        return 1;
    }
    json_object_seed(0);
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        (void)fputs("oneday: cannot set up libcurl\n", stderr);
        return 1;
    }
    const int exit_code = finish_output(run(&cli, argc, argv));
    curl_global_cleanup();
    return exit_code;
}
