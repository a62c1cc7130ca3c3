/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What devices wrote into guest memory, in a replay. */
#include "qemu/osdep.h"
#include "exec/address-spaces.h"
#include "exec/memory.h"
#include "target/i386/krr/cpu-state.h"
#include "accel/krr/replay.h"

static bool is_dma(const struct krr_record *record, uint32_t vcpu)
{
    return record && record->kind == KRR_KIND_DMA && record->vcpu == vcpu;
}

static void no_piece(uint32_t range, uint64_t offset, const void *data, size_t length, void *opaque)
{
}

/* By the memory API: translated code has to notice. Only where all of it is memory of the trace's
 * machine. */
static bool write_memory(const struct krr_dma *dma, GError **errp)
{
    if (!krr_replay_each_piece(dma->address, dma->data, dma->length, no_piece, NULL, errp)) {
        return false;
    }
    address_space_write(&address_space_memory, dma->address, MEMTXATTRS_UNSPECIFIED, dma->data,
                        dma->length);
    return true;
}

/* Carries the next record out, which is one of DMA. */
static void apply(CPUState *cpu, const struct krr_record *record)
{
    GError *err = NULL;

    if (!write_memory(krr_record_payload(record), &err)) {
        krr_replay_diverged(cpu, krr_cpu_rip(cpu), "%s", err->message);
        g_error_free(err);
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
