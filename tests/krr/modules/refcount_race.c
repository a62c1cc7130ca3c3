// SPDX-License-Identifier: GPL-2.0
/* References are counted by a plain number: one gets lost, and the last is no longer the last. */
#include <linux/slab.h>

#include "races.h"

#define REFCOUNT_RACE_FREED 0xdeaddeaddeaddeadUL

struct refcount_race_object {
	unsigned long count;
	unsigned long state;
};

static struct refcount_race_object *refcount_race_shared;

/* The bug: two may read the same count. */
static noinline void refcount_race_get(struct refcount_race_object *object)
{
	unsigned long count = READ_ONCE(object->count);

	races_window();
	WRITE_ONCE(object->count, count + 1);
}

static noinline void refcount_race_fail(struct refcount_race_object *object)
{
	panic("refcount_race: the object at %px was freed while the module holds it", object);
}

static noinline void refcount_race_put(struct refcount_race_object *object)
{
	unsigned long count = READ_ONCE(object->count) - 1;

	WRITE_ONCE(object->count, count);
	if (count)
		return;
	object->state = REFCOUNT_RACE_FREED;
	/* The module's own reference is never given up. */
	refcount_race_fail(object);
}

static long refcount_race_ioctl(struct file *file, unsigned int partner, unsigned long argument)
{
	refcount_race_get(refcount_race_shared);
	races_window();
	refcount_race_put(refcount_race_shared);
	return 0;
}

static int __init refcount_race_set_up(void)
{
	refcount_race_shared = kzalloc(sizeof(*refcount_race_shared), GFP_KERNEL);
	if (!refcount_race_shared)
		return -ENOMEM;
	refcount_race_shared->count = 1;
	return 0;
}

RACES_MODULE(refcount_race, refcount_race_set_up, "plain reference count");
