/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The machine of a replay: CPUs, the memory of the trace, and nothing else.
 * Every access to what was a device while recording ends up in a catch-all
 * region, which answers from the trace.
 */
#include "qemu/osdep.h"
#include "qemu/cutils.h"
#include "qemu/error-report.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "hw/boards.h"
#include "hw/core/cpu.h"
#include "hw/qdev-properties.h"
#include "exec/address-spaces.h"
#include "exec/exec-all.h"
#include "exec/memory.h"
#include "target/i386/cpu.h"
#include "target/i386/krr/cpu-state.h"
#include "accel/krr/krr-hooks.h"
#include "accel/krr/replay.h"

#define TYPE_KRR_REPLAY_MACHINE MACHINE_TYPE_NAME(TYPE_KRR_REPLAY_MACHINE_NAME)
OBJECT_DECLARE_SIMPLE_TYPE(KrrReplayMachine, KRR_REPLAY_MACHINE)

/* Below all memory, so that it sees what nothing else claims. */
#define CATCH_ALL_PRIORITY  (-1000)

struct KrrReplayMachine {
    MachineState parent_obj;
    MemoryRegion ranges[KRR_MACHINE_RANGES];
    MemoryRegion scratch;
    MemoryRegion catch_all;
};

static KrrReplayMachine *the_machine(void)
{
    return KRR_REPLAY_MACHINE(qdev_get_machine());
}

/* ---- memory-mapped devices ---- */

static bool is_silent(uint64_t address)
{
    const KrrMachine *machine = krr_replay->machine;

    for (uint32_t i = 0; i < machine->silent_count; i++) {
        const KrrSilent *silent = &machine->silent[i];

        if (silent->space == KRR_SPACE_MEMORY && address >= silent->address &&
            address - silent->address < silent->length) {
            return true;
        }
    }
    return false;
}

/* NULL: a debugger or a page walk reads, nothing that the guest executes. */
static CPUState *executing_vcpu(void)
{
    return current_cpu && current_cpu->running ? current_cpu : NULL;
}

/* Reads that no exit announced are announced by a hook of the guest, which
 * consumes the record. */
static uint64_t silent_read(CPUState *cpu, uint64_t address, unsigned size)
{
    const struct krr_record *record = krr_replay_peek();
    const struct krr_value *value = record ? krr_record_payload(record) : NULL;

    if (record && record->kind == KRR_KIND_APIC && record->vcpu == cpu->cpu_index) {
        return value->value;
    }
    cpu_restore_state(cpu, cpu->mem_io_pc);
    krr_replay_diverged(cpu, krr_cpu_rip(cpu),
                        "a read of %u bytes from the local APIC at 0x%" PRIx64, size, address);
    krr_replay_to_scheduler(cpu);
}

/* Carries out what the trace has for an access of @cpu; the value of a read. */
static uint64_t access_device(CPUState *cpu, unsigned kind, uint64_t address, unsigned size,
                              uint64_t value)
{
    KrrReplayAccess access = { kind, size, address, value };

    value = krr_replay_access_device(cpu, &access, cpu->mem_io_pc);
    krr_replay_accessed(cpu);
    return value;
}

static uint64_t catch_all_read(void *opaque, hwaddr address, unsigned size)
{
    CPUState *cpu = executing_vcpu();

    if (!cpu) {
        return UINT64_MAX;
    }
    return is_silent(address) ? silent_read(cpu, address, size)
                              : access_device(cpu, KRR_KIND_MMIO_READ, address, size, 0);
}

static void catch_all_write(void *opaque, hwaddr address, uint64_t value, unsigned size)
{
    CPUState *cpu = executing_vcpu();

    if (cpu && !is_silent(address)) {
        access_device(cpu, KRR_KIND_MMIO_WRITE, address, size, value);
    }
}

static const MemoryRegionOps catch_all_ops = {
    .read = catch_all_read,
    .write = catch_all_write,
    .endianness = DEVICE_LITTLE_ENDIAN,
    .valid = { .min_access_size = 1, .max_access_size = 8, .unaligned = true },
    .impl = { .min_access_size = 1, .max_access_size = 8, .unaligned = true },
};

/* ---- memory ---- */

uint64_t krr_replay_scratch_page(void)
{
    return (UINT64_C(1) << krr_replay->machine->phys_bits) - KRR_PAGE;
}

static void create_range(KrrReplayMachine *krr, uint32_t i)
{
    const KrrRange *range = &krr_replay->machine->ranges[i];
    g_autofree char *name = g_strdup_printf("krr.ram%u", i);

    memory_region_init_ram_nomigrate(&krr->ranges[i], OBJECT(krr), name, range->length,
                                     &error_fatal);
    memory_region_set_readonly(&krr->ranges[i], range->flags & KRR_RANGE_READONLY);
    memory_region_add_subregion(get_system_memory(), range->address, &krr->ranges[i]);
}

