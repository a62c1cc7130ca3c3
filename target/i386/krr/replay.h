/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What QEMU's x86 emulation calls of KRR: instructions that bring in something
 * from outside, and faults on user addresses.
 */
#ifndef TARGET_I386_KRR_REPLAY_H
#define TARGET_I386_KRR_REPLAY_H

#include <linux/krr.h>
#include "cpu.h"
#include "accel/krr/krr-hooks.h"

/*
 * An instruction wants a value from outside; @kind says which. In replay
 * @value is set from the next record, which the hook behind the instruction
 * consumes, and the result is true. It does not return when the trace says
 * otherwise or says that the instruction faulted. False: not replaying.
 */
bool krr_replay_insn(CPUX86State *env, unsigned kind, uint64_t *value, uintptr_t ra);

static inline bool krr_replay_input(CPUX86State *env, unsigned kind, uint64_t *value,
                                    uintptr_t ra)
{
    return krr_replaying() && krr_replay_insn(env, kind, value, ra);
}

bool krr_replay_cpuid(CPUX86State *env, uintptr_t ra);

/* True: the write is none of replay's business (local APIC, TSC). Does not
 * return when the trace says that it faulted. */
bool krr_replay_wrmsr(CPUX86State *env, uintptr_t ra);

/*
 * The kernel restores FPU registers from @address, or saves them there (FXRSTOR, XRSTOR, FXSAVE,
 * XSAVE). True: that is user memory, so nothing has to be done; what the kernel looks at afterwards is
 * recorded. Does not return when the trace says that it faulted.
 */
bool krr_replay_fpu_user(CPUX86State *env, uint64_t address, uintptr_t ra);

/* Port accesses. In replay they consume the record of the access; the value read is set. */
bool krr_replay_port_in(CPUX86State *env, uint32_t port, unsigned size,
                        uint64_t *value, uintptr_t ra);
bool krr_replay_port_out(CPUX86State *env, uint32_t port, unsigned size,
                         uint32_t value, uintptr_t ra);

/* True: done, by replay. Else a recording under TCG has noted it. */
static inline bool krr_port_out(CPUX86State *env, uint32_t port, unsigned size,
                                uint32_t value, uintptr_t ra)
{
    if (krr_replaying()) {
        return krr_replay_port_out(env, port, size, value, ra);
    }
    if (__builtin_expect(krr_record_active, 0)) {
        krr_record_io(env_cpu(env), KRR_KIND_PORT_WRITE, port, size, value);
    }
    return false;
}

static inline uint32_t krr_record_port_in(CPUX86State *env, uint32_t port, unsigned size,
                                          uint32_t value)
{
    if (__builtin_expect(krr_record_active, 0)) {
        krr_record_io(env_cpu(env), KRR_KIND_PORT_READ, port, size, value);
    }
    return value;
}

/*
 * The page walk for an access of the kernel succeeded. If the recorded CPU
 * faulted here nevertheless (stale TLB entry), raises that fault. Where the page may not be cached,
 * because the recorded fault is still to come or reads are watched (strict=on), @prot and
 * @page_size are changed for tlb_set_page().
 */
void krr_replay_access(CPUX86State *env, uint64_t address, MMUAccessType type, int *prot,
                       int *page_size, uintptr_t ra);

/*
 * The page walk failed. True: the recorded CPU did not fault on this user
 * address (it had a stale TLB entry), the access goes to a scratch page. False:
 * raise the fault.
 */
bool krr_replay_suppress_fault(CPUX86State *env, uint64_t address, MMUAccessType type,
                               int mmu_idx, uintptr_t ra);

/* A page walk wants to change an entry at guest-physical @address, where no memory is that can be
 * written: the replay has diverged. Does not return. */
G_NORETURN void krr_replay_walk_outside(CPUX86State *env, uint64_t address);

/* The same for a triple fault, which would reset the machine. */
G_NORETURN void krr_replay_triple_fault(CPUX86State *env, uintptr_t ra);

#endif
