/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Thunks between the hooks in the kernel and the recorder's C functions.
 *
 * A replay acts at the magic NOP that each of them begins with and returns
 * from there, so the rest must not be seen by the kernel: all registers and the
 * flags are preserved, and the stack is one in the device's memory.
 */
#include <linux/linkage.h>
#include <linux/krr.h>
#include <asm/asm.h>
#include <asm/nospec-branch.h>
#include <asm/percpu.h>

/* Safepoints that pass between two windows of krr_safepoint_throttled. */
#define KRR_SAFEPOINTS_PER_WINDOW	16

.macro KRR_NOP hook
	.byte	0x0f, 0x1f, 0x84, 0x00
	.long	KRR_NOP_MAGIC | \hook
.endm

/*
 * Calls @function(registers, @argument) on the recorder's stack. RAX has to be in
 * krr_scratch. The pairs around the switch of the stack are in the form that
 * objtool understands.
 */
.macro KRR_CALL_RECORDER function argument
	movq	PER_CPU_VAR(krr_stack), %rax
	movq	%rsp, (%rax)
	movq	%rax, %rsp
	pushq	%r11
	pushq	%r10
	pushq	%r9
	pushq	%r8
	pushq	%rdi
	pushq	%rsi
	pushq	%rdx
	pushq	%rcx
	pushq	%rbx
	pushq	PER_CPU_VAR(krr_scratch)
	movq	$0, PER_CPU_VAR(krr_scratch)
	movq	%rsp, %rdi
	movl	$\argument, %esi
	call	\function
	popq	%rax
	popq	%rbx
	popq	%rcx
	popq	%rdx
	popq	%rsi
	popq	%rdi
	popq	%r8
	popq	%r9
	popq	%r10
	popq	%r11
	popq	%rsp
.endm

/* The flags are those of the caller's compare of krr_on, so repeating it restores
 * them. */
.macro KRR_THUNK name hook function
	.balign	16
SYM_START(\name, SYM_L_GLOBAL, SYM_A_NONE)
	KRR_NOP	\hook
	movq	%rax, PER_CPU_VAR(krr_scratch)
	KRR_CALL_RECORDER \function \hook
	cmpb	$0, PER_CPU_VAR(krr_on)
	RET
SYM_FUNC_END(\name)
.endm

/* Notes the time, and how long there was no safepoint. @area: RAX on entry and exit. */
.macro KRR_MEASURE
	movq	%rdx, PER_CPU_VAR(krr_scratch)
	movq	%rax, %rdx
	rdtsc
	shlq	$32, %rdx
	orq	%rdx, %rax
	movq	PER_CPU_VAR(krr_area), %rdx
	movq	%rax, KRR_AREA_NOW(%rdx)
	subq	KRR_AREA_LAST(%rdx), %rax
	cmpq	KRR_AREA_STRETCH(%rdx), %rax
	jbe	.Lshort_\@
	movq	%rax, KRR_AREA_STRETCH(%rdx)
	movq	(%rsp), %rax
	movq	%rax, KRR_AREA_STRETCH_SITE(%rdx)
.Lshort_\@:
	movq	KRR_AREA_NOW(%rdx), %rax
	movq	%rax, KRR_AREA_LAST(%rdx)
	movq	%rdx, %rax
	movq	PER_CPU_VAR(krr_scratch), %rdx
	movq	$0, PER_CPU_VAR(krr_scratch)
.endm

/*
 * While the window is open, an interrupt is taken if one is pending. Its frame is
 * made to look as if it came before the thunk's first instruction
 * (krr_record_entry), hence: only RAX is in use, nothing is on the stack, and
 * the thunk can be run again. Then the lock is given away if somebody waits for
 * it and it is time to, for reason @why. Ends with RAX = 0 and the flags of xorl.
 */
.macro KRR_SAFEPOINT_THUNK name throttled why
	.balign	16
SYM_START(\name, SYM_L_GLOBAL, SYM_A_NONE)
	KRR_NOP	KRR_HOOK_SAFEPOINT
	movq	PER_CPU_VAR(krr_area), %rax
	cmpl	$KRR_STATE_ON, KRR_AREA_STATE(%rax)
	jne	.Lnot_on_\@
	incq	KRR_AREA_ORDINAL(%rax)
	KRR_MEASURE
.if \throttled
	decl	KRR_AREA_THROTTLE(%rax)
	jg	.Lshut_\@
