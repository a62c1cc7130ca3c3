/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the subcommands of krr share. */
#ifndef KRR_TOOL_H
#define KRR_TOOL_H

#include <glib.h>
#include <stdbool.h>
#include "../kinds.h"
#include "../reader.h"

/* Exit statuses; docs/krr.1 promises them. */
#define TOOL_OK     0
#define TOOL_BAD    1       /* the trace cannot be read or is damaged; output failed */
#define TOOL_USAGE  2

typedef struct Command {
    const char *name;
    const char *summary;
    int (*run)(int argc, char **argv);      /* argv[0] is "krr NAME" */
} Command;

extern const Command command_info, command_dump, command_stats, command_verify, command_console,
    command_gdb;

/*
 * Parses options and the one argument TRACE. Returns its name, which lives as long as
 * @argv, or NULL after a message. --help prints @summary and the options and exits.
 */
const char *tool_parse(int argc, char **argv, const GOptionEntry *entries, const char *summary);
/* The same for any number of traces from one on: the words of @argv that name them, and NULL. */
char **tool_parse_several(int argc, char **argv, const GOptionEntry *entries, const char *summary);
/* Says that there is more than one trace. */
void tool_too_many(void);

/* krr_reader_open() with a message on failure, and one about an incomplete trace. */
KrrReader *tool_open(const char *path);

/* Prints and frees @error; returns TOOL_BAD. */
int tool_error(GError *error);
/* "krr: MESSAGE" on stderr. */
void tool_message(const char *format, ...) G_GNUC_PRINTF(1, 2);

/*
 * A copy of the statistics in the trace, or, for a trace without them, what can be
 * counted from its records; the rest is 0 then. Leaves the reader at an undefined
 * position. NULL after a message. The caller frees the result (g_free).
 */
KrrStats *tool_stats(KrrReader *r);

/* Counts all records from the present position on: statistics, and the console's bytes. */
bool tool_count(KrrReader *r, KrrStats *stats, GError **errp);

#endif
