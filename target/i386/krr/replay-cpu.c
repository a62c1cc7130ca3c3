/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A vCPU of the replay between two runs: leaving the kernel, halting, and getting going again.
 */
#include "qemu/osdep.h"
#include "qemu/error-report.h"
#include "qapi/error.h"
#include "target/i386/krr/cpu-state.h"
#include "target/i386/krr/replay-internal.h"

uint64_t krr_replay_rip(CPUState *cpu)
{
    return cpu_env(cpu)->eip;
}

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
        krr_replay_diverged(cpu, krr_replay_rip(cpu),
                            "user mode reached without releasing the lock");
        return;
    }
    vcpu->place = KRR_PLACE_USER;
}

bool krr_replay_left_kernel(CPUState *cpu)
{
    if (likely(!krr_replay_in_user_mode(cpu))) {
        return krr_replay_over();
    }
    if (krr_replay_vcpu(cpu)->place != KRR_PLACE_USER) {
        left_kernel(cpu);
    }
    /* With single-stepping the scheduler goes on, which knows where gdb gets its stop. */
    if (krr_replay_over() || cpu->singlestep_enabled) {
        return true;
    }
    return krr_replay_schedule(cpu) != KRR_NEXT_RUN || krr_replay_over();
}

void krr_replay_halted(CPUState *cpu)
{
    KrrReplayVcpu *vcpu = krr_replay_vcpu(cpu);

    if (vcpu->place != KRR_PLACE_LEAVING) {
        krr_replay_diverged(cpu, krr_replay_rip(cpu), "a halt without releasing the lock");
        return;
    }
    vcpu->place = KRR_PLACE_HALTED;
}

/* The kernel was left in user mode or halted; @record says how it is entered. */
static KrrNext enter(CPUX86State *env, const struct krr_record *record)
{
    KrrReplayVcpu *vcpu = krr_env_vcpu(env);

    if (record->ordinal == vcpu->ordinal) {
        if (record->kind == KRR_KIND_ENTRY && vcpu->place == KRR_PLACE_USER) {
            krr_inject_entry(env, record);
            return krr_replay_over() ? KRR_NEXT_SWITCH : KRR_NEXT_RUN;
        }
        if (record->kind == KRR_KIND_WAKE && vcpu->place == KRR_PLACE_HALTED) {
            krr_inject_wake(env, record);
            return krr_replay_over() ? KRR_NEXT_SWITCH : KRR_NEXT_RUN;
        }
        if (record->kind == KRR_KIND_RESUME && vcpu->place == KRR_PLACE_HALTED) {
            vcpu->place = KRR_PLACE_HOOK;
            return KRR_NEXT_RUN;
        }
    }
    krr_replay_diverged(env_cpu(env), env->eip, "vCPU %d in %s", env_cpu(env)->cpu_index,
                        vcpu->place == KRR_PLACE_USER ? "user mode" : "halt");
    return KRR_NEXT_SWITCH;
}

KrrNext krr_replay_schedule(CPUState *cpu)
{
    KrrReplayVcpu *vcpu = krr_replay_vcpu(cpu);
    const struct krr_record *record;

    if (krr_replay_in_user_mode(cpu) && vcpu->place == KRR_PLACE_LEAVING) {
        vcpu->place = KRR_PLACE_USER;
    }
    if (vcpu->place != KRR_PLACE_USER && vcpu->place != KRR_PLACE_HALTED) {
        return KRR_NEXT_RUN;
    }
    record = krr_replay_peek();
    if (!record) {
        return KRR_NEXT_SWITCH;
    }
    if (record->vcpu != cpu->cpu_index) {
        krr_replay->current = record->vcpu;
        return KRR_NEXT_SWITCH;
    }
    return enter(cpu_env(cpu), record);
}
