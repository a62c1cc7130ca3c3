/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Numbers about a trace; counted by writer and replayer, stored in the footer. */
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
} KrrStats;

/* Watches the UART's divisor latch to tell console data from divisor bytes. */
typedef struct KrrConsole {
    bool dlab;
} KrrConsole;

/* Returns true and sets @byte when the record is a byte of console output. */
bool krr_console_byte(KrrConsole *console, const struct krr_record *record, uint8_t *byte);

void krr_stats_record(KrrStats *stats, const struct krr_record *record);

#endif
