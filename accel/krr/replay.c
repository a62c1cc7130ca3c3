/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A replay session: opening the trace, the cursor in it, divergence, progress and summary.
 */
#include "qemu/osdep.h"
#include "qemu/error-report.h"
#include "qemu/main-loop.h"
#include "qemu/option.h"
#include "qemu/config-file.h"
#include "qemu/timer.h"
#include "qobject/qdict.h"
#include "qapi/error.h"
#include "qapi/qapi-types-krr.h"
#include "system/cpu-timers.h"
#include "system/runstate.h"
#include "system/system.h"
#include "target/i386/krr/cpu-state.h"
#include "accel/krr/krr-hooks.h"
#include "accel/krr/replay.h"

#define PROGRESS_MS         200
/*
 * What a vCPU may execute after the last record of a trace that ends in the
 * middle (QEMU was killed, or ended the recording from outside): such a trace does not say where
 * the guest stopped, and it may have been in an endless loop.
 */
#define CUT_OFF_BUDGET      (UINT64_C(100) * 1000 * 1000)

KrrReplay *krr_replay;
static QEMUTimer *progress_timer;

/* ---- start ---- */

static void refuse_option(const char *group, const char *option)
{
    QemuOptsList *list = qemu_find_opts_err(group, NULL);

    if (list && !QTAILQ_EMPTY(&list->head)) {
        error_report("krr: %s cannot be used with -krr replay=: "
                     "machine, memory and CPUs come from the trace", option);
        exit(1);
    }
}

static void refuse_options(QDict *machine_opts, const char *cpu_option)
{
    static const char *const machine_keys[][2] = {
        { "kernel", "-kernel" }, { "initrd", "-initrd" }, { "append", "-append" },
        { "memory", "-m" }, { "smp", "-smp" }, { "type", "-machine" },
        { "firmware", "-bios" },
    };
    static const char *const groups[][2] = {
        { "device", "-device" }, { "drive", "-drive" }, { "netdev", "-netdev" },
        { "icount", "-icount" }, { "memory", "-m" }, { "smp-opts", "-smp" },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(machine_keys); i++) {
        if (qdict_haskey(machine_opts, machine_keys[i][0])) {
            error_report("krr: %s cannot be used with -krr replay=: "
                         "machine, memory and CPUs come from the trace",
                         machine_keys[i][1]);
            exit(1);
        }
    }
    for (size_t i = 0; i < G_N_ELEMENTS(groups); i++) {
        refuse_option(groups[i][0], groups[i][1]);
    }
    if (cpu_option) {
        error_report("krr: -cpu cannot be used with -krr replay=: "
                     "machine, memory and CPUs come from the trace");
        exit(1);
    }
}

static void require_tcg(void)
{
    QemuOptsList *accel = qemu_find_opts("accel");
    QemuOpts *opts = QTAILQ_FIRST(&accel->head);

    if (!opts) {
        qemu_opts_parse_noisily(accel, "tcg", true);
        return;
    }
    if (g_strcmp0(qemu_opt_get(opts, "accel"), "tcg")) {
        error_report("krr: a trace can only be replayed with -accel tcg");
        exit(1);
    }
}

/* Fills the "smp" of the machine as -smp N would. */
static void set_smp(QDict *machine_opts, uint32_t vcpus)
{
    QDict *smp = qdict_new();
    g_autofree char *number = g_strdup_printf("%u", vcpus);

    qdict_put_str(smp, "cpus", number);
    qdict_put_str(smp, "maxcpus", number);
    qdict_put(machine_opts, "smp", smp);
}

