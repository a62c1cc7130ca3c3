/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Forged traces: well-formed, with a guest that no recorder has seen. A replay of one must end
 * with an error or a divergence, never by a signal or not at all.
 *
 *   forge KIND GOOD OUT
 *
 * Machine and CPU are those of the trace GOOD, memory and records are made up: a few instructions
 * with tables of their own. Their hooks are no calls: the stack has the address behind each hook,
 * where the replay goes on.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "krr/reader.h"
#include "krr/writer.h"

#define MEMORY          (64u << 20)             /* bytes, from guest-physical 0 */
#define KERNEL          0xffffffff80000000ull   /* where all of it is mapped */
#define UNMAPPED        0xffffffffc0000000ull
#define LARGE_PAGE      (2u << 20)

/* Guest-physical, a page each. */
enum {
    PML4 = 0x1000, PDPT = 0x2000, PD = 0x3000, PT = 0x4000,
    GDT = 0x5000, TSS = 0x6000, IDT = 0x7000, CODE = 0x8000, STACK = 0x9000, IST_STACK = 0xa000,
};

#define CODE_SELECTOR   0x10
#define CODE_SEGMENT    0x00af9b000000ffffull   /* 64-bit, present, accessed */
#define TSS_SELECTOR    0x40
#define TSS_FLAGS       0x8b00                  /* present, busy 64-bit TSS */
#define TSS_IST1        0x24
#define GATE_FLAGS      0x8e00                  /* present, interrupt gate */

#define PRESENT         0x3                     /* and writable */
#define ACCESSED        0x60                    /* and dirty */
#define LARGE           0x80

#define PAGE_FAULT      14
#define WAKE_VECTOR     0x20
#define PORT            0x80

enum { RCX = 1, RDX = 2, RSP = 4, R8 = 8 };     /* of KrrCpuState.gpr */

/* Of a trace with many areas. */
#define AREAS           (MEMORY / 2)            /* guest-physical */
#define AREAS_COUNT     (1u << 20)
G_STATIC_ASSERT(AREAS + AREAS_COUNT * sizeof(struct krr_memory) <= MEMORY);

typedef struct Forgery {
    KrrMachine machine;
    KrrCpuState cpu;
    uint8_t *memory;
    uint64_t code;              /* guest-physical: where the next instruction goes, */
    uint64_t stack;             /* and the next return address */
    GByteArray *records;
} Forgery;

static G_NORETURN void die(const char *text)
{
    fprintf(stderr, "forge: %s\n", text);
    exit(1);
}

static void check(bool good, GError *err)
{
    if (!good) {
        die(err->message);
    }
}

/* ---- memory ---- */

static void put(Forgery *f, uint64_t address, uint64_t value)
{
    memcpy(f->memory + address, &value, sizeof(value));
}

/* The first large page in small ones, so that each table has an entry of its own. */
static void map_memory(Forgery *f)
{
    put(f, PML4 + 8 * 511, PDPT | PRESENT | ACCESSED);
    put(f, PDPT + 8 * 510, PD | PRESENT | ACCESSED);
    put(f, PD, PT | PRESENT | ACCESSED);
    for (uint64_t i = 1; i < MEMORY / LARGE_PAGE; i++) {
        put(f, PD + 8 * i, i * LARGE_PAGE | PRESENT | ACCESSED | LARGE);
    }
    for (uint64_t i = 0; i < LARGE_PAGE / KRR_PAGE; i++) {
        put(f, PT + 8 * i, i * KRR_PAGE | PRESENT | ACCESSED);
    }
}

/* @ist: 1, the handler has a stack of its own; 0, it has not. */
static void put_gate(Forgery *f, unsigned vector, uint64_t handler, unsigned ist)
{
    put(f, IDT + 16 * vector, (handler & 0xffff) | CODE_SELECTOR << 16 |
        (uint64_t)(GATE_FLAGS | ist) << 32 | (handler & 0xffff0000) << 32);
    put(f, IDT + 16 * vector + 8, handler >> 32);
}

static void put_code(Forgery *f, const void *bytes, size_t length)
{
    memcpy(f->memory + f->code, bytes, length);
    f->code += length;
}

/* Returns the site that a record of it has. */
static uint32_t put_hook(Forgery *f, unsigned hook)
{
    uint8_t nop[8] = { 0x0f, 0x1f, 0x84, 0x00 };
    uint32_t number = KRR_NOP_MAGIC | hook;

    memcpy(nop + 4, &number, sizeof(number));
    put_code(f, nop, sizeof(nop));
    put(f, f->stack, KERNEL + f->code);
    f->stack += 8;
    return KERNEL + f->code;
}

