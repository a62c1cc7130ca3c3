/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Device accesses of the replayed kernel: there are no devices, each finds its record. */
#include "qemu/osdep.h"
#include "exec/exec-all.h"
#include "hw/core/cpu.h"
#include "krr/kinds.h"
#include "target/i386/krr/cpu-state.h"
#include "accel/krr/krr-hooks.h"
#include "accel/krr/replay.h"

static bool is_write(unsigned kind)
{
    return kind == KRR_KIND_PORT_WRITE || kind == KRR_KIND_MMIO_WRITE;
}

static G_NORETURN void diverge(CPUState *cpu, const KrrReplayAccess *access, uintptr_t ra)
{
    bool port = access->kind == KRR_KIND_PORT_READ || access->kind == KRR_KIND_PORT_WRITE;
    const char *space = port ? "port" : "address";

    cpu_restore_state(cpu, ra);
    if (is_write(access->kind)) {
        krr_replay_diverged(cpu, krr_cpu_rip(cpu), "%s of %u bytes, 0x%" PRIx64 " to %s 0x%" PRIx64,
                            krr_kind_name(access->kind), access->size, access->value,
                            space, access->address);
    } else {
        krr_replay_diverged(cpu, krr_cpu_rip(cpu), "%s of %u bytes from %s 0x%" PRIx64,
                            krr_kind_name(access->kind), access->size,
                            space, access->address);
    }
    krr_replay_to_scheduler(cpu);
}

uint64_t krr_replay_access_device(CPUState *cpu, const KrrReplayAccess *access, uintptr_t ra)
{
    const struct krr_record *record;
    const struct krr_io *io;
    uint64_t value;

    krr_replay_access_dma(cpu);
    record = krr_replay_peek();
    io = record ? krr_record_payload(record) : NULL;
    if (!record || record->kind != access->kind || record->vcpu != cpu->cpu_index ||
        record->ordinal != krr_replay_vcpu(cpu)->ordinal || record->site != access->size ||
        io->address != access->address || (is_write(access->kind) && io->value != access->value)) {
        diverge(cpu, access, ra);
    }
    value = io->value;
    krr_replay_consume(cpu);
    krr_replay_access_dma(cpu);
    return value;
}
