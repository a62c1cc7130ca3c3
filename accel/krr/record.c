/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A recording, from its start to its end.
 *
 *   idle ──krr-start──> starting ──every vCPU rang PARK──> recording ──> ended
 *     └──────the guest starts by itself──────┘     └──> failed <──┘
 *
 * Start: each vCPU rings PARK and stops behind the OUT. When all of them have
 * stopped, the main loop writes the snapshot and lets them run.
 *
 * While it runs: the owner of the kernel-entry lock fills the ring, a thread
 * drains it into the file every few milliseconds. Whoever finds the ring full
 * drains it himself.
 *
 * End: by the guest (it puts an END record into the ring, rings END and stops
 * behind the OUT) or by QEMU (krr_record_end()).
 *
 * Locks: the BQL protects status, start and stop. trace_lock protects the file
 * and the consuming side of the ring; nobody who holds it takes another lock, so it may be
 * taken with or without the BQL.
 */
#include "qemu/osdep.h"
#include "qemu/error-report.h"
#include "qemu/main-loop.h"
#include "qemu/thread.h"
#include "qemu/timer.h"
#include "hw/core/cpu.h"
#include "qapi/qapi-events-krr.h"
#include "system/cpus.h"
#include "system/hw_accel.h"
#include "system/kvm.h"
#include "system/runstate.h"
#include "system/system.h"
#include "hw/boards.h"
#include "hw/krr/krr-pci.h"
#include "target/i386/krr/cpu-state.h"
#include "krr/error.h"
#include "krr/kinds.h"
#include "krr/ring.h"
#include "krr-hooks.h"
#include "record.h"

#define POLL_MS             5       /* how often the ring is drained */
#define FLUSH_US            100000  /* a killed QEMU loses no more than this */
#define STOP_TIMEOUT_MS     10000   /* for the guest to end what it was asked to end */

static struct {
    const KrrOptions *options;
    MemoryRegion *shared;           /* of the device; NULL until it is there */
    KrrRing ring;

    /* with the BQL */
    KrrStatus status;
    char *path;                     /* of this recording, or of the next one */
    bool path_used;                 /* a trace was written there */
    uint64_t parked;                /* bit per vCPU */
    int64_t park_time;              /* when the first one parked, microseconds */
    QEMUTimer *stop_timer;
    char *error;
    bool ended;                     /* and nobody has been told yet; also without the BQL */

    /* with trace_lock */
    QemuMutex trace_lock;
    QemuCond trace_started;         /* for the drain thread */
    QemuThread drain_thread;
    KrrWriter *writer;              /* NULL: nothing is written */
    KrrMachine *machine;
    int64_t start_time;             /* microseconds */
    int64_t flush_time;
    uint64_t pause_us;
    uint64_t ring_full;
    bool end_seen;                  /* the END record has been taken from the ring */
    struct krr_end end;             /* of the last recording */
    uint64_t records, bytes;        /* of the last recording */
    char *write_error;              /* the file is not complete: why */
} rec;

static void set_error(const char *format, ...) G_GNUC_PRINTF(1, 2);
static void set_error(const char *format, ...)
{
    va_list ap;

    g_free(rec.error);
    va_start(ap, format);
    rec.error = g_strdup_vprintf(format, ap);
    va_end(ap);
}

void krr_record_propagate(Error **errp, GError *err)
{
    error_setg(errp, "%s", err->message);
    g_error_free(err);
}

/* ---- words that the guest shares ---- */

static void set_shared_state(uint32_t state)
{
    qatomic_set(&rec.ring.shared->state, state);
}

/* From now on the guest's hooks record nothing and let interrupts in again. */
static void close_areas(void)
{
    for (uint32_t i = 0; i < rec.ring.vcpus; i++) {
        struct krr_area *area = krr_ring_area(&rec.ring, i);

        if (qatomic_read(&area->state) != KRR_STATE_OFF) {
            qatomic_set(&area->state, KRR_STATE_CLOSING);
        }
    }
    set_shared_state(KRR_STATE_OFF);
}

