/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a trace holds before its first record: the machine, its vCPUs, its memory. */
#include "qemu/osdep.h"
#include "hw/boards.h"
#include "hw/core/cpu.h"
#include "hw/krr/krr-pci.h"
#include "system/kvm.h"
#include "target/i386/krr/cpu-state.h"
#include "record.h"
#include "record-trace.h"

/* What only the guest knows. Its words are copied once, then looked at. */
static void describe_guest(KrrMachine *machine)
{
    const struct krr_shared *shared = krr_trace_shared();
    uint64_t tsc_khz = qatomic_read(&shared->tsc_khz);
    struct krr_guest guest;

    memcpy(&guest, (const uint8_t *)shared + KRR_GUEST_OFFSET, sizeof(guest));
    machine->kernel_text = qatomic_read(&shared->kernel_text);
    if (tsc_khz && tsc_khz <= UINT32_MAX) {
        machine->tsc_khz = tsc_khz;
    }
    memcpy(machine->kernel_release, guest.release, sizeof(guest.release) - 1);
    memcpy(machine->build_id, guest.build_id, sizeof(machine->build_id));
}

bool krr_snapshot_describe(KrrMachine *machine, MemoryRegion *shared, bool final_ram,
                         Error **errp)
{
    memset(machine, 0, sizeof(*machine));
    machine->abi_version = KRR_ABI_VERSION;
    machine->vcpus = krr_trace_vcpus();
    machine->flags = final_ram ? KRR_MACHINE_FINAL_RAM : 0;
    machine->accel = kvm_enabled() ? KRR_ACCEL_KVM : KRR_ACCEL_TCG;
    machine->ram_size = current_machine->ram_size;
    machine->start_time = g_get_real_time();
    g_strlcpy(machine->qemu_version, QEMU_VERSION, sizeof(machine->qemu_version));
    krr_cpu_describe(first_cpu, machine);
    describe_guest(machine);
    krr_record_silent_describe(machine);
    machine->shared_length = memory_region_size(shared);
    if (!krr_pci_addresses(&machine->pio_base, &machine->shared_address)) {
        error_setg(errp, "the krr device's BARs are not mapped");
        return false;
    }
    return krr_record_ranges(machine, shared, errp);
}

static bool write_cpus(KrrWriter *writer, Error **errp)
{
    CPUState *cpu;

    CPU_FOREACH(cpu) {
        g_autofree KrrCpuState *state = g_new0(KrrCpuState, 1);
        GError *err = NULL;

        if (!krr_cpu_state_save(cpu, state, errp)) {
            return false;
        }
        if (!krr_writer_cpu(writer, cpu->cpu_index, state, &err)) {
            krr_record_propagate(errp, err);
            return false;
        }
    }
    return true;
}

bool krr_snapshot_write(KrrWriter *writer, const KrrMachine *machine, Error **errp)
{
    GError *err = NULL;

    if (!krr_writer_machine(writer, machine, &err)) {
        krr_record_propagate(errp, err);
        return false;
    }
    if (!write_cpus(writer, errp) || !krr_record_ram(writer, machine, false, errp)) {
        return false;
    }
    if (!krr_writer_start(writer, &err)) {
        krr_record_propagate(errp, err);
        return false;
    }
    return true;
}
