// `oneday watch`: the live page of a run that another process works on, until SIGINT or SIGTERM.

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/status.h"
#include "cli/options.h"
#include "cli/sizes.h"
#include "flow/watch.h"
#include "formats/json.h"

enum { DOCUMENT_MAX_BYTES = 1 << 16 };

// From now on SIGINT and SIGTERM wait for wait_for_signal; threads that are made later block them, too.
static enum od_status hold_signals(sigset_t *signals, struct od_error *err)
{
    (void)sigemptyset(signals);
    (void)sigaddset(signals, SIGINT);
    (void)sigaddset(signals, SIGTERM);
    return sigprocmask(SIG_BLOCK, signals, NULL) == 0
               ? OD_OK
               : od_fail(err, OD_E_IO, "cannot catch signals: %s", strerror(errno));
}

static enum od_status announce(const struct od_cli *cli, const struct od_cli_address *address,
                               struct od_error *err)
{
    char url[OD_CLI_URL_BYTES];
    struct od_buf text;
    struct od_json_writer w;
    od_address_url(address, url);
    od_log(OD_LOG_INFO, "live page: %s", url);
    if (!cli->json) {
        return OD_OK;
    }
    od_buf_init(&text, DOCUMENT_MAX_BYTES);
    od_json_writer_init(&w, &text, OD_JSON_LINE, /* ascii= */ false);
    od_json_object_begin(&w);
    od_json_member_text(&w, "url", url);
    od_json_member_int(&w, "port", address->port);
    od_json_object_end(&w);
    const enum od_status status = od_buf_check(&text, err);
    if (status == OD_OK) {
        (void)puts(od_buf_text(&text));
        (void)fflush(stdout);  // main reports what was lost
    }
    od_buf_release(&text);
    return status;
}

static enum od_status run(const struct od_cli *cli, const char *run_dir, const char *listen,
                          struct od_error *err)
{
    sigset_t signals;
    struct od_watch *watch = NULL;
    struct od_cli_address address;
    int number = 0;
    enum od_status status = od_address_read(listen, &address, err);
    if (status == OD_OK && !od_path_is_dir(run_dir)) {
        status = od_fail(err, OD_E_NOT_FOUND, "'%s' is no folder of a run", run_dir);
    }
    if (status != OD_OK || (status = hold_signals(&signals, err)) != OD_OK) {
        return status;
    }
    const struct od_watch_options options = {
        .run_dir = run_dir, .host = address.host, .port = address.port};
    status = od_watch_open(&options, &watch, err);
    if (status == OD_OK) {
        address.port = od_watch_port(watch);
        status = announce(cli, &address, err);
    }
    if (status == OD_OK) {
        (void)sigwait(&signals, &number);
    }
    od_watch_close(watch);
    return status;
}

int od_cmd_watch(struct od_cli *cli, int argc, char **argv)
{
    const char *listen = "8081";
    struct od_option options[] = {
        OD_OPTION_TEXT_OF('l', "listen", "[HOST:]PORT", &listen,
                          "where to listen; 0.0.0.0:8081 lets other machines in, port 0 takes any "
                          "that is free",
                          "127.0.0.1:8081"),
    };
    const struct od_command_spec spec = {
        .name = "watch",
        .arguments = "RUN [--listen [HOST:]PORT]",
        .summary = "the live page of a run that goes on",
        .details =
            "Loss, learning rate, speed, end time, evaluations, power and memory of a GPU, from the\n"
            "log of a run that any process works on or worked on; until SIGINT or SIGTERM. A run that\n"
            "is started with `oneday tune --watch` shows the page by itself.\n"
            "\n"
            "    oneday watch runs/mine",
        .options = options,
        .option_count = OD_COUNT_OF(options),
        .min_args = 1,
        .max_args = 1};
    struct od_args args;
    struct od_error err = {0};
    int exit_code = 0;
    if (!od_command_parse(cli, &spec, argc, argv, &args, &exit_code)) {
        return exit_code;
    }
    const enum od_status status = run(cli, args.values[0], listen, &err);
    return status == OD_OK ? 0 : od_command_fail(&spec, status, &err);
}
