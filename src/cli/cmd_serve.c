// `oneday serve`: a model behind the challenge's HTTP API, until SIGINT or SIGTERM.

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/status.h"
#include "cli/options.h"
#include "cli/sizes.h"
#include "formats/json.h"
#include "infer/engine.h"
#include "infer/responder.h"
#include "serve/server.h"

enum {
    URL_BYTES = 300,
    PORT_MAX = 65535,
    LINE_BYTES = 512,
    TEMPLATE_MAX_BYTES = 1 << 20,
    KEY_FILE_MAX_BYTES = 1 << 20
};

/** What the command line asks for. */
struct request {
    const char *model;
    const char *adapter;
    const char *adapters;
    const char *host;
    const char *port_file;
    const char *body_max;
    const char *grace;
    const char *key_file;
    const char *chat_template;
    const char *stop;
    int64_t port;
    int64_t slots;
    int64_t context;
    int64_t cache_tokens;
    bool no_prefix_reuse;
    const char *vram;
    bool no_batch_invariance;
    int64_t workers;
    int64_t queue_max;
    int64_t connections_max;
};

/** The model, opened; `engine` owns the responder. */
struct opened {
    struct od_engine *engine;
    const struct od_responder *responder;
};

/** What --adapters says; names and folders lie in `text`. */
struct adapter_list {
    char *text;
    const char *names[OD_ENGINE_ADAPTERS_MAX];
    const char *folders[OD_ENGINE_ADAPTERS_MAX];
    int64_t count;
};

static enum od_status read_adapters(const char *value, struct adapter_list *list,
                                    struct od_error *err)
{
    if (!value) {
        return OD_OK;
    }
    list->text = od_strdup(value);
    if (!list->text) {
        return od_fail(err, OD_E_MEMORY, "no memory for a list of adapters");
    }
    for (char *at = list->text; at;) {
        char *comma = strchr(at, ',');
        char *equals = strchr(at, '=');
        if (comma) {
            *comma = '\0';
        }
        if (!equals || (comma && equals > comma) || list->count == OD_ENGINE_ADAPTERS_MAX) {
            return od_fail(err, OD_E_ARGUMENT,
                           "--adapters wants NAME=PATH,NAME=PATH,... with at most %d of them, not "
                           "'%.200s'",
                           OD_ENGINE_ADAPTERS_MAX, at);
        }
        *equals = '\0';
        list->names[list->count] = at;
        list->folders[list->count++] = equals + 1;
        at = comma ? comma + 1 : NULL;
    }
    return OD_OK;
}

// --adapter merges one; a name in front of it belongs to the other option.
static enum od_status check_adapter(const char *path, struct od_error *err)
{
    if (path && strchr(path, '=') && !od_path_exists(path)) {
        return od_fail(err, OD_E_ARGUMENT,
                       "--adapter '%s': there is no such folder; adapters with names are given by "
                       "--adapters NAME=PATH,NAME=PATH",
                       path);
    }
    return OD_OK;
}

static enum od_status open_responder(const struct od_cli *cli, const struct request *request,
                                     struct opened *ret, struct od_error *err)
{
    char *text = NULL;
    struct adapter_list adapters = {.count = 0};
    const char *chat_template = request->chat_template;
    enum od_status status = check_adapter(request->adapter, err);
    if (status != OD_OK) {
        return status;
    }
    if (chat_template && od_path_exists(chat_template)) {
        size_t size = 0;
        status = od_file_read(chat_template, TEMPLATE_MAX_BYTES, &text, &size, err);
        if (status != OD_OK) {
            return status;
        }
        chat_template = text;
    }
    status = read_adapters(request->adapters, &adapters, err);
    struct od_engine_options options = {.slots = request->slots,
                                        .context = request->context,
                                        .cache_tokens = request->cache_tokens,
                                        .no_prefix_reuse = request->no_prefix_reuse,
                                        .chat_template = chat_template,
                                        .adapter = request->adapter,
                                        .adapter_names = adapters.names,
                                        .adapter_folders = adapters.folders,
                                        .adapter_count = adapters.count,
                                        .not_batch_invariant = request->no_batch_invariance};
    if (status == OD_OK) {
        status = od_cli_engine(cli, request->vram, &options, err);
    }
    if (status == OD_OK) {
        status = od_engine_open(request->model, &options, &ret->engine, err);
    }
    if (status == OD_OK) {
        ret->responder = od_engine_responder(ret->engine);
    }
    od_free(adapters.text);
    od_free(text);
    return status;
}