/* ---- records ---- */

static void add_record(Forgery *f, uint8_t kind, uint32_t site, const void *payload, size_t length)
{
    struct krr_record record = { .kind = kind, .size = sizeof(record) + length, .site = site };

    g_byte_array_append(f->records, (const uint8_t *)&record, sizeof(record));
    g_byte_array_append(f->records, payload, length);
}

/* The vCPU takes the lock: the first thing that each one does. */
static void take_lock(Forgery *f)
{
    struct krr_resume resume = { 0 };

    add_record(f, KRR_KIND_RESUME, put_hook(f, KRR_HOOK_ACQUIRE), &resume, sizeof(resume));
}

/* It gives it away, halts, and wakes up by an interrupt that is delivered by way of tables. */
static void halt_and_wake(Forgery *f)
{
    struct krr_trap wake = { .vector = WAKE_VECTOR };

    put_hook(f, KRR_HOOK_RELEASE);
    put_code(f, "\xf4", 1);                     /* hlt */
    put_gate(f, WAKE_VECTOR, KERNEL + f->code, 1);
    put_code(f, "\xf4", 1);
    add_record(f, KRR_KIND_WAKE, 0, &wake, sizeof(wake));
}

/* ---- what may be forged ---- */

/*
 * A fault that the trace has on an instruction that reads itself: looking at the instruction must
 * not be what faults. Fetching it would fill the TLB entry that it reads by, which is forgotten
 * behind the last port access; but in the second round, translated code goes on without a fetch.
 */
static void self_fault(Forgery *f)
{
    struct krr_io port = { .address = PORT };
    struct krr_trap fault = { .vector = PAGE_FAULT, .rcx = 1 };

    take_lock(f);
    put_code(f, "\xec", 1);                     /* again: in %dx,%al */
    fault.rip = fault.cr2 = KERNEL + f->code;
    put_code(f, "\x8a\x05\xfa\xff\xff\xff", 6); /* mov -6(%rip),%al */
    put_code(f, "\xeb\xf7", 2);                 /* jmp again */
    put_gate(f, PAGE_FAULT, KERNEL + f->code, 0);
    put_code(f, "\xf4", 1);                     /* hlt */
    f->cpu.gpr[RDX] = PORT;
    add_record(f, KRR_KIND_PORT_READ, 1, &port, sizeof(port));
    add_record(f, KRR_KIND_PORT_READ, 1, &port, sizeof(port));
    add_record(f, KRR_KIND_EXCEPTION, 0, &fault, sizeof(fault));
}

/* A page fault whose handler is not there, which is a page fault: no instruction is executed. */
static void fault_for_ever(Forgery *f)
{
    take_lock(f);
    put_gate(f, PAGE_FAULT, UNMAPPED, 1);
    put_code(f, "\x8a\x04\x25\x00\x00\x00\xc0", 7);     /* mov UNMAPPED,%al */
}

static void endless_faults(Forgery *f)
{
    struct krr_value tsc = { 0 };

    fault_for_ever(f);
    add_record(f, KRR_KIND_TSC, 0, &tsc, sizeof(tsc));
}

/* QEMU ended the recording meanwhile. */
static void endless_faults_last(Forgery *f)
{
    struct krr_end end = { .reason = KRR_END_QEMU_EXIT };

    fault_for_ever(f);
    add_record(f, KRR_KIND_END, 0, &end, sizeof(end));
}

/* An interrupt wants a stack of the TSS, which is not present. */
static void no_task(Forgery *f)
{
    take_lock(f);
    halt_and_wake(f);
    f->cpu.segment[KRR_SEG_TR].flags = 0;
}

/* The way to the IDT is to be marked as accessed, in page tables that cannot be written. */
static void rom_tables(Forgery *f)
{
    take_lock(f);
    halt_and_wake(f);
    put(f, PT + 8 * (IDT / KRR_PAGE), IDT | PRESENT);
    f->machine.ranges[0].flags = KRR_RANGE_READONLY;
}

/* On the way to a halt; a reset machine could go on from there. */
static void triple_fault(Forgery *f)
{
    take_lock(f);
    put_hook(f, KRR_HOOK_RELEASE);
    put_code(f, "\x0f\x0b", 2);                 /* ud2 */
    halt_and_wake(f);
    f->cpu.segment[KRR_SEG_IDT].limit = 0;
}

