/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A ROM for a machine with two emulated AMD CPUs: what the lab needs of them. CPU 0 runs the tests
 * while CPU 1 disturbs it, and says on the serial port for each "good" and its name, or what was
 * bad. Both CPUs start at the reset code and end in 64-bit mode, the first 4 GiB mapped 1:1.
 */

#include <stdbool.h>
#include <stdint.h>

#define APIC            0xfee00000u
#define APIC_ICR        0x300

#define ICR_INIT        0x000c4500u /* to all others */
#define ICR_STARTUP     0x000c4600u

#define MSR_VM_HSAVE    0xc0010117u

#define PAGE_FAULT      14
#define GUEST_VECTOR    0x40

#define INJECTIONS      100
#define NESTED_RUNS     50000
#define FAULTS          1000

#define EXIT_VMMCALL    0x81

#define RFLAGS_CF       (1u << 0)
#define RFLAGS_DF       (1u << 10)

#define INTERCEPT_VMRUN   (1ull << 32)
#define INTERCEPT_VMMCALL (1ull << 33)

#define V_INTR_MASKING  (1u << 24)

#define EVENT_VALID     (1u << 31)

struct segment {
    uint16_t selector;
    uint16_t attributes;
    uint32_t limit;
    uint64_t base;
};

/* AMD APM vol. 2, appendix B: what is used here. */
struct vmcb {
    uint8_t unused_000[0x00c];
    uint64_t intercept;
    uint8_t unused_014[0x058 - 0x014];
    uint32_t asid;
    uint32_t tlb_control;
    uint32_t int_control;
    uint32_t int_vector;
    uint64_t int_state;
    uint64_t exit_code;
    uint8_t unused_078[0x090 - 0x078];
    uint64_t nested_control;
    uint8_t unused_098[0x0a8 - 0x098];
    uint64_t event;
    uint64_t nested_cr3;
    uint8_t unused_0b8[0x400 - 0x0b8];
    struct segment es, cs, ss, ds, fs, gs, gdtr, ldtr, idtr, tr;
    uint8_t unused_4a0[0x4d0 - 0x4a0];
    uint64_t efer;
    uint8_t unused_4d8[0x548 - 0x4d8];
    uint64_t cr4, cr3, cr0, dr7, dr6, rflags, rip;
    uint8_t unused_580[0x5d8 - 0x580];
    uint64_t rsp;
    uint8_t unused_5e0[0x5f8 - 0x5e0];
    uint64_t rax;
    uint8_t unused_600[0x1000 - 0x600];
} __attribute__((packed));

_Static_assert(sizeof(struct vmcb) == 4096, "a VMCB is a page");
_Static_assert(__builtin_offsetof(struct vmcb, rax) == 0x5f8, "layout of the VMCB");
_Static_assert(__builtin_offsetof(struct vmcb, cr4) == 0x548, "layout of the VMCB");

struct gate {
    uint16_t low, selector, type, middle;
    uint32_t high, zero;
};

struct pointer {
    uint16_t limit;
    uint64_t base;
} __attribute__((packed));

static struct vmcb vmcb __attribute__((aligned(4096)));
static uint8_t host_save[4096] __attribute__((aligned(4096)));
static uint8_t guest_stack[4096] __attribute__((aligned(16)));
static struct gate idt[256] __attribute__((aligned(16)));
static uint8_t straddling[64] __attribute__((aligned(64)));
static uint64_t nested_level4[512] __attribute__((aligned(4096)));
static uint64_t nested_level3[512] __attribute__((aligned(4096)));

static volatile enum { STRADDLE, LOAD_FPU } disturbance;
static volatile uint32_t disturbed, delivered;
static volatile uint64_t fault_flags;

/* ---- from reset to 64-bit mode ---- */

