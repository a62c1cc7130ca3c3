// SPDX-License-Identifier: GPL-2.0
/*
 * The guest recorder's life: the krr PCI device, start and end of a recording,
 * /sys/kernel/krr/.
 *
 * Once a recording has begun, nothing here may look at the device's memory: in a
 * replay there is no device. What this code has to know is in variables.
 */
#include <linux/buildid.h>
#include <linux/cpu.h>
#include <linux/efi.h>
#include <linux/export.h>
#include <linux/init.h>
#include <linux/interrupt.h>
#include <linux/io.h>
#include <linux/jump_label.h>
#include <linux/kobject.h>
#include <linux/log2.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/smp.h>
#include <linux/stop_machine.h>
#include <linux/sysfs.h>
#include <linux/utsname.h>
#include <linux/workqueue.h>
#include <asm/cpufeature.h>
#include <asm/krr.h>
#include <asm/pgtable.h>
#include <asm/sections.h>
#include <asm/tsc.h>

#include "recorder.h"

#undef pr_fmt
#define pr_fmt(fmt) "krr: " fmt

DEFINE_STATIC_KEY_FALSE(krr_active_key);
EXPORT_SYMBOL(krr_active_key);
DEFINE_STATIC_KEY_FALSE(krr_present_key);
EXPORT_SYMBOL(krr_present_key);

DEFINE_PER_CPU(u8, krr_on);
EXPORT_PER_CPU_SYMBOL(krr_on);
DEFINE_PER_CPU(struct krr_area *, krr_area);
DEFINE_PER_CPU(void *, krr_stack);
DEFINE_PER_CPU(u64, krr_scratch);

EXPORT_SYMBOL(krr_in_user_value);
EXPORT_SYMBOL(krr_in_user_bytes);
EXPORT_SYMBOL(krr_in_file_bytes);
EXPORT_SYMBOL(krr_in_shared_bytes);
EXPORT_SYMBOL(krr_in_segment);
EXPORT_SYMBOL(krr_in_tsc);
EXPORT_SYMBOL(krr_in_random);
EXPORT_SYMBOL(krr_in_cpuid);
EXPORT_SYMBOL(krr_in_msr);
EXPORT_SYMBOL(krr_in_xcr);
EXPORT_SYMBOL(krr_in_apic);
EXPORT_SYMBOL(krr_safepoint_waiting);
EXPORT_SYMBOL(krr_safepoint_preemptible);
EXPORT_SYMBOL(krr_safepoint_throttled);
EXPORT_SYMBOL(krr_safepoint_unthrottled);
EXPORT_SYMBOL(krr_idle);

struct krr_device krr_device __read_mostly;

/* Changes of the kernel's text while hooks are live. */
u32 krr_text_generation;

/* Guards start and end. What the recording is for this code: */
static DEFINE_MUTEX(krr_mutex);
static enum { KRR_OFF, KRR_RECORDING, KRR_ENDED } krr_status;
static enum { BOOT_DEFAULT, BOOT_START, BOOT_MANUAL } krr_boot;

/* ---- command line ---- */

static int __init krr_setup_present(char *value)
{
	bool on;

	if (!value || kstrtobool(value, &on)) {
		pr_err("krr= wants on or off\n");
		return -EINVAL;
	}
	if (!on) {
		static_branch_disable(&krr_present_key);
		return 0;
	}
	static_branch_enable(&krr_present_key);
	/*
	 * Copies by string instructions, whatever the CPU prefers: others go
	 * through registers, where a replay has other user data.
	 */
	setup_force_cpu_cap(X86_FEATURE_REP_GOOD);
	setup_force_cpu_cap(X86_FEATURE_ERMS);
	setup_force_cpu_cap(X86_FEATURE_FSRM);
	return 0;
}
early_param("krr", krr_setup_present);

static int __init krr_setup_record(char *value)
{
	if (!strcmp(value, "boot"))
		krr_boot = BOOT_START;
	else if (!strcmp(value, "manual"))
		krr_boot = BOOT_MANUAL;
	else
		pr_err("krr.record= wants boot or manual\n");
	return 1;
}
__setup("krr.record=", krr_setup_record);

/* ---- end ---- */

/* Does it end where one may sleep? A reboot may come from an interrupt (SysRq). */
static bool is_planned(u32 reason)
{
	return reason == KRR_END_STOPPED || reason == KRR_END_HALT ||
	       reason == KRR_END_POWEROFF;
}

