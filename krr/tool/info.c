/* SPDX-License-Identifier: GPL-2.0-or-later */
/* krr info: what was recorded, on which machine, and how it ended. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "json.h"
#include "tool.h"
#include "../format.h"

#define TYPES 16

typedef struct Section {
    const char *name;
    uint64_t chunks, raw, stored;
} Section;

typedef struct Info {
    KrrReader *reader;
    const KrrMachine *machine;
    KrrStats *stats;
    char *damage;               /* the first that was found, or NULL */
    Section section[TYPES];
} Info;

static bool add_chunk(const KrrChunkInfo *chunk, void *opaque, GError **errp)
{
    Info *info = opaque;

    (void)errp;
    for (unsigned i = 0; i < TYPES; i++) {
        Section *s = &info->section[i];

        if (!s->name) {
            /* The name of an unknown type lives only until the next call. */
            s->name = g_intern_string(chunk->name);
        }
        if (!strcmp(s->name, chunk->name)) {
            s->chunks++;
            s->raw += chunk->raw_length;
            s->stored += sizeof(KrrChunkHeader) + chunk->stored_length;
            break;
        }
    }
    return true;
}

static const char *accel_name(uint32_t accel)
{
    switch (accel) {
    case KRR_ACCEL_TCG:
        return "tcg";
    case KRR_ACCEL_KVM:
        return "kvm";
    default:
        return "unknown";
    }
}

static char *start_time(const KrrMachine *m)
{
    GDateTime *time = g_date_time_new_from_unix_utc(m->start_time / G_USEC_PER_SEC);
    char *text = time ? g_date_time_format(time, "%Y-%m-%dT%H:%M:%SZ") : NULL;

    if (time) {
        g_date_time_unref(time);
    }
    return text ? text : g_strdup("unknown");
}

static char *build_id(const KrrMachine *m)
{
    GString *s = g_string_new(NULL);

    for (unsigned i = 0; i < sizeof(m->build_id); i++) {
        g_string_append_printf(s, "%02x", m->build_id[i]);
    }
    return g_string_free(s, FALSE);
}

static const char *register_name(const KrrFeature *f)
{
    static const char *const names[] = { "eax", "ebx", "ecx", "edx" };

    return f->reg < G_N_ELEMENTS(names) ? names[f->reg] : "msr";
}

static const char *space_name(const KrrSilent *s)
{
    return s->space == KRR_SPACE_PORT ? "port" : "memory";
}

/* Goes over the chunks. Damage among them is something to report: what lies before it is good. */
static void survey(Info *info)
{
    GError *error = NULL;

    info->damage = g_strdup(krr_reader_damage(info->reader));
    if (krr_reader_chunks(info->reader, false, add_chunk, info, &error)) {
        return;
    }
    if (!info->damage) {
        info->damage = g_strdup(error->message);
        tool_message("incomplete trace: %s", info->damage);
    }
    g_error_free(error);
}

/* ---- JSON ---- */

static void json_features(Json *j, const KrrMachine *m)
{
    json_open_array(j, "features");
    for (uint32_t i = 0; i < m->features_count; i++) {
        json_open_object(j, NULL);
        json_hex(j, "leaf", m->features[i].leaf);
        json_uint(j, "subleaf", m->features[i].subleaf);
        json_string(j, "register", register_name(&m->features[i]));
        json_hex(j, "value", m->features[i].value);
        json_close_object(j);
    }
    json_close_array(j);
}

static void json_ranges(Json *j, const KrrMachine *m)
{
    json_open_array(j, "memory");
    for (uint32_t i = 0; i < m->ranges_count; i++) {
        json_open_object(j, NULL);
        json_hex(j, "address", m->ranges[i].address);
        json_uint(j, "length", m->ranges[i].length);
        json_bool(j, "readonly", m->ranges[i].flags & KRR_RANGE_READONLY);
        json_close_object(j);
    }
    json_close_array(j);
    json_open_array(j, "silent");
    for (uint32_t i = 0; i < m->silent_count; i++) {
        json_open_object(j, NULL);
        json_string(j, "space", space_name(&m->silent[i]));
        json_hex(j, "address", m->silent[i].address);
        json_uint(j, "length", m->silent[i].length);
        json_close_object(j);
    }
    json_close_array(j);
}

