/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "qemu/osdep.h"
#include "qemu/lockable.h"
#include "qemu/processor.h"
#include "qemu/thread.h"
#include "qemu/timer.h"
#include "hw/core/cpu.h"
#include "target/i386/krr/cpu-state.h"
#include "krr-hooks.h"
#include "record-group.h"
#include "record-trace.h"
#include "record-wait.h"

struct krr_lock_user {
    QemuMutex mutex;            /* for the next two; held while one waits for the lock */
    uint32_t users;             /* threads in the group */
    uint64_t since;             /* clock when it got the lock */

    bool abandoned;             /* atomic */
    int64_t waits_since;        /* atomic: milliseconds; 0 it does not wait */
    uint64_t clock_offset;      /* the guest's clock is the host's plus this */
};

static struct krr_lock_user group;
static __thread bool inside;

/* ---- what the lock wants of a participant ---- */

#define KRR_LOCK_CODE static inline

static inline bool krr_lock_over(const struct krr_lock_user *user)
{
    return !qatomic_read(&krr_record_active) || qatomic_read(&user->abandoned);
}

static inline void krr_lock_sleep(struct krr_lock_user *user)
{
    krr_wait_sleep_group(false);
}

static inline void krr_lock_doze(struct krr_lock_user *user)
{
    krr_wait_sleep_group(true);
}

static inline void krr_lock_wake(struct krr_lock_user *user, uint32_t id)
{
    krr_wait_wake(id);
}

/* The vCPUs compare their clock with what is written into the lock. */
static inline uint64_t krr_lock_clock(void)
{
    return cpu_get_host_ticks() + group.clock_offset;
}

static inline void krr_lock_pause(void)
{
    cpu_relax();
}

#include <linux/krr-lock.h>

/* ---- in and out ---- */

static bool take_lock(void)
{
    bool waited, taken;
    __u64 given;

    qatomic_set(&group.waits_since, qemu_clock_get_ms(QEMU_CLOCK_REALTIME));
    taken = krr_lock_take(krr_trace_lock(), &group, KRR_DEVICE_GROUP, &waited, &given);
    qatomic_set(&group.waits_since, 0);
    group.since = krr_lock_clock();
    return taken;
}

void krr_group_enter(void)
{
    if (inside || krr_lock_over(&group)) {
        return;
    }
    QEMU_LOCK_GUARD(&group.mutex);
    if (group.users || take_lock()) {
        group.users++;
        inside = true;
    }
}

void krr_group_leave(void)
{
    if (!inside) {
        return;
    }
    QEMU_LOCK_GUARD(&group.mutex);
    inside = false;
    if (--group.users == 0 && !krr_lock_over(&group)) {
        krr_lock_release(krr_trace_lock(), &group,
                         krr_lock_clock() - group.since > KRR_LOCK_PATIENCE);
    }
}

bool krr_group_inside(void)
{
    return inside;
}

/* ---- begin and end ---- */

void krr_group_init(void)
{
    qemu_mutex_init(&group.mutex);
}

void krr_group_begin(void)
{
    group.clock_offset = krr_cpu_tsc(first_cpu) - cpu_get_host_ticks();
    group.since = krr_lock_clock();
    group.users = 1;
    group.abandoned = false;
    inside = true;
    krr_lock_try(krr_trace_lock(), KRR_DEVICE_GROUP);
}

void krr_group_abandon(void)
{
    qatomic_set(&group.abandoned, true);
    krr_wait_wake(KRR_DEVICE_GROUP);
}

bool krr_group_abandoned(void)
{
    return qatomic_read(&group.abandoned);
}

int64_t krr_group_waits(void)
{
    int64_t since = qatomic_read(&group.waits_since);

    return since ? qemu_clock_get_ms(QEMU_CLOCK_REALTIME) - since : 0;
}