static void close_responder(struct opened *opened)
{
    od_engine_close(opened->engine);
}

/** Written to by the handler, read by wait_for_signal: a handler can reach nothing else. */
static int signal_pipe[2] = {-1, -1};

static void on_signal(int number)
{
    const int error = errno;
    const char byte = (char)number;
    const ssize_t written = write(signal_pipe[1], &byte, 1);
    (void)written;  // a full pipe holds a stop already
    errno = error;
}

/** From now on SIGINT and SIGTERM ask for a stop, once; a second one ends the program at once. */
static enum od_status catch_signals(struct od_error *err)
{
    struct sigaction action = {.sa_handler = on_signal,
                               .sa_flags = (int)(SA_RESTART | SA_RESETHAND)};
    (void)sigemptyset(&action.sa_mask);
    if (pipe2(signal_pipe, O_CLOEXEC) != 0 || fcntl(signal_pipe[1], F_SETFL, O_NONBLOCK) != 0 ||
        sigaction(SIGINT, &action, NULL) != 0 || sigaction(SIGTERM, &action, NULL) != 0) {
        return od_fail(err, OD_E_IO, "cannot catch signals: %s", strerror(errno));
    }
    return OD_OK;
}

static void wait_for_signal(void)
{
    char byte = 0;
    while (read(signal_pipe[0], &byte, 1) < 0 && errno == EINTR) {
    }
}

/** Tell people (stderr), programs (--json on stdout) and scripts (--port-file) where it listens. */
static enum od_status announce(const struct od_cli *cli, const struct request *request, int port,
                               const char *model, struct od_error *err)
{
    char url[URL_BYTES];
    char line[LINE_BYTES];
    const bool is_ipv6 = strchr(request->host, ':') != NULL;
    (void)snprintf(url, sizeof url, "http://%s%.255s%s:%d", is_ipv6 ? "[" : "", request->host,
                   is_ipv6 ? "]" : "", port);
    if (request->port_file) {
        const int size = snprintf(line, sizeof line, "%d\n", port);
        const enum od_status status = od_file_write(request->port_file, line, (size_t)size, err);
        if (status != OD_OK) {
            return status;
        }
    }
    if (cli->json) {
        struct od_buf text;
        struct od_json_writer w;
        od_buf_init(&text, (size_t)LINE_BYTES * 8);
        od_json_writer_init(&w, &text, OD_JSON_LINE, /* ascii= */ false);
        od_json_object_begin(&w);
        od_json_member_text(&w, "url", url);
        od_json_member_int(&w, "port", port);
        od_json_member_text(&w, "model", model);
        od_json_object_end(&w);
        (void)puts(od_buf_text(&text));
        (void)fflush(stdout);  // main reports what was lost
        od_buf_release(&text);
    }
    if (!cli->quiet) {
        (void)fprintf(stderr, "listening on %s\n", url);
    }
    return OD_OK;
}

/** The API keys in a file, one a line; empty lines and those that start with # are none. */
struct keys {
    char *text;  ///< of the file, cut into lines
    const char *list[OD_SERVER_KEYS_MAX];
    size_t count;
};

static enum od_status read_keys(const char *path, struct keys *keys, struct od_error *err)
{
    size_t size = 0;
    if (!path) {
        return OD_OK;
    }
    const enum od_status status = od_file_read(path, KEY_FILE_MAX_BYTES, &keys->text, &size, err);
    if (status != OD_OK) {
        return status;
    }
    for (char *line = keys->text; line < keys->text + size;) {
        char *end = line + strcspn(line, "\r\n");
        char *next = end + (*end != '\0');
        *end = '\0';
        if (*line != '\0' && *line != '#') {
            if (keys->count == OD_SERVER_KEYS_MAX) {
                return od_fail(err, OD_E_LIMIT, "'%s' holds more than %d keys", path,
                               OD_SERVER_KEYS_MAX);
            }
            keys->list[keys->count++] = line;
        }
        line = next;
    }
    if (keys->count == 0) {
        return od_fail(err, OD_E_FORMAT, "'%s' holds no key: write one a line", path);
    }
    return OD_OK;
}

