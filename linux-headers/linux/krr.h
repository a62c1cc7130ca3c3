/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * KRR guest ABI: what the recorder in the guest kernel and the recorder in
 * QEMU share.
 *
 * This is the one definition of every layout that crosses the border between
 * guest and hypervisor. The guest recorder, QEMU, the core library, the tool
 * and the tests all include this file; nobody copies from it.
 *
 * The krr PCI device has two BARs:
 *
 *   BAR0  PIO, KRR_PIO_SIZE bytes: doorbells (guest to QEMU) and the request
 *         register (QEMU to guest).
 *   BAR2  64-bit prefetchable memory, shared by all vCPUs and QEMU:
 *
 *         0                        struct krr_shared
 *         area_offset              struct krr_area[KRR_MAX_VCPUS], each in a
 *                                  slot of KRR_AREA_SIZE bytes; the rest of
 *                                  the slot is the recorder's stack, which
 *                                  grows down from the end of the slot
 *         ring_offset              the ring, ring_size bytes
 *
 * Everything in BAR2 can be overwritten by a broken guest. QEMU validates each
 * word that it reads from there.
 */
#ifndef _LINUX_KRR_H
#define _LINUX_KRR_H

#define KRR_ABI_MAGIC		0x3152524b	/* "KRR1", little endian */
#define KRR_ABI_VERSION		5

#define KRR_PCI_VENDOR_ID	0x1234
#define KRR_PCI_DEVICE_ID	0x4b52
#define KRR_BAR_PIO		0
#define KRR_BAR_SHARED		2

/* Upper bound of the ABI and the trace format, not of one release's support. */
#define KRR_MAX_VCPUS		64
/* Participant of the kernel-entry lock for the devices in QEMU, and the vCPU of their records. */
#define KRR_DEVICE_GROUP	KRR_MAX_VCPUS
#define KRR_AREA_SIZE		0x4000
#define KRR_RING_MIN		0x10000
#define KRR_RING_MAX		0x40000000
#define KRR_RING_DEFAULT	0x200000

/*
 * Hook points in the guest are 8-byte NOPs, 0f 1f 84 00 <imm32>, with
 * imm32 = KRR_NOP_MAGIC | hook. On hardware they do nothing. The replayer
 * turns them into calls; the hook number is an enum krr_kind for hooks that
 * write one kind of record, else an enum krr_hook.
 */
#define KRR_NOP_MAGIC		0x4b525200

/*
 * Kinds of records. The numbers are part of the trace format: append only, and
 * raise KRR_ABI_VERSION when a meaning changes. The table in krr/kinds.c
 * describes each of them.
 */
#define KRR_KIND_PAD		0	/* fills the ring's end; never in a file */
#define KRR_KIND_END		1	/* struct krr_end */
/* The order of execution. */
#define KRR_KIND_ENTRY		2	/* struct krr_entry: user mode to kernel */
#define KRR_KIND_INTERRUPT	3	/* struct krr_trap: in a safepoint's window */
#define KRR_KIND_WAKE		4	/* struct krr_trap: interrupt out of a halt */
#define KRR_KIND_EXCEPTION	5	/* struct krr_trap: in kernel mode */
#define KRR_KIND_HANDOFF	6	/* no payload: lock given away at a safepoint */
#define KRR_KIND_RESUME		7	/* struct krr_resume: lock got back there, after a halt, or
					 * for the first time: at the start nobody owns it */
