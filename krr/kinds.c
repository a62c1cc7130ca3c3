/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <inttypes.h>
#include <stdio.h>
#include <glib.h>

#include "kinds.h"

#define KIND(number, text, layout, what) \
    [KRR_KIND_##number] = { text, KRR_PAYLOAD_##layout, what }

static const KrrKind kinds[] = {
    KIND(END, "end", END, "the recording ended here"),
    KIND(ENTRY, "entry", ENTRY, "a vCPU came from user mode into the kernel"),
    KIND(INTERRUPT, "interrupt", TRAP, "an interrupt in a safepoint's window"),
    KIND(WAKE, "wake", TRAP, "an interrupt ended a halt"),
    KIND(EXCEPTION, "exception", TRAP, "an exception in kernel mode"),
    KIND(HANDOFF, "handoff", NONE, "the lock was given away at a safepoint"),
    KIND(RESUME, "resume", RESUME, "the lock came back"),
    KIND(USER_VALUE, "user-value", VALUE, "one load from user memory"),
    KIND(USER_BYTES, "user-bytes", BYTES, "a copy from user memory"),
    KIND(FILE_BYTES, "file-bytes", BYTES, "the page cache read by the kernel"),
    KIND(REMOTE_BYTES, "remote-bytes", BYTES, "another process's memory read by the kernel"),
    KIND(SHARED_BYTES, "shared-bytes", BYTES, "a ring shared with user space"),
    KIND(FPU_BYTES, "fpu-bytes", BYTES, "the headers of a saved user FPU state"),
    KIND(FPU_RESTORE, "fpu-restore", VALUE, "whether XRSTOR from a user frame faulted"),
    KIND(SEGMENT, "segment", VALUE, "a user segment base or selector"),
    KIND(TSC, "tsc", VALUE, "RDTSC"),
    KIND(RANDOM, "random", VALUE, "RDRAND or RDSEED: carry, then value"),
    KIND(CPUID, "cpuid", CPUID, "CPUID"),
    KIND(MSR, "msr", VALUE, "RDMSR"),
    KIND(XCR, "xcr", VALUE, "XGETBV"),
    KIND(APIC, "apic", VALUE, "a read of the memory-mapped local APIC"),
    KIND(PORT_READ, "port-read", IO, "a device's port read"),
    KIND(PORT_WRITE, "port-write", IO, "a device's port written"),
    KIND(MMIO_READ, "mmio-read", IO, "a device's memory read"),
    KIND(MMIO_WRITE, "mmio-write", IO, "a device's memory written"),
    KIND(DMA, "dma", DMA, "guest memory written by a device"),
};

const KrrKind *krr_kind(unsigned kind)
{
    return kind < G_N_ELEMENTS(kinds) && kinds[kind].name ? &kinds[kind] : NULL;
}

const char *krr_kind_name(unsigned kind)
{
    static __thread char unknown[24];
    const KrrKind *k = krr_kind(kind);

    if (k) {
        return k->name;
    }
    snprintf(unknown, sizeof(unknown), "kind %u", kind);
    return unknown;
}

const char *krr_end_reason_name(uint32_t reason)
{
    static const char *const names[] = {
        [KRR_END_STOPPED] = "stopped",
        [KRR_END_PANIC] = "panic",
        [KRR_END_POWEROFF] = "poweroff",
        [KRR_END_REBOOT] = "reboot",
        [KRR_END_HALT] = "halt",
        [KRR_END_KEXEC] = "kexec",
        [KRR_END_QEMU_EXIT] = "qemu-exit",
        [KRR_END_INTERRUPT] = "interrupt",
        [KRR_END_NMI] = "nmi",
        [KRR_END_MACHINE_CHECK] = "machine-check",
        [KRR_END_DOUBLE_FAULT] = "double-fault",
        [KRR_END_NOT_OWNER] = "not-owner",
        [KRR_END_UNSUPPORTED] = "unsupported",
        [KRR_END_RING] = "ring",
        [KRR_END_IO_ERROR] = "io-error",
        [KRR_END_DMA] = "dma",
        [KRR_END_STALL] = "stall",
        [KRR_END_RESET] = "reset",
        [KRR_END_SUSPEND] = "suspend",
    };
    static __thread char unknown[24];

    if (reason < G_N_ELEMENTS(names) && names[reason]) {
        return names[reason];
    }
    snprintf(unknown, sizeof(unknown), "reason %u", reason);
    return unknown;
}

/* ---- check ---- */

/* Bytes that @count data bytes take in a record. */
static uint64_t padded(uint64_t count)
{
    return (count + 7) & ~(uint64_t)7;
}

/* Fixed part of each payload. */
static const uint16_t payload_size[] = {
    [KRR_PAYLOAD_NONE] = 0,
    [KRR_PAYLOAD_END] = sizeof(struct krr_end),
    [KRR_PAYLOAD_ENTRY] = sizeof(struct krr_entry),
    [KRR_PAYLOAD_TRAP] = sizeof(struct krr_trap),
    [KRR_PAYLOAD_RESUME] = sizeof(struct krr_resume),
    [KRR_PAYLOAD_VALUE] = sizeof(struct krr_value),
    [KRR_PAYLOAD_BYTES] = sizeof(struct krr_bytes),
    [KRR_PAYLOAD_CPUID] = sizeof(struct krr_cpuid),
    [KRR_PAYLOAD_IO] = sizeof(struct krr_io),
    [KRR_PAYLOAD_DMA] = sizeof(struct krr_dma),
};

/* What follows the fixed part; @what is set when the fixed part makes no sense. */
static uint64_t variable_size(const struct krr_record *record, KrrPayload payload,
                              const char **what)
{
    const void *p = krr_record_payload(record);

    switch (payload) {
    case KRR_PAYLOAD_ENTRY: {
        const struct krr_entry *entry = p;

        if (entry->vector > KRR_VECTOR_SYSCALL32) {
            *what = "vector of an entry out of range";
        } else if (entry->changed >> KRR_ENTRY_WORDS) {
            *what = "entry with unknown words";
        }
        return 8 * (uint64_t)__builtin_popcount(entry->changed);
    }
    case KRR_PAYLOAD_TRAP:
        if (((const struct krr_trap *)p)->vector > 255) {
            *what = "vector of a trap out of range";
        }
        return 0;
    case KRR_PAYLOAD_BYTES:
        return padded(((const struct krr_bytes *)p)->length);
    case KRR_PAYLOAD_DMA:
        return padded(((const struct krr_dma *)p)->length);
    case KRR_PAYLOAD_IO:
        if (record->site != 1 && record->site != 2 && record->site != 4 && record->site != 8) {
            *what = "size of a device access is not 1, 2, 4 or 8";
        }
        return 0;
    default:
        return 0;
    }
}

/* Written by a device that no vCPU's access made do so. */
static bool is_devices_own(const struct krr_record *record)
{
    return record->kind == KRR_KIND_DMA && record->vcpu == KRR_DEVICE_GROUP;
}

const char *krr_record_check(const struct krr_record *record, size_t available, uint32_t vcpus)
{
    const char *what = NULL;
    const KrrKind *kind;
    uint64_t fixed;

    if (available < sizeof(*record)) {
        return "record header is cut off";
    }
    kind = krr_kind(record->kind);
    if (!kind) {
        return "unknown kind";
    }
    if (record->size > available) {
        return "record is cut off";
    }
    if (record->size % 8 || record->size > KRR_RECORD_MAX) {
        return "size is odd or too large";
    }
    fixed = sizeof(*record) + payload_size[kind->payload];
    if (record->size < fixed) {
        return "record is too short for its kind";
    }
    if (record->vcpu >= vcpus && !is_devices_own(record)) {
        return "no such vCPU";
    }
    fixed += variable_size(record, kind->payload, &what);
    if (what) {
        return what;
    }
    return fixed == record->size ? NULL : "size does not fit the payload";
}

/* ---- describe ---- */

const char *krr_vector_name(uint32_t vector)
{
    static const char *const names[] = {
        "divide-error", "debug", "nmi", "breakpoint", "overflow", "bound", "invalid-opcode",
        "no-fpu", "double-fault", NULL, "invalid-tss", "segment-not-present", "stack-fault",
        "general-protection", "page-fault", NULL, "fpu-error", "alignment", "machine-check",
        "simd-error", "virtualization", "control-protection",
    };

    static __thread char number[16];

    switch (vector) {
    case KRR_VECTOR_SYSCALL:
        return "syscall";
    case KRR_VECTOR_SYSENTER:
        return "sysenter";
    case KRR_VECTOR_SYSCALL32:
        return "syscall32";
    default:
        if (vector < G_N_ELEMENTS(names) && names[vector]) {
            return names[vector];
        }
        snprintf(number, sizeof(number), "%" PRIu32, vector);
        return number;
    }
}

static void add_vector(GString *s, uint32_t vector)
{
    g_string_append_printf(s, " vector %s", krr_vector_name(vector));
}

static void add_previous(GString *s, uint64_t previous)
{
    g_string_append_printf(s, " previous vcpu %" PRIu32 " ordinal %" PRIu64,
                           KRR_PREVIOUS_VCPU(previous), (uint64_t)KRR_PREVIOUS_ORDINAL(previous));
}

#define SHOWN_BYTES 16

static void add_data(GString *s, const uint8_t *data, uint32_t length)
{
    uint32_t shown = MIN(length, SHOWN_BYTES);

    g_string_append(s, " data");
    for (uint32_t i = 0; i < shown; i++) {
        g_string_append_printf(s, " %02x", data[i]);
    }
    g_string_append(s, length > shown ? " ... |" : " |");
    for (uint32_t i = 0; i < shown; i++) {
        g_string_append_c(s, g_ascii_isprint(data[i]) ? data[i] : '.');
    }
    g_string_append_c(s, '|');
}

/* Up to the first NUL; no terminal takes what is appended for more than text. */
static void add_printable(GString *s, const char *text, size_t length)
{
    for (size_t i = 0; i < length && text[i]; i++) {
        if (g_ascii_isprint(text[i]) && text[i] != '"' && text[i] != '\\') {
            g_string_append_c(s, text[i]);
        } else {
            g_string_append_printf(s, "\\x%02x", (uint8_t)text[i]);
        }
    }
}

char *krr_end_text(const struct krr_end *end)
{
    GString *s = g_string_new(NULL);

    add_printable(s, end->text, sizeof(end->text));
    return g_string_free(s, false);
}

static void add_text(GString *s, const char *text, size_t length)
{
    g_string_append(s, " \"");
    add_printable(s, text, length);
    g_string_append_c(s, '"');
}

const char *krr_entry_word_name(unsigned word)
{
    static const char *const names[KRR_ENTRY_WORDS] = {
        "r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8", "rax", "rcx", "rdx",
        "rsi", "rdi", "orig_rax", "rip", "cs", "rflags", "rsp", "ss", "error", "cr2", "dr6",
    };

    return word < KRR_ENTRY_WORDS ? names[word] : "?";
}

static void add_entry(GString *s, const struct krr_entry *entry)
{
    const uint64_t *word = (const uint64_t *)entry->words;

    add_vector(s, entry->vector);
    add_previous(s, entry->previous);
    for (unsigned i = 0; i < KRR_ENTRY_WORDS; i++) {
        if (entry->changed >> i & 1) {
            g_string_append_printf(s, " %s=0x%" PRIx64, krr_entry_word_name(i), *word++);
        }
    }
}

static void add_trap(GString *s, const struct krr_trap *trap, unsigned kind)
{
    add_vector(s, trap->vector);
    g_string_append_printf(s, " error 0x%" PRIx32 " rip 0x%" PRIx64 " rsp 0x%" PRIx64 " rcx 0x%"
                           PRIx64 " cr2 0x%" PRIx64 " digest %016" PRIx64, trap->error_code,
                           (uint64_t)trap->rip, (uint64_t)trap->rsp, (uint64_t)trap->rcx,
                           (uint64_t)trap->cr2, (uint64_t)trap->digest);
    if (kind == KRR_KIND_EXCEPTION) {
        g_string_append_printf(s, " flags 0x%" PRIx64, (uint64_t)trap->flags);
    } else if (kind == KRR_KIND_WAKE) {
        add_previous(s, trap->previous);
    }
}

static void add_bytes(GString *s, uint64_t address, uint32_t length, uint32_t left,
                      const uint8_t *data)
{
    g_string_append_printf(s, " to 0x%" PRIx64 " length %" PRIu32, address, length);
    if (left) {
        g_string_append_printf(s, " left %" PRIu32, left);
    }
    add_data(s, data, length);
}

static void add_end(GString *s, const struct krr_end *end)
{
    g_string_append_printf(s, " reason %s status %" PRIu32 " rip 0x%" PRIx64,
                           krr_end_reason_name(end->reason), end->status, (uint64_t)end->rip);
    add_text(s, end->text, sizeof(end->text));
}

static void add_payload(GString *s, const struct krr_record *record, KrrPayload payload)
{
    const void *p = krr_record_payload(record);

    switch (payload) {
    case KRR_PAYLOAD_NONE:
        break;
    case KRR_PAYLOAD_END:
        add_end(s, p);
        break;
    case KRR_PAYLOAD_ENTRY:
        add_entry(s, p);
        break;
    case KRR_PAYLOAD_TRAP:
        add_trap(s, p, record->kind);
        break;
    case KRR_PAYLOAD_RESUME:
        add_previous(s, ((const struct krr_resume *)p)->previous);
        break;
    case KRR_PAYLOAD_VALUE:
        g_string_append_printf(s, " value 0x%" PRIx64,
                               (uint64_t)((const struct krr_value *)p)->value);
        break;
    case KRR_PAYLOAD_BYTES: {
        const struct krr_bytes *b = p;

        add_bytes(s, b->destination, b->length, b->left, b->data);
        break;
    }
    case KRR_PAYLOAD_DMA: {
        const struct krr_dma *d = p;

        add_bytes(s, d->address, d->length, d->left, d->data);
        break;
    }
    case KRR_PAYLOAD_CPUID: {
        const struct krr_cpuid *c = p;

        g_string_append_printf(s, " eax 0x%" PRIx32 " ebx 0x%" PRIx32 " ecx 0x%" PRIx32
                               " edx 0x%" PRIx32, c->eax, c->ebx, c->ecx, c->edx);
        break;
    }
    case KRR_PAYLOAD_IO: {
        const struct krr_io *io = p;

        g_string_append_printf(s, " address 0x%" PRIx64 " size %" PRIu32 " value 0x%" PRIx64,
                               (uint64_t)io->address, record->site, (uint64_t)io->value);
        break;
    }
    }
}

char *krr_record_describe(const struct krr_record *record)
{
    const KrrKind *kind = krr_kind(record->kind);
    GString *s = g_string_new(NULL);

    g_string_append(s, krr_kind_name(record->kind));
    if (is_devices_own(record)) {
        add_previous(s, record->ordinal);
    } else {
        g_string_append_printf(s, " vcpu %u ordinal %" PRIu64, record->vcpu,
                               (uint64_t)record->ordinal);
    }
    if (kind) {
        add_payload(s, record, kind->payload);
    }
    return g_string_free(s, FALSE);
}