static void json_machine(Json *j, const KrrMachine *m)
{
    char *time = start_time(m), *id = build_id(m);

    json_open_object(j, "machine");
    json_uint(j, "abi_version", m->abi_version);
    json_uint(j, "vcpus", m->vcpus);
    json_uint(j, "ram_size", m->ram_size);
    json_uint(j, "phys_bits", m->phys_bits);
    json_string(j, "vendor", m->vendor);
    json_uint(j, "family", m->family);
    json_uint(j, "model", m->model);
    json_uint(j, "stepping", m->stepping);
    json_hex(j, "cpuid_level", m->cpuid_level);
    json_hex(j, "cpuid_xlevel", m->cpuid_xlevel);
    json_hex(j, "cpuid_xlevel2", m->cpuid_xlevel2);
    json_uint(j, "tsc_khz", m->tsc_khz);
    json_string(j, "accel", accel_name(m->accel));
    json_bool(j, "final_ram", m->flags & KRR_MACHINE_FINAL_RAM);
    json_string(j, "start_time", time);
    json_string(j, "kernel_release", m->kernel_release);
    json_hex(j, "kernel_text", m->kernel_text);
    json_string(j, "build_id", id);
    json_string(j, "qemu_version", m->qemu_version);
    json_hex(j, "shared_address", m->shared_address);
    json_uint(j, "shared_length", m->shared_length);
    json_hex(j, "pio_base", m->pio_base);
    json_features(j, m);
    json_ranges(j, m);
    json_close_object(j);
    g_free(time);
    g_free(id);
}

static void print_json(const Info *info)
{
    KrrReader *r = info->reader;
    char *text;
    Json j;

    json_init(&j);
    json_open_object(&j, NULL);
    json_string(&j, "trace", krr_reader_path(r));
    json_uint(&j, "file_size", krr_reader_file_size(r));
    json_bool(&j, "complete", !info->damage);
    json_string(&j, "damage", info->damage);
    json_string(&j, "end_reason", krr_end_reason_name(krr_reader_end_reason(r)));
    json_uint(&j, "end_status", krr_reader_end_status(r));
    json_string(&j, "end_text", krr_reader_end_text(r));
    json_uint(&j, "records", krr_reader_count(r));
    json_uint(&j, "raw_bytes", info->stats->raw_bytes);
    json_uint(&j, "file_bytes", info->stats->file_bytes);
    json_uint(&j, "console_bytes", info->stats->console_bytes);
    json_known(&j, "duration_us", krr_reader_stats(r), info->stats->duration_us);
    json_known(&j, "pause_us", krr_reader_stats(r), info->stats->pause_us);
    json_known(&j, "ring_full", krr_reader_stats(r), info->stats->ring_full);
    json_open_array(&j, "sections");
    for (unsigned i = 0; i < TYPES && info->section[i].name; i++) {
        const Section *s = &info->section[i];

        json_open_object(&j, NULL);
        json_string(&j, "name", s->name);
        json_uint(&j, "chunks", s->chunks);
        json_uint(&j, "raw_bytes", s->raw);
        json_uint(&j, "file_bytes", s->stored);
        json_close_object(&j);
    }
    json_close_array(&j);
    json_machine(&j, info->machine);
    json_close_object(&j);
    text = json_finish(&j);
    fputs(text, stdout);
    g_free(text);
}

/* ---- text ---- */

/* Text out of a file must not reach the terminal as it is. */
static void print_field(const char *name, const char *value)
{
    char *safe = g_strescape(value, NULL);

    printf("%-16s%s\n", name, safe);
    g_free(safe);
}