/* Inputs written by hooks in the guest. */
#define KRR_KIND_USER_VALUE	16	/* struct krr_value: one load from user memory */
#define KRR_KIND_USER_BYTES	17	/* struct krr_bytes: copy from user memory */
#define KRR_KIND_FILE_BYTES	18	/* struct krr_bytes: page cache read by the kernel */
#define KRR_KIND_REMOTE_BYTES	19	/* struct krr_bytes: access_remote_vm */
#define KRR_KIND_SHARED_BYTES	20	/* struct krr_bytes: rings shared with user space */
#define KRR_KIND_FPU_BYTES	21	/* struct krr_bytes: XSAVE header, FPU control words */
#define KRR_KIND_FPU_RESTORE	22	/* struct krr_value: did XRSTOR from a user frame fault */
#define KRR_KIND_SEGMENT	23	/* struct krr_value: user FS/GS base, selectors */
#define KRR_KIND_TSC		24	/* struct krr_value */
#define KRR_KIND_RANDOM		25	/* struct krr_value: RDRAND, RDSEED (two records: carry, value) */
#define KRR_KIND_CPUID		26	/* struct krr_cpuid */
#define KRR_KIND_MSR		27	/* struct krr_value */
#define KRR_KIND_XCR		28	/* struct krr_value: XGETBV */
#define KRR_KIND_APIC		29	/* struct krr_value: memory-mapped local APIC */
/* Device accesses of the lock's owner, written by QEMU; site = size in bytes. */
#define KRR_KIND_PORT_READ	48	/* struct krr_io */
#define KRR_KIND_PORT_WRITE	49	/* struct krr_io */
#define KRR_KIND_MMIO_READ	50	/* struct krr_io */
#define KRR_KIND_MMIO_WRITE	51	/* struct krr_io */
/* A device wrote guest memory: behind the PORT_WRITE or MMIO_WRITE, or before the PORT_READ or
 * MMIO_READ that made it do so; or between two slices, then vcpu is KRR_DEVICE_GROUP and
 * ordinal KRR_PREVIOUS() of the slice before. */
#define KRR_KIND_DMA		52	/* struct krr_dma */

/* Hooks that write no record or one of several kinds. */
/* KRR_KIND_END: rdi = reason, rsi = status, rdx = text or 0, rcx, r8: see struct krr_memory */
#define KRR_HOOK_SAFEPOINT	0x80
#define KRR_HOOK_ENTRY		0x81	/* rdi = pt_regs, esi = vector, rdx = error code, rcx = CR2 or DR6 */
#define KRR_HOOK_RELEASE	0x82	/* before user mode and before halt */
#define KRR_HOOK_ACQUIRE	0x83	/* after halt and at start: take the lock if not owner */

/* Vectors of entries: 0..255 as in the IDT, and these. */
#define KRR_VECTOR_SYSCALL	256
#define KRR_VECTOR_SYSENTER	257
#define KRR_VECTOR_SYSCALL32	258

/* BAR0, 32-bit accesses. */
#define KRR_PIO_SIZE		16
#define KRR_PIO_DOORBELL	0	/* write: KRR_BELL_* | argument << 8 */
#define KRR_PIO_REQUEST		4	/* read: KRR_REQUEST_*, cleared by the read */

#define KRR_BELL_PARK		1	/* this vCPU is ready for the snapshot; returns when it is taken */
#define KRR_BELL_FULL		2	/* the ring is full; returns when there is room */
#define KRR_BELL_END		3	/* the END record is in the ring; returns when it is in the file */
#define KRR_BELL_BROKEN		4	/* recorder found an error, argument = KRR_END_*; recording ends */
#define KRR_BELL_WAIT		5	/* sleep until the next wake of this vCPU; may return early */
#define KRR_BELL_WAKE		6	/* ends the sleep of vCPU (or device group) argument, or its next one */
#define KRR_BELL_REFUSE		7	/* guest cannot start, argument = KRR_REFUSE_* */
#define KRR_BELL_DOZE		8	/* the same as WAIT, for 0.1 milliseconds at most */

#define KRR_REQUEST_START	1
#define KRR_REQUEST_STOP	2

/* Why a recording ended (struct krr_end, trace footer). */
#define KRR_END_STOPPED		1	/* asked for: sysfs, krr-stop, krr-vm */
#define KRR_END_PANIC		2
#define KRR_END_POWEROFF	3
#define KRR_END_REBOOT		4
#define KRR_END_HALT		5
#define KRR_END_KEXEC		6
#define KRR_END_QEMU_EXIT	7	/* QEMU ended while recording */
#define KRR_END_INTERRUPT	8	/* maskable interrupt of the owner outside a window */
#define KRR_END_NMI		9
#define KRR_END_MACHINE_CHECK	10
#define KRR_END_DOUBLE_FAULT	11
#define KRR_END_NOT_OWNER	12	/* kernel code ran without the lock */
#define KRR_END_UNSUPPORTED	13	/* the guest used what cannot be recorded; text names it */
#define KRR_END_RING		14	/* ring or lock words make no sense */
#define KRR_END_IO_ERROR	15	/* the trace cannot be written */
#define KRR_END_DMA		16	/* a device wrote guest memory that cannot be recorded */
#define KRR_END_STALL		17	/* the owner made no progress while others waited */
#define KRR_END_RESET		18	/* the machine was reset from outside */
#define KRR_END_SUSPEND		19	/* guest suspend, hibernation */

