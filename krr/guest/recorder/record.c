// SPDX-License-Identifier: GPL-2.0
/*
 * The recorder proper: what the thunks run, on their own stack in the device's
 * memory, with CR8 closed or interrupts disabled, while other CPUs do the same.
 *
 * All of it is noinstr: it runs in the middle of entry and exit code, and where
 * user access is allowed. It calls nothing, and writes nothing but the device's
 * memory; the frame of an interrupt in a safepoint is the one exception.
 */
#include <linux/align.h>
#include <linux/compiler.h>
#include <linux/krr.h>
#include <linux/minmax.h>
#include <linux/percpu.h>
#include <asm/barrier.h>
#include <asm/cmpxchg.h>
#include <asm/ptrace.h>
#include <asm/sync_core.h>
#include <asm/trapnr.h>

#include "recorder.h"

/*
 * Cycles of a slice after which a vCPU gives the lock to who waits for it: 0.1
 * milliseconds where it may be preempted, 1 millisecond where it may be in the
 * middle of something that others then wait for.
 */
#define SLICE_RESCHED	(1ULL << 18)
#define SLICE_LONG	(1ULL << 21)

extern const char krr_safepoint_waiting_window[], krr_safepoint_waiting_closed[];
extern const char krr_safepoint_preemptible_window[], krr_safepoint_preemptible_closed[];
extern const char krr_safepoint_throttled_window[], krr_safepoint_throttled_closed[];
extern const char krr_safepoint_unthrottled_window[], krr_safepoint_unthrottled_closed[];
extern const char krr_idle_resume[];

static __always_inline struct krr_area *this_area(void)
{
	return raw_cpu_read(krr_area);
}

static __always_inline u32 site_of(const struct krr_frame *frame)
{
	return (u32)*frame->rsp;
}

static __always_inline bool is_on(const struct krr_area *area)
{
	return READ_ONCE(area->state) == KRR_STATE_ON;
}

/* String instructions, because memcpy() may be traced. */
static __always_inline void copy(void *to, const void *from, unsigned long bytes)
{
	asm volatile("rep movsb"
		     : "+D" (to), "+S" (from), "+c" (bytes) : : "memory");
}

/* The recording is over for this CPU: from here on it runs as any other. */
static __always_inline void close_area(struct krr_area *area)
{
	WRITE_ONCE(area->state, KRR_STATE_OFF);
	WRITE_ONCE(area->owner, 0);
	raw_cpu_write(krr_on, 0);
	krr_write_cr8(KRR_CR8_OPEN);
}

/* Something that should not be: tells QEMU, which ends the recording. */
static __always_inline void broken(struct krr_area *area, u32 reason)
{
	krr_bell(KRR_BELL_BROKEN, reason);
	close_area(area);
}

noinstr void __krr_broken(u32 reason)
{
	if (raw_cpu_read(krr_on))
		broken(this_area(), reason);
}

/* ---- the lock ---- */

#define krr_lock_user	krr_area
#define KRR_LOCK_CODE	static __always_inline

static __always_inline bool krr_lock_over(const struct krr_area *area)
{
	return !is_on(area);
}

static __always_inline void krr_lock_sleep(const struct krr_area *area)
{
	krr_bell(KRR_BELL_WAIT, area->vcpu);
}

static __always_inline void krr_lock_doze(const struct krr_area *area)
{
	krr_bell(KRR_BELL_DOZE, area->vcpu);
}

static __always_inline void krr_lock_wake(const struct krr_area *area, u32 vcpu)
{
	krr_bell(KRR_BELL_WAKE, vcpu);
}

/* RDTSC without the hook, which is for the kernel's own. */
static __always_inline u64 krr_lock_clock(void)
{
	u32 low, high;

	asm volatile("rdtsc" : "=a" (low), "=d" (high));
	return (u64)high << 32 | low;
}

static __always_inline void krr_lock_pause(void)
{
	asm volatile("pause");
}

#include <linux/krr-lock.h>

