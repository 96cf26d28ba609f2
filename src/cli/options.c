#include "cli/options.h"

#include <assert.h>
#include <ctype.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/status.h"
#include "base/text.h"
#include "base/threads.h"
#include "cli/options_internal.h"

enum { WORD_MAX_BYTES = 256, SECTION_COMMANDS_MAX = 64 };

/** One command line on its way through od_command_parse. */
struct parser {
    const struct od_command_spec *spec;
    const struct od_option_list *list;
    int argc;
    char **argv;
    int at;  ///< the argument that is looked at
    struct od_error err;
};

static bool is_word(const char *text, const char *word)
{
    return strcmp(text, word) == 0;
}

static void collect(struct od_cli *cli, const struct od_command_spec *spec, bool *help,
                    struct od_option_list *list)
{
    const struct od_option shared[] = {
        OD_OPTION_FLAG_OF('h', "help", help, "show this text"),
        OD_OPTION_FLAG_OF(0, "json", &cli->json, "print one JSON document on standard output"),
        OD_OPTION_TEXT_OF(0, "device", "DEVICE", &cli->device,
                          "where to compute: auto, cpu, cuda or cuda:N", "auto"),
        OD_OPTION_INT_OF(0, "threads", "N", &cli->threads,
                         "how many threads to use; 0 means all processors", "0"),
        OD_OPTION_FLAG_OF('q', "quiet", &cli->quiet, "say nothing but errors"),
        OD_OPTION_FLAG_OF('v', "verbose", &cli->verbose, "say more about what happens"),
    };
    assert(spec->option_count + OD_COUNT_OF(shared) <= OD_OPTIONS_MAX);
    list->count = 0;
    for (size_t i = 0; i < spec->option_count; i++) {
        list->items[list->count++] = spec->options[i];
    }
    for (size_t i = 0; i < OD_COUNT_OF(shared); i++) {
        list->items[list->count++] = shared[i];
    }
}

static enum od_status set_value(struct parser *p, const struct od_option *option, const char *value)
{
    switch (option->kind) {
    case OD_OPTION_FLAG: *option->target.flag = true; return OD_OK;
    case OD_OPTION_TEXT: *option->target.text = value; return OD_OK;
    case OD_OPTION_INT:
        if (!od_parse_int(value, option->target.integer)) {
            return od_fail(&p->err, OD_E_ARGUMENT, "option '--%s' takes a whole number, not '%s'",
                           option->name, value);
        }
        return OD_OK;
    case OD_OPTION_NUMBER:
        if (!od_parse_double(value, option->target.number)) {
            return od_fail(&p->err, OD_E_ARGUMENT, "option '--%s' takes a number, not '%s'",
                           option->name, value);
        }
        return OD_OK;
    }
    return od_fail(&p->err, OD_E_ARGUMENT, "option '--%s' has no kind", option->name);
}

/** Take the value from behind `=` or the letter, else the next argument, and store it. */
static enum od_status take_value(struct parser *p, const struct od_option *option,
                                 const char *attached)
{
    const char *value = attached;
    if (option->kind == OD_OPTION_FLAG) {
        if (attached) {
            return od_fail(&p->err, OD_E_ARGUMENT, "option '--%s' takes no value", option->name);
        }
    } else if (!attached) {
        if (p->at + 1 >= p->argc) {
            return od_fail(&p->err, OD_E_ARGUMENT, "option '--%s' needs a value: --%s %s",
                           option->name, option->name, option->value_name);
        }
        p->at++;
        value = p->argv[p->at];
    }
    return set_value(p, option, value);
}

