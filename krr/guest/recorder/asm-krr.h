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
 * finds, and the hook replaces the result. Copies from and to user memory are
 * string instructions (krr_setup_present), which have no data in registers.
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
.macro KRR_GET_USER_TAIL
.endm
#endif

#elif defined(__ASSEMBLY__)

#include <asm/asm.h>
#include <asm/nops.h>

/*
 * The hook for a value from user memory in %rdx, in front of the RET of a leaf
 * function that returns 0 in %rax. static_branch_unlikely(&krr_active_key) by
 * hand.
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
#include <linux/stringify.h>
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

/* ---- inputs: instructions ---- */

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

/*
 * @x has just been made by RDTSC, RDMSR, ...; returns it, as it was recorded. In
 * a replay the instruction itself has the recorded result.
 */
#define krr_tsc(x)		KRR_VALUE(krr_in_tsc, x)
#define krr_msr(x)		KRR_VALUE(krr_in_msr, x)
#define krr_xcr(x)		KRR_VALUE(krr_in_xcr, x)
#define krr_apic(x)		KRR_VALUE(krr_in_apic, x)
#define krr_fpu_restored(x)	KRR_VALUE(krr_in_fpu_restore, x)

/*
 * Saved flags, without those that the architecture may leave undefined: they stay in registers
 * and on stacks, where exceptions and interrupts find them. Always, because it costs no more than
 * asking would. Part of the asm that saves them: of an expression in C the compiler keeps only the
 * bits that are used, which leaves the others in the register.
 */
#define KRR_MASK_FLAGS(operand)	" ; andq $~" __stringify(KRR_FLAGS_MASK) ", " operand

/* The four results of CPUID, in place. */
#define krr_cpuid(a, b, c, d) do {					\
	if (krr_active())						\
		asm volatile(KRR_CALL(krr_in_cpuid)			\
			     : "+a" (a), "+b" (b), "+c" (c), "+d" (d),	\
			       ASM_CALL_CONSTRAINT			\
			     : : "memory", "cc");			\
} while (0)

/*
 * From here on, the hook is in one asm with the access that it is for. In a
 * replay the access finds something else, and no register may keep that: a dead
 * one still shows in the frame of the next interrupt.
 *
 * For use if krr_active() only.
 */

/* Results of @insn, rdrand or rdseed: the value to *@v, carry returned. */
#define krr_random(insn, v) ({						\
	unsigned long __krr_ok;						\
									\
	asm volatile(#insn " %%rax\n\t"					\
		     "setc %%cl\n\t"					\
		     "movzbl %%cl, %%ecx\n\t"				\
		     "xchgq %%rax, %%rcx\n\t"				\
		     KRR_CALL(krr_in_random) "\n\t"			\
		     "xchgq %%rax, %%rcx\n\t"				\
		     KRR_CALL(krr_in_random)				\
		     : "=a" (*(v)), "=c" (__krr_ok), ASM_CALL_CONSTRAINT \
		     : : "memory", "cc");				\
	(bool)__krr_ok;							\
})

/* What @insns leave in RAX, of the state of user mode. */
#define KRR_USER_STATE(insns) ({					\
	unsigned long __krr_rax;					\
									\
	asm volatile(insns "\n\t" KRR_CALL(krr_in_segment)		\
		     : "=a" (__krr_rax), ASM_CALL_CONSTRAINT		\
		     : : "memory", "cc");				\
	__krr_rax;							\
})
#define krr_segment(seg)	KRR_USER_STATE("movl %%" #seg ", %%eax")
#define krr_fsbase()		KRR_USER_STATE("rdfsbase %%rax")
/* Not while GS is the user's: the thunks need the kernel's. */
#define krr_gsbase_inactive()						\
	KRR_USER_STATE("swapgs\n\trdgsbase %%rax\n\tswapgs")

/* ---- inputs: one value in user memory ---- */

/* A 32-bit lvalue that user space may write, read once. For use at any time. */
#define krr_shared_u32(x) ({						\
	u32 __krr_v;							\
									\
	if (krr_active())						\
		asm volatile("movl %[from], %%eax\n\t"			\
			     KRR_CALL(krr_in_user_value)		\
			     : "=a" (__krr_v), ASM_CALL_CONSTRAINT	\
			     : [from] "m" (x) : "memory", "cc");	\
	else								\
		__krr_v = (x);						\
	__krr_v;							\
})