/* Why a guest refused to start (KRR_BELL_REFUSE). */
#define KRR_REFUSE_VCPUS	1	/* not all vCPUs are online */
#define KRR_REFUSE_MEMTYPE	2	/* BAR2 cannot be mapped write-back */
#define KRR_REFUSE_ABI		3	/* magic or version of BAR2 */
#define KRR_REFUSE_OFF		4	/* the recorder is switched off (krr=on) */
#define KRR_REFUSE_IN_USE	5	/* something is in use that cannot be recorded */
#define KRR_REFUSE_FIRMWARE	6	/* the kernel calls the firmware (EFI runtime services) */
#define KRR_REFUSE_POSSIBLE	7	/* the kernel is ready for more than KRR_MAX_VCPUS */
#define KRR_REFUSE_MEMORY	8	/* no memory for what final memory needs */

/* State of a recording, krr_shared.state and krr_area.state. */
#define KRR_STATE_OFF		0	/* hooks return at once */
#define KRR_STATE_ON		1
#define KRR_STATE_CLOSING	2	/* ended by QEMU: the next hook lowers CR8 and goes OFF */

/* krr_shared.flags, written by QEMU before the guest boots */
#define KRR_FLAG_START_BOOT	1	/* start=boot: begin before init is executed */
#define KRR_FLAG_FINAL_RAM	2	/* final-ram=on: describe memory at END (struct krr_memory) */

/* CR8 while the lock is owned, and while interrupts are welcome (vectors below
 * 32 stay out, as Linux itself asks for with TPR = 0x10). */
#define KRR_CR8_CLOSED		15
#define KRR_CR8_OPEN		1

/* RFLAGS bits that architecture or emulator leave open: CF PF AF ZF SF OF and
 * RF. Cleared in a safepoint's frame, masked in digests and comparisons. */
#define KRR_FLAGS_MASK		0x108d5

/* Why a vCPU gave the lock away at a safepoint. */
#define KRR_HANDOFF_WAIT	0	/* it waits for something (cpu_relax) */
#define KRR_HANDOFF_RESCHED	1	/* it might be preempted here, and the slice was not short */
#define KRR_HANDOFF_LONG	2	/* the slice was long */
#define KRR_HANDOFF_REASONS	3

/* Offsets for assembly; checked against the structures below. */
#define KRR_AREA_ORDINAL	0
#define KRR_AREA_STATE		8
#define KRR_AREA_OWNER		12
#define KRR_AREA_THROTTLE	16
#define KRR_AREA_VCPU		20
#define KRR_AREA_LAST		24
#define KRR_AREA_NOW		32
#define KRR_AREA_STRETCH	(56 + 8 * (3 * KRR_TIME_BUCKETS + 3 + 3))
#define KRR_AREA_STRETCH_SITE	(KRR_AREA_STRETCH + 8)
#define KRR_SHARED_LOCK		192
#define KRR_TIME_BUCKETS	36
#define KRR_AREA_STACK		(KRR_AREA_SIZE - 16)	/* initial recorder RSP */

/* The lock word: who owns the lock, who is the head of the queue (vCPU and one, 0 is
 * nobody); the rest is for linux/krr-lock.h. */
#define KRR_LOCK_OWNER_MASK	0xff
#define KRR_LOCK_HEAD_MASK	0xff00
#define KRR_LOCK_OWNER(word)	((word) & KRR_LOCK_OWNER_MASK)
#define KRR_LOCK_HEAD(word)	(((word) & KRR_LOCK_HEAD_MASK) >> 8)

#ifndef __ASSEMBLY__
#include <linux/types.h>

/*
 * The kernel-entry lock; linux/krr-lock.h has the code and says how it works. All
 * of it is 0 when a recording starts: nobody owns it.
 */
