/* SPDX-License-Identifier: GPL-2.0-or-later */
/* krr dump: one line per record. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "symbols.h"
#include "tool.h"

typedef struct Dump {
    KrrReader *reader;
    Symbols *symbols;
    uint64_t from, count;       /* count: lines still to print */
    bool wanted[256];           /* by kind */
} Dump;

static void print_address(const Dump *d, const char *label, uint64_t address)
{
    char *name = d->symbols ? symbols_name(d->symbols, address) : NULL;

    if (name) {
        printf(" %s %s", label, name);
    }
    g_free(name);
}

static void print_site(const Dump *d, const struct krr_record *record, KrrPayload payload)
{
    char *name;

    if (payload == KRR_PAYLOAD_IO || !record->site) {
        return;
    }
    name = symbols_call_site(d->symbols, symbols_call_address(record->site));
    if (name) {
        printf(" at %s", name);
    } else {
        printf(" at 0x%" PRIx64, symbols_call_address(record->site));
    }
    g_free(name);
}

static void print_record(const Dump *d, uint64_t number, const struct krr_record *record)
{
    char *text = krr_record_describe(record);
    KrrPayload payload = krr_kind(record->kind)->payload;

    printf("%" PRIu64 " %s", number, text);
    print_site(d, record, payload);
    if (payload == KRR_PAYLOAD_TRAP) {
        print_address(d, "in", ((const struct krr_trap *)krr_record_payload(record))->rip);
    } else if (payload == KRR_PAYLOAD_END) {
        print_address(d, "in", ((const struct krr_end *)krr_record_payload(record))->rip);
    }
    putchar('\n');
    g_free(text);
}

static bool dump(Dump *d, GError **errp)
{
    const struct krr_record *record;
    GError *error = NULL;

    if (!krr_reader_seek(d->reader, d->from, errp)) {
        return false;
    }
    while (d->count && (record = krr_reader_peek(d->reader, &error))) {
        if (d->wanted[record->kind]) {
            print_record(d, krr_reader_position(d->reader), record);
            d->count--;
        }
        krr_reader_next(d->reader);
    }
    if (error) {
        g_propagate_error(errp, error);
        return false;
    }
    return true;
}

static bool select_kinds(Dump *d, char **names)
{
    memset(d->wanted, !names, sizeof(d->wanted));
    for (; names && *names; names++) {
        unsigned kind = 0;

        while (kind < 256 && (!krr_kind(kind) || strcmp(krr_kind_name(kind), *names))) {
            kind++;
        }
        if (kind == 256) {
            tool_message("unknown kind of record '%s'; krr dump --help lists them", *names);
            return false;
        }
        d->wanted[kind] = true;
    }
    return true;
}

static char *kinds_help(void)
{
    GString *s = g_string_new("One line per record: number, kind, vCPU, safepoint ordinal, "
                              "contents, call site.\n\nKinds:");

    for (unsigned kind = 0; kind < 256; kind++) {
        if (krr_kind(kind)) {
            g_string_append_printf(s, "\n  %-14s%s", krr_kind_name(kind),
                                   krr_kind(kind)->description);
        }
    }
    return g_string_free(s, FALSE);
}

static int dump_trace(Dump *d, const char *path, const char *vmlinux)
{
    GError *error = NULL;
    int status = TOOL_OK;

    d->reader = tool_open(path);
    if (!d->reader) {
        return TOOL_BAD;
    }
    if (vmlinux) {
        d->symbols = symbols_load(vmlinux, krr_reader_machine(d->reader), &error);
    }
    if (error || !dump(d, &error)) {
        status = tool_error(error);
    }
    symbols_free(d->symbols);
    krr_reader_free(d->reader);
    return status;
}

static int run(int argc, char **argv)
{
    gint64 from = 0, count = G_MAXINT64;
    char **kinds = NULL, *vmlinux = NULL, *help = kinds_help();
    const GOptionEntry entries[] = {
        { "from", 0, 0, G_OPTION_ARG_INT64, &from, "Begin with record N (default 0)", "N" },
        { "count", 0, 0, G_OPTION_ARG_INT64, &count, "Print at most N records", "N" },
        { "kind", 0, 0, G_OPTION_ARG_STRING_ARRAY, &kinds,
          "Only this kind of record; may be given several times", "NAME" },
        { "vmlinux", 0, 0, G_OPTION_ARG_FILENAME, &vmlinux,
          "Name the call sites by this file's symbols", "FILE" },
        { NULL, 0, 0, 0, NULL, NULL, NULL }
    };
    const char *path = tool_parse(argc, argv, entries, help);
    Dump d = { .from = from, .count = count };
    int status = TOOL_USAGE;

    if (path && (from < 0 || count < 0)) {
        tool_message("--from and --count take numbers from 0 on");
    } else if (path && select_kinds(&d, kinds)) {
        status = dump_trace(&d, path, vmlinux);
    }
    g_strfreev(kinds);
    g_free(vmlinux);
    g_free(help);
    return status;
}

const Command command_dump = {
    "dump", "Print the records, one line each", run
};
