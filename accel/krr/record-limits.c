/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What cannot be recorded, and the machine options that make a guest recordable. */
#include "qemu/osdep.h"
#include "qemu/config-file.h"
#include "qemu/error-report.h"
#include "qemu/option.h"
#include "exec/address-spaces.h"
#include "exec/memory.h"
#include "hw/boards.h"
#include "hw/pci/pci_device.h"
#include "hw/qdev-core.h"
#include "hw/virtio/virtio.h"
#include "migration/blocker.h"
#include "net/net.h"
#include "net/vhost_net.h"
#include "qobject/qdict.h"
#include "qom/object.h"
#include "system/hostmem.h"
#include "system/iothread.h"
#include "system/kvm.h"
#include "system/replay.h"
#include "system/tcg.h"
#include "hw/krr/krr-pci.h"
#include "krr-hooks.h"
#include "record.h"
#include "record-wait.h"

/* ---- before the machine is built ---- */

static void refuse(const char *format, ...) G_GNUC_PRINTF(1, 2);
static void refuse(const char *format, ...)
{
    g_autofree char *text = NULL;
    va_list ap;

    va_start(ap, format);
    text = g_strdup_vprintf(format, ap);
    va_end(ap);
    error_report("-krr record: %s", text);
    exit(1);
}

/* An option of the machine that has to have @value; the user may only agree. */
static void require(QDict *machine_opts, const char *name, const char *value,
                    const char *why)
{
    const char *given = qdict_get_try_str(machine_opts, name);

    if (!given || g_str_equal(given, "auto")) {
        qdict_put_str(machine_opts, name, value);
    } else if (!g_str_equal(given, value)) {
        refuse("-machine %s=%s: %s; leave it out or say %s=%s", name, given, why, name,
               value);
    }
}

void krr_record_defaults(QDict *machine_opts, int *default_vga,
                         const char **cpu_option)
{
    const char *type = qdict_get_try_str(machine_opts, "type");

    if (type && !g_str_equal(type, "pc") && !g_str_equal(type, "q35") &&
        !g_str_has_prefix(type, "pc-")) {
        refuse("machine type %s cannot be recorded; pc and q35 can", type);
    }
    require(machine_opts, "kernel-irqchip", "split",
            "only with split does every device access but the local APIC's reach QEMU");
    require(machine_opts, "smm", "off",
            "code in system management mode would run unseen by the recorder");
    require(machine_opts, "vmport", "off",
            "it changes registers of the guest in ways that are not recorded");
    if (!qdict_haskey(machine_opts, "hpet")) {
        qdict_put_str(machine_opts, "hpet", "off");     /* slow, each read a record */
    }
    *default_vga = 0;               /* has memory that devices write unseen */
    if (!*cpu_option) {
        *cpu_option = "max";        /* of which krr_feature_mask() leaves what TCG has */
    }

    /* Patches the guest's code; writes its memory from inside KVM. */
    object_register_sugar_prop("apic-common", "vapic", "off", true);
    /* Every notification comes to QEMU and is recorded, none stays in KVM. */
    object_register_sugar_prop("virtio-pci", "ioeventfd", "off", true);
    qemu_opts_parse_noisily(qemu_find_opts("device"), TYPE_KRR_PCI, true);
}

/* ---- the machine ---- */

/* Device types all of whose writes into guest memory go by record-dma.c. Patterns. */
static const char *const recordable[] = {
    TYPE_KRR_PCI,
    /* board */
    "*-x86_64-cpu", "apic", "kvm-apic", "ioapic", "isa-i8259", "isa-pit", "i440FX*",
    "q35-pcihost", "mch", "PIIX*", "piix*", "ICH9*", "pci-bridge", "pcie-root-port",
    "pcie-pci-bridge", "i8257", "i8042", "ps2-*", "port92", "mc146818rtc", "isa-pcspk",
    "hpet", "fw_cfg*", "smbus-eeprom", "serial", "isa-serial", "isa-parallel",
    "isa-debugcon", "isa-debug-exit", "pvpanic*", "kvmclock", "vmgenid", "vmcoreinfo",
    "pci-testdev",
    /* storage */
    "isa-fdc", "floppy", "ide-hd", "ide-cd", "ich9-ahci", "nvme", "nvme-ns", "nvme-subsys", "scsi-hd",
    "scsi-cd", "scsi-block", "scsi-generic", "virtio-blk-*", "virtio-scsi-*",
    /* network and the rest */
    "e1000*", "virtio-net-*", "virtio-serial-*", "virtconsole", "virtserialport",
    "virtio-rng-*", "virtio-9p-*",
};

