/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Functions as of a kernel, for tests/krr/e2e/unhooked.py: some lack hooks. Never executed. */

.macro function name
	.globl \name
	.type \name, @function
\name:
.endm
.macro end name
	.size \name, . - \name
.endm

/* A replacement for the instruction before it, as in Linux 6.1. */
.macro alternative original, replacement:vararg
771:	\original
772:
	.pushsection .altinstr_replacement, "ax"
773:	\replacement
774:	.popsection
	.pushsection .altinstructions, "a"
	.long 771b - .
	.long 773b - .
	.word 0
	.byte 772b - 771b
	.byte 774b - 773b
	.popsection
.endm

	.text

.irp thunk, krr_in_tsc, krr_in_msr, krr_in_cpuid, krr_in_xcr, krr_in_random, krr_in_segment, \
	krr_in_user_value, krr_in_user_bytes, copy_user_generic
function \thunk
	ret
end \thunk
.endr

/* ---- nothing is missing ---- */

function good
	rdtsc
	call krr_in_tsc
	rdrand %rax
	call krr_in_random
	xgetbv
	jmp good_part
end good

	.type good.cold, @function
good.cold:
good_part:
	call krr_in_xcr
	rdmsr
	call krr_in_msr
	ret
end good.cold

function good_reader
	alternative "nopl (%rax)", stac
	movl (%rdi), %eax
	call krr_in_user_value
	ret
end good_reader

/* The hook is behind the jump of a static key. */
function good_jump
	alternative "nopl (%rax)", stac
775:	nopl 0(%rax, %rax)
	ret
	.pushsection __jump_table, "aw"
	.long 775b - ., jump_target - .
	.quad 0
	.popsection
end good_jump

function jump_target
	call krr_in_user_value
	ret
end jump_target

function good_flags
	pushf
	pop %rbx
	andq $~0x108d5, %rbx
	pushf
	pop 8(%rsp)
	andq $~0x108d5, 8(%rsp)
	ret
end good_flags

/* ---- a hook is missing ---- */

function no_hook
	rdtsc
	ret
end no_hook

function replaced
	alternative "nopl (%rax)", rdtscp
	ret
end replaced

function wrong_hook
	cpuid
	call krr_in_tsc
	ret
end wrong_hook

function reader
	alternative "nopl (%rax)", stac
	movl (%rdi), %eax
	call krr_in_tsc
	ret
end reader

function copier
	call copy_user_generic
	ret
end copier

function selector
	mov %ds, %eax
	ret
end selector

function saved_flags
	pushf
	pop %rbx
	cli
	ret
end saved_flags

function wrong_mask
	pushf
	pop %rbx
	andq $~0x108d5, %rax
	ret
end wrong_mask

/* No function, as in assembly; the label counts. */
outside:
	rdmsr
	jmp good

	.data
	.quad __start___jump_table, __stop___jump_table
