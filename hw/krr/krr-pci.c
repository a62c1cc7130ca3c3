/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The krr PCI device: how the recorder in the guest kernel finds the one in
 * QEMU. BAR0 has the doorbells and the request register, BAR2 is the memory
 * that both share. Layouts are in linux/krr.h; what a doorbell means is the
 * recorder's business (accel/krr/record.c).
 */
#include "qemu/osdep.h"
#include <linux/krr.h>
#include "qapi/error.h"
#include "qemu/module.h"
#include "qemu/units.h"
#include "hw/core/cpu.h"
#include "hw/pci/pci_device.h"
#include "hw/resettable.h"
#include "migration/vmstate.h"
#include "accel/krr/krr-hooks.h"
#include "accel/krr/record.h"
#include "accel/krr/record-wait.h"
#include "hw/boards.h"
#include "krr-pci.h"

/*
 * BAR2 asks for more address space than there is below 4 GiB. Firmware then
 * puts it above, where the MTRRs say write-back; in the PCI hole below 4 GiB
 * they say uncached, which would make the ring unusably slow on hardware.
 */
#define KRR_SHARED_BAR_SIZE (4 * GiB)

OBJECT_DECLARE_SIMPLE_TYPE(KrrPciState, KRR_PCI)

struct KrrPciState {
    PCIDevice parent_obj;

    MemoryRegion pio;
    MemoryRegion bar;       /* container of the size that PCI sees */
    MemoryRegion shared;    /* the memory, at the start of it */
    uint32_t request;       /* KRR_REQUEST_*, 0 none */
};

/* There is one; the recorder has no other way to reach it. */
static KrrPciState *the_device;

static void set_request(KrrPciState *s, uint32_t request)
{
    s->request = request;
    pci_set_irq(PCI_DEVICE(s), request != 0);
}

void krr_pci_request(uint32_t request)
{
    if (the_device) {
        set_request(the_device, request);
    }
}

bool krr_pci_addresses(uint32_t *pio_base, uint64_t *shared_address)
{
    pcibus_t pio, shared;

    if (!the_device) {
        return false;
    }
    pio = pci_get_bar_addr(PCI_DEVICE(the_device), KRR_BAR_PIO);
    shared = pci_get_bar_addr(PCI_DEVICE(the_device), KRR_BAR_SHARED);
    if (pio == PCI_BAR_UNMAPPED || shared == PCI_BAR_UNMAPPED) {
        return false;
    }
    *pio_base = pio;
    *shared_address = shared;
    return true;
}

static uint64_t pio_read(void *opaque, hwaddr offset, unsigned size)
{
    KrrPciState *s = opaque;
    uint32_t request = s->request;

    if (offset != KRR_PIO_REQUEST) {
        return 0;
    }
    set_request(s, 0);
    return request;
}

static void pio_write(void *opaque, hwaddr offset, uint64_t value, unsigned size)
{
    if (offset == KRR_PIO_DOORBELL && current_cpu) {
        krr_record_doorbell(current_cpu, value);
    }
}

static const MemoryRegionOps pio_ops = {
    .read = pio_read,
    .write = pio_write,
    .endianness = DEVICE_LITTLE_ENDIAN,
    .valid = { .min_access_size = 4, .max_access_size = 4 },
    .impl = { .min_access_size = 4, .max_access_size = 4 },
};

static void krr_pci_realize(PCIDevice *pci, Error **errp)
{
    KrrPciState *s = KRR_PCI(pci);

    if (!krr_record_mode) {
        error_setg(errp, "the krr device belongs to -krr record=FILE, which adds it by "
                   "itself");
        return;
    }
    if (the_device) {
        error_setg(errp, "there is a krr device already; -krr record=FILE adds it by "
                   "itself");
        return;
    }

    if (current_machine->smp.cpus > KRR_MAX_VCPUS) {
        error_setg(errp, "at most %d vCPUs can be recorded, there are %u (-smp)", KRR_MAX_VCPUS,
                   current_machine->smp.cpus);
        return;
    }

    pci->config[PCI_INTERRUPT_PIN] = 1;
    memory_region_init_io(&s->pio, OBJECT(s), &pio_ops, s, "krr-doorbells", KRR_PIO_SIZE);
    /* A vCPU sleeps inside of its WAIT, without the BQL, while others ring. */
    s->pio.disable_reentrancy_guard = true;
    if (!krr_wait_init(&s->pio, current_machine->smp.cpus, errp)) {
        return;
    }
    if (!memory_region_init_ram(&s->shared, OBJECT(s), "krr-shared",
                                krr_record_shared_size(), errp)) {
        return;
    }
    memory_region_init(&s->bar, OBJECT(s), "krr-bar",
                       MAX(KRR_SHARED_BAR_SIZE, memory_region_size(&s->shared)));
    memory_region_add_subregion(&s->bar, 0, &s->shared);
    pci_register_bar(pci, KRR_BAR_PIO, PCI_BASE_ADDRESS_SPACE_IO, &s->pio);
    pci_register_bar(pci, KRR_BAR_SHARED,
                     PCI_BASE_ADDRESS_SPACE_MEMORY | PCI_BASE_ADDRESS_MEM_TYPE_64 |
                     PCI_BASE_ADDRESS_MEM_PREFETCH, &s->bar);
    krr_record_attach(&s->shared);
    the_device = s;
}

static void krr_pci_reset_hold(Object *obj, ResetType type)
{
    set_request(KRR_PCI(obj), 0);
    krr_record_reset();
}

static const VMStateDescription vmstate_krr_pci = {
    .name = TYPE_KRR_PCI,
    .unmigratable = 1,
};

static void krr_pci_class_init(ObjectClass *klass, void *data)
{
    DeviceClass *dc = DEVICE_CLASS(klass);
    PCIDeviceClass *k = PCI_DEVICE_CLASS(klass);
    ResettableClass *rc = RESETTABLE_CLASS(klass);

    k->realize = krr_pci_realize;
    k->vendor_id = KRR_PCI_VENDOR_ID;
    k->device_id = KRR_PCI_DEVICE_ID;
    k->revision = KRR_ABI_VERSION;
    k->class_id = PCI_CLASS_OTHERS;
    rc->phases.hold = krr_pci_reset_hold;
    dc->desc = "Kernel recorder (added by -krr record=FILE)";
    dc->vmsd = &vmstate_krr_pci;
    dc->user_creatable = true;
    dc->hotpluggable = false;
    set_bit(DEVICE_CATEGORY_MISC, dc->categories);
}

static const TypeInfo krr_pci_info = {
    .name = TYPE_KRR_PCI,
    .parent = TYPE_PCI_DEVICE,
    .instance_size = sizeof(KrrPciState),
    .class_init = krr_pci_class_init,
    .interfaces = (InterfaceInfo[]) {
        { INTERFACE_CONVENTIONAL_PCI_DEVICE },
        { },
    },
};

static void krr_pci_register_types(void)
{
    type_register_static(&krr_pci_info);
}

type_init(krr_pci_register_types)
