/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Shared by the parts of the x86 replay. */
#ifndef TARGET_I386_KRR_REPLAY_INTERNAL_H
#define TARGET_I386_KRR_REPLAY_INTERNAL_H

#include "cpu.h"
#include "accel/krr/krr-hooks.h"
#include "accel/krr/replay.h"

static inline KrrReplayVcpu *krr_env_vcpu(CPUX86State *env)
{
    return krr_replay_vcpu(env_cpu(env));
}

static inline bool krr_is_user_address(uint64_t address)
{
    return (int64_t)address >= 0;
}

/*
 * Goes back to the scheduler from inside a helper. With @ra, the instruction at
 * fault is undone first; without, RIP and registers stay as the helper set them.
 */
G_NORETURN void krr_replay_leave(CPUX86State *env, uintptr_t ra);

/* The next record if it is @env's own; NULL if it belongs to another vCPU or
 * the session is over. */
const struct krr_record *krr_replay_peek_own(CPUX86State *env);

/* Where the hook that @env is in was called from, as records name it. */
uint32_t krr_hook_site(CPUX86State *env, uintptr_t ra);

/* Sets all of RFLAGS, outside or inside the execution loop. */
void krr_load_rflags(CPUX86State *env, uint64_t rflags);

/* ---- replay-entry.c ---- */

/* Interrupt in the window of the safepoint whose NOP starts at RIP. */
void krr_inject_interrupt(CPUX86State *env, const struct krr_trap *trap);
/* @env's entry from user mode, as the next record has it. */
void krr_inject_entry(CPUX86State *env, const struct krr_record *record);
/* Interrupt that ends a halt. */
void krr_inject_wake(CPUX86State *env, const struct krr_record *record);

/*
 * The entry hook: compares frame and record, and takes the lock; or leaves @env in
 * KRR_PLACE_ENTRY_HOOK, if others have the lock before, until krr_entry_hook_again().
 */
void krr_entry_hook(CPUX86State *env, uintptr_t ra);
void krr_entry_hook_again(CPUX86State *env);

/* True if the instruction at kernel address @rip is a REP of a string instruction. */
bool krr_is_string_repeat(CPUX86State *env, uint64_t rip, uintptr_t ra);

/* ---- replay-fault.c ---- */

/* Before anything else of @env: the recorded CPU is about to fault on an address that
 * this one may have in its TLB. */
void krr_arm_fault(CPUX86State *env);

/* RIP of the instruction that translated code does at @ra; changes nothing. */
uint64_t krr_rip_of(CPUX86State *env, uintptr_t ra);

/* @env has come to a @hook. False, and the replay has diverged, if it has read user memory (strict=on)
 * and that is not the hook that says what it read. */
bool krr_user_read_is_told(CPUX86State *env, unsigned hook);

/* ---- replay-hook.c ---- */

/* @env handed the lock over at a safepoint and gets it back. */
void krr_safepoint_resume(CPUX86State *env, const struct krr_record *record);

#endif