/* Page tables: level 4 at 0x1000, level 3 at 0x2000 with four pages of 1 GiB. */
asm(".section .start, \"ax\"\n"
    ".code16\n"
    "start:\n"
    "    cli\n"
    "    lgdtl %cs:(gdt_pointer - 0xf0000)\n"
    "    mov %cr0, %eax\n"
    "    or $1, %eax\n"
    "    mov %eax, %cr0\n"
    "    ljmpl $0x08, $start32\n"
    ".code32\n"
    "start32:\n"
    "    mov $0x10, %eax\n"
    "    mov %eax, %ds\n"
    "    mov %eax, %es\n"
    "    mov %eax, %ss\n"
    "    mov 0xfee00020, %ebx\n"
    "    shr $24, %ebx\n"
    "    jnz 1f\n"
    "    movl $0x2003, 0x1000\n"
    "    movl $0x00000083, 0x2000\n"
    "    movl $0x40000083, 0x2008\n"
    "    movl $0x80000083, 0x2010\n"
    "    movl $0xc0000083, 0x2018\n"
    "1:  mov %cr4, %eax\n"
    "    or $0x20, %eax\n" /* PAE */
    "    mov %eax, %cr4\n"
    "    mov $0x1000, %eax\n"
    "    mov %eax, %cr3\n"
    "    mov $0xc0000080, %ecx\n"
    "    mov $0x1100, %eax\n" /* SVME, LME */
    "    xor %edx, %edx\n"
    "    wrmsr\n"
    "    mov %cr0, %eax\n"
    "    or $0x80000000, %eax\n"
    "    mov %eax, %cr0\n"
    "    ljmp $0x18, $start64\n"
    ".code64\n"
    "start64:\n"
    "    mov %ebx, %eax\n"
    "    shl $14, %eax\n"
    "    mov $0x80000, %esp\n"
    "    sub %rax, %rsp\n"
    "    mov %ebx, %edi\n"
    "    call cpu_main\n"
    "2:  hlt\n"
    "    jmp 2b\n"
    ".balign 8\n"
    "gdt:\n"
    "    .quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff, 0x00af9b000000ffff\n"
    "gdt_pointer:\n"
    "    .word . - gdt - 1\n"
    "    .long gdt\n"
    ".section .reset, \"ax\"\n"
    ".code16\n"
    "    ljmp $0xf000, $0\n"
    ".code64\n"
    ".text\n");

/* run_guest(vmcb): one VMRUN; the guest may destroy RAX and RCX. Then looks at the APIC, which the
 * nested page tables do not map, by a new walk of the page tables. */
asm("run_guest:\n"
    "    mov %rdi, %rax\n"
    "    vmrun %rax\n"
    "    mov $0xfee00020, %eax\n"
    "    invlpg (%rax)\n"
    "    mov (%rax), %eax\n"
    "    ret\n"
    /* Nested guests: one that has nothing to do, one that goes at once. */
    "guest_idle:\n"
    "    jmp guest_idle\n"
    "guest_leave:\n"
    "    vmmcall\n"
    "    hlt\n"
    /* Its handler stays, interrupts off, until CPU 1 has disturbed CPU 0 some times (or is stuck).
     * No PAUSE: it would leave the emulator's loop by itself. */
    "guest_handler:\n"
    "    incl delivered(%rip)\n"
    "    mov disturbed(%rip), %eax\n"
    "    add $3, %eax\n"
    "    mov $1000000000, %ecx\n"
    "1:  cmp %eax, disturbed(%rip)\n"
    "    jns 2f\n"
    "    dec %ecx\n"
    "    jnz 1b\n"
    "2:  vmmcall\n"
    "    hlt\n"
    /* fault_with_flags(address): a locked access, with CF and DF set, that must fault. */
    "fault_with_flags:\n"
    "    stc\n"
    "    std\n"
    "    lock incl (%rdi)\n"
    "after_fault:\n"
    "    cld\n"
    "    ret\n"
    "fault_handler:\n"
    "    mov 24(%rsp), %rax\n"
    "    mov %rax, fault_flags(%rip)\n"
    "    lea after_fault(%rip), %rax\n"
    "    mov %rax, 8(%rsp)\n"
    "    add $8, %rsp\n"
    "    iretq\n");

void run_guest(struct vmcb *vmcb);
void fault_with_flags(uintptr_t address);
extern const char guest_idle[], guest_leave[], guest_handler[], fault_handler[], gdt[];

/* ---- machine ---- */

static void outb(uint16_t port, uint8_t value)
{
    asm volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static void print(const char *text)
{
    while (*text) {
        outb(0x3f8, *text++);
    }
}

static void print_number(uint32_t number)
{
    char text[11];
    int i = sizeof(text) - 1;

    text[i] = '\0';
    do {
        text[--i] = '0' + number % 10;
        number /= 10;
    } while (number);
    print(text + i);
}

static void apic_write(uint32_t reg, uint32_t value)
{
    *(volatile uint32_t *)(uintptr_t)(APIC + reg) = value;
}

static void wrmsr(uint32_t msr, uint64_t value)
{
    asm volatile("wrmsr" : : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)));
}

static void set_gate(int vector, const char *handler)
{
    uintptr_t address = (uintptr_t)handler;

    idt[vector].low = address;
    idt[vector].selector = 0x18;
    idt[vector].type = 0x8e00;
    idt[vector].middle = address >> 16;
}

static void load_idt(void)
{
    struct pointer pointer = { sizeof(idt) - 1, (uintptr_t)idt };

    set_gate(GUEST_VECTOR, guest_handler);
    set_gate(PAGE_FAULT, fault_handler);
    asm volatile("lidt %0" : : "m"(pointer));
}