void krr_replay_configure(const KrrOptions *options, QDict *machine_opts,
                          int *has_defaults, const char *cpu_option)
{
    GError *gerr = NULL;
    KrrReplay *replay = g_new0(KrrReplay, 1);

    refuse_options(machine_opts, cpu_option);
    require_tcg();
    replay->options = options;
    replay->reader = krr_reader_open(options->path, &gerr);
    if (!replay->reader) {
        error_report("krr: %s", gerr->message);
        exit(1);
    }
    replay->machine = krr_reader_machine(replay->reader);
    if (!krr_reader_complete(replay->reader)) {
        warn_report("krr: incomplete trace: %s", krr_reader_damage(replay->reader));
    }
    krr_replay = replay;

    qdict_put_str(machine_opts, "type", TYPE_KRR_REPLAY_MACHINE_NAME);
    set_smp(machine_opts, replay->machine->vcpus);
    *has_defaults = 0;
    /* Exact counts, exact state at faults, one thread for all vCPUs. */
    qemu_opts_parse_noisily(qemu_find_opts("icount"), "shift=0,sleep=on", false);
}

static void progress_line(FILE *out)
{
    uint64_t done = qatomic_read(&krr_replay->done);
    uint64_t total = krr_reader_count(krr_replay->reader);
    double seconds = (g_get_monotonic_time() - krr_replay->start_us) / 1e6;

    fprintf(out, "\rkrr: replay %" PRIu64 "/%" PRIu64 " records, %3u %%, %.0f records/s ",
            done, total, total ? (unsigned)(done * 100 / total) : 100,
            seconds > 0 ? done / seconds : 0.0);
    fflush(out);
}

static void progress_tick(void *opaque)
{
    if (krr_replay_over()) {
        return;
    }
    if (krr_replay->start_us) {
        progress_line(stderr);
    }
    timer_mod(progress_timer, qemu_clock_get_ms(QEMU_CLOCK_REALTIME) + PROGRESS_MS);
}

void krr_replay_machine_ready(void)
{
    const KrrMachine *machine = krr_replay->machine;

    for (uint32_t i = 0; i < machine->vcpus; i++) {
        krr_replay_load_cpu(qemu_get_cpu(i), krr_reader_cpu(krr_replay->reader, i));
        krr_replay->vcpu[i].place = KRR_PLACE_START;
    }
    if (krr_replay->options->progress) {
        progress_timer = timer_new_ms(QEMU_CLOCK_REALTIME, progress_tick, NULL);
        timer_mod(progress_timer, qemu_clock_get_ms(QEMU_CLOCK_REALTIME));
    }
}

/* ---- the cursor ---- */

void krr_replay_finish(KrrReplayState state, const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    krr_replay->end = g_strdup_vprintf(format, ap);
    va_end(ap);
    /* The monitor's thread reads the text when it sees the state. */
    qatomic_store_release(&krr_replay->state, state);
}

void krr_replay_end_cut_off(void)
{
    if (!krr_replay_over()) {
        krr_replay_finish(KRR_REPLAY_END, "the trace was cut off and the guest runs on "
                          "without anything to replay");
    }
}

/* END written by QEMU: no hook of the guest belongs to it. */
static bool ended_by_qemu(const struct krr_record *record)
{
    return record->kind == KRR_KIND_END && record->site == 0;
}

const struct krr_record *krr_replay_peek(void)
{
    const struct krr_record *record;
    GError *gerr = NULL;

    if (krr_replay_over()) {
        return NULL;
    }
    record = krr_reader_peek(krr_replay->reader, &gerr);
    if (!record) {
        if (gerr) {
            krr_replay_finish(KRR_REPLAY_FAILED, "record %" PRIu64 ": %s",
                              krr_reader_position(krr_replay->reader), gerr->message);
            g_error_free(gerr);
        } else {
            krr_replay_finish(KRR_REPLAY_END, "the trace was cut off here "
                              "(QEMU or the host died while recording)");
        }
        return NULL;
    }
    if (ended_by_qemu(record)) {
        const struct krr_end *end = krr_record_payload(record);
        g_autofree char *text = krr_end_text(end);

        krr_stats_record(&krr_replay->stats, record);
        krr_replay_finish(KRR_REPLAY_END, "%s: %s", krr_end_reason_name(end->reason), text);
        return NULL;
    }
    return record;
}

