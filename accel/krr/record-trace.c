/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From the ring into the file.
 *
 * While a recording runs, the owner of the kernel-entry lock fills the ring and
 * a thread drains it every few milliseconds. Whoever finds it full drains it
 * himself. A recording ends at what is in the ring at that moment, with an END
 * record that the guest has put there or that is added here.
 */
#include "qemu/osdep.h"
#include <sys/resource.h>
#include "qemu/lockable.h"
#include "qemu/thread.h"
#include "qemu/timer.h"
#include "hw/core/cpu.h"
#include "krr/error.h"
#include "krr/kinds.h"
#include "krr/ring.h"
#include "krr-hooks.h"
#include "record.h"
#include "record-group.h"
#include "record-trace.h"
#include "record-wait.h"

#define POLL_US     10000       /* how often the ring is drained */
#define NICE        10          /* the thread's: what the vCPUs write meanwhile is in the ring */
#define FLUSH_US    100000      /* a killed QEMU loses no more than this */
/* From an END in the ring to its doorbell, which a guest rings at once. The virtual clock: a
 * stopped guest does not count. */
#define END_BELL_MS 10000

static struct {
    KrrRing ring;               /* its consuming side: with the lock */

    QemuMutex lock;             /* for all that follows */
    QemuCond begun;             /* for the thread */
    QemuThread thread;
    KrrWriter *writer;          /* NULL: nothing is written */
    int64_t begin_time;         /* microseconds */
    int64_t flush_time;
    uint64_t pause_us;
    uint64_t ring_full;
    bool end_seen;              /* the END record has been taken from the ring */
    int64_t end_time;           /* when; milliseconds of the virtual clock */
    KrrTraceResult result;
    bool result_new;            /* nobody has taken it yet */
} trace;

/* ---- words that the guest shares ---- */

const struct krr_shared *krr_trace_shared(void)
{
    return trace.ring.shared;
}

struct krr_lock *krr_trace_lock(void)
{
    return &trace.ring.shared->lock;
}

uint32_t krr_trace_vcpus(void)
{
    return trace.ring.vcpus;
}

const struct krr_area *krr_trace_area(uint32_t vcpu)
{
    return krr_ring_area(&trace.ring, vcpu);
}

void krr_trace_close_areas(void)
{
    for (uint32_t i = 0; i < trace.ring.vcpus; i++) {
        struct krr_area *area = krr_ring_area(&trace.ring, i);

        if (qatomic_read(&area->state) != KRR_STATE_OFF) {
            qatomic_set(&area->state, KRR_STATE_CLOSING);
        }
    }
    qatomic_set(&trace.ring.shared->state, KRR_STATE_OFF);
    krr_wait_wake_all();
}

/* Nobody appends at this moment, or nobody cares for what he appends. */
static void empty_ring(void)
{
    qatomic_set(&trace.ring.tail, 0);
    qatomic_set(&trace.ring.shared->ring_head, 0);
    qatomic_set(&trace.ring.shared->ring_tail, 0);
}

struct krr_area *krr_record_owner(CPUState *cpu)
{
    struct krr_area *area;

    if (!qatomic_read(&krr_record_active) || cpu->cpu_index >= trace.ring.vcpus) {
        return NULL;
    }
    area = krr_ring_area(&trace.ring, cpu->cpu_index);
    if (qatomic_read(&area->owner) != 1 ||
        qatomic_read(&area->state) != KRR_STATE_ON) {
        return NULL;
    }
    return area;
}

/* ---- ring to file; with the lock ---- */

static bool running(void)
{
    return trace.writer && krr_record_active;
}

static bool take_record(const struct krr_record *record, void *opaque, GError **errp)
{
    if (trace.end_seen) {
        return true;        /* nothing after the END belongs to the recording */
    }
    if (record->kind == KRR_KIND_END) {
        memcpy(&trace.result.end, krr_record_payload(record), sizeof(trace.result.end));
        trace.end_seen = true;
        trace.end_time = qemu_clock_get_ms(QEMU_CLOCK_VIRTUAL);
    }
    return krr_writer_records(trace.writer, record, record->size, errp);
}

/* Hooks that are off record nothing, and only an END may turn them off. */
static bool check_areas(GError **errp)
{
    for (uint32_t i = 0; i < trace.ring.vcpus; i++) {
        if (qatomic_read(&krr_trace_area(i)->state) != KRR_STATE_ON) {
            g_set_error(errp, KRR_ERROR, KRR_ERROR_GUEST,
                        "vCPU %" PRIu32 " has stopped recording without an END", i);
            return false;
        }
    }
    return true;
}

