/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <glib.h>

#include "kinds.h"
#include "stats.h"

#define UART        0x3f8
#define UART_LCR    (UART + 3)
#define LCR_DLAB    0x80

bool krr_console_byte(KrrConsole *console, const struct krr_record *record, uint8_t *byte)
{
    const struct krr_io *io = krr_record_payload(record);

    if (record->kind != KRR_KIND_PORT_WRITE || record->site != 1) {
        return false;
    }
    if (io->address == UART_LCR) {
        console->dlab = io->value & LCR_DLAB;
        return false;
    }
    if (io->address != UART || console->dlab) {
        return false;
    }
    *byte = io->value;
    return true;
}

void krr_stats_record(KrrStats *stats, const struct krr_record *record)
{
    const KrrKind *kind = krr_kind(record->kind);
    uint32_t vector = G_MAXUINT32;

    if (record->kind < KRR_STATS_KINDS) {
        stats->records[record->kind]++;
        stats->bytes[record->kind] += record->size;
    }
    stats->raw_bytes += record->size;
    if (kind && kind->payload == KRR_PAYLOAD_ENTRY) {
        vector = ((const struct krr_entry *)krr_record_payload(record))->vector;
    } else if (kind && kind->payload == KRR_PAYLOAD_TRAP) {
        vector = ((const struct krr_trap *)krr_record_payload(record))->vector;
    }
    if (vector < G_N_ELEMENTS(stats->vectors)) {
        stats->vectors[vector]++;
    }
}

/* ---- the kernel-entry lock ---- */

const char *krr_handoff_name(unsigned reason)
{
    static const char *const names[KRR_HANDOFF_REASONS] = {
        [KRR_HANDOFF_WAIT] = "wait",
        [KRR_HANDOFF_RESCHED] = "resched",
        [KRR_HANDOFF_LONG] = "long",
    };

    return reason < KRR_HANDOFF_REASONS && names[reason] ? names[reason] : "?";
}

uint64_t krr_histogram_count(const __u64 *histogram)
{
    uint64_t count = 0;

    for (unsigned i = 0; i < KRR_TIME_BUCKETS; i++) {
        count += histogram[i];
    }
    return count;
}

int krr_histogram_bucket(const __u64 *histogram, unsigned percent)
{
    uint64_t count = krr_histogram_count(histogram);
    /* Rounded down, so that the bucket found leaves no more than that above it. */
    uint64_t above = count / 100 * (100 - percent) + count % 100 * (100 - percent) / 100;
    int bucket = KRR_TIME_BUCKETS - 1;

    if (!count) {
        return -1;
    }
    while (bucket > 0 && histogram[bucket] <= above) {
        above -= histogram[bucket--];
    }
    return bucket;
}
