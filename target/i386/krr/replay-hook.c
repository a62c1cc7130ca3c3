/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What happens at the magic NOPs of the guest recorder: each hook is carried out
 * here from the trace, and the guest goes on behind the call. The recorder's own code
 * never runs in a replay.
 */
#include "qemu/osdep.h"
#include "cpu.h"
#include "exec/cpu_ldst.h"
#include "exec/exec-all.h"
#include "exec/helper-proto.h"
#include "target/i386/krr/replay-internal.h"

#define NOP_LENGTH 8

void krr_replay_leave(CPUX86State *env, uintptr_t ra)
{
    CPUState *cs = env_cpu(env);

    if (ra) {
        cpu_restore_state(cs, ra);
    }
    krr_replay_to_scheduler(cs);
}

const struct krr_record *krr_replay_peek_own(CPUX86State *env)
{
    const struct krr_record *record = krr_replay_peek();

    return record && record->vcpu == env_cpu(env)->cpu_index ? record : NULL;
}

static uint64_t return_address(CPUX86State *env, uintptr_t ra)
{
    return cpu_ldq_data_ra(env, env->regs[R_ESP], ra);
}

uint32_t krr_hook_site(CPUX86State *env, uintptr_t ra)
{
    return return_address(env, ra);
}

/* RET of the hook's thunk. */
static void leave_thunk(CPUX86State *env, uintptr_t ra)
{
    env->eip = return_address(env, ra);
    env->regs[R_ESP] += 8;
}

/* The next record, if it is what this hook would have written; else the replay
 * has diverged. */
static const struct krr_record *expect(CPUX86State *env, unsigned kind, uintptr_t ra)
{
    const struct krr_record *record = krr_replay_peek();
    uint32_t site = krr_hook_site(env, ra);

    if (!record) {
        return NULL;
    }
    if (record->kind == kind && record->vcpu == env_cpu(env)->cpu_index &&
        record->ordinal == krr_env_vcpu(env)->ordinal && record->site == site) {
        return record;
    }
    krr_replay_diverged(env_cpu(env), return_address(env, ra), "%s from site %08x",
                        krr_kind_name(kind), site);
    return NULL;
}

/* ---- inputs ---- */

static void value_hook(CPUX86State *env, unsigned kind, uintptr_t ra)
{
    const struct krr_record *record = expect(env, kind, ra);

    if (record) {
        const struct krr_value *value = krr_record_payload(record);

        env->regs[R_EAX] = value->value;
        krr_replay_consume(env_cpu(env));
    }
}

static void cpuid_hook(CPUX86State *env, uintptr_t ra)
{
    const struct krr_record *record = expect(env, KRR_KIND_CPUID, ra);

    if (record) {
        const struct krr_cpuid *cpuid = krr_record_payload(record);

        env->regs[R_EAX] = cpuid->eax;
        env->regs[R_EBX] = cpuid->ebx;
        env->regs[R_ECX] = cpuid->ecx;
        env->regs[R_EDX] = cpuid->edx;
        krr_replay_consume(env_cpu(env));
    }
}

/* By TCG's own stores: translated code and watchpoints have to notice. */
static void store_bytes(CPUX86State *env, uint64_t address, const uint8_t *data,
                        uint32_t length, uintptr_t ra)
{
    uint32_t i = 0;

    for (; i + 8 <= length; i += 8) {
        cpu_stq_data_ra(env, address + i, ldq_le_p(data + i), ra);
    }
    for (; i < length; i++) {
        cpu_stb_data_ra(env, address + i, data[i], ra);
    }
}

/* rdi = destination, rsi = length, rdx = user address or 0. */
static void bytes_hook(CPUX86State *env, unsigned kind, uintptr_t ra)
{
    uint64_t destination = env->regs[R_EDI];
    uint64_t length = env->regs[R_ESI];
    uint64_t user = env->regs[R_EDX];

    while (length) {
        const struct krr_record *record = expect(env, kind, ra);
        const struct krr_bytes *bytes;

        if (!record) {
            return;
        }
        bytes = krr_record_payload(record);
        if (bytes->destination != destination ||
            (uint64_t)bytes->length + bytes->left != length) {
            krr_replay_diverged(env_cpu(env), return_address(env, ra),
                                "%s of %" PRIu64 " bytes to 0x%" PRIx64 " from site %08x",
                                krr_kind_name(kind), length, destination,
                                (uint32_t)return_address(env, ra));
            return;
        }
        store_bytes(env, destination, bytes->data, bytes->length, ra);
        if (user) {
            /* So that gdb sees user memory as of the kernel's last read; where
             * nothing is mapped there is nothing to see. */
            cpu_memory_rw_debug(env_cpu(env), user, (void *)bytes->data, bytes->length, true);
            user += bytes->length;
        }
        destination += bytes->length;
        length -= bytes->length;
        krr_replay_consume(env_cpu(env));
    }
}