static bool drain(GError **errp)
{
    int64_t now = g_get_monotonic_time();

    if (krr_ring_drain(&trace.ring, take_record, NULL, errp) < 0 ||
        !(trace.end_seen || check_areas(errp))) {
        return false;
    }
    if (now - trace.flush_time >= FLUSH_US) {
        trace.flush_time = now;
        return krr_writer_flush(trace.writer, errp);
    }
    return true;
}

/* ---- end; with the lock ---- */

static uint64_t count_records(void)
{
    const KrrStats *stats = krr_writer_stats(trace.writer);
    uint64_t records = 0;

    for (int i = 0; i < KRR_STATS_KINDS; i++) {
        records += stats->records[i];
    }
    return records;
}

static uint32_t owner_vcpu(void)
{
    for (uint32_t i = 0; i < trace.ring.vcpus; i++) {
        if (qatomic_read(&krr_trace_area(i)->owner) == 1) {
            return i;
        }
    }
    return 0;
}

/* An END that no hook of the guest belongs to: its site is 0. */
static bool write_end_record(GError **errp)
{
    uint32_t vcpu = owner_vcpu();
    struct {
        struct krr_record header;
        struct krr_end end;
    } record = {
        .header = {
            .kind = KRR_KIND_END,
            .vcpu = vcpu,
            .size = sizeof(record),
            .ordinal = qatomic_read(&krr_trace_area(vcpu)->ordinal),
        },
        .end = trace.result.end,
    };

    return krr_writer_records(trace.writer, &record, sizeof(record), errp);
}

/* Completes the file. @err: what went wrong before, or NULL. */
static void finish(GError *err)
{
    const struct krr_end *end = &trace.result.end;
    g_autofree char *text = g_strndup(end->text, sizeof(end->text));

    krr_writer_timing(trace.writer, trace.pause_us,
                      g_get_monotonic_time() - trace.begin_time, trace.ring_full);
    for (uint32_t i = 0; i < trace.ring.vcpus; i++) {
        krr_writer_times(trace.writer, i, &krr_trace_area(i)->times);
    }
    if (!err) {
        krr_writer_finish(trace.writer, end->reason, end->status, text, &err);
    }
    trace.result.bytes = krr_writer_bytes(trace.writer);
    trace.result.records = count_records();
    trace.result.error = err ? g_strdup(err->message) : NULL;
    g_clear_error(&err);
    krr_writer_free(trace.writer);
    trace.writer = NULL;
    qatomic_set(&krr_record_active, false);
    krr_trace_close_areas();
    empty_ring();
    trace.result_new = true;
    krr_record_ended();
}

static void set_end(uint32_t reason, const char *text)
{
    trace.result.end = (struct krr_end) { .reason = reason };
    g_strlcpy(trace.result.end.text, text, sizeof(trace.result.end.text));
}

/* Ends the recording that runs, here and now. @err: why it cannot go on, or NULL. */
static void end_now(uint32_t reason, const char *text, GError *err)
{
    if (!err) {
        drain(&err);
    }
    if (!trace.end_seen) {
        set_end(reason, text);
        if (err && err->code == KRR_ERROR_GUEST) {
            /* What came before the nonsense is good. */
            set_end(KRR_END_RING, err->message);
            g_clear_error(&err);
        }
        if (!err) {
            write_end_record(&err);
        }
    }
    finish(err);
}

/* The guest goes on behind its END, without the doorbell: nothing more will come. */
static bool end_is_forgotten(void)
{
    return trace.end_seen &&
           qemu_clock_get_ms(QEMU_CLOCK_VIRTUAL) - trace.end_time >= END_BELL_MS;
}

static void end_broken(GError *err)
{
    end_now(KRR_END_IO_ERROR, err->message, err);
}

void krr_record_end(uint32_t reason, const char *format, ...)
{
    g_autofree char *text = NULL;
    va_list ap;

    va_start(ap, format);
    text = g_strdup_vprintf(format, ap);
    va_end(ap);

    QEMU_LOCK_GUARD(&trace.lock);
    if (running()) {
        end_now(reason, text, NULL);
    }
}

void krr_trace_end_by_guest(KrrSnapshotFn ram, void *opaque)
{
    GError *err = NULL;
    Error *ram_err = NULL;

    QEMU_LOCK_GUARD(&trace.lock);
    if (!running()) {
        return;
    }
    if (!drain(&err)) {
        end_broken(err);
    } else if (!trace.end_seen) {
        end_now(KRR_END_RING, "the guest rang END without an END record", NULL);
    } else {
        if (ram && !ram(trace.writer, opaque, &ram_err)) {
            g_set_error(&err, KRR_ERROR, KRR_ERROR_IO, "%s", error_get_pretty(ram_err));
            error_free(ram_err);
        }
        finish(err);
    }
}

