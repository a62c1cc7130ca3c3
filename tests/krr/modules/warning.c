// SPDX-License-Identifier: GPL-2.0
/* Warns: the kernel shows all registers, with the flags that the test before has left undefined. */
#include <linux/bug.h>
#include <linux/init.h>
#include <linux/module.h>

static volatile unsigned int value = 0x5a5a;

static int __init warning_init(void)
{
	WARN_ON(value & 0xff);
	WARN_ON(value & 0x1f00);
	WARN_ON(value ^ 0x1234);
	WARN_ON(value & 0x7030);
	return -ENODEV;		/* nothing to stay for */
}
module_init(warning_init);

MODULE_DESCRIPTION("KRR test: warnings");
MODULE_LICENSE("GPL");
