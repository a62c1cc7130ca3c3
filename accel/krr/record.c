/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A recording, from its start to its end.
 *
 *   idle --krr-start--> starting --all vCPUs parked--> recording --> ended
 *     \----- the guest starts by itself -----/  \--> failed <--/
 *
 * Start: each vCPU rings PARK and stops behind the OUT. When all of them have
 * stopped, the main loop writes the snapshot and lets them run.
 *
 * End: by the guest (it puts an END record into the ring, rings END and stops
 * behind the OUT) or by QEMU (krr_record_end()).
 *
 * What is here is done with the BQL; ring and file have a lock of their own
 * (record-trace.c).
 */
#include "qemu/osdep.h"
#include "qemu/error-report.h"
#include "qemu/main-loop.h"
#include "qemu/timer.h"
#include "hw/core/cpu.h"
#include "qapi/qapi-events-krr.h"
#include "system/cpus.h"
#include "system/hw_accel.h"
#include "system/runstate.h"
#include "system/system.h"
#include "hw/boards.h"
#include "hw/krr/krr-pci.h"
#include "target/i386/krr/cpu-state.h"
#include "krr/kinds.h"
#include "krr/ring.h"
#include "krr-hooks.h"
#include "record.h"
#include "record-group.h"
#include "record-trace.h"
#include "record-wait.h"

#define STOP_TIMEOUT_MS     10000   /* for the guest to end what it was asked to end */
/* Between failures that the guest reports, as for QEMU's own events that guests can cause. */
#define FAILURE_MS          1000

