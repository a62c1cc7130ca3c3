/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vCPUs that wait for the kernel-entry lock: their sleep, and an owner that never lets go. */
#ifndef ACCEL_KRR_RECORD_WAIT_H
#define ACCEL_KRR_RECORD_WAIT_H

#include "exec/memory.h"
#include "hw/core/cpu.h"
#include "qemu/event_notifier.h"

/* Gives each vCPU and the device group something to sleep on. @pio: the doorbell's region, from which
 * KVM rings WAKE without an exit to QEMU. Once, when the device is made. */
bool krr_wait_init(MemoryRegion *pio, uint32_t vcpus, Error **errp);

/* Is @notifier one of those? */
bool krr_wait_owns(const EventNotifier *notifier);

/* Puts @cpu to sleep until it is woken or kicked, or if it dozes, for 0.1 ms at most. By
 * its thread, with or without the BQL, which is not held meanwhile. */
void krr_wait_sleep(CPUState *cpu, bool doze);

/* The same for a thread of the device group, without the BQL. */
void krr_wait_sleep_group(bool doze);

/* Ends the sleep of a vCPU or of KRR_DEVICE_GROUP, or its next one. Any thread; @vcpu may be any
 * number. */
void krr_wait_wake(uint32_t vcpu);
void krr_wait_wake_all(void);

/* Ends the recording when an owner keeps the lock for good while others wait. By the thread
 * that drains the ring, now and then. */
void krr_wait_look(void);

#endif
