/* SPDX-License-Identifier: GPL-2.0-or-later */
/* krr: looks into traces. One file per subcommand, its help beside its code. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tool.h"
#include "../format.h"

static const Command *const commands[] = {
    &command_info, &command_dump, &command_stats, &command_verify, &command_console, &command_gdb,
};

void tool_message(const char *format, ...)
{
    va_list ap;

    /* What was printed so far comes first, also when both go to one file. */
    fflush(stdout);
    fputs("krr: ", stderr);
    va_start(ap, format);
    vfprintf(stderr, format, ap);
    va_end(ap);
    fputc('\n', stderr);
}

int tool_error(GError *error)
{
    tool_message("%s", error ? error->message : "unknown error");
    g_clear_error(&error);
    return TOOL_BAD;
}

static char **parse(int argc, char **argv, const GOptionEntry *entries, const char *what,
                    const char *summary)
{
    GOptionContext *context = g_option_context_new(what);
    char **traces = NULL;
    GError *error = NULL;

    g_option_context_set_summary(context, summary);
    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, &argc, &argv, &error)) {
        tool_error(error);
    } else {
        /* GOption leaves a "--" that only ends the options, and no NULL behind the rest. */
        int first = argc > 1 && !strcmp(argv[1], "--") ? 2 : 1;

        argv[argc] = NULL;
        if (argv[first]) {
            traces = argv + first;
        } else {
            tool_message("no trace is given (see %s --help)", g_get_prgname());
        }
    }
    g_option_context_free(context);
    return traces;
}

void tool_too_many(void)
{
    tool_message("too many arguments: give one trace (see %s --help)", g_get_prgname());
}

const char *tool_parse(int argc, char **argv, const GOptionEntry *entries, const char *summary)
{
    char **traces = parse(argc, argv, entries, "TRACE", summary);

    if (traces && traces[1]) {
        tool_too_many();
        return NULL;
    }
    return traces ? traces[0] : NULL;
}

char **tool_parse_several(int argc, char **argv, const GOptionEntry *entries, const char *summary)
{
    return parse(argc, argv, entries, "TRACE...", summary);
}

KrrReader *tool_open(const char *path)
{
    GError *error = NULL;
    KrrReader *r = krr_reader_open(path, &error);

    if (!r) {
        tool_error(error);
    } else if (!krr_reader_complete(r)) {
        tool_message("incomplete trace: %s", krr_reader_damage(r));
    }
    return r;
}

bool tool_count(KrrReader *r, KrrStats *stats, GError **errp)
{
    const struct krr_record *record;
    KrrConsole console = { 0 };
    GError *error = NULL;
    uint8_t byte;

    while ((record = krr_reader_peek(r, &error))) {
        krr_stats_record(stats, record);
        stats->console_bytes += krr_console_byte(&console, record, &byte);
        krr_reader_next(r);
    }
    if (error) {
        g_propagate_error(errp, error);
        return false;
    }
    return true;
}

static bool add_file_bytes(const KrrChunkInfo *info, void *opaque, GError **errp)
{
    KrrStats *stats = opaque;

    (void)errp;
    if (info->record_count) {
        stats->file_bytes += sizeof(KrrChunkHeader) + info->stored_length;
    }
    return true;
}

KrrStats *tool_stats(KrrReader *r)
{
    KrrStats *stats = g_new0(KrrStats, 1);
    GError *error = NULL;

    if (krr_reader_stats(r)) {
        *stats = *krr_reader_stats(r);
    } else if (!krr_reader_seek(r, 0, &error) || !tool_count(r, stats, &error) ||
               !krr_reader_chunks(r, false, add_file_bytes, stats, &error)) {
        tool_error(error);
        g_free(stats);
        return NULL;
    }
    return stats;
}

static void print_help(FILE *to)
{
    fputs("Usage: krr COMMAND [OPTION]... TRACE\n"
          "Looks into traces that qemu-system-x86_64 -krr record= wrote.\n\n", to);
    for (unsigned i = 0; i < G_N_ELEMENTS(commands); i++) {
        fprintf(to, "  %-10s %s\n", commands[i]->name, commands[i]->summary);
    }
    fputs("\n  krr COMMAND --help  options of a command\n"
          "  krr --version\n\n"
          "Exit status: 0 done, 1 trace not readable or damaged, 2 wrong usage.\n", to);
}

/* A full disk behind stdout must not look like success. */
static int flush_output(int status)
{
    if (fflush(stdout) || ferror(stdout)) {
        tool_message("cannot write the output: %s", g_strerror(errno));
        return TOOL_BAD;
    }
    return status;
}

static int run_command(const Command *command, int argc, char **argv)
{
    char *name = g_strdup_printf("krr %s", command->name);
    int status;

    g_set_prgname(name);
    argv[0] = name;
    status = flush_output(command->run(argc, argv));
    g_free(name);
    return status;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        print_help(stderr);
        return TOOL_USAGE;
    }
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
        print_help(stdout);
        return flush_output(TOOL_OK);
    }
    if (!strcmp(argv[1], "--version")) {
        printf("krr %s (trace format %d, guest ABI %d)\n", KRR_VERSION, KRR_FORMAT_VERSION,
               KRR_ABI_VERSION);
        return flush_output(TOOL_OK);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(commands); i++) {
        if (!strcmp(argv[1], commands[i]->name)) {
            return run_command(commands[i], argc - 1, argv + 1);
        }
    }
    tool_message("unknown command '%s'; krr --help lists the commands", argv[1]);
    return TOOL_USAGE;
}
