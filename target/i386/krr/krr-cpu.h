/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What target/i386/cpu.c calls of KRR. */
#ifndef TARGET_I386_KRR_CPU_H
#define TARGET_I386_KRR_CPU_H

#include "cpu.h"
#include "accel/krr/krr-hooks.h"

/*
 * Feature bits of word @w that a guest may have: all of them, but for a
 * recorded guest only what TCG (@tcg_features) can execute in the replay.
 */
uint64_t krr_feature_mask(FeatureWord w, uint64_t tcg_features);

/* Before features are expanded: a recorded guest's CPU loses what the hypervisor would do behind
 * QEMU's back. A replayed one has the trace's from krr_cpu_configure(). */
void krr_cpu_pre_realize(X86CPU *cpu);

#endif