static int find_range(uint64_t address, uint64_t *available)
{
    const KrrMachine *machine = krr_replay->machine;

    for (uint32_t i = 0; i < machine->ranges_count; i++) {
        const KrrRange *range = &machine->ranges[i];

        if (address >= range->address && address - range->address < range->length) {
            *available = range->length - (address - range->address);
            return i;
        }
    }
    return -1;
}

bool krr_replay_each_piece(uint64_t address, const void *data, size_t length,
                           KrrPieceFn fn, void *opaque, GError **errp)
{
    while (length) {
        uint64_t available;
        int i = find_range(address, &available);
        size_t piece = MIN(length, available);

        if (i < 0) {
            g_set_error(errp, G_FILE_ERROR, G_FILE_ERROR_INVAL,
                        "memory at 0x%" PRIx64 " is outside of the ranges of the machine",
                        address);
            return false;
        }
        fn(i, address - krr_replay->machine->ranges[i].address, data, piece, opaque);
        address += piece;
        data = (const uint8_t *)data + piece;
        length -= piece;
    }
    return true;
}

static void load_piece(uint32_t i, uint64_t offset, const void *data, size_t length,
                       void *opaque)
{
    KrrReplayMachine *krr = opaque;
    uint8_t *host = memory_region_get_ram_ptr(&krr->ranges[i]);

    memcpy(host + offset, data, length);
}

static bool load_run(uint64_t address, const void *data, size_t length, void *opaque,
                     GError **errp)
{
    return krr_replay_each_piece(address, data, length, load_piece, opaque, errp);
}

static void create_memory(KrrReplayMachine *krr)
{
    const KrrMachine *machine = krr_replay->machine;
    MemoryRegion *system = get_system_memory();
    GError *gerr = NULL;

    memory_region_init_io(&krr->catch_all, OBJECT(krr), &catch_all_ops, NULL, "krr.catch-all",
                          UINT64_C(1) << machine->phys_bits);
    memory_region_add_subregion_overlap(system, 0, &krr->catch_all, CATCH_ALL_PRIORITY);
    memory_region_init_ram_nomigrate(&krr->scratch, OBJECT(krr), "krr.scratch", KRR_PAGE,
                           &error_fatal);
    memory_region_add_subregion(system, krr_replay_scratch_page(), &krr->scratch);
    for (uint32_t i = 0; i < machine->ranges_count; i++) {
        create_range(krr, i);
    }
    if (!krr_reader_ram(krr_replay->reader, false, load_run, krr, &gerr)) {
        error_report("krr: %s: %s", krr_replay->options->path, gerr->message);
        exit(1);
    }
}

const uint8_t *krr_replay_range_host(uint32_t i)
{
    return memory_region_get_ram_ptr(&the_machine()->ranges[i]);
}

void krr_replay_each_page(KrrPageFn fn, void *opaque)
{
    const KrrMachine *machine = krr_replay->machine;

    for (uint32_t i = 0; i < machine->ranges_count; i++) {
        const KrrRange *range = &machine->ranges[i];
        const uint8_t *host = krr_replay_range_host(i);

        for (uint64_t offset = 0; offset < range->length; offset += KRR_PAGE) {
            if (!buffer_is_zero(host + offset, KRR_PAGE)) {
                fn(range->address + offset, host + offset, opaque);
            }
        }
    }
}

/* ---- machine ---- */

static void create_cpu(MachineState *ms, uint32_t i)
{
    Object *object = object_new(ms->cpu_type);
    X86CPU *cpu = X86_CPU(object);
    const KrrCpuState *state = krr_reader_cpu(krr_replay->reader, i);

    krr_cpu_configure(cpu, krr_replay->machine);
    object_property_set_uint(object, "apic-id", state->apic_id, &error_fatal);
    qdev_realize(DEVICE(object), NULL, &error_fatal);
    object_unref(object);
}

static void replay_machine_init(MachineState *ms)
{
    if (!krr_replay) {
        error_report("krr: this machine is the one that -krr replay=TRACE creates, "
                     "it cannot be used otherwise");
        exit(1);
    }
    create_memory(KRR_REPLAY_MACHINE(ms));
    for (uint32_t i = 0; i < krr_replay->machine->vcpus; i++) {
        create_cpu(ms, i);
    }
}

static void replay_machine_class_init(ObjectClass *oc, void *data)
{
    MachineClass *mc = MACHINE_CLASS(oc);

    mc->desc = "replay of a KRR trace (created by -krr replay=TRACE)";
    mc->init = replay_machine_init;
    mc->max_cpus = KRR_MAX_VCPUS;
    mc->default_cpu_type = X86_CPU_TYPE_NAME("base");
    mc->no_serial = 1;
    mc->no_parallel = 1;
    mc->no_floppy = 1;
    mc->no_cdrom = 1;
}

static const TypeInfo replay_machine_info = {
    .name = TYPE_KRR_REPLAY_MACHINE,
    .parent = TYPE_MACHINE,
    .instance_size = sizeof(KrrReplayMachine),
    .class_init = replay_machine_class_init,
};

static void replay_machine_register(void)
{
    type_register_static(&replay_machine_info);
}
type_init(replay_machine_register)
