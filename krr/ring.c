/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <inttypes.h>
#include <string.h>

#include "error.h"
#include "kinds.h"
#include "ring.h"

#define KRR_AREA_OFFSET 0x4000u     /* areas are aligned to their size */
#define KRR_RING_OFFSET (KRR_AREA_OFFSET + KRR_MAX_VCPUS * KRR_AREA_SIZE)

uint64_t krr_ring_bar_size(uint32_t ring_size)
{
    uint64_t needed = (uint64_t)KRR_RING_OFFSET + ring_size;
    uint64_t size = KRR_RING_MIN;

    /* PCI wants a power of two. */
    while (size < needed) {
        size *= 2;
    }
    return size;
}

void krr_ring_init(KrrRing *ring, void *bar, uint32_t ring_size, uint32_t vcpus, uint32_t flags)
{
    struct krr_shared *shared = bar;

    g_assert(ring_size >= KRR_RING_MIN && ring_size <= KRR_RING_MAX);
    g_assert((ring_size & (ring_size - 1)) == 0);
    g_assert(vcpus >= 1 && vcpus <= KRR_MAX_VCPUS);

    memset(bar, 0, KRR_RING_OFFSET);
    shared->magic = KRR_ABI_MAGIC;
    shared->version = KRR_ABI_VERSION;
    shared->vcpus = vcpus;
    shared->flags = flags;
    shared->area_offset = KRR_AREA_OFFSET;
    shared->ring_offset = KRR_RING_OFFSET;
    shared->ring_size = ring_size;
    shared->state = KRR_STATE_OFF;

    *ring = (KrrRing) {
        .shared = shared,
        .data = (uint8_t *)bar + KRR_RING_OFFSET,
        .size = ring_size,
        .vcpus = vcpus,
    };
    for (uint32_t i = 0; i < vcpus; i++) {
        krr_ring_area(ring, i)->vcpu = i;
    }
}

struct krr_area *krr_ring_area(const KrrRing *ring, uint32_t vcpu)
{
    g_assert(vcpu < KRR_MAX_VCPUS);
    return (struct krr_area *)((uint8_t *)ring->shared + KRR_AREA_OFFSET +
                               (size_t)vcpu * KRR_AREA_SIZE);
}

/* ---- the shared words; the guest may write them too ---- */

static uint64_t load_head(const KrrRing *ring)
{
    return __atomic_load_n(&ring->shared->ring_head, __ATOMIC_ACQUIRE);
}

static void store_head(KrrRing *ring, uint64_t head)
{
    __atomic_store_n(&ring->shared->ring_head, head, __ATOMIC_RELEASE);
}

/* The drain thread moves the tail while a vCPU's thread appends. */
static uint64_t load_tail(const KrrRing *ring)
{
    return __atomic_load_n(&ring->tail, __ATOMIC_ACQUIRE);
}

static void store_tail(KrrRing *ring, uint64_t tail)
{
    __atomic_store_n(&ring->tail, tail, __ATOMIC_RELEASE);
    __atomic_store_n(&ring->shared->ring_tail, tail, __ATOMIC_RELEASE);
}

static uint32_t place(const KrrRing *ring, uint64_t position)
{
    return position & (ring->size - 1);
}

/* Copies what the guest can change under our feet, once. */
static void copy_out(void *to, const KrrRing *ring, uint64_t position, size_t length)
{
    memcpy(to, ring->data + place(ring, position), length);
    __asm__ volatile("" ::: "memory");
}

uint64_t krr_ring_used(const KrrRing *ring)
{
    uint64_t tail = load_tail(ring);

    return load_head(ring) - tail;
}

static bool positions_valid(const KrrRing *ring, uint64_t head, uint64_t tail, GError **errp)
{
    if (head - tail <= ring->size && head % 8 == 0) {
        return true;
    }
    g_set_error(errp, KRR_ERROR, KRR_ERROR_GUEST,
                "ring: head %" PRIu64 " makes no sense with tail %" PRIu64 " and size %" PRIu32
                "; the guest has overwritten the shared page", head, tail, ring->size);
    return false;
}

