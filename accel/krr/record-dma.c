/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Device writes into guest memory.
 *
 * In record mode no device has a pointer into guest memory that it may write
 * through (memory_access_is_direct()), so all of its writes come by here. Before
 * and after a recording that costs a copy. While one runs, a write is an input of
 * the kernel, at a position in the order of slices: in the slice of the vCPU whose access
 * the device carries out, or in one of the device group's own. Without such a position
 * it ends the recording.
 */
#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qemu/iov.h"
#include "exec/address-spaces.h"
#include "exec/memory.h"
#include "hw/boards.h"
#include "hw/core/cpu.h"
#include "krr-hooks.h"
#include "record.h"
#include "record-group.h"
#include "record-trace.h"

/* Data in one record. */
#define DMA_MAX (KRR_RECORD_MAX - sizeof(struct krr_record) - sizeof(struct krr_dma))

/* ---- copies that devices write to ---- */

/*
 * A device that maps guest memory for writing gets a copy of it, which is written back when the
 * device unmaps it. Some map memory and then write it by its address, or map it twice (virtio-scsi
 * does): so a copy follows what is written meanwhile.
 */
typedef struct Copy {
    const uint8_t *memory;
    uint8_t *copy;
    uint64_t length;
} Copy;

/* By copy. */
static GHashTable *copies;
static GMutex copies_mutex;

static bool is_guest_memory(MemoryRegion *mr)
{
    return memory_region_supports_direct_access(mr) && !mr->readonly && !mr->rom_device;
}

uint64_t krr_record_copy_limit(MemoryRegion *mr, uint64_t used, uint64_t limit)
{
    /* No working guest has more memory mapped than it has; a hostile one would have it a
     * thousand times. */
    if (is_guest_memory(mr)) {
        limit = current_machine->ram_size;
    }
    return limit > used ? limit - used : 0;
}

void krr_record_map(MemoryRegion *mr, uint64_t offset, void *copy, uint64_t length)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&copies_mutex);
    Copy *entry;

    if (!is_guest_memory(mr)) {
        return;
    }
    entry = g_new(Copy, 1);
    *entry = (Copy) {
        .memory = (uint8_t *)memory_region_get_ram_ptr(mr) + offset,
        .copy = copy,
        .length = length,
    };
    memcpy(copy, entry->memory, length);
    if (!copies) {
        copies = g_hash_table_new_full(NULL, NULL, NULL, g_free);
    }
    g_hash_table_insert(copies, copy, entry);
}

void krr_record_unmap(void *copy)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&copies_mutex);

    if (copies) {
        g_hash_table_remove(copies, copy);
    }
}

/* What is written at @memory is written into its copies too. */
static void update_copies(const uint8_t *memory, const uint8_t *data, uint64_t length)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&copies_mutex);
    GHashTableIter i;
    gpointer value;

    if (!copies) {
        return;
    }
    g_hash_table_iter_init(&i, copies);
    while (g_hash_table_iter_next(&i, NULL, &value)) {
        const Copy *entry = value;
        const uint8_t *from = MAX(memory, entry->memory);
        const uint8_t *to = MIN(memory + length, entry->memory + entry->length);

        if (from < to) {
            memcpy(entry->copy + (from - entry->memory), data + (from - memory), to - from);
        }
    }
}

/* ---- records ---- */

/* Whose slice is this? False: nobody's. */
static bool find_position(struct krr_record *record)
{
    const struct krr_area *area = current_cpu ? krr_record_owner(current_cpu) : NULL;

    *record = (struct krr_record) { .kind = KRR_KIND_DMA };
    if (area) {
        record->vcpu = current_cpu->cpu_index;
        record->ordinal = qatomic_read(&area->ordinal);
        return true;
    }
    if (krr_group_inside()) {
        record->vcpu = KRR_DEVICE_GROUP;
        record->ordinal = qatomic_read(&krr_trace_lock()->previous);
        return true;
    }
    return false;
}

static void append(struct krr_record record, uint64_t address, const uint8_t *data,
                   uint64_t length)
{
    static struct {
        struct krr_dma dma;
        uint8_t data[DMA_MAX];
    } payload;                  /* with the mutex: there may be several threads in the group */
    static GMutex mutex;
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&mutex);

    while (length) {
        uint32_t piece = MIN(length, DMA_MAX);
        uint32_t padded = ROUND_UP(piece, 8);

        length -= piece;
        payload.dma = (struct krr_dma) {
            .address = address,
            .length = piece,
            .left = MIN(length, UINT32_MAX),
        };
        memcpy(payload.data, data, piece);
        memset(payload.data + piece, 0, padded - piece);
        record.size = sizeof(record) + sizeof(payload.dma) + padded;
        krr_record_append(&record, &payload);
        address += piece;
        data += piece;
    }
}

