/* SPDX-License-Identifier: GPL-2.0-or-later */
/* io_uring by system calls and memory, as far as the tests need it: no library is in the guest. */
#ifndef KRR_TEST_IO_RING_H
#define KRR_TEST_IO_RING_H

#include <linux/io_uring.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "check.h"

struct io_ring {
    int fd;
    unsigned flags;             /* IORING_SETUP_* */
    unsigned entries, cq_entries;
    _Atomic unsigned *head, *tail, *sq_flags, *dropped;
    _Atomic unsigned *array;
    _Atomic unsigned *cq_head, *cq_tail, *cq_flags, *overflow;
    uint8_t *sqes;
    uint8_t *cqes;
    void *rings;
    size_t rings_size, sqes_size;
    unsigned queued;            /* behind what the kernel knows of */
};

static inline size_t io_ring_sqe_size(const struct io_ring *ring)
{
    return sizeof(struct io_uring_sqe) << !!(ring->flags & IORING_SETUP_SQE128);
}

static inline size_t io_ring_cqe_size(const struct io_ring *ring)
{
    return sizeof(struct io_uring_cqe) << !!(ring->flags & IORING_SETUP_CQE32);
}

static inline void *io_ring_map(int fd, size_t size, uint64_t offset)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, offset);

    CHECK(p != MAP_FAILED);
    return p;
}

/* @idle: milliseconds until a polling thread sleeps. */
static inline void io_ring_open(struct io_ring *ring, unsigned entries, unsigned flags,
                                unsigned idle)
{
    struct io_uring_params p = { .flags = flags, .sq_thread_idle = idle };
    uint8_t *rings;

    memset(ring, 0, sizeof(*ring));
    ring->flags = flags;
    ring->fd = syscall(SYS_io_uring_setup, entries, &p);
    CHECK(ring->fd >= 0 && p.features & IORING_FEAT_SINGLE_MMAP);
    ring->entries = p.sq_entries;
    ring->cq_entries = p.cq_entries;
    ring->rings_size = p.sq_off.array + p.sq_entries * sizeof(unsigned);
    if (ring->rings_size < p.cq_off.cqes + p.cq_entries * io_ring_cqe_size(ring)) {
        ring->rings_size = p.cq_off.cqes + p.cq_entries * io_ring_cqe_size(ring);
    }
    ring->sqes_size = p.sq_entries * io_ring_sqe_size(ring);
    ring->rings = rings = io_ring_map(ring->fd, ring->rings_size, IORING_OFF_SQ_RING);
    ring->sqes = io_ring_map(ring->fd, ring->sqes_size, IORING_OFF_SQES);
    ring->head = (void *)(rings + p.sq_off.head);
    ring->tail = (void *)(rings + p.sq_off.tail);
    ring->sq_flags = (void *)(rings + p.sq_off.flags);
    ring->dropped = (void *)(rings + p.sq_off.dropped);
    ring->array = (void *)(rings + p.sq_off.array);
    ring->cq_head = (void *)(rings + p.cq_off.head);
    ring->cq_tail = (void *)(rings + p.cq_off.tail);
    ring->cq_flags = (void *)(rings + p.cq_off.flags);
    ring->overflow = (void *)(rings + p.cq_off.overflow);
    ring->cqes = rings + p.cq_off.cqes;
}

static inline void io_ring_close(struct io_ring *ring)
{
    CHECK(munmap(ring->rings, ring->rings_size) == 0);
    CHECK(munmap(ring->sqes, ring->sqes_size) == 0);
    CHECK(close(ring->fd) == 0);
}

static inline int io_ring_register(struct io_ring *ring, unsigned what, void *argument, unsigned n)
{
    return syscall(SYS_io_uring_register, ring->fd, what, argument, n);
}

static inline int io_ring_enter(struct io_ring *ring, unsigned submit, unsigned wait,
                                unsigned flags)
{
    return syscall(SYS_io_uring_enter, ring->fd, submit, wait, flags, NULL, 0);
}

/* The next SQE, cleared; @data names it in its CQE. */
static inline struct io_uring_sqe *io_ring_sqe(struct io_ring *ring, uint8_t opcode, int fd,
                                               const void *address, unsigned length,
                                               uint64_t offset, uint64_t data)
{
    unsigned place = (atomic_load(ring->tail) + ring->queued++) & (ring->entries - 1);
    struct io_uring_sqe *sqe = (void *)(ring->sqes + place * io_ring_sqe_size(ring));

    CHECK(ring->queued <= ring->entries);
    memset(sqe, 0, io_ring_sqe_size(ring));
    sqe->opcode = opcode;
    sqe->fd = fd;
    sqe->addr = (uintptr_t)address;
    sqe->len = length;
    sqe->off = offset;
    sqe->user_data = data;
    atomic_store(&ring->array[place], place);
    return sqe;
}

/* Shows the queued SQEs to the kernel. Returns how many. */
static inline unsigned io_ring_publish(struct io_ring *ring)
{
    unsigned n = ring->queued;

    ring->queued = 0;
    atomic_store(ring->tail, atomic_load(ring->tail) + n);
    return n;
}

/* Publishes, and sees to it that all of it is submitted. */
static inline void io_ring_submit(struct io_ring *ring)
{
    unsigned n = io_ring_publish(ring);

    if (!(ring->flags & IORING_SETUP_SQPOLL)) {
        CHECK(io_ring_enter(ring, n, 0, 0) == (int)n);
    } else if (atomic_load(ring->sq_flags) & IORING_SQ_NEED_WAKEUP) {
        CHECK(io_ring_enter(ring, n, 0, IORING_ENTER_SQ_WAKEUP) == (int)n);
    }
}

/* What a CQE begins with. */
struct io_result {
    uint64_t user_data;
    int32_t res;
    uint32_t flags;
};

/* The next CQE, if there is one. */
static inline int io_ring_peek(struct io_ring *ring, struct io_result *result)
{
    unsigned head = atomic_load(ring->cq_head);

    if (head == atomic_load(ring->cq_tail)) {
        return 0;
    }
    memcpy(result, ring->cqes + (head & (ring->cq_entries - 1)) * io_ring_cqe_size(ring),
           sizeof(*result));
    atomic_store(ring->cq_head, head + 1);
    return 1;
}

/* The next CQE; sleeps in the kernel until there is one. */
static inline struct io_result io_ring_wait(struct io_ring *ring)
{
    struct io_result cqe;

    while (!io_ring_peek(ring, &cqe)) {
        CHECK(io_ring_enter(ring, 0, 1, IORING_ENTER_GETEVENTS) >= 0);
    }
    return cqe;
}

/* Submits, and insists on the next CQE. */
static inline void io_ring_expect(struct io_ring *ring, uint64_t data, int result)
{
    struct io_result cqe;

    if (ring->queued) {
        io_ring_submit(ring);
    }
    cqe = io_ring_wait(ring);
    if (cqe.user_data != data || cqe.res != result) {
        fprintf(stderr, "request %llu: %d, expected request %llu: %d\n",
                (unsigned long long)cqe.user_data, cqe.res, (unsigned long long)data, result);
        exit(1);
    }
}

#endif