#define KRR_LOCK_QUEUE	128	/* a power of two, more than there can be participants */
struct krr_lock {
	__u32 word;		/* KRR_LOCK_OWNER(), KRR_LOCK_HEAD(), whether that sleeps */
	__u32 bypassed;		/* slices that have passed the head; written by the owner */
	__u64 since;		/* clock when the head became the head */
	__u64 previous;		/* KRR_PREVIOUS() of the last release; owner */
	__u64 given;		/* clock when it was last given to the head */
	__u64 reserved0[4];
	__u32 next;		/* ticket for the next who queues */
	__u32 serving;		/* ticket of the head */
	__u64 reserved1[7];
	__u32 queue[KRR_LOCK_QUEUE];	/* who has the ticket that ends in this number */
};

/*
 * First page of BAR2. Constant fields are written by QEMU before the guest
 * runs. Each group of words with its own writer has its own cache lines.
 */
struct krr_shared {
	__u32 magic;		/* KRR_ABI_MAGIC */
	__u32 version;		/* KRR_ABI_VERSION */
	__u32 vcpus;		/* number of vCPUs, 1..KRR_MAX_VCPUS */
	__u32 flags;		/* KRR_FLAG_* */
	__u32 area_offset;	/* bytes from the start of BAR2 */
	__u32 ring_offset;
	__u32 ring_size;	/* bytes, power of two */
	__u32 state;		/* KRR_STATE_*, written by QEMU */
	__u64 kernel_text;	/* run-time address of _text; guest, before PARK */
	__u64 tsc_khz;		/* 0 unknown; guest, before PARK */
	__u64 reserved0[2];

	/* the ring: positions in bytes, counted on and on from 0; the place in
	 * the ring is position & (ring_size - 1) */
	__u64 ring_head;	/* end of the last whole record; owner of the lock */
	__u64 reserved2[7];
	__u64 ring_tail;	/* what QEMU has taken out; QEMU */
	__u64 reserved3[7];

	struct krr_lock lock;
};

/* What the guest tells about itself, written before PARK: the trace repeats it.
 * In the first page of BAR2, KRR_GUEST_OFFSET bytes from its start. */
#define KRR_GUEST_OFFSET	2048
struct krr_guest {
	char  release[64];	/* utsname, NUL padded */
	__u8  build_id[20];	/* of vmlinux; zeroes unknown */
	__u32 reserved;
};

/* Words of krr_entry, in the order of the kernel's pt_regs, and three more. */
enum krr_reg {
	KRR_R15, KRR_R14, KRR_R13, KRR_R12, KRR_RBP, KRR_RBX, KRR_R11,
	KRR_R10, KRR_R9, KRR_R8, KRR_RAX, KRR_RCX, KRR_RDX, KRR_RSI, KRR_RDI,
	KRR_ORIG_RAX, KRR_RIP, KRR_CS, KRR_RFLAGS, KRR_RSP, KRR_SS,
	KRR_FRAME_WORDS,
	KRR_ERROR_CODE = KRR_FRAME_WORDS,	/* as pushed by the CPU, else 0 */
	KRR_CR2,				/* page faults, else unchanged */
	KRR_DR6,				/* debug exceptions, else unchanged */
	KRR_ENTRY_WORDS
};

/*
 * What a vCPU did with the lock, in cycles of its TSC. Bucket n of a histogram counts
 * times of 2^n to 2^(n+1) - 1 cycles; the last one longer ones too. Also in the
 * trace's statistics.
 */
struct krr_times {
	__u64 held[KRR_TIME_BUCKETS];	/* slices, by length */
	__u64 waited[KRR_TIME_BUCKETS];	/* waits for the lock, by length */
	__u64 granted[KRR_TIME_BUCKETS];	/* from when the lock was given to this vCPU until it
						 * went on, by length */
	__u64 held_cycles;
	__u64 waited_cycles;
	__u64 granted_cycles;
	__u64 handoffs[KRR_HANDOFF_REASONS];
	__u64 stretch;		/* the longest without a safepoint, and ... */
	__u64 stretch_site;	/* ... the address behind the call of the hook at its end */
};

