// --help and man pages from option tables.
//
// A man page is written in scdoc's language: "# HEADING", *bold*, _underlined_, a tab to indent,
// ``` around text that stays as it is, and a backslash before a character that stands for itself.

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "cli/options.h"
#include "cli/options_internal.h"

enum { HELP_COLUMN = 28, LINE_COLUMNS = 80, LEFT_MAX_BYTES = 256 };

/** Between the name of the program and the rest: "oneday tune", or "oneday" alone. */
static const char *blank_before(const char *name)
{
    return name ? " " : "";
}

static const char *or_empty(const char *text)
{
    return text ? text : "";
}

size_t od_words_print(FILE *to, const char *text, size_t size, size_t indent, size_t column)
{
    size_t at = strspn(text, " ");
    while (at < size) {
        const size_t length = strcspn(text + at, " \n");
        const size_t word = length < size - at ? length : size - at;
        const size_t blank = column > indent ? 1 : 0;
        if (blank > 0 && column + blank + word >= LINE_COLUMNS) {
            (void)fprintf(to, "\n%*s", (int)indent, "");
            column = indent;
        } else if (blank > 0) {
            (void)fputc(' ', to);
            column++;
        }
        (void)fwrite(text + at, 1, word, to);
        column += word;
        at += word;
        at += strspn(text + at, " \n");
    }
    return column;
}

static void print_option(FILE *to, const struct od_option *option)
{
    char left[LEFT_MAX_BYTES];
    char letter[] = "-x, ";
    letter[1] = option->letter;
    (void)snprintf(left, sizeof left, "  %s--%s%s%s", option->letter ? letter : "    ",
                   option->name, blank_before(option->value_name), or_empty(option->value_name));
    if (strlen(left) + 2 > HELP_COLUMN) {
        (void)fprintf(to, "%s\n%*s", left, HELP_COLUMN, "");
    } else {
        (void)fprintf(to, "%-*s", HELP_COLUMN, left);
    }
    const size_t end =
        od_words_print(to, option->help, strlen(option->help), HELP_COLUMN, HELP_COLUMN);
    if (option->default_text) {
        char text[LEFT_MAX_BYTES];
        (void)snprintf(text, sizeof text, "(default: %s)", option->default_text);
        (void)od_words_print(to, text, strlen(text), HELP_COLUMN, end);
    }
    (void)fputc('\n', to);
}

// Paragraphs anew in lines of the terminal; lines that start with a blank, and empty ones, as they are.
static void print_details(FILE *to, const char *details)
{
    const char *line = details;
    while (*line) {
        size_t size = strcspn(line, "\n");
        if (*line == ' ' || size == 0) {
            (void)fwrite(line, 1, size, to);
        } else {
            while (line[size] == '\n' && line[size + 1] != '\0' && line[size + 1] != '\n' &&
                   line[size + 1] != ' ') {
                size += 1 + strcspn(line + size + 1, "\n");
            }
            (void)od_words_print(to, line, size, 0, 0);
        }
        (void)fputc('\n', to);
        line += size + (line[size] == '\n' ? 1 : 0);
    }
}

void od_help_print(FILE *to, const struct od_command_spec *spec, const struct od_option_list *list)
{
    const size_t start = strlen("usage: oneday ") + strlen(spec->name);
    (void)fprintf(to, "usage: oneday %s", spec->name);
    (void)od_words_print(to, spec->arguments, strlen(spec->arguments), strlen("usage: "), start);
    (void)fprintf(to, "\n\n%s\n", spec->summary);
    if (spec->details) {
        (void)fputc('\n', to);
        print_details(to, spec->details);
    }
    (void)fputs("\noptions:\n", to);
    for (size_t i = 0; i < list->count; i++) {
        print_option(to, &list->items[i]);
    }
}

void od_help_group_print(FILE *to, const struct od_command_group *group)
{
    int width = 0;
    (void)fprintf(to, "usage: oneday%s%s COMMAND [options]\n\n%s\n", blank_before(group->name),
                  or_empty(group->name), group->summary);
    if (group->details) {
        (void)fputc('\n', to);
        print_details(to, group->details);
    }
    (void)fputs("\ncommands:\n", to);
    for (size_t i = 0; i < group->count; i++) {
        const int length = (int)strlen(group->commands[i].name);
        width = length > width ? length : width;
    }
    for (size_t i = 0; i < group->count; i++) {
        (void)fprintf(to, "  %-*s  %s\n", width, group->commands[i].name,
                      group->commands[i].summary);
    }
    (void)fprintf(to, "\n'oneday%s%s COMMAND --help' tells more about one of them.\n",
                  blank_before(group->name), or_empty(group->name));
}

/** Write `size` bytes so that scdoc takes none of them as markup. */
static void put_man_text_n(FILE *to, const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (strchr("\\*_#`[]|.+-~<>", text[i]) && text[i] != '\0') {
            (void)fputc('\\', to);
        }
        (void)fputc(text[i], to);
    }
}

