// Goal: one table gives parsing, --help and the man page, and they agree.
// Method: a command with every kind of option is parsed with many command lines; what is printed is
// caught in a file.

#include "cli/options.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "support.h"

enum { WORDS_MAX = 16, TEXT_BYTES = 256, OUTPUT_MAX_BYTES = 1 << 16 };

/** What a command line set. */
struct parsed {
    struct od_cli cli;
    bool resume;
    const char *output;
    int64_t steps;
    double rate;
    bool go_on;
    int exit_code;
    int count;
    char words[WORDS_MAX][TEXT_BYTES];  ///< positional arguments
    char *printed;                      ///< stdout and stderr; od_free
};

/** Parse `line` (words divided by blanks) as a command. */
static struct parsed parse(const char *line)
{
    static char text[OD_PATH_MAX_BYTES];
    struct parsed result = {.cli = OD_CLI_INIT, .output = "runs/x", .exit_code = -1};
    struct od_option options[] = {
        OD_OPTION_TEXT_OF('o', "output", "RUN", &result.output, "run directory", "runs/x"),
        OD_OPTION_FLAG_OF(0, "resume", &result.resume, "go on from the newest checkpoint"),
        OD_OPTION_INT_OF('n', "max_steps", "N", &result.steps, "stop after so many", NULL),
        OD_OPTION_NUMBER_OF(0, "rate", "R", &result.rate, "learning rate, 1e-4 or so", "1e-4"),
    };
    const struct od_command_spec spec = {
        .name = "tune",
        .arguments = "RECIPE [-o RUN]",
        .summary = "fine-tune a model",
        .details = "First *paragraph* with_markup.\n\n    oneday tune a_b.yaml\n\nLast one.",
        .options = options,
        .option_count = OD_COUNT_OF(options),
        .min_args = 1,
        .max_args = 2,
    };
    char *argv[WORDS_MAX];
    char word0[] = "tune";
    int argc = 1;
    struct od_args args = {0};
    struct od_error err = {0};
    size_t size = 0;
    argv[0] = word0;
    (void)snprintf(text, sizeof text, "%s", line);
    for (char *at = text; *at && argc < WORDS_MAX;) {
        argv[argc++] = at;
        at += strcspn(at, " ");
        if (*at) {
            *at++ = '\0';
        }
    }

    static const char *folder;  // one for all runs: each overwrites the last
    if (!folder) {
        folder = test_folder();
    }
    char path[OD_PATH_MAX_BYTES];
    (void)snprintf(path, sizeof path, "%.4000s/printed", folder);
    (void)fflush(NULL);
    const int old_out = dup(1);
    const int old_err = dup(2);
    const int file = open(path, O_RDWR | O_CREAT | O_TRUNC | O_APPEND, 0600);
    assert_true(old_out >= 0 && old_err >= 0 && file >= 0);
    assert_true(dup2(file, 1) == 1 && dup2(file, 2) == 2);
    result.go_on = od_command_parse(&result.cli, &spec, argc, argv, &args, &result.exit_code);
    (void)fflush(NULL);
    assert_true(dup2(old_out, 1) == 1 && dup2(old_err, 2) == 2);
    (void)close(file);
    (void)close(old_out);
    (void)close(old_err);
    assert_ok(od_file_read(path, OUTPUT_MAX_BYTES, &result.printed, &size, &err), &err);
    result.count = args.count;
    for (int i = 0; i < args.count; i++) {
        (void)snprintf(result.words[i], TEXT_BYTES, "%s", args.values[i]);
    }
    return result;
}

/** The line is refused with a message that has `words`. */
static void refused(const char *line, const char *words)
{
    struct parsed p = parse(line);
    assert_false(p.go_on);
    assert_int_equal(p.exit_code, 2);
    if (!strstr(p.printed, words)) {
        fail_msg("tune %s: '%s' is not in: %s", line, words, p.printed);
    }
    assert_ptr_equal(strchr(p.printed, '\n'), p.printed + strlen(p.printed) - 1);
    od_free(p.printed);
}

static void values_of_every_kind(void **state)
{
    (void)state;
    const char *const lines[] = {
        "--output a -n 7 --rate 0.5 --resume r.yaml",
        "r.yaml --output=a --max_steps=7 --rate=0.5 --resume",
        "-oa -n7 r.yaml --rate 5e-1 --resume",
        "--output b -o a --max_steps 1 -n 7 --resume --rate 0.5 -- r.yaml",
    };
    for (size_t i = 0; i < OD_COUNT_OF(lines); i++) {
        struct parsed p = parse(lines[i]);
        assert_true(p.go_on);
        assert_string_equal(p.printed, "");
        assert_string_equal(p.output, "a");
        assert_int_equal(p.steps, 7);
        assert_true(p.rate == 0.5);
        assert_true(p.resume);
        assert_int_equal(p.count, 1);
        assert_string_equal(p.words[0], "r.yaml");
        od_free(p.printed);
    }
}