/* Nobody appends at this moment, or nobody cares for what he appends. */
static void empty_ring(void)
{
    qatomic_set(&rec.ring.tail, 0);
    qatomic_set(&rec.ring.shared->ring_head, 0);
    qatomic_set(&rec.ring.shared->ring_tail, 0);
}

struct krr_area *krr_record_owner(CPUState *cpu)
{
    struct krr_area *area;

    if (!qatomic_read(&krr_record_active) || cpu->cpu_index >= rec.ring.vcpus) {
        return NULL;
    }
    area = krr_ring_area(&rec.ring, cpu->cpu_index);
    if (qatomic_read(&area->owner) != 1 || qatomic_read(&area->state) != KRR_STATE_ON) {
        return NULL;
    }
    return area;
}

/* ---- ring to file; with trace_lock ---- */

static bool take_record(const struct krr_record *record, void *opaque, GError **errp)
{
    if (rec.end_seen) {
        return true;        /* nothing after the END belongs to the recording */
    }
    if (record->kind == KRR_KIND_END) {
        memcpy(&rec.end, krr_record_payload(record), sizeof(rec.end));
        rec.end_seen = true;
    }
    return krr_writer_records(rec.writer, record, record->size, errp);
}

/* Hooks that are off record nothing, and only an END may turn them off. */
static bool check_areas(GError **errp)
{
    for (uint32_t i = 0; i < rec.ring.vcpus; i++) {
        if (qatomic_read(&krr_ring_area(&rec.ring, i)->state) != KRR_STATE_ON) {
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

    if (krr_ring_drain(&rec.ring, take_record, NULL, errp) < 0 ||
        !(rec.end_seen || check_areas(errp))) {
        return false;
    }
    if (now - rec.flush_time >= FLUSH_US) {
        rec.flush_time = now;
        return krr_writer_flush(rec.writer, errp);
    }
    return true;
}

/* ---- end ---- */

static uint32_t end_vcpu(void)
{
    for (uint32_t i = 0; i < rec.ring.vcpus; i++) {
        if (qatomic_read(&krr_ring_area(&rec.ring, i)->owner) == 1) {
            return i;
        }
    }
    return 0;
}

static bool write_end_record(GError **errp)
{
    uint32_t vcpu = end_vcpu();
    struct {
        struct krr_record header;
        struct krr_end end;
    } record = {
        .header = {
            .kind = KRR_KIND_END,
            .vcpu = vcpu,
            .size = sizeof(record),
            .ordinal = qatomic_read(&krr_ring_area(&rec.ring, vcpu)->ordinal),
        },
        .end = rec.end,
    };

    return krr_writer_records(rec.writer, &record, sizeof(record), errp);
}

static void announce_end_bh(void *opaque);

/* Completes the file. With trace_lock; @err: what went wrong before, or NULL. */
static void finish_file(GError *err)
{
    g_autofree char *text = g_strndup(rec.end.text, sizeof(rec.end.text));

    krr_writer_timing(rec.writer, rec.pause_us,
                      g_get_monotonic_time() - rec.start_time, rec.ring_full);
    if (!err) {
        krr_writer_finish(rec.writer, rec.end.reason, rec.end.status, text, &err);
    }
    rec.bytes = krr_writer_bytes(rec.writer);
    rec.records = 0;
    for (int i = 0; i < KRR_STATS_KINDS; i++) {
        rec.records += krr_writer_stats(rec.writer)->records[i];
    }
    krr_writer_free(rec.writer);
    rec.writer = NULL;
    g_free(rec.write_error);
    rec.write_error = err ? g_strdup(err->message) : NULL;
    g_clear_error(&err);
    qatomic_set(&krr_record_active, false);
    close_areas();
    empty_ring();
    qatomic_set(&rec.ended, true);
    aio_bh_schedule_oneshot(qemu_get_aio_context(), announce_end_bh, NULL);
}

/* Tells the user and the monitor of an end, once. With the BQL, or when QEMU exits. */
static void announce_end(bool monitor)
{
    g_autofree char *text = g_strndup(rec.end.text, sizeof(rec.end.text));
    const char *reason = krr_end_reason_name(rec.end.reason);

    if (!qatomic_xchg(&rec.ended, false)) {
        return;
    }
    timer_del(rec.stop_timer);
    if (rec.write_error) {
        rec.status = KRR_STATUS_FAILED;
        set_error("%s", rec.write_error);
        error_report("krr: the recording is incomplete: %s", rec.write_error);
    } else {
        rec.status = KRR_STATUS_ENDED;
        info_report("krr: recording ended by %s%s%s: %s, %" PRIu64 " records, %" PRIu64
                    " bytes", reason, *text ? ", " : "", text, rec.path, rec.records,
                    rec.bytes);
    }
    if (monitor) {
        qapi_event_send_krr_recording_ended(rec.path, reason, true, rec.end.status,
                                            *text ? text : NULL, rec.error, rec.records,
                                            rec.bytes);
    }
}

static void announce_end_bh(void *opaque)
{
    announce_end(true);
}

/* Ends the recording here and now, with trace_lock held and a recording running. @err: why
 * the trace cannot go on, or NULL. */
static void end_now(uint32_t reason, const char *text, GError *err)
{
    if (!err) {
        drain(&err);
    }
    if (!rec.end_seen) {
        rec.end = (struct krr_end) { .reason = reason };
        g_strlcpy(rec.end.text, text, sizeof(rec.end.text));
        if (err && err->code == KRR_ERROR_GUEST) {
            /* What came before the nonsense is good. */
            rec.end.reason = KRR_END_RING;
            g_strlcpy(rec.end.text, err->message, sizeof(rec.end.text));
            g_clear_error(&err);
        }
        if (!err) {
            write_end_record(&err);
        }
    }
    finish_file(err);
}

/* With trace_lock. The file or the ring is broken: the recording is over. */
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

    QEMU_LOCK_GUARD(&rec.trace_lock);
    if (rec.writer && krr_record_active) {
        end_now(reason, text, NULL);
    }
}

/* The guest has rung END; all vCPUs stand still. */
static void end_by_guest(void)
{
    GError *err = NULL;
    Error *ram_err = NULL;

    QEMU_LOCK_GUARD(&rec.trace_lock);
    if (!rec.writer || !krr_record_active) {
        return;
    }
    if (drain(&err) && !rec.end_seen) {
        end_now(KRR_END_RING, "the guest rang END without an END record", NULL);
    } else {
        if (!err && rec.options->final_ram &&
            !krr_record_ram(rec.writer, rec.machine, true, &ram_err)) {
            g_set_error(&err, KRR_ERROR, KRR_ERROR_IO, "%s", error_get_pretty(ram_err));
            error_free(ram_err);
        }
        if (err) {
            end_now(KRR_END_IO_ERROR, err->message, err);
        } else {
            finish_file(NULL);
        }
    }
}

static void end_by_guest_bh(void *opaque)
{
    pause_all_vcpus();
    end_by_guest();
    resume_all_vcpus();
}

/* ---- room in the ring ---- */

static void make_room(void)
{
    GError *err = NULL;

    QEMU_LOCK_GUARD(&rec.trace_lock);
    if (!rec.writer || !krr_record_active) {
        empty_ring();       /* the guest's hooks learn of the end at the next one */
        return;
    }
    rec.ring_full++;
    if (!drain(&err)) {
        end_broken(err);
    }
}

void krr_record_append(CPUState *cpu, const struct krr_record *record, const void *payload)
{
    GError *err = NULL;
    int done = 0;

    /* Once drained, the ring has room for any record. */
    for (int i = 0; i < 3 && !done; i++) {
        if (!qatomic_read(&krr_record_active)) {
            return;
        }
        if (i) {
            make_room();
        }
        done = krr_ring_append(&rec.ring, record, payload, &err);
    }
    if (done <= 0) {
        krr_record_end(KRR_END_RING, "vCPU %d: %s", cpu->cpu_index,
                       err ? err->message : "no room in the ring after draining it");
        g_clear_error(&err);
    }
}

static void *drain_thread(void *opaque)
{
    qemu_mutex_lock(&rec.trace_lock);
    for (;;) {
        GError *err = NULL;

        if (!rec.writer || !krr_record_active) {
            qemu_cond_wait(&rec.trace_started, &rec.trace_lock);
            continue;
        }
        if (!drain(&err)) {
            end_broken(err);
            continue;
        }
        qemu_mutex_unlock(&rec.trace_lock);
        g_usleep(POLL_MS * 1000);
        qemu_mutex_lock(&rec.trace_lock);
    }
    return NULL;
}

/* ---- start ---- */

static void describe_guest(KrrMachine *machine)
{
    const struct krr_shared *shared = rec.ring.shared;
    struct krr_guest guest;

    /* The guest's words: copied once, then looked at. */
    memcpy(&guest, (const uint8_t *)shared + KRR_GUEST_OFFSET, sizeof(guest));
    machine->kernel_text = qatomic_read(&shared->kernel_text);
    if (qatomic_read(&shared->tsc_khz) <= UINT32_MAX && qatomic_read(&shared->tsc_khz)) {
        machine->tsc_khz = qatomic_read(&shared->tsc_khz);
    }
    memcpy(machine->kernel_release, guest.release, sizeof(guest.release) - 1);
    memcpy(machine->build_id, guest.build_id, sizeof(machine->build_id));
}

static bool describe_machine(KrrMachine *machine, Error **errp)
{
    memset(machine, 0, sizeof(*machine));
    machine->abi_version = KRR_ABI_VERSION;
    machine->vcpus = rec.ring.vcpus;
    machine->flags = rec.options->final_ram ? KRR_MACHINE_FINAL_RAM : 0;
    machine->accel = kvm_enabled() ? KRR_ACCEL_KVM : KRR_ACCEL_TCG;
    machine->ram_size = current_machine->ram_size;
    machine->start_time = g_get_real_time();
    g_strlcpy(machine->qemu_version, QEMU_VERSION, sizeof(machine->qemu_version));
    krr_cpu_describe(first_cpu, machine);
    describe_guest(machine);
    krr_record_silent_describe(machine);
    machine->shared_length = memory_region_size(rec.shared);
    if (!krr_pci_addresses(&machine->pio_base, &machine->shared_address)) {
        error_setg(errp, "the krr device's BARs are not mapped");
        return false;
    }
    return krr_record_ranges(machine, rec.shared, errp);
}

static bool write_cpus(Error **errp)
{
    CPUState *cpu;

    CPU_FOREACH(cpu) {
        g_autofree KrrCpuState *state = g_new0(KrrCpuState, 1);
        GError *err = NULL;

        if (!krr_cpu_state_save(cpu, state, errp)) {
            return false;
        }
        state->owner = qatomic_read(&krr_ring_area(&rec.ring, cpu->cpu_index)->owner) == 1;
        if (!krr_writer_cpu(rec.writer, cpu->cpu_index, state, &err)) {
            krr_record_propagate(errp, err);
            return false;
        }
    }
    return true;
}

static bool write_snapshot(Error **errp)
{
    GError *err = NULL;

    if (!describe_machine(rec.machine, errp)) {
        return false;
    }
    if (!krr_writer_machine(rec.writer, rec.machine, &err)) {
        krr_record_propagate(errp, err);
        return false;
    }
    if (!write_cpus(errp) || !krr_record_ram(rec.writer, rec.machine, false, errp)) {
        return false;
    }
    if (!krr_writer_start(rec.writer, &err)) {
        krr_record_propagate(errp, err);
        return false;
    }
    return true;
}

/* All vCPUs have parked and stand still. */
static bool begin(Error **errp)
{
    GError *err = NULL;

    if (rec.path_used) {
        error_setg(errp, "%s holds the last recording; name another file with krr-start",
                   rec.path);
        return false;
    }
    if (!krr_record_check_machine(errp)) {
        return false;
    }

    QEMU_LOCK_GUARD(&rec.trace_lock);
    rec.writer = krr_writer_new(rec.path, &err);
    if (!rec.writer) {
        krr_record_propagate(errp, err);
        return false;
    }
    empty_ring();
    if (!write_snapshot(errp)) {
        krr_writer_free(rec.writer);
        rec.writer = NULL;
        return false;
    }
    rec.path_used = true;
    memset(&rec.end, 0, sizeof(rec.end));
    rec.end_seen = false;
    rec.ring_full = 0;
    rec.start_time = rec.flush_time = g_get_monotonic_time();
    rec.pause_us = rec.start_time - rec.park_time;
    set_shared_state(KRR_STATE_ON);
    qatomic_set(&krr_record_active, true);
    qemu_cond_signal(&rec.trace_started);
    return true;
}

/* The recording does not come about, for a reason that set_error() has got. */
static void announce_failure(void)
{
    rec.status = KRR_STATUS_FAILED;
    error_report("krr: cannot record: %s", rec.error);
    qapi_event_send_krr_recording_ended(rec.path, NULL, false, 0, NULL, rec.error, 0, 0);
}

static void begin_bh(void *opaque)
{
    Error *err = NULL;

    announce_end(true);         /* of the recording before, if it has just ended */
    pause_all_vcpus();
    if (ctpop64(rec.parked) != rec.ring.vcpus) {
        resume_all_vcpus();     /* a reset came in between */
        return;
    }
    rec.parked = 0;
    if (begin(&err)) {
        rec.status = KRR_STATUS_RECORDING;
        g_clear_pointer(&rec.error, g_free);
        info_report("krr: recording to %s, the snapshot took %" PRIu64 " ms", rec.path,
                    rec.pause_us / 1000);
        qapi_event_send_krr_recording_started(rec.path, rec.pause_us);
    } else {
        set_error("%s", error_get_pretty(err));
        error_free(err);
        close_areas();
        announce_failure();
    }
    resume_all_vcpus();
}

/* ---- doorbells ---- */

/* Stops @cpu behind the OUT that it is in. With the BQL. */
static void stop_behind_out(CPUState *cpu)
{
    cpu->stop = true;
    cpu_exit(cpu);
}

static void bell_park(CPUState *cpu)
{
    if (qatomic_read(&krr_record_active)) {
        krr_record_end(KRR_END_RING, "vCPU %d asked for a snapshot while recording",
                       cpu->cpu_index);
        return;
    }
    if (cpu->cpu_index >= rec.ring.vcpus) {
        return;
    }
    if (!rec.parked) {
        rec.park_time = g_get_monotonic_time();
    }
    rec.status = KRR_STATUS_STARTING;
    rec.parked |= 1ULL << cpu->cpu_index;
    stop_behind_out(cpu);
    if (ctpop64(rec.parked) == rec.ring.vcpus) {
        aio_bh_schedule_oneshot(qemu_get_aio_context(), begin_bh, NULL);
    }
}

static void bell_end(CPUState *cpu)
{
    if (qatomic_read(&krr_record_active)) {
        stop_behind_out(cpu);
        aio_bh_schedule_oneshot(qemu_get_aio_context(), end_by_guest_bh, NULL);
    }
}

static void bell_broken(CPUState *cpu, uint32_t reason)
{
    cpu_synchronize_state(cpu);
    krr_record_end(reason, "vCPU %d: the recorder in the guest found %s at RIP 0x%" PRIx64,
                   cpu->cpu_index, krr_end_reason_name(reason), krr_cpu_rip(cpu));
}

static void bell_refuse(uint32_t reason)
{
    static const char *const texts[] = {
        [KRR_REFUSE_VCPUS] = "not all vCPUs are online, or there is more than one "
                             "(recording more than one vCPU is not supported yet)",
        [KRR_REFUSE_MEMTYPE] = "the krr device's memory cannot be mapped write-back",
        [KRR_REFUSE_ABI] = "the recorder in its kernel has another version than QEMU's",
        [KRR_REFUSE_CPU] = "a CPU feature that the recorder relies on is missing, or one "
                           "that it cannot record is on",
    };

    if (rec.status == KRR_STATUS_RECORDING) {
        return;
    }
    set_error("the guest refuses: %s (reason %" PRIu32 "); its kernel log says more",
              reason < ARRAY_SIZE(texts) && texts[reason] ? texts[reason] : "unknown reason",
              reason);
    announce_failure();
}

void krr_record_doorbell(CPUState *cpu, uint32_t value)
{
    uint32_t bell = value & 0xff, argument = value >> 8;

    if (!rec.shared) {
        return;
    }
    if (bell == KRR_BELL_FULL) {
        make_room();
        return;
    }
    BQL_LOCK_GUARD();
    switch (bell) {
    case KRR_BELL_PARK:
        bell_park(cpu);
        break;
    case KRR_BELL_END:
        bell_end(cpu);
        break;
    case KRR_BELL_BROKEN:
        bell_broken(cpu, argument);
        break;
    case KRR_BELL_REFUSE:
        bell_refuse(argument);
        break;
    default:
        /* WAIT and WAKE belong to several vCPUs, which are refused; others are noise. */
        break;
    }
}

/* ---- monitor ---- */

/* Finds out early that a file cannot be written; leaves what is in it alone. */
static bool check_path(const char *path, Error **errp)
{
    struct stat st;
    bool existed = !stat(path, &st);
    int fd;

    if (existed && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)) {
        return true;        /* opening a pipe is an event for its reader */
    }
    fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0) {
        error_setg_errno(errp, errno, "cannot write the trace %s", path);
        return false;
    }
    close(fd);
    if (!existed) {
        unlink(path);
    }
    return true;
}

