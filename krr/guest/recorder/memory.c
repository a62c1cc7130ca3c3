// SPDX-License-Identifier: GPL-2.0
/*
 * What a replay's memory may rightly have different from the recorded one's at
 * the end: free pages, user pages, dead stack, FPU registers. For the check that
 * compares all memory (final-ram=on); no other recording pays for it.
 *
 * The description is made by the recorded kernel itself, right before END, so
 * a replay makes it too. It goes by the struct page of each page and takes no
 * locks: it may have to work in a panic.
 */
#include <linux/align.h>
#include <linux/magic.h>
#include <linux/mm.h>
#include <linux/mmzone.h>
#include <linux/pfn.h>
#include <linux/rcupdate.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/sched/task_stack.h>
#include <linux/vmalloc.h>
#include <linux/workqueue.h>
#include <asm/cpu_entry_area.h>
#include <asm/fpu/types.h>
#include <asm/processor.h>

#include "../../../mm/slab.h"
#include "compat.h"
#include "recorder.h"

/* Beyond one for each page: stacks, FPU areas. More than the replayer's limit
 * of all entries is of no use. */
#define EXTRA_ENTRIES	65536UL
#define MAX_ENTRIES	(1UL << 20)

static struct krr_memory *entries;
static unsigned long count, room;

/**
 * krr_memory_prepare - gets memory for the description
 * Before the recording starts. Returns 0 or a negative error.
 */
int krr_memory_prepare(void)
{
	if (entries)
		return 0;
	room = min(totalram_pages() + EXTRA_ENTRIES, MAX_ENTRIES);
	entries = vzalloc(room * sizeof(*entries));
	return entries ? 0 : -ENOMEM;
}

static void nothing(struct work_struct *work)
{
}

/**
 * krr_memory_settle - waits until the stacks of tasks that have ended are free
 * Till then they belong to nobody by whom they could be found. May sleep.
 */
void krr_memory_settle(void)
{
	if (!entries)
		return;
	rcu_barrier();
	/* What RCU lets go of within an interrupt is freed by a work item, which is before ours. */
	if (IS_ENABLED(CONFIG_VMAP_STACK))
		schedule_on_each_cpu(nothing);
}

static void add(u32 class, u64 address, u64 length, const char *name)
{
	struct krr_memory *last = count ? &entries[count - 1] : NULL;

	if (last && last->class == class && last->name == (u64)name &&
	    last->address + last->length == address) {
		last->length += length;
		return;
	}
	if (count == room)
		return;
	entries[count++] = (struct krr_memory) {
		.address = address,
		.length = length,
		.class = class,
		.name = (u64)name,
	};
}

/* The same for kernel addresses, page by page. */
static void add_virtual(u32 class, unsigned long from, unsigned long to)
{
	while (from < to) {
		unsigned long end = min(to, ALIGN_DOWN(from, PAGE_SIZE) + PAGE_SIZE);

		add(class, slow_virt_to_phys((void *)from), end - from, NULL);
		from = end;
	}
}

/* ---- pages ---- */

/* The mark is on pages of the kernel's own that were mapped for user space (rings). */
static bool is_user_page(struct page *page)
{
	struct page *head = compound_head(page);

	return !PageReserved(head) && page_count(head) && !PageTable(head) &&
	       (PageLRU(head) || head->mapping || test_bit(PG_owner_priv_1, &head->flags));
}

/* The image at @regs, of @size bytes: all but what is recorded, and so the same in a replay. */
static void add_fpu_area(unsigned long regs, unsigned long size)
{
	unsigned long end = regs + size, header = regs + KRR_XSAVE_HEADER_OFFSET;

	add_virtual(KRR_MEMORY_FPU, regs + KRR_FPU_CONTROL_BYTES, min(header, end));
	add_virtual(KRR_MEMORY_FPU, header + KRR_XSAVE_HEADER_BYTES, end);
}

/* Some task whose task_struct is from a slab, as all are but the first one's. */
static const struct task_struct *slab_task(void)
{
	return next_task(&init_task);
}

/*
 * The FPU registers in each task_struct of a slab. Those of tasks that are gone
 * count too: what is freed keeps what it held.
 */
