/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whether this QEMU records or replays. On its own, because nearly all of QEMU
 * includes it by way of exec/memory.h. */
#ifndef ACCEL_KRR_MODE_H
#define ACCEL_KRR_MODE_H

#include <stdbool.h>

/* -krr record= was given; constant after the command line is parsed. */
extern bool krr_record_mode;
/* -krr replay= was given; constant after the command line is parsed. */
extern bool krr_replay_mode;
/* A recording runs right now (record mode only). */
extern bool krr_record_active;

/* KRR_NOISE_* of krr/options.h: what the emulated CPU does for noise; constant after the command
 * line is parsed. */
extern unsigned krr_noise;

/* The main loop calls this before it waits (false) and before it runs handlers (true), without
 * the BQL. NULL when nothing is recorded. */
extern void (*krr_main_loop)(bool runs);

static inline bool krr_replaying(void)
{
    return __builtin_expect(krr_replay_mode, 0);
}

#endif
