// `oneday chat`: talk to a model in the terminal.

#include <errno.h>
#include <jansson.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
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
#include "text/chat_template.h"

enum { TEXT_MAX_BYTES = 16 << 20, TEMPLATE_MAX_BYTES = 1 << 20, ANSWER_TOKENS_MAX = 512 };

/** What the command line asks for. */
struct request {
    const char *model;
    const char *adapter;
    const char *system;
    const char *chat_template;
    double temperature;
    double top_p;
    double min_p;
    int64_t max_tokens;
    int64_t context;
    int64_t seed;
};

/** A conversation that goes on. */
struct talk {
    const struct od_cli *cli;
    const struct request *request;
    const struct od_responder *responder;
    json_t *messages;
    struct od_buf shown;  ///< of the answer in progress
    bool is_terminal;
};

/** Set by the handler of SIGINT, looked at by the engine: the answer ends. */
static atomic_bool interrupted;

/** The first stops an answer, or ends the wait for a question; one more before it has done so ends the
 *  program. */
static void on_interrupt(int number)
{
    if (atomic_exchange(&interrupted, true)) {
        (void)signal(number, SIG_DFL);
        (void)raise(number);
    }
}

static void print_piece(void *context, const struct od_piece *piece)
{
    struct talk *talk = context;
    od_buf_append(&talk->shown, piece->text, piece->size);
    if (!talk->cli->json) {
        (void)fwrite(piece->text, 1, piece->size, stdout);
        (void)fflush(stdout);
    }
}

static enum od_status say(struct talk *talk, const char *role, const char *text, size_t size,
                          struct od_error *err)
{
    json_t *message = json_object();
    if (!message || json_object_set_new(message, "role", json_string(role)) != 0 ||
        json_object_set_new(message, "content", json_stringn(text, size)) != 0) {
        json_decref(message);
        return od_fail(err, OD_E_ARGUMENT, "the text is no UTF-8");
    }
    return json_array_append_new(talk->messages, message) == 0
               ? OD_OK
               : od_fail(err, OD_E_MEMORY, "no memory for a conversation");
}

/** Forget the oldest question and answer; false when only the newest question is left. */
static bool forget_oldest(struct talk *talk)
{
    const char *role =
        json_string_value(json_object_get(json_array_get(talk->messages, 0), "role"));
    const size_t first = role && strcmp(role, "system") == 0 ? 1 : 0;
    if (json_array_size(talk->messages) < first + 3) {
        return false;
    }
    for (int i = 0; i < 2; i++) {  // a question and its answer
        if (json_array_remove(talk->messages, first) != 0) {
            return false;
        }
    }
    return true;
}

/** One answer to the conversation as it stands. */
static enum od_status answer(struct talk *talk, struct od_process_result *result,
                             struct od_error *err)
{
    const struct od_responder *responder = talk->responder;
    const struct od_chat chat = {.messages = talk->messages, .add_generation_prompt = true};
    struct od_process_request request = OD_PROCESS_REQUEST_INIT;
    struct od_buf prompt;
    od_buf_init(&prompt, TEXT_MAX_BYTES);
    enum od_status status = responder->chat(responder->context, &chat, &prompt, err);
    if (status == OD_OK) {
        status = od_buf_check(&prompt, err);
    }
    if (status == OD_OK) {
        request.prompt = od_buf_text(&prompt);
        request.prompt_size = prompt.size;
        request.max_new_tokens = talk->request->max_tokens;
        request.temperature = talk->request->temperature;
        request.top_k = 0;
        request.top_p = talk->request->top_p;
        request.min_p = talk->request->min_p;
        request.has_seed = talk->request->seed >= 0;
        request.seed = (uint64_t)talk->request->seed;
        request.cancel = &interrupted;
        request.on_piece = print_piece;
        request.piece_context = talk;
        status = responder->process(responder->context, &request, result, err);
    }
    od_buf_release(&prompt);
    return status;
}

