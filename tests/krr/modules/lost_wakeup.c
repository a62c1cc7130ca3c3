// SPDX-License-Identifier: GPL-2.0
/* Whoever looks for work before saying that it sleeps may sleep for ever. */
#include <linux/sched.h>

#include "races.h"

static struct task_struct *lost_wakeup_sleeper;
static int lost_wakeup_ready;

static noinline long lost_wakeup_wait(void)
{
	WRITE_ONCE(lost_wakeup_sleeper, current);
	while (!READ_ONCE(lost_wakeup_ready)) {
		races_window();
		/* The bug: this belongs before the condition is looked at. */
		set_current_state(TASK_INTERRUPTIBLE);
		schedule();
		if (signal_pending(current))
			return -EINTR;
	}
	WRITE_ONCE(lost_wakeup_sleeper, NULL);
	WRITE_ONCE(lost_wakeup_ready, 0);
	return 0;
}

/* Waits until the last wake-up has been heard. */
static noinline long lost_wakeup_wake(void)
{
	struct task_struct *sleeper;

	while (READ_ONCE(lost_wakeup_ready) || !(sleeper = READ_ONCE(lost_wakeup_sleeper))) {
		if (signal_pending(current))
			return -EINTR;
		cond_resched();
		cpu_relax();
	}
	WRITE_ONCE(lost_wakeup_ready, 1);
	wake_up_process(sleeper);
	return 0;
}

static long lost_wakeup_ioctl(struct file *file, unsigned int partner, unsigned long argument)
{
	return partner ? lost_wakeup_wake() : lost_wakeup_wait();
}

static int __init lost_wakeup_set_up(void)
{
	return 0;
}

RACES_MODULE(lost_wakeup, lost_wakeup_set_up, "lost wake-up");
