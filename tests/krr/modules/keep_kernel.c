// SPDX-License-Identifier: GPL-2.0
/* Never leaves the kernel, and comes to no safepoint: nobody else gets in any more. */
#include <linux/compiler.h>
#include <linux/init.h>
#include <linux/module.h>

static int __init keep_kernel_init(void)
{
	pr_emerg("keep_kernel: here I stay\n");
	for (;;)
		barrier();
	return 0;
}
module_init(keep_kernel_init);

MODULE_DESCRIPTION("KRR test: an owner of the kernel that never lets go");
MODULE_LICENSE("GPL");
