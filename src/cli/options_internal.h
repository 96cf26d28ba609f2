/**
 * @file
 * What options.c (parsing) and options_help.c (--help and man pages) share.
 * @thread One owner: the main thread.
 */
#ifndef OD_CLI_OPTIONS_INTERNAL_H
#define OD_CLI_OPTIONS_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "cli/options.h"

/** The options of one command: its own, then those that every command has. */
struct od_option_list {
    struct od_option items[OD_OPTIONS_MAX];
    size_t count;
};

/** Usage, summary, details and one entry per option. @memory Borrows all. */
void od_help_print(FILE *to, const struct od_command_spec *spec, const struct od_option_list *list);
/** The same for a group: one line per command. */
void od_help_group_print(FILE *to, const struct od_command_group *group);
/**
 * Source of a man page in scdoc's language. `section`: as a part of the page of a group, under a
 * heading, without the shared options.
 */
void od_man_print(FILE *to, const struct od_command_spec *spec, const struct od_option_list *list,
                  bool section);
/** The head of a group's man page; the sections of its commands follow. */
void od_man_group_print(FILE *to, const struct od_command_group *group);

#endif