/* ---- producers ---- */

void krr_trace_make_room(void)
{
    GError *err = NULL;

    QEMU_LOCK_GUARD(&trace.lock);
    if (!running()) {
        empty_ring();       /* the guest's hooks learn of the end at the next one */
        return;
    }
    trace.ring_full++;
    if (!drain(&err)) {
        end_broken(err);
    }
}

void krr_record_append(const struct krr_record *record, const void *payload)
{
    GError *err = NULL;
    int done = 0;

    /* Once drained, the ring has room for any record. */
    for (int i = 0; i < 3 && !done; i++) {
        if (!qatomic_read(&krr_record_active)) {
            return;
        }
        if (i) {
            krr_trace_make_room();
        }
        done = krr_ring_append(&trace.ring, record, payload, &err);
    }
    if (done <= 0) {
        krr_record_end(KRR_END_RING, "%s: %s", krr_kind_name(record->kind),
                       err ? err->message : "no room in the ring after draining it");
        g_clear_error(&err);
    }
}

/* ---- the thread ---- */

static void *drain_thread(void *opaque)
{
    setpriority(PRIO_PROCESS, 0, NICE);         /* on Linux, of this thread */
    qemu_mutex_lock(&trace.lock);
    for (;;) {
        GError *err = NULL;

        if (!running()) {
            qemu_cond_wait(&trace.begun, &trace.lock);
            continue;
        }
        if (!drain(&err)) {
            end_broken(err);
            continue;
        }
        if (end_is_forgotten()) {
            finish(NULL);
            continue;
        }
        qemu_mutex_unlock(&trace.lock);
        krr_wait_look();
        g_usleep(POLL_US);
        qemu_mutex_lock(&trace.lock);
    }
    return NULL;
}

/* ---- begin ---- */

void krr_trace_init(void)
{
    /* A file size limit is an error of the write, not the end of the guest. */
    signal(SIGXFSZ, SIG_IGN);
    qemu_mutex_init(&trace.lock);
    qemu_cond_init(&trace.begun);
    qemu_thread_create(&trace.thread, "krr-drain", drain_thread, NULL,
                       QEMU_THREAD_DETACHED);
}

void krr_trace_reset(void *bar, uint32_t ring_size, uint32_t vcpus, uint32_t flags)
{
    QEMU_LOCK_GUARD(&trace.lock);
    krr_ring_init(&trace.ring, bar, ring_size, vcpus, flags);
}

bool krr_trace_begin(const char *path, int64_t park_time, KrrSnapshotFn snapshot,
                     void *opaque, uint64_t *pause_us, Error **errp)
{
    GError *err = NULL;

    QEMU_LOCK_GUARD(&trace.lock);
    g_assert(!trace.writer);
    trace.writer = krr_writer_new(path, &err);
    if (!trace.writer) {
        krr_record_propagate(errp, err);
        return false;
    }
    empty_ring();
    /* Whoever waited in the queue of an earlier recording has left it: all stand still. */
    memset(&trace.ring.shared->lock, 0, sizeof(trace.ring.shared->lock));
    if (!snapshot(trace.writer, opaque, errp)) {
        krr_writer_free(trace.writer);
        trace.writer = NULL;
        return false;
    }
    g_free((char *)trace.result.error);
    memset(&trace.result, 0, sizeof(trace.result));
    trace.result_new = false;
    trace.end_seen = false;
    trace.ring_full = 0;
    trace.begin_time = trace.flush_time = g_get_monotonic_time();
    trace.pause_us = *pause_us = trace.begin_time - park_time;
    qatomic_set(&trace.ring.shared->state, KRR_STATE_ON);
    krr_group_begin();
    qatomic_set(&krr_record_active, true);
    qemu_cond_signal(&trace.begun);
    return true;
}

/* ---- for those who tell about it ---- */

bool krr_trace_progress(uint64_t *records, uint64_t *bytes, uint64_t *duration_us)
{
    QEMU_LOCK_GUARD(&trace.lock);
    if (!running()) {
        return false;
    }
    *records = count_records();
    *bytes = krr_writer_bytes(trace.writer);
    *duration_us = g_get_monotonic_time() - trace.begin_time;
    return true;
}

void krr_trace_last_result(KrrTraceResult *result)
{
    QEMU_LOCK_GUARD(&trace.lock);
    *result = trace.result;
}

bool krr_trace_take_result(KrrTraceResult *result)
{
    bool new;

    QEMU_LOCK_GUARD(&trace.lock);
    new = trace.result_new;
    trace.result_new = false;
    *result = trace.result;
    return new;
}