void krr_end(u32 reason, u32 status, const char *text)
{
	const struct krr_memory *memory;
	unsigned long flags, number;
	register unsigned long r8 asm("r8");

	if (!krr_active() || !raw_cpu_read(krr_on))
		return;
	if (is_planned(reason))
		krr_memory_settle();
	local_irq_save(flags);
	memory = krr_memory_describe(current_stack_pointer, &number);
	r8 = number;
	asm volatile(KRR_CALL(krr_in_end)
		     : ASM_CALL_CONSTRAINT
		     : "D" ((unsigned long)reason), "S" ((unsigned long)status),
		       "d" (text), "c" (memory), "r" (r8)
		     : "memory", "cc");
	local_irq_restore(flags);
}

static unsigned int count_on(void)
{
	unsigned int cpu, on = 0;

	for_each_online_cpu(cpu)
		on += per_cpu(krr_on, cpu);
	return on;
}

/* A CPU that comes into the kernel after the end notices it at the entry hook. */
static void come_in(void *unused)
{
}

/* After the end, whoever brought it about: makes the hooks NOPs again. */
static void tidy_up(void)
{
	lockdep_assert_held(&krr_mutex);
	if (krr_status != KRR_RECORDING || count_on() == num_online_cpus())
		return;
	on_each_cpu(come_in, NULL, 1);
	static_branch_disable(&krr_active_key);
	cpu_hotplug_enable();
	krr_status = KRR_ENDED;
	pr_info("recording ended\n");
}

static int krr_stop(u32 status)
{
	int err = 0;

	mutex_lock(&krr_mutex);
	if (krr_status == KRR_RECORDING)
		krr_end(KRR_END_STOPPED, status, NULL);
	else
		err = -EINVAL;
	tidy_up();
	mutex_unlock(&krr_mutex);
	return err;
}

/* ---- start ---- */

/* What a trace says about the kernel in it. */
static void introduce_kernel(void)
{
	extern const void __start_notes, __stop_notes;
	struct krr_shared *shared = krr_device.shared;
	struct krr_guest *guest = (void *)shared + KRR_GUEST_OFFSET;

	shared->kernel_text = (u64)_text;
	shared->tsc_khz = tsc_khz;
	memset(guest, 0, sizeof(*guest));
	strscpy(guest->release, init_utsname()->release, sizeof(guest->release));
	BUILD_BUG_ON(sizeof(guest->build_id) != BUILD_ID_SIZE_MAX);
	build_id_parse_buf(&__start_notes, guest->build_id,
			   &__stop_notes - &__start_notes);
}

/*
 * Runs on each CPU, IRQs disabled. Behind the doorbell the recording, and each
 * replay, has begun. Nobody owns the lock there, and all take it in turn.
 */
static int park(void *unused)
{
	struct krr_area *area = this_cpu_read(krr_area);
	u32 vcpu = smp_processor_id();

	memset(area, 0, sizeof(*area));
	area->vcpu = vcpu;
	area->text = krr_text_generation;
	krr_write_cr8(KRR_CR8_CLOSED);
	WRITE_ONCE(area->state, KRR_STATE_ON);
	this_cpu_write(krr_on, 1);
	krr_bell(KRR_BELL_PARK, 0);
	asm volatile(KRR_CALL(krr_acquire)
		     : ASM_CALL_CONSTRAINT : : "memory", "cc");
	return 0;
}

static int refuse(u32 why, int err)
{
	krr_bell(KRR_BELL_REFUSE, why);
	return err;
}

/* 0 if this machine can be recorded as it is now. */
static int check_machine(void)
{
	unsigned int online = num_online_cpus();

	if (!krr_device.shared)
		return -ENODEV;
	if (!static_key_enabled(&krr_present_key)) {
		pr_err("not recording: boot with krr=on on the kernel's command line\n");
		return refuse(KRR_REFUSE_OFF, -EPERM);
	}
	if (online != krr_device.shared->vcpus) {
		pr_err("not recording: %u of %u CPUs are online\n",
		       online, krr_device.shared->vcpus);
		return refuse(KRR_REFUSE_VCPUS, -EBUSY);
	}
	if (efi_enabled(EFI_RUNTIME_SERVICES)) {
		pr_err("not recording: EFI runtime services are code that is not this kernel's: boot with efi=noruntime\n");
		return refuse(KRR_REFUSE_FIRMWARE, -EPERM);
	}
	return 0;
}

