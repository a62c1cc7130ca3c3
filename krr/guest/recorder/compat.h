/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the recorder has to call by another name in another version of Linux. The
 * one place for it: whatever else differs is the business of the hook patches.
 */
#ifndef _X86_KRR_COMPAT_H
#define _X86_KRR_COMPAT_H

#include <linux/percpu.h>
#include <linux/version.h>
#include <asm/current.h>
#include <asm/processor.h>

/* The top word of @cpu's interrupt stack. pcpu_hot came with 6.2 and went with 6.15. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 2, 0) && \
	LINUX_VERSION_CODE < KERNEL_VERSION(6, 15, 0)
#define krr_interrupt_stack(cpu)	per_cpu(pcpu_hot.hardirq_stack_ptr, cpu)
#else
#define krr_interrupt_stack(cpu)	per_cpu(hardirq_stack_ptr, cpu)
#endif

#endif /* _X86_KRR_COMPAT_H */