bool krr_record_start(const char *path, Error **errp)
{
    if (!rec.shared) {
        error_setg(errp, "QEMU was started without -krr record=FILE");
        return false;
    }
    if (rec.status == KRR_STATUS_RECORDING || rec.parked) {
        error_setg(errp, "a recording runs already, to %s", rec.path);
        return false;
    }
    if (!path && rec.path_used) {
        error_setg(errp, "%s holds the last recording; name another file", rec.path);
        return false;
    }
    if (path) {
        if (!check_path(path, errp)) {
            return false;
        }
        g_free(rec.path);
        rec.path = g_canonicalize_filename(path, NULL);
        rec.path_used = false;
    }
    g_clear_pointer(&rec.error, g_free);
    rec.status = KRR_STATUS_STARTING;
    krr_pci_request(KRR_REQUEST_START);
    return true;
}

static void stop_timeout(void *opaque)
{
    krr_record_end(KRR_END_STOPPED, "asked for by krr-stop; the guest did not answer");
}

bool krr_record_stop(Error **errp)
{
    if (rec.status != KRR_STATUS_RECORDING) {
        error_setg(errp, "no recording runs");
        return false;
    }
    krr_pci_request(KRR_REQUEST_STOP);
    timer_mod(rec.stop_timer, qemu_clock_get_ms(QEMU_CLOCK_REALTIME) + STOP_TIMEOUT_MS);
    return true;
}

