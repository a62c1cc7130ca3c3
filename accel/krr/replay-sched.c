/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The vCPU scheduler of a replay: one thread, which runs the vCPU that owns the
 * kernel-entry lock until that has given it up, and then the one that the next record names.
 *
 * Unlike QEMU's own single-threaded scheduler it never rotates, has no timers,
 * and ignores halted vCPUs and those that gdb has stopped: the trace alone decides. If gdb
 * resumes only one that does not own the lock, it gets there by running the owner.
 */
#include "qemu/osdep.h"
#include "qemu/main-loop.h"
#include "qemu/rcu.h"
#include "qemu/notify.h"
#include "exec/cpu-common.h"
#include "exec/gdbstub.h"
#include "accel/tcg/cpu-ops.h"
#include "system/accel-ops.h"
#include "system/cpus.h"
#include "system/cpu-timers.h"
#include "system/runstate.h"
#include "hw/core/cpu.h"
#include "tcg/startup.h"
#include "accel/tcg/tcg-accel-ops.h"
#include "accel/tcg/tcg-accel-ops-rr.h"
#include "target/i386/krr/cpu-state.h"
#include "accel/krr/krr-hooks.h"
#include "accel/krr/replay.h"

/* Instructions that a vCPU may run before the loop looks around; only a cut-off
 * trace needs it smaller. */
#define RUN_BUDGET  INT32_MAX
/*
 * Instructions without a record after which the replay has diverged into an
 * endless loop. A running kernel has a record for each timer interrupt, hundreds a
 * second; this is many seconds' worth.
 */
#define STALL_LIMIT (UINT64_C(20) * 1000 * 1000 * 1000)

static CPUState *running;       /* the vCPU inside cpu_exec(), for kicks from other threads */
static bool kicked;             /* some vCPU has work to do, or has to stop */

static void kick(CPUState *unused)
{
    CPUState *cpu;

    qatomic_set_mb(&kicked, true);
    /* Once more if another vCPU got going while this one was kicked. */
    do {
        cpu = qatomic_read(&running);
        if (cpu) {
            cpu_exit(cpu);
        }
        smp_mb();
    } while (cpu != qatomic_read(&running));
}

static void force_rcu(Notifier *notifier, void *data)
{
    kick(NULL);
}

static CPUState *current_vcpu(void)
{
    return qemu_get_cpu(krr_replay->current);
}

static int64_t run_budget(void)
{
    uint64_t last = krr_replay->last_budget;

    return last && last < RUN_BUDGET ? last : RUN_BUDGET;
}

/* Notices a guest that does not come to the next record any more. */
static void check_progress(CPUState *cpu, int64_t executed)
{
    if (krr_replay->progress_done != krr_replay->done) {
        krr_replay->progress_done = krr_replay->done;
        krr_replay->progress_instructions = 0;
    }
    krr_replay->progress_instructions += executed;
    if (krr_replay->progress_instructions > STALL_LIMIT) {
        krr_replay_diverged(cpu, krr_cpu_rip(cpu),
                            "executed %" PRIu64 " instructions without coming to it",
                            krr_replay->progress_instructions);
    }
}

/* A trace that was cut off does not say where the guest stopped. */
static void spend_last_budget(uint64_t executed)
{
    if (executed < krr_replay->last_budget) {
        krr_replay->last_budget -= executed;
    } else {
        krr_replay_end_cut_off();
    }
}

