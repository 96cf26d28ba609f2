/**
 * @file
 * Run the oneday program as a person does, and look at what it printed.
 * @thread One owner.
 */
#ifndef OD_TESTS_CLI_PROGRAM_H
#define OD_TESTS_CLI_PROGRAM_H

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/memory.h"
#include "support.h"

enum { PROGRAM_ARGS_MAX = 16, PROGRAM_OUTPUT_MAX_BYTES = 1 << 24 };

/** What a run of the program left behind. Release with program_release. */
struct program {
    int exit_code;  ///< -1: ended by a signal
    char *out;
    char *err;
};

/** The file that the next runs read as their standard input. */
static const char *program_input = "/dev/null";

/** Run in the child: never returns. */
static void program_exec(const char *const *args, const char *out, const char *err)
{
    const char *argv[PROGRAM_ARGS_MAX + 2] = {test_binary()};
    for (int i = 0; i < PROGRAM_ARGS_MAX && args[i]; i++) {
        argv[i + 1] = args[i];
    }
    const int in = open(program_input, O_RDONLY);
    const int out_file = open(out, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    const int err_file = open(err, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (in < 0 || out_file < 0 || err_file < 0 || dup2(in, 0) < 0 || dup2(out_file, 1) < 0 ||
        dup2(err_file, 2) < 0) {
        _exit(126);
    }
    union {
        const char **in;
        char **out;
    } arguments = {.in = argv};  // execv takes them without const and leaves them alone
    (void)execv(argv[0], arguments.out);
    _exit(127);
}

/** Run with its standard output in `out_path` ("/dev/full"), or NULL: caught. */
static struct program program_run_to(const char *out_path, const char *const *args)
{
    struct program result = {.exit_code = -1};
    struct od_error err = {0};
    size_t size = 0;
    int state = 0;
    char out[OD_PATH_MAX_BYTES];
    char errors[OD_PATH_MAX_BYTES];
    static const char *folder;  // one for all runs: each overwrites the last
    if (!folder) {
        folder = test_folder();
    }
    (void)snprintf(out, sizeof out, "%.4000s/out", folder);
    (void)snprintf(errors, sizeof errors, "%.4000s/err", folder);
    (void)fflush(NULL);
    const pid_t child = fork();
    if (child == 0) {
        program_exec(args, out_path ? out_path : out, errors);
    }
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &state, 0), child);
    if (WIFEXITED(state)) {
        result.exit_code = WEXITSTATUS(state);
    }
    assert_true(result.exit_code != 126 && result.exit_code != 127);
    if (!out_path) {
        assert_ok(od_file_read(out, PROGRAM_OUTPUT_MAX_BYTES, &result.out, &size, &err), &err);
    }
    assert_ok(od_file_read(errors, PROGRAM_OUTPUT_MAX_BYTES, &result.err, &size, &err), &err);
    return result;
}

static void program_release(struct program *program)
{
    od_free(program->out);
    od_free(program->err);
    *program = (struct program){.exit_code = -1};
}

#define program_run(...) program_run_to(NULL, (const char *const[]){__VA_ARGS__, NULL})

/** Number of lines of a text whose last line ends in a newline, too. */
static int program_lines(const char *text)
{
    int count = 0;
    for (const char *at = text; *at; at++) {
        count += *at == '\n' ? 1 : 0;
    }
    return count;
}

/** A refused command line: exit code 2, nothing on stdout, one line on stderr that has `words`. */
static void program_assert_usage(struct program program, const char *words)
{
    assert_int_equal(program.exit_code, 2);
    assert_string_equal(program.out, "");
    assert_int_equal(program_lines(program.err), 1);
    if (!strstr(program.err, words)) {
        fail_msg("'%s' is not in: %s", words, program.err);
    }
    program_release(&program);
}

#endif