/* Somebody writes guest memory now. */
static void note(MemoryRegion *mr, uint64_t offset, const void *data, uint64_t length)
{
    struct krr_record record;
    uint64_t address;

    if (!qatomic_read(&krr_record_active) || !krr_record_physical(mr, offset, &address)) {
        return;
    }
    if (find_position(&record)) {
        append(record, address, data, length);
    } else {
        krr_record_end(KRR_END_DMA, "a device wrote %" PRIu64 " bytes to 0x%" PRIx64
                       " (%s)%s", length, address, memory_region_name(mr),
                       current_cpu ? " on a device access outside of the kernel" : "");
    }
}

/* The region that @memory, a pointer of a device, is in; NULL: no guest memory. */
static MemoryRegion *guest_memory_at(const void *memory, ram_addr_t *offset)
{
    MemoryRegion *mr = memory_region_from_host((void *)memory, offset);

    return mr && is_guest_memory(mr) ? mr : NULL;
}

bool krr_record_may_write(const void *memory)
{
    ram_addr_t offset;

    return guest_memory_at(memory, &offset);
}

void krr_record_wrote(const void *memory, uint64_t length)
{
    ram_addr_t offset;
    MemoryRegion *mr = guest_memory_at(memory, &offset);

    if (mr) {
        note(mr, offset, memory, length);
        update_copies(memory, memory, length);
    }
}

void krr_record_wrote_iov(const struct iovec *iov, unsigned count, size_t offset, size_t length)
{
    g_autofree struct iovec *parts = g_new(struct iovec, count);
    unsigned found = iov_copy(parts, count, iov, count, offset, length);

    for (unsigned i = 0; i < found; i++) {
        krr_record_wrote(parts[i].iov_base, parts[i].iov_len);
    }
}

bool krr_record_dma(MemoryRegion *mr, uint64_t offset, const void *data, uint64_t length)
{
    if (!is_guest_memory(mr)) {
        return false;
    }
    note(mr, offset, data, length);
    update_copies((uint8_t *)memory_region_get_ram_ptr(mr) + offset, data, length);
    return true;
}

/* Tells TCG and migration that guest memory at @host has changed. */
static void changed(MemoryRegion *mr, uint8_t *host, unsigned size)
{
    /* Unmapping does that, and drops a reference. */
    memory_region_ref(mr);
    address_space_unmap(&address_space_memory, host, size, true, size);
}

/* Has @mr all of a store? An MSI may be sent to the last bytes of it, or of what the guest sees
 * of it in one piece. */
static bool is_in_one_piece(MemoryRegion *mr, uint64_t offset, unsigned size)
{
    uint64_t length = memory_region_size(mr), first, last;

    if (size > length || offset > length - size) {
        return false;
    }
    return offset / KRR_PAGE == (offset + size - 1) / KRR_PAGE ||
           (krr_record_physical(mr, offset, &first) &&
            krr_record_physical(mr, offset + size - 1, &last) && last - first == size - 1);
}

bool krr_record_dma_store(MemoryRegion *mr, uint64_t offset, uint64_t value,
                          unsigned size, bool swap)
{
    uint8_t *host, bytes[sizeof(value)];

    if (!is_guest_memory(mr) || !is_in_one_piece(mr, offset, size)) {
        return false;
    }
    if (swap) {
        value = bswap64(value) >> (64 - 8 * size);
    }
    stn_he_p(bytes, size, value);
    note(mr, offset, bytes, size);
    host = (uint8_t *)memory_region_get_ram_ptr(mr) + offset;
    update_copies(host, bytes, size);
    /* In one piece: the guest reads indices of rings while they are written. */
    stn_he_p(host, size, value);
    changed(mr, host, size);
    return true;
}

bool krr_record_unseen(hwaddr address, const void *data, unsigned size, MemTxAttrs attrs)
{
    hwaddr offset, length = size;
    MemoryRegion *mr;
    uint8_t *host;

    RCU_READ_LOCK_GUARD();
    mr = address_space_translate(&address_space_memory, address, &offset, &length, true, attrs);
    if (length < size || !is_guest_memory(mr)) {
        return false;
    }
    host = (uint8_t *)memory_region_get_ram_ptr(mr) + offset;
    update_copies(host, data, size);
    stn_he_p(host, size, ldn_he_p(data, size));
    changed(mr, host, size);
    return true;
}
