/* SPDX-License-Identifier: GPL-2.0 */
/*
 * For the modules that each have one classic bug which needs two CPUs. A module is a device
 * /dev/krr_NAME; the test program calls its ioctl from two processes, as partner 0 and 1.
 *
 * The bug must strike soon, however little the two CPUs really run at the same time: an analysis
 * looks at every access from the start.
 */
#ifndef KRR_TEST_RACES_H
#define KRR_TEST_RACES_H

#include <linux/atomic.h>
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/processor.h>

#define RACES_WINDOW 20
/* Each such window is wide; prime, so that all windows of a call have their turn. */
#define RACES_WIDE_EVERY 13
/* In turns of cpu_relax(): the other need not come at all. */
#define RACES_WIDE_LIMIT 100000

/* Calls of either partner that have begun. */
static atomic_t races_calls;

/*
 * Where another CPU should come between. A wide window lasts until the other has begun a call.
 * Racing increments of the number of windows do no harm.
 */
static inline void races_window(void)
{
	static unsigned int windows;
	int calls = atomic_read(&races_calls);
	int i;

	for (i = 0; i < RACES_WINDOW; i++)
		cpu_relax();
	if (++windows % RACES_WIDE_EVERY)
		return;
	for (i = 0; i < RACES_WIDE_LIMIT && atomic_read(&races_calls) == calls; i++)
		cpu_relax();
}

/* Defines the device and the module around long NAME_ioctl(file, partner, argument). */
#define RACES_MODULE(bug, init, text)						\
static long bug##_call(struct file *file, unsigned int partner, unsigned long argument) \
{										\
	atomic_inc(&races_calls);						\
	return bug##_ioctl(file, partner, argument);				\
}										\
static const struct file_operations bug##_operations = {			\
	.owner = THIS_MODULE,							\
	.unlocked_ioctl = bug##_call,						\
};										\
static struct miscdevice bug##_device = {					\
	.minor = MISC_DYNAMIC_MINOR,						\
	.name = "krr_" #bug,							\
	.fops = &bug##_operations,						\
};										\
static int __init bug##_init(void)						\
{										\
	int error = init();							\
										\
	return error ?: misc_register(&bug##_device);				\
}										\
module_init(bug##_init);							\
MODULE_DESCRIPTION("KRR test: " text);						\
MODULE_LICENSE("GPL")

#endif
