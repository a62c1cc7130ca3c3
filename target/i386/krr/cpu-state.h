/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A vCPU in a trace: its features and its registers at the snapshot. */
#ifndef TARGET_I386_KRR_CPU_STATE_H
#define TARGET_I386_KRR_CPU_STATE_H

#include "qapi/error.h"
#include "hw/core/cpu.h"
#include "krr/machine.h"

/*
 * Registers of a stopped vCPU, read from the accelerator. Fails when the vCPU
 * is in a state that a trace cannot describe (an event is being delivered,
 * not in 64-bit kernel mode, extended state that TCG does not have).
 */
bool krr_cpu_state_save(CPUState *cs, KrrCpuState *state, Error **errp);

/*
 * Loads a vCPU under TCG, which must be outside its execution loop. Fails on a
 * state that cannot be (the trace is damaged or hostile).
 */
bool krr_cpu_state_load(CPUState *cs, const KrrCpuState *state, Error **errp);

/* Fills in what @machine says about the CPU model; all vCPUs are alike. */
void krr_cpu_describe(CPUState *cs, KrrMachine *machine);

/* Gives a "base" CPU the model that @machine describes; before realize. */
void krr_cpu_configure(struct ArchCPU *cpu, const KrrMachine *machine);

/* The time stamp counter of a stopped vCPU, now. */
uint64_t krr_cpu_tsc(CPUState *cs);

/* Where a vCPU is, as last known to QEMU: for messages. */
uint64_t krr_cpu_rip(CPUState *cs);

#endif
