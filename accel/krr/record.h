/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The recording side of QEMU. Target-neutral.
 *
 *   record.c           a recording from its start to its end
 *   record-trace.c     ring and file
 *   record-wait.c      vCPUs that wait for the kernel-entry lock
 *   record-group.c     the devices' part in it
 *   record-snapshot.c  what comes before the first record
 *   record-io.c        device accesses of vCPUs
 *   record-dma.c       device writes into guest memory
 *   record-bypass.c    devices that are not recorded
 *   record-ram.c       memory of the guest in the trace
 *   record-limits.c    what cannot be recorded
 *   record-monitor.c   QMP and HMP
 */
#ifndef ACCEL_KRR_RECORD_H
#define ACCEL_KRR_RECORD_H

#include <linux/krr.h>
#include "qapi/error.h"
#include "exec/memory.h"
#include "hw/core/cpu.h"
#include "qapi/qapi-types-krr.h"
#include "krr/options.h"
#include "krr/writer.h"

/* ---- record.c: set-up ---- */

void krr_record_configure(const KrrOptions *options, struct QDict *machine_opts,
                          int *default_vga, const char **cpu_option);
/* Exits with a message when this machine cannot be recorded. */
void krr_record_machine_ready(void);

/* For the device: size of its shared memory, its memory once it has it, its reset. */
uint64_t krr_record_shared_size(void);
void krr_record_attach(MemoryRegion *shared);
void krr_record_reset(void);

/* @cpu wrote @value into the doorbell register. By its thread, with or without the
 * BQL. */
void krr_record_doorbell(CPUState *cpu, uint32_t value);

/* A recording has ended: tells the user, soon. Any thread. */
void krr_record_ended(void);

/* ---- record-trace.c: while the guest runs ---- */

/*
 * Appends a record, and waits for room if there is none. By a thread of the owner of the
 * kernel-entry lock, a vCPU or the device group; with or without the BQL.
 */
void krr_record_append(const struct krr_record *record, const void *payload);

/* The area of @cpu if it owns the kernel-entry lock in a running recording. */
struct krr_area *krr_record_owner(CPUState *cpu);

/*
 * Ends the recording at what is in the ring now: writes an END record with
 * @reason (KRR_END_*) and completes the file. The guest runs on, unrecorded. Any
 * thread, with or without the BQL; does nothing when no recording runs.
 */
void krr_record_end(uint32_t reason, const char *format, ...) G_GNUC_PRINTF(2, 3);

/* ---- record.c: for the monitor, with the BQL ---- */

/* @path: NULL for the file of the command line. */
bool krr_record_start(const char *path, Error **errp);
bool krr_record_stop(Error **errp);
/* The caller frees the result. */
KrrInfo *krr_record_info(void);

/* ---- record-io.c ---- */

/* Where accesses never come to QEMU's notice. */
void krr_record_silent_describe(KrrMachine *machine);

/* ---- record-snapshot.c; vCPUs stand still ---- */

bool krr_snapshot_describe(KrrMachine *machine, MemoryRegion *shared, bool final_ram,
                         Error **errp);
/* Writes everything up to the first record. */
bool krr_snapshot_write(KrrWriter *writer, const KrrMachine *machine, Error **errp);

/* ---- record-dma.c ---- */

/*
 * Writes @size bytes (1, 2, 4 or 8) of @data into guest memory at @address without a record.
 * False: nothing done, there is no memory, or not all of them are in one piece of it.
 */
bool krr_record_unseen(hwaddr address, const void *data, unsigned size, MemTxAttrs attrs);

/* ---- record-ram.c ---- */

/* Fills in the ranges of @machine: all that the guest reads without an exit,
 * except @shared. With the BQL. */
bool krr_record_ranges(KrrMachine *machine, MemoryRegion *shared, Error **errp);
/* Writes the contents of these ranges; @final: as memory at the end. vCPUs stand
 * still. */
bool krr_record_ram(KrrWriter *writer, const KrrMachine *machine, bool final,
                    Error **errp);
/* Guest-physical address of @offset in @mr; false if the guest does not see it. */
bool krr_record_physical(MemoryRegion *mr, uint64_t offset, uint64_t *address);

/* ---- record-limits.c ---- */

/* What the machine needs before it is built, as options that the user has not given. */
void krr_record_defaults(struct QDict *machine_opts, int *default_vga,
                         const char **cpu_option);
/* Refuses machines that cannot be recorded, naming what is in the way. */
bool krr_record_check_machine(Error **errp);
/* From now on: ends the recording when the memory map changes, blocks migration. */
bool krr_record_watch(Error **errp);

/* GError to Error. */
void krr_record_propagate(Error **errp, GError *err);

#endif
