/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Numbers about a trace; counted by writer and replayer, stored at its end. */
#ifndef KRR_STATS_H
#define KRR_STATS_H

#include <stdbool.h>
#include <stdint.h>
#include <linux/krr.h>

#define KRR_STATS_KINDS 64

typedef struct KrrStats {
    uint64_t records[KRR_STATS_KINDS];      /* by kind */
    uint64_t bytes[KRR_STATS_KINDS];        /* by kind, with headers */
    uint64_t vectors[256 + 3]; /* entries and traps by vector (KRR_VECTOR_*) */
    uint64_t console_bytes;                 /* data written to the first UART (0x3f8, DLAB clear) */
    uint64_t raw_bytes;                     /* event bytes before compression */
    uint64_t file_bytes;                    /* event bytes on disk */
    uint64_t pause_us;                      /* the guest stood still for the snapshot */
    uint64_t duration_us;                   /* of the recorded stretch, wall time */
    uint64_t ring_full;                     /* times the guest waited for room */
    struct krr_times times[KRR_MAX_VCPUS];  /* what the guest says of its lock, unchecked */
} KrrStats;

/* Watches the UART's divisor latch to tell console data from divisor bytes. */
typedef struct KrrConsole {
    bool dlab;
} KrrConsole;

/* Returns true and sets @byte when the record is a byte of console output. */
bool krr_console_byte(KrrConsole *console, const struct krr_record *record, uint8_t *byte);

void krr_stats_record(KrrStats *stats, const struct krr_record *record);

/* ---- the kernel-entry lock ---- */

/* "wait", or "?". Never NULL. */
const char *krr_handoff_name(unsigned reason);

/* Times in a histogram of struct krr_times. */
uint64_t krr_histogram_count(const __u64 *histogram);
/*
 * The bucket that @percent of all times lie in or below: 50 the median's, 100 the
 * longest's. -1 for an empty histogram.
 */
int krr_histogram_bucket(const __u64 *histogram, unsigned percent);

#endif