/** Ask, forgetting the oldest of the conversation while it does not fit. */
static enum od_status ask(struct talk *talk, struct od_error *err)
{
    struct od_process_result result;
    enum od_status status = OD_OK;
    od_buf_reset(&talk->shown);
    od_process_result_init(&result);
    while ((status = answer(talk, &result, err)) == OD_E_ARGUMENT && forget_oldest(talk)) {
        (void)fprintf(stderr,
                      "(the oldest question and answer are forgotten: the context is full)\n");
    }
    if (status == OD_OK) {
        status = say(talk, "assistant", result.text, result.text_size, err);
    } else if (status == OD_E_CANCELLED && atomic_load(&interrupted)) {
        status = say(talk, "assistant", od_buf_text(&talk->shown), talk->shown.size, err);
    }
    if (!talk->cli->json && (status == OD_OK || atomic_load(&interrupted))) {
        (void)putchar('\n');
        (void)fflush(stdout);
    }
    atomic_store(&interrupted, false);
    od_process_result_release(&result);
    return status;
}

static void reset(struct talk *talk)
{
    const char *role =
        json_string_value(json_object_get(json_array_get(talk->messages, 0), "role"));
    const size_t keep = role && strcmp(role, "system") == 0 ? 1 : 0;
    while (json_array_size(talk->messages) > keep) {
        (void)json_array_remove(talk->messages, keep);
    }
}

/** What a line says, if it is a command; false when it is a question. */
static bool obey(struct talk *talk, const char *line, bool *ret_quit)
{
    const bool is_word =
        line[0] == '/' && strspn(line + 1, "abcdefghijklmnopqrstuvwxyz?") == strlen(line + 1);
    *ret_quit = strcmp(line, "/quit") == 0;
    if (strcmp(line, "/reset") == 0) {
        reset(talk);
    } else if (is_word && !*ret_quit) {
        (void)fputs("/reset forgets the conversation, /quit ends it\n", stderr);
    }
    return is_word;
}

/** Questions from standard input, one a line, until its end or /quit. */
static enum od_status talk_on(struct talk *talk, struct od_error *err)
{
    char *line = NULL;
    size_t capacity = 0;
    bool quit = false;
    enum od_status status = OD_OK;
    while (status == OD_OK && !quit) {
        if (talk->is_terminal && !talk->cli->quiet) {
            (void)fputs("> ", stderr);
        }
        ssize_t size = getline(&line, &capacity, stdin);
        if (size < 0) {  // the end, or Ctrl-C
            (void)fputs(talk->is_terminal && !talk->cli->quiet ? "\n" : "", stderr);
            break;
        }
        while (size > 0 && (line[size - 1] == '\n' || line[size - 1] == '\r')) {
            line[--size] = '\0';
        }
        if (size > 0 && !obey(talk, line, &quit)) {
            status = say(talk, "user", line, (size_t)size, err);
            if (status == OD_OK) {
                status = ask(talk, err);
            }
        }
    }
    free(line);
    return status;
}

static void show_json(const struct talk *talk)
{
    struct od_buf text;
    struct od_json_writer w;
    od_buf_init(&text, TEXT_MAX_BYTES);
    od_json_writer_init(&w, &text, OD_JSON_INDENT_2, /* ascii= */ false);
    od_json_object_begin(&w);
    od_json_member_text(&w, "model", talk->responder->model_name);
    od_json_key(&w, "messages");
    od_json_put_value(&w, talk->messages);
    od_json_object_end(&w);
    (void)puts(od_buf_text(&text));
    od_buf_release(&text);
}

static enum od_status open_engine(const struct od_cli *cli, const struct request *request,
                                  struct od_engine **ret, struct od_error *err)
{
    char *text = NULL;
    size_t size = 0;
    enum od_status status = OD_OK;
    const char *chat_template = request->chat_template;
    if (chat_template && od_path_exists(chat_template)) {
        status = od_file_read(chat_template, TEMPLATE_MAX_BYTES, &text, &size, err);
        chat_template = text;
    }
    struct od_engine_options options = {.slots = 1,
                                        .context = request->context,
                                        .adapter = request->adapter,
                                        .chat_template = chat_template};
    if (status == OD_OK) {
        status = od_cli_engine(cli, /* vram= */ NULL, &options, err);
    }
    if (status == OD_OK) {
        status = od_engine_open(request->model, &options, ret, err);
    }
    od_free(text);
    return status;
}