/* A damaged file is reported by krr_replay_peek(), when the record is needed. */
const struct krr_record *krr_replay_look(void)
{
    return krr_reader_peek(krr_replay->reader, NULL);
}

/* True when nothing more is needed from the trace: what the guest does from
 * here on is not bounded by a record. */
static bool at_last_record(void)
{
    const struct krr_record *record = krr_replay_look();

    return !record || ended_by_qemu(record);
}

bool krr_replay_end_is_ahead(CPUState *cpu)
{
    const struct krr_record *record = krr_replay_look();

    return record && ended_by_qemu(record) &&
           (record->vcpu != cpu->cpu_index ||
            record->ordinal > krr_replay_vcpu(cpu)->ordinal);
}

static void show_console(const struct krr_record *record)
{
    uint8_t byte;

    if (krr_console_byte(&krr_replay->console, record, &byte)) {
        putchar(byte);
        if (byte == '\n') {
            fflush(stdout);
        }
    }
}

void krr_replay_consume(CPUState *cpu)
{
    const struct krr_record *record = krr_reader_peek(krr_replay->reader, NULL);

    g_assert(record);
    krr_stats_record(&krr_replay->stats, record);
    show_console(record);
    krr_reader_next(krr_replay->reader);
    qatomic_set(&krr_replay->done, krr_replay->done + 1);
    if (at_last_record()) {
        krr_replay->last_budget = CUT_OFF_BUDGET;
        cpu_exit(cpu);      /* the budget counts from the next run on */
    }
}

/* ---- divergence and end ---- */

void krr_replay_diverged(CPUState *cpu, uint64_t rip, const char *format, ...)
{
    const struct krr_record *record = krr_reader_peek(krr_replay->reader, NULL);
    g_autofree char *trace = record ? krr_record_describe(record) : g_strdup("nothing more");
    g_autofree char *guest = NULL;
    va_list ap;

    if (krr_replay_over()) {
        return;
    }
    va_start(ap, format);
    guest = g_strdup_vprintf(format, ap);
    va_end(ap);
    krr_replay_finish(
        KRR_REPLAY_DIVERGED, "replay diverged at record %" PRIu64 " (vCPU %d, safepoint %" PRIu64
        ", RIP 0x%" PRIx64 "): trace has %s; guest has %s",
        krr_reader_position(krr_replay->reader), cpu->cpu_index,
        krr_replay_vcpu(cpu)->ordinal, rip, trace, guest);
}

bool krr_replay_check_previous(CPUState *cpu, uint64_t previous)
{
    if (previous == krr_replay->previous) {
        return true;
    }
    krr_replay_diverged(cpu, krr_cpu_rip(cpu), "lock last released by vCPU %u at safepoint %"
                        PRIu64 ", trace: by vCPU %u at safepoint %" PRIu64,
                        KRR_PREVIOUS_VCPU(krr_replay->previous),
                        (uint64_t)KRR_PREVIOUS_ORDINAL(krr_replay->previous),
                        KRR_PREVIOUS_VCPU(previous),
                        (uint64_t)KRR_PREVIOUS_ORDINAL(previous));
    return false;
}

/* ---- monitor ---- */

/* Ordinals and instruction counts of all vCPUs into @info. */
static void describe_vcpus(KrrInfo *info)
{
    uint64List **ordinals = &info->ordinals, **instructions = &info->instructions;

    info->has_ordinals = info->has_instructions = true;
    for (uint32_t i = 0; i < krr_replay->machine->vcpus; i++) {
        KrrReplayVcpu *vcpu = &krr_replay->vcpu[i];

        QAPI_LIST_APPEND(ordinals, qatomic_read(&vcpu->ordinal));
        QAPI_LIST_APPEND(instructions, qatomic_read(&vcpu->instructions));
    }
}

