/* SPDX-License-Identifier: GPL-2.0-or-later */
/* krr stats: what the records are and what they cost, and how the lock was used. */
#include <inttypes.h>
#include <stdio.h>

#include "coverage.h"
#include "json.h"
#include "symbols.h"
#include "tool.h"

typedef struct Report {
    KrrReader *reader;
    const KrrMachine *machine;
    const KrrStats *stats;
    bool stored;                /* stats are the trace's own: times are known */
    Symbols *symbols;           /* or NULL */
} Report;

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

/* ---- the kernel-entry lock ---- */

static char *time_text(const Report *report, uint64_t cycles)
{
    uint32_t khz = report->machine->tsc_khz;

    return khz ? g_strdup_printf("%.3f", cycles * 1e3 / khz)
               : g_strdup_printf("%" PRIu64, cycles);
}

/* "<4.096": the time below which @percent of all times lie, as far as buckets tell. */
static char *limit_text(const Report *report, const __u64 *histogram, unsigned percent)
{
    int bucket = krr_histogram_bucket(histogram, percent);
    bool last = bucket == KRR_TIME_BUCKETS - 1;
    char *time, *limit;

    if (bucket < 0) {
        return g_strdup("-");
    }
    time = time_text(report, 1ull << (last ? bucket : bucket + 1));
    limit = g_strconcat(last ? ">=" : "<", time, NULL);
    g_free(time);
    return limit;
}

/* Of the recording's duration. */
static char *share_text(const Report *report, uint64_t cycles)
{
    double all = report->stats->duration_us / 1e3 * report->machine->tsc_khz;

    return all ? g_strdup_printf("%.2f%%", 100 * ratio(cycles, all)) : g_strdup("-");
}

static void print_histogram(const Report *report, uint32_t vcpu, const __u64 *histogram,
                            uint64_t cycles)
{
    char *total = time_text(report, cycles), *share = share_text(report, cycles);
    char *median = limit_text(report, histogram, 50), *p99 = limit_text(report, histogram, 99);
    char *longest = limit_text(report, histogram, 100);

    printf("vcpu %-9" PRIu32 " %14" PRIu64 " %16s %8s %12s %12s %14s\n", vcpu,
           krr_histogram_count(histogram), total, share, median, p99, longest);
    g_free(total);
    g_free(share);
    g_free(median);
    g_free(p99);
    g_free(longest);
}

static void print_title(const Report *report, const char *title, const char *count)
{
    printf("\n%-14s %14s %13s %-2s %8s %12s %12s %14s\n", title, count, "total",
           report->machine->tsc_khz ? "us" : "cycles", "share", "median", "99%", "longest");
}

static void print_histograms(const Report *report)
{
    const struct krr_times *times = report->stats->times;

    print_title(report, "lock held", "slices");
    for (uint32_t i = 0; i < report->machine->vcpus; i++) {
        print_histogram(report, i, times[i].held, times[i].held_cycles);
    }
    print_title(report, "lock waited", "waits");
    for (uint32_t i = 0; i < report->machine->vcpus; i++) {
        print_histogram(report, i, times[i].waited, times[i].waited_cycles);
    }
    print_title(report, "lock granted", "grants");
    for (uint32_t i = 0; i < report->machine->vcpus; i++) {
        print_histogram(report, i, times[i].granted, times[i].granted_cycles);
    }
}

static void print_handoffs(const Report *report)
{
    printf("\n%-14s", "hand-offs");
    for (unsigned reason = 0; reason < KRR_HANDOFF_REASONS; reason++) {
        printf(" %14s", krr_handoff_name(reason));
    }
    putchar('\n');
    for (uint32_t i = 0; i < report->machine->vcpus; i++) {
        printf("vcpu %-9" PRIu32, i);
        for (unsigned reason = 0; reason < KRR_HANDOFF_REASONS; reason++) {
            printf(" %14" PRIu64, (uint64_t)report->stats->times[i].handoffs[reason]);
        }
        putchar('\n');
    }
}

