/* SPDX-License-Identifier: GPL-2.0 */
/* What the parts of the guest recorder share. */
#ifndef _X86_KRR_RECORDER_H
#define _X86_KRR_RECORDER_H

#include <linux/krr.h>
#include <linux/percpu.h>
#include <linux/types.h>

/* The device, found at boot; constant from then on. */
struct krr_device {
	struct krr_shared *shared;	/* start of BAR2 */
	u8 *ring;
	u32 ring_size;			/* bytes, a power of two */
	u16 port;			/* first port of BAR0 */
};
extern struct krr_device krr_device;

/*
 * 1 while this CPU is recorded: hooks call their thunks. Changes to 1 with CR8
 * closed and to 0 before it is opened for good. So a thunk is never interrupted
 * by something that calls a thunk, and one stack for each CPU is enough.
 */
DECLARE_PER_CPU(u8, krr_on);
/* This CPU's slot in BAR2, and the stack at its end. */
DECLARE_PER_CPU(struct krr_area *, krr_area);
DECLARE_PER_CPU(void *, krr_stack);
/* RAX, for the first instructions of a thunk; 0 outside, as in a replay. */
DECLARE_PER_CPU(u64, krr_scratch);

/*
 * Of the images that FXSAVE and XSAVE leave (struct fpstate), what the kernel looks at: the control
 * and status words, which they begin with, and the header of XSAVE's.
 */
#define KRR_FPU_CONTROL_BYTES		32
#define KRR_XSAVE_HEADER_BYTES		sizeof(struct xstate_header)
#define KRR_XSAVE_HEADER_OFFSET		sizeof(struct fxregs_state)

/* What a thunk saves for its C function; which may not change it. */
struct krr_frame {
	u64 rax, rbx, rcx, rdx, rsi, rdi, r8, r9, r10, r11;
	u64 *rsp;			/* points to the return address */
};

/* Not memory or port accesses as the kernel knows them: no tracing, no hooks. */
static __always_inline void krr_write_cr8(unsigned long cr8)
{
	asm volatile("movq %0, %%cr8" : : "r" (cr8) : "memory");
}

static __always_inline void krr_bell(u32 bell, u32 argument)
{
	asm volatile("outl %0, %1"
		     : : "a" (bell | argument << 8),
		       "d" ((u16)(krr_device.port + KRR_PIO_DOORBELL))
		     : "memory");
}

/* Thunks, for EXPORT_SYMBOL. Not to be called from C. */
void krr_in_user_value(void);
void krr_in_user_bytes(void);
void krr_in_file_bytes(void);
void krr_in_remote_bytes(void);
void krr_in_shared_bytes(void);
void krr_in_fpu_bytes(void);
void krr_in_fpu_restore(void);
void krr_in_segment(void);
void krr_in_tsc(void);
void krr_in_random(void);
void krr_in_cpuid(void);
void krr_in_msr(void);
void krr_in_xcr(void);
void krr_in_apic(void);
void krr_acquire(void);
void krr_safepoint_waiting(void);
void krr_safepoint_preemptible(void);
void krr_safepoint_throttled(void);
void krr_safepoint_unthrottled(void);
void krr_idle(void);

/* The C functions behind the thunks. */
void krr_record_value(struct krr_frame *frame, u32 kind);
void krr_record_bytes(struct krr_frame *frame, u32 kind);
void krr_record_cpuid(struct krr_frame *frame, u32 kind);
void krr_record_entry(struct krr_frame *frame, u32 hook);
void krr_record_release(struct krr_frame *frame, u32 hook);
void krr_record_acquire(struct krr_frame *frame, u32 hook);
void krr_record_handoff(struct krr_frame *frame, u32 why);
void krr_record_end(struct krr_frame *frame, u32 kind);

/* memory.c */
int krr_memory_prepare(void);
void krr_memory_settle(void);
const struct krr_memory *krr_memory_describe(unsigned long sp, unsigned long *number);

/* unsupported.c */
bool krr_unsupported_shut(void);
void krr_unsupported_open(void);

#endif /* _X86_KRR_RECORDER_H */