static enum od_status run(const struct od_cli *cli, const struct request *request,
                          struct od_error *err)
{
    struct od_engine *engine = NULL;
    struct talk talk = {.cli = cli, .request = request, .is_terminal = isatty(STDIN_FILENO) != 0};
    const struct sigaction action = {.sa_handler = on_interrupt};
    enum od_status status = OD_OK;
    if (!(request->temperature >= 0.0) || !(request->top_p >= 0.0 && request->top_p <= 1.0) ||
        !(request->min_p >= 0.0 && request->min_p <= 1.0) || request->max_tokens < 1 ||
        request->max_tokens > OD_NEW_TOKENS_MAX) {
        return od_fail(
            err, OD_E_ARGUMENT,
            "--temperature must be 0 or more, --top-p 0 to 1, --min-p 0 to 1, --max-tokens 1 "
            "to %d",
            OD_NEW_TOKENS_MAX);
    }
    od_buf_init(&talk.shown, TEXT_MAX_BYTES);
    talk.messages = json_array();
    if (!talk.messages) {
        return od_fail(err, OD_E_MEMORY, "no memory for a conversation");
    }
    status = open_engine(cli, request, &engine, err);
    if (status == OD_OK) {
        talk.responder = od_engine_responder(engine);
        if (talk.is_terminal && sigaction(SIGINT, &action, NULL) != 0) {
            status = od_fail(err, OD_E_IO, "cannot catch signals: %s", strerror(errno));
        }
    }
    if (status == OD_OK && request->system) {
        status = say(&talk, "system", request->system, strlen(request->system), err);
    }
    if (status == OD_OK && talk.is_terminal && !cli->quiet) {
        (void)fprintf(stderr, "%s listens. /reset forgets, /quit ends, Ctrl-C stops an answer.\n",
                      talk.responder->model_name);
    }
    if (status == OD_OK) {
        status = talk_on(&talk, err);
    }
    if (status == OD_OK && cli->json) {
        show_json(&talk);
    }
    od_buf_release(&talk.shown);
    json_decref(talk.messages);
    od_engine_close(engine);
    return status;
}

int od_cmd_chat(struct od_cli *cli, int argc, char **argv)
{
    struct request request = {
        .temperature = 0.7, .top_p = 1.0, .max_tokens = ANSWER_TOKENS_MAX, .seed = -1};
    struct od_option options[] = {
        OD_OPTION_TEXT_OF(0, "adapter", "DIR", &request.adapter, "add this LoRA adapter", NULL),
        OD_OPTION_TEXT_OF(0, "system", "TEXT", &request.system, "what it is told first", NULL),
        OD_OPTION_TEXT_OF(0, "chat-template", "NAME|FILE", &request.chat_template,
                          "how conversations are written: chatml, llama2, llama3, mistral, "
                          "zephyr, vicuna, alpaca, or a file in Jinja",
                          "the model's"),
        OD_OPTION_NUMBER_OF(0, "temperature", "X", &request.temperature,
                            "0 takes the likeliest token", "0.7"),
        OD_OPTION_NUMBER_OF(0, "top-p", "X", &request.top_p,
                            "sample among the likeliest tokens that have this probability", "1"),
        OD_OPTION_NUMBER_OF(0, "min-p", "X", &request.min_p,
                            "leave out what is below this share of the likeliest token", "0"),
        OD_OPTION_INT_OF(0, "max-tokens", "N", &request.max_tokens, "an answer's length at most",
                         "512"),
        OD_OPTION_INT_OF(0, "context", "N", &request.context, "tokens of a conversation",
                         "the model's, at most 4096"),
        OD_OPTION_INT_OF(0, "seed", "N", &request.seed, "repeat the same answers", "new each time"),
    };
    const struct od_command_spec spec = {
        .name = "chat",
        .arguments = "MODEL|RUN [--adapter DIR] [--system TEXT]",
        .summary = "talk to a model in the terminal",
        .details =
            "Takes a question a line from standard input and writes the answers to standard\n"
            "output, word by word. /reset forgets the conversation, /quit or the end of input\n"
            "ends it. Ctrl-C stops an answer, of which the model remembers what was shown; at the\n"
            "prompt it ends the program. When the context is full, the oldest question and answer\n"
            "are forgotten. With --json the whole conversation comes\n"
            "as one document at the end.\n\n"
            "    echo 'What grows in the garden?' | oneday chat runs/tiny --seed 1",
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