static void print_stretches(const Report *report)
{
    printf("\n%-14s %14s  longest without a safepoint, and where it ended\n", "stretch",
           report->machine->tsc_khz ? "us" : "cycles");
    for (uint32_t i = 0; i < report->machine->vcpus; i++) {
        const struct krr_times *t = &report->stats->times[i];
        char *time = time_text(report, t->stretch);
        char *site = symbols_call_site(report->symbols, t->stretch_site);

        printf("vcpu %-9" PRIu32 " %14s", i, time);
        if (site) {
            printf("  %s", site);
        } else if (t->stretch_site) {
            printf("  0x%" PRIx64, (uint64_t)t->stretch_site);
        }
        putchar('\n');
        g_free(site);
        g_free(time);
    }
}

static void print_lock(const Report *report)
{
    if (!report->stored) {
        printf("\nlock times     not known: they are in the statistics at the end of a complete "
               "trace\n");
        return;
    }
    print_histograms(report);
    print_handoffs(report);
    print_stretches(report);
}

static void print_text(const Report *report)
{
    uint64_t records = krr_reader_count(report->reader);

    print_kinds(report->stats, records);
    print_vectors(report->stats);
    print_totals(report->stats, records);
    print_lock(report);
}

/* ---- JSON ---- */

static void json_records(Json *j, const KrrStats *s)
{
    json_open_array(j, "kinds");
    for (unsigned kind = 0; kind < KRR_STATS_KINDS; kind++) {
        if (s->records[kind]) {
            json_open_object(j, NULL);
            json_string(j, "name", krr_kind_name(kind));
            json_uint(j, "records", s->records[kind]);
            json_uint(j, "bytes", s->bytes[kind]);
            json_close_object(j);
        }
    }
    json_close_array(j);
    json_open_array(j, "vectors");
    for (unsigned i = 0; i < G_N_ELEMENTS(s->vectors); i++) {
        if (s->vectors[i]) {
            json_open_object(j, NULL);
            json_string(j, "name", krr_vector_name(i));
            json_uint(j, "records", s->vectors[i]);
            json_close_object(j);
        }
    }
    json_close_array(j);
}

/* In cycles and, where that is known, in microseconds. */
static void json_time(Json *j, const Report *report, uint64_t cycles)
{
    uint64_t khz = report->machine->tsc_khz;

    json_uint(j, "cycles", cycles);
    json_known(j, "us", khz, khz ? cycles / khz * 1000 + cycles % khz * 1000 / khz : 0);
}

static void json_histogram(Json *j, const Report *report, const char *key,
                           const __u64 *histogram, uint64_t cycles)
{
    static const struct {
        const char *key;
        unsigned percent;
    } limits[] = { { "median_bucket", 50 }, { "p99_bucket", 99 }, { "longest_bucket", 100 } };

    json_open_object(j, key);
    json_uint(j, "count", krr_histogram_count(histogram));
    json_time(j, report, cycles);
    for (unsigned i = 0; i < G_N_ELEMENTS(limits); i++) {
        int bucket = krr_histogram_bucket(histogram, limits[i].percent);

        json_known(j, limits[i].key, bucket >= 0, bucket);
    }
    json_open_array(j, "histogram");
    for (unsigned i = 0; i < KRR_TIME_BUCKETS; i++) {
        json_uint(j, NULL, histogram[i]);
    }
    json_close_array(j);
    json_close_object(j);
}

static void json_vcpu(Json *j, const Report *report, uint32_t vcpu)
{
    const struct krr_times *t = &report->stats->times[vcpu];
    char *site = symbols_call_site(report->symbols, t->stretch_site);

    json_open_object(j, NULL);
    json_uint(j, "vcpu", vcpu);
    json_histogram(j, report, "held", t->held, t->held_cycles);
    json_histogram(j, report, "waited", t->waited, t->waited_cycles);
    json_histogram(j, report, "granted", t->granted, t->granted_cycles);
    json_open_object(j, "handoffs");
    for (unsigned reason = 0; reason < KRR_HANDOFF_REASONS; reason++) {
        json_uint(j, krr_handoff_name(reason), t->handoffs[reason]);
    }
    json_close_object(j);
    json_open_object(j, "stretch");
    json_time(j, report, t->stretch);
    json_hex(j, "site", t->stretch_site);
    json_string(j, "symbol", site);
    json_close_object(j);
    json_close_object(j);
    g_free(site);
}