static __always_inline void count(u64 *histogram, u64 *sum, u64 cycles)
{
	u32 bucket = cycles ? 63 - __builtin_clzll(cycles) : 0;

	histogram[min_t(u32, bucket, KRR_TIME_BUCKETS - 1)]++;
	*sum += cycles;
}

/*
 * Another CPU may have changed the kernel's text while this one did not look. It
 * had no interrupt that would have made it look (text_poke_sync()), and may have
 * fetched what was there before.
 */
static __always_inline void see_text(struct krr_area *area)
{
	u32 now = READ_ONCE(krr_text_generation);

	if (area->text != now) {
		area->text = now;
		iret_to_self();
	}
}

/* Takes the lock, with CR8 closed. False if the recording ended meanwhile. */
static __always_inline bool take(struct krr_area *area)
{
	struct krr_lock *lock = &krr_device.shared->lock;
	struct krr_times *times = &area->times;
	u64 start = krr_lock_clock(), now = start, given;
	bool waited;

	if (!krr_lock_take(lock, area, area->vcpu, &waited, &given))
		return false;
	if (waited)
		now = krr_lock_clock();
	area->owner = 1;
	area->slice = area->last = now;
	count(times->waited, &times->waited_cycles, now - start);
	/* The clocks of two CPUs may differ a little. */
	if (given)
		count(times->granted, &times->granted_cycles, now > given ? now - given : 0);
	see_text(area);
	return true;
}

static __always_inline bool lock(struct krr_area *area)
{
	krr_write_cr8(KRR_CR8_CLOSED);
	return take(area);
}

/* The slice ends. Returns its cycles. */
static __always_inline u64 let_go(struct krr_area *area)
{
	struct krr_times *times = &area->times;
	u64 held = krr_lock_clock() - area->slice;

	count(times->held, &times->held_cycles, held);
	krr_device.shared->lock.previous = KRR_PREVIOUS(area->vcpu, area->ordinal);
	area->owner = 0;
	return held;
}

static __always_inline void unlock(struct krr_area *area)
{
	u64 held = let_go(area);

	krr_lock_release(&krr_device.shared->lock, area, held > KRR_LOCK_PATIENCE);
	krr_write_cr8(KRR_CR8_OPEN);
}

/* ---- the ring ---- */

/* Waits for room. False: the recording is over. */
static __always_inline bool make_room(struct krr_area *area, u64 head, u32 bytes)
{
	struct krr_shared *shared = krr_device.shared;

	while (head + bytes - READ_ONCE(shared->ring_tail) > krr_device.ring_size) {
		krr_bell(KRR_BELL_FULL, area->vcpu);
		if (!is_on(area))
			return false;
	}
	return true;
}

static __always_inline void write_pad(u8 *at, u32 bytes)
{
	struct krr_record *pad = (struct krr_record *)at;

	/* The last eight bytes of a ring have room for kind and size only. */
	pad->kind = KRR_KIND_PAD;
	pad->vcpu = 0;
	pad->size = bytes;
	pad->site = 0;
	if (bytes >= sizeof(*pad))
		pad->ordinal = 0;
}

/*
 * Begins a record of @payload bytes behind the header; its padding is zeroed.
 * NULL: it cannot be written, because the recording is over. Else the caller fills
 * the payload, or less of it and makes the record smaller, then calls publish().
 */
static __always_inline struct krr_record *begin(struct krr_area *area, u8 kind,
						u32 site, u32 payload)
{
	u32 size = ALIGN(sizeof(struct krr_record) + payload, 8);
	u64 head = krr_device.shared->ring_head;
	u32 place = head & (krr_device.ring_size - 1);
	u32 to_end = krr_device.ring_size - place;
	u32 pad = to_end < size ? to_end : 0;
	struct krr_record *record;

	if (!is_on(area))
		return NULL;
	if (unlikely(!area->owner)) {
		broken(area, KRR_END_NOT_OWNER);
		return NULL;
	}
	if (!make_room(area, head, pad + size))
		return NULL;
	if (pad) {
		write_pad(krr_device.ring + place, pad);
		place = 0;
	}
	record = (struct krr_record *)(krr_device.ring + place);
	((u64 *)record)[size / 8 - 1] = 0;
	record->kind = kind;
	record->vcpu = area->vcpu;
	record->size = size;
	record->site = site;
	record->ordinal = area->ordinal;
	return record;
}

