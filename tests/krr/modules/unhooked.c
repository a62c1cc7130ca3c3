// SPDX-License-Identifier: GPL-2.0
/*
 * A driver with a way of its own to read user memory, past all hooks: what a strict replay is for.
 * Of what is written to /sys/kernel/debug/unhooked, the beginning is copied in a way that is told of;
 * then the byte behind that is read, and kept.
 */
#include <linux/debugfs.h>
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/uaccess.h>
#include <asm/smap.h>

static struct dentry *entry;
static u8 copy[64], seen;

static noinline ssize_t unhooked_write(struct file *file, const char __user *from, size_t length,
				       loff_t *offset)
{
	if (length <= sizeof(copy))
		return -EINVAL;
	/* Of the same page, which the TLB must not keep. */
	if (copy_from_user(copy, from, sizeof(copy)))
		return -EFAULT;
	stac();
	/* Nobody reads it; it is there for memory at the end to be compared. */
	WRITE_ONCE(seen, ((const volatile u8 __force *)from)[sizeof(copy)]);
	clac();
	return length;
}

static const struct file_operations unhooked_operations = {
	.owner = THIS_MODULE,
	.write = unhooked_write,
};

static int __init unhooked_init(void)
{
	entry = debugfs_create_file("unhooked", 0600, NULL, NULL, &unhooked_operations);
	return PTR_ERR_OR_ZERO(entry);
}

static void __exit unhooked_exit(void)
{
	debugfs_remove(entry);
}

module_init(unhooked_init);
module_exit(unhooked_exit);
MODULE_DESCRIPTION("KRR test: reads user memory past all hooks");
MODULE_LICENSE("GPL");