static int start_recording(void)
{
	int err;

	introduce_kernel();
	cpu_hotplug_disable();
	static_branch_enable(&krr_active_key);
	krr_status = KRR_RECORDING;
	pr_info("recording\n");
	err = stop_machine(park, NULL, cpu_online_mask);
	if (!err && count_on() == num_online_cpus())
		return 0;
	/* QEMU did not take it; it says why. */
	tidy_up();
	return err ? err : -EIO;
}

static int start_locked(void)
{
	int err;

	tidy_up();
	if (krr_status == KRR_RECORDING)
		return -EBUSY;
	err = check_machine();
	if (err)
		return err;
	if (krr_device.shared->flags & KRR_FLAG_FINAL_RAM) {
		err = krr_memory_prepare();
		if (err) {
			pr_err("not recording: no memory to describe memory at the end\n");
			return refuse(KRR_REFUSE_MEMORY, err);
		}
	}
	if (!krr_unsupported_shut())
		return refuse(KRR_REFUSE_IN_USE, -EBUSY);
	err = start_recording();
	krr_unsupported_open();
	return err;
}

static int krr_start(void)
{
	int err;

	mutex_lock(&krr_mutex);
	err = start_locked();
	mutex_unlock(&krr_mutex);
	return err;
}

void krr_start_at_boot(void)
{
	struct krr_shared *shared = krr_device.shared;
	bool start = krr_boot == BOOT_START ||
		     (krr_boot == BOOT_DEFAULT && shared &&
		      shared->flags & KRR_FLAG_START_BOOT);
	int err;

	if (!start)
		return;
	err = krr_start();
	if (err)
		pr_err("recording was asked for at boot, but cannot start: %d%s\n",
		       err, shared ? "" : " (no usable krr device)");
}

/* ---- requests from QEMU ---- */

static u32 krr_request;

static void krr_work_fn(struct work_struct *work)
{
	switch (xchg(&krr_request, 0)) {
	case KRR_REQUEST_START:
		krr_start();
		break;
	case KRR_REQUEST_STOP:
		krr_stop(0);
		break;
	}
}
static DECLARE_WORK(krr_work, krr_work_fn);

static irqreturn_t krr_interrupt(int irq, void *unused)
{
	u32 request = inl(krr_device.port + KRR_PIO_REQUEST);

	if (!request)
		return IRQ_NONE;
	WRITE_ONCE(krr_request, request);
	schedule_work(&krr_work);
	return IRQ_HANDLED;
}

/* ---- /sys/kernel/krr/ ---- */

static ssize_t record_show(struct kobject *kobj, struct kobj_attribute *attr,
			   char *buf)
{
	static const char *const names[] = {
		[KRR_OFF] = "off",
		[KRR_RECORDING] = "recording",
		[KRR_ENDED] = "ended",
	};
	ssize_t bytes;

	mutex_lock(&krr_mutex);
	tidy_up();
	bytes = sysfs_emit(buf, "%s\n", names[krr_status]);
	mutex_unlock(&krr_mutex);
	return bytes;
}

/* "1" starts, "0" or "0 STATUS" stops. */
static ssize_t record_store(struct kobject *kobj, struct kobj_attribute *attr,
			    const char *buf, size_t count)
{
	unsigned int on, status = 0;
	int err;

	if (sscanf(buf, "%u %u", &on, &status) < 1 || on > 1)
		return -EINVAL;
	err = on ? krr_start() : krr_stop(status);
	return err ? err : count;
}

static struct kobj_attribute record_attribute = __ATTR_RW_MODE(record, 0600);
static struct attribute *krr_attributes[] = { &record_attribute.attr, NULL };
static const struct attribute_group krr_group = { .attrs = krr_attributes };

static int add_sysfs(void)
{
	struct kobject *kobj = kobject_create_and_add("krr", kernel_kobj);
	int err;

	if (!kobj)
		return -ENOMEM;
	err = sysfs_create_group(kobj, &krr_group);
	if (err)
		kobject_put(kobj);
	return err;
}

/* ---- the device ---- */

/*
 * The ring is written all the time, so its pages have to be cached; whether they
 * are is decided by MTRRs and PAT together, and shows in the page table.
 */
static bool is_write_back(void *address)
{
	unsigned int level;
	pte_t *pte = lookup_address((unsigned long)address, &level);

	return pte && !(pte_flags(*pte) & (_PAGE_PWT | _PAGE_PCD));
}

