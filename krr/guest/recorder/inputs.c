// SPDX-License-Identifier: GPL-2.0
/* Inputs that take more than a call of a thunk. */
#include <linux/build_bug.h>
#include <linux/uaccess.h>
#include <asm/checksum.h>
#include <asm/cpufeature.h>
#include <asm/fpu/api.h>
#include <asm/fpu/types.h>
#include <asm/krr.h>

#include "recorder.h"

/*
 * The kernel saves the user's registers to memory and looks at the control words
 * and at the header, which says what has been saved. The registers proper are
 * the user's data: they stay what they are in a replay.
 */
void __krr_fpu_saved(struct fpstate *fpstate)
{
	krr_fpu_bytes(&fpstate->regs, KRR_FPU_CONTROL_BYTES);
	if (cpu_feature_enabled(X86_FEATURE_XSAVE))
		krr_fpu_bytes((u8 *)&fpstate->regs + KRR_XSAVE_HEADER_OFFSET,
			      KRR_XSAVE_HEADER_BYTES);
}

/* Copies, then sums up what it has copied. Returns 0 after a fault, never otherwise. */
__wsum krr_csum_and_copy(const void __user *from, void *to, int length)
{
	if (!access_ok(from, length) || raw_copy_from_user(to, from, length))
		return 0;
	return csum_partial(to, length, ~0U);
}

/* The same in the other direction. What is summed up may be pages of user space's. */
__wsum krr_csum_and_copy_to(const void *from, void __user *to, int length)
{
	if (!access_ok(to, length) || raw_copy_to_user(to, from, length))
		return 0;
	return krr_shared_value(csum_partial(from, length, ~0U));
}
