/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Faults of the kernel on user addresses are inputs. A CPU may use a
 * translation that the page tables no longer have, until it is flushed, and it may
 * fault on a translation that the tables have meanwhile (Intel SDM vol. 3A
 * 4.10.4.3, AMD APM vol. 2 5.5.3); TCG's own TLB is stale at other moments. So here the
 * trace alone decides whether such an access faults.
 */
#include "qemu/osdep.h"
#include "exec/exec-all.h"
#include "exec/cputlb.h"
#include "target/i386/tcg/helper-tcg.h"
#include "target/i386/krr/replay.h"
#include "target/i386/krr/replay-internal.h"

static bool is_user_address(uint64_t address)
{
    return (int64_t)address >= 0;
}

static bool in_kernel(CPUX86State *env)
{
    return (env->hflags & HF_CPL_MASK) == 0;
}

/* The fault that @env's next record is, if it is one of the kernel on a user
 * address before the next safepoint. */
static const struct krr_trap *next_fault(CPUX86State *env)
{
    const struct krr_record *record = krr_replay_peek_own(env);
    const struct krr_trap *trap;

    if (!record || record->kind != KRR_KIND_EXCEPTION ||
        record->ordinal != krr_env_vcpu(env)->ordinal) {
        return NULL;
    }
    trap = krr_record_payload(record);
    return trap->vector == EXCP0E_PAGE && is_user_address(trap->cr2) ? trap : NULL;
}

void krr_arm_fault(CPUX86State *env)
{
    const struct krr_trap *fault = next_fault(env);

    if (fault) {
        tlb_flush_page(env_cpu(env), fault->cr2);
    }
}

static bool same_page(uint64_t a, uint64_t b)
{
    return ((a ^ b) & TARGET_PAGE_MASK) == 0;
}

bool krr_replay_access(CPUX86State *env, uint64_t address, MMUAccessType type,
                       int *page_size, uintptr_t ra)
{
    const struct krr_trap *fault;

    if (!is_user_address(address) || !in_kernel(env) || type == MMU_INST_FETCH) {
        return false;
    }
    fault = next_fault(env);
    if (!fault || !same_page(fault->cr2, address)) {
        return false;
    }
    if (fault->cr2 == address && !!(fault->error_code & PG_ERROR_W_MASK) == (type == MMU_DATA_STORE)) {
        cpu_restore_state(env_cpu(env), ra);
        if (env->eip == fault->rip &&
            (env->regs[R_ECX] == fault->rcx || !krr_is_string_repeat(env, fault->rip, 0))) {
            env->cr[2] = address;
            raise_exception_err(env, EXCP0E_PAGE, fault->error_code);
        }
    }
    /* One byte: the slow path is taken each time until the fault has come. */
    *page_size = 1;
    return true;
}

bool krr_replay_suppress_fault(CPUX86State *env, uint64_t address, MMUAccessType type,
                               int mmu_idx, uintptr_t ra)
{
    const struct krr_trap *fault;

    if (!is_user_address(address) || !in_kernel(env) || type == MMU_INST_FETCH) {
        return false;
    }
    fault = next_fault(env);
    if (fault && same_page(fault->cr2, address)) {
        return false;
    }
    /* What is read there is overwritten by the hook behind the access; what is
     * written was user memory, which a replay does not need. */
    tlb_set_page_with_attrs(env_cpu(env), address & TARGET_PAGE_MASK,
                            krr_replay_scratch_page(), cpu_get_mem_attrs(env),
                            PAGE_READ | PAGE_WRITE, mmu_idx, 1);
    return true;
}
