/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Faults of the kernel on user addresses are inputs. A CPU may use a
 * translation that the page tables no longer have, until it is flushed, and it may
 * fault on a translation that the tables have meanwhile (Intel SDM vol. 3A
 * 4.10.4.3, AMD APM vol. 2 5.5.3); TCG's own TLB is stale at other moments. With several
 * vCPUs that is everyday: fork() write-protects pages and may hand over before it flushes. So here
 * the trace alone decides whether such an access faults.
 *
 * On kernel addresses only the second can be an input: Linux takes a fault that the tables
 * do not explain for a stale entry and goes on. Others come by themselves.
 */
#include "qemu/osdep.h"
#include "exec/exec-all.h"
#include "exec/cputlb.h"
#include "tcg/insn-start-words.h"
#include "target/i386/tcg/helper-tcg.h"
#include "target/i386/krr/replay.h"
#include "target/i386/krr/replay-internal.h"

/* Does KRR decide on faults of this access? */
static bool in_kernel(CPUX86State *env, MMUAccessType type)
{
    return (env->hflags & HF_CPL_MASK) == 0 && type != MMU_INST_FETCH;
}

/* The page fault that @env's next record is, if it comes before the next safepoint. */
static const struct krr_trap *next_fault(CPUX86State *env)
{
    const struct krr_record *record = krr_replay_look();
    const struct krr_trap *trap;

    if (!record || record->kind != KRR_KIND_EXCEPTION ||
        record->vcpu != env_cpu(env)->cpu_index ||
        record->ordinal != krr_env_vcpu(env)->ordinal) {
        return NULL;
    }
    trap = krr_record_payload(record);
    return trap->vector == EXCP0E_PAGE ? trap : NULL;
}

void krr_arm_fault(CPUX86State *env)
{
    const struct krr_trap *fault = next_fault(env);

    if (fault) {
        tlb_flush_page(env_cpu(env), fault->cr2);
    }
}

void krr_replay_accessed(CPUState *cpu)
{
    /* Not now: the access still uses the TLB. It is the last thing of its block. */
    if (next_fault(cpu_env(cpu))) {
        cpu_exit(cpu);
    }
}

uint64_t krr_rip_of(CPUX86State *env, uintptr_t ra)
{
    uint64_t data[TARGET_INSN_START_WORDS];

    if (!ra || !cpu_unwind_state_data(env_cpu(env), ra, data)) {
        return env->eip;
    }
    /* A block does not go on behind its page, where EIP points to while it is executed. */
    return (env->eip & TARGET_PAGE_MASK) | (data[0] & ~TARGET_PAGE_MASK);
}

/*
 * In a strict replay each read from user memory has to be followed by the hook that brings in what was
 * read, since user memory is not what it was. So no read goes by the TLB until there is one that no
 * hook has told of; those behind it, of a long copy, may, until the hook. May this one?
 */
static bool watch_read(CPUX86State *env, uint64_t address, uintptr_t ra)
{
    KrrReplayVcpu *vcpu = krr_env_vcpu(env);
    uint64_t page = address & TARGET_PAGE_MASK;

    if (!vcpu->user_read) {
        vcpu->user_read = krr_rip_of(env, ra);
        return false;
    }
    if (vcpu->read_pages == vcpu->read_end) {
        vcpu->read_pages = vcpu->read_end = page;
    }
    if (page == vcpu->read_end) {
        vcpu->read_end += TARGET_PAGE_SIZE;
    }
    return page >= vcpu->read_pages && page < vcpu->read_end;
}

/* A hook has told of the last reads, or there was none after all. */
static void forget_reads(CPUX86State *env)
{
    KrrReplayVcpu *vcpu = krr_env_vcpu(env);

    vcpu->user_read = 0;
    if (vcpu->read_pages != vcpu->read_end) {
        tlb_flush_range_by_mmuidx(env_cpu(env), vcpu->read_pages,
                                  vcpu->read_end - vcpu->read_pages,
                                  MAKE_64BIT_MASK(0, NB_MMU_MODES), TARGET_LONG_BITS);
        vcpu->read_pages = vcpu->read_end = 0;
    }
}

