/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Hooks of the KRR guest recorder for rings: memory that user space writes while the kernel reads
 * it by addresses of its own. What asm/krr.h says about hooks is true of these as well.
 */
#ifndef _LINUX_KRR_RINGS_H
#define _LINUX_KRR_RINGS_H

#include <linux/build_bug.h>
#include <linux/string.h>
#include <asm/barrier.h>
#include <asm/krr.h>

#ifdef KRR_HOOKS

#define KRR_SHARED(load, x) ({						\
	unsigned long __krr_rax;					\
									\
	asm volatile(load "\n\t" KRR_CALL(krr_in_user_value)		\
		     : "=a" (__krr_rax), ASM_CALL_CONSTRAINT		\
		     : [from] "m" (x) : "memory", "cc");		\
	__krr_rax;							\
})

/* An lvalue of 2, 4 or 8 bytes, read once, and with what smp_load_acquire() promises. */
#define krr_shared(x) ({						\
	__unqual_scalar_typeof(x) __krr_v;				\
									\
	BUILD_BUG_ON(sizeof(x) != 2 && sizeof(x) != 4 && sizeof(x) != 8); \
	if (!krr_active())						\
		__krr_v = smp_load_acquire(&(x));			\
	else if (sizeof(x) == 2)					\
		__krr_v = KRR_SHARED("movzwl %[from], %%eax", x);	\
	else if (sizeof(x) == 4)					\
		__krr_v = KRR_SHARED("movl %[from], %%eax", x);		\
	else								\
		__krr_v = KRR_SHARED("movq %[from], %%rax", x);		\
	__krr_v;							\
})

/* @length bytes have been copied to kernel address @to, from a ring at kernel address @from, by
 * something that has no data in registers. */
#define krr_shared_bytes(to, length, from)				\
	KRR_BYTES(krr_in_shared_bytes, to, length, from)

/* The same with the copy itself: memcpy() may be expanded, and use registers. */
static __always_inline void krr_copy_shared(void *to, const void *from, unsigned long length)
{
	if (krr_active()) {
		unsigned long left = length;
		const void *source = from;
		void *destination = to;

		asm volatile("rep movsb"
			     : "+D" (destination), "+S" (source), "+c" (left) : : "memory");
		krr_shared_bytes(to, length, from);
	} else {
		memcpy(to, from, length);
	}
}

#else

#define krr_shared(x)				smp_load_acquire(&(x))
#define krr_shared_bytes(to, length, from)	do { } while (0)
#define krr_copy_shared(to, from, length)	memcpy(to, from, length)

#endif /* KRR_HOOKS */

#endif /* _LINUX_KRR_RINGS_H */