static void prepare_guest(const char *rip)
{
    const struct segment data = { 0x10, 0xc93, 0xffffffff, 0 };
    uint64_t cr0, cr4;

    asm("mov %%cr0, %0" : "=r"(cr0));
    asm("mov %%cr4, %0" : "=r"(cr4));
    vmcb.intercept = INTERCEPT_VMRUN | INTERCEPT_VMMCALL;
    vmcb.asid = 1;
    vmcb.es = vmcb.ss = vmcb.ds = data;
    vmcb.cs = (struct segment){ 0x18, 0xa9b, 0xffffffff, 0 };
    vmcb.gdtr = (struct segment){ 0, 0, 31, (uintptr_t)gdt };
    vmcb.idtr = (struct segment){ 0, 0, sizeof(idt) - 1, (uintptr_t)idt };
    vmcb.efer = 0x1500; /* SVME, LMA, LME */
    vmcb.cr4 = cr4;
    vmcb.cr3 = 0x1000;
    vmcb.cr0 = cr0;
    vmcb.dr7 = 0x400;
    vmcb.dr6 = 0xffff0ff0;
    vmcb.rflags = 0x202; /* IF */
    vmcb.rip = (uintptr_t)rip;
    vmcb.rsp = (uintptr_t)guest_stack + sizeof(guest_stack);
    vmcb.int_control = V_INTR_MASKING;
    vmcb.int_state = 0;
    vmcb.nested_control = 0;
    vmcb.event = 0;
}

/* The first GiB, 1:1, for user mode, which all accesses of a nested guest count as. */
static void prepare_nested_paging(void)
{
    nested_level4[0] = (uintptr_t)nested_level3 | 7;
    nested_level3[0] = 0x87;
    vmcb.nested_control = 1;
    vmcb.nested_cr3 = (uintptr_t)nested_level4;
}

/* ---- tests ---- */

static bool bad(const char *what, uint32_t turn, const char *which, uint64_t number)
{
    print("bad ");
    print(what);
    print(", turn ");
    print_number(turn);
    print(which);
    print_number(number);
    print("\n");
    return false;
}

/* VMRUN injects an interrupt: the guest gets it once, whatever else stops CPU 0 then. */
static bool injected_once(void)
{
    uint32_t i;

    for (i = 0; i < INJECTIONS; i++) {
        prepare_guest(guest_idle);
        vmcb.event = EVENT_VALID | GUEST_VECTOR;
        delivered = 0;
        run_guest(&vmcb);
        if (vmcb.exit_code != EXIT_VMMCALL) {
            return bad("injection", i, ": exit ", vmcb.exit_code);
        }
        if (delivered != 1) {
            return bad("injection", i, ": times that it was delivered ", delivered);
        }
    }
    return true;
}

/* A CPU is in a nested guest or is not, whatever instructions another CPU executes. */
static bool nested_or_not(void)
{
    uint32_t i;

    for (i = 0; i < NESTED_RUNS; i++) {
        prepare_guest(guest_leave);
        prepare_nested_paging();
        run_guest(&vmcb);
        if (vmcb.exit_code != EXIT_VMMCALL || vmcb.rip != (uintptr_t)guest_leave) {
            return bad("nested guest", i, ": exit ", vmcb.exit_code);
        }
    }
    return true;
}

/* A locked access that the emulator does while all other CPUs stand still keeps the flags if it
 * faults. */
static bool flags_kept(void)
{
    const uint64_t set = RFLAGS_CF | RFLAGS_DF;
    uint32_t i;

    for (i = 0; i < FAULTS; i++) {
        fault_flags = 0;
        fault_with_flags(0x100000000 - 2);
        if ((fault_flags & set) != set) {
            return bad("fault", i, ": flags ", fault_flags);
        }
    }
    return true;
}

static void test(bool (*function)(void), const char *good)
{
    uint32_t before = disturbed;

    while (disturbed == before) {
    }
    if (function()) {
        print(good);
    }
}

static void host(void)
{
    wrmsr(MSR_VM_HSAVE, (uintptr_t)host_save);
    apic_write(APIC_ICR, ICR_INIT);
    apic_write(APIC_ICR, ICR_STARTUP | 0xf0);
    test(injected_once, "good injected_once\n");
    test(flags_kept, "good flags_kept\n");
    disturbance = LOAD_FPU;
    test(nested_or_not, "good nested_or_not\n");
    outb(0xf4, 0);
}

/* The emulator does a locked access that straddles while all other CPUs stand still. */
static void straddle(void)
{
    asm volatile("lock incl %0" : "+m"(*(uint32_t *)(straddling + 14)));
}

static void load_fpu(void)
{
    static uint32_t environment[7];

    asm volatile("fldenv %0" : : "m"(environment));
}

void cpu_main(uint32_t id);

void cpu_main(uint32_t id)
{
    load_idt();
    if (id == 0) {
        host();
        return;
    }
    for (;;) {
        if (disturbance == STRADDLE) {
            straddle();
        } else {
            load_fpu();
        }
        disturbed++;
    }
}
