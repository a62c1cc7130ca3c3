/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory of the guest in a trace: every range that the guest reads without an
 * exit, RAM and ROM, by its guest-physical address.
 */
#include "qemu/osdep.h"
#include "exec/address-spaces.h"
#include "exec/memory.h"
#include "exec/ramblock.h"
#include "qemu/rcu.h"
#include "record.h"

/* Pages that are looked at in one go. */
#define WINDOW_PAGES    512

/* /proc/self/pagemap: the page is in memory, or in the swap. */
#define PAGEMAP_THERE   (3ULL << 62)

/* ---- ranges ---- */

typedef struct RangeSearch {
    KrrMachine *machine;
    MemoryRegion *shared;
    Error **errp;
    bool failed;
} RangeSearch;

static bool range_fail(RangeSearch *s, const char *name, uint64_t address,
                       const char *why)
{
    s->failed = true;
    error_setg(s->errp, "guest memory at 0x%" PRIx64 " (%s) cannot be recorded: %s",
               address, name, why);
    return true;
}

static bool is_readonly(uint64_t address)
{
    MemoryRegionSection section = memory_region_find(get_system_memory(), address, 1);
    bool readonly = section.readonly || (section.mr && section.mr->rom_device);

    memory_region_unref(section.mr);
    return readonly;
}

static bool add_range(Int128 start, Int128 len, const MemoryRegion *cmr, hwaddr offset,
                      void *opaque)
{
    MemoryRegion *mr = (MemoryRegion *)cmr;
    RangeSearch *s = opaque;
    KrrMachine *machine = s->machine;
    uint64_t address = int128_get64(start), length = int128_get64(len);
    const char *name = memory_region_name(mr);

    if (!memory_region_is_ram(mr) && !memory_region_is_romd(mr)) {
        return false;
    }
    if (mr == s->shared) {
        return false;
    }
    if (memory_region_is_ram_device(mr)) {
        return range_fail(s, name, address, "it belongs to a host device");
    }
    if (address % KRR_PAGE || length % KRR_PAGE) {
        return range_fail(s, name, address, "it is not made of whole pages");
    }
    if (machine->ranges_count == KRR_MACHINE_RANGES) {
        return range_fail(s, name, address, "there are too many ranges of memory");
    }
    machine->ranges[machine->ranges_count++] = (KrrRange) {
        .address = address,
        .length = length,
        .flags = is_readonly(address) ? KRR_RANGE_READONLY : 0,
    };
    return false;
}

bool krr_record_ranges(KrrMachine *machine, MemoryRegion *shared, Error **errp)
{
    RangeSearch s = { .machine = machine, .shared = shared, .errp = errp };

    RCU_READ_LOCK_GUARD();
    machine->ranges_count = 0;
    flatview_for_each_range(address_space_to_flatview(&address_space_memory), add_range,
                            &s);
    return !s.failed;
}

typedef struct PhysicalSearch {
    MemoryRegion *mr;
    uint64_t offset;
    uint64_t address;
    bool found;
} PhysicalSearch;

static bool find_offset(Int128 start, Int128 len, const MemoryRegion *mr, hwaddr offset,
                        void *opaque)
{
    PhysicalSearch *s = opaque;

    if (mr == s->mr && s->offset >= offset && s->offset - offset < int128_get64(len)) {
        s->address = int128_get64(start) + s->offset - offset;
        s->found = true;
    }
    return s->found;
}

bool krr_record_physical(MemoryRegion *mr, uint64_t offset, uint64_t *address)
{
    PhysicalSearch s = { .mr = mr, .offset = offset };

    RCU_READ_LOCK_GUARD();
    flatview_for_each_range(address_space_to_flatview(&address_space_memory), find_offset,
                            &s);
    *address = s.address;
    return s.found;
}

/* ---- contents ---- */

typedef struct RamWriter {
    KrrWriter *writer;
    bool final;
    int pagemap;            /* -1: unknown, every page counts as touched */
} RamWriter;

/*
 * Reading a page that nobody has touched maps the zero page there, and every
 * first write of the guest then costs one fault more. Memory with a
 * file behind it may hold data without being mapped.
 */
static bool window_touched(const RamWriter *w, MemoryRegion *mr, const uint8_t *host,
                           size_t pages, uint64_t *entries)
{
    size_t page_size = qemu_real_host_page_size();
    ssize_t bytes = pages * sizeof(*entries);

    return w->pagemap >= 0 && page_size == KRR_PAGE && memory_region_get_fd(mr) < 0 &&
           pread(w->pagemap, entries, bytes, (uintptr_t)host / page_size * 8) == bytes;
}

static bool put(const RamWriter *w, uint64_t address, const uint8_t *host, size_t length,
                Error **errp)
{
    GError *err = NULL;

    if (!length) {
        return true;
    }
    if (w->final) {
        krr_writer_final_ram(w->writer, address, host, length, &err);
    } else {
        krr_writer_ram(w->writer, address, host, length, &err);
    }
    if (err) {
        krr_record_propagate(errp, err);
        return false;
    }
    return true;
}

static bool write_window(const RamWriter *w, MemoryRegion *mr, uint64_t address,
                         const uint8_t *host, size_t pages, Error **errp)
{
    uint64_t entries[WINDOW_PAGES];
    size_t first = 0;

    if (!window_touched(w, mr, host, pages, entries)) {
        return put(w, address, host, pages * KRR_PAGE, errp);
    }
    for (size_t i = 0; i <= pages; i++) {
        if (i == pages || !(entries[i] & PAGEMAP_THERE)) {
            if (!put(w, address + first * KRR_PAGE, host + first * KRR_PAGE, (i - first) * KRR_PAGE,
                     errp)) {
                return false;
            }
            first = i + 1;
        }
    }
    return true;
}

static bool write_range(const RamWriter *w, const KrrRange *range, Error **errp)
{
    MemoryRegionSection section = memory_region_find(get_system_memory(), range->address,
                                                     range->length);
    bool good = section.mr && int128_get64(section.size) == range->length &&
                section.offset_within_address_space == range->address;
    const uint8_t *host;

    if (!good) {
        error_setg(errp, "guest memory at 0x%" PRIx64 " is not where it was",
                   range->address);
    } else {
        host = (uint8_t *)memory_region_get_ram_ptr(section.mr) +
               section.offset_within_region;
        for (uint64_t done = 0; good && done < range->length; ) {
            size_t pages = MIN((range->length - done) / KRR_PAGE, WINDOW_PAGES);

            good = write_window(w, section.mr, range->address + done, host + done, pages,
                                errp);
            done += pages * KRR_PAGE;
        }
    }
    memory_region_unref(section.mr);
    return good;
}

bool krr_record_ram(KrrWriter *writer, const KrrMachine *machine, bool final,
                    Error **errp)
{
    RamWriter w = {
        .writer = writer,
        .final = final,
        .pagemap = qemu_open_old("/proc/self/pagemap", O_RDONLY),
    };
    bool good = true;

    for (uint32_t i = 0; good && i < machine->ranges_count; i++) {
        good = write_range(&w, &machine->ranges[i], errp);
    }
    if (w.pagemap >= 0) {
        qemu_close(w.pagemap);
    }
    return good;
}
