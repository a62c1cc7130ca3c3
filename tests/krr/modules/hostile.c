// SPDX-License-Identifier: GPL-2.0
/*
 * A guest that means harm to the QEMU that records it: insmod hostile.ko act=NAME does one thing,
 * once, and the guest goes on.
 */
#include <linux/io.h>
#include <linux/krr.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <asm/desc.h>

static char *act = "";
module_param(act, charp, 0);
MODULE_PARM_DESC(act, "msi, refusals, end, reset");

static unsigned long address;
module_param(address, ulong, 0);
MODULE_PARM_DESC(address, "of act=msi: where messages go");

#define VIRTIO_VENDOR	0x1af4
#define VIRTIO_RNG	0x1005

/* The interrupts of the random number device become writes to address. */
static int aim_messages(void)
{
	struct pci_dev *rng = pci_get_device(VIRTIO_VENDOR, VIRTIO_RNG, NULL);
	u32 table, __iomem *entry;
	u16 flags;

	if (!rng || !rng->msix_cap)
		return -ENODEV;
	pci_read_config_dword(rng, rng->msix_cap + PCI_MSIX_TABLE, &table);
	pci_read_config_word(rng, rng->msix_cap + PCI_MSIX_FLAGS, &flags);
	entry = ioremap(pci_resource_start(rng, table & PCI_MSIX_TABLE_BIR) +
			(table & PCI_MSIX_TABLE_OFFSET), PAGE_SIZE);
	if (!entry)
		return -ENOMEM;
	for (int i = 0; i <= (flags & PCI_MSIX_FLAGS_QSIZE); i++, entry += PCI_MSIX_ENTRY_SIZE / 4) {
		writel(address, entry + PCI_MSIX_ENTRY_LOWER_ADDR / 4);
		writel(address >> 32, entry + PCI_MSIX_ENTRY_UPPER_ADDR / 4);
	}
	pr_emerg("hostile: messages go to 0x%lx\n", address);
	return 0;
}

static int refuse_often(unsigned long port)
{
	for (int i = 0; i < 1000; i++)
		outl(KRR_BELL_REFUSE | KRR_REFUSE_IN_USE << 8, port);
	pr_emerg("hostile: refused\n");
	return 0;
}

/* An END in the ring, as QEMU writes it, and no doorbell. */
static int end_in_silence(phys_addr_t bar)
{
	struct krr_shared *shared = memremap(bar, PAGE_SIZE, MEMREMAP_WB);
	struct {
		struct krr_record record;
		struct krr_end end;
	} last = {
		.record = { .kind = KRR_KIND_END, .size = sizeof(last) },
		.end = { .reason = KRR_END_UNSUPPORTED, .text = "hostile: \x1b[31mred" },
	};
	struct krr_area *area;
	u8 *ring;

	if (!shared)
		return -ENOMEM;
	ring = memremap(bar + shared->ring_offset, shared->ring_size, MEMREMAP_WB);
	area = memremap(bar + shared->area_offset, PAGE_SIZE, MEMREMAP_WB);
	if (!ring || !area)
		return -ENOMEM;
	pr_emerg("hostile: ends in silence\n");
	local_irq_disable();
	last.record.ordinal = area->ordinal;
	/* The space of this ring is a multiple of 8, so of each word. */
	for (int i = 0; i < sizeof(last); i += 8)
		memcpy(ring + ((shared->ring_head + i) & (shared->ring_size - 1)),
		       (u8 *)&last + i, 8);
	smp_store_release(&shared->ring_head, shared->ring_head + sizeof(last));
	local_irq_enable();
	return 0;
}

/* A triple fault: no exception can be delivered. */
static int reset(void)
{
	static const struct desc_ptr none;

	pr_emerg("hostile: no exceptions any more\n");
	local_irq_disable();
	load_idt(&none);
	asm volatile("ud2");
	return 0;
}

static int __init hostile_init(void)
{
	struct pci_dev *krr = pci_get_device(KRR_PCI_VENDOR_ID, KRR_PCI_DEVICE_ID, NULL);

	if (!krr)
		return -ENODEV;
	if (!strcmp(act, "msi"))
		return aim_messages();
	if (!strcmp(act, "refusals"))
		return refuse_often(pci_resource_start(krr, KRR_BAR_PIO) + KRR_PIO_DOORBELL);
	if (!strcmp(act, "end"))
		return end_in_silence(pci_resource_start(krr, KRR_BAR_SHARED));
	if (!strcmp(act, "reset"))
		return reset();
	return -EINVAL;
}
module_init(hostile_init);

MODULE_DESCRIPTION("KRR test: a guest that means harm to QEMU");
MODULE_LICENSE("GPL");
