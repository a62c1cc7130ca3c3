/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Hooks of the KRR guest recorder.
 *
 * The kernel calls these macros and functions where something from outside
 * enters it (inputs), where it is entered and left (entry and exit), and where
 * it may be interrupted (safepoints). Each hook is a NOP until a recording
 * starts. Then it calls a thunk (thunk.S), which begins with a magic NOP: a
 * replay acts there and returns, so that whatever lies behind it, the recorder
 * proper, leaves no trace in the replayed machine.
 *
 * A hook for an input stands right behind the instruction that brings the input
 * in, with no branch between: the replay runs the instruction on whatever it
 * finds, and the hook replaces the result.
 *
 * The thunks preserve all registers and the flags. That they can be called at
 * all places of the kernel, with user access allowed, early in an entry or late
 * in an exit, is the reason for calls by hand instead of calls by the compiler.
 */
#ifndef _ASM_X86_KRR_H
#define _ASM_X86_KRR_H

#include <linux/krr.h>

/* Not for code that is compiled from shared sources but is not this kernel. */
#if defined(CONFIG_KRR_GUEST) && defined(__x86_64__) && \
	!defined(BUILD_VDSO) && !defined(BUILD_VDSO32) && \
	!defined(_SETUP) && !defined(__DISABLE_EXPORTS)
#define KRR_HOOKS 1
#endif

#ifndef KRR_HOOKS

#include <asm-generic/krr.h>

#ifdef __ASSEMBLY__
.macro KRR_GET_USER
.endm
#endif

#elif defined(__ASSEMBLY__)

#include <asm/asm.h>
#include <asm/nops.h>

/*
 * krr_user_value() for %rdx, in front of the RET of a leaf function that
 * returns 0 in %rax. static_branch_unlikely(&krr_active_key) by hand.
 */
.macro KRR_GET_USER
.Lkrr_branch_\@:
	.byte	BYTES_NOP5
	.pushsection __jump_table, "aw"
	_ASM_ALIGN
	.long	.Lkrr_branch_\@ - ., krr_get_user - .
	.quad	krr_active_key - .
	.popsection
.endm

/* Where KRR_GET_USER branches to; once, in the file that uses it. */
.macro KRR_GET_USER_TAIL
SYM_CODE_START_LOCAL(krr_get_user)
	cmpb	$0, PER_CPU_VAR(krr_on)
	je	.Lkrr_off
	movq	%rdx, %rax
	call	krr_in_user_value
	movq	%rax, %rdx
.Lkrr_off:
	xorl	%eax, %eax
	RET
SYM_CODE_END(krr_get_user)
.endm

#else

#include <linux/jump_label.h>
#include <linux/types.h>
#include <asm/asm.h>

struct fpstate;
struct pt_regs;

/* Hooks are live, from shortly before a recording until after it. */
DECLARE_STATIC_KEY_FALSE(krr_active_key);
#define krr_active()	static_branch_unlikely(&krr_active_key)

/* This kernel may be recorded (krr=on): what has to be so from boot is. */
DECLARE_STATIC_KEY_FALSE(krr_present_key);
#define krr_present()	static_branch_unlikely(&krr_present_key)

/*
 * Calls a thunk if this CPU is being recorded. The compare is part of the
 * contract: with it, the flags are the same at each thunk, before and after.
 */
#define KRR_CALL(thunk)							\
	"cmpb $0, %%gs:krr_on\n\t"					\
	"je 771f\n\t"							\
	"call " #thunk "\n"						\
	"771:"

/* ---- inputs: one value ---- */

#define KRR_VALUE(thunk, x) ({						\
	__typeof__(x) __krr_x = (x);					\
	if (krr_active()) {						\
		unsigned long __krr_rax = (unsigned long)__krr_x;	\
		asm volatile(KRR_CALL(thunk)				\
			     : "+a" (__krr_rax), ASM_CALL_CONSTRAINT	\
			     : : "memory", "cc");			\
		__krr_x = (__typeof__(x))__krr_rax;			\
	}								\
	__krr_x;							\
})

/* Each returns @x, as it was recorded. */
#define krr_user_value(x)	KRR_VALUE(krr_in_user_value, x)
#define krr_segment(x)		KRR_VALUE(krr_in_segment, x)
#define krr_tsc(x)		KRR_VALUE(krr_in_tsc, x)
#define krr_random(x)		KRR_VALUE(krr_in_random, x)
#define krr_msr(x)		KRR_VALUE(krr_in_msr, x)
#define krr_xcr(x)		KRR_VALUE(krr_in_xcr, x)
#define krr_apic(x)		KRR_VALUE(krr_in_apic, x)
#define krr_fpu_restored(x)	KRR_VALUE(krr_in_fpu_restore, x)

/* The four results of CPUID, in place. */
#define krr_cpuid(a, b, c, d) do {					\
	if (krr_active())						\
		asm volatile(KRR_CALL(krr_in_cpuid)			\
			     : "+a" (a), "+b" (b), "+c" (c), "+d" (d),	\
			       ASM_CALL_CONSTRAINT			\
			     : : "memory", "cc");			\
} while (0)

/* ---- inputs: memory ---- */

#define KRR_BYTES(thunk, to, length, from) do {				\
	if (krr_active())						\
		asm volatile(KRR_CALL(thunk)				\
			     : ASM_CALL_CONSTRAINT			\
			     : "D" (to), "S" ((unsigned long)(length)),	\
			       "d" (from)				\
			     : "memory", "cc");				\
} while (0)

