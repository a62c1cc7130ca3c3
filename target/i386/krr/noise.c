/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "qemu/osdep.h"
#include "cpu.h"
#include "exec/cputlb.h"
#include "exec/page-protection.h"
#include "exec/tlb-common.h"
#include "krr/options.h"
#include "noise.h"

#define EVICT_EVERY     64      /* of the places where it may be */
#define READ_ONLY_PAGES 256

/* Not the same in two runs; what matters is in the trace. */
static bool one_in(uint32_t n)
{
    static __thread uint64_t state;

    if (!state) {
        state = (uint64_t)g_random_int() << 32 | 1;
    }
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    return (uint32_t)(state >> 33) % n == 0;
}

/* ---- flags ---- */

static uint32_t undefined_flags(int op)
{
    switch (op) {
    case CC_OP_MULB ... CC_OP_MULQ:
        return CC_S | CC_Z | CC_A | CC_P;
    case CC_OP_LOGICB ... CC_OP_LOGICQ:
    case CC_OP_SHLB ... CC_OP_SHLQ:
    case CC_OP_SARB ... CC_OP_SARQ:
        return CC_A;
    case CC_OP_BLSIB ... CC_OP_BLSIQ:
        return CC_A | CC_P;
    default:
        return 0;
    }
}

uint32_t krr_noise_flags(uint32_t flags, uint64_t dst, uint64_t src, int op)
{
    uint32_t undefined = krr_noise & KRR_NOISE_FLAGS ? undefined_flags(op) : 0;
    uint64_t any = (dst * 0x9e3779b97f4a7c15ULL) ^ (src * 0xc2b2ae3d27d4eb4fULL);

    return (flags & ~undefined) | ((any >> 40) & undefined);
}

/* ---- translations ---- */

/* Is there an entry of TCG's TLB by which the page can be read? So nothing has made the CPU
 * forget it. */
static bool still_cached(CPUX86State *env, vaddr page, int mmu_idx)
{
    const CPUTLBDescFast *tlb = &env_cpu(env)->neg.tlb.f[mmu_idx];
    uintptr_t index = (page >> TARGET_PAGE_BITS) & (tlb->mask >> CPU_TLB_ENTRY_BITS);
    uint64_t address = qatomic_read(&tlb->table[index].addr_read);

    return (address & (TARGET_PAGE_MASK | TLB_INVALID_MASK)) == (page & TARGET_PAGE_MASK);
}

bool krr_noise_faults(CPUX86State *env, vaddr address, int mmu_idx, MMUAccessType access, int prot)
{
    static __thread vaddr read_only[READ_ONLY_PAGES];
    vaddr page = address & TARGET_PAGE_MASK;
    vaddr key = page | (mmu_idx + 1);
    vaddr *place = &read_only[(page >> TARGET_PAGE_BITS) % READ_ONLY_PAGES];
    bool known = *place == key;

    if (!(krr_noise & KRR_NOISE_FAULTS)) {
        return false;
    }
    if (!(prot & PAGE_WRITE)) {
        *place = key;
        return false;
    }
    if (known && access == MMU_DATA_STORE) {
        *place = 0;
        return still_cached(env, page, mmu_idx);
    }
    return false;
}

void krr_noise_accessed(void *entry)
{
    uint64_t *line = (uint64_t *)((uintptr_t)entry & ~(uintptr_t)63);

    if (!entry || !(krr_noise & KRR_NOISE_ACCESSED) || !one_in(4)) {
        return;
    }
    for (int i = 0; i < 8; i++) {
        uint64_t value = qatomic_read(&line[i]);

        if ((value & PG_PRESENT_MASK) && !(value & PG_ACCESSED_MASK)) {
            qatomic_cmpxchg(&line[i], value, value | PG_ACCESSED_MASK);
        }
    }
}

void krr_noise_evict(CPUX86State *env)
{
    if (krr_noise & KRR_NOISE_EVICT && one_in(EVICT_EVERY)) {
        tlb_flush(env_cpu(env));
    }
}

/* ---- extended state ---- */

static bool x87_is_initial(const CPUX86State *env)
{
    for (int i = 0; i < 8; i++) {
        if (!env->fptags[i]) {
            return false;
        }
    }
    return !env->fpstt && env->fpuc == 0x37f && !(env->fpus & 0xffff);
}

/* Quadwords @from to @to of all vector registers. */
static bool vectors_are_zero(const CPUX86State *env, int from, int to)
{
    for (int i = 0; i < CPU_NB_REGS; i++) {
        for (int q = from; q <= to; q++) {
            if (env->xmm_regs[i].ZMM_Q(q)) {
                return false;
            }
        }
    }
    return true;
}

uint64_t krr_noise_xinuse(CPUX86State *env, uint64_t in_use)
{
    if (!(krr_noise & KRR_NOISE_XINUSE)) {
        return in_use;
    }
    if (one_in(2) && x87_is_initial(env)) {
        in_use &= ~XSTATE_FP_MASK;
    }
    if (one_in(2) && vectors_are_zero(env, 0, 1)) {
        in_use &= ~XSTATE_SSE_MASK;
    }
    if (one_in(2) && vectors_are_zero(env, 2, 3)) {
        in_use &= ~XSTATE_YMM_MASK;
    }
    return in_use;
}
