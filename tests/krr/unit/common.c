/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <glib/gstdio.h>
#include <stdio.h>

#include "common.h"

unsigned all_kinds(uint8_t *kinds)
{
    unsigned count = 0;

    for (unsigned kind = 0; kind < 256; kind++) {
        if (krr_kind(kind)) {
            kinds[count++] = kind;
        }
    }
    return count;
}

static void fill(uint8_t *data, size_t length, uint64_t number)
{
    for (size_t i = 0; i < length; i++) {
        data[i] = number * 7 + i;
    }
}

/* Returns the payload's size. */
static size_t make_payload(AnyRecord *any, KrrPayload payload, uint64_t number)
{
    void *p = any->bytes + sizeof(any->record);

    switch (payload) {
    case KRR_PAYLOAD_NONE:
        return 0;
    case KRR_PAYLOAD_END: {
        struct krr_end *end = p;

        *end = (struct krr_end) { .reason = KRR_END_PANIC, .status = number };
        strcpy(end->text, "the end");
        return sizeof(*end);
    }
    case KRR_PAYLOAD_ENTRY: {
        struct krr_entry *entry = p;

        *entry = (struct krr_entry) { .vector = number % 259, .changed = number & 0xffffff };
        fill((uint8_t *)entry->words, 8 * __builtin_popcount(entry->changed), number);
        return sizeof(*entry) + 8 * __builtin_popcount(entry->changed);
    }
    case KRR_PAYLOAD_TRAP:
        *(struct krr_trap *)p = (struct krr_trap) { .vector = number % 256, .rip = number };
        return sizeof(struct krr_trap);
    case KRR_PAYLOAD_RESUME:
        *(struct krr_resume *)p = (struct krr_resume) { .previous = number };
        return sizeof(struct krr_resume);
    case KRR_PAYLOAD_VALUE:
        *(struct krr_value *)p = (struct krr_value) { .value = number * number };
        return sizeof(struct krr_value);
    case KRR_PAYLOAD_BYTES: {
        struct krr_bytes *bytes = p;

        *bytes = (struct krr_bytes) { .destination = number, .length = number % 100 };
        fill(bytes->data, (bytes->length + 7) & ~7u, number);
        return sizeof(*bytes) + ((bytes->length + 7) & ~7u);
    }
    case KRR_PAYLOAD_CPUID:
        *(struct krr_cpuid *)p = (struct krr_cpuid) { .eax = number };
        return sizeof(struct krr_cpuid);
    case KRR_PAYLOAD_IO:
        any->record.site = 1u << number % 4;
        *(struct krr_io *)p = (struct krr_io) { .address = 0x1f0, .value = number & 0xff };
        return sizeof(struct krr_io);
    case KRR_PAYLOAD_DMA: {
        struct krr_dma *dma = p;

        *dma = (struct krr_dma) { .address = number, .length = number % 50 };
        fill(dma->data, (dma->length + 7) & ~7u, number);
        return sizeof(*dma) + ((dma->length + 7) & ~7u);
    }
    }
    fail_msg("payload %d is not known to the tests", payload);
    return 0;
}

void make_record(AnyRecord *any, unsigned kind, uint64_t number)
{
    const KrrKind *k = krr_kind(kind);

    assert_non_null(k);
    memset(any, 0, sizeof(*any));
    any->record.kind = kind;
    any->record.ordinal = number;
    any->record.site = number;
    any->record.size = sizeof(any->record) + make_payload(any, k->payload, number);
}

void make_any(AnyRecord *any, uint64_t number)
{
    uint8_t kinds[256];
    unsigned count = all_kinds(kinds);

    make_record(any, kinds[number % count], number);
}

void make_port_write(AnyRecord *any, uint16_t port, uint32_t size, uint64_t value)
{
    make_record(any, KRR_KIND_PORT_WRITE, 0);
    any->record.site = size;
    *(struct krr_io *)(any->bytes + sizeof(any->record)) = (struct krr_io) { port, value };
}

KrrMachine test_machine(uint32_t vcpus)
{
    KrrMachine m = {
        .abi_version = KRR_ABI_VERSION,
        .vcpus = vcpus,
        .phys_bits = 40,
        .vendor = "AuthenticAMD",
        .ranges_count = 1,
        .ranges[0] = { .address = 0, .length = 64 << 20 },
        .silent_count = 1,
        .silent[0] = { .address = 0xfee00000, .length = 4096 },
        .ram_size = 64 << 20,
        .kernel_release = "6.1.0-test",
    };

    return m;
}

struct krr_times test_times(uint32_t vcpu, uint64_t site)
{
    struct krr_times t = {
        .held = { [3] = 60, [10] = 39, [20] = 1 },
        .held_cycles = 3000000 + vcpu,
        .waited[KRR_TIME_BUCKETS - 1] = vcpu > 0,
        .waited_cycles = vcpu ? 1ull << 36 : 0,
        .granted = { [11] = 2 },
        .granted_cycles = 6000,
        .handoffs = {
            [KRR_HANDOFF_WAIT] = 10 + vcpu,
            [KRR_HANDOFF_RESCHED] = 20 + vcpu,
            [KRR_HANDOFF_LONG] = 30 + vcpu,
        },
        .stretch = 5000 + 1000 * vcpu,
        .stretch_site = site,
    };