static __always_inline void *payload_of(struct krr_record *record)
{
	return record + 1;
}

/* Makes a whole record visible to QEMU, and the padding before it. */
static __always_inline void publish(const struct krr_record *record)
{
	struct krr_shared *shared = krr_device.shared;
	u64 mask = krr_device.ring_size - 1;
	u64 end = (const u8 *)record + record->size - krr_device.ring;
	u64 head = shared->ring_head;

	smp_store_release(&shared->ring_head, head + ((end - head) & mask));
}

/* ---- inputs ---- */

noinstr void krr_record_value(struct krr_frame *frame, u32 kind)
{
	struct krr_record *record = begin(this_area(), kind, site_of(frame),
					  sizeof(struct krr_value));
	struct krr_value *value;

	if (!record)
		return;
	value = payload_of(record);
	value->value = frame->rax;
	publish(record);
}

noinstr void krr_record_cpuid(struct krr_frame *frame, u32 kind)
{
	struct krr_record *record = begin(this_area(), kind, site_of(frame),
					  sizeof(struct krr_cpuid));
	struct krr_cpuid *cpuid;

	if (!record)
		return;
	cpuid = payload_of(record);
	cpuid->eax = frame->rax;
	cpuid->ebx = frame->rbx;
	cpuid->ecx = frame->rcx;
	cpuid->edx = frame->rdx;
	publish(record);
}

/* RDI = destination, RSI = length; RDX is for the replay. */
noinstr void krr_record_bytes(struct krr_frame *frame, u32 kind)
{
	struct krr_area *area = this_area();
	u32 site = site_of(frame);
	u64 from = frame->rdi;
	u64 left = frame->rsi;

	while (left) {
		u32 length = min_t(u64, left, KRR_BYTES_MAX);
		struct krr_record *record = begin(area, kind, site,
						  sizeof(struct krr_bytes) + length);
		struct krr_bytes *bytes;

		if (!record)
			return;
		left -= length;
		bytes = payload_of(record);
		bytes->destination = from;
		bytes->length = length;
		bytes->left = left;
		copy(bytes->data, (const void *)from, length);
		publish(record);
		from += length;
	}
}

/* ---- entries ---- */

static __always_inline bool between(unsigned long ip, const char *from, const char *to)
{
	return ip >= (unsigned long)from && ip < (unsigned long)to;
}

#define IN_WINDOW(ip, thunk)	between(ip, thunk##_window, thunk##_closed)

/*
 * If an interrupt came in the window of a safepoint: makes its frame one that
 * came before the safepoint, and says so. What the arithmetic flags are in the
 * window is nobody's business.
 */
static __always_inline bool restart_safepoint(struct pt_regs *regs)
{
	if (IN_WINDOW(regs->ip, krr_safepoint_waiting))
		regs->ip = (unsigned long)krr_safepoint_waiting;
	else if (IN_WINDOW(regs->ip, krr_safepoint_preemptible))
		regs->ip = (unsigned long)krr_safepoint_preemptible;
	else if (IN_WINDOW(regs->ip, krr_safepoint_throttled))
		regs->ip = (unsigned long)krr_safepoint_throttled;
	else if (IN_WINDOW(regs->ip, krr_safepoint_unthrottled))
		regs->ip = (unsigned long)krr_safepoint_unthrottled;
	else
		return false;
	regs->ax = 0;
	regs->flags &= ~(unsigned long)KRR_FLAGS_MASK;
	return true;
}

/* INTERRUPT, WAKE, EXCEPTION: entries that a replay makes by itself, or from
 * no more than the vector. */
