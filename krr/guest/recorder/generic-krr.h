/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Hooks of the KRR guest recorder where there is no recorder: another
 * architecture, CONFIG_KRR_GUEST=n, or code that is not the running kernel
 * (decompressor, vDSO, ...). They leave no trace in the object code.
 *
 * arch/x86/include/asm/krr.h says what each of them is for.
 */
#ifndef _ASM_GENERIC_KRR_H
#define _ASM_GENERIC_KRR_H

#ifndef __ASSEMBLY__

#define krr_active()				false
#define krr_present()				false

#define krr_tsc(x)				(x)
#define krr_msr(x)				(x)
#define krr_xcr(x)				(x)
#define krr_apic(x)				(x)
#define krr_fpu_restored(x)			(x)
#define KRR_MASK_FLAGS(operand)
#define krr_cpuid(a, b, c, d)			do { } while (0)
#define krr_random(insn, v)			false
#define krr_segment(seg)			0
#define krr_fsbase()				0
#define krr_gsbase_inactive()			0

#define krr_shared_u32(x)			(x)
#define krr_shared_value(x)			(x)
#define krr_get_user(x, ptr, label)		do { } while (0)
#define krr_try_cmpxchg_user(itype, ltype, ptr, pold, new, label) false
#define krr_futex_op1(insn, oval, uaddr, oparg, label) do { } while (0)
#define krr_futex_op2(new, oval, uaddr, label)	do { } while (0)
#define krr_futex_cmpxchg(uaddr, pold, new)	0
#define krr_csum_and_copy(from, to, length)	0
#define krr_csum_and_copy_to(from, to, length)	0

#define krr_user_bytes(to, length, from)	do { } while (0)
#define krr_file_bytes(to, length)		do { } while (0)
#define krr_is_block(mapping)			false
#define krr_remote_bytes(to, length)		do { } while (0)
#define krr_fpu_bytes(to, length)		do { } while (0)
#define krr_fpu_saved(fpstate)			do { } while (0)
#define krr_fpu_forget()			do { } while (0)

#define KRR_DECLARE_VECTOR(vector, func)
#define krr_enter(regs, vector, error, extra)	do { } while (0)
#define krr_leave()				do { } while (0)
#define krr_broken(reason)			do { } while (0)
#define krr_halt()				false
#define krr_safepoint()				do { } while (0)
#define krr_safepoint_resched()			do { } while (0)
#define krr_safepoint_wait()			do { } while (0)
#define krr_safepoint_now()			do { } while (0)
#define krr_text_changed()			do { } while (0)

#define krr_page_entry(entry, member)		(entry)

#define krr_unsupported_begin(what)		0
#define krr_unsupported_end(what)		do { } while (0)

#define krr_end(reason, status, text)		do { } while (0)
#define krr_start_at_boot()			do { } while (0)

#endif /* __ASSEMBLY__ */
#endif /* _ASM_GENERIC_KRR_H */
