/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What QEMU calls of KRR. The hook patches in krr/patches/qemu/ add these calls
 * and nothing else. Target-neutral: it may be included from any of QEMU's files.
 */
#ifndef ACCEL_KRR_HOOKS_H
#define ACCEL_KRR_HOOKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct CPUState;
struct CPUArchState;
struct AccelOpsClass;
struct MemoryRegion;
struct QDict;
struct QemuOpts;

/* -krr record= was given; constant after the command line is parsed. */
extern bool krr_record_mode;
/* -krr replay= was given; constant after the command line is parsed. */
extern bool krr_replay_mode;
/* A recording runs right now (record mode only). */
extern bool krr_record_active;

static inline bool krr_replaying(void)
{
    return __builtin_expect(krr_replay_mode, 0);
}

/* ---- start of QEMU (system/vl.c) ---- */

/* Parses the argument of -krr; exits with a message when it is wrong. */
void krr_option(const char *arg);
/* Before options are validated: refuses conflicting ones, sets up the machine of a replay. */
void krr_configure(struct QDict *machine_opts, int *has_defaults, const char *cpu_option);
/* After machine creation and reset: record device state, or load the snapshot. */
void krr_machine_ready(void);

/* ---- recording ---- */

/*
 * A vCPU accessed a device. Writes a record if a recording runs and the
 * vCPU owns the kernel-entry lock; else does nothing. Called by the vCPU's thread
 * after a read and before a write is carried out. @kind is KRR_KIND_PORT_READ and so on.
 * Accesses to KRR's own doorbell port are not recorded.
 */
void krr_record_io(struct CPUState *cpu, unsigned kind, uint64_t address,
                   unsigned size, uint64_t value);

/* ---- replay: vCPU scheduler (accel/tcg) ---- */

void krr_replay_ops_init(struct AccelOpsClass *ops);
/* Before each translation block lookup: has this vCPU left the kernel? Then it must not run on. */
bool krr_replay_left_kernel(struct CPUState *cpu, uint32_t hflags);

/* ---- replay: CPU (target/i386) ---- */

/*
 * A privileged instruction wants a value from outside. @kind is a
 * KRR_KIND_*. Returns true and sets @value when the next record announces it;
 * does not return when the trace says otherwise; false when not replaying.
 */
bool krr_replay_insn_input(struct CPUArchState *env, unsigned kind, uint64_t *value, uintptr_t ra);

#endif
