// SPDX-License-Identifier: GPL-2.0
/* Follows a null pointer when it is loaded, some calls deep so that the backtrace has names. */
#include <linux/init.h>
#include <linux/module.h>

struct krr_oops_list {
	struct krr_oops_list *next;
	int value;
};

static noinline int krr_oops_value(const struct krr_oops_list *list)
{
	return READ_ONCE(list->next->value);
}

static noinline int krr_oops_walk(int depth)
{
	struct krr_oops_list list = { .next = NULL, .value = depth };

	if (depth)
		return krr_oops_walk(depth - 1) + depth;
	return krr_oops_value(&list);
}

static int __init krr_oops_init(void)
{
	pr_info("krr_oops: about to follow a null pointer\n");
	return krr_oops_walk(3);
}
module_init(krr_oops_init);

MODULE_DESCRIPTION("KRR test: null pointer");
MODULE_LICENSE("GPL");
