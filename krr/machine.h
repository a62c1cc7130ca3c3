/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a trace says about the recorded machine: all that replay needs to build
 * it again without an argument of the user.
 *
 * These structures are stored in the file as they are (little endian, no
 * pointers, no implicit padding); docs/trace-format.md describes them field by
 * field.
 */
#ifndef KRR_MACHINE_H
#define KRR_MACHINE_H

#include <stdint.h>

#define KRR_PAGE                4096u   /* of guest memory */

#define KRR_MACHINE_RANGES      64
#define KRR_MACHINE_FEATURES    64
#define KRR_MACHINE_SILENT      16

/* A range of guest-physical memory that the guest reads without an exit. */
typedef struct KrrRange {
    uint64_t address;           /* guest-physical, bytes */
    uint64_t length;            /* bytes, multiple of 4096 */
    uint32_t flags;             /* KRR_RANGE_* */
    uint32_t reserved;
} KrrRange;
#define KRR_RANGE_READONLY  1   /* ROM to the guest; contents are in the snapshot */

/* Where accesses never reach QEMU while recording: replay ignores writes
 * there, and reads must be announced by a record of the guest. */
typedef struct KrrSilent {
    uint64_t address;
    uint32_t length;            /* bytes */
    uint32_t space;             /* KRR_SPACE_* */
} KrrSilent;
#define KRR_SPACE_MEMORY    0
#define KRR_SPACE_PORT      1

/* One 32-bit word of CPUID feature bits, or an MSR of feature bits. */
typedef struct KrrFeature {
    uint32_t leaf;              /* CPUID leaf, or MSR number */
    uint32_t subleaf;
    uint32_t reg;               /* 0 EAX, 1 EBX, 2 ECX, 3 EDX, KRR_FEATURE_MSR */
    uint32_t reserved;
    uint64_t value;
} KrrFeature;
#define KRR_FEATURE_MSR     16

typedef struct KrrMachine {
    uint32_t abi_version;       /* KRR_ABI_VERSION of the recording guest */
    uint32_t vcpus;             /* 1..KRR_MAX_VCPUS */
    uint32_t flags;             /* KRR_MACHINE_* */
    uint32_t phys_bits;         /* MAXPHYADDR of the guest */
    char     vendor[16];        /* CPUID vendor, NUL padded */
    uint32_t family, model, stepping;
    uint32_t cpuid_level, cpuid_xlevel, cpuid_xlevel2;
    uint32_t tsc_khz;           /* 0 unknown */
    uint32_t features_count, ranges_count, silent_count;
    uint64_t ram_size;          /* bytes of RAM given to the machine (-m) */
    uint64_t kernel_text;       /* run-time address of _text; 0 unknown */
    uint64_t shared_address;    /* guest-physical BAR2 and its length */
    uint64_t shared_length;
    uint32_t pio_base;          /* first port of BAR0 */
    uint32_t accel;             /* KRR_ACCEL_* that recorded */
    int64_t  start_time;        /* microseconds since 1970 UTC */
    char     kernel_release[72];    /* NUL padded; "" unknown */
    char     qemu_version[32];
    uint8_t  build_id[20];      /* of vmlinux; zeroes unknown */
    uint32_t reserved;
    KrrFeature features[KRR_MACHINE_FEATURES];
    KrrRange   ranges[KRR_MACHINE_RANGES];
    KrrSilent  silent[KRR_MACHINE_SILENT];
} KrrMachine;
#define KRR_MACHINE_FINAL_RAM   1   /* final-ram=on was asked for */
#define KRR_ACCEL_TCG       1
#define KRR_ACCEL_KVM       2

typedef struct KrrSegment {
    uint64_t base;
    uint32_t limit;
    uint32_t flags;             /* QEMU's SegmentCache layout: descriptor's second word */
    uint32_t selector;
    uint32_t reserved;
} KrrSegment;

enum {
    KRR_SEG_ES, KRR_SEG_CS, KRR_SEG_SS, KRR_SEG_DS, KRR_SEG_FS, KRR_SEG_GS,
    KRR_SEG_LDT, KRR_SEG_TR, KRR_SEG_GDT, KRR_SEG_IDT, KRR_SEG_COUNT
};

#define KRR_XSAVE_SIZE  4096

/* State of one vCPU at the snapshot: right after the OUT of KRR_BELL_PARK. */
typedef struct KrrCpuState {
    uint64_t gpr[16];           /* hardware order: RAX RCX RDX RBX RSP RBP RSI RDI R8.. */
    uint64_t rip, rflags;
    KrrSegment segment[KRR_SEG_COUNT];
    uint64_t cr0, cr2, cr3, cr4, cr8, xcr0;
    uint64_t dr[8];
    uint64_t efer, star, lstar, cstar, fmask, kernel_gs_base;
    uint64_t sysenter_cs, sysenter_esp, sysenter_eip;
    uint64_t pat, tsc_aux, misc_enable, apic_base, spec_ctrl;
    uint32_t apic_id;
    uint32_t pkru;
    uint32_t xsave_length;      /* bytes of xsave in use, standard format */
    uint32_t reserved;          /* 0 */
    uint8_t  xsave[KRR_XSAVE_SIZE];
} KrrCpuState;

/* NULL, or what makes no sense in it (a static string): counts, unterminated strings,
 * ranges that overlap, wrap around or are not whole pages, lengths. */
const char *krr_machine_check(const KrrMachine *machine);
const char *krr_cpu_check(const KrrCpuState *cpu);

_Static_assert(sizeof(KrrFeature) == 24, "trace format");
_Static_assert(sizeof(KrrRange) == 24, "trace format");
_Static_assert(sizeof(KrrSilent) == 16, "trace format");
_Static_assert(sizeof(KrrSegment) == 24, "trace format");

#endif
