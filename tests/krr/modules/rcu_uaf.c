// SPDX-License-Identifier: GPL-2.0
/* What readers may still look at is freed without waiting for them. */
#include <linux/rcupdate.h>
#include <linux/slab.h>

#include "races.h"

#define RCU_UAF_ALIVE 0x600d600d600d600dUL
#define RCU_UAF_FREED 0xdeaddeaddeaddeadUL

struct rcu_uaf_config {
	unsigned long spare[2];
	unsigned long state;
	unsigned long version;
};

static struct rcu_uaf_config __rcu *rcu_uaf_current;
static unsigned long rcu_uaf_version;

static noinline void rcu_uaf_fail(struct rcu_uaf_config *config, unsigned long version)
{
	panic("rcu_uaf: version %lu at %px was freed under its reader", version, config);
}

static noinline long rcu_uaf_read(void)
{
	struct rcu_uaf_config *config;
	unsigned long version;

	rcu_read_lock();
	config = rcu_dereference(rcu_uaf_current);
	version = READ_ONCE(config->version);
	races_window();
	if (READ_ONCE(config->state) != RCU_UAF_ALIVE || READ_ONCE(config->version) != version)
		rcu_uaf_fail(config, version);
	rcu_read_unlock();
	return 0;
}

/* One updater at a time. The bug: no synchronize_rcu() before kfree(). */
static noinline int rcu_uaf_update(void)
{
	struct rcu_uaf_config *config = kzalloc(sizeof(*config), GFP_KERNEL);
	struct rcu_uaf_config *old;

	if (!config)
		return -ENOMEM;
	config->state = RCU_UAF_ALIVE;
	config->version = ++rcu_uaf_version;
	old = rcu_dereference_protected(rcu_uaf_current, 1);
	rcu_assign_pointer(rcu_uaf_current, config);
	if (old) {
		old->state = RCU_UAF_FREED;
		kfree(old);
	}
	return 0;
}

static long rcu_uaf_ioctl(struct file *file, unsigned int partner, unsigned long argument)
{
	return partner ? rcu_uaf_update() : rcu_uaf_read();
}

RACES_MODULE(rcu_uaf, rcu_uaf_update, "no grace period");
