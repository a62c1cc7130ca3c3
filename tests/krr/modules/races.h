/* SPDX-License-Identifier: GPL-2.0 */
/*
 * For the modules that each have one classic bug which needs two CPUs. A module is a device
 * /dev/krr_NAME; the test program calls its ioctl from two processes, as partner 0 and 1.
 */
#ifndef KRR_TEST_RACES_H
#define KRR_TEST_RACES_H

#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/processor.h>

#define RACES_WINDOW 20

/* Where another CPU should come between. */
static inline void races_window(void)
{
	int i;

	for (i = 0; i < RACES_WINDOW; i++)
		cpu_relax();
}

/* Defines the device and the module around long NAME_ioctl(file, partner, argument). */
#define RACES_MODULE(bug, init, text)						\
static const struct file_operations bug##_operations = {			\
	.owner = THIS_MODULE,							\
	.unlocked_ioctl = bug##_ioctl,						\
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
