/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The trace that is being written: ring, file, and the thread that carries
 * records from one to the other.
 *
 * All of this may be called by any thread, with or without the BQL. One lock
 * protects the file and the consuming side of the ring; nobody who holds it takes
 * another one.
 */
#ifndef ACCEL_KRR_RECORD_TRACE_H
#define ACCEL_KRR_RECORD_TRACE_H

#include <linux/krr.h>
#include "qapi/error.h"
#include "krr/machine.h"
#include "krr/writer.h"

/* How the last recording ended. */
typedef struct KrrTraceResult {
    struct krr_end end;
    uint64_t records, bytes;    /* no bytes: there was none */
    const char *error;          /* the file is not complete: why; else NULL */
} KrrTraceResult;

/* Starts the thread. */
void krr_trace_init(void);

/* (Re)initialises shared memory at @bar; no recording may run. */
void krr_trace_reset(void *bar, uint32_t ring_size, uint32_t vcpus, uint32_t flags);
const struct krr_shared *krr_trace_shared(void);
/* The kernel-entry lock, for the device group. */
struct krr_lock *krr_trace_lock(void);
uint32_t krr_trace_vcpus(void);
const struct krr_area *krr_trace_area(uint32_t vcpu);

/*
 * Begins a recording: creates the file, has @snapshot write what comes before
 * the first record, and turns records on. @park_time: since when (microseconds,
 * monotonic) the vCPUs have stood still for it; @pause_us is set to how long.
 */
typedef bool (*KrrSnapshotFn)(KrrWriter *writer, void *opaque, Error **errp);
bool krr_trace_begin(const char *path, int64_t park_time, KrrSnapshotFn snapshot,
                     void *opaque, uint64_t *pause_us, Error **errp);

/*
 * The guest has put END into the ring and rung; all vCPUs stand still. @ram, if
 * not NULL, writes memory at the end.
 */
void krr_trace_end_by_guest(KrrSnapshotFn ram, void *opaque);

/* Makes room in a ring that its producer found full. */
void krr_trace_make_room(void);

/* Turns the guest's hooks off: no recording runs or comes about. */
void krr_trace_close_areas(void);

/* True if a recording runs; its figures so far. */
bool krr_trace_progress(uint64_t *records, uint64_t *bytes, uint64_t *duration_us);
/* True once after each end of a recording. */
bool krr_trace_take_result(KrrTraceResult *result);
/* The same without taking it; reason 0 if none has ended yet. With the BQL, which
 * keeps the error's text alive. */
void krr_trace_last_result(KrrTraceResult *result);

#endif