/* Bytes of BAR2 that are in use, by what it says about itself; 0 for nonsense. */
static u64 used_bytes(const struct krr_shared *shared, u64 length)
{
	u64 areas = shared->area_offset + (u64)KRR_MAX_VCPUS * KRR_AREA_SIZE;
	u64 ring = shared->ring_offset + (u64)shared->ring_size;

	if (shared->vcpus < 1 || shared->vcpus > KRR_MAX_VCPUS ||
	    shared->ring_size < KRR_RING_MIN ||
	    shared->ring_size > KRR_RING_MAX ||
	    !is_power_of_2(shared->ring_size) || max(areas, ring) > length)
		return 0;
	return max(areas, ring);
}

static int check_shared(const struct krr_shared *shared, u64 length)
{
	if (!is_write_back((void *)shared)) {
		pr_err("the device's memory is not mapped write-back\n");
		return refuse(KRR_REFUSE_MEMTYPE, -EIO);
	}
	if (shared->magic != KRR_ABI_MAGIC || shared->version != KRR_ABI_VERSION) {
		pr_err("QEMU has interface version %u, this kernel version %u: use a QEMU and a kernel that belong together\n",
		       shared->version, KRR_ABI_VERSION);
		return refuse(KRR_REFUSE_ABI, -EPROTO);
	}
	if (!used_bytes(shared, length)) {
		pr_err("the device's memory has another layout than it says: %u vCPUs, a ring of %u bytes, %llu bytes in all\n",
		       shared->vcpus, shared->ring_size, length);
		return refuse(KRR_REFUSE_ABI, -EPROTO);
	}
	if (nr_cpu_ids > KRR_MAX_VCPUS) {
		pr_err("%u CPUs are possible, at most %u can be recorded: use nr_cpus=\n",
		       nr_cpu_ids, KRR_MAX_VCPUS);
		return refuse(KRR_REFUSE_POSSIBLE, -E2BIG);
	}
	return 0;
}

/* The BAR is larger than what is in it, so a look at the first page comes first. */
static struct krr_shared *map_shared(struct pci_dev *pdev, int *err)
{
	u64 start = pci_resource_start(pdev, KRR_BAR_SHARED);
	u64 length = pci_resource_len(pdev, KRR_BAR_SHARED), used = 0;
	struct krr_shared *shared;

	shared = memremap(start, PAGE_SIZE, MEMREMAP_WB);
	if (shared) {
		*err = check_shared(shared, length);
		if (!*err)
			used = used_bytes(shared, length);
		memunmap(shared);
		if (*err)
			return NULL;
		shared = memremap(start, used, MEMREMAP_WB);
	}
	if (!shared)
		*err = -ENOMEM;
	return shared;
}

static void use_shared(struct krr_shared *shared)
{
	u8 *bar = (u8 *)shared;
	int cpu;

	for_each_possible_cpu(cpu) {
		u8 *slot = bar + shared->area_offset + cpu * KRR_AREA_SIZE;

		per_cpu(krr_area, cpu) = (struct krr_area *)slot;
		per_cpu(krr_stack, cpu) = slot + KRR_AREA_STACK;
	}
	krr_device.ring = bar + shared->ring_offset;
	krr_device.ring_size = shared->ring_size;
	krr_device.shared = shared;
}

static int krr_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct krr_shared *shared;
	int err;

	if (krr_device.shared)
		return -EBUSY;
	err = pcim_enable_device(pdev);
	if (err)
		return err;
	err = pci_request_regions(pdev, "krr");
	if (err)
		return err;
	krr_device.port = pci_resource_start(pdev, KRR_BAR_PIO);
	shared = map_shared(pdev, &err);
	if (!shared)
		return err;
	err = devm_request_irq(&pdev->dev, pdev->irq, krr_interrupt, IRQF_SHARED,
			       "krr", &krr_device);
	if (!err)
		err = add_sysfs();
	if (err) {
		memunmap(shared);
		return err;
	}
	use_shared(shared);
	pr_info("device found, ring of %u KiB\n", krr_device.ring_size / 1024);
	return 0;
}

static const struct pci_device_id krr_ids[] = {
	{ PCI_DEVICE(KRR_PCI_VENDOR_ID, KRR_PCI_DEVICE_ID) },
	{ }
};

static struct pci_driver krr_driver = {
	.name = "krr",
	.id_table = krr_ids,
	.probe = krr_probe,
	/* The hooks hold pointers into the device's memory. */
	.driver.suppress_bind_attrs = true,
};

static int __init krr_init(void)
{
	return pci_register_driver(&krr_driver);
}
device_initcall(krr_init);
