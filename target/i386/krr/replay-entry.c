/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How a replayed vCPU gets into the kernel: entries from user mode, interrupts
 * and wake-ups are injected where the trace has them, then go through the
 * guest's own IDT or SYSCALL path to the entry hook, which compares.
 */
#include "qemu/osdep.h"
#include "cpu.h"
#include "exec/cpu_ldst.h"
#include "exec/helper-proto.h"
#include "target/i386/tcg/helper-tcg.h"
#include "target/i386/krr/replay-internal.h"

/* Words of an entry and QEMU's register numbers. */
static const struct { enum krr_reg word; int reg; } general[] = {
    { KRR_R15, 15 }, { KRR_R14, 14 }, { KRR_R13, 13 }, { KRR_R12, 12 },
    { KRR_RBP, R_EBP }, { KRR_RBX, R_EBX }, { KRR_R11, 11 }, { KRR_R10, 10 },
    { KRR_R9, 9 }, { KRR_R8, 8 }, { KRR_RAX, R_EAX }, { KRR_RCX, R_ECX },
    { KRR_RDX, R_EDX }, { KRR_RSI, R_ESI }, { KRR_RDI, R_EDI }, { KRR_RSP, R_ESP },
};

void krr_load_rflags(CPUX86State *env, uint64_t rflags)
{
    cpu_load_eflags(env, rflags, TF_MASK | IF_MASK | IOPL_MASK | NT_MASK | RF_MASK |
                    VM_MASK | AC_MASK | VIF_MASK | VIP_MASK | ID_MASK);
}

/* ---- injection ---- */

/* Delivers through the IDT. #BP, #OF and INT 80h are software interrupts: no
 * RF in the frame, and RIP behind the instruction. */
static void deliver(CPUX86State *env, uint32_t vector, uint64_t error_code, bool external)
{
    bool software = !external &&
                    (vector == EXCP03_INT3 || vector == EXCP04_INTO || vector == 0x80);

    env->hflags &= ~HF_INHIBIT_IRQ_MASK;
    env->old_exception = -1;
    do_interrupt_all(env_archcpu(env), vector, software, error_code, env->eip, external);
}

void krr_inject_interrupt(CPUX86State *env, const struct krr_trap *trap)
{
    deliver(env, trap->vector, 0, true);
}

/* Takes the changed words of an ENTRY into the vCPU's image of its last one. */
static void update_image(KrrReplayVcpu *vcpu, const struct krr_entry *entry)
{
    const __u64 *next = entry->words;

    for (unsigned word = 0; word < KRR_ENTRY_WORDS; word++) {
        if (entry->changed & (1u << word)) {
            vcpu->entry[word] = *next++;
        }
    }
}

static void load_segment(CPUX86State *env, X86Seg seg, uint16_t selector, uint32_t flags)
{
    cpu_x86_load_seg_cache(env, seg, selector, 0, 0xffffffff, flags);
}

/* The registers of user mode, as they were when the kernel was entered. */
static void load_user_registers(CPUX86State *env, const uint64_t *words, uint32_t vector)
{
    uint32_t code = DESC_G_MASK | DESC_P_MASK | DESC_S_MASK | DESC_CS_MASK |
                    DESC_R_MASK | DESC_A_MASK | (3 << DESC_DPL_SHIFT);
    uint32_t data = DESC_G_MASK | DESC_B_MASK | DESC_P_MASK | DESC_S_MASK |
                    DESC_W_MASK | DESC_A_MASK | (3 << DESC_DPL_SHIFT);
    uint16_t cs = words[KRR_CS];
    /* Linux's user code segments: __USER_CS is the 64-bit one, __USER32_CS the other. */
    bool long_mode = cs == (((env->star >> 48) + 16) | 3);

    for (size_t i = 0; i < G_N_ELEMENTS(general); i++) {
        env->regs[general[i].reg] = words[general[i].word];
    }
    if (vector >= KRR_VECTOR_SYSCALL) {
        env->regs[R_EAX] = words[KRR_ORIG_RAX];
    }
    env->eip = words[KRR_RIP];
    load_segment(env, R_CS, cs, code | (long_mode ? DESC_L_MASK : DESC_B_MASK));
    load_segment(env, R_SS, words[KRR_SS], data);
    krr_load_rflags(env, words[KRR_RFLAGS]);
}

static bool is_exception(uint32_t vector)
{
    return vector < 32;
}