static void add_fpu_areas(const struct slab *slab)
{
	const struct task_struct *task = slab_task();
	const struct fpstate *fpstate = &task->thread.fpu.__fpstate;
	unsigned long first = (unsigned long)slab_address(slab) +
			      ((const char *)&fpstate->regs - (const char *)task);
	unsigned int i;

	for (i = 0; i < slab->objects; i++)
		add_fpu_area(first + i * slab->slab_cache->size, fpstate->size);
}

static void add_slab_page(unsigned long pfn, struct page *page)
{
	const struct slab *slab = page_slab(compound_head(page));
	const struct kmem_cache *cache = slab->slab_cache;

	add(KRR_MEMORY_SLAB, PFN_PHYS(pfn), PAGE_SIZE, cache->name);
	if (page == compound_head(page) && cache == virt_to_slab(slab_task())->slab_cache)
		add_fpu_areas(slab);
}

#ifndef CONFIG_VMAP_STACK
/* In kernel/fork.c: frees the stack of a task that has ended. */
extern const rcu_callback_t krr_stack_free;

/* Does the stack of a task that has ended begin here, which RCU has not let go of? It begins with
 * its place in RCU's list, one that is in use with a magic number. */
static bool is_kept_stack(struct page *page)
{
	const struct rcu_head *head = page_address(page);

	return IS_ALIGNED(page_to_pfn(page), THREAD_SIZE >> PAGE_SHIFT) &&
	       !PageReserved(page) && page_count(page) &&
	       head->func == krr_stack_free && (unsigned long)head->next != STACK_END_MAGIC;
}
#else
static bool is_kept_stack(struct page *page)
{
	return false;
}
#endif

/* Adds one page, or the block of free pages or the stack that begins here; returns pages. */
static unsigned long add_page(unsigned long pfn)
{
	struct page *page = pfn_to_online_page(pfn);

	if (!page)
		return 1;
	if (PageBuddy(page)) {
		unsigned long pages = 1UL << page_private(page);

		add(KRR_MEMORY_FREE, PFN_PHYS(pfn), pages << PAGE_SHIFT, NULL);
		return pages;
	}
	if (PageSlab(compound_head(page))) {
		add_slab_page(pfn, page);
	} else if (is_user_page(page)) {
		add(KRR_MEMORY_USER, PFN_PHYS(pfn), PAGE_SIZE, NULL);
	} else if (is_kept_stack(page)) {
		add(KRR_MEMORY_DEAD_STACK, PFN_PHYS(pfn), THREAD_SIZE, NULL);
		return THREAD_SIZE >> PAGE_SHIFT;
	}
	return 1;
}

/* Free pages that a CPU keeps at hand. No list is longer than memory. */
static void add_pages_at_hand(struct zone *zone, int cpu)
{
	struct per_cpu_pages *pcp = per_cpu_ptr(zone->per_cpu_pageset, cpu);
	unsigned long left = totalram_pages();
	struct page *page;
	int i;

	for (i = 0; i < NR_PCP_LISTS; i++) {
		/* Transparent huge pages, which have a list of another order, are off. */
		unsigned int order = i / MIGRATE_PCPTYPES;

		list_for_each_entry(page, &pcp->lists[i], pcp_list) {
			if (!left--)
				return;
			add(KRR_MEMORY_FREE, PFN_PHYS(page_to_pfn(page)), PAGE_SIZE << order, NULL);
		}
	}
}

static void add_all_pages(void)
{
	unsigned long pfn = 0;
	struct zone *zone;
	int cpu;

	while (pfn < max_pfn)
		pfn += add_page(pfn);
	for_each_populated_zone(zone)
		for_each_online_cpu(cpu)
			add_pages_at_hand(zone, cpu);
}

/* ---- stacks ---- */

static void add_stack(unsigned long from, unsigned long to, unsigned long sp)
{
	if (sp < from || sp > to)
		return;
	add_virtual(KRR_MEMORY_DEAD_STACK, from, ALIGN_DOWN(sp, sizeof(long)));
	add_virtual(KRR_MEMORY_STACK, ALIGN_DOWN(sp, sizeof(long)), to);
}

/*
 * @sp is the current stack pointer, on this CPU. On the interrupt stack, the top
 * word points into the task's. What the others have on theirs is between two records,
 * or none at all.
 */
