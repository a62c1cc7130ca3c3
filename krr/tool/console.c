/* SPDX-License-Identifier: GPL-2.0-or-later */
/* krr console: what the guest wrote to its first serial port. */
#include <stdio.h>

#include "tool.h"

static int print_console(KrrReader *r)
{
    const struct krr_record *record;
    KrrConsole console = { 0 };
    GError *error = NULL;
    uint8_t byte;

    while ((record = krr_reader_peek(r, &error))) {
        if (krr_console_byte(&console, record, &byte)) {
            putchar(byte);
        }
        krr_reader_next(r);
    }
    return error ? tool_error(error) : TOOL_OK;
}

static int run(int argc, char **argv)
{
    const GOptionEntry entries[] = { { NULL, 0, 0, 0, NULL, NULL, NULL } };
    const char *path = tool_parse(argc, argv, entries, command_console.summary);
    KrrReader *r;
    int status;

    if (!path) {
        return TOOL_USAGE;
    }
    r = tool_open(path);
    status = r ? print_console(r) : TOOL_BAD;
    krr_reader_free(r);
    return status;
}

const Command command_console = {
    "console", "Print what the guest wrote to its console", run
};