static __always_inline void record_trap(struct krr_area *area,
					const struct krr_frame *frame,
					u8 kind, u64 previous)
{
	const struct pt_regs *regs = (const struct pt_regs *)frame->rdi;
	struct krr_record *record = begin(area, kind, site_of(frame),
					  sizeof(struct krr_trap));
	struct krr_trap *trap;

	if (!record)
		return;
	trap = payload_of(record);
	trap->vector = frame->rsi;
	trap->error_code = frame->rdx;
	trap->rip = regs->ip;
	trap->rsp = regs->sp;
	trap->rcx = regs->cx;
	trap->cr2 = trap->vector == X86_TRAP_PF ? frame->rcx : 0;
	trap->digest = krr_frame_digest((const __u64 *)regs);
	trap->previous = previous;
	publish(record);
}

/* Adds a word to an ENTRY, if it differs from this CPU's last one. */
static __always_inline void add_word(struct krr_area *area, struct krr_entry *entry,
				     u64 **next, u32 i, u64 word)
{
	if (area->entry[i] == word)
		return;
	area->entry[i] = word;
	entry->changed |= 1U << i;
	*(*next)++ = word;
}

/* ENTRY: what differs from this CPU's last one. Its size is known only then. */
static __always_inline void record_entry(struct krr_area *area,
					 const struct krr_frame *frame,
					 u64 previous)
{
	const u64 *regs = (const u64 *)frame->rdi;
	u32 vector = frame->rsi, i;
	struct krr_record *record;
	struct krr_entry *entry;
	u64 *next;

	record = begin(area, KRR_KIND_ENTRY, site_of(frame),
		       sizeof(*entry) + KRR_ENTRY_WORDS * sizeof(u64));
	if (!record)
		return;
	entry = payload_of(record);
	entry->vector = vector;
	entry->changed = 0;
	entry->previous = previous;
	next = entry->words;
	for (i = 0; i < KRR_FRAME_WORDS; i++)
		add_word(area, entry, &next, i, regs[i]);
	add_word(area, entry, &next, KRR_ERROR_CODE, frame->rdx);
	if (vector == X86_TRAP_PF)
		add_word(area, entry, &next, KRR_CR2, frame->rcx);
	if (vector == X86_TRAP_DB)
		add_word(area, entry, &next, KRR_DR6, frame->rcx);
	record->size = (u8 *)next - (u8 *)record;
	publish(record);
}

/* The CPU was in user mode or asleep, or kernel code ran without the lock. */
static __always_inline void enter_kernel(struct krr_area *area,
					 const struct krr_frame *frame)
{
	const struct pt_regs *regs = (const struct pt_regs *)frame->rdi;
	bool user = user_mode((struct pt_regs *)regs);
	u64 previous;

	if (!user && (frame->rsi < 32 ||
		      regs->ip != (unsigned long)krr_idle_resume)) {
		broken(area, KRR_END_NOT_OWNER);
		return;
	}
	if (!lock(area)) {
		close_area(area);
		return;
	}
	previous = krr_device.shared->lock.previous;
	if (user)
		record_entry(area, frame, previous);
	else
		record_trap(area, frame, KRR_KIND_WAKE, previous);
}

/* Kernel code was interrupted, which has the lock. */
static __always_inline void interrupt_kernel(struct krr_area *area,
					     const struct krr_frame *frame,
					     bool in_window)
{
	const struct pt_regs *regs = (const struct pt_regs *)frame->rdi;

	if (user_mode((struct pt_regs *)regs)) {
		broken(area, KRR_END_NOT_OWNER);
	} else if (frame->rsi < 32) {
		record_trap(area, frame, KRR_KIND_EXCEPTION, regs->flags & KRR_FLAGS_MASK);
	} else if (in_window) {
		krr_write_cr8(KRR_CR8_CLOSED);
		record_trap(area, frame, KRR_KIND_INTERRUPT, 0);
	} else {
		broken(area, KRR_END_INTERRUPT);
	}
}