/* One vCPU's slot in BAR2; only this vCPU and, while it is stopped, QEMU write it. */
struct krr_area {
	__u64 ordinal;		/* safepoints passed since the start */
	__u32 state;		/* KRR_STATE_* as this vCPU's hooks see it */
	__u32 owner;		/* 1 while this vCPU owns the lock */
	__u32 throttle;		/* safepoints until the next window */
	__u32 vcpu;
	__u64 last;		/* clock at the last safepoint or start of the slice */
	__u64 now;		/* clock at this one */
	__u64 slice;		/* clock at the start of the slice */
	__u32 text;		/* generation of the kernel's text that this vCPU has seen */
	__u32 reserved;
	struct krr_times times;
	__u64 entry[KRR_ENTRY_WORDS];	/* words of this vCPU's last ENTRY */
};

/* ---- records ---- */

/*
 * Header of every record, 8-byte aligned in ring and file.
 *
 * site: low 32 bits of the return address of the hook's caller; for device
 * accesses the size of the access in bytes; 0 in a DMA, and in an END that QEMU wrote.
 */
struct krr_record {
	__u8  kind;		/* KRR_KIND_* */
	__u8  vcpu;
	__u16 size;		/* bytes with header and padding, multiple of 8 */
	__u32 site;
	__u64 ordinal;		/* safepoints this vCPU has passed */
};

/* Longest record; longer copies are split (krr_bytes.left). */
#define KRR_RECORD_MAX		0x2000
#define KRR_BYTES_MAX		(KRR_RECORD_MAX - 32)

struct krr_value {
	__u64 value;
};

struct krr_bytes {
	__u64 destination;	/* kernel address of this record's first byte */
	__u32 length;		/* bytes in this record */
	__u32 left;		/* bytes of the same copy in the records to come */
	__u8  data[];
};

struct krr_cpuid {
	__u32 eax, ebx, ecx, edx;
};

/* Who owned the lock before, and its ordinal at the release. */
#define KRR_PREVIOUS(vcpu, ordinal)	((__u64)(vcpu) << 56 | (ordinal))
#define KRR_PREVIOUS_VCPU(p)		((__u32)((p) >> 56))
#define KRR_PREVIOUS_ORDINAL(p)		((p) & 0xffffffffffffffULL)

/*
 * From user mode. Only the words that differ from this vCPU's last ENTRY
 * follow, in ascending order of enum krr_reg; before the first ENTRY all words
 * are 0.
 */
struct krr_entry {
	__u32 vector;		/* 0..255 or KRR_VECTOR_* */
	__u32 changed;		/* bit n: word n follows */
	__u64 previous;		/* KRR_PREVIOUS */
	__u64 words[];
};

/* Interrupt or exception with the kernel's own frame, which replay recreates:
 * the position and a digest to compare. */
struct krr_trap {
	__u32 vector;
	__u32 error_code;
	__u64 rip;		/* of the frame after fix-up */
	__u64 rsp;
	__u64 rcx;		/* exceptions of a REP: its progress */
	__u64 cr2;		/* page faults, else 0 */
	__u64 digest;		/* krr_frame_digest() */
	union {
		__u64 previous;	/* WAKE: KRR_PREVIOUS */
		__u64 flags;	/* EXCEPTION: RFLAGS in KRR_FLAGS_MASK, for the frame */
	};			/* else 0 */
};

struct krr_resume {
	__u64 previous;
};

struct krr_io {
	__u64 address;
	__u64 value;		/* little endian, upper bytes 0 */
};

struct krr_dma {
	__u64 address;		/* guest-physical, of this record's first byte */
	__u32 length;		/* bytes in this record */
	__u32 left;		/* bytes of the same write in the records to come */
	__u8  data[];
};

/* text: at most KRR_END_TEXT bytes, zero padded. */
#define KRR_END_TEXT		112
struct krr_end {
	__u32 reason;		/* KRR_END_* */
	__u32 status;		/* reason STOPPED: exit status given by the stopper */
	__u64 rip;		/* where known, else 0 */
	char  text[KRR_END_TEXT];
};

/*
 * With KRR_FLAG_FINAL_RAM the guest describes its memory before END: what a
 * replay cannot have equal, and what helps to name the rest. The END hook passes
 * the kernel address of an array of these in RCX and their number in R8; the
 * replayer reads it from the replayed guest's own memory.
 */