    return t;
}

/* ---- files ---- */

static char *temp_dir;

char *temp_path(const char *name)
{
    assert_non_null(temp_dir);
    return g_build_filename(temp_dir, name, NULL);
}

int make_temp_dir(void **state)
{
    (void)state;
    temp_dir = g_dir_make_tmp("krr-unit-XXXXXX", NULL);
    return temp_dir ? 0 : -1;
}

int remove_temp_dir(void **state)
{
    GDir *dir = g_dir_open(temp_dir, 0, NULL);
    const char *name;

    (void)state;
    while (dir && (name = g_dir_read_name(dir))) {
        char *path = temp_path(name);

        g_remove(path);
        g_free(path);
    }
    if (dir) {
        g_dir_close(dir);
    }
    g_rmdir(temp_dir);
    g_free(temp_dir);
    temp_dir = NULL;
    return 0;
}

/* ---- errors ---- */

void assert_no_error_at(const GError *error, const char *file, int line)
{
    if (error) {
        print_error("unexpected error: %s\n", error->message);
        _fail(file, line);
    }
}

void assert_error_at(GError **error, KrrError code, const char *part, const char *file, int line)
{
    if (!*error || !g_error_matches(*error, KRR_ERROR, code) || !strstr((*error)->message, part)) {
        print_error("expected an error %d with \"%s\", got %d \"%s\"\n", code, part,
                    *error ? (*error)->code : -1, *error ? (*error)->message : "none");
        _fail(file, line);
    }
    g_clear_error(error);
}

/* ---- traces ---- */

static void write_ram(KrrWriter *w, const TraceSpec *spec, bool final)
{
    uint32_t pages = final ? spec->final_pages : spec->ram_pages;
    uint8_t page[4096];
    GError *error = NULL;

    for (uint32_t i = 0; i < pages; i++) {
        uint64_t address = 0x100000 + i * 4096ull;

        memset(page, i + 1 + final, sizeof(page));
        if (final) {
            krr_writer_final_ram(w, address, page, sizeof(page), &error);
        } else {
            krr_writer_ram(w, address, page, sizeof(page), &error);
        }
        assert_no_error(error);
    }
}

static void write_records(KrrWriter *w, const TraceSpec *spec)
{
    GError *error = NULL;
    AnyRecord any;

    for (uint64_t i = 0; i < spec->records; i++) {
        make_any(&any, i);
        krr_writer_records(w, &any, any.record.size, &error);
        assert_no_error(error);
        if (spec->flush_every && i % spec->flush_every == 0) {
            krr_writer_flush(w, &error);
            assert_no_error(error);
        }
    }
}

void write_trace(const char *path, const TraceSpec *spec)
{
    uint32_t vcpus = spec->vcpus ? spec->vcpus : 1;
    KrrMachine machine = test_machine(vcpus);
    KrrCpuState *cpu = g_new0(KrrCpuState, 1);
    GError *error = NULL;
    KrrWriter *w = krr_writer_new(path, &error);

    assert_no_error(error);
    machine.tsc_khz = spec->tsc_khz;
    machine.kernel_text = spec->kernel_text;
    krr_writer_machine(w, &machine, &error);
    assert_no_error(error);
    for (uint32_t i = 0; i < vcpus; i++) {
        cpu->apic_id = i;
        krr_writer_cpu(w, i, cpu, &error);
        assert_no_error(error);
    }
    write_ram(w, spec, false);
    krr_writer_start(w, &error);
    assert_no_error(error);
    write_records(w, spec);
    write_ram(w, spec, true);
    krr_writer_timing(w, 0, spec->duration_us, 0);
    for (uint32_t i = 0; i < vcpus; i++) {
        struct krr_times times = test_times(i, spec->site);

        krr_writer_times(w, i, &times);
    }
    if (!spec->unfinished) {
        krr_writer_finish(w, KRR_END_PANIC, 7, "it broke", &error);
    } else if (!spec->final_pages) {
        krr_writer_flush(w, &error);
    }
    assert_no_error(error);
    krr_writer_free(w);
    g_free(cpu);
}

uint64_t check_records(KrrReader *r, uint64_t first, GError **error)
{
    const struct krr_record *record;
    uint64_t number = first;
    AnyRecord expected;

    while ((record = krr_reader_peek(r, error))) {
        make_any(&expected, number);
        assert_int_equal(krr_reader_position(r), number);
        assert_int_equal(record->size, expected.record.size);
        assert_memory_equal(record, &expected, record->size);
        krr_reader_next(r);
        number++;
    }
    return number - first;
}

uint32_t random_next(uint64_t *state)
{
    *state = *state * 6364136223846793005ull + 1442695040888963407ull;
    return *state >> 33;
}