/*
 * Raises @fault if this access is the one that faulted. Its kind does not matter:
 * a locked instruction, which hardware faults on as a write, reads first here.
 */
static void raise_if_here(CPUX86State *env, const struct krr_trap *fault, uint64_t address,
                          uintptr_t ra)
{
    if (fault->cr2 == address && krr_rip_of(env, ra) == fault->rip &&
        (env->regs[R_ECX] == fault->rcx || !krr_is_string_repeat(env, fault->rip, 0))) {
        env->cr[2] = address;
        forget_reads(env);      /* it has not read */
        raise_exception_err_ra(env, EXCP0E_PAGE, fault->error_code, ra);
    }
}

bool krr_user_read_is_told(CPUX86State *env, unsigned hook)
{
    uint64_t rip = krr_env_vcpu(env)->user_read;

    forget_reads(env);
    /* At an entry, the read has made a debugger's trap come, and the hook comes behind that. */
    if (!rip || hook == KRR_KIND_USER_VALUE || hook == KRR_KIND_USER_BYTES ||
        hook == KRR_HOOK_ENTRY) {
        return true;
    }
    krr_replay_diverged(env_cpu(env), rip, "a read of user memory that no hook tells of");
    return false;
}

/* Is this access to be watched for strict=on? */
static bool is_strict(CPUX86State *env, uint64_t address, MMUAccessType type)
{
    return krr_replay->options->strict && in_kernel(env, type) && krr_is_user_address(address);
}

void krr_replay_access(CPUX86State *env, uint64_t address, MMUAccessType type, int *prot,
                       int *page_size, uintptr_t ra)
{
    const struct krr_trap *fault = in_kernel(env, type) ? next_fault(env) : NULL;
    bool keep = true;

    if (is_strict(env, address, type)) {
        keep = type == MMU_DATA_STORE || watch_read(env, address, ra);
        *prot &= type == MMU_DATA_STORE ? PAGE_WRITE : PAGE_READ;
    }
    if (fault && !((fault->cr2 ^ address) & TARGET_PAGE_MASK)) {
        raise_if_here(env, fault, address, ra);
        keep = false;
    }
    if (!keep) {
        /* One byte: the slow path is taken each time. */
        *page_size = 1;
        *prot &= ~PAGE_EXEC;
    }
}

bool krr_replay_suppress_fault(CPUX86State *env, uint64_t address, MMUAccessType type,
                               int mmu_idx, uintptr_t ra)
{
    const struct krr_trap *fault;

    if (!krr_is_user_address(address) || !in_kernel(env, type)) {
        return false;
    }
    if (type == MMU_DATA_LOAD && is_strict(env, address, type)) {
        watch_read(env, address, ra);
    }
    fault = next_fault(env);
    if (fault) {
        raise_if_here(env, fault, address, ra);
    }
    /* What is read there is overwritten by the hook behind the access; what is
     * written was user memory, which a replay does not need. */
    tlb_set_page_with_attrs(env_cpu(env), address & TARGET_PAGE_MASK,
                            krr_replay_scratch_page(), cpu_get_mem_attrs(env),
                            PAGE_READ | PAGE_WRITE, mmu_idx, 1);
    return true;
}

void krr_replay_walk_outside(CPUX86State *env, uint64_t address)
{
    krr_replay_diverged(env_cpu(env), env->eip,
                        "a page walk that changes 0x%" PRIx64 ", where no memory is", address);
    krr_replay_leave(env, 0);
}

void krr_replay_triple_fault(CPUX86State *env, uintptr_t ra)
{
    cpu_restore_state(env_cpu(env), ra);
    /* Behind the last record it is what ended the recording. */
    if (!krr_replay->last_budget || krr_replay_peek()) {
        krr_replay_diverged(env_cpu(env), env->eip, "a triple fault");
    }
    krr_replay_leave(env, 0);
}