void krr_inject_entry(CPUX86State *env, const struct krr_record *record)
{
    const struct krr_entry *entry = krr_record_payload(record);
    KrrReplayVcpu *vcpu = krr_env_vcpu(env);
    const uint64_t *words = vcpu->entry;
    uint32_t vector = entry->vector;

    if (!krr_replay_check_previous(env_cpu(env), entry->previous)) {
        return;
    }
    update_image(vcpu, entry);
    load_user_registers(env, words, vector);
    vcpu->place = KRR_PLACE_ENTERING;
    if (vector == KRR_VECTOR_SYSCALL || vector == KRR_VECTOR_SYSCALL32) {
        helper_syscall(env, 0);
        return;
    }
    if (vector == EXCP0E_PAGE) {
        env->cr[2] = words[KRR_CR2];
    } else if (vector == EXCP01_DB) {
        env->dr[6] = words[KRR_DR6];
    }
    deliver(env, vector, words[KRR_ERROR_CODE], !is_exception(vector) && vector != 0x80);
}

void krr_inject_wake(CPUX86State *env, const struct krr_record *record)
{
    const struct krr_trap *trap = krr_record_payload(record);

    if (!krr_replay_check_previous(env_cpu(env), trap->previous)) {
        return;
    }
    krr_env_vcpu(env)->place = KRR_PLACE_ENTERING;
    deliver(env, trap->vector, 0, true);
}

/* ---- the entry hook ---- */

static uint64_t frame_word(CPUX86State *env, uint64_t frame, unsigned word, uintptr_t ra)
{
    return cpu_ldq_data_ra(env, frame + 8 * word, ra);
}

/*
 * Compares the pt_regs at @frame with the recorded words. RF is the one bit
 * where emulator and hardware may rightly differ: the recorded image is put into the frame.
 */
static bool compare_entry_frame(CPUX86State *env, uint64_t frame, const uint64_t *words,
                                uintptr_t ra)
{
    for (unsigned word = 0; word < KRR_FRAME_WORDS; word++) {
        uint64_t guest = frame_word(env, frame, word, ra);
        uint64_t mask = word == KRR_RFLAGS ? RF_MASK : 0;

        if ((guest ^ words[word]) & ~mask) {
            krr_replay_diverged(env_cpu(env), env->eip,
                                "entry with %s = 0x%" PRIx64 ", trace: 0x%" PRIx64,
                                krr_entry_word_name(word), guest, words[word]);
            return false;
        }
        if (guest != words[word]) {
            cpu_stq_data_ra(env, frame + 8 * word, words[word], ra);
        }
    }
    return true;
}

static uint64_t frame_digest(CPUX86State *env, uint64_t frame, uintptr_t ra)
{
    __u64 words[KRR_FRAME_WORDS];

    for (unsigned word = 0; word < KRR_FRAME_WORDS; word++) {
        words[word] = frame_word(env, frame, word, ra);
    }
    return krr_frame_digest(words);
}

static bool same(CPUX86State *env, const char *what, uint64_t guest, uint64_t trace)
{
    if (guest == trace) {
        return true;
    }
    krr_replay_diverged(env_cpu(env), env->eip, "%s = 0x%" PRIx64 ", trace: 0x%" PRIx64,
                        what, guest, trace);
    return false;
}

/*
 * A byte of an instruction that is executed, in memory; 0: it is elsewhere, as only a damaged trace
 * has it. It comes of a probe, which never faults, for a load may be what the caller decides on.
 */
static uint8_t code_byte(CPUX86State *env, uint64_t rip, uintptr_t ra)
{
    void *host;

    probe_access_flags(env, rip, 1, MMU_DATA_LOAD, cpu_mmu_index(env_cpu(env), false), true,
                       &host, ra);
    return host ? *(const uint8_t *)host : 0;
}

/* RCX says how far a REP has come; elsewhere it may be a dead register. */
bool krr_is_string_repeat(CPUX86State *env, uint64_t rip, uintptr_t ra)
{
    uint8_t byte = code_byte(env, rip, ra);
    bool repeat = byte == 0xf3 || byte == 0xf2;

    if (!repeat) {
        return false;
    }
    byte = code_byte(env, ++rip, ra);
    if ((byte & 0xf0) == 0x40) {        /* REX */
        byte = code_byte(env, ++rip, ra);
    }
    return (byte >= 0xa4 && byte <= 0xa7) || (byte >= 0xaa && byte <= 0xaf) ||
           (byte >= 0x6c && byte <= 0x6f);
}

/*
 * Flags that an instruction before the exception has left undefined are what they were: the kernel
 * shows them when it complains, and takes them up again when it returns.
 */
