/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Noise: what hardware may do and QEMU's emulator never does. In the lab the emulator is the
 * hardware; without noise, nothing would show that the recorder counts on the emulator's ways.
 */
#ifndef TARGET_I386_KRR_NOISE_H
#define TARGET_I386_KRR_NOISE_H

#include "cpu.h"
#include "accel/krr/krr-mode.h"

static inline bool krr_noisy(void)
{
    return __builtin_expect(krr_noise, 0);
}

/* Flags of an operation @op (CC_OP_*) with these values: those that the architecture leaves
 * undefined (SDM volume 1, appendix A) are made up, always the same for the same values. */
uint32_t krr_noise_flags(uint32_t flags, uint64_t dst, uint64_t src, int op);

/*
 * A page walk succeeded, with @prot (PAGE_*) before the dirty bit is looked at. True: the CPU would
 * still have an entry of its TLB from when the page was read-only, and faults: it need not look
 * at the page tables again, and forgets the entry (SDM volume 3, 4.10.4.3 and 4.10.4.1).
 */
bool krr_noise_faults(CPUX86State *env, vaddr address, int mmu_idx, MMUAccessType access, int prot);

/* The page table entry at host address @entry is read in a page walk: others beside it may be marked
 * as accessed, as if the CPU had walked there speculatively (SDM volume 3, 4.8). */
void krr_noise_accessed(void *entry);

/* Now and then, all translations are forgotten. */
void krr_noise_evict(CPUX86State *env);

/* Components of extended state in use: one that is in its initial state may count as unused (SDM volume 1,
 * 13.6). */
uint64_t krr_noise_xinuse(CPUX86State *env, uint64_t in_use);

#endif