/* Runs one vCPU; returns the exit code of cpu_exec(). Without the BQL. */
static int run(CPUState *cpu, int64_t *executed)
{
    /* Only what is run from now on counts for what is left after the last record. */
    bool last = krr_replay->last_budget != 0;
    int64_t budget = run_budget();
    int64_t before = icount_get_raw();
    int r;

    cpu->icount_budget = budget;
    cpu->neg.icount_decr.u16.low = MIN(0xffff, budget);
    cpu->icount_extra = budget - cpu->neg.icount_decr.u16.low;
    qatomic_set_mb(&running, cpu);
    /* From here on a kick finds the vCPU; did one come before? */
    r = qatomic_read(&kicked) ? EXCP_INTERRUPT : tcg_cpu_exec(cpu);
    qatomic_set(&running, NULL);
    icount_update(cpu);
    cpu->neg.icount_decr.u16.low = 0;
    cpu->icount_extra = 0;
    cpu->icount_budget = 0;

    *executed = icount_get_raw() - before;
    krr_replay_vcpu(cpu)->instructions += *executed;
    check_progress(cpu, *executed);
    if (last) {
        spend_last_budget(*executed);
    }
    return r;
}

/* Delivering an entry may fault, if the guest's IDT or stack is broken; then the
 * emulator jumps to where cpu_exec() was entered, which is here. */
static KrrNext schedule_guarded(CPUState *cpu)
{
    if (sigsetjmp(cpu->jmp_env, 0) == 0) {
        return krr_replay_schedule(cpu);
    }
    krr_replay_diverged(cpu, krr_cpu_rip(cpu), "a fault in the delivery of an entry");
    return KRR_NEXT_SWITCH;
}

/* Entries are injected into registers as they are inside cpu_exec(), where the
 * arithmetic flags are not in RFLAGS. */
static KrrNext schedule(CPUState *cpu)
{
    const TCGCPUOps *ops = cpu->cc->tcg_ops;
    KrrNext next;

    ops->cpu_exec_enter(cpu);
    next = schedule_guarded(cpu);
    ops->cpu_exec_exit(cpu);
    return next;
}

/* ---- stops for gdb ---- */

/*
 * A step of @cpu ends before it runs, when it comes from user mode or a halt, which no
 * replay executes: at the first instruction of its entry.
 */
static bool step_ends_before(CPUState *cpu, KrrNext next)
{
    KrrReplayVcpu *vcpu = krr_replay_vcpu(cpu);
    bool stepped = vcpu->stepped;

    vcpu->stepped = false;
    return cpu->singlestep_enabled && (stepped || next == KRR_NEXT_ENTERED);
}

/* Will @cpu be the next one that executes anything? */
static bool goes_on(CPUState *cpu)
{
    const struct krr_record *record = krr_replay_look();

    return record && record->vcpu == cpu->cpu_index;
}

/*
 * Does gdb get a stop after this run? Where a step led to user mode or to a halt it comes
 * with the next entry. But gdb may have taken its breakpoints out for the step, so no
 * other vCPU runs before.
 */
static bool stops_after(CPUState *cpu, int r, int64_t executed)
{
    bool in_kernel = !krr_replay_in_user_mode(cpu) && r != EXCP_HLT &&
                     krr_replay_vcpu(cpu)->place != KRR_PLACE_ENTRY_HOOK;

    if (krr_replay_over()) {
        return false;
    }
    if (!cpu->singlestep_enabled) {
        return r == EXCP_DEBUG && in_kernel;
    }
    if (r != EXCP_DEBUG && !executed) {
        return false;       /* kicked before */
    }
    if (in_kernel || !goes_on(cpu)) {
        return true;
    }
    krr_replay_vcpu(cpu)->stepped = true;
    return false;
}

/* At a stop; gdb says so again when it wants another step. */
static void forget_steps(void)
{
    CPUState *cpu;

    CPU_FOREACH(cpu) {
        cpu_single_step(cpu, 0);
        krr_replay_vcpu(cpu)->stepped = false;
    }
}

/* All vCPUs stand still from now on; the main loop has yet to be told. */
static void stop_all(void)
{
    CPUState *cpu;

    forget_steps();
    CPU_FOREACH(cpu) {
        cpu->stopped = true;
    }
}

static void debug_stop(CPUState *cpu)
{
    bql_lock();
    stop_all();
    cpu_handle_guest_debug(cpu);
}

/* ---- the loop ---- */

