// Goal: `oneday serve` says where it listens, serves a real model, ends in order on SIGTERM, and
//       refuses what cannot work with one line and the right exit code.
// Method: the program in a child, its standard error through a pipe; requests over a socket.

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "cli/program.h"
#include "net/wire.h"
#include "support.h"

/** A server in a child. */
struct child {
    pid_t pid;
    FILE *err;  ///< its standard error
    int port;
};

/** Start `oneday serve MODEL --port 0 --port-file FILE --adapters LIST` and wait for the line that it
 *  listens. */
static struct child serve(const char *model, const char *port_file, const char *adapters)
{
    int ends[2];
    char line[256] = "";
    struct child child = {0};
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    (void)fflush(NULL);
    child.pid = fork();
    if (child.pid == 0) {
        // A failed assertion must not leave it behind, nor hold on to the test's own output.
        const int nothing = open("/dev/null", O_WRONLY | O_CLOEXEC);
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && nothing >= 0 && dup2(nothing, 1) == 1 &&
            dup2(ends[1], 2) == 2) {
            (void)execl(test_binary(), test_binary(), "serve", model, "--port", "0", "--port-file",
                        port_file, "--threads", "1", "--adapters", adapters, "--stop",
                        "high.\\nLily", (char *)NULL);
        }
        _exit(127);
    }
    assert_true(child.pid > 0);
    (void)close(ends[1]);
    child.err = fdopen(ends[0], "r");
    assert_non_null(child.err);
    assert_non_null(fgets(line, sizeof line, child.err));
    static const char START[] = "listening on http://127.0.0.1:";
    if (strncmp(line, START, sizeof START - 1) != 0) {
        fail_msg("%s", line);
    }
    child.port = (int)strtol(line + sizeof START - 1, NULL, 10);
    return child;
}

/** Exit code of the child, -1 when a signal ended it. */
static int wait_for(struct child *child)
{
    int state = 0;
    assert_int_equal(waitpid(child->pid, &state, 0), child->pid);
    (void)fclose(child->err);
    return WIFEXITED(state) ? WEXITSTATUS(state) : -1;
}

/** The answer to a prompt by the adapter of that name, up to its time. Caller frees. */
static char *answer_of(struct wire *wire, const char *adapter)
{
    char body[256];
    (void)snprintf(body, sizeof body,
                   "{\"prompt\": \"Once upon a time\", \"temperature\": 0, \"max_new_tokens\": 20, "
                   "\"adapter\": %s}",
                   adapter);
    struct wire_answer answer = wire_ask(wire, "POST", "/process", body);
    assert_int_equal(answer.code, 200);
    const char *end = strstr(answer.body, ",\"request_time\"");
    assert_non_null(end);
    char *text = strndup(answer.body, (size_t)(end - answer.body));
    assert_non_null(text);
    wire_answer_release(&answer);
    return text;
}

/** An adapter as a folder and as a GGUF file, beside each other and the base. */
static void chooses_adapters(struct wire *wire)
{
    char *base = answer_of(wire, "null");
    char *folder = answer_of(wire, "\"folder\"");
    char *file = answer_of(wire, "\"file\"");
    assert_string_equal(folder, file);
    assert_string_not_equal(folder, base);
    free(file);
    free(folder);
    free(base);
}

