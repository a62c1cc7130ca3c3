/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A vCPU of the replay between two runs: leaving the kernel, halting, and getting going again.
 */
#include "qemu/osdep.h"
#include "qemu/error-report.h"
#include "qapi/error.h"
#include "target/i386/krr/cpu-state.h"
#include "target/i386/krr/replay-internal.h"

/* Of the execution loop, without an instruction; a kernel has a handful. */
#define ROUNDS_LIMIT 1000000

bool krr_replay_in_user_mode(CPUState *cpu)
{
    return (cpu_env(cpu)->hflags & HF_CPL_MASK) == 3;
}

void krr_replay_load_cpu(CPUState *cpu, const KrrCpuState *state)
{
    Error *err = NULL;

    if (!krr_cpu_state_load(cpu, state, &err)) {
        error_reportf_err(err, "krr: vCPU %d: ", cpu->cpu_index);
        exit(1);
    }
}

static void left_kernel(CPUState *cpu)
{
    KrrReplayVcpu *vcpu = krr_replay_vcpu(cpu);

    if (vcpu->place != KRR_PLACE_LEAVING) {
        krr_replay_diverged(cpu, krr_cpu_rip(cpu),
                            "user mode reached without releasing the lock");
        return;
    }
    vcpu->place = KRR_PLACE_USER;
}

/*
 * Does @cpu come here again and again without an instruction, as when a fault's handler cannot be
 * fetched, which is a fault? The limit of instructions without a record does not see that.
 */
static bool is_stuck(CPUState *cpu)
{
    KrrReplayVcpu *vcpu = krr_replay_vcpu(cpu);
    int64_t left = cpu->icount_extra + cpu->neg.icount_decr.u16.low;

    if (left != vcpu->left) {
        vcpu->left = left;
        vcpu->rounds = 0;
    } else if (++vcpu->rounds == ROUNDS_LIMIT) {
        if (krr_replay->last_budget) {
            krr_replay_end_cut_off();
        } else {
            krr_replay_diverged(cpu, krr_cpu_rip(cpu), "an endless row of exceptions");
        }
    }
    return krr_replay_over();
}

bool krr_replay_left_kernel(CPUState *cpu)
{
    if (likely(!krr_replay_in_user_mode(cpu))) {
        return krr_replay_over() || is_stuck(cpu);
    }
    if (krr_replay_vcpu(cpu)->place != KRR_PLACE_USER) {
        left_kernel(cpu);
    }
    /* With single-stepping the scheduler goes on, which knows where gdb gets its stop. */
    if (krr_replay_over() || cpu->singlestep_enabled) {
        return true;
    }
    return krr_replay_schedule(cpu) == KRR_NEXT_SWITCH || krr_replay_over();
}

void krr_replay_halted(CPUState *cpu)
{
    KrrReplayVcpu *vcpu = krr_replay_vcpu(cpu);

    if (vcpu->place != KRR_PLACE_LEAVING) {
        krr_replay_diverged(cpu, krr_cpu_rip(cpu), "a halt without releasing the lock");
        return;
    }
    vcpu->place = KRR_PLACE_HALTED;
}

static const char *where(KrrPlace place)
{
    switch (place) {
    case KRR_PLACE_START:
        return "stands where the recording began";
    case KRR_PLACE_USER:
        return "is in user mode";
    case KRR_PLACE_HALTED:
        return "is halted";
    case KRR_PLACE_HANDED_OFF:
        return "has handed the lock over";
    default:
        return "waits for the lock";
    }
}

/* The waiting vCPU whose next record this is gets going; false if it cannot. */
static bool get_going(CPUX86State *env, const struct krr_record *record)
{
    KrrReplayVcpu *vcpu = krr_env_vcpu(env);

    if (record->ordinal != vcpu->ordinal) {
        return false;
    }
    switch (record->kind) {
    case KRR_KIND_ENTRY:
        if (vcpu->place == KRR_PLACE_USER) {
            krr_inject_entry(env, record);
            return true;
        }
        if (vcpu->place == KRR_PLACE_ENTRY_HOOK) {
            krr_entry_hook_again(env);
            return true;
        }
        return false;
    case KRR_KIND_WAKE:
        if (vcpu->place == KRR_PLACE_HALTED) {
            krr_inject_wake(env, record);
            return true;
        }
        return false;
    case KRR_KIND_RESUME:
        if (vcpu->place == KRR_PLACE_HANDED_OFF) {
            krr_safepoint_resume(env, record);
            return true;
        }
        if (vcpu->place == KRR_PLACE_START || vcpu->place == KRR_PLACE_HALTED) {
            vcpu->place = KRR_PLACE_ACQUIRING;
            return true;
        }
        return false;
    default:
        return false;
    }
}

static bool is_waiting(KrrPlace place)
{
    return place != KRR_PLACE_KERNEL && place != KRR_PLACE_LEAVING &&
           place != KRR_PLACE_ENTERING && place != KRR_PLACE_ACQUIRING;
}

KrrNext krr_replay_schedule(CPUState *cpu)
{
    KrrReplayVcpu *vcpu = krr_replay_vcpu(cpu);
    const struct krr_record *record;
    bool entered = false;

    if (krr_replay_in_user_mode(cpu) && vcpu->place == KRR_PLACE_LEAVING) {
        vcpu->place = KRR_PLACE_USER;
    }
    if (is_waiting(vcpu->place)) {
        record = krr_replay_group_dma(cpu) ? krr_replay_peek() : NULL;
        if (!record) {
            return KRR_NEXT_SWITCH;
        }
        if (record->vcpu != cpu->cpu_index) {
            krr_replay->current = record->vcpu;
            return KRR_NEXT_SWITCH;
        }
        if (!get_going(cpu_env(cpu), record)) {
            krr_replay_diverged(cpu, krr_cpu_rip(cpu), "vCPU %d, which %s", cpu->cpu_index,
                                where(vcpu->place));
        }
        if (krr_replay_over()) {
            return KRR_NEXT_SWITCH;
        }
        entered = vcpu->place == KRR_PLACE_ENTERING;
    }
    krr_arm_fault(cpu_env(cpu));
    return entered ? KRR_NEXT_ENTERED : KRR_NEXT_RUN;
}