static enum od_status parse_long(struct parser *p, const char *text)
{
    const char *names[OD_OPTIONS_MAX];
    char word[WORD_MAX_BYTES];
    const char *equals = strchr(text, '=');
    const size_t size = equals ? (size_t)(equals - text) : strlen(text);
    for (size_t i = 0; i < p->list->count; i++) {
        const struct od_option *option = &p->list->items[i];
        if (strlen(option->name) == size && memcmp(option->name, text, size) == 0) {
            return take_value(p, option, equals ? equals + 1 : NULL);
        }
        names[i] = option->name;
    }
    (void)snprintf(word, sizeof word, "%.*s", size < sizeof word ? (int)size : WORD_MAX_BYTES - 1,
                   text);
    const char *nearest = od_nearest_name(word, names, p->list->count);
    if (nearest) {
        return od_fail(&p->err, OD_E_ARGUMENT, "unknown option '--%s', the nearest is '--%s'", word,
                       nearest);
    }
    return od_fail(&p->err, OD_E_ARGUMENT, "unknown option '--%s'; see 'oneday %s --help'", word,
                   p->spec->name);
}

/** Letters behind one dash: flags may be joined, a value may follow directly. */
static enum od_status parse_letters(struct parser *p, const char *letters)
{
    for (const char *at = letters; *at; at++) {
        const struct od_option *option = NULL;
        for (size_t i = 0; i < p->list->count && !option; i++) {
            if (p->list->items[i].letter == *at) {
                option = &p->list->items[i];
            }
        }
        if (!option) {
            return od_fail(&p->err, OD_E_ARGUMENT, "unknown option '-%c'; see 'oneday %s --help'",
                           isprint((unsigned char)*at) ? *at : '?', p->spec->name);
        }
        if (option->kind == OD_OPTION_FLAG) {
            *option->target.flag = true;
            continue;
        }
        return take_value(p, option, at[1] ? at + 1 : NULL);
    }
    return OD_OK;
}

/** Go through argv; positional arguments end up at argv[1 .. count]. */
static enum od_status parse_all(struct parser *p, struct od_args *args)
{
    bool options_end = false;
    int count = 0;
    for (p->at = 1; p->at < p->argc; p->at++) {
        enum od_status status = OD_OK;
        char *word = p->argv[p->at];
        if (options_end || word[0] != '-' || word[1] == '\0') {
            count++;
            p->argv[count] = word;
        } else if (is_word(word, "--")) {
            options_end = true;
        } else if (word[1] == '-') {
            status = parse_long(p, word + 2);
        } else {
            status = parse_letters(p, word + 1);
        }
        if (status) {
            return status;
        }
    }
    *args = (struct od_args){.count = count, .values = p->argv + 1};
    return OD_OK;
}

static enum od_status check_shared(const struct od_cli *cli, struct od_error *err)
{
    if (cli->threads < 0 || cli->threads > OD_THREADS_MAX) {
        return od_fail(err, OD_E_ARGUMENT, "option '--threads' takes 0 to %d, not %lld",
                       OD_THREADS_MAX, (long long)cli->threads);
    }
    if (is_word(cli->device, "auto") || is_word(cli->device, "cpu") ||
        is_word(cli->device, "cuda")) {
        return OD_OK;
    }
    if (strncmp(cli->device, "cuda:", 5) == 0) {
        const size_t digits = strspn(cli->device + 5, "0123456789");
        if (digits > 0 && digits < 4 && cli->device[5 + digits] == '\0') {
            return OD_OK;
        }
    }
    return od_fail(err, OD_E_ARGUMENT, "unknown device '%s'; known are auto, cpu, cuda and cuda:N",
                   cli->device);
}

static enum od_status check_count(const struct od_command_spec *spec, const struct od_args *args,
                                  struct od_error *err)
{
    if (args->count < spec->min_args) {
        return od_fail(err, OD_E_ARGUMENT, "an argument is missing; usage: oneday %s %s",
                       spec->name, spec->arguments);
    }
    if (spec->max_args >= 0 && args->count > spec->max_args) {
        return od_fail(err, OD_E_ARGUMENT, "unexpected argument '%s'; usage: oneday %s %s",
                       args->values[spec->max_args], spec->name, spec->arguments);
    }
    return OD_OK;
}