static void defaults_stay(void **state)
{
    (void)state;
    struct parsed p = parse("r.yaml");
    assert_true(p.go_on);
    assert_string_equal(p.output, "runs/x");
    assert_string_equal(p.cli.device, "auto");
    assert_int_equal(p.cli.threads, 0);
    assert_false(p.resume || p.cli.json || p.cli.quiet || p.cli.verbose);
    od_free(p.printed);
}

static void shared_options(void **state)
{
    (void)state;
    struct parsed p = parse("-qv --json --device cpu --threads 3 a - --");
    assert_true(p.go_on);
    assert_true(p.cli.quiet && p.cli.verbose && p.cli.json);
    assert_string_equal(p.cli.device, "cpu");
    assert_int_equal(p.cli.threads, 3);
    assert_int_equal(p.count, 2);
    assert_string_equal(p.words[1], "-");
    od_free(p.printed);
    p = parse("-- --json -x");
    assert_int_equal(p.count, 2);
    assert_string_equal(p.words[0], "--json");
    assert_false(p.cli.json);
    od_free(p.printed);
}

static void wrong_lines_are_refused(void **state)
{
    (void)state;
    refused("", "an argument is missing; usage: oneday tune RECIPE [-o RUN]");
    refused("a b c", "unexpected argument 'c'");
    refused("a --outptu b", "unknown option '--outptu', the nearest is '--output'");
    refused("a --qqqqqqqqqqqqqqqqqqqq", "see 'oneday tune --help'");
    refused("a -z", "unknown option '-z'");
    refused("a -o", "option '--output' needs a value: --output RUN");
    refused("a --resume=yes", "option '--resume' takes no value");
    refused("a -n 1.5", "option '--max_steps' takes a whole number, not '1.5'");
    refused("a -n 99999999999999999999", "takes a whole number");
    refused("a --rate fast", "option '--rate' takes a number, not 'fast'");
    refused("a --threads 257", "option '--threads' takes 0 to 256, not 257");
    refused("a --device cuda:", "unknown device 'cuda:'");
    refused("a --device cuda:1x", "unknown device 'cuda:1x'");
    refused("a --device cudax", "unknown device 'cudax'");
}

static void help_has_every_option(void **state)
{
    (void)state;
    const char *const wanted[] = {
        "usage: oneday tune RECIPE [-o RUN]\n",
        "\nfine-tune a model\n",
        "First *paragraph* with_markup.",
        "  -o, --output RUN          run directory (default: runs/x)\n",
        "      --resume              go on from the newest checkpoint\n",
        "  -n, --max_steps N         stop after so many\n",
        "      --rate R              learning rate, 1e-4 or so (default: 1e-4)\n",
        "  -h, --help ",
        "      --json ",
        "      --device DEVICE ",
        "      --threads N ",
        "  -q, --quiet ",
        "  -v, --verbose ",
    };
    const char *const lines[] = {"--help", "-h", "a b c -h", "--device cuda -h"};
    for (size_t i = 0; i < OD_COUNT_OF(lines); i++) {
        struct parsed p = parse(lines[i]);
        assert_false(p.go_on);
        assert_int_equal(p.exit_code, 0);
        for (size_t j = 0; j < OD_COUNT_OF(wanted); j++) {
            if (!strstr(p.printed, wanted[j])) {
                fail_msg("not in --help: '%s'\n%s", wanted[j], p.printed);
            }
        }
        od_free(p.printed);
    }
}

static void man_source_escapes_markup(void **state)
{
    (void)state;
    const char *const wanted[] = {
        "oneday-tune(1)\n\n# NAME\n\noneday-tune - fine\\-tune a model\n",
        "*oneday tune* RECIPE \\[\\-o RUN\\]\n",
        "First \\*paragraph\\* with\\_markup\\.\n",
        "```\noneday tune a_b.yaml\n",
        "```\n\nLast one\\.\n",
        "*-o*, *--output* RUN\n\trun directory (default: runs/x)\n",
        "*-n*, *--max\\_steps* N\n",
        "*--json*\n",
        "# EXIT STATUS\n",
    };
    struct parsed p = parse("--help-man");
    assert_false(p.go_on);
    assert_int_equal(p.exit_code, 0);
    for (size_t j = 0; j < OD_COUNT_OF(wanted); j++) {
        if (!strstr(p.printed, wanted[j])) {
            fail_msg("not in --help-man: '%s'\n%s", wanted[j], p.printed);
        }
    }
    od_free(p.printed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_of_every_kind),  cmocka_unit_test(defaults_stay),
        cmocka_unit_test(shared_options),        cmocka_unit_test(wrong_lines_are_refused),
        cmocka_unit_test(help_has_every_option), cmocka_unit_test(man_source_escapes_markup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