/* @length bytes (0: none) have been copied to kernel address @to, from user
 * address @from. */
#define krr_user_bytes(to, length, from)				\
	KRR_BYTES(krr_in_user_bytes, to, length, from)
/* The same for a file's pages, which user space may have mapped, ... */
#define krr_file_bytes(to, length)					\
	KRR_BYTES(krr_in_file_bytes, to, length, 0UL)
/* ... and for the memory of another process. */
#define krr_remote_bytes(to, length)					\
	KRR_BYTES(krr_in_remote_bytes, to, length, 0UL)
#define krr_fpu_bytes(to, length)					\
	KRR_BYTES(krr_in_fpu_bytes, to, length, 0UL)

void __krr_fpu_saved(struct fpstate *fpstate);
void __krr_fpu_announce(const void __user *buf);

/* FPU registers have been saved to @fpstate: what the kernel looks at. */
static __always_inline void krr_fpu_saved(struct fpstate *fpstate)
{
	if (krr_active())
		__krr_fpu_saved(fpstate);
}

/* FPU registers are about to be restored from the user's @buf: what decides
 * whether that faults. Page faults are disabled. */
static __always_inline void krr_fpu_announce(const void __user *buf)
{
	if (krr_active())
		__krr_fpu_announce(buf);
}

/*
 * old = *uaddr; *uaddr = new, where @new is an expression with __krr_old; the
 * loop of the atomic operations on futexes with each turn recorded. Within
 * user_access_begin().
 */
#define krr_futex_op(new, oval, uaddr, label) do {			\
	u32 __krr_old;							\
									\
	unsafe_get_user(__krr_old, uaddr, label);			\
	while (!unsafe_try_cmpxchg_user(uaddr, &__krr_old, (new), label)) \
		;							\
	*(oval) = __krr_old;						\
} while (0)

/* ---- entry and exit ---- */

/* Lets the DEFINE_IDTENTRY macros know the vector. */
#define KRR_DECLARE_VECTOR(vector, func)				\
	enum { krr_vector_##func = (vector) };

/*
 * First thing of an entry into the kernel by @vector, IRQs disabled.
 * @error is what the CPU pushed, or 0; @extra is CR2 of a page fault, DR6 as it
 * was in the register of a debug exception, else 0.
 */
static __always_inline void krr_enter(struct pt_regs *regs, unsigned long vector,
				      unsigned long error, unsigned long extra)
{
	if (krr_active())
		asm volatile(KRR_CALL(krr_entry)
			     : ASM_CALL_CONSTRAINT
			     : "D" (regs), "S" (vector), "d" (error), "c" (extra)
			     : "memory", "cc");
}

/* Last thing before the assembly code that goes back to user mode. */
static __always_inline void krr_leave(void)
{
	if (krr_active())
		asm volatile(KRR_CALL(krr_release)
			     : ASM_CALL_CONSTRAINT : : "memory", "cc");
}

void __krr_broken(u32 reason);

/* An entry that no replay can repeat (NMI, ...): the recording ends with
 * @reason, a KRR_END_*. */
static __always_inline void krr_broken(u32 reason)
{
	if (krr_active())
		__krr_broken(reason);
}

/* sti; hlt with the kernel released meanwhile. False: not recording, not done. */
static __always_inline bool krr_halt(void)
{
	if (!krr_active())
		return false;
	asm volatile("call krr_idle"
		     : ASM_CALL_CONSTRAINT : : "rax", "memory", "cc");
	return true;
}

/* ---- safepoints ---- */

#define KRR_SAFEPOINT(thunk) do {					\
	if (krr_active())						\
		asm volatile(KRR_CALL(thunk)				\
			     : ASM_CALL_CONSTRAINT			\
			     : : "rax", "memory", "cc");		\
} while (0)

/* Here interrupts may arrive, if they are enabled: now and then, ... */
#define krr_safepoint()		KRR_SAFEPOINT(krr_safepoint_throttled)
/* ... or if one is pending, for places where they have just been enabled. */
#define krr_safepoint_now()	KRR_SAFEPOINT(krr_safepoint_unthrottled)

/* ---- page tables ---- */

/*
 * What a page table entry has to be for the CPU to have nothing to add: user
 * pages are accessed, and dirty when they can be written. (Dirty and read-only
 * means something else on newer CPUs.)
 */
#define krr_entry_bits(entry) ({					\
	__typeof__(entry) __krr_e = (entry);				\
	if (krr_present() &&						\
	    (__krr_e & (_PAGE_PRESENT | _PAGE_USER)) ==			\
	    (_PAGE_PRESENT | _PAGE_USER)) {				\
		__krr_e |= _PAGE_ACCESSED;				\
		if (__krr_e & _PAGE_RW)					\
			__krr_e |= _PAGE_DIRTY;				\
	}								\
	__krr_e;							\
})

/* ---- start and end ---- */

/*
 * Ends the recording, if there is one: @reason is a KRR_END_*, @status the exit
 * status that goes with KRR_END_STOPPED, @text (may be NULL) more about it. Any
 * context; returns when the trace is complete, and the kernel goes on.
 */
void krr_end(u32 reason, u32 status, const char *text);

/* Starts a recording before init is executed, if that was asked for. */
void krr_start_at_boot(void);

#endif /* KRR_HOOKS, not __ASSEMBLY__ */
#endif /* _ASM_X86_KRR_H */
