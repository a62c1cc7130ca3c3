/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The slow path of the kernel-entry lock (linux/krr-lock.h): a vCPU that has looked
 * for it long enough sleeps on an eventfd, or dozes: then not for long. KVM itself
 * signals that when another vCPU rings WAKE, and a kick of the vCPU's thread does, so
 * that stops, work for the vCPU and the end of QEMU are not kept waiting.
 *
 * A signal that comes before the sleep ends it at once; the guest looks at the lock and
 * comes again. So none is ever lost, and one too many does no harm.
 */
#include "qemu/osdep.h"
#include <poll.h>
#include "qapi/error.h"
#include "qemu/main-loop.h"
#include "qemu/timer.h"
#include "system/hw_accel.h"
#include "target/i386/krr/cpu-state.h"
#include "krr-hooks.h"
#include "record.h"
#include "record-group.h"
#include "record-trace.h"
#include "record-wait.h"

/* Of KRR_BELL_DOZE: about KRR_LOCK_PATIENCE cycles. */
#define DOZE_NS     100000

/* An owner without a sign of life for so long, while others wait, does not come
 * back. The virtual clock: a stopped guest does not count. */
#define STALL_MS    10000
#define LOOK_MS     1000

/* A guest's signs of life, as far as the lock goes. */
typedef struct Signs {
    uint32_t owner;             /* vCPU and one; 0 nobody, or nobody waits */
    uint64_t ordinal;
    uint64_t ring_head;
    uint64_t previous;
    uint32_t serving;
} Signs;

static struct {
    EventNotifier sleep[KRR_MAX_VCPUS], sleep_group;
    uint32_t vcpus;             /* 0: there is no device */

    int64_t looked;             /* when the signs were last looked at, milliseconds */
    Signs signs;                /* as they were then */
    int64_t since;              /* when they last changed, milliseconds */
} waiting;

static EventNotifier *notifier_of(uint32_t vcpu)
{
    if (vcpu == KRR_DEVICE_GROUP) {
        return &waiting.sleep_group;
    }
    return vcpu < waiting.vcpus ? &waiting.sleep[vcpu] : NULL;
}

static bool add_notifier(MemoryRegion *pio, uint32_t vcpu, Error **errp)
{
    EventNotifier *notifier = notifier_of(vcpu);
    int err = event_notifier_init(notifier, 0);

    if (err < 0) {
        error_setg_errno(errp, -err, "no eventfd for the kernel-entry lock");
        return false;
    }
    memory_region_add_eventfd(pio, KRR_PIO_DOORBELL, 4, true, KRR_BELL_WAKE | vcpu << 8,
                              notifier);
    return true;
}

bool krr_wait_init(MemoryRegion *pio, uint32_t vcpus, Error **errp)
{
    waiting.vcpus = vcpus;
    for (uint32_t i = 0; i < vcpus; i++) {
        if (!add_notifier(pio, i, errp)) {
            return false;
        }
    }
    return add_notifier(pio, KRR_DEVICE_GROUP, errp);
}

bool krr_wait_owns(const EventNotifier *notifier)
{
    return notifier == &waiting.sleep_group ||
           (notifier >= waiting.sleep && notifier < waiting.sleep + KRR_MAX_VCPUS);
}

/* A signal may end a doze early, but not a sleep. */
static void sleep_on(EventNotifier *notifier, bool doze)
{
    struct pollfd fd = { .fd = event_notifier_get_fd(notifier), .events = POLLIN };
    const struct timespec limit = { .tv_nsec = DOZE_NS };
    int ready;

    do {
        ready = ppoll(&fd, 1, doze ? &limit : NULL, NULL);
    } while (ready < 0 && errno == EINTR && !doze);
    event_notifier_test_and_clear(notifier);
}

void krr_wait_sleep(CPUState *cpu, bool doze)
{
    bool locked = bql_locked();

    if (cpu->cpu_index >= waiting.vcpus || !qatomic_read(&krr_record_active)) {
        return;
    }
    if (locked) {
        bql_unlock();
    }
    sleep_on(&waiting.sleep[cpu->cpu_index], doze);
    if (locked) {
        bql_lock();
    }
}

void krr_wait_sleep_group(bool doze)
{
    sleep_on(&waiting.sleep_group, doze);
}

void krr_wait_wake(uint32_t vcpu)
{
    EventNotifier *notifier = notifier_of(vcpu);

    if (notifier) {
        event_notifier_set(notifier);
    }
}

void krr_wait_wake_all(void)
{
    for (uint32_t i = 0; i < waiting.vcpus; i++) {
        krr_wait_wake(i);
    }
    krr_wait_wake(KRR_DEVICE_GROUP);
}

void krr_record_kicked(CPUState *cpu)
{
    krr_wait_wake(cpu->cpu_index);
}

/* ---- an owner that does not let go ---- */

static Signs look(void)
{
    const struct krr_shared *shared = krr_trace_shared();
    uint32_t word = qatomic_read(&shared->lock.word);
    uint32_t owner = KRR_LOCK_OWNER(word);
    Signs signs = { 0 };

    if (KRR_LOCK_HEAD(word) && owner && owner <= waiting.vcpus) {
        signs.owner = owner;
        signs.ordinal = qatomic_read(&krr_trace_area(owner - 1)->ordinal);
        signs.ring_head = qatomic_read(&shared->ring_head);
        signs.previous = qatomic_read(&shared->lock.previous);
        signs.serving = qatomic_read(&shared->lock.serving);
    }
    return signs;
}

static bool same(const Signs *a, const Signs *b)
{
    return a->owner == b->owner && a->ordinal == b->ordinal &&
           a->ring_head == b->ring_head && a->previous == b->previous &&
           a->serving == b->serving;
}

/* By the thread of the vCPU that owns the lock, outside of the guest. */
static void end_stalled(CPUState *cpu, run_on_cpu_data data)
{
    cpu_synchronize_state(cpu);
    krr_record_end(KRR_END_STALL, "vCPU %d kept the kernel for %d s at RIP 0x%" PRIx64
                   " while others waited", cpu->cpu_index, STALL_MS / 1000,
                   krr_cpu_rip(cpu));
}

static void look_for_stall(int64_t now)
{
    Signs signs = look();

    if (!signs.owner || !same(&signs, &waiting.signs)) {
        waiting.signs = signs;
        waiting.since = now;
    } else if (now - waiting.since >= STALL_MS) {
        waiting.since = now;
        async_run_on_cpu(qemu_get_cpu(signs.owner - 1), end_stalled, RUN_ON_CPU_NULL);
    }
    /* Whatever the guest does meanwhile: the monitor waits too. */
    if (krr_group_waits() >= 2 * STALL_MS) {
        krr_record_end(KRR_END_STALL, "the guest did not let devices have the kernel-entry lock "
                       "for %d s", 2 * STALL_MS / 1000);
    }
}

void krr_wait_look(void)
{
    int64_t now = qemu_clock_get_ms(QEMU_CLOCK_VIRTUAL);

    if (now - waiting.looked >= LOOK_MS || now < waiting.looked) {
        waiting.looked = now;
        look_for_stall(now);
    }
}