static void serves_and_stops(void **state)
{
    (void)state;
    const char *model = test_shared("models/stories260K/hf");
    char port_file[OD_PATH_MAX_BYTES];
    char line[256] = "";
    char *text = NULL;
    size_t size = 0;
    struct od_error err = {0};
    assert_ok(od_path_join(port_file, test_folder(), "port", &err), &err);
    const char *folder = test_source("tests/golden/oracle/llama_cpp/adapter");
    char file[OD_PATH_MAX_BYTES];
    char adapters[2 * OD_PATH_MAX_BYTES + 32];
    assert_ok(od_path_join(file, test_folder(), "adapter.gguf", &err), &err);
    struct program made =
        program_run("model", "convert", model, "--adapter", folder, "-o", file, "--no-check");
    assert_int_equal(made.exit_code, 0);
    program_release(&made);
    (void)snprintf(adapters, sizeof adapters, "folder=%s,file=%s", folder, file);
    struct child child = serve(model, port_file, adapters);
    assert_ok(od_file_read(port_file, 100, &text, &size, &err), &err);
    assert_int_equal(strtol(text, NULL, 10), child.port);
    od_free(text);

    struct wire wire;
    assert_true(wire_open(&wire, child.port));
    struct wire_answer answer = wire_ask(&wire, "GET", "/health", NULL);
    assert_string_equal(answer.body, "{\"status\":\"ok\",\"model\":\"hf\",\"context_length\":512}");
    wire_answer_release(&answer);
    answer = wire_ask(&wire, "POST", "/process",
                      "{\"prompt\": \"Once upon a time\", \"temperature\": 1e-07, "
                      "\"max_new_tokens\": 40, \"stop_sequences\": [\".\", \" She\"]}");
    static const char TEXT[] = "{\"text\":\", there was a little girl named Lily\",\"tokens\":[";
    assert_int_equal(answer.code, 200);
    assert_memory_equal(answer.body, TEXT, sizeof TEXT - 1);
    wire_answer_release(&answer);
    // The server's own stop, for a request that has none.
    answer = wire_ask(&wire, "POST", "/process",
                      "{\"prompt\": \"Once upon a time\", \"temperature\": 1e-07, "
                      "\"max_new_tokens\": 100, \"stop_sequences\": []}");
    assert_int_equal(answer.code, 200);
    assert_non_null(strstr(answer.body, "but it was too \",\"tokens\":["));
    wire_answer_release(&answer);
    answer = wire_ask(&wire, "POST", "/process", "{\"prompt\": \"x\", \"max_new_tokens\": -1}");
    assert_int_equal(answer.code, 422);
    wire_answer_release(&answer);

    chooses_adapters(&wire);

    // The port is taken now.
    char port[16];
    (void)snprintf(port, sizeof port, "%d", child.port);
    struct program second = program_run("serve", model, "--port", port, "--threads", "1");
    assert_int_equal(second.exit_code, 1);
    assert_int_equal(program_lines(second.err), 1);
    assert_non_null(strstr(second.err, "Address already in use; choose another port"));
    program_release(&second);

    assert_int_equal(kill(child.pid, SIGTERM), 0);
    assert_true(wire_ended(&wire));
    wire_close(&wire);
    assert_non_null(fgets(line, sizeof line, child.err));
    assert_string_equal(line, "stopping: finishing what is in flight, at most 10 s\n");
    assert_null(fgets(line, sizeof line, child.err));
    assert_int_equal(wait_for(&child), 0);
}

static void refuses_what_cannot_work(void **state)
{
    (void)state;
    program_assert_usage(program_run("serve"), "MODEL");
    program_assert_usage(program_run("serve", "x", "--port", "65536"),
                         "--port 65536 is not between 0 and 65535");
    program_assert_usage(program_run("serve", "x", "--max-body", "2GiB"),
                         "--max-body must be between 1 and 1073741824 bytes");
    program_assert_usage(program_run("serve", "x", "--max-clients", "0"), "--max-clients");
    program_assert_usage(program_run("serve", "x", "--grace", "soon"), "soon");
    program_assert_usage(program_run("serve", "x", "--adapters", "a.gguf"),
                         "--adapters wants NAME=PATH,NAME=PATH,...");
    program_assert_usage(program_run("serve", "/nowhere", "--port", "0"), "/nowhere");
    program_assert_usage(program_run("serve", "/nowhere", "--adapter", "a=/nowhere/b"),
                         "--adapters NAME=PATH");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(serves_and_stops),
        cmocka_unit_test(refuses_what_cannot_work),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