/** A text of the command line, where \n is a line break and \t a tab. Caller frees; NULL: no memory. */
static char *read_stop(const char *text)
{
    char *copy = od_memdup(text, strlen(text));
    char *end = copy;
    for (const char *at = copy; at && *at != '\0'; at++) {
        const bool is_break = strncmp(at, "\\n", 2) == 0;
        const bool is_escape = is_break || strncmp(at, "\\t", 2) == 0;
        at += is_escape;
        *end = *at;
        if (is_break) {
            *end = '\n';
        } else if (is_escape) {
            *end = '\t';
        }
        end++;
    }
    if (copy) {
        *end = '\0';
    }
    return copy;
}

static enum od_status read_options(const struct request *request, struct od_server_options *ret,
                                   struct od_error *err)
{
    struct od_server_options options = OD_SERVER_OPTIONS_INIT;
    uint64_t body_max = 0;
    double grace_s = 0.0;
    if (request->port < 0 || request->port > PORT_MAX) {
        return od_fail(err, OD_E_ARGUMENT, "--port %lld is not between 0 and %d",
                       (long long)request->port, PORT_MAX);
    }
    if (request->connections_max < 1) {
        return od_fail(err, OD_E_ARGUMENT, "--max-clients must be 1 or more");
    }
    enum od_status status = od_size_read(request->body_max, &body_max, err);
    if (status == OD_OK) {
        status = od_time_read(request->grace, &grace_s, err);
    }
    if (status != OD_OK) {
        return status;
    }
    if (body_max < 1 || body_max > OD_SERVER_BODY_MAX_BYTES) {
        return od_fail(err, OD_E_ARGUMENT, "--max-body must be between 1 and %llu bytes",
                       (unsigned long long)OD_SERVER_BODY_MAX_BYTES);
    }
    if (!(grace_s >= 0.0 && grace_s <= (double)OD_SERVER_STOP_S_MAX)) {
        return od_fail(err, OD_E_ARGUMENT, "--grace must be between 0 and %d seconds",
                       OD_SERVER_STOP_S_MAX);
    }
    options.host = request->host;
    options.port = (int)request->port;
    options.workers = request->workers;
    options.queue_max = request->queue_max;
    options.body_max_bytes = (size_t)body_max;
    options.connections_max = request->connections_max;
    options.stop_ms_max = (int64_t)(grace_s * 1000.0);
    *ret = options;
    return OD_OK;
}

static enum od_status run(const struct od_cli *cli, const struct request *request,
                          struct od_error *err)
{
    struct od_server_options options = OD_SERVER_OPTIONS_INIT;
    struct opened opened = {0};
    struct od_server *server = NULL;
    struct keys keys = {.count = 0};
    char *stop = NULL;

    enum od_status status = read_options(request, &options, err);
    if (status == OD_OK) {
        status = read_keys(request->key_file, &keys, err);
        options.keys = keys.list;
        options.key_count = keys.count;
    }
    if (status == OD_OK && request->stop) {
        stop = read_stop(request->stop);
        options.stop = stop;
        status = stop ? OD_OK : od_fail(err, OD_E_MEMORY, "no memory for --stop");
    }
    if (status == OD_OK) {
        status = open_responder(cli, request, &opened, err);
    }
    if (status == OD_OK) {
        status = catch_signals(err);
    }
    if (status == OD_OK) {
        status = od_server_start(opened.responder, &options, &server, err);
    }
    if (status == OD_OK) {
        status = announce(cli, request, od_server_port(server), opened.responder->model_name, err);
    }
    if (status == OD_OK) {
        wait_for_signal();
        if (!cli->quiet) {
            (void)fprintf(stderr, "stopping: finishing what is in flight, at most %.0f s\n",
                          (double)options.stop_ms_max / 1000.0);
        }
    }
    od_server_stop(server);
    close_responder(&opened);
    od_free(stop);
    od_free(keys.text);
    return status;
}

