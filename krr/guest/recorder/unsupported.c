// SPDX-License-Identifier: GPL-2.0
/*
 * Ways to share memory with the kernel, or to read all of it, that are not recorded
 * and can do without: no recording starts while one of them is in use, and none may
 * begin while a recording runs. Hence they are counted from boot on.
 */
#include <linux/bitops.h>
#include <linux/errno.h>
#include <linux/export.h>
#include <linux/percpu.h>
#include <linux/printk.h>
#include <linux/spinlock.h>
#include <asm/krr.h>

#include "recorder.h"

#undef pr_fmt
#define pr_fmt(fmt) "krr: " fmt

static const struct {
	const char *thing, *used;
} names[KRR_UNSUPPORTED] = {
	[KRR_PERF_MMAP] = { "a performance counter", "mapped" },
	[KRR_DEV_MEM] = { "/dev/mem or /dev/port", "open" },
	[KRR_PROC_KCORE] = { "/proc/kcore", "open" },
};

/* Guards the rest. */
static DEFINE_SPINLOCK(krr_users_lock);
static unsigned long krr_users[KRR_UNSUPPORTED];
/* A recording is about to start: nothing may begin, although no CPU is recorded yet. */
static bool krr_users_shut;

static void warn_once(enum krr_unsupported what)
{
	static unsigned long warned;

	if (!test_and_set_bit(what, &warned))
		pr_warn("%s cannot be %s while the kernel is recorded\n",
			names[what].thing, names[what].used);
}

int krr_unsupported_begin(enum krr_unsupported what)
{
	bool refused;

	if (!krr_present())
		return 0;
	spin_lock(&krr_users_lock);
	refused = krr_users_shut || raw_cpu_read(krr_on);
	if (!refused)
		krr_users[what]++;
	spin_unlock(&krr_users_lock);
	if (!refused)
		return 0;
	warn_once(what);
	return -EOPNOTSUPP;
}
EXPORT_SYMBOL(krr_unsupported_begin);

void krr_unsupported_end(enum krr_unsupported what)
{
	if (!krr_present())
		return;
	spin_lock(&krr_users_lock);
	krr_users[what]--;
	spin_unlock(&krr_users_lock);
}
EXPORT_SYMBOL(krr_unsupported_end);

/**
 * krr_unsupported_shut - keeps what cannot be recorded from beginning
 * Until krr_unsupported_open(). False, and said why, if some of it is in use.
 */
bool krr_unsupported_shut(void)
{
	enum krr_unsupported what = 0;

	spin_lock(&krr_users_lock);
	while (what < KRR_UNSUPPORTED && !krr_users[what])
		what++;
	krr_users_shut = what == KRR_UNSUPPORTED;
	spin_unlock(&krr_users_lock);
	if (what < KRR_UNSUPPORTED)
		pr_err("not recording: %s is %s\n", names[what].thing, names[what].used);
	return what == KRR_UNSUPPORTED;
}

/**
 * krr_unsupported_open - once CPUs are recorded, or will not be
 */
void krr_unsupported_open(void)
{
	spin_lock(&krr_users_lock);
	krr_users_shut = false;
	spin_unlock(&krr_users_lock);
}
