/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The device group: all of QEMU that is no vCPU's instruction. It is one participant of
 * the kernel-entry lock, so what its devices write into guest memory has a place in the order
 * of slices.
 *
 * Threads are in it or not. The main loop is in it from the moment it has something to do
 * until it waits again; a vCPU's thread is for an access to a device that is not its
 * kernel's. The lock comes before the BQL: nobody who holds the BQL may enter.
 */
#ifndef ACCEL_KRR_RECORD_GROUP_H
#define ACCEL_KRR_RECORD_GROUP_H

#include <stdbool.h>
#include <stdint.h>

/* Once. */
void krr_group_init(void);

/*
 * This thread is in the group from now on: the lock is the group's, unless no recording runs or
 * its owner stands still for good (krr_group_abandon()). Waits for the lock. Without
 * the BQL.
 */
void krr_group_enter(void);
/* This thread leaves the group; the last one gives the lock up. */
void krr_group_leave(void);
/* Is this thread in it, and the lock the group's? */
bool krr_group_inside(void);

/* A recording is about to begin; all vCPUs stand still, the lock is cleared. By the main loop,
 * which is in the group from now on. */
void krr_group_begin(void);

/*
 * The vCPU that owns the lock does not go on: it has been stopped, or rang END. Who waits for the lock to
 * enter goes on without it, and the lock is of no more use. Any thread.
 */
void krr_group_abandon(void);
bool krr_group_abandoned(void);

/* For how many milliseconds the group has waited for the lock; 0 if it does not. */
int64_t krr_group_waits(void);

#endif
