// Goal: the live page's commands: `oneday watch` answers until it is told to stop; an address that cannot
// be had or is none ends a command before it does anything.
// Method: the program as a person starts it, and a client on real sockets.

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "cli/program.h"
#include "cli/sizes.h"
#include "net/wire.h"
#include "support.h"

enum { LINE_BYTES = 256 };

// Start `oneday watch RUN` and wait for the document that says where it listens.
static pid_t start(const char *run_dir, int *ret_port)
{
    int ends[2];
    char line[LINE_BYTES] = "";
    assert_int_equal(pipe(ends), 0);
    (void)fflush(NULL);
    const pid_t child = fork();
    if (child == 0) {
        if (dup2(ends[1], 1) >= 0) {
            (void)close(ends[0]);
            (void)execl(test_binary(), test_binary(), "watch", run_dir, "--listen", "0", "--json",
                        "-q", (char *)NULL);
        }
        _exit(127);
    }
    assert_true(child > 0);
    (void)close(ends[1]);
    FILE *out = fdopen(ends[0], "r");
    assert_non_null(out);
    assert_non_null(fgets(line, sizeof line, out));
    (void)fclose(out);
    const char *port = strstr(line, "\"port\":");
    assert_non_null(port);
    assert_non_null(strstr(line, "http://127.0.0.1:"));
    *ret_port = (int)strtol(port + strlen("\"port\":"), NULL, 10);
    return child;
}

static void watches_until_told(void **state)
{
    (void)state;
    static const int signals[] = {SIGINT, SIGTERM};
    for (int i = 0; i < 2; i++) {
        struct wire wire;
        int port = 0;
        int status = 0;
        const pid_t child = start(test_folder(), &port);
        assert_true(wire_open(&wire, port));
        struct wire_answer answer = wire_ask(&wire, "GET", "/", NULL);
        assert_int_equal(answer.code, 200);
        assert_true(wire_field_is(&answer, "Content-Type:", "text/html; charset=utf-8"));
        wire_answer_release(&answer);
        assert_int_equal(kill(child, signals[i]), 0);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        wire_close(&wire);
    }
}

static void refused(void **state)
{
    (void)state;
    char recipe[OD_PATH_MAX_BYTES];
    char run_dir[OD_PATH_MAX_BYTES];
    struct od_error err = {0};
    int port = 0;
    int status = 0;
    char address[32];
    program_assert_usage(program_run("watch", "/no/such/run"), "is no folder of a run");
    program_assert_usage(program_run("watch", "/", "--listen", "many"), "is no address");
    assert_ok(od_path_join(recipe, test_folder(), "none.yaml", &err), &err);
    assert_ok(od_path_join(run_dir, test_folder(), "run", &err), &err);
    program_assert_usage(program_run("tune", recipe, "-o", run_dir, "--watch", "70000"),
                         "--watch: '70000' is no address");
    // A port that is taken: told before the recipe is looked at.
    const pid_t child = start(test_folder(), &port);
    (void)snprintf(address, sizeof address, "127.0.0.1:%d", port);
    struct program program = program_run("tune", recipe, "-o", run_dir, "--watch", address);
    assert_int_equal(program.exit_code, 1);
    assert_non_null(strstr(program.err, "live page: cannot listen on 127.0.0.1 port"));
    assert_int_equal(program_lines(program.err), 1);
    assert_false(od_path_exists(run_dir));
    program_release(&program);
    assert_int_equal(kill(child, SIGTERM), 0);
    assert_int_equal(waitpid(child, &status, 0), child);
}

static void addresses(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *host;
        int port;
        const char *url;
    } good[] = {{"0", "127.0.0.1", 0, "http://127.0.0.1:0/"},
                {"65535", "127.0.0.1", 65535, "http://127.0.0.1:65535/"},
                {"0.0.0.0:80", "0.0.0.0", 80, "http://0.0.0.0:80/"},
                {"my-host:8081", "my-host", 8081, "http://my-host:8081/"},
                {"[::1]:8081", "::1", 8081, "http://[::1]:8081/"}};
    static const char *const bad[] = {"",     ":",     "host:", ":80",     "::1:80", "-1",
                                      "+80",  "65536", " 80",   "80 ",     "0x50",   "999999999999",
                                      "[]:1", "1:2:3", "h:1x",  "[::1]80", "h:-1"};
    struct od_cli_address address;
    struct od_error err = {0};
    char url[OD_CLI_URL_BYTES];
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_ok(od_address_read(good[i].text, &address, &err), &err);
        assert_string_equal(address.host, good[i].host);
        assert_int_equal(address.port, good[i].port);
        od_address_url(&address, url);
        assert_string_equal(url, good[i].url);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (od_address_read(bad[i], &address, &err) != OD_E_ARGUMENT) {
            fail_msg("'%s' is taken", bad[i]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(watches_until_told),
                                       cmocka_unit_test(refused), cmocka_unit_test(addresses)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