/* What has just been made of such memory: stays in a register until it is recorded. */
#define krr_shared_value(x)	KRR_VALUE(krr_in_user_value, x)

#define KRR_GET_USER(load, x, ptr, label) do {				\
	unsigned long __krr_rax;					\
	int __krr_err = 0;						\
									\
	asm volatile("1:\t" load "\n\t"					\
		     KRR_CALL(krr_in_user_value) "\n"			\
		     "2:\n"						\
		     _ASM_EXTABLE_TYPE_REG(1b, 2b, EX_TYPE_EFAULT_REG,	\
					   %[err])			\
		     : "=a" (__krr_rax), [err] "+r" (__krr_err),	\
		       ASM_CALL_CONSTRAINT				\
		     : [from] "m" (__m(ptr)) : "memory", "cc");		\
	if (unlikely(__krr_err))					\
		goto label;						\
	(x) = (__typeof__(x))__krr_rax;					\
} while (0)

/* unsafe_get_user() */
#define krr_get_user(x, ptr, label) do {				\
	switch (sizeof(*(ptr))) {					\
	case 1:								\
		KRR_GET_USER("movzbl %[from], %%eax", x, ptr, label);	\
		break;							\
	case 2:								\
		KRR_GET_USER("movzwl %[from], %%eax", x, ptr, label);	\
		break;							\
	case 4:								\
		KRR_GET_USER("movl %[from], %%eax", x, ptr, label);	\
		break;							\
	case 8:								\
		KRR_GET_USER("movq %[from], %%rax", x, ptr, label);	\
		break;							\
	default:							\
		(x) = __get_user_bad();					\
	}								\
} while (0)

/*
 * unsafe_try_cmpxchg_user(): *@pold becomes what was there; returns whether that
 * was *@pold. The processor's own answer, in ZF, is not looked at.
 */
#define krr_try_cmpxchg_user(itype, ltype, ptr, pold, next, label) ({	\
	__typeof__(*(pold)) __krr_expected = *(pold);			\
	__typeof__(*(pold)) __krr_found = __krr_expected;		\
	int __krr_err = 0;						\
									\
	asm volatile("1:\t" LOCK_PREFIX "cmpxchg" itype " %[new], %[at]\n\t" \
		     KRR_CALL(krr_in_user_value) "\n"			\
		     "2:\n"						\
		     _ASM_EXTABLE_TYPE_REG(1b, 2b, EX_TYPE_EFAULT_REG,	\
					   %[err])			\
		     : "+a" (__krr_found), [err] "+r" (__krr_err),	\
		       [at] "+m" (*(ptr)), ASM_CALL_CONSTRAINT		\
		     : [new] ltype (next) : "memory", "cc");		\
	if (unlikely(__krr_err))					\
		goto label;						\
	*(pold) = __krr_found;						\
	__krr_found == __krr_expected;					\
})

/* Of the operations on futexes: those that are one instruction, ... */
#define krr_futex_op1(insn, oval, uaddr, oparg, label) do {		\
	int __krr_old, __krr_err;					\
									\
	asm volatile("1:\t" insn "\n\t"					\
		     KRR_CALL(krr_in_user_value) "\n"			\
		     "2:\n"						\
		     _ASM_EXTABLE_TYPE_REG(1b, 2b, EX_TYPE_EFAULT_REG, %1) \
		     : "=a" (__krr_old), "=r" (__krr_err),		\
		       "+m" (*(uaddr)), ASM_CALL_CONSTRAINT		\
		     : "0" (oparg), "1" (0) : "memory", "cc");		\
	if (unlikely(__krr_err))					\
		goto label;						\
	*(oval) = __krr_old;						\
} while (0)

/* ... those that are a loop: *@oval = *@uaddr, *@uaddr = @new, an expression
 * with krr_old, ... */