static void print_machine(const KrrMachine *m)
{
    char *time = start_time(m), *id = build_id(m), *vendor = g_strescape(m->vendor, NULL);

    print_field("recorded", time);
    print_field("accelerator", accel_name(m->accel));
    print_field("QEMU", m->qemu_version);
    print_field("kernel", m->kernel_release);
    printf("%-16s0x%" PRIx64 "\n", "kernel text", m->kernel_text);
    print_field("build id", id);
    printf("%-16s%" PRIu32 ", %s family %" PRIu32 " model %" PRIu32 " stepping %" PRIu32
           ", TSC %" PRIu32 " kHz, %" PRIu32 " address bits\n", "vCPUs", m->vcpus, vendor,
           m->family, m->model, m->stepping, m->tsc_khz, m->phys_bits);
    printf("%-16s%" PRIu64 " MiB\n", "memory", m->ram_size >> 20);
    for (uint32_t i = 0; i < m->ranges_count; i++) {
        const KrrRange *r = &m->ranges[i];

        printf("  0x%012" PRIx64 " - 0x%012" PRIx64 "%s\n", r->address,
               r->address + r->length - 1, r->flags & KRR_RANGE_READONLY ? " read-only" : "");
    }
    printf("%-16s0x%" PRIx64 ", %" PRIu64 " KiB; doorbell port 0x%" PRIx32 "\n", "shared memory",
           m->shared_address, m->shared_length >> 10, m->pio_base);
    for (uint32_t i = 0; i < m->silent_count; i++) {
        printf("%-16s%s 0x%" PRIx64 ", %" PRIu32 " bytes\n", "silent", space_name(&m->silent[i]),
               m->silent[i].address, m->silent[i].length);
    }
    for (uint32_t i = 0; i < m->features_count; i++) {
        const KrrFeature *f = &m->features[i];

        printf("%-16s0x%" PRIx32 ".%" PRIu32 " %s 0x%" PRIx64 "\n", i ? "" : "features", f->leaf,
               f->subleaf, register_name(f), f->value);
    }
    g_free(time);
    g_free(id);
    g_free(vendor);
}

static void print_text(const Info *info)
{
    KrrReader *r = info->reader;
    const KrrStats *s = info->stats;

    printf("%-16s%s\n", "trace", krr_reader_path(r));
    printf("%-16s%s\n", "complete", info->damage ? "no" : "yes");
    printf("%-16s%s, status %" PRIu32 "\n", "end", krr_end_reason_name(krr_reader_end_reason(r)),
           krr_reader_end_status(r));
    if (*krr_reader_end_text(r)) {
        print_field("end text", krr_reader_end_text(r));
    }
    printf("%-16s%" PRIu64 ", %" PRIu64 " bytes, %" PRIu64 " on disk\n", "records",
           krr_reader_count(r), s->raw_bytes, s->file_bytes);
    printf("%-16s%" PRIu64 "\n", "console bytes", s->console_bytes);
    if (krr_reader_stats(r)) {
        printf("%-16s%.3f s\n", "duration", s->duration_us / 1e6);
        printf("%-16s%.3f s\n", "start pause", s->pause_us / 1e6);
        printf("%-16s%" PRIu64 " times\n", "ring full", s->ring_full);
    }
    printf("%-16s%" PRIu64 " bytes\n", "file", krr_reader_file_size(r));
    for (unsigned i = 0; i < TYPES && info->section[i].name; i++) {
        const Section *c = &info->section[i];

        printf("  %-14s%8" PRIu64 " chunks %14" PRIu64 " bytes %14" PRIu64 " on disk\n", c->name,
               c->chunks, c->raw, c->stored);
    }
    print_machine(info->machine);
}

static int run(int argc, char **argv)
{
    gboolean json = FALSE;
    const GOptionEntry entries[] = {
        { "json", 0, 0, G_OPTION_ARG_NONE, &json, "Print JSON", NULL },
        { NULL, 0, 0, 0, NULL, NULL, NULL }
    };
    const char *path = tool_parse(argc, argv, entries, command_info.summary);
    Info info = { 0 };
    int status = TOOL_OK;

    if (!path) {
        return TOOL_USAGE;
    }
    info.reader = tool_open(path);
    if (!info.reader) {
        return TOOL_BAD;
    }
    info.machine = krr_reader_machine(info.reader);
    info.stats = tool_stats(info.reader);
    if (!info.stats) {
        status = TOOL_BAD;
    } else {
        survey(&info);
        (json ? print_json : print_text)(&info);
    }
    g_free(info.stats);
    g_free(info.damage);
    krr_reader_free(info.reader);
    return status;
}

const Command command_info = {
    "info", "What was recorded, on which machine, and how it ended", run
};