int od_cmd_serve(struct od_cli *cli, int argc, char **argv)
{
    const struct od_server_options defaults = OD_SERVER_OPTIONS_INIT;
    struct request request = {.host = defaults.host,
                              .port = defaults.port,
                              .body_max = "16MiB",
                              .grace = "10s",
                              .workers = defaults.workers,
                              .queue_max = defaults.queue_max,
                              .connections_max = defaults.connections_max};
    struct od_option options[] = {
        OD_OPTION_TEXT_OF(0, "adapter", "DIR|FILE", &request.adapter,
                          "merge this LoRA adapter, a folder or a GGUF file", NULL),
        OD_OPTION_TEXT_OF(
            0, "adapters", "NAME=PATH,...", &request.adapters,
            "LoRA adapters, folders or GGUF files, that stay apart; a request chooses one by its name as "
            "its model",
            NULL),
        OD_OPTION_TEXT_OF(0, "host", "HOST", &request.host,
                          "address to listen on; 0.0.0.0 lets other machines in", "127.0.0.1"),
        OD_OPTION_INT_OF('p', "port", "PORT", &request.port, "port; 0 takes any that is free",
                         "8080"),
        OD_OPTION_TEXT_OF(0, "port-file", "FILE", &request.port_file,
                          "write the port to FILE once it listens", NULL),
        OD_OPTION_INT_OF(0, "slots", "N", &request.slots,
                         "prompts that the model works on at a time", "32"),
        OD_OPTION_INT_OF(0, "context", "N", &request.context,
                         "tokens of prompt and answer together", "the model's, at most 4096"),
        OD_OPTION_INT_OF(0, "cache-tokens", "N", &request.cache_tokens,
                         "tokens of all prompts and answers together that have room; what is free "
                         "remembers beginnings of prompts",
                         "8 times --context; on a GPU what fits"),
        OD_OPTION_FLAG_OF(0, "no-prefix-reuse", &request.no_prefix_reuse,
                          "compute every prompt from its start (same answers, slower)"),
        OD_OPTION_TEXT_OF(0, "vram", "SIZE", &request.vram,
                          "what it may take of a card, such as 24GB", "what is free"),
        OD_OPTION_FLAG_OF(0, "no-batch-invariance", &request.no_batch_invariance,
                          "on a GPU take the fastest products, though an answer's last digits then "
                          "depend on what is computed beside it"),
        OD_OPTION_INT_OF(0, "workers", "N", &request.workers,
                         "requests handed to the model at a time", "32"),
        OD_OPTION_INT_OF(0, "max-queue", "N", &request.queue_max,
                         "requests that wait behind them; more are told 429", "256"),
        OD_OPTION_INT_OF(0, "max-clients", "N", &request.connections_max, "connections at a time",
                         "1024"),
        OD_OPTION_TEXT_OF(0, "max-body", "SIZE", &request.body_max, "largest body of a request",
                          "16MiB"),
        OD_OPTION_TEXT_OF(0, "api-keys", "FILE", &request.key_file,
                          "requests need a key of this file, one a line, as a bearer token", NULL),
        OD_OPTION_TEXT_OF(0, "chat-template", "NAME|FILE", &request.chat_template,
                          "how conversations are written: chatml, llama2, llama3, mistral, "
                          "zephyr, vicuna, alpaca, or a file in Jinja",
                          "the model's"),
        OD_OPTION_TEXT_OF(0, "stop", "TEXT", &request.stop,
                          "an answer of /process ends before TEXT where the request has no "
                          "stop_sequences; \\n is a line break, \\t a tab",
                          NULL),
        OD_OPTION_TEXT_OF(0, "grace", "TIME", &request.grace,
                          "on a stop, finish what is in flight for so long", "10s"),
    };
    const struct od_command_spec spec = {
        .name = "serve",
        .arguments = "MODEL|RUN [--adapter DIR] [--host HOST] [--port PORT]",
        .summary = "a model behind an HTTP API: the challenge's and OpenAI's",
        .details =
            "Answers POST /process, /tokenize, /decode, /score, /v1/completions and\n"
            "/v1/chat/completions, GET /v1/models, /health, /metrics and /openapi.json until\n"
            "SIGINT or SIGTERM, which let requests in flight finish; a second signal ends it at "
            "once.\nWith -v every request is a line on standard error. With --json one document "
            "says where\nit listens.\n\n"
            "    oneday serve runs/tiny --port 8080\n"
            "    curl -d '{\"prompt\": \"Once upon a time\"}' http://127.0.0.1:8080/process",
        .options = options,
        .option_count = OD_COUNT_OF(options),
        .min_args = 1,
        .max_args = 1,
    };
    struct od_args args;
    struct od_error err = {0};
    int exit_code = 0;
    if (!od_command_parse(cli, &spec, argc, argv, &args, &exit_code)) {
        return exit_code;
    }
    request.model = args.values[0];
    const enum od_status status = run(cli, &request, &err);
    return status ? od_command_fail(&spec, status, &err) : 0;
}
