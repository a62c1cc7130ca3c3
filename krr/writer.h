/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Writing a trace. Calls come in this order:
 *
 *   krr_writer_new
 *   krr_writer_machine, krr_writer_cpu (each vCPU), krr_writer_ram (any number)
 *   krr_writer_start              the snapshot is complete and on disk
 *   krr_writer_records, krr_writer_flush (any number)
 *   krr_writer_final_ram (any number, only with KRR_MACHINE_FINAL_RAM)
 *   krr_writer_finish
 *   krr_writer_free
 *
 * Every function returns false and sets @errp on failure; after a failure the
 * writer only accepts krr_writer_free(), and what was written before stays
 * readable to the last whole chunk. One thread at a time.
 */
#ifndef KRR_WRITER_H
#define KRR_WRITER_H

#include <glib.h>
#include <stdbool.h>
#include "machine.h"
#include "stats.h"

typedef struct KrrWriter KrrWriter;

/*
 * Creates or replaces the file; a directory, a block device or a file that
 * another recorder is writing is refused. Pipes and character devices are
 * allowed. The caller frees the result.
 */
KrrWriter *krr_writer_new(const char *path, GError **errp);
bool krr_writer_machine(KrrWriter *w, const KrrMachine *machine, GError **errp);
bool krr_writer_cpu(KrrWriter *w, uint32_t vcpu, const KrrCpuState *cpu, GError **errp);

/*
 * Appends guest memory at guest-physical @address. @length bytes, a multiple of
 * 4096; pages of zeroes are left out (memory not in a trace is zero).
 */
bool krr_writer_ram(KrrWriter *w, uint64_t address, const void *data, size_t length, GError **errp);
bool krr_writer_start(KrrWriter *w, GError **errp);

/*
 * Appends whole records, already validated by krr_ring. They are collected and
 * written as a chunk when enough of them have come.
 */
bool krr_writer_records(KrrWriter *w, const void *records, size_t length, GError **errp);

/* Writes what has been collected, so that a crash of QEMU loses nothing before this call. */
bool krr_writer_flush(KrrWriter *w, GError **errp);

bool krr_writer_final_ram(KrrWriter *w, uint64_t address, const void *data, size_t length, GError **errp);

/* What only the recorder knows of the statistics; call these before krr_writer_finish(). */
void krr_writer_timing(KrrWriter *w, uint64_t pause_us, uint64_t duration_us, uint64_t ring_full);
/* Copies @times, which the guest may be writing to, as they are. */
void krr_writer_times(KrrWriter *w, uint32_t vcpu, const struct krr_times *times);

/* Completes the file: last chunk, statistics, footer, index, trailer. @reason is a
 * KRR_END_*, @text may be NULL. */
bool krr_writer_finish(KrrWriter *w, uint32_t reason, uint32_t status, const char *text, GError **errp);

/* Bytes written to the file so far, and records taken. */
uint64_t krr_writer_bytes(const KrrWriter *w);
const KrrStats *krr_writer_stats(const KrrWriter *w);
void krr_writer_free(KrrWriter *w);

#endif
