/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A replay session: the trace, who runs, and how it ends. Target-neutral; the
 * x86 side is in target/i386/krr/.
 *
 * Everything here runs in the one vCPU thread of a replay, except where noted.
 */
#ifndef ACCEL_KRR_REPLAY_H
#define ACCEL_KRR_REPLAY_H

#include "hw/core/cpu.h"
#include "krr/options.h"
#include "krr/reader.h"
#include "krr/kinds.h"

/*
 * Where a vCPU is. It runs while it owns the kernel-entry lock, and on the short ways before
 * and behind that, which touch nothing but its own stack and per-CPU data. In the
 * other places it waits until a record of its own is the next one.
 *
 *   START, HALTED --RESUME--> ACQUIRING --hook--> KERNEL
 *   USER, HALTED --ENTRY, WAKE--> ENTERING --hook--> KERNEL
 *   KERNEL --HANDOFF--> HANDED_OFF --RESUME--> KERNEL
 *   KERNEL --hook--> LEAVING --> USER, HALTED, or by a fault ENTRY_HOOK --ENTRY--> KERNEL
 */
typedef enum KrrPlace {
    KRR_PLACE_START,        /* waits behind the doorbell that began the recording */
    KRR_PLACE_KERNEL,       /* owns the lock, runs */
    KRR_PLACE_LEAVING,      /* released; runs to user mode, halt or an entry hook */
    KRR_PLACE_USER,         /* waits in user mode, which is not replayed */
    KRR_PLACE_HALTED,       /* waits behind HLT */
    KRR_PLACE_HANDED_OFF,   /* waits behind the safepoint where it gave the lock away */
    KRR_PLACE_ENTRY_HOOK,   /* waits in an entry hook, after a fault on the way out */
    KRR_PLACE_ENTERING,     /* ENTRY or WAKE injected; runs to the entry hook */
    KRR_PLACE_ACQUIRING,    /* RESUME is next; runs to the hook that takes the lock */
} KrrPlace;

typedef struct KrrReplayVcpu {
    KrrPlace place;
    bool stepped;                       /* gdb's step is done, its stop comes with the next entry */
    uint64_t ordinal;                   /* safepoints passed */
    uint64_t user_read;                 /* strict=on: RIP of the first read from user memory that
                                         * no hook has told of yet; else 0 */
    uint64_t read_pages, read_end;      /* which may be read by the TLB until that hook */
    uint64_t instructions;              /* executed until it last left cpu_exec() */
    int64_t left;                       /* of its budget, when the execution loop last came round */
    uint32_t rounds;                    /* of the loop since that was another number */
    uint64_t entry[KRR_ENTRY_WORDS];    /* words of the last ENTRY */
} KrrReplayVcpu;

typedef enum KrrReplayState {
    KRR_REPLAY_RUNNING,
    KRR_REPLAY_END,         /* the trace's end was reached, all was equal */
    KRR_REPLAY_DIVERGED,
    KRR_REPLAY_FAILED,      /* the trace cannot be read on */
} KrrReplayState;

typedef struct KrrReplay {
    const KrrOptions *options;
    KrrReader *reader;
    const KrrMachine *machine;
    KrrReplayState state;
    uint32_t current;                   /* vCPU that runs */
    uint64_t previous;                  /* KRR_PREVIOUS of the last release */
    KrrReplayVcpu vcpu[KRR_MAX_VCPUS];
    KrrStats stats;
    KrrConsole console;
    char *end;                          /* how it ended, for the summary */
    uint64_t done;                      /* records consumed; read by the progress timer */
    int64_t start_us;                   /* wall clock when the first vCPU ran */
    int64_t end_us;
    uint64_t progress_done;             /* done when the scheduler last saw a new record */
    uint64_t progress_instructions;     /* executed since */
    uint64_t last_budget;               /* instructions a cut-off trace may still run */
    bool interrupt_kept;                /* gdb's, until the guest runs again */
} KrrReplay;

/* The session of this QEMU; NULL without -krr replay=. Hooks called by QEMU
 * have no other way to find it. */
extern KrrReplay *krr_replay;

static inline bool krr_replay_over(void)
{
    return krr_replay->state != KRR_REPLAY_RUNNING;
}

static inline KrrReplayVcpu *krr_replay_vcpu(const CPUState *cpu)
{
    return &krr_replay->vcpu[cpu->cpu_index];
}

/* ---- replay.c ---- */

/* Called by krr_configure() and krr_machine_ready(); exit with a message on errors. */
void krr_replay_configure(const KrrOptions *options, struct QDict *machine_opts,
                          int *has_defaults, const char *cpu_option);
void krr_replay_machine_ready(void);

/*
 * The next record. NULL when the trace is over, at its end or because it is
 * damaged: the state of the session then says so, and the caller returns to
 * the scheduler. A QEMU-written END (no hook of the guest belongs to it) is
 * handled here, for every caller.
 */
