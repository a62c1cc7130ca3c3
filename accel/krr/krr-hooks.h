/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What QEMU calls of KRR. The hook patches in krr/patches/qemu/ add these calls;
 * some mend the emulator besides. Target-neutral: it may be included from any of QEMU's files.
 */
#ifndef ACCEL_KRR_HOOKS_H
#define ACCEL_KRR_HOOKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "accel/krr/krr-mode.h"

struct CPUState;
struct AccelOpsClass;
struct AddressSpace;
struct MemoryRegion;
struct QDict;


/* ---- start of QEMU (system/vl.c) ---- */

/* Parses the argument of -krr; exits with a message when it is wrong. */
void krr_option(const char *arg);
/* Before options are validated: refuses conflicting ones, sets up the machine of a replay. */
void krr_configure(struct QDict *machine_opts, int *has_defaults, int *default_vga,
                   const char **cpu_option);
/* After machine creation and reset: checks what is to be recorded, or loads the snapshot. */
void krr_machine_ready(void);

/* ---- recording ---- */

/*
 * A vCPU accessed a device. Writes a record if a recording runs and the
 * vCPU owns the kernel-entry lock; else does nothing. Called by the vCPU's thread
 * after a read and before a write is carried out. @kind is KRR_KIND_PORT_READ and so on.
 * Accesses to KRR's own doorbell port and to silent ranges (the local APIC,
 * which KVM keeps from QEMU) are not recorded.
 */
void krr_record_io(struct CPUState *cpu, unsigned kind, uint64_t address,
                   unsigned size, uint64_t value);

/* The same for memory-mapped devices of a guest that runs under TCG. The value
 * read comes as TCG's slow path has it: big endian. */
void krr_record_mmio_read(struct CPUState *cpu, uint64_t address, unsigned size,
                          uint64_t value_be);
void krr_record_mmio_write(struct CPUState *cpu, uint64_t address, unsigned size,
                           uint64_t value);

/*
 * A vCPU left KVM for a port access (@count elements of @size bytes at @data)
 * or an access to memory without RAM. Carries the access out and records it;
 * without the BQL, like its callers.
 */
bool krr_record_kvm_io(struct CPUState *cpu, uint16_t port, void *data, bool write,
                       unsigned size, uint32_t count);
bool krr_record_kvm_mmio(struct CPUState *cpu, uint64_t address, void *data,
                         unsigned size, bool write);

/*
 * Someone who is no vCPU's instruction (a device, the monitor, gdb) is about
 * to write @length bytes at @offset of a memory region. True: this is guest
 * memory, the caller writes it now. False: not recording, or no guest memory.
 */
bool krr_record_dma(struct MemoryRegion *mr, uint64_t offset, const void *data,
                    uint64_t length);
static inline bool krr_dma_write(struct MemoryRegion *mr, uint64_t offset,
                                 const void *data, uint64_t length)
{
    return __builtin_expect(krr_record_mode, 0) &&
           krr_record_dma(mr, offset, data, length);
}

/* The same for a store of one value, 1 to 8 bytes, which is carried out here. @swap:
 * in the order that is not the host's. */
bool krr_record_dma_store(struct MemoryRegion *mr, uint64_t offset, uint64_t value,
                          unsigned size, bool swap);
static inline bool krr_dma_store(struct MemoryRegion *mr, uint64_t offset,
                                 uint64_t value, unsigned size, bool swap)
{
    return __builtin_expect(krr_record_mode, 0) &&
           krr_record_dma_store(mr, offset, value, size, swap);
}

/*
 * How many bytes a device may get a copy of, for a mapping of @mr when copies of @used bytes are
 * there. @limit: QEMU's own for all copies, which holds for what is no guest memory.
 */
uint64_t krr_record_copy_limit(struct MemoryRegion *mr, uint64_t used, uint64_t limit);

/*
 * A device has mapped @length bytes at @offset of @mr for writing: it gets @copy, which is filled
 * here. krr_record_unmap() comes before what it has written is written back.
 */
void krr_record_map(struct MemoryRegion *mr, uint64_t offset, void *copy, uint64_t length);
void krr_record_unmap(void *copy);

/* Has a device that has mapped guest memory for reading a pointer that it may write through? */
bool krr_record_may_write(const void *memory);
static inline bool krr_dma_may_write(const void *memory)
{
    return !krr_record_mode || krr_record_may_write(memory);
}

/* A device that has a pointer into guest memory nevertheless has written there, just now. */
void krr_record_wrote(const void *memory, uint64_t length);
static inline void krr_dma_wrote(const void *memory, uint64_t length)
{
    if (__builtin_expect(krr_record_mode, 0)) {
        krr_record_wrote(memory, length);
    }
}

/* The same for @length bytes at @offset of @count pieces, some of which may be guest memory. */
void krr_record_wrote_iov(const struct iovec *iov, unsigned count, size_t offset, size_t length);
static inline void krr_dma_wrote_iov(const struct iovec *iov, unsigned count, size_t offset,
                                     size_t length)
{
    if (__builtin_expect(krr_record_mode, 0)) {
        krr_record_wrote_iov(iov, count, offset, length);
    }
}

/* The address space for the DMA of a PCI device with krr-bypass=on; record mode only. */
struct AddressSpace *krr_bypass_space(void);

/* A thread wants @cpu's thread to leave what it is in: so it must not sleep for the
 * kernel-entry lock. Any thread. */
void krr_record_kicked(struct CPUState *cpu);

/* @cpu's thread is about to stop @cpu until the main loop lets it go on. */
void krr_record_parks(struct CPUState *cpu);

/* ---- replay: vCPU scheduler (accel/tcg) ---- */

/* Exit code of cpu_exec(): the scheduler has to decide who runs on. Above
 * QEMU's own EXCP_* codes, which end at 0x10005. */
#define EXCP_KRR 0x10100

void krr_replay_ops_init(struct AccelOpsClass *ops);

/*
 * Before each translation block is looked up: has this vCPU left the kernel? If
 * the next record is its own entry, that is injected and the vCPU runs on (false). True: it
 * must not run on now.
 */
bool krr_replay_left_kernel(struct CPUState *cpu);

/* ---- replay: gdb's stub (gdbstub) ---- */

/* True when a replay stands at the end of its trace (for gdb's stop reason). */
bool krr_replay_at_end(void);

/* Instead of gdb_read_byte(), for each byte that gdb sends; also where nothing is replayed. */
void krr_replay_gdb_byte(uint8_t byte);

#endif