/* ---- order ---- */

/* xor %eax,%eax, which every safepoint ends with. */
static void clear_eax(CPUX86State *env)
{
    env->regs[R_EAX] = 0;
    CC_SRC = CC_Z | CC_P;
    CC_OP = CC_OP_EFLAGS;
}

static void safepoint_interrupt(CPUX86State *env, const struct krr_record *record)
{
    if (!(env->eflags & IF_MASK)) {
        krr_replay_diverged(env_cpu(env), env->eip, "a safepoint with interrupts disabled");
        return;
    }
    /* The frame that the recorder makes: the safepoint is executed again. */
    env->eip -= NOP_LENGTH;
    env->regs[R_EAX] = 0;
    CC_SRC = 0;
    CC_OP = CC_OP_EFLAGS;
    krr_inject_interrupt(env, krr_record_payload(record));
}

static void give_up_lock(CPUX86State *env, KrrPlace place)
{
    KrrReplayVcpu *vcpu = krr_env_vcpu(env);

    vcpu->place = place;
    krr_replay->previous = KRR_PREVIOUS(env_cpu(env)->cpu_index, vcpu->ordinal);
}

/* The lock was got back, as RESUME says. */
static void resume(CPUX86State *env, const struct krr_record *record)
{
    const struct krr_resume *payload = krr_record_payload(record);

    if (krr_replay_check_previous(env_cpu(env), payload->previous)) {
        krr_env_vcpu(env)->place = KRR_PLACE_KERNEL;
        krr_replay_consume(env_cpu(env));
    }
}

/* The safepoint returns. */
static void pass_safepoint(CPUX86State *env, uintptr_t ra)
{
    clear_eax(env);
    leave_thunk(env, ra);
}

/* For a debugger the vCPU waits in the caller. */
static void safepoint_handoff(CPUX86State *env, uintptr_t ra)
{
    if (expect(env, KRR_KIND_HANDOFF, ra)) {
        krr_replay_consume(env_cpu(env));
        give_up_lock(env, KRR_PLACE_HANDED_OFF);
        pass_safepoint(env, ra);
    }
}

void krr_safepoint_resume(CPUX86State *env, const struct krr_record *record)
{
    if (record->site != (uint32_t)env->eip) {
        krr_replay_diverged(env_cpu(env), env->eip, "the lock handed over at site %08x",
                            (uint32_t)env->eip);
        return;
    }
    resume(env, record);
}

/*
 * The next record is another vCPU's or the device group's, so that takes the lock after @env's has
 * given it up without a record. Is that still to come?
 */
static bool release_is_ahead(CPUX86State *env, const struct krr_record *record)
{
    const void *payload = krr_record_payload(record);
    uint64_t previous;

    switch (record->kind) {
    case KRR_KIND_ENTRY:
        previous = ((const struct krr_entry *)payload)->previous;
        break;
    case KRR_KIND_WAKE:
        previous = ((const struct krr_trap *)payload)->previous;
        break;
    case KRR_KIND_RESUME:
        previous = ((const struct krr_resume *)payload)->previous;
        break;
    case KRR_KIND_DMA:
        previous = record->ordinal;
        break;
    default:
        return false;
    }
    return KRR_PREVIOUS_VCPU(previous) == env_cpu(env)->cpu_index &&
           KRR_PREVIOUS_ORDINAL(previous) >= krr_env_vcpu(env)->ordinal;
}

static void safepoint_hook(CPUX86State *env, uintptr_t ra)
{
    KrrReplayVcpu *vcpu = krr_env_vcpu(env);
    const struct krr_record *record;
    bool own;

    if (vcpu->place != KRR_PLACE_KERNEL) {
        krr_replay_diverged(env_cpu(env), return_address(env, ra),
                            "a safepoint of a vCPU that does not own the lock");
        return;
    }
    vcpu->ordinal++;
    if (krr_replay_end_is_ahead(env_cpu(env))) {
        pass_safepoint(env, ra);
        return;
    }
    record = krr_replay_peek();
    if (!record) {
        return;
    }
    own = record->vcpu == env_cpu(env)->cpu_index;
    if (own ? record->ordinal < vcpu->ordinal : !release_is_ahead(env, record)) {
        krr_replay_diverged(env_cpu(env), return_address(env, ra),
                            "safepoint %" PRIu64 " passed without it", vcpu->ordinal);
        return;
    }
    if (own && record->ordinal == vcpu->ordinal && record->kind == KRR_KIND_INTERRUPT) {
        safepoint_interrupt(env, record);
    } else if (own && record->ordinal == vcpu->ordinal && record->kind == KRR_KIND_HANDOFF) {
        safepoint_handoff(env, ra);
    } else {
        pass_safepoint(env, ra);
    }
}