/* With the BQL. */
static struct {
    const KrrOptions *options;
    MemoryRegion *shared;       /* of the device; NULL until it is there */
    KrrMachine *machine;        /* as the last snapshot describes it */
    KrrStatus status;
    char *path;                 /* of this recording, or of the next one */
    bool path_used;             /* a trace was written there */
    uint64_t parked;            /* bit per vCPU */
    int64_t park_time;          /* when the first one parked, microseconds */
    bool ending;                /* atomic: END has been rung */
    QEMUTimer *stop_timer;
    char *error;                /* of status failed */
    bool asked;                 /* by krr-start; not answered yet */
    int64_t failure_time;       /* of the last announced failure, milliseconds */
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

static bool recording(void)
{
    return qatomic_read(&krr_record_active);
}

/* ---- end ---- */

static char *end_text(const struct krr_end *end)
{
    return *end->text ? krr_end_text(end) : NULL;
}

/* Tells the user and the monitor of an end, once. With the BQL, or when QEMU exits. */
static void announce_end(bool monitor)
{
    g_autofree char *text = NULL;
    KrrTraceResult result;
    const char *reason;

    if (!krr_trace_take_result(&result)) {
        return;
    }
    reason = krr_end_reason_name(result.end.reason);
    text = end_text(&result.end);
    timer_del(rec.stop_timer);
    if (result.error) {
        rec.status = KRR_STATUS_FAILED;
        set_error("%s", result.error);
        error_report("krr: the recording is incomplete: %s", result.error);
    } else {
        rec.status = KRR_STATUS_ENDED;
        info_report("krr: recording ended by %s%s%s: %s, %" PRIu64 " records, %"
                    PRIu64 " bytes", reason, text ? ", " : "", text ?: "", rec.path,
                    result.records, result.bytes);
    }
    if (monitor) {
        qapi_event_send_krr_recording_ended(rec.path, reason, true, result.end.status,
                                            text, rec.error, result.records,
                                            result.bytes);
    }
}

static void announce_end_bh(void *opaque)
{
    announce_end(true);
}

void krr_record_ended(void)
{
    aio_bh_schedule_oneshot(qemu_get_aio_context(), announce_end_bh, NULL);
}

static bool write_final_ram(KrrWriter *writer, void *opaque, Error **errp)
{
    return krr_record_ram(writer, rec.machine, true, errp);
}

/* A vCPU has rung END, and keeps the lock. With the BQL. */
static void end_by_guest(void)
{
    qatomic_set(&rec.ending, false);
    pause_all_vcpus();
    krr_trace_end_by_guest(rec.options->final_ram ? write_final_ram : NULL, NULL);
    resume_all_vcpus();
}

/* ---- start ---- */

static bool write_snapshot(KrrWriter *writer, void *opaque, Error **errp)
{
    return krr_snapshot_describe(rec.machine, rec.shared, rec.options->final_ram, errp) &&
           krr_snapshot_write(writer, rec.machine, errp);
}

/* All vCPUs have parked and stand still. */
static bool begin(Error **errp)
{
    uint64_t pause_us;

    if (rec.path_used) {
        error_setg(errp, "%s holds the last recording; name another file with krr-start",
                   rec.path);
        return false;
    }
    if (!krr_record_check_machine(errp) ||
        !krr_trace_begin(rec.path, rec.park_time, write_snapshot, NULL, &pause_us, errp)) {
        return false;
    }
    rec.path_used = true;
    rec.status = KRR_STATUS_RECORDING;
    rec.asked = false;
    g_clear_pointer(&rec.error, g_free);
    info_report("krr: recording to %s, the snapshot took %" PRIu64 " ms", rec.path,
                pause_us / 1000);
    qapi_event_send_krr_recording_started(rec.path, pause_us);
    return true;
}

/* The recording does not come about, for the reason in rec.error. A guest may say so at any
 * rate; nobody who asked goes without an answer. */
static void announce_failure(void)
{
    int64_t now = qemu_clock_get_ms(QEMU_CLOCK_REALTIME);

    rec.status = KRR_STATUS_FAILED;
    if (!rec.asked && now - rec.failure_time < FAILURE_MS) {
        return;
    }
    rec.asked = false;
    rec.failure_time = now;
    error_report("krr: cannot record: %s", rec.error);
    qapi_event_send_krr_recording_ended(rec.path, NULL, false, 0, NULL, rec.error, 0, 0);
}

static void begin_bh(void *opaque)
{
    Error *err = NULL;

    announce_end(true);         /* of the recording before, if it has just ended */
    pause_all_vcpus();
    /* Else a reset came in between. */
    if (ctpop64(rec.parked) == krr_trace_vcpus()) {
        rec.parked = 0;
        if (!begin(&err)) {
            set_error("%s", error_get_pretty(err));
            error_free(err);
            krr_trace_close_areas();
            announce_failure();
        }
    }
    resume_all_vcpus();
}

/* ---- doorbells: they come without the BQL, and what concerns the lock does not take it ---- */

/* Stops @cpu behind the OUT that it is in. With the BQL. */
static void stop_behind_out(CPUState *cpu)
{
    cpu->stop = true;
    cpu_exit(cpu);
}

static void bell_park(CPUState *cpu)
{
    BQL_LOCK_GUARD();

    if (recording()) {
        krr_record_end(KRR_END_RING, "vCPU %d asked for a snapshot while recording",
                       cpu->cpu_index);
        return;
    }
    if (cpu->cpu_index >= krr_trace_vcpus()) {
        return;
    }
    if (!rec.parked) {
        rec.park_time = g_get_monotonic_time();
    }
    rec.status = KRR_STATUS_STARTING;
    rec.parked |= 1ULL << cpu->cpu_index;
    stop_behind_out(cpu);
    if (ctpop64(rec.parked) == krr_trace_vcpus()) {
        aio_bh_schedule_oneshot(qemu_get_aio_context(), begin_bh, NULL);
    }
}

static void bell_end(CPUState *cpu)
{
    BQL_LOCK_GUARD();

    if (recording()) {
        stop_behind_out(cpu);
        qatomic_set(&rec.ending, true);
        krr_group_abandon();
        qemu_notify_event();
    }
}

static void bell_broken(CPUState *cpu, uint32_t reason)
{
    BQL_LOCK_GUARD();

    cpu_synchronize_state(cpu);
    krr_record_end(reason, "vCPU %d: the recorder in the guest found %s at RIP 0x%" PRIx64,
                   cpu->cpu_index, krr_end_reason_name(reason), krr_cpu_rip(cpu));
}

static void bell_refuse(uint32_t reason)
{
    static const char *const texts[] = {
        [KRR_REFUSE_VCPUS] = "not all vCPUs are online",
        [KRR_REFUSE_MEMTYPE] = "the krr device's memory cannot be mapped write-back",
        [KRR_REFUSE_ABI] = "the recorder in its kernel has another version than QEMU's",
        [KRR_REFUSE_OFF] = "the recorder in its kernel is off; boot it with krr=on",
        [KRR_REFUSE_IN_USE] = "something is in use there that cannot be recorded",
        [KRR_REFUSE_FIRMWARE] = "its kernel calls the firmware, which cannot be recorded",
        [KRR_REFUSE_POSSIBLE] = "its kernel is ready for too many vCPUs (nr_cpus=)",
        [KRR_REFUSE_MEMORY] = "there is not enough memory for final-ram=on",
    };

    BQL_LOCK_GUARD();
    if (rec.status == KRR_STATUS_RECORDING) {
        return;
    }
    set_error("the guest refuses: %s (reason %" PRIu32 "); its kernel log says more",
              reason < ARRAY_SIZE(texts) && texts[reason] ? texts[reason]
                                                          : "unknown reason", reason);
    announce_failure();
}

void krr_record_doorbell(CPUState *cpu, uint32_t value)
{
    uint32_t bell = value & 0xff, argument = value >> 8;

    if (!rec.shared) {
        return;
    }
    switch (bell) {
    case KRR_BELL_FULL:
        krr_trace_make_room();
        break;
    case KRR_BELL_WAIT:
    case KRR_BELL_DOZE:
        krr_wait_sleep(cpu, bell == KRR_BELL_DOZE);
        break;
    case KRR_BELL_WAKE:
        krr_wait_wake(argument);        /* where KVM does not do it */
        break;
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
        break;          /* noise */
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
    rec.asked = true;
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

    for (uint32_t i = krr_trace_vcpus(); i-- > 0; ) {
        QAPI_LIST_PREPEND(list, qatomic_read(&krr_trace_area(i)->ordinal));
    }
    return list;
}

static KrrHistogram *histogram(const __u64 *buckets, uint64_t cycles)
{
    KrrHistogram *h = g_new0(KrrHistogram, 1);

    for (int i = KRR_TIME_BUCKETS; i-- > 0; ) {
        QAPI_LIST_PREPEND(h->histogram, buckets[i]);
    }
    h->count = krr_histogram_count(buckets);
    h->cycles = cycles;
    return h;
}

/* Of a copy: the guest writes its own at any time. */
static KrrLock *describe_lock(struct krr_times times)
{
    KrrLock *lock = g_new0(KrrLock, 1);

    lock->held = histogram(times.held, times.held_cycles);
    lock->waited = histogram(times.waited, times.waited_cycles);
    lock->granted = histogram(times.granted, times.granted_cycles);
    lock->handoffs = g_new(KrrHandoffs, 1);
    *lock->handoffs = (KrrHandoffs) {
        .wait = times.handoffs[KRR_HANDOFF_WAIT],
        .resched = times.handoffs[KRR_HANDOFF_RESCHED],
        .q_long = times.handoffs[KRR_HANDOFF_LONG],
    };
    lock->stretch = times.stretch;
    lock->stretch_site = times.stretch_site;
    return lock;
}

static void describe_locks(KrrInfo *info)
{
    info->has_tsc_khz = rec.machine->tsc_khz;
    info->tsc_khz = rec.machine->tsc_khz;
    info->has_lock = true;
    for (uint32_t i = krr_trace_vcpus(); i-- > 0; ) {
        QAPI_LIST_PREPEND(info->lock, describe_lock(krr_trace_area(i)->times));
    }
}

KrrInfo *krr_record_info(void)
{
    KrrInfo *info = g_new0(KrrInfo, 1);
    KrrTraceResult last;

    info->status = rec.status;
    info->file = g_strdup(rec.path);
    info->error = g_strdup(rec.error);

    if (krr_trace_progress(&info->records, &info->bytes, &info->duration)) {
        info->has_records = info->has_bytes = info->has_ordinals = info->has_duration = true;
        info->ordinals = ordinals();
        describe_locks(info);
        return info;
    }
    krr_trace_last_result(&last);
    if (last.bytes) {
        info->has_records = info->has_bytes = info->has_end_status = true;
        info->records = last.records;
        info->bytes = last.bytes;
        info->end_reason = g_strdup(krr_end_reason_name(last.end.reason));
        info->end_status = last.end.status;
        info->end_text = end_text(&last.end);
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
        warn_report("krr: nothing was recorded, the guest never started it; does its "
                    "kernel have the recorder (CONFIG_KRR_GUEST), and krr=on on its "
                    "command line?");
    }
}

static Notifier exit_notifier = { .notify = exiting };

void krr_record_reset(void)
{
    uint32_t flags = (rec.options->start_boot ? KRR_FLAG_START_BOOT : 0) |
                     (rec.options->final_ram ? KRR_FLAG_FINAL_RAM : 0);

    krr_record_end(KRR_END_RESET, "the machine was reset");
    rec.parked = 0;
    krr_trace_reset(memory_region_get_ram_ptr(rec.shared), rec.options->ring_size,
                    current_machine->smp.cpus, flags);
}

/* ---- the main loop ---- */

/* Something stopped the vCPU in the middle of the kernel. */
void krr_record_parks(CPUState *cpu)
{
    if (krr_record_owner(cpu)) {
        krr_group_abandon();
        qemu_notify_event();
    }
}

/* @runs: it is about to run handlers; else to wait. Without the BQL. */
static void main_loop(bool runs)
{
    if (!runs) {
        if (krr_group_abandoned()) {
            /* Unless what it did was to end the recording for a reason of its own. */
            krr_record_end(KRR_END_QEMU_EXIT, "a vCPU was stopped in the kernel (by a breakpoint, "
                           "a reset, an error)");
        }
        if (runstate_is_running()) {
            krr_group_leave();      /* else nobody else may get the lock */
        }
        return;
    }
    krr_group_enter();
    if (qatomic_read(&rec.ending)) {
        BQL_LOCK_GUARD();
        end_by_guest();
    }
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
    krr_trace_init();
    krr_group_init();
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
    krr_main_loop = main_loop;
    qemu_add_exit_notifier(&exit_notifier);
    qemu_add_vm_change_state_handler(run_state_changed, NULL);
}
