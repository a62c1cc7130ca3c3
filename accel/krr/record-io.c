/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Device accesses of the vCPU that owns the kernel-entry lock: inputs where it
 * reads, and where it writes the strongest cheap check that a replay has.
 */
#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "exec/address-spaces.h"
#include "exec/ioport.h"
#include "hw/krr/krr-pci.h"
#include "krr-hooks.h"
#include "record.h"
#include "record-group.h"

/* ---- silent addresses ---- */

/*
 * Under KVM the local APIC is the host kernel's; its reads are inputs that the
 * guest records. A guest under TCG is treated alike, so that its traces are no
 * different.
 */
static const KrrSilent local_apic = { 0xfee00000, 0x1000, KRR_SPACE_MEMORY };

void krr_record_silent_describe(KrrMachine *machine)
{
    machine->silent_count = 1;
    machine->silent[0] = local_apic;
}

static bool is_silent(bool port, uint64_t address)
{
    return !port && address - local_apic.address < local_apic.length;
}

/* The recorder's own talk with QEMU is not the kernel's. */
static bool is_doorbell(uint64_t port)
{
    uint32_t pio_base;
    uint64_t shared_address;

    return krr_pci_addresses(&pio_base, &shared_address) &&
           port == pio_base + KRR_PIO_DOORBELL;
}

/* ---- records ---- */

void krr_record_io(CPUState *cpu, unsigned kind, uint64_t address, unsigned size,
                   uint64_t value)
{
    struct krr_area *area = krr_record_owner(cpu);
    bool port = kind == KRR_KIND_PORT_READ || kind == KRR_KIND_PORT_WRITE;
    struct krr_io io;
    struct krr_record record;

    if (!area || is_silent(port, address) ||
        (port && is_doorbell(address))) {
        return;
    }
    io = (struct krr_io) {
        .address = address,
        .value = size < 8 ? value & MAKE_64BIT_MASK(0, 8 * size) : value,
    };
    record = (struct krr_record) {
        .kind = kind,
        .vcpu = cpu->cpu_index,
        .size = sizeof(record) + sizeof(io),
        .site = size,
        .ordinal = qatomic_read(&area->ordinal),
    };
    krr_record_append(&record, &io);
}

void krr_record_mmio_read(CPUState *cpu, uint64_t address, unsigned size,
                          uint64_t value_be)
{
    krr_record_io(cpu, KRR_KIND_MMIO_READ, address, size,
                  bswap64(value_be) >> (64 - 8 * size));
}

void krr_record_mmio_write(CPUState *cpu, uint64_t address, unsigned size,
                           uint64_t value)
{
    krr_record_io(cpu, KRR_KIND_MMIO_WRITE, address, size, value);
}

/* ---- exits of KVM ---- */

/* An access that is not the kernel's: what a device writes meanwhile is the group's. */
static bool enter_group(CPUState *cpu)
{
    bool enter = qatomic_read(&krr_record_active) && !krr_record_owner(cpu);

    if (enter) {
        krr_group_enter();
    }
    return enter;
}

static void leave_group(bool entered)
{
    if (entered) {
        krr_group_leave();
    }
}

bool krr_record_kvm_io(CPUState *cpu, uint16_t port, void *data, bool write,
                       unsigned size, uint32_t count)
{
    uint8_t *p = data;
    bool entered;

    if (write && is_doorbell(port) && size == 4) {
        /*
         * Not by its MemoryRegion: draining the ring must not hold the BQL, and waiting not RCU.
         * The recorder rings one bell at a time; a wait in a row of them would outlast its kick.
         */
        if (count == 1) {
            krr_record_doorbell(cpu, ldl_le_p(p));
        }
        return true;
    }
    entered = enter_group(cpu);
    for (uint32_t i = 0; i < count; i++, p += size) {
        if (write) {
            krr_record_io(cpu, KRR_KIND_PORT_WRITE, port, size, ldn_le_p(p, size));
        }
        address_space_rw(&address_space_io, port, MEMTXATTRS_UNSPECIFIED, p, size, write);
        if (!write) {
            krr_record_io(cpu, KRR_KIND_PORT_READ, port, size, ldn_le_p(p, size));
        }
    }
    leave_group(entered);
    return true;
}

/* A little-endian number of 1 to 8 bytes, whatever their number. */
static uint64_t load_bytes(const uint8_t *p, unsigned size)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < MIN(size, 8); i++) {
        value |= (uint64_t)p[i] << (8 * i);
    }
    return value;
}

bool krr_record_kvm_mmio(CPUState *cpu, uint64_t address, void *data, unsigned size,
                         bool write)
{
    bool entered = enter_group(cpu);

    if (write) {
        krr_record_io(cpu, KRR_KIND_MMIO_WRITE, address, size, load_bytes(data, size));
    }
    address_space_rw(&address_space_memory, address, MEMTXATTRS_UNSPECIFIED, data, size,
                     write);
    if (!write) {
        krr_record_io(cpu, KRR_KIND_MMIO_READ, address, size, load_bytes(data, size));
    }
    leave_group(entered);
    return true;
}