#define krr_futex_op2(new, oval, uaddr, label) do {			\
	u32 krr_old;							\
									\
	krr_get_user(krr_old, uaddr, label);				\
	while (!krr_try_cmpxchg_user("l", "r", uaddr, &krr_old, (u32)(new), \
				     label))				\
		;							\
	*(oval) = krr_old;						\
} while (0)

/* ... and compare and exchange. Returns 0 or -EFAULT. */
#define krr_futex_cmpxchg(uaddr, pold, new) ({				\
	__label__ fault;						\
	int __krr_ret = -EFAULT;					\
									\
	krr_try_cmpxchg_user("l", "r", uaddr, pold, new, fault);	\
	__krr_ret = 0;							\
fault:									\
	;								\
	__krr_ret;							\
})

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

/* Are these a block device's own pages, which a file system on it reads by itself? */
#define krr_is_block(mapping)	((mapping) && S_ISBLK((mapping)->host->i_mode))

void __krr_fpu_saved(struct fpstate *fpstate);

/* FPU registers have been saved to @fpstate: what the kernel looks at. */
static __always_inline void krr_fpu_saved(struct fpstate *fpstate)
{
	if (krr_active())
		__krr_fpu_saved(fpstate);
}

/* Nobody wants the user's FPU registers any more, nor an x87 exception that has not come yet.
 * It shall not come: a replay, which has not these registers, would not know of it. */
static __always_inline void krr_fpu_forget(void)
{
	if (krr_active())
		asm volatile("fnclex");
}

/* csum_and_copy_from_user() and csum_and_copy_to_user(), whose loops have user data in registers. */
__wsum krr_csum_and_copy(const void __user *from, void *to, int length);
__wsum krr_csum_and_copy_to(const void *from, void __user *to, int length);

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

/* Here interrupts may arrive, if they are enabled, and the lock may be given to who
 * waits for it: now and then, ... */
#define krr_safepoint()		KRR_SAFEPOINT(krr_safepoint_throttled)
/* ... the lock rather earlier, where the scheduler might preempt, ... */
#define krr_safepoint_resched()	KRR_SAFEPOINT(krr_safepoint_preemptible)
/* ... or at once, where the kernel waits for something that others do, ... */
#define krr_safepoint_wait()	KRR_SAFEPOINT(krr_safepoint_waiting)
/* ... or each interrupt that is pending, where they have just been enabled. */
#define krr_safepoint_now()	KRR_SAFEPOINT(krr_safepoint_unthrottled)

/* ---- text ---- */

extern u32 krr_text_generation;

/* The kernel's text has been changed: CPUs that come into the kernel look anew. */
static __always_inline void krr_text_changed(void)
{
	if (krr_active())
		krr_text_generation++;
}

/* ---- page tables ---- */

/*
 * @entry, a pte_t, pmd_t or pud_t with its value in @member, as it has to be for
 * the CPU to have nothing to add: user pages are accessed, and dirty when they can
 * be written. (Dirty and read-only means something else on newer CPUs.)
 */
#define krr_page_entry(entry, member) ({					\
	__typeof__(entry) __krr_e = (entry);				\
	if (krr_present() &&						\
	    (__krr_e.member & (_PAGE_PRESENT | _PAGE_USER)) ==		\
	    (_PAGE_PRESENT | _PAGE_USER)) {				\
		__krr_e.member |= _PAGE_ACCESSED;			\
		if (__krr_e.member & _PAGE_RW)				\
			__krr_e.member |= _PAGE_DIRTY;			\
	}								\
	__krr_e;							\
})

/* ---- what cannot be recorded, and can be refused ---- */

enum krr_unsupported {
	KRR_PERF_MMAP,		/* the ring of a performance counter is mapped */
	KRR_DEV_MEM,		/* /dev/mem or /dev/port is open */
	KRR_PROC_KCORE,		/* /proc/kcore is open */
	KRR_UNSUPPORTED		/* number of them */
};

/*
 * @what is about to begin: 0, or -EOPNOTSUPP because a recording runs. If 0, what has begun
 * keeps recordings from starting until krr_unsupported_end(). Does not sleep.
 */
int krr_unsupported_begin(enum krr_unsupported what);
void krr_unsupported_end(enum krr_unsupported what);

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
