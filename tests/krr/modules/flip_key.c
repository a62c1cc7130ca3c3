// SPDX-License-Identifier: GPL-2.0
/*
 * A static key that user space flips: writing 0 or 1 to /proc/krr_flip_key sets it, reading tells
 * how many of the branches in the code take which way. When a write has returned, all branches on
 * all CPUs go the new way.
 */
#include <linux/jump_label.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/proc_fs.h>
#include <linux/seq_file.h>
#include <linux/uaccess.h>

static DEFINE_STATIC_KEY_FALSE(flip_key);
static DEFINE_MUTEX(flip_key_lock);

static noinline int flip_key_likely(void)
{
	return static_branch_likely(&flip_key) ? 1 : 0;
}

static noinline int flip_key_unlikely(void)
{
	return static_branch_unlikely(&flip_key) ? 1 : 0;
}

static int flip_key_show(struct seq_file *file, void *unused)
{
	int taken = flip_key_likely() + flip_key_unlikely();

	if (static_branch_unlikely(&flip_key))
		taken++;
	seq_printf(file, "%d\n", taken);
	return 0;
}

static int flip_key_open(struct inode *inode, struct file *file)
{
	return single_open(file, flip_key_show, NULL);
}

static ssize_t flip_key_write(struct file *file, const char __user *from, size_t size, loff_t *at)
{
	bool on;
	int error = kstrtobool_from_user(from, size, &on);

	if (error)
		return error;
	mutex_lock(&flip_key_lock);
	if (on)
		static_branch_enable(&flip_key);
	else
		static_branch_disable(&flip_key);
	mutex_unlock(&flip_key_lock);
	return size;
}

static const struct proc_ops flip_key_operations = {
	.proc_open = flip_key_open,
	.proc_read = seq_read,
	.proc_lseek = seq_lseek,
	.proc_release = single_release,
	.proc_write = flip_key_write,
};

static int __init flip_key_init(void)
{
	return proc_create("krr_flip_key", 0600, NULL, &flip_key_operations) ? 0 : -ENOMEM;
}
module_init(flip_key_init);

static void __exit flip_key_exit(void)
{
	remove_proc_entry("krr_flip_key", NULL);
}
module_exit(flip_key_exit);

MODULE_DESCRIPTION("KRR test: static key");
MODULE_LICENSE("GPL");