bool od_command_parse(struct od_cli *cli, const struct od_command_spec *spec, int argc, char **argv,
                      struct od_args *ret_args, int *ret_exit_code)
{
    struct od_args args = {0};
    struct od_option_list list;
    bool help = false;
    collect(cli, spec, &help, &list);
    struct parser p = {.spec = spec, .list = &list, .argc = argc, .argv = argv};

    if (argc == 2 && (is_word(argv[1], "--help-man") || is_word(argv[1], "--help-man-section"))) {
        od_man_print(stdout, spec, &list, is_word(argv[1], "--help-man-section"));
        *ret_exit_code = 0;
        return false;
    }
    enum od_status status = parse_all(&p, &args);
    if (!status && help) {
        od_help_print(stdout, spec, &list);
        *ret_exit_code = 0;
        return false;
    }
    if (!status) {
        status = check_shared(cli, &p.err);
    }
    if (!status) {
        status = check_count(spec, &args, &p.err);
    }
    if (status) {
        *ret_exit_code = od_command_fail(spec, status, &p.err);
        return false;
    }
    enum od_log_level level = cli->verbose ? OD_LOG_DEBUG : OD_LOG_INFO;
    od_log_init(stderr, cli->quiet ? OD_LOG_ERROR : level);
    *ret_args = args;
    return true;
}

int od_command_fail(const struct od_command_spec *spec, enum od_status status,
                    const struct od_error *err)
{
    const char *message = err && err->message[0] ? err->message : "failed without a message";
    (void)fflush(stdout);
    (void)fprintf(stderr, "oneday %s: %s\n", spec->name, message);
    return od_status_exit_code(status);
}

static int unknown_command(const struct od_command_group *group, const char *word)
{
    const char *names[SECTION_COMMANDS_MAX];
    const char *blank = group->name ? " " : "";
    const char *prefix = group->name ? group->name : "";
    for (size_t i = 0; i < group->count; i++) {
        names[i] = group->commands[i].name;
    }
    const char *nearest = od_nearest_name(word, names, group->count);
    (void)fprintf(stderr, "oneday%s%s: unknown %s '%.100s'", blank, prefix,
                  word[0] == '-' ? "option" : "command", word);
    if (nearest) {
        (void)fprintf(stderr, ", the nearest is '%s'\n", nearest);
    } else {
        (void)fprintf(stderr, "; see 'oneday%s%s --help'\n", blank, prefix);
    }
    return od_status_exit_code(OD_E_ARGUMENT);
}

static int print_group_man(struct od_cli *cli, const struct od_command_group *group)
{
    char option[] = "--help-man-section";
    od_man_group_print(stdout, group);
    for (size_t i = 0; group->name && i < group->count; i++) {
        char name[WORD_MAX_BYTES];
        (void)snprintf(name, sizeof name, "%s", group->commands[i].name);
        char *argv[] = {name, option, NULL};
        const int exit_code = group->commands[i].run(cli, 2, argv);
        if (exit_code != 0) {
            return exit_code;
        }
    }
    return 0;
}

int od_commands_run(struct od_cli *cli, const struct od_command_group *group, int argc, char **argv)
{
    assert(group->count <= SECTION_COMMANDS_MAX);
    if (argc < 2) {
        od_help_group_print(stderr, group);
        return od_status_exit_code(OD_E_ARGUMENT);
    }
    const char *word = argv[1];
    if (is_word(word, "--help") || is_word(word, "-h")) {
        od_help_group_print(stdout, group);
        return 0;
    }
    if (is_word(word, "--help-man")) {
        return print_group_man(cli, group);
    }
    if (is_word(word, "--list-commands")) {
        for (size_t i = 0; i < group->count; i++) {
            (void)printf("%s\n", group->commands[i].name);
        }
        return 0;
    }
    for (size_t i = 0; i < group->count; i++) {
        if (is_word(word, group->commands[i].name)) {
            return group->commands[i].run(cli, argc - 1, argv + 1);
        }
    }
    return unknown_command(group, word);
}