static uint64List *ordinals(void)
{
    uint64List *list = NULL;

    for (uint32_t i = rec.ring.vcpus; i-- > 0; ) {
        QAPI_LIST_PREPEND(list, qatomic_read(&krr_ring_area(&rec.ring, i)->ordinal));
    }
    return list;
}

KrrInfo *krr_record_info(void)
{
    KrrInfo *info = g_new0(KrrInfo, 1);

    info->status = rec.status;
    info->file = g_strdup(rec.path);
    info->error = g_strdup(rec.error);

    QEMU_LOCK_GUARD(&rec.trace_lock);
    if (rec.writer) {
        info->has_records = info->has_bytes = info->has_ordinals = true;
        info->bytes = krr_writer_bytes(rec.writer);
        for (int i = 0; i < KRR_STATS_KINDS; i++) {
            info->records += krr_writer_stats(rec.writer)->records[i];
        }
        info->ordinals = ordinals();
    } else if (rec.end.reason) {
        info->has_records = info->has_bytes = info->has_end_status = true;
        info->records = rec.records;
        info->bytes = rec.bytes;
        info->end_reason = g_strdup(krr_end_reason_name(rec.end.reason));
        info->end_status = rec.end.status;
        info->end_text = *rec.end.text ? g_strndup(rec.end.text, sizeof(rec.end.text)) : NULL;
    }
    return info;
}

