/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The closed world: privileged instructions and device accesses that could
 * bring in something from outside get it from the trace, or the replay ends.
 */
#include "qemu/osdep.h"
#include "exec/exec-all.h"
#include "exec/helper-proto.h"
#include "target/i386/tcg/helper-tcg.h"
#include "target/i386/krr/replay.h"
#include "target/i386/krr/replay-internal.h"

/*
 * #GP of RDMSR, WRMSR: the recorded CPU may know another set of MSRs. #GP and #PF of XRSTOR and
 * XSAVE in user memory: that is not here, and which of its bytes a CPU touches first is its own affair.
 */
static void raise_recorded_fault(CPUX86State *env, const struct krr_record *record, uintptr_t ra)
{
    const struct krr_trap *trap;

    if (!record || record->kind != KRR_KIND_EXCEPTION ||
        record->ordinal != krr_env_vcpu(env)->ordinal) {
        return;
    }
    trap = krr_record_payload(record);
    if (trap->rip != krr_rip_of(env, ra)) {
        return;
    }
    if (trap->vector == EXCP0E_PAGE) {
        env->cr[2] = trap->cr2;
    }
    if (trap->vector == EXCP0D_GPF || trap->vector == EXCP0E_PAGE) {
        raise_exception_err_ra(env, trap->vector, trap->error_code, ra);
    }
}

static G_NORETURN void unannounced(CPUX86State *env, unsigned kind, uintptr_t ra)
{
    cpu_restore_state(env_cpu(env), ra);
    krr_replay_diverged(env_cpu(env), env->eip, "an instruction that wants %s",
                        krr_kind_name(kind));
    krr_replay_leave(env, 0);
}

/* The record that announces an input of @kind, not consumed: that is done by the
 * hook behind the instruction. */
static const struct krr_record *announced(CPUX86State *env, unsigned kind, uintptr_t ra)
{
    const struct krr_record *record = krr_replay_peek_own(env);

    if (krr_replay_over()) {
        krr_replay_leave(env, ra);
    }
    if (kind == KRR_KIND_MSR) {
        raise_recorded_fault(env, record, ra);
    }
    if (!record || record->kind != kind ||
        record->ordinal != krr_env_vcpu(env)->ordinal) {
        unannounced(env, kind, ra);
    }
    return record;
}

bool krr_replay_insn(CPUX86State *env, unsigned kind, uint64_t *value, uintptr_t ra)
{
    const struct krr_value *payload = krr_record_payload(announced(env, kind, ra));

    *value = payload->value;
    return true;
}

bool krr_replay_cpuid(CPUX86State *env, uintptr_t ra)
{
    const struct krr_cpuid *cpuid = krr_record_payload(announced(env, KRR_KIND_CPUID, ra));

    env->regs[R_EAX] = cpuid->eax;
    env->regs[R_EBX] = cpuid->ebx;
    env->regs[R_ECX] = cpuid->ecx;
    env->regs[R_EDX] = cpuid->edx;
    return true;
}

/* MSRs whose writes only change what comes back as records: time and interrupts. */
static bool is_foreign_msr(uint32_t msr)
{
    return (msr >= MSR_APIC_START && msr <= MSR_APIC_END) || msr == MSR_IA32_APICBASE ||
           msr == MSR_IA32_TSCDEADLINE || msr == MSR_IA32_TSC || msr == MSR_TSC_ADJUST;
}

bool krr_replay_wrmsr(CPUX86State *env, uintptr_t ra)
{
    const struct krr_record *record = krr_replay_peek_own(env);

    if (krr_replay_over()) {
        krr_replay_leave(env, ra);
    }
    raise_recorded_fault(env, record, ra);
    return is_foreign_msr(env->regs[R_ECX]);
}

bool krr_replay_fpu_user(CPUX86State *env, uint64_t address, uintptr_t ra)
{
    if ((env->hflags & HF_CPL_MASK) != 0 || !krr_is_user_address(address)) {
        return false;
    }
    if (krr_replay_over()) {
        krr_replay_leave(env, ra);
    }
    raise_recorded_fault(env, krr_replay_peek_own(env), ra);
    return true;
}

/* ---- ports ---- */

static uint64_t port_access(CPUX86State *env, unsigned kind, uint32_t port, unsigned size,
                            uint64_t value, uintptr_t ra)
{
    KrrReplayAccess access = { kind, size, port, value };

    value = krr_replay_access_device(env_cpu(env), &access, ra);
    krr_arm_fault(env);
    return value;
}

bool krr_replay_port_in(CPUX86State *env, uint32_t port, unsigned size, uint64_t *value,
                        uintptr_t ra)
{
    *value = port_access(env, KRR_KIND_PORT_READ, port, size, 0, ra);
    return true;
}

bool krr_replay_port_out(CPUX86State *env, uint32_t port, unsigned size, uint32_t value,
                         uintptr_t ra)
{
    port_access(env, KRR_KIND_PORT_WRITE, port, size, value & MAKE_64BIT_MASK(0, size * 8), ra);
    return true;
}