static void json_lock(Json *j, const Report *report)
{
    if (!report->stored) {
        json_string(j, "lock", NULL);
        return;
    }
    json_open_array(j, "lock");
    for (uint32_t i = 0; i < report->machine->vcpus; i++) {
        json_vcpu(j, report, i);
    }
    json_close_array(j);
}

static void print_json(const Report *report)
{
    const KrrStats *s = report->stats;
    char *text;
    Json j;

    json_init(&j);
    json_open_object(&j, NULL);
    json_string(&j, "trace", krr_reader_path(report->reader));
    json_bool(&j, "complete", krr_reader_complete(report->reader));
    json_uint(&j, "records", krr_reader_count(report->reader));
    json_uint(&j, "raw_bytes", s->raw_bytes);
    json_uint(&j, "file_bytes", s->file_bytes);
    json_uint(&j, "console_bytes", s->console_bytes);
    json_known(&j, "duration_us", report->stored, s->duration_us);
    json_known(&j, "pause_us", report->stored, s->pause_us);
    json_known(&j, "ring_full", report->stored, s->ring_full);
    json_known(&j, "tsc_khz", report->machine->tsc_khz, report->machine->tsc_khz);
    json_records(&j, s);
    json_lock(&j, report);
    json_close_object(&j);
    text = json_finish(&j);
    fputs(text, stdout);
    g_free(text);
}

/* ---- the command ---- */

static int report_stats(Report *report, const char *vmlinux, bool json)
{
    KrrStats *stats = tool_stats(report->reader);
    GError *error = NULL;

    if (!stats) {
        return TOOL_BAD;
    }
    report->stats = stats;
    report->stored = krr_reader_stats(report->reader);
    report->machine = krr_reader_machine(report->reader);
    if (vmlinux) {
        report->symbols = symbols_load(vmlinux, report->machine, &error);
    }
    if (!error) {
        (json ? print_json : print_text)(report);
    }
    symbols_free(report->symbols);
    g_free(stats);
    return error ? tool_error(error) : TOOL_OK;
}

static int report_trace(const char *path, const char *vmlinux, bool json)
{
    Report report = { .reader = tool_open(path) };
    int status = report.reader ? report_stats(&report, vmlinux, json) : TOOL_BAD;

    krr_reader_free(report.reader);
    return status;
}

static int run(int argc, char **argv)
{
    gboolean json = FALSE, coverage = FALSE, no_lines = FALSE;
    char *vmlinux = NULL;
    const GOptionEntry entries[] = {
        { "coverage", 0, 0, G_OPTION_ARG_NONE, &coverage,
          "Instead: which hook sites of the kernel the traces' records came from", NULL },
        { "no-lines", 0, 0, G_OPTION_ARG_NONE, &no_lines,
          "With --coverage: without source lines, which take a second or more to look up", NULL },
        { "json", 0, 0, G_OPTION_ARG_NONE, &json, "Print JSON", NULL },
        { "vmlinux", 0, 0, G_OPTION_ARG_FILENAME, &vmlinux,
          "Name the call sites by this file's symbols", "FILE" },
        { NULL, 0, 0, 0, NULL, NULL, NULL }
    };
    char **traces = tool_parse_several(argc, argv, entries, command_stats.summary);
    int status = TOOL_USAGE;

    if (!traces) {
        /* Has been said. */
    } else if (coverage && !vmlinux) {
        tool_message("--coverage needs --vmlinux, the recorded kernel's");
    } else if (no_lines && !coverage) {
        tool_message("--no-lines is for --coverage");
    } else if (coverage) {
        status = coverage_report(traces, vmlinux, !no_lines, json);
    } else if (traces[1]) {
        tool_too_many();
    } else {
        status = report_trace(traces[0], vmlinux, json);
    }
    g_free(vmlinux);
    return status;
}

const Command command_stats = {
    "stats", "Records by kind and vector, use of the lock, coverage of the hooks", run
};