static void release_hook(CPUX86State *env, uintptr_t ra)
{
    if (krr_env_vcpu(env)->place != KRR_PLACE_KERNEL) {
        krr_replay_diverged(env_cpu(env), return_address(env, ra),
                            "a release of the lock by a vCPU that does not own it");
        return;
    }
    give_up_lock(env, KRR_PLACE_LEAVING);
    leave_thunk(env, ra);
}

/* After a halt that no interrupt ended, and at the start. */
static void acquire_hook(CPUX86State *env, uintptr_t ra)
{
    if (krr_env_vcpu(env)->place != KRR_PLACE_KERNEL) {
        const struct krr_record *record = expect(env, KRR_KIND_RESUME, ra);

        if (record) {
            resume(env, record);
        }
        if (krr_replay_over()) {
            return;
        }
    }
    leave_thunk(env, ra);
}

static void end_hook(CPUX86State *env, uintptr_t ra)
{
    const struct krr_record *record = expect(env, KRR_KIND_END, ra);

    if (record) {
        const struct krr_end *end = krr_record_payload(record);
        g_autofree char *text = krr_end_text(end);
        uint32_t reason = end->reason;

        krr_replay_consume(env_cpu(env));
        if (krr_reader_has_final_ram(krr_replay->reader) &&
            !krr_replay_compare_ram(env_cpu(env), env->regs[R_ECX], env->regs[8])) {
            krr_replay_finish(KRR_REPLAY_DIVERGED,
                              "every record matched, but memory at the end differs");
        } else {
            krr_replay_finish(KRR_REPLAY_END, "%s%s%s", krr_end_reason_name(reason), *text ? ": " : "", text);
        }
        /* Stop in the caller: the thunk has no frame that a debugger knows. */
        leave_thunk(env, ra);
    }
}

static bool has_payload(unsigned hook, KrrPayload payload)
{
    const KrrKind *kind = krr_kind(hook);

    return kind && kind->payload == payload;
}

static void run_hook(CPUX86State *env, unsigned hook, uintptr_t ra)
{
    if (!krr_user_read_is_told(env, hook)) {
        return;
    }
    switch (hook) {
    case KRR_HOOK_SAFEPOINT:
        safepoint_hook(env, ra);
        return;
    case KRR_HOOK_RELEASE:
        release_hook(env, ra);
        return;
    case KRR_HOOK_ACQUIRE:
        acquire_hook(env, ra);
        return;
    case KRR_KIND_END:
        end_hook(env, ra);
        return;
    case KRR_HOOK_ENTRY:
        krr_entry_hook(env, ra);
        if (krr_env_vcpu(env)->place != KRR_PLACE_KERNEL) {
            return;     /* it waits here */
        }
        break;
    case KRR_KIND_CPUID:
        cpuid_hook(env, ra);
        break;
    default:
        if (has_payload(hook, KRR_PAYLOAD_VALUE)) {
            value_hook(env, hook, ra);
        } else if (has_payload(hook, KRR_PAYLOAD_BYTES)) {
            bytes_hook(env, hook, ra);
        } else {
            krr_replay_diverged(env_cpu(env), env->eip, "hook %u, which no recorder has", hook);
        }
        break;
    }
    if (!krr_replay_over()) {
        leave_thunk(env, ra);
    }
}

void krr_entry_hook_again(CPUX86State *env)
{
    krr_entry_hook(env, 0);
    if (!krr_replay_over()) {
        leave_thunk(env, 0);
    }
}

/* Does @env run on behind this hook? */
static bool goes_on(CPUX86State *env)
{
    KrrPlace place = krr_env_vcpu(env)->place;

    return !krr_replay_over() && place != KRR_PLACE_HANDED_OFF && place != KRR_PLACE_ENTRY_HOOK;
}

void helper_krr_hook(CPUX86State *env, uint32_t hook)
{
    uintptr_t ra = GETPC();

    if (!krr_replay_over()) {
        run_hook(env, hook, ra);
    }
    if (!goes_on(env)) {
        krr_replay_leave(env, 0);
    }
    krr_arm_fault(env);
}