static void restore_flags(CPUX86State *env, const struct krr_trap *trap, uint64_t frame,
                          uintptr_t ra)
{
    uint64_t flags = frame_word(env, frame, KRR_RFLAGS, ra);
    uint64_t recorded = (flags & ~(uint64_t)KRR_FLAGS_MASK) | (trap->flags & KRR_FLAGS_MASK);

    if (flags != recorded) {
        cpu_stq_data_ra(env, frame + 8 * KRR_RFLAGS, recorded, ra);
    }
}

static bool compare_trap(CPUX86State *env, const struct krr_record *record, uintptr_t ra)
{
    const struct krr_trap *trap = krr_record_payload(record);
    uint64_t frame = env->regs[R_EDI];
    uint32_t vector = env->regs[R_ESI];

    if (record->kind == KRR_KIND_EXCEPTION) {
        restore_flags(env, trap, frame, ra);
    }
    return same(env, "trap with vector", vector, trap->vector) &&
           same(env, "trap with error code", (uint32_t)env->regs[R_EDX], trap->error_code) &&
           same(env, "trap at RIP", frame_word(env, frame, KRR_RIP, ra), trap->rip) &&
           same(env, "trap with RSP", frame_word(env, frame, KRR_RSP, ra), trap->rsp) &&
           (record->kind != KRR_KIND_EXCEPTION ||
            !krr_is_string_repeat(env, trap->rip, ra) ||
            same(env, "trap with RCX", frame_word(env, frame, KRR_RCX, ra), trap->rcx)) &&
           (vector != EXCP0E_PAGE ||
            same(env, "page fault at CR2", env->regs[R_ECX], trap->cr2)) &&
           same(env, "trap with frame digest", frame_digest(env, frame, ra), trap->digest);
}

static bool compare_entry(CPUX86State *env, const struct krr_record *record, uintptr_t ra)
{
    const struct krr_entry *entry = krr_record_payload(record);
    KrrReplayVcpu *vcpu = krr_env_vcpu(env);

    if (vcpu->place != KRR_PLACE_ENTERING) {
        /* Not injected: a fault on the way out of the kernel (IRET). */
        if (!krr_replay_check_previous(env_cpu(env), entry->previous)) {
            return false;
        }
        update_image(vcpu, entry);
    }
    return same(env, "entry with vector", (uint32_t)env->regs[R_ESI], entry->vector) &&
           compare_entry_frame(env, env->regs[R_EDI], vcpu->entry, ra) &&
           same(env, "entry with error code", env->regs[R_EDX], vcpu->entry[KRR_ERROR_CODE]);
}

/* Which kind of record an entry hook wants, from where the vCPU is. */
static unsigned wanted_kind(CPUX86State *env)
{
    KrrReplayVcpu *vcpu = krr_env_vcpu(env);
    const struct krr_record *record;

    if (vcpu->place == KRR_PLACE_KERNEL) {
        return is_exception(env->regs[R_ESI]) ? KRR_KIND_EXCEPTION : KRR_KIND_INTERRUPT;
    }
    record = krr_replay_peek_own(env);
    return record && record->kind == KRR_KIND_WAKE ? KRR_KIND_WAKE : KRR_KIND_ENTRY;
}

/* A fault on the way out, which wants the lock while others have records to come. */
static bool has_to_wait(CPUX86State *env)
{
    const struct krr_record *record = krr_replay_peek();

    return krr_env_vcpu(env)->place == KRR_PLACE_LEAVING && record &&
           record->vcpu != env_cpu(env)->cpu_index;
}

void krr_entry_hook(CPUX86State *env, uintptr_t ra)
{
    KrrReplayVcpu *vcpu = krr_env_vcpu(env);
    const struct krr_record *record;
    unsigned kind;
    bool equal;

    if (has_to_wait(env)) {
        vcpu->place = KRR_PLACE_ENTRY_HOOK;
        return;
    }
    kind = wanted_kind(env);
    record = krr_replay_peek_own(env);
    if (!record || record->kind != kind) {
        krr_replay_diverged(env_cpu(env), env->eip, "%s with vector %u at RIP 0x%" PRIx64,
                            krr_kind_name(kind), (uint32_t)env->regs[R_ESI],
                            frame_word(env, env->regs[R_EDI], KRR_RIP, ra));
        return;
    }
    if (!same(env, "safepoint", vcpu->ordinal, record->ordinal) ||
        !same(env, "entry from site", krr_hook_site(env, ra), record->site)) {
        return;
    }
    equal = kind == KRR_KIND_ENTRY ? compare_entry(env, record, ra)
                                   : compare_trap(env, record, ra);
    if (equal) {
        vcpu->place = KRR_PLACE_KERNEL;
        krr_replay_consume(env_cpu(env));
    }
}
