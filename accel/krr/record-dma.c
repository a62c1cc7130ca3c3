/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Device writes into guest memory.
 *
 * In record mode no device has a pointer into guest memory that it may write
 * through (memory_access_is_direct()), so all of its writes come by here. Before
 * and after a recording that costs a copy. While one runs, a write is an input of
 * the kernel at a position that only the lock's order can name; writes without
 * such a position end the recording.
 */
#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "exec/address-spaces.h"
#include "exec/memory.h"
#include "krr-hooks.h"
#include "record.h"

static bool is_guest_memory(MemoryRegion *mr)
{
    return memory_region_supports_direct_access(mr) && !mr->readonly && !mr->rom_device;
}

/* Somebody writes guest memory now. */
static void note(MemoryRegion *mr, uint64_t offset, uint64_t length)
{
    uint64_t address;

    if (!qatomic_read(&krr_record_active)) {
        return;
    }
    if (krr_record_physical(mr, offset, &address)) {
        krr_record_end(KRR_END_DMA, "a device wrote %" PRIu64 " bytes to 0x%" PRIx64
                       " (%s)%s", length, address, memory_region_name(mr),
                       current_cpu ? " on a device access of the guest" : "");
    }
}

bool krr_record_dma(MemoryRegion *mr, uint64_t offset, const void *data, uint64_t length)
{
    if (!is_guest_memory(mr)) {
        return false;
    }
    note(mr, offset, length);
    return true;
}

bool krr_record_dma_store(MemoryRegion *mr, uint64_t offset, uint64_t value,
                          unsigned size, bool swap)
{
    uint8_t *host;

    if (!is_guest_memory(mr)) {
        return false;
    }
    note(mr, offset, size);
    if (swap) {
        value = bswap64(value) >> (64 - 8 * size);
    }
    host = (uint8_t *)memory_region_get_ram_ptr(mr) + offset;
    /* In one piece: the guest reads indices of rings while they are written. */
    stn_he_p(host, size, value);
    /* Unmapping tells TCG and migration about the change, and drops the reference. */
    memory_region_ref(mr);
    address_space_unmap(&address_space_memory, host, size, true, size);
    return true;
}