struct krr_memory {
	__u64 address;		/* guest-physical */
	__u64 length;		/* bytes */
	__u32 class;		/* KRR_MEMORY_* */
	__u32 reserved;
	__u64 name;		/* KRR_MEMORY_SLAB: kernel address of the cache's name, else 0 */
};
#define KRR_MEMORY_FREE		1	/* free page: not compared */
#define KRR_MEMORY_USER		2	/* anonymous or page-cache page: not compared */
#define KRR_MEMORY_DEAD_STACK	3	/* below a stack pointer: not compared */
#define KRR_MEMORY_FPU		4	/* saved FPU registers: not compared */
#define KRR_MEMORY_STACK		5	/* live stack: KRR_FLAGS_MASK bits of saved flags may differ */
#define KRR_MEMORY_SLAB		6	/* compared; says which slab cache it is */

/*
 * Digest of a kernel-mode frame of KRR_FRAME_WORDS words in pt_regs order,
 * without what replay may rightly have different: KRR_FLAGS_MASK in RFLAGS, and
 * the registers that functions need not preserve (R11 to RDI in pt_regs order).
 * Those may hold a dead copy of user memory, which no replay has: a copy
 * routine's working registers, the register that a get_user() went through.
 * FNV-1a over 64-bit words: this is an error check between two executions that
 * should be equal, not a defence.
 */
static inline __attribute__((always_inline)) __u64
krr_frame_digest(const __u64 *words)
{
	__u64 h = 0xcbf29ce484222325ULL;
	int i;

	for (i = 0; i < KRR_FRAME_WORDS; i++) {
		__u64 w = words[i];

		if (i >= KRR_R11 && i <= KRR_RDI)
			continue;
		if (i == KRR_RFLAGS)
			w &= ~(__u64)KRR_FLAGS_MASK;
		h = (h ^ w) * 0x100000001b3ULL;
	}
	return h;
}

#define KRR_ASSERT(name, cond) \
	typedef char krr_assert_##name[(cond) ? 1 : -1] __attribute__((unused))
KRR_ASSERT(shared_size, sizeof(struct krr_shared) == 832);
KRR_ASSERT(lock_queue, KRR_LOCK_QUEUE > KRR_MAX_VCPUS);
KRR_ASSERT(shared_lock, __builtin_offsetof(struct krr_shared, lock.word) == KRR_SHARED_LOCK);
KRR_ASSERT(guest_size, sizeof(struct krr_guest) == 88);
KRR_ASSERT(record_size, sizeof(struct krr_record) == 16);
KRR_ASSERT(bytes_size, sizeof(struct krr_bytes) == 16);
KRR_ASSERT(entry_size, sizeof(struct krr_entry) == 16);
KRR_ASSERT(trap_size, sizeof(struct krr_trap) == 56);
KRR_ASSERT(end_size, sizeof(struct krr_end) == 128);
KRR_ASSERT(memory_size, sizeof(struct krr_memory) == 32);
KRR_ASSERT(io_size, sizeof(struct krr_io) == 16);
KRR_ASSERT(area_ordinal, __builtin_offsetof(struct krr_area, ordinal) == KRR_AREA_ORDINAL);
KRR_ASSERT(area_state, __builtin_offsetof(struct krr_area, state) == KRR_AREA_STATE);
KRR_ASSERT(area_owner, __builtin_offsetof(struct krr_area, owner) == KRR_AREA_OWNER);
KRR_ASSERT(area_throttle, __builtin_offsetof(struct krr_area, throttle) == KRR_AREA_THROTTLE);
KRR_ASSERT(area_vcpu, __builtin_offsetof(struct krr_area, vcpu) == KRR_AREA_VCPU);
KRR_ASSERT(area_last, __builtin_offsetof(struct krr_area, last) == KRR_AREA_LAST);
KRR_ASSERT(area_now, __builtin_offsetof(struct krr_area, now) == KRR_AREA_NOW);
KRR_ASSERT(area_stretch,
	   __builtin_offsetof(struct krr_area, times.stretch) == KRR_AREA_STRETCH);
KRR_ASSERT(area_stretch_site,
	   __builtin_offsetof(struct krr_area, times.stretch_site) == KRR_AREA_STRETCH_SITE);
KRR_ASSERT(area_fits, sizeof(struct krr_area) <= 0x800);
#undef KRR_ASSERT

#endif /* __ASSEMBLY__ */
#endif /* _LINUX_KRR_H */