/* ---- the machine stops, is reset, ends ---- */

static void run_state_changed(void *opaque, bool running, RunState state)
{
    switch (state) {
    case RUN_STATE_SHUTDOWN:
    case RUN_STATE_GUEST_PANICKED:
    case RUN_STATE_INTERNAL_ERROR:
    case RUN_STATE_WATCHDOG:
    case RUN_STATE_IO_ERROR:
        krr_record_end(KRR_END_QEMU_EXIT, "the virtual machine stopped: %s",
                       RunState_str(state));
        break;
    default:
        break;      /* stop and cont: the guest does not notice */
    }
}

/* QEMU exits: what is in the ring still goes into the file. */
static void exiting(Notifier *n, void *data)
{
    krr_record_end(KRR_END_QEMU_EXIT, "QEMU ended while recording");
    announce_end(false);
    if (!rec.path_used && rec.status != KRR_STATUS_FAILED) {
        warn_report("krr: nothing was recorded, the guest never started it; does its kernel "
                    "have the recorder (CONFIG_KRR_GUEST), and krr=on on its command line?");
    }
}

static Notifier exit_notifier = { .notify = exiting };

void krr_record_reset(void)
{
    uint32_t flags = (rec.options->start_boot ? KRR_FLAG_START_BOOT : 0) |
                     (rec.options->final_ram ? KRR_FLAG_FINAL_RAM : 0);

    krr_record_end(KRR_END_RESET, "the machine was reset");
    rec.parked = 0;
    krr_ring_init(&rec.ring, memory_region_get_ram_ptr(rec.shared), rec.options->ring_size,
                  current_machine->smp.cpus, flags);
    memory_region_set_dirty(rec.shared, 0, memory_region_size(rec.shared));
}