KrrInfo *krr_replay_info(void)
{
    static const KrrStatus statuses[] = {
        [KRR_REPLAY_RUNNING] = KRR_STATUS_REPLAYING,
        [KRR_REPLAY_END] = KRR_STATUS_REPLAYED,
        [KRR_REPLAY_DIVERGED] = KRR_STATUS_DIVERGED,
        [KRR_REPLAY_FAILED] = KRR_STATUS_FAILED,
    };
    KrrReplayState state = qatomic_load_acquire(&krr_replay->state);
    KrrInfo *info = g_new0(KrrInfo, 1);

    info->status = statuses[state];
    info->file = g_strdup(krr_replay->options->path);
    info->has_records = info->has_total = true;
    info->records = qatomic_read(&krr_replay->done);
    info->total = krr_reader_count(krr_replay->reader);
    describe_vcpus(info);
    if (state == KRR_REPLAY_END) {
        info->end_text = g_strdup(krr_replay->end);
    } else if (state != KRR_REPLAY_RUNNING) {
        info->error = g_strdup(krr_replay->end);
    }
    return info;
}

/* ---- summary ---- */

static void hash_page(uint64_t address, const void *page, void *opaque)
{
    g_checksum_update(opaque, (const guchar *)&address, sizeof(address));
    g_checksum_update(opaque, page, KRR_PAGE);
}

static uint64_t total_instructions(void)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < krr_replay->machine->vcpus; i++) {
        sum += krr_replay->vcpu[i].instructions;
    }
    return sum;
}

static void summary(void)
{
    const KrrStats *stats = &krr_replay->stats;
    uint64_t records = 0, bytes = 0, instructions = total_instructions();
    double seconds = (krr_replay->end_us - krr_replay->start_us) / 1e6;
    g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA256);

    for (unsigned kind = 0; kind < KRR_STATS_KINDS; kind++) {
        if (stats->records[kind]) {
            fprintf(stderr, "krr:   %-14s %12" PRIu64 " records %14" PRIu64 " bytes\n",
                    krr_kind_name(kind), stats->records[kind], stats->bytes[kind]);
            records += stats->records[kind];
            bytes += stats->bytes[kind];
        }
    }
    fprintf(stderr, "krr:   %-14s %12" PRIu64 " records %14" PRIu64 " bytes\n",
            "all", records, bytes);
    fprintf(stderr, "krr:   %" PRIu64 " kernel instructions in %.2f s (%.0f million/s)\n",
            instructions, seconds, seconds > 0 ? instructions / seconds / 1e6 : 0.0);
    krr_replay_each_page(hash_page, sum);
    fprintf(stderr, "krr: replay: instructions=%" PRIu64 " ram=%s\n",
            instructions, g_checksum_get_string(sum));
}

static int exit_status(void)
{
    switch (krr_replay->state) {
    case KRR_REPLAY_END:
        return 0;
    case KRR_REPLAY_DIVERGED:
        return 2;
    default:
        return 1;
    }
}

void krr_replay_report(CPUState *cpu)
{
    static bool reported;
    bool leave = krr_replay->options->exit_at_end;

    if (!reported) {
        reported = true;
        krr_replay->end_us = g_get_monotonic_time();
        fflush(stdout);
        if (krr_replay->options->progress) {
            progress_line(stderr);
            fputc('\n', stderr);
        }
        if (krr_replay->state == KRR_REPLAY_END) {
            fprintf(stderr, "krr: end of the trace: %s\n", krr_replay->end);
        } else {
            error_report("krr: %s", krr_replay->end);
        }
        summary();
        if (!leave) {
            fprintf(stderr, "krr: the guest stands at the end of the trace "
                    "(attach gdb, or end QEMU with Ctrl-C)\n");
        }
    }
    if (leave) {
        qemu_system_shutdown_request_with_code(SHUTDOWN_CAUSE_HOST_QMP_QUIT, exit_status());
        return;
    }
    krr_replay_show(cpu);
    qemu_system_debug_request();
}