static void put_man_text(FILE *to, const char *text)
{
    put_man_text_n(to, text, strlen(text));
}

/** Paragraphs; lines that start with four blanks become a literal block. */
static void put_man_details(FILE *to, const char *details)
{
    bool literal = false;
    const char *line = details;
    while (*line) {
        const size_t size = strcspn(line, "\n");
        const bool indented = strncmp(line, "    ", 4) == 0;
        if (indented != literal && (indented || size > 0)) {
            (void)fputs("```\n", to);
            literal = indented;
            if (!literal) {
                (void)fputc('\n', to);
            }
        }
        if (literal && indented) {
            (void)fwrite(line + 4, 1, size - 4, to);
        } else {
            const size_t blanks = strspn(line, " ");
            put_man_text_n(to, line + blanks, size - (blanks < size ? blanks : size));
        }
        (void)fputc('\n', to);
        line += size + (line[size] == '\n' ? 1 : 0);
    }
    if (literal) {
        (void)fputs("```\n", to);
    }
    (void)fputc('\n', to);
}

static void put_man_option(FILE *to, const struct od_option *option)
{
    if (option->letter) {
        (void)fprintf(to, "*-%c*, ", option->letter);
    }
    (void)fputs("*--", to);
    put_man_text(to, option->name);
    (void)fputc('*', to);
    if (option->value_name) {
        (void)fputc(' ', to);
        put_man_text(to, option->value_name);
    }
    (void)fputs("\n\t", to);
    put_man_text(to, option->help);
    if (option->default_text) {
        (void)fputs(" (default: ", to);
        put_man_text(to, option->default_text);
        (void)fputc(')', to);
    }
    (void)fputs("\n\n", to);
}

/** "oneday-model-inspect": names of pages have no blanks. */
static void put_page_name(FILE *to, const char *name)
{
    (void)fputs("oneday", to);
    if (name) {
        (void)fputc('-', to);
        for (const char *at = name; *at; at++) {
            (void)fputc(*at == ' ' ? '-' : *at, to);
        }
    }
}

static void put_man_head(FILE *to, const char *name, const char *summary)
{
    put_page_name(to, name);
    (void)fputs("(1)\n\n# NAME\n\n", to);
    put_page_name(to, name);
    (void)fputs(" - ", to);
    put_man_text(to, summary);
    (void)fputs("\n\n# SYNOPSIS\n\n", to);
}

void od_man_print(FILE *to, const struct od_command_spec *spec, const struct od_option_list *list,
                  bool section)
{
    if (section) {
        (void)fputs("# ONEDAY ", to);
        for (const char *at = spec->name; *at; at++) {
            (void)fputc(*at >= 'a' && *at <= 'z' ? *at - 'a' + 'A' : *at, to);
        }
        (void)fputs("\n\n", to);
    } else {
        put_man_head(to, spec->name, spec->summary);
    }
    (void)fputs("*oneday ", to);
    put_man_text(to, spec->name);
    (void)fputs("* ", to);
    put_man_text(to, spec->arguments);
    (void)fputs(section ? "\n\n" : "\n\n# DESCRIPTION\n\n", to);
    put_man_text(to, spec->summary);
    (void)fputs("\n\n", to);
    if (spec->details) {
        put_man_details(to, spec->details);
    }
    if (!section) {
        (void)fputs("# OPTIONS\n\n", to);
    }
    for (size_t i = 0; i < (section ? spec->option_count : list->count); i++) {
        put_man_option(to, &list->items[i]);
    }
    if (!section) {
        (void)fputs(
            "# EXIT STATUS\n\n"
            "0 done, 1 failed while running, 2 wrong usage or unreadable input, 3 refused "
            "(does not fit, breaks a rule, or a digest differs).\n\n"
            "# SEE ALSO\n\n*oneday*(1)\n",
            to);
    }
}

void od_man_group_print(FILE *to, const struct od_command_group *group)
{
    put_man_head(to, group->name, group->summary);
    (void)fprintf(to, "*oneday%s%s* COMMAND \\[options\\]\n\n# DESCRIPTION\n\n",
                  blank_before(group->name), or_empty(group->name));
    if (group->details) {
        put_man_details(to, group->details);
    }
    for (size_t i = 0; i < group->count; i++) {
        (void)fputs("*oneday", to);
        (void)fputs(blank_before(group->name), to);
        put_man_text(to, or_empty(group->name));
        (void)fprintf(to, " %s*", group->commands[i].name);
        if (!group->name) {
            (void)fprintf(to, ", see *oneday-%s*(1)", group->commands[i].name);
        }
        (void)fputs("\n\t", to);
        put_man_text(to, group->commands[i].summary);
        (void)fputs("\n\n", to);
    }
}
