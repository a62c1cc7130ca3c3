// SPDX-License-Identifier: GPL-2.0
/* Follows a null pointer when it is loaded, some calls deep so that the backtrace has names. */
#include <linux/init.h>
#include <linux/module.h>

struct null_pointer_list {
	struct null_pointer_list *next;
	int value;
};

static noinline int null_pointer_value(const struct null_pointer_list *list)
{
	return READ_ONCE(list->next->value);
}

static noinline int null_pointer_walk(int depth)
{
	struct null_pointer_list list = { .next = NULL, .value = depth };

	if (depth)
		return null_pointer_walk(depth - 1) + depth;
	return null_pointer_value(&list);
}

static int __init null_pointer_init(void)
{
	pr_info("null_pointer: about to follow a null pointer\n");
	return null_pointer_walk(3);
}
module_init(null_pointer_init);

MODULE_DESCRIPTION("KRR test: null pointer");
MODULE_LICENSE("GPL");