/* ---- set-up ---- */

uint64_t krr_record_shared_size(void)
{
    return krr_ring_bar_size(rec.options->ring_size);
}

void krr_record_attach(MemoryRegion *shared)
{
    rec.shared = shared;
    krr_record_reset();
}

void krr_record_configure(const KrrOptions *options, struct QDict *machine_opts,
                          int *default_vga, const char **cpu_option)
{
    Error *err = NULL;

    rec.options = options;
    rec.status = KRR_STATUS_IDLE;
    /* QEMU may change its directory when it goes into the background. */
    rec.path = g_canonicalize_filename(options->path, NULL);
    if (!check_path(rec.path, &err)) {
        error_reportf_err(err, "-krr record: ");
        exit(1);
    }
    rec.machine = g_new0(KrrMachine, 1);
    qemu_mutex_init(&rec.trace_lock);
    qemu_cond_init(&rec.trace_started);
    krr_record_defaults(machine_opts, default_vga, cpu_option);
}

void krr_record_machine_ready(void)
{
    Error *err = NULL;

    if (!rec.shared) {
        error_setg(&err, "the krr device is missing");
    } else {
        (void)(krr_record_check_machine(&err) && krr_record_watch(&err));
    }
    if (err) {
        error_reportf_err(err, "-krr record: ");
        exit(1);
    }
    rec.stop_timer = timer_new_ms(QEMU_CLOCK_REALTIME, stop_timeout, NULL);
    qemu_add_exit_notifier(&exit_notifier);
    qemu_add_vm_change_state_handler(run_state_changed, NULL);
    qemu_thread_create(&rec.drain_thread, "krr-drain", drain_thread, NULL,
                       QEMU_THREAD_DETACHED);
}
