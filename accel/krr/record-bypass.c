/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Devices that user space drives by itself (krr-bypass=on).
 *
 * What such a device writes goes to buffers of user space, which are no input of the kernel, so
 * it is not recorded. The device sees guest memory through an address space of its own, all of
 * which is one region, and that hands on what is not memory (interrupts as messages). Should the
 * device write the kernel's memory nevertheless, the kernel's replay diverges where that matters,
 * and says so.
 */
#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "exec/address-spaces.h"
#include "exec/memory.h"
#include "krr-hooks.h"
#include "record.h"

static MemTxResult bypass_read(void *opaque, hwaddr address, uint64_t *data, unsigned size,
                               MemTxAttrs attrs)
{
    uint8_t bytes[8] = { };
    MemTxResult result = address_space_read(&address_space_memory, address, attrs, bytes, size);

    *data = ldn_le_p(bytes, size);
    return result;
}

static MemTxResult bypass_write(void *opaque, hwaddr address, uint64_t data, unsigned size,
                                MemTxAttrs attrs)
{
    uint8_t bytes[8];

    stn_le_p(bytes, size, data);
    if (krr_record_unseen(address, bytes, size, attrs)) {
        return MEMTX_OK;
    }
    return address_space_write(&address_space_memory, address, attrs, bytes, size);
}

static const MemoryRegionOps bypass_ops = {
    .read_with_attrs = bypass_read,
    .write_with_attrs = bypass_write,
    .endianness = DEVICE_LITTLE_ENDIAN,
    .valid = { .min_access_size = 1, .max_access_size = 8, .unaligned = true },
    .impl = { .min_access_size = 1, .max_access_size = 8, .unaligned = true },
};

AddressSpace *krr_bypass_space(void)
{
    static AddressSpace space;
    static MemoryRegion root;

    if (!space.root) {
        memory_region_init_io(&root, NULL, &bypass_ops, NULL, "krr-bypass", UINT64_MAX);
        address_space_init(&space, &root, "krr-bypass");
    }
    return &space;
}