.endif
	movl	$KRR_SAFEPOINTS_PER_WINDOW, KRR_AREA_THROTTLE(%rax)
	movl	$KRR_CR8_OPEN, %eax
	movq	%rax, %cr8
SYM_INNER_LABEL(\name\()_window, SYM_L_GLOBAL)
	nop
	movl	$KRR_CR8_CLOSED, %eax
	movq	%rax, %cr8
SYM_INNER_LABEL(\name\()_closed, SYM_L_GLOBAL)
.Lshut_\@:
	movq	krr_device(%rip), %rax
	testl	$KRR_LOCK_HEAD_MASK, KRR_SHARED_LOCK(%rax)
	jz	.Ldone_\@
	KRR_CALL_RECORDER krr_record_handoff \why
.Ldone_\@:
	xorl	%eax, %eax
	RET
.Lnot_on_\@:
	/* Ended by QEMU: open CR8, unless another hook has done so. */
	cmpl	$KRR_STATE_CLOSING, KRR_AREA_STATE(%rax)
	jne	.Ldone_\@
	movl	$KRR_STATE_OFF, KRR_AREA_STATE(%rax)
	movl	$0, KRR_AREA_OWNER(%rax)
	movb	$0, PER_CPU_VAR(krr_on)
	movl	$KRR_CR8_OPEN, %eax
	movq	%rax, %cr8
	jmp	.Ldone_\@
SYM_FUNC_END(\name)
.endm

	.section .noinstr.text, "ax"

KRR_THUNK krr_in_user_value	KRR_KIND_USER_VALUE	krr_record_value
KRR_THUNK krr_in_fpu_restore	KRR_KIND_FPU_RESTORE	krr_record_value
KRR_THUNK krr_in_segment	KRR_KIND_SEGMENT	krr_record_value
KRR_THUNK krr_in_tsc		KRR_KIND_TSC		krr_record_value
KRR_THUNK krr_in_random		KRR_KIND_RANDOM		krr_record_value
KRR_THUNK krr_in_msr		KRR_KIND_MSR		krr_record_value
KRR_THUNK krr_in_xcr		KRR_KIND_XCR		krr_record_value
KRR_THUNK krr_in_apic		KRR_KIND_APIC		krr_record_value
KRR_THUNK krr_in_cpuid		KRR_KIND_CPUID		krr_record_cpuid
KRR_THUNK krr_in_user_bytes	KRR_KIND_USER_BYTES	krr_record_bytes
KRR_THUNK krr_in_file_bytes	KRR_KIND_FILE_BYTES	krr_record_bytes
KRR_THUNK krr_in_remote_bytes	KRR_KIND_REMOTE_BYTES	krr_record_bytes
KRR_THUNK krr_in_shared_bytes	KRR_KIND_SHARED_BYTES	krr_record_bytes
KRR_THUNK krr_in_fpu_bytes	KRR_KIND_FPU_BYTES	krr_record_bytes
KRR_THUNK krr_in_end		KRR_KIND_END		krr_record_end
KRR_THUNK krr_entry		KRR_HOOK_ENTRY		krr_record_entry
KRR_THUNK krr_release		KRR_HOOK_RELEASE	krr_record_release
KRR_THUNK krr_acquire		KRR_HOOK_ACQUIRE	krr_record_acquire

KRR_SAFEPOINT_THUNK krr_safepoint_waiting		1 KRR_HANDOFF_WAIT
KRR_SAFEPOINT_THUNK krr_safepoint_preemptible	1 KRR_HANDOFF_RESCHED
KRR_SAFEPOINT_THUNK krr_safepoint_throttled	1 KRR_HANDOFF_LONG
KRR_SAFEPOINT_THUNK krr_safepoint_unthrottled	0 KRR_HANDOFF_LONG

/*
 * sti; hlt, with the kernel released while the CPU sleeps. The interrupt that
 * ends the halt takes it back (a WAKE record). A halt may also end without one;
 * then krr_acquire does, with interrupts off, because CR8 is still open.
 */
	.balign	16
SYM_START(krr_idle, SYM_L_GLOBAL, SYM_A_NONE)
	cmpb	$0, PER_CPU_VAR(krr_on)
	je	.Lhalt
	call	krr_release
.Lhalt:
	sti
	hlt
SYM_INNER_LABEL(krr_idle_resume, SYM_L_GLOBAL)
	cli
	cmpb	$0, PER_CPU_VAR(krr_on)
	je	.Lawake
	call	krr_acquire
.Lawake:
	sti
	xorl	%eax, %eax
	RET
SYM_FUNC_END(krr_idle)