void krr_replay_to_scheduler(CPUState *cpu)
{
    cpu->exception_index = EXCP_KRR;
    cpu_loop_exit(cpu);
}

static void after_run(CPUState *cpu, int r)
{
    if (r == EXCP_HLT || r == EXCP_HALTED) {
        cpu->halted = 0;
        krr_replay_halted(cpu);
    }
}

/* Runs vCPUs until something outside of the replay wants attention. With the BQL
 * on entry and exit. */
static void run_until_kicked(void)
{
    CPUState *cpu = current_vcpu();

    if (!krr_replay->start_us) {
        krr_replay->start_us = g_get_monotonic_time();
    }
    bql_unlock();
    while (!krr_replay_over() && !qatomic_read(&kicked)) {
        int64_t executed;
        KrrNext next;
        int r;

        cpu = current_vcpu();
        current_cpu = cpu;
        next = schedule(cpu);
        if (next == KRR_NEXT_SWITCH) {
            continue;
        }
        if (step_ends_before(cpu, next)) {
            debug_stop(cpu);
            return;
        }
        r = run(cpu, &executed);
        after_run(cpu, r);
        if (stops_after(cpu, r, executed)) {
            debug_stop(cpu);
            return;
        }
    }
    bql_lock();
    if (krr_replay_over()) {
        krr_replay_report(current_vcpu());
        stop_all();
    }
}

/*
 * Is the main loop stopping the guest? Behind a stop of our own it sets "stop" too, but does
 * not wait for us, so that may be seen when gdb has already begun the next step.
 */
static bool is_being_stopped(void)
{
    CPUState *cpu;

    CPU_FOREACH(cpu) {
        if (cpu->stop && !cpu->stopped) {
            return true;
        }
    }
    return false;
}

static void handle_requests(void)
{
    CPUState *cpu;

    qatomic_set_mb(&kicked, false);
    if (is_being_stopped()) {
        forget_steps();
        krr_replay_show(current_vcpu());
    }
    CPU_FOREACH(cpu) {
        current_cpu = cpu;
        qemu_wait_io_event_common(cpu);
    }
}

static void *replay_thread(void *arg)
{
    CPUState *cpu = arg;
    Notifier notifier = { .notify = force_rcu };

    rcu_register_thread();
    rcu_add_force_rcu_notifier(&notifier);
    tcg_register_thread();
    bql_lock();
    qemu_thread_get_self(cpu->thread);
    cpu->thread_id = qemu_get_thread_id();
    cpu->neg.can_do_io = true;
    current_cpu = cpu;
    cpu_thread_signal_created(cpu);

    for (;;) {
        while (all_cpu_threads_idle()) {
            qemu_cond_wait_bql(first_cpu->halt_cond);
        }
        handle_requests();
        if (!all_cpu_threads_idle()) {
            run_until_kicked();
        }
    }
    g_assert_not_reached();
}

static void create_thread(CPUState *cpu)
{
    tcg_cpu_init_cflags(cpu, false);
    if (cpu == first_cpu) {
        qemu_thread_create(cpu->thread, "KRR replay", replay_thread, cpu,
                           QEMU_THREAD_JOINABLE);
        return;
    }
    /* All vCPUs share the first one's thread and condition. */
    g_free(cpu->thread);
    qemu_cond_destroy(cpu->halt_cond);
    g_free(cpu->halt_cond);
    cpu->thread = first_cpu->thread;
    cpu->halt_cond = first_cpu->halt_cond;
    cpu->thread_id = first_cpu->thread_id;
    cpu->neg.can_do_io = true;
    cpu->created = true;
}

void krr_replay_ops_init(AccelOpsClass *ops)
{
    ops->create_vcpu_thread = create_thread;
    ops->kick_vcpu_thread = kick;
    ops->handle_interrupt = tcg_handle_interrupt;
    ops->get_virtual_clock = icount_get;
    ops->get_elapsed_ticks = icount_get;
}
