// Goal: `oneday check --server` says what is wrong by its exit code, in lines and as one document.
// Method: the program against a server of this process, good at first, then deaf to stop sequences.

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "cli/program.h"
#include "formats/json.h"
#include "infer/engine.h"
#include "infer/responder.h"
#include "serve/server.h"
#include "support.h"

struct fixture {
    struct od_engine *engine;
    struct od_responder responder;  ///< the engine's, with a process of its own
    struct od_server *server;
    char url[64];
};

static enum od_status process_deaf(void *context, const struct od_process_request *request,
                                   struct od_process_result *result, struct od_error *err)
{
    const struct od_responder *responder = od_engine_responder(context);
    struct od_process_request changed = *request;
    changed.stop_count = 0;
    return responder->process(responder->context, &changed, result, err);
}

static void start(struct fixture *fixture, bool deaf)
{
    const struct od_engine_options options = {.threads = 1};
    struct od_server_options server_options = OD_SERVER_OPTIONS_INIT;
    struct od_error err = {0};
    assert_ok(
        od_engine_open(test_source("examples/toyworld/base"), &options, &fixture->engine, &err),
        &err);
    fixture->responder = *od_engine_responder(fixture->engine);
    if (deaf) {
        fixture->responder.process = process_deaf;
    }
    server_options.port = 0;
    assert_ok(od_server_start(&fixture->responder, &server_options, &fixture->server, &err), &err);
    (void)snprintf(fixture->url, sizeof fixture->url, "http://127.0.0.1:%d",
                   od_server_port(fixture->server));
}

static void stop(struct fixture *fixture)
{
    od_server_stop(fixture->server);
    od_engine_close(fixture->engine);
}

static void good_server(void **state)
{
    (void)state;
    struct fixture fixture;
    start(&fixture, /* deaf= */ false);
    struct program run = program_run("check", "--server", fixture.url, "--wait", "10s", "--json");
    assert_int_equal(run.exit_code, 0);
    json_t *root = NULL;
    struct od_error err = {0};
    assert_ok(od_json_parse(run.out, strlen(run.out), "out", &root, &err), &err);
    assert_int_equal(json_integer_value(json_object_get(root, "failed")), 0);
    assert_true(json_array_size(json_object_get(root, "checks")) >= 16);
    json_decref(root);
    program_release(&run);
    stop(&fixture);
}

static void deaf_server(void **state)
{
    (void)state;
    struct fixture fixture;
    start(&fixture, /* deaf= */ true);
    struct program run = program_run("check", "--server", fixture.url);
    assert_int_equal(run.exit_code, 3);
    assert_non_null(strstr(run.out, "\nFAIL  stop-sequences  "));
    assert_non_null(strstr(run.out, "1 failed"));
    assert_string_equal(run.err, "");
    program_release(&run);
    stop(&fixture);
    // Nobody is there any more.
    run = program_run("check", "--server", fixture.url);
    assert_int_equal(run.exit_code, 1);
    assert_non_null(strstr(run.err, "no answer from"));
    assert_int_equal(program_lines(run.err), 1);
    program_release(&run);
}

static void wrong_usage(void **state)
{
    (void)state;
    program_assert_usage(program_run("check"), "give --server URL");
    program_assert_usage(program_run("check", "--server", "nowhere"), "must start with http://");
    program_assert_usage(program_run("check", "--server", "http://h", "--timeout", "soon"), "soon");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_server),
        cmocka_unit_test(deaf_server),
        cmocka_unit_test(wrong_usage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