/* ---- append ---- */

/* A PAD may have only eight bytes to stand in, which hold kind and size. */
static void write_pad(KrrRing *ring, uint64_t position, uint32_t length)
{
    struct krr_record pad = { .kind = KRR_KIND_PAD, .size = length };

    memcpy(ring->data + place(ring, position), &pad, MIN(length, sizeof(pad)));
}

int krr_ring_append(KrrRing *ring, const struct krr_record *record, const void *payload,
                    GError **errp)
{
    uint64_t tail = load_tail(ring);
    uint64_t head = load_head(ring);
    uint32_t to_end = ring->size - place(ring, head);
    uint32_t pad = to_end < record->size ? to_end : 0;
    uint8_t *to;

    if (!positions_valid(ring, head, tail, errp)) {
        return -1;
    }
    if (head - tail + pad + record->size > ring->size) {
        return 0;
    }
    if (pad) {
        write_pad(ring, head, pad);
        head += pad;
    }
    to = ring->data + place(ring, head);
    memcpy(to, record, sizeof(*record));
    if (record->size > sizeof(*record)) {
        memcpy(to + sizeof(*record), payload, record->size - sizeof(*record));
    }
    store_head(ring, head + record->size);
    return 1;
}

/* ---- drain ---- */

typedef union KrrRingCopy {
    struct krr_record record;
    uint8_t bytes[KRR_RECORD_MAX];
} KrrRingCopy;

static gssize bad_record(const KrrRing *ring, uint64_t position, const struct krr_record *record,
                         const char *what, GError **errp)
{
    g_set_error(errp, KRR_ERROR, KRR_ERROR_GUEST,
                "ring: record at position %" PRIu64 " (place %" PRIu32 "): %s; kind %u, vCPU %u, "
                "size %u; the guest has overwritten the ring", position, place(ring, position),
                what, record->kind, record->vcpu, record->size);
    return -1;
}

/*
 * Takes the record at @position, with @head as the end of what there is, by way of @copy.
 * Returns its size, 0 when @fn refuses it, -1 when it is no record.
 */
static gssize drain_one(KrrRing *ring, uint64_t position, uint64_t head, KrrRingCopy *copy,
                        KrrRingFn fn, void *opaque, GError **errp)
{
    uint32_t to_end = ring->size - place(ring, position);
    uint32_t available = MIN(to_end, head - position);
    struct krr_record *record = &copy->record;
    uint16_t size;
    const char *what;

    *record = (struct krr_record) { 0 };
    copy_out(copy, ring, position, MIN(available, sizeof(*record)));
    size = record->size;
    if (record->kind == KRR_KIND_PAD) {
        if (size != to_end || size > available) {
            return bad_record(ring, position, record, "padding of a wrong length", errp);
        }
        return size;
    }
    if (size >= sizeof(*record) && size <= MIN(available, sizeof(*copy))) {
        copy_out(copy->bytes + sizeof(*record), ring, position + sizeof(*record),
                 size - sizeof(*record));
    }
    what = krr_record_check(record, available, ring->vcpus);
    if (what) {
        return bad_record(ring, position, record, what, errp);
    }
    return fn(record, opaque, errp) ? size : 0;
}

gssize krr_ring_drain(KrrRing *ring, KrrRingFn fn, void *opaque, GError **errp)
{
    uint64_t tail = load_tail(ring);
    uint64_t head = load_head(ring);
    uint64_t position = tail;
    KrrRingCopy copy;           /* once for all: QEMU's compiler flags zero it */
    gssize taken;

    if (!positions_valid(ring, head, tail, errp)) {
        return -1;
    }
    while (position != head) {
        taken = drain_one(ring, position, head, &copy, fn, opaque, errp);
        if (taken <= 0) {
            break;
        }
        position += taken;
    }
    store_tail(ring, position);
    return position == head ? (gssize)(position - tail) : -1;
}
