// SPDX-License-Identifier: GPL-2.0
/* A list that is walked without the lock under which it is changed: use after free. */
#include <linux/list.h>
#include <linux/slab.h>
#include <linux/spinlock.h>

#include "races.h"

#define LIST_RACE_ITEMS 4
#define LIST_RACE_ALIVE 0x600d600d600d600dUL
#define LIST_RACE_FREED 0xdeaddeaddeaddeadUL

struct list_race_item {
	struct list_head list;
	unsigned long state;
	unsigned long number;
};

static LIST_HEAD(list_race_items);
static DEFINE_SPINLOCK(list_race_lock);
static unsigned long list_race_count;

static int list_race_add(void)
{
	struct list_race_item *item = kmalloc(sizeof(*item), GFP_KERNEL);

	if (!item)
		return -ENOMEM;
	item->state = LIST_RACE_ALIVE;
	spin_lock(&list_race_lock);
	item->number = list_race_count++;
	list_add_tail(&item->list, &list_race_items);
	spin_unlock(&list_race_lock);
	return 0;
}

static noinline void list_race_remove(void)
{
	struct list_race_item *item;

	spin_lock(&list_race_lock);
	item = list_first_entry(&list_race_items, struct list_race_item, list);
	list_del(&item->list);
	spin_unlock(&list_race_lock);
	item->state = LIST_RACE_FREED;
	kfree(item);
}

static noinline void list_race_fail(struct list_race_item *item, unsigned long number)
{
	panic("list_race: item %lu at %px has gone under the walker", number, item);
}

/* The bug: it does not take the lock. */
static noinline long list_race_walk(void)
{
	struct list_race_item *item;
	long sum = 0;

	list_for_each_entry(item, &list_race_items, list) {
		unsigned long number = READ_ONCE(item->number);

		races_window();
		if (READ_ONCE(item->state) != LIST_RACE_ALIVE ||
		    READ_ONCE(item->number) != number)
			list_race_fail(item, number);
		sum += number;
	}
	return sum & 1;
}

static long list_race_ioctl(struct file *file, unsigned int partner, unsigned long argument)
{
	int error;

	if (!partner)
		return list_race_walk();
	error = list_race_add();
	if (!error)
		list_race_remove();
	return error;
}

static int __init list_race_set_up(void)
{
	int i, error = 0;

	for (i = 0; i < LIST_RACE_ITEMS && !error; i++)
		error = list_race_add();
	return error;
}

RACES_MODULE(list_race, list_race_set_up, "list without a lock");