static bool is_recordable(const char *type)
{
    for (size_t i = 0; i < ARRAY_SIZE(recordable); i++) {
        if (g_pattern_match_simple(recordable[i], type)) {
            return true;
        }
    }
    return false;
}

/* A virtio device that ignores krr-bypass=on of its PCI device, since its DMA goes past that. */
static bool is_bypassed_in_vain(Object *obj)
{
    Object *proxy = object_dynamic_cast(obj, TYPE_VIRTIO_DEVICE) && DEVICE(obj)->parent_bus ?
        OBJECT(DEVICE(obj)->parent_bus->parent) : NULL;

    return proxy && object_dynamic_cast(proxy, TYPE_PCI_DEVICE) &&
           PCI_DEVICE(proxy)->krr_bypass && VIRTIO_DEVICE(obj)->dma_as == &address_space_memory;
}

/* Returns nonzero, with an error, at the first object that cannot be recorded. */
static int check_object(Object *obj, void *opaque)
{
    Error **errp = opaque;
    const char *type = object_get_typename(obj);

    if (object_dynamic_cast(obj, TYPE_IOTHREAD)) {
        error_setg(errp, "an iothread object: devices that work outside the main loop "
                   "cannot be recorded yet; remove it");
        return 1;
    }
    if (object_dynamic_cast(obj, TYPE_MEMORY_BACKEND) && MEMORY_BACKEND(obj)->share &&
        host_memory_backend_is_mapped(MEMORY_BACKEND(obj))) {
        error_setg(errp, "guest memory (%s) is shared with other processes, which write it "
                   "unseen; say share=off", object_get_canonical_path_component(obj));
        return 1;
    }
    if (!strcmp(type, "ich9-ahci") && PCI_DEVICE(obj)->krr_bypass) {
        error_setg(errp, "krr-bypass=on of ich9-ahci: it keeps guest memory mapped, which that "
                   "does not reach");
        return 1;
    }
    if (is_bypassed_in_vain(obj)) {
        error_setg(errp, "krr-bypass=on of %s needs iommu_platform=on too", type);
        return 1;
    }
    if (object_dynamic_cast(obj, TYPE_DEVICE) && DEVICE(obj)->realized &&
        !is_recordable(type)) {
        error_setg(errp, "device %s cannot be recorded, it may write guest memory "
                   "unseen; remove it (see -device, -vga, -usb, -nodefaults)", type);
        return 1;
    }
    return 0;
}

typedef struct NicCheck {
    Error **errp;
    bool failed;
} NicCheck;

static void check_nic(NICState *nic, void *opaque)
{
    NicCheck *check = opaque;

    for (int i = 0; i < MAX(nic->conf->peers.queues, 1) && !check->failed; i++) {
        NetClientState *peer = nic->conf->peers.ncs[i];

        if (peer && get_vhost_net(peer)) {
            error_setg(check->errp, "network back end %s uses vhost, which writes guest "
                       "memory unseen; say vhost=off", peer->name);
            check->failed = true;
        }
    }
}

