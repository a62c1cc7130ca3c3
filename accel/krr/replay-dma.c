/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What devices wrote into guest memory, in a replay. */
#include "qemu/osdep.h"
#include "exec/address-spaces.h"
#include "exec/memory.h"
#include "accel/krr/replay.h"

static bool is_dma(const struct krr_record *record, uint32_t vcpu)
{
    return record && record->kind == KRR_KIND_DMA && record->vcpu == vcpu;
}

/* By the memory API: translated code has to notice. False: there is no such memory. */
static bool write_memory(const struct krr_dma *dma)
{
    return address_space_write(&address_space_memory, dma->address, MEMTXATTRS_UNSPECIFIED,
                               dma->data, dma->length) == MEMTX_OK;
}

static bool is_memory(const struct krr_dma *dma)
{
    uint64_t last = dma->address + dma->length - 1;

    return !dma->length || (last >= dma->address && krr_replay_is_memory(dma->address) &&
                            krr_replay_is_memory(last));
}

/* Carries the next record out, which is one of DMA. */
static void apply(CPUState *cpu, const struct krr_record *record)
{
    const struct krr_dma *dma = krr_record_payload(record);

    if (!is_memory(dma) || !write_memory(dma)) {
        krr_replay_diverged(cpu, krr_replay_rip(cpu), "no memory at 0x%" PRIx64,
                            (uint64_t)dma->address);
        return;
    }
    krr_replay_consume(cpu);
}

void krr_replay_access_dma(CPUState *cpu)
{
    const struct krr_record *record = krr_replay_look();

    while (!krr_replay_over() && is_dma(record, cpu->cpu_index) &&
           record->ordinal == krr_replay_vcpu(cpu)->ordinal) {
        apply(cpu, record);
        record = krr_replay_look();
    }
}

bool krr_replay_group_dma(CPUState *cpu)
{
    const struct krr_record *record = krr_replay_look();

    while (!krr_replay_over() && is_dma(record, KRR_DEVICE_GROUP)) {
        if (!krr_replay_check_previous(cpu, record->ordinal)) {
            return false;
        }
        apply(cpu, record);
        record = krr_replay_look();
    }
    return !krr_replay_over();
}
