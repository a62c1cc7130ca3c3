/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * krr gdb: the commands that connect gdb to a replay. The kernel may have been
 * moved by KASLR; the trace knows where to.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "symbols.h"
#include "tool.h"

/* Quoted for gdb's command line. */
static char *quote(const char *path)
{
    GString *s = g_string_new("\"");

    for (; *path; path++) {
        if (*path == '"' || *path == '\\') {
            g_string_append_c(s, '\\');
        }
        g_string_append_c(s, *path);
    }
    g_string_append_c(s, '"');
    return g_string_free(s, FALSE);
}

/* gdb commands, NULL at the end. */
static GPtrArray *gdb_commands(const char *vmlinux, const Symbols *symbols, int port)
{
    GPtrArray *lines = g_ptr_array_new_with_free_func(g_free);

    if (vmlinux) {
        char *quoted = quote(vmlinux);

        g_ptr_array_add(lines, g_strdup_printf("symbol-file -o 0x%" PRIx64 " %s",
                                               symbols_offset(symbols), quoted));
        g_free(quoted);
    }
    g_ptr_array_add(lines, g_strdup_printf("target remote :%d", port));
    return lines;
}

static int run_gdb(const GPtrArray *lines)
{
    GPtrArray *argv = g_ptr_array_new();
    int error;

    g_ptr_array_add(argv, (gpointer)"gdb");
    for (guint i = 0; i < lines->len; i++) {
        g_ptr_array_add(argv, (gpointer)"-ex");
        g_ptr_array_add(argv, lines->pdata[i]);
    }
    g_ptr_array_add(argv, NULL);
    execvp("gdb", (char **)argv->pdata);
    error = errno;
    g_ptr_array_free(argv, TRUE);
    tool_message("cannot run gdb: %s%s", g_strerror(error),
                 error == ENOENT ? " (install the package gdb)" : "");
    return TOOL_BAD;
}

static int set_up(const char *path, const char *vmlinux, int port, bool run)
{
    KrrReader *r = tool_open(path);
    Symbols *symbols = NULL;
    GError *error = NULL;
    int status = TOOL_OK;

    if (!r) {
        return TOOL_BAD;
    }
    if (vmlinux) {
        symbols = symbols_load(vmlinux, krr_reader_machine(r), &error);
    }
    if (error) {
        status = tool_error(error);
    } else {
        GPtrArray *lines = gdb_commands(vmlinux, symbols, port);

        if (run) {
            status = run_gdb(lines);
        } else {
            for (guint i = 0; i < lines->len; i++) {
                printf("%s\n", (char *)lines->pdata[i]);
            }
        }
        g_ptr_array_free(lines, TRUE);
    }
    symbols_free(symbols);
    krr_reader_free(r);
    return status;
}

static int run(int argc, char **argv)
{
    char *vmlinux = NULL;
    gboolean execute = FALSE;
    gint port = 1234;
    const GOptionEntry entries[] = {
        { "vmlinux", 0, 0, G_OPTION_ARG_FILENAME, &vmlinux,
          "Symbols of the recorded kernel", "FILE" },
        { "port", 0, 0, G_OPTION_ARG_INT, &port, "QEMU's gdb port (default 1234, as -s)", "N" },
        { "run", 0, 0, G_OPTION_ARG_NONE, &execute, "Run gdb instead of printing the commands",
          NULL },
        { NULL, 0, 0, 0, NULL, NULL, NULL }
    };
    const char *path = tool_parse(argc, argv, entries,
        "Prints the gdb commands that load the kernel's symbols where KASLR put them and\n"
        "connect to a replay that was started with -s -S.");
    int status = TOOL_USAGE;

    if (path && (port < 1 || port > 65535)) {
        tool_message("--port takes a number from 1 to 65535");
    } else if (path) {
        status = set_up(path, vmlinux, port, execute);
    }
    g_free(vmlinux);
    return status;
}

const Command command_gdb = {
    "gdb", "Connect gdb to a replay, with symbols in the right place", run
};
