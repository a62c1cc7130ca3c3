/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ring in BAR2, seen from QEMU. The guest writes it too, and may write
 * nonsense: every position and record is checked, and a ring that makes no
 * sense is an error, never a crash or an endless loop.
 */
#ifndef KRR_RING_H
#define KRR_RING_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <linux/krr.h>

typedef struct KrrRing {
    struct krr_shared *shared;
    uint8_t *data;
    uint32_t size;          /* bytes; our own copy, the one in shared is the guest's to scribble on */
    uint32_t vcpus;
    uint64_t tail;          /* our own copy */
} KrrRing;

/* Lays out BAR2 at @bar and describes it in @ring.
 * krr_ring_bar_size() gives the size to allocate for a ring of @ring_size. */
uint64_t krr_ring_bar_size(uint32_t ring_size);
void krr_ring_init(KrrRing *ring, void *bar, uint32_t ring_size, uint32_t vcpus, uint32_t flags);
struct krr_area *krr_ring_area(const KrrRing *ring, uint32_t vcpu);

/*
 * Appends one record as the owner of the lock (QEMU writes the I/O records).
 * @payload: record->size - 16 bytes, padding included; NULL for none.
 * Returns 1 when done, 0 when there is no room now (drain, then try again),
 * -1 with @errp when the ring makes no sense.
 */
int krr_ring_append(KrrRing *ring, const struct krr_record *record, const void *payload, GError **errp);

/*
 * Hands whole, checked records from the tail to @fn, at most up to the head as it is now,
 * then moves the tail behind the last one that @fn took. A record is copied out of the ring before it is checked, so that the guest
 * cannot change it in between. Returns the number of bytes taken, -1 with @errp.
 */
typedef bool (*KrrRingFn)(const struct krr_record *record, void *opaque, GError **errp);
gssize krr_ring_drain(KrrRing *ring, KrrRingFn fn, void *opaque, GError **errp);

/* Bytes waiting; more than size when the head makes no sense. */
uint64_t krr_ring_used(const KrrRing *ring);

#endif
