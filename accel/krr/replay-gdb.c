/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * gdb on a replay: what its stub tells and is told besides QEMU's own. All in the main loop, but
 * where noted in replay.h and krr-hooks.h.
 */
#include "qemu/osdep.h"
#include "exec/gdbstub.h"
#include "gdbstub/internals.h"
#include "system/runstate.h"
#include "replay.h"
#include "krr-hooks.h"

/* gdb's Ctrl-C, outside of packets (gdb manual, "Interrupts" of its remote protocol). */
#define INTERRUPT 0x03

bool krr_replay_at_end(void)
{
    return krr_replay && krr_replay_over();
}

void krr_replay_show(CPUState *cpu)
{
    if (gdbserver_state.init) {
        gdb_set_stop_cpu(cpu);
    }
}

/*
 * QEMU's stub ignores an interrupt of a guest that stands. Where breakpoints with conditions stop it
 * again and again, that is most of them: gdb sends it when the guest has stopped already and
 * the stop is on its way.
 */
void krr_replay_gdb_byte(uint8_t byte)
{
    bool *kept = krr_replay ? &krr_replay->interrupt_kept : NULL;

    if (kept && byte == INTERRUPT && gdbserver_state.state == RS_IDLE && !runstate_is_running()) {
        *kept = true;
        return;
    }
    gdb_read_byte(byte);
    if (kept && *kept && runstate_is_running()) {
        bool awaits_stop = gdbserver_state.allow_stop_reply;

        *kept = false;
        if (awaits_stop) {      /* else gdb has just gone */
            gdb_read_byte(INTERRUPT);
        }
    }
}