static void add_interrupt_stack(int cpu, unsigned long *sp)
{
	unsigned long top = (unsigned long)krr_interrupt_stack(cpu) + sizeof(long);
	unsigned long bottom = top - IRQ_STACK_SIZE;

	if (cpu == raw_smp_processor_id() && *sp >= bottom && *sp < top) {
		add_stack(bottom, top, *sp);
		*sp = *(unsigned long *)(top - sizeof(long));
	} else {
		add_virtual(KRR_MEMORY_DEAD_STACK, bottom, top);
	}
}

/* Stacks of the entry code: nothing on them outlives it, but in a #DB or so. */
static void add_entry_stacks(int cpu, unsigned long sp)
{
	struct cpu_entry_area *area = get_cpu_entry_area(cpu);
	unsigned long entry = (unsigned long)&area->entry_stack_page;
	unsigned long ist = (unsigned long)&area->estacks;
	unsigned long scratch = (unsigned long)&per_cpu(cpu_tss_rw, cpu).x86_tss.sp2;
	unsigned long page;

	add_virtual(KRR_MEMORY_DEAD_STACK, entry, entry + sizeof(area->entry_stack_page));
	/* Comparisons go by words, and this one is not aligned. */
	add_virtual(KRR_MEMORY_DEAD_STACK, ALIGN_DOWN(scratch, sizeof(long)),
		    ALIGN(scratch + sizeof(long), sizeof(long)));
	if (sp >= ist && sp < ist + sizeof(area->estacks))
		return;
	for (page = ist; page < ist + sizeof(area->estacks); page += PAGE_SIZE) {
		unsigned int level;
		pte_t *pte = lookup_address(page, &level);

		/* Some are guard pages. */
		if (pte && pte_present(*pte))
			add_virtual(KRR_MEMORY_DEAD_STACK, page, page + PAGE_SIZE);
	}
}

static void add_task(struct task_struct *task, unsigned long sp)
{
	struct fpu *fpu = &task->thread.fpu;
	unsigned long stack = (unsigned long)task_stack_page(task);

	if (stack && task != current && task->on_cpu)
		/* It comes in or goes out at this moment, or waits at a safepoint. */
		add_virtual(KRR_MEMORY_DEAD_STACK, stack, stack + THREAD_SIZE);
	else if (stack)
		add_stack(stack, stack + THREAD_SIZE,
			  task == current ? sp : task->thread.sp);
	/* The usual place of FPU registers is found with the slabs. */
	if (fpu->fpstate && (fpu->fpstate != &fpu->__fpstate || task == &init_task))
		add_fpu_area((unsigned long)&fpu->fpstate->regs, fpu->fpstate->size);
}

#ifdef CONFIG_VMAP_STACK
/* In kernel/fork.c: stacks of tasks that have ended, kept for others. */
DECLARE_PER_CPU(struct vm_struct *, cached_stacks[]);
extern const unsigned int krr_cached_stacks;

static void add_kept_stacks(int cpu)
{
	unsigned int i;

	for (i = 0; i < krr_cached_stacks; i++) {
		const struct vm_struct *kept = per_cpu_ptr(cached_stacks, cpu)[i];

		if (kept)
			add_virtual(KRR_MEMORY_DEAD_STACK, (unsigned long)kept->addr,
				    (unsigned long)kept->addr + THREAD_SIZE);
	}
}
#else
static void add_kept_stacks(int cpu)
{
}
#endif

static void add_tasks(unsigned long sp)
{
	struct task_struct *process, *task;
	int cpu;

	for_each_online_cpu(cpu)
		add_task(idle_task(cpu), sp);
	for_each_process_thread(process, task)
		add_task(task, sp);
}

/**
 * krr_memory_describe - describes memory as it is now
 * @sp: the caller's stack pointer: what lies below is dead
 * @number: set to the number of entries
 *
 * Returns the entries, which stay where they are; NULL if the description was
 * not prepared.
 */
const struct krr_memory *krr_memory_describe(unsigned long sp, unsigned long *number)
{
	int cpu;

	count = 0;
	if (entries) {
		for_each_online_cpu(cpu) {
			add_entry_stacks(cpu, cpu == raw_smp_processor_id() ? sp : 0);
			add_interrupt_stack(cpu, &sp);
			add_kept_stacks(cpu);
		}
		add_tasks(sp);
		add_all_pages();
		if (count == room)
			pr_warn("krr: the description of memory is not complete: more than %lu parts\n",
				room);
	}
	*number = count;
	return entries;
}