/* A memory that is different everywhere, and a long description of what does not count. */
static void many_areas(Forgery *f)
{
    struct krr_memory *areas = (struct krr_memory *)(f->memory + AREAS);
    struct krr_end end = { .reason = KRR_END_STOPPED };

    take_lock(f);
    f->cpu.gpr[RCX] = KERNEL + AREAS;
    f->cpu.gpr[R8] = AREAS_COUNT;
    for (uint32_t i = 0; i < AREAS_COUNT; i++) {
        areas[i] = (struct krr_memory) {
            .address = i, .length = KRR_PAGE, .class = KRR_MEMORY_FREE
        };
    }
    add_record(f, KRR_KIND_END, put_hook(f, KRR_KIND_END), &end, sizeof(end));
    f->machine.flags = KRR_MACHINE_FINAL_RAM;
}

static const struct {
    const char *name;
    void (*forge)(Forgery *f);
} kinds[] = {
    { "self-fault", self_fault },
    { "endless-faults", endless_faults },
    { "endless-faults-last", endless_faults_last },
    { "no-task", no_task },
    { "rom-tables", rom_tables },
    { "triple-fault", triple_fault },
    { "many-areas", many_areas },
};

/* ---- the file ---- */

static void make_machine(Forgery *f, const KrrMachine *good)
{
    f->machine = *good;
    f->machine.vcpus = 1;
    f->machine.flags = 0;
    f->machine.ram_size = MEMORY;
    f->machine.kernel_text = 0;
    f->machine.ranges_count = 1;
    f->machine.ranges[0] = (KrrRange) { .length = MEMORY };
}

static void make_cpu(Forgery *f, const KrrCpuState *good)
{
    f->cpu = *good;
    memset(f->cpu.gpr, 0, sizeof(f->cpu.gpr));
    f->cpu.gpr[RSP] = KERNEL + STACK + KRR_PAGE / 2;
    f->cpu.rip = KERNEL + CODE;
    f->cpu.rflags = 2;
    f->cpu.cr3 = PML4;
    f->cpu.segment[KRR_SEG_GDT] = (KrrSegment) { .base = KERNEL + GDT, .limit = KRR_PAGE - 1 };
    f->cpu.segment[KRR_SEG_IDT] = (KrrSegment) { .base = KERNEL + IDT, .limit = KRR_PAGE - 1 };
    f->cpu.segment[KRR_SEG_TR] = (KrrSegment) {
        .base = KERNEL + TSS, .limit = KRR_PAGE - 1, .flags = TSS_FLAGS, .selector = TSS_SELECTOR
    };
}

static void make_memory(Forgery *f)
{
    f->memory = g_malloc0(MEMORY);
    f->code = CODE;
    f->stack = STACK + KRR_PAGE / 2;
    map_memory(f);
    put(f, GDT + CODE_SELECTOR, CODE_SEGMENT);
    put(f, TSS + TSS_IST1, KERNEL + IST_STACK + KRR_PAGE);
}

static void write_final_ram(Forgery *f, KrrWriter *writer)
{
    GError *err = NULL;

    memset(f->memory, 0x55, MEMORY);
    check(krr_writer_final_ram(writer, 0, f->memory, MEMORY, &err), err);
}

static void write_trace(Forgery *f, const char *path)
{
    GError *err = NULL;
    KrrWriter *writer = krr_writer_new(path, &err);

    check(writer && krr_writer_machine(writer, &f->machine, &err) &&
          krr_writer_cpu(writer, 0, &f->cpu, &err) &&
          krr_writer_ram(writer, 0, f->memory, MEMORY, &err) &&
          krr_writer_start(writer, &err) &&
          krr_writer_records(writer, f->records->data, f->records->len, &err), err);
    if (f->machine.flags & KRR_MACHINE_FINAL_RAM) {
        write_final_ram(f, writer);
    }
    check(krr_writer_finish(writer, KRR_END_STOPPED, 0, NULL, &err), err);
    krr_writer_free(writer);
}

static void forge(Forgery *f, const char *kind)
{
    for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++) {
        if (!strcmp(kind, kinds[i].name)) {
            kinds[i].forge(f);
            return;
        }
    }
    die("no such kind");
}

int main(int argc, char **argv)
{
    GError *err = NULL;
    KrrReader *good;
    Forgery f = { .records = g_byte_array_new() };

    if (argc != 4) {
        die("usage: forge KIND GOOD OUT");
    }
    good = krr_reader_open(argv[2], &err);
    check(good, err);
    make_machine(&f, krr_reader_machine(good));
    make_cpu(&f, krr_reader_cpu(good, 0));
    krr_reader_free(good);
    make_memory(&f);
    forge(&f, argv[1]);
    write_trace(&f, argv[3]);
    g_byte_array_unref(f.records);
    g_free(f.memory);
    return 0;
}