/* RDI = pt_regs, RSI = vector, RDX = error code, RCX = CR2 or DR6. */
noinstr void krr_record_entry(struct krr_frame *frame, u32 hook)
{
	struct krr_area *area = this_area();
	/* Even if the recording is over: the window's end would close CR8. */
	bool in_window = restart_safepoint((struct pt_regs *)frame->rdi);

	if (!is_on(area))
		close_area(area);
	else if (area->owner)
		interrupt_kernel(area, frame, in_window);
	else
		enter_kernel(area, frame);
}

/* ---- exit, idle, end ---- */

noinstr void krr_record_release(struct krr_frame *frame, u32 hook)
{
	struct krr_area *area = this_area();

	if (!is_on(area))
		close_area(area);
	else if (area->owner)
		unlock(area);
	else
		broken(area, KRR_END_NOT_OWNER);
}

static __always_inline void record_resume(struct krr_area *area, u32 site)
{
	struct krr_record *record = begin(area, KRR_KIND_RESUME, site,
					  sizeof(struct krr_resume));
	struct krr_resume *resume;

	if (!record)
		return;
	resume = payload_of(record);
	resume->previous = krr_device.shared->lock.previous;
	publish(record);
}

/* At the start, and after a halt that ended without an interrupt. */
noinstr void krr_record_acquire(struct krr_frame *frame, u32 hook)
{
	struct krr_area *area = this_area();

	if (is_on(area) && area->owner)
		return;
	if (!is_on(area) || !lock(area))
		close_area(area);
	else
		record_resume(area, site_of(frame));
}

/* How long a slice must be for a hand-over at this kind of safepoint. */
static __always_inline u64 least_slice(u32 why)
{
	switch (why) {
	case KRR_HANDOFF_WAIT:
		return 0;
	case KRR_HANDOFF_RESCHED:
		return SLICE_RESCHED;
	default:
		return SLICE_LONG;
	}
}

/*
 * At a safepoint, when another CPU waits for the lock: gives it away if it is time
 * to, and waits for it in turn. A CPU that dozes is woken first and gets the lock at a
 * later safepoint, so that no time is lost until it runs; except where this one has
 * nothing to do but wait. Whatever interrupts have come for this CPU meanwhile are
 * taken at its next safepoint.
 */
noinstr void krr_record_handoff(struct krr_frame *frame, u32 why)
{
	struct krr_shared *shared = krr_device.shared;
	struct krr_area *area = this_area();
	struct krr_record *record;

	if (area->now - area->slice < least_slice(why) ||
	    !krr_lock_wanted(&shared->lock))
		return;
	if (why != KRR_HANDOFF_WAIT && !krr_lock_ready(&shared->lock, area))
		return;
	record = begin(area, KRR_KIND_HANDOFF, site_of(frame), 0);
	if (!record)
		return;
	publish(record);
	area->times.handoffs[why]++;
	let_go(area);
	krr_lock_hand_over(&shared->lock, area);
	if (!take(area)) {
		close_area(area);
		return;
	}
	record_resume(area, site_of(frame));
	area->throttle = 0;
}

/* RDI = reason, RSI = status, RDX = text or NULL. IRQs are disabled. */
noinstr void krr_record_end(struct krr_frame *frame, u32 kind)
{
	struct krr_area *area = this_area();
	struct krr_record *record = begin(area, kind, site_of(frame),
					  sizeof(struct krr_end));
	const char *text = (const char *)frame->rdx;
	struct krr_end *end;
	u32 i;

	if (record) {
		end = payload_of(record);
		end->reason = frame->rdi;
		end->status = frame->rsi;
		end->rip = *frame->rsp;
		for (i = 0; i < KRR_END_TEXT - 1 && text && text[i]; i++)
			end->text[i] = text[i];
		for (; i < KRR_END_TEXT; i++)
			end->text[i] = 0;
		publish(record);
		krr_bell(KRR_BELL_END, 0);
	}
	close_area(area);
}
