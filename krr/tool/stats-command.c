/* SPDX-License-Identifier: GPL-2.0-or-later */
/* krr stats: what the records are and what they cost. */
#include <inttypes.h>
#include <stdio.h>

#include "tool.h"

static double ratio(double a, double b)
{
    return b ? a / b : 0;
}

static void print_kinds(const KrrStats *s, uint64_t total)
{
    printf("%-14s %14s %7s %16s %7s %9s\n", "kind", "records", "share", "bytes", "share", "average");
    for (unsigned kind = 0; kind < KRR_STATS_KINDS; kind++) {
        if (s->records[kind]) {
            printf("%-14s %14" PRIu64 " %6.2f%% %16" PRIu64 " %6.2f%% %9.1f\n",
                   krr_kind_name(kind), s->records[kind], 100 * ratio(s->records[kind], total),
                   s->bytes[kind], 100 * ratio(s->bytes[kind], s->raw_bytes),
                   ratio(s->bytes[kind], s->records[kind]));
        }
    }
}

static void print_vectors(const KrrStats *s)
{
    printf("\n%-14s %14s\n", "vector", "records");
    for (unsigned i = 0; i < G_N_ELEMENTS(s->vectors); i++) {
        if (s->vectors[i]) {
            printf("%-14s %14" PRIu64 "\n", krr_vector_name(i), s->vectors[i]);
        }
    }
}

static void print_totals(const KrrStats *s, uint64_t records)
{
    double seconds = s->duration_us / 1e6;

    printf("\nrecords        %14" PRIu64 "\n", records);
    printf("raw bytes      %14" PRIu64 " (%.1f per record)\n", s->raw_bytes,
           ratio(s->raw_bytes, records));
    printf("bytes on disk  %14" PRIu64 " (%.1f per record)\n", s->file_bytes,
           ratio(s->file_bytes, records));
    printf("console bytes  %14" PRIu64 "\n", s->console_bytes);
    if (seconds) {
        printf("duration       %14.3f s (%.0f records, %.0f raw bytes, %.0f bytes on disk per "
               "second)\n", seconds, records / seconds, s->raw_bytes / seconds,
               s->file_bytes / seconds);
    }
}

static int run(int argc, char **argv)
{
    const GOptionEntry entries[] = { { NULL, 0, 0, 0, NULL, NULL, NULL } };
    const char *path = tool_parse(argc, argv, entries, command_stats.summary);
    const KrrStats *stats;
    KrrStats counted;
    KrrReader *r;

    if (!path) {
        return TOOL_USAGE;
    }
    r = tool_open(path);
    stats = r ? tool_stats(r, &counted) : NULL;
    if (stats) {
        print_kinds(stats, krr_reader_count(r));
        print_vectors(stats);
        print_totals(stats, krr_reader_count(r));
    }
    krr_reader_free(r);
    return stats ? TOOL_OK : TOOL_BAD;
}

const Command command_stats = {
    "stats", "Records and bytes by kind and vector", run
};