static bool check_accel(Error **errp)
{
    if (kvm_enabled()) {
        if (!kvm_irqchip_is_split()) {
            error_setg(errp, "KVM needs kernel-irqchip=split, so that accesses to its "
                       "interrupt controllers and timers are seen; leave kernel-irqchip "
                       "out");
            return false;
        }
    } else if (!tcg_enabled()) {
        error_setg(errp, "this accelerator cannot record; use -accel kvm or -accel tcg");
        return false;
    } else if (!qemu_tcg_mttcg_enabled()) {
        error_setg(errp, "a vCPU has to wait while another one goes on, which needs a thread "
                   "each; leave out thread=single and -icount");
        return false;
    }
    if (replay_mode != REPLAY_MODE_NONE) {
        error_setg(errp, "-icount rr= and -krr exclude each other");
        return false;
    }
    return true;
}

/* Devices that KVM tells of the guest's writes, past QEMU's vCPU threads and so past the trace. */
static struct {
    unsigned count;
    uint64_t address;       /* of the last one */
} notified;

bool krr_record_check_machine(Error **errp)
{
    const CpuTopology *smp = &current_machine->smp;
    NicCheck nics = { .errp = errp };

    if (!check_accel(errp)) {
        return false;
    }
    if (smp->max_cpus != smp->cpus) {
        error_setg(errp, "vCPUs cannot be added while recording; set -smp maxcpus to the number "
                   "of vCPUs");
        return false;
    }
    if (notified.count) {
        error_setg(errp, "KVM handles the guest's writes to 0x%" PRIx64 " by itself (ioeventfd), "
                   "which cannot be recorded: leave out ioeventfd=on", notified.address);
        return false;
    }
    qemu_foreach_nic(check_nic, &nics);
    return !nics.failed &&
           !object_child_foreach_recursive(object_get_root(), check_object, errp);
}

/* ---- while it runs ---- */

static void ram_changed(MemoryListener *listener, MemoryRegionSection *section)
{
    if (qatomic_read(&krr_record_active) && memory_region_is_ram(section->mr)) {
        krr_record_end(KRR_END_UNSUPPORTED, "guest memory at 0x%" PRIx64
                       " (%s) appeared, moved or went away",
                       section->offset_within_address_space,
                       memory_region_name(section->mr));
    }
}

static MemoryListener memory_listener = {
    .name = "krr-record-memory",
    .region_add = ram_changed,
    .region_del = ram_changed,
};

static void device_added(DeviceListener *listener, DeviceState *dev)
{
    const char *type = object_get_typename(OBJECT(dev));

    if (qatomic_read(&krr_record_active) && !is_recordable(type)) {
        krr_record_end(KRR_END_UNSUPPORTED, "device %s was plugged in", type);
    }
}

static DeviceListener device_listener = { .realize = device_added };

static void notify_add(MemoryListener *listener, MemoryRegionSection *section,
                       bool match_data, uint64_t data, EventNotifier *e)
{
    if (krr_wait_owns(e)) {
        return;     /* a doorbell */
    }
    notified.count++;
    notified.address = section->offset_within_address_space;
    if (qatomic_read(&krr_record_active)) {
        krr_record_end(KRR_END_UNSUPPORTED, "a device asked KVM to handle writes to 0x%"
                       PRIx64 " (ioeventfd)", notified.address);
    }
}

static void notify_del(MemoryListener *listener, MemoryRegionSection *section,
                       bool match_data, uint64_t data, EventNotifier *e)
{
    if (!krr_wait_owns(e)) {
        notified.count--;
    }
}

static MemoryListener memory_notify_listener = {
    .name = "krr-record-memory-notify",
    .eventfd_add = notify_add,
    .eventfd_del = notify_del,
};

static MemoryListener port_notify_listener = {
    .name = "krr-record-port-notify",
    .eventfd_add = notify_add,
    .eventfd_del = notify_del,
};

bool krr_record_watch(Error **errp)
{
    static Error *blocker;

    error_setg(&blocker, "the guest is being recorded (-krr record)");
    if (migrate_add_blocker(&blocker, errp) < 0) {
        return false;
    }
    device_listener_register(&device_listener);
    memory_listener_register(&memory_listener, &address_space_memory);
    if (kvm_enabled()) {
        memory_listener_register(&memory_notify_listener, &address_space_memory);
        memory_listener_register(&port_notify_listener, &address_space_io);
    }
    return true;
}
