/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The table of record kinds: the only place that knows what a kind is called
 * and how its payload is laid out. Reader, ring, dump and statistics are driven by it.
 */
#ifndef KRR_KINDS_H
#define KRR_KINDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <linux/krr.h>

typedef enum KrrPayload {
    KRR_PAYLOAD_NONE, KRR_PAYLOAD_END, KRR_PAYLOAD_ENTRY, KRR_PAYLOAD_TRAP,
    KRR_PAYLOAD_RESUME, KRR_PAYLOAD_VALUE, KRR_PAYLOAD_BYTES,
    KRR_PAYLOAD_CPUID, KRR_PAYLOAD_IO, KRR_PAYLOAD_DMA,
} KrrPayload;

typedef struct KrrKind {
    const char *name;           /* "user-bytes" */
    KrrPayload payload;
    const char *description;    /* one line, for the manual */
} KrrKind;

/* NULL for a number that is no kind. */
const KrrKind *krr_kind(unsigned kind);
/* "user-bytes", or "kind 99". Never NULL. */
const char *krr_kind_name(unsigned kind);
/* "panic", or "reason 99". Never NULL. */
const char *krr_end_reason_name(uint32_t reason);
/* The guest's text in @end, or "": what is not printable as \x1b. The caller frees it. */
char *krr_end_text(const struct krr_end *end);
/* "r15", "error": enum krr_reg. Never NULL. */
const char *krr_entry_word_name(unsigned word);
/* "page-fault", "syscall", or the number. Never NULL. */
const char *krr_vector_name(uint32_t vector);

/*
 * Checks one record that starts at @record with @available bytes behind it:
 * size, kind, vCPU < @vcpus, payload lengths. Returns NULL if it is good, else
 * what is wrong with it (a static string).
 */
const char *krr_record_check(const struct krr_record *record, size_t available, uint32_t vcpus);

/* One line of text for a record (no newline): kind, vCPU, ordinal, payload.
 * The caller frees it (g_free). */
char *krr_record_describe(const struct krr_record *record);

static inline const void *krr_record_payload(const struct krr_record *record)
{
    return record + 1;
}

#endif
