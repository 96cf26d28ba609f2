// `oneday check --server URL`: does a model server keep the challenge's API?

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/status.h"
#include "cli/options.h"
#include "cli/sizes.h"
#include "formats/json.h"
#include "net/ca_bundle.h"
#include "serve/conformance.h"

enum { EXIT_REFUSED = 3, ANSWER_MAX_BYTES = 1 << 20 };

/** What the command line asks for. */
struct request {
    const char *server;
    const char *wait;
    const char *timeout;
    const char *key_file;
    int64_t clients;
};

static void show(void *context, const struct od_check_result *result)
{
    const struct od_cli *cli = context;
    if (cli->json) {
        return;
    }
    (void)printf("%s  %-15s %s\n", od_verdict_name(result->verdict), result->name, result->what);
    if (result->message[0] != '\0') {
        (void)printf("      %s\n", result->message);
    }
}

static void show_json(const char *url, const struct od_conformance *outcome)
{
    struct od_buf text;
    struct od_json_writer w;
    od_buf_init(&text, ANSWER_MAX_BYTES);
    od_json_writer_init(&w, &text, OD_JSON_INDENT_2, /* ascii= */ false);
    od_json_object_begin(&w);
    od_json_member_text(&w, "server", url);
    od_json_member_number(&w, "wait_s", outcome->wait_s);
    od_json_member_int(&w, "failed", outcome->failed);
    od_json_member_int(&w, "warned", outcome->warned);
    od_json_key(&w, "checks");
    od_json_array_begin(&w);
    for (size_t i = 0; i < outcome->count; i++) {
        const struct od_check_result *result = &outcome->results[i];
        od_json_object_begin(&w);
        od_json_member_text(&w, "name", result->name);
        od_json_member_text(&w, "what", result->what);
        od_json_member_text(&w, "verdict",
                            result->verdict == OD_VERDICT_FAIL ? "fail"
                                                               : od_verdict_name(result->verdict));
        od_json_member_text(&w, "message", result->message);
        od_json_member_number(&w, "seconds", result->seconds);
        od_json_object_end(&w);
    }
    od_json_array_end(&w);
    od_json_object_end(&w);
    (void)puts(od_buf_text(&text));
    od_buf_release(&text);
}

/** The first line of a file. @memory Gives *ret: od_free. */
static enum od_status read_key(const char *path, char **ret, struct od_error *err)
{
    char *text = NULL;
    size_t size = 0;
    const enum od_status status = od_file_read(path, ANSWER_MAX_BYTES, &text, &size, err);
    for (size_t i = 0; status == OD_OK && i < size; i++) {
        if (text[i] == '\n' || text[i] == '\r') {
            text[i] = '\0';
        }
    }
    *ret = text;
    return status;
}

static enum od_status run(struct od_cli *cli, const struct request *request,
                          struct od_conformance *outcome, struct od_error *err)
{
    char ca_bundle[OD_PATH_MAX_BYTES];
    char *key = NULL;
    struct od_conformance_options options = OD_CONFORMANCE_OPTIONS_INIT;
    enum od_status status = OD_OK;
    if (!request->server) {
        return od_fail(err, OD_E_ARGUMENT, "give --server URL, such as http://127.0.0.1:8080");
    }
    if (od_ca_bundle_find(getenv("SSL_CERT_FILE"), "/", ca_bundle)) {
        options.ca_bundle = ca_bundle;
    }
    options.clients = request->clients;
    status = od_time_read(request->timeout, &options.timeout_s, err);
    if (status == OD_OK && request->wait) {
        status = od_time_read(request->wait, &options.wait_s, err);
    }
    if (status == OD_OK && request->key_file) {
        status = read_key(request->key_file, &key, err);
        options.key = key;
    }
    if (status == OD_OK) {
        status = od_conformance_run(request->server, &options, show, cli, outcome, err);
    }
    od_free(key);
    return status;
}

int od_cmd_check(struct od_cli *cli, int argc, char **argv)
{
    struct request request = {.timeout = "60s", .clients = 8};
    struct od_option options[] = {
        OD_OPTION_TEXT_OF(0, "server", "URL", &request.server, "the server to check", NULL),
        OD_OPTION_TEXT_OF(0, "wait", "TIME", &request.wait,
                          "how long it may take to come up; the host gives 20min", "one try"),
        OD_OPTION_TEXT_OF(0, "timeout", "TIME", &request.timeout, "limit of one request", "60s"),
        OD_OPTION_INT_OF(0, "clients", "N", &request.clients,
                         "requests at the same time in the check of concurrency", "8"),
        OD_OPTION_TEXT_OF(0, "api-key", "FILE", &request.key_file,
                          "send the key on the first line of this file", NULL),
    };
    const struct od_command_spec spec = {
        .name = "check",
        .arguments = "--server URL",
        .summary = "does a model server keep the challenge's API?",
        .details =
            "Asks /process, /tokenize and /decode what HELM asks, and compares the answers with each\n"
            "other and with what any answer must be: stop sequences, log-probabilities, echo, seeds,\n"
            "truncation, decode of encode, wrong bodies, many requests at a time. Knows nothing of the\n"
            "model behind it. A line for each check, with the field that is wrong and how to mend it.\n\n"
            "Exit code 3 when a check fails; a warning costs points or time and is allowed.\n\n"
            "    oneday check --server http://127.0.0.1:8080 --wait 20min",
        .options = options,
        .option_count = OD_COUNT_OF(options),
        .min_args = 0,
        .max_args = 0,
    };
    struct od_args args;
    struct od_error err = {0};
    struct od_conformance outcome = {.count = 0};
    int exit_code = 0;
    if (!od_command_parse(cli, &spec, argc, argv, &args, &exit_code)) {
        return exit_code;
    }
    const enum od_status status = run(cli, &request, &outcome, &err);
    if (status != OD_OK) {
        return od_command_fail(&spec, status, &err);
    }
    if (cli->json) {
        show_json(request.server, &outcome);
    } else {
        (void)printf("%zu checks: %lld failed, %lld warned\n", outcome.count,
                     (long long)outcome.failed, (long long)outcome.warned);
    }
    return outcome.failed > 0 ? EXIT_REFUSED : 0;
}