const struct krr_record *krr_replay_peek(void);
/* The same just to look ahead: does not end the session. */
const struct krr_record *krr_replay_look(void);
void krr_replay_consume(CPUState *cpu);
/* Is END next, written by QEMU while @cpu was behind a later safepoint, or had left the kernel? */
bool krr_replay_end_is_ahead(CPUState *cpu);

/* Ends the session in @state, saying how. */
void krr_replay_finish(KrrReplayState state, const char *format, ...) G_GNUC_PRINTF(2, 3);

/* The guest runs on behind the last record of a trace that was cut off, which does not say where it
 * stopped: ends the session. */
void krr_replay_end_cut_off(void);

/*
 * Divergence: says where @cpu is (@rip) and what both sides say, and ends the
 * session. Returns; the caller goes back to the scheduler.
 */
void krr_replay_diverged(CPUState *cpu, uint64_t rip, const char *format, ...)
    G_GNUC_PRINTF(3, 4);

/* After the vCPU thread has left the execution loop for good: summary, then
 * exit or stop. Called with the BQL held. */
void krr_replay_report(CPUState *cpu);

/* Position and state, for the monitor; with the BQL. Instruction counts are exact while
 * the VM is stopped. The caller frees the result. */
struct KrrInfo *krr_replay_info(void);

/* Was the lock last released as @previous (KRR_PREVIOUS) says? Else the replay has diverged. */
bool krr_replay_check_previous(CPUState *cpu, uint64_t previous);

/* ---- replay-sched.c ---- */

/* Goes back to the scheduler from inside of what @cpu executes, whose state is restored already. */
G_NORETURN void krr_replay_to_scheduler(CPUState *cpu);

/* ---- replay-gdb.c ---- */

/* At a stop: @cpu is the one that gdb looks at first. With the BQL. */
void krr_replay_show(CPUState *cpu);

/* ---- replay-io.c ---- */

typedef struct KrrReplayAccess {
    unsigned kind;          /* KRR_KIND_PORT_READ and so on */
    unsigned size;          /* bytes */
    uint64_t address;       /* or port */
    uint64_t value;         /* of a write */
} KrrReplayAccess;

/*
 * @cpu accesses a device in the instruction at @ra: consumes the record of that, and of what the
 * device wrote to memory. Returns the value of a read; does not return if the trace has something else.
 */
uint64_t krr_replay_access_device(CPUState *cpu, const KrrReplayAccess *access, uintptr_t ra);

/* ---- replay-dma.c ---- */

/* Applies what devices wrote on behalf of @cpu's present access, which is the next thing in the
 * trace. */
void krr_replay_access_dma(CPUState *cpu);
/* Applies what devices wrote between two slices. @cpu: for messages. False: the session is over. */
bool krr_replay_group_dma(CPUState *cpu);

/* ---- replay-compare.c ---- */

/*
 * Compares guest memory with the trace's final RAM, at the END hook. @memory is
 * the guest's kernel address of @count struct krr_memory. Prints what differs;
 * false when something does.
 */
bool krr_replay_compare_ram(CPUState *cpu, uint64_t memory, uint64_t count);

/* ---- target/i386/krr/ ---- */

typedef enum KrrNext {
    KRR_NEXT_RUN,           /* this vCPU runs on */
    KRR_NEXT_ENTERED,       /* the same, from the first instruction of an entry on */
    KRR_NEXT_SWITCH,        /* krr_replay->current says who runs now, or the session is over */
} KrrNext;

/*
 * Gets the vCPU going that owns the next record, from whatever place it is in:
 * injects its entry or wake-up, or lets it run on. Registers are as inside cpu_exec().
 */
KrrNext krr_replay_schedule(CPUState *cpu);
/* @cpu executed HLT. */
void krr_replay_halted(CPUState *cpu);
/* @cpu consumed a record in the middle of a device access: what has to be done
 * before its next instruction is done. */
void krr_replay_accessed(CPUState *cpu);
bool krr_replay_in_user_mode(CPUState *cpu);
/* Loads registers of the snapshot; exits with a message on errors. */
void krr_replay_load_cpu(CPUState *cpu, const KrrCpuState *state);

/* ---- hw/krr/replay-machine.c ---- */

#define TYPE_KRR_REPLAY_MACHINE_NAME "krr-replay"
/* Guest-physical page that takes suppressed accesses (see replay-fault.c). */
uint64_t krr_replay_scratch_page(void);
/*
 * Calls @fn for each piece of a run of guest memory that lies in one range of the
 * machine: range, offset in it, data. A run may span ranges that touch.
 */
typedef void (*KrrPieceFn)(uint32_t range, uint64_t offset, const void *data, size_t length,
                           void *opaque);
bool krr_replay_each_piece(uint64_t address, const void *data, size_t length,
                           KrrPieceFn fn, void *opaque, GError **errp);
/* Host memory of range @i of the trace's machine. */
const uint8_t *krr_replay_range_host(uint32_t i);
/* Calls @fn for each page of guest RAM that is not all zeroes. */
typedef void (*KrrPageFn)(uint64_t address, const void *page, void *opaque);
void krr_replay_each_page(KrrPageFn fn, void *opaque);

#endif
