// SPDX-License-Identifier: GPL-2.0
/* A length in user memory is checked, then read again and used. */
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "races.h"

#define DOUBLE_FETCH_DATA 16
#define DOUBLE_FETCH_CANARY 0x00ca9a7200ca9a72UL

struct double_fetch_user {
	u32 length;
	u8 data[60];
};

struct double_fetch_request {
	u32 length;
	u8 data[DOUBLE_FETCH_DATA];
	unsigned long canary;
	u8 slack[64];
};

static noinline void double_fetch_fail(struct double_fetch_request *request)
{
	panic("double_fetch: %u bytes were copied into %d at %px", request->length,
	      DOUBLE_FETCH_DATA, request->data);
}

static noinline int double_fetch_copy(struct double_fetch_request *request,
				      struct double_fetch_user __user *from)
{
	if (get_user(request->length, &from->length))
		return -EFAULT;
	if (request->length > DOUBLE_FETCH_DATA)
		return -EINVAL;
	races_window();
	/* The bug: the length that was checked is in the request. */
	if (get_user(request->length, &from->length))
		return -EFAULT;
	if (copy_from_user(request->data, from->data, min_t(u32, request->length, 32)))
		return -EFAULT;
	return 0;
}

static long double_fetch_ioctl(struct file *file, unsigned int partner, unsigned long argument)
{
	struct double_fetch_request *request;
	int error;

	request = kzalloc(sizeof(*request), GFP_KERNEL);
	if (!request)
		return -ENOMEM;
	request->canary = DOUBLE_FETCH_CANARY;
	error = double_fetch_copy(request, (struct double_fetch_user __user *)argument);
	if (request->canary != DOUBLE_FETCH_CANARY)
		double_fetch_fail(request);
	kfree(request);
	return error;
}

static int __init double_fetch_set_up(void)
{
	return 0;
}

RACES_MODULE(double_fetch, double_fetch_set_up, "user memory read twice");
