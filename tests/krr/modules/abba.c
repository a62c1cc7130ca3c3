// SPDX-License-Identifier: GPL-2.0
/* Two locks, taken in one order here and in the other there: a deadlock. */
#include <linux/mutex.h>

#include "races.h"

static DEFINE_MUTEX(abba_a);
static DEFINE_MUTEX(abba_b);
static unsigned long abba_sum;

static noinline long abba_forward(void)
{
	mutex_lock(&abba_a);
	races_window();
	mutex_lock(&abba_b);
	abba_sum++;
	mutex_unlock(&abba_b);
	mutex_unlock(&abba_a);
	return 0;
}

static noinline long abba_backward(void)
{
	mutex_lock(&abba_b);
	races_window();
	mutex_lock(&abba_a);
	abba_sum--;
	mutex_unlock(&abba_a);
	mutex_unlock(&abba_b);
	return 0;
}

static long abba_ioctl(struct file *file, unsigned int partner, unsigned long argument)
{
	return partner ? abba_backward() : abba_forward();
}

static int __init abba_set_up(void)
{
	return 0;
}

RACES_MODULE(abba, abba_set_up, "locks in two orders");
